/*
 * wa_explain(): every way in which a message can wait or end, and its reason.
 *
 * The obstacles of a whole server (sending off, no token, no sender …) need a
 * server in that state and are in test/t; here they are taken out of the way.
 */
\ir ../lib/begin.sql
SELECT plan(81);

CREATE OR REPLACE FUNCTION wa_internal_global_obstacle() RETURNS text LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp AS 'SELECT NULL::text';
SELECT wa_assign_phone('panaderia', '100000000000001') \g /dev/null

/* One message, put into one state after the other. */
CREATE TEMP TABLE note AS SELECT wa_enqueue_payload('panaderia', '+34600000001', 'text', '{"body": "hola"}') AS id;
UPDATE whatsapp_messages SET template_name = 'pedido_listo', template_language = 'es';
CREATE TEMP TABLE reached (reason text, explanation text);
CREATE FUNCTION pg_temp.explain() RETURNS TABLE (reason text, explanation text, earliest timestamptz, remedy text) LANGUAGE sql AS $$
    INSERT INTO reached SELECT e.reason, e.explanation FROM note, wa_explain(note.id) AS e;
    SELECT e.reason, e.explanation, e.earliest, e.remedy FROM note, wa_explain(note.id) AS e
$$;
CREATE FUNCTION pg_temp.queue(state "char", reason text DEFAULT NULL, due timestamptz DEFAULT now(), attempts integer DEFAULT 0)
RETURNS void LANGUAGE sql AS $$
    UPDATE whatsapp_queue q SET state = $1, hold_reason = $2, due_at = $3, attempts = $4 FROM note WHERE q.message_id = note.id
$$;
CREATE FUNCTION pg_temp.reason() RETURNS text LANGUAGE sql AS 'SELECT reason FROM pg_temp.explain()';

SELECT throws_ok('SELECT * FROM wa_explain(0)', '42704', 'message 0 does not exist', 'an unknown message is an error');

/* ---- about to be sent ---- */

SELECT is(pg_temp.reason(), 'next', 'nothing is in the way');
SELECT ok(earliest <= clock_timestamp(), 'it can go at once') FROM pg_temp.explain();
SELECT is(remedy, 'None.', 'and nothing needs to be done') FROM pg_temp.explain();

INSERT INTO whatsapp_queue (message_id, phone_number_id, rank, due_at, state)
    SELECT 1000000 + i, '100000000000001', i, now(), 'r' FROM generate_series(1, 800) AS i;
SELECT is(pg_temp.reason(), 'number_rate', 'others of its number come first');
SELECT matches(explanation, '800 before it, at 80 a second', 'so many, at that rate') FROM pg_temp.explain();
SELECT ok(earliest BETWEEN clock_timestamp() + interval '9 s' AND clock_timestamp() + interval '10 s', 'which takes ten seconds') FROM pg_temp.explain();
UPDATE whatsapp_phone_numbers SET throughput_level = 'HIGH';
SELECT is(pg_temp.reason(), 'next', 'a faster number has it out in a moment');
UPDATE whatsapp_phone_numbers SET messages_per_second = 0.5;
SELECT is(pg_temp.reason(), 'number_rate', 'the operator''s own rate counts most');
DELETE FROM whatsapp_queue WHERE message_id > 1000000;

/* One in 100 seconds, and the last one was a moment ago. */
UPDATE whatsapp_phone_numbers SET messages_per_second = 0.01;
SELECT is(pg_temp.reason(), 'next', 'a slow number that has sent nothing may send');
WITH other AS (SELECT wa_enqueue_payload('panaderia', '+34600000002', 'text', '{"body": "antes"}') AS id)
    SELECT set_config('test.other', id::text, true) FROM other \g /dev/null
DELETE FROM whatsapp_queue WHERE message_id = current_setting('test.other')::bigint;
UPDATE whatsapp_messages SET status = 'accepted', accepted_at = clock_timestamp() WHERE id = current_setting('test.other')::bigint;
SELECT is(pg_temp.reason(), 'number_rate', 'after one it has to wait');
SELECT ok(earliest BETWEEN clock_timestamp() + interval '90 s' AND clock_timestamp() + interval '100 s', 'as long as its rate says') FROM pg_temp.explain();
UPDATE whatsapp_phone_numbers SET messages_per_second = NULL;

/* Meta has said "slow down" to another message of the number, for so long. */
INSERT INTO whatsapp_queue (message_id, phone_number_id, rank, due_at, state, hold_reason)
    VALUES (1000000, '100000000000001', 1, now() + interval '1 hour', 'd', 'number_rate');
