# Many open orders are asked about by the list; what fails, fails alone.
use strict;
use warnings;

use BwTest;
use Test::More;

my $sandbox = start_sandbox('order-delay' => 4000);
my $node = bw_node('main', sandbox => $sandbox,
	server => { requests_per_minute => 1000000, burst => 1000000, max_numbers_per_day => 100000, max_in_flight => 64 },
	conf => [ "bandwidth.poll_schedule = '1,2,2,2,2,2,2'", "bandwidth.look_up_delays = '0.1,0.2'" ]);

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub lists
{
	return scalar grep { $_->{path} !~ m{/orders/} } $sandbox->journal(class => 'HISTORY', method => 'GET');
}

sub details
{
	return scalar grep { $_->{path} =~ m{/orders/} } $sandbox->journal(class => 'HISTORY', method => 'GET');
}

# --- a thousand requests, no callbacks ---
$sandbox->sell('9192700500');
sql("SELECT bw_order(ARRAY[n::text], name => 'own ' || n) FROM generate_series(9192700000, 9192700999) AS n");
wait_for_all($node, 120);
is(sql("SELECT string_agg(s, ', ' ORDER BY s) FROM (SELECT status || ' ' || count(*) AS s FROM bw_orders GROUP BY status) AS t"),
	'COMPLETE 999, FAILED 1', 'a thousand open orders end without a callback');
cmp_ok(lists(), '<=', 10, 'with at most ten lists: ' . lists());
diag('single reads: ' . details());
is(sql("SELECT status || ' ' || error_code FROM bw_order_numbers WHERE telephone_number = '9192700500'"), 'FAILED 5005', 'the one that failed was read by itself');

# --- a mapping that is gone stops only its own orders ---
sql("CREATE ROLE other; GRANT USAGE ON FOREIGN SERVER bandwidth TO other; CREATE USER MAPPING FOR other SERVER bandwidth OPTIONS (client_id 'client', client_secret 'secret')");
$sandbox->config(order_delay_ms => 1500);
my $theirs = $node->safe_psql('postgres', "SET ROLE other; SELECT id FROM bw_order(ARRAY['9192701000'])");
wait_for_status($node, $theirs, 'RECEIVED');
sql('DROP USER MAPPING FOR other SERVER bandwidth');
my $ours = order_id($node, '9192701001');
wait_for_status($node, $ours, 'COMPLETE');
pass('an order whose mapping was dropped does not stop another one');
is(status_of($node, $theirs), 'RECEIVED', 'it waits itself');
sql("CREATE USER MAPPING FOR other SERVER bandwidth OPTIONS (client_id 'client', client_secret 'secret')");
sql("SELECT bw_recheck($theirs)");
wait_for_status($node, $theirs, 'COMPLETE');
pass('until it has one again');

# --- nor do many of them use up the calls of the others ---
create_account($node, 'postgres', name => 'tight', sandbox => $sandbox, server => { requests_per_minute => 60, burst => 80 });
sql("GRANT USAGE ON FOREIGN SERVER tight TO other; CREATE USER MAPPING FOR other SERVER tight OPTIONS (client_id 'client', client_secret 'secret')");
$sandbox->config(order_delay_ms => 600000);
sql("SET ROLE other; SELECT bw_order(ARRAY[n::text], name => 'own ' || n, server => 'tight') FROM generate_series(9192702000, 9192702059) AS n");
wait_until(sub { sql("SELECT count(*) FROM bw_orders WHERE server = 'tight' AND status = 'RECEIVED'") eq '60' }, 'many orders are open');
$sandbox->config(order_delay_ms => 50);
sql('DROP USER MAPPING FOR other SERVER tight; UPDATE bw_open_requests SET due_at = now()');
wait_until(sub { sql("SELECT min(due_at) > now() + interval '30 s' FROM bw_open_requests") eq 't' }, 'nobody can ask about them');
$ours = order_id($node, '9192702100', "server => 'tight'");
wait_for_status($node, $ours, 'COMPLETE', 30);
pass('and others are asked about');

$node->stop;
done_testing();
