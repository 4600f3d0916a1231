#!/usr/bin/env bash
#
# The pg_regress tests, test/sql/*.sql, on a server of their own.  Prints TAP.

set -euo pipefail
shopt -s nullglob

tests=(test/sql/*.sql)
tests=("${tests[@]##*/}")
exec perl test/tools/regress-tap.pl "$PG_REGRESS" \
    --inputdir=test --outputdir=. --bindir="$(dirname "$PG_CONFIG")" \
    --temp-instance="$TESTDIR/regress" --temp-config=test/tools/server.conf \
    --encoding=UTF8 --no-locale --dbname=contrib_regression "${tests[@]%.sql}"
