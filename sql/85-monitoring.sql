/*
 * Views for people and for monitoring systems, what wa_health() checks of sending, and the
 * checklist wa_diagnose().  No view reads whatsapp_messages by status: history may be
 * large, and counting it is what makes a dashboard a burden.
 */

/* ---- numbers --------------------------------------------------------------- */

/*
 * One word for a number's health, the worst first:
 * missing, blocked, paused, unreachable, at_risk, degraded, unknown, ok.
 */
CREATE FUNCTION @extschema@.wa_internal_number_health(
    status text, quality_rating text, missing boolean, paused boolean, unreachable boolean) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    /* Parsed now, and part of the view's own plan: it is asked for each of 10,000 numbers. */
    RETURN CASE
        WHEN missing THEN 'missing'
        WHEN status IN ('BANNED', 'DELETED', 'DISCONNECTED', 'MIGRATED', 'UNVERIFIED', 'PENDING', 'OFFLINE')
            THEN 'blocked'
        WHEN paused THEN 'paused'
        WHEN unreachable THEN 'unreachable'
        WHEN status IN ('FLAGGED', 'RESTRICTED') OR quality_rating = 'RED' THEN 'at_risk'
        WHEN status = 'RATE_LIMITED' OR quality_rating = 'YELLOW' THEN 'degraded'
        WHEN status IS NULL OR status <> 'CONNECTED' THEN 'unknown'
        ELSE 'ok' END;

/*
 * Messages per second at best: the operator's figure, Meta's level, or the setting, within
 * what a number may send that is also in the app, lowered by damage control.
 */
CREATE FUNCTION @extschema@.wa_internal_number_rate(
    own real, throughput_level text, is_on_biz_app boolean, factor real) RETURNS real
    LANGUAGE sql STABLE
    RETURN COALESCE(factor, 1) * LEAST(COALESCE(own, CASE throughput_level WHEN 'HIGH' THEN 1000 END,
        pg_catalog.current_setting('whatsapp_shared.messages_per_second', true)::real, 80),
        CASE WHEN is_on_biz_app THEN 20 END);

CREATE VIEW @extschema@.wa_number_status AS
SELECT p.phone_number_id,
       p.display_phone_number,
       p.verified_name,
       a.tenant_id,
       a.assigned_at,
       @extschema@.wa_internal_number_health(p.status, p.quality_rating,
           p.missing_since IS NOT NULL, x.scope IS NOT NULL, t.alert_id IS NOT NULL) AS health,
       p.status,
       p.quality_rating,
       p.name_status,
       p.throughput_level,
       p.messaging_limit,
       @extschema@.wa_internal_number_rate(
           p.messages_per_second, p.throughput_level, p.is_on_biz_app, p.rate_factor)
           AS messages_per_second,
       p.rate_reason,
       x.reason AS pause_reason,
       x.until AS paused_until,
       w.last_webhook_at,
       p.synced_at,
       p.missing_since,
       t.message AS trouble
FROM @extschema@.whatsapp_phone_numbers AS p
    LEFT JOIN @extschema@.whatsapp_phone_assignments AS a
        ON a.phone_number_id = p.phone_number_id AND a.unassigned_at IS NULL
    LEFT JOIN @extschema@.whatsapp_pauses AS x
        ON x.scope = 'number' AND x.key = p.phone_number_id
    LEFT JOIN @extschema@.whatsapp_webhook_traffic AS w
        ON w.phone_number_id = p.phone_number_id
    LEFT JOIN @extschema@.whatsapp_alerts AS t
        ON t.kind = 'network' AND t.scope = 'number' AND t.key = p.phone_number_id AND t.resolved_at IS NULL;
COMMENT ON VIEW @extschema@.wa_number_status IS
'Every number: its tenant, what Meta reports about it, and its health in one word: ok, unknown (not read from Meta '
'yet), degraded, at_risk, unreachable (its requests are not answered), paused, blocked or missing.';
COMMENT ON COLUMN @extschema@.wa_number_status.phone_number_id IS 'Meta''s ID of the number.';
COMMENT ON COLUMN @extschema@.wa_number_status.display_phone_number IS 'The phone number as people write it.';
COMMENT ON COLUMN @extschema@.wa_number_status.verified_name IS 'The display name that recipients see.';
COMMENT ON COLUMN @extschema@.wa_number_status.tenant_id IS
'The tenant that has the number; NULL: it is free, or the default number.';
COMMENT ON COLUMN @extschema@.wa_number_status.assigned_at IS 'Since when the tenant has it.';
COMMENT ON COLUMN @extschema@.wa_number_status.health IS
'ok, unknown, degraded, at_risk, unreachable, paused, blocked or missing.';
COMMENT ON COLUMN @extschema@.wa_number_status.status IS 'Meta''s status.';
COMMENT ON COLUMN @extschema@.wa_number_status.quality_rating IS 'Meta''s rating: GREEN, YELLOW, RED or UNKNOWN.';
COMMENT ON COLUMN @extschema@.wa_number_status.name_status IS 'Whether Meta has approved the display name.';
COMMENT ON COLUMN @extschema@.wa_number_status.throughput_level IS 'Meta''s throughput level: STANDARD or HIGH.';
COMMENT ON COLUMN @extschema@.wa_number_status.messaging_limit IS
'The portfolio''s limit of unique recipients in 24 hours, as Meta reports it.';
COMMENT ON COLUMN @extschema@.wa_number_status.messages_per_second IS
'The highest rate at which messages are sent from it now.';
COMMENT ON COLUMN @extschema@.wa_number_status.rate_reason IS 'Why the rate is lowered; NULL: it is not.';
COMMENT ON COLUMN @extschema@.wa_number_status.pause_reason IS 'Why the number is paused; NULL: it is not.';
COMMENT ON COLUMN @extschema@.wa_number_status.paused_until IS
'When the pause ends by itself; NULL: by wa_resume(), or when its cause has gone.';
COMMENT ON COLUMN @extschema@.wa_number_status.last_webhook_at IS 'When the last webhook about it was received.';
COMMENT ON COLUMN @extschema@.wa_number_status.synced_at IS 'When it was last read from Meta.';
COMMENT ON COLUMN @extschema@.wa_number_status.missing_since IS 'Since when Meta no longer lists it.';
COMMENT ON COLUMN @extschema@.wa_number_status.trouble IS
'What happens to its requests while those of other numbers are answered; NULL: nothing of the kind.';

