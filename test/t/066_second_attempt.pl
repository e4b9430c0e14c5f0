# A failover while orders try other numbers: what the old primary sent in their second
# attempt belongs to them, and is not bought again.
use strict;
use warnings;

use BwTest;
use Test::More;

my $sandbox = start_sandbox('order-delay' => 50);
my @conf = (
	"bandwidth.look_up_delays = '0.1,0.2'", "bandwidth.poll_schedule = '0.1,0.2,0.5'",
	"bandwidth.poll_interval = '1s'",       "bandwidth.coalesce_delay = '50ms'");
my %account = (sandbox => $sandbox, server => { requests_per_minute => 1000000, burst => 1000000 });
my $primary = bw_node('primary', init => [ allows_streaming => 1 ], conf => \@conf, %account);
create_account($primary, 'postgres', %account, name => $_) foreach 'several', 'first';
my $standby = bw_standby($primary, 'standby');

sub field { my ($node, $id, $what) = @_; return $node->safe_psql('postgres', "SELECT $what FROM bw_orders AS o WHERE id = $id"); }
sub in_attempt_2 { my ($id) = @_; return field($primary, $id, "status || ' ' || attempts_used || ' ' || (request_id IS NULL)"); }

sub numbers
{
	my ($node, $id) = @_;

	return field($node, $id, "(SELECT string_agg(n.telephone_number, ' ' ORDER BY 1) FROM bw_order_numbers AS n WHERE n.order_id = o.id AND n.status = 'COMPLETE')");
}

# --- what the standby knows ---
# several numbers: the other one is found, and the request that names it was put off
$sandbox->config(order_delay_ms => 1500);
$sandbox->sell($_) foreach '9192610001', '9192600001';
my $several = order_id($primary, [ '9192610000', '9192610001', '9192610002' ], "attempts => 2, server => 'several'");
my $one = order_id($primary, [ '9192600000', '9192600001', '9192600002' ], "attempts => 2, partial_allowed => true, server => 'several'");
wait_for_status($primary, $_, 'RECEIVED') foreach $several, $one;
$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'rate_limit', retry_after_s => 600);
wait_until(sub { $sandbox->journal_count(class => 'ORDER', method => 'POST', status => 429)
	&& $primary->safe_psql('postgres', 'SELECT count(*) FROM bw_queue WHERE NOT search') eq '2' },
	'several numbers: the second attempt is put off');
is(field($primary, $_, "status || ' ' || attempts_used"), 'QUEUED 2', "order $_ waits for it") foreach $several, $one;
$primary->safe_psql('postgres', "SELECT bw_pause('several'), bw_pause('first')");
$sandbox->clear_faults;
# which forgets how long it was put off
$primary->restart;

# by criteria: another number is being searched for
$sandbox->config(order_delay_ms => 4000, snatch_every => 1, snatch_count => 1);
my $second = $primary->safe_psql('postgres', "SELECT id FROM bw_order_search(npanxx => '919262', attempts => 3)");
wait_for_status($primary, $second, 'RECEIVED');
$sandbox->config(snatch_every => 1, snatch_count => 1);
my $mine = $primary->safe_psql('postgres', "SELECT id FROM bw_order_search(npanxx => '919265', attempts => 3, customer_order_id => 'mine')");
wait_for_status($primary, $mine, 'RECEIVED');
$sandbox->config(snatch_every => 0);
$sandbox->fault(class => 'SEARCH', kind => 'status');
wait_until(sub { in_attempt_2($_) eq 'QUEUED 2 true' }, "order $_, by criteria: the second attempt looks for another number") foreach $second, $mine;

# by criteria: nothing was sent yet
my $first = $primary->safe_psql('postgres', "SELECT id FROM bw_order_search(npanxx => '919263', attempts => 3, server => 'first')");
$primary->wait_for_catchup($standby);
cut_off($standby);

# --- what only the old primary knows ---
$sandbox->config(order_delay_ms => 50);
$sandbox->clear_faults;
$primary->safe_psql('postgres', "SELECT bw_resume('several')");
wait_for_status($primary, $_, 'COMPLETE') foreach $several, $one, $second, $mine;
$sandbox->config(snatch_every => 1, snatch_count => 1);
$primary->safe_psql('postgres', "SELECT bw_resume('first')");
wait_for_status($primary, $first, 'COMPLETE');
$sandbox->config(snatch_every => 0);
is(field($primary, $_, 'attempts_used'), 2, "order $_ took two attempts") foreach $several, $one, $second, $mine, $first;
my %numbers = map { $_ => numbers($primary, $_) } $several, $one, $second, $mine, $first;

# and one that is lost with it
wait_for_status($primary, order_id($primary, '9192640000'), 'COMPLETE');
my $posts = $sandbox->journal_count(class => 'ORDER', method => 'POST');
$primary->stop('immediate');

# --- the new one ---
$standby->promote;
$standby->safe_psql('postgres', "SELECT bw_resume('several'), bw_resume('first')");
wait_for_all($standby);
foreach my $order ([ 'several numbers', $several ], [ 'one of several', $one ], [ 'by criteria', $second ], [ 'the user\'s own id', $mine ], [ 'by criteria, not known to be sent', $first ])
{
	my ($name, $id) = @$order;

	is(field($standby, $id, 'status'), 'COMPLETE', "$name: the order completes");
	is(numbers($standby, $id), $numbers{$id}, "$name: with the numbers that were bought");
}
is($sandbox->journal_count(class => 'ORDER', method => 'POST'), $posts, 'nothing was sent again');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM bw_searches'), 0, 'nothing is searched for');
is($standby->safe_psql('postgres', 'SELECT telephone_numbers FROM bw_lost_orders'), '{9192640000}', 'only what nobody knows is called lost');
is($standby->safe_psql('postgres', 'SELECT sum(numbers) FROM bw_spending'), 10, 'and counts under the limit per day, as all that was bought');

$standby->stop;
done_testing();
