/*
 * wa_health() and wa_diagnose(): what they find, and what they advise.
 * The states of a whole server are in test/t.
 */
\ir ../lib/begin.sql
SELECT plan(35);

CREATE FUNCTION pg_temp.health(what text) RETURNS text LANGUAGE sql AS
    $$SELECT state FROM wa_health() WHERE item = what$$;
CREATE FUNCTION pg_temp.diagnosis(what text) RETURNS text LANGUAGE sql AS
    $$SELECT state FROM wa_diagnose('panaderia') WHERE item = what$$;

/* ---- the installation ---- */

SELECT is_empty('SELECT item FROM wa_health() GROUP BY item HAVING count(*) > 1', 'each item is one row');
SELECT is_empty($$SELECT item FROM wa_health() WHERE state NOT IN ('ok', 'warning', 'error') OR detail IS NULL$$, 'with a state and what was found');
SELECT is_empty($$SELECT item FROM wa_health() WHERE state <> 'ok' AND remedy IS NULL$$, 'and, if it is not well, what to do');
SELECT is(pg_temp.health('access_token'), 'error', 'without a token nothing can be sent');
SELECT is(pg_temp.health('app_secret'), 'ok', 'with an app secret webhooks can be trusted');
SELECT is(pg_temp.health('sync phone_numbers'), 'warning', 'the numbers have never been read');
UPDATE whatsapp_sync SET finished_at = clock_timestamp(), items = 3 WHERE kind = 'phone_numbers';
SELECT is(pg_temp.health('sync phone_numbers'), 'ok', 'now they have');
UPDATE whatsapp_sync SET finished_at = clock_timestamp() - interval '1 week' WHERE kind = 'phone_numbers';
SELECT is(pg_temp.health('sync phone_numbers'), 'warning', 'but long ago');
UPDATE whatsapp_sync SET finished_at = clock_timestamp(), error = 'HTTP status 500' WHERE kind = 'phone_numbers';
SELECT matches((SELECT detail FROM wa_health() WHERE item = 'sync phone_numbers'), 'HTTP status 500', 'and the last run failed');

UPDATE whatsapp_sync SET finished_at = NULL, error = NULL WHERE kind = 'phone_numbers';
SELECT wa_assign_phone('panaderia', '100000000000001') \g /dev/null
UPDATE whatsapp_phone_numbers SET status = 'CONNECTED', quality_rating = 'GREEN';
SELECT is(pg_temp.health('number 100000000000001'), NULL, 'a number that is well is not mentioned');
UPDATE whatsapp_phone_numbers SET status = 'DISCONNECTED';
SELECT is(pg_temp.health('number 100000000000001'), 'error', 'one that a tenant cannot send from is');
UPDATE whatsapp_phone_numbers SET status = 'CONNECTED';

CREATE TEMP TABLE note AS SELECT wa_enqueue_payload('panaderia', '+34600000001', 'text', '{"body": "hola"}') AS id;
SELECT is(pg_temp.health('queue'), 'ok', 'a message that is ready is no reason to worry');
UPDATE whatsapp_queue SET state = 'h', hold_reason = 'tenant_paused';
SELECT is(pg_temp.health('queue'), 'warning', 'one that is held may be');
UPDATE whatsapp_queue SET state = 'u', hold_reason = 'uncertain';
SELECT is(pg_temp.health('uncertain messages'), 'ok', 'an uncertain one settles itself');
UPDATE whatsapp_queue SET state = 'u', hold_reason = 'parked', due_at = 'infinity';
SELECT is(pg_temp.health('uncertain messages'), 'warning', 'unless it waits for an operator');

SELECT is(pg_temp.health('webhooks'), 'ok', 'nothing accepted, no webhook missed');
UPDATE whatsapp_messages SET status = 'accepted', accepted_at = clock_timestamp() - interval '1 hour';
SELECT is(pg_temp.health('webhooks'), 'warning', 'accepted an hour ago, and no webhook since');
INSERT INTO whatsapp_webhook_traffic (phone_number_id, last_webhook_at) VALUES ('100000000000001', clock_timestamp() - interval '59 minutes');
SELECT is(pg_temp.health('webhooks'), 'ok', 'a webhook has come');

