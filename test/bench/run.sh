#!/bin/bash
# Measures the extension against a bare libcurl loop, against a plain external
# worker and against itself under load: `make bench`.
#
# usage: run.sh [MEASURE ...]       drain latency enqueue flatness status webhooks nodes
#                                    memory idle neighbours
#
# Environment:
#   BENCH=full      what the goals in docs/benchmarks.md speak of (an hour and
#                   15 GB of disk); its table is written there.  Otherwise a run of
#                   a few minutes that only prints its table.
#   PG_CONFIG       of the PostgreSQL to measure.  Default: pg_config
#   BENCH_DIR       where the data goes, on the disk to be measured.
#                   Default: /var/tmp
#   BENCH_HISTORY, BENCH_BACKLOG, BENCH_ROUNDS ...  other sizes, see bench.pl
#
# Makes a copy of PostgreSQL with the extension, a cluster and servers of its own
# on loopback, and removes them at the end, also after Ctrl-C.  As root it runs
# everything as user postgres.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
mode=${BENCH:-quick}
case $mode in
quick | full) ;;
*)
	echo "run.sh: BENCH is quick or full" >&2
	exit 2
	;;
esac

missing=
for program in nginx node npm perl openssl cc; do
	command -v $program >/dev/null || [ -x /usr/sbin/$program ] || missing="$missing $program"
done
if [ -n "$missing" ]; then
	echo "run.sh: missing:$missing (Debian: nginx-light libnginx-mod-http-echo nodejs npm" \
		"openssl gcc libcurl4-openssl-dev libpq-dev)" >&2
	exit 1
fi

run=$(mktemp -d "${BENCH_DIR:-/var/tmp}/whatsapp_shared_bench.XXXXXX")
child=
# bench.pl ends what it has started; then the files can go.
trap 'rm -rf "$run"' EXIT
trap '[ -z "$child" ] || { kill -TERM "$child"; wait "$child" || true; }; exit 130' INT TERM HUP

chmod 755 "$run"
pg_config=$("$top/test/tools/private-postgres.sh" "$run/pg")/bin/pg_config

# A copy, because the unprivileged user need not be able to read this tree.
cp -r "$here" "$run/bench"
rm -rf "$run/bench/external-worker/node_modules"
make -s -C "$run/bench" PG_CONFIG="$pg_config" OUT="$run/build" all
make -s -C "$top/src/bin/gateway" PG_CONFIG="$pg_config"
cp "$top/src/bin/gateway/wa_gateway" "$run/build/"
cp -r "$run/bench/external-worker" "$run/build/"
(cd "$run/build/external-worker" && npm ci --silent --no-audit --no-fund)
mkdir "$run/data"

as=()
if [ "$(id -u)" = 0 ]; then
	chown -R postgres: "$run"
	# Not runuser: it would stand between bench.pl and the signals meant for it.
	as=(setpriv --reuid=postgres --regid=postgres --init-groups env HOME="$run")
fi
status=0
only=$(IFS=,; echo "$*")
cd /
PATH=$PATH:/usr/sbin "${as[@]}" perl "$run/bench/bench.pl" --mode "$mode" \
	--pg-config "$pg_config" --build "$run/build" --dir "$run/data" --out "$run/data/table.md" \
	${only:+--only "$only"} &
child=$!
wait "$child" || status=$?
child=
[ -f "$run/data/table.md" ] || exit "${status/#0/1}"

cat "$run/data/table.md"
if [ "$mode" = full ] && [ -z "$only" ]; then
	DOCUMENT=$top/docs/benchmarks.md perl -I "$here/lib" -MBench::Report -0777 -ne \
		'Bench::Report::into_document($ENV{DOCUMENT}, $_)' "$run/data/table.md"
fi
exit $status
