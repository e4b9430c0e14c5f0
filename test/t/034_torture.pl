# The port for callbacks against whoever wants to harm it: raw sockets, and all
# that HTTP and XML have to offer.  After each class of attack a proper callback
# must be answered 200 and end its order; in the end the worker is the one it
# was, as big as it was, and keeps exactly the bodies that it said it keeps.
use strict;
use warnings;

use BwTest;
use Digest::SHA qw(sha256_hex);
use Errno qw(EAGAIN EINTR);
use IO::Select;
use IO::Socket::INET;
use IPC::Run;
use JSON::PP;
use MIME::Base64;
use POSIX ();
use PostgreSQL::Test::Utils;
use Socket qw(IPPROTO_TCP TCP_NODELAY SOL_SOCKET SO_LINGER SHUT_WR);
use Test::More;
use Time::HiRes qw(time);

# What is promised: the limit of a body, of a request's time, and of connections.
my $MAX_BODY = 1024 * 1024;
my $DEADLINE = 15;
my $MAX_CONNECTIONS = 200;
my $MAX_PER_ADDRESS = 128;

# A client that was forgotten is a failure after this.
my $PATIENCE = 30;

$SIG{PIPE} = 'IGNORE';
srand(34);

my $sandbox = start_sandbox('order-delay' => 3600000);
my $port = free_port();
my $node = bw_node('main', sandbox => $sandbox,
	server => { requests_per_minute => 1000000, burst => 1000000, max_numbers_per_day => 100000 },
	mapping => { client_id => 'client', client_secret => 'secret', callback_username => 'user', callback_password => 'pass word' },
	conf => [ "bandwidth.listen_port = $port", "bandwidth.listen_addresses = '*'", 'max_connections = 20' ]);

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql("SELECT bw_subscribe('http://127.0.0.1:$port/bandwidth')");
wait_until(sub { sql('SELECT state FROM bw_subscriptions') eq 'ACTIVE' }, 'a subscription');
$sandbox->config(callbacks => 'off');

my $pid = worker_pid($node);

# --- orders that Bandwidth works on, one for each proof that the port works ---
my @orders;

sub make_orders
{
	my ($first, $count) = @_;

	sql(join '', map { "SELECT bw_order(ARRAY['" . ($first + $_) . "'], name => 'n$_');" } 1 .. $count);
	wait_until(sub { sql("SELECT count(DISTINCT bandwidth_order_id) FROM bw_orders WHERE status = 'RECEIVED'") eq $count },
		"Bandwidth works on $count orders");
	@orders = map { [ split /\|/ ] } split /\n/,
	  sql('SELECT o.id, o.bandwidth_order_id, n.telephone_number FROM bw_orders AS o'
		  . ' JOIN bw_order_numbers AS n ON n.order_id = o.id ORDER BY o.id');
	return;
}

sub complete
{
	my ($order) = @_;

	return "<Notification><Status>COMPLETE</Status><OrderId>$order->[1]</OrderId><OrderType>orders</OrderType>"
	  . "<CompletedTelephoneNumbers><TelephoneNumber>$order->[2]</TelephoneNumber></CompletedTelephoneNumbers></Notification>";
}

make_orders(9192700000, 60);
# News of this one are kept, and have no effect.
my $final = shift @orders;
my $news = 0;

sub body
{
	my ($more) = @_;

	$news++;
	return "<Notification><Status>COMPLETE</Status><Message>$news</Message><OrderId>$final->[1]</OrderId></Notification>" . ($more // '');
}

# --- requests ---
my $right = 'Authorization: Basic ' . encode_base64('user:pass word', '');

sub head
{
	my ($length, @more) = @_;

	return join("\r\n", 'POST /bandwidth HTTP/1.1', 'Host: x', $right, "Content-Length: $length", @more, '', '');
}

# What marks a body that nobody meant to send.
my $smuggled = '<!-- smuggled -->';

sub callback { my ($body, @more) = @_; return head(length $body, @more) . $body; }

sub chunked
{
	my ($chunks, @more) = @_;

	return join("\r\n", 'POST /bandwidth HTTP/1.1', 'Host: x', $right, 'Transfer-Encoding: chunked', @more, '', '') . $chunks;
}

sub chunk { return sprintf("%x\r\n%s\r\n", length $_[0], $_[0]); }

# --- conversations ---
# What must be in the table: digest of a body => how often; and what may be,
# because its sender did not wait for the answer.
my %kept;
my %maybe;

sub connect_to
{
	my (%options) = @_;
	my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port", Proto => 'tcp',
		$options{from} ? (LocalAddr => $options{from}) : ())
	  or die "could not connect: $!";

	setsockopt($socket, IPPROTO_TCP, TCP_NODELAY, 1);
	$socket->blocking(0);
	return $socket;
}

# The next whole reply's status, taken off the text; undef: there is none yet.
sub take_status
{
	my ($text) = @_;

	return undef unless $$text =~ m{^HTTP/1\.[01] (\d{3}).*?\r\n\r\n}s;
	my ($status, $end) = ($1, $+[0]);
	my $length = substr($$text, 0, $end) =~ /^content-length: *(\d+)/mi ? $1 : 0;

	return undef if length($$text) < $end + $length;
	substr($$text, 0, $end + $length, '');
	return $status;
}

