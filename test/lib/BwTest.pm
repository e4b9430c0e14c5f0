# BwTest.pm
#	  What the TAP tests share: servers with the extension, sandboxes, waiting.
#
#     use BwTest;
#
#     my $sandbox = start_sandbox();
#     my $node    = bw_node('main', sandbox => $sandbox);
#     my $id      = $node->safe_psql('postgres', 'SELECT id FROM bw_order(...)');
#     wait_for_status($node, $id, 'COMPLETE');
#     is($sandbox->journal_count(method => 'POST', class => 'ORDER'), 1, '...');
#
# Servers are PostgreSQL::Test::Cluster nodes and end with the test; so do
# sandboxes, even if the test is killed outright.  Nothing here sleeps for a
# fixed time: waits poll, and fail after a limit with what was seen last.

package BwTest;

use strict;
use warnings;

use Carp;
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw(
  bw_node
  bw_restored
  bw_standby
  create_account
  cut_off
  free_port
  order_id
  run_worker
  sqlstate
  start_sandbox
  status_of
  try_sql
  wait_for_archive
  wait_for_all
  wait_for_status
  wait_until
  wait_until_stuck
  worker_pid
);

# Longest wait of the helpers below, in seconds.  Far above what anything
# takes, because machines that test are busy machines.
our $LIMIT = $ENV{BW_TEST_LIMIT} // 90;

# Seconds between two looks.
our $LAP = 0.02;

# Settings with which servers are started: the worker's slow timers stay slow,
# a test that wants them fast says so.
my @SETTINGS = (
	"shared_preload_libraries = 'bandwidth'",
	'max_worker_processes = 32',
	"log_line_prefix = '%m [%p] %b %q%d '");

=pod

=head1 FUNCTIONS

=over

=item free_port()

A TCP port that was free a moment ago, and that no other test of this run and
no outgoing connection will take: it lies below the ephemeral ones.

=cut

sub free_port
{
	return PostgreSQL::Test::Cluster::get_free_port();
}

=item start_sandbox(options)

A running BwTest::Sandbox.  Options are those of bw-sandbox, without the
dashes in front: C<< 'client-id' => 'c', 'order-delay' => 0 >>.

=cut

sub start_sandbox
{
	return BwTest::Sandbox->start(@_);
}

=item bw_node(name, options)

A started server that preloads the library.  Options:

  sandbox => object    create the extension, and in it server "bandwidth" and
                       a user mapping, both pointing at this sandbox
  server  => {...}     server options besides, or instead of, the usual ones
  mapping => {...}     mapping options, in place of the usual ones
  conf    => [...]     lines for postgresql.conf
  init    => [...]     arguments for init() (e.g. allows_streaming => 1)
  preload => 0         do not preload the library
  install_path => DIR  use that copy of PostgreSQL

=cut

