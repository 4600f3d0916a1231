/*
 * whatsapp_shared where the application's server loads no foreign library: the part beside it.
 *
 * For a database of a small PostgreSQL (15 or later) that has nothing else to do, run by a superuser once
 * shared_preload_libraries has whatsapp_shared:
 *
 *     psql -f sidecar.sql dbname=sidecar
 *
 * Rows of the application's outbox arrive by a subscription.  A trigger enqueues each, and writes what became of the
 * call into a table that a subscription of the application's database reads, with the extension's own tables.  The
 * guide is docs/managed.md; what must follow this file (the address, two subscriptions, a call every few seconds) is
 * there.
 *
 * Run again it brings the functions up to date and leaves the data alone.
 */

BEGIN;

/* ---- the extension, and a role that may send and nothing else --------------------------------------------------- */

/* The owner of everything here.  A subscription's worker is its owner's, who is a superuser on PostgreSQL 15. */
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'whatsapp') THEN
        CREATE ROLE whatsapp NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'whatsapp_outbox') THEN
        CREATE ROLE whatsapp_outbox NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'whatsapp_shared') THEN
        CREATE SCHEMA whatsapp_sidecar;
        CREATE EXTENSION whatsapp_shared SCHEMA whatsapp_sidecar;
    ELSIF NOT EXISTS (SELECT FROM pg_catalog.pg_extension
            WHERE extname = 'whatsapp_shared' AND extnamespace::regnamespace::text = 'whatsapp_sidecar') THEN
        RAISE EXCEPTION 'the extension is in schema %, and must be in whatsapp_sidecar',
            (SELECT extnamespace::regnamespace FROM pg_catalog.pg_extension WHERE extname = 'whatsapp_shared')
            USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = 'The application''s database has its copies in a schema of the same name.',
            HINT = 'Use a database of its own.';
    END IF;
    EXECUTE pg_catalog.format('ALTER DATABASE %I SET search_path = "$user", public, whatsapp_sidecar',
        pg_catalog.current_database());
END
$$;
CREATE EXTENSION IF NOT EXISTS postgres_fdw SCHEMA whatsapp_sidecar;
SELECT whatsapp_sidecar.wa_grant('whatsapp_outbox', 'sender');
GRANT SELECT ON whatsapp_sidecar.whatsapp_messages TO whatsapp_outbox;
/* The worker of a subscription runs in mode "replica", in which triggers and foreign keys do not fire. */
GRANT SET ON PARAMETER session_replication_role TO whatsapp_outbox;

CREATE SCHEMA IF NOT EXISTS whatsapp_outbox;
REVOKE ALL ON SCHEMA whatsapp_outbox FROM PUBLIC;
GRANT USAGE ON SCHEMA whatsapp_outbox TO whatsapp_outbox;
COMMENT ON SCHEMA whatsapp_outbox IS 'What travels between the application''s database and the sidecar.';

/* ---- what comes in ---------------------------------------------------------------------------------------------- */

/* The same columns as in application.sql.  It stays empty: the trigger keeps no row. */
CREATE TABLE IF NOT EXISTS whatsapp_outbox.outbox (
    key             uuid NOT NULL,
    id              bigint NOT NULL,
    kind            text NOT NULL,
    tenant_id       text COLLATE "C" NOT NULL,
    idempotency_key text COLLATE "C",
    args            jsonb NOT NULL,
    bulk            boolean NOT NULL,
    created_at      timestamptz NOT NULL
);
COMMENT ON TABLE whatsapp_outbox.outbox IS
'Where subscriptions insert the rows of the application''s outbox. It stays empty: a trigger enqueues them.';

