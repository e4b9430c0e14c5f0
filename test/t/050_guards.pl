# What holds orders back: pauses, approval, limits, numbers under way.
use strict;
use warnings;

use BwTest;
use Test::More;

my $sandbox = start_sandbox('order-delay' => 50);
my $node = bw_node('main', sandbox => $sandbox,
	server => { requests_per_minute => 1000000, burst => 1000000, max_numbers_per_day => 100000 },
	conf => [ "bandwidth.look_up_delays = '0.1,0.2'", "bandwidth.poll_schedule = '0.1,0.2,0.5'",
		"bandwidth.coalesce_delay = '200ms'" ]);
my $number = 9192200000;
my $second;

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub posts { return $sandbox->journal_count(class => 'ORDER', method => 'POST'); }
sub field { my ($id, $what) = @_; return sql("SELECT $what FROM bw_orders WHERE id = $id"); }
sub waits { my ($id) = @_; return sql("SELECT waiting_for FROM bw_open_orders WHERE id = $id"); }

# The order of the newest event is reached when its waiting_for says so.
sub wait_for_reason
{
	my ($id, $like) = @_;

	wait_until(sub { waits($id) =~ $like }, "order $id waits for $like");
	return;
}

# --- errors that pause ---
foreach my $case (
	[ '403'  => { kind => 'status', status => 403 }, "ALTER USER MAPPING FOR CURRENT_USER SERVER bandwidth OPTIONS (SET client_id 'other')" ],
	[ '5051' => { kind => 'refuse', code => 5051, text => 'not authorized', status => 400 }, "SELECT bw_resume()" ],
	[ '5012' => { kind => 'refuse', code => 5012, text => 'account locked', status => 400 }, "ALTER SERVER bandwidth OPTIONS (ADD connect_timeout '4s')" ],
	[ '5016' => { kind => 'refuse', code => 5016, text => 'invalid site', status => 400 }, "ALTER SERVER bandwidth OPTIONS (DROP connect_timeout)" ])
{
	my ($name, $fault, $end) = @$case;

	$sandbox->fault(class => 'ORDER', method => 'POST', count => 1, %$fault);
	my $id = order_id($node, ++$number);
	wait_for_reason($id, qr/end of a pause/);
	is(field($id, 'status'), 'QUEUED', "$name pauses, and the order is QUEUED again");
	my $before = posts();
	$second = order_id($node, ++$number);
	wait_for_reason($second, qr/end of a pause/);
	is(posts(), $before, "$name: nothing is sent meanwhile");
	sql($end);
	wait_for_all($node);
	is(field($second, 'status'), 'COMPLETE', "$name: and all goes on after $end");
	is(field($id, 'status'), 'COMPLETE', "$name: the first one, too");
}

# A search, where nothing but searches waits.
foreach my $case (
	[ 5012, 'account locked', "ALTER SERVER bandwidth OPTIONS (ADD connect_timeout '4s')" ],
	[ 5051, 'not authorized', "ALTER USER MAPPING FOR CURRENT_USER SERVER bandwidth OPTIONS (SET client_id 'client')" ])
{
	my ($code, $text, $end) = @$case;

	$sandbox->fault(class => 'SEARCH', count => 1, kind => 'refuse', code => $code, text => $text, status => 400);
	my $id = sql("SELECT id FROM bw_order_search(npanxx => '919204')");
	wait_for_reason($id, qr/end of a pause/);
	my $searches = $sandbox->journal_count(class => 'SEARCH');
	$second = sql("SELECT id FROM bw_order_search(npanxx => '919205')");
	wait_for_reason($second, qr/end of a pause/);
	is($sandbox->journal_count(class => 'SEARCH'), $searches, "$code to a search pauses");
	sql($end);
	wait_for_all($node);
	is(field($_, 'status'), 'COMPLETE', "$code to a search: all goes on after $end") foreach $id, $second;
}

