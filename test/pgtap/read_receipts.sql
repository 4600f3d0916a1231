/*
 * Marking messages of customers as read: what is written for the sender, and what it takes; and replies with templates.
 */
\ir ../lib/begin.sql
SELECT plan(42);

SELECT wa_assign_phone('panaderia', '100000000000001'), wa_assign_phone('molino', '100000000000002') \g /dev/null
CREATE FUNCTION pg_temp.came(number text, wamid text, phone text, ago interval DEFAULT '0', type text DEFAULT 'text', payload jsonb DEFAULT '{}') RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO whatsapp_inbound_messages (whatsapp_message_id, tenant_id, phone_number_id, sender_phone, message_type, payload, sent_at)
    SELECT wamid, (SELECT a.tenant_id FROM whatsapp_phone_assignments AS a WHERE a.phone_number_id = number AND a.unassigned_at IS NULL), number, phone, type, payload,
        now() - ago
    RETURNING inbound_id
$$;
SELECT pg_temp.came('100000000000001', 'wamid.A1', '+34600112233', '3 minutes') AS a1,
    pg_temp.came('100000000000001', 'wamid.A2', '+34600112233', '1 minute') AS a2,
    pg_temp.came('100000000000001', 'wamid.B1', '+34600112244') AS b1,
    pg_temp.came('100000000000002', 'wamid.C1', '+34600112233') AS c1,
    pg_temp.came('100000000000001', 'wamid.OLD', '+34600112233', '31 days') AS old,
    pg_temp.came('100000000000001', 'wamid.SYS', '+34600112233', '0', 'system') AS sys,
    pg_temp.came('100000000000009', 'wamid.N', '+34600112255') AS nobody,
    pg_temp.came('100000000000001', 'wamid.G', '+34600112233', '0', 'text', '{"group_id": "G1"}') AS in_group \gset
UPDATE whatsapp_inbound_messages SET thread_owner = 'agent' WHERE whatsapp_message_id = 'wamid.B1';

/* ---- what is written ---- */

SELECT ok(wa_mark_read(:a1), 'a message is marked');
SELECT is((phone_number_id, whatsapp_message_id, typing, attempts)::text, '(100000000000001,wamid.A1,f,0)', 'for the sender there is a row') FROM whatsapp_read_receipts;
SELECT ok(wa_mark_read(:a1), 'marking twice is harmless');
SELECT is(count(*), 1::bigint, 'and one request') FROM whatsapp_read_receipts;
SELECT ok(wa_mark_read(:a1, true), 'unless an answer is being written, too');
SELECT ok(wa_mark_read(:a1, NULL), 'NULL is no wish');
SELECT is(count(*), 2::bigint, 'which is one more') FROM whatsapp_read_receipts;
SELECT ok(wa_mark_read(typing => false, inbound_id => :a2), 'arguments have names');
SELECT throws_ok('SELECT wa_mark_read(987654321)', '42704', 'inbound message 987654321 does not exist', 'an unknown message');
SELECT throws_ok('SELECT wa_mark_read(NULL)', '22004', 'argument "inbound_id" must not be null', 'none');
SELECT is(wa_mark_read(:old), false, 'what is older than 30 days is not');
SELECT is(wa_mark_read(:sys), false, 'nor what nobody wrote');
SELECT is(wa_mark_read(:b1), false, 'nor what another application answers');
SELECT is(count(*), 3::bigint, 'for these nothing is written') FROM whatsapp_read_receipts;

/* ---- what the sender takes ---- */

