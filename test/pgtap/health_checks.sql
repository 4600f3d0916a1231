/*
 * wa_health(), line by line: what makes each of them a warning or an error, and what makes
 * it well again.  Lines about sending are in health.sql, those that need other processes
 * in test/t/009_health.pl and the files that it names.
 */
\ir ../lib/begin.sql
SELECT no_plan();

/* By the one check that can give the line: capitals in the list of items stand for names. */
CREATE FUNCTION pg_temp.line(what text, OUT state text, OUT detail text, OUT remedy text) LANGUAGE plpgsql AS $$
DECLARE
    topic text;
BEGIN
    FOR topic IN
        SELECT c.topic FROM wa_internal_health_checks() AS c, unnest(c.items) AS i (pattern)
        WHERE what ~ ('^' || regexp_replace(i.pattern, '\m[A-Z]{1,}\M', '.+') || '$')
    LOOP
        EXECUTE format('SELECT state, detail, remedy FROM %I() WHERE item = $1', 'wa_internal_health_' || topic)
            INTO state, detail, remedy USING what;
        RETURN;
    END LOOP;
    RAISE EXCEPTION 'no check has the line "%"', what;
END
$$;
CREATE FUNCTION pg_temp.health(what text) RETURNS text LANGUAGE sql AS $$SELECT state FROM pg_temp.line(what)$$;
CREATE FUNCTION pg_temp.detail(what text) RETURNS text LANGUAGE sql AS $$SELECT detail FROM pg_temp.line(what)$$;

SELECT wa_assign_phone('panaderia', '100000000000001') \g /dev/null

/* ---- failed messages ---- */

/* So many messages written that long ago, the first of which have failed. */
CREATE FUNCTION pg_temp.sent(n integer, failed integer, ago interval, ahead interval DEFAULT '0') RETURNS void LANGUAGE sql AS $$
    INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, message_type, payload, status, error_code,
                                   created_at, scheduled_at, finished_at)
        SELECT 'panaderia', '100000000000001', '+34600000001', 'text', '{"body": "hola"}',
               CASE WHEN i <= failed THEN 'failed' ELSE 'delivered' END, CASE WHEN i <= failed THEN 131026 END,
               now() - ago - ahead, now() - ago, now() - ago
        FROM generate_series(1, n) AS i
$$;

SELECT is(pg_temp.health('failed messages'), 'ok', 'no message, no failure');
SELECT pg_temp.sent(200, 10, interval '3 hours') \g /dev/null
SELECT pg_temp.sent(100, 5, interval '10 minutes') \g /dev/null
SELECT is(pg_temp.health('failed messages'), 'ok', 'as many failures as yesterday are none that is new');
SELECT is(pg_temp.detail('failed messages'),
    'Of 100 messages of the last hour 5 have failed (5.0 %), of 200 of the day before 10 (5.0 %).', 'and they are counted');
SELECT pg_temp.sent(20, 12, interval '5 minutes') \g /dev/null
SELECT is(pg_temp.health('failed messages'), 'warning', 'more than twice the share of the day before');
SELECT is((SELECT remedy FROM pg_temp.line('failed messages')),
    (SELECT format('Most with the error 131026: %s. %s', title, remedy) FROM wa_error_codes WHERE code = 131026), 'with the error of most of them');
