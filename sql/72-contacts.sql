/*
 * Who customers are.
 *
 * A customer is known by number, by business-scoped user id, or by both; which
 * of them Meta tells depends on the customer's settings.  Numbers have several
 * spellings, and all of it changes.  So there is one row for each person, and one
 * for each form under which that person is or was known.
 *
 * What is told of a person comes in any order, in pieces and repeatedly.  It is kept
 * such that this does not matter: two forms said to be one person's are united for
 * good, and of all else the latest counts, by Meta's clock.
 *
 * Whoever changes what a person is or wants holds the lock of the person's row in
 * whatsapp_contacts, and has changed that row: so two transactions that unite a
 * person's forms and record a wish come one after the other, and one with an old
 * snapshot (REPEATABLE READ) fails.
 */

CREATE TABLE @extschema@.whatsapp_contacts (
    contact_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    wa_id          text COLLATE "C",
    user_id        text COLLATE "C",
    parent_user_id text COLLATE "C",
    name           text,
    username       text,
    first_seen_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
    last_seen_at   timestamptz NOT NULL DEFAULT pg_catalog.now(),
    name_at        timestamptz,
    username_at    timestamptz
) WITH (fillfactor = 80);
/* Not unique: that is what whatsapp_contact_identities is for. */
CREATE INDEX whatsapp_contacts_wa_id_idx ON @extschema@.whatsapp_contacts (wa_id) WHERE wa_id IS NOT NULL;
CREATE INDEX whatsapp_contacts_user_id_idx ON @extschema@.whatsapp_contacts (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX whatsapp_contacts_username_idx ON @extschema@.whatsapp_contacts (username) WHERE username IS NOT NULL;
COMMENT ON TABLE @extschema@.whatsapp_contacts IS
'Customers who have written or were written to, or have opted out or in: one row for each person, with what is valid '
'now. All forms under which a person is or was known are in whatsapp_contact_identities. Kept for '
'whatsapp_shared.retention after they were last seen, or as long as a wish of theirs is recorded.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.contact_id IS 'Number of the contact.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.wa_id IS
'The customer''s WhatsApp ID: the phone number, digits only; NULL if it is hidden.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.user_id IS 'The customer''s business-scoped user ID.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.parent_user_id IS
'The user ID in the parent portfolio, if Meta reports one.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.name IS 'The name in the customer''s WhatsApp profile.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.username IS 'The customer''s WhatsApp user name.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.first_seen_at IS 'When a webhook first named the customer.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.last_seen_at IS
'When a webhook last named them: to within an hour if they wrote, a month if they were only written to.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.name_at IS 'When the name was told, by Meta''s clock.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.username_at IS 'When the user name was told, by Meta''s clock.';

/*
 * All forms of a person: numbers with "+", user ids, and ids in the parent portfolio, those
 * they had before included.  Here, and nowhere else, a form is one person's.
 */
CREATE TABLE @extschema@.whatsapp_contact_identities (
    identity      text COLLATE "C" PRIMARY KEY,
    contact_id    bigint NOT NULL
        CONSTRAINT whatsapp_contact_identities_contact_id_fkey
        REFERENCES @extschema@.whatsapp_contacts (contact_id) ON DELETE CASCADE,
    person        text COLLATE "C" NOT NULL,
    kind          text NOT NULL
        CONSTRAINT whatsapp_contact_identities_kind_check CHECK (kind IN ('phone', 'user', 'parent')),
    first_seen_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    seen_at       timestamptz,
    replaced_at   timestamptz,
    moved_at      timestamptz
) WITH (fillfactor = 80);
CREATE INDEX whatsapp_contact_identities_contact_idx ON @extschema@.whatsapp_contact_identities (contact_id);
COMMENT ON TABLE @extschema@.whatsapp_contact_identities IS
'Every form under which a customer is or was known: phone numbers, also those that are other spellings of the same one '
'(52 and 521 in Mexico, Brazil''s ninth digit, 54 and 549 in Argentina), business-scoped user IDs and their '
'predecessors, and IDs in the parent portfolio. Consent, service window, order and limits are the person''s, whichever '
'form a message is addressed to.';
COMMENT ON COLUMN @extschema@.whatsapp_contact_identities.identity IS
'Phone number in international form with +, or business-scoped user ID.';
COMMENT ON COLUMN @extschema@.whatsapp_contact_identities.contact_id IS 'The person, in whatsapp_contacts.';
COMMENT ON COLUMN @extschema@.whatsapp_contact_identities.person IS
'The form under which the person was first known: the same for all forms of a person, of no other person, and it '
'remains when others are added.';
COMMENT ON COLUMN @extschema@.whatsapp_contact_identities.kind IS
'phone, user (business-scoped user ID) or parent (ID in the parent portfolio).';
COMMENT ON COLUMN @extschema@.whatsapp_contact_identities.first_seen_at IS 'When it was first recorded.';
COMMENT ON COLUMN @extschema@.whatsapp_contact_identities.seen_at IS
'When Meta last said that it is the person''s, by Meta''s clock; -infinity: only a message or an opt-out named it; '
'NULL: it follows from another form.';
COMMENT ON COLUMN @extschema@.whatsapp_contact_identities.replaced_at IS
'When another took its place, by Meta''s clock.';
COMMENT ON COLUMN @extschema@.whatsapp_contact_identities.moved_at IS
'Since when it is this person''s, if it was somebody else''s before: numbers are given out again.';

/* Every other form of a number that is the same person's by rule; see src/common/recipient.c. */
CREATE FUNCTION @extschema@.wa_internal_spellings(recipient text) RETURNS text[]
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_spellings';
COMMENT ON FUNCTION @extschema@.wa_internal_spellings(text) IS
'The other spellings of a phone number (52 and 521 in Mexico, Brazil''s ninth digit, 54 and 549 in Argentina); empty '
'for all other numbers, and for user IDs. Internal.';

/*
 * What senders learn from responses, and webhooks from statuses: two forms of one person.  They
 * append and never wait; webhooks and the upkeep take it from here.
 */
CREATE TABLE @extschema@.whatsapp_learned_identities (
    learned_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recipient  text COLLATE "C" NOT NULL,
    identity   text COLLATE "C" NOT NULL,
    learned_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE @extschema@.whatsapp_learned_identities IS
'Forms of persons that Meta''s responses and statuses have told, until they are entered in '
'whatsapp_contact_identities.';
COMMENT ON COLUMN @extschema@.whatsapp_learned_identities.learned_id IS 'Number of the row.';
COMMENT ON COLUMN @extschema@.whatsapp_learned_identities.recipient IS 'What a message was addressed to.';
COMMENT ON COLUMN @extschema@.whatsapp_learned_identities.identity IS 'What Meta calls the same person.';
COMMENT ON COLUMN @extschema@.whatsapp_learned_identities.learned_at IS
'When the response came; or when the message was written of which a status told.';

/* ---- one person ------------------------------------------------------------------ */

/* What is valid now, of all that the person has had. */
CREATE FUNCTION @extschema@.wa_internal_refresh_contacts(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE @extschema@.whatsapp_contacts AS c
        SET (wa_id, user_id, parent_user_id) = (
            SELECT substr((array_agg(i.identity ORDER BY (i.replaced_at >= i.seen_at) IS TRUE,
                    i.seen_at DESC NULLS LAST, i.identity DESC) FILTER (WHERE i.kind = 'phone'))[1], 2),
                (array_agg(i.identity ORDER BY (i.replaced_at >= i.seen_at) IS TRUE,
                    i.seen_at DESC NULLS LAST, i.identity DESC) FILTER (WHERE i.kind = 'user'))[1],
                (array_agg(i.identity ORDER BY (i.replaced_at >= i.seen_at) IS TRUE,
                    i.seen_at DESC NULLS LAST, i.identity DESC) FILTER (WHERE i.kind = 'parent'))[1]
            FROM @extschema@.whatsapp_contact_identities AS i WHERE i.contact_id = c.contact_id)
        WHERE c.contact_id = ANY (ids);
END
$$;

/* Several rows turn out to be one person: the first stays, and nothing of the others is lost. */
CREATE FUNCTION @extschema@.wa_internal_merge_contacts(kept bigint, others bigint[], key text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    everybody CONSTANT bigint[] := kept || others;
BEGIN
    UPDATE @extschema@.whatsapp_contact_identities AS i SET contact_id = kept, person = key
        WHERE i.contact_id = ANY (others);
    UPDATE @extschema@.whatsapp_contacts AS c
        SET (name, name_at) = (
                SELECT o.name, o.name_at FROM @extschema@.whatsapp_contacts AS o
                WHERE o.contact_id = ANY (everybody) AND o.name IS NOT NULL
                ORDER BY o.name_at DESC NULLS LAST, o.name COLLATE "C" DESC LIMIT 1),
            (username, username_at) = (
                SELECT o.username, o.username_at FROM @extschema@.whatsapp_contacts AS o
                WHERE o.contact_id = ANY (everybody) AND (o.username IS NOT NULL OR o.username_at IS NOT NULL)
                ORDER BY o.username_at DESC NULLS LAST, o.username COLLATE "C" DESC NULLS LAST LIMIT 1),
            (first_seen_at, last_seen_at) = (
                SELECT min(o.first_seen_at), max(o.last_seen_at) FROM @extschema@.whatsapp_contacts AS o
                WHERE o.contact_id = ANY (everybody))
        WHERE c.contact_id = kept;
    DELETE FROM @extschema@.whatsapp_contacts AS c WHERE c.contact_id = ANY (others);
END
$$;

/*
 * Numbers that their former owners have left are somebody else's now.  What was said or
 * wanted under them stays with those who said it, short of opting out since.
 */
CREATE FUNCTION @extschema@.wa_internal_move_numbers(numbers text[], contact bigint, key text, at timestamptz)
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    losers bigint[];
BEGIN
    DELETE FROM @extschema@.whatsapp_windows AS w WHERE w.recipient = ANY (numbers);
    WITH kept AS (
        DELETE FROM @extschema@.whatsapp_opt_ins AS o
            USING @extschema@.whatsapp_contact_identities AS i
            WHERE o.recipient = ANY (numbers) AND i.identity = o.recipient
            RETURNING o.tenant_id, o.category, o.source, o.created_at, (
                SELECT f.identity FROM @extschema@.whatsapp_contact_identities AS f
                WHERE f.contact_id = i.contact_id AND f.identity <> ALL (numbers)
                ORDER BY f.identity LIMIT 1) AS recipient)
    INSERT INTO @extschema@.whatsapp_opt_ins AS o (tenant_id, recipient, category, source, created_at)
        SELECT k.tenant_id, k.recipient, k.category, k.source, max(k.created_at) FROM kept AS k
        WHERE k.recipient IS NOT NULL
        GROUP BY 1, 2, 3, 4
        ON CONFLICT ON CONSTRAINT whatsapp_opt_ins_pkey DO UPDATE
        SET created_at = GREATEST(o.created_at, EXCLUDED.created_at);
    /* Without these times, to delete them is no wish of anybody. */
    UPDATE @extschema@.whatsapp_opt_outs AS o SET switch_at = NULL, word_at = NULL
        FROM @extschema@.whatsapp_contact_identities AS i
        WHERE o.recipient = ANY (numbers) AND i.identity = o.recipient
            AND GREATEST(o.switch_at, o.word_at) <= i.replaced_at;
    DELETE FROM @extschema@.whatsapp_opt_outs AS o
        WHERE o.recipient = ANY (numbers) AND o.switch_at IS NULL AND o.word_at IS NULL;
    losers := ARRAY(SELECT DISTINCT i.contact_id FROM @extschema@.whatsapp_contact_identities AS i
                    WHERE i.identity = ANY (numbers));
    UPDATE @extschema@.whatsapp_contact_identities AS i
        SET contact_id = contact, person = key, moved_at = at, seen_at = at, replaced_at = NULL
        WHERE i.identity = ANY (numbers);
    PERFORM @extschema@.wa_internal_refresh_contacts(losers);
END
$$;

/*
 * These are forms of one person.  Standings are current (at that time), former (from then
 * on), or named: somebody has used it.  Returns the contact, whose lock is held.
 *
 * Locks are taken in the order of contact_id, and then it is looked again: whoever
 * we waited for may have united or moved them.  A form that nobody had is entered by whoever
 * is first; the primary key makes others wait, and begin again.
 *
 * A number that was left before (replaced_at) and now comes with the user id of somebody
 * else has been given out again.  Conversely what comes late, from before a number's
 * last change of hands (moved_at), says nothing of its present owner.
 */
CREATE FUNCTION @extschema@.wa_internal_unite(said text[], kinds text[], standings text[], at timestamptz)
RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    forms text[];
    moved text[];
    anchors bigint[];
    found_ids bigint[];
    kept bigint;
    key text;
    news boolean;
    n integer;
BEGIN
    LOOP
        forms := ARRAY(
            SELECT u.form FROM unnest(said) AS u (form)
            UNION SELECT s.form FROM unnest(said) AS u (form),
                unnest(@extschema@.wa_internal_spellings(u.form)) AS s (form));
        found_ids := ARRAY(
            SELECT DISTINCT i.contact_id FROM @extschema@.whatsapp_contact_identities AS i
            WHERE i.identity = ANY (forms) ORDER BY i.contact_id);
        PERFORM FROM @extschema@.whatsapp_contacts AS c
            WHERE c.contact_id = ANY (found_ids) ORDER BY c.contact_id FOR NO KEY UPDATE;
        GET DIAGNOSTICS n = ROW_COUNT;
        CONTINUE WHEN n < cardinality(found_ids) OR found_ids <> ARRAY(
            SELECT DISTINCT i.contact_id FROM @extschema@.whatsapp_contact_identities AS i
            WHERE i.identity = ANY (forms) ORDER BY i.contact_id);

        /* Whose is each number? */
        anchors := ARRAY(SELECT i.contact_id FROM @extschema@.whatsapp_contact_identities AS i
                         WHERE i.identity = ANY (said) AND i.kind <> 'phone');
        moved := '{}';
        IF cardinality(said) > 1 THEN
            forms := ARRAY(
                SELECT f.form FROM unnest(forms) AS f (form)
                    LEFT JOIN @extschema@.whatsapp_contact_identities AS i ON i.identity = f.form
                WHERE (i.kind = 'phone' AND i.moved_at > at AND i.contact_id <> ALL (anchors)) IS NOT TRUE);
            IF 'former' <> ALL (standings)
               AND EXISTS (SELECT FROM unnest(kinds) AS k (kind) WHERE k.kind <> 'phone') THEN
                moved := ARRAY(
                    SELECT i.identity FROM @extschema@.whatsapp_contact_identities AS i
                    WHERE i.identity = ANY (forms) AND i.kind = 'phone' AND i.replaced_at < at
                        AND i.contact_id <> ALL (anchors));
            END IF;
        END IF;
        found_ids := ARRAY(
            SELECT DISTINCT i.contact_id FROM @extschema@.whatsapp_contact_identities AS i
            WHERE i.identity = ANY (forms) AND i.identity <> ALL (moved) ORDER BY i.contact_id);

        kept := found_ids[1];
        IF kept IS NULL THEN
            INSERT INTO @extschema@.whatsapp_contacts (first_seen_at, last_seen_at)
                VALUES (clock_timestamp(), clock_timestamp()) RETURNING contact_id INTO kept;
            key := (SELECT u.form FROM unnest(said, kinds) WITH ORDINALITY AS u (form, kind, n)
                    WHERE u.form = ANY (forms) AND u.form <> ALL (moved)
                    ORDER BY u.kind <> 'phone', u.kind <> 'user', u.n LIMIT 1);
        ELSE
            key := (SELECT i.person FROM @extschema@.whatsapp_contact_identities AS i
                    WHERE i.contact_id = kept LIMIT 1);
        END IF;

        INSERT INTO @extschema@.whatsapp_contact_identities (identity, contact_id, person, kind, seen_at, replaced_at)
            SELECT f.form, kept, key, COALESCE(w.kind, 'phone'), w.seen_at, w.replaced_at
            FROM unnest(forms) AS f (form)
                LEFT JOIN @extschema@.wa_internal_standings(said, kinds, standings, at) AS w ON w.form = f.form
            WHERE NOT EXISTS (SELECT FROM @extschema@.whatsapp_contact_identities AS i WHERE i.identity = f.form)
            ORDER BY f.form
            ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS n = ROW_COUNT;
        news := n > 0;
        EXIT WHEN NOT EXISTS (
            SELECT FROM unnest(forms) AS f (form)
                LEFT JOIN @extschema@.whatsapp_contact_identities AS i ON i.identity = f.form
            WHERE (i.contact_id = kept OR i.contact_id = ANY (found_ids) OR f.form = ANY (moved)) IS NOT TRUE);
        /* Somebody else has just entered one of them. */
        IF cardinality(found_ids) = 0 THEN
            DELETE FROM @extschema@.whatsapp_contacts AS c WHERE c.contact_id = kept;
        END IF;
    END LOOP;

    IF cardinality(found_ids) > 1 THEN
        PERFORM @extschema@.wa_internal_merge_contacts(kept, found_ids[2:], key);
        news := true;
    END IF;
    IF cardinality(moved) > 0 THEN
        PERFORM @extschema@.wa_internal_move_numbers(moved, kept, key, at);
        news := true;
    END IF;
    UPDATE @extschema@.whatsapp_contact_identities AS i
        SET seen_at = GREATEST(i.seen_at, w.seen_at), replaced_at = GREATEST(i.replaced_at, w.replaced_at)
        FROM @extschema@.wa_internal_standings(said, kinds, standings, at) AS w
        WHERE i.identity = w.form AND i.contact_id = kept
            AND (w.seen_at > i.seen_at OR w.seen_at IS NOT NULL AND i.seen_at IS NULL
                 OR w.replaced_at > i.replaced_at OR w.replaced_at IS NOT NULL AND i.replaced_at IS NULL);
    IF FOUND OR news THEN
        PERFORM @extschema@.wa_internal_refresh_contacts(ARRAY[kept]);
    END IF;
    IF news THEN
        PERFORM @extschema@.wa_internal_settle_consent(kept);
        PERFORM @extschema@.wa_internal_share_windows(ARRAY[kept]);
    END IF;
    RETURN kept;
END
$$;

/* The times that follow from standings.  Who leaves a number leaves all spellings of it. */
CREATE FUNCTION @extschema@.wa_internal_standings(said text[], kinds text[], standings text[], at timestamptz,
    OUT form text, OUT kind text, OUT seen_at timestamptz, OUT replaced_at timestamptz)
RETURNS SETOF record
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT w.form, min(w.kind),
        max(CASE w.standing WHEN 'current' THEN at WHEN 'spelling' THEN NULL ELSE '-infinity' END),
        CASE WHEN bool_and(w.left_then) THEN at END
    FROM (
        SELECT u.form, u.kind, u.standing, u.standing = 'former' AS left_then
        FROM unnest(said, kinds, standings) AS u (form, kind, standing)
        UNION ALL
        SELECT s.form, 'phone', 'spelling', u.standing = 'former'
        FROM unnest(said, standings) AS u (form, standing),
            unnest(@extschema@.wa_internal_spellings(u.form)) AS s (form)) AS w
    GROUP BY w.form;
END
$$;

/*
 * What is known of one person at that time; any of the forms may be NULL.  Returns the
 * contact, locked.  A number alone does not say whose it is now.
 */
CREATE FUNCTION @extschema@.wa_internal_know(phone text, usr text, parent text, at timestamptz) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT @extschema@.wa_internal_unite(array_agg(f.form), array_agg(f.kind),
        array_agg(CASE WHEN usr IS NULL AND parent IS NULL THEN 'named' ELSE 'current' END), at)
    FROM (VALUES (phone, 'phone'), (usr, 'user'), (parent, 'parent')) AS f (form, kind)
    WHERE f.form IS NOT NULL
    HAVING count(*) > 0);
END
$$;

/* The same, of somebody who is locked already: nearly always there is nothing new to know. */
CREATE FUNCTION @extschema@.wa_internal_met(phone text, usr text, at timestamptz) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known record;
BEGIN
    SELECT count(*) AS n, min(i.contact_id) AS first, max(i.contact_id) AS last, max(i.replaced_at) AS replaced_at,
            max(i.moved_at) AS moved_at INTO known
        FROM @extschema@.whatsapp_contact_identities AS i
        WHERE i.identity IN (phone, usr);
    IF known.n = num_nonnulls(phone, usr) AND known.first = known.last AND known.replaced_at IS NULL
       AND known.moved_at IS NULL THEN
        RETURN known.first;
    END IF;
    RETURN @extschema@.wa_internal_know(phone, usr, NULL::text, at);
END
$$;

/* Whom somebody means by this address. */
CREATE FUNCTION @extschema@.wa_internal_named(recipient text) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN @extschema@.wa_internal_unite(ARRAY[recipient], ARRAY[CASE
        WHEN recipient LIKE '+%' THEN 'phone' WHEN recipient ~ '^[A-Z]{2}\.ENT\.' THEN 'parent' ELSE 'user' END],
        ARRAY['named'], NULL::timestamptz);
END
$$;

/*
 * A customer has another number or another user id now; any of these may be NULL.  All of
 * them are one person's.
 */
CREATE FUNCTION @extschema@.wa_internal_change_identity(
    old_phone text, old_user text, old_parent text, new_phone text, new_user text, new_parent text,
    changed_at timestamptz)
RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT @extschema@.wa_internal_unite(array_agg(f.form), array_agg(f.kind), array_agg(f.standing),
        changed_at)
    FROM (VALUES (new_phone, 'phone', 'current'), (new_user, 'user', 'current'), (new_parent, 'parent', 'current'),
                 (NULLIF(old_phone, new_phone), 'phone', 'former'), (NULLIF(old_user, new_user), 'user', 'former'),
                 (NULLIF(old_parent, new_parent), 'parent', 'former')) AS f (form, kind, standing)
    WHERE f.form IS NOT NULL
    HAVING count(*) > 0);
END
$$;

/* The changes of a webhook, with the names that were told beside them. */
CREATE FUNCTION @extschema@.wa_internal_change_identities(
    old_phones text[], old_users text[], old_parents text[], new_phones text[], new_users text[], new_parents text[],
    names text[], usernames text[], changed_at timestamptz[])
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    told record;
BEGIN
    FOR told IN
        SELECT * FROM unnest(old_phones, old_users, old_parents, new_phones, new_users, new_parents, names, usernames,
                             changed_at)
            AS u (old_phone, old_user, old_parent, new_phone, new_user, new_parent, name, username, at)
        ORDER BY u.at, u.new_user, u.old_user, u.new_phone, u.old_phone
    LOOP
        PERFORM @extschema@.wa_internal_note_names(
            @extschema@.wa_internal_change_identity(told.old_phone, told.old_user, told.old_parent, told.new_phone,
                told.new_user, told.new_parent, told.at),
            told.name, told.username, told.at, told.at);
    END LOOP;
END
$$;

/* Windows are open, or not, for all forms of a person, and so is a conversation somebody's. */
CREATE FUNCTION @extschema@.wa_internal_share_windows(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO @extschema@.whatsapp_windows AS w (phone_number_id, recipient, last_inbound_at, taken_at, passed_at)
        SELECT o.phone_number_id, f.identity, max(o.last_inbound_at), max(o.taken_at), max(o.passed_at)
        FROM unnest(ids) AS k (contact_id)
            JOIN @extschema@.whatsapp_contact_identities AS i ON i.contact_id = k.contact_id
            JOIN @extschema@.whatsapp_windows AS o ON o.recipient = i.identity
            JOIN @extschema@.whatsapp_contact_identities AS f ON f.contact_id = k.contact_id
        GROUP BY o.phone_number_id, f.identity
        ORDER BY o.phone_number_id, f.identity
        ON CONFLICT ON CONSTRAINT whatsapp_windows_pkey DO UPDATE
        SET last_inbound_at = EXCLUDED.last_inbound_at, taken_at = EXCLUDED.taken_at, passed_at = EXCLUDED.passed_at
        WHERE (w.last_inbound_at, w.taken_at, w.passed_at)
            IS DISTINCT FROM (EXCLUDED.last_inbound_at, EXCLUDED.taken_at, EXCLUDED.passed_at);
END
$$;

/* For each of these hashes one of 64 locks, until COMMIT, or until a handler is called (webhook/newcomer.c). */
CREATE FUNCTION @extschema@.wa_internal_lock_newcomers(hashes integer[]) RETURNS void
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'wa_internal_lock_newcomers';

/*
 * Locks all these people at once, so that webhooks meet in one direction.  Those of whom nobody
 * has heard have no row yet: for them stands a lock by the form's hash, so that
 * two who hear of the same ones go one after the other, and most others do not.
 */
CREATE FUNCTION @extschema@.wa_internal_lock_persons(identities text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_lock_newcomers(ARRAY(
        SELECT hashtext(LEAST(u.form, (@extschema@.wa_internal_spellings(u.form))[1]))
        FROM unnest(identities) AS u (form)
        WHERE u.form IS NOT NULL
            AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_contact_identities AS i WHERE i.identity = u.form)));
    PERFORM FROM @extschema@.whatsapp_contacts AS c
    WHERE c.contact_id = ANY (ARRAY(
        SELECT i.contact_id FROM @extschema@.whatsapp_contact_identities AS i WHERE i.identity = ANY (identities)))
    ORDER BY c.contact_id
    FOR NO KEY UPDATE;
END
$$;

/* ---- what webhooks tell ------------------------------------------------------------ */

/*
 * A name, by the latest who says it.  A user name is one person's: whoever takes it takes it
 * from the one who had it, and does not become that one.
 */
CREATE FUNCTION @extschema@.wa_internal_note_names(
    contact bigint, name text, username text, at timestamptz, seen_at timestamptz)
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    taken boolean := false;
BEGIN
    IF username IS NOT NULL THEN
        PERFORM FROM @extschema@.whatsapp_contacts AS o
            WHERE o.username = username AND o.contact_id <> contact AND o.username_at > at;
        taken := FOUND;
        UPDATE @extschema@.whatsapp_contacts AS o SET username = NULL
            WHERE o.username = username AND o.contact_id <> contact AND NOT taken;
    END IF;
    UPDATE @extschema@.whatsapp_contacts AS c
        SET (name, name_at) = (
                SELECT v.name, v.at FROM (VALUES (c.name, c.name_at), (name, at)) AS v (name, at)
                WHERE v.name IS NOT NULL ORDER BY v.at DESC NULLS LAST, v.name COLLATE "C" DESC LIMIT 1),
            (username, username_at) = (
                SELECT v.username, v.at
                FROM (VALUES (c.username, c.username_at, true),
                             (CASE WHEN NOT taken THEN username END, at, username IS NOT NULL))
                    AS v (username, at, told)
                WHERE v.told
                ORDER BY v.at DESC NULLS LAST, v.username COLLATE "C" DESC NULLS LAST LIMIT 1),
            first_seen_at = LEAST(c.first_seen_at, seen_at),
            last_seen_at = GREATEST(c.last_seen_at, seen_at)
        WHERE c.contact_id = contact;
END
$$;

/* The contacts of a webhook that are not known, or not as they are told now. */
CREATE FUNCTION @extschema@.wa_internal_store_contacts(
    wa_ids text[], user_ids text[], parents text[], names text[], usernames text[], said_at timestamptz[])
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    seen_at CONSTANT timestamptz := clock_timestamp();
    told record;
BEGIN
    FOR told IN
        SELECT * FROM unnest(wa_ids, user_ids, parents, names, usernames, said_at)
            AS u (wa, usr, parent, name, username, at)
        ORDER BY u.usr, u.wa, u.at
    LOOP
        PERFORM @extschema@.wa_internal_note_names(
            @extschema@.wa_internal_know('+' || told.wa, told.usr, told.parent, told.at),
            told.name, told.username, told.at, seen_at);
    END LOOP;
END
$$;

/*
 * Those of whom nobody has heard, by one statement: there may be hundreds.  If another session
 * was faster with one of them, or somebody is named twice, it must be looked at who they are.
 */
CREATE FUNCTION @extschema@.wa_internal_add_contacts(
    wa_ids text[], user_ids text[], parents text[], names text[], usernames text[], said_at timestamptz[])
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    sequence CONSTANT regclass := pg_get_serial_sequence('@extschema@.whatsapp_contacts', 'contact_id');
    seen_at CONSTANT timestamptz := clock_timestamp();
    made bigint[];
    missing bigint;
    wished bigint;
BEGIN
    WITH v AS MATERIALIZED (
        SELECT nextval(sequence) AS id, u.*
        FROM unnest(wa_ids, user_ids, parents, names, usernames, said_at) AS u (wa, usr, parent, name, username, at)
    ), added AS (
        INSERT INTO @extschema@.whatsapp_contacts (contact_id, wa_id, user_id, parent_user_id, name, username,
                first_seen_at, last_seen_at, name_at, username_at)
            OVERRIDING SYSTEM VALUE
            SELECT v.id, v.wa, v.usr, v.parent, v.name, v.username, seen_at, seen_at,
                CASE WHEN v.name IS NOT NULL THEN v.at END, CASE WHEN v.username IS NOT NULL THEN v.at END
            FROM v ORDER BY v.id
    ), f AS MATERIALIZED (
        SELECT v.id, COALESCE('+' || v.wa, v.usr, v.parent) AS person, w.*
        FROM v CROSS JOIN LATERAL (
            SELECT '+' || v.wa, 'phone', v.at
            UNION ALL SELECT v.usr, 'user', v.at
            UNION ALL SELECT v.parent, 'parent', v.at
            UNION ALL SELECT s.form, 'phone', NULL
                FROM unnest(@extschema@.wa_internal_spellings('+' || v.wa)) AS s (form)) AS w (form, kind, at)
        WHERE w.form IS NOT NULL
    ), entered AS (
        INSERT INTO @extschema@.whatsapp_contact_identities (identity, contact_id, person, kind, seen_at)
            SELECT f.form, f.id, f.person, f.kind, f.at FROM f ORDER BY f.form
            ON CONFLICT DO NOTHING
            RETURNING contact_id)
    SELECT (SELECT count(*) FROM f) - (SELECT count(*) FROM entered),
           (SELECT count(*) FROM v WHERE v.username IS NOT NULL AND EXISTS (
                SELECT FROM @extschema@.whatsapp_contacts AS o WHERE o.username = v.username))
           + (SELECT count(v.username) - count(DISTINCT v.username) FROM v),
           (SELECT array_agg(v.id) FROM v)
        INTO missing, wished, made;
    IF missing > 0 OR wished > 0 THEN
        DELETE FROM @extschema@.whatsapp_contacts AS c WHERE c.contact_id = ANY (made);
        PERFORM @extschema@.wa_internal_store_contacts(wa_ids, user_ids, parents, names, usernames, said_at);
        RETURN;
    END IF;
    /* Somebody may have wanted something of them under one of these forms. */
    PERFORM @extschema@.wa_internal_settle_consent(k.contact_id) FROM (
        SELECT DISTINCT i.contact_id
        FROM unnest(made) AS m (contact_id)
            JOIN @extschema@.whatsapp_contact_identities AS i ON i.contact_id = m.contact_id
            JOIN @extschema@.whatsapp_opt_outs AS o ON o.recipient = i.identity) AS k;
    PERFORM @extschema@.wa_internal_share_windows(made);
END
$$;

/*
 * What was learned; a batch of it, or what was learned of these others alone.  What somebody else is
 * entering is left to him.  Everybody whom that is about is locked before, at once with those others, whom
 * the caller is about to need.
 */
CREATE FUNCTION @extschema@.wa_internal_learn_identities(
    batch integer, others text[] DEFAULT '{}', of_others_alone boolean DEFAULT false)
RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most_forms CONSTANT integer := 32;
    recipients text[];
    identities text[];
    times timestamptz[];
    learned record;
    n bigint := 0;
BEGIN
    WITH taken AS (
        DELETE FROM @extschema@.whatsapp_learned_identities AS l WHERE l.learned_id IN (
            SELECT o.learned_id FROM @extschema@.whatsapp_learned_identities AS o
            WHERE NOT of_others_alone OR o.recipient = ANY (others) OR o.identity = ANY (others)
            ORDER BY o.learned_id LIMIT batch FOR UPDATE SKIP LOCKED)
        RETURNING l.recipient, l.identity, l.learned_at)
    SELECT array_agg(t.recipient), array_agg(t.identity), array_agg(t.learned_at)
        INTO recipients, identities, times FROM taken AS t;
    PERFORM @extschema@.wa_internal_lock_persons(others || recipients || identities);
    FOR learned IN
        SELECT t.recipient, t.identity, min(t.at) AS at
        FROM unnest(recipients, identities, times) AS t (recipient, identity, at)
        GROUP BY t.recipient, t.identity
        ORDER BY t.recipient, t.identity
    LOOP
        /* Nobody has so many: whoever says so says the same of everybody. */
        CONTINUE WHEN (
            SELECT count(DISTINCT f.identity)
            FROM @extschema@.whatsapp_contact_identities AS i
                JOIN @extschema@.whatsapp_contact_identities AS f ON f.contact_id = i.contact_id
            WHERE i.identity IN (learned.recipient, learned.identity)) >= most_forms;
        PERFORM @extschema@.wa_internal_unite(array_agg(f.form), array_agg(CASE
                WHEN f.form LIKE '+%' THEN 'phone' WHEN f.form ~ '^[A-Z]{2}\.ENT\.' THEN 'parent' ELSE 'user' END),
                array_agg('named'::text), learned.at)
            FROM unnest(ARRAY[learned.recipient, learned.identity]) AS f (form);
        n := n + 1;
    END LOOP;
    RETURN n;
END
$$;
