/*
 * The gateway's routes about messages: searching, one message, acting on one or many,
 * failures, and enqueueing.
 */
\ir ../lib/begin.sql
\ir ../lib/gateway.sql
SELECT no_plan();

SELECT wa_assign_phone('alba', '100000000000001'), wa_configure_tenant('horno', is_new => true) \g /dev/null
SELECT wa_register_template('pedido', 'es', '[{"type": "BODY", "text": "Hola {{1}}"}]') \g /dev/null
UPDATE whatsapp_sync SET items = 1, finished_at = now() WHERE kind = 'templates';
CREATE FUNCTION pg_temp.post(key text, body jsonb, OUT status integer, OUT body jsonb, OUT error text) LANGUAGE sql AS $$
    SELECT c.status, c.body, c.error FROM pg_temp.call('enqueue', pg_temp.request(body => $2, key => $1)) AS c
$$;

/* ---- enqueueing ---- */

CREATE TEMP TABLE note AS
SELECT * FROM pg_temp.post('order:1', '{"tenant_id": "alba", "recipient_phone": "+34 600 000 002", "template_name": "pedido", "parameters": ["uno"],
    "reference": "PO-1", "priority": 5, "expires_at": "2999-01-01T00:00:00Z", "on_uncertain": "park"}');
SELECT is(concat_ws(' ', status, body ->> 'status'), '201 queued', 'a template message is written') FROM note;
SELECT is(concat_ws(' ', m.tenant_id, m.recipient_phone, m.template_name, m.template_language, m.reference, m.priority, m.idempotency_key, m.on_uncertain,
        m.expires_at), 'alba +34600000002 pedido es PO-1 5 order:1 park 2999-01-01 00:00:00+00', 'as it was asked for')
    FROM whatsapp_messages AS m, note WHERE m.id = (note.body ->> 'id')::bigint;
SELECT is(concat_ws(' ', p.status, p.body ->> 'id' = note.body ->> 'id'), '200 t', 'the same again is the first one')
    FROM note, pg_temp.post('order:1', '{"recipient_phone": "+34600000002", "tenant_id": "alba", "template_name": "pedido", "parameters": ["uno"],
    "reference": "PO-1", "priority": 5, "expires_at": "2999-01-01T00:00:00Z", "on_uncertain": "park", "type": "template"}') AS p;
SELECT is(concat_ws(' ', p.status, p.body ->> 'field', p.body ->> 'id' = note.body ->> 'id'), '422 Idempotency-Key t', format('another message under its key is not: %s', v))
    FROM note, unnest(ARRAY['{"parameters": ["dos"]}', '{"recipient_phone": "+34600000003"}', '{"reference": "PO-2"}', '{"priority": 6}',
            '{"on_uncertain": null}', '{"scheduled_at": "2998-01-01T00:00:00Z"}']::jsonb[]) AS v,
        pg_temp.post('order:1', '{"tenant_id": "alba", "recipient_phone": "+34 600 000 002", "template_name": "pedido", "parameters": ["uno"],
            "reference": "PO-1", "priority": 5, "expires_at": "2999-01-01T00:00:00Z", "on_uncertain": "park"}'::jsonb || v) AS p;
UPDATE whatsapp_messages SET scheduled_at = now() - interval '1 minute', created_at = now() - interval '1 minute';
SELECT is(concat_ws(' ', p.error, p.status), '200', format('%s says no other time', v))
    FROM unnest(ARRAY['{"scheduled_at": null}', '{"scheduled_at": ""}']::jsonb[]) AS v,
        pg_temp.post('order:1', '{"tenant_id": "alba", "recipient_phone": "+34600000002", "template_name": "pedido", "parameters": ["uno"],
            "reference": "PO-1", "priority": 5, "expires_at": "2999-01-01T00:00:00Z", "on_uncertain": "park"}'::jsonb || v) AS p;
SELECT is(concat_ws(' ', p.error, p.status), '200', 'the same again after it has expired is the first one, too')
    FROM pg_temp.post('order:1', '{"tenant_id": "alba", "recipient_phone": "+34600000002", "template_name": "pedido", "parameters": ["uno"],
            "reference": "PO-1", "priority": 5, "expires_at": "2020-01-01T00:00:00Z", "on_uncertain": "park"}') AS p;
