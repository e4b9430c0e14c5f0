# Writing outcomes into users' rows: locks and slow triggers hold up nobody else,
# whole statements of rows get numbers, and crashes write each number once.
use strict;
use warnings;

use BwTest;
use Test::More;
use Time::HiRes qw(time);

my $TIMEOUT_S = 1;
# What a busy machine may add.
my $SLACK_S = 4;

my $port    = free_port();
my $sandbox = start_sandbox('order-delay' => 20);
my $node    = bw_node('main', sandbox => $sandbox,
	server => { requests_per_minute => 1000000, burst => 1000000, max_numbers_per_order => 5000, max_numbers_per_day => 100000 },
	conf => [ "bandwidth.write_back_timeout = '${TIMEOUT_S}s'", "bandwidth.poll_schedule = '0.1,0.2,0.5'", "bandwidth.listen_port = $port",
		"bandwidth.coalesce_delay = '50ms'", 'restart_after_crash = on', 'max_prepared_transactions = 5', 'log_lock_waits = on' ]);

sub sql { return $node->safe_psql('postgres', $_[0]); }

# A table whose rows get numbers.
sub make_table
{
	my ($name, $trigger, %more) = @_;
	my $arguments = join(', ', map { "'$_', '$more{$_}'" } sort keys %more);

	sql(qq{
		CREATE TABLE $name (id int PRIMARY KEY, phone text, state text DEFAULT 'pending', error text);
		CREATE TRIGGER provision AFTER INSERT ON $name $trigger
		 EXECUTE FUNCTION bw_provision('number_column', 'phone', 'status_column', 'state', 'error_column', 'error', $arguments)});
	return;
}

sub written { return sql("SELECT count(*) FROM bw_orders WHERE for_table = 'public.$_[0]' AND written_back_at IS NOT NULL"); }

my $ROW       = 'FOR EACH ROW';
my $STATEMENT = 'REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT';

sql("SELECT bw_subscribe('http://127.0.0.1:$port/bandwidth')");
wait_until(sub { sql('SELECT state FROM bw_subscriptions') eq 'ACTIVE' }, 'subscribed');

# --- locks that last, and triggers that sleep ---
make_table('locked', $ROW, npanxx => '919200');
make_table('shut', $ROW, npanxx => '919200');
make_table('sleepy', $ROW, npanxx => '919200');
make_table('quick', $ROW, npanxx => '919200');
sql(q{
	CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM pg_sleep(600);
		RETURN NEW;
	END $$;
	CREATE TRIGGER sleep BEFORE UPDATE ON sleepy FOR EACH ROW EXECUTE FUNCTION sleep();
	CREATE TABLE parted (id int PRIMARY KEY, phone text) PARTITION BY RANGE (id);
	CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (1000);
	CREATE TRIGGER provision AFTER INSERT ON parted FOR EACH ROW EXECUTE FUNCTION bw_provision('number_column', 'phone', 'npanxx', '919200');
	SELECT bw_pause();
	INSERT INTO parted SELECT generate_series(1, 40);
	INSERT INTO locked VALUES (1), (2);
	INSERT INTO shut VALUES (1);
	INSERT INTO sleepy SELECT generate_series(1, 20)});
my $holder = $node->background_psql('postgres', on_error_stop => 1);
$holder->query_safe('BEGIN');
$holder->query_safe('SELECT FROM locked WHERE id = 1 FOR UPDATE');
$holder->query_safe('LOCK TABLE shut, parted_1');
sql('SELECT bw_resume()');
wait_until(sub { sql(q{SELECT count(DISTINCT for_table) FROM bw_orders WHERE for_table IN ('public.locked', 'public.shut', 'public.sleepy') AND write_back_error IS NOT NULL}) == 3 },
	'a locked row, a locked table, a trigger that sleeps');
like(sql(q{SELECT string_agg(DISTINCT write_back_error, '; ' ORDER BY write_back_error) FROM bw_orders WHERE write_back_error IS NOT NULL}),
	qr/^(canceling statement due to lock timeout \(SQLSTATE 55P03\); )?canceling statement due to statement timeout \(SQLSTATE 57014\); could not obtain lock on row in relation "locked" \(SQLSTATE 55P03\)$/,
	'are written to later');

