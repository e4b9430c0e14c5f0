# Users' open transactions against the worker: what somebody is about to cancel
# is not sent and holds up nothing else, and a claim under way is not cancelled.
use strict;
use warnings;

use BwTest;
use IPC::Run;
use Test::More;
use Time::HiRes qw(time);

my $sandbox = start_sandbox('order-delay' => 50);
my $node = bw_node('main', sandbox => $sandbox,
	server => { requests_per_minute => 1000000, burst => 1000000, max_numbers_per_day => 100000 },
	conf => [ "bandwidth.look_up_delays = '0.1,0.2'", "bandwidth.poll_schedule = '0.1,0.2" . ',0.5' x 20 . "'",
		"bandwidth.coalesce_delay = '100ms'" ]);
my $number = 9192000000;

sub sql { return $node->safe_psql('postgres', $_[0]); }

# A session whose transaction stays open.  Returns a function that sends it a
# statement and returns what came; without one, the session ends.
sub session
{
	my ($in, $out, $err) = ('', '', '');
	my $psql = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-f', '-' ],
		'<', \$in, '>', \$out, '2>', \$err, IPC::Run::timer($BwTest::LIMIT * 10));

	return {
		send => sub { $in .= "$_[0];\n\\echo done\n"; $psql->pump_nb while length $in; return; },
		wait => sub {
			$psql->pump until $out =~ /^done$/m;
			my ($said) = $out =~ /\A(.*?)\n?done\n/s;
			$out =~ s/\A.*?done\n//s;
			return $said . $err;
		},
		end => sub { $psql->pump_nb; $in .= "\\q\n"; $psql->finish; return; },
	};
}

sub ask { my ($session, $statement) = @_; $session->{send}->($statement); return $session->{wait}->(); }

# Others' orders complete, one after the other, for so many seconds.
sub others_go_on
{
	my ($name, $seconds) = @_;
	my $began = time();

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	while (time() < $began + $seconds)
	{
		my $id = order_id($node, ++$number, "name => 'n$number'");
		my $asked = time();
		my $limit = $asked + 5;

		Time::HiRes::sleep(0.02) until status_of($node, $id) eq 'COMPLETE' || time() > $limit;
		next if time() <= $limit;
		fail("$name: other orders go on");
		return;
	}
	pass("$name: other orders go on");
	return;
}

# The worker looks at what is held, and at what waits, every ten seconds.
my $user = session();
my $pid = worker_pid($node);

# --- one that waits in the queue ---
sql('SELECT bw_pause()');
my $id = order_id($node, ++$number);
is(ask($user, "BEGIN; SELECT bw_cancel($id)"), 't', 'an order is being cancelled');
sql('SELECT bw_resume()');
others_go_on('queue', 2);
is(status_of($node, $id), 'QUEUED', 'it is not sent meanwhile');
ask($user, 'ROLLBACK');
wait_for_status($node, $id, 'COMPLETE');

# --- one over the limit per day ---
sql("ALTER SERVER bandwidth OPTIONS (SET max_numbers_per_day '1')");
$id = order_id($node, ++$number);
wait_for_status($node, $id, 'HELD');
is(ask($user, "BEGIN; SELECT bw_cancel($id)"), 't', 'an order that is held is being cancelled');
sql("ALTER SERVER bandwidth OPTIONS (SET max_numbers_per_day '100000')");
others_go_on('held', 12);
ask($user, 'ROLLBACK');
wait_for_status($node, $id, 'COMPLETE');

# --- one that waits for another one with the same number ---
$sandbox->config(order_delay_ms => 3000);
my $first = order_id($node, ++$number);
wait_for_status($node, $first, 'RECEIVED');
$id = order_id($node, $number);
wait_until(sub { sql("SELECT waiting_for FROM bw_open_orders WHERE id = $id") =~ /another order/ }, 'an order waits for another');
is(ask($user, "BEGIN; SELECT bw_cancel($id)"), 't', 'and is being cancelled');
$sandbox->config(order_delay_ms => 50);
wait_for_status($node, $first, 'COMPLETE', 8);
others_go_on('waiting', 12);
ask($user, 'ROLLBACK');
wait_for_status($node, $id, 'REJECTED');

# --- one whose numbers are searched for ---
$sandbox->fault(class => 'SEARCH', kind => 'delay', delay_ms => 1500, count => 1);
$id = sql("SELECT id FROM bw_order_search(npanxx => '540551')");
wait_until(sub { $sandbox->journal_count(class => 'SEARCH') >= 1 }, 'a search is under way');
is(ask($user, "BEGIN; SELECT bw_cancel($id)"), 't', 'and its order is being cancelled');
others_go_on('search', 3);
ask($user, 'COMMIT');
is(status_of($node, $id), 'CANCELLED', 'it is');

# --- one that is asked about again ---
$sandbox->config(order_delay_ms => 5000);
$id = order_id($node, ++$number);
wait_for_status($node, $id, 'RECEIVED');
# not while a question is under way: to keep its answer, the worker would wait
wait_until(
	sub {
		sql("SELECT due_at BETWEEN now() + interval '0.2 s' AND now() + interval '0.4 s' FROM bw_open_requests") eq 't';
	},
	'it is between two questions');
is(ask($user, "BEGIN; SELECT bw_recheck($id)"), 't', 'somebody wants to hear of an order');
$sandbox->config(order_delay_ms => 50);
others_go_on('recheck', 5);
ask($user, 'ROLLBACK');
wait_for_status($node, $id, 'COMPLETE');

# --- a claim that is under way ---
sql(q{
	CREATE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_advisory_xact_lock_shared(1);
		RETURN NEW;
	END $$;
	CREATE TRIGGER hold_up BEFORE INSERT ON bw_order_events FOR EACH ROW
		WHEN (NEW.status = 'SENDING') EXECUTE FUNCTION hold_up();
});
my $other = session();
ask($other, 'SELECT pg_advisory_lock(1)');
$id = order_id($node, ++$number);
wait_until(sub { sql("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid AND wait_event = 'advisory'") eq '1' }, 'a claim is under way');
$user->{send}->("SELECT bw_cancel($id)");
wait_until(sub { sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT bw_cancel($id)%' AND state = 'active' AND wait_event_type = 'Lock'") eq '1' },
	'bw_cancel() waits for it');
ask($other, 'SELECT pg_advisory_unlock(1)');
is($user->{wait}->(), 'f', 'and then is too late');
wait_for_status($node, $id, 'COMPLETE');
is($sandbox->number($number)->{bought}, 1, 'the number was bought');

is(worker_pid($node), $pid, 'all by the same worker');
$_->{end}->() foreach $user, $other;
my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
is(join("\n", $log =~ /^.*(?:lock timeout|deadlock detected).*$/mg), '', 'it waited for nobody');
$node->stop;
done_testing();
