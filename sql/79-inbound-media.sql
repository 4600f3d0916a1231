/*
 * Files that customers send: fetched before Meta forgets them, a week after the message.
 *
 * A file that is wanted is a row, written in the transaction that stores the message
 * (whatsapp_shared.fetch_media) or asks for it (wa_fetch_media); sender 0 fetches it
 * (src/sender/fetch.c) and stores the bytes, if they are those that Meta announced.
 *
 * The bytes are in rows of a table beside it, in pieces, so that the sender stores one
 * between two looks at its messages, however large the file is.  No large object: rows
 * are under the rights and policies of their file, and go with it, so nothing
 * is left behind that nobody points to any more.  And the file goes with the message.
 */
CREATE TABLE @extschema@.whatsapp_inbound_media (
    inbound_id      bigint PRIMARY KEY
        CONSTRAINT whatsapp_inbound_media_inbound_id_fkey
        REFERENCES @extschema@.whatsapp_inbound_messages (inbound_id) ON DELETE CASCADE,
    tenant_id       text COLLATE "C",
    phone_number_id text COLLATE "C" NOT NULL,
    media_id        text COLLATE "C" NOT NULL,
    status          text NOT NULL DEFAULT 'wanted'
        CONSTRAINT whatsapp_inbound_media_status_check CHECK (status IN ('wanted', 'fetched', 'failed', 'skipped')),
    reason          text,
    requested_at    timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    attempts        integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    ended_at        timestamptz,
    mime_type       text,
    size            bigint,
    sha256          bytea,
    CONSTRAINT whatsapp_inbound_media_fetched_check
        CHECK ((status = 'fetched') = (sha256 IS NOT NULL) AND (status = 'wanted') = (ended_at IS NULL))
);
CREATE INDEX whatsapp_inbound_media_due_idx
    ON @extschema@.whatsapp_inbound_media (next_attempt_at) WHERE status = 'wanted';
CREATE INDEX whatsapp_inbound_media_number_idx
    ON @extschema@.whatsapp_inbound_media (phone_number_id, next_attempt_at) WHERE status = 'wanted';
CREATE INDEX whatsapp_inbound_media_failed_idx
    ON @extschema@.whatsapp_inbound_media (ended_at) WHERE status = 'failed';
COMMENT ON TABLE @extschema@.whatsapp_inbound_media IS
'Files of customers'' messages that are fetched from Meta, and what became of that; a row goes with its message. '
'Written as whatsapp_shared.fetch_media says, and by wa_fetch_media(); read by wa_media_content().';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media.inbound_id IS 'The message.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media.tenant_id IS 'The message''s tenant; NULL: none.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media.phone_number_id IS 'The number that the customer wrote to.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media.media_id IS 'Meta''s ID of the file, good for 7 days.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media.status IS
'wanted, fetched, failed (it will not be tried again) or skipped (by a setting).';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media.reason IS
'Why it failed or was skipped, or the last attempt failed.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media.requested_at IS 'When it was asked for.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media.attempts IS 'Attempts begun to fetch it.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media.next_attempt_at IS 'Not fetched before this time.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media.ended_at IS 'When it was fetched, failed or was skipped.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media.mime_type IS 'The media type that Meta gave with the file.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media.size IS 'Size in bytes, once Meta has told it.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media.sha256 IS
'SHA-256 of the bytes, as Meta announced it and it was found; NULL until it is fetched.';

CREATE TABLE @extschema@.whatsapp_inbound_media_pieces (
    inbound_id bigint
        CONSTRAINT whatsapp_inbound_media_pieces_inbound_id_fkey
        REFERENCES @extschema@.whatsapp_inbound_media (inbound_id) ON DELETE CASCADE,
    from_byte  bigint,
    bytes      bytea NOT NULL,
    PRIMARY KEY (inbound_id, from_byte)
);
/* Photographs and PDFs are compressed already. */
ALTER TABLE @extschema@.whatsapp_inbound_media_pieces ALTER COLUMN bytes SET STORAGE EXTERNAL;
COMMENT ON TABLE @extschema@.whatsapp_inbound_media_pieces IS
'The bytes of fetched files, in pieces; wa_media_content() has them together. Those of a file whose status is wanted '
'are what has been stored so far.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media_pieces.inbound_id IS 'The message.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media_pieces.from_byte IS 'Where the piece begins; the first one at 0.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media_pieces.bytes IS 'The bytes.';

