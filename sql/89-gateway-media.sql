/*
 * Files that customers have sent, for whoever may see them; and that somebody has
 * read what they wrote.
 *
 * A customer chooses the bytes, the media type and the name of a file, and each of
 * them may be meant to harm whoever opens it.  What a browser is told is the list
 * below and nothing that the customer said: a type that is not in it is bytes to be
 * saved, and a name ends as its type does.
 */

/* ---- what a browser may be told ---------------------------------------------------- */

/*
 * Types that run nothing, with the endings of their names and what the page makes of
 * them.  HTML, SVG and XML are not among them and must not be.
 */
CREATE FUNCTION @extschema@.wa_internal_harmless_media()
RETURNS TABLE (mime_type text, endings text[], shown_as text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT l.mime_type, l.endings::text[], l.shown_as
    FROM (VALUES
        ('image/jpeg', '{jpg,jpeg}', 'image'),
        ('image/png', '{png}', 'image'),
        ('image/webp', '{webp}', 'image'),
        ('image/gif', '{gif}', 'image'),
        ('audio/aac', '{aac}', 'audio'),
        ('audio/mp4', '{m4a,mp4}', 'audio'),
        ('audio/mpeg', '{mp3}', 'audio'),
        ('audio/ogg', '{ogg,oga,opus}', 'audio'),
        ('audio/amr', '{amr}', 'file'),
        ('video/mp4', '{mp4}', 'video'),
        ('video/3gpp', '{3gp,3gpp}', 'file'),
        ('application/pdf', '{pdf}', 'file'),
        ('text/plain', '{txt}', 'file'),
        ('text/csv', '{csv}', 'file'),
        ('application/msword', '{doc}', 'file'),
        ('application/vnd.ms-excel', '{xls}', 'file'),
        ('application/vnd.ms-powerpoint', '{ppt}', 'file'),
        ('application/vnd.openxmlformats-officedocument.wordprocessingml.document', '{docx}', 'file'),
        ('application/vnd.openxmlformats-officedocument.spreadsheetml.sheet', '{xlsx}', 'file'),
        ('application/vnd.openxmlformats-officedocument.presentationml.presentation', '{pptx}', 'file'),
        ('application/octet-stream', '{bin}', 'file')) AS l (mime_type, endings, shown_as)
$$;

/* The one that a file goes by; parameters of its type (audio/ogg; codecs=opus) do not matter. */
CREATE FUNCTION @extschema@.wa_internal_media_as(
    given text, OUT mime_type text, OUT endings text[], OUT shown_as text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT h.mime_type, h.endings, h.shown_as
    FROM @extschema@.wa_internal_harmless_media() AS h
    WHERE h.mime_type IN (lower(btrim(split_part(given, ';', 1))), 'application/octet-stream')
    ORDER BY h.mime_type = 'application/octet-stream' LIMIT 1
$$;

/*
 * A name under which it can be saved anywhere: the last part of a path, without
 * characters that steer a terminal, a shell, a file system or the direction of
 * writing (gpj.exe), neither hidden nor ending in a dot, and with an ending of its type.
 */
CREATE FUNCTION @extschema@.wa_internal_media_filename(given text, endings text[], id bigint) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stem text := regexp_replace(COALESCE(given, ''), '^.*[/\\]', '');
    ending text;
BEGIN
    SELECT COALESCE(string_agg(
            CASE WHEN c.letter IN ('<', '>', ':', '"', '|', '?', '*', '''', '`', '$', '%', ';', '&') THEN '_'
                 ELSE c.letter END, '' ORDER BY c.place), '')
        INTO stem
        FROM string_to_table(stem, NULL) WITH ORDINALITY AS c (letter, place)
        WHERE ascii(c.letter) NOT BETWEEN 0 AND 31 AND ascii(c.letter) NOT BETWEEN 127 AND 159
            AND ascii(c.letter) NOT IN (173, 1564, 6158, 65279)
            AND ascii(c.letter) NOT BETWEEN 8203 AND 8207 AND ascii(c.letter) NOT BETWEEN 8232 AND 8238
            AND ascii(c.letter) NOT BETWEEN 8288 AND 8303 AND ascii(c.letter) NOT BETWEEN 917504 AND 917631;
    stem := btrim(stem, ' .');
    ending := lower(substring(stem FROM '\.([^.]*)$'));
    IF ending = ANY (endings) THEN
        stem := left(stem, -1 - length(ending));
    ELSE
        ending := endings[1];
    END IF;
    stem := btrim(left(stem, 80), ' .');
    IF stem = '' OR stem ~* '^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)' THEN
        stem := concat_ws('-', 'whatsapp', id, NULLIF(stem, ''));
    END IF;
    RETURN stem || '.' || ending;
END
$$;

/* ---- which message ------------------------------------------------------------------ */

/*
 * The customer's message in the path, for whoever may see it, with changes for whoever
 * may change it: of the tenant in the path, or without one for the platform's
 * administration.  What is another tenant's does not exist.
 */
CREATE FUNCTION @extschema@.wa_internal_gateway_inbound(request jsonb, changes boolean)
RETURNS @extschema@.whatsapp_inbound_messages
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_tenants CONSTANT boolean := (request -> 'path') ? 'tenant_id';
    tenant text;
    id bigint;
    m @extschema@.whatsapp_inbound_messages;
BEGIN
    IF is_tenants THEN
        tenant := @extschema@.wa_internal_gateway_own_tenant(request, changes);
    ELSE
        PERFORM @extschema@.wa_internal_gateway_begin(request, CASE WHEN changes THEN 'admin' ELSE 'viewer' END);
    END IF;
    id := @extschema@.wa_internal_gateway_id(request, 'message'::text);
    SELECT i.* INTO m FROM @extschema@.whatsapp_inbound_messages AS i
        WHERE i.inbound_id = id AND (NOT is_tenants OR i.tenant_id = tenant);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'message % does not exist', id USING ERRCODE = 'no_data_found';
    END IF;
    RETURN m;
END
$$;

/*
 * Why there is no file to be sent, as a status and a reason; NULL: there is one.  404 is
 * for a message that never had one, 409 for what may still come, 410 for what will not.
 */
CREATE FUNCTION @extschema@.wa_internal_media_obstacle(
    m @extschema@.whatsapp_inbound_messages, media_status text, OUT status integer, OUT reason text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN o.reason = 'no_file' THEN 404
                WHEN o.reason IN ('erased', 'deleted', 'expired') THEN 410
                WHEN o.reason IS NOT NULL THEN 409 END, o.reason
    FROM (SELECT CASE
            WHEN m.whatsapp_message_id LIKE 'erased.%' THEN 'erased'
            WHEN m.media_id IS NULL THEN 'no_file'
            WHEN m.revoked_at IS NOT NULL THEN 'deleted'
            WHEN media_status = 'fetched' THEN NULL
            WHEN media_status = 'wanted' THEN 'wanted'
            WHEN m.sent_at < now() - interval '7 days' THEN 'expired'
            ELSE COALESCE(media_status, 'not_fetched') END) AS o (reason)
$$;

CREATE FUNCTION @extschema@.wa_internal_media_refusal(reason text, why text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object('reason', reason, 'detail', CASE reason
        WHEN 'no_file' THEN 'this message has no file'
        WHEN 'erased' THEN 'this message was erased'
        WHEN 'deleted' THEN 'the customer has deleted this message'
        WHEN 'expired' THEN 'Meta keeps a file for 7 days, and this one was not fetched in them'
        WHEN 'wanted' THEN 'the file is being fetched'
        WHEN 'failed' THEN concat_ws(': ', 'the file could not be fetched', why)
        WHEN 'skipped' THEN concat_ws(': ', 'the file was not fetched', why)
        ELSE 'the file was not fetched' END,
        'hint', CASE WHEN reason IN ('failed', 'skipped', 'not_fetched')
            THEN 'POST to this address asks for it.' END))
$$;

/* What the pages are told of a message's file; NULL: it has none that could be shown. */
CREATE FUNCTION @extschema@.wa_internal_media_words(m @extschema@.whatsapp_inbound_messages) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object('status', COALESCE(o.reason, 'fetched'), 'shown_as', t.shown_as,
        'mime_type', t.mime_type, 'size', f.size,
        'filename', @extschema@.wa_internal_media_filename(m.filename, t.endings, m.inbound_id))
    FROM (SELECT m.inbound_id) AS i (inbound_id)
        LEFT JOIN (SELECT w.inbound_id, w.status, w.mime_type, w.size FROM @extschema@.whatsapp_inbound_media AS w) AS f
            ON f.inbound_id = i.inbound_id
        CROSS JOIN LATERAL @extschema@.wa_internal_media_as(COALESCE(f.mime_type, m.mime_type)) AS t
        CROSS JOIN LATERAL @extschema@.wa_internal_media_obstacle(m, f.status) AS o
    WHERE m.media_id IS NOT NULL AND m.revoked_at IS NULL
$$;

/* ---- the routes --------------------------------------------------------------------- */

/*
 * Unlike the other routes it has a column more, piece: bytes of the file from
 * request's from_byte on (from the end, if that is negative), as many as its bytes
 * says.  A file has up to 100 MB, and neither the gateway nor this server needs more
 * of it at a time.
 */
CREATE FUNCTION @extschema@.wa_gateway_media(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb, OUT piece bytea)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m CONSTANT @extschema@.whatsapp_inbound_messages := @extschema@.wa_internal_gateway_inbound(request, false);
    first CONSTANT bigint := COALESCE((request ->> 'from_byte')::bigint, 0);
    most CONSTANT integer := LEAST(GREATEST(COALESCE((request ->> 'bytes')::integer, 0), 0), 1048576);
    reason text;
    why text;
    begins bigint;
BEGIN
    SELECT o.status, o.reason, f.reason INTO status, reason, why
        FROM (SELECT) AS one
            LEFT JOIN @extschema@.whatsapp_inbound_media AS f ON f.inbound_id = m.inbound_id
            CROSS JOIN LATERAL @extschema@.wa_internal_media_obstacle(m, f.status) AS o;
    IF status IS NOT NULL THEN
        body := @extschema@.wa_internal_media_refusal(reason, why);
        RETURN;
    END IF;
    status := 200;
    SELECT CASE WHEN first < 0 THEN GREATEST(f.size + first, 0) ELSE first END INTO begins
        FROM @extschema@.whatsapp_inbound_media AS f WHERE f.inbound_id = m.inbound_id;
    SELECT jsonb_build_object('mime_type', t.mime_type, 'shown_as', t.shown_as, 'size', f.size,
            'sha256', encode(f.sha256, 'hex'), 'from_byte', begins,
            'filename', @extschema@.wa_internal_media_filename(m.filename, t.endings, m.inbound_id)),
           CASE WHEN begins < f.size AND most > 0
                THEN @extschema@.wa_internal_media_bytes(f.inbound_id, begins, most) END
        INTO body, piece
        FROM @extschema@.whatsapp_inbound_media AS f
            CROSS JOIN LATERAL @extschema@.wa_internal_media_as(COALESCE(f.mime_type, m.mime_type)) AS t
        WHERE f.inbound_id = m.inbound_id;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_media(jsonb) IS
'GET /api/v1/tenants/{tenant_id}/inbound/{id}/media, and /api/v1/admin/whatsapp/inbound/{id}/media: the file of a '
'customer''s message, in pieces. 404: it has none; 409: it was not fetched (yet); 410: there is none any more.';

CREATE FUNCTION @extschema@.wa_gateway_fetch_media(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m CONSTANT @extschema@.whatsapp_inbound_messages := @extschema@.wa_internal_gateway_inbound(request, true);
    reason text;
BEGIN
    SELECT o.status, o.reason INTO status, reason
        FROM (SELECT) AS one
            LEFT JOIN @extschema@.whatsapp_inbound_media AS f ON f.inbound_id = m.inbound_id
            CROSS JOIN LATERAL @extschema@.wa_internal_media_obstacle(m, f.status) AS o;
    IF status IN (404, 410) THEN
        body := @extschema@.wa_internal_media_refusal(reason, NULL::text);
        RETURN;
    END IF;
    PERFORM @extschema@.wa_fetch_media(m.inbound_id);
    status := CASE WHEN reason IS NULL THEN 200 ELSE 202 END;
    body := jsonb_build_object('inbound_id', m.inbound_id, 'media', @extschema@.wa_internal_media_words(m));
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_fetch_media(jsonb) IS
'POST to the same addresses: wa_fetch_media(). 202: it is being fetched; 200: it is there; 404 and 410 as for GET.';

CREATE FUNCTION @extschema@.wa_gateway_tenant_read(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = warning
AS $$
DECLARE
    m CONSTANT @extschema@.whatsapp_inbound_messages := @extschema@.wa_internal_gateway_inbound(request, true);
    told boolean := false;
BEGIN
    /* Once: who looks again tells nobody again. */
    IF m.read_at IS NULL THEN
        told := @extschema@.wa_mark_read(m.inbound_id);
    END IF;
    status := 200;
    SELECT jsonb_build_object('inbound_id', i.inbound_id, 'read_at', i.read_at, 'told', told) INTO body
        FROM @extschema@.whatsapp_inbound_messages AS i WHERE i.inbound_id = m.inbound_id;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_tenant_read(jsonb) IS
'POST /api/v1/tenants/{tenant_id}/inbound/{id}/read: somebody has this message before his eyes: wa_mark_read(), the '
'first time. told: Meta is asked to show that to the customer.';
