/*
 * Messages from customers: stored once, and what they set in motion: the
 * 24-hour window, opt-outs, changes of number.
 *
 * Everything here works on sets and raises nothing that the content of a
 * message could cause.
 */

CREATE TABLE @extschema@.whatsapp_inbound_messages (
    inbound_id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    whatsapp_message_id text COLLATE "C" NOT NULL
        CONSTRAINT whatsapp_inbound_messages_wamid_key UNIQUE,
    tenant_id           text COLLATE "C",
    phone_number_id     text COLLATE "C" NOT NULL,
    sender_phone        text COLLATE "C",
    sender_user_id      text COLLATE "C",
    message_type        text NOT NULL,
    text                text,
    payload             jsonb NOT NULL,
    context_whatsapp_message_id text COLLATE "C",
    message_id          bigint,
    reply_id            text,
    reply_title         text,
    sent_at             timestamptz NOT NULL,
    too_old             boolean NOT NULL DEFAULT false,
    received_at         timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    edited_at           timestamptz,
    revoked_at          timestamptz,
    handler             text,
    handled_at          timestamptz,
    handler_error       text,
    thread_owner        text
);
CREATE INDEX whatsapp_inbound_messages_tenant_idx
    ON @extschema@.whatsapp_inbound_messages (tenant_id, received_at);
CREATE INDEX whatsapp_inbound_messages_received_idx
    ON @extschema@.whatsapp_inbound_messages USING brin (received_at);
COMMENT ON TABLE @extschema@.whatsapp_inbound_messages IS
'Messages from customers, each once, with the tenant that had the number when it was sent.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.inbound_id IS
'Number of the message; the argument of wa_retry_reply().';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.whatsapp_message_id IS 'Meta''s ID of the message (wamid).';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.tenant_id IS
'The tenant that it belongs to; NULL: no tenant had the number.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.phone_number_id IS 'The number that the customer wrote to.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.sender_phone IS
'In international form with +; NULL for a customer who hides it behind a username.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.sender_user_id IS 'The customer''s business-scoped user ID.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.message_type IS
'The type of Meta''s API: text, image, button, interactive …';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.text IS
'The readable part: the text, the caption of media, the title of the button pressed.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.payload IS 'The message as Meta sent it.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.context_whatsapp_message_id IS
'The wamid of the message that it replies to.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.message_id IS 'Our message that this one replies to.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.reply_id IS
'The payload of the button, or the ID of the row, that was chosen.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.reply_title IS
'The text of the button, or row, that was chosen.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.sent_at IS 'When the customer sent it, by Meta''s clock.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.too_old IS
'It was older than the seven days for which Meta repeats a webhook: stored, but no handler was called, no service '
'window opened, and nobody opted in by it.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.received_at IS 'When its webhook was received.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.edited_at IS 'When the customer last edited it.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.revoked_at IS 'When the customer deleted it.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.handler IS
'The function that was called for the reply; NULL: none.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.handled_at IS 'When the handler was last called.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.handler_error IS
'Why the handler registered with wa_on_reply() failed; wa_retry_reply(inbound_id) calls it again.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.thread_owner IS
'Who had the conversation when it was not this application, and the message came in the field standby: the role that '
'Meta named when it was last taken over, or other. NULL: this application.';

CREATE TABLE @extschema@.whatsapp_windows (
    phone_number_id text COLLATE "C" NOT NULL,
    recipient       text COLLATE "C" NOT NULL,
    last_inbound_at timestamptz NOT NULL,
    PRIMARY KEY (phone_number_id, recipient)
) WITH (fillfactor = 80);
COMMENT ON TABLE @extschema@.whatsapp_windows IS
'When each customer last wrote to each number. Within the service window, 24 hours from then, messages other than '
'templates can be sent.';
COMMENT ON COLUMN @extschema@.whatsapp_windows.phone_number_id IS 'The number.';
COMMENT ON COLUMN @extschema@.whatsapp_windows.recipient IS
'The customer: phone number with +, or business-scoped user ID.';
COMMENT ON COLUMN @extschema@.whatsapp_windows.last_inbound_at IS 'When the customer last wrote to the number.';

