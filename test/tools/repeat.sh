#!/usr/bin/env bash
#
# make check-repeat: do these tests pass every time, also on a machine that has
# better things to do?
#
#   repeat.sh RESULTS TIMES FILE...
#
# Runs each test TIMES times, one after the other, at the lowest priority and beside
# a process that uses up a processor.  Says for each file how many runs passed and how
# long they took, and adds to RESULTS what harness.pl would, with the number of the run.

set -euo pipefail
cd "$(dirname "$0")/../.."

results=$1
times=$2
shift 2

# It ends with this script, however that ends.
sh -c 'while kill -0 "$1" 2> /dev/null; do :; done' busy "$$" &
busy=$!
mine=$(mktemp)
trap 'kill "$busy" 2> /dev/null; rm -f "$mine"' EXIT
renice -n 19 -p "$$" > /dev/null

run() {
    case $1 in
        *.sql)
            WA_TESTS=$1 test/tools/with-server.sh test/tools/server.conf test/tools/pgtap-suite.sh \
                perl test/tools/harness.pl --suite repeat --results "$mine"
            ;;
        *) perl test/tools/harness.pl --suite repeat --results "$mine" "$1" ;;
    esac
}

report=
for file in "$@"; do
    good=0
    seconds=()
    for ((run = 1; run <= times; run++)); do
        printf '\n-- %s, run %d of %d\n' "$file" "$run" "$times"
        : > "$mine"
        started=$SECONDS
        if run "$file"; then good=$((good + 1)); fi
        seconds+=($((SECONDS - started)))
        grep -q '^suite ' "$mine" || printf 'failed %s: it ended before its tests\nsuite repeat 0 1 0\n' "$file" >> "$mine"
        sed "s/^failed \([^:]*\)/failed \1, run $run/" "$mine" >> "$results.repeat"
    done
    range=$(printf '%s\n' "${seconds[@]}" | sort -n | sed -n '1p;$p' | xargs printf '%s to %s')
    report+=$(printf '%s: %d of %d runs passed, in %s s' "$file" "$good" "$times" "$range")$'\n'
done

# One line for all of them, as the end of the output expects of a suite.
awk '$1 == "suite" { passed += $3; failed += $4; seconds += $5; next }
    { print }
    END { printf "suite repeat %d %d %.1f\n", passed, failed, seconds }' "$results.repeat" >> "$results"
printf '\n%s' "$report"
! grep -q '^failed ' "$results.repeat"
