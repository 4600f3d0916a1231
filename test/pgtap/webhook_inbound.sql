/*
 * Messages from customers: what is stored, for whom, and what follows.
 */
\ir ../lib/begin.sql
\ir ../lib/webhook.sql
SELECT plan(78);

CREATE FUNCTION pg_temp.post_messages(VARIADIC messages jsonb[]) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.counts(pg_temp.post(pg_temp.envelope(pg_temp.messages_change(jsonb_build_object('messages', to_jsonb(messages))))), 'messages')
$$;
CREATE FUNCTION pg_temp.inbound(id text, at bigint, type text, content jsonb, context text DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object('from', '34600000001', 'id', id, 'timestamp', at::text, 'type', type,
        'context', CASE WHEN context IS NOT NULL THEN jsonb_build_object('from', '34600000000', 'id', context) END)) || content
$$;
CREATE FUNCTION pg_temp.stored(wamid text) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws('|', tenant_id, sender_phone, sender_user_id, message_type, text, reply_id, reply_title, message_id)
    FROM whatsapp_inbound_messages WHERE whatsapp_message_id = $1
$$;

/* The number was this tenant's, then another's, then nobody's. */
INSERT INTO whatsapp_tenants (tenant_id) VALUES ('panaderia'), ('pasteleria'), ('obrador');
INSERT INTO whatsapp_phone_numbers (phone_number_id, display_phone_number) VALUES ('100000000000001', '+34 600 00 00 00');
INSERT INTO whatsapp_phone_assignments (tenant_id, phone_number_id, assigned_at, unassigned_at) VALUES
    ('panaderia', '100000000000001', pg_temp.at(1764000000.7), pg_temp.at(1764010000)),
    ('pasteleria', '100000000000001', pg_temp.at(1764010000), pg_temp.at(1764020000));

/* ---- the types ---- */

SELECT pg_temp.new_message('accepted') AS m \gset
SELECT is(pg_temp.post_messages(
    '{"from":"34600000001","from_user_id":"ES.7001234567890123","id":"wamid.IN1==","timestamp":"1764000100","type":"text","text":{"body":"¿Está listo?"}}',
    ('{"from":"34600000001","id":"wamid.IN2==","timestamp":"1764000101","type":"button","context":{"from":"34600000000","id":"wamid.' || :m || '"},"button":{"payload":"CONFIRM:8841","text":"Confirmar"}}')::jsonb,
    '{"from":"34600000001","id":"wamid.IN3==","timestamp":"1764000102","type":"interactive","context":{"from":"34600000000","id":"wamid.EXAMPLE3=="},"interactive":{"type":"button_reply","button_reply":{"id":"ok-77","title":"Sí"}}}',
    '{"from":"34600000001","id":"wamid.IN4==","timestamp":"1764000103","type":"interactive","interactive":{"type":"list_reply","list_reply":{"id":"h0930","title":"09:30","description":"Dra. Ruiz"}}}',
    '{"from":"34600000001","id":"wamid.IN5==","timestamp":"1764000104","type":"image","image":{"id":"9","mime_type":"image/jpeg","caption":"La tarta"}}',
    '{"from":"34600000001","id":"wamid.IN6==","timestamp":"1764000105","type":"unsupported","errors":[{"code":131051,"title":"…","error_data":{"details":"…"}}]}',
    '{"from":"34600000001","id":"wamid.IN7==","timestamp":"1764000106","type":"location","location":{"latitude":41.65,"longitude":-4.72,"name":"Obrador","address":"Calle Mayor 1"}}',
    '{"from":"34600000001","id":"wamid.IN8==","timestamp":"1764000107","type":"reaction","reaction":{"message_id":"wamid.X","emoji":"👍"}}',
    '{"from":"34600000001","id":"wamid.IN9==","timestamp":"1764000108","type":"interactive","interactive":{"type":"nfm_reply","nfm_reply":{"name":"flow","body":"Enviado","response_json":"{\"a\":1}"}}}',
    '{"from":"34600000001","id":"wamid.INA==","timestamp":"1764000109","type":"something_new","something_new":{"caption":"nuevo"}}'),
    '10/0/0/0', 'messages of ten types');
