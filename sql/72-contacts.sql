/*
 * Who customers are.
 *
 * A customer is known by number, by business-scoped user id, or by both; which
 * of them Meta tells depends on the customer's settings.
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
    CONSTRAINT whatsapp_contacts_identity_check CHECK (wa_id IS NOT NULL OR user_id IS NOT NULL)
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX whatsapp_contacts_wa_id_key
    ON @extschema@.whatsapp_contacts (wa_id) WHERE wa_id IS NOT NULL;
CREATE UNIQUE INDEX whatsapp_contacts_user_id_key
    ON @extschema@.whatsapp_contacts (user_id) WHERE user_id IS NOT NULL;
COMMENT ON TABLE @extschema@.whatsapp_contacts IS
'Customers who have written or were written to, as webhooks name them: by phone number, by business-scoped user ID, '
'or both. Kept for whatsapp_shared.retention after they were last seen.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.contact_id IS 'Number of the contact.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.wa_id IS 'The customer''s WhatsApp ID: the phone number, digits only.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.user_id IS 'The customer''s business-scoped user ID.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.parent_user_id IS
'The user ID in the parent portfolio, if Meta reports one.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.name IS 'The name in the customer''s WhatsApp profile.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.username IS 'The customer''s WhatsApp user name.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.first_seen_at IS 'When a webhook first named the customer.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.last_seen_at IS
'When a webhook last named them: to within an hour if they wrote, a month if they were only written to.';

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

/*
 * Adds what is known of a customer.  Two rows that turn out to be one person
 * become one, the older; what Meta says now wins over what it said before.
 *
 * The condition stands twice: once to find rows by index, and once for a row
 * that has changed while we waited for its lock.
 */
CREATE FUNCTION @extschema@.wa_internal_merge_contact(
    wa text, usr text, parent text, name text, username text, seen_at timestamptz)
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    found_ids bigint[];
    kept bigint;
BEGIN
    LOOP
        SELECT array_agg(l.contact_id ORDER BY l.contact_id) INTO found_ids FROM (
            SELECT c.contact_id FROM @extschema@.whatsapp_contacts AS c
            WHERE c.contact_id IN (
                    SELECT w.contact_id FROM @extschema@.whatsapp_contacts AS w WHERE w.wa_id = wa
                    UNION ALL
                    SELECT u.contact_id FROM @extschema@.whatsapp_contacts AS u WHERE u.user_id = usr)
                AND (c.wa_id = wa OR c.user_id = usr)
            ORDER BY c.contact_id FOR UPDATE) AS l;
        EXIT WHEN found_ids IS NOT NULL;
        INSERT INTO @extschema@.whatsapp_contacts (wa_id, user_id, parent_user_id, name, username,
                first_seen_at, last_seen_at)
            VALUES (wa, usr, parent, name, username, seen_at, seen_at)
            ON CONFLICT DO NOTHING;
        IF FOUND THEN
            RETURN;
        END IF;
        /* Somebody else has just inserted it: look again. */
    END LOOP;

    kept := found_ids[1];
    IF cardinality(found_ids) > 1 THEN
        SELECT COALESCE(wa, max(c.wa_id)), COALESCE(usr, max(c.user_id)),
                COALESCE(parent, max(c.parent_user_id)), COALESCE(name, max(c.name)),
                COALESCE(username, max(c.username))
            INTO wa, usr, parent, name, username
            FROM @extschema@.whatsapp_contacts AS c WHERE c.contact_id = ANY (found_ids);
        DELETE FROM @extschema@.whatsapp_contacts AS c
            WHERE c.contact_id = ANY (found_ids) AND c.contact_id <> kept;
    END IF;
    UPDATE @extschema@.whatsapp_contacts AS c
        SET wa_id = COALESCE(wa, c.wa_id), user_id = COALESCE(usr, c.user_id),
            parent_user_id = COALESCE(parent, c.parent_user_id), name = COALESCE(name, c.name),
            username = COALESCE(username, c.username),
            first_seen_at = LEAST(c.first_seen_at, seen_at),
            last_seen_at = GREATEST(c.last_seen_at, seen_at)
        WHERE c.contact_id = kept;
