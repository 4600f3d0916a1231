/*
 * The templates of the WhatsApp Business account, as read from Meta or entered
 * by hand.  Messages are checked against them before COMMIT.
 */

CREATE TABLE @extschema@.whatsapp_templates (
    name             text COLLATE "C" NOT NULL
        CONSTRAINT whatsapp_templates_name_check CHECK (name ~ '^[a-z0-9_]+$' AND pg_catalog.length(name) <= 512),
    language         text COLLATE "C" NOT NULL
        CONSTRAINT whatsapp_templates_language_check CHECK (language ~ '^[A-Za-z0-9_]{2,16}$'),
    template_id      text,
    category         text NOT NULL,
    status           text NOT NULL,
    quality          text,
    rejected_reason  text,
    parameter_format text NOT NULL DEFAULT 'POSITIONAL'
        CONSTRAINT whatsapp_templates_parameter_format_check
        CHECK (parameter_format IN ('POSITIONAL', 'NAMED')),
    components       jsonb NOT NULL
        CONSTRAINT whatsapp_templates_components_check
        CHECK (pg_catalog.jsonb_typeof(components) = 'array'),
    source           text NOT NULL
        CONSTRAINT whatsapp_templates_source_check CHECK (source IN ('sync', 'local')),
    synced_at        timestamptz,
    missing_since    timestamptz,
    updated_at       timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (name, language)
);
CREATE INDEX whatsapp_templates_id_idx ON @extschema@.whatsapp_templates (template_id);
COMMENT ON TABLE @extschema@.whatsapp_templates IS
'Message templates, read from Meta by wa_sync_templates() or entered with wa_register_template().';
COMMENT ON COLUMN @extschema@.whatsapp_templates.name IS 'The template''s name at Meta.';
COMMENT ON COLUMN @extschema@.whatsapp_templates.language IS 'Its language, as approved by Meta.';
COMMENT ON COLUMN @extschema@.whatsapp_templates.template_id IS 'Meta''s ID; NULL for one entered by hand.';
COMMENT ON COLUMN @extschema@.whatsapp_templates.category IS
'MARKETING, UTILITY or AUTHENTICATION; UNKNOWN if Meta does not say.';
COMMENT ON COLUMN @extschema@.whatsapp_templates.status IS
'APPROVED can be used. Others, in Meta''s words: PENDING, REJECTED, PAUSED, DISABLED, IN_APPEAL, ARCHIVED, '
'PENDING_DELETION …';
COMMENT ON COLUMN @extschema@.whatsapp_templates.quality IS 'Meta''s quality score: GREEN, YELLOW, RED or UNKNOWN.';
COMMENT ON COLUMN @extschema@.whatsapp_templates.rejected_reason IS 'Why Meta has rejected it.';
COMMENT ON COLUMN @extschema@.whatsapp_templates.parameter_format IS 'POSITIONAL ({{1}}) or NAMED ({{name}}).';
COMMENT ON COLUMN @extschema@.whatsapp_templates.components IS 'Header, body, footer and buttons as Meta lists them.';
COMMENT ON COLUMN @extschema@.whatsapp_templates.source IS
'sync: read from Meta; local: entered by hand, and left alone by the synchronisation unless Meta has a template of '
'this name and language.';
COMMENT ON COLUMN @extschema@.whatsapp_templates.synced_at IS 'When it was last read from Meta.';
COMMENT ON COLUMN @extschema@.whatsapp_templates.missing_since IS
'Since when Meta no longer lists it; it cannot be used then.';
COMMENT ON COLUMN @extschema@.whatsapp_templates.updated_at IS 'When this row last changed.';

CREATE FUNCTION @extschema@.wa_internal_unknown_template(name text, language text) RETURNS void
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_unknown_template';
COMMENT ON FUNCTION @extschema@.wa_internal_unknown_template(text, text) IS
'Raises the error about a template that does not exist, or not in this language (NULL: in any). Internal.';

/* ---- entering them by hand, and applying what Meta lists -------------------------- */

/* One template, new or changed. */
CREATE FUNCTION @extschema@.wa_internal_store_template(t @extschema@.whatsapp_templates) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO @extschema@.whatsapp_templates AS o SELECT t.*
    ON CONFLICT (name, language) DO UPDATE SET
        template_id = EXCLUDED.template_id,
        category = EXCLUDED.category,
        status = EXCLUDED.status,
        quality = EXCLUDED.quality,
        rejected_reason = CASE EXCLUDED.status
            WHEN 'REJECTED' THEN COALESCE(EXCLUDED.rejected_reason, o.rejected_reason) END,
        parameter_format = EXCLUDED.parameter_format,
        components = EXCLUDED.components,
        source = EXCLUDED.source,
        synced_at = EXCLUDED.synced_at,
        missing_since = NULL,
        updated_at = EXCLUDED.updated_at
