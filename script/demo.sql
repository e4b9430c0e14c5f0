-- The guide "Search and order phone numbers with callbacks", played from SQL.
-- script/demo runs this on a private server, against the sandbox.

\getenv sandbox_url BW_SANDBOX_URL
\getenv callback_url BW_CALLBACK_URL
\set base_url :sandbox_url /api
\set token_url :sandbox_url /api/v1/oauth2/token
SET statement_timeout = '60s';

\echo '-- An account is a server, credentials are a user mapping.'
CREATE EXTENSION bandwidth;
CREATE SERVER bandwidth FOREIGN DATA WRAPPER bandwidth
OPTIONS (account_id '9900000', site_id '743', base_url :'base_url', token_url :'token_url');
CREATE USER MAPPING FOR CURRENT_USER SERVER bandwidth
OPTIONS (client_id 'client', client_secret 'secret');

\echo '-- 1. Subscribe: Bandwidth shall call when an order changes.'
SELECT bw_subscribe(:'callback_url');
DO $$
BEGIN
    WHILE NOT EXISTS (SELECT FROM bw_subscriptions WHERE state = 'ACTIVE') LOOP
        PERFORM pg_sleep(0.02);
    END LOOP;
END
$$;
SELECT bandwidth_subscription_id, order_type, url, status FROM bw_list_subscriptions();

\echo '-- Is everything in place?'
SELECT * FROM bw_check();

\echo '-- 2. Search by NPA-NXX; neighbouring exchanges count.'
SELECT telephone_number, city, state, rate_center, tier
  FROM bw_search('540551', quantity => 7);

\echo '-- 3. Order one of them.  Nothing leaves before the transaction commits.'
BEGIN;
SELECT * FROM bw_order(ARRAY['5402278098'],
                       name => 'My Custom Name',
                       customer_order_id => '123456789');
COMMIT;

\echo '-- 4. The worker sends the order, the callback arrives, the row is final.'
SELECT bw_wait(id) FROM bw_orders WHERE customer_order_id = '123456789';
SELECT id, status, bandwidth_order_id, completed_quantity, message
  FROM bw_orders WHERE customer_order_id = '123456789';
SELECT e.status, e.source, date_trunc('milliseconds', e.at - o.created_at) AS after
  FROM bw_order_events AS e JOIN bw_orders AS o ON o.id = e.order_id
 WHERE o.customer_order_id = '123456789' ORDER BY e.id;

\echo '-- Someone else takes the next number between our search and our order.'
\! script/sandbox-control sell tn=5402270905
SELECT * FROM bw_order(ARRAY['5402270905'], customer_order_id => 'too late');
SELECT bw_wait(id) FROM bw_orders WHERE customer_order_id = 'too late';
SELECT id, status, error_code, error_text, message
  FROM bw_orders WHERE customer_order_id = 'too late';

\echo '-- 5. What Bandwidth itself has on the first order.'
SELECT f.* FROM bw_orders AS o, bw_fetch_order(o.id) AS f
 WHERE o.customer_order_id = '123456789' \gx
