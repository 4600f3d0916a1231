#!/usr/bin/env bash
#
# Runs one pgTAP file in a database of its own, made from the template
# "pgtap_template" of the server that PGHOST leads to, or for FILE:SUFFIX from
# "pgtap_template_SUFFIX".  Prints TAP.

set -euo pipefail

file=${1%%:*}
suffix=${1#"$file"}
suffix=${suffix/:/_}
db=$(basename "$file" .sql | tr -c 'a-z0-9_\n' '_')$suffix
createdb -T "pgtap_template$suffix" "$db"
exec psql -X -A -t -q -P pager=off -v ON_ERROR_STOP=1 -d "$db" -f "$file"
