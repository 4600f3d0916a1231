/*
 * Route of the gateway: enqueueing over HTTP, for applications that cannot reach
 * the database.
 */

/* Which members a message of a type has, besides those of all. */
CREATE FUNCTION @extschema@.wa_internal_gateway_members(type text) RETURNS text[]
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT '{tenant_id,recipient_phone,type,scheduled_at,expires_at,priority,reference,on_uncertain}'::text[]
        || CASE WHEN type = 'template' THEN '{template_name,parameters,language}'::text[]
                ELSE '{context_message_id,fallback_template,fallback_parameters}'::text[]
                    || CASE WHEN type = 'text' THEN '{body,preview_url}'::text[]
                            WHEN type IN ('image', 'video', 'audio', 'document', 'sticker')
                                THEN '{link,media_id,media,caption,filename,voice}'::text[]
                            WHEN type = 'interactive' THEN '{interactive}'::text[]
                            ELSE '{payload}'::text[] END END
$$;

/* Enqueues what the body says, by the function of its type. */
CREATE FUNCTION @extschema@.wa_internal_gateway_enqueue(request jsonb, key text) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    type CONSTANT text := COALESCE(@extschema@.wa_internal_gateway_string(request, 'type'::text), 'template');
    document CONSTANT jsonb := request -> 'body';
    tenant CONSTANT text := document ->> 'tenant_id';
    recipient CONSTANT text := @extschema@.wa_internal_gateway_string(request, 'recipient_phone'::text, true);
    schedule CONSTANT timestamptz :=
        COALESCE(@extschema@.wa_internal_gateway_body_time(request, 'scheduled_at'::text), now());
    expiry CONSTANT timestamptz := @extschema@.wa_internal_gateway_body_time(request, 'expires_at'::text);
    rank CONSTANT integer := COALESCE(
        @extschema@.wa_internal_gateway_body_integer(request, 'priority'::text, -1000, 1000), 0);
    occasion CONSTANT text := @extschema@.wa_internal_gateway_string(request, 'reference'::text);
    policy CONSTANT text := @extschema@.wa_internal_gateway_string(request, 'on_uncertain'::text);
    context CONSTANT text := @extschema@.wa_internal_gateway_string(request, 'context_message_id'::text);
    fallback CONSTANT text := @extschema@.wa_internal_gateway_string(request, 'fallback_template'::text);
    fallback_values CONSTANT jsonb := NULLIF(document -> 'fallback_parameters', 'null');
BEGIN
    IF jsonb_typeof(document -> 'tenant_id') NOT IN ('string', 'number') OR tenant IS NULL THEN
        RAISE EXCEPTION '"tenant_id" is missing' USING ERRCODE = 'null_value_not_allowed', COLUMN = 'tenant_id';
    ELSIF type = 'template' THEN
        RETURN @extschema@.wa_enqueue_message(tenant, recipient,
            @extschema@.wa_internal_gateway_string(request, 'template_name'::text, true),
            parameters => COALESCE(NULLIF(document -> 'parameters', 'null'), '[]'),
            language => @extschema@.wa_internal_gateway_string(request, 'language'::text),
            scheduled_at => schedule, expires_at => expiry, priority => rank, idempotency_key => key,
            reference => occasion, on_uncertain => policy);
    ELSIF type = 'text' THEN
        RETURN @extschema@.wa_enqueue_text(tenant, recipient,
            @extschema@.wa_internal_gateway_string(request, 'body'::text, true),
            preview_url => COALESCE(
                @extschema@.wa_internal_gateway_member(request, 'preview_url'::text, 'boolean'::text)::boolean, false),
            scheduled_at => schedule, expires_at => expiry, priority => rank, idempotency_key => key,
            reference => occasion, on_uncertain => policy, context_message_id => context,
            fallback_template => fallback, fallback_parameters => fallback_values);
    ELSIF type IN ('image', 'video', 'audio', 'document', 'sticker') THEN
        RETURN @extschema@.wa_enqueue_media(tenant, recipient, type,
            link => @extschema@.wa_internal_gateway_string(request, 'link'::text),
            media_id => @extschema@.wa_internal_gateway_string(request, 'media_id'::text),
            caption => @extschema@.wa_internal_gateway_string(request, 'caption'::text),
            filename => @extschema@.wa_internal_gateway_string(request, 'filename'::text),
            voice => @extschema@.wa_internal_gateway_member(request, 'voice'::text, 'boolean'::text)::boolean,
            media => @extschema@.wa_internal_gateway_body_integer(request, 'media'::text, 1, 9007199254740991),
            scheduled_at => schedule, expires_at => expiry, priority => rank, idempotency_key => key,
            reference => occasion, on_uncertain => policy, context_message_id => context,
            fallback_template => fallback, fallback_parameters => fallback_values);
    ELSIF type = 'interactive' THEN
        RETURN @extschema@.wa_enqueue_interactive(tenant, recipient,
            @extschema@.wa_internal_gateway_member(request, 'interactive'::text, 'object'::text, true),
            scheduled_at => schedule, expires_at => expiry, priority => rank, idempotency_key => key,
            reference => occasion, on_uncertain => policy, context_message_id => context,
            fallback_template => fallback, fallback_parameters => fallback_values);
    END IF;
    RETURN @extschema@.wa_enqueue_payload(tenant, recipient, type,
        COALESCE(NULLIF(document -> 'payload', 'null'),
            @extschema@.wa_internal_gateway_member(request, 'payload'::text, 'object'::text, true)),
        scheduled_at => schedule, expires_at => expiry, priority => rank, idempotency_key => key,
        reference => occasion, on_uncertain => policy, context_message_id => context,
        fallback_template => fallback, fallback_parameters => fallback_values);
