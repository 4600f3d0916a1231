/*
 * Erasing a person, or a tenant with all its customers.
 *
 * What was said and to whom goes; what it cost, how often and when stays.  So messages
 * remain as shells, which are counted and nothing else: of a recipient the calling code
 * is left, or the country of a user ID, because it decides the price.
 *
 * An ID of Meta's (wamid) has the customer's number in it.  Its place takes a mark, a
 * hash from which it cannot be found out.  Meta repeats webhooks for days: webhook/erased.c
 * knows by the mark what is erased, and lets the rest through as if it had come with
 * that name and without contents.
 *
 * An erasure is a row, worked off in short transactions by the upkeep of sender 0 or by
 * whoever calls again.  Each takes the rows of one step, and leaves what others have
 * locked, and what is on the wire, to the next round: a phase begins anew until a round
 * has left nothing.  Where it stands is in the row, so it may be stopped anywhere.
 */

CREATE TABLE @extschema@.whatsapp_erasures (
    erasure_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind         text NOT NULL
        CONSTRAINT whatsapp_erasures_kind_check CHECK (kind IN ('person', 'tenant')),
    subject      text COLLATE "C",
    forms        text[] NOT NULL DEFAULT '{}',
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    phase        integer NOT NULL DEFAULT 1,
    position     bigint,
    left_over    bigint NOT NULL DEFAULT 0,
    cancelled    bigint NOT NULL DEFAULT 0,
    messages     bigint NOT NULL DEFAULT 0,
    other_rows   bigint NOT NULL DEFAULT 0,
    worked_at    timestamptz,
    finished_at  timestamptz,
    CONSTRAINT whatsapp_erasures_subject_check
        CHECK (subject IS NOT NULL OR kind = 'person' AND finished_at IS NOT NULL)
);
CREATE UNIQUE INDEX whatsapp_erasures_open_key
    ON @extschema@.whatsapp_erasures (kind, subject) WHERE finished_at IS NULL;
CREATE INDEX whatsapp_erasures_tenant_idx ON @extschema@.whatsapp_erasures (subject) WHERE kind = 'tenant';
COMMENT ON TABLE @extschema@.whatsapp_erasures IS
'What wa_erase_person() and wa_delete_tenant() have been asked for, and how far it is. Who was erased is no longer '
'named once it is done; a deleted tenant is, so that its ID is not used again.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.erasure_id IS 'Number of the erasure.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.kind IS 'person or tenant.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.subject IS
'The tenant, or the recipient as given; of a person NULL when it is done.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.forms IS
'Every number and user ID of the person, while it is going on.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.requested_by IS 'The role that asked for it.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.requested_at IS
'When. Of a person, what is written later is not erased by it.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.phase IS 'Which tables are being worked on. Internal.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.position IS
'Rows from this key on are done in this phase; NULL: it has not begun. Internal.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.left_over IS
'Rows that this round has left because they were locked or on the wire; the next one returns to them.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.cancelled IS
'Messages that were waiting, and have been cancelled.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.messages IS 'Messages of ours whose contents are erased.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.other_rows IS 'Rows of other tables that are erased or deleted.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.worked_at IS 'When it was last worked on.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.finished_at IS 'When nothing was left; NULL: it is going on.';

/* ---- what is left in place of a name ------------------------------------------------- */

