/*
 * Files that are uploaded to Meta before they are sent.
 *
 * The bytes stay here until Meta has them, and longer only while messages wait
 * that may outlive Meta's id, which is good for 30 days.
 */

CREATE TABLE @extschema@.whatsapp_media (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id       text COLLATE "C" NOT NULL,
    sha256          bytea NOT NULL,
    mime_type       text COLLATE "C" NOT NULL,
    filename        text,
    kind            text NOT NULL
        CONSTRAINT whatsapp_media_kind_check
        CHECK (kind IN ('image', 'video', 'audio', 'document', 'sticker')),
    size            integer NOT NULL,
    content         bytea,
    status          text NOT NULL DEFAULT 'waiting'
        CONSTRAINT whatsapp_media_status_check CHECK (status IN ('waiting', 'uploaded', 'failed')),
    phone_number_id text COLLATE "C",
    media_id        text,
    created_at      timestamptz NOT NULL DEFAULT pg_catalog.now(),
    uploaded_at     timestamptz,
    expires_at      timestamptz,
    attempts        smallint NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    error_code      integer,
    error           text,
    CONSTRAINT whatsapp_media_content_key UNIQUE (tenant_id, sha256, mime_type),
    CONSTRAINT whatsapp_media_uploaded_check
        CHECK (status <> 'uploaded' OR media_id IS NOT NULL AND phone_number_id IS NOT NULL
               AND expires_at IS NOT NULL),
    CONSTRAINT whatsapp_media_waiting_check CHECK (status <> 'waiting' OR content IS NOT NULL)
);
/* Photographs and PDFs are compressed already. */
ALTER TABLE @extschema@.whatsapp_media ALTER COLUMN content SET STORAGE EXTERNAL;
CREATE INDEX whatsapp_media_waiting_idx
    ON @extschema@.whatsapp_media (next_attempt_at) WHERE status = 'waiting';
CREATE INDEX whatsapp_media_uploaded_idx
    ON @extschema@.whatsapp_media (sha256, phone_number_id) WHERE status = 'uploaded';
CREATE INDEX whatsapp_media_kept_idx
    ON @extschema@.whatsapp_media (expires_at) WHERE status = 'uploaded' AND content IS NOT NULL;
COMMENT ON TABLE @extschema@.whatsapp_media IS
'Files passed to wa_upload_media(), and the state of their upload.';
COMMENT ON COLUMN @extschema@.whatsapp_media.id IS 'The ID that wa_upload_media() returns.';
COMMENT ON COLUMN @extschema@.whatsapp_media.tenant_id IS 'The tenant that it was uploaded for.';
COMMENT ON COLUMN @extschema@.whatsapp_media.sha256 IS 'SHA-256 of the bytes: the same file is uploaded once.';
COMMENT ON COLUMN @extschema@.whatsapp_media.mime_type IS 'Its media type, such as application/pdf.';
COMMENT ON COLUMN @extschema@.whatsapp_media.filename IS 'The file''s name, if one was given.';
COMMENT ON COLUMN @extschema@.whatsapp_media.kind IS
'The message type that can carry it: image, video, audio, document or sticker.';
COMMENT ON COLUMN @extschema@.whatsapp_media.size IS 'Size in bytes.';
COMMENT ON COLUMN @extschema@.whatsapp_media.content IS
'The file, until Meta has it and no waiting message could outlive Meta''s ID.';
COMMENT ON COLUMN @extschema@.whatsapp_media.status IS 'waiting, uploaded or failed.';
COMMENT ON COLUMN @extschema@.whatsapp_media.phone_number_id IS
'The number that it was uploaded for; Meta''s ID is valid for it only.';
COMMENT ON COLUMN @extschema@.whatsapp_media.media_id IS 'Meta''s ID of the file.';
COMMENT ON COLUMN @extschema@.whatsapp_media.created_at IS 'When it was first given to wa_upload_media().';
COMMENT ON COLUMN @extschema@.whatsapp_media.uploaded_at IS 'When Meta had it.';
COMMENT ON COLUMN @extschema@.whatsapp_media.expires_at IS 'When Meta''s ID expires.';
COMMENT ON COLUMN @extschema@.whatsapp_media.attempts IS 'Uploads begun for this file.';
COMMENT ON COLUMN @extschema@.whatsapp_media.next_attempt_at IS 'When the next upload is due.';
COMMENT ON COLUMN @extschema@.whatsapp_media.error_code IS 'Graph API error code of the last failure.';
COMMENT ON COLUMN @extschema@.whatsapp_media.error IS 'The error of the last upload.';

