# Failover, point-in-time recovery, logical subscribers, standbys: whatever a
# server knows of its orders, each of them is bought once.
use strict;
use warnings;

use BwTest;
use Test::More;
use Time::HiRes qw(time);

my $sandbox = start_sandbox('order-delay' => 50);
my @conf = (
	"bandwidth.look_up_delays = '0.1,0.2'", "bandwidth.poll_schedule = '0.1,0.2,0.5'",
	"bandwidth.poll_interval = '1s'",       "bandwidth.coalesce_delay = '100ms'",
	"wal_receiver_status_interval = '1s'");
my %account = (
	sandbox => $sandbox,
	server  => { requests_per_minute => 1000000, burst => 1000000, max_numbers_per_day => 100000 });

# An order that is looked at later:
#   id      of its row
#   prefix  its telephone numbers begin like this, and nobody else's do
#   status  how it is to end, with how many numbers
sub expect
{
	my ($name, $id, $prefix, $status, $numbers) = @_;

	return { name => $name, id => $id, prefix => $prefix, status => $status, numbers => $numbers };
}

# POSTs of orders that were neither refused nor put off.
sub accepted_posts
{
	return grep { $_->{status} != 400 && $_->{status} != 429 } $sandbox->journal(class => 'ORDER', method => 'POST');
}

# How many of them (or of those given) name the prefix.
sub posts_for
{
	my ($prefix, @posts) = @_;

	@posts = accepted_posts() unless @posts;
	return scalar grep { $_->{body} =~ m{<(?:TelephoneNumber|NpaNxx)>$prefix} } @posts;
}

# Lists of all orders that the sandbox was asked for.
sub lists
{
	my (%filters) = @_;

	return grep { $_->{path} =~ m{/orders$} && $_->{query} !~ /customerOrderId/ }
	  $sandbox->journal(class => 'HISTORY', method => 'GET', %filters);
}

# Number of the last request that the sandbox saw.
sub last_request
{
	my @journal = $sandbox->journal;

	return @journal ? $journal[-1]{seq} : 0;
}

# What Bandwidth sold, and what the rows say: these have to agree.
sub ends_well
{
	my ($node, @orders) = @_;
	my @theirs = $sandbox->orders;
	my @posts = accepted_posts();
	my %rows = map { my @f = split /\|/, $_, -1; ($f[0] => \@f) } split /\n/,
	  $node->safe_psql('postgres', q{
		SELECT o.id, o.status, o.bandwidth_order_id,
		       count(n.telephone_number) FILTER (WHERE n.status = 'COMPLETE'),
		       string_agg(n.telephone_number, ',' ORDER BY n.telephone_number)
		           FILTER (WHERE n.status = 'COMPLETE')
		  FROM bw_orders AS o LEFT JOIN bw_order_numbers AS n ON n.order_id = o.id
		 GROUP BY o.id});

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	foreach my $order (@orders)
	{
		my (undef, $status, $bound, $count, $numbers) = @{ $rows{ $order->{id} } };
		my %sold;
		my %by;

		foreach my $their (@theirs)
		{
			foreach my $number (grep { /^$order->{prefix}/ } @{ $their->{completed} })
			{
				$sold{$number} = 1;
				$by{ $their->{id} } = 1;
			}
		}
		is( "$status, $count numbers, " . posts_for($order->{prefix}, @posts) . ' POST; sold ' . keys(%sold) . ': '
			  . join(',', sort keys %sold) . ' by ' . join(',', sort keys %by),
			"$order->{status}, $order->{numbers} numbers, " . ($order->{status} eq 'REJECTED' ? 0 : 1)
			  . " POST; sold $order->{numbers}: $numbers by " . ($order->{numbers} > 0 ? $bound : ''),
			"$order->{name}: bought once, as the row says");
	}
	return;
}

