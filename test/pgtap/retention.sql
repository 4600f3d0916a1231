/*
 * What is left of a message when retention has removed it: nothing that names it,
 * its recipient, or a wamid, which has the recipient's number in it.
 */
\ir ../lib/begin.sql
\ir ../lib/webhook.sql
\ir ../lib/traces.sql
SELECT plan(10);
\set t 1764000000

/* A wamid as Meta makes them: base64 of, among other things, the number. */
\set phone 34600123457
/* That a status calls the recipient otherwise is a matter of persons.sql. */
SELECT format('{"recipient_id": "%s"}', :'phone')::jsonb AS to_recipient \gset
SELECT 'wamid.' || encode(convert_to(:'phone' || ' first', 'UTF8'), 'base64') AS first,
    'wamid.' || encode(convert_to(:'phone' || ' second', 'UTF8'), 'base64') AS second,
    'wamid.' || encode(convert_to(:'phone' || ' third', 'UTF8'), 'base64') AS third,
    left(encode(convert_to(:'phone', 'UTF8'), 'base64'), 14) AS hidden \gset

/* Sent twice, after an attempt that was refused; with all that can follow. */
SELECT pg_temp.new_message('accepted') AS m \gset
UPDATE whatsapp_messages SET recipient_phone = '+' || :'phone', whatsapp_message_id = :'first', attempts = 2 WHERE id = :m;
UPDATE whatsapp_wamids SET whatsapp_message_id = :'first' WHERE message_id = :m;
INSERT INTO whatsapp_attempts (message_id, attempt, outcome, error_message) VALUES (:m, 1, 'retry', 'not now, +' || :'phone');
SELECT pg_temp.post_statuses(pg_temp.status(:'second', 'delivered', :t + 5, pg_temp.data(:m, 2), :'to_recipient')) \g /dev/null
SELECT pg_temp.post_statuses(pg_temp.status(:'first', 'delivered', :t + 6, pg_temp.data(:m, 1), :'to_recipient')) \g /dev/null
SELECT pg_temp.post_statuses(pg_temp.status(:'third', 'sent', :t + 7, NULL, :'to_recipient')) \g /dev/null
INSERT INTO whatsapp_wamids (whatsapp_message_id, message_id) VALUES (:'third', :m);
INSERT INTO whatsapp_parked_events (fingerprint, kind, reason, message_id, event) VALUES ('\x01', 'status', 'message_queued_again', :m, jsonb_build_object('id', :'first'));
SELECT pg_temp.new_message('accepted') AS other \gset

SELECT is(pg_temp.tables_with(:'phone', :'hidden'),
    'whatsapp_alerts whatsapp_attempts whatsapp_messages whatsapp_parked_events whatsapp_wamids',
    'while the message is kept, its number is in these tables');
SELECT is((SELECT count(*) FROM whatsapp_wamids WHERE message_id = :m), 3::bigint, 'with three wamids');

/* What is in the queue stays. */
SELECT pg_temp.new_message('queued') AS waiting \gset
SELECT wa_internal_forget_messages(ARRAY[:m, :waiting]) \g /dev/null
SELECT is(pg_temp.tables_with(:'phone', :'hidden'), '', 'no table has the number, or a wamid, when it is gone');
SELECT is((SELECT count(*) FROM whatsapp_messages WHERE id = :m), 0::bigint, 'nor the message');
SELECT is((SELECT count(*) FROM whatsapp_messages WHERE id = :waiting), 1::bigint, 'a queued message stays');
SELECT is((SELECT array_agg(whatsapp_message_id) FROM whatsapp_wamids), ARRAY['wamid.' || :other], 'and so do the wamids of others');

/* A status that comes after that is kept for as long as any that nobody knows. */
SELECT pg_temp.post_statuses(pg_temp.status(:'first', 'read', :t + 9, pg_temp.data(:m, 1), :'to_recipient')) \g /dev/null
SELECT is(pg_temp.tables_with(:'phone', :'hidden'), 'whatsapp_parked_events', 'a late status is parked');
UPDATE whatsapp_parked_events SET received_at = now() - interval '10 years';
SELECT wa_internal_retain_inbound(1000) \g /dev/null
SELECT is(pg_temp.tables_with(:'phone', :'hidden'), '', 'and is removed in its turn');

SELECT is((SELECT count(*) FROM whatsapp_messages), 2::bigint, 'two are left');
SELECT wa_internal_forget_messages(ARRAY[:other]) \g /dev/null
SELECT is((SELECT count(*) FROM whatsapp_wamids), 0::bigint, 'the last wamid goes with its message');

SELECT * FROM finish();
ROLLBACK;
