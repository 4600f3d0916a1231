/*
 * Codes and their meanings, and wa_explain(): why a message has not been sent,
 * in one row.
 *
 * The text of each reason exists once, in wa_reason_codes; the functions below
 * find out which reason applies, the details of this message, and the earliest
 * time.  What only a person can mend comes before what time will.
 */

/*
 * What each error code of the Cloud API means for a message: the table of
 * error_class.c, by which answers and webhooks are judged, to be read in SQL.
 */
CREATE FUNCTION @extschema@.wa_internal_error_codes(
    OUT code        integer,
    OUT title       text,
    OUT class       text,
    OUT pause       interval,
    OUT max_retries integer,
    OUT opts_out    boolean,
    OUT remedy      text)
RETURNS SETOF record
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 300
AS 'MODULE_PATHNAME', 'wa_internal_error_codes';
COMMENT ON FUNCTION @extschema@.wa_internal_error_codes() IS
'The rows of the view wa_error_codes.';

CREATE VIEW @extschema@.wa_error_codes AS
    SELECT code, title, class, pause, max_retries, opts_out, remedy
    FROM @extschema@.wa_internal_error_codes();
COMMENT ON VIEW @extschema@.wa_error_codes IS
'The known error codes of the Cloud API: what each means, what happens to the message, and what to do.';
COMMENT ON COLUMN @extschema@.wa_error_codes.code IS 'Graph API error code.';
COMMENT ON COLUMN @extschema@.wa_error_codes.title IS 'What it means, in short.';
COMMENT ON COLUMN @extschema@.wa_error_codes.class IS
'permanent: the message fails. retry: again later. throttle_number, throttle_pair: slowed down. pause_account_short, '
'pause_account, pause_number, pause_template: what it names waits. not_applicable: not of sending.';
COMMENT ON COLUMN @extschema@.wa_error_codes.pause IS
'How long the throttle or pause lasts, or the minimum delay before a retry; NULL: until an event ends it, or as '
'configured.';
COMMENT ON COLUMN @extschema@.wa_error_codes.max_retries IS
'How often a message is retried after this code; NULL: whatsapp_shared.max_attempts decides.';
COMMENT ON COLUMN @extschema@.wa_error_codes.opts_out IS
'Whether the code records that the recipient wants no more marketing.';
COMMENT ON COLUMN @extschema@.wa_error_codes.remedy IS 'What to do.';

