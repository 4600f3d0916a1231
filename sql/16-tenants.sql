/*
 * Tenants and their own settings.
 *
 * Public functions are SECURITY DEFINER so that the roles named to wa_grant()
 * need no right on any table; what each may call is decided in
 * 99-privileges.sql.  Functions named wa_internal_… run with the rights of the
 * function that called them and are granted to nobody.
 */

/* The words of on_uncertain, here and for a single message; see src/enqueue/checks.c. */
CREATE FUNCTION @extschema@.wa_internal_is_uncertain_policy(word text) RETURNS boolean
    LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_is_uncertain_policy';
COMMENT ON FUNCTION @extschema@.wa_internal_is_uncertain_policy(text) IS
'Whether this is a policy for uncertain messages: auto, resend, park or fail. Internal.';

/*
 * Rates have the bounds of the setting (WA_MIN_RATE): with one near 0 the next
 * message would be due after the end of time.
 */

CREATE TABLE @extschema@.whatsapp_tenants (
    tenant_id           text COLLATE "C" PRIMARY KEY
        CONSTRAINT whatsapp_tenants_tenant_id_check
        /* The rule of wa_internal_check_tenant_id(), white space by the same collation. */
        CHECK (tenant_id COLLATE "default" ~ '[^[:space:]]' AND pg_catalog.length(tenant_id) <= 255),
    enabled             boolean NOT NULL DEFAULT true,
    language            text,
    messages_per_second real
        CONSTRAINT whatsapp_tenants_rate_check CHECK (messages_per_second BETWEEN 0.01::real AND 10000),
    daily_share         real
        CONSTRAINT whatsapp_tenants_daily_share_check CHECK (daily_share >= 0 AND daily_share <= 1),
    quiet_from          time,
    quiet_to            time,
    time_zone           text,
    on_uncertain        text
        CONSTRAINT whatsapp_tenants_on_uncertain_check
        CHECK (@extschema@.wa_internal_is_uncertain_policy(on_uncertain)),
    retention           interval
        CONSTRAINT whatsapp_tenants_retention_check
        CHECK (retention = interval '0' OR retention BETWEEN interval '1 day' AND interval '100 years'),
    created_at          timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at          timestamptz NOT NULL DEFAULT pg_catalog.now(),
    marketing_api       boolean NOT NULL DEFAULT false,
    read_receipts       boolean NOT NULL DEFAULT true,
    on_thread           text NOT NULL DEFAULT 'hold'
        CONSTRAINT whatsapp_tenants_on_thread_check CHECK (on_thread IN ('hold', 'take_over')),
    CONSTRAINT whatsapp_tenants_quiet_hours_check CHECK ((quiet_from IS NULL) = (quiet_to IS NULL))
);
COMMENT ON TABLE @extschema@.whatsapp_tenants IS
'The tenants and their own settings; NULL means the installation''s default.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.tenant_id IS 'The application''s own identifier of the tenant, as text.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.enabled IS
'False: new messages are stored as skipped, queued ones are held.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.language IS
'Template language for messages that name none; NULL: whatsapp_shared.default_language.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.messages_per_second IS
'The tenant''s own rate limit; NULL: that of its number.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.daily_share IS
'Guaranteed share (0 to 1) of the portfolio''s limit of unique recipients in 24 hours.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.quiet_from IS
'Local time at which quiet hours begin; NULL: the tenant has none.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.quiet_to IS
'Local time at which quiet hours end; before quiet_from if they span midnight.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.time_zone IS
'Time zone of the quiet hours; NULL: the server''s log_timezone.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.on_uncertain IS
'What happens to uncertain messages: auto, resend, park or fail; NULL: whatsapp_shared.uncertain_policy.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.retention IS
'How long finished messages are kept; NULL: whatsapp_shared.retention.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.created_at IS 'When the tenant was created.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.updated_at IS 'When its settings were last changed.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.marketing_api IS
'Whether its marketing templates go to Meta''s Marketing Messages API.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.read_receipts IS
'Whether customers are shown that what they wrote was read (blue ticks); see wa_mark_read().';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.on_thread IS
'What its free-form messages do while another application has the conversation with the recipient: hold (they wait '
'until it is given back) or take_over (they are sent, which takes the conversation over).';

/* What resembles a new one: see wa_internal_check_new_tenant. */
CREATE INDEX whatsapp_tenants_resembled_idx
    ON @extschema@.whatsapp_tenants (pg_catalog.lower(pg_catalog.btrim(tenant_id)));

CREATE TRIGGER whatsapp_tenants_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.whatsapp_tenants
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_config_changed();

/* ---- checks: each rule and its text exist once --------------------------- */

