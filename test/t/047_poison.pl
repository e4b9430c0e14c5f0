# An item whose recording fails, again and again: it fails alone, is tried
# again at growing intervals, and ends properly once nothing stops it.
use strict;
use warnings;

use BwTest;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $sandbox = start_sandbox('order-delay' => 50);
my $node = bw_node('main', sandbox => $sandbox, init => [ allows_streaming => 1 ],
	# a request whose outcome was not recorded is looked up after seven seconds
	server => { requests_per_minute => 1000000, burst => 1000000, max_numbers_per_day => 100000, max_in_flight => 64,
		connect_timeout => '1s', request_timeout => '1s' },
	conf => [ "bandwidth.look_up_delays = '0.1,0.2,0.4'",
		"bandwidth.poll_schedule = '0.2,0.4,0.8,1.6,3.2,6.4'", "bandwidth.coalesce_delay = '100ms'" ]);
my $number = 9192000000;

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub field { my ($id, $what) = @_; return sql("SELECT $what FROM bw_orders WHERE id = $id"); }

# --- what poisons ---
# Events of an order in poison fail if "STATUS source" matches; so does
# whatever is written down about a callback whose body matches.
sql(q{
	CREATE TABLE poison (order_id bigint, body text, matches text);
	CREATE FUNCTION spoil_event() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF EXISTS (SELECT FROM public.poison AS p WHERE p.order_id = NEW.order_id
					  AND NEW.status || ' ' || NEW.source ~ p.matches) THEN
			RAISE EXCEPTION 'poisoned item %', NEW.order_id;
		END IF;
		RETURN NEW;
	END $$;
	CREATE TRIGGER spoil BEFORE INSERT ON bw_order_events FOR EACH ROW EXECUTE FUNCTION spoil_event();
	CREATE FUNCTION spoil_notification() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF EXISTS (SELECT FROM public.poison AS p WHERE pg_catalog.convert_from(NEW.body, 'UTF8') ~ p.body) THEN
			RAISE EXCEPTION 'poisoned item %', NEW.id;
		END IF;
		RETURN NEW;
	END $$;
	CREATE TRIGGER spoil BEFORE UPDATE ON bw_notifications FOR EACH ROW EXECUTE FUNCTION spoil_notification();
});
my $pid = worker_pid($node);

# An order that is poisoned from the beginning.
sub poisoned_order
{
	my ($matches, $more) = @_;

	return sql("INSERT INTO poison SELECT id, NULL, '$matches' FROM bw_order(ARRAY['"
		  . ++$number . "']" . ($more ? ", $more" : '') . ') RETURNING order_id');
}

sub heal { return sql('DELETE FROM poison'); }

# When the item failed, in seconds of the day, by the server's log.
sub failures
{
	my ($id) = @_;
	my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);

	return map { /^\S+ (\d+):(\d+):([\d.]+) .*ERROR:  poisoned item $id$/ ? $1 * 3600 + $2 * 60 + $3 : () }
	  split /\n/, $log;
}

# It is tried again, but not in a tight loop.
sub backs_off
{
	my ($id, $tries, $name, $skip) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_until(sub { failures($id) >= $tries }, "$name: it is tried again");
	my @times = failures($id);
	# those that were of another kind
	splice @times, 0, $skip // 0;
	$tries -= $skip // 0;
	my @gaps  = map { $times[$_] - $times[ $_ - 1 ] + ($times[$_] < $times[ $_ - 1 ] ? 86400 : 0) } 1 .. $tries - 1;
	cmp_ok($gaps[-1], '>', 1.5 * $gaps[0], "$name: at growing intervals (@gaps)");
	return;
}

# Orders of others are bought meanwhile.
sub others_go_on
{
	my ($name) = @_;
	my @ids = map { order_id($node, ++$number, "name => 'n$number'") } 1 .. 3;
	my $list = join ',', @ids;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_until(sub { sql("SELECT count(*) FROM bw_orders WHERE id IN ($list) AND status = 'COMPLETE'") eq '3' },
		"$name: other orders go on", 15);
	return;
}

# --- an order of which no request can be made ---
# bw_order() refuses these; who may write to the table can do worse.
foreach my $bad ("E'\\x01'", 'NULL')
{
	sql('SELECT bw_pause()');
	my $spoilt = order_id($node, ++$number, "reservation_ids => ARRAY['r']");
	sql("UPDATE bw_orders SET reservation_ids = ARRAY[$bad] WHERE id = $spoilt");
	my @others = map { order_id($node, ++$number, "name => 'n$number'") } 1 .. 3;
	sql('SELECT bw_resume()');
	wait_until(sub { sql('SELECT count(*) FROM bw_orders WHERE id IN (' . join(',', @others) . ") AND status = 'COMPLETE'") eq '3' },
		"other orders pass one with the reservation $bad", 30);
	sql("SELECT bw_cancel($spoilt)");
}

