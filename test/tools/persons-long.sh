#!/usr/bin/env bash
#
# Tells histories of persons (test/lib/persons.sql), a million or PERSONS_HISTORIES, in slices
# with seeds of their own, on the server that PGHOST leads to.
#
# Each slice is a line in PERSONS_PROGRESS, if that names a file: number, seed, histories,
# tellings, events, messages asked for, tellings that were wrong.  Slices that have their line there
# are not told again, so this may be stopped and go on later.  What is wrong is
# printed, and does not end it: the last line says how many there were.

set -euo pipefail

wanted=${PERSONS_HISTORIES:-1000000}
size=500
progress=${PERSONS_PROGRESS:-$(mktemp)}
touch "$progress"

template=persons_template
createdb "$template" 2> /dev/null && psql -X -q -d "$template" -v ON_ERROR_STOP=1 -c 'SET client_min_messages = error' \
    -c 'CREATE EXTENSION pgtap' -c 'CREATE EXTENSION whatsapp_shared'

sum() { awk -v column="$1" '{ n += $column } END { print n + 0 }' "$progress"; }

slice=0
while [ "$(sum 3)" -lt "$wanted" ]; do
    slice=$((slice + 1))
    if grep -q "^$slice " "$progress"; then
        continue
    fi
    left=$((wanted - $(sum 3)))
    seed=$(awk -v n="$slice" 'BEGIN { printf "%.6f", (n * 618033 % 1000003) / 1000003 }')
    createdb -T "$template" persons
    output=$(psql -X -q -A -t -d persons -v seed="$seed" -v histories=$((left < size ? left : size)) \
        -v events=$((1 + slice % 7)) -f test/tools/persons-slice.sql 2>&1) || {
        printf 'slice %s, seed %s:\n%s\n' "$slice" "$seed" "$output"
        exit 1
    }
    dropdb persons
    counts=$(tail -n 1 <<< "$output")
    echo "$slice $seed $counts" >> "$progress"
    if grep -q '^wrong: ' <<< "$output"; then
        printf 'slice %s, seed %s, at most %s events:\n%s\n' "$slice" "$seed" "$((1 + slice % 7))" "$output"
    fi
    if [ $((slice % 20)) -eq 0 ]; then
        echo "$(sum 3) histories, $(sum 4) tellings, $(sum 7) wrong"
    fi
done

echo "$(sum 3) histories in $(sum 4) tellings of $(sum 5) events were told, and $(sum 6) messages asked for; $(sum 7) tellings were wrong"
[ "$(sum 7)" -eq 0 ]
