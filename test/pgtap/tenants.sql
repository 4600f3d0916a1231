/*
 * A tenant's own settings: defaults, checks, and what a change sets free.
 */
\ir ../lib/begin.sql
SELECT plan(74);

/* ---- creating and changing ---- */

SELECT is((t).enabled, true, 'a new tenant is switched on') FROM wa_configure_tenant('panaderia', is_new => true) AS t;
SELECT is((t).language, NULL, 'and has no language of its own') FROM wa_configure_tenant('panaderia') AS t;
SELECT is((t).language, 'es_ES', 'a value is stored') FROM wa_configure_tenant('panaderia', language => 'es_ES') AS t;
SELECT is((t).language, 'es_ES', 'NULL leaves it') FROM wa_configure_tenant('panaderia', enabled => true) AS t;
SELECT is((t).language, NULL, 'and reset removes it') FROM wa_configure_tenant('panaderia', reset => '{language}') AS t;
SELECT is((t).quiet_from, '22:00'::time, 'quiet hours have a beginning')
    FROM wa_configure_tenant('panaderia', quiet_from => '22:00', quiet_to => '07:30', time_zone => 'Europe/Madrid') AS t;
SELECT is((t).quiet_to, NULL, 'they are removed together')
    FROM wa_configure_tenant('panaderia', reset => '{quiet_hours,time_zone}') AS t;
SELECT is((t).on_uncertain, 'park', 'a policy for doubtful messages')
    FROM wa_configure_tenant('panaderia', on_uncertain => 'park', retention => '30 days', messages_per_second => 5) AS t;
SELECT is((t).tenant_id, '7', 'a tenant key may be a number') FROM wa_configure_tenant(7, is_new => true) AS t;
SELECT is((t).marketing_api, true, 'its marketing templates may go to Meta''s own edge for them') FROM wa_configure_tenant('panaderia', marketing_api => true) AS t;
SELECT is((t).marketing_api, true, 'NULL leaves that, too') FROM wa_configure_tenant('panaderia', enabled => true) AS t;

CREATE TEMP TABLE before AS SELECT updated_at FROM whatsapp_tenants WHERE tenant_id = 'panaderia';
SELECT wa_configure_tenant('panaderia', on_uncertain => 'park') \g /dev/null
SELECT is(t.updated_at, b.updated_at, 'a change that changes nothing is none')
    FROM whatsapp_tenants t, before b WHERE tenant_id = 'panaderia';

/* ---- bad input ---- */

SELECT throws_ok($$SELECT wa_configure_tenant(NULL)$$, '22004', 'tenant_id must not be null', 'a tenant needs a name');
SELECT throws_ok($$SELECT wa_configure_tenant('x', is_new => true, language => 'Spanish')$$, '22023', 'invalid language code "Spanish"', 'languages are codes');
SELECT throws_ok(format('SELECT %s(%L%s)', call, blank, more), '22023', 'tenant_id must not be blank', format('%s: nor is white space one', call))
    FROM (VALUES ('wa_configure_tenant', ', is_new => true'), ('wa_assign_phone', ', ''100000000000001'''), ('wa_set_notification_settings', ', ''{}''')) AS f (call, more),
        unnest(ARRAY[' ', E' \t\n']) AS blank;
SELECT is(refused, 'tenant_id must not be blank. It consists of white space only.', 'nor in a platform''s documents')
    FROM wa_import_settings('{"  ": {"whatsapp_enabled": true}}');
SELECT throws_ok(format('INSERT INTO whatsapp_tenants (tenant_id) VALUES (%L)', id), '23514', NULL, format('nor by hand: %s characters', length(id)))
    FROM unnest(ARRAY['', ' ', E' \t\n', repeat('x', 256)]) AS id;
SELECT is((t).language, code, 'a code that a message can have, a tenant can have: ' || code)
    FROM unnest('{fil,zh_HK,es_419,en_US}'::text[]) AS code, wa_configure_tenant('panaderia', language => code) AS t;
SELECT throws_ok(format('SELECT wa_configure_tenant(%L, language => %L)', 'panaderia', code), '22023', format('invalid language code "%s"', code), 'and no other')
    FROM unnest('{"",e,ES,es_,es-ES,es_ES_x}'::text[]) AS code;
SELECT throws_ok($$SELECT wa_configure_tenant('x', is_new => true, time_zone => 'Mars/Olympus')$$, '22023', 'unknown time zone "Mars/Olympus"', 'time zones are known ones');
SELECT throws_ok($$SELECT wa_configure_tenant('x', is_new => true, quiet_from => '22:00')$$, '22023', 'quiet hours need a start and a different end', 'quiet hours need both ends');
SELECT throws_ok($$SELECT wa_configure_tenant('x', is_new => true, quiet_from => '22:00', quiet_to => '22:00')$$, '22023', NULL, 'which differ');
SELECT throws_ok(format('SELECT wa_configure_tenant(%L, messages_per_second => %L, is_new => true)', 'x', rate), '22023', 'messages_per_second must be between 0.01 and 10000', 'no rate: ' || rate)
    FROM unnest('{0,-1,0.000001,0.0099,10001,NaN,Infinity}'::real[]) AS rate;
SELECT is((t).messages_per_second, rate, 'but this is one: ' || rate)
    FROM unnest('{0.01,10000}'::real[]) AS rate, wa_configure_tenant('panaderia', messages_per_second => rate) AS t;
