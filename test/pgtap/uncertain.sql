/*
 * When the absence of a report proves that Meta does not have a message.
 *
 * The request began at 12:00:00 and ended, without a response, at 12:00:10; the
 * grace is ten minutes.  Times of the tests are minutes after 12:00.
 */
\ir ../lib/begin.sql
SELECT plan(34);

SELECT set_config('uncertain.zero', date_trunc('hour', now() - interval '3 hours')::text, true) \g /dev/null
CREATE FUNCTION pg_temp.at(minutes double precision) RETURNS timestamptz LANGUAGE sql AS $$
    SELECT current_setting('uncertain.zero')::timestamptz + make_interval(secs => minutes * 60)
$$;
INSERT INTO whatsapp_tenants (tenant_id) VALUES ('one'), ('two');

/* A message of a number, as enqueueing, the sender and webhooks leave it. */
CREATE FUNCTION pg_temp.message(
    accepted double precision, reported boolean, tenant text DEFAULT 'one', number text DEFAULT '1',
    created double precision DEFAULT NULL, reason text DEFAULT NULL)
RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, message_type, payload, status, status_reason,
            attempts, created_at, accepted_at, sent_at)
        VALUES (tenant, number, '+34600000001', 'text', '{}',
            CASE WHEN accepted IS NULL THEN 'uncertain' WHEN reported THEN 'sent' ELSE 'accepted' END, reason, 1,
            pg_temp.at(COALESCE(created, accepted, 0)), pg_temp.at(accepted),
            CASE WHEN reported THEN pg_temp.at(accepted) END)
        RETURNING id
$$;

/* What the silence means, so many minutes after 12:00: proof, until when to wait, or nothing. */
CREATE FUNCTION pg_temp.silence(
    m bigint, at double precision, hearing double precision DEFAULT -60, grace interval DEFAULT '10 min')
RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN s.is_proof THEN 'proof' WHEN s.wait_until > pg_temp.at($2) THEN
        'wait until ' || to_char(s.wait_until - pg_temp.at(0), 'MI:SS') ELSE 'nothing' END
    FROM wa_internal_judge_silence(m, pg_temp.at(0), pg_temp.at(1.0 / 6), grace, pg_temp.at(hearing), pg_temp.at($2)) AS s
$$;
/* One uncertain message, beside the others given; each case begins anew. */
CREATE PROCEDURE pg_temp.begin_case() LANGUAGE sql AS $$
    DELETE FROM whatsapp_messages
$$;

/* ---- another message, reported ---- */

SELECT pg_temp.message(NULL, false) AS u \gset
SELECT is(pg_temp.silence(:u, 9), 'wait until 10:10', 'the grace counts from the end of the request');
SELECT is(pg_temp.silence(:u, 10.2), 'nothing', 'no other message was sent: silence means nothing');
SELECT pg_temp.message(-1, true) \g /dev/null
SELECT is(pg_temp.silence(:u, 10.2), 'nothing', 'one accepted before the request is not enough');
SELECT pg_temp.message(3, true) AS other \gset
SELECT is(pg_temp.silence(:u, 10), 'wait until 10:10', 'one in the first half of the grace is, but not before its end');
SELECT is(pg_temp.silence(:u, 10.2), 'proof', 'when it is over');
SELECT is(pg_temp.silence(:u, 60), 'proof', 'and later');
UPDATE whatsapp_messages SET accepted_at = pg_temp.at(6), sent_at = pg_temp.at(6) WHERE id = :other;
SELECT is(pg_temp.silence(:u, 10.2), 'nothing', 'one in the second half is not: nobody may have heard for five minutes');
UPDATE whatsapp_messages SET accepted_at = pg_temp.at(0.1), sent_at = pg_temp.at(0.1) WHERE id = :other;
SELECT is(pg_temp.silence(:u, 10.2), 'nothing', 'nor one that was accepted while the request was open');
UPDATE whatsapp_messages SET accepted_at = pg_temp.at(3), sent_at = NULL, delivered_at = pg_temp.at(3) WHERE id = :other;
SELECT is(pg_temp.silence(:u, 10.2), 'proof', 'delivered is a report');
UPDATE whatsapp_messages SET delivered_at = NULL, failed_at = pg_temp.at(3), status = 'failed' WHERE id = :other;
SELECT is(pg_temp.silence(:u, 10.2), 'proof', 'failed is one, too');
UPDATE whatsapp_messages SET phone_number_id = '2' WHERE id = :other;
SELECT is(pg_temp.silence(:u, 10.2), 'nothing', 'another number''s is none');

/* ---- one that is missing ---- */

