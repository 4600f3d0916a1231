/*
 * The routes of wa_gateway.  The program decides nothing: each of its routes is
 * one function of this kind, called as one statement.
 *
 *     wa_gateway_NAME(request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
 *
 * request has actor (role, name), path, query (texts), body and idempotency_key.
 * paging has next, the cursor of what follows, and total.  What is refused with
 * an answer that a page can use has a status from 400 on and the members of a
 * problem document (RFC 9457) in body.  What is wrong with the request itself is
 * an error; COLUMN names the argument, or the member of the body:
 *
 *     22xxx a value is bad; 42501 the role may not; P0002 what the path names does not exist;
 *     42704 what the body names does not exist; 55000 not in this state; 23505 taken
 *
 * They run as the owner, so that the gateway's role needs the privilege admin and
 * no more; they never do more than the public functions that they call.
 *
 * Nothing here reads a table that grows from end to end: what is counted is
 * counted among the newest, and says since when.
 */

/* ---- requests ----------------------------------------------------------------- */

/* Viewers see everything and change nothing. */
CREATE FUNCTION @extschema@.wa_internal_gateway_require(request jsonb, role text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    has CONSTANT text := request #>> '{actor,role}';
BEGIN
    IF has = 'admin' OR has = 'viewer' AND role = 'viewer' THEN
        RETURN;
    END IF;
    RAISE EXCEPTION 'this needs the role %', role
        USING ERRCODE = 'insufficient_privilege',
              HINT = CASE has WHEN 'viewer' THEN 'A viewer''s token reads and changes nothing.'
                  ELSE 'Use the token of an administrator.' END;
END
$$;

/* For whom the rest of the statement acts: sql/82-timeline. */
CREATE FUNCTION @extschema@.wa_internal_gateway_act(request jsonb, calls boolean DEFAULT true) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT @extschema@.wa_internal_act_for(COALESCE(request #>> '{actor,name}', request #>> '{actor,role}'), calls)
$$;

/* Refuses what the route does not know: a name that is misspelt must not be taken for none. */
CREATE FUNCTION @extschema@.wa_internal_gateway_accept(
    request jsonb,
    arguments text[] DEFAULT '{}',
    members text[] DEFAULT '{}')
RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    unknown text;
BEGIN
    SELECT min(a.name) INTO unknown
        FROM jsonb_object_keys(COALESCE(NULLIF(request -> 'query', 'null'), '{}')) AS a (name)
        WHERE a.name <> ALL (arguments);
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION 'unknown query argument "%"', @extschema@.wa_internal_quote(unknown)
            USING ERRCODE = 'invalid_parameter_value', COLUMN = @extschema@.wa_internal_quote(unknown),
                  HINT = CASE WHEN arguments = '{}' THEN 'There are none here.'
                      ELSE COALESCE(@extschema@.wa_internal_did_you_mean(unknown, arguments),
                          format('Known: %s.', array_to_string(arguments, ', '))) END;
    ELSIF jsonb_typeof(request -> 'body') NOT IN ('object', 'null') THEN
        RAISE EXCEPTION 'the body must be a JSON object'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT min(m.name) INTO unknown
        FROM jsonb_object_keys(COALESCE(NULLIF(request -> 'body', 'null'), '{}')) AS m (name)
        WHERE m.name <> ALL (members);
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION 'unknown member "%"', @extschema@.wa_internal_quote(unknown)
            USING ERRCODE = 'invalid_parameter_value', COLUMN = @extschema@.wa_internal_quote(unknown),
                  HINT = CASE WHEN members = '{}' THEN 'The body has none here.'
                      ELSE COALESCE(@extschema@.wa_internal_did_you_mean(unknown, members),
                          format('Known: %s.', array_to_string(members, ', '))) END;
    END IF;
END
$$;

/* What every route of the administration begins with. */
CREATE FUNCTION @extschema@.wa_internal_gateway_begin(
    request jsonb,
    role text,
    arguments text[] DEFAULT '{}',
    members text[] DEFAULT '{}')
RETURNS void
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT @extschema@.wa_internal_gateway_require(request, role);
    SELECT @extschema@.wa_internal_gateway_act(request);
    SELECT @extschema@.wa_internal_gateway_accept(request, arguments, members)
$$;

/* A query argument; NULL: it is not there, or empty as forms send it. */
CREATE FUNCTION @extschema@.wa_internal_gateway_argument(request jsonb, name text) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT NULLIF(request #>> ARRAY['query', name], '')
$$;

CREATE FUNCTION @extschema@.wa_internal_gateway_integer(
    request jsonb,
    name text,
    lowest bigint,
    highest bigint,
    fallback bigint DEFAULT NULL)
RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given CONSTANT text := @extschema@.wa_internal_gateway_argument(request, name);
BEGIN
    IF given IS NULL THEN
        RETURN fallback;
    ELSIF given ~ '^-?[0-9]{1,18}$' THEN
        IF given::bigint BETWEEN lowest AND highest THEN
            RETURN given::bigint;
        END IF;
    END IF;
    RAISE EXCEPTION '"%" must be a whole number from % to %', name, lowest, highest
        USING ERRCODE = 'invalid_parameter_value', COLUMN = name;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_gateway_boolean(request jsonb, name text, fallback boolean DEFAULT NULL)
RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given CONSTANT text := @extschema@.wa_internal_gateway_argument(request, name);
BEGIN
    IF given IS NULL THEN
        RETURN fallback;
    ELSIF given IN ('true', 'false') THEN
        RETURN given::boolean;
    END IF;
    RAISE EXCEPTION '"%" must be true or false', name
        USING ERRCODE = 'invalid_parameter_value', COLUMN = name;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_gateway_time(request jsonb, name text, fallback timestamptz DEFAULT NULL)
RETURNS timestamptz
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given CONSTANT text := @extschema@.wa_internal_gateway_argument(request, name);
BEGIN
    IF given IS NULL THEN
        RETURN fallback;
    ELSIF given ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}' THEN
        BEGIN
            RETURN given::timestamptz;
        EXCEPTION WHEN data_exception THEN
            NULL;
        END;
    END IF;
    RAISE EXCEPTION '"%" must be a time', name
        USING ERRCODE = 'invalid_parameter_value', COLUMN = name,
              HINT = 'Write it as in 2026-11-29 or 2026-11-29T10:30:00Z; a plus sign is %2B in an address.';
END
$$;

/* A member of the body, of this JSON type; NULL: it is not there, or null. */
CREATE FUNCTION @extschema@.wa_internal_gateway_member(
    request jsonb,
    name text,
    type text DEFAULT 'string',
    required boolean DEFAULT false)
RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given CONSTANT jsonb := NULLIF(request #> ARRAY['body', name], 'null');
BEGIN
    IF given IS NULL AND required THEN
        RAISE EXCEPTION '"%" is missing', name
            USING ERRCODE = 'null_value_not_allowed', COLUMN = name;
    ELSIF jsonb_typeof(given) <> type THEN
        RAISE EXCEPTION '"%" must be of type %', name, type
            USING ERRCODE = 'invalid_parameter_value', COLUMN = name,
                  DETAIL = format('It is of type %s.', jsonb_typeof(given));
    END IF;
    RETURN given;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_gateway_string(request jsonb, name text, required boolean DEFAULT false)
RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT NULLIF(@extschema@.wa_internal_gateway_member(request, name, 'string'::text, required) #>> '{}', '')
$$;

/* A time in the body: not "tomorrow", which is another one each time that it is sent. */
CREATE FUNCTION @extschema@.wa_internal_gateway_body_time(request jsonb, name text) RETURNS timestamptz
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given CONSTANT text := @extschema@.wa_internal_gateway_string(request, name);
BEGIN
    IF given IS NULL THEN
        RETURN NULL;
    ELSIF given ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}' THEN
        BEGIN
            RETURN given::timestamptz;
        EXCEPTION WHEN data_exception THEN
            NULL;
        END;
    END IF;
    RAISE EXCEPTION '"%" must be a time', name
        USING ERRCODE = 'invalid_parameter_value', COLUMN = name, HINT = 'Write it as in 2026-11-29T10:30:00Z.';
END
$$;

/* A whole number in the body. */
CREATE FUNCTION @extschema@.wa_internal_gateway_body_integer(request jsonb, name text, lowest bigint, highest bigint)
RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given CONSTANT numeric := @extschema@.wa_internal_gateway_member(request, name, 'number'::text);
BEGIN
    IF given NOT BETWEEN lowest AND highest OR given <> trunc(given) THEN
        RAISE EXCEPTION '"%" must be a whole number from % to %', name, lowest, highest
            USING ERRCODE = 'invalid_parameter_value', COLUMN = name;
    END IF;
    RETURN given;
END
$$;

/* The number in the path, of a message or an alert. */
CREATE FUNCTION @extschema@.wa_internal_gateway_id(request jsonb, what text) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given CONSTANT text := request #>> '{path,id}';
BEGIN
    IF given ~ '^[0-9]{1,18}$' THEN
        RETURN given::bigint;
    END IF;
    RAISE EXCEPTION '% "%" does not exist', what, @extschema@.wa_internal_quote(given) USING ERRCODE = 'no_data_found';
END
$$;

/* The tenant in the path, who must exist. */
CREATE FUNCTION @extschema@.wa_internal_gateway_tenant(request jsonb) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given CONSTANT text := request #>> '{path,tenant_id}';
BEGIN
    IF NOT EXISTS (SELECT FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = given) THEN
        RAISE EXCEPTION 'tenant "%" does not exist', @extschema@.wa_internal_quote(given)
            USING ERRCODE = 'no_data_found', HINT = @extschema@.wa_internal_tenant_hint(given, NULL::text);
    END IF;
    RETURN given;
END
$$;

/* ---- pages of a list -------------------------------------------------------------- */

/*
 * A cursor says where a list goes on: its name and a position, base64url, so that
 * nobody takes it for something to be written by hand.
 */
CREATE FUNCTION @extschema@.wa_internal_gateway_cursor(list text, place anyelement) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT translate(encode(convert_to(json_build_array(list, place)::text, 'UTF8'), 'base64'), E'+/=\n', '-_')
    WHERE place IS NOT NULL
$$;

/* The position in the cursor that was sent; NULL: from the beginning. */
CREATE FUNCTION @extschema@.wa_internal_gateway_place(request jsonb, list text) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given CONSTANT text := @extschema@.wa_internal_gateway_argument(request, 'cursor'::text);
    parts jsonb;
BEGIN
    IF given IS NULL THEN
        RETURN NULL;
    END IF;
    BEGIN
        parts := convert_from(decode(rpad(translate(given, '-_', '+/'), (length(given) + 3) / 4 * 4, '='), 'base64'),
            'UTF8')::jsonb;
    EXCEPTION WHEN data_exception THEN
        NULL;
    END;
    IF parts ->> 0 IS DISTINCT FROM list THEN
        RAISE EXCEPTION 'this cursor is not of this list'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'cursor',
                  HINT = 'Take the one of the Link header of the page before, or leave it out.';
    END IF;
    RETURN parts -> 1;
END
$$;

/* A position that is a number. */
CREATE FUNCTION @extschema@.wa_internal_gateway_place_id(request jsonb, list text) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    place CONSTANT jsonb := @extschema@.wa_internal_gateway_place(request, list);
BEGIN
    IF jsonb_typeof(place) <> 'number' THEN
        RAISE EXCEPTION 'this cursor is not of this list' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'cursor';
    END IF;
    RETURN (place #>> '{}')::bigint;
END
$$;

/* OUT paging: next is left out on the last page. */
CREATE FUNCTION @extschema@.wa_internal_gateway_paging(next text, total bigint DEFAULT NULL) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT NULLIF(jsonb_strip_nulls(jsonb_build_object('next', next, 'total', total)), '{}')
$$;

/* ---- the newest messages --------------------------------------------------------------- */

/*
 * The first message that was written at this time or later: ids follow creation
 * closely, so it is found by halving, with a few looks at the primary key.  (The
 * BRIN index on created_at would do only as long as no page is used again after
 * retention.)  Who wants exactness compares created_at as well.
 */
CREATE FUNCTION @extschema@.wa_internal_first_message_since(since timestamptz) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_sort = off
    SET jit = off
AS $$
DECLARE
    low bigint := 0;
    high bigint := (SELECT max(m.id) + 1 FROM @extschema@.whatsapp_messages AS m);
    middle bigint;
    probe record;
BEGIN
    WHILE low < high LOOP
        middle := (low + high) / 2;
        SELECT m.id, m.created_at INTO probe FROM @extschema@.whatsapp_messages AS m
            WHERE m.id >= middle ORDER BY m.id LIMIT 1;
        IF probe.created_at < since THEN
            low := probe.id + 1;
        ELSE
            high := middle;
        END IF;
    END LOOP;
    RETURN COALESCE(low, 0);
END
$$;

/*
 * A window of messages that ends now: from this time on, but not more than so
 * many.  Gives its first id, and since when it counts in truth.
 */
CREATE FUNCTION @extschema@.wa_internal_message_window(
    INOUT since timestamptz,
    most bigint,
    OUT first_id bigint)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_sort = off
    SET jit = off
AS $$
DECLARE
    oldest CONSTANT bigint := (SELECT max(m.id) - most + 1 FROM @extschema@.whatsapp_messages AS m);
BEGIN
    first_id := @extschema@.wa_internal_first_message_since(since);
    IF first_id < oldest THEN
        SELECT m.id, m.created_at INTO first_id, since
            FROM @extschema@.whatsapp_messages AS m WHERE m.id >= oldest ORDER BY m.id LIMIT 1;
    END IF;
END
$$;

/*
 * What has become of the messages of a window, by tenant and number; of a few
 * tenants, if they are given, by the index on theirs.
 *
 * Here, and wherever messages are read by a range of ids, the planner is not asked:
 * just after a restore it knows nothing of the table, and would read all of it.
 * (What is switched off costs a great deal on paper, for which JIT would compile it.)
 */
CREATE FUNCTION @extschema@.wa_internal_message_tallies(
    first_id bigint,
    since timestamptz,
    tenants text[] DEFAULT NULL)
RETURNS TABLE (tenant_id text, phone_number_id text, sent bigint, failed bigint)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_sort = off
    SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    IF tenants IS NULL THEN
        RETURN QUERY
            SELECT m.tenant_id, m.phone_number_id, count(m.accepted_at), count(*) FILTER (WHERE m.status = 'failed')
            FROM @extschema@.whatsapp_messages AS m
            WHERE m.id >= wa_internal_message_tallies.first_id AND m.created_at >= wa_internal_message_tallies.since
            GROUP BY m.tenant_id, m.phone_number_id;
    ELSE
        RETURN QUERY
            SELECT t.id, NULL::text, c.sent, c.failed
            FROM unnest(tenants) AS t (id)
                CROSS JOIN LATERAL (
                    SELECT count(m.accepted_at) AS sent, count(*) FILTER (WHERE m.status = 'failed') AS failed
                    FROM @extschema@.whatsapp_messages AS m
                    WHERE m.tenant_id = t.id AND m.created_at >= wa_internal_message_tallies.since OFFSET 0) AS c;
    END IF;
END
$$;

/*
 * How many messages of each tenant wait.  Those of a number that a tenant has are
 * the tenant's; of the others, which have none or the default number, the oldest
 * are looked up.
 */
CREATE FUNCTION @extschema@.wa_internal_waiting_by_tenant(most integer DEFAULT 20000)
RETURNS TABLE (tenant_id text, waiting bigint)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH counted AS MATERIALIZED (
        SELECT q.phone_number_id, count(*) AS n FROM @extschema@.whatsapp_queue AS q
        WHERE q.phone_number_id IS NOT NULL GROUP BY q.phone_number_id),
    owned AS MATERIALIZED (
        SELECT c.phone_number_id, c.n, a.tenant_id FROM counted AS c
            LEFT JOIN @extschema@.whatsapp_phone_assignments AS a
                ON a.phone_number_id = c.phone_number_id AND a.unassigned_at IS NULL),
    rest AS (
        SELECT q.message_id FROM @extschema@.whatsapp_queue AS q
        WHERE q.phone_number_id IS NULL
            OR q.phone_number_id = ANY (ARRAY(SELECT o.phone_number_id FROM owned AS o WHERE o.tenant_id IS NULL))
        LIMIT most)
    SELECT w.tenant_id, sum(w.n)::bigint
    FROM (SELECT o.tenant_id, o.n FROM owned AS o WHERE o.tenant_id IS NOT NULL
          UNION ALL
          SELECT m.tenant_id, count(*) FROM rest AS r JOIN @extschema@.whatsapp_messages AS m ON m.id = r.message_id
          GROUP BY m.tenant_id) AS w
    GROUP BY w.tenant_id
$$;

/* Of one tenant. */
CREATE FUNCTION @extschema@.wa_internal_waiting_of(tenant text) RETURNS bigint
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT count(*) FROM (
        SELECT FROM @extschema@.whatsapp_queue AS q
            JOIN @extschema@.whatsapp_messages AS m ON m.id = q.message_id
        WHERE m.tenant_id = tenant
            AND (q.phone_number_id IS NULL
                 OR q.phone_number_id IN (SELECT a.phone_number_id FROM @extschema@.whatsapp_phone_assignments AS a
                                          WHERE a.tenant_id = tenant AND a.unassigned_at IS NULL)
                 OR q.phone_number_id = current_setting('whatsapp_shared.phone_number_id', true))
        LIMIT 100000) AS w
$$;

/* ---- the account -------------------------------------------------------------------- */

CREATE FUNCTION @extschema@.wa_gateway_health(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text);
    status := 200;
    SELECT COALESCE(jsonb_agg(to_jsonb(h)), '[]') INTO body FROM @extschema@.wa_health() AS h;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_health(jsonb) IS
'GET /api/v1/admin/whatsapp/health: the rows of wa_health().';

CREATE FUNCTION @extschema@.wa_gateway_diagnose(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text);
    status := 200;
    SELECT COALESCE(jsonb_agg(to_jsonb(d)), '[]') INTO body
        FROM @extschema@.wa_diagnose(@extschema@.wa_internal_gateway_tenant(request)) AS d;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_diagnose(jsonb) IS
'GET /api/v1/admin/whatsapp/tenants/{tenant_id}/diagnose: the rows of wa_diagnose().';

CREATE FUNCTION @extschema@.wa_gateway_queue(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text);
    status := 200;
    SELECT COALESCE(jsonb_agg(to_jsonb(q) ORDER BY q.messages DESC, q.phone_number_id, q.state, q.reason), '[]')
        INTO body FROM @extschema@.wa_queue_status AS q;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_queue(jsonb) IS
'GET /api/v1/admin/whatsapp/queue: the rows of wa_queue_status.';

CREATE FUNCTION @extschema@.wa_gateway_pauses(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text);
    status := 200;
    SELECT COALESCE(jsonb_agg(to_jsonb(p) ORDER BY p.paused_at DESC, p.scope, p.key), '[]') INTO body
        FROM (SELECT o.* FROM @extschema@.whatsapp_pauses AS o ORDER BY o.paused_at DESC LIMIT 5000) AS p;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_pauses(jsonb) IS
'GET /api/v1/admin/whatsapp/pauses: the rows of whatsapp_pauses, the newest first.';

CREATE FUNCTION @extschema@.wa_gateway_pause(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    a_scope text;
    a_key text;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text,
        members => '{scope,key,reason,until}'::text[]);
    a_scope := @extschema@.wa_internal_gateway_string(request, 'scope'::text, true);
    a_key := @extschema@.wa_internal_gateway_string(request, 'key'::text);
    PERFORM @extschema@.wa_pause(a_scope, a_key,
        reason => COALESCE(@extschema@.wa_internal_gateway_string(request, 'reason'::text), 'paused by an operator'),
        until => @extschema@.wa_internal_gateway_body_time(request, 'until'::text));
    SELECT 200, to_jsonb(p) INTO status, body
        FROM @extschema@.whatsapp_pauses AS p WHERE p.scope = a_scope AND p.key = COALESCE(a_key, '');
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_pause(jsonb) IS
'POST /api/v1/admin/whatsapp/pauses {scope, key, reason, until}: wa_pause(). Answers with the pause.';

CREATE FUNCTION @extschema@.wa_gateway_resume(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = warning
AS $$
DECLARE
    a_scope text;
    a_key text;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text, '{scope,key}'::text[]);
    a_scope := @extschema@.wa_internal_gateway_argument(request, 'scope'::text);
    a_key := @extschema@.wa_internal_gateway_argument(request, 'key'::text);
    IF a_scope IS NULL THEN
        RAISE EXCEPTION '"scope" is missing' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'scope';
    ELSIF NOT @extschema@.wa_resume(a_scope, a_key) THEN
        status := 404;
        body := jsonb_build_object('detail', format('%s is not paused', concat_ws(' ', a_scope, a_key)));
        RETURN;
    END IF;
    status := 204;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_resume(jsonb) IS
'DELETE /api/v1/admin/whatsapp/pauses?scope=&key=: wa_resume(). 404: it is not paused.';

CREATE FUNCTION @extschema@.wa_gateway_alerts(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    list CONSTANT text := 'alerts';
    only_resolved boolean;
    only_kind text;
    before bigint;
    most bigint;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text, '{resolved,kind,limit,cursor}'::text[]);
    only_resolved := @extschema@.wa_internal_gateway_boolean(request, 'resolved'::text, false);
    only_kind := @extschema@.wa_internal_gateway_argument(request, 'kind'::text);
    before := COALESCE(@extschema@.wa_internal_gateway_place_id(request, list), 9223372036854775807);
    most := @extschema@.wa_internal_gateway_integer(request, 'limit'::text, 1, 500, 50);
    status := 200;
    /* Two branches: what is open has an index of its own. */
    SELECT COALESCE(jsonb_agg(to_jsonb(a) || jsonb_build_object('remedy', k.remedy) ORDER BY a.alert_id DESC), '[]'),
           @extschema@.wa_internal_gateway_paging(@extschema@.wa_internal_gateway_cursor(list,
               CASE WHEN count(*) = most THEN min(a.alert_id) END))
        INTO body, paging
        FROM (
            (SELECT o.* FROM @extschema@.whatsapp_alerts AS o
             WHERE NOT only_resolved AND o.resolved_at IS NULL AND o.alert_id < before
                 AND (only_kind IS NULL OR o.kind = only_kind)
             ORDER BY o.alert_id DESC LIMIT most)
            UNION ALL
            (SELECT o.* FROM @extschema@.whatsapp_alerts AS o
             WHERE only_resolved AND o.resolved_at IS NOT NULL AND o.alert_id < before
                 AND (only_kind IS NULL OR o.kind = only_kind)
             ORDER BY o.alert_id DESC LIMIT most)) AS a
        LEFT JOIN @extschema@.wa_internal_alert_kinds() AS k ON k.kind = a.kind;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_alerts(jsonb) IS
'GET /api/v1/admin/whatsapp/alerts?resolved=false&kind=: rows of whatsapp_alerts with remedy, the newest first.';

CREATE FUNCTION @extschema@.wa_gateway_resolve_alert(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    id bigint;
    a @extschema@.whatsapp_alerts;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text);
    id := @extschema@.wa_internal_gateway_id(request, 'alert'::text);
    IF NOT EXISTS (SELECT FROM @extschema@.whatsapp_alerts AS o WHERE o.alert_id = id) THEN
        RAISE EXCEPTION 'alert % does not exist', id USING ERRCODE = 'no_data_found';
    END IF;
    PERFORM @extschema@.wa_resolve_alert(id);
    SELECT o.* INTO a FROM @extschema@.whatsapp_alerts AS o WHERE o.alert_id = id;
    status := 200;
    body := to_jsonb(a);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_resolve_alert(jsonb) IS
'POST /api/v1/admin/whatsapp/alerts/{id}/resolve: wa_resolve_alert(). Answers with the alert, closed now or before.';

CREATE FUNCTION @extschema@.wa_gateway_templates(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    list CONSTANT text := 'templates';
    only_status text;
    q text;
    after jsonb;
    most bigint;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text, '{status,q,limit,cursor}'::text[]);
    only_status := @extschema@.wa_internal_gateway_argument(request, 'status'::text);
    q := lower(@extschema@.wa_internal_gateway_argument(request, 'q'::text));
    after := @extschema@.wa_internal_gateway_place(request, list);
    most := @extschema@.wa_internal_gateway_integer(request, 'limit'::text, 1, 500, 50);
    status := 200;
    SELECT COALESCE(jsonb_agg(to_jsonb(t) || jsonb_build_object('pause_reason', p.reason) ORDER BY t.name, t.language),
               '[]'),
           @extschema@.wa_internal_gateway_paging(@extschema@.wa_internal_gateway_cursor(list,
               CASE WHEN count(*) = most THEN max(ARRAY[t.name, t.language]) END))
        INTO body, paging
        FROM (SELECT o.* FROM @extschema@.whatsapp_templates AS o
              WHERE (only_status IS NULL OR o.status = only_status)
                  AND (q IS NULL OR strpos(o.name, q) > 0)
                  AND (after IS NULL OR (o.name, o.language) > (after ->> 0, after ->> 1))
              ORDER BY o.name, o.language LIMIT most) AS t
        LEFT JOIN LATERAL (
            SELECT x.reason FROM @extschema@.whatsapp_pauses AS x
            WHERE x.scope = 'template' AND x.key IN (t.name, t.name || '/' || t.language)
            ORDER BY x.key LIMIT 1) AS p ON true;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_templates(jsonb) IS
'GET /api/v1/admin/whatsapp/templates?status=&q=: rows of whatsapp_templates with pause_reason, by name.';

CREATE FUNCTION @extschema@.wa_gateway_sync_phone_numbers(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text);
    PERFORM @extschema@.wa_sync_phone_numbers();
    SELECT 202, to_jsonb(s) INTO status, body FROM @extschema@.whatsapp_sync AS s WHERE s.kind = 'phone_numbers';
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_sync_phone_numbers(jsonb) IS
'POST /api/v1/admin/whatsapp/phone-numbers/sync: wa_sync_phone_numbers(). Answers with the row of whatsapp_sync.';

CREATE FUNCTION @extschema@.wa_gateway_sync_templates(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text);
    PERFORM @extschema@.wa_sync_templates();
    SELECT 202, to_jsonb(s) INTO status, body FROM @extschema@.whatsapp_sync AS s WHERE s.kind = 'templates';
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_sync_templates(jsonb) IS
'POST /api/v1/admin/whatsapp/templates/sync: wa_sync_templates(). Answers with the row of whatsapp_sync.';

CREATE FUNCTION @extschema@.wa_gateway_costs(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given text;
    first_day date;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text, '{month,currency}'::text[]);
    given := COALESCE(@extschema@.wa_internal_gateway_argument(request, 'month'::text),
        (SELECT to_char(now() AT TIME ZONE @extschema@.wa_internal_known_zone(z.time_zone), 'YYYY-MM')
         FROM @extschema@.whatsapp_usage_closed AS z));
    IF given !~ '^[0-9]{4}-(0[1-9]|1[0-2])$' OR given < '2000' THEN
        RAISE EXCEPTION '"month" must be a month'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'month', HINT = 'Write it as in 2026-11.';
    END IF;
    first_day := (given || '-01')::date;
    status := 200;
    SELECT COALESCE(jsonb_agg(to_jsonb(c) ORDER BY c.cost DESC NULLS LAST, c.tenant_id, c.category, c.currency), '[]')
        INTO body
        FROM @extschema@.wa_costs AS c
        WHERE c.month = first_day AND (@extschema@.wa_internal_gateway_argument(request, 'currency'::text) IS NULL
            OR c.currency = @extschema@.wa_internal_gateway_argument(request, 'currency'::text));
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_costs(jsonb) IS
'GET /api/v1/admin/whatsapp/costs?month=YYYY-MM&currency=: the rows of wa_costs for the month, this one by default.';

CREATE FUNCTION @extschema@.wa_gateway_timeline(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    began timestamptz;
    ended timestamptz;
    most bigint;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text, '{from,to,limit}'::text[]);
    began := @extschema@.wa_internal_gateway_time(request, 'from'::text, now() - interval '7 days');
    ended := @extschema@.wa_internal_gateway_time(request, 'to'::text, 'infinity'::timestamptz);
    most := @extschema@.wa_internal_gateway_integer(request, 'limit'::text, 1, 500, 200);
    status := 200;
    SELECT COALESCE(jsonb_agg(to_jsonb(t) ORDER BY t.at DESC), '[]') INTO body
        FROM (SELECT o.* FROM @extschema@.wa_timeline(began, ended) AS o ORDER BY o.at DESC LIMIT most) AS t;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_timeline(jsonb) IS
'GET /api/v1/admin/whatsapp/timeline?from=&to=: the rows of wa_timeline(), the newest first; the last seven days by '
'default.';
