-- bw_provision: rows that come with a number keep it, and buy no other one.
\ir lib/helpers.sql
SELECT no_plan();

CREATE ROLE numbers_owner;
GRANT USAGE ON FOREIGN SERVER bandwidth TO numbers_owner;
CREATE USER MAPPING FOR PUBLIC SERVER bandwidth OPTIONS (client_id 'client', client_secret 'secret');
GRANT CREATE ON SCHEMA public TO numbers_owner;
CREATE SCHEMA numbers_more AUTHORIZATION numbers_owner;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA test TO PUBLIC;
SELECT test.sandbox('config order_delay_ms=0 callbacks=off');

CREATE FUNCTION settled() RETURNS boolean LANGUAGE sql SECURITY DEFINER AS $$
    SELECT test.comes_true('SELECT bool_and(is_final) AND NOT EXISTS (SELECT FROM bw_provisions)
                              FROM bw_orders WHERE for_table IS NOT NULL', '30 s')
$$;
CREATE FUNCTION orders() RETURNS integer LANGUAGE sql AS $$SELECT count(*)::integer FROM bw_orders$$;

SET ROLE numbers_owner;
CREATE TABLE line (id integer, region text, phone text, state text, note text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE line_a PARTITION OF line FOR VALUES IN ('a');
CREATE TABLE line_b PARTITION OF line FOR VALUES IN ('b');
CREATE TRIGGER provision AFTER INSERT ON line FOR EACH ROW
    EXECUTE FUNCTION bw_provision('number_column', 'phone', 'status_column', 'state', 'npanxx', '919200', 'attempts', '3');
-- The same, without a status.
CREATE TABLE plain (id integer, region text, phone text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE plain_a PARTITION OF plain FOR VALUES IN ('a');
CREATE TABLE plain_b PARTITION OF plain FOR VALUES IN ('b');
CREATE TRIGGER provision AFTER INSERT ON plain FOR EACH ROW
    EXECUTE FUNCTION bw_provision('number_column', 'phone', 'npanxx', '919200', 'attempts', '3');
-- Each partition with a trigger of its own.
CREATE TABLE own (id integer, region text, phone text) PARTITION BY LIST (region);
CREATE TABLE own_a (id integer PRIMARY KEY, region text, phone text);
CREATE TABLE own_b (id integer PRIMARY KEY, region text, phone text);
ALTER TABLE own ATTACH PARTITION own_a FOR VALUES IN ('a');
ALTER TABLE own ATTACH PARTITION own_b FOR VALUES IN ('b');
CREATE TRIGGER provision AFTER INSERT ON own_a FOR EACH ROW EXECUTE FUNCTION bw_provision('number_column', 'phone', 'npanxx', '919200', 'attempts', '3');
CREATE TRIGGER provision AFTER INSERT ON own_b FOR EACH ROW EXECUTE FUNCTION bw_provision('number_column', 'phone', 'npanxx', '919200', 'attempts', '3');
INSERT INTO line VALUES (1, 'a'), (2, 'a');
INSERT INTO plain VALUES (1, 'a');
INSERT INTO own VALUES (1, 'a');
SELECT ok(settled(), 'rows get numbers');
SELECT orders() AS before \gset
CREATE TABLE had AS SELECT 'line' AS what, id, phone FROM line UNION ALL SELECT 'plain', id, phone FROM plain UNION ALL SELECT 'own', id, phone FROM own;

--
-- Rows that move
--
UPDATE line SET state = 'in use' WHERE id = 1;
UPDATE line SET region = 'b';
UPDATE plain SET region = 'b';
UPDATE own SET region = 'b';
SELECT is(orders(), :before, 'rows that move order nothing: whatever their status, without one, between triggers');
UPDATE line SET region = 'a' WHERE id = 1;
SELECT is(orders(), :before, 'nor when they move back');

--
-- Rows that come back
--
ALTER TABLE line RENAME TO lines;
ALTER TABLE lines SET SCHEMA numbers_more;
CREATE TABLE saved AS SELECT * FROM numbers_more.lines;
DELETE FROM numbers_more.lines;
INSERT INTO numbers_more.lines SELECT * FROM saved;
SELECT is(orders(), :before, 'rows of a table that has another name now');
SELECT set_eq('SELECT id, phone FROM numbers_more.lines', $$SELECT id, phone FROM had WHERE what = 'line'$$, 'come back with their numbers');
ALTER TABLE numbers_more.lines RENAME id TO ident;
DELETE FROM numbers_more.lines;
INSERT INTO numbers_more.lines SELECT * FROM saved;
SELECT is(orders(), :before, 'so do those whose key has another name');
ALTER TABLE numbers_more.lines RENAME ident TO id;

--
-- Numbers of other rows, and of others
--
INSERT INTO numbers_more.lines SELECT 10, 'a', phone FROM numbers_more.lines WHERE id = 1;
SELECT ok(settled(), 'a row that names the number of another row');
SELECT is((SELECT concat_ws(' ', l.state, l.phone = h.phone) FROM numbers_more.lines AS l, had AS h WHERE l.id = 10 AND h.what = 'line' AND h.id = 1),
          'FAILED t', 'learns that it cannot have it');
RESET ROLE;
SELECT test.sandbox('sell?tn=9192000777');
SET ROLE numbers_owner;
INSERT INTO numbers_more.lines VALUES (11, 'a', '919-200-0777');
SELECT ok(settled(), 'a row that names a number that somebody else has');
SELECT is((SELECT phone || ' ' || state FROM numbers_more.lines WHERE id = 11), '919-200-0777 FAILED', 'gets no other one, however many attempts there are');

--
-- When the orders are forgotten
--
RESET ROLE;
CALL bw_prune(now());
SELECT orders() AS before \gset
SET ROLE numbers_owner;
UPDATE numbers_more.lines SET region = 'a' WHERE id = 2;
SELECT is(orders(), :before, 'a row that is COMPLETE orders nothing, though nobody knows its order');
UPDATE numbers_more.lines SET region = 'b' WHERE id = 1;
UPDATE plain SET region = 'a';
SELECT ok(settled(), 'others order their numbers again');
SELECT set_eq($$SELECT 'line', id, phone FROM numbers_more.lines WHERE id < 10 UNION ALL SELECT 'plain', id, phone FROM plain UNION ALL SELECT 'own', id, phone FROM own$$,
              'SELECT * FROM had', 'and keep them all the same');
SELECT is((SELECT count(DISTINCT telephone_number) FROM bw_order_numbers WHERE status = 'COMPLETE'), 0::bigint, 'no second one was bought');

SELECT * FROM finish();
