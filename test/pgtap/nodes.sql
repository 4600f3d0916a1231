/*
 * Several databases behind one webhook address: the directory, and what of a webhook goes
 * to whom.  The delivery itself: t/180_nodes.pl.
 */
\ir ../lib/begin.sql
\ir ../lib/webhook.sql
SELECT plan(72);

INSERT INTO whatsapp_phone_numbers (phone_number_id, display_phone_number, status)
    SELECT '10000000000000' || i, '+34 600 00 00 0' || i, 'CONNECTED' FROM generate_series(1, 5) AS i;
INSERT INTO whatsapp_tenants (tenant_id) VALUES ('panaderia');
INSERT INTO whatsapp_phone_assignments (tenant_id, phone_number_id, assigned_at)
    VALUES ('panaderia', '100000000000001', now() - interval '1 day');

CREATE FUNCTION pg_temp.state(what text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    EXECUTE what;
    RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE, SQLERRM, NULLIF(detail, ''), NULLIF(hint, ''));
END
$$;

/* ---- the directory ---- */

SELECT lives_ok($$SELECT wa_register_node('b', 'https://b.example/webhook')$$, 'a node is registered');
SELECT lives_ok($$SELECT wa_register_node('c', 'http://127.0.0.1:8080/webhook', 10)$$, 'and another one, on this machine');
SELECT is(pg_temp.state($$SELECT wa_register_node(NULL, 'https://b.example')$$), '22004 | argument "node" must not be null', 'a name is needed');
SELECT is(pg_temp.state($$SELECT wa_register_node('b', NULL)$$), '22004 | argument "url" must not be null', 'and a URL');
SELECT alike(pg_temp.state($$SELECT wa_register_node('Ñu', 'https://b.example')$$), '22023 | invalid name of a node "Ñu" |%', 'a name has its letters');
SELECT alike(pg_temp.state(format($$SELECT wa_register_node('b', %L)$$, u.url)), '22023 | invalid URL of a node %' || u.why || '%', 'no URL: ' || u.url)
    FROM (VALUES ('http://b.example/webhook', 'loopback address only'), ('ftp://b.example', 'must begin with "https://"'),
                 ('https://user@b.example', 'made of a host'), ('https://b.example/?a=b', 'made of a host'),
                 ('https://b.example:99999/', 'port must be'), ('http://127.0.0.1.b.example/', 'loopback address only'),
                 (E'https://b.example/\r\nX: y', 'made of a host')) AS u (url, why);
SELECT alike(pg_temp.state($$SELECT wa_register_node('b', 'https://b.example', 0)$$), '22023 | max_waiting must be greater than 0%', 'a limit is more than nothing');
SELECT throws_ok($$INSERT INTO whatsapp_nodes (node, url) VALUES ('d', 'http://d.example')$$, '23514', NULL, 'nor does the table take such a URL');
SELECT lives_ok($$SELECT wa_register_node('b', 'https://b2.example/webhook')$$, 'a node moves');
SELECT results_eq($$SELECT node, url, max_waiting FROM whatsapp_nodes ORDER BY node$$,
    $$VALUES ('b' COLLATE "C", 'https://b2.example/webhook', 1000000), ('c', 'http://127.0.0.1:8080/webhook', 10)$$, 'they are there');
SELECT is(pg_temp.state($$SELECT wa_register_node('n' || i, 'https://b.example') FROM generate_series(1, 31) AS i$$),
    '53400 | too many nodes | There may be 32. | Remove those that are no longer there: SELECT wa_unregister_node(name);', 'there may be 32');

SELECT lives_ok($$SELECT wa_assign_number_to_node('100000000000002', 'b')$$, 'a number goes to a node');
SELECT lives_ok($$SELECT wa_assign_number_to_node('100000000000003', 'c')$$, 'another one to the other');
SELECT is(pg_temp.state($$SELECT wa_assign_number_to_node('100000000000001', 'b')$$),
    '23505 | phone number "100000000000001" is assigned here | It is assigned to tenant "panaderia" of this database. | '
    'Release it first: SELECT wa_unassign_phone(''panaderia'');', 'a tenant''s does not');
