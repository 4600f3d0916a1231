/*
 * Who is who: every way in which Meta tells that somebody's number or user id has
 * changed, what the forms of one person have in common, and what they have not.
 */
\ir ../lib/begin.sql
\ir ../lib/webhook.sql
SELECT plan(82);

SELECT wa_assign_phone('panaderia', '100000000000001') \g /dev/null
SELECT wa_assign_phone('horno', '100000000000002') \g /dev/null
UPDATE whatsapp_phone_assignments SET assigned_at = now() - interval '30 days';
SELECT wa_register_template('oferta', 'es', '[{"type": "BODY", "text": "Oferta."}]', 'MARKETING') \g /dev/null

/* A webhook of contacts and messages; "n" makes ids. */
CREATE SEQUENCE pg_temp.n;
CREATE FUNCTION pg_temp.tell(messages jsonb, contacts jsonb DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.counts(pg_temp.post(pg_temp.envelope(pg_temp.messages_change(jsonb_strip_nulls(jsonb_build_object(
        'contacts', contacts, 'messages', (SELECT jsonb_agg(m || jsonb_build_object('id', 'wamid.P' || nextval('pg_temp.n')))
            FROM jsonb_array_elements(messages) AS m)))))))
$$;
CREATE FUNCTION pg_temp.says(phone text, user_id text, words text, at bigint) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.tell(jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('from', phone, 'from_user_id', user_id, 'timestamp', at::text,
        'type', 'text', 'text', jsonb_build_object('body', words)))))