CREATE TABLE IF NOT EXISTS whatsapp_outbox.result (
    key             uuid CONSTRAINT result_pkey PRIMARY KEY,
    outbox_id       bigint NOT NULL,
    tenant_id       text COLLATE "C" NOT NULL,
    idempotency_key text COLLATE "C",
    outcome         text NOT NULL
        CONSTRAINT result_outcome_check CHECK (outcome IN ('enqueued', 'rejected', 'expired')),
    message_id      bigint,
    sqlstate        text,
    message         text,
    detail          text,
    hint            text,
    source          text NOT NULL,
    taken_at        timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX IF NOT EXISTS result_taken_idx ON whatsapp_outbox.result (taken_at, key);
COMMENT ON TABLE whatsapp_outbox.result IS
'What was done with each row of the application''s outbox, and the proof that it was: a key that is here is never '
'taken '
'again. Kept for 30 days and for as long as the outbox has the row.';

/* What a call of the extension's functions gives back, whichever kind it is. */
CREATE OR REPLACE FUNCTION whatsapp_outbox.enqueue(o whatsapp_outbox.outbox) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    a jsonb := o.args;
    key text := 'ob:' || o.key;
    recipient text := a ->> 'recipient_phone';
    scheduled_at timestamptz := a ->> 'scheduled_at';
    expires_at timestamptz := a ->> 'expires_at';
    priority integer := COALESCE(a ->> 'priority', '0');
BEGIN
    CASE o.kind
        WHEN 'message' THEN
            RETURN whatsapp_sidecar.wa_enqueue_message(o.tenant_id, recipient, a ->> 'template_name', a -> 'parameters',
                a ->> 'language', scheduled_at, expires_at, priority, key, a ->> 'reference', a ->> 'on_uncertain');
        WHEN 'payload' THEN
            RETURN whatsapp_sidecar.wa_enqueue_payload(o.tenant_id, recipient, a ->> 'type', a -> 'payload',
                scheduled_at,
                expires_at, priority, key, a ->> 'reference', a ->> 'on_uncertain', a ->> 'context_message_id',
                a ->> 'fallback_template', a -> 'fallback_parameters');
        WHEN 'text' THEN
            RETURN whatsapp_sidecar.wa_enqueue_text(o.tenant_id, recipient, a ->> 'body',
                (a ->> 'preview_url')::boolean,
                scheduled_at, expires_at, priority, key, a ->> 'reference', a ->> 'on_uncertain',
                a ->> 'context_message_id', a ->> 'fallback_template', a -> 'fallback_parameters');
        WHEN 'media' THEN
            RETURN whatsapp_sidecar.wa_enqueue_media(o.tenant_id, recipient, a ->> 'media_type', a ->> 'link',
                a ->> 'media_id', a ->> 'caption', a ->> 'filename', (a ->> 'voice')::boolean, (a ->> 'media')::bigint,
                scheduled_at, expires_at, priority, key, a ->> 'reference', a ->> 'on_uncertain',
                a ->> 'context_message_id', a ->> 'fallback_template', a -> 'fallback_parameters');
        WHEN 'interactive' THEN
            RETURN whatsapp_sidecar.wa_enqueue_interactive(o.tenant_id, recipient, a -> 'interactive', scheduled_at,
                expires_at, priority, key, a ->> 'reference', a ->> 'on_uncertain', a ->> 'context_message_id',
                a ->> 'fallback_template', a -> 'fallback_parameters');
        ELSE
            RAISE EXCEPTION 'unknown kind "%" in the outbox', o.kind USING ERRCODE = 'invalid_parameter_value',
                HINT = 'The application''s side may be newer: run sidecar.sql of its version.';
    END CASE;
END
$$;
COMMENT ON FUNCTION whatsapp_outbox.enqueue(whatsapp_outbox.outbox) IS
'Enqueues a row of the outbox, under a key of its own, so that it can be done twice.';

/*
 * A row becomes a message and a result, or only a result that says why not.
 *
 * What the caller got wrong must not raise here: the worker would repeat the row for ever, and everything behind it
 * would wait.  What the caller has not got wrong must: the disk may be full, a lock may have timed out, the library may
 * be missing, and then it is right to wait.  55000 can be either; what the extension says of windows, templates and
 * files is the caller's.
 */
CREATE OR REPLACE FUNCTION whatsapp_outbox.take(o whatsapp_outbox.outbox, source text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r whatsapp_outbox.result;
BEGIN
    IF EXISTS (SELECT FROM whatsapp_outbox.result AS t WHERE t.key = o.key) THEN
        RETURN false;
    END IF;
    r.outcome := 'enqueued';
    BEGIN
        IF (o.args ->> 'expires_at')::timestamptz <= now() THEN
            r.outcome := 'expired';
        ELSE
            r.message_id := whatsapp_outbox.enqueue(o);
        END IF;
    EXCEPTION
        WHEN data_exception OR integrity_constraint_violation OR undefined_object OR program_limit_exceeded
            OR object_not_in_prerequisite_state THEN
        GET STACKED DIAGNOSTICS r.sqlstate = RETURNED_SQLSTATE, r.message = MESSAGE_TEXT,
            r.detail = PG_EXCEPTION_DETAIL, r.hint = PG_EXCEPTION_HINT;
        IF r.sqlstate = '55000'
            AND r.message !~ '^(the 24-hour window of|template "|file [0-9]+ |the file of message )' THEN
            RAISE;
        END IF;
        r.outcome := 'rejected';
    END;
    INSERT INTO whatsapp_outbox.result (key, outbox_id, tenant_id, idempotency_key, outcome, message_id, sqlstate,
        message, detail, hint, source)
    VALUES (o.key, o.id, o.tenant_id, o.idempotency_key, r.outcome, r.message_id, r.sqlstate, r.message,
        NULLIF(r.detail, ''), NULLIF(r.hint, ''), source)
    ON CONFLICT DO NOTHING;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION whatsapp_outbox.take(whatsapp_outbox.outbox, text) IS
'Turns a row of the outbox into a message and a result. False: it was taken before.';

CREATE OR REPLACE FUNCTION whatsapp_outbox.take_row() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET session_replication_role = origin
AS $$
BEGIN
    PERFORM whatsapp_outbox.take(NEW, 'stream');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION whatsapp_outbox.take_row() IS
'Trigger function: enqueues the row instead of keeping it, with the rights of its owner.';

CREATE OR REPLACE TRIGGER take_row BEFORE INSERT ON whatsapp_outbox.outbox
    FOR EACH ROW EXECUTE FUNCTION whatsapp_outbox.take_row();
ALTER TABLE whatsapp_outbox.outbox ENABLE ALWAYS TRIGGER take_row;

/* ---- what goes back --------------------------------------------------------------------------------------------- */

/* The columns of application.sql, by name: contents stay here, and a new column stops nothing. */
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_publication WHERE pubname = 'whatsapp_results') THEN
        CREATE PUBLICATION whatsapp_results FOR TABLE
            whatsapp_outbox.result (key, outbox_id, tenant_id, idempotency_key, outcome, message_id, sqlstate, message,
                detail, hint, source, taken_at),
            whatsapp_sidecar.whatsapp_messages (id, tenant_id, phone_number_id, recipient_phone, recipient_user_id,
                recipient_wa_id, message_type, template_name, template_language, status, status_reason, attempts,
                priority, reference, whatsapp_message_id, error_code, error_message, pricing_category, billable,
                created_at, scheduled_at, expires_at, accepted_at, sent_at, delivered_at, read_at, played_at, failed_at,
                finished_at),
            whatsapp_sidecar.whatsapp_inbound_messages (inbound_id, whatsapp_message_id, tenant_id, phone_number_id,
                sender_phone, sender_user_id, message_type, text, context_whatsapp_message_id, message_id, reply_id,
                reply_title, sent_at, too_old, received_at),
            whatsapp_sidecar.whatsapp_opt_outs (tenant_id, recipient, category, source, created_at),
            whatsapp_sidecar.whatsapp_templates (name, language, category, status, quality, rejected_reason,
                parameter_format, components, missing_since, updated_at)
            WITH (publish = 'insert, update, delete');
    END IF;
    /* Where the application's database is, the administrator says: ALTER SERVER … OPTIONS (ADD host …). */
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_foreign_server WHERE srvname = 'whatsapp_publisher') THEN
        CREATE SERVER whatsapp_publisher FOREIGN DATA WRAPPER postgres_fdw
            OPTIONS (connect_timeout '5', keepalives_idle '10', keepalives_interval '5', keepalives_count '3',
                fetch_size '500', application_name 'whatsapp_outbox');
        GRANT USAGE ON FOREIGN SERVER whatsapp_publisher TO whatsapp_outbox;
    END IF;
