/*
 * What Meta says about the account's numbers and about the access token when
 * the sender asks.
 *
 * The sender reads GET /{account}/phone_numbers and hands each page over as it
 * came; fields and their values are Meta's and open-ended, so that nothing but
 * the identifier is checked.  A change for the worse raises an alert, and the
 * return to normal closes it.
 */

/* What the worker was asked to read from Meta, and how that ended. */
CREATE TABLE @extschema@.whatsapp_sync (
    kind         text PRIMARY KEY
        CONSTRAINT whatsapp_sync_kind_check CHECK (kind IN ('phone_numbers', 'templates', 'token')),
    requested_at timestamptz,
    started_at   timestamptz,
    finished_at  timestamptz,
    items        integer,
    error        text,
    expires_at   timestamptz
);

INSERT INTO @extschema@.whatsapp_sync (kind) VALUES ('phone_numbers'), ('templates'), ('token');
COMMENT ON TABLE @extschema@.whatsapp_sync IS
'The state of each synchronisation with Meta: when it was requested, when it last ran, what it found.';
COMMENT ON COLUMN @extschema@.whatsapp_sync.kind IS 'What is read: phone_numbers, templates or token.';
COMMENT ON COLUMN @extschema@.whatsapp_sync.requested_at IS 'When it was last asked for.';
COMMENT ON COLUMN @extschema@.whatsapp_sync.started_at IS 'When it last began.';
COMMENT ON COLUMN @extschema@.whatsapp_sync.finished_at IS 'When it last ended.';
COMMENT ON COLUMN @extschema@.whatsapp_sync.items IS 'How many items Meta listed.';
COMMENT ON COLUMN @extschema@.whatsapp_sync.error IS 'What went wrong; NULL: it succeeded.';
COMMENT ON COLUMN @extschema@.whatsapp_sync.expires_at IS
'Of the token: when it ends, as Meta said last; NULL: never, or not known.';

/* A sender also writes here how its synchronisation went; that is no news to it. */
CREATE TRIGGER whatsapp_sync_requested
    AFTER UPDATE OF requested_at ON @extschema@.whatsapp_sync
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_config_changed();

CREATE FUNCTION @extschema@.wa_sync_phone_numbers() RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE @extschema@.whatsapp_sync SET requested_at = clock_timestamp() WHERE kind = 'phone_numbers';
    SELECT @extschema@.wa_internal_note('sync_phone_numbers'::text, 'account'::text, NULL::text,
        jsonb_build_object('text', 'Asked Meta for the numbers'))
$$;
COMMENT ON FUNCTION @extschema@.wa_sync_phone_numbers() IS
'Requests that the sender read the account''s numbers from Meta after COMMIT; whatsapp_sync shows the result.';

/*
 * How many things of a kind Meta lists; NULL until the list has been read.  An
 * empty one counts as not read: it more likely means a wrong account or a missing
 * permission than an account without anything.  A run that has failed leaves
 * finished_at as it was.
 */
CREATE FUNCTION @extschema@.wa_internal_listed(kind text) RETURNS integer
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.items FROM @extschema@.whatsapp_sync AS s
    WHERE s.kind = wa_internal_listed.kind AND s.finished_at IS NOT NULL AND s.items > 0
$$;

/* Whether Meta's list is known and this number, entered by hand, is not in it. */
CREATE FUNCTION @extschema@.wa_internal_unlisted(number text) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT @extschema@.wa_internal_listed('phone_numbers'::text) IS NOT NULL AND NOT EXISTS (
        SELECT FROM @extschema@.whatsapp_phone_numbers AS p
        WHERE p.phone_number_id = number AND p.synced_at IS NOT NULL)
$$;

