# shellcheck shell=bash
# lib.sh: what the scripts share.  Sourced, never run.
#
# Tests and the demo run in a stage: a relocated copy of PostgreSQL's own
# tree in a temporary folder, with the extension installed into that copy.
# Nothing below /usr is written.  As root, the servers run as "postgres",
# because initdb refuses root and a checkout may be closed to others.

set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=
pids=()

say() { printf '%s\n' "== $*"; }

die() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

# End what we started, by its process id, and remove what we made.
cleanup() {
	local status=$? pid
	trap - EXIT INT TERM
	for pid in "${pids[@]}"; do
		kill "$pid" 2>/dev/null || true
	done
	if [ -n "$work" ] && [ -f "$work/data/postmaster.pid" ]; then
		as_server "$bin/pg_ctl" stop -s -m immediate -D "$work/data" || true
	fi
	if [ -n "$work" ] && [ -z "${BW_KEEP:-}" ]; then
		rm -rf "$work"
	elif [ -n "$work" ]; then
		say "kept: $work"
	fi
	exit "$status"
}

# PostgreSQL's version that is built for; Debian's way to name its pg_config.
find_pg_config() {
	if [ -n "${PG_CONFIG:-}" ]; then
		return
	fi
	local v
	for v in 15 16 17 18; do
		if [ -x "/usr/lib/postgresql/$v/bin/pg_config" ] &&
			[ -f "$("/usr/lib/postgresql/$v/bin/pg_config" --pgxs)" ]; then
			PG_CONFIG=/usr/lib/postgresql/$v/bin/pg_config
		fi
	done
	[ -n "${PG_CONFIG:-}" ] || die "no PostgreSQL development files; run script/bootstrap"
}

# Run a command as the user that owns the servers.
as_server() {
	if [ "$(id -u)" = 0 ]; then
		setpriv --reuid=postgres --regid=postgres --clear-groups \
			env HOME="$work" "$@"
	else
		"$@"
	fi
}

# Build extension and sandbox, and install the extension into a stage.
make_stage() {
	find_pg_config
	work=$(mktemp -d "${TMPDIR:-/tmp}/bandwidth.XXXXXX")
	trap cleanup EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	chmod 755 "$work"

	say "building"
	make -s -C "$top" PG_CONFIG="$PG_CONFIG" -j2
	make -s -C "$top/sandbox" -j2

	say "staging PostgreSQL $("$PG_CONFIG" --version | sed 's/[^0-9]*\([0-9.]*\).*/\1/')"
	local bindir sharedir pkglibdir
	bindir=$("$PG_CONFIG" --bindir)
	sharedir=$("$PG_CONFIG" --sharedir)
	pkglibdir=$("$PG_CONFIG" --pkglibdir)
	# The same relative places, so that the copy finds its own files.
	bin=$work/pg$bindir
	mkdir -p "$bin" "$work/pg$sharedir" "$work/pg$pkglibdir"
	cp -a "$bindir/." "$bin/"
	cp -aL "$sharedir/." "$work/pg$sharedir/"
	cp -a "$pkglibdir/." "$work/pg$pkglibdir/"
	# The Makefile may read PostgreSQL's make files; installing goes to the copy.
	make -s -C "$top" PG_CONFIG="$PG_CONFIG" install DESTDIR="$work/pg" >/dev/null
	cp -a "$top/sandbox/bw-sandbox" "$work/bw-sandbox"
	mkdir "$work/files"
	if [ "$(id -u)" = 0 ]; then
		chown -R postgres: "$work"
	fi
}

# Start the sandbox; its address goes to sandbox_url.
start_sandbox() {
	local out=$work/sandbox.out
	: >"$out"
	"$work/bw-sandbox" --listen 127.0.0.1:0 "$@" >"$out" 2>&1 &
	pids+=($!)
	for _ in $(seq 100); do
		sandbox_url=$(sed -n 's/^listening on //p' "$out")
		[ -n "$sandbox_url" ] && break
		sleep 0.05
	done
	[ -n "${sandbox_url:-}" ] || die "the sandbox did not start: $(cat "$out")"
	export BW_SANDBOX_URL=$sandbox_url
}

free_port() {
	perl -MIO::Socket::INET -e \
		'print IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1")->sockport'
}

# A private server: socket in the stage, no TCP.  Arguments are settings.
start_server() {
	local setting
	as_server "$bin/initdb" -D "$work/data" -U postgres -A trust -E UTF8 \
		--locale=C.UTF-8 -N >"$work/initdb.log" 2>&1 || { cat "$work/initdb.log"; return 1; }
	{
		echo "listen_addresses = ''"
		echo "unix_socket_directories = '$work'"
		echo "shared_preload_libraries = 'bandwidth'"
		for setting in "$@"; do
			echo "$setting"
		done
	} | as_server tee -a "$work/data/postgresql.conf" >/dev/null
	as_server "$bin/pg_ctl" start -s -w -D "$work/data" -l "$work/server.log" ||
		{ tail -20 "$work/server.log"; return 1; }
	export PGHOST=$work PGUSER=postgres PGDATABASE=postgres
}
