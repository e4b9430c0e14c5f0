# SandboxTest.pm
#	  What the sandbox's own tests share: a client of the API it plays, a
#	  client that does not speak until it is told to, and a receiver of callbacks.
#
# All of it runs in one process; nothing sleeps.

package SandboxTest;

use strict;
use warnings;

use BwTest ();
use Exporter 'import';
use HTTP::Tiny;
use Test::More;

our @EXPORT = qw(
  api
  codes
  count_of
  numbers_order
  order
  search_order
  status_becomes
  subscribe
  values_of
);

our $ACCOUNT = '/api/accounts/9900000';

my $http = HTTP::Tiny->new(timeout => 10, max_redirect => 0, keep_alive => 0);

# api(sandbox, method, path, more): a reply of HTTP::Tiny.  A path without a
# slash in front is one below the account; more: body, headers.
sub api
{
	my ($sandbox, $method, $path, %more) = @_;
	my %request = (headers => { Authorization => 'Basic dTpw', %{ $more{headers} // {} } });

	$path = "$ACCOUNT/$path" unless $path =~ m{^/};
	delete $request{headers}{Authorization} unless defined $request{headers}{Authorization};
	$request{content} = $more{body} if defined $more{body};
	$request{headers}{'Content-Type'} //= 'application/xml' if defined $more{body};
	return $http->request($method, $sandbox->url . $path, \%request);
}

# Texts of all elements of a name.
sub values_of
{
	my ($reply, $name) = @_;

	return $reply->{content} =~ m{<$name>([^<]*)</$name>}g;
}

sub count_of
{
	my @values = values_of(@_);

	return scalar @values;
}

# "status code code ..." of a reply.
sub codes
{
	my ($reply) = @_;

	return join ' ', $reply->{status}, values_of($reply, '(?:Error)?Code');
}

# Bodies of orders; more: other children of Order, as XML.
sub numbers_order
{
	my ($numbers, $more) = @_;
	my $list = join '', map { "<TelephoneNumber>$_</TelephoneNumber>" } @$numbers;

	return '<Order><SiteId>743</SiteId>' . ($more // '')
	  . "<ExistingTelephoneNumberOrderType><TelephoneNumberList>$list</TelephoneNumberList>"
	  . '</ExistingTelephoneNumberOrderType></Order>';
}

sub search_order
{
	my ($type, $criteria, $more) = @_;

	return '<Order><SiteId>743</SiteId>' . ($more // '')
	  . "<${type}SearchAndOrderType>$criteria</${type}SearchAndOrderType></Order>";
}

# Post an order; its id.
sub order
{
	my ($sandbox, $body) = @_;
	my $reply = api($sandbox, 'POST', 'orders', body => $body);

	return ($reply->{headers}{location} // '') =~ m{/orders/([^/]+)$} ? $1 : undef;
}

# Wait until an order, read through the API, has a state; the last reply.
sub status_becomes
{
	my ($sandbox, $id, $status) = @_;
	my $reply;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	BwTest::wait_until(
		sub {
			$reply = api($sandbox, 'GET', "orders/$id");
			return ((values_of($reply, 'OrderStatus'))[0] // '') eq $status;
		},
		"order is $status");
	return $reply;
}

# Subscribe a URL; the reply.  More: children of Subscription, and of its
# CallbackSubscription.
sub subscribe
{
	my ($sandbox, $url, %more) = @_;

	return api($sandbox, 'POST', 'subscriptions', body =>
		  '<Subscription><OrderType>orders</OrderType>' . ($more{subscription} // '')
		. "<CallbackSubscription><URL>$url</URL><Expiry>3153600000</Expiry>"
		. ($more{callback} // '') . '</CallbackSubscription></Subscription>');
}

package SandboxTest::Connection;

# A request that is sent, and whose reply is read later or never.

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;

sub open
{
	my ($class, $sandbox, $method, $path, $body) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $sandbox->port)
	  or die "could not connect: $!\n";

	$body //= '';
	$path = "$SandboxTest::ACCOUNT/$path" unless $path =~ m{^/};
	$socket->autoflush(1);
	print $socket "$method $path HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\n",
	  'Content-Length: ', length($body), "\r\n\r\n$body";
	return bless { socket => $socket, text => '', end => undef }, $class;
}

# Read for so many seconds, or up to the end; what came.
sub text
{
	my ($self, $seconds) = @_;
	my $select = IO::Select->new($self->{socket});

	while (!defined $self->{end} && $select->can_read($seconds))
	{
		my $count = sysread($self->{socket}, $self->{text}, 65536, length $self->{text});

		$self->{end} = defined $count ? 'closed' : 'reset' unless $count;
	}
	return $self->{text};
}

# How it ended: "closed", "reset", or undef as long as it has not.
sub ending
{
	my ($self) = @_;

	return $self->{end};
}

package SandboxTest::Receiver;

# Where callbacks arrive.

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;

sub new
{
	my ($class) = @_;
	my $socket = IO::Socket::INET->new(Listen => 16, LocalAddr => '127.0.0.1')
	  or die "could not listen: $!\n";

	return bless { socket => $socket }, $class;
}

sub url
{
	my ($self, $path) = @_;

	return 'http://127.0.0.1:' . $self->{socket}->sockport . ($path // '/callback');
}

# The next request, answered with a status; undef if none comes in time.  A
# hash: head, body, and order, status and numbers of the notification.
sub next
{
	my ($self, $status, %more) = @_;

	IO::Select->new($self->{socket})->can_read($more{within} // 10) or return;
	my $peer = $self->{socket}->accept or return;
	my $text = '';

	until ($text =~ /\r\n\r\n/ && length($') >= ($text =~ /content-length: (\d+)/i ? $1 : 0))
	{
		sysread($peer, $text, 65536, length $text) or last;
	}
	my ($head, $body) = split /\r\n\r\n/, $text, 2;
	my $challenge = $status == 401 ? "WWW-Authenticate: Basic realm=\"test\"\r\n" : '';
	my $answer = $more{answer} // '';

	print $peer "HTTP/1.1 $status Fine\r\n${challenge}Content-Length: ", length($answer),
	  "\r\nConnection: close\r\n\r\n$answer";
	close($peer);
	my ($order) = $body =~ m{<OrderId>(.*?)</OrderId>};
	my ($state) = $body =~ m{<Status>(.*?)</Status>};
	my @numbers = $body =~ m{<TelephoneNumber>(.*?)</TelephoneNumber>}g;

	return { head => $head, body => $body, order => $order, status => $state, numbers => \@numbers };
}

1;
