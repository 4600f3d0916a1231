/*
 * Who wants no messages: as the tenant notes it, as the customer says it in a
 * word or by a switch of WhatsApp, and as Meta's errors tell.
 */

CREATE TABLE @extschema@.whatsapp_opt_outs (
    tenant_id  text COLLATE "C" NOT NULL,
    recipient  text COLLATE "C" NOT NULL,
    category   text NOT NULL DEFAULT 'marketing'
        CONSTRAINT whatsapp_opt_outs_category_check CHECK (category IN ('marketing', 'all')),
    source     text NOT NULL DEFAULT 'manual',
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (tenant_id, recipient, category)
);
COMMENT ON TABLE @extschema@.whatsapp_opt_outs IS
'Recipients who have opted out of a category of messages (marketing, or all) from a tenant. Messages to them are '
'stored as skipped. Written by wa_opt_out(), by opt-out words that arrive, by WhatsApp''s own switch, and by Meta''s '
'error 131050.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_outs.tenant_id IS 'The tenant that must not write.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_outs.recipient IS
'Phone number in international form with +, or business-scoped user ID.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_outs.category IS 'marketing, or all.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_outs.source IS
'Its origin: manual, inbound (a word such as BAJA), preferences (WhatsApp''s own switch), error (Meta''s error '
'131050).';
COMMENT ON COLUMN @extschema@.whatsapp_opt_outs.created_at IS 'When the recipient opted out.';

CREATE TABLE @extschema@.whatsapp_opt_words (
    language text NOT NULL,
    word     text NOT NULL
        CONSTRAINT whatsapp_opt_words_word_check CHECK (word <> ''),
    action   text NOT NULL
        CONSTRAINT whatsapp_opt_words_action_check CHECK (action IN ('out', 'in', 'none')),
    PRIMARY KEY (word, language)
);
COMMENT ON TABLE @extschema@.whatsapp_opt_words IS
'Words with which a customer opts out of messages or in again; action none disables a built-in word. A word counts '
'if it is the whole message; case, accents, and surrounding spaces and punctuation do not matter.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_words.language IS 'The language of the word; words of all languages count.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_words.word IS 'The word or phrase, in lower case without accents.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_words.action IS 'out (stop), in (resume) or none (switched off).';

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
    IF getdatabaseencoding() = 'UTF8' THEN
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

/* ---- what a tenant notes ----------------------------------------------------------- */

/* The canonical form of a recipient, or an error; see src/common/recipient.c. */
CREATE FUNCTION @extschema@.wa_internal_recipient(recipient text) RETURNS text
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_recipient';
COMMENT ON FUNCTION @extschema@.wa_internal_recipient(text) IS
'The number in international form, or the business-scoped user id, that this text stands for. Internal.';

CREATE FUNCTION @extschema@.wa_internal_check_opt_out(tenant text, recipient text, category text) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF tenant IS NULL OR recipient IS NULL OR category IS NULL THEN
        RAISE EXCEPTION 'tenant_id, recipient and category must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    ELSIF category NOT IN ('marketing', 'all') THEN
        RAISE EXCEPTION 'invalid category "%"', @extschema@.wa_internal_quote(category)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Use marketing or all.';
    END IF;
    PERFORM @extschema@.wa_internal_check_own_tenant(tenant);
    PERFORM @extschema@.wa_internal_check_tenant_exists(tenant, recipient);
    RETURN @extschema@.wa_internal_recipient(recipient);
END
$$;

CREATE FUNCTION @extschema@.wa_opt_out(
    tenant_id text,
    recipient text,
    category  text DEFAULT 'marketing')
RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO @extschema@.whatsapp_opt_outs (tenant_id, recipient, category)
        VALUES (wa_opt_out.tenant_id,
                @extschema@.wa_internal_check_opt_out(wa_opt_out.tenant_id, wa_opt_out.recipient,
                                                      wa_opt_out.category),
                wa_opt_out.category)
        ON CONFLICT DO NOTHING;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_opt_out(text, text, text) IS
'Records that the recipient wants no marketing from this tenant (templates of that category or of an unknown one), '
'or, with category all, no messages at all. New messages are stored as skipped; those queued already are still sent. '
'False: it was recorded before. Errors: 22004, 22023, 42704 unknown tenant.';

CREATE FUNCTION @extschema@.wa_opt_in(
    tenant_id text,
    recipient text,
    category  text DEFAULT 'marketing')
RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    who text := @extschema@.wa_internal_check_opt_out(tenant_id, recipient, category);
BEGIN
    DELETE FROM @extschema@.whatsapp_opt_outs AS o
        WHERE o.tenant_id = wa_opt_in.tenant_id AND o.recipient = who
            AND wa_opt_in.category IN (o.category, 'all');
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_opt_in(text, text, text) IS
'Reverses wa_opt_out(): for marketing, or, with category all, for everything. False: nothing was recorded. Errors as '
'there.';

/* ---- what a customer decides ------------------------------------------------------ */

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
                AND i.message_type IN ('text', 'button', 'interactive') AND length(i.text) <= 60
                AND w.action = 'in' AND NOT i.too_old);
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
                CROSS JOIN unnest(recipients) AS r (recipient)
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
                substr(sha256(convert_to(concat_ws(E'\n', 'user_preferences', x.number, x.text::jsonb), 'UTF8')), 1, 16)
                    AS mark
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
            'marketing'::text, CASE p.choice WHEN 'stop' THEN 'out' ELSE 'in' END, 'preferences'::text, p.at);
    END LOOP;
    RETURN fresh;
END
$$;