SELECT throws_ok(format('INSERT INTO %s, messages_per_second) VALUES (12345, %L)', columns, rate), '23514', NULL, format('nor by hand: %s, %s)', columns, rate))
    FROM unnest('{whatsapp_tenants (tenant_id,whatsapp_phone_numbers (phone_number_id}'::text[]) AS columns, unnest('{0.000001,NaN,Infinity}'::real[]) AS rate;
SELECT throws_ok($$SELECT wa_configure_tenant('x', is_new => true, on_uncertain => 'guess')$$, '22023', 'unknown policy "guess" for on_uncertain', 'a policy is one of four');
SELECT throws_ok($$SELECT wa_configure_tenant('x', is_new => true, retention => '30')$$, '22023', 'retention of 00:00:30 is less than a day', 'a number without a unit is seconds');
SELECT throws_ok($$SELECT wa_configure_tenant('x', is_new => true, retention => '300000 years')$$, '22023', 'retention of 300000 years is more than 100 years', 'what cannot be subtracted from now would end the deletion of all tenants'' messages');
SELECT throws_ok($$SELECT wa_configure_tenant('x', is_new => true, retention => '23:59:59')$$, '22023', 'retention of 23:59:59 is less than a day', 'a day is the shortest');
SELECT lives_ok($$SELECT wa_configure_tenant('panaderia', retention => '1 day')$$, 'but a day');
SELECT throws_ok($$SELECT wa_configure_tenant('x', is_new => true, retention => '-1 day')$$, '22023', 'retention must not be negative', 'retention looks back');
SELECT throws_ok($$SELECT wa_configure_tenant('x', is_new => true, reset => '{colour}')$$, '22023', 'cannot reset "colour"', 'only settings can be reset');
SELECT ok(NOT EXISTS (SELECT FROM whatsapp_tenants WHERE tenant_id = 'x'), 'bad input creates no tenant');

/* ---- shares of the account's limit ---- */

SELECT lives_ok($$SELECT wa_configure_tenant('a', is_new => true, daily_share => 0.6)$$, 'a share is guaranteed');
SELECT lives_ok($$SELECT wa_configure_tenant('b', is_new => true, daily_share => 0.4)$$, 'all shares together may be 1');
SELECT throws_ok($$SELECT wa_configure_tenant('c', is_new => true, daily_share => 0.1)$$, '22023', 'daily_share 0.1 is more than is left', 'but not more');
SELECT lives_ok($$SELECT wa_configure_tenant('a', is_new => true, daily_share => 0.5)$$, 'a tenant''s own old share does not count');
SELECT throws_ok($$SELECT wa_configure_tenant('a', is_new => true, daily_share => 1.5)$$, '22023', 'daily_share must be between 0 and 1', 'a share is a part of the whole');

/* ---- what a change sets free ---- */

SELECT wa_assign_phone('panaderia', '100000000000001') \g /dev/null
CREATE TEMP TABLE note AS SELECT wa_enqueue_payload('panaderia', '+34600000001', 'text', '{"body": "hola"}') AS id;
CREATE FUNCTION pg_temp.waits() RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', q.state, q.hold_reason) FROM note JOIN whatsapp_queue q ON q.message_id = note.id
$$;
SELECT wa_configure_tenant('panaderia', enabled => false) \g /dev/null
UPDATE whatsapp_queue SET state = 'h', hold_reason = 'tenant_disabled'; /* as the sender does */
SELECT wa_configure_tenant('panaderia', language => 'es') \g /dev/null
SELECT is(pg_temp.waits(), 'h tenant_disabled', 'messages of a tenant that is switched off are held');
SELECT wa_configure_tenant('panaderia', enabled => true) \g /dev/null
SELECT is(pg_temp.waits(), 'r', 'and released when it is switched on');

UPDATE whatsapp_queue SET state = 'd', hold_reason = 'quiet_hours', due_at = now() + interval '8 hours';
SELECT wa_configure_tenant('panaderia', messages_per_second => 3) \g /dev/null
SELECT is(pg_temp.waits(), 'd quiet_hours', 'a message waits for the end of quiet hours');
SELECT wa_configure_tenant('panaderia', time_zone => 'UTC', quiet_from => (now() AT TIME ZONE 'UTC' + interval '3 hours')::time,
    quiet_to => (now() AT TIME ZONE 'UTC' + interval '4 hours')::time) \g /dev/null
SELECT is(pg_temp.waits(), 'r', 'and no longer when they change');
SELECT ok(due_at <= now(), 'it is due when it was scheduled') FROM whatsapp_queue;

UPDATE whatsapp_messages SET scheduled_at = now() + interval '1 day';
UPDATE whatsapp_queue SET state = 'd', hold_reason = 'quiet_hours', due_at = now() + interval '32 hours';
SELECT wa_configure_tenant('panaderia', reset => '{quiet_hours}') \g /dev/null
SELECT is(pg_temp.waits(), 'd scheduled', 'a scheduled message then waits for its own time');
SELECT is(q.due_at, m.scheduled_at, 'exactly') FROM whatsapp_queue q JOIN whatsapp_messages m ON m.id = q.message_id;

SELECT is((SELECT count(*) FROM whatsapp_tenants WHERE tenant_id IN ('panaderia', '7', 'a', 'b')), 4::bigint,
    'each tenant is one row');

SELECT * FROM finish();
ROLLBACK;
