/*
 * For the synchronisation: what GET /debug_token says of the access token.
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
        PERFORM @extschema@.wa_internal_alert('error', 'token', 'account', '',
            pg_catalog.format('The access token is not valid: %s',
                COALESCE(data #>> '{error,message}', 'Meta gives no reason')));
        RETURN;
    END IF;

    /* 0 means never, for both; the earlier one counts. */
    SELECT pg_catalog.min(pg_catalog.to_timestamp(v.seconds)) INTO ends
        FROM (VALUES ((data ->> 'expires_at')::double precision),
                     ((data ->> 'data_access_expires_at')::double precision)) AS v (seconds)
        WHERE v.seconds > 0;
    days := EXTRACT(epoch FROM ends - pg_catalog.clock_timestamp()) / 86400;
    missing := ARRAY(
        SELECT r.scope FROM pg_catalog.unnest(required) AS r (scope)
        WHERE NOT COALESCE(data -> 'scopes', '[]') ? r.scope);

    IF pg_catalog.jsonb_typeof(data -> 'scopes') = 'array' AND missing <> '{}' THEN
        PERFORM @extschema@.wa_internal_alert('error', 'token', 'account', '',
            pg_catalog.format('The access token lacks the permission %s',
                pg_catalog.array_to_string(missing, ' and ')));
    ELSIF days <= 14 THEN
        PERFORM @extschema@.wa_internal_alert(
            CASE WHEN days <= 7 THEN 'error' ELSE 'warning' END, 'token', 'account', '',
            pg_catalog.format('The access token ends in %s days, at %s: put a new one into the file named by whatsapp_shared.access_token_file and reload',
                GREATEST(pg_catalog.floor(days), 0), ends));
    ELSE
        PERFORM @extschema@.wa_internal_resolve_alert('token', 'account', '');
    END IF;
END
$$;
