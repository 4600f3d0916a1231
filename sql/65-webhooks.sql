/*
 * What Meta sends, whole requests as they come.
 *
 * SECURITY DEFINER, because the role of the gateway may call these functions
 * and nothing else; the signature, or the verify token, is what is checked.
 */

/*
 * Items of webhooks that could not be used: malformed, of a kind unknown to
 * this version, or about a message that is not known yet.  The fingerprint
 * makes a repeated delivery of the same item one row.
 */
CREATE TABLE @extschema@.whatsapp_parked_events (
    parked_id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fingerprint         bytea NOT NULL
        CONSTRAINT whatsapp_parked_events_fingerprint_key UNIQUE,
    kind                text NOT NULL
        CONSTRAINT whatsapp_parked_events_kind_check
        CHECK (kind IN ('body', 'entry', 'change', 'status', 'message', 'event')),
    reason              text NOT NULL,
    phone_number_id     text COLLATE "C",
    whatsapp_message_id text COLLATE "C",
    message_id          bigint,
    event               jsonb,
    body                bytea,
    received_at         timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX whatsapp_parked_events_wamid_idx
    ON @extschema@.whatsapp_parked_events USING hash (whatsapp_message_id) WHERE kind = 'status';
CREATE INDEX whatsapp_parked_events_message_idx
    ON @extschema@.whatsapp_parked_events (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX whatsapp_parked_events_received_idx
    ON @extschema@.whatsapp_parked_events (received_at);
/* The unmatched statuses of other programs on the account are many, and say nothing to people. */
CREATE INDEX whatsapp_parked_events_other_idx
    ON @extschema@.whatsapp_parked_events (parked_id) WHERE reason NOT IN ('unknown_message', 'message_queued_again');
COMMENT ON TABLE @extschema@.whatsapp_parked_events IS
'Items of webhooks that could not be used, with the reason. Statuses are tried again when their message becomes '
'known. Kept for whatsapp_shared.retention, or as long as the message that they name.';
COMMENT ON COLUMN @extschema@.whatsapp_parked_events.parked_id IS 'Number of the item.';
COMMENT ON COLUMN @extschema@.whatsapp_parked_events.fingerprint IS
'Hash of the item, by which a repeated delivery is recognised.';
COMMENT ON COLUMN @extschema@.whatsapp_parked_events.kind IS
'body, entry, change, status, message or event: which part of the webhook it is.';
COMMENT ON COLUMN @extschema@.whatsapp_parked_events.reason IS 'Why it could not be used, such as unknown_message.';
COMMENT ON COLUMN @extschema@.whatsapp_parked_events.phone_number_id IS 'The number that it concerns, if it names one.';
COMMENT ON COLUMN @extschema@.whatsapp_parked_events.whatsapp_message_id IS
'The wamid that it concerns, if it names one.';
COMMENT ON COLUMN @extschema@.whatsapp_parked_events.message_id IS 'Our message that it concerns, if it names one.';
COMMENT ON COLUMN @extschema@.whatsapp_parked_events.event IS 'The item as Meta sent it.';
COMMENT ON COLUMN @extschema@.whatsapp_parked_events.body IS
'A whole request with a valid signature that is not JSON that can be stored.';
COMMENT ON COLUMN @extschema@.whatsapp_parked_events.received_at IS 'When it was received.';

/* When webhooks last came: what tells silence from an outage. */
CREATE TABLE @extschema@.whatsapp_webhook_traffic (
    phone_number_id text COLLATE "C" PRIMARY KEY,
    last_webhook_at timestamptz NOT NULL,
    last_status_at  timestamptz,
    last_inbound_at timestamptz,
    last_late_at    timestamptz
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE @extschema@.whatsapp_webhook_traffic IS
'When the last webhook, status and message were received for each number, to within a second.';
COMMENT ON COLUMN @extschema@.whatsapp_webhook_traffic.phone_number_id IS
'The number; empty for events of the account itself.';
COMMENT ON COLUMN @extschema@.whatsapp_webhook_traffic.last_webhook_at IS 'When the last webhook was received.';
COMMENT ON COLUMN @extschema@.whatsapp_webhook_traffic.last_status_at IS 'When the last status was received.';
COMMENT ON COLUMN @extschema@.whatsapp_webhook_traffic.last_inbound_at IS
'When the last message from a customer was received.';
COMMENT ON COLUMN @extschema@.whatsapp_webhook_traffic.last_late_at IS
'When the last report was received that took longer than half of whatsapp_shared.uncertain_grace: it could not be '
'delivered before, and others may follow.';

/* Notes that the message had another wamid, during the update of statuses, and returns this one: webhook/update.c. */
CREATE FUNCTION @extschema@.wa_internal_replacing_wamid(message_id bigint, wamid text) RETURNS text
    LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_replacing_wamid';
COMMENT ON FUNCTION @extschema@.wa_internal_replacing_wamid(bigint, text) IS
'The wamid of a second acceptance of the message. Internal.';

CREATE FUNCTION @extschema@.wa_internal_noting_delivery(
    message_id bigint, delivered_at timestamptz, category text, free boolean, played_at timestamptz)
RETURNS timestamptz
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_noting_delivery';
COMMENT ON FUNCTION @extschema@.wa_internal_noting_delivery(bigint, timestamptz, text, boolean, timestamptz) IS
'Its last argument; notes how the message counted for wa_costs before. Internal.';

CREATE FUNCTION @extschema@.wa_webhook_challenge(mode text, token text, challenge text) RETURNS text
    LANGUAGE C STABLE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'wa_webhook_challenge';
COMMENT ON FUNCTION @extschema@.wa_webhook_challenge(text, text, text) IS
'Meta''s verification request for a webhook address: returns the challenge if the token is '
'whatsapp_shared.webhook_verify_token.';

/* It becomes the owner by itself, after the caller's deferred triggers have fired as the caller. */
CREATE FUNCTION @extschema@.wa_webhook_ingest(body bytea, signature text) RETURNS jsonb
    LANGUAGE C VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'wa_webhook_ingest';
COMMENT ON FUNCTION @extschema@.wa_webhook_ingest(bytea, text) IS
'Processes one webhook: the bytes of its body and the header X-Hub-Signature-256. Respond to Meta with 200 once the '
'transaction has committed. Returns how many items were applied, duplicate, parked, ignored and foreign.';

/* As wa_webhook_ingest(), for webhooks that arrive side by side. */
CREATE FUNCTION @extschema@.wa_webhook_ingest_many(bodies bytea[], signatures text[])
RETURNS TABLE (ordinal integer, outcome text, result jsonb, sqlstate text, message text)
    LANGUAGE C VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'wa_webhook_ingest_many';
COMMENT ON FUNCTION @extschema@.wa_webhook_ingest_many(bytea[], text[]) IS
'Processes several webhooks, each as a whole or not at all, and returns a row for each, in their order. The outcome is '
'ingested (result: as wa_webhook_ingest returns it), invalid_signature, too_large, or failed with the SQLSTATE and '
'message of the error. Respond to Meta with 200 to those that are ingested, once the transaction has committed.';

/* ---- what could not be used ------------------------------------------------------------ */

/* Whether a customer may say something in a parked item: an order, or that he wants no more marketing. */
CREATE FUNCTION @extschema@.wa_internal_may_be_words(kind text, reason text, event jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT reason NOT IN ('too_old', 'wrong_object')
        AND (kind IN ('message', 'event', 'entry', 'body')
             OR kind = 'change' AND (event IS NULL
                 OR event ->> 'field' IN ('messages', 'standby', 'user_preferences', 'user_id_update')))
$$;

/*
 * At once, for waiting for many of them would lose the one that was an order.  Counted
 * up once a minute, since the row is everybody's.
 */
CREATE FUNCTION @extschema@.wa_internal_alert_parked(items integer) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_alerts AS a
            WHERE a.kind = 'parked_messages' AND a.resolved_at IS NULL
                AND a.last_seen_at > clock_timestamp() - interval '1 minute') THEN
        PERFORM @extschema@.wa_internal_alert('error'::text, 'parked_messages'::text, 'account'::text, ''::text,
            'What customers wrote could not be used, and is kept: see whatsapp_parked_events.'::text,
            jsonb_build_object('items', items));
    END IF;
END
$$;

/* How many of them there are, of the latest thousand items, that nobody has dealt with; NULL since: none. */
CREATE FUNCTION @extschema@.wa_internal_parked_words(OUT items bigint, OUT since timestamptz)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT count(*), min(p.received_at)
    FROM (SELECT o.* FROM @extschema@.whatsapp_parked_events AS o
          WHERE o.reason NOT IN ('unknown_message', 'message_queued_again') ORDER BY o.parked_id DESC LIMIT 1000) AS p
    WHERE @extschema@.wa_internal_may_be_words(p.kind, p.reason, p.event)
        AND p.received_at > COALESCE((
            SELECT max(a.resolved_at) FROM @extschema@.whatsapp_alerts AS a WHERE a.kind = 'parked_messages'),
            '-infinity')
$$;

/* These have been used after all: webhook/reprocess.c. */
CREATE FUNCTION @extschema@.wa_internal_forget_reprocessed(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM @extschema@.whatsapp_parked_events AS p WHERE p.parked_id = ANY (ids);
    IF (SELECT w.items FROM @extschema@.wa_internal_parked_words() AS w) = 0 THEN
        PERFORM @extschema@.wa_internal_resolve_alert('parked_messages'::text, 'account'::text, ''::text);
    END IF;
END
$$;

/* As wa_webhook_ingest(), it becomes the owner by itself. */
CREATE FUNCTION @extschema@.wa_reprocess_parked(reason text DEFAULT NULL) RETURNS jsonb
    LANGUAGE C VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'wa_reprocess_parked';
COMMENT ON FUNCTION @extschema@.wa_reprocess_parked(text) IS
'Takes in again what webhooks brought and could not be used, in the order in which it came: after an update of the '
'extension. With a reason, only what was parked for it. What is used leaves whatsapp_parked_events; the rest stays. '
'Returns counts as wa_webhook_ingest() does.';

/*
 * What follows from an error of Meta's, for whoever finds out: the sender from the
 * response to a request, or a webhook.  graph/error_class.c says which of these.
 */

/* The pause lasts so many seconds from then on; 0: until something lifts it. */
CREATE FUNCTION @extschema@.wa_internal_pause_for_error(
    scope text, key text, error_code integer, detail text, seconds integer, happened_at timestamptz)
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ends_at CONSTANT timestamptz := CASE WHEN seconds > 0 THEN happened_at + make_interval(secs => seconds) END;
BEGIN
    IF ends_at IS NULL OR ends_at > clock_timestamp() THEN
        PERFORM @extschema@.wa_internal_pause(scope, key, 'error_' || error_code,
            COALESCE(detail, 'Meta reports error ' || error_code), error_code, ends_at);
    END IF;
END
$$;

/* The recipients of these messages want no marketing, unless they have asked for it again since. */
CREATE FUNCTION @extschema@.wa_internal_opt_out_for_error(message_ids bigint[], happened_at timestamptz[])
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    refused record;
BEGIN
    /* All of them at once, as everybody does who locks several persons. */
    PERFORM @extschema@.wa_internal_lock_persons(array_agg(COALESCE(m.recipient_phone, m.recipient_user_id)))
        FROM @extschema@.whatsapp_messages AS m
        WHERE m.id = ANY (message_ids) AND m.erased_at IS NULL;
    FOR refused IN
        SELECT m.tenant_id, w.recipient, max(x.at) AS at
        FROM unnest(message_ids, happened_at) AS x (id, at)
            JOIN @extschema@.whatsapp_messages AS m ON m.id = x.id AND m.erased_at IS NULL
            CROSS JOIN LATERAL (SELECT COALESCE(m.recipient_phone, m.recipient_user_id)) AS w (recipient)
        GROUP BY m.tenant_id, w.recipient
        ORDER BY w.recipient, m.tenant_id
    LOOP
        PERFORM @extschema@.wa_internal_opt(@extschema@.wa_internal_named(refused.recipient), refused.recipient,
            ARRAY[refused.tenant_id], 'marketing'::text, 'out'::text, 'error'::text, refused.at);
    END LOOP;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_alert_unknown_code(error_code integer, detail text, messages bigint)
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_alert('warning'::text, 'unknown_error_code'::text, ''::text, error_code::text,
        format('Meta reports an error that is not in wa_error_codes: %s', error_code),
        jsonb_build_object('text', detail, 'messages', messages));
END
$$;

/* For whoever finds out, once the wamids are written: these messages were accepted more than once. */
CREATE FUNCTION @extschema@.wa_internal_alert_accepted_twice(message_ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m record;
BEGIN
    FOR m IN
        SELECT o.id, o.tenant_id, ARRAY(
            SELECT w.whatsapp_message_id FROM @extschema@.whatsapp_wamids AS w WHERE w.message_id = o.id
            UNION SELECT o.whatsapp_message_id WHERE o.whatsapp_message_id IS NOT NULL
            ORDER BY 1) AS wamids
        FROM @extschema@.whatsapp_messages AS o
        WHERE o.id = ANY (message_ids)
        ORDER BY o.id
    LOOP
        PERFORM @extschema@.wa_internal_alert('warning'::text, 'duplicate_send'::text, 'message'::text, m.id::text,
            format('Message %s has reached Meta more than once', m.id),
            jsonb_build_object('tenant_id', m.tenant_id, 'whatsapp_message_ids', m.wamids));
    END LOOP;
END
$$;

/*
 * What statuses mean for more than their own message.  Pauses follow
 * only from news: what Meta kept for hours while we were unreachable says
 * nothing of today, and sending finds out by itself.
 */
CREATE FUNCTION @extschema@.wa_internal_draw_consequences(
    actions text[],
    message_ids bigint[],
    attempts integer[],
    error_codes integer[],
    texts text[],
    pause_seconds integer[],
    happened_at timestamptz[])
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c record;
BEGIN
    /* Of several arrays there is no unnest(); the path is pinned. */
    INSERT INTO @extschema@.whatsapp_late_deliveries (message_id)
        SELECT DISTINCT x.id FROM unnest(actions, message_ids) AS x (action, id)
        WHERE x.action = 'late_delivery'
        ORDER BY x.id
        ON CONFLICT DO NOTHING;

    FOR c IN
        SELECT DISTINCT ON (w.scope, w.key)
            w.scope, w.key, x.code, x.text, x.seconds, x.at
        FROM unnest(actions, message_ids, error_codes, texts, pause_seconds, happened_at)
                AS x (action, id, code, text, seconds, at)
            JOIN @extschema@.whatsapp_messages AS m ON m.id = x.id
            CROSS JOIN LATERAL (
                SELECT substr(x.action, 7) AS scope,
                    CASE x.action
                        WHEN 'pause_account' THEN ''
                        WHEN 'pause_number' THEN m.phone_number_id
                        WHEN 'pause_template' THEN m.template_name || '/' || m.template_language
                    END AS key) AS w
        WHERE x.action LIKE 'pause\_%' AND w.key IS NOT NULL
            AND x.at > clock_timestamp() - interval '1 hour'
        ORDER BY w.scope, w.key, x.seconds = 0 DESC, x.at DESC
    LOOP
        PERFORM @extschema@.wa_internal_pause_for_error(c.scope, c.key, c.code, c.text, c.seconds, c.at);
    END LOOP;

    FOR c IN
        SELECT x.code, min(x.text) AS text, count(*) AS n
        FROM unnest(actions, error_codes, texts) AS x (action, code, text)
        WHERE x.action = 'unknown_code'
        GROUP BY x.code
        ORDER BY x.code
    LOOP
        PERFORM @extschema@.wa_internal_alert_unknown_code(c.code, c.text, c.n);
    END LOOP;

    /* An attempt that failed, and was followed by wa_retry_message(), is no second message. */
    PERFORM @extschema@.wa_internal_alert_accepted_twice(array_agg(x.id))
        FROM unnest(actions, message_ids, attempts) AS x (action, id, attempt)
        WHERE x.action = 'duplicate_delivery'
            OR x.action = 'duplicate_send' AND NOT EXISTS (
                SELECT FROM @extschema@.whatsapp_attempts AS a
                WHERE a.message_id = x.id AND a.attempt = x.attempt AND a.outcome = 'failed')
        HAVING count(*) > 0;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_rematch(max_rows integer DEFAULT 1000) RETURNS integer
    LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'wa_internal_rematch';
COMMENT ON FUNCTION @extschema@.wa_internal_rematch(integer) IS
'Tries parked statuses again whose message is known by now; returns how many. Internal.';

/* ---- what silence means -------------------------------------------------------------- */

/*
 * Since when reports can have been missed by nobody's fault but Meta's.  since is
 * what the server itself knows (shared/hearing.c).  A report that came late, of
 * whatever number, says that deliveries failed; until they have all been repeated,
 * absence means nothing.
 */
CREATE FUNCTION @extschema@.wa_internal_hearing_since(since timestamptz) RETURNS timestamptz
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT GREATEST(since, max(t.last_late_at)) FROM @extschema@.whatsapp_webhook_traffic AS t
$$;

/*
 * No report of this message has come, whose last request began and ended at these
 * times without a response.  Until when must one wait, and what does it mean then?
 * That Meta does not have it, if
 *
 * - reports can have been missed, from the request on, for no longer than the grace,
 *   and a whole grace has passed after that: what could not be delivered is
 *   delivered again, and the gaps between Meta's tries grow with the time for which
 *   they have failed;
 * - another message of the number was accepted in the first half of this grace, and
 *   has been reported;
 * - none that was accepted earlier than half a grace ago is without a report.  Those
 *   from a grace before the request on count, too.
 *
 * Looks at the messages next to it: by its time, of the same tenant; and by its id,
 * because what was written in one transaction has one time.  So it reads a few rows,
 * however many there are.  Tenant and time are compared as one: a planner without
 * statistics takes the messages of a tenant for few, and would sort them all.
 */
CREATE FUNCTION @extschema@.wa_internal_judge_silence(
    message_id    bigint,
    began_at      timestamptz,
    ended_at      timestamptz,
    grace         interval,
    hearing_since timestamptz,
    at            timestamptz,
    OUT wait_until timestamptz,
    OUT is_proof boolean)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN a.is_hearing THEN a.beginning + grace END,
        CASE WHEN a.is_hearing AND a.beginning + grace <= at THEN COALESCE((
            SELECT bool_or(n.is_reported AND n.accepted_at BETWEEN a.beginning AND a.beginning + grace / 2)
                AND bool_and(n.is_reported OR n.accepted_at > at - grace / 2)
            FROM (
                SELECT o.accepted_at,
                    COALESCE(o.sent_at, o.delivered_at, o.read_at, o.failed_at) IS NOT NULL AS is_reported
                FROM @extschema@.whatsapp_messages AS m
                    CROSS JOIN LATERAL (
                        (SELECT c.id, c.phone_number_id, c.status_reason,
                            c.accepted_at, c.sent_at, c.delivered_at, c.read_at, c.failed_at
                         FROM @extschema@.whatsapp_messages AS c
                         WHERE (c.tenant_id, c.created_at) >= (m.tenant_id, a.beginning)
                         ORDER BY c.tenant_id, c.created_at LIMIT 25)
                        UNION ALL
                        (SELECT c.id, c.phone_number_id, c.status_reason,
                            c.accepted_at, c.sent_at, c.delivered_at, c.read_at, c.failed_at
                         FROM @extschema@.whatsapp_messages AS c
                         WHERE (c.tenant_id, c.created_at) < (m.tenant_id, a.beginning)
                         ORDER BY c.tenant_id DESC, c.created_at DESC LIMIT 25)
                        UNION ALL
                        (SELECT c.id, c.phone_number_id, c.status_reason,
                            c.accepted_at, c.sent_at, c.delivered_at, c.read_at, c.failed_at
                         FROM @extschema@.whatsapp_messages AS c
                         WHERE c.id > m.id ORDER BY c.id LIMIT 25)
                        UNION ALL
                        (SELECT c.id, c.phone_number_id, c.status_reason,
                            c.accepted_at, c.sent_at, c.delivered_at, c.read_at, c.failed_at
                         FROM @extschema@.whatsapp_messages AS c
                         WHERE c.id < m.id ORDER BY c.id DESC LIMIT 25)) AS o
                WHERE m.id = message_id AND o.id <> m.id AND o.phone_number_id = m.phone_number_id
                    AND o.accepted_at >= began_at - grace
                    /* Meta holds it back on purpose. */
                    AND o.status_reason IS DISTINCT FROM 'held_for_quality_assessment') AS n), false)
        ELSE false END
    FROM (SELECT GREATEST(ended_at, hearing_since) AS beginning,
                 COALESCE(hearing_since <= began_at + grace, false) AS is_hearing) AS a
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_judge_silence(bigint, timestamptz, timestamptz, interval, timestamptz,
    timestamptz) IS
'Until when a report of this uncertain message is awaited (NULL: too many can have been missed), and whether its '
'absence at the given time proves that Meta does not have it. Internal.';

/* ---- reconciliation ------------------------------------------------------------------ */

/*
 * Do the webhooks tell of what was sent?  Messages get their first status
 * within seconds, so those of a quarter of an hour, half an hour ago, say it
 * for all: a bounded read however much is sent.
 *
 * They are found by their ids, which follow the times: the BRIN index over created_at
 * knows nothing of what was written since the last VACUUM, and that may be a million
 * rows.  Where there are few, all are looked at.
 */
CREATE FUNCTION @extschema@.wa_internal_check_confirmations() RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
AS $$
DECLARE
    few CONSTANT bigint := 20000;
    times CONSTANT timestamptz[] := ARRAY[now() - interval '45 minutes', now() - interval '30 minutes'];
    bounds bigint[] := (SELECT ARRAY[COALESCE(min(m.id), 1), COALESCE(max(m.id), 0) + 1]
                        FROM @extschema@.whatsapp_messages AS m);
    low bigint;
    high bigint;
    middle bigint;
    n record;
BEGIN
    IF bounds[2] - bounds[1] > few THEN
        FOR i IN REVERSE 2 .. 1 LOOP
            low := bounds[1];
            high := bounds[2];
            WHILE low < high LOOP
                middle := low + (high - low) / 2;
                IF (SELECT m.created_at FROM @extschema@.whatsapp_messages AS m
                    WHERE m.id >= middle ORDER BY m.id LIMIT 1) < times[i] THEN
                    low := middle + 1;
                ELSE
                    high := middle;
                END IF;
            END LOOP;
            bounds[i] := low;
        END LOOP;
    END IF;

    FOR n IN
        SELECT s.number, count(*) AS accepted,
            count(*) FILTER (WHERE s.silent) AS silent,
            min(s.accepted_at) FILTER (WHERE s.silent) AS since,
            (SELECT t.last_status_at FROM @extschema@.whatsapp_webhook_traffic AS t
             WHERE t.phone_number_id = s.number) AS last_status_at,
            EXISTS (SELECT FROM @extschema@.whatsapp_alerts AS a
                    WHERE a.kind IN ('webhook_silence', 'statuses_missing') AND a.scope = 'number'
                        AND a.key = s.number AND a.resolved_at IS NULL) AS is_alerted
        FROM (
            SELECT o.number, o.accepted_at, o.silent
            FROM (
                (SELECT m.phone_number_id AS number, m.accepted_at, m.status_reason,
                    m.status = 'accepted'
                        AND COALESCE(m.sent_at, m.delivered_at, m.read_at, m.failed_at) IS NULL AS silent
                FROM @extschema@.whatsapp_messages AS m
                WHERE m.id >= bounds[1] AND m.id < bounds[2]
                    /* not by the BRIN index */
                    AND m.created_at + interval '0' BETWEEN times[1] AND times[2]
                ORDER BY m.id LIMIT few)
                UNION ALL
                (SELECT m.phone_number_id, m.accepted_at, m.status_reason,
                    m.status = 'accepted'
                        AND COALESCE(m.sent_at, m.delivered_at, m.read_at, m.failed_at) IS NULL
                FROM @extschema@.whatsapp_messages AS m
                WHERE m.scheduled_at BETWEEN times[1] AND times[2] AND m.scheduled_at > m.created_at
                    AND m.created_at NOT BETWEEN times[1] AND times[2]
                ORDER BY m.scheduled_at LIMIT few)) AS o
            WHERE o.accepted_at < now() - interval '25 minutes'
                AND o.status_reason IS DISTINCT FROM 'held_for_quality_assessment') AS s
        WHERE s.number IS NOT NULL
        GROUP BY s.number
        ORDER BY s.number
    LOOP
        CONTINUE WHEN n.silent = 0 AND NOT n.is_alerted;
        IF n.silent > 0 AND COALESCE(n.last_status_at, '-infinity') < n.since THEN
            PERFORM @extschema@.wa_internal_alert('error'::text, 'webhook_silence'::text, 'number'::text, n.number,
                format('No webhook has reported on the messages of phone number %s since %s.',
                    n.number, n.since),
                jsonb_build_object('accepted', n.accepted, 'without_status', n.silent,
                    'last_status_at', n.last_status_at));
        ELSE
            PERFORM @extschema@.wa_internal_resolve_alert('webhook_silence'::text, 'number'::text, n.number);
            IF n.silent >= 5 AND n.silent * 10 > n.accepted THEN
                PERFORM @extschema@.wa_internal_alert('warning'::text, 'statuses_missing'::text, 'number'::text,
                    n.number,
                    format('%s of %s messages of phone number %s have no status after half an hour.',
                        n.silent, n.accepted, n.number),
                    jsonb_build_object('accepted', n.accepted, 'without_status', n.silent));
            ELSE
                PERFORM @extschema@.wa_internal_resolve_alert('statuses_missing'::text, 'number'::text, n.number);
            END IF;
        END IF;
    END LOOP;

    /* Numbers that have sent nothing since: webhooks that came in the meantime tell. */
    PERFORM @extschema@.wa_internal_resolve_alert('webhook_silence'::text, 'number'::text, a.key)
        FROM @extschema@.whatsapp_alerts AS a
            JOIN @extschema@.whatsapp_webhook_traffic AS t ON t.phone_number_id = a.key
        WHERE a.kind = 'webhook_silence' AND a.scope = 'number' AND a.resolved_at IS NULL
            AND t.last_status_at > a.last_seen_at;
END
$$;

/*
 * Webhooks that cannot be used are worth a look if they become many.  Another
 * program on the same account is the harmless cause.
 */
CREATE FUNCTION @extschema@.wa_internal_check_parked() RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parked bigint;
    reasons jsonb;
BEGIN
    SELECT sum(r.n), jsonb_object_agg(r.reason, r.n) INTO parked, reasons FROM (
        SELECT p.reason, count(*) AS n FROM (
            SELECT p.reason FROM @extschema@.whatsapp_parked_events AS p
            WHERE p.received_at > now() - interval '1 hour' LIMIT 10000) AS p
        GROUP BY p.reason) AS r;
    IF parked >= 100 THEN
        PERFORM @extschema@.wa_internal_alert('warning'::text, 'parked_events'::text, 'account'::text, ''::text,
            'Many webhook items could not be used in the last hour: see whatsapp_parked_events.'::text, reasons);
    ELSE
        PERFORM @extschema@.wa_internal_resolve_alert('parked_events'::text, 'account'::text, ''::text);
    END IF;
END
$$;

/*
 * Retention of messages.  With them goes all that names them, or the wamid of any of
 * their attempts: it has the recipient's number in it.  What somebody has locked
 * stays until the next time, and what has meanwhile been put back into the queue,
 * for which it must be locked.
 */
CREATE FUNCTION @extschema@.wa_internal_forget_messages(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    old bigint[] := ARRAY(
        SELECT m.id FROM @extschema@.whatsapp_messages AS m
        WHERE m.id = ANY (ids)
        ORDER BY m.id
        FOR UPDATE SKIP LOCKED);
BEGIN
    old := ARRAY(
        SELECT i FROM unnest(old) AS i
        WHERE NOT EXISTS (SELECT FROM @extschema@.whatsapp_queue AS q WHERE q.message_id = i OFFSET 0));
    DELETE FROM @extschema@.whatsapp_parked_events AS p WHERE p.message_id = ANY (old);
    DELETE FROM @extschema@.whatsapp_parked_events AS p
        USING unnest(ARRAY(SELECT w.whatsapp_message_id FROM @extschema@.whatsapp_wamids AS w
                           WHERE w.message_id = ANY (old))) AS k (wamid)
        WHERE p.kind = 'status' AND p.whatsapp_message_id = k.wamid;
    DELETE FROM @extschema@.whatsapp_alerts AS a
        WHERE a.scope = 'message' AND a.key = ANY (ARRAY(SELECT i::text FROM unnest(old) AS i));
    DELETE FROM @extschema@.whatsapp_media_uses AS u WHERE u.message_id = ANY (old);
    DELETE FROM @extschema@.whatsapp_attempts AS t WHERE t.message_id = ANY (old);
    DELETE FROM @extschema@.whatsapp_wamids AS w WHERE w.message_id = ANY (old);
    DELETE FROM @extschema@.whatsapp_messages AS m WHERE m.id = ANY (old);
END
$$;

/*
 * Some pages of a table, others every five minutes, and all of them by and by: for what
 * is to be looked through without an index on what it is looked for, because that
 * changes with every message.
 */
CREATE FUNCTION @extschema@.wa_internal_pages_of_now(relation regclass, OUT low tid, OUT high tid)
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('(%s,0)', p.first)::tid, format('(%s,0)', p.first + 50)::tid
    FROM (SELECT floor(extract(epoch FROM clock_timestamp()) / 300)::bigint * 50
              % GREATEST(pg_relation_size(relation) / current_setting('block_size')::bigint, 1)) AS p (first)
$$;

/* Retention of what webhooks brought, a batch of each table; what somebody has locked stays for the next time. */
CREATE FUNCTION @extschema@.wa_internal_retain_inbound(batch integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keep CONSTANT interval := current_setting('whatsapp_shared.retention')::interval;
    oldest CONSTANT timestamptz := now() - keep;
    n bigint;
    deleted bigint := 0;
    low tid;
    high tid;
BEGIN
    IF keep = interval '0' THEN
        RETURN 0;
    END IF;
    DELETE FROM @extschema@.whatsapp_inbound_messages AS d WHERE d.ctid = ANY (ARRAY(
        SELECT f.ctid FROM @extschema@.whatsapp_inbound_messages AS f
        WHERE f.inbound_id = ANY (ARRAY(
                SELECT i.inbound_id FROM @extschema@.whatsapp_inbound_messages AS i
                ORDER BY i.inbound_id LIMIT batch))
            AND f.received_at < oldest
        FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS n = ROW_COUNT;
    deleted := deleted + n;
    DELETE FROM @extschema@.whatsapp_app_messages AS d WHERE d.ctid = ANY (ARRAY(
        SELECT f.ctid FROM @extschema@.whatsapp_app_messages AS f
        WHERE f.app_message_id = ANY (ARRAY(
                SELECT i.app_message_id FROM @extschema@.whatsapp_app_messages AS i
                ORDER BY i.app_message_id LIMIT batch))
            AND f.received_at < oldest
        FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS n = ROW_COUNT;
    deleted := deleted + n;
    DELETE FROM @extschema@.whatsapp_parked_events AS d WHERE d.parked_id IN (
        SELECT p.parked_id FROM @extschema@.whatsapp_parked_events AS p
        WHERE p.received_at < oldest ORDER BY p.received_at LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS n = ROW_COUNT;
    deleted := deleted + n;
    DELETE FROM @extschema@.whatsapp_account_events AS d WHERE d.event_id IN (
        SELECT e.event_id FROM @extschema@.whatsapp_account_events AS e
        WHERE e.received_at < oldest ORDER BY e.received_at LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS n = ROW_COUNT;
    deleted := deleted + n;
    SELECT r.low, r.high INTO low, high
    FROM @extschema@.wa_internal_pages_of_now('@extschema@.whatsapp_windows'::regclass) AS r;
    DELETE FROM @extschema@.whatsapp_windows AS w
        WHERE w.ctid = ANY (ARRAY(
            SELECT o.ctid FROM @extschema@.whatsapp_windows AS o
            WHERE o.ctid >= low AND o.ctid < high
                AND GREATEST(o.last_inbound_at, o.taken_at, o.passed_at) < oldest LIMIT batch
            FOR UPDATE SKIP LOCKED))
            AND GREATEST(w.last_inbound_at, w.taken_at, w.passed_at) < oldest;
    GET DIAGNOSTICS n = ROW_COUNT;
    deleted := deleted + n;
    SELECT r.low, r.high INTO low, high
    FROM @extschema@.wa_internal_pages_of_now('@extschema@.whatsapp_contacts'::regclass) AS r;
    DELETE FROM @extschema@.whatsapp_contacts AS d
        WHERE d.ctid = ANY (ARRAY(
            SELECT c.ctid FROM @extschema@.whatsapp_contacts AS c
            WHERE c.ctid >= low AND c.ctid < high AND c.last_seen_at < oldest
                /* What they want holds for all their forms, as long as it is known which these are. */
                AND NOT EXISTS (
                    SELECT FROM @extschema@.whatsapp_contact_identities AS i
                    WHERE i.contact_id = c.contact_id
                        AND (EXISTS (SELECT FROM @extschema@.whatsapp_opt_outs AS x WHERE x.recipient = i.identity)
                             OR EXISTS (SELECT FROM @extschema@.whatsapp_opt_ins AS x WHERE x.recipient = i.identity)))
            LIMIT batch
            FOR UPDATE SKIP LOCKED))
            AND d.last_seen_at < oldest;
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN deleted + n;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_reconcile() RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_learn_identities(1000);
    PERFORM @extschema@.wa_internal_check_confirmations();
    PERFORM @extschema@.wa_internal_check_parked();
    PERFORM @extschema@.wa_internal_check_registrations();
    PERFORM @extschema@.wa_internal_fold_usage(100000);
    PERFORM @extschema@.wa_internal_retain_inbound(1000);
    PERFORM @extschema@.wa_internal_retain_notification_failures(1000);
    PERFORM @extschema@.wa_internal_retain_links(1000);
    PERFORM @extschema@.wa_internal_drop_fallbacks(10000);
    PERFORM @extschema@.wa_internal_note_size();
END
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_reconcile() IS
'For the upkeep of one sender, every few minutes: compares what was sent with what webhooks tell, and keeps the '
'tables of webhooks in order. Internal.';
