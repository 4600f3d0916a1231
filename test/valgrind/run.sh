#!/usr/bin/env bash
#
# make check-valgrind: a server with its sender under valgrind's memcheck, through the
# ordinary life of messages (smoke.pl).  An error whose stack has the extension in it
# fails; the server's own memory contexts are not visible to valgrind, because its package is
# built without that.  Without valgrind it says "not run" and exits with status 77.

set -euo pipefail
cd "$(dirname "$0")/../.."

if ! test/tools/install-packages.sh valgrind || ! command -v valgrind > /dev/null; then
    echo "not run: there is no valgrind"
    exit 77
fi
reports=$(mktemp -d /tmp/whatsapp_shared-reports.XXXXXX)
chmod 1777 "$reports"
# The files outlive the copy in which the tests run as another user.
install -m 644 test/valgrind/valgrind.supp "$reports.supp"
trap 'rm -rf "$reports" "$reports.supp"' EXIT

WA_REPORTS=$reports/report WA_SERVER_PREFIX="valgrind -q --trace-children=yes --xml=yes --xml-file=$reports/report.%p \
--child-silent-after-fork=no --leak-check=no --track-origins=yes --num-callers=40 --suppressions=$reports.supp" \
    PG_TEST_TIMEOUT_DEFAULT=${PG_TEST_TIMEOUT_DEFAULT:-900} test/tools/run-tests.sh valgrind