END
$$;

CREATE FOREIGN TABLE IF NOT EXISTS whatsapp_outbox.publisher_unanswered (
    key uuid, id bigint, kind text, tenant_id text COLLATE "C", idempotency_key text COLLATE "C", args jsonb,
    bulk boolean, created_at timestamptz)
    SERVER whatsapp_publisher OPTIONS (schema_name 'whatsapp_outbox', table_name 'unanswered');
CREATE FOREIGN TABLE IF NOT EXISTS whatsapp_outbox.publisher_outbox (
    key uuid, id bigint, kind text, tenant_id text COLLATE "C", idempotency_key text COLLATE "C", args jsonb,
    bulk boolean, created_at timestamptz)
    SERVER whatsapp_publisher OPTIONS (schema_name 'whatsapp_outbox', table_name 'outbox');
CREATE FOREIGN TABLE IF NOT EXISTS whatsapp_outbox.publisher_result (
    key uuid, outbox_id bigint, tenant_id text, idempotency_key text, outcome text, message_id bigint, sqlstate text,
    message text, detail text, hint text, source text, taken_at timestamptz)
    SERVER whatsapp_publisher OPTIONS (schema_name 'whatsapp_outbox', table_name 'result', batch_size '500');
CREATE FOREIGN TABLE IF NOT EXISTS whatsapp_outbox.publisher_messages (
    id bigint, tenant_id text, phone_number_id text, recipient_phone text, recipient_user_id text, recipient_wa_id text,
    message_type text, template_name text, template_language text, status text, status_reason text, attempts smallint,
    priority smallint, reference text, whatsapp_message_id text, error_code integer, error_message text,
    pricing_category text, billable boolean, created_at timestamptz, scheduled_at timestamptz, expires_at timestamptz,
    accepted_at timestamptz, sent_at timestamptz, delivered_at timestamptz, read_at timestamptz, played_at timestamptz,
    failed_at timestamptz, finished_at timestamptz)
    SERVER whatsapp_publisher OPTIONS (schema_name 'whatsapp_sidecar', table_name 'whatsapp_messages',
        batch_size '500');

