-- Orders: from where they can be made, who sees them, and what can be asked of
-- them afterwards.
\ir lib/helpers.sql
SELECT no_plan();

CREATE ROLE orders_app;
CREATE ROLE orders_other;
CREATE ROLE orders_manager;
GRANT orders_app TO orders_manager;
GRANT USAGE ON FOREIGN SERVER bandwidth TO orders_app, orders_other;
CREATE USER MAPPING FOR PUBLIC SERVER bandwidth OPTIONS (client_id 'client', client_secret 'secret');
-- each order with a POST of its own, and no callbacks
SELECT test.sandbox('config order_delay_ms=100 callbacks=off');

-- The state that an order comes to rest in.
CREATE FUNCTION outcome(id bigint) RETURNS text LANGUAGE sql AS $$SELECT bw_wait(id, '30 s')$$;
CREATE FUNCTION posts() RETURNS integer LANGUAGE sql AS $$SELECT test.requests('class=ORDER method=POST')$$;
-- Numbers that nobody else here orders.
CREATE SEQUENCE fresh START 9192000001;
CREATE FUNCTION fresh() RETURNS text[] LANGUAGE sql AS $$SELECT ARRAY[nextval('fresh')::text]$$;
GRANT USAGE ON SEQUENCE fresh TO PUBLIC;

--
-- From everywhere
--
DO $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT * FROM bw_order(ARRAY['5402278098', '+1 (540) 227-0905'], name => 'plpgsql') LOOP
        ASSERT r.status = 'QUEUED';
    END LOOP;
END
$$;
SELECT is(outcome(id), 'COMPLETE', 'an order from PL/pgSQL') FROM bw_orders WHERE name = 'plpgsql';
SELECT results_eq($$SELECT n.telephone_number, n.status FROM bw_order_numbers AS n JOIN bw_orders AS o ON o.id = n.order_id
                     WHERE o.name = 'plpgsql' ORDER BY 1$$,
                  $$VALUES ('5402270905', 'COMPLETE'), ('5402278098', 'COMPLETE')$$, 'with both numbers');

CREATE TABLE customer (name text, telephone_number text, order_id bigint);
CREATE FUNCTION order_number() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT o.id INTO NEW.order_id
      FROM bw_order(ARRAY[NEW.telephone_number], name => NEW.name, tag => jsonb_build_object('customer', NEW.name)) AS o;
    RETURN NEW;
END
$$;
CREATE TRIGGER order_number BEFORE INSERT ON customer FOR EACH ROW EXECUTE FUNCTION order_number();
SELECT posts() AS before \gset
BEGIN;
INSERT INTO customer VALUES ('nobody', '5402278089');
ROLLBACK;
INSERT INTO customer VALUES ('Tom & Jerry', '5402278090');
SELECT is(outcome(order_id), 'COMPLETE', 'an order from a trigger') FROM customer;
SELECT results_eq('SELECT o.name, o.tag FROM bw_orders AS o JOIN customer AS c ON c.order_id = o.id',
                  $$VALUES ('Tom & Jerry', '{"customer": "Tom & Jerry"}'::jsonb)$$, 'with name and tag');
SELECT is(posts() - :before, 1, 'the one that was rolled back was not sent');
SELECT throws_ok($$INSERT INTO customer VALUES ('typo', '540227809')$$, '22P02',
                 'invalid telephone number: "540227809"', 'an error is the INSERT''s');

PREPARE one(text[], text) AS SELECT id FROM bw_order($1, name => $2);
CREATE TABLE prepared (id bigint);
-- more often than PostgreSQL makes custom plans
INSERT INTO prepared SELECT id FROM bw_order(fresh(), name => 'direct');
DO $$
BEGIN
    FOR i IN 1 .. 7 LOOP
        EXECUTE format('EXECUTE one(%L, %L)', fresh(), 'prepared ' || i);
    END LOOP;
END
$$;
SELECT is(count(*), 7::bigint, 'orders from a prepared statement') FROM bw_orders WHERE name LIKE 'prepared %';
SELECT is(array_agg(DISTINCT outcome(id)), ARRAY['COMPLETE'], 'all complete') FROM bw_orders WHERE name LIKE 'prepared %';

