-- bw_check(): each line that can fail does, and says what to do.  (Lines about
-- preload and worker: test/t/040_settings.pl, for they are the whole server's.)
-- sandbox: --client-id client --client-secret secret --account 9900000
\set secret secret
\ir lib/helpers.sql
\getenv listen_port BW_LISTEN_PORT
\set callback_url http://127.0.0.1: :listen_port /bandwidth
SELECT no_plan();

-- What bw_check() says about one thing: 'ok: detail' or 'detail | hint'.
CREATE FUNCTION says(what text, server text DEFAULT NULL) RETURNS text
LANGUAGE sql AS $$
    SELECT CASE WHEN ok THEN 'ok: ' || detail || COALESCE(' ?? ' || hint, '')
                ELSE concat_ws(' | ', detail, hint) END
      FROM bw_check(server) WHERE "check" = what
$$;
CREATE FUNCTION lines(server text DEFAULT NULL) RETURNS text
LANGUAGE sql AS $$
    SELECT string_agg("check" || CASE WHEN ok THEN '' ELSE '!' END, ', ' ORDER BY n)
      FROM bw_check(server) WITH ORDINALITY AS c("check", ok, detail, hint, n)
$$;

SELECT ok(test.comes_true($$SELECT bool_and(ok) FROM bw_check() WHERE "check" IN ('worker', 'listener')$$),
          'a worker comes, and opens its port');

--
-- All is well but what nobody asked for yet
--
SELECT is(lines(), 'preload, version, worker, server, usage, user mapping, access, account, site, SIP peer, '
          'owner''s user mapping, identity, ordering, pause, attention, lost orders, last error, listener, subscription!', 'all lines');
SELECT is_empty($$SELECT * FROM bw_check() WHERE ok AND hint IS NOT NULL$$, 'what is well needs no hint');
SELECT is_empty($$SELECT * FROM bw_check() WHERE NOT ok AND (hint IS NULL OR detail IS NULL)$$,
                'what is not has one, and says why');
SELECT is(says('preload'), 'ok: the library is preloaded', 'preload');
SELECT matches(says('worker'), '^ok: process \d+ serves this database$', 'worker');
SELECT is(says('server'), 'ok: server "bandwidth", account 9900000', 'server');
SELECT is(says('usage'), 'ok: your role may use the server', 'usage');
SELECT is(says('user mapping'), 'ok: OAuth2 client credentials', 'user mapping');
SELECT is(says('access'), 'ok: ' || :'base_url' || ' answers', 'access');
SELECT is(says('account'), 'ok: account 9900000 is there', 'account');
SELECT is(says('site'), 'ok: site 743 is there', 'site');
SELECT is(says('SIP peer'), 'ok: the site''s default SIP peer is used', 'SIP peer');
SELECT is(says('owner''s user mapping'), 'ok: subscriptions can be kept', 'owner');
SELECT is(says('listener'), 'ok: callbacks on port ' || :'listen_port', 'listener');

SELECT is(says('identity'), 'ok: the orders of this database are its own', 'identity');
SELECT is(says('attention'), 'ok: no order waits for a decision', 'attention');
SELECT is(says('pause'), 'ok: orders are sent', 'pause');
SELECT is(says('ordering'), 'ok: 0 of 1000000 telephone numbers of the last 24 hours were ordered, 1000 in one order are allowed',
          'limits');

-- what stops orders
SELECT bw_pause(reason => 'audit');
SELECT is(says('pause'), 'no orders are sent: audit | It ends by bw_resume().', 'a pause');
SELECT results_eq('SELECT state, fenced, queued, held, attention, paused[1] LIKE ''bandwidth: audit since %'' FROM bw_stat_worker',
                  $$VALUES ('running', false, 0::bigint, 0::bigint, 0::bigint, true)$$, 'shows in bw_stat_worker');
SELECT bw_order(ARRAY['9192990001']);
SELECT results_eq('SELECT queued, oldest_queued_at IS NOT NULL, under_way FROM bw_stat_worker', 'VALUES (1::bigint, true, 0::bigint)',
                  'an order in the queue');
SELECT bw_resume();
SELECT ok(test.comes_true('SELECT bool_and(is_final) FROM bw_orders'), 'goes out');
SELECT alike(says('ordering'), 'ok: 1 of 1000000 telephone numbers %', 'and is counted');
ALTER SERVER bandwidth OPTIONS (SET max_numbers_per_day '1');
SELECT alike(says('ordering'), '1 of 1 telephone numbers % | Further orders are HELD until there is room, or%', 'nothing is left');
ALTER SERVER bandwidth OPTIONS (SET max_numbers_per_day '1000000', ADD ordering 'hold');
SELECT alike(says('ordering'), 'ok: 1 of %, each order waits for bw_approve()', 'approval');
SELECT bw_order(ARRAY['9192990002']);
SELECT is(held, 1::bigint, 'an order that is held') FROM bw_stat_worker;
ALTER SERVER bandwidth OPTIONS (SET ordering 'off');
SELECT is(says('ordering'), 'ordering is off | Its owner can run ALTER SERVER ... OPTIONS (SET ordering ''on'').', 'switched off');
ALTER SERVER bandwidth OPTIONS (DROP ordering);
CREATE ROLE check_nobody;
CREATE ROLE check_watcher IN ROLE pg_monitor;
SET ROLE check_nobody;
SELECT alike(test.error('SELECT * FROM bw_stat_worker'), '42501 permission denied for view bw_stat_worker', 'not for everybody');
SET ROLE check_watcher;
SELECT is(held, 1::bigint, 'but for pg_monitor') FROM bw_stat_worker;
RESET ROLE;
DROP ROLE check_nobody, check_watcher;

-- subscription
SELECT is(says('subscription'), 'none: orders are polled | Set the server option callback_url, or SELECT bw_subscribe(''https://...'').',
          'a listener that nobody calls');
SELECT bw_subscribe(:'callback_url') AS subscription \gset
SELECT ok(test.comes_true($$SELECT ok FROM bw_check() WHERE "check" = 'subscription'$$), 'a subscription');
SELECT is(says('subscription'), 'ok: 1 active', 'is counted');
SELECT test.sandbox('faults class=SUBSCRIPTION method=POST kind=refuse code=14506 text=URL+invalid');
SELECT bw_subscribe(:'callback_url' || '/second') AS second \gset
SELECT ok(test.comes_true(format('SELECT state = ''FAILED'' FROM bw_subscriptions WHERE id = %s', :second)),
          'a subscription that is refused');
SELECT is(says('subscription'), '1 subscriptions failed | See error_code and error_text in bw_subscriptions.',
          'is pointed at');
SELECT results_eq(format('SELECT error_code, error_text FROM bw_subscriptions WHERE id = %s', :second),
                  $$VALUES ('14506', 'URL+invalid')$$, 'and there it is');
SELECT test.sandbox('DELETE faults');
SELECT bw_unsubscribe(:second), bw_unsubscribe(:subscription);
SELECT ok(test.comes_true($$SELECT every(state = 'REMOVED') FROM bw_subscriptions$$), 'both are taken back');

-- the one that is kept
SELECT test.sandbox('faults class=SUBSCRIPTION method=POST kind=refuse code=16006 text=too_many');
ALTER SERVER bandwidth OPTIONS (ADD callback_url :'callback_url');
SELECT ok(test.comes_true($$SELECT state = 'FAILED' FROM bw_subscriptions WHERE kept$$), 'one that is kept is refused');
SELECT is(says('subscription'), '1 subscriptions failed | See error_code and error_text in bw_subscriptions.', 'and pointed at');
SELECT is(subscriptions, '{"bandwidth: failed: 16006: too_many"}', 'in bw_stat_worker, too') FROM bw_stat_worker;
SELECT test.sandbox('DELETE faults');
SELECT is(bw_rotate_callback_credentials(), 1, 'it is tried anew');
SELECT ok(test.comes_true($$SELECT state = 'ACTIVE' FROM bw_subscriptions WHERE kept$$), 'and made');
SELECT is(says('subscription'), 'ok: 1 active', 'all is well');
SELECT is(subscriptions, '{}', 'so says bw_stat_worker') FROM bw_stat_worker;
SELECT is(bw_rotate_callback_credentials('bandwidth'), 1, 'by name');
SELECT ok(test.comes_true($$SELECT NOT rotate FROM bw_subscription_work$$), 'fresh credentials');
SELECT test.sandbox('subscriptions status=503+busy');
ALTER SERVER bandwidth OPTIONS (ADD connect_timeout '5');
SELECT ok(test.comes_true($$SELECT bandwidth_status IS NOT NULL FROM bw_subscriptions WHERE kept$$), 'Bandwidth''s words are read');
SELECT is(says('subscription'), 'callbacks fail, Bandwidth says: 503+busy | See what stands between Bandwidth and '
          'this database at callback_url; orders are polled meanwhile.', 'callbacks that do not get through');
SELECT alike(test.error(format('SELECT bw_unsubscribe(%s)', (SELECT id FROM bw_subscriptions WHERE kept))),
             '55000 subscription % is kept for its server | Use ALTER SERVER ... OPTIONS (DROP callback_url).', 'bw_unsubscribe');
ALTER SERVER bandwidth OPTIONS (DROP callback_url, DROP connect_timeout);
SELECT ok(test.comes_true($$SELECT every(state = 'REMOVED') FROM bw_subscriptions$$), 'it goes with the option');
CREATE ROLE check_nobody;
SET ROLE check_nobody;
SELECT is(test.error('SELECT bw_rotate_callback_credentials()'), '42501 permission denied for function bw_rotate_callback_credentials',
          'rotating is not for everybody');
RESET ROLE;
DROP ROLE check_nobody;

SET bandwidth.listen_port = 0;
SELECT is(says('subscription'), 'ok: none: orders are polled', 'without a listener none is needed');
SELECT is(says('listener'), 'ok: callbacks on port ' || :'listen_port', 'a setting of the session is not the worker''s');
DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET bandwidth.listen_port = 0', current_database()); END$$;
SELECT ok(test.comes_true($$SELECT state = 'running' AND port IS NULL FROM bw_stat_worker$$), 'the worker''s setting is');
SELECT is(says('listener'), 'ok: off: orders are polled', 'and polling is fine');
RESET bandwidth.listen_port;
SELECT alike(says('listener'), 'port % is not open: orders are polled | The server log says why.%', 'a port that the worker has not opened');
SELECT format('ALTER DATABASE %I SET bandwidth.listen_port = %s', current_database(), :'listen_port') \gexec
SELECT ok(test.comes_true($$SELECT says('listener') LIKE 'ok: callbacks on port %'$$), 'until it has');

--
-- Server and rights
--
SELECT is(lines('elsewhere'), 'preload, version, worker, server!', 'without a server nothing more can be said');
SELECT is(says('server', 'elsewhere'),
          'server "elsewhere" does not exist | CREATE SERVER elsewhere FOREIGN DATA WRAPPER bandwidth '
          'OPTIONS (account_id ''...'', site_id ''...'').', 'no server');
SELECT alike(says('server', 'My server'), '%CREATE SERVER "My server" FOREIGN%', 'its name is quoted');
CREATE FOREIGN DATA WRAPPER other;
CREATE SERVER other FOREIGN DATA WRAPPER other;
SELECT alike(says('server', 'other'), 'server "other" does not exist | %', 'nor is another wrapper''s one');

CREATE ROLE check_app;
SET ROLE check_app;
SELECT is(lines(), 'preload, version, worker, server, usage!', 'without rights nothing more is said');
SELECT is(says('usage'), 'your role may not use the server | '
          'GRANT USAGE ON FOREIGN SERVER bandwidth TO check_app.', 'no USAGE');
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER bandwidth TO check_app;

--
-- Credentials
--
SET ROLE check_app;
SELECT is(lines(), 'preload, version, worker, server, usage, user mapping!, owner''s user mapping, identity, ordering, pause, attention, lost orders, last error, listener, subscription!',
          'without credentials nothing is asked');
SELECT is(says('user mapping'), 'your role has no user mapping, and PUBLIC has none | '
          'CREATE USER MAPPING FOR check_app SERVER bandwidth '
          'OPTIONS (client_id ''...'', client_secret_file ''...'').', 'no mapping');
RESET ROLE;
CREATE USER MAPPING FOR check_app SERVER bandwidth OPTIONS (username 'user', password 'word');
SET ROLE check_app;
SELECT is(says('user mapping'), 'ok: user name and password: Bandwidth ends these on 2 December 2026', 'Basic');
RESET ROLE;
ALTER USER MAPPING FOR check_app SERVER bandwidth OPTIONS (DROP password, ADD password_file '/nowhere');
SET ROLE check_app;
SELECT is(says('user mapping'),
          'could not open the file of option "password_file": No such file or directory: The file is "/nowhere". | '
          'CREATE USER MAPPING FOR check_app SERVER bandwidth OPTIONS (client_id ''...'', client_secret_file ''...'').',
          'a secret that cannot be read');
RESET ROLE;
DROP USER MAPPING FOR CURRENT_USER SERVER bandwidth;
SELECT is(says('owner''s user mapping'), 'the server''s owner has no user mapping, and PUBLIC has none | '
          'CREATE USER MAPPING FOR postgres SERVER bandwidth: subscriptions and lists use the owner''s.',
          'the owner has no mapping');
CREATE USER MAPPING FOR PUBLIC SERVER bandwidth OPTIONS (client_id 'client', client_secret 'secret');
SELECT is(says('owner''s user mapping'), 'ok: subscriptions can be kept', 'PUBLIC''s will do');
SELECT is(says('user mapping'), 'ok: OAuth2 client credentials', 'for both');

--
-- Bandwidth
--
ALTER USER MAPPING FOR PUBLIC SERVER bandwidth OPTIONS (SET client_secret 'wrong');
SELECT is(says('access'), 'No access token from ' || :'token_url' || ': HTTP status 401 | '
          'Check the credentials of the user mapping and the roles of the API user at Bandwidth.', 'a wrong secret');
SELECT alike(lines(), '%, access!, owner''s user mapping, %', 'leaves the rest out');
ALTER USER MAPPING FOR PUBLIC SERVER bandwidth OPTIONS (SET client_secret 'secret');
SELECT test.sandbox('faults kind=status status=403 path=/sites');
SELECT is(says('access'), 'HTTP status 403 | '
          'Check the credentials of the user mapping and the roles of the API user at Bandwidth.', 'no role at Bandwidth');
SELECT test.sandbox('DELETE faults');
ALTER SERVER bandwidth OPTIONS (SET token_url 'http://127.0.0.1:1/');
ALTER USER MAPPING FOR PUBLIC SERVER bandwidth OPTIONS (SET client_id 'client2');
SELECT alike(says('access'), 'No access token from http://127.0.0.1:1/: Failed to connect % | '
             'Check base_url, token_url, proxy and ca_file, and that this machine may reach them.',
             'a token_url where nobody is');
ALTER USER MAPPING FOR PUBLIC SERVER bandwidth OPTIONS (SET client_id 'client');
ALTER SERVER bandwidth OPTIONS (SET token_url :'token_url', SET base_url 'http://127.0.0.1:1/api');
SELECT alike(says('access'), 'Failed to connect % | '
             'Check base_url, token_url, proxy and ca_file, and that this machine may reach them.',
             'a base_url where nobody is');
SELECT test.sandbox('faults kind=status status=500 path=/sites');
ALTER SERVER bandwidth OPTIONS (SET base_url :'base_url');
SELECT is(says('account'), 'account 9900000: HTTP status 500 | Check the server option "account_id".',
          'Bandwidth is in trouble');
SELECT test.sandbox('DELETE faults');
ALTER SERVER bandwidth OPTIONS (SET account_id '1');
SELECT is(says('account'), 'account 1: The account is invalid | Check the server option "account_id".',
          'another account');
SELECT alike(lines(), '%, access, account!, owner''s user mapping, %', 'leaves out site and peer');
ALTER SERVER bandwidth OPTIONS (SET account_id '9900000');

--
-- Site and SIP peer
--
ALTER SERVER bandwidth OPTIONS (SET site_id '1');
SELECT is(says('site'), 'the account has no site 1 | ALTER SERVER bandwidth OPTIONS (SET site_id ''...'').',
          'a site that is not there');
ALTER SERVER bandwidth OPTIONS (DROP site_id);
SELECT is(says('site'), 'no default site: every order has to name one | '
          'ALTER SERVER bandwidth OPTIONS (ADD site_id ''...'').', 'no site');
ALTER SERVER bandwidth OPTIONS (ADD site_id '743', ADD peer_id '1');
SELECT is(says('SIP peer'), 'the site has no SIP peer 1 | ALTER SERVER bandwidth OPTIONS (SET peer_id ''...'').',
          'a SIP peer that is not there');
ALTER SERVER bandwidth OPTIONS (SET peer_id '546348');
SELECT is(says('SIP peer'), 'ok: SIP peer 546348 is there', 'one that is');

-- What Bandwidth does not answer is not denied either.
SELECT test.sandbox('faults kind=status status=500 path=/sites skip=1');
SELECT alike(says('site'), 'the sites could not be listed: HTTP status 500 | Try again later.', 'a list of sites that does not come');
SELECT test.sandbox('DELETE faults');
SELECT test.sandbox('faults kind=status status=500 path=/sippeers');
SELECT alike(says('SIP peer'), 'the SIP peers could not be listed: HTTP status 500 | Try again later.',
             'a list of SIP peers that does not come');
SELECT test.sandbox('DELETE faults');

-- A rate limit that is used up is one line, and not the end of them.
ALTER SERVER bandwidth OPTIONS (SET requests_per_minute '1', SET burst '1');
SET bandwidth.max_rate_limit_wait = 0;
SELECT alike(says('access'), 'rate limit of account "9900000" is used up: The next call of this kind is possible at % | Call bw_check() again then.',
             'a rate limit that is used up');
SELECT alike(lines(), '%, user mapping, access!, owner''s user mapping, identity, %, listener, subscription%', 'leaves out the account, site and peer');
RESET bandwidth.max_rate_limit_wait;

DROP OWNED BY check_app;
SELECT * FROM finish();