CREATE VIEW @extschema@.wa_reason_codes (reason, meaning, remedy) AS
VALUES
    /* the end, or on its way to it */
    ('accepted', 'Meta has accepted the message; no delivery status has come yet.',
     'Usually none: the recipient''s phone may be off. '
     'If no message gets a status, check that webhooks arrive (wa_health).'),
    ('held_for_quality_assessment', 'Meta has accepted the message and holds it while it assesses the template.',
     'None: Meta releases or rejects it, usually within an hour.'),
    ('sent', 'The message has left Meta''s servers and has not reached the recipient''s phone yet.',
     'None: the recipient''s phone is off or has no connection.'),
    ('delivered', 'The message has reached the recipient''s phone.', 'None.'),
    ('read', 'The recipient has read the message.', 'None.'),
    ('failed', 'The message could not be delivered.', 'Fix the cause, then wa_retry_message().'),
    ('cancelled', 'The message was cancelled before it was sent.', 'wa_retry_message() sends it after all.'),
    ('expired', 'The message was not sent before its expiry.',
     'wa_retry_message() sends it after all; a later expires_at leaves more time.'),
    ('opted_out', 'The recipient has opted out of messages of this kind from the tenant.',
     'None, unless the recipient has agreed again: wa_opt_in().'),

    /* in doubt */
    ('on_the_wire', 'The message is being sent now.', 'None: waiting for Meta''s response.'),
    ('uncertain', 'The message was sent but no response came back: it may or may not have been accepted.',
     'None: a webhook settles it, or the policy after the grace period. wa_resolve_message() decides at once.'),
    ('takeover',
     'This server was promoted, and its former primary may have sent the message without this server knowing it.',
     'None: a webhook settles it, or the policy after whatsapp_shared.takeover_grace. wa_resolve_message() decides at '
     'once.'),
    ('parked',
     'The message may or may not have been accepted, no webhook says so, and the policy is to wait for an operator.',
     'Ask the recipient or check WhatsApp Manager, then wa_resolve_message().'),
    ('not_queued', 'The message waits but is not in the queue.',
     'This should not happen: use wa_cancel_message() or wa_retry_message(), and please report it.'),

    /* nothing is sent at all */
    ('standby', 'This server is a standby; messages are sent from the primary.', 'None.'),
    ('not_preloaded', 'The server was started without the library.',
     'Add whatsapp_shared to shared_preload_libraries and restart the server.'),
    ('ownership', 'Others could put code of their own in the place of the extension''s, so none of it is run.',
     'wa_health() says who, and how to end it.'),
    ('clone_not_adopted', 'This database is a copy of another installation, and copies do not send.',
     'If messages are to be sent from here now, and not from the original: SELECT wa_adopt();'),
    ('sending_disabled', 'Sending is switched off on this server.',
     'ALTER SYSTEM SET whatsapp_shared.enabled = on; SELECT pg_reload_conf();'),
    ('credentials_missing', 'The server has no access token.',
     'Put a system-user token into whatsapp_shared.access_token_file and reload the server.'),
    ('database_not_listed', 'No sender serves this database.',
     'Add it to whatsapp_shared.databases and reload the server.'),
    ('sender_not_running', 'The sender of this database is not running.',
     'See the server''s log; it restarts by itself unless the server has run out of worker processes '
     '(max_worker_processes).'),

    /* stopped by a person or by an event */
    ('account_paused', 'Sending is paused for the whole account.', 'wa_resume(''account'') when the cause has gone.'),
    ('tenant_disabled', 'WhatsApp is switched off for the tenant.', 'wa_configure_tenant(…, enabled => true)'),
    ('no_number', 'The tenant has no phone number.', 'wa_assign_phone()'),
    ('media_upload', 'The message waits until its file is uploaded.',
     'See the file''s row in whatsapp_media; wa_upload_media() with the same bytes starts over.'),
    ('tenant_paused', 'Sending is paused for the tenant.', 'wa_resume(''tenant'', …) when the cause has gone.'),
    ('number_paused', 'Sending is paused for the number.', 'wa_resume(''number'', …) when the cause has gone.'),
    ('thread_taken', 'Another application has the conversation with the recipient.',
     'None: it is sent when the conversation is given back, or the recipient writes to this application. '
     'wa_configure_tenant(…, on_thread => ''take_over'') sends it, and takes the conversation over.'),
    ('template_paused', 'Sending is paused for the template.', 'wa_resume(''template'', …) when the cause has gone.'),

    /* a matter of time */
    ('window_closed',
     'The recipient last wrote to the number more than 24 hours ago, and only templates may be sent now.',
     'None, or send a template with wa_enqueue_message(). fallback_template names one for the next time.'),
    ('expiring', 'The message has passed its expiry and will be marked as expired.', 'None.'),
    ('scheduled', 'The message is not due yet.', 'None.'),
    ('quiet_hours', 'The tenant''s quiet hours are in effect.',
     'None; messages with priority 100 or more are sent in quiet hours too.'),
    ('retry', 'The last attempt failed with a temporary error; another one follows.', 'None.'),
    ('network', 'Meta does not answer; it is tried again and again.',
     'None, if it is one number. If it is all, and lasts, check the server''s connection to graph.facebook.com '
     '(name resolution, certificates, proxy, firewall).'),
    ('pair_rate', 'WhatsApp allows one message in 6 seconds to one recipient, after a burst of 45.', 'None.'),
    ('tenant_rate', 'The tenant''s own rate is used up for the moment.',
     'None, or wa_configure_tenant(…, messages_per_second => …).'),
    ('recipient_order', 'An earlier message to the same recipient is not settled yet; the order is kept.', 'None.'),
    ('budget', 'The tenant''s share of the account''s limit of recipients in 24 hours is used up.',
     'None: capacity frees up by itself. wa_configure_tenant(…, daily_share => …) guarantees a tenant its share.'),
    ('number_throttled', 'Meta has asked for a pause in the requests of the number.', 'None.'),
    ('number_rate', 'The number''s rate is used up for the moment.', 'None.'),
    ('concurrency_limit', 'As many requests are open as are allowed; the next response makes room.',
     'If it lasts, Meta''s responses are slow: whatsapp_shared.request_timeout bounds the wait, and '
     'whatsapp_shared.max_in_flight the number of open requests.'),
    ('next', 'Nothing holds the message back: it is about to be sent.', 'None.');