/* ---- tenants ---------------------------------------------------------------- */

CREATE VIEW @extschema@.wa_tenant_status AS
SELECT t.tenant_id,
       t.enabled AS whatsapp_enabled,
       n.phone_number_id,
       n.display_phone_number,
       n.verified_name,
       n.assigned_at,
       CASE WHEN NOT t.enabled THEN 'disabled'
            WHEN x.scope IS NOT NULL THEN 'paused'
            WHEN n.phone_number_id IS NULL AND d.default_number IS NULL THEN 'no_number'
            WHEN n.health IN ('missing', 'blocked', 'paused', 'unreachable') THEN 'number_' || n.health
            ELSE 'ready' END AS status,
       n.health AS number_health,
       n.quality_rating,
       COALESCE(t.language, pg_catalog.current_setting('whatsapp_shared.default_language', true)) AS language,
       t.messages_per_second,
       t.quiet_from,
       t.quiet_to,
       t.time_zone,
       COALESCE(x.reason, n.pause_reason) AS pause_reason,
       COALESCE(x.until, n.paused_until) AS paused_until,
       m.last_message_at,
       t.created_at,
       m.last_message_status
FROM @extschema@.whatsapp_tenants AS t
    LEFT JOIN @extschema@.wa_number_status AS n ON n.tenant_id = t.tenant_id
    LEFT JOIN @extschema@.whatsapp_pauses AS x ON x.scope = 'tenant' AND x.key = t.tenant_id
    LEFT JOIN LATERAL (
        SELECT m.created_at AS last_message_at, m.status AS last_message_status FROM @extschema@.whatsapp_messages AS m
        WHERE m.tenant_id = t.tenant_id ORDER BY m.created_at DESC LIMIT 1) AS m ON true
    CROSS JOIN LATERAL (
        SELECT pg_catalog.max(s.number) AS default_number
        FROM pg_catalog.current_setting('whatsapp_shared.phone_number_id', true) AS s (number)
        WHERE s.number <> '' AND NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_phone_assignments AS a
            WHERE a.phone_number_id = s.number AND a.unassigned_at IS NULL)) AS d;
COMMENT ON VIEW @extschema@.wa_tenant_status IS
'Every tenant with its number. status: ready, disabled, paused, no_number, or number_ and the health of a number '
'that cannot send.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.tenant_id IS 'The tenant.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.whatsapp_enabled IS 'False: new messages are skipped.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.phone_number_id IS 'The tenant''s own number; NULL: it has none.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.display_phone_number IS 'The phone number as people write it.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.verified_name IS 'The display name that recipients see.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.assigned_at IS 'Since when the tenant has the number.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.status IS
'ready, disabled, paused, no_number, or number_ and the health of a number that cannot send.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.number_health IS 'The number''s health; see wa_number_status.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.quality_rating IS 'Meta''s rating of the number.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.language IS 'Template language for messages that name none.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.messages_per_second IS
'The tenant''s own rate limit; NULL: that of its number.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.quiet_from IS 'Local time at which quiet hours begin.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.quiet_to IS 'Local time at which quiet hours end.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.time_zone IS
'Time zone of the quiet hours; NULL: the server''s log_timezone.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.pause_reason IS 'Why the tenant, or its number, is paused.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.paused_until IS 'When the pause ends by itself.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.last_message_at IS 'When the tenant last enqueued a message.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.created_at IS 'When the tenant was created.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.last_message_status IS 'The status of its last message.';

/* ---- the queue --------------------------------------------------------------- */

/*
 * Numbers from which nothing may leave, with the reason code: that of their tenant, or
 * their own.  What the senders make of the same facts: sender/config.c.
 */
CREATE VIEW @extschema@.wa_internal_stopped_numbers AS
SELECT DISTINCT ON (s.phone_number_id) s.phone_number_id, s.reason
FROM (SELECT a.phone_number_id, 1 AS rank, 'tenant_disabled' AS reason
      FROM @extschema@.whatsapp_tenants AS t
          JOIN @extschema@.whatsapp_phone_assignments AS a ON a.tenant_id = t.tenant_id AND a.unassigned_at IS NULL
      WHERE NOT t.enabled
      UNION ALL
      SELECT a.phone_number_id, 2, 'tenant_paused'
      FROM @extschema@.whatsapp_pauses AS p
          JOIN @extschema@.whatsapp_phone_assignments AS a ON a.tenant_id = p.key AND a.unassigned_at IS NULL
      WHERE p.scope = 'tenant' AND (p.until IS NULL OR p.until > pg_catalog.clock_timestamp())
      UNION ALL
      SELECT n.phone_number_id, 3, 'number_paused'
      FROM @extschema@.whatsapp_pauses AS p
          JOIN @extschema@.whatsapp_phone_numbers AS n ON n.phone_number_id = p.key
      WHERE p.scope = 'number' AND (p.until IS NULL OR p.until > pg_catalog.clock_timestamp())) AS s
ORDER BY s.phone_number_id, s.rank;
COMMENT ON VIEW @extschema@.wa_internal_stopped_numbers IS
'Numbers from which nothing may leave, because they or their tenants are paused or switched off, with the reason code. '
'Internal.';

/*
 * A ready row of a number that is stopped is shown as what it is, held: nothing is
 * written to it for the sake of a pause, and no sender reads it.
 */
CREATE VIEW @extschema@.wa_queue_status AS
SELECT q.phone_number_id,
       CASE q.state WHEN 'r' THEN 'ready' WHEN 'd' THEN 'deferred' WHEN 'h' THEN 'held'
                    ELSE 'uncertain' END AS state,
       q.hold_reason AS reason,
       q.messages,
       (SELECT m.created_at FROM @extschema@.whatsapp_messages AS m WHERE m.id = q.oldest_id) AS oldest_created_at,
       NULLIF(q.next_due_at, 'infinity') AS next_due_at