CREATE FUNCTION @extschema@.wa_internal_quality_alert(number text, before text, now text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF now IN ('YELLOW', 'RED') AND now IS DISTINCT FROM before THEN
        PERFORM @extschema@.wa_internal_alert(
            CASE now WHEN 'RED' THEN 'error' ELSE 'warning' END, 'number_quality'::text, 'number'::text, number,
            format('The quality of phone number %s is %s: recipients block or report its messages.', number, now),
            jsonb_build_object('before', before, 'now', now));
    ELSIF now = 'GREEN' AND before IN ('YELLOW', 'RED') THEN
        PERFORM @extschema@.wa_internal_resolve_alert('number_quality'::text, 'number'::text, number);
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_status_alert(number text, before text, now text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF now = 'CONNECTED' AND before IS DISTINCT FROM now THEN
        PERFORM @extschema@.wa_internal_resolve_alert('number_status'::text, 'number'::text, number);
    ELSIF now IS DISTINCT FROM before AND now IS NOT NULL AND (before IS NOT NULL OR now <> 'PENDING') THEN
        PERFORM @extschema@.wa_internal_alert(
            CASE WHEN now IN ('BANNED', 'DELETED', 'DISCONNECTED', 'RESTRICTED') THEN 'error' ELSE 'warning' END,
            'number_status'::text, 'number'::text, number,
            format('The status of phone number %s is %s; only CONNECTED numbers can be relied on to send.',
                number, now),
            jsonb_build_object('before', before, 'now', now));
    END IF;
END
$$;

/* How many recipients a day a limit stands for; NULL: unlimited or unknown. */
CREATE FUNCTION @extschema@.wa_internal_limit_size(messaging_limit text) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT substring(messaging_limit FROM '^TIER_([0-9]{1,9})')::bigint
        * CASE substring(messaging_limit FROM '^TIER_[0-9]+(K|M)$') WHEN 'K' THEN 1000 WHEN 'M' THEN 1000000 ELSE 1 END
$$;

/* The same for comparing: unlimited is more than anything. */
CREATE FUNCTION @extschema@.wa_internal_limit_rank(messaging_limit text) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE messaging_limit WHEN 'TIER_UNLIMITED' THEN 9223372036854775807
                                ELSE @extschema@.wa_internal_limit_size(messaging_limit) END
$$;

CREATE FUNCTION @extschema@.wa_internal_limit_alert(number text, before text, now text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    was CONSTANT bigint := @extschema@.wa_internal_limit_rank(before);
    is_now CONSTANT bigint := @extschema@.wa_internal_limit_rank(now);
BEGIN
    IF is_now < was THEN
        PERFORM @extschema@.wa_internal_alert('warning'::text, 'messaging_limit'::text, 'account'::text, ''::text,
            format('Meta has lowered the account''s limit of recipients per day from %s to %s.', before, now),
            jsonb_build_object('before', before, 'now', now, 'phone_number_id', number));
    ELSIF is_now > was THEN
        PERFORM @extschema@.wa_internal_resolve_alert('messaging_limit'::text, 'account'::text, ''::text);
    END IF;
END
$$;

/* What somebody had entered for a number before Meta was asked. */
CREATE FUNCTION @extschema@.wa_internal_confirmation_alert(
    before @extschema@.whatsapp_phone_numbers, now @extschema@.whatsapp_phone_numbers) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_resolve_alert('number_unlisted'::text, 'number'::text, now.phone_number_id);
    IF NOT @extschema@.wa_internal_same_number(
            COALESCE(before.display_phone_number, now.display_phone_number), now.display_phone_number) THEN
        PERFORM @extschema@.wa_internal_alert('warning'::text, 'number_display'::text, 'number'::text,
            now.phone_number_id,
            format('Phone number %s is %s at Meta and was entered as %s; Meta''s is taken.',
                now.phone_number_id, now.display_phone_number, before.display_phone_number),
            jsonb_build_object('before', before.display_phone_number, 'now', now.display_phone_number));
    END IF;
END
$$;

/* One entry of the listing. */
CREATE FUNCTION @extschema@.wa_internal_apply_phone_number(entry jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    number CONSTANT text := entry ->> 'id';
    old @extschema@.whatsapp_phone_numbers;
    new @extschema@.whatsapp_phone_numbers;
BEGIN
    SELECT p.* INTO old FROM @extschema@.whatsapp_phone_numbers AS p
        WHERE p.phone_number_id = number FOR NO KEY UPDATE;
    INSERT INTO @extschema@.whatsapp_phone_numbers AS p (
            phone_number_id, display_phone_number, verified_name, status, quality_rating,
            code_verification_status, name_status, platform_type, account_mode, throughput_level,
            messaging_limit, is_on_biz_app, source, synced_at)
        VALUES (number, entry ->> 'display_phone_number', entry ->> 'verified_name', entry ->> 'status',
            COALESCE(entry ->> 'quality_rating', entry #>> '{quality_score,score}'),
            entry ->> 'code_verification_status', entry ->> 'name_status', entry ->> 'platform_type',
            entry ->> 'account_mode', entry #>> '{throughput,level}',
            COALESCE(entry ->> 'whatsapp_business_manager_messaging_limit', entry ->> 'messaging_limit_tier'),
            CASE jsonb_typeof(entry -> 'is_on_biz_app') WHEN 'boolean' THEN (entry ->> 'is_on_biz_app')::boolean END,
            'sync', clock_timestamp())
        ON CONFLICT ON CONSTRAINT whatsapp_phone_numbers_pkey DO UPDATE
        SET display_phone_number = COALESCE(EXCLUDED.display_phone_number, p.display_phone_number),
            verified_name = COALESCE(EXCLUDED.verified_name, p.verified_name),
            status = COALESCE(EXCLUDED.status, p.status),
            quality_rating = COALESCE(EXCLUDED.quality_rating, p.quality_rating),
            code_verification_status = COALESCE(EXCLUDED.code_verification_status, p.code_verification_status),
            name_status = COALESCE(EXCLUDED.name_status, p.name_status),
            platform_type = COALESCE(EXCLUDED.platform_type, p.platform_type),
            account_mode = COALESCE(EXCLUDED.account_mode, p.account_mode),
            throughput_level = COALESCE(EXCLUDED.throughput_level, p.throughput_level),
            messaging_limit = COALESCE(EXCLUDED.messaging_limit, p.messaging_limit),
            is_on_biz_app = COALESCE(EXCLUDED.is_on_biz_app, p.is_on_biz_app),
            source = 'sync', synced_at = EXCLUDED.synced_at, missing_since = NULL
        RETURNING p.* INTO new;

    IF old.phone_number_id IS NULL AND new.quality_rating IN ('YELLOW', 'RED') THEN
        /* Damage control follows updates: a restore, too, makes rows that are new. */
        UPDATE @extschema@.whatsapp_phone_numbers AS p SET quality_rating = NULL WHERE p.phone_number_id = number;
        UPDATE @extschema@.whatsapp_phone_numbers AS p SET quality_rating = new.quality_rating
            WHERE p.phone_number_id = number;
    END IF;
    IF old.synced_at IS NULL AND old.phone_number_id IS NOT NULL THEN
        PERFORM @extschema@.wa_internal_confirmation_alert(old, new);
    END IF;
    PERFORM @extschema@.wa_internal_quality_alert(number, old.quality_rating, new.quality_rating);
    PERFORM @extschema@.wa_internal_status_alert(number, old.status, new.status);
    PERFORM @extschema@.wa_internal_limit_alert(number, old.messaging_limit, new.messaging_limit);
    IF old.missing_since IS NOT NULL THEN
        PERFORM @extschema@.wa_internal_resolve_alert('number_missing'::text, 'number'::text, number);
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_apply_phone_number_page(page jsonb) RETURNS integer
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entry jsonb;
    applied integer := 0;
BEGIN
    IF jsonb_typeof(page -> 'data') IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION 'page of phone numbers has no list "data"'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR entry IN
        SELECT e.value FROM jsonb_array_elements(page -> 'data') AS e
        ORDER BY e.value ->> 'id'
    LOOP
        IF entry ->> 'id' ~ '^[0-9]{5,20}$' THEN
            PERFORM @extschema@.wa_internal_apply_phone_number(entry);
            applied := applied + 1;
        ELSE
            RAISE WARNING 'skipped an entry without a phone_number_id';
        END IF;
    END LOOP;
    RETURN applied;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_apply_phone_number_page(jsonb) IS
'Applies one page of GET /{account}/phone_numbers. Called by the sender; returns how many numbers the page had.';

/*
 * After the last page.  A listing without any number more likely means a wrong
 * account or a missing permission than an account that has lost everything, so
 * it marks nothing.
 */
CREATE FUNCTION @extschema@.wa_internal_finish_phone_number_sync(started_at timestamptz) RETURNS integer
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    since CONSTANT timestamptz := wa_internal_finish_phone_number_sync.started_at;
    found_numbers integer;
    vanished record;
    gone integer := 0;
BEGIN
    SELECT count(*) INTO found_numbers
        FROM @extschema@.whatsapp_phone_numbers AS p WHERE p.synced_at >= since;
    UPDATE @extschema@.whatsapp_sync AS s SET items = found_numbers WHERE s.kind = 'phone_numbers';
    IF found_numbers = 0 THEN
        PERFORM @extschema@.wa_internal_alert('warning'::text, 'no_numbers'::text, 'account'::text, ''::text,
            'Meta lists no phone numbers for whatsapp_shared.business_account_id. '
            'Check the account ID and the token''s permissions.'::text);
        RETURN 0;
    END IF;
    PERFORM @extschema@.wa_internal_resolve_alert('no_numbers'::text, 'account'::text, ''::text);
    PERFORM @extschema@.wa_internal_resolve_alert('number_unlisted'::text, 'number'::text, o.key)
        FROM @extschema@.whatsapp_alerts AS o
        WHERE o.kind = 'number_unlisted' AND o.resolved_at IS NULL AND NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_phone_assignments AS a
            WHERE a.phone_number_id = o.key AND a.unassigned_at IS NULL);
    PERFORM @extschema@.wa_internal_alert('error'::text, 'number_unlisted'::text, 'number'::text, a.phone_number_id,
            format('Phone number %s of tenant "%s" is not among the %s that Meta lists; its messages will fail.',
                a.phone_number_id, a.tenant_id, found_numbers),
            jsonb_build_object('tenant_id', a.tenant_id))
        FROM @extschema@.whatsapp_phone_assignments AS a
            JOIN @extschema@.whatsapp_phone_numbers AS p ON p.phone_number_id = a.phone_number_id
        WHERE a.unassigned_at IS NULL AND p.synced_at IS NULL;

    FOR vanished IN
        UPDATE @extschema@.whatsapp_phone_numbers AS p
            SET missing_since = clock_timestamp()
            WHERE p.source = 'sync' AND p.synced_at < since AND p.missing_since IS NULL
            RETURNING p.phone_number_id, p.display_phone_number, (
                SELECT a.tenant_id FROM @extschema@.whatsapp_phone_assignments AS a
                WHERE a.phone_number_id = p.phone_number_id AND a.unassigned_at IS NULL) AS tenant_id
    LOOP
        gone := gone + 1;
        PERFORM @extschema@.wa_internal_alert(
            CASE WHEN vanished.tenant_id IS NULL THEN 'warning' ELSE 'error' END,
            'number_missing'::text, 'number'::text, vanished.phone_number_id,
            format('Phone number %s is no longer part of the WhatsApp Business account.',
                COALESCE(vanished.display_phone_number, vanished.phone_number_id)),
            jsonb_build_object('tenant_id', vanished.tenant_id));
    END LOOP;
    RETURN gone;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_finish_phone_number_sync(timestamptz) IS
'After the last page of a listing begun at that time: marks the numbers that were not in it as missing. Called by '
'the sender; returns how many.';

/* ---- the access token ----------------------------------------------------------- */

/*
 * What GET /debug_token says of the access token.
 * A token that will end soon, or is not valid any more, stops every tenant, so
 * people hear of it in time: 14, 7 and 1 days before.
 */
CREATE FUNCTION @extschema@.wa_internal_apply_token_state(page jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    data CONSTANT jsonb := page -> 'data';
    required CONSTANT text[] := '{whatsapp_business_messaging,whatsapp_business_management}';
    missing text[];
    ends timestamptz;
    days numeric;
BEGIN
    IF (data ->> 'is_valid')::boolean IS NOT TRUE THEN
        PERFORM @extschema@.wa_internal_alert('error'::text, 'token'::text, 'account'::text, ''::text,
            format('The access token is not valid: %s',
                COALESCE(data #>> '{error,message}', 'Meta gives no reason')));
        RETURN;
    END IF;

    /* 0 means never, for both; the earlier one counts. None is later than the year 2100. */
    SELECT min(to_timestamp(LEAST(v.seconds, 4102444800))) INTO ends
        FROM (VALUES ((data ->> 'expires_at')::double precision),
                     ((data ->> 'data_access_expires_at')::double precision)) AS v (seconds)
        WHERE v.seconds > 0;
    UPDATE @extschema@.whatsapp_sync AS s SET expires_at = ends
        WHERE s.kind = 'token' AND s.expires_at IS DISTINCT FROM ends;
    days := EXTRACT(epoch FROM ends - clock_timestamp()) / 86400;
    missing := ARRAY(
        SELECT r.scope FROM unnest(required) AS r (scope)
        WHERE NOT COALESCE(data -> 'scopes', '[]') ? r.scope);

    IF jsonb_typeof(data -> 'scopes') = 'array' AND missing <> '{}' THEN
        PERFORM @extschema@.wa_internal_alert('error'::text, 'token'::text, 'account'::text, ''::text,
            format('The access token lacks the permission %s',
                array_to_string(missing, ' and ')));
    ELSIF days <= 14 THEN
        PERFORM @extschema@.wa_internal_alert(
            CASE WHEN days <= 7 THEN 'error' ELSE 'warning' END, 'token'::text, 'account'::text, ''::text,
            format('The access token expires in %s days, at %s: put a new one into the file named by '
                'whatsapp_shared.access_token_file and reload',
                GREATEST(floor(days), 0), ends));
    ELSE
        PERFORM @extschema@.wa_internal_resolve_alert('token'::text, 'account'::text, ''::text);
    END IF;
END
$$;
