# The way to Bandwidth: connections that are kept, and those that broke;
# redirects, compression, certificates.
use strict;
use warnings;

use BwTest;
use Compress::Zlib;
use IPC::Open2;
use PostgreSQL::Test::Utils;
use StandIn;
use Test::More;

# What the environment says about proxies is not for us.
BEGIN
{
	$ENV{$_} = 'http://127.0.0.1:1' foreach qw(http_proxy https_proxy ALL_PROXY);
}

my $list = '<SearchResult><TelephoneNumberList><TelephoneNumber>5405514342</TelephoneNumber>'
  . '</TelephoneNumberList></SearchResult>';
my %basic = (username => 'user', password => 'word');
my %fast  = (requests_per_minute => 1000000, burst => 1000000);

# HTTP::Tiny, on our side, believes the environment.
$ENV{no_proxy} = '127.0.0.1';
my $sandbox = start_sandbox('order-delay' => 100);
my $front   = StandIn->start(sub { return StandIn::forward($sandbox->url, $_[0]) });
my $node    = bw_node('main', sandbox => $sandbox, mapping => \%basic,
	server => { %fast, base_url => $front->url . '/api' },
	conf   => [ "bandwidth.look_up_delays = '0.1,0.2,0.3'", "bandwidth.poll_schedule = '0.2,0.2,0.5'" ]);

my $search = "SELECT count(*) FROM bw_search('540551', quantity => 7);";

# A server object of its own that points somewhere else.
my $servers = 0;

sub server
{
	my (%options) = @_;
	my $name = 'other' . ++$servers;

	create_account($node, 'postgres', name => $name, sandbox => $sandbox, mapping => \%basic,
		server => { %fast, %options });
	return $name;
}

