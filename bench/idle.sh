# shellcheck shell=bash disable=SC2154,SC2034 # variables of run and lib.sh
#
# idle.sh: how often do the processes wake up when there is nothing to do?
#
# Voluntary context switches a second, as the kernel counts them, of the
# launcher and of the worker of a database with a port for callbacks and no
# orders.

voluntary_switches()
{
	local pid sum=0

	for pid in "$@"; do
		sum=$((sum + $(sed -n 's/^voluntary_ctxt_switches:[[:space:]]*//p' "/proc/$pid/status")))
	done
	echo "$sum"
}

measure_idle()
{
	local round before pids_of length

	length=$(quick_or 3 20)
	listen_ports[idle]=$(free_port)
	fresh_database idle "$stand_in_url"
	wait_until 30 "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'bandwidth worker'
		AND datname = 'idle')"
	sleep "$(quick_or 1 5)"
	mapfile -t pids_of < <(sql -c "SELECT pid FROM pg_stat_activity
		WHERE backend_type = 'bandwidth launcher' OR (backend_type LIKE 'bandwidth worker%' AND datname = 'idle')")
	expect 'idle: processes' "${#pids_of[@]}" 2
	for ((round = 0; round < (rounds > 3 ? 3 : rounds); round++)); do
		before=$(voluntary_switches "${pids_of[@]}")
		sleep "$length"
		note idle "$(awk -v n=$(($(voluntary_switches "${pids_of[@]}") - before)) -v s="$length" \
			'BEGIN {printf "%.2f", n / s}')"
	done
	drop_database idle
	figure idle per_s - - 'value <= 1'
}
