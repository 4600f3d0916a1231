/*
 * Which tenant has which number.
 *
 * Two partial unique indexes on whatsapp_phone_assignments make an assignment
 * exclusive both ways, whatever runs at the same time; the functions here only
 * turn a conflict into an error that names the holder.  They insert with ON
 * CONFLICT DO NOTHING, which waits for an assignment that is still being made
 * or ended elsewhere and then decides by its outcome; at the isolation levels
 * above READ COMMITTED it raises a serialization failure instead.
 */

CREATE TABLE @extschema@.whatsapp_phone_numbers (
    phone_number_id      text COLLATE "C" PRIMARY KEY
        CONSTRAINT whatsapp_phone_numbers_id_check CHECK (phone_number_id ~ '^[0-9]{5,20}$'),
    display_phone_number text,
    verified_name        text,
    status               text,
    quality_rating       text,
    code_verification_status text,
    name_status          text,
    platform_type        text,
    account_mode         text,
    throughput_level     text,
    messaging_limit      text,
    messages_per_second  real
        CONSTRAINT whatsapp_phone_numbers_rate_check CHECK (messages_per_second BETWEEN 0.01::real AND 10000),
    rate_factor          real NOT NULL DEFAULT 1
        CONSTRAINT whatsapp_phone_numbers_rate_factor_check CHECK (rate_factor > 0 AND rate_factor <= 1),
    rate_reason          text,
    flagged_at           timestamptz,
    limit_lowered_from   text,
    source               text NOT NULL DEFAULT 'manual'
        CONSTRAINT whatsapp_phone_numbers_source_check CHECK (source IN ('manual', 'sync')),
    synced_at            timestamptz,
    missing_since        timestamptz,
    created_at           timestamptz NOT NULL DEFAULT pg_catalog.now(),
    is_on_biz_app        boolean
);
COMMENT ON TABLE @extschema@.whatsapp_phone_numbers IS
'The phone numbers of the WhatsApp Business account, entered by hand or read from Meta.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.phone_number_id IS 'Meta''s ID of the number.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.display_phone_number IS 'The phone number as people write it.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.verified_name IS 'The display name that recipients see.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.status IS
'Meta''s status, such as CONNECTED, FLAGGED or BANNED; NULL: not read yet.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.quality_rating IS 'Meta''s rating: GREEN, YELLOW, RED or UNKNOWN.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.code_verification_status IS
'Whether the number''s ownership is verified, as Meta reports it.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.name_status IS 'Whether Meta has approved the display name.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.platform_type IS
'CLOUD_API, or another platform on which the number is registered.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.account_mode IS 'LIVE or SANDBOX.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.throughput_level IS
'Meta''s throughput level: STANDARD (80 messages a second) or HIGH (1,000).';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.is_on_biz_app IS
'Whether the number is also in the WhatsApp Business app on a phone, as Meta reports it: then 20 messages a second are '
'the most that it may send.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.messaging_limit IS
'The portfolio''s limit of unique recipients in 24 hours, such as TIER_2K, as Meta reports it.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.messages_per_second IS
'The operator''s own rate for this number; NULL follows throughput_level, else the setting '
'whatsapp_shared.messages_per_second.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.rate_factor IS
'Factor that the rate is multiplied by; below 1 while rate_reason applies. See whatsapp_damage_policies.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.rate_reason IS
'Why the rate is lowered: quality_yellow, quality_red, number_flagged or limit_lowered; NULL if it is not.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.flagged_at IS
'When Meta flagged the number for its quality; NULL: it is not flagged.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.limit_lowered_from IS
'The messaging limit before Meta lowered it, until it is reached again.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.source IS
'manual: entered by wa_assign_phone(); sync: read from Meta.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.synced_at IS 'When it was last read from Meta.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.missing_since IS
'Since when Meta no longer lists it; nothing is sent from it then.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.created_at IS 'When it became known here.';

/* Whose number is it?  See wa_internal_number_written. */
CREATE INDEX whatsapp_phone_numbers_written_idx
    ON @extschema@.whatsapp_phone_numbers (@extschema@.wa_internal_digits(display_phone_number));

CREATE TRIGGER whatsapp_phone_numbers_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.whatsapp_phone_numbers
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_config_changed();

