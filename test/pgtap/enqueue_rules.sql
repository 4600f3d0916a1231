/*
 * Rules between tenant and recipient: opt-outs, the 24-hour window, quiet hours.
 */
\ir ../lib/begin.sql
SELECT plan(89);

SELECT wa_assign_phone('panaderia', '100000000000001') \g /dev/null
SELECT wa_assign_phone('horno', '100000000000002') \g /dev/null
SELECT wa_configure_tenant('sin-numero', is_new => true) \g /dev/null
CREATE FUNCTION pg_temp.message(id bigint) RETURNS whatsapp_messages LANGUAGE sql AS
    'SELECT m FROM whatsapp_messages m WHERE m.id = $1';
CREATE FUNCTION pg_temp.queued(id bigint) RETURNS whatsapp_queue LANGUAGE sql AS
    'SELECT q FROM whatsapp_queue q WHERE q.message_id = $1';

/* ---- opt-outs ---- */

SELECT wa_register_template('oferta', 'es', '[{"type": "BODY", "text": "Oferta."}]', 'MARKETING') \g /dev/null
SELECT wa_register_template('pedido', 'es', '[{"type": "BODY", "text": "Pedido."}]', 'UTILITY') \g /dev/null
SELECT wa_register_template('codigo', 'es', '[{"type": "BODY", "text": "{{1}}"}]', 'AUTHENTICATION') \g /dev/null
CREATE FUNCTION pg_temp.fate(template text, parameters jsonb DEFAULT '[]', tenant text DEFAULT 'panaderia', recipient text DEFAULT '+34600112233')
RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', m.status, m.status_reason) FROM pg_temp.message(wa_enqueue_message($3, $4, $1, $2)) m
$$;

SELECT is(wa_opt_out('panaderia', '+34 600 11 22 33'), true, 'a recipient wants no more marketing');
SELECT is(wa_opt_out('panaderia', '+34600112233', 'marketing'), false, 'which is noted once');
SELECT is((tenant_id, recipient, category, source)::text, '(panaderia,+34600112233,marketing,manual)', 'in canonical form') FROM whatsapp_opt_outs;
SELECT is(pg_temp.fate('oferta'), 'skipped opted_out', 'marketing is skipped');
SELECT is(pg_temp.fate('pedido'), 'queued', 'but not what the customer needs');
SELECT is(pg_temp.fate('codigo', '["1"]'), 'queued', 'nor a password');
SELECT is(pg_temp.fate('oferta', tenant => 'horno'), 'queued', 'nor another tenant''s marketing');
SELECT is(pg_temp.fate('oferta', recipient => '+34600112234'), 'queued', 'nor another recipient''s');
SELECT is((SELECT count(*) FROM whatsapp_queue JOIN whatsapp_messages ON id = message_id WHERE status = 'skipped'), 0::bigint, 'what is skipped is not queued');
SELECT is(wa_opt_out('panaderia', '+34600112233', 'all'), true, 'a recipient wants nothing at all');
SELECT is(pg_temp.fate('pedido'), 'skipped opted_out', 'and gets nothing');
SELECT is(pg_temp.fate('codigo', '["1"]'), 'skipped opted_out', 'whatever it is');
INSERT INTO whatsapp_windows VALUES ('100000000000001', '+34600112233', now());
SELECT is((m.status, m.status_reason)::text, '(skipped,opted_out)', 'a text neither') FROM pg_temp.message(wa_enqueue_text('panaderia', '+34600112233', 'Hola')) m;
SELECT is(wa_opt_in('panaderia', '+34600112233'), true, 'marketing again');
SELECT is(pg_temp.fate('oferta'), 'skipped opted_out', 'does not take back "all"');
SELECT is(wa_opt_in('panaderia', '+34600112233', 'all'), true, 'everything again');
SELECT is(pg_temp.fate('oferta'), 'queued', 'does');
SELECT is(wa_opt_in('panaderia', '+34600112233', 'all'), false, 'there is nothing left to take back');
SELECT wa_opt_out('panaderia', 'ES.7001234567890123') \g /dev/null
SELECT is(pg_temp.fate('oferta', recipient => 'ES.7001234567890123'), 'skipped opted_out', 'a user id can opt out, too');
SELECT wa_configure_tenant(7::bigint, is_new => true), wa_configure_tenant('c9f9d5d0-33d9-4a8f-9a0e-3a6a7c2f0f11'::uuid, is_new => true) \g /dev/null
SELECT is((wa_opt_out(7::bigint, '+34600112233'), wa_opt_out(7, '+34600112233', 'all'),
        wa_opt_out('c9f9d5d0-33d9-4a8f-9a0e-3a6a7c2f0f11'::uuid, '+34600112233'))::text, '(t,t,t)', 'a tenant''s key may be of any type');