=pod

converse(cases): hold many conversations side by side.  A case is a hash:

  name  what it tries
  say   text, or a list of: texts, each sent when the one before is gone, and
        references to numbers: wait for so many replies
  want  statuses of the replies, and then "open": another callback on this
        connection is answered 200; or "closed".  Alternatives between "|".
  keeps bodies that are kept by the replies that say 200 (or 400: keeps400);
        if unsure, they may be kept without a reply
  every seconds between texts
  half  our side is closed after the last text, or at once without any
  mute  replies are not read before so many seconds
  early among the slow ones: it may be closed before its time is over
  from  our address

What came instead is in "got", and how long it took in "took".

=cut

sub converse
{
	my (@cases) = @_;
	my $began = time();
	my @open;

	foreach my $case (@cases)
	{
		my $say = ref $case->{say} eq 'ARRAY' ? [ @{ $case->{say} } ] : [ $case->{say} ];

		push @open, { %$case, case => $case, say => $say, got => [], text => '', due => 0, socket => connect_to(%$case),
			open => [ grep { /open/ } split /\|/, $case->{want} ] };
	}
	foreach my $one (@open)
	{
		shutdown($one->{socket}, SHUT_WR) if $one->{half} && !@{ $one->{say} };
	}
	# who listens late has still much to read
	my ($mute) = sort { $b <=> $a } map { $_->{mute} // 0 } @cases;
	while (@open && time() < $began + $mute + $PATIENCE)
	{
		my $now = time();
		my ($can_read, $can_write) = (IO::Select->new, IO::Select->new);

		foreach my $one (@open)
		{
			$can_read->add($one->{socket}) if $now >= $began + ($one->{mute} // 0);
			$can_write->add($one->{socket}) if may_say($one, $now);
		}
		my ($readable, $writable) = IO::Select->select($can_read, $can_write, undef, 0.1);
		my %ready = map { fileno($_) => 1 } @{ $readable // [] }, @{ $writable // [] };
		@open = grep { !$ready{ fileno($_->{socket}) } || !step($_, $can_read->exists($_->{socket})) } @open;
	}
	finish($_, 'forgotten') foreach @open;
	return;
}

sub may_say
{
	my ($one, $now) = @_;

	# what was waited for has come
	shift @{ $one->{say} } while @{ $one->{say} } && ref $one->{say}[0] && @{ $one->{got} } >= ${ $one->{say}[0] };
	return @{ $one->{say} } && !ref $one->{say}[0] && $now >= $one->{due};
}

# Go on with a conversation; true: it has ended.
sub step
{
	my ($one, $listens) = @_;

	say_something($one) if may_say($one, time());
	return 0 unless $listens;
	# little at a time: each match of a reply copies what is there
	my $count = sysread($one->{socket}, $one->{text}, 8192, length $one->{text});
	return 0 if !defined $count && ($! == EAGAIN || $! == EINTR);
	while (defined(my $status = take_status(\$one->{text})))
	{
		push @{ $one->{got} }, $status;
	}
	if (!$one->{proof} && grep { $_ eq "@{ $one->{got} } open" } @{ $one->{open} })
	{
		$one->{wants} = @{ $one->{got} };
		$one->{proof} = body();
		$one->{due} = 0;
		push @{ $one->{say} }, callback($one->{proof});
	}
	return finish($one, pop @{ $one->{got} } eq '200' ? 'open' : 'not reusable')
	  if $one->{proof} && @{ $one->{got} } > $one->{wants};
	return finish($one, 'closed') unless $count;
	return 0;
}

sub say_something
{
	my ($one) = @_;
	my $count = syswrite($one->{socket}, $one->{say}[0]);

	if (!defined $count)
	{
		# the other side is gone: reading says so as well
		@{ $one->{say} } = () unless $! == EAGAIN || $! == EINTR;
		return;
	}
	substr($one->{say}[0], 0, $count, '');
	return if length $one->{say}[0];
	shift @{ $one->{say} };
	$one->{due} = time() + ($one->{every} // 0);
	shutdown($one->{socket}, SHUT_WR) if $one->{half} && !@{ $one->{say} };
	return;
}

sub finish
{
	my ($one, $end) = @_;
	my $case = $one->{case};
	my $keeping = $case->{keeps400} ? '400' : '200';
	my $times = grep { $_ eq $keeping } @{ $one->{got} };
	my @bodies = @{ $case->{keeps} // $case->{keeps400} // [] };

	$kept{ sha256_hex($_) }++ foreach splice(@bodies, 0, $times);
	$maybe{ sha256_hex($_) } = 1 foreach $case->{unsure} ? @bodies : ();
	$kept{ sha256_hex($one->{proof}) }++ if $end eq 'open';
	$case->{got} = join ' ', @{ $one->{got} }, $end;
	$case->{took} = time() - $case->{began};
	close($one->{socket});
	return 1;
}

# Hold conversations; each is a test.
sub converse_ok
{
	my ($class, @cases) = @_;

	$_->{began} = time() foreach @cases;
	converse(@cases);
	report($class, @cases);
	return;
}

sub report
{
	my ($class, @cases) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	foreach my $case (@cases)
	{
		my ($want) = grep { $_ eq $case->{got} } split /\|/, $case->{want};

		is($case->{got}, $want // $case->{want}, "$class: $case->{name}");
	}
	return;
}

# One whose body must not be kept unless it is said to be.
sub case_of
{
	my ($name, $say, $want, %more) = @_;

	return { name => $name, say => $say, want => $want, %more };
}

# --- the proof: a callback is kept, and ends its order ---
sub works
{
	my ($class) = @_;
	my $order = shift @orders or die 'no orders are left';
	my $body = complete($order);
	my $case = case_of('a proper callback', callback($body), '200 open', keeps => [$body]);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	converse_ok($class, $case);
	is(sql("SELECT o.status, n.outcome FROM bw_orders AS o, bw_notifications AS n WHERE o.id = $order->[0]"
			  . " AND n.bandwidth_order_id = o.bandwidth_order_id"),
		'COMPLETE|applied', "$class: ends its order");
	is(worker_pid($node), $pid, "$class: the worker is the one it was");
	return;
}

# --- attacks ---
sub pipelining
{
	my @three = map { body() } 1 .. 3;
	my @fifty = map { body() } 1 .. 50;
	my @two = map { body() } 1 .. 2;
	my $behind = body();
	my $after = body();

	return (
		case_of('three callbacks in one segment', join('', map { callback($_) } @three), '200 200 200 open', keeps => \@three),
		case_of('fifty', join('', map { callback($_) } @fifty), '200 ' x 50 . 'open', keeps => \@fifty),
		case_of('whole and half ones, cut anywhere',
			[ join('', map { callback($_) } @two) =~ /(.{1,97})/gs ], '200 200 open', keeps => \@two),
		case_of('one without credentials and one with',
			"POST /bandwidth HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc" . callback($after), '401 200 open', keeps => [$after]),
		case_of('what follows a refusal is not read',
			"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" . callback(body()), '404 closed'),
		case_of('garbage behind a callback', callback($behind) . "\1\2\3 garbage\r\n\r\n", '200 404 closed|200 400 closed|200 closed', keeps => [$behind]));
}

sub pieces
{
	my ($bytes, $lines, $tail) = map { body() } 1 .. 3;

	return (
		case_of('a byte at a time', [ split //, callback($bytes) ], '200 open', keeps => [$bytes]),
		case_of('cut between CR and LF', [ split /(?<=\r)/, callback($lines) ], '200 open', keeps => [$lines]),
		case_of('the last byte late', [ substr(callback($tail), 0, -1), '>' ], '200 open', keeps => [$tail], every => 0.3));
}

sub half_closed
{
	my $whole = body();

	return (
		case_of('nothing is said', [], 'closed', half => 1),
		case_of('a whole callback', callback($whole), '200 closed|closed', half => 1, keeps => [$whole], unsure => 1));
}

sub chunks
{
	my ($one, $three, $bytes, $extended, $trailer) = map { body() } 1 .. 5;
	my @bad = ('zz', '-1', '0x10', ' ', '', 'FFFFFFFFFFFFFFFFF', '10000000000000000', "5\0");

	return (
		case_of('one chunk', chunked(chunk($one) . "0\r\n\r\n"), '200 open', keeps => [$one]),
		case_of('three chunks', chunked(join('', map { chunk($_) } $three =~ /(.{1,60})/gs) . "0\r\n\r\n"), '200 open', keeps => [$three]),
		case_of('a byte a chunk, cut anywhere',
			[ chunked(join('', map { chunk($_) } split //, $bytes) . "0\r\n\r\n") =~ /(.{1,13})/gs ], '200 open', keeps => [$bytes]),
		# libmicrohttpd 1.0.1 has an error that makes it refuse every extension
		case_of('extensions', chunked(sprintf("%X;a=b;c=\"d\"\r\n%s\r\n0\r\n\r\n", length $extended, $extended)),
			'200 open|400 closed', keeps => [$extended]),
		case_of('trailers', chunked(chunk($trailer) . "0\r\nExpires: never\r\n\r\n"), '200 open', keeps => [$trailer]),
		(map { case_of("a size of \"$_\"", chunked(chunk(body()) . "$_\r\n" . callback(body($smuggled))), '400 closed|413 closed|closed') } @bad),
		case_of('no end after a chunk', chunked(chunk(body()) =~ s/\r\n$/x\r\n/r . "0\r\n\r\n" . callback(body($smuggled))), '400 closed|closed'),
		case_of('endless', chunked(chunk('x' x 65536) x 64), 'closed'),
		case_of('a chunk that does not fit, and one that would',
			[ chunked(chunk('x' x ($MAX_BODY - 100))), chunk('y' x 1000), chunk('z' x 50) . "0\r\n\r\n" ], '413 closed', every => 0.2),
		case_of('a chunk that is too large', chunked("7fffffff\r\n" . 'x' x (4 * $MAX_BODY)), 'closed'));
}

sub oversize
{
	my $full = body();
	my $larger = body();

	$full .= ' ' x ($MAX_BODY - length $full);
	$larger .= ' ' x ($MAX_BODY + 1 - length $larger);
	return (
		case_of('a body of the limit', callback($full), '200 open', keeps => [$full]),
		case_of('one byte more', callback($larger), '413 closed'),
		case_of('one byte more, in chunks', chunked(chunk($larger) . "0\r\n\r\n"), '413 closed'),
		case_of('without sending it', head($MAX_BODY + 1), '413 closed'),
		case_of('2^63', head('9223372036854775808'), '413 closed'),
		case_of('2^64 + 5', head('18446744073709551621'), '413 closed|400 closed|closed'),
		case_of('a long request line', 'POST /' . 'x' x 100000 . " HTTP/1.1\r\nHost: x\r\n\r\n", '414 closed|431 closed'),
		case_of('a long header', head(0, 'X: ' . 'x' x 100000), '431 closed'),
		case_of('many headers', head(0, map { "X$_: $_" } 1 .. 5000), '431 closed'),
		case_of('a header without an end', head(0, 'X: ' . 'x' x 60000) =~ s/\r\n\r\n$//r, '431 closed'));
}

# Each has a body, and a callback behind it, that are kept if lengths are not
# understood as they should be: LENGTH is the body's.
sub smuggling
{
	my $line = 'POST /bandwidth HTTP/1.1';
	my $smuggle = sub {
		my ($name, $want, @headers) = @_;
		my $body = body($smuggled);
		my $length = length $body;

		s/LENGTH/$length/ foreach @headers;
		return case_of($name, join("\r\n", @headers, '', '') . $body . callback(body($smuggled)), $want);
	};

	return (
		$smuggle->('two lengths that differ', '400 closed', $line, 'Host: x', $right, 'Content-Length: LENGTH', 'Content-Length: 0'),
		$smuggle->('two lengths that agree', '400 closed', $line, 'Host: x', $right, 'Content-Length: LENGTH', 'Content-Length: LENGTH'),
		$smuggle->('a list of lengths', '400 closed|closed', $line, 'Host: x', $right, 'Content-Length: LENGTH, LENGTH'),
		$smuggle->('length and chunks', '400 closed', $line, 'Host: x', $right, 'Content-Length: LENGTH', 'Transfer-Encoding: chunked'),
		$smuggle->('chunks and length', '400 closed', $line, 'Host: x', $right, 'Transfer-Encoding: chunked', 'Content-Length: LENGTH'),
		$smuggle->('chunks in capitals and length', '400 closed', $line, 'Host: x', $right, 'transfer-encoding: CHUNKED', 'content-length: LENGTH'),
		# RFC 9112, 6.1, would have 501 for an encoding that is not understood, as libmicrohttpd 1.0.10 does
		$smuggle->('another encoding', '400 closed|501 closed', $line, 'Host: x', $right, 'Transfer-Encoding: gzip'),
		$smuggle->('two encodings', '400 closed', $line, 'Host: x', $right, 'Transfer-Encoding: chunked', 'Transfer-Encoding: identity'),
		$smuggle->('two encodings, the other way', '400 closed|501 closed', $line, 'Host: x', $right, 'Transfer-Encoding: identity', 'Transfer-Encoding: chunked'),
		$smuggle->('a list of encodings', '400 closed|501 closed', $line, 'Host: x', $right, 'Transfer-Encoding: chunked, identity'),
		$smuggle->('an encoding with a tab', '400 closed|501 closed', $line, 'Host: x', $right, "Transfer-Encoding: chunked\tx"),
		(map { $smuggle->("a length of \"$_\"", '400 closed|closed', $line, 'Host: x', $right, "Content-Length: $_") }
			'+LENGTH', '-LENGTH', '0xLENGTH', 'LENGTH 5', 'LENGTH,', '', 'five'),
		$smuggle->('no Host', '400 closed', $line, $right, 'Content-Length: LENGTH'),
		$smuggle->('a blank before the colon', '400 closed', $line, 'Host: x', $right, 'Content-Length : LENGTH', 'Content-Length: 0'),
		$smuggle->('NUL in a header', '400 closed|closed', $line, 'Host: x', "X: a\0b", $right, 'Transfer-Encoding: chunked', 'Content-Length: LENGTH'),
		$smuggle->('NUL in a name', '400 closed|closed', $line, 'Host: x', $right, "Content-Length\0: LENGTH", 'Content-Length: LENGTH', 'Content-Length: 0'),
		# libmicrohttpd 1.0 closes the connection without a word
		$smuggle->('NUL in the request line', '400 closed|404 closed|closed', "POST /bandwidth\0x HTTP/1.1", 'Host: x', $right, 'Content-Length: LENGTH', 'Content-Length: 0'),
		$smuggle->('a folded length', '400 closed|closed', $line, 'Host: x', $right, 'Content-Length:', ' LENGTH', 'Content-Length: LENGTH'),
		$smuggle->('a length with a folded end', '400 closed|closed', $line, 'Host: x', $right, 'Content-Length: LENGTH', ' 5'),
		$smuggle->('a folded encoding', '400 closed|closed', $line, 'Host: x', $right, 'Content-Length: LENGTH', 'Transfer-Encoding:', ' chunked'),
		(map { case_of("a request for trailers, behind a size of \"$_\"", chunked(chunk(body($smuggled)) . "$_\r\n" . callback(body($smuggled))), '400 closed|closed') }
			'0', '0;a', '0;a=b', '0;a="b"'));
}

sub garbage
{
	return (
		(map { case_of("random bytes $_", join('', map { chr(int(rand(256))) } 1 .. 3000) . "\r\n\r\n", '400 closed|closed') } 1 .. 5),
		case_of('the preface of HTTP/2', "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", '400 closed|404 closed|505 closed|closed'),
		case_of('HTTP/9.9', "POST /bandwidth HTTP/9.9\r\nHost: x\r\n$right\r\nContent-Length: 0\r\n\r\n", '505 closed|400 closed|closed'),
		case_of('an SSH banner', "SSH-2.0-OpenSSH_9.2\r\n\r\n", '400 closed|closed'),
		case_of('no version', "POST /bandwidth\r\n\r\n", '400 closed|closed'),
		case_of('one word', "POST\r\n\r\n", '400 closed|closed'),
		case_of('a header without a colon', "POST /bandwidth HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n", '400 closed|closed'));
}

sub methods_and_paths
{
	my $ask = sub { return "$_[0] $_[1] HTTP/1.1\r\nHost: x\r\n$right\r\nContent-Length: 0\r\n\r\n"; };
	my $query = body();

	return (
		(map { case_of("method $_", $ask->($_, '/bandwidth'), '405 closed') } qw(GET PUT DELETE OPTIONS TRACE PATCH post BREW)),
		(map { case_of("path $_", $ask->('POST', $_), '404 closed') }
			'/', '*', 'bandwidth', '/bandwidth/', '/BANDWIDTH', '//bandwidth', '/bandwidth/../bandwidth', '/x' x 2000,
			'/bandwidth;x', 'http://other/'),
		# not a path at all, as libmicrohttpd 1.0.10 says
		(map { case_of("path $_", $ask->('POST', $_), '404 closed|400 closed') } '/' . '%' x 50, '/%zz'),
		case_of('a query', callback($query) =~ s{/bandwidth }{/bandwidth?a=b&c }r, '200 open', keeps => [$query]));
}

sub authorization
{
	my $try = sub { my ($name, $want, @lines) = @_; return case_of($name, callback(body()) =~ s/\Q$right\E\r\n/join('', map { "$_\r\n" } @lines)/er, $want); };
	my $basic = sub { return 'Authorization: Basic ' . encode_base64($_[0], ''); };
	my ($first, $lower) = map { body() } 1 .. 2;

	return (
		$try->('none', '401 open'),
		(map { $try->("\"$_\"", '401 open', "Authorization: $_") }
			'', 'Basic', 'Basic ', 'Basic !!!!', 'Basic ====', 'Basic Og==', 'Basic ' . 'A' x 1000, 'Basic ' . 'A' x 20000, 'Bearer abc', 'Digest username="user"', 'x' x 5000),
		(map { $try->("credentials \"$_\"", '401 open', $basic->($_)) }
			'user:', ':pass word', 'user', 'user:pass', 'user:pass wordx', "user:pass word\0", "user:pass word\n", 'User:pass word', 'user:pass:word'),
		$try->('wrong ones and then right ones', '401 open', $basic->('user:wrong'), $right),
		case_of('the word in lower case', callback($lower) =~ s/Basic/bAsIC/r, '200 open', keeps => [$lower]),
		case_of('as Bandwidth does: without, then with', [ callback($first) =~ s/\Q$right\E\r\n//r, \1, callback($first) ],
			'401 200 open', keeps => [$first]));
}

sub dialects
{
	my ($old, $alive, $expect, $hasty, $lines, $empty, $close) = map { body() } 1 .. 7;

	return (
		case_of('HTTP/1.0 without Host', callback($old) =~ s{HTTP/1.1\r\nHost: x}{HTTP/1.0}r, '200 closed', keeps => [$old]),
		case_of('HTTP/1.0 that stays', callback($alive, 'Connection: keep-alive') =~ s{HTTP/1.1}{HTTP/1.0}r, '200 open', keeps => [$alive]),
		case_of('Expect, waiting', [ head(length $expect, 'Expect: 100-continue'), \1, $expect ], '100 200 open', keeps => [$expect]),
		case_of('Expect, not waiting', callback($hasty, 'Expect: 100-continue'), '100 200 open|200 open', keeps => [$hasty]),
		case_of('Expect with a large body', head(2 * $MAX_BODY, 'Expect: 100-continue'), '413 closed'),
		case_of('Expect at a wrong path', head(10, 'Expect: 100-continue') =~ s{/bandwidth}{/other}r, '404 closed'),
		case_of('an absolute URL', callback(body()) =~ s{/bandwidth}{http://x/bandwidth}r, '404 closed'),
		# a server may take them or not (RFC 9112, 2.2); see STRICTNESS in src/listener.c
		case_of('lines that end with LF only', callback($lines) =~ s/\r\n/\n/gr, '200 open|400 closed', keeps => [$lines]),
		case_of('an empty line in front', "\r\n" . callback($empty), '200 open', keeps => [$empty]),
		case_of('Connection: close', callback($close, 'Connection: close'), '200 closed', keeps => [$close]));
}

sub xml
{
	my $url = $sandbox->url . '/sandbox/leak';
	my $order = $orders[-1];
	my $in = sub { return "$_[0]<Notification><Status>COMPLETE</Status><OrderId>$order->[1]</OrderId><Message>$_[1]</Message></Notification>"; };
	my $laughs = join '', map { "<!ENTITY l$_ \"" . ('&l' . ($_ - 1) . ';') x 10 . '">' } 1 .. 9;
	my $good = complete($order);
	my %bodies = (
		'an external entity' => $in->('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>', '&e;'),
		'an external entity by HTTP' => $in->("<!DOCTYPE x [<!ENTITY e SYSTEM \"$url\">]>", '&e;'),
		'an external DTD' => $in->("<!DOCTYPE x SYSTEM \"$url\">", 'x'),
		'a parameter entity' => $in->("<!DOCTYPE x [<!ENTITY % e SYSTEM \"$url\"> %e;]>", 'x'),
		'a billion laughs' => $in->("<!DOCTYPE x [<!ENTITY l0 \"lol\">$laughs]>", '&l9;'),
		'quadratic growth' => $in->('<!DOCTYPE x [<!ENTITY e "' . 'x' x 50000 . '">]>', '&e;' x 20000),
		'an entity that nobody declared' => $in->('', '&e;'),
		'deep nesting' => $in->('', '<a>' x 100000 . '</a>' x 100000),
		'deep nesting without an end' => $in->('', '<a>' x 200000),
		'an encoding that is not the declared one' => $in->('<?xml version="1.0" encoding="UTF-16"?>', "caf\xe9"),
		'an encoding that nobody knows' => $in->('<?xml version="1.0" encoding="x-none"?>', 'x'),
		'bytes that are not UTF-8' => $in->('<?xml version="1.0" encoding="UTF-8"?>', "\xff\xfe\xc0\x80"),
		'NUL bytes' => $in->('', "a\0b"),
		'NUL bytes behind it' => "$good\0\0",
		'UTF-16 that ends early' => "\xff\xfe" . join('', map { "$_\0" } split //, substr($good, 0, 100)),
		'another document' => '<Order><Status>COMPLETE</Status></Order>',
		'half a document' => substr($good, 0, -10),
		'two documents' => $good . $good,
		'text behind it' => "$good garbage",
		'nothing' => '',
		'blanks' => ' ' x 1000,
		'a megabyte of random bytes' => pack('L*', map { int(rand(2**32)) } 1 .. $MAX_BODY / 4),
		'a megabyte of the same' => '<' x $MAX_BODY,
		'a megabyte of attributes' => '<Notification ' . join(' ', map { "a$_=\"1\"" } 1 .. 80000) . '/');

	return map { case_of($_, callback($bodies{$_}), '400 closed', keeps400 => [ $bodies{$_} ]) } sort keys %bodies;
}

# --- many connections ---
sub many_connections
{
	my ($class) = @_;
	my @some = map { body() } 1 .. 60;
	my $unknown = "POST /bandwidth HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";

	# come and go: without a word, in the middle of one, and rudely
	foreach my $i (1 .. 2000)
	{
		my $socket = connect_to(from => '127.0.0.' . (1 + $i % 50));

		syswrite($socket, substr(callback('x'), 0, $i % 60)) if $i % 2 || $i % 40 == 0;
		syswrite($socket, $unknown) if $i % 4 == 2;
		setsockopt($socket, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0)) if $i % 2;
		close($socket);
	}
	works("$class: 2,000 came and went");
	# and not only when their time was over
	wait_until(sub { closed_by_us() == 0 }, "$class: the worker has seen that they went", $DEADLINE - 5);

	# at once, from several addresses: all within the limit are served
	my @cases = map { case_of("connection $_", callback($some[ $_ - 1 ]), '200 open', keeps => [ $some[ $_ - 1 ] ], from => '127.0.1.' . (1 + $_ % 4)) } 1 .. @some;
	converse_ok("$class: at once", @cases);

	# more than the limit
	my @sockets = map { connect_to(from => '127.0.2.' . (1 + $_ % 5)) } 1 .. $MAX_CONNECTIONS + 150;
	my %replies;
	foreach my $socket (@sockets)
	{
		my $body = body();
		my $reply = ask($socket, callback($body));

		$replies{$reply}++;
		$kept{ sha256_hex($body) }++ if $reply eq '200';
	}
	cmp_ok($replies{200} // 0, '>=', $MAX_CONNECTIONS - 80, "$class: beyond the limit, those within it are served");
	cmp_ok($replies{200} // 0, '<=', $MAX_CONNECTIONS, "$class: and no more");
	cmp_ok($replies{503} // 0, '>=', 20, "$class: others are told so");
	close($_) foreach @sockets;
	wait_until(sub { ask(connect_to(), $unknown) eq '401' }, "$class: there is room again");
	works("$class: beyond the limit");

	# more than the limit from one address; others are served meanwhile
	@sockets = map { connect_to(from => '127.0.3.1') } 1 .. $MAX_PER_ADDRESS + 40;
	my $body = body();
	converse_ok($class, case_of('one address takes all it can', callback($body), '200 open', keeps => [$body], from => '127.0.3.2'));
	close($_) foreach @sockets;
	return;
}

# Connections that we have closed and the worker has not, but those of the slow.
sub closed_by_us
{
	my $ours = sprintf ':%04X', $port;

	return scalar grep { /^ *\d+: [0-9A-F]+$ours (?!0909007F)\S+ 08 / } split /\n/, slurp_file('/proc/net/tcp');
}

# Status of the reply, or "closed".
sub ask
{
	my ($socket, $request) = @_;

	syswrite($socket, $request);
	return hear($socket);
}

sub hear
{
	my ($socket) = @_;
	my $text = '';
	my $status;

	until (defined($status = take_status(\$text)))
	{
		return 'nothing' unless IO::Select->new($socket)->can_read($PATIENCE);
		return 'closed' unless sysread($socket, $text, 65536, length $text);
	}
	return $status;
}

# --- those who vanish while the worker holds their callback ---
sub vanishing
{
	my ($class) = @_;
	my $input = "BEGIN;\nLOCK TABLE bw_notifications IN SHARE MODE;\nSELECT 'locked';\n";
	my $output = '';
	my $session = IPC::Run::start([ 'psql', '-X', '-q', '-A', '-t', '-d', $node->connstr('postgres') ], '<', \$input, '>', \$output);
	my @sockets;

	wait_until(sub { IPC::Run::pump_nb($session); $output =~ /locked/ }, "$class: the table is locked");
	foreach my $i (1 .. 60)
	{
		my $body = body();
		my $socket = connect_to(from => '127.0.4.1');

		syswrite($socket, callback($body));
		$maybe{ sha256_hex($body) } = 1;
		push @sockets, $socket;
	}
	wait_until(sub { sql("SELECT count(*) FROM pg_locks WHERE pid = $pid AND NOT granted") > 0 }, "$class: the worker waits");
	foreach my $i (0 .. $#sockets)
	{
		setsockopt($sockets[$i], SOL_SOCKET, SO_LINGER, pack('ii', 1, 0)) if $i % 2;
		close($sockets[$i]);
	}
	$session->kill_kill;
	return;
}

# --- the port is closed while a callback arrives ---
sub closing
{
	my ($class) = @_;
	my $other = free_port();
	my $socket = connect_to();
	my @bodies = map { body() } 1 .. 2;

	is(ask($socket, callback($bodies[0])), 200, "$class: a callback");
	$kept{ sha256_hex($bodies[0]) }++;
	# the worker sees both at once: a new port, and a callback at the old one
	kill 'STOP', $pid;
	syswrite($socket, callback($bodies[1]));
	$node->append_conf('postgresql.conf', "bandwidth.listen_port = $other");
	$node->reload;
	wait_until(sub { slurp_file("/proc/$pid/status") =~ /^ShdPnd:\s+\w*1$/m }, "$class: the new setting is known");
	kill 'CONT', $pid;
	is(hear($socket), 503, "$class: a callback that is too late is told so");
	wait_until(sub { slurp_file($node->logfile) =~ /listening for callbacks on port $other/ }, "$class: the new port is open");
	$port = $other;
	return;
}

# --- the slow: in a process of their own, because they need their time ---
sub slow_cases
{
	my $whole = callback(body());
	my $end_of_headers = index($whole, "\r\n\r\n") + 4;
	my @idle = map { body() } 1 .. 2;
	my $hello = pack('H*', '16030100a5010000a10303') . 'x' x 32 . pack('H*', '20') . 'y' x 32
	  . pack('H*', '0006130113021303010000520000000e000c0000096c6f63616c686f7374') . "\0" x 70;
	my $flood = "POST /bandwidth HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
	my $drip = sub { my ($at) = @_; return [ substr($whole, 0, $at), split //, substr($whole, $at, 60) ]; };

	return (
		case_of('says nothing', [ \1 ], 'closed'),
		case_of('a byte a second in the request line', $drip->(0), 'closed', every => 1),
		case_of('a byte a second in the headers', $drip->(40), 'closed', every => 1),
		case_of('a byte a second in the body', $drip->($end_of_headers), 'closed', every => 1),
		case_of('a byte a second in a body without credentials',
			[ "POST /bandwidth HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", ('x') x 60 ], 'closed', every => 1),
		case_of('a chunk a second', [ chunked(''), map { chunk('x') } 1 .. 60 ], 'closed', every => 1),
		case_of('a chunk size without an end', [ chunked(''), ('0') x 60 ], 'closed', every => 1),
		# libmicrohttpd 1.0 is done with NULs at the first, and with empty lines at the second
		case_of('NULs', "\0" x 2000 . "\r\n\r\n", 'closed', early => 1),
		case_of('an empty line a second', [ ("\r\n") x 60 ], 'closed', every => 1, early => 1),
		case_of('half of the headers, and an end', substr($whole, 0, 60), 'closed', half => 1, early => 1),
		case_of('half of the body, and an end', substr($whole, 0, -20), 'closed', half => 1, early => 1),
		case_of('half of a chunk, and an end', chunked("40\r\n<Notification>"), 'closed', half => 1, early => 1),
		case_of('a TLS hello', $hello, 'closed', half => 1, early => 1),
		case_of('half of the body and nothing more', [ substr($whole, 0, -5), \1 ], 'closed'),
		case_of('Expect and nothing more', [ head(100, 'Expect: 100-continue'), \2 ], '100 closed'),
		case_of('a callback, long after another', [ callback($idle[0]), callback($idle[1]) ], '200 200 open', every => $DEADLINE + 5, keeps => \@idle),
		case_of('asks, and does not listen', $flood x 100000, 'closed', mute => $DEADLINE + 7));
}

# Returns how to hear what became of them.
sub begin_slow
{
	my @cases = slow_cases();

	pipe(my $reader, my $writer) or die "could not make a pipe: $!";
	my $child = fork() // die "could not fork: $!";
	return { pid => $child, reader => $reader, cases => \@cases } if $child;
	# no END blocks here: the server is not ours
	eval {
		%kept = ();
		$news += 1000000;
		$_->{from} = '127.0.9.9' foreach @cases;
		$_->{began} = time() foreach @cases;
		converse(@cases);
		syswrite($writer, encode_json({ kept => \%kept, got => [ map { $_->{got} } @cases ], took => [ map { $_->{took} } @cases ] }) . "\n");
	};
	print STDERR $@ if $@;
	POSIX::_exit(0);
}

sub end_slow
{
	my ($slow) = @_;
	my $results = decode_json(readline($slow->{reader}) // die 'the slow ones ended early');
	my @cases = @{ $slow->{cases} };

	waitpid($slow->{pid}, 0);
	$kept{$_} += $results->{kept}{$_} foreach keys %{ $results->{kept} };
	foreach my $i (0 .. $#cases)
	{
		$cases[$i]{$_} = $results->{$_}[$i] foreach 'got', 'took';
		next if $cases[$i]{mute} || $cases[$i]{want} =~ /open/;
		cmp_ok($cases[$i]{took}, '>=', $DEADLINE - 1, "slow: $cases[$i]{name}: has its time") unless $cases[$i]{early};
		cmp_ok($cases[$i]{took}, '<', $DEADLINE + 8, sprintf('slow: %s: and no more (%.1f s)', $cases[$i]{name}, $cases[$i]{took}));
	}
	# how many answers went out before the line was full is nobody's business
	$_->{got} =~ s/^(401 )+// foreach grep { $_->{mute} } @cases;
	report('slow', @cases);
	return;
}

sub rss_kb
{
	return slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+)/m ? $1 : die 'no RssAnon';
}

my %attacks = (
	pipelining => \&pipelining, pieces => \&pieces, 'half-closed' => \&half_closed, chunks => \&chunks, oversize => \&oversize,
	smuggling => \&smuggling, garbage => \&garbage, 'methods and paths' => \&methods_and_paths, authorization => \&authorization,
	dialects => \&dialects, XML => \&xml);
my $effects = 'SELECT count(*) FROM bw_order_events UNION ALL SELECT count(*) FROM bw_inbox';

sub attack
{
	my ($round) = @_;

	foreach my $class (sort keys %attacks)
	{
		my $before = sql($effects);

		converse_ok("$class $round", $attacks{$class}->());
		is(sql($effects), $before, "$class $round: no effect on orders");
		works("$class $round");
	}
	many_connections("connections $round");
	works("connections $round");
	vanishing("vanishing $round");
	works("vanishing $round");
	return;
}

my $slow = begin_slow();
attack('1');
end_slow($slow);
works('slow');
# Memory that is in use all the time is what is left after the worst.
many_connections('connections once more');
my $before = rss_kb();
attack('2');
my $after = rss_kb();
# Or the worst came only now; but what grows each time is kept for nobody.
if ($after > $before + 2048)
{
	$before = $after;
	attack('3');
	$after = rss_kb();
}
cmp_ok($after, '<=', $before + 2048, "the worker's memory stays: $before kB, $after kB after all attacks again");

closing('closing');
works('closing');

# --- what is kept is what was said to be ---
my %rows = map { split /\|/ } split /\n/, sql(q{SELECT encode(sha256(body), 'hex'), count(*) FROM bw_notifications GROUP BY 1});
is(join(' ', grep { ($rows{$_} // 0) != $kept{$_} } sort keys %kept), '', 'each body that was answered 200 or 400 is kept, as it was');
is(join(' ', grep { !$kept{$_} && !$maybe{$_} } sort keys %rows), '', 'and no other');
is(sql("SELECT count(*) FROM bw_notifications WHERE position('smuggled'::bytea IN body) > 0"), 0, 'nothing was smuggled in');
is(sql("SELECT count(*) FROM bw_notifications WHERE outcome = 'malformed' AND COALESCE(note, '') = ''"), 0, 'what is malformed has a note');
is(sql("SELECT count(*) FROM bw_notifications WHERE note LIKE '%root:%'"), 0, 'and no file in it');
is($sandbox->journal_count(path => '/sandbox/leak'), 0, 'nobody fetched an entity');

$node->stop;
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC:|TRAP:/, 'nothing crashed');
done_testing();
