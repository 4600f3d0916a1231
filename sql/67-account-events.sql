/*
 * What Meta says about the account: into the registries, into alerts, and into
 * damage control.
 *
 * Events come late, twice and out of order.  Each is recorded once
 * (whatsapp_account_events); one that is older than what is known of the same
 * thing changes nothing.
 */

/*
 * What Meta has said about the account, in full: the record behind alerts and
 * pauses, and what makes a repeated delivery recognisable.
 */
CREATE TABLE @extschema@.whatsapp_account_events (
    event_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fingerprint bytea NOT NULL
        CONSTRAINT whatsapp_account_events_fingerprint_key UNIQUE,
    field       text NOT NULL,
    key         text NOT NULL DEFAULT '',
    value       jsonb NOT NULL,
    happened_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX whatsapp_account_events_key_idx
    ON @extschema@.whatsapp_account_events (field, key, happened_at);
CREATE INDEX whatsapp_account_events_received_idx
    ON @extschema@.whatsapp_account_events (received_at);
COMMENT ON TABLE @extschema@.whatsapp_account_events IS
'Webhooks about the account itself: templates, numbers, restrictions, limits. Kept for whatsapp_shared.retention.';
COMMENT ON COLUMN @extschema@.whatsapp_account_events.event_id IS 'Number of the event.';
COMMENT ON COLUMN @extschema@.whatsapp_account_events.fingerprint IS
'Hash of the event, by which a repeated delivery is recognised.';
COMMENT ON COLUMN @extschema@.whatsapp_account_events.field IS
'The webhook field, such as account_update or message_template_status_update.';
COMMENT ON COLUMN @extschema@.whatsapp_account_events.key IS
'What the event concerns, if known: a template, a phone number, a customer, a part of the account.';
COMMENT ON COLUMN @extschema@.whatsapp_account_events.value IS 'The event as Meta sent it.';
COMMENT ON COLUMN @extschema@.whatsapp_account_events.happened_at IS 'When it happened, by Meta''s clock.';
COMMENT ON COLUMN @extschema@.whatsapp_account_events.received_at IS
'When it was received; for errors of the field messages, which carry no time, when it last counted.';

/* ---- templates -------------------------------------------------------------------- */

CREATE FUNCTION @extschema@.wa_internal_event_template_status(value jsonb, at timestamptz) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    template_name CONSTANT text := value ->> 'message_template_name';
    template_language CONSTANT text := value ->> 'message_template_language';
    key CONSTANT text := template_name || '/' || template_language;
    event CONSTANT text := upper(value ->> 'event');
    title CONSTANT text := value #>> '{other_info,title}';
    why CONSTANT text := COALESCE(value #>> '{other_info,description}', value #>> '{rejection_info,reason}',
        NULLIF(value ->> 'reason', 'NONE'));
    usable CONSTANT boolean := event IN ('APPROVED', 'REINSTATED', 'UNARCHIVED') OR title = 'UNPAUSE';
BEGIN
    /* FLAGGED is a warning: the template can still be sent. */
    UPDATE @extschema@.whatsapp_templates AS t
        SET status = CASE WHEN usable THEN 'APPROVED' WHEN event = 'FLAGGED' THEN t.status ELSE event END,
            rejected_reason = CASE event WHEN 'REJECTED' THEN COALESCE(value ->> 'reason', why) END,
            updated_at = clock_timestamp()
        WHERE t.name = template_name AND t.language = template_language;
    IF NOT FOUND THEN
        UPDATE @extschema@.whatsapp_sync SET requested_at = clock_timestamp() WHERE kind = 'templates';
    END IF;

    IF usable THEN
        PERFORM @extschema@.wa_internal_lift_pause('template'::text, key, true);
        PERFORM @extschema@.wa_internal_resolve_alert('template_status'::text, 'template'::text, key);
        RETURN;
    END IF;
    IF event IN ('PAUSED', 'DISABLED', 'LOCKED', 'REJECTED', 'ARCHIVED', 'PENDING_DELETION', 'DELETED') THEN
        /* The first two pauses for quality end by themselves. */
        PERFORM @extschema@.wa_internal_pause('template'::text, key, 'template_' || lower(event),
            format('Meta has set it to %s%s', event, ' (' || COALESCE(why, title) || ')'), NULL::integer,
            CASE WHEN event = 'PAUSED' THEN at + CASE title
                WHEN 'FIRST_PAUSE' THEN interval '3 hours' WHEN 'SECOND_PAUSE' THEN interval '6 hours' END END);
    END IF;
    IF event NOT IN ('PENDING', 'IN_APPEAL') THEN
        PERFORM @extschema@.wa_internal_alert(
            CASE WHEN event IN ('DISABLED', 'REJECTED', 'LIMIT_EXCEEDED', 'LOCKED') THEN 'error' ELSE 'warning' END,
            'template_status'::text, 'template'::text, key,
            format('Meta has set the template %s to %s%s', key, event, ': ' || why), value);
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_event_template_quality(value jsonb, at timestamptz) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key CONSTANT text := concat_ws('/', value ->> 'message_template_name', value ->> 'message_template_language');
    score CONSTANT text := upper(value ->> 'new_quality_score');
BEGIN
    UPDATE @extschema@.whatsapp_templates AS t
        SET quality = score, updated_at = clock_timestamp()
        WHERE t.name = value ->> 'message_template_name' AND t.language = value ->> 'message_template_language';
    IF score IN ('YELLOW', 'RED') THEN
        PERFORM @extschema@.wa_internal_alert(CASE score WHEN 'RED' THEN 'error' ELSE 'warning' END,
            'template_quality'::text, 'template'::text, key,
            format('The quality of the template %s is %s: if it falls further, Meta pauses it.', key, score), value);
    ELSE
        PERFORM @extschema@.wa_internal_resolve_alert('template_quality'::text, 'template'::text, key);
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_event_template_category(value jsonb, at timestamptz) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key CONSTANT text := concat_ws('/', value ->> 'message_template_name', value ->> 'message_template_language');
BEGIN
    UPDATE @extschema@.whatsapp_templates AS t
        SET category = upper(value ->> 'new_category'), updated_at = clock_timestamp()
        WHERE t.name = value ->> 'message_template_name' AND t.language = value ->> 'message_template_language'
            AND value ->> 'new_category' IS NOT NULL;
    PERFORM @extschema@.wa_internal_alert('warning'::text, 'template_category'::text, 'template'::text, key,
        CASE WHEN value ->> 'new_category' IS NULL
             THEN format('Meta is going to change the category of the template %s to %s', key,
                 value ->> 'correct_category')
             ELSE format('Meta has changed the category of the template %s from %s to %s', key,
                 COALESCE(value ->> 'previous_category', 'another'), value ->> 'new_category') END
            || '; price and limits go with it.', value);
END
$$;

/* ---- numbers ------------------------------------------------------------------------ */

/* Webhooks of the account name a number as people write it. */
CREATE FUNCTION @extschema@.wa_internal_number_by_display(display text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT n.phone_number_id FROM @extschema@.whatsapp_phone_numbers AS n
    WHERE regexp_replace(n.display_phone_number, '[^0-9]', '', 'g') = regexp_replace(display, '[^0-9]', '', 'g')
    ORDER BY n.missing_since IS NOT NULL, n.phone_number_id LIMIT 1
$$;

/* TIER_2K, 2000 or -1, as they come; NULL for what is none of them. */
CREATE FUNCTION @extschema@.wa_internal_limit_name(value text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN value ~ '^TIER_[A-Z0-9_]{1,20}$' THEN value
        WHEN value = '-1' THEN 'TIER_UNLIMITED'
        WHEN value ~ '^[1-9][0-9]{0,2}$' THEN 'TIER_' || value
        WHEN value ~ '^[1-9][0-9]{0,5}000$' THEN 'TIER_' || left(value, -3) || 'K'
        WHEN value ~ '^[1-9][0-9]{0,8}$' THEN 'TIER_' || value
        END
$$;

/* The limit belongs to the whole portfolio and stands at each of its numbers. */
CREATE FUNCTION @extschema@.wa_internal_set_limit(limit_name text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    former text;
BEGIN
    IF limit_name IS NULL THEN
        RETURN;
    END IF;
    SELECT n.messaging_limit INTO former FROM @extschema@.whatsapp_phone_numbers AS n
        WHERE n.messaging_limit IS NOT NULL AND n.missing_since IS NULL
        ORDER BY n.synced_at DESC NULLS LAST LIMIT 1;
    UPDATE @extschema@.whatsapp_phone_numbers AS n
        SET messaging_limit = limit_name
        WHERE n.missing_since IS NULL AND n.messaging_limit IS DISTINCT FROM limit_name;
    PERFORM @extschema@.wa_internal_limit_alert(''::text, former, limit_name);
END
$$;

CREATE FUNCTION @extschema@.wa_internal_event_number_quality(value jsonb, at timestamptz) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    number CONSTANT text := @extschema@.wa_internal_number_by_display(value ->> 'display_phone_number');
    event CONSTANT text := upper(value ->> 'event');
BEGIN
    /* The event does not tell everything: the numbers are read anew as well. */
    UPDATE @extschema@.whatsapp_sync SET requested_at = clock_timestamp() WHERE kind = 'phone_numbers';
    PERFORM @extschema@.wa_internal_set_limit(@extschema@.wa_internal_limit_name(
        COALESCE(value ->> 'max_daily_conversations_per_business', value ->> 'current_limit')));
    IF number IS NULL THEN
        RETURN;
    END IF;

    IF event = 'THROUGHPUT_UPGRADE' THEN
        UPDATE @extschema@.whatsapp_phone_numbers AS n SET throughput_level = 'HIGH'
            WHERE n.phone_number_id = number;
    ELSIF event = 'FLAGGED' THEN
        PERFORM @extschema@.wa_internal_alert('error'::text, 'number_flagged'::text, 'number'::text, number,
            format('Meta has flagged the phone number %s for its quality.', number), value);
        UPDATE @extschema@.whatsapp_phone_numbers AS n SET flagged_at = at WHERE n.phone_number_id = number;
    ELSIF event = 'UNFLAGGED' THEN
        PERFORM @extschema@.wa_internal_resolve_alert('number_flagged'::text, 'number'::text, number);
        UPDATE @extschema@.whatsapp_phone_numbers AS n SET flagged_at = NULL WHERE n.phone_number_id = number;
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_event_number_name(value jsonb, at timestamptz) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    number CONSTANT text := @extschema@.wa_internal_number_by_display(value ->> 'display_phone_number');
    decision CONSTANT text := upper(value ->> 'decision');
BEGIN
    UPDATE @extschema@.whatsapp_phone_numbers AS n
        SET name_status = decision,
            verified_name = CASE decision
                WHEN 'APPROVED' THEN COALESCE(value ->> 'requested_verified_name', n.verified_name)
                                          ELSE n.verified_name END
        WHERE n.phone_number_id = number;
    IF decision = 'APPROVED' THEN
        PERFORM @extschema@.wa_internal_resolve_alert('number_name'::text, 'number'::text, number);
        PERFORM @extschema@.wa_internal_alert('info'::text, 'number_name_approved'::text, 'number'::text, number,
            format('Meta has approved the name "%s": it is shown once the number has been registered again.',
                value ->> 'requested_verified_name'), value);
    ELSIF decision = 'REJECTED' THEN
        PERFORM @extschema@.wa_internal_alert('warning'::text, 'number_name'::text, 'number'::text, number,
            format('Meta has rejected the name "%s"%s', value ->> 'requested_verified_name',
                ': ' || (value ->> 'rejection_reason')), value);
    END IF;
END
$$;

/* ---- the account -------------------------------------------------------------------- */

CREATE FUNCTION @extschema@.wa_internal_restrict_account(info jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kind CONSTANT text := info ->> 'restriction_type';
    until CONSTANT timestamptz := CASE WHEN info ->> 'expiration' ~ '^[0-9]{9,11}$'
        THEN to_timestamp((info ->> 'expiration')::bigint) END;
BEGIN
    PERFORM @extschema@.wa_internal_alert('error'::text, 'account_restriction'::text, 'account'::text, COALESCE(kind,
        ''),
        format('Meta restricts the account: %s%s', kind, ' until ' || until), info);
    IF kind IN ('RESTRICTED_BIZ_INITIATED_MESSAGING', 'RESTRICTED_CUSTOMER_INITIATED_MESSAGING')
       AND COALESCE(until, 'infinity') > clock_timestamp() THEN
        PERFORM @extschema@.wa_internal_pause('account'::text, NULL::text, 'account_restriction'::text,
            format('Meta restricts the account: %s', kind), NULL::integer, until);
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_event_account_update(value jsonb, at timestamptz) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event CONSTANT text := upper(value ->> 'event');
    ban CONSTANT text := upper(value #>> '{ban_info,waba_ban_state}');
    gone CONSTANT boolean :=
        event IN ('ACCOUNT_DELETED', 'PARTNER_REMOVED', 'PARTNER_APP_UNINSTALLED', 'ACCOUNT_OFFBOARDED')
        OR event = 'DISABLED_UPDATE' AND ban = 'DISABLE';
    back CONSTANT boolean := event = 'ACCOUNT_RECONNECTED' OR event = 'DISABLED_UPDATE' AND ban = 'REINSTATE';
BEGIN
    IF event = 'ACCOUNT_RESTRICTION' THEN
        PERFORM @extschema@.wa_internal_restrict_account(r.info)
            FROM jsonb_array_elements(CASE jsonb_typeof(value -> 'restriction_info')
                WHEN 'array' THEN value -> 'restriction_info' ELSE '[]' END) AS r (info);
    ELSIF gone THEN
        PERFORM @extschema@.wa_internal_pause('account'::text, NULL::text, 'account_disabled'::text,
            format('Meta says %s', concat_ws(', ', event, ban)), NULL::integer, NULL::timestamptz);
        PERFORM @extschema@.wa_internal_alert('error'::text, 'account_disabled'::text, 'account'::text, ''::text,
            format('The account can no longer be used: Meta says %s.', concat_ws(', ', event, ban)), value);
    ELSIF back THEN
        PERFORM @extschema@.wa_internal_lift_pause_for('account'::text, NULL::text, '^account_'::text);
        PERFORM @extschema@.wa_internal_resolve_alert('account_disabled'::text, 'account'::text, ''::text);
    ELSIF event = 'DISABLED_UPDATE' THEN
        PERFORM @extschema@.wa_internal_alert('error'::text, 'account_disabled'::text, 'account'::text, ''::text,
            format('Meta is going to disable the account (%s%s).', ban,
                ', ' || (value #>> '{ban_info,waba_ban_date}')), value);
    ELSIF event = 'ACCOUNT_VIOLATION' THEN
        PERFORM @extschema@.wa_internal_alert('error'::text, 'account_violation'::text, 'account'::text, ''::text,
            format('Meta reports a violation of its policy: %s', value #>> '{violation_info,violation_type}'), value);
    ELSE
        PERFORM @extschema@.wa_internal_alert('info'::text, 'account_update'::text, 'account'::text, COALESCE(event,
            ''),
            format('Meta reports a change of the account: %s', event), value);
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_event_account_alert(value jsonb, at timestamptz) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    info CONSTANT jsonb := COALESCE(value -> 'alert_info', value);
    key CONSTANT text := concat_ws(' ', value ->> 'entity_type', value ->> 'entity_id', info ->> 'alert_type');
BEGIN
    IF upper(info ->> 'alert_status') IN ('RESOLVED', 'DISMISSED') THEN
        PERFORM @extschema@.wa_internal_resolve_alert('account_alert'::text, 'account'::text, key);
    ELSE
        PERFORM @extschema@.wa_internal_alert(
            CASE upper(info ->> 'alert_severity')
                WHEN 'CRITICAL' THEN 'error' WHEN 'WARNING' THEN 'warning' ELSE 'info' END,
            'account_alert'::text, 'account'::text, key,
            COALESCE(info ->> 'alert_description', info ->> 'alert_type', 'Meta raises an alert.'), value);
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_event_account_review(value jsonb, at timestamptz) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF upper(value ->> 'decision') = 'APPROVED' THEN
        PERFORM @extschema@.wa_internal_resolve_alert('account_review'::text, 'account'::text, ''::text);
    ELSE
        PERFORM @extschema@.wa_internal_alert(
            CASE upper(value ->> 'decision') WHEN 'REJECTED' THEN 'error' ELSE 'warning' END,
            'account_review'::text, 'account'::text, ''::text,
            format('Meta''s review of the account ended with %s.', value ->> 'decision'), value);
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_event_security(value jsonb, at timestamptz) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_alert('warning'::text, 'security'::text, 'number'::text,
        COALESCE(@extschema@.wa_internal_number_by_display(value ->> 'display_phone_number'), ''),
        format('Security event for a phone number: %s. If you did not cause it, change the PIN in WhatsApp Manager.',
            value ->> 'event'), value);
END
$$;

CREATE FUNCTION @extschema@.wa_internal_event_username(value jsonb, at timestamptz) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_alert(
        CASE value ->> 'status' WHEN 'approved' THEN 'info' ELSE 'warning' END, 'business_username'::text,
            'number'::text,
        COALESCE(@extschema@.wa_internal_number_by_display(value ->> 'display_phone_number'), ''),
        format('The user name "%s" is %s.', value ->> 'username', value ->> 'status'), value);
END
$$;

/*
 * Errors of a whole change: not a message's, but often the account's.  Each code is
 * an alert by itself, in order, for two webhooks must not lock them crosswise.
 */
CREATE FUNCTION @extschema@.wa_internal_event_errors(value jsonb, at timestamptz) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_alert('warning'::text, 'webhook_error'::text, 'number'::text,
            concat_ws('/', value #>> '{metadata,phone_number_id}', e.error ->> 'code'),
            format('Meta reports error %s: %s', e.error ->> 'code',
                COALESCE(e.error #>> '{error_data,details}', e.error ->> 'title')), e.error)
        FROM (SELECT a.error
              FROM jsonb_array_elements(CASE jsonb_typeof(value -> 'errors')
                  WHEN 'array' THEN value -> 'errors' ELSE '[]' END) AS a (error)
              ORDER BY a.error ->> 'code') AS e;
END
$$;

/* A template is known by name and language; without both, the event is about nothing. */
CREATE FUNCTION @extschema@.wa_internal_check_template_event(value jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF value ->> 'message_template_name' IS NULL OR value ->> 'message_template_language' IS NULL THEN
        RAISE EXCEPTION 'template not named' USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;

/* ---- all of them ----------------------------------------------------------------------- */

CREATE FUNCTION @extschema@.wa_internal_dispatch_event(field text, value jsonb, at timestamptz) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF field IN ('message_template_status_update', 'message_template_quality_update', 'template_category_update') THEN
        PERFORM @extschema@.wa_internal_check_template_event(value);
    END IF;
    CASE field
        WHEN 'message_template_status_update' THEN
            PERFORM @extschema@.wa_internal_event_template_status(value, at);
        WHEN 'message_template_quality_update' THEN
            PERFORM @extschema@.wa_internal_event_template_quality(value, at);
        WHEN 'template_category_update' THEN
            PERFORM @extschema@.wa_internal_event_template_category(value, at);
        WHEN 'message_template_components_update' THEN
            UPDATE @extschema@.whatsapp_sync SET requested_at = clock_timestamp() WHERE kind = 'templates';
        WHEN 'phone_number_quality_update' THEN
            PERFORM @extschema@.wa_internal_event_number_quality(value, at);
        WHEN 'phone_number_name_update' THEN
            PERFORM @extschema@.wa_internal_event_number_name(value, at);
        WHEN 'account_update' THEN
            PERFORM @extschema@.wa_internal_event_account_update(value, at);
        WHEN 'account_alerts' THEN
            PERFORM @extschema@.wa_internal_event_account_alert(value, at);
        WHEN 'account_review_update' THEN
            PERFORM @extschema@.wa_internal_event_account_review(value, at);
        WHEN 'business_capability_update' THEN
            PERFORM @extschema@.wa_internal_set_limit(
                @extschema@.wa_internal_limit_name(value ->> 'max_daily_conversations_per_business'));
        WHEN 'security' THEN
            PERFORM @extschema@.wa_internal_event_security(value, at);
        WHEN 'business_username_update', 'business_username_updates' THEN
            PERFORM @extschema@.wa_internal_event_username(value, at);
        /* What follows from it is done by then; see src/webhook/identity_change.c. */
        WHEN 'user_id_update', 'user_id_updates' THEN
        WHEN 'messages' THEN
            PERFORM @extschema@.wa_internal_event_errors(value, at);
        WHEN 'smb_message_echoes', 'history', 'standby', 'message_echoes' THEN
            PERFORM @extschema@.wa_internal_store_app_messages(field, value, at);
        ELSE
            RETURN false;
    END CASE;
    RETURN true;
END
$$;

/* What Meta documents (November 2026), and nothing here depends on: recorded, and no more. */
CREATE FUNCTION @extschema@.wa_internal_event_is_ignored(field text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT field = ANY ('{
        account_settings_update, automatic_events, business_status_update, calls, consumer_profile, flows,
        group_lifecycle_update, group_participants_update, group_settings_update, group_status_update,
        messaging_handovers, partner_solutions, payment_configuration_update,
        smb_app_state_sync, template_correct_category_detection, tracking_events}')
$$;

/*
 * What is kept of an event as such.  What people have written is kept once: in
 * whatsapp_app_messages, and in whatsapp_inbound_messages what came beside it.
 */
CREATE FUNCTION @extschema@.wa_internal_event_record(field text, value jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN field IN ('smb_message_echoes', 'history', 'standby', 'message_echoes')
        THEN value - '{message_echoes,history,standby,messages,statuses,contacts}'::text[] ELSE value END
$$;

/* As the registries spell it: Meta writes languages with an underscore, and in some webhooks with a hyphen. */
CREATE FUNCTION @extschema@.wa_internal_event_spelling(value jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN value ->> 'message_template_language' LIKE '%-%'
        THEN value || jsonb_build_object('message_template_language',
            replace(value ->> 'message_template_language', '-', '_'))
        ELSE value END
$$;

/*
 * What an event is about: later ones of the same field and key supersede earlier
 * ones.  Empty where each stands for itself.
 */
CREATE FUNCTION @extschema@.wa_internal_event_key(field text, value jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE field
        WHEN 'account_update' THEN CASE
            WHEN upper(value ->> 'event') IN ('ACCOUNT_DELETED', 'PARTNER_REMOVED', 'PARTNER_APP_UNINSTALLED',
                'ACCOUNT_OFFBOARDED', 'ACCOUNT_RECONNECTED') THEN 'connection'
            WHEN upper(value ->> 'event') IN ('DISABLED_UPDATE', 'VOLUME_BASED_PRICING_TIER_UPDATE')
                THEN lower(value ->> 'event')
            ELSE '' END
        WHEN 'account_alerts' THEN concat_ws(' ', value ->> 'entity_type', value ->> 'entity_id',
            value #>> '{alert_info,alert_type}')
        WHEN 'account_review_update' THEN 'account'
        WHEN 'business_capability_update' THEN 'account'
        WHEN 'security' THEN ''
        WHEN 'phone_number_quality_update' THEN concat_ws(' ', value ->> 'display_phone_number',
            CASE WHEN upper(value ->> 'event') IN ('FLAGGED', 'UNFLAGGED') THEN 'flag' ELSE 'limit' END)
        WHEN 'messaging_handovers' THEN concat_ws('/', value #>> '{recipient,phone_number_id}',
            COALESCE(NULLIF(regexp_replace(COALESCE(value #>> '{sender,phone_number}', value #>> '{sender,wa_id}'),
                '[^0-9]', '', 'g'), ''), value #>> '{sender,user_id}'))
        ELSE COALESCE(
            (value ->> 'message_template_name') || '/' || (value ->> 'message_template_language'),
            value ->> 'display_phone_number', '')
        END
$$;

/*
 * Takes one event: applied, duplicate, ignored, or the reason why it cannot be used.
 * One that goes wrong leaves nothing behind but that reason, unless the error
 * is one that ends by itself: then Meta may send it again.
 *
 * Errors in the field "messages" carry neither a time nor an id.  Nothing in
 * them, nor in the rest of their webhook, tells a webhook that Meta repeats
 * from the same error happening again; only the time between them does.  Meta
 * repeats at once what it got no answer for.  What comes again later than that
 * is news: an open alert is counted up, a resolved one opens anew.
 */
CREATE FUNCTION @extschema@.wa_internal_account_event(field text, value jsonb, happened_at timestamptz) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    mark CONSTANT bytea := substr(sha256(convert_to(
        concat_ws(E'\n', field, EXTRACT(epoch FROM happened_at), value), 'UTF8')), 1, 16);
    /* What Meta dates into the future would supersede all that happens until then. */
    at CONSTANT timestamptz := LEAST(COALESCE(happened_at,
        CASE WHEN value ->> 'timestamp' ~ '^[0-9]{9,11}$' THEN to_timestamp((value ->> 'timestamp')::bigint) END),
        clock_timestamp());
    known CONSTANT jsonb := @extschema@.wa_internal_event_spelling(value);
    about CONSTANT text := @extschema@.wa_internal_event_key(field, known);
    repetition CONSTANT interval := '10 minutes';
    superseded boolean;
    problem text;
BEGIN
    BEGIN
        superseded := happened_at IS NOT NULL AND about <> '' AND EXISTS (
            SELECT FROM @extschema@.whatsapp_account_events AS e
            WHERE e.field = field AND e.key = about AND e.happened_at > at);
        INSERT INTO @extschema@.whatsapp_account_events AS e (fingerprint, field, key, value, happened_at)
            VALUES (mark, field, about, @extschema@.wa_internal_event_record(field, value), at)
            ON CONFLICT ON CONSTRAINT whatsapp_account_events_fingerprint_key DO UPDATE
            SET happened_at = EXCLUDED.happened_at, received_at = EXCLUDED.received_at
            WHERE e.field = 'messages' AND happened_at IS NULL AND e.received_at < at - repetition;
        IF NOT FOUND OR superseded THEN
            RETURN 'duplicate';
        ELSIF @extschema@.wa_internal_event_is_ignored(field) THEN
            RETURN 'ignored';
        ELSIF NOT @extschema@.wa_internal_dispatch_event(field, known, at) THEN
            RAISE EXCEPTION USING ERRCODE = 'WA001';
        END IF;
        RETURN 'applied';
    EXCEPTION
        WHEN SQLSTATE 'WA001' THEN
            RETURN 'unknown_field';
        WHEN transaction_rollback OR insufficient_resources OR operator_intervention THEN
            RAISE;
        WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT;
            RETURN 'failed: ' || left(problem, 200);
    END;
END
$$;