/* Which messages send it; kept as long as the message, for wa_retry_message(). */
CREATE TABLE @extschema@.whatsapp_media_uses (
    message_id bigint PRIMARY KEY,
    medium     bigint NOT NULL
);
CREATE INDEX whatsapp_media_uses_medium_idx ON @extschema@.whatsapp_media_uses (medium);
COMMENT ON TABLE @extschema@.whatsapp_media_uses IS
'Messages whose file is a row of whatsapp_media. Internal.';

/*
 * wa_upload_media() stores the bytes; sender 0 (src/sender/upload.c) uploads them and
 * calls the functions below.  A message of a file that Meta does not have yet
 * is held for the reason media_upload, without the id in its payload, and
 * released by the transaction that stores the id.
 *
 * Hold and upload may cross in concurrent transactions, so the sender also
 * looks at what is held whenever something has been (wa_internal_settle_media).
 */

/* ---- storing -------------------------------------------------------------- */

/*
 * What Meta takes, by the kind of message that can carry it (Cloud API, media
 * reference, "Supported media types").  Bytes; MB are powers of two there.
 */
CREATE FUNCTION @extschema@.wa_internal_media_types(OUT mime_type text, OUT kind text, OUT max_size integer)
RETURNS SETOF record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 20
    SET search_path = pg_catalog, pg_temp
AS $$
    VALUES
        ('image/jpeg', 'image', 5 * 1048576),
        ('image/png', 'image', 5 * 1048576),
        ('image/webp', 'sticker', 500 * 1024),
        ('audio/aac', 'audio', 16 * 1048576),
        ('audio/amr', 'audio', 16 * 1048576),
        ('audio/mpeg', 'audio', 16 * 1048576),
        ('audio/mp4', 'audio', 16 * 1048576),
        ('audio/ogg', 'audio', 16 * 1048576),
        ('video/mp4', 'video', 16 * 1048576),
        ('video/3gpp', 'video', 16 * 1048576),
        ('text/plain', 'document', 100 * 1048576),
        ('application/pdf', 'document', 100 * 1048576),
        ('application/msword', 'document', 100 * 1048576),
        ('application/vnd.ms-excel', 'document', 100 * 1048576),
        ('application/vnd.ms-powerpoint', 'document', 100 * 1048576),
        ('application/vnd.openxmlformats-officedocument.wordprocessingml.document', 'document', 100 * 1048576),
        ('application/vnd.openxmlformats-officedocument.spreadsheetml.sheet', 'document', 100 * 1048576),
        ('application/vnd.openxmlformats-officedocument.presentationml.presentation', 'document', 100 * 1048576)
$$;

/* A sticker that moves: the animation bit of the extended header (RFC 9649, 2.7). */
CREATE FUNCTION @extschema@.wa_internal_is_animated(content bytea) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT length(content) > 20 AND substr(content, 13, 4) = 'VP8X'::bytea AND get_byte(content, 20) & 2 = 2
$$;

/* The kind of message for a file of this type; an error if Meta would not take it. */
CREATE FUNCTION @extschema@.wa_internal_check_media(content bytea, mime_type text) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rule record;
    size CONSTANT integer := length(content);
BEGIN
    SELECT t.* INTO rule FROM @extschema@.wa_internal_media_types() AS t
        WHERE t.mime_type = split_part(wa_internal_check_media.mime_type, ';', 1);
    /* The type stands in a header of the upload: one parameter, no other characters. */
    IF NOT FOUND OR wa_internal_check_media.mime_type !~ '^[a-z0-9/.+-]+(; ?[a-z]+=[A-Za-z0-9.-]+)?$' THEN
        RAISE EXCEPTION 'files of type "%" cannot be sent',
            @extschema@.wa_internal_quote(wa_internal_check_media.mime_type)
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'WhatsApp accepts ' || (SELECT string_agg(t.mime_type, ', ')
                                                 FROM @extschema@.wa_internal_media_types() AS t) || '.';
    ELSIF size = 0 THEN
        RAISE EXCEPTION 'argument "content" must not be empty' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF rule.kind = 'sticker' AND NOT @extschema@.wa_internal_is_animated(content) THEN
        rule.max_size := 100 * 1024;
    END IF;
    IF size > rule.max_size THEN
        RAISE EXCEPTION 'file is too large'
            USING ERRCODE = 'program_limit_exceeded',
                  DETAIL = format('It has %s bytes; at most %s are allowed for %s.', size, rule.max_size,
                      CASE WHEN rule.kind <> 'sticker' THEN 'the type ' || rule.mime_type
                           WHEN rule.max_size > 100 * 1024 THEN 'an animated sticker'
                           ELSE 'a static sticker' END);
    END IF;
    RETURN rule.kind;
