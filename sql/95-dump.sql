/*
 * What pg_dump takes along: the rows of every table, and the state of their
 * sequences.  The installation's row goes with the data, so that a copy knows
 * that it is one; so do the leases, so that a copy which is adopted takes what
 * was on the wire for uncertain and does not send it again.  whatsapp_home stays:
 * it is about a place, and no row that somebody loads must make a copy believe
 * that it is at home, or the original that it is not.
 *
 * A restore runs CREATE EXTENSION first, and then copies the dumped rows in.
 * Where this script has made rows already, each dumped row takes the place of
 * the one with the same key; so does each that a subscription copies (ALWAYS).
 * (A row of these that the site has deleted comes back with a restore.)
 */

CREATE FUNCTION @extschema@.wa_internal_replace_row() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    same_key CONSTANT text := (
        SELECT string_agg(format('t.%1$I = ($1).%1$I', a.attname), ' AND ')
        FROM pg_index AS i
            JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
        WHERE i.indrelid = TG_RELID AND i.indisprimary);
BEGIN
    EXECUTE format('DELETE FROM %s AS t WHERE %s', TG_RELID::regclass, same_key) USING NEW;
    RETURN NEW;
END
$$;

/* Marks what is not marked yet: for this script, and for update scripts that add tables. */
CREATE FUNCTION @extschema@.wa_internal_mark_for_dump() RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    object record;
    filled boolean;
BEGIN
    FOR object IN
        SELECT c.oid::regclass AS name, c.relkind
        FROM pg_depend AS d
            JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'whatsapp_shared'
            JOIN pg_class AS c ON c.oid = d.objid AND c.relkind IN ('r', 'S')
        WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
            AND (e.extconfig IS NULL OR c.oid <> ALL (e.extconfig))
        ORDER BY c.relname
    LOOP
        CONTINUE WHEN object.name = '@extschema@.whatsapp_home'::regclass;
        PERFORM pg_extension_config_dump(object.name, '');
        CONTINUE WHEN object.relkind = 'S';
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', object.name) INTO filled;
        IF filled THEN
            EXECUTE format('CREATE TRIGGER whatsapp_replace_row BEFORE INSERT ON %s '
                'FOR EACH ROW EXECUTE FUNCTION @extschema@.wa_internal_replace_row()', object.name);
            EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER whatsapp_replace_row', object.name);
        END IF;
    END LOOP;
END
$$;

SELECT @extschema@.wa_internal_mark_for_dump();
