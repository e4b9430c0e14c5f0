-- bw_provision: tables, rows and roles that change while an order is under way.
\ir lib/helpers.sql
SELECT no_plan();

CREATE ROLE changes_owner;
CREATE ROLE changes_app;
GRANT USAGE ON FOREIGN SERVER bandwidth TO changes_owner, changes_app;
CREATE USER MAPPING FOR PUBLIC SERVER bandwidth OPTIONS (client_id 'client', client_secret 'secret');
GRANT CREATE ON SCHEMA public TO changes_owner;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA test TO PUBLIC;
SELECT test.sandbox('config order_delay_ms=0 callbacks=off');

CREATE FUNCTION posts() RETURNS integer LANGUAGE sql AS $$SELECT test.requests('class=ORDER method=POST')$$;
CREATE FUNCTION settled() RETURNS boolean LANGUAGE sql SECURITY DEFINER AS $$
    SELECT test.comes_true('SELECT bool_and(is_final) AND NOT EXISTS (SELECT FROM bw_provisions)
                              FROM bw_orders WHERE for_table IS NOT NULL', '30 s')
$$;
-- What the order named so says about its row, once that is known.
CREATE FUNCTION said(wanted text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    ended constant text := format('SELECT bool_and(written_back_at IS NOT NULL OR write_back_error IS NOT NULL) FROM bw_orders WHERE name = %L', wanted);
BEGIN
    IF NOT test.comes_true(ended, '20 s') THEN
        RETURN 'nothing';
    END IF;
    RETURN (SELECT string_agg(coalesce(write_back_error, 'written'), ', ' ORDER BY id) FROM bw_orders WHERE name = wanted);
END
$$;
CREATE FUNCTION waits(wanted text) RETURNS boolean LANGUAGE sql SECURITY DEFINER AS $$
    SELECT EXISTS (SELECT FROM bw_provisions JOIN bw_orders ON id = order_id WHERE name = wanted)
$$;
-- A table that gives its rows numbers; an order has the table's name.
CREATE PROCEDURE make(what text, columns text, VARIADIC more text[] DEFAULT '{}') LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE %s (%s)', what, columns);
    EXECUTE format('CREATE TRIGGER provision AFTER INSERT ON %s FOR EACH ROW EXECUTE FUNCTION bw_provision(''number_column'', ''phone'', ''npanxx'', ''919200'', ''name'', %L%s)',
                   what, what, (SELECT string_agg(', ' || quote_literal(m), '') FROM unnest(more) AS m));
END
$$;

--
-- A table that is altered
--
SELECT bw_pause(reason => 'until the tables have changed');
CREATE SCHEMA elsewhere AUTHORIZATION changes_owner;
SET ROLE changes_owner;
CALL make('moved', 'id integer PRIMARY KEY, phone text');
CALL make('no_number', 'id integer PRIMARY KEY, phone text');
CALL make('no_status', 'id integer PRIMARY KEY, phone text, state text', 'status_column', 'state');
CALL make('no_key', 'id integer PRIMARY KEY, phone text');
CALL make('wider_key', 'id integer PRIMARY KEY, phone text');
CALL make('text_key', 'id integer PRIMARY KEY, phone text');
CALL make('other_key', 'id integer PRIMARY KEY, other integer UNIQUE NOT NULL DEFAULT 7, phone text');
CALL make('shared_key', 'id integer PRIMARY KEY, tenant integer NOT NULL DEFAULT 1, phone text');
CALL make('too_narrow', 'id integer PRIMARY KEY, phone text');
CALL make('made_again', 'id integer PRIMARY KEY, phone text');
CALL make('filled_again', 'id integer PRIMARY KEY, phone text');
CALL make('ruled', 'id integer PRIMARY KEY, phone text');
CALL make('padded', 'id integer PRIMARY KEY, phone character(15)');
INSERT INTO moved VALUES (1);
INSERT INTO no_number VALUES (1);
INSERT INTO no_status VALUES (1);
INSERT INTO no_key VALUES (1);
INSERT INTO wider_key VALUES (1);
INSERT INTO text_key VALUES (1);
INSERT INTO other_key VALUES (1);
INSERT INTO shared_key VALUES (1);
INSERT INTO too_narrow VALUES (1);
INSERT INTO made_again VALUES (1);
INSERT INTO filled_again VALUES (1);
INSERT INTO ruled VALUES (1);
INSERT INTO padded VALUES (1, '919-244-0001');
ALTER TABLE moved RENAME TO found;
ALTER TABLE found RENAME phone TO number;
ALTER TABLE found RENAME id TO ident;
ALTER TABLE found SET SCHEMA elsewhere;
ALTER TABLE no_number DROP phone;
ALTER TABLE no_status DROP state;
ALTER TABLE no_key DROP id;
ALTER TABLE wider_key ALTER id TYPE bigint, ALTER phone TYPE bigint USING phone::bigint;
ALTER TABLE text_key ALTER id TYPE text;
ALTER TABLE other_key DROP CONSTRAINT other_key_pkey, ADD PRIMARY KEY (other);
ALTER TABLE shared_key DROP CONSTRAINT shared_key_pkey, ADD PRIMARY KEY (tenant, id);
INSERT INTO shared_key VALUES (1, 2);
ALTER TABLE too_narrow ALTER phone TYPE character varying(5);
DROP TABLE made_again;
CREATE TABLE made_again (id integer PRIMARY KEY, phone text);
INSERT INTO made_again VALUES (1);
TRUNCATE filled_again;
INSERT INTO filled_again VALUES (1);
CREATE RULE r AS ON UPDATE TO ruled DO INSTEAD NOTHING;
RESET ROLE;
SELECT bw_resume();
SELECT is(said('moved'), 'written', 'a table, and columns, that were renamed');
SELECT isnt((SELECT number FROM elsewhere.found), NULL, 'are found');
SELECT is(said('no_number'), 'a column of its table that the outcome goes to was dropped', 'the number''s column was dropped');
SELECT is(waits('no_number'), false, 'which will not come back');
SELECT is(said('no_status'), 'a column of its table that the outcome goes to was dropped', 'the status''s column was dropped');
SELECT is(said('no_key'), 'a column of its table''s primary key was dropped', 'a column of the key was dropped');
SELECT is(waits('no_key'), false, 'which will not come back either');
SELECT is(said('wider_key'), 'written', 'other types');
SELECT isnt((SELECT phone FROM wider_key), NULL, 'are no hindrance');
SELECT is(said('text_key'), 'written', 'of the key');
SELECT is(said('other_key'), 'written', 'nor is another primary key');
SELECT is(said('shared_key'), 'its table got another primary key, and several rows have the key that the row had, written', 'unless the old one fits several rows');
SELECT results_eq($$SELECT tenant, (SELECT for_key FROM bw_order_numbers JOIN bw_orders ON id = order_id WHERE telephone_number = phone) FROM shared_key ORDER BY tenant$$,
                  $$VALUES (1, NULL), (2, '{"id": 1, "tenant": 2}'::jsonb)$$, 'of which none gets a number that may be that of another');
SELECT is(said('too_narrow'), 'value too long for type character varying(5) (SQLSTATE 22001)', 'a number is not cut to fit');
SELECT is(waits('too_narrow'), true, 'but tried again');
ALTER TABLE too_narrow ALTER phone TYPE text;
SELECT is(said('made_again'), 'its table was dropped', 'a table of the same name is another one');
SELECT is((SELECT phone FROM made_again), NULL, 'and let alone');
SELECT is(said('filled_again'), 'written', 'a row of the same key');
SELECT is((SELECT count(*) FROM bw_orders WHERE name = 'filled_again'), 1::bigint, 'gets the number that is under way');
SELECT matches(said('ruled'), '^the row was not updated', 'a rule that drops the update is noted');
DROP RULE r ON ruled;
SELECT is(said('padded'), 'written', 'blanks that pad a number are no other number');
SELECT ok(settled(), 'what could not be written is, once it can');
SELECT is((SELECT phone FROM too_narrow), (SELECT telephone_number FROM bw_order_numbers JOIN bw_orders ON id = order_id WHERE name = 'too_narrow'), 'in full');

--
-- A role that changes
--
SELECT bw_pause(reason => 'until the roles have changed');
SET ROLE changes_owner;
CALL make('rights', 'id integer PRIMARY KEY, phone text');
GRANT SELECT, INSERT, UPDATE ON rights TO changes_app;
RESET ROLE;
SET ROLE changes_app;
INSERT INTO rights VALUES (1);
RESET ROLE;
REVOKE UPDATE ON rights FROM changes_app;
SELECT bw_resume();
SELECT is(said('rights'), 'permission denied for table rights (SQLSTATE 42501)', 'a role that lost its rights writes nothing');
GRANT UPDATE ON rights TO changes_app;
SELECT ok(test.comes_true($$SELECT phone IS NOT NULL FROM rights$$), 'until it has them again');

--
-- Partitions
--
SET ROLE changes_owner;
CREATE TABLE parts (id integer, region text, phone text, state text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE parts_a PARTITION OF parts FOR VALUES IN ('a');
CREATE TABLE parts_b PARTITION OF parts FOR VALUES IN ('b');
CREATE TRIGGER provision AFTER INSERT ON parts REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT
    EXECUTE FUNCTION bw_provision('number_column', 'phone', 'status_column', 'state', 'npanxx', '919200', 'name', 'parts');
INSERT INTO parts VALUES (1, 'a'), (2, 'b');
SELECT ok(settled(), 'a partitioned table, for each statement');
SELECT is((SELECT count(DISTINCT phone) FROM parts WHERE state = 'COMPLETE'), 2::bigint, 'gives its rows numbers');
DROP TRIGGER provision ON parts;
CREATE TRIGGER provision AFTER INSERT ON parts FOR EACH ROW
    EXECUTE FUNCTION bw_provision('number_column', 'phone', 'status_column', 'state', 'npanxx', '919200', 'attempts', '3', 'name', 'parts');
UPDATE parts SET region = 'b' WHERE id = 1;
SELECT is((SELECT count(*) FROM bw_orders WHERE name = 'parts'), 2::bigint, 'a row that moves with its number orders none');
INSERT INTO parts VALUES (3, 'a', (SELECT phone FROM parts WHERE id = 2), 'COMPLETE');
SELECT is((SELECT count(*) FROM bw_orders WHERE name = 'parts'), 2::bigint, 'nor does a row that comes back with the number that was bought for it');
RESET ROLE;
SELECT bw_pause(reason => 'until the partition is gone');
SET ROLE changes_owner;
INSERT INTO parts (id, region) VALUES (4, 'a');
ALTER TABLE parts DETACH PARTITION parts_a;
RESET ROLE;
SELECT bw_resume();
SELECT ok(settled(), 'a partition that is detached');
SELECT is((SELECT max(status || ': ' || write_back_error) FROM bw_orders WHERE name = 'parts'),
          'CANCELLED: the row was deleted, its partition was detached, or its primary key was changed', 'takes its rows away: nothing is bought for them');

--
-- Rows that are gone at the end, however late
--
SELECT posts() AS before \gset
SET ROLE changes_owner;
CALL make('fleeting', 'id integer PRIMARY KEY, phone text, note text');
INSERT INTO fleeting VALUES (0, '9192450000');
SELECT ok(settled(), 'one that stays');
CREATE FUNCTION remove() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM public.fleeting WHERE id = NEW.id AND note <> 'stay';
    RETURN NULL;
END
$$;
CREATE TRIGGER z_now AFTER INSERT ON fleeting FOR EACH ROW WHEN (NEW.note = 'now') EXECUTE FUNCTION remove();
CREATE CONSTRAINT TRIGGER z_end AFTER INSERT ON fleeting DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.note = 'end') EXECUTE FUNCTION remove();
CREATE CONSTRAINT TRIGGER z_later AFTER UPDATE ON fleeting DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.note = 'later') EXECUTE FUNCTION remove();
INSERT INTO fleeting VALUES (1, NULL, 'now');
INSERT INTO fleeting VALUES (2, NULL, 'end');
BEGIN;
INSERT INTO fleeting VALUES (3);
UPDATE fleeting SET note = 'later' WHERE id = 3;
COMMIT;
BEGIN;
INSERT INTO fleeting VALUES (4);
SET CONSTRAINTS ALL IMMEDIATE;
DELETE FROM fleeting WHERE id = 4;
COMMIT;
BEGIN;
SAVEPOINT a;
INSERT INTO fleeting VALUES (5);
ROLLBACK TO a;
INSERT INTO fleeting VALUES (6);
SAVEPOINT b;
DELETE FROM fleeting WHERE id = 6;
RELEASE b;
COMMIT;
BEGIN;
INSERT INTO fleeting VALUES (7);
ALTER TABLE fleeting ALTER id TYPE bigint;
DELETE FROM fleeting WHERE id = 7;
COMMIT;
BEGIN;
INSERT INTO fleeting VALUES (8);
DROP TABLE fleeting;
COMMIT;
RESET ROLE;
SELECT is((SELECT string_agg(DISTINCT status, ',') FROM bw_orders WHERE name = 'fleeting' AND for_key <> '{"id": 0}'), 'CANCELLED',
          'a later trigger, a deferred one, one that comes last, SET CONSTRAINTS, savepoints, ALTER and DROP TABLE: nothing is bought');
SELECT is((SELECT count(*) FROM bw_orders WHERE name = 'fleeting'), 8::bigint, 'though all had made orders');
SELECT is(posts(), :before + 1, 'or sent');
SELECT is_empty('SELECT * FROM bw_provisions', 'and nobody waits');

--
-- Rows that stay
--
SET ROLE changes_owner;
CALL make('staying', 'id integer PRIMARY KEY, phone text');
BEGIN;
SAVEPOINT a;
INSERT INTO staying VALUES (1);
ROLLBACK TO a;
INSERT INTO staying VALUES (1);
DELETE FROM staying;
INSERT INTO staying VALUES (1);
ALTER TABLE staying ALTER id TYPE bigint;
COMMIT;
SELECT ok(settled(), 'a row that comes and goes and comes again');
SELECT is((SELECT string_agg(status, ',') FROM bw_orders WHERE name = 'staying'), 'COMPLETE', 'gets one number');
CALL make('chained', 'id integer PRIMARY KEY, phone text');
CREATE FUNCTION chain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.staying VALUES (NEW.id + 100);
    RETURN NULL;
END
$$;
CREATE TRIGGER chain AFTER UPDATE ON chained FOR EACH ROW EXECUTE FUNCTION chain();
INSERT INTO chained VALUES (1);
SELECT is(said('chained'), 'written', 'a trigger that inserts a row of another table');
SELECT ok(settled(), 'orders for that');
SELECT is((SELECT count(phone) FROM staying), 2::bigint, 'which gets a number, too');
RESET ROLE;

--
-- Rows that are gone when the order could be sent
--
CREATE DOMAIN code AS text;
SET ROLE changes_owner;
CALL make('held', 'id integer PRIMARY KEY, phone text');
CALL make('many', 'day date, who uuid DEFAULT gen_random_uuid(), half numeric, short character(8), phone text, PRIMARY KEY (day, who, half, short)');
CALL make('coded', 'id code PRIMARY KEY, phone text');
CALL make('shielded', 'id integer PRIMARY KEY, phone text');
ALTER TABLE shielded ENABLE ROW LEVEL SECURITY;
ALTER TABLE shielded FORCE ROW LEVEL SECURITY;
CREATE POLICY new ON shielded FOR INSERT WITH CHECK (true);
CREATE POLICY gone ON shielded FOR DELETE USING (true);
CREATE TABLE split (id integer, region text, phone text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE split_a PARTITION OF split FOR VALUES IN ('a');
CREATE TABLE split_b PARTITION OF split FOR VALUES IN ('b');
CREATE TRIGGER provision AFTER INSERT ON split FOR EACH ROW EXECUTE FUNCTION bw_provision('number_column', 'phone', 'npanxx', '919200', 'name', 'split');
RESET ROLE;
ALTER SERVER bandwidth OPTIONS (ADD ordering 'hold');
SELECT posts() AS before \gset
SET ROLE changes_owner;
INSERT INTO held VALUES (1), (2);
INSERT INTO many VALUES ('2026-11-27', DEFAULT, 0.5, 'a'), ('2026-11-28', DEFAULT, 0.5, 'b');
INSERT INTO coded VALUES ('a'), ('b');
INSERT INTO shielded VALUES (1);
INSERT INTO split VALUES (1, 'a'), (2, 'a'), (3, 'b');
DELETE FROM held WHERE id = 1;
DELETE FROM many WHERE short = 'a';
DELETE FROM split WHERE id = 1;
RESET ROLE;
SELECT is((SELECT count(bw_approve(id)) FROM bw_orders WHERE status = 'HELD'), 10::bigint, 'orders that are approved');
CREATE FUNCTION became(wanted text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(status, ',' ORDER BY id) FROM bw_orders WHERE name = wanted
$$;
SELECT ok(test.comes_true('SELECT bool_and(is_final) FROM bw_orders'), 'end');
SELECT is(became('held'), 'CANCELLED,COMPLETE', 'as CANCELLED where the row was deleted meanwhile');
SELECT is(became('many'), 'CANCELLED,COMPLETE', 'with a key of several columns');
SELECT is(became('split'), 'CANCELLED,COMPLETE,COMPLETE', 'in partitions');
SELECT is(became('coded'), 'COMPLETE,COMPLETE', 'with one of a type that a user made');
SELECT is(became('shielded'), 'COMPLETE', 'a row that its owner cannot see is there');
SELECT is((SELECT concat_ws(' ', e.status, e.source, e.detail) FROM bw_order_events AS e JOIN bw_orders AS o ON o.id = e.order_id WHERE o.name = 'held' ORDER BY e.id LIMIT 1 OFFSET 2),
          'CANCELLED worker the row was deleted, or its primary key was changed', 'an event says why');
ALTER SERVER bandwidth OPTIONS (DROP ordering);

--
-- Tables that cannot be written to later
--
CREATE TEMPORARY TABLE passing (id integer PRIMARY KEY, phone text);
CREATE TRIGGER provision AFTER INSERT ON passing FOR EACH ROW EXECUTE FUNCTION bw_provision('number_column', 'phone', 'npanxx', '919200');
SELECT matches(test.error('INSERT INTO passing VALUES (1)'), '^55000 table "passing" is temporary \| .*other session', 'a temporary table is refused');

--
-- On a logical subscriber, if its owner wants it
--
SET ROLE changes_owner;
CALL make('replica', 'id integer PRIMARY KEY, phone text');
ALTER TABLE replica ENABLE ALWAYS TRIGGER provision;
RESET ROLE;
SET session_replication_role = replica;
INSERT INTO replica VALUES (1);
BEGIN;
INSERT INTO replica VALUES (2);
DELETE FROM replica WHERE id = 2;
COMMIT;
RESET session_replication_role;
SELECT ok(test.comes_true('SELECT phone IS NOT NULL FROM replica'), 'rows that replication brings');
SELECT is((SELECT string_agg(status, ',' ORDER BY id) FROM bw_orders WHERE name = 'replica'), 'COMPLETE,CANCELLED', 'get numbers, unless they are gone');

SELECT * FROM finish();
