# Numbers: what is in service, what is known of each, what there is to be had;
# and reservations.

use strict;
use warnings;

use BwTest;
use FindBin;
use POSIX qw(strftime);
use Test::More;

use lib "$FindBin::RealBin/lib";
use SandboxTest;

my $sandbox = start_sandbox('order-delay' => 0);
my $reply;

sub bought
{
	my ($numbers, $more) = @_;
	my $id = order($sandbox, numbers_order($numbers, $more));

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	status_becomes($sandbox, $id, 'COMPLETE');
	return $id;
}

# in service
is(api($sandbox, 'GET', 'inserviceNumbers?page=1&size=2')->{status}, 204, 'nothing is in service');
my @numbers = qw(2122000000 5402278098 9192000001 9192000002 9193000001);
$sandbox->config(toll_free_delay_ms => 0);
bought([ @numbers, '8002000001' ]);

sub listed
{
	my ($query, @expected) = @_;
	my $reply = api($sandbox, 'GET', "inserviceNumbers?page=1&size=9$query");

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is_deeply([ values_of($reply, 'TelephoneNumber') ], \@expected, "in service: $query");
	return;
}

my $today = strftime('%Y-%m-%d', gmtime);
my $short = strftime('%y-%m-%d', gmtime);
my ($before, $short_before) = map { strftime($_, gmtime(time - 86400)) } '%Y-%m-%d', '%y-%m-%d';

