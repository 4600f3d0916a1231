/*
 * Pauses and alerts: what stops sending, what lifts it, and who is told.
 */
\ir ../lib/begin.sql
SELECT plan(62);

SELECT wa_assign_phone('panaderia', '100000000000001') \g /dev/null
CREATE TEMP TABLE note (name text PRIMARY KEY, id bigint);
CREATE FUNCTION pg_temp.hold(what text, reason text, template text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    INSERT INTO note SELECT what, wa_enqueue_payload('panaderia', '+34600000001', 'text', '{"body": "hola"}');
    UPDATE whatsapp_queue SET state = 'h', hold_reason = reason FROM note WHERE name = what AND message_id = id;
    UPDATE whatsapp_messages m SET template_name = template, template_language = 'es' FROM note WHERE name = what AND m.id = note.id;
$$;
CREATE FUNCTION pg_temp.waits(what text) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', q.state, q.hold_reason) FROM note JOIN whatsapp_queue q ON q.message_id = note.id WHERE note.name = what
$$;

/* ---- pausing by hand ---- */

SELECT lives_ok($$SELECT wa_pause('account', reason => 'inventory')$$, 'the account can be paused');
SELECT results_eq($$SELECT scope, key, reason, automatic, until FROM whatsapp_pauses$$,
    $$VALUES ('account', '', 'inventory', false, NULL::timestamptz)$$, 'until further notice');
SELECT lives_ok($$SELECT wa_pause('account', NULL, 'still inventory', now() + interval '1 hour')$$, 'pausing again');
SELECT is(reason, 'still inventory', 'replaces reason and end') FROM whatsapp_pauses;
SELECT lives_ok($$SELECT wa_pause('number', '100000000000001', 'quality')$$, 'so can a number');
SELECT lives_ok($$SELECT wa_pause('tenant', 'panaderia', 'holidays')$$, 'a tenant');
SELECT lives_ok($$SELECT wa_pause('template', 'pedido_listo/es', 'text is wrong')$$, 'a template in one language');
SELECT lives_ok($$SELECT wa_pause('template', 'pedido_listo', 'text is wrong')$$, 'and in all of them');

SELECT wa_configure_tenant(7, is_new => true), wa_configure_tenant('c9f9d5d0-33d9-4a8f-9a0e-3a6a7c2f0f11'::uuid, is_new => true) \g /dev/null
SELECT lives_ok($$SELECT wa_pause('tenant', 7), wa_pause('tenant', 'c9f9d5d0-33d9-4a8f-9a0e-3a6a7c2f0f11'::uuid, 'holidays', now() + interval '1 hour'),
    wa_pause('tenant', 7::bigint, reason => 'again')$$, 'a tenant''s key may be of any type');
SELECT is(string_agg(concat_ws(' ', key, reason, until - now()), ', ' ORDER BY key),
        '7 again, c9f9d5d0-33d9-4a8f-9a0e-3a6a7c2f0f11 holidays 01:00:00', 'reason and end are as with text')
    FROM whatsapp_pauses WHERE key ~ '^[7c]';
SELECT ok(wa_resume('tenant', 7) AND wa_resume('tenant', 'c9f9d5d0-33d9-4a8f-9a0e-3a6a7c2f0f11'::uuid), 'to resume, too');
SELECT throws_ok($$SELECT wa_pause('tenant', NULL::uuid)$$, '22004', NULL, 'but there must be one');

SELECT throws_ok($$SELECT wa_pause('planet', 'earth')$$, '22023', 'unknown scope "planet"', 'other things cannot');
SELECT throws_ok($$SELECT wa_pause('account', 'mine')$$, '22023', 'the account has no key', 'there is one account');
SELECT throws_ok($$SELECT wa_pause('number', '199999999999999')$$, '42704', 'phone number "199999999999999" does not exist', 'a number must exist');
SELECT throws_ok($$SELECT wa_pause('tenant', 'nadie')$$, '42704', 'tenant "nadie" does not exist', 'a tenant, too');
SELECT throws_ok($$SELECT wa_pause('template', 'Pedido Listo')$$, '22023', 'invalid template "Pedido Listo"', 'a template''s name has its rules');
SELECT throws_ok($$SELECT wa_pause('tenant', 'panaderia', '')$$, '22023', 'a pause needs a reason', 'whoever pauses says why');
SELECT throws_ok($$SELECT wa_pause('tenant', 'panaderia', 'x', now() - interval '1 minute')$$, '22023',
    'the end of a pause must be in the future', 'and not in the past');

/* ---- resuming ---- */

SELECT pg_temp.hold('tenant', 'tenant_paused');
SELECT pg_temp.hold('es', 'template_paused', 'pedido_listo');
SELECT pg_temp.hold('other', 'template_paused', 'recordatorio');
SELECT ok(wa_resume('tenant', 'panaderia'), 'resuming returns true');
SELECT ok(NOT wa_resume('tenant', 'panaderia'), 'and false if there was no pause');
SELECT is(pg_temp.waits('tenant'), 'r', 'what waited for it is ready');
SELECT is(pg_temp.waits('es'), 'h template_paused', 'and nothing else is');
SELECT wa_resume('template', 'pedido_listo/es') \g /dev/null
SELECT is(pg_temp.waits('es'), 'r', 'a template sets its own messages free');
SELECT is(pg_temp.waits('other'), 'h template_paused', 'and no others');
SELECT ok(wa_resume('template', 'pedido_listo') AND wa_resume('number', '100000000000001') AND wa_resume('account'), 'the rest is lifted alike');
SELECT is_empty('SELECT FROM whatsapp_pauses', 'nothing is paused now');
SELECT throws_ok($$SELECT wa_resume('planet')$$, '22023', NULL, 'an unknown scope is an error');

/* ---- automatic pauses ---- */

SELECT ok(wa_internal_pause('account', '', 'payment', 'no payment method', 131042, now() + interval '1 hour'), 'the program pauses');
SELECT ok(NOT wa_internal_pause('account', '', 'payment', 'no payment method', 131042, now() + interval '10 minutes'), 'once');
SELECT is(until, now() + interval '1 hour', 'a later, shorter pause does not shorten it') FROM whatsapp_pauses;
SELECT wa_internal_pause('account', '', 'payment', NULL, 131042, NULL) \g /dev/null
SELECT is(until, NULL, 'one without end prolongs it') FROM whatsapp_pauses;
SELECT results_eq($$SELECT severity, kind, scope, occurrences FROM whatsapp_alerts$$, $$VALUES ('error', 'paused', 'account', 1)$$,
    'an operator is told');
SELECT wa_internal_pause('account', '', 'rate', NULL, 4, now() + interval '1 hour') \g /dev/null
SELECT is(reason, 'payment', 'the reason that lasts longest is the one that counts') FROM whatsapp_pauses;
SELECT ok(wa_internal_lift_pause('account', '', true), 'the program may lift what it has set');
SELECT ok(resolved_at IS NOT NULL, 'and the alert is closed') FROM whatsapp_alerts;

SELECT wa_pause('account', reason => 'by hand', until => now() + interval '1 hour') \g /dev/null
SELECT ok(NOT wa_internal_pause('account', '', 'payment', NULL, 131042, now() + interval '1 day'), 'a person''s pause');
SELECT is(reason, 'by hand', 'stays as it is') FROM whatsapp_pauses;
SELECT ok(NOT wa_internal_lift_pause('account', '', true), 'and is not lifted by the program');
SELECT wa_resume('account') \g /dev/null

/* ---- pauses that end ---- */

SELECT pg_temp.hold('lunch', 'tenant_paused');
SELECT pg_temp.hold('quality', 'template_paused', 'pedido_listo');
SELECT wa_internal_pause('template', 'pedido_listo', 'quality', NULL, 132015, clock_timestamp() + interval '2 hours') \g /dev/null
SELECT wa_pause('tenant', 'panaderia', 'lunch', clock_timestamp() + interval '1 hour') \g /dev/null
SELECT results_eq('SELECT next_end, lifted FROM wa_internal_resume_due()', 'SELECT min(until), false FROM whatsapp_pauses',
    'a pause that is not over stays');
UPDATE whatsapp_pauses SET until = clock_timestamp() - interval '1 second' WHERE scope = 'tenant';
SELECT results_eq('SELECT next_end, lifted FROM wa_internal_resume_due()',
    $$SELECT until, true FROM whatsapp_pauses WHERE scope = 'template'$$,
    'a person''s pause ends by time, and the next end is returned');
SELECT is(wa_internal_release_stale_holds('template_paused', 0, 100), NULL, 'a page of held messages that is not full is the last');
SELECT is(pg_temp.waits('quality'), 'h template_paused', 'what a pause still holds stays');
SELECT is(wa_internal_release_stale_holds('tenant_paused', 0, 1), (SELECT id FROM note WHERE name = 'lunch'),
    'after a full page there may be another');
SELECT is(pg_temp.waits('lunch'), 'r', 'what waited for the one that is over goes');
UPDATE whatsapp_pauses SET until = clock_timestamp() - interval '1 second';
SELECT results_eq('SELECT next_end, lifted FROM wa_internal_resume_due()', 'SELECT NULL::timestamptz, true',
    'an automatic pause ends by time, too');

/* ---- alerts ---- */

TRUNCATE whatsapp_alerts;
CREATE TEMP TABLE first AS SELECT wa_internal_alert('warning', 'number_quality', 'number', '1', 'it is yellow', '{"now": "YELLOW"}') AS id;
SELECT is(wa_internal_alert('warning', 'number_quality', 'number', '1', 'it is yellow still'), first.id, 'an open alert is counted up') FROM first;
SELECT results_eq('SELECT occurrences, message FROM whatsapp_alerts', $$VALUES (2, 'it is yellow still')$$, 'with the latest text');
SELECT isnt(wa_internal_alert('warning', 'number_quality', 'number', '2', 'another'), first.id, 'another number, another alert') FROM first;
SELECT lives_ok($$SELECT wa_internal_alert('error', 'long', 'number', repeat('k', 5000), repeat('€', 5000))$$, 'an alert may be long');
SELECT ok(wa_resolve_alert(first.id), 'an operator closes an alert') FROM first;
SELECT ok(NOT wa_resolve_alert(first.id), 'once') FROM first;
SELECT isnt(wa_internal_alert('warning', 'number_quality', 'number', '1', 'again'), first.id, 'if its cause returns, a new one is opened') FROM first;
SELECT ok(wa_internal_resolve_alert('number_quality', 'number', '1'), 'the program closes alerts by kind and key');
SELECT throws_ok('SELECT wa_resolve_alert(0)', '42704', 'alert 0 does not exist', 'an unknown alert is an error');

/* ---- what wa_queue_status makes of it: such rows stay ready, and nobody reads them ---- */

CREATE FUNCTION pg_temp.shown() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', state, reason, messages), ', ' ORDER BY state, reason)
    FROM wa_queue_status WHERE phone_number_id = '100000000000001'
$$;
DELETE FROM whatsapp_queue;
SELECT pg_temp.hold('shown', 'media_upload');
SELECT wa_enqueue_payload('panaderia', '+34600000002', 'text', '{"body": "hola"}', scheduled_at => now() + interval '1 hour'),
    wa_enqueue_payload('panaderia', '+34600000003', 'text', '{"body": "hola"}') \g /dev/null
INSERT INTO note SELECT 'ready', wa_enqueue_payload('panaderia', '+34600000004', 'text', '{"body": "hola"}');
SELECT is(pg_temp.shown(), 'deferred scheduled 1, held media_upload 1, ready 2', 'what is ready is shown as ready');
SELECT wa_pause('number', '100000000000001', 'quality') \g /dev/null
SELECT is(pg_temp.shown(), 'deferred scheduled 1, held media_upload 1, held number_paused 2', 'as held, if its number is paused');
SELECT wa_pause('tenant', 'panaderia', 'holidays') \g /dev/null
SELECT is(pg_temp.shown(), 'deferred scheduled 1, held media_upload 1, held tenant_paused 2', 'or its tenant, which wa_explain says first');
SELECT wa_configure_tenant('panaderia', enabled => false) \g /dev/null
SELECT is(pg_temp.shown(), 'deferred scheduled 1, held media_upload 1, held tenant_disabled 2', 'or switched off');
UPDATE whatsapp_queue AS q SET state = 'h', hold_reason = 'tenant_disabled' FROM note WHERE name = 'ready' AND message_id = id;
SELECT is(pg_temp.shown(), 'deferred scheduled 1, held media_upload 1, held tenant_disabled 2',
    'one that an earlier version has held is counted with the others');
SELECT wa_configure_tenant('panaderia', enabled => true), wa_resume('tenant', 'panaderia') \g /dev/null
SELECT is(pg_temp.shown(), 'deferred scheduled 1, held media_upload 1, held number_paused 2', 'what is left is said when the rest is over');
SELECT wa_resume('number', '100000000000001') \g /dev/null
SELECT is(pg_temp.shown(), 'deferred scheduled 1, held media_upload 1, ready 2', 'and nothing, when all is');

SELECT * FROM finish();
ROLLBACK;
