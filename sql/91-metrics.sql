/*
 * What a monitoring system reads every few seconds, as Prometheus counts it: names
 * with units, counters that end in _total, and no label that grows with use.
 *
 * Whoever scrapes often must not burden anybody: no function here reads the history.
 * What the queue holds is counted row by row, some 0.1 s for a million; what wa_costs
 * calculates is read by wa_metrics_costs(), which takes longer and changes slowly; what
 * wa_health() finds, by wa_metrics_health().
 */

CREATE FUNCTION @extschema@.wa_internal_metrics_queue()
RETURNS TABLE (name text, type text, help text, labels jsonb, value double precision)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH waiting AS MATERIALIZED (
        SELECT s.state, COALESCE(s.reason, '') AS reason, sum(s.messages) AS messages,
               min(s.oldest_created_at) AS oldest
        FROM @extschema@.wa_queue_status AS s
        GROUP BY 1, 2
    )
    SELECT 'whatsapp_queue_messages', 'gauge', 'Messages that wait to be sent, by state and reason.',
           jsonb_build_object('state', w.state, 'reason', w.reason), w.messages::double precision
    FROM waiting AS w
    UNION ALL
    SELECT 'whatsapp_queue_oldest_age_seconds', 'gauge',
           'Seconds since the oldest waiting message was enqueued, by state; 0: none waits.',
           jsonb_build_object('state', s.state),
           COALESCE(EXTRACT(epoch FROM clock_timestamp() - min(w.oldest)), 0)::double precision
    FROM unnest('{ready,deferred,held,uncertain}'::text[]) AS s (state)
        LEFT JOIN waiting AS w ON w.state = s.state
    GROUP BY s.state
    UNION ALL
    SELECT 'whatsapp_leased_messages', 'gauge', 'Messages that a sender has leased: on the wire, or about to be.',
           '{}', COALESCE(sum(cardinality(l.message_ids)), 0)::double precision
    FROM @extschema@.whatsapp_leases AS l
$$;

CREATE FUNCTION @extschema@.wa_internal_metrics_senders()
RETURNS TABLE (name text, type text, help text, labels jsonb, value double precision)
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH senders AS MATERIALIZED (SELECT s.* FROM @extschema@.wa_stats() AS s),
    sums AS (
        SELECT COALESCE(sum(s.requests), 0) AS requests, COALESCE(sum(s.accepted), 0) AS accepted,
               COALESCE(sum(s.failed), 0) AS failed, COALESCE(sum(s.retried), 0) AS retried,
               COALESCE(sum(s.uncertain), 0) AS uncertain, COALESCE(sum(s.in_flight), 0) AS in_flight,
               COALESCE(sum(s.connections), 0) AS connections
        FROM senders AS s
    )
    SELECT m.name, m.type, m.help, '{}'::jsonb, m.value::double precision
    FROM sums AS s
        CROSS JOIN LATERAL (VALUES
            ('whatsapp_requests_total', 'counter', 'Requests for messages handed to the network.', s.requests),
            ('whatsapp_messages_accepted_total', 'counter', 'Messages that Meta has accepted.', s.accepted),
            ('whatsapp_messages_failed_total', 'counter', 'Messages that have failed for good while being sent.',
             s.failed),
            ('whatsapp_messages_retried_total', 'counter', 'Attempts that failed and will be repeated.', s.retried),
            ('whatsapp_messages_uncertain_total', 'counter',
             'Attempts of which it was not known whether Meta had received them.', s.uncertain),
            ('whatsapp_requests_in_flight', 'gauge', 'Requests for messages on the wire.', s.in_flight),
            ('whatsapp_connections', 'gauge', 'Connections to the Graph API that are open.', s.connections))
            AS m (name, type, help, value)
    UNION ALL
    SELECT 'whatsapp_throttled_total', 'counter',
           'How often a message had to wait without losing an attempt, by reason.',
           jsonb_build_object('reason', t.reason), t.messages::double precision
    FROM @extschema@.wa_internal_throttled() AS t
    UNION ALL
    SELECT 'whatsapp_sender_up', 'gauge', '1 if this sender of the database runs.',
           jsonb_build_object('sender', s.sender::text), (s.pid IS NOT NULL)::integer::double precision
    FROM senders AS s
    UNION ALL
    SELECT 'whatsapp_sender_last_cycle_timestamp_seconds', 'gauge', 'When this sender last completed a cycle.',
           jsonb_build_object('sender', s.sender::text), EXTRACT(epoch FROM s.last_cycle_at)::double precision
    FROM senders AS s
    WHERE s.last_cycle_at IS NOT NULL
    UNION ALL
    SELECT 'whatsapp_sender_errors_total', 'counter', 'Cycles of this sender that ended in an error.',
           jsonb_build_object('sender', s.sender::text), s.errors::double precision
    FROM senders AS s
    UNION ALL
    SELECT 'whatsapp_senders_running', 'gauge', 'Senders of this database that run.', '{}',
           count(s.pid)::double precision
    FROM senders AS s
    UNION ALL
    SELECT 'whatsapp_sending_enabled', 'gauge', '1 if whatsapp_shared.enabled is on.', '{}',
           current_setting('whatsapp_shared.enabled')::boolean::integer::double precision
