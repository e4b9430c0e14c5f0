# Limits per day, and what was claimed before: parts of refused requests, numbers
# that are given back, orders that no longer fit.
use strict;
use warnings;

use BwTest;
use Test::More;

my $sandbox = start_sandbox('order-delay' => 50);
my $node = bw_node('main', sandbox => $sandbox,
	server => { requests_per_minute => 1000000, burst => 1000000, max_numbers_per_day => 10 },
	conf => [ "bandwidth.look_up_delays = '0.1,0.2'", "bandwidth.poll_schedule = '0.1,0.2,0.5'",
		"bandwidth.coalesce_delay = '100ms'" ]);
my $number = 9192700000;

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub limit { sql("ALTER SERVER bandwidth OPTIONS (SET max_numbers_per_day '$_[0]')"); return; }
sub spent { return sql("SELECT sum(numbers) FROM bw_spending WHERE kind = 'order' AND minute > now() - interval '1 day 1 minute'"); }
sub statuses { my (@ids) = @_; return sql('SELECT string_agg(status, \' \' ORDER BY id) FROM bw_orders WHERE id IN (' . join(',', @ids) . ')'); }
sub waits { my ($id) = @_; return sql("SELECT waiting_for FROM bw_open_orders WHERE id = $id"); }
sub numbers { my ($count) = @_; return map { $number++ } 1 .. $count; }

# As if it were a day later for what was spent until now; the worker keeps the sum.
sub age
{
	run_worker($node, 'off');
	sql("DELETE FROM bw_spending WHERE minute < now() - interval '1 day 1 minute';"
		  . "UPDATE bw_spending SET minute = minute - interval '25 h';"
		  . "UPDATE bw_orders SET sent_at = sent_at - interval '25 h'");
	run_worker($node, 'on');
	return;
}

# What a test has put off goes on.
sub go_on
{
	sql('SELECT bw_pause()');
	sql("UPDATE bw_queue SET due_at = '-infinity'; SELECT bw_resume()");
	return;
}

# A request for six single orders is on its way, and will be refused because of the second one.
sub refused_request
{
	my @numbers = numbers(6);

	$sandbox->control('spoil', tn => $numbers[1], named => 1);
	$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'delay', delay_ms => 2000, count => 1);
	sql('SELECT bw_pause()');
	my @ids = split /\n/, sql("SELECT id FROM unnest(ARRAY['" . join("','", @numbers) . "']) AS n, bw_order(ARRAY[n]) ORDER BY id");
	sql('SELECT bw_resume()');
	wait_until(sub { statuses(@ids) eq join(' ', ('SENDING') x 6) }, 'six orders are on their way');
	return @ids;
}

# --- a part of a request that passed, and the limit is lowered ---
my @ids = refused_request();
limit(1);
wait_for_all($node, 30);
is(statuses(@ids), 'COMPLETE REJECTED COMPLETE COMPLETE COMPLETE COMPLETE', 'a part of a request goes out as a whole, though the limit was lowered');
is(sql('SELECT count(*) FROM bw_queue'), 0, 'and nothing stays behind');
is(sql("SELECT count(*) FROM bw_order_events WHERE status = 'HELD'"), 0, 'none of its orders was held');

# --- a part that waits cannot be taken back ---
age();
limit(10);
@ids = refused_request();
is(sql("BEGIN; UPDATE bw_orders SET request_id = NULL WHERE id = $ids[0]; SELECT under_way FROM bw_stat_worker; ROLLBACK"), 5, 'who has left a request is not under way with it');
sql('SELECT bw_pause()');
wait_until(sub { statuses(@ids) eq 'QUEUED REJECTED QUEUED QUEUED QUEUED QUEUED' }, 'a part of a request waits');
my @part = @ids[ 0, 2 .. 5 ];
is(sql("SELECT string_agg(bw_cancel(id)::text, ' ') FROM unnest(ARRAY[" . join(',', @part) . ']) AS id'), join(' ', ('false') x 5), 'none of its orders can be cancelled');
my $unclaimed = "BEGIN; UPDATE bw_queue SET claimed = false WHERE order_id = $part[0]; SELECT";
is(sql("$unclaimed bw_cancel($part[0]); ROLLBACK"), 'f', 'because it is for others, too');
isnt($node->psql('postgres', "$unclaimed bw_test_outcome($part[0], 'COMPLETE')", on_error_stop => 1), 0, 'nor has the first one an outcome of its own');
is(sql('SELECT queued FROM bw_stat_worker'), 5, 'bw_stat_worker counts all of them');
sql("UPDATE bw_queue SET due_at = 'infinity'; SELECT bw_resume()");
is(sql('SELECT DISTINCT waiting_for FROM bw_open_orders'), 'another try at infinity: it could not be written down, the server log says why', 'and all of them wait for the same');
go_on();
wait_for_all($node, 30);
is(statuses(@part), join(' ', ('COMPLETE') x 5), 'all of them go out');

