/*
 * Which installation this data belongs to, and whether it is at home here.
 *
 * A copy of the data must not send what the original sends, too; and the
 * original must not be taken for a copy.  So the identity is in two tables.
 * whatsapp_installation goes wherever the data goes: dumps and publications take
 * it along.  whatsapp_home says which installation sends from which place, is in
 * no dump, and is held against what a copy cannot have: the cluster's system
 * identifier, the database's OID, and a token in a file of the data directory
 * (src/base/home.c).  Whoever has loaded the rows of another installation has
 * more of them than the one that is at home.
 *
 * Whatever does not fit is a doubt, and in doubt nothing is sent until a person
 * calls wa_adopt().  docs/operating.md has a table of what is a copy and what is
 * not.
 */

CREATE TABLE @extschema@.whatsapp_installation (
    installation_id text PRIMARY KEY,
    created_at      timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE @extschema@.whatsapp_installation IS
'One row: the installation that this data belongs to. A second one comes with data that was loaded from elsewhere; '
'then nothing is sent until wa_adopt() is called.';
COMMENT ON COLUMN @extschema@.whatsapp_installation.installation_id IS
'Eight hexadecimal digits that travel in biz_opaque_callback_data, so that webhooks of another installation on the '
'same WhatsApp Business account are recognised as foreign.';
COMMENT ON COLUMN @extschema@.whatsapp_installation.created_at IS
'When the extension was created, or wa_adopt() last gave the installation a new identity.';

CREATE TABLE @extschema@.whatsapp_home (
    system_identifier bigint,
    database_oid      oid,
    token             text NOT NULL,
    installation_id   text NOT NULL,
    doubt             text,
    adopted_at        timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    synchronous       boolean NOT NULL DEFAULT false,
    takeover_at       timestamptz,
    takeover_since    timestamptz,
    takeover_through  bigint,
    takeover_first    bigint,
    takeover_prepared bigint[],
    PRIMARY KEY (system_identifier, database_oid)
);
COMMENT ON TABLE @extschema@.whatsapp_home IS
'The place from which an installation sends: cluster, database and data directory. It is in no dump, and a row of '
'another place has no effect here. Internal.';
COMMENT ON COLUMN @extschema@.whatsapp_home.system_identifier IS
'The cluster''s system identifier (pg_control_system()).';
COMMENT ON COLUMN @extschema@.whatsapp_home.database_oid IS 'The database''s OID.';
COMMENT ON COLUMN @extschema@.whatsapp_home.token IS
'The token in the data directory''s file pg_replslot/whatsapp_shared.home.';
COMMENT ON COLUMN @extschema@.whatsapp_home.installation_id IS 'The installation that sends from here.';
COMMENT ON COLUMN @extschema@.whatsapp_home.doubt IS
'What has happened here, as a sentence, after which nothing is sent until wa_adopt() is called; NULL: nothing.';
COMMENT ON COLUMN @extschema@.whatsapp_home.adopted_at IS
'When the extension was created, wa_adopt() called, or the server promoted.';
COMMENT ON COLUMN @extschema@.whatsapp_home.synchronous IS
'Whether no request begins here before its lease is on the standbys that synchronous_standby_names asks for: then a '
'standby that takes over knows of every request.';
COMMENT ON COLUMN @extschema@.whatsapp_home.takeover_at IS
'When this server, promoted, took over from a primary that may have sent more than is known here; NULL: never.';
COMMENT ON COLUMN @extschema@.whatsapp_home.takeover_since IS
'The time of the last transaction that came from there, by its clock; NULL: not known.';
COMMENT ON COLUMN @extschema@.whatsapp_home.takeover_through IS
'The newest message that came from there, until all that may have been sent is held; NULL: it is.';
COMMENT ON COLUMN @extschema@.whatsapp_home.takeover_first IS
'The first transaction of this server: what older ones have written came from there.';
COMMENT ON COLUMN @extschema@.whatsapp_home.takeover_prepared IS
'Messages of transactions that were prepared over there and have not ended: they are held, too, when they are '
'committed. NULL: there is none.';

/* ALWAYS: also where a subscription writes. */
CREATE TRIGGER whatsapp_installation_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.whatsapp_installation
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_config_changed();
ALTER TABLE @extschema@.whatsapp_installation ENABLE ALWAYS TRIGGER whatsapp_installation_changed;
CREATE TRIGGER whatsapp_home_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.whatsapp_home
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_config_changed();
ALTER TABLE @extschema@.whatsapp_home ENABLE ALWAYS TRIGGER whatsapp_home_changed;

CREATE FUNCTION @extschema@.wa_internal_home_token() RETURNS text
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'wa_internal_home_token';
COMMENT ON FUNCTION @extschema@.wa_internal_home_token() IS
'The token that tells this data directory from its copies; NULL if it has none, or one that was copied. Internal.';

CREATE FUNCTION @extschema@.wa_internal_make_home_token() RETURNS text
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_make_home_token';
COMMENT ON FUNCTION @extschema@.wa_internal_make_home_token() IS
'The same, made if there is none. Internal.';

/* ---- the rule --------------------------------------------------------------------- */

/* What is in doubt, as a sentence; NULL if messages are sent from here. */
CREATE FUNCTION @extschema@.wa_internal_home_doubt() RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    cluster CONSTANT bigint := (SELECT c.system_identifier FROM pg_control_system() AS c);
    home @extschema@.whatsapp_home;
    subscribed text;
BEGIN
    SELECT h.* INTO home
        FROM @extschema@.whatsapp_home AS h
            JOIN pg_database AS d ON d.oid = h.database_oid
        WHERE h.system_identifier = cluster AND d.datname = current_database();
    IF NOT FOUND THEN
        RETURN CASE
            WHEN EXISTS (SELECT FROM @extschema@.whatsapp_home AS h WHERE h.system_identifier = cluster)
            THEN 'It is a copy of another database of this cluster.'
            ELSE 'It was copied, or upgraded by pg_upgrade, from another cluster.' END;
    ELSIF home.token IS DISTINCT FROM @extschema@.wa_internal_home_token() THEN
        RETURN 'Its data directory is a copy, or was restored from a backup.';
    ELSIF EXISTS (SELECT FROM @extschema@.whatsapp_installation AS i
                  WHERE i.installation_id <> home.installation_id)
        OR NOT EXISTS (SELECT FROM @extschema@.whatsapp_installation AS i) THEN
        RETURN 'The data of another installation was loaded into it.';
    ELSIF home.doubt IS NOT NULL THEN
        RETURN home.doubt;
    END IF;
    SELECT c.relname INTO subscribed
        FROM pg_subscription_rel AS s
            JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = s.srrelid
                AND d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
            JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'whatsapp_shared'
            JOIN pg_class AS c ON c.oid = s.srrelid
        ORDER BY c.relname LIMIT 1;
    IF FOUND THEN
        RETURN format('A subscription fills its table %I.', subscribed);
    ELSIF NOT EXISTS (SELECT FROM pg_trigger AS t
                      WHERE t.tgrelid = '@extschema@.whatsapp_queue'::regclass
                          AND t.tgname = 'whatsapp_queue_guard' AND t.tgenabled = 'A') THEN
        RETURN 'The triggers of whatsapp_queue were disabled, as for a restore of data.';
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_at_home() RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT @extschema@.wa_internal_home_doubt() IS NULL
$$;

/* For the sender.  copied: the data directory is all that is in doubt. */
CREATE FUNCTION @extschema@.wa_internal_home(OUT installation_id text, OUT doubt text, OUT copied boolean)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (SELECT i.installation_id FROM @extschema@.whatsapp_installation AS i ORDER BY i.created_at LIMIT 1),
           @extschema@.wa_internal_home_doubt(),
           EXISTS (SELECT FROM @extschema@.whatsapp_home AS h, pg_control_system() AS c, pg_database AS d
                   WHERE d.datname = current_database() AND h.system_identifier = c.system_identifier
                       AND h.database_oid = d.oid AND h.doubt IS NULL
                       AND h.token IS DISTINCT FROM @extschema@.wa_internal_home_token())
$$;

/* ---- what changes it --------------------------------------------------------------- */

/* Queue rows were written by nothing of ours: src/enqueue/queue_guard.c. */
CREATE FUNCTION @extschema@.wa_internal_doubt_home() RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE @extschema@.whatsapp_home AS h
    SET doubt = format('Rows were loaded into its table whatsapp_queue at %s.',
                       date_trunc('second', clock_timestamp()))
    FROM pg_control_system() AS c, pg_database AS d
    WHERE d.datname = current_database() AND h.system_identifier = c.system_identifier AND h.database_oid = d.oid
        AND h.doubt IS NULL
$$;

/* This server was promoted: the token that came with the data becomes its own. */
CREATE FUNCTION @extschema@.wa_internal_take_over() RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE @extschema@.whatsapp_home AS h
    SET token = @extschema@.wa_internal_make_home_token(), adopted_at = clock_timestamp()
    FROM pg_control_system() AS c, pg_database AS d
    WHERE d.datname = current_database() AND h.system_identifier = c.system_identifier AND h.database_oid = d.oid
$$;

/* The installation is at home here, whatever was said before. */
CREATE FUNCTION @extschema@.wa_internal_settle_here(installation text) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM @extschema@.whatsapp_home;
    DELETE FROM @extschema@.whatsapp_installation AS i WHERE i.installation_id <> installation;
    INSERT INTO @extschema@.whatsapp_installation (installation_id)
    SELECT installation
    WHERE NOT EXISTS (SELECT FROM @extschema@.whatsapp_installation AS i WHERE i.installation_id = installation);
    INSERT INTO @extschema@.whatsapp_home (system_identifier, database_oid, token, installation_id)
    SELECT c.system_identifier, d.oid, @extschema@.wa_internal_make_home_token(), installation
    FROM pg_control_system() AS c, pg_database AS d
    WHERE d.datname = current_database();
$$;

CREATE FUNCTION @extschema@.wa_internal_new_installation_id() RETURNS text
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT left(gen_random_uuid()::text, 8)
$$;

CREATE FUNCTION @extschema@.wa_adopt(new_identity boolean DEFAULT false) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    doubt text;
    waiting bigint;
BEGIN
    PERFORM @extschema@.wa_internal_check_not_null('new_identity'::text, new_identity);
    IF @extschema@.wa_internal_at_home() AND NOT new_identity THEN
        RAISE NOTICE 'this database has been adopted already';
        RETURN false;
    END IF;
    LOCK TABLE @extschema@.whatsapp_home IN SHARE ROW EXCLUSIVE MODE;
    PERFORM @extschema@.wa_internal_settle_here(COALESCE(
        CASE WHEN NOT new_identity THEN (SELECT h.installation_id FROM @extschema@.wa_internal_home() AS h) END,
        @extschema@.wa_internal_new_installation_id()));
    IF EXISTS (SELECT FROM pg_trigger AS t
               WHERE t.tgrelid = '@extschema@.whatsapp_queue'::regclass
                   AND t.tgname = 'whatsapp_queue_guard' AND t.tgenabled <> 'A') THEN
        ALTER TABLE @extschema@.whatsapp_queue ENABLE ALWAYS TRIGGER whatsapp_queue_guard;
    END IF;
    doubt := @extschema@.wa_internal_home_doubt();
    IF doubt IS NOT NULL THEN
        RAISE EXCEPTION 'cannot adopt this database'
            USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = doubt,
                  HINT = 'Drop the subscription if this is the place from which to send now.';
    END IF;
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
'Makes this place the home of the data, after a restore, a move to another file system or pg_upgrade; until then a '
'copy sends nothing. new_identity: the original installation stays in use beside this one, and its webhooks must not '
'be taken for ours. False, with a NOTICE: it is the home already. Errors: 22004; 55000 while a subscription fills the '
'tables.';

/* ---- two databases of one server ----------------------------------------------------- */

CREATE FUNCTION @extschema@.wa_internal_held_elsewhere(phone_number_id text) RETURNS oid
    LANGUAGE c STRICT STABLE AS 'MODULE_PATHNAME', 'wa_internal_held_elsewhere';
COMMENT ON FUNCTION @extschema@.wa_internal_held_elsewhere(text) IS
'Another database of this server that sends from this number, too; NULL if there is none. Internal.';

CREATE FUNCTION @extschema@.wa_internal_health_shared_numbers()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
        SELECT 'number ' || a.phone_number_id, 'error',
               format('Database "%s" of this server has it, too.', d.datname),
               format('SELECT wa_unassign_phone(%L); in one of the two. Together they exceed the number''s rate, '
                      'and only one of them gets the replies.', a.tenant_id)
        FROM @extschema@.whatsapp_phone_assignments AS a
            JOIN pg_database AS d ON d.oid = @extschema@.wa_internal_held_elsewhere(a.phone_number_id)
        WHERE a.unassigned_at IS NULL AND @extschema@.wa_internal_at_home()
        ORDER BY a.phone_number_id;
END
$$;

SELECT @extschema@.wa_internal_settle_here(@extschema@.wa_internal_new_installation_id());
