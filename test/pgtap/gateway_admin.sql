/*
 * The gateway's routes of the administration: what each answers, and what each refuses.
 */
\ir ../lib/begin.sql
\ir ../lib/gateway.sql
SELECT no_plan();

SELECT wa_assign_phone('panaderia', '100000000000001', '+34 600 00 00 01') \g /dev/null

/* ---- what every route does ---- */

CREATE TEMP TABLE route AS
SELECT p.proname AS name, substr(p.proname, 12) AS route, p.provolatile = 'v' AS changes
FROM pg_proc AS p WHERE p.proname LIKE 'wa\_gateway\_%' AND p.proname !~ '_(tenant|notification|set_notification|create_link|revoke_links|link)';

SELECT cmp_ok(count(*), '>', 10::bigint, 'there are routes') FROM route;
SELECT is(string_agg(r.route, ' '), NULL, 'only administrators may call them')
    FROM route AS r, pg_proc AS p, aclexplode(p.proacl) AS a
    WHERE p.proname = r.name AND a.grantee NOT IN (p.proowner, 't_gateway'::regrole);
SELECT is((c).error, CASE WHEN r.changes THEN '42501' END, r.route || ': a viewer ' || CASE WHEN r.changes THEN 'changes nothing' ELSE 'looks' END)
    FROM (SELECT o.*, pg_temp.call(o.route, pg_temp.request(path => '{"id": "1", "tenant_id": "panaderia"}', role => 'viewer')) AS c FROM route AS o) AS r
    WHERE r.changes OR (c).error IS DISTINCT FROM 'P0002'
    ORDER BY r.route;
SELECT is((c).error, '42501', r.route || ': a tenant may not')
    FROM (SELECT o.*, pg_temp.call(o.route, pg_temp.request(role => 'tenant')) AS c FROM route AS o) AS r ORDER BY r.route;
SELECT is((c).error, '22023 bogus', r.route || ': an unknown argument is named')
    FROM (SELECT o.*, pg_temp.call(o.route, pg_temp.request('{"bogus": "1"}')) AS c FROM route AS o) AS r ORDER BY r.route;
SELECT is((c).error, '22023 bogus', r.route || ': so is an unknown member')
    FROM (SELECT o.*, pg_temp.call(o.route, pg_temp.request(body => '{"bogus": 1}')) AS c FROM route AS o) AS r ORDER BY r.route;
SELECT is((c).error, '22023', r.route || ': a body is an object')
    FROM (SELECT o.*, pg_temp.call(o.route, pg_temp.request(body => '[1]')) AS c FROM route AS o) AS r ORDER BY r.route;
SELECT is((c).error, '22023 limit', format('%s: limit %s is refused', r.route, l))
    FROM unnest('{alerts,templates,timeline}'::text[]) AS r (route), unnest('{0,501,-1,x,1.5,99999999999999999999}'::text[]) AS l,
        pg_temp.call(r.route, pg_temp.request(jsonb_build_object('limit', l))) AS c;
SELECT is((c).error, '22023 cursor', format('%s: cursor %s is refused', r.route, k))
    FROM unnest('{alerts,templates}'::text[]) AS r (route), unnest(ARRAY['x', '!!', '{}', wa_internal_gateway_cursor('other', 5::bigint)]) AS k,
        pg_temp.call(r.route, pg_temp.request(jsonb_build_object('cursor', k))) AS c;

/* ---- health, diagnose, queue ---- */

SELECT is(status, 200, 'health') FROM pg_temp.call('health', pg_temp.request());
SELECT is(body -> 0 ->> 'item', 'ownership', 'has the rows of wa_health()') FROM pg_temp.call('health', pg_temp.request());
SELECT is(status, 200, 'diagnose') FROM pg_temp.call('diagnose', pg_temp.request(path => '{"tenant_id": "panaderia"}'));
SELECT is(body -> 0 ->> 'item', 'enabled', 'has the rows of wa_diagnose()')
    FROM pg_temp.call('diagnose', pg_temp.request(path => '{"tenant_id": "panaderia"}'));
SELECT is(error, 'P0002', 'an unknown tenant is not found') FROM pg_temp.call('diagnose', pg_temp.request(path => '{"tenant_id": "nadie"}'));
SELECT is(body, '[]', 'nothing waits') FROM pg_temp.call('queue', pg_temp.request());
SELECT wa_enqueue_payload('panaderia', '+34600000001', 'text', '{"body": "hola"}') \g /dev/null
SELECT is((body -> 0) - 'oldest_created_at',
        '{"phone_number_id": "100000000000001", "state": "ready", "reason": null, "messages": 1, "next_due_at": null}', 'one message waits')
    FROM pg_temp.call('queue', pg_temp.request());

