/*
 * Routes of the gateway: messages.
 *
 * History may be large, and most filters have no index, because one on a column
 * that changes would cost every message.  So a search looks at a bounded number
 * of messages, the newest first, and gives a cursor from which it goes on, if
 * need be with an empty page.
 */

/* ---- filters ------------------------------------------------------------------------- */

/* The filter in the query, or in the body of an action on many, checked. */
CREATE FUNCTION @extschema@.wa_internal_gateway_filter(request jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    a_status CONSTANT text := @extschema@.wa_internal_gateway_argument(request, 'status'::text);
    code CONSTANT text := @extschema@.wa_internal_gateway_argument(request, 'error_code'::text);
BEGIN
    IF NOT @extschema@.wa_internal_is_status(a_status) THEN
        RAISE EXCEPTION 'unknown status "%"', @extschema@.wa_internal_quote(a_status)
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'status',
                  HINT = 'Use queued, sending, accepted, sent, delivered, read, failed, uncertain, cancelled, expired '
                         'or skipped.';
    ELSIF code !~ '^-?[0-9]{1,9}$' THEN
        RAISE EXCEPTION '"error_code" must be a number'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'error_code';
    END IF;
    RETURN jsonb_strip_nulls(jsonb_build_object(
        'q', btrim(@extschema@.wa_internal_gateway_argument(request, 'q'::text)),
        'tenant_id', @extschema@.wa_internal_gateway_argument(request, 'tenant_id'::text),
        'phone_number_id', @extschema@.wa_internal_gateway_argument(request, 'phone_number_id'::text),
        'status', a_status,
        'error_code', code::integer,
        'reason', @extschema@.wa_internal_gateway_argument(request, 'reason'::text),
        'from', @extschema@.wa_internal_gateway_time(request, 'from'::text),
        'to', @extschema@.wa_internal_gateway_time(request, 'to'::text)));
END
$$;

/* What waits and may be what the filter asks for: its place in the queue, where an index leads to it. */
CREATE FUNCTION @extschema@.wa_internal_waiting_candidates(reason text, first_id bigint, last_id bigint, look integer)
RETURNS bigint[]
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_sort = off
    SET jit = off
AS $$
DECLARE
    stopped CONSTANT text[] := ARRAY(
        SELECT s.phone_number_id FROM @extschema@.wa_internal_stopped_numbers AS s
        WHERE s.reason = wa_internal_waiting_candidates.reason);
BEGIN
    IF reason = 'parked' THEN
        RETURN ARRAY(
            SELECT q.message_id FROM @extschema@.whatsapp_queue AS q
            WHERE q.state IN ('d', 'u') AND q.due_at = 'infinity' AND q.hold_reason = 'parked'
                AND q.message_id BETWEEN first_id AND last_id
            ORDER BY q.message_id DESC LIMIT look);
    ELSIF EXISTS (SELECT FROM @extschema@.whatsapp_queue AS q
                  WHERE q.state = 'h' AND q.hold_reason = wa_internal_waiting_candidates.reason) THEN
        RETURN ARRAY(
            SELECT q.message_id FROM @extschema@.whatsapp_queue AS q
            WHERE q.state = 'h' AND q.hold_reason = wa_internal_waiting_candidates.reason
                AND q.message_id BETWEEN first_id AND last_id
            ORDER BY q.message_id DESC LIMIT look);
    ELSIF reason IS NULL THEN
        RETURN ARRAY(
            SELECT q.message_id FROM @extschema@.whatsapp_queue AS q
            WHERE q.message_id BETWEEN first_id AND last_id
            ORDER BY q.message_id DESC LIMIT look);
    END IF;
    RETURN ARRAY(
        SELECT w.message_id FROM (
            SELECT q.* FROM @extschema@.whatsapp_queue AS q
            WHERE q.message_id BETWEEN first_id AND last_id
            ORDER BY q.message_id DESC LIMIT 10 * look) AS w
        WHERE w.hold_reason = wa_internal_waiting_candidates.reason
            OR w.state = 'r' AND w.phone_number_id = ANY (stopped)
        ORDER BY w.message_id DESC LIMIT look);
END
$$;

/*
 * The messages of a filter, the newest first, at most so many, after the place
 * where the page before has ended: [id, created_at].  next: where the next one
 * begins, which is also given when so many have been looked at as are allowed
 * (look) before enough were found.
 */
CREATE FUNCTION @extschema@.wa_internal_find_messages(
    filter jsonb,
    place jsonb,
    most integer,
    look integer,
    OUT ids bigint[],
    OUT next jsonb)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_sort = off
    SET jit = off
AS $$
DECLARE
    q CONSTANT text := lower(filter ->> 'q');
    digits CONSTANT text := CASE WHEN q ~ '^[+0-9 ().-]+$' THEN NULLIF(regexp_replace(q, '[^0-9]', '', 'g'), '') END;
    tenant CONSTANT text := filter ->> 'tenant_id';
    number CONSTANT text := filter ->> 'phone_number_id';
    a_status CONSTANT text := filter ->> 'status';
    code CONSTANT integer := filter ->> 'error_code';
    a_reason CONSTANT text := filter ->> 'reason';
    began CONSTANT timestamptz := COALESCE((filter ->> 'from')::timestamptz, '-infinity');
    ended CONSTANT timestamptz := COALESCE((filter ->> 'to')::timestamptz, 'infinity');
    before_at CONSTANT timestamptz := COALESCE((place ->> 1)::timestamptz, 'infinity');
    before_id CONSTANT bigint := COALESCE((place ->> 0)::bigint, 9223372036854775807);
    first_id bigint := 0;
    last_id bigint := before_id - 1;
    looked bigint[];
BEGIN
    IF filter ? 'from' THEN
        first_id := @extschema@.wa_internal_first_message_since(began);
    END IF;
    IF filter ? 'to' THEN
        last_id := LEAST(last_id, @extschema@.wa_internal_first_message_since(ended));
    END IF;

    IF a_status IN ('queued', 'sending', 'uncertain') OR a_status IS NULL AND a_reason IS NOT NULL THEN
        looked := @extschema@.wa_internal_waiting_candidates(a_reason, first_id, last_id, look / 4);
        SELECT array_agg(f.id ORDER BY f.id DESC) INTO ids FROM (
            SELECT m.id FROM @extschema@.whatsapp_messages AS m
            WHERE m.id = ANY (looked) AND (a_status IS NULL OR m.status = a_status)
                AND (tenant IS NULL OR m.tenant_id = tenant) AND (number IS NULL OR m.phone_number_id = number)
                AND (code IS NULL OR m.error_code = code) AND m.created_at >= began AND m.created_at < ended
                AND (q IS NULL OR strpos(m.recipient_phone, digits) > 0 OR strpos(lower(m.reference), q) > 0
                     OR strpos(lower(m.recipient_user_id), q) > 0)
            ORDER BY m.id DESC LIMIT most) AS f;
        next := jsonb_build_array(CASE WHEN cardinality(ids) = most THEN ids[most]
            WHEN cardinality(looked) = look / 4 THEN looked[look / 4] END, NULL);
    ELSIF tenant IS NOT NULL THEN
        WITH seen AS (
            SELECT m.id, m.created_at, m.status, m.status_reason, m.phone_number_id, m.error_code, m.recipient_phone,
                m.recipient_user_id, m.reference
            FROM @extschema@.whatsapp_messages AS m
            WHERE m.tenant_id = tenant AND m.created_at >= began AND m.created_at < ended
                AND m.created_at <= before_at AND (m.created_at, m.id) < (before_at, before_id)
            ORDER BY m.created_at DESC, m.id DESC LIMIT look)
        SELECT array_agg(f.id ORDER BY f.created_at DESC, f.id DESC),
               CASE WHEN count(*) = most THEN jsonb_build_array(
                   (array_agg(f.id ORDER BY f.created_at, f.id))[1], min(f.created_at)) END
            INTO ids, next
            FROM (SELECT s.id, s.created_at FROM seen AS s
                  WHERE (a_status IS NULL OR s.status = a_status) AND (a_reason IS NULL OR s.status_reason = a_reason)
                      AND (number IS NULL OR s.phone_number_id = number) AND (code IS NULL OR s.error_code = code)
                      AND (q IS NULL OR strpos(s.recipient_phone, digits) > 0 OR strpos(lower(s.reference), q) > 0
                           OR strpos(lower(s.recipient_user_id), q) > 0)
                  ORDER BY s.created_at DESC, s.id DESC LIMIT most) AS f;
        IF next IS NULL THEN
            SELECT jsonb_build_array(m.id, m.created_at) INTO next
                FROM @extschema@.whatsapp_messages AS m
                WHERE m.tenant_id = tenant AND m.created_at >= began AND m.created_at < ended
                    AND m.created_at <= before_at AND (m.created_at, m.id) < (before_at, before_id)
                ORDER BY m.created_at DESC, m.id DESC OFFSET look - 1 LIMIT 1;
        END IF;
    ELSE
        WITH seen AS (
            SELECT m.id, m.created_at, m.status, m.status_reason, m.phone_number_id, m.error_code, m.recipient_phone,
                m.recipient_user_id, m.reference
            FROM @extschema@.whatsapp_messages AS m
            WHERE m.id BETWEEN first_id AND last_id
            ORDER BY m.id DESC LIMIT look)
        SELECT array_agg(f.id ORDER BY f.id DESC) INTO ids
            FROM (SELECT s.id FROM seen AS s
                  WHERE (a_status IS NULL OR s.status = a_status) AND (a_reason IS NULL OR s.status_reason = a_reason)
                      AND (number IS NULL OR s.phone_number_id = number) AND (code IS NULL OR s.error_code = code)
                      AND s.created_at >= began AND s.created_at < ended
                      AND (q IS NULL OR strpos(s.recipient_phone, digits) > 0 OR strpos(lower(s.reference), q) > 0
                           OR strpos(lower(s.recipient_user_id), q) > 0)
                  ORDER BY s.id DESC LIMIT most) AS f;
        next := jsonb_build_array(CASE WHEN cardinality(ids) = most THEN ids[most] ELSE (
            SELECT m.id FROM @extschema@.whatsapp_messages AS m
            WHERE m.id BETWEEN first_id AND last_id ORDER BY m.id DESC OFFSET look - 1 LIMIT 1) END, NULL);
    END IF;
    ids := COALESCE(ids, '{}');
    IF next ->> 0 IS NULL THEN
        next := NULL;
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_gateway_messages(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    list CONSTANT text := 'messages';
    filter jsonb;
    place jsonb;
    most integer;
    ids bigint[];
    next jsonb;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text,
        '{q,tenant_id,phone_number_id,status,error_code,reason,from,to,limit,cursor}'::text[]);
    filter := @extschema@.wa_internal_gateway_filter(request);
    place := @extschema@.wa_internal_gateway_place(request, list);
    most := @extschema@.wa_internal_gateway_integer(request, 'limit'::text, 1, 500, 50);
    SELECT f.ids, f.next INTO ids, next
        FROM @extschema@.wa_internal_find_messages(filter, place, most, 20000) AS f;
    IF place IS NULL AND filter ? 'q' AND filter - 'q' = '{}' THEN
        ids := ARRAY(SELECT f.id FROM @extschema@.wa_find(filter ->> 'q', most) AS f) || ids;
    END IF;
    status := 200;
    SELECT COALESCE(jsonb_agg(to_jsonb(r) ORDER BY r.created_at DESC, r.id DESC), '[]') INTO body
        FROM (SELECT m.id, m.tenant_id, m.phone_number_id, m.recipient_phone, m.recipient_user_id, m.message_type,
                     m.template_name, m.template_language, m.status, m.status_reason, m.error_code, m.error_message,
                     m.reference, m.created_at, m.scheduled_at, m.expires_at, m.accepted_at, m.sent_at, m.delivered_at,
                     m.read_at, m.failed_at, m.attempts
              FROM @extschema@.whatsapp_messages AS m WHERE m.id = ANY (ids)) AS r;
    paging := @extschema@.wa_internal_gateway_paging(@extschema@.wa_internal_gateway_cursor(list, next));
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_messages(jsonb) IS
'GET /api/v1/admin/whatsapp/messages?q=&tenant_id=&phone_number_id=&status=&error_code=&reason=&from=&to=&limit=&'
'cursor=: messages, the newest first. q: what wa_find() takes, or a part of the recipient or the reference of a '
'newer message. A page with a next one may have fewer than limit, or none: so far has been searched.';

/* ---- one message ---------------------------------------------------------------------- */

/* What the customer has answered: looked for among what came for the tenant since it was sent. */
CREATE FUNCTION @extschema@.wa_internal_message_replies(m @extschema@.whatsapp_messages) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(jsonb_agg(jsonb_build_object('id', i.inbound_id, 'at', i.sent_at, 'received_at', i.received_at,
            'kind', i.message_type, 'text', i.text, 'reply_id', i.reply_id, 'handler', i.handler,
            'handled_at', i.handled_at, 'handler_error', i.handler_error) ORDER BY i.inbound_id), '[]')
    FROM (SELECT n.* FROM @extschema@.whatsapp_inbound_messages AS n
          WHERE n.tenant_id = m.tenant_id AND n.received_at >= m.created_at AND m.whatsapp_message_id IS NOT NULL
          ORDER BY n.received_at LIMIT 2000) AS i
    WHERE i.message_id = m.id
$$;

/* What happened to it, in order. */
CREATE FUNCTION @extschema@.wa_internal_message_history(m @extschema@.whatsapp_messages, replies jsonb) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('at', h.at, 'kind', h.kind, 'text', h.text,
            'details', h.details)) ORDER BY h.at, h.place)
    FROM (
        SELECT m.created_at, 1, 'created', 'Written into the queue', NULL::jsonb
        UNION ALL SELECT m.scheduled_at, 2, 'scheduled', 'Not to be sent before', NULL
            WHERE m.scheduled_at > m.created_at
        UNION ALL
        SELECT COALESCE(a.started_at, a.ended_at), 3, 'attempt',
               concat_ws(': ', format('Attempt %s ended as %s', a.attempt, a.outcome), a.error_message),
               jsonb_strip_nulls(jsonb_build_object('attempt', a.attempt, 'outcome', a.outcome, 'ended_at', a.ended_at,
                   'http_status', a.http_status, 'error_code', a.error_code, 'title', e.title, 'remedy', e.remedy,
                   'fbtrace_id', a.fbtrace_id, 'phone_number_id', a.phone_number_id))
            FROM @extschema@.whatsapp_attempts AS a
                LEFT JOIN @extschema@.wa_error_codes AS e ON e.code = a.error_code
            WHERE a.message_id = m.id
        UNION ALL
        SELECT w.claimed_at, 4, 'sending', 'A request is on the wire', NULL
            FROM @extschema@.wa_internal_on_wire_requests AS w WHERE w.message_id = m.id
        UNION ALL
        SELECT m.accepted_at, 5, 'accepted', 'Meta has accepted it',
               jsonb_build_object('whatsapp_message_id', m.whatsapp_message_id) WHERE m.accepted_at IS NOT NULL
        UNION ALL SELECT m.sent_at, 6, 'sent', 'It has left Meta''s servers', NULL WHERE m.sent_at IS NOT NULL
        UNION ALL SELECT m.delivered_at, 7, 'delivered', 'It has reached the recipient''s phone', NULL
            WHERE m.delivered_at IS NOT NULL
        UNION ALL SELECT m.read_at, 8, 'read', 'The recipient has read it', NULL WHERE m.read_at IS NOT NULL
        UNION ALL SELECT m.played_at, 9, 'played', 'The recipient has played it', NULL WHERE m.played_at IS NOT NULL
        UNION ALL
        SELECT m.failed_at, 10, 'failed', concat_ws(': ', 'It has failed', m.error_message),
               jsonb_strip_nulls(jsonb_build_object('error_code', m.error_code, 'reason', m.status_reason))
            WHERE m.failed_at IS NOT NULL
        UNION ALL
        SELECT m.finished_at, 11, m.status, format('It was %s', m.status),
               jsonb_strip_nulls(jsonb_build_object('reason', m.status_reason))
            WHERE m.status IN ('cancelled', 'expired', 'skipped') AND m.finished_at IS NOT NULL
        UNION ALL
        SELECT a.created_at, 12, 'alert', a.message, a.detail
            FROM @extschema@.whatsapp_alerts AS a WHERE a.scope = 'message' AND a.key = m.id::text
        UNION ALL
        SELECT p.received_at, 13, 'parked', format('A %s about it could not be used: %s', p.kind, p.reason), NULL
            FROM @extschema@.whatsapp_parked_events AS p WHERE p.message_id = m.id
        UNION ALL
        SELECT (r.value ->> 'at')::timestamptz, 14, 'reply', r.value ->> 'text',
               jsonb_strip_nulls(r.value - 'at' - 'text')
            FROM jsonb_array_elements(replies) AS r
        UNION ALL
        SELECT o.at, 15, o.kind, o.detail ->> 'text', jsonb_build_object('actor', o.actor)
            FROM @extschema@.whatsapp_events AS o WHERE o.scope = 'message' AND o.key = m.id::text)
        AS h (at, place, kind, text, details)
