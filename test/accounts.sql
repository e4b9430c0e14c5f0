-- Whose account, with which credentials: tokens, secrets, mappings, rights.
-- sandbox: --client-id client --client-secret secret --username user --password word
\set secret secret
\ir lib/helpers.sql
\getenv stage BW_STAGE
\set secret_file :stage /tmp/accounts_secret
SELECT no_plan();
CREATE EXTENSION dblink;

PREPARE search AS SELECT count(*) FROM bw_search('540551', quantity => 7);

-- Another session: what it does there is seen here at once.
CREATE FUNCTION connection() RETURNS text
LANGUAGE sql AS $$
    SELECT format('host=%s dbname=%s user=postgres', current_setting('unix_socket_directories'), current_database())
$$;
CREATE FUNCTION elsewhere(command text) RETURNS text
LANGUAGE sql AS $$SELECT dblink_exec(connection(), command)$$;
CREATE FUNCTION tokens() RETURNS integer LANGUAGE sql AS $$SELECT test.requests('class=TOKEN')$$;
CREATE FUNCTION write_secret(content text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('COPY (SELECT unnest(string_to_array(%L, E''\n''))) TO %L', content,
                   (SELECT path FROM secret_path));
END
$$;
CREATE TABLE secret_path AS SELECT :'secret_file'::text AS path;
SELECT write_secret('secret');

--
-- OAuth2: a token is fetched once
--
SELECT is(test.error('EXECUTE search'), NULL, 'a search with OAuth2') FROM generate_series(1, 3);
SELECT is(tokens(), 1, 'three searches need one token');
SELECT is(test.requests('class=SEARCH status=200'), 3, 'and one request each');
SELECT is(n, 7::bigint, 'another session')
  FROM dblink(connection(), $$SELECT count(*) FROM bw_search('540551', quantity => 7)$$) AS t(n bigint);
SELECT is(tokens(), 1, 'uses the same token');

-- an unexpected 401
SELECT test.sandbox('DELETE journal');
SELECT test.sandbox('faults class=SEARCH kind=unauthorized count=1');
SELECT is(test.error('EXECUTE search'), NULL, 'a token that is refused is replaced');
SELECT is(tokens(), 1, 'by one more');
SELECT is(test.requests('class=SEARCH'), 2, 'and the call is made again');
SELECT is(test.error('EXECUTE search'), NULL, 'the new token is kept');
SELECT is(tokens(), 1, 'for the next call');
SELECT test.sandbox('DELETE journal');
SELECT test.sandbox('faults class=SEARCH kind=unauthorized');
SELECT is(left(test.error('EXECUTE search'), 5), 'TN002', 'a second 401 is the answer');
SELECT is(test.requests('class=SEARCH'), 2, 'after two requests');
SELECT is(tokens(), 1, 'and one token');
SELECT test.sandbox('DELETE faults');

-- tokens that do not live long
SELECT test.sandbox('config token_expires_in=2');
DROP USER MAPPING FOR CURRENT_USER SERVER bandwidth;
CREATE USER MAPPING FOR CURRENT_USER SERVER bandwidth OPTIONS (client_id 'client', client_secret 'secret');
SELECT test.sandbox('DELETE journal');
SELECT is(test.error('EXECUTE search'), NULL, 'a new mapping');
SELECT is(tokens(), 1, 'gets a token of its own');
CREATE TABLE searches (error text);
SELECT ok(test.comes_true($$INSERT INTO searches SELECT test.error('EXECUTE search') RETURNING tokens() >= 3$$),
          'tokens are renewed');
SELECT is_empty('SELECT error FROM searches WHERE error IS NOT NULL', 'in time: no search fails');
SELECT is(test.requests('status=401'), 0, 'nor is any refused');
SELECT test.sandbox('config token_expires_in=3600');

-- no token
CREATE FUNCTION search_without_token(fault text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    -- another mapping has another token
    DROP USER MAPPING FOR CURRENT_USER SERVER bandwidth;
    CREATE USER MAPPING FOR CURRENT_USER SERVER bandwidth
    OPTIONS (client_id 'client', client_secret 'secret');
    PERFORM test.sandbox('DELETE journal');
    PERFORM test.sandbox('faults class=TOKEN kind=' || fault);
    result := test.error($q$SELECT * FROM bw_search('540551')$q$);
    PERFORM test.sandbox('DELETE faults');
    IF test.requests('class=SEARCH') > 0 THEN
        result := result || ' (and a search was sent)';
    END IF;
    RETURN replace(result, (SELECT base FROM sandbox_base), '');
END
$$;
CREATE TABLE sandbox_base AS SELECT :'sandbox_url'::text AS base;
\set later 'Try again later; SELECT * FROM bw_check() tells whether Bandwidth can be reached.'
\set unauthorized 'Check the user mapping for server "bandwidth" and the roles of its API user at Bandwidth.'
SELECT is(search_without_token('status status=500'),
          'TN004 could not search for telephone numbers | No access token from /api/v1/oauth2/token: '
          'HTTP status 500. | ' || :'later', 'the token endpoint fails');
SELECT is(search_without_token('status status=403'),
          'TN002 could not search for telephone numbers | No access token from /api/v1/oauth2/token: '
          'HTTP status 403. | ' || :'unauthorized', 'it refuses');
ALTER SERVER bandwidth OPTIONS (SET account_id '9900001');
SELECT alike(search_without_token('rate_limit retry_after_s=600'),
             'TN003 could not search for telephone numbers | No access token from /api/v1/oauth2/token: '
             'HTTP status 429. | Try again after %.', 'it limits');
ALTER SERVER bandwidth OPTIONS (SET account_id '9900000');
SELECT is(search_without_token('status status=204'),
          'TN004 could not search for telephone numbers | No access token from /api/v1/oauth2/token: '
          'the reply holds none. | ' || :'later', 'it says nothing');
SELECT is(search_without_token('malformed'),
          'TN004 could not search for telephone numbers | No access token from /api/v1/oauth2/token: '
          'the reply holds none. | ' || :'later', 'it breaks off');
SELECT is(search_without_token('html status=200'),
          'TN004 could not search for telephone numbers | No access token from /api/v1/oauth2/token: '
          'the reply holds none. | ' || :'later', 'it shows a page');
SELECT is(test.error('EXECUTE search'), NULL, 'and then it works again');

--
-- Credentials change: at once, in sessions that are open
--
ALTER USER MAPPING FOR CURRENT_USER SERVER bandwidth OPTIONS (SET client_secret 'wrong');
SELECT alike(test.error('EXECUTE search'), 'TN002 %: HTTP status 401. | ' || :'unauthorized', 'a wrong secret');
SELECT is(elsewhere($$ALTER USER MAPPING FOR postgres SERVER bandwidth OPTIONS (SET client_secret 'secret')$$),
          'ALTER USER MAPPING', 'changed in another session');
SELECT is(test.error('EXECUTE search'), NULL, 'the right one works here at once');
SELECT is(elsewhere($$ALTER SERVER bandwidth OPTIONS (SET account_id '9900002')$$),
          'ALTER SERVER', 'so with the server');
SELECT test.sandbox('DELETE journal');
SELECT is(test.error('EXECUTE search'), NULL, 'the next search');
SELECT is(test.requests('path=/accounts/9900002/'), 1, 'asks the other account');
ALTER SERVER bandwidth OPTIONS (SET account_id '9900000');

-- secret files
ALTER USER MAPPING FOR CURRENT_USER SERVER bandwidth
OPTIONS (DROP client_secret, ADD client_secret_file :'secret_file');
SELECT is(test.error('EXECUTE search'), NULL, 'a secret in a file');
SELECT write_secret('wrong');
SELECT alike(test.error('EXECUTE search'), 'TN002 %', 'is read again when it changes');
SELECT write_secret(E'secret\n');
SELECT is(replace(test.error('EXECUTE search'), :'secret_file', 'FILE'),
          NULL, 'an empty line at the end is no matter');
SELECT write_secret(E'secret\nsecret');
SELECT is(replace(test.error('EXECUTE search'), :'secret_file', 'FILE'),
          '28000 file of option "client_secret_file" does not hold one line | The file is "FILE".',
          'two secrets are');
SELECT write_secret('');
SELECT is(replace(test.error('EXECUTE search'), :'secret_file', 'FILE'),
          '28000 file of option "client_secret_file" does not hold one line | The file is "FILE".',
          'no secret is');
SELECT write_secret(repeat('secret', 2000));
SELECT is(replace(test.error('EXECUTE search'), :'secret_file', 'FILE'),
          '42809 file of option "client_secret_file" is no regular file of up to 8192 bytes | The file is "FILE".',
          'so is a novel');
ALTER USER MAPPING FOR CURRENT_USER SERVER bandwidth OPTIONS (SET client_secret_file :'stage');
SELECT is(replace(test.error('EXECUTE search'), :'stage', 'FOLDER'),
          '42809 file of option "client_secret_file" is no regular file of up to 8192 bytes | The file is "FOLDER".',
          'and a folder');
ALTER USER MAPPING FOR CURRENT_USER SERVER bandwidth OPTIONS (SET client_secret_file '/nowhere');
SELECT is(test.error('EXECUTE search'),
          '58P01 could not open the file of option "client_secret_file": No such file or directory '
          '| The file is "/nowhere". | The operating system user of the server must be able to read it.',
          'a file that is not there');

--
-- Basic
--
DROP USER MAPPING FOR CURRENT_USER SERVER bandwidth;
CREATE USER MAPPING FOR CURRENT_USER SERVER bandwidth OPTIONS (username 'user', password 'word');
SELECT test.sandbox('DELETE journal');
SELECT is(test.error('EXECUTE search'), NULL, 'a search with user name and password');
SELECT is(test.sandbox('GET journal')::json #>> '{0,auth}', 'basic', 'sends them');
SELECT is(tokens(), 0, 'and needs no token');
ALTER USER MAPPING FOR CURRENT_USER SERVER bandwidth OPTIONS (SET password 'wrong');
SELECT test.sandbox('DELETE journal');
SELECT alike(test.error('EXECUTE search'), 'TN002 %status 401. | ' || :'unauthorized', 'wrong ones are refused');
SELECT is(test.requests(), 1, 'after one request');
SELECT write_secret('word');
ALTER USER MAPPING FOR CURRENT_USER SERVER bandwidth
OPTIONS (DROP password, ADD password_file :'secret_file');
SELECT is(test.error('EXECUTE search'), NULL, 'a password in a file');

--
-- Roles: USAGE is the gate, and a mapping of one's own goes before PUBLIC's
--
CREATE ROLE accounts_app;
CREATE ROLE accounts_owner;
CREATE FUNCTION as_app(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    SET LOCAL ROLE accounts_app;
    result := test.error(statement);
    RESET ROLE;
    RETURN result;
END
$$;
SELECT is(as_app(statement),
          '42501 permission denied for foreign server bandwidth '
          '| Its owner can run GRANT USAGE ON FOREIGN SERVER bandwidth TO accounts_app.', statement)
  FROM unnest(ARRAY[$$SELECT * FROM bw_search('540551')$$,
                    $$SELECT * FROM bw_order(ARRAY['5402278098'])$$,
                    $$SELECT * FROM bw_list_subscriptions()$$]) AS statement;
GRANT USAGE ON FOREIGN SERVER bandwidth TO accounts_app;
SELECT is(as_app($$SELECT * FROM bw_search('540551')$$),
          '28000 user mapping not found for role "accounts_app" on server "bandwidth" | '
          'Use CREATE USER MAPPING FOR accounts_app SERVER bandwidth OPTIONS (client_id ''...'', client_secret_file ''...'').',
          'no mapping, and PUBLIC has none');
CREATE USER MAPPING FOR PUBLIC SERVER bandwidth OPTIONS (client_id 'client', client_secret 'secret');
SELECT test.sandbox('DELETE journal');
SELECT is(as_app($$SELECT * FROM bw_search('540551')$$), NULL, 'PUBLIC''s mapping serves everybody');
SELECT is(test.sandbox('GET journal class=SEARCH')::json #>> '{0,auth}', 'bearer', 'with its credentials');
CREATE USER MAPPING FOR accounts_app SERVER bandwidth OPTIONS (username 'user', password 'word');
SELECT test.sandbox('DELETE journal');
SELECT is(as_app($$SELECT * FROM bw_search('540551')$$), NULL, 'but a mapping of one''s own');
SELECT is(test.sandbox('GET journal class=SEARCH')::json #>> '{0,auth}', 'basic', 'goes first');

-- a file is named by superusers only, also in a mapping of one's own
SELECT alike(as_app(format($$ALTER USER MAPPING FOR accounts_app SERVER bandwidth
                             OPTIONS (DROP password, ADD password_file %L)$$, :'secret_file')),
             '42501 permission denied to set option "password_file" | %', 'a file of the server is not everybody''s');

-- in a function of another role, that role's credentials count
REVOKE USAGE ON FOREIGN SERVER bandwidth FROM accounts_app;
GRANT USAGE ON FOREIGN SERVER bandwidth TO accounts_owner;
CREATE FUNCTION search_for_all() RETURNS bigint LANGUAGE sql SECURITY DEFINER
AS $$SELECT count(*) FROM bw_search('540551', quantity => 3)$$;
ALTER FUNCTION search_for_all() OWNER TO accounts_owner;
SELECT is(as_app('SELECT search_for_all()'), NULL, 'a SECURITY DEFINER function lends its owner''s USAGE');

-- who orders is who is charged, also when the worker sends
GRANT USAGE ON FOREIGN SERVER bandwidth TO accounts_app;
SELECT test.sandbox('DELETE journal');
SET ROLE accounts_app;
SELECT id AS app_order FROM bw_order(ARRAY['5402278098']) \gset
RESET ROLE;
SELECT ok(test.comes_true(format('SELECT is_final FROM bw_orders WHERE id = %s', :app_order)), 'an order');
SELECT is(test.sandbox('GET journal method=POST class=ORDER')::json #>> '{0,auth}', 'basic',
          'is sent with the credentials of the role that ordered');

--
-- Two servers over one account share its limits
--
CREATE SERVER less FOREIGN DATA WRAPPER bandwidth
OPTIONS (base_url :'base_url', token_url :'token_url', account_id '9900003', requests_per_minute '1', burst '2');
CREATE SERVER more FOREIGN DATA WRAPPER bandwidth
OPTIONS (base_url :'base_url', token_url :'token_url', account_id '9900003', requests_per_minute '60', burst '4');
CREATE USER MAPPING FOR CURRENT_USER SERVER less OPTIONS (username 'user', password 'word');
CREATE USER MAPPING FOR CURRENT_USER SERVER more OPTIONS (username 'user', password 'word');
SELECT is(test.error($$SELECT * FROM bw_search('540551', server => 'less')$$), NULL, 'one with less');
SELECT is(test.error($$SELECT * FROM bw_search('540551', server => 'more')$$), NULL, 'and one with more');
SELECT alike(test.error($$SELECT * FROM bw_search('540551', server => 'less')$$),
             'TN003 rate limit of account "9900003" is used up | %', 'calls of both count for the one with less');
SELECT is(test.error($$SELECT * FROM bw_search('540551', server => 'more')$$), NULL, 'the other goes on');

--
-- Secrets are nowhere
--
ALTER USER MAPPING FOR CURRENT_USER SERVER bandwidth
OPTIONS (DROP username, DROP password_file, ADD client_id 'client', ADD client_secret 'Zx81-not-to-be-seen');
SELECT unalike(test.error('EXECUTE search'), '%Zx81%', 'no secret in an error');
SELECT unalike(test.error($$ALTER USER MAPPING FOR CURRENT_USER SERVER bandwidth
                           OPTIONS (SET client_secret 'Zx81-not-to-be-seen', ADD client_scret 'Zx81-not-to-be-seen')$$),
               '%Zx81%', 'nor in one about options');
SELECT unalike(string_agg(c::text, ' '), '%Zx81%', 'nor in bw_check()') FROM bw_check() AS c;
SELECT is_empty($$SELECT query FROM pg_stat_activity WHERE query ~ 'Zx81' AND pid <> pg_backend_pid()$$,
                'no secret in pg_stat_activity');
SELECT is_empty($$SELECT * FROM pg_stat_activity AS a
                   WHERE backend_type LIKE 'bandwidth%' AND a::text ~ 'Zx81|sandbox-token'$$,
                'nor in what the worker says');
SELECT unalike(pg_read_file(:'stage' || '/server.log'), '%Zx81-not-to-be-seen%', 'nor in the server''s log');
SELECT unalike(pg_read_file(:'stage' || '/server.log'), '%sandbox-token-%', 'nor an access token');

DROP OWNED BY accounts_app, accounts_owner;
SELECT * FROM finish();
