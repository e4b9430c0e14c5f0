# shellcheck shell=bash disable=SC2154,SC2034 # variables of run and lib.sh
#
# search.sh: what does bw_search() cost beside the bare libraries?
#
# One statement searches again and again over a kept TLS connection; the
# stand-in's replies are ready.  The peer is bench/search-floor.c: libcurl and
# libxml2 and nothing else.  search_small has 10 rows in a reply, search_5000 has
# 5,000; search_5000_memory is what the backend's peak grows by after the first of
# these.  Where the extension "http" is installed, it searches as well.

prepare_search()
{
	fresh_database "$1" "$tls_stand_in_url" "${unlimited[@]}" "ca_file '$work/tmp/cert.pem'"
}

# search_ms DATABASE QUANTITY CALLS: ms of a call; and how the peak grew, in MB.
search_ms()
{
	sql -d "$1" -F ' ' <<-END
	\\set QUIET on
	SELECT pg_backend_pid() AS pid \\gset
	\\setenv BENCH_PID :pid
	SELECT count(*) FROM generate_series(1, 2) AS g,
	    bw_search(area_code => '919', quantity => CASE WHEN g > 0 THEN $2 END) \\g /dev/null
	\\set before \`sed -n 's/^VmHWM:[[:space:]]*\\([0-9]*\\).*/\\1/p' /proc/\$BENCH_PID/status\`
	SELECT clock_timestamp() AS began \\gset
	SELECT count(*) AS found FROM generate_series(1, $3) AS g,
	    bw_search(area_code => '919', quantity => CASE WHEN g > 0 THEN $2 END) \\gset
	SELECT clock_timestamp() AS ended \\gset
	\\set after \`sed -n 's/^VmHWM:[[:space:]]*\\([0-9]*\\).*/\\1/p' /proc/\$BENCH_PID/status\`
	SELECT round(extract(epoch FROM :'ended'::timestamptz - :'began') * 1000 / $3, 3),
	       round((:after - :before) / 1024.0, 1), :found;
	END
}

# floor_value NAME QUANTITY CALLS
floor_value()
{
	"$build/bench/build/search-floor" \
		"$tls_stand_in_url/api/accounts/9900000/availableNumbers?areaCode=919&quantity=$2&enableTNDetail=true" \
		"$work/tmp/cert.pem" "$3" | sed -n "s/^$1 //p"
}

# search_round DATABASE PREFIX
search_round()
{
	local ms growth found calls

	calls=$(quick_or 1000 5000)
	read -r ms growth found <<<"$(search_ms "$1" 10 "$calls")"
	expect "$2search_small: rows" "$found" $((calls * 10))
	note "$2search_small" "$(awk -v ms="$ms" 'BEGIN {printf "%.0f", 1000 / ms}')"
	calls=$(quick_or 10 50)
	read -r ms growth found <<<"$(search_ms "$1" 5000 "$calls")"
	expect "$2search_5000: rows" "$found" $((calls * 5000))
	note "$2search_5000" "$ms"
	note "$2search_5000_memory" "$growth"
}

search_peer_round()
{
	note bare_search_small "$(floor_value per_second 10 "$(quick_or 1000 5000)" | cut -d. -f1)"
	note bare_search_5000 "$(floor_value ms 5000 "$(quick_or 10 50)")"
}

# The extension "http": a GET, and XPath for the rows.
http_extension_round()
{
	sql -d http_peer <<-END
	SELECT http_set_curlopt('CURLOPT_CAINFO', '$work/tmp/cert.pem') \\g /dev/null
	SET http.keepalive = on;
	SELECT clock_timestamp() AS began \\gset
	SELECT count(*) FROM generate_series(1, 500) AS g,
	    LATERAL (SELECT content FROM http_get('$tls_stand_in_url/api/accounts/9900000/availableNumbers?quantity='
	             || CASE WHEN g > 0 THEN 10 END)) AS r,
	    XMLTABLE('//TelephoneNumberDetail' PASSING r.content::xml
	             COLUMNS telephone_number text PATH 'FullNumber', city text PATH 'City', state text PATH 'State',
	                     rate_center text PATH 'RateCenter', lata text PATH 'LATA', tier int PATH 'Tier',
	                     vendor_id int PATH 'VendorId', vendor_name text PATH 'VendorName') \\g /dev/null
	SELECT round(500 / extract(epoch FROM clock_timestamp() - :'began'::timestamptz));
	END
}

measure_search()
{
	local round http=

	prepare_search search
	if has_extension http; then
		http=yes
		peer_database http_peer
		sql -d http_peer -c 'CREATE EXTENSION http'
	fi
	for ((round = 0; round < rounds; round++)); do
		search_round search ''
		search_peer_round
		[[ -z "$http" ]] || note http_search_small "$(http_extension_round)"
	done
	drop_database search
	drop_database http_peer
	figure search_small per_s libcurl_and_libxml2 bare_search_small 'ratio >= 0.8'
	[[ -z "$http" ]] || figure http_search_small per_s libcurl_and_libxml2 bare_search_small none
	figure search_5000 ms libcurl_and_libxml2 bare_search_5000 'ratio <= 1.3'
	figure search_5000_memory MB - - 'value <= 8'
}
