# Replies that come when their orders are looked up already, or while somebody has
# locked one of them; two orders for one direct request; orders that are gone.
use strict;
use warnings;

use BwTest;
use Test::More;

my $sandbox = start_sandbox('order-delay' => 50);
my $node = bw_node('main', sandbox => $sandbox,
	server => { requests_per_minute => 1000000, burst => 1000000 },
	conf => [ "bandwidth.look_up_delays = '0.1,0.2'", "bandwidth.poll_schedule = '0.1,0.2,0.5'",
		"bandwidth.poll_interval = '1s'", "bandwidth.coalesce_delay = '100ms'" ]);
my $number = 9192700000;

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub posts { return $sandbox->journal_count(class => 'ORDER', method => 'POST'); }
sub statuses { return sql('SELECT string_agg(status, \' \' ORDER BY id) FROM bw_orders WHERE id IN (' . join(',', @_) . ')'); }
sub spent { return sql("SELECT sum(numbers) FROM bw_spending"); }
sub bought { return join ' ', map { $sandbox->number($_)->{bought} } @_; }

# The next POSTs meet these faults, one after the other.
sub next_posts
{
	my (@faults) = @_;

	$sandbox->reset;
	sql('DELETE FROM bw_spending');
	$sandbox->config(order_delay_ms => 50);
	$sandbox->fault(class => 'ORDER', method => 'POST', count => 1, %$_) foreach @faults;
	return;
}

sub look_up_delays
{
	sql("ALTER SYSTEM SET bandwidth.look_up_delays = '$_[0]'");
	$node->reload;
	return;
}

# Two orders in one request; ids and numbers.
sub two_together
{
	my @numbers = map { ++$number } 1 .. 2;
	my @ids = split /\n/, sql("SELECT id FROM unnest(ARRAY['$numbers[0]','$numbers[1]']) AS n, bw_order(ARRAY[n]) ORDER BY id");

	wait_until(sub { statuses(@ids) eq 'SENDING SENDING' }, 'two orders are on their way');
	return (\@ids, \@numbers);
}

# Something that holds the row of an order.
sub lock_row
{
	my ($id) = @_;
	my $session = $node->background_psql('postgres');

	$session->query_safe("BEGIN; SELECT FROM bw_orders WHERE id = $id FOR UPDATE");
	return $session;
}

# --- the look-up begins before the reply comes ---
look_up_delays('600,600,600');
next_posts({ kind => 'rate_limit', retry_after_s => 1, delay_ms => 3000 });
my $id = order_id($node, ++$number);
wait_for_status($node, $id, 'SENDING');
sql("UPDATE bw_open_requests SET due_at = '-infinity'");
wait_for_status($node, order_id($node, $number + 1), 'COMPLETE');
wait_for_status($node, $id, 'UNKNOWN');
wait_until(sub { sql("SELECT sum(later) FROM bw_stat_requests") eq '1' }, 'then the reply comes: not now');
is(sql('SELECT step FROM bw_open_requests'), 'look_up', 'the order is looked up as before');
is(spent(), 2, 'and counts');
look_up_delays('0.1,0.2');
sql("SELECT bw_recheck($id)");
wait_for_all($node);
is(statuses($id) . ' ' . bought($number++), 'COMPLETE 1', 'then it is sent again');

# --- not now, while somebody holds one of two orders ---
next_posts({ kind => 'rate_limit', retry_after_s => 1, delay_ms => 1500 });
my ($ids, $numbers) = two_together();
my $session = lock_row($ids->[1]);
wait_until(sub { statuses(@$ids) eq 'UNKNOWN SENDING' }, 'not now, while one of two orders is locked: neither goes back');
is(spent(), 2, 'and both count');
$session->quit;
wait_for_all($node);
is(statuses(@$ids) . ' ' . bought(@$numbers), 'COMPLETE COMPLETE 1 1', 'they are sent again together');
is(posts(), 2, 'once');

# --- refused, while somebody holds one of two orders ---
next_posts({ kind => 'refuse', code => '5999', delay_ms => 1500 });
($ids, $numbers) = two_together();
$session = lock_row($ids->[1]);
wait_until(sub { statuses(@$ids) eq 'UNKNOWN SENDING' }, 'refused, while one of two orders is locked: neither ends');
$session->quit;
wait_for_all($node);
is(statuses(@$ids) . ' ' . bought(@$numbers), 'REJECTED REJECTED 0 0', 'both end when it is free');
is(sql("SELECT string_agg(error_code, ' ') FROM bw_orders WHERE id IN ($ids->[0], $ids->[1])"), '5999 5999', 'with the code');
is(posts(), 1, 'and nothing is sent again');

