-- bw_disconnect: numbers are given back, after a while in which that can be
-- taken back, and no more of them a day than allowed.
\ir lib/helpers.sql
SELECT no_plan();

CREATE ROLE disconnect_app;
GRANT USAGE ON FOREIGN SERVER bandwidth TO disconnect_app;
CREATE USER MAPPING FOR PUBLIC SERVER bandwidth OPTIONS (client_id 'client', client_secret 'secret');
SELECT test.sandbox('config order_delay_ms=50 callbacks=off');

CREATE FUNCTION posts() RETURNS integer LANGUAGE sql AS $$SELECT test.requests('class=DISCONNECT method=POST')$$;
CREATE FUNCTION outcome(id bigint) RETURNS text LANGUAGE sql AS $$SELECT bw_wait(id, '60 s')$$;
-- Numbers of ours, to be given back.
CREATE FUNCTION buy(VARIADIC numbers text[]) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    CREATE TEMPORARY TABLE IF NOT EXISTS bought (id bigint);
    INSERT INTO bought SELECT DISTINCT id FROM bw_order(numbers);
    RETURN NULL;
END
$$;
SELECT buy('9192440001', '9192440002', '9192440003', '9192440004', '9192440005', '9192440006');
SELECT is(outcome(max(id)), 'COMPLETE', 'there are numbers to give back') FROM bought;

--
-- What is refused before anything is written
--
SELECT is(test.error($$SELECT bw_disconnect(ARRAY['9192440001'])$$),
          '42501 disconnecting is not allowed for server "bandwidth" | Its owner can set the server option "allow_disconnect" to true.',
          'nothing is disconnected unless the server says so');
ALTER SERVER bandwidth OPTIONS (ADD allow_disconnect 'true');
SET ROLE disconnect_app;
SELECT throws_ok($$SELECT bw_disconnect(ARRAY['9192440001'])$$, '42501', 'permission denied for function bw_disconnect',
                 'nor by everybody');
RESET ROLE;
GRANT EXECUTE ON FUNCTION bw_disconnect TO disconnect_app;
SELECT is(test.error($$SELECT bw_disconnect('{}')$$), '22023 there is no telephone number to disconnect', 'no number');
SELECT is(test.error($$SELECT bw_disconnect(NULL)$$), '22004 telephone_numbers must not be null', 'null');
SELECT is(test.error($$SELECT bw_disconnect(ARRAY['9192440001', NULL])$$),
          '22004 telephone_numbers must not contain nulls | The number at position 2 is null.', 'a null among them');
SELECT is(test.error($$SELECT bw_disconnect(ARRAY['9192440001', '(919) 244-0001'])$$),
          '22023 telephone number "9192440001" is listed twice | It stands at positions 1 and 2.', 'a number twice');
SELECT matches(test.error($$SELECT bw_disconnect(ARRAY['91924'])$$), '^22P02 invalid telephone number: "91924"', 'no number at all');
SELECT matches(test.error($$SELECT bw_disconnect(ARRAY['9192440001'], customer_order_id => 'a_b')$$), '^22023 ', 'an id that Bandwidth would refuse');
SELECT is(test.error($$SELECT bw_disconnect(ARRAY(SELECT (9192450000 + g)::text FROM generate_series(1, 11) AS g))$$),
          '53400 disconnecting 11 telephone numbers exceeds the limit of server "bandwidth" | The limit is 10 per day. | See the server option "max_disconnects_per_day".',
          'more than a day allows');
SELECT is((SELECT count(*) FROM bw_orders WHERE kind = 'disconnect'), 0::bigint, 'nothing was written');

--
-- A day to think
--
SET ROLE disconnect_app;
SELECT id AS held FROM bw_disconnect(ARRAY['+1 919 244 0001'], tag => '{"why": "moved"}', idempotency_key => 'k') \gset
SELECT results_eq($$SELECT telephone_number, status FROM bw_disconnect(ARRAY['9192440001'], idempotency_key => 'k')$$,
                  $$VALUES ('9192440001', 'HELD')$$, 'a disconnect is held first, and made once by its key');
