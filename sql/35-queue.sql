/*
 * The queue: messages that may still have to be sent, the leases of those on
 * the wire, and what happens to waiting messages when numbers, tenants or
 * pauses change.
 *
 * The order of locks is that of src/README.md: queue rows by message_id, then
 * message rows.  Whatever takes a row away from the sender looks at the leases
 * with a snapshot taken after the lock.
 */

CREATE FUNCTION @extschema@.wa_internal_is_queue_state(state "char", has_number boolean) RETURNS boolean
    LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_is_queue_state';
COMMENT ON FUNCTION @extschema@.wa_internal_is_queue_state("char", boolean) IS
'Whether this is a state of a queue row: r (ready, which needs a number), d (deferred), h (held) or u (uncertain). '
'Internal.';

/*
 * rank orders the queue of one number: microseconds since 2000-01-01 of the
 * time at which the message is first due, less WA_PRIORITY_BOOST (ten minutes)
 * for each point of priority.  It does not change with due_at.  A head start
 * and not a class: whatever waits long enough overtakes every priority, so
 * nothing starves.
 *
 * state: r ready, d deferred until due_at, h held until something happens,
 * u uncertain, decided at due_at.  hold_reason is the reason code that
 * wa_explain() puts into words.
 */
CREATE TABLE @extschema@.whatsapp_queue (
    message_id      bigint PRIMARY KEY,
    phone_number_id text COLLATE "C",
    rank            bigint NOT NULL,
    due_at          timestamptz NOT NULL,
    expires_at      timestamptz,
    attempts        smallint NOT NULL DEFAULT 0,
    state           "char" NOT NULL,
    hold_reason     text,
    CONSTRAINT whatsapp_queue_state_check
        CHECK (@extschema@.wa_internal_is_queue_state(state, phone_number_id IS NOT NULL))
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0,
        autovacuum_analyze_threshold = 50000);
CREATE INDEX whatsapp_queue_ready_idx
    ON @extschema@.whatsapp_queue (phone_number_id, rank, message_id) WHERE state = 'r';
/* Many may be deferred to one moment: they come back in the order in which they will be claimed. */
CREATE INDEX whatsapp_queue_due_idx
    ON @extschema@.whatsapp_queue (due_at, rank, message_id) WHERE state IN ('d', 'u');
CREATE INDEX whatsapp_queue_held_idx
    ON @extschema@.whatsapp_queue (hold_reason, message_id) WHERE state = 'h';
CREATE INDEX whatsapp_queue_expiry_idx
    ON @extschema@.whatsapp_queue (expires_at) WHERE expires_at IS NOT NULL AND state <> 'u';
COMMENT ON TABLE @extschema@.whatsapp_queue IS
'One row for each message that may still have to be sent. Internal: read wa_queue_status and wa_explain() instead.';

/* Tells our rows from those loaded by others: src/enqueue/queue_guard.c. */
CREATE FUNCTION @extschema@.wa_internal_queue_guard() RETURNS trigger
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_queue_guard';
COMMENT ON FUNCTION @extschema@.wa_internal_queue_guard() IS
'Trigger function: stops the sending until wa_adopt() when rows are loaded into the queue that no function of this '
'extension has written. Internal.';

CREATE TRIGGER whatsapp_queue_guard BEFORE INSERT ON @extschema@.whatsapp_queue
    FOR EACH ROW EXECUTE FUNCTION @extschema@.wa_internal_queue_guard();
ALTER TABLE @extschema@.whatsapp_queue ENABLE ALWAYS TRIGGER whatsapp_queue_guard;

/*
 * Whoever deletes a message takes it out of the queue, too: nothing can be sent of
 * it.  The order of locks is the wrong way round here, so a queue row that somebody
 * has locked is left; what meets it later removes it (src/sender/store/orphans.c).
 * SECURITY DEFINER: whoever may delete messages need not have rights on the queue.
 */
