# Backups and clones: what a dump brings back, to the row, the sequence and the
# grant; production copied to staging, as README says; old orders deleted.
use strict;
use warnings;

use BwTest;
use IPC::Run;
use Test::More;

my $sandbox = start_sandbox('order-delay' => 50);
my @conf = ("bandwidth.look_up_delays = '0.1,0.2'", "bandwidth.poll_schedule = '0.1,0.2,0.5'", 'wal_level = replica');
my $node = bw_node('main', sandbox => $sandbox, conf => \@conf, init => [ allows_streaming => 1 ]);

sub sql { my ($query, $database) = @_; return $node->safe_psql($database // 'postgres', $query); }
sub posts { return $sandbox->journal_count(class => 'ORDER', method => 'POST', @_); }

# What a dump is to bring back: rows, sequences, grants and settings.
sub contents
{
	my ($database) = @_;
	my @tables = split /\n/, sql(q{SELECT c.relname FROM pg_extension AS e, unnest(e.extconfig) AS o JOIN pg_class AS c ON c.oid = o
		WHERE e.extname = 'bandwidth' AND c.relkind = 'r' ORDER BY 1}, $database);
	my %contents = map { $_ => sql("SELECT string_agg(t::text, E'\\n' ORDER BY t::text) FROM $_ AS t", $database) } @tables, 'customers';

	$contents{sequences} = sql(q{SELECT string_agg(format('%s %s', sequencename, last_value), ', ' ORDER BY sequencename)
		FROM pg_sequences WHERE sequencename ~ '^bw_' AND sequencename <> 'bw_callback_keys_id_seq'}, $database);
	$contents{grants} = sql(q{SELECT string_agg(line, E'\n' ORDER BY line) FROM (
		SELECT format('%s %s', c.oid::regclass, c.relacl) FROM pg_class AS c WHERE c.relname ~ '^bw_'
		UNION ALL SELECT format('%s %s', p.oid::regprocedure, p.proacl) FROM pg_proc AS p WHERE p.proname ~ '^bw_'
		UNION ALL SELECT format('%s %s %s', s.srvname, s.srvacl, s.srvoptions) FROM pg_foreign_server AS s
		UNION ALL SELECT format('%s %s %s', m.srvname, m.usename, m.umoptions) FROM pg_user_mappings AS m) AS t(line)}, $database);
	return \%contents;
}

# --- a database with something of everything ---
sql(q{
	CREATE ROLE app; CREATE ROLE gateway; CREATE ROLE auditor;
	GRANT USAGE ON FOREIGN SERVER bandwidth TO app;
	CREATE USER MAPPING FOR app SERVER bandwidth OPTIONS (client_id 'client', client_secret 'it''s "secret"');
	GRANT EXECUTE ON FUNCTION bw_receive(text) TO gateway;
	GRANT SELECT ON bw_notifications, bw_lost_orders TO auditor;
	REVOKE EXECUTE ON FUNCTION bw_cancel(bigint) FROM PUBLIC;
	REVOKE SELECT ON bw_requests FROM PUBLIC;
	CREATE TABLE customers (id integer PRIMARY KEY, phone text, status text, error text);
	CREATE TRIGGER give AFTER INSERT ON customers REFERENCING NEW TABLE AS n FOR EACH STATEMENT
		EXECUTE FUNCTION bw_provision('number_column', 'phone', 'status_column', 'status', 'error_column', 'error', 'npanxx', '919200');
	CREATE TRIGGER again AFTER UPDATE ON customers FOR EACH ROW WHEN (NEW.status = 'retry')
		EXECUTE FUNCTION bw_provision('number_column', 'phone', 'status_column', 'status', 'error_column', 'error', 'npanxx', '919200');
	SELECT bw_order(ARRAY['9192500001', '9192500002'], name => 'Café "x"', tag => '{"a": [1, null]}', idempotency_key => 'k', customer_order_id => 'c 1');
	INSERT INTO customers VALUES (1), (2);
	SET ROLE app; SELECT bw_order(ARRAY['9192500003']); RESET ROLE;
	SELECT bw_subscribe(email => 'someone@example.com', digest => 'DAILY');
	SELECT bw_receive('this is none');
	INSERT INTO bw_lost_orders SELECT '9900000', 'x', home, 'order', 'bandwidth', 'y', 'COMPLETE', '{9192500099}' FROM bw_identity;
});
$sandbox->sell('9192500004');
order_id($node, '9192500004');
wait_for_all($node);
wait_until(sub { sql(q{SELECT (SELECT state FROM bw_subscriptions) || (SELECT outcome FROM bw_notifications) || (SELECT count(*) FROM bw_provisions)}) eq 'ACTIVEmalformed0' }, 'everything is done');
sql(q{SELECT bw_pause(reason => 'backup'); SELECT bw_order(ARRAY['9192500005'], idempotency_key => 'waits'); INSERT INTO customers VALUES (3)});
my $expected = contents('postgres');
my $posts = posts();

# --- dumped and restored ---
my %dumps = (custom => [ '-Fc' ], inserts => [ '-Fp', '--inserts' ]);
foreach my $how (sort keys %dumps)
{
	my $file = $node->basedir . "/$how";

	sql("CREATE DATABASE $how");
	$node->command_ok([ 'pg_dump', @{ $dumps{$how} }, '-f', $file, $node->connstr('postgres') ], "$how: pg_dump");
	$node->command_ok(
		$how eq 'custom'
		? [ 'pg_restore', '--exit-on-error', '-d', $node->connstr($how), $file ]
		: [ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $file, $node->connstr($how) ],
		"$how: restored");
	is_deeply(contents($how), $expected, "$how: the same rows, sequences, grants and accounts");
	isnt(sql('SELECT home FROM bw_identity', $how), sql('SELECT home FROM bw_identity'), "$how: but a database of its own");
}
like($expected->{bw_lost_orders}, qr/9192500099/, 'the comparison sees rows');

# A key of the dump: of what has ended it is an answer, of what waits there it is none.
is($node->safe_psql('custom', q{SELECT DISTINCT status FROM bw_order(ARRAY['9192500001', '9192500002'], idempotency_key => 'k')}), 'COMPLETE',
	'restored: a key returns an order that has ended');
is(sqlstate($node, q{SELECT bw_order(ARRAY['9192500005'], idempotency_key => 'waits')}, 'custom'), '55000', 'restored: not one that is never sent');
my (undef, undef, $error) = $node->psql('custom', q{SELECT bw_order(ARRAY['9192500005'], idempotency_key => 'waits')});
like($error, qr/by order \d+ of another database.*DETAIL: .*HINT: .*another idempotency_key/s, 'restored: and says what to do');
is(sqlstate($node, q{SELECT bw_order(ARRAY['9192500009'], idempotency_key => 'waits')}, 'custom'), '22023', 'restored: its key is still no other order\'s');

# It sends nothing that came with the dump, and fills no row; a row that waited
# may be ordered for again, because nobody here works on it.
worker_pid($node, 'custom');
my $new = $node->safe_psql('custom', q{SELECT id FROM bw_order(ARRAY['9192500006'])});
wait_for_status($node, $new, 'COMPLETE', undef, 'custom');
is(posts(), $posts + 1, 'restored: one order, one POST');
is(sql('SELECT id, phone, status FROM customers WHERE id = 3', 'custom'), '3||', 'restored: the row that waited still does');
sql("UPDATE customers SET status = 'retry' WHERE id = 3", 'custom');
wait_until(sub { sql('SELECT status FROM customers WHERE id = 3', 'custom') eq 'COMPLETE' }, 'restored: an UPDATE orders a number for it');
is(sql("SELECT string_agg(status, ',') FROM bw_orders WHERE home <> (SELECT home FROM bw_identity) AND NOT is_final", 'custom'), 'QUEUED,QUEUED', 'restored: the old orders are history');
is(posts(), $posts + 2, 'restored: again one POST');

# --- the storage is copied: a snapshot, started elsewhere ---
my $staging_sandbox = start_sandbox('order-delay' => 50);
my $staging = PostgreSQL::Test::Cluster->new('staging');
$node->backup('snapshot');
$staging->init_from_backup($node, 'snapshot');
$staging->append_conf('postgresql.conf', "bandwidth.instance = 'staging'\n");
$staging->start;
$staging->wait_for_log(qr/this database is a copy/);
is($staging->safe_psql('postgres', 'SELECT pg_control_system() IS NULL, fenced FROM bw_stat_worker'), 'f|t', 'staging: fenced');
is($staging->safe_psql('postgres', 'SELECT system_identifier FROM pg_control_system()'), sql('SELECT system_identifier FROM pg_control_system()'),
	'staging: although the system identifier is the same');
is(sqlstate($staging, "SELECT bw_order(ARRAY['9192500007'])"), '55000', 'staging: it takes no order');

# The recipe of README, with this test's addresses.
open(my $file, '<', "$ENV{BW_FILES}/README.md") or die "could not open README.md: $!";
my $readme = do { local $/; <$file> };
my ($recipe) = $readme =~ /^### Copy production to staging\n.*?^```\n(BEGIN;\n.*?)^```/ms;
ok($recipe, 'README has a recipe');
my $url = $staging_sandbox->url;
$recipe =~ s{http://127.0.0.1:8080}{$url}g;
$staging->safe_psql('postgres', $recipe);
is($staging->safe_psql('postgres', 'SELECT fenced FROM bw_stat_worker'), 'f', 'staging: it orders from now on');
is($staging->safe_psql('postgres', 'SELECT string_agg(status, \',\') FROM bw_orders WHERE NOT is_final'), '', 'staging: what waited is cancelled');
is($staging->safe_psql('postgres', "SELECT count(*) FROM pg_user_mappings WHERE umoptions::text ~ 'secret' AND umoptions::text !~ 'sandbox'"), 0,
	'staging: no secret of production is left');
my $own = order_id($staging, '9192500007');
wait_for_status($staging, $own, 'COMPLETE');
is($staging_sandbox->journal_count(class => 'ORDER', method => 'POST'), 1, 'staging: one order at its own sandbox');
is(posts(), $posts + 2, 'staging: nor has there been one');
$staging->stop('immediate');

# --- deleting what is old ---
sub counts { return sql(q{SELECT concat_ws(' ', (SELECT count(*) FROM bw_orders), (SELECT count(*) FROM bw_order_numbers),
	(SELECT count(*) FROM bw_order_events), (SELECT count(*) FROM bw_requests), (SELECT count(*) FROM bw_notifications))}); }
my $before = counts();
is(sql("CALL bw_prune(now() - interval '1 day')"), '0|0|0', 'bw_prune: nothing is that old');
is(counts(), $before, 'and nothing goes');
is(sqlstate($node, q{BEGIN; CALL bw_prune(now())}), '2D000', 'not in a transaction block: it commits');
is(sqlstate($node, q{CALL bw_prune(NULL)}), '22004', 'not without a time');
is(sqlstate($node, q{SET ROLE app; CALL bw_prune(now())}), '42501', 'not for everybody');

# more than a page; one with a request that carries a young order, too
sql(q{
	INSERT INTO bw_orders (home, kind, server, account_id, ordered_by, status, quantity, partial_allowed, back_order_requested, created_at, closed_at)
	OVERRIDING USER VALUE
	SELECT i.home, 'order', 'bandwidth', '9900000', 'app', 'COMPLETE', 1, false, false, now() - interval '2 years', now() - interval '2 years'
	  FROM bw_identity AS i, generate_series(1, 2500);
	INSERT INTO bw_order_numbers SELECT id, (2000000000 + id)::text, 'COMPLETE' FROM bw_orders WHERE closed_at < now() - interval '1 year';
	INSERT INTO bw_order_events (order_id, status, source) SELECT id, 'COMPLETE', 'poll' FROM bw_orders WHERE closed_at < now() - interval '1 year';
	INSERT INTO bw_requests (home, kind, server, account_id, ordered_by, customer_order_id, members, quantity, state, created_at, closed_at)
	SELECT home, 'explicit', server, account_id, ordered_by, 'r' || id, ARRAY[id] || CASE WHEN id % 1000 = 0 THEN 1 END::bigint, 1, 'closed', created_at, closed_at
	  FROM bw_orders WHERE closed_at < now() - interval '1 year';
	UPDATE bw_requests SET members = ARRAY[(SELECT min(id) FROM bw_orders), members[1]] WHERE id = (SELECT max(id) FROM bw_requests);
	INSERT INTO bw_notifications (received_at, body) SELECT now() - interval '2 years', 'x' FROM generate_series(1, 1200);
	INSERT INTO bw_inbox SELECT max(id), 'infinity' FROM bw_notifications;
});
my $locked = sql(q{SELECT max(id) FROM bw_orders});
my ($in, $out) = ("BEGIN;\nSELECT 'locked' FROM bw_orders WHERE id = $locked FOR UPDATE;\n", '');
my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$out);
$session->pump until $out =~ /locked/;
is(sql("CALL bw_prune(now() - interval '1 year')"), '2499|2497|1199', 'bw_prune: what is old goes, but what is locked, or not done');
$in .= "ROLLBACK;\n";
$session->finish;
is(sql("CALL bw_prune(before => now() - interval '1 year')"), '1|0|0', 'that goes the next time');
my ($orders, $numbers, $events, $requests, $notifications) = split / /, $before;
is(counts(), join(' ', $orders, $numbers, $events, $requests + 3, $notifications + 1), 'with numbers, events, and requests but for those with a younger order; no other row');
sql('DELETE FROM bw_inbox');
is(sqlstate($node, "CALL bw_prune($_)"), '22023', "not what is in the future: $_") foreach "'infinity'", "now() + interval '2 years'";
is(sql(q{CALL bw_prune(now())}), join('|', $orders - 2, $requests + 3, $notifications + 1), 'final orders only, however old');
is(sql(q{SELECT string_agg(DISTINCT status, ',') FROM bw_orders}), 'QUEUED', 'those that wait stay');
cmp_ok(sql('SELECT now() - pruned_before FROM bw_identity'), 'lt', '00:01', 'what is in the future was not pruned');
sql('SELECT bw_resume()');
wait_for_all($node);

$node->stop;
done_testing();