SELECT is(test.error(format('SET LOCAL transaction_read_only = on; %s%s(%s)', CASE WHEN name IN ('bw_prune', 'bw_order_and_wait') THEN 'CALL ' ELSE 'SELECT ' END, name, arguments)),
          format('25006 cannot execute %s() in a read-only transaction', name), name || '() in a read-only transaction')
  FROM (VALUES ('bw_order', '''{9192000001}'''), ('bw_order_search', 'npanxx => ''919200'''), ('bw_disconnect', '''{9192000001}'''),
               ('bw_order_and_wait', '''{9192000001}'''), ('bw_cancel', '1'), ('bw_retry', '1'), ('bw_recheck', '1'),
               ('bw_close_order', '1'), ('bw_receive', '''<x/>'''), ('bw_pause', '''nowhere'''), ('bw_resume', '''nowhere'''),
               ('bw_approve', '1'), ('bw_resolve', '1, ''later'''), ('bw_adopt', '1, ''x'''), ('bw_take_over', '''later'''),
               ('bw_prune', 'now()'), ('bw_subscribe', ''), ('bw_unsubscribe', '1'), ('bw_rotate_callback_credentials', ''),
               ('bw_test_outcome', '1')) AS v(name, arguments);

--
-- By whom
--
REVOKE SELECT ON bw_orders, bw_order_numbers, bw_order_events, bw_requests FROM PUBLIC;
SET ROLE orders_app;
-- what the caller has in the way changes nothing
CREATE TEMPORARY TABLE bw_orders (id bigint);
CREATE TEMPORARY TABLE bw_queue (id bigint);
CREATE FUNCTION pg_temp.now() RETURNS timestamptz LANGUAGE sql AS $$SELECT 1 / 0; SELECT NULL::timestamptz$$;
SET search_path = pg_temp, public, pg_catalog;
SELECT is(status, 'QUEUED', 'a role without rights on any table orders') FROM bw_order(fresh(), name => 'app');
SELECT is(test.error('SELECT * FROM public.bw_orders'), '42501 permission denied for table bw_orders',
          'though it cannot even read the table');
RESET search_path;
DROP TABLE pg_temp.bw_orders, pg_temp.bw_queue;
RESET ROLE;
GRANT SELECT ON bw_orders, bw_order_numbers, bw_order_events, bw_requests TO PUBLIC;
SELECT id AS app_order FROM bw_orders WHERE name = 'app' \gset
SELECT is(ordered_by, 'orders_app'::name, 'it is the order''s role') FROM bw_orders WHERE id = :app_order;
SELECT is(outcome(:app_order), 'COMPLETE', 'and its order completes');

-- who ordered may be gone
BEGIN;
CREATE ROLE orders_leaver;
GRANT USAGE ON FOREIGN SERVER bandwidth TO orders_leaver;
SET ROLE orders_leaver;
SELECT id AS left FROM bw_order(fresh()) \gset
RESET ROLE;
DROP OWNED BY orders_leaver;
DROP ROLE orders_leaver;
SELECT isnt(waiting_for, NULL, 'a superuser sees the order of a role that was dropped') FROM bw_open_orders WHERE id = :left;
SELECT ok(bw_cancel(:left), 'and takes it back');
COMMIT;

-- row security
SET ROLE orders_app;
SELECT results_eq('SELECT name FROM bw_orders', $$VALUES ('app')$$, 'a role sees its orders');
SELECT is(count(*), 1::bigint, 'their numbers') FROM bw_order_numbers;
SELECT ok(count(*) >= 2, 'their events') FROM bw_order_events;
SELECT is(count(*), 1::bigint, 'and their requests') FROM bw_requests;
SET ROLE orders_manager;
SELECT results_eq('SELECT name FROM bw_orders', $$VALUES ('app')$$, 'so does who has that role''s rights');
SELECT is(bw_wait(:app_order), 'COMPLETE', 'and may ask for them');
SET ROLE orders_other;
SELECT is_empty('SELECT * FROM ' || t, 'others see nothing in ' || t)
  FROM unnest(ARRAY['bw_orders', 'bw_order_numbers', 'bw_order_events', 'bw_requests', 'bw_open_orders']) AS t;
SELECT is(test.error(format('SELECT %s(%s)', f, :app_order)),
          format('42704 order %s does not exist | bw_orders lists the orders of your role.', :app_order),
          f || '() of another role''s order')
  FROM unnest(ARRAY['bw_cancel', 'bw_wait', 'bw_fetch_order', 'bw_recheck', 'bw_waiting_for']) AS f;