SELECT wa_pause('template', 'pedido_listo', 'text is wrong') \g /dev/null
SELECT is((SELECT remedy FROM wa_health() WHERE item = 'pause template pedido_listo'), 'SELECT wa_resume(''template'', ''pedido_listo'');',
    'a pause comes with the way to end it');
SELECT wa_internal_alert('error', 'test', 'number', '1', 'look at this') \g /dev/null
SELECT matches((SELECT detail FROM wa_health() WHERE item LIKE 'alert %'), '^look at this', 'open alerts are listed');

/* Several of these have a time in them; none is more exact than anybody needs. */
SELECT cmp_ok((SELECT count(*) FROM wa_health() WHERE detail ~ '[0-9]:[0-9]{2}:[0-9]{2}'), '>=', 3::bigint, 'what has happened has a time');
SELECT is_empty($$SELECT detail FROM wa_health() WHERE detail ~ '[0-9]:[0-9]{2}:[0-9]{2}\.'$$, 'in whole seconds');

/* ---- one tenant ---- */

SELECT throws_ok($$SELECT * FROM wa_diagnose('nadie')$$, '42704', 'tenant "nadie" does not exist', 'an unknown tenant is an error');
SELECT is(pg_temp.diagnosis('enabled') || pg_temp.diagnosis('number') || pg_temp.diagnosis('number health'), 'okokok', 'all is well with the tenant');
SELECT is(pg_temp.diagnosis('pause template pedido_listo'), 'warning', 'but for a template');
SELECT wa_pause('account', reason => 'holidays', until => clock_timestamp() + interval '1 hour') \g /dev/null
SELECT cmp_ok((SELECT count(*) FROM wa_diagnose('panaderia') WHERE detail ~ '[0-9]:[0-9]{2}:[0-9]{2}'), '>=', 2::bigint, 'here, too, there are times');
SELECT is_empty($$SELECT detail FROM wa_diagnose('panaderia') WHERE detail ~ '[0-9]:[0-9]{2}:[0-9]{2}\.'$$, 'in whole seconds');
SELECT wa_resume('account') \g /dev/null
SELECT is(pg_temp.diagnosis('templates'), 'warning', 'none is approved');
INSERT INTO whatsapp_templates (name, language, category, status, components, source) VALUES ('pedido_listo', 'es', 'UTILITY', 'APPROVED', '[]', 'local');
SELECT is(pg_temp.diagnosis('templates'), 'ok', 'now one is');

UPDATE whatsapp_messages SET status = 'failed', error_code = 131026, error_message = 'Message undeliverable';
SELECT is(pg_temp.diagnosis('failures with error 131026'), 'warning', 'recent failures are shown by error');
SELECT is((SELECT remedy FROM wa_diagnose('panaderia') WHERE item = 'failures with error 131026'),
    (SELECT remedy FROM wa_error_codes WHERE code = 131026), 'with the remedy');
SELECT is(pg_temp.diagnosis('last 24 hours'), 'warning', 'and counted');
UPDATE whatsapp_messages SET status = 'queued';
UPDATE whatsapp_queue SET state = 'r', hold_reason = NULL;
SELECT matches((SELECT detail FROM wa_diagnose('panaderia') WHERE item = 'oldest waiting message'), '^Message [0-9]+: ', 'what waits is explained');
SELECT wa_configure_tenant('panaderia', enabled => false) \g /dev/null
SELECT is(pg_temp.diagnosis('enabled'), 'error', 'a tenant that is switched off');
SELECT wa_unassign_phone('panaderia') \g /dev/null
SELECT is(pg_temp.diagnosis('number'), 'error', 'and has no number');

SELECT * FROM finish();
ROLLBACK;
