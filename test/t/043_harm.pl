# Settings and neighbours that hurt: each has a clear message, and the worker
# goes on as soon as it can.
#
# What is elsewhere: preload and bandwidth.enabled 040; settings of the database
# 020; versions of the extension 068; schemas names.sql; servers renamed 050;
# locks on the tables of callbacks 033, 034; a full queue of work 047.
use strict;
use warnings;

use BwTest;
use IO::Socket::INET;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $sandbox = start_sandbox('order-delay' => 50);
my %fast = (requests_per_minute => 1000000, burst => 1000000);
my @conf = ("bandwidth.poll_schedule = '0.1,0.2,0.5'", "bandwidth.look_up_delays = '0.1,0.2'", "bandwidth.coalesce_delay = '50ms'");
my $number = 9192600000;

# Lines that the log has from now on.
sub log_of
{
	my ($node) = @_;
	my $offset = -s $node->logfile;

	return sub { my ($pattern) = @_; return slurp_file($node->logfile, $offset) =~ $pattern };
}

# A session that keeps a transaction open after these statements; ended by
# finish().
sub open_session
{
	my ($node, $statements) = @_;
	my ($in, $out) = ("$statements\nSELECT 'ready';\n", '');
	my $run = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$out);

	$run->pump until $out =~ /ready/;
	return $run;
}

# --- no background worker is left ---
{
	# the launchers of PostgreSQL and of ours, and one more
	my $node = bw_node('few', sandbox => $sandbox, server => \%fast, conf => [ @conf, 'max_worker_processes = 3' ]);

	worker_pid($node);
	my $log = log_of($node);
	$node->safe_psql('postgres', 'CREATE DATABASE second');
	$node->safe_psql('second', 'CREATE EXTENSION bandwidth');
	create_account($node, 'second', sandbox => $sandbox, server => \%fast);
	wait_until(sub { $log->(qr/WARNING:  could not start a worker for database \d+\n.*DETAIL:  All background workers are in use\.\n.*HINT:  Raise max_worker_processes/) },
		'max_worker_processes is used up: a warning');
	is($node->safe_psql('second', q{SELECT ok, hint FROM bw_check() WHERE "check" = 'worker'}), 'f|See the server log; max_worker_processes may be used up.', 'bw_check() knows');
	$node->safe_psql('second', "SELECT bw_order(ARRAY['" . ++$number . "'])");
	$node->safe_psql('postgres', 'DROP EXTENSION bandwidth CASCADE');
	wait_for_all($node, undef, 'second');
	# again when it had been able to look at another database meanwhile
	cmp_ok(scalar(() = slurp_file($node->logfile) =~ /could not start a worker/g), '<=', 2, 'one that becomes free is taken; the warning is not repeated');
	$node->stop('immediate');
}

# --- the port is taken ---
my $taken = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => free_port()) or die "port: $!";
my $port = $taken->sockport;
my $node = bw_node('main', sandbox => $sandbox, server => \%fast, conf => [ @conf, "bandwidth.listen_port = $port" ]);