/* ---- what replication may leave out ----------------------------------------------------------------------------- */

/*
 * After an asynchronous failover of the application's server its new primary has a shorter history than the one whose
 * end the sidecar remembers, and replication skips, without a word, what is committed there until it has grown as long.
 * The same server may have lost results that it had received.  So the two are compared, by a connection of its own,
 * outside of any transaction that sends or applies.
 */

CREATE TABLE IF NOT EXISTS whatsapp_outbox.work_state (
    only_row        boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    worked_at       timestamptz,
    compared_at     timestamptz,
    cleaned_at      timestamptz,
    workers         text,
    reconciled      bigint NOT NULL DEFAULT 0,
    reconciled_at   timestamptz
);
INSERT INTO whatsapp_outbox.work_state DEFAULT VALUES ON CONFLICT DO NOTHING;
COMMENT ON TABLE whatsapp_outbox.work_state IS 'When work() did what, and how many rows replication had left out.';

/*
 * Takes what the application's outbox has, what nothing has come back of, and what is not known here.  Not younger
 * than min_age, which is still on its way; not older than a week, because keys here are kept for a month: a row that
 * comes back with an old backup of the application's database is nobody's wish any more.
 *
 * The rows come in pages, by (created_at, key), ten of them at most: what is left is the next call's.  Returns how many
 * were missing.  Results that are here and not there are brought there.
 */
