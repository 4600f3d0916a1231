/*
 * Pauses: what must not be sent now, why, and until when.
 *
 * A pause never counts as an attempt.  It ends by its time, by wa_resume(), or
 * (if it was set automatically) by the event that shows its cause has gone.
 * A pause that a person has set is touched by persons only.
 */

CREATE TABLE @extschema@.whatsapp_pauses (
    scope      text NOT NULL
        CONSTRAINT whatsapp_pauses_scope_check
        CHECK (scope IN ('account', 'number', 'tenant', 'template')),
    key        text NOT NULL DEFAULT '',
    reason     text NOT NULL,
    detail     text,
    error_code integer,
    automatic  boolean NOT NULL DEFAULT false,
    paused_at  timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    until      timestamptz,
    PRIMARY KEY (scope, key)
);
COMMENT ON TABLE @extschema@.whatsapp_pauses IS
'What is paused now, why, and until when. An operator''s pause ends at its time or by wa_resume(), an automatic one '
'also when its cause has gone.';
COMMENT ON COLUMN @extschema@.whatsapp_pauses.scope IS 'account, number, tenant or template.';
COMMENT ON COLUMN @extschema@.whatsapp_pauses.key IS
'Empty for the account; a phone_number_id, a tenant_id, or a template as name/language or name.';
COMMENT ON COLUMN @extschema@.whatsapp_pauses.reason IS
'Given by the operator, or a code such as error_131048 or quality_red.';
COMMENT ON COLUMN @extschema@.whatsapp_pauses.detail IS 'What Meta said, for an automatic pause.';
COMMENT ON COLUMN @extschema@.whatsapp_pauses.error_code IS 'The Graph API error code that caused it, if one did.';
COMMENT ON COLUMN @extschema@.whatsapp_pauses.automatic IS
'Whether the extension paused it by itself. Only such a pause ends when its cause has gone.';
COMMENT ON COLUMN @extschema@.whatsapp_pauses.paused_at IS 'When the pause began.';
COMMENT ON COLUMN @extschema@.whatsapp_pauses.until IS
'When it ends by itself; NULL: by wa_resume(), or when its cause has gone.';

CREATE TRIGGER whatsapp_pauses_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.whatsapp_pauses
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_config_changed();