SELECT is(test.error(format('SELECT * FROM bw_wait(ARRAY[%s])', :app_order)),
          format('42704 order %s does not exist | bw_orders lists the orders of your role.', :app_order),
          'nor in a list');
SELECT alike(test.error('SELECT * FROM ' || t), '42501 %', t || ' is not for users')
  FROM unnest(ARRAY['bw_notifications', 'bw_queue', 'bw_held', 'bw_open_requests', 'bw_inbox', 'bw_identity',
                    'bw_callback_keys', 'bw_subscription_work']) AS t;
SELECT alike(test.error(s), '42501 permission denied for %', s)
  FROM unnest(ARRAY['DELETE FROM bw_orders', 'INSERT INTO bw_order_events (order_id) VALUES (1)',
                    'UPDATE bw_order_numbers SET status = ''COMPLETE''', 'TRUNCATE bw_requests',
                    'SELECT bw_receive(''<x/>'')', 'SELECT bw_unsubscribe(1)']) AS s;
RESET ROLE;

--
-- idempotency_key and customer_order_id
--
SELECT posts() AS before \gset
SELECT id AS first FROM bw_order(ARRAY['9192100001', '9192100002'], idempotency_key => 'k1') LIMIT 1 \gset
SELECT is(outcome(:first), 'COMPLETE', 'an order with a key');
SELECT results_eq($$SELECT * FROM bw_order(ARRAY['9192100001', '9192100002'], idempotency_key => 'k1')$$,
                  format($$VALUES (%1$s::bigint, '9192100001', 'COMPLETE'), (%1$s, '9192100002', 'COMPLETE')$$, :first),
                  'the same key again is the same order');
SELECT is(posts() - :before, 1, 'one POST');
SELECT results_eq($$SELECT DISTINCT id FROM bw_order(ARRAY['(919) 210-0002', '+19192100001'], idempotency_key => 'k1')$$,
                  ARRAY[:first]::bigint[], 'in any order and spelling');
ALTER SERVER bandwidth OPTIONS (ADD allow_disconnect 'true');
SELECT is(test.error(format($$SELECT %s, idempotency_key => 'k1')$$, call)),
          format('22023 idempotency key "k1" was used for another order | Order %s has it, and has %s. | '
                 'Give each order a key of its own, and repeat a key only with what it was used for first.', :first, differs),
          'a key is for one order: ' || differs)
  FROM (VALUES ('bw_order(ARRAY[''9192100009'']', 'another quantity'),
               ('bw_order(ARRAY[''9192100001'', ''9192100009'']', 'other telephone numbers'),
               ('bw_order_search(2, npanxx => ''919200''', 'other criteria'),
               ('bw_disconnect(ARRAY[''9192100001'', ''9192100002'']', 'another kind')) AS v(call, differs);
ALTER SERVER bandwidth OPTIONS (DROP allow_disconnect);
SELECT id AS searched FROM bw_order_search(npanxx => '919200', max_tier => 2, idempotency_key => 'by criteria') \gset
SELECT is(outcome(:searched), 'COMPLETE', 'an order by criteria with a key');
SELECT is(id, :searched::bigint, 'is there once, whatever numbers it got')
  FROM bw_order_search(npanxx => '919200', max_tier => 2, idempotency_key => 'by criteria');
SELECT alike(test.error($$SELECT bw_order_search(2, npanxx => '919200', max_tier => 2, idempotency_key => 'by criteria')$$),
             '22023 % has another quantity.%', 'of one quantity');
SELECT is(test.error(format($$SELECT bw_order(fresh(), idempotency_key => %L)$$, key)), message, 'a key that is none')
  FROM (VALUES ('', '22023 invalid idempotency_key: "" | It has 1 to 255 characters.'),
               (repeat('k', 256), format('22023 invalid idempotency_key: "%s..." | It has 1 to 255 characters.', repeat('k', 60)))) AS v(key, message);
SELECT isnt(id, NULL, 'the longest key') FROM bw_order(fresh(), idempotency_key => repeat('é', 255));
BEGIN;
SELECT fresh() AS numbers \gset
SELECT id AS same FROM bw_order(:'numbers', idempotency_key => 'k2') \gset
SELECT is(id, :same::bigint, 'twice in one transaction') FROM bw_order(:'numbers', idempotency_key => 'k2');
ROLLBACK;
SELECT isnt(id, :same::bigint, 'a key of what was rolled back is free')
  FROM bw_order(fresh(), idempotency_key => 'k2');
