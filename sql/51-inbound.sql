/*
 * Messages from customers: stored once, and what they set in motion: the
 * 24-hour window, opt-outs, changes of number.
 *
 * Everything here works on sets and raises nothing that the content of a
 * message could cause.
 */

/* ---- words that stop and resume messages ------------------------------------- */

/* Without case, accents, and whatever stands around the word. */
CREATE FUNCTION @extschema@.wa_internal_opt_word(message text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT regexp_replace(
        lower(regexp_replace(normalize(message, NFD), '[\u0300-\u036f]', '', 'g')),
        '^[[:space:][:punct:]¡¿]+|[[:space:][:punct:]¡¿]+$', '', 'g')
$$;

CREATE FUNCTION @extschema@.wa_internal_normalise_opt_word() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    /* In another encoding webhooks are refused anyway, and normalize() fails. */
    IF pg_catalog.getdatabaseencoding() = 'UTF8' THEN
        NEW.word := @extschema@.wa_internal_opt_word(NEW.word);
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER whatsapp_opt_words_normalise
    BEFORE INSERT OR UPDATE ON @extschema@.whatsapp_opt_words
    FOR EACH ROW EXECUTE FUNCTION @extschema@.wa_internal_normalise_opt_word();

INSERT INTO @extschema@.whatsapp_opt_words (language, word, action) VALUES
    ('es', 'baja', 'out'), ('es', 'darme de baja', 'out'), ('es', 'dar de baja', 'out'),
    ('es', 'cancelar suscripcion', 'out'), ('es', 'no enviar mas', 'out'), ('es', 'parar', 'out'),
    ('es', 'alta', 'in'), ('es', 'reanudar', 'in'), ('es', 'darme de alta', 'in'),
    ('en', 'stop', 'out'), ('en', 'unsubscribe', 'out'), ('en', 'opt out', 'out'), ('en', 'stopall', 'out'),
    ('en', 'stop all', 'out'), ('en', 'start', 'in'), ('en', 'unstop', 'in'), ('en', 'subscribe', 'in'),
    ('en', 'opt in', 'in'),
    ('ca', 'donar de baixa', 'out'), ('ca', 'baixa', 'out'), ('ca', 'atura', 'out'),
    ('gl', 'cancelar subscricion', 'out'), ('eu', 'gelditu', 'out'), ('eu', 'baja eman', 'out'),
    ('pt', 'sair', 'out'), ('pt', 'parar', 'out'), ('pt', 'cancelar inscricao', 'out'), ('pt', 'voltar', 'in'),
    ('fr', 'arret', 'out'), ('fr', 'desabonner', 'out'), ('fr', 'reprendre', 'in'),
    ('it', 'ferma', 'out'), ('it', 'disiscriviti', 'out'), ('it', 'riprendi', 'in'),
    ('de', 'stopp', 'out'), ('de', 'abmelden', 'out'), ('de', 'anmelden', 'in');

/*
 * Whose customer somebody is who writes to this number: its tenant, or, for a
 * number that no tenant has (the default number), every tenant that sends from
 * it because it has none of its own.
 */
CREATE FUNCTION @extschema@.wa_internal_tenants_of(tenant text, number text) RETURNS SETOF text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT tenant WHERE tenant IS NOT NULL
    UNION ALL
    SELECT t.tenant_id
    FROM @extschema@.whatsapp_tenants AS t
    WHERE tenant IS NULL AND number = current_setting('whatsapp_shared.phone_number_id', true)
        AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_phone_assignments AS a
                        WHERE a.tenant_id = t.tenant_id AND a.unassigned_at IS NULL)
$$;

/* Whether the customer has switched marketing on again after that time. */
CREATE FUNCTION @extschema@.wa_internal_resumed_later(number text, recipients text[], since timestamptz) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM unnest(recipients) AS r (recipient)
            JOIN @extschema@.whatsapp_account_events AS e
                ON e.field = 'user_preferences' AND e.key = number || ' ' || r.recipient AND e.happened_at > since
        WHERE e.value ->> 'value' IN ('resume', 'signup'))
$$;

/*
 * The same by a word.  Nearly always the message at hand is the latest of its
 * sender, which the window tells at once.
 */
