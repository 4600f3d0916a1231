/*
 * wa_find(): a message by everything that an operator may have at hand; and that no
 * way to it reads the history.
 */
\ir ../lib/begin.sql
SELECT plan(31);

SELECT wa_assign_phone('trigal', '100000000000001') \g /dev/null
SELECT wa_assign_phone('horno', '100000000000002') \g /dev/null
CREATE FUNCTION pg_temp.message(tenant text, recipient text, key text DEFAULT NULL, reference text DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
    SELECT wa_enqueue_payload(tenant, recipient, 'text', '{"body": "hola"}', idempotency_key => key, reference => reference)
$$;
SELECT pg_temp.message('trigal', '+34600000001', 'po:17', 'PO-2026-17') AS one \gset
SELECT pg_temp.message('horno', '+34600000002', 'po:17', 'PO-2026-18') AS two \gset
SELECT pg_temp.message('trigal', 'ES.7001', NULL, '2026') AS three \gset
UPDATE whatsapp_messages SET whatsapp_message_id = 'wamid.ONE', status = 'sent' WHERE id = :one;
INSERT INTO whatsapp_wamids (whatsapp_message_id, message_id) VALUES ('wamid.ONE', :one), ('wamid.SECOND', :one);
INSERT INTO whatsapp_inbound_messages (whatsapp_message_id, tenant_id, phone_number_id, sender_phone, message_type, text, payload, message_id, sent_at)
    VALUES ('wamid.ANSWER', 'trigal', '100000000000001', '+34600000001', 'text', 'Confirmado: mañana a las 7', '{}', :one, now()),
           ('wamid.OTHER', 'trigal', '100000000000001', '+34600000009', 'text', 'confirmado, también', '{}', NULL, now());

CREATE FUNCTION pg_temp.found(wanted text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(f.id || ' by ' || f.found_by, '; ' ORDER BY f.id DESC) FROM wa_find(wanted) AS f
$$;

/* ---- each kind of name ---- */

SELECT is(pg_temp.found(:one::text), :one || ' by id', 'the ID');
SELECT is(pg_temp.found('#' || :one), :one || ' by id', 'the ID as people write it');
SELECT is(pg_temp.found('wamid.ONE'), :one || ' by whatsapp_message_id', 'the wamid');
SELECT is(pg_temp.found(E' wamid.ONE\r\n'), :one || ' by whatsapp_message_id', 'what was copied with space around it');
SELECT is(pg_temp.found('wamid.SECOND'), :one || ' by whatsapp_message_id', 'that of a second acceptance');
SELECT is(pg_temp.found('wamid.ANSWER'), :one || ' by answer', 'the wamid of an answer');
SELECT is(pg_temp.found('mañana a las'), :one || ' by answer', 'words of an answer, in any case');
SELECT is(pg_temp.found('CONFIRMADO'), :one || ' by answer', 'a message that answers none leads nowhere');
SELECT is(pg_temp.found('PO-2026-17'), :one || ' by reference', 'the reference');
SELECT is(pg_temp.found('po:17'), :two || ' by idempotency_key; ' || :one || ' by idempotency_key', 'a key that two tenants have used');
SELECT is(pg_temp.found('+34600000001'), :one || ' by recipient', 'the recipient');
SELECT is(pg_temp.found('34 600-000 001'), :one || ' by recipient', 'as people write it');
SELECT is(pg_temp.found('ES.7001'), :three || ' by recipient', 'the user ID');
SELECT is(pg_temp.found('2026'), :three || ' by reference', 'what looks like an ID may be a reference');
UPDATE whatsapp_messages SET reference = :one::text WHERE id = :two;
SELECT is(pg_temp.found(:one::text), :two || ' by reference; ' || :one || ' by id', 'and may be both');
UPDATE whatsapp_messages SET reference = 'wamid.ONE' WHERE id = :one;
SELECT is(pg_temp.found('wamid.ONE'), :one || ' by reference, whatsapp_message_id', 'a message is found once, by all that fits');

SELECT wa_internal_note_names(wa_internal_know('+34600000001', 'ES.7002', NULL, now()), 'Ana', 'ana.horno', now(), now()) \g /dev/null
SELECT is(pg_temp.found('@ana.horno'), :one || ' by recipient', 'the user name');
SELECT is(pg_temp.found('ES.7002'), :one || ' by recipient', 'another form of the same person');

/* ---- nothing, and what is no question ---- */

SELECT is(pg_temp.found('nothing of the kind'), NULL, 'nothing');
SELECT is(pg_temp.found('999999999999999999999999'), NULL, 'a number that is too long for an ID');
SELECT is(pg_temp.found($$'; DROP TABLE whatsapp_messages; --$$), NULL, 'a text is a text');
SELECT throws_ok('SELECT wa_find(NULL)', '22004', NULL, 'null is an error');
SELECT throws_ok($$SELECT wa_find('  ')$$, '22023', NULL, 'so is an empty text');
SELECT throws_ok($$SELECT wa_find('x', 0)$$, '22023', NULL, 'and a limit that is none');
SELECT is((SELECT count(*) FROM wa_find('po:17', 1)), 1::bigint, 'the limit holds over all kinds');

/* ---- the same words, explained ---- */

SELECT is((SELECT array_agg(message_id) FROM wa_explain('po:17')), ARRAY[:two, :one]::bigint[], 'wa_explain() takes what wa_find() takes');
SELECT throws_ok($$SELECT * FROM wa_explain('PO-0000')$$, '42704', 'no message is known by "PO-0000"', 'and says that it is unknown');

/* ---- whom it tells ---- */

CREATE ROLE wa_find_tenant;
SELECT wa_grant('wa_find_tenant', 'tenant', 'horno') \g /dev/null
GRANT EXECUTE ON FUNCTION wa_find(text, integer) TO wa_find_tenant;
SET LOCAL ROLE wa_find_tenant;
SELECT is(pg_temp.found('po:17'), :two || ' by idempotency_key', 'a role of one tenant finds that tenant''s messages only');
RESET ROLE;

/* ---- what it costs ---- */

CREATE TEMP TABLE plan AS SELECT 0 AS n, ''::text AS line WHERE false;
INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, message_type, payload, status, reference)
    SELECT 'trigal', '100000000000001', '+34611' || lpad((i % 500)::text, 6, '0'), 'text', '{}', 'read', 'bulk:' || i FROM generate_series(1, 20000) AS i;
SELECT pg_stat_force_next_flush() \g /dev/null
CREATE FUNCTION pg_temp.seq_scans() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT pg_stat_get_xact_numscans('whatsapp_messages'::regclass)
$$;
SELECT pg_temp.seq_scans() AS before \gset
SELECT count(pg_temp.found(w)) FROM unnest(ARRAY['bulk:777', '+34611000007', 'po:17', 'wamid.ONE', '20000', 'words', 'ES.7001', '@ana.horno']) AS w \g /dev/null
SELECT is(pg_temp.seq_scans(), :before::bigint, 'no kind of name reads all messages');
INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_user_id, message_type, payload, status)
    SELECT 'trigal', '100000000000001', 'ES.8' || i, 'text', '{}', 'read' FROM generate_series(1, 5000) AS i;
SELECT pg_stat_get_xact_tuples_fetched('whatsapp_messages'::regclass) AS before \gset
SELECT is(pg_temp.found('ES.7001'), :three || ' by recipient', 'one of many that are addressed by user IDs');
SELECT cmp_ok(pg_stat_get_xact_tuples_fetched('whatsapp_messages'::regclass) - :before, '<', 100::bigint, 'is found without reading the others');

SELECT * FROM finish();
ROLLBACK;