SET ROLE orders_app;
SELECT isnt(id, :first::bigint, 'another role''s key is its own') FROM bw_order(fresh(), idempotency_key => 'k1');
RESET ROLE;
SELECT id FROM bw_order(fresh(), customer_order_id => 'C-1') \gset
SELECT is(test.error($$SELECT bw_order(fresh(), customer_order_id => 'C-1')$$),
          '23505 customer_order_id "C-1" was used by another order | Account 9900000 has an order with it already. | '
          'Use another one, or leave it out; to order once only, use idempotency_key.',
          'a customer_order_id is used once');
SELECT alike(test.error($$SELECT bw_order_search(npanxx => '919200', customer_order_id => 'C-1')$$), '23505 %', 'by criteria as well');
SELECT is(outcome(:id), 'COMPLETE', 'and an order with one');
-- somebody set the sequence back
SELECT is(test.error('SELECT setval(''bw_orders_id_seq'', max(id), false) FROM bw_orders; SELECT bw_order(fresh()' || arguments || ')'),
          $$23505 sequence "bw_orders_id_seq" is behind table "bw_orders" | The id that it gave is that of another order. | Have a superuser run SELECT setval('bw_orders_id_seq', max(id)) FROM bw_orders.$$, 'an id that is there already')
  FROM unnest(ARRAY['', $$, customer_order_id => 'C-new'$$, $$, idempotency_key => 'new'$$]) AS arguments;
SELECT setval('bw_orders_id_seq', max(id)) FROM bw_orders;
SELECT isnt(id, NULL, 'the advice helps') FROM bw_order(fresh());
SELECT alike(test.sandbox('GET journal class=ORDER'), '%<CustomerOrderId>C-1</CustomerOrderId>%', 'carries it');

--
-- bw_cancel
--
ALTER SERVER bandwidth OPTIONS (ADD ordering 'hold');
SELECT id AS held FROM bw_order(fresh(), name => 'held') \gset
SELECT posts() AS before \gset
SELECT is(status, 'HELD', 'an order that is held') FROM bw_orders WHERE id = :held;
SELECT is(waiting_for, 'bw_approve()', 'waits for approval') FROM bw_open_orders WHERE id = :held;
SELECT is(bw_wait(:held, '0.05 s'), 'HELD', 'bw_wait() gives up after its time');
SELECT is(bw_wait(:held, '-300000 years'), 'HELD', 'or at once');
SET statement_timeout = '500ms';
SELECT alike(test.error(format('SELECT bw_wait(%s, ''300000 years'')', :held)), '57014 %', 'a very long time is no short one');
RESET statement_timeout;
SELECT results_eq(format($$SELECT * FROM bw_wait(ARRAY[%1$s, %2$s, NULL], '0.05 s')$$, :held, :first),
                  format($$VALUES (%1$s::bigint, 'HELD'), (%2$s, 'COMPLETE')$$, :held, :first),
                  'also for several');
SELECT is_empty($$SELECT * FROM bw_wait('{}'::bigint[])$$, 'none are soon waited for');
SELECT is(test.error(format('SELECT * FROM bw_fetch_order(%s)', :held)),
          format('55000 order %s has no order at Bandwidth yet | Its status is HELD.', :held),
          'nothing to fetch yet');
SELECT is(bw_recheck(:held), false, 'nor to recheck');
SELECT is(bw_cancel(:held), true, 'it can be cancelled');
SELECT is(bw_cancel(:held), false, 'once');
SELECT is(status, 'CANCELLED', 'then that is what it is') FROM bw_orders WHERE id = :held;
SELECT results_eq(format('SELECT status, source FROM bw_order_events WHERE order_id = %s', :held),
                  $$VALUES ('CANCELLED', 'user')$$, 'and what its events say');
SELECT is(bw_wait(:held), 'CANCELLED', 'which is final');
ALTER SERVER bandwidth OPTIONS (SET ordering 'off');
SELECT is(test.error('SELECT bw_order(fresh())'),
          '55000 ordering is off for server "bandwidth" | Its owner can run ALTER SERVER ... OPTIONS (SET ordering ''on'').',
          'ordering can be switched off');
