/*
 * Alerts: what an operator should look at, as rows and as NOTIFY.
 */

CREATE TABLE @extschema@.whatsapp_alerts (
    alert_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at      timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    severity        text NOT NULL
        CONSTRAINT whatsapp_alerts_severity_check CHECK (severity IN ('info', 'warning', 'error')),
    kind            text NOT NULL,
    scope           text NOT NULL DEFAULT '',
    key             text NOT NULL DEFAULT '',
    message         text NOT NULL,
    detail          jsonb,
    occurrences     integer NOT NULL DEFAULT 1,
    last_seen_at    timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    resolved_at     timestamptz
);
CREATE UNIQUE INDEX whatsapp_alerts_open_key
    ON @extschema@.whatsapp_alerts (kind, scope, key)
    WHERE resolved_at IS NULL;
/* They go with their message. */
CREATE INDEX whatsapp_alerts_message_idx ON @extschema@.whatsapp_alerts (key) WHERE scope = 'message';
COMMENT ON TABLE @extschema@.whatsapp_alerts IS
'What an operator should look at. A repeated condition is counted on its open alert; each new alert is also sent as '
'NOTIFY whatsapp_alerts.';
COMMENT ON COLUMN @extschema@.whatsapp_alerts.alert_id IS 'The argument of wa_resolve_alert().';
COMMENT ON COLUMN @extschema@.whatsapp_alerts.created_at IS 'When the condition was first noticed.';
COMMENT ON COLUMN @extschema@.whatsapp_alerts.severity IS 'info, warning or error.';
COMMENT ON COLUMN @extschema@.whatsapp_alerts.kind IS
'What happened, as a code, such as paused, token or webhook_silence.';
COMMENT ON COLUMN @extschema@.whatsapp_alerts.scope IS
'What the alert concerns: account, number, tenant, template, message; empty for others.';
COMMENT ON COLUMN @extschema@.whatsapp_alerts.key IS 'Which one of the scope; empty for the account.';
COMMENT ON COLUMN @extschema@.whatsapp_alerts.message IS 'One sentence for people.';
COMMENT ON COLUMN @extschema@.whatsapp_alerts.detail IS 'Further facts, by kind.';
COMMENT ON COLUMN @extschema@.whatsapp_alerts.occurrences IS
'How often the condition was noticed while the alert was open.';
COMMENT ON COLUMN @extschema@.whatsapp_alerts.last_seen_at IS 'When it was last noticed.';
COMMENT ON COLUMN @extschema@.whatsapp_alerts.resolved_at IS
'When the alert was closed, by wa_resolve_alert() or because the cause was gone; NULL while it is open.';

/*
 * Opens an alert, or counts up the open one of the same kind, scope and key.
 * Listeners hear of new ones and of those that have become worse.
 */
CREATE FUNCTION @extschema@.wa_internal_alert(
    a_severity text,
    a_kind text,
    a_scope text,
    a_key text,
    a_message text,
    a_detail jsonb DEFAULT NULL)
RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ranks CONSTANT text[] := '{info,warning,error}';
    before text;
    id bigint;
BEGIN
    SELECT a.severity INTO before FROM @extschema@.whatsapp_alerts AS a
        WHERE a.kind = a_kind AND a.scope = COALESCE(a_scope, '') AND a.key = COALESCE(a_key, '')
            AND a.resolved_at IS NULL
        FOR UPDATE;
    INSERT INTO @extschema@.whatsapp_alerts AS a (severity, kind, scope, key, message, detail)
        VALUES (a_severity, a_kind, COALESCE(a_scope, ''), COALESCE(a_key, ''), a_message, a_detail)
        ON CONFLICT (kind, scope, key) WHERE resolved_at IS NULL DO UPDATE
        SET severity = EXCLUDED.severity, message = EXCLUDED.message, detail = EXCLUDED.detail,
            occurrences = a.occurrences + 1, last_seen_at = EXCLUDED.last_seen_at
        RETURNING a.alert_id INTO id;
    IF before IS NULL
       OR array_position(ranks, a_severity) > array_position(ranks, before) THEN
        /* A payload must stay under 8000 bytes; the row has the rest. */
        PERFORM pg_notify('whatsapp_alerts', json_build_object(
            'alert_id', id, 'severity', a_severity, 'kind', a_kind,
            'scope', a_scope, 'key', left(a_key, 300),
            'message', left(a_message, 600))::text);
    END IF;
    RETURN id;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_resolve_alert(a_kind text, a_scope text, a_key text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE @extschema@.whatsapp_alerts AS a
        SET resolved_at = clock_timestamp()
        WHERE a.kind = a_kind AND a.scope = COALESCE(a_scope, '') AND a.key = COALESCE(a_key, '')
            AND a.resolved_at IS NULL;
    RETURN FOUND;
END
$$;

CREATE FUNCTION @extschema@.wa_resolve_alert(alert_id bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_check_not_null('alert_id'::text, alert_id);
    UPDATE @extschema@.whatsapp_alerts AS a
        SET resolved_at = clock_timestamp()
        WHERE a.alert_id = wa_resolve_alert.alert_id AND a.resolved_at IS NULL;
    IF NOT FOUND AND NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_alerts AS a WHERE a.alert_id = wa_resolve_alert.alert_id) THEN
        RAISE EXCEPTION 'alert % does not exist', alert_id USING ERRCODE = 'undefined_object';
    END IF;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_resolve_alert(bigint) IS
'Closes an alert that has been dealt with. If its cause returns, a new alert is opened. False: it was closed already.';