SELECT results_eq(format($$SELECT kind, ordered_by = 'disconnect_app', quantity, tag->>'why', waiting_for ~ '^its time, .*: bw_cancel\(\) takes it back until then$'
                             FROM bw_orders JOIN bw_open_orders USING (id, kind, ordered_by, quantity) WHERE id = %s$$, :held),
                  $$VALUES ('disconnect', true, 1, 'moved', true)$$, 'and says until when');
RESET ROLE;
SELECT ok(due_at BETWEEN now() + interval '23 hours 50 minutes' AND now() + interval '1 day', 'a day, as release_after has it')
  FROM bw_held WHERE order_id = :held;
SET ROLE disconnect_app;
SELECT ok(bw_cancel(:held), 'until then it can be taken back');
RESET ROLE;
SELECT results_eq(format('SELECT status, (SELECT state FROM bw_requests WHERE id = request_id) FROM bw_orders WHERE id = %s', :held),
                  $$VALUES ('CANCELLED', 'closed')$$, 'and is CANCELLED');
SELECT is(posts(), 0, 'nothing was sent');

-- approved, it goes at once
SELECT id AS approved FROM bw_disconnect(ARRAY['9192440001']) \gset
SELECT ok(bw_approve(:approved), 'bw_approve() does not wait for the time');
SELECT is(outcome(:approved), 'COMPLETE', 'the number is given back');
SELECT results_eq(format('SELECT completed_quantity, failed_quantity, bandwidth_order_id IS NOT NULL FROM bw_orders WHERE id = %s', :approved),
                  'VALUES (1, 0, true)', 'as the row says');
SELECT matches(test.sandbox('GET numbers tn=9192440001'), '"state":"(aging|AGING|Aging)"', 'and Bandwidth');
SELECT results_eq(format('SELECT status, source FROM bw_order_events WHERE order_id = %s ORDER BY id', :approved),
                  $$VALUES ('QUEUED', 'user'), ('SENDING', 'worker'), ('RECEIVED', 'reply'), ('COMPLETE', 'poll')$$, 'with each step');
SELECT results_eq(format('SELECT status, completed_numbers FROM bw_fetch_order(%s)', :approved),
                  $$VALUES ('COMPLETE', ARRAY['9192440001'])$$, 'bw_fetch_order() shows Bandwidth''s');
SELECT is(test.error(format('SELECT bw_retry(%s)', :approved)),
          format('55000 order %s gives telephone numbers back | Call bw_disconnect() for those that are still yours.', :approved), 'it is not retried');

--
-- When the time has come; some of them not ours
--
ALTER SERVER bandwidth OPTIONS (ADD release_after '1s');
SELECT DISTINCT id AS part FROM bw_disconnect(ARRAY['9192440002', '9192449999']) \gset
SELECT is(outcome(:part), 'PARTIAL', 'it goes by itself when its time has come');
SELECT results_eq(format('SELECT telephone_number, status, error_code FROM bw_order_numbers WHERE order_id = %s ORDER BY 1', :part),
                  $$VALUES ('9192440002', 'COMPLETE', NULL), ('9192449999', 'FAILED', '5006')$$, 'a number that is not ours fails alone');
ALTER SERVER bandwidth OPTIONS (SET release_after '0s');
SELECT id AS none FROM bw_disconnect(ARRAY['9192449999']) \gset
SELECT is(outcome(:none), 'FAILED', 'release_after 0: at once');
SELECT results_eq(format('SELECT error_code FROM bw_orders WHERE id = %s', :none), $$VALUES ('5006')$$, 'with the reason');

--
-- No more a day than allowed; what is ordered has a limit of its own
--
SELECT results_eq($$SELECT kind::text COLLATE "default", sum(numbers) FROM bw_spending GROUP BY kind ORDER BY kind$$,
                  $$VALUES ('disconnect', 4::bigint), ('order', 6::bigint)$$, 'disconnects are counted by themselves');
