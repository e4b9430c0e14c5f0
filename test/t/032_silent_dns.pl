# A host name whose DNS server is silent: nothing that looks it up holds
# anybody up.  Runs in namespaces of its own, where such a server is the only
# one.
use strict;
use warnings;

use IO::Socket::INET;
use Test::More;

# Until when a name is looked for: longer than the test may take.
my $resolver = "nameserver 127.0.0.1\noptions timeout:30 attempts:5\n";
my $silent   = 'https://silent.example.com/api';

# Before anything else: once more, in user, network and mount namespaces.
BEGIN
{
	my @unshare =
	  ('unshare', '--user', '--map-current-user', '--keep-caps', '--net', '--mount');

	if (!$ENV{BW_IN_NAMESPACES})
	{
		my $said = `@unshare true 2>&1`;

		plan skip_all => "namespaces cannot be made here: $said" if $? != 0;
		$ENV{BW_IN_NAMESPACES} = 'yes';
		exec(@unshare, $^X, $0) or die "could not execute unshare: $!";
	}
}

use BwTest;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(time);

# --- the namespaces' network and resolver ---
# ifr_flags of "lo": IFF_UP | IFF_RUNNING
my $dns = IO::Socket::INET->new(Proto => 'udp') or die;
my $request = pack('Z16 s x22', 'lo', 0x41);
# SIOCSIFFLAGS
ioctl($dns, 0x8914, $request) or die "could not bring up the loopback interface: $!";
close($dns);
$dns = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1', LocalPort => 53, Blocking => 0)
  or die "could not bind port 53: $!";

sub mount_file
{
	my ($where, $content) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/mounted';

	PostgreSQL::Test::Utils::append_to_file($file, $content);
	return system('mount', '--bind', $file, $where) == 0;
}

foreach my $file ([ '/etc/resolv.conf', $resolver ], [ '/etc/nsswitch.conf', "hosts: files dns\n" ])
{
	mount_file(@$file) or plan skip_all => "$file->[0] cannot be mounted over here";
}

# Did somebody ask for the name since the last time?
sub was_asked
{
	my $asked = 0;

	while (defined $dns->recv(my $query, 512))
	{
		$asked ||= $query =~ /silent/;
	}
	return $asked;
}

my $sandbox = start_sandbox('order-delay' => 50);
my %fast    = (requests_per_minute => 1000000, burst => 1000000);
my %slow    = (%fast, base_url => $silent, connect_timeout => '100s', request_timeout => '100s');
my %basic   = (username => 'user', password => 'word');
my $node    = bw_node('main', sandbox => $sandbox, server => \%fast,
	conf => [ "bandwidth.look_up_delays = '0.1,0.2,0.3'", "bandwidth.poll_schedule = '0.1,0.2,0.5'" ]);

create_account($node, 'postgres', sandbox => $sandbox, name => 'silent', server => \%slow, mapping => \%basic);
create_account($node, 'postgres', sandbox => $sandbox, name => 'silent_token',
	server => { %slow, base_url => $sandbox->url . '/api', token_url => "$silent/oauth2/token" });

# --- a backend ---
foreach my $server ('silent', 'silent_token')
{
	my $began = time();
	my ($status, $out, $err) = $node->psql('postgres',
		"\\set VERBOSITY verbose\nSET statement_timeout = '200ms';\nSELECT * FROM bw_search('540551', server => '$server')");
	my $took = time() - $began;

	like($err, qr/ERROR:  57014:/, "$server: statement_timeout ends a look-up of a name");
	cmp_ok($took, '<', 2, "promptly: after $took s");
	wait_until(\&was_asked, 'the DNS server was asked');
}

my ($said, $complaint) = ('', '');
my $session = IPC::Run::start(
	[ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-v', 'VERBOSITY=verbose',
		'-c', "SELECT * FROM bw_search('540551', server => 'silent')" ],
	'>', \$said, '2>', \$complaint, IPC::Run::timer($BwTest::LIMIT));
my $searches = "FROM pg_stat_activity WHERE query LIKE 'SELECT * FROM bw_search%'";
wait_until(\&was_asked, 'a session looks for the name');
my $began = time();
is($node->safe_psql('postgres', "SELECT pg_cancel_backend(pid) $searches"), 't', 'pg_cancel_backend()');
$session->finish;
my $took = time() - $began;
like($complaint, qr/ERROR:  57014:/, 'ends it, too');
cmp_ok($took, '<', 2, "promptly: after $took s");
wait_until(sub { $node->safe_psql('postgres', "SELECT count(*) $searches") eq '0' },
	'and its process does not stay for the look-up', 2);

