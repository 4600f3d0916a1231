/*
 * Files of customers as the gateway serves them, and reading: who may, what a browser is
 * told of a file that means harm, what is answered while there is none, and what is noted
 * of who has read.
 */
\ir ../lib/begin.sql
SELECT plan(125);

SELECT wa_assign_phone('alba', '100000000000001'), wa_assign_phone('trigal', '100000000000002') \g /dev/null
UPDATE whatsapp_phone_assignments SET assigned_at = now() - interval '1 year';
SELECT split_part(wa_tenant_link('alba'), '#key=', 2) AS key, split_part(wa_tenant_link('trigal'), '#key=', 2) AS other_key \gset
SELECT set_config('test.key', :'key', true) \g /dev/null

CREATE FUNCTION pg_temp.ask(route text, id bigint, tenant text DEFAULT 'alba', role text DEFAULT 'tenant', key text DEFAULT current_setting('test.key'),
    from_byte bigint DEFAULT NULL, bytes integer DEFAULT 100) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    answer jsonb;
BEGIN
    EXECUTE format('SELECT to_jsonb(a) FROM wa_gateway_%s($1) AS a', route) INTO answer USING jsonb_build_object(
        'actor', jsonb_build_object('role', role, 'name', 'somebody', 'key_sha256', encode(sha256(convert_to(key, 'UTF8')), 'hex')),
        'path', jsonb_strip_nulls(jsonb_build_object('tenant_id', tenant, 'id', id::text)), 'query', '{}'::jsonb, 'body', NULL,
        'from_byte', from_byte, 'bytes', bytes);
    RETURN answer;
