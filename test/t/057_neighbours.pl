# Servers beside each other: one that answers nothing, or has no calls left, costs
# the others nothing; and what is sent again keeps to the same limits.
use strict;
use warnings;

use BwTest;
use Test::More;

my $busy = start_sandbox('order-delay' => 50);
my $calm = start_sandbox('order-delay' => 50);
my $node = bw_node('main', sandbox => $busy,
	server => { requests_per_minute => 1000000, burst => 1000000, max_numbers_per_day => 100000, request_timeout => '30s' },
	conf => [ "bandwidth.look_up_delays = '0.1,0.2'", "bandwidth.poll_schedule = '0.1,0.2,0.5'" ]);
create_account($node, 'postgres', name => 'calm', sandbox => $calm, server => { account_id => '9900001' });
my $number = 9192400000;

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub posts { return $busy->journal_count(class => 'ORDER', method => 'POST'); }

# So many orders, each with a request of its own.
sub orders
{
	my ($count) = @_;
	my $first = $number + 1;

	$number += $count;
	return sql("SELECT min(id) FROM generate_series($first, $number) AS n, LATERAL bw_order(ARRAY[n::text], name => 'n' || n)");
}

sub neighbour_goes_on
{
	my ($name) = @_;
	my $id = order_id($node, ++$number, "server => 'calm'");

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_until(sub { status_of($node, $id) eq 'COMPLETE' }, "$name: the neighbour's order is carried out", 15);
	return;
}

# --- a long queue leaves room for questions ---
sql("ALTER SERVER bandwidth OPTIONS (ADD max_in_flight '2')");
$busy->fault(class => 'ORDER', method => 'POST', kind => 'drop_reply', count => 1);
$busy->fault(class => 'ORDER', method => 'POST', kind => 'delay', delay_ms => 100);
my $first = orders(80);
wait_until(sub { status_of($node, $first) eq 'COMPLETE' }, 'an order whose reply was lost is looked up');
cmp_ok(sql("SELECT count(*) FROM bw_orders WHERE status = 'QUEUED'"), '>', 0, 'while others wait to be sent');
$busy->clear_faults;
wait_for_all($node);
sql("ALTER SERVER bandwidth OPTIONS (DROP max_in_flight)");
$busy->clear_journal;

# --- one that does not answer ---
$busy->fault(class => 'ORDER', method => 'POST', kind => 'hang');
orders(20);
wait_until(sub { posts() >= 16 }, 'all of its calls hang');
neighbour_goes_on('hanging calls');
is(posts(), 16, 'which are as many as it may have');
$busy->clear_faults;
sql("ALTER SERVER bandwidth OPTIONS (SET request_timeout '1s')");
$node->restart;
wait_for_all($node);

# --- one without calls left, and more due than fits into a lap ---
$busy->fault(class => 'ORDER', method => 'POST', kind => 'drop_reply');
$busy->fault(class => 'HISTORY', kind => 'status');
sql('ALTER SERVER bandwidth OPTIONS (ADD max_in_flight \'400\')');
my $lost = orders(340);
wait_until(sub { sql("SELECT count(*) FROM bw_orders WHERE id >= $lost AND status = 'UNKNOWN'") eq '340' }, 'the replies to many orders are lost');
sql("ALTER SERVER bandwidth OPTIONS (SET requests_per_minute '1', SET burst '1')");
$busy->clear_faults;
sql('UPDATE bw_open_requests SET due_at = now()');
neighbour_goes_on('no calls left');
sql("ALTER SERVER bandwidth OPTIONS (SET requests_per_minute '1000000', SET burst '1000000')");
wait_for_all($node);

# --- sent again: as many at a time, and a minute ---
$busy->fault(class => 'ORDER', method => 'POST', kind => 'reset_before');
$lost = orders(40);
wait_until(sub { sql("SELECT count(*) FROM bw_orders WHERE id >= $lost AND status = 'UNKNOWN'") eq '40' }, 'forty requests are lost');
sql('SELECT bw_pause()');
wait_until(sub { sql("SELECT count(*) FROM bw_open_requests WHERE step = 'resend'") eq '40' }, 'and are to be sent again');
$busy->clear_faults;
$busy->fault(class => 'ORDER', method => 'POST', kind => 'delay', delay_ms => 300);
sql("ALTER SERVER bandwidth OPTIONS (SET max_in_flight '2', SET requests_per_minute '30', SET burst '10')");
my $before = posts();
sql("SELECT bw_resume()");
sql('UPDATE bw_open_requests SET due_at = now()');
sql("SELECT bw_recheck($lost)");
wait_until(sub { posts() >= $before + 2 }, 'two are');
is(posts(), $before + 2, 'no more at once');
wait_until(sub { posts() >= $before + 10 }, 'ten are');
neighbour_goes_on('what is to be sent again');
is(posts(), $before + 10, 'and then no more for a while');

# --- and not where ordering is off ---
sql("ALTER SERVER bandwidth OPTIONS (ADD ordering 'off', SET requests_per_minute '1000000', SET burst '1000000')");
wait_until(sub { sql("SELECT count(*) FROM bw_orders WHERE id >= $lost AND status = 'UNKNOWN'") eq '30' }, 'ten are carried out');
$before = posts();
sql('UPDATE bw_open_requests SET due_at = now()');
sql("SELECT bw_recheck(max(id)) FROM bw_orders WHERE status = 'UNKNOWN'");
wait_until(sub { sql("SELECT count(*) FROM bw_open_requests WHERE step = 'resend' AND due_at <= now()") eq '0' }, 'all have been looked at');
neighbour_goes_on('ordering is off');
is(posts(), $before, 'where ordering is off, nothing is sent again');
like(sql("SELECT waiting_for FROM bw_open_orders ORDER BY id DESC LIMIT 1"), qr/"ordering" is off/, 'as is said');
sql("ALTER SERVER bandwidth OPTIONS (SET ordering 'on')");
sql('UPDATE bw_open_requests SET due_at = now()');
sql("SELECT bw_recheck(max(id)) FROM bw_orders WHERE status = 'UNKNOWN'");
wait_for_all($node);
is(sql("SELECT count(*) FROM bw_orders WHERE status <> 'COMPLETE'"), 0, 'in the end all are carried out');

done_testing();
