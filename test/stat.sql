-- bw_stat_requests, bw_stat_worker and bw_open_orders.waiting_for: what is
-- counted is what the sandbox saw, and each wait says until when.
\ir lib/helpers.sql
SELECT no_plan();

CREATE ROLE stat_nobody;
CREATE ROLE stat_watcher IN ROLE pg_monitor;
GRANT USAGE ON FOREIGN SERVER bandwidth TO stat_nobody;
-- Budgets are an account's: those of the tests that run at the same time stay theirs.
ALTER SERVER bandwidth OPTIONS (SET account_id '9900042');
SELECT test.sandbox('config order_delay_ms=0 callbacks=off');

CREATE SEQUENCE numbers START 9192500000;
CREATE FUNCTION fresh() RETURNS text[] LANGUAGE sql AS $$SELECT ARRAY[nextval('numbers')::text]$$;
-- Counters of a class, in the order of their columns.
CREATE FUNCTION outcomes(class text) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', calls, done, refused, not_found, unauthorized, later, unknown, retries)
      FROM bw_stat_requests AS r WHERE r.class = $1
$$;
-- Times in what an order waits for, as 'T'.
CREATE FUNCTION waits(id bigint) RETURNS text LANGUAGE sql AS $$
    SELECT regexp_replace(waiting_for, '\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d+', 'T', 'g')
      FROM bw_open_orders AS o WHERE o.id = $1
$$;
CREATE FUNCTION comes_to_wait(id bigint, what text) RETURNS boolean LANGUAGE sql AS $$
    SELECT test.comes_true(format('SELECT waits(%s) LIKE %L', id, what))
$$;

SELECT ok(test.comes_true($$SELECT state = 'running' FROM bw_stat_worker$$), 'a worker comes');

--
-- Calls of a session
--
SELECT is_empty('SELECT * FROM bw_stat_requests', 'nothing was called');
SELECT count(*) FROM bw_search('540551', quantity => 3);
SELECT set_eq('SELECT server::text, class FROM bw_stat_requests', $$VALUES ('bandwidth', 'token'), ('bandwidth', 'search')$$,
              'a search needs a token');
SELECT is(outcomes('search'), '1 1 0 0 0 0 0 0', 'it is counted');
SELECT is(outcomes('token'), '1 1 0 0 0 0 0 0', 'and so is that');
SELECT ok(bytes_sent = 0 AND bytes_received > 300 AND total_time > 0, 'the bytes of its bodies and its time')
  FROM bw_stat_requests WHERE class = 'search';
SELECT ok(last_success_at > now() - interval '1 minute' AND last_error IS NULL AND last_error_at IS NULL
          AND stats_since <= last_success_at, 'and when it was') FROM bw_stat_requests WHERE class = 'search';
SELECT is(budget_left, 999999, 'one less is left') FROM bw_stat_requests WHERE class = 'search';
SELECT is(budget_left, NULL, 'tokens are not limited') FROM bw_stat_requests WHERE class = 'token';

