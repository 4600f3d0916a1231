/*
 * Routes of the gateway: numbers, tenants, and who has which.
 *
 * Lists have everything at once unless a limit says otherwise: a page with a
 * search box needs all names.  Their bodies are json, which is written in half the
 * time of jsonb.  What was sent
 * today is counted among the 50,000 newest messages; counted_since says since
 * when, if that is not the whole day.
 */

CREATE FUNCTION @extschema@.wa_gateway_phone_numbers(
    request jsonb, OUT status integer, OUT body json, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET jit = off
AS $$
DECLARE
    list CONSTANT text := 'phone-numbers';
    q text;
    only_assigned boolean;
    after text;
    most bigint;
    used bigint;
    day record;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text, '{q,assigned,limit,cursor}'::text[]);
    q := lower(@extschema@.wa_internal_gateway_argument(request, 'q'::text));
    only_assigned := @extschema@.wa_internal_gateway_boolean(request, 'assigned'::text);
    after := @extschema@.wa_internal_gateway_place(request, list) #>> '{}';
    most := @extschema@.wa_internal_gateway_integer(request, 'limit'::text, 1, 5000, 5000);
    /* The limit is the portfolio's, and so is how much of it is used. */
    SELECT count(*) INTO used FROM (
        SELECT FROM @extschema@.whatsapp_reach AS r
        WHERE r.reached_at > clock_timestamp() - interval '24 hours' LIMIT 100001) AS r;
    SELECT w.since, w.first_id INTO day
        FROM @extschema@.wa_internal_message_window(current_date::timestamptz, 50000) AS w;
    status := 200;
    WITH page AS MATERIALIZED (
        SELECT n.* FROM @extschema@.wa_number_status AS n
        WHERE (after IS NULL OR n.phone_number_id > after)
            AND (only_assigned IS NULL OR (n.tenant_id IS NOT NULL) = only_assigned)
            AND (q IS NULL OR strpos(lower(concat_ws(' ', n.phone_number_id, n.display_phone_number, n.verified_name,
                     n.tenant_id)), q) > 0
                 OR q ~ '[0-9]{3}' AND strpos(regexp_replace(n.display_phone_number, '[^0-9]', '', 'g'),
                     regexp_replace(q, '[^0-9]', '', 'g')) > 0)
        ORDER BY n.phone_number_id LIMIT most),
    today AS MATERIALIZED (
        SELECT t.phone_number_id, sum(t.sent) AS sent, sum(t.failed) AS failed
        FROM @extschema@.wa_internal_message_tallies(day.first_id, day.since) AS t GROUP BY t.phone_number_id),
    queue AS MATERIALIZED (
        SELECT c.phone_number_id, count(*) AS waiting FROM @extschema@.whatsapp_queue AS c GROUP BY c.phone_number_id),
    free AS MATERIALIZED (SELECT f.phone_number_id FROM @extschema@.wa_free_numbers AS f),
    /* There are few of them. */
    limits AS MATERIALIZED (
        SELECT d.name, @extschema@.wa_internal_limit_size(d.name) AS size
        FROM (SELECT DISTINCT p.messaging_limit AS name FROM page AS p) AS d)
    SELECT COALESCE(json_agg(r ORDER BY r.phone_number_id), '[]'),
           @extschema@.wa_internal_gateway_paging(@extschema@.wa_internal_gateway_cursor(list,
               CASE WHEN count(*) = most THEN max(r.phone_number_id) END))
        INTO body, paging
        FROM (SELECT p.phone_number_id, p.display_phone_number, p.verified_name, p.quality_rating, p.status, p.health,
                     l.size AS messaging_limit, CASE WHEN p.messaging_limit IS NOT NULL THEN used END
                         AS messaging_limit_used,
                     p.messages_per_second AS throughput, p.rate_reason, p.tenant_id, p.assigned_at,
                     f.phone_number_id IS NOT NULL AS free,
                     p.pause_reason IS NOT NULL AS paused, p.pause_reason, p.paused_until,
                     COALESCE(t.sent, 0) AS sent_today, COALESCE(t.failed, 0) AS failed_today,
                     day.since AS counted_since, COALESCE(w.waiting, 0) AS waiting, p.last_webhook_at, p.synced_at,
                     p.missing_since, p.trouble
              FROM page AS p
                  LEFT JOIN today AS t ON t.phone_number_id = p.phone_number_id
                  LEFT JOIN queue AS w ON w.phone_number_id = p.phone_number_id
                  LEFT JOIN free AS f ON f.phone_number_id = p.phone_number_id
                  LEFT JOIN limits AS l ON l.name = p.messaging_limit) AS r;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_phone_numbers(jsonb) IS
'GET /api/v1/admin/whatsapp/phone-numbers?q=&assigned=&limit=&cursor=: numbers with who has them, by phone_number_id.';

/* The tenants of a page as the list shows them. */
CREATE FUNCTION @extschema@.wa_internal_gateway_tenant_rows(tenants text[]) RETURNS json
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET jit = off
AS $$
DECLARE
    rows json;
    day record;
