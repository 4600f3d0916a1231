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
    thread_owner        text,
    reply_data          jsonb,
    forwarded           boolean NOT NULL DEFAULT false,
    about_inbound_id    bigint,
    media_id            text COLLATE "C",
    mime_type           text,
    filename            text,
    latitude            numeric,
    longitude           numeric,
    catalog_id          text,
    product_retailer_id text,
    order_items         jsonb,
    referral_source_type text,
    referral_source_id  text,
    referral_source_url text,
    ctwa_clid           text,
    read_at             timestamptz
);
CREATE INDEX whatsapp_inbound_messages_tenant_idx
    ON @extschema@.whatsapp_inbound_messages (tenant_id, received_at);
CREATE INDEX whatsapp_inbound_messages_received_idx
    ON @extschema@.whatsapp_inbound_messages USING brin (received_at);
/* What has this person answered? */
CREATE INDEX whatsapp_inbound_messages_phone_idx
    ON @extschema@.whatsapp_inbound_messages (sender_phone, sent_at) WHERE sender_phone IS NOT NULL;
CREATE INDEX whatsapp_inbound_messages_user_id_idx
    ON @extschema@.whatsapp_inbound_messages (sender_user_id, sent_at) WHERE sender_user_id IS NOT NULL;
/* What was said about a message later, or has come before it. */
CREATE INDEX whatsapp_inbound_messages_about_idx
    ON @extschema@.whatsapp_inbound_messages (context_whatsapp_message_id)
    WHERE message_type IN ('edit', 'revoke', 'reaction');
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
'The readable part, as the customer has last edited it: the text, the caption of media, the title of what was pressed '
'or chosen, the emoji, the name and address of a place, the names and numbers of contacts, the lines of an order.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.payload IS 'The message as Meta sent it.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.context_whatsapp_message_id IS
'The wamid of the message that it replies to, reacts to, edits or deletes.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.message_id IS
'Our message that this one replies or reacts to.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.reply_id IS
'The payload of the button, or the ID of the row, that was chosen; of a form (flow) its flow_token, or else its name.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.reply_title IS
'The text of the button, or row, that was chosen; of a form, what WhatsApp shows in its place.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.sent_at IS 'When the customer sent it, by Meta''s clock.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.too_old IS
'It was older than the seven days for which Meta repeats a webhook: stored, but no handler was called, no service '
'window opened, and nobody opted in by it.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.received_at IS 'When its webhook was received.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.edited_at IS
'When the customer last edited it; text is what it says since.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.revoked_at IS
'When the customer deleted it; of a reaction, when it was taken back or replaced by another.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.handler IS
'The function that was called for the reply; NULL: none.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.handled_at IS 'When the handler was last called.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.handler_error IS
'Why the handler registered with wa_on_reply() failed; wa_retry_reply(inbound_id) calls it again.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.thread_owner IS
'Who had the conversation when it was not this application, and the message came in the field standby: the role that '
'Meta named when it was last taken over, or other. NULL: this application.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.reply_data IS
'What was filled in (response_json), of the answer to a form; NULL also if it is no JSON.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.forwarded IS 'Whether the customer forwarded it.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.about_inbound_id IS
'The message of the customer''s that it edits, deletes, reacts or replies to, if that is stored.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.media_id IS
'Meta''s ID of its file: image, video, audio, document or sticker.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.mime_type IS 'The media type of its file, as Meta names it.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.filename IS 'The name of its file, as the customer named it.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.latitude IS 'Of a location, in degrees north.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.longitude IS 'Of a location, in degrees east.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.catalog_id IS
'The catalog that was ordered from, or that the product asked about is in.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.product_retailer_id IS
'The product that the customer was looking at when asking.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.order_items IS
'What was ordered: an array of objects with product_retailer_id, quantity, item_price and currency.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.referral_source_type IS
'ad or post: the customer came by a click on it (click to WhatsApp).';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.referral_source_id IS 'Meta''s ID of that ad or post.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.referral_source_url IS 'Its address.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.ctwa_clid IS
'Meta''s ID of the click, for its Conversions API.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.read_at IS
'When wa_mark_read() was first told that it has been read, whether or not the customer is shown that.';

/*
 * What customers say about a message of ours whose wamid is not recorded yet: the response
 * to its request is being settled, or got lost.  The wait doubles with each look, so that
 * what is never found, because another program has sent it, costs next to nothing.
 */
