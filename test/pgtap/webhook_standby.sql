/*
 * Conversations that Meta's agent, or another application, has: what customers write in them counts.
 */
\ir ../lib/begin.sql
\ir ../lib/webhook.sql
SELECT plan(44);

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

/* ---- who has the conversation, in any order of what is told ---- */

CREATE FUNCTION pg_temp.handed(kind text, at bigint, sender jsonb, whole boolean DEFAULT true) RETURNS jsonb LANGUAGE sql AS $$
    SELECT pg_temp.post(pg_temp.envelope(pg_temp.change('messaging_handovers', jsonb_strip_nulls(jsonb_build_object(
        'recipient', '{"phone_number_id": "100000000000001"}'::jsonb, 'sender', sender, 'timestamp', at::text,
        'type', CASE WHEN whole THEN kind END, kind, '{"new_owner_role": "escalation"}'::jsonb)))))
$$;
CREATE FUNCTION pg_temp.said(wamid text, at bigint, sender jsonb, standby boolean DEFAULT false) RETURNS jsonb LANGUAGE sql AS $$
    SELECT pg_temp.post(pg_temp.envelope(pg_temp.change(CASE WHEN standby THEN 'standby' ELSE 'messages' END, jsonb_build_object(
        'metadata', '{"phone_number_id": "100000000000001"}'::jsonb, 'messages', jsonb_build_array(
            jsonb_build_object('id', wamid, 'timestamp', at::text, 'type', 'text', 'text', '{"body": "hola"}'::jsonb) || sender)))))
$$;
CREATE FUNCTION pg_temp.has_it(VARIADIC forms text[]) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(CASE wa_internal_thread_is_taken(w.last_inbound_at, w.taken_at, w.passed_at) WHEN true THEN 'other' ELSE 'we' END, ' ' ORDER BY f.n)
    FROM unnest(forms) WITH ORDINALITY AS f (form, n) JOIN whatsapp_windows AS w ON w.recipient = f.form
$$;

/* every order of six facts, of which some are of one second, gives the same */
CREATE TEMP SEQUENCE people START 700;
CREATE FUNCTION pg_temp.in_every_order(facts text[], OUT owners text) LANGUAGE plpgsql AS $$
DECLARE
    told text[];
    fact text;
    seen text[] := '{}';
    phone text;
    n integer;
BEGIN
    FOR told IN
        WITH RECURSIVE orders (list) AS (
            SELECT '{}'::text[] UNION ALL
            SELECT o.list || f FROM orders AS o, unnest(facts) AS f WHERE f <> ALL (o.list))
        SELECT o.list FROM orders AS o WHERE cardinality(o.list) = cardinality(facts)
    LOOP
        n := nextval('people');
        phone := '34600' || lpad(n::text, 6, '0');
        FOREACH fact IN ARRAY told LOOP
            IF split_part(fact, ' ', 1) IN ('to_us', 'to_other') THEN
                PERFORM pg_temp.said(format('wamid.%s.%s', n, fact), split_part(fact, ' ', 2)::bigint, jsonb_build_object('from', phone),
                    fact LIKE 'to_other%');
            ELSE
                PERFORM pg_temp.handed(split_part(fact, ' ', 1), split_part(fact, ' ', 2)::bigint, jsonb_build_object('phone_number', phone));
            END IF;
        END LOOP;
        IF pg_temp.has_it('+' || phone) <> ALL (seen) THEN
            seen := seen || pg_temp.has_it('+' || phone);
        END IF;
    END LOOP;
    owners := array_to_string(seen, ',');
END
$$;
SELECT is(pg_temp.in_every_order('{to_us 1764000100,control_taken 1764000110,to_other 1764000120}'), 'other', 'taken, and written to since');
SELECT is(pg_temp.in_every_order('{control_taken 1764000110,to_other 1764000120,control_passed 1764000120}'), 'we', 'passed to us in the second of a message to the other one');
SELECT is(pg_temp.in_every_order('{control_passed 1764000100,to_us 1764000100,control_taken 1764000100}'), 'other', 'taken in the second in which the customer wrote to us');
SELECT is(pg_temp.in_every_order('{to_other 1764000100,control_taken 1764000090,to_us 1764000130}'), 'we', 'given back without a word, as the next message shows');
SELECT is(pg_temp.in_every_order('{to_other 1764000100}'), 'other', 'the first message went to the other one');

