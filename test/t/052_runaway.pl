# A user's trigger that asks for 100,000 numbers: no more than the limit per
# day is bought, the rest is held, and one statement takes it back.
use strict;
use warnings;

use BwTest;
use Test::More;
use Time::HiRes qw(time);

my $rows  = 100000;
my $limit = 100;
# What each step may take; each takes a few seconds where nothing else runs.
my $patience = 120;

my $sandbox = start_sandbox('order-delay' => 50);
my $node = bw_node('main', sandbox => $sandbox,
	server => { requests_per_minute => 1000000, burst => 1000000, max_numbers_per_day => $limit },
	conf => [ "bandwidth.poll_schedule = '0.1,0.2,0.5'", "bandwidth.coalesce_delay = '100ms'" ]);
$sandbox->config(open_inventory => 'on');

sub sql { return $node->safe_psql('postgres', $_[0], timeout => $patience); }

# How many orders there are of each status, as "COMPLETE 1, HELD 2".
sub outcome
{
	return sql("SELECT string_agg(status || ' ' || n, ', ' ORDER BY status) FROM "
		  . '(SELECT status, count(*) AS n FROM bw_orders GROUP BY status) AS t');
}

# Telephone numbers in all POSTs that the sandbox saw.
sub numbers_asked_for
{
	my $count = 0;

	$count += () = $_->{body} =~ /<TelephoneNumber>/g
	  foreach $sandbox->journal(class => 'ORDER', method => 'POST');
	return $count;
}

# Do something, and remember how long it took.
my %seconds;

sub timed
{
	my ($what, $code) = @_;
	my $began = time();
	my $result = $code->();

	$seconds{$what} = time() - $began;
	note(sprintf('%s: %.1f s', $what, $seconds{$what}));
	return $result;
}

# --- the trigger that runs away ---
sql(q{
	CREATE TABLE subscribers (id bigint PRIMARY KEY);
	CREATE FUNCTION get_number() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM bw_order(ARRAY[NEW.id::text]);
		RETURN NEW;
	END $$;
	CREATE TRIGGER get_number AFTER INSERT ON subscribers
		FOR EACH ROW EXECUTE FUNCTION get_number();
});
my $pid = worker_pid($node);
timed('ordering', sub { sql("INSERT INTO subscribers SELECT generate_series(9202000000, 9202000000 + $rows - 1)") });
timed('holding',
	sub {
		wait_until(
			sub { sql("SELECT count(*) FROM bw_open_orders WHERE status <> 'HELD'") eq '0' },
			'all orders are final or held', $patience);
	});
# It is one statement for 5,000 of them, not one for each.
cmp_ok($seconds{holding}, '<', $seconds{ordering}, 'holding them takes less time than ordering did');
is(outcome(), "COMPLETE $limit, HELD " . ($rows - $limit), 'the limit is bought, the rest is HELD');
is(numbers_asked_for(), $limit, 'no more numbers were asked for');
my @bought = grep { $_->{status} eq 'COMPLETE' } $sandbox->orders;
is(sql("SELECT count(*) FROM bw_order_numbers WHERE status = 'COMPLETE'"), $limit, 'as many numbers are ours');
cmp_ok(scalar(@bought), '<=', $limit, 'and no more orders are at Bandwidth');
like(sql("SELECT waiting_for FROM bw_open_orders ORDER BY id DESC LIMIT 1"), qr/limit/, 'the last one says what it waits for');

# --- somebody else's account goes on meanwhile ---
create_account($node, 'postgres', sandbox => $sandbox, name => 'other', server => { account_id => '9900001' });
my $began = time();
my $id = order_id($node, '9302000000', "server => 'other'");
wait_for_status($node, $id, 'COMPLETE');
cmp_ok(time() - $began, '<', 10, 'another server does not wait for those that are held');

# --- one statement takes all back ---
is(timed('cancelling', sub { sql("SELECT count(*) FROM bw_orders WHERE status = 'HELD' AND bw_cancel(id)") }),
	$rows - $limit, 'one statement cancels them');
is(outcome(), 'CANCELLED ' . ($rows - $limit) . ', COMPLETE ' . ($limit + 1), 'all of them');

# With room again, what was cancelled stays so.
sql("ALTER SERVER bandwidth OPTIONS (SET max_numbers_per_day '" . ($limit + 1) . "')");
$id = order_id($node, '9202999999');
wait_for_status($node, $id, 'COMPLETE');
is(numbers_asked_for(), $limit + 2, 'of those that were cancelled none is bought');
is(sql('SELECT count(*) FROM bw_queue'), 0, 'the queue is empty');
is(sql('SELECT count(*) FROM bw_held'), 0, 'and nothing is held');
is(worker_pid($node), $pid, 'all by the same worker');

$node->stop;
done_testing();