ALTER SERVER bandwidth OPTIONS (SET ordering 'on');
BEGIN;
SELECT id AS cancelled FROM bw_order(fresh()) \gset
SELECT is(waiting_for, 'to be sent', 'a new order waits for its turn') FROM bw_open_orders WHERE id = :cancelled;
SELECT is(bw_cancel(:cancelled), true, 'it can be taken back');
COMMIT;
SELECT is(outcome(:cancelled), 'CANCELLED', 'in its own transaction');
SELECT is(bw_cancel(:first), false, 'an order that was sent cannot');
SELECT is(posts(), :before, 'nothing of all this was sent');

--
-- bw_wait
--
BEGIN;
SELECT id AS own FROM bw_order(fresh()) \gset
SELECT is(test.error(format('SELECT bw_wait(%s)', :own)),
          format('55000 order %s was made by this transaction | It is sent when the transaction commits, '
                 'so waiting here would wait for ever. | COMMIT first, then call bw_wait().', :own),
          'nobody waits for their own transaction');
SAVEPOINT s;
SELECT id AS own FROM bw_order(fresh()) \gset
SELECT alike(test.error(format('SELECT * FROM bw_wait(ARRAY[%s])', :own)), '55000 %', 'nor for a part of it');
COMMIT;
SELECT is(bw_wait(:own), 'COMPLETE', 'afterwards they do');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) > 0 FROM bw_orders;
SELECT is(bw_wait(:own), 'COMPLETE', 'a snapshot of its own is no hindrance');
COMMIT;
SELECT is(test.error('SELECT bw_wait(0)'), '42704 order 0 does not exist | bw_orders lists the orders of your role.',
          'no such order');
SELECT is(bw_wait(NULL::bigint), NULL, 'no order');

--
-- Under way: bw_open_orders, bw_recheck, bw_fetch_order, events
--
SELECT test.sandbox('config order_delay_ms=3000');
SELECT test.sandbox('faults class=ORDER method=POST kind=delay delay_ms=700 count=1');
SELECT id AS slow FROM bw_order(fresh(), name => 'slow', site_id => '13606') \gset
SELECT ok(test.comes_true(format($$SELECT waiting_for LIKE 'the reply to its request, until 20%%' FROM bw_open_orders WHERE id = %s$$, :slow)),
          'an order that is being sent');
SELECT ok(test.comes_true(format($$SELECT waiting_for LIKE 'Bandwidth to carry it out; next look at 20%%' FROM bw_open_orders WHERE id = %s$$, :slow)),
          'one that was received');
