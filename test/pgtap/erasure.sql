/*
 * wa_erase_person() and wa_delete_tenant(): what is left of somebody, in any column of
 * any table, whatever tables there are.
 */
\ir ../lib/begin.sql
\ir ../lib/webhook.sql
\ir ../lib/traces.sql
SELECT plan(45);
\set t 1764000000
\set number 100000000000001

/* One person, three forms and a name; a wamid as Meta makes them, with the number in it. */
\set phone 34600123457
\set user ES.13491208655302741918
\set parent ES.ENT.11815799212886844830
SELECT 'wamid.' || encode(convert_to(:'phone' || ' first', 'UTF8'), 'base64') AS first,
    'wamid.' || encode(convert_to(:'phone' || ' written', 'UTF8'), 'base64') AS written,
    'wamid.' || encode(convert_to(:'phone' || ' in the app', 'UTF8'), 'base64') AS app,
    left(encode(convert_to(:'phone', 'UTF8'), 'base64'), 14) AS hidden \gset
/* What is looked for: forms, names, words, the bytes of a file. */
SELECT ARRAY[:'phone', :'user', :'parent', 'Quintana', 'quintanilla', 'Zaragozano', 'secreto', :'hidden',
    encode(convert_to('contenido privado', 'UTF8'), 'hex')] AS parts \gset

CREATE FUNCTION pg_temp.person_writes(wamid text, words text, at bigint, phone text, user_id text, parent text, name text)
RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.envelope(pg_temp.messages_change(jsonb_build_object(
        'contacts', jsonb_build_array(jsonb_build_object('wa_id', phone, 'user_id', user_id, 'parent_user_id', parent,
            'profile', jsonb_build_object('name', name, 'username', 'quintanilla'))),
        'messages', jsonb_build_array(jsonb_build_object('from', phone, 'from_user_id', user_id, 'id', wamid,
            'timestamp', at::text, 'type', 'text', 'text', jsonb_build_object('body', words))))))
$$;
/* A status as Meta sends it, with whom it is about. */
CREATE FUNCTION pg_temp.person_status(wamid text, state text, at bigint, phone text, user_id text, data text, more jsonb DEFAULT '{}')
RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.envelope(pg_temp.messages_change(jsonb_build_object(
        'contacts', jsonb_build_array(jsonb_build_object('wa_id', phone, 'user_id', user_id, 'profile', jsonb_build_object('name', 'Quintana'))),
        'statuses', jsonb_build_array(pg_temp.status(wamid, state, at, data,
            jsonb_build_object('recipient_id', phone, 'recipient_user_id', user_id) || more)))))
$$;

SELECT wa_configure_tenant('panaderia', is_new => true) \g /dev/null
SELECT wa_configure_tenant('otra', is_new => true) \g /dev/null
SELECT wa_assign_phone('panaderia', :'number') \g /dev/null
SELECT wa_assign_phone('otra', '100000000000002') \g /dev/null
UPDATE whatsapp_phone_assignments SET assigned_at = now() - interval '9 days';

/* ---- everything that can be known of somebody ------------------------------------------ */

SELECT pg_temp.new_message('accepted') AS m \gset
UPDATE whatsapp_messages SET recipient_phone = '+' || :'phone', whatsapp_message_id = :'first', reference = 'Zaragozano 7',
    idempotency_key = 'order-' || :'phone', payload = '{"body": "secreto"}', attempts = 2, created_at = now() - interval '5 days' WHERE id = :m;
UPDATE whatsapp_wamids SET whatsapp_message_id = :'first' WHERE message_id = :m;
INSERT INTO whatsapp_attempts (message_id, attempt, outcome, error_message) VALUES (:m, 1, 'retry', 'not now, +' || :'phone');
INSERT INTO whatsapp_media (tenant_id, sha256, mime_type, kind, size, content) VALUES
    ('panaderia', '\x01', 'application/pdf', 'document', 17, convert_to('contenido privado', 'UTF8')),
    ('panaderia', '\x02', 'application/pdf', 'document', 4, convert_to('menu', 'UTF8'));