CREATE FUNCTION @extschema@.wa_internal_forget_deleted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM @extschema@.whatsapp_queue AS q WHERE q.message_id IN (
            SELECT l.message_id FROM @extschema@.whatsapp_queue AS l FOR UPDATE SKIP LOCKED);
    ELSE
        DELETE FROM @extschema@.whatsapp_queue AS q WHERE q.message_id IN (
            SELECT l.message_id FROM @extschema@.whatsapp_queue AS l
            WHERE l.message_id IN (SELECT d.id FROM deleted AS d)
            ORDER BY l.message_id
            FOR UPDATE SKIP LOCKED);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_forget_deleted() IS
'Trigger function: takes deleted messages out of the queue. Internal.';

CREATE TRIGGER whatsapp_messages_deleted AFTER DELETE ON @extschema@.whatsapp_messages
    REFERENCING OLD TABLE AS deleted
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_forget_deleted();
CREATE TRIGGER whatsapp_messages_truncated AFTER TRUNCATE ON @extschema@.whatsapp_messages
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_forget_deleted();

/*
 * The durable intent to send: written and committed before the first byte of
 * any of its requests leaves.  attempts[i] is the attempt of message_ids[i]
 * that it covers.  A message is on the wire if a lease names it and its row
 * in whatsapp_queue still counts fewer attempts than that.
 */
CREATE TABLE @extschema@.whatsapp_leases (
    lease_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sender      smallint NOT NULL,
    pid         integer NOT NULL,
    generation  bigint NOT NULL,
    message_ids bigint[] NOT NULL,
    attempts    smallint[] NOT NULL,
    claimed_at  timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0,
        /* Leases are soon gone: compressing their arrays would be wasted. */
        toast_tuple_target = 8160);
COMMENT ON TABLE @extschema@.whatsapp_leases IS
'Batches of requests that a sender has on the wire. Internal.';

/*
 * The requests on the wire.  For a decision about a message read it with a
 * snapshot taken after the lock of its queue row: a claim holds that lock until
 * its lease is committed.
 */
CREATE VIEW @extschema@.wa_internal_on_wire_requests AS
SELECT q.message_id, q.phone_number_id, l.claimed_at
FROM @extschema@.whatsapp_leases AS l
    CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(l.message_ids), pg_catalog.unnest(l.attempts))
        AS x (message_id, attempt)
    JOIN @extschema@.whatsapp_queue AS q ON q.message_id = x.message_id AND q.attempts < x.attempt;
COMMENT ON VIEW @extschema@.wa_internal_on_wire_requests IS
'Messages that a request now on the wire may be for: those of a lease whose attempt the queue has not counted yet. '
'Internal.';

/*
 * The template that takes the place of a message which is none, if its service window
 * closes before its turn.  Kept as long as the message is in the queue.
 */
CREATE TABLE @extschema@.whatsapp_fallbacks (
    message_id        bigint PRIMARY KEY,
    template_name     text NOT NULL,
    template_language text NOT NULL,
    payload           jsonb NOT NULL
);
COMMENT ON TABLE @extschema@.whatsapp_fallbacks IS
'What fallback_template of waiting messages says. Internal.';

/*
 * For a sender, of messages whose queue rows it has locked: makes templates of those
 * that have a fallback.  payload is NULL of one that somebody has locked.  A file of
 * the message itself is not sent then.
 */
CREATE FUNCTION @extschema@.wa_internal_use_fallbacks(ids bigint[])
RETURNS TABLE (message_id bigint, template_name text, template_language text, payload jsonb)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    free bigint[];
BEGIN
    SELECT array_agg(locked.id) INTO free FROM (
        SELECT m.id
        FROM @extschema@.whatsapp_fallbacks AS f
            JOIN @extschema@.whatsapp_messages AS m ON m.id = f.message_id
        WHERE f.message_id = ANY (ids)
        FOR UPDATE OF m SKIP LOCKED) AS locked;
    UPDATE @extschema@.whatsapp_messages AS m
        SET message_type = 'template', template_name = f.template_name, template_language = f.template_language,
            payload = f.payload
        FROM @extschema@.whatsapp_fallbacks AS f
        WHERE m.id = ANY (free) AND f.message_id = m.id;
    DELETE FROM @extschema@.whatsapp_media_uses AS u WHERE u.message_id = ANY (free);
    RETURN QUERY
        SELECT f.message_id, f.template_name, f.template_language,
            CASE WHEN f.message_id = ANY (free) THEN f.payload END
        FROM @extschema@.whatsapp_fallbacks AS f
        WHERE f.message_id = ANY (ids);