END
$$;

/*
 * The contacts of a webhook.  Nearly always they are known and unchanged, which
 * costs a look into an index for each.  New ones are inserted by the same
 * statement, in order of user id, which today every contact has, so that
 * webhooks meet in one direction; the rest one by one in the same order.
 *
 * wrote_at is NULL for customers who were only written to.  That somebody was
 * seen is noted once an hour, or for these once a month: each message would
 * write a row here otherwise.
 */
CREATE FUNCTION @extschema@.wa_internal_store_contacts(
    wa_ids text[], user_ids text[], parents text[], names text[], usernames text[], wrote_at timestamptz[])
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    seen_at CONSTANT timestamptz := clock_timestamp();
    changed record;
BEGIN
    FOR changed IN
        WITH news AS MATERIALIZED (
            SELECT u.*, c.contact_id IS NULL AND NOT EXISTS (
                SELECT FROM @extschema@.whatsapp_contacts AS o WHERE o.user_id = u.usr) AS fresh
            FROM unnest(wa_ids, user_ids, parents, names, usernames, wrote_at)
                    AS u (wa, usr, parent, name, username, at)
                LEFT JOIN LATERAL (
                    SELECT w.* FROM @extschema@.whatsapp_contacts AS w WHERE w.wa_id = u.wa
                    UNION ALL
                    SELECT o.* FROM @extschema@.whatsapp_contacts AS o
                    WHERE u.wa IS NULL AND o.user_id = u.usr) AS c ON true
            WHERE c.contact_id IS NULL OR u.usr IS NOT NULL AND u.usr IS DISTINCT FROM c.user_id
                OR u.parent IS NOT NULL AND u.parent IS DISTINCT FROM c.parent_user_id
                OR u.name IS NOT NULL AND u.name IS DISTINCT FROM c.name
                OR u.username IS NOT NULL AND u.username IS DISTINCT FROM c.username
                OR c.last_seen_at < COALESCE(u.at - interval '1 hour', seen_at - interval '30 days')
        ), added AS (
            INSERT INTO @extschema@.whatsapp_contacts (wa_id, user_id, parent_user_id, name, username,
                    first_seen_at, last_seen_at)
                SELECT n.wa, n.usr, n.parent, n.name, n.username, seen_at, seen_at
                FROM news AS n
                WHERE n.fresh
                ORDER BY n.usr, n.wa
                ON CONFLICT DO NOTHING
                RETURNING contact_id)
        /* If another session was faster, or somebody is named twice, all are looked at. */
        SELECT n.* FROM news AS n
        WHERE NOT n.fresh
            OR (SELECT count(*) FROM added) < (SELECT count(*) FROM news AS f WHERE f.fresh)
        ORDER BY n.usr, n.wa
    LOOP
        PERFORM @extschema@.wa_internal_merge_contact(changed.wa, changed.usr, changed.parent, changed.name,
            changed.username, seen_at);
    END LOOP;
END
$$;

/*
 * A customer has another number or another user id now.  The contact moves,
 * and so does the wish not to be written to.
 */
