/*
 * Files for Meta: what wa_upload_media() takes, and what becomes of messages
 * that send such a file.  Nothing is uploaded here; the functions that the
 * sender calls are called in its place.
 */
\ir ../lib/begin.sql
SELECT plan(77);

SELECT wa_assign_phone('panaderia', '100000000000001') \g /dev/null
SELECT wa_assign_phone('otra', '100000000000002') \g /dev/null
INSERT INTO whatsapp_windows
    SELECT n, '+34600112233', now() + interval '60 days' FROM unnest('{100000000000001,100000000000002,100000000000003}'::text[]) AS n;

CREATE FUNCTION pg_temp.file(size integer, seed text DEFAULT '') RETURNS bytea LANGUAGE sql AS
    $$SELECT convert_to(rpad(seed, size, 'x'), 'UTF8')$$;
CREATE FUNCTION pg_temp.refused(content text, type text, state text, message text, detail text, description text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    got_state text; got_message text; got_detail text;
BEGIN
    BEGIN
        EXECUTE format('SELECT wa_upload_media(%L, %s, %L)', 'panaderia', content, type);
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS got_state = RETURNED_SQLSTATE, got_message = MESSAGE_TEXT, got_detail = PG_EXCEPTION_DETAIL;
    END;
    RETURN NEXT is((got_state, got_message), (state, message), description);
    RETURN NEXT matches(got_detail, detail, description || ': the detail');
END $$;
CREATE FUNCTION pg_temp.send(medium bigint, type text DEFAULT 'document', at timestamptz DEFAULT now()) RETURNS bigint LANGUAGE sql AS
    $$SELECT wa_enqueue_media('panaderia', '+34600112233', type, media => medium, caption => CASE WHEN type = 'document' THEN 'c' END, scheduled_at => at)$$;
CREATE FUNCTION pg_temp.place(message bigint) RETURNS text LANGUAGE sql AS
    $$SELECT concat_ws(' ', state, hold_reason) FROM whatsapp_queue WHERE message_id = $1$$;
/* Rows with literals in them, whose types do not matter. */
CREATE FUNCTION pg_temp.same(got anyelement, expected anycompatible, description text) RETURNS text LANGUAGE sql AS
    'SELECT is($1::text, $2::text, $3)';
CREATE FUNCTION pg_temp.payload(message bigint) RETURNS jsonb LANGUAGE sql AS
    $$SELECT payload FROM whatsapp_messages WHERE id = $1$$;

/* ---- what can be uploaded ---- */

SELECT is(wa_internal_check_media('x', t.mime_type), t.kind, t.mime_type || ' is sent as ' || t.kind)
FROM (VALUES ('image/jpeg', 'image'), ('image/png', 'image'), ('image/webp', 'sticker'), ('audio/ogg; codecs=opus', 'audio'),
      ('video/mp4', 'video'), ('application/pdf', 'document'), ('text/plain', 'document')) AS t (mime_type, kind);
SELECT pg_temp.refused($$'x'$$, 'image/gif', '22023', 'files of type "image/gif" cannot be sent', '^WhatsApp accepts image/jpeg, .*\.$', 'a GIF');
SELECT pg_temp.refused($$'x'$$, E'text/plain; charset=a\r\nX: b', '22023', 'files of type "text/plain; charset=a\x0d\x0aX: b" cannot be sent', '.', 'a type with a line end');
SELECT pg_temp.refused($$''$$, 'image/png', '22023', 'argument "content" must not be empty', '^$', 'no bytes');
SELECT pg_temp.refused(format('pg_temp.file(%s)', t.max + 1), t.type, '54000', 'file is too large', t.detail, t.type || ' over its limit')
FROM (VALUES ('image/jpeg', 5242880, '^It has 5242881 bytes; at most 5242880 are allowed for the type image/jpeg\.$'),
      ('audio/mpeg', 16777216, 'at most 16777216'), ('video/mp4', 16777216, 'at most 16777216'),
      ('image/webp', 102400, 'for a static sticker')) AS t (type, max, detail);
SELECT lives_ok(format($$SELECT wa_upload_media('panaderia', pg_temp.file(%s, %L), %L)$$, t.max, t.type, t.type), t.type || ' of just its limit')
FROM (VALUES ('image/jpeg', 5242880), ('image/webp', 102400)) AS t (type, max);
/* RIFF, size, WEBP, VP8X, size, flags with the animation bit */
SELECT lives_ok($$SELECT wa_upload_media('panaderia', '\x524946460000000057454250565038580a00000002000000'::bytea || pg_temp.file(400000), 'image/webp')$$,
    'an animated sticker may be larger');
SELECT throws_ok($$SELECT wa_upload_media('panaderia', '\x524946460000000057454250565038580a00000010000000'::bytea || pg_temp.file(400000), 'image/webp')$$,
    '54000', 'file is too large', 'one that is only transparent may not');
SELECT throws_ok($$SELECT wa_upload_media('nadie', 'x', 'image/png')$$, '42704', 'tenant "nadie" does not exist', 'an unknown tenant');
SELECT throws_ok($$SELECT wa_upload_media('panaderia', NULL, 'image/png')$$, '22004', 'tenant_id, content and mime_type must not be null', 'nothing');
SELECT throws_ok($$SELECT wa_upload_media('panaderia', 'x', 'image/png', repeat('n', 241))$$, '22023', 'filename is too long', 'a long name');

/* ---- the same bytes ---- */

SELECT wa_upload_media('panaderia', pg_temp.file(10, 'a'), 'application/pdf', 'a.pdf') AS a \gset
SELECT pg_temp.same((m.tenant_id, m.kind, m.size, m.status, m.sha256, m.filename, m.content), ('panaderia'::text, 'document'::text, 10, 'waiting'::text, sha256(pg_temp.file(10, 'a')), 'a.pdf'::text, pg_temp.file(10, 'a')), 'a file is stored')
    FROM whatsapp_media m WHERE id = :a;
SELECT is(wa_upload_media('panaderia', pg_temp.file(10, 'a'), 'application/pdf'), :a::bigint, 'the same bytes are the same file');
SELECT isnt(wa_upload_media('panaderia', pg_temp.file(10, 'a'), 'text/plain'), :a::bigint, 'not as another type');
SELECT isnt(wa_upload_media('otra', pg_temp.file(10, 'a'), 'application/pdf'), :a::bigint, 'not for another tenant');
SELECT wa_configure_tenant('7', is_new => true) \g /dev/null
SELECT isnt(wa_upload_media(7, pg_temp.file(10, 'a'), 'application/pdf'), NULL, 'a tenant id that is a number');
DELETE FROM whatsapp_media WHERE id <> :a;

/* ---- messages ---- */

SELECT throws_ok(format($$SELECT wa_enqueue_media('panaderia', '+34600112233', 'image', media => %s)$$, :a), '22023', format('file %s cannot be sent as "image"', :a), 'as another kind');
SELECT throws_ok(format($$SELECT wa_enqueue_media('otra', '+34600112233', 'document', media => %s)$$, :a), '42704', format('file %s of tenant "otra" does not exist', :a), 'of another tenant');
SELECT throws_ok(format($$SELECT wa_enqueue_media('panaderia', '+34600112233', 'document', media_id => '9', media => %s)$$, :a), '22023',
    'a message of type "document" needs a link, a media id or a file, and only one of them', 'file and id');
SELECT throws_ok($$SELECT wa_enqueue_media('panaderia', '+34600112233', 'document', media => 0)$$, '22023', 'argument "media" must be what wa_upload_media() returned', 'a file 0');

SELECT pg_temp.send(:a) AS now, pg_temp.send(:a, at => now() + interval '40 days') AS later \gset
SELECT is(pg_temp.place(:now), 'h media_upload', 'a message of a file that waits is held');
SELECT is(pg_temp.payload(:now), '{"caption": "c", "filename": "a.pdf"}', 'without an id, under the file''s own name');

SELECT is(array(SELECT id FROM wa_internal_next_media('{100000000000001}', 2000, 60000)), '{}', 'a busy number is passed over');
SELECT pg_temp.same((id, phone_number_id, mime_type, filename, content, attempts), (:a::bigint, '100000000000001'::text, 'application/pdf'::text, 'a.pdf'::text, pg_temp.file(10, 'a'), 1), 'the sender takes the file')
    FROM wa_internal_next_media('{}', 2000, 60000);
SELECT is(array(SELECT id FROM wa_internal_next_media('{}', 2000, 60000)), '{}', 'once, until its back-off is over');
SELECT wa_internal_media_failed(:a, 2, 'temporary', false, true, 5000);
SELECT pg_temp.same((status, error, content IS NOT NULL, next_attempt_at > clock_timestamp()), ('waiting'::text, 'temporary'::text, true, true), 'a failure that may pass') FROM whatsapp_media WHERE id = :a;
SELECT is(pg_temp.place(:now), 'h media_upload', 'leaves the message waiting');
SELECT wa_internal_media_uploaded(:a, '100000000000001', '900000000000001');
SELECT pg_temp.same((pg_temp.place(:now), pg_temp.payload(:now)), ('r', '{"id": "900000000000001", "caption": "c", "filename": "a.pdf"}'::jsonb), 'the upload releases the message');
SELECT pg_temp.same((pg_temp.place(:later), pg_temp.payload(:later) ->> 'id'), ('d scheduled', '900000000000001'), 'a later one until it is due');
SELECT pg_temp.same((status, attempts, error, expires_at - uploaded_at), ('uploaded'::text, 1::smallint, NULL::text, interval '30 days'), 'its id is good for 30 days') FROM whatsapp_media WHERE id = :a;
SELECT pg_temp.send(:a) AS again \gset
SELECT pg_temp.same((pg_temp.place(:again), pg_temp.payload(:again) ->> 'id'), ('r', '900000000000001'), 'further messages have the id at once');

/* ---- the end of the id ---- */

UPDATE whatsapp_media SET expires_at = now() + interval '2 days';
SELECT wa_internal_settle_media();
SELECT is(status, 'uploaded', 'an id that is good for two days is left alone') FROM whatsapp_media WHERE id = :a;
UPDATE whatsapp_media SET expires_at = now() + interval '23 hours';
SELECT wa_internal_settle_media();
SELECT is(status, 'waiting', 'one that is good for less is renewed while messages wait') FROM whatsapp_media WHERE id = :a;
SELECT is(pg_temp.place(:again), 'r', 'which do not wait for that');
UPDATE whatsapp_media SET status = 'uploaded', expires_at = now() - interval '1 second';
SELECT wa_internal_settle_media();
SELECT pg_temp.same((pg_temp.place(:again), pg_temp.place(:later)), ('h media_upload', 'h media_upload'), 'an id that has ended holds them');
SELECT wa_internal_media_uploaded(:a, '100000000000001', '900000000000002');
SELECT pg_temp.same((pg_temp.place(:again), pg_temp.place(:later), pg_temp.payload(:later) ->> 'id'), ('r', 'd scheduled', '900000000000002'), 'until there is a new one');

/* ---- another number ---- */

SELECT wa_unassign_phone('panaderia'), wa_assign_phone('panaderia', '100000000000003') \g /dev/null
SELECT is(pg_temp.place(:later), 'h media_upload', 'on another number the id is of no use');
SELECT wa_internal_settle_media();
SELECT is(phone_number_id, '100000000000003', 'so the file is uploaded for that') FROM wa_internal_next_media('{}', 2000, 60000);
SELECT wa_internal_media_uploaded(:a, '100000000000003', '900000000000003');
SELECT pg_temp.same((pg_temp.place(:later), pg_temp.payload(:later) ->> 'id'), ('d scheduled', '900000000000003'), 'and then the message goes on');

/* ---- for good ---- */

SELECT wa_upload_media('panaderia', pg_temp.file(10, 'b'), 'application/pdf') AS b \gset
SELECT pg_temp.send(:b) AS vain \gset
SELECT wa_internal_media_failed(:b, 100, 'not a PDF', true, true, 0);
SELECT pg_temp.same((status, status_reason, error_code, error_message, pg_temp.place(id)), ('failed', 'media_upload', 100, format('file %s could not be uploaded: not a PDF', :b), NULL::text), 'a refused file fails its messages')
    FROM whatsapp_messages WHERE id = :vain;
SELECT throws_ok(format('SELECT pg_temp.send(%s)', :b), '55000', format('file %s could not be uploaded', :b), 'and further ones are refused');
SELECT is(wa_upload_media('panaderia', pg_temp.file(10, 'b'), 'application/pdf'), :b::bigint, 'the same bytes begin anew');
SELECT pg_temp.same((wa_retry_message(:vain), pg_temp.place(:vain)), (true, 'h media_upload'), 'and so does the message');

/* ---- what is kept ---- */

UPDATE whatsapp_media SET uploaded_at = now() - interval '11 minutes' WHERE id = :a;
SELECT wa_internal_clean_media('90 days');
SELECT is(content IS NULL, false, 'the bytes are kept while messages wait') FROM whatsapp_media WHERE id = :a;
SELECT wa_cancel_message(id) FROM whatsapp_messages WHERE id IN (:now, :later, :again) \g /dev/null
SELECT wa_internal_clean_media('90 days');
SELECT is(content IS NULL, true, 'and no longer') FROM whatsapp_media WHERE id = :a;
SELECT throws_ok(format($$SELECT pg_temp.send(%s, at => now() + interval '31 days')$$, :a), '55000', format('file %s is not kept any longer', :a), 'a message that is due after the end of the id');
UPDATE whatsapp_media SET expires_at = now() - interval '91 days' WHERE id = :a;
SELECT wa_internal_clean_media('0');
SELECT is(count(*), 1::bigint, 'retention 0 keeps all') FROM whatsapp_media WHERE id = :a;
SELECT wa_internal_clean_media('90 days');
SELECT is(count(*), 0::bigint, 'retention removes what is long out of use') FROM whatsapp_media WHERE id = :a;
SELECT throws_ok(format('SELECT wa_retry_message(%s)', :later), '55000', format('the file of message %s is not kept any longer', :later), 'whose messages cannot be sent again');

/* ---- in the header of a template ---- */

SELECT wa_register_template('factura', 'es', '[{"type": "HEADER", "format": "DOCUMENT"}, {"type": "BODY", "text": "Su factura {{1}}."}]') \g /dev/null
SELECT wa_upload_media('panaderia', pg_temp.file(10, 'h'), 'application/pdf', 'F-17.pdf') AS h \gset
CREATE FUNCTION pg_temp.invoice(medium text, options text DEFAULT '') RETURNS bigint LANGUAGE sql AS $$
    SELECT wa_enqueue_message('panaderia', '+34600112244', 'factura',
        format('{"header": {"document": {"media": %s%s}}, "body": ["17"]}', medium, options)::jsonb)
$$;
CREATE FUNCTION pg_temp.header(message bigint) RETURNS jsonb LANGUAGE sql AS
    $$SELECT pg_temp.payload(message) #> '{components,0,parameters,0}'$$;
SELECT pg_temp.invoice(:'h') AS invoice \gset
SELECT pg_temp.same((pg_temp.place(:invoice), pg_temp.header(:invoice)), ('h media_upload', '{"type": "document", "document": {"filename": "F-17.pdf"}}'::jsonb),
    'a template whose document is not uploaded yet waits for it');
SELECT wa_internal_media_uploaded(:h, wa_internal_number_of('panaderia'), '900000000000007');
SELECT pg_temp.same((pg_temp.place(:invoice), pg_temp.header(:invoice)), ('r', '{"type": "document", "document": {"id": "900000000000007", "filename": "F-17.pdf"}}'::jsonb),
    'the upload puts the id into the header, and releases it');
SELECT is(pg_temp.header(pg_temp.invoice(:'h', ', "filename": "a.pdf"')), '{"type": "document", "document": {"id": "900000000000007", "filename": "a.pdf"}}',
    'further ones have it at once, and may give it another name');
SELECT is(pg_temp.payload(:invoice) #> '{components,1}', '{"type": "body", "parameters": [{"type": "text", "text": "17"}]}', 'the rest of the template is untouched');
SELECT pg_temp.same((wa_cancel_message(:invoice), wa_retry_message(:invoice), pg_temp.place(:invoice)), (true, true, 'h media_upload'), 'put back by hand, it looks for the file again');
SELECT wa_internal_settle_media();
SELECT is(pg_temp.place(:invoice), 'r', 'and finds it');
SELECT is(pg_temp.header(id), '{"type": "document", "document": {"id": "900000000000007", "filename": "F-17.pdf"}}', 'in bulk, too')
    FROM wa_enqueue_bulk('panaderia', 'factura', '["+34600112245"]', format('{"header": {"document": {"media": %s}}, "body": ["1"]}', :h)::jsonb) AS id;
SELECT is(pg_temp.header(wa_enqueue_media('panaderia', '+34600112299', 'document', media => other.a0, fallback_template => 'factura',
    fallback_parameters => format('{"header": {"document": {"media": %s}}, "body": ["1"]}', :h)::jsonb)),
    '{"type": "document", "document": {"id": "900000000000007", "filename": "F-17.pdf"}}', 'a fallback template has a file of its own')
    FROM (SELECT wa_upload_media('panaderia', 'other', 'text/plain')) AS other (a0);
SELECT throws_ok($$SELECT pg_temp.invoice('999999')$$, '42704', 'file 999999 of tenant "panaderia" does not exist', 'an unknown file');
SELECT throws_ok($$SELECT pg_temp.invoice('"x"')$$, '22023', 'invalid template parameters', 'no file');
SELECT throws_ok($$SELECT pg_temp.invoice(wa_upload_media('panaderia', 'x', 'image/png')::text)$$, '22023', NULL, 'a picture is no document');

SELECT * FROM finish();
ROLLBACK;