sub sql { my ($query, $database) = @_; return $node->safe_psql($database // 'postgres', $query); }
sub order { return order_id($node, ++$number, @_); }
sub waiting_for { my ($id) = @_; return sql("SELECT waiting_for FROM bw_open_orders WHERE id = $id"); }

$node->wait_for_log(qr/WARNING:  could not listen for callbacks on port $port: .*\n.*HINT:  Orders are polled meanwhile/);
my $id = order();
wait_for_status($node, $id, 'COMPLETE');
is(sql(q{SELECT ok, detail FROM bw_check() WHERE "check" = 'listener'}), "f|port $port is not open: orders are polled", 'bw_check() knows');
close($taken);
$node->reload;
$node->wait_for_log(qr/listening for callbacks on port $port/);
pass('the port is taken: orders are polled, until it is free');

# --- time-outs and isolation of the database, a search_path of the role ---
# (the rest of what one may set: 020)
sql("ALTER DATABASE postgres SET $_") foreach "statement_timeout = '1ms'", "lock_timeout = '1ms'", "idle_in_transaction_session_timeout = '1ms'",
  "default_transaction_isolation = 'serializable'", "default_transaction_deferrable = on", "row_security = off", "session_replication_role = 'replica'";
sql("SET statement_timeout = 0; SET session_replication_role = origin; ALTER ROLE CURRENT_USER SET search_path = nowhere");
my $log = log_of($node);
# psql would have the same settings
local $ENV{PGOPTIONS} = '-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 -c session_replication_role=origin -c search_path=public -c default_transaction_isolation=read\ committed';
$id = order();
wait_for_status($node, $id, 'COMPLETE');
ok(!$log->(qr/bandwidth worker ERROR/), 'time-outs of the database are not the worker\'s');
sql('ALTER DATABASE postgres RESET ALL; ALTER ROLE CURRENT_USER RESET ALL');
delete $ENV{PGOPTIONS};

# --- somebody locks bw_orders ---
foreach my $table ('bw_orders', 'bw_queue')
{
	sql('SELECT bw_pause()');
	$id = order();
	$log = log_of($node);
	my $locker = open_session($node, "BEGIN; LOCK TABLE $table;");
	sql('SELECT bw_resume()');
	wait_until(sub { $log->(qr/bandwidth worker ERROR:  canceling statement due to lock timeout/) }, "$table is locked: the worker says so");
	$locker->finish;
	wait_for_status($node, $id, 'COMPLETE');
}

# --- the role, the server, the mapping go ---
$log = log_of($node);
sql('CREATE ROLE leaver; GRANT USAGE ON FOREIGN SERVER bandwidth TO leaver; CREATE USER MAPPING FOR leaver SERVER bandwidth OPTIONS (client_id \'client\', client_secret \'secret\'); SELECT bw_pause()');
$id = sql("SET ROLE leaver; SELECT id FROM bw_order(ARRAY['" . ++$number . "'])");
sql('DROP OWNED BY leaver; DROP ROLE leaver; SELECT bw_resume()');
my $other = order();
wait_for_status($node, $other, 'COMPLETE');
ok($log->(qr/bandwidth worker ERROR:  role "leaver" does not exist/), 'the role was dropped: the worker says so');
is(status_of($node, $id), 'QUEUED', 'its order waits, others do not');
is(waiting_for($id), 'role "leaver", which does not exist any more', 'and says for what');
my $failed = sql('SELECT last_error_at FROM bw_stat_worker');
wait_until(sub { sql('SELECT last_error_at FROM bw_stat_worker') ne $failed }, 'it is tried again');
is($log->(qr/role "leaver" does not exist.*role "leaver" does not exist/s), '', 'which the log says once');
sql('CREATE ROLE leaver');
wait_until(sub { $log->(qr/bandwidth worker ERROR:  permission denied for foreign server bandwidth/) }, 'a role without rights does not do');
is(waiting_for($id), 'USAGE on server "bandwidth" for role "leaver"', 'the order says which');
sql('GRANT USAGE ON FOREIGN SERVER bandwidth TO leaver');
is(waiting_for($id), 'a user mapping for role "leaver" on server "bandwidth"', 'what else it lacks');
sql(q{CREATE USER MAPPING FOR leaver SERVER bandwidth OPTIONS (client_id 'client', client_secret_file '/nowhere/secret')});
is(waiting_for($id), 'the secret for role "leaver" on server "bandwidth": could not open the file of option "client_secret_file": No such file or directory',
	'and that a file is missing');
sql(q{ALTER USER MAPPING FOR leaver SERVER bandwidth OPTIONS (DROP client_secret_file, ADD client_secret 'secret')});
wait_for_status($node, $id, 'COMPLETE');

# many orders without a mapping: none of them is to blame
sql('SELECT bw_pause()');
sql("SET ROLE leaver; SELECT bw_order(ARRAY[n::text], name => 'own ' || n) FROM generate_series(9192610001, 9192610020) AS n");
$log = log_of($node);
my %tries;
sql('DROP USER MAPPING FOR leaver SERVER bandwidth; SELECT bw_resume()');
wait_until(sub { $tries{ sql('SELECT last_error_at FROM bw_stat_worker') } = 1; return keys %tries > 5 }, 'orders without a mapping are tried again');
is(sql('SELECT count(*) FROM bw_queue WHERE due_at > now()'), 0, 'not one by one');
ok(!$log->(qr/cannot be claimed/), 'nor is each of them complained about');
sql(q{CREATE USER MAPPING FOR leaver SERVER bandwidth OPTIONS (client_id 'client', client_secret 'secret')});
wait_for_all($node);

# a search is no order that is claimed
sql('SELECT bw_pause()');
$id = sql("SET ROLE leaver; SELECT id FROM bw_order_search(npanxx => '919260')");
$log = log_of($node);
sql('REVOKE USAGE ON FOREIGN SERVER bandwidth FROM leaver; SELECT bw_resume()');
wait_until(sub { $log->(qr/bandwidth worker ERROR:  permission denied.*searching for numbers/s) }, 'an order by criteria without rights: the worker says so');
is(waiting_for($id), 'USAGE on server "bandwidth" for role "leaver"', 'and so does the order');
sql('GRANT USAGE ON FOREIGN SERVER bandwidth TO leaver');
wait_for_status($node, $id, 'COMPLETE');

sql('SELECT bw_pause()');
$id = order();
sql('DROP SERVER bandwidth CASCADE');
is(waiting_for($id), 'server "bandwidth", which does not exist any more', 'the server was dropped: its order says so');
create_account($node, 'postgres', sandbox => $sandbox, server => \%fast);
sql('SELECT bw_resume()');
wait_for_status($node, $id, 'COMPLETE');

# --- encodings ---
my $name = "Caf\xc3\xa9";
foreach my $encoding ('latin1', 'sql_ascii')
{
	my $client = $encoding eq 'latin1' ? "SET client_encoding = 'UTF8';" : '';
	my $story = sub { return sql("$client SELECT name, status, error_text FROM bw_orders WHERE id = $id", $encoding) };

	sql("CREATE DATABASE $encoding ENCODING '$encoding' LOCALE 'C' TEMPLATE template0", 'template1');
	sql('CREATE EXTENSION bandwidth', $encoding);
	create_account($node, $encoding, sandbox => $sandbox, server => \%fast);
	$id = sql("$client SELECT id FROM bw_order(ARRAY['" . ++$number . "'], name => '$name')", $encoding);
	wait_for_status($node, $id, 'COMPLETE', undef, $encoding);
	my ($post) = grep { $_->{body} =~ /$number/ } $sandbox->journal(class => 'ORDER', method => 'POST');
	like($post->{body}, qr{<Name>Caf\x{e9}</Name>}, "$encoding: the name is sent as UTF-8");
	is($story->(), "$name|COMPLETE|", "$encoding: and kept; no difference to its echo is seen");
	is(sql("$client SELECT count(*) FROM bw_search(city => '$name', state => 'NC')", $encoding), 0, "$encoding: so is a city, in a search");
	like(($sandbox->journal(class => 'SEARCH'))[-1]{query}, qr/city=Caf%C3%A9/i, "$encoding: as UTF-8");
	is(sql("$client SELECT count(*) FROM bw_numbers(state => 'NC', rate_center => '$name')", $encoding), 0, "$encoding: so is a filter of a list");
	like(($sandbox->journal(class => 'INSERVICE_NPANXX'))[-1]{query}, qr/ratecenter=Caf%C3%A9/i, "$encoding: as UTF-8, too");

	# a reply with what LATIN1 has, and what it has not
	$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'refuse', code => '5071', text => "na\x{ef}ve \x{2192} no", count => 1);
	$id = sql("SELECT id FROM bw_order(ARRAY['" . ++$number . "'], name => 'x')", $encoding);
	wait_for_status($node, $id, 'REJECTED', undef, $encoding);
	is($story->(), "x|REJECTED|na\xc3\xafve " . ($encoding eq 'latin1' ? '?' : "\xe2\x86\x92") . ' no', "$encoding: Bandwidth's words are kept as far as they can be");
	is(sql('SELECT string_agg("check", \',\') FROM bw_check() WHERE NOT ok AND "check" <> \'subscription\'', $encoding), 'listener',
		"$encoding: bw_check() is content, but for the port, which is the other database's");
}
my (undef, undef, $error) = $node->psql('sql_ascii', "SELECT bw_order(ARRAY['9192609999'], name => E'Caf\\xe9')");
like($error, qr/invalid byte sequence for encoding "UTF8": 0xe9/, 'sql_ascii: bytes that are no UTF-8 are refused when ordering');
(undef, undef, $error) = $node->psql('sql_ascii', "SELECT bw_order_search(city => E'Caf\\xe9', state => 'NC')");
like($error, qr/invalid byte sequence for encoding "UTF8": 0xe9/, 'sql_ascii: also in criteria');

# --- NOTIFY fails, because a session that listens is stuck ---
# A full queue (8 GB of it before PostgreSQL 17) is an error at the same place as
# one that cannot be written: when the notifying transaction is about to commit.
my $listener = open_session($node, 'LISTEN bw_orders; BEGIN; SELECT 1;');
my $queue = $node->data_dir . '/pg_notify';
chmod 0, $queue;
# all pages that the server keeps in memory, and then the rest of the last one
$node->psql('postgres', "SELECT pg_notify(repeat('c', 63), lpad(n::text, 7999, 'x')) FROM generate_series(1, $_) AS n") foreach 40, 1;
$log = log_of($node);
my @ids = map { order("name => 'unheard'") } 1 .. 3;
foreach (@ids) { wait_for_status($node, $_, 'COMPLETE'); }
ok($log->(qr/bandwidth worker ERROR:  could not access status of transaction.*\n(?:.*\n){0,3}.*CONTEXT:  notifying/), 'NOTIFY fails: it is said');
is(scalar(() = slurp_file($node->logfile) =~ /CONTEXT:  notifying/g), 1, 'once, and orders complete');
chmod 0700, $queue;
$listener->finish;
my ($in, $out) = ("LISTEN bw_orders;\nSELECT 'ready';\n", '');
$listener = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$out);
$listener->pump until $out =~ /ready/;
$id = order();
wait_for_status($node, $id, 'COMPLETE');
wait_until(sub { $in .= "SELECT 1;\n"; $listener->pump; $out =~ /Asynchronous notification "bw_orders" with payload "\{"id": $id, "status": "COMPLETE"\}"/ }, 'and is heard again');
$listener->finish;
$node->stop;

