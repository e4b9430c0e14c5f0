-- Whatever goes wrong with a search has its SQLSTATE, and none is ever taken
-- for "nothing is available".
\ir lib/helpers.sql
SELECT no_plan();

PREPARE search AS SELECT * FROM bw_search('540551', quantity => 7);

-- The error of a search while the sandbox plays a fault.
CREATE FUNCTION search_with(fault text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    PERFORM test.sandbox('faults class=SEARCH kind=' || fault);
    result := test.error($q$SELECT * FROM bw_search('540551', quantity => 7)$q$);
    PERFORM test.sandbox('DELETE faults');
    RETURN result;
END
$$;

-- refused: a reason of Bandwidth's, code first
SELECT is(search_with('refuse code=4010 text=Criteria+missing'),
          'TN001 4010: Criteria+missing | Could not search for telephone numbers.',
          '400 with a code');
SELECT is(search_with('status status=404 code=5000 text=The+account+is+invalid'),
          'TN001 5000: The+account+is+invalid | Could not search for telephone numbers.',
          '404 with a code');
SELECT is(search_with('status status=404'),
          'TN001 could not search for telephone numbers | The server answered with status 404. | Check the arguments, and the option "base_url" of server "bandwidth".',
          '404 without one: a wrong base_url perhaps');
SELECT is(search_with('status status=' || s),
          format('TN001 could not search for telephone numbers | The server answered with status %s.'
                 ' | Check the arguments, and the option "base_url" of server "bandwidth".', s), 'nor will it be there later: ' || s)
  FROM unnest(ARRAY[405, 414]) AS s;
SELECT is(search_with('status status=400 code=5086 text=timed+out'),
          'TN001 5086: timed+out | Could not search for telephone numbers.',
          'a code that leaves an order''s outcome open is plain for a search');

-- unauthorized
\set unauthorized 'Check the user mapping for server "bandwidth" and the roles of its API user at Bandwidth.'
SELECT is(search_with('unauthorized'),
          'TN002 could not search for telephone numbers | The server answered with status 401. | '
          || :'unauthorized', '401');
SELECT is(search_with('status status=403'),
          'TN002 could not search for telephone numbers | The server answered with status 403. | '
          || :'unauthorized', '403');
SELECT is(search_with('status status=403 code=5051 text=not+authorised'),
          'TN002 5051: not+authorised | Could not search for telephone numbers. | '
          || :'unauthorized', '403 with a code');

-- Bandwidth's side is in trouble
\set later 'Try again later; SELECT * FROM bw_check() tells whether Bandwidth can be reached.'
SELECT is(search_with('status status=' || s),
          format('TN004 could not search for telephone numbers | The server answered with status %s. | ', s)
          || :'later', s::text)
  FROM unnest(ARRAY[500, 502, 503, 504]) AS s;
SELECT is(search_with('status status=400'),
          'TN004 could not search for telephone numbers | The server answered with status 400. | '
          || :'later', '400 without a code comes from something in between');
SELECT is(search_with('html status=502'),
          'TN004 could not search for telephone numbers | The server answered with status 502. | '
          || :'later', 'a proxy''s page about an error');

-- the reply is none
SELECT alike(search_with('html status=200'), 'TN005 could not read the reply to the search | %',
            'a page in place of a list');
SELECT is(search_with('html status=200 ''text=<html><body/></html>'''),
          'TN005 could not read the reply to the search | document is a web page.',
          'one in good XML is no list of nothing either');
SELECT is(search_with('status status=200'),
          'TN005 could not read the reply to the search | The reply is empty.', 'an empty reply');
SELECT alike(search_with('malformed'), 'TN005 could not read the reply to the search | %',
            'a list that breaks off');
SELECT is(search_with('oversize bytes=17000000'),
          'TN005 could not search for telephone numbers | The reply is larger than allowed.',
          'a reply without end');

-- no reply
SELECT alike(search_with(kind), 'TN004 could not search for telephone numbers | % | ' || :'later', kind)
  FROM unnest(ARRAY['drop_reply', 'reset_before', 'reset_after']) AS kind;
ALTER SERVER bandwidth OPTIONS (ADD connect_timeout '0.2 s', ADD request_timeout '0.3 s');
SELECT alike(search_with('hang'),
            'TN004 could not search for telephone numbers | %timed out% | ' || :'later',
            'a server that does not answer');
SELECT alike(search_with('drip'),
            'TN004 could not search for telephone numbers | %timed out% | ' || :'later',
            'a server that answers a byte a second');
ALTER SERVER bandwidth OPTIONS (DROP connect_timeout, DROP request_timeout);
SELECT alike(search_with('redirect status=303'),
            'TN004 could not search for telephone numbers | Failed to connect % | ' || :'later',
            'a redirect to where nobody listens');
ALTER SERVER bandwidth OPTIONS (SET base_url 'http://127.0.0.1:1/api');
SELECT alike(test.error('EXECUTE search'),
            'TN004 could not search for telephone numbers | Failed to connect % | ' || :'later',
            'nobody listens');
ALTER SERVER bandwidth OPTIONS (SET base_url :'base_url');

-- rate limits: an account of its own for each, because a limit is remembered
ALTER SERVER bandwidth OPTIONS (SET account_id '1');
SELECT alike(search_with('rate_limit retry_after_s=600'),
            'TN003 could not search for telephone numbers | The server answered with status 429. '
            '| Try again after %.', '429');
SELECT test.sandbox('DELETE journal');
SELECT alike(test.error('EXECUTE search'),
            'TN003 rate limit of account "1" is used up | The next call of this kind is possible at %. '
            '| Try again then, or see the server options "requests_per_minute" and "burst".',
            'the next search need not ask');
SELECT is(test.requests(), 0, 'nor does it');
SELECT is((regexp_match(test.error('EXECUTE search'), 'possible at (.*?)\. \|'))[1]::timestamptz
          BETWEEN now() + '9 min' AND now() + '11 min', true, 'its time came with X-RateLimit-Reset');
ALTER SERVER bandwidth OPTIONS (SET account_id '2');
SELECT isnt(search_with('rate_limit'), NULL, '429 without X-RateLimit-Reset');
SELECT is((regexp_match(test.error('EXECUTE search'), 'possible at (.*?)\. \|'))[1]::timestamptz
          BETWEEN now() + '30 s' AND now() + '90 s', true, 'means a minute');
ALTER SERVER bandwidth OPTIONS (SET account_id '3');
SELECT isnt(search_with('rate_limit retry_after_s=1'), NULL, '429 for a second');
SELECT is(test.error('EXECUTE search'), NULL, 'is waited for');
ALTER SERVER bandwidth OPTIONS (SET account_id '4', SET requests_per_minute '1', SET burst '2');
SELECT is(test.error('EXECUTE search'), NULL, format('call %s of a burst of two', i))
  FROM generate_series(1, 2) AS i;
SELECT alike(test.error('EXECUTE search'), 'TN003 rate limit of account "4" is used up | %',
            'the third has to wait');
SELECT is(test.error($$SELECT * FROM bw_list_subscriptions()$$), NULL, 'calls of other classes go out');
ALTER SERVER bandwidth OPTIONS (SET account_id '9900000', SET requests_per_minute '1000000',
                                SET burst '1000000');

-- after all that, the session is as good as new
SELECT is(count(*), 7::bigint, 'a search after errors') FROM bw_search('540551', quantity => 7);

SELECT * FROM finish();
