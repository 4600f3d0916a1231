/*
 * Conversations that Meta's agent, or another application, has: what customers write in them counts.
 */
\ir ../lib/begin.sql
\ir ../lib/webhook.sql
SELECT plan(15);

INSERT INTO whatsapp_phone_numbers (phone_number_id, display_phone_number) VALUES ('100000000000001', '+34 600 00 00 01');
INSERT INTO whatsapp_tenants (tenant_id) VALUES ('panaderia');
INSERT INTO whatsapp_phone_assignments (tenant_id, phone_number_id, assigned_at)
    VALUES ('panaderia', '100000000000001', now() - interval '10 days');
CREATE FUNCTION pg_temp.standby(content jsonb, nested boolean DEFAULT false) RETURNS jsonb LANGUAGE sql AS $$
    SELECT pg_temp.post(pg_temp.envelope(pg_temp.change('standby', '{"messaging_product": "whatsapp", "metadata": {"phone_number_id": "100000000000001"}}'
        || CASE WHEN nested THEN jsonb_build_object('standby', content) ELSE content END)))
$$;
CREATE FUNCTION pg_temp.message(wamid text, words text, at bigint) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('contacts', '[{"profile": {"name": "Ana"}, "wa_id": "34600000401"}]'::jsonb, 'messages', jsonb_build_array(jsonb_build_object(
        'from', '34600000401', 'id', wamid, 'timestamp', at::text, 'type', 'text', 'text', jsonb_build_object('body', words))))
$$;
CREATE FUNCTION pg_temp.handover(kind text, role text, at bigint, number text DEFAULT '100000000000001') RETURNS jsonb LANGUAGE sql AS $$
    SELECT pg_temp.post(pg_temp.envelope(pg_temp.change('messaging_handovers', jsonb_build_object('messaging_product', 'whatsapp',
        'recipient', jsonb_build_object('display_phone_number', '34600000001', 'phone_number_id', number),
        'sender', '{"phone_number": "34600000401"}'::jsonb, 'timestamp', at::text, 'type', kind, kind, jsonb_build_object('new_owner_role', role)))))
$$;

SELECT is(pg_temp.counts(pg_temp.standby(pg_temp.message('wamid.T1', 'hola', 1764000000)), 'messages'), '1/0/0/0', 'a message to whoever has the conversation');
SELECT is(concat_ws('|', tenant_id, sender_phone, text, thread_owner), 'panaderia|+34600000401|hola|other', 'is stored, with that it is another one')
    FROM whatsapp_inbound_messages;
SELECT is((SELECT count(*) FROM whatsapp_windows WHERE recipient = '+34600000401'), 1::bigint, 'opens the window');
SELECT is((SELECT name FROM whatsapp_contacts WHERE wa_id = '34600000401'), 'Ana', 'and tells a name');
SELECT is((pg_temp.handover('control_taken', 'ai_agent', 1764000010) ->> 'ignored'), '1', 'a handover is recorded');
SELECT is(pg_temp.counts(pg_temp.standby(pg_temp.message('wamid.T2', 'STOP', 1764000020), true), 'messages'), '1/0/0/0', 'the same in a member of that name');
SELECT is((SELECT thread_owner FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'wamid.T2'), 'ai_agent', 'with who has taken it');
SELECT is((SELECT string_agg(recipient, ' ') FROM whatsapp_opt_outs), '+34600000401', 'STOP counts, whoever is told');
SELECT pg_temp.handover('control_passed', 'escalation', 1764000030) \g /dev/null
SELECT is(pg_temp.counts(pg_temp.post(pg_temp.envelope(pg_temp.messages_change(pg_temp.message('wamid.T3', 'gracias', 1764000040)))), 'messages'), '1/0/0/0', 'passed to us');
SELECT is((SELECT thread_owner FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'wamid.T3'), NULL, 'it is ours');
SELECT is(pg_temp.counts(pg_temp.standby('{"message_echoes": [{"id": "wamid.E1", "message": {"to": "34600000401", "type": "text", "text": {"body": "¿Algo más?"}}}]}', true)), '1/0/0/0',
    'what the other one says');
SELECT is((SELECT concat_ws('|', tenant_id, from_customer, customer_phone, text, source) FROM whatsapp_app_messages), 'panaderia|f|+34600000401|¿Algo más?|agent', 'is in the record');
SELECT is(pg_temp.counts(pg_temp.standby('{"statuses": [{"id": "wamid.E1", "status": "sent", "timestamp": "1764000050", "recipient_id": "34600000401"}]}'), 'statuses'), '0/0/0/1',
    'its status is not one of ours');
SELECT pg_temp.new_message('accepted') AS m \gset
SELECT is(pg_temp.counts(pg_temp.standby(jsonb_build_object('statuses', jsonb_build_array(pg_temp.status('wamid.' || :m, 'delivered', 1764000050)))), 'statuses'), '1/0/0/0',
    'but one of ours finds its message');
SELECT is(pg_temp.counts(pg_temp.standby('{"something": []}')), '0/0/1/0', 'what nobody knows is parked');

SELECT * FROM finish();
ROLLBACK;