CREATE FUNCTION pg_temp.next(VARIADIC busy text[] DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', n.phone_number_id, n.whatsapp_message_id, n.typing, n.attempts) FROM wa_internal_next_receipt(busy) AS n
$$;
SELECT is(pg_temp.next('100000000000001'), NULL, 'none of a number that is busy');
SELECT is(pg_temp.next(), '100000000000001 wamid.A2 t 1', 'the latest of a conversation stands for all of it');
SELECT is(pg_temp.next(), NULL, 'until its back-off has passed there is nothing to do');
SELECT ok(wa_internal_next_receipt_time() BETWEEN clock_timestamp() + interval '5 seconds' AND clock_timestamp() + interval '10 seconds', 'which is ten seconds at first');
UPDATE whatsapp_read_receipts SET next_attempt_at = now(), requested_at = now() - interval '26 seconds';
SELECT is(pg_temp.next(), '100000000000001 wamid.A2 f 2', 'a wish of half a minute ago is not worth it any more');
SELECT wa_mark_read(:a2, true) \g /dev/null
SELECT wa_internal_receipt_done((SELECT r.receipt_id FROM whatsapp_read_receipts AS r WHERE r.whatsapp_message_id = 'wamid.A2' AND r.attempts = 2),
    (SELECT max(r.receipt_id) FROM whatsapp_read_receipts AS r WHERE r.attempts = 2)) \g /dev/null
SELECT is(string_agg(concat_ws(' ', whatsapp_message_id, typing), ', '), 'wamid.A2 t', 'what has been sent goes; what was asked for meanwhile stays') FROM whatsapp_read_receipts;
SELECT is(pg_temp.next(), '100000000000001 wamid.A2 t 1', 'and is next');
SELECT ok(wa_mark_read(:in_group) AND wa_mark_read(:c1), 'two more conversations');
SELECT is(pg_temp.next(), '100000000000001 wamid.G f 1', 'a group is one of its own');
SELECT is(pg_temp.next('100000000000001'), '100000000000002 wamid.C1 f 1', 'and so is each number''s');
UPDATE whatsapp_read_receipts SET requested_at = now() - interval '25 hours' WHERE whatsapp_message_id = 'wamid.C1';
SELECT wa_internal_clean_receipts() \g /dev/null
SELECT is((SELECT count(*) FROM whatsapp_read_receipts WHERE whatsapp_message_id = 'wamid.C1'), 0::bigint, 'after a day it is forgotten');
SELECT cmp_ok((SELECT count(*) FROM whatsapp_read_receipts), '>', 0::bigint, 'and what is younger is not');

/* ---- replies with templates ---- */

SELECT wa_enqueue_reply(:a1, 'aviso', '["Ana"]', language => 'es', reference => 'r1') AS reply \gset
SELECT is((m.tenant_id, m.phone_number_id, m.recipient_phone, m.context_message_id, m.template_name, m.reference, m.status)::text,
    '(panaderia,100000000000001,+34600112233,wamid.A1,aviso,r1,queued)', 'a reply goes from the tenant to the sender, and quotes the message')
    FROM whatsapp_messages AS m WHERE m.id = :reply;
SELECT is((SELECT wa_enqueue_reply(:a1, 'aviso', idempotency_key => 'k')), (SELECT wa_enqueue_reply(:a2, 'aviso', idempotency_key => 'k')), 'keys hold here, too');
SELECT throws_ok('SELECT wa_enqueue_reply(987654321, $$aviso$$)', '42704', 'inbound message 987654321 does not exist', 'to nothing there is no reply');
SELECT throws_ok('SELECT wa_enqueue_reply(NULL, $$aviso$$)', '22004', 'argument "inbound_id" must not be null', 'nor to NULL');
SELECT throws_ok(format('SELECT wa_enqueue_reply(%s, NULL)', :a1), '22004', 'argument "template_name" must not be null', 'nor without a template');
SELECT throws_ok(format('SELECT wa_enqueue_reply(%s, $$aviso$$)', :nobody), '55000', format('inbound message %s cannot be replied to', :nobody), 'nor for nobody');
DELETE FROM whatsapp_messages;

/* ---- whose it is ---- */

CREATE ROLE wa_test_molino;
CREATE ROLE wa_test_sender;
CREATE ROLE wa_test_stranger;
SELECT wa_grant('wa_test_molino', 'tenant', 'molino'), wa_grant('wa_test_molino', 'sender'), wa_grant('wa_test_sender', 'sender') \g /dev/null
SET ROLE wa_test_molino;
SELECT ok(wa_mark_read(:c1), 'a tenant''s role marks what is its own');
SELECT throws_ok(format('SELECT wa_mark_read(%s)', :a1), '42704', format('inbound message %s does not exist', :a1), 'and hears of no other');
SELECT throws_ok(format('SELECT wa_mark_read(%s)', :nobody), '42704', format('inbound message %s does not exist', :nobody), 'nor of what is nobody''s');
SELECT throws_ok('SELECT * FROM whatsapp_read_receipts', '42501', NULL, 'and does not see the rows');
SELECT throws_ok(format('SELECT wa_enqueue_reply(%s, $$aviso$$)', :a1), '42704', format('inbound message %s does not exist', :a1), 'nor does it reply for another');
RESET ROLE;
SET ROLE wa_test_sender;
SELECT ok(wa_mark_read(:a1) AND wa_mark_read(:nobody), 'an application''s role marks all');
RESET ROLE;
SET ROLE wa_test_stranger;
SELECT throws_ok(format('SELECT wa_mark_read(%s)', :a1), '42501', NULL, 'others none');
SELECT throws_ok(format('SELECT wa_enqueue_reply(%s, $$aviso$$)', :a1), '42501', NULL, 'nor do they reply');
RESET ROLE;

/* ---- with the transaction ---- */

SAVEPOINT before;
DELETE FROM whatsapp_read_receipts;
SELECT wa_mark_read(:a1) \g /dev/null
ROLLBACK TO before;
SELECT isnt((SELECT count(*) FROM whatsapp_read_receipts), 1::bigint, 'what is rolled back was never asked for');
SELECT is((SELECT count(*) FROM whatsapp_queue), 0::bigint, 'and no message was written for any of it');

SELECT * FROM finish();
ROLLBACK;
