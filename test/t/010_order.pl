# The whole path: order, send after commit, poll, callback, final state.
use strict;
use warnings;

use BwTest;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $sandbox = start_sandbox();
my $node = bw_node('main', sandbox => $sandbox,
	server => { requests_per_minute => 1000000, burst => 1000000, max_numbers_per_day => 100000 });

# --- what is sent, and when ---
my $id = order_id($node, '5402278098');
wait_for_all($node);
is(status_of($node, $id), 'COMPLETE', 'an order completes by polling');
is($sandbox->journal_count(method => 'POST', class => 'ORDER'), 1, 'one order, one POST');
like(($sandbox->journal(method => 'POST', class => 'ORDER'))[0]->{body},
	qr{<SiteId>743</SiteId>}, 'the POST names the site');

$node->safe_psql('postgres', "BEGIN; SELECT bw_order(ARRAY['5402270905']); ROLLBACK");
$node->safe_psql('postgres', "BEGIN; SAVEPOINT s; SELECT bw_order(ARRAY['5402270905']); ROLLBACK TO s; COMMIT");
my $after = order_id($node, '5402278089');
wait_for_all($node);
is($sandbox->journal_count(method => 'POST', class => 'ORDER'), 2, 'rolled back orders were never sent');
is($sandbox->number('5402270905')->{bought}, 0, 'and bought nothing');

# --- a procedure for scripts ---
is($node->safe_psql('postgres', "CALL bw_order_and_wait(ARRAY['5402278094'])"), ($after + 1) . '|COMPLETE', 'ordered, committed and waited for');
$node->safe_psql('postgres', 'SELECT bw_pause()');
is($node->safe_psql('postgres', "CALL bw_order_and_wait(ARRAY['5402278094'], timeout => '0 s', idempotency_key => 'k')"), ($after + 2) . '|QUEUED',
	'a time that is over');
$node->safe_psql('postgres', 'SELECT bw_resume()');
wait_for_all($node);
is($node->safe_psql('postgres', "CALL bw_order_and_wait(ARRAY['5402278094'], idempotency_key => 'k')"), ($after + 2) . '|FAILED',
	'an order that is there already is waited for');
my ($code, $text) = sqlstate($node, "BEGIN; CALL bw_order_and_wait(ARRAY['5402278095']); COMMIT");
is($code, '2D000', 'not in a transaction block');
($code) = sqlstate($node, "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS \$\$ DECLARE i bigint; s text; BEGIN CALL bw_order_and_wait(ARRAY['5402278095'], id => i, status => s); END \$\$; SELECT f()");
is($code, '2D000', 'nor in a function');
is($node->safe_psql('postgres', "DO \$\$ DECLARE i bigint; s text; BEGIN CALL bw_order_and_wait(ARRAY['5402278095'], id => i, status => s); RAISE INFO '%', s;"
	  . " CALL bw_order_and_wait(ARRAY['5402278096'], id => i, status => s); PERFORM bw_cancel(i); END \$\$; SELECT count(*) FROM bw_orders WHERE status = 'COMPLETE' AND id > $after"),
	3, 'but in a DO block, again and again');

# --- a number that is gone ---
$sandbox->sell('5405515329');
$id = order_id($node, '+15405515329');
wait_for_all($node);
is($node->safe_psql('postgres', "SELECT status, error_code FROM bw_orders WHERE id = $id"),
	'FAILED|5005', 'a number that is taken fails with 5005');
is($node->safe_psql('postgres', "SELECT status, error_code FROM bw_order_numbers WHERE order_id = $id"),
	'FAILED|5005', 'and so says its number');

# --- partial orders ---
$id = order_id($node, [ '5405515329', '5405514342' ], 'partial_allowed => true');
wait_for_all($node);
is($node->safe_psql('postgres', "SELECT status, completed_quantity, failed_quantity FROM bw_orders WHERE id = $id"),
	'PARTIAL|1|1', 'a partial order');
is($node->safe_psql('postgres', "SELECT string_agg(telephone_number || ' ' || status, ',' ORDER BY telephone_number) FROM bw_order_numbers WHERE order_id = $id"),
	'5405514342 COMPLETE,5405515329 FAILED', 'each number has its outcome');

# --- refused ---
$id = order_id($node, '5402278090', "site_id => '9999'");
wait_for_all($node);
is($node->safe_psql('postgres', "SELECT status, error_code FROM bw_orders WHERE id = $id"),
	'REJECTED|5016', 'an order that Bandwidth refuses is REJECTED with the code');

# --- callbacks ---
my $port = free_port();
$node->safe_psql('postgres', "ALTER DATABASE postgres SET bandwidth.listen_port = $port");
$node->poll_query_until('postgres', "SELECT bw_subscribe('http://127.0.0.1:$port/bandwidth') > 0");
wait_until(sub { $node->safe_psql('postgres', "SELECT state FROM bw_subscriptions") eq 'ACTIVE' }, 'subscription');
$id = order_id($node, '5402278090');
wait_for_all($node);
is($node->safe_psql('postgres', "SELECT source FROM bw_order_events WHERE order_id = $id AND status = 'COMPLETE'"),
	'callback', 'a callback completes an order');
