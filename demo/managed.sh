#!/usr/bin/env bash
#
# make demo-managed: an application on a PostgreSQL that has no library of ours, as on a managed service; a small
# PostgreSQL beside it with the extension; wa_simulator plays Meta.  docs/managed.md is the guide to all of it.
#
# Everything runs in two private PostgreSQL without a TCP port, in a directory of its own below /tmp, and is gone when
# this script ends, however it ends.

set -euo pipefail
cd "$(dirname "$0")/.."
. demo/lib.sh
. demo/server.sh

# ---- two servers instead of one: the sidecar is lib.sh's, the application's has its own socket ------------------

worker_pid=
end_both() {
    local status=$?
    trap '' INT TERM HUP PIPE
    set +e
    if [ -n "$worker_pid" ]; then kill "$worker_pid" 2> /dev/null; fi
    if [ -f "$work/app/postmaster.pid" ]; then
        as_server "$plain/pg_ctl" -s -t 20 -m immediate -D "$work/app" stop > /dev/null 2>&1
    fi
    # What it ends with is what clean_up sees.
    (exit "$status")
    clean_up
}
trap end_both EXIT

on_app() { "$bindir/psql" -X -q -h "$work/app_socket" -p 5432 -d app -v ON_ERROR_STOP=1 "$@"; }
application() { on_app -U bakery_app "$@"; }
owner() { on_app -U postgres "$@"; }
sidecar() { psql_ -U postgres "$@"; }

# lib.sh's operator: of the sidecar while that is set up, then whoever looks at the application's database.
admin() { sidecar "$@"; }
value() { owner -At -c "$1"; }

# The programs without our library, where Debian has them.
start_application() {
    plain=$bindir
    local debian
    debian=/usr/lib/postgresql/$("$bindir/postgres" --version | sed 's/.* \([0-9]*\)\..*/\1/')/bin
    if [ -x "$debian/initdb" ]; then plain=$debian; fi
    mkdir "$work/app_socket"
    [ "$(id -u)" -ne 0 ] || chown "$server_user" "$work/app_socket"
    as_server "$plain/initdb" -D "$work/app" -U postgres -A trust -E UTF8 --locale=C.UTF-8 > "$work/initdb_app.log" 2>&1 ||
        die "initdb failed: $(cat "$work/initdb_app.log")"
    printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$work/app_socket'" 'wal_level = logical' \
        'wal_retrieve_retry_interval = 1s' >> "$work/app/postgresql.conf"
    as_server "$plain/pg_ctl" -s -w -D "$work/app" -l "$work/app.log" start ||
        die "PostgreSQL does not start: $(tail -n 20 "$work/app.log")"
    "$bindir/psql" -X -q -h "$work/app_socket" -U postgres -d postgres -c 'CREATE ROLE bakery_app LOGIN' \
        -c 'CREATE ROLE app_owner LOGIN' -c 'CREATE ROLE sidecar LOGIN REPLICATION' -c 'CREATE DATABASE app OWNER app_owner' \
        -c 'ALTER DATABASE app SET search_path = "$user", public, whatsapp'
}

restart_sidecar() {
    as_server "$bindir/pg_ctl" -s -w -D "$work/data" -l "$work/postgres.log" "$@"
}

# What a timer does.
keep_working() {
    while :; do
        sidecar -At -c "SET statement_timeout = '60s'" -c 'SELECT whatsapp_outbox.work()' > /dev/null 2>> "$work/worker.log" || true
        sleep 2
    done
}

step "0. Two private PostgreSQL, and a stand-in for Meta"
make_work_directory
install_packages
give_work_directory
build_everything
start_simulator
start_postgres
sidecar -d postgres -c 'CREATE DATABASE bakery' -c "ALTER SYSTEM SET wal_level = 'logical'" \
    -c "ALTER SYSTEM SET wal_retrieve_retry_interval = '1s'" -c 'CREATE ROLE results LOGIN REPLICATION' \
    -c 'CREATE ROLE gateway_webhook LOGIN' -c 'CREATE ROLE gateway_admin LOGIN'
restart_sidecar restart
start_application
say "the application's: PostgreSQL $(value 'SHOW server_version'), shared_preload_libraries = '$(value 'SHOW shared_preload_libraries')'"
say "the sidecar:       PostgreSQL $(sidecar -At -c 'SHOW server_version'), shared_preload_libraries = '$(sidecar -At -c 'SHOW shared_preload_libraries')'"

step "1. One SQL file for each"
say "The application's database, as its owner, who is no superuser: sql/outbox/application.sql"
on_app -U app_owner -f sql/outbox/application.sql > /dev/null
on_app -U app_owner -c "SELECT whatsapp.wa_grant('bakery_app', 'sender'), whatsapp.wa_grant('bakery_app', 'monitor'),
    whatsapp.wa_grant('sidecar', 'sidecar')" > /dev/null
say "The sidecar: sql/outbox/sidecar.sql, the address of the other, and two subscriptions"
sidecar -c 'SET client_min_messages = warning' -f sql/outbox/sidecar.sql > /dev/null
sidecar -c "SELECT wa_grant('gateway_webhook', 'webhook'), wa_grant('gateway_admin', 'admin')" \
    -c "SELECT whatsapp_outbox.grant_results('results')" \
    -c "ALTER SERVER whatsapp_publisher OPTIONS (ADD host '$work/app_socket', ADD port '5432', ADD dbname 'app')" \
    -c "CREATE USER MAPPING FOR whatsapp_outbox SERVER whatsapp_publisher OPTIONS (user 'sidecar', password_required 'false')" > /dev/null