CREATE TABLE @extschema@.whatsapp_early_replies (
    inbound_id          bigint PRIMARY KEY,
    whatsapp_message_id text COLLATE "C" NOT NULL,
    received_at         timestamptz NOT NULL,
    next_look_at        timestamptz NOT NULL
);
CREATE INDEX whatsapp_early_replies_next_idx ON @extschema@.whatsapp_early_replies (next_look_at);
COMMENT ON TABLE @extschema@.whatsapp_early_replies IS
'Replies and reactions of customers to messages that are not known, looked for again for seven days. Internal.';
COMMENT ON COLUMN @extschema@.whatsapp_early_replies.inbound_id IS 'The reply, in whatsapp_inbound_messages.';
COMMENT ON COLUMN @extschema@.whatsapp_early_replies.whatsapp_message_id IS
'The wamid of the message that it replies or reacts to.';
COMMENT ON COLUMN @extschema@.whatsapp_early_replies.received_at IS 'When it was received.';
COMMENT ON COLUMN @extschema@.whatsapp_early_replies.next_look_at IS 'Not looked for before this time.';

CREATE TABLE @extschema@.whatsapp_windows (
    phone_number_id text COLLATE "C" NOT NULL,
    recipient       text COLLATE "C" NOT NULL,
    last_inbound_at timestamptz NOT NULL,
    taken_at        timestamptz,
    passed_at       timestamptz,
    PRIMARY KEY (phone_number_id, recipient)
) WITH (fillfactor = 80);
/* For whoever turns out to be the same person. */
CREATE INDEX whatsapp_windows_recipient_idx ON @extschema@.whatsapp_windows (recipient);
COMMENT ON TABLE @extschema@.whatsapp_windows IS
'When each customer last wrote to each number, under every form of the person. Within the service window, 24 hours '
'from then, messages other than templates can be sent.';
COMMENT ON COLUMN @extschema@.whatsapp_windows.phone_number_id IS 'The number.';
COMMENT ON COLUMN @extschema@.whatsapp_windows.recipient IS
'The customer: phone number with +, or business-scoped user ID.';
COMMENT ON COLUMN @extschema@.whatsapp_windows.last_inbound_at IS
'When the customer last wrote to the number; -infinity: only that the conversation has another owner is known.';
COMMENT ON COLUMN @extschema@.whatsapp_windows.taken_at IS
'When another application last had the conversation: it was taken, or the customer wrote to that one. NULL: never.';
COMMENT ON COLUMN @extschema@.whatsapp_windows.passed_at IS
'When the conversation was last passed to this application; NULL: never. It is ours, too, as soon as the customer '
'writes to us.';

CREATE FUNCTION @extschema@.wa_internal_thread_is_taken(
    last_inbound_at timestamptz, taken_at timestamptz, passed_at timestamptz)
RETURNS boolean
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_thread_is_taken';
COMMENT ON FUNCTION @extschema@.wa_internal_thread_is_taken(timestamptz, timestamptz, timestamptz) IS
'Whether another application has the conversation of which a row of whatsapp_windows says this. Internal.';

/* ---- messages ------------------------------------------------------------------- */

/* The elements of an array; none, if it is none. */
CREATE FUNCTION @extschema@.wa_internal_elements(list jsonb) RETURNS SETOF jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT e.value FROM jsonb_array_elements(CASE jsonb_typeof(list) WHEN 'array' THEN list ELSE '[]' END) AS e
$$;

