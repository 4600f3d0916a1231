#!/usr/bin/env bash
#
# make check-patroni: docs/high-availability.md as a drill.
#
# Three machines with etcd, Patroni and PostgreSQL, configured by the very files of
# docs/high-availability/, lose their leader again and again, while applications enqueue
# and webhooks come in.  What the applications know to be committed is then held against
# the log of the simulator.  WA_ROUNDS (3) is how often each kind of loss happens,
# WA_KINDS which ones; see drill.pl.
#
# All of it happens in network, PID and mount namespaces, as the machine's other servers
# must not be touched; packages that are missing are installed, and not started.  Where
# that cannot be had this says "not run" and exits with status 77.

set -euo pipefail
cd "$(dirname "$0")/../.."

not_run() {
    echo "make check-patroni: not run: $*" >&2
    exit 77
}

[ "$(id -u)" -eq 0 ] || not_run "namespaces need root"
test/tools/install-packages.sh patroni || not_run "the packages cannot be had"
unshare -n -p -m --fork --mount-proc ip link add name probe type veth peer name eborp 2> /dev/null ||
    not_run "there are no network namespaces, or no veth devices in them"
unshare -n nft add table inet probe 2> /dev/null || not_run "there is no nftables in network namespaces"

# ---- as somebody without rights: a PostgreSQL with the extension, and the programs ----

copy=$(mktemp -d /tmp/whatsapp_shared-patroni.XXXXXX)
inside=
clean_up() {
    local status=$?

    trap '' INT TERM HUP
    if [ -n "$inside" ] && kill -KILL "$inside" 2> /dev/null; then
        wait "$inside" 2> /dev/null || true
    fi
    if [ -n "${KEEP:-}" ]; then
        echo "The drill's files are in $copy."
    else
        # What is still ending may still write.
        rm -rf "$copy" 2> /dev/null || { sleep 1 && rm -rf "$copy"; }
    fi
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

mkdir "$copy/tree" "$copy/home"
tar -cf - --exclude=./.git --exclude=./build --exclude=./tmp_check --exclude=node_modules \
    --exclude='*.o' --exclude='*.so' --exclude='*.bc' . | tar -C "$copy/tree" -xf -
chmod 755 "$copy"
chown -R postgres "$copy"
as_postgres() {
    runuser -u postgres -- env -i HOME="$copy/home" PATH=/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 PG_CONFIG="$(command -v "${PG_CONFIG:-pg_config}")" "$@"
}
prefix=$(cd "$copy/tree" && as_postgres test/tools/private-postgres.sh "$copy/tree/build/pg")
as_postgres make -s -j2 -C "$copy/tree/src/bin/simulator"
as_postgres make -s -j2 -C "$copy/tree/src/bin/gateway" PG_CONFIG="$prefix/bin/pg_config"

# ---- the drill, where nobody else is ----

settings=(PATH="$prefix/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" LANG=C.UTF-8 HOME="$copy/home"
    PREFIX="$prefix" WORK="$copy/work" PERL5LIB="$copy/tree/test/patroni/lib:$copy/tree/test/lib"
    WA_SIMULATOR="$copy/tree/src/bin/simulator/wa_simulator" WA_GATEWAY="$copy/tree/src/bin/gateway/wa_gateway")
for name in WA_ROUNDS WA_SECONDS WA_KINDS WA_DCS WA_WATCHDOG WA_STRICT PG_TEST_TIMEOUT_DEFAULT; do
    [ -z "${!name:-}" ] || settings+=("$name=${!name}")
done
mkdir "$copy/work"
cd "$copy/tree"
env -i "${settings[@]}" unshare -n -p -m --fork --kill-child --mount-proc \
    perl test/patroni/init.pl perl test/patroni/drill.pl < /dev/null &
inside=$!
status=0
wait "$inside" || status=$?
inside=
exit "$status"
