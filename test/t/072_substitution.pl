# Numbers that were taken: others are ordered in their place.
use strict;
use warnings;

use BwTest;
use Test::More;
use Time::HiRes qw(time);

my $sandbox = start_sandbox('order-delay' => 50);
my $node = bw_node('main', sandbox => $sandbox,
	server => { request_timeout => '2s', requests_per_minute => 1000000, burst => 1000000, max_numbers_per_order => 5000, max_numbers_per_day => 100000 },
	conf => [ "bandwidth.look_up_delays = '0.1,0.2'", "bandwidth.poll_schedule = '0.1,0.2,0.5'" ]);

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub posts { return $sandbox->journal_count(class => 'ORDER', method => 'POST'); }
sub field { my ($id, $what) = @_; return sql("SELECT $what FROM bw_orders WHERE id = $id"); }
sub result { return field($_[0], "concat_ws(' ', status, attempts_used, completed_quantity, failed_quantity, error_code)"); }
sub events { return sql("SELECT string_agg(concat_ws(' ', status, source, detail), '; ' ORDER BY id) FROM bw_order_events WHERE order_id = $_[0]"); }
sub numbers { return sql("SELECT string_agg(concat_ws(' ', telephone_number, status, error_code, attempt, replaces), '; ' ORDER BY telephone_number) FROM bw_order_numbers WHERE order_id = $_[0]"); }
sub order_search { my ($arguments) = @_; return sql("SELECT id FROM bw_order_search($arguments)"); }
sub spent { return sql('SELECT sum(numbers) FROM bw_spending'); }

# Each number that is COMPLETE was bought once, and no other one.
sub bought_once
{
	my ($name) = @_;
	my @wrong;
	my $count = 0;

	foreach my $row (split /\n/, sql("SELECT telephone_number, status FROM bw_order_numbers"))
	{
		my ($tn, $status) = split /\|/, $row;
		my $bought = $sandbox->number($tn)->{bought};

		$count++;
		push @wrong, "$tn $status $bought" if $bought > 1 || ($status eq 'COMPLETE' && $bought != 1);
	}
	is(join(', ', @wrong), '', "$name: of $count numbers, each is bought as its row says");
}

# --- one number ---
$sandbox->sell('9192000005');
my $id = order_id($node, '9192000005', 'attempts => 3');
wait_for_all($node);
is(result($id), 'COMPLETE 2 1 0', 'a taken number is replaced');
like(numbers($id), qr/^9192000\d\d\d COMPLETE 2 9192000005; 9192000005 FAILED 5005 1$|^9192000005 FAILED 5005 1; 9192000\d\d\d COMPLETE 2 9192000005$/,
	'by one of the same NPA-NXX; the old row keeps its error');
like(events($id), qr/^SENDING worker; RECEIVED reply; QUEUED poll 9192000005 was taken \(5005\); attempt 2 of 3; QUEUED worker 9192000\d\d\d instead of 9192000005; SENDING worker; RECEIVED reply; COMPLETE poll$/,
	'the events tell the story');
is(spent(), 1, 'one number counts for the limit per day');
is(sql("SELECT count(*) FROM bw_requests WHERE members = ARRAY[$id]::bigint[] AND state = 'closed'"), 2, 'there were two requests');
is(sql("SELECT bw_cancel($id)"), 'f', 'it cannot be cancelled');

# attempts => 1
$sandbox->sell('9192000006');
$id = order_id($node, '9192000006');
wait_for_all($node);
is(result($id), 'FAILED 1 0 1 5005', 'without attempts left it fails');

# the account has it already
$sandbox->control('own', tn => $_) foreach ('9192000008', '9192000009');
$id = order_id($node, '9192000008', 'attempts => 3');
wait_for_all($node);
is(field($id, "concat_ws(' ', status, error_code, error_text)"), 'FAILED 5005 the account has 9192000008 already', 'what the account has is not replaced');
is(numbers($id), '9192000008 FAILED 5005 1', 'no other number is bought');
$sandbox->sell('9192000010');
$id = order_id($node, [ '9192000009', '9192000010', '9192000011' ], 'attempts => 2, partial_allowed => true');
wait_for_all($node);
is(result($id), 'PARTIAL 2 2 1 5018', 'of several numbers, the others are');
is(sql("SELECT concat_ws(' ', status, error_code, error_text) FROM bw_order_numbers WHERE order_id = $id AND telephone_number = '9192000009'"),
	'FAILED 5005 the account has 9192000009 already', 'each number says why');
