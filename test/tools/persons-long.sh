#!/usr/bin/env bash
#
# Tells histories of persons (test/pgtap/persons_histories.sql) with new seeds, a
# million or PERSONS_HISTORIES, on the server that PGHOST leads to.  Prints how many there
# were so far, and ends with the first round that is not as it should be.

set -euo pipefail

wanted=${PERSONS_HISTORIES:-1000000}
round=200
createdb persons
for ((told = 0; told < wanted; told += round)); do
    output=$(psql -X -q -d persons -v histories=$round -f test/pgtap/persons_histories.sql 2>&1)
    if grep -q '^not ok\|ERROR' <<< "$output" || ! grep -q '^ok 6' <<< "$output"; then
        printf '%s\n' "$output"
        exit 1
    fi
    echo "$((told + round)) histories"
done