/* ---- pauses ---- */

SELECT is(body, '[]', 'nothing is paused') FROM pg_temp.call('pauses', pg_temp.request());
SELECT is(concat_ws(' ', status, body ->> 'reason', body ->> 'until'), '200 inventory 2999-01-01T00:00:00+00:00', 'pausing answers with the pause')
    FROM pg_temp.call('pause', pg_temp.request(body => '{"scope": "tenant", "key": "panaderia", "reason": "inventory", "until": "2999-01-01"}'));
SELECT is(body -> 0 ->> 'key', 'panaderia', 'and it is in the list') FROM pg_temp.call('pauses', pg_temp.request());
SELECT is(error, '22004 scope', 'a pause has a scope') FROM pg_temp.call('pause', pg_temp.request(body => '{}'));
SELECT is(error, '22023 scope', 'which is a string') FROM pg_temp.call('pause', pg_temp.request(body => '{"scope": 1}'));
SELECT is(error, '22023 until', 'its end is a time')
    FROM pg_temp.call('pause', pg_temp.request(body => '{"scope": "account", "until": "tomorrowish"}'));
SELECT is(error, '22023', 'in the future') FROM pg_temp.call('pause', pg_temp.request(body => '{"scope": "account", "until": "2000-01-01"}'));
SELECT is(error, '42704', 'what is paused exists') FROM pg_temp.call('pause', pg_temp.request(body => '{"scope": "tenant", "key": "nadie"}'));
SELECT is(error, '22023 scope', 'resuming needs a scope, too') FROM pg_temp.call('resume', pg_temp.request());
SELECT is(status, 204, 'resuming') FROM pg_temp.call('resume', pg_temp.request('{"scope": "tenant", "key": "panaderia"}'));
SELECT is(status, 404, 'what is not paused cannot be resumed')
    FROM pg_temp.call('resume', pg_temp.request('{"scope": "tenant", "key": "panaderia"}'));

/* ---- alerts ---- */

SELECT is(body, '[]', 'there are no alerts') FROM pg_temp.call('alerts', pg_temp.request());
CREATE TEMP TABLE alert AS SELECT n, wa_internal_alert('warning', 'sync', 'account', n::text, 'Meta is away') AS id FROM generate_series(1, 5) AS n;
SELECT is(jsonb_array_length(body), 5, 'five are open') FROM pg_temp.call('alerts', pg_temp.request());
SELECT alike(body -> 0 ->> 'remedy', 'Check %', 'each says what to do') FROM pg_temp.call('alerts', pg_temp.request());
SELECT is(string_agg(a ->> 'key', ' '), '5 4 3', 'a page') FROM pg_temp.call('alerts', pg_temp.request('{"limit": "3"}')), jsonb_array_elements(body) AS a;
SELECT is(jsonb_path_query_array(n.body, '$[*].key'), '["2", "1"]', 'and the next')
    FROM pg_temp.call('alerts', pg_temp.request('{"limit": "3"}')) AS c,
        pg_temp.call('alerts', pg_temp.request(jsonb_build_object('limit', '3', 'cursor', c.paging ->> 'next'))) AS n;
SELECT is(paging, NULL, 'the last page has no next') FROM pg_temp.call('alerts', pg_temp.request('{"limit": "6"}'));
SELECT is(error, '22023 resolved', 'resolved is true or false') FROM pg_temp.call('alerts', pg_temp.request('{"resolved": "maybe"}'));
SELECT ok(status = 200 AND body ->> 'resolved_at' IS NOT NULL, 'resolving answers with the alert')
    FROM alert, pg_temp.call('resolve_alert', pg_temp.request(path => jsonb_build_object('id', id::text))) WHERE n = 5;
SELECT is(status, 200, 'once more is no error')
    FROM alert, pg_temp.call('resolve_alert', pg_temp.request(path => jsonb_build_object('id', id::text))) WHERE n = 5;
SELECT is(error, 'P0002', 'an alert that is none is not found') FROM unnest('{0,99999999,x,99999999999999999999999}'::text[]) AS i,
        pg_temp.call('resolve_alert', pg_temp.request(path => jsonb_build_object('id', i)));
SELECT is(jsonb_path_query_array(body, '$[*].key'), '["5"]', 'it is among the resolved') FROM pg_temp.call('alerts', pg_temp.request('{"resolved": "true"}'));
SELECT is(body, '[]', 'another kind has none') FROM pg_temp.call('alerts', pg_temp.request('{"kind": "token"}'));
CREATE TEMP TABLE kind AS SELECT DISTINCT m[1] AS name FROM pg_proc AS p,
    regexp_matches(p.prosrc, 'wa_internal_alert\(\s*(?:''\w+''::text|CASE[^;]*?END),\s*''([a-z_]+)''', 'g') AS m;
