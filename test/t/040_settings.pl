# What belongs to the whole server: preload, bandwidth.enabled, and an
# extension that comes and goes while its worker is at it.
use strict;
use warnings;

use BwTest;
use Test::More;

my $sandbox = start_sandbox();

# --- not preloaded: searching works, ordering waits, the rest says why ---
my $bare = bw_node('bare', sandbox => $sandbox, preload => 0);
my $line = 'Add shared_preload_libraries = \'bandwidth\' to postgresql.conf and restart the server.';

# Output and messages of a statement, "LEVEL:  SQLSTATE: message" and so on.
sub messages
{
	my ($node, $sql) = @_;
	my ($status, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\n$sql");

	return $err;
}

is($bare->safe_psql('postgres', "SELECT count(*) FROM bw_search('540551', quantity => 7)"),
	'7', 'searching needs no preload');
is($bare->safe_psql('postgres', q{SELECT "check", ok, detail, hint FROM bw_check() WHERE "check" = 'preload'}),
	"preload|f|the library is not preloaded|$line", 'bw_check() says that it is missing');
is($bare->safe_psql('postgres', q{SELECT ok, hint FROM bw_check() WHERE "check" = 'worker'}),
	'f|It comes by itself once the library is preloaded.', 'and what the worker waits for');
is($bare->safe_psql('postgres', q{SELECT ok, detail FROM bw_check() WHERE "check" = 'worker'}),
	'f|no worker serves this database', 'and so is the worker');
my $err = messages($bare, "SELECT bw_order(ARRAY['5402278098'])");
like($err, qr/WARNING:  55000: the order stays QUEUED\nDETAIL:  .*\nHINT:  \Q$line\E/, 'ordering warns');
is($bare->safe_psql('postgres', 'SELECT status FROM bw_orders'), 'QUEUED', 'and the order waits');
$err = messages($bare, "SELECT bw_subscribe('https://example.com/')");
like($err, qr/ERROR:  55000: no worker is running\nDETAIL:  .*\nHINT:  \Q$line\E/, 'subscribing is refused');
$err = messages($bare, "SELECT bw_unsubscribe(1)");
like($err, qr/ERROR:  55000: no worker is running/, 'so is taking back');
$err = messages($bare, "SELECT bw_receive('<Notification/>')");
like($err, qr/WARNING:  55000: the notification stays in the inbox/, 'a notification is kept');
is($bare->safe_psql('postgres', "SELECT bw_wait(id, '0.1 s') FROM bw_orders"), 'QUEUED', 'waiting ends');
is($bare->safe_psql('postgres', 'SELECT waiting_for FROM bw_open_orders'), 'a worker for this database (not preloaded): see bw_check()', 'as it says');
is($bare->safe_psql('postgres', "SELECT count(*) FROM bw_search('540551', quantity => 2); SELECT server, calls, done FROM bw_stat_requests WHERE class = 'search'; SELECT bw_stat_reset()"),
	"2\nbandwidth|1|1\n", 'a session counts its own calls');
is($bare->safe_psql('postgres', 'SELECT state, queued FROM bw_stat_worker'), 'not preloaded|1', 'and the queue is seen');
is($sandbox->journal_count(class => 'ORDER'), 0, 'nothing was sent');
$bare->append_conf('postgresql.conf', "shared_preload_libraries = 'bandwidth'");
$bare->restart;
wait_for_all($bare);
is($sandbox->journal_count(class => 'ORDER', method => 'POST'), 1, 'after a restart with preload it is');
$bare->stop;

# --- switched off ---
my $node = bw_node('main', sandbox => $sandbox, conf => ["deadlock_timeout = '10ms'"]);
worker_pid($node);
$node->append_conf('postgresql.conf', 'bandwidth.enabled = off');
$node->reload;
wait_until(
	sub {
		$node->safe_psql('postgres', q{SELECT ok, hint FROM bw_check() WHERE "check" = 'worker'}) eq
		  'f|Set bandwidth.enabled = on and reload the configuration.';
	},
	'without bandwidth.enabled, bw_check() says what to set');
my $id = order_id($node, '5402270905');
is(status_of($node, $id), 'QUEUED', 'an order waits');
$node->append_conf('postgresql.conf', 'bandwidth.enabled = on');
$node->reload;
wait_for_all($node);
is(status_of($node, $id), 'COMPLETE', 'until it is on again');

# --- an extension that goes while its worker comes ---
# Each time the worker is at another place of its first transactions.
$node->safe_psql('postgres', 'CREATE DATABASE "odd ""name"');
my $failures = 0;
foreach my $lap (1 .. 40)
{
	my ($status, undef, $stderr) = $node->psql('odd "name',
		'CREATE EXTENSION bandwidth; SELECT pg_sleep(' . $lap / 300 . '); DROP EXTENSION bandwidth;');

	$failures++ if $status;
	diag($stderr) if $status;
}
is($failures, 0, 'DROP EXTENSION is no victim of the worker');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/deadlock detected/, 'nor the other way round');
$node->safe_psql('odd "name', 'CREATE EXTENSION bandwidth');
ok(worker_pid($node, 'odd "name'), 'and the worker comes back');
$node->stop;
unlike(PostgreSQL::Test::Utils::slurp_file($_->logfile), qr/PANIC|terminated by signal|TRAP/, 'no crash')
  foreach $bare, $node;

done_testing();
