/*
 * What others have sent from our numbers: in the app on a phone, or Meta's agent.
 * What customers wrote is here, too, where it comes as history: that is past, and
 * nothing follows from it.
 */
CREATE TABLE @extschema@.whatsapp_app_messages (
    app_message_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    whatsapp_message_id text COLLATE "C" NOT NULL
        CONSTRAINT whatsapp_app_messages_wamid_key UNIQUE,
    tenant_id           text COLLATE "C",
    phone_number_id     text COLLATE "C" NOT NULL,
    from_customer       boolean NOT NULL,
    customer_phone      text COLLATE "C",
    customer_user_id    text COLLATE "C",
    message_type        text NOT NULL,
    text                text,
    payload             jsonb NOT NULL,
    source              text NOT NULL
        CONSTRAINT whatsapp_app_messages_source_check CHECK (source IN ('app', 'history', 'agent')),
    sent_at             timestamptz NOT NULL,
    received_at         timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    context_whatsapp_message_id text COLLATE "C",
    edited_at           timestamptz,
    revoked_at          timestamptz
);
CREATE INDEX whatsapp_app_messages_tenant_idx
    ON @extschema@.whatsapp_app_messages (tenant_id, sent_at);
CREATE INDEX whatsapp_app_messages_about_idx
    ON @extschema@.whatsapp_app_messages (context_whatsapp_message_id) WHERE message_type IN ('edit', 'revoke');
COMMENT ON TABLE @extschema@.whatsapp_app_messages IS
'Messages of our numbers that were not sent from here: written in the app on a phone, or by Meta''s agent, and what '
'the app had before. Kept for whatsapp_shared.retention.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.app_message_id IS 'Number of the message.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.whatsapp_message_id IS 'Meta''s ID of the message (wamid).';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.tenant_id IS
'The tenant that had the number when it was sent; NULL: none.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.phone_number_id IS 'Our number.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.from_customer IS
'Whether the customer wrote it; only in history.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.customer_phone IS
'The customer, in international form with +, if Meta tells it.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.customer_user_id IS 'The customer''s business-scoped user ID.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.message_type IS 'The type of Meta''s API: text, image …';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.text IS
'The readable part, as of inbound messages, and as it was last edited.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.payload IS 'The message as Meta sent it.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.source IS
'app: written in the app on a phone; history: what the app had when the number was connected; agent: by another '
'application, such as Meta''s agent.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.sent_at IS 'When it was sent, by Meta''s clock.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.received_at IS 'When its webhook was received.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.context_whatsapp_message_id IS
'The wamid of the message that it replies to, reacts to, edits or deletes.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.edited_at IS 'When it was last edited; text is what it says since.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.revoked_at IS 'When it was deleted.';

