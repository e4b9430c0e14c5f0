# shellcheck shell=bash disable=SC2154,SC2034 # variables of run and lib.sh
#
# callbacks.sh: how many callbacks a second are received, each durable before its
# answer?
#
# Each callback comes with credentials and completes an order of its own, over
# 64 kept-alive connections, plain (callbacks) and with TLS (callbacks_tls), and
# over one, plain (callback_latency).  The peers are receivers in Node.js that do
# as much (bench/node/receiver.js), on the same server; the better one counts.
# The client, the receiver and PostgreSQL share the machine.

# Calls of one run, by the number of connections.
declare -A callback_calls=([1]=$(quick_or 500 3000) [64]=$(quick_or 3000 15000))

prepare_callbacks()
{
	listen_ports[$1]=$(free_port)
	fresh_database "$1" "$BW_SANDBOX_URL" "${unlimited[@]}"
	subscribe "$1"
}

# The worker may be up before its port is known: it restarts for ALTER DATABASE.
subscribe()
{
	sql -d "$1" -o /dev/null -c "SELECT bw_subscribe('http://127.0.0.1:${listen_ports[$1]}/bandwidth')"
	wait_until 30 "SELECT EXISTS (SELECT FROM bw_subscriptions WHERE state = 'ACTIVE')" -d "$1"
}

use_tls()
{
	sql -d "$1" -c "ALTER DATABASE $1 SET bandwidth.tls_cert_file = '$work/tmp/cert.pem'" \
		-c "ALTER DATABASE $1 SET bandwidth.tls_key_file = '$work/tmp/key.pem'"
}

prepare_callbacks_peer()
{
	peer_database callbacks_peer
	sql -d callbacks_peer <<-'END'
	CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, status text NOT NULL,
	    name text, bandwidth_order_id text UNIQUE, message text,
	    created_at timestamptz NOT NULL DEFAULT now(), closed_at timestamptz);
	CREATE TABLE order_numbers (order_id bigint REFERENCES orders, telephone_number text,
	    status text NOT NULL DEFAULT 'PENDING', PRIMARY KEY (order_id, telephone_number));
	CREATE TABLE order_events (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, order_id bigint NOT NULL,
	    at timestamptz NOT NULL DEFAULT clock_timestamp(), status text NOT NULL, source text NOT NULL);
	CREATE TABLE notifications (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	    received_at timestamptz NOT NULL DEFAULT clock_timestamp(), path text, content_type text,
	    body bytea NOT NULL, bandwidth_order_id text, bandwidth_status text);
	END
}

