#!/usr/bin/env bash
#
# Runs the pgTAP files with the harness command given, on the server that
# PGHOST leads to: each in a copy of a template that has both extensions.

set -euo pipefail
shopt -s nullglob

createdb pgtap_template
psql -X -q -d pgtap_template -v ON_ERROR_STOP=1 \
    -c 'CREATE EXTENSION pgtap' -c 'CREATE EXTENSION whatsapp_shared'
exec "$@" --jobs 2 --exec test/tools/pgtap-file.sh test/pgtap/*.sql
