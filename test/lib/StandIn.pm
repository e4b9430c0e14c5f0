# StandIn.pm
#	  A small HTTP server in place of Bandwidth's, for what the sandbox does
#	  not do: count connections, close them, redirect, compress, speak TLS.
#
#     my $server = StandIn->start(sub { my ($request) = @_; ... });
#
# The code gets a request (method, path with query, headers by lower-case name,
# body) and returns a whole reply, see reply(), or undef to close the connection
# without one.  It runs in a process of its own, which ends with the test.

package StandIn;

use strict;
use warnings;

use Carp;
use File::Temp;
use HTTP::Tiny;
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use POSIX ();

my @running;

sub start
{
	my ($class, $code) = @_;
	my $listener = IO::Socket::INET->new(Listen => 50, LocalAddr => '127.0.0.1')
	  or croak "could not listen: $!";
	my $log  = File::Temp->new;
	my $self = bless {
		port => $listener->sockport,
		log  => $log,
		code => $code,
	}, $class;

	# Its end is the test's end, however that comes.
	pipe(my $life, $self->{life}) or croak "could not make a pipe: $!";
	$self->{pid} = fork() // croak "could not fork: $!";
	if ($self->{pid} == 0)
	{
		close($self->{life});
		$self->serve($listener, $life);
		POSIX::_exit(0);
	}
	push @running, $self;
	return $self;
}

# What it forwards to: the reply of another server, in full.
sub forward
{
	my ($url, $request) = @_;
	my %headers = map { $_ => $request->{headers}{$_} }
	  grep { exists $request->{headers}{$_} } qw(authorization content-type accept);
	my $reply = HTTP::Tiny->new(max_redirect => 0)->request(
		$request->{method},
		"$url$request->{path}",
		{ headers => \%headers, content => $request->{body} });
	my %back = map { ucfirst($_) => $reply->{headers}{$_} }
	  grep { exists $reply->{headers}{$_} } qw(location content-type date www-authenticate);

	return reply($reply->{status}, $reply->{content}, %back);
}

sub reply
{
	my ($status, $body, %headers) = @_;

	$headers{'Content-Length'} = length($body);
	return "HTTP/1.1 $status Whatever\r\n"
	  . join('', map { "$_: $headers{$_}\r\n" } sort keys %headers)
	  . "\r\n$body";
}

sub url
{
	my ($self) = @_;

	return "http://127.0.0.1:$self->{port}";
}

# How many connections it accepted.
sub connections
{
	my ($self) = @_;

	return scalar grep { $_->{accepted} } $self->entries;
}

# The requests it saw.
sub requests
{
	my ($self) = @_;

	return grep { $_->{method} } $self->entries;
}

sub entries
{
	my ($self) = @_;

	open(my $file, '<', $self->{log}->filename) or croak "could not read the log: $!";
	return map { decode_json($_) } <$file>;
}

# Close all connections, as a server does with those that are idle for long.
sub close_connections
{
	my ($self) = @_;

	kill('USR1', $self->{pid});
	return;
}

sub stop
{
	my ($self) = @_;

	return unless $self->{pid};
	kill('KILL', $self->{pid});
	local $?;
	waitpid($self->{pid}, 0);
	$self->{pid} = undef;
	return;
}

END
{
	$_->stop foreach @running;
}

# --- in the server's process ---

sub note
{
	my ($self, $entry) = @_;

	open(my $file, '>>', $self->{log}->filename) or POSIX::_exit(1);
	syswrite($file, encode_json($entry) . "\n");
	close($file);
	return;
}

sub serve
{
	my ($self, $listener, $life) = @_;
	my $select = IO::Select->new($listener, $life);
	my %input;
	my $hang_up = 0;

	$SIG{TERM} = 'DEFAULT';
	local $SIG{USR1} = sub { $hang_up = 1 };
	local $SIG{PIPE} = 'IGNORE';
	while (1)
	{
		# not for ever: a signal may come just before
		my @ready = $select->can_read(0.05);

		if ($hang_up)
		{
			$hang_up = 0;
			foreach my $client (grep { $_ != $listener && $_ != $life } $select->handles)
			{
				$select->remove($client);
				close($client);
			}
			$self->note({ hung_up => 1 });
			next;
		}
		foreach my $handle (@ready)
		{
			return if $handle == $life;
			if ($handle == $listener)
			{
				my $client = $listener->accept or next;

				$select->add($client);
				$input{$client} = '';
				$self->note({ accepted => 1 });
			}
			elsif (!sysread($handle, $input{$handle}, 65536, length $input{$handle})
				|| !$self->answer($handle, \$input{$handle}))
			{
				$select->remove($handle);
				close($handle);
			}
		}
	}
}

# Answer every whole request in the input; false: the connection is to end.
sub answer
{
	my ($self, $client, $input) = @_;

	while (my $request = take_request($input))
	{
		$self->note($request);
		my $reply = $self->{code}->($request) // return 0;

		print $client $reply;
		$client->flush;
	}
	return 1;
}

sub take_request
{
	my ($input) = @_;
	my ($head) = $$input =~ /^(.*?\r\n\r\n)/s or return;
	my ($line, @lines) = split /\r\n/, $head;
	my %headers = map { /^([^:]+):\s*(.*)/ ? (lc $1 => $2) : () } @lines;
	my $length = $headers{'content-length'} // 0;

	return if length($$input) < length($head) + $length;
	my ($method, $path) = split / /, $line;
	my $body = substr($$input, length($head), $length);

	$$input = substr($$input, length($head) + $length);
	return { method => $method, path => $path, headers => \%headers, body => $body };
}

1;
