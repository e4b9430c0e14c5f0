# A hundred thousand callbacks over 64 connections, while the worker is stopped
# and killed again and again: what was answered 200 is kept, and does its work.
use strict;
use warnings;

use BwTest;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

use constant {
	ORDERS => 10000,
	CALLBACKS => 100000,
	CONNECTIONS => 64,
};

my $dir = $PostgreSQL::Test::Utils::tmp_check;
my $sandbox = start_sandbox('order-delay' => 3600 * 1000, 'no-journal-bodies' => undef);
my $port = free_port();
# nothing but callbacks ends an order here
my $node = bw_node('main', sandbox => $sandbox,
	server => { requests_per_minute => 1000000, burst => 1000000, max_numbers_per_day => 1000000, max_in_flight => 64 },
	mapping => { client_id => 'client', client_secret => 'secret', callback_username => 'caller', callback_password => 'word' },
	conf => [ "bandwidth.listen_port = $port", "bandwidth.poll_schedule = '3600'", "bandwidth.poll_interval = '3600'", 'restart_after_crash = on' ]);

$sandbox->config(callbacks => 'off');
# each look counts many rows
$BwTest::LAP = 0.1;

sub sql { return $node->safe_psql('postgres', $_[0]); }

# --- orders under way, each in a request of its own ---
sql("SELECT bw_subscribe('http://127.0.0.1:$port/bandwidth')");
wait_until(sub { sql('SELECT state FROM bw_subscriptions') eq 'ACTIVE' }, 'subscription');
sql("SELECT bw_order(ARRAY[n::text], name => 'own ' || n) FROM generate_series(9192000000, 9192000000 + " . ORDERS . " - 1) AS n");
wait_until(sub { sql("SELECT count(*) FROM bw_orders WHERE status = 'RECEIVED'") == ORDERS }, 'all orders are received', 120);

# --- their callbacks, ten of each order, well mixed ---
sql("SELECT setseed(0.5);
	COPY (
	SELECT '<Notification><Status>COMPLETE</Status><SubscriptionId>' || s.bandwidth_subscription_id || '</SubscriptionId><Message>call {n}.</Message><OrderId>' || o.bandwidth_order_id
	       || '</OrderId><OrderType>orders</OrderType><CustomerOrderId>' || r.customer_order_id
	       || '</CustomerOrderId><CompletedTelephoneNumbers><TelephoneNumber>' || n.telephone_number
	       || '</TelephoneNumber></CompletedTelephoneNumbers></Notification>'
	  FROM bw_subscriptions AS s, bw_orders AS o
	  JOIN bw_requests AS r ON r.id = o.request_id
	  JOIN bw_order_numbers AS n ON n.order_id = o.id,
	       generate_series(1, " . CALLBACKS / ORDERS . ")
	 ORDER BY random()) TO '$dir/bodies'");

# --- send them ---
my ($said, $progress) = ('', '');
my $load = IPC::Run::start([ 'setpriv', '--pdeathsig', 'KILL', $ENV{BW_CALLBACK_LOAD},
	'--connections', CONNECTIONS, '--user', 'caller:word', '--limit', 150, '--log', "$dir/calls",
	"127.0.0.1:$port/bandwidth" ], '<', "$dir/bodies", '>', \$said, '2>', \$progress);

sub stored
{
	IPC::Run::pump_nb($load);
	return try_sql($node, 'postgres', 'SELECT count(*) FROM bw_notifications') // 0;
}

my @stops = (
	[ 'terminated', sub { sql("SELECT pg_terminate_backend($_[0])") } ],
	[ 'killed', sub { kill 'KILL', $_[0] } ]);
my $rounds = 6;

foreach my $round (1 .. $rounds)
{
	my ($how, $stop) = @{ $stops[ $round % 2 ] };
	my $at = CALLBACKS / ($rounds + 2) * $round;

	wait_until(sub { stored() >= $at }, "$at callbacks are kept", 60);
	my $pid = worker_pid($node);
	$stop->($pid);
	wait_until(sub { (try_sql($node, 'postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'bandwidth worker'") || $pid) != $pid }, "and the worker is $how");
	cmp_ok(stored(), '<', CALLBACKS, 'under load');
}

# --- callers that never pause hold up nothing else ---
wait_until(sub { stored() >= CALLBACKS * 0.8 }, 'the worker is back', 60);
my $refused = order_id($node, '9192999999', "site_id => '9999'");
wait_for_status($node, $refused, 'REJECTED');
cmp_ok(stored(), '<', CALLBACKS, 'meanwhile an order went out and was refused');

ok($load->finish, 'all callbacks were sent') or diag($progress);
note($said);
my %count = $said =~ /^(\w+) (\S+)$/mg;

# --- what the sender knows against what is kept ---
is($count{calls}, CALLBACKS, 'each callback was sent once');
cmp_ok($count{answered_200}, '>', CALLBACKS * 0.9, 'most were answered 200');
cmp_ok($count{reconnects}, '>=', $rounds * CONNECTIONS / 2, 'and connections were lost each time');
wait_for_all($node, 60);
sql("CREATE TABLE calls (n int PRIMARY KEY, status int, us int);
	COPY calls FROM '$dir/calls' (DELIMITER ' ');
	CREATE TABLE kept AS SELECT substring(convert_from(body, 'UTF8') FROM 'call (\\d+)[.]')::int AS n, outcome FROM bw_notifications;
	CREATE INDEX ON kept (n); ANALYZE kept, calls");
is(sql('SELECT count(*) FROM calls'), CALLBACKS, 'the log of calls is complete');
is(sql('SELECT count(*) FROM calls WHERE status = 200 AND NOT EXISTS (SELECT FROM kept WHERE kept.n = calls.n)'), 0, 'what was answered 200 is kept');
is(sql('SELECT count(*) FROM (SELECT n FROM kept GROUP BY n HAVING count(*) > 1) AS twice'), 0, 'none is kept twice');
is(sql("SELECT string_agg(DISTINCT outcome, ' ' ORDER BY outcome) FROM kept"), 'applied ignored', 'each was applied or came too late');
is(sql("SELECT string_agg(DISTINCT status, ' ') FROM bw_orders WHERE id <> $refused"), 'COMPLETE', 'every order is complete');
is(sql("SELECT string_agg(DISTINCT status, ' ') FROM bw_order_numbers WHERE order_id <> $refused"), 'COMPLETE', 'and so is its number');
is(sql("SELECT count(*) || ' ' || count(DISTINCT order_id) FROM bw_order_events WHERE status = 'COMPLETE' AND source = 'callback'"), ORDERS . ' ' . ORDERS, 'once, and by a callback');
is(sql('SELECT count(*) FROM bw_inbox'), 0, 'nothing is left to do');

$node->stop;
done_testing();
