/*
 * What Meta sends, whole requests as they come.
 *
 * SECURITY DEFINER, because the role of the gateway may call these functions
 * and nothing else; the signature, or the verify token, is what is checked.
 */
CREATE FUNCTION @extschema@.wa_webhook_challenge(mode text, token text, challenge text) RETURNS text
    LANGUAGE C STABLE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'wa_webhook_challenge';
COMMENT ON FUNCTION @extschema@.wa_webhook_challenge(text, text, text) IS
'The handshake by which Meta makes sure that a webhook address is ours: returns the challenge if the token is whatsapp_shared.webhook_verify_token.';

CREATE FUNCTION @extschema@.wa_webhook_ingest(body bytea, signature text) RETURNS jsonb
    LANGUAGE C VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'wa_webhook_ingest';
COMMENT ON FUNCTION @extschema@.wa_webhook_ingest(bytea, text) IS
'Takes one webhook: the bytes of its body and the header X-Hub-Signature-256. Answer Meta with 200 when the transaction has committed. Returns how many items were applied, duplicate, parked and foreign.';

/*
 * What statuses mean for more than their own message.  Pauses follow
 * only from news: what Meta kept for hours while we were unreachable says
 * nothing of today, and sending finds out by itself.
 */
CREATE FUNCTION @extschema@.wa_internal_draw_consequences(
    actions text[],
    message_ids bigint[],
    attempts integer[],
    error_codes integer[],
    texts text[],
    pause_seconds integer[],
    happened_at timestamptz[])
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c record;
BEGIN
    /* Of several arrays there is no pg_catalog.unnest(); the path is pinned. */
    INSERT INTO @extschema@.whatsapp_opt_outs (tenant_id, recipient, category, source, created_at)
        SELECT m.tenant_id, COALESCE(m.recipient_phone, m.recipient_user_id), 'marketing', 'error',
            pg_catalog.min(x.at)
        FROM unnest(actions, message_ids, happened_at) AS x (action, id, at)
            JOIN @extschema@.whatsapp_messages AS m ON m.id = x.id
        WHERE x.action = 'opt_out' AND NOT @extschema@.wa_internal_resumed_later(
            m.phone_number_id, ARRAY[m.recipient_phone, m.recipient_user_id], x.at)
        GROUP BY m.tenant_id, COALESCE(m.recipient_phone, m.recipient_user_id)
        ORDER BY 1, 2
        ON CONFLICT DO NOTHING;

    INSERT INTO @extschema@.whatsapp_late_deliveries (message_id)
        SELECT DISTINCT x.id FROM unnest(actions, message_ids) AS x (action, id)
        WHERE x.action = 'late_delivery'
        ORDER BY x.id
        ON CONFLICT DO NOTHING;

    FOR c IN
        SELECT DISTINCT ON (w.scope, w.key)
            w.scope, w.key, x.code, x.text,
            CASE WHEN x.seconds > 0 THEN x.at + pg_catalog.make_interval(secs => x.seconds) END AS until
        FROM unnest(actions, message_ids, error_codes, texts, pause_seconds, happened_at)
                AS x (action, id, code, text, seconds, at)
            JOIN @extschema@.whatsapp_messages AS m ON m.id = x.id
            CROSS JOIN LATERAL (
                SELECT pg_catalog.substr(x.action, 7) AS scope,
                    CASE x.action
                        WHEN 'pause_account' THEN ''
                        WHEN 'pause_number' THEN m.phone_number_id
                        WHEN 'pause_template' THEN m.template_name || '/' || m.template_language
                    END AS key) AS w
        WHERE x.action LIKE 'pause\_%' AND w.key IS NOT NULL
            AND x.at > pg_catalog.clock_timestamp() - interval '1 hour'
        ORDER BY w.scope, w.key, x.seconds = 0 DESC, x.at DESC
    LOOP
        CONTINUE WHEN c.until <= pg_catalog.clock_timestamp();
        PERFORM @extschema@.wa_internal_pause(c.scope, c.key, 'error_' || c.code,
            COALESCE(c.text, 'Meta reports error ' || c.code), c.code, c.until);
    END LOOP;

    FOR c IN
        SELECT x.code, pg_catalog.min(x.text) AS text, pg_catalog.count(*) AS n
        FROM unnest(actions, error_codes, texts) AS x (action, code, text)
        WHERE x.action = 'unknown_code'
        GROUP BY x.code
        ORDER BY x.code
    LOOP
        PERFORM @extschema@.wa_internal_alert('warning', 'unknown_error_code', '', c.code::text,
            pg_catalog.format('Meta reports an error that is not in wa_error_codes: %s', c.code),
            pg_catalog.jsonb_build_object('text', c.text, 'messages', c.n));
    END LOOP;

    /* An attempt that failed, and was followed by wa_retry_message(), is no second message. */
    FOR c IN
        SELECT x.id, m.tenant_id, pg_catalog.array_agg(DISTINCT x.text) AS wamids
        FROM unnest(actions, message_ids, attempts, texts) AS x (action, id, attempt, text)
            JOIN @extschema@.whatsapp_messages AS m ON m.id = x.id
        WHERE x.action = 'duplicate_delivery'
            OR x.action = 'duplicate_send' AND NOT EXISTS (
                SELECT FROM @extschema@.whatsapp_attempts AS a
                WHERE a.message_id = x.id AND a.attempt = x.attempt AND a.outcome = 'failed')
        GROUP BY x.id, m.tenant_id
        ORDER BY x.id
    LOOP
        PERFORM @extschema@.wa_internal_alert('warning', 'duplicate_send', 'message', c.id::text,
            pg_catalog.format('Message %s has reached Meta more than once', c.id),
            pg_catalog.jsonb_build_object('tenant_id', c.tenant_id, 'whatsapp_message_ids', c.wamids));
    END LOOP;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_rematch(max_rows integer DEFAULT 1000) RETURNS integer
    LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'wa_internal_rematch';
COMMENT ON FUNCTION @extschema@.wa_internal_rematch(integer) IS
'Tries parked statuses again whose message is known by now; returns how many. Internal.';