INSERT INTO whatsapp_media_uses SELECT :m, min(id) FROM whatsapp_media;
SELECT pg_temp.new_message('queued') AS waiting \gset
UPDATE whatsapp_messages SET recipient_phone = NULL, recipient_user_id = :'user', payload = '{"body": "secreto"}' WHERE id = :waiting;
INSERT INTO whatsapp_fallbacks VALUES (:waiting, 'hola', 'es', '{"body": "secreto"}');
SELECT pg_temp.new_message('uncertain') AS uncertain \gset
UPDATE whatsapp_messages SET recipient_phone = '+' || :'phone' WHERE id = :uncertain;
SELECT pg_temp.new_message('queued') AS on_wire \gset
UPDATE whatsapp_messages SET recipient_phone = '+' || :'phone', payload = '{"body": "secreto"}' WHERE id = :on_wire;
INSERT INTO whatsapp_leases (sender, pid, generation, message_ids, attempts) VALUES (0, 1, 1, ARRAY[:on_wire], '{1}');
SELECT pg_temp.new_message('accepted') AS somebody_else \gset
INSERT INTO whatsapp_media_uses SELECT :somebody_else, max(id) FROM whatsapp_media;

SELECT pg_temp.post(pg_temp.person_writes(:'written', 'un secreto de Zaragozano', :t + 1, :'phone', :'user', :'parent', 'Quintana')) \g /dev/null
SELECT inbound_id AS i FROM whatsapp_inbound_messages \gset
UPDATE whatsapp_inbound_messages SET handler_error = 'no such order: secreto' WHERE inbound_id = :i;
SELECT wa_mark_read(:i) \g /dev/null
SELECT pg_temp.post(pg_temp.person_status(:'first', 'delivered', :t + 5, :'phone', :'user', pg_temp.data(:m, 2),
    '{"pricing": {"billable": true, "category": "utility", "pricing_model": "PMP"}}')) \g /dev/null
SELECT pg_temp.post_statuses(pg_temp.status('wamid.unknown', 'sent', :t + 7, NULL, jsonb_build_object('recipient_id', :'phone'))) \g /dev/null
SELECT pg_temp.event('smb_message_echoes', jsonb_build_object('metadata', jsonb_build_object('phone_number_id', :'number',
    'display_phone_number', '34600000000'), 'message_echoes', jsonb_build_array(jsonb_build_object('from', '34600000000', 'to', :'phone',
    'id', :'app', 'timestamp', (:t + 8)::text, 'type', 'text', 'text', jsonb_build_object('body', 'secreto'))))) AS echo \gset
SELECT pg_temp.post(:'echo') \g /dev/null
SELECT wa_internal_alert('warning', 'opted_out_of_all', 'recipient', 'panaderia +' || :'phone', 'secreto of +' || :'phone',
    jsonb_build_object('tenant_id', 'panaderia', 'recipient', '+' || :'phone')) \g /dev/null
SELECT wa_internal_note('send', 'message', '+' || :'phone', jsonb_build_object('to', :'user')) \g /dev/null
INSERT INTO whatsapp_notification_failures (notification_id, notification, relation, table_owner, event, row_id, sqlstate, message)
    VALUES ('x', 'x', 'orders', 'postgres', 'INSERT', jsonb_build_object('phone', :'phone'), '22023', 'secreto');
INSERT INTO whatsapp_account_events (fingerprint, field, key, value, happened_at)
    VALUES ('\x01', 'user_preferences', :'number' || ' ' || :'user', jsonb_build_object('wa_id', :'phone'), now());
INSERT INTO whatsapp_reach VALUES ('+' || :'phone', 'panaderia', now(), 0);
INSERT INTO whatsapp_learned_identities (recipient, identity) VALUES ('+' || :'phone', :'user');
SELECT wa_opt_out('panaderia', '+' || :'phone') \g /dev/null

SELECT is(pg_temp.tables_with(VARIADIC :'parts'::text[]),
    'whatsapp_account_events whatsapp_alerts whatsapp_app_messages whatsapp_attempts whatsapp_contact_identities '
    'whatsapp_contacts whatsapp_events whatsapp_fallbacks whatsapp_inbound_messages whatsapp_learned_identities whatsapp_media whatsapp_messages '
    'whatsapp_notification_failures whatsapp_opt_outs whatsapp_parked_events whatsapp_reach whatsapp_read_receipts whatsapp_wamids '
    'whatsapp_windows', 'somebody is known in all these tables');
SELECT sum(messages) AS counted FROM wa_internal_usage \gset

/* ---- erasing ----------------------------------------------------------------------------- */