is(sql("SELECT string_agg(replaces, ',') FROM bw_order_numbers WHERE order_id = $id AND replaces IS NOT NULL"), '9192000010', 'and only those');
$id = order_id($node, [ '9192000009', '9192000012' ], 'attempts => 2');
wait_for_all($node);
is(field($id, "concat_ws(' ', status, error_code, error_text)"), 'FAILED 5005 the account has 9192000009 already', 'all or nothing: nothing');
is($sandbox->number('9192000012')->{state}, 'available', 'is bought');
is(sql('SELECT count(*) FROM bw_searches'), 0, 'nothing is left to search');

# every attempt fails
$sandbox->config(snatch_every => 1);
$sandbox->sell('9192000007');
$id = order_id($node, '9192000007', 'attempts => 3');
wait_for_all($node);
is(result($id), 'FAILED 3 0 1 5005', 'three attempts, and no more');
is(sql("SELECT count(*) FROM bw_order_numbers WHERE order_id = $id AND status = 'FAILED' AND error_code = '5005'"), 3, 'each with its number and error');
$sandbox->config(snatch_every => 0);
my ($again) = split /\n/, sql("SELECT id FROM bw_retry($id)");
is(sql("SELECT string_agg(telephone_number, ',') FROM bw_order_numbers WHERE order_id = $again AND replaces IS NULL"), '9192000007', 'bw_retry orders the number that was asked for');
wait_for_all($node);
is(field($again, 'status'), 'COMPLETE', 'with attempts of its own');

# the NPA-NXX is sold out: its rate center
$sandbox->control('sell', prefix => '919301', every => 1);
$id = order_id($node, '9193010001', 'attempts => 2');
wait_for_all($node);
is(result($id), 'COMPLETE 2 1 0', 'an exchange that is sold out');
like(numbers($id), qr/9192950\d\d\d COMPLETE 2 9193010001|919300\d\d\d\d COMPLETE 2 9193010001/, 'is replaced by another one of its rate center');
is(sql("SELECT count(*) FROM bw_searches"), 0, 'nothing is left to search');

# toll-free
$sandbox->config(toll_free_delay_ms => 50);
$sandbox->sell('8332000000');
$id = order_id($node, '8332000000', 'attempts => 2');
wait_for_all($node);
like(numbers($id), qr/833200\d{4} COMPLETE 2 8332000000/, 'a toll-free number by one of its kind');

# nowhere
$sandbox->control('sell', prefix => '2122', every => 1);
$id = order_id($node, '2122000001', 'attempts => 5');
wait_for_all($node);
is(result($id), 'FAILED 2 0 1 5005', 'if there is no other, the order keeps its error');
is(sql("SELECT bw_wait($id)"), 'FAILED', 'and is final');

# --- several numbers ---
$sandbox->sell($_) foreach ('9192010001', '9192020001');
$id = order_id($node, [ '9192010000', '9192010001', '9192020001' ], 'attempts => 2, partial_allowed => true');
wait_for_all($node);
is(result($id), 'COMPLETE 2 3 0', 'of several numbers, those that were taken are replaced');
is(sql("SELECT string_agg(left(telephone_number, 6) || replaces, ',' ORDER BY replaces) FROM bw_order_numbers WHERE order_id = $id AND attempt = 2"),
	'9192019192010001,9192029192020001', 'each by one like it');

$sandbox->sell('9192030001');
$id = order_id($node, [ '9192030000', '9192030001', '9192030002' ], 'attempts => 2');
wait_for_all($node);
is(result($id), 'COMPLETE 2 3 0', 'all or nothing: one is replaced');
is(sql("SELECT count(*) FROM bw_order_numbers WHERE order_id = $id AND telephone_number IN ('9192030000', '9192030002') AND status = 'COMPLETE' AND attempt = 2"), 2,
	'the others stay');