CREATE FUNCTION @extschema@.wa_internal_change_identity(
    old_wa text, old_user text, new_wa text, new_user text, changed_at timestamptz)
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF new_wa IS NULL AND new_user IS NULL THEN
        RETURN;
    END IF;
    /* If the new identity is there already, the two rows become one. */
    DELETE FROM @extschema@.whatsapp_contacts AS c
        WHERE (c.wa_id = new_wa OR c.user_id = new_user)
            AND c.wa_id IS DISTINCT FROM old_wa AND c.user_id IS DISTINCT FROM old_user
            AND EXISTS (SELECT FROM @extschema@.whatsapp_contacts AS o
                        WHERE (o.wa_id = old_wa OR o.user_id = old_user) AND o.contact_id <> c.contact_id);
    UPDATE @extschema@.whatsapp_contacts AS c
        SET wa_id = COALESCE(new_wa, c.wa_id), user_id = COALESCE(new_user, c.user_id),
            last_seen_at = GREATEST(c.last_seen_at, changed_at)
        WHERE c.contact_id = (
            SELECT o.contact_id FROM @extschema@.whatsapp_contacts AS o
            WHERE o.wa_id = old_wa OR o.user_id = old_user ORDER BY o.contact_id LIMIT 1);
    PERFORM @extschema@.wa_internal_merge_contact(new_wa, new_user, NULL::text, NULL::text, NULL::text, changed_at);

    INSERT INTO @extschema@.whatsapp_opt_outs (tenant_id, recipient, category, source, created_at)
        SELECT o.tenant_id, n.recipient, o.category, o.source, o.created_at
        FROM @extschema@.whatsapp_opt_outs AS o
            JOIN (VALUES ('+' || old_wa, '+' || new_wa), (old_user, new_user)) AS n (former, recipient)
                ON o.recipient = n.former
        WHERE n.recipient IS NOT NULL
        ORDER BY o.tenant_id, n.recipient
        ON CONFLICT DO NOTHING;
END
$$;

/*
 * Two forms turn out to be one person's: what was said under one holds for the
 * other.
 */
CREATE FUNCTION @extschema@.wa_internal_share_opt_outs() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO @extschema@.whatsapp_opt_outs (tenant_id, recipient, category, source, created_at, alerted_at)
        SELECT o.tenant_id, f.form, o.category, o.source, o.created_at, o.alerted_at
        FROM (VALUES ('+' || NEW.wa_id, NEW.user_id), (NEW.user_id, '+' || NEW.wa_id)) AS f (said_as, form)
            JOIN @extschema@.whatsapp_opt_outs AS o ON o.recipient = f.said_as
        ORDER BY o.tenant_id, f.form, o.category
        ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_share_opt_outs() IS
'Trigger function: an opt-out under one form of a person holds under the other, as soon as both are known. Internal.';

/* The same for those who are new, of a whole statement: there may be hundreds, and seldom one of them has opted out. */
CREATE FUNCTION @extschema@.wa_internal_share_opt_outs_of_new() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO @extschema@.whatsapp_opt_outs (tenant_id, recipient, category, source, created_at, alerted_at)
        SELECT o.tenant_id, f.form, o.category, o.source, o.created_at, o.alerted_at
        FROM added AS a
            CROSS JOIN LATERAL (VALUES ('+' || a.wa_id, a.user_id), (a.user_id, '+' || a.wa_id)) AS f (said_as, form)
            JOIN @extschema@.whatsapp_opt_outs AS o ON o.recipient = f.said_as
        WHERE a.wa_id IS NOT NULL AND a.user_id IS NOT NULL
        ORDER BY o.tenant_id, f.form, o.category
        ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_share_opt_outs_of_new() IS
'Trigger function: an opt-out under one form of a new contact holds under the other. Internal.';

CREATE TRIGGER whatsapp_contacts_opt_outs_new
    AFTER INSERT ON @extschema@.whatsapp_contacts
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_share_opt_outs_of_new();
CREATE TRIGGER whatsapp_contacts_opt_outs_changed
    AFTER UPDATE OF wa_id, user_id ON @extschema@.whatsapp_contacts
    FOR EACH ROW WHEN (NEW.wa_id IS NOT NULL AND NEW.user_id IS NOT NULL
        AND (OLD.wa_id IS DISTINCT FROM NEW.wa_id OR OLD.user_id IS DISTINCT FROM NEW.user_id))
    EXECUTE FUNCTION @extschema@.wa_internal_share_opt_outs();