SELECT pg_temp.sent(200, 200, interval '4 minutes') \g /dev/null
SELECT is(pg_temp.health('failed messages'), 'error', 'half of all is an error, whatever yesterday was');
DELETE FROM whatsapp_messages;
SELECT pg_temp.sent(50, 50, interval '26 hours') \g /dev/null
SELECT is(pg_temp.health('failed messages'), 'ok', 'what is older is history');
SELECT pg_temp.sent(20, 20, interval '5 minutes', ahead => interval '3 days') \g /dev/null
SELECT is(pg_temp.health('failed messages'), 'error', 'what was scheduled days ago counts when its turn comes');
DELETE FROM whatsapp_messages;
SELECT pg_temp.sent(6000, 3000, interval '5 minutes') \g /dev/null
SELECT matches(pg_temp.detail('failed messages'), '^Of 400 .* in samples\.$', 'of many a sample is taken');
SELECT is(pg_temp.health('failed messages') IN ('warning', 'error'), true, 'which tells the same');
DELETE FROM whatsapp_messages;
SELECT pg_temp.sent(2000, 0, interval '3 days'), pg_temp.sent(100, 0, interval '5 minutes') \g /dev/null
SELECT matches(pg_temp.detail('failed messages'), '^Of 100 messages of the last hour', 'and of few after many, all');
SELECT is((SELECT count(DISTINCT i) FROM unnest(wa_internal_some_ids(10, 20, 100)) AS i), 10::bigint, 'of few, all are looked at');
SELECT is((SELECT count(DISTINCT i) FILTER (WHERE i >= 10 AND i < 1000010) FROM unnest(wa_internal_some_ids(10, 1000010, 100)) AS i),
    100::bigint, 'of many, so many, from everywhere');
SELECT is(wa_internal_some_ids(10, 10, 100), '{}', 'and of none, none');
DELETE FROM whatsapp_messages;

/* ---- failing notifications ---- */

CREATE FUNCTION pg_temp.failure(ago interval) RETURNS void LANGUAGE sql AS $$
    INSERT INTO whatsapp_notification_failures
        (notification_id, notification, relation, table_owner, event, sqlstate, message, failed_at)
    VALUES ('1', 'pedido', 'pedidos', current_user, 'INSERT', '22023', 'the customer said "lechuga"', clock_timestamp() - ago)
$$;
SELECT is(pg_temp.health('failing notifications'), 'ok', 'no notification has failed');
SELECT pg_temp.failure(interval '2 hours') FROM generate_series(1, 48) \g /dev/null
SELECT is(pg_temp.health('failing notifications'), 'ok', 'those of yesterday are told');
SELECT is(pg_temp.detail('failing notifications'), '0 in the last hour, 48 in the day before.', 'with their number');
SELECT pg_temp.failure(interval '2 minutes') \g /dev/null
SELECT is(pg_temp.health('failing notifications'), 'warning', 'one in the last hour is a warning');
SELECT matches(pg_temp.detail('failing notifications'), 'the last of pedido on pedidos \(22023\)\.$', 'which names it');
SELECT pg_temp.failure(interval '2 minutes') FROM generate_series(1, 10) \g /dev/null
SELECT is(pg_temp.health('failing notifications'), 'error', 'many more than in an hour of the day before are an error');
SELECT is((SELECT count(*) FROM wa_health() WHERE detail ~ 'lechuga' OR remedy ~ 'lechuga'), 0::bigint, 'no content of theirs is shown');
DELETE FROM whatsapp_notification_failures;

/* ---- what Meta has never confirmed ---- */

SELECT is(pg_temp.health('app secret at Meta') || pg_temp.health('verify token at Meta'), 'warningwarning', 'no webhook has proved the secrets');
INSERT INTO whatsapp_webhook_traffic (phone_number_id, last_webhook_at) VALUES ('', clock_timestamp());
SELECT is(pg_temp.health('app secret at Meta') || pg_temp.health('verify token at Meta'), 'okok', 'one has');

/* ---- retention ---- */