# orders DATABASE COUNT: orders under way, and their callbacks in $work/tmp/bodies.
orders()
{
	sql -d "$1" -v count="$2" -v bodies="$work/tmp/bodies" <<-'END'
	CREATE TEMPORARY TABLE new AS
	    SELECT nextval(pg_get_serial_sequence('bw_orders', 'id')) AS id,
	           nextval(pg_get_serial_sequence('bw_requests', 'id')) AS request_id,
	           gen_random_uuid()::text AS theirs, gen_random_uuid()::text AS ours
	      FROM generate_series(1, :count);
	ANALYZE new;
	INSERT INTO bw_requests (id, home, kind, server, account_id, ordered_by, customer_order_id,
	       members, quantity, state, attempts, bandwidth_order_id, first_sent_at, last_sent_at)
	OVERRIDING SYSTEM VALUE
	SELECT request_id, home, 'explicit', 'bandwidth', '9900000', current_user, ours,
	       ARRAY[id], 1, 'new', 0, NULL, NULL, NULL
	  FROM new, bw_identity;
	INSERT INTO bw_orders (id, home, kind, server, account_id, ordered_by, status, quantity, site_id, name,
	       partial_allowed, back_order_requested, request_id, bandwidth_order_id, sent_at, received_at)
	OVERRIDING SYSTEM VALUE
	SELECT id, home, 'order', 'bandwidth', '9900000', current_user, 'QUEUED', 1, '743', 'bench ' || id,
	       false, false, request_id, NULL, NULL, NULL
	  FROM new, bw_identity;
	INSERT INTO bw_order_numbers (order_id, telephone_number) SELECT id, 3002000000 + id FROM new;
	INSERT INTO bw_order_events (order_id, status, source) SELECT id, 'RECEIVED', 'reply' FROM new;
	INSERT INTO bw_open_requests (request_id, server, step, due_at)
	SELECT request_id, 'bandwidth', 'sent', now() + interval '1 day' FROM new;
	-- rows lie as their way leaves them: sent, and answered
	UPDATE bw_requests AS r SET state = 'sending', attempts = 1, first_sent_at = now(), last_sent_at = now()
	  FROM new WHERE r.id = new.request_id;
	UPDATE bw_orders AS o SET status = 'SENDING', sent_at = now() FROM new WHERE o.id = new.id;
	UPDATE bw_requests AS r SET state = 'open', bandwidth_order_id = theirs FROM new WHERE r.id = new.request_id;
	UPDATE bw_orders AS o SET status = 'RECEIVED', bandwidth_order_id = theirs, received_at = now()
	  FROM new WHERE o.id = new.id;
	UPDATE bw_open_requests SET step = 'poll' WHERE step = 'sent';
	\o :bodies
	SELECT '<?xml version="1.0" encoding="UTF-8" standalone="yes"?><Notification><Status>COMPLETE</Status><SubscriptionId>'
	       || bandwidth_subscription_id
	       || '</SubscriptionId><Message>Created a new number order for 1 number from WASHINGTON, VA</Message><OrderId>'
	       || theirs || '</OrderId><OrderType>orders</OrderType><CustomerOrderId>' || ours
	       || '</CustomerOrderId><CompletedTelephoneNumbers><TelephoneNumber>' || 3002000000 + new.id
	       || '</TelephoneNumber></CompletedTelephoneNumbers></Notification>'
	  FROM new, bw_subscriptions;
	\o
	VACUUM ANALYZE bw_open_requests;
	CHECKPOINT;
	END
}

peer_orders()
{
	sql -d callbacks_peer -v count="$1" -v bodies="$work/tmp/bodies" <<-'END'
	CREATE TEMPORARY TABLE new AS
	    SELECT nextval(pg_get_serial_sequence('orders', 'id')) AS id,
	           gen_random_uuid()::text AS theirs, gen_random_uuid()::text AS ours
	      FROM generate_series(1, :count);
	INSERT INTO orders (id, status, name, bandwidth_order_id)
	OVERRIDING SYSTEM VALUE SELECT id, 'SENDING', 'bench ' || id, NULL FROM new;
	UPDATE orders AS o SET status = 'RECEIVED', bandwidth_order_id = theirs FROM new WHERE o.id = new.id;
	INSERT INTO order_numbers (order_id, telephone_number) SELECT id, 3002000000 + id FROM new;
	INSERT INTO order_events (order_id, status, source) SELECT id, 'RECEIVED', 'reply' FROM new;
	\o :bodies
	SELECT '<?xml version="1.0" encoding="UTF-8" standalone="yes"?><Notification><Status>COMPLETE</Status><SubscriptionId>'
	       || gen_random_uuid()
	       || '</SubscriptionId><Message>Created a new number order for 1 number from WASHINGTON, VA</Message><OrderId>'
	       || theirs || '</OrderId><OrderType>orders</OrderType><CustomerOrderId>' || ours
	       || '</CustomerOrderId><CompletedTelephoneNumbers><TelephoneNumber>' || 3002000000 + new.id
	       || '</TelephoneNumber></CompletedTelephoneNumbers></Notification>'
	  FROM new;
	\o
	VACUUM ANALYZE;
	CHECKPOINT;
	END
}

# load NAME PORT CONNECTIONS [OPTION]...: send the bodies, and keep the figures.
load()
{
	local name=$1 said=$work/tmp/said

	"$BW_CALLBACK_LOAD" --connections "$3" --user caller:word --limit 120 "${@:4}" \
		"127.0.0.1:$2/bandwidth" <"$work/tmp/bodies" >"$said" 2>"$said.progress" || cat "$said.progress"
	note "$name" "$(sed -n 's/^per_second //p' "$said")"
	note "${name}_p50" "$(awk '/^p50_us/ {printf "%.3f", $2 / 1000}' "$said")"
	note "${name}_p99" "$(awk '/^p99_us/ {printf "%.3f", $2 / 1000}' "$said")"
	expect "$name: calls not answered 200" "$(awk '/^(answered_else|lost) / {n += $2} END {print n}' "$said")" 0
}

