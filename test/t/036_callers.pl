# Who may say what: credentials, accounts and subscriptions of callbacks.
use strict;
use warnings;

use BwTest;
use IO::Select;
use IO::Socket::INET;
use MIME::Base64;
use Test::More;

my $sandbox = start_sandbox('order-delay' => 60000);
my $port = free_port();
my $node = bw_node('main', sandbox => $sandbox, conf => ["bandwidth.listen_port = $port"],
	mapping => { client_id => 'client', client_secret => 'secret', callback_username => 'first', callback_password => 'p1' });

sub sql { return $node->safe_psql('postgres', $_[0]); }

my $base = $sandbox->url;
sql("CREATE SERVER second FOREIGN DATA WRAPPER bandwidth OPTIONS (account_id '9900001', site_id '743', base_url '$base/api', token_url '$base/api/v1/oauth2/token');"
	  . " CREATE USER MAPPING FOR CURRENT_USER SERVER second OPTIONS (client_id 'client', client_secret 'secret', callback_username 'second', callback_password 'p2')");
sql("SELECT bw_subscribe('http://127.0.0.1:$port/first'), bw_subscribe('http://127.0.0.1:$port/second', server => 'second')");
wait_until(sub { sql(q{SELECT count(*) FROM bw_subscriptions WHERE state = 'ACTIVE'}) eq '2' }, 'two accounts subscribe');
my %subscription = map { split /\|/ } split /\n/, sql('SELECT server, bandwidth_subscription_id FROM bw_subscriptions');
$sandbox->config(callbacks => 'off');

# Status of the reply to a callback.
sub call
{
	my ($path, $user, $body, $headers) = @_;
	my $socket = IO::Socket::INET->new("127.0.0.1:$port") or die "could not connect: $!";
	my $authorization = defined $user ? 'Authorization: Basic ' . encode_base64($user, '') . "\r\n" : '';
	my $reply = '';

	syswrite($socket, "POST $path HTTP/1.1\r\nHost: x\r\nConnection: close\r\n$authorization" . ($headers // '')
		  . 'Content-Length: ' . length($body) . "\r\n\r\n$body");
	while (IO::Select->new($socket)->can_read(20))
	{
		sysread($socket, $reply, 4096, length $reply) or last;
	}
	return $reply =~ m{^HTTP/1.1 (\d+)} ? $1 : "no reply: $reply";
}

my $number = 9192400000;

# An order that Bandwidth works on, and a callback that calls it complete.
sub order_and_news
{
	my ($subscription) = @_;
	my $id = order_id($node, ++$number);

	wait_for_status($node, $id, 'RECEIVED');
	return ($id, '<Notification><Status>COMPLETE</Status>'
		  . ($subscription ? "<SubscriptionId>$subscription</SubscriptionId>" : '')
		  . '<OrderId>' . sql("SELECT bandwidth_order_id FROM bw_orders WHERE id = $id") . '</OrderId><OrderType>orders</OrderType>'
		  . "<CompletedTelephoneNumbers><TelephoneNumber>$number</TelephoneNumber></CompletedTelephoneNumbers></Notification>");
}

sub outcome { return sql("SELECT outcome || COALESCE(': ' || note, '') FROM bw_notifications ORDER BY id DESC LIMIT 1"); }

my ($id, $news) = order_and_news($subscription{bandwidth});
my $before = sql('SELECT count(*) FROM bw_notifications');
is(call('/first', undef, $news), 401, 'no credentials');
is(call('/first', 'first:p2', $news), 401, 'wrong ones');
is(call('/first', 'second:p2', $news), 401, 'those of another path');
is(call('/third', 'first:p1', $news), 404, 'no such path');
is(sql('SELECT count(*) FROM bw_notifications'), $before, 'none of it is kept');

is(call('/second', 'second:p2', $news =~ s/$subscription{bandwidth}/$subscription{second}/r), 200, 'another account says that the order is complete');
is(outcome(), 'orphan', 'which is no order of its own');
is(status_of($node, $id), 'RECEIVED', 'and stays as it is');

is(call('/first', 'first:p1', $news =~ s/$subscription{bandwidth}/$subscription{second}/r), 200, 'a SubscriptionId of others');
is(outcome(), 'confirming: its SubscriptionId is not that of the credentials', 'is a reason to ask');
is(status_of($node, $id), 'RECEIVED', 'and no more');

is(call('/first', 'first:p1', $news), 200, 'the right ones');
is(outcome(), 'applied', 'are believed');
is(status_of($node, $id), 'COMPLETE', 'the order is complete');
is(call('/first', 'first:p1', $news), 200, 'a duplicate');
is(outcome(), 'ignored: the order is final already', 'changes nothing');

($id, $news) = order_and_news(undef);
is(call('/first', 'first:p1', $news), 200, 'without SubscriptionId');
is(status_of($node, $id), 'COMPLETE', 'the credentials are enough');

# a dump with bytes that are no text could not be restored
is(call('/first', 'first:p1', $news, "User-Agent: caf\xe9/1.0\r\nContent-Type: text/\xff\xfe\r\n"), 200, 'headers that are no text');
is(sql('SELECT user_agent, content_type FROM bw_notifications ORDER BY id DESC LIMIT 1'), 'caf?/1.0|text/??', 'are made one');

$node->stop;
my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
my @lines = $log =~ /wrong credentials from 127\.0\.0\.1/g;
is(scalar @lines, 1, 'wrong credentials are logged once per address and minute');
unlike(join("\n", grep { !/statement:/ } split(/\n/, $log)), qr{first:|second:|p[12]}, 'and nothing of them');
done_testing();