# A site of the order's own is the order's own fault.
my $id = order_id($node, ++$number, "site_id => '9999'");
wait_for_all($node);
is(field($id, "status || ' ' || error_code"), 'REJECTED 5016', 'a wrong site in an order costs that order');

# --- bw_pause ---
sql("SELECT bw_pause(reason => 'maintenance')");
my $before = posts();
$id = order_id($node, ++$number);
wait_for_reason($id, qr/maintenance/);
sql("ALTER SERVER bandwidth OPTIONS (SET requests_per_minute '999999')");
is(waits($id) =~ /maintenance/ ? 1 : 0, 1, 'ALTER SERVER does not end a pause that a person made');
is(posts(), $before, 'paused orders are not sent');

# The other account's order shows that the worker had its turn.
create_account($node, 'postgres', name => 'second', sandbox => $sandbox);
# its own transaction left a mark as well, by the foreign key of its numbers
my $touched = wait_until(sub { field($id, 'NULLIF(xmax::text, xmin::text)') }, 'a paused order is looked at');
$second = order_id($node, ++$number, "server => 'second'");
wait_for_status($node, $second, 'COMPLETE');
is(field($id, 'xmax'), $touched, 'nor looked at each time somebody orders');
is(sql('SELECT bw_resume()'), 't', 'bw_resume');
is(sql('SELECT bw_resume()'), 'f', 'bw_resume, again');
wait_for_all($node);
is(field($id, 'status'), 'COMPLETE', 'and the order goes on');

# --- approval ---
sql("ALTER SERVER bandwidth OPTIONS (ADD ordering 'hold')");
$before = posts();
$id = order_id($node, ++$number);
my $cancelled = order_id($node, ++$number);
is(field($id, 'status'), 'HELD', 'with ordering = hold an order is HELD');
is(waits($id), 'bw_approve()', 'and says so');
is(sql("SELECT bw_cancel($cancelled)"), 't', 'a held order can be cancelled');
is(sql("SELECT bw_approve($cancelled)"), 'f', 'and then not be approved');
is(posts(), $before, 'nothing was sent');
is(sql("SELECT bw_approve($id)"), 't', 'bw_approve');
wait_for_all($node);
is(field($id, 'status'), 'COMPLETE', 'and the order goes out');
sql("ALTER SERVER bandwidth OPTIONS (SET ordering 'on')");

# --- a number under way ---
sql('SELECT bw_pause()');
my $first = order_id($node, ++$number);
my $again = order_id($node, $number);
my $other = order_id($node, $number, "name => 'own request'");
sql('SELECT bw_resume()');
wait_for_all($node);
is(sql("SELECT count(*) FROM bw_orders WHERE id IN ($first, $again, $other) AND status = 'COMPLETE'"), 1, 'of three orders for a number one gets it');
is(sql("SELECT string_agg(DISTINCT status || ' ' || error_code, ',') FROM bw_orders WHERE id IN ($first, $again, $other) AND status <> 'COMPLETE'"),
	'REJECTED 5005', 'and the others are REJECTED');
like(sql("SELECT max(error_text) FROM bw_orders WHERE id IN ($first, $again, $other)"), qr/bought by order \d+/, 'by which order');
is($sandbox->number($number)->{bought}, 1, 'the number was bought once');

$sandbox->sell(++$number);
sql('SELECT bw_pause()');
$first = order_id($node, $number);
$again = order_id($node, $number);
sql('SELECT bw_resume()');
wait_for_all($node);
is(sql("SELECT string_agg(status, ',') FROM bw_orders WHERE id IN ($first, $again)"), 'FAILED,FAILED', 'a number that the first did not get is tried by the second');

