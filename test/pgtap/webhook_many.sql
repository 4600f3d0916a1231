/*
 * Webhooks that are taken in together: each is all or nothing for itself, and
 * what is in the tables afterwards is what one after the other would have left.
 *
 * webhook_many_*.sql run other files of webhooks beside neighbours, and
 * webhook_permutations.sql tells its histories in this way, too.
 */
\ir ../lib/begin.sql
\ir ../lib/webhook.sql
SELECT plan(42);

CREATE FUNCTION pg_temp.outcomes(VARIADIC bodies text[]) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(CASE m.outcome WHEN 'ingested' THEN pg_temp.counts(m.result) ELSE concat_ws(' ', m.outcome, m.sqlstate) END,
        ', ' ORDER BY m.ordinal) FROM pg_temp.post_many(bodies) AS m
$$;
CREATE FUNCTION pg_temp.show(id bigint) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', m.status, EXTRACT(epoch FROM m.sent_at - pg_temp.at(1764000000))::integer,
        EXTRACT(epoch FROM m.delivered_at - pg_temp.at(1764000000))::integer) FROM whatsapp_messages AS m WHERE m.id = show.id
$$;
CREATE FUNCTION pg_temp.sent(id bigint) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.statuses_body(pg_temp.status('wamid.' || id, 'sent', 1764000001, pg_temp.data(id)))
$$;
CREATE FUNCTION pg_temp.delivered(id bigint) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.statuses_body(pg_temp.status('wamid.' || id, 'delivered', 1764000002, pg_temp.data(id)))
$$;
CREATE FUNCTION pg_temp.text_message(wamid text) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.envelope(pg_temp.messages_change(jsonb_build_object('messages', jsonb_build_array(jsonb_build_object(
        'from', '34600000001', 'id', wamid, 'timestamp', '1764000000', 'type', 'text', 'text', '{"body": "hola"}'::jsonb)))))
$$;

/* ---- results ---- */

SELECT pg_temp.new_message('accepted') AS a \gset
SELECT pg_temp.new_message('accepted') AS b \gset
SELECT pg_temp.new_message('queued') AS q \gset
SELECT is(pg_temp.outcomes(pg_temp.sent(:a), pg_temp.sent(:b), pg_temp.delivered(:q)), '1/0/0/0, 1/0/0/0, 1/0/0/0', 'a result for each');
SELECT is(pg_temp.show(:a) || ', ' || pg_temp.show(:b) || ', ' || pg_temp.show(:q), 'sent 1, sent 1, delivered 2', 'and each is applied');
SELECT ok(NOT EXISTS (SELECT FROM whatsapp_queue WHERE message_id = :q), 'also to what was in the queue');
SELECT is(pg_temp.outcomes(pg_temp.sent(:a), pg_temp.sent(:b)), '0/1/0/0, 0/1/0/0', 'repeated, they are duplicates');
SELECT is((SELECT m.result FROM pg_temp.post_many(ARRAY[pg_temp.sent(:a)]) AS m), pg_temp.post(pg_temp.sent(:a)), 'the result is that of wa_webhook_ingest()');
SELECT is((SELECT count(*) FROM wa_webhook_ingest_many('{}', '{}')), 0::bigint, 'none gives none');

/* ---- the same message in several ---- */

SELECT pg_temp.new_message('accepted') AS a \gset
SELECT is(pg_temp.outcomes(pg_temp.delivered(:a), pg_temp.sent(:a), pg_temp.delivered(:a)), '1/0/0/0, 1/0/0/0, 0/1/0/0', 'of two alike the second is a duplicate');
SELECT is(pg_temp.show(:a), 'delivered 1 2', 'whatever the order');
SELECT pg_temp.new_message('accepted') AS a \gset
SELECT is(pg_temp.outcomes(pg_temp.sent(:a), pg_temp.sent(:a)), '1/0/0/0, 0/1/0/0', 'the same body twice');

/* ---- signatures ---- */

