-- Every function of the SQL surface once, and every error once.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE EXTENSION bandwidth;
-- messages name the role, whoever runs the tests
CREATE ROLE regress_bw_owner SUPERUSER;
SET SESSION AUTHORIZATION regress_bw_owner;
RESET client_min_messages;
\getenv sandbox_url BW_SANDBOX_URL
\set base_url :sandbox_url /api
\set token_url :sandbox_url /api/v1/oauth2/token

-- number formats
SELECT bw_e164(t), bw_ten_digits(t)
  FROM unnest(ARRAY['5405514342', '15405514342', '+15405514342',
                    '(540) 551-4342', '540.551.4342', ' 540 551 4342 ']) AS t;
\set VERBOSITY default
SELECT bw_e164('540551434');
SELECT bw_e164('+445405514342');
SELECT bw_e164('1405514342');
SELECT bw_e164('540-551-CALL');
\set VERBOSITY terse
SELECT bw_e164(NULL) IS NULL AS null_in_null_out;

-- nothing is configured yet
\set VERBOSITY default
SELECT bw_search('540551');
SELECT bw_order(ARRAY['5402278098']);

-- options
CREATE SERVER bandwidth FOREIGN DATA WRAPPER bandwidth;
CREATE SERVER bandwidth FOREIGN DATA WRAPPER bandwidth OPTIONS (account '1');
CREATE SERVER bandwidth FOREIGN DATA WRAPPER bandwidth OPTIONS (account_id 'x');
\set VERBOSITY terse
CREATE SERVER bandwidth FOREIGN DATA WRAPPER bandwidth OPTIONS (account_id '1', base_url 'http://example.com/api');
CREATE SERVER bandwidth FOREIGN DATA WRAPPER bandwidth OPTIONS (account_id '1', base_url 'https://user:secret@example.com/api');
CREATE SERVER bandwidth FOREIGN DATA WRAPPER bandwidth OPTIONS (account_id '1', base_url 'nonsense');
CREATE SERVER bandwidth FOREIGN DATA WRAPPER bandwidth OPTIONS (account_id '1', max_in_flight '0');
CREATE SERVER bandwidth FOREIGN DATA WRAPPER bandwidth OPTIONS (account_id '1', ordering 'maybe');
CREATE SERVER bandwidth FOREIGN DATA WRAPPER bandwidth OPTIONS (account_id '1', allow_disconnect 'perhaps');
CREATE SERVER bandwidth FOREIGN DATA WRAPPER bandwidth OPTIONS (account_id '1', release_after '-1 s');
\set VERBOSITY default
CREATE SERVER bandwidth FOREIGN DATA WRAPPER bandwidth OPTIONS (account_id '1', release_after '200000000 years');
CREATE SERVER bandwidth FOREIGN DATA WRAPPER bandwidth OPTIONS (account_id '1', release_after 'soon');
\set VERBOSITY terse
CREATE SERVER bandwidth FOREIGN DATA WRAPPER bandwidth OPTIONS (account_id '1', connect_timeout '-1 s');
CREATE SERVER bandwidth FOREIGN DATA WRAPPER bandwidth OPTIONS (account_id '1', ca_file 'relative.pem');
CREATE SERVER bandwidth FOREIGN DATA WRAPPER bandwidth OPTIONS (account_id '1', allowed_sites '1, two');
CREATE SERVER bandwidth FOREIGN DATA WRAPPER bandwidth
    OPTIONS (account_id '9900000', site_id '743', base_url :'base_url', token_url :'token_url',
             connect_timeout '5 s', request_timeout '30', release_after '1 day',
             allowed_sites '743, 13606, 9999', max_numbers_per_order '3');
