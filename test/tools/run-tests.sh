#!/usr/bin/env bash
#
# Runs test suites, all of them by default, and ends with what failed and
# "N passed, N failed".
#
#   run-tests.sh [SUITE...]
#
# Installs what is missing, makes a private PostgreSQL with the extension in
# build/pg, and runs the suites against that.  PG_CONFIG chooses the PostgreSQL.
# A server refuses to run as root; then all of this happens as the user
# "postgres" in a copy of the tree below /tmp, which is removed afterwards (and
# kept if KEEP is set).
#
# A suite that fails does not keep the others from running.

set -euo pipefail

cd "$(dirname "$0")/../.."

all_suites=(lists conventions format build symbols strict sql unit fuzz simulator regress isolation pgtap contract security tap)

if [ "${WA_TESTS_PREPARED:-}" != yes ]; then
    test/tools/install-packages.sh test
fi

# Ends servers that an interrupted test has left behind; their directories are ours.
end_servers() {
    local file pid

    while read -r file; do
        pid=$(head -n 1 "$file")
        if [ "$(readlink "/proc/$pid/cwd")" = "$(dirname "$file")" ]; then
            kill -QUIT "$pid" || true
        fi
    done < <(find "$1" -name postmaster.pid 2> /dev/null)
}

# ---- as root: the same again as somebody else ---------------------------------

