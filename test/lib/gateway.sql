/*
 * For files about the gateway's routes: calls them as a login that has the privilege
 * admin and nothing else, as the gateway does.
 */
CREATE ROLE t_gateway;
SELECT wa_grant('t_gateway', 'admin') \g /dev/null
GRANT TEMPORARY ON DATABASE :DBNAME TO t_gateway;

/* The request, as the gateway writes it. */
CREATE FUNCTION pg_temp.request(query jsonb DEFAULT '{}', body jsonb DEFAULT NULL, path jsonb DEFAULT '{}', role text DEFAULT 'admin',
    key text DEFAULT NULL)
RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('actor', jsonb_build_object('role', role, 'name', 'Ana'), 'path', path, 'query', query,
        'body', body, 'idempotency_key', key)
$$;

/* A route's answer; an error becomes its SQLSTATE and the name of what is wrong, as the gateway reads them. */
CREATE FUNCTION pg_temp.call(route text, request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb, OUT error text)
LANGUAGE plpgsql AS $$
DECLARE
    state text;
    field text;
BEGIN
    SET LOCAL ROLE t_gateway;
    BEGIN
        EXECUTE format('SELECT status, body, paging FROM wa_gateway_%s($1)', route) INTO status, body, paging USING request;
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, field = COLUMN_NAME;
        error := concat_ws(' ', state, NULLIF(field, ''));
        body := to_jsonb(SQLERRM);
    END;
    RESET ROLE;
END
$$;
