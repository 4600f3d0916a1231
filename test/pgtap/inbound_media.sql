/*
 * Files of customers: which are wanted, who reads them, and what the sender makes of them.
 */
\ir ../lib/begin.sql
SELECT plan(54);

SELECT wa_assign_phone('panaderia', '100000000000001'), wa_assign_phone('molino', '100000000000002') \g /dev/null

/* As a webhook stores it. */
CREATE FUNCTION pg_temp.came(number text, wamid text, type text, medium jsonb, ago interval DEFAULT '0') RETURNS bigint LANGUAGE sql AS $$
    SELECT s.inbound_id FROM wa_internal_store_inbound(ARRAY[number], ARRAY[wamid], ARRAY[type], ARRAY[now() - ago], ARRAY[false], ARRAY['+34600112233'], ARRAY[NULL::text],
        ARRAY[jsonb_build_object('type', type, type, medium)::text], ARRAY[false]) AS s
$$;
CREATE FUNCTION pg_temp.image(id text, mime text DEFAULT 'image/jpeg') RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('id', id, 'mime_type', mime) $$;
CREATE FUNCTION pg_temp.next(busy text[] DEFAULT '{}', last text DEFAULT '') RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(n.inbound_id || '/' || n.media_id || '/' || n.attempts, ' ') FROM wa_internal_next_inbound_media(busy, last, 2000, 60000) AS n
$$;
UPDATE whatsapp_phone_assignments SET assigned_at = now() - interval '1 year';

/* ---- by setting ---- */

SELECT pg_temp.came('100000000000001', 'wamid.OFF', 'image', pg_temp.image('1001')) AS off \gset
SELECT is(count(*), 0::bigint, 'nothing is fetched unless it is asked for') FROM whatsapp_inbound_media;
SELECT is((status, content IS NULL)::text, '(,t)', 'nobody has asked for this one') FROM wa_media_content(:off);

SELECT set_config('whatsapp_shared.fetch_media', 'on', true) \g /dev/null
SELECT pg_temp.came('100000000000001', 'wamid.ON', 'image', pg_temp.image('1002')) AS jpeg,
    pg_temp.came('100000000000002', 'wamid.PDF', 'document', '{"id": "1003", "mime_type": "application/pdf", "filename": "pedido.pdf"}') AS pdf,
    pg_temp.came('100000000000001', 'wamid.DOC', 'document', '{"id": "1004", "mime_type": "application/msword"}') AS word,
    pg_temp.came('100000000000001', 'wamid.WEEK', 'image', pg_temp.image('1005'), '8 days') AS week,
    pg_temp.came('100000000000001', 'wamid.TEXT', 'text', '{"body": "hola"}') AS words \gset
SELECT is(string_agg(status, ' ' ORDER BY inbound_id), 'wanted wanted skipped skipped', 'with the setting what has a file is wanted, or noted as skipped') FROM whatsapp_inbound_media;
SELECT is(reason, 'application/msword is not among whatsapp_shared.fetch_media_types', 'by its type') FROM wa_media_content(:word);
SELECT is(reason, 'Meta keeps a file for 7 days', 'or its age') FROM wa_media_content(:week);
SELECT is((tenant_id, phone_number_id, media_id)::text, '(molino,100000000000002,1003)', 'a row says whose it is') FROM whatsapp_inbound_media WHERE inbound_id = :pdf;
SELECT is((status, mime_type, filename)::text, '(wanted,application/pdf,pedido.pdf)', 'and its reader what the customer said of it') FROM wa_media_content(:pdf);

SELECT ok(wa_internal_media_type_wanted(t, 'image/*, application/pdf'), t || ' is one of image/*, application/pdf')
    FROM unnest('{image/jpeg,"image/png; x=1",IMAGE/WEBP,application/pdf}'::text[]) AS t;
SELECT ok(NOT wa_internal_media_type_wanted(t, 'image/*, application/pdf'), t || ' is not')
    FROM unnest('{video/mp4,application/pdfx,imagexx/jpeg,""}'::text[]) AS t;