/* What stands for a wamid that is erased; a mark stands for itself. */
CREATE FUNCTION @extschema@.wa_internal_erased_mark(wamid text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN wamid LIKE 'erased.%' THEN wamid
                ELSE 'erased.' || encode(substr(sha256(convert_to(wamid, 'UTF8')), 1, 16), 'hex') END
$$;

/* Of these wamids, those whose message is erased, with what stands for them.  message_ids: where we said so. */
CREATE FUNCTION @extschema@.wa_internal_erased_wamids(wamids text[], message_ids bigint[])
RETURNS TABLE (wamid text, mark text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.wamid, m.mark
    FROM unnest(wamids, message_ids) AS w (wamid, message_id)
        CROSS JOIN LATERAL (SELECT @extschema@.wa_internal_erased_mark(w.wamid)) AS m (mark)
    WHERE EXISTS (SELECT FROM @extschema@.whatsapp_wamids AS o WHERE o.whatsapp_message_id = m.mark)
        OR EXISTS (SELECT FROM @extschema@.whatsapp_inbound_messages AS i WHERE i.whatsapp_message_id = m.mark)
        OR EXISTS (SELECT FROM @extschema@.whatsapp_app_messages AS a WHERE a.whatsapp_message_id = m.mark)
        OR EXISTS (SELECT FROM @extschema@.whatsapp_messages AS s WHERE s.id = w.message_id AND s.erased_at IS NOT NULL)
$$;

/* The part of a number that decides the price, and says nothing of whose it is. */
CREATE FUNCTION @extschema@.wa_internal_erased_phone(phone text) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT '+' || COALESCE((
        SELECT k.calling_code FROM @extschema@.whatsapp_markets AS k
        WHERE starts_with(phone, '+' || k.calling_code)
        ORDER BY length(k.calling_code) DESC LIMIT 1), '')
$$;

/*
 * What a text must match to name one of these forms: a number also without "+", but not
 * as a part of a longer one.  NULL: nothing does.
 */
CREATE FUNCTION @extschema@.wa_internal_naming(forms text[]) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT '(^|[^0-9A-Za-z])(' || string_agg(replace(ltrim(f.form, '+'), '.', '[.]'), '|') || ')([^0-9A-Za-z]|$)'
    FROM unnest(forms) AS f (form)
$$;

/* ---- messages of ours ---------------------------------------------------------------- */

/*
 * Of these messages, those that nobody has locked and no request is out for.  What waits
 * is cancelled first; what is uncertain is not sent again.  Queue rows are locked before
 * messages, as everywhere.
 */
CREATE FUNCTION @extschema@.wa_internal_erase_messages(ids bigint[], OUT cancelled bigint, OUT erased bigint)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    waiting bigint[] := ARRAY(
        SELECT q.message_id FROM @extschema@.whatsapp_queue AS q
        WHERE q.message_id = ANY (ids)
        ORDER BY q.message_id
        FOR UPDATE SKIP LOCKED);
    free bigint[];
    files bigint[];
BEGIN
    waiting := @extschema@.wa_internal_subtract(waiting, @extschema@.wa_internal_on_wire(waiting));
    free := ARRAY(
        SELECT m.id FROM @extschema@.whatsapp_messages AS m
        WHERE m.id = ANY (ids) AND m.erased_at IS NULL
        ORDER BY m.id
        FOR UPDATE SKIP LOCKED);
    /* What has a row in the queue that is not ours to take is left. */
    free := ARRAY(
        SELECT f.id FROM unnest(free) AS f (id)
        WHERE f.id = ANY (waiting)
            OR NOT EXISTS (SELECT FROM @extschema@.whatsapp_queue AS q WHERE q.message_id = f.id OFFSET 0));
    waiting := ARRAY(SELECT w FROM unnest(waiting) AS w WHERE w = ANY (free));

    DELETE FROM @extschema@.whatsapp_queue AS q WHERE q.message_id = ANY (waiting);
    DELETE FROM @extschema@.whatsapp_fallbacks AS f WHERE f.message_id = ANY (free);
    /* A file that nothing else sends goes along; Meta's own copy ends after 30 days. */
    WITH gone AS (
        DELETE FROM @extschema@.whatsapp_media_uses AS u WHERE u.message_id = ANY (free) RETURNING u.medium)
    SELECT array_agg(DISTINCT g.medium) INTO files FROM gone AS g;
    DELETE FROM @extschema@.whatsapp_media AS f WHERE f.id = ANY (ARRAY(
        SELECT o.id FROM @extschema@.whatsapp_media AS o
        WHERE o.id = ANY (files)
            AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_media_uses AS u WHERE u.medium = o.id)
        FOR UPDATE SKIP LOCKED));
    DELETE FROM @extschema@.whatsapp_parked_events AS p WHERE p.message_id = ANY (free);
    DELETE FROM @extschema@.whatsapp_parked_events AS p
        USING unnest(ARRAY(SELECT w.whatsapp_message_id FROM @extschema@.whatsapp_wamids AS w
                           WHERE w.message_id = ANY (free))) AS k (wamid)
        WHERE p.kind = 'status' AND p.whatsapp_message_id = k.wamid;
    DELETE FROM @extschema@.whatsapp_alerts AS a
        WHERE a.scope = 'message' AND a.key = ANY (ARRAY(SELECT i::text FROM unnest(free) AS i));
    UPDATE @extschema@.whatsapp_attempts AS t SET error_message = NULL, fbtrace_id = NULL
        WHERE t.message_id = ANY (free);
    UPDATE @extschema@.whatsapp_wamids AS w
        SET whatsapp_message_id = @extschema@.wa_internal_erased_mark(w.whatsapp_message_id)
        WHERE w.message_id = ANY (free);
    UPDATE @extschema@.whatsapp_messages AS m
        SET erased_at = clock_timestamp(), payload = '{}',
            recipient_phone = @extschema@.wa_internal_erased_phone(m.recipient_phone),
            recipient_user_id = split_part(m.recipient_user_id, '.', 1),
            recipient_wa_id = NULL, context_message_id = NULL, idempotency_key = NULL, reference = NULL,
            whatsapp_message_id = @extschema@.wa_internal_erased_mark(m.whatsapp_message_id),
            error_message = NULL, errors = NULL, conversation_id = NULL,
            status = CASE m.status WHEN 'queued' THEN 'cancelled' WHEN 'sending' THEN 'cancelled'
                                   WHEN 'uncertain' THEN 'failed' ELSE m.status END,
            failed_at = CASE m.status WHEN 'uncertain' THEN clock_timestamp() ELSE m.failed_at END,
            finished_at = COALESCE(m.finished_at, clock_timestamp())
        WHERE m.id = ANY (free);
    cancelled := cardinality(waiting);
    erased := cardinality(free);
END
$$;

/* ---- what customers and others wrote -------------------------------------------------- */

/* Shells remain of these, too: a webhook that comes again finds its message known. */
CREATE FUNCTION @extschema@.wa_internal_erase_inbound(ids bigint[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    free CONSTANT bigint[] := ARRAY(
        SELECT i.inbound_id FROM @extschema@.whatsapp_inbound_messages AS i
        WHERE i.inbound_id = ANY (ids)
        ORDER BY i.inbound_id
        FOR UPDATE SKIP LOCKED);
BEGIN
    DELETE FROM @extschema@.whatsapp_read_receipts AS r WHERE r.inbound_id = ANY (free);
    DELETE FROM @extschema@.whatsapp_early_replies AS r WHERE r.inbound_id = ANY (free);
    DELETE FROM @extschema@.whatsapp_inbound_media AS f WHERE f.inbound_id = ANY (free);
    UPDATE @extschema@.whatsapp_inbound_messages AS i
        SET whatsapp_message_id = @extschema@.wa_internal_erased_mark(i.whatsapp_message_id),
            sender_phone = NULL, sender_user_id = NULL, text = NULL, payload = '{}',
            context_whatsapp_message_id = NULL, reply_id = NULL, reply_title = NULL, handler_error = NULL,
            reply_data = NULL, media_id = NULL, filename = NULL, latitude = NULL, longitude = NULL,
            catalog_id = NULL, product_retailer_id = NULL, order_items = NULL, referral_source_type = NULL,
            referral_source_id = NULL, referral_source_url = NULL, ctwa_clid = NULL
        WHERE i.inbound_id = ANY (free);
    RETURN cardinality(free);
END
$$;

CREATE FUNCTION @extschema@.wa_internal_erase_app_messages(ids bigint[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    free CONSTANT bigint[] := ARRAY(
        SELECT a.app_message_id FROM @extschema@.whatsapp_app_messages AS a
        WHERE a.app_message_id = ANY (ids)
        ORDER BY a.app_message_id
        FOR UPDATE SKIP LOCKED);
BEGIN
    UPDATE @extschema@.whatsapp_app_messages AS a
        SET whatsapp_message_id = @extschema@.wa_internal_erased_mark(a.whatsapp_message_id),
            customer_phone = NULL, customer_user_id = NULL, text = NULL, payload = '{}',
            context_whatsapp_message_id = NULL
        WHERE a.app_message_id = ANY (free);
    RETURN cardinality(free);
END
$$;

/* ---- who it was ----------------------------------------------------------------------- */

/*
 * What is kept under these forms themselves.  Whoever has opted out, or in, stays known by
 * number and user ID, without a name: a wish must hold whichever of them a message is
 * addressed to, and be proved.  Returns how many rows were left because of a lock.
 */
CREATE FUNCTION @extschema@.wa_internal_erase_identity(forms text[], OUT erased bigint, OUT left_over bigint)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    all_contacts CONSTANT bigint[] := ARRAY(
        SELECT DISTINCT i.contact_id FROM @extschema@.whatsapp_contact_identities AS i WHERE i.identity = ANY (forms));
    contacts CONSTANT bigint[] := ARRAY(
        SELECT c.contact_id FROM @extschema@.whatsapp_contacts AS c
        WHERE c.contact_id = ANY (all_contacts)
        ORDER BY c.contact_id
        FOR UPDATE SKIP LOCKED);
    n bigint;
BEGIN
    left_over := cardinality(all_contacts) - cardinality(contacts);
    DELETE FROM @extschema@.whatsapp_learned_identities AS l WHERE l.learned_id IN (
        SELECT o.learned_id FROM @extschema@.whatsapp_learned_identities AS o
        WHERE o.recipient = ANY (forms) OR o.identity = ANY (forms)
        FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS erased = ROW_COUNT;
    DELETE FROM @extschema@.whatsapp_windows AS w WHERE w.ctid = ANY (ARRAY(
        SELECT o.ctid FROM @extschema@.whatsapp_windows AS o WHERE o.recipient = ANY (forms)
        FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS n = ROW_COUNT;
    erased := erased + n;
    /* The limit goes on counting somebody. */
    UPDATE @extschema@.whatsapp_reach AS r SET recipient = @extschema@.wa_internal_erased_mark(r.recipient)
        WHERE r.ctid = ANY (ARRAY(
            SELECT o.ctid FROM @extschema@.whatsapp_reach AS o WHERE o.recipient = ANY (forms)
            FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS n = ROW_COUNT;
    erased := erased + n;
    UPDATE @extschema@.whatsapp_contacts AS c SET name = NULL, username = NULL, name_at = NULL, username_at = NULL
        WHERE c.contact_id = ANY (contacts) AND (c.name IS NOT NULL OR c.username IS NOT NULL);
    DELETE FROM @extschema@.whatsapp_contacts AS c
        WHERE c.contact_id = ANY (contacts) AND NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_contact_identities AS i
            WHERE i.contact_id = c.contact_id
                AND (EXISTS (SELECT FROM @extschema@.whatsapp_opt_outs AS o WHERE o.recipient = i.identity)
                     OR EXISTS (SELECT FROM @extschema@.whatsapp_opt_ins AS o WHERE o.recipient = i.identity)));
    GET DIAGNOSTICS n = ROW_COUNT;
    erased := erased + n;
    left_over := left_over
        + (SELECT count(*) FROM @extschema@.whatsapp_windows AS w WHERE w.recipient = ANY (forms))
        + (SELECT count(*) FROM @extschema@.whatsapp_reach AS r WHERE r.recipient = ANY (forms))
        + (SELECT count(*) FROM @extschema@.whatsapp_learned_identities AS l
           WHERE l.recipient = ANY (forms) OR l.identity = ANY (forms));
END
$$;

/* Of a tenant's customers, those whom no other tenant knows; what other tenants have of the rest stays. */
CREATE FUNCTION @extschema@.wa_internal_strangers(tenant text, recipients text[]) RETURNS text[]
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ARRAY(
        SELECT DISTINCT f.form
        FROM unnest(recipients) AS r (recipient)
            CROSS JOIN LATERAL (SELECT @extschema@.wa_internal_forms_of(ARRAY[r.recipient])) AS p (forms)
            CROSS JOIN LATERAL unnest(p.forms) AS f (form)
        WHERE NOT EXISTS (
                SELECT FROM unnest(p.forms) AS a (form)
                    CROSS JOIN LATERAL (
                        SELECT m.tenant_id FROM @extschema@.whatsapp_messages AS m
                        WHERE m.recipient_phone = a.form AND m.tenant_id <> tenant LIMIT 1) AS m)
            AND NOT EXISTS (
                SELECT FROM @extschema@.whatsapp_windows AS w
                WHERE w.recipient = ANY (p.forms) AND w.last_inbound_at > '-infinity' AND NOT EXISTS (
                    SELECT FROM @extschema@.whatsapp_phone_assignments AS s
                    WHERE s.phone_number_id = w.phone_number_id AND s.tenant_id = tenant
                        AND s.assigned_at < w.last_inbound_at + interval '1 second'
                        AND (s.unassigned_at IS NULL OR s.unassigned_at > w.last_inbound_at))))
$$;

/*
 * Of a tenant's customers, beside whose messages (ids) they stand, those who are nobody
 * else's.  If one of them is locked, the messages are left, too: they say whose it was.
 */
CREATE FUNCTION @extschema@.wa_internal_erase_customers(
    tenant text, people text[], INOUT ids bigint[], OUT held bigint)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    held := 0;
    IF cardinality(people) > 0 AND (
            SELECT i.left_over FROM @extschema@.wa_internal_erase_identity(
                @extschema@.wa_internal_strangers(tenant, people)) AS i) > 0 THEN
        held := cardinality(ids);
        ids := '{}';
    END IF;
END
$$;

/* ---- the work ------------------------------------------------------------------------- */

/*
 * One step of an erasure, whose row is locked: so many rows of one table are looked at,
 * from the newest back.  False: the round is over and has left something.
 */
CREATE FUNCTION @extschema@.wa_internal_erase_step(e @extschema@.whatsapp_erasures, batch integer)
RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    last_phase CONSTANT integer := 12;
    is_person CONSTANT boolean := e.kind = 'person';
    before CONSTANT bigint := COALESCE(e.position, 9223372036854775807);
    known CONSTANT text[] := CASE WHEN is_person THEN @extschema@.wa_internal_forms_of(e.forms) ELSE '{}' END;
    naming CONSTANT text := CASE WHEN is_person THEN @extschema@.wa_internal_naming(known) END;
    mine bigint[] := '{}';  /* rows of this step that are to be erased */
    people text[];
    looked_at bigint := 0;  /* rows that it has looked at, ... */
    lowest bigint;          /* ... down to this one */
    done bigint := 0;       /* how many of them are erased, ... */
    n_cancelled bigint := 0;
    left_now bigint := 0;   /* ... and how many had to be left, ... */
    held bigint := 0;       /* ... or had to because of others */
    counts record;
BEGIN
    CASE e.phase
    WHEN 1, 9 THEN
        /* messages: by number, and a tenant's, twice: nothing can be added after the tenant is gone */
        IF is_person AND e.phase = 1 THEN
            SELECT COALESCE(array_agg(w.id), '{}'), count(*), min(w.id) INTO mine, looked_at, lowest
                FROM (SELECT m.id
                      FROM unnest(known) AS f (form)
                          CROSS JOIN LATERAL (
                              SELECT o.id FROM @extschema@.whatsapp_messages AS o
                              WHERE o.recipient_phone = f.form AND o.id < before
                                  AND o.created_at <= e.requested_at
                              ORDER BY o.id DESC LIMIT batch) AS m
                      WHERE f.form LIKE '+%'
                      ORDER BY m.id DESC LIMIT batch) AS w;
        ELSIF NOT is_person THEN
            SELECT COALESCE(array_agg(w.id) FILTER (WHERE w.tenant_id = e.subject AND w.erased_at IS NULL), '{}'),
                    count(*), min(w.id),
                    array_agg(DISTINCT w.recipient)
                        FILTER (WHERE w.tenant_id = e.subject AND w.erased_at IS NULL)
                INTO mine, looked_at, lowest, people
                FROM (SELECT m.id, m.tenant_id, m.erased_at,
                          COALESCE(m.recipient_phone, m.recipient_user_id) AS recipient
                      FROM @extschema@.whatsapp_messages AS m
                      WHERE m.id < before ORDER BY m.id DESC LIMIT batch) AS w;
        END IF;
    WHEN 2 THEN
        /* messages by user ID only: no index has those, but all that have no number stand together in one */
        IF is_person THEN
            SELECT COALESCE(array_agg(w.id) FILTER (WHERE w.recipient_user_id = ANY (known)
                                                    AND w.created_at <= e.requested_at), '{}'), count(*), min(w.id)
                INTO mine, looked_at, lowest
                FROM (SELECT m.id, m.recipient_user_id, m.created_at FROM @extschema@.whatsapp_messages AS m
                      WHERE m.recipient_phone IS NULL AND m.id < before ORDER BY m.id DESC LIMIT batch) AS w;
        END IF;
    WHEN 3 THEN
        SELECT COALESCE(array_agg(w.id) FILTER (WHERE w.is_mine), '{}'), count(*), min(w.id),
                array_agg(DISTINCT w.sender) FILTER (WHERE w.is_mine AND NOT is_person)
            INTO mine, looked_at, lowest, people
            FROM (SELECT i.inbound_id AS id, COALESCE(i.sender_phone, i.sender_user_id) AS sender,
                      i.whatsapp_message_id NOT LIKE 'erased.%'
                      AND CASE WHEN is_person
                               THEN (i.sender_phone = ANY (known) OR i.sender_user_id = ANY (known))
                                   AND i.received_at <= e.requested_at
                               ELSE i.tenant_id = e.subject END AS is_mine
                  FROM @extschema@.whatsapp_inbound_messages AS i
                  WHERE i.inbound_id < before ORDER BY i.inbound_id DESC LIMIT batch) AS w;
        SELECT c.ids, c.held INTO mine, held FROM @extschema@.wa_internal_erase_customers(e.subject, people, mine) AS c;
        done := @extschema@.wa_internal_erase_inbound(mine);
    WHEN 4 THEN
        SELECT COALESCE(array_agg(w.id) FILTER (WHERE w.is_mine), '{}'), count(*), min(w.id),
                array_agg(DISTINCT w.customer) FILTER (WHERE w.is_mine AND NOT is_person)
            INTO mine, looked_at, lowest, people
            FROM (SELECT a.app_message_id AS id, COALESCE(a.customer_phone, a.customer_user_id) AS customer,
                      a.whatsapp_message_id NOT LIKE 'erased.%'
                      AND CASE WHEN is_person
                               THEN (a.customer_phone = ANY (known) OR a.customer_user_id = ANY (known)
                                     OR a.payload::text ~ naming) AND a.received_at <= e.requested_at
                               ELSE a.tenant_id = e.subject END AS is_mine
                  FROM @extschema@.whatsapp_app_messages AS a
                  WHERE a.app_message_id < before ORDER BY a.app_message_id DESC LIMIT batch) AS w;
        SELECT c.ids, c.held INTO mine, held FROM @extschema@.wa_internal_erase_customers(e.subject, people, mine) AS c;
        done := @extschema@.wa_internal_erase_app_messages(mine);
    WHEN 5 THEN
        SELECT COALESCE(array_agg(w.id) FILTER (WHERE w.is_mine), '{}'), count(*), min(w.id)
            INTO mine, looked_at, lowest
            FROM (SELECT p.parked_id AS id,
                      CASE WHEN is_person
                           THEN p.event::text ~ naming OR encode(p.body, 'escape') ~ naming
                           ELSE EXISTS (
                               SELECT FROM @extschema@.whatsapp_phone_assignments AS s
                               WHERE s.phone_number_id = COALESCE(p.phone_number_id,
                                       p.event #>> '{value,metadata,phone_number_id}')
                                   AND s.tenant_id = e.subject AND s.assigned_at <= p.received_at
                                   AND (s.unassigned_at IS NULL OR s.unassigned_at >= p.received_at)) END AS is_mine
                  FROM @extschema@.whatsapp_parked_events AS p
                  WHERE p.parked_id < before ORDER BY p.parked_id DESC LIMIT batch) AS w;
        DELETE FROM @extschema@.whatsapp_parked_events AS d WHERE d.parked_id = ANY (ARRAY(
            SELECT p.parked_id FROM @extschema@.whatsapp_parked_events AS p
            WHERE p.parked_id = ANY (mine) FOR UPDATE SKIP LOCKED));
        GET DIAGNOSTICS done = ROW_COUNT;
    WHEN 6 THEN
        /* The row stays: by its fingerprint the same event is known when it comes again. */
        SELECT COALESCE(array_agg(w.id) FILTER (WHERE w.is_mine), '{}'), count(*), min(w.id)
            INTO mine, looked_at, lowest
            FROM (SELECT v.event_id AS id,
                      CASE WHEN is_person
                           THEN v.key ~ naming OR v.value::text ~ naming
                           ELSE v.value <> '{}' AND v.value #>> '{metadata,phone_number_id}' IS NOT NULL AND EXISTS (
                               SELECT FROM @extschema@.whatsapp_phone_assignments AS s
                               WHERE s.phone_number_id = v.value #>> '{metadata,phone_number_id}'
                                   AND s.tenant_id = e.subject AND s.assigned_at <= v.received_at
                                   AND (s.unassigned_at IS NULL OR s.unassigned_at >= v.received_at)) END AS is_mine
                  FROM @extschema@.whatsapp_account_events AS v
                  WHERE v.event_id < before ORDER BY v.event_id DESC LIMIT batch) AS w;
        UPDATE @extschema@.whatsapp_account_events AS v SET key = '', value = '{}'
            WHERE v.event_id = ANY (ARRAY(
                SELECT o.event_id FROM @extschema@.whatsapp_account_events AS o
                WHERE o.event_id = ANY (mine) FOR UPDATE SKIP LOCKED));
        GET DIAGNOSTICS done = ROW_COUNT;
    WHEN 7 THEN
        SELECT COALESCE(array_agg(w.id) FILTER (WHERE w.is_mine), '{}'), count(*), min(w.id)
            INTO mine, looked_at, lowest
            FROM (SELECT a.alert_id AS id,
                      CASE WHEN is_person
                           THEN a.key ~ naming OR a.message ~ naming OR a.detail::text ~ naming
                           ELSE a.scope = 'tenant' AND a.key = e.subject OR a.detail ->> 'tenant_id' = e.subject
                               OR starts_with(a.key, e.subject || ' ') AND a.scope = 'recipient' END AS is_mine
                  FROM @extschema@.whatsapp_alerts AS a
                  WHERE a.alert_id < before ORDER BY a.alert_id DESC LIMIT batch) AS w;
        DELETE FROM @extschema@.whatsapp_alerts AS d WHERE d.alert_id = ANY (ARRAY(
            SELECT a.alert_id FROM @extschema@.whatsapp_alerts AS a
            WHERE a.alert_id = ANY (mine) FOR UPDATE SKIP LOCKED));
        GET DIAGNOSTICS done = ROW_COUNT;
    WHEN 8 THEN
        IF is_person THEN
            SELECT COALESCE(array_agg(w.id) FILTER (WHERE w.is_mine), '{}'), count(*), min(w.id)
                INTO mine, looked_at, lowest
                FROM (SELECT f.failure_id AS id, concat_ws(' ', f.row_key, f.row_id, f.old_row, f.message, f.detail,
                          f.hint) ~ naming AS is_mine
                      FROM @extschema@.whatsapp_notification_failures AS f
                      WHERE f.failure_id < before ORDER BY f.failure_id DESC LIMIT batch) AS w;
            DELETE FROM @extschema@.whatsapp_notification_failures AS d WHERE d.failure_id = ANY (ARRAY(
                SELECT f.failure_id FROM @extschema@.whatsapp_notification_failures AS f
                WHERE f.failure_id = ANY (mine) FOR UPDATE SKIP LOCKED));
            GET DIAGNOSTICS done = ROW_COUNT;
            left_now := cardinality(mine) - done;
        ELSE
            /* Now it is nobody's any more: what names it has no place to come from. */
            SELECT t.removed, t.left_over INTO done, left_now
                FROM @extschema@.wa_internal_remove_tenant(e.subject, batch) AS t;
        END IF;
    WHEN 10 THEN
        SELECT COALESCE(array_agg(w.id) FILTER (WHERE w.is_mine), '{}'), count(*), min(w.id)
            INTO mine, looked_at, lowest
            FROM (SELECT a.event_id AS id,
                      CASE WHEN is_person THEN a.key ~ naming OR a.detail::text ~ naming
                           ELSE a.detail IS NOT NULL
                               AND (a.scope = 'tenant' AND a.key = e.subject OR a.detail ->> 'tenant_id' = e.subject)
                           END AS is_mine
                  FROM @extschema@.whatsapp_events AS a
                  WHERE a.event_id < before ORDER BY a.event_id DESC LIMIT batch) AS w;
        UPDATE @extschema@.whatsapp_events AS a
            SET detail = NULL, key = CASE WHEN is_person AND a.key ~ naming THEN '' ELSE a.key END
            WHERE a.event_id = ANY (ARRAY(
                SELECT o.event_id FROM @extschema@.whatsapp_events AS o
                WHERE o.event_id = ANY (mine) FOR UPDATE SKIP LOCKED));
        GET DIAGNOSTICS done = ROW_COUNT;
    WHEN 11 THEN
        IF is_person THEN
            SELECT i.* INTO counts FROM @extschema@.wa_internal_erase_identity(known) AS i;
            done := counts.erased;
            left_now := counts.left_over;
        END IF;
    WHEN 12 THEN
        /*
         * What waits for other nodes is theirs, and may be that he wants no more messages: it is not taken away, but
         * waited for, seven days at most.
         */
        IF is_person THEN
            SELECT COALESCE(array_agg(w.id) FILTER (WHERE w.is_mine), '{}'), count(*), min(w.id)
                INTO mine, looked_at, lowest
                FROM (SELECT f.forward_id AS id, f.received_at <= e.requested_at AND f.entry ~ naming AS is_mine
                      FROM @extschema@.whatsapp_forwards AS f
                      WHERE f.forward_id < before ORDER BY f.forward_id DESC LIMIT batch) AS w;
        END IF;
    END CASE;

    IF e.phase IN (1, 2, 9) THEN
        SELECT c.ids, c.held INTO mine, held FROM @extschema@.wa_internal_erase_customers(e.subject, people, mine) AS c;
        SELECT x.* INTO counts FROM @extschema@.wa_internal_erase_messages(mine) AS x;
        done := counts.erased;
        n_cancelled := counts.cancelled;
    END IF;
    IF e.phase NOT IN (8, 11) THEN
        left_now := GREATEST(cardinality(mine) - done, 0);
    END IF;
    left_now := left_now + held + e.left_over;

    UPDATE @extschema@.whatsapp_erasures AS u
        SET cancelled = u.cancelled + n_cancelled,
            messages = u.messages + CASE WHEN e.phase IN (1, 2, 9) THEN done ELSE 0 END,
            other_rows = u.other_rows + CASE WHEN e.phase IN (1, 2, 9) THEN 0 ELSE done END,
            forms = known,
            worked_at = clock_timestamp(),
            position = CASE WHEN looked_at >= batch THEN lowest END,
            phase = u.phase + (looked_at < batch AND left_now = 0 AND u.phase < last_phase)::integer,
            left_over = CASE WHEN looked_at >= batch THEN left_now ELSE 0 END
        WHERE u.erasure_id = e.erasure_id;
    IF looked_at < batch AND left_now = 0 AND e.phase = last_phase THEN
        UPDATE @extschema@.whatsapp_erasures AS u
            SET finished_at = clock_timestamp(), forms = '{}',
                subject = CASE WHEN is_person THEN NULL ELSE u.subject END
            WHERE u.erasure_id = e.erasure_id;
    END IF;
    RETURN looked_at >= batch OR left_now = 0;
END
$$;

/* For a sender, and for who calls again: one step of this erasure, or of the one that has waited longest. */
CREATE FUNCTION @extschema@.wa_internal_erase(erasure bigint DEFAULT NULL, batch integer DEFAULT 1000) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    e @extschema@.whatsapp_erasures;
BEGIN
    SELECT o.* INTO e FROM @extschema@.whatsapp_erasures AS o
        WHERE o.finished_at IS NULL AND (erasure IS NULL OR o.erasure_id = erasure)
        ORDER BY o.worked_at NULLS FIRST, o.erasure_id
        LIMIT 1
        FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    RETURN @extschema@.wa_internal_erase_step(e, batch);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_erase(bigint, integer) IS
'Does a step of an erasure. False: there is none, or what is left of it is locked or on the wire. Internal.';

/* Some steps at once, so that what is small is done when the call returns. */
CREATE FUNCTION @extschema@.wa_internal_erase_now(erasure bigint) RETURNS @extschema@.whatsapp_erasures
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    e @extschema@.whatsapp_erasures;
BEGIN
    FOR i IN 1 .. 20 LOOP
        EXIT WHEN NOT @extschema@.wa_internal_erase(erasure);
    END LOOP;
    SELECT o.* INTO STRICT e FROM @extschema@.whatsapp_erasures AS o WHERE o.erasure_id = erasure;
    RETURN e;
END
$$;

/* The erasure of this that is going on, begun if there is none. */
CREATE FUNCTION @extschema@.wa_internal_begin_erasure(kind text, subject text, forms text[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    found_id bigint;
BEGIN
    LOOP
        SELECT o.erasure_id INTO found_id FROM @extschema@.whatsapp_erasures AS o
            WHERE o.kind = kind AND o.finished_at IS NULL
                AND (o.subject = subject OR kind = 'person' AND o.forms && forms)
            ORDER BY o.erasure_id LIMIT 1;
        IF found_id IS NULL THEN
            INSERT INTO @extschema@.whatsapp_erasures AS i (kind, subject, forms, requested_by)
                VALUES (kind, subject, forms, session_user)
                ON CONFLICT DO NOTHING
                RETURNING i.erasure_id INTO found_id;
        END IF;
        EXIT WHEN found_id IS NOT NULL;
    END LOOP;
    RETURN found_id;
END
$$;

CREATE FUNCTION @extschema@.wa_erase_person(recipient text) RETURNS @extschema@.whatsapp_erasures
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    who text;
BEGIN
    PERFORM @extschema@.wa_internal_check_not_null('recipient'::text, recipient);
    IF @extschema@.wa_internal_bound_tenant() IS NOT NULL THEN
        RAISE EXCEPTION 'a role that is bound to a tenant cannot erase a person'
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = 'The person may be a customer of other tenants, too.';
    END IF;
    who := @extschema@.wa_internal_recipient(recipient);
    RETURN @extschema@.wa_internal_erase_now(@extschema@.wa_internal_begin_erasure('person'::text, who,
        @extschema@.wa_internal_forms_of(ARRAY[who] || @extschema@.wa_internal_spellings(who))));
END
$$;
COMMENT ON FUNCTION @extschema@.wa_erase_person(text) IS
'Erases a person, under every number and user ID that is known: contents and identity go from every table. Waiting '
'messages are cancelled; what is on the wire is settled first. Messages stay as shells that count, with status, times '
'and price, and of the recipient the calling code. Opt-outs and opt-ins stay under number and user ID, and hold. A few '
'thousand rows are done at once; the rest is done by a sender after COMMIT, or by calling again. What waits for '
'another node is not taken from it, and waited for. Returns the row of '
'whatsapp_erasures; finished_at is set when it is done. Errors: 22004, 22023 no recipient.';

/* ---- tenants --------------------------------------------------------------------------- */

/* Its row, and what hangs on it.  Sums of costs, opt-outs and opt-ins name it on. */
CREATE FUNCTION @extschema@.wa_internal_remove_tenant(
    tenant text, batch integer, OUT removed bigint, OUT left_over bigint)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM @extschema@.whatsapp_media AS f WHERE f.id = ANY (ARRAY(
        SELECT o.id FROM @extschema@.whatsapp_media AS o WHERE o.tenant_id = tenant
        ORDER BY o.id LIMIT batch FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS removed = ROW_COUNT;
    PERFORM FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = tenant FOR UPDATE SKIP LOCKED;
    IF NOT FOUND AND EXISTS (SELECT FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = tenant)
        OR EXISTS (SELECT FROM @extschema@.whatsapp_media AS f WHERE f.tenant_id = tenant) THEN
        left_over := 1;
        RETURN;
    END IF;
    DELETE FROM @extschema@.whatsapp_pauses AS p WHERE p.scope = 'tenant' AND p.key = tenant;
    DELETE FROM @extschema@.whatsapp_phone_assignments AS a WHERE a.tenant_id = tenant;
    DELETE FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = tenant;
    removed := removed + 1;
    left_over := 0;
END
$$;

/*
 * Whatever would bring a deleted tenant back: its opt-outs and costs would be the new
 * one's.  While it is being deleted it stays switched off; rows of a dump are.
 */
CREATE FUNCTION @extschema@.wa_internal_keep_deleted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM @extschema@.whatsapp_erasures AS e
               WHERE e.kind = 'tenant' AND e.subject = NEW.tenant_id
                   AND (NEW.enabled OR TG_OP = 'INSERT' AND e.finished_at IS NOT NULL)) THEN
        RAISE EXCEPTION 'tenant "%" has been deleted', @extschema@.wa_internal_quote(NEW.tenant_id)
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'Its costs and opt-outs are kept under this tenant_id.',
                  HINT = 'Use another tenant_id.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_keep_deleted() IS
'Trigger function: the tenant_id of a deleted tenant is not used again. Internal.';
CREATE TRIGGER whatsapp_tenants_deleted
    BEFORE INSERT OR UPDATE OF enabled ON @extschema@.whatsapp_tenants
    FOR EACH ROW EXECUTE FUNCTION @extschema@.wa_internal_keep_deleted();

CREATE FUNCTION @extschema@.wa_delete_tenant(
    tenant_id text,
    force     boolean DEFAULT false)
RETURNS @extschema@.whatsapp_erasures
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    tenant CONSTANT text := @extschema@.wa_internal_check_tenant_id(wa_delete_tenant.tenant_id);
    number text;
    going_on boolean;
BEGIN
    PERFORM @extschema@.wa_internal_check_not_null('force'::text, force);
    IF @extschema@.wa_internal_bound_tenant() IS NOT NULL THEN
        RAISE EXCEPTION 'a role that is bound to a tenant cannot delete one' USING ERRCODE = 'insufficient_privilege';
    END IF;
    going_on := EXISTS (SELECT FROM @extschema@.whatsapp_erasures AS e
                        WHERE e.kind = 'tenant' AND e.subject = tenant AND e.finished_at IS NULL);
    IF NOT going_on THEN
        PERFORM @extschema@.wa_internal_check_tenant_exists(tenant);
    END IF;
    SELECT a.phone_number_id INTO number FROM @extschema@.whatsapp_phone_assignments AS a
        WHERE a.tenant_id = tenant AND a.unassigned_at IS NULL;
    IF number IS NOT NULL AND NOT force AND NOT going_on THEN
        RAISE EXCEPTION 'tenant "%" has the phone number %', @extschema@.wa_internal_quote(tenant), number
            USING ERRCODE = 'object_in_use',
                  HINT = 'Take it back with wa_unassign_phone(), or pass force => true.';
    ELSIF number IS NOT NULL THEN
        PERFORM @extschema@.wa_unassign_phone(tenant);
    END IF;
    UPDATE @extschema@.whatsapp_tenants AS t
        SET enabled = false, daily_share = NULL, updated_at = clock_timestamp()
        WHERE t.tenant_id = tenant AND (t.enabled OR t.daily_share IS NOT NULL);
    RETURN @extschema@.wa_internal_erase_now(
        @extschema@.wa_internal_begin_erasure('tenant'::text, tenant, '{}'::text[]));
END
$$;
COMMENT ON FUNCTION @extschema@.wa_delete_tenant(text, boolean) IS
'Deletes a tenant: it is switched off at once, what waits is cancelled, and contents and identities go from every '
'table as wa_erase_person() does it, also the customers whom no other tenant knows. Messages stay as shells until '
'whatsapp_shared.retention; sums of costs, opt-outs and opt-ins stay, and the tenant_id cannot be used again. With a '
'number assigned it is refused, unless force takes the number back. The rest is done by a sender after COMMIT, or by '
'calling again. Returns the row of whatsapp_erasures. Errors: 22004, 22023; 42704 no such tenant; 55006 it has a '
'number.';