END
$$;

/*
 * Whether messages of this number that are due by then can use Meta's id.  A
 * day is left for the way from the queue to Meta.
 */
CREATE FUNCTION @extschema@.wa_internal_media_usable(
    m @extschema@.whatsapp_media, number text, due_at timestamptz) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT m.status = 'uploaded' AND m.phone_number_id = number
        AND m.expires_at > GREATEST(due_at, clock_timestamp()) + interval '1 day'
$$;

CREATE FUNCTION @extschema@.wa_upload_media(
    tenant_id text,
    content   bytea,
    mime_type text,
    filename  text DEFAULT NULL)
RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    tenant CONSTANT text := wa_upload_media.tenant_id;
    bytes CONSTANT bytea := wa_upload_media.content;
    type CONSTANT text := wa_upload_media.mime_type;
    name CONSTANT text := wa_upload_media.filename;
    number text;
    kind text;
    medium bigint;
BEGIN
    IF tenant IS NULL OR bytes IS NULL OR type IS NULL THEN
        RAISE EXCEPTION 'tenant_id, content and mime_type must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    PERFORM @extschema@.wa_internal_check_own_tenant(tenant);
    PERFORM @extschema@.wa_internal_check_tenant_exists(tenant);
    IF length(name) > 240 THEN
        RAISE EXCEPTION 'filename is too long'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('It has %s characters; at most 240 are allowed.', length(name));
    END IF;
    kind := @extschema@.wa_internal_check_media(bytes, type);
    number := @extschema@.wa_internal_number_of(tenant);

    /* The same bytes again: as they are if they wait or Meta still has them, else from the start. */
    INSERT INTO @extschema@.whatsapp_media AS m (tenant_id, sha256, mime_type, filename, kind, size, content)
        VALUES (tenant, sha256(bytes), type, name, kind, length(bytes), bytes)
        ON CONFLICT (tenant_id, sha256, mime_type) DO UPDATE
            SET content = EXCLUDED.content, status = 'waiting', attempts = 0, next_attempt_at = now(),
                error_code = NULL, error = NULL
            WHERE m.status <> 'waiting' AND NOT @extschema@.wa_internal_media_usable(m, number, now())
        RETURNING m.id INTO medium;
    IF medium IS NULL THEN
        SELECT m.id INTO STRICT medium FROM @extschema@.whatsapp_media AS m
            WHERE m.tenant_id = tenant AND m.sha256 = sha256(bytes) AND m.mime_type = type;
    ELSE
        PERFORM @extschema@.wa_internal_wake_due(clock_timestamp());
    END IF;
    RETURN medium;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_upload_media(text, bytea, text, text) IS
'Has the sender upload a file for the tenant''s number after COMMIT, and returns its ID for wa_enqueue_media(…, '
'media => id) or the header of a template ({"header": {"document": {"media": id}}}). whatsapp_media shows the '
'result. The same bytes are uploaded once in the 30 days for which Meta keeps them. Limits: images 5 MB, audio and '
'video 16 MB, documents 100 MB, stickers 100 kB, animated ones 500 kB. Errors: 22004, 22023 type that cannot be '
'sent, 42704 unknown tenant, 54000 too large.';

/* ---- uploading --------------------------------------------------------------- */

/*
 * The next file to upload, for a number that is not busy; the attempt is
 * counted, and would be repeated at next_attempt_at if nobody heard of it
 * again.  A file that Meta already has from another tenant of the same number
 * needs no upload.
 */
CREATE FUNCTION @extschema@.wa_internal_next_media(busy text[], retry_ms bigint, max_retry_ms bigint)
RETURNS TABLE (id bigint, phone_number_id text, mime_type text, filename text, content bytea, attempts integer)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    m @extschema@.whatsapp_media;
    other @extschema@.whatsapp_media;
    number text;
