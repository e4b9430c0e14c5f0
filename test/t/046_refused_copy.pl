# A request whose reply was lost, and whose copy is refused: the lost one may
# have bought the numbers, whatever the refusal says.
use strict;
use warnings;

use BwTest;
use Test::More;

# No list shows an order in time, so that every request of unknown outcome is
# sent again.
my $sandbox = start_sandbox('order-delay' => 50);
my $node = bw_node('main', sandbox => $sandbox,
	server => { request_timeout => '5s', requests_per_minute => 1000000, burst => 1000000 },
	conf => [ "bandwidth.look_up_delays = '0.1,0.2'", "bandwidth.poll_schedule = '0.1,0.2,0.5'",
		"bandwidth.poll_interval = '1s'", "bandwidth.coalesce_delay = '100ms'" ]);
my $number = 9192700000;

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub posts { return $sandbox->journal_count(class => 'ORDER', method => 'POST'); }
sub field { my ($id, $what) = @_; return sql("SELECT $what FROM bw_orders WHERE id = $id"); }

sub look_up_delays
{
	my ($delays) = @_;

	sql("ALTER SYSTEM SET bandwidth.look_up_delays = '$delays'");
	$node->reload;
	return;
}

# The next POSTs meet these faults, one after the other.
sub next_posts
{
	my (@faults) = @_;

	$sandbox->reset;
	$sandbox->config(order_delay_ms => 50, list_lag_ms => 600000);
	$sandbox->fault(class => 'ORDER', method => 'POST', count => 1, %$_) foreach @faults;
	return;
}

# Orders for so many numbers in one request; returns the numbers.
sub order_together
{
	my ($count) = @_;
	my @numbers = map { ++$number } 1 .. $count;

	sql("SELECT bw_order(ARRAY[n]) FROM unnest(ARRAY['" . join("','", @numbers) . "']) AS n");
	return @numbers;
}

# What became of the orders for these numbers, and how often they were bought.
sub outcome
{
	my (@numbers) = @_;

	return sql("SELECT string_agg(concat_ws(' ', o.status, o.error_code), ', ' ORDER BY o.id) FROM bw_orders AS o JOIN bw_order_numbers AS n ON n.order_id = o.id WHERE n.telephone_number IN ('" . join("','", @numbers) . "')")
	  . ' | ' . join(' ', map { $sandbox->number($_)->{bought} } @numbers);
}

# --- a reservation, which the first copy used up ---
next_posts({ kind => 'drop_reply' });
my $held = sql("SELECT reservation_id FROM bw_reserve('" . ++$number . "')");
my $id = order_id($node, $number, "reservation_ids => ARRAY['$held']");
wait_for_all($node);
is(outcome($number), 'COMPLETE | 1', 'a reservation that the lost copy used up: the order is complete');
is(posts(), 2, 'sent twice');
is(field($id, 'error_text IS NULL AND attention IS NULL'), 't', 'and nothing is left to worry about');

# --- any other refusal ---
foreach my $code (qw(5999 5071 5005 5043))
{
	next_posts({ kind => 'drop_reply' }, { kind => 'refuse', code => $code });
	order_id($node, ++$number);
	wait_for_all($node);
	is(outcome($number), 'COMPLETE | 1', "the copy is refused with $code, the lost one bought it");
	next_posts({ kind => 'reset_before' }, { kind => 'refuse', code => $code });
	order_id($node, ++$number);
	wait_for_all($node);
	is(outcome($number), "REJECTED $code | 0", "the copy is refused with $code, the lost one did nothing");
	is(posts(), 2, 'and is not sent a third time');
}

# --- many numbers, one of which is somebody else's ---
next_posts({ kind => 'drop_reply' }, { kind => 'refuse', code => '5999' });
$sandbox->sell($number + 2);
$id = order_id($node, [ map { $number + $_ } 1 .. 5 ], 'partial_allowed => true');
wait_for_all($node);
is(field($id, "concat_ws(' ', status, completed_quantity, failed_quantity)"), 'PARTIAL 4 1', 'five numbers, one of which was gone');
$number += 5;

# --- a direct order: nobody can tell which numbers it bought ---
next_posts({ kind => 'drop_reply' }, { kind => 'refuse', code => '5999', text => 'Not today' });
$id = sql("SELECT DISTINCT id FROM bw_order_search(npanxx => '919204', direct => true)");
wait_until(sub { field($id, 'attention IS NOT NULL') eq 't' }, 'a direct order waits for a person');
is(sql("SELECT bw_resolve($id, 'resend')"), 't', 'who has it sent again');
wait_until(sub { field($id, 'attention') =~ /5999/ }, 'its copy is refused: a person decides again');
is(field($id, "concat_ws(' ', status, attention)"),
	'UNKNOWN Bandwidth refused the copy (5999: Not today) and shows no order for this request: decide with bw_resolve() or bw_adopt()', 'and knows why');
