# Searching for numbers: what may be asked, and what comes back.

use strict;
use warnings;

use BwTest;
use FindBin;
use Test::More;

use lib "$FindBin::RealBin/lib";
use SandboxTest;

my $sandbox = start_sandbox();

sub search { return api($sandbox, 'GET', "availableNumbers?$_[0]"); }

# refusals
my @refused = (
	[ '',                                         '4010' ],
	[ 'quantity=1',                               '4010' ],
	[ 'areaCode=12',                              '4000' ],
	[ 'areaCode=191',                             '4000' ],
	[ 'areaCode=911',                             '4000' ],
	[ 'npaNxx=540155',                            '4002' ],
	[ 'npaNxx=54055',                             '4002' ],
	[ 'npaNxxx=540551',                           '4002' ],
	[ 'state=North',                              '4006' ],
	[ 'zip=2274',                                 '4007' ],
	[ 'zip=22747-1',                              '4007' ],
	[ 'lata=x',                                   '4008' ],
	[ 'rateCenter=RALEIGH',                       '5002' ],
	[ 'city=RALEIGH',                             '5002' ],
	[ 'areaCode=919&npaNxx=919200',               '4010' ],
	[ 'areaCode=919&tollFreeVanity=newcar',       '4010' ],
	[ 'tollFreeWildCardPattern=8**&state=NC',     '4010' ],
	[ 'tollFreeWildCardPattern=9**',              '4004' ],
	[ 'localVanity=2000&zip=27601',               '4010' ],
	[ 'areaCode=919&LCA=true',                    '5002' ],
	[ 'npaNxx=919200&state=NC&LCA=true',          '5002' ],
	[ 'npaNxx=919200&orderBy=city',               '4020' ],
	[ 'areaCode=919&orderBy=fullNumber',          '4021' ],
	[ 'areaCode=919&protected=SOME',              '4022' ],
	[ 'areaCode=919&endsIn=true',                 '5002' ],
	[ 'areaCode=919&quantity=0',                  '5009' ],
	[ 'areaCode=919&quantity=5001',               '5009' ]);

foreach my $case (@refused)
{
	my ($query, $code) = @$case;

	is(codes(search($query)), "400 $code", "refused: \"$query\"");
}

# what is found: all of it, described
my %found = (
	'areaCode=919'                        => qr/^919/,
	'npaNxx=919200&LCA=false'             => qr/^919200/,
	'npaNxxx=9192005&LCA=false'           => qr/^9192005/,
	'rateCenter=NWYRCYZN01&state=NY'      => qr/^212/,
	'city=knightdale&state=nc'            => qr/^919(295|30[01])/,
	'state=VA'                            => qr/^540/,
	'zip=22627-1234'                      => qr/^540675/,
	'lata=132'                            => qr/^212/,
	'localVanity=1234&endsIn=true&state=NC' => qr/1234$/,
	'tollFreeVanity=2007'                 => qr/^8.*2007/,
	'tollFreeWildCardPattern=83*'         => qr/^83/,
	'areaCode=919&city=RALEIGH&state=NC'  => qr/^9192/);

foreach my $query (sort keys %found)
{
	my @numbers = values_of(search("$query&quantity=50"), 'TelephoneNumber');

	is((grep { $_ =~ $found{$query} } @numbers), @numbers, "found: \"$query\"");
	cmp_ok(@numbers, '>', 0, '... and not nothing');
}

# how many, in which order
my $reply = search('areaCode=919');
is((values_of($reply, 'ResultCount'))[0], 5000, 'quantity is 5000 if not said');
is(count_of($reply, 'TelephoneNumber'), 5000, '... and so many are there');
my @sorted = values_of(search('npaNxx=540551&quantity=20&orderBy=fullNumber'), 'TelephoneNumber');
is_deeply(\@sorted, [ sort @sorted ], 'orderBy');

# local calling areas
my @near = values_of(search('npaNxx=540551&quantity=5'), 'TelephoneNumber');
ok((grep { /^540227/ } @near), 'with LCA, which is the default, neighbours are found');

# details, and their absence
$reply = search('npaNxx=919295&LCA=false&quantity=1&enableTNDetail=true');
like($reply->{content}, qr{<City>KNIGHTDALE</City><LATA>426</LATA>}, 'details');
is((values_of($reply, 'VendorId'))[0], 49, 'vendor');
is((values_of(search('tollFreeWildCardPattern=8**&quantity=1&enableTNDetail=true'), 'VendorId'))[0],
	67, 'vendor of toll free numbers');
like(search('areaCode=303')->{content}, qr{<SearchResult/>$}, 'nothing is found');

# someone else buys
my ($first) = values_of(search('npaNxx=540551&quantity=1'), 'TelephoneNumber');
$sandbox->sell($first);
isnt((values_of(search('npaNxx=540551&quantity=1'), 'TelephoneNumber'))[0], $first, 'sold');
$sandbox->restock($first);
is((values_of(search('npaNxx=540551&quantity=1'), 'TelephoneNumber'))[0], $first, 'available again');

# prefixes
is(count_of(api($sandbox, 'GET', 'availableNpaNxx?areaCode=540'), 'Nxx'), 3,
	'prefixes of an area');
is(codes(api($sandbox, 'GET', 'availableNpaNxx?areaCode=303')), '400 4000', 'no prefixes');

done_testing();