SELECT is(pg_temp.stored('wamid.IN1=='), 'panaderia|+34600000001|ES.7001234567890123|text|¿Está listo?', 'text');
SELECT is(pg_temp.stored('wamid.IN2=='), 'panaderia|+34600000001|button|Confirmar|CONFIRM:8841|Confirmar|' || :m, 'button of a template, and the message it replies to');
SELECT is(pg_temp.stored('wamid.IN3=='), 'panaderia|+34600000001|interactive|Sí|ok-77|Sí', 'button');
SELECT is(pg_temp.stored('wamid.IN4=='), 'panaderia|+34600000001|interactive|09:30|h0930|09:30', 'list');
SELECT is(pg_temp.stored('wamid.IN5=='), 'panaderia|+34600000001|image|La tarta', 'image');
SELECT is(pg_temp.stored('wamid.IN6=='), 'panaderia|+34600000001|unsupported', 'what WhatsApp itself cannot hand on');
SELECT is(pg_temp.stored('wamid.IN7=='), 'panaderia|+34600000001|location|Obrador, Calle Mayor 1', 'location');
SELECT is(pg_temp.stored('wamid.IN8=='), 'panaderia|+34600000001|reaction|👍', 'reaction');
SELECT is(pg_temp.stored('wamid.IN9=='), 'panaderia|+34600000001|interactive|Enviado|flow|Enviado', 'flow');
SELECT is(pg_temp.stored('wamid.INA=='), 'panaderia|+34600000001|something_new|nuevo', 'a type that is not known yet');
SELECT is(payload #>> '{image,mime_type}', 'image/jpeg', 'the message is kept whole') FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'wamid.IN5==';
SELECT is(pg_temp.post_messages(pg_temp.inbound('wamid.IN1==', 1764000100, 'text', '{"text":{"body":"otra vez"}}'), pg_temp.inbound('wamid.INB==', 1764000110, 'text', '{"text":{"body":"a"}}'), pg_temp.inbound('wamid.INB==', 1764000110, 'text', '{"text":{"body":"a"}}')),
    '1/2/0/0', 'repeated: within a webhook and across');
SELECT is(text, '¿Está listo?', 'the first counts') FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'wamid.IN1==';
SELECT is(pg_temp.counts(pg_temp.post('{"object":"whatsapp_business_account","entry":[{"changes":[{"field":"messages","value":{"metadata":{"phone_number_id":"100000000000001"},"messages":[{"from":"34600000001","id":"wamid.IND==","timestamp":"1764000112","type":"text","text":{"body":"a\u0000b\ud83d c\ud83c\udf5e"}}]}}]}]}')),
    '1/0/0/0', 'NUL and half a surrogate pair');
SELECT is(pg_temp.stored('wamid.IND=='), E'panaderia|+34600000001|text|a\uFFFDb\uFFFD c🍞', 'become replacement characters');

/* ---- malformed ones ---- */

SELECT is(pg_temp.post_messages('{"id":"wamid.1","timestamp":"1764000000","type":"text"}', '{"from":"34600000001","timestamp":"1764000000","type":"text"}',
    '{"from":"34600000001","id":"wamid.2","type":"text"}', '{"from":"34600000001","id":"wamid.3","timestamp":"1764000000"}', '[]',
    '{"from":"not a number","id":"wamid.4","timestamp":"1764000000","type":"text"}', pg_temp.inbound('wamid.5', 1764000120, 'text', '{"text": 5}')),
    '1/0/6/0', 'six that cannot be used, and one that can');
SELECT is((SELECT string_agg(reason, ' ' ORDER BY reason) FROM whatsapp_parked_events WHERE kind = 'message'),
    'id_missing not_an_object sender_missing sender_missing timestamp_invalid type_missing', 'each with its reason');

/* ---- whose it is ---- */

SELECT pg_temp.post_messages(pg_temp.inbound('wamid.T0', 1763999999, 'text', '{}'), pg_temp.inbound('wamid.T1', 1764000000, 'text', '{}'), pg_temp.inbound('wamid.T2', 1764009999, 'text', '{}'), pg_temp.inbound('wamid.T3', 1764010000, 'text', '{}'),
    pg_temp.inbound('wamid.T4', 1764020000, 'text', '{}'), pg_temp.inbound('wamid.T5', 1764015000, 'text', '{}', 'wamid.' || :m)) \g /dev/null
SELECT is(tenant_id, NULL, 'before the number was anybody''s') FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'wamid.T0';
SELECT is(tenant_id, 'panaderia', 'in the second of its assignment') FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'wamid.T1';
SELECT is(tenant_id, 'panaderia', 'in the last one') FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'wamid.T2';
SELECT is(tenant_id, 'pasteleria', 'then it is the next tenant''s') FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'wamid.T3';
SELECT is(tenant_id, NULL, 'and nobody''s afterwards') FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'wamid.T4';
SELECT is(tenant_id, 'panaderia', 'but a reply to a message is for whoever wrote that') FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'wamid.T5';

/* ---- the window ---- */

SELECT is((SELECT last_inbound_at FROM whatsapp_windows WHERE recipient = '+34600000001'), pg_temp.at(1764020000), 'the window of the number opens with the latest message');
SELECT is((SELECT last_inbound_at FROM whatsapp_windows WHERE recipient = 'ES.7001234567890123'), pg_temp.at(1764020000), 'and that of the user id, whichever the message named');
SELECT pg_temp.post_messages(pg_temp.inbound('wamid.W1', 1764000200, 'text', '{}'), pg_temp.inbound('wamid.W2', 1764030000, 'system', '{"system":{"type":"customer_identity_changed"}}')) \g /dev/null
SELECT is((SELECT last_inbound_at FROM whatsapp_windows WHERE recipient = '+34600000001'), pg_temp.at(1764020000), 'an older message, or the system''s, does not move it');

/* ---- contacts ---- */

DELETE FROM whatsapp_contacts;

CREATE FUNCTION pg_temp.contact(contact jsonb, message jsonb) RETURNS void LANGUAGE sql AS $$
    SELECT pg_temp.post(pg_temp.envelope(pg_temp.messages_change(jsonb_build_object('contacts', jsonb_build_array(contact), 'messages', jsonb_build_array(message)))))
$$;
CREATE FUNCTION pg_temp.contacts() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws('|', wa_id, user_id, parent_user_id, name, username), ', ' ORDER BY contact_id) FROM whatsapp_contacts
$$;
SELECT pg_temp.contact('{"profile":{"name":"Ana"},"wa_id":"34600000001"}', pg_temp.inbound('wamid.C1', 1764000300, 'text', '{}')) \g /dev/null
SELECT is(pg_temp.contacts(), '34600000001|Ana', 'a customer known by number');
SELECT pg_temp.contact('{"profile":{"name":"Ana P.","username":"ana.p"},"user_id":"ES.1","parent_user_id":"ES.ENT.1"}', '{"from_user_id":"ES.1","id":"wamid.C2","timestamp":"1764000301","type":"text","text":{"body":"hola"}}') \g /dev/null
SELECT is(pg_temp.contacts(), '34600000001|Ana, ES.1|ES.ENT.1|Ana P.|ana.p', 'another one by user id alone');
SELECT is(pg_temp.stored('wamid.C2'), 'panaderia|ES.1|text|hola', 'whose message has no phone number');
SELECT pg_temp.contact('{"profile":{"name":"Ana P."},"wa_id":"34600000001","user_id":"ES.1"}', pg_temp.inbound('wamid.C3', 1764000302, 'text', '{}')) \g /dev/null
SELECT is(pg_temp.contacts(), '34600000001|ES.1|ES.ENT.1|Ana P.|ana.p', 'they turn out to be one');
SELECT pg_temp.post_messages(pg_temp.inbound('wamid.O1', 1764000303, 'text', '{"text":{"body":"baja"}}')) \g /dev/null
SELECT pg_temp.contact('{"profile":{"name":"Ana P."},"wa_id":"34600000009","user_id":"ES.1"}', pg_temp.inbound('wamid.C4', 1764000304, 'system', '{"system":{"type":"user_changed_number","wa_id":"34600000009","body":"Ana cambió su número"}}')) \g /dev/null
SELECT is(pg_temp.contacts(), '34600000009|ES.1|ES.ENT.1|Ana P.|ana.p', 'a customer with a new number stays the same');
SELECT ok(EXISTS (SELECT FROM whatsapp_opt_outs WHERE recipient = '+34600000009' AND category = 'marketing'), 'and still wants no marketing');
SELECT pg_temp.post_messages('{"from":"34600000009","from_user_id":"ES.2","id":"wamid.C5","timestamp":"1764000305","type":"system","system":{"type":"user_changed_user_id","previous_user_id":"ES.1","user_id":"ES.2"}}') \g /dev/null
SELECT is(pg_temp.contacts(), '34600000009|ES.2|ES.ENT.1|Ana P.|ana.p', 'the same with a new user id');
SELECT pg_temp.post_messages('{"from_user_id":"ES.3","id":"wamid.C7","timestamp":"1764000305","type":"system","system":{"type":"user_changed_user_id","previous_user_id":"ES.2"}}') \g /dev/null
SELECT is(pg_temp.contacts(), '34600000009|ES.3|ES.ENT.1|Ana P.|ana.p', 'which may stand at the sender alone');
SELECT pg_temp.post_messages('{"from_user_id":"ES.2","id":"wamid.C8","timestamp":"1764000306","type":"system","system":{"type":"user_changed_user_id","previous_user_id":"ES.3","user_id":"ES.2"}}') \g /dev/null
SELECT pg_temp.contact('{"profile":{},"wa_id":"0"}', pg_temp.inbound('wamid.C6', 1764000306, 'text', '{}')) \g /dev/null
SELECT is(pg_temp.contacts(), '34600000009|ES.2|ES.ENT.1|Ana P.|ana.p', 'what is no number makes no contact');