SELECT is(pg_temp.reason(), 'number_throttled', 'Meta wants no requests of its number for a while');
SELECT ok(earliest >= now() + interval '1 hour', 'until then') FROM pg_temp.explain();
DELETE FROM whatsapp_queue WHERE message_id = 1000000;
SELECT is(pg_temp.reason(), 'next', 'and no longer');

/* Its number's requests are not answered, or nobody's. */
SELECT wa_internal_alert('error', 'network', 'number', '100000000000002', 'Requests are not answered') \g /dev/null
SELECT is(pg_temp.reason(), 'next', 'another number''s requests are not answered');
UPDATE whatsapp_alerts SET key = '100000000000001' WHERE kind = 'network';
SELECT is(pg_temp.reason(), 'network', 'its own number''s are not');
SELECT matches(explanation, 'since .*: requests are not answered', 'since when') FROM pg_temp.explain();
SELECT is((SELECT health || ': ' || trouble FROM wa_number_status WHERE phone_number_id = '100000000000001'),
    'unreachable: Requests are not answered', 'wa_number_status says so');
SELECT is((SELECT status FROM wa_tenant_status WHERE tenant_id = 'panaderia'), 'number_unreachable', 'and wa_tenant_status');
UPDATE whatsapp_alerts SET scope = 'account', key = '' WHERE kind = 'network';
SELECT is(pg_temp.reason(), 'network', 'nobody''s are');
SELECT wa_internal_resolve_alert('network', 'account', '') \g /dev/null
SELECT is(pg_temp.reason(), 'next', 'they are again');

INSERT INTO whatsapp_leases (sender, pid, generation, message_ids, attempts)
    SELECT 0, 1, 1, ARRAY[other], '{1}' FROM wa_enqueue_payload('panaderia', '+34600000001', 'text', '{"body": "antes"}') AS other;
SELECT is(pg_temp.reason(), 'recipient_order', 'an earlier message to the recipient is on the wire');
DELETE FROM whatsapp_leases;

INSERT INTO whatsapp_media_uses
    SELECT note.id, wa_upload_media('panaderia', '%PDF-1.7', 'application/pdf') FROM note;
UPDATE whatsapp_media SET error = 'HTTP status 502', next_attempt_at = now() + interval '1 minute';
SELECT pg_temp.queue('h', 'media_upload');
SELECT is(pg_temp.reason(), 'media_upload', 'its file is not uploaded yet');
SELECT matches(explanation, 'file [0-9]+, last attempt: HTTP status 502', 'and why not') FROM pg_temp.explain();
SELECT is(earliest, now() + interval '1 minute', 'it waits for the next attempt') FROM pg_temp.explain();
DELETE FROM whatsapp_media_uses;
SELECT pg_temp.queue('r');

INSERT INTO whatsapp_leases (sender, pid, generation, message_ids, attempts)
    SELECT 0, 1, 1, ARRAY[id], '{1}' FROM note;
SELECT is(pg_temp.reason(), 'on_the_wire', 'it is on the wire itself');
SELECT pg_temp.queue('r', attempts => 1);
SELECT isnt(pg_temp.reason(), 'on_the_wire', 'the lease of an attempt that is settled says nothing of the next one');
SELECT isnt(pg_temp.reason(), 'recipient_order', 'nor of the order');
DELETE FROM whatsapp_leases;

/* ---- waiting for time to pass ---- */

SELECT pg_temp.queue('d', 'scheduled', now() + interval '1 hour');
SELECT is(pg_temp.reason(), 'scheduled', 'it is scheduled');
SELECT is(earliest, now() + interval '1 hour', 'for then') FROM pg_temp.explain();
SELECT pg_temp.queue('d', 'quiet_hours', now() + interval '1 hour');
SELECT is(pg_temp.reason(), 'quiet_hours', 'it is quiet hours');
SELECT pg_temp.queue('d', 'retry', now() + interval '1 hour', 1);
INSERT INTO whatsapp_attempts (message_id, attempt, outcome, error_code, error_message) SELECT id, 1, 'retry', 131016, 'Service unavailable' FROM note;
SELECT is(pg_temp.reason(), 'retry', 'it is tried again');
SELECT matches(explanation, 'attempt 1: 131016: Service unavailable', 'because of this') FROM pg_temp.explain();
SELECT pg_temp.queue('d', 'network', now() + interval '1 hour', 1);
SELECT is(pg_temp.reason(), 'network', 'Meta cannot be reached');
SELECT pg_temp.queue('d', 'pair_rate', now() + interval '1 hour');
SELECT is(pg_temp.reason(), 'pair_rate', 'the recipient gets too many');
SELECT pg_temp.queue('d', 'tenant_rate', now() + interval '1 hour');
SELECT is(pg_temp.reason(), 'tenant_rate', 'the tenant has its own rate');
SELECT pg_temp.queue('d', 'budget', now() + interval '1 hour');
SELECT is(pg_temp.reason(), 'budget', 'the account''s limit is used up');
SELECT pg_temp.queue('d', 'scheduled', now() - interval '1 second');
SELECT is(pg_temp.reason(), 'next', 'it has just become due');
SELECT pg_temp.queue('r');
UPDATE whatsapp_queue SET expires_at = now() - interval '1 second';
SELECT is(pg_temp.reason(), 'expiring', 'it is too late');
UPDATE whatsapp_queue SET expires_at = NULL;