SELECT is(pg_temp.health('retention'), 'ok', 'nothing is kept for too long');
SELECT pg_temp.sent(3, 0, interval '90 days 23 hours') \g /dev/null
SELECT is(pg_temp.health('retention'), 'ok', 'nor is what retention has a day for');
DELETE FROM whatsapp_messages;
SELECT pg_temp.sent(2, 0, interval '92 days'), pg_temp.sent(3, 0, interval '90 days 23 hours') \g /dev/null
SELECT is(pg_temp.health('retention'), 'warning', 'what should have gone yesterday is');
SELECT matches(pg_temp.detail('retention'), '^2 messages at least', 'and is counted');
SELECT wa_configure_tenant('panaderia', retention => interval '1 year') \g /dev/null
SELECT is(pg_temp.health('retention'), 'ok', 'unless the tenant keeps it for longer');
SELECT wa_configure_tenant('panaderia', retention => interval '30 days') \g /dev/null
SELECT is(pg_temp.detail('retention') ~ '^5 messages', true, 'or for less');
/* Many that are kept for ever, before those that should have gone. */
UPDATE whatsapp_messages SET tenant_id = 'archivo';
INSERT INTO whatsapp_tenants (tenant_id, retention) VALUES ('archivo', interval '0');
SELECT pg_temp.sent(1000, 0, interval '92 days') \g /dev/null
UPDATE whatsapp_messages SET tenant_id = 'archivo' WHERE tenant_id = 'panaderia';
SELECT is(pg_temp.health('retention'), 'ok', 'what is kept for ever is never late');
SELECT pg_temp.sent(1000, 0, interval '91 days 12 hours') \g /dev/null
SELECT is(pg_temp.health('retention'), 'warning', 'and hides nothing that is behind it');
DELETE FROM whatsapp_messages;

/* ---- orphans ---- */

SELECT is(pg_temp.health('orphans'), 'ok', 'everything belongs to something');
INSERT INTO whatsapp_wamids (whatsapp_message_id, message_id) VALUES ('wamid.x', 1);
INSERT INTO whatsapp_attempts (message_id, attempt, outcome) VALUES (1, 1, 'failed');
INSERT INTO whatsapp_media_uses (message_id, medium) VALUES (1, 1);
INSERT INTO whatsapp_pauses (scope, key, reason) VALUES ('number', '999', 'x'), ('tenant', 'nadie', 'x');
INSERT INTO whatsapp_tenant_roles (role, tenant_id) VALUES ('nobody_there', 'nadie');
INSERT INTO whatsapp_leases (sender, pid, generation, message_ids, attempts, claimed_at)
    VALUES (0, 1, 1, '{1}', '{1}', clock_timestamp() - interval '2 hours'),
           (0, 1, 1, '{1}', '{1}', clock_timestamp() - interval '2 minutes');
CREATE TABLE public.pedidos (id integer PRIMARY KEY, tenant text, phone text);
INSERT INTO whatsapp_templates (name, language, category, status, components, source)
    VALUES ('pedido_listo', 'es', 'UTILITY', 'APPROVED', '[]', 'local');
SELECT wa_create_notification('public.pedidos', 'pedido_listo', 'tenant', 'phone', name => 'pedido', language => 'es') \g /dev/null
DROP TABLE public.pedidos;
SELECT is(pg_temp.health('orphans'), 'warning', 'what has lost its message, number, tenant or table is an orphan');
SELECT is(pg_temp.detail('orphans'), concat_ws('; ', '1 leases of more than an hour whose messages have left the queue', '1 notifications without their triggers',
    '2 pauses of numbers or tenants that do not exist', '1 roles bound to tenants that do not exist', '1 rows of whatsapp_attempts without their messages',
    '1 rows of whatsapp_media_uses without their messages', '1 rows of whatsapp_wamids without their messages') || '.', 'of each kind they are counted');
SELECT wa_enqueue_payload('panaderia', '+34600000001', 'text', '{"body": "hola"}') AS lost \gset
SELECT is(pg_temp.detail('orphans') ~ 'to be sent', false, 'a message that waits is none');
DELETE FROM whatsapp_queue WHERE message_id = :lost;
SELECT is(pg_temp.health('orphans'), 'error', 'one that has lost its place in the queue is, and would never be sent');
SELECT matches(pg_temp.detail('orphans'), '^1 messages that are to be sent, without a row of whatsapp_queue; ', 'it comes first');
/* What the remedy says. */
UPDATE whatsapp_messages SET status = 'failed' WHERE id = :lost;
SELECT wa_retry_message(:lost) \g /dev/null
SELECT is(pg_temp.detail('orphans') ~ 'to be sent', false, 'and what the remedy says puts it back');
SELECT is((SELECT count(*) FROM whatsapp_queue WHERE message_id = :lost), 1::bigint, 'into the queue');
/* What the operating guide says. */
DELETE FROM whatsapp_wamids AS o WHERE NOT EXISTS (SELECT FROM whatsapp_messages AS m WHERE m.id = o.message_id);
DELETE FROM whatsapp_attempts; DELETE FROM whatsapp_media_uses; DELETE FROM whatsapp_pauses; DELETE FROM whatsapp_tenant_roles;
DELETE FROM whatsapp_leases WHERE claimed_at < clock_timestamp() - interval '1 hour';
DELETE FROM whatsapp_notifications WHERE relation ~ 'pedidos';
SELECT is(pg_temp.detail('orphans'), 'None.', 'all can be removed');