FROM (SELECT o.phone_number_id,
             CASE WHEN s.reason IS NULL THEN o.state ELSE 'h'::"char" END AS state,
             COALESCE(s.reason, o.hold_reason) AS hold_reason,
             pg_catalog.sum(o.messages)::bigint AS messages,
             pg_catalog.min(o.oldest_id) AS oldest_id,
             pg_catalog.min(o.next_due_at) AS next_due_at
      FROM (SELECT r.phone_number_id, r.state, r.hold_reason,
                   pg_catalog.count(*) AS messages,
                   pg_catalog.min(r.message_id) AS oldest_id,
                   pg_catalog.min(r.due_at) FILTER (WHERE r.state IN ('d', 'u')) AS next_due_at
            FROM @extschema@.whatsapp_queue AS r
            GROUP BY r.phone_number_id, r.state, r.hold_reason) AS o
          LEFT JOIN @extschema@.wa_internal_stopped_numbers AS s
              ON s.phone_number_id = o.phone_number_id AND o.state = 'r'
      GROUP BY 1, 2, 3) AS q;
COMMENT ON VIEW @extschema@.wa_queue_status IS
'Waiting messages by number, state and reason: how many, since when the oldest waits, and when the next is due.';
COMMENT ON COLUMN @extschema@.wa_queue_status.phone_number_id IS 'The number; NULL: the tenants have none.';
COMMENT ON COLUMN @extschema@.wa_queue_status.state IS 'ready, deferred, held or uncertain.';
COMMENT ON COLUMN @extschema@.wa_queue_status.reason IS 'Reason code; see wa_reason_codes.';
COMMENT ON COLUMN @extschema@.wa_queue_status.messages IS 'How many messages wait.';
COMMENT ON COLUMN @extschema@.wa_queue_status.oldest_created_at IS 'When the oldest of them was enqueued.';
COMMENT ON COLUMN @extschema@.wa_queue_status.next_due_at IS 'When the next one becomes due.';

/* ---- the installation -------------------------------------------------------- */

/*
 * wa_health() and wa_diagnose(): every condition for sending, checked, one row
 * each: ok, warning or error, what was found, and what to do about it.  wa_health()
 * itself, and what it checks besides, is in 86-health-checks.sql.
 */

/* While there is something wrong with this, nothing else may be asked: see src/base/ownership.c. */
CREATE FUNCTION @extschema@.wa_internal_health_ownership()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'sending', 'error', r.meaning, r.remedy
    FROM @extschema@.wa_internal_ownership_flaw() AS f, @extschema@.wa_reason_codes AS r
    WHERE f.problem IS NOT NULL AND r.reason = 'ownership'
    UNION ALL
    SELECT 'ownership', CASE WHEN f.problem IS NULL THEN 'ok' ELSE 'error' END,
           COALESCE(upper(left(f.problem, 1)) || substr(f.problem, 2) || '.',
               'Nobody else can change the extension''s objects.'), f.remedy
    FROM @extschema@.wa_internal_ownership_flaw() AS f
$$;

CREATE FUNCTION @extschema@.wa_internal_health_processes()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    obstacle CONSTANT text := @extschema@.wa_internal_global_obstacle();
BEGIN
    RETURN QUERY
        SELECT 'sending',
               CASE WHEN obstacle IS NULL THEN 'ok' WHEN obstacle = 'standby' THEN 'warning' ELSE 'error' END,
               CASE WHEN obstacle IS NULL THEN 'A sender serves this database.'
                    ELSE concat_ws(' ', r.meaning,
                        CASE obstacle WHEN 'clone_not_adopted' THEN @extschema@.wa_internal_home_doubt() END) END,
               r.remedy
        FROM (VALUES (obstacle)) AS o (reason)
            LEFT JOIN @extschema@.wa_reason_codes AS r ON r.reason = o.reason;
    RETURN QUERY
        SELECT 'version', CASE WHEN v.served THEN 'ok' ELSE 'error' END,
               CASE WHEN v.served
                    THEN format('The library is of version %s, the scripts of this database are of version %s.',
                        v.library, v.scripts)
                    ELSE format('The library is of version %s and does not serve the scripts of this database, '
                                'which are of version %s: nothing is sent.', v.library, v.scripts) END,
               CASE WHEN NOT v.served
                    THEN 'ALTER EXTENSION whatsapp_shared UPDATE; or install the library of that version and restart '
                         'the server.' END
        FROM (SELECT @extschema@.wa_internal_version_served(e.extversion) AS served,
                     @extschema@.wa_internal_library_version() AS library,
                     @extschema@.wa_internal_quote(e.extversion) AS scripts
              FROM pg_extension AS e WHERE e.extname = 'whatsapp_shared') AS v;
    RETURN QUERY
        SELECT 'sender ' || s.sender,
               CASE WHEN s.pid IS NULL OR s.errors > 0 THEN 'warning' ELSE 'ok' END,
               CASE WHEN s.pid IS NULL THEN 'Not running at the moment.'
                    ELSE format('Process %s: %s accepted, %s failed, %s on the wire, %s cycles ended in an error.',
                        s.pid, s.accepted, s.failed, s.in_flight, s.errors) END,
               CASE WHEN s.pid IS NULL OR s.errors > 0 THEN 'See the server''s log.' END
        FROM @extschema@.wa_stats() AS s
        ORDER BY s.sender;
    RETURN QUERY
        SELECT 'senders', 'error',
               format('There is room for %s of the %s senders of this server; the numbers are shared out over these.',
                   r.room, r.wanted),
               CASE WHEN r.processes IS NULL
                    THEN 'Lower whatsapp_shared.senders, or shorten whatsapp_shared.databases, and reload.'
                    ELSE format('Set max_worker_processes to %s at least and restart the server: %s for senders, 1 for '
                                'their launcher, %s that others had taken, PostgreSQL''s own among them. '
                                'Or lower whatsapp_shared.senders and reload.',
                        r.processes, r.wanted, r.processes - r.wanted - 1) END
        FROM @extschema@.wa_internal_sender_room() AS r
        WHERE r.wanted IS NOT NULL;