/* The messages of such an event, with the customer whose conversation it is, if that is told beside them. */
CREATE FUNCTION @extschema@.wa_internal_app_messages(field text, value jsonb, OUT message jsonb, OUT customer text)
RETURNS SETOF record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    /* An agent's are wrapped once more. */
    SELECT CASE WHEN jsonb_typeof(e -> 'message') = 'object' AND e ->> 'type' IS NULL
                THEN (e - 'message') || (e -> 'message') ELSE e END, NULL
        FROM (SELECT @extschema@.wa_internal_elements(value -> 'message_echoes')
              UNION ALL SELECT @extschema@.wa_internal_elements(value #> '{standby,message_echoes}')) AS x (e)
    UNION ALL
    SELECT m, t ->> 'id'
        FROM @extschema@.wa_internal_elements(CASE field WHEN 'history' THEN value -> 'history' END) AS h,
            @extschema@.wa_internal_elements(h -> 'threads') AS t,
            @extschema@.wa_internal_elements(t -> 'messages') AS m
    UNION ALL
    /* the file of a message that had a placeholder only */
    SELECT m, NULL
        FROM @extschema@.wa_internal_elements(CASE field WHEN 'history' THEN value -> 'messages' END) AS m
$$;

/*
 * Stores them, each once; those that were sent from here, or came as messages, are known already.
 * What was edited or deleted in the app says so, in whatever order that comes: events are
 * taken in by one session at a time (webhook/event.c).
 */
CREATE FUNCTION @extschema@.wa_internal_store_app_messages(field text, value jsonb, at timestamptz) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO @extschema@.whatsapp_app_messages (whatsapp_message_id, tenant_id, phone_number_id, from_customer,
            customer_phone, customer_user_id, message_type, text, payload, source, sent_at, context_whatsapp_message_id)
        SELECT i.wamid,
            (SELECT a.tenant_id FROM @extschema@.whatsapp_phone_assignments AS a
             WHERE a.phone_number_id = i.number AND a.assigned_at < i.sent_at + interval '1 second'
                 AND (a.unassigned_at IS NULL OR a.unassigned_at > i.sent_at)
             ORDER BY a.assigned_at DESC LIMIT 1),
            i.number, i.from_customer,
            '+' || substring(CASE WHEN i.from_customer THEN i.message ->> 'from'
                                  ELSE COALESCE(i.message ->> 'to', i.customer) END FROM '^[0-9]{5,20}$'),
            i.message ->> CASE WHEN i.from_customer THEN 'from_user_id' ELSE 'to_user_id' END,
            i.message ->> 'type',
            NULLIF(@extschema@.wa_internal_inbound_text(i.message ->> 'type', i.message), ''), i.message,
            CASE field WHEN 'smb_message_echoes' THEN 'app' WHEN 'history' THEN 'history' ELSE 'agent' END, i.sent_at,
            (@extschema@.wa_internal_inbound_parts(i.message ->> 'type', i.message)).about_wamid
        FROM (
            SELECT m.message, m.customer, m.message ->> 'id' AS wamid, value #>> '{metadata,phone_number_id}' AS number,
                field = 'history' AND m.message ->> 'from'
                    IS DISTINCT FROM regexp_replace(value #>> '{metadata,display_phone_number}', '[^0-9]', '', 'g')
                    AS from_customer,
                LEAST(CASE WHEN m.message ->> 'timestamp' ~ '^[0-9]{9,11}$'
                      THEN to_timestamp((m.message ->> 'timestamp')::bigint) ELSE at END, clock_timestamp()) AS sent_at
            FROM @extschema@.wa_internal_app_messages(field, value) AS m) AS i
        WHERE i.wamid IS NOT NULL AND i.number IS NOT NULL AND i.message ->> 'type' IS NOT NULL
            AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_wamids AS w WHERE w.whatsapp_message_id = i.wamid)
            AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_inbound_messages AS n
                            WHERE n.whatsapp_message_id = i.wamid)
            AND NOT EXISTS (SELECT FROM @extschema@.wa_internal_erased_wamids(ARRAY[i.wamid], ARRAY[NULL::bigint]))
        ORDER BY i.wamid
        ON CONFLICT ON CONSTRAINT whatsapp_app_messages_wamid_key DO NOTHING;

    UPDATE @extschema@.whatsapp_app_messages AS o
        SET text = CASE WHEN l.edited_at IS NULL THEN o.text ELSE l.text END, edited_at = l.edited_at,
            revoked_at = l.revoked_at
        FROM (
            SELECT t.wamid, e.text, e.sent_at AS edited_at, r.sent_at AS revoked_at
            FROM (
                SELECT DISTINCT x.wamid
                FROM @extschema@.wa_internal_app_messages(field, value) AS m
                    JOIN @extschema@.whatsapp_app_messages AS s ON s.whatsapp_message_id = m.message ->> 'id'
                    CROSS JOIN LATERAL (VALUES (s.whatsapp_message_id),
                        (CASE WHEN s.message_type IN ('edit', 'revoke') THEN s.context_whatsapp_message_id END))
                        AS x (wamid)) AS t
                LEFT JOIN LATERAL (
                    SELECT e.text, e.sent_at FROM @extschema@.whatsapp_app_messages AS e
                    WHERE e.context_whatsapp_message_id = t.wamid AND e.message_type = 'edit'
                    ORDER BY e.sent_at DESC, e.app_message_id DESC LIMIT 1) AS e ON true
                LEFT JOIN LATERAL (
                    SELECT max(r.sent_at) AS sent_at FROM @extschema@.whatsapp_app_messages AS r
                    WHERE r.context_whatsapp_message_id = t.wamid AND r.message_type = 'revoke') AS r ON true
            WHERE COALESCE(e.sent_at, r.sent_at) IS NOT NULL) AS l
        WHERE o.whatsapp_message_id = l.wamid
            AND ((l.edited_at, l.revoked_at) IS DISTINCT FROM (o.edited_at, o.revoked_at)
                 OR l.edited_at IS NOT NULL AND l.text IS DISTINCT FROM o.text)
$$;
