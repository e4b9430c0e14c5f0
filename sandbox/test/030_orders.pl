# Orders: taken in, pending, carried out, listed; and numbers given back.

use strict;
use warnings;

use BwTest;
use FindBin;
use Test::More;

use lib "$FindBin::RealBin/lib";
use SandboxTest;

my $sandbox = start_sandbox('order-delay' => 60000);

# refusals
my $list = '<TelephoneNumberList><TelephoneNumber>5402278098</TelephoneNumber></TelephoneNumberList>';
my @refused = (
	[ 'not XML',                                              '400 5087' ],
	[ '<Order><SiteId>743</SiteId></Order>',                  '400 5087' ],
	[ "<Order><SiteId>743</SiteId>$list</Order>",             '500' ],
	[ '<Order><StateSearchAndOrderType/></Order>',            '400 5022' ],
	[ '<Order><SiteId>1</SiteId><StateSearchAndOrderType/></Order>', '400 5016' ],
	[ numbers_order(['5402278098'], '<PeerId>1</PeerId>'),    '400 5023' ],
	[ numbers_order(['5402278098'], '<CustomerOrderId>a_b</CustomerOrderId>'), '400 5052' ],
	[ numbers_order(['5402278098'], '<CustomerOrderId>' . 'x' x 41 . '</CustomerOrderId>'),
		'400 5052' ],
	[ numbers_order(['5402278098'], '<BackOrderRequested>true</BackOrderRequested>'), '400 5522' ],
	[ numbers_order([]),                                      '400 5212' ],
	[ numbers_order(['5402278098', '5402278098']),            '400 5093' ],
	[ numbers_order(['540227809']),                           '400 5070' ],
	[ search_order('AreaCode', '<AreaCode>919</AreaCode>'),   '400 5198' ],
	[ search_order('State', '<State>NC</State><Quantity>5001</Quantity>'), '400 5215' ]);

foreach my $case (@refused)
{
	my ($body, $codes) = @$case;

	is(codes(api($sandbox, 'POST', 'orders', body => $body)), $codes, "refused: $codes");
}
is_deeply([ $sandbox->orders ], [], 'no order came of that');

# taken in, pending
my $reply = api($sandbox, 'POST', 'orders',
	body => numbers_order(['5402278098'], '<Name>one</Name><CustomerOrderId>mine</CustomerOrderId>'));
is($reply->{status}, 201, 'an order is taken in');
like($reply->{headers}{location}, qr{/accounts/9900000/orders/\S+$}, '... and has an address');
my ($id) = values_of($reply, 'id');
is((values_of($reply, 'OrderStatus'))[0], 'RECEIVED', '... received');
is((values_of($reply, 'PartialAllowed'))[0], 'true', '... partial if not said');
is((values_of($reply, 'PeerId'))[0], undef, '... without a peer yet');
$reply = api($sandbox, 'GET', "orders/$id");
is(codes($reply), '200 5019', 'a pending order says 5019');
is((values_of($reply, 'id'))[0], $id, '... with its id');
is((values_of($reply, 'PeerId'))[0], '546348', '... and its peer');
is($sandbox->number('5402278098')->{state}, 'in_flight', 'its number is in flight');

# unknown elements go without a word
$reply = api($sandbox, 'POST', 'orders',
	body => search_order('LATA', '<Latta>236</Latta><Quantity>3</Quantity>'));
like($reply->{content}, qr{Type><Quantity>3</Quantity></LATA}, 'unknown elements are dropped');

# Everything from here on is quick.
$sandbox->reset;
$sandbox->config(order_delay_ms => 0, toll_free_delay_ms => 0);

sub outcome
{
	my ($body, $status) = @_;
	my $id = order($sandbox, $body);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ($id, status_becomes($sandbox, $id, $status));
}

($id, $reply) = outcome(numbers_order(['5402278098']), 'COMPLETE');
is((values_of($reply, 'FullNumber'))[0], '5402278098', 'its number');
is((values_of($reply, 'id'))[0], undef, 'a finished order has no id');
like((values_of($reply, 'OrderCompleteDate'))[0], qr/^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z$/, 'its date');

# what becomes of a number that is not there
my $no = '<PartialAllowed>false</PartialAllowed>';
(undef, $reply) = outcome(numbers_order([ '5402278098', '5402270905' ]), 'PARTIAL');
is(codes($reply), '200 5005', 'part of it, because a number is taken');
$sandbox->restock('5402270905');
(undef, $reply) = outcome(numbers_order([ '5402278098', '5402270905' ], $no), 'FAILED');
is($sandbox->number('5402270905')->{state}, 'available', 'a failed order keeps nothing');
$sandbox->config(order_delay_ms => 60000);
order($sandbox, numbers_order(['5405514342']));
$sandbox->config(order_delay_ms => 0);
(undef, $reply) = outcome(numbers_order(['5405514342']), 'FAILED');
is(codes($reply), '200 5218', 'a number on two orders');