/* it is the person's, by any form and spelling of the event */
SELECT pg_temp.post(pg_temp.envelope(pg_temp.change('messages', '{"metadata": {"phone_number_id": "100000000000001"}, "contacts": [{"wa_id": "525511112222", "user_id": "MX.77"}],
    "messages": [{"from": "5215511112222", "from_user_id": "MX.77", "id": "wamid.P1", "timestamp": "1764000100", "type": "text", "text": {"body": "hola"}}]}'))) \g /dev/null
SELECT is(pg_temp.has_it('+525511112222', '+5215511112222', 'MX.77'), 'we we we', 'a person has several forms');
SELECT pg_temp.handed('control_taken', 1764000110, '{"user_id": "MX.77"}', false) \g /dev/null
SELECT is(pg_temp.has_it('+525511112222', '+5215511112222', 'MX.77'), 'other other other', 'taken, by the user ID, in an event without its type');
SELECT pg_temp.handed('control_passed', 1764000120, '{"wa_id": "525511112222"}') \g /dev/null
SELECT is(pg_temp.has_it('+525511112222', '+5215511112222', 'MX.77'), 'we we we', 'passed back, by the other spelling of the number');
SELECT pg_temp.handed('control_taken', 1764000110, '{"user_id": "MX.77"}', false) \g /dev/null
SELECT is(pg_temp.has_it('MX.77'), 'we', 'what is repeated says nothing new');
SELECT pg_temp.handed('control_taken', 1764000130, '{"phone_number": "+52 1 55 1111 2222"}') \g /dev/null
SELECT is(pg_temp.has_it('MX.77'), 'other', 'a number as people write it');
SELECT pg_temp.handed('control_taken', 1764000130, '{"phone_number": "34600000501"}') \g /dev/null
SELECT is((SELECT concat_ws('|', last_inbound_at, pg_temp.has_it('+34600000501')) FROM whatsapp_windows WHERE recipient = '+34600000501'), '-infinity|other', 'of somebody who has never written');
SELECT throws_like($$SELECT wa_enqueue_text('panaderia', '+34600000501', 'hola')$$, '%window%closed%', 'which opens no window');
SELECT pg_temp.handed('control_taken', EXTRACT(epoch FROM now() - interval '8 days')::bigint, '{"phone_number": "34600000502"}') \g /dev/null
SELECT is(pg_temp.has_it('+34600000502'), NULL, 'and one of last week changes nothing');

SELECT pg_temp.said('wamid.U1', 1764000100, '{"from": "34600000503"}'), pg_temp.said('wamid.U2', 1764000101, '{"from_user_id": "ES.503"}'),
    pg_temp.handed('control_taken', 1764000110, '{"user_id": "ES.503"}') \g /dev/null
SELECT is(pg_temp.has_it('+34600000503', 'ES.503'), 'we other', 'two who may be one');
SELECT wa_internal_know('+34600000503', 'ES.503', NULL, now()) \g /dev/null
SELECT is(pg_temp.has_it('+34600000503', 'ES.503'), 'other other', 'are, and so is their conversation');

/* ---- what follows for messages ---- */

SELECT set_config('test.now', floor(EXTRACT(epoch FROM now()))::text, true) \g /dev/null
SELECT pg_temp.said('wamid.Q1', current_setting('test.now')::bigint - 100, '{"from": "34600000601", "from_user_id": "ES.601"}') \g /dev/null
SELECT wa_enqueue_text('panaderia', 'ES.601', 'a') AS a, wa_enqueue_text('panaderia', '+34600000601', 'b') AS b \gset
CREATE FUNCTION pg_temp.queued(id bigint) RETURNS text LANGUAGE sql AS $$ SELECT concat_ws(' ', state, hold_reason) FROM whatsapp_queue WHERE message_id = id $$;
CREATE FUNCTION pg_temp.why(wanted bigint, more boolean DEFAULT false) RETURNS text LANGUAGE sql AS $$
    SELECT e.reason || CASE WHEN more THEN ': ' || e.detail ELSE '' END
    FROM whatsapp_messages AS m JOIN whatsapp_queue AS q ON q.message_id = m.id CROSS JOIN LATERAL wa_internal_explain_wait(m, q) AS e
    WHERE m.id = wanted
$$;
CREATE FUNCTION pg_temp.hold() RETURNS void LANGUAGE sql AS $$ UPDATE whatsapp_queue SET state = 'h', hold_reason = 'thread_taken' $$;
SELECT wa_internal_thread_stops(m, '100000000000001') AS stops FROM whatsapp_messages AS m WHERE id = :a \gset
SELECT is(:'stops'::boolean, false, 'nothing holds a message while the conversation is ours');
SELECT pg_temp.handed('control_taken', current_setting('test.now')::bigint - 90, '{"phone_number": "34600000601"}') \g /dev/null
SELECT pg_temp.hold() \g /dev/null
SELECT is(pg_temp.why(:a, true), 'thread_taken: it has the role escalation', 'what is held says so, and who has the conversation');
SELECT wa_internal_release_stale_holds('thread_taken', -9223372036854775808, 100) \g /dev/null
SELECT is(pg_temp.queued(:a), 'h thread_taken', 'and stays held');
SELECT pg_temp.said('wamid.Q2', current_setting('test.now')::bigint - 80, '{"from": "34600000601"}', true) \g /dev/null
SELECT is(pg_temp.queued(:a), 'h thread_taken', 'also when the customer writes to the other one');
SELECT pg_temp.said('wamid.Q3', current_setting('test.now')::bigint - 85, '{"from": "34600000601"}') \g /dev/null
SELECT is(pg_temp.queued(:a), 'h thread_taken', 'or has written to us before that');
SELECT pg_temp.said('wamid.Q4', current_setting('test.now')::bigint - 70, '{"from": "34600000601"}') \g /dev/null
SELECT is(pg_temp.queued(:a) || ', ' || pg_temp.queued(:b), 'r, r', 'the next message to us releases all that is for this person');
SELECT pg_temp.handed('control_taken', current_setting('test.now')::bigint - 60, '{"user_id": "ES.601"}') \g /dev/null
SELECT pg_temp.hold() \g /dev/null
SELECT pg_temp.handed('control_passed', current_setting('test.now')::bigint - 50, '{"phone_number": "34600000601"}') \g /dev/null
SELECT is(pg_temp.queued(:a) || ', ' || pg_temp.queued(:b), 'r, r', 'and so does a handover to us');
SELECT pg_temp.handed('control_taken', current_setting('test.now')::bigint - 40, '{"user_id": "ES.601"}') \g /dev/null
SELECT is(pg_temp.why(:b), 'thread_taken', 'what the sender has not come to yet is explained alike');
SELECT pg_temp.hold() \g /dev/null
SELECT throws_ok($$SELECT wa_configure_tenant('panaderia', on_thread => 'x')$$, '22023', 'invalid value of on_thread: "x"', 'a tenant holds or takes over');
SELECT is((wa_configure_tenant('panaderia', on_thread => 'take_over')).on_thread, 'take_over', 'a tenant that takes conversations over');
SELECT is(pg_temp.queued(:a) || ', ' || pg_temp.queued(:b), 'r, r', 'does not wait for them');
SELECT isnt(pg_temp.why(:b), 'thread_taken', 'nor is that said of it');
SELECT is((wa_configure_tenant('panaderia', on_thread => 'hold')).on_thread, 'hold', 'and back');
SELECT pg_temp.hold() \g /dev/null
UPDATE whatsapp_windows SET last_inbound_at = now() - interval '25 hours' WHERE recipient IN ('+34600000601', 'ES.601');
SELECT wa_internal_release_stale_holds('thread_taken', -9223372036854775808, 100) \g /dev/null
SELECT is(pg_temp.queued(:a) || ', ' || pg_temp.why(:a), 'r, window_closed', 'what has waited until the window closed goes the way of all such');

SELECT * FROM finish();
ROLLBACK;
