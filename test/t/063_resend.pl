# What was to be sent again when the primary died: it may have sent that, so the
# new one looks first.
use strict;
use warnings;

use BwTest;
use Test::More;

my $sandbox = start_sandbox('order-delay' => 50);
my %account = (sandbox => $sandbox, server => { requests_per_minute => 1000000, burst => 1000000 });
my $primary = bw_node('primary', %account, init => [ allows_streaming => 1 ],
	conf => [ "bandwidth.look_up_delays = '0.1,0.2'", "bandwidth.poll_schedule = '0.1,0.2,0.5'" ]);
my $direct = "bw_order_search(npanxx => '919204', direct => true";

# Orders through a second server will be paused where they were made.
create_account($primary, 'postgres', %account, name => 'later');

sub posts { return $sandbox->journal_count(class => 'ORDER', method => 'POST'); }
sub field { my ($node, $id, $what) = @_; return $node->safe_psql('postgres', "SELECT $what FROM bw_orders WHERE id = $id"); }

# Orders whose requests never got there, and of which Bandwidth tells nothing.
sub unknown
{
	my (@calls) = @_;
	my @ids;

	$sandbox->fault(class => 'HISTORY', kind => 'status', status => 503);
	foreach my $call (@calls)
	{
		$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'reset_before', count => 1);
		push @ids, $primary->safe_psql('postgres', "SELECT DISTINCT id FROM $call");
		wait_for_status($primary, $ids[-1], 'UNKNOWN');
	}
	return @ids;
}

my ($sent, $sent_number, $unsent, $unsent_number) = unknown("$direct)", "bw_order(ARRAY['9192110001'])",
	"$direct, server => 'later')", "bw_order(ARRAY['9192110002'], server => 'later')");
my @all = ($sent, $sent_number, $unsent, $unsent_number);
my $all = join(',', @all);

# decided here and there; sent here only
my $standby = bw_standby($primary, 'standby');
run_worker($primary, 'off');
$sandbox->clear_faults;
is($primary->safe_psql('postgres', "SELECT bool_and(bw_resolve(id, 'resend')) FROM bw_orders WHERE id IN ($all)"), 't', 'all are to be sent again');
$primary->wait_for_catchup($standby);
cut_off($standby);
$primary->safe_psql('postgres', "SELECT bw_pause('later')");
run_worker($primary, 'on');
wait_for_status($primary, $_, 'COMPLETE') foreach $sent, $sent_number;
my %theirs = map { $_ => field($primary, $_, 'bandwidth_order_id') } $sent, $sent_number;
$primary->stop('immediate');
is(posts(), 6, 'four were sent, and two of them again');
is($standby->safe_psql('postgres', 'SELECT string_agg(step, \',\') FROM bw_open_requests'), 'resend,resend,resend,resend', 'of which the standby knows nothing');

$standby->promote;
foreach my $id ($sent, $sent_number)
{
	wait_for_status($standby, $id, 'COMPLETE');
	is(field($standby, $id, 'bandwidth_order_id'), $theirs{$id}, 'what was sent is found');
}
wait_for_status($standby, $unsent_number, 'COMPLETE');
wait_until(sub { field($standby, $unsent, 'attention') =~ /shows no order .* bw_resolve/ }, 'a direct order that is not found waits for a person again');
is(posts(), 7, 'and only the order for a number that was not found was sent again');
is($standby->safe_psql('postgres', "SELECT bw_resolve($unsent, 'resend')"), 't', 'the person decides');
wait_for_status($standby, $unsent, 'COMPLETE');
is(posts(), 8, 'and it is sent');
is(scalar($sandbox->orders), 4, 'four orders, each bought once');

$standby->stop;
done_testing();
