# What a person decides about orders of unknown outcome: bw_resolve(), bw_adopt().
use strict;
use warnings;

use BwTest;
use Test::More;

# By itself, the worker looks up for the first time in a minute.
my $sandbox = start_sandbox('order-delay' => 50);
my $node = bw_node('main', sandbox => $sandbox,
	server => { request_timeout => '5s', requests_per_minute => 1000000, burst => 1000000, allow_disconnect => 'true', release_after => '0' },
	conf => [ "bandwidth.look_up_delays = '60'", "bandwidth.poll_schedule = '0.1,0.2,0.5'" ]);
my $number = 9192000110;

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub posts { return $sandbox->journal_count(class => 'ORDER', method => 'POST'); }
sub field { my ($id, $what) = @_; return sql("SELECT $what FROM bw_orders WHERE id = $id"); }
sub numbers { my ($id) = @_; return sql("SELECT string_agg(telephone_number || ' ' || status, ', ' ORDER BY 1) FROM bw_order_numbers WHERE order_id = $id"); }
sub events { my ($id) = @_; return sql("SELECT string_agg(concat_ws(' ', status, detail), ', ' ORDER BY id) FROM bw_order_events WHERE order_id = $id"); }
sub bought { my ($tn) = @_; return $sandbox->number($tn)->{bought}; }

# An order whose request never got there.
sub unknown
{
	my ($query) = @_;

	$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'reset_before', count => 1);
	my $id = sql("SELECT DISTINCT id FROM $query");
	wait_for_status($node, $id, 'UNKNOWN');
	return $id;
}

# One that somebody else made: its id.
sub theirs
{
	my (@numbers) = @_;
	my ($id) = $sandbox->post_order(customer_order_id => 'by hand', numbers => \@numbers) =~ m{<id>([^<]+)</id>}i;

	return $id;
}

# Named, looked at, and not taken.
sub is_declined
{
	my ($id, $theirs, $like, $name) = @_;

	is(sql("SELECT bw_adopt($id, '$theirs')"), 't', "$name: bw_adopt");
	wait_until(sub { field($id, 'attention') =~ /^order \Q$theirs\E is not this one \($like\): decide with bw_resolve\(\) or bw_adopt\(\)$/ }, "$name: and why not")
	  or diag(field($id, 'attention'));
	is(field($id, "status || ' ' || (bandwidth_order_id IS NULL)"), 'UNKNOWN true', "$name: the order is not that one");
	return;
}

# --- adopted is only what asks for the same ---
my $id = unknown("bw_order(ARRAY['$number'])");
my $other = theirs(9192050510);
is_declined($id, $other, '.*TelephoneNumberList.*', 'other numbers');
is(numbers($id), "$number PENDING", 'and its number is not called bought');
is(bought($number), 0, 'which it is not');
is_declined($id, theirs($number, 9192050511), '.*sent was 1 numbers, it says 2', 'more numbers');
is(sql(q{SELECT detail FROM bw_check() WHERE "check" = 'attention' AND NOT ok}), '1 orders wait for a decision', 'bw_check() says so');
$sandbox->restock($number);
my $right = theirs($number);
is(sql("SELECT bw_adopt($id, '$right')"), 't', 'the same number, by another CustomerOrderId: bw_adopt');
wait_for_status($node, $id, 'COMPLETE');
is(field($id, "bandwidth_order_id || ' ' || (attention IS NULL)"), "$right true", 'is the order');
like(events($id), qr/^SENDING, UNKNOWN[^,]*, UNKNOWN to be adopted: $other, UNKNOWN to be adopted: [^,]+, UNKNOWN to be adopted: $right, (RECEIVED, )?COMPLETE$/, 'as its events tell');

my $direct = unknown("bw_order_search(npanxx => '919204', quantity => 2, direct => true)");
is_declined($direct, theirs(9192050512, 9192050513), '.*order type.*', 'an order of numbers for a direct one');
my @direct = map { sql("SELECT id FROM bw_order_search($_, direct => true)") }
  ("npanxx => '919204'", "npanxx => '919205', quantity => 2", "area_code => '919', quantity => 2", "npanxx => '919204', quantity => 2");