# --- the reply to a POST, and that its outcome is unknown then ---
my $id = poisoned_order('RECEIVED|UNKNOWN|COMPLETE');
wait_until(sub { failures($id) >= 1 }, 'the recording of a reply fails');
is(field($id, 'status'), 'SENDING', 'the order is still SENDING');
others_go_on('reply');
wait_until(sub { failures($id) >= 2 }, 'so does the recording that the outcome is unknown');
others_go_on('unknown outcome');
backs_off($id, 5, 'unknown outcome', 1);
others_go_on('unknown outcome, later');
heal();
wait_for_status($node, $id, 'COMPLETE');
is($sandbox->number(field($id, '(SELECT telephone_number FROM bw_order_numbers WHERE order_id = id)'))->{bought},
	1, 'and its number was bought once');
like(sql("SELECT string_agg(status, ' ' ORDER BY id) FROM bw_order_events WHERE order_id = $id"),
	qr/^SENDING UNKNOWN (RECEIVED )?COMPLETE$/, 'its events tell the story');

# --- the answer to a poll ---
$id = poisoned_order('COMPLETE');
backs_off($id, 5, 'poll');
is(field($id, 'status'), 'RECEIVED', 'the order is still RECEIVED');
others_go_on('poll');
heal();
sql("SELECT bw_recheck($id)");
wait_for_status($node, $id, 'COMPLETE');

# --- a list of orders ---
# nobody polls by himself any more
$node->append_conf('postgresql.conf', "bandwidth.poll_schedule = '60'");
$node->reload;
$sandbox->clear_journal;
sql("SELECT bw_pause()");
my ($first, $last) = ($number + 1, $number + 40);
$number = $last;
sql("SELECT bw_order(ARRAY[n::text], name => 'm' || n) FROM generate_series($first, $last) AS n");
sql("INSERT INTO poison SELECT order_id, NULL, 'COMPLETE' FROM bw_order_numbers WHERE telephone_number = '" . ($first + 20) . "'");
$id = sql('SELECT order_id FROM poison');
sql('SELECT bw_resume()');
wait_until(sub { sql("SELECT count(*) FROM bw_orders WHERE status = 'RECEIVED'") eq '40' }, 'forty orders are RECEIVED');
wait_until(sub { !grep { $_->{status} eq 'RECEIVED' } $sandbox->orders }, 'Bandwidth carries them out');
sql('SELECT bw_recheck(id) FROM bw_orders WHERE NOT is_final');
wait_until(sub { failures($id) >= 1 }, 'one order of many fails');
wait_until(sub { sql('SELECT count(*) FROM bw_orders WHERE NOT is_final') eq '1' }, 'the others are COMPLETE', 15);
cmp_ok(scalar(grep { $_->{path} !~ m{/orders/} } $sandbox->journal(class => 'HISTORY', method => 'GET')), '>=', 1,
	'by a list of orders');
is(field($id, 'status'), 'RECEIVED', 'that one is still RECEIVED');
heal();
sql("SELECT bw_recheck($id)");
wait_for_status($node, $id, 'COMPLETE');

# --- callbacks ---
my $port = free_port();
sql("ALTER DATABASE postgres SET bandwidth.listen_port = $port");
$node->poll_query_until('postgres', "SELECT bw_subscribe('http://127.0.0.1:$port/bandwidth') > 0");
wait_until(sub { sql('SELECT state FROM bw_subscriptions') eq 'ACTIVE' }, 'a subscription');
$pid = worker_pid($node);
# time enough to stop the worker before the first callback
$sandbox->config(order_delay_ms => 3000);
sql('SELECT bw_pause()');
$id = poisoned_order('COMPLETE', "name => 'p'");
my @others = map { order_id($node, ++$number, "name => 'n$number'") } 1 .. 5;
my $list = join ',', @others;
sql('SELECT bw_resume()');
wait_until(sub { sql("SELECT count(*) FROM bw_orders WHERE status = 'RECEIVED'") eq '6' }, 'six orders are RECEIVED');
# the worker finds the callbacks of all of them at once
kill('STOP', $pid);
wait_until(sub { !grep { $_->{status} eq 'RECEIVED' } $sandbox->orders }, 'Bandwidth carries them out');
kill('CONT', $pid);
wait_until(sub { sql("SELECT count(*) FROM bw_orders WHERE id IN ($list) AND status = 'COMPLETE'") eq '5' },
	'the callbacks of others are applied', 15);
is(sql("SELECT string_agg(DISTINCT source, ',') FROM bw_order_events WHERE order_id IN ($list) AND status = 'COMPLETE'"),
	'callback', 'as callbacks');
