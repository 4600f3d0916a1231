/*
 * What is written down of what happens: by whom, when, from where; that it stays as
 * it was; and that nobody learns from it what customers said or who they are.
 */
\ir ../lib/begin.sql
SELECT no_plan();

CREATE ROLE t_ops;
CREATE ROLE t_watch;
CREATE ROLE t_shop;
SELECT wa_grant('t_ops', 'admin'), wa_grant('t_watch', 'monitor'), wa_grant('t_shop', 'tenant') \g /dev/null
SELECT session_user AS me \gset
SET application_name = 'a console';

/* The newest event, or the one before it. */
CREATE FUNCTION pg_temp.newest(back integer DEFAULT 0) RETURNS whatsapp_events LANGUAGE sql AS $$
    SELECT e.* FROM whatsapp_events AS e ORDER BY e.event_id DESC LIMIT 1 OFFSET back
$$;
CREATE FUNCTION pg_temp.said(back integer DEFAULT 0) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', kind, scope, NULLIF(key, '')) || ': ' || (detail ->> 'text') FROM pg_temp.newest(back)
$$;
CREATE FUNCTION pg_temp.noted() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM whatsapp_events $$;

/* ---- who, and from where ---- */

SELECT is(kind || ' ' || key || ' ' || (detail ->> 'text'), 'grant t_shop Granted tenant', 'a grant is noted') FROM pg_temp.newest();
SET ROLE t_ops;
SELECT wa_pause('account', reason => 'moving') \g /dev/null
RESET ROLE;
SELECT is(concat_ws(' ', actor, role, session_role, application_name, severity), 't_ops t_ops ' || :'me' || ' a console error',
    'a pause has the role that set it, the session''s, and what that called itself') FROM pg_temp.newest();
SELECT ok(client_addr IS NOT DISTINCT FROM inet_client_addr() AND at BETWEEN now() AND clock_timestamp(), 'and where and when') FROM pg_temp.newest();
SELECT is(pg_temp.said(), 'pause account: Paused: moving', 'and why');
SELECT wa_resume('account') \g /dev/null
SELECT is(pg_temp.said() || ', ' || (pg_temp.newest()).actor, 'resume account: Resumed, ' || :'me', 'its end has whoever ended it');

/* Names are the gateway's to tell, for one statement. */
SELECT wa_gateway_pause('{"actor": {"role": "admin", "name": "Ana"}, "body": {"scope": "account"}}') \g /dev/null
SELECT is(concat_ws(' ', actor, role), 'Ana ' || :'me', 'over the gateway it is the person') FROM pg_temp.newest();
SELECT wa_resume('account') \g /dev/null
SELECT is((pg_temp.newest()).actor, :'me', 'and the next statement is not hers');
SELECT throws_ok($$SET ROLE t_ops; SELECT wa_internal_act_for('Ana')$$, '42501', NULL, 'nobody else may say whom he acts for');
RESET ROLE;

/* ---- tables ---- */

