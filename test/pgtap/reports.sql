/*
 * The views for questions of a day: wa_delivery_times, wa_top_tenants, wa_message_status,
 * wa_replies; what they say, who may read them, and that none reads the whole history.
 */
\ir ../lib/begin.sql
SELECT plan(37);

SELECT wa_assign_phone('trigal', '100000000000001') \g /dev/null
SELECT wa_assign_phone('horno', '100000000000002') \g /dev/null

/* A message of today, of n days ago, or scheduled for later than it was written, that took so long. */
CREATE FUNCTION pg_temp.sent(tenant text, took interval, recipient text DEFAULT '+34600000001', days integer DEFAULT 0,
    held interval DEFAULT '0', state text DEFAULT 'delivered', reference text DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, message_type, payload, status, reference,
                                   created_at, scheduled_at, accepted_at, delivered_at)
        SELECT tenant, CASE tenant WHEN 'trigal' THEN '100000000000001' ELSE '100000000000002' END, recipient, 'text',
            '{"body": "secreto"}', state, reference, d.at, d.at + held,
            CASE WHEN state <> 'queued' THEN d.at + held END, d.at + held + took
        FROM (SELECT date_trunc('day', now()) - make_interval(days => days) AS at) AS d
        RETURNING id
$$;

/* ---- does it arrive in time? ---- */

SELECT pg_temp.sent('trigal', '2 s') \g /dev/null
SELECT pg_temp.sent('trigal', '60 s') \g /dev/null
SELECT pg_temp.sent('trigal', '61 s') \g /dev/null
SELECT pg_temp.sent('trigal', NULL, state => 'accepted') \g /dev/null
SELECT pg_temp.sent('trigal', NULL, state => 'failed') \g /dev/null
SELECT pg_temp.sent('trigal', NULL, state => 'queued') \g /dev/null
SELECT pg_temp.sent('horno', '3 s', held => '8 hours') \g /dev/null
SELECT pg_temp.sent('horno', '2 hours', days => 3) \g /dev/null
SELECT pg_temp.sent('horno', '2 s', days => 40) \g /dev/null

CREATE FUNCTION pg_temp.times(tenant text, ago integer DEFAULT 0) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', messages, accepted, delivered, within_a_minute, percent_within_a_minute, median_seconds, p95_seconds, failed)
    FROM wa_delivery_times WHERE tenant_id = tenant AND day = current_date - ago
$$;
SELECT is(pg_temp.times('trigal'), '6 5 3 2 40.0 60.0 60.9 1', 'messages, accepted, delivered, within a minute, in percent, seconds, failed');
SELECT is(pg_temp.times('horno'), '1 1 1 1 100.0 3.0 3.0 0', 'from the time that it was scheduled for');
SELECT is(pg_temp.times('horno', 3), '1 1 1 0 0.0 7200.0 7200.0 0', 'a day for itself');
SELECT is((SELECT count(*) FROM wa_delivery_times WHERE tenant_id = 'horno'), 2::bigint, 'a month of days, and no more');
SELECT pg_temp.sent('trigal', NULL, days => 5, state => 'queued') \g /dev/null
SELECT is(pg_temp.times('trigal', 5), '1 0 0 0 0', 'without anything accepted there is no percentage');
UPDATE whatsapp_messages SET read_at = created_at + interval '5 s', status = 'read' WHERE tenant_id = 'trigal' AND created_at < now() - interval '4 days';
SELECT is(pg_temp.times('trigal', 5), '1 1 1 1 100.0 5.0 5.0 0', 'what was read was delivered, even if no status has said so');
SET LOCAL timezone = 'Asia/Tokyo';
SELECT is((SELECT sum(messages) FROM wa_delivery_times), 9::numeric, 'in any time zone each message is in one day');
RESET timezone;

/* ---- who sends most? ---- */

SELECT is((SELECT array_agg(tenant_id::text) FROM wa_top_tenants), '{trigal,horno}'::text[], 'the first first');
INSERT INTO whatsapp_usage_days (day, tenant_id, phone_number_id, market, category, free, messages)
    SELECT t.today - n, 'horno', '100000000000002', 'Spain', 'utility', false, 30
    FROM (SELECT (now() AT TIME ZONE time_zone)::date AS today FROM whatsapp_usage_closed) AS t, unnest('{0,6,7,29,30}'::integer[]) AS n;
INSERT INTO whatsapp_usage_changes (day, tenant_id, phone_number_id, market, category, free, messages)
    SELECT (now() AT TIME ZONE time_zone)::date, 'forno', '', 'Spain', 'utility', false, 40 FROM whatsapp_usage_closed;
