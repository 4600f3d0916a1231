/*
 * The routes of the gateway for a tenant's own page, as the holder of a link, an
 * administrator and a viewer ask them.
 */
\ir ../lib/begin.sql
SELECT plan(161);

/* The server of the tests sends nothing; what stands here says why nothing would be sent. */
CREATE TEMP TABLE obstacle (word text);
INSERT INTO obstacle VALUES (NULL);
GRANT SELECT ON obstacle TO PUBLIC;
CREATE OR REPLACE FUNCTION wa_internal_global_obstacle() RETURNS text LANGUAGE sql STABLE
    AS 'SELECT word FROM pg_temp.obstacle';

SELECT wa_assign_phone('alba', '100000000000001', '+34 600 00 00 01') \g /dev/null
SELECT wa_assign_phone('trigal', '100000000000002', '+34 600 00 00 02') \g /dev/null
UPDATE whatsapp_phone_assignments SET assigned_at = now() - interval '1 day'; /* what is said now is said to them, however slow this is */
UPDATE whatsapp_phone_numbers SET verified_name = 'Panadería Alba' WHERE phone_number_id = '100000000000001';
SELECT wa_register_template('pedido', l, '[{"type": "HEADER", "format": "TEXT", "text": "Pedido {{1}}", "example": {"header_text": ["A-1"]}},
    {"type": "BODY", "text": "{{1}} pide {{2}} para el {{3}}. Gracias, {{1}}.", "example": {"body_text": [["Alba", "50 kg de harina", "lunes"]]}},
    {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Confirmar"}, {"type": "URL", "text": "Ver", "url": "https://x.example/{{1}}"}]}]')
    FROM unnest('{es,en_US}'::text[]) AS l \g /dev/null

SELECT split_part(wa_tenant_link('alba'), '#key=', 2) AS key, split_part(wa_tenant_link('trigal'), '#key=', 2) AS other_key \gset
SELECT set_config('test.key', :'key', true), set_config('test.other_key', :'other_key', true) \g /dev/null

/* A route, asked by the holder of a key, or by another role. */
CREATE FUNCTION pg_temp.ask(route text, body jsonb DEFAULT NULL, query jsonb DEFAULT '{}', tenant text DEFAULT 'alba',
    role text DEFAULT 'tenant', key text DEFAULT current_setting('test.key'), press text DEFAULT NULL) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    answer jsonb;
BEGIN
    EXECUTE format('SELECT to_jsonb(a) FROM wa_gateway_%s($1) AS a', route) INTO answer USING jsonb_build_object(
        'actor', jsonb_build_object('role', role, 'name', 'somebody', 'key_sha256', encode(sha256(convert_to(key, 'UTF8')), 'hex')),
        'path', jsonb_build_object('tenant_id', tenant), 'query', query, 'body', body, 'idempotency_key', press);
    RETURN answer;
END
$$;
/* A message from a customer; context: what it replies to. */
CREATE FUNCTION pg_temp.hear(phone text, type text, content jsonb, at timestamptz DEFAULT now(), context text DEFAULT NULL,
    number text DEFAULT '100000000000001') RETURNS bigint LANGUAGE sql AS $$
    SELECT inbound_id FROM wa_internal_store_inbound(ARRAY[number], ARRAY['wamid.in.' || gen_random_uuid()], ARRAY[type], ARRAY[at], ARRAY[false],
        ARRAY[phone], ARRAY[NULL::text],
        ARRAY[(jsonb_build_object('type', type, type, content) || COALESCE(jsonb_build_object('context', jsonb_build_object('id', context)), '{}'))::text], ARRAY[false])
$$;
CREATE FUNCTION pg_temp.accepted(id bigint, state text DEFAULT 'accepted') RETURNS void LANGUAGE sql AS $$
    DELETE FROM whatsapp_queue WHERE message_id = $1;
    UPDATE whatsapp_messages SET status = state, whatsapp_message_id = 'wamid.' || $1, accepted_at = now() WHERE whatsapp_messages.id = $1;
    INSERT INTO whatsapp_wamids VALUES ('wamid.' || $1, $1);
$$;

/* ---- who may ---- */

CREATE TEMP TABLE route AS SELECT * FROM (VALUES
    ('notification_settings', NULL::jsonb, false), ('set_notification_settings', '{}', true), ('tenant_messages', NULL, false),
    ('tenant_test_message', '{"recipient_phone": "+34600000009"}', true), ('tenant_reply', '{"message_id": 1, "text": "x"}', true),
    ('tenant_form', '{"whatsapp_enabled": "true"}', true)) AS r (name, body, changes);
SELECT throws_ok(format('SELECT pg_temp.ask(%L, %L, key => %L)', name, body, 'wal_wrong'), '28000', 'this link is not known',
    name || ' is for nobody with a wrong key') FROM route;
SELECT throws_ok(format('SELECT pg_temp.ask(%L, %L, key => %L)', name, body, :'other_key'), '42501', 'this link is for another page',
    name || ' is not for another tenant') FROM route;
SELECT throws_ok(format('SELECT pg_temp.ask(%L, %L, role => NULL)', name, body), '42501', NULL, name || ' is not for nobody') FROM route;
SELECT throws_ok(format('SELECT pg_temp.ask(%L, %L, role => ''viewer'')', name, body), '42501', NULL, name || ' changes, so no viewer may') FROM route WHERE changes;
SELECT is(pg_temp.ask(name, body, role => 'viewer') ->> 'status', '200', name || ' may be read by viewers') FROM route WHERE NOT changes;
SELECT throws_ok(format('SELECT pg_temp.ask(%L, %L, role => ''admin'', tenant => ''nadie'')', name, body), 'P0002', 'tenant "nadie" does not exist',
    name || ' is of a tenant that there is') FROM route;
SELECT throws_ok(format('SELECT pg_temp.ask(%L, %L, query => ''{"colour": "red"}'')', name, body), '22023', 'unknown query argument "colour"',
    name || ' takes no other arguments') FROM route;
SELECT throws_ok(format('SELECT pg_temp.ask(%L, %L)', name, body || '{"colour": "red"}'), '22023', 'unknown member "colour"',
    name || ' takes no other members') FROM route WHERE changes;

/* ---- links ---- */

CREATE TEMP TABLE made AS SELECT pg_temp.ask('create_link', '{"valid_for_seconds": 3600}', role => 'admin') AS answer;
SELECT is(answer ->> 'status', '201', 'an administrator makes a link') FROM made;
SELECT matches(answer #>> '{body,url}', '^/app/settings/notifications/alba#key=wal_.{43}$', 'and gets its address') FROM made;
SELECT is(created_by, 'admin somebody', 'it is known who made it') FROM whatsapp_tenant_links, made
    WHERE key_hash = wa_internal_link_hash(split_part(answer #>> '{body,url}', '=', 2));
SELECT is(pg_temp.ask('notification_settings', key => split_part(answer #>> '{body,url}', '=', 2)) ->> 'status', '200', 'it opens the page') FROM made;
SELECT throws_ok($$SELECT pg_temp.ask('create_link', '{"valid_for_seconds": 59}', role => 'admin')$$, '22023', NULL, 'for a minute at least');
SELECT throws_ok($$SELECT pg_temp.ask('create_link', '{}', role => 'viewer')$$, '42501', NULL, 'a viewer makes none');
SELECT throws_ok($$SELECT pg_temp.ask('create_link', '{}', role => 'tenant')$$, '42501', NULL, 'nor does a tenant');
SELECT is(pg_temp.ask('link_session', role => NULL) #>> '{body,tenant_id}', 'alba', 'a key opens a session');
SELECT throws_ok(format('SELECT pg_temp.ask(''link_session'', role => NULL, key => %L)', :'other_key'), '42501', NULL, 'of its own page');
SELECT throws_ok($$SELECT pg_temp.ask('link_session', role => NULL, key => 'wal_')$$, '28000', NULL, 'and nothing else opens one');
SELECT throws_ok($$SELECT pg_temp.ask('link_session', role => NULL, key => NULL)$$, '28000', NULL, 'nor does nothing');
SELECT is(pg_temp.ask('revoke_links', role => 'admin', tenant => 'trigal') #> '{body,revoked}', '1', 'an administrator revokes links');
SELECT throws_ok(format('SELECT pg_temp.ask(''notification_settings'', tenant => ''trigal'', key => %L)', :'other_key'), '28000', 'this link has been withdrawn', 'which open nothing then');
SELECT set_eq($$SELECT concat_ws(' ', kind, key, actor) FROM whatsapp_events WHERE kind ~ 'link' AND actor <> current_user$$,
    '{create_link alba somebody,revoke_link trigal somebody}'::text[], 'the timeline has both');
SELECT throws_ok($$SELECT pg_temp.ask('revoke_links', role => 'viewer')$$, '42501', NULL, 'a viewer revokes none');

/* ---- settings ---- */

SELECT wa_configure_tenant('alba', quiet_from => '21:00', quiet_to => '07:30', time_zone => 'Europe/Madrid') \g /dev/null
SELECT is(pg_temp.ask('notification_settings') -> 'body', '{"tenant_id": "alba", "whatsapp_enabled": true, "whatsapp_phone_number_id": "100000000000001",
    "whatsapp_display_phone_number": "+34 600 00 00 01", "whatsapp_default_language": "es", "quiet_from": "21:00", "quiet_to": "07:30",
    "time_zone": "Europe/Madrid", "read_receipts": true, "languages": ["en_US", "es"]}', 'the settings document has what a tenant sets, and what it may choose');
SELECT is(pg_temp.ask('set_notification_settings', '{"whatsapp_enabled": false}') #> '{body,whatsapp_enabled}', 'false', 'a tenant switches WhatsApp off');
SELECT ok(NOT enabled, 'and the database has it') FROM whatsapp_tenants WHERE tenant_id = 'alba';
SELECT is(actor || ' ' || key || ' ' || (detail ->> 'text'), 'somebody alba Changed enabled: true → false', 'and by whom') FROM whatsapp_events
    WHERE kind = 'tenant_changed' AND actor = 'somebody';
SELECT is(pg_temp.ask('set_notification_settings', '{"whatsapp_enabled": true, "whatsapp_default_language": "en_US", "quiet_from": "22:00", "quiet_to": "06:00"}')
    -> 'body' @> '{"whatsapp_enabled": true, "whatsapp_default_language": "en_US", "quiet_from": "22:00", "quiet_to": "06:00"}', true, 'chooses language and quiet hours');
SELECT is(pg_temp.ask('set_notification_settings', pg_temp.ask('notification_settings') -> 'body') -> 'body', pg_temp.ask('notification_settings') -> 'body',
    'the document can be sent back as it was read');
SELECT is((SELECT count(*) FROM whatsapp_events WHERE kind = 'tenant_changed' AND actor = 'somebody'), 3::bigint, 'which changes nothing, and notes nothing');
SELECT is(pg_temp.ask('set_notification_settings', '{"quiet_from": null, "quiet_to": null}') #>> '{body,quiet_from}', NULL, 'ends its quiet hours');
SELECT throws_ok($$SELECT pg_temp.ask('set_notification_settings', '{"quiet_from": "9pm", "quiet_to": "07:00"}')$$, '22023', '"quiet_from" must be a time of day', 'times are times');
SELECT throws_ok($$SELECT pg_temp.ask('set_notification_settings', '{"quiet_from": "21:00"}')$$, '22023', NULL, 'with an end');
SELECT throws_ok($$SELECT pg_temp.ask('set_notification_settings', '{"whatsapp_enabled": "yes"}')$$, '22023', NULL, 'a switch is on or off');
SELECT throws_ok($$SELECT pg_temp.ask('set_notification_settings', '{"whatsapp_default_language": "pt_BR"}')$$, '22023', 'there are no messages in this language',
    'a language is one that there are templates in');
SELECT throws_ok(format('SELECT pg_temp.ask(''set_notification_settings'', %L)', jsonb_build_object(m.name, m.value)), '42501', NULL, 'a tenant does not choose ' || m.name)
    FROM (VALUES ('whatsapp_phone_number_id', '"100000000000002"'::jsonb), ('whatsapp_display_phone_number', '"+34600000002"'), ('time_zone', '"America/Lima"'),
        ('messages_per_second', '5'), ('daily_share', '0.5'), ('on_uncertain', '"resend"')) AS m (name, value);
SELECT is(pg_temp.ask('set_notification_settings', '{"time_zone": "America/Lima", "messages_per_second": 5}', role => 'admin') #>> '{body,time_zone}', 'America/Lima', 'an administrator does');
SELECT is(messages_per_second, 5::real, 'all of it') FROM whatsapp_tenants WHERE tenant_id = 'alba';
SELECT wa_configure_tenant('alba', reset => '{time_zone}') \g /dev/null
SELECT pg_temp.ask('set_notification_settings', pg_temp.ask('notification_settings') -> 'body', role => 'admin') \g /dev/null
SELECT is(time_zone, NULL, 'but for the server''s time zone, which is none of the tenant''s for being sent back') FROM whatsapp_tenants WHERE tenant_id = 'alba';
SELECT is(pg_temp.ask('set_notification_settings', '{"whatsapp_access_token": "EAAG-secret"}', role => 'admin') #> '{body,dropped}', '["whatsapp_access_token"]',
    'credentials of older documents are dropped and named');
SELECT throws_ok($$SELECT pg_temp.ask('set_notification_settings', '[]')$$, '22023', NULL, 'a document is an object');

SELECT is(pg_temp.ask('tenant_form', query => '{"plain": "1", "lang": "es"}') -> 'body' @> '{"whatsapp_enabled": true, "obstacle": null}', true, 'a page without scripts asks for the switch');
SELECT is(pg_temp.ask('tenant_form', '{"whatsapp_enabled": "false"}') -> 'body' @> '{"whatsapp_enabled": false, "obstacle": "switched_off"}', true, 'and sets it');
SELECT throws_ok($$SELECT pg_temp.ask('tenant_form', '{"whatsapp_enabled": "maybe"}')$$, '22023', NULL, 'to one of two values');
SELECT is(pg_temp.ask('tenant_form', '{"whatsapp_enabled": "true"}') #> '{body,whatsapp_enabled}', 'true', 'back and forth');

/* ---- messages in plain words ---- */

SELECT is(pg_temp.ask('tenant_messages') -> 'body', '{"tenant_id": "alba", "whatsapp_enabled": true, "display_phone_number": "+34 600 00 00 01", "verified_name": "Panadería Alba", "obstacle": null,
    "messages": [], "others": []}', 'at first there is nothing');
SELECT is(pg_temp.ask('tenant_messages') -> 'paging', 'null', 'and no more of it');

SELECT wa_enqueue_message('alba', '+34600000101', 'pedido', '{"header": "A-7", "body": ["Alba", "20 kg {{2}}", "martes"], "buttons": [null, "A-7"]}',
    language => 'es', reference => 'A-7') AS m1 \gset
SELECT wa_enqueue_message('trigal', '+34600000101', 'pedido', '{"header": "T-1", "body": ["Trigal", "x", "y"], "buttons": [null, "T-1"]}', language => 'es') AS theirs \gset
CREATE FUNCTION pg_temp.message(place integer DEFAULT 0, query jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
    SELECT pg_temp.ask('tenant_messages', query => query) #> ARRAY['body', 'messages', place::text]
$$;
SELECT is(jsonb_array_length(pg_temp.ask('tenant_messages') #> '{body,messages}'), 1, 'a tenant sees its own messages');
SELECT is(pg_temp.message() ->> 'text', E'Pedido A-7\nAlba pide 20 kg {{2}} para el martes. Gracias, Alba.', 'with what they said, word for word');
SELECT is(pg_temp.message() - '{id,text,created_at,updated_at,retry_at}'::text[], '{"recipient": "+34600000101", "recipient_name": null, "reference": "A-7", "test": false,
    "kind": "template", "state": "waiting", "reason": "soon", "replies": [], "can_answer_until": null, "may_answer": false}', 'whom, which order, and how far it is');

UPDATE obstacle SET word = 'sending_disabled';
SELECT is(pg_temp.message() ->> 'reason', 'stopped', 'a message that waits says for whom: the installation');
UPDATE obstacle SET word = NULL;
SELECT wa_pause('tenant', 'alba') \g /dev/null
SELECT is(pg_temp.message() ->> 'reason', 'paused', 'an end of a pause');
SELECT is(pg_temp.ask('tenant_messages') #>> '{body,obstacle}', 'paused', 'and the page says so itself');
SELECT wa_resume('tenant', 'alba') \g /dev/null
SELECT wa_unassign_phone('alba') \g /dev/null
SELECT is(pg_temp.message() ->> 'reason', 'no_number', 'a number');
SELECT wa_assign_phone('alba', '100000000000001') \g /dev/null
UPDATE whatsapp_queue SET state = 'd', hold_reason = 'quiet_hours', due_at = now() + interval '1 hour' WHERE message_id = :m1;
SELECT is(pg_temp.message() ->> 'reason', 'quiet_hours', 'the end of quiet hours');
SELECT isnt(pg_temp.message() ->> 'retry_at', NULL, 'which is told');

SELECT pg_temp.accepted(:m1) \g /dev/null
SELECT is(pg_temp.message() ->> 'state', 'sent', 'accepted is sent');
SELECT is((wa_internal_plain_state(m, NULL)).state || COALESCE(' ' || (wa_internal_plain_state(m, NULL)).reason, ''), w.words, format('%s %s is %s', w.status, w.code, w.words))
    FROM (VALUES ('delivered', NULL::integer, NULL, 'delivered'), ('read', NULL, NULL, 'read'), ('cancelled', NULL, NULL, 'cancelled'), ('uncertain', NULL, NULL, 'unknown'),
        ('expired', NULL, NULL, 'failed too_late'), ('skipped', NULL, 'tenant_disabled', 'failed switched_off'), ('skipped', NULL, 'opted_out', 'failed opted_out'),
        ('failed', 131026, NULL, 'failed no_whatsapp'), ('failed', 131047, NULL, 'failed window_closed'), ('failed', -7, NULL, 'failed network'),
        ('failed', -7, 'uncertain', 'failed perhaps'), ('failed', 132001, NULL, 'failed platform')) AS w (status, code, why, words)
        CROSS JOIN LATERAL (SELECT (jsonb_populate_record(m, jsonb_build_object('status', w.status, 'error_code', w.code, 'status_reason', w.why))).*
                            FROM whatsapp_messages AS m WHERE m.id = :m1) AS m;

/* ---- what suppliers answer ---- */

SELECT pg_temp.hear('+34600000101', 'button', '{"text": "Confirmar", "payload": "C"}', context => 'wamid.' || :m1) AS heard \gset
SELECT is(pg_temp.message() -> 'replies', jsonb_build_array(jsonb_build_object('id', 'i' || :heard, 'at', (SELECT sent_at FROM whatsapp_inbound_messages WHERE inbound_id = :heard),
    'kind', 'text', 'text', 'Confirmar', 'read', false, 'media', NULL)), 'an answer stands beneath the message that it is to');
SELECT is(pg_temp.message() -> 'may_answer', 'true', 'and may be answered');
SELECT ok(abs(extract(epoch FROM (pg_temp.message() ->> 'can_answer_until')::timestamptz - now() - interval '24 hours')) < 60, 'for 24 hours');
SELECT wa_enqueue_message('alba', '+34600000101', 'pedido', '{"header": "A-8", "body": ["Alba", "1", "2"], "buttons": [null, "A-8"]}', language => 'es', reference => 'A-8') AS m2 \gset
SELECT pg_temp.hear('+34600000101', 'text', '{"body": "Mañana sin falta"}') \g /dev/null
SELECT is(pg_temp.message(0) #>> '{replies,0,text}', 'Mañana sin falta', 'what is no reply stands beneath the last one');
SELECT is(jsonb_array_length(pg_temp.message(1) -> 'replies'), 1, 'and nowhere else');
SELECT pg_temp.hear('+34600000101', 'image', '{"id": "1"}', context => 'wamid.' || :m1) AS photo \gset
SELECT is(pg_temp.message(1) #> '{replies,1,kind}', '"image"', 'a picture is told');
UPDATE whatsapp_inbound_messages SET revoked_at = now(), text = 'secret' WHERE inbound_id = :photo;
SELECT is((pg_temp.message(1) #> '{replies,1}') - '{at,id}'::text[], '{"kind": "deleted", "text": null, "read": false, "media": null}', 'what was deleted is not shown');
SELECT pg_temp.hear('+34600000101', 'edit', jsonb_build_object('original_message_id', (SELECT whatsapp_message_id FROM whatsapp_inbound_messages WHERE text = 'Mañana sin falta'),
    'message', '{"type": "text", "text": {"body": "El lunes sin falta"}}'::jsonb)) \g /dev/null
SELECT is(pg_temp.message(0) #>> '{replies,0,text}' || jsonb_array_length(pg_temp.message(0) -> 'replies'), 'El lunes sin falta1', 'what was edited reads as it does now, once');
SELECT pg_temp.hear('+34600000101', 'reaction', jsonb_build_object('message_id', 'wamid.' || :m1, 'emoji', '👍')) \g /dev/null
SELECT is(pg_temp.message(1) #>> '{replies,2,text}', '👍', 'a reaction stands beneath its message');
SELECT pg_temp.hear('+34600000101', 'reaction', jsonb_build_object('message_id', 'wamid.' || :m1)) \g /dev/null
SELECT is(jsonb_array_length(pg_temp.message(1) -> 'replies'), 2, 'until it is taken back');
SELECT pg_temp.hear('+34600000777', 'text', '{"body": "¿Tenéis tartas?"}') AS stranger \gset
SELECT is((pg_temp.ask('tenant_messages') #> '{body,others,0}') #- '{can_answer_until}' #- '{replies,0,at}', jsonb_build_object('inbound_id', :stranger, 'sender', '+34600000777', 'sender_name', NULL,
    'may_answer', true, 'replies', jsonb_build_array(jsonb_build_object('id', 'i' || :stranger, 'kind', 'text', 'text', '¿Tenéis tartas?',
    'read', false, 'media', NULL))), 'who writes unasked is not lost');
SELECT wa_internal_know('+34600000778', 'ES.778', NULL, now()) \g /dev/null
SELECT pg_temp.hear('+34600000778', 'text', '{"body": "por el número"}') \g /dev/null
SELECT count(*) FROM wa_internal_store_inbound('{100000000000001}', '{wamid.in.778}', '{text}', ARRAY[now()], '{false}', '{NULL}', '{ES.778}',
    '{"{\"type\": \"text\", \"text\": {\"body\": \"sin él\"}}"}', '{false}') \g /dev/null
SELECT is(jsonb_path_query_array(pg_temp.ask('tenant_messages') #> '{body,others}', '$[*] ? (@.sender == "+34600000778").replies[*].text'), '["por el número", "sin él"]',
    'what one person writes under two names stands together');
SELECT is(jsonb_array_length(pg_temp.ask('tenant_messages') #> '{body,others}'), 2, 'beside what others write');
DELETE FROM whatsapp_inbound_messages WHERE sender_phone = '+34600000778' OR sender_user_id = 'ES.778';
SELECT is(pg_temp.ask('tenant_messages', tenant => 'trigal', role => 'admin') #> '{body,messages,0,replies}', '[]', 'and none of it reaches another tenant');
SELECT wa_internal_store_contacts('{34600000101,34600000777}', '{NULL,NULL}', '{NULL,NULL}', '{Molinos,Eva}', '{NULL,NULL}', ARRAY[now(), now()]) \g /dev/null
SELECT is(pg_temp.message() ->> 'recipient_name', 'Molinos', 'who has written is called as he calls himself');
SELECT is(pg_temp.ask('tenant_messages') #>> '{body,others,0,sender_name}', 'Eva', 'whether he was asked or not');
SELECT is(pg_temp.ask('tenant_messages', tenant => 'trigal', role => 'admin') #> '{body,messages,0,recipient_name}', 'null', 'but not by a tenant to whom he has never written');

/* ---- paging ---- */

SELECT is(pg_temp.message(0, '{"limit": "1"}') ->> 'reference', 'A-8', 'the newest come first');
SELECT pg_temp.ask('tenant_messages', query => '{"limit": "1"}') #>> '{paging,next}' AS next \gset
SELECT is(pg_temp.message(0, jsonb_build_object('limit', '1', 'cursor', :'next')) ->> 'reference', 'A-7', 'the others follow');
SELECT is(jsonb_array_length(pg_temp.message(0, jsonb_build_object('limit', '1', 'cursor', :'next')) -> 'replies'), 2, 'with their own answers');
SELECT is(pg_temp.ask('tenant_messages', query => jsonb_build_object('limit', '1', 'cursor', :'next')) -> 'paging', 'null', 'until there are no more');
SELECT throws_ok($$SELECT pg_temp.ask('tenant_messages', query => '{"cursor": "x"}')$$, '22023', NULL, 'a cursor is one of ours');
SELECT throws_ok($$SELECT pg_temp.ask('tenant_messages', query => '{"limit": "101"}')$$, '22023', NULL, 'a page has an end');

/* ---- answering ---- */

CREATE FUNCTION pg_temp.answer(body jsonb, press text DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS $$ SELECT pg_temp.ask('tenant_reply', body, press => press) $$;
SELECT pg_temp.answer(jsonb_build_object('message_id', :m1, 'text', ' Gracias. '), 'press 1') AS answered \gset
SELECT is(:'answered'::jsonb ->> 'status', '201', 'an answer is sent');
SELECT is(message_type || recipient_phone || reference || (payload ->> 'body') || priority, 'text+34600000101A-7Gracias.100', 'to whoever wrote, of the order, in quiet hours too')
    FROM whatsapp_messages WHERE id = (:'answered'::jsonb #>> '{body,id}')::bigint;
SELECT isnt(context_message_id, NULL, 'as an answer to what was said') FROM whatsapp_messages WHERE id = (:'answered'::jsonb #>> '{body,id}')::bigint;
SELECT is(pg_temp.answer(jsonb_build_object('message_id', :m1, 'text', 'Gracias.'), 'press 1') - '{paging}'::text[] #- '{body,can_answer_until}',
    jsonb_set(:'answered'::jsonb, '{status}', '200') - '{paging}'::text[] #- '{body,can_answer_until}', 'one press sends once, however often it arrives');
SELECT is(pg_temp.answer(jsonb_build_object('message_id', :m1, 'text', 'Y otra cosa'), 'press 2') ->> 'status', '201', 'the next press is another answer');
SELECT is(jsonb_array_length(pg_temp.ask('tenant_messages') #> '{body,messages}'), 2, 'answers are no messages of their own');
SELECT is((pg_temp.message(1) #> '{replies,0}') - '{at,id}'::text[], '{"kind": "own", "text": "Gracias.", "state": "waiting", "reason": "soon"}', 'but stand beneath');
SELECT pg_temp.accepted((:'answered'::jsonb #>> '{body,id}')::bigint) \g /dev/null
SELECT pg_temp.hear('+34600000101', 'text', '{"body": "De nada"}', at => clock_timestamp(), context => 'wamid.' || (:'answered'::jsonb #>> '{body,id}')) \g /dev/null
SELECT is(pg_temp.message(1) #>> '{replies,4,text}', 'De nada', 'and so does what is answered to them');
SELECT is(pg_temp.answer(jsonb_build_object('inbound_id', :stranger, 'text', 'Sí')) ->> 'status', '201', 'strangers can be answered');
SELECT is((SELECT count(*) FROM whatsapp_read_receipts WHERE inbound_id = :stranger), 1::bigint, 'and what is answered is marked as read');
SELECT is(pg_temp.ask('tenant_messages') #>> '{body,others,0,replies,0,text}', 'Sí', 'beneath what they wrote');
SELECT throws_ok(format('SELECT pg_temp.answer(%L)', jsonb_build_object('message_id', :theirs, 'text', 'x')), 'P0002', 'there is no such message', 'another tenant''s message does not exist');
SELECT throws_ok($$SELECT pg_temp.answer('{"text": "x"}')$$, '22023', NULL, 'an answer is to something');
SELECT throws_ok(format('SELECT pg_temp.answer(%L)', jsonb_build_object('message_id', :m1, 'text', E' \n')), '22023', 'an answer has 1 to 4096 characters', 'and says something');
SELECT throws_ok(format('SELECT pg_temp.answer(%L)', jsonb_build_object('message_id', :m1, 'text', repeat('x', 4097))), '22023', NULL, 'in some words');
SELECT wa_opt_out('alba', '+34600000777', 'all') \g /dev/null
SELECT is(pg_temp.answer(jsonb_build_object('inbound_id', :stranger, 'text', '¿Sí?')) #>> '{body,reason}', 'opted_out', 'who wants no messages gets none');
UPDATE whatsapp_windows SET last_inbound_at = now() - interval '24 hours';
SELECT is(pg_temp.answer(jsonb_build_object('message_id', :m1, 'text', 'Tarde')) #- '{body,detail}', jsonb_build_object('status', 409, 'paging', NULL, 'body',
    jsonb_build_object('reason', 'window_closed', 'can_answer_until', now())), 'after 24 hours it is refused, and told until when it was possible');
SELECT is(pg_temp.message(1) -> 'may_answer', 'false', 'and the page knows');
SELECT is((SELECT count(*) FROM whatsapp_messages WHERE payload ->> 'body' IN ('¿Sí?', 'Tarde')), 0::bigint, 'what is refused leaves nothing');

/* ---- trying it out ---- */

CREATE FUNCTION pg_temp.try(phone text DEFAULT '+34 600 000 009', press text DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS $$
    SELECT pg_temp.ask('tenant_test_message', jsonb_build_object('recipient_phone', phone), press => press)
$$;
SELECT is(pg_temp.try(press => 'p') #>> '{body,text}', E'Pedido A-1\nAlba pide 50 kg de harina para el lunes. Gracias, Alba.', 'a test is a template that is used, with its examples');
SELECT is(m.template_language || m.priority, 'en_US100', 'in the tenant''s language, at once') FROM whatsapp_messages AS m WHERE m.recipient_phone = '+34600000009';
SELECT is(pg_temp.try(press => 'p') ->> 'status', '200', 'once for each press');
SELECT ok((pg_temp.message() -> 'test')::boolean, 'it is among the messages, as a test');
SELECT throws_ok($$SELECT pg_temp.try('600000009')$$, '22023', 'invalid recipient phone number', 'a number needs its country');
SELECT pg_temp.hear('+34600000008', 'text', '{"body": "hola"}') \g /dev/null
SELECT is(pg_temp.try('+34600000008') #>> '{body,text}', 'Test message of Panadería Alba: if you can read this, messages by WhatsApp work.', 'who has written gets a sentence');
SELECT wa_opt_out('alba', '+34600000007', 'all') \g /dev/null
SELECT is(pg_temp.try('+34600000007') #>> '{body,reason}', 'opted_out', 'who wants none gets none');
SELECT wa_configure_tenant('alba', enabled => false) \g /dev/null
SELECT is(pg_temp.try() #>> '{body,reason}', 'switched_off', 'a test says so when it would not leave');
SELECT wa_configure_tenant('alba', enabled => true) \g /dev/null
SELECT count(pg_temp.try()) FROM generate_series(1, 3) \g /dev/null
SELECT is((pg_temp.try() ->> 'status')::integer, 429, 'five in an hour are enough');
SELECT ok((pg_temp.try() #>> '{body,retry_after_seconds}')::integer BETWEEN 1 AND 3600, 'and it is told when there can be more');
UPDATE whatsapp_messages SET idempotency_key = 'old' || id WHERE idempotency_key LIKE 'gateway-test:%';
DELETE FROM whatsapp_templates;
SELECT is(pg_temp.try() #>> '{body,reason}', 'no_template', 'without a template nothing can be sent, and that is said');
SELECT wa_register_template('hello_world', 'en_US', '[{"type": "BODY", "text": "Welcome and congratulations!!"}]') \g /dev/null
SELECT is(pg_temp.try() #>> '{body,text}', 'Welcome and congratulations!!', 'Meta''s own sample is better than nothing');
SELECT wa_register_template('codigo', 'es', '[{"type": "BODY", "text": "Hola {{nombre}}, {{ nombre }}: {{cosa}}", "example": {"body_text_named_params": [{"param_name": "cosa", "example": "pan"}]}}]',
    parameter_format => 'NAMED') \g /dev/null
UPDATE whatsapp_messages SET template_name = 'codigo' WHERE id = :m2;
SELECT is(pg_temp.try() #>> '{body,text}', 'Hola ejemplo, ejemplo: pan', 'templates with names, and without an example, can be tried, too');

SELECT * FROM finish();
ROLLBACK;
