# Disconnects whose POST has an unknown outcome, that meet limits and pauses, in
# copies of the database, and whose worker dies: each number is given back once.
use strict;
use warnings;

use BwTest;
use Test::More;

my $port = free_port();
my $sandbox = start_sandbox('order-delay' => 50);
my $node = bw_node('main', sandbox => $sandbox,
	server => {
		request_timeout => '1s', requests_per_minute => 1000000, burst => 1000000,
		allow_disconnect => 'true', release_after => '0', max_disconnects_per_day => 100000,
		callback_url => "http://127.0.0.1:$port/bandwidth" },
	conf => [ "bandwidth.look_up_delays = '0.1,0.2'", "bandwidth.poll_schedule = '0.1,0.2,0.5'", "bandwidth.listen_port = $port", 'restart_after_crash = on' ]);
my $number = 9192460000;

sub sql { my ($query, $database) = @_; return $node->safe_psql($database // 'postgres', $query); }
sub posts { return $sandbox->journal_count(class => 'DISCONNECT', method => 'POST'); }
sub field { my ($id, $what, $database) = @_; return sql("SELECT $what FROM bw_orders WHERE id = $id", $database); }

# Numbers of ours.
sub buy
{
	my ($count) = @_;
	my @numbers = map { ++$number } 1 .. $count;

	order_id($node, \@numbers);
	wait_for_all($node);
	return @numbers;
}

sub disconnect
{
	my (@numbers) = @_;
	my $list = join ', ', map { "'$_'" } @numbers;

	return sql("SELECT DISTINCT id FROM bw_disconnect(ARRAY[$list])");
}

# Give back one number while a fault waits for the POST.
sub disconnect_with_fault
{
	my (%fault) = @_;
	my ($tn) = buy(1);

	$sandbox->clear_journal;
	$sandbox->fault(class => 'DISCONNECT', method => 'POST', count => 1, %fault);
	my $id = disconnect($tn);
	wait_for_all($node);
	return ($id, $tn);
}

# How many disconnects there are at Bandwidth, for this number.
sub disconnects_of
{
	my ($tn) = @_;

	return grep { ($_->{kind} // '') eq 'disconnect' && grep { $_ eq $tn } @{ $_->{completed} } } $sandbox->orders;
}

# --- executed, but we do not know: one POST, found in the list by date ---
foreach my $fault (
	[ 'reply lost'            => { kind => 'drop_reply' } ],
	[ '500 after storing'     => { kind => 'status_after', status => 500 } ],
	[ 'silence after storing' => { kind => 'hang_after' } ])
{
	my ($name, $options) = @$fault;
	my ($id, $tn) = disconnect_with_fault(%$options);

	is(field($id, 'status'), 'COMPLETE', "$name: the disconnect is found and completes");
	is(posts(), 1, "$name: one POST");
	is(scalar(disconnects_of($tn)), 1, "$name: one disconnect");
	like((($sandbox->journal(class => 'HISTORY', path => '/disconnects'))[0])->{query}, qr/page=1&size=\d+&startdate=.*&enddate=/, "$name: by the list of disconnects");
}

# --- not executed, but we do not know: the same request again ---
foreach my $fault (
	[ 'reset before'       => { kind => 'reset_before' } ],
	[ '500 before storing' => { kind => 'status', status => 500 } ])
{
	my ($name, $options) = @$fault;
	my ($id, $tn) = disconnect_with_fault(%$options);
	my @posts = $sandbox->journal(class => 'DISCONNECT', method => 'POST');

	is(field($id, 'status'), 'COMPLETE', "$name: the disconnect is sent again and completes");
	is(scalar @posts, 2, "$name: two POSTs");
	is($posts[0]->{body}, $posts[1]->{body}, "$name: the same to the byte");
	is(scalar(disconnects_of($tn)), 1, "$name: one disconnect");
}

# --- certainly not executed: back to the queue ---
my ($id) = disconnect_with_fault(kind => 'rate_limit', retry_after_s => 1);
is(field($id, 'status'), 'COMPLETE', 'rate limit: sent later');
is($sandbox->journal_count(class => 'HISTORY', path => '/disconnects', query => 'startdate'), 0, 'without a look-up');
($id) = do
{
	my ($tn) = buy(1);

	$sandbox->fault(class => 'DISCONNECT', method => 'POST', kind => 'status', status => 403, count => 1);
	my $paused = disconnect($tn);
	wait_until(sub { sql("SELECT count(*) FROM bw_open_orders WHERE waiting_for LIKE 'the end of a pause%'") eq '1' }, '403: paused');
	sql('SELECT bw_resume()');
	wait_for_all($node);
	($paused);
};
is(field($id, 'status'), 'COMPLETE', '403: sent after the pause');

# --- the copy that was lost turns up late ---
$sandbox->config(list_lag_ms => 60000);
my $late_tn;
($id, $late_tn) = disconnect_with_fault(kind => 'drop_reply');
is(field($id, 'status'), 'COMPLETE', 'a list that lags: the second copy finds the number gone, by the first');
is(posts(), 2, 'sent twice');
is(scalar(disconnects_of($late_tn)), 1, 'disconnected once');
$sandbox->config(list_lag_ms => 0);

# --- a disconnect of somebody else is not adopted, and the list has pages ---
$sandbox->config(list_max => 2);
($id) = disconnect_with_fault(kind => 'drop_reply');
is(field($id, 'status'), 'COMPLETE', 'a list of many pages is read until ours is found');
is(posts(), 1, 'and nothing sent again');
$sandbox->config(list_max => 1000);

# --- the worker is ended while the POST is under way ---
foreach my $how ('SIGKILL', 'pg_terminate_backend')
{
	my ($tn) = buy(1);

	$sandbox->clear_journal;
	$sandbox->fault(class => 'DISCONNECT', method => 'POST', kind => 'hang_after', count => 1);
	$id = disconnect($tn);
	wait_until(sub { posts() == 1 }, "$how: the POST is under way");
	my $pid = worker_pid($node);
	$how eq 'SIGKILL' ? kill('KILL', $pid) : sql("SELECT pg_terminate_backend($pid)");
	wait_for_all($node);
	is(field($id, 'status'), 'COMPLETE', "$how: the next worker finds it");
	is(scalar(disconnects_of($tn)), 1, "$how: one disconnect");
	is(posts(), 1, "$how: one POST");
}

# --- callbacks of disconnects ---
sql("SELECT bw_subscribe(url => 'http://127.0.0.1:$port/disconnects', order_type => 'disconnects')");
wait_until(sub { sql("SELECT count(*) FROM bw_subscriptions WHERE state = 'ACTIVE' AND order_type = 'disconnects'") eq '1' }, 'disconnects are subscribed to');
$sandbox->fault(class => 'HISTORY', kind => 'status', status => 503);
$id = disconnect(my ($called) = buy_by_callback());
wait_for_status($node, $id, 'COMPLETE');
is(sql("SELECT source FROM bw_order_events WHERE order_id = $id AND status = 'COMPLETE'"), 'callback', 'a callback ends a disconnect');
$sandbox->clear_faults;

# A number of ours, although nothing can be polled.
sub buy_by_callback
{
	my $tn = ++$number;

	wait_for_status($node, order_id($node, $tn), 'COMPLETE');
	return $tn;
}

# --- a copy that takes over finds what the original sent ---
sql("ALTER SERVER bandwidth OPTIONS (SET release_after '1 day')");
my ($sent_tn, $unsent_tn) = buy(2);
my $sent   = disconnect($sent_tn);
my $unsent = disconnect($unsent_tn);
$node->poll_query_until('template1', 'SELECT true');
sql('CREATE DATABASE copy TEMPLATE postgres', 'template1');
sql("SELECT bw_approve($sent)");
wait_for_status($node, $sent, 'COMPLETE');
$sandbox->clear_journal;
is(sql("SELECT bw_take_over('look_up')", 'copy'), 't', 'a copy takes over');
wait_until(sub { field($sent, 'status', 'copy') eq 'COMPLETE' }, 'what the original sent is found, before its time');
is(field($unsent, 'status', 'copy'), 'HELD', 'what it did not waits for its time');
is(posts(), 0, 'and nothing is sent');
is(scalar(disconnects_of($sent_tn)), 1, 'one disconnect');
sql('DROP DATABASE copy WITH (FORCE)', 'template1');

# --- forbidden while the worker is about to look at the queue ---
sql("ALTER SERVER bandwidth OPTIONS (SET release_after '0')");
sql("SELECT bw_cancel($unsent)");
my ($kept_tn) = buy(1);
sql("SELECT bw_pause(reason => 'to think')");
my $forbidden = disconnect($kept_tn);
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; LOCK TABLE bw_order_numbers IN ACCESS EXCLUSIVE MODE');
sql('SELECT bw_resume()');
# It has read the options, and not yet the queue.
wait_until_stuck($node, 'bw_order_numbers');
sql("ALTER SERVER bandwidth OPTIONS (SET allow_disconnect 'false')");
$holder->query_safe('COMMIT');
$holder->quit;
wait_for_status($node, $forbidden, 'REJECTED');
is(scalar(disconnects_of($kept_tn)), 0, 'the number stays');

$node->stop;
done_testing();