SELECT cmp_ok(count(*), '>', 25::bigint, 'there are many kinds of alerts') FROM kind;
SELECT is_empty('SELECT name FROM kind EXCEPT SELECT kind FROM wa_internal_alert_kinds()', 'every kind of alert has its words');

/* ---- templates, lists of Meta, costs ---- */

SELECT wa_register_template('pedido_' || n, 'es', '[{"type": "BODY", "text": "Hola"}]') FROM generate_series(1, 3) AS n \g /dev/null
SELECT is(jsonb_path_query_array(body, '$[*].name'), '["pedido_1", "pedido_2", "pedido_3"]', 'templates, by name')
    FROM pg_temp.call('templates', pg_temp.request());
SELECT is(jsonb_path_query_array(n.body, '$[*].name'), '["pedido_3"]', 'page by page')
    FROM pg_temp.call('templates', pg_temp.request('{"limit": "2"}')) AS c,
        pg_temp.call('templates', pg_temp.request(jsonb_build_object('limit', '2', 'cursor', c.paging ->> 'next'))) AS n;
SELECT is(jsonb_path_query_array(body, '$[*].name'), '["pedido_2"]', 'searched') FROM pg_temp.call('templates', pg_temp.request('{"q": "O_2"}'));
SELECT is(body, '[]', 'by status') FROM pg_temp.call('templates', pg_temp.request('{"status": "PAUSED"}'));
SELECT is(concat_ws(' ', status, body ->> 'kind'), '202 ' || k, 'Meta is asked for ' || k)
    FROM unnest('{templates,phone_numbers}'::text[]) AS k, pg_temp.call('sync_' || k, pg_temp.request());
SELECT is(count(*), 2::bigint, 'after COMMIT') FROM whatsapp_sync WHERE requested_at IS NOT NULL;
SELECT is(status, 200, 'costs') FROM pg_temp.call('costs', pg_temp.request('{"month": "2026-11"}'));
SELECT is(error, '22023 month', 'of a month') FROM unnest('{2026,2026-13,november,2026-11-01}'::text[]) AS m,
    pg_temp.call('costs', pg_temp.request(jsonb_build_object('month', m)));

/* ---- the timeline ---- */

SELECT is(string_agg(DISTINCT a ->> 'kind', ' ' ORDER BY a ->> 'kind'), 'alert_resolved pause resume sync_phone_numbers sync_templates',
    'what was done over the gateway has an actor')
    FROM pg_temp.call('timeline', pg_temp.request()), jsonb_array_elements(body) AS a WHERE a ->> 'actor' = 'Ana';
SELECT set_eq($$SELECT DISTINCT a ->> 'kind' FROM pg_temp.call('timeline', pg_temp.request('{"limit": "500"}')), jsonb_array_elements(body) AS a$$,
    '{pause,resume,alert,alert_resolved,sync_templates,sync_phone_numbers,assigned,tenant,number,template,grant}'::text[],
    'all that happened is there');
SELECT ok(bool_and(x.at >= x.next), 'the newest first')
    FROM (SELECT (a.value ->> 'at')::timestamptz AS at, lead((a.value ->> 'at')::timestamptz) OVER (ORDER BY a.ordinality) AS next
          FROM pg_temp.call('timeline', pg_temp.request()), jsonb_array_elements(body) WITH ORDINALITY AS a) AS x WHERE x.next IS NOT NULL;
UPDATE whatsapp_sync SET items = 3, finished_at = now() - interval '2 hours', started_at = now() - interval '1 minute', error = 'away' WHERE kind = 'token';
SELECT is(jsonb_agg(jsonb_build_array(a ->> 'severity', a ->> 'text', (a ->> 'at')::timestamptz = now() - CASE a ->> 'severity' WHEN 'info' THEN interval '2 hours' ELSE interval '1 minute' END)),
    '[["warning", "Could not be read from Meta: away", true], ["info", "Read from Meta: 3", true]]', 'what failed stands where it failed, and beside it when it last succeeded')
    FROM pg_temp.call('timeline', pg_temp.request('{"limit": "500"}')), jsonb_array_elements(body) AS a WHERE a ->> 'kind' = 'sync' AND a ->> 'subject' = 'token';
SELECT is(body, '[]', 'of a time') FROM pg_temp.call('timeline', pg_temp.request('{"from": "2020-01-01", "to": "2020-02-01T00:00:00Z"}'));
SELECT is(error, '22023 from', 'that is one') FROM pg_temp.call('timeline', pg_temp.request('{"from": "yesterday"}'));

SELECT * FROM finish();
ROLLBACK;