/* Some of a file's bytes, as many as there are from there on, but no more than "most". */
CREATE FUNCTION @extschema@.wa_internal_media_bytes(inbound_id bigint, first bigint, most bigint) RETURNS bytea
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(string_agg(
        substr(p.bytes, GREATEST(first - p.from_byte, 0)::integer + 1,
               (first + most - GREATEST(first, p.from_byte))::integer), '' ORDER BY p.from_byte), '')
    FROM @extschema@.whatsapp_inbound_media_pieces AS p
    WHERE p.inbound_id = $1 AND p.from_byte < first + most AND p.from_byte >= COALESCE((
        SELECT max(b.from_byte) FROM @extschema@.whatsapp_inbound_media_pieces AS b
        WHERE b.inbound_id = $1 AND b.from_byte <= first), 0)
$$;

/* ---- what is wanted ----------------------------------------------------------------- */

/* Whether a media type, with parameters or without, is one of whatsapp_shared.fetch_media_types. */
CREATE FUNCTION @extschema@.wa_internal_media_type_wanted(mime_type text, types text) RETURNS boolean
    LANGUAGE c IMMUTABLE PARALLEL SAFE STRICT AS 'MODULE_PATHNAME', 'wa_internal_media_type_wanted';
COMMENT ON FUNCTION @extschema@.wa_internal_media_type_wanted(text, text) IS
'Whether a media type is one of a list of them: src/common/media_types.c. Internal.';

/*
 * By the settings: what they exclude is noted as skipped, so that nobody looks for it in
 * vain.  For wa_fetch_media, "asked", the settings do not matter, and what had ended
 * begins anew.
 */
