# nginx in front of the listener: it terminates TLS, the listener stays on
# loopback.  The configuration is the one in README.md.
use strict;
use warnings;

use BwTest;
use Cwd qw(abs_path);
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = $PostgreSQL::Test::Utils::tmp_check;

# An installed nginx, or the program out of Debian's package, not installed.
sub find_nginx
{
	foreach my $path (split(/:/, $ENV{PATH}), '/usr/sbin')
	{
		return "$path/nginx" if -x "$path/nginx";
	}
	my $output = '';

	mkdir "$dir/nginx";
	IPC::Run::run([ 'sh', '-c', "cd '$dir/nginx' && apt-get download -q nginx && dpkg-deb -x nginx_*.deb ." ],
		'>&', \$output, IPC::Run::timeout(60));
	return -x "$dir/nginx/usr/sbin/nginx" ? "$dir/nginx/usr/sbin/nginx" : undef;
}

my $nginx = eval { find_nginx() };
plan skip_all => 'nginx is not installed, and its package could not be downloaded' unless defined $nginx;

# The server block of the README, with our ports and files.
sub server_block
{
	my (%with) = @_;
	my $readme = slurp_file("$ENV{BW_FILES}/README.md");
	my ($block) = $readme =~ /```nginx\n(.*?)```/s or die 'README.md has no nginx configuration';

	$block =~ s/listen 443 ssl;/listen 127.0.0.1:$with{tls_port} ssl;/ or die 'listen';
	$block =~ s/server_name \S+;/server_name localhost;/ or die 'server_name';
	$block =~ s/ssl_certificate \S+;/ssl_certificate $with{cert};/ or die 'ssl_certificate';
	$block =~ s/ssl_certificate_key \S+;/ssl_certificate_key $with{key};/ or die 'ssl_certificate_key';
	$block =~ s/127\.0\.0\.1:5480/127.0.0.1:$with{port}/ or die 'proxy_pass';
	return $block;
}

my ($made, $said) = ('', '');
IPC::Run::run([ 'openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost',
		'-addext', 'subjectAltName=DNS:localhost', '-keyout', "$dir/proxy.key", '-out', "$dir/proxy.pem" ], '>&', \$made)
  or die $made;

my $sandbox = start_sandbox('order-delay' => 60000);
my $port = free_port();
my $tls_port = free_port();
my $node = bw_node('main', sandbox => $sandbox, conf => ["bandwidth.listen_port = $port"],
	mapping => { client_id => 'client', client_secret => 'secret', callback_username => 'bandwidth', callback_password => 'given' });

sub sql { return $node->safe_psql('postgres', $_[0]); }

append_to_file("$dir/nginx.conf", "daemon off;\nerror_log $dir/nginx.log;\npid $dir/nginx.pid;\nevents {}\nhttp {\naccess_log off;\n"
	  . join('', map { "${_}_temp_path $dir/$_;\n" } qw(client_body proxy fastcgi uwsgi scgi))
	  . server_block(tls_port => $tls_port, port => $port, cert => "$dir/proxy.pem", key => "$dir/proxy.key") . "}\n");
my $proxy = IPC::Run::start([ 'setpriv', '--pdeathsig', 'KILL', $nginx, '-c', abs_path("$dir/nginx.conf") ], '>&', \$said);

# Headers and status of the reply to a callback through nginx.
sub call
{
	my ($body, $authorization) = @_;
	my $request = "POST /bandwidth HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" . ($authorization // '')
	  . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
	my $reply = '';

	IPC::Run::run([ 'openssl', 's_client', '-quiet', '-verify_return_error', '-CAfile', "$dir/proxy.pem", '-servername', 'localhost', '-connect', "127.0.0.1:$tls_port" ],
		'<', \$request, '>', \$reply, '2>', \my $errors, IPC::Run::timeout(20));
	return $reply;
}

sql("SELECT bw_subscribe('http://127.0.0.1:$port/bandwidth')");
wait_until(sub { sql('SELECT state FROM bw_subscriptions') eq 'ACTIVE' }, 'subscription');
$sandbox->config(callbacks => 'off');
my $id = order_id($node, '9192400101');
wait_for_status($node, $id, 'RECEIVED');
my $body = '<Notification><Status>COMPLETE</Status><OrderId>' . sql("SELECT bandwidth_order_id FROM bw_orders WHERE id = $id")
  . '</OrderId><OrderType>orders</OrderType><CompletedTelephoneNumbers><TelephoneNumber>9192400101</TelephoneNumber></CompletedTelephoneNumbers></Notification>';

wait_until(sub { call($body) =~ m{^HTTP/1.1 401} }, 'nginx and the listener answer', 20);
like(call($body), qr/^WWW-Authenticate: Basic realm="bandwidth"/mi, 'the challenge comes through');
like(call($body, 'Authorization: Basic ' . encode_base64('bandwidth:given', '') . "\r\n"), qr{^HTTP/1.1 200}, 'credentials get through');
is(status_of($node, $id), 'COMPLETE', 'and the order is complete');
like(call('x' x 1100000, 'Authorization: Basic ' . encode_base64('bandwidth:given', '') . "\r\n"), qr{^HTTP/1.1 413}, 'what is too large is refused');
is(sql('SELECT count(*) FROM bw_notifications'), 1, 'one callback is kept');

kill 'TERM', slurp_file("$dir/nginx.pid") =~ /(\d+)/;
$proxy->finish;
$node->stop;
done_testing();
