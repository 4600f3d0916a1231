/*
 * What is sent from our numbers by others: in the app on a phone, now and before.
 */
\ir ../lib/begin.sql
\ir ../lib/webhook.sql
SELECT plan(24);

INSERT INTO whatsapp_phone_numbers (phone_number_id, display_phone_number) VALUES ('100000000000001', '+34 600 00 00 01');
INSERT INTO whatsapp_tenants (tenant_id) VALUES ('panaderia');
INSERT INTO whatsapp_phone_assignments (tenant_id, phone_number_id, assigned_at)
    VALUES ('panaderia', '100000000000001', now() - interval '10 days');
CREATE FUNCTION pg_temp.send(field text, content jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.counts(pg_temp.post(pg_temp.envelope(pg_temp.change(field, '{"messaging_product": "whatsapp", "metadata":
        {"display_phone_number": "34600000001", "phone_number_id": "100000000000001"}}' || content))))
$$;
CREATE FUNCTION pg_temp.said() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws('|', whatsapp_message_id, tenant_id, CASE WHEN from_customer THEN 'customer' END, customer_phone, customer_user_id, text, source), ' ' ORDER BY sent_at, 1)
    FROM whatsapp_app_messages
$$;

SELECT is(pg_temp.send('smb_message_echoes', '{"message_echoes": [{"from": "34600000001", "to": "34600001101", "to_user_id": "ES.11", "id": "wamid.C11", "timestamp": "1764000000",
    "type": "text", "text": {"body": "Le llamo"}}]}'), '1/0/0/0', 'a message written in the app');
SELECT is(pg_temp.said(), 'wamid.C11|panaderia|+34600001101|ES.11|Le llamo|app', 'is in the record, as such');
SELECT is((SELECT count(*) FROM whatsapp_windows) + (SELECT count(*) FROM whatsapp_inbound_messages), 0::bigint, 'and no message of a customer''s');
SELECT is(pg_temp.send('smb_message_echoes', '{"message_echoes": [{"from": "34600000001", "to": "34600001101", "to_user_id": "ES.11", "id": "wamid.C11", "timestamp": "1764000000",
    "type": "text", "text": {"body": "Le llamo"}}]}'), '0/1/0/0', 'once');
SELECT is((SELECT value::text ~ 'Le llamo' FROM whatsapp_account_events), false, 'and nowhere else');

SELECT pg_temp.new_message('accepted') AS m \gset
SELECT is(pg_temp.send('history', format('{"history": [{"metadata": {"phase": 0, "chunk_order": 1, "progress": 50}, "threads": [{"id": "34600001102", "messages": [
    {"from": "34600001102", "id": "wamid.H1", "timestamp": "1763999100", "type": "text", "text": {"body": "STOP"}, "history_context": {"status": "READ"}},
    {"from": "34600000001", "to": "34600001102", "id": "wamid.H2", "timestamp": "1763999200", "type": "text", "text": {"body": "De acuerdo"}},
    {"from": "34600000001", "to": "34600001102", "id": "wamid.%s", "timestamp": "1763999300", "type": "text", "text": {"body": "enviado desde aquí"}},
    {"id": "wamid.H3"}, 7]}]}]}', :m)::jsonb), '1/0/0/0', 'history');
SELECT is((SELECT string_agg(concat_ws('|', whatsapp_message_id, CASE WHEN from_customer THEN 'customer' ELSE 'own' END, customer_phone, text), ' ' ORDER BY sent_at) FROM whatsapp_app_messages WHERE source = 'history'),
    'wamid.H1|customer|+34600001102|STOP wamid.H2|own|+34600001102|De acuerdo', 'is stored with who wrote what, but for what was sent from here');
SELECT is((SELECT count(*) FROM whatsapp_windows) + (SELECT count(*) FROM whatsapp_opt_outs), 0::bigint, 'and nothing follows from what is past');
SELECT is(pg_temp.send('history', '{"history": [{"errors": [{"code": 2593109, "title": "History sharing is turned off by the business from the WhatsApp Business App"}]}]}'), '1/0/0/0',
    'history that nobody shares is none');
SELECT is(pg_temp.send('history', '{"messages": [{"from": "34600001102", "id": "wamid.H4", "timestamp": "1763999050", "type": "image", "image": {"id": "9", "caption": "La tarta"}}]}'), '1/0/0/0', 'a file of it');
SELECT is((SELECT text || ' ' || from_customer FROM whatsapp_app_messages WHERE whatsapp_message_id = 'wamid.H4'), 'La tarta true', 'is stored, too');
SELECT is((SELECT count(*) FROM wa_timeline(now() - interval '1 day', now() + interval '1 day') WHERE subject ~ 'history|echoes'), 0::bigint, 'none of it is news of the account');
UPDATE whatsapp_app_messages SET received_at = now() - interval '10 years' WHERE source = 'history';
SELECT wa_internal_retain_inbound(1000) \g /dev/null
SELECT is((SELECT string_agg(source, ' ') FROM whatsapp_app_messages), 'app', 'old ones are forgotten');

/* ---- edited and deleted there ---- */

