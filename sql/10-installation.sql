/*
 * Where this data lives.  Restored or copied elsewhere it finds a system
 * identifier or a database other than its own, and nothing is sent until a
 * person says that this is the place now.
 */

CREATE TABLE @extschema@.whatsapp_installation (
    singleton         boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    installation_id   text NOT NULL,
    system_identifier bigint NOT NULL,
    database_oid      oid NOT NULL,
    adopted_at        timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE @extschema@.whatsapp_installation IS
'One row: the cluster and database that this data belongs to. A copy that is restored elsewhere does not match and '
'sends nothing until wa_adopt() is called.';
COMMENT ON COLUMN @extschema@.whatsapp_installation.singleton IS 'Always true: the table has one row.';
COMMENT ON COLUMN @extschema@.whatsapp_installation.installation_id IS
'Eight hexadecimal digits that travel in biz_opaque_callback_data, so that webhooks of another installation on the '
'same WhatsApp Business account are recognised as foreign.';
COMMENT ON COLUMN @extschema@.whatsapp_installation.system_identifier IS
'The cluster''s system identifier (pg_control_system()) when the data was adopted.';
COMMENT ON COLUMN @extschema@.whatsapp_installation.database_oid IS 'The database''s OID when the data was adopted.';
COMMENT ON COLUMN @extschema@.whatsapp_installation.adopted_at IS
'When the extension was created, or wa_adopt() last called.';

CREATE TRIGGER whatsapp_installation_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.whatsapp_installation
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_config_changed();

INSERT INTO @extschema@.whatsapp_installation (installation_id, system_identifier, database_oid)
SELECT pg_catalog.left(pg_catalog.gen_random_uuid()::text, 8), c.system_identifier, d.oid
FROM pg_catalog.pg_control_system() AS c, pg_catalog.pg_database AS d
WHERE d.datname = pg_catalog.current_database();

CREATE FUNCTION @extschema@.wa_internal_at_home() RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM @extschema@.whatsapp_installation AS i, pg_control_system() AS c, pg_database AS d
        WHERE d.datname = current_database()
            AND i.system_identifier = c.system_identifier AND i.database_oid = d.oid)
$$;

CREATE FUNCTION @extschema@.wa_adopt(new_identity boolean DEFAULT false) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    waiting bigint;
BEGIN
    IF @extschema@.wa_internal_at_home() AND NOT new_identity THEN
        RAISE NOTICE 'this database has been adopted already';
        RETURN false;
    END IF;
    UPDATE @extschema@.whatsapp_installation AS i
        SET system_identifier = c.system_identifier,
            database_oid = d.oid,
            adopted_at = clock_timestamp(),
            installation_id = CASE WHEN new_identity
                THEN left(gen_random_uuid()::text, 8) ELSE i.installation_id END
        FROM pg_control_system() AS c, pg_database AS d
        WHERE d.datname = current_database();
    SELECT count(*) INTO waiting FROM @extschema@.whatsapp_queue;
    IF waiting > 0 THEN
        RAISE NOTICE '% queued messages can now be sent from here', waiting
            USING HINT = 'If the original installation is still running, it has them too: '
                         'let only one of the two send.';
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_adopt(boolean) IS
'Makes this cluster and database the home of the data, after a restore or pg_upgrade; until then a copy sends '
'nothing. new_identity: the original installation stays in use beside this one, and its webhooks must not be taken '
'for ours. False, with a NOTICE: it is the home already.';