END
$$;

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

CREATE FUNCTION @extschema@.wa_internal_health_settings()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    account CONSTANT text := NULLIF(current_setting('whatsapp_shared.business_account_id', true), '');
    taken CONSTANT text := @extschema@.wa_internal_default_number_taken();
BEGIN
    RETURN QUERY
        SELECT c.item,
               CASE WHEN NOT @extschema@.wa_internal_credentials_present(c.item) THEN c.without
                    WHEN p.problem IS NOT NULL THEN 'warning' ELSE 'ok' END,
               concat_ws(' ',
                   CASE WHEN @extschema@.wa_internal_credentials_present(c.item)
                        THEN 'Set.' ELSE c.consequence END,
                   p.problem,
                   CASE WHEN p.problem IS NOT NULL AND @extschema@.wa_internal_credentials_present(c.item)
                        THEN 'What was in force before stays in force.' END),
               CASE WHEN p.problem IS NOT NULL
                    THEN 'Fix the file: readable by the server''s operating-system user and nobody else. '
                         'It is read again by itself.'
                    WHEN NOT @extschema@.wa_internal_credentials_present(c.item)
                    THEN format('Write it into a file, name the file in whatsapp_shared.%s_file, and reload.',
                                c.item) END
        FROM (VALUES
            ('access_token', 'error', 'Not set: nothing can be sent.'),
            ('app_secret', 'warning', 'Not set: webhooks cannot be verified, so no delivery status is known.'),
            ('webhook_verify_token', 'warning', 'Not set: Meta cannot register the address for webhooks.'))
            AS c (item, without, consequence)
            CROSS JOIN LATERAL @extschema@.wa_internal_credential_problem(c.item) AS p (problem);
    RETURN QUERY
        SELECT 'business_account_id', CASE WHEN account IS NULL THEN 'warning' ELSE 'ok' END,
               COALESCE(account, 'Not set: numbers and templates cannot be read from Meta.'),
               CASE WHEN account IS NULL THEN 'Set whatsapp_shared.business_account_id and reload.' END;
    RETURN QUERY
        SELECT 'phone_number_id', 'warning',
               format('Unusable: %s and sends for that tenant only; messages of tenants without a number wait.', taken),
               'Set whatsapp_shared.phone_number_id to a number that no tenant has, and reload; '
               'or SELECT * FROM wa_assign_all();'
        WHERE taken IS NOT NULL;
END
$$;

/* Listed databases that are served by nobody, for want of a database or of the extension in it. */
CREATE FUNCTION @extschema@.wa_internal_health_databases()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT format('database %s', n.name), 'warning',
           'It is named in whatsapp_shared.databases and does not exist, or takes no connections.',
           concat_ws(' ', @extschema@.wa_internal_did_you_mean(n.name,
                   ARRAY(SELECT d.datname::text FROM pg_database AS d WHERE d.datallowconn)),
               'Correct whatsapp_shared.databases and reload, or create the database.')
    FROM (SELECT DISTINCT l.name FROM @extschema@.wa_internal_listed_databases() AS l (name)) AS n
    WHERE NOT EXISTS (SELECT FROM pg_database AS d WHERE d.datname = n.name AND d.datallowconn)
    UNION ALL
    SELECT format('database %s', u.name), 'warning',
           'It is named in whatsapp_shared.databases and does not have the extension.',
           'CREATE EXTENSION whatsapp_shared in it, or take it out of whatsapp_shared.databases and reload.'
    FROM @extschema@.wa_internal_unserved_databases() AS u (name)
    ORDER BY 1;
END
$$;

/*
 * What Meta says of the access token: that it is there proves nothing.  An
 * unreachable Meta has not refused it.
 */
CREATE FUNCTION @extschema@.wa_internal_health_token()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'token at Meta', v.state,
           CASE v.state
               WHEN 'error' THEN format('Meta refuses it: %s.', rtrim(v.refusal, '.'))
               WHEN 'ok' THEN format('Confirmed at %s.', date_trunc('second', s.finished_at))
               ELSE concat_ws(' ', 'Not confirmed by Meta yet.', 'The last try failed: ' || rtrim(s.error, '.') || '.')
               END,
           CASE v.state
               WHEN 'error' THEN 'Put a valid token of a system user with the permissions whatsapp_business_messaging '
                   'and whatsapp_business_management into the file named by whatsapp_shared.access_token_file, and '
                   'SELECT pg_reload_conf();'
               WHEN 'warning' THEN CASE
                   WHEN s.error IS NOT NULL THEN 'Check the connection to whatsapp_shared.graph_url; it is tried again.'
                   ELSE 'It is asked as soon as sending is switched on and a sender runs; '
                        'SELECT wa_sync_phone_numbers(); asks with it at once.' END END
    FROM @extschema@.whatsapp_sync AS s
        CROSS JOIN LATERAL (SELECT COALESCE(
            (SELECT p.detail FROM @extschema@.whatsapp_pauses AS p
             WHERE p.scope = 'account' AND p.automatic AND p.error_code IN (0, 190)),
            (SELECT a.message FROM @extschema@.whatsapp_alerts AS a
             WHERE a.kind = 'token' AND a.severity = 'error' AND a.resolved_at IS NULL
             ORDER BY a.alert_id LIMIT 1),
            (SELECT t.error FROM @extschema@.whatsapp_sync AS t
             WHERE t.error ~ '^HTTP status 40[013]' AND (t.kind = 'token' OR t.error ~* 'access token')
             ORDER BY t.kind = 'token' DESC LIMIT 1)) AS refusal) AS r
        CROSS JOIN LATERAL (SELECT r.refusal, CASE
            WHEN r.refusal IS NOT NULL THEN 'error'
            WHEN s.finished_at IS NULL OR s.error IS NOT NULL THEN 'warning' ELSE 'ok' END AS state) AS v
    WHERE s.kind = 'token' AND @extschema@.wa_internal_credentials_present('access_token'::text)
    UNION ALL
    /* The alert of the kind token has the same limits. */
    SELECT 'token end',
           CASE WHEN e.days <= 7 THEN 'error' WHEN e.days <= 14 OR s.finished_at IS NULL THEN 'warning' ELSE 'ok' END,
           CASE WHEN e.days <= 0 THEN format('It ended at %s.', e.ends)
                WHEN e.days IS NOT NULL THEN format('It ends at %s, in %s days.', e.ends, floor(e.days))
                WHEN s.finished_at IS NOT NULL THEN 'By what Meta says, never.'
                ELSE 'Not known: Meta has not told yet.' END,
           CASE WHEN e.days <= 14 THEN 'Put a new token into the file named by whatsapp_shared.access_token_file. '
                                       'Tokens of system users can be made without an end.'
                WHEN s.finished_at IS NULL THEN 'See the line "token at Meta".' END
    FROM @extschema@.whatsapp_sync AS s
        CROSS JOIN LATERAL (SELECT date_trunc('second', s.expires_at) AS ends,
                EXTRACT(epoch FROM s.expires_at - clock_timestamp()) / 86400 AS days) AS e
    WHERE s.kind = 'token' AND @extschema@.wa_internal_credentials_present('access_token'::text)