sub bw_node
{
	my ($name, %options) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name,
		map { defined $options{$_} ? ($_ => $options{$_}) : () } 'install_path');
	my @settings = @SETTINGS;

	shift @settings if defined $options{preload} && !$options{preload};
	$node->init(@{ $options{init} // [] });
	$node->append_conf('postgresql.conf', join("\n", @settings, @{ $options{conf} // [] }, ''));
	$node->start;
	if ($options{sandbox})
	{
		$node->safe_psql('postgres', 'CREATE EXTENSION bandwidth');
		create_account($node, 'postgres', %options);
	}
	return $node;
}

=item bw_standby(primary, name)

A started hot standby that streams from the primary, which was made with
C<< init => [ allows_streaming => 1 ] >>.

=cut

sub bw_standby
{
	my ($primary, $name) = @_;
	my $standby = PostgreSQL::Test::Cluster->new($name);

	$primary->backup("for_$name");
	$standby->init_from_backup($primary, "for_$name", has_streaming => 1);
	$standby->start;
	return $standby;
}

=item cut_off(standby)

End the standby's connection to its primary.  What the primary writes from now
on does not arrive any more.

=cut

sub cut_off
{
	my ($standby) = @_;

	$standby->adjust_conf('postgresql.conf', 'primary_conninfo', "''");
	$standby->reload;
	$standby->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pg_stat_wal_receiver')
	  or croak 'the standby is still connected';
	return;
}

=item wait_for_archive(node)

Have what the server wrote until now archived (C<< init => [ has_archiving => 1 ] >>).

=cut

sub wait_for_archive
{
	my ($node) = @_;
	my $file = $node->safe_psql('postgres', 'SELECT pg_walfile_name(pg_switch_wal())');

	$node->poll_query_until('postgres',
		"SELECT last_archived_wal >= '$file' FROM pg_stat_archiver")
	  or croak "$file was not archived";
	return;
}

=item bw_restored(original, backup, name, target => value, ...)

A started server, restored from a backup and the original's archive up to the
recovery target, e.g. C<< name => 'before' >> for recovery_target_name.

=cut

sub bw_restored
{
	my ($original, $backup, $name, %target) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init_from_backup($original, $backup, has_restoring => 1, standby => 0);
	$node->append_conf('postgresql.conf', join("\n", 'archive_mode = off',
		"recovery_target_action = 'promote'",
		map { "recovery_target_$_ = '$target{$_}'" } sort keys %target));
	$node->start;
	$node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()')
	  or croak 'the recovery did not end';
	return $node;
}

=item create_account(node, database, options)

Create a server (named by C<name>, default "bandwidth") and a mapping for the
current user; C<sandbox>, C<server> and C<mapping> are those of bw_node().

=cut

sub create_account
{
	my ($node, $database, %options) = @_;
	my $name = $options{name} // 'bandwidth';
	my %server = (
		base_url   => $options{sandbox}->url . '/api',
		token_url  => $options{sandbox}->url . '/api/v1/oauth2/token',
		account_id => '9900000',
		site_id    => '743',
		%{ $options{server} // {} });
	my %mapping =
	  %{ $options{mapping} // { client_id => 'client', client_secret_file => secret_file($node) } };

	$node->safe_psql($database,
			"CREATE SERVER $name FOREIGN DATA WRAPPER bandwidth "
		  . options_clause(\%server) . ';'
		  . "CREATE USER MAPPING FOR CURRENT_USER SERVER $name "
		  . options_clause(\%mapping));
	return;
}

# A secret that script/test looks for in every log: in a file, because a test
# server logs all statements.
sub secret_file
{
	my ($node) = @_;
	my $name = $node->basedir . '/secret';

	PostgreSQL::Test::Utils::append_to_file($name, 'Zx81-secret') unless -e $name;
	return $name;
}

# OPTIONS (...) of a hash; undefined values are left out.
sub options_clause
{
	my ($options) = @_;
	my @items;

	foreach my $name (sort grep { defined $options->{$_} } keys %$options)
	{
		my $value = $options->{$name};

		$value =~ s/'/''/g;
		push @items, "$name '$value'";
	}
	return @items ? 'OPTIONS (' . join(', ', @items) . ')' : '';
}

=item wait_until(code, name, limit)

Poll until the code returns something true, and return that.  Reports a test
under the given name: passed, or failed after the limit (seconds).

=cut

sub wait_until
{
	my ($code, $name, $limit) = @_;
	my $end = time() + ($limit // $LIMIT);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	while (1)
	{
		my $result = $code->();

		if ($result)
		{
			pass($name);
			return $result;
		}
		if (time() > $end)
		{
			fail($name);
			return $result;
		}
		sleep($LAP);
	}
}

=item wait_for_status(node, order id, status, limit, database)

Poll until the order has the status; reports a test.  A final state other than
the one waited for ends the wait at once.

=cut

sub wait_for_status
{
	my ($node, $id, $status, $limit, $database) = @_;
	my $end = time() + ($limit // $LIMIT);
	my ($seen, $final);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	do
	{
		sleep($LAP) if defined $seen;
		($seen, $final) = split /\|/,
		  $node->safe_psql($database // 'postgres',
			"SELECT status, is_final FROM bw_orders WHERE id = $id");
		$seen //= '(no such order)';
	} until $seen eq $status || ($final // 'f') eq 't' || time() > $end;

	my $passed = is($seen, $status, "order $id is $status");
	diag(order_story($node, $id, $database)) unless $passed;
	return $passed;
}

=item order_id(node, numbers, more arguments)

Order (one number, or a reference to a list), and return the order's id.

=cut

sub order_id
{
	my ($node, $numbers, $more) = @_;
	my $list = join ', ', map { "'$_'" } ref $numbers ? @$numbers : $numbers;

	return $node->safe_psql('postgres',
		"SELECT DISTINCT id FROM bw_order(ARRAY[$list]" . (defined $more ? ", $more)" : ')'));
}

sub status_of
{
	my ($node, $id) = @_;

	return $node->safe_psql('postgres', "SELECT status FROM bw_orders WHERE id = $id");
}

=item try_sql(node, database, query)

The query's answer, or undef if the server gives none: it may be restarting.

=cut

sub try_sql
{
	my ($node, $database, $query) = @_;
	# psql may be gone before it was given the query, of which IPC::Run dies
	my ($status, $out) = eval { $node->psql($database, $query) };

	return defined $status && $status == 0 ? $out : undef;
}

=item wait_for_all(node, limit, database)

Poll until every order is final; a server that is restarting is waited for.
Reports a test.

=cut

sub wait_for_all
{
	my ($node, $limit, $database) = @_;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_until(
		sub {
			my $count = try_sql($node, $database // 'postgres', 'SELECT count(*) FROM bw_orders WHERE NOT is_final');

			return defined $count && $count eq '0';
		},
		'all orders are final', $limit);
}

=item wait_until_stuck(node, table)

Poll until the worker waits for a lock on the table; reports a test.

=cut

sub wait_until_stuck
{
	my ($node, $table) = @_;
	my $worker = worker_pid($node);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return wait_until(sub { try_sql($node, 'postgres',
			"SELECT count(*) FROM pg_locks WHERE pid = $worker AND NOT granted AND relation = '$table'::regclass") },
		"the worker waits for $table");
}

=item worker_pid(node, database)

Process of the database's worker, once there is one.

=cut

sub worker_pid
{
	my ($node, $database) = @_;
	my $end = time() + $LIMIT;

	$database //= 'postgres';
	while (time() < $end)
	{
		my $pid = try_sql($node, 'postgres',
			"SELECT pid FROM pg_stat_activity WHERE backend_type = 'bandwidth worker'"
			  . " AND application_name = 'bandwidth worker' AND datname = '$database'");

		return $pid if defined $pid && $pid =~ /^\d+$/;
		sleep($LAP);
	}
	croak 'no worker came';
}

# What happened to an order, for a failing test's output.
sub order_story
{
	my ($node, $id, $database) = @_;

	return $node->safe_psql(
		$database // 'postgres', qq{
		SELECT * FROM bw_orders WHERE id = $id \\gx
		SELECT * FROM bw_order_events WHERE order_id = $id ORDER BY id;
	});
}

=item run_worker(node, 'on' or 'off')

Have the server run its workers or not; a setting of this one server, which no
standby gets.  After 'off', there is none.

=cut

sub run_worker
{
	my ($node, $value) = @_;

	$node->safe_psql('postgres', "ALTER SYSTEM SET bandwidth.enabled = $value");
	$node->reload;
	$node->poll_query_until('postgres',
		"SELECT current_setting('bandwidth.enabled') = '$value'"
		  . " AND ('$value' = 'on' OR NOT EXISTS (SELECT FROM pg_stat_activity"
		  . " WHERE backend_type = 'bandwidth worker'))")
	  or croak "the workers are not $value";
	return;
}

=item sqlstate(node, query, database)

The SQLSTATE with which a query fails; if it does not, 'ok' and what it says.

=cut

sub sqlstate
{
	my ($node, $query, $database) = @_;
	my ($status, $out, $error) = $node->psql($database // 'postgres', $query,
		extra_params => [ '--set', 'VERBOSITY=sqlstate' ]);

	return $error =~ /ERROR:\s+(\w{5})/ ? $1 : "ok: $out$error";
}

=back

=cut

package BwTest::Sandbox;

use strict;
use warnings;

use Carp;
use HTTP::Tiny;
use JSON::PP;
use POSIX ();
use Time::HiRes qw(sleep time);

my @running;

=head1 SANDBOX

A process bw-sandbox.  Control calls die if the sandbox refuses them.

=over

=item start(options), stop(), kill()

stop() asks the sandbox to end and returns its exit status; kill() does not
ask.  After either, start_again() starts it on the same port, empty.

=cut

sub start
{
	my ($class, %options) = @_;
	my $self = bless { options => \%options, http => HTTP::Tiny->new(timeout => 60) }, $class;

	push @running, $self;
	return $self->launch(0);
}

sub launch
{
	my ($self, $port) = @_;
	my %options = %{ $self->{options} };
	my @command = (
		'setpriv', '--pdeathsig', 'KILL', $ENV{BW_SANDBOX},
		'--listen', "127.0.0.1:$port",
		map { defined $options{$_} ? ("--$_", $options{$_}) : "--$_" } sort keys %options);

	pipe(my $reader, my $writer) or croak "could not make a pipe: $!";
	$self->{pid} = fork() // croak "could not fork: $!";
	if ($self->{pid} == 0)
	{
		open(STDOUT, '>&', $writer);
		exec(@command) or POSIX::_exit(127);
	}
	close($writer);
	# It says its address, and then nothing more on that channel.
	my $line = readline($reader) // '';
	($self->{url}) = $line =~ m{^listening on (http://\S+)}
	  or croak "the sandbox did not start: $line";
	$self->{output} = $reader;
	return $self;
}

sub start_again
{
	my ($self) = @_;

	return $self->launch($self->port);
}

sub stop
{
	my ($self, $signal) = @_;

	return unless $self->{pid};
	CORE::kill($signal // 'TERM', $self->{pid});
	# not into $?: this also runs at the test's end
	local $?;
	waitpid($self->{pid}, 0);
	$self->{pid} = undef;
	return $?;
}

sub kill
{
	my ($self) = @_;

	return $self->stop('KILL');
}

END
{
	my $status = $?;

	$_->stop foreach grep { $_->{pid} } @running;
	$? = $status;
}

=item url(), port()

=cut

sub url
{
	my ($self) = @_;

	return $self->{url};
}

sub port
{
	my ($self) = @_;

	return ($self->{url} =~ /:(\d+)$/)[0];
}

=item request(method, path, parameters, body)

A control call: C<< request('GET', 'numbers', { tn => '5402278098' }) >>.
Returns the reply's text.

=cut

sub request
{
	my ($self, $method, $path, $parameters, $body) = @_;
	my $query = $self->{http}->www_form_urlencode($parameters // {});
	my $reply = $self->{http}->request($method,
		"$self->{url}/sandbox/$path" . ($query ne '' ? "?$query" : ''),
		defined $body ? { content => $body } : {});

	croak "sandbox: $method $path: $reply->{status} $reply->{content}"
	  unless $reply->{success};
	return $reply->{content};
}

=item control(what, parameters)

POST to C</sandbox/WHAT>: C<< control('faults', class => 'ORDER', kind => 'drop_reply') >>.

=cut

sub control
{
	my ($self, $what, %parameters) = @_;

	return $self->request('POST', $what, \%parameters);
}

=item config(parameters), sell(tn), restock(tn), reset()

=cut

sub config  { my ($self, %parameters) = @_; return $self->control('config', %parameters); }
sub sell    { my ($self, $tn) = @_; return $self->control('sell',    tn => $tn); }
sub restock { my ($self, $tn) = @_; return $self->control('restock', tn => $tn); }
sub own     { my ($self, $tn) = @_; return $self->control('own',     tn => $tn); }
sub reset   { my ($self) = @_; return $self->control('reset'); }

=item fault(parameters), clear_faults()

=cut

sub fault { my ($self, %parameters) = @_; return $self->control('faults', %parameters); }
sub clear_faults { my ($self) = @_; return $self->request('DELETE', 'faults'); }

=item journal(filters), journal_count(filters), clear_journal()

Requests that the sandbox saw; filters are method, class, path, status, since.

=cut

sub journal
{
	my ($self, %filters) = @_;

	return @{ decode_json($self->request('GET', 'journal', \%filters)) };
}

sub journal_count
{
	my ($self, %filters) = @_;

	return 0 + $self->request('GET', 'journal/count', \%filters);
}

sub clear_journal
{
	my ($self) = @_;

	return $self->request('DELETE', 'journal');
}

=item orders(), callbacks(), number(tn)

What the sandbox holds, decoded.

=cut

sub orders    { my ($self) = @_; return @{ decode_json($self->request('GET', 'orders')) }; }
sub callbacks { my ($self) = @_; return @{ decode_json($self->request('GET', 'callbacks')) }; }

sub number
{
	my ($self, $tn) = @_;

	return decode_json($self->request('GET', 'numbers', { tn => $tn }));
}

=item subscriptions(), alter_subscriptions(id => ID, what => value)

What is subscribed, decoded; and somebody else's doing with one, or with all:
returns with how many.

=cut

sub subscriptions { my ($self) = @_; return @{ decode_json($self->request('GET', 'subscriptions')) }; }

sub alter_subscriptions
{
	my ($self, %what) = @_;

	return decode_json($self->control('subscriptions', %what))->{altered};
}

=item notify(body, subscription)

Have the sandbox deliver this body as a callback.

=cut

sub notify
{
	my ($self, $body, $subscription) = @_;

	return $self->request('POST', 'notify',
		defined $subscription ? { subscription => $subscription } : {}, $body);
}

=item post_order(customer_order_id => ID, numbers => [...])

Order at Bandwidth as somebody else of the same account would.

=cut

sub post_order
{
	my ($self, %order) = @_;
	my $token = decode_json(
		$self->{http}->post("$self->{url}/api/v1/oauth2/token",
			{
				headers => { 'Authorization' => 'Basic Y2xpZW50OnNlY3JldA==',
					'Content-Type' => 'application/x-www-form-urlencoded' },
				content => 'grant_type=client_credentials'
			})->{content})->{access_token};
	my $numbers = join('', map { "<TelephoneNumber>$_</TelephoneNumber>" } @{ $order{numbers} });
	my $reply = $self->{http}->post("$self->{url}/api/accounts/9900000/orders",
		{
			headers => { 'Content-Type' => 'application/xml', 'Authorization' => "Bearer $token" },
			content => "<Order><CustomerOrderId>$order{customer_order_id}</CustomerOrderId><Name>x</Name>"
			  . "<ExistingTelephoneNumberOrderType><TelephoneNumberList>$numbers</TelephoneNumberList>"
			  . '</ExistingTelephoneNumberOrderType><SiteId>743</SiteId></Order>'
		});

	croak "sandbox: order: $reply->{status} $reply->{content}" unless $reply->{success};
	return $reply->{content};
}

=back

=cut

1;
