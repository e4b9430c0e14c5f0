# Subscriptions, the callbacks that they cause, and faults of those.

use strict;
use warnings;

use BwTest;
use FindBin;
use Test::More;

use lib "$FindBin::RealBin/lib";
use SandboxTest;

my $sandbox  = start_sandbox('order-delay' => 0);
my $receiver = SandboxTest::Receiver->new;
my $password =
  '<CallbackCredentials><BasicAuthentication><Username>u</Username><Password>p</Password>'
  . '</BasicAuthentication></CallbackCredentials>';

# refusals
is(codes(api($sandbox, 'GET', 'subscriptions')), '404 16000', 'none');
is(codes(subscribe($sandbox, '')),      '404 14506', 'without a URL');
is(codes(subscribe($sandbox, 'ftp:x')), '404 14506', 'not a URL');
is(codes(api($sandbox, 'POST', 'subscriptions', body => '<Subscription/>')),
	'404 14508', 'of nothing');
(my $half = $password) =~ s{<Password>.*</Password>}{};
is(codes(subscribe($sandbox, $receiver->url, callback => $half)), '404 14505', 'half a credential');
my $pin = '<CallbackCredentials><PublicKey>bm8gY2VydGlmaWNhdGU=</PublicKey></CallbackCredentials>';
is(codes(subscribe($sandbox, $receiver->url, callback => $pin)), '404 14504', 'not a certificate');

# the resource
my $reply = subscribe($sandbox, $receiver->url, callback => $password);
is($reply->{status}, 201, 'subscribed');
is($reply->{content}, '', '... without a body');
my ($id) = $reply->{headers}{location} =~ m{/subscriptions/([^/]+)$};
is(codes(subscribe($sandbox, $receiver->url)), '409 16008', 'the same again');
$reply = api($sandbox, 'GET', 'subscriptions');
is_deeply([ values_of($reply, 'SubscriptionId') ], [$id], 'listed');
is((values_of($reply, 'Status'))[0], 'READY', '... ready');
cmp_ok((values_of($reply, 'Expiry'))[0], '>', 3153590000, '... for a hundred years');
unlike($reply->{content}, qr/<Password>/, '... without the password');

sub one { return numbers_order([ $_[0] ]); }
sub state_of { return (values_of(api($sandbox, 'GET', "subscriptions/$id"), 'Status'))[0]; }
sub deliveries { return scalar(my @all = $sandbox->callbacks); }

# challenge and response
my $order = order($sandbox, one('5405514342'));
my $call = $receiver->next(401);
unlike($call->{head}, qr/^authorization:/mi, 'the first request has no credentials');
$call = $receiver->next(200);
like($call->{head}, qr{^authorization: Basic dTpw\r?$}mi, 'the second one has');
is($call->{order}, $order, 'it tells the order');
is($call->{status}, 'COMPLETE', '... its status');
is_deeply($call->{numbers}, ['5405514342'], '... and its numbers');
wait_until(sub { state_of() eq '200 OK' }, 'the subscription says so');

# no second try
order($sandbox, one('5405515330'));
$receiver->next(401);
$receiver->next(503, answer => 'busy');
wait_until(sub { state_of() eq '503 busy' }, 'a refused callback is noted');
is(deliveries(), 2, '... and not repeated');

# credentials at once
$sandbox->config(callback_auth => 'eager');
order($sandbox, one('5405515329'));
like($receiver->next(200)->{head}, qr/^authorization: Basic/mi, 'credentials at once');

# what a failure lists
$sandbox->sell('5402278098');
order($sandbox, one('5402278098'));
$call = $receiver->next(200);
is($call->{status}, 'FAILED', 'a failure');
is_deeply($call->{numbers}, ['5402278098'], '... lists the requested number');
like($call->{body}, qr{<Message>5005: }, '... and why');

# formats, replacement, end
api($sandbox, 'PUT', "subscriptions/$id", body =>
	  '<Subscription><OrderType>orders</OrderType><CallbackSubscription><URL>'
	. $receiver->url('/other') . '</URL><NumberFormat>E164</NumberFormat>'
	. '</CallbackSubscription></Subscription>');
order($sandbox, one('5402270905'));
$call = $receiver->next(200);
like($call->{head}, qr{^POST /other }, 'replaced');
unlike($call->{head}, qr/^authorization:/mi, '... and with it the credentials');
is_deeply($call->{numbers}, ['+15402270905'], 'E.164');
is($sandbox->notify('<Notification/>'), '', 'any body can be sent');
is($receiver->next(200)->{body}, '<Notification/>', '... and arrives');