$$;

/* Assigned numbers, and the default number, that Meta has not confirmed. */
CREATE FUNCTION @extschema@.wa_internal_health_confirmation()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    listed CONSTANT integer := @extschema@.wa_internal_listed('phone_numbers'::text);
BEGIN
    IF listed IS NOT NULL THEN
        RETURN QUERY
            SELECT 'number ' || u.number, 'error',
                   format('It is not among the %s that Meta lists for %s; what is sent from it fails (%s).',
                       listed, @extschema@.wa_internal_account(), u.whose),
                   u.remedy || ' If it is new: SELECT wa_sync_phone_numbers();'
            FROM (SELECT a.phone_number_id, format('tenant %s', a.tenant_id),
                         format('SELECT wa_unassign_phone(%L); then wa_assign_phone() with one of wa_free_numbers.',
                             a.tenant_id)
                  FROM @extschema@.whatsapp_phone_assignments AS a WHERE a.unassigned_at IS NULL
                  UNION ALL
                  SELECT d.number, 'the default number',
                         'Set whatsapp_shared.phone_number_id to one of wa_free_numbers, and reload.'
                  FROM @extschema@.wa_internal_default_number() AS d (number) WHERE d.number IS NOT NULL)
                AS u (number, whose, remedy)
            WHERE NOT EXISTS (
                SELECT FROM @extschema@.whatsapp_phone_numbers AS p
                WHERE p.phone_number_id = u.number AND p.synced_at IS NOT NULL)
            ORDER BY 1;
    ELSE
        RETURN QUERY
            SELECT 'numbers', 'warning',
                   format('%s of the tenants'' numbers are not confirmed by Meta yet.', count(*)),
                   'They are compared when the account''s numbers have been read: SELECT wa_sync_phone_numbers();'
            FROM @extschema@.whatsapp_phone_assignments AS a
                JOIN @extschema@.whatsapp_phone_numbers AS p ON p.phone_number_id = a.phone_number_id
            WHERE a.unassigned_at IS NULL AND p.synced_at IS NULL
            HAVING count(*) > 0;
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_health_account()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stale CONSTANT interval := 3 * current_setting('whatsapp_shared.sync_interval', true)::interval;
BEGIN
    RETURN QUERY
        SELECT 'sync ' || s.kind,
               CASE WHEN s.error IS NOT NULL OR s.finished_at IS NULL
                         OR stale > interval '0' AND s.finished_at < clock_timestamp() - stale
                    THEN 'warning' ELSE 'ok' END,
               CASE WHEN s.error IS NOT NULL THEN format('The last run failed: %s.', rtrim(s.error, '.'))
                    WHEN s.finished_at IS NULL THEN 'Never read from Meta.'
                    ELSE concat_ws(', ', 'Read at ' || date_trunc('second', s.finished_at)::text,
                                   s.items::text || ' found') || '.' END,
               CASE WHEN s.error IS NOT NULL
                    THEN format('Check whatsapp_shared.business_account_id (%s) and the permissions of the token. '
                         'Quality, limits and templates are unknown until it succeeds.',
                         COALESCE(NULLIF(current_setting('whatsapp_shared.business_account_id', true), ''), 'not set'))
                    WHEN s.finished_at IS NULL
                    THEN 'Sending works without it; quality, limits and templates are unknown until it succeeds.' END
        FROM @extschema@.whatsapp_sync AS s
        WHERE s.kind <> 'token'
        ORDER BY s.kind;
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_health_token();
    RETURN QUERY
        SELECT 'pause ' || concat_ws(' ', p.scope, NULLIF(p.key, '')),
               CASE p.scope WHEN 'account' THEN 'error' ELSE 'warning' END,
               concat_ws(', ', concat_ws(': ', p.reason, p.detail),
                   'since ' || date_trunc('second', p.paused_at)::text,
                   'until ' || date_trunc('second', p.until)::text) || '.',
               format('SELECT wa_resume(%s);',
                   concat_ws(', ', quote_literal(p.scope),
                       CASE WHEN p.key <> '' THEN quote_literal(p.key) END))
        FROM @extschema@.whatsapp_pauses AS p
        WHERE p.until IS NULL OR p.until > clock_timestamp()
        ORDER BY p.scope, p.key;
    RETURN QUERY
        SELECT 'number ' || n.phone_number_id,
               CASE WHEN n.health IN ('missing', 'blocked') AND n.tenant_id IS NOT NULL THEN 'error' ELSE 'warning' END,
               format('Its health is %s%s%s.', n.health,
                   CASE WHEN n.tenant_id IS NULL THEN '' ELSE format(' (tenant %s)', n.tenant_id) END,
                   '; its rate is lowered to ' || n.messages_per_second || ' a second because of ' || n.rate_reason),
               CASE n.health
                   WHEN 'missing' THEN 'It is no longer part of the account; assign the tenant another number.'
                   WHEN 'blocked' THEN 'See WhatsApp Manager; assign the tenant another number meanwhile.'
                   WHEN 'unreachable' THEN 'It is tried again and again; if it lasts, ask Meta about the number.'
                   ELSE 'Recipients block or report its messages: send fewer, and only what they asked for. '
                        'The rate is restored with Meta''s rating or limit; see whatsapp_damage_policies.' END
        FROM @extschema@.wa_number_status AS n
        WHERE n.health NOT IN ('ok', 'unknown', 'paused') OR n.rate_reason IS NOT NULL
        ORDER BY n.phone_number_id;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_health_queue()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    total record;
    held bigint;
    webhooks timestamptz;
    last_accepted timestamptz;
    orphans bigint;