END
$$;

/* Those of messages that have left the queue; at most so many. */
CREATE FUNCTION @extschema@.wa_internal_drop_fallbacks(batch integer) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM @extschema@.whatsapp_fallbacks AS d
    WHERE d.message_id IN (
        SELECT f.message_id FROM @extschema@.whatsapp_fallbacks AS f
        WHERE NOT EXISTS (SELECT FROM @extschema@.whatsapp_queue AS q WHERE q.message_id = f.message_id)
        LIMIT batch)
$$;

/* Whom the account has written to first within the last 24 hours, for the messaging limit. */

/*
 * A row is written once, when its recipient is reached, and never changes: in the order
 * of their times the rows are a list that every sender follows (src/sender/reach.c).
 */
CREATE TABLE @extschema@.whatsapp_reach (
    recipient  text COLLATE "C" NOT NULL,
    tenant_id  text COLLATE "C" NOT NULL,
    reached_at timestamptz NOT NULL,
    sender     smallint NOT NULL,
    PRIMARY KEY (reached_at, recipient)
);
COMMENT ON TABLE @extschema@.whatsapp_reach IS
'Recipients reached by templates outside a service window, with the tenant and the time: the account''s messaging '
'limit counts them over a moving 24 hours. Kept only while Meta reports a limit.';
COMMENT ON COLUMN @extschema@.whatsapp_reach.recipient IS
'The person: the form under which the recipient was first known, or the recipient itself if nobody knows whose it is.';
COMMENT ON COLUMN @extschema@.whatsapp_reach.tenant_id IS 'The tenant whose share of the limit it counts for.';
COMMENT ON COLUMN @extschema@.whatsapp_reach.reached_at IS 'When the 24 hours began.';
COMMENT ON COLUMN @extschema@.whatsapp_reach.sender IS 'The sender that has claimed the message.';
CREATE INDEX whatsapp_reach_recipient_idx ON @extschema@.whatsapp_reach (recipient, reached_at);

CREATE FUNCTION @extschema@.wa_internal_is_urgent(priority smallint) RETURNS boolean
    LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_is_urgent';
COMMENT ON FUNCTION @extschema@.wa_internal_is_urgent(smallint) IS
'Whether a message of this priority is sent in quiet hours, too. Internal.';

CREATE FUNCTION @extschema@.wa_internal_quiet_end(
    due_at     timestamptz,
    quiet_from time,
    quiet_to   time,
    time_zone  text)
RETURNS timestamptz
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'wa_internal_quiet_end';
COMMENT ON FUNCTION @extschema@.wa_internal_quiet_end(timestamptz, time, time, text) IS
'The end of the quiet hours that this time falls into; NULL if it falls into none. Internal.';

CREATE FUNCTION @extschema@.wa_internal_quiet_begin(
    after      timestamptz,
    quiet_from time,
    time_zone  text)
RETURNS timestamptz
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'wa_internal_quiet_begin';
COMMENT ON FUNCTION @extschema@.wa_internal_quiet_begin(timestamptz, time, text) IS
'When quiet hours that begin at this time of the day begin next. Internal.';

/*
 * Of the messages given, whose queue rows the caller has locked: those on the
 * wire.  A claim holds that lock until its lease is committed, so a snapshot
 * taken after the lock sees every lease that matters; a transaction with one
 * snapshot for all its statements has none, and must not guess.
 */
