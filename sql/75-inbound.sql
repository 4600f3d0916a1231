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
'Functions that are called when a customer presses a button, chooses from a list or fills in a form. Made by '
'wa_on_reply().';
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
            'data', i.reply_data,
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
'Has the function called, with one jsonb argument, for each reply by button, list or form whose payload begins with '
'the prefix; the longest prefix wins. It runs as the role that registers it or as the owner of the function, '
'whichever has fewer rights, with this session''s search_path. Errors: 42501 not allowed, or neither of the two roles '
'has the rights of the other; 42P13 not such a function.';

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
