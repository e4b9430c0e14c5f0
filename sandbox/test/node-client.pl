# Bandwidth's own client for Node.js against the sandbox.
#
# It was written by those who wrote the API, so what it can read is what the
# API says.  Needs node, npm and npm's registry, and skips without them.

use strict;
use warnings;

use BwTest;
use File::Copy;
use File::Temp;
use FindBin;
use JSON::PP;
use Test::More;

use lib "$FindBin::RealBin/lib";
use SandboxTest;

my $PACKAGE = '@bandwidth/numbers@2';

sub is_there { return system("command -v $_[0] >/dev/null 2>&1") == 0; }

foreach my $program ('node', 'npm')
{
	plan skip_all => "$program is not installed" unless is_there($program);
}

my $folder = File::Temp->newdir;
copy("$FindBin::RealBin/node-client.js", $folder) or die "could not copy: $!\n";
my $output = `cd $folder && timeout 30 npm install --prefix . --no-audit --no-fund \\
	--no-package-lock --ignore-scripts --fetch-retries=0 --loglevel=error '$PACKAGE' 2>&1`;
if ($? != 0)
{
	my ($reason) = $output =~ /(?:code|error) (.*)/;

	plan skip_all => 'npm could not install the client: ' . ($reason // 'it took too long');
}

my $sandbox  = start_sandbox('order-delay' => 500, username => 'user', password => 'pass');
my $receiver = SandboxTest::Receiver->new;

open(my $node, '-|', 'timeout', '60', 'node', "$folder/node-client.js", $sandbox->url . '/api',
	$receiver->url)
  or die "could not start node: $!\n";
ok($receiver->next(401, within => 30), 'a callback came, and was challenged');
my $call = $receiver->next(200);
my $printed = do { local $/; readline($node) };
close($node);
is($?, 0, 'the client got through') or die "it printed nothing to compare\n";
my $seen = decode_json($printed);

my @found = ('5405514342', '5405515330');
is_deeply($seen->{sites}, [ 743, 13606 ], 'sites');
is($seen->{refused}, 400, 'a search without criteria is refused');
is_deeply([ map { "$_" } @{ $seen->{found} } ], \@found, 'numbers that were found');
is($seen->{detail}{city}, 'RALEIGH', 'details of a number');
is($seen->{none}, 0, 'nothing is found');
is_deeply($seen->{subscriptions}, [ $seen->{subscription} ], 'a subscription');
is($seen->{duplicate}, 409, 'the same again is refused');

is($seen->{created}{status}, 'RECEIVED', 'an order is received');
is($seen->{created}{name}, 'from node', '... with its name');
cmp_ok($seen->{pending}, '>', 0, '... is pending, which the client takes for an error');
is($seen->{order}{status}, 'COMPLETE', '... and complete');
is_deeply([ sort map { "$_" } @{ $seen->{order}{numbers} } ], [ sort @found ], '... with its numbers');
is($seen->{listed}, $seen->{created}{id}, '... and in the list');
is($seen->{badSite}, 400, 'an order for an unknown site is refused');
is($seen->{tn}, $seen->{created}{id}, 'the number knows its order');
is($seen->{disconnect}, 'RECEIVED', 'and is given back');

is($call->{order}, $seen->{created}{id}, 'the callback told the order');
is($call->{status}, 'COMPLETE', '... and its status');
is_deeply($call->{numbers}, \@found, '... and its numbers');
is($sandbox->journal_count(method => 'POST', class => 'ORDER'), 2, 'one order, one POST');

done_testing();