END
$$;
CREATE FUNCTION pg_temp.said(answer jsonb) RETURNS text LANGUAGE sql AS $$ SELECT concat_ws(' ', answer ->> 'status', answer #>> '{body,reason}') $$;
CREATE FUNCTION pg_temp.came(number text, type text, medium jsonb, ago interval DEFAULT '0', from_user text DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
    SELECT s.inbound_id FROM wa_internal_store_inbound(ARRAY[number], ARRAY['wamid.' || gen_random_uuid()], ARRAY[type], ARRAY[now() - ago], ARRAY[false],
        ARRAY[CASE WHEN from_user IS NULL THEN '+34600112233' END], ARRAY[from_user], ARRAY[jsonb_build_object('type', type, type, medium)::text], ARRAY[false]) AS s
$$;
CREATE FUNCTION pg_temp.fetched(id bigint, bytes bytea, mime text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wa_fetch_media(id);
    /* In pieces of two bytes. */
    PERFORM wa_internal_store_inbound_media(id, n, substr(bytes, n + 1, 2)) FROM generate_series(0, length(bytes), 2) AS n;
    PERFORM wa_internal_inbound_media_fetched(id, length(bytes), encode(sha256(bytes), 'hex'), mime);
    RETURN id;
END
$$;

SELECT pg_temp.came('100000000000001', 'image', '{"id": "1001", "mime_type": "image/jpeg"}') AS photo,
    pg_temp.came('100000000000002', 'image', '{"id": "1002", "mime_type": "image/jpeg"}') AS others,
    pg_temp.came('100000000000009', 'image', '{"id": "1003", "mime_type": "image/jpeg"}') AS nobodys,
    pg_temp.came('100000000000001', 'text', '{"body": "hola"}') AS words,
    pg_temp.came('100000000000001', 'image', '{"id": "1004", "mime_type": "image/jpeg"}', '8 days') AS late \gset

/* ---- who may ---- */

SELECT pg_temp.fetched(id, '\x0102030405060708090a', 'image/jpeg') FROM unnest(ARRAY[:photo, :others, :nobodys]::bigint[]) AS o (id) \g /dev/null
SELECT is(pg_temp.ask('media', :photo) ->> 'piece', '\x0102030405060708090a', 'a tenant sees its customers'' files');
SELECT is(pg_temp.ask('media', :photo, role => r) ->> 'status', '200', 'so does the platform: ' || r) FROM unnest('{viewer,admin}'::text[]) AS r;
SELECT is(pg_temp.ask('media', id, tenant => NULL, role => r) ->> 'status', '200', 'and what is nobody''s: ' || r)
    FROM unnest('{viewer,admin}'::text[]) AS r, unnest(ARRAY[:photo, :nobodys]::bigint[]) AS o (id);

CREATE TEMP TABLE route AS SELECT * FROM (VALUES ('media', false), ('fetch_media', true), ('tenant_read', true)) AS r (name, changes);
SELECT throws_ok(format('SELECT pg_temp.ask(%L, %s)', name, id), 'P0002', format('message %s does not exist', id), name || ': another tenant''s does not exist, nor does nobody''s')
    FROM route, unnest(ARRAY[:others, :nobodys, 987654321]::bigint[]) AS o (id);
SELECT throws_ok(format('SELECT pg_temp.ask(%L, %s, tenant => ''trigal'')', name, :others), '42501', 'this link is for another page', name || ': nor with the other''s address')
    FROM route;
SELECT throws_ok(format('SELECT pg_temp.ask(%L, %s, key => ''wal_wrong'')', name, :photo), '28000', 'this link is not known', name || ': nor by a wrong key') FROM route;
SELECT throws_ok(format('SELECT pg_temp.ask(%L, %s, tenant => NULL)', name, :photo), '42501', NULL, name || ': nor by a link without a tenant') FROM route;
SELECT throws_ok(format('SELECT pg_temp.ask(%L, %s, tenant => ''trigal'', role => ''admin'')', name, :photo), 'P0002', NULL, name || ': an address of one tenant has no other''s') FROM route;
SELECT throws_ok(format('SELECT pg_temp.ask(%L, %s, role => ''viewer'')', name, :photo), '42501', NULL, name || ' is not for who only looks') FROM route WHERE changes;

/* ---- in pieces ---- */

SELECT is((a ->> 'piece', a #>> '{body,from_byte}', a #>> '{body,size}')::text, expected, what)
    FROM (VALUES (0, 3, '("\\x010203",0,10)', 'from the beginning'), (4, 3, '("\\x050607",4,10)', 'from the middle'), (8, 100, '("\\x090a",8,10)', 'up to the end'),
        (-2, 100, '("\\x090a",8,10)', 'the last ones'), (-100, 2, '("\\x0102",0,10)', 'more last ones than there are'), (10, 5, '(,10,10)', 'none at the end'),
        (9000000000000, 5, '(,9000000000000,10)', 'none far beyond'), (0, 0, '(,0,10)', 'none if none is wanted'), (0, -1, '(,0,10)', 'nor fewer')) AS c (first, n, expected, what)
        CROSS JOIN LATERAL pg_temp.ask('media', :photo, from_byte => first, bytes => n) AS a;
SELECT is(pg_temp.ask('media', :photo) #>> '{body,sha256}', encode(sha256('\x0102030405060708090a'), 'hex'), 'with the hash that tells one file from another');

/* ---- what a browser is told ---- */

SELECT is(concat_ws(' ', t.mime_type, t.shown_as), expected, COALESCE(given, 'none'))
    FROM (VALUES ('image/jpeg', 'image/jpeg image'), ('IMAGE/PNG ', 'image/png image'), ('audio/ogg; codecs=opus', 'audio/ogg audio'), ('video/mp4', 'video/mp4 video'),
        ('application/pdf', 'application/pdf file'), ('text/html', 'application/octet-stream file'), ('image/svg+xml', 'application/octet-stream file'),
        ('application/xhtml+xml', 'application/octet-stream file'), ('text/xml', 'application/octet-stream file'), ('application/javascript', 'application/octet-stream file'),
        ('text/javascript', 'application/octet-stream file'), ('multipart/x-mixed-replace', 'application/octet-stream file'), ('image/jpeg, text/html', 'application/octet-stream file'),
        (E'image/jpeg\r\nX-Evil: 1', 'application/octet-stream file'), ('', 'application/octet-stream file'), (NULL, 'application/octet-stream file'),
        ('message/rfc822', 'application/octet-stream file'), ('application/x-shockwave-flash', 'application/octet-stream file')) AS c (given, expected)
        CROSS JOIN LATERAL wa_internal_media_as(given) AS t;
SELECT is((SELECT count(*) FROM wa_internal_harmless_media() WHERE mime_type ~ 'html|xml$|svg|script|[^a-z0-9./-]'), 0::bigint, 'no type that runs anything is served as what it is');

SELECT is(wa_internal_media_filename(given, endings::text[], 7), expected, COALESCE(quote_literal(given), 'no name'))
    FROM (VALUES ('pedido.pdf', '{pdf}', 'pedido.pdf'), ('PEDIDO.PDF', '{pdf}', 'PEDIDO.pdf'), ('Albarán nº 7.pdf', '{pdf}', 'Albarán nº 7.pdf'), ('foto.jpeg', '{jpg,jpeg}', 'foto.jpeg'),
        ('factura.pdf.exe', '{bin}', 'factura.pdf.exe.bin'), ('pedido.html', '{bin}', 'pedido.html.bin'), ('pedido.pdf.html', '{pdf}', 'pedido.pdf.html.pdf'),
        ('../../etc/passwd', '{bin}', 'passwd.bin'), ('C:\Windows\a.dll', '{bin}', 'a.dll.bin'), ('.htaccess', '{txt}', 'htaccess.txt'), ('...', '{pdf}', 'whatsapp-7.pdf'),
        (U&'factura\202Egpj.exe', '{bin}', 'facturagpj.exe.bin'), (U&'a\200B\FEFFb.pdf', '{pdf}', 'ab.pdf'), (E'a\r\nSet-Cookie: x=1.pdf', '{pdf}', 'aSet-Cookie_ x=1.pdf'),
        ('a";b=".pdf', '{pdf}', 'a__b=_.pdf'), ('$(rm -rf ~)`x`.pdf', '{pdf}', '_(rm -rf ~)_x_.pdf'), ('con.txt', '{txt}', 'whatsapp-7-con.txt'), ('NUL', '{bin}', 'whatsapp-7-NUL.bin'),
        (NULL, '{jpg,jpeg}', 'whatsapp-7.jpg'), ('', '{mp3}', 'whatsapp-7.mp3'), ('  . pan . ', '{pdf}', 'pan.pdf'), (repeat('a', 300) || '.pdf', '{pdf}', repeat('a', 80) || '.pdf'),
        ('pan.', '{pdf}', 'pan.pdf'), ('日本.docx', '{docx}', '日本.docx')) AS c (given, endings, expected);

SELECT pg_temp.fetched(pg_temp.came('100000000000001', 'document', '{"id": "1005", "mime_type": "image/jpeg", "filename": "carta.html"}'), '<script>alert(1)</script>', 'text/html') AS evil \gset
SELECT is(pg_temp.ask('media', :evil) -> 'body' ->> m, v, 'Meta''s word counts, not the customer''s: ' || m)
    FROM (VALUES ('mime_type', 'application/octet-stream'), ('filename', 'carta.html.bin'), ('shown_as', 'file')) AS c (m, v);

/* ---- while there is none ---- */

SELECT pg_temp.came('100000000000001', 'audio', '{"id": "1006", "mime_type": "audio/ogg; codecs=opus", "voice": true}', '1 hour') AS voice \gset
SELECT is(pg_temp.said(pg_temp.ask('media', :words)), '404 no_file', 'a message without a file has none');
SELECT is(pg_temp.said(pg_temp.ask('media', :voice)), '409 not_fetched', 'what was not fetched is not there');
SELECT is(pg_temp.ask('media', :voice) #>> '{body,hint}', 'POST to this address asks for it.', 'and the answer says what to do');
SELECT is(pg_temp.said(pg_temp.ask('media', :late)), '410 expired', 'after seven days Meta has none');
SELECT is(pg_temp.said(pg_temp.ask('fetch_media', :late)), '410 expired', 'nor is it asked for');
SELECT is(pg_temp.said(pg_temp.ask('fetch_media', :words)), '404 no_file', 'nor what never was');
SELECT is((SELECT count(*) FROM whatsapp_inbound_media WHERE inbound_id IN (:late, :words)), 0::bigint, 'for these nothing is written');
SELECT is(a ->> 'status' || ' ' || (a #>> '{body,media,status}'), '202 wanted', 'it is asked for') FROM pg_temp.ask('fetch_media', :voice) AS a;
SELECT is(a ->> 'status' || ' ' || (a #>> '{body,media,status}'), '202 wanted', 'twice is harmless') FROM pg_temp.ask('fetch_media', :voice) AS a;
SELECT is((SELECT (status, attempts)::text FROM whatsapp_inbound_media WHERE inbound_id = :voice), '(wanted,0)', 'a sender will fetch it');
SELECT is(pg_temp.said(pg_temp.ask('media', :voice)), '409 wanted', 'which may take a moment');
SELECT wa_internal_inbound_media_failed(:voice, 'failed', 'HTTP status 404', NULL, true, 0) \g /dev/null
SELECT is(a ->> 'status' || ' ' || (a #>> '{body,detail}'), '409 the file could not be fetched: HTTP status 404', 'or fail') FROM pg_temp.ask('media', :voice) AS a;
SELECT is(pg_temp.ask('fetch_media', :voice) ->> 'status', '202', 'then it is asked for anew');
SELECT pg_temp.fetched(:voice, 'OggS', 'audio/ogg; codecs=opus') \g /dev/null
SELECT is(pg_temp.ask('fetch_media', :voice) ->> 'status', '200', 'what is there is there');
SELECT is(pg_temp.ask('media', :voice) #>> '{body,mime_type}', 'audio/ogg', 'as what it is');
UPDATE whatsapp_inbound_messages SET sent_at = now() - interval '20 days' WHERE inbound_id = :voice;
SELECT is(pg_temp.ask('media', :voice) ->> 'status', '200', 'also when Meta has forgotten it');
UPDATE whatsapp_inbound_messages SET revoked_at = now() WHERE inbound_id = :voice;
SELECT is(pg_temp.said(pg_temp.ask('media', :voice)), '410 deleted', 'what the customer has deleted is not shown');
SELECT wa_internal_erase_inbound(ARRAY[:evil]) \g /dev/null
SELECT is(pg_temp.said(pg_temp.ask(r, :evil)), '410 erased', r || ': nor what was erased') FROM unnest('{media,fetch_media}'::text[]) AS r;

/* ---- on the page ---- */

CREATE FUNCTION pg_temp.shown(id bigint) RETURNS jsonb LANGUAGE sql AS $$ SELECT wa_internal_heard_words(i) FROM whatsapp_inbound_messages AS i WHERE i.inbound_id = id $$;
SELECT is(pg_temp.shown(:photo) -> 'media', format('{"status": "fetched", "shown_as": "image", "mime_type": "image/jpeg", "size": 10, "filename": "whatsapp-%s.jpg"}', :photo)::jsonb,
    'the page is told what to make of a file');
SELECT is(pg_temp.shown(:late) #>> '{media,status}', 'expired', 'and why there is none');
SELECT is(pg_temp.shown(id) -> 'media', 'null', 'of words, of what was deleted and of what was erased nothing') FROM unnest(ARRAY[:words, :voice, :evil]::bigint[]) AS o (id);

/* ---- reading ---- */

DELETE FROM whatsapp_read_receipts;
SELECT is(pg_temp.shown(:words) -> 'read', 'false', 'a message is unread');
SELECT is(a ->> 'status' || ' ' || (a #>> '{body,told}'), '200 true', 'somebody reads it') FROM pg_temp.ask('tenant_read', :words) AS a;
SELECT is((SELECT array_agg(inbound_id) FROM whatsapp_read_receipts), ARRAY[:words]::bigint[], 'the customer will be shown that');
SELECT is(pg_temp.shown(:words) -> 'read', 'true', 'and the page knows');
DELETE FROM whatsapp_read_receipts;
SELECT is(b - 'told', a - 'told', 'who looks again changes nothing') FROM
    (SELECT jsonb_build_object('inbound_id', inbound_id, 'read_at', read_at) AS a FROM whatsapp_inbound_messages WHERE inbound_id = :words) AS before,
    LATERAL (SELECT pg_temp.ask('tenant_read', :words) -> 'body' AS b) AS after;
SELECT is((SELECT count(*) FROM whatsapp_read_receipts), 0::bigint, 'and tells nobody again');
SELECT is(pg_temp.ask('tenant_read', :photo, role => 'admin') #>> '{body,told}', 'true', 'an administrator may read for it');

SELECT is(pg_temp.ask('notification_settings', NULL) #> '{body,read_receipts}', 'true', 'customers are shown it unless the tenant says otherwise');
SELECT is(s.body -> 'read_receipts', 'false', 'it says so') FROM wa_gateway_set_notification_settings(jsonb_build_object('actor',
    jsonb_build_object('role', 'tenant', 'key_sha256', encode(sha256(convert_to(:'key', 'UTF8')), 'hex')), 'path', '{"tenant_id": "alba"}'::jsonb, 'query', '{}'::jsonb,
    'body', '{"read_receipts": false}'::jsonb)) AS s;
DELETE FROM whatsapp_read_receipts;
SELECT pg_temp.came('100000000000001', 'text', '{"body": "¿y hoy?"}', from_user => 'ES.1234567890123') AS private \gset
SELECT is(pg_temp.ask('tenant_read', :private) #>> '{body,told}', 'false', 'then nobody is told');
SELECT is((SELECT count(*) FROM whatsapp_read_receipts), 0::bigint, 'by nobody');
SELECT is(pg_temp.shown(:private) -> 'read', 'true', 'and the page knows all the same');
SELECT is(wa_mark_read(:private), false, 'an application neither');
SELECT is((wa_configure_tenant('alba', read_receipts => true)).read_receipts, true, 'until the tenant wants it again');
SELECT is(wa_mark_read(:private), true, 'then they are');

SELECT * FROM finish();
ROLLBACK;