BEGIN
    LOOP
        SELECT w.* INTO m
            FROM @extschema@.whatsapp_media AS w
                JOIN @extschema@.whatsapp_tenants AS t ON t.tenant_id = w.tenant_id AND t.enabled
                CROSS JOIN LATERAL @extschema@.wa_internal_number_of(w.tenant_id) AS n (number)
            WHERE w.status = 'waiting' AND w.next_attempt_at <= clock_timestamp()
                AND n.number IS NOT NULL AND n.number <> ALL (busy)
            ORDER BY w.next_attempt_at
            LIMIT 1
            FOR UPDATE OF w SKIP LOCKED;
        EXIT WHEN NOT FOUND;
        number := @extschema@.wa_internal_number_of(m.tenant_id);

        SELECT o.* INTO other FROM @extschema@.whatsapp_media AS o
            WHERE o.sha256 = m.sha256 AND o.phone_number_id = number AND o.status = 'uploaded'
                AND o.mime_type = m.mime_type AND o.id <> m.id
                AND @extschema@.wa_internal_media_usable(o, number, now())
            ORDER BY o.expires_at DESC LIMIT 1;
        IF FOUND THEN
            PERFORM @extschema@.wa_internal_media_uploaded(m.id, number, other.media_id, other.uploaded_at);
            CONTINUE;
        END IF;

        UPDATE @extschema@.whatsapp_media AS w
            SET attempts = w.attempts + 1,
                next_attempt_at = clock_timestamp() + make_interval(
                    secs => LEAST(retry_ms * 2 ^ LEAST(w.attempts, 30), max_retry_ms) / 1000)
            WHERE w.id = m.id;
        RETURN QUERY SELECT m.id, number, m.mime_type, m.filename, m.content, m.attempts + 1;
        RETURN;
    END LOOP;
END
$$;

/* When the next attempt is due that is not due yet. */
CREATE FUNCTION @extschema@.wa_internal_next_media_time() RETURNS timestamptz
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT m.next_attempt_at FROM @extschema@.whatsapp_media AS m
    WHERE m.status = 'waiting' AND m.next_attempt_at > clock_timestamp()
    ORDER BY m.next_attempt_at LIMIT 1
$$;

/* Meta has it: what waits for it goes on. */
CREATE FUNCTION @extschema@.wa_internal_media_uploaded(
    medium bigint, number text, meta_id text, at timestamptz DEFAULT pg_catalog.clock_timestamp()) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE @extschema@.whatsapp_media AS m
        SET status = 'uploaded', phone_number_id = number, media_id = meta_id, uploaded_at = at,
            expires_at = at + interval '30 days', error_code = NULL, error = NULL
        WHERE m.id = medium AND m.status = 'waiting';
    IF FOUND THEN
        PERFORM @extschema@.wa_internal_apply_media(medium);
    END IF;
END
$$;

/*
 * An upload did not succeed: again later, or given up.  An attempt for which
 * the file was not to blame does not count.
 */