if [ "$(id -u)" -eq 0 ]; then
    copy=$(mktemp -d /tmp/whatsapp_shared-test.XXXXXX)
    clean_up() {
        local status=$?

        end_servers "$copy"
        if [ -n "${KEEP:-}" ]; then
            echo "The tests' files are in $copy."
        else
            rm -rf "$copy"
        fi
        exit "$status"
    }
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP

    mkdir "$copy/tree" "$copy/home"
    tar -cf - --exclude=./.git --exclude=./build --exclude=./tmp_check --exclude=./results \
        --exclude=./output_iso --exclude=node_modules --exclude='*.o' --exclude='*.so' --exclude='*.bc' . |
        tar -C "$copy/tree" -xf -
    settings=(HOME="$copy/home" PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 WA_TESTS_PREPARED=yes)
    if [ -n "${PG_CONFIG:-}" ]; then
        settings+=(PG_CONFIG="$(command -v "$PG_CONFIG")")
    fi
    for name in WA_TESTS WA_TIMES WA_OPT_OUT_QUEUE RATE_ROUNDS PG_TEST_TIMEOUT_DEFAULT HISTORY_{SEEDS,SECONDS,MESSAGES,STEPS,KINDS} \
        INTERRUPTIONS_{SECONDS,SEED} PERSONS_{HISTORIES,PROGRESS} TAKEOVER_{HELD,MESSAGES} OUTBOX_{KILLS,FAILOVERS,MEASURED,SEED} FUZZ_{SECONDS,SEED,TARGETS} \
        FAIL_POINTS_{MAX,SEED,SCENARIOS} WA_BROWSER WA_VALIDATOR WA_PICTURES WA_MEASURED WA_SERVER_PREFIX WA_REPORTS COPT CFLAGS {ASAN,UBSAN,LSAN}_OPTIONS; do
        if [ -n "${!name:-}" ]; then
            settings+=("$name=${!name}")
        fi
    done
    if [ -n "${WA_OPENAPI:-}" ]; then
        cp "$WA_OPENAPI" "$copy/home/openapi.yaml"
        settings+=(WA_OPENAPI="$copy/home/openapi.yaml")
    fi
    chown -R postgres "$copy"
    status=0
    runuser -u postgres -- env -i "${settings[@]}" "$copy/tree/test/tools/run-tests.sh" "$@" || status=$?
    if [ "$*" = references ]; then
        cp "$copy"/tree/docs/reference/*.md docs/reference/
    fi
    if [ -d "$copy/tree/build/coverage" ]; then
        mkdir -p build
        rm -rf build/coverage
        cp -R "$copy/tree/build/coverage" build/
    fi
    exit "$status"
fi

# ---- build ----------------------------------------------------------------------

suites=("$@")
[ ${#suites[@]} -gt 0 ] || suites=("${all_suites[@]}")

if ! prefix=$(test/tools/private-postgres.sh build/pg); then
    printf '\nThe build failed, so nothing was tested.\n\n0 passed, 1 failed\n'
    exit 1
fi
export PG_CONFIG=$prefix/bin/pg_config
PATH=$prefix/bin:$PATH
pgxs=$(dirname "$("$PG_CONFIG" --pgxs)")/../..

out=$PWD/build/test
rm -rf "$out"
mkdir -p "$out"
results=$out/results

# For PostgreSQL::Test::Cluster: where to write, and what it tests.
export TESTDIR=$out/tap TESTDATADIR=$out/tap/data TESTLOGDIR=$out/tap/log
trap 'end_servers "$out"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# How long a test waits for what should happen at once, before it gives up.
# As long as PostgreSQL's own tests do; and pg_ctl, after whose failure no test runs on.
export PG_TEST_TIMEOUT_DEFAULT=${PG_TEST_TIMEOUT_DEFAULT:-180}
export PGCTLTIMEOUT=$PG_TEST_TIMEOUT_DEFAULT

mkdir -p "$TESTDIR" "$TESTDATADIR" "$TESTLOGDIR"
export PG_REGRESS=$pgxs/src/test/regress/pg_regress
export PG_ISOLATION_REGRESS=$pgxs/src/test/isolation/pg_isolation_regress
export PERL5LIB=$pgxs/src/test/perl:$PWD/test/lib
export WA_SIMULATOR=$PWD/src/bin/simulator/wa_simulator
export WA_GATEWAY=$PWD/src/bin/gateway/wa_gateway
if [ -n "${WA_MEASURED:-}" ]; then
    export PERL5OPT=-MWaFastStop
fi

harness() { perl test/tools/harness.pl --suite "$suite" --results "$results" "$@"; }

shopt -s nullglob

# ---- the suites --------------------------------------------------------------------

suite_lists() { harness test/tools/checks/lists.pl test/tools/checks/summary.pl; }
suite_conventions() { harness test/tools/checks/{conventions,dependencies,packaging}.pl; }
suite_format() { harness test/tools/checks/format.pl; }
suite_build() { harness test/tools/checks/build.pl; }
suite_symbols() { harness test/tools/checks/symbols.pl; }
suite_strict() { harness test/tools/checks/strict.pl; }
suite_sql() { harness test/tools/checks/{sql,references}.pl test/tools/checks/sql_strings.py; }

# Not among the suites: make references.
suite_references() { WA_REFERENCES=write harness test/tools/checks/references.pl; }

# Not among the suites: make coverage.
suite_coverage() { harness test/coverage/coverage.pl; }

# Nor these: make check-fail-points.
suite_fail-points() {
    test/failpoints/build.sh "$out/failpoints"
    export FAIL_POINTS_ALLOCATIONS="$out/failpoints/allocations.so"
    harness ${WA_TESTS:-test/failpoints/backend.pl test/failpoints/sender.pl test/failpoints/gateway.pl}
}

# Nor these: make check-sanitizers, make check-valgrind, make check-assertions.
suite_sanitizers() { harness test/sanitizers/reports.pl; }
suite_valgrind() { harness test/valgrind/smoke.pl; }
suite_caches() { harness test/assertions/caches.pl; }

suite_unit() {
    local programs=(test/unit/test_*.c test/unit/pace/test_*.c test/unit/gateway/test_*.c)

    make -s -j2 -C test/unit
    programs=("${programs[@]#test/unit/}")
    programs=("${programs[@]%.c}")
    harness --exec '' "${programs[@]/#/test/unit/build/}"
}

# FUZZ_TARGETS chooses some of them.
suite_fuzz() {
    local programs=(test/fuzz/fuzz_*.c) targets

    programs=("${programs[@]##*/fuzz_}")
    read -ra targets <<< "${FUZZ_TARGETS:-${programs[*]%.c}}"
    make -s -j2 -C test/fuzz
    harness --jobs 2 --exec 'perl test/fuzz/run-target.pl' "${targets[@]/#/test/fuzz/build/fuzz_}"
}