BEGIN
    SELECT q.* INTO total FROM @extschema@.wa_internal_queue_counts() AS q;
    held := total.held + total.stopped;
    item := 'queue';
    state := CASE WHEN held > 0 THEN 'warning' ELSE 'ok' END;
    detail := format('%s%s ready, %s deferred, %s held (%s because the tenant has no number).',
        CASE WHEN total.estimated THEN 'About ' ELSE '' END, total.ready, total.deferred + total.scheduled, held,
        total.no_number);
    remedy := CASE WHEN held > 0 THEN 'wa_queue_status names the reasons.' END;
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

    IF total.taken_over > 0 THEN
        item := 'take-over';
        state := 'warning';
        detail := format('%s messages are held, because the former primary may have sent them before this server was '
                         'promoted.', total.taken_over);
        remedy := 'None: webhooks settle them, or the policy after whatsapp_shared.takeover_grace.';
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

/* What customers wrote and could not be used, until it is, or the alert about it has been resolved. */
CREATE FUNCTION @extschema@.wa_internal_health_parked()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'parked messages', 'error',
           format('%s webhook items in which customers may say something could not be used, the first at %s.',
               w.items, date_trunc('second', w.since)),
           'Read them in whatsapp_parked_events; after an update of the extension, SELECT wa_reprocess_parked(); '
           'takes them in. Resolving the alert parked_messages ends this.'
    FROM @extschema@.wa_internal_parked_words() AS w
    WHERE w.items > 0
$$;

/* Files of customers that did not come in the last day, or should have been fetched long ago. */
CREATE FUNCTION @extschema@.wa_internal_health_inbound_media()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'inbound media', 'warning',
           concat_ws(' ',
               CASE WHEN f.files > 0
                    THEN format('%s files of customers could not be fetched in the last day, the latest: %s.',
                        f.files, rtrim(f.reason, '.')) END,
               CASE WHEN o.since < clock_timestamp() - interval '1 hour'
                    THEN format('One is due since %s and has not been fetched.', date_trunc('second', o.since)) END),
           'Meta keeps a file for 7 days. See reason in whatsapp_inbound_media; wa_fetch_media(inbound_id) tries anew.'
    FROM (SELECT count(*) AS files, (array_agg(w.reason ORDER BY w.ended_at DESC))[1] AS reason
          FROM @extschema@.whatsapp_inbound_media AS w
          WHERE w.status = 'failed' AND w.ended_at > clock_timestamp() - interval '1 day') AS f,
        (SELECT min(w.next_attempt_at) AS since FROM @extschema@.whatsapp_inbound_media AS w
         WHERE w.status = 'wanted') AS o
    WHERE f.files > 0 OR o.since < clock_timestamp() - interval '1 hour'
$$;

/* Delivered this month, charged, and unknown to the price list: wa_costs has no cost for it. */
CREATE FUNCTION @extschema@.wa_internal_health_unpriced()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'unpriced messages', 'warning',
           format('%s messages of this month have no price: %s.', sum(v.messages),
               string_agg(format('%s in %s', v.category, v.market), ', '
                   ORDER BY v.messages DESC, v.category, v.market)),
           'Add prices to whatsapp_prices, from Meta''s rate card, and missing calling codes to whatsapp_markets '
           '(then wa_recount_costs()); until then wa_costs shows these messages in rows without currency.'
    FROM (
        SELECT u.category, u.market, sum(u.messages) AS messages
        FROM (
            SELECT w.category, w.market, sum(w.messages) AS messages
            FROM @extschema@.wa_internal_usage AS w, @extschema@.whatsapp_usage_closed AS z
            WHERE w.month = date_trunc('month',
                    now() AT TIME ZONE @extschema@.wa_internal_known_zone(z.time_zone))::date
                AND NOT w.free
            GROUP BY w.category, w.market) AS u
        WHERE u.messages > 0 AND NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_prices AS p
            WHERE p.market = u.market AND p.valid_from <= current_date
                AND (p.category = u.category OR p.category = 'marketing' AND u.category = 'marketing_lite'))
        GROUP BY u.category, u.market) AS v
    HAVING count(*) > 0
$$;

CREATE FUNCTION @extschema@.wa_internal_health_alerts()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'alert ' || a.alert_id, CASE a.severity WHEN 'info' THEN 'ok' ELSE a.severity END,
           format('%s (%s times, last at %s)', a.message, a.occurrences, date_trunc('second', a.last_seen_at)),
           format('SELECT wa_resolve_alert(%s); once it has been dealt with.', a.alert_id)
    FROM @extschema@.whatsapp_alerts AS a
    WHERE a.resolved_at IS NULL
    ORDER BY a.alert_id
$$;

/* Handlers of replies and notifications that are not run, because their roles are not what they were. */
CREATE FUNCTION @extschema@.wa_internal_refused_registrations(
    OUT kind text, OUT key text, OUT problem text, OUT remedy text)
RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'reply handler', h.prefix, r.problem, format('SELECT wa_on_reply(%L, %L);', h.prefix, h.handler)
    FROM @extschema@.whatsapp_reply_handlers AS h
        LEFT JOIN pg_proc AS p ON p.oid = to_regprocedure(h.handler)
        CROSS JOIN LATERAL (
            SELECT CASE WHEN p.oid IS NULL THEN 'function gone'
                ELSE @extschema@.wa_internal_registration_state(
                    h.registered_by, h.registered_by_oid, h.owner, h.owner_oid, p.proowner, p.prosecdef) END)
            AS r (problem)
    WHERE r.problem IS NOT NULL
    UNION ALL
    SELECT 'notification', n.relation || ' ' || n.name, n.state,
        CASE n.state WHEN 'role may not send' THEN format('SELECT wa_grant(%L, ''sender'');', n.registered_by)
            ELSE format('SELECT wa_drop_notification(%L, %L); then create it again with wa_create_notification().',
                n.relation, n.name) END
    FROM @extschema@.wa_notifications AS n
    WHERE n.state NOT IN ('active', 'disabled', 'detached')
