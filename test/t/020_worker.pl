# The worker's life: it comes and goes with its database, and nothing that
# hangs holds anybody up.
use strict;
use warnings;

use BwTest;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(time);

my $sandbox = start_sandbox();
my %fast    = (requests_per_minute => 1000000, burst => 1000000);
my $node    = bw_node('main', sandbox => $sandbox, server => \%fast,
	conf => [ "bandwidth.look_up_delays = '0.2,0.3,0.4'", 'restart_after_crash = on' ]);

# --- calls that hang end when the user wants it ---
# Runs a statement that hangs; returns seconds and SQLSTATE.
sub cancelled
{
	my ($sql) = @_;
	my $began = time();
	my ($status, $out, $err) = $node->psql('postgres',
		"\\set VERBOSITY verbose\nSET statement_timeout = '200ms';\n$sql");

	return (time() - $began, $err =~ /ERROR:  (\w{5}):/);
}

$sandbox->fault(class => 'SEARCH', kind => 'hang');
my ($seconds, $code) = cancelled("SELECT * FROM bw_search('540551')");
is($code, '57014', 'statement_timeout ends a call to a silent server');
# without it, after half a minute; psql's own start is in it
cmp_ok($seconds, '<', 5, "promptly: after $seconds s");

my $listener = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die;
$node->safe_psql('postgres', "CREATE SERVER tls FOREIGN DATA WRAPPER bandwidth OPTIONS (account_id '1', site_id '1', base_url 'https://127.0.0.1:"
	  . $listener->sockport . "'); CREATE USER MAPPING FOR CURRENT_USER SERVER tls OPTIONS (username 'u', password 'p')");
($seconds, $code) = cancelled("SELECT * FROM bw_search('540551', server => 'tls')");
is($code, '57014', 'and a TLS handshake that hangs');
cmp_ok($seconds, '<', 5, "promptly: after $seconds s");

my $fds = q{SELECT count(*) FROM pg_ls_dir('/proc/' || pg_backend_pid() || '/fd');};
my $hang = "SET statement_timeout = '30ms';\nSELECT count(*) FROM bw_search('540551');\nRESET statement_timeout;\n";
my ($status, $out) = $node->psql('postgres', $hang x 3 . $fds . "\n" . $hang x 50 . $fds, on_error_stop => 0);
my @open = grep { /^\d+$/ } split /\n/, $out;
cmp_ok($open[-1], '<=', $open[0], "fifty cancelled calls leak no descriptor (@open)");
$sandbox->clear_faults;

# --- a worker that is ended while its POST is under way ---
foreach my $signal ('TERM', 'KILL')
{
	my $number = $signal eq 'TERM' ? '5402278098' : '5402270905';

	$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'hang_after', count => 1);
	my $id = order_id($node, $number);
	wait_until(sub { $sandbox->number($number)->{state} ne 'available' }, 'the POST arrived');
	my $pid = worker_pid($node);
	if ($signal eq 'TERM')
	{
		$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	}
	else
	{
		kill 'KILL', $pid;
	}
	wait_for_all($node);
	is(status_of($node, $id), 'COMPLETE', "SIG$signal: the order is found and completes");
	is($sandbox->number($number)->{bought}, 1, 'and was bought once');
	like($node->safe_psql('postgres', "SELECT string_agg(status || ':' || source, ' ' ORDER BY id) FROM bw_order_events WHERE order_id = $id"),
		qr/SENDING:worker UNKNOWN:\w+ (RECEIVED:look-up COMPLETE:poll|COMPLETE:look-up)/, 'its events tell the story');
}

# --- settings change ---
$node->safe_psql('postgres', 'CREATE ROLE somebody; CREATE DATABASE elsewhere');
$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'delay', delay_ms => 1000, count => 3);
my $worker = worker_pid($node);
my $slow = order_id($node, '5402278091');
wait_until(sub { status_of($node, $slow) eq 'SENDING' }, 'an order is being sent');
$node->safe_psql('postgres', 'ALTER DATABASE elsewhere SET work_mem = 4096; ALTER ROLE somebody SET work_mem = 4096');
wait_for_all($node);
is(worker_pid($node), $worker, "what is set elsewhere restarts nobody's worker");
foreach my $set ('ALTER DATABASE postgres SET work_mem = 8192', 'ALTER ROLE ALL SET work_mem = 8192')
{
	$slow = order_id($node, $set =~ /ALL/ ? '5402278092' : '5402278093');
	wait_until(sub { status_of($node, $slow) eq 'SENDING' }, 'an order is being sent');
	$worker = worker_pid($node);
	$node->safe_psql('postgres', $set);
	wait_for_all($node);
	wait_until(sub { worker_pid($node) ne $worker }, "$set restarts the worker");
	is($node->safe_psql('postgres', "SELECT count(*) FROM bw_order_events WHERE order_id = $slow AND status = 'UNKNOWN'"),
		0, 'which hears out what it has sent before');
}
$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET work_mem; ALTER ROLE ALL RESET work_mem');