$sandbox->config(list_lag_ms => 0);
is(sql("SELECT bw_recheck($id)"), 't', 'it is asked for once more');
wait_for_all($node);
is(field($id, "concat_ws(' ', status, completed_quantity, error_code, error_text, attention)"), 'COMPLETE 1', 'a direct order that turns up late');

# --- sent again by hand while the lost copy is still under way ---
look_up_delays('0.1,4');
foreach my $case (
	[ 'is refused'     => { kind => 'refuse', code => '5999' } ],
	[ 'ends in vain' ])
{
	my ($name, @faults) = @$case;

	next_posts({ kind => 'drop_reply' }, @faults);
	$sandbox->config(order_delay_ms => 2000);
	$id = order_id($node, ++$number);
	wait_for_status($node, $id, 'UNKNOWN');
	$sandbox->config(order_delay_ms => 50);
	is(sql("SELECT bw_resolve($id, 'resend')"), 't', 'sent again at once');
	wait_for_all($node);
	is(outcome($number), 'COMPLETE | 1', "the copy $name before the lost one has ended");
	is(posts(), 2, 'sent twice');
}

# --- an old refusal says nothing about a newer copy ---
look_up_delays('0.1,0.2');
next_posts({ kind => 'reset_before' }, { kind => 'refuse', code => '5999' }, { kind => 'drop_reply' });
$sandbox->fault(class => 'HISTORY', kind => 'status', status => 500);
$id = order_id($node, ++$number);
wait_for_status($node, $id, 'UNKNOWN');
sql("SELECT bw_resolve($id, 'resend')");
wait_until(sub { field($id, 'error_code') eq '5999' }, 'the second copy was refused');
sql("SELECT bw_resolve($id, 'resend')");
wait_until(sub { posts() == 3 }, 'the third one is lost');
$sandbox->clear_faults;
wait_for_all($node);
is(outcome($number), 'COMPLETE | 1', 'and bought it');

# --- a shared request: the lost copy bought all ---
foreach my $code (qw(5071 5005 5999))
{
	next_posts({ kind => 'drop_reply' }, { kind => 'refuse', code => $code });
	my @numbers = order_together(3);
	wait_for_all($node);
	is(outcome(@numbers), 'COMPLETE, COMPLETE, COMPLETE | 1 1 1', "a shared request whose copy is refused with $code, the lost one bought all");
	is(posts(), 2, 'sent twice');
}

# --- the refusal names a number, which the lost copy bought ---
next_posts({ kind => 'drop_reply' });
$sandbox->fault(class => 'HISTORY', kind => 'status', status => 500);
my @numbers = order_together(3);
wait_until(sub { outcome(@numbers) eq 'UNKNOWN, UNKNOWN, UNKNOWN | 1 1 1' }, 'the reply is lost');
$sandbox->control('spoil', tn => $numbers[1], named => 1);
sql("SELECT bw_resolve(max(id), 'resend') FROM bw_orders");
wait_until(sub { posts() == 2 }, 'sent again');
$sandbox->clear_faults;
wait_for_all($node);
is(outcome(@numbers), 'COMPLETE, COMPLETE, COMPLETE | 1 1 1', 'a number that the refusal names was bought by the lost copy');

# --- the lost copy did nothing ---
foreach my $code (qw(5071 5005))
{
	next_posts({ kind => 'reset_before' }, { kind => 'refuse', code => $code });
	@numbers = order_together(3);
	wait_for_all($node);
	is(outcome(@numbers), 'COMPLETE, COMPLETE, COMPLETE | 1 1 1', "a shared request whose copy is refused with $code, the lost one did nothing");
	is(posts(), 4, 'it was split');
}
next_posts({ kind => 'reset_before' });
$sandbox->control('spoil', tn => $number + 2, named => 1);
@numbers = order_together(3);
wait_for_all($node);
is(outcome(@numbers), 'COMPLETE, REJECTED 5071, COMPLETE | 1 0 1', 'a bad number costs its own order');

# --- and then a part is lost, too ---
next_posts({ kind => 'reset_before' }, { kind => 'refuse', code => '5071' }, { kind => 'drop_reply' }, { kind => 'drop_reply' }, { kind => 'refuse', code => '5071' });
@numbers = order_together(4);
wait_for_all($node);
is(outcome(@numbers), 'COMPLETE, COMPLETE, COMPLETE, COMPLETE | 1 1 1 1', 'parts whose replies are lost, and whose copies are refused');

$node->stop;
done_testing();