SELECT is((SELECT array_agg(concat_ws(' ', tenant_id, phone_number_id, delivered_last_7_days, delivered_last_30_days, percent_last_30_days))
           FROM wa_top_tenants),
    '{horno 100000000000002 60 120 75.0,forno 40 40 25.0,trigal 100000000000001 0 0}'::text[],
    'by what was delivered, with what is still to be added to the sums, and its share');
DELETE FROM whatsapp_messages;
SELECT wa_enqueue_payload('horno', '+34600000001', 'text', '{"body": "x"}') FROM generate_series(1, 3) \g /dev/null
UPDATE whatsapp_messages SET created_at = now() - interval '2 hours' WHERE id = (SELECT min(id) FROM whatsapp_messages);
SELECT is((SELECT array_agg(concat_ws(' ', messages_last_hour, messages_last_day)) FROM wa_top_tenants WHERE tenant_id IN ('horno', 'forno')),
    '{2 3,0 0}'::text[], 'the last hour and day');

/* ---- what has somebody answered? ---- */

DELETE FROM whatsapp_messages;
SELECT pg_temp.sent('trigal', '2 s', '+34600000007', 2, reference => 'PO-1') AS one \gset
SELECT pg_temp.sent('trigal', '2 s', '+34600000007', 1, reference => 'PO-2') AS two \gset
SELECT pg_temp.sent('horno', '2 s', '+34600000007', 1, reference => 'other') \g /dev/null
CREATE FUNCTION pg_temp.heard(wamid text, words text, kind text DEFAULT 'text', about bigint DEFAULT NULL, phone text DEFAULT '+34600000007',
    usr text DEFAULT NULL, at timestamptz DEFAULT now()) RETURNS void LANGUAGE sql AS $$
    INSERT INTO whatsapp_inbound_messages (whatsapp_message_id, tenant_id, phone_number_id, sender_phone, sender_user_id, message_type, text,
                                           payload, message_id, sent_at)
        VALUES (wamid, 'trigal', '100000000000001', phone, usr, kind, words, '{}', about, at)
$$;
SELECT pg_temp.heard('w1', 'Confirmado', 'button', about => :one) \g /dev/null
SELECT pg_temp.heard('w2', 'llega el lunes') \g /dev/null
SELECT pg_temp.heard('w3', 'antes', at => date_trunc('day', now()) - interval '36 hours') \g /dev/null
SELECT pg_temp.heard('w4', NULL, 'system') \g /dev/null
SELECT pg_temp.heard('w5', '¿quién?', phone => '+34600000009') \g /dev/null
CREATE FUNCTION pg_temp.answered(wamid text) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', r.reply, CASE WHEN r.quotes_message THEN 'to' ELSE 'after' END, COALESCE(r.reference, r.message_id::text, 'nothing'))
    FROM wa_replies AS r JOIN whatsapp_inbound_messages AS i USING (inbound_id) WHERE i.whatsapp_message_id = wamid
$$;
SELECT is(pg_temp.answered('w1'), 'Confirmado to PO-1', 'the message that it replies to');
SELECT is(pg_temp.answered('w2'), 'llega el lunes after PO-2', 'or the last one of this tenant to whoever wrote');
SELECT is(pg_temp.answered('w3'), 'antes after PO-1', 'before it was written');
SELECT is(pg_temp.answered('w4'), NULL, 'what WhatsApp says is no reply');
SELECT is(pg_temp.answered('w5'), '¿quién? after nothing', 'who was never written to is there as well');
UPDATE whatsapp_inbound_messages SET revoked_at = now() WHERE whatsapp_message_id = 'w2';
SELECT is(pg_temp.answered('w2'), 'after PO-2', 'what was deleted is no longer read here');
INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_user_id, message_type, payload, status, reference)
    VALUES ('trigal', '100000000000001', 'ES.77', 'text', '{}', 'sent', 'PO-77');
SELECT pg_temp.heard('w6', 'ok', phone => NULL, usr => 'ES.77', at => now() + interval '1 second') \g /dev/null
SELECT is(pg_temp.answered('w6'), 'ok after PO-77', 'by the user ID, if the number is hidden');
SELECT pg_temp.heard('w7', '🥖', 'reaction', about => :two) \g /dev/null
SELECT is(pg_temp.answered('w7'), '🥖 to PO-2', 'a reaction is an answer');
INSERT INTO whatsapp_inbound_messages (whatsapp_message_id, tenant_id, phone_number_id, sender_phone, message_type, text, payload, sent_at, about_inbound_id)
    SELECT 'w8', 'trigal', '100000000000001', '+34600000007', 'edit', 'No', '{}', now(), inbound_id FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'w1';
SELECT is(pg_temp.answered('w8'), NULL, 'an edit is shown in what it has changed');

