# The subscription that the worker keeps for a server with callback_url:
# deleted, altered, expired, doubled, taken by others, copied, rotated.
use strict;
use warnings;

use BwTest;
use IO::Select;
use IO::Socket::INET;
use MIME::Base64;
use Test::More;

my $sandbox = start_sandbox('order-delay' => 50);
my $port = free_port();
my $url  = "http://127.0.0.1:$port/bandwidth";
my $node = bw_node('main', sandbox => $sandbox,
	server => { requests_per_minute => 1000000, burst => 1000000 },
	conf => ["bandwidth.subscription_check_interval = '1s'"]);

sub sql { my ($query, $database) = @_; return $node->safe_psql($database // 'postgres', $query); }

# One column of what is kept, or all of the usual ones.
sub kept
{
	my ($columns, $database) = @_;

	return sql('SELECT ' . ($columns // 'state') . ' FROM bw_subscriptions'
		  . ' WHERE kept AND wanted AND home = (SELECT home FROM bw_identity)', $database);
}

# Requests that change something.
sub changes
{
	my ($since) = @_;

	return join ' ', map { $_->{method} }
	  grep { $_->{method} ne 'GET' } $sandbox->journal(class => 'SUBSCRIPTION', defined $since ? (since => $since) : ());
}

# Wait until the worker has looked at the list so many times more.
sub looks
{
	my ($count, $name) = @_;
	my $before = $sandbox->journal_count(class => 'SUBSCRIPTION', method => 'GET');

	return wait_until(sub { $sandbox->journal_count(class => 'SUBSCRIPTION', method => 'GET') >= $before + $count },
		$name // "it is looked at $count times");
}

sub one { my @all = $sandbox->subscriptions; return @all == 1 ? $all[0] : {}; }
sub problem { my ($database) = @_; return sql(q{SELECT detail FROM bw_check() WHERE "check" = 'subscription' AND NOT ok}, $database); }

# Forget how often others were at work.
sub forgive { return sql('UPDATE bw_subscription_work SET stranger_at = NULL'); }

# --- made ---
my $home = sql('SELECT left(home::text, 8) FROM bw_identity');
sql("ALTER SERVER bandwidth OPTIONS (ADD callback_url '$url')");
wait_until(sub { kept() eq 'ACTIVE' }, 'callback_url makes a subscription');
my $first = one();
is("$first->{url} $first->{order_type} $first->{account}", "$url orders 9900000", 'for orders, at that URL');
like($first->{username}, qr/^bandwidth-$home-\d+-[0-9a-f]{8}$/, 'its user name tells the database');
is(kept('bandwidth_subscription_id, username, subscribed_by = current_user'), "$first->{id}|$first->{username}|t",
	'it is recorded');
looks(3);
is(changes(), 'POST', 'and stays as it is');

# --- callbacks ---
sql("ALTER DATABASE postgres SET bandwidth.listen_port = $port");
wait_until(sub { IO::Socket::INET->new("127.0.0.1:$port") }, 'the database listens');
my $number = 9192600000;
my $id = order_id($node, ++$number);
wait_for_all($node);
wait_until(sub { one()->{status} =~ /^200/ }, 'a callback arrives');
wait_until(sub { (kept('bandwidth_status') // '') =~ /^200/ }, 'what Bandwidth says of it is read');
is(problem(), '', 'and is fine');

# --- others at work ---
# Does the subscription come back, by these requests?
sub recovers
{
	my ($name, $expected, %what) = @_;
	my $before = one();
	my ($last) = reverse $sandbox->journal;

	forgive();
	$sandbox->alter_subscriptions(%what);
	wait_until(sub { changes($last->{seq}) eq $expected && kept() eq 'ACTIVE' }, "$name: $expected");
	my $mine = (grep { $_->{url} eq $url } $sandbox->subscriptions)[0];
	is(kept('bandwidth_subscription_id, username'), "$mine->{id}|$mine->{username}", '... and is recorded');
	isnt($mine->{password}, $before->{password}, '... with fresh credentials') unless $expected eq 'DELETE';
	is(scalar(grep { $_->{url} eq $url && $_->{order_type} eq 'orders' } $sandbox->subscriptions), 1, '... and is the only one');
	looks(2);
	is(changes($last->{seq}), $expected, '... and then stays');
	return;
}

recovers('deleted', 'POST', removed => 1);
recovers('expired', 'POST', expiry => 0);
recovers('shortened', 'PUT', expiry => 1000);
recovers('another order type', 'PUT', order_type => 'disconnects');
recovers('another user', 'PUT', username => 'somebody', password => 'else');
recovers('doubled', 'DELETE', copy => 1);
recovers('another URL', 'POST', url => 'http://127.0.0.1:9/elsewhere');
is(scalar(grep { $_->{url} =~ /elsewhere/ } $sandbox->subscriptions), 1, "what is on a URL of others' is left alone");
$sandbox->alter_subscriptions(id => (grep { $_->{url} =~ /elsewhere/ } $sandbox->subscriptions)[0]{id}, removed => 1);
$id = order_id($node, ++$number);
wait_for_all($node);
wait_until(sub { one()->{status} =~ /^200/ }, 'callbacks arrive after all that');

# --- failures at Bandwidth ---
sub renewed_by_fault
{
	my ($name, $expected, %fault) = @_;
	my ($last) = reverse $sandbox->journal;

	forgive();
	$sandbox->fault(class => 'SUBSCRIPTION', count => 1, %fault);
	$sandbox->alter_subscriptions(removed => 1);
	wait_until(sub { changes($last->{seq}) eq $expected && kept() eq 'ACTIVE' }, "$name: $expected");
	is(kept('bandwidth_subscription_id, username'), join('|', @{ one() }{qw(id username)}), '... and is recorded');
	$sandbox->clear_faults;
	return;
}

renewed_by_fault('the reply to POST is lost', 'POST PUT', method => 'POST', kind => 'drop_reply');
renewed_by_fault('POST is not executed', 'POST POST', method => 'POST', kind => 'status', status => 503);

sub keys_in_use { return sql('SELECT count(*) FROM bw_callback_keys WHERE retire_at IS NULL'); }

# the worker is ended while it waits for the reply
sub ended_meanwhile
{
	my ($name, $expected, $method, $then) = @_;
	my ($last) = reverse $sandbox->journal;

	forgive();
	$sandbox->fault(class => 'SUBSCRIPTION', method => $method, kind => 'hang_after', count => 1);
	$then->();
	wait_until(sub { changes($last->{seq}) eq $method }, "$name: it was sent");
	sql('SELECT pg_terminate_backend(' . worker_pid($node) . ')');
	wait_until(sub { changes($last->{seq}) eq $expected && kept() eq 'ACTIVE' && $sandbox->subscriptions == 1 }, "$name: $expected");
	wait_until(sub { kept('bandwidth_subscription_id, username') eq join('|', @{ one() }{qw(id username)}) }, '... and is recorded');
	is(keys_in_use(), 1, '... with one pair of credentials that does not end');
	$sandbox->clear_faults;
	return;
}

ended_meanwhile('POST under way', 'POST PUT', 'POST', sub { $sandbox->alter_subscriptions(removed => 1) });
ended_meanwhile('PUT under way', 'PUT', 'PUT', sub { $sandbox->alter_subscriptions(expiry => 100) });
ended_meanwhile('DELETE under way', 'DELETE', 'DELETE', sub { $sandbox->alter_subscriptions(copy => 1) });

# the list denies that there is one: POST says 409
my $mine = one();
my ($seen) = reverse $sandbox->journal;
$sandbox->fault(class => 'SUBSCRIPTION', method => 'GET', kind => 'refuse', status => 404, code => '16000', count => 1);
wait_until(sub { changes($seen->{seq}) eq 'POST' && kept() eq 'ACTIVE' && kept('bandwidth_subscription_id') eq $mine->{id} },
	'subscribed already: it is found in the list');
is(one()->{password}, $mine->{password}, 'and is as it was');

# what goes by itself and what does not
$sandbox->fault(class => 'SUBSCRIPTION', method => 'GET', kind => 'status');
wait_until(sub { problem() eq 'it could not be looked after: HTTP status 500' }, 'bw_check tells of looks that fail');
$sandbox->clear_faults;
wait_until(sub { problem() eq '' }, 'and of the next one that does not');
($seen) = reverse $sandbox->journal;
$sandbox->fault(class => 'SUBSCRIPTION', method => 'GET', kind => 'malformed', count => 2);
wait_until(sub { $sandbox->journal_count(class => 'SUBSCRIPTION', method => 'GET', since => $seen->{seq}) >= 3 && kept('error_text') eq '' },
	'half a list comes');
is(changes($seen->{seq}), '', 'and nothing follows from it');

# --- callbacks that fail over there ---
$sandbox->alter_subscriptions(status => '503 busy');
wait_until(sub { problem() eq 'callbacks fail, Bandwidth says: 503 busy' }, 'bw_check tells of callbacks that fail');
is(sql('SELECT subscriptions FROM bw_stat_worker'), '{"bandwidth: failing: 503 busy"}', 'so does bw_stat_worker');
$sandbox->alter_subscriptions(status => '200 OK');
wait_until(sub { problem() eq '' }, 'and no more once they arrive');
is(sql('SELECT subscriptions FROM bw_stat_worker'), '{}', 'nor does bw_stat_worker');

# --- fresh credentials, while callbacks with the old ones are on their way ---
sub keys_of { return sql('SELECT count(*), count(retire_at) FROM bw_callback_keys'); }
sub last_status { my @all = grep { defined $_->{status} && $_->{status} } $sandbox->callbacks; return $all[-1]{status}; }

# Status of the reply to a callback with these credentials.
sub call
{
	my ($user, $password) = @_;
	my $socket = IO::Socket::INET->new("127.0.0.1:$port") or die "could not connect: $!";
	my $body = '<Notification><Status>COMPLETE</Status><OrderId>nobodys</OrderId><OrderType>orders</OrderType></Notification>';
	my $reply = '';

	syswrite($socket, "POST /bandwidth HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Basic "
		  . encode_base64("$user:$password", '') . "\r\nContent-Length: " . length($body) . "\r\n\r\n$body");
	while (IO::Select->new($socket)->can_read(20))
	{
		sysread($socket, $reply, 4096, length $reply) or last;
	}
	return $reply =~ m{^HTTP/1.1 (\d+)} ? $1 : "no reply: $reply";
}

sub rotate
{
	my $old = one();

	is(sql('SELECT bw_rotate_callback_credentials()'), 1, 'bw_rotate_callback_credentials');
	wait_until(sub { (one()->{password} // '') ne $old->{password} && keys_of() =~ /^(\d+)\|(\d+)$/ && $1 == $2 + 1 },
		'Bandwidth has fresh credentials');
	return ($old, one());
}

$id = order_id($node, ++$number);
wait_for_all($node);
wait_until(sub { keys_of() eq '1|0' }, 'one pair is left once it was used');
my ($old, $new) = rotate();
is($old->{id}, $new->{id}, 'the subscription is the same one');
is(call($old->{username}, $old->{password}), 200, 'the old ones are honoured');
is(call($old->{username}, $old->{password}), 200, 'again');
is(keys_of(), '2|1', 'until');
is(call($new->{username}, $new->{password}), 200, 'the new ones are used');
wait_until(sub { keys_of() eq '1|0' }, 'then they end');
is(call($old->{username}, $old->{password}), 401, 'and are refused');
is(call($new->{username}, $new->{password}), 200, 'while the new ones are honoured');

($old, $new) = rotate();
is(call($old->{username}, $old->{password}), 200, 'the old ones are honoured once more');
is(sql('SELECT count(*) FROM bw_callback_keys WHERE retire_at BETWEEN now() AND now() + interval \'1 h\''), 1, 'for an hour');
sql('UPDATE bw_callback_keys SET retire_at = now() WHERE retire_at IS NOT NULL');
wait_until(sub { keys_of() eq '1|0' }, 'which goes by');
wait_until(sub { call($old->{username}, $old->{password}) == 401 }, 'and they are refused');

# a callback that left with the old ones, and arrives after the new ones were made
$sandbox->fault(class => 'CALLBACK', kind => 'delay', delay_ms => $ENV{BW_VALGRIND} ? 60000 : 3000, count => 1);
$id = order_id($node, ++$number);
wait_for_all($node);
my $before = () = $sandbox->callbacks;
rotate();
wait_until(sub { my $now = () = $sandbox->callbacks; $now > $before }, 'a callback that is late arrives');
is(last_status(), 200, 'with the old credentials, and is taken');
$sandbox->clear_faults;

# those of the mapping
sql("ALTER USER MAPPING FOR CURRENT_USER SERVER bandwidth OPTIONS (ADD callback_username 'gateway', ADD callback_password 'word1')");
wait_until(sub { (one()->{password} // '') eq 'word1' }, 'credentials that the mapping gives are used');
is(one()->{username}, 'gateway', 'with their user name');
sql("ALTER USER MAPPING FOR CURRENT_USER SERVER bandwidth OPTIONS (SET callback_password 'word2')");
wait_until(sub { (one()->{password} // '') eq 'word2' }, 'others are noticed');
wait_until(sub { kept() eq 'ACTIVE' && kept('username') eq 'gateway' }, 'and recorded');
is(call('gateway', 'word2'), 200, 'and honoured');
sql('ALTER USER MAPPING FOR CURRENT_USER SERVER bandwidth OPTIONS (DROP callback_username, DROP callback_password)');
wait_until(sub { (one()->{username} // '') =~ /^bandwidth-$home-/ }, 'without them, some are made up again');

# --- bw_subscribe and bw_unsubscribe ---
is(sql("SELECT bw_subscribe('$url', number_format => 'E164') = id FROM bw_subscriptions WHERE kept AND wanted"), 't',
	'bw_subscribe with the same URL changes the one that is kept');
wait_until(sub { (one()->{number_format} // '') eq 'E164' }, 'at Bandwidth, too');
my (undef, undef, $error) = $node->psql('postgres', 'SELECT bw_unsubscribe(id) FROM bw_subscriptions WHERE kept AND wanted');
like($error, qr/is kept for its server.*DROP callback_url/s, 'bw_unsubscribe does not end it');
sql("SELECT bw_subscribe('$url/explicit')");
wait_until(sub { sql("SELECT state FROM bw_subscriptions WHERE NOT kept") eq 'ACTIVE' }, 'another URL is another subscription');
is(scalar(my @both = $sandbox->subscriptions), 2, 'beside the one that is kept');
sql('SELECT bw_unsubscribe(id) FROM bw_subscriptions WHERE NOT kept');
wait_until(sub { sql("SELECT state FROM bw_subscriptions WHERE NOT kept") eq 'REMOVED' }, 'which ends');
is(one()->{url}, $url, 'and the one that is kept does not');

# --- somebody who does not stop ---
my $warnings = sub { my @all = PostgreSQL::Test::Utils::slurp_file($node->logfile) =~ /WARNING:  subscription \d+ of server "\w+" is contested/g; return scalar @all; };
forgive();
$sandbox->alter_subscriptions(username => 'somebody');
wait_until(sub { one()->{username} ne 'somebody' && kept() eq 'ACTIVE' && sql('SELECT stranger_at IS NOT NULL FROM bw_subscription_work') eq 't' }, 'altered once: put right');
$sandbox->alter_subscriptions(username => 'somebody');
wait_until(sub { kept() eq 'CONTESTED' }, 'altered twice within the hour: contested');
is(one()->{username}, 'somebody', 'and left as it is');
like(problem(), qr/^somebody else keeps a subscription on \Q$url\E$/, 'bw_check says so');
like(sql('SELECT subscriptions FROM bw_stat_worker'), qr/bandwidth: contested: somebody else keeps/, 'so does bw_stat_worker');
is($warnings->(), 1, 'and the log, once');
($seen) = reverse $sandbox->journal;
$node->restart;
worker_pid($node);
id_after_restart();
is($sandbox->journal_count(class => 'SUBSCRIPTION', since => $seen->{seq}), 0, 'a restart changes nothing');
is(kept(), 'CONTESTED', 'it is contested still');
sql('SELECT bw_rotate_callback_credentials()');
wait_until(sub { kept() eq 'ACTIVE' && one()->{username} ne 'somebody' }, 'bw_rotate_callback_credentials begins anew');
forgive();
$sandbox->alter_subscriptions(username => 'somebody');
wait_until(sub { one()->{username} ne 'somebody' && sql('SELECT stranger_at IS NOT NULL FROM bw_subscription_work') eq 't' }, 'altered');
$sandbox->alter_subscriptions(username => 'somebody');
wait_until(sub { kept() eq 'CONTESTED' }, 'contested again');
sql("ALTER SERVER bandwidth OPTIONS (ADD connect_timeout '4')");
wait_until(sub { kept() eq 'ACTIVE' && one()->{username} ne 'somebody' }, 'ALTER SERVER begins anew, too');

# The worker does its orders: it has had its laps.
sub id_after_restart
{
	my $order = order_id($node, ++$number);

	wait_for_all($node);
	return $order;
}

# --- two databases with one callback_url ---
sub others_leave_it_alone
{
	my ($database, $name) = @_;
	my $mine = one();
	my ($last) = reverse $sandbox->journal;

	wait_until(sub { kept(undef, $database) eq 'CONTESTED' }, "$name: contested");
	is(kept('bandwidth_subscription_id IS NULL', $database), 't', '... and nothing is recorded');
	like(problem($database), qr/^somebody else keeps a subscription on/, '... bw_check says so');
	looks(3);
	is(changes($last->{seq}), '', '... nothing was changed');
	is_deeply({ %{ one() }, expiry => 0, status => '' }, { %$mine, expiry => 0, status => '' }, '... the subscription is as it was');
	is(kept(), 'ACTIVE', '... and active');
	return;
}

forgive();
sql('CREATE DATABASE second');
sql('CREATE EXTENSION bandwidth', 'second');
create_account($node, 'second', sandbox => $sandbox, server => { callback_url => $url });
others_leave_it_alone('second', 'another database with the same callback_url');
is($warnings->(), 3, 'one more warning');

# --- a restored dump ---
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'pg_dump');
my $text = PostgreSQL::Test::Utils::slurp_file($dump);
$text =~ s/^(?=COPY \S*bw_subscriptions )/SELECT pg_sleep(3);\n/m or die 'no subscriptions in the dump';
PostgreSQL::Test::Utils::append_to_file("$dump.slow", $text);
sql('CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$dump.slow", $node->connstr('restored') ], 'restore, during which the worker comes');
others_leave_it_alone('restored', 'a restored copy');
sql('DROP DATABASE restored');
sql('DROP DATABASE second');

# --- a copy by template: fenced ---
$node->poll_query_until('template1', 'SELECT true');
sql('CREATE DATABASE copy TEMPLATE postgres', 'template1');
worker_pid($node);
wait_until(sub { $node->log_contains('this database is a copy') }, 'the worker of a copy is fenced');
($seen) = reverse $sandbox->journal;
(undef, undef, $error) = $node->psql('copy', 'SELECT bw_rotate_callback_credentials()');
like($error, qr/copy of the one/, 'and so is bw_rotate_callback_credentials');
sql('ALTER SERVER bandwidth OPTIONS (DROP callback_url)', 'copy');
sql('UPDATE bw_subscription_work SET rotate = true, due_at = now()', 'copy');
looks(3);
is(changes($seen->{seq}), '', 'it changes nothing');
is(sql('SELECT wanted, state FROM bw_subscriptions WHERE kept', 'copy'), 't|ACTIVE', 'not even in its tables');
sql('DROP DATABASE copy');

# --- two servers of one database with one callback_url ---
($seen) = reverse $sandbox->journal;
create_account($node, 'postgres', sandbox => $sandbox, name => 'twin', server => { callback_url => $url });
wait_until(sub { sql(q{SELECT state FROM bw_subscriptions WHERE server = 'twin'}) eq 'CONTESTED' }, 'two servers with one callback_url');
is(changes($seen->{seq}), '', 'do not fight');
is(sql(q{SELECT state FROM bw_subscriptions WHERE server = 'bandwidth' AND wanted}), 'ACTIVE', 'the first one has it');
sql('DROP SERVER twin CASCADE');
wait_until(sub { sql(q{SELECT state FROM bw_subscriptions WHERE server = 'twin'}) eq 'REMOVED' }, 'the other one goes');

# --- the option goes, comes, and goes ---
sql("ALTER SERVER bandwidth OPTIONS (SET callback_url '$url/other')");
sql("ALTER SERVER bandwidth OPTIONS (SET callback_url '$url')");
sql("ALTER SERVER bandwidth OPTIONS (SET callback_url '$url/other')");
sql("ALTER SERVER bandwidth OPTIONS (SET callback_url '$url')");
wait_until(sub { sql(q{SELECT count(*) FROM bw_subscription_work WHERE due_at < now()}) eq '0' && kept() eq 'ACTIVE' && (one()->{url} // '') eq $url
	&& sql(q{SELECT bool_and(state IN ('ACTIVE', 'REMOVED')) FROM bw_subscriptions}) eq 't' },
	'there and back again');
is(one()->{id}, kept('bandwidth_subscription_id'), 'one is left');
sql("ALTER SERVER bandwidth OPTIONS (SET callback_url '$url/other')");
wait_until(sub { (one()->{url} // '') eq "$url/other" && kept() eq 'ACTIVE' }, 'another callback_url moves it');
sql('ALTER SERVER bandwidth OPTIONS (DROP callback_url)');
wait_until(sub { !$sandbox->subscriptions }, 'without callback_url it is removed');
wait_until(sub { sql(q{SELECT string_agg(DISTINCT state, ',') FROM bw_subscriptions}) eq 'REMOVED' }, 'and recorded as such');
is(sql('SELECT count(*) FROM bw_callback_keys'), 0, 'its credentials are forgotten');

# --- the owner, and the end of the server ---
sql("ALTER SERVER bandwidth OPTIONS (ADD callback_url '$url')");
wait_until(sub { kept() eq 'ACTIVE' }, 'it comes back with the option');
sql('CREATE ROLE keeper; GRANT keeper TO CURRENT_USER; GRANT USAGE ON FOREIGN DATA WRAPPER bandwidth TO keeper;'
	  . q{ CREATE USER MAPPING FOR keeper SERVER bandwidth OPTIONS (client_id 'k', client_secret 's');}
	  . ' ALTER SERVER bandwidth OWNER TO keeper');
wait_until(sub { kept('subscribed_by') eq 'keeper' }, "it belongs to the server's owner");
sql('DROP USER MAPPING FOR keeper SERVER bandwidth');
sql('SELECT bw_rotate_callback_credentials()');
wait_until(sub { kept('error_text') =~ /^user mapping not found for role "keeper"/ }, 'whose mapping is missed');
sql(q{CREATE USER MAPPING FOR keeper SERVER bandwidth OPTIONS (client_id 'k', client_secret 's')});
wait_until(sub { kept('error_text') eq '' }, 'until it is there');
# The worker may come just in time to remove it.
sql('DROP SERVER bandwidth CASCADE');
wait_until(sub { sql('SELECT state FROM bw_subscriptions ORDER BY id DESC LIMIT 1') eq 'REMOVED' }, 'it ends with DROP SERVER');
is(sql(q{SELECT COALESCE(error_text, '') FROM bw_subscriptions ORDER BY id DESC LIMIT 1}) =~ /^it was left at Bandwidth/ ? 1 : 0,
	scalar(my @left = $sandbox->subscriptions), 'and says so if it was left there');

$node->stop;
my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
like($log, qr/LOG:  subscription \d+ of server "bandwidth" was made\n/, 'the log tells what was made');
like($log, qr/was replaced\n.*DETAIL:  Somebody had altered it\./, 'what was put right, and why');
like($log, qr/was there twice/, 'what was too many');
my @failing = $log =~ /WARNING:  callbacks of subscription \d+ of server "bandwidth" fail\n.*DETAIL:  Bandwidth says: 503 busy\./g;
is(scalar @failing, 1, 'callbacks that fail, once');
unlike(join("\n", grep { !/statement:/ } split(/\n/, $log)), qr/$new->{password}|word[12]/, 'and no secret');

done_testing();