SELECT test.sandbox('faults class=SEARCH kind=refuse code=4000 text=no&count=1');
SELECT test.error($$SELECT bw_search('540551')$$);
SELECT is(outcomes('search'), '2 1 1 0 0 0 0 0', 'refused');
SELECT is(last_error, '4000: no', 'for a reason') FROM bw_stat_requests WHERE class = 'search';
SELECT test.sandbox('DELETE faults');
SELECT test.sandbox('faults class=SEARCH kind=status status=404 count=1');
SELECT test.error($$SELECT bw_search('540551')$$);
SELECT is(outcomes('search'), '3 1 1 1 0 0 0 0', 'not found');
SELECT test.sandbox('faults class=SEARCH kind=unauthorized count=1');
SELECT count(*) FROM bw_search('540551', quantity => 3);
SELECT is(outcomes('search'), '5 2 1 1 1 0 0 1', 'a token that is refused costs a call, and a retry');
SELECT is(outcomes('token'), '2 2 0 0 0 0 0 0', 'and another token');
SELECT is(last_error, 'the access token was refused', 'which is the last error') FROM bw_stat_requests WHERE class = 'search';
SELECT test.sandbox('faults class=SEARCH kind=status status=500 count=1');
SELECT test.error($$SELECT bw_search('540551')$$);
SELECT is(outcomes('search'), '6 2 1 1 1 0 1 1', 'a reply that is lost');
SELECT test.sandbox('faults class=SEARCH kind=hang count=1');
SET statement_timeout = '300ms';
SELECT alike(test.error($$SELECT bw_search('540551')$$), '57014 %', 'a search that is cancelled');
RESET statement_timeout;
SELECT is(outcomes('search'), '7 2 1 1 1 0 2 1', 'is counted as well');
SELECT is(last_error, 'cancelled before the reply came', 'as what it was') FROM bw_stat_requests WHERE class = 'search';
SELECT is(test.requests('class=SEARCH'), calls::integer, 'Bandwidth saw as many') FROM bw_stat_requests WHERE class = 'search';
SELECT is((SELECT sum(n) FROM unnest(latency_calls) AS n), calls::numeric, 'each has its place in the histogram')
  FROM bw_stat_requests WHERE class = 'search';
SELECT is(cardinality(latency_calls), cardinality(latency_bounds) + 1, 'which has one more for what took longer')
  FROM bw_stat_requests WHERE class = 'search';
SELECT ok((SELECT sum(n) FROM unnest(latency_calls, latency_bounds) AS t(n, bound) WHERE bound IS NULL OR bound > 250) >= 1,
          'the one that hung took more than a quarter of a second') FROM bw_stat_requests WHERE class = 'search';
SELECT test.sandbox('faults class=SEARCH kind=rate_limit retry_after_s=6 count=1');
SELECT alike(test.error($$SELECT bw_search('540551')$$), 'TN003 %', 'over the rate limit');
SELECT is(outcomes('search'), '8 2 1 1 1 1 2 1', 'later');
SELECT ok(budget_left = 0 AND budget_free_at - last_error_at BETWEEN interval '4 s' AND interval '7 s', 'and until when')
  FROM bw_stat_requests WHERE class = 'search';

--
-- Reset, and who may
--
SET ROLE stat_nobody;
SELECT alike(test.error('SELECT bw_stat_reset()'), '42501 permission denied for function bw_stat_reset', 'not everybody resets');
SELECT alike(test.error('SELECT * FROM bw_stat_requests'), '42501 permission denied for view bw_stat_requests', 'or reads');
SELECT alike(test.error('SELECT * FROM bw_stat_get_worker()'), '42501 permission denied%', 'or goes behind the views');
SELECT alike(test.error($$SELECT * FROM bw_stat_get_delay('bandwidth', 'order')$$), '42501 permission denied%', 'by any of the ways');
SET ROLE stat_watcher;
SELECT is(calls, 8::bigint, 'pg_monitor reads') FROM bw_stat_requests WHERE class = 'search';
SELECT is(state, 'running', 'both views') FROM bw_stat_worker;
SELECT alike(test.error('SELECT bw_stat_reset()'), '42501 %', 'and does not reset');
RESET ROLE;
SELECT alike(test.error($$SELECT bw_stat_reset('nowhere')$$), '42704 server "nowhere" of wrapper "bandwidth" does not exist%', 'a server that is not there');
CREATE SERVER other FOREIGN DATA WRAPPER bandwidth OPTIONS (account_id '1');
SELECT bw_stat_reset('other');
SELECT is(calls, 8::bigint, 'another server''s counters are left alone') FROM bw_stat_requests WHERE class = 'search';
SELECT bw_stat_reset('bandwidth');
SELECT is(outcomes('search'), '0 0 0 0 0 0 0 0', 'all of them are 0 again');
SELECT ok(last_error IS NULL AND last_success_at IS NULL AND bytes_sent = 0 AND total_time = 0
          AND stats_since > now() - interval '1 minute', 'errors are forgotten') FROM bw_stat_requests WHERE class = 'search';

