# shellcheck shell=bash disable=SC2154,SC2034 # variables of run and lib.sh
#
# lib.sh: what the benchmarks share.  Sourced by bench/run, after script/lib.sh.
#
# A family of figures has a file of its own.  It measures by rounds, keeps each
# value with "note", and says at its end with "figure" what the values mean.

# Values of each figure, one for each round.
declare -A values=()
# For the table: a line per figure.
rows=()
failures=0

# --- figures ---

# note NAME VALUE
note()
{
	values[$1]+=" $2"
}

# nth NAME WHERE: the smallest (0), the median (0.5), the largest (1) value.
nth()
{
	tr ' ' '\n' <<<"${values[$1]:-}" | sed '/^$/d' | sort -g |
		awk -v q="$2" '{v[NR] = $1} END {if (NR) print v[int(1 + (NR - 1) * q + 0.5)]}'
}

median()
{
	nth "$1" 0.5
}

# figure NAME UNIT PEER PEER_VALUES GOAL: PEER_VALUES is what the peer's values
# were noted under, "-" for PEER: there is none.  A GOAL is "ratio" or
# "value", <= or >=, and a number; or "none".
figure()
{
	local name=$1 unit=$2 peer=$3 goal=$5 value ratio=- peer_value verdict=-

	value=$(median "$name")
	if [[ -z "$value" ]]; then
		return
	fi
	peer_value=$(median "$4")
	if [[ "$peer" == - || -z "$peer_value" ]]; then
		peer=-
	else
		ratio=$(awk -v a="$value" -v b="$peer_value" 'BEGIN {printf "%.2f", (b > 0) ? a / b : 0}')
	fi
	printf 'figure %s %s %s ratio %s of %s\n' "$name" "$value" "$unit" "$ratio" "$peer"
	verdict=$(judge "$goal" "$value" "$ratio")
	rows+=("| $name | $value $unit | $(nth "$name" 0)..$(nth "$name" 1) | ${peer_value:--} | $ratio | ${peer//_/ } | ${goal/none/-} | $verdict |")
}

judge()
{
	local what than bound

	read -r what than bound <<<"$1"
	case $what in
		value) awk -v a="$2" -v b="$bound" -v o="$than" \
			'BEGIN {print ((o == "<=") ? a <= b : a >= b) ? "met" : "missed"}' ;;
		ratio) if [[ "$3" == - ]]; then echo -; else judge "value $than $bound" "$3" -; fi ;;
		*) echo - ;;
	esac
}

table()
{
	printf '\n| Figure | Median | Spread | Peer | Ratio | Peer is | Goal | |\n'
	printf '|---|---|---|---|---|---|---|---|\n'
	printf '%s\n' "${rows[@]}"
}

# What was measured must also have been done.
expect()
{
	if [[ "$2" != "$3" ]]; then
		printf 'not ok: %s: %s instead of %s\n' "$1" "$2" "$3"
		failures=$((failures + 1))
	fi
}

# quick_or QUICK FULL: a setting's value.
quick_or()
{
	if [[ -n "$quick" ]]; then echo "$1"; else echo "$2"; fi
}

# --- databases ---

sql()
{
	"$bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 "$@"
}

# fresh_database NAME URL [OPTION]...: with the extension and an account there
# that no limit slows down.  OPTIONs are the server's, as SQL.
fresh_database()
{
	local name=$1 url=$2 options

	shift 2
	options=$(printf ', %s' "account_id '9900000'" "site_id '743'" "$@")
	sql -d postgres -c "DROP DATABASE IF EXISTS $name WITH (FORCE)" -c "CREATE DATABASE $name"
	sql -d postgres -c "ALTER DATABASE $name SET bandwidth.listen_port = ${listen_ports[$name]:-0}"
	sql -d "$name" -v ON_ERROR_STOP=1 <<-END
	CREATE EXTENSION bandwidth;
	CREATE SERVER bandwidth FOREIGN DATA WRAPPER bandwidth
	OPTIONS (base_url '$url/api', token_url '$url/api/v1/oauth2/token',
	         max_numbers_per_day '100000000'$options);
	CREATE USER MAPPING FOR PUBLIC SERVER bandwidth
	OPTIONS (client_id 'client', client_secret 'secret',
	         callback_username 'caller', callback_password 'word');
	CREATE SEQUENCE number START 9192000000;
	END
}

# The same database name with a port for callbacks; set before it is made.
declare -A listen_ports=()

# Options of a server that is not slowed down.
unlimited=("requests_per_minute '10000000'" "burst '10000000'")