$sandbox->sell($_) foreach ('2122010000', '2122010001');
$sandbox->restock('2122010002');
$id = order_id($node, [ '2122010000', '2122010001', '2122010002' ], 'attempts => 3, partial_allowed => true');
wait_for_all($node);
is(result($id), 'PARTIAL 2 1 2 5005', 'with no others, what there is is kept');
$sandbox->restock('2122010003');
$sandbox->restock('2122010004');
$id = order_id($node, [ '2122010000', '2122010001', '2122010003' ], 'attempts => 3');
wait_for_all($node);
is(result($id), 'FAILED 2 0 3 5005', 'all or nothing: nothing');
is($sandbox->number('2122010003')->{state}, 'available', 'is bought');

# a number that is no number is no reason to look for others
$sandbox->control('spoil', tn => '9192040009');
$id = order_id($node, '9192040009', 'attempts => 3');
wait_for_all($node);
is(result($id), 'REJECTED 1 5071', 'an invalid number is refused') or diag(result($id));

# --- by criteria ---
$sandbox->config(snatch_every => 1, snatch_count => 21);
$id = order_search("npanxx => '919210', attempts => 3, name => 'tried'");
wait_for_all($node);
is(result($id), 'COMPLETE 2 1 0', 'by criteria: another search');
is(sql("SELECT count(*) FROM bw_requests WHERE members = ARRAY[$id]::bigint[] AND NOT shared"), 2, 'each with a request of its own');
# each search lists some thirty numbers, those that were found before among them
$sandbox->config(snatch_every => 2, snatch_count => 40);
$id = order_search("area_code => '919', quantity => 10, attempts => 20");
wait_for_all($node);
is(result($id), 'COMPLETE ' . field($id, 'attempts_used') . ' 10 0', 'ten, of which every second one goes');
cmp_ok(field($id, 'attempts_used'), '>', 2, 'that takes some attempts');
is(field($id, 'customer_order_id IS NULL'), 't', 'with ids of ours');
$sandbox->config(snatch_every => 0);

$sandbox->restock($_) foreach ('2122000000' .. '2122000002');
my $searches = $sandbox->journal_count(class => 'SEARCH');
$id = order_search("npanxx => '212200', quantity => 5, partial_allowed => true");
wait_for_all($node);
is(result($id), 'PARTIAL 1 3 2 5018', 'a search that finds fewer than wanted says so');
is(field($id, 'error_text'), 'only 3 of 5 telephone numbers were available', 'in words');

# refused by the POST itself
$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'refuse', code => '5218', text => 'in another order', count => 1);
$id = order_id($node, '9192110000', "attempts => 2, name => 'own'");
wait_for_all($node);
is(result($id), 'COMPLETE 2 1 0', 'a number that the POST is refused for');
like(events($id), qr/^SENDING worker; QUEUED reply 9192110000 was taken \(5218\); attempt 2 of 2/, 'is replaced at once');

# --- a lost reply in between ---
$sandbox->sell('9192120000');
$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'drop_reply', count => 1);
$id = order_id($node, '9192120000', 'attempts => 2');
wait_for_all($node);
is(result($id), 'COMPLETE 2 1 0', 'a lost reply, and a taken number');
unlike(events($id), qr/UNKNOWN[^;]*; QUEUED/, 'UNKNOWN is never queued');
$sandbox->sell('9192120001');
$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'drop_reply', skip => 1, count => 1);
$id = order_id($node, '9192120001', 'attempts => 2');
wait_for_all($node);
is(result($id), 'COMPLETE 2 1 0', 'the reply to the second attempt is lost');
is(sql("SELECT count(*) FROM bw_order_events WHERE order_id = $id AND status = 'UNKNOWN'"), 1, 'and found');

# --- the limit per day, approval ---
sql("ALTER SERVER bandwidth OPTIONS (SET max_numbers_per_day '" . (spent() + 3) . "')");
$sandbox->sell($_) foreach ('9192130000' .. '9192130002');
my @ids = map { order_id($node, $_, 'attempts => 2') } ('9192130000' .. '9192130002');
wait_for_all($node);
is(sql("SELECT count(*) FROM bw_orders WHERE id IN (" . join(',', @ids) . ") AND status = 'COMPLETE' AND attempts_used = 2"), 3,
	'numbers that were not bought do not count for the limit per day');