CREATE FUNCTION @extschema@.wa_internal_want_media(ids bigint[], asked boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    types CONSTANT text := current_setting('whatsapp_shared.fetch_media_types');
BEGIN
    INSERT INTO @extschema@.whatsapp_inbound_media AS o (inbound_id, tenant_id, phone_number_id, media_id, mime_type,
            status, reason, ended_at)
        SELECT i.inbound_id, i.tenant_id, i.phone_number_id, i.media_id, i.mime_type,
            CASE WHEN r.reason IS NULL THEN 'wanted' ELSE 'skipped' END, r.reason,
            CASE WHEN r.reason IS NOT NULL THEN clock_timestamp() END
        FROM @extschema@.whatsapp_inbound_messages AS i
            CROSS JOIN LATERAL (
                SELECT CASE
                    WHEN asked THEN NULL
                    WHEN i.sent_at < now() - interval '7 days' THEN 'Meta keeps a file for 7 days'
                    WHEN NOT @extschema@.wa_internal_media_type_wanted(COALESCE(i.mime_type, ''), types)
                    THEN format('%s is not among whatsapp_shared.fetch_media_types',
                        @extschema@.wa_internal_quote(COALESCE(i.mime_type, 'a file without a type')))
                    END) AS r (reason)
        WHERE i.inbound_id = ANY (ids) AND i.media_id IS NOT NULL
        ORDER BY i.inbound_id
        ON CONFLICT ON CONSTRAINT whatsapp_inbound_media_pkey DO UPDATE
        SET status = 'wanted', reason = NULL, ended_at = NULL, attempts = 0, requested_at = clock_timestamp(),
            next_attempt_at = clock_timestamp()
        WHERE asked AND o.status IN ('failed', 'skipped');
    IF FOUND THEN
        PERFORM @extschema@.wa_internal_wake_due(clock_timestamp());
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_fetch_media(inbound_id bigint) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m CONSTANT @extschema@.whatsapp_inbound_messages := @extschema@.wa_internal_own_inbound(inbound_id);
BEGIN
    IF m.media_id IS NULL THEN
        RAISE EXCEPTION 'inbound message % has no file', inbound_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('It is of the type "%s".', @extschema@.wa_internal_quote(m.message_type)),
                  HINT = 'Messages with a file have media_id in whatsapp_inbound_messages.';
    END IF;
    PERFORM @extschema@.wa_internal_want_media(ARRAY[m.inbound_id], true);
    RETURN (SELECT f.status FROM @extschema@.whatsapp_inbound_media AS f WHERE f.inbound_id = m.inbound_id);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_fetch_media(bigint) IS
'Has the file of a customer''s message fetched from Meta after COMMIT, whatever its type and whether or not '
'whatsapp_shared.fetch_media is on; whatsapp_shared.fetch_media_max_size holds. One that failed or was skipped is '
'tried anew. Returns wanted, or fetched if it is there already. Meta keeps a file for 7 days. Errors: 22004 '
'inbound_id is NULL; 42704 unknown ID, or of another tenant; 55000 the message has no file.';

/*
 * With the caller's own rights: the policies of both tables decide what a tenant's role
 * sees, so there is no second rule to keep like them.
 */
CREATE FUNCTION @extschema@.wa_media_content(
    inbound_id bigint,
    OUT status text,
    OUT reason text,
    OUT mime_type text,
    OUT filename text,
    OUT size bigint,
    OUT content bytea)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    media_id text;
BEGIN
    IF wa_media_content.inbound_id IS NULL THEN
        RAISE EXCEPTION 'argument "inbound_id" must not be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    SELECT i.media_id, f.status, f.reason, COALESCE(f.mime_type, i.mime_type), i.filename, f.size,
           CASE WHEN f.status = 'fetched' THEN @extschema@.wa_internal_media_bytes(f.inbound_id, 0::bigint, f.size) END
        INTO media_id, status, reason, mime_type, filename, size, content
        FROM @extschema@.whatsapp_inbound_messages AS i
            LEFT JOIN @extschema@.whatsapp_inbound_media AS f ON f.inbound_id = i.inbound_id
        WHERE i.inbound_id = wa_media_content.inbound_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'inbound message % does not exist', wa_media_content.inbound_id
            USING ERRCODE = 'undefined_object', HINT = 'Use inbound_id of whatsapp_inbound_messages.';
    ELSIF media_id IS NULL THEN
        RAISE EXCEPTION 'inbound message % has no file', wa_media_content.inbound_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Messages with a file have media_id in whatsapp_inbound_messages.';
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_media_content(bigint) IS
'The file of a customer''s message: status (wanted, fetched, failed or skipped; NULL: nobody has asked for it, see '
'wa_fetch_media), reason, media type, name, size in bytes, and once it is fetched the bytes. Type and name are what '
'the customer chose: trust neither. A tenant''s own role reads that tenant''s. Errors: 22004 inbound_id is NULL; '
'42704 unknown ID, or of another tenant; 55000 the message has no file.';

/* ---- for the sender --------------------------------------------------------------- */

/*
 * The next file that is due, of a number other than these; none: no row.  Numbers take
 * turns: the one after "last" comes first, so that a number with a thousand files does
 * not keep the others waiting.  The attempt is counted, and until the back-off has passed
 * it is not due again.
 */
CREATE FUNCTION @extschema@.wa_internal_next_inbound_media(
    busy text[],
    last text,
    retry_ms bigint,
    max_retry_ms bigint,
    OUT inbound_id bigint,
    OUT phone_number_id text,
    OUT media_id text,
    OUT attempts integer)
RETURNS SETOF record
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    at text := last;
    around boolean := false;
    number text;
    due timestamptz;
    f @extschema@.whatsapp_inbound_media;
BEGIN
    IF NOT EXISTS (SELECT FROM @extschema@.whatsapp_inbound_media AS w
                   WHERE w.status = 'wanted' AND w.next_attempt_at <= clock_timestamp()) THEN
        RETURN;
    END IF;
    LOOP
        SELECT w.phone_number_id, w.next_attempt_at INTO number, due
            FROM @extschema@.whatsapp_inbound_media AS w
            WHERE w.status = 'wanted' AND w.phone_number_id > at COLLATE "C"
            ORDER BY w.phone_number_id, w.next_attempt_at
            LIMIT 1;
        IF NOT FOUND OR around AND number > last COLLATE "C" THEN
            EXIT WHEN around;
            around := true;
            at := '';
            CONTINUE;
        END IF;
        at := number;
        CONTINUE WHEN due > clock_timestamp() OR number = ANY (busy);
        SELECT w.* INTO f FROM @extschema@.whatsapp_inbound_media AS w
            WHERE w.status = 'wanted' AND w.phone_number_id = number AND w.next_attempt_at <= clock_timestamp()
            ORDER BY w.next_attempt_at
            LIMIT 1
            FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        UPDATE @extschema@.whatsapp_inbound_media AS w
            SET attempts = w.attempts + 1,
                next_attempt_at = clock_timestamp() + make_interval(
                    secs => LEAST(retry_ms * 2 ^ LEAST(w.attempts, 30), max_retry_ms) / 1000)
            WHERE w.inbound_id = f.inbound_id;
        RETURN QUERY SELECT f.inbound_id, f.phone_number_id, f.media_id, f.attempts + 1;
        RETURN;
    END LOOP;
END
$$;

/* When the next attempt is due that is not due yet. */
CREATE FUNCTION @extschema@.wa_internal_next_inbound_media_time() RETURNS timestamptz
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.next_attempt_at FROM @extschema@.whatsapp_inbound_media AS w
    WHERE w.status = 'wanted' AND w.next_attempt_at > clock_timestamp()
    ORDER BY w.next_attempt_at LIMIT 1
$$;

/*
 * A piece of what has come.  The first one takes the place of what an earlier attempt has left.  A
 * crash may lose the commit, which then need not wait for the disk: what is lost
 * is fetched again, and the messages of this sender go on meanwhile.
 */
CREATE FUNCTION @extschema@.wa_internal_store_inbound_media(inbound_id bigint, from_byte bigint, bytes bytea)
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    IF from_byte = 0 THEN
        DELETE FROM @extschema@.whatsapp_inbound_media_pieces AS p WHERE p.inbound_id = inbound_id;
    END IF;
    INSERT INTO @extschema@.whatsapp_inbound_media_pieces (inbound_id, from_byte, bytes)
        SELECT w.inbound_id, from_byte, bytes FROM @extschema@.whatsapp_inbound_media AS w
        WHERE w.inbound_id = inbound_id AND w.status = 'wanted';
END
$$;

/* All of it is there, and is what was announced. */
CREATE FUNCTION @extschema@.wa_internal_inbound_media_fetched(
    inbound_id bigint, size bigint, announced text, mime_type text)
RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE @extschema@.whatsapp_inbound_media AS w
        SET status = 'fetched', reason = NULL, ended_at = clock_timestamp(),
            size = wa_internal_inbound_media_fetched.size,
            sha256 = decode(announced, 'hex'),
            mime_type = COALESCE(NULLIF(wa_internal_inbound_media_fetched.mime_type, ''), w.mime_type)
        WHERE w.inbound_id = wa_internal_inbound_media_fetched.inbound_id AND w.status = 'wanted'
$$;

/*
 * They have not.  verdict: wanted (again after the delay), failed or skipped.  What was
 * no fault of the file does not count as an attempt.
 */
CREATE FUNCTION @extschema@.wa_internal_inbound_media_failed(
    inbound_id bigint, verdict text, why text, announced_size bigint, counts boolean, delay_ms bigint) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    /* Of one that is fetched already nothing is taken. */
    DELETE FROM @extschema@.whatsapp_inbound_media_pieces AS p
        USING @extschema@.whatsapp_inbound_media AS w
        WHERE p.inbound_id = wa_internal_inbound_media_failed.inbound_id AND w.inbound_id = p.inbound_id
            AND w.status = 'wanted';
    UPDATE @extschema@.whatsapp_inbound_media AS w
        SET status = verdict, reason = why, size = COALESCE(announced_size, w.size),
            attempts = CASE WHEN counts THEN w.attempts ELSE GREATEST(w.attempts - 1, 0) END,
            ended_at = CASE WHEN verdict <> 'wanted' THEN clock_timestamp() END,
            next_attempt_at = clock_timestamp() + make_interval(secs => delay_ms / 1000.0)
        WHERE w.inbound_id = wa_internal_inbound_media_failed.inbound_id AND w.status = 'wanted'
$$;