/* The number of this key; raises if there is none. */
CREATE FUNCTION @extschema@.wa_internal_pause_key_number(key text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written CONSTANT text := @extschema@.wa_internal_number_written(key);
BEGIN
    IF EXISTS (SELECT FROM @extschema@.whatsapp_phone_numbers AS p WHERE p.phone_number_id = key)
       OR key = NULLIF(current_setting('whatsapp_shared.phone_number_id', true), '') THEN
        RETURN key;
    END IF;
    RAISE EXCEPTION 'phone number "%" does not exist', @extschema@.wa_internal_quote(key)
        USING ERRCODE = 'undefined_object',
              HINT = COALESCE(
                  'Its phone_number_id is "' || written || '".',
                  @extschema@.wa_internal_did_you_mean(key,
                      ARRAY(SELECT p.phone_number_id FROM @extschema@.whatsapp_phone_numbers AS p)),
                  'The key is a phone_number_id of whatsapp_phone_numbers.');
END
$$;

/*
 * The template of this key; raises if Meta's list, once it has been read, has
 * none.  A pause that was set before the template vanished remains.
 */
CREATE FUNCTION @extschema@.wa_internal_pause_key_template(key text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF key !~ '^[a-z0-9_]+(/[A-Za-z0-9_]{2,16})?$' THEN
        RAISE EXCEPTION 'invalid template "%"', @extschema@.wa_internal_quote(key)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Write name/language, such as "pedido_listo/es", '
                         'or the name alone for all its languages.';
    ELSIF EXISTS (SELECT FROM @extschema@.whatsapp_templates AS t
                  WHERE key IN (t.name, t.name || '/' || t.language)) THEN
        RETURN key;
    ELSIF @extschema@.wa_internal_listed('templates'::text) IS NULL THEN
        RAISE NOTICE 'template "%" was not checked', key
            USING DETAIL = 'The templates have not been read from Meta yet.';
        RETURN key;
    END IF;
    PERFORM @extschema@.wa_internal_unknown_template(split_part(key, '/', 1), NULLIF(split_part(key, '/', 2), ''));
    RETURN NULL;
END
$$;

/* The key in its stored form; raises if there is no such thing to pause. */
CREATE FUNCTION @extschema@.wa_internal_pause_key(scope text, key text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    scopes CONSTANT text[] := '{account,number,tenant,template}';
BEGIN
    PERFORM @extschema@.wa_internal_check_not_null('scope'::text, scope);
    IF scope <> ALL (scopes) THEN
        RAISE EXCEPTION 'unknown scope "%"', @extschema@.wa_internal_quote(scope)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = CASE WHEN key = ANY (scopes)
                      THEN format('The arguments seem to be swapped: the scope "%s" comes first.', key)
                      ELSE 'Use account, number, tenant or template.' END;
    ELSIF scope = 'account' THEN
        IF COALESCE(key, '') <> '' THEN
            RAISE EXCEPTION 'the account has no key'
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = 'There is one account; leave the key out.';
        END IF;
        RETURN '';
    END IF;
    PERFORM @extschema@.wa_internal_check_not_null('key'::text, key);
    CASE scope
        WHEN 'number' THEN
            RETURN @extschema@.wa_internal_pause_key_number(key);
        WHEN 'tenant' THEN
            PERFORM @extschema@.wa_internal_check_tenant_exists(key);
            RETURN key;
        WHEN 'template' THEN
            RETURN @extschema@.wa_internal_pause_key_template(key);
    END CASE;
END
$$;

CREATE FUNCTION @extschema@.wa_pause(
    scope text,
    key text DEFAULT NULL,
    reason text DEFAULT 'paused by an operator',
    until timestamptz DEFAULT NULL)
RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    what CONSTANT text := @extschema@.wa_internal_pause_key(scope, key);
BEGIN
    IF COALESCE(reason, '') !~ '[^[:space:]]' THEN
        RAISE EXCEPTION 'a pause needs a reason'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'wa_explain() shows it to whoever asks why a message waits.';
    ELSIF until <= clock_timestamp() THEN
        RAISE EXCEPTION 'the end of a pause must be in the future'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO @extschema@.whatsapp_pauses AS p (scope, key, reason, until)
        VALUES (scope, what, reason, NULLIF(until, 'infinity'))
        ON CONFLICT ON CONSTRAINT whatsapp_pauses_pkey DO UPDATE
        SET reason = EXCLUDED.reason, until = EXCLUDED.until, detail = NULL, error_code = NULL,
            automatic = false;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_pause(text, text, text, timestamptz) IS
'Stops sending for the account, a number, a tenant or a template, until the given time or wa_resume(). Messages keep '
'their place in the queue, and no attempt is counted. Errors: 22004, 22023; 42704 there is no such number, tenant or '
'template.';

/*
 * A pause set by the program.  A person's pause stays as it is; an automatic
 * one is extended, never shortened (NULL: until something lifts it), and goes
 * by the reason that lasts longest.  True if it was not paused before.
 */
CREATE FUNCTION @extschema@.wa_internal_pause(
    scope text,
    key text,
    reason text,
    detail text,
    error_code integer,
    until timestamptz)
RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    fresh boolean;
BEGIN
    INSERT INTO @extschema@.whatsapp_pauses AS p (scope, key, reason, detail, error_code, automatic, until)
        VALUES (scope, COALESCE(key, ''), reason, detail, error_code, true, NULLIF(until, 'infinity'))
        ON CONFLICT ON CONSTRAINT whatsapp_pauses_pkey DO UPDATE
        SET reason = EXCLUDED.reason, detail = EXCLUDED.detail, error_code = EXCLUDED.error_code,
            until = EXCLUDED.until
        WHERE p.automatic
            AND COALESCE(EXCLUDED.until, 'infinity') > COALESCE(p.until, 'infinity')
        RETURNING p.xmax = 0 INTO fresh;
    IF fresh THEN
        PERFORM @extschema@.wa_internal_alert(
            CASE WHEN scope = 'account' OR until IS NULL THEN 'error' ELSE 'warning' END,
            'paused'::text, scope, COALESCE(key, ''),
            format('Sending is paused for %s: %s',
                concat_ws(' ', 'the ' || scope, NULLIF(key, '')), COALESCE(detail, reason)),
            jsonb_strip_nulls(jsonb_build_object(
                'reason', reason, 'error_code', error_code, 'until', until)));
    END IF;
    RETURN COALESCE(fresh, false);
END
$$;

/* Removes the pause if it is there, and lets go what it held. */
CREATE FUNCTION @extschema@.wa_internal_lift_pause(scope text, key text, automatic_only boolean) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    /* Looking first: a DELETE of nothing would wake the senders for nothing. */
    IF NOT EXISTS (SELECT FROM @extschema@.whatsapp_pauses AS p
                   WHERE p.scope = scope AND p.key = COALESCE(key, '')
                       AND (p.automatic OR NOT automatic_only)) THEN
        RETURN false;
    END IF;
    DELETE FROM @extschema@.whatsapp_pauses AS p
        WHERE p.scope = scope AND p.key = COALESCE(key, '') AND (p.automatic OR NOT automatic_only);
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM @extschema@.wa_internal_release_holds(scope || '_paused',
        tenant => CASE scope WHEN 'tenant' THEN key END,
        number => CASE scope WHEN 'number' THEN key END,
        template => CASE scope WHEN 'template' THEN key END);
    PERFORM @extschema@.wa_internal_resolve_alert('paused'::text, scope, COALESCE(key, ''));
    RETURN true;
END
$$;

CREATE FUNCTION @extschema@.wa_resume(scope text, key text DEFAULT NULL) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    /* What is paused may be resumed, whether it still exists or not. */
    IF NOT EXISTS (SELECT FROM @extschema@.whatsapp_pauses AS p
                   WHERE p.scope = wa_resume.scope AND p.key = COALESCE(wa_resume.key, '')) THEN
        PERFORM @extschema@.wa_internal_pause_key(scope, key);
    END IF;
    IF NOT @extschema@.wa_internal_lift_pause(scope, key, false) THEN
        RAISE NOTICE '% is not paused', concat_ws(' ', scope, NULLIF(key, ''));
        RETURN false;
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_resume(text, text) IS
'Ends a pause, manual or automatic, and releases the messages it held. False, with a NOTICE: there was none. Errors '
'as in wa_pause().';

/*
 * For the senders: removes the pauses whose time has come, and says whether
 * there were any and when the next one ends (NULL: none has an end).  What they
 * held may be a hundred thousand messages, some of them locked: the sender lets
 * go of it page by page (wa_internal_release_stale_holds), while it sends.
 */
CREATE FUNCTION @extschema@.wa_internal_resume_due(OUT next_end timestamptz, OUT lifted boolean)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    due record;
BEGIN
    lifted := false;
    FOR due IN
        SELECT p.scope, p.key FROM @extschema@.whatsapp_pauses AS p
        WHERE p.until <= clock_timestamp()
        ORDER BY p.scope, p.key
        FOR UPDATE SKIP LOCKED
    LOOP
        DELETE FROM @extschema@.whatsapp_pauses AS p WHERE p.scope = due.scope AND p.key = due.key;
        PERFORM @extschema@.wa_internal_resolve_alert('paused'::text, due.scope, due.key);
        lifted := true;
    END LOOP;
    SELECT min(p.until) INTO next_end FROM @extschema@.whatsapp_pauses AS p;
END
$$;

/* Lifts an automatic pause if its reason is one of these; others have another cause. */
CREATE FUNCTION @extschema@.wa_internal_lift_pause_for(scope text, key text, reasons text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    IF EXISTS (SELECT FROM @extschema@.whatsapp_pauses AS p
               WHERE p.scope = wa_internal_lift_pause_for.scope
                   AND p.key = COALESCE(wa_internal_lift_pause_for.key, '')
                   AND p.automatic AND p.reason ~ reasons) THEN
        RETURN @extschema@.wa_internal_lift_pause(scope, key, true);
    END IF;
    RETURN false;
END
$$;
