/*
 * What happened in the installation, and who did it.
 *
 * Most of it is in other tables already.  What people do over the gateway is
 * noted here, because the tables say what has changed, but not by whom; a pause
 * that somebody has lifted is in no table at all.
 */

CREATE TABLE @extschema@.whatsapp_actions (
    action_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    actor     text NOT NULL,
    action    text NOT NULL,
    scope     text NOT NULL,
    key       text NOT NULL DEFAULT '',
    detail    jsonb
);
CREATE INDEX whatsapp_actions_at_idx ON @extschema@.whatsapp_actions (at);
CREATE INDEX whatsapp_actions_key_idx ON @extschema@.whatsapp_actions (scope, key, at);
COMMENT ON TABLE @extschema@.whatsapp_actions IS
'What people have done over the gateway, and who. Kept for whatsapp_shared.retention.';
COMMENT ON COLUMN @extschema@.whatsapp_actions.action_id IS 'Number of the action.';
COMMENT ON COLUMN @extschema@.whatsapp_actions.at IS 'When it was done.';
COMMENT ON COLUMN @extschema@.whatsapp_actions.actor IS
'Who did it: the user that the trusted proxy named, or the role of the token.';
COMMENT ON COLUMN @extschema@.whatsapp_actions.action IS 'What was done, such as assign_phone, pause or retry_message.';
COMMENT ON COLUMN @extschema@.whatsapp_actions.scope IS
'What it was done to: account, number, tenant, template, message or alert.';
COMMENT ON COLUMN @extschema@.whatsapp_actions.key IS 'Which one of the scope; empty for the account.';
COMMENT ON COLUMN @extschema@.whatsapp_actions.detail IS 'Further facts, by action.';

/*
 * Notes an action.  It also forgets two that are too old, so that the table stays
 * as long as the retention says without anybody's care.
 */
CREATE FUNCTION @extschema@.wa_internal_note_action(
    an_actor text,
    an_action text,
    a_scope text,
    a_key text,
    a_detail jsonb DEFAULT NULL)
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kept CONSTANT interval := current_setting('whatsapp_shared.retention', true)::interval;
BEGIN
    INSERT INTO @extschema@.whatsapp_actions (actor, action, scope, key, detail)
        VALUES (left(COALESCE(an_actor, ''), 200), an_action, a_scope, left(COALESCE(a_key, ''), 255), a_detail);
    IF kept > interval '0' THEN
        DELETE FROM @extschema@.whatsapp_actions AS a WHERE a.action_id IN (
            SELECT o.action_id FROM @extschema@.whatsapp_actions AS o
            WHERE o.at < clock_timestamp() - kept
            ORDER BY o.at LIMIT 2 FOR UPDATE SKIP LOCKED);
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_timeline(
    began timestamptz DEFAULT pg_catalog.now() - interval '7 days',
    ended timestamptz DEFAULT 'infinity')
