/*
 * Views for the questions of a day: does it arrive in time, who sends most, what has
 * become of a message, what has somebody answered.
 *
 * Each bounds what it reads by itself, or is written so that what it is asked for is
 * looked up in an index: whatsapp_messages may hold years.
 */

/*
 * A day is read when it is asked for: the condition on "day" is applied before the
 * messages of that day are, by the index of created_at, or by that of a tenant.
 */
CREATE VIEW @extschema@.wa_delivery_times AS
SELECT d.day::date AS day,
       t.tenant_id,
       t.messages,
       t.accepted,
       t.delivered,
       t.within_a_minute,
       pg_catalog.round(100.0 * t.within_a_minute / NULLIF(t.accepted, 0), 1) AS percent_within_a_minute,
       pg_catalog.round(t.seconds[1]::numeric, 1) AS median_seconds,
       pg_catalog.round(t.seconds[2]::numeric, 1) AS p95_seconds,
       t.failed
FROM pg_catalog.generate_series(
         pg_catalog.date_trunc('day', pg_catalog.now()) - '30 days'::interval,
         pg_catalog.date_trunc('day', pg_catalog.now()), '1 day'::interval) AS d (day)
    CROSS JOIN LATERAL (
        SELECT m.tenant_id,
               pg_catalog.count(*) AS messages,
               pg_catalog.count(*) FILTER (WHERE COALESCE(m.accepted_at, a.arrived_at) IS NOT NULL) AS accepted,
               pg_catalog.count(a.arrived_at) AS delivered,
               pg_catalog.count(*) FILTER (
                   WHERE a.arrived_at <= GREATEST(m.created_at, m.scheduled_at) + '1 minute'::interval)
                   AS within_a_minute,
               pg_catalog.percentile_cont('{0.5,0.95}'::double precision[]) WITHIN GROUP (ORDER BY
                   GREATEST(0, EXTRACT(epoch FROM a.arrived_at - GREATEST(m.created_at, m.scheduled_at)))
                       ::double precision)
                   FILTER (WHERE a.arrived_at IS NOT NULL) AS seconds,
               pg_catalog.count(*) FILTER (WHERE m.status = 'failed') AS failed
        FROM @extschema@.whatsapp_messages AS m
            CROSS JOIN LATERAL (SELECT COALESCE(m.delivered_at, m.read_at, m.played_at)) AS a (arrived_at)
        WHERE m.created_at >= d.day AND m.created_at < d.day + '1 day'::interval
        GROUP BY m.tenant_id) AS t;
COMMENT ON VIEW @extschema@.wa_delivery_times IS
'How fast messages reach their recipients, by day and tenant, for the last 31 days: how many were delivered within a '
'minute of when they were enqueued or, if later, scheduled for. A day is that of created_at in the session''s time '
'zone, and is read only when it is asked for: WHERE day = current_date.';
COMMENT ON COLUMN @extschema@.wa_delivery_times.day IS 'The day they were enqueued.';
COMMENT ON COLUMN @extschema@.wa_delivery_times.tenant_id IS 'The tenant.';
COMMENT ON COLUMN @extschema@.wa_delivery_times.messages IS 'Messages enqueued.';
COMMENT ON COLUMN @extschema@.wa_delivery_times.accepted IS 'Of these, accepted by Meta.';
COMMENT ON COLUMN @extschema@.wa_delivery_times.delivered IS 'Of these, known to have reached a phone.';
COMMENT ON COLUMN @extschema@.wa_delivery_times.within_a_minute IS
'Delivered within a minute. What quiet hours, a pause or a phone that was off have held is late as well.';
COMMENT ON COLUMN @extschema@.wa_delivery_times.percent_within_a_minute IS
'These in percent of what was accepted; NULL: nothing was.';
COMMENT ON COLUMN @extschema@.wa_delivery_times.median_seconds IS
'Half of what was delivered took at most so long. Meta''s times are whole seconds.';
COMMENT ON COLUMN @extschema@.wa_delivery_times.p95_seconds IS '95 percent of what was delivered took at most so long.';
COMMENT ON COLUMN @extschema@.wa_delivery_times.failed IS 'Messages that have failed.';

