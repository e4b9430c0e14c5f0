# Faults of requests, each kind once; and which requests they strike.

use strict;
use warnings;

use BwTest;
use FindBin;
use Test::More;

use lib "$FindBin::RealBin/lib";
use SandboxTest;

my $sandbox = start_sandbox('order-delay' => 60000);
my $number  = 9192000000;

# One order, struck by a fault; its reply.
sub struck
{
	my (%fault) = @_;

	$sandbox->reset;
	$sandbox->fault(class => 'ORDER', %fault);
	return api($sandbox, 'POST', 'orders', body => numbers_order([ $number++ ]));
}

sub struck_connection
{
	my (%fault) = @_;

	$sandbox->reset;
	$sandbox->fault(class => 'ORDER', %fault);
	return SandboxTest::Connection->open($sandbox, 'POST', 'orders', numbers_order([ $number++ ]));
}

sub stored { return scalar(my @orders = $sandbox->orders); }

# instead of the reply
my $connection = struck_connection(kind => 'delay', delay_ms => 300);
is($connection->text(0.05), '', 'delay: not at once');
like($connection->text(10), qr{^HTTP/1.1 201}, '... but later');

my $reply = struck(kind => 'status', status => 503);
is("$reply->{status} " . stored(), '503 0', 'status');
is(codes(struck(kind => 'status', code => '1000', text => 'try again')), '500 1000',
	'... with a code');
$reply = struck(kind => 'status_after', status => 502);
is("$reply->{status} $reply->{content}" . stored(), '502 1', 'status_after');
is($reply->{headers}{location}, undef, '... without an address');
$reply = struck(kind => 'html', status => 502);
like($reply->{content}, qr/^<html>/, 'html');
is(codes(struck(kind => 'refuse', code => '5012', text => 'locked')) . ' ' . stored(),
	'400 5012 0', 'refuse');
is(struck(kind => 'unauthorized')->{status}, 401, 'unauthorized');
is(codes(struck(kind => 'code_5086')) . ' ' . stored(), '400 5086 0', 'code_5086');
is(codes(struck(kind => 'code_5086', stored => 1)) . ' ' . stored(),
	'400 5086 1', 'code_5086, stored');

# redirects
$reply = struck(kind => 'redirect');
is("$reply->{status} " . stored(), '303 0', 'redirect');
like($reply->{headers}{location}, qr{/elsewhere$}, '... to elsewhere');
$reply = struck(kind => 'redirect', stored => 1, status => 307, text => 'http://127.0.0.1:2/x');
is("$reply->{status} $reply->{headers}{location} " . stored(), '307 http://127.0.0.1:2/x 1',
	'redirect, stored');
$sandbox->fault(class => 'HISTORY', kind => 'redirect', count => 1);
$reply = api($sandbox, 'GET', 'orders?status=received');
is($reply->{headers}{location},
	$sandbox->url . '/api/accounts/9900000/orders?status=received&page=1&size=300',
	'redirect of a list without page');

