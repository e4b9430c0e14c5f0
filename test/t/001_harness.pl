# A server with the extension comes up, finds its sandbox, and goes away again.

use strict;
use warnings;

use BwTest;
use Test::More;

my $sandbox = start_sandbox();
my $node    = bw_node('main', sandbox => $sandbox);

is($node->safe_psql('postgres', 'SELECT count(*) FROM bw_orders'),
	'0', 'a new database has no orders');
is($node->safe_psql('postgres', "SELECT count(*) FROM bw_search('540551', quantity => 7)"),
	'7', 'a search finds what the guide finds');
is($sandbox->journal_count(class => 'SEARCH'), 1, 'with one request');

$node->stop;
is($sandbox->stop, 0, 'the sandbox ends cleanly');

done_testing();
