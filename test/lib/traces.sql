/*
 * What is left of somebody, or of something, anywhere.
 */

/* Every table of the extension in which one of these texts is somewhere in a row. */
CREATE FUNCTION pg_temp.tables_with(VARIADIC parts text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    t record;
    found boolean;
    result text[] := '{}';
BEGIN
    FOR t IN
        SELECT c.oid::regclass AS name FROM pg_class AS c
            JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
            JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
        WHERE e.extname = 'whatsapp_shared' AND c.relkind = 'r'
        ORDER BY c.relname
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s AS x WHERE EXISTS (SELECT FROM unnest($1) AS p'
            ' WHERE strpos(x::text, p) > 0))', t.name) INTO found USING parts;
        IF found THEN
            result := result || t.name::text;
        END IF;
    END LOOP;
    RETURN array_to_string(result, ' ');
END
$$;
