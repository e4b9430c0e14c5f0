# Who may ask, where, and in which encoding.

use strict;
use warnings;

use BwTest;
use FindBin;
use IO::Uncompress::Gunzip qw(gunzip);
use JSON::PP;
use MIME::Base64;
use Test::More;

use lib "$FindBin::RealBin/lib";
use SandboxTest;

my $sandbox = start_sandbox(
	username => 'user', password => 'pass', 'client-id' => 'id', 'client-secret' => 'secret',
	account => '9900000');

sub basic { my $both = encode_base64(join(':', @_), ''); return { Authorization => "Basic $both" }; }

sub token
{
	my ($headers, $form) = @_;

	return api($sandbox, 'POST', '/api/v1/oauth2/token',
		headers => { %$headers, 'Content-Type' => 'application/x-www-form-urlencoded' },
		body    => $form // 'grant_type=client_credentials');
}

sub sites { return api($sandbox, 'GET', 'sites', headers => $_[0])->{status}; }

# HTTP Basic
is(sites(basic('user', 'pass')),       200, 'user and password');
is(sites(basic('user', 'wrong')),      401, 'wrong password');
is(sites(basic('id', 'secret')),       401, 'client credentials are not those of a user');
is(sites({ Authorization => undef }), 401, 'nothing');

# tokens
is(token(basic('id', 'wrong'))->{status}, 401, 'wrong secret');
is(token(basic('id', 'secret'), 'grant_type=password')->{status}, 400, 'another grant');
my $token = decode_json(token(basic('id', 'secret'))->{content});
is($token->{token_type}, 'Bearer', 'type of a token');
is($token->{expires_in}, 3600, 'life of a token');
is(sites({ Authorization => "Bearer $token->{access_token}" }), 200, 'token');
is(sites({ Authorization => 'Bearer nonsense' }), 401, 'not a token');
$sandbox->config(token_expires_in => 0);
$token = decode_json(token(basic('id', 'secret'))->{content});
is(sites({ Authorization => "Bearer $token->{access_token}" }), 401, 'expired token');
is((grep { $_->{class} eq 'TOKEN' && $_->{body} ne '' } $sandbox->journal),
	0, 'the journal holds no body of a token request');

# places
my $user = basic('user', 'pass');
foreach my $prefix ('/api', '/api/v1', '/v1.0', '/api/v1.0')
{
	is(api($sandbox, 'GET', "$prefix/accounts/9900000/sites", headers => $user)->{status},
		200, "below $prefix");
}
is(api($sandbox, 'GET', '/accounts/9900000/sites', headers => $user)->{status}, 404, 'elsewhere');
is(api($sandbox, 'GET', '/api/', headers => { Authorization => undef })->{status},
	200, 'the base needs no credentials');
is(codes(api($sandbox, 'GET', '/api/accounts/1/orders', headers => $user)),
	'404 5000', 'another account');
is(api($sandbox, 'GET', 'nothing', headers => $user)->{status}, 404, 'no such resource');

# compression
sub search
{
	my ($quantity, $accept) = @_;

	return api($sandbox, 'GET', "availableNumbers?areaCode=919&quantity=$quantity",
		headers => { %$user, 'Accept-Encoding' => $accept });
}

my $packed = search(500, 'deflate, gzip;q=0.5');
is($packed->{headers}{'content-encoding'}, 'gzip', 'a long reply is compressed');
gunzip(\$packed->{content} => \my $text);
is($text, search(500, 'identity')->{content}, '... and says the same');
is(search(1, 'gzip')->{headers}{'content-encoding'}, undef, 'a short one is not');
is(search(500, 'gzip;q=0')->{headers}{'content-encoding'}, undef, 'nor one for who refuses it');
$sandbox->config(gzip => 'off');
is(search(500, 'gzip')->{headers}{'content-encoding'}, undef, 'nor any if it is off');

done_testing();