/* The last day is counted in the messages themselves, what is before in the sums of wa_costs. */
CREATE VIEW @extschema@.wa_top_tenants AS
SELECT COALESCE(r.tenant_id, u.tenant_id) AS tenant_id,
       n.phone_number_id,
       COALESCE(r.last_hour, 0) AS messages_last_hour,
       COALESCE(r.last_day, 0) AS messages_last_day,
       COALESCE(u.last_week, 0) AS delivered_last_7_days,
       COALESCE(u.last_month, 0) AS delivered_last_30_days,
       pg_catalog.round(100.0 * u.last_month / NULLIF(pg_catalog.sum(u.last_month) OVER (), 0), 1)
           AS percent_last_30_days
FROM (SELECT m.tenant_id,
             pg_catalog.count(*) FILTER (WHERE m.created_at > pg_catalog.now() - '1 hour'::interval) AS last_hour,
             pg_catalog.count(*) AS last_day
      FROM @extschema@.whatsapp_messages AS m
      WHERE m.created_at > pg_catalog.now() - '1 day'::interval
      GROUP BY m.tenant_id) AS r
    FULL JOIN (
      SELECT w.tenant_id,
             pg_catalog.sum(w.messages) FILTER (WHERE w.day > z.today - 7)::bigint AS last_week,
             pg_catalog.sum(w.messages)::bigint AS last_month
      FROM (SELECT (pg_catalog.now() AT TIME ZONE @extschema@.wa_internal_known_zone(c.time_zone))::date AS today
            FROM @extschema@.whatsapp_usage_closed AS c) AS z
          JOIN @extschema@.wa_internal_usage AS w ON w.day > z.today - 30
      GROUP BY w.tenant_id) AS u ON u.tenant_id = r.tenant_id
    LEFT JOIN @extschema@.whatsapp_phone_assignments AS n
        ON n.tenant_id = COALESCE(r.tenant_id, u.tenant_id) AND n.unassigned_at IS NULL
ORDER BY COALESCE(u.last_month, 0) DESC, COALESCE(r.last_day, 0) DESC, 1;
COMMENT ON VIEW @extschema@.wa_top_tenants IS
'Who sends most, the first first: messages enqueued within the last hour and day, and delivered within 7 and 30 days. '
'The days of what was delivered are those of wa_costs, in the account''s time zone.';
COMMENT ON COLUMN @extschema@.wa_top_tenants.tenant_id IS 'The tenant.';
COMMENT ON COLUMN @extschema@.wa_top_tenants.phone_number_id IS 'The number that it has now; NULL: none of its own.';
COMMENT ON COLUMN @extschema@.wa_top_tenants.messages_last_hour IS 'Messages enqueued within the last hour.';
COMMENT ON COLUMN @extschema@.wa_top_tenants.messages_last_day IS 'Messages enqueued within the last 24 hours.';
COMMENT ON COLUMN @extschema@.wa_top_tenants.delivered_last_7_days IS 'Messages delivered within 7 days, with today.';
COMMENT ON COLUMN @extschema@.wa_top_tenants.delivered_last_30_days IS 'Messages delivered within 30 days, with today.';
COMMENT ON COLUMN @extschema@.wa_top_tenants.percent_last_30_days IS
'These in percent of those of all tenants; NULL: nothing was delivered.';

/* For whoever may not read what was written, nor to whom. */
CREATE VIEW @extschema@.wa_message_status AS
SELECT m.id, m.tenant_id, m.phone_number_id, m.message_type, m.template_name, m.template_language, m.reference,
       m.whatsapp_message_id, m.status, m.status_reason, m.error_code, m.attempts, m.priority,
       m.created_at, m.scheduled_at, m.expires_at, m.accepted_at, m.sent_at, m.delivered_at, m.read_at, m.failed_at,
       m.finished_at