COMMENT ON VIEW @extschema@.wa_reason_codes IS
'Every reason code of wa_explain(), with its meaning and what to do.';
COMMENT ON COLUMN @extschema@.wa_reason_codes.reason IS 'The code.';
COMMENT ON COLUMN @extschema@.wa_reason_codes.meaning IS 'What it means.';
COMMENT ON COLUMN @extschema@.wa_reason_codes.remedy IS 'What to do.';

/* The name of the reason why nothing at all is sent; NULL if nothing is in the way. */
CREATE FUNCTION @extschema@.wa_internal_global_obstacle() RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE
        WHEN pg_is_in_recovery() THEN 'standby'
        WHEN NOT @extschema@.wa_internal_preloaded() THEN 'not_preloaded'
        WHEN NOT @extschema@.wa_internal_at_home() THEN 'clone_not_adopted'
        WHEN NOT current_setting('whatsapp_shared.enabled')::boolean THEN 'sending_disabled'
        WHEN NOT @extschema@.wa_internal_credentials_present() THEN 'credentials_missing'
        WHEN NOT @extschema@.wa_internal_database_listed() THEN 'database_not_listed'
        WHEN NOT @extschema@.wa_internal_sender_running() THEN 'sender_not_running'
        END;
END
$$;

/* As SplitIdentifierString reads the setting: lower case unless quoted. */
CREATE FUNCTION @extschema@.wa_internal_listed_databases() RETURNS SETOF text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN e.name LIKE '"%' THEN replace(substr(e.name, 2, length(e.name) - 2), '""', '"')
                ELSE lower(e.name) END
    FROM (SELECT btrim(s) FROM string_to_table(current_setting('whatsapp_shared.databases', true), ',') AS s)
        AS e (name)
    WHERE e.name <> ''
$$;

CREATE FUNCTION @extschema@.wa_internal_database_listed() RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT current_database() IN (SELECT l.name FROM @extschema@.wa_internal_listed_databases() AS l (name))
$$;

/* pg_stat_activity shows the senders to superusers only. */
CREATE FUNCTION @extschema@.wa_internal_sender_running() RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM @extschema@.wa_stats() AS s WHERE s.pid IS NOT NULL)
$$;

/*
 * The sender of this number, if it is not running; NULL if it is, or if that is
 * not known.  The numbers are shared out over the senders of a database.
 */