drop_database()
{
	sql -d postgres -c "DROP DATABASE IF EXISTS $1 WITH (FORCE)"
}

peer_database()
{
	drop_database "$1"
	sql -d postgres -c "CREATE DATABASE $1"
}

has_extension()
{
	[[ $(sql -d postgres -c "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = '$1')") == t ]]
}

# setting NAME VALUE: of the whole server; without VALUE its default again.
setting()
{
	if [[ $# -eq 2 ]]; then
		sql -d postgres -c "ALTER SYSTEM SET $1 = '$2'"
	else
		sql -d postgres -c "ALTER SYSTEM RESET $1"
	fi
	sql -d postgres -c 'SELECT pg_reload_conf()' >/dev/null
}

# Each round begins with nothing left to write.
checkpoint()
{
	sql -d postgres -c CHECKPOINT
}

# wait_until SECONDS QUERY [OPTION]...: until it returns true.
wait_until()
{
	local end=$((SECONDS + $1)) query=$2

	shift 2
	until [[ $(sql "$@" -c "$query") == t ]]; do
		[[ $SECONDS -lt $end ]] || die "waited in vain: $query"
		sleep 0.05
	done
}

worker_pid()
{
	sql -c "SELECT pid FROM pg_stat_activity WHERE application_name = 'bandwidth worker' AND datname = '$1'"
}

# Processor time of a process so far, in us.
cpu_us()
{
	local stat fields

	read -r stat <"/proc/$1/stat"
	read -ra fields <<<"${stat##*) }"
	printf '%d' $(((fields[11] + fields[12]) * (1000000 / $(getconf CLK_TCK))))
}

# tps DATABASE SCRIPT CLIENTS SECONDS
tps()
{
	local out=$work/tmp/pgbench.out

	"$bin/pgbench" -n -M prepared -f "$2" -c "$3" -j "$(($3 > 2 ? 2 : $3))" -T "$4" "$1" >"$out" 2>&1 ||
		die "pgbench: $(cat "$out")"
	sed -n 's/^tps = \([0-9]*\).*/\1/p' "$out"
}

now_us()
{
	printf '%s' "${EPOCHREALTIME/[.,]/}"
}

# --- what stands around ---

# Bandwidth's place taken by bench/stand-in.c: start_stand_in VARIABLE [OPTION]...
start_stand_in()
{
	local log=$work/tmp/stand-in.$1 tries=100 url

	: >"$log"

	exec_as_server setpriv --pdeathsig TERM "$build/bench/build/stand-in" "${@:2}" </dev/null >"$log" 2>&1 &
	pids+=("$!")
	until url=$(sed -n 's/^listening on //p' "$log") && [[ -n "$url" ]]; do
		[[ $((tries -= 1)) -gt 0 ]] || die "the stand-in did not start: $(cat "$log")"
		sleep 0.05
	done
	printf -v "$1" '%s' "$url"
}

# One call to a stand-in's log: stand_in_log METHOD
stand_in_log()
{
	perl -MHTTP::Tiny -e 'print HTTP::Tiny->new->request($ARGV[0], $ARGV[1])->{content}' \
		"$1" "$stand_in_url/log"
}

make_certificate()
{
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
		-addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
		-keyout "$work/tmp/key.pem" -out "$work/tmp/cert.pem"
	[[ $EUID -ne 0 ]] || chown postgres "$work/tmp/key.pem" "$work/tmp/cert.pem"
}

build_helpers()
{
	flock "$build" make -s -C "$build/bench" all
}

# The peers in Node.js; without node and npm there are none.
node=
prepare_node()
{
	if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
		echo 'no peers in Node.js: node and npm are not installed'
		return
	fi
	node=$work/tmp/node
	cp -R "$top/bench/node" "$node"
	step 'installing packages for Node.js' install_node_packages
}

install_node_packages()
{
	npm ci --silent --no-audit --no-fund --prefer-offline --prefix "$node"
}

# start_node DATABASE SCRIPT [ARGUMENT]...; ended by stop_node.
start_node()
{
	local database=$1 script=$2 log=$work/tmp/node.log tries=200

	shift 2
	PGDATABASE=$database setpriv --pdeathsig TERM node "$node/$script" "$@" >"$log" 2>&1 &
	node_pid=$!
	pids+=("$node_pid")
	until grep -q ^listening "$log"; do
		[[ $((tries -= 1)) -gt 0 ]] || die "$script did not start: $(cat "$log")"
		sleep 0.05
	done
}

stop_node()
{
	kill "$node_pid"
	wait "$node_pid" || true
	forget_pid "$node_pid"
}