$$;

/* What a person may do with it now; whoever does it may still come too late. */
CREATE FUNCTION @extschema@.wa_internal_message_choices(m @extschema@.whatsapp_messages) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(jsonb_agg(c.choice ORDER BY c.choice), '[]')
    FROM (SELECT 'retry' WHERE @extschema@.wa_internal_may_be_retried(m.status) AND m.erased_at IS NULL
          UNION ALL
          SELECT CASE q.state WHEN 'u' THEN 'resolve' ELSE 'cancel' END FROM @extschema@.whatsapp_queue AS q
          WHERE q.message_id = m.id AND NOT EXISTS (
              SELECT FROM @extschema@.wa_internal_on_wire_requests AS w WHERE w.message_id = m.id)) AS c (choice)
$$;

CREATE FUNCTION @extschema@.wa_gateway_message(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m @extschema@.whatsapp_messages;
    replies jsonb;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text);
    m := @extschema@.wa_internal_gateway_named(request);
    replies := @extschema@.wa_internal_message_replies(m);
    status := 200;
    body := to_jsonb(m) || jsonb_build_object(
        'explanation', (SELECT to_jsonb(e) FROM @extschema@.wa_explain(m.id) AS e),
        'history', @extschema@.wa_internal_message_history(m, replies),
        'replies', replies,
        'may', @extschema@.wa_internal_message_choices(m));
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_message(jsonb) IS
'GET /api/v1/admin/whatsapp/messages/{id}: everything about one message: its row, wa_explain(), what happened in '
'order, the replies, and what may be done with it.';

