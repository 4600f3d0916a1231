/*
 * Messages of customers that somebody has read: blue ticks, and the sign that an
 * answer is being written.
 *
 * A request is a row, written in the caller's transaction and deleted when Meta has
 * answered; sender 0 makes it (src/sender/receipts.c).  Marking a message marks what the
 * customer wrote before it, so of what waits in one conversation only the latest is
 * sent, and the rest goes with it.  A crash in between repeats a request, which harms
 * nobody; what could not be sent in a day is forgotten.
 */
CREATE TABLE @extschema@.whatsapp_read_receipts (
    receipt_id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    inbound_id          bigint NOT NULL,
    phone_number_id     text COLLATE "C" NOT NULL,
    conversation        text COLLATE "C" NOT NULL,
    whatsapp_message_id text COLLATE "C" NOT NULL,
    message_sent_at     timestamptz NOT NULL,
    typing              boolean NOT NULL,
    requested_at        timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    attempts            integer NOT NULL DEFAULT 0,
    next_attempt_at     timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX whatsapp_read_receipts_due_idx ON @extschema@.whatsapp_read_receipts (next_attempt_at);
CREATE INDEX whatsapp_read_receipts_conversation_idx
    ON @extschema@.whatsapp_read_receipts (phone_number_id, conversation);
COMMENT ON TABLE @extschema@.whatsapp_read_receipts IS
'Messages of customers that are to be marked as read at Meta; a row goes when that has been done. Written by '
'wa_mark_read().';
COMMENT ON COLUMN @extschema@.whatsapp_read_receipts.receipt_id IS 'Number of the request.';
COMMENT ON COLUMN @extschema@.whatsapp_read_receipts.inbound_id IS 'The message.';
COMMENT ON COLUMN @extschema@.whatsapp_read_receipts.phone_number_id IS 'The number that the customer wrote to.';
COMMENT ON COLUMN @extschema@.whatsapp_read_receipts.conversation IS
'With whom: the customer''s user ID or phone number, or the group.';
COMMENT ON COLUMN @extschema@.whatsapp_read_receipts.whatsapp_message_id IS 'Meta''s ID of the message (wamid).';
COMMENT ON COLUMN @extschema@.whatsapp_read_receipts.message_sent_at IS 'When the customer sent it.';
COMMENT ON COLUMN @extschema@.whatsapp_read_receipts.typing IS
'Whether the customer is to see that an answer is being written.';
COMMENT ON COLUMN @extschema@.whatsapp_read_receipts.requested_at IS 'When it was asked for.';
COMMENT ON COLUMN @extschema@.whatsapp_read_receipts.attempts IS 'Requests begun for it.';
COMMENT ON COLUMN @extschema@.whatsapp_read_receipts.next_attempt_at IS 'Not sent before this time.';

/* The same answer for what is not there and for what is another tenant's. */
CREATE FUNCTION @extschema@.wa_internal_own_inbound(inbound_id bigint) RETURNS @extschema@.whatsapp_inbound_messages
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    message @extschema@.whatsapp_inbound_messages;
BEGIN
    PERFORM @extschema@.wa_internal_check_not_null('inbound_id'::text, inbound_id);
    SELECT i.* INTO message FROM @extschema@.whatsapp_inbound_messages AS i
        WHERE i.inbound_id = wa_internal_own_inbound.inbound_id;
    IF NOT FOUND OR NOT @extschema@.wa_internal_may_be_tenant(COALESCE(message.tenant_id, '')) THEN
        RAISE EXCEPTION 'inbound message % does not exist', inbound_id
            USING ERRCODE = 'undefined_object',
                  HINT = 'Use inbound_id of whatsapp_inbound_messages.';
    END IF;
    RETURN message;
END
$$;

CREATE FUNCTION @extschema@.wa_mark_read(inbound_id bigint, typing boolean DEFAULT false) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m CONSTANT @extschema@.whatsapp_inbound_messages := @extschema@.wa_internal_own_inbound(inbound_id);
    wish CONSTANT boolean := COALESCE(typing, false);
    obstacle text;
BEGIN
    /* Whoever has read it has read it, whatever the customer gets to know of that. */
    UPDATE @extschema@.whatsapp_inbound_messages AS i SET read_at = clock_timestamp()
        WHERE i.inbound_id = m.inbound_id AND i.read_at IS NULL;
    IF m.message_type IN ('system', 'request_welcome', 'edit', 'revoke') THEN
        obstacle := format('it is of the type "%s"', @extschema@.wa_internal_quote(m.message_type));
    ELSIF m.sent_at < now() - interval '30 days' THEN
        obstacle := 'it is older than 30 days';
    ELSIF m.thread_owner IS NOT NULL THEN
        obstacle := 'another application has the conversation';
    ELSIF NOT COALESCE((SELECT t.read_receipts FROM @extschema@.whatsapp_tenants AS t
                        WHERE t.tenant_id = m.tenant_id), true) THEN
        obstacle := 'the tenant does not tell customers what it has read';
    END IF;
    IF obstacle IS NOT NULL THEN
        RAISE NOTICE 'inbound message % is not marked as read: %', inbound_id, obstacle;
        RETURN false;
    END IF;
    INSERT INTO @extschema@.whatsapp_read_receipts (inbound_id, phone_number_id, conversation, whatsapp_message_id,
            message_sent_at, typing)
        SELECT m.inbound_id, m.phone_number_id,
            COALESCE(m.payload ->> 'group_id', m.sender_user_id, m.sender_phone, m.whatsapp_message_id),
            m.whatsapp_message_id, m.sent_at, wish
        WHERE NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_read_receipts AS r
            WHERE r.phone_number_id = m.phone_number_id
                AND r.conversation = COALESCE(m.payload ->> 'group_id', m.sender_user_id, m.sender_phone,
                    m.whatsapp_message_id)
                AND r.inbound_id = m.inbound_id AND r.attempts = 0 AND (r.typing OR NOT wish));
    PERFORM @extschema@.wa_internal_wake_due(clock_timestamp());
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_mark_read(bigint, boolean) IS
'Marks a customer''s message, and what the customer wrote before it, as read: after COMMIT the customer sees blue '
'ticks and, with typing, for 25 seconds or until the next message that an answer is being written. Meta is asked by '
'a sender, beside the messages and never before them; marking twice is harmless. False, with a NOTICE: it is no '
'message that can be marked, is older than 30 days, another application has the conversation, or the tenant wants '
'no receipts (read_receipts of wa_configure_tenant). When it was read is noted in any case, in read_at of '
'whatsapp_inbound_messages. Errors: 22004 inbound_id is NULL; 42704 unknown ID, or of another tenant.';

