/*
 * Delivery statuses: what each does to its message, to the queue, and beyond.
 */
\ir ../lib/begin.sql
\ir ../lib/webhook.sql
SELECT plan(88);

/* Times of the tests are seconds after this. */
\set t 1764000000
CREATE FUNCTION pg_temp.show(id bigint) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', m.status, 'attempts=' || m.attempts, m.whatsapp_message_id,
        'sent=' || EXTRACT(epoch FROM m.sent_at)::bigint - EXTRACT(epoch FROM pg_temp.at(1764000000))::bigint,
        'delivered=' || EXTRACT(epoch FROM m.delivered_at)::bigint - EXTRACT(epoch FROM pg_temp.at(1764000000))::bigint,
        'read=' || EXTRACT(epoch FROM m.read_at)::bigint - EXTRACT(epoch FROM pg_temp.at(1764000000))::bigint,
        'played=' || EXTRACT(epoch FROM m.played_at)::bigint - EXTRACT(epoch FROM pg_temp.at(1764000000))::bigint,
        'failed=' || EXTRACT(epoch FROM m.failed_at)::bigint - EXTRACT(epoch FROM pg_temp.at(1764000000))::bigint,
        'error=' || m.error_code)
    FROM whatsapp_messages AS m WHERE m.id = $1
$$;
CREATE FUNCTION pg_temp.in_queue(id bigint) RETURNS boolean LANGUAGE sql AS $$
    SELECT EXISTS (SELECT FROM whatsapp_queue AS q WHERE q.message_id = $1)
$$;

/* ---- the ordinary course ---- */

SELECT pg_temp.new_message('accepted') AS m \gset
SELECT is(pg_temp.post_statuses(pg_temp.status('wamid.' || :m, 'sent', :t + 1, pg_temp.data(:m), '{"pricing": {"billable": true, "pricing_model": "PMP", "type": "regular", "category": "utility"}}')), '1/0/0/0', 'sent');
SELECT is(pg_temp.show(:m), format('sent attempts=1 wamid.%s sent=1', :m), 'is sent, at Meta''s time');
SELECT is((pricing_category, pricing_type, billable)::text, '(utility,regular,t)', 'with its price') FROM whatsapp_messages WHERE id = :m;
SELECT is(pg_temp.post_statuses(pg_temp.status('wamid.' || :m, 'delivered', :t + 3, pg_temp.data(:m))), '1/0/0/0', 'delivered');
SELECT is(pg_temp.show(:m), format('delivered attempts=1 wamid.%s sent=1 delivered=3', :m), 'is delivered');
SELECT is(pg_temp.post_statuses(pg_temp.status('wamid.' || :m, 'read', :t + 9, pg_temp.data(:m))), '1/0/0/0', 'read');
SELECT is(pg_temp.show(:m), format('read attempts=1 wamid.%s sent=1 delivered=3 read=9', :m), 'is read');
SELECT is(pg_temp.post_statuses(pg_temp.status('wamid.' || :m, 'played', :t + 12, pg_temp.data(:m))), '1/0/0/0', 'played');
SELECT is(pg_temp.show(:m), format('read attempts=1 wamid.%s sent=1 delivered=3 read=9 played=12', :m), 'has been played');
SELECT is(accepted_at, '2026-01-01 00:00:00.123456Z', 'the sender''s time of acceptance stays') FROM whatsapp_messages WHERE id = :m;
SELECT is(pg_temp.post_statuses(
    pg_temp.status('wamid.' || :m, 'sent', :t + 1, pg_temp.data(:m)), pg_temp.status('wamid.' || :m, 'read', :t + 10, pg_temp.data(:m))),
    '0/2/0/0', 'repeated, and read again later: nothing new');
SELECT is(pg_temp.show(:m), format('read attempts=1 wamid.%s sent=1 delivered=3 read=9 played=12', :m), 'and nothing changes');

/* ---- skipped and swapped ---- */

