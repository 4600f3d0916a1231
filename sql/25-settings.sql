/*
 * The settings document of a tenant, as applications exchange it: a JSON object
 * with whatsapp_enabled, whatsapp_phone_number_id, whatsapp_display_phone_number
 * and whatsapp_default_language.
 *
 * Documents from before this extension carry each tenant's own credentials.
 * They are accepted; the credentials are dropped, and only their names are told.
 */

/* The names of a document's keys, by what is done with them. */
CREATE FUNCTION @extschema@.wa_internal_settings_keys(
    document jsonb,
    OUT dropped text[],
    OUT ignored text[],
    OUT unknown text[])
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(array_agg(k.name) FILTER (WHERE k.credential), '{}'),
           COALESCE(array_agg(k.name) FILTER (WHERE NOT k.credential AND k.name !~* '^what'), '{}'),
           COALESCE(array_agg(k.name) FILTER (WHERE NOT k.credential AND k.name ~* '^what'), '{}')
    FROM (SELECT e.name,
                 e.name ~* '(token|secret|password|credential|api_?key|certificate|pin$|business_(account_)?id|'
                           'waba_id|app_id|system_user|api_(version|url)|webhook)' AS credential
          FROM jsonb_object_keys(document) AS e (name)
          WHERE e.name NOT IN ('tenant_id', 'whatsapp_enabled', 'whatsapp_phone_number_id',
                               'whatsapp_display_phone_number', 'whatsapp_default_language')
          ORDER BY e.name) AS k
$$;

