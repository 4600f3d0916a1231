/*
 * Replies: buttons, choices from lists and forms of customers, and the functions of
 * the application that are called for them.
 */
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