SELECT alike(pg_temp.state($$SELECT wa_assign_number_to_node('100000000000004', 'bb')$$), '42704 | node "bb" does not exist%', 'nor any to nobody');
SELECT alike(pg_temp.state($$SELECT wa_assign_number_to_node('+34 600 00 00 04', 'b')$$), '22023 | invalid phone_number_id%its phone_number_id is "100000000000004"%',
    'it is an ID');
SELECT is(pg_temp.state($$SELECT wa_assign_phone('horno', '100000000000002')$$),
    '23505 | phone number "100000000000002" belongs to node "b" | Its webhooks are passed on to that node. | '
    'Take it back first, when no tenant of that node has it any more: SELECT wa_unassign_number_from_node(''100000000000002'');',
    'a node''s number is no tenant''s');
SELECT throws_ok($$INSERT INTO whatsapp_phone_assignments (tenant_id, phone_number_id) VALUES ('panaderia', '100000000000003')$$, '23505', NULL,
    'whoever writes the table');
SELECT set_eq($$SELECT phone_number_id FROM wa_free_numbers$$, $$VALUES ('100000000000004'), ('100000000000005')$$, 'nor is it a free one');
SELECT alike(pg_temp.state($$SELECT wa_unregister_node('b')$$), '55000 | node "b" has numbers | It has 1.%', 'a node with numbers stays');

/* ---- webhooks ---- */

CREATE FUNCTION pg_temp.statuses(number text, VARIADIC wamids text[]) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.change('messages', jsonb_build_object('metadata', jsonb_build_object('phone_number_id', number), 'statuses',
        (SELECT jsonb_agg(jsonb_build_object('id', w, 'status', 'sent', 'timestamp', floor(EXTRACT(epoch FROM now()))::text)) FROM unnest(wamids) AS w)))::text
$$;
CREATE FUNCTION pg_temp.words(number text, wamid text) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.change('messages', jsonb_build_object('metadata', jsonb_build_object('phone_number_id', number), 'messages',
        jsonb_build_array(jsonb_build_object('from', '34600000009', 'id', wamid, 'timestamp', floor(EXTRACT(epoch FROM now()))::text, 'type', 'text',
            'text', '{"body": "hola"}'::jsonb))))::text
$$;
CREATE FUNCTION pg_temp.body(extra text, VARIADIC changes text[]) RETURNS text LANGUAGE sql AS $$
    SELECT format('{"object": "whatsapp_business_account", %s "entry": [{"id": "300000000000001", "time": 1764000000, "changes": [%s]}]}',
        extra, array_to_string(changes, ', '))
