/*
 * Tells the senders, at COMMIT, that what they keep in memory has changed.
 * Statement triggers: one note however many rows, and nothing else is done, so
 * a restore may fire them.
 */
CREATE TRIGGER whatsapp_tenants_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.whatsapp_tenants
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_config_changed();
CREATE TRIGGER whatsapp_phone_numbers_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.whatsapp_phone_numbers
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_config_changed();
CREATE TRIGGER whatsapp_phone_assignments_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.whatsapp_phone_assignments
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_config_changed();
CREATE TRIGGER whatsapp_pauses_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.whatsapp_pauses
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_config_changed();
CREATE TRIGGER whatsapp_installation_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.whatsapp_installation
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_config_changed();

/* A sender also writes here how its synchronisation went; that is no news to it. */
CREATE TRIGGER whatsapp_sync_requested
    AFTER UPDATE OF requested_at ON @extschema@.whatsapp_sync
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_config_changed();