RETURNS TABLE (at timestamptz, kind text, severity text, subject text, text text, actor text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    ROWS 1000
AS $$
    /* alerts, and their ends */
    SELECT a.created_at, 'alert', a.severity, concat_ws(' ', NULLIF(a.scope, ''), NULLIF(a.key, '')),
           a.message, NULL
        FROM @extschema@.whatsapp_alerts AS a WHERE a.created_at >= began AND a.created_at < ended
    UNION ALL
    SELECT a.resolved_at, 'alert_resolved', 'info', concat_ws(' ', NULLIF(a.scope, ''), NULLIF(a.key, '')),
           format('Over: %s', a.message), NULL
        FROM @extschema@.whatsapp_alerts AS a WHERE a.resolved_at >= began AND a.resolved_at < ended
    UNION ALL
    /* pauses in force; an automatic one is an alert, too */
    SELECT p.paused_at, 'pause', CASE p.scope WHEN 'account' THEN 'error' ELSE 'warning' END,
           concat_ws(' ', p.scope, NULLIF(p.key, '')),
           concat_ws(', ', format('Paused: %s', concat_ws(': ', p.reason, p.detail)),
               'until ' || date_trunc('second', p.until)::text), NULL
        FROM @extschema@.whatsapp_pauses AS p
        WHERE p.paused_at >= began AND p.paused_at < ended AND NOT p.automatic AND NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_actions AS a
            WHERE a.action = 'pause' AND a.scope = p.scope AND a.key = p.key AND a.at >= p.paused_at)
    UNION ALL
    /* numbers */
    SELECT a.assigned_at, 'assigned', 'info', 'tenant ' || a.tenant_id,
           format('Got number %s', concat_ws(', ', p.phone_number_id, p.display_phone_number)), NULL
        FROM @extschema@.whatsapp_phone_assignments AS a
            JOIN @extschema@.whatsapp_phone_numbers AS p ON p.phone_number_id = a.phone_number_id
        WHERE a.assigned_at >= began AND a.assigned_at < ended
    UNION ALL
    SELECT a.unassigned_at, 'unassigned', 'info', 'tenant ' || a.tenant_id,
           format('Lost number %s', concat_ws(', ', p.phone_number_id, p.display_phone_number)), NULL
        FROM @extschema@.whatsapp_phone_assignments AS a
            JOIN @extschema@.whatsapp_phone_numbers AS p ON p.phone_number_id = a.phone_number_id
        WHERE a.unassigned_at >= began AND a.unassigned_at < ended
    UNION ALL
    SELECT p.missing_since, 'number_missing', 'warning', 'number ' || p.phone_number_id,
           'Meta no longer lists the number', NULL
        FROM @extschema@.whatsapp_phone_numbers AS p WHERE p.missing_since >= began AND p.missing_since < ended
    UNION ALL
    SELECT t.missing_since, 'template_missing', 'warning', format('template %s/%s', t.name, t.language),
           'Meta no longer lists the template', NULL
        FROM @extschema@.whatsapp_templates AS t WHERE t.missing_since >= began AND t.missing_since < ended
    UNION ALL
    SELECT t.created_at, 'tenant', 'info', 'tenant ' || t.tenant_id, 'Created', NULL
        FROM @extschema@.whatsapp_tenants AS t WHERE t.created_at >= began AND t.created_at < ended
    UNION ALL
    /* what Meta has said about the account: when it came, which has an index */
    SELECT e.received_at, 'event', 'info', concat_ws(' ', e.field, NULLIF(e.key, '')),
           concat_ws(' ', 'Meta reports', e.field, COALESCE(e.value ->> 'event', e.value ->> 'decision')), NULL
        FROM @extschema@.whatsapp_account_events AS e
        WHERE e.received_at >= began AND e.received_at < ended
            AND NOT @extschema@.wa_internal_event_is_ignored(e.field)
            AND e.field NOT IN ('smb_message_echoes', 'history', 'standby', 'message_echoes')
    UNION ALL
    /* the installation and its processes */
    SELECT s.started_at, 'sender', 'info', 'sender ' || s.sender, 'Started', NULL
        FROM @extschema@.wa_stats() AS s WHERE s.started_at >= began AND s.started_at < ended
    UNION ALL
    SELECT s.finished_at, 'sync', 'info', s.kind, format('Read from Meta: %s', s.items), NULL
        FROM @extschema@.whatsapp_sync AS s WHERE s.finished_at >= began AND s.finished_at < ended
    UNION ALL
    SELECT s.started_at, 'sync', 'warning', s.kind, format('Could not be read from Meta: %s', s.error), NULL
        FROM @extschema@.whatsapp_sync AS s
        WHERE s.error IS NOT NULL AND s.started_at >= began AND s.started_at < ended
    UNION ALL
    SELECT h.adopted_at, 'adopted', 'warning', 'installation ' || h.installation_id, 'At home here', NULL
        FROM @extschema@.whatsapp_home AS h WHERE h.adopted_at >= began AND h.adopted_at < ended
    UNION ALL
    SELECT h.takeover_at, 'takeover', 'warning', 'installation ' || h.installation_id,
           'This server was promoted and has taken over', NULL
        FROM @extschema@.whatsapp_home AS h WHERE h.takeover_at >= began AND h.takeover_at < ended
    UNION ALL
    /* what people have done over the gateway */
    SELECT a.at, a.action, 'info', concat_ws(' ', a.scope, NULLIF(a.key, '')), a.detail ->> 'text', a.actor
        FROM @extschema@.whatsapp_actions AS a WHERE a.at >= began AND a.at < ended
$$;
COMMENT ON FUNCTION @extschema@.wa_timeline(timestamptz, timestamptz) IS
'What happened from one time to another, in no order: alerts and their ends, pauses, assignments of numbers, what Meta '
'has said about the account, starts of senders, and what people have done over the gateway (with actor).';