FROM @extschema@.whatsapp_messages AS m;
COMMENT ON VIEW @extschema@.wa_message_status IS
'Every message without its content and its recipient. Indexed are id, reference, tenant_id with created_at, and '
'created_at: give one of them. A message by whatever is at hand: wa_find(); why it was not sent: wa_explain(id).';
COMMENT ON COLUMN @extschema@.wa_message_status.id IS 'The ID that the enqueue functions return.';
COMMENT ON COLUMN @extschema@.wa_message_status.tenant_id IS 'The tenant that it is sent for.';
COMMENT ON COLUMN @extschema@.wa_message_status.phone_number_id IS 'The number it was, or will be, sent from.';
COMMENT ON COLUMN @extschema@.wa_message_status.message_type IS 'template, text, image, interactive …';
COMMENT ON COLUMN @extschema@.wa_message_status.template_name IS 'The template''s name, for type template.';
COMMENT ON COLUMN @extschema@.wa_message_status.template_language IS 'The template''s language, for type template.';
COMMENT ON COLUMN @extschema@.wa_message_status.reference IS 'The application''s own name for the occasion.';
COMMENT ON COLUMN @extschema@.wa_message_status.whatsapp_message_id IS 'Meta''s ID of the message (wamid).';
COMMENT ON COLUMN @extschema@.wa_message_status.status IS
'queued, sending, accepted, sent, delivered, read; or failed, uncertain, cancelled, expired, skipped.';
COMMENT ON COLUMN @extschema@.wa_message_status.status_reason IS 'Reason code; see wa_reason_codes.';
COMMENT ON COLUMN @extschema@.wa_message_status.error_code IS
'Code of the last failure; its meaning is in wa_error_codes.';
COMMENT ON COLUMN @extschema@.wa_message_status.attempts IS 'Requests begun for it.';
COMMENT ON COLUMN @extschema@.wa_message_status.priority IS '-1000 to 1000.';
COMMENT ON COLUMN @extschema@.wa_message_status.created_at IS 'When it was enqueued.';
COMMENT ON COLUMN @extschema@.wa_message_status.scheduled_at IS 'Not sent before this time.';
COMMENT ON COLUMN @extschema@.wa_message_status.expires_at IS 'Not sent after this time; NULL: it does not expire.';
COMMENT ON COLUMN @extschema@.wa_message_status.accepted_at IS 'When Meta accepted it.';
COMMENT ON COLUMN @extschema@.wa_message_status.sent_at IS 'When it left Meta''s servers.';
COMMENT ON COLUMN @extschema@.wa_message_status.delivered_at IS 'When it reached the recipient''s phone.';
COMMENT ON COLUMN @extschema@.wa_message_status.read_at IS 'When the recipient read it.';
COMMENT ON COLUMN @extschema@.wa_message_status.failed_at IS 'When it failed.';
COMMENT ON COLUMN @extschema@.wa_message_status.finished_at IS 'When it was finished; retention counts from here.';

/*
 * Alerts about one recipient name him.  Who may not read messages finds them, without
 * his number, in wa_health() and wa_timeline().
 */
ALTER TABLE @extschema@.whatsapp_alerts ENABLE ROW LEVEL SECURITY;

CREATE POLICY whatsapp_recipients_hidden ON @extschema@.whatsapp_alerts USING (
    scope OPERATOR(pg_catalog.<>) 'recipient'
    OR (SELECT pg_catalog.has_table_privilege('@extschema@.whatsapp_messages'::pg_catalog.regclass, 'SELECT')));

/*
 * What customers and suppliers have answered.  It reads with the rights of whoever asks,
 * so that a tenant's own role sees what is its own, here as in the tables.  Who replies
 * to no message in particular means the last one from us, as people do.
 */
