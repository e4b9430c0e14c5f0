# shellcheck shell=bash disable=SC2154,SC2034 # variables of run and lib.sh
#
# memory.sh: does the worker keep memory?
#
# Its anonymous memory (RssAnon) after the first hundredth of many orders and ten
# times as many callbacks, and after all of them.  Nine of ten callbacks repeat
# one that came before; orders go out one POST each.

memory_orders=${BENCH_MEMORY_ORDERS:-$(quick_or 2000 100000)}

anonymous_kb()
{
	sed -n 's/^RssAnon:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$(worker_pid memory)/status"
}

# memory_part COUNT: so many orders, and their callbacks.
memory_part()
{
	local first

	first=$(sql -d memory -c 'SELECT COALESCE(max(id), 0) FROM bw_orders')
	sql -d memory -o /dev/null -c "SELECT count(*) FROM generate_series(1, $1) AS g,
		bw_order(ARRAY[nextval('number')::text], name => 'bench ' || g)"
	wait_until 600 "SELECT NOT EXISTS (SELECT FROM bw_queue) AND NOT EXISTS
		(SELECT FROM bw_open_requests WHERE step = 'sent')" -d memory
	sql -d memory -v first="$first" -o "$work/tmp/bodies" <<-'END'
	SELECT '<?xml version="1.0" encoding="UTF-8" standalone="yes"?><Notification><Status>COMPLETE</Status><SubscriptionId>'
	       || bandwidth_subscription_id || '</SubscriptionId><OrderId>' || o.bandwidth_order_id
	       || '</OrderId><OrderType>orders</OrderType><CompletedTelephoneNumbers><TelephoneNumber>'
	       || n.telephone_number || '</TelephoneNumber></CompletedTelephoneNumbers></Notification>'
	  FROM bw_orders AS o JOIN bw_order_numbers AS n ON n.order_id = o.id, bw_subscriptions
	 WHERE o.id > :first;
	END
	"$BW_CALLBACK_LOAD" --connections 64 --user caller:word --limit 600 --repeat 10 \
		"127.0.0.1:${listen_ports[memory]}/bandwidth" <"$work/tmp/bodies" >"$work/tmp/said" 2>/dev/null
	expect 'memory: answered 200' "$(sed -n 's/^answered_200 //p' "$work/tmp/said")" $(($1 * 10))
	expect 'memory: orders not complete' \
		"$(sql -d memory -c "SELECT count(*) FROM bw_orders WHERE status <> 'COMPLETE'")" 0
}

measure_memory()
{
	prepare_callbacks memory
	setting bandwidth.poll_schedule 86400
	sql -d memory -c "ALTER SERVER bandwidth OPTIONS (SET base_url '$stand_in_url/api',
		SET token_url '$stand_in_url/api/v1/oauth2/token')"
	memory_part $((memory_orders / 100))
	note memory_before "$(anonymous_kb)"
	memory_part $((memory_orders - memory_orders / 100))
	note memory "$(anonymous_kb)"
	setting bandwidth.poll_schedule
	drop_database memory
	echo "memory: $memory_orders orders and $((memory_orders * 10)) callbacks"
	figure memory kB the_first_hundredth memory_before 'ratio <= 1.1'
}
