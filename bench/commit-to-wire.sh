# shellcheck shell=bash disable=SC2154,SC2034 # variables of run and lib.sh
#
# commit-to-wire.sh: how long from COMMIT until the POST stands at the server?
#
# Idle: one order every 20 ms.  Loaded: 100 a second from four sessions.  Each
# order has a name of its own, so that none can share a request.  It begins when
# the client has COMMIT's answer (pgbench's log), and ends when the stand-in has
# the whole POST; all clocks are this machine's.  Before that POST leaves, the
# worker commits once.  The peer is a queue table with a sender in Node.js.

# prepare_wire DATABASE
prepare_wire()
{
	fresh_database "$1" "$stand_in_url" "${unlimited[@]}" "max_in_flight '64'"
	prepare_wire_tables "$1"
}

prepare_wire_tables()
{
	sql -d "$1" -c 'CREATE TABLE IF NOT EXISTS answers (name text, n int, at_us bigint)' \
		-c 'CREATE TABLE IF NOT EXISTS posts (at_us bigint, customer_order_id text)'
	cat >"$work/tmp/wire.sql" <<-'END'
	SELECT FROM bw_order(ARRAY[nextval('number')::text], name => 'c' || :client_id);
	END
	cat >"$work/tmp/wire_peer.sql" <<-'END'
	SELECT enqueue(nextval('number')::text, 'c' || :client_id);
	END
}

prepare_wire_peer()
{
	peer_database wire_peer
	sql -d wire_peer -f "$top/bench/queue.sql" -c 'CREATE SEQUENCE number START 9192000000'
	prepare_wire_tables wire_peer
}

# Orders since the last time: which client's, and their ids at Bandwidth.
wire_orders()
{
	if [[ "$1" == wire_peer ]]; then
		echo 'SELECT order_id, name, customer_order_id FROM sent'
	else
		echo 'SELECT o.id AS order_id, o.name, r.customer_order_id
			FROM posts AS p JOIN bw_requests AS r USING (customer_order_id)
			JOIN bw_orders AS o ON o.request_id = r.id'
	fi
}

# wire_load DATABASE SCRIPT CLIENTS RATE
wire_load()
{
	rm -f "$work/tmp/wire.log".*
	stand_in_log DELETE
	"$bin/pgbench" -n -M prepared -f "$2" -c "$3" -j "$3" -R "$4" -l --log-prefix="$work/tmp/wire.log" \
		-T "$seconds" "$1" >"$work/tmp/pgbench.out" 2>&1 || cat "$work/tmp/pgbench.out"
	sleep 0.2
	# client, transaction, latency, script, seconds, microseconds, lag
	sql -d "$1" -c 'TRUNCATE answers, posts'
	cat "$work/tmp/wire.log".* | awk '{printf "c%s %d %d%06d\n", $1, $2, $5, $6}' |
		sql -d "$1" -c "COPY answers FROM stdin (DELIMITER ' ')"
	stand_in_log GET | sql -d "$1" -c "COPY posts FROM stdin (DELIMITER ' ')"
	sql -d "$1" -c 'ANALYZE posts'
}

# wire_round DATABASE PREFIX SCRIPT
wire_round()
{
	local part clients rate percentile ms

	while read -r part clients rate; do
		wire_load "$1" "$3" "$clients" "$rate"
		while read -r percentile ms; do
			note "$2commit_to_wire_${part}_$percentile" "$ms"
		done <<<"$(wire_times "$1")"
		[[ "$1" != wire_peer ]] || sql -d wire_peer -c 'TRUNCATE sent'
	done <<-END
	idle 1 50
	loaded 4 100
	END
}

wire_times()
{
	sql -d "$1" -F ' ' <<-END
	WITH o AS (
	    SELECT name, customer_order_id, row_number() OVER (PARTITION BY name ORDER BY order_id) AS n
	      FROM ($(wire_orders "$1")) AS o),
	d AS (
	    SELECT (p.at_us - a.at_us) / 1000.0 AS ms
	      FROM o JOIN answers AS a USING (name, n) JOIN posts AS p USING (customer_order_id))
	SELECT 'p' || (q * 100)::int, round(percentile_cont(q) WITHIN GROUP (ORDER BY ms)::numeric, 3)
	  FROM d, (VALUES (0.5), (0.99)) AS v(q) GROUP BY q ORDER BY q;
	END
}

wire_peer_round()
{
	start_node wire_peer sender.js "$stand_in_url/api/accounts/9900000/orders"
	wire_round wire_peer queue_ "$work/tmp/wire_peer.sql"
	stop_node
}

measure_commit_to_wire()
{
	local round part

	prepare_wire wire
	setting bandwidth.poll_schedule 86400
	[[ -z "$node" ]] || prepare_wire_peer
	# the first call brings a token and opens a connection
	"$bin/pgbench" -n -f "$work/tmp/wire.sql" -c 4 -R 100 -T 1 wire >/dev/null 2>&1
	for ((round = 0; round < rounds; round++)); do
		wire_round wire '' "$work/tmp/wire.sql"
		[[ -z "$node" ]] || wire_peer_round
	done
	setting bandwidth.poll_schedule
	drop_database wire
	drop_database wire_peer
	for part in idle loaded; do
		figure "commit_to_wire_${part}_p50" ms queue_table_and_Node.js "queue_commit_to_wire_${part}_p50" 'value <= 0.5'
		figure "commit_to_wire_${part}_p99" ms queue_table_and_Node.js "queue_commit_to_wire_${part}_p99" 'value <= 5'
	done
}
