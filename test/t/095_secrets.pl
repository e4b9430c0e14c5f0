# No secret in a log, an error, a view, a title or a dump: every kind of call,
# those that fail too, with everything logged that PostgreSQL can log.
use strict;
use warnings;

use BwTest;
use MIME::Base64;
use PostgreSQL::Test::Utils;
use Test::More;

# Secrets are told to the server in files, for the text of a user's own DDL is
# the user's.  Each has a mark by which it is found, in base64 as well.
my $folder  = PostgreSQL::Test::Utils::tempdir;
my %secrets = map { $_ => "Qx7-$_-never-seen" } qw(client basic callback inline);
my $sandbox = start_sandbox(
	'order-delay' => 20, username => 'user', password => $secrets{basic},
	'client-id' => 'client', 'client-secret' => $secrets{client});
my $port = free_port();
my %file;

foreach my $name (keys %secrets)
{
	$file{$name} = "$folder/$name";
	append_to_file($file{$name}, $secrets{$name});
}

my $node = bw_node('main', sandbox => $sandbox,
	server  => { callback_url => "http://127.0.0.1:$port/bandwidth", request_timeout => '1s' },
	mapping => { client_id => 'client', client_secret_file => $file{client} },
	conf => [
		'log_min_messages = debug5', 'log_statement = all', 'log_error_verbosity = verbose', 'log_duration = on',
		'debug_print_plan = on', 'log_min_error_statement = debug5', "bandwidth.listen_port = $port",
		"bandwidth.look_up_delays = '0.1,0.1'", "bandwidth.poll_schedule = '0.1,0.2'" ]);
my $said = '';

# What psql hears, at the most talkative level, whatever becomes of it.
sub play
{
	my ($sql) = @_;
	my ($status, $out, $err) = $node->psql('postgres', "SET client_min_messages = debug5; $sql");

	$said .= "$out\n$err\n";
	return $err =~ /ERROR:\s+(.*)/ ? $1 : $out;
}