SELECT results_eq(format('SELECT status, customer_order_id IS NOT NULL, name, site_id, completed_quantity, completed_numbers, error_code
                            FROM bw_fetch_order(%s)', :slow),
                  $$VALUES ('RECEIVED', true, 'slow', '13606', NULL::bigint, NULL::text[], '5019')$$, 'as Bandwidth sees it');
SELECT test.requests('class=HISTORY') AS before \gset
SELECT is(bw_recheck(:slow), true, 'it can be asked for');
SELECT ok(test.comes_true(format('SELECT test.requests(''class=HISTORY'') > %s', :before)), 'the worker does');
SELECT is(outcome(:slow), 'COMPLETE', 'and in the end it is done');
SELECT is(bw_recheck(:slow), false, 'then there is nothing to ask for');
SELECT is_empty(format('SELECT * FROM bw_open_orders WHERE id = %s', :slow), 'nor to wait for');
SELECT results_eq(format('SELECT status, completed_quantity, failed_quantity, error_code FROM bw_fetch_order(%s)', :slow),
                  $$VALUES ('COMPLETE', 1::bigint, 0::bigint, NULL::text)$$, 'Bandwidth agrees');
SELECT results_eq(format('SELECT status, source FROM bw_order_events WHERE order_id = %s ORDER BY id', :slow),
                  $$VALUES ('SENDING', 'worker'), ('RECEIVED', 'reply'), ('COMPLETE', 'poll')$$, 'its events');
SELECT ok(created_at <= sent_at AND sent_at <= received_at AND received_at <= closed_at, 'its times')
  FROM bw_orders WHERE id = :slow;
SELECT test.sandbox('config order_delay_ms=100');
SELECT test.sandbox('faults class=HISTORY kind=status status=503');
SELECT alike(test.error(format('SELECT * FROM bw_fetch_order(%s)', :slow)),
             'TN004 could not fetch the order | The server answered with status 503. | %', 'Bandwidth is in trouble');
SELECT test.sandbox('DELETE faults');
SELECT test.sandbox('faults class=HISTORY kind=malformed');
SELECT alike(test.error(format('SELECT * FROM bw_fetch_order(%s)', :slow)),
             format('TN005 could not read the reply about order %s | %%', :slow), 'its answer breaks off');
SELECT test.sandbox('DELETE faults');

-- a lost reply
SELECT test.sandbox('config list_lag_ms=1500');
SELECT test.sandbox('faults class=ORDER method=POST kind=drop_reply count=1');
SELECT id AS lost FROM bw_order(fresh()) \gset
SELECT ok(test.comes_true(format($$SELECT waiting_for LIKE 'a look-up at 20%%: the reply to its request was lost'
                                     FROM bw_open_orders WHERE id = %s$$, :lost)), 'an order of unknown outcome');
SELECT test.sandbox('config list_lag_ms=0');
SELECT is(outcome(:lost), 'COMPLETE', 'is found');

--
-- bw_receive
--
CREATE FUNCTION notification_of(order_id bigint, status text) RETURNS text LANGUAGE sql AS $$
    SELECT format('<Notification><Status>%s</Status><OrderId>%s</OrderId><OrderType>orders</OrderType>'
                  '<CompletedTelephoneNumbers><TelephoneNumber>%s</TelephoneNumber></CompletedTelephoneNumbers></Notification>',
                  $2, bandwidth_order_id, n.telephone_number)
      FROM bw_orders AS o JOIN bw_order_numbers AS n ON n.order_id = o.id WHERE o.id = $1
$$;
CREATE FUNCTION becomes(notification bigint, outcome text) RETURNS boolean LANGUAGE sql AS $$
    SELECT test.comes_true(format('SELECT outcome = %L FROM bw_notifications WHERE id = %s', outcome, notification))
$$;
SELECT bw_receive('<Notification><Status>COMPLETE</Status><OrderId>nobodys</OrderId></Notification>') AS foreign \gset
SELECT ok(becomes(:foreign, 'orphan'), 'a notification of somebody else''s order is kept');
SELECT is(convert_from(body, 'UTF8'), '<Notification><Status>COMPLETE</Status><OrderId>nobodys</OrderId></Notification>',
          'as it came') FROM bw_notifications WHERE id = :foreign;
CREATE TABLE received AS SELECT bw_receive(body) AS id, body
  FROM unnest(ARRAY['nonsense', '<Notification><Status>COMPLETE', '<html/>',
                    '<!DOCTYPE x [<!ENTITY e "f">]><Notification>&e;</Notification>', repeat('x', 1048576)]) AS body;
SELECT ok(becomes(id, 'malformed'), 'malformed: ' || left(body, 80)) FROM received;
SELECT is(test.error($$SELECT bw_receive('')$$), '22023 notification must not be empty | Hand in the body of the callback as it came.',
          'nothing was received');
SELECT is(test.error($$SELECT bw_receive(repeat('x', 1048577))$$),
          '22023 notification is too long | It has 1048577 bytes; up to 1048576 are taken.', 'as much as the port takes');
SELECT is(bw_receive(NULL), NULL, 'nothing is nothing');
SELECT bw_receive(notification_of(:slow, 'FAILED')) AS late \gset
SELECT ok(becomes(:late, 'ignored'), 'news of an order that is final');
SELECT is(status, 'COMPLETE', 'changes nothing') FROM bw_orders WHERE id = :slow;

-- believed only after asking
SELECT test.sandbox('config order_delay_ms=3000');
SELECT id AS told FROM bw_order(fresh(), name => 'told') \gset
SELECT ok(test.comes_true(format($$SELECT status = 'RECEIVED' FROM bw_orders WHERE id = %s$$, :told)), 'an order is under way');
SELECT bw_receive(notification_of(:told, 'COMPLETE')) AS early \gset
SELECT ok(becomes(:early, 'confirming'), 'a notification that comes too early');
SELECT is(status, 'RECEIVED', 'is not believed') FROM bw_orders WHERE id = :told;
SELECT is(outcome(:told), 'COMPLETE', 'but in the end it is true');
SELECT is_empty(format($$SELECT 1 FROM bw_order_events WHERE order_id = %s AND source = 'callback'$$, :told),
                'by what Bandwidth said itself');

DROP OWNED BY orders_app, orders_other;
SELECT * FROM finish();