CREATE FUNCTION @extschema@.wa_internal_absent_sender(number text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('sender %s of %s, which sends from number %s', o.sender, o.senders, number)
    FROM (SELECT @extschema@.wa_internal_sender_of(number, max(s.senders)), max(s.senders),
                 array_agg(s.sender) FILTER (WHERE s.pid IS NOT NULL)
          FROM @extschema@.wa_stats() AS s) AS o (sender, senders, running)
    WHERE o.senders IS NOT NULL AND o.sender <> ALL (COALESCE(o.running, '{}'))
$$;

/* If that is why a database has no sender: the server has no process for one. */
CREATE FUNCTION @extschema@.wa_internal_no_room() RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('the server has room for %s of %s senders', r.room, r.wanted)
        || COALESCE(format('; max_worker_processes must be %s at least', r.processes), '')
    FROM @extschema@.wa_internal_sender_room() AS r
    WHERE r.wanted IS NOT NULL
$$;

/* ---- a message that is not in the queue --------------------------------------- */

CREATE FUNCTION @extschema@.wa_internal_explain_end(
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
$$;

/* ---- a message in the queue --------------------------------------------------- */

/* The pause that concerns the message, the widest scope first. */
CREATE FUNCTION @extschema@.wa_internal_pause_of(
    m @extschema@.whatsapp_messages, number text) RETURNS @extschema@.whatsapp_pauses
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.* FROM @extschema@.whatsapp_pauses AS p
    WHERE (p.until IS NULL OR p.until > clock_timestamp())
        AND (p.scope = 'account'
            OR p.scope = 'tenant' AND p.key = m.tenant_id
            OR p.scope = 'number' AND p.key = number
            OR p.scope = 'template' AND p.key IN (m.template_name, m.template_name || '/' || m.template_language))
    ORDER BY array_position('{account,tenant,number,template}'::text[], p.scope), p.until DESC NULLS FIRST
    LIMIT 1
$$;

/*
 * A message of a tenant without a number, written for the default number, which
 * another tenant has got since: the sender will hold it, and may not have come
 * to it yet.
 */
CREATE FUNCTION @extschema@.wa_internal_loses_number(tenant text, number text) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM @extschema@.whatsapp_phone_assignments AS a
                   WHERE a.phone_number_id = number AND a.tenant_id <> tenant AND a.unassigned_at IS NULL)
        AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_phone_assignments AS a
                        WHERE a.tenant_id = tenant AND a.unassigned_at IS NULL)
$$;

/* What only a person or an event can remove; no row if nothing of the kind is in the way. */
CREATE FUNCTION @extschema@.wa_internal_explain_obstacle(
    m @extschema@.whatsapp_messages,
    q @extschema@.whatsapp_queue,
    OUT reason text,
    OUT detail text,
    OUT earliest timestamptz)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    pause @extschema@.whatsapp_pauses := @extschema@.wa_internal_pause_of(m, q.phone_number_id);
    enabled boolean := EXISTS (SELECT FROM @extschema@.whatsapp_tenants AS t
                               WHERE t.tenant_id = m.tenant_id AND t.enabled);
BEGIN
    reason := @extschema@.wa_internal_global_obstacle();
    IF reason IS NOT NULL THEN
        IF reason = 'clone_not_adopted' THEN
            detail := @extschema@.wa_internal_home_doubt();
            detail := lower(left(detail, 1)) || rtrim(substr(detail, 2), '.');
        ELSIF reason = 'sender_not_running' THEN
            detail := @extschema@.wa_internal_no_room();
        END IF;
        RETURN;
    END IF;
    detail := @extschema@.wa_internal_absent_sender(q.phone_number_id);
    IF detail IS NOT NULL THEN
        reason := 'sender_not_running';
    ELSIF pause.scope IS DISTINCT FROM 'account' AND NOT enabled THEN
        reason := 'tenant_disabled';
    ELSIF pause.scope IS DISTINCT FROM 'account'
        AND (q.phone_number_id IS NULL OR @extschema@.wa_internal_loses_number(m.tenant_id, q.phone_number_id)) THEN
        reason := 'no_number';
        detail := concat_ws('; ', format('the messages of tenant "%s" wait until it has one', m.tenant_id),
                                       @extschema@.wa_internal_default_number_taken());
    ELSIF pause.scope IS NOT NULL THEN
        reason := pause.scope || '_paused';
        detail := concat_ws(', ', concat_ws(': ', pause.reason, pause.detail),
                                       'until ' || date_trunc('second', pause.until)::text);
        earliest := CASE WHEN pause.until IS NOT NULL THEN GREATEST(pause.until, q.due_at) END;
    END IF;