CREATE FUNCTION @extschema@.wa_internal_opted_in_later(
    tenant text, number text, recipients text[], since timestamptz) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (
            SELECT FROM @extschema@.whatsapp_windows AS w
            WHERE w.phone_number_id = number AND w.recipient = ANY (recipients) AND w.last_inbound_at > since)
        AND EXISTS (
            SELECT FROM @extschema@.whatsapp_inbound_messages AS i
                JOIN @extschema@.whatsapp_opt_words AS w ON w.word = @extschema@.wa_internal_opt_word(i.text)
            WHERE (i.tenant_id = tenant OR tenant IS NULL AND i.tenant_id IS NULL) AND i.phone_number_id = number
                AND i.received_at > since - interval '1 day' AND i.sent_at > since
                AND (i.sender_phone = ANY (recipients) OR i.sender_user_id = ANY (recipients))
                AND i.message_type IN ('text', 'button', 'interactive') AND pg_catalog.length(i.text) <= 60
                AND w.action = 'in');
END
$$;

/*
 * A customer's own decision; one that comes late yields to a later one.  What
 * WhatsApp's switch has stopped, a word does not resume: Meta would go on
 * refusing.
 */
CREATE FUNCTION @extschema@.wa_internal_set_opt(
    tenant text,
    number text,
    recipients text[],
    category text,
    action text,
    source text,
    decided_at timestamptz)
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    IF action = 'out' THEN
        IF source = 'preferences' AND @extschema@.wa_internal_resumed_later(number, recipients, decided_at)
           OR source = 'inbound' AND @extschema@.wa_internal_opted_in_later(tenant, number, recipients, decided_at) THEN
            RETURN;
        END IF;
        INSERT INTO @extschema@.whatsapp_opt_outs AS o (tenant_id, recipient, category, source, created_at)
            SELECT t.tenant_id, r.recipient, category, source, decided_at
            FROM @extschema@.wa_internal_tenants_of(tenant, number) AS t (tenant_id)
                CROSS JOIN pg_catalog.unnest(recipients) AS r (recipient)
            WHERE r.recipient IS NOT NULL
            ORDER BY t.tenant_id, r.recipient
            ON CONFLICT ON CONSTRAINT whatsapp_opt_outs_pkey DO UPDATE
            SET source = EXCLUDED.source, created_at = EXCLUDED.created_at
            WHERE o.created_at < EXCLUDED.created_at;
    ELSE
        DELETE FROM @extschema@.whatsapp_opt_outs AS o
            USING @extschema@.wa_internal_tenants_of(tenant, number) AS t (tenant_id)
            WHERE o.tenant_id = t.tenant_id AND o.recipient = ANY (recipients)
                AND o.created_at <= decided_at
                AND CASE source WHEN 'preferences' THEN o.category = category ELSE o.source <> 'preferences' END;
    END IF;
END
$$;

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
    phones text[],
    user_ids text[],
    messages text[])
RETURNS TABLE (inbound_id bigint, reply boolean)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    sequence CONSTANT regclass := pg_catalog.pg_get_serial_sequence(
        '@extschema@.whatsapp_inbound_messages', 'inbound_id');
    ids bigint[];