SELECT pg_temp.new_message('accepted') AS a \gset
SELECT pg_temp.new_message('accepted') AS b \gset
CREATE FUNCTION pg_temp.signed(bodies text[], signatures text[]) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(m.outcome, ', ' ORDER BY m.ordinal) FROM (
        SELECT array_agg(convert_to(pg_temp.recent(u.body), 'UTF8') ORDER BY u.n) AS bytes FROM unnest(bodies) WITH ORDINALITY AS u (body, n)) AS b,
        wa_webhook_ingest_many(b.bytes, signatures) AS m
$$;
SELECT is(pg_temp.signed(ARRAY[pg_temp.sent(:a), pg_temp.sent(:b), pg_temp.delivered(:b), pg_temp.delivered(:a)],
    ARRAY[NULL, pg_temp.sign(convert_to(pg_temp.recent(pg_temp.sent(:b)), 'UTF8')), 'sha256=00',
        pg_temp.sign(convert_to(pg_temp.recent(pg_temp.delivered(:a)), 'UTF8'), 'another-secret')]),
    'invalid_signature, ingested, invalid_signature, invalid_signature', 'a wrong signature is that body''s alone');
SELECT is(pg_temp.show(:a) || ', ' || pg_temp.show(:b), 'accepted, sent 1', 'and nothing of it is read');
SELECT is(pg_temp.signed(ARRAY[pg_temp.delivered(:b)], ARRAY[pg_temp.sign(convert_to(pg_temp.recent(pg_temp.delivered(:b)), 'UTF8'), 'previous-secret')]),
    'ingested', 'the previous secret is valid');
SELECT is((SELECT string_agg(m.outcome, ' ' ORDER BY m.ordinal) FROM wa_webhook_ingest_many(ARRAY[decode(repeat('20', 4 * 1024 * 1024 + 1), 'hex'), '{}'],
    ARRAY['x', pg_temp.sign('{}')]) AS m), 'too_large ingested', 'more than four megabytes');
SELECT throws_ok($$SELECT wa_webhook_ingest_many('{}', '{x}')$$, '22023', NULL, 'as many signatures as bodies');
SELECT throws_ok($$SELECT wa_webhook_ingest_many(NULL, '{x}')$$, '22004', NULL, 'no bodies');
SELECT throws_ok($$SELECT wa_webhook_ingest_many('{NULL}', '{x}')$$, '22004', NULL, 'no body');
DELETE FROM whatsapp_parked_events;

/* ---- of every kind ---- */

SELECT pg_temp.new_message('accepted') AS a \gset
SELECT is(pg_temp.outcomes('<html>', pg_temp.sent(:a), pg_temp.text_message('wamid.in.1'), pg_temp.event('security', '{"event": "PIN_CHANGED"}'),
        pg_temp.statuses_body(pg_temp.status('wamid.unknown', 'sent', 1764000001)),
        pg_temp.statuses_body(pg_temp.status('wamid.unknown', 'sent', 1764000001), '{"id": "wamid.warp"}'), pg_temp.text_message('wamid.in.1')),
    '0/0/1/0, 1/0/0/0, 1/0/0/0, 1/0/0/0, 0/0/1/0, 0/1/1/0, 0/1/0/0', 'bodies of every kind, each counted for itself');
SELECT set_eq($$SELECT kind, reason FROM whatsapp_parked_events$$, $$VALUES ('body', 'not JSON: invalid value at byte 0'), ('status', 'unknown_message'), ('status', 'unknown_status')$$,
    'what cannot be used is parked once');
SELECT is((SELECT count(*) FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'wamid.in.1'), 1::bigint, 'the message is there once');
SELECT is((SELECT count(*) FROM whatsapp_account_events WHERE field = 'security'), 1::bigint, 'and the event');
INSERT INTO whatsapp_wamids VALUES ('wamid.unknown', :a);
SELECT is((SELECT wa_internal_rematch(100)), 1, 'what was unmatched finds its message');