SELECT pg_temp.new_message('accepted') AS m \gset
SELECT is(pg_temp.post_statuses(pg_temp.status('wamid.' || :m, 'read', :t + 9)), '1/0/0/0', 'read first, found by wamid alone');
SELECT is(pg_temp.show(:m), format('read attempts=1 wamid.%s read=9', :m), 'missing steps have no time');
SELECT is(pg_temp.post_statuses(pg_temp.status('wamid.' || :m, 'sent', :t + 1, pg_temp.data(:m))), '1/0/0/0', 'then sent');
SELECT is(pg_temp.show(:m), format('read attempts=1 wamid.%s sent=1 read=9', :m), 'adds its time and takes nothing back');
SELECT is(pg_temp.post_statuses(pg_temp.status('wamid.' || :m, 'sent', :t, pg_temp.data(:m))), '1/0/0/0', 'an earlier time for the same');
SELECT is(pg_temp.show(:m), format('read attempts=1 wamid.%s sent=0 read=9', :m), 'wins');

/* ---- failures ---- */

SELECT pg_temp.new_message('accepted') AS m \gset
SELECT pg_temp.post_statuses(pg_temp.status('wamid.' || :m, 'failed', :t + 2, pg_temp.data(:m), pg_temp.error(131026, 'Message undeliverable', 'Not on WhatsApp'))) \g /dev/null
SELECT is(pg_temp.show(:m), format('failed attempts=1 wamid.%s failed=2 error=131026', :m), 'failed');
SELECT is(error_message, 'Message undeliverable: Not on WhatsApp', 'with the error in words') FROM whatsapp_messages WHERE id = :m;
SELECT pg_temp.post_statuses(pg_temp.status('wamid.' || :m, 'sent', :t + 1, pg_temp.data(:m))) \g /dev/null
SELECT is(pg_temp.show(:m), format('failed attempts=1 wamid.%s sent=1 failed=2 error=131026', :m), 'sent is no proof against it');
SELECT pg_temp.post_statuses(pg_temp.status('wamid.' || :m, 'delivered', :t + 1, pg_temp.data(:m))) \g /dev/null
SELECT is(pg_temp.show(:m), format('delivered attempts=1 wamid.%s sent=1 delivered=1 failed=2 error=131026', :m), 'delivered is; the error stays to be seen');
SELECT pg_temp.new_message('accepted') AS m \gset
SELECT pg_temp.post_statuses(pg_temp.status('wamid.' || :m, 'delivered', :t + 1, pg_temp.data(:m)), pg_temp.status('wamid.' || :m, 'failed', :t + 5, pg_temp.data(:m), pg_temp.error(131000))) \g /dev/null
SELECT is(pg_temp.show(:m), format('delivered attempts=1 wamid.%s delivered=1 failed=5 error=131000', :m), 'failed after delivered: the same');
SELECT pg_temp.new_message('accepted') AS m \gset
SELECT pg_temp.post_statuses(pg_temp.status('wamid.' || :m, 'failed', :t + 5, pg_temp.data(:m))) \g /dev/null
SELECT is(pg_temp.show(:m), format('failed attempts=1 wamid.%s failed=5', :m), 'failed without saying why');

/* ---- messages that we think have not been sent ---- */