# callbacks_run DATABASE NAME CONNECTIONS [OPTION]...
callbacks_run()
{
	local first worker cpu

	first=$(sql -d "$1" -c 'SELECT COALESCE(max(id), 0) FROM bw_orders')
	orders "$1" "${callback_calls[$3]}"
	worker=$(worker_pid "$1")
	cpu=$(cpu_us "$worker")
	load "$2" "${listen_ports[$1]}" "$3" "${@:4}"
	note "$2_cpu" $((($(cpu_us "$worker") - cpu) / callback_calls[$3]))
	expect "$2: orders not complete" \
		"$(sql -d "$1" -c "SELECT count(*) FROM bw_orders WHERE id > $first AND status <> 'COMPLETE'")" 0
}

# callbacks_peer_run KIND NAME CONNECTIONS [OPTION]...
callbacks_peer_run()
{
	local port arguments=() count=${callback_calls[$3]}

	# rates: the slow ones need no more
	[[ "$3" == 1 ]] || count=$((count / 3))
	port=$(free_port)
	[[ "${4:-}" != --tls ]] || arguments=("$work/tmp/cert.pem" "$work/tmp/key.pem")
	peer_orders "$count"
	start_node callbacks_peer receiver.js "$1" "$port" "${arguments[@]}"
	load "$2" "$port" "$3" "${@:4}"
	stop_node
	expect "$2: orders not complete" \
		"$(sql -d callbacks_peer -c "SELECT count(*) FROM orders WHERE status <> 'COMPLETE'")" 0
}

callbacks_round()
{
	local kind

	callbacks_run callbacks callbacks 64
	probe_disk write_between
	callbacks_run callbacks callback_latency 1
	probe_disk write_between
	callbacks_run callbacks_tls callbacks_tls 64 --tls
	[[ -n "$node" ]] || return 0
	for kind in plain express; do
		callbacks_peer_run "$kind" "${kind}_64" 64
		callbacks_peer_run "$kind" "${kind}_64_tls" 64 --tls
	done
	callbacks_peer_run plain plain_1 1
}

# better NAME NAME: of two peers.
better()
{
	if awk -v a="$(median "$1")" -v b="$(median "$2")" 'BEGIN {exit !(a >= b)}'; then
		echo "$1"
	else
		echo "$2"
	fi
}

# In synchronous writes of a block, measured in between.
latency_in_syncs()
{
	awk -v ms="$(median callback_latency_p50)" -v us="$(median write_between)" \
		'BEGIN {printf "%.2f", ms * 1000 / us}'
}

measure_callbacks()
{
	local round

	prepare_callbacks callbacks
	prepare_callbacks callbacks_tls
	use_tls callbacks_tls
	[[ -z "$node" ]] || prepare_callbacks_peer
	script/sandbox-control POST config callbacks=off
	for ((round = 0; round < rounds; round++)); do
		callbacks_round
	done
	drop_database callbacks
	drop_database callbacks_tls
	drop_database callbacks_peer
	figure callbacks per_s Node.js_and_pg "$(better plain_64 express_64)" 'value >= 30000'
	figure callbacks_tls per_s Node.js_and_pg "$(better plain_64_tls express_64_tls)" 'value >= 15000'
	figure callbacks_cpu us - - none
	figure callbacks_tls_cpu us - - none
	figure express_64 per_s Node.js_and_pg plain_64 none
	figure callback_latency_p50 ms Node.js_and_pg plain_1_p50 none
	figure callback_latency_p99 ms Node.js_and_pg plain_1_p99 'value <= 5'
	note callback_latency_syncs "$(latency_in_syncs)"
	figure callback_latency_syncs synchronous_writes - - 'value <= 3'
}
