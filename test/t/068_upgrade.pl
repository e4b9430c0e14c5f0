# Updates: of the extension, with a library that is newer or older than its
# tables; of the server, by pg_upgrade; and the extension's removal.
#
# 1.0 is the first release, so the other versions are made here out of its
# script: 0.9 lacks something, 1.0.next has more.
use strict;
use warnings;

use BwTest;
use PostgreSQL::Test::Utils;
use Test::More;

# An installation of our own, because scripts are added to it.
my $root = "$PostgreSQL::Test::Utils::tmp_check/pg";
my ($bindir, $sharedir, $pkglibdir) = map { my $d = `pg_config --$_`; chomp $d; $d } qw(bindir sharedir pkglibdir);
my ($stage) = $bindir =~ m{^(.*)/usr/} or die "unexpected place of PostgreSQL: $bindir";
system_or_bail('cp', '-R', $stage, $root);
s/^\Q$stage\E/$root/ foreach $bindir, $sharedir, $pkglibdir;
my ($install_path) = $bindir =~ m{^(.*)/bin$};
my $scripts = "$sharedir/extension";

my $script = slurp_file("$scripts/bandwidth--1.0.sql");
my $old = $script;
my $index = "CREATE INDEX bw_order_events_order_id_idx ON bw_order_events (order_id);\n";
my ($prune) = $script =~ /^(CREATE PROCEDURE bw_prune\(.*?FROM PUBLIC;\n)/ms;
my ($usage) = $script =~ /^(COMMENT ON TABLE bw_held\n.*?;\n)/ms;
foreach my $part ($index, $prune, $usage)
{
	ok($part && $old =~ s/\Q$part\E//, 'a part that 0.9 lacks');
}
my $more = <<'END';
ALTER TABLE bw_orders ADD COLUMN remark text;
COMMENT ON COLUMN bw_orders.remark IS 'what 1.0 does not know';
ALTER TABLE bw_queue ADD CONSTRAINT bw_queue_quantity_check CHECK (quantity > 0);
CREATE TABLE bw_remarks (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, remark text NOT NULL);
SELECT pg_catalog.pg_extension_config_dump('bw_remarks', '');
CREATE FUNCTION bw_remark(id bigint) RETURNS text LANGUAGE SQL STABLE STRICT PARALLEL SAFE
RETURN (SELECT o.remark FROM bw_orders AS o WHERE o.id = bw_remark.id);
REVOKE EXECUTE ON FUNCTION bw_remark(bigint) FROM PUBLIC;
END
my %files = (
	'0.9'           => $old,
	'0.9--1.0'      => $index . $prune . $usage,
	'1.0.next'      => $script . $more,
	'1.0--1.0.next' => $more,
	'1.0.next--1.0' => "DROP FUNCTION bw_remark; ALTER EXTENSION bandwidth DROP TABLE bw_remarks; DROP TABLE bw_remarks;\n"
	  . "ALTER TABLE bw_queue DROP CONSTRAINT bw_queue_quantity_check; ALTER TABLE bw_orders DROP COLUMN remark;\n");
append_to_file("$scripts/bandwidth--$_.sql", $files{$_}) foreach sort keys %files;

my $sandbox = start_sandbox('order-delay' => 50);
my %fast = (requests_per_minute => 1000000, burst => 1000000);
my $node = bw_node('main', install_path => $install_path,
	conf => [ "bandwidth.poll_schedule = '0.1,0.2,0.5'", "bandwidth.look_up_delays = '0.1,0.2'" ]);

sub sql { my ($query, $database) = @_; return $node->safe_psql($database // 'postgres', $query); }
sub check { my ($line, $on) = @_; return ($on // $node)->safe_psql('postgres', qq{SELECT ok, detail, hint FROM bw_check() WHERE "check" = '$line'}); }

# Everything that an extension consists of, as text.
sub catalog
{
	my ($database) = @_;

	return sql(<<'END', $database);
CREATE TEMPORARY VIEW members AS
    SELECT d.classid, d.objid, pg_describe_object(d.classid, d.objid, 0) AS name
      FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid
     WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'bandwidth';
CREATE TEMPORARY VIEW tables AS
    SELECT m.name, c.* FROM members AS m JOIN pg_class AS c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid;
SELECT line FROM (
    SELECT concat_ws(' ', m.name, obj_description(m.objid, c.relname)) AS line
      FROM members AS m JOIN pg_class AS c ON c.oid = m.classid
    UNION ALL SELECT concat_ws(' ', t.name, t.relkind, t.relacl, t.reloptions, t.relrowsecurity, t.relpersistence, pg_get_viewdef(t.oid))
      FROM tables AS t
    UNION ALL SELECT concat_ws(' ', t.name, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
                               a.attgenerated, a.attcollation::regcollation, a.attacl, pg_get_expr(d.adbin, d.adrelid), col_description(t.oid, a.attnum))
      FROM tables AS t JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN pg_attrdef AS d ON d.adrelid = t.oid AND d.adnum = a.attnum
    UNION ALL SELECT concat_ws(' ', t.name, c.conname, pg_get_constraintdef(c.oid)) FROM tables AS t JOIN pg_constraint AS c ON c.conrelid = t.oid
    UNION ALL SELECT concat_ws(' ', t.name, pg_get_indexdef(i.indexrelid)) FROM tables AS t JOIN pg_index AS i ON i.indrelid = t.oid
    UNION ALL SELECT concat_ws(' ', t.name, pg_get_triggerdef(g.oid)) FROM tables AS t JOIN pg_trigger AS g ON g.tgrelid = t.oid AND NOT g.tgisinternal
    UNION ALL SELECT concat_ws(' ', t.name, p.polname, p.polcmd, p.polroles, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
      FROM tables AS t JOIN pg_policy AS p ON p.polrelid = t.oid
    UNION ALL SELECT concat_ws(' ', m.name, pg_get_functiondef(p.oid), p.proacl) FROM members AS m JOIN pg_proc AS p ON p.oid = m.objid AND m.classid = 'pg_proc'::regclass
    UNION ALL SELECT concat_ws(' ', 'dumped', t.name, k.condition) FROM pg_extension AS e, unnest(e.extconfig, e.extcondition) AS k(oid, condition), tables AS t
     WHERE e.extname = 'bandwidth' AND t.oid = k.oid) AS l
 ORDER BY line COLLATE "C";
END
}

# --- a fresh installation and an update are the same ---
my %chains = (
	fresh_old => '0.9', fresh => '1.0', fresh_next => '1.0.next',
	updated => '0.9 1.0', updated_next => '0.9 1.0.next', there_and_back => '1.0 1.0.next 1.0');
my %catalogs;
foreach my $name (sort keys %chains)
{
	my ($first, @others) = split / /, $chains{$name};

	sql("CREATE DATABASE $name", 'template1');
	sql(join(';', "CREATE EXTENSION bandwidth VERSION '$first'", map { "ALTER EXTENSION bandwidth UPDATE TO '$_'" } @others), $name);
	$catalogs{$name} = catalog($name);
}
cmp_ok(scalar(split /\n/, $catalogs{fresh}), '>', 300, 'there is much to compare');
isnt($catalogs{fresh_old}, $catalogs{fresh}, '0.9 is another one than 1.0');
isnt($catalogs{fresh_next}, $catalogs{fresh}, 'and so is 1.0.next');
is($catalogs{updated}, $catalogs{fresh}, '1.0 is the same, fresh or updated');
is($catalogs{updated_next}, $catalogs{fresh_next}, 'so is the next version');
is($catalogs{there_and_back}, $catalogs{fresh}, 'and 1.0 when an update is taken back');
sql("DROP DATABASE $_", 'template1') foreach sort keys %chains;

# --- the library is newer than the tables ---
sql("CREATE EXTENSION bandwidth VERSION '0.9'");
create_account($node, 'postgres', sandbox => $sandbox, server => \%fast);
my $number = 9192500000;
my $id = order_id($node, ++$number);
wait_for_status($node, $id, 'COMPLETE');
is(check('version'), 't|version 0.9; ALTER EXTENSION bandwidth UPDATE makes it 1.0|', 'bw_check() tells of an update');

# updated while orders are under way, and nobody waits long for a lock
$sandbox->config(order_delay_ms => 500);
my @ids = map { order_id($node, ++$number, "name => 'under way'") } 1 .. 8;
sql("SET lock_timeout = '2s'; ALTER EXTENSION bandwidth UPDATE");
push @ids, order_id($node, ++$number);
wait_for_all($node);
is(sql('SELECT string_agg(DISTINCT status, \',\') FROM bw_orders WHERE id IN (' . join(',', @ids) . ')'), 'COMPLETE', 'orders that were under way meanwhile complete');
is(check('version'), 't|version 1.0|', 'bw_check() says the new version');
$sandbox->config(order_delay_ms => 50);

# --- the tables are newer than the library ---
my $offset = -s $node->logfile;
my $warnings = sub {
	return scalar(() = slurp_file($node->logfile, $offset) =~ /WARNING:  the extension has version 1.0.next, the library serves versions up to 1.0: nothing is sent/g);
};
my $posts = $sandbox->journal_count(class => 'ORDER', method => 'POST');
sql("SET lock_timeout = '2s'; ALTER EXTENSION bandwidth UPDATE TO '1.0.next'");
wait_until($warnings, 'the worker says so');
$id = order_id($node, ++$number);
is(check('version'), 'f|the extension has version 1.0.next, the library serves versions up to 1.0|Nothing is sent. Install the library of that version, and restart the server.',
	'bw_check() says so, too');
my $worker = worker_pid($node);
sql("SELECT pg_terminate_backend($worker)");
wait_until(sub { worker_pid($node) ne $worker }, 'another worker');
wait_until(sub { $warnings->() == 2 }, 'says it once, too');
is(status_of($node, $id), 'QUEUED', 'an order waits');
is($sandbox->journal_count(class => 'ORDER', method => 'POST'), $posts, 'nothing is sent');
sql("ALTER EXTENSION bandwidth UPDATE TO '1.0'");
wait_for_status($node, $id, 'COMPLETE');

# --- pg_upgrade ---
sql(q{SELECT bw_pause(); CREATE DATABASE second});
my $waiting = order_id($node, ++$number, "name => 'waits'");
sql('CREATE EXTENSION bandwidth', 'second');
my $home = sql('SELECT home FROM bw_identity');
my $superuser = sql('SELECT current_user');
$posts = $sandbox->journal_count();
$node->stop;
my $new = PostgreSQL::Test::Cluster->new('new', install_path => $install_path);
$new->init;
$new->append_conf('postgresql.conf', slurp_file($node->data_dir . '/postgresql.conf') =~ /^(shared_preload_libraries.*)/ms ? $1 : '');
{
	local $ENV{PGHOST} = $node->host;
	my $dir = $node->basedir . '/upgrade';
	mkdir $dir;
	my $log = '';
	my $done = IPC::Run::run([ 'sh', '-c', 'cd "$1" && shift && exec "$@"', 'sh', $dir, "$bindir/pg_upgrade", '-b', $bindir, '-B', $bindir,
			'-d', $node->data_dir, '-D', $new->data_dir, '-p', $node->port, '-P', $new->port, '-s', $node->host, '-U', $superuser, '--no-sync' ],
		'>', \$log, '2>&1');
	ok($done, 'pg_upgrade') or diag($log);
}
is($sandbox->journal_count(), $posts, 'Bandwidth hears nothing of it');
$new->start;
$new->wait_for_log(qr/this database is a copy/);
my $identity = check('identity', $new);
like($identity, qr/^f\|this database is a copy .*pg_upgrade.*bw_take_over/, 'it is a copy to us, and bw_check() says what to do');
is($new->safe_psql('postgres', 'SELECT fenced FROM bw_stat_worker'), 't', 'fenced');
is(sqlstate($new, "SELECT bw_order(ARRAY['9192509999'])"), '55000', 'no orders are taken');
is($new->safe_psql('postgres', 'SELECT home FROM bw_identity'), $home, 'but it knows whose it is');
$new->safe_psql('postgres', "SELECT bw_take_over('look_up'); SELECT bw_resume()");
$new->safe_psql('second', "SELECT bw_take_over('look_up')");
wait_for_all($new);
is($new->safe_psql('postgres', "SELECT status FROM bw_orders WHERE id = $waiting"), 'COMPLETE', 'after bw_take_over() what waited is sent');
is($sandbox->number($number)->{bought}, 1, 'once');
is($new->safe_psql('postgres', 'SELECT count(*) FROM bw_lost_orders'), 0, 'and nothing of the old cluster is unknown');

# --- DROP EXTENSION ---
sub dropped
{
	my ($statement) = @_;
	my (undef, undef, $error) = $new->psql('postgres', "BEGIN; $statement; ROLLBACK");

	$error =~ s/^NOTICE:.*?(?=^\S+:  |\z)//msg;
	return $error;
}
is(dropped('DROP EXTENSION bandwidth CASCADE') =~ /(WARNING.*)/ ? $1 : '', '', 'nothing is open: no warning');
$sandbox->config(order_delay_ms => 600000);
my $under_way = order_id($new, [ $number + 1, $number + 2 ]);
$number += 2;
wait_for_status($new, $under_way, 'RECEIVED');
$new->safe_psql('postgres', 'SELECT bw_pause()');
order_id($new, ++$number) foreach 1 .. 2;
my $warning = qr/WARNING:  the extension is dropped with 1 orders under way, and 2 that wait to be sent\n/;
like(dropped('DROP EXTENSION bandwidth CASCADE'), $warning, 'DROP EXTENSION warns how many are open');
like(dropped('DROP EXTENSION IF EXISTS nothing, bandwidth CASCADE'), $warning, 'in whatever form');
unlike(dropped('CREATE ROLE nobody; SET ROLE nobody; DROP EXTENSION bandwidth CASCADE'), qr/under way/, 'but only those who may drop it');
is(status_of($new, $under_way), 'RECEIVED', 'rolled back, all is there');
$new->safe_psql('postgres', 'DROP EXTENSION bandwidth CASCADE');
wait_until(sub { $new->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'bandwidth worker' AND datname = 'postgres'") eq '0' }, 'the worker leaves');

$new->stop;
unlike(slurp_file($_->logfile), qr/PANIC|terminated by signal|TRAP/, 'no crash') foreach $node, $new;
done_testing();