wait_for_status($node, $_, 'COMPLETE') foreach @direct;
# they are nobody's then
my @found = map { field($_, 'bandwidth_order_id') } @direct;
sql("DELETE FROM bw_orders WHERE id = $_; DELETE FROM bw_requests WHERE members = ARRAY[$_]::bigint[]") foreach @direct;
is_declined($direct, $found[0], 'Quantity: sent was 2, it says 1', 'another quantity');
is_declined($direct, $found[1], 'NpaNxx: sent was 919204, it says 919205', 'other criteria');
is_declined($direct, $found[2], 'order type.*', 'another type');
is_declined($id = unknown("bw_order(ARRAY['9192000111'])"), $found[3], 'order type.*', 'a direct order for one of a number');
is(sql("SELECT bw_adopt($direct, '$found[3]')"), 't', 'the same criteria: bw_adopt');
wait_for_status($node, $direct, 'COMPLETE');
is(field($direct, 'completed_quantity'), 2, 'is the order');

# --- an order is no disconnect ---
$sandbox->own(9192000112);
$sandbox->fault(class => 'DISCONNECT', method => 'POST', kind => 'reset_before', count => 1);
my $disconnect = sql("SELECT id FROM bw_disconnect(ARRAY['9192000112'])");
wait_for_status($node, $disconnect, 'UNKNOWN');
is_declined($disconnect, theirs(9192000113), 'Bandwidth does not know it', 'an order for a disconnect');

# --- what is another request's is not adopted twice ---
my $twin = unknown("bw_order_search(npanxx => '919204', quantity => 2, direct => true)");
is(sqlstate($node, "SELECT bw_adopt($twin, '$found[3]')"), '23505', 'what another request has');

is(sql("SELECT bw_adopt($twin, 'no-such-order') AND bw_adopt($twin, 'nor-this')"), 't', 'a mistake is put right by another bw_adopt()');
wait_until(sub { field($twin, 'attention') =~ /^order nor-this/ }, 'of which the last one counts');
is(sql("SELECT bw_resolve($twin, 'failed')"), 't', 'or by giving it up');