SELECT pg_temp.new_message('uncertain') AS m \gset
SELECT pg_temp.post_statuses(pg_temp.status('wamid.U', 'sent', :t + 1, pg_temp.data(:m))) \g /dev/null
SELECT is(pg_temp.show(:m), 'sent attempts=1 wamid.U sent=1', 'an uncertain message is settled');
SELECT ok(NOT pg_temp.in_queue(:m), 'and leaves the queue');
SELECT is(accepted_at, pg_temp.at(:t + 1), 'its acceptance is dated by the status') FROM whatsapp_messages WHERE id = :m;
SELECT is(finished_at, accepted_at, 'retention counts from there') FROM whatsapp_messages WHERE id = :m;
SELECT is((SELECT message_id FROM whatsapp_wamids WHERE whatsapp_message_id = 'wamid.U'), :m::bigint, 'and its wamid is known');
SELECT is(pg_temp.post_statuses(pg_temp.status('wamid.U', 'delivered', :t + 2)), '1/0/0/0', 'so that a status without our data finds it');
SELECT pg_temp.new_message('queued') AS m \gset
SELECT pg_temp.post_statuses(pg_temp.status('wamid.Q', 'delivered', :t + 4, pg_temp.data(:m))) \g /dev/null
SELECT is(pg_temp.show(:m), 'delivered attempts=1 wamid.Q delivered=4', 'a queued message, as after a failover, has been sent');
SELECT ok(NOT pg_temp.in_queue(:m), 'and is not sent again');
SELECT pg_temp.new_message('sending') AS m \gset
SELECT pg_temp.post_statuses(pg_temp.status('wamid.S', 'failed', :t + 4, pg_temp.data(:m, 1), pg_temp.error(131049))) \g /dev/null
SELECT is(pg_temp.show(:m), 'failed attempts=1 wamid.S failed=4 error=131049', 'failed settles it, too, whatever the class of the error');
SELECT ok(NOT pg_temp.in_queue(:m), 'for Meta has had it');
UPDATE whatsapp_messages SET status = 'failed', failed_at = now(), error_code = -28, whatsapp_message_id = NULL, attempts = 1 WHERE id = :m;
SELECT pg_temp.new_message('failed') AS m \gset
UPDATE whatsapp_messages SET failed_at = now(), error_code = -28, error_message = 'timeout' WHERE id = :m;
SELECT pg_temp.post_statuses(pg_temp.status('wamid.F', 'sent', :t + 1, pg_temp.data(:m))) \g /dev/null
SELECT is(pg_temp.show(:m), 'sent attempts=1 wamid.F sent=1', 'a failure of our own making yields to what Meta knows');
SELECT pg_temp.new_message('expired') AS m \gset
SELECT pg_temp.post_statuses(pg_temp.status('wamid.E', 'read', :t + 1, pg_temp.data(:m))) \g /dev/null
SELECT is(pg_temp.show(:m), 'read attempts=1 wamid.E read=1', 'so does expiry');

/* ---- several attempts ---- */

SELECT pg_temp.new_message('uncertain') AS m \gset
SELECT pg_temp.post_statuses(pg_temp.status('wamid.B', 'sent', :t + 5, pg_temp.data(:m, 2))) \g /dev/null
SELECT is(pg_temp.show(:m), 'sent attempts=2 wamid.B sent=5', 'the second attempt');
SELECT pg_temp.post_statuses(pg_temp.status('wamid.A', 'failed', :t + 2, pg_temp.data(:m, 1), pg_temp.error(131026))) \g /dev/null
SELECT is(pg_temp.show(:m), 'sent attempts=2 wamid.B sent=5', 'does not fail with the first');
SELECT is((SELECT count(*) FROM whatsapp_alerts WHERE kind = 'duplicate_send'), 0::bigint, 'which reached nobody');
SELECT pg_temp.post_statuses(pg_temp.status('wamid.A', 'delivered', :t + 3, pg_temp.data(:m, 1))) \g /dev/null
SELECT is(pg_temp.show(:m), 'delivered attempts=2 wamid.B sent=5 delivered=3', 'if it reached somebody the message has arrived');
SELECT is((SELECT format('%s %s %s', kind, scope, key) FROM whatsapp_alerts WHERE resolved_at IS NULL), format('duplicate_send message %s', :m), 'twice, which is reported');
SELECT pg_temp.new_message('accepted') AS m \gset
SELECT pg_temp.post_statuses(pg_temp.status('wamid.D', 'sent', :t + 5, pg_temp.data(:m, 2))) \g /dev/null
SELECT is((SELECT count(*) FROM whatsapp_alerts WHERE kind = 'duplicate_send' AND key = :'m'), 1::bigint, 'also when the later attempt is heard of last');
SELECT is((SELECT count(*) FROM whatsapp_wamids WHERE message_id = :m), 2::bigint, 'both wamids lead to the message');