/* ---- for the sender --------------------------------------------------------------- */

/*
 * The next request that is due, of a number other than these; none: no row.  With it goes
 * whatever waits in the same conversation up to "last_id".  The attempt is counted, and
 * not before its back-off has passed is it due again.  Nobody looks at the screen for
 * an answer that was being written 25 seconds ago.
 */
CREATE FUNCTION @extschema@.wa_internal_next_receipt(
    busy text[],
    OUT receipt_id bigint,
    OUT phone_number_id text,
    OUT whatsapp_message_id text,
    OUT typing boolean,
    OUT attempts integer,
    OUT last_id bigint)
RETURNS SETOF record
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    latest @extschema@.whatsapp_read_receipts;
    taken record;
BEGIN
    SELECT r.* INTO latest FROM @extschema@.whatsapp_read_receipts AS r
        WHERE r.next_attempt_at <= clock_timestamp() AND r.phone_number_id <> ALL (busy)
        ORDER BY r.next_attempt_at
        LIMIT 1
        FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    WITH rows AS (
        SELECT r.receipt_id FROM @extschema@.whatsapp_read_receipts AS r
        WHERE r.phone_number_id = latest.phone_number_id AND r.conversation = latest.conversation
        FOR UPDATE SKIP LOCKED
    ), updated AS (
        UPDATE @extschema@.whatsapp_read_receipts AS r
            SET attempts = r.attempts + 1,
                next_attempt_at = clock_timestamp() + interval '10 seconds' * 4 ^ LEAST(r.attempts, 6)
            FROM rows WHERE r.receipt_id = rows.receipt_id
            RETURNING r.*)
    SELECT max(u.receipt_id) AS last_id,
        bool_or(u.typing AND u.requested_at > clock_timestamp() - interval '25 seconds') AS typing,
        (array_agg(u.receipt_id ORDER BY u.message_sent_at DESC, u.receipt_id DESC))[1] AS receipt_id,
        (array_agg(u.whatsapp_message_id ORDER BY u.message_sent_at DESC, u.receipt_id DESC))[1] AS wamid,
        max(u.attempts) AS attempts
        INTO taken FROM updated AS u;
    RETURN QUERY SELECT taken.receipt_id, latest.phone_number_id, taken.wamid, taken.typing, taken.attempts,
        taken.last_id;
END
$$;

/* When the next attempt is due that is not due yet. */
CREATE FUNCTION @extschema@.wa_internal_next_receipt_time() RETURNS timestamptz
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.next_attempt_at FROM @extschema@.whatsapp_read_receipts AS r
    WHERE r.next_attempt_at > clock_timestamp()
    ORDER BY r.next_attempt_at LIMIT 1
$$;

/* Meta has answered for this one, or will not: it goes, and what it stood for. */
CREATE FUNCTION @extschema@.wa_internal_receipt_done(receipt_id bigint, last_id bigint) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM @extschema@.whatsapp_read_receipts AS r
    WHERE r.receipt_id = ANY (ARRAY(
        SELECT o.receipt_id
        FROM @extschema@.whatsapp_read_receipts AS d
            JOIN @extschema@.whatsapp_read_receipts AS o
                ON o.phone_number_id = d.phone_number_id AND o.conversation = d.conversation
        WHERE d.receipt_id = wa_internal_receipt_done.receipt_id AND o.receipt_id <= last_id
            AND o.message_sent_at <= d.message_sent_at
        FOR UPDATE OF o SKIP LOCKED))
$$;

/* What is a day late is not worth a request any more. */
CREATE FUNCTION @extschema@.wa_internal_clean_receipts() RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM @extschema@.whatsapp_read_receipts AS r WHERE r.requested_at < clock_timestamp() - interval '1 day'
$$;
