-- The extension in a schema with a name that needs quoting, and renamed while
-- sessions and the worker are at it.
DROP EXTENSION bandwidth CASCADE;
CREATE SCHEMA "My ""Schema";
CREATE EXTENSION bandwidth SCHEMA "My ""Schema";
\ir lib/helpers.sql
\getenv listen_port BW_LISTEN_PORT
\set callback_url http://127.0.0.1: :listen_port /bandwidth
\set before 'My "Schema'
\set after 'Schéma d''après; "%s"'
SELECT no_plan();
SELECT test.sandbox('config order_delay_ms=100');

CREATE ROLE names_app;
GRANT USAGE ON FOREIGN SERVER bandwidth TO names_app;
GRANT USAGE ON SCHEMA "My ""Schema" TO names_app;
CREATE USER MAPPING FOR PUBLIC SERVER bandwidth OPTIONS (client_id 'client', client_secret 'secret');

-- Statements in which %1$I is the extension's schema, which no search_path names.
CREATE FUNCTION ask(statement text, schema text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE format(statement, schema) INTO result;
    RETURN result;
END
$$;
-- The worker may have met the extension while it was dropped above: its last error.
CREATE FUNCTION calls(schema text) RETURNS text
LANGUAGE sql AS $$
    SELECT ask($q$SELECT concat_ws(', ',
        (SELECT count(*) FROM %1$I.bw_search('540551', quantity => 3)),
        %1$I.bw_e164('5402278098'), %1$I.bw_ten_digits('+15402278098'),
        (SELECT string_agg("check", ' ') FROM %1$I.bw_check() WHERE NOT ok AND "check" NOT IN ('subscription', 'last error')),
        (SELECT count(*) FROM %1$I.bw_list_subscriptions()),
        (SELECT count(*) FROM %1$I.bw_open_orders))$q$, schema)
$$;
CREATE FUNCTION order_in(schema text, number text) RETURNS text
LANGUAGE sql AS $$SELECT ask('SELECT id FROM %1$I.bw_order(ARRAY[''' || number || '''])', schema)$$;
CREATE FUNCTION story(schema text, id text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    status text := ask('SELECT %1$I.bw_wait(' || id || ')', schema);
BEGIN
    -- a statement of its own, to see what the worker did meanwhile
    RETURN status || ', ' || ask(replace($q$SELECT concat_ws(', ', %1$I.bw_cancel(ID), %1$I.bw_recheck(ID),
        (SELECT status FROM %1$I.bw_fetch_order(ID)),
        (SELECT status FROM %1$I.bw_orders WHERE id = ID),
        (SELECT string_agg(status, ' ') FROM %1$I.bw_order_numbers WHERE order_id = ID),
        (SELECT count(*) > 1 FROM %1$I.bw_order_events WHERE order_id = ID))$q$, 'ID', id), schema);
END
$$;
CREATE FUNCTION comes_true_in(schema text, statement text) RETURNS boolean
LANGUAGE sql AS $$SELECT test.comes_true(format(statement, schema))$$;

SELECT ok(comes_true_in(:'before', $$SELECT ok FROM %1$I.bw_check() WHERE "check" = 'worker'$$), 'a worker comes');
SELECT is(calls(:'before'), '3, +15402278098, 5402278098, 0, 0', 'every function is found');
SELECT order_in(:'before', '5402278098') AS first \gset
SELECT is(story(:'before', :'first'), 'COMPLETE, f, f, COMPLETE, COMPLETE, COMPLETE, t', 'an order completes');
SET ROLE names_app;
SELECT order_in(:'before', '5402270905') AS theirs \gset
SELECT is(story(:'before', :'theirs'), 'COMPLETE, f, f, COMPLETE, COMPLETE, COMPLETE, t', 'so does another role''s');
RESET ROLE;
SELECT "My ""Schema".bw_subscribe(:'callback_url') AS subscription \gset
SELECT ok(comes_true_in(:'before', $$SELECT state = 'ACTIVE' FROM %1$I.bw_subscriptions$$), 'a subscription is made');

SELECT is(test.error('ALTER EXTENSION bandwidth SET SCHEMA public'),
          '0A000 extension "bandwidth" does not support SET SCHEMA', 'the extension stays where it is');

--
-- Renamed, and in its place something that looks the same
--
ALTER SCHEMA "My ""Schema" RENAME TO :"after";
CREATE SCHEMA "My ""Schema";
CREATE TABLE "My ""Schema".bw_orders (LIKE :"after".bw_orders);
CREATE TABLE "My ""Schema".bw_queue (LIKE :"after".bw_queue);
CREATE TABLE "My ""Schema".bw_identity (LIKE :"after".bw_identity);

SELECT is(calls(:'after'), '3, +15402278098, 5402278098, 1, 0', 'every function is found again');
SELECT is(story(:'after', :'first'), 'COMPLETE, f, f, COMPLETE, COMPLETE, COMPLETE, t', 'the old order is there');
SELECT order_in(:'after', '5402278089') AS second \gset
SELECT is(story(:'after', :'second'), 'COMPLETE, f, f, COMPLETE, COMPLETE, COMPLETE, t', 'a new one completes');
SELECT ok(test.comes_true(ask($$SELECT format('SELECT EXISTS (SELECT FROM %%I.bw_notifications WHERE outcome <> %%L)',
                                              n.nspname, 'malformed')
                                  FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
                                 WHERE e.extname = 'bandwidth'$$, :'after')), 'its callback is heard');
SET ROLE names_app;
SELECT order_in(:'after', '5402278090') AS theirs \gset
SELECT is(story(:'after', :'theirs'), 'COMPLETE, f, f, COMPLETE, COMPLETE, COMPLETE, t', 'so does another role''s');
RESET ROLE;
SELECT is_empty('SELECT FROM "My ""Schema".' || t, 'nothing in the other ' || t)
  FROM unnest(ARRAY['bw_orders', 'bw_queue', 'bw_identity']) AS t;
SELECT is(test.requests('class=ORDER method=POST'), 4, 'four orders, four POSTs');
SELECT ask('SELECT %1$I.bw_unsubscribe(' || :'subscription' || ')', :'after');
SELECT ok(comes_true_in(:'after', $$SELECT state = 'REMOVED' FROM %1$I.bw_subscriptions$$), 'the subscription is taken back');

-- a session that was not there before
CREATE EXTENSION dblink;
SELECT is(n, 3::bigint, 'a new session')
  FROM dblink(format('host=%s dbname=%s user=postgres', current_setting('unix_socket_directories'), current_database()),
              format($$SELECT count(*) FROM %I.bw_search('540551', quantity => 3)$$, :'after')) AS t(n bigint);

DROP OWNED BY names_app;
SELECT * FROM finish();
