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
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    alerted_at timestamptz,
    switch_at  timestamptz,
    word_at    timestamptz,
    word_source text,
    PRIMARY KEY (tenant_id, recipient, category)
);
/* For whoever turns out to be the same person. */
CREATE INDEX whatsapp_opt_outs_recipient_idx ON @extschema@.whatsapp_opt_outs (recipient);
COMMENT ON TABLE @extschema@.whatsapp_opt_outs IS
'Recipients who have opted out of a category of messages (marketing, or all) from a tenant, under every number and '
'user ID that is known of the person. Messages to them are skipped, also those that were queued before. Written by '
'wa_opt_out(), by opt-out words that arrive, by WhatsApp''s own switch, and by Meta''s error 131050; rows may also be '
'inserted and deleted directly: to delete one is an opt-in at that moment, of the whole person.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_outs.tenant_id IS 'The tenant that must not write.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_outs.recipient IS
'Phone number in international form with +, or business-scoped user ID.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_outs.category IS 'marketing, or all.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_outs.source IS
'Its origin: manual, inbound (a word such as BAJA), preferences (WhatsApp''s own switch), error (Meta''s error '
'131050).';
COMMENT ON COLUMN @extschema@.whatsapp_opt_outs.created_at IS 'When the recipient opted out.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_outs.alerted_at IS
'When an alert told that a message other than marketing was skipped for it; there is one alert for each person.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_outs.switch_at IS
'When WhatsApp''s own switch was last turned off, if it is off: a word does not turn it on.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_outs.word_at IS
'When the person last opted out in any other way, if that is in force. source and created_at follow from these two.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_outs.word_source IS 'The origin of that: manual, inbound or error.';

CREATE TABLE @extschema@.whatsapp_opt_ins (
    tenant_id  text COLLATE "C" NOT NULL,
    recipient  text COLLATE "C" NOT NULL,
    category   text NOT NULL
        CONSTRAINT whatsapp_opt_ins_category_check CHECK (category IN ('marketing', 'all')),
    source     text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, recipient, category, source)
);
CREATE INDEX whatsapp_opt_ins_recipient_idx ON @extschema@.whatsapp_opt_ins (recipient);
COMMENT ON TABLE @extschema@.whatsapp_opt_ins IS
'Who has opted in, when, and how: the proof of consent, and what an opt-out yields to that is older but arrives later. '
'Recorded whether or not there was an opt-out; it holds for every form of the person. Written by wa_opt_in(), by words '
'and by WhatsApp''s own switch. Kept until it is deleted.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_ins.tenant_id IS 'The tenant that may write.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_ins.recipient IS
'The form under which the person opted in: phone number in international form with +, or business-scoped user ID.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_ins.category IS 'marketing, or all.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_ins.source IS
'manual (wa_opt_in(), or an opt-out was deleted), inbound (a word such as ALTA: does not turn WhatsApp''s own switch '
'on), or preferences (that switch).';
COMMENT ON COLUMN @extschema@.whatsapp_opt_ins.created_at IS 'When the person last opted in this way.';

/* What is leased already must not be begun: the senders look at it when this is committed. */
CREATE FUNCTION @extschema@.wa_internal_consent_changed() RETURNS trigger
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_consent_changed';
COMMENT ON FUNCTION @extschema@.wa_internal_consent_changed() IS
'Trigger function: tells the senders at COMMIT that somebody wants fewer messages than before. Internal.';

CREATE TRIGGER whatsapp_opt_outs_consent
    AFTER INSERT OR UPDATE OF tenant_id, recipient, category ON @extschema@.whatsapp_opt_outs
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_consent_changed();
CREATE TRIGGER whatsapp_templates_consent
    AFTER UPDATE ON @extschema@.whatsapp_templates
    FOR EACH ROW WHEN (OLD.category IS DISTINCT FROM NEW.category)
    EXECUTE FUNCTION @extschema@.wa_internal_consent_changed();