SELECT wa_configure_tenant('horno', is_new => true) \g /dev/null
SELECT is(pg_temp.said() || ', ' || (pg_temp.newest()).tenant_id, 'tenant tenant horno: Created, horno', 'a tenant');
SELECT wa_configure_tenant('horno', language => 'en_US', messages_per_second => 3) \g /dev/null
SELECT is(pg_temp.said(), 'tenant_changed tenant horno: Changed language: none → en_US, messages_per_second: none → 3', 'its settings, old and new');
SELECT is(detail -> 'old' || (detail -> 'new'), '{"language": "en_US", "messages_per_second": 3}', 'also for programs') FROM pg_temp.newest();
SELECT pg_temp.noted() AS n \gset
SELECT wa_configure_tenant('horno', language => 'en_US') \g /dev/null
UPDATE whatsapp_tenants SET enabled = enabled, updated_at = clock_timestamp();
SELECT is(pg_temp.noted(), :n::bigint, 'what changes nothing is no event');
UPDATE whatsapp_tenants SET enabled = false WHERE tenant_id = 'horno';
SELECT is(pg_temp.said(), 'tenant_changed tenant horno: Changed enabled: true → false', 'plain SQL is noted like a function');
SELECT wa_assign_phone('horno', '100000000000001', '+34 600 00 00 01') \g /dev/null
SELECT is(pg_temp.said(), 'assigned tenant horno: Got number 100000000000001, +34 600 00 00 01', 'an assignment');
SELECT is(pg_temp.said(1), 'number number 100000000000001: New', 'and its number');
SELECT wa_unassign_phone('horno') \g /dev/null
SELECT is(pg_temp.said(), 'unassigned tenant horno: Lost number 100000000000001, +34 600 00 00 01', 'its end');
UPDATE whatsapp_phone_numbers SET quality_rating = 'RED';
SELECT is((SELECT detail ->> 'text' FROM whatsapp_events WHERE kind = 'number_changed' ORDER BY event_id LIMIT 1), 'Changed quality_rating: none → RED', 'a number''s quality');
SELECT pg_temp.noted() AS n \gset
UPDATE whatsapp_phone_numbers SET synced_at = clock_timestamp();
SELECT is(pg_temp.noted(), :n::bigint, 'that it was read again is none');
UPDATE whatsapp_phone_numbers SET missing_since = now();
SELECT is((SELECT concat_ws(' ', severity, detail ->> 'text') FROM whatsapp_events WHERE kind = 'number_missing'), 'warning Meta no longer lists the number', 'that it is missing');
SELECT wa_register_template('pedido', 'es', '[{"type": "BODY", "text": "Hola"}]') \g /dev/null
UPDATE whatsapp_templates SET status = 'PAUSED', components = jsonb_build_array(jsonb_build_object('type', 'BODY', 'text', repeat('x', 500)));
SELECT is(pg_temp.said(), 'template_changed template pedido/es: Changed components: … → …, status: APPROVED → PAUSED', 'a template, and of long values only that they changed');
UPDATE whatsapp_damage_policies SET factor = 0.25 WHERE event = 'quality_red';
SELECT is(pg_temp.said(), 'policy_changed damage policy quality_red: Changed factor: 0.5 → 0.25', 'a policy');
INSERT INTO whatsapp_prices (market, category, currency, price, valid_from) VALUES ('Spain', 'utility', 'EUR', 0.02, '2031-01-01');
SELECT is(pg_temp.said(), 'price price Spain/utility/EUR/2031-01-01: New', 'a price');
SELECT count(*) AS events FROM whatsapp_events \gset
UPDATE whatsapp_prices SET price = price WHERE valid_from = '2031-01-01';
UPDATE whatsapp_opt_words SET word = word;
SELECT is((SELECT count(*) FROM whatsapp_events), :events::bigint, 'an UPDATE that changes nothing is none');
DELETE FROM whatsapp_prices WHERE valid_from = '2031-01-01';
SELECT is((pg_temp.newest()).detail #>> '{old,price}', '0.02', 'what has gone is kept as it was');
SELECT wa_tenant_link('horno') AS link \gset
SELECT ok(kind = 'create_link' AND key = 'horno' AND NOT (detail::text ~ 'hash|wal_'), 'a link, without its key') FROM pg_temp.newest();
SELECT wa_revoke_links('horno') \g /dev/null
SELECT is(pg_temp.said(), 'revoke_link tenant horno: Revoked a link', 'its end');
SELECT wa_sync_templates() \g /dev/null
SELECT is(pg_temp.said(), 'sync_templates account: Asked Meta for the templates', 'what Meta is asked');

/* Every column of the tables counts, but for those that each synchronisation writes. */
SELECT is_empty($$SELECT t.relname || '.' || a.attname FROM pg_trigger AS g JOIN pg_class AS t ON t.oid = g.tgrelid
        JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE g.tgname IN ('whatsapp_phone_numbers_change_noted', 'whatsapp_templates_change_noted')
        AND a.attname <> ALL ('{synced_at,created_at,updated_at,phone_number_id,name,language}')
        AND pg_get_triggerdef(g.oid) !~ ('new\.' || a.attname || '\M')$$, 'no column of numbers and templates is left out');

/* ---- calls ---- */

SELECT wa_enqueue_payload('horno', '+34600111222', 'text', '{"body": "un secreto"}', reference => 'pedido 7') AS id \gset
SELECT is((pg_temp.newest()).kind, 'sync_templates', 'enqueueing is no event');
UPDATE whatsapp_tenants SET enabled = true;
UPDATE whatsapp_messages SET status = 'failed', status_reason = NULL, finished_at = now() WHERE id = :id;
SELECT wa_retry_message(:id), wa_cancel_message(:id), wa_cancel_message(:id) \g /dev/null
SELECT is(pg_temp.said(1) || ', ' || pg_temp.said(), format('retry_message message %s: Queued again, cancel_message message %s: Cancelled', :id, :id),
    'what was done with a message is, what was refused is not');
SELECT is((pg_temp.newest()).tenant_id, 'horno', 'with its tenant');
SELECT wa_gateway_retry_messages(jsonb_build_object('actor', '{"role": "admin", "name": "Ana"}'::jsonb, 'body',
    jsonb_build_object('filter', '{"status": "cancelled", "q": "+34600111222"}'::jsonb))) \g /dev/null
SELECT is(pg_temp.said() || ', ' || (pg_temp.newest()).actor, 'retry_messages account: Retry of 1 messages, Ana', 'many at once are one event');
SELECT is((pg_temp.newest()).detail -> 'filter', '{"status": "cancelled"}', 'which does not tell for whom was looked');
SELECT is((pg_temp.newest(1)).kind, 'cancel_message', 'and none for each');

/* ---- alerts ---- */

SELECT wa_internal_alert('warning', 'network', 'number', '100000000000001', 'Meta does not answer.') AS alert,
    wa_internal_alert('warning', 'network', 'number', '100000000000001', 'Meta does not answer at all.') \gset
SELECT is(pg_temp.said(), 'outage number 100000000000001: Meta does not answer.', 'an outage begins, once');
SET ROLE t_ops;
SELECT wa_resolve_alert(:alert) \g /dev/null
RESET ROLE;
SELECT is(pg_temp.said() || ', ' || (pg_temp.newest()).actor, 'outage_over number 100000000000001: Over: Meta does not answer at all., t_ops', 'ends, and by whom');
SELECT wa_internal_alert('info', 'some', 'account', '', 'Look.'), wa_internal_alert('error', 'some', 'account', '', 'Look!') \g /dev/null
SELECT is(concat_ws(' ', kind, detail #>> '{old,severity}', detail #>> '{new,severity}'), 'alert_changed info error', 'an alert that has become worse') FROM pg_temp.newest();
SELECT wa_internal_alert('warning', 'opted_out_of_all', 'recipient', 'horno +34600111222', 'Nothing is sent to +34600111222.') \g /dev/null
SELECT is(kind || key, 'alert', 'an alert about a customer') FROM pg_temp.newest();
SELECT pg_temp.noted() AS n \gset
SELECT wa_internal_alert('warning', 'duplicate_send', 'message', :'id', 'It was sent twice.') \g /dev/null
SELECT is(pg_temp.noted(), :n::bigint, 'one about a message is written once, in its table');
SELECT is((SELECT text FROM wa_timeline() WHERE subject = 'message ' || :id AND kind = 'alert'), 'It was sent twice.', 'and is in the timeline');

/* ---- nothing is changed ---- */

CREATE FUNCTION pg_temp.refuses(statement text) RETURNS text LANGUAGE sql AS $$
    SELECT throws_ok(statement, '55000', 'what has been done is neither changed nor deleted', statement)
$$;
SELECT pg_temp.refuses(s) FROM unnest(ARRAY['UPDATE whatsapp_events SET actor = ''nobody''', 'DELETE FROM whatsapp_events', 'TRUNCATE whatsapp_events',
    'UPDATE whatsapp_events SET detail = NULL', 'UPDATE whatsapp_events SET key = ''''']) AS s;
SELECT throws_ok(format('SET ROLE %I; DELETE FROM whatsapp_events', (SELECT relowner::regrole::text FROM pg_class WHERE relname = 'whatsapp_events')),
    '55000', NULL, 'by its owner either');
RESET ROLE;
SELECT is((SELECT count(*) FROM (VALUES ('t_ops'), ('t_watch'), ('t_shop'), ('pg_monitor')) AS r (name), unnest('{INSERT,UPDATE,DELETE,TRUNCATE}'::text[]) AS p
    WHERE has_table_privilege(r.name, 'whatsapp_events', p)), 0::bigint, 'and nobody else may try');
INSERT INTO whatsapp_erasures (kind, subject, requested_by) VALUES ('tenant', 'nobody', 'me');
SELECT is(pg_temp.said(), 'erase tenant nobody: Erasing a tenant', 'an erasure');
SELECT pg_temp.refuses('UPDATE whatsapp_events SET detail = ''{}''');
SELECT pg_temp.refuses('UPDATE whatsapp_events SET detail = NULL, actor = NULL');
SELECT lives_ok('UPDATE whatsapp_events SET detail = NULL WHERE key = ''100000000000001''', 'takes out what names somebody');
UPDATE whatsapp_erasures SET finished_at = now();
SELECT pg_temp.refuses('UPDATE whatsapp_events SET detail = NULL');

/* ---- retention ---- */

SELECT wa_internal_note_settings('{}'), wa_internal_note_settings('{}') \g /dev/null
ALTER TABLE whatsapp_events DISABLE TRIGGER whatsapp_events_kept;
UPDATE whatsapp_events SET at = at - interval '91 days' WHERE kind <> 'assigned';
ALTER TABLE whatsapp_events ENABLE TRIGGER whatsapp_events_kept;
SELECT count(*) FILTER (WHERE tenant_id IS NULL OR kind = 'erase') AS old FROM whatsapp_events WHERE at < now() - interval '1 day' \gset
UPDATE whatsapp_tenants SET retention = '1 year' WHERE tenant_id = 'horno';
SELECT pg_temp.refuses('DELETE FROM whatsapp_events WHERE kind = ''assigned''');
SELECT is(wa_internal_forget_events(2), 2::bigint, 'what is older than the retention goes, in portions');
SELECT is(wa_internal_forget_events(10000), :old::bigint - 3, 'all of it');
SELECT is((SELECT string_agg(DISTINCT kind, ' ' ORDER BY kind) FROM whatsapp_events WHERE at < now() - interval '1 day' AND tenant_id IS NULL), 'settings',
    'but for the newest note of the settings');
SELECT ok(count(*) > 5, 'what a tenant keeps for longer stays') FROM whatsapp_events WHERE at < now() - interval '1 day' AND tenant_id = 'horno';
UPDATE whatsapp_tenants SET retention = '0' WHERE tenant_id = 'horno';
SELECT is(wa_internal_forget_events(10000), 0::bigint, 'and for ever, where all is kept');

/* ---- settings ---- */

SELECT pg_temp.noted() AS n \gset
SELECT wa_internal_note_settings('{}') \g /dev/null
SELECT is(pg_temp.noted(), :n::bigint, 'settings that are as they were known are no event');
CREATE FUNCTION pg_temp.settings() RETURNS jsonb LANGUAGE sql AS $$ SELECT wa_internal_settings() $$;
SELECT is((SELECT count(*) FROM jsonb_object_keys(wa_internal_settings()) AS k WHERE k ~ 'token|secret|_file'), 0::bigint, 'no secret is among them, and no path');
SELECT is(wa_internal_settings() ->> 'whatsapp_shared.retention', '90d', 'they are as people write them');
SELECT wa_internal_note('settings', 'settings', NULL, jsonb_build_object('settings', wa_internal_settings() || '{"whatsapp_shared.senders": "7"}')) \g /dev/null
SELECT wa_internal_note_settings('{access_token}') \g /dev/null
SELECT is(pg_temp.said(1), 'settings_changed settings: whatsapp_shared.senders: 7 → 1', 'one that has changed, old and new');
SELECT is(pg_temp.said(), 'secret_changed secret access_token: Changed', 'of a secret, only that');

/* ---- restores ---- */

SELECT pg_temp.noted() AS n \gset
SET check_function_bodies = off;
INSERT INTO whatsapp_tenants (tenant_id) VALUES ('restored');
SELECT is(pg_temp.noted(), :n::bigint, 'rows of a dump are no events');
SELECT wa_pause('tenant', 'restored') \g /dev/null
SELECT is(pg_temp.noted(), :n::bigint + 1, 'but nobody gets past it by a setting');
RESET check_function_bodies;
SELECT cmp_ok((SELECT min(event_id) FROM whatsapp_events), '>', (extract(epoch FROM now() - interval '10 years') * 1000)::bigint,
    'the numbers of what a dump brings are free');

/* ---- rolled back with what they tell of ---- */

SELECT pg_temp.noted() AS n \gset
SAVEPOINT a;
SELECT wa_configure_tenant('other', is_new => true) \g /dev/null
ROLLBACK TO a;
SELECT is(pg_temp.noted(), :n::bigint, 'what was rolled back has not happened');

/* ---- senders ---- */

SELECT wa_internal_note_sender_start(0, 100, now(), now()), wa_internal_note_sender_stop(0, 100) \g /dev/null
SELECT wa_internal_note_sender_start(0, 101, now(), now()) \g /dev/null
SELECT is((SELECT string_agg(kind, ' ' ORDER BY event_id) FROM whatsapp_events WHERE scope IN ('sender', 'launcher') AND at > now() - interval '1 day'),
    'launcher_start sender_start sender_stop sender_start', 'a sender that has ended in good order, and its successor; one launcher');
SELECT wa_internal_note_sender_start(0, 102, now(), clock_timestamp()) \g /dev/null
SELECT is(pg_temp.said(2) ~ 'process 101. did not end in good order' AND (pg_temp.newest(2)).severity = 'warning', true, 'one that has not');
SELECT is((pg_temp.newest(1)).kind, 'launcher_start', 'a new launcher');
SELECT wa_internal_note('adopted', 'installation', 'x'), wa_internal_note_sender_start(0, 103, now(), clock_timestamp()) \g /dev/null
SELECT is((SELECT count(*) FROM whatsapp_events WHERE kind = 'sender_crash'), 1::bigint, 'what was adopted has another''s past');

/* ---- reading ---- */

SELECT ok(bool_and(at >= before), 'the timeline is in order') FROM (SELECT at, lag(at) OVER () AS before FROM wa_timeline()) AS t WHERE before IS NOT NULL;
SET ROLE t_watch;
SELECT ok(EXISTS (SELECT FROM wa_timeline() WHERE kind = 'assigned' AND tenant_id = 'horno'), 'a monitor reads it');
SELECT is((SELECT count(*) FROM whatsapp_events AS e WHERE e::text ~ '600111222|secreto|pedido 7'), 0::bigint, 'and finds no contents and no customer there');
SET ROLE t_shop;
SELECT throws_ok('SELECT * FROM wa_timeline()', '42501', NULL, 'a tenant does not');
SELECT throws_ok('SELECT * FROM whatsapp_events', '42501', NULL, 'nor the table');
RESET ROLE;

SELECT throws_ok($$SELECT * FROM wa_timeline(NULL)$$, '22004', 'argument "began" must not be null', 'no time is not one in which nothing happened');
SELECT throws_ok($$SELECT * FROM wa_timeline('2026-01-02Z', '2026-01-01Z')$$, '22023', NULL, 'nor one that ends before it begins');
SELECT is_empty($$SELECT * FROM wa_timeline('2026-01-01Z', '2026-01-01Z')$$, 'one that ends as it begins is');

SELECT * FROM finish();
ROLLBACK;
