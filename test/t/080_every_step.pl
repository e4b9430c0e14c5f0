# Stopped at every step of an order, in every way, for every kind of order:
# what was committed is bought exactly once, and its row says so in the end.
#
# Every step has a database and a sandbox of its own, so that all steps are
# stood at together, and one stop of the server strikes them all.  What holds
# an order at its step is a fault of the sandbox, a row lock (of a prepared
# transaction: it outlives a crash), or a trap: a trigger of ours in which the
# worker's transaction waits, or fails.
use strict;
use warnings;

use BwTest;
use List::Util qw(sum);
use PostgreSQL::Test::Utils;
use Test::More;

# Steps of an order.  Keys:
#   kinds      of orders that come there; all, unless given
#   faults     of the sandbox's, for POSTs of orders, and for those of disconnects
#   config     of the sandbox
#   settings   of the database
#   callbacks  is there a subscription?
#   trap       which change of the order the worker is stopped in; a step
#              without "trapped" is held by its fault or lock, and an ERROR then
#              comes with that change
#   locked     its rows are locked once it is RECEIVED
#   reached    are all orders there?
#   posts      how often the request is sent in all (orders of exact numbers)
#   unknown    the kinds whose outcome was unknown at a time; all, unless given
#   answers    what is answered to the callbacks
#   undecided  what a person does about a direct order
#   hits       how many requests an ERROR strikes one by one
my @ORDERS = ('coalesced', 'direct', 'explicit', 'searched');
my @STEPS = (
	{
		name    => 'search answered',
		kinds   => ['searched'],
		trap    => 'number',
		trapped => 1,
		unknown => '',
	},
	{
		name    => 'being claimed',
		kinds   => [ 'coalesced', 'direct', 'disconnect', 'explicit' ],
		trap    => 'worker SENDING',
		trapped => 1,
		unknown => '',
		hits    => 1,
	},
	{
		name    => 'being claimed, once searched',
		kinds   => ['searched'],
		trap    => 'worker SENDING',
		trapped => 1,
		unknown => '',
	},
	{
		name      => 'claimed',
		faults    => [ { kind => 'hang' } ],
		trap      => 'reply UNKNOWN',
		reached   => \&all_posted,
		posts     => 2,
		undecided => 'resolve',
	},
	{
		name    => 'request sent',
		faults  => [ { kind => 'hang_after' } ],
		trap    => 'reply UNKNOWN',
		reached => \&all_stored,
	},
	{
		name    => 'reply lost',
		faults  => [ { kind => 'drop_reply', delay_ms => 1000 } ],
		trap    => 'reply UNKNOWN',
		trapped => 1,
		reached => \&all_stored,
	},
	{
		name      => 'reply lost, not listed yet',
		config    => { list_lag_ms => 600000 },
		faults    => [ { kind => 'drop_reply', delay_ms => 1000 } ],
		trap      => 'reply UNKNOWN',
		trapped   => 1,
		reached   => \&all_stored,
		posts     => 2,
		undecided => 'adopt',
	},
	{
		name     => 'looked up',
		# beyond these it is a minute until the next one
		settings => { look_up_delays => '0.1, 0.3, 0.6, 0.6, 1, 1, 1, 1, 1, 1, 1, 1' },
		faults   => [ { kind => 'drop_reply', delay_ms => 1000 } ],
		trap     => 'look-up COMPLETE',
		trapped  => 1,
		reached  => \&all_stored,
	},
	{
		name    => 'reply received',
		faults  => [ { kind => 'delay', delay_ms => 1000 } ],
		trap    => 'reply RECEIVED',
		trapped => 1,
		reached => \&all_stored,
	},
	{
		name      => 'callback kept',
		kinds     => [@ORDERS],
		callbacks => 1,
		config    => { order_delay_ms => 1500 },
		locked    => 1,
		trap      => 'poll COMPLETE',
		reached   => sub { all_kept($_[0]) && count_of($_[0], 'RECEIVED') == orders_in($_[0]) },
		unknown   => '',
		answers   => qr/^200 200 200 200$/,
	},
	{
		name      => 'callback unanswered',
		kinds     => [@ORDERS],
		callbacks => 1,
		config    => { order_delay_ms => 1500 },
		trap      => 'callback',
		trapped   => 1,
		reached   => \&all_done,
		unknown   => '',
		answers   => qr/^(0|200) \1 \1 \1$/,
	},
	{
		name      => 'callback before the reply',
		kinds     => [@ORDERS],
		callbacks => 1,
		faults    => [ { kind => 'hang_after' } ],
		trap      => 'reply UNKNOWN',
		reached   => \&all_kept,
		unknown   => 'direct',
		answers   => qr/^200 200 200 200$/,
		hits      => 1,
	},
	{
		name      => 'sent again',
		faults    => [ { kind => 'reset_before', first => 1 }, { kind => 'hang_after' } ],
		trap      => 'look-up COMPLETE',
		reached   => sub { stored($_[0]) == 4 },
		posts     => 2,
		undecided => 'resolve',
		hits      => 4,
	});

