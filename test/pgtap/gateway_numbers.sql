/*
 * The gateway's routes about numbers and tenants, and its first screen.
 */
\ir ../lib/begin.sql
\ir ../lib/gateway.sql
SELECT no_plan();

SELECT wa_assign_phone('alba', '100000000000001', '+34 600 00 00 01') \g /dev/null
SELECT wa_configure_tenant('horno', is_new => true), wa_configure_tenant('trigal', is_new => true, enabled => false) \g /dev/null
INSERT INTO whatsapp_phone_numbers (phone_number_id, display_phone_number, verified_name, status, quality_rating, messaging_limit, source, synced_at)
    VALUES ('100000000000002', '+34 600 00 00 02', 'Pan y más', 'CONNECTED', 'GREEN', 'TIER_2K', 'sync', now()),
           ('100000000000003', '+34 600 00 00 03', 'Pan y menos', 'CONNECTED', 'YELLOW', 'TIER_2K', 'sync', now());
INSERT INTO whatsapp_reach VALUES ('+34600000009', 'alba', now(), 0), ('+34600000008', 'alba', now() - interval '2 days', 0);
INSERT INTO whatsapp_webhook_traffic VALUES ('100000000000001', '2026-01-01');

/* ---- the list of numbers ---- */

CREATE FUNCTION pg_temp.field(route text, query jsonb, name text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_path_query_array(body, ('$[*].' || name)::jsonpath) FROM pg_temp.call(route, pg_temp.request(query))
$$;
SELECT is(pg_temp.field('phone_numbers', '{}', 'phone_number_id'), '["100000000000001", "100000000000002", "100000000000003"]', 'all numbers');
SELECT is((body -> 1) - 'counted_since' - 'synced_at', '{"phone_number_id": "100000000000002", "display_phone_number": "+34 600 00 00 02",
    "verified_name": "Pan y más", "quality_rating": "GREEN", "status": "CONNECTED", "health": "ok", "messaging_limit": 2000,
    "messaging_limit_used": 1, "throughput": 80, "rate_reason": null, "tenant_id": null, "assigned_at": null, "free": true, "paused": false,
    "pause_reason": null, "paused_until": null, "sent_today": 0, "failed_today": 0, "waiting": 0, "last_webhook_at": null,
    "missing_since": null, "trouble": null}', 'everything about one') FROM pg_temp.call('phone_numbers', pg_temp.request());
SELECT is(concat_ws(' ', body -> 0 ->> 'tenant_id', body -> 0 ->> 'free', body -> 0 ->> 'last_webhook_at'),
    'alba false 2026-01-01T00:00:00+00:00', 'who has it') FROM pg_temp.call('phone_numbers', pg_temp.request());
SELECT is(pg_temp.field('phone_numbers', q, 'phone_number_id'), want, format('%s finds %s', q, want))
    FROM (VALUES ('{"q": "menos"}'::jsonb, '["100000000000003"]'::jsonb), ('{"q": "ALBA"}', '["100000000000001"]'), ('{"q": "600000002"}', '["100000000000002"]'),
        ('{"q": "+34 600 00 00 03"}', '["100000000000003"]'), ('{"q": "nada"}', '[]'), ('{"q": "%"}', '[]'), ('{"assigned": "true"}', '["100000000000001"]'),
        ('{"assigned": "false"}', '["100000000000002", "100000000000003"]'), ('{"q": ""}', '["100000000000001", "100000000000002", "100000000000003"]'))
        AS v (q, want);
SELECT is(jsonb_path_query_array(n.body, '$[*].phone_number_id'), '["100000000000003"]', 'page by page')
    FROM pg_temp.call('phone_numbers', pg_temp.request('{"limit": "2"}')) AS c,
        pg_temp.call('phone_numbers', pg_temp.request(jsonb_build_object('limit', '2', 'cursor', c.paging ->> 'next'))) AS n;
SELECT is(error, '22023 ' || f, f || ' is checked') FROM (VALUES ('limit', '5001'), ('assigned', 'perhaps'),
        ('cursor', wa_internal_gateway_cursor('tenants', 'alba'::text))) AS v (f, given),
    pg_temp.call('phone_numbers', pg_temp.request(jsonb_build_object(f, given)));

/* ---- the list of tenants ---- */

SELECT is(pg_temp.field('tenants', '{}', 'tenant_id'), '["alba", "horno", "trigal"]', 'all tenants');
SELECT is(pg_temp.field('tenants', '{}', 'status'), '["ready", "no_number", "disabled"]', 'with their state');
SELECT is(pg_temp.field('tenants', q, 'tenant_id'), want, format('%s finds %s', q, want))
    FROM (VALUES ('{"q": "ORN"}'::jsonb, '["horno"]'::jsonb), ('{"q": "600000001"}', '["alba"]'), ('{"enabled": "false"}', '["trigal"]'),
        ('{"enabled": "true", "assigned": "false"}', '["horno"]'), ('{"assigned": "true"}', '["alba"]'), ('{"q": "nadie"}', '[]')) AS v (q, want);
SELECT is(jsonb_path_query_array(n.body, '$[*].tenant_id'), '["trigal"]', 'page by page')
    FROM pg_temp.call('tenants', pg_temp.request('{"limit": "2"}')) AS c,
        pg_temp.call('tenants', pg_temp.request(jsonb_build_object('limit', '2', 'cursor', c.paging ->> 'next'))) AS n;
SELECT is(error, '22023 ' || f, f || ' is checked') FROM (VALUES ('limit', '0'), ('enabled', '1'), ('assigned', 'x'),
        ('cursor', wa_internal_gateway_cursor('phone-numbers', '1'::text))) AS v (f, given),
    pg_temp.call('tenants', pg_temp.request(jsonb_build_object(f, given)));

/* What waits: of its number, of none, and of a number that others have no part in. */
SELECT wa_enqueue_payload(t, '+34600000077', 'text', '{"body": "hola"}') FROM unnest('{alba,alba,horno}'::text[]) AS t \g /dev/null
SELECT is(pg_temp.field('tenants', '{}', 'waiting'), '[2, 1, 0]', 'what waits');
SELECT is(pg_temp.field('tenants', '{}', 'last_message_status'), '["queued", "queued", null]', 'and what became of the last one');
SELECT is(pg_temp.field('phone_numbers', '{}', 'waiting'), '[2, 0, 0]', 'by number');

/* ---- assigning ---- */

CREATE FUNCTION pg_temp.assign(tenant text, body jsonb, OUT status integer, OUT body jsonb, OUT error text) LANGUAGE sql AS $$
    SELECT c.status, c.body, c.error FROM pg_temp.call('assign_phone', pg_temp.request(body => $2, path => jsonb_build_object('tenant_id', $1))) AS c
$$;
SELECT is(concat_ws(' ', status, body ->> 'detail'), '409 phone number "100000000000001" is already assigned. It is assigned to tenant "alba".',
    'a number that is taken') FROM pg_temp.assign('horno', '{"phone_number_id": "100000000000001"}');
SELECT is((body -> 'holder') - 'assigned_at', '{"tenant_id": "alba", "phone_number_id": "100000000000001", "display_phone_number": "+34 600 00 00 01", "waiting": 2}',
    'and who has it') FROM pg_temp.assign('horno', '{"phone_number_id": "100000000000001"}');
SELECT is(concat_ws(' ', status, body #>> '{holder,phone_number_id}'), '409 100000000000001', 'a tenant that has one')
    FROM pg_temp.assign('alba', '{"phone_number_id": "100000000000002"}');
SELECT is(concat_ws(' ', status, body #>> '{holder,tenant_id}'), '409 alba', 'is taken from nobody else than was said')
    FROM pg_temp.assign('horno', '{"phone_number_id": "100000000000001", "take_from": "trigal"}');
SELECT is(concat_ws(' ', status, body ->> 'phone_number_id', body ->> 'waiting'), '200 100000000000001 1', 'taken from its holder')
    FROM pg_temp.assign('horno', '{"phone_number_id": "100000000000001", "take_from": "alba"}');
SELECT is(pg_temp.field('tenants', '{}', 'phone_number_id'), '[null, "100000000000001", null]', 'who has none now');
SELECT wa_assign_phone('alba', '100000000000002') \g /dev/null
SELECT is(concat_ws(' ', status, body #>> '{holder,tenant_id}'), '409 horno', 'if it cannot be given, it is not taken')
    FROM pg_temp.assign('horno', '{"phone_number_id": "100000000000002", "take_from": "alba"}');
SELECT is(pg_temp.field('tenants', '{}', 'phone_number_id'), '["100000000000002", "100000000000001", null]', 'from anybody');
SELECT is(status, 200, 'the same again') FROM pg_temp.assign('alba', '{"phone_number_id": 100000000000002}');
UPDATE whatsapp_sync SET items = 3, finished_at = now() WHERE kind = 'phone_numbers';
UPDATE whatsapp_phone_numbers SET synced_at = now();
SELECT is(error, '42704', 'a number that Meta does not list') FROM pg_temp.assign('trigal', '{"phone_number_id": "100000000000009"}');
SELECT is(error, '42704 display_phone_number', 'or that nobody writes so') FROM pg_temp.assign('trigal', '{"display_phone_number": "+34 699 99 99 99"}');
SELECT is(error, '22023', 'what is no number') FROM pg_temp.assign('trigal', '{"phone_number_id": "+34 600 00 00 03"}');
SELECT is(error, '22023 phone_number_id', 'what is to be taken is named') FROM pg_temp.assign('trigal', '{"take_from": "alba"}');
SELECT is(error, '22023 take_from', 'by strings') FROM pg_temp.assign('trigal', '{"phone_number_id": "100000000000003", "take_from": 1}');
SELECT is(body ->> 'phone_number_id', '100000000000003', 'by its display number') FROM pg_temp.assign('trigal', '{"display_phone_number": "+34600000003"}');
SELECT is(concat_ws(' ', status, body ->> 'detail', body ->> 'holder'), '409 no free phone number for tenant "nuevo"', 'none is left')
    FROM pg_temp.assign('nuevo', '{}');
SELECT is_empty('SELECT FROM whatsapp_tenants WHERE tenant_id = ''nuevo''', 'and no tenant is made');

/* ---- unassigning ---- */

SELECT is(body, '{"tenant_id": "trigal", "phone_number_id": "100000000000003", "display_phone_number": "+34 600 00 00 03", "waiting": 0}', 'unassigned')
    FROM pg_temp.call('unassign_phone', pg_temp.request(path => '{"tenant_id": "trigal"}'));
SELECT is(error, 'P0002', 'a tenant without a number') FROM pg_temp.call('unassign_phone', pg_temp.request(path => '{"tenant_id": "trigal"}'));
SELECT is(error, 'P0002', 'or none') FROM pg_temp.call('unassign_phone', pg_temp.request(path => '{"tenant_id": "nadie"}'));
SELECT is(body ->> 'waiting', '1', 'what waits for another number')
    FROM pg_temp.call('unassign_phone', pg_temp.request(path => '{"tenant_id": "horno"}'));
SELECT is(pg_temp.field('tenants', '{"q": "horno"}', 'waiting'), '[1]', 'still waits');

/* ---- all ---- */

SELECT wa_configure_tenant('nuevo', is_new => true), wa_configure_tenant('zarza', is_new => true), wa_pause('number', '100000000000003') \g /dev/null
SELECT is(body, '{"assigned": [{"tenant_id": "horno", "phone_number_id": "100000000000001", "display_phone_number": "+34 600 00 00 01"}], "without": ["nuevo", "zarza"]}',
    'all that are switched on, as far as there are numbers')
    FROM pg_temp.call('assign_phones', pg_temp.request());

/* ---- who did it ---- */

SELECT results_eq($$SELECT kind, key, actor FROM whatsapp_events WHERE kind ~ 'assigned' AND actor = 'Ana' ORDER BY event_id$$,
    $$VALUES ('unassigned', 'alba', 'Ana'), ('assigned', 'horno', 'Ana'), ('assigned', 'trigal', 'Ana'), ('unassigned', 'trigal', 'Ana'),
        ('unassigned', 'horno', 'Ana'), ('assigned', 'horno', 'Ana')$$, 'what was done is noted, and by whom');

/* ---- the first screen ---- */

CREATE FUNCTION pg_temp.attention(OUT kind text, OUT severity text, OUT count integer, OUT section text, OUT filter jsonb, OUT words boolean)
RETURNS SETOF record LANGUAGE sql AS $$
    SELECT n ->> 'kind', n ->> 'severity', (n ->> 'count')::integer, n ->> 'section', NULLIF(n -> 'filter', 'null'),
        n ->> 'title' <> '' AND n ->> 'remedy' <> ''
    FROM pg_temp.call('summary', pg_temp.request()), jsonb_array_elements(body -> 'needs_attention') AS n
$$;
SELECT is(status, 200, 'the summary') FROM pg_temp.call('summary', pg_temp.request());
SELECT set_eq('SELECT jsonb_object_keys(body) FROM pg_temp.call(''summary'', pg_temp.request())',
    '{as_of,needs_attention,queue,rate,today,senders,enabled}'::text[], 'has these parts');
SELECT is(jsonb_array_length(body -> 'rate'), 60, 'sixty minutes') FROM pg_temp.call('summary', pg_temp.request());
SELECT ok(bool_and(words), 'whatever needs a person says what to do') FROM pg_temp.attention();
SELECT set_has($$SELECT kind FROM pg_temp.attention()$$, $$VALUES ('health'), ('paused')$$, 'what is not set up, and a pause without end, need a person');
SELECT wa_enqueue_payload('nuevo', '+34600000077', 'text', '{"body": "hola"}') \g /dev/null
SELECT results_eq($$SELECT severity, count, section, filter FROM pg_temp.attention() WHERE kind = 'no_number'$$,
    $$VALUES ('error', 1, 'tenants', '{"assigned": "false"}'::jsonb)$$, 'so do messages without a number');
SELECT wa_internal_alert('error', 'token', 'account', '', 'The token is old'), wa_internal_alert('info', 'account_update', 'account', '', 'x'),
    wa_internal_alert('warning', 'brand_new', 'account', '', 'Something new') \g /dev/null
SELECT results_eq($$SELECT kind, severity, count, section, filter FROM pg_temp.attention() WHERE kind LIKE 'alert%' ORDER BY kind$$,
    $$VALUES ('alert_brand_new', 'warning', 1, 'alerts', '{"kind": "brand_new"}'::jsonb), ('alert_token', 'error', 1, 'alerts', '{"kind": "token"}')$$,
    'and alerts, but not mere news');
INSERT INTO whatsapp_parked_events (fingerprint, kind, reason) VALUES ('a', 'event', 'unknown_field'), ('b', 'status', 'unknown_message');
SELECT is(count, 1, 'and what webhooks brought in vain') FROM pg_temp.attention() WHERE kind = 'parked_inbound';
UPDATE whatsapp_queue SET state = 'u', hold_reason = 'parked', due_at = 'infinity' WHERE message_id = (SELECT min(message_id) FROM whatsapp_queue);
SELECT results_eq($$SELECT count, section, filter FROM pg_temp.attention() WHERE kind = 'uncertain'$$,
    $$VALUES (1, 'messages', '{"reason": "parked", "status": "uncertain"}'::jsonb)$$, 'and messages that wait for a decision');
SELECT is((SELECT count(*) FROM (SELECT severity, lag(severity) OVER () AS before FROM pg_temp.attention()) AS s WHERE severity = 'error' AND before = 'warning'),
    0::bigint, 'errors come first');
SELECT is((body -> 'queue') - 'oldest_seconds', '{"ready": 2, "leased": 0, "deferred": 0, "scheduled": 0, "held": 1, "uncertain": 1, "paused": 0, "estimated": false}',
    'the queue by state') FROM pg_temp.call('summary', pg_temp.request());
SELECT wa_pause('account') \g /dev/null
SELECT is(concat_ws(' ', body #>> '{queue,ready}', body #>> '{queue,paused}'), '0 2', 'what is paused is not ready') FROM pg_temp.call('summary', pg_temp.request());
SELECT is(severity, 'error', 'a pause of the account is an error') FROM pg_temp.attention() WHERE kind = 'paused';

SELECT * FROM finish();
ROLLBACK;