/* JSON that stands in a string; NULL if it is none that can be stored. */
CREATE FUNCTION @extschema@.wa_internal_json_in_text(words text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN words::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL;
END
$$;

/* A coordinate, if it is one: Meta writes numbers, and others write them as strings. */
CREATE FUNCTION @extschema@.wa_internal_degrees(coordinate jsonb, most integer) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT round(d.degrees, 7)
    FROM (SELECT CASE WHEN coordinate #>> '{}' ~ '^-?[0-9]{1,3}(\.[0-9]{1,30})?$'
                      THEN (coordinate #>> '{}')::numeric END) AS d (degrees)
    WHERE abs(d.degrees) <= most
$$;

/* The message as it reads after an edit, and its type; any other message as it is. */
CREATE FUNCTION @extschema@.wa_internal_edited_message(INOUT type text, INOUT message jsonb)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN type IS DISTINCT FROM 'edit' THEN type
                ELSE COALESCE(message #>> '{edit,message,type}', message #>> '{edit,type}', (
                    SELECT t.type FROM unnest(ARRAY['text', 'image', 'video', 'document']) AS t (type)
                    WHERE COALESCE(message #> '{edit,message}', message -> 'edit') ? t.type LIMIT 1)) END,
           CASE WHEN type IS DISTINCT FROM 'edit' THEN message
                ELSE COALESCE(message #> '{edit,message}', message -> 'edit') END
$$;

/* What a person would read of it. */
CREATE FUNCTION @extschema@.wa_internal_inbound_text(type text, message jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE e.type
        WHEN 'text' THEN e.message #>> '{text,body}'
        WHEN 'button' THEN e.message #>> '{button,text}'
        WHEN 'interactive' THEN COALESCE(e.message #>> '{interactive,button_reply,title}',
            e.message #>> '{interactive,list_reply,title}', e.message #>> '{interactive,nfm_reply,body}',
            e.message #>> '{interactive,call_permission_reply,response}')
        WHEN 'reaction' THEN e.message #>> '{reaction,emoji}'
        WHEN 'location' THEN COALESCE(
            NULLIF(concat_ws(', ', NULLIF(e.message #>> '{location,name}', ''),
                NULLIF(e.message #>> '{location,address}', '')), ''),
            e.message #>> '{location,latitude}' || ', ' || (e.message #>> '{location,longitude}'))
        WHEN 'contacts' THEN (
            SELECT string_agg(concat_ws(' ',
                    COALESCE(c.contact #>> '{name,formatted_name}', c.contact #>> '{name,first_name}'), (
                        SELECT '(' || string_agg(p.phone ->> 'phone', ', ') || ')'
                        FROM @extschema@.wa_internal_elements(c.contact -> 'phones') AS p (phone))), '; ')
            FROM @extschema@.wa_internal_elements(e.message -> 'contacts') AS c (contact))
        WHEN 'order' THEN concat_ws(E'\n', NULLIF(e.message #>> '{order,text}', ''), (
            SELECT string_agg(concat_ws(' ', i.item ->> 'quantity', '×', i.item ->> 'product_retailer_id',
                    '(' || (i.item ->> 'item_price') || COALESCE(' ' || (i.item ->> 'currency'), '') || ')'), E'\n')
            FROM @extschema@.wa_internal_elements(e.message #> '{order,product_items}') AS i (item)))
        WHEN 'system' THEN e.message #>> '{system,body}'
        ELSE e.message #>> ARRAY[e.type, 'caption']
        END
    FROM @extschema@.wa_internal_edited_message(type, message) AS e
$$;

/* What else there is in it, for the columns of the same names. */
CREATE FUNCTION @extschema@.wa_internal_inbound_parts(type text, message jsonb,
    OUT about_wamid text, OUT reply_id text, OUT reply_title text, OUT reply_data jsonb, OUT forwarded boolean,
    OUT media_id text, OUT mime_type text, OUT filename text, OUT latitude numeric, OUT longitude numeric,
    OUT catalog_id text, OUT product_retailer_id text, OUT order_items jsonb,
    OUT referral_source_type text, OUT referral_source_id text, OUT referral_source_url text, OUT ctwa_clid text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT
        CASE type WHEN 'reaction' THEN message #>> '{reaction,message_id}'
            WHEN 'edit' THEN COALESCE(message #>> '{edit,original_message_id}', message ->> 'original_message_id')
            WHEN 'revoke' THEN COALESCE(message #>> '{revoke,original_message_id}', message ->> 'original_message_id')
            ELSE message #>> '{context,id}' END,
        COALESCE(message #>> '{button,payload}', message #>> '{interactive,button_reply,id}',
            message #>> '{interactive,list_reply,id}', NULLIF(d.reply_data ->> 'flow_token', ''),
            NULLIF(message #>> '{interactive,nfm_reply,name}', '')),
        COALESCE(message #>> '{button,text}', message #>> '{interactive,button_reply,title}',
            message #>> '{interactive,list_reply,title}', message #>> '{interactive,nfm_reply,body}'),
        d.reply_data,
        'true' IN (COALESCE(message #>> '{context,forwarded}', ''),
            COALESCE(message #>> '{context,frequently_forwarded}', '')),
        m.medium ->> 'id', m.medium ->> 'mime_type', m.medium ->> 'filename',
        @extschema@.wa_internal_degrees(message #> '{location,latitude}', 90),
        @extschema@.wa_internal_degrees(message #> '{location,longitude}', 180),
        COALESCE(message #>> '{order,catalog_id}', message #>> '{context,referred_product,catalog_id}'),
        message #>> '{context,referred_product,product_retailer_id}',
        message #> '{order,product_items}',
        message #>> '{referral,source_type}', message #>> '{referral,source_id}', message #>> '{referral,source_url}',
        message #>> '{referral,ctwa_clid}'
    FROM (SELECT @extschema@.wa_internal_json_in_text(message #>> '{interactive,nfm_reply,response_json}'))
            AS d (reply_data),
        (SELECT CASE WHEN type IN ('image', 'video', 'audio', 'document', 'sticker') THEN message -> type END)
            AS m (medium)
$$;

/* Under which forms somebody is known who writes so; a number may have changed hands since. */
CREATE FUNCTION @extschema@.wa_internal_sender_forms(phone text, usr text) RETURNS SETOF text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT f.identity
    FROM @extschema@.whatsapp_contact_identities AS f
    WHERE f.contact_id = COALESCE(
        (SELECT i.contact_id FROM @extschema@.whatsapp_contact_identities AS i WHERE i.identity = usr),
        (SELECT i.contact_id FROM @extschema@.whatsapp_contact_identities AS i WHERE i.identity = phone))
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
            AND e.key = ANY (ARRAY(
                SELECT number || '/' || ltrim(f.form, '+')
                FROM (VALUES (phone), (user_id)
                      UNION SELECT @extschema@.wa_internal_sender_forms(phone, user_id)) AS f (form)))
            AND e.happened_at < at + interval '1 second'
        ORDER BY e.happened_at DESC LIMIT 1), 'other')
$$;

/*
 * An edit and the message that it edits may be on their way in two webhooks at once, and
 * neither transaction would see the other's row.  So whoever stores something about a
 * message and whoever stores the message wait for each other, until COMMIT, and that may
 * be seconds away: a handler of the application comes before it.  So messages have a lock each,
 * by their hash; but where there are many of them, as nobody writes who presses a button, they
 * share 64, since the server's table of locks is everybody's.  An edit takes both, all in one order.
 */
CREATE FUNCTION @extschema@.wa_internal_lock_inbound(types text[], wamids text[], messages text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    classes CONSTANT integer[] := '{1463896392,1463896399}'; /* "WAIH", hashes; "WAIO", 64 places */
    most_hashes CONSTANT integer := 32;
    item record;
BEGIN
    FOR item IN
        SELECT k.class, k.key, bool_or(h.alone) AS alone
        FROM (
            SELECT hashtext(x.wamid) AS hash, false AS alone
            FROM unnest(wamids) AS x (wamid)
            UNION ALL
            SELECT hashtext(p.about_wamid), true
            FROM unnest(types, messages) AS x (type, message)
                CROSS JOIN LATERAL @extschema@.wa_internal_inbound_parts(x.type, x.message::jsonb) AS p
            WHERE x.type IN ('edit', 'revoke', 'reaction')) AS h
            CROSS JOIN LATERAL (VALUES (1, h.hash), (2, h.hash & 63)) AS k (class, key)
        WHERE h.hash IS NOT NULL
            AND (h.alone OR k.class = CASE WHEN cardinality(wamids) <= most_hashes THEN 1 ELSE 2 END)
        GROUP BY k.class, k.key
        ORDER BY k.class, k.key
    LOOP
        IF item.alone THEN
            PERFORM pg_advisory_xact_lock(classes[item.class], item.key);
        ELSE
            PERFORM pg_advisory_xact_lock_shared(classes[item.class], item.key);
        END IF;
    END LOOP;
END
$$;

/*
 * Brings together what is about a message and the message, whichever of them has just
 * come.  What holds is what was said last by Meta's clock, so the order of arrival does
 * not matter; in one second, what came last.
 */
CREATE FUNCTION @extschema@.wa_internal_join_inbound(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    about text[];
    known bigint[];
BEGIN
    /* messages that something is said about, old or new */
    SELECT array_agg(DISTINCT t.wamid) INTO about
        FROM @extschema@.whatsapp_inbound_messages AS i
            CROSS JOIN LATERAL (VALUES (i.whatsapp_message_id), (i.context_whatsapp_message_id)) AS t (wamid)
        WHERE i.inbound_id = ANY (ids) AND EXISTS (
            SELECT FROM @extschema@.whatsapp_inbound_messages AS e
            WHERE e.context_whatsapp_message_id = t.wamid AND e.message_type IN ('edit', 'revoke', 'reaction'));
    SELECT array_agg(l.inbound_id) INTO known FROM (
        SELECT o.inbound_id FROM @extschema@.whatsapp_inbound_messages AS o
        WHERE o.whatsapp_message_id = ANY (about)
        ORDER BY o.inbound_id FOR UPDATE) AS l;

    UPDATE @extschema@.whatsapp_inbound_messages AS o
        SET text = CASE WHEN e.sent_at IS NULL THEN o.text ELSE e.text END, edited_at = e.sent_at,
            revoked_at = r.sent_at
        FROM @extschema@.whatsapp_inbound_messages AS n
            LEFT JOIN LATERAL (
                SELECT e.sent_at, e.text FROM @extschema@.whatsapp_inbound_messages AS e
                WHERE e.context_whatsapp_message_id = n.whatsapp_message_id AND e.message_type = 'edit'
                    AND e.phone_number_id = n.phone_number_id
                ORDER BY e.sent_at DESC, e.inbound_id DESC LIMIT 1) AS e ON true
            LEFT JOIN LATERAL (
                SELECT max(r.sent_at) AS sent_at FROM @extschema@.whatsapp_inbound_messages AS r
                WHERE r.context_whatsapp_message_id = n.whatsapp_message_id AND r.message_type = 'revoke'
                    AND r.phone_number_id = n.phone_number_id) AS r ON true
        WHERE n.inbound_id = ANY (known) AND o.inbound_id = n.inbound_id AND n.message_type <> 'reaction'
            AND ((e.sent_at, r.sent_at) IS DISTINCT FROM (o.edited_at, o.revoked_at)
                 OR e.sent_at IS NOT NULL AND e.text IS DISTINCT FROM o.text);

    UPDATE @extschema@.whatsapp_inbound_messages AS i
        SET about_inbound_id = o.inbound_id
        FROM @extschema@.whatsapp_inbound_messages AS o
        WHERE o.phone_number_id = i.phone_number_id AND o.whatsapp_message_id = i.context_whatsapp_message_id
            AND i.about_inbound_id IS NULL AND i.inbound_id = ANY (ids);
    UPDATE @extschema@.whatsapp_inbound_messages AS i
        SET about_inbound_id = o.inbound_id
        FROM @extschema@.whatsapp_inbound_messages AS o
        WHERE o.inbound_id = ANY (known) AND o.phone_number_id = i.phone_number_id
            AND o.whatsapp_message_id = i.context_whatsapp_message_id AND i.about_inbound_id IS NULL
            AND i.message_type IN ('edit', 'revoke', 'reaction');

    /* A person has one reaction to a message: the next one, or none, takes the place of the one before. */
    UPDATE @extschema@.whatsapp_inbound_messages AS i
        SET revoked_at = s.next
        FROM (
            SELECT r.inbound_id, lead(r.sent_at) OVER (
                PARTITION BY r.context_whatsapp_message_id, r.phone_number_id,
                    COALESCE(r.sender_user_id, r.sender_phone)
                ORDER BY r.sent_at, r.inbound_id) AS next
            FROM @extschema@.whatsapp_inbound_messages AS r
            WHERE r.context_whatsapp_message_id = ANY (about) AND r.message_type = 'reaction') AS s
        WHERE i.inbound_id = s.inbound_id AND i.revoked_at IS DISTINCT FROM s.next;
END
$$;

/* Notes what is about a message that is not known, nor is the app's. */
CREATE FUNCTION @extschema@.wa_internal_note_early_replies(ids bigint[]) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO @extschema@.whatsapp_early_replies (inbound_id, whatsapp_message_id, received_at, next_look_at)
        SELECT i.inbound_id, i.context_whatsapp_message_id, i.received_at, i.received_at + interval '1 second'
        FROM @extschema@.whatsapp_inbound_messages AS i
        WHERE i.inbound_id = ANY (ids) AND i.context_whatsapp_message_id IS NOT NULL AND i.message_id IS NULL
            AND i.about_inbound_id IS NULL AND i.message_type NOT IN ('edit', 'revoke')
            AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_app_messages AS a
                            WHERE a.whatsapp_message_id = i.context_whatsapp_message_id)
$$;

/*
 * A batch of those whose time has come; webhooks and the upkeep of senders call it.  Returns
 * how many have found their message.  A reply is its tenant's, as one that comes in time.
 */
CREATE FUNCTION @extschema@.wa_internal_match_early_replies(batch integer DEFAULT 1000) RETURNS bigint
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH due AS MATERIALIZED (
        SELECT e.inbound_id, e.whatsapp_message_id, e.received_at
        FROM @extschema@.whatsapp_early_replies AS e
        WHERE e.next_look_at <= clock_timestamp()
        ORDER BY e.next_look_at LIMIT batch FOR UPDATE SKIP LOCKED
    ), found AS MATERIALIZED (
        SELECT d.inbound_id, w.message_id
        FROM due AS d
            CROSS JOIN LATERAL (
                SELECT o.message_id FROM @extschema@.whatsapp_wamids AS o
                WHERE o.whatsapp_message_id = d.whatsapp_message_id LIMIT 1) AS w
    ), told AS (
        UPDATE @extschema@.whatsapp_inbound_messages AS i
            SET message_id = m.id, tenant_id = m.tenant_id
            FROM found AS f JOIN @extschema@.whatsapp_messages AS m ON m.id = f.message_id
            WHERE i.inbound_id = f.inbound_id
            RETURNING i.inbound_id
    ), over AS MATERIALIZED (
        SELECT f.inbound_id FROM found AS f
        UNION
        SELECT d.inbound_id FROM due AS d
        WHERE d.received_at < clock_timestamp() - interval '7 days'
            /* It was about one of the customer's own, or is gone. */
            OR NOT EXISTS (SELECT FROM @extschema@.whatsapp_inbound_messages AS i
                           WHERE i.inbound_id = d.inbound_id AND i.about_inbound_id IS NULL)
    ), gone AS (
        DELETE FROM @extschema@.whatsapp_early_replies AS e WHERE e.inbound_id IN (SELECT o.inbound_id FROM over AS o)
    ), later AS (
        UPDATE @extschema@.whatsapp_early_replies AS e
            SET next_look_at = clock_timestamp() + GREATEST(clock_timestamp() - e.received_at, interval '1 second')
            WHERE e.inbound_id IN (SELECT d.inbound_id FROM due AS d EXCEPT SELECT o.inbound_id FROM over AS o))
    SELECT count(*) FROM told
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
    PERFORM @extschema@.wa_internal_lock_inbound(types, wamids, messages);
    WITH v AS MATERIALIZED (
        SELECT nextval(sequence) AS id, x.number, x.wamid, x.type, x.at, x.too_old, x.phone, x.user_id,
            x.message::jsonb AS message, x.standby
        FROM unnest(numbers, wamids, types, sent_at, too_old, phones, user_ids, messages, standby)
            AS x (number, wamid, type, at, too_old, phone, user_id, message, standby)
    ), stored AS (
        INSERT INTO @extschema@.whatsapp_inbound_messages (inbound_id, whatsapp_message_id, tenant_id,
                phone_number_id, sender_phone, sender_user_id, message_type, text, payload,
                context_whatsapp_message_id, message_id, reply_id, reply_title, sent_at, too_old,
                thread_owner, reply_data, forwarded, media_id, mime_type, filename, latitude, longitude, catalog_id,
                product_retailer_id, order_items, referral_source_type, referral_source_id, referral_source_url,
                ctwa_clid)
            OVERRIDING SYSTEM VALUE
            SELECT v.id, v.wamid, COALESCE(m.tenant_id, a.tenant_id), v.number, v.phone, v.user_id, v.type,
                NULLIF(@extschema@.wa_internal_inbound_text(v.type, v.message), ''), v.message,
                p.about_wamid, m.id, p.reply_id, p.reply_title, v.at, v.too_old,
                CASE WHEN v.standby
                     THEN @extschema@.wa_internal_thread_owner(v.number, v.phone, v.user_id, v.at) END,
                p.reply_data, p.forwarded, p.media_id, p.mime_type, p.filename, p.latitude, p.longitude, p.catalog_id,
                p.product_retailer_id, p.order_items, p.referral_source_type, p.referral_source_id,
                p.referral_source_url, p.ctwa_clid
            FROM v
                CROSS JOIN LATERAL @extschema@.wa_internal_inbound_parts(v.type, v.message) AS p
                LEFT JOIN LATERAL (
                    SELECT w.message_id FROM @extschema@.whatsapp_wamids AS w
                    WHERE w.whatsapp_message_id = p.about_wamid LIMIT 1) AS w ON true
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
        PERFORM @extschema@.wa_internal_join_inbound(ids);
        PERFORM @extschema@.wa_internal_note_early_replies(ids);
        IF current_setting('whatsapp_shared.fetch_media')::boolean THEN
            PERFORM @extschema@.wa_internal_want_media(ids, false);
        END IF;
    END IF;
    RETURN QUERY
        SELECT i.inbound_id, i.reply_id IS NOT NULL AND NOT i.too_old
        FROM @extschema@.whatsapp_inbound_messages AS i
        WHERE i.inbound_id = ANY (ids)
        ORDER BY i.inbound_id;
END
$$;

/*
 * Locks those who have written, each of whom is in whatsapp_contacts from now on: while we
 * write under the forms that are known of a person, nobody adds another one.
 */
CREATE FUNCTION @extschema@.wa_internal_meet_senders(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_lock_persons(array_agg(s.form))
        FROM @extschema@.whatsapp_inbound_messages AS i
            CROSS JOIN LATERAL (VALUES (i.sender_phone), (i.sender_user_id)) AS s (form)
        WHERE i.inbound_id = ANY (ids) AND i.message_type <> 'system';
    PERFORM @extschema@.wa_internal_know(w.phone, w.usr, NULL::text, w.at) FROM (
        SELECT i.sender_phone AS phone, i.sender_user_id AS usr, max(i.sent_at) AS at
        FROM @extschema@.whatsapp_inbound_messages AS i
            LEFT JOIN @extschema@.whatsapp_contact_identities AS p ON p.identity = i.sender_phone
            LEFT JOIN @extschema@.whatsapp_contact_identities AS u ON u.identity = i.sender_user_id
        WHERE i.inbound_id = ANY (ids) AND i.message_type <> 'system' AND NOT i.too_old
            AND (p.contact_id IS NULL AND i.sender_phone IS NOT NULL
                 OR u.contact_id IS NULL AND i.sender_user_id IS NOT NULL OR p.contact_id <> u.contact_id
                 /* Written from by somebody who has left it, or by somebody else. */
                 OR p.replaced_at < i.sent_at)
        GROUP BY i.sender_phone, i.sender_user_id
        ORDER BY i.sender_user_id, i.sender_phone) AS w;
END
$$;

/*
 * For a webhook: these conversations are ours again, so what was held because of them may
 * leave.  A row that somebody has locked is left for the senders' look at all that is
 * held, and so is what lies behind the newest 1,000 messages of somebody.
 */
CREATE FUNCTION @extschema@.wa_internal_release_threads(numbers text[], recipients text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ids bigint[];
BEGIN
    IF NOT EXISTS (SELECT FROM @extschema@.whatsapp_queue AS q
                   WHERE q.state = 'h' AND q.hold_reason = 'thread_taken') THEN
        RETURN;
    END IF;
    SELECT array_agg(l.message_id) INTO ids FROM (
        SELECT q.message_id FROM @extschema@.whatsapp_queue AS q
        WHERE q.state = 'h' AND q.hold_reason = 'thread_taken' AND q.message_id = ANY (ARRAY(
            SELECT m.id
            FROM unnest(recipients) AS r (recipient)
                CROSS JOIN LATERAL (
                    (SELECT o.id FROM @extschema@.whatsapp_messages AS o
                     WHERE o.recipient_phone = r.recipient ORDER BY o.id DESC LIMIT 1000)
                    UNION ALL
                    (SELECT o.id FROM @extschema@.whatsapp_messages AS o
                     WHERE o.recipient_user_id = r.recipient AND o.recipient_phone IS NULL
                     ORDER BY o.id DESC LIMIT 1000)) AS m))
            AND q.phone_number_id = ANY (numbers)
        ORDER BY q.message_id
        FOR UPDATE SKIP LOCKED) AS l;
    IF ids IS NOT NULL THEN
        PERFORM @extschema@.wa_internal_place_rows(ids);
    END IF;
END
$$;

/*
 * Who has conversations from then on: another application (taken), or this one.  Those are
 * facts of one second, and so may be what a customer writes in it.  The microseconds say
 * which counts: that it was taken, before that it was passed to us, before that a customer
 * wrote to another one, before that a customer wrote to us.
 */
CREATE FUNCTION @extschema@.wa_internal_note_handovers(
    numbers text[], phones text[], user_ids text[], happened_at timestamptz[], taken boolean[])
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ours record;
BEGIN
    PERFORM @extschema@.wa_internal_know(u.phone, u.usr, NULL::text, u.at)
        FROM unnest(phones, user_ids, happened_at) AS u (phone, usr, at);
    WITH noted AS (
        INSERT INTO @extschema@.whatsapp_windows AS w (phone_number_id, recipient, last_inbound_at, taken_at, passed_at)
            SELECT u.number, f.identity, '-infinity',
                max(u.at + interval '3 microseconds') FILTER (WHERE u.taken),
                max(u.at + interval '2 microseconds') FILTER (WHERE NOT u.taken)
            FROM unnest(numbers, phones, user_ids, happened_at, taken) AS u (number, phone, usr, at, taken)
                CROSS JOIN LATERAL @extschema@.wa_internal_sender_forms(u.phone, u.usr) AS f (identity)
            GROUP BY u.number, f.identity
            ORDER BY u.number, f.identity
            ON CONFLICT ON CONSTRAINT whatsapp_windows_pkey DO UPDATE
            SET taken_at = GREATEST(w.taken_at, EXCLUDED.taken_at),
                passed_at = GREATEST(w.passed_at, EXCLUDED.passed_at)
            RETURNING w.*)
    SELECT array_agg(n.phone_number_id) AS numbers, array_agg(n.recipient) AS recipients INTO ours
        FROM noted AS n
        WHERE NOT @extschema@.wa_internal_thread_is_taken(n.last_inbound_at, n.taken_at, n.passed_at);
    IF ours.numbers IS NOT NULL THEN
        PERFORM @extschema@.wa_internal_release_threads(ours.numbers, ours.recipients);
    END IF;
END
$$;

/*
 * Whether an edit, whose words opt out, says that for the first time: of what the message
 * said before, the words that it was sent with count.  An edit that takes such a word back
 * opts nobody in.
 */
CREATE FUNCTION @extschema@.wa_internal_edit_opts_out(i @extschema@.whatsapp_inbound_messages, category text)
RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (@extschema@.wa_internal_edited_message(i.message_type, i.payload)).type = 'text'
        AND NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_inbound_messages AS o
                CROSS JOIN LATERAL @extschema@.wa_internal_opt_choice(
                    @extschema@.wa_internal_inbound_text(o.message_type, o.payload)) AS w
            WHERE o.whatsapp_message_id = i.context_whatsapp_message_id AND o.phone_number_id = i.phone_number_id
                AND w.action = 'out' AND w.category IN (wa_internal_edit_opts_out.category, 'all'))
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
    ours record;
BEGIN
    PERFORM @extschema@.wa_internal_meet_senders(ids);
    WITH opened AS (
        INSERT INTO @extschema@.whatsapp_windows AS w (phone_number_id, recipient, last_inbound_at, taken_at)
            SELECT i.phone_number_id, r.identity, max(LEAST(i.sent_at, i.received_at)),
                max(LEAST(i.sent_at, i.received_at) + interval '1 microsecond')
                    FILTER (WHERE i.thread_owner IS NOT NULL)
            FROM @extschema@.whatsapp_inbound_messages AS i
                CROSS JOIN LATERAL @extschema@.wa_internal_sender_forms(i.sender_phone, i.sender_user_id)
                    AS r (identity)
            WHERE i.inbound_id = ANY (ids)
                AND NOT i.too_old AND i.message_type NOT IN ('system', 'request_welcome', 'edit', 'revoke')
                AND i.payload ->> 'group_id' IS NULL
            GROUP BY i.phone_number_id, r.identity
            ORDER BY i.phone_number_id, r.identity
            ON CONFLICT ON CONSTRAINT whatsapp_windows_pkey DO UPDATE
            SET last_inbound_at = GREATEST(w.last_inbound_at, EXCLUDED.last_inbound_at),
                taken_at = GREATEST(w.taken_at, EXCLUDED.taken_at)
            WHERE w.last_inbound_at < EXCLUDED.last_inbound_at
                OR EXCLUDED.taken_at > COALESCE(w.taken_at, '-infinity')
            RETURNING w.*)
    SELECT array_agg(o.phone_number_id) AS numbers, array_agg(o.recipient) AS recipients INTO ours
        FROM opened AS o
        WHERE o.taken_at IS NOT NULL
            AND NOT @extschema@.wa_internal_thread_is_taken(o.last_inbound_at, o.taken_at, o.passed_at);
    IF ours.numbers IS NOT NULL THEN
        PERFORM @extschema@.wa_internal_release_threads(ours.numbers, ours.recipients);
    END IF;

    FOR item IN
        /* Of what one person says the latest counts, whatever its place. */
        SELECT i.tenant_id, i.phone_number_id, i.sender_phone, i.sender_user_id, w.action, w.category,
            max(LEAST(i.sent_at, i.received_at)) AS said_at
        FROM @extschema@.whatsapp_inbound_messages AS i
            CROSS JOIN LATERAL @extschema@.wa_internal_opt_choice(i.text) AS w
        WHERE i.inbound_id = ANY (ids) AND length(i.text) <= 60 AND i.payload ->> 'group_id' IS NULL
            AND (i.message_type IN ('text', 'button', 'interactive') AND (w.action = 'out' OR NOT i.too_old)
                 OR i.message_type = 'edit' AND w.action = 'out'
                    AND @extschema@.wa_internal_edit_opts_out(i, w.category))
        GROUP BY 1, 2, 3, 4, 5, 6
        ORDER BY i.sender_user_id, i.sender_phone, 1, 2, 5, 6
    LOOP
        PERFORM @extschema@.wa_internal_set_opt(item.tenant_id, item.phone_number_id,
            item.sender_phone, item.sender_user_id, item.category, item.action, 'inbound'::text,
            item.said_at);
    END LOOP;
END
$$;