/* ---- contacts of statuses ---- */

DELETE FROM whatsapp_contacts;
CREATE FUNCTION pg_temp.tell(wamid text, status text, contacts jsonb, more jsonb DEFAULT '{}', at bigint DEFAULT 1764000400) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_temp.post(pg_temp.envelope(pg_temp.messages_change(jsonb_strip_nulls(jsonb_build_object('contacts', contacts,
        'statuses', jsonb_build_array(pg_temp.status(wamid, status, at, NULL, more)))))));
    RETURN pg_temp.contacts();
END
$$;
CREATE FUNCTION pg_temp.written() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(ctid::text, ' ' ORDER BY contact_id) FROM whatsapp_contacts
$$;
SELECT is(pg_temp.tell('wamid.S1', 'delivered', '[{"profile":{"name":"Bea"},"wa_id":"34600000031","user_id":"ES.31"}]'), '34600000031|ES.31|Bea', 'a customer who was only written to');
UPDATE whatsapp_contacts SET last_seen_at = now() - interval '29 days';
SELECT pg_temp.written() AS rows \gset
SELECT pg_temp.tell('wamid.S1', 'read', '[{"profile":{"name":"Bea"},"wa_id":"34600000031","user_id":"ES.31"}]', '{"recipient_id":"34600000031","recipient_user_id":"ES.31"}') \g /dev/null
SELECT is(pg_temp.written(), :'rows', 'nothing new about them is no write');
SELECT pg_temp.contact('{"profile":{"name":"Bea"},"wa_id":"34600000031","user_id":"ES.31"}', '{"from":"34600000031","id":"wamid.S2","timestamp":"1764000401","type":"text","text":{"body":"hola"}}') \g /dev/null
SELECT ok(last_seen_at > now() - interval '1 hour', 'but it is if they write') FROM whatsapp_contacts;
UPDATE whatsapp_contacts SET last_seen_at = now() - interval '31 days';
SELECT pg_temp.tell('wamid.S1', 'read', '[{"wa_id":"34600000031"}]') \g /dev/null
SELECT ok(last_seen_at > now() - interval '1 hour', 'or once a month') FROM whatsapp_contacts;
SELECT is(pg_temp.tell('wamid.S3', 'sent', '[{"profile":{"name":"Beatriz"},"user_id":"ES.31"}]', at => 1764000402), '34600000031|ES.31|Beatriz', 'another name, without the number');
SELECT is(pg_temp.tell('wamid.S4', 'failed', NULL, '{"recipient_id":"34600000032"}'), '34600000031|ES.31|Beatriz', 'a failure tells a number that the message has');
SELECT is(pg_temp.tell('wamid.S5', 'sent', '[{"wa_id":"34600000032"}]'), '34600000031|ES.31|Beatriz, 34600000032', 'a contact may be a number alone');
SELECT is(pg_temp.tell('wamid.S6', 'failed', NULL, '{"recipient_id":"34600000032","recipient_user_id":"ES.32"}'), '34600000031|ES.31|Beatriz, 34600000032|ES.32', 'and get its user id from a failure');
SELECT is(pg_temp.tell('wamid.S7', 'failed', NULL, '{"recipient_id":null,"recipient_user_id":"ES.33"}'), '34600000031|ES.31|Beatriz, 34600000032|ES.32, ES.33', 'which may be all that is told');
SELECT is(pg_temp.tell('wamid.S8', 'failed', NULL, '{"recipient_id":"120363","recipient_type":"group","recipient_user_id":"ES.34"}'), '34600000031|ES.31|Beatriz, 34600000032|ES.32, ES.33', 'a group is no customer');
SELECT is(pg_temp.tell('wamid.S9', 'sent', '[{"wa_id":"34600000033","user_id":"ES.33","profile":{"name":"D"}}, {"wa_id":"34600000035","user_id":"ES.35","profile":{"name":"E"}}, {"wa_id":"34600000035","user_id":"ES.35","parent_user_id":"ES.ENT.35"}]'),
    '34600000031|ES.31|Beatriz, 34600000032|ES.32, 34600000033|ES.33|D, 34600000035|ES.35|ES.ENT.35|E', 'changed ones, new ones, and one in two parts');
