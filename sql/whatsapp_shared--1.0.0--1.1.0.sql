/* From 1.0.0 to 1.1.0: in the order of the fragments (sql/README.md, "A new version"). */

\echo Use "ALTER EXTENSION whatsapp_shared UPDATE" to load this file. \quit

/* ---- messages that are deleted, and rows that somebody has locked ----------------------- */

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

CREATE OR REPLACE FUNCTION @extschema@.wa_internal_queue_to_number(tenant text, number text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fallback CONSTANT text := NULLIF(current_setting('whatsapp_shared.phone_number_id', true), '');
    ids bigint[];
    held bigint[];
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
    SELECT COALESCE(array_agg(q.message_id), '{}') INTO held
        FROM @extschema@.whatsapp_queue AS q
        WHERE q.message_id = ANY (ids)
            AND (q.state = 'h' AND q.hold_reason = 'no_number'
                 /* Meta's id of a file belongs to the number before. */
                 OR q.state IN ('r', 'd')
                    AND EXISTS (SELECT FROM @extschema@.whatsapp_media_uses AS u WHERE u.message_id = q.message_id)
                    AND @extschema@.wa_internal_awaits_media(q.message_id, number));
    PERFORM @extschema@.wa_internal_place_rows(held);
    PERFORM @extschema@.wa_internal_wake_rows(@extschema@.wa_internal_subtract(ids, held));
END
$$;

CREATE OR REPLACE FUNCTION @extschema@.wa_internal_queue_without_number(tenant text, number text) RETURNS void
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

CREATE OR REPLACE FUNCTION @extschema@.wa_internal_release_stale_holds(reason text, after_id bigint, page integer)
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

CREATE OR REPLACE FUNCTION @extschema@.wa_internal_retain_notification_failures(batch integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keep CONSTANT interval := current_setting('whatsapp_shared.retention')::interval;
    deleted bigint;
BEGIN
    IF keep = interval '0' THEN
        RETURN 0;
    END IF;
    /* The oldest come first, so no more than a batch is looked at. */
    DELETE FROM @extschema@.whatsapp_notification_failures AS d WHERE d.failure_id IN (
        SELECT o.failure_id FROM (
            SELECT f.failure_id, f.failed_at FROM @extschema@.whatsapp_notification_failures AS f
            ORDER BY f.failure_id LIMIT batch FOR UPDATE SKIP LOCKED) AS o
        WHERE o.failed_at < now() - keep);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$$;

CREATE OR REPLACE FUNCTION @extschema@.wa_internal_retain_inbound(batch integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keep CONSTANT interval := current_setting('whatsapp_shared.retention')::interval;
    oldest CONSTANT timestamptz := now() - keep;
    n bigint;
    deleted bigint := 0;
BEGIN
    IF keep = interval '0' THEN
        RETURN 0;
    END IF;
    DELETE FROM @extschema@.whatsapp_inbound_messages AS d WHERE d.inbound_id IN (
        SELECT i.inbound_id FROM @extschema@.whatsapp_inbound_messages AS i
        WHERE i.received_at < oldest LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS n = ROW_COUNT;
    deleted := deleted + n;
    DELETE FROM @extschema@.whatsapp_parked_events AS d WHERE d.parked_id IN (
        SELECT p.parked_id FROM @extschema@.whatsapp_parked_events AS p
        WHERE p.received_at < oldest LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS n = ROW_COUNT;
    deleted := deleted + n;
    DELETE FROM @extschema@.whatsapp_account_events AS d WHERE d.event_id IN (
        SELECT e.event_id FROM @extschema@.whatsapp_account_events AS e
        WHERE e.received_at < oldest LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS n = ROW_COUNT;
    deleted := deleted + n;
    DELETE FROM @extschema@.whatsapp_windows AS w
        WHERE (w.phone_number_id, w.recipient) IN (
            SELECT o.phone_number_id, o.recipient FROM @extschema@.whatsapp_windows AS o
            WHERE o.last_inbound_at < oldest LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS n = ROW_COUNT;
    deleted := deleted + n;
    DELETE FROM @extschema@.whatsapp_contacts AS d WHERE d.contact_id IN (
        SELECT c.contact_id FROM @extschema@.whatsapp_contacts AS c
        WHERE c.last_seen_at < oldest LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN deleted + n;
END
$$;

CREATE OR REPLACE FUNCTION @extschema@.wa_internal_health_queue()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    total record;
    webhooks timestamptz;
    last_accepted timestamptz;
    orphans bigint;
BEGIN
    SELECT COALESCE(sum(q.messages) FILTER (WHERE q.state = 'ready'), 0) AS ready,
           COALESCE(sum(q.messages) FILTER (WHERE q.state = 'deferred'), 0) AS deferred,
           COALESCE(sum(q.messages) FILTER (WHERE q.state = 'held'), 0) AS held,
           COALESCE(sum(q.messages) FILTER (WHERE q.reason = 'no_number'), 0) AS no_number,
           COALESCE(sum(q.messages) FILTER (WHERE q.state = 'uncertain'), 0) AS uncertain,
           COALESCE(sum(q.messages) FILTER (WHERE q.reason = 'parked'), 0) AS parked
        INTO total FROM @extschema@.wa_queue_status AS q;
    item := 'queue';
    state := CASE WHEN total.held > 0 THEN 'warning' ELSE 'ok' END;
    detail := format('%s ready, %s deferred, %s held (%s because the tenant has no number).',
        total.ready, total.deferred, total.held, total.no_number);
    remedy := CASE WHEN total.held > 0 THEN 'wa_queue_status names the reasons.' END;
    RETURN NEXT;

    item := 'uncertain messages';
    state := CASE WHEN total.parked > 0 THEN 'warning' ELSE 'ok' END;
    detail := format('%s, of which %s wait for an operator.', total.uncertain, total.parked);
    remedy := CASE WHEN total.parked > 0
        THEN 'SELECT id FROM whatsapp_messages WHERE status = ''uncertain''; then wa_resolve_message().' END;
    RETURN NEXT;

    /* Among the oldest only: a sender looks through all of them. */
    SELECT count(*) INTO orphans FROM (
        SELECT o.message_id FROM @extschema@.whatsapp_queue AS o ORDER BY o.message_id LIMIT 10000) AS q
        WHERE NOT EXISTS (SELECT FROM @extschema@.whatsapp_messages AS m WHERE m.id = q.message_id);
    IF orphans > 0 THEN
        item := 'deleted messages';
        state := 'warning';
        detail := format('%s rows of the queue belong to messages that were deleted.', orphans);
        remedy := 'None: a sender removes them, within minutes unless somebody has them locked. '
            'Use wa_cancel_message() for what is not to be sent.';
        RETURN NEXT;
    END IF;

    /* By primary key and among the newest only: history may be large. */
    SELECT max(w.last_webhook_at) INTO webhooks FROM @extschema@.whatsapp_webhook_traffic AS w;
    SELECT max(m.accepted_at) INTO last_accepted FROM (
        SELECT o.accepted_at FROM @extschema@.whatsapp_messages AS o ORDER BY o.id DESC LIMIT 1000) AS m;
    item := 'webhooks';
    state := CASE WHEN last_accepted > COALESCE(webhooks, '-infinity') + interval '15 minutes'
                       AND last_accepted < clock_timestamp() - interval '5 minutes' THEN 'warning' ELSE 'ok' END;
    detail := CASE WHEN webhooks IS NULL THEN 'None has been received.'
                   ELSE format('The last one was received at %s.', date_trunc('second', webhooks)) END;
    remedy := CASE state WHEN 'warning'
        THEN 'Messages have been accepted since, without any status. Check that the webhook receiver is reachable '
             'from the internet and that the app is subscribed to the account.' END;
    RETURN NEXT;
END
$$;

CREATE OR REPLACE FUNCTION @extschema@.wa_internal_explain_end(
    m @extschema@.whatsapp_messages,
    OUT reason text,
    OUT detail text,
    OUT remedy text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    reason := m.status;
    CASE m.status
        WHEN 'failed' THEN
            detail := concat_ws(': ', 'error ' || m.error_code::text, m.error_message);
            remedy := (SELECT e.remedy FROM @extschema@.wa_error_codes AS e WHERE e.code = m.error_code);
            IF m.status_reason = 'uncertain' THEN
                detail := 'it is unknown whether Meta had accepted it, and the policy was to give up';
            ELSIF m.status_reason = 'too_many_attempts' THEN
                detail := format('%s attempts were made, and a message cannot have more', m.attempts);
                remedy := 'Enqueue it as a new message.';
            ELSIF m.attempts > 1 THEN
                detail := format('%s, after %s attempts', detail, m.attempts);
            END IF;
        WHEN 'skipped' THEN
            reason := COALESCE(m.status_reason, 'skipped');
            IF reason = 'tenant_disabled' THEN
                detail := 'so the message was not queued';
                remedy := 'wa_configure_tenant(…, enabled => true), then wa_retry_message() if it is still wanted.';
            END IF;
        WHEN 'accepted' THEN
            reason := COALESCE(m.status_reason, 'accepted');
            detail := format('accepted at %s', date_trunc('second', m.accepted_at));
        WHEN 'sent' THEN
            detail := format('sent at %s', date_trunc('second', m.sent_at));
        WHEN 'delivered' THEN
            detail := format('delivered at %s', date_trunc('second', m.delivered_at));
        WHEN 'read' THEN
            detail := format('read at %s', date_trunc('second', m.read_at));
        WHEN 'cancelled' THEN
            detail := format('cancelled at %s', date_trunc('second', m.finished_at));
        WHEN 'expired' THEN
            detail := format('it was to be sent by %s', date_trunc('second', m.expires_at));
        ELSE
            reason := 'not_queued';
    END CASE;
END
$$;/* ---- 05-processes --------------------------------------------------------------------- */

CREATE FUNCTION @extschema@.wa_internal_connections(OUT sender integer, OUT wanted integer, OUT possible integer)
RETURNS SETOF record
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_connections';
COMMENT ON FUNCTION @extschema@.wa_internal_connections() IS
'How many connections each running sender of this database would have to open over HTTP/1.1 by the settings, and how '
'many it can. Internal.';

/* ---- 85-monitoring -------------------------------------------------------------------- */

/* Over HTTP/2 a hundred requests share a connection, so this is no error. */
CREATE FUNCTION @extschema@.wa_internal_health_connections()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'connections of sender ' || c.sender, 'warning',
           format('At most %s at once, for want of file descriptors, though %s requests may be on the wire.',
               c.possible, c.wanted),
           'Raise the limit on open files for the server ("ulimit -n", or LimitNOFILE of its service) and restart it, '
           'or lower whatsapp_shared.max_in_flight.'
    FROM @extschema@.wa_internal_connections() AS c
    WHERE c.possible < c.wanted
    ORDER BY c.sender
$$;

CREATE OR REPLACE FUNCTION @extschema@.wa_health()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_health_ownership();
    IF (SELECT f.problem FROM @extschema@.wa_internal_ownership_flaw() AS f) IS NOT NULL THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_health_processes();
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_health_connections();
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_health_settings();
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_health_databases();
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_health_account();
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_health_shared_numbers();
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_health_confirmation();
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_health_queue();
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_health_registrations();
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_health_alerts();
END
$$;
COMMENT ON FUNCTION @extschema@.wa_health() IS
'Checks the whole installation: one row for each item with ok, warning or error, what was found, and what to do.';

/* ---- what is new and public; at the end ------------------------------------------------ */

DO $$
BEGIN
    PERFORM @extschema@.wa_internal_create_twins();
    PERFORM @extschema@.wa_internal_mark_for_dump();
    PERFORM @extschema@.wa_internal_settle_privileges();
END
$$;