/* The message in the path. */
CREATE FUNCTION @extschema@.wa_internal_gateway_named(request jsonb) RETURNS @extschema@.whatsapp_messages
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given CONSTANT bigint := @extschema@.wa_internal_gateway_id(request, 'message'::text);
    m @extschema@.whatsapp_messages;
BEGIN
    SELECT o.* INTO m FROM @extschema@.whatsapp_messages AS o WHERE o.id = given;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'message % does not exist', given
            USING ERRCODE = 'no_data_found', HINT = 'Finished messages are removed after whatsapp_shared.retention.';
    END IF;
    RETURN m;
END
$$;

/* ---- failures --------------------------------------------------------------------------- */

CREATE FUNCTION @extschema@.wa_gateway_failures(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_sort = off
    SET jit = off
AS $$
DECLARE
    span record;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text, '{from}'::text[]);
    SELECT w.since, w.first_id INTO span FROM @extschema@.wa_internal_message_window(
        @extschema@.wa_internal_gateway_time(request, 'from'::text, current_date::timestamptz), 200000) AS w;
    status := 200;
    WITH failed AS (
        SELECT m.error_code, CASE WHEN m.error_code IS NULL THEN m.status_reason END AS reason,
            count(*) AS messages, max(m.id) AS sample_id, array_agg(DISTINCT m.tenant_id) AS tenants
        FROM @extschema@.whatsapp_messages AS m
        WHERE m.id >= span.first_id AND m.created_at >= span.since AND m.status = 'failed'
        GROUP BY 1, 2)
    SELECT COALESCE(jsonb_agg(jsonb_build_object(
            'error_code', f.error_code, 'reason', f.reason,
            'title', COALESCE(e.title, r.meaning, s.error_message, 'Failed'),
            'remedy', COALESCE(e.remedy, r.remedy, 'See error_message of the messages.'),
            'messages', f.messages, 'tenants', cardinality(f.tenants), 'tenant_ids', to_jsonb(f.tenants[1:5]),
            'sample_id', f.sample_id, 'may_retry', @extschema@.wa_internal_may_be_retried('failed'::text),
            'counted_since', span.since) ORDER BY f.messages DESC, f.error_code, f.reason), '[]')
        INTO body
        FROM failed AS f
            LEFT JOIN @extschema@.wa_error_codes AS e ON e.code = f.error_code
            LEFT JOIN @extschema@.wa_reason_codes AS r ON r.reason = f.reason
            LEFT JOIN @extschema@.whatsapp_messages AS s ON s.id = f.sample_id;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_failures(jsonb) IS
'GET /api/v1/admin/whatsapp/failures?from=: failed messages written since then (today by default), by error code or '
'reason, with title and remedy. counted_since is later than from if there are more than 200,000 messages.';