SELECT pg_temp.tell('wamid.T1', 'sent', jsonb_agg(jsonb_build_object('wa_id', (34610000000 + n)::text, 'user_id', 'ES.T' || n)), '{}') FROM generate_series(1, 200) AS n \g /dev/null
SELECT is((SELECT count(*) FROM whatsapp_contacts WHERE user_id LIKE 'ES.T%'), 200::bigint, 'two hundred new ones');

/* ---- stop and go ---- */

TRUNCATE whatsapp_opt_outs, whatsapp_opt_ins;
CREATE FUNCTION pg_temp.after(words text, at bigint) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_temp.post_messages(pg_temp.inbound('wamid.opt' || at, at, 'text', jsonb_build_object('text', jsonb_build_object('body', words))));
    RETURN COALESCE((SELECT string_agg(concat_ws(' ', tenant_id, recipient, category, source), ', ' ORDER BY recipient) FROM whatsapp_opt_outs), 'none');
END
$$;
SELECT is(pg_temp.after('No me den de baja todavía', 1764001000), 'none', 'a word within a sentence is no wish');
SELECT is(pg_temp.after(E'  ¡BAJA!\n', 1764001001), 'panaderia +34600000001 marketing inbound', 'baja alone is one');
SELECT is(pg_temp.after('Alta', 1764001002), 'none', 'alta takes it back');
SELECT is(pg_temp.after('stop.', 1764001003), 'panaderia +34600000001 marketing inbound', 'in English, too');
SELECT is(pg_temp.after('START', 1764001005), 'none', 'start');
SELECT is(pg_temp.after('Désabonner', 1764001006), 'panaderia +34600000001 marketing inbound', 'accents do not matter');
SELECT is(pg_temp.after('ALTA', 1764015000), 'panaderia +34600000001 marketing inbound', 'what is said to another tenant does not concern this one');
INSERT INTO whatsapp_opt_words VALUES ('es', 'Ni una más', 'out'), ('es', 'parar', 'none'), ('pt', 'parar', 'none');
TRUNCATE whatsapp_opt_outs, whatsapp_opt_ins;
SELECT is(pg_temp.after('PARAR', 1764001007), 'none', 'a word can be switched off');
SELECT is(pg_temp.after('ni una mas', 1764001008), 'panaderia +34600000001 marketing inbound', 'and others added');
TRUNCATE whatsapp_opt_outs, whatsapp_opt_ins;
SELECT pg_temp.post_messages(pg_temp.inbound('wamid.optb', 1764001009, 'button', '{"button":{"payload":"STOP","text":"Baja"}}')) \g /dev/null
SELECT is((SELECT count(*) FROM whatsapp_opt_outs), 1::bigint, 'a button can say it, too');
TRUNCATE whatsapp_opt_outs, whatsapp_opt_ins;
SELECT pg_temp.after('alta', 1764001020) \g /dev/null
SELECT is(pg_temp.after('baja', 1764001019), 'none', 'an older wish that comes late does not count');
SELECT is(pg_temp.after('baja', 1764001021), 'panaderia +34600000001 marketing inbound', 'a later one does');
SELECT is(pg_temp.after('alta', 1764001018), 'panaderia +34600000001 marketing inbound', 'nor does an older change of mind');
SELECT pg_temp.post_messages(pg_temp.inbound('wamid.opt2', 1764001031, 'text', '{"text":{"body":"alta"}}'), pg_temp.inbound('wamid.opt1', 1764001030, 'text', '{"text":{"body":"baja"}}')) \g /dev/null
SELECT is((SELECT count(*) FROM whatsapp_opt_outs), 0::bigint, 'nor does the order within a webhook matter');
SELECT pg_temp.post_messages(pg_temp.inbound('wamid.z', 1764001040, 'text', '{"text":{"body":"alta"}}'), pg_temp.inbound('wamid.a', 1764001040, 'text', '{"text":{"body":"baja"}}')) \g /dev/null
SELECT is((SELECT count(*) FROM whatsapp_opt_outs), 1::bigint, 'but in one second, for Meta tells no more');

