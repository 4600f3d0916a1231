/*
 * Views for people and for monitoring systems.  None of them reads
 * whatsapp_messages by status: history may be large, and counting it is what
 * makes a dashboard a burden.
 */

/* ---- numbers --------------------------------------------------------------- */

/*
 * One word for a number's health, the worst first:
 * missing, blocked, paused, at_risk, degraded, unknown, ok.
 */
CREATE FUNCTION @extschema@.wa_internal_number_health(
    status text, quality_rating text, missing boolean, paused boolean) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN missing THEN 'missing'
        WHEN status IN ('BANNED', 'DELETED', 'DISCONNECTED', 'MIGRATED', 'UNVERIFIED', 'PENDING', 'OFFLINE') THEN 'blocked'
        WHEN paused THEN 'paused'
        WHEN status IN ('FLAGGED', 'RESTRICTED') OR quality_rating = 'RED' THEN 'at_risk'
        WHEN status = 'RATE_LIMITED' OR quality_rating = 'YELLOW' THEN 'degraded'
        WHEN status IS NULL OR status <> 'CONNECTED' THEN 'unknown'
        ELSE 'ok' END
$$;

/* Messages per second at best: the operator's figure, Meta's level, or the setting, lowered by damage control. */
CREATE FUNCTION @extschema@.wa_internal_number_rate(own real, throughput_level text, factor real) RETURNS real
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(factor, 1) * COALESCE(own, CASE throughput_level WHEN 'HIGH' THEN 1000 END,
        current_setting('whatsapp_shared.messages_per_second', true)::real, 80)
$$;

CREATE VIEW @extschema@.wa_number_status AS
SELECT p.phone_number_id,
       p.display_phone_number,
       p.verified_name,
       a.tenant_id,
       a.assigned_at,
       @extschema@.wa_internal_number_health(p.status, p.quality_rating,
           p.missing_since IS NOT NULL, x.scope IS NOT NULL) AS health,
       p.status,
       p.quality_rating,
       p.name_status,
       p.throughput_level,
       p.messaging_limit,
       @extschema@.wa_internal_number_rate(p.messages_per_second, p.throughput_level, p.rate_factor) AS messages_per_second,
       p.rate_reason,
       x.reason AS pause_reason,
       x.until AS paused_until,
       w.last_webhook_at,
       p.synced_at,
       p.missing_since
FROM @extschema@.whatsapp_phone_numbers AS p
    LEFT JOIN @extschema@.whatsapp_phone_assignments AS a
        ON a.phone_number_id = p.phone_number_id AND a.unassigned_at IS NULL
    LEFT JOIN @extschema@.whatsapp_pauses AS x
        ON x.scope = 'number' AND x.key = p.phone_number_id
    LEFT JOIN @extschema@.whatsapp_webhook_traffic AS w
        ON w.phone_number_id = p.phone_number_id;
COMMENT ON VIEW @extschema@.wa_number_status IS
'Every number: who has it, what Meta says of it, and its health in one word: ok, unknown (never read from Meta), degraded, at_risk, paused, blocked, missing.';

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
            WHEN n.health IN ('missing', 'blocked', 'paused') THEN 'number_' || n.health
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
       t.created_at
FROM @extschema@.whatsapp_tenants AS t
    LEFT JOIN @extschema@.wa_number_status AS n ON n.tenant_id = t.tenant_id
    LEFT JOIN @extschema@.whatsapp_pauses AS x ON x.scope = 'tenant' AND x.key = t.tenant_id
    LEFT JOIN LATERAL (
        SELECT m.created_at AS last_message_at FROM @extschema@.whatsapp_messages AS m
        WHERE m.tenant_id = t.tenant_id ORDER BY m.created_at DESC LIMIT 1) AS m ON true
    CROSS JOIN LATERAL (
        SELECT pg_catalog.max(s.number) AS default_number
        FROM pg_catalog.current_setting('whatsapp_shared.phone_number_id', true) AS s (number)
        WHERE s.number <> '' AND NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_phone_assignments AS a
            WHERE a.phone_number_id = s.number AND a.unassigned_at IS NULL)) AS d;
COMMENT ON VIEW @extschema@.wa_tenant_status IS
'Every tenant with its number. status: ready, disabled, paused, no_number, or number_ and the health of a number that cannot send.';

/* ---- the queue --------------------------------------------------------------- */

CREATE VIEW @extschema@.wa_queue_status AS
SELECT q.phone_number_id,
       CASE q.state WHEN 'r' THEN 'ready' WHEN 'd' THEN 'deferred' WHEN 'h' THEN 'held'
                    ELSE 'uncertain' END AS state,
       q.hold_reason AS reason,
       q.messages,
       (SELECT m.created_at FROM @extschema@.whatsapp_messages AS m WHERE m.id = q.oldest_id) AS oldest_created_at,
       NULLIF(q.next_due_at, 'infinity') AS next_due_at
FROM (SELECT o.phone_number_id, o.state, o.hold_reason,
             pg_catalog.count(*) AS messages,
             pg_catalog.min(o.message_id) AS oldest_id,
             pg_catalog.min(o.due_at) FILTER (WHERE o.state IN ('d', 'u')) AS next_due_at
      FROM @extschema@.whatsapp_queue AS o
      GROUP BY o.phone_number_id, o.state, o.hold_reason) AS q;
COMMENT ON VIEW @extschema@.wa_queue_status IS
'What waits, by number, state and reason: how many, since when the oldest, and when the next is due.';
