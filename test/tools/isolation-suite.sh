#!/usr/bin/env bash
#
# The isolation tests, test/specs/*.spec, on a server of their own.  Prints TAP.

set -euo pipefail
shopt -s nullglob

tests=(test/specs/*.spec)
tests=("${tests[@]##*/}")
exec perl test/tools/regress-tap.pl "$PG_ISOLATION_REGRESS" \
    --inputdir=test --outputdir=output_iso --bindir="$(dirname "$PG_CONFIG")" \
    --temp-instance="$TESTDIR/isolation" --temp-config=test/tools/server.conf \
    --encoding=UTF8 --no-locale --dbname=isolation_regression "${tests[@]%.spec}"