SELECT is(count(*), 1::bigint, 'and nothing is written for it') FROM whatsapp_messages;
SELECT wa_unregister_template('pedido', 'es') \g /dev/null
SELECT is(status, 200, 'a template that is gone since changes nothing')
    FROM pg_temp.post('order:1', '{"tenant_id": "alba", "recipient_phone": "+34600000002", "template_name": "pedido", "parameters": ["uno"]}');
SELECT wa_register_template('pedido', 'es', '[{"type": "BODY", "text": "Hola {{1}}"}]') \g /dev/null
SELECT is(status, 201, 'the key is the tenant''s')
    FROM pg_temp.post('order:1', '{"tenant_id": "horno", "recipient_phone": "+34600000002", "template_name": "pedido", "parameters": ["uno"]}');
SELECT wa_configure_tenant(7, is_new => true) \g /dev/null
SELECT is(status, 201, 'a tenant may be a number')
    FROM pg_temp.post('order:1', '{"tenant_id": 7, "recipient_phone": "+34600000002", "template_name": "pedido", "parameters": ["uno"]}');

INSERT INTO whatsapp_windows (phone_number_id, recipient, last_inbound_at) VALUES ('100000000000001', '+34600000004', now());
CREATE TEMP TABLE typed AS SELECT p.*, v.want
FROM (VALUES ('{"type": "text", "body": "hola", "preview_url": true}'::jsonb, '201 text {"body": "hola", "preview_url": true}'),
        ('{"type": "image", "link": "https://example.com/a.jpg", "caption": "pan"}', '201 image {"link": "https://example.com/a.jpg", "caption": "pan"}'),
        ('{"type": "document", "media_id": "123", "filename": "a.pdf"}', '201 document {"id": "123", "filename": "a.pdf"}'),
        ('{"type": "interactive", "interactive": {"type": "flow", "action": {}}}', '201 interactive {"type": "flow", "action": {}}'),
        ('{"type": "location", "payload": {"latitude": 1, "longitude": 2}}', '201 location {"latitude": 1, "longitude": 2}')) AS v (body, want),
    pg_temp.post('type:' || want, v.body || '{"tenant_id": "alba", "recipient_phone": "+34600000004"}') AS p;
SELECT is(concat_ws(' ', p.error, p.status, m.message_type, m.payload), want, 'type ' || split_part(want, ' ', 2))
    FROM typed AS p LEFT JOIN whatsapp_messages AS m ON m.id = (p.body ->> 'id')::bigint;
SELECT is(error, '55000', 'outside the window it is refused')
    FROM pg_temp.post('closed', '{"type": "text", "body": "hola", "tenant_id": "alba", "recipient_phone": "+34600000005"}');
SELECT is(status, 201, 'but for its fallback')
    FROM pg_temp.post('closed', '{"type": "text", "body": "hola", "tenant_id": "alba", "recipient_phone": "+34600000005", "fallback_template": "pedido",
        "fallback_parameters": ["x"]}');
SELECT is(error, want, format('refused: %s', v.body))
    FROM (VALUES ('{"template_name": "pedido"}'::jsonb, '22004 recipient_phone'), ('{"recipient_phone": "+34600000004"}', '22004 template_name'),
        ('{"recipient_phone": 34600000004, "template_name": "pedido"}', '22023 recipient_phone'),
        ('{"recipient_phone": "600000004", "template_name": "pedido", "parameters": ["x"]}', '22023'),
        ('{"recipient_phone": "+34600000004", "template_name": "pedido"}', '22023'), ('{"recipient_phone": "+34600000004", "template_name": "nada"}', '42704'),
        ('{"recipient_phone": "+34600000004", "template_name": "pedido", "parameters": ["x"], "tenant_id": "nadie"}', '42704'),
        ('{"recipient_phone": "+34600000004", "template_name": "pedido", "parameters": ["x"], "tenant_id": null}', '22004 tenant_id'),
        ('{"recipient_phone": "+34600000004", "template_name": "pedido", "body": "x"}', '22023 body'),
        ('{"recipient_phone": "+34600000004", "type": "text", "body": "x", "template_name": "pedido"}', '22023 template_name'),
        ('{"recipient_phone": "+34600000004", "type": "text"}', '22004 body'), ('{"recipient_phone": "+34600000004", "type": "location"}', '22004 payload'),
        ('{"recipient_phone": "+34600000004", "type": "text", "body": "x", "priority": 1.5}', '22023 priority'),
        ('{"recipient_phone": "+34600000004", "type": "text", "body": "x", "priority": 1001}', '22023 priority'),
        ('{"recipient_phone": "+34600000004", "type": "text", "body": "x", "scheduled_at": "soon"}', '22023 scheduled_at'),
        ('{"recipient_phone": "+34600000004", "type": "text", "body": "x", "scheduled_at": "tomorrow"}', '22023 scheduled_at'),
        ('{"recipient_phone": "+34600000004", "type": "text", "body": "x", "scheduled_at": "2999-01-01 10:00 Nowhere/Town"}', '22023 scheduled_at')) AS v (body, want),
    pg_temp.post('bad', '{"tenant_id": "alba"}' || v.body);