# --- the reply is lost, or never was one ---
$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'drop_reply', count => 1);
my $id = order_id($node, '5402278089');
wait_for_all($node);
is(status_of($node, $id), 'COMPLETE', 'an order whose reply was lost is looked up');
is($sandbox->number('5402278089')->{bought}, 1, 'not sent twice');
$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'reset_before', count => 1);
$sandbox->clear_journal;
$id = order_id($node, '5402278090');
wait_for_all($node);
is(status_of($node, $id), 'COMPLETE', 'a request that never arrived is sent again after look-ups');
is($sandbox->journal_count(method => 'POST', class => 'ORDER'), 2, 'the same one');
my @posts = $sandbox->journal(method => 'POST', class => 'ORDER');
is($posts[0]{body}, $posts[1]{body}, 'to the byte');

# --- databases and extensions come and go ---
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION bandwidth');
ok(worker_pid($node, 'other'), 'a worker comes with CREATE EXTENSION');
$node->safe_psql('other', 'DROP EXTENSION bandwidth CASCADE');
wait_until(sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE datname = 'other'") eq '0' },
	'and leaves with DROP EXTENSION');
$node->safe_psql('other', 'BEGIN; CREATE EXTENSION bandwidth; ROLLBACK');
$node->safe_psql('other', 'CREATE EXTENSION bandwidth');
create_account($node, 'other', sandbox => $sandbox, server => \%fast);
worker_pid($node, 'other');

# both databases with a call that hangs
$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'hang');
$node->safe_psql($_, "SELECT bw_order(ARRAY['9192000001'])") foreach 'postgres', 'other';
wait_until(sub { $node->safe_psql('other', "SELECT status FROM bw_orders") eq 'SENDING' }, 'a POST hangs');
my $began = time();
$node->safe_psql('postgres', 'CREATE DATABASE third');
$node->safe_psql('postgres', 'DROP DATABASE third');
cmp_ok(time() - $began, '<', 2, 'another database is dropped while calls hang');
$began = time();
$node->safe_psql('postgres', 'DROP DATABASE other');
my $took = time() - $began;
cmp_ok($took, '<', 5, "so is the worker's own: $took s");
$node->safe_psql('postgres', 'CREATE DATABASE base');
$node->safe_psql('base', 'CREATE EXTENSION bandwidth');
worker_pid($node, 'base');
$node->safe_psql('postgres', 'ALTER DATABASE base RENAME TO renamed');
ok(worker_pid($node, 'renamed'), 'a renamed database has its worker again');
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE renamed');
pass('a database with a worker can be a template');

# --- failures make it wait, restarts that were asked for do not ---
my $port = free_port();
$node->safe_psql('postgres', "ALTER DATABASE postgres SET bandwidth.listen_port = $port");
my $pid = worker_pid($node);
foreach my $size (1 .. 12)
{
	$node->safe_psql('postgres', "ALTER DATABASE postgres SET work_mem = '${size}MB'");
	wait_until(sub { my $next = worker_pid($node); $next != $pid && ($pid = $next) }, 'ALTER DATABASE restarts its worker');
}
$began = time();
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
wait_until(sub { worker_pid($node) != $pid }, 'a worker that was terminated comes back');
$took = time() - $began;
cmp_ok($took, '<', 6, "as after its first failure: $took s");
$node->wait_for_log(qr/\[@{[ worker_pid($node) ]}\].*listening for callbacks/);
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/could not listen/, 'each finds the port free');

$began = time();
$node->stop('fast');
$took = time() - $began;
cmp_ok($took, '<', 5, "a fast shutdown takes $took s while a call hangs");

# --- settings ---
$node->start;
$node->safe_psql('postgres', "ALTER DATABASE postgres SET synchronous_commit = off");
$node->safe_psql('postgres', "ALTER DATABASE postgres SET default_transaction_read_only = on");
$sandbox->clear_faults;
$node->safe_psql('postgres', "SET default_transaction_read_only = off; SELECT bw_order(ARRAY['9192000002'])");
wait_until(sub { $node->safe_psql('postgres', 'SELECT count(*) FROM bw_orders WHERE NOT is_final') eq '0' },
	'a worker overrides settings that would stop it', 60);
$node->append_conf('postgresql.conf', 'bandwidth.enabled = off');
$node->reload;
wait_until(sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bandwidth worker'") eq '0' },
	'bandwidth.enabled = off ends the workers');
$node->append_conf('postgresql.conf', 'bandwidth.enabled = on');
$node->reload;
ok(worker_pid($node), 'and on starts them');
$node->stop;

unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/PANIC|terminated by signal (6|11)/,
	'no crash but those that were asked for');

done_testing();
