# Orders by criteria: searched, and direct.
use strict;
use warnings;

use BwTest;
use Test::More;

my $sandbox = start_sandbox('order-delay' => 50);
my $node = bw_node('main', sandbox => $sandbox,
	server => { request_timeout => '1s', requests_per_minute => 1000000, burst => 1000000, max_numbers_per_order => 5000, max_numbers_per_day => 100000 },
	conf => [ "bandwidth.look_up_delays = '0.1,0.2'", "bandwidth.poll_schedule = '0.1,0.2,0.5'" ]);

# beyond the schedule it is a minute until the next poll
$sandbox->config(toll_free_delay_ms => 50);

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub posts { return $sandbox->journal(class => 'ORDER', method => 'POST'); }
sub field { my ($id, $what) = @_; return sql("SELECT $what FROM bw_orders WHERE id = $id"); }
sub order_search { my ($arguments) = @_; return sql("SELECT id FROM bw_order_search($arguments)"); }

# --- searched ---
my $id = order_search("npanxx => '919200'");
wait_for_all($node);
is(field($id, "status || ' ' || completed_quantity"), 'COMPLETE 1', 'an order by NPA-NXX');
like(sql("SELECT telephone_number FROM bw_order_numbers WHERE order_id = $id"), qr/^919200/, 'got a number of it');
like((posts())[-1]->{body}, qr/<ExistingTelephoneNumberOrderType>/, 'as an order of exact numbers');
like(($sandbox->journal(class => 'SEARCH'))[-1]->{query}, qr/LCA=false/, 'without neighbouring exchanges');

$id = order_search("quantity => 5, area_code => '919', name => 'five', customer_order_id => 'five numbers'");
wait_for_all($node);
is(field($id, "status || ' ' || completed_quantity"), 'COMPLETE 5', 'five by area code');
like((posts())[-1]->{body}, qr{<CustomerOrderId>five numbers</CustomerOrderId>}, 'with their own CustomerOrderId');

sql("SELECT bw_order_search(npanxx => '919201') FROM generate_series(1, 20)");
wait_for_all($node);
is(sql("SELECT count(DISTINCT telephone_number) FROM bw_order_numbers WHERE telephone_number LIKE '919201%' AND status = 'COMPLETE'"), 20,
	'twenty at once get twenty different numbers');

$id = order_search("npanxx => '999999'");
wait_for_all($node);
is(field($id, 'status'), 'REJECTED', 'where there are none');
is(sql("BEGIN; SELECT count(*) FROM bw_order_search(npanxx => '919202'); ROLLBACK"), 1, 'rolled back');
is(sql("SELECT count(*) FROM bw_orders WHERE criteria ->> 'npanxx' = '919202'"), 0, 'is gone');

# a lost reply is harmless here
$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'drop_reply', count => 1);
$id = order_search("npanxx => '919203'");
wait_for_all($node);
is(field($id, 'status'), 'COMPLETE', 'with a lost reply it is found');
is(sql("SELECT attempts FROM bw_requests WHERE id = " . field($id, 'request_id')), 1, 'and sent once');

# --- direct ---
$id = order_search("npanxx => '919204', quantity => 2, direct => true");
wait_for_all($node);
is(field($id, "status || ' ' || completed_quantity"), 'COMPLETE 2', 'a direct order');
my $body = (posts())[-1]->{body};
like($body, qr{<NPANXXSearchAndOrderType>.*<NpaNxx>919204</NpaNxx>}s, 'is sent as such');
like($body, qr{<Quantity>2</Quantity>}, 'with its quantity');
like($body, qr{<EnableLCA>false</EnableLCA>}, 'and without neighbours');
is(sql("SELECT count(*) FROM bw_order_numbers WHERE order_id = $id AND status = 'COMPLETE'"), 2, 'its numbers are those that Bandwidth chose');

$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'drop_reply', count => 1);
$id = order_search("area_code => '919', direct => true");
wait_for_all($node);
is(field($id, 'status'), 'COMPLETE', 'a direct order whose reply was lost is adopted');

