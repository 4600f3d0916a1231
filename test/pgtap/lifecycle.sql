/*
 * Cancelling, repeating and deciding messages by hand.
 */
\ir ../lib/begin.sql
SELECT plan(59);

SELECT wa_assign_phone('panaderia', '100000000000001') \g /dev/null
CREATE FUNCTION pg_temp.message(id bigint) RETURNS whatsapp_messages LANGUAGE sql AS
    'SELECT m FROM whatsapp_messages m WHERE m.id = $1';
CREATE FUNCTION pg_temp.queued(id bigint) RETURNS whatsapp_queue LANGUAGE sql AS
    'SELECT q FROM whatsapp_queue q WHERE q.message_id = $1';
CREATE FUNCTION pg_temp.is_queued(id bigint) RETURNS boolean LANGUAGE sql AS
    'SELECT EXISTS (SELECT FROM whatsapp_queue q WHERE q.message_id = $1)';
CREATE FUNCTION pg_temp.new(VARIADIC options text[] DEFAULT '{}') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    id bigint;
BEGIN
    EXECUTE format('SELECT wa_enqueue_message(%L, %L, %L%s)', 'panaderia', '+34600112233', 'aviso',
        (SELECT string_agg(', ' || o, '') FROM unnest(options) AS o)) INTO id;
    RETURN id;
END
$$;
/* As the sender leaves a message that has ended. */
CREATE FUNCTION pg_temp.ended(status text, attempts integer DEFAULT 1) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    new_id CONSTANT bigint := pg_temp.new();
BEGIN
    UPDATE whatsapp_messages AS m SET status = ended.status, attempts = ended.attempts, finished_at = now(), error_code = 131026,
            error_message = 'no', failed_at = CASE ended.status WHEN 'failed' THEN now() END
        WHERE m.id = new_id;
    DELETE FROM whatsapp_queue WHERE message_id = new_id;
    RETURN new_id;
END
$$;
/* As the sender leaves one of which nobody knows. */
CREATE FUNCTION pg_temp.uncertain() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    new_id CONSTANT bigint := pg_temp.new();
BEGIN
    UPDATE whatsapp_messages AS m SET status = 'uncertain', attempts = 1 WHERE m.id = new_id;
    UPDATE whatsapp_queue SET state = 'u', hold_reason = 'uncertain', attempts = 1, due_at = now() + interval '10 minutes' WHERE message_id = new_id;
    RETURN new_id;
END
$$;

/* ---- cancelling ---- */

SELECT pg_temp.new() AS id \gset
SELECT is(wa_cancel_message(:id), true, 'a queued message can be cancelled');
SELECT is((status, status_reason, finished_at IS NOT NULL)::text, '(cancelled,,t)', 'that ends it') FROM pg_temp.message(:id);
SELECT is(pg_temp.is_queued(:id), false, 'and takes it out of the queue');
SELECT is(wa_cancel_message(:id), false, 'it cannot be cancelled twice');
SELECT is(wa_cancel_message(pg_temp.new('scheduled_at => now() + interval ''1 day''')), true, 'a scheduled one can');
SELECT wa_configure_tenant('sin-numero', is_new => true) \g /dev/null
SELECT is(wa_cancel_message(wa_enqueue_message('sin-numero', '+34600112233', 'aviso')), true, 'one that waits for a number can');
SELECT is(wa_cancel_message(pg_temp.ended(status)), false, 'one that is ' || status || ' cannot')
    FROM unnest('{accepted,sent,delivered,read,failed,expired,skipped}'::text[]) AS status;
SELECT throws_ok('SELECT wa_cancel_message(0)', '42704', 'message 0 does not exist', 'an unknown one is an error');
SELECT throws_ok('SELECT wa_cancel_message(NULL)', '22004', 'argument "id" must not be null', 'so is none');

