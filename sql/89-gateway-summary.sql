/*
 * Route of the gateway: the first screen.  A page asks for it every few seconds, so
 * all of it together must cost next to nothing, whatever there is: what is large is
 * looked at in part, and what is given says so.
 */

/*
 * What waits, by state and reason.  Up to 40,000 rows the queue is counted; beyond
 * that a sample of its pages is, and the result multiplied: estimated.  Each time
 * planned anew: only an array that is known then is searched by hash.
 */
CREATE FUNCTION @extschema@.wa_internal_queue_counts(
    OUT ready bigint,
    OUT deferred bigint,
    OUT scheduled bigint,
    OUT held bigint,
    OUT uncertain bigint,
    OUT parked bigint,
    OUT no_number bigint,
    OUT stopped bigint,
    OUT taken_over bigint,
    OUT oldest_id bigint,
    OUT estimated boolean)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    pages CONSTANT bigint := pg_relation_size('@extschema@.whatsapp_queue'::regclass)
        / current_setting('block_size')::bigint;
    most CONSTANT integer := 400;
    percent CONSTANT double precision := LEAST(100, 100.0 * most / GREATEST(pages, 1));
    numbers CONSTANT text[] := ARRAY(SELECT s.phone_number_id FROM @extschema@.wa_internal_stopped_numbers AS s);
    everything CONSTANT boolean := EXISTS (
        SELECT FROM @extschema@.whatsapp_pauses AS p
        WHERE p.scope = 'account' AND (p.until IS NULL OR p.until > clock_timestamp()));
    factor CONSTANT double precision := 100 / percent;
BEGIN
    estimated := percent < 100;
    SELECT count(*) FILTER (WHERE q.state = 'r'),
           count(*) FILTER (WHERE q.state = 'd' AND q.hold_reason IS NOT NULL),
           count(*) FILTER (WHERE q.state = 'd' AND q.hold_reason IS NULL),
           count(*) FILTER (WHERE q.state = 'h'),
           count(*) FILTER (WHERE q.state = 'u'),
           count(*) FILTER (WHERE q.state = 'u' AND q.hold_reason = 'parked'),
           count(*) FILTER (WHERE q.state = 'h' AND q.hold_reason = 'no_number'),
           count(*) FILTER (WHERE q.state = 'r' AND (everything OR q.phone_number_id = ANY (numbers))),
           count(*) FILTER (WHERE q.state = 'u' AND q.hold_reason = 'takeover'),
           min(q.message_id) FILTER (WHERE q.state IN ('r', 'h'))
        INTO ready, deferred, scheduled, held, uncertain, parked, no_number, stopped, taken_over,
            oldest_id
        FROM @extschema@.whatsapp_queue AS q TABLESAMPLE SYSTEM (percent) REPEATABLE (1);
    IF estimated THEN
        ready := ready * factor;
        deferred := deferred * factor;
        scheduled := scheduled * factor;
        held := held * factor;
        uncertain := uncertain * factor;
        parked := parked * factor;
        no_number := no_number * factor;
        stopped := stopped * factor;
        taken_over := taken_over * factor;
        /* The oldest ones lie at the beginning of the key. */
        SELECT LEAST(oldest_id, min(o.message_id)) INTO oldest_id
            FROM (SELECT q.message_id, q.state FROM @extschema@.whatsapp_queue AS q
                  ORDER BY q.message_id LIMIT 1000) AS o
            WHERE o.state IN ('r', 'h');
    END IF;
    ready := ready - stopped;
END
$$;

/*
 * What a person should do something about, the worst first.  English; a page says
 * the same in the reader's language, by kind.
 */