# --- each type ---
foreach my $case (
	[ "area_code => '919'" => 'AreaCodeSearchAndOrderType', '<AreaCode>919</AreaCode>', qr/^919/ ],
	[ "npanxx => '919204', lca => true" => 'NPANXXSearchAndOrderType', '<NpaNxx>919204</NpaNxx>', qr/^919/ ],
	[ "rate_center => 'RALEIGH', state => 'NC'" => 'RateCenterSearchAndOrderType', '<RateCenter>RALEIGH</RateCenter>', qr/^(919|984)2/ ],
	[ "state => 'NC'" => 'StateSearchAndOrderType', '<State>NC</State>', qr/^\d{10}$/ ],
	[ "city => 'RALEIGH', state => 'NC'" => 'CitySearchAndOrderType', '<City>RALEIGH</City>', qr/^(919|984)2/ ],
	[ "zip => '27601'" => 'ZIPSearchAndOrderType', '<Zip>27601</Zip>', qr/^919/ ],
	[ "lata => '426'" => 'CombinedSearchAndOrderType', '<LATA>426</LATA>', qr/^\d{10}$/ ],
	[ "toll_free_vanity => '2000'" => 'TollFreeVanitySearchAndOrderType', '<TollFreeVanity>2000</TollFreeVanity>', qr/^8\d\d.*2000/ ],
	[ "toll_free_wildcard_pattern => '83*'" => 'TollFreeWildCharSearchAndOrderType', '<TollFreeWildCardPattern>83*</TollFreeWildCardPattern>', qr/^83/ ],
	[ "npanxxx => '9192042'" => 'CombinedSearchAndOrderType', '<NpaNxxX>9192042</NpaNxxX>', qr/^9192042/ ],
	[ "area_code => '919', zip => '27601'" => 'CombinedSearchAndOrderType', '<AreaCode>919</AreaCode>', qr/^919/ ],
	[ "area_code => '919', local_vanity => '2047', ends_in => false" => 'CombinedSearchAndOrderType', '<LocalVanity>2047</LocalVanity>', qr/^919.*2047/ ])
{
	my ($criteria, $type, $element, $like) = @$case;

	foreach my $direct ('true', 'false')
	{
		$id = order_search("$criteria, direct => $direct, partial_allowed => true");
		wait_for_all($node);
		is(field($id, 'status'), 'COMPLETE', "$criteria, direct: $direct") or diag(field($id, "concat_ws(' ', error_code, error_text)"));
		like(sql("SELECT telephone_number FROM bw_order_numbers WHERE order_id = $id"), $like, 'got what was wanted');
		$body = (posts())[-1]->{body};
		like($body, $direct eq 'true' ? qr{<$type>.*\Q$element\E.*<Quantity>1</Quantity>.*</$type>}s : qr/<ExistingTelephoneNumberOrderType>/,
			$direct eq 'true' ? "as $type" : 'as a number');
		like($body, $criteria =~ /lca/ ? qr{<EnableLCA>true<} : qr{<EnableLCA>false<}, 'EnableLCA is sent')
			if $direct eq 'true' && $criteria =~ /npanxx|rate_center/;
	}
}
$id = order_search("area_code => '919', max_tier => 0, quantity => 3");
wait_for_all($node);
is(field($id, "status || criteria::text"), 'COMPLETE{"max_tier": 0, "area_code": "919"}', 'max_tier');
is(sql("SELECT count(*) FROM bw_order_numbers AS n, bw_search(area_code => '919', quantity => 5000) AS s
	WHERE n.order_id = $id AND s.telephone_number = n.telephone_number AND s.tier > 0"), 0, 'bounds the price');

# --- Bandwidth repeats the order, and what it lost shows ---
is(sql("SELECT count(*) FROM bw_orders WHERE warning IS NOT NULL"), 0, 'what came back was what was sent');
foreach my $case ([ 'Quantity', qr/^Bandwidth understood the order otherwise: Quantity: sent was 1, it is missing$/ ],
	[ 'Quantity=7', qr/Quantity: sent was 1, it says 7$/ ], [ undef, qr/NpaNxx: sent was 919204, it is missing$/ ],
	[ 'SiteId=5', qr/SiteId: sent was 743, it says 5$/ ], [ 'EnableLCA=true', qr/EnableLCA: sent was false, it says true/ ])
{
	my ($text, $like) = @$case;

	$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'lost_echo', count => 1, defined $text ? (text => $text) : ());
	$id = order_search("npanxx => '919204', direct => true");
	wait_for_all($node);
	like(field($id, 'warning'), $like, 'an echo without ' . ($text // 'its criteria') . ' is a warning');
	is(field($id, 'status'), 'COMPLETE', 'and the order goes on');
}
$id = order_id($node, '9192051111', "name => 'numbers'");
wait_for_all($node);
is(field($id, 'warning'), '', 'an order of numbers');

# Never sent again by itself.
my $before = () = posts();
$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'reset_before', count => 1);
$id = order_search("area_code => '919', direct => true");
wait_until(sub { field($id, 'attention') =~ /bw_resolve/ }, 'attention');
is(field($id, 'status'), 'UNKNOWN', 'a direct order that is not there stays UNKNOWN');
is(scalar(() = posts()), $before + 1, 'and is not sent again');
is(sql('SELECT attention FROM bw_stat_worker'), 1, 'bw_stat_worker counts it');
is(sql(q{SELECT detail FROM bw_check() WHERE "check" = 'attention' AND NOT ok}), '1 orders wait for a decision', 'and bw_check says so');
is(sql("SELECT bw_resolve($id, 'resend')"), 't', 'until somebody says so');
wait_for_all($node);
is(field($id, 'status'), 'COMPLETE', 'then it completes');

$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'reset_before', count => 1);
$id = order_search("area_code => '919', direct => true");
wait_until(sub { field($id, 'attention') =~ /bw_resolve/ }, 'attention');
is(sql("SELECT bw_resolve($id, 'failed')"), 't', 'or gives it up');
is(field($id, "status || ' ' || is_final"), 'FAILED true', 'which is final');

$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'drop_reply', count => 1);
$sandbox->config(list_lag_ms => 60000);
$id = order_search("area_code => '919', direct => true");
wait_until(sub { field($id, 'attention') =~ /bw_adopt/ }, 'attention');
my ($theirs) = map { $_->{id} } grep { $_->{customer_order_id} eq sql("SELECT customer_order_id FROM bw_requests WHERE id = " . field($id, 'request_id')) } $sandbox->orders;
is(sql("SELECT bw_adopt($id, '$theirs')"), 't', 'or says which order it is');
wait_for_all($node);
is(field($id, "status || ' ' || bandwidth_order_id"), "COMPLETE $theirs", 'which is adopted');
like(($node->psql('postgres', "SELECT bw_adopt($id, (SELECT bandwidth_order_id FROM bw_orders WHERE id = 1))"))[2], qr/belongs to another request/, 'an order of another request is not');
$sandbox->config(list_lag_ms => 0);

