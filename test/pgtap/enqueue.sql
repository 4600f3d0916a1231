/*
 * Writing a message: who may receive it, who sends it, when, and only once.
 */
\ir ../lib/begin.sql
SELECT plan(71);

SELECT wa_assign_phone('panaderia', '100000000000001') \g /dev/null
SELECT wa_configure_tenant('sin-numero', is_new => true) \g /dev/null

CREATE FUNCTION pg_temp.message(id bigint) RETURNS whatsapp_messages LANGUAGE sql AS
    'SELECT m FROM whatsapp_messages m WHERE m.id = $1';
CREATE FUNCTION pg_temp.queued(id bigint) RETURNS whatsapp_queue LANGUAGE sql AS
    'SELECT q FROM whatsapp_queue q WHERE q.message_id = $1';
/* A message to this number, as it is stored. */
CREATE FUNCTION pg_temp.stored_recipient(recipient text) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws('/', recipient_phone, recipient_user_id) FROM pg_temp.message(wa_enqueue_message('panaderia', $1, 'aviso'))
$$;

/* ---- the rows ---- */

CREATE TEMP TABLE first AS SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso', '["Ana", 12]',
    reference => 'PO-17', priority => 3, on_uncertain => 'park') AS id;
SELECT is(m.status, 'queued', 'a message is queued') FROM first, pg_temp.message(id) m;
SELECT is((m.tenant_id, m.phone_number_id, m.recipient_phone, m.message_type, m.template_name, m.template_language)::text,
    '(panaderia,100000000000001,+34600112233,template,aviso,es)', 'with all that is known of it') FROM first, pg_temp.message(id) m;
SELECT is((m.reference, m.priority, m.on_uncertain, m.attempts)::text, '(PO-17,3,park,0)', 'and what the caller added') FROM first, pg_temp.message(id) m;
SELECT is(m.payload, '{"name": "aviso", "language": {"code": "es"}, "components": [{"type": "body", "parameters":
    [{"type": "text", "text": "Ana"}, {"type": "text", "text": "12"}]}]}', 'its payload is what Meta expects') FROM first, pg_temp.message(id) m;
SELECT is((m.created_at, m.scheduled_at), (now(), now()), 'it is due now') FROM first, pg_temp.message(id) m;
SELECT is((q.phone_number_id, q.state, q.attempts, q.hold_reason)::text, '(100000000000001,r,0,)', 'it is ready') FROM first, pg_temp.queued(id) q;
SELECT is(q.rank, (extract(epoch FROM now() - timestamptz '2000-01-01 00:00:00+00') * 1000000)::bigint - 3 * 600000000::bigint,
    'its rank is the time, less ten minutes for each point of priority') FROM first, pg_temp.queued(id) q;

SAVEPOINT before;
SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso') \g /dev/null
ROLLBACK TO before;
SELECT is((SELECT count(*) FROM whatsapp_messages), 1::bigint, 'a message that was rolled back is gone');
SELECT is((SELECT count(*) FROM whatsapp_queue), 1::bigint, 'and not in the queue');

/* ---- recipients ---- */

SELECT is(pg_temp.stored_recipient('+34 600 11-22-33'), '+34600112233', 'spaces and hyphens are dropped');
SELECT is(pg_temp.stored_recipient('+34 (600) 112233'), '+34600112233', 'parentheses are dropped');
SELECT is(pg_temp.stored_recipient('+1234567'), '+1234567', 'seven digits are enough');
SELECT is(pg_temp.stored_recipient('+123456789012345'), '+123456789012345', 'fifteen are allowed');
SELECT is(pg_temp.stored_recipient('ES.7001234567890123'), 'ES.7001234567890123', 'a business-scoped user id is a recipient');
SELECT is((m.recipient_phone, m.recipient_user_id)::text, '(,ES.7001234567890123)', 'in a column of its own')
    FROM pg_temp.message(wa_enqueue_message('panaderia', 'ES.7001234567890123', 'aviso')) m;
SELECT throws_ok(format('SELECT wa_enqueue_message(%L, %L, %L)', 'panaderia', bad, 'aviso'), '22023',
        'invalid recipient phone number', 'refused: ' || why)
    FROM (VALUES ('34600112233', 'no plus'), ('600112233', 'no country code'), ('+34600a12233', 'a letter'), ('+123456', 'six digits'),
                 ('+1234567890123456', 'sixteen digits'), ('+0034600112233', 'a leading zero'), ('+', 'nothing but a plus'),
                 ('   ', 'only spaces'), ('++34600112233', 'two pluses'), ('+34600112233;+34600112234', 'two numbers'),
                 (repeat('9', 5000), 'very long'), ('es.7001234567890123', 'a user id in lower case')) AS v (bad, why);

/* ---- arguments ---- */