CREATE TABLE @extschema@.whatsapp_reply_handlers (
    prefix        text COLLATE "C" PRIMARY KEY
        CONSTRAINT whatsapp_reply_handlers_prefix_check CHECK (prefix <> ''),
    handler       text NOT NULL,
    registered_by name NOT NULL,
    registered_by_oid oid,
    owner         name NOT NULL,
    owner_oid     oid,
    search_path   text NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE TRIGGER whatsapp_reply_handlers_roles
    BEFORE INSERT ON @extschema@.whatsapp_reply_handlers
    FOR EACH ROW EXECUTE FUNCTION @extschema@.wa_internal_find_registration_roles();
ALTER TABLE @extschema@.whatsapp_reply_handlers ENABLE ALWAYS TRIGGER whatsapp_reply_handlers_roles;
COMMENT ON TABLE @extschema@.whatsapp_reply_handlers IS
'Functions that are called when a customer presses a button or chooses from a list. Made by wa_on_reply().';
COMMENT ON COLUMN @extschema@.whatsapp_reply_handlers.prefix IS 'What the payload of a reply must begin with.';
COMMENT ON COLUMN @extschema@.whatsapp_reply_handlers.handler IS 'The function, with its schema.';
COMMENT ON COLUMN @extschema@.whatsapp_reply_handlers.registered_by IS
'The role that registered the handler. It runs as this role or as its owner, whichever has fewer rights.';
COMMENT ON COLUMN @extschema@.whatsapp_reply_handlers.registered_by_oid IS
'OID of that role; found anew when a dump is restored. NULL: there was no such role then, and the handler is not '
'called.';
COMMENT ON COLUMN @extschema@.whatsapp_reply_handlers.owner IS
'The role that owned the function when it was registered. If another one does, it is not called.';
COMMENT ON COLUMN @extschema@.whatsapp_reply_handlers.owner_oid IS 'OID of the owner, found like registered_by_oid.';
COMMENT ON COLUMN @extschema@.whatsapp_reply_handlers.search_path IS
'The search_path of the session that registered the handler; it is called with the same.';
COMMENT ON COLUMN @extschema@.whatsapp_reply_handlers.registered_at IS 'When it was registered.';

/* ---- messages ------------------------------------------------------------------- */

/* What a person would read of it. */
CREATE FUNCTION @extschema@.wa_internal_inbound_text(type text, message jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE type
        WHEN 'text' THEN message #>> '{text,body}'
        WHEN 'button' THEN message #>> '{button,text}'
        WHEN 'interactive' THEN COALESCE(message #>> '{interactive,button_reply,title}',
            message #>> '{interactive,list_reply,title}', message #>> '{interactive,nfm_reply,body}')
        WHEN 'reaction' THEN message #>> '{reaction,emoji}'
        WHEN 'location' THEN concat_ws(', ', message #>> '{location,name}', message #>> '{location,address}')
        WHEN 'contacts' THEN message #>> '{contacts,0,name,formatted_name}'
        WHEN 'order' THEN message #>> '{order,text}'
        WHEN 'system' THEN message #>> '{system,body}'
        WHEN 'edit' THEN COALESCE(message #>> '{edit,message,text,body}', message #>> '{edit,text,body}')
        ELSE message #>> ARRAY[type, 'caption']
        END
$$;

/* Who had a customer's conversation then, if it was another one: Meta tells whom it is taken from, and by whom. */
CREATE FUNCTION @extschema@.wa_internal_thread_owner(number text, phone text, user_id text, at timestamptz) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE((
        SELECT e.value #>> '{control_taken,new_owner_role}'
        FROM @extschema@.whatsapp_account_events AS e
        WHERE e.field = 'messaging_handovers'
            AND e.key = ANY (ARRAY[number || '/' || ltrim(phone, '+'), number || '/' || user_id])
            AND e.happened_at < at + interval '1 second'
        ORDER BY e.happened_at DESC LIMIT 1), 'other')
$$;

/*
 * Stores messages, each once, and does what they ask for.  Arguments are
 * parallel arrays, one element for each message.  Returns the ids of those that
 * are new; "reply" where a button or a list row was chosen.
 *
 * A message belongs to the tenant that had the number when it was sent.  A
 * reply belongs to the tenant whose message it replies to, whoever has the
 * number by now.  Meta's times are whole seconds, hence the second of grace for
 * a number that has just been assigned.
 *
 * Rows are inserted in order of wamid, so that two webhooks with the same
 * messages wait for each other in one direction only; their ids follow the
 * order in which the webhook has them.
 */
CREATE FUNCTION @extschema@.wa_internal_store_inbound(
    numbers text[],
    wamids text[],
    types text[],
    sent_at timestamptz[],
    too_old boolean[],
    phones text[],
    user_ids text[],
    messages text[],
    standby boolean[] DEFAULT '{}')
RETURNS TABLE (inbound_id bigint, reply boolean)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    sequence CONSTANT regclass := pg_get_serial_sequence(
        '@extschema@.whatsapp_inbound_messages', 'inbound_id');
    ids bigint[];
BEGIN
    WITH v AS MATERIALIZED (
        SELECT nextval(sequence) AS id, x.number, x.wamid, x.type, x.at, x.too_old, x.phone, x.user_id,
            x.message::jsonb AS message, x.standby
        FROM unnest(numbers, wamids, types, sent_at, too_old, phones, user_ids, messages, standby)
            AS x (number, wamid, type, at, too_old, phone, user_id, message, standby)
    ), stored AS (
        INSERT INTO @extschema@.whatsapp_inbound_messages (inbound_id, whatsapp_message_id, tenant_id,
                phone_number_id, sender_phone, sender_user_id, message_type, text, payload,
                context_whatsapp_message_id, message_id, reply_id, reply_title, sent_at, too_old,
                thread_owner)
            OVERRIDING SYSTEM VALUE
            SELECT v.id, v.wamid, COALESCE(m.tenant_id, a.tenant_id), v.number, v.phone, v.user_id, v.type,
                NULLIF(@extschema@.wa_internal_inbound_text(v.type, v.message), ''), v.message,
                v.message #>> '{context,id}', m.id,
                COALESCE(v.message #>> '{button,payload}',
                    v.message #>> '{interactive,button_reply,id}', v.message #>> '{interactive,list_reply,id}'),
                COALESCE(v.message #>> '{button,text}',
                    v.message #>> '{interactive,button_reply,title}', v.message #>> '{interactive,list_reply,title}'),
                v.at, v.too_old,
                CASE WHEN v.standby
                     THEN @extschema@.wa_internal_thread_owner(v.number, v.phone, v.user_id, v.at) END
            FROM v
                LEFT JOIN LATERAL (
                    SELECT w.message_id FROM @extschema@.whatsapp_wamids AS w
                    WHERE w.whatsapp_message_id = v.message #>> '{context,id}' LIMIT 1) AS w ON true
                LEFT JOIN @extschema@.whatsapp_messages AS m ON m.id = w.message_id
                LEFT JOIN LATERAL (
                    SELECT a.tenant_id FROM @extschema@.whatsapp_phone_assignments AS a
                    WHERE a.phone_number_id = v.number AND a.assigned_at < v.at + interval '1 second'
                        AND (a.unassigned_at IS NULL OR a.unassigned_at > v.at)
                    ORDER BY a.assigned_at DESC LIMIT 1) AS a ON true
            ORDER BY v.wamid, v.id
            ON CONFLICT ON CONSTRAINT whatsapp_inbound_messages_wamid_key DO NOTHING
            RETURNING inbound_id)
    SELECT COALESCE(array_agg(s.inbound_id ORDER BY s.inbound_id), '{}') INTO ids FROM stored AS s;

    IF cardinality(ids) > 0 THEN
        PERFORM @extschema@.wa_internal_after_inbound(ids);
    END IF;
    RETURN QUERY
        SELECT i.inbound_id, i.reply_id IS NOT NULL AND NOT i.too_old
        FROM @extschema@.whatsapp_inbound_messages AS i
        WHERE i.inbound_id = ANY (ids)
        ORDER BY i.inbound_id;
END
$$;

/*
 * What follows from them.  Customer by customer, for the order of locks again;
 * what one customer writes stays in its own order.
 *
 * Of what is too old, only what errs on the right side: an opt-out, and that a message
 * was withdrawn.  Times ahead of the server's clock count as now.
 *
 * What is written to a group is said to everybody in it: to us it opens no window with
 * the person who says it, and takes back no consent of theirs.
 */
CREATE FUNCTION @extschema@.wa_internal_after_inbound(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    item record;
BEGIN
    INSERT INTO @extschema@.whatsapp_windows AS w (phone_number_id, recipient, last_inbound_at)
        SELECT i.phone_number_id, r.recipient, max(LEAST(i.sent_at, i.received_at))
        FROM @extschema@.whatsapp_inbound_messages AS i
            CROSS JOIN LATERAL (VALUES (i.sender_phone), (i.sender_user_id)) AS r (recipient)
        WHERE i.inbound_id = ANY (ids) AND r.recipient IS NOT NULL
            AND NOT i.too_old AND i.message_type NOT IN ('system', 'request_welcome', 'edit', 'revoke')
            AND i.payload ->> 'group_id' IS NULL
        GROUP BY i.phone_number_id, r.recipient
        ORDER BY i.phone_number_id, r.recipient
        ON CONFLICT ON CONSTRAINT whatsapp_windows_pkey DO UPDATE
        SET last_inbound_at = EXCLUDED.last_inbound_at
        WHERE w.last_inbound_at < EXCLUDED.last_inbound_at;

    FOR item IN
        SELECT i.*, w.action, w.category
        FROM @extschema@.whatsapp_inbound_messages AS i
            CROSS JOIN LATERAL @extschema@.wa_internal_opt_choice(i.text) AS w
        WHERE i.inbound_id = ANY (ids) AND i.message_type IN ('text', 'button', 'interactive')
            AND length(i.text) <= 60 AND i.payload ->> 'group_id' IS NULL
            AND (w.action = 'out' OR NOT i.too_old)
        ORDER BY i.sender_user_id, i.sender_phone, i.sent_at, i.inbound_id
    LOOP
        PERFORM @extschema@.wa_internal_set_opt(item.tenant_id, item.phone_number_id,
            ARRAY[item.sender_phone, item.sender_user_id], item.category, item.action, 'inbound'::text,
            LEAST(item.sent_at, item.received_at));
    END LOOP;

    FOR item IN
        SELECT i.* FROM @extschema@.whatsapp_inbound_messages AS i
        WHERE i.inbound_id = ANY (ids) AND i.message_type IN ('edit', 'revoke', 'system')
        ORDER BY i.sender_user_id, i.sender_phone, i.sent_at, i.inbound_id
    LOOP
        IF item.message_type = 'system' THEN
            IF NOT item.too_old
               AND item.payload #>> '{system,type}' IN ('user_changed_number', 'user_changed_user_id') THEN
                PERFORM @extschema@.wa_internal_change_identity(
                    ltrim(item.sender_phone, '+'),
                    COALESCE(item.payload #>> '{system,previous_user_id}', item.sender_user_id),
                    item.payload #>> '{system,wa_id}',
                    COALESCE(item.payload #>> '{system,user_id}',
                        CASE WHEN item.payload #>> '{system,previous_user_id}' <> item.sender_user_id
                             THEN item.sender_user_id END), item.sent_at);
            END IF;
        ELSE
            UPDATE @extschema@.whatsapp_inbound_messages AS o
                SET edited_at = CASE item.message_type
                        WHEN 'edit' THEN GREATEST(o.edited_at, item.sent_at) ELSE o.edited_at END,
                    revoked_at = CASE item.message_type
                        WHEN 'revoke' THEN GREATEST(o.revoked_at, item.sent_at) ELSE o.revoked_at END
                WHERE o.whatsapp_message_id = COALESCE(
                    item.payload #>> ARRAY[item.message_type, 'original_message_id'],
                    item.payload ->> 'original_message_id')
                    AND o.phone_number_id = item.phone_number_id;
        END IF;
    END LOOP;
END
$$;

/* ---- what others have sent from our numbers ---------------------------------------- */

/*
 * Not by us: in the app on a phone, or by Meta's agent.  What customers wrote is here, too,
 * where it comes as history: that is past, and nothing follows from it.
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
    received_at         timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX whatsapp_app_messages_tenant_idx
    ON @extschema@.whatsapp_app_messages (tenant_id, sent_at);
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
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.text IS 'The readable part, as of inbound messages.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.payload IS 'The message as Meta sent it.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.source IS
'app: written in the app on a phone; history: what the app had when the number was connected; agent: by another '
'application, such as Meta''s agent.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.sent_at IS 'When it was sent, by Meta''s clock.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.received_at IS 'When its webhook was received.';

/* The elements of an array; none, if it is none. */
CREATE FUNCTION @extschema@.wa_internal_elements(list jsonb) RETURNS SETOF jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT e.value FROM jsonb_array_elements(CASE jsonb_typeof(list) WHEN 'array' THEN list ELSE '[]' END) AS e
$$;

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

/* Stores them, each once; those that were sent from here, or came as messages, are known already. */
CREATE FUNCTION @extschema@.wa_internal_store_app_messages(field text, value jsonb, at timestamptz) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO @extschema@.whatsapp_app_messages (whatsapp_message_id, tenant_id, phone_number_id, from_customer,
            customer_phone, customer_user_id, message_type, text, payload, source, sent_at)
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
            CASE field WHEN 'smb_message_echoes' THEN 'app' WHEN 'history' THEN 'history' ELSE 'agent' END, i.sent_at
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
        ORDER BY i.wamid
        ON CONFLICT ON CONSTRAINT whatsapp_app_messages_wamid_key DO NOTHING
$$;

/* ---- replies ---------------------------------------------------------------------- */

/* Which handlers to call for these messages, with what. */
CREATE FUNCTION @extschema@.wa_internal_reply_calls(ids bigint[])
RETURNS TABLE (inbound_id bigint, prefix text, handler text, registered_by name, registered_by_oid oid, owner name,
    owner_oid oid, search_path text, argument jsonb)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT i.inbound_id, h.prefix, h.handler, h.registered_by, h.registered_by_oid, h.owner, h.owner_oid, h.search_path,
        jsonb_build_object(
            'inbound_id', i.inbound_id,
            'tenant_id', i.tenant_id,
            'phone_number_id', i.phone_number_id,
            'sender', i.sender_phone,
            'sender_user_id', i.sender_user_id,
            'payload', i.reply_id,
            'title', i.reply_title,
            'reference', m.reference,
            'sent_at', i.sent_at,
            'message', CASE WHEN m.id IS NOT NULL THEN jsonb_build_object(
                'id', m.id,
                'reference', m.reference,
                'message_type', m.message_type,
                'template_name', m.template_name,
                'template_language', m.template_language,
                'recipient_phone', m.recipient_phone,
                'recipient_user_id', m.recipient_user_id,
                'created_at', m.created_at) END)
    FROM @extschema@.whatsapp_inbound_messages AS i
        CROSS JOIN LATERAL (
            SELECT h.* FROM @extschema@.whatsapp_reply_handlers AS h
            WHERE starts_with(i.reply_id, h.prefix)
            ORDER BY length(h.prefix) DESC LIMIT 1) AS h
        LEFT JOIN @extschema@.whatsapp_messages AS m ON m.id = i.message_id
    WHERE i.inbound_id = ANY (ids)
    ORDER BY i.sent_at, i.inbound_id
$$;

/*
 * What became of them; "errors" has NULL where all went well.  Alerts are
 * raised when all handlers have been called, because whoever raises the same
 * one waits until this transaction has ended.
 */
CREATE FUNCTION @extschema@.wa_internal_record_replies(
    inbound_ids bigint[], prefixes text[], handlers text[], errors text[])
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    failed record;
BEGIN
    UPDATE @extschema@.whatsapp_inbound_messages AS i
        SET handler = c.handler, handled_at = clock_timestamp(), handler_error = c.error
        FROM unnest(inbound_ids, handlers, errors) AS c (inbound_id, handler, error)
        WHERE i.inbound_id = c.inbound_id;
    FOR failed IN
        SELECT c.prefix, max(c.handler) AS handler, count(*) AS n,
            max(c.inbound_id) AS inbound_id,
            (array_agg(c.error ORDER BY c.inbound_id DESC))[1] AS error
        FROM unnest(inbound_ids, prefixes, handlers, errors) AS c (inbound_id, prefix, handler, error)
        WHERE c.error IS NOT NULL
        GROUP BY c.prefix
        ORDER BY c.prefix
    LOOP
        PERFORM @extschema@.wa_internal_alert('warning'::text, 'reply_handler'::text, ''::text, failed.prefix,
            format('The handler %s failed for a reply', failed.handler),
            jsonb_build_object('inbound_id', failed.inbound_id, 'error', failed.error, 'replies', failed.n));
    END LOOP;
END
$$;

CREATE FUNCTION @extschema@.wa_on_reply(prefix text, handler regprocedure) RETURNS void
    LANGUAGE C VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'wa_on_reply';
COMMENT ON FUNCTION @extschema@.wa_on_reply(text, regprocedure) IS
'Has the function called, with one jsonb argument, for each reply by button or list whose payload begins with the '
'prefix; the longest prefix wins. It runs as the role that registers it or as the owner of the function, whichever has '
'fewer rights, with this session''s search_path. Errors: 42501 not allowed, or neither of the two roles has the rights '
'of the other; 42P13 not such a function.';

CREATE FUNCTION @extschema@.wa_off_reply(prefix text) RETURNS boolean
    LANGUAGE C VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'wa_off_reply';
COMMENT ON FUNCTION @extschema@.wa_off_reply(text) IS
'Removes the handler that wa_on_reply() registered for this prefix. False: there was none.';

/* As wa_webhook_ingest(), it becomes the owner by itself. */
CREATE FUNCTION @extschema@.wa_retry_reply(inbound_id bigint) RETURNS boolean
    LANGUAGE C VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'wa_retry_reply';
COMMENT ON FUNCTION @extschema@.wa_retry_reply(bigint) IS
'Calls the handler of a reply again, after it has been fixed (see whatsapp_inbound_messages.handler_error). False: '
'it failed again.';