# --- back orders ---
$sandbox->control('sell', prefix => '2122', every => 1);
$sandbox->restock($_) foreach (2122000000 .. 2122000002);
$id = order_search("area_code => '212', quantity => 10, direct => true, back_order_requested => true, partial_allowed => true");
wait_for_status($node, $id, 'BACKORDERED');
like(sql("SELECT waiting_for FROM bw_open_orders WHERE id = $id"), qr/^Bandwidth to find more numbers; next look at 20/, 'a back order waits');
is(sql("SELECT bw_close_order($id)"), 't', 'bw_close_order');
wait_for_all($node);
is(field($id, "status || ' ' || completed_quantity || ' ' || failed_quantity"), 'PARTIAL 3 7', 'it ends with what there was');
is(sql("SELECT bw_close_order($id)"), 'f', 'and is closed once');

# What an answer on its way says of the order does not undo it; the first PUT fails.
sub puts { return $sandbox->journal_count(class => 'ORDER', method => 'PUT'); }
sub asking { my ($calls) = @_; return sub { sql('SELECT in_flight FROM bw_stat_worker') eq $calls }; }

# The schedule of polls is through: the next question comes later.
sub is_quiet { return sql("SELECT count(*) FROM bw_open_requests WHERE due_at < now() + interval '5 s'") eq '0' && asking(0)->(); }

sub back_order
{
	my $order = order_search("area_code => '212', quantity => 10, direct => true, back_order_requested => true, partial_allowed => true");

	wait_for_status($node, $order, 'BACKORDERED');
	wait_until(\&is_quiet, 'it is not asked about');
	return $order;
}

sql("ALTER SERVER bandwidth OPTIONS (SET request_timeout '30s')");
$sandbox->restock($_) foreach (2122000003 .. 2122000004);
$id = back_order();
my $sent = puts();
$sandbox->fault(class => 'HISTORY', method => 'GET', kind => 'delay', delay_ms => 3000, count => 1);
$sandbox->fault(class => 'ORDER', method => 'PUT', kind => 'status', status => 503, count => 1);
sql("SELECT bw_recheck($id)");
wait_until(asking(1), 'a question is under way');
is(sql("SELECT bw_close_order($id)"), 't', 'bw_close_order meanwhile');
wait_for_all($node, 30);
is(field($id, "status || ' ' || completed_quantity || ' ' || failed_quantity"), 'PARTIAL 2 8', 'ends the order nevertheless');
is(puts(), $sent + 2, 'with another PUT');