/* ---- for whom ---- */

CREATE ROLE r_monitor;
CREATE ROLE r_trigal;
CREATE ROLE r_horno;
CREATE ROLE r_nobody;
SELECT wa_grant('r_monitor', 'monitor'), wa_grant('r_trigal', 'tenant', 'trigal'), wa_grant('r_horno', 'tenant', 'horno') \g /dev/null
SELECT wa_internal_alert('warning', 'opted_out_of_all', 'recipient', 'trigal +34600000007', 'a recipient', '{"recipient": "+34600000007"}') \g /dev/null
SELECT wa_internal_alert('warning', 'number_status', 'number', '100000000000001', 'a number') \g /dev/null
SET LOCAL ROLE r_monitor;
SELECT is((SELECT array_agg(status ORDER BY id) FROM wa_message_status WHERE reference IN ('PO-1', 'PO-77')), '{delivered,sent}', 'monitor sees what has become of messages');
SELECT ok((SELECT string_agg(s::text, ' ') FROM wa_message_status AS s) !~ 'secreto|3460000000|ES[.]77', 'but neither contents nor recipients');
SELECT isnt_empty('SELECT FROM wa_delivery_times', 'how fast they were');
SELECT isnt_empty('SELECT FROM wa_top_tenants', 'and who sends most');
SELECT throws_ok('SELECT FROM wa_replies', '42501', NULL, 'no answers');
SELECT is((SELECT array_agg(kind) FROM whatsapp_alerts), '{number_status}', 'and no alert that names a recipient');
SELECT is((SELECT count(*) FROM wa_health() WHERE item LIKE 'alert %'), 2::bigint, 'of which wa_health() tells');
SELECT ok((SELECT string_agg(h::text, ' ') FROM wa_health() AS h) !~ '3460000000', 'without the number');
RESET ROLE;
SET LOCAL ROLE r_trigal;
SELECT is((SELECT count(*) FROM wa_replies WHERE sender_phone = '+34600000007'), 4::bigint, 'a tenant reads what it was answered');
SELECT throws_ok('SELECT FROM wa_message_status', '42501', NULL, 'and asks its own table for messages');
RESET ROLE;
SET LOCAL ROLE r_horno;
SELECT is_empty('SELECT FROM wa_replies', 'another tenant does not');
RESET ROLE;
SET LOCAL ROLE r_nobody;
SELECT throws_ok('SELECT FROM wa_delivery_times', '42501', NULL, 'nobody else reads anything');
RESET ROLE;
SELECT is((SELECT count(*) FROM whatsapp_alerts), 2::bigint, 'who may read messages sees all alerts');

/* ---- what it costs ---- */

INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, message_type, payload, status, created_at)
    SELECT 't' || i % 50, '100000000000001', '+34611' || lpad((i % 5000)::text, 6, '0'), 'text', '{}', 'read', now() - make_interval(mins => 100000 - i * 5)
    FROM generate_series(1, 8000) AS i;
INSERT INTO whatsapp_inbound_messages (whatsapp_message_id, tenant_id, phone_number_id, sender_phone, message_type, text, payload, sent_at)
    SELECT 'in' || i, 't' || i % 50, '100000000000001', '+34611' || lpad((i % 5000)::text, 6, '0'), 'text', 'x', '{}', now() FROM generate_series(1, 8000) AS i;
ANALYZE whatsapp_messages, whatsapp_inbound_messages;
CREATE FUNCTION pg_temp.plan(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; lines text := '';
BEGIN
    FOR line IN EXECUTE 'EXPLAIN ' || query LOOP lines := lines || line || E'\n'; END LOOP;
    RETURN lines;
END
$$;
SELECT unalike(pg_temp.plan($$SELECT * FROM wa_delivery_times WHERE tenant_id = 't7' AND day = current_date - 3$$), '%Seq Scan on whatsapp_messages%',
    'a tenant''s day is looked up');
SELECT unalike(pg_temp.plan('SELECT * FROM wa_top_tenants'), '%Seq Scan on whatsapp_messages%', 'the last day is looked up');
SELECT unalike(pg_temp.plan($$SELECT * FROM wa_message_status WHERE reference = 'PO-1'$$), '%Seq Scan%', 'so is a reference');
SELECT unalike(pg_temp.plan($$SELECT * FROM wa_replies WHERE sender_phone = '+34611000077'$$), '%Seq Scan%', 'and what somebody has answered');
SELECT unalike(pg_temp.plan($$SELECT * FROM wa_replies WHERE sender_user_id = 'ES.77'$$), '%Seq Scan%', 'under either name');

SELECT * FROM finish();
ROLLBACK;
