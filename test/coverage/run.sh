#!/usr/bin/env bash
#
# make coverage: which lines of C the tests run.
#
# Builds everything with counters, runs the suites and ends with a table of the
# rooms of src/; it fails below 90 percent, or if a test does.  The table is in
# build/coverage/rooms.txt, every line in build/coverage/index.html.  WA_SUITES
# chooses suites, and WA_TESTS some files of them.  Without gcovr it says "not
# run" and exits with status 77.
#
# A process that is killed writes no counters, and one that ends at once neither:
# what a test leaves running is therefore asked to end (test/lib/WaFastStop.pm).

set -euo pipefail
cd "$(dirname "$0")/../.."

if ! test/tools/install-packages.sh coverage || ! command -v gcovr > /dev/null; then
    echo "not run: there is no gcovr"
    exit 77
fi

suites=${WA_SUITES:-unit simulator regress isolation pgtap security tap}
export COPT='--coverage -O0' CFLAGS='--coverage -O0 -g' CCACHE_DISABLE=1
export WA_MEASURED=$suites WA_BROWSER=no

# shellcheck disable=SC2086
exec test/tools/run-tests.sh $suites coverage