BEGIN
    WITH v AS MATERIALIZED (
        SELECT pg_catalog.nextval(sequence) AS id, x.number, x.wamid, x.type, x.at, x.phone, x.user_id,
            x.message::jsonb AS message
        FROM unnest(numbers, wamids, types, sent_at, phones, user_ids, messages)
            AS x (number, wamid, type, at, phone, user_id, message)
    ), stored AS (
        INSERT INTO @extschema@.whatsapp_inbound_messages (inbound_id, whatsapp_message_id, tenant_id,
                phone_number_id, sender_phone, sender_user_id, message_type, text, payload,
                context_whatsapp_message_id, message_id, reply_id, reply_title, sent_at)
            OVERRIDING SYSTEM VALUE
            SELECT v.id, v.wamid, COALESCE(m.tenant_id, a.tenant_id), v.number, v.phone, v.user_id, v.type,
                NULLIF(@extschema@.wa_internal_inbound_text(v.type, v.message), ''), v.message,
                v.message #>> '{context,id}', m.id,
                COALESCE(v.message #>> '{button,payload}',
                    v.message #>> '{interactive,button_reply,id}', v.message #>> '{interactive,list_reply,id}'),
                COALESCE(v.message #>> '{button,text}',
                    v.message #>> '{interactive,button_reply,title}', v.message #>> '{interactive,list_reply,title}'),
                v.at
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
    SELECT COALESCE(pg_catalog.array_agg(s.inbound_id ORDER BY s.inbound_id), '{}') INTO ids FROM stored AS s;

    IF pg_catalog.cardinality(ids) > 0 THEN
        PERFORM @extschema@.wa_internal_after_inbound(ids);
    END IF;
    RETURN QUERY
        SELECT i.inbound_id, i.reply_id IS NOT NULL
        FROM @extschema@.whatsapp_inbound_messages AS i
        WHERE i.inbound_id = ANY (ids)
        ORDER BY i.inbound_id;
END
$$;

/*
 * What follows from them.  Customer by customer, for the order of locks again;
 * what one customer writes stays in its own order.
 */
CREATE FUNCTION @extschema@.wa_internal_after_inbound(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    item record;
BEGIN
    INSERT INTO @extschema@.whatsapp_windows AS w (phone_number_id, recipient, last_inbound_at)
        SELECT i.phone_number_id, r.recipient, pg_catalog.max(i.sent_at)
        FROM @extschema@.whatsapp_inbound_messages AS i
            CROSS JOIN LATERAL (VALUES (i.sender_phone), (i.sender_user_id)) AS r (recipient)
        WHERE i.inbound_id = ANY (ids) AND r.recipient IS NOT NULL
            AND i.message_type NOT IN ('system', 'request_welcome', 'edit', 'revoke')
        GROUP BY i.phone_number_id, r.recipient
        ORDER BY i.phone_number_id, r.recipient
        ON CONFLICT ON CONSTRAINT whatsapp_windows_pkey DO UPDATE
        SET last_inbound_at = EXCLUDED.last_inbound_at
        WHERE w.last_inbound_at < EXCLUDED.last_inbound_at;

    FOR item IN
        SELECT i.*, w.action
        FROM @extschema@.whatsapp_inbound_messages AS i
            CROSS JOIN LATERAL (
                SELECT w.action FROM @extschema@.whatsapp_opt_words AS w
                WHERE pg_catalog.length(i.text) <= 60 AND w.action <> 'none' AND w.word = @extschema@.wa_internal_opt_word(i.text)
                ORDER BY w.action DESC LIMIT 1) AS w
        WHERE i.inbound_id = ANY (ids) AND i.message_type IN ('text', 'button', 'interactive')
        ORDER BY i.sender_user_id, i.sender_phone, i.sent_at, i.inbound_id
    LOOP
        PERFORM @extschema@.wa_internal_set_opt(item.tenant_id, item.phone_number_id,
            ARRAY[item.sender_phone, item.sender_user_id], 'all', item.action, 'inbound', item.sent_at);
    END LOOP;

    FOR item IN
        SELECT i.* FROM @extschema@.whatsapp_inbound_messages AS i
        WHERE i.inbound_id = ANY (ids) AND i.message_type IN ('edit', 'revoke', 'system')
        ORDER BY i.sender_user_id, i.sender_phone, i.sent_at, i.inbound_id
    LOOP
        IF item.message_type = 'system' THEN
            IF item.payload #>> '{system,type}' IN ('user_changed_number', 'user_changed_user_id') THEN
                PERFORM @extschema@.wa_internal_change_identity(
                    pg_catalog.ltrim(item.sender_phone, '+'),
                    COALESCE(item.payload #>> '{system,previous_user_id}', item.sender_user_id),
                    item.payload #>> '{system,wa_id}',
                    COALESCE(item.payload #>> '{system,user_id}',
                        CASE WHEN item.payload #>> '{system,previous_user_id}' <> item.sender_user_id
                             THEN item.sender_user_id END), item.sent_at);
            END IF;
        ELSE
            UPDATE @extschema@.whatsapp_inbound_messages AS o
                SET edited_at = CASE item.message_type WHEN 'edit' THEN GREATEST(o.edited_at, item.sent_at) ELSE o.edited_at END,
                    revoked_at = CASE item.message_type WHEN 'revoke' THEN GREATEST(o.revoked_at, item.sent_at) ELSE o.revoked_at END
                WHERE o.whatsapp_message_id = COALESCE(
                    item.payload #>> ARRAY[item.message_type, 'original_message_id'], item.payload ->> 'original_message_id')
                    AND o.phone_number_id = item.phone_number_id;
        END IF;
    END LOOP;
END
$$;

/* ---- switches of WhatsApp itself ------------------------------------------------- */

/*
 * "stop" is a customer's right, and the tenant's who had the number when it was
 * pressed.  Returns how many of these choices were new.
 */
CREATE FUNCTION @extschema@.wa_internal_store_preferences(
    numbers text[],
    phones text[],
    user_ids text[],
    choices text[],
    chosen_at timestamptz[],
    items text[])
RETURNS integer
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p record;
    fresh integer := 0;
BEGIN
    FOR p IN
        WITH v AS MATERIALIZED (
            SELECT x.*, COALESCE(x.user_id, x.phone) AS key, x.text::jsonb AS item,
                substr(sha256(convert_to(concat_ws(E'\n', 'user_preferences', x.number, x.text::jsonb), 'UTF8')), 1, 16) AS mark
            FROM unnest(numbers, phones, user_ids, choices, chosen_at, items) WITH ORDINALITY
                AS x (number, phone, user_id, choice, at, text, n)
        ), stored AS (
            INSERT INTO @extschema@.whatsapp_account_events (fingerprint, field, key, value, happened_at)
                SELECT DISTINCT ON (v.mark) v.mark, 'user_preferences', v.number || ' ' || v.key, v.item, v.at
                FROM v ORDER BY v.mark, v.n
                ON CONFLICT ON CONSTRAINT whatsapp_account_events_fingerprint_key DO NOTHING
                RETURNING fingerprint)
        SELECT v.*, a.tenant_id
        FROM stored AS s
            CROSS JOIN LATERAL (SELECT v.* FROM v WHERE v.mark = s.fingerprint ORDER BY v.n LIMIT 1) AS v
            LEFT JOIN LATERAL (
                SELECT a.tenant_id FROM @extschema@.whatsapp_phone_assignments AS a
                WHERE a.phone_number_id = v.number AND a.assigned_at < v.at + interval '1 second'
                    AND (a.unassigned_at IS NULL OR a.unassigned_at > v.at)
                ORDER BY a.assigned_at DESC LIMIT 1) AS a ON true
        ORDER BY v.user_id, v.phone, v.at, v.n
    LOOP
        fresh := fresh + 1;
        PERFORM @extschema@.wa_internal_set_opt(p.tenant_id, p.number, ARRAY[p.phone, p.user_id],
            'marketing', CASE p.choice WHEN 'stop' THEN 'out' ELSE 'in' END, 'preferences', p.at);
    END LOOP;
    RETURN fresh;
END
$$;

/* ---- replies ---------------------------------------------------------------------- */

/* Which handlers to call for these messages, with what. */
CREATE FUNCTION @extschema@.wa_internal_reply_calls(ids bigint[])
RETURNS TABLE (inbound_id bigint, prefix text, handler text, registered_by name, search_path text, argument jsonb)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT i.inbound_id, h.prefix, h.handler, h.registered_by, h.search_path,
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
        SET handler = c.handler, handled_at = pg_catalog.clock_timestamp(), handler_error = c.error
        FROM unnest(inbound_ids, handlers, errors) AS c (inbound_id, handler, error)
        WHERE i.inbound_id = c.inbound_id;
    FOR failed IN
        SELECT c.prefix, pg_catalog.max(c.handler) AS handler, pg_catalog.count(*) AS n,
            pg_catalog.max(c.inbound_id) AS inbound_id,
            (pg_catalog.array_agg(c.error ORDER BY c.inbound_id DESC))[1] AS error
        FROM unnest(inbound_ids, prefixes, handlers, errors) AS c (inbound_id, prefix, handler, error)
        WHERE c.error IS NOT NULL
        GROUP BY c.prefix
        ORDER BY c.prefix
    LOOP
        PERFORM @extschema@.wa_internal_alert('warning', 'reply_handler', '', failed.prefix,
            pg_catalog.format('The handler %s failed for a reply', failed.handler),
            pg_catalog.jsonb_build_object('inbound_id', failed.inbound_id, 'error', failed.error, 'replies', failed.n));
    END LOOP;
END
$$;

CREATE FUNCTION @extschema@.wa_on_reply(prefix text, handler regprocedure) RETURNS void
    LANGUAGE C VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'wa_on_reply';
COMMENT ON FUNCTION @extschema@.wa_on_reply(text, regprocedure) IS
'Has the function called, with one jsonb argument, for each reply by button or list whose payload begins with the prefix; the longest prefix wins. It runs as the role that registers it, with the search_path of this session.';

CREATE FUNCTION @extschema@.wa_off_reply(prefix text) RETURNS boolean
    LANGUAGE C VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'wa_off_reply';
COMMENT ON FUNCTION @extschema@.wa_off_reply(text) IS
'Ends what wa_on_reply() began for this prefix. False: there was no handler.';

CREATE FUNCTION @extschema@.wa_retry_reply(inbound_id bigint) RETURNS boolean
    LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'wa_retry_reply';
COMMENT ON FUNCTION @extschema@.wa_retry_reply(bigint) IS
'Calls the handler of a reply once more, after its mistake has been mended (whatsapp_inbound_messages.handler_error). False: it failed again.';