\set VERBOSITY default
CREATE USER MAPPING FOR CURRENT_USER SERVER bandwidth OPTIONS (client_secrt 'not to be shown');
\set VERBOSITY terse
CREATE USER MAPPING FOR CURRENT_USER SERVER bandwidth;
CREATE USER MAPPING FOR CURRENT_USER SERVER bandwidth OPTIONS (client_id 'c');
CREATE USER MAPPING FOR CURRENT_USER SERVER bandwidth OPTIONS (client_id 'c', client_secret 's', username 'u', password 'p');
CREATE USER MAPPING FOR CURRENT_USER SERVER bandwidth OPTIONS (client_id 'c', client_secret 's', client_secret_file '/f');
CREATE USER MAPPING FOR CURRENT_USER SERVER bandwidth OPTIONS (client_id 'c', client_secret_file 'relative');
\set VERBOSITY default
SELECT bw_search('540551');
\set VERBOSITY terse
CREATE USER MAPPING FOR CURRENT_USER SERVER bandwidth OPTIONS (client_id 'c', client_secret_file '/nowhere/secret');
SELECT bw_search('540551');
ALTER USER MAPPING FOR CURRENT_USER SERVER bandwidth OPTIONS (DROP client_secret_file, ADD client_secret 's');

-- searching
SELECT * FROM bw_search('540551', quantity => 7);
SELECT telephone_number FROM bw_search(area_code => '919', quantity => 2, detail => false);
SELECT telephone_number, vendor_name FROM bw_search(toll_free_wildcard_pattern => '80*', quantity => 1);
SELECT s.telephone_number FROM (VALUES ('540551'), ('919200')) AS v(prefix),
       LATERAL bw_search(v.prefix, quantity => 1, lca => false) AS s;
SELECT count(*) FROM bw_search('540551', quantity => 5000);
SELECT count(*) FROM bw_search(state => 'AK');
\set VERBOSITY default
SELECT bw_search('540');
SELECT bw_search('5405511');
\set VERBOSITY terse
SELECT bw_search('140551');
SELECT bw_search();
SELECT bw_search('540551', area_code => '540');
SELECT bw_search(rate_center => 'RALEIGH');
SELECT bw_search(city => 'RALEIGH');
SELECT bw_search('540551', quantity => 0);
SELECT bw_search('540551', quantity => 5001);
SELECT bw_search('540551', order_by => 'price');
SELECT bw_search('540551', ends_in => true);
SELECT bw_search('540551', protected => 'SOME');
SELECT bw_search(state => 'NC', lca => true);
SELECT bw_search(zip => '2760');
SELECT bw_search(lata => 'x');
SELECT bw_search(toll_free_wildcard_pattern => '9**');
SELECT bw_search('540551', server => 'nowhere');

-- what the account has
SELECT * FROM bw_sites();
SELECT * FROM bw_sip_peers();
SELECT * FROM bw_available_npanxx('540', quantity => 10000) WHERE npanxx = '540675';
SELECT count(*) FROM bw_numbers(npanxx => '212999');
SELECT count(*) FROM bw_number('2129990000');
SELECT count(*) FROM bw_list_orders('nobody has this');
SELECT count(*) FROM bw_list_orders('nobody has this', kind => 'disconnect');
\set VERBOSITY default
SELECT bw_numbers('91');
SELECT bw_numbers(lata => '123456');
SELECT bw_numbers(state => 'Virginia');
SELECT bw_list_orders(status => 'LOST');
SELECT bw_list_orders(kind => 'port');
\set VERBOSITY terse
SELECT bw_numbers(npanxx => '5405511');
SELECT bw_numbers(rate_center => 'RALEIGH');
SELECT bw_numbers(end_date => '2026-01-01');
SELECT bw_numbers(start_date => '2026-01-02', end_date => '2026-01-01');
SELECT bw_list_orders(start_date => '1999-12-31');
SELECT bw_list_orders(start_date => '2099-12-31');
SELECT bw_list_orders(start_date => '-infinity', end_date => 'infinity');
SELECT bw_number(NULL);
SELECT bw_number('12345');
SELECT bw_sip_peers('');
SELECT bw_sip_peers('1');
SELECT bw_sip_peers('main');
SELECT bw_numbers(site_id => '');
SELECT bw_numbers(site_id => '743/..');
SELECT bw_available_npanxx('91');
SELECT bw_available_npanxx(state => '1');
SELECT bw_available_npanxx('919', quantity => 0);
SELECT bw_available_npanxx('203');
SELECT bw_sites('nowhere');