SELECT is(string_agg(tenant_id || ' ' || category, ', ' ORDER BY tenant_id, category),
        '7 all, 7 marketing, c9f9d5d0-33d9-4a8f-9a0e-3a6a7c2f0f11 marketing', 'and is stored as text')
    FROM whatsapp_opt_outs WHERE tenant_id ~ '^[7c]';
SELECT is((wa_opt_in(7::bigint, '+34600112233', 'all'), wa_opt_in(7, '+34600112233'),
        wa_opt_in('c9f9d5d0-33d9-4a8f-9a0e-3a6a7c2f0f11'::uuid, '+34600112233'))::text, '(t,f,t)', 'to take it back, too');
SELECT throws_ok($$SELECT wa_opt_out('panaderia', '600112233')$$, '22023', 'invalid recipient phone number', 'a bad recipient');
SELECT throws_ok($$SELECT wa_opt_out('panaderia', '+34600112233', 'some')$$, '22023', 'invalid category "some"', 'a bad category');
SELECT throws_ok($$SELECT wa_opt_in('nadie', '+34600112233')$$, '42704', 'tenant "nadie" does not exist', 'an unknown tenant');
SELECT throws_ok($$SELECT wa_opt_out(NULL, '+34600112233')$$, '22004', NULL, 'no tenant');
DELETE FROM whatsapp_templates;
SELECT wa_opt_out('panaderia', '+34600112235') \g /dev/null
SELECT is(pg_temp.fate('oferta', recipient => '+34600112235'), 'skipped opted_out', 'a template that is not known counts as marketing');
SELECT wa_register_template('pedido', 'es', '[{"type": "BODY", "text": "Pedido."}]', 'UTILITY') \g /dev/null

/* ---- the window ---- */

DELETE FROM whatsapp_windows;
SELECT throws_ok($$SELECT wa_enqueue_text('panaderia', '+34600112233', 'Hola')$$, '55000', 'the 24-hour window of this recipient is closed', 'nobody has written: no text');
SELECT lives_ok($$SELECT wa_enqueue_payload('panaderia', '+34600112233', 'text', '{"body": "Hola"}')$$, 'the general function does not judge without any webhook');
INSERT INTO whatsapp_windows VALUES ('100000000000001', '+34600112233', now() - interval '23 hours'), ('100000000000001', 'ES.7001234567890123', now()),
    ('100000000000001', '+34600112234', now() - interval '24 hours'), ('100000000000002', '+34600112236', now());