BEGIN
    SELECT w.since, w.first_id INTO day
        FROM @extschema@.wa_internal_message_window(current_date::timestamptz, 50000) AS w;
    WITH today AS MATERIALIZED (
        SELECT t.tenant_id, sum(t.sent) AS sent, sum(t.failed) AS failed
        FROM @extschema@.wa_internal_message_tallies(day.first_id, day.since,
            CASE WHEN cardinality(tenants) <= 200 THEN tenants END) AS t
        GROUP BY t.tenant_id)
    SELECT json_agg(r ORDER BY r.tenant_id) INTO rows
        FROM (SELECT s.tenant_id, s.phone_number_id, s.display_phone_number, s.verified_name, s.assigned_at,
                     s.whatsapp_enabled, s.status, s.language, s.quality_rating, s.number_health,
                     COALESCE(t.sent, 0) AS sent_today, COALESCE(t.failed, 0) AS failed_today,
                     day.since AS counted_since, COALESCE(w.waiting, 0) AS waiting,
                     s.last_message_at, s.last_message_status,
                     s.pause_reason IS NOT NULL AS paused, s.pause_reason, s.paused_until, s.created_at
              FROM @extschema@.wa_tenant_status AS s
                  LEFT JOIN today AS t ON t.tenant_id = s.tenant_id
                  LEFT JOIN @extschema@.wa_internal_waiting_by_tenant() AS w ON w.tenant_id = s.tenant_id
              WHERE s.tenant_id = ANY (tenants)) AS r;
    RETURN COALESCE(rows, '[]');
END
$$;

CREATE FUNCTION @extschema@.wa_gateway_tenants(
    request jsonb, OUT status integer, OUT body json, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET jit = off
AS $$
DECLARE
    list CONSTANT text := 'tenants';
    q text;
    only_enabled boolean;
    only_assigned boolean;
    after text;
    most bigint;
    tenants text[];
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text, '{q,enabled,assigned,limit,cursor}'::text[]);
    q := lower(@extschema@.wa_internal_gateway_argument(request, 'q'::text));
    only_enabled := @extschema@.wa_internal_gateway_boolean(request, 'enabled'::text);
    only_assigned := @extschema@.wa_internal_gateway_boolean(request, 'assigned'::text);
    after := @extschema@.wa_internal_gateway_place(request, list) #>> '{}';
    most := @extschema@.wa_internal_gateway_integer(request, 'limit'::text, 1, 5000, 5000);
    tenants := ARRAY(
        SELECT t.tenant_id
        FROM @extschema@.whatsapp_tenants AS t
            LEFT JOIN @extschema@.whatsapp_phone_assignments AS a
                ON a.tenant_id = t.tenant_id AND a.unassigned_at IS NULL
            LEFT JOIN @extschema@.whatsapp_phone_numbers AS p ON p.phone_number_id = a.phone_number_id
        WHERE (after IS NULL OR t.tenant_id > after)
            AND (only_enabled IS NULL OR t.enabled = only_enabled)
            AND (only_assigned IS NULL OR (a.tenant_id IS NOT NULL) = only_assigned)
            AND (q IS NULL OR strpos(lower(concat_ws(' ', t.tenant_id, p.phone_number_id, p.display_phone_number,
                     p.verified_name)), q) > 0
                 OR q ~ '[0-9]{3}' AND strpos(regexp_replace(p.display_phone_number, '[^0-9]', '', 'g'),
                     regexp_replace(q, '[^0-9]', '', 'g')) > 0)
        ORDER BY t.tenant_id LIMIT most);
    status := 200;
    body := @extschema@.wa_internal_gateway_tenant_rows(tenants);
    IF cardinality(tenants) = most THEN
        paging := @extschema@.wa_internal_gateway_paging(
            @extschema@.wa_internal_gateway_cursor(list, tenants[cardinality(tenants)]));
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_tenants(jsonb) IS
'GET /api/v1/admin/whatsapp/tenants?q=&enabled=&assigned=&limit=&cursor=: tenants with their state, by tenant_id.';

/* ---- assigning -------------------------------------------------------------------- */

/* Who is in the way: the tenant that has the number, or the number that the tenant has. */
CREATE FUNCTION @extschema@.wa_internal_gateway_holder(number text, tenant text) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object('tenant_id', a.tenant_id, 'phone_number_id', p.phone_number_id,
        'display_phone_number', p.display_phone_number, 'assigned_at', a.assigned_at,
        'waiting', @extschema@.wa_internal_waiting_of(a.tenant_id))
    FROM @extschema@.whatsapp_phone_assignments AS a
        JOIN @extschema@.whatsapp_phone_numbers AS p ON p.phone_number_id = a.phone_number_id
    WHERE a.unassigned_at IS NULL AND (a.phone_number_id = number OR a.tenant_id = tenant)
$$;