# --- a direct order that a person had sent again, and both were carried out ---
next_posts({ kind => 'drop_reply' }, { kind => 'drop_reply' });
$sandbox->config(list_lag_ms => 600000);
$id = sql("SELECT DISTINCT id FROM bw_order_search(npanxx => '919204', direct => true)");
wait_until(sub { sql("SELECT attention IS NOT NULL FROM bw_orders WHERE id = $id") eq 't' }, 'a direct order is not found');
is(sql("SELECT bw_resolve($id, 'resend')"), 't', 'it is sent again');
wait_until(sub { posts() == 2 && statuses($id) eq 'UNKNOWN' }, 'and lost again');
$sandbox->config(list_lag_ms => 0);
sql("SELECT bw_recheck($id)");
wait_for_all($node);
is(sql("SELECT concat_ws(' ', status, completed_quantity, failed_quantity, warning) FROM bw_orders WHERE id = $id"),
	'COMPLETE 2 0 Bandwidth has 2 orders for this request', 'both turn up');
is(sql("SELECT count(*) FROM bw_order_numbers WHERE order_id = $id AND status = 'COMPLETE'"), 2, 'and the numbers of both are recorded');

# --- a look-up that began before the copy was sent says nothing about the copy ---
look_up_delays('600,600,600');
next_posts({ kind => 'drop_reply' });
$id = sql("SELECT DISTINCT id FROM bw_order_search(npanxx => '919204', direct => true)");
wait_for_status($node, $id, 'UNKNOWN');
$sandbox->fault(class => 'HISTORY', method => 'GET', path => '/orders/', kind => 'delay', delay_ms => 2000, count => 1);
sql("SELECT bw_recheck($id)");
wait_until(sub { $sandbox->journal_count(class => 'HISTORY', path => '/orders/') }, 'a direct order is found, and is being read');
is(sql("SELECT bw_resolve($id, 'resend')"), 't', 'meanwhile a person has it sent again');
wait_for_all($node);
is(sql("SELECT concat_ws(' ', status, completed_quantity, failed_quantity, warning) FROM bw_orders WHERE id = $id"),
	'COMPLETE 2 0 Bandwidth has 2 orders for this request', 'the order ends with both');
is(sql("SELECT count(*) FROM bw_order_numbers WHERE order_id = $id AND status = 'COMPLETE'"), 2, 'and the numbers of both are recorded');

# nor does it end the wait for the reply to the copy
next_posts({ kind => 'drop_reply' }, { kind => 'delay', delay_ms => 5000 });
$id = order_id($node, ++$number);
wait_for_status($node, $id, 'UNKNOWN');
$sandbox->fault(class => 'HISTORY', method => 'GET', path => '/orders/', kind => 'status', delay_ms => 1500, count => 1);
sql("SELECT bw_recheck($id)");
wait_until(sub { $sandbox->journal_count(class => 'HISTORY', path => '/orders/') }, 'an order is found, and is being read');
is(sql("SELECT bw_resolve($id, 'resend')"), 't', 'meanwhile it is sent again');
wait_until(sub { sql("SELECT candidates <> '{}' FROM bw_open_requests") eq 't' }, 'it could not be read, and is remembered');
is(sql("SELECT step || ' ' || (due_at > now() + interval '10 s') FROM bw_open_requests"), 'sent true', 'the reply to the copy is waited for');
wait_for_all($node);
is(statuses($id) . ' ' . bought($number), 'COMPLETE 1', 'and both are read');

# --- pruned, while somebody holds the other order of its request ---
next_posts({ kind => 'delay', delay_ms => 1500 });
($ids, $numbers) = two_together();
$session = lock_row($ids->[1]);
wait_until(sub { statuses(@$ids) eq 'COMPLETE SENDING' }, 'one of two orders is complete, the other one locked');
sql('CALL bw_prune(now())');
$session->quit;
wait_for_all($node);
is(statuses(@$ids), 'COMPLETE COMPLETE', 'what has ended is kept while its request has not');
wait_until(sub { sql('SELECT count(*) FROM bw_open_requests') eq '0' }, 'which then ends, too');

# --- orders that somebody deleted ---
look_up_delays('600,600,600');
next_posts({ kind => 'reset_before' });
$id = order_id($node, ++$number);
wait_for_status($node, $id, 'UNKNOWN');
wait_until(sub { sql("SELECT due_at > now() + interval '60 s' FROM bw_open_requests") eq 't' && sql('SELECT in_flight FROM bw_stat_worker') eq '0' }, 'it was looked up');
my $pid = worker_pid($node);
sql("DELETE FROM bw_orders WHERE id = $id; UPDATE bw_open_requests SET step = 'resend', due_at = '-infinity'");
my $other = order_id($node, ++$number);
wait_for_status($node, $other, 'COMPLETE');
wait_until(sub { sql("SELECT due_at > now() + interval '30 s' FROM bw_open_requests WHERE step = 'resend'") eq 't' }, 'a request whose orders are gone is put off');
is(posts(), 2, 'and not sent');
is(worker_pid($node), $pid, 'and does the worker no harm');

$node->stop;
done_testing();