$$;

CREATE FUNCTION @extschema@.wa_register_template(
    name             text,
    language         text,
    components       jsonb,
    category         text DEFAULT 'UTILITY',
    parameter_format text DEFAULT 'POSITIONAL',
    status           text DEFAULT 'APPROVED',
    template_id      text DEFAULT NULL)
RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    statuses CONSTANT text[] := '{APPROVED,PENDING,IN_APPEAL,REJECTED,PAUSED,DISABLED,LIMIT_EXCEEDED,ARCHIVED,
        PENDING_DELETION,DELETED,UNKNOWN}';
    t @extschema@.whatsapp_templates;
BEGIN
    IF name IS NULL OR language IS NULL OR components IS NULL THEN
        RAISE EXCEPTION 'name, language and components of a template must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    ELSIF name !~ '^[a-z0-9_]+$' OR length(name) > 512 THEN
        RAISE EXCEPTION 'invalid template name "%"', @extschema@.wa_internal_quote(name)
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'A name has up to 512 lower-case letters, digits and underscores.';
    ELSIF jsonb_typeof(components) <> 'array' THEN
        RAISE EXCEPTION 'components of a template must be an array'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give them as Meta lists them: [{"type": "BODY", "text": "Hola {{1}}"}].';
    ELSIF upper(category) NOT IN ('MARKETING', 'UTILITY', 'AUTHENTICATION') THEN
        RAISE EXCEPTION 'invalid template category "%"', @extschema@.wa_internal_quote(category)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Use MARKETING, UTILITY or AUTHENTICATION.';
    ELSIF upper(parameter_format) NOT IN ('POSITIONAL', 'NAMED') THEN
        RAISE EXCEPTION 'invalid parameter format "%"', @extschema@.wa_internal_quote(parameter_format)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Use POSITIONAL or NAMED.';
    ELSIF upper(status) <> ALL (statuses) THEN
        RAISE EXCEPTION 'invalid template status "%"', @extschema@.wa_internal_quote(status)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = format('Meta''s are %s.', array_to_string(statuses, ', '));
    END IF;
    t.name := name;
    t.language := @extschema@.wa_internal_check_language(language);
    t.template_id := template_id;
    t.category := COALESCE(upper(category), 'UTILITY');
    t.status := COALESCE(upper(status), 'APPROVED');
    t.parameter_format := COALESCE(upper(parameter_format), 'POSITIONAL');
    t.components := components;
    t.source := 'local';
    t.updated_at := now();
    PERFORM @extschema@.wa_internal_store_template(t);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_register_template(text, text, jsonb, text, text, text, text) IS
'Enters a template by hand, or replaces one: for tests, and for work without access to Meta. components: as Meta '
'lists them. The next synchronisation replaces it if Meta has a template of this name and language, and leaves it '
'alone otherwise. Errors: 22004, 22023.';