/* ---- accepted twice ---- */

CREATE FUNCTION pg_temp.twice(id bigint) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(w, ' ' ORDER BY w COLLATE "C") FROM whatsapp_alerts AS a, jsonb_array_elements_text(a.detail -> 'whatsapp_message_ids') AS w
    WHERE a.kind = 'duplicate_send' AND a.key = id::text
$$;
CREATE FUNCTION pg_temp.known(id bigint) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(DISTINCT w.whatsapp_message_id, ' ') FROM whatsapp_wamids AS w WHERE w.message_id = id
$$;
SELECT pg_temp.new_message('accepted') AS m \gset
SELECT pg_temp.post_statuses(pg_temp.status('wamid.' || :m, 'sent', :t + 1, pg_temp.data(:m))) \g /dev/null
SELECT is(pg_temp.twice(:m), NULL, 'once is not twice');
SELECT pg_temp.post_statuses(pg_temp.status('wamid.x2', 'sent', :t + 5, pg_temp.data(:m))) \g /dev/null
SELECT is(pg_temp.twice(:m), format('wamid.%s wamid.x2', :m), 'two acceptances with one attempt''s number: another server has sent it, too');
SELECT is(pg_temp.known(:m), format('wamid.%s wamid.x2', :m), 'both wamids lead to the message');
SELECT is(pg_temp.post_statuses(pg_temp.status('wamid.' || :m, 'delivered', :t + 2)), '1/0/0/0', 'the first, without our data');
SELECT is(pg_temp.post_statuses(pg_temp.status('wamid.x2', 'read', :t + 9)), '1/0/0/0', 'and the second');
SELECT pg_temp.new_message('accepted') AS m \gset
SELECT pg_temp.post_statuses(pg_temp.status('wamid.y2', 'sent', :t + 5, pg_temp.data(:m))) \g /dev/null
SELECT is(pg_temp.twice(:m), format('wamid.%s wamid.y2', :m), 'the first is known from the response alone');
SELECT pg_temp.new_message('accepted') AS m \gset
UPDATE whatsapp_messages SET attempts = 2 WHERE id = :m;
SELECT pg_temp.post_statuses(pg_temp.status('wamid.' || :m, 'read', :t + 2, pg_temp.data(:m, 2)), pg_temp.status('wamid.' || :m, 'sent', :t + 1, pg_temp.data(:m, 2))) \g /dev/null
SELECT is(pg_temp.post_statuses(pg_temp.status('wamid.z1', 'sent', :t + 7, pg_temp.data(:m, 1))), '0/1/0/0', 'an earlier attempt that was sent later: nothing new in the row');
SELECT is(pg_temp.twice(:m), format('wamid.%s wamid.z1', :m), 'but the message was accepted twice');
SELECT is(pg_temp.known(:m), format('wamid.%s wamid.z1', :m), 'and the wamid is kept');
UPDATE whatsapp_alerts SET resolved_at = now() WHERE key = :'m';
SELECT pg_temp.post_statuses(pg_temp.status('wamid.z1', 'sent', :t + 7, pg_temp.data(:m, 1))) \g /dev/null
SELECT is((SELECT count(*) FROM whatsapp_alerts WHERE key = :'m' AND resolved_at IS NULL), 0::bigint, 'Meta''s repetition of that is no news');
SELECT pg_temp.new_message('accepted') AS m \gset
SELECT pg_temp.post_statuses(pg_temp.status('wamid.' || :m, 'sent', :t + 1, pg_temp.data(:m)), pg_temp.status('wamid.w2', 'sent', :t + 2, pg_temp.data(:m))) \g /dev/null
SELECT is(pg_temp.twice(:m), format('wamid.%s wamid.w2', :m), 'both in one webhook');
SELECT is(pg_temp.post_statuses(pg_temp.status('wamid.v2', 'sent', :t + 2, pg_temp.data(:m + 1))), '0/0/1/0', 'a status that came before its message was known');
SELECT pg_temp.new_message('accepted') AS m \gset
SELECT wa_internal_rematch(10) \g /dev/null
SELECT is(pg_temp.twice(:m), format('wamid.%s wamid.v2', :m), 'and belongs to a second acceptance');
SELECT pg_temp.new_message('accepted') AS m \gset
SELECT pg_temp.post_statuses(pg_temp.status('wamid.' || :m, 'failed', :t + 2, pg_temp.data(:m), pg_temp.error(131026))) \g /dev/null
SELECT pg_temp.post_statuses(pg_temp.status('wamid.u2', 'sent', :t + 5, pg_temp.data(:m, 2))) \g /dev/null
SELECT is(pg_temp.twice(:m), NULL, 'one that failed at Meta, and one that was sent: that is once');