ALTER SERVER bandwidth OPTIONS (ADD max_disconnects_per_day '5', SET max_numbers_per_day '0');
SELECT id AS last FROM bw_disconnect(ARRAY['9192440003']) \gset
SELECT is(outcome(:last), 'COMPLETE', 'the last one of the day, although nothing more may be ordered');
SELECT id AS over FROM bw_disconnect(ARRAY['9192440004']) \gset
SELECT ok(test.comes_true(format($$SELECT status = 'HELD' FROM bw_orders WHERE id = %s$$, :over)), 'one more is held');
SELECT matches(waiting_for, '^room under the limit max_disconnects_per_day \(5\), not before 20', 'and says why') FROM bw_open_orders WHERE id = :over;
SELECT results_eq($$SELECT ok, detail FROM bw_check() WHERE "check" = 'disconnecting'$$,
                  $$VALUES (false, '5 of 5 telephone numbers of the last 24 hours were disconnected, each 0 s after its order')$$, 'so does bw_check()');
ALTER SERVER bandwidth OPTIONS (SET max_disconnects_per_day '6', SET max_numbers_per_day '1000000');
SELECT is(outcome(:over), 'COMPLETE', 'until there is room');

--
-- The owner of the server thinks otherwise
--
ALTER SERVER bandwidth OPTIONS (SET max_disconnects_per_day '100');
SELECT bw_pause(reason => 'while the option changes');
SELECT id AS withdrawn FROM bw_disconnect(ARRAY['9192440005']) \gset
ALTER SERVER bandwidth OPTIONS (SET allow_disconnect 'false');
SELECT bw_resume();
SELECT is(outcome(:withdrawn), 'REJECTED', 'it is looked at once more before it goes');
SELECT is(error_text, 'disconnecting is not allowed for the server any more', 'and rejected') FROM bw_orders WHERE id = :withdrawn;
SELECT results_eq($$SELECT test.sandbox('GET numbers tn=9192440005') ~ 'ours'$$, 'VALUES (true)', 'the number stays');
ALTER SERVER bandwidth OPTIONS (SET allow_disconnect 'true', ADD ordering 'hold');
SELECT id AS unapproved FROM bw_disconnect(ARRAY['9192440005']) \gset
SELECT ok(test.comes_true(format($$SELECT waiting_for = 'bw_approve()' FROM bw_open_orders WHERE id = %s$$, :unapproved)),
          'with ordering = hold it waits for approval as well');
ALTER SERVER bandwidth OPTIONS (SET ordering 'off');
SELECT matches(test.error($$SELECT bw_disconnect(ARRAY['9192440006'])$$), '^55000 ordering is off for server "bandwidth"', 'with off there is none');
ALTER SERVER bandwidth OPTIONS (SET ordering 'on');
SELECT ok(bw_approve(:unapproved), 'approved');
SELECT is(outcome(:unapproved), 'COMPLETE', 'it goes');

--
-- One thing at a time with a number
--
SELECT test.sandbox('config order_delay_ms=1500');
SELECT id AS first FROM bw_disconnect(ARRAY['9192440006']) \gset
SELECT ok(test.comes_true(format($$SELECT status = 'RECEIVED' FROM bw_orders WHERE id = %s$$, :first)), 'while a number is being disconnected');
SELECT id AS next FROM bw_order(ARRAY['9192440006']) \gset
SELECT ok(test.comes_true(format($$SELECT waiting_for LIKE 'another order for the same telephone number (%%)' FROM bw_open_orders WHERE id = %s$$, :next)),
          'an order for it waits');
SELECT is(outcome(:first), 'COMPLETE', 'the first ends');
SELECT is(outcome(:next), 'FAILED', 'then the next one is sent; the number is aging');

--
-- Rolled back is never sent
--
SELECT posts() AS before \gset
BEGIN;
SELECT bw_disconnect(ARRAY['9192440001']);
ROLLBACK;
SELECT id AS marker FROM bw_disconnect(ARRAY['9192449999']) \gset
SELECT is(outcome(:marker), 'FAILED', 'a later one goes');
SELECT is(posts(), :before + 1, 'the one that was rolled back does not');
SELECT * FROM finish();
