#!/usr/bin/env bash
#
# make check-fail-points: what happens when a call fails.
#
# Each allocation, statement, transaction and call of libcurl that the extension makes
# in a number of scenarios fails once (test/failpoints/points.list), and each allocation
# of the gateway and its libraries.  In a sender, where nothing is done in the same order
# twice, each means each path of callers.  Of more than FAIL_POINTS_MAX (200; 0: no limit)
# in a scenario as many are drawn by FAIL_POINTS_SEED.  WA_TESTS chooses
# files of test/failpoints, FAIL_POINTS_SCENARIOS names scenarios, with commas.
#
# The production code has no part in this: the linker puts the fail points between the
# library and what it calls.  They are written for x86-64; elsewhere this says "not run"
# and exits with status 77.

set -euo pipefail
cd "$(dirname "$0")/../.."

if [ "$(uname -m)" != x86_64 ]; then
    echo "not run: the fail points are written for x86-64"
    exit 77
fi
exec test/tools/run-tests.sh fail-points
