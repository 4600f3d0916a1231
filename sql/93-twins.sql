/*
 * Tenant IDs of any type.
 *
 * Tenants may have keys of type uuid or bigint in the application.  So that
 * nobody has to cast, every public function with an argument "tenant_id text",
 * or "key text", has a twin that takes anyelement there.  Twins are made from
 * the catalog entries of the functions for text, and so cannot differ from
 * them.
 *
 * The twin of a function in C is the same C function, which looks at the type
 * of its argument; that of any other function calls it.  The key loses its
 * default, because a call without a key must mean one function only.
 */

/* The twins that are missing: for this script, and for update scripts that add functions. */
CREATE FUNCTION @extschema@.wa_internal_create_twins() RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    f record;
    body text;
BEGIN
    FOR f IN
        SELECT p.*, l.lanname AS language, k.key, k.position,
            format('%s.%I', p.pronamespace::regnamespace, p.proname) AS name,
            regexp_replace(pg_get_function_arguments(p.oid),
                '\m' || k.key || ' text( DEFAULT NULL::text)?', k.key || ' anyelement') AS arguments,
            (SELECT string_agg(CASE a.i WHEN k.position THEN 'anyelement' ELSE a.type::regtype::text END, ', '
                               ORDER BY a.i)
             FROM unnest(p.proargtypes) WITH ORDINALITY AS a (type, i)) AS types,
            (SELECT string_agg(format(CASE i WHEN k.position THEN '$%s::text' ELSE '$%s' END, i), ', ' ORDER BY i)
             FROM generate_series(1, p.pronargs) AS i) AS inputs,
            (SELECT string_agg(CASE c.i WHEN k.position THEN '$' || c.i ELSE format('r.%I', c.name) END, ', '
                               ORDER BY c.i)
             FROM unnest(p.proargnames, p.proargmodes) WITH ORDINALITY AS c (name, mode, i)
             WHERE c.mode <> 'i') AS results
        FROM pg_depend AS d
            JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'whatsapp_shared'
            JOIN pg_proc AS p ON p.oid = d.objid AND NOT starts_with(p.proname, 'wa_internal_')
            JOIN pg_language AS l ON l.oid = p.prolang
            JOIN LATERAL (SELECT n.key, array_position(p.proargnames, n.key) AS position
                          FROM unnest('{tenant_id,key}'::text[]) AS n (key)) AS k
                ON p.proargtypes[k.position - 1] = 'text'::regtype
        WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
        ORDER BY p.proname, p.oid
    LOOP
        CONTINUE WHEN to_regprocedure(format('%s(%s)', f.name, f.types)) IS NOT NULL;
        body := format('SELECT %s(%s)', f.name, f.inputs);
        IF f.results IS NOT NULL THEN
            body := format('SELECT %s FROM %s(%s) AS r', f.results, f.name, f.inputs);
        END IF;
        EXECUTE format('CREATE FUNCTION %s(%s) RETURNS %s LANGUAGE %I %s PARALLEL %s %s', f.name, f.arguments,
            pg_get_function_result(f.oid), CASE f.language WHEN 'c' THEN 'c' ELSE 'sql' END,
            concat_ws(' ', CASE f.provolatile WHEN 'i' THEN 'IMMUTABLE' WHEN 's' THEN 'STABLE' ELSE 'VOLATILE' END,
                CASE WHEN f.proisstrict THEN 'STRICT' END),
            CASE f.proparallel WHEN 's' THEN 'SAFE' WHEN 'r' THEN 'RESTRICTED' ELSE 'UNSAFE' END,
            CASE f.language WHEN 'c' THEN format('AS %L, %L', f.probin, f.prosrc)
                ELSE format('SET search_path = pg_catalog, pg_temp AS %L', body) END);
        EXECUTE format('COMMENT ON FUNCTION %s(%s) IS %L', f.name, f.types,
            CASE f.key WHEN 'key' THEN 'The same for a key of any type, such as the uuid or bigint of a tenant.'
                ELSE 'The same for a tenant ID of any type, such as uuid or bigint.' END);
    END LOOP;
END
$$;

SELECT @extschema@.wa_internal_create_twins();