SELECT throws_ok($$SELECT wa_enqueue_message(NULL::text, '+34600112233', 'aviso')$$, '22004', 'argument "tenant_id" must not be null', 'the tenant is needed');
SELECT throws_ok($$SELECT wa_enqueue_message('panaderia', NULL, 'aviso')$$, '22004', 'argument "recipient_phone" must not be null', 'the recipient is needed');
SELECT throws_ok($$SELECT wa_enqueue_message('panaderia', '+34600112233', NULL)$$, '22004', 'argument "template_name" must not be null', 'the template is needed');
SELECT throws_ok($$SELECT wa_enqueue_message('', '+34600112233', 'aviso')$$, '22023', 'argument "tenant_id" must not be empty', 'an empty tenant is none');
SELECT throws_ok($$SELECT wa_enqueue_message('nadie', '+34600112233', 'aviso')$$, '42704', 'tenant "nadie" does not exist', 'an unknown tenant');
SELECT throws_ok($$SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso', priority => 1001)$$, '22023',
    'priority 1001 is outside the range -1000 to 1000', 'a priority too high');
SELECT throws_ok($$SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso', priority => -1001)$$, '22023',
    'priority -1001 is outside the range -1000 to 1000', 'a priority too low');
SELECT throws_ok($$SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso', on_uncertain => 'hope')$$, '22023',
    'invalid value for argument "on_uncertain": "hope"', 'an unknown policy');
SELECT throws_ok($$SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso', idempotency_key => repeat('k', 513))$$, '22023',
    'argument "idempotency_key" is longer than 512 bytes', 'a key too long');
SELECT throws_ok($$SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso', idempotency_key => '')$$, '22023',
    'argument "idempotency_key" must not be empty', 'an empty key');
SELECT throws_ok($$SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso', reference => repeat('r', 4097))$$, '22023',
    'argument "reference" is longer than 4096 bytes', 'a reference too long');
SELECT lives_ok($$SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)$$,
    'NULL means the default for everything that has one');

/* ---- when ---- */

SELECT is((q.state, q.hold_reason)::text, '(d,scheduled)', 'a message for later is deferred')
    FROM pg_temp.queued(wa_enqueue_message('panaderia', '+34600112233', 'aviso', scheduled_at => now() + interval '1 day')) q;
SELECT is((q.due_at, q.expires_at), (now() + interval '1 day', now() + interval '2 days'), 'until it is due, and with its expiry')
    FROM pg_temp.queued(wa_enqueue_message('panaderia', '+34600112233', 'aviso', scheduled_at => now() + interval '1 day', expires_at => now() + interval '2 days')) q;
SELECT is((q.state, q.due_at)::text, ('r'::"char", now())::text, 'a time in the past is now, and no head start')
    FROM pg_temp.queued(wa_enqueue_message('panaderia', '+34600112233', 'aviso', scheduled_at => now() - interval '1 year')) q;
SELECT is(m.scheduled_at, now() - interval '1 year', 'but kept as it was given')
    FROM pg_temp.message(wa_enqueue_message('panaderia', '+34600112233', 'aviso', scheduled_at => now() - interval '1 year')) m;
SELECT throws_ok($$SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso', expires_at => now())$$, '22023',
    'message would expire before it is due', 'an expiry that is not after the schedule');
SELECT throws_ok($$SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso', scheduled_at => 'infinity')$$, '22023',
    'argument "scheduled_at" must be finite', 'a schedule that never comes');
SELECT throws_ok($$SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso', scheduled_at => '10000-01-01Z')$$, '22023',
    'argument "scheduled_at" lies after the year 9999', 'a schedule to which no quiet hours can be added');