/* ---- put back by hand ---- */

SELECT pg_temp.new_message('accepted') AS m \gset
SELECT pg_temp.post_statuses(pg_temp.status('wamid.' || :m, 'failed', :t + 2, pg_temp.data(:m), pg_temp.error(131026))) \g /dev/null
UPDATE whatsapp_messages SET status = 'queued', whatsapp_message_id = NULL, failed_at = NULL, error_code = NULL, accepted_at = NULL, finished_at = NULL WHERE id = :m;
INSERT INTO whatsapp_queue (message_id, phone_number_id, rank, due_at, attempts, state) VALUES (:m, '100000000000001', 1, now(), 1, 'r');
INSERT INTO whatsapp_attempts (message_id, attempt, outcome) VALUES (:m, 1, 'failed');
SELECT is(pg_temp.post_statuses(pg_temp.status('wamid.' || :m, 'failed', :t + 2, pg_temp.data(:m), pg_temp.error(131026)),
    pg_temp.status('wamid.' || :m, 'sent', :t + 1, pg_temp.data(:m))), '0/2/0/0', 'what is repeated of the old attempt');
SELECT is(pg_temp.show(:m), 'queued attempts=1', 'does not touch the new one');
SELECT ok(pg_temp.in_queue(:m), 'which is still to be sent');
DELETE FROM whatsapp_queue WHERE message_id = :m;
UPDATE whatsapp_messages SET status = 'failed', attempts = 2, failed_at = now(), error_code = 100 WHERE id = :m;
SELECT is(pg_temp.post_statuses(pg_temp.status('wamid.' || :m, 'sent', :t + 1, pg_temp.data(:m))), '0/1/0/0', 'nor when that was refused');
SELECT is(pg_temp.post_statuses(pg_temp.status('wamid.' || :m, 'delivered', :t + 1, pg_temp.data(:m))), '1/0/0/0', 'but a proof of delivery counts');

/* ---- whose it is ---- */

SELECT pg_temp.new_message('accepted') AS m \gset
SELECT is(pg_temp.post_statuses(pg_temp.status('wamid.X', 'sent', :t, 'wa1:00000000:' || :m || ':1')), '0/0/0/1', 'another installation''s message');
SELECT is(pg_temp.post_statuses(pg_temp.status('wamid.' || :m, 'sent', :t, 'wa1:00000000:77:1')), '1/0/0/0', 'unless its wamid is one of ours: our own, before we were adopted');
SELECT is(pg_temp.post_statuses(pg_temp.status('wamid.Y', 'sent', :t, 'q1:whatever')), '0/0/1/0', 'another program''s message is parked');
SELECT is(pg_temp.post_statuses(pg_temp.status('wamid.Z', 'sent', :t, pg_temp.data(999999))), '0/0/1/0', 'so is one of ours that is not there');
SELECT is(pg_temp.post_statuses(pg_temp.status('wamid.Z', 'sent', :t, pg_temp.data(999999))), '0/1/0/0', 'once');

