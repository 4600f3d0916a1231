/*
 * Whose this extension is.  What it does with its owner's rights (the senders, and
 * functions that write for somebody who may not) calls its objects by schema and
 * name, so nobody else may be able to create objects in the schema, nor own any of
 * them: src/base/ownership.c.
 *
 * They belong to the role "whatsapp", if the administrator has created it and it
 * cannot log in; what runs in a sender then has that role's rights, and not a
 * superuser's.  What superusers alone call stays theirs.
 */

CREATE FUNCTION @extschema@.wa_internal_ownership_flaw(OUT problem text, OUT remedy text)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'wa_internal_ownership_flaw';
COMMENT ON FUNCTION @extschema@.wa_internal_ownership_flaw() IS
'Who else could put code of his own in the place of the extension''s, or NULL; nothing is sent then. Internal.';

CREATE FUNCTION @extschema@.wa_internal_owner_to_be() RETURNS oid
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'wa_internal_owner_to_be';
COMMENT ON FUNCTION @extschema@.wa_internal_owner_to_be() IS
'The role that the extension''s objects are given to: whoever owns the tables, or instead of a superuser the role '
'whatsapp, if it exists and cannot log in. Internal.';

/* Refuses a schema that is not safe: before this script calls anything in it, and at its end. */
CREATE FUNCTION @extschema@.wa_internal_check_ownership() RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    flaw CONSTANT record := @extschema@.wa_internal_ownership_flaw();
BEGIN
    IF flaw.problem IS NOT NULL THEN
        RAISE EXCEPTION 'whatsapp_shared cannot be installed safely: %', flaw.problem
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = 'Nobody but superusers and the owner of its tables may own its schema, or create objects '
                      'in it.',
                  HINT = format('%s Or use a schema of its own: CREATE SCHEMA whatsapp; '
                      'CREATE EXTENSION whatsapp_shared SCHEMA whatsapp; '
                      'ALTER DATABASE %I SET search_path = "$user", public, whatsapp;',
                      flaw.remedy, current_database());
    END IF;
END
$$;

SELECT @extschema@.wa_internal_check_ownership();