my $theirs = field($id, 'bandwidth_order_id');
wait_until(sub { sql("SELECT count(*) FROM bw_notifications WHERE bandwidth_order_id = '$theirs' OR convert_from(body, 'UTF8') ~ '$theirs'") >= 1 },
	'the one that cannot be applied is kept');
is(scalar(grep { $_->{status} != 200 } $sandbox->callbacks), 0, 'and all were answered 200');
cmp_ok(scalar(failures($id)), '>=', 1, 'its failure is logged');
is(field($id, 'status'), 'RECEIVED', 'its order is still RECEIVED');
heal();
wait_for_status($node, $id, 'COMPLETE', 60);
wait_until(sub { sql('SELECT count(*) FROM bw_inbox') eq '0' }, 'nothing stays in the inbox');

# --- the inbox ---
sub receive { return map { "bw_receive('<Notification><Status>COMPLETE</Status><OrderId>$_</OrderId><Message>$_</Message></Notification>')" } @_; }
sql("INSERT INTO poison VALUES (NULL, 'bad', NULL)");
($id, my @good) = split /\|/, sql('SELECT ' . join(', ', receive($theirs . '</OrderId><!-- bad --><OrderId>', $theirs, $theirs)));
wait_until(sub { sql('SELECT count(*) FROM bw_inbox') eq '1' }, 'of three in the inbox two are handled', 15);
is(sql("SELECT string_agg(outcome, ',') FROM bw_notifications WHERE id IN (" . join(',', @good) . ')'), 'ignored,ignored', 'as they should');
backs_off($id, 4, 'inbox');
($last) = sql('SELECT ' . join(', ', receive($theirs)));
wait_until(sub { sql("SELECT outcome FROM bw_notifications WHERE id = $last") eq 'ignored' }, 'later ones do not wait for it', 5);
is(sql("SELECT outcome FROM bw_notifications WHERE id = $id"), 'stored', 'the bad one is stored');
heal();
wait_until(sub { sql('SELECT count(*) FROM bw_inbox') eq '0' }, 'and handled in the end', 60);

# more than are taken at once
sql("SELECT bw_receive('<Notification><Status>COMPLETE</Status><OrderId>$theirs</OrderId></Notification>') FROM generate_series(1, 1000)");
wait_until(sub { sql('SELECT count(*) FROM bw_inbox') eq '0' }, 'a thousand do not wait for a timer', 3);

# --- the claim itself ---
heal();
sql('SELECT bw_pause()');
my $unclaimed = poisoned_order('SENDING');
sql('SELECT bw_order(ARRAY[n::text]) FROM generate_series(9192090001, 9192090040) AS n');
sql('SELECT bw_resume()');
wait_until(sub { sql("SELECT count(*) FROM bw_orders WHERE id > $unclaimed AND status = 'COMPLETE'") eq '40' },
	'orders that would have been claimed with a bad one go out');
others_go_on('claim');
is(field($unclaimed, 'status'), 'QUEUED', 'the bad one waits');
like(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/WARNING:  order $unclaimed cannot be claimed, and waits/, 'as the log says');
heal();
sql("UPDATE bw_queue SET due_at = now() WHERE order_id = $unclaimed");
sql('SELECT bw_resume()');
wait_for_status($node, $unclaimed, 'COMPLETE');

# --- NOTIFY ---
# All that can stop one is the lock that every session takes that commits with
# a NOTIFY; one that waits for a standby keeps it.
$node->append_conf('postgresql.conf',
	"bandwidth.poll_schedule = '0.2'\nsynchronous_commit = local\nsynchronous_standby_names = 'nobody'");
$node->reload;
my $stuck = IPC::Run::start(
	[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'SET synchronous_commit = on', '-c', 'CREATE TABLE written (); NOTIFY something' ],
	IPC::Run::timer($BwTest::LIMIT * 4));
wait_until(sub { sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") eq '1' }, 'a session keeps the lock of NOTIFY');
my $began = time();
others_go_on('notify');
my $took = time() - $began;
cmp_ok($took, '<', 8, "without waiting for it: $took s");
$node->append_conf('postgresql.conf', "synchronous_standby_names = ''");
$node->reload;
$stuck->finish;
my $heard = sql("LISTEN bw_orders; CREATE TEMPORARY TABLE o AS SELECT id FROM bw_order(ARRAY['" . ++$number . "']);"
	  . ' SELECT bw_wait(id) FROM o; SELECT count(*) FROM o');
like($heard, qr/^Asynchronous notification "bw_orders" with payload "\{"id": \d+, "status": "(RECEIVED|COMPLETE)"\}"/m,
	'then orders are told of again');

is(worker_pid($node), $pid, 'all by the same worker');
$node->stop;
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/PANIC|terminated by signal/, 'no crash');
done_testing();
