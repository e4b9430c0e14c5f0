# A failover under load: the primary dies while sessions order, its standby is
# promoted.  Whatever the new primary knows of is bought once; whatever only the
# old one knew is found at Bandwidth and reported.
use strict;
use warnings;

use BwTest;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my @conf = (
	"bandwidth.look_up_delays = '0.1,0.2'", "bandwidth.poll_schedule = '0.1,0.2,0.5'",
	"bandwidth.poll_interval = '1s'",       "bandwidth.coalesce_delay = '50ms'");
my $sessions = 3;

# Sessions that order one thing after the other, as fast as it is sent, each in
# a transaction of its own, and print the ids of what was committed; until their
# server is gone.  They order shared numbers, such with a request of their own, several, and by
# criteria; no two order the same.
sub start_load
{
	my ($node) = @_;
	my @load;

	foreach my $session (1 .. $sessions)
	{
		my $script = '';
		foreach my $n (0 .. 1199)
		{
			my $number = sprintf('91925%d%04d', $session, 5 * $n);
			my $kind = $n % 6;

			$script .= "SELECT DISTINCT id FROM "
			  . ( $kind == 5 ? "bw_order_search(npanxx => '91924$session')"
				: $kind == 4 ? "bw_order(ARRAY['$number'], name => 'own')"
				: $kind == 3 ? "bw_order(ARRAY['$number', '" . ($number + 1) . "'])"
				:              "bw_order(ARRAY['$number'])") . ";\nDO 'BEGIN PERFORM pg_sleep(0.02); END';\n";
		}
		my $out = '';
		my $errors = '';
		my $file = $node->basedir . "/load_$session.sql";
		append_to_file($file, $script);
		push @load, { out => \$out,
			run => IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', $file ],
				'>', \$out, '2>', \$errors) };
	}
	return @load;
}

# Ids that the sessions were told so far.
sub committed
{
	my (@load) = @_;

	$_->{run}->pump_nb foreach grep { $_->{run}->pumpable } @load;
	return map { ${ $_->{out} } =~ /^(\d+)$/mg } @load;
}

sub column { my ($node, $query) = @_; return split /\n/, $node->safe_psql('postgres', $query); }