CREATE FUNCTION @extschema@.wa_internal_media_failed(
    medium bigint, code integer, message text, for_good boolean, counts boolean, delay_ms bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE @extschema@.whatsapp_media AS m
        SET status = CASE WHEN for_good THEN 'failed' ELSE m.status END,
            content = CASE WHEN NOT for_good THEN m.content END,
            attempts = m.attempts - CASE WHEN counts THEN 0 ELSE 1 END,
            next_attempt_at = clock_timestamp() + make_interval(secs => delay_ms / 1000.0),
            error_code = code, error = message
        WHERE m.id = medium AND m.status = 'waiting';
    IF for_good THEN
        PERFORM @extschema@.wa_internal_settle_media();
    END IF;
END
$$;

/* ---- messages that wait ---------------------------------------------------------- */

/* Where in a message's payload Meta's id stands: in a template's header, or at the top. */
CREATE FUNCTION @extschema@.wa_internal_media_path(payload jsonb) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN payload ? 'components'
        THEN ARRAY['components', '0', 'parameters', '0', payload #>> '{components,0,parameters,0,type}', 'id']
        ELSE '{id}' END
$$;

/* Puts Meta's id into the messages that are still to be sent, and releases those held for it. */
CREATE FUNCTION @extschema@.wa_internal_apply_media(medium bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m @extschema@.whatsapp_media;
    ids bigint[];
    held bigint[];
BEGIN
    SELECT o.* INTO STRICT m FROM @extschema@.whatsapp_media AS o WHERE o.id = medium;
    SELECT COALESCE(array_agg(locked.message_id), '{}'),
           COALESCE(array_agg(locked.message_id)
               FILTER (WHERE locked.state = 'h' AND locked.hold_reason = 'media_upload'), '{}')
        INTO ids, held
        FROM (
            SELECT q.message_id, q.state, q.hold_reason
            FROM @extschema@.whatsapp_media_uses AS u
                JOIN @extschema@.whatsapp_queue AS q ON q.message_id = u.message_id
            WHERE u.medium = wa_internal_apply_media.medium AND q.state IN ('r', 'd', 'h')
                AND q.phone_number_id = m.phone_number_id
            ORDER BY q.message_id
            FOR UPDATE OF q SKIP LOCKED) AS locked;
    ids := @extschema@.wa_internal_subtract(ids, @extschema@.wa_internal_on_wire(ids));
    UPDATE @extschema@.whatsapp_messages AS o
        SET payload = jsonb_set(o.payload, @extschema@.wa_internal_media_path(o.payload), to_jsonb(m.media_id))
        WHERE o.id = ANY (ids)
            AND o.payload #>> @extschema@.wa_internal_media_path(o.payload) IS DISTINCT FROM m.media_id;
    PERFORM @extschema@.wa_internal_place_rows(held);
END
$$;

/*
 * Whether the message has to wait for its file: it has one, and what Meta has
 * of it is not for the number the message leaves from, or not for much longer.
 */
CREATE FUNCTION @extschema@.wa_internal_awaits_media(message bigint, number text) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM @extschema@.whatsapp_media_uses AS u
            JOIN @extschema@.whatsapp_messages AS o ON o.id = u.message_id
            LEFT JOIN @extschema@.whatsapp_media AS m ON m.id = u.medium
        WHERE u.message_id = message
            AND NOT COALESCE(m.status = 'uploaded' AND m.phone_number_id = number
                             AND m.expires_at > clock_timestamp()
                             AND o.payload #>> @extschema@.wa_internal_media_path(o.payload) = m.media_id, false))
$$;

/* Messages whose file will never arrive fail; their queue rows are locked. */
CREATE FUNCTION @extschema@.wa_internal_fail_for_media(ids bigint[]) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH gone AS (
        DELETE FROM @extschema@.whatsapp_queue AS q WHERE q.message_id = ANY (ids) RETURNING q.message_id)
    UPDATE @extschema@.whatsapp_messages AS o
        SET status = 'failed', status_reason = 'media_upload', failed_at = clock_timestamp(),
            finished_at = clock_timestamp(), error_code = m.error_code,
            error_message = CASE
                WHEN m.id IS NULL OR m.status <> 'failed'
                    THEN format('file %s is no longer stored; upload it again', u.medium)
                ELSE format('file %s could not be uploaded: %s', u.medium, m.error) END
        FROM gone
            JOIN @extschema@.whatsapp_media_uses AS u ON u.message_id = gone.message_id
            LEFT JOIN @extschema@.whatsapp_media AS m ON m.id = u.medium
        WHERE o.id = gone.message_id
$$;

/*
 * Looks at what is held for a file: goes on with what need not wait (any
 * more), fails what waits in vain, and has a file uploaded again whose id is
 * not good for the number, or will soon not be good at all.
 */
CREATE FUNCTION @extschema@.wa_internal_settle_media() RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    ready bigint;
    again bigint[];
    vain bigint[];
    ids bigint[];
BEGIN
    FOR ready IN
        SELECT DISTINCT m.id
        FROM @extschema@.whatsapp_queue AS q
            JOIN @extschema@.whatsapp_media_uses AS u ON u.message_id = q.message_id
            JOIN @extschema@.whatsapp_media AS m ON m.id = u.medium
        WHERE q.state = 'h' AND q.hold_reason = 'media_upload'
            AND @extschema@.wa_internal_media_usable(m, q.phone_number_id, now())
            AND (m.content IS NOT NULL OR @extschema@.wa_internal_media_usable(m, q.phone_number_id, q.due_at))
    LOOP
        PERFORM @extschema@.wa_internal_apply_media(ready);
    END LOOP;

    /* Of another number, or too old, and wanted. */
    SELECT COALESCE(array_agg(DISTINCT m.id), '{}') INTO again
        FROM @extschema@.whatsapp_queue AS q
            JOIN @extschema@.whatsapp_media_uses AS u ON u.message_id = q.message_id
            JOIN @extschema@.whatsapp_media AS m ON m.id = u.medium
        WHERE q.state = 'h' AND q.hold_reason = 'media_upload'
            AND m.status = 'uploaded' AND m.content IS NOT NULL
            AND NOT @extschema@.wa_internal_media_usable(m, q.phone_number_id, now());
    again := again || COALESCE((
        SELECT array_agg(m.id)
        FROM @extschema@.whatsapp_media AS m
        WHERE m.status = 'uploaded' AND m.content IS NOT NULL
            AND m.expires_at < clock_timestamp() + interval '1 day'
            AND @extschema@.wa_internal_media_wanted(m.id)), '{}');
    UPDATE @extschema@.whatsapp_media AS m
        SET status = 'waiting', attempts = 0, next_attempt_at = clock_timestamp()
        WHERE m.id = ANY (again) AND m.status = 'uploaded';

    /* An id that has run out already must not be sent. */
    SELECT COALESCE(array_agg(locked.message_id), '{}') INTO ids FROM (
        SELECT q.message_id
        FROM @extschema@.whatsapp_media AS m
            JOIN @extschema@.whatsapp_media_uses AS u ON u.medium = m.id
            JOIN @extschema@.whatsapp_queue AS q ON q.message_id = u.message_id
        WHERE m.id = ANY (again) AND m.expires_at <= clock_timestamp() AND q.state IN ('r', 'd')
        ORDER BY q.message_id
        FOR UPDATE OF q SKIP LOCKED) AS locked;
    ids := @extschema@.wa_internal_subtract(ids, @extschema@.wa_internal_on_wire(ids));
    PERFORM @extschema@.wa_internal_place_rows(ids);

    SELECT COALESCE(array_agg(locked.message_id), '{}') INTO vain FROM (
        SELECT q.message_id
        FROM @extschema@.whatsapp_queue AS q
            LEFT JOIN @extschema@.whatsapp_media_uses AS u ON u.message_id = q.message_id
            LEFT JOIN @extschema@.whatsapp_media AS m ON m.id = u.medium
        WHERE q.state = 'h' AND q.hold_reason = 'media_upload'
            AND (m.id IS NULL OR m.status = 'failed'
                 OR m.status = 'uploaded' AND m.content IS NULL
                    AND NOT @extschema@.wa_internal_media_usable(m, q.phone_number_id, q.due_at))
        ORDER BY q.message_id
        FOR UPDATE OF q SKIP LOCKED) AS locked;
    PERFORM @extschema@.wa_internal_fail_for_media(vain);
END
$$;

/* Whether a message may still have to send it. */
CREATE FUNCTION @extschema@.wa_internal_media_wanted(medium bigint) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM @extschema@.whatsapp_media_uses AS u
            JOIN @extschema@.whatsapp_queue AS q ON q.message_id = u.message_id
        WHERE u.medium = wa_internal_media_wanted.medium)
$$;

/*
 * For the sweep: lets go of bytes that Meta has and no message waits for (nor
 * one that is just being written), of files long out of use, and of notes on messages that retention has removed.
 */
CREATE FUNCTION @extschema@.wa_internal_clean_media(retention interval) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    UPDATE @extschema@.whatsapp_media AS m SET content = NULL
        WHERE m.status = 'uploaded' AND m.content IS NOT NULL
            AND m.uploaded_at < now() - interval '10 minutes'
            AND NOT @extschema@.wa_internal_media_wanted(m.id);
    IF retention > '0' THEN
        DELETE FROM @extschema@.whatsapp_media AS m
            WHERE m.status <> 'waiting'
                AND COALESCE(m.expires_at, m.next_attempt_at) < now() - retention
                AND NOT @extschema@.wa_internal_media_wanted(m.id);
        DELETE FROM @extschema@.whatsapp_media_uses AS u
            WHERE NOT EXISTS (SELECT FROM @extschema@.whatsapp_messages AS o WHERE o.id = u.message_id);
    END IF;
END
$$;