CREATE FUNCTION @extschema@.wa_internal_check_tenant_id(candidate text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF candidate IS NULL THEN
        RAISE EXCEPTION 'tenant_id must not be null' USING ERRCODE = 'null_value_not_allowed';
    ELSIF candidate = '' OR length(candidate) > 255 THEN
        RAISE EXCEPTION 'tenant_id must have 1 to 255 characters'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('It has %s.', length(candidate));
    ELSIF candidate !~ '[^[:space:]]' THEN
        RAISE EXCEPTION 'tenant_id must not be blank'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'It consists of white space only.';
    END IF;
    RETURN candidate;
END
$$;

/* The same rule, and the same words, as for the language of a message. */
CREATE FUNCTION @extschema@.wa_internal_check_language(candidate text) RETURNS text
    LANGUAGE c IMMUTABLE PARALLEL SAFE STRICT AS 'MODULE_PATHNAME', 'wa_internal_check_language';
COMMENT ON FUNCTION @extschema@.wa_internal_check_language(text) IS
'Returns a code of a language as it is, and refuses what is none (22023). Internal.';

CREATE FUNCTION @extschema@.wa_internal_check_time_zone(candidate text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_timezone_names AS z WHERE z.name = candidate) THEN
        RAISE EXCEPTION 'unknown time zone "%"', @extschema@.wa_internal_quote(candidate)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Use a name from the view pg_timezone_names, such as "Europe/Madrid".';
    END IF;
    RETURN candidate;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_known_zone(candidate text) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_known_zone';
COMMENT ON FUNCTION @extschema@.wa_internal_known_zone(text) IS
'This time zone; the server''s own if it is null, or if the server knows it no more. Internal.';

CREATE FUNCTION @extschema@.wa_internal_check_on_thread(candidate text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF candidate NOT IN ('hold', 'take_over') THEN
        RAISE EXCEPTION 'invalid value of on_thread: "%"', @extschema@.wa_internal_quote(candidate)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Use hold or take_over.';
    END IF;
    RETURN candidate;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_check_share(tenant text, candidate real) RETURNS real
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    taken numeric;
BEGIN
    IF candidate < 0 OR candidate > 1 OR candidate = 'NaN' THEN
        RAISE EXCEPTION 'daily_share must be between 0 and 1'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT COALESCE(sum(t.daily_share::numeric), 0) INTO taken
        FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id <> tenant;
    IF candidate IS NOT NULL AND taken + candidate::numeric > 1 THEN
        RAISE EXCEPTION 'daily_share % is more than is left', candidate
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('The other tenants are guaranteed %s in total; the sum must not exceed 1.', taken);
    END IF;
    RETURN candidate;
END
$$;

/*
 * What a tenant that is to be created must not be called: it would be the tenant
 * of a slip, beside the one that was meant.
 */
CREATE FUNCTION @extschema@.wa_internal_check_new_tenant(candidate text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    resembled text;
BEGIN
    PERFORM @extschema@.wa_internal_check_tenant_id(candidate);
    IF candidate ~ '^[[:space:]]|[[:space:]]$' THEN
        RAISE EXCEPTION 'tenant_id must not begin or end with white space'
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF EXISTS (SELECT FROM @extschema@.whatsapp_phone_numbers AS p WHERE p.phone_number_id = candidate) THEN
        RAISE EXCEPTION 'tenant_id "%" is the phone_number_id of a number', candidate
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'The tenant comes first: wa_assign_phone(tenant_id, phone_number_id).';
    END IF;
    SELECT t.tenant_id INTO resembled FROM @extschema@.whatsapp_tenants AS t
        WHERE lower(btrim(t.tenant_id)) = lower(candidate) AND t.tenant_id <> candidate
        LIMIT 1;
    IF FOUND THEN
        RAISE WARNING 'tenant "%" is new, and differs from tenant "%" only in case or spaces',
            @extschema@.wa_internal_quote(candidate), @extschema@.wa_internal_quote(resembled);
    END IF;
    RETURN candidate;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_create_tenant(tenant text) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO @extschema@.whatsapp_tenants (tenant_id)
    SELECT @extschema@.wa_internal_check_new_tenant(tenant)
    WHERE NOT EXISTS (SELECT FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = tenant)
    ON CONFLICT DO NOTHING
$$;

/* Roles that are bound to a tenant may do nothing for another; see src/base/tenant_role.c. */
CREATE FUNCTION @extschema@.wa_internal_check_own_tenant(tenant text) RETURNS void
    LANGUAGE c STRICT STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_check_own_tenant';
COMMENT ON FUNCTION @extschema@.wa_internal_check_own_tenant(text) IS
'Raises an error if a role of the session is bound to another tenant. Internal.';

CREATE FUNCTION @extschema@.wa_internal_may_be_tenant(tenant text) RETURNS boolean
    LANGUAGE c STRICT STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_may_be_tenant';
COMMENT ON FUNCTION @extschema@.wa_internal_may_be_tenant(text) IS
'Whether no role of the session is bound to another tenant. Internal.';

CREATE FUNCTION @extschema@.wa_internal_bound_tenant() RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_bound_tenant';
COMMENT ON FUNCTION @extschema@.wa_internal_bound_tenant() IS
'The tenant that a role of the session is bound to; NULL: none is. Internal.';

CREATE FUNCTION @extschema@.wa_internal_tenant_hint(tenant text, beside text) RETURNS text
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_tenant_hint';
COMMENT ON FUNCTION @extschema@.wa_internal_tenant_hint(text, text) IS
'What may be meant by a tenant that does not exist; beside: the argument that it may have been exchanged for. '
'Internal.';

CREATE FUNCTION @extschema@.wa_internal_unknown_tenant(tenant text, beside text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_check_tenant_id(tenant);
    RAISE EXCEPTION 'tenant "%" does not exist', @extschema@.wa_internal_quote(tenant)
        USING ERRCODE = 'undefined_object',
              HINT = @extschema@.wa_internal_tenant_hint(tenant, beside);
END
$$;

/* For functions of a tenant that must exist. */
CREATE FUNCTION @extschema@.wa_internal_check_tenant_exists(tenant text, beside text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = tenant) THEN
        PERFORM @extschema@.wa_internal_unknown_tenant(tenant, beside);
    END IF;
END
$$;

/* ---- wa_configure_tenant -------------------------------------------------- */

CREATE FUNCTION @extschema@.wa_configure_tenant(
    tenant_id text,
    enabled boolean DEFAULT NULL,
    language text DEFAULT NULL,
    messages_per_second real DEFAULT NULL,
    quiet_from time DEFAULT NULL,
    quiet_to time DEFAULT NULL,
    time_zone text DEFAULT NULL,
    on_uncertain text DEFAULT NULL,
    daily_share real DEFAULT NULL,
    retention interval DEFAULT NULL,
    reset text[] DEFAULT '{}',
    is_new boolean DEFAULT false,
    marketing_api boolean DEFAULT NULL,
    read_receipts boolean DEFAULT NULL,
    on_thread text DEFAULT NULL)
RETURNS @extschema@.whatsapp_tenants
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    known CONSTANT text[] := '{language,messages_per_second,quiet_hours,time_zone,on_uncertain,daily_share,retention}';
    a wa_configure_tenant.reset%TYPE := COALESCE(wa_configure_tenant.reset, '{}');
    old @extschema@.whatsapp_tenants;
    new @extschema@.whatsapp_tenants;
    word text;
BEGIN
    PERFORM @extschema@.wa_internal_check_tenant_id(wa_configure_tenant.tenant_id);
    FOREACH word IN ARRAY a LOOP
        IF word IS NULL OR word <> ALL (known) THEN
            RAISE EXCEPTION 'cannot reset "%"', @extschema@.wa_internal_quote(word)
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = format('These can be reset: %s.', array_to_string(known, ', '));
        END IF;
    END LOOP;

    /* The sum of the shares is a rule over all rows: one change at a time. */
    IF wa_configure_tenant.daily_share IS NOT NULL THEN
        LOCK TABLE @extschema@.whatsapp_tenants IN SHARE ROW EXCLUSIVE MODE;
    END IF;

    IF wa_configure_tenant.is_new THEN
        PERFORM @extschema@.wa_internal_create_tenant(wa_configure_tenant.tenant_id);
    ELSE
        PERFORM @extschema@.wa_internal_check_tenant_exists(wa_configure_tenant.tenant_id);
    END IF;
    SELECT t.* INTO STRICT old FROM @extschema@.whatsapp_tenants AS t
        WHERE t.tenant_id = wa_configure_tenant.tenant_id FOR NO KEY UPDATE;

    new := old;
    IF 'language' = ANY (a) THEN new.language := NULL; END IF;
    IF 'messages_per_second' = ANY (a) THEN new.messages_per_second := NULL; END IF;
    IF 'quiet_hours' = ANY (a) THEN new.quiet_from := NULL; new.quiet_to := NULL; END IF;
    IF 'time_zone' = ANY (a) THEN new.time_zone := NULL; END IF;
    IF 'on_uncertain' = ANY (a) THEN new.on_uncertain := NULL; END IF;
    IF 'daily_share' = ANY (a) THEN new.daily_share := NULL; END IF;
    IF 'retention' = ANY (a) THEN new.retention := NULL; END IF;

    new.enabled := COALESCE(wa_configure_tenant.enabled, new.enabled);
    new.language := COALESCE(@extschema@.wa_internal_check_language(wa_configure_tenant.language), new.language);
    new.messages_per_second := COALESCE(wa_configure_tenant.messages_per_second, new.messages_per_second);
    new.quiet_from := COALESCE(wa_configure_tenant.quiet_from, new.quiet_from);
    new.quiet_to := COALESCE(wa_configure_tenant.quiet_to, new.quiet_to);
    new.time_zone := COALESCE(@extschema@.wa_internal_check_time_zone(wa_configure_tenant.time_zone), new.time_zone);
    new.on_uncertain := COALESCE(wa_configure_tenant.on_uncertain, new.on_uncertain);
    new.daily_share := COALESCE(
        @extschema@.wa_internal_check_share(old.tenant_id, wa_configure_tenant.daily_share), new.daily_share);
    new.retention := COALESCE(wa_configure_tenant.retention, new.retention);
    new.marketing_api := COALESCE(wa_configure_tenant.marketing_api, new.marketing_api);
    new.read_receipts := COALESCE(wa_configure_tenant.read_receipts, new.read_receipts);
    new.on_thread := COALESCE(@extschema@.wa_internal_check_on_thread(wa_configure_tenant.on_thread), new.on_thread);
    PERFORM @extschema@.wa_internal_check_tenant(new);

    IF new IS NOT DISTINCT FROM old THEN
        RETURN old;
    END IF;
    new.updated_at := clock_timestamp();
    UPDATE @extschema@.whatsapp_tenants AS t
        SET enabled = new.enabled, language = new.language,
            messages_per_second = new.messages_per_second,
            quiet_from = new.quiet_from, quiet_to = new.quiet_to, time_zone = new.time_zone,
            on_uncertain = new.on_uncertain, daily_share = new.daily_share,
            retention = new.retention, marketing_api = new.marketing_api, read_receipts = new.read_receipts,
            on_thread = new.on_thread, updated_at = new.updated_at
        WHERE t.tenant_id = new.tenant_id;

    /* What waited for the old settings looks at the new ones. */
    IF new.enabled AND NOT old.enabled THEN
        PERFORM @extschema@.wa_internal_release_holds('tenant_disabled'::text, tenant => new.tenant_id);
    END IF;
    IF new.on_thread = 'take_over' AND old.on_thread <> 'take_over' THEN
        PERFORM @extschema@.wa_internal_release_holds('thread_taken'::text, tenant => new.tenant_id);
    END IF;
    IF (new.quiet_from, new.quiet_to, new.time_zone) IS DISTINCT FROM (old.quiet_from, old.quiet_to, old.time_zone) THEN
        PERFORM @extschema@.wa_internal_release_holds('quiet_hours'::text, tenant => new.tenant_id);
        PERFORM @extschema@.wa_internal_begin_quiet_hours();
    END IF;
    RETURN new;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_configure_tenant(text, boolean, text, real, time, time, text, text, real,
    interval, text[], boolean, boolean, boolean, text) IS
'Changes the settings of a tenant. NULL leaves a setting as it is; naming it in reset returns it to the '
'installation''s default. is_new: the tenant is created if it does not exist, and has no number then '
'(wa_assign_phone() creates a tenant with one). marketing_api: its marketing templates go to Meta''s Marketing '
'Messages API, whose terms the account must have accepted. read_receipts: whether wa_mark_read() tells customers. '
'on_thread: hold or take_over, for free-form messages while another application has the conversation. Errors: 22004, '
'22023; 42704 no such tenant.';

/* The rules that the table's constraints state, in words a person can act on. */
CREATE FUNCTION @extschema@.wa_internal_check_tenant(t @extschema@.whatsapp_tenants) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF t.messages_per_second NOT BETWEEN 0.01::real AND 10000 THEN
        RAISE EXCEPTION 'messages_per_second must be between 0.01 and 10000'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'To stop a tenant, use enabled => false or wa_pause().';
    ELSIF NOT @extschema@.wa_internal_is_uncertain_policy(t.on_uncertain) THEN
        RAISE EXCEPTION 'unknown policy "%" for on_uncertain', @extschema@.wa_internal_quote(t.on_uncertain)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Use auto, resend, park or fail.';
    ELSIF (t.quiet_from IS NULL) <> (t.quiet_to IS NULL) OR t.quiet_from = t.quiet_to THEN
        RAISE EXCEPTION 'quiet hours need a start and a different end'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give quiet_from and quiet_to together; reset => ''{quiet_hours}'' removes them.';
    ELSIF t.retention < interval '0' THEN
        RAISE EXCEPTION 'retention must not be negative'
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF t.retention > interval '0' AND t.retention < interval '1 day' THEN
        RAISE EXCEPTION 'retention of % is less than a day', t.retention
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give the unit along with the number, as in ''30 days''; 0 keeps all.';
    ELSIF t.retention > interval '100 years' THEN
        RAISE EXCEPTION 'retention of % is more than 100 years', t.retention
            USING ERRCODE = 'invalid_parameter_value', HINT = '0 keeps all.';
    END IF;
END
$$;