# --- a part keeps its room ---
age();
@ids = refused_request();
sql('SELECT bw_pause()');
wait_until(sub { statuses(@ids) eq 'QUEUED REJECTED QUEUED QUEUED QUEUED QUEUED' }, 'a part of a request waits');
sql("UPDATE bw_queue SET due_at = 'infinity'; SELECT bw_resume()");
my $other = order_id($node, [ numbers(5) ]);
wait_for_status($node, $other, 'HELD', 30);
go_on();
wait_until(sub { sql('SELECT count(*) FROM bw_queue') eq '0' }, 'the part goes out', 30);
is(spent(), 6, 'and is counted once');
age();
limit(11);
wait_for_all($node, 30);
is(statuses($ids[0], $other), 'COMPLETE COMPLETE', 'the other order follows when there is room');

# --- an attempt leaves the window, and its numbers are taken ---
age();
limit(10);
my @taken = numbers(8);
$sandbox->sell($_) foreach @taken;
$sandbox->config(order_delay_ms => 5000);
my $id = order_id($node, \@taken, 'attempts => 3');
wait_for_status($node, $id, 'RECEIVED', 30);
age();
$sandbox->config(order_delay_ms => 50);
wait_until(sub { sql("SELECT bw_recheck($id)"); statuses($id) eq 'COMPLETE' }, 'others are ordered in their place', 30);
is(spent(), 8, 'what is given back of a day ago is not taken from today');
$other = order_id($node, [ numbers(10) ]);
wait_for_status($node, $other, 'HELD', 30);
is(sql("SELECT bw_cancel($other)"), 't', 'there is no room for ten more');

# --- the minute in which numbers were counted leaves the window when its last second does ---
age();
run_worker($node, 'off');
sql("DELETE FROM bw_spending; INSERT INTO bw_spending VALUES ('bandwidth', 'order', now() - interval '1 day', 6)");
run_worker($node, 'on');
$other = order_id($node, [ numbers(5) ]);
wait_for_status($node, $other, 'HELD', 30);
is(sql("SELECT bw_cancel($other)"), 't', 'what was counted a day ago, less than a minute, counts yet');

# --- what is sent again a day later is counted again ---
# A request is lost, nothing is found of it, and it waits for the end of a pause.
sub lost_request
{
	my ($call, $class) = @_;

	$sandbox->fault(class => $class, method => 'POST', kind => 'reset_before', delay_ms => 1000, count => 1);
	my $lost = sql("SELECT DISTINCT id FROM $call");
	wait_for_status($node, $lost, 'SENDING', 30);
	sql('SELECT bw_pause()');
	wait_until(sub { sql('SELECT step FROM bw_open_requests') eq 'resend' }, 'a lost request is to be sent again', 30);
	sql("UPDATE bw_open_requests SET due_at = 'infinity'; SELECT bw_resume()");
	return $lost;
}

# The worker looks at a request, and does not send it.
sub stays
{
	my ($lost, $limit) = @_;

	sql("SELECT bw_recheck($lost)");
	wait_until(sub { sql('SELECT due_at > now() FROM bw_open_requests') eq 't' }, 'it is looked at');
	is(statuses($lost), 'UNKNOWN', 'and not sent');
	like(waits($lost), qr/^room under the limit $limit, not before 20/, 'because there is no room');
	return;
}

