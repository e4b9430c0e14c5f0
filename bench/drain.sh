# shellcheck shell=bash disable=SC2154,SC2034 # variables of run and lib.sh
#
# drain.sh: how fast does a full queue become empty?
#
# Orders with names of their own, so that none can share a request, all queued
# before the clock starts; 16 calls under way at most, no limit on calls.  Each
# order is committed as being sent before its POST, and the reply afterwards: the
# time ends when the last order is RECEIVED.  None may be lost, none sent twice.
# The peer is a queue table with a sender in Node.js that promises as much.

drain_orders=$(quick_or 2000 10000)

prepare_drain()
{
	fresh_database "$1" "$stand_in_url" "${unlimited[@]}"
}

# Each POST once: what the stand-in has seen.
expect_posts()
{
	expect "$1: POSTs" "$(stand_in_log GET | wc -l)" "$drain_orders"
	expect "$1: distinct POSTs" "$(stand_in_log GET | cut -d ' ' -f 2 | sort -u | wc -l)" "$drain_orders"
}

# drain_round DATABASE PREFIX
drain_round()
{
	local began ended first worker cpu

	sql -d "$1" -c 'SELECT bw_pause()' >/dev/null
	first=$(sql -d "$1" -c 'SELECT COALESCE(max(id), 0) FROM bw_orders')
	sql -d "$1" -o /dev/null -c "SELECT count(*) FROM generate_series(1, $drain_orders) AS g,
		bw_order(ARRAY[nextval('number')::text], name => 'bench ' || g)"
	stand_in_log DELETE
	checkpoint
	worker=$(worker_pid "$1")
	cpu=$(cpu_us "$worker")
	began=$(now_us)
	sql -d "$1" -c 'SELECT bw_resume()' >/dev/null
	wait_until 300 "SELECT NOT EXISTS (SELECT FROM bw_queue) AND NOT EXISTS
		(SELECT FROM bw_open_requests WHERE step = 'sent')" -d "$1"
	note "$2drain_cpu" $((($(cpu_us "$worker") - cpu) / drain_orders))
	ended=$(sql -d "$1" -c "SELECT (extract(epoch FROM max(received_at)) * 1e6)::bigint FROM bw_orders WHERE id > $first")
	note "$2drain" $((drain_orders * 1000000 / (ended - began)))
	expect_posts "$2drain"
	expect "$2drain: received" \
		"$(sql -d "$1" -c "SELECT count(*) FROM bw_orders WHERE status = 'RECEIVED' AND id > $first")" "$drain_orders"
	sql -d "$1" -c 'DELETE FROM bw_open_requests' -c 'VACUUM bw_queue, bw_open_requests'
}

drain_peer_round()
{
	local began ended

	peer_database drain_peer
	sql -d drain_peer -f "$top/bench/queue.sql" -c 'CREATE SEQUENCE number START 9192000000'
	sql -d drain_peer -o /dev/null -c "SELECT count(enqueue(nextval('number')::text, 'bench ' || g))
		FROM generate_series(1, $drain_orders) AS g"
	stand_in_log DELETE
	checkpoint
	began=$(now_us)
	start_node drain_peer sender.js "$stand_in_url/api/accounts/9900000/orders"
	wait_until 300 'SELECT NOT EXISTS (SELECT FROM queue)' -d drain_peer
	ended=$(sql -d drain_peer -c 'SELECT (extract(epoch FROM max(received_at)) * 1e6)::bigint FROM orders')
	note queue_drain $((drain_orders * 1000000 / (ended - began)))
	stop_node
	expect_posts 'queue table'
}

measure_drain()
{
	local round

	prepare_drain drain
	setting bandwidth.poll_schedule 86400
	for ((round = 0; round < rounds; round++)); do
		drain_round drain ''
		[[ -z "$node" ]] || drain_peer_round
	done
	setting bandwidth.poll_schedule
	drop_database drain
	drop_database drain_peer
	figure drain per_s queue_table_and_Node.js queue_drain 'value >= 8000'
	figure drain_cpu us - - none
}
