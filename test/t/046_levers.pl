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
like(events($id), qr/^SENDING, UNKNOWN[^,]*, UNKNOWN to be adopted: $other, UNKNOWN to be adopted: [^,]+, UNKNOWN to be adopted: $right, COMPLETE$/, 'as its events tell');

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

$node->stop;
done_testing();
