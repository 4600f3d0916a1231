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
'What the alert concerns: account, number, tenant, template, message; recipient, in rows that only those see who may '
'read whatsapp_messages; empty for others.';
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

/* What each kind of alert is about and what to do, in words; the alert itself has the facts. */
CREATE FUNCTION @extschema@.wa_internal_alert_kinds(OUT kind text, OUT title text, OUT remedy text)
RETURNS SETOF record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    VALUES
    ('account_alert', 'Meta raises an alert about the account',
     'Read it in Business Manager, then resolve the alert.'),
    ('account_disabled', 'Meta disables the account',
     'Nothing can be sent from it: appeal in Business Manager, and tell your tenants.'),
    ('account_restriction', 'Meta restricts the account',
     'See the restriction and its end in Business Manager; request a review if it is wrong.'),
    ('account_review', 'Meta has reviewed the account', 'See Business Manager; a rejection can be appealed.'),
    ('account_update', 'Meta has changed the account', 'Read it, then resolve the alert.'),
    ('account_violation', 'Meta reports a violation of its policy',
     'See Business Manager for the message concerned, and stop sending its like.'),
    ('api_version', 'Meta answers with another version of its API',
     'Set whatsapp_shared.api_version to the version that Meta answers with, and reload.'),
    ('business_username', 'A user name has changed', 'Read it, then resolve the alert.'),
    ('duplicate_send', 'Messages have reached Meta more than once',
     'Tell the tenant that its recipient may have got the message twice, then resolve the alert.'),
    ('messaging_limit', 'Meta has lowered the limit of recipients per day',
     'Send less, and only what recipients asked for: the limit rises with quality.'),
    ('network', 'Meta does not answer',
     'It is tried again and again. If it lasts, check the server''s connection to graph.facebook.com.'),
    ('node_behind', 'Another node does not take its webhooks',
     'See its gateway, its server and its app secret; what waits is delivered by itself.'),
    ('node_expired', 'Webhooks for another node were given up',
     'Meta does not repeat them: tell the tenants of that node.'),
    ('node_full', 'Too many webhooks wait for another node',
     'Meta repeats those that are refused for seven days: have the node run before that.'),
    ('node_refuses', 'Another node refuses a webhook',
     'See the log of that node''s server for the reason; it is tried again by itself.'),
    ('no_numbers', 'Meta lists no phone numbers',
     'Check whatsapp_shared.business_account_id and the permissions of the access token.'),
    ('number_display', 'A number was entered differently than at Meta',
     'Check that the right number was assigned, then resolve the alert.'),
    ('number_flagged', 'Meta has flagged numbers for their quality',
     'Recipients block or report their messages: send fewer, and only what they asked for.'),
    ('number_missing', 'Numbers are no longer part of the account',
     'Assign their tenants other numbers, or restore them in WhatsApp Manager.'),
    ('number_name', 'Meta has rejected a display name', 'Choose another name in WhatsApp Manager.'),
    ('number_name_approved', 'Meta has approved a display name', 'Register the number again to show it.'),
    ('number_quality', 'The quality of numbers is low',
     'Recipients block or report their messages: send fewer, and only what they asked for.'),
    ('number_status', 'Numbers are not connected',
     'See WhatsApp Manager; assign their tenants other numbers meanwhile.'),
    ('number_unlisted', 'Assigned numbers are not the account''s',
     'What is sent from them fails: assign the tenants numbers of the account.'),
    ('opted_out_of_all', 'Recipients get no message at all', 'If they have agreed again, opt them in: wa_opt_in().'),
    ('parked_events', 'Many webhook items could not be used',
     'See whatsapp_parked_events for the reasons; after an update of the extension they may be usable.'),
    ('parked_messages', 'What customers wrote could not be used',
     'See whatsapp_parked_events; after an update of the extension, wa_reprocess_parked() takes it in.'),
    ('paused', 'Sending is paused', 'Resume when the cause has gone.'),
    ('registration', 'Registered code is not run',
     'The roles behind a handler or a notification have changed: register it again.'),
    ('reply_handler', 'A handler of replies fails', 'Fix the function, then wa_retry_reply() for what it has missed.'),
    ('security', 'Security events of phone numbers',
     'If you did not cause them, change the PIN in WhatsApp Manager and look who has access.'),
    ('statuses_missing', 'Many messages have no delivery status',
     'Check that the webhook receiver answers and that the app is subscribed to the account.'),
    ('sync', 'Meta''s lists cannot be read',
     'Check whatsapp_shared.business_account_id and the permissions of the access token.'),
    ('template_category', 'Meta changes the category of templates',
     'Price and limits go with it: word the template anew if the category is wrong.'),
    ('template_quality', 'The quality of templates is low', 'Word them anew before Meta pauses them.'),
    ('template_status', 'Templates cannot be used', 'See the reason in WhatsApp Manager; edit or replace them.'),
    ('token', 'The access token needs attention',
     'Put a new token into the file named by whatsapp_shared.access_token_file; it is read again by itself.'),
    ('uncertain', 'Messages may or may not have arrived',
     'Ask the recipient, then decide: arrived, failed, or send again.'),
    ('unknown_error_code', 'Meta reports an error that is not known here',
     'Look it up at Meta; a newer version of the extension may know it.'),
    ('webhook_error', 'Meta reports errors by webhook', 'Read them, then resolve the alert.'),
    ('webhook_silence', 'No webhook reports on messages',
     'Check that the webhook receiver is reachable from the internet and that the app is subscribed to the account.')
$$;