/* The text under a key; NULL if it is absent, null or empty. */
CREATE FUNCTION @extschema@.wa_internal_settings_text(document jsonb, key text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    /* Older programs wrote ids as numbers. */
    IF key LIKE '%\_id' AND document ->> key ~ '^[0-9]+$' THEN
        NULL;
    ELSIF jsonb_typeof(document -> key) NOT IN ('string', 'null') THEN
        RAISE EXCEPTION '"%" must be a string', @extschema@.wa_internal_quote(key)
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('It is of type %s.', jsonb_typeof(document -> key));
    END IF;
    RETURN NULLIF(document ->> key, '');
END
$$;

/*
 * Checks the whole document and applies all of it but the number.  Returns the
 * names of the keys that were not taken over.  may_create: of a tenant that does
 * not exist yet, too.
 */
CREATE FUNCTION @extschema@.wa_internal_apply_settings(
    tenant text,
    document jsonb,
    may_create boolean,
    OUT dropped text[],
    OUT ignored text[])
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    unknown text[];
    default_language CONSTANT text := current_setting('whatsapp_shared.default_language', true);
    lang text;
    before text;
BEGIN
    PERFORM @extschema@.wa_internal_check_tenant_id(tenant);
    IF jsonb_typeof(document) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'settings must be a JSON object'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT k.dropped, k.ignored, k.unknown INTO dropped, ignored, unknown
        FROM @extschema@.wa_internal_settings_keys(document) AS k;
    IF cardinality(unknown) > 0 THEN
        RAISE EXCEPTION 'unknown setting "%"', @extschema@.wa_internal_quote(unknown[1])
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Known settings: whatsapp_enabled, whatsapp_phone_number_id, '
                         'whatsapp_display_phone_number, whatsapp_default_language.';
    ELSIF jsonb_typeof(document -> 'whatsapp_enabled') NOT IN ('boolean', 'null') THEN
        RAISE EXCEPTION '"whatsapp_enabled" must be true or false'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('It is of type %s.', jsonb_typeof(document -> 'whatsapp_enabled'));
    END IF;

    /* A document that repeats the installation's default does not pin it. */
    lang := @extschema@.wa_internal_settings_text(document, 'whatsapp_default_language'::text);
    SELECT t.language INTO before FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = tenant;
    PERFORM @extschema@.wa_configure_tenant(tenant,
        enabled => (document ->> 'whatsapp_enabled')::boolean,
        language => CASE WHEN before IS NOT NULL OR lang IS DISTINCT FROM default_language THEN lang END,
        reset => CASE WHEN document ? 'whatsapp_default_language' AND lang IS NULL
                      THEN '{language}'::text[] ELSE '{}' END,
        is_new => may_create);
END
$$;

CREATE FUNCTION @extschema@.wa_notification_settings(tenant_id text) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    document jsonb;
BEGIN
    PERFORM @extschema@.wa_internal_check_own_tenant(wa_notification_settings.tenant_id);
    SELECT jsonb_build_object(
            'whatsapp_enabled', t.enabled,
            'whatsapp_phone_number_id', p.phone_number_id,
            'whatsapp_display_phone_number', p.display_phone_number,
            'whatsapp_default_language',
                COALESCE(t.language, current_setting('whatsapp_shared.default_language', true)))
        INTO document
        FROM @extschema@.whatsapp_tenants AS t
            LEFT JOIN @extschema@.whatsapp_phone_assignments AS a
                ON a.tenant_id = t.tenant_id AND a.unassigned_at IS NULL
            LEFT JOIN @extschema@.whatsapp_phone_numbers AS p ON p.phone_number_id = a.phone_number_id
        WHERE t.tenant_id = wa_notification_settings.tenant_id;
    IF NOT FOUND THEN
        PERFORM @extschema@.wa_internal_unknown_tenant(wa_notification_settings.tenant_id);
    END IF;
    RETURN document;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_notification_settings(text) IS
'The tenant''s settings document: whatsapp_enabled, whatsapp_phone_number_id, whatsapp_display_phone_number, '
'whatsapp_default_language.';

CREATE FUNCTION @extschema@.wa_set_notification_settings(tenant_id text, settings jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    keys record;
    current_document jsonb;
    key text;
    wanted text;
BEGIN
    SELECT k.dropped, k.ignored INTO keys
        FROM @extschema@.wa_internal_apply_settings(tenant_id, settings, may_create => false) AS k;

    /* A document may repeat the number (or leave it empty), not choose it. */
    current_document := @extschema@.wa_notification_settings(tenant_id);
    FOREACH key IN ARRAY '{whatsapp_phone_number_id,whatsapp_display_phone_number}'::text[] LOOP
        wanted := @extschema@.wa_internal_settings_text(settings, key);
        IF wanted IS NOT NULL AND NOT @extschema@.wa_internal_same_number(wanted, current_document ->> key) THEN
            RAISE EXCEPTION 'a tenant cannot choose its own phone number'
                USING ERRCODE = 'insufficient_privilege',
                      DETAIL = format('"%s" is %s; the document says %s.', key,
                          COALESCE(quote_ident(current_document ->> key), 'not assigned'),
                          quote_ident(wanted)),
                      HINT = 'The platform assigns numbers, with wa_assign_phone().';
        END IF;
    END LOOP;

    IF cardinality(keys.dropped) > 0 THEN
        RAISE NOTICE 'credentials in the settings of tenant "%" were dropped: %',
                @extschema@.wa_internal_quote(tenant_id),
                array_to_string(keys.dropped, ', ')
            USING HINT = 'The platform''s master credentials are used for all tenants.';
    END IF;
    IF cardinality(keys.ignored) > 0 THEN
        RAISE NOTICE 'settings of tenant "%" that do not concern WhatsApp were ignored: %',
            @extschema@.wa_internal_quote(tenant_id),
            array_to_string(keys.ignored, ', ');
    END IF;
    RETURN current_document;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_set_notification_settings(text, jsonb) IS
'Applies a tenant''s settings document and returns the resulting one. Absent keys leave their settings as they are; '
'credentials are dropped with a NOTICE; the number may be repeated but not changed. Error 42704: no such tenant.';

/* ---- a whole platform's documents ------------------------------------------ */

CREATE FUNCTION @extschema@.wa_import_settings(documents jsonb)
RETURNS TABLE (tenant_id text, taken text[], dropped text[], ignored text[], refused text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    document jsonb;
    number text;
    detail text;
BEGIN
    IF jsonb_typeof(documents) NOT IN ('object', 'array') OR documents IS NULL THEN
        RAISE EXCEPTION 'documents must be an object by tenant, or an array of objects with a tenant_id'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR tenant_id, document IN
        SELECT o.key, o.value
            FROM jsonb_each(CASE jsonb_typeof(documents) WHEN 'object' THEN documents END) AS o
        UNION ALL
        SELECT CASE WHEN jsonb_typeof(a.value -> 'tenant_id') IN ('string', 'number')
                    THEN a.value ->> 'tenant_id' END, a.value
            FROM jsonb_array_elements(CASE jsonb_typeof(documents) WHEN 'array' THEN documents END) AS a
    LOOP
        taken := '{}';
        dropped := '{}';
        ignored := '{}';
        refused := NULL;
        BEGIN
            SELECT k.dropped, k.ignored INTO dropped, ignored
                FROM @extschema@.wa_internal_apply_settings(tenant_id, document, may_create => true) AS k;
            number := @extschema@.wa_internal_settings_text(document, 'whatsapp_phone_number_id'::text);
            IF number IS NOT NULL THEN
                PERFORM @extschema@.wa_assign_phone(tenant_id, number,
                    @extschema@.wa_internal_settings_text(document, 'whatsapp_display_phone_number'::text));
            END IF;
            taken := ARRAY(SELECT k.name FROM jsonb_object_keys(document) AS k (name)
                           WHERE k.name LIKE 'whatsapp%' AND k.name <> ALL (dropped)
                               AND (number IS NOT NULL OR k.name NOT LIKE '%number%')
                           ORDER BY k.name);
        EXCEPTION
            WHEN invalid_parameter_value OR null_value_not_allowed OR unique_violation
                 OR undefined_object OR object_not_in_prerequisite_state THEN
                GET STACKED DIAGNOSTICS refused = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
                refused := left(concat_ws('. ', refused, NULLIF(detail, '')), 500);
        END;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_import_settings(jsonb) IS
'Applies the settings documents of a whole platform ({tenant: document, …}, or an array of documents with '
'tenant_id), numbers included. One row for each tenant: the settings taken, the credentials dropped, the keys '
'ignored, and why a document was refused.';
