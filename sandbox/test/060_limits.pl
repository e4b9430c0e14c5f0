# The enforced rate limit.

use strict;
use warnings;

use BwTest;
use FindBin;
use Test::More;

use lib "$FindBin::RealBin/lib";
use SandboxTest;

my $sandbox = start_sandbox();

sub search { return api($sandbox, 'GET', ($_[0] // '') . 'availableNumbers?areaCode=919&quantity=1'); }
sub statuses { my ($code, $n) = @_; return join ' ', map { $code->()->{status} } 1 .. $n; }

is(statuses(\&search, 5), '200 200 200 200 200', 'no limit unless one is asked for');

# Three in a window of three minutes.
$sandbox->config(enforce_limits => 'on', per_minute => 1, burst => 3);
is(statuses(\&search, 3), '200 200 200', 'a burst');
my $reply = search();
is($reply->{status}, 429, 'one too many');
is($reply->{content}, '', '... without a body');
is($reply->{headers}{connection}, 'close', '... and the end of the connection');
ok($reply->{headers}{date}, '... with a date');
cmp_ok(abs($reply->{headers}{'x-ratelimit-reset'} - time() - 180), '<', 5,
	'... until the first call leaves the window');

# what shares a limit
is(statuses(sub { api($sandbox, 'GET', 'orders?page=1&size=1') }, 2), '204 204',
	'another class has its own');
is(statuses(sub { api($sandbox, 'GET', '/api/tns/5402278098') }, 1), '404', 'as has no account');
is(statuses(sub { api($sandbox, 'GET', 'orders/1-1') }, 2), '404 429',
	'one order and the list of orders share one');
is(search('/api/accounts/1/')->{status}, 200, 'another account has its own');
is(statuses(sub { api($sandbox, 'GET', 'sites') }, 5), '200 200 200 200 200', 'some have none');
is(api($sandbox, 'GET', 'subscriptions')->{status}, 404, 'and some are fresh');

# The window moves: four calls of a limit of 240 a minute leave after a second.
$sandbox->reset;
$sandbox->config(enforce_limits => 'on', per_minute => 240, burst => 4);
is(statuses(\&search, 5), '200 200 200 200 429', 'a short window');
wait_until(sub { search()->{status} == 200 }, '... ends');
is($sandbox->journal_count(class => 'SEARCH', status => 200), 5, '... for one at a time');

ok(!eval { $sandbox->config(per_minute => 0); 1 }, 'a limit of nothing is refused');

done_testing();