--
-- The worker
--
SELECT ok(next_wake_at BETWEEN clock_timestamp() - interval '5 s' AND clock_timestamp() + interval '11 s', 'it looks again soon')
  FROM bw_stat_worker;
SELECT is(port, current_setting('bandwidth.listen_port')::integer, 'its port is open') FROM bw_stat_worker;
SELECT results_eq('SELECT queued, oldest_queued_age, write_backs FROM bw_stat_worker', 'VALUES (0::bigint, NULL::interval, 0::bigint)',
                  'it has nothing to do');
SELECT results_eq($$SELECT application_name, wait_event_type, query FROM pg_stat_activity WHERE pid = (SELECT pid FROM bw_stat_worker)
                       AND wait_event IS NOT NULL$$,
                  $$VALUES ('bandwidth worker', 'Extension', 'waiting for work')$$, 'and says so')
 WHERE test.comes_true($$SELECT query = 'waiting for work' AND wait_event IS NOT NULL FROM pg_stat_activity
                          WHERE pid = (SELECT pid FROM bw_stat_worker)$$);
SELECT is(application_name, 'bandwidth launcher', 'the launcher has a name, too') FROM pg_stat_activity
 WHERE backend_type = 'bandwidth launcher';
SELECT test.sandbox('faults class=ORDER method=POST kind=delay delay_ms=1000 count=1');
SELECT id AS first FROM bw_order(fresh(), name => 'first') \gset
SELECT ok(comes_to_wait(:first, 'the reply to its request, until T'), 'an order is being sent');
SELECT ok(test.comes_true($$SELECT in_flight = 1 FROM bw_stat_worker$$), 'a call is under way');
SELECT is(query, 'waiting for 1 replies', 'it says what it waits for') FROM pg_stat_activity
 WHERE pid = (SELECT pid FROM bw_stat_worker);
SELECT is(bw_wait(:first), 'COMPLETE', 'the order is done');
SELECT is(outcomes('order'), '1 1 0 0 0 0 0 0', 'one POST');
SELECT ok(bytes_sent > 200 AND latency_calls[1] = 0, 'with a body, and late') FROM bw_stat_requests WHERE class = 'order';
SELECT ok(last_success_at IS NOT NULL AND last_error_at IS NULL AND last_error IS NULL, 'the worker''s last call was well')
  FROM bw_stat_worker;
SELECT alike(detail, 'the last call that succeeded was at %', 'bw_check() says so') FROM bw_check() WHERE "check" = 'last error' AND ok;

--
-- What orders wait for
--
-- a connection that is not there
ALTER SERVER bandwidth OPTIONS (SET base_url 'http://127.0.0.1:1/api');
SELECT id AS unreached FROM bw_order(fresh(), name => 'unreached') \gset
SELECT ok(comes_to_wait(:unreached, 'another try at T: Failed to connect%'), 'an order that could not be sent');
SELECT ok(last_error_at > last_success_at AND last_error LIKE 'Failed to connect%', 'the worker''s last error') FROM bw_stat_worker;
SELECT alike(detail, 'the last call or step failed at %: Failed to connect%', 'which bw_check() shows') FROM bw_check()
 WHERE "check" = 'last error' AND NOT ok AND hint IS NOT NULL;
SET ROLE stat_nobody;
SELECT alike(detail, 'the last call or step failed at %: members of pg_monitor see why', 'and keeps from those who may not see everybody''s orders')
  FROM bw_check() WHERE "check" = 'last error' AND NOT ok;