-- reservations
SELECT telephone_number, expires_at BETWEEN now() + '3 h 50 min' AND now() + '4 h 10 min' AS four_hours,
       bw_unreserve(reservation_id)
  FROM bw_reserve('(212) 201-9999');
SELECT count(*) FROM bw_reservation('2489');
SELECT bw_unreserve('2489');
SELECT bw_reserve(NULL);
SELECT bw_reserve('12345');
SELECT bw_reserve('2015550100');
SELECT bw_reservation(NULL);
SELECT bw_reservation('');
SELECT bw_reservation('5402278098 ');
SELECT bw_unreserve(NULL);
SELECT bw_unreserve('2489/..');
SELECT bw_test_outcome(NULL);
SELECT bw_test_outcome(1, NULL);
BEGIN READ ONLY;
SELECT bw_reserve('2122019999');
ROLLBACK;
BEGIN READ ONLY;
SELECT bw_unreserve('2489');
ROLLBACK;

-- ordering: nothing of this is sent
BEGIN;
SELECT telephone_number, status FROM bw_order(ARRAY['5402278098', '(540) 227-0905']);
SELECT status, quantity, site_id, partial_allowed, ordered_by = current_user AS mine FROM bw_orders;
SELECT telephone_number, status FROM bw_order_numbers ORDER BY 1;
SELECT count(*) FROM bw_open_orders;
ROLLBACK;
SELECT bw_order(NULL);
SELECT bw_order(ARRAY[]::text[]);
SELECT bw_order(ARRAY['5402278098', NULL]);
SELECT bw_order(ARRAY['5402278098', '+1 540 227 8098']);
SELECT bw_order(ARRAY['12345']);
SELECT bw_order(ARRAY['5402278098'], name => repeat('x', 51));
\set VERBOSITY default
SELECT bw_order(ARRAY['5402278098'], name => U&'no\FFFEname');
\set VERBOSITY terse
SELECT bw_order_search(city => U&'\FFFF', state => 'NC');
\set VERBOSITY default
SELECT bw_order_search('540551');
\set VERBOSITY terse
SELECT bw_order(ARRAY['5402278098'], customer_order_id => 'under_score');
SELECT bw_order(ARRAY['5402278098'], customer_order_id => repeat('x', 41));
SELECT bw_order(ARRAY['5402278098'], reservation_ids => ARRAY['a b']);
SELECT bw_order(ARRAY['5402278098'], reservation_ids => ARRAY['0c1a', '0c1b']);
SELECT bw_order(ARRAY['5402278098'], reservation_ids => ARRAY['0c1a', NULL]);
SELECT bw_order(ARRAY['5402278098'], site_id => 'main');
SELECT bw_order(ARRAY['5402278098'], peer_id => '-1');
SELECT bw_order(ARRAY['5402278098'], back_order_requested => true);
SELECT bw_order(ARRAY['5402278098'], attempts => 0);
SELECT bw_order(ARRAY['5402278098'], site_id => '1');
SELECT bw_order(ARRAY['5402278001', '5402278002', '5402278003', '5402278004']);

-- the same key gives the same order
BEGIN;
SELECT count(DISTINCT id) FROM (
    SELECT id FROM bw_order(ARRAY['5402278098'], idempotency_key => 'k')
    UNION ALL
    SELECT id FROM bw_order(ARRAY['5402278098'], idempotency_key => 'k')) AS o;
SELECT count(*) FROM bw_orders;
ROLLBACK;