# Ways to stop the worker there; "raise": by what the traps do, "wait" else.
my @WAYS = (
	{ name => 'terminated',     stop => \&terminate_workers },
	{ name => 'ERROR',          stop => \&let_them_fail, raise => 1 },
	{ name => 'SIGKILL',        stop => \&kill_workers },
	{ name => 'immediate stop', stop => \&stop_server });

# Kinds of orders, and how many are made; each kind has a block of numbers (NPA-NXX).
my %KINDS = (
	disconnect => "SELECT DISTINCT id FROM bw_disconnect(ARRAY['%s0000', '%1\$s0001'])",
	explicit   => "SELECT DISTINCT id FROM bw_order(ARRAY['%s0000', '%1\$s0001'])",
	coalesced  => "SELECT o.id FROM generate_series(%s0000, %1\$s0002) AS n, bw_order(ARRAY[n::text]) AS o",
	searched   => "SELECT id FROM bw_order_search(npanxx => '%s', quantity => 2)",
	direct     => "SELECT id FROM bw_order_search(npanxx => '%s', quantity => 2, direct => true)");

my %COUNTS = (explicit => 1, coalesced => 3, searched => 1, direct => 1, disconnect => 1);

# A request that hangs is given up within the ERROR's round only.
my $PATIENT   = '300s';
my $IMPATIENT = '2s';

my $node = bw_node('main',
	conf => [ "bandwidth.look_up_delays = '0.1,0.3,0.6,0.6'", "bandwidth.poll_schedule = '0.1,0.2,0.5,1,1,1,1,1'",
		"bandwidth.coalesce_delay = '50ms'", 'restart_after_crash = on', 'max_prepared_transactions = 20' ]);
my $round = 0;