CREATE OR REPLACE FUNCTION whatsapp_outbox.reconcile(min_age interval DEFAULT '10 seconds', page integer DEFAULT 500)
RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    after_time timestamptz := now() - interval '7 days';
    after_key uuid := '00000000-0000-0000-0000-000000000000';
    until_time timestamptz := clock_timestamp() - min_age;
    o whatsapp_outbox.outbox;
    known uuid[];
    seen integer;
    pages integer := 0;
    missing bigint := 0;
BEGIN
    LOOP
        seen := 0;
        known := '{}';
        FOR o IN SELECT p.key, p.id, p.kind, p.tenant_id, p.idempotency_key, p.args, p.bulk, p.created_at
            FROM whatsapp_outbox.publisher_unanswered AS p
            /* As it is written here the other server evaluates all of it. */
            WHERE p.created_at >= after_time AND (p.created_at > after_time OR p.key > after_key)
                AND p.created_at <= until_time
            ORDER BY p.created_at, p.key LIMIT page
        LOOP
            seen := seen + 1;
            after_time := o.created_at;
            after_key := o.key;
            IF whatsapp_outbox.take(o, 'reconciliation') THEN
                missing := missing + 1;
            ELSE
                known := known || o.key;
            END IF;
        END LOOP;
        PERFORM whatsapp_outbox.bring_results(known);
        pages := pages + 1;
        EXIT WHEN seen < page OR pages >= 10;
    END LOOP;
    RETURN missing;
END
$$;
COMMENT ON FUNCTION whatsapp_outbox.reconcile(interval, integer) IS
'Takes rows of the application''s outbox that replication has left out, and returns their number. Brings results that '
'the application''s database lacks.';