END
$$;

/* An uncertain message: until when a webhook is awaited, and what follows. */
CREATE FUNCTION @extschema@.wa_internal_explain_uncertain(
    m @extschema@.whatsapp_messages,
    q @extschema@.whatsapp_queue,
    OUT reason text,
    OUT detail text,
    OUT earliest timestamptz)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    policy CONSTANT text := COALESCE(m.on_uncertain,
        (SELECT t.on_uncertain FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = m.tenant_id),
        current_setting('whatsapp_shared.uncertain_policy', true));
BEGIN
    IF q.due_at = 'infinity' THEN
        reason := 'parked';
        RETURN;
    END IF;
    reason := CASE WHEN q.hold_reason = 'takeover' THEN 'takeover' ELSE 'uncertain' END;
    earliest := q.due_at;
    detail := format('if no webhook comes by %s, %s', date_trunc('second', q.due_at), CASE policy
        WHEN 'resend' THEN 'it is sent again'
        WHEN 'park' THEN 'it waits for an operator'
        WHEN 'fail' THEN 'it is given up'
        ELSE 'it is sent again if the reports of other messages show that Meta does not have it, and waits for an '
            'operator if not' END);
END
$$;

/* The last thing that went wrong with a message that is tried again. */
CREATE FUNCTION @extschema@.wa_internal_last_error(id bigint) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat_ws(': ', format('attempt %s', a.attempt), NULLIF(a.error_code, 0)::text, a.error_message)
    FROM @extschema@.whatsapp_attempts AS a
    WHERE a.message_id = id
    ORDER BY a.ended_at DESC
    LIMIT 1
$$;

/*
 * Until when Meta has asked for a pause in the requests of a number; NULL: it has
 * not.  What was refused with that is deferred to its end.
 */
CREATE FUNCTION @extschema@.wa_internal_throttled_until(number text) RETURNS timestamptz
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT max(q.due_at) FROM @extschema@.whatsapp_queue AS q
    WHERE q.phone_number_id = number AND q.state = 'd' AND q.hold_reason = 'number_rate'
        AND q.due_at > clock_timestamp()
$$;

/*
 * What is wrong with the requests of a number, or with those of all; NULL: they are
 * answered.  The sender says so by an alert once it has lasted for two seconds.
 */