$$;

/* A histogram is written as Prometheus has it: the name with _bucket, _sum and _count. */
CREATE FUNCTION @extschema@.wa_internal_metrics_durations()
RETURNS TABLE (name text, type text, help text, labels jsonb, value double precision)
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH measured AS MATERIALIZED (
        SELECT CASE h.histogram WHEN 'request_duration' THEN 'whatsapp_request_duration_seconds'
                                ELSE 'whatsapp_commit_to_wire_seconds' END AS name,
               CASE h.histogram WHEN 'request_duration'
                    THEN 'From the first byte of a request to the end of its response.'
                    ELSE 'From when a message was due to the first byte of its first request.' END AS help,
               h.upper_bound, h.observations, h.sum
        FROM @extschema@.wa_internal_histograms() AS h
    )
    SELECT m.name || p.suffix, 'histogram', m.help, p.labels, p.value
    FROM measured AS m
        CROSS JOIN LATERAL (
            SELECT '_bucket', jsonb_build_object('le',
                       CASE WHEN m.upper_bound = 'Infinity' THEN '+Inf' ELSE m.upper_bound::text END),
                   m.observations::double precision
            UNION ALL
            SELECT '_sum', '{}'::jsonb, m.sum WHERE m.upper_bound = 'Infinity'
            UNION ALL
            SELECT '_count', '{}'::jsonb, m.observations::double precision WHERE m.upper_bound = 'Infinity')
            AS p (suffix, labels, value)
    ORDER BY m.name, m.upper_bound, p.suffix
$$;