/* A row that is there already is replaced by the trigger there. */
CREATE OR REPLACE FUNCTION whatsapp_outbox.bring_results(keys uuid[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF cardinality(keys) = 0 THEN
        RETURN;
    END IF;
    INSERT INTO whatsapp_outbox.publisher_messages
    SELECT m.id, m.tenant_id, m.phone_number_id, m.recipient_phone, m.recipient_user_id, m.recipient_wa_id,
        m.message_type, m.template_name, m.template_language, m.status, m.status_reason, m.attempts, m.priority,
        m.reference, m.whatsapp_message_id, m.error_code, m.error_message, m.pricing_category, m.billable, m.created_at,
        m.scheduled_at, m.expires_at, m.accepted_at, m.sent_at, m.delivered_at, m.read_at, m.played_at, m.failed_at,
        m.finished_at
    FROM whatsapp_outbox.result AS r JOIN whatsapp_sidecar.whatsapp_messages AS m ON m.id = r.message_id
    WHERE r.key = ANY (keys);
    INSERT INTO whatsapp_outbox.publisher_result
    SELECT r.key, r.outbox_id, r.tenant_id, r.idempotency_key, r.outcome,
        (SELECT m.id FROM whatsapp_sidecar.whatsapp_messages AS m WHERE m.id = r.message_id), r.sqlstate, r.message,
        r.detail, r.hint, r.source, r.taken_at
    FROM whatsapp_outbox.result AS r WHERE r.key = ANY (keys);
END
$$;
COMMENT ON FUNCTION whatsapp_outbox.bring_results(uuid[]) IS
'Writes the results and messages of these keys into the application''s database.';

/* Statuses that differ: an update that was lost, or that found no row.  The latest one wins. */
CREATE OR REPLACE FUNCTION whatsapp_outbox.compare(since interval DEFAULT '7 days', page integer DEFAULT 1000)
RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last bigint := 0;
    keys uuid[];
    differ uuid[];
    ids bigint[];
    n bigint := 0;
BEGIN
    LOOP
        SELECT array_agg(l.key), array_agg(l.message_id) INTO keys, ids
        FROM (SELECT r.key, r.message_id FROM whatsapp_outbox.result AS r
              WHERE r.message_id > last AND r.taken_at > now() - since ORDER BY r.message_id LIMIT page) AS l;
        EXIT WHEN keys IS NULL;
        SELECT COALESCE(array_agg(l.key), '{}') INTO differ
        FROM unnest(keys, ids) AS l (key, id) JOIN whatsapp_sidecar.whatsapp_messages AS m ON m.id = l.id
        LEFT JOIN (SELECT p.id, p.status, p.attempts, p.finished_at, p.delivered_at, p.read_at
                   FROM whatsapp_outbox.publisher_messages AS p WHERE p.id = ANY (ids)) AS p ON p.id = m.id
        WHERE (p.status, p.attempts, p.finished_at, p.delivered_at, p.read_at)
            IS DISTINCT FROM (m.status, m.attempts, m.finished_at, m.delivered_at, m.read_at);
        PERFORM whatsapp_outbox.bring_results(differ);
        n := n + cardinality(differ);
        last := ids[cardinality(ids)];
    END LOOP;
    RETURN n;
END
$$;
COMMENT ON FUNCTION whatsapp_outbox.compare(interval, integer) IS
'Brings the application''s copies of messages up to date where they differ, and returns their number.';

/*
 * Both sides.  The order matters: a row of the outbox goes only if its result is known on both sides, and a key here
 * only when the outbox has its row no more.  Otherwise the reconciliation would take it for a new one.
 */
CREATE OR REPLACE FUNCTION whatsapp_outbox.clean(page integer DEFAULT 5000) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keys uuid[];
    there uuid[];
BEGIN
    SELECT COALESCE(array_agg(r.key), '{}') INTO keys
    FROM (SELECT p.key FROM whatsapp_outbox.publisher_outbox AS p WHERE p.created_at < now() - interval '7 days'
          ORDER BY p.created_at LIMIT page) AS l JOIN whatsapp_outbox.result AS r USING (key);
    SELECT COALESCE(array_agg(p.key), '{}') INTO keys
    FROM whatsapp_outbox.publisher_result AS p WHERE p.key = ANY (keys);
    DELETE FROM whatsapp_outbox.publisher_outbox AS p WHERE p.key = ANY (keys);

    SELECT COALESCE(array_agg(l.key), '{}') INTO keys
    FROM (SELECT r.key FROM whatsapp_outbox.result AS r WHERE r.taken_at < now() - interval '30 days'
            AND NOT EXISTS (SELECT FROM whatsapp_sidecar.whatsapp_messages AS m WHERE m.id = r.message_id)
          ORDER BY r.taken_at, r.key LIMIT page) AS l;
    SELECT COALESCE(array_agg(p.key), '{}') INTO there
    FROM whatsapp_outbox.publisher_outbox AS p WHERE p.key = ANY (keys);
    DELETE FROM whatsapp_outbox.result AS r WHERE r.key = ANY (keys) AND r.key <> ALL (there);
END
$$;
COMMENT ON FUNCTION whatsapp_outbox.clean(integer) IS
'Deletes rows of the application''s outbox that have a result and are a week old, and results that are 30 days old, '
'whose '
'message is gone and whose row the outbox has no more.';

/*
 * What has to be done every few seconds, by cron, a systemd unit or pg_cron: the reconciliation; the comparison each
 * hour, and when a worker has connected anew; cleaning each hour.  One at a time.
 */
CREATE OR REPLACE FUNCTION whatsapp_outbox.work() RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s whatsapp_outbox.work_state;
    connected text;
    missing bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('whatsapp_outbox.work')) THEN
        RETURN 0;
    END IF;
    SELECT * INTO s FROM whatsapp_outbox.work_state;
    SELECT string_agg(l.name || ' ' || l.pid, ', ' ORDER BY l.name) INTO connected
    FROM (SELECT slot_name AS name, active_pid AS pid FROM pg_replication_slots
          UNION ALL SELECT subname, pid FROM pg_stat_subscription WHERE relid IS NULL) AS l;
    missing := whatsapp_outbox.reconcile();
    IF s.compared_at IS NULL OR s.compared_at < now() - interval '1 hour' OR s.workers IS DISTINCT FROM connected THEN
        PERFORM whatsapp_outbox.compare();
        s.compared_at := now();
    END IF;
    IF s.cleaned_at IS NULL OR s.cleaned_at < now() - interval '1 hour' THEN
        PERFORM whatsapp_outbox.clean();
        s.cleaned_at := now();
    END IF;
    UPDATE whatsapp_outbox.work_state AS w SET worked_at = clock_timestamp(), compared_at = s.compared_at,
        cleaned_at = s.cleaned_at, workers = connected, reconciled = w.reconciled + missing,
        reconciled_at = CASE WHEN missing > 0 THEN clock_timestamp() ELSE w.reconciled_at END;
    RETURN missing;
END
$$;
COMMENT ON FUNCTION whatsapp_outbox.work() IS
'Reconciles, compares and cleans, each when it is due; to be called every few seconds. Returns how many rows '
'replication '
'had left out.';

/* A call that was rejected for want of something that is there now: a tenant, a template. */
CREATE OR REPLACE FUNCTION whatsapp_outbox.retry(key uuid) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    o whatsapp_outbox.outbox;
    result text;
BEGIN
    SELECT p.key, p.id, p.kind, p.tenant_id, p.idempotency_key, p.args, p.bulk, p.created_at INTO o
    FROM whatsapp_outbox.publisher_outbox AS p WHERE p.key = retry.key;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the application''s outbox has no row %', retry.key USING ERRCODE = 'undefined_object';
    END IF;
    DELETE FROM whatsapp_outbox.result AS r WHERE r.key = retry.key AND r.outcome = 'rejected';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'row % was not rejected', retry.key USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    PERFORM whatsapp_outbox.take(o, 'retry');
    SELECT r.outcome INTO result FROM whatsapp_outbox.result AS r WHERE r.key = retry.key;
    RETURN result;
END
$$;
COMMENT ON FUNCTION whatsapp_outbox.retry(uuid) IS
'Takes a row again that was rejected, once the cause is gone, and returns the outcome. Errors: 42704 the outbox has '
'no such '
'row; 55000 it was not rejected.';

/* ---- does it work? ---------------------------------------------------------------------------------------------- */

CREATE OR REPLACE FUNCTION whatsapp_outbox.health() RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s record;
    w whatsapp_outbox.work_state;
    found_one boolean := false;
BEGIN
    FOR s IN SELECT b.subname, b.subenabled, t.pid, t.latest_end_time, e.apply_error_count
        FROM pg_subscription AS b
            LEFT JOIN pg_stat_subscription AS t ON t.subid = b.oid AND t.relid IS NULL
            LEFT JOIN pg_stat_subscription_stats AS e ON e.subid = b.oid
        WHERE b.subdbid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
        ORDER BY b.subname
    LOOP
        found_one := true;
        item := 'subscription ' || s.subname;
        state := CASE WHEN s.pid IS NULL THEN 'error' WHEN s.apply_error_count > 0 THEN 'warning' ELSE 'ok' END;
        detail := concat_ws(', ', CASE WHEN NOT s.subenabled THEN 'disabled' WHEN s.pid IS NULL THEN 'not running'
            ELSE 'running' END, s.apply_error_count || ' errors since the last reset',
            'last heard of at ' || s.latest_end_time);
        remedy := CASE WHEN s.pid IS NULL THEN 'The log says why it does not run: no connection, no slot, an error '
            'in a '
            'row. Enqueued messages wait in the application''s outbox meanwhile.'
            WHEN s.apply_error_count > 0 THEN 'See the log; then pg_stat_reset_subscription_stats().' END;
        RETURN NEXT;
    END LOOP;
    IF NOT found_one THEN
        item := 'subscription whatsapp_outbox';
        state := 'error';
        detail := 'There is none: nothing arrives.';
        remedy := 'CREATE SUBSCRIPTION as in docs/managed.md.';
        RETURN NEXT;
    END IF;

    SELECT * INTO w FROM whatsapp_outbox.work_state;
    item := 'work';
    state := CASE WHEN w.worked_at > now() - interval '2 minutes' THEN 'ok' ELSE 'error' END;
    detail := 'last done at ' || COALESCE(w.worked_at::text, 'no time yet');
    remedy := CASE WHEN state = 'error' THEN 'Call whatsapp_outbox.work() every few seconds; an error of it is in '
        'the log '
        'of whatever calls it.' END;
    RETURN NEXT;

    item := 'reconciled';
    state := CASE WHEN w.reconciled_at > now() - interval '1 hour' THEN 'warning' ELSE 'ok' END;
    detail := format('%s messages had been left out by replication%s', w.reconciled,
        ', last noticed at ' || w.reconciled_at);
    remedy := CASE WHEN state = 'warning' THEN 'They have been taken. A failover, or a slot that was made anew, does '
        'it.' END;
    RETURN NEXT;

    FOR s IN SELECT r.slot_name, r.active, r.wal_status,
            pg_wal_lsn_diff(pg_current_wal_lsn(), r.confirmed_flush_lsn) AS behind
        FROM pg_replication_slots AS r WHERE r.plugin = 'pgoutput' AND r.database = current_database()
        ORDER BY r.slot_name
    LOOP
        item := 'slot ' || s.slot_name;
        state := CASE WHEN s.wal_status IN ('unreserved', 'lost') OR (NOT s.active AND s.behind > 1073741824)
            THEN 'error'
            WHEN NOT s.active THEN 'warning' ELSE 'ok' END;
        detail := concat_ws(', ', CASE WHEN s.active THEN 'active' ELSE 'nobody reads' END,
            pg_size_pretty(s.behind) || ' behind', 'wal_status ' || s.wal_status);
        remedy := CASE WHEN state <> 'ok' THEN 'The application''s database does not fetch results; see its log. WAL '
            'is kept '
            'for it here.' END;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION whatsapp_outbox.health() IS
'One row per check of this side: subscriptions, work(), what replication had left out, the slot of the results. '
'state: ok, '
'warning or error. The extension''s own checks are in wa_health().';

/* For the login of the subscription that brings results, which copies what is there when it is made. */
CREATE OR REPLACE FUNCTION whatsapp_outbox.grant_results(role name) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    t record;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA whatsapp_outbox, whatsapp_sidecar TO %I', role);
    FOR t IN SELECT format('%I.%I', p.schemaname, p.tablename) AS name,
            (SELECT string_agg(quote_ident(c), ', ') FROM unnest(p.attnames) AS c) AS columns
        FROM pg_publication_tables AS p WHERE p.pubname = 'whatsapp_results'
    LOOP
        EXECUTE format('GRANT SELECT (%s) ON %s TO %I', t.columns, t.name, role);
    END LOOP;
END
$$;
COMMENT ON FUNCTION whatsapp_outbox.grant_results(name) IS
'Lets a role read what the publication whatsapp_results publishes, which its first copy needs. For superusers.';

/* ---- who may do what -------------------------------------------------------------------------------------------- */

DO $$
DECLARE
    o record;
BEGIN
    FOR o IN SELECT 'FUNCTION ' || oid::regprocedure AS name FROM pg_catalog.pg_proc
            WHERE pronamespace = 'whatsapp_outbox'::regnamespace AND proname NOT IN ('health', 'grant_results')
        UNION ALL SELECT CASE relkind WHEN 'f' THEN 'FOREIGN TABLE ' ELSE 'TABLE ' END || oid::regclass
            FROM pg_catalog.pg_class WHERE relnamespace = 'whatsapp_outbox'::regnamespace AND relkind IN ('r', 'f')
    LOOP
        EXECUTE pg_catalog.format('ALTER %s OWNER TO whatsapp_outbox', o.name);
        EXECUTE pg_catalog.format('REVOKE ALL ON %s FROM PUBLIC', pg_catalog.regexp_replace(o.name, '^FOREIGN ', ''));
    END LOOP;
END
$$;
REVOKE ALL ON FUNCTION whatsapp_outbox.health(), whatsapp_outbox.grant_results(name) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION whatsapp_outbox.health() TO pg_monitor;
GRANT USAGE ON SCHEMA whatsapp_outbox TO pg_monitor;
GRANT SELECT ON whatsapp_outbox.work_state TO pg_monitor;

COMMIT;
