-- bw_provision: whose rights the outcome is written with, and what a table's
-- owner can do with that.
\ir lib/helpers.sql
SELECT no_plan();

CREATE ROLE victim SUPERUSER;
CREATE ROLE mallory;
CREATE ROLE security_app;
GRANT USAGE ON FOREIGN SERVER bandwidth TO mallory, security_app;
CREATE USER MAPPING FOR PUBLIC SERVER bandwidth OPTIONS (client_id 'client', client_secret 'secret');
GRANT CREATE ON SCHEMA public TO mallory;
DO $$BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO mallory', current_database()); END$$;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA test TO PUBLIC;
SELECT test.sandbox('config order_delay_ms=0 callbacks=off');

CREATE FUNCTION settled() RETURNS boolean LANGUAGE sql SECURITY DEFINER AS $$
    SELECT test.comes_true('SELECT bool_and(is_final) AND NOT EXISTS (SELECT FROM bw_provisions)
                              FROM bw_orders WHERE for_table IS NOT NULL', '15 s')
$$;

--
-- Each place in which code of the table's owner runs tells who runs it, and
-- tries to make the owner a superuser.
--
SET ROLE mallory;
CREATE TABLE who (place text, role name, session name, UNIQUE (place, role));
GRANT SELECT, INSERT ON who TO PUBLIC;
CREATE TABLE arms AS SELECT false AS is_armed;
GRANT SELECT ON arms TO PUBLIC;
CREATE FUNCTION try(place text) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF NOT (SELECT is_armed FROM public.arms) THEN
        RETURN;
    END IF;
    INSERT INTO public.who VALUES (place, current_user, session_user) ON CONFLICT DO NOTHING;
    BEGIN
        ALTER ROLE mallory SUPERUSER;
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
    BEGIN
        SET ROLE victim;
        INSERT INTO public.who VALUES (place || ' after SET ROLE', current_user, session_user) ON CONFLICT DO NOTHING;
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
    BEGIN
        RESET ROLE;
        RESET SESSION AUTHORIZATION;
        INSERT INTO public.who VALUES (place || ' after RESET', current_user, session_user) ON CONFLICT DO NOTHING;
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
END
$$;
CREATE FUNCTION lie(place text, value text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    PERFORM public.try(place);
    RETURN value;
END
$$;
CREATE FUNCTION try_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM public.try(TG_ARGV[0]);
    RETURN NEW;
END
$$;
CREATE FUNCTION settings_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SET search_path = evil, public, pg_catalog;
    BEGIN
        SET session_replication_role = 'replica';
    EXCEPTION WHEN insufficient_privilege THEN NULL;
    END;
    SET lock_timeout = 0;
    SET statement_timeout = 0;
    SET default_transaction_read_only = on;
    PERFORM pg_advisory_lock(42);
    RETURN NEW;
END
$$;
CREATE TABLE trap (
    id integer PRIMARY KEY,
    phone text CHECK (lie('check', phone) IS DISTINCT FROM 'never'),
    state text DEFAULT lie('default', 'pending'),
    copy text GENERATED ALWAYS AS (lie('generated column', phone)) STORED);
CREATE INDEX ON trap (lie('index expression', phone));
CREATE INDEX ON trap (id) WHERE lie('index predicate', phone) IS NOT NULL;
CREATE TRIGGER a_before BEFORE UPDATE ON trap FOR EACH ROW EXECUTE FUNCTION try_trigger('BEFORE trigger');
CREATE TRIGGER b_after AFTER UPDATE ON trap FOR EACH ROW EXECUTE FUNCTION try_trigger('AFTER trigger');
CREATE CONSTRAINT TRIGGER c_deferred AFTER UPDATE ON trap DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION try_trigger('deferred trigger');
CREATE TRIGGER settings BEFORE UPDATE ON trap FOR EACH ROW EXECUTE FUNCTION settings_trigger();
CREATE TRIGGER provision AFTER INSERT ON trap FOR EACH ROW
    EXECUTE FUNCTION bw_provision('number_column', 'phone', 'status_column', 'state', 'zip', '27601', 'name_column', 'state');
-- names that a search_path could bring in the way
CREATE SCHEMA evil;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
CREATE FUNCTION evil.never_equal(integer, integer) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM public.try('operator');
    RETURN false;
END
$$;
CREATE OPERATOR evil.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = evil.never_equal);
CREATE TABLE evil.bw_provisions (order_id bigint);
CREATE TABLE evil.bw_orders (id bigint);
GRANT SELECT, INSERT, UPDATE ON trap TO security_app;
RESET ROLE;
DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = evil, pg_catalog, public', current_database()); END$$;
SELECT ok(test.comes_true($$SELECT pid <> 0 FROM bw_stat_worker$$), 'the worker comes back');

SELECT bw_pause(reason => 'until all rows are there');
INSERT INTO trap (id, state) VALUES (1, 'by a superuser');
SET ROLE security_app;
INSERT INTO trap (id, state) VALUES (2, 'by an application');
RESET ROLE;
SET ROLE mallory;
INSERT INTO trap (id, state) VALUES (3, 'by the owner');
RESET ROLE;
-- what an INSERT itself runs is its own affair
UPDATE arms SET is_armed = true;
SELECT bw_resume();
SELECT ok(settled(), 'rows with traps get their numbers');
SELECT results_eq('SELECT state, phone IS NOT NULL FROM trap ORDER BY id',
                  $$VALUES ('COMPLETE', true), ('COMPLETE', true), ('COMPLETE', true)$$, 'all of them');
SELECT set_eq('SELECT DISTINCT place FROM who',
              ARRAY['check', 'generated column', 'index expression', 'index predicate', 'BEFORE trigger', 'AFTER trigger', 'deferred trigger'],
              'the traps were sprung');
SELECT is_empty($$SELECT * FROM who WHERE role NOT IN ('mallory', 'security_app')$$, 'by the owner of the table, or the role that ordered');
SELECT is_empty($$SELECT * FROM who WHERE place ~ 'after'$$, 'who could become nobody else');
SELECT ok(NOT rolsuper, 'and is no superuser') FROM pg_roles WHERE rolname = 'mallory';
SELECT is_empty('SELECT * FROM pg_locks WHERE locktype = ''advisory''', 'no advisory lock is left');

--
-- A trigger that puts off what it wants to do until nobody watches
--
SET ROLE mallory;
CREATE FUNCTION put_off() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SET CONSTRAINTS ALL DEFERRED;
    RETURN NEW;
END
$$;
CREATE TABLE later (id integer PRIMARY KEY, phone text);
CREATE TRIGGER a BEFORE UPDATE ON later FOR EACH ROW EXECUTE FUNCTION put_off();
CREATE CONSTRAINT TRIGGER b AFTER UPDATE ON later DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION try_trigger('put off');
CREATE TRIGGER provision AFTER INSERT ON later FOR EACH ROW
    EXECUTE FUNCTION bw_provision('number_column', 'phone', 'zip', '27601', 'name', 'later');
INSERT INTO later VALUES (1);
RESET ROLE;
SELECT ok(test.comes_true($$SELECT write_back_error = 'cannot fire deferred trigger within security-restricted operation (SQLSTATE 42501)'
                              FROM bw_orders WHERE name = 'later'$$), 'no deferred trigger waits for the end of the transaction');
SELECT is_empty($$SELECT * FROM who WHERE place = 'put off'$$, 'none was run');
DROP TABLE later;

--
-- A type of somebody whom the table's owner does not act for
--
SET ROLE mallory;
CREATE DOMAIN bait AS integer CHECK (lie('domain', VALUE::text) IS NOT NULL);
RESET ROLE;
DELETE FROM who;
CREATE TABLE tasty (id bait PRIMARY KEY, phone text);
CREATE TABLE tasty_parts (id bait PRIMARY KEY, phone text) PARTITION BY RANGE (id);
CREATE TABLE tasty_part PARTITION OF tasty_parts DEFAULT;
GRANT SELECT, INSERT, UPDATE, DELETE ON tasty, tasty_parts TO mallory;
CREATE TRIGGER provision AFTER INSERT ON tasty FOR EACH ROW
    EXECUTE FUNCTION bw_provision('number_column', 'phone', 'zip', '27601', 'name', 'tasty');
CREATE TRIGGER provision AFTER INSERT ON tasty_parts FOR EACH ROW
    EXECUTE FUNCTION bw_provision('number_column', 'phone', 'zip', '27601', 'name', 'tasty');
SET ROLE mallory;
CREATE FUNCTION bite() RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
    INSERT INTO public.tasty VALUES (1), (2);
    INSERT INTO public.tasty_parts VALUES (1), (2);
    DELETE FROM public.tasty WHERE id = 2;
    DELETE FROM public.tasty_parts WHERE id = 2;
$$;
RESET ROLE;
SELECT bite();
SELECT ok(settled(), 'a table whose key is of a domain');
SELECT set_eq($$SELECT place, role FROM who$$, $$VALUES ('domain', 'mallory'::name)$$, 'the domain''s check is run as the role that ordered');
SELECT results_eq($$SELECT status, count(*) FROM bw_orders WHERE name = 'tasty' GROUP BY 1 ORDER BY 1$$,
                  $$VALUES ('CANCELLED', 2::bigint), ('COMPLETE', 2)$$, 'rows are found, or not');

--
-- Row-level security
--
SET ROLE mallory;
CREATE TABLE secured (id integer PRIMARY KEY, phone text, seen_by name DEFAULT current_user);
GRANT SELECT, INSERT, UPDATE ON secured TO security_app;
CREATE TRIGGER provision AFTER INSERT ON secured FOR EACH ROW
    EXECUTE FUNCTION bw_provision('number_column', 'phone', 'zip', '27601', 'name', 'secured');
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
CREATE POLICY add ON secured FOR INSERT WITH CHECK (true);
CREATE POLICY see ON secured FOR SELECT USING (seen_by = current_user);
RESET ROLE;
SET ROLE security_app;
INSERT INTO secured (id) VALUES (1);
RESET ROLE;
SELECT ok(test.comes_true($$SELECT write_back_error LIKE 'row-level security hides the row from role "security_app" (SQLSTATE 42501)'
                              FROM bw_orders WHERE name = 'secured'$$), 'a policy that lets nobody write');
SELECT is(phone, NULL, 'is obeyed') FROM secured;
SET ROLE mallory;
CREATE POLICY change ON secured FOR UPDATE USING (seen_by = current_user);
RESET ROLE;
SELECT ok(settled(), 'with a policy for the role that ordered');
SELECT isnt(phone, NULL, 'the number is written') FROM secured;

--
-- Nobody plays our own triggers
--
SET ROLE mallory;
CREATE TABLE forged (id bigint PRIMARY KEY);
SELECT matches(test.error('CREATE TRIGGER t AFTER INSERT ON forged FOR EACH ROW EXECUTE FUNCTION bw_order_ended()'),
               '^42501 permission denied for function bw_order_ended', 'bw_order_ended is not for users');
RESET ROLE;
SELECT matches(test.error('SET ROLE mallory; SELECT * FROM bw_provisions'), '^42501 ', 'nor the list of rows that wait');
RESET ROLE;
DO $$BEGIN EXECUTE format('ALTER DATABASE %I RESET search_path', current_database()); END$$;
SELECT * FROM finish();