# bound to one order
$sandbox->config(order_delay_ms => 500);
$order = order($sandbox, one('5402278089'));
subscribe($sandbox, $receiver->url('/bound'), subscription => "<OrderId>$order</OrderId>");
my %paths = map { $_->{head} =~ /^POST (\S+)/; $1 => 1 } $receiver->next(200), $receiver->next(200);
is_deeply(\%paths, { '/other' => 1, '/bound' => 1 }, 'each subscription is told');
is(count_of(api($sandbox, 'GET', 'subscriptions'), 'SubscriptionId'),
	1, 'one that is bound to an order ends with it');

# faults
$sandbox->config(order_delay_ms => 0);

sub with_fault
{
	my ($number, %fault) = @_;

	$sandbox->clear_faults;
	$sandbox->fault(class => 'CALLBACK', count => 1, %fault);
	return order($sandbox, one($number));
}

my $before = deliveries();
with_fault('9192000001', kind => 'drop');
$order = order($sandbox, one('9192000002'));
is($receiver->next(200)->{order}, $order, 'fault: drop');
with_fault('9192000003', kind => 'duplicate');
is($receiver->next(200)->{body}, $receiver->next(200)->{body}, 'fault: duplicate');
with_fault('9192000004', kind => 'malformed');
unlike($receiver->next(200)->{body}, qr{</Notification>}, 'fault: malformed');
with_fault('9192000005', kind => 'delay', delay_ms => 300);
is($receiver->next(200, within => 0.05), undef, 'fault: delay');
ok($receiver->next(200), '... and then it comes');
my $held = with_fault('9192000006', kind => 'reorder');
is($receiver->next(200, within => 0.05), undef, 'fault: reorder, the first is held');
$order = order($sandbox, one('9192000007'));
is($receiver->next(200)->{order}, $order, '... the second goes before');
is($receiver->next(200)->{order}, $held, '... and the first follows');
with_fault('9192000008', kind => 'reorder', delay_ms => 50);
ok($receiver->next(200), '... or comes after its delay');
$sandbox->config(callback_auth => 'eager');
api($sandbox, 'DELETE', "subscriptions/$id");
is(codes(api($sandbox, 'GET', 'subscriptions')), '404 16000', 'unsubscribed');
subscribe($sandbox, $receiver->url, callback => $password);
with_fault('9192000009', kind => 'wrong_credentials');
like($receiver->next(200)->{head}, qr{^authorization: Basic dTp3cm9uZw==}mi,
	'fault: wrong_credentials');

# what others do
$sandbox->clear_faults;
is($sandbox->alter_subscriptions(id => 'nobodys', username => 'x'), 0, 'no such subscription');
is($sandbox->alter_subscriptions(username => 'x', status => '503 busy', expiry => 100), 1, 'somebody alters one');
my ($one) = $sandbox->subscriptions;
is("$one->{username} $one->{password} $one->{status}", 'x p 503 busy', '... in parts');
cmp_ok((values_of(api($sandbox, 'GET', 'subscriptions'), 'Expiry'))[0], '<=', 100, '... and it shows in the list');
$sandbox->alter_subscriptions(copy => 1, username => 'y');
is(join(' ', sort map { $_->{username} } $sandbox->subscriptions), 'x y', '... copies it');
$sandbox->alter_subscriptions(id => $one->{id}, removed => 1);
is(join(' ', map { $_->{username} } $sandbox->subscriptions), 'x', '... and removes it');
is(codes(api($sandbox, 'GET', '/api/accounts/9900001/subscriptions')), '404 16000', 'other accounts have their own');
$sandbox->alter_subscriptions(expiry => 0);
is(codes(api($sandbox, 'GET', 'subscriptions')), '404 16000', 'an expired one is gone');
subscribe($sandbox, $receiver->url, callback => $password);

# before the order's own reply
$sandbox->clear_faults;
$sandbox->config(order_delay_ms => 60000, callback_auth => 'challenge');
$sandbox->fault(class => 'CALLBACK', kind => 'before_reply', count => 1);
my $post = SandboxTest::Connection->open($sandbox, 'POST', 'orders', one('9192000010'));
$receiver->next(401);
is($post->text(0.05), '', 'fault: before_reply, the order has no reply yet');
$call = $receiver->next(200);
is($call->{status}, 'COMPLETE', '... its callback is there');
like($post->text(10), qr{^HTTP/1.1 201.*$call->{order}.*RECEIVED}s, '... and then the reply');

done_testing();