listed('&areacode=919', @numbers[ 2 .. 4 ]);
listed('&areacode=800', '8002000001');
listed('&npanxx=919200', @numbers[ 2, 3 ]);
listed('&lata=132', $numbers[0]);
listed('&state=VA', $numbers[1]);
listed('&state=NC&ratecenter=KNIGHTDALE', $numbers[4]);
listed("&areacode=212&startdate=$before&enddate=$today", $numbers[0]);
listed("&areacode=212&startdate=$short_before&enddate=$short", $numbers[0]);
listed('&startdate=2020-01-01&enddate=2020-12-31');
foreach my $case (
	[ 'ratecenter=RALEIGH',                       '404 15508' ],
	[ 'startdate=2020-01-01',                     '404 15508' ],
	[ 'startdate=yesterday&enddate=2020-01-01',   '404 1007' ],
	[ 'startdate=2020-01-02&enddate=2020-01-01',  '404 15501' ])
{
	is(codes(api($sandbox, 'GET', "inserviceNumbers?page=1&size=9&$case->[0]")), $case->[1], "refused: $case->[0]");
}
is((values_of(api($sandbox, 'GET', 'sites/743/inserviceNumbers?page=1&size=9'), 'Count'))[0], 6, 'of a site');
is(api($sandbox, 'GET', 'sites/13606/inserviceNumbers?page=1&size=9')->{status}, 204, 'of another');
$reply = api($sandbox, 'GET', 'inserviceNumbers?page=1&size=4');
is((values_of($reply, 'TotalCount'))[0], 6, 'all are counted');
my ($next) = $reply->{content} =~ m{<next>Link=&lt;https://[^/]+:443/v1\.0/[^?]*\?(.*?)&gt;;rel};
$next =~ s/&amp;/&/g;
is_deeply([ values_of(api($sandbox, 'GET', "inserviceNumbers?$next"), 'TelephoneNumber') ],
	[ @numbers[ 3, 4 ] ], 'the next page, by its link');

# one of them
$reply = api($sandbox, 'GET', '/api/tns/9193000001/tndetails');
is(join(' ', map { (values_of($reply, $_))[0] } qw(FullNumber City RateCenter Lata Tier Status PeerId)),
	'9193000001 KNIGHTDALE KNIGHTDALE 426 1 Inservice 546348', 'its details');
is(codes(api($sandbox, 'GET', '/api/tns/9193000009/tndetails')), '404 15610', 'not of one that is not ours');

# exchanges
$sandbox->request('POST', 'sell', { prefix => '2122009' });
is((values_of(api($sandbox, 'GET', 'availableNpaNxx?areaCode=212'), 'Quantity'))[0], 8999, 'what an exchange has');
is_deeply([ values_of(api($sandbox, 'GET', 'availableNpaNxx?areaCode=212&quantity=9000'), 'Nxx') ], ['201'],
	'exchanges that have so many');
is(codes(api($sandbox, 'GET', 'availableNpaNxx?areaCode=212&quantity=10001')), '400 4000', 'none has more');

# reservations
sub reserve
{
	my ($number) = @_;

	return api($sandbox, 'POST', 'tnreservation', body => "<Reservation><ReservedTn>$number</ReservedTn></Reservation>");
}

$reply = reserve('9192000100');
is($reply->{status}, 201, 'a number is reserved');
my ($id) = $reply->{headers}{location} =~ m{/TnReservation/([^/]+)$};
$reply = api($sandbox, 'GET', "tnreservation/$id");
is((values_of($reply, 'ReservedTn'))[0], '9192000100', 'which');
my ($left) = values_of($reply, 'ReservationExpires');
ok($left > 14300 && $left <= 14400, 'for four hours, counting down');
is((values_of(api($sandbox, 'GET', '/api/tns/9192000100/tnreservation'), 'ReservationID'))[0], $id, 'found by its number');
is($sandbox->number('9192000100')->{state}, 'reserved', 'it is nobody else\'s');
unlike(api($sandbox, 'GET', 'availableNumbers?npaNxxx=9192000&LCA=false&quantity=200')->{content}, qr/9192000100/,
	'nor in a search');
is(codes(reserve('9192000100')), '400 5041', 'not twice');
is(codes(reserve('9192000001')), '400 5041', 'not one that is sold');
is(codes(reserve('2015550100')), '400 5040', 'not one that there is not');
is(codes(api($sandbox, 'POST', 'tnreservation', body => '<Reservation/>')), '400 5044', 'not nothing');
is(codes(api($sandbox, 'GET', '/api/accounts/1/tnreservation/' . $id)), '404 5042', 'it is the account\'s');
is(codes(api($sandbox, 'GET', 'tnreservation/2489')), '404 5043', 'no such reservation');

sub with_reservation
{
	my ($number, $reservation) = @_;
	my $body = numbers_order([$number]);

	$body =~ s{(</TelephoneNumberList>)}{$1<ReservationIdList><ReservationId>$reservation</ReservationId></ReservationIdList>};
	return $body;
}

my $order = order($sandbox, numbers_order(['9192000100']));
is(codes(status_becomes($sandbox, $order, 'FAILED')), '200 5005', 'an order that does not name it');
is(codes(api($sandbox, 'POST', 'orders', body => with_reservation('9192000100', '2489'))), '400 5043', 'or names none');
my $both = with_reservation('9192000100', $id);
$both =~ s{(</TelephoneNumber>)}{$1<TelephoneNumber>9192000001</TelephoneNumber>};
$both =~ s{(</SiteId>)}{$1<PartialAllowed>false</PartialAllowed>};
status_becomes($sandbox, order($sandbox, $both), 'FAILED');
is($sandbox->number('9192000100')->{state}, 'reserved', 'stays reserved if an order fails for another reason');
status_becomes($sandbox, order($sandbox, with_reservation('9192000100', $id)), 'COMPLETE');
is(codes(api($sandbox, 'GET', "tnreservation/$id")), '404 5043', 'used up');

($id) = reserve('9192000101')->{headers}{location} =~ m{([^/]+)$};
is(api($sandbox, 'DELETE', "tnreservation/$id")->{status}, 200, 'given back');
is($sandbox->number('9192000101')->{state}, 'available', '... and available');
is(codes(api($sandbox, 'DELETE', "tnreservation/$id")), '404 5043', '... once');
$sandbox->config(reservation_s => 0);
reserve('9192000102');
wait_until(sub { $sandbox->number('9192000102')->{state} eq 'available' }, 'lapses by itself');

# lists of orders
is(api($sandbox, 'GET', "orders?page=1&size=9&startdate=2020-01-01&enddate=2020-12-31")->{status}, 204, 'orders of then');
isnt(count_of(api($sandbox, 'GET', "orders?page=1&size=9&startdate=$short_before&enddate=$short"), 'orderId'), 0, 'of today');
is(api($sandbox, 'GET', 'orders?page=1&size=9&userid=somebody')->{status}, 204, 'of somebody');
is(codes(api($sandbox, 'GET', 'orders?page=1&size=9&status=lost')), '400 15518', 'of no known status');
is(codes(api($sandbox, 'GET', "orders?page=1&size=9&startdate=$short")), '400 15508', 'of half a range');

done_testing();