END
$$;

/*
 * Whether the request says what a message says that is there already under its key:
 * it is written once more without the key, compared, and taken back.  Where that is
 * refused now, because things have changed since, it is taken for the same: the
 * message is there, and will not be written twice.  So it is for whoever asks again
 * after the message would have expired.
 */
CREATE FUNCTION @extschema@.wa_internal_gateway_says(request jsonb, m @extschema@.whatsapp_messages) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    again @extschema@.whatsapp_messages;
    trial bigint;
    same boolean := true;
BEGIN
    BEGIN
        trial := @extschema@.wa_internal_gateway_enqueue(request #- '{body,expires_at}', NULL::text);
        SELECT o.* INTO again FROM @extschema@.whatsapp_messages AS o WHERE o.id = trial;
        same := (again.recipient_phone, again.recipient_user_id, again.priority, again.reference, again.on_uncertain,
                 again.context_message_id)
            IS NOT DISTINCT FROM
                (m.recipient_phone, m.recipient_user_id, m.priority, m.reference, m.on_uncertain, m.context_message_id)
            AND (again.scheduled_at = m.scheduled_at
                 OR @extschema@.wa_internal_gateway_string(request, 'scheduled_at'::text) IS NULL)
            /* A fallback may have taken the message's place. */
            AND (again.message_type = m.message_type AND again.template_name IS NOT DISTINCT FROM m.template_name
                     AND again.payload - 'language' = m.payload - 'language'
                 OR COALESCE(m.template_name = request #>> '{body,fallback_template}', false));
        RAISE EXCEPTION USING ERRCODE = 'WA001', MESSAGE = 'compared';
    EXCEPTION
        WHEN SQLSTATE 'WA001' OR undefined_object OR object_not_in_prerequisite_state THEN
            RETURN same;
    END;
END
$$;

CREATE FUNCTION @extschema@.wa_gateway_enqueue(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = warning
AS $$
DECLARE
    key CONSTANT text := NULLIF(request ->> 'idempotency_key', '');
    tenant CONSTANT text := request #>> '{body,tenant_id}';
    m @extschema@.whatsapp_messages;
    mine boolean;
    written bigint;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_require(request, 'admin'::text);
    PERFORM @extschema@.wa_internal_gateway_act(request);
    PERFORM @extschema@.wa_internal_gateway_accept(request, members =>
        @extschema@.wa_internal_gateway_members(COALESCE(request #>> '{body,type}', 'template')));
    IF key IS NULL THEN
        RAISE EXCEPTION 'the header Idempotency-Key is missing'
            USING ERRCODE = 'null_value_not_allowed', COLUMN = 'Idempotency-Key',
                  HINT = 'Send a name of the occasion, such as the order''s; with the same key nothing is sent twice.';
    END IF;
    SELECT o.* INTO m FROM @extschema@.whatsapp_messages AS o WHERE o.tenant_id = tenant AND o.idempotency_key = key;
    IF NOT FOUND THEN
        written := @extschema@.wa_internal_gateway_enqueue(request, key);
        SELECT o.* INTO STRICT m FROM @extschema@.whatsapp_messages AS o WHERE o.id = written;
        /* Somebody else may have been first by a moment. */
        mine := m.created_at = now();
    END IF;
    status := CASE WHEN mine THEN 201 ELSE 200 END;
    IF mine IS NOT TRUE AND NOT @extschema@.wa_internal_gateway_says(request, m) THEN
        status := 422;
        body := jsonb_build_object('detail', 'the Idempotency-Key was used for another message',
            'field', 'Idempotency-Key', 'id', m.id, 'hint', 'Send another key, or the same body.');
        RETURN;
    END IF;
    body := jsonb_build_object('id', m.id, 'status', m.status, 'status_reason', m.status_reason);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_enqueue(jsonb) IS
'POST /api/v1/messages {tenant_id, recipient_phone, type, …}, with the header Idempotency-Key: writes a message. '
'type: template (template_name, parameters, language), text (body, preview_url), image, video, audio, document or '
'sticker (link, media_id or media, caption, filename, voice), interactive, or another of Meta''s API (payload). 201 '
'with id and status; 200 with those of the first one under the same key; 422 if that said something else.';