CREATE FUNCTION @extschema@.wa_internal_trouble_of(number text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('since %s: %s', date_trunc('second', a.created_at), lower(left(a.message, 1)) || substr(a.message, 2))
    FROM @extschema@.whatsapp_alerts AS a
    WHERE a.kind = 'network' AND a.resolved_at IS NULL
        AND (a.scope = 'account' OR a.scope = 'number' AND a.key = number)
    ORDER BY a.scope
    LIMIT 1
$$;

/*
 * How many requests the sender of this number has open, if it begins no other; NULL
 * if it may.  128 is where its limit begins, which follows the responses.
 */
CREATE FUNCTION @extschema@.wa_internal_requests_at_limit(number text) RETURNS integer
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.in_flight FROM @extschema@.wa_stats() AS s
    WHERE s.sender = @extschema@.wa_internal_sender_of(number, s.senders)
        AND s.in_flight >= LEAST(128, current_setting('whatsapp_shared.max_in_flight')::integer)
$$;

/* When a number has last sent something; among the newest messages only, for history may be large. */
CREATE FUNCTION @extschema@.wa_internal_last_sent(number text) RETURNS timestamptz
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT max(m.accepted_at) FROM (
        SELECT o.accepted_at, o.phone_number_id FROM @extschema@.whatsapp_messages AS o
        ORDER BY o.id DESC LIMIT 1000) AS m
    WHERE m.phone_number_id = number
$$;

/* A ready message: what the number waits for, how many come first, and how long they take. */
CREATE FUNCTION @extschema@.wa_internal_explain_ready(
    m @extschema@.whatsapp_messages,
    q @extschema@.whatsapp_queue,
    OUT reason text,
    OUT detail text,
    OUT earliest timestamptz)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    enough CONSTANT integer := 100000;
    forms CONSTANT text[] := @extschema@.wa_internal_addresses(m);
    throttled_until CONSTANT timestamptz := @extschema@.wa_internal_throttled_until(q.phone_number_id);
    trouble CONSTANT text := @extschema@.wa_internal_trouble_of(q.phone_number_id);
    open_requests CONSTANT integer := @extschema@.wa_internal_requests_at_limit(q.phone_number_id);
    ahead integer;
    rate real;
    lowered text;
    next_token timestamptz;
BEGIN
    IF EXISTS (
        SELECT FROM @extschema@.wa_internal_on_wire_requests AS w
            JOIN @extschema@.whatsapp_messages AS other ON other.id = w.message_id
        WHERE w.phone_number_id = q.phone_number_id
            AND COALESCE(other.recipient_phone, other.recipient_user_id) = ANY (forms)) THEN
        reason := 'recipient_order';
        RETURN;
    END IF;

    SELECT count(*) INTO ahead FROM (
        SELECT FROM @extschema@.whatsapp_queue AS o
        WHERE o.phone_number_id = q.phone_number_id AND o.state = 'r'
            AND (o.rank, o.message_id) < (q.rank, q.message_id)
        LIMIT enough) AS o;
    SELECT @extschema@.wa_internal_number_rate(
                p.messages_per_second, p.throughput_level, p.is_on_biz_app, p.rate_factor),
            CASE WHEN p.rate_factor < 1 THEN format(', lowered to %s because of %s',
                trim_scale(p.rate_factor::numeric * 100) || '%', p.rate_reason) ELSE '' END
        INTO rate, lowered
        FROM (VALUES (q.phone_number_id)) AS n (id)
            LEFT JOIN @extschema@.whatsapp_phone_numbers AS p ON p.phone_number_id = n.id;
    /* At one a second or more, the last one is no obstacle that anybody could see. */
    next_token := CASE WHEN rate < 1
        THEN @extschema@.wa_internal_last_sent(q.phone_number_id) + make_interval(secs => 1 / rate) END;
    earliest := GREATEST(clock_timestamp(), next_token, throttled_until)
        + make_interval(secs => ahead / rate);
    IF throttled_until IS NOT NULL THEN
        reason := 'number_throttled';
        detail := format('until %s', date_trunc('second', throttled_until));
    ELSIF trouble IS NOT NULL THEN
        reason := 'network';
        detail := trouble;
        earliest := NULL;
    ELSIF open_requests IS NOT NULL THEN
        reason := 'concurrency_limit';
        detail := format('%s are open', open_requests);
    ELSIF ahead < rate AND COALESCE(next_token <= clock_timestamp(), true) THEN
        reason := 'next';
    ELSE
        reason := 'number_rate';
        detail := format('%s%s before it, at %s a second%s',
            CASE WHEN ahead = enough THEN 'at least ' END, ahead, rate, lowered);
    END IF;
END
$$;

/*
 * Whether the service window of a message that needs one has closed while it waited:
 * see src/sender/store/consent_rows.c.
 */
CREATE FUNCTION @extschema@.wa_internal_window_has_closed(
    m @extschema@.whatsapp_messages, number text) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT m.message_type <> 'template' AND number IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_windows AS w
            WHERE w.phone_number_id = number AND w.recipient = COALESCE(m.recipient_phone, m.recipient_user_id)
                AND w.last_inbound_at > clock_timestamp() - interval '24 hours')
        AND EXISTS (SELECT FROM @extschema@.whatsapp_windows)
