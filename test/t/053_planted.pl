# Functions that somebody else created in the extension's schema, and that fit our
# statements better than PostgreSQL's own: nobody of us may call them.
use strict;
use warnings;

use BwTest;
use Test::More;

my $sandbox = start_sandbox('order-delay' => 50);
my $node = bw_node('main', sandbox => $sandbox, conf => ["bandwidth.poll_schedule = '0.1,0.2,0.5'"]);

sub sql { return $node->safe_psql('postgres', $_[0]); }

# As in databases that come from PostgreSQL 14 or before.
sql("GRANT CREATE ON SCHEMA public TO PUBLIC; CREATE ROLE stranger LOGIN");
my @planted = (
	'unnest(bigint[]) RETURNS SETOF bigint',
	'unnest(text[]) RETURNS SETOF text',
	'unnest(smallint[]) RETURNS SETOF smallint',
	'cardinality(bigint[]) RETURNS integer',
	'cardinality(text[]) RETURNS integer',
	'format(text, text) RETURNS text',
	'format(text, bigint) RETURNS text',
	'concat_ws(text, text, text, text) RETURNS text',
	'concat_ws(text, text, bigint, text) RETURNS text',
	'nextval(text) RETURNS bigint',
	'left(name, integer) RETURNS text',
	'pg_has_role(oid, oid, name) RETURNS boolean');
sql('SET ROLE stranger;' . join('', map { <<"END" } @planted));
CREATE FUNCTION public.$_ LANGUAGE plpgsql AS \$\$ BEGIN RAISE EXCEPTION 'planted'; END \$\$;
END
sql('SET ROLE stranger;' . join('', map { <<"END" } qw(min max count)));
CREATE FUNCTION public.planted_$_(bigint, bigint) RETURNS bigint LANGUAGE plpgsql AS \$\$ BEGIN RAISE EXCEPTION 'planted'; END \$\$;
CREATE AGGREGATE public.$_(bigint) (SFUNC = public.planted_$_, STYPE = bigint, INITCOND = '0');
END

my @orders = map { order_id($node, 9192300000 + $_) } 1 .. 3;
push @orders, order_id($node, 9192300010, "name => 'its own request', attempts => 2, idempotency_key => 'once'");
push @orders, sql("SELECT id FROM bw_order_search(npanxx => '919231', quantity => 2)");
wait_for_all($node);
is(sql('SELECT string_agg(DISTINCT status, \',\') FROM bw_orders WHERE id IN (' . join(',', @orders) . ')'),
	'COMPLETE', 'orders are carried out');

sql('SELECT bw_pause()');
my $id = order_id($node, 9192300020);
like(sql("SELECT waiting_for FROM bw_open_orders WHERE id = $id"), qr/pause/, 'it can be asked what an order waits for');
is(sql("SELECT bw_cancel($id)"), 't', 'and it is cancelled');
sql('SELECT bw_resume()');
$id = sql("SELECT DISTINCT id FROM bw_retry($id)");
wait_for_status($node, $id, 'COMPLETE');

sql(<<'END');
CREATE TABLE customers (id bigint PRIMARY KEY, phone text);
CREATE TRIGGER give AFTER INSERT ON customers FOR EACH ROW EXECUTE FUNCTION bw_provision('number_column', 'phone', 'npanxx', '919232');
INSERT INTO customers VALUES (1), (2);
END
wait_until(sub { sql('SELECT count(phone) FROM customers') eq '2' }, 'rows have their numbers');
is(sql('SELECT count(DISTINCT phone) FROM customers'), 2, 'rows get their numbers');

is(sql('SELECT state FROM bw_stat_worker'), 'running', 'the worker can be watched');
sql('CALL bw_prune(now())');
is(sql('SELECT count(*) FROM bw_orders'), 0, 'and closed orders pruned');
my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
unlike($log, qr/^.*ERROR:  planted/m, 'none of the planted functions was called');

done_testing();