RESET ROLE;
SELECT ok(later >= 1 AND last_error LIKE 'Failed to connect%', 'and is counted') FROM bw_stat_requests WHERE class = 'order';
ALTER SERVER bandwidth OPTIONS (SET base_url :'base_url');
SELECT is(bw_wait(:unreached), 'COMPLETE', 'it goes out in the end');

-- 429
SELECT test.sandbox('faults class=ORDER method=POST kind=rate_limit retry_after_s=3 count=1');
SELECT id AS limited FROM bw_order(fresh(), name => 'limited') \gset
SELECT ok(comes_to_wait(:limited, 'its turn under the rate limit, not before T'), 'an order over the rate limit');
SELECT ok(waiting_for ~ to_char(budget_free_at, 'YYYY-MM-DD HH24:MI:SS'), 'until the time of bw_stat_requests')
  FROM bw_open_orders, bw_stat_requests WHERE id = :limited AND class = 'order';
SELECT is(bw_wait(:limited), 'COMPLETE', 'it goes out then');

-- a pause by an error, and by a person
SELECT test.sandbox('faults class=ORDER method=POST kind=refuse code=5051 text=not_allowed');
SELECT id AS paused FROM bw_order(fresh(), name => 'paused') \gset
SELECT ok(comes_to_wait(:paused, 'the end of a pause (5051: not_allowed, since T)'), 'a pause by an error');
SELECT ok(paused[1] LIKE 'bandwidth%: 5051: not_allowed since %', 'bw_stat_worker shows it') FROM bw_stat_worker;
SELECT test.sandbox('DELETE faults');
SELECT bw_pause(reason => '');
SELECT is(waits(:paused), 'the end of a pause (paused by bw_pause(), by ' || current_user || ', since T)', 'a pause for no reason');
SELECT bw_pause(reason => 'audit');
SELECT is(waits(:paused), 'the end of a pause (audit, by ' || current_user || ', since T)', 'a pause by a person');
ALTER SERVER bandwidth OPTIONS (SET account_id '9900002');
SELECT is(waits(:paused), 'account 9900042, which is not that of server "bandwidth" any more', 'another account');
ALTER SERVER bandwidth OPTIONS (SET account_id '9900042', ADD ordering 'off');
SELECT is(waits(:paused), 'server "bandwidth", whose option "ordering" is off', 'ordering is off');
ALTER SERVER bandwidth OPTIONS (DROP ordering);
SELECT bw_resume();
SELECT is(bw_wait(:paused), 'COMPLETE', 'it is sent when the pause ends');

-- the limit per day
SELECT numbers AS spent FROM (SELECT sum(numbers) AS numbers FROM bw_spending WHERE kind = 'order') AS s \gset
ALTER SERVER bandwidth OPTIONS (SET max_numbers_per_day :'spent');
SELECT id AS over FROM bw_order(fresh(), name => 'over') \gset
SELECT ok(comes_to_wait(:over, 'room under the limit max_numbers_per_day (' || :spent || '), not before T'), 'over the limit per day');
SELECT ok(waiting_for ~ to_char(min(minute) + interval '1 day 1 minute', 'YYYY-MM-DD HH24:MI:SS'), 'until the oldest minute has left the window')
  FROM bw_open_orders, bw_spending WHERE id = :over AND bw_spending.kind = 'order' GROUP BY waiting_for;
SELECT is(held, 1::bigint, 'held') FROM bw_stat_worker;
SELECT bw_cancel(:over);
ALTER SERVER bandwidth OPTIONS (SET max_numbers_per_day '1000000');

-- a search that does not come back
SELECT test.sandbox('faults class=SEARCH kind=status status=503');
SELECT id AS searched FROM bw_order_search(npanxx => '919251') \gset
SELECT ok(comes_to_wait(:searched, 'a search for its telephone numbers; the last one failed: HTTP status 503'), 'a search that fails');
SELECT is(bw_cancel(:searched), true, 'until somebody has enough of it');
SELECT test.sandbox('DELETE faults');