# --- two who decide at the same time ---
$number = 9192000300;
foreach my $case ([ 'resend', 'failed' ], [ 'resend', 'resend' ], [ 'resend', 'adopt' ], [ 'failed', 'resend' ], [ 'adopt', 'resend' ], [ 'adopt', 'failed' ])
{
	my $id = unknown('bw_order(ARRAY[\'' . ++$number . "'])");
	my ($said, $verdict) = two_decide($id, @$case);
	my ($first, $second) = @$case;
	my $name = "$first, and then $second";

	is($said, 't', "$name: the first one decides");
	# what is committed first may be done before the second one is let in
	if ("@$case" =~ /^resend/ && $second ne 'resend' && $verdict eq 't')
	{
		is(posts_for($number), 1, "$name: the second one was in time, and nothing was sent");
	}
	elsif ("@$case" =~ /^resend/)
	{
		wait_for_status($node, $id, 'COMPLETE');
		is(posts_for($number), 2, "$name: it was sent again, once");
	}
	elsif ("@$case" eq 'adopt resend' && $verdict eq 't')
	{
		wait_for_status($node, $id, 'COMPLETE');
		is(posts_for($number), 2, "$name: that was no order, and it was sent again, once");
	}
	else
	{
		is($verdict, $second eq 'failed' ? 't' : 'f', "$name: the second one");
		is(posts_for($number), 1, "$name: nothing was sent");
	}
	is(sql("SELECT CASE WHEN o.is_final THEN 'closed' ELSE 'open' END = CASE r.state WHEN 'closed' THEN r.state ELSE 'open' END
		FROM bw_orders AS o JOIN bw_requests AS r ON r.id = o.request_id WHERE o.id = $id"), 't', "$name: order and request agree");
	is(bought($number), field($id, "CASE status WHEN 'COMPLETE' THEN 1 ELSE 0 END"), "$name: the row says what was bought");
	sql("SELECT bw_resolve(id, 'failed') FROM bw_orders WHERE status = 'UNKNOWN'");
}

# --- sent again by the worker, while somebody waits to give it up ---
$id = unknown('bw_order(ARRAY[\'' . ++$number . "'])");
my $holder = $node->background_psql('postgres');
my $waiter = $node->background_psql('postgres');
$holder->query_safe("BEGIN; SELECT FROM bw_orders WHERE id = $id FOR NO KEY UPDATE");
ask($waiter, $id, "bw_resolve($id, 'failed')");
$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'delay', delay_ms => 3000, count => 1);
sql("UPDATE bw_open_requests SET step = 'resend' WHERE request_id = " . field($id, 'request_id') . "; SELECT bw_recheck($id)");
wait_until(sub { posts_for($number) == 2 }, 'it is sent');
$holder->query_safe('COMMIT');
is(verdict($id), 'f', 'then it is too late');
wait_for_status($node, $id, 'COMPLETE');
is(bought($number), 1, 'and the order has what was bought');
$holder->quit;
$waiter->quit;

# --- while it is being sent again ---
$id = unknown('bw_order(ARRAY[\'' . ++$number . "'])");
my $copy = theirs(9192000210);
$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'delay', delay_ms => 3000, count => 1);
is(sql("SELECT bw_resolve($id, 'resend')"), 't', 'sent again');
wait_until(sub { sql("SELECT step FROM bw_open_requests WHERE request_id = " . field($id, 'request_id')) eq 'sent' }, 'it is on its way');
sql("UPDATE bw_orders SET attention = 'a mark' WHERE id = $id");
is(sql("SELECT concat_ws(' ', bw_resolve($id, 'resend'), bw_resolve($id, 'failed'), bw_adopt($id, '$copy'))"), 'f f f', 'meanwhile nothing can be decided');
is(field($id, "status || ' ' || attention"), 'UNKNOWN a mark', 'and nothing is changed');
wait_for_status($node, $id, 'COMPLETE');
like(events($id), qr/^SENDING, UNKNOWN[^,]*, UNKNOWN to be sent again, (RECEIVED, )?COMPLETE$/, 'its events tell what was done');
isnt(field($id, 'bandwidth_order_id'), $copy, 'the order is the one that was sent');
is(posts_for($number), 2, 'once');

# --- once an order at Bandwidth is its own ---
$id = unknown('bw_order(ARRAY[\'' . ++$number . "'])");
$sandbox->fault(class => 'HISTORY', kind => 'status', status => 503);
is(sql("SELECT bw_adopt($id, '" . theirs($number) . "')"), 't', 'to be adopted');
is(sql("SELECT bw_resolve($id, 'resend')"), 'f', 'what is to be adopted is not sent again');
like(sql("SELECT waiting_for FROM bw_open_orders WHERE id = $id"), qr/^a look at order \S+, which bw_adopt\(\) named, at /, 'and says what it waits for');
$sandbox->clear_faults;
sql("SELECT bw_recheck($id)");
wait_for_status($node, $id, 'COMPLETE');
is(sql("SELECT concat_ws(' ', bw_resolve($id, 'resend'), bw_resolve($id, 'failed'), bw_adopt($id, 'x'))"), 'f f f', 'nor is one that has ended');

# --- what is no id ---
$id = unknown('bw_order(ARRAY[\'' . ++$number . "'])");
is(sqlstate($node, "SELECT bw_adopt($id, '$_')"), '22023', "no order id: \"$_\"") foreach '', ' ', 'a b', '../sites', 'x?y', 'a' x 64;
is_declined($id, 'nonsense', 'Bandwidth does not know it', 'no order');
is_declined($id, 'N0n-sens_e', 'Bandwidth does not know it', 'nor this');
is(sql("SELECT bw_resolve($id, 'resend')"), 't', 'and then it is sent again');
wait_for_status($node, $id, 'COMPLETE');