CREATE FUNCTION @extschema@.wa_internal_on_wire(ids bigint[]) RETURNS bigint[]
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF cardinality(ids) = 0 THEN
        RETURN '{}';
    ELSIF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'cannot take queued messages from the sender at isolation level "%"',
                current_setting('transaction_isolation')
            USING ERRCODE = 'feature_not_supported',
                  DETAIL = 'Such a transaction cannot see which messages are being sent now.',
                  HINT = 'Use a transaction at isolation level READ COMMITTED.';
    END IF;
    RETURN COALESCE((
        SELECT array_agg(w.message_id)
        FROM @extschema@.wa_internal_on_wire_requests AS w
        WHERE w.message_id = ANY (ids)), '{}');
END
$$;

/* Tells the senders about rows that this transaction has made ready or deferred. */
CREATE FUNCTION @extschema@.wa_internal_wake_rows(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_wake(w.phone_number_id, w.rank)
        FROM (SELECT q.phone_number_id, min(q.rank) AS rank
              FROM @extschema@.whatsapp_queue AS q
              WHERE q.message_id = ANY (ids) AND q.state = 'r'
              GROUP BY q.phone_number_id) AS w;
    PERFORM @extschema@.wa_internal_wake_due(w.due_at)
        /* OFFSET: the least of all due times is none of these, and not to be walked to. */
        FROM (SELECT min(q.due_at) AS due_at
              FROM (SELECT d.due_at FROM @extschema@.whatsapp_queue AS d
                    WHERE d.message_id = ANY (ids) AND d.state = 'd' OFFSET 0) AS q) AS w
        WHERE w.due_at IS NOT NULL;
    /* Whether the file is still on its way is for sender 0 to see. */
    PERFORM @extschema@.wa_internal_wake_due(clock_timestamp())
        WHERE EXISTS (SELECT FROM @extschema@.whatsapp_queue AS q
                      WHERE q.message_id = ANY (ids) AND q.state = 'h' AND q.hold_reason = 'media_upload');
END
$$;

/*
 * What row of the queue a message gets (enqueue/placement.c): the one rule for
 * state, hold reason and due time.  due is when it is scheduled, or meant for
 * its next attempt.
 */
CREATE FUNCTION @extschema@.wa_internal_place(
    has_number    boolean,
    awaits_upload boolean,
    attempts      integer,
    priority      integer,
    due           timestamptz,
    quiet_from    time,
    quiet_to      time,
    time_zone     text,
    OUT state "char",
    OUT hold_reason text,
    OUT due_at timestamptz)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'wa_internal_place';
COMMENT ON FUNCTION @extschema@.wa_internal_place(boolean, boolean, integer, integer, timestamptz, time, time, text) IS
'The state, hold reason and due time that a message gets in the queue. Internal.';

/*
 * The same for rows that are in the queue, as they are or as if they had just
 * lost their number.  Their due time counts if it has come, or if it is that of
 * a further attempt.  That of quiet hours is theirs and not the message's, and
 * goes with them; what is uncertain has waited long enough.
 */
CREATE FUNCTION @extschema@.wa_internal_placements(ids bigint[], without_number boolean DEFAULT false)
RETURNS TABLE (message_id bigint, state "char", hold_reason text, due_at timestamptz)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT q.message_id, p.state, p.hold_reason, p.due_at
    FROM (SELECT clock_timestamp() AS time OFFSET 0) AS clock
        CROSS JOIN @extschema@.whatsapp_queue AS q
        JOIN @extschema@.whatsapp_messages AS m ON m.id = q.message_id
        LEFT JOIN @extschema@.whatsapp_tenants AS t ON t.tenant_id = m.tenant_id
        CROSS JOIN LATERAL @extschema@.wa_internal_place(
            q.phone_number_id IS NOT NULL AND NOT without_number,
            /* Few messages have files: the function is called for those only. */
            EXISTS (SELECT FROM @extschema@.whatsapp_media_uses AS u WHERE u.message_id = q.message_id)
                AND @extschema@.wa_internal_awaits_media(q.message_id, q.phone_number_id),
            q.attempts, m.priority,
            CASE WHEN q.state = 'u' THEN clock.time
                 WHEN q.due_at <= clock.time THEN q.due_at
                 WHEN q.attempts = 0 OR q.hold_reason = 'quiet_hours' THEN m.scheduled_at
                 ELSE q.due_at END,
            t.quiet_from, t.quiet_to, t.time_zone) AS p
    WHERE q.message_id = ANY (ids)
$$;

/*
 * Where quiet hours have begun: what is ready and not on the wire, because it
 * had to wait for something else, waits for the morning.  Says when they begin
 * next, for any tenant, and how many messages it has deferred: a caller that
 * wants all of them deferred calls it until there are none.
 */
CREATE FUNCTION @extschema@.wa_internal_begin_quiet_hours(OUT next_begin timestamptz, OUT deferred integer)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    clock CONSTANT timestamptz := clock_timestamp();
    quiet text[];
    numbers text[];
    ids bigint[];
BEGIN
    deferred := 0;
    SELECT array_agg(t.tenant_id) FILTER (WHERE t.is_quiet),
           array_agg(DISTINCT @extschema@.wa_internal_number_of(t.tenant_id)) FILTER (WHERE t.is_quiet),
           min(@extschema@.wa_internal_quiet_begin(clock, t.quiet_from, t.time_zone))
        INTO quiet, numbers, next_begin
        FROM (SELECT o.tenant_id, o.quiet_from, o.time_zone,
                     @extschema@.wa_internal_quiet_end(clock, o.quiet_from, o.quiet_to, o.time_zone) IS NOT NULL
                         AS is_quiet
              FROM @extschema@.whatsapp_tenants AS o
              WHERE o.quiet_from IS NOT NULL) AS t;
    /* Only such a transaction can see what is on the wire; the next sweep can. */
    IF quiet IS NULL OR current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RETURN;
    END IF;
    SELECT COALESCE(array_agg(locked.message_id), '{}') INTO ids FROM (
        SELECT q.message_id
        FROM @extschema@.whatsapp_queue AS q
            JOIN @extschema@.whatsapp_messages AS m ON m.id = q.message_id
        WHERE q.state = 'r' AND q.phone_number_id = ANY (numbers)
            AND m.tenant_id = ANY (quiet) AND NOT @extschema@.wa_internal_is_urgent(m.priority)
        ORDER BY q.message_id
        LIMIT 10000
        FOR UPDATE OF q SKIP LOCKED) AS locked;
    ids := @extschema@.wa_internal_subtract(ids, @extschema@.wa_internal_on_wire(ids));
    PERFORM @extschema@.wa_internal_place_rows(ids);
    deferred := cardinality(ids);
END
$$;

/*
 * Ends the wait of these rows, which the caller has locked: each gets the place
 * that it would get now.
 */
CREATE FUNCTION @extschema@.wa_internal_place_rows(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE @extschema@.whatsapp_queue AS q
        SET state = p.state, hold_reason = p.hold_reason, due_at = p.due_at
        FROM @extschema@.wa_internal_placements(ids) AS p
        WHERE q.message_id = ANY (ids) AND q.message_id = p.message_id;
    PERFORM @extschema@.wa_internal_wake_rows(ids);
END
$$;

/*
 * Ends the holds of one reason, of everybody or of one tenant, number or
 * template (name/language, or name for all its languages), at most so many of
 * them; a caller that must not hold many locks at once loops.  Returns how
 * many there were.
 */
CREATE FUNCTION @extschema@.wa_internal_release_holds(
    reason text,
    tenant text DEFAULT NULL,
    number text DEFAULT NULL,
    template text DEFAULT NULL,
    max_rows bigint DEFAULT NULL)
RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ids bigint[];
BEGIN
    /* quiet_hours defers, everything else holds. */
    SELECT COALESCE(array_agg(locked.message_id), '{}') INTO ids FROM (
        SELECT q.message_id
        FROM @extschema@.whatsapp_queue AS q
        WHERE q.hold_reason = reason
            AND q.state = CASE reason WHEN 'quiet_hours' THEN 'd'::"char" ELSE 'h'::"char" END
            AND (number IS NULL OR q.phone_number_id = number)
            AND (tenant IS NULL AND template IS NULL OR EXISTS (
                SELECT FROM @extschema@.whatsapp_messages AS m
                WHERE m.id = q.message_id
                    AND (tenant IS NULL OR m.tenant_id = tenant)
                    AND (template IS NULL
                         OR template IN (m.template_name, m.template_name || '/' || m.template_language))))
        ORDER BY q.message_id
        LIMIT max_rows
        FOR UPDATE OF q) AS locked;
    PERFORM @extschema@.wa_internal_place_rows(ids);
    RETURN cardinality(ids);
END
$$;

/* Notes the number in both rows of each message; the queue rows are locked. */
CREATE FUNCTION @extschema@.wa_internal_set_number(ids bigint[], number text) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE @extschema@.whatsapp_queue AS q SET phone_number_id = number WHERE q.message_id = ANY (ids);
    UPDATE @extschema@.whatsapp_messages AS m SET phone_number_id = number WHERE m.id = ANY (ids)
$$;

/*
 * Puts the tenant's waiting messages on its new number: those that had none,
 * and those that would have left from the default number.
 */
CREATE FUNCTION @extschema@.wa_internal_queue_to_number(tenant text, number text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fallback CONSTANT text := NULLIF(current_setting('whatsapp_shared.phone_number_id', true), '');
    ids bigint[];
    placed bigint[];
BEGIN
    SELECT COALESCE(array_agg(locked.message_id), '{}') INTO ids FROM (
        SELECT q.message_id
        FROM @extschema@.whatsapp_queue AS q
            JOIN @extschema@.whatsapp_messages AS m ON m.id = q.message_id
        WHERE m.tenant_id = tenant AND q.state IN ('r', 'd', 'h')
            AND (q.phone_number_id IS NULL OR q.phone_number_id = fallback AND fallback <> number)
            /* Known beforehand to be on the wire: its settlement need not wait for this lock. */
            AND q.message_id NOT IN (SELECT w.message_id FROM @extschema@.wa_internal_on_wire_requests AS w)
        ORDER BY q.message_id
        FOR UPDATE OF q) AS locked;
    /* Without a number nothing is on the wire; from the default number it may be. */
    IF fallback IS NOT NULL THEN
        ids := @extschema@.wa_internal_subtract(ids, @extschema@.wa_internal_on_wire(ids));
    END IF;
    PERFORM @extschema@.wa_internal_set_number(ids, number);
    SELECT COALESCE(array_agg(q.message_id), '{}') INTO placed
        FROM @extschema@.whatsapp_queue AS q
        WHERE q.message_id = ANY (ids)
            AND (q.state = 'h' AND q.hold_reason = 'no_number'
                 /* It has waited for a limit of the number before; later ones do not. */
                 OR q.state = 'd'
                 /* Meta's id of a file belongs to the number before. */
                 OR q.state = 'r'
                    AND EXISTS (SELECT FROM @extschema@.whatsapp_media_uses AS u WHERE u.message_id = q.message_id)
                    AND @extschema@.wa_internal_awaits_media(q.message_id, number));
    PERFORM @extschema@.wa_internal_place_rows(placed);
    PERFORM @extschema@.wa_internal_wake_rows(@extschema@.wa_internal_subtract(ids, placed));
END
$$;

/*
 * Takes the number from the tenant's waiting messages.  What is on the wire
 * settles first; what is uncertain keeps the number it went out from.
 */
CREATE FUNCTION @extschema@.wa_internal_queue_without_number(tenant text, number text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ids bigint[];
BEGIN
    SELECT COALESCE(array_agg(locked.message_id), '{}') INTO ids FROM (
        SELECT q.message_id
        FROM @extschema@.whatsapp_queue AS q
            JOIN @extschema@.whatsapp_messages AS m ON m.id = q.message_id
        WHERE m.tenant_id = tenant AND q.state IN ('r', 'd', 'h') AND q.phone_number_id = number
            /* Known beforehand to be on the wire: its settlement need not wait for this lock. */
            AND q.message_id NOT IN (SELECT w.message_id FROM @extschema@.wa_internal_on_wire_requests AS w)
        ORDER BY q.message_id
        FOR UPDATE OF q) AS locked;
    ids := @extschema@.wa_internal_subtract(ids, @extschema@.wa_internal_on_wire(ids));
    UPDATE @extschema@.whatsapp_queue AS q
        SET state = p.state, hold_reason = p.hold_reason, due_at = p.due_at
        FROM @extschema@.wa_internal_placements(ids, without_number => true) AS p
        WHERE q.message_id = ANY (ids) AND q.message_id = p.message_id;
    PERFORM @extschema@.wa_internal_set_number(ids, NULL::text);
END
$$;

CREATE FUNCTION @extschema@.wa_internal_subtract(ids bigint[], without bigint[]) RETURNS bigint[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(array_agg(i ORDER BY i), '{}') FROM unnest(ids) AS i WHERE i <> ALL (without)
$$;

/*
 * For a sender: messages held for this reason although the obstacle is gone,
 * because a pause has ended by its time, or hold and release crossed in
 * concurrent transactions.  Looks at one page of them after the given id and
 * returns where the next page begins; NULL: from the start again.  Rows that
 * somebody has locked are left for the next round.
 */

CREATE FUNCTION @extschema@.wa_internal_release_stale_holds(reason text, after_id bigint, page integer)
RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stale bigint[];
    last_id bigint;
    seen integer;
    fallback CONSTANT text := @extschema@.wa_internal_default_number();
BEGIN
    WITH held AS MATERIALIZED (
        SELECT q.message_id, q.hold_reason, q.phone_number_id
        FROM @extschema@.whatsapp_queue AS q
        WHERE q.state = 'h' AND q.hold_reason = reason AND q.message_id > after_id
        ORDER BY q.message_id
        LIMIT page)
    SELECT count(*), max(h.message_id),
        array_agg(h.message_id) FILTER (WHERE m.id IS NOT NULL AND CASE h.hold_reason
            WHEN 'no_number' THEN a.phone_number_id IS NOT NULL OR fallback IS NOT NULL
            WHEN 'tenant_disabled' THEN COALESCE(t.enabled, false)
            WHEN 'tenant_paused' THEN NOT EXISTS (
                SELECT FROM @extschema@.whatsapp_pauses AS p
                WHERE p.scope = 'tenant' AND p.key = m.tenant_id)
            WHEN 'thread_taken' THEN NOT @extschema@.wa_internal_thread_stops(m, h.phone_number_id)
            WHEN 'template_paused' THEN NOT EXISTS (
                SELECT FROM @extschema@.whatsapp_pauses AS p
                WHERE p.scope = 'template'
                    AND p.key IN (m.template_name, m.template_name || '/' || m.template_language))
            ELSE false END)
        INTO seen, last_id, stale
        FROM held AS h
            /* An orphan is not released, but must not end the walk either. */
            LEFT JOIN @extschema@.whatsapp_messages AS m ON m.id = h.message_id
            LEFT JOIN @extschema@.whatsapp_tenants AS t ON t.tenant_id = m.tenant_id
            LEFT JOIN @extschema@.whatsapp_phone_assignments AS a
                ON a.tenant_id = m.tenant_id AND a.unassigned_at IS NULL;

    IF stale IS NOT NULL THEN
        SELECT array_agg(locked.message_id) INTO stale FROM (
            SELECT q.message_id FROM @extschema@.whatsapp_queue AS q
            WHERE q.message_id = ANY (stale) AND q.state = 'h'
            ORDER BY q.message_id
            FOR UPDATE SKIP LOCKED) AS locked;
        UPDATE @extschema@.whatsapp_queue AS q
            SET phone_number_id = COALESCE(a.phone_number_id, fallback)
            FROM @extschema@.whatsapp_messages AS m
                LEFT JOIN @extschema@.whatsapp_phone_assignments AS a
                    ON a.tenant_id = m.tenant_id AND a.unassigned_at IS NULL
            WHERE q.message_id = ANY (stale) AND m.id = q.message_id AND q.hold_reason = 'no_number';
        PERFORM @extschema@.wa_internal_place_rows(stale);
    END IF;
    RETURN CASE WHEN seen = page THEN last_id END;
END
$$;