SELECT lives_ok($$SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso', scheduled_at => '9999-12-31 23:59:59.999999Z')$$, 'the last one');
SELECT is(m.expires_at, NULL, 'to expire at infinity is never to expire')
    FROM pg_temp.message(wa_enqueue_message('panaderia', '+34600112233', 'aviso', expires_at => 'infinity')) m;

/* ---- who sends ---- */

SELECT is((q.state, q.hold_reason, q.phone_number_id)::text, '(h,no_number,)', 'without a number a message waits for one')
    FROM pg_temp.queued(wa_enqueue_message('sin-numero', '+34600112233', 'aviso')) q;
SELECT wa_unassign_phone('panaderia') \g /dev/null
SELECT wa_assign_phone('panaderia', '100000000000002') \g /dev/null
SELECT is(q.phone_number_id, '100000000000002', 'the number is the one that the tenant has now')
    FROM pg_temp.queued(wa_enqueue_message('panaderia', '+34600112233', 'aviso')) q;

SELECT wa_configure_tenant('panaderia', enabled => false) \g /dev/null
CREATE TEMP TABLE skipped AS SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso', idempotency_key => 'skip') AS id;
SELECT is((m.status, m.status_reason)::text, '(skipped,tenant_disabled)', 'for a tenant that is switched off a message is skipped') FROM skipped, pg_temp.message(id) m;
SELECT is(m.finished_at, now(), 'which ends it') FROM skipped, pg_temp.message(id) m;
SELECT is((SELECT count(*) FROM whatsapp_queue, skipped WHERE message_id = id), 0::bigint, 'it is not in the queue');
SELECT is(wa_enqueue_message('panaderia', '+34600112233', 'aviso', idempotency_key => 'skip'), id, 'and is found by its key') FROM skipped;
SELECT wa_configure_tenant('panaderia', enabled => true) \g /dev/null

SELECT wa_configure_tenant('panaderia', language => 'ca') \g /dev/null
SELECT is(m.template_language, 'ca', 'the language is the tenant''s') FROM pg_temp.message(wa_enqueue_message('panaderia', '+34600112233', 'aviso')) m;
SELECT is(m.template_language, 'en_US', 'unless the caller chooses one')
    FROM pg_temp.message(wa_enqueue_message('panaderia', '+34600112233', 'aviso', language => 'en_US')) m;

/* ---- only once ---- */

CREATE TEMP TABLE once AS SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso', idempotency_key => 'PO-18') AS id;
CREATE TEMP TABLE counted AS SELECT count(*) AS messages, (SELECT count(*) FROM whatsapp_queue) AS queued FROM whatsapp_messages;
SELECT is(wa_enqueue_message('panaderia', '+34999999999', 'otro', '["x"]', idempotency_key => 'PO-18'), id, 'the same key is the same message') FROM once;
SELECT is(wa_enqueue_payload('panaderia', '+34999999999', 'text', '{"body": "x"}', idempotency_key => 'PO-18'), id, 'whatever function asks') FROM once;
SELECT is((SELECT count(*) FROM whatsapp_messages), messages, 'nothing else was written') FROM counted;
SELECT is((SELECT count(*) FROM whatsapp_queue), queued, 'to either table') FROM counted;
SELECT isnt(wa_enqueue_message('sin-numero', '+34600112233', 'aviso', idempotency_key => 'PO-18'), id, 'another tenant''s key is another') FROM once;
SELECT throws_ok($$SELECT wa_enqueue_message('panaderia', '600112233', 'aviso', idempotency_key => 'PO-18')$$, '22023', NULL,
    'bad arguments are an error also under a known key');

/* ---- at what cost ---- */

/* A plan made while the tables are small would read the whole of them, and be kept. */
ANALYZE whatsapp_messages, whatsapp_tenants, whatsapp_phone_assignments, whatsapp_queue;
CREATE FUNCTION pg_temp.scans() RETURNS bigint LANGUAGE sql AS $$
    SELECT sum(seq_scan)::bigint FROM pg_stat_xact_user_tables
    WHERE relname IN ('whatsapp_messages', 'whatsapp_queue', 'whatsapp_tenants', 'whatsapp_phone_assignments', 'whatsapp_opt_outs')
$$;
CREATE TEMP TABLE scanned AS SELECT pg_temp.scans() AS before;
SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso', idempotency_key => 'k' || i % 20) FROM generate_series(1, 40) AS i \g /dev/null
SELECT is(pg_temp.scans(), before, 'no table is read as a whole, however small') FROM scanned;

/* ---- tenant ids of other types ---- */

SELECT wa_configure_tenant('42', is_new => true) \g /dev/null
SELECT wa_configure_tenant('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', is_new => true) \g /dev/null
SELECT is(m.tenant_id, '42', 'an integer') FROM pg_temp.message(wa_enqueue_message(42, '+34600112233', 'aviso')) m;
SELECT is(m.tenant_id, '42', 'a bigint, with named arguments')
    FROM pg_temp.message(wa_enqueue_message(tenant_id => 42::bigint, recipient_phone => '+34600112233', template_name => 'aviso')) m;
SELECT is(m.tenant_id, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'a uuid')
    FROM pg_temp.message(wa_enqueue_payload('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid, '+34600112233', 'text', '{"body": "x"}')) m;
SELECT is(m.tenant_id, '42', 'varchar, name and the like are text') FROM pg_temp.message(wa_enqueue_message('42'::varchar(10), '+34600112233', 'aviso')) m;

/* ---- whose rights ---- */

CREATE ROLE wa_test_sender;
SELECT throws_ok($$SET LOCAL ROLE wa_test_sender; SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso')$$, '42501', NULL,
    'nobody may write messages unless it was granted');
RESET ROLE;
SELECT wa_grant('wa_test_sender', 'sender') \g /dev/null
CREATE SCHEMA trap AUTHORIZATION wa_test_sender;
CREATE FUNCTION trap.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
CREATE FUNCTION trap.texteq(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
CREATE OPERATOR trap.= (FUNCTION = trap.texteq, LEFTARG = text, RIGHTARG = text);
GRANT USAGE ON SCHEMA trap TO wa_test_sender;
SELECT set_config('search_path', format('trap, pg_catalog, %s', current_setting('search_path')), true) \g /dev/null
SET LOCAL ROLE wa_test_sender;
SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso', idempotency_key => 'trap') AS trapped \gset
RESET search_path;
SELECT cmp_ok(:trapped::bigint, '>', 0::bigint, 'the role needs no right on the tables, and its search_path does not matter');
SELECT throws_ok('SELECT count(*) FROM whatsapp_messages', '42501', NULL, 'which it has not got');
RESET ROLE;
SELECT is((SELECT current_user), (SELECT session_user), 'afterwards everybody is who they were');

SELECT * FROM finish();
ROLLBACK;
