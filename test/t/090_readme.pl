# The README's cookbook runs as pasted.
use strict;
use warnings;

use BwTest;
use Test::More;

my $sandbox = start_sandbox();
my $node    = bw_node('main', sandbox => $sandbox,
	conf => [ "bandwidth.coalesce_delay = '100ms'" ]);

open(my $file, '<', "$ENV{BW_FILES}/README.md") or die "could not open README.md: $!";
my $readme = do { local $/; <$file> };
my ($cookbook) = $readme =~ /^## Cookbook\n(.*?)^## /ms;
my @blocks = $cookbook =~ /^```sql\n(.*?)^```/msg;

cmp_ok(scalar @blocks, '>=', 10, 'there are recipes');
my $shown = '';
foreach my $block (@blocks)
{
	my ($title) = $block =~ /^(.{1,60})/;
	my ($status, $out, $err) = $node->psql('postgres', $block, on_error_stop => 1);

	is("$status $err", '0 ', "runs: $title");
	$shown .= "$out\n";
}
like($shown, qr/^Ada\|COMPLETE$/m, 'what it shows has ended');
like($shown, qr/^Grace\|919\d{7}\|COMPLETE\|$/m, 'and is in its row');
unlike($shown, qr/\|pending\|/, 'not only about to be');
wait_for_all($node);
is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT kind || ' ' || status, ', ') FROM bw_orders"),
	'disconnect CANCELLED, order COMPLETE', 'and every order completed, and the disconnect was taken back');

# What the README says of options, settings and functions is there.
my %known = map { $_ => 1 } split(/\n/, $node->safe_psql('postgres',
	"SELECT proname FROM pg_proc WHERE proname ~ '^bw_'"));
my %named = map { $_ => 1 } $readme =~ /`(bw_\w+)\(/g;
is(join(' ', sort grep { !$known{$_} } keys %named), '', 'every function that is named exists');
foreach my $setting ($readme =~ /`(bandwidth\.\w+)`/g)
{
	next if $node->safe_psql('postgres', "SELECT current_setting('$setting', true) IS NOT NULL") eq 't';
	fail("setting $setting exists");
}
my ($accepted) = ($node->psql('postgres', "ALTER SERVER bandwidth OPTIONS (ADD nonsense '1')"))[2] =~ /HINT:\s+(.*)/;
foreach my $option ($accepted =~ /(\w+_\w+)/g)
{
	like($readme, qr/`$option`/, "option $option is described");
}

$node->stop;
done_testing();
