#!/usr/bin/env bash
#
# make check-sanitizers: the suites under AddressSanitizer and UBSan.
#
#   run.sh [programs|backend]     both by default
#
# programs   gateway, simulator and unit tests on this machine, with LeakSanitizer
# backend    the extension in a server of Debian trixie, in a chroot below build/
#            sanitizers, without LeakSanitizer: a server frees nothing when it ends.
#            The server's own code is not instrumented, its memory contexts are
#            not poisoned: what is found are accesses beyond the stack, globals and the C library's
#            memory, and undefined behaviour.  (The packaged server of bookworm hangs
#            when the runtime is preloaded.)
#
# WA_PGTAP and WA_TAP choose files for the backend, WA_GATEWAY_TAP for the programs.
# What cannot be had here is "not run": exit status 77.

set -euo pipefail
cd "$(dirname "$0")/../.."

here=$PWD
chroot=$here/build/sanitizers/trixie
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(programs backend)
flags='-g -fno-omit-frame-pointer -fsanitize=address,undefined'
undefined=print_stacktrace=1:halt_on_error=0
passed=0
failed=0
not_run=

# Runs a command, shows what it says, and adds up its last line.
count() {
    local log line

    log=$(mktemp)
    "$@" 2>&1 | tee "$log" || true
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1)
    rm -f "$log"
    if [ -z "$line" ]; then
        failed=$((failed + 1))
        return
    fi
    read -r p _ f _ <<< "$line"
    passed=$((passed + p))
    failed=$((failed + f))
}

# A directory for reports that the user "postgres" may write to.
reports() {
    mkdir -p "$1"
    chmod 1777 "$1"
}

run_programs() {
    local dir

    printf '\n==== gateway, simulator, unit tests\n'
    dir=$(mktemp -d /tmp/whatsapp_shared-reports.XXXXXX)
    reports "$dir"
    for suites in 'unit simulator sanitizers' 'tap sanitizers'; do
        # shellcheck disable=SC2086
        count env CFLAGS="-O1 $flags" WA_REPORTS="$dir/report" WA_BROWSER=no \
            WA_TESTS="${WA_GATEWAY_TAP:-test/t/100_gateway.pl test/t/101_gateway_database.pl test/t/103_gateway_settings.pl test/t/104_gateway_media.pl test/t/110_gateway_hostile.pl test/t/120_gateway_webhooks.pl test/t/140_gateway_metrics.pl}" \
            ASAN_OPTIONS="detect_leaks=1:log_path=$dir/report" LSAN_OPTIONS="print_suppressions=0" \
            UBSAN_OPTIONS="$undefined:log_path=$dir/report" test/tools/run-tests.sh $suites
    done
    rm -rf "$dir"
}

install_packages() {
    # shellcheck disable=SC2016
    test/tools/chroot.sh run "$chroot" sh -c '
        mkdir -p /etc/postgresql-common/createcluster.d
        echo "create_main_cluster = off" > /etc/postgresql-common/createcluster.d/none.conf
        dpkg -s postgresql-17-pgtap > /dev/null 2>&1 || apt-get install -q -y --no-install-recommends gcc libc6-dev make perl \
            libipc-run-perl libcurl4-openssl-dev libpq-dev libmicrohttpd-dev libjansson-dev zlib1g-dev libgnutls28-dev \
            libssl-dev openssl postgresql-17 postgresql-server-dev-17 postgresql-17-pgtap' > "$chroot.packages.log" 2>&1
}

run_backend() {
    local preload

    printf '\n==== the extension in PostgreSQL 17\n'
    if ! test/tools/chroot.sh make trixie "$chroot" security || ! install_packages; then
        echo 'backend: not run'
        not_run=yes
        return
    fi
    rm -rf "${chroot:?}/src"
    mkdir -p "$chroot/src"
    tar -cf - --exclude=./.git --exclude=./build --exclude=./tmp_check --exclude=node_modules \
        --exclude='*.o' --exclude='*.so' --exclude='*.bc' --exclude=wa_simulator --exclude=wa_gateway . | tar -C "$chroot/src" -xf -
    preload=$(test/tools/chroot.sh run "$chroot" sh -c 'echo "$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"')
    reports "$chroot/reports"
    rm -f "$chroot"/reports/*
    for suites in 'regress pgtap sanitizers' 'tap sanitizers'; do
        # shellcheck disable=SC2086
        count test/tools/chroot.sh run "$chroot" env WA_TESTS_PREPARED=yes WA_BROWSER=no COPT="-O1 $flags" \
            WA_REPORTS=/reports/report PG_TEST_TIMEOUT_DEFAULT="${PG_TEST_TIMEOUT_DEFAULT:-600}" \
            WA_SERVER_PREFIX="env LD_PRELOAD='$preload'" \
            WA_TESTS="$(case $suites in tap*) echo "${WA_TAP:-test/t/020_delivery.pl test/t/021_crash.pl test/t/022_uncertain.pl test/t/060_media.pl test/t/063_inbound_media.pl test/t/006_extension.pl}" ;; *) echo "${WA_PGTAP:-}" ;; esac)" \
            ASAN_OPTIONS=detect_leaks=0:log_path=/reports/report UBSAN_OPTIONS="$undefined:log_path=/reports/report" \
            timeout -s KILL "${WA_LIMIT:-7200}" /src/test/tools/run-tests.sh $suites
    done
}

for part in "${parts[@]}"; do
    "run_$part"
done

printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ] || exit 1
[ -z "$not_run" ] || exit 77