SELECT lives_ok($$SELECT wa_enqueue_text('panaderia', '+34600112233', 'Hola')$$, 'within 24 hours');
SELECT lives_ok($$SELECT wa_enqueue_text('panaderia', 'ES.7001234567890123', 'Hola')$$, 'to a user id');
SELECT throws_ok(format('SELECT wa_enqueue_text(%L, %L, %L)', 'panaderia', '+34600112234', 'Hola'), '55000', NULL, 'after 24 hours');
SELECT throws_ok(format('SELECT wa_enqueue_text(%L, %L, %L)', 'panaderia', '+34600112236', 'Hola'), '55000', NULL, 'written to another number');
SELECT throws_ok(format('SELECT wa_enqueue_payload(%L, %L, %L, %L)', 'panaderia', '+34600112234', 'text', '{"body": "x"}'), '55000', NULL, 'now the general function does judge');
SELECT throws_ok($$SELECT wa_enqueue_text('panaderia', '+34600112233', 'Hola', scheduled_at => now() + interval '2 hours')$$, '55000', NULL, 'closed by the time it is due');
SELECT lives_ok($$SELECT wa_enqueue_text('panaderia', '+34600112233', 'Hola', scheduled_at => now() + interval '50 minutes')$$, 'still open by then');
SELECT lives_ok($$SELECT wa_enqueue_message('panaderia', '+34600112234', 'pedido')$$, 'templates need no window');
SELECT lives_ok($$SELECT wa_enqueue_payload('panaderia', '+34600112234', 'template', '{"name": "pedido", "language": {"code": "es"}}')$$, 'in whatever form');
SELECT is((m.message_type, m.template_name, m.payload)::text, '(template,pedido,"{""name"": ""pedido"", ""language"": {""code"": ""es""}}")', 'a template can be named to fall back to')
    FROM pg_temp.message(wa_enqueue_text('panaderia', '+34600112234', 'Hola', fallback_template => 'pedido')) m;
SELECT is(m.message_type, 'text', 'which is only used if needed') FROM pg_temp.message(wa_enqueue_text('panaderia', '+34600112233', 'Hola', fallback_template => 'pedido')) m;
SELECT throws_ok($$SELECT wa_enqueue_text('panaderia', '+34600112234', 'Hola', fallback_template => 'pedido', fallback_parameters => '["x"]')$$, '22023', NULL, 'and is checked then');
SELECT throws_ok($$SELECT wa_enqueue_text('panaderia', '+34600112233', 'Hola', fallback_parameters => '["x"]')$$, '22023',
    'fallback_parameters is given without fallback_template', 'parameters of nothing');
SELECT throws_ok($$SELECT wa_enqueue_payload('panaderia', '+34600112234', 'template', '{"name": "pedido", "language": {"code": "es"}}', fallback_template => 'pedido')$$,
    '22023', 'a template needs no fallback_template', 'for a template there is nothing to fall back to');
SELECT is(m.message_type, 'template', 'without a number the fall-back is what can surely be sent')
    FROM pg_temp.message(wa_enqueue_text('sin-numero', '+34600112233', 'Hola', fallback_template => 'pedido')) m;
SELECT is((q.state, q.hold_reason)::text, '(h,no_number)', 'without a number there is no window yet: the message waits')
    FROM pg_temp.queued(wa_enqueue_text('sin-numero', '+34600112233', 'Hola')) q;

/* ---- quiet hours ---- */

SELECT wa_configure_tenant('horno', quiet_from => '22:00', quiet_to => '08:00', time_zone => 'Europe/Madrid') \g /dev/null
CREATE FUNCTION pg_temp.due(at timestamptz, priority integer DEFAULT 0) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', q.due_at AT TIME ZONE 'Europe/Madrid', q.hold_reason)
    FROM pg_temp.queued(wa_enqueue_message('horno', '+34600112233', 'pedido', scheduled_at => $1, priority => $2)) q
