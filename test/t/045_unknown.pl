# Orders whose POST has an unknown outcome: looked up, adopted, sent again.
use strict;
use warnings;

use BwTest;
use Test::More;

my $sandbox = start_sandbox('order-delay' => 50);
my $node = bw_node('main', sandbox => $sandbox,
	server => { request_timeout => '1s', requests_per_minute => 1000000, burst => 1000000 },
	conf => [ "bandwidth.look_up_delays = '0.1,0.2'", "bandwidth.poll_schedule = '0.1,0.2,0.5'" ]);
my $number = 9192100000;

sub posts
{
	return $sandbox->journal_count(class => 'ORDER', method => 'POST');
}

sub field
{
	my ($id, $what) = @_;

	return $node->safe_psql('postgres', "SELECT $what FROM bw_orders WHERE id = $id");
}

# Order one number while a fault waits for its POST.
sub order_with_fault
{
	my (%fault) = @_;

	$sandbox->reset;
	$sandbox->config(order_delay_ms => 50);
	$sandbox->fault(class => 'ORDER', method => 'POST', count => 1, %fault);
	my $id = order_id($node, ++$number);
	wait_for_all($node);
	return $id;
}

# --- executed, but we do not know: one POST, adopted ---
foreach my $fault (
	[ 'reply lost'            => { kind => 'drop_reply' } ],
	[ 'reset after'           => { kind => 'reset_after' } ],
	[ '500 after storing'     => { kind => 'status_after', status => 500 } ],
	[ '502 after storing'     => { kind => 'status_after', status => 502 } ],
	[ '400 without a code'    => { kind => 'status_after', status => 400 } ],
	[ 'silence after storing' => { kind => 'hang_after' } ])
{
	my ($name, $options) = @$fault;
	my $id = order_with_fault(%$options);

	is(field($id, 'status'), 'COMPLETE', "$name: the order is found and completes");
	is(posts(), 1, "$name: one POST");
	is($node->safe_psql('postgres', "SELECT source FROM bw_order_events WHERE order_id = $id AND status <> 'SENDING' ORDER BY id OFFSET 1 LIMIT 1"),
		'look-up', "$name: by a look-up");
	is(field($id, 'error_text IS NULL AND attention IS NULL'), 't', "$name: and nothing is left to worry about");
}

# --- not executed, but we do not know: the same request again ---
foreach my $fault (
	[ 'reset before'       => { kind => 'reset_before' } ],
	[ '500 before storing' => { kind => 'status', status => 500 } ],
	[ '5086'               => { kind => 'code_5086' } ],
	[ 'redirect'           => { kind => 'redirect' } ],
	[ 'silence'            => { kind => 'hang' } ])
{
	my ($name, $options) = @$fault;
	my $id = order_with_fault(%$options);
	my @posts = $sandbox->journal(class => 'ORDER', method => 'POST');

	is(field($id, 'status'), 'COMPLETE', "$name: the order is sent again and completes");
	is(scalar @posts, 2, "$name: two POSTs");
	is($posts[0]->{body}, $posts[1]->{body}, "$name: the same to the byte");
	is($node->safe_psql('postgres', "SELECT attempts FROM bw_requests WHERE members @> ARRAY[$id]::bigint[]"), 2, "$name: two attempts of one request");
}

# --- certainly not executed: back to the queue, no look-up ---
foreach my $fault ([ '429' => { kind => 'rate_limit', retry_after_s => 1 } ])
{
	my ($name, $options) = @$fault;
	my $id = order_with_fault(%$options);

	is(field($id, 'status'), 'COMPLETE', "$name: sent later");
	is($sandbox->journal_count(class => 'HISTORY', query => 'customerOrderId'), 0, "$name: without a look-up");
}

# --- an order of somebody else with the same CustomerOrderId ---
$sandbox->reset;
$sandbox->post_order(customer_order_id => 'shared id', numbers => ['9192199999']);
$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'reset_before', count => 1);
my $id = order_id($node, ++$number, "customer_order_id => 'shared id'");
wait_for_all($node);
is(field($id, 'status'), 'COMPLETE', 'with a stranger of the same CustomerOrderId');
is($node->safe_psql('postgres', "SELECT telephone_number || ' ' || status FROM bw_order_numbers WHERE order_id = $id"),
	"$number COMPLETE", 'an order for other numbers is not adopted');
is(posts(), 3, 'ours was sent again');

# --- the copy that was lost turns up late ---
$sandbox->reset;
$sandbox->config(order_delay_ms => 50, list_lag_ms => 60000);
$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'drop_reply', count => 1);
$id = order_id($node, ++$number);
wait_for_all($node);
is(field($id, 'status'), 'COMPLETE', 'a list that lags: the second copy finds the number taken, by the first');
is(posts(), 2, 'sent twice');
is($sandbox->number($number)->{bought}, 1, 'bought once');

# --- a list that ignores the filter, and has many pages ---
$sandbox->reset;
$sandbox->config(order_delay_ms => 50, list_lag_ms => 0, list_max => 10);
$sandbox->post_order(customer_order_id => "stranger $_", numbers => [ 9192199900 + $_ ]) for 1 .. 25;
$sandbox->clear_journal;
$sandbox->fault(class => 'HISTORY', method => 'GET', kind => 'ignore_filter');
$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'drop_reply', count => 1);
$id = order_id($node, ++$number);
wait_for_all($node);
is(field($id, 'status'), 'COMPLETE', 'a list that ignores the filter is read to the end');
is(posts(), 1, 'and the order found there is not sent again');
cmp_ok($sandbox->journal_count(class => 'HISTORY', query => 'customerOrderId'), '>=', 1, 'the filter was asked for');
$sandbox->clear_faults;
$sandbox->config(list_max => 1000);

# --- many numbers ---
$sandbox->reset;
$sandbox->config(order_delay_ms => 50, list_lag_ms => 60000);
$sandbox->sell($number + 2);
$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'drop_reply', count => 1);
$id = order_id($node, [ map { $number + $_ } 1 .. 5 ], 'partial_allowed => true');
wait_for_all($node);
is(field($id, "status || ' ' || completed_quantity || ' ' || failed_quantity"), 'PARTIAL 4 1', 'the same with five numbers, one of which is somebody else\'s');
is($node->safe_psql('postgres', "SELECT string_agg(telephone_number, ',') FROM bw_order_numbers WHERE order_id = $id AND status = 'FAILED'"), $number + 2, 'and only that one failed');

$node->stop;
done_testing();
