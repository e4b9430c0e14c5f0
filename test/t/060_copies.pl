# Copies of a database order nothing: template, dump, and taking over.
use strict;
use warnings;

use BwTest;
use Test::More;

my $sandbox = start_sandbox('order-delay' => 50);
my $node = bw_node('main', sandbox => $sandbox,
	conf => [ "bandwidth.look_up_delays = '0.1,0.2'", "bandwidth.poll_schedule = '0.1,0.2,0.5'" ]);
my $number = 9192500000;

sub sql { my ($query, $database) = @_; return $node->safe_psql($database // 'postgres', $query); }
sub posts { return $sandbox->journal_count(class => 'ORDER', method => 'POST'); }

# --- CREATE DATABASE ... TEMPLATE, with an order that waits ---
sql('SELECT bw_pause()');
my $own    = order_id($node, ++$number, "name => 'a request of its own'");
my $shared = order_id($node, ++$number);
$node->poll_query_until('template1', 'SELECT true');
sql('CREATE DATABASE copy TEMPLATE postgres', 'template1');
sql('SELECT bw_resume()', 'postgres');
wait_for_all($node);
is(posts(), 2, 'the original sends its orders');

my ($status, undef, $error) = $node->psql('copy', "SELECT bw_order(ARRAY['9192500100'])");
like($error, qr/copy of the one that its orders belong to/, 'a copy takes no order');
like($error, qr/bw_take_over/, 'and says what to do');
foreach my $call ("bw_cancel($own)", 'bw_resume()', 'bw_pause()', "bw_recheck($own)",
	"bw_receive('x')", "bw_subscribe('https://example.com/')")
{
	(undef, undef, $error) = $node->psql('copy', "SELECT $call");
	like($error, qr/copy of the one/, "$call is fenced");
}
is($node->safe_psql('copy', "SELECT count(*) FROM bw_search('540551', quantity => 3)"), 3, 'searching is not');
wait_until(sub { $node->log_contains('this database is a copy') }, 'the copy\'s worker says so');
is($node->safe_psql('copy', "SELECT string_agg(status, ',') FROM bw_orders"), 'QUEUED,QUEUED', 'its orders stay as they are');
is(posts(), 2, 'and nothing was sent twice');

# --- the copy takes over: what the original sent is found ---
is($node->safe_psql('copy', "SELECT bw_take_over('look_up')"), 't', 'bw_take_over');
is($node->safe_psql('copy', "SELECT bw_take_over('look_up')"), 'f', 'once');
$node->safe_psql('copy', 'SELECT bw_resume()');
wait_for_all($node, undef, 'copy');
is($node->safe_psql('copy', "SELECT status FROM bw_orders WHERE id = $own"), 'COMPLETE', 'an order of its own request is found and adopted');
is($sandbox->number($number - 1)->{bought}, 1, 'and was bought once');
is($sandbox->number($number)->{bought}, 1, 'so was the other');

# --- what was to be sent again when the copy was made ---
$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'reset_before', count => 1);
my $direct = sql("SELECT id FROM bw_order_search(npanxx => '919204', direct => true)");
wait_until(sub { sql("SELECT attention FROM bw_orders WHERE id = $direct") =~ /bw_resolve/ }, 'a direct order waits for a person');
sql("SELECT bw_pause(); SELECT bw_resolve($direct, 'resend')");
foreach my $how (qw(look_up discard))
{
	$node->poll_query_until('template1', 'SELECT true');
	sql("CREATE DATABASE $how TEMPLATE postgres", 'template1');
}
sql("SELECT bw_resume(); SELECT bw_recheck($direct)");
wait_for_all($node);
my $sent = posts();
foreach my $how (qw(look_up discard))
{
	is(sql("SELECT bw_take_over('$how'), bw_resume()", $how), 't|t', "bw_take_over('$how')");
	wait_for_all($node, undef, $how);
	is(sql("SELECT bandwidth_order_id FROM bw_orders WHERE id = $direct", $how), sql("SELECT bandwidth_order_id FROM bw_orders WHERE id = $direct"),
		'finds what the original sent again');
}
is(posts(), $sent, 'and sends nothing');

# --- discarding ---
sql('SELECT bw_pause()');
my $waiting = order_id($node, ++$number);
sql('CREATE DATABASE other TEMPLATE postgres', 'template1');
my $before = posts();
is($node->safe_psql('other', "SELECT bw_take_over('discard')"), 't', 'taking over and discarding');
is($node->safe_psql('other', "SELECT status FROM bw_orders WHERE id = $waiting"), 'CANCELLED', 'cancels what waits');
$node->safe_psql('other', 'SELECT bw_resume()');
order_id($node, ++$number);
is(posts(), $before, 'and sends nothing');
sql('SELECT bw_resume()');
wait_for_all($node);

# --- a restored dump ---
sql('SELECT bw_pause()');
my $dumped = order_id($node, ++$number);
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'pg_dump');
sql('CREATE DATABASE restored', 'template1');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('restored') ], 'restore');
sql('SELECT bw_resume()');
wait_for_all($node);
$before = posts();
is($node->safe_psql('restored', "SELECT status FROM bw_orders WHERE id = $dumped"), 'QUEUED', 'a restored order keeps its state');
my $new = $node->safe_psql('restored', "SELECT id FROM bw_order(ARRAY['9192500999'])");
cmp_ok($new, '>', $dumped, 'a restored database may order, under new ids');
wait_until(sub { $node->safe_psql('restored', "SELECT status FROM bw_orders WHERE id = $new") eq 'COMPLETE' }, 'its own order completes');
is(posts(), $before + 1, 'and sends that order only');
is($node->safe_psql('restored', "SELECT status FROM bw_orders WHERE id = $dumped"), 'QUEUED', 'not what came with the dump');

$node->stop;
done_testing();