CREATE VIEW @extschema@.wa_replies WITH (security_invoker = true) AS
SELECT i.inbound_id,
       i.tenant_id,
       i.phone_number_id,
       i.sender_phone,
       i.sender_user_id,
       i.sent_at AS replied_at,
       i.message_type,
       CASE WHEN i.revoked_at IS NULL THEN i.text END AS reply,
       i.reply_id,
       i.revoked_at,
       i.message_id IS NOT NULL AS quotes_message,
       m.id AS message_id,
       m.reference,
       m.template_name,
       m.created_at AS message_created_at,
       m.status AS message_status
FROM @extschema@.whatsapp_inbound_messages AS i
    LEFT JOIN LATERAL (
        SELECT o.id, o.reference, o.template_name, o.created_at, o.status
        FROM @extschema@.whatsapp_messages AS o
        WHERE o.id = COALESCE(i.message_id, (
            SELECT l.id FROM (
                (SELECT p.id FROM @extschema@.whatsapp_messages AS p
                 WHERE p.recipient_phone = i.sender_phone AND p.tenant_id = i.tenant_id
                     AND p.created_at < i.sent_at + '1 second'::interval
                 ORDER BY p.id DESC LIMIT 1)
                UNION ALL
                (SELECT p.id FROM @extschema@.whatsapp_messages AS p
                 WHERE p.recipient_user_id = i.sender_user_id AND p.recipient_phone IS NULL
                     AND p.tenant_id = i.tenant_id AND p.created_at < i.sent_at + '1 second'::interval
                 ORDER BY p.id DESC LIMIT 1)) AS l
            ORDER BY l.id DESC LIMIT 1))) AS m ON true
WHERE i.message_type NOT IN ('system', 'revoke', 'request_welcome')
    AND NOT (i.message_type = 'edit' AND i.about_inbound_id IS NOT NULL);
COMMENT ON VIEW @extschema@.wa_replies IS
'What people have answered, and to which of our messages: the one they replied to, or else the last one that the '
'tenant had sent them. Edits are shown in what they change. Give sender_phone, sender_user_id, or tenant_id with '
'replied_at; a tenant''s own role sees its own.';
COMMENT ON COLUMN @extschema@.wa_replies.inbound_id IS 'The reply in whatsapp_inbound_messages.';
COMMENT ON COLUMN @extschema@.wa_replies.tenant_id IS 'The tenant that it belongs to.';
COMMENT ON COLUMN @extschema@.wa_replies.phone_number_id IS 'The number that it came to.';
COMMENT ON COLUMN @extschema@.wa_replies.sender_phone IS 'Who replied, in international form with +; NULL: hidden.';
COMMENT ON COLUMN @extschema@.wa_replies.sender_user_id IS 'The business-scoped user ID of who replied.';
COMMENT ON COLUMN @extschema@.wa_replies.replied_at IS 'When it was sent, by Meta''s clock.';
COMMENT ON COLUMN @extschema@.wa_replies.message_type IS 'text, button, interactive, image, reaction …';
COMMENT ON COLUMN @extschema@.wa_replies.reply IS
'What it says: text, caption, the title of what was pressed or chosen, the emoji; NULL if it was deleted.';
COMMENT ON COLUMN @extschema@.wa_replies.reply_id IS
'The payload of the button, or the ID of the row, that was chosen.';
COMMENT ON COLUMN @extschema@.wa_replies.revoked_at IS 'When it was deleted, or a reaction taken back.';
COMMENT ON COLUMN @extschema@.wa_replies.quotes_message IS
'Whether it replied to that message itself; false: message_id is the last one before it.';
COMMENT ON COLUMN @extschema@.wa_replies.message_id IS 'Our message; NULL: there was none, or it is no longer kept.';
COMMENT ON COLUMN @extschema@.wa_replies.reference IS 'That message''s reference, such as an order number.';
COMMENT ON COLUMN @extschema@.wa_replies.template_name IS 'That message''s template.';
COMMENT ON COLUMN @extschema@.wa_replies.message_created_at IS 'When that message was enqueued.';
COMMENT ON COLUMN @extschema@.wa_replies.message_status IS 'What has become of it.';
