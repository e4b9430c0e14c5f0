-- Searching, against the sandbox.
\ir lib/helpers.sql
SELECT no_plan();

SELECT results_eq(
    $$SELECT telephone_number FROM bw_search('540551', quantity => 3)$$,
    ARRAY['5405514342', '5405515330', '5405515329'],
    'the guide''s search starts with the guide''s numbers');
SELECT is(count(*), 7::bigint, 'all seven are found')
  FROM bw_search('540551', quantity => 7);
SELECT is(count(*), 3::bigint, 'without neighbours, only those of the prefix')
  FROM bw_search('540551', quantity => 7, lca => false)
 WHERE telephone_number IN ('5405514342', '5405515330', '5405515329');

-- rows
SELECT results_eq(
    $$SELECT * FROM bw_search('540551', quantity => 1)$$,
    $$VALUES ('5405514342', 'WASHINGTON', 'VA', 'WASHINGTON', '236', 0, 49, 'Bandwidth CLEC')$$,
    'a row has all details');
SELECT results_eq(
    $$SELECT * FROM bw_search('540551', quantity => 1, detail => false)$$,
    $$VALUES ('5405514342', NULL::text, NULL::text, NULL::text, NULL::text, NULL::integer, NULL::integer, NULL::text)$$,
    'or just the number');
SELECT is_empty($$SELECT * FROM bw_search(state => 'AK')$$, 'nothing available is no row, and no error');

-- each kind of search, as Bandwidth spells it
SELECT test.sandbox('DELETE journal');
SELECT ok(EXISTS (SELECT FROM bw_search(area_code => '919', quantity => 1)), 'area code');
SELECT ok(EXISTS (SELECT FROM bw_search(npanxxx => '9192001', quantity => 1)), 'NPA-NXX-X');
SELECT ok(EXISTS (SELECT FROM bw_search(rate_center => 'KNIGHTDALE', state => 'NC', quantity => 1)), 'rate center');
SELECT ok(EXISTS (SELECT FROM bw_search(city => 'FLINT HILL', state => 'VA', quantity => 1)), 'city');
SELECT ok(EXISTS (SELECT FROM bw_search(zip => '27545', quantity => 1)), 'ZIP');
SELECT ok(EXISTS (SELECT FROM bw_search(lata => '132', quantity => 1)), 'LATA');
SELECT ok(EXISTS (SELECT FROM bw_search(local_vanity => '2001', ends_in => true, area_code => '919', quantity => 1)),
          'vanity');
SELECT ok(EXISTS (SELECT FROM bw_search(toll_free_wildcard_pattern => '83*', order_by => 'npaNxxx', quantity => 1)),
          'toll-free pattern');
SELECT is(e ->> 'query', expected, expected)
  FROM ROWS FROM (
      json_array_elements(test.sandbox('GET journal class=SEARCH')::json),
      unnest(ARRAY[
          'areaCode=919&quantity=1&enableTNDetail=true',
          'npaNxxx=9192001&quantity=1&enableTNDetail=true',
          'rateCenter=KNIGHTDALE&state=NC&quantity=1&enableTNDetail=true',
          'city=FLINT%20HILL&state=VA&quantity=1&enableTNDetail=true',
          'zip=27545&quantity=1&enableTNDetail=true',
          'lata=132&quantity=1&enableTNDetail=true',
          'areaCode=919&localVanity=2001&endsIn=true&quantity=1&enableTNDetail=true',
          'tollFreeWildCardPattern=83%2A&orderBy=npaNxxx&quantity=1&enableTNDetail=true'])) AS j(e, expected);

-- many rows
SELECT is(count(DISTINCT telephone_number), 5000::bigint, '5,000 rows with details')
  FROM bw_search(area_code => '919', quantity => 5000);
SELECT is(count(*), 5000::bigint, '5,000 rows without')
  FROM bw_search(area_code => '919', quantity => 5000, detail => false);

-- in a query
SELECT results_eq(
    $$SELECT v.prefix, s.telephone_number LIKE v.prefix || '%'
        FROM (VALUES ('540227'), ('919200'), ('984203')) AS v(prefix),
             LATERAL bw_search(v.prefix, quantity => 2, lca => false) AS s
       ORDER BY v.prefix$$,
    $$VALUES ('540227', true), ('540227', true), ('919200', true), ('919200', true),
             ('984203', true), ('984203', true)$$,
    'in a LATERAL join, a search for each row');
SELECT results_eq(
    $$SELECT v.prefix, count(s.*)
        FROM (VALUES ('540227'), ('203555')) AS v(prefix)
             LEFT JOIN LATERAL bw_search(v.prefix, quantity => 2) AS s ON true
       GROUP BY v.prefix ORDER BY v.prefix$$,
    $$VALUES ('203555', 0::bigint), ('540227', 2)$$,
    'in an outer one, also for a row that finds nothing');
SELECT throws_ok(
    $$SELECT s.* FROM (VALUES ('540227'), ('540')) AS v(prefix), LATERAL bw_search(v.prefix) AS s$$,
    '22023', 'invalid npanxx: "540"', 'an error in one of them is the query''s');
SELECT is(count(*), 2::bigint, 'LIMIT takes the first rows')
  FROM (SELECT * FROM bw_search('540551') LIMIT 2) AS s;
SELECT is((SELECT telephone_number FROM bw_search('540551', quantity => 7) ORDER BY telephone_number LIMIT 1),
          '5402270905', 'rows can be sorted');
SELECT results_eq(
    $$SELECT (bw_search(area_code => '212', quantity => 2)).state$$, ARRAY['NY', 'NY'],
    'as a column of a SELECT list');
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT telephone_number FROM bw_search('540551', quantity => 3);
FETCH LAST FROM c \gset last_
FETCH FIRST FROM c \gset first_
SELECT is(:'first_telephone_number' || ' ' || :'last_telephone_number', '5405514342 5405515329',
          'in a cursor that goes both ways');
COMMIT;
CREATE TABLE found AS SELECT * FROM bw_search('540551', quantity => 5);
SELECT is(count(*), 5::bigint, 'into a table') FROM found;

SELECT * FROM finish();