# Orders of all kinds, which no worker sends yet; 919-PREFIX... is free.
sub order_all_kinds
{
	my ($node, $prefix) = @_;
	my $number = "919${prefix}0000";
	my $id = sub { return $node->safe_psql('postgres', "SELECT DISTINCT id FROM $_[0]") };
	my @orders;
	my $add = sub {
		my ($name, $first, $call, $status, $numbers) = @_;
		push @orders, expect($name, $id->($call), $first, $status, $numbers);
	};

	# others have some of these numbers
	$sandbox->sell($_) foreach $number + 12, $number + 24;
	$add->('a request of its own', $number + 1, "bw_order(ARRAY['" . ($number + 1) . "'], name => 'own')", 'COMPLETE', 1);
	$add->('the user\'s own id', $number + 2, "bw_order(ARRAY['" . ($number + 2) . "'], customer_order_id => 'user $prefix')", 'COMPLETE', 1);
	$add->('several numbers', substr($number + 10, 0, 9),
		"bw_order(ARRAY['" . join("','", map { $number + $_ } 10 .. 13) . "'], partial_allowed => true)", 'PARTIAL', 3);
	foreach my $n (20 .. 25)
	{
		$add->("shared request, number $n", $number + $n, "bw_order(ARRAY['" . ($number + $n) . "'])",
			$n == 24 ? ('FAILED', 0) : ('COMPLETE', 1));
	}
	$prefix++;
	$add->('criteria, the user\'s own id', "919$prefix", "bw_order_search(npanxx => '919$prefix', customer_order_id => 'user $prefix')", 'COMPLETE', 1);
	$prefix++;
	$add->('criteria', "919$prefix", "bw_order_search(npanxx => '919$prefix', quantity => 2)", 'COMPLETE', 2);
	$prefix++;
	$add->('criteria, direct', "919$prefix", "bw_order_search(npanxx => '919$prefix', quantity => 2, direct => true)", 'COMPLETE', 2);
	$prefix += 3;
	$sandbox->control('sell', prefix => "919$prefix", every => 1);
	$sandbox->restock("919${prefix}0004");
	$add->('criteria, fewer than wanted', "919$prefix", "bw_order_search(npanxx => '919$prefix', quantity => 3, partial_allowed => true)", 'PARTIAL', 1);
	return @orders;
}

# A shared request that is refused because of one number, and sent in parts.
sub order_parts
{
	my ($node, $prefix) = @_;
	my @orders;

	foreach my $number (map { "919${prefix}003$_" } 0 .. 3)
	{
		push @orders, expect("parts of a request, number $number", order_id($node, $number, "site_id => '13606'"), $number,
			$number =~ /2$/ ? ('REJECTED', 0) : ('COMPLETE', 1));
	}
	$sandbox->control('spoil', tn => "919${prefix}0032");
	return @orders;
}

# Orders through a second server of the same account, which will be paused
# where they were made: nobody ever sent them.
sub order_unsent
{
	my ($node, $prefix) = @_;
	my $number = "919${prefix}0500";
	my $id = sub { return $node->safe_psql('postgres', "SELECT DISTINCT id FROM $_[0]") };
	my @orders;

	push @orders, expect('never sent', $id->("bw_order(ARRAY['" . ($number + 1) . "'], name => 'unsent', server => 'later')"), $number + 1, 'COMPLETE', 1);
	foreach my $n (2 .. 4)
	{
		push @orders, expect("never sent, shared, number $n", $id->("bw_order(ARRAY['" . ($number + $n) . "'], server => 'later')"), $number + $n, 'COMPLETE', 1);
	}
	$prefix += 4;
	push @orders, expect('never sent, criteria', $id->("bw_order_search(npanxx => '919$prefix', quantity => 2, server => 'later')"), "919$prefix", 'COMPLETE', 2);
	$prefix++;
	push @orders, expect('never sent, direct', $id->("bw_order_search(npanxx => '919$prefix', quantity => 2, direct => true, server => 'later')"), "919$prefix", 'COMPLETE', 2);
	return @orders;
}

# Until everything is final that goes through the first server.
sub wait_for_sent
{
	my ($node) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_until(
		sub {
			$node->safe_psql('postgres',
				"SELECT count(*) FROM bw_orders WHERE NOT is_final AND server = 'bandwidth'") eq '0';
		},
		'the old server has sent its orders');
}

# What is done leaves the work lists.
sub nothing_is_left
{
	my ($node, $name) = @_;
	my $lists = join(' UNION ALL ', map { "SELECT format('%s: %s', '$_', w) FROM $_ AS w" } qw(bw_queue bw_held bw_open_requests bw_doubts));
	my $left;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_until(sub { ($left = $node->safe_psql('postgres', $lists)) eq '' }, "$name: the work lists become empty")
	  or diag($left);
	return;
}

