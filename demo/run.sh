#!/usr/bin/env bash
#
# make demo: ten bakeries order from their suppliers, and the suppliers hear of
# it on WhatsApp; Meta is played by wa_simulator.
#
# Everything runs in a private PostgreSQL without a TCP port, in a directory
# of its own below /tmp, and is gone when this script ends, however it ends.
# With KEEP=1 it stays until Ctrl-C.  The exit status is 0 only if what the
# tables say was accepted is exactly what arrived at the simulator.

set -euo pipefail
cd "$(dirname "$0")/.."
. demo/lib.sh
. demo/server.sh

step "0. A private PostgreSQL, and a stand-in for Meta"
test/tools/install-packages.sh build
make_work_directory
say "Building in ${work}…"
build_everything
start_simulator
start_postgres
create_application
say "PostgreSQL $(value 'SHOW server_version') in $work, without a TCP port"
say "wa_simulator plays Meta at $graph_url: one WhatsApp Business account, ten numbers, template pedido_compra"

step "1. Ten bakeries, one WhatsApp account"
say "The platform's operator gives every bakery one of the account's numbers:"
show admin "SELECT a.* FROM wa_assign_phone('trigal', '100000000000001', '+34 600 00 00 01') a"
admin -f demo/assign.sql > "$work/assign.out"
say "(and so on, demo/assign.sql)"
say "A number has one holder. Giving it to a second bakery is refused, by a constraint:"
show_refused admin "SELECT wa_assign_phone('alba', '100000000000001')"
say "Horno La Artesa Vieja wants no messages for now:"
show admin "SELECT tenant_id, enabled FROM wa_configure_tenant('artesa', enabled => false)"

step "2. The morning's purchase orders"
say "The application places 30 orders; a trigger enqueues the messages (demo/trigger.sql)."
application -f demo/orders.sql > "$work/orders.out"
say "One order is placed, and its transaction rolled back:"
show application "BEGIN;
SELECT place_order('trigal', 'TRI-2044', 'Levaduras Burbuja', current_date + 2, '{\"Levadura fresca\": 500}');
ROLLBACK"
say "One supplier's number was typed without its country code. Nothing is guessed, the order is refused:"
show_refused application "SELECT place_order('rosca', 'ROS-3303', 'Levaduras Sin Prefijo', current_date + 2, '{\"Levadura fresca\": 2}')"
say "Sending is still switched off. What waits, and what was skipped for the bakery that wants none:"
show admin "SELECT status, status_reason, count(*) FROM whatsapp_messages GROUP BY 1, 2 ORDER BY 1"

step "3. Sending is switched on"
show admin "ALTER SYSTEM SET whatsapp_shared.enabled = on"
show admin "SELECT pg_reload_conf()"
watch_messages "queued accepted" "queued sending uncertain"

step "4. What the operator sees"
show admin "SELECT tenant_id, recipient_phone, status, created_at, error_message
FROM whatsapp_messages WHERE created_at > NOW() - INTERVAL '24 hours' ORDER BY created_at DESC"

step "5. The tables against the simulator's log"
check_against_simulator

step "Done"
say "$(value "SELECT format('%s purchase orders, %s messages accepted, %s skipped, 1 rolled back, 1 refused: every message arrived once.',
    count(*), count(*) FILTER (WHERE status <> 'skipped'), count(*) FILTER (WHERE status = 'skipped')) FROM whatsapp_messages")"
if [ -n "${KEEP:-}" ]; then
    say "It stays until Ctrl-C. To look around, in another terminal:"
    psql=$(command -v psql || echo "$bindir/psql")
    say "  ${SUDO_USER:+sudo }$psql -h $work/socket -U postgres bakery"
    say "  $control_url/_control/log?all=1"
    wait "$simulator_pid" || true
    die "wa_simulator has ended"
fi
say "All of it is removed now; make demo KEEP=1 keeps it running to look around in."