-- what is asked of orders that are not there
SELECT bw_cancel(0);
SELECT bw_wait(0);
SELECT bw_fetch_order(0);
SELECT bw_order_history(0);
SELECT bw_recheck(0);

-- one's own open transaction
BEGIN;
SELECT id FROM bw_order(ARRAY['5402278098']) \gset own_
SELECT bw_wait(:own_id, '1 s');
ROLLBACK;
BEGIN;
SELECT id FROM bw_order(ARRAY['5402278098']) \gset own_
SELECT bw_cancel(:own_id), bw_cancel(:own_id);
SELECT status, is_final FROM bw_orders;
ROLLBACK;

-- subscriptions
SELECT bw_subscribe();
SELECT bw_subscribe('https://example.com/', email => 'a@example.com');
SELECT bw_subscribe('nonsense');
\set VERBOSITY default
SELECT bw_subscribe('http://user:secret@127.0.0.1/');
SELECT bw_subscribe('https://example.com/' || repeat('x', 5000));
SELECT bw_subscribe('https://example.com/#there');
SELECT bw_subscribe(U&'https://example.com/\00E9');
SELECT bw_subscribe('https://example.com/', public_key => '-----BEGIN CERTIFICATE-----');
SELECT bw_subscribe('https://example.com/', bandwidth_order_id => '');
SELECT bw_subscribe(email => 'notmail');
SELECT bw_subscribe('https://example.com/', order_type => 'foo bar');
\set VERBOSITY terse
SELECT bw_subscribe(email => U&'\00E9@example.com');
SELECT bw_subscribe('https://example.com/', event_type => '');
SELECT bw_subscribe('https://example.com/', expiry => 0);
SELECT bw_subscribe('https://example.com/', number_format => 'NATIONAL');
SELECT bw_subscribe(email => 'a@example.com', digest => 'HOURLY');
SELECT bw_subscribe(email => 'a@example.com', pin => true);
SELECT bw_subscribe('https://db.example.com/', public_key => 'x', pin => true);
SELECT bw_subscribe('https://example.com/', order_type => 'orders', event_type => 'X');
SELECT bw_unsubscribe(0);
SELECT count(*) FROM bw_list_subscriptions();
SELECT bw_rotate_callback_credentials();
SELECT bw_rotate_callback_credentials('nowhere');

-- rights
CREATE ROLE regress_bw_app;
SET ROLE regress_bw_app;
\set VERBOSITY default
SELECT bw_search('540551');
\set VERBOSITY terse
SELECT bw_order(ARRAY['5402278098']);
SELECT bw_receive('<x/>');
SELECT bw_subscribe('https://example.com/');
SELECT bw_rotate_callback_credentials();
SELECT * FROM bw_subscription_problems();
INSERT INTO bw_order_numbers VALUES (1, '5402278098');
UPDATE bw_orders SET status = 'COMPLETE';
SELECT count(*) FROM bw_queue;
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER bandwidth TO regress_bw_app;
CREATE USER MAPPING FOR PUBLIC SERVER bandwidth OPTIONS (client_id 'c', client_secret 's');
SET ROLE regress_bw_app;
SET search_path = pg_temp, pg_catalog;
SELECT count(*) FROM public.bw_search('540551', quantity => 3);
BEGIN;
SELECT telephone_number, status FROM public.bw_order(ARRAY['5402278098']);
SELECT ordered_by FROM public.bw_orders;
ROLLBACK;
RESET search_path;
RESET ROLE;

-- a role sees its own orders only
BEGIN;
SELECT status FROM bw_order(ARRAY['5402278098']);
SET LOCAL ROLE regress_bw_app;
SELECT count(*) FROM bw_orders;
SELECT count(*) FROM bw_order_numbers;
ROLLBACK;

DROP EXTENSION bandwidth CASCADE;
DROP ROLE regress_bw_app;
RESET SESSION AUTHORIZATION;
DROP OWNED BY regress_bw_owner;
DROP ROLE regress_bw_owner;