$$;
SELECT is(pg_temp.due('2040-06-15 21:59:59 Europe/Madrid'), '2040-06-15 21:59:59 scheduled', 'before the quiet hours');
SELECT is(pg_temp.due('2040-06-15 22:00 Europe/Madrid'), '2040-06-16 08:00:00 quiet_hours', 'from their beginning on it waits for the morning');
SELECT is(pg_temp.due('2040-06-16 03:00 Europe/Madrid'), '2040-06-16 08:00:00 quiet_hours', 'after midnight for that of the same day');
SELECT is(pg_temp.due('2040-06-16 08:00 Europe/Madrid'), '2040-06-16 08:00:00 scheduled', 'at their end they are over');
SELECT is(pg_temp.due('2040-06-15 23:00 Europe/Madrid', 99), '2040-06-16 08:00:00 quiet_hours', 'a high priority waits');
SELECT is(pg_temp.due('2040-06-15 23:00 Europe/Madrid', 100), '2040-06-15 23:00:00 scheduled', 'an urgent one does not');
SELECT is(wa_internal_quiet_end('2026-10-24 23:00+02', '22:00', '08:00', 'Europe/Madrid'), '2026-10-25 08:00+01', 'the night in which the clock goes back');
SELECT is(wa_internal_quiet_end('2026-03-28 23:00+01', '22:00', '02:30', 'Europe/Madrid'), '2026-03-29 03:30+02', 'and one that ends in an hour that does not exist');
SELECT is(wa_internal_quiet_end('1999-12-31 23:00+00', '22:00', '08:00', 'UTC'), '2000-01-01 08:00+00', 'before 2000');
SELECT is(wa_internal_quiet_end('2026-06-15 13:00+00', '12:00', '14:00', 'UTC'), '2026-06-15 14:00+00', 'hours within a day');
SELECT is(wa_internal_quiet_end('2026-06-15 14:00+00', '12:00', '14:00', 'UTC'), NULL, 'and after them');
SELECT is(wa_internal_quiet_end('2026-06-15 14:00+00', '12:00', '12:00', 'UTC'), NULL, 'no hours at all');
SELECT is(wa_internal_quiet_end('2026-06-15 23:30+00', '22:00', '24:00', 'UTC'), '2026-06-16 00:00+00', 'until midnight');
SELECT is(wa_internal_quiet_begin('2026-06-15 13:00+00', '22:00', 'UTC'), '2026-06-15 22:00+00', 'they begin today');
SELECT is(wa_internal_quiet_begin('2026-06-15 22:00+00', '22:00', 'UTC'), '2026-06-16 22:00+00', 'and once they have begun, tomorrow');
SELECT is(wa_internal_quiet_begin('2026-10-24 23:00+02', '22:00', 'Europe/Madrid'), '2026-10-25 22:00+01', 'by the clock, also when it goes back');
SELECT is(wa_internal_quiet_begin('2026-03-28 23:00+01', '02:30', 'Europe/Madrid'), '2026-03-29 03:30+02', 'and when it shows no such time');
SELECT is(wa_internal_quiet_begin('2026-06-15 13:00+00', '24:00', 'UTC'), '2026-06-16 00:00+00', 'at midnight');

SELECT wa_configure_tenant('horno', quiet_from => (now() AT TIME ZONE 'UTC')::time, quiet_to => (now() AT TIME ZONE 'UTC' + interval '1 hour')::time, time_zone => 'UTC') \g /dev/null
SELECT is((q.state, q.hold_reason, q.due_at)::text, ('d'::"char", 'quiet_hours', now() + interval '1 hour')::text, 'a message for now waits for the end')
    FROM pg_temp.queued(wa_enqueue_message('horno', '+34600112233', 'pedido')) q;
SELECT is(q.state, 'r', 'an urgent one is ready') FROM pg_temp.queued(wa_enqueue_message('horno', '+34600112233', 'pedido', priority => 100)) q;
SET LOCAL TimeZone = 'Asia/Tokyo';
SELECT is(q.hold_reason, 'quiet_hours', 'the caller''s time zone does not matter') FROM pg_temp.queued(wa_enqueue_message('horno', '+34600112233', 'pedido')) q;
SELECT is(m.scheduled_at, now(), 'what the caller asked for is kept') FROM pg_temp.message(wa_enqueue_message('horno', '+34600112233', 'pedido')) m;

/* What waits for something else is not let go in them either. */
CREATE FUNCTION pg_temp.waits(id bigint) RETURNS text LANGUAGE sql AS
    $$SELECT concat_ws(' ', q.state, q.hold_reason, q.due_at - now()) FROM pg_temp.queued(id) q$$;
