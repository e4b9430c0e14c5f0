# A server gets another account while the worker is about to send: nothing goes
# to an account that its row does not say.
use strict;
use warnings;

use BwTest;
use Test::More;

# By itself, the worker looks up for the first time in a minute.
my $sandbox = start_sandbox('order-delay' => 50);
my $node = bw_node('main', sandbox => $sandbox, server => { requests_per_minute => 1000000, burst => 1000000 },
	conf => [ "bandwidth.look_up_delays = '60'", "bandwidth.poll_schedule = '0.1,0.2,0.5'" ]);
my ($old, $new) = (9900000, 9900001);

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub status { my ($id) = @_; return sql("SELECT status FROM bw_orders WHERE id = $id"); }
sub posts { my ($account) = @_; return scalar grep { $_->{path} =~ m{/accounts/$account/orders} } $sandbox->journal(method => 'POST'); }

# The worker has read the server, and waits for this table; then the server is
# altered, and the worker goes on.
sub alter_while_it_waits
{
	my ($table, $mode, $call) = @_;
	my $holder = $node->background_psql('postgres');
	my $log_end = -s $node->logfile;

	$holder->query_safe("BEGIN; LOCK TABLE $table IN $mode MODE");
	my $said = sql($call);
	wait_until_stuck($node, $table);
	sql("ALTER SERVER bandwidth OPTIONS (SET account_id '$new')");
	$holder->query_safe('COMMIT');
	$holder->quit;
	wait_until(sub { $node->log_contains(qr/server "bandwidth" is for account $new now, not for $old/, $log_end) }, 'it sees that');
	return $said;
}

# --- between the look at the server and the claim ---
my $id = alter_while_it_waits('bw_open_requests', 'SHARE', "SELECT id FROM bw_order(ARRAY['9192120001'])");
wait_until(sub { sql("SELECT waiting_for FROM bw_open_orders WHERE id = $id") =~ /account $old/ }, 'the order waits for its account');
is(status($id), 'QUEUED', 'and is not claimed');
is(posts($new), 0, 'nothing was sent to the other one');
sql("ALTER SERVER bandwidth OPTIONS (SET account_id '$old')");
wait_for_status($node, $id, 'COMPLETE');
is(posts($old), 1, 'and one order to its own');

# --- before it is sent again ---
$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'reset_before', count => 1);
$id = order_id($node, '9192120002');
wait_for_status($node, $id, 'UNKNOWN');
is(alter_while_it_waits('bw_order_numbers', 'ACCESS EXCLUSIVE', "SELECT bw_resolve($id, 'resend')"), 't', 'to be sent again');
is(posts($new), 0, 'nothing was sent to the other account');
sql("ALTER SERVER bandwidth OPTIONS (SET account_id '$old'); SELECT bw_recheck($id)");
wait_for_status($node, $id, 'COMPLETE');
is(posts($old), 3, 'but to its own');

# --- a back order is closed where it is ---
$sandbox->control('sell', prefix => '2122', every => 1);
$sandbox->restock(2122000000);
$id = sql("SELECT id FROM bw_order_search(area_code => '212', quantity => 2, direct => true, back_order_requested => true, partial_allowed => true)");
wait_for_status($node, $id, 'BACKORDERED');
sql("ALTER SERVER bandwidth OPTIONS (SET account_id '$new')");
is(sql("SELECT bw_close_order($id)"), 't', 'to be closed');
wait_until(sub { sql("SELECT count(*) FROM bw_open_requests WHERE step = 'close' AND due_at > now()") }, 'but not now');
sql("ALTER SERVER bandwidth OPTIONS (SET account_id '$old'); SELECT bw_recheck($id)");
wait_for_status($node, $id, 'PARTIAL');
is(join(' ', map { $_->{path} =~ m{/accounts/(\d+)/orders/} } $sandbox->journal(method => 'PUT')), $old, 'it is closed in its account only');

$node->stop;
done_testing();
