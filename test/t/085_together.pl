# Several answers about the same request that the worker finds at once.
use strict;
use warnings;

use BwTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $sandbox = start_sandbox('order-delay' => 700);
my $node = bw_node('main', sandbox => $sandbox,
	server => { requests_per_minute => 1000000, burst => 1000000 },
	conf => [ "bandwidth.look_up_delays = '0.1,0.1,0.1,0.1,0.1,5'", "bandwidth.poll_schedule = '0.3,0.3,0.3,0.5,0.5,1,1,1,1,1,1,1,1,1'" ]);
my $port = free_port();

sub sql { return $node->safe_psql('postgres', $_[0]); }

# The worker stands at its next change of open requests; meanwhile answers come in.
# It waits for a second at most, and then does it later.
sub hold_worker
{
	my ($seconds) = @_;

	sql("BEGIN; LOCK TABLE bw_open_requests; SELECT pg_sleep($seconds); COMMIT");
	return;
}

# A hundred orders in one request.
sub order_hundred
{
	my ($first) = @_;

	sql("SELECT bw_order(ARRAY[n::text]) FROM generate_series($first, $first + 99) AS n");
	return;
}

sub check
{
	my ($first, $pid, $name) = @_;

	wait_for_all($node);
	is(sql("SELECT string_agg(DISTINCT status || ' ' || events, ', ') FROM (SELECT o.status, (SELECT count(*) FROM bw_order_events AS e WHERE e.order_id = o.id AND e.status = 'COMPLETE') AS events FROM bw_orders AS o JOIN bw_order_numbers AS n ON n.order_id = o.id WHERE n.telephone_number BETWEEN '$first' AND '$first'::bigint + 99 || '') AS t"),
		'COMPLETE 1', "$name: each order completes once");
	is(worker_pid($node), $pid, "$name: the worker lives");
	unlike(slurp_file($node->logfile), qr/worker ERROR|terminated by signal/, "$name: nothing failed");
	return;
}

# --- look-ups that were all under way when the first was answered ---
my $pid = worker_pid($node);
$sandbox->config(order_delay_ms => 5000);
$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'drop_reply', count => 1);
$sandbox->fault(class => 'HISTORY', kind => 'delay', delay_ms => 1000);
order_hundred(9192000000);
# each asks for a list, and then for the order in it
wait_until(sub { $sandbox->journal_count(class => 'HISTORY', path => 'orders/') >= 3 }, 'three look-ups are under way');
hold_worker(1.5);
$sandbox->clear_faults;
check(9192000000, $pid, 'look-ups');

# --- a callback and its double ---
# and no poll is faster than it
sql("BEGIN; ALTER DATABASE postgres SET bandwidth.listen_port = $port; ALTER DATABASE postgres SET bandwidth.poll_schedule = '60'; COMMIT");
wait_until(sub { worker_pid($node) != $pid }, 'another worker');
sql("SELECT bw_subscribe('http://127.0.0.1:$port/bandwidth')");
wait_until(sub { sql('SELECT state FROM bw_subscriptions') eq 'ACTIVE' }, 'subscription');
$pid = worker_pid($node);
$sandbox->config(callback_auth => 'eager', order_delay_ms => 700);
$sandbox->fault(class => 'CALLBACK', kind => 'duplicate');
order_hundred(9192010000);
wait_until(sub { sql("SELECT count(*) FROM bw_orders WHERE status = 'RECEIVED'") == 100 }, 'all are RECEIVED');
hold_worker(0.9);
check(9192010000, $pid, 'callbacks');
wait_until(sub { (grep { $_->{status} == 200 } $sandbox->callbacks) == 2 }, 'both callbacks were answered 200');
is(sql("SELECT string_agg(outcome, ' ' ORDER BY outcome) FROM bw_notifications"), 'applied ignored', 'one was applied');

$node->stop;
done_testing();