$$;
CREATE FUNCTION pg_temp.waiting() RETURNS TABLE (node text, has_words boolean, parts integer, what text) LANGUAGE sql AS $$
    SELECT f.node, f.has_words, f.parts, concat_ws(' ', f.entry::jsonb ->> 'id', c.change ->> 'field',
        c.change #>> '{value,metadata,phone_number_id}', c.change #>> '{value,statuses,0,id}', c.change #>> '{value,messages,0,id}')
    FROM whatsapp_forwards AS f, jsonb_array_elements(f.entry::jsonb -> 'changes') AS c (change) ORDER BY f.forward_id
$$;

SELECT is(pg_temp.post(pg_temp.body('', pg_temp.statuses('100000000000002', 'wamid.B1', 'wamid.B2'))) ->> 'forwarded', '1', 'statuses of a node''s number are passed on');
SELECT results_eq('SELECT * FROM pg_temp.waiting()', $$VALUES ('b', false, 3, '300000000000001 messages 100000000000002 wamid.B1')$$, 'as they are, in their entry');
SELECT is((SELECT count(*) FROM whatsapp_parked_events), 0::bigint, 'and nothing of them stays here');
DELETE FROM whatsapp_forwards;

SELECT pg_temp.post(pg_temp.body('', pg_temp.statuses('100000000000001', 'wamid.A1'), pg_temp.words('100000000000002', 'wamid.B3'),
    pg_temp.words('100000000000001', 'wamid.A2'), pg_temp.statuses('100000000000003', 'wamid.C1'),
    pg_temp.change('account_alerts', '{"entity_type": "WABA", "entity_id": "300000000000001", "alert_severity": "WARNING", "alert_status": "ACTIVE", "alert_type": "OBA", "alert_description": "x"}')::text,
    pg_temp.words('100000000000005', 'wamid.U1'))) AS mixed \gset
SELECT results_eq('SELECT * FROM pg_temp.waiting()', $$VALUES
    ('b', true, 1, '300000000000001 messages 100000000000002 wamid.B3'),
    ('c', false, 2, '300000000000001 messages 100000000000003 wamid.C1'),
    ('b', true, 1, '300000000000001 account_alerts'), ('c', true, 1, '300000000000001 account_alerts')$$,
    'of a mixed body each gets what is its own, in order, and all of them what concerns the account');
SELECT is((:'mixed'::jsonb ->> 'forwarded')::integer, 4, 'which is counted');
SELECT results_eq('SELECT whatsapp_message_id COLLATE "C", tenant_id COLLATE "C" FROM whatsapp_inbound_messages ORDER BY 1',
    $$VALUES ('wamid.A2' COLLATE "C", 'panaderia' COLLATE "C"), ('wamid.U1', NULL)$$, 'the rest is taken in here, also what nobody has');
SELECT is((SELECT count(*) FROM whatsapp_account_events WHERE field = 'account_alerts'), 1::bigint, 'with the account''s event');
SELECT is((SELECT array_agg(whatsapp_message_id) FROM whatsapp_parked_events WHERE kind = 'status'), ARRAY['wamid.A1'] COLLATE "C", 'and the own status');
DELETE FROM whatsapp_forwards;

SELECT is(pg_temp.post(pg_temp.body('"whatsapp_shared_forwarded": {"node": "a"},', pg_temp.statuses('100000000000002', 'wamid.B4'))) ->> 'forwarded', NULL,
    'what was passed on is not passed on again');
SELECT is((SELECT count(*) FROM whatsapp_forwards), 0::bigint, 'wherever the number may be');
SELECT is((SELECT count(*) FROM whatsapp_parked_events WHERE whatsapp_message_id = 'wamid.B4'), 1::bigint, 'but taken in');
SELECT throws_ok(format('SELECT wa_webhook_ingest(%L, %L)', convert_to(pg_temp.body('', pg_temp.statuses('100000000000002', 'wamid.X')), 'UTF8'),
    'sha256=' || repeat('0', 64)), '28000', NULL, 'what is not signed is refused');
SELECT is((SELECT count(*) FROM whatsapp_forwards), 0::bigint, 'and not passed on');

/* ---- moves ---- */

SELECT lives_ok($$SELECT wa_assign_number_to_node('100000000000002', 'c')$$, 'a number moves');
SELECT pg_temp.post(pg_temp.body('', pg_temp.statuses('100000000000002', 'wamid.B5'), pg_temp.words('100000000000002', 'wamid.B6'))) AS moved \gset
SELECT set_eq('SELECT node, what FROM pg_temp.waiting()', $$VALUES ('c', '300000000000001 messages 100000000000002 wamid.B5'),
    ('b', '300000000000001 messages 100000000000002 wamid.B5'), ('c', '300000000000001 messages 100000000000002 wamid.B6')$$,
    'its statuses go to both, since one of them has sent the message; what customers write, to the new one');
DELETE FROM whatsapp_forwards;
SELECT is(wa_unassign_number_from_node('100000000000002'), true, 'it comes home');
SELECT is(wa_unassign_number_from_node('100000000000002'), false, 'once');
SELECT pg_temp.post(pg_temp.body('', pg_temp.statuses('100000000000002', 'wamid.B7'), pg_temp.words('100000000000002', 'wamid.B8'))) AS moved \gset
SELECT set_eq('SELECT node, what FROM pg_temp.waiting()', $$VALUES ('c', '300000000000001 messages 100000000000002 wamid.B7'),
    ('b', '300000000000001 messages 100000000000002 wamid.B7')$$, 'statuses still go to those who had it');
SELECT is((SELECT count(*) FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'wamid.B8'), 1::bigint, 'and all of it is taken in');
SELECT lives_ok($$SELECT wa_assign_phone('horno', '100000000000002')$$, 'so a tenant may have it');
UPDATE whatsapp_node_numbers SET moved_at = now() - interval '31 days';
DELETE FROM whatsapp_forwards;
SELECT is(pg_temp.post(pg_temp.body('', pg_temp.statuses('100000000000002', 'wamid.B9'))) ->> 'forwarded', NULL, 'after a month it is as if it had always been here');
SELECT wa_unassign_phone('horno');
SELECT wa_assign_number_to_node('100000000000002', 'b');
SELECT is((SELECT former_nodes FROM whatsapp_node_numbers WHERE phone_number_id = '100000000000002'), ARRAY[''] COLLATE "C", 'where it was before does not count');
SELECT is(pg_temp.counts(pg_temp.post(pg_temp.body('', pg_temp.statuses('100000000000002', 'wamid.B10')))), '0/0/1/0', 'its statuses are taken in here, too');
SELECT is((SELECT count(*) FROM whatsapp_forwards), 1::bigint, 'and passed on');
DELETE FROM whatsapp_forwards;

/* ---- a person is erased ---- */

SELECT pg_temp.post(pg_temp.body('', pg_temp.words('100000000000002', 'wamid.E1'))) AS queued \gset
SELECT is((SELECT finished_at FROM wa_erase_person('+34600000009')), NULL, 'what he wrote to another node is waited for');
SELECT is((SELECT count(*) FROM whatsapp_forwards), 1::bigint, 'and not taken from it: it may be an opt-out');
SELECT is((SELECT count(*) FROM whatsapp_inbound_messages WHERE sender_phone IS NOT NULL), 0::bigint, 'all the rest is gone');
SELECT pg_temp.post(pg_temp.body('', pg_temp.words('100000000000002', 'wamid.E2'))) AS queued \gset
DELETE FROM whatsapp_forwards WHERE entry LIKE '%wamid.E1%';
SELECT isnt((SELECT finished_at FROM wa_erase_person('+34600000009')), NULL, 'when that is delivered, it is done: what came later does not count');
DELETE FROM whatsapp_forwards;

/* ---- limits ---- */

UPDATE whatsapp_nodes SET is_full = true WHERE node = 'c';
SELECT throws_ok(format('SELECT pg_temp.post(%L)', pg_temp.body('', pg_temp.statuses('100000000000003', 'wamid.C2'))), '53400',
    'too many webhooks wait for node "c"', 'a node with too much waiting takes no more');
SELECT is(pg_temp.post(pg_temp.body('', pg_temp.statuses('100000000000002', 'wamid.B11'))) ->> 'forwarded', '1', 'another one does');
SELECT pg_temp.post(pg_temp.body('', pg_temp.change('no_such_field', '{}')::text)) AS everybody \gset
SELECT set_eq('SELECT node FROM whatsapp_forwards WHERE has_words', ARRAY['b'], 'and what concerns the account waits for nobody');
DELETE FROM whatsapp_forwards;
UPDATE whatsapp_nodes SET is_full = false;
UPDATE whatsapp_phone_numbers SET status = status; /* nothing of this reaches a sender: there is none */

SELECT wa_register_node('c', 'https://c.example', 2);
INSERT INTO whatsapp_forwards (node, has_words, parts, size, entry, received_at)
    SELECT 'c', false, 1, 2, '{}', now() - interval '1 minute' FROM generate_series(1, 3);
SELECT wa_internal_keep_forwards();
SELECT results_eq($$SELECT is_full, (SELECT count(*) FROM whatsapp_alerts WHERE kind = 'node_full' AND key = 'c' AND resolved_at IS NULL) FROM whatsapp_nodes WHERE node = 'c'$$,
    $$VALUES (true, 1::bigint)$$, 'full is who has more waiting than he may');
UPDATE whatsapp_forwards SET received_at = now() - interval '6 minutes' WHERE node = 'c';
DELETE FROM whatsapp_forwards WHERE forward_id = (SELECT min(forward_id) FROM whatsapp_forwards);
SELECT wa_internal_keep_forwards();
SELECT set_eq($$SELECT kind FROM whatsapp_alerts WHERE scope = 'node' AND resolved_at IS NULL$$, ARRAY['node_behind'], 'and no longer; behind is who has not taken something for five minutes');
SELECT is((SELECT state || ' ' || detail FROM wa_health() WHERE item = 'node c'), 'error 2 changes wait, the oldest since '
    || date_trunc('second', now() - interval '6 minutes') || '.', 'which wa_health() says');
UPDATE whatsapp_nodes SET failing_since = now() - interval '2 minutes', last_error = 'HTTP status 503';
SELECT is((SELECT state || ' ' || detail FROM wa_health() WHERE item = 'node b'), 'warning 0 changes wait. Last error: HTTP status 503.',
    'as it says that one does not answer');
UPDATE whatsapp_nodes SET failing_since = NULL;
SELECT is((SELECT state FROM wa_health() WHERE item = 'node b'), 'ok', 'and that all is well');
SELECT is((SELECT detail FROM wa_health() WHERE item = 'numbers of nobody'),
    'Webhooks have come for 100000000000005: no tenant of this database has it, and no other node.', 'and that a number is nobody''s');
SELECT set_eq($$SELECT name, value FROM wa_metrics() WHERE labels ->> 'node' = 'c' AND name <> 'whatsapp_node_oldest_age_seconds'$$,
    $$VALUES ('whatsapp_node_waiting_changes', 2::double precision), ('whatsapp_node_delivered_changes_total', 0), ('whatsapp_node_expired_changes_total', 0),
        ('whatsapp_node_errors_total', 0)$$, 'there are metrics');
SELECT ok((SELECT value BETWEEN 350 AND 400 FROM wa_metrics() WHERE labels ->> 'node' = 'c' AND name = 'whatsapp_node_oldest_age_seconds'), 'also of the age');
UPDATE whatsapp_forwards SET received_at = now() - interval '7 days 1 minute' WHERE forward_id = (SELECT min(forward_id) FROM whatsapp_forwards);
SELECT wa_internal_keep_forwards();
SELECT is((SELECT expired FROM whatsapp_nodes WHERE node = 'c'), 1::bigint, 'after seven days it is given up');
SELECT is((SELECT count(*) FROM whatsapp_alerts WHERE kind = 'node_expired' AND key = 'c'), 1::bigint, 'and told');
SELECT is((SELECT waiting FROM wa_node_status WHERE node = 'c'), 1::bigint, 'the rest waits on');

/* ---- the end ---- */

SELECT wa_unassign_number_from_node('100000000000003');
SELECT alike(pg_temp.state($$SELECT wa_unregister_node('c')$$), '55000 | webhooks wait for node "c" | 1 changes wait.%', 'a node for which something waits stays');
SELECT is(wa_unregister_node('c', discard => true), 1::bigint, 'unless it is thrown away');
SELECT is((SELECT count(*) FROM whatsapp_alerts WHERE scope = 'node' AND key = 'c' AND resolved_at IS NULL), 0::bigint, 'with its alerts');
SELECT set_eq($$SELECT kind, detail ->> 'text' FROM whatsapp_events WHERE kind IN ('node', 'node_changed', 'node_removed', 'number_to_node', 'number_moved') AND key IN ('c', '100000000000003')$$,
    $$VALUES ('node', 'New'), ('node_changed', 'Changed max_waiting: 10 → 2, url: http://127.0.0.1:8080/webhook → https://c.example'), ('node_removed', 'Removed'),
        ('number_to_node', 'To node "c"'), ('number_moved', 'Back in this database')$$, 'the timeline has all of it');
SELECT finish();
ROLLBACK;
