# Stopped at every step of giving a row its number, in every way: each row has
# one number in the end, which was bought for it, and it was written once.
#
# As 080_every_step.pl does, but with rows of a user's table, whose numbers are
# partly taken first, and with the provisioner.  A trap is a trigger in which the
# process waits for an advisory lock that this test holds, or fails.
use strict;
use warnings;

use BwTest;
use PostgreSQL::Test::Utils;
use Test::More;

# Where the worker or the provisioner stands: a table and when its trigger fires.
my @STEPS = (
	[ 'claimed',                          'worker',      'bw_orders',     q{BEFORE UPDATE OF status ON bw_orders FOR EACH ROW WHEN (NEW.for_table IS NOT NULL AND NEW.status = 'SENDING')} ],
	[ 'another number is looked for',     'worker',      'bw_searches',   'AFTER INSERT ON bw_searches FOR EACH ROW WHEN (pg_trigger_depth() = 0)' ],
	[ 'final, but not to be written',     'worker',      'bw_provisions', 'BEFORE UPDATE OF due_at ON bw_provisions FOR EACH ROW WHEN (OLD.due_at IS NULL)' ],
	[ 'taken by the provisioner',         'provisioner', 'bw_provisions', 'BEFORE UPDATE OF tries ON bw_provisions FOR EACH ROW' ],
	[ 'in the middle of the UPDATE',      'provisioner', 'lines',         'BEFORE UPDATE ON lines FOR EACH ROW' ],
	[ 'after the UPDATE',                 'provisioner', 'lines',         'AFTER UPDATE ON lines FOR EACH ROW' ],
	[ 'written, but not recorded',        'provisioner', 'bw_orders',     'BEFORE UPDATE OF written_back_at ON bw_orders FOR EACH ROW WHEN (NEW.written_back_at IS NOT NULL)' ]);

# The worker's other steps, and ways, are those of 080_every_step.pl.
my %WAYS = (
	worker      => [qw(KILL ERROR)],
	provisioner => [qw(terminate KILL immediate ERROR)]);

my $sandbox = start_sandbox('order-delay' => 30);
my $node    = bw_node('main', sandbox => $sandbox,
	server => { requests_per_minute => 1000000, burst => 1000000, max_numbers_per_day => 100000 },
	conf => [ "bandwidth.look_up_delays = '0.1,0.2'", "bandwidth.poll_schedule = '0.1,0.2,0.5'", "bandwidth.coalesce_delay = '50ms'",
		'restart_after_crash = on', "bandwidth.write_back_timeout = '5s'" ]);

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(q{
	CREATE TABLE lines (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, exchange text, phone text, state text, error text);
	CREATE TABLE audit (id bigint, before text, after text);
	CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO public.audit VALUES (NEW.id, OLD.phone, NEW.phone);
		RETURN NULL;
	END $$;
	CREATE TRIGGER audit AFTER UPDATE ON lines FOR EACH ROW WHEN (OLD.phone IS DISTINCT FROM NEW.phone) EXECUTE FUNCTION audit();
	CREATE TRIGGER provision AFTER INSERT ON lines REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT
	 EXECUTE FUNCTION bw_provision('number_column', 'phone', 'status_column', 'state', 'error_column', 'error', 'attempts', '3', 'npanxx_column', 'exchange');
	CREATE TABLE fails (this boolean);
	INSERT INTO fails VALUES (false);
	CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF (SELECT this FROM public.fails) THEN
			RAISE EXCEPTION 'stopped on purpose';
		END IF;
		PERFORM pg_catalog.pg_advisory_xact_lock(77);
		RETURN NEW;
	END $$;
	SELECT bw_pause()});

my $free = 9192200000;
foreach my $step (@STEPS)
{
	strike(@$step, $_) foreach @{ $WAYS{ $step->[1] } };
}
$node->stop;
done_testing();