SELECT ok(wa_internal_media_type_wanted('audio/ogg; codecs=opus', '*/*'), 'all of them are');

/* ---- on request ---- */

SELECT set_config('whatsapp_shared.fetch_media', 'off', true) \g /dev/null
SELECT is(wa_fetch_media(:off), 'wanted', 'one is asked for');
SELECT is(wa_fetch_media(:off), 'wanted', 'twice is harmless');
SELECT is(wa_fetch_media(inbound_id => :word), 'wanted', 'on request the type does not matter');
SELECT is((status, reason IS NULL, ended_at IS NULL)::text, '(wanted,t,t)', 'and why it was skipped is forgotten') FROM whatsapp_inbound_media WHERE inbound_id = :word;
SELECT throws_ok('SELECT wa_fetch_media(NULL)', '22004', 'argument "inbound_id" must not be null', 'none');
SELECT throws_ok('SELECT wa_fetch_media(987654321)', '42704', 'inbound message 987654321 does not exist', 'an unknown message');
SELECT throws_ok(format('SELECT wa_fetch_media(%s)', :words), '55000', format('inbound message %s has no file', :words), 'a message without a file');
SELECT throws_ok('SELECT wa_media_content(NULL)', '22004', 'argument "inbound_id" must not be null', 'contents of none');
SELECT throws_ok('SELECT wa_media_content(987654321)', '42704', 'inbound message 987654321 does not exist', 'of an unknown message');
SELECT throws_ok(format('SELECT wa_media_content(%s)', :words), '55000', format('inbound message %s has no file', :words), 'of a message without a file');

/* ---- the sender ---- */

UPDATE whatsapp_inbound_media SET next_attempt_at = now() - interval '1 minute' * inbound_id WHERE status = 'wanted';
SELECT is(pg_temp.next('{100000000000001}'), :'pdf' || '/1003/1', 'a number for which one is on its way is passed by');
SELECT is(pg_temp.next('{100000000000001}'), NULL, 'what was begun is not due again before its back-off');
UPDATE whatsapp_inbound_media SET next_attempt_at = now() WHERE inbound_id = :pdf;
SELECT is(pg_temp.next('{}', '100000000000001'), :'pdf' || '/1003/2', 'numbers take turns');
SELECT is(pg_temp.next('{}', '100000000000002'), :'word' || '/1004/1', 'in a circle, and the oldest of a number first');
SELECT is(pg_temp.next('{}', '100000000000001'), :'jpeg' || '/1002/1', 'a number alone has all turns');
SELECT ok(wa_internal_next_inbound_media_time() > now(), 'what was begun is due again later');

SELECT wa_internal_store_inbound_media(:jpeg, 0, 'xyz'), wa_internal_store_inbound_media(:jpeg, 3, 'tuv') \g /dev/null
SELECT is((status, content IS NULL)::text, '(wanted,t)', 'what has been stored of a file is not read') FROM wa_media_content(:jpeg);
SELECT wa_internal_inbound_media_failed(:jpeg, 'wanted', 'hash', 3, true, 5000) \g /dev/null
SELECT is((status, reason, attempts, size, next_attempt_at > clock_timestamp() + interval '3 s')::text, '(wanted,hash,1,3,t)', 'what has failed is tried again') FROM whatsapp_inbound_media WHERE inbound_id = :jpeg;
SELECT is(count(*), 0::bigint, 'from the beginning') FROM whatsapp_inbound_media_pieces;
SELECT wa_internal_inbound_media_failed(:jpeg, 'wanted', 'paused', NULL, false, 5000) \g /dev/null
SELECT is((attempts, size)::text, '(0,3)', 'what was not the file''s fault does not count') FROM whatsapp_inbound_media WHERE inbound_id = :jpeg;
SELECT wa_internal_store_inbound_media(:jpeg, 0, 'xyz'), wa_internal_store_inbound_media(:jpeg, 0, 'ab'), wa_internal_store_inbound_media(:jpeg, 2, 'c'),
    wa_internal_inbound_media_fetched(:jpeg, 3, upper(encode(sha256('abc'), 'hex')), 'image/jpeg') \g /dev/null
