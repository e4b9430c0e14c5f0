-- The rest of a number's life: what the account has, and reservations.
\ir lib/helpers.sql
SELECT no_plan();
ALTER SERVER bandwidth OPTIONS (ADD max_numbers_per_order '5000');

-- The error of a statement while the sandbox plays a fault.
CREATE FUNCTION error_with(fault text, statement text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    PERFORM test.sandbox('faults kind=' || fault);
    result := test.error(statement);
    PERFORM test.sandbox('DELETE faults');
    RETURN result;
END
$$;

--
-- Sites, SIP peers, exchanges
--
SELECT results_eq($$SELECT * FROM bw_sites()$$,
                  $$VALUES ('743', 'Main', NULL), ('13606', 'Second', 'the guide''s')$$, 'sites');
SELECT results_eq($$SELECT * FROM bw_sip_peers()$$,
                  $$VALUES ('546348', 'Default', NULL, true), ('546349', 'Other', NULL, false)$$,
                  'SIP peers of the server''s own site');
SELECT is(count(*), 2::bigint, 'and of another') FROM bw_sip_peers('13606');
SELECT is(test.error($$SELECT bw_sip_peers('1')$$),
          'TN001 12016: Site is not found | Could not list the SIP peers.', 'of one that there is not: an error');
SELECT is(error_with('status class=OTHER', 'SELECT bw_sites()'),
          'TN004 could not list the sites | The server answered with status 500. '
          '| Try again later; SELECT * FROM bw_check() tells whether Bandwidth can be reached.', 'no list: an error');
SELECT alike(error_with('malformed class=OTHER', 'SELECT bw_sites()'),
             'TN005 could not read the list of sites | %', 'half a list: an error');
SELECT is(error_with('status status=404 class=OTHER', 'SELECT bw_sites()'),
          'TN001 could not list the sites | The server answered with status 404. | Check the arguments, and the option "base_url" of server "bandwidth".',
          '404 without a word: a wrong base_url perhaps');

SELECT results_eq($$SELECT * FROM bw_available_npanxx('540') ORDER BY 1$$,
                  $$VALUES ('540227', 'WASHINGTON', 'VA', 10000), ('540551', 'WASHINGTON', 'VA', 10000),
                           ('540675', 'FLINT HILL', 'VA', 10000)$$, 'exchanges of an area code');
SELECT is(count(*), 2::bigint, 'of a state') FROM bw_available_npanxx(state => 'NY');
SELECT test.sandbox('sell prefix=540227') IS NOT NULL AS sold \gset
SELECT test.sandbox('sell prefix=5405519') IS NOT NULL AS sold \gset
SELECT results_eq($$SELECT npanxx, quantity FROM bw_available_npanxx('540', quantity => 5000) ORDER BY 1$$,
                  $$VALUES ('540551', 9000), ('540675', 10000)$$, 'with so many numbers at the least');
SELECT is(test.error($$SELECT bw_available_npanxx('203')$$),
          'TN001 4000: The area code is invalid | Could not list the available exchanges.',
          'where there is nothing Bandwidth calls the area code invalid');

--
-- Numbers in service, page by page
--
SELECT is_empty('SELECT bw_numbers()', 'an account without numbers');
SELECT max(id) AS bought FROM bw_order_search(5000, area_code => '919', direct => true) \gset
SELECT is(bw_wait(:bought, '60 s'), 'COMPLETE', '5,000 numbers');
SELECT max(id) AS bought FROM bw_order_search(300, area_code => '984', direct => true, site_id => '13606') \gset
SELECT is(bw_wait(:bought, '60 s'), 'COMPLETE', '300 of another site');
SELECT max(id) AS bought FROM bw_order(ARRAY['2122000000', '2122000001'], name => 'two') \gset
SELECT is(bw_wait(:bought, '60 s'), 'COMPLETE', 'two of another LATA');
SELECT test.sandbox('config toll_free_delay_ms=100');
SELECT max(id) AS bought FROM bw_order(ARRAY['8002000001']) \gset
SELECT is(bw_wait(:bought, '60 s'), 'COMPLETE', 'a toll-free one');
SELECT test.sandbox('DELETE journal');
SELECT results_eq('SELECT count(*), count(DISTINCT telephone_number), min(telephone_number), max(telephone_number)
                     FROM bw_numbers()',
                  $$VALUES (5303::bigint, 5303::bigint, '2122000000', '9842000299')$$, 'all of 5,303 numbers');
SELECT is(test.requests('class=INSERVICE_NPANXX'), 11, 'with eleven calls');
SELECT is(count(*), 5000::bigint, 'of an area code, filtered on every page') FROM bw_numbers('919');
SELECT is(count(*), 300::bigint, 'of an exchange') FROM bw_numbers(npanxx => '984200');
SELECT is(count(*), 2::bigint, 'of a LATA') FROM bw_numbers(lata => '132');
SELECT is(count(*), 5300::bigint, 'of a state') FROM bw_numbers(state => 'NC');
SELECT is(count(*), 2::bigint, 'of a rate center') FROM bw_numbers(state => 'NY', rate_center => 'NWYRCYZN01');
SELECT is(count(*), 300::bigint, 'of a site') FROM bw_numbers(site_id => '13606');
SELECT is(count(*), 5303::bigint, 'changed since yesterday') FROM bw_numbers(start_date => current_date - 1);
SELECT is(count(*), 0::bigint, 'or before') FROM bw_numbers(start_date => '2020-01-01', end_date => '2020-12-31');
SELECT is(count(*), 3::bigint, 'joined with what one has')
  FROM (VALUES ('9192000000'), ('9192000001'), ('9192000002'), ('5405514342')) AS mine(phone)
       JOIN bw_numbers() AS n ON n.telephone_number = mine.phone;

-- a part of the list never passes for the whole
\set all 'SELECT count(*) FROM bw_numbers()'
SELECT is(error_with('status class=INSERVICE_NPANXX skip=5 count=1', :'all'),
          'TN004 could not list the telephone numbers in service | The server answered with status 500. '
          '| Try again later; SELECT * FROM bw_check() tells whether Bandwidth can be reached.',
          'the sixth page answers 500');
SELECT alike(error_with('malformed class=INSERVICE_NPANXX skip=5 count=1', :'all'),
             'TN005 could not read the list of telephone numbers in service | %', 'it breaks off');
SELECT is(error_with('status status=200 class=INSERVICE_NPANXX skip=10 count=1', :'all'),
          'TN005 could not read the list of telephone numbers in service | The reply is empty.', 'the last one is empty');
SELECT is(error_with('status status=404 class=INSERVICE_NPANXX skip=10 count=1', :'all'),
          'TN001 could not list the telephone numbers in service | The server answered with status 404. | Check the arguments, and the option "base_url" of server "bandwidth".', 'is not there');
SELECT alike(error_with('drop_reply class=INSERVICE_NPANXX skip=5', :'all'),
             'TN004 could not list the telephone numbers in service | %', 'a reply is lost');
SELECT alike(error_with('html status=200 class=INSERVICE_NPANXX skip=5 count=1', :'all'),
             'TN005 could not read the list of telephone numbers in service | %', 'somebody else answers');
SELECT is(error_with('html status=200 class=INSERVICE_NPANXX skip=10 count=1 ''text=<html><body/></html>''', :'all'),
          'TN005 could not read the list of telephone numbers in service | document is a web page.', 'in good XML');
SELECT is(error_with('lost_echo text=next class=INSERVICE_NPANXX skip=5 count=1', :'all'),
          'TN005 could not read the list of telephone numbers in service | It ended after 3000 of 5303 entries.',
          'the link to the next page is lost');
SELECT is(error_with('lost_echo class=INSERVICE_NPANXX skip=5 ''text=next=<http://x/?page=9192001000>''', :'all'),
          'TN005 could not read the list of telephone numbers in service '
          '| Its pages lead back to one that was read before.', 'the pages lead in a circle');
SELECT is(test.error(:'all'), NULL, 'then all is well again');

--
-- One number
--
SELECT results_eq(
    $$SELECT n.telephone_number, n.status, n.account_id, n.site_id, n.peer_id, n.order_type, n.city, n.state,
             n.rate_center, n.lata, n.tier, n.vendor_id, n.vendor_name
        FROM bw_number('(984) 200-0000') AS n$$,
    $$VALUES ('9842000000', 'Inservice', '9900000', '13606', '546348', 'NEW_NUMBER_ORDER', 'RALEIGH', 'NC',
              'RALEIGH', '426', 2, 49, 'Bandwidth CLEC')$$, 'what Bandwidth knows of a number');
SELECT is(o.site_id, '13606', 'and which order brought it')
  FROM bw_number('9842000000') AS n JOIN bw_orders AS o ON o.bandwidth_order_id = n.bandwidth_order_id;
SELECT ok(ordered_at BETWEEN now() - '1 h'::interval AND now() + '1 min'::interval AND in_service_at >= ordered_at, 'and when')
  FROM bw_number('9842000000');
SELECT is(vendor_id, 67, 'a toll-free one') FROM bw_number('8002000001') WHERE city IS NULL;
SELECT is_empty($$SELECT * FROM bw_number('5405514342')$$, 'no row: it is not the account''s');
SELECT is_empty($$SELECT * FROM bw_number('2015550100')$$, 'nor is one that there is not');
SELECT is(error_with(fault, $$SELECT * FROM bw_number('9842000000')$$), expected, fault)
  FROM (VALUES ('status path=/tns/ status=404',
                'TN001 could not look up telephone number 9842000000 | The server answered with status 404. | Check the arguments, and the option "base_url" of server "bandwidth".'),
               ('status path=tndetails status=503',
                'TN004 could not look up telephone number 9842000000 | The server answered with status 503. '
                '| Try again later; SELECT * FROM bw_check() tells whether Bandwidth can be reached.'),
               ('lost_echo path=/tns/ text=TelephoneNumber',
                'TN005 could not look up telephone number 9842000000 | The reply names no telephone number.'),
               ('status path=/tns/ status=404 code=1001 text=denied',
                'TN001 1001: denied | Could not look up telephone number 9842000000.')) AS f(fault, expected);
SELECT alike(error_with('malformed path=tndetails', $$SELECT * FROM bw_number('9842000000')$$),
             'TN005 could not look up telephone number 9842000000 | %', 'half an answer');

--
-- Reservations
--
SELECT reservation_id AS held, telephone_number AS held_number, expires_at AS held_until
  FROM bw_reserve('+1 212 200 0100') \gset
SELECT is(:'held_number'::text, '2122000100', 'a number is reserved');
SELECT ok(:'held_until'::timestamptz BETWEEN now() + '3 h 59 min' AND now() + '4 h 1 min', 'for four hours');
SELECT is_empty($$SELECT * FROM bw_search(npanxxx => '2122000', lca => false, quantity => 1000, detail => false) WHERE telephone_number = '2122000100'$$,
                'another search does not show it');
SELECT results_eq(format('SELECT telephone_number, expires_at BETWEEN now() + ''3 h 58 min'' AND now() + ''4 h 1 min''
                            FROM bw_reservation(%L)', :'held'),
                  $$VALUES ('2122000100', true)$$, 'it can be asked about');
SELECT is(test.error($$SELECT bw_reserve('2122000100')$$),
          'TN001 5041: The telephone number is not available for reservation '
          '| Could not reserve telephone number 2122000100.', 'nobody reserves it twice');
SELECT max(id) AS bought FROM bw_order(ARRAY['2122000100']) \gset
SELECT is(bw_wait(:bought, '60 s'), 'FAILED', 'an order that does not name the reservation fails');
SELECT is((SELECT error_code FROM bw_orders WHERE id = :bought), '5005', 'its number is not available');
SELECT id AS named FROM bw_order(ARRAY['2122000100'], reservation_ids => ARRAY[:'held']) \gset
SELECT is(bw_wait(:named, '60 s'), 'COMPLETE', 'one that does completes');
SELECT is((SELECT status FROM bw_number('2122000100')), 'Inservice', 'and has it');
SELECT is_empty(format('SELECT * FROM bw_reservation(%L)', :'held'), 'the reservation is used up: no row');
SELECT is(bw_unreserve(:'held'), false, 'and cannot be ended');

SELECT reservation_id AS held FROM bw_reserve('2122000101') \gset
SELECT is(bw_unreserve(:'held'), true, 'a reservation is ended');
SELECT is(bw_unreserve(:'held'), false, 'once');
SELECT isnt_empty($$SELECT * FROM bw_search(npanxxx => '2122000', lca => false, quantity => 1000, detail => false) WHERE telephone_number = '2122000101'$$,
                  'then the number can be had again');
SELECT is_empty($$SELECT * FROM bw_reservation('2489')$$, 'no row for one that never was');

SELECT test.sandbox('config reservation_s=1');
SELECT reservation_id AS held FROM bw_reserve('2122000102') \gset
SELECT ok(test.comes_true(format('SELECT NOT EXISTS (SELECT FROM bw_reservation(%L))', :'held'), '10 s'),
          'a reservation lapses by itself');
SELECT isnt_empty($$SELECT * FROM bw_search(npanxxx => '2122000', lca => false, quantity => 1000, detail => false) WHERE telephone_number = '2122000102'$$,
                  'and its number can be had again');
SELECT test.sandbox('config reservation_s=14400');

-- an id is a part of the path of a call
SELECT test.requests() AS before \gset
SELECT is(test.error(format('SELECT * FROM %s(%L)', f, id)),
          format('22023 invalid reservation_id: "%s" | An id has 1 to 100 letters, digits, dashes and underscores.', id), f || ': no id')
  FROM unnest(ARRAY['bw_unreserve', 'bw_reservation']) AS f, unnest(ARRAY['.', '..', '../x', 'a/b', 'a?b']) AS id;
SELECT is(test.error(format('SELECT * FROM %s(site_id => %L)', f, id)),
          format('22023 invalid site_id: "%s" | The id of a site is a positive integer.', id), f || ': no id')
  FROM unnest(ARRAY['bw_sip_peers', 'bw_numbers']) AS f, unnest(ARRAY['.', '..', '../x', '1/2']) AS id;
SELECT alike(test.error(format('SELECT bw_adopt(1, %L)', id)), '22023 invalid id: %', 'bw_adopt: no id')
  FROM unnest(ARRAY['.', '..', '']) AS id;
SELECT is(test.requests() - :before, 0, 'nothing was sent');

-- what is rolled back stays reserved
BEGIN;
SELECT reservation_id AS held FROM bw_reserve('2122000103') \gset
ROLLBACK;
SELECT is(count(*), 1::bigint, 'a rollback does not end a reservation') FROM bw_reservation(:'held');
BEGIN READ ONLY;
SELECT is(count(*), 1::bigint, 'a read-only transaction may ask') FROM bw_reservation(:'held');
SELECT is(test.error($$SELECT bw_reserve('2122000104')$$),
          '25006 cannot execute bw_reserve() in a read-only transaction', 'but not reserve');
SELECT is(test.error(format('SELECT bw_unreserve(%L)', :'held')),
          '25006 cannot execute bw_unreserve() in a read-only transaction', 'nor give back');
COMMIT;

SELECT is(error_with('drop_reply class=RESERVATION', $$SELECT bw_reserve('2122000105')$$) LIKE
          'TN004 could not tell whether telephone number 2122000105 is reserved | %'
          '| If it is, the reservation lapses by itself.', true, 'a lost reply says what may be');
SELECT is(error_with('status status=500 class=RESERVATION', $$SELECT bw_unreserve('2489')$$) LIKE
          'TN004 could not end reservation "2489" | The server answered with status 500. %', true,
          'a failure is not "there is none"');
SELECT is(error_with('status status=404 class=RESERVATION', $$SELECT bw_reservation('2489')$$),
          'TN001 could not look up reservation "2489" | The server answered with status 404. | Check the arguments, and the option "base_url" of server "bandwidth".', 'nor is a wrong address');
SELECT test.sandbox('faults class=RESERVATION method=GET kind=status');
SET client_min_messages = error;
SELECT results_eq($$SELECT reservation_id <> '', telephone_number, expires_at FROM bw_reserve('2122000106')$$,
                  $$VALUES (true, '2122000106', NULL::timestamptz)$$, 'the id is not lost if its end cannot be asked');
SET client_min_messages = warning;
SELECT test.sandbox('DELETE faults');

--
-- Orders at Bandwidth
--
CREATE VIEW own AS SELECT * FROM bw_orders WHERE bandwidth_order_id IS NOT NULL;
SELECT results_eq(
    $$SELECT l.bandwidth_order_id, l.status, l.order_type, l.quantity, l.user_id, l.ordered_at <= l.modified_at
        FROM bw_list_orders() AS l ORDER BY 1$$,
    $$SELECT o.bandwidth_order_id, o.status, 'new_number', o.completed_quantity, 'sandbox', true FROM own AS o ORDER BY 1$$,
    'all orders of the account');
SELECT is(count(*), 1::bigint, 'those that failed') FROM bw_list_orders(status => 'failed');
SELECT is(count(*), 0::bigint, 'those of somebody else') FROM bw_list_orders(user_id => 'somebody');
SELECT is(count(*), (SELECT count(*) FROM own), 'those since yesterday') FROM bw_list_orders(start_date => current_date - 1);
SELECT is(count(*), 0::bigint, 'those of long ago')
  FROM bw_list_orders(start_date => '2020-01-01', end_date => '2020-12-31');
SELECT id AS labelled FROM bw_order(ARRAY['2122000107'], customer_order_id => 'life 1') \gset
SELECT is(bw_wait(:labelled, '60 s'), 'COMPLETE', 'an order with a CustomerOrderId');
SELECT results_eq($$SELECT bandwidth_order_id FROM bw_list_orders('life 1')$$,
                  format('SELECT bandwidth_order_id FROM own WHERE id = %s', :labelled), 'is found by it');
SELECT is_empty($$SELECT * FROM bw_list_orders('life 2')$$, 'and by no other');
SELECT test.sandbox('faults kind=ignore_filter');
SELECT is(count(*), 1::bigint, 'also when Bandwidth ignores the filter') FROM bw_list_orders('life 1');
SELECT test.sandbox('DELETE faults');
SELECT test.sandbox('config list_max=2');
SELECT is(count(*), (SELECT count(*) FROM own), 'pages of two') FROM bw_list_orders();
SELECT is(count(*), (SELECT count(*) - 1 FROM own), 'filtered, although the links lack the filters')
  FROM bw_list_orders(status => 'COMPLETE');
SELECT is(error_with('status class=HISTORY skip=1 count=1', 'SELECT bw_list_orders()') LIKE
          'TN004 could not list the orders | %', true, 'one of them missing is an error');
SELECT test.sandbox('config list_max=1000');
SELECT is_empty($$SELECT * FROM bw_list_orders(kind => 'disconnect')$$, 'no disconnects');
SELECT is(test.sandbox('GET journal/count class=HISTORY path=/disconnects'), '1', 'were asked for');
ALTER SERVER bandwidth OPTIONS (ADD allow_disconnect 'true', ADD release_after '0');
SELECT id AS gone FROM bw_disconnect(ARRAY['2122000001']) \gset
SELECT is(bw_wait(:gone, '60 s'), 'COMPLETE', 'a disconnect');
SELECT results_eq($$SELECT bandwidth_order_id, status, order_type, quantity FROM bw_list_orders(kind => 'disconnect')$$,
                  format($$SELECT bandwidth_order_id, 'COMPLETE', 'disconnect', 1 FROM own WHERE id = %s$$, :gone),
                  'is listed with its kind');
SELECT is((SELECT status FROM bw_number('2122000001')), 'Aging', 'and its number ages');
SELECT is_empty($$SELECT FROM bw_numbers('212') WHERE telephone_number = '2122000001'$$, 'it is not in service any more');

SELECT results_eq(format('SELECT status, author, note, at <= now() FROM bw_order_history(%s)', :labelled),
                  $$VALUES ('COMPLETE', 'sandbox', 'Created a new number order for 1 number', true)$$,
                  'the history of an order');
SELECT test.sandbox('config order_delay_ms=60000');
SELECT id AS young FROM bw_order(ARRAY['2122000108']) \gset
SELECT ok(test.comes_true(format('SELECT status = ''RECEIVED'' FROM bw_orders WHERE id = %s', :young)), 'an order at Bandwidth');
SELECT is_empty(format('SELECT * FROM bw_order_history(%s)', :young), 'has no history at first');
BEGIN;
SELECT id AS unsent FROM bw_order(ARRAY['2122000110']) \gset
SELECT is(test.error(format('SELECT bw_order_history(%s)', :unsent)),
          format('55000 order %s has no order at Bandwidth yet | Its status is QUEUED.', :unsent), 'nor one that was not sent');
ROLLBACK;
SELECT is(error_with('status status=404 path=history', format('SELECT bw_order_history(%s)', :young)),
          'TN001 could not fetch the history of the order | The server answered with status 404. | Check the arguments, and the option "base_url" of server "bandwidth".',
          'no history is not the same as no answer');

--
-- Rights: USAGE on the server, and the order's own
--
CREATE ROLE life_app;
CREATE USER MAPPING FOR life_app SERVER bandwidth OPTIONS (username 'user', password 'word');
SET ROLE life_app;
SELECT alike(test.error('SELECT ' || call), '42501 permission denied for foreign server bandwidth%', call)
  FROM unnest(ARRAY['bw_sites()', 'bw_sip_peers()', $$bw_available_npanxx('919')$$, 'bw_numbers()',
                    $$bw_number('9842000000')$$, 'bw_list_orders()', $$bw_reserve('2122000109')$$,
                    $$bw_reservation('2489')$$, $$bw_unreserve('2489')$$]) AS call;
SELECT alike(test.error(format('SELECT bw_order_history(%s)', :labelled)),
             '42704 order % does not exist | %', 'the history of somebody else''s order');
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER bandwidth TO life_app;
SELECT test.sandbox('DELETE journal');
SET ROLE life_app;
SELECT is(count(*), 2::bigint, 'with USAGE') FROM bw_sites();
RESET ROLE;
SELECT is(test.sandbox('GET journal')::json #>> '{0,auth}', 'basic', 'the caller''s credentials count');
DROP OWNED BY life_app;
DROP ROLE life_app;

SELECT * FROM finish();