sub statuses
{
	my ($node, @orders) = @_;
	my $ids = join(',', map { ref $_ ? $_->{id} : $_ } @orders);

	return $node->safe_psql('postgres',
		"SELECT string_agg(DISTINCT status, ',' ORDER BY status) FROM bw_orders WHERE id IN ($ids)");
}

# The primary of the standby below.  Long before its orders there were two at
# Bandwidth that failed: one of somebody else, and one that an earlier timeline
# of this database sent and that was lost.  Their numbers are available again.
my $primary = bw_node('primary', init => [ allows_streaming => 'logical' ], conf => \@conf, %account);
my $home = $primary->safe_psql('postgres', 'SELECT left(home::text, 8) FROM bw_identity');
my @taken = (9192100502, 9192100504);
my $taken_at = time();

$sandbox->sell($_) foreach @taken;
$sandbox->post_order(customer_order_id => 'somebody else', numbers => [ $taken[0] ]);
$sandbox->post_order(customer_order_id => "$home-7-0123abcd", numbers => [ $taken[1] ]);
wait_until(sub { !grep { $_->{status} ne 'FAILED' } $sandbox->orders }, 'orders that failed');
$sandbox->restock($_) foreach @taken;

# --- a logical subscriber has an identity of its own ---
{
	my $publisher = bw_node('publisher', init => [ allows_streaming => 'logical' ], conf => \@conf, %account);
	my $subscriber = bw_node('subscriber', init => [ allows_streaming => 'logical' ], conf => \@conf, %account);
	my $connection = $publisher->connstr . ' dbname=postgres';
	my @tables = qw(bw_orders bw_order_numbers bw_order_events bw_requests bw_queue bw_held
	  bw_open_requests bw_notifications bw_inbox bw_subscriptions bw_subscription_work);
	my $own = 9192011000;

	# more orders in the account than fit on a page of the list, all under way
	$sandbox->config(list_max => 200);
	$sandbox->fault(class => 'HISTORY', kind => 'status', status => 500);
	$publisher->safe_psql('postgres', "SELECT bw_order(ARRAY[n::text], name => 'a request each') FROM generate_series(9193000001, 9193000350) AS n");
	wait_until(sub { $publisher->safe_psql('postgres', "SELECT count(*) FROM bw_orders WHERE status IN ('QUEUED', 'SENDING')") eq '0' }, 'many orders');

	# one order that is being sent, and one of each kind that is not yet
	$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'hang_after', count => 1);
	my $sending = order_id($publisher, 9192010050, "name => 'sending'");
	wait_for_status($publisher, $sending, 'SENDING');
	wait_until(sub { posts_for(9192010050) }, 'the request is under way');
	run_worker($publisher, 'off');
	$sandbox->clear_faults;
	my @orders = order_all_kinds($publisher, 201);
	$publisher->safe_psql('postgres', "SELECT bw_subscribe(email => n || '\@example.com', digest => 'DAILY') FROM generate_series(1, 30) AS n");
	$publisher->safe_psql('postgres', 'CREATE PUBLICATION orders FOR TABLE ' . join(', ', @tables) . '; CREATE PUBLICATION everything FOR ALL TABLES');

	# the rows of the publisher take the ids from 1 on
	$subscriber->safe_psql('postgres', "ALTER TABLE $_ ALTER id RESTART 1000000") foreach qw(bw_orders bw_order_events bw_requests bw_subscriptions);
	$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION orders CONNECTION '$connection' PUBLICATION orders");
	$subscriber->wait_for_subscription_sync($publisher, 'orders');
	is(statuses($subscriber, @orders), 'QUEUED', 'subscriber: the orders are there');
	is(status_of($subscriber, $sending), 'SENDING', 'subscriber: also the one that is being sent');

	wait_until(sub { $subscriber->safe_psql('postgres', 'SELECT count(*) FROM bw_open_requests WHERE due_at < now()') > 320 }, 'subscriber: open requests that it shall not ask about');

	# a worker that starts, and has work of its own of every kind
	my $use_worker = sub {
		my $id = order_id($subscriber, ++$own);
		my $search = $subscriber->safe_psql('postgres', "SELECT id FROM bw_order_search(npanxx => '919205')");

		wait_for_status($subscriber, $id, 'COMPLETE');
		wait_for_status($subscriber, $search, 'COMPLETE');
	};
	my $since = last_request();
	run_worker($subscriber, 'off');
	run_worker($subscriber, 'on');
	$use_worker->();
	is(scalar(grep { $_->{body} !~ /919205|$own/ } $sandbox->journal(class => 'ORDER', method => 'POST', since => $since)), 0,
		'subscriber: sends its own orders only');

	# and while changes stream in
	my $late = expect('another', order_id($publisher, 9192010060, "name => 'another'"), 9192010060, 'COMPLETE', 1);
	$publisher->wait_for_catchup('orders');
	is(statuses($subscriber, $late), 'QUEUED', 'subscriber: an order that came by the stream');
	my $subscription = $subscriber->safe_psql('postgres', "SELECT bw_subscribe(email => 'other\@example.com', digest => 'DAILY')");
	$use_worker->();
	wait_until(sub { $subscriber->safe_psql('postgres', "SELECT state FROM bw_subscriptions WHERE id = $subscription") eq 'ACTIVE' }, 'subscriber: makes its own subscription');
	is($sandbox->journal_count(class => 'SUBSCRIPTION', method => 'POST', since => $since), 1, 'subscriber: and no other');
	is(scalar(grep { $_->{body} !~ /919205|91920110/ } $sandbox->journal(class => 'ORDER', method => 'POST', since => $since)), 0,
		'subscriber: still sends its own orders only');
	my $labels = $publisher->safe_psql('postgres', "SELECT string_agg(customer_order_id, '|') FROM bw_requests");
	is(scalar(grep { ($_->{query} // '') =~ /$labels/ } $sandbox->journal(class => 'HISTORY', since => $since)), 0,
		'subscriber: asks about its own only');
	foreach my $call ("bw_cancel($orders[0]{id})", "bw_approve($orders[0]{id})", "bw_recheck($sending)", "bw_close_order($sending)",
		"bw_resolve($sending, 'resend')", "bw_resolve($sending, 'failed')", "bw_adopt($sending, 'x')")
	{
		is(sqlstate($subscriber, "SELECT $call"), '55000', "subscriber: $call is the publisher's to decide");
	}
	is($subscriber->safe_psql('postgres', "SELECT bw_wait($sending, '0 s')"), 'SENDING', 'subscriber: reading is not');
	is(statuses($subscriber, @orders, $late), 'QUEUED', 'subscriber: the others stay as they came');

	# the replicated identity makes a copy of it
	$subscriber->safe_psql('postgres', 'CREATE DATABASE replica');
	$subscriber->safe_psql('replica', 'CREATE EXTENSION bandwidth; DELETE FROM bw_identity');
	create_account($subscriber, 'replica', %account);
	$subscriber->safe_psql('replica', "CREATE SUBSCRIPTION everything CONNECTION '$connection' PUBLICATION everything");
	$subscriber->wait_for_subscription_sync($publisher, 'everything', 'replica');
	my ($queued, $id) = ($orders[0]{id}, $orders[1]{id});
	foreach my $call (
		"bw_order(ARRAY['9192010070'])",
		"bw_order_search(npanxx => '919206')",
		"bw_order_search(npanxx => '919206', direct => true)",
		"bw_cancel($queued)", "bw_recheck($sending)", "bw_close_order($sending)", "bw_receive('x')",
		'bw_pause()', 'bw_resume()', "bw_approve($queued)", "bw_resolve($sending, 'resend')",
		"bw_resolve($sending, 'failed')", "bw_adopt($sending, 'x')",
		"bw_subscribe(email => 'someone\@example.com', digest => 'DAILY')", 'bw_unsubscribe(1)')
	{
		is(sqlstate($subscriber, "SELECT $call", 'replica'), '55000', "replicated identity: $call is fenced");
	}
	$since = last_request();
	worker_pid($subscriber, 'replica');
	wait_until(sub { $subscriber->log_contains('this database is a copy') }, 'replicated identity: the worker says so');
	is($subscriber->safe_psql('replica', "SELECT count(*) FROM bw_search('540551', quantity => 3)"), 3, 'replicated identity: searching works');

	# the publisher goes on, and its subscribers hear of it
	$publisher->safe_psql('postgres', 'SELECT bw_recheck(id) FROM bw_orders');
	run_worker($publisher, 'on');
	wait_for_all($publisher);
	$publisher->wait_for_catchup('orders');
	$publisher->wait_for_catchup('everything');
	is($subscriber->safe_psql($_, 'SELECT count(*) FROM bw_orders WHERE NOT is_final'), 0, "subscriber: hears of the outcomes, $_")
	  foreach qw(postgres replica);
	ends_well($publisher, @orders, $late, expect('sending', $sending, 9192010050, 'COMPLETE', 1));
	$subscriber->stop('immediate');
	$publisher->stop('immediate');
}

# --- a standby, and its promotion ---
{
	create_account($primary, 'postgres', %account, name => 'later');
	create_account($primary, 'postgres', %account, name => 'held', server => { %{ $account{server} }, ordering => 'hold' });
	$primary->safe_psql('postgres', 'CREATE PUBLICATION everything FOR ALL TABLES');
	my $again = 9192100503;

	# one that failed; then the number is available again
	$sandbox->sell($again);
	my $failed = order_id($primary, $again);
	wait_for_status($primary, $failed, 'FAILED');
	$sandbox->restock($again);
	$sandbox->clear_journal;

	my $standby = bw_standby($primary, 'standby');
	my $workers = "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'bandwidth%'";

	worker_pid($primary);
	cmp_ok($primary->safe_psql('postgres', $workers), '>=', 2, 'the primary has a launcher and a worker');
	is($standby->safe_psql('postgres', $workers), 0, 'a standby has neither');
	is($standby->safe_psql('postgres', "SELECT count(*) FROM bw_search('540551', quantity => 3)"), 3, 'a standby searches');
	is($standby->safe_psql('postgres', "SELECT status FROM bw_fetch_order($failed)"), 'FAILED', 'and reads orders');
	is($standby->safe_psql('postgres', q{SELECT string_agg("check", ',') FROM bw_check() WHERE NOT ok}), 'worker', 'bw_check() misses nothing but the worker');
	is($standby->safe_psql('postgres', 'SELECT state FROM bw_stat_worker'), 'stopped', 'nor does bw_stat_worker');
	foreach my $call ("bw_order(ARRAY['9192109999'])", "bw_order_search(npanxx => '919210')", "bw_cancel($failed)",
		"bw_recheck($failed)", 'bw_pause()', 'bw_resume()', "bw_receive('x')",
		"bw_subscribe(email => 'someone\@example.com', digest => 'DAILY')")
	{
		is(sqlstate($standby, "SELECT $call"), '25006', "$call cannot run on a standby");
	}
	is($sandbox->journal_count(class => 'ORDER', method => 'POST'), 0, 'nothing was sent');

	# under way: the reply is lost with the old server, the outcome comes later
	$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'hang_after', count => 2);
	my @sending = expect('being sent', order_id($primary, 9192100401, "name => 'sending'"), 9192100401, 'COMPLETE', 1);
	my @pair = split /\n/, $primary->safe_psql('postgres', "SELECT o.id FROM unnest(ARRAY['9192100403', '9192100404']) AS n, bw_order(ARRAY[n]) AS o");
	push @sending, expect("being sent, shared, $_", $pair[$_], 9192100403 + $_, 'COMPLETE', 1) foreach 0, 1;
	wait_until(sub { 2 == grep { posts_for($_) } 9192100401, 9192100404 }, 'requests are under way');
	$sandbox->config(order_delay_ms => 4000);
	my $received = expect('received', order_id($primary, 9192100402, "name => 'received'"), 9192100402, 'COMPLETE', 1);
	wait_for_status($primary, $received->{id}, 'RECEIVED');

	# sent too fast, and back in the queue
	$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'rate_limit', retry_after_s => 1);
	my @fast = map { expect("too fast, $_", order_id($primary, $_, $_ == 9192100407 ? "name => 'fast'" : undef), $_, 'COMPLETE', 1) } 9192100405 .. 9192100407;
	my $fast = join(',', map { $_->{id} } @fast);
	wait_until(sub { $primary->safe_psql('postgres', "SELECT count(DISTINCT order_id) FROM bw_order_events WHERE order_id IN ($fast) AND status = 'QUEUED'") >= 2 }, 'orders that were too fast');
	run_worker($primary, 'off');
	$sandbox->clear_faults;
	$sandbox->config(order_delay_ms => 50);

	# committed here and there; then only the old server knows what it did
	wait_until(sub { time() > $taken_at + 11 }, 'orders of old are old enough');
	my @orders = (order_all_kinds($primary, 210), order_parts($primary, 210), @fast);
	my @unsent = order_unsent($primary, 210);
	my ($approved, $held) = map { expect("held, $_", order_id($primary, $_, "server => 'held'"), $_, 'COMPLETE', 1) } 9192100701, 9192100702;
	$primary->safe_psql('postgres', "SELECT bw_subscribe('http://127.0.0.1:1/', order_type => 'orders')");

	$primary->wait_for_catchup($standby);
	cut_off($standby);
	$primary->safe_psql('postgres', "SELECT bw_pause('later'); SELECT bw_approve($approved->{id})");
	run_worker($primary, 'on');
	wait_for_sent($primary);
	wait_for_status($primary, $approved->{id}, 'COMPLETE');
	wait_until(sub { $primary->safe_psql('postgres', 'SELECT state FROM bw_subscriptions') eq 'ACTIVE' }, 'the old server has subscribed');
	ends_well($primary, @orders, $approved);
	$primary->stop('immediate');
	is(statuses($standby, @orders, @unsent), 'QUEUED', 'the standby knows of no claim');
	is(statuses($standby, $approved, $held), 'HELD', 'and of no approval');
	is(statuses($standby, @sending), 'SENDING', 'but some were being sent');
	is(statuses($standby, $received), 'RECEIVED', 'and one received');
	is(posts_for($_->{prefix}), 0, "$_->{name}: indeed") foreach @unsent, $held;

	# as long as the lists are not to be had
	my $since = last_request();
	$sandbox->fault(class => 'HISTORY', method => 'GET', path => '/orders', kind => 'status', status => 500);
	$standby->promote;
	wait_until(sub { lists(since => $since) >= 3 }, 'the new server asks for lists');
	is($standby->safe_psql('postgres', "SELECT bw_cancel($orders[0]{id})"), 'f', 'what may have been sent is not cancelled');
	like($standby->safe_psql('postgres', "SELECT waiting_for FROM bw_open_orders WHERE id = $orders[0]{id}"), qr/recent orders/, 'and is known to wait for them');
	my $new = expect('a new order', order_id($standby, 9192100601, "name => 'new'"), 9192100601, 'COMPLETE', 1);
	wait_until(sub { posts_for($new->{prefix}) }, 'a new order need not wait');
	$standby->stop('immediate');
	my $restart = last_request();
	$standby->start;
	wait_until(sub { lists(since => $restart) >= 1 }, 'and asks again after a crash');
	is(statuses($standby, @orders, @unsent), 'QUEUED', 'orders that may have been sent wait');
	is(posts_for($_->{prefix}), 0, "$_->{name}: not yet") foreach @unsent, $held;

	# then
	$restart = last_request();
	$sandbox->clear_faults;
	$standby->safe_psql('postgres', 'SELECT bw_recheck(id) FROM bw_orders');
	wait_until(
		sub {
			$standby->safe_psql('postgres', "SELECT count(*) FROM bw_orders WHERE NOT is_final AND id <> $held->{id}") eq '0';
		},
		'all orders are final but one', 60);
	ends_well($standby, @orders, @unsent, @sending, $received, $approved, $new);
	my ($post) = $sandbox->journal(class => 'ORDER', method => 'POST', since => $restart);
	my ($list) = lists(status => 200, since => $restart);
	cmp_ok($list->{seq}, '<', $post->{seq}, 'nothing went out before the orders of the account were listed');
	is($standby->safe_psql('postgres', "SELECT status FROM bw_orders WHERE id = $failed"), 'FAILED', 'what was final stays so');
	is($standby->safe_psql('postgres', 'SELECT state FROM bw_subscriptions'), 'ACTIVE', 'the subscription is there');
	is($standby->safe_psql('postgres', "SELECT count(*) FROM bw_list_subscriptions() WHERE url = 'http://127.0.0.1:1/'"), 1, 'once');

	# what was held and not approved still is
	is(posts_for($held->{prefix}), 0, 'nobody approved the other order');
	is($standby->safe_psql('postgres', "SELECT status, bw_approve(id) FROM bw_orders WHERE id = $held->{id}"), 'HELD|t', 'until now');
	wait_for_all($standby);
	ends_well($standby, $held);
	nothing_is_left($standby, 'promoted');

	# once is enough
	$since = last_request();
	$standby->restart;
	$new = expect('a later order', order_id($standby, 9192100600), 9192100600, 'COMPLETE', 1);
	wait_for_status($standby, $new->{id}, 'COMPLETE');
	ends_well($standby, $new);
	is(scalar(() = lists(since => $since)), 0, 'the next start lists nothing');
	$standby->stop('immediate');
}