CREATE TABLE @extschema@.whatsapp_phone_assignments (
    assignment_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id       text COLLATE "C" NOT NULL
        REFERENCES @extschema@.whatsapp_tenants,
    phone_number_id text COLLATE "C" NOT NULL
        REFERENCES @extschema@.whatsapp_phone_numbers,
    assigned_at     timestamptz NOT NULL DEFAULT pg_catalog.now(),
    unassigned_at   timestamptz,
    CONSTRAINT whatsapp_phone_assignments_range_check CHECK (unassigned_at >= assigned_at)
);
CREATE UNIQUE INDEX whatsapp_phone_assignments_number_key
    ON @extschema@.whatsapp_phone_assignments (phone_number_id) WHERE unassigned_at IS NULL;
CREATE UNIQUE INDEX whatsapp_phone_assignments_tenant_key
    ON @extschema@.whatsapp_phone_assignments (tenant_id) WHERE unassigned_at IS NULL;
CREATE INDEX whatsapp_phone_assignments_history_idx
    ON @extschema@.whatsapp_phone_assignments (phone_number_id, assigned_at);
CREATE INDEX whatsapp_phone_assignments_ended_idx
    ON @extschema@.whatsapp_phone_assignments (tenant_id, unassigned_at);
COMMENT ON TABLE @extschema@.whatsapp_phone_assignments IS
'Which tenant had which number, and when. The current assignment has no unassigned_at; a tenant has one number at '
'most, and a number one tenant.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_assignments.assignment_id IS 'Number of the assignment.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_assignments.tenant_id IS 'The tenant that has, or had, the number.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_assignments.phone_number_id IS 'The number.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_assignments.assigned_at IS 'When the assignment began.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_assignments.unassigned_at IS 'When it ended; NULL: it is current.';

CREATE TRIGGER whatsapp_phone_assignments_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.whatsapp_phone_assignments
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_config_changed();

CREATE TRIGGER whatsapp_phone_assignments_here
    BEFORE INSERT ON @extschema@.whatsapp_phone_assignments
    FOR EACH ROW WHEN (NEW.unassigned_at IS NULL)
    EXECUTE FUNCTION @extschema@.wa_internal_number_is_no_node_s();

/*
 * The number from which tenants without one send; NULL: they wait.  A number
 * that a tenant has is that tenant's alone, whatever the setting says.
 */
CREATE FUNCTION @extschema@.wa_internal_default_number() RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.number FROM current_setting('whatsapp_shared.phone_number_id', true) AS s (number)
    WHERE s.number <> '' AND NOT EXISTS (
        SELECT FROM @extschema@.whatsapp_phone_assignments AS a
        WHERE a.phone_number_id = s.number AND a.unassigned_at IS NULL)
$$;

/* Why there is none although the setting names one; NULL if that is not so. */
CREATE FUNCTION @extschema@.wa_internal_default_number_taken() RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('the default number %s belongs to tenant "%s"', a.phone_number_id, a.tenant_id)
    FROM @extschema@.whatsapp_phone_assignments AS a
    WHERE a.phone_number_id = current_setting('whatsapp_shared.phone_number_id', true) AND a.unassigned_at IS NULL
$$;

