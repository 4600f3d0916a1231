/*
 * Routes of the gateway: what people do with messages, one or all that match a
 * filter.  What may be done with a message is decided by the functions for one
 * (src/enqueue/lifecycle.c) and nowhere else.
 */

/* ---- one message ---------------------------------------------------------------------- */

/* After an action: the message's state, or why nothing was done. */
CREATE FUNCTION @extschema@.wa_internal_gateway_acted(
    request jsonb,
    id bigint,
    action text,
    done boolean,
    what text,
    OUT status integer,
    OUT body jsonb)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    e record;
BEGIN
    SELECT x.* INTO e FROM @extschema@.wa_explain(id) AS x;
    IF done THEN
        status := 200;
        body := jsonb_build_object('id', id, 'status', e.status, 'reason', e.reason, 'explanation', e.explanation);
    ELSE
        status := 409;
        body := jsonb_build_object('detail', format('message %s was not %s: its status is %s', id, what, e.status),
            'message_status', e.status, 'reason', e.reason, 'explanation', e.explanation, 'hint', e.remedy);
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_gateway_retry_message(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = warning
AS $$
DECLARE
    m @extschema@.whatsapp_messages;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text);
    m := @extschema@.wa_internal_gateway_named(request);
    SELECT a.status, a.body INTO status, body
        FROM @extschema@.wa_internal_gateway_acted(request, m.id, 'retry_message'::text,
            @extschema@.wa_retry_message(m.id), 'queued again'::text) AS a;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_retry_message(jsonb) IS
'POST /api/v1/admin/whatsapp/messages/{id}/retry: wa_retry_message(). 409 with the reason if it was not queued again.';

CREATE FUNCTION @extschema@.wa_gateway_cancel_message(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = warning
AS $$
DECLARE
    m @extschema@.whatsapp_messages;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text);
    m := @extschema@.wa_internal_gateway_named(request);
    SELECT a.status, a.body INTO status, body
        FROM @extschema@.wa_internal_gateway_acted(request, m.id, 'cancel_message'::text,
            @extschema@.wa_cancel_message(m.id), 'cancelled'::text) AS a;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_cancel_message(jsonb) IS
'POST /api/v1/admin/whatsapp/messages/{id}/cancel: wa_cancel_message(). 409 with the reason if it was not cancelled.';

CREATE FUNCTION @extschema@.wa_gateway_resolve_message(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = warning
AS $$
DECLARE
    m @extschema@.whatsapp_messages;
    outcome text;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text, members => '{outcome}'::text[]);
    m := @extschema@.wa_internal_gateway_named(request);
    outcome := @extschema@.wa_internal_gateway_string(request, 'outcome'::text, true);
    SELECT a.status, a.body INTO status, body
        FROM @extschema@.wa_internal_gateway_acted(request, m.id, 'resolve_message'::text,
            @extschema@.wa_resolve_message(m.id, outcome), 'decided'::text) AS a;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_resolve_message(jsonb) IS
'POST /api/v1/admin/whatsapp/messages/{id}/resolve {outcome}: wa_resolve_message() with accepted, sent, failed or '
'resend. 409 with the reason if it is not uncertain any more.';

/* ---- many messages -------------------------------------------------------------------- */

/*
 * Does one thing to messages that the caller has found, to each by its own rule.
 * Those that somebody else has locked now are passed by.
 *
 * A message that is none of a template may raise an error, because its service
 * window is closed, and one with a file, because that is not kept any longer; each of
 * these has a subtransaction.  More than 64 of them in one transaction cost every
 * other session its speed, so it stops before.  last_id: how far it came.
 */
CREATE FUNCTION @extschema@.wa_internal_retry_each(
    ids bigint[],
    OUT done integer,
    OUT refused integer,
    OUT last_id bigint)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m record;
    guarded integer := 0;
BEGIN
    done := 0;
    refused := 0;
    FOR m IN
        SELECT i.id, l.id IS NOT NULL AS is_mine,
            l.message_type <> 'template'
                OR EXISTS (SELECT FROM @extschema@.whatsapp_media_uses AS u WHERE u.message_id = l.id) AS may_raise
        FROM unnest(ids) WITH ORDINALITY AS i (id, n)
            LEFT JOIN (SELECT o.id, o.message_type FROM @extschema@.whatsapp_messages AS o
                       WHERE o.id = ANY (ids) ORDER BY o.id FOR UPDATE SKIP LOCKED) AS l ON l.id = i.id
        ORDER BY i.n
    LOOP
        IF m.may_raise THEN
            EXIT WHEN guarded = 50;
            guarded := guarded + 1;
            BEGIN
                m.is_mine := @extschema@.wa_retry_message(m.id);
            EXCEPTION WHEN object_not_in_prerequisite_state OR undefined_object THEN
                m.is_mine := false;
            END;
        ELSIF m.is_mine THEN
            m.is_mine := @extschema@.wa_retry_message(m.id);
        END IF;
        done := done + m.is_mine::integer;
        refused := refused + (NOT m.is_mine)::integer;
        last_id := m.id;
    END LOOP;
END
$$;

/* The locks are taken in the order of all: of the queue, and not of what is on the wire. */
CREATE FUNCTION @extschema@.wa_internal_cancel_each(
    ids bigint[],
    OUT done integer,
    OUT refused integer,
    OUT last_id bigint)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    mine bigint[];
