#!/usr/bin/env bash
#
# Runs one pgTAP file in a database of its own, made from the template
# "pgtap_template" of the server that PGHOST leads to.  Prints TAP.

set -euo pipefail

db=$(basename "$1" .sql | tr -c 'a-z0-9_\n' '_')
createdb -T pgtap_template "$db"
exec psql -X -A -t -q -P pager=off -v ON_ERROR_STOP=1 -d "$db" -f "$1"
