# shellcheck shell=bash
#
# lib.sh: what the scripts share.  Sourced, never run.
#
# Tests and the demo run in a stage: a temporary folder with a copy of
# PostgreSQL's own programs, the extension installed into that copy, the
# sandbox and the test files.  Nothing below /usr is written.  As root, servers
# and tests run as "postgres", because initdb refuses root and a checkout may
# be closed to others.
#
# Whatever a script starts, it ends: by process id, on every way out that a
# shell can see (end, error, Ctrl-C, kill).

set -euo pipefail

# Bytes and messages that do not depend on whose machine this is; and no
# connection to somebody's real server by way of their environment.
export LC_ALL=C.UTF-8
pg_config=${PG_CONFIG:-}
unset "${!PG@}" CDPATH

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# The stage, PostgreSQL's programs in it, and where PostgreSQL's own test
# programs are; set by open_stage and make_stage.
work=
bin=
pgxs_test=
# Processes that we started and that are not below a server's data directory.
pids=()

die()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# Seconds with one decimal since a value of EPOCHREALTIME.
seconds_since()
{
	local now=${EPOCHREALTIME/[.,]/} then=${1/[.,]/}

	printf '%d.%d' $(((now - then) / 1000000)) $(((now - then) / 100000 % 10))
}

# Run something that takes long, so that a signal ends it and us at once: bash
# itself would look at the signal only after the command's end.
run_long()
{
	start_long "$@"
	await_long "$long_pid"
}

# Begin something that takes long; "long_pid" is whom to await.  It gets a process
# group of its own, all of which cleanup can reach.
start_long()
{
	set -m
	(
		set -e
		"$@"
	) </dev/null &
	long_pid=$!
	set +m
	pids+=("-$long_pid")
}

await_long()
{
	local status=0

	wait "$1" || status=$?
	forget_pid "-$1"
	return "$status"
}