# --- point-in-time recovery ---
{
	my $original = bw_node('original', init => [ allows_streaming => 1, has_archiving => 1 ], conf => \@conf, %account);
	create_account($original, 'postgres', %account, name => 'later');
	worker_pid($original);
	$original->backup('base');
	run_worker($original, 'off');
	my @orders = order_all_kinds($original, 220);
	my @unsent = order_unsent($original, 220);

	$original->safe_psql('postgres', "SELECT pg_create_restore_point('before')");
	$original->safe_psql('postgres', "SELECT bw_pause('later')");
	run_worker($original, 'on');
	wait_for_sent($original);
	my ($searched) = grep { $_->{name} eq 'criteria' } @orders;
	my $claim = $original->safe_psql('postgres',
		"SELECT xmin FROM bw_order_events WHERE order_id = $searched->{id} AND status = 'SENDING'");

	# later, a request that was split
	run_worker($original, 'off');
	my @parts = order_parts($original, 220);
	run_worker($original, 'on');
	wait_for_sent($original);
	my $parted = $original->safe_psql('postgres',
		"SELECT xmin FROM bw_order_events WHERE order_id = $parts[3]{id} AND status = 'SENDING' ORDER BY id OFFSET 1 LIMIT 1");

	wait_for_archive($original);
	$original->stop('immediate');
	is(posts_for($_->{prefix}), 0, "$_->{name}: indeed") foreach @unsent;

	# before anything was claimed; and the lists lag behind at first
	$sandbox->fault(class => 'HISTORY', method => 'GET', kind => 'list_lag', delay_ms => 600000, count => 2);
	my $since = last_request();
	my $restored = bw_restored($original, 'base', 'restored', name => 'before');
	wait_for_all($restored, 60);
	is(scalar(grep { ($_->{fault} // '') eq 'list_lag' } lists(since => $since, status => 204)), 2, 'restored: the first lists are empty');
	ends_well($restored, @orders, @unsent);
	nothing_is_left($restored, 'restored');
	$restored->stop('immediate');

	# after the search for one, and before its claim
	$restored = bw_restored($original, 'base', 'again', xid => $claim, inclusive => 'off');
	is($restored->safe_psql('postgres', "SELECT count(*) FROM bw_order_numbers WHERE order_id = $searched->{id}"), 2,
		'restored between the search and the claim');
	wait_for_all($restored, 60);
	ends_well($restored, @orders, @unsent);
	nothing_is_left($restored, 'restored again');
	$restored->stop('immediate');

	# when the parts were waiting, one of which was then split again
	$restored = bw_restored($original, 'base', 'parted', xid => $parted, inclusive => 'off');
	wait_for_all($restored, 60);
	ends_well($restored, @orders, @unsent, @parts);
	nothing_is_left($restored, 'restored among parts');
	is($restored->safe_psql('postgres', "SELECT string_agg(status || ' ' || source, ', ' ORDER BY id) FROM bw_order_events WHERE order_id = $parts[3]{id}"),
		'SENDING worker, QUEUED reply, RECEIVED look-up, COMPLETE poll', 'one that waited in a part was found on its own');
	$restored->stop('immediate');
}

done_testing();
