# The process: its options, its start and its end.

use strict;
use warnings;

use BwTest;
use FindBin;
use Test::More;
use Time::HiRes qw(time);

use lib "$FindBin::RealBin/lib";
use SandboxTest;

sub refused
{
	my (@options) = @_;

	return system("$ENV{BW_SANDBOX} @options >/dev/null 2>&1") >> 8;
}

is(refused(), 2, 'no address');
is(refused('--listen', '192.0.2.1:0'), 2, 'not a loopback address');
is(refused('--listen', '127.0.0.1:0', '--username', 'u'), 2, 'half a credential');
is(refused('--listen', '127.0.0.1:0', '--nonsense'), 2, 'no such option');
is(refused('--help'), 0, '--help');

# The manual page and --help name the same options, calls, parameters and faults.
sub words_of
{
	my ($text) = @_;
	my %words = map { $_ => 1 } $text =~ m{(--[a-z][a-z-]+|/sandbox/[a-z/]*[a-z]|\b[a-z]+_[a-z0-9_]+)}g;

	return \%words;
}

my $help   = `$ENV{BW_SANDBOX} --help`;
my $manual = PostgreSQL::Test::Utils::slurp_file("$ENV{BW_FILES}/sandbox/bw-sandbox.1");
my @kinds  = $help =~ s{.*?Kinds of faults}{}sr =~ m{^  (\w+) }mg;

$manual =~ s/\\-/-/g;
is_deeply(words_of($manual), words_of($help), 'the manual page names what --help names');
cmp_ok(scalar @kinds, '>', 20, '... and the faults');
is_deeply([ sort $manual =~ /^\.TP\n\.B (\w+)$/mg ], [ sort @kinds ], '... the same ones');

# It ends at once whatever is under way.
my $sandbox  = start_sandbox('order-delay' => 60000);
my $receiver = SandboxTest::Receiver->new;
my @open;

subscribe($sandbox, $receiver->url);
$sandbox->fault(class => 'CALLBACK', kind => 'before_reply', count => 1);
push @open, SandboxTest::Connection->open($sandbox, 'POST', 'orders', numbers_order(['9192000001']));
$sandbox->fault(class => 'SEARCH', kind => 'hang', count => 2);
$sandbox->fault(class => 'SEARCH', kind => 'delay', delay_ms => 60000, count => 1);
$sandbox->fault(class => 'SEARCH', kind => 'drip', count => 1);
push @open, SandboxTest::Connection->open($sandbox, 'GET', 'availableNumbers?areaCode=919')
  foreach 1 .. 4;
wait_until(sub { $sandbox->journal_count == 6 }, 'requests are under way');
my $began = time();
is($sandbox->stop, 0, 'it ends, with status 0');
cmp_ok(time() - $began, '<', 3, '... at once');
$_->text(10) foreach @open;
is((grep { $_->ending } @open), @open, '... and nobody is left waiting');

# What it was told, it forgets.
$sandbox->start_again;
is_deeply([ $sandbox->orders ], [], 'it starts again, empty');

# Concurrent requests keep their queries apart.
my @halves = map {
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $sandbox->port);

	print $socket "GET /api/accounts/1/availableNumbers?areaCode=$_&quantity=1 HTTP/1.1\r\n";
	$socket->flush;
	api($sandbox, 'GET', 'sites');
	$socket;
} 919, 212;
foreach my $socket (@halves)
{
	print $socket "Host: x\r\nConnection: close\r\n\r\n";
	$socket->flush;
}
my @first = map { join('', readline($_)) =~ m{<TelephoneNumber>(\d{3})} } @halves;
is_deeply(\@first, [ 919, 212 ], 'each request has its own query');

done_testing();