CREATE FUNCTION @extschema@.wa_unregister_template(name text, language text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_check_not_null('name'::text, name);
    PERFORM @extschema@.wa_internal_check_not_null('language'::text, language);
    DELETE FROM @extschema@.whatsapp_templates AS t
        WHERE t.name = wa_unregister_template.name
            AND t.language = wa_unregister_template.language
            AND t.source = 'local';
    IF NOT FOUND THEN
        RAISE NOTICE 'no template "%" (%) was entered by hand',
            @extschema@.wa_internal_quote(name), @extschema@.wa_internal_quote(language)
           
            USING HINT = 'whatsapp_templates shows which were: their source is local.';
        RETURN false;
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_unregister_template(text, text) IS
'Removes a template that was entered by hand. False, with a NOTICE: there is none. Error 22004.';

/*
 * One page of GET /{waba}/message_templates, as it came.  An element without a
 * name or a language is of no use and is passed over; everything else is stored
 * even if this version cannot make sense of it.
 */
CREATE FUNCTION @extschema@.wa_internal_apply_template_page(page jsonb) RETURNS integer
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    element jsonb;
    t @extschema@.whatsapp_templates;
    before text;
    applied integer := 0;
BEGIN
    IF jsonb_typeof(page -> 'data') IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION 'a page of templates must have an array "data"'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    /* In one order, so that two synchronisations cannot deadlock. */
    FOR element IN
        SELECT e FROM jsonb_array_elements(page -> 'data') AS e
        ORDER BY e ->> 'name', e ->> 'language'
    LOOP
        CONTINUE WHEN (element ->> 'name' ~ '^[a-z0-9_]+$' AND length(element ->> 'name') <= 512) IS NOT TRUE
            OR (element ->> 'language' ~ '^[A-Za-z0-9_]{2,16}$') IS NOT TRUE;
        t := NULL;
        t.name := element ->> 'name';
        t.language := element ->> 'language';
        t.template_id := element ->> 'id';
        t.category := COALESCE(upper(element ->> 'category'), 'UNKNOWN');
        t.status := COALESCE(upper(element ->> 'status'), 'UNKNOWN');
        t.quality := element -> 'quality_score' ->> 'score';
        t.rejected_reason := NULLIF(element ->> 'rejected_reason', 'NONE');
        t.parameter_format := CASE upper(element ->> 'parameter_format')
            WHEN 'NAMED' THEN 'NAMED' ELSE 'POSITIONAL' END;
        t.components := CASE jsonb_typeof(element -> 'components')
            WHEN 'array' THEN element -> 'components' ELSE '[]' END;
        t.source := 'sync';
        t.synced_at := clock_timestamp();
        t.updated_at := clock_timestamp();
        SELECT o.status INTO before FROM @extschema@.whatsapp_templates AS o
            WHERE o.name = t.name AND o.language = t.language;
        PERFORM @extschema@.wa_internal_store_template(t);
        IF before = 'APPROVED' AND t.status NOT IN ('APPROVED', 'PENDING', 'IN_APPEAL') THEN
            PERFORM @extschema@.wa_internal_alert(
                CASE t.status WHEN 'PAUSED' THEN 'warning' ELSE 'error' END,
                'template_status'::text, 'template'::text, t.name || '/' || t.language,
                format('Meta has set the template %s/%s to %s', t.name, t.language, t.status));
        END IF;
        applied := applied + 1;
    END LOOP;
    RETURN applied;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_apply_template_page(jsonb) IS
'Stores one page of Meta''s list of templates and returns how many it took. Called by the sender.';

/*
 * A listing without any template is taken for a mistake (another account, a
 * token that may not read them), and marks none as vanished.
 *
 * A template that was listed as approved is not paused: its automatic pause
 * ends, unless that began after the listing did.
 */
CREATE FUNCTION @extschema@.wa_internal_finish_template_sync(started_at timestamptz) RETURNS integer
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    since CONSTANT timestamptz := wa_internal_finish_template_sync.started_at;
    listed integer;
    vanished integer := 0;
    t record;
BEGIN
    SELECT count(*) INTO listed
        FROM @extschema@.whatsapp_templates AS o WHERE o.source = 'sync' AND o.synced_at >= since;
    UPDATE @extschema@.whatsapp_sync AS s SET items = listed WHERE s.kind = 'templates';
    IF listed = 0 THEN
        RETURN 0;
    END IF;

    FOR t IN
        SELECT o.name || '/' || o.language AS key,
               EXISTS (SELECT FROM @extschema@.whatsapp_pauses AS p
                       WHERE p.scope = 'template' AND p.key = o.name || '/' || o.language
                           AND p.automatic AND p.paused_at < since) AS is_paused
        FROM @extschema@.whatsapp_templates AS o
        WHERE o.synced_at >= since AND o.status = 'APPROVED'
        ORDER BY o.name, o.language
    LOOP
        IF t.is_paused THEN
            PERFORM @extschema@.wa_internal_lift_pause('template'::text, t.key, true);
        END IF;
        PERFORM @extschema@.wa_internal_resolve_alert('template_status'::text, 'template'::text, t.key);
    END LOOP;

    FOR t IN
        UPDATE @extschema@.whatsapp_templates AS o SET missing_since = clock_timestamp()
            WHERE o.source = 'sync' AND o.missing_since IS NULL AND o.synced_at < since
            RETURNING o.name || '/' || o.language AS key
    LOOP
        vanished := vanished + 1;
        PERFORM @extschema@.wa_internal_alert('warning'::text, 'template_status'::text, 'template'::text, t.key,
            format('Meta no longer lists the template %s', t.key));
    END LOOP;
    RETURN vanished;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_finish_template_sync(timestamptz) IS
'After the last page of a listing begun at that time: marks the templates that were not in it as missing, and ends '
'the pauses of those that are approved. Called by the sender; returns how many are missing.';

CREATE FUNCTION @extschema@.wa_sync_templates() RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE @extschema@.whatsapp_sync SET requested_at = clock_timestamp() WHERE kind = 'templates';
    SELECT @extschema@.wa_internal_note('sync_templates'::text, 'account'::text, NULL::text,
        jsonb_build_object('text', 'Asked Meta for the templates'))
$$;
COMMENT ON FUNCTION @extschema@.wa_sync_templates() IS
'Requests that the sender read the account''s templates from Meta after COMMIT; whatsapp_sync shows the result.';