$$;

/*
 * Whether a message waits because another application has the conversation: see
 * src/sender/store/consent_rows.c and src/sender/pace/gate.c.
 */
CREATE FUNCTION @extschema@.wa_internal_thread_stops(m @extschema@.whatsapp_messages, number text) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT m.message_type <> 'template'
        AND EXISTS (
            SELECT FROM @extschema@.whatsapp_windows AS w
            WHERE w.phone_number_id = number AND w.recipient = COALESCE(m.recipient_phone, m.recipient_user_id)
                AND w.last_inbound_at > clock_timestamp() - interval '24 hours'
                AND @extschema@.wa_internal_thread_is_taken(w.last_inbound_at, w.taken_at, w.passed_at))
        AND EXISTS (
            SELECT FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = m.tenant_id AND t.on_thread = 'hold')
$$;

/* What time alone will mend. */
CREATE FUNCTION @extschema@.wa_internal_explain_wait(
    m @extschema@.whatsapp_messages,
    q @extschema@.whatsapp_queue,
    OUT reason text,
    OUT detail text,
    OUT earliest timestamptz)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF q.expires_at <= clock_timestamp() THEN
        reason := 'expiring';
    ELSIF @extschema@.wa_internal_window_has_closed(m, q.phone_number_id) THEN
        reason := 'window_closed';
        earliest := GREATEST(q.due_at, clock_timestamp());
        detail := COALESCE(
            (SELECT format('it will be sent as template %s', f.template_name)
             FROM @extschema@.whatsapp_fallbacks AS f WHERE f.message_id = m.id),
            'it will fail at its turn, unless the recipient writes before');
    ELSIF @extschema@.wa_internal_thread_stops(m, q.phone_number_id) THEN
        reason := 'thread_taken';
        SELECT 'it has the role ' || NULLIF(@extschema@.wa_internal_thread_owner(q.phone_number_id, m.recipient_phone,
            m.recipient_user_id, clock_timestamp()), 'other') INTO detail;
    ELSIF q.state = 'r' OR q.state = 'd' AND q.due_at <= clock_timestamp() THEN
        SELECT e.* INTO reason, detail, earliest FROM @extschema@.wa_internal_explain_ready(m, q) AS e;
    ELSIF q.state = 'h' AND q.hold_reason = 'media_upload' THEN
        reason := q.hold_reason;
        SELECT concat_ws(', ', format('file %s', f.id), 'last attempt: ' || f.error),
               CASE f.status WHEN 'waiting' THEN GREATEST(q.due_at, f.next_attempt_at) END
            INTO detail, earliest
            FROM @extschema@.whatsapp_media_uses AS u
                JOIN @extschema@.whatsapp_media AS f ON f.id = u.medium
            WHERE u.message_id = m.id;
    ELSIF q.state = 'h' THEN
        reason := q.hold_reason;
        detail := 'this has just changed, and the sender will see it within a minute';
    ELSE
        reason := COALESCE(q.hold_reason, 'scheduled');
        earliest := q.due_at;
        IF reason IN ('retry', 'network') THEN
            detail := @extschema@.wa_internal_last_error(q.message_id);
        END IF;
    END IF;
END
$$;

/* ---- all of it ------------------------------------------------------------------ */