for publication in whatsapp_outbox whatsapp_outbox_bulk; do
    sidecar -c 'SET client_min_messages = warning' -c "CREATE SUBSCRIPTION $publication
        CONNECTION 'host=$work/app_socket port=5432 dbname=app user=sidecar' PUBLICATION $publication
        WITH (copy_data = false, streaming = off, two_phase = false)"
done
say "And one that brings results back."
owner -c 'SET client_min_messages = warning' -c "CREATE SUBSCRIPTION whatsapp_results
    CONNECTION 'host=$work/socket port=5432 dbname=bakery user=results' PUBLICATION whatsapp_results"
keep_working &
worker_pid=$!
start_gateway
register_webhooks
admin() { owner "$@"; }
sidecar -c "SELECT wa_sync_phone_numbers(), wa_sync_templates()" > /dev/null
wait_until "SELECT count(*) >= 2 FROM whatsapp_templates WHERE status = 'APPROVED'"
sidecar -c "SELECT wa_assign_phone('trigal', '100000000000001'), wa_assign_phone('corteza', '100000000000002')" > /dev/null
say "The application sees the account's templates, which the sidecar has read from Meta:"
show application "SELECT name, language, status FROM whatsapp_templates ORDER BY name"

step "2. The application's transactions decide"
show application "BEGIN;
SELECT wa_enqueue_message('trigal', '+34 600 000 101', 'pedido_compra', '[\"Harinas Molino\", \"TRI-2041\", \"1.226,40 €\", \"3 de diciembre\"]', reference => 'TRI-2041');
COMMIT"
show application "BEGIN;
SELECT wa_enqueue_message('trigal', '+34 600 000 101', 'pedido_compra', '[\"Harinas Molino\", \"TRI-2042\", \"9 €\", \"4 de diciembre\"]', reference => 'TRI-2042');
ROLLBACK"
watch_messages "queued accepted sent delivered read failed" "queued sending accepted sent delivered"
say "What is wrong is refused at once:"
show_refused application "SELECT wa_enqueue_message('trigal', '600000101', 'pedido_compra', '[\"x\"]')"
say "What only the sidecar can know comes back, and holds up nobody:"
show application "SELECT wa_enqueue_message('nadie', '+34 600 000 102', 'pedido_compra', '[\"a\", \"b\", \"c\", \"d\"]')"
wait_until "SELECT bool_or(status = 'failed') FROM whatsapp_messages"
show application "SELECT tenant_id, status, status_reason, sqlstate, split_part(error_message, E'\n', 1) AS error
FROM whatsapp_messages WHERE status = 'failed'"

step "3. The sidecar is away"
restart_sidecar -m immediate stop
show application "SELECT count(wa_enqueue_message('corteza', '+34 600 000 1' || lpad(i::text, 2, '0'), 'pedido_compra',
    jsonb_build_array('Lácteos', 'COR-' || i, '10 €', '5 de diciembre'), reference => 'COR-' || i)) FROM generate_series(1, 20) AS i"
say "The application has committed, and its health says what is wrong:"
show application "SELECT item, state, detail FROM wa_outbox_health() WHERE state <> 'ok' AND item LIKE 'slot%'"
say "It comes back:"
restart_sidecar start
watch_messages "queued accepted sent delivered read failed" "queued sending accepted sent delivered"

step "4. What replication leaves out"
say "After an asynchronous failover of the application's server, replication skips what is below the lost end, without a word."
say "Here the sidecar is made to believe that it has had more than there is:"
sidecar -c "ALTER SUBSCRIPTION whatsapp_outbox DISABLE"
until [ "$(sidecar -At -c "SELECT count(*) FROM pg_stat_subscription WHERE subname = 'whatsapp_outbox' AND pid IS NOT NULL")" = 0 ]; do sleep 0.1; done
sidecar -c "SELECT pg_replication_origin_advance('pg_' || oid, '$(value 'SELECT pg_current_wal_lsn() + 100000000')')
    FROM pg_subscription WHERE subname = 'whatsapp_outbox'" -c "ALTER SUBSCRIPTION whatsapp_outbox ENABLE" > /dev/null
show application "SELECT wa_enqueue_message('trigal', '+34 600 000 103', 'pedido_compra', '[\"Huevos\", \"TRI-2043\", \"77 €\", \"6 de diciembre\"]', reference => 'TRI-2043')"
say "The reconciliation, which takes nothing younger than ten seconds, finds it:"
watch_messages "queued accepted sent delivered read failed" "queued sending accepted sent delivered"
say "$(sidecar -At -c "SELECT 'left out by replication and taken later: ' || reconciled FROM whatsapp_outbox.work_state")"

step "5. What the application sees"
show application "SELECT tenant_id, recipient_phone, status, created_at, error_message
FROM whatsapp_messages WHERE created_at > NOW() - INTERVAL '24 hours' ORDER BY created_at DESC LIMIT 5"
accepted=$(simulator GET stats | perl -MJSON::PP -0777 -ne 'print decode_json($_)->{accepted}')
expected=$(value "SELECT count(*) FROM whatsapp_messages WHERE whatsapp_message_id IS NOT NULL")
[ "$accepted" = "$expected" ] || die "Meta has accepted $accepted messages, and the application knows of $expected"
[ "$(value "SELECT count(*) FROM whatsapp_messages WHERE reference = 'TRI-2042'")" = 0 ] || die "TRI-2042 was rolled back"

step "Done"
say "$accepted messages were accepted by Meta, each once, and the application knows of each; the one that was rolled back is none of them."
if [ -n "${KEEP:-}" ]; then
    say "It stays until Ctrl-C. The application's database and the sidecar:"
    say "  psql -h $work/app_socket -U postgres app"
    say "  psql -h $work/socket -U postgres bakery"
    wait "$simulator_pid" || true
    die "wa_simulator has ended"
fi
say "Everything is removed now; make demo-managed KEEP=1 keeps it running so that you can look around."