$$;
/* A message of the type "system", with what stands outside of it. */
CREATE FUNCTION pg_temp.system(system jsonb, at bigint, more jsonb DEFAULT '{}', contacts jsonb DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.tell(jsonb_build_array(jsonb_build_object('timestamp', at::text, 'type', 'system', 'system', system) || more), contacts)
$$;
CREATE FUNCTION pg_temp.person(form text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(i.identity, ' ' ORDER BY i.identity)
    FROM whatsapp_contact_identities AS i JOIN whatsapp_contact_identities AS f USING (contact_id) WHERE f.identity = form
$$;
CREATE FUNCTION pg_temp.now_known(form text) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws('|', c.wa_id, c.user_id, c.parent_user_id, c.name, c.username)
    FROM whatsapp_contacts AS c JOIN whatsapp_contact_identities AS i USING (contact_id) WHERE i.identity = form
$$;
CREATE FUNCTION pg_temp.wants(form text, tenant text DEFAULT 'panaderia') RETURNS text LANGUAGE sql AS $$
    SELECT COALESCE(string_agg(o.category || ' ' || o.source, ', ' ORDER BY o.category), 'everything')
    FROM whatsapp_opt_outs AS o WHERE o.recipient = form AND o.tenant_id = tenant
$$;

/* ---- the shapes of a change, after and before the opt-out ---- */

CREATE FUNCTION pg_temp.shape(shape text, p text, at bigint) RETURNS text LANGUAGE sql AS $$
    SELECT CASE shape
        WHEN 'with sender' THEN pg_temp.system(format('{"type":"user_changed_user_id","previous_user_id":"ES.%sA","user_id":"ES.%sB"}', p, p)::jsonb, at,
            jsonb_build_object('from_user_id', 'ES.' || p || 'B'))
        WHEN 'current id at the sender alone' THEN pg_temp.system(format('{"type":"user_changed_user_id","previous_user_id":"ES.%sA"}', p)::jsonb, at,
            jsonb_build_object('from_user_id', 'ES.' || p || 'B'))
        WHEN 'no sender' THEN pg_temp.system(format('{"type":"user_changed_user_id","previous_user_id":"ES.%sA","user_id":"ES.%sB"}', p, p)::jsonb, at)
        WHEN 'prose' THEN pg_temp.system(format('{"type":"user_changed_user_id","body":"User U changed from ES.%sA to ES.%sB","user_id":"ES.%sB"}', p, p, p)::jsonb, at)
        WHEN 'prose alone' THEN pg_temp.system(format('{"type":"user_changed_user_id","body":"Uno ha cambiado de ES.%sA a ES.%sB."}', p, p)::jsonb, at)
        WHEN 'contact beside' THEN pg_temp.system(format('{"type":"user_changed_user_id","previous_user_id":"ES.%sA"}', p)::jsonb, at, '{}',
            format('[{"profile":{"name":"U"},"user_id":"ES.%sB"}]', p)::jsonb)
        WHEN 'former id at the sender' THEN pg_temp.system(format('{"type":"user_changed_user_id","user_id":"ES.%sB"}', p)::jsonb, at,
            jsonb_build_object('from_user_id', 'ES.' || p || 'A'))
        WHEN 'wa_id is the user id' THEN pg_temp.system(format('{"type":"user_changed_user_id","wa_id":"ES.%sB","previous_user_id":"ES.%sA"}', p, p)::jsonb, at)
        WHEN 'wa_id is empty' THEN pg_temp.system(format('{"type":"user_changed_user_id","wa_id":"","previous_user_id":"ES.%sA","user_id":"ES.%sB"}', p, p)::jsonb, at,
            '{"from":""}')
        WHEN 'the field' THEN pg_temp.counts(pg_temp.post(pg_temp.envelope(pg_temp.change('user_id_update', format('{"metadata":{"phone_number_id":"100000000000001"},
            "contacts":[{"profile":{"name":"U"}}],"user_id_update":[{"detail":"…","user_id":{"previous":"ES.%sA","current":"ES.%sB"},"timestamp":"%s"}]}', p, p, at)::jsonb))))
        END
$$;
CREATE TEMP TABLE shape AS SELECT * FROM unnest('{with sender,current id at the sender alone,no sender,prose,prose alone,contact beside,
    former id at the sender,wa_id is the user id,wa_id is empty,the field}'::text[]) WITH ORDINALITY AS s (shape, n);
CREATE FUNCTION pg_temp.histories() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    s record;
BEGIN
    FOR s IN SELECT * FROM shape ORDER BY n LOOP
        PERFORM pg_temp.says(NULL, 'ES.X' || s.n || 'A', 'BAJA', 1764000100);
        RETURN NEXT is(pg_temp.shape(s.shape, 'X' || s.n, 1764000200), '1/0/0/0', s.shape || ': applied');
        RETURN NEXT is(pg_temp.wants('ES.X' || s.n || 'B') || ' ' || pg_temp.now_known('ES.X' || s.n || 'A'),
            format('marketing inbound ES.X%sB', s.n) || CASE WHEN s.shape IN ('contact beside', 'the field') THEN '|U' ELSE '' END, s.shape || ': an opt-out follows');
        PERFORM pg_temp.shape(s.shape, 'Y' || s.n, 1764000200);
        PERFORM pg_temp.says(NULL, 'ES.Y' || s.n || 'A', 'BAJA', 1764000100);
        RETURN NEXT is(pg_temp.wants('ES.Y' || s.n || 'B') || ' ' || split_part(pg_temp.now_known('ES.Y' || s.n || 'A'), '|', 1),
            format('marketing inbound ES.Y%sB', s.n), s.shape || ': and one that comes late');
    END LOOP;
END
$$;
SELECT pg_temp.histories();

/* ---- numbers ---- */

SELECT pg_temp.says('34600009001', 'ES.V1OLD', 'BAJA', 1764000300) \g /dev/null
SELECT pg_temp.system('{"body":"User V changed from ES.V1OLD to ES.V1NEW","type":"user_changed_user_id","wa_id":"34600009002","user_id":"ES.V1NEW"}', 1764000301, '{"from":"34600009001"}') \g /dev/null
SELECT is(pg_temp.person('ES.V1OLD'), '+34600009001 +34600009002 ES.V1NEW ES.V1OLD', 'a new number and a new user ID in one');
SELECT is(pg_temp.now_known('ES.V1OLD'), '34600009002|ES.V1NEW', 'of which the new ones are valid');
SELECT is(pg_temp.wants('+34600009002') || ' ' || pg_temp.wants('ES.V1NEW'), 'marketing inbound marketing inbound', 'for both');
SELECT is(pg_temp.system('{"body":"x","type":"user_changed_user_id","wa_id":"","previous_user_id":"ES.V4OLD","user_id":"ES.V4NEW"}', 1764000301, '{"from":"34600009101"}')
    || pg_temp.system('{"body":"x","type":"user_changed_user_id","wa_id":"","previous_user_id":"ES.V6OLD","user_id":"ES.V6NEW"}', 1764000301, '{"from":"34600009102"}')
    || pg_temp.system('{"body":"x","type":"user_changed_user_id","wa_id":"ES.V5NEW","user_id":"ES.V5NEW"}', 1764000301, '{"from":"34600009201"}'), '1/0/0/01/0/0/01/0/0/0', 'a wa_id that is empty or a user ID');
SELECT is(pg_temp.now_known('ES.V4OLD') || ' ' || pg_temp.now_known('ES.V6OLD') || ' ' || pg_temp.now_known('ES.V5NEW'), '34600009101|ES.V4NEW 34600009102|ES.V6NEW 34600009201|ES.V5NEW',
    'is no number, and nobody takes another one''s row');
SELECT is((SELECT count(*) FROM whatsapp_contacts WHERE wa_id !~ '^[0-9]{5,20}$'), 0::bigint, 'nothing else is stored as a number');
SELECT pg_temp.system('{"body":"changed","wa_id":"34600005002","user_id":"ES.NEW","type":"user_changed_number"}', 1764000308, '{"from":"34600005001","from_user_id":"ES.OLD"}') \g /dev/null
SELECT pg_temp.says('34600005001', 'ES.OLD', 'BAJA', 1764000300) \g /dev/null
SELECT is(pg_temp.wants('+34600005002') || ', ' || pg_temp.wants('ES.NEW') || ', ' || pg_temp.now_known('ES.OLD'), 'marketing inbound, marketing inbound, 34600005002|ES.NEW', 'an opt-out under the old number that comes late');
SELECT pg_temp.system('{"body":"Ana changed from 34600005101 to 34600005102","type":"user_changed_number"}', 1764000309) \g /dev/null
SELECT is(pg_temp.person('+34600005101'), '+34600005101 +34600005102', 'numbers in the sentence alone');

/* What a customer calls himself proves nothing. */
SELECT is(pg_temp.system('{"type":"user_changed_user_id","body":"User changed from ES.V1NEW to ES.EVIL is here","user_id":"ES.EVIL"}', 1764000310), '1/0/0/0', 'a sentence that is none');
SELECT is(pg_temp.person('ES.EVIL'), 'ES.EVIL', 'unites nobody');
SELECT is(pg_temp.system('{"type":"user_changed_user_id","body":"User ES.V1NEW to ES.EVIL changed from ES.EVIL to ES.EVIL2","user_id":"ES.EVIL2"}', 1764000311), '1/0/0/0', 'a name like a sentence');
SELECT is(pg_temp.person('ES.EVIL'), 'ES.EVIL ES.EVIL2', 'is a name');
SELECT is(pg_temp.system('{"type":"user_changed_user_id","body":"?"}', 1764000312), '0/0/1/0', 'without any identity it is parked');
SELECT is((SELECT string_agg(DISTINCT reason, ' ') FROM whatsapp_parked_events), 'sender_missing', 'with the reason');

/* ---- spellings ---- */

SELECT pg_temp.says('5215512345678', NULL, 'BAJA', 1764000400) \g /dev/null
SELECT wa_enqueue_message('panaderia', '+525512345678', 'oferta') AS m \gset
SELECT is((SELECT m.status FROM whatsapp_messages AS m WHERE m.id = :m), 'skipped', 'BAJA from 521 stops messages to 52');
SELECT is((SELECT count(*) FROM whatsapp_windows WHERE recipient IN ('+525512345678', '+5215512345678')), 2::bigint, 'and opens the window of both');
SELECT wa_opt_out('panaderia', '+556187654321') \g /dev/null
SELECT is(pg_temp.wants('+5561987654321'), 'marketing manual', 'the ninth digit is no way out');
INSERT INTO whatsapp_learned_identities (recipient, identity) VALUES ('+34600000601', '+34600000602');
SELECT wa_opt_out('panaderia', '+34600000602') \g /dev/null
SELECT pg_temp.says('34600000699', NULL, 'hola', 1764000401) \g /dev/null
SELECT is(pg_temp.wants('+34600000601'), 'marketing manual', 'what a response has told is learned with the next message');
SELECT is((SELECT count(*) FROM whatsapp_learned_identities), 0::bigint, 'once');

/* ---- who has opted in ---- */

SELECT is(wa_opt_in('panaderia', '+34600000701'), false, 'consent without an opt-out');
SELECT is((SELECT string_agg(concat_ws(' ', tenant_id, recipient, category, source), ', ') FROM whatsapp_opt_ins WHERE recipient = '+34600000701'), 'panaderia +34600000701 marketing manual', 'is recorded');
SELECT pg_temp.says('34600000701', 'ES.701', 'BAJA', 1764000400) \g /dev/null
SELECT is(pg_temp.wants('+34600000701'), 'everything', 'an older opt-out that comes late yields to it');
SELECT is(wa_opt_out('panaderia', 'ES.701'), true, 'who opts out');
SELECT is(wa_opt_in('panaderia', '+34600000701'), true, 'and in');
SELECT is(pg_temp.wants('+34600000701') || ' ' || pg_temp.wants('ES.701'), 'everything everything', 'in one transaction has opted in');
SELECT wa_opt_out('panaderia', '+34600000702'), wa_opt_out('panaderia', 'ES.702') \g /dev/null
SELECT wa_opt_in('panaderia', '+34600000702') \g /dev/null
SELECT pg_temp.says('34600000702', 'ES.702', 'hola', 1764000402) \g /dev/null
SELECT is(pg_temp.wants('ES.702'), 'everything', 'of two forms that are united the latest wish counts');
INSERT INTO whatsapp_opt_outs (tenant_id, recipient) VALUES ('panaderia', 'ES.702') \g /dev/null
SELECT is(pg_temp.wants('+34600000702'), 'marketing manual', 'a row inserted is an opt-out of the person');
DELETE FROM whatsapp_opt_outs WHERE recipient = '+34600000702';
SELECT is(pg_temp.wants('ES.702') || ' ' || (SELECT count(*) FROM whatsapp_opt_ins WHERE recipient IN ('+34600000702', 'ES.702')), 'everything 1', 'and one deleted an opt-in');

/* ---- windows, names, numbers of somebody else ---- */

SELECT pg_temp.says(NULL, 'ES.801', 'hola', 1764000500) \g /dev/null
SELECT pg_temp.tell('[{"from":"34600000801","from_user_id":"ES.801","timestamp":"1764000400","type":"text","text":{"body":"hola"}}]',
    '[{"wa_id":"34600000801","user_id":"ES.801","parent_user_id":"ES.ENT.801","profile":{"name":"Ocho","username":"ocho"}}]') \g /dev/null
SELECT is((SELECT count(*) FILTER (WHERE last_inbound_at = pg_temp.at(1764000500)) FROM whatsapp_windows WHERE recipient IN ('+34600000801', 'ES.801', 'ES.ENT.801')), 3::bigint, 'the window of a person is open under every form');
SELECT is((SELECT count(DISTINCT person) FROM whatsapp_contact_identities WHERE identity IN ('+34600000801', 'ES.801', 'ES.ENT.801')), 1::bigint, 'all of which have one key');
SELECT is((SELECT person FROM whatsapp_contact_identities WHERE identity = '+34600000801'), 'ES.801', 'the one that was there first');
SELECT pg_temp.tell('[{"from_user_id":"ES.802","timestamp":"1764000510","type":"text","text":{"body":"hola"}}]', '[{"user_id":"ES.802","profile":{"name":"Otro","username":"ocho"}}]') \g /dev/null
SELECT is(pg_temp.now_known('ES.801') || ' ' || pg_temp.now_known('ES.802'), '34600000801|ES.801|ES.ENT.801|Ocho ES.802|Otro|ocho', 'a user name that somebody else takes is theirs, and unites nobody');
SELECT pg_temp.tell('[{"from_user_id":"ES.801","timestamp":"1764000405","type":"text","text":{"body":"hola"}}]', '[{"user_id":"ES.801","profile":{"name":"Antes"}}]') \g /dev/null
SELECT pg_temp.tell('[{"from_user_id":"ES.801","timestamp":"1764000300","type":"text","text":{"body":"hola"}}]', '[{"user_id":"ES.801","profile":{"name":"Mucho antes"}}]') \g /dev/null
SELECT is(split_part(pg_temp.now_known('ES.801'), '|', 4), 'Antes', 'the latest name counts, whenever it comes');

SELECT pg_temp.system('{"wa_id":"34600000809","user_id":"ES.803","type":"user_changed_number"}', 1764000600, '{"from":"34600000801","from_user_id":"ES.801"}') \g /dev/null
SELECT wa_opt_out('horno', 'ES.803') \g /dev/null
UPDATE whatsapp_opt_outs SET word_at = pg_temp.at(1764000550), created_at = pg_temp.at(1764000550) WHERE tenant_id = 'horno';
SELECT pg_temp.tell('[{"from":"34600000801","from_user_id":"ES.900","timestamp":"1764000700","type":"text","text":{"body":"hola"}}]', '[{"wa_id":"34600000801","user_id":"ES.900","profile":{"name":"Nueva"}}]') \g /dev/null
SELECT is(pg_temp.person('ES.900') || ', ' || pg_temp.person('ES.803'), '+34600000801 ES.900, +34600000809 ES.801 ES.803 ES.ENT.801', 'a number that was left and comes with another user ID is somebody else''s');
SELECT is(pg_temp.wants('+34600000801', 'horno') || ', ' || pg_temp.wants('+34600000809', 'horno'), 'everything, marketing manual', 'the wish stays with whom it was of');
SELECT is((SELECT last_inbound_at FROM whatsapp_windows WHERE recipient = '+34600000801'), pg_temp.at(1764000700), 'and so does the window');
SELECT pg_temp.says('34600000801', 'ES.801', 'BAJA', 1764000590) \g /dev/null
SELECT is(pg_temp.wants('+34600000801') || ', ' || pg_temp.wants('+34600000809'), 'everything, marketing inbound', 'what comes late from before is the former owner''s');

/* ---- what statuses tell of recipients ---- */

CREATE FUNCTION pg_temp.sent_to(recipient text, tenant text DEFAULT 'panaderia') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    made CONSTANT bigint := pg_temp.new_message('accepted', tenant);
BEGIN
    UPDATE whatsapp_messages AS m SET recipient_phone = CASE WHEN recipient LIKE '+%' THEN recipient END,
        recipient_user_id = CASE WHEN recipient NOT LIKE '+%' THEN recipient END WHERE m.id = made;
    RETURN made;
END
$$;
CREATE FUNCTION pg_temp.reports(message bigint, recipient jsonb, number text DEFAULT '100000000000001') RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.counts(pg_temp.post(pg_temp.envelope(pg_temp.messages_change(jsonb_build_object('statuses', jsonb_build_array(
        (pg_temp.status('wamid.' || message, 'sent', 1764000600) - 'recipient_id') || recipient)), number))), 'statuses')
$$;
/* Whom the status has added to the one it was sent to, when it is entered. */
CREATE FUNCTION pg_temp.taught(recipient text, told jsonb, number text DEFAULT '100000000000001') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_temp.reports(pg_temp.sent_to(recipient), told, number);
    PERFORM wa_internal_learn_identities(1000);
    RETURN COALESCE(pg_temp.person(recipient), 'nobody');
END
$$;
SELECT wa_opt_out('horno', '+34600000821') \g /dev/null
SELECT is(pg_temp.taught('+34600000820', '{"recipient_id":"34600000821"}'), '+34600000820 +34600000821', 'a status calls its recipient by another number');
SELECT is(pg_temp.wants('+34600000820', 'horno') || ', ' || pg_temp.wants('+34600000820'), 'marketing manual, everything', 'whose wishes stay with the tenant that they were told to');
SELECT pg_temp.sent_to('+34600000822') AS m \gset
SELECT pg_temp.reports(:m, '{"recipient_id":"34600000823"}'), pg_temp.reports(:m, '{"recipient_id":"34600000823"}') \g /dev/null
SELECT pg_temp.says('34600000823', NULL, 'BAJA', 1764000610) \g /dev/null
SELECT is(pg_temp.wants('+34600000822') || ' ' || (SELECT count(*) FROM whatsapp_learned_identities), 'marketing inbound 0', 'it is entered with the next message');
SELECT is(pg_temp.taught('ES.824', '{"recipient_id":"34600000824"}'), '+34600000824 ES.824', 'by a number, of a message to a user ID');
SELECT is(pg_temp.taught('+34600000825', '{"recipient_id":"ES.825"}'), '+34600000825 ES.825', 'by a user ID where the number is meant to be');
SELECT is(pg_temp.taught('+34600000826', '{"recipient_user_id":"ES.826"}'), '+34600000826 ES.826', 'by a user ID alone');
SELECT is(pg_temp.taught('+34600000827', '{"recipient_id":""}') || ', ' || pg_temp.taught('+34600000827', '{"recipient_id":null}') || ', '
    || pg_temp.taught('+34600000827', '{"recipient_id":"34600000827"}'), 'nobody, nobody, nobody', 'by nothing, or as before, tells nothing');
SELECT is(pg_temp.taught('+34600000828', '{"recipient_id":"1203630000000000","recipient_type":"group"}'), 'nobody', 'nor does a group');
SELECT is(pg_temp.taught('+34600000829', '{"recipient_id":"34600000830"}', '100000000000002'), 'nobody', 'nor a status that comes by another number than the message went by');
SELECT pg_temp.sent_to('+34600000831') AS m \gset
UPDATE whatsapp_messages SET erased_at = now() WHERE id = :m;
SELECT pg_temp.reports(:m, '{"recipient_id":"34600000832"}') \g /dev/null
SELECT is((SELECT count(*) FROM whatsapp_learned_identities), 0::bigint, 'nor one of a message that was erased');

SELECT pg_temp.taught('+346000010' || n, '{"recipient_id":"34600000833"}') FROM generate_series(10, 60) AS n \g /dev/null
SELECT is((SELECT count(*) FROM whatsapp_contact_identities AS i JOIN whatsapp_contact_identities AS f USING (contact_id) WHERE f.identity = '+34600000833'), 32::bigint,
    'what calls everybody alike makes no crowd one person');

/* In one webhook a status that is later, and knows less, and a message with a name. */
SELECT pg_temp.post(pg_temp.envelope(
    pg_temp.messages_change(jsonb_build_object('statuses', jsonb_build_array((pg_temp.status('wamid.' || :m, 'sent', 1764000900) - 'recipient_id') || '{"recipient_user_id":"ES.840"}'))),
    pg_temp.messages_change('{"contacts":[{"wa_id":"34600000840","user_id":"ES.840","profile":{"name":"Antes"}}],
        "messages":[{"id":"wamid.P840","from":"34600000840","from_user_id":"ES.840","timestamp":"1764000700","type":"text","text":{"body":"hola"}}]}'))) \g /dev/null
SELECT pg_temp.tell('[{"from_user_id":"ES.840","timestamp":"1764000800","type":"text","text":{"body":"hola"}}]', '[{"user_id":"ES.840","profile":{"name":"Luego"}}]') \g /dev/null
SELECT is(pg_temp.now_known('ES.840'), '34600000840|ES.840|Luego', 'a name is as old as the message that told it');

/* ---- a number that somebody has left, in the same second, under no user id, and again ---- */

SELECT wa_internal_know('+34600000859', 'ES.850', NULL, pg_temp.at(1764001000)),
    wa_internal_change_identity('+34600000859', NULL, NULL, '+34600000850', NULL, NULL, pg_temp.at(1764001000)) \g /dev/null
SELECT is(pg_temp.now_known('ES.850'), '34600000850|ES.850', 'of two numbers in one second it is not the one that was left');
SELECT pg_temp.says('34600000859', NULL, 'hola', 1764001100) \g /dev/null
SELECT is(pg_temp.now_known('ES.850'), '34600000850|ES.850', 'what is said under it alone does not say that it is theirs again');
SELECT wa_internal_set_opt('panaderia', '100000000000001', '+34600000859', 'ES.850', 'marketing', 'out', 'preference', pg_temp.at(1764001200)) \g /dev/null
SELECT is(pg_temp.now_known('ES.850'), '34600000859|ES.850', 'what is decided under it and the user id does');

SELECT * FROM finish();
ROLLBACK;