# --- limits ---
sql("ALTER SERVER bandwidth OPTIONS (SET max_numbers_per_day '50')");
sql("DELETE FROM bw_spending");
$node->restart;
$before = $sandbox->journal_count;
sql("SELECT bw_order(ARRAY[n::text]) FROM generate_series(9192300000, 9192300999) AS n");
wait_until(sub { sql("SELECT count(*) FROM bw_orders WHERE NOT is_final AND status <> 'HELD'") eq '0' }, 'all are final or held', 60);
is(sql("SELECT count(*) FROM bw_orders WHERE status = 'HELD'"), 950, 'over the limit per day orders are HELD');
is(sql("SELECT count(*) FROM bw_orders WHERE status = 'COMPLETE' AND id > $again"), 50, 'under it they complete');
my $bought = 0;
$bought += () = $_->{body} =~ /<TelephoneNumber>/g
  foreach grep { $_->{seq} > 0 } $sandbox->journal(class => 'ORDER', method => 'POST', since => $before);
is($bought, 50, 'and no more numbers were asked for');
like(waits(sql("SELECT min(id) FROM bw_orders WHERE status = 'HELD'")), qr/limit/, 'held orders say why');
is($node->psql('postgres', "SELECT bw_order(ARRAY(SELECT n::text FROM generate_series(9192400000, 9192400099) AS n))"), 3, 'an order over the limit of a day is refused at once');
sql("ALTER SERVER bandwidth OPTIONS (SET max_numbers_per_day '60')");
wait_until(sub { sql("SELECT count(*) FROM bw_orders WHERE status = 'HELD'") eq '940' }, 'ten more have room', 60);
is(sql("SELECT count(*) FILTER (WHERE bw_cancel(id)) FROM bw_orders WHERE status = 'HELD'"), 940, 'the rest is cancelled in one statement');
wait_for_all($node);

# --- a limit and approval ---
sql("DELETE FROM bw_spending; ALTER SERVER bandwidth OPTIONS (SET max_numbers_per_day '2')");
$node->restart;
$first = order_id($node, ++$number);
$second = order_id($node, ++$number);
wait_for_all($node);
$id = order_id($node, ++$number);
wait_for_reason($id, qr/room under the limit/);
$before = posts();
sql("ALTER SERVER bandwidth OPTIONS (SET ordering 'hold', SET max_numbers_per_day '100')");
wait_for_reason($id, qr/^bw_approve\(\)$/);
is(posts(), $before, 'an order that was over the limit waits for approval, too, where every order does');
sql("ALTER SERVER bandwidth OPTIONS (SET max_numbers_per_day '2')");
is(sql("SELECT bw_approve($id)"), 't', 'it is approved');
wait_for_reason($id, qr/room under the limit/);
sql("ALTER SERVER bandwidth OPTIONS (SET max_numbers_per_day '100')");
wait_for_all($node);
is(field($id, 'status'), 'COMPLETE', 'what was approved, and then over the limit, is not to be approved again');
sql("ALTER SERVER bandwidth OPTIONS (SET ordering 'on')");

# --- places that are not allowed any more ---
sql("ALTER SERVER bandwidth OPTIONS (SET max_numbers_per_day '100000')");
sql('SELECT bw_pause()');
$id = order_id($node, ++$number);
sql("ALTER SERVER bandwidth OPTIONS (ADD allowed_sites '1,2')");
sql('SELECT bw_resume()');
wait_for_all($node);
is(field($id, 'status'), 'REJECTED', 'a site that is not allowed at the claim any more');
sql("ALTER SERVER bandwidth OPTIONS (DROP allowed_sites)");

# --- a server that is gone, an account that changed ---
sql('SELECT bw_pause()');
$id = order_id($node, ++$number);
sql("ALTER SERVER bandwidth OPTIONS (SET account_id '9900001'); SELECT bw_resume()");
wait_for_reason($id, qr/account 9900000/);
sql('ALTER SERVER bandwidth RENAME TO elsewhere');
wait_for_reason($id, qr/does not exist any more/);
sql("ALTER SERVER elsewhere RENAME TO bandwidth; ALTER SERVER bandwidth OPTIONS (SET account_id '9900000')");
wait_for_all($node);
is(field($id, 'status'), 'COMPLETE', 'an order waits for its server and account');

$node->stop;
done_testing();
