/*
 * Numbers and tenants: who has which, and what happens to messages that wait.
 */
\ir ../lib/begin.sql
SELECT plan(57);

/* What waits: message ids as the test names them. */
CREATE TEMP TABLE note (name text PRIMARY KEY, id bigint);
CREATE FUNCTION pg_temp.write(name text, tenant text, due timestamptz DEFAULT now()) RETURNS void LANGUAGE sql AS $$
    INSERT INTO note SELECT name, wa_enqueue_payload(tenant, '+34600000001', 'text', '{"body": "hola"}', scheduled_at => due);
$$;
CREATE FUNCTION pg_temp.waits(what text) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', q.state, q.hold_reason, q.phone_number_id)
    FROM note JOIN whatsapp_queue q ON q.message_id = note.id WHERE note.name = what;
$$;
CREATE FUNCTION pg_temp.lease(what text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO whatsapp_leases (sender, pid, generation, message_ids, attempts)
    SELECT 0, 1, 1, ARRAY[q.message_id], ARRAY[q.attempts + 1]::smallint[]
    FROM note JOIN whatsapp_queue q ON q.message_id = note.id WHERE note.name = what;
$$;

/* ---- giving a number to a tenant ---- */

SELECT results_eq(
    $$SELECT tenant_id, phone_number_id, display_phone_number FROM wa_assign_phone('panaderia', '100000000000001', '+34 600 00 00 01')$$,
    $$VALUES ('panaderia', '100000000000001', '+34 600 00 00 01')$$,
    'assigning returns tenant and number');
SELECT ok(EXISTS (SELECT FROM whatsapp_tenants WHERE tenant_id = 'panaderia'), 'a new tenant is created');
SELECT is(source, 'manual', 'a new number is entered by hand')
    FROM whatsapp_phone_numbers WHERE phone_number_id = '100000000000001';
SELECT is((SELECT count(*) FROM whatsapp_phone_assignments), 1::bigint, 'there is one assignment');

SELECT lives_ok($$SELECT wa_assign_phone('panaderia', '100000000000001')$$, 'the same pair again is accepted');
SELECT is((SELECT count(*) FROM whatsapp_phone_assignments), 1::bigint, 'and changes nothing');
SELECT is((SELECT display_phone_number FROM wa_assign_phone('panaderia', '100000000000001')),
    '+34 600 00 00 01', 'not even the number as people write it');
SELECT is((SELECT display_phone_number FROM wa_assign_phone('panaderia', '100000000000001', '+34 600 000 001')),
    '+34 600 000 001', 'unless it is given');

SELECT throws_ok($$SELECT wa_assign_phone('horno', '100000000000001')$$, '23505',
    'phone number "100000000000001" is already assigned', 'a number has one tenant');
SELECT throws_ok($$SELECT wa_assign_phone('panaderia', '100000000000002')$$, '23505',
    'tenant "panaderia" already has a phone number', 'a tenant has one number');
SELECT ok(NOT EXISTS (SELECT FROM whatsapp_tenants WHERE tenant_id = 'horno'), 'a refused assignment leaves nothing behind');

DO $$
DECLARE
    detail text;
    hint text;
    violated text;
BEGIN
    PERFORM wa_assign_phone('horno', '100000000000001');
EXCEPTION WHEN unique_violation THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, violated = CONSTRAINT_NAME;
    CREATE TEMP TABLE refusal AS SELECT detail, hint, violated;
END
$$;
SELECT is(detail, 'It is assigned to tenant "panaderia".', 'the error names the holder') FROM refusal;
SELECT is(hint, 'Release it first: SELECT wa_unassign_phone(''panaderia'');', 'and how to release it') FROM refusal;
SELECT is(violated, 'whatsapp_phone_assignments_number_key', 'and the constraint that enforces it') FROM refusal;

SELECT throws_ok($$INSERT INTO whatsapp_phone_assignments (tenant_id, phone_number_id) SELECT 'panaderia', '100000000000001'$$,
    '23505', NULL, 'the tables themselves refuse a second assignment');

/* ---- bad input ---- */

SELECT throws_ok($$SELECT wa_assign_phone(NULL, '100000000000001')$$, '22004', 'tenant_id must not be null', 'a tenant is needed');
SELECT throws_ok($$SELECT wa_assign_phone('', '100000000000001')$$, '22023', 'tenant_id must have 1 to 255 characters', 'with a name');
SELECT throws_ok($$SELECT wa_assign_phone('x', NULL)$$, '22004', 'phone_number_id must not be null', 'a number is needed');
SELECT throws_ok($$SELECT wa_assign_phone('x', '+34600000001')$$, '22023', 'invalid phone_number_id "+34600000001"',
    'a telephone number is not an identifier');
SELECT throws_ok($$SELECT wa_assign_phone('x', '100000000000009', 'call me')$$, '22023',
    'invalid display_phone_number "call me"', 'and words are not a telephone number');

/* ---- numbers that cannot send ---- */

INSERT INTO whatsapp_phone_numbers (phone_number_id, status, missing_since) VALUES
    ('100000000000010', 'BANNED', NULL), ('100000000000011', 'CONNECTED', now());
SELECT throws_ok($$SELECT wa_assign_phone('horno', '100000000000010')$$, '55000', 'phone number "100000000000010" cannot send',
    'a banned number is not given away');
SELECT throws_ok($$SELECT wa_assign_phone('horno', '100000000000011')$$, '55000', 'phone number "100000000000011" cannot send',
    'nor one that has vanished from the account');

/* ---- tenant keys of other types ---- */

SELECT is((SELECT tenant_id FROM wa_assign_phone(42, '100000000000042')), 42, 'an integer key comes back as it was given');
SELECT ok(EXISTS (SELECT FROM whatsapp_tenants WHERE tenant_id = '42'), 'and is kept as text');
SELECT is((SELECT tenant_id FROM wa_assign_phone('6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid, '100000000000043')),
    '6ba7b810-9dad-11d1-80b4-00c04fd430c8'::uuid, 'so does a uuid');
SELECT ok(wa_unassign_phone(42::bigint), 'bigint 42 is the same tenant as integer 42');

/* ---- releasing ---- */

SELECT ok(wa_unassign_phone('panaderia'), 'releasing returns true');
SELECT ok(NOT wa_unassign_phone('panaderia'), 'and false if there is nothing to release');
SELECT throws_ok($$SELECT wa_unassign_phone('nadie')$$, '42704', 'tenant "nadie" does not exist', 'an unknown tenant is an error');
SELECT ok(unassigned_at >= assigned_at, 'the period of the assignment stays on record')
    FROM whatsapp_phone_assignments WHERE tenant_id = 'panaderia';
SELECT lives_ok($$SELECT wa_assign_phone('horno', '100000000000001')$$, 'the number is free for another tenant');
SELECT ok(NOT EXISTS (
        SELECT FROM whatsapp_phone_assignments a JOIN whatsapp_phone_assignments b
            ON b.phone_number_id = a.phone_number_id AND b.assignment_id > a.assignment_id
        WHERE b.assigned_at < a.unassigned_at),
    'periods of the same number do not overlap');

/* ---- messages that wait ---- */

SELECT pg_temp.write('now', 'panaderia');
SELECT pg_temp.write('later', 'panaderia', now() + interval '1 day');
SELECT is(pg_temp.waits('now'), 'h no_number', 'without a number messages are held');

SELECT wa_assign_phone('panaderia', '100000000000002') \g /dev/null
SELECT is(pg_temp.waits('now'), 'r 100000000000002', 'with a number they are ready');
SELECT is(pg_temp.waits('later'), 'd scheduled 100000000000002', 'unless they are not due yet');
SELECT is(phone_number_id, '100000000000002', 'the message knows its number, too')
    FROM whatsapp_messages JOIN note USING (id) WHERE name = 'now';

SELECT pg_temp.write('on the wire', 'panaderia');
SELECT pg_temp.lease('on the wire');
SELECT pg_temp.write('in doubt', 'panaderia');
UPDATE whatsapp_queue SET state = 'u', hold_reason = 'uncertain', attempts = 1
    WHERE message_id = (SELECT id FROM note WHERE name = 'in doubt');

SELECT wa_unassign_phone('panaderia') \g /dev/null
SELECT is(pg_temp.waits('now'), 'h no_number', 'when the number is taken away they wait again');
SELECT is(pg_temp.waits('later'), 'h no_number', 'the scheduled ones, too');
SELECT is(pg_temp.waits('on the wire'), 'r 100000000000002', 'what is on the wire is left to the sender');
SELECT is(pg_temp.waits('in doubt'), 'u uncertain 100000000000002', 'and what is uncertain keeps the number it left from');

SELECT wa_assign_phone('otra', '100000000000002') \g /dev/null
SELECT is(pg_temp.waits('now'), 'h no_number', 'the number''s next tenant does not get the messages of the previous one');
SELECT wa_assign_phone('panaderia', '100000000000003') \g /dev/null
SELECT is(pg_temp.waits('now'), 'r 100000000000003', 'they leave from the next number of their own tenant');

/* ---- the best free number ---- */

UPDATE whatsapp_phone_numbers SET status = 'PENDING' WHERE status IS NULL;
SELECT throws_ok($$SELECT wa_assign_phone('alta')$$, '53400', 'no free phone number for tenant "alta"',
    'numbers that cannot send are not given away');
INSERT INTO whatsapp_phone_numbers (phone_number_id, status, quality_rating, created_at) VALUES
    ('200000000000001', 'CONNECTED', 'YELLOW', '2026-01-01'),
    ('200000000000002', 'CONNECTED', 'GREEN', '2026-01-03'),
    ('200000000000003', 'CONNECTED', 'GREEN', '2026-01-02'),
    ('200000000000004', 'PENDING', 'GREEN', '2026-01-01');
SELECT is(ARRAY(SELECT phone_number_id FROM wa_free_numbers), '{200000000000003,200000000000002,200000000000001}',
    'free numbers come by quality and age; pending ones are not among them');
SELECT is((SELECT phone_number_id FROM wa_assign_phone('alta')), '200000000000003', 'the best one is given');
SELECT is((SELECT phone_number_id FROM wa_assign_phone('alta')), '200000000000003', 'and only one');
SELECT wa_pause('number', '200000000000002') \g /dev/null
SELECT is((SELECT phone_number_id FROM wa_assign_phone('baja')), '200000000000001', 'a paused number is passed over');
SELECT wa_resume('number', '200000000000002') \g /dev/null

SELECT wa_configure_tenant('una', is_new => true) \g /dev/null
SELECT wa_configure_tenant('dos', is_new => true) \g /dev/null
SELECT wa_configure_tenant('tres', enabled => false, is_new => true) \g /dev/null
UPDATE whatsapp_tenants SET created_at = '2026-01-01' WHERE tenant_id = 'una';
SELECT bag_eq($$SELECT tenant_id, phone_number_id FROM wa_assign_all() WHERE tenant_id IN ('una', 'dos', 'tres')$$,
    $$VALUES ('una', '200000000000002'), ('dos', NULL)$$,
    'all enabled tenants get a number, the oldest first, as far as there are any');

/* ---- the default number ---- */

SELECT is((SELECT string_agg(tenant_id, ',') FROM wa_tenant_status WHERE status = 'no_number' AND tenant_id = 'dos'), 'dos',
    'without a default number a tenant without a number cannot send');

/* ---- what views show ---- */

SELECT bag_eq($$SELECT phone_number_id, whatsapp_enabled, status FROM wa_tenant_status WHERE tenant_id IN ('alta', 'tres')$$,
    $$VALUES ('200000000000003', true, 'ready'), (NULL, false, 'disabled')$$, 'wa_tenant_status shows tenants with their numbers');
SELECT bag_eq($$SELECT tenant_id, health FROM wa_number_status WHERE phone_number_id IN ('100000000000010', '100000000000011', '200000000000001')$$,
    $$VALUES (NULL, 'blocked'), (NULL, 'missing'), ('baja', 'degraded')$$, 'wa_number_status shows numbers and their health');
SELECT bag_eq($$SELECT state, reason, messages FROM wa_queue_status WHERE phone_number_id = '100000000000003'$$,
    $$VALUES ('deferred', 'scheduled', 1::bigint), ('ready', NULL, 1)$$, 'wa_queue_status counts what waits, by number and reason');

/* ---- at what cost ---- */

INSERT INTO whatsapp_phone_numbers (phone_number_id, display_phone_number, status, synced_at)
    SELECT (300000000000000 + i)::text, '+34 7' || 10000000 + i, 'CONNECTED', now() FROM generate_series(1, 2000) AS i;
INSERT INTO whatsapp_tenants (tenant_id) SELECT 'cliente-' || i FROM generate_series(1, 1990) AS i;
INSERT INTO whatsapp_phone_assignments (tenant_id, phone_number_id, assigned_at, unassigned_at)
    SELECT 'cliente-' || i, (300000000000000 + i)::text, now() - interval '2 hours', now() - interval '1 hour'
    FROM generate_series(1, 1990) AS i;
INSERT INTO whatsapp_phone_assignments (tenant_id, phone_number_id)
    SELECT 'cliente-' || i, (300000000000000 + i)::text FROM generate_series(1, 1990) AS i;
INSERT INTO whatsapp_sync (kind, finished_at, items) VALUES ('phone_numbers', now(), 2000)
    ON CONFLICT (kind) DO UPDATE SET finished_at = EXCLUDED.finished_at, items = EXCLUDED.items;
/* Plans that were made while there was little would read all of it. */
ANALYZE whatsapp_phone_numbers, whatsapp_phone_assignments, whatsapp_tenants, whatsapp_sync;

/* How many rows of these tables the statement reads. */
CREATE FUNCTION pg_temp.reads(statement text, VARIADIC tables text[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    sum_of CONSTANT text := 'SELECT sum(seq_tup_read + COALESCE(idx_tup_fetch, 0))::bigint'
                            ' FROM pg_stat_xact_user_tables WHERE relname = ANY ($1)';
    before bigint;
    after bigint;
BEGIN
    EXECUTE sum_of INTO before USING tables;
    EXECUTE statement;
    EXECUTE sum_of INTO after USING tables;
    RETURN after - before;
END
$$;
CREATE FUNCTION pg_temp.reads_of_assigning(statement text) RETURNS bigint LANGUAGE sql AS $$
    SELECT pg_temp.reads(statement, 'whatsapp_phone_numbers', 'whatsapp_phone_assignments', 'whatsapp_tenants')
$$;
SELECT cmp_ok(pg_temp.reads_of_assigning($$SELECT wa_assign_phone('nueva', '300000000001991')$$), '<', 40::bigint,
    'however many numbers and tenants there are, assigning one reads a few rows');
SELECT wa_unassign_phone('nueva') \g /dev/null
SELECT cmp_ok(pg_temp.reads_of_assigning($$SELECT wa_assign_phone('nueva', '300000000001992')$$), '<', 40::bigint,
    'also if the tenant had another before');
SELECT cmp_ok(pg_temp.reads_of_assigning($$SELECT wa_internal_check_number_id('300000000009999', 'nueva')$$), '<', 10::bigint,
    'also if nobody has heard of the number');
SELECT throws_like($$SELECT wa_assign_phone('otra-nueva', '34710001993')$$, 'invalid phone_number_id%',
    'one that is written as people write it is still found');
SELECT cmp_ok(pg_temp.reads($$SELECT wa_assign_phone('otra-nueva')$$, 'whatsapp_sync'), '<', 20::bigint,
    'the choice of a free number does not ask of each whether Meta lists it');

SELECT * FROM finish();
ROLLBACK;
