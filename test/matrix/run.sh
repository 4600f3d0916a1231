#!/usr/bin/env bash
#
# make check-matrix: the suites on every PostgreSQL that is claimed to work.
#
#   run.sh [ENTRY...]        of those in "entries" below; all by default
#
# Each entry is a Debian release in a chroot below build/matrix, which is made
# once and kept.  The suites are all but format, whose verdict depends on the
# version of clang-format and not on PostgreSQL's, and but the pages in a browser;
# WA_SUITES chooses others, and WA_TESTS some of their files.  The last lines are
# one for each entry and "N passed, N failed"; what cannot be had here is "not run",
# which is no success.

set -euo pipefail
cd "$(dirname "$0")/../.."

# Name, release, with the security archive, and an entry to begin from.  The oldest minor
# version of 15 is that of the release, the newest that of its security archive.
entries='
15-oldest bookworm
15        bookworm security 15-oldest
17        trixie   security
18        sid
'

here=$PWD
cache=$here/build/matrix
suites=${WA_SUITES:-lists conventions build symbols strict sql unit fuzz simulator regress isolation pgtap contract security tap}
chosen=("$@")
summary=$(mktemp)
trap 'rm -f "$summary"' EXIT
mkdir -p "$cache"

is_chosen() {
    local name

    [ ${#chosen[@]} -gt 0 ] || return 0
    for name in "${chosen[@]}"; do
        [ "$name" != "$1" ] || return 0
    done
    return 1
}

# What some suites fetch from npm's registry is fetched once, and here: in a chroot npm would be
# four hundred packages more.  A machine without npm gets them in each.
fetch_validator() {
    local dir=$cache/validator

    cmp -s test/contract/package-lock.json "$dir/installed" && return
    rm -rf "$dir"
    mkdir -p "$dir"
    cp test/contract/{package.json,package-lock.json,.npmrc} "$dir"
    command -v npm > /dev/null && (cd "$dir" && npm ci --silent --no-audit --no-fund >&2) &&
        cp "$dir/package-lock.json" "$dir/installed"
}

copy_tree() {
    rm -rf "${1:?}/src" "$1/validator"
    mkdir -p "$1/src"
    tar -cf - --exclude=./.git --exclude=./build --exclude=./tmp_check --exclude=./results --exclude=node_modules \
        --exclude='*.o' --exclude='*.so' --exclude='*.bc' --exclude=wa_simulator --exclude=wa_gateway . |
        tar -C "$1/src" -xf -
}

run_entry() {
    local name=$1 release=$2 security=${3:-} other=${4:+$cache/$4} dir=$cache/$1 log=$cache/$1.out version status=0
    local settings=(WA_BROWSER=no) setting

    printf '\n==== PostgreSQL %s (%s)\n' "$name" "$release"
    if ! test/tools/chroot.sh make "$release" "$dir" "$security" "$other"; then
        echo "$name - $release not-run" >> "$summary"
        return
    fi
    copy_tree "$dir"
    if fetch_validator; then
        cp -R "$cache/validator" "$dir/validator"
        settings+=(WA_VALIDATOR=/validator)
    fi
    for setting in WA_TESTS PG_TEST_TIMEOUT_DEFAULT FUZZ_SECONDS COPT; do
        [ -z "${!setting:-}" ] || settings+=("$setting=${!setting}")
    done
    if [ -n "${WA_OPENAPI:-}" ]; then
        cp "$WA_OPENAPI" "$dir/src/openapi.yaml"
        settings+=(WA_OPENAPI=/src/openapi.yaml)
    fi
    # shellcheck disable=SC2086
    test/tools/chroot.sh run "$dir" env "${settings[@]}" /src/test/tools/run-tests.sh $suites 2>&1 | tee "$log" || status=$?
    version=$(test/tools/chroot.sh run "$dir" sh -c '/usr/lib/postgresql/*/bin/postgres --version' 2> /dev/null |
        awk '{ print $3 }') || true
    # The table at the end of the suites: "suite passed failed seconds".
    awk -v name="$name" -v version="${version:--}" -v release="$release" -v status="$status" '
        /^suite +passed +failed/ { n = 0; table = 1; next }
        table && NF == 4 && $2 ~ /^[0-9]+$/ { line[n++] = $1 "=" $2 "/" $3; next }
        { table = 0 }
        /^[0-9]+ passed, [0-9]+ failed$/ { passed = $1; failed = $3 }
        END {
            if (passed == "") { passed = 0; failed = 1; line[n++] = "nothing-ran" }
            printf "%s %s %s %d %d", name, version, release, passed, failed
            for (i = 0; i < n; i++) printf " %s", line[i]
            print ""
        }' "$log" >> "$summary"
}

while read -r name release security other; do
    [ -n "$name" ] && is_chosen "$name" || continue
    run_entry "$name" "$release" "$security" "$other" < /dev/null
done <<< "$entries"

printf '\n'
awk '
    $4 == "not-run" { printf "PostgreSQL %s (%s): not run\n", $1, $3; failed++; next }
    { printf "PostgreSQL %s, libraries of %s: %d passed, %d failed (", $2, $3, $4, $5
      for (i = 6; i <= NF; i++) printf "%s%s", $i, i < NF ? ", " : ")\n"
      passed += $4; failed += $5 }
    END { printf "\n%d passed, %d failed\n", passed, failed; exit failed > 0 }' "$summary"