my $slowest = 0;
foreach my $i (1 .. 5)
{
	my $start = time;
	my $id = order_id($node, '919235000' . $i);

	sql("INSERT INTO quick VALUES ($i)");
	wait_for_status($node, $id, 'COMPLETE');
	$slowest = time - $start if time - $start > $slowest;
	wait_until(sub { written('quick') == $i }, 'a row of another table is written');
}
my $worst = sql(q{SELECT extract(epoch FROM max(written_back_at - closed_at)) FROM bw_orders WHERE for_table = 'public.quick'});
cmp_ok($worst, '<', $TIMEOUT_S + $SLACK_S, 'rows of other tables wait for one time-out, not for all that are late');
cmp_ok($slowest, '<', $SLACK_S, 'orders for no row wait for none');
cmp_ok(sql(q{SELECT max(extract(epoch FROM applied_at - received_at)) FROM bw_notifications}), '<', $SLACK_S, 'nor do callbacks');
is(written('locked'), 1, 'nor does another row of the table');
is(sql(q{SELECT count(*) FROM bw_orders WHERE for_table IN ('public.shut', 'public.parted') AND status = 'COMPLETE'}), 41, 'orders whose rows are locked go out');
cmp_ok(sql(q{SELECT count(*) FROM bw_provisions AS p WHERE p.relation = 'sleepy'::regclass AND tries = 0}), '>', 0, 'some had not even their first try');
diag(sprintf('with %s rows that cannot be written: a row of another table waits %.2f s at most, an order takes %.2f s', sql('SELECT count(*) FROM bw_provisions'), $worst, $slowest));
is(written('sleepy') + written('shut'), 0, 'the lock was held, and the trigger slept, all the time');
$holder->query_safe('COMMIT');
$holder->quit;
sql('DROP TRIGGER sleep ON sleepy; UPDATE bw_provisions SET due_at = now()');
wait_until(sub { sql('SELECT count(*) FROM bw_provisions') == 0 }, 'all are written in the end');

# code that will not be stopped
sql(q{
	CREATE FUNCTION resist() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		LOOP
			BEGIN
				PERFORM pg_sleep(600);
			EXCEPTION WHEN query_canceled THEN NULL;
			END;
		END LOOP;
	END $$});
make_table('stubborn', $ROW, npanxx => '919200');
sql('CREATE TRIGGER resist BEFORE UPDATE ON stubborn FOR EACH ROW EXECUTE FUNCTION resist()');
sql('INSERT INTO stubborn VALUES (1), (2), (3)');
wait_until(sub { sql(q{SELECT count(*) FROM bw_provisions WHERE relation = 'stubborn'::regclass AND tries > 0}) > 0 }, 'a trigger that catches its cancellation');
my $id = order_id($node, '9192350010');
wait_for_status($node, $id, 'COMPLETE');
sql('INSERT INTO quick VALUES (10)');
wait_until(sub { written('quick') == 6 }, 'costs a process');
cmp_ok(sql(q{SELECT count(*) FROM bw_provisions WHERE relation = 'stubborn'::regclass AND tries = 0}), '>', 0, 'and comes last from then on');
sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'bandwidth provisioner'});
sql('DROP TABLE stubborn');

# --- two phases ---
make_table('phases', $ROW, npanxx => '919201');
sql(q{BEGIN; INSERT INTO phases VALUES (1); PREPARE TRANSACTION 'one'});
sql(q{BEGIN; INSERT INTO phases VALUES (2); PREPARE TRANSACTION 'two'});
sql(q{BEGIN; INSERT INTO phases VALUES (3), (4); DELETE FROM phases WHERE id = 3; PREPARE TRANSACTION 'three'});
sql(q{ROLLBACK PREPARED 'two'});
sql(q{COMMIT PREPARED 'one'});
sql(q{COMMIT PREPARED 'three'});
# wakes the worker at once
order_id($node, '9192350020');
wait_until(sub { written('phases') == 2 }, 'prepared transactions');
is(sql(q{SELECT string_agg(id || ' ' || state, ', ' ORDER BY id) FROM phases}), '1 COMPLETE, 4 COMPLETE', 'give numbers to what is committed');
is(sql(q{SELECT string_agg(status, ', ' ORDER BY id) FROM bw_orders WHERE for_table = 'public.phases'}), 'COMPLETE, CANCELLED, COMPLETE', 'and to nothing else');

