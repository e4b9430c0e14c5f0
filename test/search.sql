-- Searching, against the sandbox.
\getenv sandbox_url BW_SANDBOX_URL
\set base_url :sandbox_url /api
\set token_url :sandbox_url /api/v1/oauth2/token

CREATE SERVER bandwidth FOREIGN DATA WRAPPER bandwidth
OPTIONS (base_url :'base_url', token_url :'token_url', account_id '9900000', site_id '743');
CREATE USER MAPPING FOR CURRENT_USER SERVER bandwidth
OPTIONS (client_id 'client', client_secret 'secret');

SELECT plan(2);

SELECT results_eq(
    $$SELECT telephone_number FROM bw_search('540551', quantity => 3)$$,
    ARRAY['5405514342', '5405515330', '5405515329'],
    'the guide''s search starts with the guide''s numbers');
SELECT is(count(*), 7::bigint, 'all seven are found')
  FROM bw_search('540551', quantity => 7);

SELECT * FROM finish();
