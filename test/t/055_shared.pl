# Orders that share a request: few POSTs, each its own outcome, refusals split.
use strict;
use warnings;

use BwTest;
use Test::More;

my $sandbox = start_sandbox('order-delay' => 50);
my $node = bw_node('main', sandbox => $sandbox,
	server => { requests_per_minute => 1000000, burst => 1000000, max_numbers_per_day => 100000 },
	conf => [ "bandwidth.look_up_delays = '0.1,0.2'", "bandwidth.poll_schedule = '0.1,0.2,0.5'",
		"bandwidth.coalesce_delay = '100ms'" ]);

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub posts { return $sandbox->journal_count(class => 'ORDER', method => 'POST'); }

# Orders for these numbers, sent together; returns the numbers of POSTs.
sub order_together
{
	my (@numbers) = @_;
	my $before = posts();

	sql('SELECT bw_pause()');
	sql("SELECT bw_order(ARRAY[n]) FROM unnest(ARRAY['" . join("','", @numbers) . "']) AS n");
	sql('SELECT bw_resume()');
	wait_for_all($node);
	return posts() - $before;
}

sub outcome
{
	my (@numbers) = @_;

	return sql("SELECT string_agg(s, ', ' ORDER BY s) FROM (SELECT status || ' ' || count(*) AS s FROM (SELECT o.status FROM bw_orders AS o JOIN bw_order_numbers AS n ON n.order_id = o.id WHERE n.telephone_number IN ('" . join("','", @numbers) . "')) AS t GROUP BY status) AS u");
}

# --- all well ---
my @numbers = (9192600000 .. 9192600099);
is(order_together(@numbers), 1, 'a hundred orders share a POST');
is(outcome(@numbers), 'COMPLETE 100', 'and complete');
is(sql("SELECT count(*) FROM bw_order_events WHERE status = 'COMPLETE'"), 100, 'each with its own event');

# --- some are gone ---
@numbers = (9192600100 .. 9192600109);
$sandbox->sell($_) foreach @numbers[ 2, 5 ];
is(order_together(@numbers), 1, 'some are gone: one POST');
is(outcome(@numbers), 'COMPLETE 8, FAILED 2', 'and each order ends by its own number');
is(outcome(@numbers[ 2, 5 ]), 'FAILED 2', 'the right ones');

# --- a refusal that names numbers ---
@numbers = (9192600200 .. 9192600219);
$sandbox->control('spoil', tn => $_, named => 1) foreach @numbers[ 3, 4 ];
is(order_together(@numbers), 2, 'a refusal that names numbers: sent again without them');
is(outcome(@numbers), 'COMPLETE 18, REJECTED 2', 'the others complete');
is(sql("SELECT DISTINCT error_code FROM bw_orders WHERE status = 'REJECTED'"), '5071', 'with the code');

# --- a refusal that names none ---
@numbers = (9192600300 .. 9192600363);
$sandbox->control('spoil', tn => $numbers[17]);
cmp_ok(order_together(@numbers), '<=', 14, 'a refusal that names none: halved');
is(outcome(@numbers), 'COMPLETE 63, REJECTED 1', 'until one is left');
is(outcome($numbers[17]), 'REJECTED 1', 'the right one');
is($sandbox->number($_)->{bought}, 1, "$_ was bought once") foreach @numbers[ 0, 16, 18, 63 ];

# --- a lost reply of a shared request ---
@numbers = (9192600400 .. 9192600409);
$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'drop_reply', count => 1);
is(order_together(@numbers), 1, 'a lost reply: one POST');
is(outcome(@numbers), 'COMPLETE 10', 'and all complete');

# --- a lost request, whose copy is refused because of one number ---
@numbers = (9192600370 .. 9192600373);
$sandbox->control('spoil', tn => $numbers[2]);
$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'reset_before', count => 1);
order_together(@numbers);
is(outcome(@numbers), 'COMPLETE 3, REJECTED 1', 'a lost request whose copy is refused: the bad number alone');
is($sandbox->number($_)->{bought}, 1, "$_ was bought once") foreach @numbers[ 0, 1, 3 ];
@numbers = (9192600380 .. 9192600383);
$sandbox->control('spoil', tn => $numbers[1], named => 1);
$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'reset_before', count => 1);
order_together(@numbers);
is(outcome(@numbers), 'COMPLETE 3, REJECTED 1', 'also when it is named');

# --- different sites do not share ---
my $before = posts();
sql('SELECT bw_pause()');
sql("SELECT bw_order(ARRAY[n::text], site_id => CASE WHEN n % 2 = 0 THEN '743' ELSE '744' END) FROM generate_series(9192600500, 9192600509) AS n");
sql('SELECT bw_resume()');
wait_for_all($node);
is(posts() - $before, 2, 'orders for two sites are two requests');

# --- roles do not share ---
sql("CREATE ROLE other; GRANT USAGE ON FOREIGN SERVER bandwidth TO other; CREATE USER MAPPING FOR other SERVER bandwidth OPTIONS (client_id 'client', client_secret 'secret')");
$before = posts();
sql('SELECT bw_pause()');
sql("SELECT bw_order(ARRAY['9192600600']); SET ROLE other; SELECT bw_order(ARRAY['9192600601'])");
sql('SELECT bw_resume()');
wait_for_all($node);
is(posts() - $before, 2, 'orders of two roles are two requests');

$node->stop;
done_testing();
