# BwExample.pm
#	  What the tests of examples/ share: a server with an account, and SQL files
#	  that are run as a user runs them.
#
#     use BwExample;
#
#     my ($node, $sandbox) = example_server();
#     run_file($node, 'customers.sql');
#
# File names are relative to the example's folder, which is the test's own.

package BwExample;

use strict;
use warnings;

use Exporter 'import';
use File::Basename;
use Test::More;

our ($FOLDER, $NAME);

# Each program here is named "test": logs in a folder of its own keep apart.
BEGIN
{
	$FOLDER = dirname($0);
	$NAME   = basename($FOLDER);
	$ENV{TESTDIR} .= "/example_$NAME";
	mkdir($ENV{TESTDIR});
}

use BwTest;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(example_file example_server psql_file run_file);

=pod

=head1 FUNCTIONS

=over

=item example_server(options)

A server and its sandbox, as script/demo has them; options are those of bw_node().

=cut

sub example_server
{
	my (%options) = @_;
	my $sandbox = start_sandbox('order-delay' => 0);

	return (bw_node($NAME, sandbox => $sandbox, %options), $sandbox);
}

=item example_file(name)

Path of a file of this example.

=cut

sub example_file
{
	my ($name) = @_;

	return "$FOLDER/$name";
}

=item psql_file(node, name, options)

Run a file by psql with these options; returns exit status, output and errors.

=cut

sub psql_file
{
	my ($node, $name, @options) = @_;
	my ($out, $err);
	my $passed = IPC::Run::run(
		[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'),
			@options, '-f', example_file($name) ],
		'>', \$out, '2>', \$err);

	return ($passed, $out, $err);
}

=item run_file(node, name, options)

The same; reports a test, which fails if there was an error or a warning.
Returns the output.

=cut

sub run_file
{
	my ($node, $name, @options) = @_;
	my ($passed, $out, $err) = psql_file($node, $name, @options);

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($err, '', "$name runs as pasted");
	return $out;
}

=back

=cut

1;