/* ---- malformed ones spoil nothing ---- */

SELECT pg_temp.new_message('accepted') AS m \gset
SELECT is(pg_temp.post_statuses('{"id": "wamid.1"}', '7', '{"status": "sent"}', 'null', pg_temp.status('wamid.' || :m, 'warp', :t), pg_temp.status('wamid.' || :m, 'sent', :t),
    pg_temp.status('wamid.' || :m, 'sent', 5), pg_temp.status(repeat('w', 256), 'sent', :t), '{"id": "wamid.2", "status": "sent", "timestamp": "soon"}'), '1/0/8/0', 'one good among eight bad');
SELECT is((SELECT string_agg(reason, ' ' ORDER BY reason) FROM whatsapp_parked_events WHERE reason NOT IN ('unknown_message')),
    'id_missing id_missing not_an_object not_an_object timestamp_invalid timestamp_invalid unknown_status unknown_status', 'each with its reason');
SELECT is(pg_temp.show(:m), format('sent attempts=1 wamid.%s sent=0', :m), 'the good one counts');

/* ---- beyond the message ---- */

CREATE FUNCTION pg_temp.fail_now(code integer, template text DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    m bigint := pg_temp.new_message('accepted', 'panaderia', template);
BEGIN
    PERFORM pg_temp.post_statuses(pg_temp.status('wamid.' || m, 'failed', EXTRACT(epoch FROM clock_timestamp())::bigint, pg_temp.data(m), pg_temp.error(code)));
END
$$;
SELECT pg_temp.fail_now(131050) \g /dev/null
SELECT is((SELECT format('%s %s %s', recipient, category, source) FROM whatsapp_opt_outs), '+34600000001 marketing error', '131050 is an opt-out');
SELECT pg_temp.fail_now(132015, 'pedido_listo') \g /dev/null
SELECT pg_temp.fail_now(131042) \g /dev/null
SELECT pg_temp.fail_now(133010) \g /dev/null
SELECT is((SELECT string_agg(concat_ws(' ', scope, key, error_code, until > now()), ', ' ORDER BY scope) FROM whatsapp_pauses),
    'account  131042, number 100000000000001 133010, template pedido_listo/es 132015 t', 'errors of a template, a number, the account pause it');
SELECT pg_temp.fail_now(999) \g /dev/null
SELECT is((SELECT key FROM whatsapp_alerts WHERE kind = 'unknown_error_code'), '999', 'an error that nobody knows raises an alert');
DELETE FROM whatsapp_pauses;
SELECT pg_temp.new_message('accepted') AS m \gset
SELECT pg_temp.post_statuses(pg_temp.status('wamid.' || :m, 'failed', EXTRACT(epoch FROM now())::bigint - 7200, pg_temp.data(:m), pg_temp.error(131042))) \g /dev/null
SELECT is((SELECT count(*) FROM whatsapp_pauses), 0::bigint, 'what happened two hours ago pauses nothing now');

/* ---- as many as a body has room for ---- */

CREATE TEMP TABLE refused AS SELECT pg_temp.new_message('accepted', 'obrador') AS id, n FROM generate_series(1, 1500) AS n;
UPDATE whatsapp_messages AS m SET recipient_phone = '+3461' || lpad(r.n::text, 7, '0') FROM refused AS r WHERE m.id = r.id;
SELECT is(pg_temp.post_statuses(VARIADIC (SELECT array_agg(pg_temp.status('wamid.' || id, 'failed', EXTRACT(epoch FROM now())::bigint, pg_temp.data(id),
        pg_temp.error(131050) || jsonb_build_object('recipient_id', '3461' || lpad(n::text, 7, '0')))) FROM refused)),
    '1500/0/0/0', 'fifteen hundred who want no marketing');
SELECT is((SELECT count(*) FROM whatsapp_opt_outs WHERE tenant_id = 'obrador'), 1500::bigint, 'get none');

/* ---- everything that it says ---- */

SELECT pg_temp.new_message('accepted') AS m \gset
SELECT is(pg_temp.post_statuses(pg_temp.status('wamid.' || :m, 'sent', :t + 1, pg_temp.data(:m), format('{"recipient_identity_key_hash": "HHH",
    "conversation": {"id": "CONV1", "expiration_timestamp": "%s", "origin": {"type": "referral_conversion"}},
    "pricing": {"billable": false, "pricing_model": "PMP", "category": "referral_conversion", "type": "free_entry_point"}}', :t + 86400)::jsonb)), '1/0/0/0',
    'a status with a conversation');
SELECT is((pricing_category, pricing_type, pricing_model, billable)::text, '(referral_conversion,free_entry_point,PMP,f)', 'has its whole price') FROM whatsapp_messages WHERE id = :m;
SELECT is((conversation_id, conversation_origin, conversation_ends_at)::text, ('CONV1', 'referral_conversion', pg_temp.at(:t + 86400))::text, 'and the conversation')
    FROM whatsapp_messages WHERE id = :m;
SELECT is(pg_temp.post_statuses(pg_temp.status('wamid.' || :m, 'sent', :t + 1, pg_temp.data(:m), '{"conversation": {"id": "CONV1", "origin": {"type": "referral_conversion"}}}')),
    '0/1/0/0', 'the same in fewer words is no news');
SELECT pg_temp.new_message('accepted') AS m \gset
SELECT is(pg_temp.post_statuses(pg_temp.status('wamid.' || :m, 'failed', :t + 1, pg_temp.data(:m), '{"errors": [
    {"code": 131053, "title": "Media upload error", "message": "Media upload error", "error_data": {"details": "Unsupported mime"}, "href": "https://x"},
    {"code": 131000, "title": "Something went wrong"}]}')), '1/0/0/0', 'a failure with two errors');
SELECT is((error_code, error_message)::text, '(131053,"Media upload error: Unsupported mime")', 'shows the first') FROM whatsapp_messages WHERE id = :m;
SELECT is((SELECT string_agg(concat_ws(' ', e ->> 'code', e #>> '{error_data,details}', e ->> 'href'), ', ') FROM whatsapp_messages, jsonb_array_elements(errors) AS e WHERE id = :m),
    '131053 Unsupported mime https://x, 131000', 'and keeps both');
SELECT wa_retry_message(:m) \g /dev/null
SELECT is((SELECT errors FROM whatsapp_messages WHERE id = :m), NULL, 'until it is sent again');
SELECT pg_temp.new_message('accepted') AS m \gset
SELECT pg_temp.post_statuses(pg_temp.status('wamid.' || :m, 'failed', :t + 1, pg_temp.data(:m), '{"errors": [{"code": 131053, "title": "Media upload error", "details": "of old"}]}')) \g /dev/null
SELECT is(error_message, 'Media upload error: of old', 'details are found where older webhooks put them') FROM whatsapp_messages WHERE id = :m;

/* ---- found later ---- */

SELECT pg_temp.post_statuses(pg_temp.status('wamid.LATE', 'delivered', :t + 8), pg_temp.status('wamid.LATE', 'sent', :t + 7)) \g /dev/null
SELECT pg_temp.new_message('accepted') AS m \gset
UPDATE whatsapp_messages SET whatsapp_message_id = 'wamid.LATE' WHERE id = :m;
INSERT INTO whatsapp_wamids VALUES ('wamid.LATE', :m);
SELECT is(wa_internal_rematch(), 2, 'parked statuses whose message is known by now');
SELECT is(pg_temp.show(:m), 'delivered attempts=1 wamid.LATE sent=7 delivered=8', 'are applied');
SELECT is(wa_internal_rematch(), 0, 'once');

SELECT finish();
ROLLBACK;