CREATE FUNCTION @extschema@.wa_internal_metrics_account()
RETURNS TABLE (name text, type text, help text, labels jsonb, value double precision)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'whatsapp_pauses', 'gauge', 'Pauses that are in force, by scope.', jsonb_build_object('scope', s.scope),
           count(p.scope)::double precision
    FROM unnest('{account,number,tenant,template}'::text[]) AS s (scope)
        LEFT JOIN @extschema@.whatsapp_pauses AS p
            ON p.scope = s.scope AND (p.until IS NULL OR p.until > clock_timestamp())
    GROUP BY s.scope
    UNION ALL
    SELECT 'whatsapp_alerts', 'gauge', 'Unresolved alerts, by severity and kind.',
           jsonb_build_object('severity', a.severity, 'kind', a.kind), count(*)::double precision
    FROM @extschema@.whatsapp_alerts AS a
    WHERE a.resolved_at IS NULL
    GROUP BY a.severity, a.kind
    UNION ALL
    SELECT 'whatsapp_phone_numbers', 'gauge', 'Numbers of the account, by health and whether a tenant has them.',
           jsonb_build_object('health', n.health, 'assigned', (n.tenant_id IS NOT NULL)::text),
           count(*)::double precision
    FROM @extschema@.wa_number_status AS n
    GROUP BY n.health, n.tenant_id IS NOT NULL
    UNION ALL
    SELECT 'whatsapp_tenants', 'gauge', 'Tenants, by whether WhatsApp is switched on for them.',
           jsonb_build_object('enabled', t.enabled::text), count(*)::double precision
    FROM @extschema@.whatsapp_tenants AS t
    GROUP BY t.enabled
    UNION ALL
    SELECT 'whatsapp_token_expiry_timestamp_seconds', 'gauge',
           'When the access token ends, as Meta said last; absent: never, or not known.', '{}',
           EXTRACT(epoch FROM s.expires_at)::double precision
    FROM @extschema@.whatsapp_sync AS s
    WHERE s.kind = 'token' AND s.expires_at IS NOT NULL
    UNION ALL
    SELECT 'whatsapp_sync_last_success_timestamp_seconds', 'gauge', 'When this was last read from Meta.',
           jsonb_build_object('kind', s.kind), EXTRACT(epoch FROM s.finished_at)::double precision
    FROM @extschema@.whatsapp_sync AS s
    WHERE s.finished_at IS NOT NULL
    UNION ALL
    SELECT 'whatsapp_webhook_last_timestamp_seconds', 'gauge', 'When the last webhook of this kind was received.',
           jsonb_build_object('kind', k.kind), EXTRACT(epoch FROM max(k.at))::double precision
    FROM @extschema@.whatsapp_webhook_traffic AS w
        CROSS JOIN LATERAL (VALUES ('any', w.last_webhook_at), ('status', w.last_status_at),
                                   ('inbound', w.last_inbound_at), ('late', w.last_late_at)) AS k (kind, at)
    WHERE k.at IS NOT NULL
    GROUP BY k.kind
    UNION ALL
    SELECT 'whatsapp_parked_events', 'gauge', 'Items of webhooks that could not be used, by kind.',
           jsonb_build_object('kind', p.kind), count(*)::double precision
    FROM (SELECT e.kind FROM @extschema@.whatsapp_parked_events AS e LIMIT 100000) AS p
    GROUP BY p.kind
    UNION ALL
    SELECT 'whatsapp_messaging_limit_used', 'gauge',
           'Recipients of the last 24 hours that count for the account''s messaging limit.', '{}',
           count(*)::double precision
    FROM @extschema@.whatsapp_reach AS r
    WHERE r.reached_at > clock_timestamp() - interval '24 hours'
    UNION ALL
    SELECT 'whatsapp_messaging_limit', 'gauge',
           'Recipients that Meta allows the account in 24 hours; absent: no limit, or not known.', '{}',
           max(@extschema@.wa_internal_limit_size(p.messaging_limit))::double precision
    FROM @extschema@.whatsapp_phone_numbers AS p
    HAVING max(@extschema@.wa_internal_limit_size(p.messaging_limit)) IS NOT NULL
    UNION ALL
    SELECT 'whatsapp_clock_ahead_seconds', 'gauge',
           'Seconds by which the server''s clock is ahead of Meta''s; negative: behind; absent: not known.', '{}',
           c.ahead
    FROM @extschema@.wa_internal_clock() AS c
    WHERE c.seen_at IS NOT NULL
    UNION ALL
    SELECT 'whatsapp_shared_info', 'gauge', 'The version of the library, as a label; always 1.',
           jsonb_build_object('version', @extschema@.wa_internal_library_version()), 1::double precision
$$;

/* Of other nodes, of which there are few. */
CREATE FUNCTION @extschema@.wa_internal_metrics_nodes()
RETURNS TABLE (name text, type text, help text, labels jsonb, value double precision)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT m.name, m.type, m.help, jsonb_build_object('node', n.node), m.value::double precision
    FROM @extschema@.wa_node_status AS n
        CROSS JOIN LATERAL (VALUES
            ('whatsapp_node_waiting_changes', 'gauge',
             'Parts of webhooks that wait for another node, counted up to 100,000.', n.waiting),
            ('whatsapp_node_oldest_age_seconds', 'gauge',
             'Seconds since the oldest of them came; 0: nothing waits.',
             COALESCE(EXTRACT(epoch FROM clock_timestamp() - n.oldest_at), 0)),
            ('whatsapp_node_delivered_changes_total', 'counter', 'Parts of webhooks that another node has taken.',
             n.delivered),
            ('whatsapp_node_expired_changes_total', 'counter',
             'Parts of webhooks for another node that were given up after seven days.', n.expired),
            ('whatsapp_node_errors_total', 'counter', 'Requests that another node did not answer with 2xx.', n.errors))
            AS m (name, type, help, value)
$$;

