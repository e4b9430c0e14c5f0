# BwTest.pm: what the TAP tests share: a sandbox, a server with the extension,
# and waiting with a limit.
package BwTest;

use strict;
use warnings;

use Exporter 'import';
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(start_sandbox bw_node setup_database wait_until wait_final
  status_of free_port worker_pid order_id);

my @sandboxes;

# Start a sandbox; options are its command line, without the dashes.
sub start_sandbox
{
	my (%options) = @_;
	my $out = PostgreSQL::Test::Utils::tempdir() . "/sandbox.out";
	my @command = ($ENV{BW_SANDBOX}, '--listen', '127.0.0.1:0');
	%options = ('client-id' => 'cid', 'client-secret' => 'csec', %options);
	push @command, "--$_", $options{$_} for sort keys %options;
	my $pid = fork();
	if ($pid == 0)
	{
		open STDOUT, '>', $out or die;
		open STDERR, '>&', \*STDOUT or die;
		exec @command or POSIX::_exit(127);
	}
	my $self = bless { pid => $pid }, 'BwTest::Sandbox';
	wait_until(sub {
		open my $f, '<', $out or return 0;
		my ($line) = grep { /^listening on/ } <$f>;
		($self->{url}) = ($line // '') =~ m{listening on (\S+)};
		return defined $self->{url};
	}, 'sandbox listens', 10);
	push @sandboxes, $self;
	return $self;
}

END
{
	my $status = $?;
	$_->stop for grep { defined } @sandboxes;
	$? = $status;
}

# A started server with preload, extension, server and user mapping.
sub bw_node
{
	my ($sandbox, %options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($options{name} // 'main');
	$node->init(%{ $options{init} // {} });
	$node->append_conf('postgresql.conf', join "\n",
		"shared_preload_libraries = 'bandwidth'",
		'bandwidth.coalesce_delay = 0',
		"bandwidth.look_up_delays = '0.3,0.5,0.7'",
		'max_worker_processes = 20',
		@{ $options{conf} // [] }, '');
	$node->start;
	setup_database($node, 'postgres', $sandbox, %options);
	return $node;
}

sub setup_database
{
	my ($node, $database, $sandbox, %options) = @_;
	my %server = (
		account_id => '9900000', site_id => '743',
		base_url => "$sandbox->{url}/api",
		token_url => "$sandbox->{url}/api/v1/oauth2/token",
		requests_per_minute => 1000000, burst => 1000000,
		max_numbers_per_day => 1000000,
		%{ $options{server} // {} });
	my $list = join ', ', map { "$_ '$server{$_}'" } sort keys %server;
	$node->safe_psql($database, qq{
		CREATE EXTENSION bandwidth;
		CREATE SERVER bandwidth FOREIGN DATA WRAPPER bandwidth OPTIONS ($list);
		CREATE USER MAPPING FOR PUBLIC SERVER bandwidth
			OPTIONS (client_id 'cid', client_secret 'csec');
	});
	return;
}

# Poll until the code returns true; dies with the name after the limit.
sub wait_until
{
	my ($code, $name, $limit) = @_;
	my $end = time + ($limit // 30);
	while (time < $end)
	{
		return 1 if $code->();
		sleep 0.05;
	}
	die "timed out: $name";
}

sub status_of
{
	my ($node, $id) = @_;
	return $node->safe_psql('postgres', "SELECT status FROM bw_orders WHERE id = $id");
}

# Wait until every order is final.
sub wait_final
{
	my ($node, $limit, $database) = @_;
	return wait_until(sub {
		my ($status, $out) = $node->psql($database // 'postgres',
			'SELECT count(*) FROM bw_orders WHERE NOT is_final');
		return defined $out && $out eq '0';
	}, 'all orders are final', $limit);
}

sub order_id
{
	my ($node, $numbers, $more) = @_;
	$more = defined $more ? ", $more" : '';
	my $list = join ',', map { "'$_'" } ref $numbers ? @$numbers : $numbers;
	return $node->safe_psql('postgres',
		"SELECT DISTINCT id FROM bw_order(ARRAY[$list]$more)");
}

sub worker_pid
{
	my ($node, $database) = @_;
	$database //= 'postgres';
	my $pid;
	wait_until(sub {
		my ($status, $out) = $node->psql('postgres', qq{
			SELECT pid FROM pg_stat_activity
			 WHERE backend_type = 'bandwidth worker' AND datname = '$database'
			   AND application_name = 'bandwidth worker'});
		$pid = $out;
		return defined $pid && $pid ne '';
	}, 'a worker runs', 30);
	return $pid;
}

sub free_port
{
	my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1');
	return $socket->sockport;
}

package BwTest::Sandbox;

use strict;
use warnings;

sub _query
{
	my (%p) = @_;
	return join '&', map { my $v = $p{$_}; $v =~ s/([^A-Za-z0-9_.~-])/sprintf('%%%02X', ord $1)/ge; "$_=$v" } sort keys %p;
}

sub request
{
	my ($self, $method, $path, $query, $body) = @_;
	my $url = "$self->{url}$path" . (%$query ? '?' . _query(%$query) : '');
	my $reply = HTTP::Tiny->new(timeout => 20)->request($method, $url,
		defined $body ? { content => $body, headers => { 'content-type' => 'application/xml' } } : {});
	die "$method $url: $reply->{status} $reply->{content}" unless $reply->{success};
	return $reply->{content};
}

sub fault { my ($self, %f) = @_; return $self->request('POST', '/sandbox/faults', \%f); }
sub clear_faults { return $_[0]->request('DELETE', '/sandbox/faults', {}); }
sub config { my ($self, %c) = @_; return $self->request('POST', '/sandbox/config', \%c); }
sub sell { my ($self, $tn) = @_; return $self->request('POST', '/sandbox/sell', { tn => $tn }); }
sub reset { return $_[0]->request('POST', '/sandbox/reset', {}); }
sub clear_journal { return $_[0]->request('DELETE', '/sandbox/journal', {}); }
sub count { my ($self, %f) = @_; return $self->request('GET', '/sandbox/journal/count', \%f); }
sub journal { my ($self, %f) = @_; return JSON::PP::decode_json($self->request('GET', '/sandbox/journal', \%f)); }
sub orders { return JSON::PP::decode_json($_[0]->request('GET', '/sandbox/orders', {})); }
sub callbacks { return JSON::PP::decode_json($_[0]->request('GET', '/sandbox/callbacks', {})); }
sub number { my ($self, $tn) = @_; return JSON::PP::decode_json($self->request('GET', '/sandbox/numbers', { tn => $tn })); }
sub notify { my ($self, $body) = @_; return $self->request('POST', '/sandbox/notify', {}, $body); }

sub stop
{
	my ($self) = @_;
	return unless $self->{pid};
	kill 'TERM', $self->{pid};
	waitpid $self->{pid}, 0;
	$self->{pid} = undef;
	return;
}

1;
