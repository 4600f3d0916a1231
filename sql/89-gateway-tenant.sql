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

/* ---- what messages said ----------------------------------------------------------- */

/* A template's text with its values in the places of {{1}} or {{name}}. */
CREATE FUNCTION @extschema@.wa_internal_fill_in(template text, given jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(s.literal || CASE WHEN p.name IS NULL THEN '' ELSE COALESCE(given ->> p.name[1], '…') END, ''
                      ORDER BY s.i)
    FROM regexp_split_to_table(template, '\{\{\s*[A-Za-z0-9_]+\s*\}\}') WITH ORDINALITY AS s (literal, i)
        LEFT JOIN regexp_matches(template, '\{\{\s*([A-Za-z0-9_]+)\s*\}\}', 'g') WITH ORDINALITY AS p (name, i)
            ON p.i = s.i
$$;

/* The values that a payload gives to a component, by place or name. */
CREATE FUNCTION @extschema@.wa_internal_payload_values(payload jsonb, component text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(jsonb_object_agg(COALESCE(v.value ->> 'parameter_name', v.i::text),
            COALESCE(v.value ->> 'text', v.value #>> '{currency,fallback_value}',
                     v.value #>> '{date_time,fallback_value}', '…')), '{}')
    FROM jsonb_array_elements(CASE jsonb_typeof(payload -> 'components')
            WHEN 'array' THEN payload -> 'components' ELSE '[]' END) AS c (value)
        CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(c.value -> 'parameters')
            WHEN 'array' THEN c.value -> 'parameters' ELSE '[]' END) WITH ORDINALITY AS v (value, i)
    WHERE lower(c.value ->> 'type') = component
$$;

/* What the recipient of a template reads: header and body; of one that is not known, its values. */
CREATE FUNCTION @extschema@.wa_internal_template_words(name text, language text, payload jsonb) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(
        (SELECT string_agg(@extschema@.wa_internal_fill_in(c.value ->> 'text',
                    @extschema@.wa_internal_payload_values(payload, lower(c.value ->> 'type'))), E'\n' ORDER BY c.i)
         FROM @extschema@.whatsapp_templates AS t
             CROSS JOIN LATERAL jsonb_array_elements(t.components) WITH ORDINALITY AS c (value, i)
         WHERE t.name = wa_internal_template_words.name AND t.language = wa_internal_template_words.language
             AND upper(c.value ->> 'type') IN ('HEADER', 'BODY') AND c.value ->> 'text' <> ''),
        (SELECT string_agg(v.value, ' · ')
         FROM jsonb_each_text(@extschema@.wa_internal_payload_values(payload, 'body'::text)) AS v (name, value)))
$$;

CREATE FUNCTION @extschema@.wa_internal_message_words(m @extschema@.whatsapp_messages) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT left(CASE m.message_type
        WHEN 'template' THEN @extschema@.wa_internal_template_words(m.template_name, m.template_language, m.payload)
        WHEN 'text' THEN m.payload ->> 'body'
        WHEN 'interactive' THEN m.payload #>> '{body,text}'
        WHEN 'reaction' THEN m.payload ->> 'emoji'
        WHEN 'location' THEN concat_ws(', ', m.payload ->> 'name', m.payload ->> 'address')
        WHEN 'contacts' THEN m.payload #>> '{0,name,formatted_name}'
        ELSE COALESCE(m.payload ->> 'caption', m.payload ->> 'filename') END, 4096)
$$;

/* ---- what became of them ------------------------------------------------------------ */

/*
 * Why it was not delivered, in the few cases in which its sender can do something
 * about it or must know; for everything else the platform is asked ("platform").
 */
CREATE FUNCTION @extschema@.wa_internal_plain_failure(m @extschema@.whatsapp_messages) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN m.status = 'expired' THEN 'too_late'
        WHEN m.status = 'skipped' THEN CASE m.status_reason WHEN 'tenant_disabled' THEN 'switched_off'
                                                            ELSE 'opted_out' END
        WHEN m.status_reason = 'uncertain' THEN 'perhaps'
        WHEN m.error_code = 131026 THEN 'no_whatsapp'
        WHEN m.error_code = 131021 THEN 'own_number'
        WHEN m.error_code = 131047 THEN 'window_closed'
        WHEN m.error_code IN (131050, 130403) THEN 'opted_out'
        WHEN m.error_code IN (130472, 131049) THEN 'withheld'
        WHEN m.error_code IN (131052, 131053) THEN 'file'
        WHEN m.error_code < 0 OR m.error_code IN (131000, 131016, 2, 1) THEN 'network'
        ELSE 'platform' END
$$;

/* The words of one message; obstacle: that of its tenant now. */
CREATE FUNCTION @extschema@.wa_internal_plain_state(
    m @extschema@.whatsapp_messages,
    obstacle text,
    OUT state text,
    OUT reason text,
    OUT retry_at timestamptz,
    OUT updated_at timestamptz)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    q @extschema@.whatsapp_queue;
BEGIN
    state := CASE m.status
        WHEN 'accepted' THEN 'sent' WHEN 'uncertain' THEN 'unknown'
        WHEN 'queued' THEN 'waiting' WHEN 'sending' THEN 'waiting'
        WHEN 'expired' THEN 'failed' WHEN 'skipped' THEN 'failed'
        ELSE m.status END;
    updated_at := GREATEST(m.created_at, m.accepted_at, m.sent_at, m.delivered_at, m.read_at, m.failed_at,
        m.finished_at);
    IF state = 'failed' THEN
        reason := @extschema@.wa_internal_plain_failure(m);
    ELSIF state = 'waiting' THEN
        SELECT o.* INTO q FROM @extschema@.whatsapp_queue AS o WHERE o.message_id = m.id;
        IF q.state = 'u' THEN
            state := 'unknown';
        ELSIF q.state = 'd' AND q.due_at > clock_timestamp() THEN
            reason := CASE q.hold_reason WHEN 'quiet_hours' THEN 'quiet_hours'
                WHEN 'retry' THEN 'again' WHEN 'network' THEN 'again' WHEN 'budget' THEN 'again'
                ELSE CASE WHEN m.scheduled_at > clock_timestamp() THEN 'scheduled' ELSE 'soon' END END;
            retry_at := q.due_at;
        ELSE
            reason := COALESCE(obstacle, CASE q.hold_reason WHEN 'media_upload' THEN 'file_upload'
                WHEN 'thread_taken' THEN 'elsewhere' ELSE 'soon' END);
        END IF;
    END IF;
END
$$;

/* ---- conversations -------------------------------------------------------------------- */

/*
 * An answer written on the page is a message like any other.  Its idempotency key
 * says beneath which message it stands, and is unique for each time that somebody
 * pressed the button, however often the request had to be repeated.
 */
CREATE FUNCTION @extschema@.wa_internal_answer_prefix(beneath text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'gateway-answer:' || beneath || ':'
$$;

/*
 * All forms of the address of a message's recipient: those of now before those that
 * another has taken the place of, and the message's own first.
 */
CREATE FUNCTION @extschema@.wa_internal_addresses(m @extschema@.whatsapp_messages) RETURNS text[]
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ARRAY(
        SELECT a.address
        FROM (SELECT o.address, o.place
              FROM unnest(ARRAY[m.recipient_phone, m.recipient_user_id, '+' || m.recipient_wa_id])
                  WITH ORDINALITY AS o (address, place)
              WHERE o.address IS NOT NULL
              UNION ALL
              SELECT f.identity, 9
              FROM @extschema@.whatsapp_contact_identities AS i
                  JOIN @extschema@.whatsapp_contact_identities AS f ON f.contact_id = i.contact_id
              WHERE i.identity = COALESCE(m.recipient_phone, m.recipient_user_id)) AS a (address, place)
            LEFT JOIN @extschema@.whatsapp_contact_identities AS k ON k.identity = a.address
        GROUP BY a.address
        ORDER BY bool_or(k.replaced_at IS NOT NULL), min(a.place), a.address)
$$;

/* Until when one may write freely to a person, and under which address; no row: he has never written. */
CREATE FUNCTION @extschema@.wa_internal_answer_window(
    number text, addresses text[], OUT recipient text, OUT until timestamptz)
RETURNS SETOF record
    LANGUAGE sql STABLE ROWS 1
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.recipient, w.last_inbound_at + interval '24 hours'
    FROM @extschema@.whatsapp_windows AS w
    WHERE w.phone_number_id = number AND w.recipient = ANY (addresses) AND w.last_inbound_at > '-infinity'
    ORDER BY w.last_inbound_at DESC, array_position(addresses, w.recipient) LIMIT 1
$$;

/* The address of now of whoever has written under one of these: the same for all of a person's. */
CREATE FUNCTION @extschema@.wa_internal_person_address(phone text, usr text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE((
        SELECT COALESCE('+' || c.wa_id, c.user_id)
        FROM @extschema@.whatsapp_contact_identities AS i
            JOIN @extschema@.whatsapp_contacts AS c ON c.contact_id = i.contact_id
        WHERE i.identity IN (phone, usr)
        ORDER BY i.identity = usr DESC NULLS LAST LIMIT 1), phone, usr)
$$;

/*
 * The newest messages from customers, each with that of the given messages beneath
 * which it stands: the one that it replies to, or whose answer it replies to; if it
 * replies to none, the last one that was sent to whoever wrote it.  Bounded: 500, and
 * for messages before "before" those of a week.  Meta's times are whole seconds.
 *
 * Compiling it would take a second and save none: what is rarely done (NOT EXISTS)
 * makes it look costly.
 */
CREATE FUNCTION @extschema@.wa_internal_heard(tenant text, messages bigint[], before timestamptz)
RETURNS TABLE (parent bigint, inbound_id bigint, person text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
    SET jit = off
AS $$
    WITH places AS MATERIALIZED (
        SELECT a.address, m.id, m.created_at
        FROM @extschema@.whatsapp_messages AS m
            CROSS JOIN LATERAL unnest(@extschema@.wa_internal_addresses(m)) AS a (address)
        WHERE m.id = ANY (messages)
    ), heard AS MATERIALIZED (
        SELECT i.inbound_id, i.message_id, i.sent_at, i.sender_phone, i.sender_user_id
        FROM @extschema@.whatsapp_inbound_messages AS i
        WHERE i.tenant_id = tenant
            AND i.received_at >= LEAST((SELECT min(p.created_at) FROM places AS p),
                CASE WHEN before IS NULL THEN now() - interval '7 days' END)
            AND i.received_at < COALESCE(before + interval '7 days', 'infinity')
            AND i.message_type NOT IN ('system', 'revoke', 'request_welcome')
            /* What it edits reads as it says; a reaction that was taken back, or replaced, is none. */
            AND NOT (i.message_type = 'edit' AND i.about_inbound_id IS NOT NULL)
            AND NOT (i.message_type = 'reaction' AND (i.text IS NULL OR i.revoked_at IS NOT NULL))
        ORDER BY i.received_at DESC LIMIT 500
    ), direct AS MATERIALIZED (
        SELECT h.inbound_id, CASE WHEN starts_with(o.idempotency_key, 'gateway-answer:')
                                  THEN split_part(o.idempotency_key, ':', 2) ELSE o.id::text END AS parent
        FROM heard AS h JOIN @extschema@.whatsapp_messages AS o ON o.id = h.message_id
    ), latest AS MATERIALIZED (
        SELECT DISTINCT ON (h.inbound_id) h.inbound_id, p.id
        FROM heard AS h
            CROSS JOIN LATERAL (VALUES (h.sender_phone), (h.sender_user_id)) AS a (address)
            JOIN places AS p ON p.address = a.address
        WHERE h.message_id IS NULL AND p.created_at < h.sent_at + interval '1 second'
            AND (before IS NULL OR NOT EXISTS (
                SELECT FROM @extschema@.whatsapp_messages AS n
                WHERE n.tenant_id = tenant AND n.created_at >= before
                    AND n.created_at < h.sent_at + interval '1 second'
                    AND COALESCE(n.recipient_phone, n.recipient_user_id) IN (
                        SELECT f.address FROM places AS f WHERE f.id = p.id)))
        ORDER BY h.inbound_id, p.created_at DESC, p.id DESC)
    SELECT COALESCE(p.id, l.id), h.inbound_id, @extschema@.wa_internal_person_address(h.sender_phone, h.sender_user_id)
    FROM heard AS h
        LEFT JOIN direct AS d ON d.inbound_id = h.inbound_id
        LEFT JOIN unnest(messages) AS p (id) ON p.id::text = d.parent
        LEFT JOIN latest AS l ON l.inbound_id = h.inbound_id
$$;

/*
 * One of them as the page shows it; what was deleted is not shown.  read: it was before
 * somebody's eyes; media: its file, or null.
 */
CREATE FUNCTION @extschema@.wa_internal_heard_words(i @extschema@.whatsapp_inbound_messages) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object('id', 'i' || i.inbound_id, 'at', i.sent_at,
        'kind', CASE WHEN i.revoked_at IS NOT NULL THEN 'deleted'
                     WHEN i.message_type IN ('button', 'interactive') THEN 'text' ELSE i.message_type END,
        'text', CASE WHEN i.revoked_at IS NULL THEN left(i.text, 4096) END,
        'read', i.read_at IS NOT NULL,
        'media', @extschema@.wa_internal_media_words(i))
$$;

CREATE FUNCTION @extschema@.wa_internal_answer_words(m @extschema@.whatsapp_messages, obstacle text) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object('id', m.id::text, 'at', m.created_at, 'kind', 'own', 'text', m.payload ->> 'body',
        'state', s.state, 'reason', s.reason)
    FROM @extschema@.wa_internal_plain_state(m, obstacle) AS s
$$;

/* The name that a person has given himself in WhatsApp, or else his user name there. */
CREATE FUNCTION @extschema@.wa_internal_contact_name(addresses text[]) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(c.name, '@' || c.username) FROM @extschema@.whatsapp_contacts AS c
    WHERE c.wa_id = ANY (ARRAY(SELECT ltrim(a.address, '+') FROM unnest(addresses) AS a (address)))
        OR c.user_id = ANY (addresses)
    ORDER BY c.name IS NULL, c.username IS NULL LIMIT 1
$$;

/*
 * Messages with what was answered, and who else has written (others, at most 20):
 * each an object, the newest first.  before: NULL for the first page, which alone
 * has others.  Of what one person has written beneath one message the last 20 are
 * shown.
 */
CREATE FUNCTION @extschema@.wa_internal_gateway_conversations(
    tenant text, number text, ids bigint[], before timestamptz, obstacle text, OUT messages jsonb, OUT others jsonb)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
    SET jit = off
AS $$
    WITH heard AS MATERIALIZED (
        SELECT h.*, COALESCE(h.parent::text, h.person) AS beneath, row_number() OVER (
            PARTITION BY COALESCE(h.parent::text, h.person) ORDER BY h.inbound_id DESC) AS place
        FROM @extschema@.wa_internal_heard(tenant, ids, before) AS h
    ), others AS MATERIALIZED (
        SELECT h.beneath, max(h.inbound_id) AS inbound_id, array_agg('i' || h.inbound_id) AS answered
        FROM heard AS h WHERE h.parent IS NULL AND before IS NULL AND h.place <= 20
        GROUP BY h.beneath ORDER BY max(h.inbound_id) DESC LIMIT 20
    ), answered AS MATERIALIZED (
        SELECT i.id::text AS key, i.id::text AS beneath FROM unnest(ids) AS i (id)
        UNION ALL
        SELECT k.key, o.beneath FROM others AS o CROSS JOIN LATERAL unnest(o.answered) AS k (key)
    ), said AS MATERIALIZED (
        /* Meta's times are cut to seconds; what answers comes after what was said in the same one. */
        SELECT h.beneath, i.sent_at + interval '999 ms' AS at, @extschema@.wa_internal_heard_words(i) AS item
        FROM heard AS h
            JOIN @extschema@.whatsapp_inbound_messages AS i ON i.inbound_id = h.inbound_id
        WHERE h.place <= 20 AND (h.parent IS NOT NULL OR h.beneath IN (SELECT o.beneath FROM others AS o))
        UNION ALL
        SELECT k.beneath, a.created_at, @extschema@.wa_internal_answer_words(a, obstacle)
        FROM answered AS k
            CROSS JOIN LATERAL (
                SELECT o.* FROM @extschema@.whatsapp_messages AS o
                WHERE o.tenant_id = tenant AND o.idempotency_key >= 'gateway-answer:' || k.key || ':'
                    AND o.idempotency_key < 'gateway-answer:' || k.key || ';'
                /* In the order of the index, so that no other one looks cheaper. */
                ORDER BY o.tenant_id, o.idempotency_key LIMIT 50) AS n
            JOIN @extschema@.whatsapp_messages AS a ON a.id = n.id
    ), replies AS MATERIALIZED (
        SELECT s.beneath, jsonb_agg(s.item ORDER BY s.at, s.item ->> 'id') AS list
        FROM said AS s GROUP BY s.beneath)
    SELECT
        (SELECT COALESCE(jsonb_agg(jsonb_build_object(
                'id', m.id,
                'recipient', COALESCE(m.recipient_phone, m.recipient_user_id),
                /* Not of those who have only told it to another tenant. */
                'recipient_name', CASE WHEN w.until IS NOT NULL OR r.list IS NOT NULL THEN
                    @extschema@.wa_internal_contact_name(@extschema@.wa_internal_addresses(m)) END,
                'reference', m.reference,
                'test', COALESCE(starts_with(m.idempotency_key, 'gateway-test:'), false),
                'kind', m.message_type,
                'text', @extschema@.wa_internal_message_words(m),
                'state', s.state, 'reason', s.reason, 'retry_at', s.retry_at,
                'created_at', m.created_at, 'updated_at', s.updated_at,
                'replies', COALESCE(r.list, '[]'),
                'can_answer_until', w.until,
                'may_answer', COALESCE(w.until > clock_timestamp(), false))
            ORDER BY m.created_at DESC, m.id DESC), '[]')
         FROM @extschema@.whatsapp_messages AS m
             CROSS JOIN LATERAL @extschema@.wa_internal_plain_state(m, obstacle) AS s
             LEFT JOIN LATERAL @extschema@.wa_internal_answer_window(number,
                 @extschema@.wa_internal_addresses(m)) AS w ON true
             LEFT JOIN replies AS r ON r.beneath = m.id::text
         WHERE m.id = ANY (ids)),
        (SELECT COALESCE(jsonb_agg(jsonb_build_object(
                'inbound_id', o.inbound_id,
                'sender', o.beneath,
                'sender_name', @extschema@.wa_internal_contact_name(ARRAY[o.beneath]),
                'replies', r.list,
                'can_answer_until', w.until,
                'may_answer', COALESCE(w.until > clock_timestamp(), false))
            ORDER BY o.inbound_id DESC), '[]')
         FROM others AS o
             JOIN replies AS r ON r.beneath = o.beneath
             LEFT JOIN LATERAL @extschema@.wa_internal_answer_window(number, ARRAY[o.beneath]) AS w ON true)
$$;

/* A page's messages, the newest first, without the answers, which stand beneath others. */
CREATE FUNCTION @extschema@.wa_internal_gateway_page_ids(tenant text, place jsonb, n bigint) RETURNS bigint[]
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ARRAY(
        SELECT m.id FROM @extschema@.whatsapp_messages AS m
        WHERE m.tenant_id = tenant
            AND m.created_at <= COALESCE((place ->> 0)::timestamptz, 'infinity')
            AND (m.created_at, m.id) < (COALESCE((place ->> 0)::timestamptz, 'infinity'),
                                        COALESCE((place ->> 1)::bigint, 0))
            AND NOT COALESCE(starts_with(m.idempotency_key, 'gateway-answer:'), false)
        ORDER BY m.created_at DESC, m.id DESC LIMIT n)
$$;

CREATE FUNCTION @extschema@.wa_gateway_tenant_messages(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenant CONSTANT text := @extschema@.wa_internal_gateway_own_tenant(request, false, '{limit,cursor}'::text[]);
    n CONSTANT bigint := @extschema@.wa_internal_gateway_integer(request, 'limit'::text, 1, 100, 20);
    place CONSTANT jsonb := @extschema@.wa_internal_gateway_place(request, 'tenant_messages'::text);
    number CONSTANT text := @extschema@.wa_internal_number_of(tenant);
    obstacle CONSTANT text := @extschema@.wa_internal_tenant_obstacle(tenant);
    ids bigint[] := @extschema@.wa_internal_gateway_page_ids(tenant, place, n + 1);
BEGIN
    IF cardinality(ids) > n THEN
        ids := trim_array(ids, 1);
        paging := @extschema@.wa_internal_gateway_paging(@extschema@.wa_internal_gateway_cursor('tenant_messages'::text,
            (SELECT jsonb_build_array(m.created_at, m.id) FROM @extschema@.whatsapp_messages AS m
             WHERE m.id = ids[n])));
    END IF;
    status := 200;
    SELECT jsonb_build_object(
            'tenant_id', tenant,
            'whatsapp_enabled', t.enabled,
            'display_phone_number', p.display_phone_number,
            'verified_name', p.verified_name,
            'obstacle', obstacle,
            'messages', c.messages, 'others', c.others)
        INTO body
        FROM @extschema@.whatsapp_tenants AS t
            CROSS JOIN @extschema@.wa_internal_gateway_conversations(
                tenant, number, ids, (place ->> 0)::timestamptz, obstacle) AS c
            LEFT JOIN @extschema@.whatsapp_phone_numbers AS p ON p.phone_number_id = number
        WHERE t.tenant_id = tenant;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_tenant_messages(jsonb) IS
'GET /api/v1/tenants/{tenant_id}/messages (limit, cursor): the tenant''s last messages in plain words, with what their '
'recipients have answered and until when one may write to them; others: who has written without one of these; '
'obstacle: why nothing would be sent now (switched_off, no_number, paused, stopped).';

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
