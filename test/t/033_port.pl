# The port for callbacks: TLS, a certificate that is renewed while callers are
# connected, settings that change, and limits.
use strict;
use warnings;

use BwTest;
use IO::Select;
use IO::Socket::INET;
use IPC::Open2;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $dir = $PostgreSQL::Test::Utils::tmp_check;
my $sandbox = start_sandbox();
my $port = free_port();

# --- certificates ---
sub openssl
{
	my (@arguments) = @_;

	my $output = '';

	IPC::Run::run([ 'openssl', @arguments ], '>&', \$output) or die "openssl: $output";
	return;
}

sub make_certificate
{
	my ($name) = @_;

	openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', "/CN=$name",
		'-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', "$dir/$name.key", '-out', "$dir/$name.pem");
	chmod 0600, "$dir/$name.key";
	return;
}

# Signed by its own key, long ago.
sub make_expired
{
	my ($name) = @_;

	make_certificate($name);
	append_to_file("$dir/ca.cnf", "[ca]\ndefault_ca=d\n[d]\ndatabase=$dir/index.txt\nserial=$dir/serial\nnew_certs_dir=$dir\n"
		  . "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n");
	append_to_file("$dir/index.txt", '');
	append_to_file("$dir/serial", "01\n");
	openssl('req', '-new', '-key', "$dir/$name.key", '-subj', "/CN=$name", '-out', "$dir/$name.csr");
	openssl('ca', '-batch', '-selfsign', '-config', "$dir/ca.cnf", '-keyfile', "$dir/$name.key", '-in', "$dir/$name.csr",
		'-notext', '-out', "$dir/$name.pem", '-startdate', '20200101000000Z', '-enddate', '20200201000000Z');
	return;
}

make_certificate($_) foreach 'first', 'second';
make_expired('expired');

# What the server uses: copied there, as somebody who renews would.
sub install
{
	my ($cert, $key) = @_;

	foreach my $pair ([ $cert, 'pem' ], [ $key, 'key' ])
	{
		my ($name, $suffix) = @$pair;

		open(my $to, '>', "$dir/server.$suffix") or die;
		print $to $name =~ /\// ? slurp_file($name) : $name eq '' ? '' : slurp_file("$dir/$name.$suffix");
		close($to);
	}
	return;
}

install('first', 'first');
my $node = bw_node('main', sandbox => $sandbox,
	conf => [ "bandwidth.tls_cert_file = '$dir/server.pem'", "bandwidth.tls_key_file = '$dir/server.key'",
		"bandwidth.listen_port = $port" ]);

sub sql { return $node->safe_psql('postgres', $_[0]); }

# A path that takes callbacks without credentials.
sql("SELECT bw_subscribe('https://127.0.0.1:$port/open', credentials => false)");
wait_until(sub { sql('SELECT state FROM bw_subscriptions') eq 'ACTIVE' }, 'subscription');

