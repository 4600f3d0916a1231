#!/usr/bin/env bash
#
# Makes a private copy of PostgreSQL with this extension in it.
#
#   private-postgres.sh DIR
#
# Copies the PostgreSQL that PG_CONFIG (default: pg_config) belongs to below DIR,
# builds the extension and installs it there, and prints the directory that has
# its bin/.  PostgreSQL finds its files relative to its programs, so the copy
# works anywhere, and the machine's own servers never see the extension.
#
# WA_SERVER_PREFIX is a command before each start of a server: valgrind, or env with
# LD_PRELOAD.  It is not before what initdb and pg_ctl ask of the program.
#
# Everything else goes to standard error.  Used again with the same DIR, it
# copies only when the original has changed.

set -euo pipefail

if [ $# -ne 1 ]; then
    echo "usage: private-postgres.sh DIR" >&2
    exit 2
fi

root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1"
dir=$(cd "$1" && pwd)
original=${PG_CONFIG:-pg_config}

bindir=$("$original" --bindir)
if [ ! -e "$bindir/postgres" ]; then
    # Debian's pg_config is that of libpq where no server version is chosen.
    newest=$(ls -d /usr/lib/postgresql/*/bin/pg_config 2> /dev/null | sort -t/ -k5n | tail -n 1)
    if [ -z "$newest" ]; then
        echo "There is no PostgreSQL server in $bindir; set PG_CONFIG." >&2
        exit 1
    fi
    original=$newest
    bindir=$("$original" --bindir)
fi

copy_directory() {
    mkdir -p "$dir$1"
    tar -C "$1" --exclude=bitcode -cf - . | tar -C "$dir$1" -xf -
}

# From a directory for everybody's programs only PostgreSQL's are taken.
copy_programs() {
    local program

    mkdir -p "$dir$bindir"
    for program in "$bindir"/{postgres,initdb,psql,pgbench,pg_*,createdb,dropdb,createuser,dropuser,vacuumdb,reindexdb,clusterdb}; do
        if [ -e "$program" ]; then
            cp -pL "$program" "$dir$bindir/"
        fi
    done
}

stamp="$("$original" --version) $bindir $(stat -c '%Y %s' "$bindir/postgres")"
if [ "$(cat "$dir/.stamp" 2> /dev/null)" != "$stamp" ]; then
    rm -rf "${dir:?}"/*
    copy_programs
    copy_directory "$("$original" --pkglibdir)"
    copy_directory "$("$original" --sharedir)"
    copy_directory "$("$original" --pkgincludedir)"
    copy_directory "$("$original" --includedir-server)"
    # libpq's; where everybody's headers are, a compiler looks anyway.
    includedir=$("$original" --includedir)
    [ "$includedir" = /usr/include ] || copy_directory "$includedir"
    echo "$stamp" > "$dir/.stamp"
fi

server=$dir$bindir/postgres
if [ -e "$server.real" ]; then
    mv "$server.real" "$server"
fi

make -s -j2 -C "$root" PG_CONFIG="$dir$bindir/pg_config" with_llvm=no install >&2

if [ -n "${WA_SERVER_PREFIX:-}" ]; then
    mv "$server" "$server.real"
    {
        echo '#!/bin/sh'
        printf 'case $1 in -D) exec %s "%s.real" "$@" ;; esac\nexec "%s.real" "$@"\n' "$WA_SERVER_PREFIX" "$server" "$server"
    } > "$server"
    chmod 755 "$server"
fi

# A server refuses to run as root; whoever runs it must get here.
if [ "$(id -u)" -eq 0 ] && ! runuser -u postgres -- test -x "$dir$bindir/postgres"; then
    echo "The user \"postgres\" cannot enter $dir; choose a directory that it can." >&2
    exit 1
fi
echo "${dir}${bindir%/bin}"
