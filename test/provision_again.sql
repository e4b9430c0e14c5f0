-- bw_provision: a primary key that is used again while its order is open.
\ir lib/helpers.sql
SELECT no_plan();

CREATE ROLE again_owner;
GRANT USAGE ON FOREIGN SERVER bandwidth TO again_owner;
CREATE USER MAPPING FOR PUBLIC SERVER bandwidth OPTIONS (client_id 'client', client_secret 'secret');
GRANT CREATE ON SCHEMA public TO again_owner;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA test TO PUBLIC;
SELECT test.sandbox('config order_delay_ms=0 callbacks=off');

CREATE FUNCTION settled() RETURNS boolean LANGUAGE sql SECURITY DEFINER AS $$
    SELECT test.comes_true('SELECT bool_and(is_final) AND NOT EXISTS (SELECT FROM bw_provisions)
                              FROM bw_orders WHERE for_table IS NOT NULL', '30 s')
$$;
-- What became of the orders for a row, oldest first.
CREATE FUNCTION story(wanted integer) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', o.status, COALESCE(o.criteria->>'area_code', 'number'), o.write_back_error), ', ' ORDER BY o.id)
      FROM bw_orders AS o WHERE for_key = jsonb_build_object('id', wanted)
$$;

SET ROLE again_owner;
CREATE TABLE customer (id integer PRIMARY KEY, area text, phone text, state text DEFAULT 'pending');
CREATE TRIGGER provision AFTER INSERT ON customer FOR EACH ROW
    EXECUTE FUNCTION bw_provision('number_column', 'phone', 'status_column', 'state', 'area_code_column', 'area');
CREATE TRIGGER provision_again AFTER UPDATE ON customer FOR EACH ROW WHEN (NEW.state = 'retry')
    EXECUTE FUNCTION bw_provision('number_column', 'phone', 'status_column', 'state', 'area_code_column', 'area');

--
-- Not sent yet
--
RESET ROLE;
SELECT bw_pause(reason => 'until the rows are there');
SET ROLE again_owner;
INSERT INTO customer VALUES (100, '919');
DELETE FROM customer;
INSERT INTO customer VALUES (100, '540');
BEGIN;
INSERT INTO customer VALUES (101, '919');
DELETE FROM customer WHERE id = 101;
INSERT INTO customer VALUES (101, '540');
COMMIT;
INSERT INTO customer VALUES (102, '919');
DELETE FROM customer WHERE id = 102;
INSERT INTO customer VALUES (102, NULL, '5402278097');
INSERT INTO customer VALUES (103, NULL, '5402278098');
DELETE FROM customer WHERE id = 103;
INSERT INTO customer VALUES (103, NULL, '5402278099');
INSERT INTO customer VALUES (104, '919');
DELETE FROM customer WHERE id = 104;
INSERT INTO customer VALUES (104, '919');
INSERT INTO customer VALUES (105, '919');
UPDATE customer SET area = '540', state = 'retry' WHERE id = 105;
RESET ROLE;
SELECT bw_resume();
SELECT ok(settled(), 'rows that were replaced');
SELECT is(story(100), 'CANCELLED 919, COMPLETE 540', 'by one that wants another number: the order is cancelled, and another one made');
SELECT is(story(101), 'CANCELLED 919, COMPLETE 540', 'in one transaction');
SELECT is(story(102), 'CANCELLED 919, COMPLETE number', 'by one that names its number');
SELECT is(story(103), 'CANCELLED number, COMPLETE number', 'another one');
SELECT is(story(104), 'COMPLETE 919', 'by one that wants the same: that is ordered once');
SELECT is(story(105), 'CANCELLED 919, COMPLETE 540', 'a row that was altered and wants another one');
SELECT results_eq('SELECT id, left(phone, 3), state FROM customer WHERE id <> 103 ORDER BY id',
                  $$VALUES (100, '540', 'COMPLETE'), (101, '540', 'COMPLETE'), (102, '540', 'COMPLETE'), (104, '919', 'COMPLETE'), (105, '540', 'COMPLETE')$$,
                  'each row has what it wants');
SELECT results_eq('SELECT id, phone, state FROM customer WHERE id IN (102, 103) ORDER BY id',
                  $$VALUES (102, '5402278097', 'COMPLETE'), (103, '5402278099', 'COMPLETE')$$, 'to the digit');

--
-- Under way
--
RESET ROLE;
SELECT test.sandbox('faults class=HISTORY kind=status');
SET ROLE again_owner;
INSERT INTO customer VALUES (200, '919'), (201, '919'), (202, '919');
RESET ROLE;
SELECT ok(test.comes_true($$SELECT count(*) = 3 FROM bw_orders WHERE status = 'RECEIVED' AND (for_key->>'id')::integer >= 200$$), 'orders that are under way');
SET ROLE again_owner;
DELETE FROM customer WHERE id IN (200, 201);
INSERT INTO customer VALUES (200, '540'), (201, '919');
UPDATE customer SET area = '540', state = 'retry' WHERE id = 202;
SELECT is((SELECT count(*) FROM bw_orders WHERE NOT is_final), 4::bigint, 'a row that wants another number than the one before orders it');
RESET ROLE;
SELECT test.sandbox('DELETE faults');
SELECT ok(settled(), 'they end');
SELECT is(story(200), 'COMPLETE 919 the row was replaced by another one with the same primary key, COMPLETE 540', 'the first order says why its number is in no row');
SELECT is(story(201), 'COMPLETE 919', 'what is wanted still is not ordered again');
SELECT is(story(202), 'COMPLETE 919', 'a row that was altered goes on waiting: two numbers would be bought for it');
SELECT results_eq('SELECT id, left(phone, 3), state FROM customer WHERE id >= 200 ORDER BY id',
                  $$VALUES (200, '540', 'COMPLETE'), (201, '919', 'COMPLETE'), (202, '919', 'COMPLETE')$$, 'the rows have their numbers');

SELECT * FROM finish();
