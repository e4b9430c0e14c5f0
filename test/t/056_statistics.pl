# Statistics over the life of workers and servers, and the queries that bring
# them to Prometheus.
use strict;
use warnings;

use BwTest;
use CPAN::Meta::YAML;
use Test::More;

my $sandbox = start_sandbox('order-delay' => 50);
my $node = bw_node('main', sandbox => $sandbox);

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub worker { my ($what) = @_; return sql("SELECT $what FROM bw_stat_worker"); }

# --- a step of the worker's own that fails ---
sql(q{
	CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no space for you'; END$$;
	CREATE TRIGGER fail BEFORE UPDATE ON bw_orders FOR EACH ROW EXECUTE FUNCTION fail();
});
my $id = order_id($node, '9192000001');
wait_until(sub { (worker('last_error') // '') eq 'claiming orders: no space for you' }, 'an error of its own is the last one');
is(worker('queued, last_error_at IS NOT NULL, oldest_queued_age >= interval \'0\''), '1|t|t', 'and an order waits');
is(sql(q{SELECT detail LIKE 'the last call or step failed at %: claiming orders: no space for you' FROM bw_check() WHERE "check" = 'last error' AND NOT ok}),
	't', 'bw_check() shows it');
sql('DROP TRIGGER fail ON bw_orders');
wait_for_status($node, $id, 'COMPLETE');
is(sql(q{SELECT ok FROM bw_check() WHERE "check" = 'last error'}), 't', 'a success later, all is well');

# --- what was counted stays, whoever dies ---
my $calls = sql("SELECT calls FROM bw_stat_requests WHERE class = 'order'");
my $pid = worker_pid($node);
kill 'TERM', $pid;
wait_until(sub { my $now = worker('pid'); $now ne '' && $now != $pid }, 'another worker comes');
is(sql("SELECT calls FROM bw_stat_requests WHERE class = 'order'"), $calls, 'it goes on counting where the other one ended');
is(worker('last_error'), 'claiming orders: no space for you', 'and knows of its last error');

# --- sessions count, too, all at the same time ---
my $before = $sandbox->journal_count(class => 'SEARCH');
my $script = $node->basedir . '/searches.sql';
open(my $file, '>', $script) or die "could not write $script: $!";
print $file "SELECT count(*) FROM bw_search('540551', quantity => 2);\n";
close($file);
$node->command_ok([ 'pgbench', '-n', '-c', '4', '-t', '15', '-f', $script, 'postgres' ], 'four sessions search');
is(sql("SELECT calls FROM bw_stat_requests WHERE class = 'search'"), 60, 'no count is lost');
is($sandbox->journal_count(class => 'SEARCH') - $before, 60, 'of what Bandwidth saw');

# --- for Prometheus ---
my $queries = CPAN::Meta::YAML->read("$ENV{BW_FILES}/contrib/postgres_exporter/queries.yaml")->[0];
sql('CREATE ROLE watcher LOGIN IN ROLE pg_monitor');

foreach my $name (sort keys %$queries)
{
	my $query = $queries->{$name}{query};
	my %usage = map { my ($column) = keys %$_; ($column => $_->{$column}{usage}) } @{ $queries->{$name}{metrics} };
	my ($status, $out, $err) = $node->psql('postgres', "$query", extra_params => [ '-U', 'watcher', '--no-align', '-P', 'tuples_only=off', '-P', 'footer=off' ]);
	my ($header, @rows) = split /\n/, $out;
	my @columns = split /\|/, $header // '';

	is("$status$err", '0', "$name: pg_monitor may run it");
	cmp_ok(scalar(@rows), '>', 0, "$name: it says something");
	# postgres_exporter finds the parts of a histogram by these names
	my @wanted = map { $usage{$_} eq 'HISTOGRAM' ? ($_, "${_}_bucket", "${_}_sum", "${_}_count") : $_ } keys %usage;
	is(join(' ', sort @columns), join(' ', sort @wanted), "$name: each column is a metric, and each metric a column");
	# it adds a label of that name, and ends where there is one already
	ok(!exists $usage{server}, "$name: no label is called server");
	foreach my $row (@rows)
	{
		my %value;

		@value{@columns} = split /\|/, $row, -1;
		my @bad = grep {
			my $usage = $usage{$_} // '';
			$usage eq 'LABEL' ? $value{$_} eq '' : $usage =~ /GAUGE|COUNTER/ && $value{$_} !~ /^-?\d+(\.\d+)?$/
		} @columns;
		is("@bad", '', "$name: numbers are numbers, and labels are not empty");
		if (exists $value{latency_seconds})
		{
			my ($bounds, $buckets) = map { [ split /,/, s/[{}]//gr ] } @value{qw(latency_seconds latency_seconds_bucket)};

			is(scalar(@$buckets), scalar(@$bounds), "$name: a bucket for each bound");
			cmp_ok($buckets->[-1], '<=', $value{latency_seconds_count}, "$name: none has more than all");
			is("@$buckets", join(' ', sort { $a <=> $b } @$buckets), "$name: buckets add up");
		}
	}
}
like(sql("SELECT string_agg(DISTINCT class, ' ' ORDER BY class) FROM bw_stat_requests"), qr/order.*search.*token/, 'every kind of call was there');

# --- without a worker ---
$node->append_conf('postgresql.conf', 'bandwidth.enabled = off');
$node->restart;
$id = order_id($node, '9192000002');
is(worker('pid, state, in_flight, next_wake_at, last_success_at, queued'), '|stopped||||1', 'a server that starts has not called anything');
is(sql("SELECT waiting_for FROM bw_open_orders WHERE id = $id"), 'a worker for this database (stopped): see bw_check()', 'an order waits for a worker');
is(sql("SELECT query FROM pg_stat_activity WHERE backend_type = 'bandwidth launcher'"), 'waiting for bandwidth.enabled = on', 'the launcher for a setting');
is(sql('SELECT count(*) FROM bw_stat_requests'), 0, 'nor counted');

$node->stop;
done_testing();