/* ---- publications ---- */

SELECT is((SELECT count(*) FROM wa_health() WHERE item LIKE 'publication %'), 0::bigint, 'nothing is published');
SET LOCAL client_min_messages = error;
CREATE PUBLICATION everything FOR ALL TABLES;
SELECT is(pg_temp.health('publication everything'), 'ok', 'all tables may be');
SELECT matches(pg_temp.detail('publication everything'), 'whoever subscribes reads', 'it is told what that means');
CREATE TABLE public.other (i integer);
CREATE PUBLICATION others FOR TABLE public.other;
SELECT is(pg_temp.health('publication others'), NULL, 'other tables are nothing to us');
CREATE FUNCTION pg_temp.cannot_be_changed(what text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    RETURN NEXT throws_like('UPDATE whatsapp_webhook_traffic SET last_inbound_at = now()', '%cannot update table%', what || ': the table cannot be changed');
    RETURN NEXT is(pg_temp.health('publication everything'), 'error', '... which is an error');
    RETURN NEXT matches(pg_temp.detail('publication everything'), 'whatsapp_webhook_traffic', '... that names it');
END
$$;
ALTER TABLE whatsapp_webhook_traffic REPLICA IDENTITY NOTHING;
SELECT * FROM pg_temp.cannot_be_changed('no replica identity');
ALTER TABLE whatsapp_webhook_traffic REPLICA IDENTITY FULL;
SELECT is(pg_temp.health('publication everything'), 'ok', 'the whole row is an identity');
ALTER TABLE whatsapp_webhook_traffic REPLICA IDENTITY DEFAULT;
DROP PUBLICATION everything;
CREATE PUBLICATION everything FOR TABLE whatsapp_webhook_traffic (last_webhook_at);
SELECT * FROM pg_temp.cannot_be_changed('a column list without the key');
DROP PUBLICATION everything;
CREATE PUBLICATION everything FOR TABLE whatsapp_webhook_traffic WHERE (last_webhook_at IS NOT NULL);
SELECT * FROM pg_temp.cannot_be_changed('a row filter on another column');
ALTER PUBLICATION everything SET (publish = 'insert');
SELECT lives_ok('UPDATE whatsapp_webhook_traffic SET last_inbound_at = now()', 'inserts alone can be published in any way');
SELECT is(pg_temp.health('publication everything'), 'ok', 'and are');
DROP PUBLICATION everything;
CREATE PUBLICATION everything FOR TABLE whatsapp_webhook_traffic (phone_number_id, last_webhook_at) WHERE (phone_number_id <> '');
SELECT lives_ok('UPDATE whatsapp_webhook_traffic SET last_inbound_at = now()', 'a column list with the key and a filter on it');
SELECT is(pg_temp.health('publication everything'), 'ok', 'are fine');
DROP PUBLICATION everything;

/* ---- the disk ---- */

SELECT is((SELECT array_agg(DISTINCT state) FROM wa_health() WHERE item = 'disk space'),
    (SELECT array_agg(wa_internal_judge_room(d.size, d.free)) FROM wa_internal_disk_space('whatsapp_messages'::regclass) AS d WHERE d.place = 'data'),
    'the line judges what is free on the disk of the tables');
SELECT is(wa_internal_judge_room(1000, 100) || wa_internal_judge_room(1000, 99) || wa_internal_judge_room(1000, 50) || wa_internal_judge_room(1000, 49),
    'okwarningwarningerror', 'less than a tenth is little, less than a twentieth too little');
SELECT is((SELECT count(*) FROM wa_internal_disk_space('whatsapp_messages'::regclass) AS d WHERE d.size > 0 AND d.free >= 0 AND d.free <= d.size),
    (SELECT count(*) FROM wa_internal_disk_space('whatsapp_messages'::regclass)), 'the figures are possible');
SELECT is(pg_temp.health('disk growth'), 'ok', 'growth is not known at first');
SELECT matches(pg_temp.detail('disk growth'), 'is known after twelve hours', 'and that is said');
SELECT wa_internal_note_size(), wa_internal_note_size() \g /dev/null
SELECT results_eq('SELECT bytes BETWEEN wa_internal_size() / 2 AND wa_internal_size() FROM whatsapp_sizes', 'VALUES (true)', 'the size is noted, once an hour');
SELECT is(wa_internal_size() >= pg_total_relation_size('whatsapp_messages') + pg_total_relation_size('whatsapp_queue'), true, 'that of all tables');
DELETE FROM whatsapp_sizes;
INSERT INTO whatsapp_sizes SELECT clock_timestamp() - interval '1 day', wa_internal_size() - 1000;
SELECT is(pg_temp.health('disk growth'), 'ok', 'a little growth is none');
SELECT matches(pg_temp.detail('disk growth'), 'They grow by .* a day since', 'but is told');
UPDATE whatsapp_sizes SET bytes = wa_internal_size() - (SELECT free / 5 FROM wa_internal_disk_space('whatsapp_messages'::regclass) WHERE place = 'data');
SELECT is(pg_temp.health('disk growth'), 'warning', 'a disk that is full in five days');
UPDATE whatsapp_sizes SET bytes = wa_internal_size() - (SELECT free * 2 FROM wa_internal_disk_space('whatsapp_messages'::regclass) WHERE place = 'data');
SELECT is(pg_temp.health('disk growth'), 'error', 'and one that is full today');
UPDATE whatsapp_sizes SET bytes = wa_internal_size() * 2;
SELECT is(pg_temp.health('disk growth'), 'ok', 'tables may shrink');
INSERT INTO whatsapp_sizes VALUES (clock_timestamp() - interval '32 days', 1);
SELECT wa_internal_note_size() \g /dev/null
SELECT is((SELECT count(*) FROM whatsapp_sizes WHERE taken_at < clock_timestamp() - interval '31 days'), 0::bigint, 'what is old is forgotten');

/* ---- time zones ---- */

SELECT is(pg_temp.health('time zones'), 'ok', 'all time zones are known');
SELECT wa_configure_tenant('meson', is_new => true), wa_configure_tenant('fonda', is_new => true) \g /dev/null
UPDATE whatsapp_tenants SET time_zone = 'Europe/Gone' WHERE tenant_id = 'meson';
SELECT is(pg_temp.health('time zones'), 'error', 'one that the system has lost is an error');
SELECT matches(pg_temp.detail('time zones'), '^"Europe/Gone", of tenant "meson", is not known to this server\.', 'with its tenant');
SELECT is((SELECT state FROM wa_diagnose('meson') WHERE item = 'time zone'), 'error', 'who is told, too');
UPDATE whatsapp_tenants SET time_zone = 'Europe/Gone' WHERE tenant_id = 'fonda';
SELECT matches(pg_temp.detail('time zones'), 'of 2 tenants, "fonda" among them', 'or several');
SELECT wa_configure_tenant('meson', reset => '{time_zone}'), wa_configure_tenant('fonda', time_zone => 'UTC') \g /dev/null
SELECT is(pg_temp.health('time zones'), 'ok', 'until they have others');
SELECT is((SELECT count(*) FROM wa_diagnose('meson') WHERE item = 'time zone'), 0::bigint, 'who are not told any more');
ALTER TABLE whatsapp_usage_closed DISABLE TRIGGER whatsapp_usage_closed_time_zone;
UPDATE whatsapp_usage_closed SET time_zone = 'Europe/Gone';
SELECT matches(pg_temp.detail('time zones'), 'of whatsapp_usage_closed', 'the account''s may be lost as well');
UPDATE whatsapp_usage_closed SET time_zone = 'UTC';
ALTER TABLE whatsapp_usage_closed ENABLE TRIGGER whatsapp_usage_closed_time_zone;

/* ---- what is well by itself ---- */

SELECT is(pg_temp.health('version'), 'ok', 'library and scripts fit');
SELECT is(pg_temp.detail('version'), format('The library is of version %1$s, the scripts of this database are of version %1$s.',
    wa_internal_library_version()), 'both versions are told');
SELECT is(pg_temp.health('clock'), 'ok', 'no clock to compare with');
SELECT is(pg_temp.health('oldest snapshot'), 'ok', 'no old snapshot');
SELECT is(pg_temp.health('replication slots'), 'ok', 'no slot');

/* ---- the lines ---- */

CREATE FUNCTION pg_temp.undeclared() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT h.topic || ': ' || h.item FROM wa_internal_health() AS h
    WHERE NOT EXISTS (
        SELECT FROM wa_internal_health_checks() AS c, unnest(c.items) AS i (pattern)
        WHERE c.topic = h.topic AND h.item ~ ('^' || regexp_replace(i.pattern, '\m[A-Z]{1,}\M', '.+') || '$'))
$$;
SELECT is_empty('SELECT * FROM pg_temp.undeclared()', 'every line is in the list of lines, under its check');
SELECT is_empty($$SELECT topic FROM wa_internal_health_checks() WHERE to_regprocedure('wa_internal_health_' || topic || '()') IS NULL
    AND topic <> 'snapshots'$$, 'every check is a function');
SELECT is_empty($$SELECT p.proname FROM pg_proc AS p WHERE p.proname ~ '^wa_internal_health_' AND NOT EXISTS (
    SELECT FROM wa_internal_health_checks() AS c WHERE p.proname = 'wa_internal_health_' || c.topic)
    AND p.proname NOT IN ('wa_internal_health_token', 'wa_internal_health_checks')$$, 'and every function is called');
SELECT is_empty('SELECT item FROM wa_health() GROUP BY item HAVING count(*) > 1', 'each item is one row');
SELECT is_empty($$SELECT item FROM wa_health() WHERE state NOT IN ('ok', 'warning', 'error') OR detail IS NULL OR state <> 'ok' AND remedy IS NULL$$,
    'with a state, what was found and, if it is not well, what to do');
SELECT is_empty($$SELECT item FROM wa_health() WHERE state = 'ok' AND remedy IS NOT NULL AND item NOT LIKE 'alert %'$$, 'what is well has no remedy');

/* ---- a check that cannot be made ---- */

SELECT count(*) AS lines FROM wa_health() \gset
ALTER TABLE whatsapp_notification_failures RENAME COLUMN failed_at TO failed;
SELECT is((SELECT state FROM wa_health() WHERE item = 'check notifications'), 'warning', 'a check that fails is a line');
SELECT matches((SELECT detail FROM wa_health() WHERE item = 'check notifications'), '^It could not be made: column .* does not exist \(42703\)\.$', 'which says why');
SELECT cmp_ok((SELECT count(*) FROM wa_health()), '>=', :lines::bigint - 2, 'the others are made');
SELECT is((SELECT item FROM wa_health() WITH ORDINALITY ORDER BY ordinality DESC LIMIT 1) IN ('disk growth'), true, 'to the last');
ALTER TABLE whatsapp_notification_failures RENAME COLUMN failed TO failed_at;

/* ---- whoever watches ---- */

CREATE ROLE watches;
SELECT wa_grant('watches', 'monitor') \g /dev/null
SET LOCAL ROLE watches;
SELECT is((SELECT count(*) FROM wa_health() WHERE item LIKE 'check %'), 0::bigint, 'a monitor may ask for all of it');
SELECT throws_ok('SELECT * FROM wa_internal_snapshots()', '42501', NULL, 'though not for what it is made of');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;