SELECT is(error, '22004 Idempotency-Key', 'a key is required')
    FROM unnest(ARRAY[NULL, '']) AS k, pg_temp.post(k, '{"tenant_id": "alba", "recipient_phone": "+34600000004", "template_name": "pedido", "parameters": ["x"]}');

/* ---- searching ---- */

CREATE FUNCTION pg_temp.find(query jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT COALESCE(c.error, (SELECT string_agg(m.value ->> 'id', ' ' ORDER BY m.ordinality) FROM jsonb_array_elements(c.body) WITH ORDINALITY AS m), '')
    FROM pg_temp.call('messages', pg_temp.request(query)) AS c
$$;
DELETE FROM whatsapp_messages;
SELECT setval(pg_get_serial_sequence('whatsapp_messages', 'id'), 100) \g /dev/null
INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, message_type, template_name, template_language, payload, status, status_reason,
    error_code, error_message, idempotency_key, reference, whatsapp_message_id, created_at, scheduled_at, accepted_at, sent_at, delivered_at, read_at, failed_at, finished_at)
SELECT CASE WHEN n < 6 THEN 'alba' ELSE 'horno' END, CASE WHEN n < 6 THEN '100000000000001' END, '+3460000010' || n, 'template', 'pedido', 'es',
    '{"name": "pedido", "language": {"code": "es"}}', s, CASE s WHEN 'skipped' THEN 'tenant_disabled' END,
    CASE s WHEN 'failed' THEN 131026 END, CASE s WHEN 'failed' THEN 'Message undeliverable' END, 'key:' || n, 'PO-' || n, CASE s WHEN 'read' THEN 'wamid.' || n END,
    now() - interval '3 days' + n * interval '1 minute', now() - interval '3 days', CASE s WHEN 'read' THEN now() END, CASE s WHEN 'read' THEN now() END,
    CASE s WHEN 'read' THEN now() END, CASE s WHEN 'read' THEN now() END, CASE s WHEN 'failed' THEN now() END, now()
FROM unnest('{read,failed,cancelled,skipped,expired,failed,read,delivered}'::text[]) WITH ORDINALITY AS s (s, n);
INSERT INTO whatsapp_wamids (whatsapp_message_id, message_id) SELECT whatsapp_message_id, id FROM whatsapp_messages WHERE whatsapp_message_id IS NOT NULL;
SELECT wa_enqueue_message(t, '+34600000200', 'pedido', '["x"]') FROM unnest('{alba,horno}'::text[]) AS t \g /dev/null
SELECT is(pg_temp.find(q), want, format('%s finds %s', q, want))
    FROM (VALUES ('{}'::jsonb, '110 109 108 107 106 105 104 103 102 101'), ('{"tenant_id": "alba"}', '109 105 104 103 102 101'),
        ('{"tenant_id": "alba", "status": "failed"}', '102'), ('{"status": "failed"}', '106 102'), ('{"status": "queued"}', '110 109'),
        ('{"status": "queued", "tenant_id": "horno"}', '110'), ('{"reason": "no_number"}', '110'), ('{"reason": "tenant_disabled", "status": "skipped"}', '104'),
        ('{"error_code": "131026"}', '106 102'), ('{"error_code": "131026", "tenant_id": "horno"}', '106'), ('{"error_code": "1"}', ''),
        ('{"phone_number_id": "100000000000001", "status": "read"}', '101'), ('{"q": "101"}', '101'), ('{"q": "wamid.7"}', '107'), ('{"q": "key:3"}', '103'),
        ('{"q": "po-5"}', '105'), ('{"q": "+34 600 000 104"}', '104'), ('{"q": "600000200"}', '110 109'), ('{"q": "nada"}', ''), ('{"q": "%"}', ''),
        (jsonb_build_object('from', now() - interval '1 day'), '110 109'), (jsonb_build_object('to', now() - interval '1 day', 'status', 'read'), '107 101'),
        (jsonb_build_object('from', now() - interval '3 days' + interval '2 minutes', 'to', now() - interval '3 days' + interval '4 minutes'), '103 102'),
        ('{"from": "2030-01-01"}', ''), ('{"limit": "0"}', '22023 limit'), ('{"limit": "501"}', '22023 limit'), ('{"status": "lost"}', '22023 status'),
        ('{"error_code": "x"}', '22023 error_code'), ('{"from": "x"}', '22023 from'), ('{"cursor": "x"}', '22023 cursor'),
        (jsonb_build_object('cursor', wa_internal_gateway_cursor('alerts', 1::bigint)), '22023 cursor'), ('{"sort": "id"}', '22023 sort')) AS v (q, want);