CREATE FUNCTION pg_temp.echo(wamid text, at bigint, type text, content jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.send('smb_message_echoes', jsonb_build_object('message_echoes', jsonb_build_array(jsonb_build_object('from', '34600000001', 'to', '34600001103',
        'id', wamid, 'timestamp', at::text, 'type', type) || content)))
$$;
CREATE FUNCTION pg_temp.reads(wamid text) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws('|', text, extract(epoch FROM edited_at - pg_temp.at(1764000000))::integer, extract(epoch FROM revoked_at - pg_temp.at(1764000000))::integer)
    FROM whatsapp_app_messages WHERE whatsapp_message_id = $1
$$;
SELECT pg_temp.echo('wamid.A1', 1764000001, 'text', '{"text": {"body": "a las 9"}}'),
    pg_temp.echo('wamid.A2', 1764000002, 'edit', '{"edit": {"original_message_id": "wamid.A1", "message": {"type": "text", "text": {"body": "a las 10"}}}}') \g /dev/null
SELECT is(pg_temp.reads('wamid.A1'), 'a las 10|2', 'what was edited in the app reads as it does there');
SELECT pg_temp.echo('wamid.B3', 1764000005, 'revoke', '{"revoke": {"original_message_id": "wamid.B1"}}'),
    pg_temp.echo('wamid.B2', 1764000004, 'edit', '{"edit": {"original_message_id": "wamid.B1", "message": {"type": "text", "text": {"body": "dos"}}}}'),
    pg_temp.echo('wamid.B1', 1764000003, 'text', '{"text": {"body": "uno"}}') \g /dev/null
SELECT is(pg_temp.reads('wamid.B1'), 'dos|4|5', 'also if all of it comes the other way round');
SELECT pg_temp.echo('wamid.A3', 1764000001, 'edit', '{"edit": {"original_message_id": "wamid.A1", "message": {"type": "text", "text": {"body": "antes"}}}}') \g /dev/null
SELECT is(pg_temp.reads('wamid.A1'), 'a las 10|2', 'an older edit changes nothing');
SELECT is(pg_temp.reads('wamid.C11'), 'Le llamo', 'nor what it is not about');

/* ---- more than one document should hold ---- */

DELETE FROM whatsapp_app_messages;
CREATE FUNCTION pg_temp.thread(customer bigint, messages integer, size integer) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('id', customer::text, 'messages', COALESCE(jsonb_agg(jsonb_build_object('from', CASE n % 2 WHEN 0 THEN '34600000001' ELSE customer::text END,
        'id', format('wamid.L%s-%s', customer, n), 'timestamp', (1763000000 + n)::text, 'type', 'text', 'text', jsonb_build_object('body', n || ' "ñ" ' || repeat('x', size))) ORDER BY n), '[]'))
    FROM generate_series(1, messages) AS n
$$;
SELECT jsonb_build_object('history', jsonb_build_array(
    jsonb_build_object('metadata', '{"phase": 0}'::jsonb, 'threads', jsonb_build_array(pg_temp.thread(34600001201, 3, 10), pg_temp.thread(34600001202, 700, 1000), pg_temp.thread(34600001203, 0, 0), '7')),
    jsonb_build_object('metadata', '{"phase": 1}'::jsonb, 'threads', jsonb_build_array(pg_temp.thread(34600001204, 2, 120000), pg_temp.thread(34600001205, 1, 5)))),
    'messages', '[{"from": "34600001201", "id": "wamid.LF", "timestamp": "1763000000", "type": "image", "image": {"id": "9", "caption": "La tarta"}}]'::jsonb) AS large \gset
SELECT matches(pg_temp.send('history', :'large'), '^[0-9]{2}/0/0/0$', 'history of a megabyte is stored');
SELECT is((SELECT string_agg(customer_phone || ' ' || n, ', ' ORDER BY customer_phone) FROM (SELECT customer_phone, count(*) AS n FROM whatsapp_app_messages GROUP BY customer_phone) AS c),
    '+34600001201 4, +34600001202 700, +34600001204 2, +34600001205 1', 'every message of every conversation, with its customer');
SELECT is((SELECT length(text) || left(text, 8) FROM whatsapp_app_messages WHERE whatsapp_message_id = 'wamid.L34600001202-699'), '1008699 "ñ" ', 'as it was written');
SELECT is((SELECT count(DISTINCT fingerprint) > 10 FROM whatsapp_account_events WHERE field = 'history' AND value ->> 'metadata' IS NOT NULL), true, 'in pieces');
SELECT matches(pg_temp.send('history', :'large'), '^0/[0-9]{2}/0/0$', 'once');
SELECT is(pg_temp.send('history', jsonb_build_object('history', jsonb_build_array(jsonb_build_object('threads', jsonb_build_array(pg_temp.thread(34600001206, 1, 300000), pg_temp.thread(34600001207, 1, 5)))))),
    '1/0/2/0', 'a message that no person can have written is parked, with its webhook');
SELECT is((SELECT count(*) FROM whatsapp_app_messages WHERE customer_phone IN ('+34600001206', '+34600001207')), 1::bigint, 'and the others are stored');

SELECT * FROM finish();
ROLLBACK;
