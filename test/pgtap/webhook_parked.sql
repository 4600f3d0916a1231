/*
 * What could not be used and may be a customer's words: people are told at once, and an
 * update takes it in.
 */
\ir ../lib/begin.sql
\ir ../lib/webhook.sql
SELECT plan(34);

INSERT INTO whatsapp_phone_numbers (phone_number_id, display_phone_number) VALUES ('100000000000001', '+34 600 00 00 01');
INSERT INTO whatsapp_tenants (tenant_id) VALUES ('panaderia');
INSERT INTO whatsapp_phone_assignments (tenant_id, phone_number_id, assigned_at)
    VALUES ('panaderia', '100000000000001', now() - interval '30 days');

CREATE FUNCTION pg_temp.alert() RETURNS text LANGUAGE sql AS $$
    SELECT COALESCE(string_agg(severity || ' ' || occurrences, ', '), 'none') FROM whatsapp_alerts WHERE kind = 'parked_messages' AND resolved_at IS NULL
$$;
CREATE FUNCTION pg_temp.health() RETURNS text LANGUAGE sql AS $$
    SELECT COALESCE(string_agg(state || ' ' || split_part(detail, ' ', 1), ', '), 'none') FROM wa_health() WHERE item = 'parked messages'
$$;
CREATE FUNCTION pg_temp.post_message(message jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.counts(pg_temp.post(pg_temp.envelope(pg_temp.messages_change(jsonb_build_object('messages', jsonb_build_array(message))))))
$$;

/* ---- people are told ---- */

SELECT is(pg_temp.post_statuses(pg_temp.status('wamid.S1', 'sent', 1764000000), pg_temp.status('wamid.S2', 'dreamt of', 1764000000)), '0/0/2/0',
    'statuses that cannot be used');
SELECT is(pg_temp.counts(pg_temp.post(pg_temp.event('no_such_field', '{}'))), '0/0/1/0', 'an event that nobody knows');
SELECT is(pg_temp.alert() || ', ' || pg_temp.health(), 'none, none', 'are no customer''s words');
SELECT is(pg_temp.post_message('{"from": "34600000001", "id": "wamid.P1", "timestamp": "soon", "type": "text", "text": {"body": "BAJA"}}'), '0/0/1/0',
    'a message that cannot be used');
SELECT is(pg_temp.alert() || ', ' || pg_temp.health(), 'error 1, error 1', 'raises an alert at once, and is a line of the check of the installation');
SELECT is(pg_temp.post_message('{"from": "34600000001", "id": "wamid.P1", "timestamp": "soon", "type": "text", "text": {"body": "BAJA"}}'), '0/1/0/0', 'repeated');
SELECT is(pg_temp.post_message('{"from": "34600000001", "id": "wamid.P2", "timestamp": "late", "type": "text", "text": {"body": "BAJA"}}'), '0/0/1/0', 'another');
SELECT is(pg_temp.alert() || ', ' || pg_temp.health(), 'error 1, error 2', 'counts there, and in the alert once a minute');
UPDATE whatsapp_alerts SET last_seen_at = now() - interval '61 seconds' WHERE kind = 'parked_messages';
SELECT is(pg_temp.counts(pg_temp.post(pg_temp.envelope(pg_temp.change('user_preferences', '{"metadata": {"phone_number_id": "100000000000001"},
    "user_preferences": [{"value": "stop", "timestamp": 1764000000}]}')))), '0/0/1/0', 'a switch of nobody');
SELECT is(pg_temp.alert() || ', ' || pg_temp.health(), 'error 2, error 3', 'is a customer''s word, too');
UPDATE whatsapp_alerts SET last_seen_at = now() - interval '61 seconds' WHERE kind = 'parked_messages';
SELECT is(pg_temp.counts(pg_temp.post(pg_temp.envelope(pg_temp.messages_change('{"messages": {}}')))), '0/0/1/0', 'messages that are none');
SELECT is(pg_temp.alert(), 'error 3', 'may be some');
UPDATE whatsapp_alerts SET last_seen_at = now() - interval '61 seconds' WHERE kind = 'parked_messages';
SELECT is(pg_temp.counts(pg_temp.post('{"object": "whatsapp_business_account", "entry": [')), '0/0/1/0', 'so may half of a body');
SELECT is(pg_temp.alert() || ', ' || pg_temp.health(), 'error 4, error 5', 'which is told');
SELECT wa_resolve_alert(alert_id) FROM whatsapp_alerts WHERE kind = 'parked_messages' \g /dev/null
UPDATE whatsapp_parked_events SET received_at = received_at - interval '1 second';
SELECT is(pg_temp.alert() || ', ' || pg_temp.health(), 'none, none', 'until somebody says that it is dealt with');

/* ---- nothing has changed ---- */

CREATE TEMPORARY TABLE before AS SELECT p.* FROM whatsapp_parked_events AS p;
SELECT is(pg_temp.counts(wa_reprocess_parked()), '0/0/7/0', 'what cannot be used yet');
SELECT results_eq('SELECT parked_id, fingerprint, received_at FROM whatsapp_parked_events ORDER BY 1', 'SELECT parked_id, fingerprint, received_at FROM before ORDER BY 1',
    'stays as it is');
SELECT is(pg_temp.alert(), 'none', 'and raises no alert again');
DELETE FROM whatsapp_parked_events;

/* ---- an update knows more: items as an older version has left them ---- */

CREATE FUNCTION take_reply(reply jsonb) RETURNS void LANGUAGE sql AS '';
SELECT wa_on_reply('OK', 'take_reply(jsonb)') \g /dev/null
SELECT pg_temp.new_message('accepted') AS m \gset
CREATE FUNCTION pg_temp.park(kind text, reason text, event text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO whatsapp_parked_events (fingerprint, kind, reason, phone_number_id, event, received_at)
        VALUES (sha256(convert_to(event, 'UTF8')), kind, reason, '100000000000001', pg_temp.recent(event)::jsonb, now() - interval '1 hour')
$$;
SELECT pg_temp.park('message', 'unknown_type', '{"from": "34600000002", "id": "wamid.R1", "timestamp": "1764000010", "type": "text", "text": {"body": "BAJA"}}') \g /dev/null
SELECT pg_temp.park('message', 'still_unknown', '{"from": "34600000002", "id": "wamid.R2", "timestamp": "soon", "type": "text", "text": {"body": "hola"}}') \g /dev/null
SELECT pg_temp.park('change', 'unknown_field', pg_temp.messages_change('{"messages": [{"from": "34600000003", "id": "wamid.R3", "timestamp": "1764000005", "type": "text", "text": {"body": "pan"}},
    {"from": "34600000003", "id": "wamid.R4", "timestamp": "soon", "type": "text", "text": {"body": "y tarta"}}]}')::text) \g /dev/null
SELECT pg_temp.park('message', 'unknown_type', '{"from": "34600000002", "id": "wamid.R5", "timestamp": "1764000001", "type": "button", "button": {"payload": "OK:7", "text": "Sí"}}') \g /dev/null
SELECT pg_temp.park('message', 'unknown_type', format('{"from": "34600000004", "id": "wamid.R6", "timestamp": "%s", "type": "text", "text": {"body": "hace tiempo"}}', floor(EXTRACT(epoch FROM now())) - 8 * 86400)) \g /dev/null
SELECT pg_temp.park('event', 'unknown_preference', '{"wa_id": "34600000005", "category": "marketing_messages", "value": "stop", "timestamp": 1764000000}') \g /dev/null
SELECT pg_temp.park('status', 'unknown_status', format('{"id": "wamid.%s", "status": "sent", "timestamp": "1764000000"}', :m)) \g /dev/null
SELECT pg_temp.park('change', 'failed: x', pg_temp.change('account_review_update', '{"decision": "REJECTED"}')::text) \g /dev/null
INSERT INTO whatsapp_parked_events (fingerprint, kind, reason, body)
    SELECT '\x02', 'body', 'not JSON', convert_to(pg_temp.recent(pg_temp.envelope(pg_temp.messages_change('{"messages": [{"from": "34600000006", "id": "wamid.R7", "timestamp": "1764000000", "type": "text", "text": {"body": "entero"}}]}'))), 'UTF8');

SELECT is(pg_temp.counts(wa_reprocess_parked('unknown_preference')), '1/0/0/0', 'for one reason');
SELECT is((SELECT count(*) FROM whatsapp_opt_outs WHERE recipient = '+34600000005'), 1::bigint, 'a switch is thrown');
SELECT is((SELECT count(*) FROM whatsapp_parked_events), 8::bigint, 'and nothing else touched');
SELECT is(pg_temp.counts(wa_reprocess_parked()), '7/0/2/0', 'and all the rest');
SELECT is((SELECT string_agg(substr(whatsapp_message_id, 7), ' ' ORDER BY inbound_id) FROM whatsapp_inbound_messages), 'R1 R3 R5 R6 R7',
    'messages are stored in the order in which they came');
SELECT is((SELECT string_agg(DISTINCT tenant_id, ' ') FROM whatsapp_inbound_messages), 'panaderia', 'for their tenant');
SELECT is((SELECT count(*) FROM whatsapp_opt_outs WHERE recipient = '+34600000002'), 1::bigint, 'a word opts out');
SELECT ok(handled_at IS NOT NULL AND handler_error IS NULL, 'a reply reaches its handler') FROM whatsapp_inbound_messages WHERE reply_id = 'OK:7';
SELECT is((SELECT too_old FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'wamid.R6'), true, 'what has become too old is stored as such');
SELECT is((SELECT count(*) FROM whatsapp_windows WHERE recipient = '+34600000004'), 0::bigint, 'and opens no window');
SELECT is((SELECT status FROM whatsapp_messages WHERE id = :m), 'sent', 'a status finds its message');
SELECT is((SELECT happened_at FROM whatsapp_account_events WHERE field = 'account_review_update'), now() - interval '1 hour', 'an event has happened when it came');
SELECT is((SELECT string_agg(event ->> 'id', ' ' ORDER BY parked_id) FROM whatsapp_parked_events), 'wamid.R2 wamid.R4', 'what is not usable yet is left, of a whole by itself');
SELECT is(pg_temp.counts(wa_reprocess_parked()), '0/0/2/0', 'the next time there is nothing to do');
SELECT isnt(pg_temp.alert(), 'none', 'which is an alert, as ever');
DELETE FROM whatsapp_parked_events WHERE event ->> 'id' = 'wamid.R4';
UPDATE whatsapp_parked_events SET event = event || jsonb_build_object('timestamp', floor(EXTRACT(epoch FROM now()))::text);
SELECT is(pg_temp.counts(wa_reprocess_parked()) || ', ' || pg_temp.alert() || ', ' || pg_temp.health(), '1/0/0/0, none, none', 'that ends with the last of them');

SELECT * FROM finish();
ROLLBACK;
