# shellcheck shell=bash disable=SC2154,SC2034 # variables of run and lib.sh
#
# history.sh: is it as fast when millions of orders have been closed?
#
# The same rounds as of the other families, by turns in a database with
# BENCH_HISTORY (10 million; with --quick 20,000) closed orders and in an empty
# one.  Each closed order has a request of its own, a number and two events.

history_orders=${BENCH_HISTORY:-$(quick_or 20000 10000000)}
history_batch=250000
account=9900000

# Their definitions come back when the rows are there: sorted is faster.
drop_indexes()
{
	sql -d history -o "$work/tmp/indexes.sql" -c "SELECT indexdef || ';' FROM pg_indexes
		WHERE indexname IN ('bw_requests_customer_order_id_key', 'bw_requests_bandwidth_order_id_idx',
		                    'bw_order_events_order_id_idx')"
	sql -d history -c 'DROP INDEX bw_requests_customer_order_id_key, bw_requests_bandwidth_order_id_idx,
		bw_order_events_order_id_idx'
}

# closed_orders FROM TO
closed_orders()
{
	sql -d history -v first="$1" -v last="$2" <<-'END'
	SET synchronous_commit = off;
	SET session_replication_role = replica;
	INSERT INTO bw_orders (id, home, kind, server, account_id, ordered_by, status, quantity, site_id,
	       partial_allowed, back_order_requested, request_id, bandwidth_order_id, bandwidth_status,
	       completed_quantity, failed_quantity, message, created_at, sent_at, received_at, closed_at)
	OVERRIDING SYSTEM VALUE
	SELECT g, home, 'order', 'bandwidth', '9900000', current_user, 'COMPLETE', 1, '743', false, false, g,
	       md5(g::text), 'COMPLETE', 1, 0, 'Created a new number order for 1 number from WASHINGTON, VA',
	       t, t, t, t
	  FROM generate_series(:first, :last) AS g, bw_identity,
	       LATERAL (SELECT now() - interval '1 year' + g * interval '1 second' AS t) AS t;
	INSERT INTO bw_order_numbers (order_id, telephone_number, status)
	SELECT g, 1000000000 + g, 'COMPLETE' FROM generate_series(:first, :last) AS g;
	INSERT INTO bw_order_events (order_id, status, source, at)
	SELECT g, s.status, s.source, now() FROM generate_series(:first, :last) AS g,
	       (VALUES ('RECEIVED', 'reply'), ('COMPLETE', 'callback')) AS s(status, source);
	INSERT INTO bw_requests (id, home, kind, server, account_id, ordered_by, customer_order_id, members,
	       quantity, state, attempts, bandwidth_order_id, created_at, first_sent_at, last_sent_at, closed_at)
	OVERRIDING SYSTEM VALUE
	SELECT g, home, 'explicit', 'bandwidth', '9900000', current_user, gen_random_uuid(), ARRAY[g], 1, 'closed',
	       1, md5(g::text), now(), now(), now(), now()
	  FROM generate_series(:first, :last) AS g, bw_identity;
	END
}

fill_history()
{
	local first last

	drop_indexes
	for ((first = 1; first <= history_orders; first += history_batch)); do
		last=$((first + history_batch - 1))
		closed_orders "$first" $((last < history_orders ? last : history_orders))
	done
	sql -d history -c "SET maintenance_work_mem = '1GB'" -f "$work/tmp/indexes.sql"
	sql -d history -c "SELECT setval(pg_get_serial_sequence('bw_orders', 'id'), $history_orders),
		setval(pg_get_serial_sequence('bw_requests', 'id'), $history_orders)"
	sql -d history -c 'VACUUM ANALYZE'
}

prepare_history()
{
	local database

	for database in history empty; do
		prepare_callbacks "$database"
		prepare_wire_tables "$database"
		prepare_coalesced_tables "$database"
	done
	# what is lost when the machine fails now is made anew
	setting fsync off
	step "closing $history_orders orders" fill_history
	checkpoint
	setting fsync on
	checkpoint
}

# Which side the server option base_url names.
turn_to()
{
	local database

	for database in history empty; do
		sql -d "$database" -c "ALTER SERVER bandwidth OPTIONS (SET base_url '$1/api',
			SET token_url '$1/api/v1/oauth2/token')"
	done
}

history_round()
{
	local database prefix

	for database in history empty; do
		prefix=${database}_
		checkpoint
		enqueue_round "$database" "$prefix"
		callbacks_run "$database" "${prefix}callbacks" 64
		callbacks_run "$database" "${prefix}callback_latency" 1
		drain_round "$database" "$prefix"
		wire_round "$database" "$prefix" "$work/tmp/wire.sql"
		sql -d "$database" -c 'DELETE FROM bw_open_requests'
	done
	setting bandwidth.poll_schedule
	turn_to "$BW_SANDBOX_URL"
	for database in history empty; do
		account=$((account + 1))
		serve "$database" "$account" 100 800
		coalesced_round "$database" "${database}_"
		serve "$database" 9900000 10000000 10000000
	done
	turn_to "$stand_in_url"
	setting bandwidth.poll_schedule 86400
}

# serve DATABASE ACCOUNT PER_MINUTE BURST: calls count under the limits of their
# account, whatever these were when they were made, so who has made many needs
# another account to begin anew.
serve()
{
	sql -d "$1" -c "ALTER SERVER bandwidth OPTIONS (SET account_id '$2',
		SET requests_per_minute '$3', SET burst '$4')"
}

measure_history()
{
	local round part

	prepare_history
	prepare_enqueue_scripts
	script/sandbox-control POST config callbacks=off
	setting bandwidth.poll_schedule 86400
	turn_to "$stand_in_url"
	for ((round = 0; round < (rounds + 1) / 2; round++)); do
		history_round
	done
	setting bandwidth.poll_schedule
	drop_database history
	drop_database empty
	echo "history: $history_orders closed orders"
	for part in enqueue_1 enqueue_8 enqueue_bulk drain callbacks; do
		figure "history_$part" per_s empty_tables "empty_$part" 'ratio >= 0.87'
	done
	for part in callback_latency_p50 commit_to_wire_idle_p50 commit_to_wire_loaded_p50; do
		figure "history_$part" ms empty_tables "empty_$part" 'ratio <= 1.15'
	done
	figure history_coalesced s empty_tables empty_coalesced 'ratio <= 1.15'
}
