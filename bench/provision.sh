# shellcheck shell=bash disable=SC2154,SC2034 # variables of run and lib.sh
#
# provision.sh: what does bw_provision() cost the INSERT that fires it?
#
# One row per transaction into two equal tables, one of which has the trigger
# FOR EACH ROW, with 1 and with 8 clients, by turns, while orders are held back, so
# that the INSERT's own cost shows.  provision_batch: one INSERT of 5,000 rows with
# the trigger FOR EACH STATEMENT, of whose numbers somebody else takes a third
# meanwhile, until each row has its number, and the calls that it took.

provision_rows=$(quick_or 500 5000)

prepare_provision()
{
	local table

	fresh_database provision "$BW_SANDBOX_URL" "${unlimited[@]}"
	sql -d provision <<-'END'
	CREATE TABLE plain (id bigserial PRIMARY KEY, name text, phone text, state text);
	CREATE TABLE provisioned (LIKE plain INCLUDING ALL);
	CREATE TABLE batch (LIKE plain INCLUDING ALL);
	CREATE TRIGGER provision AFTER INSERT ON provisioned FOR EACH ROW
	EXECUTE FUNCTION bw_provision('number_column', 'phone', 'status_column', 'state', 'area_code', '919');
	CREATE TRIGGER provision AFTER INSERT ON batch
	REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT
	EXECUTE FUNCTION bw_provision('number_column', 'phone', 'status_column', 'state',
	                              'area_code', '919', 'attempts', '5');
	END
	for table in plain provisioned; do
		echo "INSERT INTO $table (name) VALUES ('Ada');" >"$work/tmp/$table.sql"
	done
}

provision_round()
{
	local clients

	for clients in 1 8; do
		note "unprovisioned_$clients" "$(tps provision "$work/tmp/plain.sql" "$clients" "$seconds")"
		note "provision_$clients" "$(tps provision "$work/tmp/provisioned.sql" "$clients" "$seconds")"
	done
}

provision_batch()
{
	local began

	script/sandbox-control POST reset
	script/sandbox-control POST config snatch_every=3 snatch_count=$((provision_rows / 3))
	began=$(now_us)
	sql -d provision -c "INSERT INTO batch (name) SELECT 'Ada' FROM generate_series(1, $provision_rows)"
	wait_until 300 "SELECT count(DISTINCT phone) = $provision_rows FROM batch" -d provision
	note provision_batch "$(awk -v us=$(($(now_us) - began)) 'BEGIN {printf "%.2f", us / 1e6}')"
	note provision_batch_calls "$(($(script/sandbox-control GET journal/count class=SEARCH) +
		$(script/sandbox-control GET journal/count class=ORDER method=POST)))"
	sql -d provision -c 'TRUNCATE batch'
	script/sandbox-control POST reset
}

measure_provision()
{
	local round

	prepare_provision
	sql -d provision -c "ALTER SERVER bandwidth OPTIONS (ADD ordering 'hold')"
	for ((round = 0; round < rounds; round++)); do
		checkpoint
		provision_round
	done
	sql -d provision -c 'TRUNCATE bw_orders, bw_order_numbers, bw_order_events, bw_queue, bw_held, bw_requests,
		bw_provisions, bw_searches' -c "ALTER SERVER bandwidth OPTIONS (SET ordering 'on')"
	for ((round = 0; round < rounds; round++)); do
		provision_batch
	done
	drop_database provision
	figure provision_1 per_s INSERT_without_trigger unprovisioned_1 none
	figure provision_8 per_s INSERT_without_trigger unprovisioned_8 none
	figure provision_batch s - - none
	figure provision_batch_calls calls - - none
}
