/*
 * For a sender: messages held for this reason although the obstacle is gone,
 * because a pause has ended by its time, or hold and release crossed in
 * concurrent transactions.  Looks at one page of them after the given id and
 * returns where the next page begins; NULL: from the start again.  Rows that
 * somebody has locked are left for the next round.
 */
CREATE FUNCTION @extschema@.wa_internal_release_stale_holds(reason text, after_id bigint, page integer)
RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stale bigint[];
    last_id bigint;
    seen integer;
    fallback CONSTANT text := @extschema@.wa_internal_default_number();
BEGIN
    WITH held AS MATERIALIZED (
        SELECT q.message_id, q.hold_reason, q.phone_number_id
        FROM @extschema@.whatsapp_queue AS q
        WHERE q.state = 'h' AND q.hold_reason = reason AND q.message_id > after_id
        ORDER BY q.message_id
        LIMIT page)
    SELECT pg_catalog.count(*), pg_catalog.max(h.message_id),
        pg_catalog.array_agg(h.message_id) FILTER (WHERE CASE h.hold_reason
            WHEN 'no_number' THEN a.phone_number_id IS NOT NULL OR fallback IS NOT NULL
            WHEN 'tenant_disabled' THEN COALESCE(t.enabled, false)
            WHEN 'tenant_paused' THEN NOT EXISTS (
                SELECT FROM @extschema@.whatsapp_pauses AS p
                WHERE p.scope = 'tenant' AND p.key = m.tenant_id)
            WHEN 'template_paused' THEN NOT EXISTS (
                SELECT FROM @extschema@.whatsapp_pauses AS p
                WHERE p.scope = 'template'
                    AND p.key IN (m.template_name, m.template_name || '/' || m.template_language))
            ELSE false END)
        INTO seen, last_id, stale
        FROM held AS h
            JOIN @extschema@.whatsapp_messages AS m ON m.id = h.message_id
            LEFT JOIN @extschema@.whatsapp_tenants AS t ON t.tenant_id = m.tenant_id
            LEFT JOIN @extschema@.whatsapp_phone_assignments AS a
                ON a.tenant_id = m.tenant_id AND a.unassigned_at IS NULL;

    IF stale IS NOT NULL THEN
        SELECT pg_catalog.array_agg(locked.message_id) INTO stale FROM (
            SELECT q.message_id FROM @extschema@.whatsapp_queue AS q
            WHERE q.message_id = ANY (stale) AND q.state = 'h'
            ORDER BY q.message_id
            FOR UPDATE SKIP LOCKED) AS locked;
        UPDATE @extschema@.whatsapp_queue AS q
            SET phone_number_id = COALESCE(a.phone_number_id, fallback)
            FROM @extschema@.whatsapp_messages AS m
                LEFT JOIN @extschema@.whatsapp_phone_assignments AS a
                    ON a.tenant_id = m.tenant_id AND a.unassigned_at IS NULL
            WHERE q.message_id = ANY (stale) AND m.id = q.message_id AND q.hold_reason = 'no_number';
        PERFORM @extschema@.wa_internal_release_rows(stale);
    END IF;
    RETURN CASE WHEN seen = page THEN last_id END;
END
$$;
