# shellcheck shell=bash disable=SC2154,SC2034 # variables of run and lib.sh
#
# coalesced.sh: how long, and how many POSTs, until many rows have their numbers?
#
# One-row INSERTs into a table whose trigger orders the row's own number, against
# the sandbox, which enforces Bandwidth's published limit: 100 requests a minute,
# 800 in a burst, and takes 300 ms for an order.  The peer is arithmetic: a
# request for each order under the same limit.

coalesced_orders=$(quick_or 1000 5000)

prepare_coalesced()
{
	fresh_database "$1" "$BW_SANDBOX_URL"
	prepare_coalesced_tables "$1"
}

prepare_coalesced_tables()
{
	sql -d "$1" <<-'SQL'
	CREATE TABLE lines (telephone_number text PRIMARY KEY, order_id bigint);
	CREATE FUNCTION order_line() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
	    SELECT id INTO NEW.order_id FROM bw_order(ARRAY[NEW.telephone_number]);
	    RETURN NEW;
	END $$;
	CREATE TRIGGER order_line BEFORE INSERT ON lines FOR EACH ROW EXECUTE FUNCTION order_line();
	CREATE SEQUENCE line START 9842000000;
	SQL
	echo "INSERT INTO lines SELECT nextval('line');" >"$work/tmp/line.sql"
}

# coalesced_round DATABASE PREFIX
coalesced_round()
{
	local began

	script/sandbox-control reset
	script/sandbox-control config enforce_limits=on per_minute=100 burst=800 open_inventory=on
	sql -d "$1" -c 'TRUNCATE lines'
	began=$(now_us)
	"$bin/pgbench" -n -M prepared -f "$work/tmp/line.sql" -c 4 -j 2 -t $((coalesced_orders / 4)) "$1" \
		>"$work/tmp/pgbench.out" 2>&1 || cat "$work/tmp/pgbench.out"
	wait_until 120 'SELECT NOT EXISTS (SELECT FROM bw_queue) AND NOT EXISTS (SELECT FROM bw_open_requests)' -d "$1"
	note "$2coalesced" "$(awk -v us=$(($(now_us) - began)) 'BEGIN {printf "%.2f", us / 1e6}')"
	note "$2coalesced_posts" "$(script/sandbox-control GET journal/count class=ORDER method=POST)"
	expect "$2coalesced: complete" "$(sql -d "$1" -c "SELECT count(*) FROM lines AS l
		JOIN bw_orders AS o ON o.id = l.order_id WHERE o.status = 'COMPLETE'")" "$coalesced_orders"
	expect "$2coalesced: refused" "$(script/sandbox-control GET journal/count status=429)" 0
	script/sandbox-control reset
}

measure_coalesced()
{
	local round

	prepare_coalesced coalesced
	for ((round = 0; round < rounds; round++)); do
		checkpoint
		coalesced_round coalesced ''
	done
	drop_database coalesced
	note one_request_each "$((coalesced_orders > 800 ? (coalesced_orders - 800) * 60 / 100 : 0))"
	note one_request_each_posts "$coalesced_orders"
	figure coalesced s one_request_each one_request_each 'value <= 10'
	figure coalesced_posts POSTs one_request_each one_request_each_posts 'value <= 20'
}