SELECT pg_temp.new() AS id \gset
INSERT INTO whatsapp_leases (sender, pid, generation, message_ids, attempts) VALUES (0, 1, 1, ARRAY[7, :id, 8], '{1,1,1}');
SELECT is(wa_cancel_message(:id), false, 'one on the wire cannot be cancelled');
SELECT is((status, pg_temp.is_queued(:id))::text, '(queued,t)', 'and is left as it is') FROM pg_temp.message(:id);
UPDATE whatsapp_queue SET attempts = 1, state = 'd', hold_reason = 'retry' WHERE message_id = :id;
SELECT is(wa_cancel_message(:id), true, 'when that attempt has ended it can, though the lease is still there');
INSERT INTO whatsapp_leases (sender, pid, generation, message_ids, attempts) VALUES (0, 1, 1, ARRAY[:id], '{2}');
SELECT pg_temp.uncertain() AS id \gset
SELECT is(wa_cancel_message(:id), false, 'an uncertain one cannot');
SELECT is((status, pg_temp.is_queued(:id))::text, '(uncertain,t)', 'and stays uncertain') FROM pg_temp.message(:id);

/* ---- again ---- */

SELECT pg_temp.ended('failed', 8) AS id \gset
SELECT is(wa_retry_message(:id), true, 'a failed message can be queued again');
SELECT is((m.status, m.error_code, m.error_message, m.failed_at, m.finished_at, m.attempts)::text, '(queued,,,,,8)', 'as if nothing had happened, but for the attempts') FROM pg_temp.message(:id) m;
SELECT is((q.state, q.attempts, q.phone_number_id)::text, '(r,8,100000000000001)', 'which go on counting') FROM pg_temp.queued(:id) q;
SELECT is(wa_retry_message(:id), false, 'it cannot be queued twice');
SELECT is(wa_retry_message(pg_temp.ended(status)), true, 'one that is ' || status || ' can') FROM unnest('{expired,cancelled,skipped}'::text[]) AS status;
SELECT is(wa_retry_message(pg_temp.ended(status)), false, 'one that is ' || status || ' cannot') FROM unnest('{accepted,sent,delivered,read}'::text[]) AS status;
SELECT is(wa_retry_message(pg_temp.uncertain()), false, 'an uncertain one cannot');
SELECT throws_ok('SELECT wa_retry_message(0)', '42704', 'message 0 does not exist', 'an unknown one is an error');

SELECT pg_temp.ended('failed') AS id \gset
UPDATE whatsapp_messages SET whatsapp_message_id = 'wamid.A', accepted_at = now() - interval '1 hour', sent_at = now() WHERE id = :id;
SELECT wa_retry_message(:id) \g /dev/null
SELECT is((whatsapp_message_id, accepted_at, sent_at)::text, '(,,)', 'one that failed at Meta is sent as a new one') FROM pg_temp.message(:id);
SELECT is((attempt, outcome, error_code, error_message, started_at)::text, (1, 'failed', 131026, 'no', now() - interval '1 hour')::text, 'what became of the first is kept')
    FROM whatsapp_attempts WHERE message_id = :id;
SELECT pg_temp.ended('failed') AS id \gset
SELECT wa_retry_message(:id) \g /dev/null
SELECT is((SELECT count(*) FROM whatsapp_attempts WHERE message_id = :id), 0::bigint, 'the sender''s own attempts it has noted itself');

SELECT pg_temp.ended('expired') AS id \gset
UPDATE whatsapp_messages SET scheduled_at = now() - interval '2 hours', expires_at = now() - interval '1 hour' WHERE id = :id;
SELECT wa_retry_message(:id) \g /dev/null
SELECT is((m.expires_at, q.expires_at)::text, '(,)', 'an expiry that has passed is dropped') FROM pg_temp.message(:id) m, pg_temp.queued(:id) q;
SELECT pg_temp.new('scheduled_at => now() + interval ''1 day''', 'expires_at => now() + interval ''2 days''', 'priority => 2') AS id \gset
SELECT wa_cancel_message(:id) \g /dev/null
SELECT wa_retry_message(:id) \g /dev/null
SELECT is((q.state, q.hold_reason, q.due_at, q.expires_at)::text, ('d'::"char", 'scheduled', now() + interval '1 day', now() + interval '2 days')::text,
    'a cancelled one is scheduled again as it was') FROM pg_temp.queued(:id) q;
SELECT is(q.rank, wa_rank, 'with its priority') FROM pg_temp.queued(:id) q,
    (SELECT (extract(epoch FROM now() + interval '1 day' - timestamptz '2000-01-01 00:00:00+00') * 1000000)::bigint - 2 * 600000000::bigint AS wa_rank) AS r;