CREATE FUNCTION @extschema@.wa_internal_needs_attention(parked bigint, without_number bigint)
RETURNS TABLE (kind text, severity text, count bigint, title text, remedy text, section text, filter jsonb)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT n.kind, n.severity, n.count, n.title, n.remedy, n.section, n.filter
    FROM (
        /* What wa_health() finds; the rest of it is in alerts, pauses and the queue. */
        SELECT 'health', h.state, 1::bigint, format('%s: %s', h.item, h.detail), h.remedy, 'health',
               jsonb_build_object('item', h.item)
            FROM (SELECT o.* FROM @extschema@.wa_internal_health_ownership() AS o
                  UNION ALL SELECT o.* FROM @extschema@.wa_internal_health_processes() AS o
                  WHERE o.item NOT LIKE 'sender %'
                  UNION ALL SELECT o.* FROM @extschema@.wa_internal_health_settings() AS o
                  UNION ALL SELECT o.* FROM @extschema@.wa_internal_health_token() AS o) AS h
            WHERE h.state IN ('error', 'warning')
        UNION ALL
        SELECT 'stopped_senders', 'error', count(*),
               format('%s of %s senders are not running', count(*), max(s.senders)),
               'See the server''s log; they restart by themselves unless worker processes have run out.', 'health', NULL
            FROM @extschema@.wa_stats() AS s WHERE s.pid IS NULL HAVING count(*) > 0
        UNION ALL
        SELECT 'uncertain', 'warning', parked, format('%s messages may or may not have arrived', parked),
               'Ask the recipient, then decide: arrived, failed, or send again.', 'messages',
               '{"status": "uncertain", "reason": "parked"}'
            WHERE parked > 0
        UNION ALL
        SELECT 'no_number', 'error', without_number,
               format('%s messages wait because their tenants have no number', without_number),
               'Assign them a number.', 'tenants', '{"assigned": "false"}'
            WHERE without_number > 0
        UNION ALL
        SELECT 'paused', CASE WHEN bool_or(p.scope = 'account') THEN 'error' ELSE 'warning' END, count(*),
               format('%s pauses last until somebody ends them', count(*)),
               'Resume when the cause has gone.', 'queue', '{"paused": "true"}'
            FROM @extschema@.whatsapp_pauses AS p WHERE p.until IS NULL HAVING count(*) > 0
        UNION ALL
        SELECT 'parked_inbound', 'warning', count(*), format('%s webhook items of a day could not be used', count(*)),
               'See whatsapp_parked_events for the reasons.', 'health', NULL
            FROM (SELECT FROM @extschema@.whatsapp_parked_events AS e
                  WHERE e.received_at > clock_timestamp() - interval '24 hours' AND e.reason <> 'unknown_message'
                  LIMIT 1000) AS e
            HAVING count(*) > 0
        UNION ALL
        SELECT 'alert_' || a.kind, CASE WHEN bool_or(a.severity = 'error') THEN 'error' ELSE 'warning' END, count(*),
               COALESCE(k.title, max(a.message)),
               COALESCE(k.remedy, 'See the alert, then resolve it.'), 'alerts', jsonb_build_object('kind', a.kind)
            FROM (SELECT o.kind, o.severity, o.message FROM @extschema@.whatsapp_alerts AS o
                  WHERE o.resolved_at IS NULL AND o.severity <> 'info'
                      AND o.kind NOT IN ('paused', 'uncertain', 'parked_events') LIMIT 5000) AS a
                LEFT JOIN @extschema@.wa_internal_alert_kinds() AS k ON k.kind = a.kind
            GROUP BY a.kind, k.title, k.remedy) AS n (kind, severity, count, title, remedy, section, filter)
    ORDER BY n.severity, n.count DESC, n.kind
$$;

/*
 * What was sent in each of the last 60 minutes, and today's figures, in one pass over
 * the newest messages of the last day.  What was accepted within the hour but written
 * before these is not seen.
 */
CREATE FUNCTION @extschema@.wa_internal_recent_figures(most bigint, OUT rate jsonb, OUT today jsonb)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_sort = off
    SET jit = off
AS $$
DECLARE
    midnight CONSTANT timestamptz := current_date;
    this_minute CONSTANT timestamptz := date_trunc('minute', clock_timestamp());
    hour_ago CONSTANT timestamptz := this_minute - interval '59 minutes';
    span record;
