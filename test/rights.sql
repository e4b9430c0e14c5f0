-- The grants that README.md names under "Rights": each set does what it says,
-- and nothing else.
\ir lib/helpers.sql
SELECT no_plan();

-- Roles as in README.md, whose grants are run as they stand there.
CREATE ROLE rights_app;
CREATE ROLE rights_other;
CREATE ROLE rights_gateway;
CREATE ROLE rights_watcher;
CREATE ROLE rights_operations;
CREATE ROLE rights_nobody;
\set grants `perl -0777 -ne '($_) = /^### Rights(.*?)^##/ms; s/ TO (\w+);/ TO rights_$1;/g; print /^GRANT .*?;/msg' "$BW_FILES/README.md"`
SELECT is(count(*), 5::bigint, 'README.md has these grants')
  FROM regexp_matches(:'grants', 'TO rights_(?:app|gateway|watcher|operations);', 'g');
\o /dev/null
SELECT unnest(string_to_array(rtrim(:'grants', ';'), ';')) \gexec
\o
GRANT USAGE ON FOREIGN SERVER bandwidth TO rights_other;
CREATE USER MAPPING FOR PUBLIC SERVER bandwidth OPTIONS (client_id 'client', client_secret 'secret');

-- What a statement says to a role: NULL, or its error without the name.
CREATE FUNCTION try(who text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE format('SET LOCAL ROLE rights_%I', who);
    result := substr(test.error(statement), 1, 5);
    RESET ROLE;
    RETURN result;
END
$$;
CREATE FUNCTION count_as(who text, relation text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    result bigint;
BEGIN
    EXECUTE format('SET LOCAL ROLE rights_%I', who);
    EXECUTE format('SELECT count(*) FROM %I', relation) INTO result;
    RESET ROLE;
    RETURN result;
END
$$;

--
-- Of the catalog: nobody writes to a table, nobody has a function too many
--
CREATE TEMPORARY TABLE roles AS
SELECT r.oid, substr(r.rolname, 8) AS name FROM pg_roles AS r WHERE r.rolname ~ '^rights_';
CREATE TEMPORARY TABLE members AS
SELECT d.classid, d.objid
  FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid
 WHERE e.extname = 'bandwidth' AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e';

SELECT is_empty($$SELECT r.name, c.relname, w.what
                    FROM roles AS r, members AS m JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid,
                         unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS w(what)
                   WHERE c.relkind IN ('r', 'v') AND has_table_privilege(r.oid, c.oid, w.what)$$,
                'no role writes to a table or view');
SELECT is_empty($$SELECT r.name, c.relname
                    FROM roles AS r, members AS m JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
                   WHERE c.relkind = 'S' AND has_sequence_privilege(r.oid, c.oid, 'USAGE, SELECT, UPDATE')$$,
                'or moves a sequence');
SELECT is_empty($$SELECT c.relname
                    FROM members AS m JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
                   WHERE c.relkind = 'r' AND NOT c.relrowsecurity
                     AND has_table_privilege('rights_nobody', c.oid, 'SELECT')$$,
                'a table that PUBLIC may read has row security');
SELECT is_empty($$SELECT c.relname
                    FROM members AS m JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
                   WHERE c.relkind = 'v' AND has_table_privilege('rights_nobody', c.oid, 'SELECT')
                     AND NOT COALESCE('security_invoker=true' = ANY (c.reloptions), false)$$,
                'and such a view asks its caller''s rights');
SELECT is((SELECT array_agg(p.proname ORDER BY p.proname)
             FROM members AS m JOIN pg_proc AS p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
            WHERE has_function_privilege(r.oid, p.oid, 'EXECUTE')
              AND NOT has_function_privilege('rights_nobody', p.oid, 'EXECUTE')
              AND NOT (r.name = 'watcher' AND p.proname ~ '^bw_stat_')), more::name[],
          format('what %s has beyond PUBLIC', r.name))
  FROM (VALUES ('app', NULL), ('other', NULL), ('watcher', NULL), ('gateway', ARRAY['bw_receive']),
               ('operations', ARRAY['bw_adopt', 'bw_approve', 'bw_pause', 'bw_resolve', 'bw_resume',
                                    'bw_rotate_callback_credentials', 'bw_subscribe', 'bw_unsubscribe'])) AS t(who, more)
  JOIN roles AS r ON r.name = t.who;

--
-- May search and order
--
SELECT is(try('app', $$SELECT * FROM bw_search('540551')$$), NULL, 'app searches');
SELECT is(try('app', $$SELECT * FROM bw_order(ARRAY['5402278098'], name => 'of app')$$), NULL, 'and orders');
SELECT is(try('other', $$SELECT * FROM bw_order(ARRAY['5402278099'], name => 'of other')$$), NULL, 'so does another');
SELECT ok(test.comes_true($$SELECT count(*) = 2 FROM bw_orders WHERE status = 'COMPLETE'$$), 'both have their numbers');
SELECT id AS app_order FROM bw_orders WHERE name = 'of app' \gset
SELECT is(array_agg(count_as('app', relation)), ARRAY[1, 1, 1]::bigint[], 'app sees its own')
  FROM unnest(ARRAY['bw_orders', 'bw_order_numbers', 'bw_requests']) AS relation;
SELECT is(sum(count_as(who, relation)), 0::numeric, who || ' sees none')
  FROM unnest(ARRAY['gateway', 'watcher', 'operations', 'nobody']) AS who,
       unnest(ARRAY['bw_orders', 'bw_order_numbers', 'bw_order_events', 'bw_requests', 'bw_subscriptions',
                    'bw_open_orders']) AS relation
 GROUP BY who;
SELECT is(try(who, format('SELECT %s(%s)', call, :app_order)), '42704', format('%s of another''s order: %s', call, who))
  FROM unnest(ARRAY['other', 'operations', 'nobody']) AS who,
       unnest(ARRAY['bw_cancel', 'bw_wait', 'bw_recheck', 'bw_retry', 'bw_fetch_order', 'bw_close_order']) AS call;
GRANT rights_app TO rights_other;
SELECT is(count_as('other', 'bw_orders'), 2::bigint, 'who is a member sees them too');
REVOKE rights_app FROM rights_other;

--
-- Who has no USAGE can neither search nor order, nor ask about the account
--
SELECT is(try(who, statement), '42501', who || ': ' || statement)
  FROM unnest(ARRAY['gateway', 'watcher', 'nobody']) AS who,
       unnest(ARRAY[$$SELECT * FROM bw_search('540551')$$,
                    $$SELECT * FROM bw_order(ARRAY['5402278097'])$$,
                    $$SELECT * FROM bw_order_search(npanxx => '540551')$$,
                    $$SELECT * FROM bw_list_subscriptions()$$]) AS statement;

--
-- May receive
--
\set notification '<Notification><Status>COMPLETE</Status><OrderId>abc</OrderId></Notification>'
SELECT is(try('gateway', format('SELECT bw_receive(%L)', :'notification')), NULL, 'gateway hands in a callback');
SELECT is(count(*), 1::bigint, 'which is kept') FROM bw_notifications;
SELECT is(try(who, format('SELECT bw_receive(%L)', :'notification')), '42501', who || ' does not')
  FROM unnest(ARRAY['app', 'watcher', 'operations', 'nobody']) AS who;
SELECT is(try(who, 'SELECT * FROM bw_notifications'), '42501', who || ' reads none')
  FROM unnest(ARRAY['app', 'gateway', 'watcher', 'operations', 'nobody']) AS who;

--
-- May watch
--
SELECT is(try('watcher', 'SELECT * FROM bw_stat_worker'), NULL, 'watcher sees the worker');
SELECT is(try(who, 'SELECT * FROM bw_stat_worker'), '42501', who || ' does not')
  FROM unnest(ARRAY['app', 'gateway', 'operations', 'nobody']) AS who;

--
-- May operate
--
CREATE TEMPORARY TABLE levers AS
SELECT * FROM (VALUES ($$SELECT bw_pause(reason => 'rights')$$), ($$SELECT bw_resume()$$),
                      (format($$SELECT bw_approve(%s)$$, :app_order)),
                      (format($$SELECT bw_resolve(%s, 'failed')$$, :app_order)),
                      (format($$SELECT bw_adopt(%s, 'abc')$$, :app_order)),
                      ($$SELECT bw_subscribe('https://rights.example.com/')$$),
                      ($$SELECT bw_unsubscribe(max(id)) FROM bw_subscriptions$$),
                      ($$SELECT bw_rotate_callback_credentials()$$)) AS t(statement);
GRANT SELECT ON levers TO PUBLIC;
SELECT is(try('operations', statement), NULL, 'operations: ' || statement) FROM levers;
SELECT is(try(who, statement), '42501', who || ': ' || statement)
  FROM unnest(ARRAY['app', 'gateway', 'watcher', 'nobody']) AS who, levers;
SELECT is(try(who, $$SELECT bw_take_over('discard')$$), '42501', who || ' does not take over')
  FROM unnest(ARRAY['app', 'gateway', 'watcher', 'operations', 'nobody']) AS who;

--
-- Once the server is gone, nobody has USAGE on it
--
CREATE SERVER gone FOREIGN DATA WRAPPER bandwidth
    OPTIONS (base_url 'http://127.0.0.1:1', account_id '9900000', site_id '743', ordering 'hold');
CREATE USER MAPPING FOR PUBLIC SERVER gone OPTIONS (client_id 'client', client_secret 'secret');
GRANT USAGE ON FOREIGN SERVER gone TO rights_app, rights_operations;
SELECT is(try('app', format($$SELECT * FROM bw_order(ARRAY['540227809%s'], name => 'of app %s', server => 'gone')$$, n, n)), NULL, 'app orders')
  FROM generate_series(1, 3) AS n;
DROP USER MAPPING FOR PUBLIC SERVER gone;
REVOKE USAGE ON FOREIGN SERVER gone FROM rights_app, rights_operations;
DROP SERVER gone;
CREATE TEMPORARY TABLE orphans AS SELECT id, name FROM bw_orders WHERE server = 'gone';
GRANT SELECT ON orphans TO PUBLIC;
SELECT is(try('operations', format('SELECT %s', replace(call, 'id', id::text))), '42501', 'operations: ' || call)
  FROM orphans, unnest(ARRAY['bw_approve(id)', $$bw_resolve(id, 'failed')$$, $$bw_resolve(id, 'resend')$$, $$bw_adopt(id, 'abc')$$]) AS call;
SELECT is(test.error(format('SET LOCAL ROLE rights_operations; SELECT bw_approve(%s)', id)),
          format('42501 permission denied for order %s | Its foreign server "gone" does not exist any more. | The role that ordered, or the owner of the extension, can call the function.', id), 'and says who may')
  FROM orphans WHERE name = 'of app 1';
RESET ROLE;
SELECT results_eq($$SELECT status FROM bw_orders WHERE server = 'gone'$$, $$VALUES ('HELD'), ('HELD'), ('HELD')$$, 'nothing was decided');
GRANT EXECUTE ON FUNCTION bw_approve TO rights_app;
GRANT rights_app TO rights_other;
GRANT EXECUTE ON FUNCTION bw_approve TO rights_other;
SELECT is(try('app', format('SELECT bw_approve(%s)', id)), NULL, 'the role that ordered decides, where it may') FROM orphans WHERE name = 'of app 1';
SELECT is(try('other', format('SELECT bw_approve(%s)', id)), NULL, 'so do its members') FROM orphans WHERE name = 'of app 2';
SELECT ok(bw_approve(id), 'and a superuser') FROM orphans WHERE name = 'of app 3';
SELECT results_eq($$SELECT count(*) FROM bw_orders WHERE server = 'gone' AND bw_cancel(id)$$, 'VALUES (3::bigint)', 'all of them wait for their server, until they are cancelled');

DROP OWNED BY rights_app, rights_other, rights_gateway, rights_watcher, rights_operations, rights_nobody;
DROP ROLE rights_app, rights_other, rights_gateway, rights_watcher, rights_operations, rights_nobody;
SELECT * FROM finish();