SELECT pg_temp.ended('failed') AS id \gset
SELECT wa_unassign_phone('panaderia') \g /dev/null
SELECT wa_assign_phone('panaderia', '100000000000002') \g /dev/null
SELECT wa_retry_message(:id) \g /dev/null
SELECT is((m.phone_number_id, q.phone_number_id)::text, '(100000000000002,100000000000002)', 'it leaves from the number that the tenant has now') FROM pg_temp.message(:id) m, pg_temp.queued(:id) q;

SELECT wa_opt_out('panaderia', '+34600112233', 'all') \g /dev/null
SELECT pg_temp.new() AS id \gset
SELECT is((SELECT status FROM pg_temp.message(:id)), 'skipped', 'a message that is skipped');
SELECT is(wa_retry_message(:id), false, 'is not queued as long as it would be skipped again');
SELECT wa_opt_in('panaderia', '+34600112233', 'all') \g /dev/null
SELECT is(wa_retry_message(:id), true, 'and then it is');
SELECT pg_temp.ended('failed') AS id \gset
SELECT wa_configure_tenant('panaderia', enabled => false) \g /dev/null
SELECT is(wa_retry_message(:id), false, 'nor for a tenant that is switched off');
SELECT wa_configure_tenant('panaderia', enabled => true) \g /dev/null
SELECT wa_enqueue_payload('panaderia', '+34600112233', 'text', '{"body": "Hola"}') AS id \gset
SELECT wa_cancel_message(:id) \g /dev/null
INSERT INTO whatsapp_windows VALUES ('100000000000002', '+34600112233', now() - interval '25 hours');
SELECT throws_ok(format('SELECT wa_retry_message(%s)', :id), '55000', 'the 24-hour window of this recipient is closed', 'a text cannot be repeated outside the window');

/* ---- deciding ---- */

SELECT pg_temp.uncertain() AS id \gset
SELECT is(wa_resolve_message(:id, 'accepted'), true, 'an uncertain message arrived');
SELECT is((status, status_reason, accepted_at IS NOT NULL, sent_at IS NOT NULL, finished_at IS NOT NULL, pg_temp.is_queued(:id))::text, '(accepted,resolved,t,f,t,f)', 'it is accepted')
    FROM pg_temp.message(:id);
SELECT is(wa_resolve_message(:id, 'failed'), false, 'that is decided once');
SELECT pg_temp.uncertain() AS id \gset
SELECT is(wa_resolve_message(:id, 'sent'), true, 'or was sent');
SELECT is((status, accepted_at IS NOT NULL, sent_at IS NOT NULL)::text, '(sent,t,t)', 'as a webhook would have said') FROM pg_temp.message(:id);
SELECT pg_temp.uncertain() AS id \gset
SELECT is(wa_resolve_message(:id, 'failed'), true, 'or did not');
SELECT is((status, status_reason, failed_at IS NOT NULL, finished_at IS NOT NULL, pg_temp.is_queued(:id))::text, '(failed,resolved,t,t,f)', 'it has failed') FROM pg_temp.message(:id);
SELECT pg_temp.uncertain() AS id \gset
SELECT is(wa_resolve_message(:id, 'resend'), true, 'or is to be sent again');
SELECT is((m.status, q.state, q.hold_reason, q.attempts, q.due_at <= clock_timestamp())::text, '(queued,r,,1,t)', 'it is ready') FROM pg_temp.message(:id) m, pg_temp.queued(:id) q;
SELECT is(wa_resolve_message(:id, 'sent'), false, 'and no longer uncertain');
SELECT pg_temp.uncertain() AS id \gset
UPDATE whatsapp_queue SET phone_number_id = NULL WHERE message_id = :id;
SELECT wa_resolve_message(:id, 'resend') \g /dev/null
SELECT is((q.state, q.hold_reason)::text, '(h,no_number)', 'without a number it waits for one') FROM pg_temp.queued(:id) q;
SELECT throws_ok('SELECT wa_resolve_message(0, ''sent'')', '42704', 'message 0 does not exist', 'an unknown message is an error');
SELECT throws_ok(format('SELECT wa_resolve_message(%s, ''lost'')', :id), '22023', 'invalid outcome "lost"', 'so is an unknown outcome');
SELECT throws_ok(format('SELECT wa_resolve_message(%s, NULL)', :id), '22004', 'argument "outcome" must not be null', 'or none');

SELECT * FROM finish();
ROLLBACK;