CREATE TABLE @extschema@.whatsapp_opt_words (
    language text NOT NULL,
    word     text NOT NULL
        CONSTRAINT whatsapp_opt_words_word_check CHECK (word <> ''),
    action   text NOT NULL
        CONSTRAINT whatsapp_opt_words_action_check CHECK (action IN ('out', 'in', 'none')),
    category text
        CONSTRAINT whatsapp_opt_words_category_check CHECK (category IN ('marketing', 'all')),
    PRIMARY KEY (word, language)
);
COMMENT ON TABLE @extschema@.whatsapp_opt_words IS
'Words with which a customer opts out of messages or in again; action none disables a built-in word. A word counts '
'if it is the whole message, greetings and thanks aside, and one that opts out also if it is a whole sentence of it; '
'case, accents, and surrounding spaces, punctuation and symbols do not matter.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_words.language IS 'The language of the word; words of all languages count.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_words.word IS 'The word or phrase, in lower case without accents.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_words.action IS 'out (stop), in (resume) or none (switched off).';
COMMENT ON COLUMN @extschema@.whatsapp_opt_words.category IS
'What the word opts out of: marketing, or all; NULL: what whatsapp_shared.opt_out_scope says.';

/* ---- words that stop and resume messages ------------------------------------- */

/* Without case, accents, and whatever stands around the word; symbols and pictures, too. */
CREATE FUNCTION @extschema@.wa_internal_opt_word(message text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT regexp_replace(regexp_replace(
        lower(regexp_replace(normalize(message, NFD), '[\u0300-\u036f]', '', 'g')),
        '^[[:space:][:punct:]¡¿\u2000-\u206f\u2600-\u27bf\ufe0f\U0001f000-\U0001faff]+'
        '|[[:space:][:punct:]¡¿\u2000-\u206f\u2600-\u27bf\ufe0f\U0001f000-\U0001faff]+$', '', 'g'),
        '[[:space:]]+', ' ', 'g')
$$;

/* Without the greeting before it and the thanks after it. */
CREATE FUNCTION @extschema@.wa_internal_without_courtesy(word text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT @extschema@.wa_internal_opt_word(regexp_replace(word,
        '^((hola|buenas|buenos dias|buenas tardes|hello|hi|ola|bom dia|bonjour|ciao|hallo|bon dia)'
        '[[:space:][:punct:]]+)+|([[:space:][:punct:]]+(por favor|porfa|gracias|muchas gracias|please|pls|thanks'
        '|thank you|obrigado|obrigada|merci|svp|s''il vous plait|per favore|grazie|bitte|danke|si us plau|gracies'
        '|mesedez|eskerrik asko))+$', '', 'g'))
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
    ('de', 'stopp', 'out'), ('de', 'abmelden', 'out'), ('de', 'anmelden', 'in'),
    ('es', 'dame de baja', 'out'), ('es', 'quiero darme de baja', 'out'), ('es', 'dadme de baja', 'out'),
    ('es', 'no quiero recibir mas mensajes', 'out'), ('en', 'quit', 'out'), ('en', 'revoke', 'out'),
    ('gl', 'darme de baixa', 'out'), ('ca', 'dona''m de baixa', 'out'), ('pt', 'descadastrar', 'out');

/* What Meta writes on the button that it offers for marketing templates; and what says "all". */
INSERT INTO @extschema@.whatsapp_opt_words (language, word, action, category) VALUES
    ('en', 'stop promotions', 'out', 'marketing'), ('es', 'detener promociones', 'out', 'marketing'),
    ('pt', 'parar promocoes', 'out', 'marketing'),
    ('es', 'baja total', 'out', 'all'), ('es', 'baja de todo', 'out', 'all'), ('es', 'parar todo', 'out', 'all'),
    ('en', 'stop everything', 'out', 'all'), ('en', 'stop all messages', 'out', 'all'),
    ('ca', 'baixa total', 'out', 'all'), ('pt', 'parar tudo', 'out', 'all'), ('fr', 'tout arreter', 'out', 'all'),
    ('it', 'ferma tutto', 'out', 'all'), ('de', 'alles stoppen', 'out', 'all');
UPDATE @extschema@.whatsapp_opt_words SET category = 'all'
    WHERE language = 'en' AND word IN ('stop all', 'stopall');

/*
 * What a message says about further ones; no row: nothing.  Opting out counts in
 * any sentence that says nothing else, which errs on the right side; opting in must
 * be all that is said.
 */
CREATE FUNCTION @extschema@.wa_internal_opt_choice(message text)
RETURNS TABLE (action text, category text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH said AS (
        SELECT @extschema@.wa_internal_opt_word(message) AS words, true AS whole
        UNION ALL
        SELECT @extschema@.wa_internal_opt_word(s), false
        FROM regexp_split_to_table(message, '[.,;:!?¡¿\n\r]+') AS s
        WHERE message ~ '[.,;:!?¡¿\n\r]'
    /* Once for each, and not for each of our words. */
    ), meant AS MATERIALIZED (
        SELECT s.whole, c.word
        FROM said AS s
            CROSS JOIN LATERAL (
                VALUES (s.words), (@extschema@.wa_internal_without_courtesy(s.words))) AS c (word))
    SELECT w.action, COALESCE(w.category, current_setting('whatsapp_shared.opt_out_scope', true), 'marketing')
    FROM meant AS m
        JOIN @extschema@.whatsapp_opt_words AS w ON w.word = m.word
    WHERE w.action = 'out' OR w.action = 'in' AND m.whole
    ORDER BY m.whole DESC, w.action DESC, w.category NULLS LAST
    LIMIT 1
$$;

/* ---- whom it concerns, and what -------------------------------------------------- */

/* All forms under which these people are known: numbers and user ids, also those given. */
CREATE FUNCTION @extschema@.wa_internal_forms_of(recipients text[]) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    RETURN ARRAY(
        SELECT r.form FROM unnest(recipients) AS r (form) WHERE r.form IS NOT NULL
        UNION
        SELECT f.identity
        FROM @extschema@.whatsapp_contact_identities AS i
            JOIN @extschema@.whatsapp_contact_identities AS f ON f.contact_id = i.contact_id
        WHERE i.identity = ANY (recipients)
        ORDER BY 1);
END
$$;

/* ---- what holds ------------------------------------------------------------------- */

/*
 * Until when somebody may have opted out, who did so at this time: Meta tells whole
 * seconds.  What errs, errs on the right side.
 */
CREATE FUNCTION @extschema@.wa_internal_opted_out_until(at timestamptz) RETURNS timestamptz
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN at + CASE WHEN date_trunc('second', at) = at THEN interval '999999 microseconds' ELSE interval '0' END;
END
$$;

/*
 * What a person wants, of all that was ever said under any form: of opting out and of
 * opting in the latest counts, by category; at the same time, opting out.  So neither the
 * order matters in which it is heard nor when forms turn out to be one person's.  Two
 * wishes are kept apart: WhatsApp's own switch, and all else, which also a word takes
 * back.  Writes what holds under every form, and leaves no row of what does not.
 *
 * The caller has locked the person.
 */
CREATE FUNCTION @extschema@.wa_internal_settle_consent(contact bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    forms CONSTANT text[] := ARRAY(
        SELECT i.identity FROM @extschema@.whatsapp_contact_identities AS i WHERE i.contact_id = contact);
BEGIN
    IF NOT EXISTS (SELECT FROM @extschema@.whatsapp_opt_outs AS o WHERE o.recipient = ANY (forms)) THEN
        RETURN;
    END IF;
    WITH told AS MATERIALIZED (
        SELECT o.tenant_id, o.category, max(o.switch_at) AS switch_at, max(o.word_at) AS word_at,
            (array_agg(o.word_source ORDER BY o.word_at DESC NULLS LAST, o.word_source))[1] AS word_source,
            max(o.alerted_at) AS alerted_at
        FROM @extschema@.whatsapp_opt_outs AS o
        WHERE o.recipient = ANY (forms) GROUP BY o.tenant_id, o.category
    ), left_over AS MATERIALIZED (
        SELECT t.tenant_id, t.category, t.word_source, t.alerted_at,
            CASE WHEN (@extschema@.wa_internal_opted_out_until(t.switch_at) < i.any_but_words) IS NOT TRUE
                 THEN t.switch_at END AS switch_at,
            CASE WHEN (@extschema@.wa_internal_opted_out_until(t.word_at) < i.any) IS NOT TRUE
                 THEN t.word_at END AS word_at
        FROM told AS t
            CROSS JOIN LATERAL (
                SELECT max(n.created_at) AS any,
                    max(n.created_at) FILTER (WHERE n.source <> 'inbound') AS any_but_words
                FROM unnest(forms) AS f (form)
                    JOIN @extschema@.whatsapp_opt_ins AS n
                        ON n.tenant_id = t.tenant_id AND n.recipient = f.form AND n.category = t.category) AS i
    ), ended AS (
        DELETE FROM @extschema@.whatsapp_opt_outs AS o
            USING left_over AS l
            WHERE o.recipient = ANY (forms) AND o.tenant_id = l.tenant_id AND o.category = l.category
                AND l.switch_at IS NULL AND l.word_at IS NULL)
    INSERT INTO @extschema@.whatsapp_opt_outs AS o (tenant_id, recipient, category, source, created_at, alerted_at,
            switch_at, word_at, word_source)
        SELECT l.tenant_id, f.form, l.category,
            CASE WHEN l.switch_at IS NOT NULL THEN 'preferences' ELSE l.word_source END,
            GREATEST(l.switch_at, l.word_at), l.alerted_at, l.switch_at, l.word_at,
            CASE WHEN l.word_at IS NOT NULL THEN l.word_source END
        FROM left_over AS l CROSS JOIN unnest(forms) AS f (form)
        WHERE l.switch_at IS NOT NULL OR l.word_at IS NOT NULL
        ORDER BY l.tenant_id, f.form, l.category
        ON CONFLICT ON CONSTRAINT whatsapp_opt_outs_pkey DO UPDATE
        SET source = EXCLUDED.source, created_at = EXCLUDED.created_at, alerted_at = EXCLUDED.alerted_at,
            switch_at = EXCLUDED.switch_at, word_at = EXCLUDED.word_at, word_source = EXCLUDED.word_source
        WHERE (o.source, o.created_at, o.alerted_at, o.switch_at, o.word_at, o.word_source) IS DISTINCT FROM
            (EXCLUDED.source, EXCLUDED.created_at, EXCLUDED.alerted_at, EXCLUDED.switch_at, EXCLUDED.word_at,
             EXCLUDED.word_source);
END
$$;

/*
 * Somebody opts out of a category, or in.  The person is locked; to have changed that row
 * makes those fail who look at it with an older snapshot.  Returns whether anything
 * is otherwise than before.
 */
CREATE FUNCTION @extschema@.wa_internal_opt(
    contact bigint, said_as text, tenants text[], category text, action text, source text, at timestamptz)
RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    forms CONSTANT text[] := ARRAY(
        SELECT i.identity FROM @extschema@.whatsapp_contact_identities AS i WHERE i.contact_id = contact);
    before CONSTANT text[] := ARRAY(
        SELECT o.tenant_id FROM @extschema@.whatsapp_opt_outs AS o
        WHERE o.recipient = ANY (forms) AND o.tenant_id = ANY (tenants) AND o.category = category
        GROUP BY o.tenant_id ORDER BY o.tenant_id);
BEGIN
    UPDATE @extschema@.whatsapp_contacts AS c SET last_seen_at = c.last_seen_at WHERE c.contact_id = contact;
    IF action = 'out' THEN
        INSERT INTO @extschema@.whatsapp_opt_outs AS o (tenant_id, recipient, category, source, created_at,
                switch_at, word_at, word_source)
            SELECT t.tenant_id, said_as, category, source, at,
                CASE WHEN source = 'preferences' THEN at END, CASE WHEN source <> 'preferences' THEN at END,
                CASE WHEN source <> 'preferences' THEN source END
            FROM unnest(tenants) AS t (tenant_id)
            /* Nothing is written that settling would take away again, for that would tell the senders. */
            WHERE NOT EXISTS (
                SELECT FROM @extschema@.whatsapp_opt_ins AS n
                WHERE n.tenant_id = t.tenant_id AND n.recipient = ANY (forms) AND n.category = category
                    AND n.created_at > @extschema@.wa_internal_opted_out_until(at)
                    AND (source <> 'preferences' OR n.source <> 'inbound'))
            ORDER BY t.tenant_id
            ON CONFLICT ON CONSTRAINT whatsapp_opt_outs_pkey DO UPDATE
            SET switch_at = GREATEST(o.switch_at, EXCLUDED.switch_at),
                word_source = CASE WHEN EXCLUDED.word_at > o.word_at OR o.word_at IS NULL
                                   THEN EXCLUDED.word_source ELSE o.word_source END,
                word_at = GREATEST(o.word_at, EXCLUDED.word_at);
    ELSE
        INSERT INTO @extschema@.whatsapp_opt_ins AS n (tenant_id, recipient, category, source, created_at)
            SELECT t.tenant_id, said_as, category, source, at FROM unnest(tenants) AS t (tenant_id)
            ORDER BY t.tenant_id
            ON CONFLICT ON CONSTRAINT whatsapp_opt_ins_pkey DO UPDATE
            SET created_at = EXCLUDED.created_at
            WHERE n.created_at < EXCLUDED.created_at;
    END IF;
    PERFORM @extschema@.wa_internal_settle_consent(contact);
    RETURN before <> ARRAY(
        SELECT o.tenant_id FROM @extschema@.whatsapp_opt_outs AS o
        WHERE o.recipient = ANY (forms) AND o.tenant_id = ANY (tenants) AND o.category = category
        GROUP BY o.tenant_id ORDER BY o.tenant_id);
END
$$;

/*
 * Decided by the tenant, now: it holds whatever was said before, by whichever clock.
 */
CREATE FUNCTION @extschema@.wa_internal_opt_now(recipient text, tenant text, category text, action text, source text)
RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    contact CONSTANT bigint := @extschema@.wa_internal_named(recipient);
    forms CONSTANT text[] := ARRAY(
        SELECT i.identity FROM @extschema@.whatsapp_contact_identities AS i WHERE i.contact_id = contact);
    said_last CONSTANT timestamptz := GREATEST(
        (SELECT max(@extschema@.wa_internal_opted_out_until(GREATEST(o.switch_at, o.word_at)))
         FROM @extschema@.whatsapp_opt_outs AS o
         WHERE o.tenant_id = tenant AND o.recipient = ANY (forms) AND o.category = category),
        (SELECT max(n.created_at) FROM @extschema@.whatsapp_opt_ins AS n
         WHERE n.tenant_id = tenant AND n.recipient = ANY (forms) AND n.category = category));
BEGIN
    RETURN @extschema@.wa_internal_opt(contact, recipient, ARRAY[tenant], category, action, source,
        GREATEST(clock_timestamp(), said_last + interval '1 microsecond'));
END
$$;

/* A row inserted by hand, or by a program that knows no better: the same as if it had been said. */
CREATE FUNCTION @extschema@.wa_internal_spread_opt_outs() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given record;
    contact bigint;
BEGIN
    /* What is ours, or comes from a dump, has one of these times. */
    FOR given IN
        SELECT f.* FROM fresh AS f WHERE f.switch_at IS NULL AND f.word_at IS NULL
        ORDER BY f.recipient, f.tenant_id, f.category
    LOOP
        contact := @extschema@.wa_internal_named(given.recipient);
        PERFORM @extschema@.wa_internal_opt(contact, given.recipient, ARRAY[given.tenant_id], given.category,
            'out'::text, given.source, CASE WHEN given.created_at >= transaction_timestamp()
                THEN GREATEST(given.created_at, clock_timestamp()) ELSE given.created_at END);
        /* It has yielded to an opt-in since. */
        DELETE FROM @extschema@.whatsapp_opt_outs AS o
            WHERE o.tenant_id = given.tenant_id AND o.recipient = given.recipient AND o.category = given.category
                AND o.switch_at IS NULL AND o.word_at IS NULL;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_spread_opt_outs() IS
'Trigger function: a row that was inserted directly holds for every form of the person. Internal.';

CREATE TRIGGER whatsapp_opt_outs_spread
    AFTER INSERT ON @extschema@.whatsapp_opt_outs REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_spread_opt_outs();

/*
 * Whoever deletes a row directly lets the person opt in.  What settling deletes has yielded to
 * an opt-in that is recorded already.
 */
CREATE FUNCTION @extschema@.wa_internal_spread_opt_ins() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    taken record;
BEGIN
    FOR taken IN
        SELECT DISTINCT ON (i.contact_id, g.tenant_id, g.category) g.tenant_id, g.category, g.recipient
        FROM gone AS g
            LEFT JOIN @extschema@.whatsapp_contact_identities AS i ON i.identity = g.recipient
            CROSS JOIN LATERAL (
                SELECT max(n.created_at) AS any,
                    max(n.created_at) FILTER (WHERE n.source <> 'inbound') AS any_but_words
                FROM unnest(@extschema@.wa_internal_forms_of(ARRAY[g.recipient])) AS f (form)
                    JOIN @extschema@.whatsapp_opt_ins AS n
                        ON n.tenant_id = g.tenant_id AND n.recipient = f.form AND n.category = g.category) AS n
        WHERE @extschema@.wa_internal_opted_out_until(g.switch_at) >= COALESCE(n.any_but_words, '-infinity')
            OR @extschema@.wa_internal_opted_out_until(g.word_at) >= COALESCE(n.any, '-infinity')
        ORDER BY i.contact_id, g.tenant_id, g.category, g.recipient
    LOOP
        PERFORM @extschema@.wa_internal_opt_now(taken.recipient, taken.tenant_id, taken.category, 'in'::text,
            'manual'::text);
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_spread_opt_ins() IS
'Trigger function: to delete an opt-out is an opt-in of the whole person. Internal.';

CREATE TRIGGER whatsapp_opt_outs_deleted
    AFTER DELETE ON @extschema@.whatsapp_opt_outs REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_spread_opt_ins();

CREATE FUNCTION @extschema@.wa_internal_is_marketing(category text) RETURNS boolean
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_is_marketing';
COMMENT ON FUNCTION @extschema@.wa_internal_is_marketing(text) IS
'Whether an opt-out of marketing concerns a template of this category; NULL: a template that is not known. Internal.';

/* Which of these messages their recipients do not want, as the categories of their templates are now. */
CREATE FUNCTION @extschema@.wa_internal_opted_out(ids bigint[])
RETURNS TABLE (message_id bigint, category text, is_marketing boolean)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT DISTINCT ON (w.id) w.id, w.category, w.is_marketing
    FROM (SELECT m.id, o.category,
                 m.message_type = 'template' AND @extschema@.wa_internal_is_marketing(t.category) AS is_marketing
          FROM @extschema@.whatsapp_messages AS m
              JOIN @extschema@.whatsapp_opt_outs AS o
                  ON o.tenant_id = m.tenant_id AND o.recipient = COALESCE(m.recipient_phone, m.recipient_user_id)
              LEFT JOIN @extschema@.whatsapp_templates AS t
                  ON t.name = m.template_name AND t.language = m.template_language
          WHERE m.id = ANY (ids)) AS w
    WHERE w.category = 'all' OR w.is_marketing
    ORDER BY w.id, w.category
$$;

/*
 * People should know when orders or login codes do not go out because somebody
 * wanted no advertising: once for each person who has opted out of all.  Whoever
 * is about to say so already is not waited for.
 */
CREATE FUNCTION @extschema@.wa_internal_alert_skipped(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    cause text;
    skipped record;
BEGIN
    FOR skipped IN
        SELECT DISTINCT ON (m.tenant_id, w.recipient) m.id, m.tenant_id, w.recipient, m.message_type, m.template_name
        FROM @extschema@.wa_internal_opted_out(ids) AS s
            JOIN @extschema@.whatsapp_messages AS m ON m.id = s.message_id
            CROSS JOIN LATERAL (SELECT COALESCE(m.recipient_phone, m.recipient_user_id)) AS w (recipient)
        WHERE s.category = 'all' AND NOT s.is_marketing AND m.status = 'skipped'
        ORDER BY m.tenant_id, w.recipient, m.id
    LOOP
        SELECT o.source INTO cause
            FROM @extschema@.whatsapp_opt_outs AS o
            WHERE o.tenant_id = skipped.tenant_id AND o.recipient = skipped.recipient AND o.category = 'all'
                AND o.alerted_at IS NULL
            FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        UPDATE @extschema@.whatsapp_opt_outs AS o SET alerted_at = clock_timestamp()
            WHERE o.tenant_id = skipped.tenant_id AND o.category = 'all'
                AND o.recipient = ANY (@extschema@.wa_internal_forms_of(ARRAY[skipped.recipient]));
        PERFORM @extschema@.wa_internal_alert('warning'::text, 'opted_out_of_all'::text, 'recipient'::text,
            skipped.tenant_id || ' ' || skipped.recipient,
            format('A recipient of tenant %s gets no message at all, not even one that is no marketing: '
                   'one was skipped', skipped.tenant_id),
            jsonb_build_object('tenant_id', skipped.tenant_id, 'recipient', skipped.recipient,
                'message_id', skipped.id, 'message_type', skipped.message_type,
                'template_name', skipped.template_name, 'source', cause));
    END LOOP;
END
$$;

/* Whoever has opted in again needs no attention any more. */
CREATE FUNCTION @extschema@.wa_internal_opted_in() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_resolve_alert('opted_out_of_all'::text, 'recipient'::text,
        OLD.tenant_id || ' ' || OLD.recipient);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_opted_in() IS
'Trigger function: closes the alert about messages that were skipped for an opt-out of all. Internal.';

CREATE TRIGGER whatsapp_opt_outs_alert
    AFTER DELETE ON @extschema@.whatsapp_opt_outs
    FOR EACH ROW WHEN (OLD.alerted_at IS NOT NULL)
    EXECUTE FUNCTION @extschema@.wa_internal_opted_in();

/*
 * For a sender: one page of the queue after this message, less what is not wanted
 * any more.  Returns where the next page begins; NULL: there is none.  What is on
 * the wire, or locked by somebody, is left to its turn.
 */
CREATE FUNCTION @extschema@.wa_internal_skip_opted_out(after_id bigint, page integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ids bigint[];
    last_id bigint;
    seen integer;
BEGIN
    IF NOT EXISTS (SELECT FROM @extschema@.whatsapp_opt_outs) THEN
        RETURN NULL;
    END IF;
    SELECT count(*), max(p.message_id), array_agg(p.message_id) INTO seen, last_id, ids FROM (
        SELECT q.message_id FROM @extschema@.whatsapp_queue AS q
        WHERE q.message_id > after_id
        ORDER BY q.message_id
        LIMIT page) AS p;
    SELECT array_agg(o.message_id) INTO ids FROM @extschema@.wa_internal_opted_out(ids) AS o;
    IF ids IS NOT NULL THEN
        SELECT array_agg(locked.message_id) INTO ids FROM (
            SELECT q.message_id
            FROM @extschema@.whatsapp_queue AS q
                JOIN @extschema@.whatsapp_messages AS m ON m.id = q.message_id
            WHERE q.message_id = ANY (ids) AND q.state <> 'u'
            ORDER BY q.message_id
            FOR UPDATE OF q, m SKIP LOCKED) AS locked;
        ids := @extschema@.wa_internal_subtract(ids, @extschema@.wa_internal_on_wire(ids));
        DELETE FROM @extschema@.whatsapp_queue AS q WHERE q.message_id = ANY (ids);
        UPDATE @extschema@.whatsapp_messages AS m
            SET status = 'skipped', status_reason = 'opted_out', finished_at = clock_timestamp()
            WHERE m.id = ANY (ids) AND m.status IN ('queued', 'sending');
        PERFORM @extschema@.wa_internal_alert_skipped(ids);
    END IF;
    RETURN CASE WHEN seen = page THEN last_id END;
END
$$;

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
    RETURN @extschema@.wa_internal_opt_now(
        @extschema@.wa_internal_check_opt_out(wa_opt_out.tenant_id, wa_opt_out.recipient, wa_opt_out.category),
        wa_opt_out.tenant_id, wa_opt_out.category, 'out'::text, 'manual'::text);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_opt_out(text, text, text) IS
'Records that the recipient wants no marketing from this tenant (templates of that category or of an unknown one), '
'or, with category all, no messages at all. Such messages are skipped: new ones at once, and from COMMIT on those that '
'wait for whatever reason. It holds for every number and user ID that is known of the person. False: it was recorded '
'before. Errors: 22004, 22023, 42704 unknown tenant.';

CREATE FUNCTION @extschema@.wa_opt_in(
    tenant_id text,
    recipient text,
    category  text DEFAULT 'marketing')
RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    who CONSTANT text := @extschema@.wa_internal_check_opt_out(tenant_id, recipient, category);
    ended boolean := @extschema@.wa_internal_opt_now(who, tenant_id, 'marketing'::text, 'in'::text, 'manual'::text);
BEGIN
    IF wa_opt_in.category = 'all' THEN
        ended := @extschema@.wa_internal_opt_now(who, tenant_id, 'all'::text, 'in'::text, 'manual'::text) OR ended;
    END IF;
    RETURN ended;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_opt_in(text, text, text) IS
'Reverses wa_opt_out(): for marketing, or, with category all, for everything; and records the consent in '
'whatsapp_opt_ins, whether or not there was an opt-out. Messages that were skipped stay so; wa_retry_message() sends '
'one after all. False: there was no opt-out. Errors as there.';

/* ---- what a customer decides ------------------------------------------------------ */

/*
 * Whose customer somebody is who writes to this number: its tenant, or, for a
 * number that no tenant has (the default number), every tenant that sends from
 * it because it has none of its own.
 */
CREATE FUNCTION @extschema@.wa_internal_tenants_of(tenant text, number text) RETURNS SETOF text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF tenant IS NOT NULL THEN
        RETURN NEXT tenant;
        RETURN;
    END IF;
    RETURN QUERY SELECT t.tenant_id
    FROM @extschema@.whatsapp_tenants AS t
    WHERE number = current_setting('whatsapp_shared.phone_number_id', true)
        AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_phone_assignments AS a
                        WHERE a.tenant_id = t.tenant_id AND a.unassigned_at IS NULL);
END
$$;

/*
 * A customer's own decision.  What WhatsApp's switch has stopped, a word does not resume: Meta
 * would go on refusing.  A word that resumes does so for everything; the switch is
 * about marketing.
 */
CREATE FUNCTION @extschema@.wa_internal_set_opt(
    tenant text,
    number text,
    phone text,
    usr text,
    category text,
    action text,
    source text,
    decided_at timestamptz)
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    tenants CONSTANT text[] := ARRAY(
        SELECT t.tenant_id FROM @extschema@.wa_internal_tenants_of(tenant, number) AS t (tenant_id)
        ORDER BY t.tenant_id);
    contact CONSTANT bigint := @extschema@.wa_internal_met(phone, usr, decided_at);
    said_as CONSTANT text := (
        SELECT i.identity FROM @extschema@.whatsapp_contact_identities AS i
        WHERE i.contact_id = contact AND i.identity IN (phone, usr) ORDER BY i.kind LIMIT 1);
BEGIN
    PERFORM @extschema@.wa_internal_opt(contact, said_as, tenants, c.category, action, source, decided_at)
        FROM unnest(CASE WHEN action = 'in' AND source = 'inbound' THEN '{marketing,all}' ELSE ARRAY[category] END)
            AS c (category);
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
        PERFORM @extschema@.wa_internal_set_opt(p.tenant_id, p.number, p.phone, p.user_id, 'marketing'::text,
            CASE p.choice WHEN 'stop' THEN 'out' ELSE 'in' END, 'preferences'::text, p.at);
    END LOOP;
    RETURN fresh;
END
$$;