# short supply: partial and back order
my $all = '<TollFreeWildCardPattern>83*</TollFreeWildCardPattern><Quantity>2</Quantity>';
my $back = '<BackOrderRequested>true</BackOrderRequested>';
$sandbox->request('POST', 'sell', { prefix => '833', every => 1 });
$sandbox->restock('8332000000');
(undef, $reply) = outcome(search_order('TollFreeWildChar', $all, $no), 'FAILED');
is(codes($reply), '200 5018', 'not the whole quantity');
($id) = outcome(search_order('TollFreeWildChar', $all, $no . $back), 'BACKORDERED');
is($sandbox->number('8332000000')->{state}, 'available', 'takes nothing before all is there');
$sandbox->restock('8332000001');
status_becomes($sandbox, $id, 'COMPLETE');
$sandbox->restock('8332000002');
($id) = outcome(search_order('TollFreeWildChar', $all, $back), 'BACKORDERED');
is($sandbox->number('8332000002')->{state}, 'ours', 'takes what is there');
is(api($sandbox, 'PUT', "orders/$id", body => '<Order><CloseOrder>true</CloseOrder></Order>')->{status},
	200, 'a back order can be closed');
status_becomes($sandbox, $id, 'PARTIAL');
is(codes(api($sandbox, 'PUT', "orders/$id", body => '<Order/>')), '400 5060', 'and no other');
is(codes(api($sandbox, 'GET', 'orders/1-2')), '404 5035', 'no such order');

# parts of an order
$sandbox->reset;
$sandbox->config(order_delay_ms => 0);
($id) = outcome(numbers_order([ '9192000001', '9192010001', '9842000001' ]), 'COMPLETE');
my %parts = (
	tns       => [ Count      => 3 ],
	totals    => [ Count      => 3 ],
	areaCodes => [ AreaCode   => 919, 984 ],
	npaNxx    => [ 'NPA-NXX'  => 919200, 919201, 984200 ],
	history   => [ Status     => 'COMPLETE' ]);
foreach my $part (sort keys %parts)
{
	my ($name, @values) = @{ $parts{$part} };

	is_deeply([ values_of(api($sandbox, 'GET', "orders/$id/$part"), $name) ], \@values, "its $part");
}
is(api($sandbox, 'GET', "orders/$id/notes")->{status}, 204, 'its notes: none');
is(api($sandbox, 'GET', "orders/$id/nothing")->{status}, 404, 'it has no other parts');

# lists
$sandbox->reset;
$sandbox->config(order_delay_ms => 0);
is(api($sandbox, 'GET', 'orders?page=1&size=3')->{status}, 204, 'an empty list');
my @ids = map {
	order($sandbox, search_order('State', '<State>NC</State><Quantity>1</Quantity>',
		'<CustomerOrderId>' . ($_ % 2 ? 'odd' : 'even') . '</CustomerOrderId>'))
} 1 .. 5;
$reply = api($sandbox, 'GET', 'orders?page=1&size=3');
is((values_of($reply, 'TotalCount'))[0], 5, 'all are counted');
is_deeply([ values_of($reply, 'orderId') ], [ @ids[ 0 .. 2 ] ], 'the first page');
my ($next) = $reply->{content} =~ m{<next>Link=&lt;https://[^/]+:443/v1\.0/[^?]*\?(.*?)&gt;;rel};
$next =~ s/&amp;/&/g;
$reply = api($sandbox, 'GET', "orders?$next");
is_deeply([ values_of($reply, 'orderId') ], [ @ids[ 3, 4 ] ], 'the next page, by its link');
unlike($reply->{content}, qr/<next>/, '... which is the last');
$sandbox->config(list_max => 2);
is_deeply([ values_of(api($sandbox, 'GET', 'orders?page=1&size=3'), 'orderId') ], [ @ids[ 0, 1 ] ], 'a page is no longer than it may be');
$sandbox->config(list_max => 1000);
$reply = api($sandbox, 'GET', 'orders?page=1&size=9&customerOrderId=odd');
is_deeply([ values_of($reply, 'orderId') ], [ @ids[ 0, 2, 4 ] ], 'filter: customerOrderId');
status_becomes($sandbox, $ids[0], 'COMPLETE');
is(api($sandbox, 'GET', 'orders?page=1&size=9&status=failed')->{status}, 204, 'filter: status');
$sandbox->config(list_lag_ms => 60000);
is(api($sandbox, 'GET', 'orders?page=1&size=9')->{status}, 204, 'lists can lag');

# numbers that are ours, and giving them back
$sandbox->reset;
$sandbox->config(order_delay_ms => 0);
($id) = outcome(numbers_order(['5402278098']), 'COMPLETE');
is((values_of(api($sandbox, 'GET', '/api/tns/5402278098'), 'OrderId'))[0], $id, 'who bought it');
is(api($sandbox, 'GET', 'inserviceNumbers/5402278098')->{status}, 200, 'in service');
is(api($sandbox, 'GET', 'inserviceNumbers/5402270905')->{status}, 404, 'another is not');
is((values_of(api($sandbox, 'GET', 'inserviceNumbers'), 'TelephoneNumber'))[0],
	'5402278098', 'list of what is in service');
is(codes(api($sandbox, 'GET', '/api/tns/5402270905')), '404 15610', 'not ours');
$reply = api($sandbox, 'POST', 'disconnects',
	body => '<DisconnectTelephoneNumberOrder><DisconnectTelephoneNumberOrderType>'
	  . "$list<DisconnectMode>normal</DisconnectMode></DisconnectTelephoneNumberOrderType>"
	  . '</DisconnectTelephoneNumberOrder>');
is($reply->{status}, 201, 'a disconnect is taken in');
wait_until(sub { $sandbox->number('5402278098')->{state} eq 'aging' }, 'the number is aging');
($id) = values_of($reply, 'id');
is((values_of(api($sandbox, 'GET', "disconnects/$id"), 'OrderStatus'))[0], 'COMPLETE',
	'the disconnect is complete');

done_testing();