/* Only where somebody has asked for it: there may be ten thousand of them. */
CREATE FUNCTION @extschema@.wa_internal_metrics_numbers()
RETURNS TABLE (name text, type text, help text, labels jsonb, value double precision)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'whatsapp_number_queue_messages', 'gauge', 'Messages that wait, by number and state.',
           jsonb_build_object('phone_number_id', COALESCE(q.phone_number_id, ''), 'state', q.state),
           sum(q.messages)::double precision
    FROM @extschema@.wa_queue_status AS q
    GROUP BY q.phone_number_id, q.state
    UNION ALL
    SELECT 'whatsapp_number_usable', 'gauge', '1 if messages can be sent from this number.',
           jsonb_build_object('phone_number_id', n.phone_number_id, 'tenant_id', COALESCE(n.tenant_id, '')),
           (n.health IN ('ok', 'unknown', 'at_risk', 'degraded'))::integer::double precision
    FROM @extschema@.wa_number_status AS n
$$;

CREATE FUNCTION @extschema@.wa_metrics(per_number boolean DEFAULT false)
RETURNS TABLE (name text, type text, help text, labels jsonb, value double precision)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT m.* FROM @extschema@.wa_internal_metrics_queue() AS m ORDER BY m.name, m.labels;
    RETURN QUERY SELECT m.* FROM @extschema@.wa_internal_metrics_senders() AS m ORDER BY m.name, m.labels;
    RETURN QUERY SELECT m.* FROM @extschema@.wa_internal_metrics_durations() AS m;
    RETURN QUERY SELECT m.* FROM @extschema@.wa_internal_metrics_account() AS m ORDER BY m.name, m.labels;
    RETURN QUERY SELECT m.* FROM @extschema@.wa_internal_metrics_nodes() AS m ORDER BY m.name, m.labels;
    IF per_number THEN
        RETURN QUERY SELECT m.* FROM @extschema@.wa_internal_metrics_numbers() AS m ORDER BY m.name, m.labels;
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_metrics(boolean) IS
'Everything that a monitoring system should see every few seconds, named as Prometheus names it: the name, counter, '
'gauge or histogram, what it means, its labels, and the value. per_number adds two metrics for each number.';

CREATE FUNCTION @extschema@.wa_metrics_costs()
RETURNS TABLE (name text, type text, help text, labels jsonb, value double precision)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'whatsapp_month_cost', 'gauge',
           'Cost of this month''s delivered messages so far, by currency and category; not Meta''s invoice.',
           jsonb_build_object('currency', c.currency, 'category', c.category),
           COALESCE(sum(c.cost), 0)::double precision
    FROM @extschema@.wa_costs AS c
    WHERE c.month = date_trunc('month', now() AT TIME ZONE
            (SELECT @extschema@.wa_internal_known_zone(z.time_zone) FROM @extschema@.whatsapp_usage_closed AS z))::date
        AND c.currency IS NOT NULL
    GROUP BY c.currency, c.category
    UNION ALL
    SELECT 'whatsapp_month_delivered_messages', 'gauge', 'Messages delivered this month, by category.',
           jsonb_build_object('category', d.category), sum(d.delivered)::double precision
    FROM (SELECT DISTINCT c.tenant_id, c.category, c.delivered
          FROM @extschema@.wa_costs AS c
          WHERE c.month = date_trunc('month', now() AT TIME ZONE
                  (SELECT @extschema@.wa_internal_known_zone(z.time_zone)
                   FROM @extschema@.whatsapp_usage_closed AS z))::date) AS d
    GROUP BY d.category
    ORDER BY 1, 4
$$;
COMMENT ON FUNCTION @extschema@.wa_metrics_costs() IS
'The costs of the current month as wa_metrics() shows the rest. It adds up every tenant''s month: ask for it every '
'few minutes, not every few seconds.';

CREATE FUNCTION @extschema@.wa_metrics_health()
RETURNS TABLE (name text, type text, help text, labels jsonb, value double precision)
    LANGUAGE sql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'whatsapp_health', 'gauge',
           'What a check of wa_health() finds, by its worst line: 0 ok, 1 warning, 2 error.',
           jsonb_build_object('check', c.topic),
           max(CASE h.state WHEN 'error' THEN 2 WHEN 'warning' THEN 1 ELSE 0 END)::double precision
    FROM @extschema@.wa_internal_health_checks() AS c
        LEFT JOIN @extschema@.wa_internal_health() AS h ON h.topic = c.topic
    GROUP BY c.topic
    ORDER BY c.topic
$$;
COMMENT ON FUNCTION @extschema@.wa_metrics_health() IS
'The checks of wa_health() in the same form: 0 ok, 1 warning, 2 error. It takes some milliseconds: ask for it every '
'minute.';