INSERT INTO whatsapp_messages (id, tenant_id, recipient_user_id, message_type, payload, status, finished_at) OVERRIDING SYSTEM VALUE
    VALUES (50, 'horno', 'ES.77Ab90', 'text', '{}', 'read', now());
SELECT is(pg_temp.find(q), '50', format('%s finds whom there is no number of', q)) FROM (VALUES ('{"q": "ES.77Ab90"}'::jsonb), ('{"q": "77ab"}'),
    ('{"q": "es.77", "tenant_id": "horno"}'), ('{"q": "77AB90", "status": "read"}')) AS v (q);
SELECT is((SELECT m.value ->> 'recipient_user_id' FROM pg_temp.call('messages', pg_temp.request('{"q": "ES.77Ab90"}')) AS c, jsonb_array_elements(c.body) AS m), 'ES.77Ab90', 'and shows it');
DELETE FROM whatsapp_messages WHERE id = 50;
SELECT wa_pause('tenant', 'alba') \g /dev/null
SELECT is(pg_temp.find('{"reason": "tenant_paused"}'), '109', 'what a pause holds back is found, though nothing was written to it');
SELECT wa_resume('tenant', 'alba') \g /dev/null

/* ---- one ---- */

INSERT INTO whatsapp_attempts (message_id, attempt, outcome, error_code, error_message, started_at, ended_at)
    VALUES (101, 1, 'retry', 131000, 'Something went wrong', now() - interval '2 days', now() - interval '2 days');
INSERT INTO whatsapp_inbound_messages (whatsapp_message_id, tenant_id, phone_number_id, sender_phone, message_type, text, payload, message_id, sent_at, received_at)
    VALUES ('wamid.in', 'alba', '100000000000001', '+34600000101', 'text', 'vale', '{}', 101, now() + interval '1 s', now() + interval '1 s');
SELECT is(jsonb_path_query_array(body, '$.history[*].kind'), '["created", "attempt", "accepted", "sent", "delivered", "read", "reply"]', 'what happened, in order')
    FROM pg_temp.call('message', pg_temp.request(path => '{"id": "101"}'));