SELECT is((status, reason IS NULL, convert_from(content, 'UTF8'), size, mime_type)::text, '(fetched,t,abc,3,image/jpeg)', 'are stored, and read') FROM wa_media_content(:jpeg);
SELECT is((SELECT string_agg(convert_from(wa_internal_media_bytes(:jpeg, f, m), 'UTF8'), ',') FROM (VALUES (0, 1), (1, 1), (1, 9), (2, 1), (0, 2), (3, 1)) AS v (f, m)),
    'a,b,bc,c,ab,', 'any part of them');
SELECT is(wa_fetch_media(:jpeg), 'fetched', 'what is there is not fetched again');
SELECT wa_internal_inbound_media_failed(:jpeg, 'failed', 'late', NULL, true, 0) \g /dev/null
SELECT is(status, 'fetched', 'nor lost to a late failure') FROM wa_media_content(:jpeg);

/* ---- who reads them ---- */

CREATE ROLE t_media_own; CREATE ROLE t_media_other;
SELECT wa_grant('t_media_own', 'tenant', 'panaderia'), wa_grant('t_media_other', 'tenant', 'molino'), wa_grant('t_media_other', 'sender') \g /dev/null
SET LOCAL ROLE t_media_own;
SELECT is(octet_length(content), 3, 'a tenant''s own role reads that tenant''s') FROM wa_media_content(:jpeg);
SELECT is((SELECT count(*) FROM whatsapp_inbound_media_pieces), 2::bigint, 'in the table of pieces, too');
RESET ROLE;
SET LOCAL ROLE t_media_other;
SELECT throws_ok(format('SELECT wa_media_content(%s)', :jpeg), '42704', NULL, 'another tenant''s does not exist for it');
SELECT is((SELECT count(*) FROM whatsapp_inbound_media) || ' ' || (SELECT count(*) FROM whatsapp_inbound_media_pieces), '1 0', 'in the tables neither');
SELECT throws_ok(format('SELECT wa_fetch_media(%s)', :off), '42704', NULL, 'and it has none of them fetched');
RESET ROLE;

/* ---- what is seen, and how long it is kept ---- */

SELECT wa_internal_inbound_media_failed(:pdf, 'failed', 'Media not found.', NULL, true, 0) \g /dev/null
SELECT matches(detail, '^1 files? of customers could not be fetched in the last day, the latest: Media not found\.$', 'wa_health() tells of failures') FROM wa_health() WHERE item = 'inbound media';
SELECT is(wa_fetch_media(:pdf), 'wanted', 'a failure is tried anew on request');
SELECT wa_internal_erase_inbound(ARRAY[:word]) \g /dev/null
SELECT is(count(*), 0::bigint, 'erasing a person erases it') FROM whatsapp_inbound_media WHERE inbound_id = :word;
DELETE FROM whatsapp_inbound_messages WHERE inbound_id = :jpeg;
SELECT is(count(*), 0::bigint, 'a file goes with its message') FROM whatsapp_inbound_media WHERE inbound_id = :jpeg;
SELECT is(count(*), 0::bigint, 'and its pieces with it') FROM whatsapp_inbound_media_pieces;

/* ---- the settings ---- */

SELECT throws_ok(format('SET LOCAL whatsapp_shared.fetch_media_types = %L', v), '22023', NULL, format('%s is no list of media types', quote_literal(v)))
    FROM unnest('{"",image,"image/jpeg,,video/mp4"}'::text[]) AS v;
SELECT lives_ok('SET LOCAL whatsapp_shared.fetch_media_types = ''application/vnd.ms-excel,image/*''', 'this is one');

SELECT * FROM finish();
ROLLBACK;