sub fail_over
{
	my ($name, $synchronous) = @_;
	my $sandbox = start_sandbox('order-delay' => 50);
	my $primary = bw_node("${name}_old", sandbox => $sandbox, conf => \@conf, init => [ allows_streaming => 1 ],
		server => { requests_per_minute => 1000000, burst => 1000000, max_numbers_per_day => 1000000, allow_disconnect => 'true', release_after => '0 s' });
	my $standby = bw_standby($primary, "${name}_new");
	my $orders = sub { return scalar $sandbox->orders };

	worker_pid($primary);
	if ($synchronous)
	{
		$primary->safe_psql('postgres', "ALTER SYSTEM SET synchronous_standby_names = '*'");
		$primary->reload;
		$primary->poll_query_until('postgres', "SELECT sync_state = 'sync' FROM pg_stat_replication") or die;
	}
	my @load = start_load($primary);
	wait_until(sub { committed(@load) > 90 && $orders->() > 40 }, "$name: orders are made and sent");
	if (!$synchronous)
	{
		cut_off($standby);
		my $max = $standby->safe_psql('postgres', 'SELECT max(id) FROM bw_orders');
		wait_until(sub { $primary->safe_psql('postgres', "SELECT count(*) FROM bw_orders WHERE id > $max AND status = 'COMPLETE'") > 40 },
			"$name: more that the standby does not hear of");
		$primary->safe_psql('postgres', "SELECT id FROM bw_disconnect(ARRAY[(SELECT min(telephone_number) FROM bw_order_numbers WHERE status = 'COMPLETE')])");
		wait_until(sub { $sandbox->journal_count(class => 'DISCONNECT', method => 'POST') }, "$name: one is given back");
	}
	$primary->stop('immediate');
	$_->{run}->finish foreach @load;
	my @committed = committed(@load);
	my @old = $sandbox->orders;

	# the new one
	my $began = time();
	$standby->promote;
	my $promoted = time() - $began;
	my ($last) = map { $_->{seq} } reverse $sandbox->journal;
	$standby->safe_psql('postgres', "SELECT bw_order(ARRAY['9192560000'], name => 'first')");
	wait_until(sub { grep { $_->{body} =~ /9192560000/ } $sandbox->journal(class => 'ORDER', method => 'POST', since => $last) },
		"$name: the new primary sends orders");
	my $first = time() - $began;
	wait_for_all($standby);
	my @doubts;
	wait_until(sub { !(@doubts = column($standby, 'SELECT * FROM bw_doubts')) }, "$name: nothing is in doubt any more") or diag("@doubts");

	# nothing is lost
	my %known = map { $_ => 1 } column($standby, 'SELECT id FROM bw_orders');
	my @lost = grep { !$known{$_} } @committed;
	my @lost_orders = column($standby, 'SELECT bandwidth_order_id FROM bw_lost_orders');
	is($standby->safe_psql('postgres', "SELECT string_agg(DISTINCT status, ',') FROM bw_orders"), 'COMPLETE', "$name: every order that the new primary has completes");

	# nothing is bought twice, and nothing unknown
	my %sold;
	$sold{$_}++ foreach map { @{ $_->{completed} } } grep { $_->{kind} eq 'order' } $sandbox->orders;
	is(scalar(grep { $_ > 1 } values %sold), 0, "$name: no number was sold twice");
	my @numbers = column($standby, "SELECT n.telephone_number FROM bw_order_numbers AS n JOIN bw_orders AS o ON o.id = n.order_id WHERE n.status = 'COMPLETE' AND o.kind = 'order' UNION ALL SELECT unnest(telephone_numbers) FROM bw_lost_orders WHERE kind = 'order'");
	is(join(' ', sort @numbers), join(' ', sort keys %sold), "$name: each number that was sold belongs to one order, or is reported as lost");
	is($standby->safe_psql('postgres', "SELECT count(*) FROM bw_orders AS o WHERE quantity <> (SELECT count(*) FROM bw_order_numbers AS n WHERE n.order_id = o.id AND n.status = 'COMPLETE')"),
		0, "$name: each order has what it asked for, no more");

	if ($synchronous)
	{
		is("@lost", '', "$name: the new primary has all that was committed");
		is("@lost_orders", '', "$name: and all that was sent");
	}
	else
	{
		cmp_ok(scalar @lost, '>', 0, "$name: orders were lost with the old primary");
		cmp_ok(scalar @lost_orders, '>', 0, "$name: what it had sent of them is found");
		is($standby->safe_psql('postgres', "SELECT count(*) FROM bw_lost_orders WHERE kind = 'disconnect' AND cardinality(telephone_numbers) = 1"), 1,
			"$name: also what it had given back");
		ok($standby->log_contains(qr/WARNING:  Bandwidth has \d+ orders of this database that it does not know/), "$name: and reported");
		is($standby->safe_psql('postgres', q{SELECT ok, detail FROM bw_check() WHERE "check" = 'lost orders'}),
			'f|' . @lost_orders . ' orders at Bandwidth were lost with another timeline of this database', "$name: also by bw_check()");
		# the clock of a reply, by which its dates are corrected, has whole seconds
		is($standby->safe_psql('postgres', "SELECT count(*) FROM bw_lost_orders WHERE bandwidth_status IS NULL OR created_at NOT BETWEEN now() - interval '10 minutes' AND now() + interval '1 s' OR customer_order_id !~ '^\\w{8}-\\d+-'"),
			0, "$name: with what is known of each");
		$standby->safe_psql('postgres', 'DELETE FROM bw_lost_orders');
		is($standby->safe_psql('postgres', q{SELECT ok FROM bw_check() WHERE "check" = 'lost orders'}), 't', "$name: until somebody has dealt with them");
	}
	diag(sprintf('%s: %d orders committed, %d of them lost; %d orders at Bandwidth before, %d found that nobody knows; '
			  . 'promotion took %.1f s, the first order was sent after %.1f s',
			$name, scalar @committed, scalar @lost, scalar @old, scalar @lost_orders, $promoted, $first));
	$standby->stop('immediate');
	$sandbox->stop;
	return;
}

fail_over('synchronous', 1);
fail_over('asynchronous', 0);

done_testing();