# --- talking to it ---
sub callback
{
	my ($text, $more) = @_;
	my $body = "<Notification><Status>COMPLETE</Status><OrderId>$text</OrderId><OrderType>orders</OrderType></Notification>";

	return "POST /open HTTP/1.1\r\nHost: x\r\n" . ($more // '') . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
}

sub connect_tls
{
	my $pid = open2(my $out, my $in, 'openssl', 's_client', '-quiet', '-connect', "127.0.0.1:$port");

	$in->autoflush(1);
	return { pid => $pid, in => $in, out => $out };
}

# Status of the reply to a request.
sub ask
{
	my ($connection, $request) = @_;
	my $reply = '';

	syswrite($connection->{in}, $request);
	while ($reply !~ /\r\n\r\n/)
	{
		IO::Select->new($connection->{out})->can_read(20) or return 'nothing';
		sysread($connection->{out}, $reply, 4096, length $reply) or return 'closed';
	}
	return $reply =~ m{^HTTP/1.1 (\d+)} ? $1 : $reply;
}

sub leave
{
	my ($connection) = @_;

	kill 'TERM', $connection->{pid};
	waitpid($connection->{pid}, 0);
	return;
}

sub shown_certificate
{
	IPC::Run::run([ 'openssl', 's_client', '-connect', "127.0.0.1:$port" ], '<', \'', '>', \my $out, '2>', \my $err);
	return $out =~ /subject=CN\s*=\s*(\w+)/ ? $1 : "none: $err";
}

sub kept { return sql("SELECT count(*) FROM bw_notifications WHERE bandwidth_order_id = '$_[0]'"); }

# Reload, and wait for what the log says of it.
sub reload
{
	my ($like) = @_;
	my $from = -s $node->logfile;

	$node->reload;
	wait_until(sub { substr(slurp_file($node->logfile), $from) =~ $like }, "the log says $like");
	return;
}

{
	# s_client warns about a certificate that nobody signed
	open(my $quiet, '>&', \*STDERR);
	open(STDERR, '>', '/dev/null');

	my $old = connect_tls();
	is(ask($old, callback('over-tls')), 200, 'a callback over TLS');
	is(kept('over-tls'), 1, 'is kept');
	is(shown_certificate(), 'first', 'the certificate is shown');

	# --- renewed ---
	install('second', 'second');
	reload(qr/the new certificate is used/);
	is(shown_certificate(), 'second', 'after a reload, the new one is');
	is(ask($old, callback('old-connection')), 200, 'a connection from before goes on');
	is(kept('old-connection'), 1, 'and its callbacks are kept');
	my $new = connect_tls();
	is(ask($new, callback('new-connection')), 200, 'a new one works');

	# --- what cannot be used leaves things as they are ---
	foreach my $case (
		[ 'first', 'second', qr/WARNING:  could not load the certificate for callbacks: tls_key_file is not the key of tls_cert_file/ ],
		[ 'expired', 'expired', qr/the certificate expired on 2020-02-01 00:00:00 UTC/ ],
		[ '', 'second', qr/tls_cert_file holds no certificate/ ],
		[ 'second', '', qr/tls_key_file holds no key that can be used/ ])
	{
		my ($cert, $key, $like) = @$case;

		install($cert, $key);
		reload($like);
		is(shown_certificate(), 'second', 'the certificate that works stays');
	}
	unlink "$dir/server.pem";
	reload(qr/tls_cert_file "\S+" cannot be read: No such file/);
	is(shown_certificate(), 'second', 'also without a file');
	is(ask($new, callback('still')), 200, 'and connections stay');
	is(ask($old, callback('older')), 200, 'all of them');

	# --- many renewals, with the connections of before still open ---
	for my $name ('first', 'second', 'first')
	{
		install($name, $name);
		reload(qr/the new certificate is used/);
	}
	is(shown_certificate(), 'first', 'renewed three times more');
	is(ask($old, callback('oldest')), 200, 'the first connection is alive');
	leave($_) foreach $old, $new;
	open(STDERR, '>&', $quiet);
}
unlike(slurp_file($node->logfile), qr/PRIVATE KEY/, 'no key in the log');

# --- pinned: Bandwidth trusts this certificate and no other ---
sub pinned { return (grep { $_->{url} =~ /pinned/ } $sandbox->subscriptions)[0]; }

# Is the new state of an order told to the path that pins?
sub heard_of
{
	my ($number) = @_;
	my $id = order_id($node, $number, "name => 'p$number'");

	wait_for_status($node, $id, 'COMPLETE');
	wait_until(sub { sql("SELECT count(*) FROM bw_notifications AS n JOIN bw_orders AS o ON o.bandwidth_order_id = n.bandwidth_order_id"
			  . " WHERE n.path = '/pinned' AND o.id = $id") eq '1' }, "a callback about $number");
	return;
}

sql("SELECT bw_subscribe('https://127.0.0.1:$port/pinned', pin => true)");
wait_until(sub { sql("SELECT state FROM bw_subscriptions WHERE pinned") eq 'ACTIVE' }, 'a subscription that pins');
is(pinned()->{certificate}, slurp_file("$dir/first.pem"), 'Bandwidth has the certificate');
heard_of('9192000001');
append_to_file("$dir/second-with-key.pem", slurp_file("$dir/second.key") . slurp_file("$dir/second.pem") . slurp_file("$dir/first.pem"));
install("$dir/second-with-key.pem", "$dir/second.key");
reload(qr/was replaced.*Our certificate is another one now/s);
is(pinned()->{certificate}, slurp_file("$dir/second.pem"), 'a new one is told, without the key and the chain that are in its file');
heard_of('9192000002');
my @keys = map { ($_->{body} // '') =~ /<PublicKey>(.*)<\/PublicKey>/s ? decode_base64($1) : () } $sandbox->journal(class => 'SUBSCRIPTION');
is(scalar(grep { /PRIVATE/ } @keys), 0, 'no key was sent') or note(@keys);
is(scalar(@keys), 2, 'and no more than the two certificates');
$node->stop;
install('first', 'first');
$node->start;
wait_until(sub { pinned()->{certificate} eq slurp_file("$dir/first.pem") }, 'one that changed while nobody was there, too');
heard_of('9192000003');

# --- at the start, what cannot be used keeps the port closed ---
install('expired', 'expired');
$node->restart;
wait_until(sub { slurp_file($node->logfile) =~ /could not listen for callbacks on port $port: the certificate expired/ }, 'a warning');
is(IO::Socket::INET->new("127.0.0.1:$port"), undef, 'a port with an expired certificate stays closed');
install('second', 'second');
reload(qr/listening for callbacks on port $port/);
is(shown_certificate(), 'second', 'a reload opens it');

# --- settings that change ---
my $other = free_port();
$node->append_conf('postgresql.conf', "bandwidth.tls_cert_file = ''\nbandwidth.listen_port = $other");
reload(qr/listening for callbacks on port $other/);
is(IO::Socket::INET->new("127.0.0.1:$port"), undef, 'the old port is closed');

sub plain { return IO::Socket::INET->new("127.0.0.1:$other"); }

sub plain_ask
{
	my ($socket, $request) = @_;

	return ask({ in => $socket, out => $socket }, $request);
}

is(plain_ask(plain(), callback('plain')), 200, 'the new one takes callbacks, without TLS');

# --- what comes without credentials is believed only after asking ---
$sandbox->config(order_delay_ms => 60000, callbacks => 'off');
my $order = order_id($node, '9192000077');
wait_for_status($node, $order, 'RECEIVED');
my $theirs = sql("SELECT bandwidth_order_id FROM bw_orders WHERE id = $order");
my $complete = "<Notification><Status>COMPLETE</Status><OrderId>$theirs</OrderId><OrderType>orders</OrderType>"
  . '<CompletedTelephoneNumbers><TelephoneNumber>9192000077</TelephoneNumber></CompletedTelephoneNumbers></Notification>';
is(plain_ask(plain(), "POST /open HTTP/1.1\r\nHost: x\r\nContent-Length: " . length($complete) . "\r\n\r\n$complete"), 200, 'a COMPLETE without credentials');
is(sql("SELECT outcome FROM bw_notifications WHERE bandwidth_order_id = '$theirs'"), 'confirming', 'is a reason to ask');
is(status_of($node, $order), 'RECEIVED', 'and nothing more');

# --- a table that somebody has locked ---
# Hold a lock until told otherwise.
sub hold_lock
{
	my ($lock) = @_;
	my $input = "BEGIN;\nLOCK TABLE $lock;\nSELECT 'locked';\n";
	my $output = '';
	my $session = IPC::Run::start([ 'psql', '-X', '-q', '-A', '-t', '-d', $node->connstr('postgres') ], '<', \$input, '>', \$output);

	wait_until(sub { IPC::Run::pump_nb($session); $output =~ /locked/ }, "$lock is locked");
	return $session;
}

sub latest { return sql("SELECT $_[0] FROM bw_notifications ORDER BY id DESC LIMIT 1"); }

my $locker = hold_lock('bw_notifications IN SHARE MODE');
is(plain_ask(plain(), callback('locked')), 503, 'a callback that cannot be stored for a lock');
$locker->kill_kill;
wait_until(sub { plain_ask(plain(), callback('unlocked')) eq '200' }, 'it could be later');
$locker = hold_lock('bw_order_events, bw_open_requests IN ACCESS EXCLUSIVE MODE');
is(plain_ask(plain(), "POST /open HTTP/1.1\r\nHost: x\r\nContent-Length: " . length($complete) . "\r\n\r\n$complete"), 200,
	'one that can be stored, but not applied');
is(latest('outcome'), 'stored', 'waits in the inbox');
$locker->kill_kill;
wait_until(sub { latest('outcome') eq 'confirming' }, 'and is applied when the lock is gone');

# --- limits ---
my @many = map { plain() } 1 .. 120;
is(plain_ask($many[-1], callback('many')), 200, 'many connections are served');
push @many, map { plain() } 121 .. 200;
my $served = grep { plain_ask($_, callback('one-of-many')) eq '200' } @many;
cmp_ok($served, '>=', 120, 'of 200 from one address some');
cmp_ok($served, '<=', 128, "but not all: $served");
close($_) foreach @many;
wait_until(sub { my $s = plain(); defined $s && plain_ask($s, callback('after')) eq '200' }, 'after they are gone there is room');

# --- a connection that sends no whole request ends ---
my $began = time();
my @slow = map { plain() } 1 .. 3;
syswrite($slow[1], "POST /open HT");
syswrite($slow[2], "POST /open HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n<Not");
my @open = (1, 1, 1);
while (time() < $began + 40 && grep { $_ } @open)
{
	foreach my $i (0 .. 2)
	{
		next unless $open[$i];
		# a byte now and then keeps the library's own timer from running out
		syswrite($slow[$i], 'x') if $i > 0;
		$open[$i] = 0 if IO::Select->new($slow[$i])->can_read(0.3) && !sysread($slow[$i], my $reply, 100);
	}
}
is("@open", '0 0 0', sprintf('who says nothing, or a byte a second, is gone after %.0f s', time() - $began));
is(plain_ask(plain(), callback('last')), 200, 'and the port serves on');

$node->stop;
done_testing();