/* ---- stopped by a person or an event ---- */

SELECT wa_pause('template', 'pedido_listo/es', 'text is wrong', now() + interval '2 hours') \g /dev/null
SELECT is(pg_temp.reason(), 'template_paused', 'its template is paused');
SELECT matches(explanation, 'text is wrong', 'for this reason') FROM pg_temp.explain();
SELECT is(earliest, now() + interval '2 hours', 'until then') FROM pg_temp.explain();
SELECT pg_temp.queue('d', 'scheduled', now() + interval '3 hours');
SELECT is(earliest, now() + interval '3 hours', 'but not before it is due') FROM pg_temp.explain();
SELECT wa_pause('number', '100000000000001', 'quality') \g /dev/null
SELECT is(pg_temp.reason(), 'number_paused', 'its number is paused, which concerns more');
SELECT is(earliest, NULL, 'nobody knows until when') FROM pg_temp.explain();
SELECT wa_pause('tenant', 'panaderia', 'holidays') \g /dev/null
SELECT is(pg_temp.reason(), 'tenant_paused', 'its tenant is paused');
SELECT wa_unassign_phone('panaderia') \g /dev/null
SELECT is(pg_temp.reason(), 'no_number', 'its tenant has no number');
SELECT wa_configure_tenant('panaderia', enabled => false) \g /dev/null
SELECT is(pg_temp.reason(), 'tenant_disabled', 'its tenant is switched off');
SELECT wa_pause('account', reason => 'payment') \g /dev/null
SELECT is(pg_temp.reason(), 'account_paused', 'the account is paused, which concerns everybody');
SELECT wa_configure_tenant('panaderia', enabled => true) \g /dev/null
SELECT wa_assign_phone('panaderia', '100000000000001') \g /dev/null
DELETE FROM whatsapp_pauses;
INSERT INTO whatsapp_windows (phone_number_id, recipient, last_inbound_at, taken_at)
    VALUES ('100000000000001', '+34600000001', now() - interval '2 hours', now() - interval '1 hour');
SELECT is(pg_temp.reason(), 'thread_taken', 'another application has the conversation');
UPDATE whatsapp_windows SET passed_at = now();
SELECT isnt(pg_temp.reason(), 'thread_taken', 'until it is given back');
DELETE FROM whatsapp_windows;
SELECT pg_temp.queue('h', 'tenant_paused');
SELECT is(pg_temp.reason(), 'tenant_paused', 'a hold that has just lost its cause');
SELECT matches(explanation, 'just changed', 'is about to end') FROM pg_temp.explain();

/* ---- in doubt ---- */

SELECT pg_temp.queue('u', 'uncertain', now() + interval '10 minutes', 1);
UPDATE whatsapp_messages SET status = 'uncertain';
SELECT is(pg_temp.reason(), 'uncertain', 'nobody knows whether it was accepted');
SELECT is(earliest, now() + interval '10 minutes', 'until then a webhook may tell') FROM pg_temp.explain();
UPDATE whatsapp_messages SET on_uncertain = 'resend';
SELECT matches(explanation, 'sent again\)', 'the message''s own policy is told') FROM pg_temp.explain();
UPDATE whatsapp_messages SET on_uncertain = NULL;
SELECT wa_configure_tenant('panaderia', on_uncertain => 'fail') \g /dev/null
SELECT matches(explanation, 'given up\)', 'or the tenant''s') FROM pg_temp.explain();
SELECT pg_temp.queue('u', 'takeover', now() + interval '2 minutes', 1);
SELECT is(pg_temp.reason(), 'takeover', 'a former primary may have sent it');
SELECT matches(explanation, 'if no webhook comes by', 'and a webhook is awaited') FROM pg_temp.explain();
SELECT pg_temp.queue('u', 'parked', 'infinity', 1);
SELECT is(pg_temp.reason(), 'parked', 'a person has to decide');