# Nor does a list of orders that does not show it.
$sandbox->config(order_delay_ms => 12000, list_lag_ms => 60000);
sql("SELECT bw_order(ARRAY[n::text], name => 'own ' || n) FROM generate_series(9192050000, 9192050024) AS n");
$id = sql('SELECT max(id) FROM bw_orders');
wait_until(sub { sql("SELECT count(*) FROM bw_open_requests WHERE step = 'poll'") eq '25' && is_quiet() }, 'many orders are open');
$sandbox->fault(class => 'HISTORY', method => 'GET', kind => 'delay', delay_ms => 3000, count => 1);
$sandbox->fault(class => 'ORDER', method => 'PUT', kind => 'status', status => 503, count => 1);
$sent = puts();
sql("UPDATE bw_open_requests SET due_at = now(); UPDATE bw_orders SET status = 'BACKORDERED' WHERE id = $id; SELECT bw_recheck($id)");
wait_until(asking(1), 'a list is under way');
is(sql("SELECT bw_close_order($id)"), 't', 'bw_close_order meanwhile');
wait_until(sub { puts() == $sent + 2 }, 'there is another PUT', 20);
wait_until(sub { sql('SELECT count(*) FILTER (WHERE bw_recheck(id)) FROM bw_orders WHERE NOT is_final') eq '0' }, 'all of them end', 30);
$sandbox->config(order_delay_ms => 50, list_lag_ms => 0);

# While the server is for another account, that does not get the PUT.
$sandbox->restock($_) foreach (2122000005 .. 2122000006);
$id = back_order();
my $account = sql("SELECT account_id FROM bw_orders WHERE id = $id");
sql("ALTER SERVER bandwidth OPTIONS (SET account_id '9900002')");
$sent = puts();
is(sql("SELECT bw_close_order($id)"), 't', 'bw_close_order of another account');
wait_until(sub { sql("SELECT w.due_at > now() FROM bw_open_requests AS w WHERE w.request_id = " . field($id, 'request_id')) eq 't' }, 'it was looked at');
like(sql("SELECT waiting_for FROM bw_open_orders WHERE id = $id"), qr/^account $account, which is not that of server/, 'it waits for its account');
is(puts(), $sent, 'which alone is told');
sql("ALTER SERVER bandwidth OPTIONS (SET account_id '$account')");
sql("SELECT bw_recheck($id)");
wait_for_all($node, 30);
is(field($id, "status || ' ' || completed_quantity || ' ' || failed_quantity"), 'PARTIAL 2 8', 'and ends the order');

# Nor does it end with credentials that may not close it.
$sandbox->restock($_) foreach (2122000007 .. 2122000008);
$id = back_order();
$sent = puts();
$sandbox->fault(class => 'ORDER', method => 'PUT', kind => 'status', status => 403, count => 1);
is(sql("SELECT bw_close_order($id)"), 't', 'bw_close_order without the right');
wait_until(sub { puts() == $sent + 1 && asking(0)->() }, 'is refused');
is(sql("SELECT w.step FROM bw_open_requests AS w WHERE w.request_id = " . field($id, 'request_id')), 'close', 'and is to be tried again');
sql("SELECT bw_recheck($id)");
wait_for_all($node, 30);
is(field($id, "status || ' ' || completed_quantity || ' ' || failed_quantity"), 'PARTIAL 2 8', 'then it ends the order');

# --- refused arguments ---
foreach my $case ([ "npanxx => '919', quantity => 1" => qr/npanxx/ ], [ "quantity => 0, npanxx => '919200'" => qr/quantity/ ],
	[ "quantity => 1" => qr/./ ], [ "city => 'RALEIGH'" => qr/state/ ], [ "rate_center => 'RALEIGH'" => qr/state/ ],
	[ "local_vanity => '2047', direct => true" => qr/area_code/ ], [ "area_code => '919', npanxx => '919200'" => qr/npanxx|area_code/ ],
	[ "npanxx => '919200', direct => true, back_order_requested => true" => qr/back/ ], [ "area_code => '919', direct => true, attempts => 2" => qr/attempts/ ],
	[ "area_code => '919', back_order_requested => true" => qr/direct/ ],
	[ "npanxx => '919200', direct => true, max_tier => 0" => qr/max_tier/ ])
{
	my ($arguments, $like) = @$case;
	my $error = ($node->psql('postgres', "SELECT bw_order_search($arguments)"))[2];

	like($error, qr/ERROR.*$like/s, "refused: $arguments");
}

$node->stop;
done_testing();
