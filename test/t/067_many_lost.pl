# A failover, or a recovery, that lost more orders than may be asked about at once: the
# look at the account's orders goes on where it stopped, and what waits for it goes out.
use strict;
use warnings;

use BwTest;
use Test::More;

# Thirty calls in three seconds, and twice as many orders.
my $lost = 60;
my $sandbox = start_sandbox('order-delay' => 50);
my $primary = bw_node('primary', sandbox => $sandbox, init => [ allows_streaming => 1 ],
	server => { requests_per_minute => 600, burst => 30 },
	conf => [ "bandwidth.look_up_delays = '0.1,0.2'", "bandwidth.poll_schedule = '0.1,0.2,0.5'" ]);

create_account($primary, 'postgres', name => 'later', sandbox => $sandbox, server => { requests_per_minute => 600, burst => 30 });
$primary->safe_psql('postgres', "SELECT bw_pause('later')");
my $waits = order_id($primary, '9192660000', "name => 'waits', server => 'later'");
my $standby = bw_standby($primary, 'standby');

cut_off($standby);
$primary->safe_psql('postgres', "SELECT bw_order(ARRAY[n::text], name => 'lost') FROM generate_series(9192670001, 9192670000 + $lost) AS n");
wait_until(sub { $primary->safe_psql('postgres', "SELECT count(*) FROM bw_orders WHERE status = 'COMPLETE'") eq $lost }, 'orders that are lost');
$primary->stop('immediate');

$sandbox->clear_journal;
$standby->promote;
$standby->safe_psql('postgres', "SELECT bw_resume('later')");
wait_until(sub { $standby->safe_psql('postgres', 'SELECT count(*) FROM bw_lost_orders') eq $lost }, 'all of them are found', 60);
wait_for_status($standby, $waits, 'COMPLETE', 60);
my @reads = grep { $_->{path} =~ m{/orders/} } $sandbox->journal(class => 'HISTORY', method => 'GET');
cmp_ok(scalar @reads, '<', $lost * 1.5, 'and hardly one was read twice');

$standby->stop;
done_testing();