# --- the disk is full: WAL cannot be written ---
SKIP:
{
	# A small file system of our own: root of a user namespace may mount one.
	my $mount = $node->basedir . '/small';
	mkdir $mount;
	my @inside = ('unshare', '-Urm', 'sh', '-c');
	skip 'no file system can be mounted here (user namespaces are off)', 4
	  unless IPC::Run::run([ @inside, "mount -t tmpfs -o size=1m tmpfs '$mount'" ], '>&', \my $why);

	my $full = PostgreSQL::Test::Cluster->new('full');
	$full->init(extra => [ '--wal-segsize=1' ]);
	$full->append_conf('postgresql.conf', join("\n", @conf, "shared_preload_libraries = 'bandwidth'", "log_line_prefix = '%m [%p] %b '",
		'min_wal_size = 2MB', 'max_wal_size = 4MB', ''));
	$full->start;
	$full->safe_psql('postgres', 'CREATE EXTENSION bandwidth; CREATE TABLE filler (text text)');
	create_account($full, 'postgres', sandbox => $sandbox, server => \%fast);
	$full->stop;

	# the server runs below that shell, as itself again, with its WAL on 12 MB
	my $data = $full->data_dir;
	my ($uid, $gid) = ($<, $( + 0);
	my $start = "pg_ctl start -w -D '$data' -l '" . $full->logfile . "' -o '--cluster-name=full' >/dev/null";
	my ($command, $said) = ("mount -t tmpfs -o size=12m tmpfs '$mount' && cp -a '$data/pg_wal/.' '$mount' && mount --bind '$mount' '$data/pg_wal'\n", '');
	my $shell = IPC::Run::start([ 'unshare', '-Urm', 'sh' ], '<', \$command, '>', \$said, '2>&1');
	my $do = sub {
		my ($what) = @_;
		$command .= "$what\necho did:\$?\n";
		$said = '';
		$shell->pump until $said =~ /did:(\d+)/;
		return $1;
	};
	my $as_us = "unshare -U --map-user=$uid --map-group=$gid";
	is($do->("$as_us $start"), 0, 'a server with little room for WAL') or diag($said);
	$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'delay', delay_ms => 2000, count => 1);
	my $sending = order_id($full, ++$number, "name => 'sending'");
	wait_for_status($full, $sending, 'SENDING');
	wait_until(sub { grep { $_->{body} =~ /$number/ } $sandbox->journal(class => 'ORDER', method => 'POST') }, 'an order is being sent');
	$do->("dd if=/dev/zero of='$mount/ballast' bs=64k 2>/dev/null");
	$full->psql('postgres', 'INSERT INTO filler SELECT repeat(md5(n::text), 8) FROM generate_series(1, 40000) AS n');
	wait_until(sub { slurp_file($full->logfile) =~ /PANIC:  could not write to file "pg_wal.*No space left on device/ }, 'the disk is full');
	wait_until(sub { !defined try_sql($full, 'postgres', 'SELECT 1') }, 'the server is down');
	$do->("rm '$mount/ballast'; $as_us pg_ctl stop -m immediate -D '$data' >/dev/null 2>&1");
	is($do->("$as_us $start"), 0, 'there is room again') or diag($said);
	wait_for_all($full);
	is(status_of($full, $sending), 'COMPLETE', 'the order was looked up');
	is(scalar(grep { $_->{body} =~ /$number/ } $sandbox->journal(class => 'ORDER', method => 'POST')), 1, 'and sent once');
	$do->("$as_us pg_ctl stop -m immediate -D '$data' >/dev/null");
	$shell->finish;
}

done_testing();