# A row that names its number, and two by criteria: what is found for one of
# them is taken before it is ordered.
sub insert_rows
{
	$free++;
	$sandbox->config(snatch_every => 1, snatch_count => 1);
	return split /\n/, sql("INSERT INTO lines (exchange, phone) VALUES (NULL, '$free'), ('919210', NULL), ('919211', NULL) RETURNING id");
}

sub strike
{
	my ($step, $who, $table, $when, $way) = @_;
	my $name = "$step, $way";
	my $log  = -s $node->logfile;
	my @ids  = insert_rows();
	my $guard;

	sql("UPDATE fails SET this = " . ($way eq 'ERROR' ? 'true' : 'false'));
	sql("CREATE TRIGGER trap $when EXECUTE FUNCTION trap()");
	if ($way ne 'ERROR')
	{
		$guard = $node->background_psql('postgres');
		$guard->query_safe('SELECT pg_advisory_lock(77)');
	}
	sql('SELECT bw_resume()');
	if ($way eq 'ERROR')
	{
		wait_until(sub { slurp_file($node->logfile, $log) =~ /stopped on purpose/ }, "$name: it fails");
		sql('UPDATE fails SET this = false');
	}
	else
	{
		my $pid = wait_until(sub { sql("SELECT a.pid FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) WHERE l.locktype = 'advisory' AND NOT l.granted AND a.backend_type = 'bandwidth $who'") }, "$name: it stands there");

		stop($way, $pid);
		eval { $guard->quit };
	}
	wait_until(sub { defined try_sql($node, 'postgres', "DROP TRIGGER trap ON $table") }, "$name: the server is back");
	# what failed may be put off
	wait_until(
		sub {
			my $count = try_sql($node, 'postgres', q{UPDATE bw_provisions SET due_at = now() WHERE due_at > now();
				SELECT (SELECT count(*) FROM bw_orders WHERE NOT is_final) + (SELECT count(*) FROM bw_provisions)});

			return defined $count && $count eq '0';
		},
		"$name: all is written") or diag(sql('SELECT * FROM bw_open_orders; SELECT * FROM bw_provisions'));
	check($name, @ids);
	sql('SELECT bw_pause()');
	return;
}

sub stop
{
	my ($way, $pid) = @_;

	if ($way eq 'immediate')
	{
		$node->stop('immediate');
		$node->start;
	}
	elsif ($way eq 'KILL')
	{
		kill('KILL', $pid);
	}
	else
	{
		sql("SELECT pg_terminate_backend($pid)");
	}
	return;
}

sub check
{
	my ($name, @ids) = @_;
	my $list = join(',', @ids);
	my $rows = sql("SELECT id, phone, state, error FROM lines WHERE id IN ($list) ORDER BY id");
	my @phones = map { (split /\|/)[1] } split /\n/, $rows;
	my %bought;

	is(sql("SELECT string_agg(concat_ws(' ', l.state, l.error, l.phone = n.telephone_number, o.attempts_used), ', ' ORDER BY o.attempts_used)
		FROM lines AS l JOIN bw_orders AS o ON o.for_key = jsonb_build_object('id', l.id) JOIN bw_order_numbers AS n ON n.order_id = o.id AND n.status = 'COMPLETE' WHERE l.id IN ($list)"),
		'COMPLETE t 1, COMPLETE t 1, COMPLETE t 2', "$name: each row has the number that was bought for it") or diag($rows);
	is(sql("SELECT string_agg(n || '', ',' ORDER BY id) FROM (SELECT id, (SELECT count(*) FROM audit AS a WHERE a.id = l.id) AS n FROM lines AS l WHERE id IN ($list)) AS t"),
		'0,1,1', "$name: it changed once, where it changed");
	$bought{$_}++ foreach map { @{ $_->{completed} } } $sandbox->orders;
	is(join(' ', map { $bought{$_} // 0 } @phones), '1 1 1', "$name: each was bought once");
	is(scalar(keys %bought), sql('SELECT count(*) FROM lines'), "$name: and no other");
	return;
}
