# What only asks works on a standby and without preload; what changes
# something at Bandwidth does not.
use strict;
use warnings;

use BwTest;
use HTTP::Tiny;
use Test::More;

my $sandbox = start_sandbox('order-delay' => 0);
my $primary = bw_node('primary', sandbox => $sandbox, preload => 0, init => [ allows_streaming => 1 ]);
my $standby = bw_standby($primary, 'standby');
my $order = '<Order><SiteId>743</SiteId><CustomerOrderId>somebody else</CustomerOrderId>'
  . '<ExistingTelephoneNumberOrderType><TelephoneNumberList><TelephoneNumber>9192000000</TelephoneNumber>'
  . '</TelephoneNumberList></ExistingTelephoneNumberOrderType></Order>';

is(HTTP::Tiny->new->post($sandbox->url . '/api/accounts/9900000/orders',
	{ content => $order, headers => { Authorization => 'Basic dTpw' } })->{status}, 201, 'an order of somebody else');
wait_until(sub { $sandbox->number('9192000000')->{state} eq 'ours' }, 'its number is in service');
my $held = $primary->safe_psql('postgres', "SELECT reservation_id FROM bw_reserve('9192000001')");
isnt($held, '', 'without preload a number can be reserved');
$primary->wait_for_catchup($standby);

foreach my $node ($primary, $standby)
{
	my $name = $node->name;

	is($node->safe_psql('postgres', $_->[0]), $_->[1], "$name: $_->[0]") foreach (
		[ 'SELECT site_id FROM bw_sites()',                            "743\n13606" ],
		[ 'SELECT peer_id FROM bw_sip_peers() WHERE is_default',       '546348' ],
		[ "SELECT count(*) FROM bw_available_npanxx('540')",           3 ],
		[ 'SELECT telephone_number FROM bw_numbers()',                 '9192000000' ],
		[ "SELECT rate_center FROM bw_number('9192000000')",           'RALEIGH' ],
		[ 'SELECT customer_order_id, status FROM bw_list_orders()',    'somebody else|COMPLETE' ],
		[ "SELECT telephone_number FROM bw_reservation('$held')",      '9192000001' ]);
}

foreach my $call ("bw_reserve('9192000002')", "bw_unreserve('$held')")
{
	my ($name) = $call =~ /(\w+\()/;
	my (undef, undef, $error) = $standby->psql('postgres', "SELECT $call");

	like($error, qr/cannot execute \Q$name\E\) in a read-only transaction/, "standby: $call is refused");
}
is($sandbox->number('9192000002')->{state}, 'available', 'and nothing happened');
is($primary->safe_psql('postgres', "SELECT bw_unreserve('$held')"), 't', 'the primary may');

$standby->stop;
$primary->stop;
done_testing();