age();
$id = lost_request("bw_order(ARRAY['" . join("','", numbers(6)) . "'])", 'ORDER');
is(spent(), 6, 'it was counted');
sql("SELECT bw_recheck($id)");
wait_for_status($node, $id, 'COMPLETE', 30);
is(spent(), 6, 'it is not counted twice within a day');
age();
$id = lost_request("bw_order(ARRAY['" . join("','", numbers(6)) . "'])", 'ORDER');
age();
wait_for_status($node, order_id($node, [ numbers(5) ]), 'COMPLETE', 30);
stays($id, qr/max_numbers_per_day \(10\)/);
age();
sql("SELECT bw_recheck($id)");
wait_for_status($node, $id, 'COMPLETE', 30);
is(spent(), 6, 'it is counted when it is sent');
$other = order_id($node, [ numbers(5) ]);
wait_for_status($node, $other, 'HELD', 30);
is(sql("SELECT bw_cancel($other)"), 't', 'and leaves no room for five more');

# --- and so is a disconnect ---
sql("ALTER SERVER bandwidth OPTIONS (ADD allow_disconnect 'true', ADD release_after '0', ADD max_disconnects_per_day '3')");
my @given_back = numbers(4);
$sandbox->own($_) foreach @given_back;
my $give_back = sub { return "bw_disconnect(ARRAY['" . join("','", @_) . "'])" };
age();
$id = lost_request($give_back->(@given_back[ 0, 1 ]), 'DISCONNECT');
age();
wait_for_status($node, sql('SELECT DISTINCT id FROM ' . $give_back->(@given_back[ 2, 3 ])), 'COMPLETE', 30);
stays($id, qr/max_disconnects_per_day \(3\)/);
age();
sql("SELECT bw_recheck($id)");
wait_for_status($node, $id, 'COMPLETE', 30);
is(sql("SELECT sum(numbers) FROM bw_spending WHERE kind = 'disconnect' AND minute > now() - interval '1 day'"), 2, 'it is counted, too');

# --- and a part of a request ---
age();
@ids = refused_request();
sql('SELECT bw_pause()');
wait_until(sub { statuses(@ids) eq 'QUEUED REJECTED QUEUED QUEUED QUEUED QUEUED' }, 'a part of a request waits');
sql("UPDATE bw_queue SET due_at = 'infinity'; SELECT bw_resume()");
age();
wait_for_status($node, order_id($node, [ numbers(6) ]), 'COMPLETE', 30);
@part = @ids[ 0, 2 .. 5 ];
go_on();
wait_until(sub { sql('SELECT due_at > now() FROM bw_queue') eq 't' }, 'a part that was counted a day ago is looked at', 30);
is(statuses(@part), join(' ', ('QUEUED') x 5), 'and not sent');
like(sql("SELECT string_agg(DISTINCT waiting_for, ' and ') FROM bw_open_orders"), qr/^room under the limit max_numbers_per_day \(10\), not before [-0-9: +]+$/, 'because there is no room');
age();
go_on();
wait_for_all($node, 30);
is(statuses(@part), join(' ', ('COMPLETE') x 5), 'it goes out when there is');
is(spent(), 5, 'and is counted');

# --- what was not sent is given back ---
age();
$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'status', status => 403, count => 1);
$id = order_id($node, [ numbers(6) ]);
wait_until(sub { waits($id) =~ /end of a pause/ }, 'an order is refused with its account');
is(spent(), 0, 'and counts no more');
sql('SELECT bw_resume()');
wait_for_all($node, 30);
is(spent(), 6, 'until it goes out');

# --- one that alone is over a limit that was lowered ---
age();
limit(20);
wait_for_status($node, order_id($node, [ numbers(15) ]), 'COMPLETE', 30);
my $never = order_id($node, [ numbers(12) ]);
wait_for_status($node, $never, 'HELD', 30);
limit(10);
my $later = order_id($node, [ numbers(4) ]);
wait_for_status($node, $later, 'HELD', 30);
age();
wait_for_status($node, $later, 'COMPLETE', 30);
is(statuses($never), 'HELD', 'an order over the limit by itself does not keep others back');
limit(20);
wait_for_status($node, $never, 'COMPLETE', 30);

$node->stop;
done_testing();