/* More than go together, and what no longer goes with others. */
SELECT pg_temp.new_message('accepted') AS a FROM generate_series(1, 1100) \g /dev/null
SELECT array_agg(pg_temp.sent(m.id)) AS bodies FROM whatsapp_messages AS m WHERE m.status = 'accepted' \gset
SELECT is((SELECT count(*) FROM pg_temp.post_many(:'bodies') AS m WHERE pg_temp.counts(m.result) = '1/0/0/0'), cardinality(:'bodies'::text[])::bigint, 'more than a thousand');
SELECT is((SELECT string_agg(DISTINCT status, ' ') FROM whatsapp_messages WHERE whatsapp_message_id LIKE 'wamid.%' AND status = 'accepted'), NULL, 'all are applied');
SELECT pg_temp.new_message('accepted') AS a \gset
SELECT is(pg_temp.outcomes((SELECT pg_temp.statuses_body(VARIADIC array_agg('{}'::jsonb || jsonb_build_object('n', n))) FROM generate_series(1, 150) AS n), pg_temp.sent(:a)),
    '0/0/151/0, 1/0/0/0', 'a body that is kept as a whole');
SELECT is((SELECT count(*) FROM whatsapp_parked_events WHERE reason = 'too_many_rejected_items'), 1::bigint, 'is kept');

/* ---- contacts and traffic ---- */

CREATE FUNCTION pg_temp.with_contact(id bigint, n integer, number text DEFAULT '100000000000001') RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.envelope(pg_temp.messages_change(jsonb_build_object(
        'contacts', jsonb_build_array(jsonb_build_object('profile', jsonb_build_object('name', 'Cliente ' || n), 'wa_id', (34610000000 + n)::text, 'user_id', 'ES.M' || n)),
        'statuses', jsonb_build_array(pg_temp.status('wamid.' || id, 'sent', 1764000001, pg_temp.data(id)))), number))
$$;
SELECT pg_temp.new_message('accepted') AS a \gset
SELECT pg_temp.new_message('accepted') AS b \gset
SELECT is(pg_temp.outcomes(pg_temp.with_contact(:a, 2), pg_temp.with_contact(:b, 1), pg_temp.with_contact(:a, 2)), '1/0/0/0, 1/0/0/0, 0/1/0/0', 'with contacts');
SELECT set_eq($$SELECT wa_id::text, user_id::text, name FROM whatsapp_contacts WHERE user_id LIKE 'ES.M%'$$,
    $$VALUES ('34610000001', 'ES.M1', 'Cliente 1'), ('34610000002', 'ES.M2', 'Cliente 2')$$, 'which are stored once');

SELECT is(pg_temp.outcomes(pg_temp.with_contact(:a, 2, '100000000000007'), pg_temp.with_contact(:a, 2, '100000000000008'), pg_temp.with_contact(:a, 2, '100000000000007'),
    '[1]'), '0/1/0/0, 0/1/0/0, 0/1/0/0, 0/0/1/0', 'for several numbers');
SELECT is((SELECT count(*) FROM whatsapp_webhook_traffic WHERE phone_number_id IN ('100000000000007', '100000000000008') AND last_status_at IS NOT NULL), 2::bigint, 'each number has been heard of');

/* More numbers than a webhook alone could name. */
SELECT count(*) FROM pg_temp.post_many(ARRAY(SELECT pg_temp.with_contact(:a, 2, (200000000000000 + n)::text) FROM generate_series(1, 600) AS n)) \g /dev/null
SELECT is((SELECT count(*) FROM whatsapp_webhook_traffic WHERE phone_number_id LIKE '200000000000%' AND last_status_at IS NOT NULL), 600::bigint, 'of hundreds of numbers, too');

/* ---- one that fails ---- */

CREATE FUNCTION pg_temp.break() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.error_code = 4711 OR NEW.message_type = 'image' THEN
        RAISE EXCEPTION 'the disk is full' USING ERRCODE = '53100';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER break BEFORE UPDATE ON whatsapp_messages FOR EACH ROW EXECUTE FUNCTION pg_temp.break();