$$;

CREATE FUNCTION @extschema@.wa_internal_health_registrations()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH refused AS MATERIALIZED (SELECT * FROM @extschema@.wa_internal_refused_registrations()),
    total AS (SELECT (SELECT count(*) FROM @extschema@.whatsapp_reply_handlers) AS handlers,
                     (SELECT count(*) FROM @extschema@.whatsapp_notifications) AS notifications,
                     (SELECT count(*) FROM refused) AS refused)
    SELECT 'registered code', CASE WHEN t.refused > 0 THEN 'error' ELSE 'ok' END,
           format('%s reply handlers and %s notifications, of which %s are not run.',
               t.handlers, t.notifications, t.refused),
           CASE WHEN t.refused > 0 THEN 'Its roles have changed since it was registered: see the rows below.' END
    FROM total AS t
    WHERE t.handlers + t.notifications > 0
    UNION ALL
    (SELECT concat_ws(' ', r.kind, r.key), 'error', format('Not run: %s.', r.problem), r.remedy
     FROM refused AS r
     ORDER BY r.kind, r.key LIMIT 20)
    UNION ALL
    (SELECT 'tenant role ' || b.role, 'warning',
            format('Bound to tenant %s, but not the role that was bound.', b.tenant_id),
            format('SELECT wa_revoke(%1$L, ''tenant''), wa_grant(%1$L, ''tenant'', %2$L); or DELETE the row of '
                'whatsapp_tenant_roles, if the role is gone.', b.role, b.tenant_id)
     FROM @extschema@.whatsapp_tenant_roles AS b
         LEFT JOIN pg_roles AS r ON r.rolname = b.role AND r.oid = b.role_oid
     WHERE r.oid IS NULL
     ORDER BY b.role LIMIT 20)
$$;

/*
 * An alert for each.  Not raised where one is refused: that may be in a transaction of
 * the application, and others that raise the same alert would wait for its end.
 */
CREATE FUNCTION @extschema@.wa_internal_check_registrations() RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r record;
BEGIN
    FOR r IN
        SELECT f.* FROM @extschema@.wa_internal_refused_registrations() AS f
        WHERE NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_alerts AS a
            WHERE a.kind = 'registration' AND a.scope = f.kind AND a.key = f.key AND a.resolved_at IS NULL
                AND a.detail ->> 'problem' = f.problem)
        ORDER BY f.kind, f.key
    LOOP
        PERFORM @extschema@.wa_internal_alert('error'::text, 'registration'::text, r.kind, r.key,
            format('The %s "%s" is not run: %s', r.kind, r.key, r.problem),
            jsonb_build_object('problem', r.problem, 'remedy', r.remedy));
    END LOOP;
    FOR r IN
        SELECT a.scope, a.key FROM @extschema@.whatsapp_alerts AS a
        WHERE a.kind = 'registration' AND a.resolved_at IS NULL AND NOT EXISTS (
            SELECT FROM @extschema@.wa_internal_refused_registrations() AS f WHERE f.kind = a.scope AND f.key = a.key)
        ORDER BY a.scope, a.key
    LOOP
        PERFORM @extschema@.wa_internal_resolve_alert('registration'::text, r.scope, r.key);
    END LOOP;
END
$$;

/* ---- one tenant ---------------------------------------------------------------- */

CREATE FUNCTION @extschema@.wa_internal_diagnose_sender(t @extschema@.wa_tenant_status)
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fallback CONSTANT text := @extschema@.wa_internal_default_number();
    taken CONSTANT text := @extschema@.wa_internal_default_number_taken();
    pause record;
BEGIN
    item := 'enabled';
    state := CASE WHEN t.whatsapp_enabled THEN 'ok' ELSE 'error' END;
    detail := CASE WHEN t.whatsapp_enabled THEN 'WhatsApp is switched on.'
                   ELSE 'WhatsApp is switched off: new messages are skipped.' END;
    remedy := CASE WHEN NOT t.whatsapp_enabled
                   THEN format('SELECT wa_configure_tenant(%L, enabled => true);', t.tenant_id) END;
    RETURN NEXT;

    item := 'number';
    state := CASE WHEN t.phone_number_id IS NOT NULL THEN 'ok'
                  WHEN fallback IS NOT NULL THEN 'warning' ELSE 'error' END;
    detail := CASE WHEN t.phone_number_id IS NOT NULL
                   THEN format('%s since %s.', concat_ws(', ', t.phone_number_id, t.display_phone_number),
                       date_trunc('second', t.assigned_at))
                   WHEN fallback IS NOT NULL THEN format('None of its own; the default number %s is used.', fallback)
                   ELSE concat_ws('; ', 'None: messages wait', taken) || '.' END;
    remedy := CASE WHEN t.phone_number_id IS NULL THEN format('SELECT wa_assign_phone(%L);', t.tenant_id) END;
    RETURN NEXT;

    IF t.phone_number_id IS NOT NULL THEN
        item := 'number health';
        state := CASE WHEN t.number_health = 'ok' THEN 'ok'
                      WHEN t.number_health IN ('missing', 'blocked') THEN 'error' ELSE 'warning' END;
        detail := concat_ws(', quality ', t.number_health, t.quality_rating);
        remedy := CASE t.number_health
            WHEN 'ok' THEN NULL
            WHEN 'unknown' THEN 'SELECT wa_sync_phone_numbers();'
            ELSE 'See wa_number_status and WhatsApp Manager.' END;
        RETURN NEXT;
    END IF;

    IF t.time_zone <> @extschema@.wa_internal_known_zone(t.time_zone) THEN
        item := 'time zone';
        state := 'error';
        detail := format('"%s" is not known to this server: quiet hours go by its own, %s, and messages with times '
            'of day in them cannot be written.', @extschema@.wa_internal_quote(t.time_zone),
            current_setting('log_timezone'));
        remedy := format('SELECT wa_configure_tenant(%L, time_zone => …); or install the system''s older names '
            '(Debian: the package tzdata-legacy).', t.tenant_id);
        RETURN NEXT;
    END IF;

    FOR pause IN
        SELECT p.* FROM @extschema@.whatsapp_pauses AS p
        WHERE (p.until IS NULL OR p.until > clock_timestamp())
            AND (p.scope IN ('account', 'template') OR p.scope = 'tenant' AND p.key = t.tenant_id
                 OR p.scope = 'number' AND p.key = COALESCE(t.phone_number_id, fallback))
        ORDER BY p.scope, p.key
    LOOP
        item := 'pause ' || concat_ws(' ', pause.scope, NULLIF(pause.key, ''));
        state := CASE pause.scope WHEN 'template' THEN 'warning' ELSE 'error' END;
        detail := concat_ws(', ', concat_ws(': ', pause.reason, pause.detail),
            'until ' || date_trunc('second', pause.until)::text) || '.';
        remedy := format('SELECT wa_resume(%s);', concat_ws(', ', quote_literal(pause.scope),
            CASE WHEN pause.key <> '' THEN quote_literal(pause.key) END));
        RETURN NEXT;
    END LOOP;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_diagnose_templates()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'templates',
           CASE WHEN count(*) FILTER (WHERE p.status = 'APPROVED' AND p.missing_since IS NULL) = 0
                THEN 'warning' ELSE 'ok' END,
           format('%s approved, %s others.',
               count(*) FILTER (WHERE p.status = 'APPROVED' AND p.missing_since IS NULL),
               count(*) FILTER (WHERE p.status <> 'APPROVED' OR p.missing_since IS NOT NULL)),
           CASE WHEN count(*) FILTER (WHERE p.status = 'APPROVED' AND p.missing_since IS NULL) = 0
                THEN 'Have one approved by Meta, then SELECT wa_sync_templates();' END
    FROM @extschema@.whatsapp_templates AS p