/* ---- the end ---- */

DELETE FROM whatsapp_queue q USING note WHERE q.message_id = note.id;
SELECT is(pg_temp.reason(), 'not_queued', 'a message that waits without a place in the queue is found out');
UPDATE whatsapp_messages SET status = 'accepted', accepted_at = now();
SELECT is(pg_temp.reason(), 'accepted', 'Meta has accepted it');
UPDATE whatsapp_messages SET status_reason = 'held_for_quality_assessment';
SELECT is(pg_temp.reason(), 'held_for_quality_assessment', 'but holds it');
UPDATE whatsapp_messages SET status_reason = NULL, status = 'sent', sent_at = now();
SELECT is(pg_temp.reason(), 'sent', 'it is on its way');
UPDATE whatsapp_messages SET status = 'delivered', delivered_at = now();
SELECT is(pg_temp.reason(), 'delivered', 'it has arrived');
UPDATE whatsapp_messages SET status = 'read', read_at = now();
SELECT is(pg_temp.reason(), 'read', 'it has been read');
UPDATE whatsapp_messages SET status = 'failed', error_code = 131026, error_message = 'Message undeliverable';
SELECT is(pg_temp.reason(), 'failed', 'it has failed');
SELECT matches(explanation, 'error 131026: Message undeliverable', 'with this error') FROM pg_temp.explain();
SELECT is(e.remedy, c.remedy, 'and the remedy of that error') FROM pg_temp.explain() AS e, wa_error_codes AS c WHERE c.code = 131026;
UPDATE whatsapp_messages SET status = 'cancelled';
SELECT is(pg_temp.reason(), 'cancelled', 'it was cancelled');
UPDATE whatsapp_messages SET status = 'expired', expires_at = now();
SELECT is(pg_temp.reason(), 'expired', 'it came too late');
UPDATE whatsapp_messages SET status = 'skipped', status_reason = 'opted_out';
SELECT is(pg_temp.reason(), 'opted_out', 'its recipient does not want it');
UPDATE whatsapp_messages SET status = 'skipped', status_reason = 'tenant_disabled';
SELECT is(pg_temp.reason(), 'tenant_disabled', 'its tenant was switched off');

/* ---- what will not be sent, although its turn has not come ---- */

INSERT INTO whatsapp_queue (message_id, phone_number_id, rank, due_at, state)
    SELECT id, '100000000000001', 1, now(), 'r' FROM note ON CONFLICT (message_id) DO UPDATE SET state = 'r';
UPDATE whatsapp_messages SET status = 'queued', status_reason = NULL, expires_at = NULL;
INSERT INTO whatsapp_windows VALUES ('100000000000001', '+34600000001', now() - interval '24 hours');
SELECT matches(explanation, 'it will fail at its turn', 'its window has closed') FROM pg_temp.explain();
INSERT INTO whatsapp_fallbacks SELECT id, 'pedido', 'es', '{}' FROM note;
SELECT matches(explanation, 'it will be sent as template pedido', 'and there is something to fall back to') FROM pg_temp.explain();
SELECT wa_pause('tenant', 'panaderia', 'the test'), wa_opt_out('panaderia', '+34600000001', 'all') \g /dev/null
SELECT is(pg_temp.reason(), 'opted_out', 'whatever holds it, its recipient does not want it');
SELECT matches(explanation, 'it will be skipped', 'which is known at once') FROM pg_temp.explain();

SELECT cmp_ok((SELECT count(DISTINCT reason) FROM reached WHERE explanation ~ '[0-9]:[0-9]{2}:[0-9]{2}'), '>=', 9::bigint, 'many of these have a time');
SELECT is_empty($$SELECT explanation FROM reached WHERE explanation ~ '[0-9]:[0-9]{2}:[0-9]{2}\.'$$, 'in whole seconds');
SELECT set_eq('SELECT DISTINCT reason FROM reached',
    $$SELECT reason FROM wa_reason_codes WHERE reason NOT IN ('standby', 'not_preloaded', 'ownership', 'clone_not_adopted', 'sending_disabled',
        'credentials_missing', 'database_not_listed', 'sender_not_running', 'concurrency_limit')$$,
    'these were all the reasons there are');

SELECT * FROM finish();
ROLLBACK;
