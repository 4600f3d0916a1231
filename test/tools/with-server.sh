#!/usr/bin/env bash
#
# Runs a command with a private server of its own.
#
#   with-server.sh CONFIG COMMAND...
#
# CONFIG is a file of settings.  The programs are those of PATH.  The server
# has no TCP port; PGHOST, PGPORT, PGUSER and PGDATABASE lead the command to it.
# It is gone when the command has ended.

set -euo pipefail

config=$1
shift
dir=$(mktemp -d "${TMPDIR:-/tmp}/whatsapp_shared-server.XXXXXX")

clean_up() {
    local status=$?

    trap '' INT TERM HUP
    if [ "$status" -ne 0 ]; then
        tail -n 20 "$dir/log" >&2 || true
    fi
    if [ -f "$dir/data/postmaster.pid" ]; then
        pg_ctl -s -w -m fast -D "$dir/data" stop || pg_ctl -s -w -m immediate -D "$dir/data" stop
    fi
    rm -rf "$dir"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

initdb -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync > "$dir/initdb.log" 2>&1 ||
    {
        cat "$dir/initdb.log" >&2
        exit 1
    }
cat "$config" - >> "$dir/data/postgresql.conf" << CONF
listen_addresses = ''
unix_socket_directories = '$dir'
fsync = off
CONF
pg_ctl -s -w -D "$dir/data" -l "$dir/log" start
export PGHOST=$dir PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
"$@"