CREATE FUNCTION @extschema@.wa_internal_explain(
    m @extschema@.whatsapp_messages,
    OUT reason text,
    OUT detail text,
    OUT earliest timestamptz,
    OUT remedy text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    q @extschema@.whatsapp_queue;
    sent_at timestamptz;
BEGIN
    SELECT o.* INTO q FROM @extschema@.whatsapp_queue AS o WHERE o.message_id = m.id;
    IF NOT FOUND THEN
        SELECT e.reason, e.detail, e.remedy INTO reason, detail, remedy
            FROM @extschema@.wa_internal_explain_end(m) AS e;
        RETURN;
    END IF;
    SELECT max(w.claimed_at) INTO sent_at
        FROM @extschema@.wa_internal_on_wire_requests AS w WHERE w.message_id = m.id;
    IF sent_at IS NOT NULL THEN
        reason := 'on_the_wire';
        detail := format('since %s', date_trunc('second', sent_at));
        earliest := sent_at;
    ELSIF q.state = 'u' THEN
        SELECT e.* INTO reason, detail, earliest FROM @extschema@.wa_internal_explain_uncertain(m, q) AS e;
    ELSIF EXISTS (SELECT FROM @extschema@.wa_internal_opted_out(ARRAY[m.id])) THEN
        reason := 'opted_out';
        detail := 'it will be skipped';
    ELSE
        SELECT e.* INTO reason, detail, earliest FROM @extschema@.wa_internal_explain_obstacle(m, q) AS e;
        IF reason IS NULL THEN
            SELECT e.* INTO reason, detail, earliest FROM @extschema@.wa_internal_explain_wait(m, q) AS e;
        END IF;
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_explain(id bigint)
RETURNS TABLE (message_id bigint, status text, reason text, explanation text, earliest timestamptz, remedy text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m @extschema@.whatsapp_messages;
BEGIN
    PERFORM @extschema@.wa_internal_check_not_null('id'::text, id);
    SELECT o.* INTO m FROM @extschema@.whatsapp_messages AS o WHERE o.id = wa_explain.id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'message % does not exist', id
            USING ERRCODE = 'undefined_object',
                  HINT = 'Finished messages are removed after whatsapp_shared.retention.';
    END IF;
    PERFORM @extschema@.wa_internal_check_own_tenant(m.tenant_id);
    /* Before more is called that could be somebody else's. */
    IF m.status IN ('queued', 'sending')
        AND (SELECT f.problem FROM @extschema@.wa_internal_ownership_flaw() AS f) IS NOT NULL THEN
        RETURN QUERY
            SELECT m.id, m.status, r.reason, r.meaning, NULL::timestamptz, r.remedy
            FROM @extschema@.wa_reason_codes AS r WHERE r.reason = 'ownership';
        RETURN;
    END IF;
    RETURN QUERY
        SELECT m.id, m.status, e.reason,
               CASE WHEN e.detail IS NULL THEN r.meaning
                    ELSE format('%s (%s)', rtrim(r.meaning, '.'), e.detail) || '.' END
                   || CASE WHEN m.erased_at IS NULL THEN ''
                           ELSE ' Its content and its recipient have been erased.' END,
               e.earliest,
               CASE WHEN m.erased_at IS NULL THEN COALESCE(e.remedy, r.remedy)
                    ELSE 'None: it cannot be sent again.' END
        FROM @extschema@.wa_internal_explain(m) AS e
            LEFT JOIN @extschema@.wa_reason_codes AS r ON r.reason = e.reason;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_explain(bigint) IS
'Why the message has its status: a reason code (see wa_reason_codes), the reason in words, when it can be sent at '
'the earliest (NULL: unknown), and what to do.';

/* By whatever wa_find() takes. */
CREATE FUNCTION @extschema@.wa_explain(wanted text)
RETURNS TABLE (message_id bigint, status text, reason text, explanation text, earliest timestamptz, remedy text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
        SELECT e.* FROM @extschema@.wa_find(wanted, 20) AS f
            CROSS JOIN LATERAL @extschema@.wa_explain(f.id) AS e
        ORDER BY f.id DESC;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no message is known by "%"', @extschema@.wa_internal_quote(wanted)
            USING ERRCODE = 'undefined_object',
                  HINT = 'Finished messages are removed after whatsapp_shared.retention; wa_find() says what can be '
                      'given.';
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_explain(text) IS
'As wa_explain(bigint), for the newest 20 messages that wa_find() finds by this text. Errors: 22004, 22023, 42704 '
'nothing found.';