CREATE FUNCTION @extschema@.wa_gateway_assign_phone(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = error
AS $$
DECLARE
    tenant CONSTANT text := request #>> '{path,tenant_id}';
    number text;
    display text;
    loser text;
    problem text;
    detail text;
    broken text;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text,
        members => '{phone_number_id,display_phone_number,take_from}'::text[]);
    /* Older programs write IDs as numbers. */
    number := NULLIF(request #>> '{body,phone_number_id}', '');
    display := @extschema@.wa_internal_gateway_string(request, 'display_phone_number'::text);
    loser := @extschema@.wa_internal_gateway_string(request, 'take_from'::text);
    IF number IS NULL AND display IS NOT NULL THEN
        number := @extschema@.wa_internal_number_written(display);
        IF number IS NULL THEN
            RAISE EXCEPTION 'no number is written "%"', @extschema@.wa_internal_quote(display)
                USING ERRCODE = 'undefined_object', COLUMN = 'display_phone_number',
                      HINT = 'Give its phone_number_id; if it is new, read the list from Meta again.';
        END IF;
        display := NULL;
    END IF;
    IF number IS NULL AND loser IS NOT NULL THEN
        RAISE EXCEPTION '"take_from" needs the number that is to be taken'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'phone_number_id';
    END IF;

    BEGIN
        /* Only from whom the page has shown: somebody else may have got it meanwhile. */
        IF loser <> tenant AND EXISTS (
                SELECT FROM @extschema@.whatsapp_phone_assignments AS a
                WHERE a.phone_number_id = number AND a.tenant_id = loser AND a.unassigned_at IS NULL) THEN
            PERFORM @extschema@.wa_unassign_phone(loser);
        END IF;
        IF number IS NULL THEN
            PERFORM @extschema@.wa_assign_phone(tenant);
        ELSE
            PERFORM @extschema@.wa_assign_phone(tenant, number, display);
        END IF;
    EXCEPTION
        WHEN unique_violation OR configuration_limit_exceeded THEN
            GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, broken = CONSTRAINT_NAME;
            status := 409;
            body := jsonb_strip_nulls(jsonb_build_object(
                'detail', concat_ws('. ', problem, NULLIF(detail, '')),
                'holder', CASE broken
                    WHEN 'whatsapp_phone_assignments_number_key'
                        THEN @extschema@.wa_internal_gateway_holder(number, NULL::text)
                    WHEN 'whatsapp_phone_assignments_tenant_key'
                        THEN @extschema@.wa_internal_gateway_holder(NULL::text, tenant) END,
                'hint', CASE SQLSTATE WHEN '23505' THEN 'Unassign it first; take_from takes the number from its holder.'
                    ELSE 'Add a number to the account in WhatsApp Manager, then read the list again.' END));
            RETURN;
    END;
    status := 200;
    body := @extschema@.wa_internal_gateway_tenant_rows(ARRAY[tenant]) -> 0;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_assign_phone(jsonb) IS
'POST /api/v1/admin/whatsapp/tenants/{tenant_id}/assign-phone {phone_number_id, display_phone_number, take_from}: '
'wa_assign_phone(), with the best free number if none is named. take_from: the tenant from whom the number is taken in '
'the same transaction. Answers with the tenant; 409 with the holder, or if no number is free.';

CREATE FUNCTION @extschema@.wa_gateway_unassign_phone(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = error
AS $$
DECLARE
    tenant text;
    number text;
    display text;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text);
    tenant := @extschema@.wa_internal_gateway_tenant(request);
    SELECT p.phone_number_id, p.display_phone_number INTO number, display
        FROM @extschema@.whatsapp_phone_assignments AS a
            JOIN @extschema@.whatsapp_phone_numbers AS p ON p.phone_number_id = a.phone_number_id
        WHERE a.tenant_id = tenant AND a.unassigned_at IS NULL FOR NO KEY UPDATE OF a;
    IF NOT FOUND OR NOT @extschema@.wa_unassign_phone(tenant) THEN
        RAISE EXCEPTION 'tenant "%" has no phone number', @extschema@.wa_internal_quote(tenant)
            USING ERRCODE = 'no_data_found';
    END IF;
    status := 200;
    body := jsonb_build_object('tenant_id', tenant, 'phone_number_id', number, 'display_phone_number', display,
        'waiting', @extschema@.wa_internal_waiting_of(tenant));
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_unassign_phone(jsonb) IS
'DELETE /api/v1/admin/whatsapp/tenants/{tenant_id}/unassign-phone: wa_unassign_phone(). Answers with the number that '
'it had, and how many messages wait now. 404: it has none.';

CREATE FUNCTION @extschema@.wa_gateway_assign_phones(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = error
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text);
    SELECT 200, jsonb_build_object(
            'assigned', COALESCE(jsonb_agg(to_jsonb(a)) FILTER (WHERE a.phone_number_id IS NOT NULL), '[]'),
            'without', COALESCE(jsonb_agg(a.tenant_id) FILTER (WHERE a.phone_number_id IS NULL), '[]'))
        INTO status, body FROM @extschema@.wa_assign_all() AS a;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_assign_phones(jsonb) IS
'POST /api/v1/admin/whatsapp/assign-phones: wa_assign_all(). Answers with what was assigned, and the tenants left '
'without a number.';