# 429
$reply = struck(kind => 'rate_limit', retry_after_s => 30);
is($reply->{status}, 429, 'rate_limit');
cmp_ok(abs($reply->{headers}{'x-ratelimit-reset'} - time() - 30), '<', 5, '... until when');
ok($reply->{headers}{date}, '... and since when');
$reply = struck(kind => 'rate_limit');
is("$reply->{status} " . ($reply->{headers}{'x-ratelimit-reset'} // 'none'),
	'429 none', 'rate_limit without a header');

# connections
$connection = struck_connection(kind => 'drop_reply');
is($connection->text(10), '', 'drop_reply');
is($connection->ending . stored(), 'closed1', '... closed, stored');
$connection = struck_connection(kind => 'reset_before');
is($connection->text(10) . $connection->ending . stored(), 'reset0', 'reset_before');
$connection = struck_connection(kind => 'reset_after');
is($connection->text(10) . $connection->ending . stored(), 'reset1', 'reset_after');
foreach my $kind ('hang', 'hang_after')
{
	$connection = struck_connection(kind => $kind);
	wait_until(sub { $sandbox->journal_count(class => 'ORDER') }, "$kind: it was seen");
	is($connection->text(0.05), '', '... and not answered');
	is(stored(), $kind eq 'hang' ? 0 : 1, '... stored or not');
	$sandbox->reset;
	$connection->text(10);
	ok($connection->ending, '... a reset ends it');
}

# damage
like(struck(kind => 'malformed')->{content}, qr{^<\?xml.*<Order}s, 'malformed');
$reply = struck(kind => 'malformed');
unlike($reply->{content}, qr{</OrderResponse>}, '... without an end');
cmp_ok(length(struck(kind => 'oversize', bytes => 300_000)->{content}), '>=', 300_000, 'oversize');
$connection = struck_connection(kind => 'drip');
wait_until(sub { $connection->text(0.05) =~ /\r\n\r\n<\?/ }, 'drip: a byte, and after a second another');
unlike($connection->text(0), qr{<\?xml}, '... and not all of it');
undef $connection;
$sandbox->fault(class => 'ORDER', kind => 'drip');
$connection = SandboxTest::Connection->open($sandbox, 'POST', 'orders', numbers_order([ $number++ ]));
wait_until(sub { $connection->text(0.05) =~ /\r\n\r\n<\?x/ }, '... which goes on when the client of another one has gone');

# lost echo
sub struck_search
{
	my (%fault) = @_;

	$sandbox->reset;
	$sandbox->fault(class => 'ORDER', kind => 'lost_echo', %fault);
	return api($sandbox, 'POST', 'orders',
		body => search_order('NPANXX',
			'<NpaNxx>919200</NpaNxx><Quantity>2</Quantity><EnableLCA>false</EnableLCA>',
			'<PartialAllowed>false</PartialAllowed>'));
}

like(struck_search()->{content}, qr{Type><Quantity>2</Quantity></NPANXX}, 'lost_echo');
unlike(struck_search(text => 'EnableLCA')->{content}, qr/EnableLCA/, '... of one element');
like(struck_search(text => 'PartialAllowed=true')->{content},
	qr{<PartialAllowed>true<}, '... another value');
is(($sandbox->orders)[0]{quantity}, 2, '... but the order is as it was sent');
$reply = struck_search(text => 'Quantity', stored => 1);
is(($sandbox->orders)[0]{quantity}, 5000, 'lost_echo, stored: the default is ordered');
unlike($reply->{content}, qr/Quantity/, '... and not echoed');

# lists
sub listed { return count_of(api($sandbox, 'GET', 'orders?page=1&size=9' . ($_[0] // '')), 'orderId'); }

struck(kind => 'list_lag', delay_ms => 60000, count => 1);
is(stored() . listed(), '10', 'list_lag of an order');
order($sandbox, numbers_order([ $number++ ]));
is(listed(), 1, '... and of no other');
struck(kind => 'list_lag', delay_ms => 100);
wait_until(sub { listed() == 1 }, '... and not for ever');
$sandbox->fault(class => 'HISTORY', kind => 'list_lag', delay_ms => 60000, count => 1);
is(listed() . listed(), '01', 'list_lag of a list');
$sandbox->fault(class => 'HISTORY', kind => 'ignore_filter', count => 1);
is(listed('&customerOrderId=other') . listed('&customerOrderId=other'), '10', 'ignore_filter');

# which requests, and how often
sub statuses { return join ' ', map { api($sandbox, 'GET', "$_[0]")->{status} } 1 .. $_[1]; }

$sandbox->reset;
$sandbox->fault(class => 'SEARCH', kind => 'status', skip => 1, count => 2);
is(statuses('sites', 1), '200', 'another class is not struck');
is(statuses('availableNumbers?areaCode=919&quantity=1', 4), '200 500 500 200', 'skip and count');
is_deeply([ map { $_->{fault} } $sandbox->journal(class => 'SEARCH') ],
	[ undef, 'status', 'status', undef ], 'the journal says which');
$sandbox->fault(path => '/sites/743', method => 'GET', kind => 'status', status => 404);
is(statuses('sites', 1) . ' ' . statuses('sites/743', 1), '200 404', 'path');

sub chances
{
	my ($seed) = @_;

	$sandbox->clear_faults;
	$sandbox->fault(class => 'OTHER', kind => 'status', probability => 0.5, seed => $seed);
	return statuses('sites', 40);
}

my $chances = chances(7);
my $hits = () = $chances =~ /500/g;
cmp_ok(abs($hits - 20), '<', 12, 'probability');
is(chances(7), $chances, 'the same seed, the same requests');
isnt(chances(8), $chances, 'another seed, others');

# what the sandbox does not know
foreach my $wrong ({ kind => 'nothing' }, { kind => 'drop' }, { kind => 'hang', class => 'CALLBACK' },
	{ kind => 'hang', class => 'ORDERS' })
{
	ok(!eval { $sandbox->fault(%$wrong); 1 }, 'refused: ' . join(' ', %$wrong));
}

# Every kind that --help lists is known.
my $help = `$ENV{BW_SANDBOX} --help`;
my ($requests, $callbacks) = $help =~ /Kinds of faults of requests:\n(.*)\n\n.*CALLBACK\):\n(.*)/s;
my %kinds = (ORDER => $requests, CALLBACK => $callbacks);
foreach my $class (sort keys %kinds)
{
	my @kinds = $kinds{$class} =~ /^  (\w+) /mg;

	is((grep { eval { $sandbox->fault(class => $class, kind => $_); 1 } } @kinds),
		$class eq 'ORDER' ? 20 : 7, "faults of --help, class $class");
}

done_testing();