sql("ALTER SERVER bandwidth OPTIONS (SET max_numbers_per_day '100000')");

# --- the server is killed between the steps ---
# A trap holds the worker's transaction there.
sql(q{
CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_catalog.pg_advisory_xact_lock(77);
	RETURN NEW;
END $$});
my $trap = 0;
foreach my $case (
	[ 'being decided' => 'AFTER INSERT ON bw_searches FOR EACH ROW' ],
	[ 'being found' => "BEFORE INSERT ON bw_order_numbers FOR EACH ROW WHEN (NEW.attempt = 2)" ],
	[ 'being claimed' => "BEFORE UPDATE OF status ON bw_orders FOR EACH ROW WHEN (NEW.attempts_used = 2 AND NEW.status = 'SENDING')" ],
	[ 'being received' => "BEFORE UPDATE OF status ON bw_orders FOR EACH ROW WHEN (NEW.attempts_used = 2 AND NEW.status = 'RECEIVED')" ],
	[ 'being settled' => "BEFORE UPDATE OF status ON bw_orders FOR EACH ROW WHEN (NEW.attempts_used = 2 AND NEW.status = 'COMPLETE')" ])
{
	my ($step, $when) = @$case;
	my $first = 9192140000 + 100 * $trap++;
	my $guard = $node->background_psql('postgres');

	$sandbox->sell($_) foreach ($first, $first + 1, $first + 2);
	$guard->query_safe('SELECT pg_advisory_lock(77)');
	sql("CREATE TRIGGER trap $when EXECUTE FUNCTION trap()");
	@ids = (order_id($node, $first, 'attempts => 3'), order_id($node, [ $first + 1, $first + 2, $first + 3 ], 'attempts => 3'),
		order_id($node, $first + 4, 'attempts => 3'));
	wait_until(sub { sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") > 0 }, "$step: the worker stands there");
	$node->stop('immediate');
	eval { $guard->quit };
	$node->start;
	sql("DROP TRIGGER trap ON $1") if $when =~ / ON (\w+)/;
	wait_for_all($node);
	is(sql("SELECT string_agg(status || ' ' || attempts_used || ' ' || completed_quantity, ', ' ORDER BY id) FROM bw_orders WHERE id IN (" . join(',', @ids) . ")"),
		'COMPLETE 2 1, COMPLETE 2 3, COMPLETE 1 1', "$step: all complete") or diag(map { events($_) . "\n" } @ids);
	is(sql('SELECT count(*) FROM bw_searches'), 0, "$step: nothing is left to search");
}
bought_once('after the kills');

# --- five thousand orders, of which a third of the numbers goes ---
$sandbox->reset;
$sandbox->config(order_delay_ms => 50, snatch_every => 3, snatch_count => 1667);
my $last = sql('SELECT max(id) FROM bw_orders');
my $start = time;
sql("SELECT bw_order_search(area_code => '919', attempts => 5) FROM generate_series(1, 5000)");
my $inserted = time - $start;
wait_for_all($node, 180);
my $seconds = time - $start;
is(sql("SELECT count(*) FROM bw_orders WHERE id > $last AND status = 'COMPLETE'"), 5000, '5,000 orders by criteria are complete');
is(sql("SELECT count(DISTINCT n.telephone_number) FROM bw_order_numbers AS n WHERE order_id > $last AND status = 'COMPLETE'"), 5000, 'all with different numbers');
my $taken = sql("SELECT count(*) FROM bw_order_numbers WHERE order_id > $last AND status = 'FAILED'");
cmp_ok($taken, '>', 1000, 'though many were taken meanwhile');
cmp_ok($sandbox->journal_count(class => 'SEARCH'), '<', 50, 'a few searches');
cmp_ok(posts(), '<', 100, 'and a few POSTs');
diag(sprintf('5,000 orders by criteria, %d numbers taken: %d searches, %d POSTs, %.1f s to insert, %.1f s in all',
	$taken, $sandbox->journal_count(class => 'SEARCH'), posts(), $inserted, $seconds));

$node->stop;
done_testing();