/* ---- switches of WhatsApp itself ---- */

TRUNCATE whatsapp_opt_outs, whatsapp_opt_ins;
CREATE FUNCTION pg_temp.prefer(value text, at bigint, number text DEFAULT '100000000000001') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    counts text := pg_temp.counts(pg_temp.post(pg_temp.envelope(pg_temp.change('user_preferences', jsonb_build_object('metadata', jsonb_build_object('phone_number_id', number),
        'contacts', '[{"profile":{"name":"Ana"},"wa_id":"34600000009","user_id":"ES.2"}]'::jsonb,
        'user_preferences', jsonb_build_array(jsonb_build_object('wa_id', '34600000009', 'user_id', 'ES.2', 'detail', '…', 'category', 'marketing_messages', 'value', value, 'timestamp', at)))))));
BEGIN
    RETURN counts || ' ' || COALESCE((SELECT string_agg(concat_ws(' ', tenant_id, recipient, category, source), ', ' ORDER BY recipient) FROM whatsapp_opt_outs), 'none');
END
$$;
SELECT is(pg_temp.prefer('stop', 1764002000), '1/0/0/0 panaderia +34600000009 marketing preferences, panaderia ES.2 marketing preferences', 'stop ends marketing');
SELECT is(pg_temp.prefer('stop', 1764002000), '0/1/0/0 panaderia +34600000009 marketing preferences, panaderia ES.2 marketing preferences', 'once');
SELECT is(pg_temp.prefer('resume', 1764002001), '1/0/0/0 none', 'resume brings it back');
SELECT is(pg_temp.prefer('stop', 1764001999), '1/0/0/0 none', 'an older stop that comes late does not count');
SELECT is(pg_temp.prefer('perhaps', 1764002002), '0/0/1/0 none', 'anything else is parked');
SELECT is(pg_temp.counts(pg_temp.post(pg_temp.envelope(pg_temp.change('user_preferences', jsonb_build_object('metadata', '{"phone_number_id":"100000000000001"}'::jsonb, 'user_preferences', '[
    {"wa_id":"34600000021","category":"marketing_messages","value":"stop","timestamp":1764002100}, 7, {"category":"marketing_messages","value":"stop","timestamp":1764002100},
    {"wa_id":"no number","category":"marketing_messages","value":"stop","timestamp":1764002100}, {"wa_id":"34600000022","category":"calls","value":"stop","timestamp":1764002100},
    {"wa_id":"34600000023","category":"marketing_messages","value":"stop","timestamp":"soon"}, {"user_id":"ES.21","value":"stop","timestamp":"1764002100"}]'::jsonb))))),
    '2/0/5/0', 'two good ones among five bad');
SELECT is((SELECT string_agg(recipient, ' ' ORDER BY recipient) FROM whatsapp_opt_outs), '+34600000021 ES.21', 'the good ones count');
SELECT is((SELECT string_agg(reason, ' ' ORDER BY reason) FROM whatsapp_parked_events WHERE kind = 'event'),
    'not_an_object sender_missing sender_missing timestamp_invalid unknown_category unknown_preference', 'the others are parked, each with its reason');
SELECT is(pg_temp.counts(pg_temp.post(pg_temp.envelope(pg_temp.change('user_preferences', '{"metadata":{"phone_number_id":"100000000000001"}}')))), '0/0/1/0', 'a change without any is parked whole');
SELECT is(pg_temp.prefer('stop', 1764002200), '1/0/0/0 panaderia +34600000009 marketing preferences, panaderia +34600000021 marketing preferences, panaderia ES.2 marketing preferences, panaderia ES.21 marketing preferences', 'stop once more');
SELECT is(pg_temp.after('alta', 1764002300), 'panaderia +34600000009 marketing preferences, panaderia +34600000021 marketing preferences, panaderia ES.2 marketing preferences, panaderia ES.21 marketing preferences', 'which a word does not undo');
SELECT pg_temp.post_messages(pg_temp.inbound('wamid.both1', 1764002400, 'text', '{"from":"34600000009","from_user_id":"ES.2","text":{"body":"baja"}}')) \g /dev/null
SELECT pg_temp.post_messages(pg_temp.inbound('wamid.both2', 1764002401, 'text', '{"from":"34600000009","from_user_id":"ES.2","text":{"body":"alta"}}')) \g /dev/null
SELECT is((SELECT string_agg(DISTINCT source, ' ') FROM whatsapp_opt_outs WHERE recipient IN ('+34600000009', 'ES.2')), 'preferences', 'nor one that said the same before');
TRUNCATE whatsapp_opt_outs, whatsapp_opt_ins;
SELECT pg_temp.post_messages(pg_temp.inbound('wamid.both3', 1764002500, 'text', '{"from":"34600000009","from_user_id":"ES.2","text":{"body":"baja"}}')) \g /dev/null
SELECT is(pg_temp.prefer('stop', 1764002450), '1/0/0/0 panaderia +34600000009 marketing preferences, panaderia ES.2 marketing preferences', 'the switch counts more than a word, also if it comes late');

/* ---- edited and withdrawn ---- */

SELECT pg_temp.post_messages(pg_temp.inbound('wamid.E1', 1764003000, 'text', '{"text":{"body":"dos barras"}}'),
    pg_temp.inbound('wamid.E2', 1764003001, 'edit', '{"edit":{"original_message_id":"wamid.E1","message":{"type":"text","text":{"body":"tres barras"}}}}'), pg_temp.inbound('wamid.E3', 1764003002, 'revoke', '{"revoke":{"original_message_id":"wamid.E1"}}')) \g /dev/null
SELECT is((edited_at, revoked_at)::text, (pg_temp.at(1764003001), pg_temp.at(1764003002))::text, 'a message that was changed and withdrawn says so') FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'wamid.E1';
SELECT is((SELECT text FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'wamid.E2'), 'tres barras', 'the change is stored, too');

SELECT finish();
ROLLBACK;