SELECT wa_configure_tenant('sin-numero', quiet_from => (now() AT TIME ZONE 'UTC')::time, quiet_to => (now() AT TIME ZONE 'UTC' + interval '1 hour')::time, time_zone => 'UTC') \g /dev/null
SELECT wa_enqueue_message('sin-numero', '+34600112255', 'pedido') AS waiting, wa_enqueue_message('sin-numero', '+34600112255', 'pedido', priority => 100) AS urgent \gset
SELECT wa_assign_phone('sin-numero', '100000000000003') \g /dev/null
SELECT is(pg_temp.waits(:waiting), 'd quiet_hours 01:00:00', 'a number that comes in quiet hours lets nothing go');
SELECT is(pg_temp.waits(:urgent), 'r 00:00:00', 'but what is urgent');
SELECT wa_configure_tenant('sin-numero', quiet_to => (now() AT TIME ZONE 'UTC' + interval '2 hours')::time) \g /dev/null
SELECT is(pg_temp.waits(:waiting), 'd quiet_hours 02:00:00', 'longer quiet hours, a longer wait');
SELECT wa_configure_tenant('sin-numero', reset => '{quiet_hours}') \g /dev/null
SELECT is(pg_temp.waits(:waiting), 'r 00:00:00', 'none, none');
SELECT is(deferred, 0, 'nobody''s hours have begun') FROM wa_internal_begin_quiet_hours();
SELECT is(pg_temp.waits(:waiting), 'r 00:00:00', 'a message is ready');
SELECT wa_configure_tenant('sin-numero', quiet_from => (now() AT TIME ZONE 'UTC')::time, quiet_to => (now() AT TIME ZONE 'UTC' + interval '1 hour')::time) \g /dev/null
SELECT is(pg_temp.waits(:waiting), 'd quiet_hours 01:00:00', 'new quiet hours concern what waits already');
SELECT wa_configure_tenant('sin-numero', reset => '{quiet_hours}') \g /dev/null
/* The hour has come; nothing tells the queue but the sweep. */
UPDATE whatsapp_tenants SET quiet_from = (now() AT TIME ZONE 'UTC')::time, quiet_to = (now() AT TIME ZONE 'UTC' + interval '1 hour')::time
WHERE tenant_id = 'sin-numero';
SELECT is(deferred, 3, 'the messages of the tenant have to wait') FROM wa_internal_begin_quiet_hours();
SELECT is(next_begin, now() + interval '1 day', 'until they begin again') FROM wa_internal_begin_quiet_hours();
SELECT is(pg_temp.waits(:waiting), 'd quiet_hours 01:00:00', 'quiet hours begin, and it is not any more');
SELECT is(pg_temp.waits(:urgent), 'r 00:00:00', 'an urgent one stays');
SELECT is(count(*), 0::bigint, 'and nobody else''s is touched') FROM whatsapp_queue q JOIN whatsapp_messages m ON m.id = q.message_id
WHERE m.tenant_id NOT IN ('horno', 'sin-numero') AND q.hold_reason = 'quiet_hours';
SELECT wa_configure_tenant('sin-numero', enabled => false), wa_configure_tenant('sin-numero', enabled => true) \g /dev/null
SELECT is(pg_temp.waits(:waiting), 'd quiet_hours 01:00:00', 'switching the tenant off and on changes nothing');

/* A time zone that an upgrade of the system has taken away: the server's holds. */
UPDATE whatsapp_tenants SET time_zone = 'Europe/Gone', quiet_from = (now() AT TIME ZONE current_setting('log_timezone'))::time,
    quiet_to = (now() AT TIME ZONE current_setting('log_timezone') + interval '1 hour')::time WHERE tenant_id = 'panaderia';
SELECT is(pg_temp.waits(wa_enqueue_message('panaderia', '+34600112244', 'pedido')), 'd quiet_hours 01:00:00', 'its tenant can write');
SELECT lives_ok('SELECT wa_internal_begin_quiet_hours()', 'everybody''s hours begin');
SELECT lives_ok($$SELECT wa_unassign_phone('panaderia')$$, 'its number can be taken back');
SELECT is(wa_internal_known_zone(z), current_setting('log_timezone'), format('%s is no time zone', left(z, 20)))
    FROM unnest(ARRAY[NULL, '', '../../etc/passwd', repeat('x', 300), 'Europe/Gone']) AS z;
SELECT is(wa_internal_known_zone('Europe/Madrid'), 'Europe/Madrid', 'this is one');

SELECT * FROM finish();
ROLLBACK;
