-- bw_retry: what an order did not get is ordered once more.
\ir lib/helpers.sql
SELECT no_plan();

CREATE ROLE retry_app;
CREATE ROLE retry_other;
GRANT USAGE ON FOREIGN SERVER bandwidth TO retry_app, retry_other;
CREATE USER MAPPING FOR PUBLIC SERVER bandwidth OPTIONS (client_id 'client', client_secret 'secret');
SELECT test.sandbox('config order_delay_ms=100 callbacks=off');

CREATE FUNCTION outcome(id bigint) RETURNS text LANGUAGE sql AS $$SELECT bw_wait(id, '30 s')$$;
CREATE FUNCTION posts() RETURNS integer LANGUAGE sql AS $$SELECT test.requests('class=ORDER method=POST')$$;

--
-- An order that got nothing
--
SELECT test.sandbox('sell?tn=9192400001');
SELECT id AS taken FROM bw_order(ARRAY['9192400001'], name => 'for Tom', tag => '{"a": 1}', site_id => '13606') \gset
SELECT is(outcome(:taken), 'FAILED', 'an order for a number that is taken');
SELECT test.sandbox('restock?tn=9192400001');
SELECT results_eq(format('SELECT telephone_number, status FROM bw_retry(%s)', :taken),
                  $$VALUES ('9192400001', 'QUEUED')$$, 'is made again');
SELECT id AS again FROM bw_orders WHERE retry_of = :taken \gset
SELECT is(outcome(:again), 'COMPLETE', 'and gets it now');
SELECT results_eq(format('SELECT name, tag, site_id, quantity FROM bw_orders WHERE id = %s', :again),
                  $$VALUES ('for Tom', '{"a": 1}'::jsonb, '13606', 1)$$, 'with what the first one said');
SELECT posts() AS before \gset
SELECT results_eq(format('SELECT * FROM bw_retry(%s)', :taken),
                  format($$VALUES (%s::bigint, '9192400001', 'COMPLETE')$$, :again), 'asked again, it is the same retry');
SELECT is(posts(), :before, 'which sends nothing');
SELECT is(test.error(format('SELECT bw_retry(%s)', :again)),
          format('55000 order %s got all that it asked for', :again), 'what got all needs no retry');
SELECT is(test.error('SELECT bw_retry(0)'),
          '42704 order 0 does not exist | bw_orders lists the orders of your role.', 'no such order');
SELECT is_empty('SELECT bw_retry(NULL)', 'no order');

--
-- One that got a part
--
SELECT test.sandbox('sell?tn=9192400003');
SELECT id AS part FROM bw_order(ARRAY['9192400002', '9192400003'], partial_allowed => true) LIMIT 1 \gset
SELECT is(outcome(:part), 'PARTIAL', 'an order that gets one of two');
SELECT test.sandbox('restock?tn=9192400003');
BEGIN;
SELECT results_eq(format('SELECT telephone_number FROM bw_retry(%s)', :part), $$VALUES ('9192400003')$$,
                  'a retry wants the other one');
ROLLBACK;
SELECT is_empty(format('SELECT FROM bw_orders WHERE retry_of = %s', :part), 'rolled back, it is gone');
SELECT id AS rest FROM bw_retry(:part) \gset
SELECT is(outcome(:rest), 'COMPLETE', 'and may be made again');

--
-- By criteria
--
SELECT id AS searched FROM bw_order_search(quantity => 2, npanxx => '999999') \gset
SELECT is(outcome(:searched), 'REJECTED', 'an order by criteria that nothing matches');
SELECT results_eq(format('SELECT telephone_number, status FROM bw_retry(%s)', :searched),
                  $$VALUES (NULL, 'QUEUED')$$, 'is searched for again');
SELECT results_eq(format('SELECT o.criteria = f.criteria, o.quantity FROM bw_orders AS o JOIN bw_orders AS f ON f.id = o.retry_of
                           WHERE f.id = %s', :searched), 'VALUES (true, 2)', 'by the same criteria');

--
-- Not yet, and not everybody
--
ALTER SERVER bandwidth OPTIONS (ADD ordering 'hold');
SELECT id AS held FROM bw_order(ARRAY['9192400004']) \gset
SELECT is(test.error(format('SELECT bw_retry(%s)', :held)),
          format('55000 order %s is still under way | Its status is HELD. | '
                 'bw_open_orders says what it waits for; bw_wait() waits for its end.', :held),
          'an order that is under way');
SELECT bw_cancel(:held);
SELECT results_eq(format('SELECT status FROM bw_retry(%s)', :held), $$VALUES ('HELD')$$, 'a cancelled one may be retried, and the guards apply');
ALTER SERVER bandwidth OPTIONS (SET ordering 'off');
SELECT alike(test.error(format('SELECT bw_retry(%s)', :searched)), '55000 ordering is off%', 'also that one');
ALTER SERVER bandwidth OPTIONS (SET ordering 'on');
SET ROLE retry_app;
SELECT test.sandbox('sell?tn=9192400005');
SELECT id AS own FROM bw_order(ARRAY['9192400005']) \gset
SELECT is(outcome(:own), 'FAILED', 'a role''s own order');
SET ROLE retry_other;
SELECT alike(test.error(format('SELECT bw_retry(%s)', :own)), '42704 %', 'is nobody else''s to retry');
SET ROLE retry_app;
SELECT is(ordered_by, 'retry_app', 'the new order is the caller''s')
  FROM bw_retry(:own) AS r JOIN bw_orders AS o ON o.id = r.id;
RESET ROLE;

DROP OWNED BY retry_app, retry_other;
SELECT * FROM finish();