my $descriptors = q{SELECT count(*) FROM pg_ls_dir('/proc/' || pg_backend_pid() || '/fd');};
my $hang = "SET statement_timeout = '30ms';\nSELECT * FROM bw_search('540551', server => 'silent');\nRESET statement_timeout;\n";
my (undef, $counts) = $node->psql('postgres', $hang . $descriptors . "\n" . $hang x 20 . $descriptors, on_error_stop => 0);
my ($first, $last) = split /\n/, $counts;
# A look-up keeps its socket to the DNS server, and a way to tell, to its end.
cmp_ok($last, '<=', $first + 20 * 4, "look-ups that were left behind hold few descriptors ($first, then $last)");

# --- the worker ---
my $pid = worker_pid($node);
was_asked();
my $id = order_id($node, '9192000001', "server => 'silent'");
wait_until(\&was_asked, 'the worker looks for the name');
is(status_of($node, $id), 'SENDING', 'for an order');
my $other = order_id($node, '9192000002', "server => 'silent_token'");
wait_until(sub { status_of($node, $other) eq 'SENDING' }, 'another one looks for that of its tokens');

my @good = map { order_id($node, $_) } 9192000003 .. 9192000007;
wait_for_status($node, $_, 'COMPLETE') foreach @good;
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION bandwidth');
create_account($node, 'other', sandbox => $sandbox, server => \%fast);
$node->safe_psql('other', "SELECT bw_order(ARRAY['9192000008'])");
wait_for_all($node, undef, 'other');
is($node->safe_psql('other', 'SELECT status FROM bw_orders'), 'COMPLETE', 'so does one of another database');
is(status_of($node, $id), 'SENDING', 'while the first still waits');
is(worker_pid($node), $pid, 'and the worker lives');

# Given up: certainly not sent, so it is queued again and not in doubt.
create_account($node, 'postgres', sandbox => $sandbox, name => 'hasty',
	server => { %slow, connect_timeout => '1s' }, mapping => \%basic);
$id = order_id($node, '9192000009', "server => 'hasty'");
wait_until(
	sub {
		$node->safe_psql('postgres', "SELECT string_agg(status, ' ' ORDER BY id) FROM bw_order_events WHERE order_id = $id") =~
		  /^SENDING QUEUED SENDING/;
	},
	'connect_timeout ends a look-up, and the order is tried again');
wait_for_status($node, order_id($node, '9192000010'), 'COMPLETE');
is(worker_pid($node), $pid, 'all by the same worker');
$node->safe_psql('postgres', "SELECT bw_pause('hasty')");

# --- who wants it to leave does not wait ---
$node->safe_psql('other', "SELECT bw_pause()");
create_account($node, 'other', sandbox => $sandbox, name => 'silent', server => \%slow, mapping => \%basic);
$node->safe_psql('other', "SELECT bw_order(ARRAY['9192000011'], server => 'silent')");
wait_until(
	sub { $node->safe_psql('other', "SELECT count(*) FROM bw_orders WHERE status = 'SENDING'") eq '1' },
	"the other database's worker looks for the name, too");
$began = time();
$node->safe_psql('postgres', 'DROP DATABASE other');
$took = time() - $began;
cmp_ok($took, '<', 2, "DROP DATABASE takes $took s meanwhile");
# for the next worker
$node->safe_psql('postgres', "ALTER SERVER silent OPTIONS (SET base_url '" . $sandbox->url . "/api');"
	  . "ALTER SERVER silent_token OPTIONS (SET token_url '" . $sandbox->url . "/api/v1/oauth2/token');"
	  . "ALTER SERVER hasty OPTIONS (SET base_url '" . $sandbox->url . "/api')");
is(status_of($node, $other), 'SENDING', 'the look-ups are still under way');
$began = time();
$node->stop('fast');
$took = time() - $began;
cmp_ok($took, '<', 2, "and a fast shutdown $took s");

# --- and nothing was lost ---
$node->start;
$node->safe_psql('postgres', "SELECT bw_resume('hasty')");
wait_for_all($node, 60);
is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT status, ',') FROM bw_orders"), 'COMPLETE',
	'with names that are found, all orders complete');
is($sandbox->number($_)->{bought}, 1, "$_ was bought once") foreach 9192000001, 9192000002, 9192000009;

$node->stop;
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/PANIC|terminated by signal/, 'no crash');
done_testing();