# Output of a search there, or its error as "SQLSTATE: message, detail".
sub search_at
{
	my ($server, $times) = @_;
	my ($status, $out, $err) = $node->psql('postgres',
		"\\set VERBOSITY verbose\n" . "SELECT telephone_number FROM bw_search('540551', server => '$server');" x ($times // 1));

	return $status == 0 ? $out : $err =~ /ERROR:  (\w{5}: .*)\nDETAIL:  (.*)/ ? "$1, $2" : $err;
}

# --- connections are kept ---
is($node->safe_psql('postgres', $search x 5), join("\n", (7) x 5), 'five searches of a session');
is($front->connections, 1, 'share a connection');
$node->safe_psql('postgres', $search);
is($front->connections, 2, 'another session has its own');
$node->safe_psql('postgres', "SET statement_timeout = '10s'; BEGIN; $search ROLLBACK; $search");
is($front->connections, 3, 'a rollback ends none');

my $before = $front->connections;
foreach my $number (9192000001 .. 9192000010)
{
	$node->safe_psql('postgres', "SELECT bw_order(ARRAY['$number'], name => 'n$number')");
}
wait_for_all($node);
is($node->safe_psql('postgres', "SELECT count(*) FROM bw_orders WHERE status = 'COMPLETE'"), 10, 'ten orders');
my $used = $front->connections - $before;
cmp_ok($used, '<=', 10, "the worker makes no connection for each of their requests ($used)");
cmp_ok(scalar(grep { $_->{path} =~ /orders/ } $front->requests), '>=', 20, 'of which there were more');

# --- connections that the server closed ---
$sandbox->clear_journal;
$front->close_connections;
wait_until(sub { grep { $_->{hung_up} } $front->entries }, 'the server hangs up');
my $id = order_id($node, '9192000011');
wait_for_all($node);
is(status_of($node, $id), 'COMPLETE', 'an order after that completes');
is($sandbox->journal_count(method => 'POST', class => 'ORDER'), 1, 'with one POST');
is($node->safe_psql('postgres', "SELECT status, detail FROM bw_order_events WHERE order_id = $id AND status = 'UNKNOWN'"),
	'', 'and its outcome was never in doubt');

# The connection breaks while the request is on it, and the request was
# executed: libcurl would repeat it, because not a byte came back.
$sandbox->clear_journal;
my $break = sub {
	my ($request) = @_;
	my $reply = StandIn::forward($sandbox->url, $request);

	return $request->{method} eq 'POST' && $request->{body} =~ /break/ ? undef : $reply;
};
my $breaking = StandIn->start($break);

sub doubt
{
	my ($order_id) = @_;

	return $node->safe_psql('postgres', "SELECT detail FROM bw_order_events WHERE order_id = $order_id AND status = 'UNKNOWN'");
}

$node->safe_psql('postgres', "ALTER SERVER bandwidth OPTIONS (SET base_url '" . $breaking->url . "/api')");
order_id($node, '9192000012', "name => 'warm'");
wait_for_all($node);
is($breaking->connections, 1, 'a connection that is in use');
$id = order_id($node, '9192000013', "name => 'break'");
wait_for_all($node);
is(status_of($node, $id), 'COMPLETE', 'an order on it, whose reply is lost, is found');
is($sandbox->number('9192000013')->{bought}, 1, 'bought once');
is(scalar(grep { $_->{body} =~ /break/ } $sandbox->journal(method => 'POST', class => 'ORDER')), 1, 'and sent once');
is(doubt($id), 'The connection ended before the reply', 'and its event says why');
$breaking = StandIn->start($break);
$node->safe_psql('postgres', "ALTER SERVER bandwidth OPTIONS (SET base_url '" . $breaking->url . "/api')");
$id = order_id($node, '9192000014', "name => 'break'");
wait_for_all($node);
is(doubt($id), 'The connection ended before the reply', 'also on a fresh connection');

# An id that is no text is none: with it, no dump could be restored.
my $odd = StandIn->start(
	sub {
		my ($request) = @_;
		my $reply = StandIn::forward($sandbox->url, $request);

		$reply =~ s/^(Location: \S+)/$1\xff/m if $request->{method} eq 'POST';
		return $reply;
	});
$node->safe_psql('postgres', "ALTER SERVER bandwidth OPTIONS (SET base_url '" . $odd->url . "/api')");
$id = order_id($node, '9192000016', "name => 'odd'");
wait_for_all($node);
is($node->safe_psql('postgres', "SELECT status || ' ' || (bandwidth_order_id ~ '^[[:graph:]]+\$') FROM bw_orders WHERE id = $id"), 'COMPLETE true',
	'a Location with bytes that are no text: the order\'s id is that of the body');
$breaking = StandIn->start($break);
$node->safe_psql('postgres', "ALTER SERVER bandwidth OPTIONS (SET base_url '" . $breaking->url . "/api')");

# What changes nothing may be repeated.
my $closing = StandIn->start(sub { return StandIn::reply(200, $list) });
my $name    = server(base_url => $closing->url . '/api');
SKIP:
{
	skip 'this PostgreSQL::Test::Cluster has no background_psql() with queries', 2
	  unless PostgreSQL::Test::Cluster->can('background_psql') && eval { require PostgreSQL::Test::BackgroundPsql };
	my $session = $node->background_psql('postgres');
	my $sql     = "SELECT count(*) FROM bw_search('540551', server => '$name')";

	is($session->query_safe($sql), '1', 'a search');
	$closing->close_connections;
	wait_until(sub { grep { $_->{hung_up} } $closing->entries }, 'the server hangs up');
	is($session->query_safe($sql), '1', 'the next one of that session does not notice');
	$session->quit;
}

# --- redirects ---
my $elsewhere = StandIn->start(sub { return StandIn::reply(200, $list) });
my $redirecting = StandIn->start(
	sub {
		my ($request) = @_;
		my ($where) = $request->{path} =~ m{^/(\w+)};
		my %to = (
			away => $elsewhere->url . '/landed',
			near => '/found',
			loop => $request->{path});

		return StandIn::reply(200, $list) unless $to{$where};
		return StandIn::reply($request->{method} eq 'GET' ? 303 : 307, '', Location => $to{$where});
	});

is(search_at(server(base_url => $redirecting->url . '/near')), '5405514342', 'a redirect on the same host');
is($_->{headers}{authorization}, 'Basic dXNlcjp3b3Jk', "$_->{path} has the credentials")
  foreach grep { $_->{path} =~ m{^/(near|found)} } $redirecting->requests;
is(search_at(server(base_url => $redirecting->url . '/away')), '5405514342', 'a redirect to another host');
my ($landed) = $elsewhere->requests;
is($landed->{path}, '/landed', 'is followed');
is($landed->{headers}{authorization}, undef, 'without the credentials');
like(search_at(server(base_url => $redirecting->url . '/loop')),
	qr/^TN004: could not search for telephone numbers, Maximum \(5\) redirects followed/, 'but not for ever');

$node->safe_psql('postgres', "ALTER SERVER bandwidth OPTIONS (SET base_url '" . $redirecting->url . "/away')");
$id = order_id($node, '9192000014');
wait_until(sub { status_of($node, $id) eq 'UNKNOWN' }, 'an order that is redirected is of unknown outcome');
is(scalar(grep { $_->{method} ne 'GET' } $elsewhere->requests), 0, 'no POST follows a redirect');
$node->safe_psql('postgres', "ALTER SERVER bandwidth OPTIONS (SET base_url '" . $front->url . "/api')");
wait_for_all($node);
is($sandbox->number('9192000014')->{bought}, 1, 'once Bandwidth is there again, it is bought');

# --- compression ---
my $zipping = StandIn->start(
	sub {
		my ($request) = @_;
		my $body = $request->{path} =~ /^.bomb/ ? ' ' x (64 * 1024 * 1024) : $list;

		return StandIn::reply(406, '') unless ($request->{headers}{'accept-encoding'} // '') =~ /gzip/;
		return StandIn::reply(200, $request->{path} =~ /^.broken/ ? 'no gzip' : Compress::Zlib::memGzip($body),
			'Content-Encoding' => 'gzip');
	});
is(search_at(server(base_url => $zipping->url . '/api')), '5405514342', 'a compressed reply');
is(search_at(server(base_url => $zipping->url . '/bomb')),
	'TN005: could not search for telephone numbers, The reply is larger than allowed.',
	'one that is small only as long as it is compressed');
like(search_at(server(base_url => $zipping->url . '/broken')), qr/^TN00[45]: could not search/, 'one that is not');

# --- certificates ---
my $dir = PostgreSQL::Test::Utils::tempdir();

sub openssl
{
	my @command = ('openssl', @_);

	open(my $pipe, '-|', join(' ', map { "'$_'" } @command) . ' 2>&1') or die;
	my $said = join '', <$pipe>;
	close($pipe) or die "@command: $said";
	return;
}

my @key = ('-newkey', 'rsa:2048', '-nodes', '-days', '2');
foreach my $ca ('ours', 'theirs')
{
	openssl('req', '-x509', @key, '-subj', "/CN=$ca", '-keyout', "$dir/$ca.key", '-out', "$dir/$ca.pem");
}
my %subjects = (
	right => [ 'IP:127.0.0.1', 'ours' ],
	host  => [ 'DNS:dashboard.bandwidth.com', 'ours' ],
	other => [ 'IP:127.0.0.1', 'theirs' ]);
foreach my $certificate (keys %subjects)
{
	my ($alternative, $ca) = @{ $subjects{$certificate} };

	openssl('req', '-x509', @key, '-subj', '/CN=test', '-addext', "subjectAltName=$alternative",
		'-CA', "$dir/$ca.pem", '-CAkey', "$dir/$ca.key",
		'-keyout', "$dir/$certificate.key", '-out', "$dir/$certificate.pem");
}

# A server that accepts one TLS connection after the other, and answers every
# request on it.  Returns its port.
my @tls;

sub tls_server
{
	my ($certificate, @options) = @_;
	my $port = free_port();
	my $pid  = fork() // die;

	if ($pid == 0)
	{
		my $openssl = open2(my $out, my $in, 'setpriv', '--pdeathsig', 'KILL',
			'openssl', 's_server', '-quiet', '-accept', "127.0.0.1:$port",
			'-cert', "$dir/$certificate.pem", '-key', "$dir/$certificate.key", @options);
		my $input = '';

		$SIG{TERM} = sub { kill('KILL', $openssl); POSIX::_exit(0) };
		while (sysread($out, $input, 65536, length $input))
		{
			while (StandIn::take_request(\$input))
			{
				syswrite($in, StandIn::reply(200, $list));
			}
		}
		POSIX::_exit(0);
	}
	push @tls, $pid;
	wait_until(
		sub {
			# listening, without a connection that would count
			open(my $file, '<', '/proc/net/tcp') or die;
			return scalar grep { $_ =~ sprintf('0100007F:%04X 00000000:0000 0A', $port) } <$file>;
		},
		"a TLS server with certificate \"$certificate\"");
	return "https://127.0.0.1:$port/api";
}

END
{
	my $status = $?;

	kill('TERM', $_) foreach @tls;
	waitpid($_, 0) foreach @tls;
	$? = $status;
}

# one connection is all that it accepts
my $once = tls_server('right', '-naccept', 1);
is(search_at(server(base_url => $once, ca_file => "$dir/ours.pem"), 3), join("\n", ('5405514342') x 3),
	'three searches over one TLS connection, with an authority of our own');
my $right = tls_server('right');
# libcurl 8 says it in its own words
my $refused = qr/TN004: could not search for telephone numbers, SSL certificate (?:problem|OpenSSL verify result): /;
like(search_at(server(base_url => $right)), qr/^$refused/,
	'an authority that the system does not know is refused');
like(search_at(server(base_url => $right, ca_file => "$dir/theirs.pem")), qr/^$refused/,
	'so is one that ca_file does not hold');
like(search_at(server(base_url => tls_server('other'), ca_file => "$dir/ours.pem")),
	qr/^$refused/, 'another authority\'s certificate');
like(search_at(server(base_url => tls_server('host'), ca_file => "$dir/ours.pem")),
	qr/^TN004: could not search for telephone numbers, SSL: .*(does not match|no alternative)/, 'and the certificate of another host');
like(search_at(server(base_url => $right, ca_file => "$dir/nowhere.pem")), qr/^TN004: .*, .*nowhere\.pem/,
	'a ca_file that is not there');
like(search_at(server(base_url => $redirecting->url . '/away', ca_file => "$dir/ours.pem")),
	qr/^5405514342$/, 'ca_file is no matter without TLS');

# an order is certainly not sent to a server that cannot be trusted
$node->safe_psql('postgres', "ALTER SERVER bandwidth OPTIONS (SET base_url '$right')");
$id = order_id($node, '9192000015');
wait_until(
	sub {
		$node->safe_psql('postgres', "SELECT string_agg(status, ' ' ORDER BY id) FROM bw_order_events WHERE order_id = $id") =~
		  /^SENDING QUEUED/;
	},
	'an order for such a server waits');
$node->safe_psql('postgres', "ALTER SERVER bandwidth OPTIONS (SET base_url '" . $front->url . "/api')");
wait_for_all($node);
is(status_of($node, $id), 'COMPLETE', 'until there is another');

$node->stop;
done_testing();