$$;

/* Customers to whom more than templates may be sent. */
CREATE FUNCTION @extschema@.wa_internal_diagnose_windows(number text)
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'service windows', 'ok',
           format('%s customers have written within 24 hours; to all others only templates may be sent.', count(*)),
           NULL
    FROM @extschema@.whatsapp_windows AS w
    WHERE w.phone_number_id = number AND w.last_inbound_at > clock_timestamp() - interval '24 hours'
$$;

/* What the tenant's messages of the last day have come to; only the newest are looked at. */
CREATE FUNCTION @extschema@.wa_internal_diagnose_messages(tenant text)
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    look CONSTANT integer := 10000;
    since CONSTANT timestamptz := clock_timestamp() - interval '24 hours';
    waiting bigint;
BEGIN
    RETURN QUERY
        WITH recent AS MATERIALIZED (
            SELECT m.status, m.error_code FROM @extschema@.whatsapp_messages AS m
            WHERE m.tenant_id = tenant AND m.created_at > since
            ORDER BY m.created_at DESC LIMIT look),
        counted AS (SELECT r.status, count(*) AS n FROM recent AS r GROUP BY r.status),
        failed AS (SELECT r.error_code, count(*) AS n FROM recent AS r
                   WHERE r.status = 'failed' GROUP BY r.error_code)
        SELECT 'last 24 hours', CASE WHEN EXISTS (SELECT FROM failed) THEN 'warning' ELSE 'ok' END,
               COALESCE(string_agg(format('%s %s', c.n, c.status), ', ' ORDER BY c.n DESC, c.status) || '.',
                        'No messages.'), NULL
            FROM counted AS c
        UNION ALL
        (SELECT concat_ws(' ', 'failures with error', f.error_code::text), 'warning',
                format('%s: %s.', f.n, COALESCE(e.title, 'not in wa_error_codes')),
                COALESCE(e.remedy, 'See error_message in whatsapp_messages.')
            FROM failed AS f LEFT JOIN @extschema@.wa_error_codes AS e ON e.code = f.error_code
            ORDER BY f.n DESC, f.error_code);

    SELECT min(m.id) INTO waiting FROM (
        SELECT o.id, o.status FROM @extschema@.whatsapp_messages AS o
        WHERE o.tenant_id = tenant AND o.created_at > since
        ORDER BY o.created_at DESC LIMIT look) AS m
        WHERE m.status IN ('queued', 'sending', 'uncertain');
    RETURN QUERY
        SELECT 'oldest waiting message', CASE WHEN e.earliest IS NULL THEN 'warning' ELSE 'ok' END,
               format('Message %s: %s', e.message_id, e.explanation), e.remedy
        FROM @extschema@.wa_explain(waiting) AS e
        WHERE waiting IS NOT NULL;
END
$$;

CREATE FUNCTION @extschema@.wa_diagnose(tenant_id text)
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    t @extschema@.wa_tenant_status;
BEGIN
    PERFORM @extschema@.wa_internal_check_own_tenant(wa_diagnose.tenant_id);
    IF (SELECT f.problem FROM @extschema@.wa_internal_ownership_flaw() AS f) IS NOT NULL THEN
        RETURN QUERY SELECT * FROM @extschema@.wa_internal_health_ownership();
        RETURN;
    END IF;
    SELECT s.* INTO t FROM @extschema@.wa_tenant_status AS s WHERE s.tenant_id = wa_diagnose.tenant_id;
    IF NOT FOUND THEN
        PERFORM @extschema@.wa_internal_unknown_tenant(wa_diagnose.tenant_id);
    END IF;
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_diagnose_sender(t);
    RETURN QUERY SELECT h.* FROM @extschema@.wa_internal_health_processes() AS h WHERE h.item = 'sending';
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_diagnose_templates();
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_diagnose_windows(t.phone_number_id);
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_diagnose_messages(t.tenant_id);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_diagnose(text) IS
'Checks everything that one tenant needs for sending: one row for each item with ok, warning or error, what was '
'found, and what to do.';