CREATE FUNCTION pg_temp.broken(id bigint) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.envelope(pg_temp.messages_change(jsonb_build_object(
        'contacts', jsonb_build_array(jsonb_build_object('wa_id', '34699999999', 'user_id', 'ES.BROKEN')),
        'statuses', jsonb_build_array(pg_temp.status('wamid.unheard', 'sent', 1764000001),
            pg_temp.status('wamid.' || id, 'failed', 1764000001, pg_temp.data(id), pg_temp.error(4711)))), '100000000000666'))
$$;
SELECT pg_temp.new_message('accepted') AS a \gset
SELECT pg_temp.new_message('accepted') AS b \gset
SELECT pg_temp.new_message('accepted') AS c \gset
SELECT is(pg_temp.outcomes(pg_temp.sent(:a), pg_temp.broken(:b), pg_temp.sent(:c)), '1/0/0/0, failed 53100, 1/0/0/0', 'the one that fails says so');
SELECT is(pg_temp.show(:a) || ', ' || pg_temp.show(:b) || ', ' || pg_temp.show(:c), 'sent 1, accepted, sent 1', 'the others are applied');
SELECT is((SELECT count(*) FROM whatsapp_contacts WHERE user_id = 'ES.BROKEN'), 0::bigint, 'nothing of it is written: no contact');
SELECT is((SELECT count(*) FROM whatsapp_parked_events WHERE whatsapp_message_id = 'wamid.unheard'), 0::bigint, 'no item that is unmatched');
SELECT is((SELECT count(*) FROM whatsapp_webhook_traffic WHERE phone_number_id = '100000000000666'), 0::bigint, 'no traffic');
SELECT is((SELECT m.message FROM pg_temp.post_many(ARRAY[pg_temp.broken(:b)]) AS m), 'the disk is full', 'with the reason');
DROP TRIGGER break ON whatsapp_messages;
SELECT is(pg_temp.outcomes(pg_temp.sent(:a), pg_temp.broken(:b)), '0/1/0/0, 1/0/1/0', 'repeated, it is taken in');
SELECT is((SELECT status FROM whatsapp_messages WHERE id = :b), 'failed', 'as a whole');

/* ---- handlers ---- */

CREATE FUNCTION pg_temp.button(wamid text, payload text) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.envelope(pg_temp.messages_change(jsonb_build_object('messages', jsonb_build_array(jsonb_build_object(
        'from', '34600000001', 'id', wamid, 'timestamp', '1764000000', 'type', 'button', 'button', jsonb_build_object('payload', payload, 'text', 'x'))))))
$$;
CREATE TABLE handled (who text);
CREATE FUNCTION public.many_handler(reply jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.handled VALUES (session_user || ' ' || current_user || ' ' || (reply ->> 'payload'));
    IF reply ->> 'payload' = 'many:bad' THEN
        RAISE 'it fails';
    END IF;
END
$$;
SELECT wa_on_reply('many:', 'public.many_handler(jsonb)') \g /dev/null
SELECT pg_temp.new_message('accepted') AS a \gset
SELECT is(pg_temp.outcomes(pg_temp.button('wamid.in.b1', 'many:good'), pg_temp.sent(:a), pg_temp.button('wamid.in.b2', 'many:bad')), '1/0/0/0, 1/0/0/0, 1/0/0/0', 'handlers run, and may fail');
SELECT is((SELECT count(*) FROM handled), 1::bigint, 'what fails leaves nothing');
SELECT is((SELECT count(*) FROM whatsapp_inbound_messages WHERE handler_error LIKE '%it fails%' AND whatsapp_message_id = 'wamid.in.b2'), 1::bigint, 'but its reason');

/* ---- whose call it is ---- */

SELECT is((SELECT count(*) FROM pg_proc WHERE oid = 'wa_webhook_ingest_many(bytea[], text[])'::regprocedure AND has_function_privilege('public', oid, 'EXECUTE')), 0::bigint, 'not everybody''s');

SELECT finish();
ROLLBACK;