BEGIN
    SELECT COALESCE(array_agg(l.message_id), '{}') INTO mine FROM (
        SELECT q.message_id FROM @extschema@.whatsapp_queue AS q
        WHERE q.message_id = ANY (ids) AND q.state <> 'u'
            AND q.message_id NOT IN (SELECT w.message_id FROM @extschema@.wa_internal_on_wire_requests AS w)
        ORDER BY q.message_id FOR UPDATE SKIP LOCKED) AS l;
    SELECT count(*) FILTER (WHERE @extschema@.wa_cancel_message(i)) INTO done FROM unnest(mine) AS i;
    refused := cardinality(ids) - done;
    last_id := ids[cardinality(ids)];
END
$$;

/*
 * One call does at most 500, so that nobody waits long for their locks; whoever wants
 * all of them calls again with the cursor until remaining is 0, and stops whenever
 * he likes.  What was refused is behind the cursor, and not met again.
 */
CREATE FUNCTION @extschema@.wa_internal_gateway_many(request jsonb, what text, OUT status integer, OUT body jsonb)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most CONSTANT integer := 500;
    at_once CONSTANT integer := 10000;
    arguments jsonb;
    filter jsonb;
    place jsonb;
    found record;
    left_over bigint := 0;
    further jsonb;
    acted record;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text, members => '{filter,dry_run,cursor}'::text[]);
    SELECT jsonb_build_object('query', COALESCE(jsonb_object_agg(f.key, f.value #>> '{}'), '{}'))
        INTO arguments
        FROM jsonb_each(@extschema@.wa_internal_gateway_member(request, 'filter'::text, 'object'::text, true)) AS f;
    PERFORM @extschema@.wa_internal_gateway_accept(arguments,
        '{q,tenant_id,phone_number_id,status,error_code,reason,from,to}'::text[]);
    filter := @extschema@.wa_internal_gateway_filter(arguments);
    place := @extschema@.wa_internal_gateway_place(jsonb_build_object('query',
        jsonb_build_object('cursor', @extschema@.wa_internal_gateway_string(request, 'cursor'::text))), what);
    /* Everything at once is nobody's wish. */
    IF NOT filter ? 'status' AND NOT filter ? 'reason' THEN
        RAISE EXCEPTION 'the filter must name a status or a reason'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'filter';
    END IF;

    status := 200;
    /* One event tells of all. */
    PERFORM @extschema@.wa_internal_gateway_act(request, calls => false);
    SELECT f.ids, f.next INTO found FROM @extschema@.wa_internal_find_messages(filter, place, most, 50000) AS f;
    IF @extschema@.wa_internal_gateway_member(request, 'dry_run'::text, 'boolean'::text) = 'true' THEN
        SELECT cardinality(f.ids), f.next INTO left_over, further
            FROM @extschema@.wa_internal_find_messages(filter, place, at_once, 200000) AS f;
        body := jsonb_build_object('matched', left_over, 'done', 0, 'refused', 0, 'remaining', left_over,
            'more', further IS NOT NULL);
        RETURN;
    END IF;
    IF what = 'retry' THEN
        SELECT e.* INTO acted FROM @extschema@.wa_internal_retry_each(found.ids) AS e;
    ELSE
        SELECT e.* INTO acted FROM @extschema@.wa_internal_cancel_each(found.ids) AS e;
    END IF;
    IF acted.done + acted.refused < cardinality(found.ids) THEN
        found.next := jsonb_build_array(acted.last_id,
            (SELECT m.created_at FROM @extschema@.whatsapp_messages AS m WHERE m.id = acted.last_id));
    END IF;
    IF found.next IS NOT NULL THEN
        SELECT cardinality(f.ids), f.next INTO left_over, further
            FROM @extschema@.wa_internal_find_messages(filter, found.next, at_once, 200000) AS f;
        /* Not 0 as long as there is more to be searched. */
        left_over := GREATEST(left_over, (further IS NOT NULL)::integer);
    END IF;
    IF acted.done > 0 THEN
        /* What was searched for may be a customer. */
        PERFORM @extschema@.wa_internal_note(what || '_messages', 'account'::text, NULL::text,
            jsonb_build_object('filter', filter - 'q'::text,
                'text', format('%s of %s messages', initcap(what), acted.done)),
            'info'::text, filter ->> 'tenant_id');
    END IF;
    body := jsonb_strip_nulls(jsonb_build_object(
        'matched', acted.done + acted.refused + left_over, 'done', acted.done, 'refused', acted.refused,
        'remaining', left_over, 'cursor', @extschema@.wa_internal_gateway_cursor(what, found.next)));
END
$$;

CREATE FUNCTION @extschema@.wa_gateway_retry_messages(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = warning
AS $$
BEGIN
    SELECT m.status, m.body INTO status, body FROM @extschema@.wa_internal_gateway_many(request, 'retry'::text) AS m;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_retry_messages(jsonb) IS
'POST /api/v1/admin/whatsapp/messages/retry {filter, dry_run, cursor}: wa_retry_message() for up to 500 that match the '
'filter, which must name a status or a reason. Answers with matched, done, refused, remaining (10,000 are counted at '
'most) and cursor, which is sent again until remaining is 0.';

CREATE FUNCTION @extschema@.wa_gateway_cancel_messages(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = warning
AS $$
BEGIN
    SELECT m.status, m.body INTO status, body FROM @extschema@.wa_internal_gateway_many(request, 'cancel'::text) AS m;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_cancel_messages(jsonb) IS
'POST /api/v1/admin/whatsapp/messages/cancel {filter, dry_run, cursor}: wa_cancel_message(), as for retry.';