SELECT is(concat_ws(' ', body ->> 'status', body #>> '{explanation,reason}', body #>> '{replies,0,text}', body ->> 'may', body #>> '{payload,name}'),
    'read read vale [] pedido', 'and everything else') FROM pg_temp.call('message', pg_temp.request(path => '{"id": "101"}'));
SELECT is(body -> 'may', want::jsonb, format('what may be done with %s', id)) FROM (VALUES ('102', '["retry"]'), ('103', '["retry"]'), ('104', '["retry"]'),
        ('105', '["retry"]'), ('108', '[]'), ('109', '["cancel"]')) AS v (id, want), pg_temp.call('message', pg_temp.request(path => jsonb_build_object('id', id)));
SELECT is(error, 'P0002', format('%s %s is not found', r, i)) FROM unnest('{message,retry_message,cancel_message}'::text[]) AS r,
    unnest('{0,999,x,99999999999999999999}'::text[]) AS i, pg_temp.call(r, pg_temp.request(path => jsonb_build_object('id', i)));

/* ---- acting on one ---- */

CREATE FUNCTION pg_temp.act(route text, id text, body jsonb DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT COALESCE(c.error, concat_ws(' ', c.status, c.body ->> 'status', c.body ->> 'message_status'))
    FROM pg_temp.call(route || '_message', pg_temp.request(body => $3, path => jsonb_build_object('id', $2))) AS c
$$;
SELECT is(pg_temp.act('retry', '102'), '200 queued', 'a failed message is queued again');
SELECT is(pg_temp.act('retry', '102'), '409 queued', 'once');
SELECT is(pg_temp.act('retry', '101'), '409 read', 'one that was read is not');
SELECT ok(c.body ->> 'detail' = 'message 101 was not queued again: its status is read' AND c.body ->> 'explanation' <> '', 'and the answer says why')
    FROM pg_temp.call('retry_message', pg_temp.request(path => '{"id": "101"}')) AS c;
SELECT is(pg_temp.act('cancel', '102'), '200 cancelled', 'what waits is cancelled');
SELECT is(pg_temp.act('cancel', '102'), '409 cancelled', 'once');
SELECT is(pg_temp.act('resolve', '109', '{"outcome": "failed"}'), '409 queued', 'what is not uncertain is not decided');
UPDATE whatsapp_queue SET state = 'u', due_at = 'infinity', hold_reason = 'parked' WHERE message_id = 109;
UPDATE whatsapp_messages SET status = 'uncertain', status_reason = 'parked' WHERE id = 109;
SELECT is(body -> 'may', '["resolve"]', 'what is may be') FROM pg_temp.call('message', pg_temp.request(path => '{"id": "109"}'));
SELECT is(pg_temp.find('{"reason": "parked"}'), '109', 'and is found');
SELECT is(pg_temp.find('{"status": "uncertain"}'), '109', 'by its status, too');
SELECT is(pg_temp.act('resolve', '109', b::jsonb), want, b) FROM (VALUES ('{}', '22004 outcome'), ('{"outcome": "perhaps"}', '22023'), ('{"outcome": 1}', '22023 outcome'),
    ('{"outcome": "accepted"}', '200 accepted')) AS v (b, want);
SELECT results_eq($$SELECT kind, key, actor FROM whatsapp_events WHERE scope = 'message' ORDER BY event_id$$,
    $$VALUES ('retry_message', '102', 'Ana'), ('cancel_message', '102', 'Ana'), ('resolve_message', '109', 'Ana')$$, 'what was done is noted, what was refused is not');
SELECT is(jsonb_path_query_array(body, '$.history[*] ? (@.kind == "resolve_message").details.actor'), '["Ana"]', 'and in the message''s own history')
    FROM pg_temp.call('message', pg_temp.request(path => '{"id": "109"}'));

/* ---- failures ---- */

SELECT is(concat_ws(' ', body -> 0 ->> 'error_code', body -> 0 ->> 'messages', body -> 0 ->> 'tenants', body -> 0 ->> 'sample_id'), '131026 1 1 106', 'failures since a time')
    FROM pg_temp.call('failures', pg_temp.request(jsonb_build_object('from', now() - interval '4 days')));
SELECT ok(body -> 0 ->> 'title' <> '' AND body -> 0 ->> 'remedy' <> '' AND body -> 0 -> 'may_retry' = 'true', 'with words')
    FROM pg_temp.call('failures', pg_temp.request(jsonb_build_object('from', now() - interval '4 days')));
SELECT is(body, '[]', 'none of today') FROM pg_temp.call('failures', pg_temp.request());
SELECT is(error, '22023 from', 'of a time') FROM pg_temp.call('failures', pg_temp.request('{"from": "x"}'));

/* ---- acting on many ---- */

CREATE FUNCTION pg_temp.many(route text, body jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT COALESCE(c.error, concat_ws(' ', c.status, c.body ->> 'matched', c.body ->> 'done', c.body ->> 'refused', c.body ->> 'remaining', c.body ? 'cursor'))
    FROM pg_temp.call(route || '_messages', pg_temp.request(body => $2)) AS c
$$;
SELECT is(pg_temp.many(r, b::jsonb), want, format('%s %s', r, b)) FROM unnest('{retry,cancel}'::text[]) AS r,
    (VALUES ('{}', '22004 filter'), ('{"filter": []}', '22023 filter'), ('{"filter": {}}', '22023 filter'), ('{"filter": {"tenant_id": "alba"}}', '22023 filter'),
        ('{"filter": {"status": "lost"}}', '22023 status'), ('{"filter": {"state": "failed"}}', '22023 state'), ('{"filter": {"status": "failed"}, "cursor": "x"}', '22023 cursor'),
        ('{"filter": {"status": "failed"}, "dry_run": 1}', '22023 dry_run'), ('{"filter": {"status": "failed"}, "all": true}', '22023 all')) AS v (b, want);
SELECT is(pg_temp.many('retry', '{"filter": {"status": "failed"}, "dry_run": true}'), '200 1 0 0 1 f', 'counting first');
SELECT is(status, 'failed', 'changes nothing') FROM whatsapp_messages WHERE id = 106;
SELECT is(pg_temp.many('retry', '{"filter": {"status": "failed"}}'), '200 1 1 0 0 f', 'all that failed are queued again');
SELECT is(pg_temp.many('retry', '{"filter": {"status": "read"}}'), '200 2 0 2 0 f', 'for each its own rule decides');
SELECT is(pg_temp.many('cancel', '{"filter": {"status": "queued", "tenant_id": "horno"}}'), '200 2 2 0 0 f', 'what waits is cancelled');
SELECT is(pg_temp.many('cancel', '{"filter": {"status": "queued"}}'), '200 0 0 0 0 f', 'nothing is left');
UPDATE whatsapp_messages SET status = 'failed', message_type = 'text', payload = '{"body": "x"}' WHERE id = 107;
SELECT is(pg_temp.many('retry', '{"filter": {"error_code": 5, "status": "failed"}}'), '200 0 0 0 0 f', 'numbers may be numbers');
INSERT INTO whatsapp_windows (phone_number_id, recipient, last_inbound_at) VALUES ('100000000000001', '+34600000999', now() - interval '3 days');
SELECT wa_assign_phone('horno', '100000000000002') \g /dev/null
SELECT is(pg_temp.many('retry', '{"filter": {"status": "failed"}}'), '200 1 0 1 0 f', 'one whose window is closed is refused, and the others go on');

INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, message_type, template_name, template_language, payload, status, error_code, finished_at)
    SELECT 'alba', '100000000000001', '+346000' || 10000 + n, 'template', 'pedido', 'es', '{}', CASE WHEN n % 2 = 0 THEN 'failed' ELSE 'expired' END, 42, now()
    FROM generate_series(1, 2400) AS n;
UPDATE whatsapp_messages SET attempts = 30000 WHERE error_code = 42 AND id % 100 = 0;
CREATE FUNCTION pg_temp.all_of(route text, filter jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    c record;
    body jsonb := jsonb_build_object('filter', filter);
    steps text := '';
BEGIN
    LOOP
        SELECT * INTO c FROM pg_temp.call(route || '_messages', pg_temp.request(body => body));
        steps := concat_ws(', ', NULLIF(steps, ''), concat_ws(' ', c.body ->> 'done', c.body ->> 'refused', c.body ->> 'remaining'));
        EXIT WHEN c.body ->> 'cursor' IS NULL OR length(steps) > 200;
        body := body || jsonb_build_object('cursor', c.body ->> 'cursor');
    END LOOP;
    RETURN steps;
END
$$;
SELECT is(pg_temp.all_of('retry', '{"status": "failed", "error_code": "42"}'), '490 10 700, 490 10 200, 196 4 0', 'many go in steps of 500, and what is refused is met once');
SELECT is(pg_temp.all_of('cancel', '{"status": "queued", "tenant_id": "alba"}'), '500 0 676, 500 0 176, 176 0 0', 'back and forth');
SELECT is(count(*), 3::bigint, 'each step is noted') FROM whatsapp_events WHERE kind = 'retry_messages' AND detail #>> '{filter,error_code}' = '42';

INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, message_type, template_name, template_language, payload, status, error_code, finished_at)
    SELECT 'alba', '100000000000001', '+3460002000' || n, 'template', 'pedido', 'es', '{}', 'failed', 43, now() FROM generate_series(1, 3) AS n;
INSERT INTO whatsapp_media_uses (message_id, medium) SELECT id, 0 FROM whatsapp_messages WHERE recipient_phone = '+34600020002';
SELECT is(pg_temp.many('retry', '{"filter": {"status": "failed", "error_code": 43}}'), '200 3 2 1 0 f', 'so is one whose file is not kept any longer');

SELECT * FROM finish();
ROLLBACK;
