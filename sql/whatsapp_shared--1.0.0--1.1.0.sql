/* From 1.0.0 to 1.1.0: in the order of the fragments (sql/README.md, "A new version"). */

\echo Use "ALTER EXTENSION whatsapp_shared UPDATE" to load this file. \quit

/* ---- what is new and public; at the end ------------------------------------------------ */

DO $$
BEGIN
    PERFORM @extschema@.wa_internal_create_twins();
    PERFORM @extschema@.wa_internal_mark_for_dump();
    PERFORM @extschema@.wa_internal_settle_privileges();
END
$$;