foreach my $i (0 .. $#STEPS)
{
	$STEPS[$i]{database} = "step$i";
	prepare_step($STEPS[$i]);
}
foreach my $way (@WAYS)
{
	$round++;
	begin($_, $way) foreach @STEPS;
	arrive($_, $way) foreach @STEPS;
	$way->{stop}->();
	settle($_, "$_->{name}, $way->{name}") foreach @STEPS;
	check($_, "$_->{name}, $way->{name}") foreach @STEPS;
}
$node->stop;
done_testing();

# --- places ---

sub sql
{
	my ($step, $query) = @_;

	return $node->safe_psql($step->{database}, $query);
}

# A sandbox, a database with the extension, and the traps.
sub prepare_step
{
	my ($step) = @_;
	my $database = $step->{database};

	$step->{kinds} //= [ sort keys %KINDS ];
	$step->{sandbox} = start_sandbox('order-delay' => 50);
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	set_up($step);
	sql($step, 'CREATE EXTENSION bandwidth');
	create_account($node, $database, sandbox => $step->{sandbox},
		server => { requests_per_minute => 1000000, burst => 1000000, connect_timeout => '1s',
			request_timeout => $PATIENT, allow_disconnect => 'true', release_after => 0 });
	sql($step, q{
		CREATE SCHEMA steps;
		CREATE TABLE steps.orders (id bigint PRIMARY KEY, kind text NOT NULL, round int NOT NULL);
		CREATE TABLE steps.traps (trap text, order_id bigint, fails boolean);

		CREATE FUNCTION steps.stand(this_trap text, this_order bigint) RETURNS void AS $$
		DECLARE
			fails boolean;
		BEGIN
			LOOP
				SELECT t.fails INTO fails FROM steps.traps AS t
				 WHERE t.trap = this_trap AND t.order_id = this_order;
				EXIT WHEN NOT FOUND;
				IF fails THEN
					RAISE EXCEPTION 'order % of % was stopped on purpose', this_order, current_database();
				END IF;
				PERFORM pg_sleep(0.01);
			END LOOP;
		END $$ LANGUAGE plpgsql;

		CREATE FUNCTION steps.at_event() RETURNS trigger AS $$
		BEGIN
			PERFORM steps.stand(NEW.source || ' ' || NEW.status, NEW.order_id);
			RETURN NEW;
		END $$ LANGUAGE plpgsql;
		CREATE TRIGGER trap BEFORE INSERT ON bw_order_events
		 FOR EACH ROW EXECUTE FUNCTION steps.at_event();

		CREATE FUNCTION steps.at_number() RETURNS trigger AS $$
		BEGIN
			PERFORM steps.stand('number', NEW.order_id);
			RETURN NEW;
		END $$ LANGUAGE plpgsql;
		CREATE TRIGGER trap BEFORE INSERT ON bw_order_numbers
		 FOR EACH ROW EXECUTE FUNCTION steps.at_number();

		-- the last statement before the commit after which a callback is answered
		CREATE FUNCTION steps.at_callback() RETURNS trigger AS $$
		BEGIN
			PERFORM steps.stand('callback', m)
			   FROM public.bw_requests AS r, unnest(r.members) AS m
			  WHERE r.id = NEW.request_id;
			RETURN NEW;
		END $$ LANGUAGE plpgsql;
		CREATE TRIGGER trap BEFORE INSERT OR UPDATE ON bw_notifications
		 FOR EACH ROW EXECUTE FUNCTION steps.at_callback();
	});
	subscribe($step) if $step->{callbacks};
	return;
}

# Before there is a worker, which would have to start again.
sub set_up
{
	my ($step) = @_;
	my %settings = %{ $step->{settings} // {} };

	if ($step->{callbacks})
	{
		$settings{listen_port} = $step->{port} = free_port();
		# not before the callback
		$settings{poll_schedule} = '3, 0.2, 0.5, 1, 1, 1, 1, 1';
	}
	sql($step, "ALTER DATABASE $step->{database} SET bandwidth.$_ = $settings{$_}") foreach sort keys %settings;
	return;
}

sub subscribe
{
	my ($step) = @_;

	sql($step, "SELECT bw_subscribe('http://127.0.0.1:$step->{port}/bandwidth')");
	wait_until(sub { sql($step, 'SELECT state FROM bw_subscriptions') eq 'ACTIVE' }, "$step->{name}: subscribed");
	return;
}

# --- to the step ---

sub begin
{
	my ($step, $way) = @_;
	my $timeout = $way->{raise} ? $IMPATIENT : $PATIENT;
	my $trap = $step->{trapped} || $way->{raise} ? trap($step, $way) : '';

	$step->{sandbox}->clear_journal;
	$step->{sandbox}->config(%{ $step->{config} }) if $step->{config};
	add_fault($step, %$_) foreach @{ $step->{faults} // [] };
	own_numbers($step);
	sql($step, "ALTER SERVER bandwidth OPTIONS (SET request_timeout '$timeout')");
	sql($step, 'BEGIN; ' . order_all($step, 5) . '; ROLLBACK');
	sql($step, 'BEGIN; ' . order_all($step, 0) . "; $trap; COMMIT");
	lock_rows($step, "$step->{name}, $way->{name}") if $step->{locked};
	return;
}

# Orders and disconnects meet it alike; "first": the first request of each kind does.
sub add_fault
{
	my ($step, %fault) = @_;
	my $first = delete $fault{first};
	my %posts = (ORDER => grep({ $_ ne 'disconnect' } @{ $step->{kinds} }) + 0, DISCONNECT => 1);

	$step->{sandbox}->fault(class => $_, method => 'POST', %fault, $first ? (count => $posts{$_}) : ()) foreach sort keys %posts;
	return;
}

# What is to be disconnected in this round.
sub own_numbers
{
	my ($step) = @_;

	foreach my $i (grep { $step->{kinds}[$_] eq 'disconnect' } 0 .. $#{ $step->{kinds} })
	{
		$step->{sandbox}->own(sprintf '%d%04d', 919200 + 10 * $round + $i, $_) foreach 0, 1;
	}
	return;
}

# POSTs of orders and disconnects that the sandbox saw.
sub posts
{
	my ($step) = @_;

	return map { $step->{sandbox}->journal(class => $_, method => 'POST') } 'ORDER', 'DISCONNECT';
}

# A statement that orders of all kinds; what is rolled back has other blocks.
sub order_all
{
	my ($step, $offset) = @_;
	my $block = 919200 + 10 * $round + $offset;

	return 'INSERT INTO steps.orders (kind, id, round) '
	  . join(' UNION ALL ', map { "SELECT '$_', id, $round FROM (" . sprintf($KINDS{$_}, $block++) . ') AS o' } @{ $step->{kinds} });
}

sub orders_in
{
	my ($step) = @_;

	return sum(map { $COUNTS{$_} } @{ $step->{kinds} });
}

# How many orders of this round are in this state.
sub count_of
{
	my ($step, $status) = @_;

	return sql($step, "SELECT count(*) FROM steps.orders JOIN bw_orders USING (id) WHERE round = $round AND status = '$status'");
}

# An ERROR strikes one order of each kind, and with it the request that it shares.
sub trap
{
	my ($step, $way) = @_;
	my ($which, $fails) = $way->{raise} ? ('DISTINCT ON (kind)', 'true') : ('', 'false');

	return "INSERT INTO steps.traps SELECT $which '$step->{trap}', id, $fails FROM steps.orders WHERE round = $round";
}

sub lock_rows
{
	my ($step, $name) = @_;

	wait_until(sub { count_of($step, 'RECEIVED') == orders_in($step) }, "$name: all are RECEIVED");
	sql($step, "BEGIN; SELECT id FROM bw_orders WHERE id IN (SELECT id FROM steps.orders WHERE round = $round) FOR UPDATE; PREPARE TRANSACTION '$step->{database}'");
	return;
}

sub arrive
{
	my ($step, $way) = @_;
	my $name = "$step->{name}, $way->{name}";

	wait_until(sub { $step->{reached}->($step) }, "$name: the orders are there") if $step->{reached};
	return if !$step->{trapped};
	if ($way->{raise})
	{
		fail_and_go_on($step);
	}
	else
	{
		wait_until(sub { is_trapped($step) }, "$name: the worker stands");
	}
	return;
}

sub is_trapped
{
	my ($step) = @_;

	return sql($step, "SELECT count(*) FROM pg_stat_activity WHERE datname = '$step->{database}' AND application_name = 'bandwidth worker' AND wait_event = 'PgSleep'") == 1;
}

sub all_posted
{
	my ($step) = @_;

	return posts($step) == @{ $step->{kinds} };
}

# This round's orders, as the sandbox has them.
sub stored
{
	my ($step) = @_;
	my %ours = map { $_ => 1 } split /\n/,
	  sql($step, "SELECT customer_order_id FROM bw_requests WHERE members && ARRAY(SELECT id FROM steps.orders WHERE round = $round)");

	return grep { $ours{ $_->{customer_order_id} } } $step->{sandbox}->orders;
}

sub all_stored { my ($step) = @_; return stored($step) == @{ $step->{kinds} }; }

sub all_done
{
	my ($step) = @_;

	return (grep { $_->{status} eq 'COMPLETE' } stored($step)) == @{ $step->{kinds} };
}

sub all_kept
{
	my ($step) = @_;

	return answers($step) eq '200 200 200 200' && sql($step, "SELECT count(DISTINCT r.id) FROM bw_notifications AS n JOIN bw_requests AS r ON r.id = n.request_id WHERE r.members && ARRAY(SELECT id FROM steps.orders WHERE round = $round)") == @{ $step->{kinds} };
}

# What was answered to this round's callbacks.
sub answers
{
	my ($step) = @_;
	my %ours = map { $_->{id} => 1 } stored($step);

	return join ' ', sort map { $_->{status} } grep { $ours{ $_->{order_id} } } $step->{sandbox}->callbacks;
}

# --- ways to stop ---

sub worker_pids { return map { worker_pid($node, $_->{database}) } @STEPS; }

# What was struck by a fault stays so; nothing else is from now on.
sub end_faults
{
	$_->{sandbox}->clear_faults foreach @STEPS;
	return;
}

sub unlock_rows
{
	sql($_, "ROLLBACK PREPARED '$_->{database}'") foreach grep { $_->{locked} } @STEPS;
	return;
}

sub wait_for_end
{
	my (@pids) = @_;
	my $list = join ',', @pids;

	wait_until(
		sub {
			my $count = try_sql($node, 'postgres', "SELECT count(*) FROM pg_stat_activity WHERE pid IN ($list)");

			return defined $count && $count eq '0';
		},
		'the workers are gone');
	unlock_rows();
	sql($_, 'DELETE FROM steps.traps') foreach @STEPS;
	return;
}

sub terminate_workers
{
	my @pids = worker_pids();

	end_faults();
	$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM unnest(ARRAY[" . join(',', @pids) . ']) AS pid');
	wait_for_end(@pids);
	return;
}

# The server ends all other sessions and recovers.
sub kill_workers
{
	my @pids = worker_pids();

	end_faults();
	kill('KILL', @pids);
	wait_for_end(@pids);
	return;
}

sub stop_server
{
	my @pids = worker_pids();

	end_faults();
	$node->stop('immediate');
	$node->start;
	wait_for_end(@pids);
	return;
}

# The worker lives on, and so do the orders when nothing fails any more.
sub let_them_fail
{
	my @pids = worker_pids();

	end_faults();
	unlock_rows();
	fail_and_go_on($_) foreach grep { !$_->{trapped} } @STEPS;
	is(join(' ', worker_pids()), "@pids", 'an ERROR ends no worker');
	return;
}

sub fail_and_go_on
{
	my ($step) = @_;
	my $hits = $step->{hits} // @{ $step->{kinds} };

	wait_until(sub { hits($step) >= $hits }, "$step->{name}: $hits transactions failed");
	sql($step, 'DELETE FROM steps.traps');
	return;
}

# Orders of this round that an ERROR was logged for.
sub hits
{
	my ($step) = @_;
	my $log  = slurp_file($node->logfile);
	my %seen = map { $_ => 1 } $log =~ /bandwidth worker ERROR:  order (\d+) of $step->{database} was stopped on purpose/g;

	delete @seen{ split /\n/, sql($step, "SELECT id FROM steps.orders WHERE round < $round") };
	return scalar keys %seen;
}

# --- afterwards ---

# What a person decides in this round, if anything is undecided.
sub decision
{
	my ($step) = @_;
	my $what = $step->{undecided} // return '';

	return $what eq 'adopt' ? 'adopt' : $round % 2 ? 'resend' : 'failed';
}

sub settle
{
	my ($step, $name) = @_;

	decide($step, $name) if $step->{undecided};
	wait_until(
		sub { sql($step, "SELECT count(*) FROM bw_orders WHERE NOT is_final") eq '0' },
		"$name: all orders are final", 90)
	  or diag(sql($step, 'SELECT o.id, o.status, o.waiting_for, r.*, w.* FROM bw_open_orders AS o LEFT JOIN bw_requests AS r ON o.id = ANY (r.members) LEFT JOIN bw_open_requests AS w ON w.request_id = r.id'));
	return;
}

# A direct order that Bandwidth does not show is a person's business.
sub decide
{
	my ($step, $name) = @_;
	my $decision = decision($step);
	my $id = sql($step, "SELECT id FROM steps.orders WHERE round = $round AND kind = 'direct'");

	wait_until(sub { sql($step, "SELECT attention FROM bw_orders WHERE id = $id") =~ /bw_resolve.*bw_adopt/ },
		"$name: the direct order asks for attention", 60);
	is(sql($step, "SELECT o.status, r.attempts FROM bw_orders AS o JOIN bw_requests AS r ON r.id = o.request_id WHERE o.id = $id"),
		'UNKNOWN|1', "$name: it is UNKNOWN, and was not sent again");
	if ($decision eq 'adopt')
	{
		my ($theirs) = map { $_->{id} } grep { $_->{type} eq 'NPANXXSearchAndOrderType' } stored($step);

		is(sql($step, "SELECT bw_adopt($id, '$theirs')"), 't', "$name: it is adopted");
	}
	else
	{
		is(sql($step, "SELECT bw_resolve($id, '$decision')"), 't', "$name: it is resolved as $decision");
	}
	return;
}

sub check
{
	my ($step, $name) = @_;

	check_rows($step, $name);
	check_posts($step, $name);
	is_deeply(bought($step), rows_say($step), "$name: what was bought is what the rows say, each number once");
	check_ids($step, $name);
	check_rolled_back($step, $name);
	like(answers($step), $step->{answers}, "$name: callbacks were answered as they were kept") if $step->{answers};
	return;
}

sub check_rows
{
	my ($step, $name) = @_;
	my %outcomes = (
		disconnect => '1 disconnect COMPLETE 2/2',
		explicit   => '1 explicit COMPLETE 2/2',
		coalesced  => '3 coalesced COMPLETE 1/1',
		searched   => '1 searched COMPLETE 2/2',
		direct     => '1 direct ' . (decision($step) eq 'failed' ? 'FAILED 0/2' : 'COMPLETE 2/2'));
	my $unknown = $step->{unknown} // join(', ', @{ $step->{kinds} });

	is(sql($step, qq{
		SELECT string_agg(concat_ws(' ', n, kind, status, attention), ', ' ORDER BY kind)
		  FROM (SELECT count(*) AS n, o.kind, b.status || ' ' || b.completed_quantity || '/' || b.quantity AS status, b.attention
		          FROM steps.orders AS o JOIN bw_orders AS b USING (id) WHERE o.round = $round GROUP BY 2, 3, 4) AS t}),
		join(', ', map { $outcomes{$_} } @{ $step->{kinds} }), "$name: rows are final and right");
	is(sql($step, "SELECT string_agg(DISTINCT kind, ', ') FROM steps.orders AS o JOIN bw_order_events AS e ON e.order_id = o.id WHERE round = $round AND e.status = 'UNKNOWN'") // '',
		$unknown, "$name: unknown for a time: " . ($unknown || 'none'));
	return;
}

# As often as the step wants it, and as often as the rows say.
sub check_posts
{
	my ($step, $name) = @_;
	my %posts = map { $_ => $step->{posts} // 1 } @{ $step->{kinds} };
	my %attempts = map { split /\|/ } split /\n/,
	  sql($step, "SELECT customer_order_id, attempts FROM bw_requests WHERE members && ARRAY(SELECT id FROM steps.orders WHERE round = $round)");
	my %seen;

	$posts{direct} = decision($step) eq 'resend' ? 2 : 1 if $posts{direct};
	is(sql($step, qq{
		SELECT string_agg(concat_ws(' ', n, kind, attempts), ', ' ORDER BY kind)
		  FROM (SELECT o.kind, r.attempts, count(DISTINCT r.id) AS n
		          FROM steps.orders AS o JOIN bw_orders AS b USING (id) JOIN bw_requests AS r ON r.id = b.request_id
		         WHERE o.round = $round GROUP BY 1, 2) AS t}),
		join(', ', map { "1 $_ $posts{$_}" } @{ $step->{kinds} }), "$name: one request of each kind, sent as often as was needed");
	$seen{ $_->{body} =~ m{<CustomerOrderId>(.*?)</CustomerOrderId>} ? $1 : '' }++ foreach posts($step);
	is_deeply(\%seen, \%attempts, "$name: the sandbox saw those and no others");
	return;
}

# Numbers by CustomerOrderId, of all rounds: at the sandbox ...
sub bought
{
	my ($step) = @_;
	my %numbers;

	push @{ $numbers{ $_->{customer_order_id} } }, @{ $_->{completed} } foreach $step->{sandbox}->orders;
	return { map { $_ => join ' ', sort @{ $numbers{$_} } } grep { @{ $numbers{$_} } } keys %numbers };
}

# ... and in the tables.
sub rows_say
{
	my ($step) = @_;

	return { map { split /\|/ } split /\n/,
		  sql($step, "SELECT r.customer_order_id, string_agg(n.telephone_number, ' ' ORDER BY n.telephone_number) FROM bw_orders AS o JOIN bw_order_numbers AS n ON n.order_id = o.id JOIN bw_requests AS r ON r.id = o.request_id WHERE n.status = 'COMPLETE' GROUP BY 1") };
}

# The order that a row names is the one of its request.
sub check_ids
{
	my ($step, $name) = @_;
	my %theirs = map { $_->{id} => $_->{customer_order_id} } $step->{sandbox}->orders;
	my %ours = map { split /\|/ } split /\n/,
	  sql($step, 'SELECT o.bandwidth_order_id, r.customer_order_id FROM bw_orders AS o JOIN bw_requests AS r ON r.id = o.request_id WHERE o.bandwidth_order_id IS NOT NULL');

	is_deeply(\%ours, { map { $_ => $theirs{$_} } keys %ours }, "$name: the rows name the right orders");
	is(scalar(keys %ours), scalar(keys %{ rows_say($step) }), "$name: each that got numbers names one");
	return;
}

sub check_rolled_back
{
	my ($step, $name) = @_;
	my $blocks = join '|', map { 919205 + 10 * $round + $_ } 0 .. 4;

	is(sql($step, 'SELECT count(*) FROM bw_orders'), orders_in($step) * $round, "$name: no row of what was rolled back");
	is((grep { "$_->{query} $_->{body}" =~ /$blocks/ } $step->{sandbox}->journal), 0, "$name: and nothing of it was sent");
	return;
}