# --- Bandwidth does not know an order that it took ---
$sandbox->config(order_delay_ms => 600000);
my %lost = map { $_ => order_id($node, ++$number, "name => '$_'") } qw(failed resend mistake adopt back);
wait_for_status($node, $_, 'RECEIVED') foreach values %lost;
$sandbox->fault(class => 'HISTORY', kind => 'status', status => 404, path => '/orders/' . field($lost{back}, 'bandwidth_order_id'));
wait_for_attention($lost{back});
$sandbox->clear_faults;
sql("SELECT bw_recheck($lost{back})");
wait_until(sub { field($lost{back}, 'attention') eq '' }, 'it knows it again');
is(sql("SELECT concat_ws(' ', bw_resolve($lost{back}, 'resend'), bw_resolve($lost{back}, 'failed'), bw_adopt($lost{back}, 'x'))"), 'f f f', 'and there is nothing to decide');
is(status_of($node, $lost{back}), 'RECEIVED', 'nor decided');

# as if nobody had ever ordered
$sandbox->reset;
$sandbox->config(order_delay_ms => 50);
foreach my $id (values %lost)
{
	sql("SELECT bw_recheck($id)");
	wait_for_attention($id);
	is(status_of($node, $id), 'RECEIVED', 'it stays RECEIVED');
}
is(sql("SELECT bw_resolve($lost{failed}, 'failed')"), 't', 'it is given up');
is(field($lost{failed}, "status || ' ' || (attention IS NULL)"), 'FAILED true', 'and FAILED');
is(sql("SELECT bw_resolve($lost{resend}, 'resend')"), 't', 'it is sent again');
wait_for_status($node, $lost{resend}, 'COMPLETE');
like(events($lost{resend}), qr/^SENDING, RECEIVED, UNKNOWN to be sent again, (RECEIVED, )?COMPLETE$/, 'as its events tell');
is_declined($lost{mistake}, theirs(9192050514), '.*TelephoneNumberList.*', 'lost, and other numbers');
is(sql("SELECT bw_resolve($lost{mistake}, 'failed')"), 't', 'then it is given up');
my ($mine) = numbers($lost{adopt}) =~ /^(\d+)/;
my $new = theirs($mine);
is(sql("SELECT bw_adopt($lost{adopt}, '$new')"), 't', 'another one is named');
wait_for_status($node, $lost{adopt}, 'COMPLETE');
is(field($lost{adopt}, 'bandwidth_order_id'), $new, 'and is the order');
is(sql("SELECT bandwidth_order_id FROM bw_requests WHERE id = " . field($lost{adopt}, 'request_id')), $new, 'also of the request');

$node->stop;
done_testing();

sub wait_for_attention
{
	my ($id) = @_;

	wait_until(sub { field($id, 'attention') eq 'Bandwidth does not know this order any more: decide with bw_resolve() or bw_adopt()' }, "order $id is lost");
	return;
}

sub posts_for
{
	my ($tn) = @_;

	return scalar grep { $_->{body} =~ /<TelephoneNumber>$tn</ } $sandbox->journal(class => 'ORDER', method => 'POST');
}

# The second one comes while the first one's transaction is open; what both say.
sub two_decide
{
	my ($id, $first, $second) = @_;
	my %call = (resend => "bw_resolve($id, 'resend')", failed => "bw_resolve($id, 'failed')", adopt => "bw_adopt($id, 'no-such-order')");
	my $a = $node->background_psql('postgres');
	my $b = $node->background_psql('postgres');
	my ($said, $verdict);

	$said = $a->query_safe("BEGIN; SELECT $call{$first}");
	ask($b, $id, $call{$second});
	$a->query_safe('COMMIT');
	$verdict = verdict($id);
	$a->quit;
	$b->quit;
	return ($said, $verdict);
}

# A call in another session, which has to wait; and what it says in the end.
sub ask
{
	my ($session, $id, $call) = @_;

	sql('CREATE TABLE IF NOT EXISTS verdicts (id bigint, verdict boolean)');
	$session->query_until(qr/asked/, "\\echo asked\nINSERT INTO verdicts SELECT $id, $call;\n");
	wait_until(sub { sql(q{SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ 'INTO verdicts'}) }, "$call waits");
	return;
}

sub verdict
{
	my ($id) = @_;

	wait_until(sub { sql("SELECT count(*) FROM verdicts WHERE id = $id") }, 'until the other one is done');
	return sql("SELECT verdict FROM verdicts WHERE id = $id");
}