CALL pg_temp.begin_case();
SELECT pg_temp.message(NULL, false) AS u, pg_temp.message(3, true) AS heard, pg_temp.message(4, false) AS missing \gset
SELECT is(pg_temp.silence(:u, 10.2), 'nothing', 'a message that was accepted later has no report');
SELECT is(pg_temp.silence(:u, 8.9), 'wait until 10:10', 'before the end of the grace that decides nothing');
UPDATE whatsapp_messages SET sent_at = accepted_at WHERE id = :missing;
SELECT is(pg_temp.silence(:u, 10.2), 'proof', 'and now it has');
UPDATE whatsapp_messages SET accepted_at = pg_temp.at(-9), sent_at = NULL WHERE id = :missing;
SELECT is(pg_temp.silence(:u, 10.2), 'nothing', 'one accepted nine minutes before has none');
UPDATE whatsapp_messages SET accepted_at = pg_temp.at(-11) WHERE id = :missing;
SELECT is(pg_temp.silence(:u, 10.2), 'proof', 'more than a grace before: Meta may have lost that, it does not count for ever');
UPDATE whatsapp_messages SET accepted_at = pg_temp.at(6) WHERE id = :missing;
SELECT is(pg_temp.silence(:u, 10.2), 'proof', 'less than half a grace ago: its report is not late yet');
SELECT is(pg_temp.silence(:u, 11.5), 'nothing', 'until it is');
UPDATE whatsapp_messages SET accepted_at = pg_temp.at(2), status_reason = 'held_for_quality_assessment' WHERE id = :missing;
SELECT is(pg_temp.silence(:u, 10.2), 'proof', 'what Meta holds back has no report for another reason');
UPDATE whatsapp_messages SET status_reason = NULL, phone_number_id = '2' WHERE id = :missing;
SELECT is(pg_temp.silence(:u, 10.2), 'proof', 'that of another number does not count');

/* ---- time in which nothing can have been heard ---- */

UPDATE whatsapp_messages SET sent_at = accepted_at WHERE id = :missing;
SELECT is(pg_temp.silence(:u, 10.2, hearing => 2), 'wait until 12:00', 'the server was down until 12:02: the grace begins then');
SELECT is(pg_temp.silence(:u, 12, hearing => 2), 'proof', 'with the same rules');
SELECT is(pg_temp.silence(:u, 14, hearing => 4), 'nothing', 'a message that was accepted before does not show that we hear again');
SELECT is(pg_temp.silence(:u, 10.2, hearing => 10), 'wait until 20:00', 'down for as long as the grace');
SELECT is(pg_temp.silence(:u, 10.2, hearing => 10.1), 'nothing', 'for longer: Meta''s next try may be a long time away');
SELECT is(pg_temp.silence(:u, 60, hearing => 10.1), 'nothing', 'and waiting does not help');
SELECT is((SELECT s.is_proof FROM wa_internal_judge_silence(:u, NULL, NULL, '10 min', now(), now()) AS s), false,
    'a message of which no request is known');

SELECT is(wa_internal_hearing_since(pg_temp.at(0)), pg_temp.at(0), 'without any webhook the server''s own word counts');
INSERT INTO whatsapp_webhook_traffic (phone_number_id, last_webhook_at, last_late_at)
    VALUES ('1', pg_temp.at(5), NULL), ('2', pg_temp.at(5), pg_temp.at(4)), ('', pg_temp.at(5), pg_temp.at(3));
SELECT is(wa_internal_hearing_since(pg_temp.at(0)), pg_temp.at(4), 'a late report, of any number, is later');
SELECT is(wa_internal_hearing_since(pg_temp.at(9)), pg_temp.at(9), 'or earlier');

/* ---- which messages it looks at ---- */

CALL pg_temp.begin_case();
INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, message_type, payload, status, created_at, accepted_at, sent_at)
    SELECT 'one', '1', '+34600000001', 'text', '{}', 'sent', pg_temp.at(-100), pg_temp.at(-5 + i / 100.0), pg_temp.at(-5 + i / 100.0)
    FROM generate_series(1, 1000) AS i;
UPDATE whatsapp_messages SET status = 'uncertain', accepted_at = NULL, sent_at = NULL
    WHERE id = (SELECT id FROM whatsapp_messages WHERE accepted_at >= pg_temp.at(0.15) ORDER BY id LIMIT 1) RETURNING id AS u \gset
SELECT is(pg_temp.silence(:u, 10.2), 'proof', 'one of many that were written in one transaction: those next to it');
UPDATE whatsapp_messages SET status = 'accepted', sent_at = NULL WHERE id = :u + 7;
SELECT is(pg_temp.silence(:u, 10.2), 'nothing', 'of which one has no report');
CALL pg_temp.begin_case();
SELECT pg_temp.message(NULL, false) AS u \gset
INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, message_type, payload, status, created_at, accepted_at, sent_at)
    SELECT 'two', '2', '+34600000001', 'text', '{}', 'sent', pg_temp.at(i / 100.0), pg_temp.at(i / 100.0), pg_temp.at(i / 100.0)
    FROM generate_series(1, 500) AS i;
SELECT pg_temp.message(4, true) \g /dev/null
SELECT is(pg_temp.silence(:u, 10.2), 'proof', 'between many of other tenants: by its time');
SELECT pg_temp.message(-4, false, created => -4) \g /dev/null
SELECT is(pg_temp.silence(:u, 10.2), 'nothing', 'before it, too');

SELECT * FROM finish();
ROLLBACK;