# step TEXT COMMAND...: run a command that shall be silent; say what is being
# done and how long it took, and show its output only if it fails.
step()
{
	local text=$1 began=$EPOCHREALTIME status=0 log

	shift
	log=$work/${text//[^a-zA-Z0-9]/_}.log
	printf '%s ... ' "$text"
	# Not "if run_long": a condition would switch off errexit inside.
	set +e
	run_long "$@" >"$log" 2>&1
	status=$?
	set -e
	if [[ $status -ne 0 ]]; then
		printf 'failed\n'
		# a compiler's first complaint is the one that counts
		head -n 100 "$log" >&2
		die "$text failed"
	fi
	printf '%s s\n' "$(seconds_since "$began")"
}

forget_pid()
{
	local kept=() pid

	for pid in "${pids[@]}"; do
		[[ "$pid" == "$1" ]] || kept+=("$pid")
	done
	pids=("${kept[@]}")
}

# Become the user that owns servers and tests, and run a command.
exec_as_server()
{
	if [[ $EUID -eq 0 ]]; then
		exec setpriv --reuid=postgres --regid=postgres --clear-groups \
			env HOME="$work" "$@"
	else
		exec "$@"
	fi
}

as_server()
{
	(exec_as_server "$@")
}

# Stop every server whose data directory lies in the stage, whoever started
# it: pg_regress and test programs that were killed leave theirs running.
stop_servers()
{
	local file

	find "$work" -name postmaster.pid 2>/dev/null | while read -r file; do
		as_server "$bin/pg_ctl" stop -s -m "$1" -D "${file%/*}" || true
	done
}

# Is a process, or anything of a process group (-PGID), alive?  Not "kill -0":
# the dead stay listed where process 1 is slow to collect them.
is_alive()
{
	local file stat fields

	for file in /proc/[0-9]*/stat; do
		read -r stat 2>/dev/null <"$file" || continue
		# "pid (name) state parent group ...", and a name may hold anything
		read -ra fields <<<"${stat##*) }"
		if [[ "${fields[0]}" != Z && ("${stat%% *}" == "$1" || "-${fields[2]}" == "$1") ]]; then
			return 0
		fi
	done
	return 1
}

# Ask everything that we started to end; insist after five seconds.
end_processes()
{
	local pid tries=100

	for pid in "${pids[@]}"; do
		kill -TERM -- "$pid" || true
	done
	for pid in "${pids[@]}"; do
		while is_alive "$pid" && [[ $((tries -= 1)) -gt 0 ]]; do
			sleep 0.05
		done
		! is_alive "$pid" || kill -KILL -- "$pid" || true
	done
}

cleanup()
{
	local status=$?

	trap '' EXIT INT TERM HUP
	end_processes 2>/dev/null
	if [[ -n "$work" ]]; then
		[[ -z "$bin" ]] || stop_servers immediate
		if [[ -n "${BW_KEEP:-}" ]]; then
			printf 'kept: %s\n' "$work"
		else
			rm -rf "$work"
		fi
	fi
	exit "$status"
}

# The PostgreSQL to build for: the caller's PG_CONFIG, or the oldest of Debian's that has
# its development files and that we support.
find_pg_config()
{
	local candidate

	if [[ -n "$pg_config" ]]; then
		return
	fi
	for candidate in /usr/lib/postgresql/{15,16,17,18}/bin/pg_config; do
		if [[ -x "$candidate" && -f "$("$candidate" --pgxs)" ]]; then
			pg_config=$candidate
			return
		fi
	done
	die "no PostgreSQL development files; run script/bootstrap"
}

# The folder to build in: the checkout, or a copy where we may not write.
choose_build_dir()
{
	build=$top
	if [[ ! -w "$top" || ! -w "$top/src" ]]; then
		build=$work/build
		mkdir "$build"
		tar -C "$top" --exclude=./.git -cf - . | tar -C "$build" -xf -
	fi
}

# Two runs at once must not build into the same folder at once.
build()
{
	flock "$build" make -s -C "$build" -j"$(nproc)" PG_CONFIG="$pg_config" COPT=-Werror all sandbox callback-load
}

# PostgreSQL finds its own files relative to its programs, so a copy that
# keeps the folders' relative places is complete.  Programs must be copies,
# not links, because a link is followed back.
copy_postgresql()
{
	local bindir sharedir pkglibdir

	bindir=$("$pg_config" --bindir)
	sharedir=$("$pg_config" --sharedir)
	pkglibdir=$("$pg_config" --pkglibdir)
	mkdir -p "$work/pg"
	tar -C / --exclude=bitcode --exclude=pgxs --exclude='*.a' --exclude=man \
		--exclude=bandwidth.so --exclude=bandwidth.control --exclude='bandwidth--*' \
		-cf - "${bindir#/}" "${pkglibdir#/}" "${sharedir#/}" |
		tar -C "$work/pg" -xf -
	make -s -C "$build" PG_CONFIG="$pg_config" install DESTDIR="$work/pg"
}

copy_files()
{
	local name

	mkdir -p "$work/files/expected" "$work/tmp"
	for name in sql expected specs test examples bench contrib script sandbox/test; do
		if [[ -d "$top/$name" ]]; then
			mkdir -p "$work/files/$name"
			cp -R "$top/$name/." "$work/files/$name/"
		fi
	done
	cp "$top/README.md" "$work/files/"
	cp "$top/sandbox/bw-sandbox.1" "$work/files/sandbox/"
	cp "$build/sandbox/bw-sandbox" "$build/bench/build/callback-load" "$work/"
}

give_away_stage()
{
	if [[ $EUID -eq 0 ]]; then
		chown -R postgres:postgres "$work"
	fi
}

# An empty stage.  As root it lies directly in /tmp, because every folder above
# it must be open to "postgres".
open_stage()
{
	local parent=${TMPDIR:-/tmp}

	[[ $EUID -ne 0 ]] || parent=/tmp
	trap cleanup EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	work=$(mktemp -d "$parent/bandwidth.XXXXXX")
	chmod 755 "$work"
	choose_build_dir
}

# Build, and fill the stage: PostgreSQL with the extension, sandbox, files.
make_stage()
{
	local bindir pgxs

	find_pg_config
	step 'building' build
	step 'staging PostgreSQL' copy_postgresql
	copy_files
	give_away_stage

	bindir=$("$pg_config" --bindir)
	pgxs=$("$pg_config" --pgxs)
	bin=$work/pg$bindir
	pgxs_test=${pgxs%/makefiles/pgxs.mk}/test
	export PATH="$bin:$PATH" TMPDIR="$work/tmp"
	export BW_STAGE=$work BW_FILES=$work/files BW_SANDBOX=$work/bw-sandbox
	export BW_CALLBACK_LOAD=$work/callback-load
	# what PostgreSQL's own Perl modules for tests want to know
	export PERL5LIB=$pgxs_test/perl:$work/files/test/lib
	export PG_REGRESS=$pgxs_test/regress/pg_regress
	use_test_folder "$work/tmp"
}

# use_test_folder FOLDER: where PostgreSQL's Perl modules put servers and logs.
use_test_folder()
{
	export TESTDIR=$1
	# the same from PostgreSQL 16 on
	export TESTDATADIR=$1/tmp_check TESTLOGDIR=$1/tmp_check/log
}

# A port of 127.0.0.1 that was free a moment ago, and that neither an outgoing
# connection (32768 and up) nor a TAP program (10200 and up) takes meanwhile.
free_port()
{
	local port

	until port=$((5000 + RANDOM % 5200)) && is_free "$port"; do
		:
	done
	printf '%d\n' "$port"
}

is_free()
{
	perl -MIO::Socket::INET -e \
		'exit !IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1", LocalPort => shift)' "$1"
}

# Start the sandbox; its address goes to BW_SANDBOX_URL.  Arguments are its
# options.  It dies with this shell, even if that is killed outright.
start_sandbox()
{
	local log=$work/sandbox.log tries=100

	exec_as_server setpriv --pdeathsig TERM \
		"$BW_SANDBOX" --listen 127.0.0.1:0 "$@" </dev/null >"$log" 2>&1 &
	sandbox_pid=$!
	pids+=("$sandbox_pid")
	BW_SANDBOX_URL=
	until BW_SANDBOX_URL=$(sed -n 's/^listening on //p' "$log") && [[ -n "$BW_SANDBOX_URL" ]]; do
		[[ $((tries -= 1)) -gt 0 ]] || die "the sandbox did not start: $(cat "$log")"
		sleep 0.05
	done
	export BW_SANDBOX_URL
}

stop_sandbox()
{
	kill "$sandbox_pid" 2>/dev/null || true
	wait "$sandbox_pid" 2>/dev/null || true
	forget_pid "$sandbox_pid"
	unset BW_SANDBOX_URL
}

# Settings of every test server, one per argument after these.  No fsync:
# what the server loses when the machine fails is not tested here.
server_settings()
{
	printf '%s\n' "shared_preload_libraries = 'bandwidth'" \
		"listen_addresses = ''" "unix_socket_directories = '$work/tmp'" \
		'fsync = off' 'max_worker_processes = 32' \
		"log_line_prefix = '%m [%p] %b %q%d '" "$@"
}

# A private server: a socket in the stage, no TCP.  Arguments are settings.
start_server()
{
	as_server "$bin/initdb" -D "$work/data" -U postgres -A trust -E UTF8 \
		--locale=C.UTF-8 --no-sync
	server_settings "$@" | as_server tee -a "$work/data/postgresql.conf" >/dev/null
	as_server "$bin/pg_ctl" start -s -w -D "$work/data" -l "$work/server.log" ||
		{
			tail -n 20 "$work/server.log"
			return 1
		}
}

# Point psql and friends at that server.
use_server()
{
	export PGHOST=$work/tmp PGUSER=postgres PGDATABASE=postgres
}

stop_server()
{
	as_server "$bin/pg_ctl" stop -s -w -m fast -D "$work/data"
}