/* The number a tenant sends from; NULL while it has none. */
CREATE FUNCTION @extschema@.wa_internal_number_of(tenant text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(
        (SELECT a.phone_number_id FROM @extschema@.whatsapp_phone_assignments AS a
         WHERE a.tenant_id = tenant AND a.unassigned_at IS NULL),
        @extschema@.wa_internal_default_number())
$$;

/* ---- assigning ------------------------------------------------------------ */

/* The ID of the number that is written like this; NULL if none is known. */
CREATE FUNCTION @extschema@.wa_internal_number_written(written text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.phone_number_id FROM @extschema@.whatsapp_phone_numbers AS p
    WHERE @extschema@.wa_internal_digits(p.display_phone_number)
        = NULLIF(@extschema@.wa_internal_digits(written), '')
    ORDER BY p.phone_number_id LIMIT 1
$$;

/* Refuses what cannot be the ID of a number; the tenant is for the hint. */
CREATE FUNCTION @extschema@.wa_internal_check_number_id(number text, tenant text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_known CONSTANT boolean := EXISTS (
        SELECT FROM @extschema@.whatsapp_phone_numbers AS p WHERE p.phone_number_id = number);
    meant CONSTANT text := @extschema@.wa_internal_number_written(number);
BEGIN
    IF number IS NULL THEN
        RAISE EXCEPTION 'phone_number_id must not be null' USING ERRCODE = 'null_value_not_allowed';
    ELSIF number = NULLIF(current_setting('whatsapp_shared.business_account_id', true), '') THEN
        RAISE EXCEPTION 'invalid phone_number_id "%"', @extschema@.wa_internal_quote(number)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'This is the ID of the WhatsApp Business account; each of its numbers has an ID of its own.';
    ELSIF NOT is_known AND (NOT @extschema@.wa_internal_is_meta_id(number) OR meant IS NOT NULL) THEN
        RAISE EXCEPTION 'invalid phone_number_id "%"', @extschema@.wa_internal_quote(number)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = CASE
                      WHEN meant IS NOT NULL
                          THEN format('This is the phone number itself; its phone_number_id is "%s".', meant)
                      WHEN @extschema@.wa_internal_is_meta_id(tenant)
                          THEN format('The arguments seem to be swapped: wa_assign_phone(%L, %L).',
                              @extschema@.wa_internal_quote(number), tenant)
                      ELSE 'phone_number_id is the Meta ID of the number, 5 to 20 digits; '
                           'the phone number itself is display_phone_number.' END;
    END IF;
END
$$;

/* The account, for messages. */
CREATE FUNCTION @extschema@.wa_internal_account() RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat_ws(' ', 'the WhatsApp Business account',
        NULLIF(current_setting('whatsapp_shared.business_account_id', true), ''))
$$;

/*
 * Refuses a number that Meta, once its list has been read, does not list; tells
 * that one could not be checked.
 */
CREATE FUNCTION @extschema@.wa_internal_check_number_listed(number text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    listed CONSTANT integer := @extschema@.wa_internal_listed('phone_numbers'::text);
BEGIN
    IF listed IS NULL THEN
        RAISE NOTICE 'phone number "%" was not checked', number
            USING DETAIL = 'The account''s numbers have not been read from Meta yet.',
                  HINT = 'wa_health() tells when Meta has confirmed it, and if Meta does not list it.';
        RETURN;
    END IF;
    RAISE EXCEPTION 'phone number "%" does not belong to the account', number
        USING ERRCODE = 'undefined_object',
              DETAIL = format('Meta lists %s numbers for %s, and it is not among them.',
                  listed, @extschema@.wa_internal_account()),
              HINT = concat_ws(' ',
                  @extschema@.wa_internal_did_you_mean(number, ARRAY(
                      SELECT p.phone_number_id FROM @extschema@.whatsapp_phone_numbers AS p
                      WHERE p.synced_at IS NOT NULL)),
                  'See whatsapp_phone_numbers; if the number is new, read the list again: '
                  'SELECT wa_sync_phone_numbers();');
END
$$;

/* Creates the number if it is new, and refuses one that cannot send. */
CREATE FUNCTION @extschema@.wa_internal_prepare_number(number text, display text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    n @extschema@.whatsapp_phone_numbers;
BEGIN
    IF display !~ '^\+?[0-9][0-9 ().-]{4,30}$' THEN
        RAISE EXCEPTION 'invalid display_phone_number "%"', @extschema@.wa_internal_quote(display)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Write the phone number as people read it, such as "+34 600 00 00 01".';
    END IF;

    IF number = current_setting('whatsapp_shared.phone_number_id', true) THEN
        RAISE WARNING 'phone number "%" is the default number', @extschema@.wa_internal_quote(number)
            USING DETAIL = 'Tenants without a number of their own have been sending from it; '
                           'from now on their messages wait.',
                  HINT = 'Set whatsapp_shared.phone_number_id to a number that no tenant has, '
                         'or give each tenant its own: SELECT * FROM wa_assign_all();';
    END IF;

    /* The lock that the foreign key will take, taken early: see wa_internal_free_number. */
    SELECT p.* INTO n FROM @extschema@.whatsapp_phone_numbers AS p
        WHERE p.phone_number_id = number FOR KEY SHARE;
    IF NOT FOUND THEN
        PERFORM @extschema@.wa_internal_check_number_listed(number);
        INSERT INTO @extschema@.whatsapp_phone_numbers (phone_number_id, display_phone_number)
            VALUES (number, display) ON CONFLICT DO NOTHING;
        RETURN;
    ELSIF @extschema@.wa_internal_unlisted(number) THEN
        PERFORM @extschema@.wa_internal_check_number_listed(number);
    ELSIF display IS NOT NULL AND n.display_phone_number IS NOT NULL AND n.synced_at IS NOT NULL
        AND NOT @extschema@.wa_internal_same_number(display, n.display_phone_number) THEN
        RAISE EXCEPTION 'display_phone_number "%" is not that of phone number "%"', display, number
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('At Meta it is %s.', n.display_phone_number),
                  HINT = 'Leave it out, or check the phone_number_id.';
    END IF;

    IF n.missing_since IS NOT NULL OR n.status IN ('BANNED', 'DELETED') THEN
        RAISE EXCEPTION 'phone number "%" cannot send', @extschema@.wa_internal_quote(number)
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = CASE WHEN n.missing_since IS NOT NULL
                      THEN format('It has not been part of the WhatsApp Business account since %s.',
                          date_trunc('second', n.missing_since))
                      ELSE format('Its status at Meta is %s.', @extschema@.wa_internal_quote(n.status)) END,
                  HINT = 'Choose another number, or run wa_sync_phone_numbers() if this has changed.';
    ELSIF n.status <> 'CONNECTED' THEN
        RAISE WARNING 'phone number "%" may not be able to send yet', @extschema@.wa_internal_quote(number)
            USING DETAIL = format('Its status at Meta is %s.', @extschema@.wa_internal_quote(n.status));
    END IF;
    IF display IS NOT NULL AND n.display_phone_number IS DISTINCT FROM display THEN
        UPDATE @extschema@.whatsapp_phone_numbers AS p
            SET display_phone_number = display WHERE p.phone_number_id = number;
    END IF;
END
$$;

/*
 * The tenant's number, which then stays its until this transaction ends; NULL
 * if it has none.  Not FOR SHARE: two who have both looked and then both want
 * to release it would wait for each other.
 *
 * An assignment that was released while this waited for it has been locked,
 * too.  Leaving the subtransaction lets go of it: whoever goes on to wait for
 * something else must not keep the others from seeing that it has ended.
 */
CREATE FUNCTION @extschema@.wa_internal_keep_number(tenant text) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    number text;
BEGIN
    SELECT a.phone_number_id INTO number FROM @extschema@.whatsapp_phone_assignments AS a
        WHERE a.tenant_id = tenant AND a.unassigned_at IS NULL FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'WA001', MESSAGE = 'no number';
    END IF;
    RETURN number;
EXCEPTION
    WHEN SQLSTATE 'WA001' THEN
        RETURN NULL;
END
$$;

/* Inserts the assignment; false if the tenant or the number has one already. */
CREATE FUNCTION @extschema@.wa_internal_try_assign(tenant text, number text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    id bigint;
BEGIN
    INSERT INTO @extschema@.whatsapp_phone_assignments AS a (tenant_id, phone_number_id, assigned_at)
        VALUES (tenant, number, clock_timestamp())
        ON CONFLICT DO NOTHING
        RETURNING a.assignment_id INTO id;
    IF NOT FOUND THEN
        RETURN false;
    END IF;

    /* The clock was read before the wait for a predecessor; periods never overlap. */
    UPDATE @extschema@.whatsapp_phone_assignments AS a
        SET assigned_at = before.ended
        FROM (SELECT GREATEST(
                  (SELECT max(b.unassigned_at) FROM @extschema@.whatsapp_phone_assignments AS b
                   WHERE b.phone_number_id = number),
                  (SELECT max(b.unassigned_at) FROM @extschema@.whatsapp_phone_assignments AS b
                   WHERE b.tenant_id = tenant)) AS ended) AS before
        WHERE a.assignment_id = id AND a.assigned_at < before.ended;
    PERFORM @extschema@.wa_internal_queue_to_number(tenant, number);
    RETURN true;
END
$$;

/*
 * Makes tenant and number belong together, or finds that they do and keeps it
 * so until this transaction ends.  Raises unique_violation and names the holder
 * if either is taken.
 */
CREATE FUNCTION @extschema@.wa_internal_assign(tenant text, number text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    holder text;
    held text;
BEGIN
    WHILE NOT @extschema@.wa_internal_try_assign(tenant, number) LOOP
        held := @extschema@.wa_internal_keep_number(tenant);
        EXIT WHEN held = number;

        SELECT a.tenant_id INTO holder FROM @extschema@.whatsapp_phone_assignments AS a
            WHERE a.phone_number_id = number AND a.unassigned_at IS NULL;
        IF holder <> tenant THEN
            RAISE EXCEPTION 'phone number "%" is already assigned', @extschema@.wa_internal_quote(number)
                USING ERRCODE = 'unique_violation',
                      DETAIL = format('It is assigned to tenant "%s".', holder),
                      HINT = format('Release it first: SELECT wa_unassign_phone(%L);', holder),
                      CONSTRAINT = 'whatsapp_phone_assignments_number_key';
        ELSIF held IS NOT NULL THEN
            RAISE EXCEPTION 'tenant "%" already has a phone number', @extschema@.wa_internal_quote(tenant)
                USING ERRCODE = 'unique_violation',
                      DETAIL = format('It has number "%s".', held),
                      HINT = format('Release it first: SELECT wa_unassign_phone(%L);', tenant),
                      CONSTRAINT = 'whatsapp_phone_assignments_tenant_key';
        END IF;
        /* Whoever was in the way let go meanwhile: try again. */
    END LOOP;
END
$$;

CREATE FUNCTION @extschema@.wa_assign_phone(
    INOUT tenant_id text,
    INOUT phone_number_id text,
    INOUT display_phone_number text DEFAULT NULL,
    OUT assigned_at timestamptz)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    PERFORM @extschema@.wa_internal_check_tenant_id(tenant_id);
    PERFORM @extschema@.wa_internal_check_number_id(phone_number_id, tenant_id);
    PERFORM @extschema@.wa_internal_create_tenant(tenant_id);
    PERFORM @extschema@.wa_internal_prepare_number(phone_number_id, display_phone_number);
    PERFORM @extschema@.wa_internal_assign(tenant_id, phone_number_id);
    SELECT p.display_phone_number, a.assigned_at INTO STRICT display_phone_number, assigned_at
        FROM @extschema@.whatsapp_phone_assignments AS a
            JOIN @extschema@.whatsapp_phone_numbers AS p ON p.phone_number_id = a.phone_number_id
        WHERE a.tenant_id = wa_assign_phone.tenant_id
            AND a.phone_number_id = wa_assign_phone.phone_number_id AND a.unassigned_at IS NULL;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_assign_phone(text, text, text) IS
'Assigns the number to the tenant; both are created if they are new. Does nothing if they already belong together. '
'Errors: 22004, 22023; 23505 either is taken, by whom the error says; 42704 Meta does not list the number; 55000 the '
'number cannot send. Until the account''s numbers have been read from Meta an unknown number is accepted, with a '
'NOTICE.';

/* ---- choosing a number ---------------------------------------------------- */

CREATE VIEW @extschema@.wa_free_numbers AS
SELECT p.phone_number_id, p.display_phone_number, p.verified_name, p.status, p.quality_rating,
       p.messaging_limit, p.created_at
FROM @extschema@.whatsapp_phone_numbers AS p
WHERE p.missing_since IS NULL
    AND (p.status IS NULL OR p.status = 'CONNECTED')
    AND p.phone_number_id IS DISTINCT FROM pg_catalog.current_setting('whatsapp_shared.phone_number_id', true)
    AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_phone_assignments AS a
                    WHERE a.phone_number_id = p.phone_number_id AND a.unassigned_at IS NULL)
    AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_pauses AS x
                    WHERE x.scope = 'number' AND x.key = p.phone_number_id)
    AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_node_numbers AS d
                    WHERE d.phone_number_id = p.phone_number_id AND d.node IS NOT NULL)
ORDER BY (p.status IS NULL),
         CASE p.quality_rating WHEN 'GREEN' THEN 0 WHEN 'YELLOW' THEN 2 WHEN 'RED' THEN 3 ELSE 1 END,
         p.created_at, p.phone_number_id;
COMMENT ON VIEW @extschema@.wa_free_numbers IS
'Numbers that can be assigned to a tenant, the best first: connected, of good quality, known longest. The default '
'number, numbers of other nodes, and those that are paused or missing are not among them.';
COMMENT ON COLUMN @extschema@.wa_free_numbers.phone_number_id IS 'Meta''s ID of the number.';
COMMENT ON COLUMN @extschema@.wa_free_numbers.display_phone_number IS 'The phone number as people write it.';
COMMENT ON COLUMN @extschema@.wa_free_numbers.verified_name IS 'The display name that recipients see.';
COMMENT ON COLUMN @extschema@.wa_free_numbers.status IS 'Meta''s status; NULL: not read yet.';
COMMENT ON COLUMN @extschema@.wa_free_numbers.quality_rating IS 'Meta''s rating: GREEN, YELLOW, RED or UNKNOWN.';
COMMENT ON COLUMN @extschema@.wa_free_numbers.messaging_limit IS
'The portfolio''s limit of unique recipients in 24 hours, as Meta reports it.';
COMMENT ON COLUMN @extschema@.wa_free_numbers.created_at IS 'When the number became known here.';

/*
 * Locks a free number so that concurrent calls choose different ones; NULL if
 * there is none.  The lock excludes the one that wa_internal_prepare_number
 * takes, so nobody can be half-way through assigning the same number by name:
 * without that the two could wait for each other.
 */
CREATE FUNCTION @extschema@.wa_internal_free_number(wait boolean) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    /* Of all numbers at once: wa_internal_unlisted asks it of each. */
    any_listed CONSTANT boolean := @extschema@.wa_internal_listed('phone_numbers'::text) IS NOT NULL;
    /* What is locked may come free: an assignment can fail, a synchronisation ends. */
    passes CONSTANT boolean[] := CASE WHEN wait THEN ARRAY[false, true] ELSE ARRAY[false] END;
    waits boolean;
    number text;
BEGIN
    FOREACH waits IN ARRAY passes LOOP
        FOR number IN
            SELECT f.phone_number_id FROM @extschema@.wa_free_numbers AS f
            WHERE NOT any_listed OR EXISTS (
                SELECT FROM @extschema@.whatsapp_phone_numbers AS p
                WHERE p.phone_number_id = f.phone_number_id AND p.synced_at IS NOT NULL)
        LOOP
            IF waits THEN
                PERFORM FROM @extschema@.wa_free_numbers AS f WHERE f.phone_number_id = number FOR UPDATE;
            ELSE
                PERFORM FROM @extschema@.wa_free_numbers AS f WHERE f.phone_number_id = number
                    FOR UPDATE SKIP LOCKED;
            END IF;
            IF FOUND THEN
                RETURN number;
            END IF;
        END LOOP;
    END LOOP;
    RETURN NULL;
END
$$;

/*
 * Gives a tenant without a number the best free one, and returns it.  NULL: no
 * number is free; false in assigned: somebody else has given it one meanwhile,
 * and that is returned.
 *
 * A number that turns out to be taken is let go, by leaving a subtransaction,
 * before another one is locked: whoever waits for a number holds none.  A caller
 * that assigns several in one transaction does hold some, and must not wait.
 */
CREATE FUNCTION @extschema@.wa_internal_assign_free(tenant text, wait boolean, OUT number text, OUT assigned boolean)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    LOOP
        number := @extschema@.wa_internal_keep_number(tenant);
        assigned := number IS NULL;
        EXIT WHEN NOT assigned;
        BEGIN
            number := @extschema@.wa_internal_free_number(wait);
            EXIT WHEN number IS NULL OR @extschema@.wa_internal_try_assign(tenant, number);
            RAISE EXCEPTION USING ERRCODE = 'WA001', MESSAGE = 'the number or the tenant is taken';
        EXCEPTION WHEN SQLSTATE 'WA001' THEN
            NULL;
        END;
    END LOOP;
END
$$;

CREATE FUNCTION @extschema@.wa_assign_phone(
    INOUT tenant_id text,
    OUT phone_number_id text,
    OUT display_phone_number text,
    OUT assigned_at timestamptz)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    PERFORM @extschema@.wa_internal_create_tenant(tenant_id);
    /* Calls for the same tenant take turns, or each would lock a number of its own. */
    PERFORM FROM @extschema@.whatsapp_tenants AS t
        WHERE t.tenant_id = wa_assign_phone.tenant_id FOR NO KEY UPDATE;
    SELECT f.number INTO phone_number_id FROM @extschema@.wa_internal_assign_free(tenant_id, wait => true) AS f;
    IF phone_number_id IS NULL THEN
        RAISE EXCEPTION 'no free phone number for tenant "%"', @extschema@.wa_internal_quote(tenant_id)
            USING ERRCODE = 'configuration_limit_exceeded',
                  HINT = 'Add a number to the WhatsApp Business account and run wa_sync_phone_numbers(), '
                         'or pass a number to wa_assign_phone().';
    END IF;
    SELECT p.display_phone_number, a.assigned_at INTO STRICT display_phone_number, assigned_at
        FROM @extschema@.whatsapp_phone_assignments AS a
            JOIN @extschema@.whatsapp_phone_numbers AS p ON p.phone_number_id = a.phone_number_id
        WHERE a.tenant_id = wa_assign_phone.tenant_id AND a.unassigned_at IS NULL;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_assign_phone(text) IS
'Assigns the best free number (see wa_free_numbers) to the tenant, or returns the number that it has. Error 53400: '
'there is no free number.';

CREATE FUNCTION @extschema@.wa_assign_all()
RETURNS TABLE (tenant_id text, phone_number_id text, display_phone_number text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    without integer := 0;
    mine boolean;
BEGIN
    FOR tenant_id IN
        SELECT t.tenant_id FROM @extschema@.whatsapp_tenants AS t
        WHERE t.enabled AND NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_phone_assignments AS a
            WHERE a.tenant_id = t.tenant_id AND a.unassigned_at IS NULL)
        ORDER BY t.created_at, t.tenant_id
    LOOP
        SELECT f.number, f.assigned INTO phone_number_id, mine
            FROM @extschema@.wa_internal_assign_free(tenant_id, wait => false) AS f;
        CONTINUE WHEN NOT mine;
        IF phone_number_id IS NULL THEN
            display_phone_number := NULL;
            without := without + 1;
        ELSE
            SELECT p.display_phone_number INTO STRICT display_phone_number
                FROM @extschema@.whatsapp_phone_numbers AS p WHERE p.phone_number_id = wa_assign_all.phone_number_id;
        END IF;
        RETURN NEXT;
    END LOOP;
    IF without > 0 THEN
        RAISE WARNING 'no free phone number for % of the tenants', without
            USING HINT = 'Add numbers to the WhatsApp Business account and run wa_sync_phone_numbers().';
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_assign_all() IS
'Assigns a free number to every enabled tenant that has none, the oldest tenant first. One row for each tenant; '
'phone_number_id is NULL if no number was left.';

/* ---- unassigning ---------------------------------------------------------- */

CREATE FUNCTION @extschema@.wa_unassign_phone(tenant_id text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    tenant CONSTANT text := @extschema@.wa_internal_check_tenant_id(wa_unassign_phone.tenant_id);
    number text;
BEGIN
    PERFORM @extschema@.wa_internal_check_tenant_exists(tenant);
    UPDATE @extschema@.whatsapp_phone_assignments AS a
        SET unassigned_at = GREATEST(clock_timestamp(), a.assigned_at)
        WHERE a.tenant_id = tenant AND a.unassigned_at IS NULL
        RETURNING a.phone_number_id INTO number;
    IF NOT FOUND THEN
        RAISE NOTICE 'tenant "%" has no phone number', @extschema@.wa_internal_quote(tenant);
        RETURN false;
    END IF;
    PERFORM @extschema@.wa_internal_queue_without_number(tenant, number);
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_unassign_phone(text) IS
'Ends the tenant''s assignment, which stays on record. Queued messages wait until the tenant has a number again. '
'False, with a NOTICE: it had none.';