suite_simulator() { harness test/simulator/*.t; }
suite_regress() { harness test/tools/regress-suite.sh; }
suite_isolation() { harness test/tools/isolation-suite.sh; }

suite_pgtap() {
    test/tools/with-server.sh test/tools/server.conf \
        test/tools/pgtap-suite.sh perl test/tools/harness.pl --suite pgtap --results "$results"
}

# Not among the suites: make check-persons-long.
suite_persons() {
    test/tools/with-server.sh test/tools/server.conf test/tools/persons-long.sh
    printf 'suite persons 1 0 %s\n' "$((SECONDS - started))" >> "$results"
}

# Not among the suites: make check-repeat, WA_TIMES (10) times each of WA_TESTS, by default those
# that have failed once because the machine was busy.
suite_repeat() {
    local once=(test/t/{010,018,022,023,024,027,029,031,034,035,038,040,042,043,046,050,051,052,120}_*.pl
        test/simulator/{faults,httpd,webhook_push}.t test/pgtap/gateway_owner.sql)

    test/tools/repeat.sh "$results" "${WA_TIMES:-10}" ${WA_TESTS:-"${once[@]}"}
}

# Half of it needs Meta's description of its API, which WA_OPENAPI names.
suite_contract() { harness test/contract/*.t; }

suite_security() { harness --jobs 2 test/security/*.pl; }

# All suites together must end within 25 minutes, also on two slow processors: so these tests of whole
# servers, which take longest, are a suite of their own, tap-long.
long_tests=(004 005 007 010 011 014 015 016 017 018 023 025 026 028 031 035 036 037 038 040 043 044 047 048 049 051 052
    053 054 055 056 057 059 065 085 087 088 091 101 102 103 104 110 120 130 131 140 151 161 162 163 170 180)

# The tests of whole servers that are among these, or are not.
whole_servers() {
    local file number

    # The longest first, so that neither of the two waits long for the other in the end.
    for file in $(printf '%s\n' test/t/{050,031,091,092}_*.pl test/t/*.pl | awk '!seen[$0]++'); do
        number=${file##*/}
        case " ${long_tests[*]} " in
            *" ${number%%_*} "*) [ "$1" = long ] && echo "$file" ;;
            *) [ "$1" = long ] || echo "$file" ;;
        esac
    done
}

# WA_TESTS chooses some of them.
suite_tap() { harness --jobs 2 ${WA_TESTS:-$(whole_servers short)}; }
suite_tap-long() { harness --jobs 2 ${WA_TESTS:-$(whole_servers long)}; }

# ---- one after the other -------------------------------------------------------------

for suite in "${suites[@]}"; do
    if ! declare -F "suite_$suite" > /dev/null; then
        echo "There is no suite \"$suite\"; there are: ${all_suites[*]}" >&2
        exit 2
    fi
done

# Without one of them the suites that need it fail, each by itself.
make -s -j2 -C src/bin/simulator || true
make -s -j2 -C src/bin/gateway || true

for suite in "${suites[@]}"; do
    printf '\n== %s\n' "$suite"
    started=$SECONDS
    set +e
    (
        set -e
        "suite_$suite"
    )
    set -e
    grep -q "^suite $suite " "$results" 2> /dev/null ||
        printf '%s\n' "failed $suite: it ended before its tests" "suite $suite 0 1 $((SECONDS - started))" >> "$results"
done

perl test/tools/summary.pl "$results"
