/*
 * wa_enqueue_bulk(): one template for many recipients, all or none.
 */
\ir ../lib/begin.sql
SELECT plan(26);

SELECT wa_assign_phone('panaderia', '100000000000001') \g /dev/null
SELECT wa_register_template('oferta', 'es', '[{"type": "BODY", "text": "Hola {{1}}."}]', 'MARKETING') \g /dev/null
SELECT wa_register_template('sencilla', 'es', '[{"type": "BODY", "text": "Hola."}]', 'MARKETING') \g /dev/null
UPDATE whatsapp_sync SET finished_at = clock_timestamp() WHERE kind = 'templates';

CREATE TEMP TABLE sent AS SELECT id, ordinality FROM wa_enqueue_bulk('panaderia', 'oferta',
    '["+34 600 000 001", {"to": "+34600000002", "parameters": ["Ana"], "reference": "r2"}, {"recipient_phone": "+34600000003", "idempotency_key": "k3"}]',
    '["cliente"]', reference => 'campaña', priority => 5) WITH ORDINALITY AS t (id);
SELECT is((SELECT string_agg(concat_ws(' ', recipient_phone, payload #>> '{components,0,parameters,0,text}', reference, COALESCE(idempotency_key, '-'), priority), E'\n' ORDER BY ordinality)
        FROM sent JOIN whatsapp_messages USING (id)),
    E'+34600000001 cliente campaña - 5\n+34600000002 Ana r2 - 5\n+34600000003 cliente campaña k3 5', 'each recipient gets its own message, in the order given');
SELECT is((SELECT count(*) FROM whatsapp_queue WHERE state = 'r'), 3::bigint, 'all are ready');
SELECT is((SELECT count(*) FROM wa_enqueue_bulk('panaderia', 'sencilla', '[]')), 0::bigint, 'nobody is no error');
SELECT is((SELECT count(*) FROM wa_enqueue_bulk('panaderia', 'sencilla', '["+34600000001"]', language => 'es')), 1::bigint, 'without parameters');

/* ---- only once ---- */

CREATE TEMP TABLE once AS SELECT array_agg(id) AS ids FROM wa_enqueue_bulk('panaderia', 'sencilla', '["+34600000001", "+34600000002"]', idempotency_key => 'lunes') id;
SELECT is((SELECT array_agg(id) FROM wa_enqueue_bulk('panaderia', 'sencilla', '["+34600000001", "+34600000002"]', idempotency_key => 'lunes') id), ids,
    'a call with the same key finds its messages again') FROM once;
SELECT is((SELECT array_agg(idempotency_key ORDER BY id) FROM whatsapp_messages WHERE id = ANY (ids)), '{lunes:+34600000001,lunes:+34600000002}', 'under a key for each') FROM once;
SELECT is((SELECT count(DISTINCT id) FROM wa_enqueue_bulk('panaderia', 'sencilla', '["+34600000009", "+34 600000009"]', idempotency_key => 'martes') id), 1::bigint,
    'a recipient that is listed twice gets one');

/* ---- opt-outs ---- */

SELECT wa_opt_out('panaderia', '+34600000007') \g /dev/null
CREATE TEMP TABLE some_out AS SELECT array_agg(id) AS ids FROM wa_enqueue_bulk('panaderia', 'sencilla', '["+34600000006", "+34600000007", "+34600000008"]') id;
SELECT is((SELECT array_agg(status ORDER BY id) FROM whatsapp_messages WHERE id = ANY (ids)), '{queued,skipped,queued}', 'who has opted out is skipped, the others are not') FROM some_out;

/* ---- one bad entry ---- */

CREATE TEMP TABLE counted AS SELECT count(*) AS messages FROM whatsapp_messages;
CREATE FUNCTION pg_temp.refused(recipients jsonb, state text, message text, description text, parameters jsonb DEFAULT '[]') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    got_state text;
    got_context text;
    entry text := substring(description FROM 'recipients\[\d+\]');
BEGIN
    BEGIN
        PERFORM wa_enqueue_bulk('panaderia', 'sencilla', recipients, parameters);
        RETURN NEXT fail(description);
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS got_state = RETURNED_SQLSTATE, got_context = PG_EXCEPTION_CONTEXT;
        RETURN NEXT is((got_state, SQLERRM), (state, message), description);
        IF entry IS NOT NULL THEN
            RETURN NEXT ok(got_context LIKE '%' || entry || '%', 'the context of the error names ' || entry);
        END IF;
    END;
END
$$;
SELECT pg_temp.refused('["+34600000001", "600000002"]', '22023', 'invalid recipient phone number in recipients[1]', 'a bad number: recipients[1]');
SELECT pg_temp.refused('["+34600000001", {"to": "+34600000002", "parameters": ["x"]}]', '22023', 'parameters do not fit template "sencilla" (es)', 'bad parameters: recipients[1]');
SELECT pg_temp.refused('[{"phone": "+34600000002"}]', '22023', 'unknown member "phone" in recipients[0]', 'an unknown member: recipients[0]');
SELECT pg_temp.refused('["+34600000001", {"reference": "x"}]', '22023', 'recipients[1] has no recipient', 'nobody: recipients[1]');
SELECT pg_temp.refused('["+34600000001", null]', '22023', 'recipients[1] has no recipient', 'null: recipients[1]');
SELECT pg_temp.refused('[{"to": "+34600000001", "idempotency_key": ""}]', '22023', 'argument "idempotency_key" must not be empty', 'an empty key: recipients[0]');
SELECT pg_temp.refused('{"to": "+34600000001"}', '22023', 'argument "recipients" must be a JSON array', 'no list');
SELECT pg_temp.refused(NULL, '22004', 'argument "recipients" must not be null', 'nothing');
SELECT is((SELECT count(*) FROM whatsapp_messages), messages, 'nothing of all that was written') FROM counted;
SELECT throws_ok($$SELECT wa_enqueue_bulk('nadie', 'sencilla', '["+34600000001"]')$$, '42704', 'tenant "nadie" does not exist', 'an unknown tenant');
SELECT throws_ok($$SELECT wa_enqueue_bulk('panaderia', 'otra', '["+34600000001"]')$$, '42704', 'template "otra" does not exist', 'an unknown template');
SELECT is((SELECT count(*) FROM wa_enqueue_bulk('panaderia', 'sencilla', (SELECT jsonb_agg('+346' || to_char(i, 'FM00000000')) FROM generate_series(1, 5000) i))), 5000::bigint, 'thousands in one call');

SELECT * FROM finish();
ROLLBACK;
