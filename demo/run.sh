#!/usr/bin/env bash
#
# make demo: ten bakeries order from their suppliers, who are told on WhatsApp;
# wa_simulator plays Meta, whose webhooks reach wa_gateway over HTTP.
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
make_work_directory
install_packages
give_work_directory
build_everything
start_simulator
start_postgres
create_application
start_gateway
say "PostgreSQL $(value 'SHOW server_version') in $work, without a TCP port"
say "wa_simulator plays Meta at $graph_url: one WhatsApp Business account, ten numbers, two templates"
say "wa_gateway serves webhooks, the API and the pages at $gateway_url"

step "1. Ten bakeries, one WhatsApp account"
say "What the account has is read from Meta:"
admin -c "SELECT wa_sync_phone_numbers(), wa_sync_templates()" > /dev/null
wait_until "SELECT count(*) = 2 FROM whatsapp_sync WHERE finished_at > requested_at AND error IS NULL"
# Its template is checked against those.
application -f demo/notification.sql > /dev/null
show admin "SELECT name AS template, language, category, status FROM whatsapp_templates
WHERE name IN ('pedido_compra', 'entrega_cambiada') ORDER BY name DESC"
say "The platform's operator gives every bakery a number, here the best free one:"
show admin "SELECT b.name, a.phone_number_id, a.display_phone_number
FROM bakeries b, wa_assign_phone(b.bakery_id) a"
say "A number has one holder. A constraint keeps it from being given to a second bakery:"
show_refused admin "SELECT wa_assign_phone('alba', '100000000000001')"
say "Horno La Artesa Vieja wants no messages for now:"
show admin "SELECT tenant_id, enabled FROM wa_configure_tenant('artesa', enabled => false)"

step "2. The morning's purchase orders"
say "To look at the queue before it empties, sending is paused:"
run admin "SELECT wa_pause('account', reason => 'the demo looks at the queue first')"
say "The application places 30 orders; a trigger enqueues the messages (demo/trigger.sql)."
application -f demo/orders.sql > "$work/orders.out"
say "One order is placed, and its transaction rolled back:"
show application "BEGIN;
SELECT place_order('trigal', 'TRI-2044', 'Levaduras Burbuja', current_date + 2, '{\"Levadura fresca\": 500}');
ROLLBACK"
say "One supplier's number was entered without its country code. Nothing is guessed; the order is rejected:"
show_refused application "SELECT place_order('rosca', 'ROS-3303', 'Levaduras Sin Prefijo', current_date + 2, '{\"Levadura fresca\": 2}')"
say "What is waiting, and what was skipped for the bakery that wants none:"
show admin "SELECT status, status_reason, count(*) FROM whatsapp_messages GROUP BY 1, 2 ORDER BY 1"
explain TRI-2041

step "3. Sending"
say "Three mishaps are staged (demo/faults.json): Meta is busy for LEV-0911 at first, the connection breaks right after"
say "MAS-0052 was taken, and the supplier of LUN-0122 turns out not to be on WhatsApp."
run admin "SELECT wa_resume('account')"
watch_messages "queued accepted uncertain" "queued sending"
say "LEV-0911 was tried again. Nobody here can know whether Meta has MAS-0052, so it is not resent blindly:"
explain MAS-0052

step "4. Meta reports what became of them"
say "The address of wa_gateway is registered with Meta, which verifies it and posts signed webhooks there from now on."
say "The report on MAS-0052 carries our own reference and settles it."
register_webhooks
watch_messages "uncertain accepted sent delivered read failed" "uncertain accepted sent delivered"

step "5. A supplier presses a button"
say "On the phone of the supplier of TRI-2041:"
telephone "reference = 'TRI-2041'"
say "The first button is pressed. wa_on_reply() has named a function of the application for that (demo/replies.sql):"
simulator POST press "{\"wamid\": \"$(value "SELECT whatsapp_message_id FROM whatsapp_messages WHERE reference = 'TRI-2041'")\", \"button\": 0}" > /dev/null
wait_until "SELECT status <> 'placed' FROM purchase_orders WHERE order_number = 'TRI-2041'"
show admin "SELECT o.order_number, o.status, i.sender_phone, i.text
FROM whatsapp_inbound_messages i JOIN whatsapp_messages m ON m.id = i.message_id
     JOIN purchase_orders o ON (o.bakery_id, o.order_number) = (m.tenant_id, m.reference)"

step "6. A supplier asks, the bakery answers"
say "Free text is possible for 24 hours after the other side has written; before that it is rejected:"
show_refused application "SELECT wa_enqueue_text('corteza', '+34 600 000 104', 'Buenos días, ¿todo en orden con la harina?')"
say "Now that supplier writes:"
say "  ┃ ¿Podemos servirles el pedido un día más tarde?"
simulator POST inbound '{"number": "100000000000002", "from": "+34600000104", "type": "text",
    "text": {"body": "¿Podemos servirles el pedido un día más tarde?"}}' > /dev/null
wait_until "SELECT count(*) = 1 FROM whatsapp_inbound_messages WHERE message_type = 'text'"
say "The bakery answers in free text and reschedules the order. Nothing else is called: wa_create_notification() has"
say "attached template entrega_cambiada to purchase_orders (demo/notification.sql)."
show application "SELECT wa_enqueue_text('corteza', '+34 600 000 104', 'Sí, sin problema: abrimos a las 5:30.')"
run application "UPDATE purchase_orders SET delivery_date = delivery_date + 1 WHERE order_number = 'COR-0388'"
watch_messages "queued accepted sent delivered read failed" "queued sending accepted sent delivered"
say "On the supplier's phone:"
telephone "recipient_phone = '+34600000104' AND m.id > (SELECT max(id) FROM whatsapp_messages WHERE reference = 'ROS-3302')"

step "7. What the operator sees"
show admin "SELECT tenant_id, recipient_phone, status, created_at, error_message
FROM whatsapp_messages WHERE created_at > NOW() - INTERVAL '24 hours' ORDER BY created_at DESC"
say "All of this, compared with what the simulated Meta has logged:"
check_against_simulator

step "Done"
say "$(value "SELECT format('%s purchase orders, %s messages: %s accepted by Meta, %s skipped. Every message arrived once.',
    (SELECT count(*) FROM purchase_orders), count(*), count(*) FILTER (WHERE whatsapp_message_id IS NOT NULL),
    count(*) FILTER (WHERE status = 'skipped')) FROM whatsapp_messages")"
if [ -n "${KEEP:-}" ]; then
    say "It stays until Ctrl-C. To look around, in a browser:"
    say "  $gateway_url/app/admin/whatsapp"
    say "      the platform's page; its token is $(cat "$work/gateway/admin_token")"
    say "  $(value "SELECT wa_tenant_link('trigal', '1 day')")"
    say "      the page of the bakery Trigal, by the link that its owner gets"
    say "and in another terminal:"
    psql=$(command -v psql || echo "$bindir/psql")
    say "  ${SUDO_USER:+sudo }$psql -h $work/socket -U postgres bakery"
    say "  $control_url/_control/log?all=1"
    wait "$simulator_pid" || true
    die "wa_simulator has ended"
fi
say "Everything is removed now; make demo KEEP=1 keeps it running so that you can look around."
