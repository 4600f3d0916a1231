#!/usr/bin/env bash
#
# Runs the pgTAP files with the harness command given, on the server that
# PGHOST leads to: each in a copy of a template that has both extensions.
#
# Twice: with the extension a superuser's, and with it given to the role
# "whatsapp", where all that runs with its owner's rights has that role's only.

set -euo pipefail
shopt -s nullglob

make_template() {
    createdb "$1"
    psql -X -q -d "$1" -v ON_ERROR_STOP=1 -c 'SET client_min_messages = error' \
        -c 'CREATE EXTENSION pgtap' -c 'CREATE EXTENSION whatsapp_shared'
}

make_template pgtap_template
psql -X -q -c 'CREATE ROLE whatsapp NOLOGIN'
make_template pgtap_template_whatsapp
exec "$@" --jobs 2 --exec test/tools/pgtap-file.sh ${WA_TESTS:-test/pgtap/*.sql} \
    $(printf '%s:whatsapp ' ${WA_TESTS:-test/pgtap/*.sql})
