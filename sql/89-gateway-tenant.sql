/*
 * The routes of wa_gateway that a tenant reaches with a link of its own, and the
 * page that is made of them, in words for people who do not run the platform:
 * a state, a reason that the page translates, and what was said.
 */

/* ---- who asks ------------------------------------------------------------------- */

/*
 * The tenant in the path, for whoever may see it: the holder of a link of that
 * tenant, an administrator, and for reading a viewer.  Every route below begins
 * here.  A wrong key is found out before anything is said about the tenant.
 */
CREATE FUNCTION @extschema@.wa_internal_gateway_own_tenant(
    request jsonb,
    changes boolean,
    arguments text[] DEFAULT '{}',
    members text[] DEFAULT '{}')
RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF request #>> '{actor,role}' = 'tenant' THEN
        PERFORM @extschema@.wa_internal_check_link(request #>> '{path,tenant_id}', request #>> '{actor,key_sha256}');
    ELSE
        PERFORM @extschema@.wa_internal_gateway_require(request, CASE WHEN changes THEN 'admin' ELSE 'viewer' END);
    END IF;
    PERFORM @extschema@.wa_internal_gateway_act(request);
    PERFORM @extschema@.wa_internal_gateway_accept(request, arguments, members);
    RETURN @extschema@.wa_internal_gateway_tenant(request);
END
$$;

/*
 * Why a message of the tenant would not leave now; NULL: it would.  switched_off is
 * the tenant's own doing; the platform has to give it a number (no_number), to end a
 * pause (paused), or to see to the installation (stopped).
 */
CREATE FUNCTION @extschema@.wa_internal_tenant_obstacle(tenant text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN NOT t.enabled THEN 'switched_off'
        WHEN n.number IS NULL THEN 'no_number'
        WHEN EXISTS (
            SELECT FROM @extschema@.whatsapp_pauses AS p
            WHERE (p.until IS NULL OR p.until > clock_timestamp())
                AND (p.scope = 'account' OR p.scope = 'tenant' AND p.key = tenant
                     OR p.scope = 'number' AND p.key = n.number)) THEN 'paused'
        WHEN @extschema@.wa_internal_global_obstacle() IS NOT NULL THEN 'stopped' END
    FROM @extschema@.whatsapp_tenants AS t
        CROSS JOIN LATERAL (SELECT @extschema@.wa_internal_number_of(t.tenant_id) AS number) AS n
    WHERE t.tenant_id = tenant
$$;

/* ---- links ---------------------------------------------------------------------- */

CREATE FUNCTION @extschema@.wa_gateway_create_link(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenant text;
    link record;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text,
        members => '{valid_for_seconds,page}'::text[]);
    tenant := @extschema@.wa_internal_gateway_tenant(request);
    SELECT l.* INTO link FROM @extschema@.wa_internal_make_link(tenant,
        make_interval(secs => COALESCE(@extschema@.wa_internal_gateway_body_integer(request,
            'valid_for_seconds'::text, 60, 365 * 86400), 30 * 86400)),
        COALESCE(@extschema@.wa_internal_gateway_string(request, 'page'::text), 'notifications'),
        concat_ws(' ', request #>> '{actor,role}', request #>> '{actor,name}')) AS l;
    status := 201;
    body := jsonb_build_object('tenant_id', tenant, 'url', link.url, 'expires_at', link.expires_at);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_create_link(jsonb) IS
'POST /api/v1/admin/whatsapp/tenants/{tenant_id}/links {valid_for_seconds, page}: wa_tenant_link(). The address is in '
'this answer only.';

CREATE FUNCTION @extschema@.wa_gateway_revoke_links(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenant text;
    revoked integer;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text);
    tenant := @extschema@.wa_internal_gateway_tenant(request);
    revoked := @extschema@.wa_revoke_links(tenant);
    status := 200;
    body := jsonb_build_object('tenant_id', tenant, 'revoked', revoked);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_revoke_links(jsonb) IS
'DELETE /api/v1/admin/whatsapp/tenants/{tenant_id}/links: wa_revoke_links().';

/* Nobody is signed in yet, but has shown a key. */
CREATE FUNCTION @extschema@.wa_gateway_link_session(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    link @extschema@.whatsapp_tenant_links;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_accept(request, '{lang}'::text[]);
    SELECT l.* INTO link FROM @extschema@.wa_internal_check_link(request #>> '{path,tenant_id}',
        request #>> '{actor,key_sha256}') AS l;
    status := 200;
    body := jsonb_build_object('tenant_id', link.tenant_id, 'page', link.page, 'expires_at', link.expires_at);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_link_session(jsonb) IS
'POST /app/settings/notifications/{tenant_id}/session {key}: whether the key is that of a link of this tenant, and '
'until when.';

/* ---- settings ------------------------------------------------------------------- */

/* The languages that templates can be sent in. */
CREATE FUNCTION @extschema@.wa_internal_template_languages() RETURNS text[]
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(array_agg(DISTINCT t.language ORDER BY t.language), '{}')
    FROM @extschema@.whatsapp_templates AS t
    WHERE t.status = 'APPROVED' AND t.missing_since IS NULL AND t.name <> 'hello_world'
$$;

/* The settings document of 25-settings, with what else a tenant sets. */
CREATE FUNCTION @extschema@.wa_internal_gateway_settings(tenant text) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT @extschema@.wa_notification_settings(t.tenant_id)
        || jsonb_build_object(
            'tenant_id', t.tenant_id,
            'quiet_from', to_char(t.quiet_from, 'HH24:MI'),
            'quiet_to', to_char(t.quiet_to, 'HH24:MI'),
            'time_zone', COALESCE(t.time_zone, current_setting('log_timezone')),
            'read_receipts', t.read_receipts,
            'languages', @extschema@.wa_internal_template_languages())
    FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = tenant
$$;

CREATE FUNCTION @extschema@.wa_gateway_notification_settings(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    status := 200;
    body := @extschema@.wa_internal_gateway_settings(@extschema@.wa_internal_gateway_own_tenant(request, false));
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_notification_settings(jsonb) IS
'GET /api/v1/tenants/{tenant_id}/notification-settings: the document of wa_notification_settings(), with the quiet '
'hours, the time zone and the languages that templates are approved in.';

/* A time of day in the body, as a form sends it. */
CREATE FUNCTION @extschema@.wa_internal_gateway_body_clock(request jsonb, name text) RETURNS time
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given CONSTANT text := @extschema@.wa_internal_gateway_string(request, name);
BEGIN
    IF given !~ '^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$' THEN
        RAISE EXCEPTION '"%" must be a time of day', name
            USING ERRCODE = 'invalid_parameter_value', COLUMN = name, HINT = 'Write it as in 21:30.';
    END IF;
    RETURN given::time;
END
$$;

/*
 * What a tenant must not change is refused only if it is changed: a document can
 * be sent back as it was read.
 */
CREATE FUNCTION @extschema@.wa_internal_gateway_check_settings(request jsonb, before jsonb) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name text;
    languages CONSTANT jsonb := before -> 'languages';
    wanted CONSTANT jsonb := NULLIF(request #> '{body,whatsapp_default_language}', 'null');
BEGIN
    FOREACH name IN ARRAY CASE WHEN request #>> '{actor,role}' = 'tenant'
        THEN '{tenant_id,languages,time_zone,messages_per_second,daily_share,on_uncertain}'::text[]
        ELSE '{tenant_id,languages}'::text[] END
    LOOP
        IF (request -> 'body') ? name AND request #> ARRAY['body', name] IS DISTINCT FROM before -> name THEN
            RAISE EXCEPTION '"%" cannot be changed here', name
                USING ERRCODE = 'insufficient_privilege', COLUMN = name,
                      HINT = 'This is for the platform to set.';
        END IF;
    END LOOP;
    IF request #>> '{actor,role}' = 'tenant' AND jsonb_array_length(languages) > 0
       AND NOT languages @> wanted AND wanted <> before -> 'whatsapp_default_language' THEN
        RAISE EXCEPTION 'there are no messages in this language'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'whatsapp_default_language',
                  HINT = format('There are in: %s.',
                      (SELECT string_agg(l.tag, ', ') FROM jsonb_array_elements_text(languages) AS l (tag)));
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_gateway_set_notification_settings(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = warning
AS $$
DECLARE
    document CONSTANT jsonb := CASE jsonb_typeof(request -> 'body') WHEN 'object' THEN request -> 'body' ELSE '{}' END;
    credentials CONSTANT text[] := (SELECT k.dropped FROM @extschema@.wa_internal_settings_keys(document) AS k);
    tenant text;
    before jsonb;
BEGIN
    tenant := @extschema@.wa_internal_gateway_own_tenant(request, true, members => credentials || '{tenant_id,
        whatsapp_enabled,whatsapp_default_language,whatsapp_phone_number_id,whatsapp_display_phone_number,quiet_from,
        quiet_to,read_receipts,time_zone,languages,messages_per_second,daily_share,on_uncertain}'::text[]);
    before := @extschema@.wa_internal_gateway_settings(tenant);
    PERFORM @extschema@.wa_internal_gateway_check_settings(request, before);
    PERFORM @extschema@.wa_set_notification_settings(tenant,
        document - '{quiet_from,quiet_to,read_receipts,time_zone,languages,messages_per_second,daily_share,
            on_uncertain}'::text[]);
    PERFORM @extschema@.wa_configure_tenant(tenant,
        quiet_from => @extschema@.wa_internal_gateway_body_clock(request, 'quiet_from'::text),
        quiet_to => @extschema@.wa_internal_gateway_body_clock(request, 'quiet_to'::text),
        /* The server's, sent back as it was read, is not made the tenant's own. */
        time_zone => CASE WHEN request #>> '{actor,role}' = 'admin' THEN NULLIF(
            @extschema@.wa_internal_gateway_string(request, 'time_zone'::text), before ->> 'time_zone') END,
        messages_per_second => (@extschema@.wa_internal_gateway_member(request, 'messages_per_second'::text,
            'number'::text) #>> '{}')::real,
        daily_share => (@extschema@.wa_internal_gateway_member(request, 'daily_share'::text,
            'number'::text) #>> '{}')::real,
        on_uncertain => @extschema@.wa_internal_gateway_string(request, 'on_uncertain'::text),
        read_receipts => (@extschema@.wa_internal_gateway_member(request, 'read_receipts'::text,
            'boolean'::text) #>> '{}')::boolean,
        reset => CASE WHEN document ? 'quiet_from' AND document ? 'quiet_to'
                           AND COALESCE(document ->> 'quiet_from', '') = ''
                           AND COALESCE(document ->> 'quiet_to', '') = ''
                      THEN '{quiet_hours}'::text[] ELSE '{}' END);
    body := @extschema@.wa_internal_gateway_settings(tenant);
    status := 200;
    IF cardinality(credentials) > 0 THEN
        body := body || jsonb_build_object('dropped', credentials);
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_set_notification_settings(jsonb) IS
'PUT /api/v1/tenants/{tenant_id}/notification-settings: wa_set_notification_settings(), quiet_from and quiet_to (both '
'null: none), read_receipts, and for an administrator time_zone, messages_per_second, daily_share and on_uncertain. '
'Absent members stay; credentials of older documents are dropped, and the answer names them in dropped.';

/*
 * The switch alone, for a page without scripts: what its form sends is text.  The
 * gateway makes a page of the answer (owner_form.c).
 */
CREATE FUNCTION @extschema@.wa_gateway_tenant_form(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_sent CONSTANT boolean := COALESCE(request -> 'body', 'null') <> 'null';
    tenant CONSTANT text := @extschema@.wa_internal_gateway_own_tenant(request, is_sent, '{plain,lang}'::text[],
        '{whatsapp_enabled}'::text[]);
    wanted text;
BEGIN
    IF is_sent THEN
        wanted := @extschema@.wa_internal_gateway_string(request, 'whatsapp_enabled'::text, true);
        IF wanted NOT IN ('true', 'false') THEN
            RAISE EXCEPTION '"whatsapp_enabled" must be true or false'
                USING ERRCODE = 'invalid_parameter_value', COLUMN = 'whatsapp_enabled';
        END IF;
        PERFORM @extschema@.wa_gateway_set_notification_settings(request
            || jsonb_build_object('query', '{}'::jsonb,
                'body', jsonb_build_object('whatsapp_enabled', wanted::boolean)));
    END IF;
    status := 200;
    body := @extschema@.wa_internal_gateway_settings(tenant)
        || jsonb_build_object('obstacle', @extschema@.wa_internal_tenant_obstacle(tenant));
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_tenant_form(jsonb) IS
'GET and POST /app/settings/notifications/{tenant_id}, of a page without scripts: the settings document with the '
'obstacle of the tenant''s messages, after the switch was set if the form was sent.';

/* ---- sending ---------------------------------------------------------------------------- */

/* What a tenant is told if it cannot be; reason is for the page, which has words of its own. */
CREATE FUNCTION @extschema@.wa_internal_gateway_refusal(reason text, more jsonb DEFAULT '{}') RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object('reason', reason, 'detail', CASE reason
        WHEN 'switched_off' THEN 'WhatsApp is switched off for this tenant'
        WHEN 'no_number' THEN 'the platform has not given this tenant a number yet'
        WHEN 'paused' THEN 'sending is paused by the platform'
        WHEN 'stopped' THEN 'the platform is not sending at the moment'
        WHEN 'opted_out' THEN 'this person has asked not to get messages'
        WHEN 'window_closed' THEN 'one may write freely for 24 hours after somebody has written, and they are over'
        WHEN 'no_template' THEN 'there is no approved template that could be sent as a test'
        WHEN 'too_many' THEN 'that is enough test messages for this hour' END) || more
$$;

/* The key that makes one message of one press of a button; without one, each request is a press. */
CREATE FUNCTION @extschema@.wa_internal_gateway_press(request jsonb) RETURNS text
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT encode(sha256(convert_to(
        COALESCE(request ->> 'idempotency_key', gen_random_uuid()::text), 'UTF8'::name)), 'hex')
$$;

/* A number that somebody has typed. */
CREATE FUNCTION @extschema@.wa_internal_gateway_body_recipient(request jsonb, name text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    message text;
    hint text;
BEGIN
    RETURN @extschema@.wa_internal_recipient(@extschema@.wa_internal_gateway_string(request, name, true));
EXCEPTION WHEN invalid_parameter_value THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RAISE EXCEPTION '%', message
        USING ERRCODE = 'invalid_parameter_value', COLUMN = name, HINT = hint;
END
$$;

/* Values for a template: those that Meta was shown as examples, else a word. */
CREATE FUNCTION @extschema@.wa_internal_template_samples(components jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH parts AS (
        SELECT upper(c.value ->> 'type') AS type, c.value AS part, c.value -> 'example' AS example
        FROM jsonb_array_elements(components) AS c (value)
    ), places AS (
        SELECT DISTINCT ON (p.type, m.name[1]) p.type, m.name[1] AS name, m.i, COALESCE(
            (SELECT e.value ->> 'example'
             FROM jsonb_path_query(p.example, 'strict $.*[*] ? (@.type() == "object")', silent => true) AS e (value)
             WHERE e.value ->> 'param_name' = m.name[1]),
            CASE WHEN m.name[1] ~ '^[0-9]{1,3}$' THEN COALESCE(
                p.example #>> ARRAY['body_text', '0', (m.name[1]::integer - 1)::text],
                p.example #>> ARRAY['header_text', (m.name[1]::integer - 1)::text]) END,
            'ejemplo') AS sample
        FROM parts AS p
            CROSS JOIN LATERAL regexp_matches(p.part ->> 'text', '\{\{\s*([A-Za-z0-9_]+)\s*\}\}', 'g')
                WITH ORDINALITY AS m (name, i)
        WHERE p.type IN ('HEADER', 'BODY')
        ORDER BY p.type, m.name[1], m.i
    )
    SELECT COALESCE(NULLIF(jsonb_strip_nulls(jsonb_build_object(
        'header', (SELECT h.sample FROM places AS h WHERE h.type = 'HEADER' LIMIT 1),
        'body', (SELECT CASE WHEN bool_and(b.name ~ '^[0-9]{1,3}$')
                     THEN jsonb_agg(b.sample ORDER BY CASE WHEN b.name ~ '^[0-9]{1,3}$' THEN b.name::integer END)
                     ELSE jsonb_object_agg(b.name, b.sample) END
                 FROM places AS b WHERE b.type = 'BODY'),
        'buttons', (SELECT CASE WHEN bool_or(v.sample IS NOT NULL) THEN jsonb_agg(v.sample ORDER BY v.i) END
                    FROM parts AS p
                        CROSS JOIN LATERAL jsonb_array_elements(p.part -> 'buttons') WITH ORDINALITY AS b (value, i)
                        CROSS JOIN LATERAL (SELECT b.i, CASE
                            WHEN upper(b.value ->> 'type') = 'URL' AND b.value ->> 'url' LIKE '%{{%' THEN 'ejemplo'
                            WHEN upper(b.value ->> 'type') = 'COPY_CODE' THEN 'EJEMPLO' END) AS v (i, sample)
                    WHERE p.type = 'BUTTONS'))), '{}'), '[]')
$$;

/*
 * What a test message of the tenant may be made of, the best first: the templates of
 * notifications and of what it has sent lately, in its language rather than another;
 * Meta's own sample at last.
 */
CREATE FUNCTION @extschema@.wa_internal_test_templates(tenant text)
RETURNS SETOF @extschema@.whatsapp_templates
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.*
    FROM @extschema@.whatsapp_templates AS t
        JOIN @extschema@.whatsapp_tenants AS o ON o.tenant_id = tenant
    WHERE t.status = 'APPROVED' AND t.missing_since IS NULL AND t.category <> 'AUTHENTICATION'
        AND (t.name = 'hello_world'
             OR EXISTS (SELECT FROM @extschema@.whatsapp_notifications AS n WHERE n.template_name = t.name)
             OR t.name IN (
                SELECT m.template_name
                FROM (SELECT l.template_name FROM @extschema@.whatsapp_messages AS l
                      WHERE l.tenant_id = tenant ORDER BY l.created_at DESC LIMIT 50) AS m))
    ORDER BY t.name = 'hello_world', t.category <> 'UTILITY',
        t.language <> COALESCE(o.language, current_setting('whatsapp_shared.default_language', true)),
        t.name, t.language
    LIMIT 20
$$;

/*
 * Sends a test.  Who has written within 24 hours gets a sentence that says what it
 * is; all others a template, for nothing else reaches them.  NULL: there is none that
 * can be filled in.
 */
CREATE FUNCTION @extschema@.wa_internal_send_test(tenant text, recipient text, key text) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    number CONSTANT text := @extschema@.wa_internal_number_of(tenant);
    sender CONSTANT text := COALESCE(
        (SELECT NULLIF(p.verified_name, '') FROM @extschema@.whatsapp_phone_numbers AS p
         WHERE p.phone_number_id = number), tenant);
    t @extschema@.whatsapp_templates;
BEGIN
    IF clock_timestamp()
       < (SELECT w.until FROM @extschema@.wa_internal_answer_window(number, ARRAY[recipient]) AS w) THEN
        RETURN @extschema@.wa_enqueue_text(tenant, recipient,
            CASE WHEN @extschema@.wa_notification_settings(tenant) ->> 'whatsapp_default_language' LIKE 'en%'
                 THEN format('Test message of %s: if you can read this, messages by WhatsApp work.', sender)
                 ELSE format('Mensaje de prueba de %s: si lo lees, los avisos por WhatsApp funcionan.', sender) END,
            priority => 100, idempotency_key => key);
    END IF;
    FOR t IN SELECT o.* FROM @extschema@.wa_internal_test_templates(tenant) AS o LOOP
        BEGIN
            RETURN @extschema@.wa_enqueue_message(tenant, recipient, t.name,
                @extschema@.wa_internal_template_samples(t.components), language => t.language, priority => 100,
                idempotency_key => key);
        EXCEPTION WHEN invalid_parameter_value OR object_not_in_prerequisite_state OR undefined_object THEN
            NULL; /* It needs a file, or what is said of it is not enough. */
        END;
    END LOOP;
    RETURN NULL;
END
$$;

CREATE FUNCTION @extschema@.wa_gateway_tenant_test_message(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = warning
AS $$
DECLARE
    an_hour CONSTANT integer := 5;
    tenant text;
    recipient text;
    hour timestamptz := date_trunc('hour', clock_timestamp());
    press text;
    sent bigint;
    message @extschema@.whatsapp_messages;
    reason text;
BEGIN
    tenant := @extschema@.wa_internal_gateway_own_tenant(request, true, members => '{recipient_phone}'::text[]);
    recipient := @extschema@.wa_internal_gateway_body_recipient(request, 'recipient_phone'::text);
    /* One at a time: the next one counts this one. */
    PERFORM FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = tenant FOR NO KEY UPDATE;
    press := @extschema@.wa_internal_gateway_press(request);
    SELECT m.* INTO message FROM @extschema@.whatsapp_messages AS m
        WHERE m.tenant_id = tenant AND m.idempotency_key IN (
            SELECT format('gateway-test:%s:%s', extract(epoch FROM h.hour)::bigint, press)
            FROM (VALUES (hour), (hour - interval '1 hour')) AS h (hour));
    IF FOUND THEN
        status := 200;
    ELSE
        reason := @extschema@.wa_internal_tenant_obstacle(tenant);
        IF reason IS NULL AND an_hour <= (
            SELECT count(*) FROM @extschema@.whatsapp_messages AS m
            WHERE m.tenant_id = tenant
                AND m.idempotency_key >= format('gateway-test:%s:', extract(epoch FROM hour)::bigint)
                AND m.idempotency_key < format('gateway-test:%s;', extract(epoch FROM hour)::bigint)) THEN
            status := 429;
            body := @extschema@.wa_internal_gateway_refusal('too_many'::text, jsonb_build_object('retry_after_seconds',
                ceil(extract(epoch FROM hour + interval '1 hour' - clock_timestamp()))::integer));
            RETURN;
        END IF;
        IF reason IS NULL THEN
            BEGIN
                sent := @extschema@.wa_internal_send_test(tenant, recipient,
                    format('gateway-test:%s:%s', extract(epoch FROM hour)::bigint, press));
                SELECT m.* INTO message FROM @extschema@.whatsapp_messages AS m WHERE m.id = sent;
                reason := CASE WHEN message.id IS NULL THEN 'no_template'
                               WHEN message.status = 'skipped' THEN 'opted_out' END;
                IF reason IS NOT NULL THEN
                    RAISE EXCEPTION 'it is not kept' USING ERRCODE = 'WA001';
                END IF;
            EXCEPTION WHEN SQLSTATE 'WA001' THEN
                NULL;
            END;
        END IF;
        IF reason IS NOT NULL THEN
            status := 409;
            body := @extschema@.wa_internal_gateway_refusal(reason);
            RETURN;
        END IF;
        status := 201;
    END IF;
    body := jsonb_build_object('id', message.id,
        'recipient', COALESCE(message.recipient_phone, message.recipient_user_id),
        'text', @extschema@.wa_internal_message_words(message));
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_tenant_test_message(jsonb) IS
'POST /api/v1/tenants/{tenant_id}/test-message {recipient_phone}: a sentence if the recipient has written within 24 '
'hours, else a template of the tenant''s with sample values, or hello_world. At most five in an hour (429); 409 with a '
'reason if none can be sent. Answers with what was sent.';

/* Whom an answer is for, and beneath what it stands. */
CREATE FUNCTION @extschema@.wa_internal_answer_target(
    tenant text, message_id bigint, inbound_id bigint,
    OUT beneath text, OUT addresses text[], OUT reference text, OUT context text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    message @extschema@.whatsapp_messages;
    heard @extschema@.whatsapp_inbound_messages;
BEGIN
    IF (message_id IS NULL) = (inbound_id IS NULL) THEN
        RAISE EXCEPTION 'an answer needs either message_id or inbound_id'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'message_id';
    ELSIF message_id IS NOT NULL THEN
        SELECT m.* INTO message FROM @extschema@.whatsapp_messages AS m
            WHERE m.id = message_id AND m.tenant_id = tenant;
        addresses := @extschema@.wa_internal_addresses(message);
        SELECT i.* INTO heard FROM @extschema@.whatsapp_inbound_messages AS i
            WHERE i.tenant_id = tenant AND i.received_at >= message.created_at AND i.message_id = message.id
            ORDER BY i.received_at DESC LIMIT 1;
    ELSE
        SELECT i.* INTO heard FROM @extschema@.whatsapp_inbound_messages AS i
            WHERE i.inbound_id = wa_internal_answer_target.inbound_id AND i.tenant_id = tenant;
        addresses := array_remove(ARRAY[heard.sender_phone, heard.sender_user_id], NULL);
    END IF;
    IF COALESCE(message.id, heard.inbound_id) IS NULL THEN
        RAISE EXCEPTION 'there is no such message' USING ERRCODE = 'no_data_found';
    END IF;
    beneath := COALESCE(message.id::text, 'i' || heard.inbound_id);
    reference := message.reference;
    context := heard.whatsapp_message_id;
END
$$;

CREATE FUNCTION @extschema@.wa_gateway_tenant_reply(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = warning
AS $$
DECLARE
    tenant text;
    words text;
    target record;
    opening record;
    key text;
    sent bigint;
    message @extschema@.whatsapp_messages;
    obstacle text;
    reason text;
BEGIN
    tenant := @extschema@.wa_internal_gateway_own_tenant(request, true,
        members => '{message_id,inbound_id,text}'::text[]);
    words := btrim(@extschema@.wa_internal_gateway_string(request, 'text'::text, true), E' \t\r\n');
    IF COALESCE(words, '') = '' OR length(words) > 4096 THEN
        RAISE EXCEPTION 'an answer has 1 to 4096 characters' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'text';
    END IF;
    SELECT a.* INTO target FROM @extschema@.wa_internal_answer_target(tenant,
        @extschema@.wa_internal_gateway_body_integer(request, 'message_id'::text, 1, 9223372036854775807),
        @extschema@.wa_internal_gateway_body_integer(request, 'inbound_id'::text, 1, 9223372036854775807)) AS a;
    SELECT w.* INTO opening FROM @extschema@.wa_internal_answer_window(
        @extschema@.wa_internal_number_of(tenant), target.addresses) AS w;
    key := @extschema@.wa_internal_answer_prefix(target.beneath) || @extschema@.wa_internal_gateway_press(request);
    obstacle := @extschema@.wa_internal_tenant_obstacle(tenant);
    SELECT m.* INTO message FROM @extschema@.whatsapp_messages AS m
        WHERE m.tenant_id = tenant AND m.idempotency_key = key;
    status := CASE WHEN FOUND THEN 200 ELSE 201 END;
    IF status = 201 THEN
        reason := CASE WHEN obstacle IN ('switched_off', 'no_number') THEN obstacle
                       WHEN opening.until > clock_timestamp() THEN NULL
                       ELSE 'window_closed' END;
        IF reason IS NULL THEN
            BEGIN
                sent := @extschema@.wa_enqueue_text(tenant, opening.recipient, words, priority => 100,
                    idempotency_key => key, reference => target.reference, context_message_id => target.context);
                SELECT m.* INTO STRICT message FROM @extschema@.whatsapp_messages AS m WHERE m.id = sent;
                IF message.status = 'skipped' THEN
                    reason := 'opted_out';
                    RAISE EXCEPTION 'it is not kept' USING ERRCODE = 'WA001';
                END IF;
            EXCEPTION WHEN SQLSTATE 'WA001' THEN
                NULL;
            END;
        END IF;
        IF reason IS NOT NULL THEN
            status := 409;
            body := @extschema@.wa_internal_gateway_refusal(reason,
                jsonb_build_object('can_answer_until', opening.until));
            RETURN;
        END IF;
        /* Who answers has read it. */
        PERFORM @extschema@.wa_mark_read(i.inbound_id) FROM @extschema@.whatsapp_inbound_messages AS i
            WHERE i.whatsapp_message_id = target.context;
    END IF;
    body := @extschema@.wa_internal_answer_words(message, obstacle)
        || jsonb_build_object('can_answer_until', opening.until);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_tenant_reply(jsonb) IS
'POST /api/v1/tenants/{tenant_id}/replies {message_id or inbound_id, text}: an answer in free words, beneath a message '
'of the tenant or to somebody who wrote by himself, whose message is marked as read with it. Outside of the 24 hours '
'409, with until when it was possible. Quiet hours do not hold it.';