-- a lost reply, and the same request again
SELECT test.sandbox('faults class=ORDER method=POST kind=reset_before count=1');
SELECT id AS lost FROM bw_order(fresh(), name => 'lost') \gset
SELECT ok(comes_to_wait(:lost, 'a look-up at T: the reply to its request was lost'), 'a reply that is lost');
SELECT is(unknown, 1::bigint, 'one is unknown') FROM bw_stat_worker;
UPDATE bw_open_requests SET step = 'resend', due_at = 'infinity';
SELECT is(waiting_for, 'its request to be sent again at infinity: the reply to its request was lost', 'a request that is sent again')
  FROM bw_open_orders WHERE id = :lost;
UPDATE bw_open_requests SET due_at = now();
SELECT bw_recheck(:lost);
SELECT is(bw_wait(:lost), 'COMPLETE', 'it is');
SELECT is(retries, 1::bigint, 'which is a retry') FROM bw_stat_requests WHERE class = 'order';

-- a row that waits for its number
CREATE TABLE subscribers (id integer PRIMARY KEY, phone text, phone_error text);
CREATE TRIGGER give_number AFTER INSERT ON subscribers FOR EACH ROW
    EXECUTE FUNCTION bw_provision('number_column', 'phone', 'error_column', 'phone_error');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'not today'; END$$;
CREATE TRIGGER refuse BEFORE UPDATE ON subscribers FOR EACH ROW EXECUTE FUNCTION refuse();
INSERT INTO subscribers VALUES (1, '9192600001');
SELECT id AS row_order FROM bw_orders WHERE for_table IS NOT NULL \gset
SELECT ok(comes_to_wait(:row_order, 'its outcome to be written into its row of public.subscribers, again at T: not today%'),
          'an outcome that cannot be written');
SELECT is(write_backs, 1::bigint, 'is counted') FROM bw_stat_worker;
SELECT is(count(*), 1::bigint, 'the process that tries has a name') FROM pg_stat_activity
 WHERE application_name = 'bandwidth provisioner' AND datname = current_database();
DROP TRIGGER refuse ON subscribers;
UPDATE bw_provisions SET due_at = now();
SELECT bw_resume();
SELECT ok(test.comes_true(format('SELECT NOT EXISTS (SELECT FROM bw_open_orders WHERE id = %s)', :row_order)), 'once it is written, nothing is open');
SELECT is(phone, '9192600001', 'the row has it') FROM subscribers;

-- a copy
UPDATE bw_orders SET status = 'QUEUED' WHERE id = :first;
UPDATE bw_identity SET instance = 'copy';
SELECT is(waits(:first), 'bw_take_over(): this database is a copy of the one that its orders belong to', 'in a copy nothing is sent');
UPDATE bw_identity SET home = gen_random_uuid();
SELECT is(waits(:first), 'the database that it was made in: this one is a copy', 'least of all what was ordered elsewhere');

-- beside a table that is read in parallel
CREATE TABLE crowd AS SELECT generate_series(1, 10000) AS n;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SELECT count(w.waiting_for) AS seen FROM crowd AS c, bw_open_orders AS w WHERE c.n = w.id - :first + 1 \gset
SELECT ok(:seen > 0, 'what an order waits for can be joined with a large table');
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;

-- all of it at once
SELECT bw_stat_reset();
SELECT is_empty('SELECT * FROM bw_stat_requests WHERE calls > 0', 'reset');
SELECT ok(last_success_at IS NULL AND last_error IS NULL AND last_error_at IS NULL, 'the worker''s, too') FROM bw_stat_worker;
DROP SERVER bandwidth CASCADE;
SELECT is_empty('SELECT * FROM bw_stat_requests', 'what was dropped is not shown');

DROP OWNED BY stat_nobody, stat_watcher;
DROP ROLE stat_nobody, stat_watcher;
SELECT * FROM finish();
