/*
 * What pg_dump takes along: the rows of every table but those named here, and
 * the state of their sequences.  The installation's row goes with the data, so
 * that a copy knows that it is one; so do the leases, so that a copy which is
 * adopted takes what was on the wire for uncertain and does not send it again.
 *
 * Left out:
 *	whatsapp_sync	made by CREATE EXTENSION; what it says is soon read anew
 */
DO $$
DECLARE
    object regclass;
BEGIN
    FOR object IN
        SELECT c.oid
        FROM pg_catalog.pg_depend AS d
            JOIN pg_catalog.pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'whatsapp_shared'
            JOIN pg_catalog.pg_class AS c ON c.oid = d.objid AND c.relkind IN ('r', 'S')
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_extension'::regclass
            AND d.deptype = 'e' AND c.relname <> 'whatsapp_sync'
        ORDER BY c.relname
    LOOP
        PERFORM pg_catalog.pg_extension_config_dump(object, '');
    END LOOP;
END
$$;
