# shellcheck shell=bash disable=SC2154,SC2034 # variables of run and lib.sh
#
# enqueue.sh: what does an order cost the one who orders?
#
# enqueue_1, enqueue_8: bw_order() of one number per transaction, by 1 and by 8
# clients, while the worker sends on the same processors; the peer is a plain
# INSERT into two tables with a foreign key, which sends nothing, by turns with it.
# enqueue_bulk: 50,000 orders in one transaction (with --quick 10,000); the peer is a loop in plpgsql
# with two INSERTs.  pg_net_8: net.http_post() by 8 clients, where that extension is
# installed.

bulk_orders=$(quick_or 10000 50000)

prepare_enqueue()
{
	local database=$1

	fresh_database "$database" "$stand_in_url" "${unlimited[@]}"
	prepare_enqueue_scripts
}

prepare_enqueue_scripts()
{
	echo "SELECT FROM bw_order(ARRAY[nextval('number')::text]);" >"$work/tmp/order.sql"
	cat >"$work/tmp/plain.sql" <<-'END'
	WITH o AS (INSERT INTO orders (status, site_id) VALUES ('QUEUED', '743') RETURNING id)
	INSERT INTO order_numbers (order_id, telephone_number) SELECT id, nextval('number')::text FROM o;
	END
}

prepare_enqueue_peer()
{
	peer_database enqueue_peer
	sql -d enqueue_peer <<-'END'
	CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, status text NOT NULL,
	    site_id text, created_at timestamptz NOT NULL DEFAULT now());
	CREATE TABLE order_numbers (order_id bigint REFERENCES orders, telephone_number text,
	    status text NOT NULL DEFAULT 'PENDING', PRIMARY KEY (order_id, telephone_number));
	CREATE SEQUENCE number START 9192000000;
	END
}

wait_for_queue()
{
	wait_until 300 'SELECT NOT EXISTS (SELECT FROM bw_queue)' -d "$1"
}

# enqueue_round DATABASE PREFIX [PEER]
enqueue_round()
{
	local database=$1 prefix=$2 peer=${3:-} clients

	for clients in 1 8; do
		[[ -z "$peer" ]] || note "plain_$clients" "$(tps "$peer" "$work/tmp/plain.sql" "$clients" "$seconds")"
		note "${prefix}enqueue_$clients" "$(tps "$database" "$work/tmp/order.sql" "$clients" "$seconds")"
		wait_for_queue "$database"
	done
	enqueue_bulk "$database" "$prefix"
	[[ -z "$peer" ]] || enqueue_bulk_peer "$peer"
}

# Paused before and after: only the transaction itself is measured.
enqueue_bulk()
{
	local began

	sql -d "$1" -c "SELECT bw_pause()" >/dev/null
	began=$(now_us)
	sql -d "$1" -o /dev/null <<-END
	SELECT count(*) FROM generate_series(1, $bulk_orders) AS g, bw_order(ARRAY[(nextval('number') + 0 * g)::text]);
	END
	note "$2enqueue_bulk" $((bulk_orders * 1000000 / ($(now_us) - began)))
	sql -d "$1" -c 'DELETE FROM bw_queue' -c 'VACUUM bw_queue'
	sql -d "$1" -c "SELECT bw_resume()" >/dev/null
}

enqueue_bulk_peer()
{
	local began

	began=$(now_us)
	sql -d "$1" <<-SQL
	DO \$\$
	DECLARE
	    new_id bigint;
	BEGIN
	    FOR i IN 1 .. $bulk_orders LOOP
	        INSERT INTO orders (status, site_id) VALUES ('QUEUED', '743') RETURNING id INTO new_id;
	        INSERT INTO order_numbers (order_id, telephone_number) VALUES (new_id, nextval('number')::text);
	    END LOOP;
	END \$\$;
	SQL
	note plpgsql_loop $((bulk_orders * 1000000 / ($(now_us) - began)))
}

prepare_pg_net()
{
	peer_database pg_net_peer
	sql -d postgres -c "ALTER SYSTEM SET pg_net.database_name = 'pg_net_peer'" -c 'SELECT pg_reload_conf()' >/dev/null
	sql -d pg_net_peer -c 'CREATE EXTENSION pg_net'
	echo "SELECT net.http_post('$stand_in_url/api/accounts/9900000/orders', '{}'::jsonb);" >"$work/tmp/pg_net.sql"
}

measure_enqueue()
{
	local round pg_net=

	if has_extension pg_net; then
		pg_net=yes
		prepare_pg_net
	fi
	prepare_enqueue enqueue
	prepare_enqueue_peer
	setting bandwidth.poll_schedule 86400
	tps enqueue "$work/tmp/order.sql" 8 1 >/dev/null
	tps enqueue_peer "$work/tmp/plain.sql" 8 1 >/dev/null
	wait_for_queue enqueue
	for ((round = 0; round < rounds; round++)); do
		checkpoint
		enqueue_round enqueue '' enqueue_peer
		[[ -z "$pg_net" ]] || note pg_net_8 "$(tps pg_net_peer "$work/tmp/pg_net.sql" 8 "$seconds")"
	done
	setting bandwidth.poll_schedule
	drop_database enqueue
	drop_database enqueue_peer
	drop_database pg_net_peer
	figure enqueue_1 per_s two_table_INSERT plain_1 'ratio >= 0.6'
	figure enqueue_8 per_s two_table_INSERT plain_8 'ratio >= 0.6'
	[[ -z "$pg_net" ]] || figure pg_net_8 per_s two_table_INSERT plain_8 none
	figure enqueue_bulk per_s plpgsql_loop plpgsql_loop 'value >= 40000'
}