is(($sandbox->callbacks)[-1]->{status}, 200, 'and was answered 200');

# --- a callback that is early, doubled or foreign ---
$sandbox->fault(class => 'CALLBACK', kind => 'duplicate', count => 1);
$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'delay', delay_ms => 1500, count => 1);
$id = order_id($node, '5405515330');
wait_for_all($node);
is(status_of($node, $id), 'COMPLETE', 'a callback before the reply to its POST lands');
wait_until(sub { $node->safe_psql('postgres', "SELECT count(*) FROM bw_notifications WHERE bandwidth_order_id = (SELECT bandwidth_order_id FROM bw_orders WHERE id = $id)") >= 2 }, 'both are kept');
is(status_of($node, $id), 'COMPLETE', 'and its double changes nothing');
$sandbox->notify('<Notification><Status>COMPLETE</Status><OrderId>nobodys</OrderId><OrderType>orders</OrderType></Notification>');
wait_until(sub { $node->safe_psql('postgres', "SELECT outcome FROM bw_notifications ORDER BY id DESC LIMIT 1") eq 'orphan' }, 'foreign');
pass('a callback for an order of others is kept');
$sandbox->notify('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><Notification>&e;</Notification>');
wait_until(sub { ($sandbox->callbacks)[-1]->{status} == 400 }, 'answered 400');
is($node->safe_psql('postgres', "SELECT outcome FROM bw_notifications ORDER BY id DESC LIMIT 1"),
	'malformed', 'a malformed callback is kept with a note');

# --- bw_receive ---
$sandbox->config(callbacks => 'off');
$sandbox->config(order_delay_ms => 100);
$id = order_id($node, '9192000001');
wait_for_all($node);
is($node->safe_psql('postgres', "SELECT bw_receive('<Notification><Status>FAILED</Status><OrderId>' || bandwidth_order_id || '</OrderId></Notification>') > 0 FROM bw_orders WHERE id = $id"),
	't', 'bw_receive takes a callback in');
wait_until(sub { $node->safe_psql('postgres', 'SELECT count(*) FROM bw_inbox') <= 1 }, 'inbox');
is(status_of($node, $id), 'COMPLETE', 'a final state never changes');

# --- many at once, and the worker's memory ---
sub rss_anon
{
	my $pid = worker_pid($node);
	open my $f, '<', "/proc/$pid/status" or die;
	my ($kb) = map { /^RssAnon:\s+(\d+)/ ? $1 : () } <$f>;
	return $kb;
}
# Bytes used in a memory context of a process, or in all of them.
sub memory_used
{
	my ($pid, $context) = @_;
	my $log = $node->logfile;
	my $before = -s $log;
	my $used;

	$node->safe_psql('postgres', "SELECT pg_log_backend_memory_contexts($pid)");
	wait_until(sub { ($used) = slurp_file($log, $before) =~ /$context: .*; (\d+) used/ }, 'memory contexts are in the log');
	return $used;
}
# The context that lives as long as the worker does.
sub top_context { return memory_used(worker_pid($node), 'TopMemoryContext'); }
my $script =
  join '', map { "SELECT bw_order(ARRAY['" . (9192100000 + $_) . "'], name => 'n$_');\n" } 1 .. 100;
$node->safe_psql('postgres', $script);
wait_for_all($node, 60);
my $first = rss_anon();
my $top = top_context();
$script = join '', map { "SELECT bw_order(ARRAY['" . (9192100000 + $_) . "'], name => 'n$_');\n" } 101 .. 1000;
$node->safe_psql('postgres', $script);
wait_for_all($node, 120);
my $last = rss_anon();
is($node->safe_psql('postgres', "SELECT count(*) FROM bw_orders WHERE status = 'COMPLETE' AND name LIKE 'n%'"),
	1000, '1,000 orders committed one by one all complete');
cmp_ok(top_context(), '<=', $top + 4096, 'and nothing of it stays in the worker');
SKIP:
{
	skip 'valgrind keeps what was freed', 1 if $ENV{BW_VALGRIND};
	cmp_ok($last, '<=', $first * 1.1, "the worker's memory stays: $first kB after 100, $last kB after 1,000");
}

# --- a wait that lasts: each look at its memory is a lap of it ---
$node->safe_psql('postgres', 'SELECT bw_pause()');
my $ids = $node->safe_psql('postgres',
	'SELECT array_agg(o.id) FROM generate_series(9192110000, 9192110499) AS n, LATERAL bw_order(ARRAY[n::text]) AS o');
my $output = '';
my $waiter = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "SELECT count(*) FROM bw_wait('$ids'::bigint[], '1 hour')" ],
	'<', \undef, '>', \$output);
my $pid;
wait_until(sub { $pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT count(*) FROM bw_wait%'}) },
	'somebody waits for 500 orders');
my $at_first = memory_used($pid, 'Grand total');
memory_used($pid, 'Grand total') for 1 .. 20;
cmp_ok(memory_used($pid, 'Grand total'), '<=', $at_first + 65536, 'a wait needs no more memory the longer it lasts');
$node->safe_psql('postgres', 'SELECT bw_resume()');
$waiter->finish;
is($output, "500\n", 'and ends when the orders do');

done_testing();