# --- five thousand rows, of which a third of the numbers goes ---
$sandbox->reset;
$sandbox->config(order_delay_ms => 50, snatch_every => 3, snatch_count => 1667);
sql("SELECT bw_rotate_callback_credentials()");
make_table('crowd', $STATEMENT, area_code => '919', attempts => 6);
$sandbox->clear_journal;
my $start = time;
sql('INSERT INTO crowd SELECT generate_series(1, 5000)');
my $inserted = time - $start;
wait_for_all($node, 180);
my $bought = time - $start;
wait_until(sub { sql(q{SELECT count(*) FROM bw_provisions WHERE due_at IS NOT NULL}) == 0 && written('crowd') == 5000 }, 'all are written', 120);
my $in_all = time - $start;
is(sql(q{SELECT count(*) || ' ' || count(DISTINCT phone) FROM crowd WHERE state = 'COMPLETE' AND error IS NULL}), '5000 5000', '5,000 rows have 5,000 numbers');
is(sql(q{SELECT count(*) FROM crowd AS c WHERE NOT EXISTS (SELECT FROM bw_orders AS o JOIN bw_order_numbers AS n ON n.order_id = o.id
	WHERE o.for_table = 'public.crowd' AND o.for_key = jsonb_build_object('id', c.id) AND n.telephone_number = c.phone AND n.status = 'COMPLETE')}), 0, 'each the one that was ordered for it');
my %bought;
$bought{$_}++ foreach map { @{ $_->{completed} } } $sandbox->orders;
is(scalar(keys %bought) . ' ' . (grep { $_ > 1 } values %bought), '5000 0', 'no more were bought, and none twice');
my $taken = sql(q{SELECT count(*) FROM bw_order_numbers AS n JOIN bw_orders AS o ON o.id = n.order_id WHERE o.for_table = 'public.crowd' AND n.status = 'FAILED'});
cmp_ok($taken, '>', 1000, 'though many were taken meanwhile');
my ($searches, $posts) = map { $sandbox->journal_count(class => $_, method => $_ eq 'ORDER' ? 'POST' : 'GET') } ('SEARCH', 'ORDER');
cmp_ok($searches, '<', 50, 'a few searches');
cmp_ok($posts, '<', 100, 'and a few POSTs');
diag(sprintf('5,000 rows, %d numbers taken: %d searches, %d POSTs; inserted in %.1f s, bought in %.1f s, written in %.1f s', $taken, $searches, $posts, $inserted, $bought, $in_all));

# --- statements that insert fewer rows than they have ---
$sandbox->config(snatch_every => 0);
make_table('fewer', $STATEMENT, npanxx => '919202');
my $before = sql('SELECT count(*) FROM bw_orders');
sql('INSERT INTO fewer VALUES (1)');
sql('INSERT INTO fewer SELECT generate_series(1, 3) ON CONFLICT DO NOTHING');
sql(q{INSERT INTO fewer SELECT generate_series(1, 4) ON CONFLICT (id) DO UPDATE SET error = 'again'});
sql('MERGE INTO fewer AS f USING generate_series(1, 6) AS n ON f.id = n WHEN MATCHED AND n = 1 THEN UPDATE SET error = NULL WHEN NOT MATCHED AND n = 5 THEN INSERT (id) VALUES (n)');
sql("COPY fewer (id) FROM PROGRAM 'printf \"7\\\\n8\\\\n\"'");
sql(q{
	CREATE FUNCTION remove() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		DELETE FROM fewer WHERE id = 10;
		RETURN NULL;
	END $$;
	CREATE TRIGGER zz_later AFTER INSERT ON fewer EXECUTE FUNCTION remove();
	INSERT INTO fewer SELECT generate_series(9, 11)});
wait_for_all($node);
is(sql(q{SELECT string_agg(for_key ->> 'id' || ' ' || status, ', ' ORDER BY (for_key ->> 'id')::int) FROM bw_orders WHERE for_table = 'public.fewer'}),
	'1 COMPLETE, 2 COMPLETE, 3 COMPLETE, 4 COMPLETE, 5 COMPLETE, 7 COMPLETE, 8 COMPLETE, 9 COMPLETE, 10 CANCELLED, 11 COMPLETE',
	'ON CONFLICT, MERGE, COPY, a later trigger: one order for each row that is there');
is(sql('SELECT count(*) FROM bw_orders') - $before, 10, 'and no others');

# --- a row that goes after its order was refused for now ---
$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'status', status => 403, count => 1);
sql("INSERT INTO fewer VALUES (20)");
wait_until(sub { sql("SELECT count(*) FROM bw_pauses") }, 'a refusal pauses the orders of the role');
sql('DELETE FROM fewer WHERE id = 20; SELECT bw_resume()');
wait_for_all($node);
is(sql("SELECT status || ' ' || failed_quantity || ' ' || write_back_error FROM bw_orders WHERE for_key = '{\"id\": 20}' AND for_table = 'public.fewer'"),
	'FAILED 1 the row was deleted, or its primary key was changed', 'what was sent once is not CANCELLED when its row is gone');

$node->stop;
done_testing();