sub subscription { return ($sandbox->subscriptions)[0] // {}; }

# --- accounts: HTTP Basic, and some that fail ---
foreach my $account (
	[ basic => "username 'user', password_file '$file{basic}'" ],
	[ wrong => "username 'user', password_file '$file{inline}'" ],
	[ stranger => "client_id 'client', client_secret_file '$file{inline}'" ],
	[ nowhere => "client_id 'client', client_secret_file '$file{client}'", "https://127.0.0.1:1" ])
{
	my ($name, $options, $url) = @$account;

	$url //= $sandbox->url;
	play("CREATE SERVER $name FOREIGN DATA WRAPPER bandwidth OPTIONS (account_id '1', site_id '743',"
		  . " base_url '$url/api', token_url '$url/api/v1/oauth2/token');"
		  . " CREATE USER MAPPING FOR CURRENT_USER SERVER $name OPTIONS ($options)");
}
is(play("SELECT count(*) FROM bw_search('540551', quantity => 3, server => 'basic')"), '3', 'Basic');
like(play("SELECT * FROM bw_search('540551', server => '$_')"), qr/could not search/, "$_ fails")
  foreach qw(wrong stranger nowhere);

# --- searches: each way to fail ---
foreach my $fault (
	{ kind => 'status' }, { kind => 'html' }, { kind => 'malformed' }, { kind => 'drop_reply' },
	{ kind => 'refuse', code => 4010, text => 'no' }, { kind => 'hang' }, { kind => 'unauthorized' },
	{ kind => 'redirect', status => 302, text => 'http://localhost:1/elsewhere' })
{
	$sandbox->fault(class => 'SEARCH', %$fault);
	isnt(play("SELECT count(*) FROM bw_search('540551', quantity => 3)"), '3', "a search, $fault->{kind}");
	$sandbox->clear_faults;
}
$sandbox->fault(class => 'TOKEN', kind => 'status');
play("SELECT * FROM bw_search('540551', server => 'stranger')");
$sandbox->clear_faults;

# --- orders, callbacks, operators ---
wait_until(sub { subscription()->{password} }, 'a subscription is made, with a password of its own');
$secrets{made} = subscription()->{password};
$sandbox->fault(class => 'ORDER', method => 'POST', kind => 'drop_reply', count => 1);
$sandbox->fault(class => 'CALLBACK', kind => 'wrong_credentials', count => 1);
my $id = order_id($node, '5402278098');
play("SELECT bw_wait($id, '1 min'), bw_fetch_order($id), bw_recheck($id), bw_cancel($id)");
play("SELECT * FROM bw_order_search(npanxx => '919205'); SELECT bw_retry($id), bw_close_order($id)");
play(q{CALL bw_order_and_wait(ARRAY['9192000031'])});
play(q{SELECT * FROM bw_order(ARRAY['9192000032'], server => 'wrong')});
play(q{SELECT bw_pause(), bw_resume(); SELECT bw_receive('<Notification/>'); SELECT bw_subscribe(email => 'a@example.com')});
play('SELECT * FROM bw_check(); SELECT * FROM bw_list_subscriptions(); SELECT bw_rotate_callback_credentials()');
wait_until(sub { (subscription()->{password} // '') ne $secrets{made} }, 'fresh credentials');
$secrets{fresh} = subscription()->{password};
# Bandwidth gets those that were given, where there are some
play("ALTER USER MAPPING FOR CURRENT_USER SERVER bandwidth OPTIONS (ADD callback_username 'gate',"
	  . " ADD callback_password_file '$file{callback}')");
wait_until(sub { (subscription()->{password} // '') eq $secrets{callback} }, 'given ones');
$id = order_id($node, '9192000040');
wait_for_status($node, $id, 'COMPLETE');
play('SELECT * FROM bw_check()');

# --- what a user writes wrongly into DDL; that the statement is logged is not ours ---
foreach my $options (
	"client_id 'c', client_scret '$secrets{inline}'", "client_id 'c', client_secret '$secrets{inline}', password '$secrets{inline}'",
	"password '$secrets{inline}'", "client_secret '$secrets{inline}', client_secret_file '/x'",
	"username 'u', callback_password '$secrets{inline}'", "client_id 'c', client_secret E'$secrets{inline}\\n'")
{
	like(play("SET log_statement = 'none'; SET log_min_error_statement = 'panic'; SET log_duration = off;"
			  . " CREATE USER MAPPING FOR PUBLIC SERVER basic OPTIONS ($options)"),
		qr/option|mapping|secret|password/, 'refused: ' . $options =~ s/'[^']*'/.../gr);
}
like(play("SET log_statement = 'none'; SET log_min_error_statement = 'panic'; SET log_duration = off;"
		  . " ALTER SERVER basic OPTIONS (SET base_url 'https://user:$secrets{inline}\@example.com')"),
	qr/base_url/, 'refused: a URL with a password');

# --- and now look for them ---
my $titles = $node->safe_psql('postgres', 'SELECT * FROM pg_stat_activity');
my $mappings = $node->safe_psql('postgres', 'SELECT * FROM pg_user_mappings');
my ($dump, $complaints) = run_command([ 'pg_dump', '-d', $node->connstr('postgres') ]);
$node->stop;
my %where = (
	'the log' => slurp_file($node->logfile), 'what sessions hear' => $said,
	'titles' => $titles, 'mappings' => $mappings, 'a dump' => "$dump$complaints");

cmp_ok(length $where{'the log'}, '>', 1_000_000, 'much was logged');
like($where{'the log'}, qr/bandwidth worker.*DEBUG/, 'by the worker, too');
foreach my $place (sort keys %where)
{
	foreach my $name (sort keys %secrets)
	{
		my @forms = ($secrets{$name}, map { encode_base64($_ . $secrets{$name}, '') } 'user:', 'gate:', 'client:', '');

		# a session heard its own DDL's text only if PostgreSQL repeats it
		is((grep { index($where{$place}, $_) >= 0 } @forms), 0, "$name is not in $place");
	}
	unlike($where{$place}, qr/sandbox-token-|Authorization:|Bearer /i, "no token is in $place");
}

done_testing();