SELECT throws_ok('SELECT wa_erase_person(NULL)', '22004', NULL, 'nobody cannot be erased');
SELECT throws_ok('SELECT wa_erase_person(''hello'')', '22023', NULL, 'nor what is no recipient');

SELECT (e).erasure_id AS erasure, (e).finished_at IS NULL AS going_on, (e).cancelled AS cancelled
    FROM (SELECT wa_erase_person('+' || :'phone') AS e OFFSET 0) AS x \gset
SELECT ok(:'going_on', 'an erasure is not done while a message is on the wire');
SELECT is((SELECT payload::text FROM whatsapp_messages WHERE id = :on_wire), '{"body": "secreto"}', 'which is sent as it is');
SELECT is((SELECT payload::text FROM whatsapp_messages WHERE id = :m), '{}', 'what was sent is erased at once');
SELECT ok((SELECT finished_at IS NULL FROM wa_erase_person(:'user')), 'asking again, by another form, goes on');
SELECT is((SELECT count(*) FROM whatsapp_erasures), 1::bigint, 'with the same erasure');
DELETE FROM whatsapp_leases;
SELECT ok((SELECT finished_at IS NOT NULL FROM wa_erase_person('+' || :'phone')), 'it is done when that is settled');
SELECT is((SELECT cancelled FROM whatsapp_erasures), 3::bigint, 'what waited was cancelled');

SELECT is(pg_temp.tables_with(VARIADIC :'parts'::text[]), 'whatsapp_contact_identities whatsapp_contacts whatsapp_opt_outs',
    'only where the opt-out is kept, somebody is known');
SELECT is(pg_temp.tables_with('Quintana', 'quintanilla', 'Zaragozano', 'secreto', :'hidden',
    encode(convert_to('contenido privado', 'UTF8'), 'hex')), '', 'and nowhere by name, words or file');
SELECT is((SELECT count(*) FROM whatsapp_media), 1::bigint, 'a file that others get stays');

SELECT is((SELECT concat_ws(' ', status, recipient_phone, pricing_category, billable, delivered_at IS NOT NULL, erased_at IS NOT NULL)
           FROM whatsapp_messages WHERE id = :m), 'delivered +34 utility t t t', 'a message stays as a shell with status and price');
SELECT is((SELECT concat_ws(' ', status, recipient_user_id, finished_at IS NOT NULL) FROM whatsapp_messages WHERE id = :waiting),
    'cancelled ES t', 'one that waited is cancelled');
SELECT is((SELECT status FROM whatsapp_messages WHERE id = :uncertain), 'failed', 'one that is uncertain is not sent again');
SELECT is((SELECT count(*) FROM whatsapp_queue), 0::bigint, 'nothing waits');
SELECT is((SELECT sum(messages) FROM wa_internal_usage), :counted::numeric, 'costs are counted as before');
SELECT is(wa_recount_costs((now() - interval '4 days')::date), 0::bigint, 'also when they are counted anew');
SELECT is((SELECT recipient_phone FROM whatsapp_messages WHERE id = :somebody_else), '+34600000001', 'others are as they were');
SELECT ok(NOT wa_retry_message(:waiting), 'what is erased is not sent again');
SELECT matches((SELECT explanation FROM wa_explain(:m)), 'have been erased', 'wa_explain says that it is erased');
SELECT is((SELECT count(*) FROM wa_find('+' || :'phone')), 0::bigint, 'and it is not found by the number');
SELECT is((SELECT body -> 'payload' || (body -> 'may') FROM wa_gateway_message(jsonb_build_object('actor', '{"role": "admin", "name": "Ana"}'::jsonb,
    'path', jsonb_build_object('id', :waiting::text)))), '{}'::jsonb || '[]', 'the gateway shows the shell, with nothing that can be done');

/* The opt-out goes on holding. */
SELECT wa_register_template('oferta', 'es', '[{"type": "BODY", "text": "Hola"}]', 'MARKETING') \g /dev/null
SELECT wa_enqueue_message('panaderia', :'user', 'oferta', '[]', 'es') AS later \gset
SELECT is((SELECT status_reason FROM whatsapp_messages WHERE id = :later), 'opted_out', 'the opt-out holds, under another form, too');
SELECT wa_erase_person(:'user') \g /dev/null

/* ---- what Meta says after that --------------------------------------------------------------- */