BEGIN
    SELECT w.since, w.first_id INTO span
        FROM @extschema@.wa_internal_message_window(LEAST(midnight, hour_ago), most) AS w;
    /* Grouped so that few rows are left: the statuses of today by minute, of the last hour only. */
    WITH grouped AS MATERIALIZED (
        SELECT m.created_at >= midnight AS is_today, m.status,
            CASE WHEN m.accepted_at >= hour_ago THEN date_bin('1 minute', m.accepted_at, hour_ago) END AS accepted,
            CASE WHEN m.failed_at >= hour_ago THEN date_bin('1 minute', m.failed_at, hour_ago) END AS failed,
            m.accepted_at IS NOT NULL AS is_sent, count(*) AS n
        FROM @extschema@.whatsapp_messages AS m
        WHERE m.id >= span.first_id AND m.created_at >= span.since
        GROUP BY 1, 2, 3, 4, 5)
    SELECT (SELECT jsonb_agg(jsonb_build_object(
                'minute', c.minute, 'sent', COALESCE(a.n, 0), 'failed', COALESCE(f.n, 0)) ORDER BY c.minute)
            FROM generate_series(hour_ago, this_minute, interval '1 minute') AS c (minute)
                LEFT JOIN (SELECT g.accepted, sum(g.n) AS n FROM grouped AS g GROUP BY g.accepted) AS a
                    ON a.accepted = c.minute
                LEFT JOIN (SELECT g.failed, sum(g.n) AS n FROM grouped AS g GROUP BY g.failed) AS f
                    ON f.failed = c.minute),
           (SELECT jsonb_build_object('since', GREATEST(midnight, span.since),
                'sent', COALESCE(sum(g.n) FILTER (WHERE g.is_sent), 0),
                'delivered', COALESCE(sum(g.n) FILTER (WHERE g.status IN ('delivered', 'read')), 0),
                'read', COALESCE(sum(g.n) FILTER (WHERE g.status = 'read'), 0),
                'failed', COALESCE(sum(g.n) FILTER (WHERE g.status = 'failed'), 0),
                'uncertain', COALESCE(sum(g.n) FILTER (WHERE g.status = 'uncertain'), 0))
            FROM grouped AS g WHERE g.is_today)
        INTO rate, today;
END
$$;

CREATE FUNCTION @extschema@.wa_gateway_summary(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET jit = off
AS $$
DECLARE
    q record;
    figures record;
    leased bigint;
    running record;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text);
    SELECT c.* INTO q FROM @extschema@.wa_internal_queue_counts() AS c;
    SELECT f.* INTO figures FROM @extschema@.wa_internal_recent_figures(8000) AS f;
    SELECT COALESCE(sum(cardinality(l.message_ids)), 0) INTO leased FROM @extschema@.whatsapp_leases AS l;
    SELECT count(s.pid) AS running, COALESCE(max(s.senders), 0) AS expected, COALESCE(sum(s.in_flight), 0) AS in_flight
        INTO running FROM @extschema@.wa_stats() AS s;
    status := 200;
    body := jsonb_build_object(
        'as_of', clock_timestamp(),
        'needs_attention', (SELECT COALESCE(jsonb_agg(to_jsonb(n)), '[]')
            FROM @extschema@.wa_internal_needs_attention(q.parked, q.no_number) AS n),
        'queue', jsonb_build_object('ready', GREATEST(q.ready - leased, 0), 'leased', leased, 'deferred', q.deferred,
            'scheduled', q.scheduled, 'held', q.held, 'uncertain', q.uncertain, 'paused', q.stopped,
            'estimated', q.estimated, 'oldest_seconds', (
                SELECT floor(extract(epoch FROM clock_timestamp() - m.created_at))
                FROM @extschema@.whatsapp_messages AS m WHERE m.id = q.oldest_id)),
        'rate', figures.rate,
        'today', figures.today,
        'senders', jsonb_build_object('running', running.running, 'expected', running.expected,
            'in_flight', running.in_flight),
        'enabled', current_setting('whatsapp_shared.enabled')::boolean);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_summary(jsonb) IS
'GET /api/v1/admin/whatsapp/summary: what needs a person, the queue, what was sent in the last 60 minutes and today '
'(among the newest 8,000 messages: since), and the senders.';