SELECT is(pg_temp.counts(pg_temp.post(pg_temp.person_status(:'first', 'read', :t + 20, :'phone', :'user', pg_temp.data(:m, 2),
    jsonb_build_object('errors', jsonb_build_array(jsonb_build_object('code', 1, 'title', 'secreto')))))), '1/0/0/0', 'a later status is counted');
SELECT is((SELECT status FROM whatsapp_messages WHERE id = :m), 'read', 'for its message');
SELECT is(pg_temp.counts(pg_temp.post(pg_temp.person_status(:'first', 'played', :t + 21, :'phone', :'user', NULL))), '1/0/0/0',
    'also one that does not name our message');
SELECT is(pg_temp.counts(pg_temp.post(pg_temp.person_status('wamid.' || :'hidden', 'failed', :t + 22, :'phone', :'user', pg_temp.data(:uncertain, 1),
    pg_temp.error(131050, 'secreto')))), '1/0/0/0', 'and one whose wamid nobody knew');
SELECT is(pg_temp.counts(pg_temp.post(pg_temp.person_writes(:'written', 'un secreto de Zaragozano', :t + 1, :'phone', :'user', :'parent', 'Quintana'))),
    '0/1/0/0', 'a message that comes again is a duplicate');
SELECT pg_temp.post(:'echo') \g /dev/null
SELECT is(pg_temp.tables_with('Quintana', 'quintanilla', 'Zaragozano', 'secreto', :'hidden'), '', 'none of it comes back');
SELECT is((SELECT count(*) FROM whatsapp_opt_outs WHERE recipient = '+34'), 0::bigint, 'and no shell opts out');

SELECT is(pg_temp.counts(pg_temp.post(pg_temp.person_writes('wamid.new', 'hola', :t + 30, :'phone', :'user', :'parent', 'Quintana'))), '1/0/0/0',
    'a new message begins anew');
SELECT is((SELECT text FROM whatsapp_inbound_messages WHERE sender_user_id = :'user'), 'hola', 'with what is new alone');

/* ---- in steps --------------------------------------------------------------------------------- */

INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, message_type, payload, status)
    SELECT 'panaderia', :'number', '+34600777777', 'text', '{"body": "paso"}', 'delivered' FROM generate_series(1, 250);
SELECT wa_internal_begin_erasure('person', '+34600777777', '{+34600777777}') AS steps \gset
SELECT wa_internal_erase(:steps, 100) \g /dev/null
SELECT is((SELECT messages FROM whatsapp_erasures WHERE erasure_id = :steps), 100::bigint, 'a step has its bounds');
SELECT wa_internal_erase(:steps, 100) FROM generate_series(1, 14) \g /dev/null
SELECT is((SELECT concat_ws(' ', messages, finished_at IS NOT NULL, subject IS NULL) FROM whatsapp_erasures WHERE erasure_id = :steps),
    '250 t t', 'and the next goes on where it was, until the end, when nobody is named');

/* ---- a tenant ------------------------------------------------------------------------------------ */

SELECT throws_ok('SELECT wa_delete_tenant(NULL)', '22004', NULL, 'a tenant must be given');
SELECT throws_ok('SELECT wa_delete_tenant(''nobody'')', '42704', NULL, 'and be there');
SELECT throws_ok('SELECT wa_delete_tenant(''panaderia'')', '55006', NULL, 'one that has a number is not deleted');
SELECT ok((SELECT finished_at IS NOT NULL FROM wa_delete_tenant('panaderia', force => true)), 'unless that is wanted');
SELECT is(pg_temp.tables_with('Quintana', 'quintanilla', 'hola', 'wamid.new', 'menu', '34600000001'), '',
    'nothing is left of what was said, and of customers that no other tenant knows');
SELECT is((SELECT sum(messages) FROM wa_internal_usage), :counted::numeric, 'costs stay');
SELECT throws_ok('SELECT wa_configure_tenant(''panaderia'', is_new => true)', '55000', NULL, 'its ID is not used again');
SELECT is((SELECT count(*) FROM whatsapp_tenants), 1::bigint, 'the other tenant is there');
SELECT is((SELECT count(*) FROM whatsapp_opt_outs WHERE tenant_id = 'panaderia'), (SELECT count(*) FROM whatsapp_opt_outs), 'opt-outs stay');

SELECT * FROM finish();
ROLLBACK;
