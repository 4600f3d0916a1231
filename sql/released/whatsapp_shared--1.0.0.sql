/* The functions of this script are installed by CREATE EXTENSION only. */

\echo Use "CREATE EXTENSION whatsapp_shared" to load this file. \quit
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
/*
 * Between SQL and the processes: waking them, their counters, restarting them.
 */

CREATE FUNCTION @extschema@.wa_internal_wake(phone_number_id text, rank bigint) RETURNS void
    LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_wake';
COMMENT ON FUNCTION @extschema@.wa_internal_wake(text, bigint) IS
'Tells the sender at COMMIT that a queue row of this number has become ready at this rank. Internal.';

CREATE FUNCTION @extschema@.wa_internal_wake_due(due_at timestamptz) RETURNS void
    LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_wake_due';
COMMENT ON FUNCTION @extschema@.wa_internal_wake_due(timestamptz) IS
'Tells the sender at COMMIT that a deferred queue row becomes due then. Internal.';

/* What the sender's acceptance of messages reads: src/sender/store/acceptance.c. */
CREATE FUNCTION @extschema@.wa_internal_accepted_attempt(message_id bigint) RETURNS smallint
    LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_accepted_attempt';
COMMENT ON FUNCTION @extschema@.wa_internal_accepted_attempt(bigint) IS
'In a sender: the attempt of a message whose acceptance it is writing down; NULL otherwise. Internal.';

CREATE FUNCTION @extschema@.wa_internal_accepted_at(message_id bigint) RETURNS timestamptz
    LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_accepted_at';
COMMENT ON FUNCTION @extschema@.wa_internal_accepted_at(bigint) IS
'In a sender: when a message was accepted whose acceptance it is writing down; NULL otherwise. Internal.';

CREATE FUNCTION @extschema@.wa_internal_accepted_text(message_id bigint, what "char") RETURNS text
    LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_accepted_text';
COMMENT ON FUNCTION @extschema@.wa_internal_accepted_text(bigint, "char") IS
'In a sender: what Meta has said of a message whose acceptance it is writing down; NULL otherwise. Internal.';

/*
 * Tells the senders, at COMMIT, that what they keep in memory has changed.
 * Statement triggers: one note however many rows, and nothing else is done, so
 * a restore may fire them.
 */
CREATE FUNCTION @extschema@.wa_internal_config_changed() RETURNS trigger
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_config_changed';
COMMENT ON FUNCTION @extschema@.wa_internal_config_changed() IS
'Trigger function: tells the senders at COMMIT to read tenants, numbers, assignments and pauses again. Internal.';

CREATE FUNCTION @extschema@.wa_internal_wake_launcher() RETURNS void
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_wake_launcher';
COMMENT ON FUNCTION @extschema@.wa_internal_wake_launcher() IS
'Makes the launcher look again at COMMIT for databases that need senders. Internal.';

CREATE FUNCTION @extschema@.wa_internal_credentials_present(credential text DEFAULT 'access_token')
    RETURNS boolean
    LANGUAGE c STRICT STABLE AS 'MODULE_PATHNAME', 'wa_internal_credentials_present';
COMMENT ON FUNCTION @extschema@.wa_internal_credentials_present(text) IS
'Whether the access_token, app_secret or webhook_verify_token is set. Internal.';

CREATE FUNCTION @extschema@.wa_internal_credential_problem(credential text) RETURNS text
    LANGUAGE c STRICT STABLE AS 'MODULE_PATHNAME', 'wa_internal_credential_problem';
COMMENT ON FUNCTION @extschema@.wa_internal_credential_problem(text) IS
'Why the file of the access_token, app_secret or webhook_verify_token cannot be used; NULL if it can. Internal.';

CREATE FUNCTION @extschema@.wa_internal_quote(value text) RETURNS text
    LANGUAGE c STRICT STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_quote';
COMMENT ON FUNCTION @extschema@.wa_internal_quote(text) IS
'The beginning of a value from outside, without control characters, as it may appear in an error. Internal.';

CREATE FUNCTION @extschema@.wa_internal_library_version() RETURNS text
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'wa_internal_library_version';
COMMENT ON FUNCTION @extschema@.wa_internal_library_version() IS
'The version of the library that this server has loaded. Internal.';

CREATE FUNCTION @extschema@.wa_internal_version_served(scripts text) RETURNS boolean
    LANGUAGE c STRICT STABLE AS 'MODULE_PATHNAME', 'wa_internal_version_served';
COMMENT ON FUNCTION @extschema@.wa_internal_version_served(text) IS
'Whether a sender of this library works with SQL scripts of that version. Internal.';

CREATE FUNCTION @extschema@.wa_internal_preloaded() RETURNS boolean
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'wa_internal_preloaded';
COMMENT ON FUNCTION @extschema@.wa_internal_preloaded() IS
'Whether the library was loaded when the server started, without which nothing is sent. Internal.';

CREATE FUNCTION @extschema@.wa_internal_unserved_databases() RETURNS SETOF name
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'wa_internal_unserved_databases';
COMMENT ON FUNCTION @extschema@.wa_internal_unserved_databases() IS
'The databases of whatsapp_shared.databases in which a sender found no extension. Internal.';

CREATE FUNCTION @extschema@.wa_internal_sender_of(phone_number_id text, senders integer) RETURNS integer
    LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_sender_of';
COMMENT ON FUNCTION @extschema@.wa_internal_sender_of(text, integer) IS
'Which of so many senders sends from this number. Internal.';

CREATE FUNCTION @extschema@.wa_stats(
    OUT database name,
    OUT sender integer,
    OUT senders integer,
    OUT pid integer,
    OUT started_at timestamptz,
    OUT requests bigint,
    OUT accepted bigint,
    OUT failed bigint,
    OUT retried bigint,
    OUT throttled bigint,
    OUT uncertain bigint,
    OUT cycles bigint,
    OUT errors bigint,
    OUT in_flight integer,
    OUT connections integer,
    OUT last_cycle_at timestamptz
) RETURNS SETOF record
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_stats';
COMMENT ON FUNCTION @extschema@.wa_stats() IS
'One row for each sender of this database: its process, and its counters since the server started or the number of '
'senders changed.';

CREATE FUNCTION @extschema@.wa_worker_restart() RETURNS integer
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_worker_restart';
COMMENT ON FUNCTION @extschema@.wa_worker_restart() IS
'Makes the senders of this database record what is on the wire, exit and start anew. Returns how many there are.';

/* When this commits, the launcher starts senders for this database if it is listed. */
SELECT @extschema@.wa_internal_wake_launcher();
/*
 * What the caller may have meant: hints of errors about names that do not exist.
 */

CREATE FUNCTION @extschema@.wa_internal_did_you_mean(given text, known text[]) RETURNS text
    LANGUAGE c STRICT STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_did_you_mean';
COMMENT ON FUNCTION @extschema@.wa_internal_did_you_mean(text, text[]) IS
'The sentence of a hint that names those of the known names for which the given one may be a slip of the pen; case '
'and spaces around a name do not count. NULL: there is none. Internal.';

/* Digits are what counts: the same number may be written in many ways. */
CREATE FUNCTION @extschema@.wa_internal_same_number(a text, b text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT regexp_replace(a, '[^0-9]', '', 'g') IS NOT DISTINCT FROM regexp_replace(b, '[^0-9]', '', 'g')
$$;

/* What every ID that Meta gives looks like. */
CREATE FUNCTION @extschema@.wa_internal_is_meta_id(candidate text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT candidate ~ '^[1-9][0-9]{4,19}$'
$$;

/* For arguments that a function cannot do without. */
CREATE FUNCTION @extschema@.wa_internal_check_not_null(name text, given anyelement) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF given IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null', name USING ERRCODE = 'null_value_not_allowed';
    END IF;
END
$$;
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
'be taken for ours. False, with a NOTICE: it is the home already. Error: 55000 while a subscription fills the tables.';

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
/*
 * Alerts: what an operator should look at, as rows and as NOTIFY.
 */

CREATE TABLE @extschema@.whatsapp_alerts (
    alert_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at      timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    severity        text NOT NULL
        CONSTRAINT whatsapp_alerts_severity_check CHECK (severity IN ('info', 'warning', 'error')),
    kind            text NOT NULL,
    scope           text NOT NULL DEFAULT '',
    key             text NOT NULL DEFAULT '',
    message         text NOT NULL,
    detail          jsonb,
    occurrences     integer NOT NULL DEFAULT 1,
    last_seen_at    timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    resolved_at     timestamptz
);
CREATE UNIQUE INDEX whatsapp_alerts_open_key
    ON @extschema@.whatsapp_alerts (kind, scope, key)
    WHERE resolved_at IS NULL;
COMMENT ON TABLE @extschema@.whatsapp_alerts IS
'What an operator should look at. A repeated condition is counted on its open alert; each new alert is also sent as '
'NOTIFY whatsapp_alerts.';
COMMENT ON COLUMN @extschema@.whatsapp_alerts.alert_id IS 'The argument of wa_resolve_alert().';
COMMENT ON COLUMN @extschema@.whatsapp_alerts.created_at IS 'When the condition was first noticed.';
COMMENT ON COLUMN @extschema@.whatsapp_alerts.severity IS 'info, warning or error.';
COMMENT ON COLUMN @extschema@.whatsapp_alerts.kind IS
'What happened, as a code, such as paused, token or webhook_silence.';
COMMENT ON COLUMN @extschema@.whatsapp_alerts.scope IS
'What the alert concerns: account, number, tenant, template, message; empty for others.';
COMMENT ON COLUMN @extschema@.whatsapp_alerts.key IS 'Which one of the scope; empty for the account.';
COMMENT ON COLUMN @extschema@.whatsapp_alerts.message IS 'One sentence for people.';
COMMENT ON COLUMN @extschema@.whatsapp_alerts.detail IS 'Further facts, by kind.';
COMMENT ON COLUMN @extschema@.whatsapp_alerts.occurrences IS
'How often the condition was noticed while the alert was open.';
COMMENT ON COLUMN @extschema@.whatsapp_alerts.last_seen_at IS 'When it was last noticed.';
COMMENT ON COLUMN @extschema@.whatsapp_alerts.resolved_at IS
'When the alert was closed, by wa_resolve_alert() or because the cause was gone; NULL while it is open.';

/*
 * Opens an alert, or counts up the open one of the same kind, scope and key.
 * Listeners hear of new ones and of those that have become worse.
 */
CREATE FUNCTION @extschema@.wa_internal_alert(
    a_severity text,
    a_kind text,
    a_scope text,
    a_key text,
    a_message text,
    a_detail jsonb DEFAULT NULL)
RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ranks CONSTANT text[] := '{info,warning,error}';
    before text;
    id bigint;
BEGIN
    SELECT a.severity INTO before FROM @extschema@.whatsapp_alerts AS a
        WHERE a.kind = a_kind AND a.scope = COALESCE(a_scope, '') AND a.key = COALESCE(a_key, '')
            AND a.resolved_at IS NULL
        FOR UPDATE;
    INSERT INTO @extschema@.whatsapp_alerts AS a (severity, kind, scope, key, message, detail)
        VALUES (a_severity, a_kind, COALESCE(a_scope, ''), COALESCE(a_key, ''), a_message, a_detail)
        ON CONFLICT (kind, scope, key) WHERE resolved_at IS NULL DO UPDATE
        SET severity = EXCLUDED.severity, message = EXCLUDED.message, detail = EXCLUDED.detail,
            occurrences = a.occurrences + 1, last_seen_at = EXCLUDED.last_seen_at
        RETURNING a.alert_id INTO id;
    IF before IS NULL
       OR array_position(ranks, a_severity) > array_position(ranks, before) THEN
        /* A payload must stay under 8000 bytes; the row has the rest. */
        PERFORM pg_notify('whatsapp_alerts', json_build_object(
            'alert_id', id, 'severity', a_severity, 'kind', a_kind,
            'scope', a_scope, 'key', left(a_key, 300),
            'message', left(a_message, 600))::text);
    END IF;
    RETURN id;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_resolve_alert(a_kind text, a_scope text, a_key text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE @extschema@.whatsapp_alerts AS a
        SET resolved_at = clock_timestamp()
        WHERE a.kind = a_kind AND a.scope = COALESCE(a_scope, '') AND a.key = COALESCE(a_key, '')
            AND a.resolved_at IS NULL;
    RETURN FOUND;
END
$$;

CREATE FUNCTION @extschema@.wa_resolve_alert(alert_id bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_check_not_null('alert_id'::text, alert_id);
    UPDATE @extschema@.whatsapp_alerts AS a
        SET resolved_at = clock_timestamp()
        WHERE a.alert_id = wa_resolve_alert.alert_id AND a.resolved_at IS NULL;
    IF NOT FOUND AND NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_alerts AS a WHERE a.alert_id = wa_resolve_alert.alert_id) THEN
        RAISE EXCEPTION 'alert % does not exist', alert_id USING ERRCODE = 'undefined_object';
    END IF;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_resolve_alert(bigint) IS
'Closes an alert that has been dealt with. If its cause returns, a new alert is opened. False: it was closed already.';
/*
 * Pauses: what must not be sent now, why, and until when.
 *
 * A pause never counts as an attempt.  It ends by its time, by wa_resume(), or
 * (if it was set automatically) by the event that shows its cause has gone.
 * A pause that a person has set is touched by persons only.
 */

CREATE TABLE @extschema@.whatsapp_pauses (
    scope      text NOT NULL
        CONSTRAINT whatsapp_pauses_scope_check
        CHECK (scope IN ('account', 'number', 'tenant', 'template')),
    key        text NOT NULL DEFAULT '',
    reason     text NOT NULL,
    detail     text,
    error_code integer,
    automatic  boolean NOT NULL DEFAULT false,
    paused_at  timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    until      timestamptz,
    PRIMARY KEY (scope, key)
);
COMMENT ON TABLE @extschema@.whatsapp_pauses IS
'What is paused now, why, and until when. An operator''s pause ends at its time or by wa_resume(), an automatic one '
'also when its cause has gone.';
COMMENT ON COLUMN @extschema@.whatsapp_pauses.scope IS 'account, number, tenant or template.';
COMMENT ON COLUMN @extschema@.whatsapp_pauses.key IS
'Empty for the account; a phone_number_id, a tenant_id, or a template as name/language or name.';
COMMENT ON COLUMN @extschema@.whatsapp_pauses.reason IS
'Given by the operator, or a code such as error_131048 or quality_red.';
COMMENT ON COLUMN @extschema@.whatsapp_pauses.detail IS 'What Meta said, for an automatic pause.';
COMMENT ON COLUMN @extschema@.whatsapp_pauses.error_code IS 'The Graph API error code that caused it, if one did.';
COMMENT ON COLUMN @extschema@.whatsapp_pauses.automatic IS
'Whether the extension paused it by itself. Only such a pause ends when its cause has gone.';
COMMENT ON COLUMN @extschema@.whatsapp_pauses.paused_at IS 'When the pause began.';
COMMENT ON COLUMN @extschema@.whatsapp_pauses.until IS
'When it ends by itself; NULL: by wa_resume(), or when its cause has gone.';

CREATE TRIGGER whatsapp_pauses_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.whatsapp_pauses
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_config_changed();

/* The number of this key; raises if there is none. */
CREATE FUNCTION @extschema@.wa_internal_pause_key_number(key text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written CONSTANT text := @extschema@.wa_internal_number_written(key);
BEGIN
    IF EXISTS (SELECT FROM @extschema@.whatsapp_phone_numbers AS p WHERE p.phone_number_id = key)
       OR key = NULLIF(current_setting('whatsapp_shared.phone_number_id', true), '') THEN
        RETURN key;
    END IF;
    RAISE EXCEPTION 'phone number "%" does not exist', @extschema@.wa_internal_quote(key)
        USING ERRCODE = 'undefined_object',
              HINT = COALESCE(
                  'Its phone_number_id is "' || written || '".',
                  @extschema@.wa_internal_did_you_mean(key,
                      ARRAY(SELECT p.phone_number_id FROM @extschema@.whatsapp_phone_numbers AS p)),
                  'The key is a phone_number_id of whatsapp_phone_numbers.');
END
$$;

/*
 * The template of this key; raises if Meta's list, once it has been read, has
 * none.  A pause that was set before the template vanished remains.
 */
CREATE FUNCTION @extschema@.wa_internal_pause_key_template(key text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF key !~ '^[a-z0-9_]+(/[A-Za-z0-9_]{2,16})?$' THEN
        RAISE EXCEPTION 'invalid template "%"', @extschema@.wa_internal_quote(key)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Write name/language, such as "pedido_listo/es", '
                         'or the name alone for all its languages.';
    ELSIF EXISTS (SELECT FROM @extschema@.whatsapp_templates AS t
                  WHERE key IN (t.name, t.name || '/' || t.language)) THEN
        RETURN key;
    ELSIF @extschema@.wa_internal_listed('templates'::text) IS NULL THEN
        RAISE NOTICE 'template "%" was not checked', key
            USING DETAIL = 'The templates have not been read from Meta yet.';
        RETURN key;
    END IF;
    PERFORM @extschema@.wa_internal_unknown_template(split_part(key, '/', 1), NULLIF(split_part(key, '/', 2), ''));
    RETURN NULL;
END
$$;

/* The key in its stored form; raises if there is no such thing to pause. */
CREATE FUNCTION @extschema@.wa_internal_pause_key(scope text, key text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    scopes CONSTANT text[] := '{account,number,tenant,template}';
BEGIN
    PERFORM @extschema@.wa_internal_check_not_null('scope'::text, scope);
    IF scope <> ALL (scopes) THEN
        RAISE EXCEPTION 'unknown scope "%"', @extschema@.wa_internal_quote(scope)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = CASE WHEN key = ANY (scopes)
                      THEN format('The arguments seem to be swapped: the scope "%s" comes first.', key)
                      ELSE 'Use account, number, tenant or template.' END;
    ELSIF scope = 'account' THEN
        IF COALESCE(key, '') <> '' THEN
            RAISE EXCEPTION 'the account has no key'
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = 'There is one account; leave the key out.';
        END IF;
        RETURN '';
    END IF;
    PERFORM @extschema@.wa_internal_check_not_null('key'::text, key);
    CASE scope
        WHEN 'number' THEN
            RETURN @extschema@.wa_internal_pause_key_number(key);
        WHEN 'tenant' THEN
            PERFORM @extschema@.wa_internal_check_tenant_exists(key);
            RETURN key;
        WHEN 'template' THEN
            RETURN @extschema@.wa_internal_pause_key_template(key);
    END CASE;
END
$$;

CREATE FUNCTION @extschema@.wa_pause(
    scope text,
    key text DEFAULT NULL,
    reason text DEFAULT 'paused by an operator',
    until timestamptz DEFAULT NULL)
RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    what CONSTANT text := @extschema@.wa_internal_pause_key(scope, key);
BEGIN
    IF COALESCE(reason, '') !~ '[^[:space:]]' THEN
        RAISE EXCEPTION 'a pause needs a reason'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'wa_explain() shows it to whoever asks why a message waits.';
    ELSIF until <= clock_timestamp() THEN
        RAISE EXCEPTION 'the end of a pause must be in the future'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO @extschema@.whatsapp_pauses AS p (scope, key, reason, until)
        VALUES (scope, what, reason, NULLIF(until, 'infinity'))
        ON CONFLICT ON CONSTRAINT whatsapp_pauses_pkey DO UPDATE
        SET reason = EXCLUDED.reason, until = EXCLUDED.until, detail = NULL, error_code = NULL,
            automatic = false;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_pause(text, text, text, timestamptz) IS
'Stops sending for the account, a number, a tenant or a template, until the given time or wa_resume(). Messages keep '
'their place in the queue, and no attempt is counted. Errors: 22004, 22023; 42704 there is no such number, tenant or '
'template.';

/*
 * A pause set by the program.  A person's pause stays as it is; an automatic
 * one is extended, never shortened (NULL: until something lifts it), and goes
 * by the reason that lasts longest.  True if it was not paused before.
 */
CREATE FUNCTION @extschema@.wa_internal_pause(
    scope text,
    key text,
    reason text,
    detail text,
    error_code integer,
    until timestamptz)
RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    fresh boolean;
BEGIN
    INSERT INTO @extschema@.whatsapp_pauses AS p (scope, key, reason, detail, error_code, automatic, until)
        VALUES (scope, COALESCE(key, ''), reason, detail, error_code, true, NULLIF(until, 'infinity'))
        ON CONFLICT ON CONSTRAINT whatsapp_pauses_pkey DO UPDATE
        SET reason = EXCLUDED.reason, detail = EXCLUDED.detail, error_code = EXCLUDED.error_code,
            until = EXCLUDED.until
        WHERE p.automatic
            AND COALESCE(EXCLUDED.until, 'infinity') > COALESCE(p.until, 'infinity')
        RETURNING p.xmax = 0 INTO fresh;
    IF fresh THEN
        PERFORM @extschema@.wa_internal_alert(
            CASE WHEN scope = 'account' OR until IS NULL THEN 'error' ELSE 'warning' END,
            'paused'::text, scope, COALESCE(key, ''),
            format('Sending is paused for %s: %s',
                concat_ws(' ', 'the ' || scope, NULLIF(key, '')), COALESCE(detail, reason)),
            jsonb_strip_nulls(jsonb_build_object(
                'reason', reason, 'error_code', error_code, 'until', until)));
    END IF;
    RETURN COALESCE(fresh, false);
END
$$;

/* Removes the pause if it is there, and lets go what it held. */
CREATE FUNCTION @extschema@.wa_internal_lift_pause(scope text, key text, automatic_only boolean) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    /* Looking first: a DELETE of nothing would wake the senders for nothing. */
    IF NOT EXISTS (SELECT FROM @extschema@.whatsapp_pauses AS p
                   WHERE p.scope = scope AND p.key = COALESCE(key, '')
                       AND (p.automatic OR NOT automatic_only)) THEN
        RETURN false;
    END IF;
    DELETE FROM @extschema@.whatsapp_pauses AS p
        WHERE p.scope = scope AND p.key = COALESCE(key, '') AND (p.automatic OR NOT automatic_only);
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM @extschema@.wa_internal_release_holds(scope || '_paused',
        tenant => CASE scope WHEN 'tenant' THEN key END,
        number => CASE scope WHEN 'number' THEN key END,
        template => CASE scope WHEN 'template' THEN key END);
    PERFORM @extschema@.wa_internal_resolve_alert('paused'::text, scope, COALESCE(key, ''));
    RETURN true;
END
$$;

CREATE FUNCTION @extschema@.wa_resume(scope text, key text DEFAULT NULL) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    /* What is paused may be resumed, whether it still exists or not. */
    IF NOT EXISTS (SELECT FROM @extschema@.whatsapp_pauses AS p
                   WHERE p.scope = wa_resume.scope AND p.key = COALESCE(wa_resume.key, '')) THEN
        PERFORM @extschema@.wa_internal_pause_key(scope, key);
    END IF;
    IF NOT @extschema@.wa_internal_lift_pause(scope, key, false) THEN
        RAISE NOTICE '% is not paused', concat_ws(' ', scope, NULLIF(key, ''));
        RETURN false;
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_resume(text, text) IS
'Ends a pause, manual or automatic, and releases the messages it held. False, with a NOTICE: there was none. Errors '
'as in wa_pause().';

/*
 * For the senders: removes the pauses whose time has come, and says whether
 * there were any and when the next one ends (NULL: none has an end).  What they
 * held may be a hundred thousand messages, some of them locked: the sender lets
 * go of it page by page (wa_internal_release_stale_holds), while it sends.
 */
CREATE FUNCTION @extschema@.wa_internal_resume_due(OUT next_end timestamptz, OUT lifted boolean)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    due record;
BEGIN
    lifted := false;
    FOR due IN
        SELECT p.scope, p.key FROM @extschema@.whatsapp_pauses AS p
        WHERE p.until <= clock_timestamp()
        ORDER BY p.scope, p.key
        FOR UPDATE SKIP LOCKED
    LOOP
        DELETE FROM @extschema@.whatsapp_pauses AS p WHERE p.scope = due.scope AND p.key = due.key;
        PERFORM @extschema@.wa_internal_resolve_alert('paused'::text, due.scope, due.key);
        lifted := true;
    END LOOP;
    SELECT min(p.until) INTO next_end FROM @extschema@.whatsapp_pauses AS p;
END
$$;

/* Lifts an automatic pause if its reason is one of these; others have another cause. */
CREATE FUNCTION @extschema@.wa_internal_lift_pause_for(scope text, key text, reasons text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    IF EXISTS (SELECT FROM @extschema@.whatsapp_pauses AS p
               WHERE p.scope = wa_internal_lift_pause_for.scope
                   AND p.key = COALESCE(wa_internal_lift_pause_for.key, '')
                   AND p.automatic AND p.reason ~ reasons) THEN
        RETURN @extschema@.wa_internal_lift_pause(scope, key, true);
    END IF;
    RETURN false;
END
$$;
/*
 * Tenants and their own settings.
 *
 * Public functions are SECURITY DEFINER so that the roles named to wa_grant()
 * need no right on any table; what each may call is decided in
 * 99-privileges.sql.  Functions named wa_internal_… run with the rights of the
 * function that called them and are granted to nobody.
 */

/* The words of on_uncertain, here and for a single message; see src/enqueue/checks.c. */
CREATE FUNCTION @extschema@.wa_internal_is_uncertain_policy(word text) RETURNS boolean
    LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_is_uncertain_policy';
COMMENT ON FUNCTION @extschema@.wa_internal_is_uncertain_policy(text) IS
'Whether this is a policy for uncertain messages: auto, resend, park or fail. Internal.';

/*
 * Rates have the bounds of the setting (WA_MIN_RATE): with one near 0 the next
 * message would be due after the end of time.
 */

CREATE TABLE @extschema@.whatsapp_tenants (
    tenant_id           text COLLATE "C" PRIMARY KEY
        CONSTRAINT whatsapp_tenants_tenant_id_check
        /* The rule of wa_internal_check_tenant_id(), white space by the same collation. */
        CHECK (tenant_id COLLATE "default" ~ '[^[:space:]]' AND pg_catalog.length(tenant_id) <= 255),
    enabled             boolean NOT NULL DEFAULT true,
    language            text,
    messages_per_second real
        CONSTRAINT whatsapp_tenants_rate_check CHECK (messages_per_second BETWEEN 0.01::real AND 10000),
    daily_share         real
        CONSTRAINT whatsapp_tenants_daily_share_check CHECK (daily_share >= 0 AND daily_share <= 1),
    quiet_from          time,
    quiet_to            time,
    time_zone           text,
    on_uncertain        text
        CONSTRAINT whatsapp_tenants_on_uncertain_check
        CHECK (@extschema@.wa_internal_is_uncertain_policy(on_uncertain)),
    retention           interval
        CONSTRAINT whatsapp_tenants_retention_check
        CHECK (retention = interval '0' OR retention >= interval '1 day'),
    created_at          timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at          timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT whatsapp_tenants_quiet_hours_check CHECK ((quiet_from IS NULL) = (quiet_to IS NULL))
);
COMMENT ON TABLE @extschema@.whatsapp_tenants IS
'The tenants and their own settings; NULL means the installation''s default.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.tenant_id IS 'The application''s own identifier of the tenant, as text.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.enabled IS
'False: new messages are stored as skipped, queued ones are held.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.language IS
'Template language for messages that name none; NULL: whatsapp_shared.default_language.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.messages_per_second IS
'The tenant''s own rate limit; NULL: that of its number.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.daily_share IS
'Guaranteed share (0 to 1) of the portfolio''s limit of unique recipients in 24 hours.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.quiet_from IS
'Local time at which quiet hours begin; NULL: the tenant has none.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.quiet_to IS
'Local time at which quiet hours end; before quiet_from if they span midnight.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.time_zone IS
'Time zone of the quiet hours; NULL: the server''s log_timezone.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.on_uncertain IS
'What happens to uncertain messages: auto, resend, park or fail; NULL: whatsapp_shared.uncertain_policy.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.retention IS
'How long finished messages are kept; NULL: whatsapp_shared.retention.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.created_at IS 'When the tenant was created.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.updated_at IS 'When its settings were last changed.';

CREATE TRIGGER whatsapp_tenants_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.whatsapp_tenants
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_config_changed();

/* ---- checks: each rule and its text exist once --------------------------- */

CREATE FUNCTION @extschema@.wa_internal_check_tenant_id(candidate text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF candidate IS NULL THEN
        RAISE EXCEPTION 'tenant_id must not be null' USING ERRCODE = 'null_value_not_allowed';
    ELSIF candidate = '' OR length(candidate) > 255 THEN
        RAISE EXCEPTION 'tenant_id must have 1 to 255 characters'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('It has %s.', length(candidate));
    ELSIF candidate !~ '[^[:space:]]' THEN
        RAISE EXCEPTION 'tenant_id must not be blank'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'It consists of white space only.';
    END IF;
    RETURN candidate;
END
$$;

/* The same rule, and the same words, as for the language of a message. */
CREATE FUNCTION @extschema@.wa_internal_check_language(candidate text) RETURNS text
    LANGUAGE c IMMUTABLE PARALLEL SAFE STRICT AS 'MODULE_PATHNAME', 'wa_internal_check_language';
COMMENT ON FUNCTION @extschema@.wa_internal_check_language(text) IS
'Returns a code of a language as it is, and refuses what is none (22023). Internal.';

CREATE FUNCTION @extschema@.wa_internal_check_time_zone(candidate text) RETURNS text
    LANGUAGE plpgsql STABLE PARALLEL SAFE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_timezone_names AS z WHERE z.name = candidate) THEN
        RAISE EXCEPTION 'unknown time zone "%"', @extschema@.wa_internal_quote(candidate)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Use a name from the view pg_timezone_names, such as "Europe/Madrid".';
    END IF;
    RETURN candidate;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_check_share(tenant text, candidate real) RETURNS real
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    taken numeric;
BEGIN
    IF candidate < 0 OR candidate > 1 OR candidate = 'NaN' THEN
        RAISE EXCEPTION 'daily_share must be between 0 and 1'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT COALESCE(sum(t.daily_share::numeric), 0) INTO taken
        FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id <> tenant;
    IF candidate IS NOT NULL AND taken + candidate::numeric > 1 THEN
        RAISE EXCEPTION 'daily_share % is more than is left', candidate
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('The other tenants are guaranteed %s in total; the sum must not exceed 1.', taken);
    END IF;
    RETURN candidate;
END
$$;

/*
 * What a tenant that is to be created must not be called: it would be the tenant
 * of a slip, beside the one that was meant.
 */
CREATE FUNCTION @extschema@.wa_internal_check_new_tenant(candidate text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    resembled text;
BEGIN
    PERFORM @extschema@.wa_internal_check_tenant_id(candidate);
    IF candidate ~ '^[[:space:]]|[[:space:]]$' THEN
        RAISE EXCEPTION 'tenant_id must not begin or end with white space'
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF EXISTS (SELECT FROM @extschema@.whatsapp_phone_numbers AS p WHERE p.phone_number_id = candidate) THEN
        RAISE EXCEPTION 'tenant_id "%" is the phone_number_id of a number', candidate
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'The tenant comes first: wa_assign_phone(tenant_id, phone_number_id).';
    END IF;
    SELECT t.tenant_id INTO resembled FROM @extschema@.whatsapp_tenants AS t
        WHERE lower(btrim(t.tenant_id)) = lower(candidate) AND t.tenant_id <> candidate
        LIMIT 1;
    IF FOUND THEN
        RAISE WARNING 'tenant "%" is new, and differs from tenant "%" only in case or spaces',
            @extschema@.wa_internal_quote(candidate), @extschema@.wa_internal_quote(resembled);
    END IF;
    RETURN candidate;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_create_tenant(tenant text) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO @extschema@.whatsapp_tenants (tenant_id)
    SELECT @extschema@.wa_internal_check_new_tenant(tenant)
    WHERE NOT EXISTS (SELECT FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = tenant)
    ON CONFLICT DO NOTHING
$$;

/* Roles that are bound to a tenant may do nothing for another; see src/base/tenant_role.c. */
CREATE FUNCTION @extschema@.wa_internal_check_own_tenant(tenant text) RETURNS void
    LANGUAGE c STRICT STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_check_own_tenant';
COMMENT ON FUNCTION @extschema@.wa_internal_check_own_tenant(text) IS
'Raises an error if a role of the session is bound to another tenant. Internal.';

CREATE FUNCTION @extschema@.wa_internal_tenant_hint(tenant text, beside text) RETURNS text
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_tenant_hint';
COMMENT ON FUNCTION @extschema@.wa_internal_tenant_hint(text, text) IS
'What may be meant by a tenant that does not exist; beside: the argument that it may have been exchanged for. '
'Internal.';

CREATE FUNCTION @extschema@.wa_internal_unknown_tenant(tenant text, beside text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_check_tenant_id(tenant);
    RAISE EXCEPTION 'tenant "%" does not exist', @extschema@.wa_internal_quote(tenant)
        USING ERRCODE = 'undefined_object',
              HINT = @extschema@.wa_internal_tenant_hint(tenant, beside);
END
$$;

/* For functions of a tenant that must exist. */
CREATE FUNCTION @extschema@.wa_internal_check_tenant_exists(tenant text, beside text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = tenant) THEN
        PERFORM @extschema@.wa_internal_unknown_tenant(tenant, beside);
    END IF;
END
$$;

/* ---- wa_configure_tenant -------------------------------------------------- */

CREATE FUNCTION @extschema@.wa_configure_tenant(
    tenant_id text,
    enabled boolean DEFAULT NULL,
    language text DEFAULT NULL,
    messages_per_second real DEFAULT NULL,
    quiet_from time DEFAULT NULL,
    quiet_to time DEFAULT NULL,
    time_zone text DEFAULT NULL,
    on_uncertain text DEFAULT NULL,
    daily_share real DEFAULT NULL,
    retention interval DEFAULT NULL,
    reset text[] DEFAULT '{}',
    is_new boolean DEFAULT false)
RETURNS @extschema@.whatsapp_tenants
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    known CONSTANT text[] := '{language,messages_per_second,quiet_hours,time_zone,on_uncertain,daily_share,retention}';
    a wa_configure_tenant.reset%TYPE := COALESCE(wa_configure_tenant.reset, '{}');
    old @extschema@.whatsapp_tenants;
    new @extschema@.whatsapp_tenants;
    word text;
BEGIN
    PERFORM @extschema@.wa_internal_check_tenant_id(wa_configure_tenant.tenant_id);
    FOREACH word IN ARRAY a LOOP
        IF word IS NULL OR word <> ALL (known) THEN
            RAISE EXCEPTION 'cannot reset "%"', @extschema@.wa_internal_quote(word)
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = format('These can be reset: %s.', array_to_string(known, ', '));
        END IF;
    END LOOP;

    /* The sum of the shares is a rule over all rows: one change at a time. */
    IF wa_configure_tenant.daily_share IS NOT NULL THEN
        LOCK TABLE @extschema@.whatsapp_tenants IN SHARE ROW EXCLUSIVE MODE;
    END IF;

    IF wa_configure_tenant.is_new THEN
        PERFORM @extschema@.wa_internal_create_tenant(wa_configure_tenant.tenant_id);
    ELSE
        PERFORM @extschema@.wa_internal_check_tenant_exists(wa_configure_tenant.tenant_id);
    END IF;
    SELECT t.* INTO STRICT old FROM @extschema@.whatsapp_tenants AS t
        WHERE t.tenant_id = wa_configure_tenant.tenant_id FOR NO KEY UPDATE;

    new := old;
    IF 'language' = ANY (a) THEN new.language := NULL; END IF;
    IF 'messages_per_second' = ANY (a) THEN new.messages_per_second := NULL; END IF;
    IF 'quiet_hours' = ANY (a) THEN new.quiet_from := NULL; new.quiet_to := NULL; END IF;
    IF 'time_zone' = ANY (a) THEN new.time_zone := NULL; END IF;
    IF 'on_uncertain' = ANY (a) THEN new.on_uncertain := NULL; END IF;
    IF 'daily_share' = ANY (a) THEN new.daily_share := NULL; END IF;
    IF 'retention' = ANY (a) THEN new.retention := NULL; END IF;

    new.enabled := COALESCE(wa_configure_tenant.enabled, new.enabled);
    new.language := COALESCE(@extschema@.wa_internal_check_language(wa_configure_tenant.language), new.language);
    new.messages_per_second := COALESCE(wa_configure_tenant.messages_per_second, new.messages_per_second);
    new.quiet_from := COALESCE(wa_configure_tenant.quiet_from, new.quiet_from);
    new.quiet_to := COALESCE(wa_configure_tenant.quiet_to, new.quiet_to);
    new.time_zone := COALESCE(@extschema@.wa_internal_check_time_zone(wa_configure_tenant.time_zone), new.time_zone);
    new.on_uncertain := COALESCE(wa_configure_tenant.on_uncertain, new.on_uncertain);
    new.daily_share := COALESCE(
        @extschema@.wa_internal_check_share(old.tenant_id, wa_configure_tenant.daily_share), new.daily_share);
    new.retention := COALESCE(wa_configure_tenant.retention, new.retention);
    PERFORM @extschema@.wa_internal_check_tenant(new);

    IF new IS NOT DISTINCT FROM old THEN
        RETURN old;
    END IF;
    new.updated_at := clock_timestamp();
    UPDATE @extschema@.whatsapp_tenants AS t
        SET enabled = new.enabled, language = new.language,
            messages_per_second = new.messages_per_second,
            quiet_from = new.quiet_from, quiet_to = new.quiet_to, time_zone = new.time_zone,
            on_uncertain = new.on_uncertain, daily_share = new.daily_share,
            retention = new.retention, updated_at = new.updated_at
        WHERE t.tenant_id = new.tenant_id;

    /* What waited for the old settings looks at the new ones. */
    IF new.enabled AND NOT old.enabled THEN
        PERFORM @extschema@.wa_internal_release_holds('tenant_disabled'::text, tenant => new.tenant_id);
    END IF;
    IF (new.quiet_from, new.quiet_to, new.time_zone) IS DISTINCT FROM (old.quiet_from, old.quiet_to, old.time_zone) THEN
        PERFORM @extschema@.wa_internal_release_holds('quiet_hours'::text, tenant => new.tenant_id);
        PERFORM @extschema@.wa_internal_begin_quiet_hours();
    END IF;
    RETURN new;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_configure_tenant(text, boolean, text, real, time, time, text, text, real,
    interval, text[], boolean) IS
'Changes the settings of a tenant. NULL leaves a setting as it is; naming it in reset returns it to the '
'installation''s default. is_new: the tenant is created if it does not exist, and has no number then '
'(wa_assign_phone() creates a tenant with one). Errors: 22004, 22023; 42704 no such tenant.';

/* The rules that the table's constraints state, in words a person can act on. */
CREATE FUNCTION @extschema@.wa_internal_check_tenant(t @extschema@.whatsapp_tenants) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF t.messages_per_second NOT BETWEEN 0.01::real AND 10000 THEN
        RAISE EXCEPTION 'messages_per_second must be between 0.01 and 10000'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'To stop a tenant, use enabled => false or wa_pause().';
    ELSIF NOT @extschema@.wa_internal_is_uncertain_policy(t.on_uncertain) THEN
        RAISE EXCEPTION 'unknown policy "%" for on_uncertain', @extschema@.wa_internal_quote(t.on_uncertain)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Use auto, resend, park or fail.';
    ELSIF (t.quiet_from IS NULL) <> (t.quiet_to IS NULL) OR t.quiet_from = t.quiet_to THEN
        RAISE EXCEPTION 'quiet hours need a start and a different end'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give quiet_from and quiet_to together; reset => ''{quiet_hours}'' removes them.';
    ELSIF t.retention < interval '0' THEN
        RAISE EXCEPTION 'retention must not be negative'
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF t.retention > interval '0' AND t.retention < interval '1 day' THEN
        RAISE EXCEPTION 'retention of % is less than a day', t.retention
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give the unit along with the number, as in ''30 days''; 0 keeps all.';
    END IF;
END
$$;
/*
 * Which tenant has which number.
 *
 * Two partial unique indexes on whatsapp_phone_assignments make an assignment
 * exclusive both ways, whatever runs at the same time; the functions here only
 * turn a conflict into an error that names the holder.  They insert with ON
 * CONFLICT DO NOTHING, which waits for an assignment that is still being made
 * or ended elsewhere and then decides by its outcome; at the isolation levels
 * above READ COMMITTED it raises a serialization failure instead.
 */

CREATE TABLE @extschema@.whatsapp_phone_numbers (
    phone_number_id      text COLLATE "C" PRIMARY KEY
        CONSTRAINT whatsapp_phone_numbers_id_check CHECK (phone_number_id ~ '^[0-9]{5,20}$'),
    display_phone_number text,
    verified_name        text,
    status               text,
    quality_rating       text,
    code_verification_status text,
    name_status          text,
    platform_type        text,
    account_mode         text,
    throughput_level     text,
    messaging_limit      text,
    messages_per_second  real
        CONSTRAINT whatsapp_phone_numbers_rate_check CHECK (messages_per_second BETWEEN 0.01::real AND 10000),
    rate_factor          real NOT NULL DEFAULT 1
        CONSTRAINT whatsapp_phone_numbers_rate_factor_check CHECK (rate_factor > 0 AND rate_factor <= 1),
    rate_reason          text,
    flagged_at           timestamptz,
    limit_lowered_from   text,
    source               text NOT NULL DEFAULT 'manual'
        CONSTRAINT whatsapp_phone_numbers_source_check CHECK (source IN ('manual', 'sync')),
    synced_at            timestamptz,
    missing_since        timestamptz,
    created_at           timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE @extschema@.whatsapp_phone_numbers IS
'The phone numbers of the WhatsApp Business account, entered by hand or read from Meta.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.phone_number_id IS 'Meta''s ID of the number.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.display_phone_number IS 'The phone number as people write it.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.verified_name IS 'The display name that recipients see.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.status IS
'Meta''s status, such as CONNECTED, FLAGGED or BANNED; NULL: not read yet.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.quality_rating IS 'Meta''s rating: GREEN, YELLOW, RED or UNKNOWN.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.code_verification_status IS
'Whether the number''s ownership is verified, as Meta reports it.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.name_status IS 'Whether Meta has approved the display name.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.platform_type IS
'CLOUD_API, or another platform on which the number is registered.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.account_mode IS 'LIVE or SANDBOX.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.throughput_level IS
'Meta''s throughput level: STANDARD (80 messages a second) or HIGH (1,000).';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.messaging_limit IS
'The portfolio''s limit of unique recipients in 24 hours, such as TIER_2K, as Meta reports it.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.messages_per_second IS
'The operator''s own rate for this number; NULL follows throughput_level, else the setting '
'whatsapp_shared.messages_per_second.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.rate_factor IS
'Factor that the rate is multiplied by; below 1 while rate_reason applies. See whatsapp_damage_policies.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.rate_reason IS
'Why the rate is lowered: quality_yellow, quality_red, number_flagged or limit_lowered; NULL if it is not.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.flagged_at IS
'When Meta flagged the number for its quality; NULL: it is not flagged.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.limit_lowered_from IS
'The messaging limit before Meta lowered it, until it is reached again.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.source IS
'manual: entered by wa_assign_phone(); sync: read from Meta.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.synced_at IS 'When it was last read from Meta.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.missing_since IS
'Since when Meta no longer lists it; nothing is sent from it then.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.created_at IS 'When it became known here.';

CREATE TRIGGER whatsapp_phone_numbers_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.whatsapp_phone_numbers
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_config_changed();

CREATE TABLE @extschema@.whatsapp_phone_assignments (
    assignment_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id       text COLLATE "C" NOT NULL
        REFERENCES @extschema@.whatsapp_tenants,
    phone_number_id text COLLATE "C" NOT NULL
        REFERENCES @extschema@.whatsapp_phone_numbers,
    assigned_at     timestamptz NOT NULL DEFAULT pg_catalog.now(),
    unassigned_at   timestamptz,
    CONSTRAINT whatsapp_phone_assignments_range_check CHECK (unassigned_at >= assigned_at)
);
CREATE UNIQUE INDEX whatsapp_phone_assignments_number_key
    ON @extschema@.whatsapp_phone_assignments (phone_number_id) WHERE unassigned_at IS NULL;
CREATE UNIQUE INDEX whatsapp_phone_assignments_tenant_key
    ON @extschema@.whatsapp_phone_assignments (tenant_id) WHERE unassigned_at IS NULL;
CREATE INDEX whatsapp_phone_assignments_history_idx
    ON @extschema@.whatsapp_phone_assignments (phone_number_id, assigned_at);
COMMENT ON TABLE @extschema@.whatsapp_phone_assignments IS
'Which tenant had which number, and when. The current assignment has no unassigned_at; a tenant has one number at '
'most, and a number one tenant.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_assignments.assignment_id IS 'Number of the assignment.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_assignments.tenant_id IS 'The tenant that has, or had, the number.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_assignments.phone_number_id IS 'The number.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_assignments.assigned_at IS 'When the assignment began.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_assignments.unassigned_at IS 'When it ended; NULL: it is current.';

CREATE TRIGGER whatsapp_phone_assignments_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON @extschema@.whatsapp_phone_assignments
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_config_changed();

/*
 * The number from which tenants without one send; NULL: they wait.  A number
 * that a tenant has is that tenant's alone, whatever the setting says.
 */
CREATE FUNCTION @extschema@.wa_internal_default_number() RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.number FROM current_setting('whatsapp_shared.phone_number_id', true) AS s (number)
    WHERE s.number <> '' AND NOT EXISTS (
        SELECT FROM @extschema@.whatsapp_phone_assignments AS a
        WHERE a.phone_number_id = s.number AND a.unassigned_at IS NULL)
$$;

/* Why there is none although the setting names one; NULL if that is not so. */
CREATE FUNCTION @extschema@.wa_internal_default_number_taken() RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('the default number %s belongs to tenant "%s"', a.phone_number_id, a.tenant_id)
    FROM @extschema@.whatsapp_phone_assignments AS a
    WHERE a.phone_number_id = current_setting('whatsapp_shared.phone_number_id', true) AND a.unassigned_at IS NULL
$$;

/* The number a tenant sends from; NULL while it has none. */
CREATE FUNCTION @extschema@.wa_internal_number_of(tenant text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(
        (SELECT a.phone_number_id FROM @extschema@.whatsapp_phone_assignments AS a
         WHERE a.tenant_id = tenant AND a.unassigned_at IS NULL),
        @extschema@.wa_internal_default_number())
$$;

/* ---- assigning ------------------------------------------------------------ */

/* The ID of the number that is written like this; NULL if none is known. */
CREATE FUNCTION @extschema@.wa_internal_number_written(written text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.phone_number_id FROM @extschema@.whatsapp_phone_numbers AS p
    WHERE p.display_phone_number ~ '[0-9]' AND @extschema@.wa_internal_same_number(p.display_phone_number, written)
    ORDER BY p.phone_number_id LIMIT 1
$$;

/* Refuses what cannot be the ID of a number; the tenant is for the hint. */
CREATE FUNCTION @extschema@.wa_internal_check_number_id(number text, tenant text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_known CONSTANT boolean := EXISTS (
        SELECT FROM @extschema@.whatsapp_phone_numbers AS p WHERE p.phone_number_id = number);
    meant CONSTANT text := @extschema@.wa_internal_number_written(number);
BEGIN
    IF number IS NULL THEN
        RAISE EXCEPTION 'phone_number_id must not be null' USING ERRCODE = 'null_value_not_allowed';
    ELSIF number = NULLIF(current_setting('whatsapp_shared.business_account_id', true), '') THEN
        RAISE EXCEPTION 'invalid phone_number_id "%"', @extschema@.wa_internal_quote(number)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'This is the ID of the WhatsApp Business account; each of its numbers has an ID of its own.';
    ELSIF NOT is_known AND (NOT @extschema@.wa_internal_is_meta_id(number) OR meant IS NOT NULL) THEN
        RAISE EXCEPTION 'invalid phone_number_id "%"', @extschema@.wa_internal_quote(number)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = CASE
                      WHEN meant IS NOT NULL
                          THEN format('This is the phone number itself; its phone_number_id is "%s".', meant)
                      WHEN @extschema@.wa_internal_is_meta_id(tenant)
                          THEN format('The arguments seem to be swapped: wa_assign_phone(%L, %L).',
                              @extschema@.wa_internal_quote(number), tenant)
                      ELSE 'phone_number_id is the Meta ID of the number, 5 to 20 digits; '
                           'the phone number itself is display_phone_number.' END;
    END IF;
END
$$;

/* The account, for messages. */
CREATE FUNCTION @extschema@.wa_internal_account() RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat_ws(' ', 'the WhatsApp Business account',
        NULLIF(current_setting('whatsapp_shared.business_account_id', true), ''))
$$;

/*
 * Refuses a number that Meta, once its list has been read, does not list; tells
 * that one could not be checked.
 */
CREATE FUNCTION @extschema@.wa_internal_check_number_listed(number text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    listed CONSTANT integer := @extschema@.wa_internal_listed('phone_numbers'::text);
    known CONSTANT text[] := ARRAY(
        SELECT p.phone_number_id FROM @extschema@.whatsapp_phone_numbers AS p WHERE p.synced_at IS NOT NULL);
BEGIN
    IF listed IS NULL THEN
        RAISE NOTICE 'phone number "%" was not checked', number
            USING DETAIL = 'The account''s numbers have not been read from Meta yet.',
                  HINT = 'wa_health() tells when Meta has confirmed it, and if Meta does not list it.';
        RETURN;
    END IF;
    RAISE EXCEPTION 'phone number "%" does not belong to the account', number
        USING ERRCODE = 'undefined_object',
              DETAIL = format('Meta lists %s numbers for %s, and it is not among them.',
                  listed, @extschema@.wa_internal_account()),
              HINT = concat_ws(' ', @extschema@.wa_internal_did_you_mean(number, known),
                  'See whatsapp_phone_numbers; if the number is new, read the list again: '
                  'SELECT wa_sync_phone_numbers();');
END
$$;

/* Creates the number if it is new, and refuses one that cannot send. */
CREATE FUNCTION @extschema@.wa_internal_prepare_number(number text, display text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    n @extschema@.whatsapp_phone_numbers;
BEGIN
    IF display !~ '^\+?[0-9][0-9 ().-]{4,30}$' THEN
        RAISE EXCEPTION 'invalid display_phone_number "%"', @extschema@.wa_internal_quote(display)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Write the phone number as people read it, such as "+34 600 00 00 01".';
    END IF;

    IF number = current_setting('whatsapp_shared.phone_number_id', true) THEN
        RAISE WARNING 'phone number "%" is the default number', @extschema@.wa_internal_quote(number)
            USING DETAIL = 'Tenants without a number of their own have been sending from it; '
                           'from now on their messages wait.',
                  HINT = 'Set whatsapp_shared.phone_number_id to a number that no tenant has, '
                         'or give each tenant its own: SELECT * FROM wa_assign_all();';
    END IF;

    /* The lock that the foreign key will take, taken early: see wa_internal_free_number. */
    SELECT p.* INTO n FROM @extschema@.whatsapp_phone_numbers AS p
        WHERE p.phone_number_id = number FOR KEY SHARE;
    IF NOT FOUND THEN
        PERFORM @extschema@.wa_internal_check_number_listed(number);
        INSERT INTO @extschema@.whatsapp_phone_numbers (phone_number_id, display_phone_number)
            VALUES (number, display) ON CONFLICT DO NOTHING;
        RETURN;
    ELSIF @extschema@.wa_internal_unlisted(number) THEN
        PERFORM @extschema@.wa_internal_check_number_listed(number);
    ELSIF display IS NOT NULL AND n.display_phone_number IS NOT NULL AND n.synced_at IS NOT NULL
        AND NOT @extschema@.wa_internal_same_number(display, n.display_phone_number) THEN
        RAISE EXCEPTION 'display_phone_number "%" is not that of phone number "%"', display, number
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('At Meta it is %s.', n.display_phone_number),
                  HINT = 'Leave it out, or check the phone_number_id.';
    END IF;

    IF n.missing_since IS NOT NULL OR n.status IN ('BANNED', 'DELETED') THEN
        RAISE EXCEPTION 'phone number "%" cannot send', @extschema@.wa_internal_quote(number)
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = CASE WHEN n.missing_since IS NOT NULL
                      THEN format('It has not been part of the WhatsApp Business account since %s.',
                          date_trunc('second', n.missing_since))
                      ELSE format('Its status at Meta is %s.', @extschema@.wa_internal_quote(n.status)) END,
                  HINT = 'Choose another number, or run wa_sync_phone_numbers() if this has changed.';
    ELSIF n.status <> 'CONNECTED' THEN
        RAISE WARNING 'phone number "%" may not be able to send yet', @extschema@.wa_internal_quote(number)
            USING DETAIL = format('Its status at Meta is %s.', @extschema@.wa_internal_quote(n.status));
    END IF;
    IF display IS NOT NULL AND n.display_phone_number IS DISTINCT FROM display THEN
        UPDATE @extschema@.whatsapp_phone_numbers AS p
            SET display_phone_number = display WHERE p.phone_number_id = number;
    END IF;
END
$$;

/*
 * The tenant's number, which then stays its until this transaction ends; NULL
 * if it has none.  Not FOR SHARE: two who have both looked and then both want
 * to release it would wait for each other.
 *
 * An assignment that was released while this waited for it has been locked,
 * too.  Leaving the subtransaction lets go of it: whoever goes on to wait for
 * something else must not keep the others from seeing that it has ended.
 */
CREATE FUNCTION @extschema@.wa_internal_keep_number(tenant text) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    number text;
BEGIN
    SELECT a.phone_number_id INTO number FROM @extschema@.whatsapp_phone_assignments AS a
        WHERE a.tenant_id = tenant AND a.unassigned_at IS NULL FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'WA001', MESSAGE = 'no number';
    END IF;
    RETURN number;
EXCEPTION
    WHEN SQLSTATE 'WA001' THEN
        RETURN NULL;
END
$$;

/* Inserts the assignment; false if the tenant or the number has one already. */
CREATE FUNCTION @extschema@.wa_internal_try_assign(tenant text, number text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    id bigint;
BEGIN
    INSERT INTO @extschema@.whatsapp_phone_assignments AS a (tenant_id, phone_number_id, assigned_at)
        VALUES (tenant, number, clock_timestamp())
        ON CONFLICT DO NOTHING
        RETURNING a.assignment_id INTO id;
    IF NOT FOUND THEN
        RETURN false;
    END IF;

    /* The clock was read before the wait for a predecessor; periods never overlap. */
    UPDATE @extschema@.whatsapp_phone_assignments AS a
        SET assigned_at = before.ended
        FROM (SELECT max(b.unassigned_at) AS ended
              FROM @extschema@.whatsapp_phone_assignments AS b
              WHERE b.phone_number_id = number OR b.tenant_id = tenant) AS before
        WHERE a.assignment_id = id AND a.assigned_at < before.ended;
    PERFORM @extschema@.wa_internal_queue_to_number(tenant, number);
    RETURN true;
END
$$;

/*
 * Makes tenant and number belong together, or finds that they do and keeps it
 * so until this transaction ends.  Raises unique_violation and names the holder
 * if either is taken.
 */
CREATE FUNCTION @extschema@.wa_internal_assign(tenant text, number text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    holder text;
    held text;
BEGIN
    WHILE NOT @extschema@.wa_internal_try_assign(tenant, number) LOOP
        held := @extschema@.wa_internal_keep_number(tenant);
        EXIT WHEN held = number;

        SELECT a.tenant_id INTO holder FROM @extschema@.whatsapp_phone_assignments AS a
            WHERE a.phone_number_id = number AND a.unassigned_at IS NULL;
        IF holder <> tenant THEN
            RAISE EXCEPTION 'phone number "%" is already assigned', @extschema@.wa_internal_quote(number)
                USING ERRCODE = 'unique_violation',
                      DETAIL = format('It is assigned to tenant "%s".', holder),
                      HINT = format('Release it first: SELECT wa_unassign_phone(%L);', holder),
                      CONSTRAINT = 'whatsapp_phone_assignments_number_key';
        ELSIF held IS NOT NULL THEN
            RAISE EXCEPTION 'tenant "%" already has a phone number', @extschema@.wa_internal_quote(tenant)
                USING ERRCODE = 'unique_violation',
                      DETAIL = format('It has number "%s".', held),
                      HINT = format('Release it first: SELECT wa_unassign_phone(%L);', tenant),
                      CONSTRAINT = 'whatsapp_phone_assignments_tenant_key';
        END IF;
        /* Whoever was in the way let go meanwhile: try again. */
    END LOOP;
END
$$;

CREATE FUNCTION @extschema@.wa_assign_phone(
    INOUT tenant_id text,
    INOUT phone_number_id text,
    INOUT display_phone_number text DEFAULT NULL,
    OUT assigned_at timestamptz)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    PERFORM @extschema@.wa_internal_check_tenant_id(tenant_id);
    PERFORM @extschema@.wa_internal_check_number_id(phone_number_id, tenant_id);
    PERFORM @extschema@.wa_internal_create_tenant(tenant_id);
    PERFORM @extschema@.wa_internal_prepare_number(phone_number_id, display_phone_number);
    PERFORM @extschema@.wa_internal_assign(tenant_id, phone_number_id);
    SELECT p.display_phone_number, a.assigned_at INTO STRICT display_phone_number, assigned_at
        FROM @extschema@.whatsapp_phone_assignments AS a
            JOIN @extschema@.whatsapp_phone_numbers AS p ON p.phone_number_id = a.phone_number_id
        WHERE a.tenant_id = wa_assign_phone.tenant_id
            AND a.phone_number_id = wa_assign_phone.phone_number_id AND a.unassigned_at IS NULL;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_assign_phone(text, text, text) IS
'Assigns the number to the tenant; both are created if they are new. Does nothing if they already belong together. '
'Errors: 22004, 22023; 23505 either is taken, by whom the error says; 42704 Meta does not list the number; 55000 the '
'number cannot send. Until the account''s numbers have been read from Meta an unknown number is accepted, with a '
'NOTICE.';

/* ---- choosing a number ---------------------------------------------------- */

CREATE VIEW @extschema@.wa_free_numbers AS
SELECT p.phone_number_id, p.display_phone_number, p.verified_name, p.status, p.quality_rating,
       p.messaging_limit, p.created_at
FROM @extschema@.whatsapp_phone_numbers AS p
WHERE p.missing_since IS NULL
    AND COALESCE(p.status, 'CONNECTED') = 'CONNECTED'
    AND p.phone_number_id IS DISTINCT FROM pg_catalog.current_setting('whatsapp_shared.phone_number_id', true)
    AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_phone_assignments AS a
                    WHERE a.phone_number_id = p.phone_number_id AND a.unassigned_at IS NULL)
    AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_pauses AS x
                    WHERE x.scope = 'number' AND x.key = p.phone_number_id)
ORDER BY (p.status IS NULL),
         CASE p.quality_rating WHEN 'GREEN' THEN 0 WHEN 'YELLOW' THEN 2 WHEN 'RED' THEN 3 ELSE 1 END,
         p.created_at, p.phone_number_id;
COMMENT ON VIEW @extschema@.wa_free_numbers IS
'Numbers that can be assigned to a tenant, the best first: connected, of good quality, known longest. The default '
'number and numbers that are paused or missing are not among them.';
COMMENT ON COLUMN @extschema@.wa_free_numbers.phone_number_id IS 'Meta''s ID of the number.';
COMMENT ON COLUMN @extschema@.wa_free_numbers.display_phone_number IS 'The phone number as people write it.';
COMMENT ON COLUMN @extschema@.wa_free_numbers.verified_name IS 'The display name that recipients see.';
COMMENT ON COLUMN @extschema@.wa_free_numbers.status IS 'Meta''s status; NULL: not read yet.';
COMMENT ON COLUMN @extschema@.wa_free_numbers.quality_rating IS 'Meta''s rating: GREEN, YELLOW, RED or UNKNOWN.';
COMMENT ON COLUMN @extschema@.wa_free_numbers.messaging_limit IS
'The portfolio''s limit of unique recipients in 24 hours, as Meta reports it.';
COMMENT ON COLUMN @extschema@.wa_free_numbers.created_at IS 'When the number became known here.';

/*
 * Locks a free number so that concurrent calls choose different ones; NULL if
 * there is none.  The lock excludes the one that wa_internal_prepare_number
 * takes, so nobody can be half-way through assigning the same number by name:
 * without that the two could wait for each other.
 */
CREATE FUNCTION @extschema@.wa_internal_free_number(wait boolean) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    number text;
BEGIN
    SELECT f.phone_number_id INTO number FROM @extschema@.wa_free_numbers AS f
        WHERE NOT @extschema@.wa_internal_unlisted(f.phone_number_id) LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND AND wait THEN
        /* What is locked may come free: an assignment can fail, a synchronisation ends. */
        SELECT f.phone_number_id INTO number FROM @extschema@.wa_free_numbers AS f
            WHERE NOT @extschema@.wa_internal_unlisted(f.phone_number_id) LIMIT 1 FOR UPDATE;
    END IF;
    RETURN number;
END
$$;

/*
 * Gives a tenant without a number the best free one, and returns it.  NULL: no
 * number is free; false in assigned: somebody else has given it one meanwhile,
 * and that is returned.
 *
 * A number that turns out to be taken is let go, by leaving a subtransaction,
 * before another one is locked: whoever waits for a number holds none.  A caller
 * that assigns several in one transaction does hold some, and must not wait.
 */
CREATE FUNCTION @extschema@.wa_internal_assign_free(tenant text, wait boolean, OUT number text, OUT assigned boolean)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    LOOP
        number := @extschema@.wa_internal_keep_number(tenant);
        assigned := number IS NULL;
        EXIT WHEN NOT assigned;
        BEGIN
            number := @extschema@.wa_internal_free_number(wait);
            EXIT WHEN number IS NULL OR @extschema@.wa_internal_try_assign(tenant, number);
            RAISE EXCEPTION USING ERRCODE = 'WA001', MESSAGE = 'the number or the tenant is taken';
        EXCEPTION WHEN SQLSTATE 'WA001' THEN
            NULL;
        END;
    END LOOP;
END
$$;

CREATE FUNCTION @extschema@.wa_assign_phone(
    INOUT tenant_id text,
    OUT phone_number_id text,
    OUT display_phone_number text,
    OUT assigned_at timestamptz)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    PERFORM @extschema@.wa_internal_create_tenant(tenant_id);
    /* Calls for the same tenant take turns, or each would lock a number of its own. */
    PERFORM FROM @extschema@.whatsapp_tenants AS t
        WHERE t.tenant_id = wa_assign_phone.tenant_id FOR NO KEY UPDATE;
    SELECT f.number INTO phone_number_id FROM @extschema@.wa_internal_assign_free(tenant_id, wait => true) AS f;
    IF phone_number_id IS NULL THEN
        RAISE EXCEPTION 'no free phone number for tenant "%"', @extschema@.wa_internal_quote(tenant_id)
            USING ERRCODE = 'configuration_limit_exceeded',
                  HINT = 'Add a number to the WhatsApp Business account and run wa_sync_phone_numbers(), '
                         'or pass a number to wa_assign_phone().';
    END IF;
    SELECT p.display_phone_number, a.assigned_at INTO STRICT display_phone_number, assigned_at
        FROM @extschema@.whatsapp_phone_assignments AS a
            JOIN @extschema@.whatsapp_phone_numbers AS p ON p.phone_number_id = a.phone_number_id
        WHERE a.tenant_id = wa_assign_phone.tenant_id AND a.unassigned_at IS NULL;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_assign_phone(text) IS
'Assigns the best free number (see wa_free_numbers) to the tenant, or returns the number that it has. Error 53400: '
'there is no free number.';

CREATE FUNCTION @extschema@.wa_assign_all()
RETURNS TABLE (tenant_id text, phone_number_id text, display_phone_number text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    without integer := 0;
    mine boolean;
BEGIN
    FOR tenant_id IN
        SELECT t.tenant_id FROM @extschema@.whatsapp_tenants AS t
        WHERE t.enabled AND NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_phone_assignments AS a
            WHERE a.tenant_id = t.tenant_id AND a.unassigned_at IS NULL)
        ORDER BY t.created_at, t.tenant_id
    LOOP
        SELECT f.number, f.assigned INTO phone_number_id, mine
            FROM @extschema@.wa_internal_assign_free(tenant_id, wait => false) AS f;
        CONTINUE WHEN NOT mine;
        IF phone_number_id IS NULL THEN
            display_phone_number := NULL;
            without := without + 1;
        ELSE
            SELECT p.display_phone_number INTO STRICT display_phone_number
                FROM @extschema@.whatsapp_phone_numbers AS p WHERE p.phone_number_id = wa_assign_all.phone_number_id;
        END IF;
        RETURN NEXT;
    END LOOP;
    IF without > 0 THEN
        RAISE WARNING 'no free phone number for % of the tenants', without
            USING HINT = 'Add numbers to the WhatsApp Business account and run wa_sync_phone_numbers().';
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_assign_all() IS
'Assigns a free number to every enabled tenant that has none, the oldest tenant first. One row for each tenant; '
'phone_number_id is NULL if no number was left.';

/* ---- unassigning ---------------------------------------------------------- */

CREATE FUNCTION @extschema@.wa_unassign_phone(tenant_id text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    tenant CONSTANT text := @extschema@.wa_internal_check_tenant_id(wa_unassign_phone.tenant_id);
    number text;
BEGIN
    PERFORM @extschema@.wa_internal_check_tenant_exists(tenant);
    UPDATE @extschema@.whatsapp_phone_assignments AS a
        SET unassigned_at = GREATEST(clock_timestamp(), a.assigned_at)
        WHERE a.tenant_id = tenant AND a.unassigned_at IS NULL
        RETURNING a.phone_number_id INTO number;
    IF NOT FOUND THEN
        RAISE NOTICE 'tenant "%" has no phone number', @extschema@.wa_internal_quote(tenant);
        RETURN false;
    END IF;
    PERFORM @extschema@.wa_internal_queue_without_number(tenant, number);
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_unassign_phone(text) IS
'Ends the tenant''s assignment, which stays on record. Queued messages wait until the tenant has a number again. '
'False, with a NOTICE: it had none.';
/*
 * The settings document of a tenant, as applications exchange it: a JSON object
 * with whatsapp_enabled, whatsapp_phone_number_id, whatsapp_display_phone_number
 * and whatsapp_default_language.
 *
 * Documents from before this extension carry each tenant's own credentials.
 * They are accepted; the credentials are dropped, and only their names are told.
 */

/* The names of a document's keys, by what is done with them. */
CREATE FUNCTION @extschema@.wa_internal_settings_keys(
    document jsonb,
    OUT dropped text[],
    OUT ignored text[],
    OUT unknown text[])
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(array_agg(k.name) FILTER (WHERE k.credential), '{}'),
           COALESCE(array_agg(k.name) FILTER (WHERE NOT k.credential AND k.name !~* '^what'), '{}'),
           COALESCE(array_agg(k.name) FILTER (WHERE NOT k.credential AND k.name ~* '^what'), '{}')
    FROM (SELECT e.name,
                 e.name ~* '(token|secret|password|credential|api_?key|certificate|pin$|business_(account_)?id|'
                           'waba_id|app_id|system_user|api_(version|url)|webhook)' AS credential
          FROM jsonb_object_keys(document) AS e (name)
          WHERE e.name NOT IN ('tenant_id', 'whatsapp_enabled', 'whatsapp_phone_number_id',
                               'whatsapp_display_phone_number', 'whatsapp_default_language')
          ORDER BY e.name) AS k
$$;

/* The text under a key; NULL if it is absent, null or empty. */
CREATE FUNCTION @extschema@.wa_internal_settings_text(document jsonb, key text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    /* Older programs wrote ids as numbers. */
    IF key LIKE '%\_id' AND document ->> key ~ '^[0-9]+$' THEN
        NULL;
    ELSIF jsonb_typeof(document -> key) NOT IN ('string', 'null') THEN
        RAISE EXCEPTION '"%" must be a string', @extschema@.wa_internal_quote(key)
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('It is of type %s.', jsonb_typeof(document -> key));
    END IF;
    RETURN NULLIF(document ->> key, '');
END
$$;

/*
 * Checks the whole document and applies all of it but the number.  Returns the
 * names of the keys that were not taken over.  may_create: of a tenant that does
 * not exist yet, too.
 */
CREATE FUNCTION @extschema@.wa_internal_apply_settings(
    tenant text,
    document jsonb,
    may_create boolean,
    OUT dropped text[],
    OUT ignored text[])
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    unknown text[];
    default_language CONSTANT text := current_setting('whatsapp_shared.default_language', true);
    lang text;
    before text;
BEGIN
    PERFORM @extschema@.wa_internal_check_tenant_id(tenant);
    IF jsonb_typeof(document) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'settings must be a JSON object'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT k.dropped, k.ignored, k.unknown INTO dropped, ignored, unknown
        FROM @extschema@.wa_internal_settings_keys(document) AS k;
    IF cardinality(unknown) > 0 THEN
        RAISE EXCEPTION 'unknown setting "%"', @extschema@.wa_internal_quote(unknown[1])
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Known settings: whatsapp_enabled, whatsapp_phone_number_id, '
                         'whatsapp_display_phone_number, whatsapp_default_language.';
    ELSIF jsonb_typeof(document -> 'whatsapp_enabled') NOT IN ('boolean', 'null') THEN
        RAISE EXCEPTION '"whatsapp_enabled" must be true or false'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('It is of type %s.', jsonb_typeof(document -> 'whatsapp_enabled'));
    END IF;

    /* A document that repeats the installation's default does not pin it. */
    lang := @extschema@.wa_internal_settings_text(document, 'whatsapp_default_language'::text);
    SELECT t.language INTO before FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = tenant;
    PERFORM @extschema@.wa_configure_tenant(tenant,
        enabled => (document ->> 'whatsapp_enabled')::boolean,
        language => CASE WHEN before IS NOT NULL OR lang IS DISTINCT FROM default_language THEN lang END,
        reset => CASE WHEN document ? 'whatsapp_default_language' AND lang IS NULL
                      THEN '{language}'::text[] ELSE '{}' END,
        is_new => may_create);
END
$$;

CREATE FUNCTION @extschema@.wa_notification_settings(tenant_id text) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    document jsonb;
BEGIN
    PERFORM @extschema@.wa_internal_check_own_tenant(wa_notification_settings.tenant_id);
    SELECT jsonb_build_object(
            'whatsapp_enabled', t.enabled,
            'whatsapp_phone_number_id', p.phone_number_id,
            'whatsapp_display_phone_number', p.display_phone_number,
            'whatsapp_default_language',
                COALESCE(t.language, current_setting('whatsapp_shared.default_language', true)))
        INTO document
        FROM @extschema@.whatsapp_tenants AS t
            LEFT JOIN @extschema@.whatsapp_phone_assignments AS a
                ON a.tenant_id = t.tenant_id AND a.unassigned_at IS NULL
            LEFT JOIN @extschema@.whatsapp_phone_numbers AS p ON p.phone_number_id = a.phone_number_id
        WHERE t.tenant_id = wa_notification_settings.tenant_id;
    IF NOT FOUND THEN
        PERFORM @extschema@.wa_internal_unknown_tenant(wa_notification_settings.tenant_id);
    END IF;
    RETURN document;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_notification_settings(text) IS
'The tenant''s settings document: whatsapp_enabled, whatsapp_phone_number_id, whatsapp_display_phone_number, '
'whatsapp_default_language.';

CREATE FUNCTION @extschema@.wa_set_notification_settings(tenant_id text, settings jsonb) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    keys record;
    current_document jsonb;
    key text;
    wanted text;
BEGIN
    SELECT k.dropped, k.ignored INTO keys
        FROM @extschema@.wa_internal_apply_settings(tenant_id, settings, may_create => false) AS k;

    /* A document may repeat the number (or leave it empty), not choose it. */
    current_document := @extschema@.wa_notification_settings(tenant_id);
    FOREACH key IN ARRAY '{whatsapp_phone_number_id,whatsapp_display_phone_number}'::text[] LOOP
        wanted := @extschema@.wa_internal_settings_text(settings, key);
        IF wanted IS NOT NULL AND NOT @extschema@.wa_internal_same_number(wanted, current_document ->> key) THEN
            RAISE EXCEPTION 'a tenant cannot choose its own phone number'
                USING ERRCODE = 'insufficient_privilege',
                      DETAIL = format('"%s" is %s; the document says %s.', key,
                          COALESCE(quote_ident(current_document ->> key), 'not assigned'),
                          quote_ident(wanted)),
                      HINT = 'The platform assigns numbers, with wa_assign_phone().';
        END IF;
    END LOOP;

    IF cardinality(keys.dropped) > 0 THEN
        RAISE NOTICE 'credentials in the settings of tenant "%" were dropped: %',
                @extschema@.wa_internal_quote(tenant_id),
                array_to_string(keys.dropped, ', ')
            USING HINT = 'The platform''s master credentials are used for all tenants.';
    END IF;
    IF cardinality(keys.ignored) > 0 THEN
        RAISE NOTICE 'settings of tenant "%" that do not concern WhatsApp were ignored: %',
            @extschema@.wa_internal_quote(tenant_id),
            array_to_string(keys.ignored, ', ');
    END IF;
    RETURN current_document;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_set_notification_settings(text, jsonb) IS
'Applies a tenant''s settings document and returns the resulting one. Absent keys leave their settings as they are; '
'credentials are dropped with a NOTICE; the number may be repeated but not changed. Error 42704: no such tenant.';

/* ---- a whole platform's documents ------------------------------------------ */

CREATE FUNCTION @extschema@.wa_import_settings(documents jsonb)
RETURNS TABLE (tenant_id text, taken text[], dropped text[], ignored text[], refused text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    document jsonb;
    number text;
    detail text;
BEGIN
    IF jsonb_typeof(documents) NOT IN ('object', 'array') OR documents IS NULL THEN
        RAISE EXCEPTION 'documents must be an object by tenant, or an array of objects with a tenant_id'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR tenant_id, document IN
        SELECT o.key, o.value
            FROM jsonb_each(CASE jsonb_typeof(documents) WHEN 'object' THEN documents END) AS o
        UNION ALL
        SELECT CASE WHEN jsonb_typeof(a.value -> 'tenant_id') IN ('string', 'number')
                    THEN a.value ->> 'tenant_id' END, a.value
            FROM jsonb_array_elements(CASE jsonb_typeof(documents) WHEN 'array' THEN documents END) AS a
    LOOP
        taken := '{}';
        dropped := '{}';
        ignored := '{}';
        refused := NULL;
        BEGIN
            SELECT k.dropped, k.ignored INTO dropped, ignored
                FROM @extschema@.wa_internal_apply_settings(tenant_id, document, may_create => true) AS k;
            number := @extschema@.wa_internal_settings_text(document, 'whatsapp_phone_number_id'::text);
            IF number IS NOT NULL THEN
                PERFORM @extschema@.wa_assign_phone(tenant_id, number,
                    @extschema@.wa_internal_settings_text(document, 'whatsapp_display_phone_number'::text));
            END IF;
            taken := ARRAY(SELECT k.name FROM jsonb_object_keys(document) AS k (name)
                           WHERE k.name LIKE 'whatsapp%' AND k.name <> ALL (dropped)
                               AND (number IS NOT NULL OR k.name NOT LIKE '%number%')
                           ORDER BY k.name);
        EXCEPTION
            WHEN invalid_parameter_value OR null_value_not_allowed OR unique_violation
                 OR undefined_object OR object_not_in_prerequisite_state THEN
                GET STACKED DIAGNOSTICS refused = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
                refused := left(concat_ws('. ', refused, NULLIF(detail, '')), 500);
        END;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_import_settings(jsonb) IS
'Applies the settings documents of a whole platform ({tenant: document, …}, or an array of documents with '
'tenant_id), numbers included. One row for each tenant: the settings taken, the credentials dropped, the keys '
'ignored, and why a document was refused.';
/*
 * Messages: what is sent, what became of it, and the functions that write,
 * cancel and repeat them.
 *
 * Two rules shape the tables.  No index covers a column of whatsapp_messages
 * that changes after the insert, not even in a predicate, so that every status
 * change is a HOT update.  And a message that still has to be sent is a thin
 * row of whatsapp_queue (35-queue.sql), so that the claim never reads finished
 * history.
 */

/* What a constraint of a hot table calls instead of comparing words; see src/enqueue/checks.c. */
CREATE FUNCTION @extschema@.wa_internal_is_status(word text) RETURNS boolean
    LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_is_status';
COMMENT ON FUNCTION @extschema@.wa_internal_is_status(text) IS
'Whether this is a status of a message: queued, sending, accepted, sent, delivered, read, failed, uncertain, '
'cancelled, expired or skipped. Internal.';

/*
 * fillfactor: neighbours are accepted in one transaction, so a page must have
 * room for a second version of every row in it before anything can be pruned.
 */

CREATE TABLE @extschema@.whatsapp_messages (
    id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id           text COLLATE "C" NOT NULL,
    phone_number_id     text COLLATE "C",
    recipient_phone     text COLLATE "C",
    recipient_user_id   text COLLATE "C",
    recipient_wa_id     text COLLATE "C",
    message_type        text NOT NULL,
    template_name       text,
    template_language   text,
    payload             jsonb NOT NULL,
    context_message_id  text,
    status              text NOT NULL DEFAULT 'queued'
        CONSTRAINT whatsapp_messages_status_check
        CHECK (@extschema@.wa_internal_is_status(status)),
    status_reason       text,
    attempts            smallint NOT NULL DEFAULT 0,
    priority            smallint NOT NULL DEFAULT 0,
    idempotency_key     text COLLATE "C",
    reference           text,
    on_uncertain        text
        CONSTRAINT whatsapp_messages_on_uncertain_check
        CHECK (@extschema@.wa_internal_is_uncertain_policy(on_uncertain)),
    whatsapp_message_id text COLLATE "C",
    error_code          integer,
    error_message       text,
    pricing_category    text,
    pricing_type        text,
    billable            boolean,
    created_at          timestamptz NOT NULL DEFAULT pg_catalog.now(),
    scheduled_at        timestamptz NOT NULL DEFAULT pg_catalog.now(),
    expires_at          timestamptz,
    accepted_at         timestamptz,
    sent_at             timestamptz,
    delivered_at        timestamptz,
    read_at             timestamptz,
    played_at           timestamptz,
    failed_at           timestamptz,
    finished_at         timestamptz,
    CONSTRAINT whatsapp_messages_recipient_check
        CHECK (recipient_phone IS NOT NULL OR recipient_user_id IS NOT NULL)
) WITH (fillfactor = 45,
        autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1,
        autovacuum_analyze_scale_factor = 0.05);
CREATE UNIQUE INDEX whatsapp_messages_idempotency_key
    ON @extschema@.whatsapp_messages (tenant_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX whatsapp_messages_tenant_idx ON @extschema@.whatsapp_messages (tenant_id, created_at);
/* What was scheduled ahead leaves long after it was created. */
CREATE INDEX whatsapp_messages_scheduled_idx ON @extschema@.whatsapp_messages (scheduled_at)
    WHERE scheduled_at > created_at;
CREATE INDEX whatsapp_messages_created_idx ON @extschema@.whatsapp_messages USING brin (created_at)
    WITH (pages_per_range = 32);
COMMENT ON TABLE @extschema@.whatsapp_messages IS
'Every message, its content and its status. Kept for whatsapp_shared.retention after it is finished.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.id IS 'The ID that the enqueue functions return.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.tenant_id IS 'The tenant that the message is sent for.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.phone_number_id IS
'The number it was, or will be, sent from; NULL while the tenant has none.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.recipient_phone IS
'The recipient in international form with +; NULL if addressed by user ID only.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.recipient_user_id IS
'The recipient''s business-scoped user ID, if the message is addressed by it.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.recipient_wa_id IS
'The recipient''s WhatsApp ID, as the first status named it.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.message_type IS
'The type of Meta''s API: template, text, image, interactive …';
COMMENT ON COLUMN @extschema@.whatsapp_messages.template_name IS 'The template''s name, for type template.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.template_language IS 'The template''s language, for type template.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.payload IS
'The Graph API object under the key named by message_type, as Meta receives it.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.context_message_id IS
'The wamid of the message that this one replies to.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.status IS
'queued, sending (on the wire for longer than a moment), accepted by Meta, sent, delivered, read; or failed, '
'uncertain, cancelled, expired, skipped. wa_explain(id) explains it.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.status_reason IS
'A reason code if the status alone does not explain it, such as tenant_disabled for a skipped message.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.attempts IS
'Requests begun for this message. Waiting for a rate limit or a pause is not an attempt.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.priority IS
'-1000 to 1000: each point is a head start of ten minutes; from 100 on quiet hours do not hold the message.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.idempotency_key IS
'Unique for the tenant: a second message with the same key is not written.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.reference IS
'The application''s own name for the occasion, such as an order number; returned with replies.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.on_uncertain IS
'Policy for this message: auto, resend, park or fail; NULL: the tenant''s.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.whatsapp_message_id IS
'Meta''s ID of the message (wamid), known once it is accepted.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.error_code IS
'Graph API error code of the last failure; meaning and remedy in wa_error_codes. Negative for failures of our own '
'connection.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.error_message IS 'Meta''s text for error_code, or our own.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.pricing_category IS
'The category that Meta charges, from the status webhook: marketing, utility, authentication, service …';
COMMENT ON COLUMN @extschema@.whatsapp_messages.pricing_type IS
'Meta''s pricing type, such as regular, free_customer_service or free_entry_point.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.billable IS 'Whether Meta charges the message; NULL: not known yet.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.created_at IS 'When the message was enqueued.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.scheduled_at IS 'Not sent before this time.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.expires_at IS 'Not sent after this time; NULL: it does not expire.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.accepted_at IS 'When Meta accepted it.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.sent_at IS 'When it left Meta''s servers.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.delivered_at IS 'When it reached the recipient''s phone.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.read_at IS 'When the recipient read it.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.played_at IS 'When the recipient played a voice message.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.failed_at IS 'When it failed.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.finished_at IS
'When the message was finished; retention counts from here.';

/* Where a reply (context.id) or a status without our own data is looked up. */
CREATE TABLE @extschema@.whatsapp_wamids (
    whatsapp_message_id text COLLATE "C" NOT NULL,
    message_id          bigint NOT NULL,
    /* Neither of them is a key: sender and webhook may both write the same pair. */
    entry_id            bigint GENERATED ALWAYS AS IDENTITY (CACHE 64),
    PRIMARY KEY (message_id, entry_id)
);
CREATE INDEX whatsapp_wamids_idx ON @extschema@.whatsapp_wamids USING hash (whatsapp_message_id);
COMMENT ON TABLE @extschema@.whatsapp_wamids IS
'Append-only map from Meta''s message id to ours. Internal.';

CREATE TABLE @extschema@.whatsapp_attempts (
    message_id    bigint NOT NULL,
    attempt       smallint NOT NULL,
    phone_number_id text COLLATE "C",
    outcome       text NOT NULL,
    http_status   integer,
    error_code    integer,
    error_message text,
    fbtrace_id    text,
    started_at    timestamptz,
    ended_at      timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    /* One attempt may have several ends: first uncertain, then failed. */
    entry_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY
);
CREATE INDEX whatsapp_attempts_message_idx ON @extschema@.whatsapp_attempts (message_id);
CREATE INDEX whatsapp_attempts_ended_idx ON @extschema@.whatsapp_attempts USING brin (ended_at);
COMMENT ON TABLE @extschema@.whatsapp_attempts IS
'Attempts that did not end in acceptance: what was sent and what came back.';
COMMENT ON COLUMN @extschema@.whatsapp_attempts.entry_id IS
'The key: one attempt may have several ends, first uncertain and then failed.';
COMMENT ON COLUMN @extschema@.whatsapp_attempts.message_id IS 'The message.';
COMMENT ON COLUMN @extschema@.whatsapp_attempts.attempt IS 'Which attempt of the message, from 1.';
COMMENT ON COLUMN @extschema@.whatsapp_attempts.phone_number_id IS 'The number that it was sent from.';
COMMENT ON COLUMN @extschema@.whatsapp_attempts.outcome IS
'The class of the error (see wa_error_codes), or failed, uncertain or not_sent.';
COMMENT ON COLUMN @extschema@.whatsapp_attempts.http_status IS 'HTTP status of the response; NULL: there was none.';
COMMENT ON COLUMN @extschema@.whatsapp_attempts.error_code IS
'Graph API error code; negative for failures of our own connection.';
COMMENT ON COLUMN @extschema@.whatsapp_attempts.error_message IS 'Meta''s text for it, or our own.';
COMMENT ON COLUMN @extschema@.whatsapp_attempts.fbtrace_id IS 'Meta''s trace ID, for its support.';
COMMENT ON COLUMN @extschema@.whatsapp_attempts.started_at IS 'When the request began.';
COMMENT ON COLUMN @extschema@.whatsapp_attempts.ended_at IS 'When the outcome was known.';

/* ---- writing ---------------------------------------------------------------- */

/*
 * The functions run their statements as the owner of the tables (src/base/owner.c);
 * who may call them is decided by wa_grant().
 */

CREATE FUNCTION @extschema@.wa_enqueue_message(
    tenant_id       text,
    recipient_phone text,
    template_name   text,
    parameters      jsonb DEFAULT '[]',
    language        text DEFAULT NULL,
    scheduled_at    timestamptz DEFAULT pg_catalog.now(),
    expires_at      timestamptz DEFAULT NULL,
    priority        integer DEFAULT 0,
    idempotency_key text DEFAULT NULL,
    reference       text DEFAULT NULL,
    on_uncertain    text DEFAULT NULL)
RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_enqueue_message';

COMMENT ON FUNCTION @extschema@.wa_enqueue_message(text, text, text, jsonb, text, timestamptz, timestamptz, integer,
    text, text, text) IS
'Queues a template message in this transaction and returns its ID; it is sent after COMMIT. parameters: an array of '
'the body''s values, an object of its named values, or an object with any of header, body and buttons. language: as '
'approved by Meta; NULL takes the tenant''s, then whatsapp_shared.default_language. scheduled_at: not sent before; '
'expires_at: not sent after. priority (-1000 to 1000): each point is a head start of ten minutes; from 100 on quiet '
'hours do not hold the message. idempotency_key: a second message of the tenant with the same key is not written, '
'and the first one''s ID is returned. reference: the application''s own name for the occasion. on_uncertain: auto, '
'resend, park or fail. Without a number the message waits; if the tenant is switched off or the recipient has opted '
'out, it is stored as skipped. Errors: 22004 a required argument is NULL; 22023 bad recipient, time, priority, key, '
'or parameters that do not fit the template; 42704 unknown tenant, template or language; 55000 template not '
'approved.';

CREATE FUNCTION @extschema@.wa_enqueue_payload(
    tenant_id           text,
    recipient_phone     text,
    type                text,
    payload             jsonb,
    scheduled_at        timestamptz DEFAULT pg_catalog.now(),
    expires_at          timestamptz DEFAULT NULL,
    priority            integer DEFAULT 0,
    idempotency_key     text DEFAULT NULL,
    reference           text DEFAULT NULL,
    on_uncertain        text DEFAULT NULL,
    context_message_id  text DEFAULT NULL,
    fallback_template   text DEFAULT NULL,
    fallback_parameters jsonb DEFAULT NULL)
RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_enqueue_payload';

COMMENT ON FUNCTION @extschema@.wa_enqueue_payload(text, text, text, jsonb, timestamptz, timestamptz, integer, text,
    text, text, text, text, jsonb) IS
'Queues a message of any type of Meta''s API: payload is the object that stands under the key named by type. Types '
'with known limits are checked. Outside the service window (24 hours; not checked until the first message from a '
'customer has arrived by webhook) only templates can be sent; fallback_template and fallback_parameters name one to '
'send instead. context_message_id: the wamid of the message replied to. Other arguments and errors as in '
'wa_enqueue_message(); also 54000 payload above 128 kB, 55000 service window closed.';

CREATE FUNCTION @extschema@.wa_enqueue_text(
    tenant_id           text,
    recipient_phone     text,
    body                text,
    preview_url         boolean DEFAULT false,
    scheduled_at        timestamptz DEFAULT pg_catalog.now(),
    expires_at          timestamptz DEFAULT NULL,
    priority            integer DEFAULT 0,
    idempotency_key     text DEFAULT NULL,
    reference           text DEFAULT NULL,
    on_uncertain        text DEFAULT NULL,
    context_message_id  text DEFAULT NULL,
    fallback_template   text DEFAULT NULL,
    fallback_parameters jsonb DEFAULT NULL)
RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_enqueue_text';

COMMENT ON FUNCTION @extschema@.wa_enqueue_text(text, text, text, boolean, timestamptz, timestamptz, integer, text,
    text, text, text, text, jsonb) IS
'Queues a text of up to 4096 characters. It can be sent within the service window, 24 hours after the recipient last '
'wrote to the tenant''s number; otherwise error 55000, unless fallback_template names a template to send instead. '
'Other arguments as in wa_enqueue_message() and wa_enqueue_payload().';

CREATE FUNCTION @extschema@.wa_enqueue_media(
    tenant_id           text,
    recipient_phone     text,
    media_type          text,
    link                text DEFAULT NULL,
    media_id            text DEFAULT NULL,
    caption             text DEFAULT NULL,
    filename            text DEFAULT NULL,
    voice               boolean DEFAULT NULL,
    media               bigint DEFAULT NULL,
    scheduled_at        timestamptz DEFAULT pg_catalog.now(),
    expires_at          timestamptz DEFAULT NULL,
    priority            integer DEFAULT 0,
    idempotency_key     text DEFAULT NULL,
    reference           text DEFAULT NULL,
    on_uncertain        text DEFAULT NULL,
    context_message_id  text DEFAULT NULL,
    fallback_template   text DEFAULT NULL,
    fallback_parameters jsonb DEFAULT NULL)
RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_enqueue_media';

COMMENT ON FUNCTION @extschema@.wa_enqueue_media(text, text, text, text, text, text, text, boolean, bigint,
    timestamptz, timestamptz, integer, text, text, text, text, text, jsonb) IS
'Queues an image, video, audio, document or sticker, by link, by Meta''s media ID, or by the ID that '
'wa_upload_media() returned (media). In the last case the message waits until the file is uploaded (reason '
'media_upload), and fails if the upload fails. caption (up to 1024 characters): not for audio and stickers; '
'filename: documents only; voice: audio only, makes it a voice message. Otherwise as wa_enqueue_text().';

CREATE FUNCTION @extschema@.wa_enqueue_interactive(
    tenant_id           text,
    recipient_phone     text,
    interactive         jsonb,
    scheduled_at        timestamptz DEFAULT pg_catalog.now(),
    expires_at          timestamptz DEFAULT NULL,
    priority            integer DEFAULT 0,
    idempotency_key     text DEFAULT NULL,
    reference           text DEFAULT NULL,
    on_uncertain        text DEFAULT NULL,
    context_message_id  text DEFAULT NULL,
    fallback_template   text DEFAULT NULL,
    fallback_parameters jsonb DEFAULT NULL)
RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_enqueue_interactive';

COMMENT ON FUNCTION @extschema@.wa_enqueue_interactive(text, text, jsonb, timestamptz, timestamptz, integer, text,
    text, text, text, text, jsonb) IS
'Queues an interactive message: the object that stands under "interactive" in Meta''s API. Reply buttons, lists and '
'cta_url are checked against Meta''s limits; other kinds are passed on as they are. Otherwise as wa_enqueue_text().';

CREATE FUNCTION @extschema@.wa_enqueue_location(
    tenant_id           text,
    recipient_phone     text,
    latitude            double precision,
    longitude           double precision,
    name                text DEFAULT NULL,
    address             text DEFAULT NULL,
    scheduled_at        timestamptz DEFAULT pg_catalog.now(),
    expires_at          timestamptz DEFAULT NULL,
    priority            integer DEFAULT 0,
    idempotency_key     text DEFAULT NULL,
    reference           text DEFAULT NULL,
    on_uncertain        text DEFAULT NULL,
    context_message_id  text DEFAULT NULL,
    fallback_template   text DEFAULT NULL,
    fallback_parameters jsonb DEFAULT NULL)
RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_enqueue_location';

COMMENT ON FUNCTION @extschema@.wa_enqueue_location(text, text, double precision, double precision, text, text,
    timestamptz, timestamptz, integer, text, text, text, text, text, jsonb) IS
'Queues a location. Otherwise as wa_enqueue_text().';

CREATE FUNCTION @extschema@.wa_enqueue_contacts(
    tenant_id           text,
    recipient_phone     text,
    contacts            jsonb,
    scheduled_at        timestamptz DEFAULT pg_catalog.now(),
    expires_at          timestamptz DEFAULT NULL,
    priority            integer DEFAULT 0,
    idempotency_key     text DEFAULT NULL,
    reference           text DEFAULT NULL,
    on_uncertain        text DEFAULT NULL,
    context_message_id  text DEFAULT NULL,
    fallback_template   text DEFAULT NULL,
    fallback_parameters jsonb DEFAULT NULL)
RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_enqueue_contacts';

COMMENT ON FUNCTION @extschema@.wa_enqueue_contacts(text, text, jsonb, timestamptz, timestamptz, integer, text, text,
    text, text, text, jsonb) IS
'Queues contact cards: an array of 1 to 257 objects as in Meta''s API, each with name.formatted_name and at least '
'one part of the name. Otherwise as wa_enqueue_text().';

CREATE FUNCTION @extschema@.wa_enqueue_reaction(
    tenant_id           text,
    recipient_phone     text,
    whatsapp_message_id text,
    emoji               text,
    scheduled_at        timestamptz DEFAULT pg_catalog.now(),
    expires_at          timestamptz DEFAULT NULL,
    priority            integer DEFAULT 0,
    idempotency_key     text DEFAULT NULL,
    reference           text DEFAULT NULL,
    on_uncertain        text DEFAULT NULL,
    context_message_id  text DEFAULT NULL,
    fallback_template   text DEFAULT NULL,
    fallback_parameters jsonb DEFAULT NULL)
RETURNS bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_enqueue_reaction';

COMMENT ON FUNCTION @extschema@.wa_enqueue_reaction(text, text, text, text, timestamptz, timestamptz, integer, text,
    text, text, text, text, jsonb) IS
'Queues a reaction to the message with this wamid; an empty emoji takes it back. Otherwise as wa_enqueue_text().';

CREATE FUNCTION @extschema@.wa_enqueue_bulk(
    tenant_id       text,
    template_name   text,
    recipients      jsonb,
    parameters      jsonb DEFAULT '[]',
    language        text DEFAULT NULL,
    scheduled_at    timestamptz DEFAULT pg_catalog.now(),
    expires_at      timestamptz DEFAULT NULL,
    priority        integer DEFAULT 0,
    idempotency_key text DEFAULT NULL,
    reference       text DEFAULT NULL,
    on_uncertain    text DEFAULT NULL)
RETURNS SETOF bigint
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_enqueue_bulk';

COMMENT ON FUNCTION @extschema@.wa_enqueue_bulk(text, text, jsonb, jsonb, text, timestamptz, timestamptz, integer,
    text, text, text) IS
'Queues one template for many recipients and returns the IDs in their order. recipients: an array of phone numbers, '
'or of objects with to (or recipient_phone), parameters, reference and idempotency_key, which override the common '
'ones. With an idempotency_key for the whole call, each message''s key is that key, a colon and the recipient. One '
'bad entry rejects the whole call; the error names it. Otherwise as wa_enqueue_message().';

/* ---- cancelling, repeating and deciding by hand: src/enqueue/lifecycle.c --------- */

CREATE FUNCTION @extschema@.wa_cancel_message(id bigint) RETURNS boolean
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_cancel_message';
COMMENT ON FUNCTION @extschema@.wa_cancel_message(bigint) IS
'Cancels a message that is still waiting. True: it will not be sent. False, with a NOTICE that names its status: it '
'is being sent, was sent, or is finished. Error 42704: unknown ID.';

CREATE FUNCTION @extschema@.wa_retry_message(id bigint) RETURNS boolean
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_retry_message';
COMMENT ON FUNCTION @extschema@.wa_retry_message(bigint) IS
'Queues a failed, expired, cancelled or skipped message again, from the number that its tenant has now, and without '
'an expiry that has passed. Earlier errors stay in whatsapp_attempts. False, with a NOTICE: it has another status, '
'or would be skipped again. Errors: 42704 unknown ID; 55000 it is no template and the service window is closed.';

CREATE FUNCTION @extschema@.wa_resolve_message(id bigint, outcome text) RETURNS boolean
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_resolve_message';
COMMENT ON FUNCTION @extschema@.wa_resolve_message(bigint, text) IS
'Decides an uncertain message: accepted or sent (it arrived), failed, or resend (send it again, at the risk of a '
'second copy). False, with a NOTICE: it is not uncertain, or no longer. Errors: 42704 unknown ID, 22023 unknown '
'outcome.';
/*
 * The queue: messages that may still have to be sent, the leases of those on
 * the wire, and what happens to waiting messages when numbers, tenants or
 * pauses change.
 *
 * The order of locks is that of src/README.md: queue rows by message_id, then
 * message rows.  Whatever takes a row away from the sender looks at the leases
 * with a snapshot taken after the lock.
 */

CREATE FUNCTION @extschema@.wa_internal_is_queue_state(state "char", has_number boolean) RETURNS boolean
    LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_is_queue_state';
COMMENT ON FUNCTION @extschema@.wa_internal_is_queue_state("char", boolean) IS
'Whether this is a state of a queue row: r (ready, which needs a number), d (deferred), h (held) or u (uncertain). '
'Internal.';

/*
 * rank orders the queue of one number: microseconds since 2000-01-01 of the
 * time at which the message is first due, less WA_PRIORITY_BOOST (ten minutes)
 * for each point of priority.  It does not change with due_at.  A head start
 * and not a class: whatever waits long enough overtakes every priority, so
 * nothing starves.
 *
 * state: r ready, d deferred until due_at, h held until something happens,
 * u uncertain, decided at due_at.  hold_reason is the reason code that
 * wa_explain() puts into words.
 */
CREATE TABLE @extschema@.whatsapp_queue (
    message_id      bigint PRIMARY KEY,
    phone_number_id text COLLATE "C",
    rank            bigint NOT NULL,
    due_at          timestamptz NOT NULL,
    expires_at      timestamptz,
    attempts        smallint NOT NULL DEFAULT 0,
    state           "char" NOT NULL,
    hold_reason     text,
    CONSTRAINT whatsapp_queue_state_check
        CHECK (@extschema@.wa_internal_is_queue_state(state, phone_number_id IS NOT NULL))
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0,
        autovacuum_analyze_threshold = 50000);
CREATE INDEX whatsapp_queue_ready_idx
    ON @extschema@.whatsapp_queue (phone_number_id, rank, message_id) WHERE state = 'r';
/* Many may be deferred to one moment: they come back in the order in which they will be claimed. */
CREATE INDEX whatsapp_queue_due_idx
    ON @extschema@.whatsapp_queue (due_at, rank, message_id) WHERE state IN ('d', 'u');
CREATE INDEX whatsapp_queue_held_idx
    ON @extschema@.whatsapp_queue (hold_reason, message_id) WHERE state = 'h';
CREATE INDEX whatsapp_queue_expiry_idx
    ON @extschema@.whatsapp_queue (expires_at) WHERE expires_at IS NOT NULL AND state <> 'u';
COMMENT ON TABLE @extschema@.whatsapp_queue IS
'One row for each message that may still have to be sent. Internal: read wa_queue_status and wa_explain() instead.';

/* Tells our rows from those loaded by others: src/enqueue/queue_guard.c. */
CREATE FUNCTION @extschema@.wa_internal_queue_guard() RETURNS trigger
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_queue_guard';
COMMENT ON FUNCTION @extschema@.wa_internal_queue_guard() IS
'Trigger function: stops the sending until wa_adopt() when rows are loaded into the queue that no function of this '
'extension has written. Internal.';

CREATE TRIGGER whatsapp_queue_guard BEFORE INSERT ON @extschema@.whatsapp_queue
    FOR EACH ROW EXECUTE FUNCTION @extschema@.wa_internal_queue_guard();
ALTER TABLE @extschema@.whatsapp_queue ENABLE ALWAYS TRIGGER whatsapp_queue_guard;

/*
 * The durable intent to send: written and committed before the first byte of
 * any of its requests leaves.  attempts[i] is the attempt of message_ids[i]
 * that it covers.  A message is on the wire if a lease names it and its row
 * in whatsapp_queue still counts fewer attempts than that.
 */
CREATE TABLE @extschema@.whatsapp_leases (
    lease_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sender      smallint NOT NULL,
    pid         integer NOT NULL,
    generation  bigint NOT NULL,
    message_ids bigint[] NOT NULL,
    attempts    smallint[] NOT NULL,
    claimed_at  timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0,
        /* Leases are soon gone: compressing their arrays would be wasted. */
        toast_tuple_target = 8160);
COMMENT ON TABLE @extschema@.whatsapp_leases IS
'Batches of requests that a sender has on the wire. Internal.';

/*
 * The requests on the wire.  For a decision about a message read it with a
 * snapshot taken after the lock of its queue row: a claim holds that lock until
 * its lease is committed.
 */
CREATE VIEW @extschema@.wa_internal_on_wire_requests AS
SELECT q.message_id, q.phone_number_id, l.claimed_at
FROM @extschema@.whatsapp_leases AS l
    CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(l.message_ids), pg_catalog.unnest(l.attempts))
        AS x (message_id, attempt)
    JOIN @extschema@.whatsapp_queue AS q ON q.message_id = x.message_id AND q.attempts < x.attempt;
COMMENT ON VIEW @extschema@.wa_internal_on_wire_requests IS
'Messages that a request now on the wire may be for: those of a lease whose attempt the queue has not counted yet. '
'Internal.';

/* Whom the account has written to first within the last 24 hours, for the messaging limit. */

CREATE TABLE @extschema@.whatsapp_reach (
    recipient  text COLLATE "C" PRIMARY KEY,
    tenant_id  text COLLATE "C" NOT NULL,
    reached_at timestamptz NOT NULL
) WITH (fillfactor = 80);
COMMENT ON TABLE @extschema@.whatsapp_reach IS
'Recipients reached by templates outside a service window, with the tenant and the time: the account''s messaging '
'limit counts them over a moving 24 hours. Kept only while Meta reports a limit.';
COMMENT ON COLUMN @extschema@.whatsapp_reach.recipient IS 'The recipient.';
COMMENT ON COLUMN @extschema@.whatsapp_reach.tenant_id IS 'The tenant whose share of the limit it counts for.';
COMMENT ON COLUMN @extschema@.whatsapp_reach.reached_at IS 'When the 24 hours began.';

CREATE FUNCTION @extschema@.wa_internal_is_urgent(priority smallint) RETURNS boolean
    LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_is_urgent';
COMMENT ON FUNCTION @extschema@.wa_internal_is_urgent(smallint) IS
'Whether a message of this priority is sent in quiet hours, too. Internal.';

CREATE FUNCTION @extschema@.wa_internal_quiet_end(
    due_at     timestamptz,
    quiet_from time,
    quiet_to   time,
    time_zone  text)
RETURNS timestamptz
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'wa_internal_quiet_end';
COMMENT ON FUNCTION @extschema@.wa_internal_quiet_end(timestamptz, time, time, text) IS
'The end of the quiet hours that this time falls into; NULL if it falls into none. Internal.';

CREATE FUNCTION @extschema@.wa_internal_quiet_begin(
    after      timestamptz,
    quiet_from time,
    time_zone  text)
RETURNS timestamptz
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'wa_internal_quiet_begin';
COMMENT ON FUNCTION @extschema@.wa_internal_quiet_begin(timestamptz, time, text) IS
'When quiet hours that begin at this time of the day begin next. Internal.';

/*
 * Of the messages given, whose queue rows the caller has locked: those on the
 * wire.  A claim holds that lock until its lease is committed, so a snapshot
 * taken after the lock sees every lease that matters; a transaction with one
 * snapshot for all its statements has none, and must not guess.
 */
CREATE FUNCTION @extschema@.wa_internal_on_wire(ids bigint[]) RETURNS bigint[]
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF cardinality(ids) = 0 THEN
        RETURN '{}';
    ELSIF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'cannot take queued messages from the sender at isolation level "%"',
                current_setting('transaction_isolation')
            USING ERRCODE = 'feature_not_supported',
                  DETAIL = 'Such a transaction cannot see which messages are being sent now.',
                  HINT = 'Use a transaction at isolation level READ COMMITTED.';
    END IF;
    RETURN COALESCE((
        SELECT array_agg(w.message_id)
        FROM @extschema@.wa_internal_on_wire_requests AS w
        WHERE w.message_id = ANY (ids)), '{}');
END
$$;

/* Tells the senders about rows that this transaction has made ready or deferred. */
CREATE FUNCTION @extschema@.wa_internal_wake_rows(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_wake(w.phone_number_id, w.rank)
        FROM (SELECT q.phone_number_id, min(q.rank) AS rank
              FROM @extschema@.whatsapp_queue AS q
              WHERE q.message_id = ANY (ids) AND q.state = 'r'
              GROUP BY q.phone_number_id) AS w;
    PERFORM @extschema@.wa_internal_wake_due(w.due_at)
        FROM (SELECT min(q.due_at) AS due_at
              FROM @extschema@.whatsapp_queue AS q
              WHERE q.message_id = ANY (ids) AND q.state = 'd') AS w
        WHERE w.due_at IS NOT NULL;
    /* Whether the file is still on its way is for sender 0 to see. */
    PERFORM @extschema@.wa_internal_wake_due(clock_timestamp())
        WHERE EXISTS (SELECT FROM @extschema@.whatsapp_queue AS q
                      WHERE q.message_id = ANY (ids) AND q.state = 'h' AND q.hold_reason = 'media_upload');
END
$$;

/*
 * What row of the queue a message gets (enqueue/placement.c): the one rule for
 * state, hold reason and due time.  due is when it is scheduled, or meant for
 * its next attempt.
 */
CREATE FUNCTION @extschema@.wa_internal_place(
    has_number    boolean,
    awaits_upload boolean,
    attempts      integer,
    priority      integer,
    due           timestamptz,
    quiet_from    time,
    quiet_to      time,
    time_zone     text,
    OUT state "char",
    OUT hold_reason text,
    OUT due_at timestamptz)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'wa_internal_place';
COMMENT ON FUNCTION @extschema@.wa_internal_place(boolean, boolean, integer, integer, timestamptz, time, time, text) IS
'The state, hold reason and due time that a message gets in the queue. Internal.';

/*
 * The same for rows that are in the queue, as they are or as if they had just
 * lost their number.  Their due time counts if it has come, or if it is that of
 * a further attempt.  That of quiet hours is theirs and not the message's, and
 * goes with them; what is uncertain has waited long enough.
 */
CREATE FUNCTION @extschema@.wa_internal_placements(ids bigint[], without_number boolean DEFAULT false)
RETURNS TABLE (message_id bigint, state "char", hold_reason text, due_at timestamptz)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT q.message_id, p.state, p.hold_reason, p.due_at
    FROM (SELECT clock_timestamp() AS time OFFSET 0) AS clock
        CROSS JOIN @extschema@.whatsapp_queue AS q
        JOIN @extschema@.whatsapp_messages AS m ON m.id = q.message_id
        LEFT JOIN @extschema@.whatsapp_tenants AS t ON t.tenant_id = m.tenant_id
        CROSS JOIN LATERAL @extschema@.wa_internal_place(
            q.phone_number_id IS NOT NULL AND NOT without_number,
            /* Few messages have files: the function is called for those only. */
            EXISTS (SELECT FROM @extschema@.whatsapp_media_uses AS u WHERE u.message_id = q.message_id)
                AND @extschema@.wa_internal_awaits_media(q.message_id, q.phone_number_id),
            q.attempts, m.priority,
            CASE WHEN q.state = 'u' THEN clock.time
                 WHEN q.due_at <= clock.time THEN q.due_at
                 WHEN q.attempts = 0 OR q.hold_reason = 'quiet_hours' THEN m.scheduled_at
                 ELSE q.due_at END,
            t.quiet_from, t.quiet_to, t.time_zone) AS p
    WHERE q.message_id = ANY (ids)
$$;

/*
 * Where quiet hours have begun: what is ready and not on the wire, because it
 * had to wait for something else, waits for the morning.  Says when they begin
 * next, for any tenant, and how many messages it has deferred: a caller that
 * wants all of them deferred calls it until there are none.
 */
CREATE FUNCTION @extschema@.wa_internal_begin_quiet_hours(OUT next_begin timestamptz, OUT deferred integer)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    clock CONSTANT timestamptz := clock_timestamp();
    quiet text[];
    numbers text[];
    ids bigint[];
BEGIN
    deferred := 0;
    SELECT array_agg(t.tenant_id) FILTER (WHERE t.is_quiet),
           array_agg(DISTINCT @extschema@.wa_internal_number_of(t.tenant_id)) FILTER (WHERE t.is_quiet),
           min(@extschema@.wa_internal_quiet_begin(clock, t.quiet_from, t.time_zone))
        INTO quiet, numbers, next_begin
        FROM (SELECT o.tenant_id, o.quiet_from, o.time_zone,
                     @extschema@.wa_internal_quiet_end(clock, o.quiet_from, o.quiet_to, o.time_zone) IS NOT NULL
                         AS is_quiet
              FROM @extschema@.whatsapp_tenants AS o
              WHERE o.quiet_from IS NOT NULL) AS t;
    /* Only such a transaction can see what is on the wire; the next sweep can. */
    IF quiet IS NULL OR current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RETURN;
    END IF;
    SELECT COALESCE(array_agg(locked.message_id), '{}') INTO ids FROM (
        SELECT q.message_id
        FROM @extschema@.whatsapp_queue AS q
            JOIN @extschema@.whatsapp_messages AS m ON m.id = q.message_id
        WHERE q.state = 'r' AND q.phone_number_id = ANY (numbers)
            AND m.tenant_id = ANY (quiet) AND NOT @extschema@.wa_internal_is_urgent(m.priority)
        ORDER BY q.message_id
        LIMIT 10000
        FOR UPDATE OF q SKIP LOCKED) AS locked;
    ids := @extschema@.wa_internal_subtract(ids, @extschema@.wa_internal_on_wire(ids));
    PERFORM @extschema@.wa_internal_place_rows(ids);
    deferred := cardinality(ids);
END
$$;

/*
 * Ends the wait of these rows, which the caller has locked: each gets the place
 * that it would get now.
 */
CREATE FUNCTION @extschema@.wa_internal_place_rows(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE @extschema@.whatsapp_queue AS q
        SET state = p.state, hold_reason = p.hold_reason, due_at = p.due_at
        FROM @extschema@.wa_internal_placements(ids) AS p
        WHERE q.message_id = ANY (ids) AND q.message_id = p.message_id;
    PERFORM @extschema@.wa_internal_wake_rows(ids);
END
$$;

/*
 * Ends the holds of one reason, of everybody or of one tenant, number or
 * template (name/language, or name for all its languages), at most so many of
 * them; a caller that must not hold many locks at once loops.  Returns how
 * many there were.
 */
CREATE FUNCTION @extschema@.wa_internal_release_holds(
    reason text,
    tenant text DEFAULT NULL,
    number text DEFAULT NULL,
    template text DEFAULT NULL,
    max_rows bigint DEFAULT NULL)
RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ids bigint[];
BEGIN
    /* quiet_hours defers, everything else holds. */
    SELECT COALESCE(array_agg(locked.message_id), '{}') INTO ids FROM (
        SELECT q.message_id
        FROM @extschema@.whatsapp_queue AS q
        WHERE q.hold_reason = reason
            AND q.state = CASE reason WHEN 'quiet_hours' THEN 'd'::"char" ELSE 'h'::"char" END
            AND (number IS NULL OR q.phone_number_id = number)
            AND (tenant IS NULL AND template IS NULL OR EXISTS (
                SELECT FROM @extschema@.whatsapp_messages AS m
                WHERE m.id = q.message_id
                    AND (tenant IS NULL OR m.tenant_id = tenant)
                    AND (template IS NULL
                         OR template IN (m.template_name, m.template_name || '/' || m.template_language))))
        ORDER BY q.message_id
        LIMIT max_rows
        FOR UPDATE OF q) AS locked;
    PERFORM @extschema@.wa_internal_place_rows(ids);
    RETURN cardinality(ids);
END
$$;

/* Notes the number in both rows of each message; the queue rows are locked. */
CREATE FUNCTION @extschema@.wa_internal_set_number(ids bigint[], number text) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE @extschema@.whatsapp_queue AS q SET phone_number_id = number WHERE q.message_id = ANY (ids);
    UPDATE @extschema@.whatsapp_messages AS m SET phone_number_id = number WHERE m.id = ANY (ids)
$$;

/*
 * Puts the tenant's waiting messages on its new number: those that had none,
 * and those that would have left from the default number.
 */
CREATE FUNCTION @extschema@.wa_internal_queue_to_number(tenant text, number text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fallback CONSTANT text := NULLIF(current_setting('whatsapp_shared.phone_number_id', true), '');
    ids bigint[];
    held bigint[];
BEGIN
    SELECT COALESCE(array_agg(locked.message_id), '{}') INTO ids FROM (
        SELECT q.message_id
        FROM @extschema@.whatsapp_queue AS q
            JOIN @extschema@.whatsapp_messages AS m ON m.id = q.message_id
        WHERE m.tenant_id = tenant AND q.state IN ('r', 'd', 'h')
            AND (q.phone_number_id IS NULL OR q.phone_number_id = fallback AND fallback <> number)
        ORDER BY q.message_id
        FOR UPDATE OF q) AS locked;
    /* Without a number nothing is on the wire; from the default number it may be. */
    IF fallback IS NOT NULL THEN
        ids := @extschema@.wa_internal_subtract(ids, @extschema@.wa_internal_on_wire(ids));
    END IF;
    PERFORM @extschema@.wa_internal_set_number(ids, number);
    SELECT COALESCE(array_agg(q.message_id), '{}') INTO held
        FROM @extschema@.whatsapp_queue AS q
        WHERE q.message_id = ANY (ids)
            AND (q.state = 'h' AND q.hold_reason = 'no_number'
                 /* Meta's id of a file belongs to the number before. */
                 OR q.state IN ('r', 'd')
                    AND EXISTS (SELECT FROM @extschema@.whatsapp_media_uses AS u WHERE u.message_id = q.message_id)
                    AND @extschema@.wa_internal_awaits_media(q.message_id, number));
    PERFORM @extschema@.wa_internal_place_rows(held);
    PERFORM @extschema@.wa_internal_wake_rows(@extschema@.wa_internal_subtract(ids, held));
END
$$;

/*
 * Takes the number from the tenant's waiting messages.  What is on the wire
 * settles first; what is uncertain keeps the number it went out from.
 */
CREATE FUNCTION @extschema@.wa_internal_queue_without_number(tenant text, number text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ids bigint[];
BEGIN
    SELECT COALESCE(array_agg(locked.message_id), '{}') INTO ids FROM (
        SELECT q.message_id
        FROM @extschema@.whatsapp_queue AS q
            JOIN @extschema@.whatsapp_messages AS m ON m.id = q.message_id
        WHERE m.tenant_id = tenant AND q.state IN ('r', 'd', 'h') AND q.phone_number_id = number
        ORDER BY q.message_id
        FOR UPDATE OF q) AS locked;
    ids := @extschema@.wa_internal_subtract(ids, @extschema@.wa_internal_on_wire(ids));
    UPDATE @extschema@.whatsapp_queue AS q
        SET state = p.state, hold_reason = p.hold_reason, due_at = p.due_at
        FROM @extschema@.wa_internal_placements(ids, without_number => true) AS p
        WHERE q.message_id = ANY (ids) AND q.message_id = p.message_id;
    PERFORM @extschema@.wa_internal_set_number(ids, NULL::text);
END
$$;

CREATE FUNCTION @extschema@.wa_internal_subtract(ids bigint[], without bigint[]) RETURNS bigint[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(array_agg(i ORDER BY i), '{}') FROM unnest(ids) AS i WHERE i <> ALL (without)
$$;

/*
 * For a sender: messages held for this reason although the obstacle is gone,
 * because a pause has ended by its time, or hold and release crossed in
 * concurrent transactions.  Looks at one page of them after the given id and
 * returns where the next page begins; NULL: from the start again.  Rows that
 * somebody has locked are left for the next round.
 */

CREATE FUNCTION @extschema@.wa_internal_release_stale_holds(reason text, after_id bigint, page integer)
RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stale bigint[];
    last_id bigint;
    seen integer;
    fallback CONSTANT text := @extschema@.wa_internal_default_number();
BEGIN
    WITH held AS MATERIALIZED (
        SELECT q.message_id, q.hold_reason, q.phone_number_id
        FROM @extschema@.whatsapp_queue AS q
        WHERE q.state = 'h' AND q.hold_reason = reason AND q.message_id > after_id
        ORDER BY q.message_id
        LIMIT page)
    SELECT count(*), max(h.message_id),
        array_agg(h.message_id) FILTER (WHERE CASE h.hold_reason
            WHEN 'no_number' THEN a.phone_number_id IS NOT NULL OR fallback IS NOT NULL
            WHEN 'tenant_disabled' THEN COALESCE(t.enabled, false)
            WHEN 'tenant_paused' THEN NOT EXISTS (
                SELECT FROM @extschema@.whatsapp_pauses AS p
                WHERE p.scope = 'tenant' AND p.key = m.tenant_id)
            WHEN 'template_paused' THEN NOT EXISTS (
                SELECT FROM @extschema@.whatsapp_pauses AS p
                WHERE p.scope = 'template'
                    AND p.key IN (m.template_name, m.template_name || '/' || m.template_language))
            ELSE false END)
        INTO seen, last_id, stale
        FROM held AS h
            JOIN @extschema@.whatsapp_messages AS m ON m.id = h.message_id
            LEFT JOIN @extschema@.whatsapp_tenants AS t ON t.tenant_id = m.tenant_id
            LEFT JOIN @extschema@.whatsapp_phone_assignments AS a
                ON a.tenant_id = m.tenant_id AND a.unassigned_at IS NULL;

    IF stale IS NOT NULL THEN
        SELECT array_agg(locked.message_id) INTO stale FROM (
            SELECT q.message_id FROM @extschema@.whatsapp_queue AS q
            WHERE q.message_id = ANY (stale) AND q.state = 'h'
            ORDER BY q.message_id
            FOR UPDATE SKIP LOCKED) AS locked;
        UPDATE @extschema@.whatsapp_queue AS q
            SET phone_number_id = COALESCE(a.phone_number_id, fallback)
            FROM @extschema@.whatsapp_messages AS m
                LEFT JOIN @extschema@.whatsapp_phone_assignments AS a
                    ON a.tenant_id = m.tenant_id AND a.unassigned_at IS NULL
            WHERE q.message_id = ANY (stale) AND m.id = q.message_id AND q.hold_reason = 'no_number';
        PERFORM @extschema@.wa_internal_place_rows(stale);
    END IF;
    RETURN CASE WHEN seen = page THEN last_id END;
END
$$;
/*
 * What Meta says about the account's numbers and about the access token when
 * the sender asks.
 *
 * The sender reads GET /{account}/phone_numbers and hands each page over as it
 * came; fields and their values are Meta's and open-ended, so that nothing but
 * the identifier is checked.  A change for the worse raises an alert, and the
 * return to normal closes it.
 */

/* What the worker was asked to read from Meta, and how that ended. */
CREATE TABLE @extschema@.whatsapp_sync (
    kind         text PRIMARY KEY
        CONSTRAINT whatsapp_sync_kind_check CHECK (kind IN ('phone_numbers', 'templates', 'token')),
    requested_at timestamptz,
    started_at   timestamptz,
    finished_at  timestamptz,
    items        integer,
    error        text
);

INSERT INTO @extschema@.whatsapp_sync (kind) VALUES ('phone_numbers'), ('templates'), ('token');
COMMENT ON TABLE @extschema@.whatsapp_sync IS
'The state of each synchronisation with Meta: when it was requested, when it last ran, what it found.';
COMMENT ON COLUMN @extschema@.whatsapp_sync.kind IS 'What is read: phone_numbers, templates or token.';
COMMENT ON COLUMN @extschema@.whatsapp_sync.requested_at IS 'When it was last asked for.';
COMMENT ON COLUMN @extschema@.whatsapp_sync.started_at IS 'When it last began.';
COMMENT ON COLUMN @extschema@.whatsapp_sync.finished_at IS 'When it last ended.';
COMMENT ON COLUMN @extschema@.whatsapp_sync.items IS 'How many items Meta listed.';
COMMENT ON COLUMN @extschema@.whatsapp_sync.error IS 'What went wrong; NULL: it succeeded.';

/* A sender also writes here how its synchronisation went; that is no news to it. */
CREATE TRIGGER whatsapp_sync_requested
    AFTER UPDATE OF requested_at ON @extschema@.whatsapp_sync
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_config_changed();

CREATE FUNCTION @extschema@.wa_sync_phone_numbers() RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE @extschema@.whatsapp_sync SET requested_at = clock_timestamp() WHERE kind = 'phone_numbers'
$$;
COMMENT ON FUNCTION @extschema@.wa_sync_phone_numbers() IS
'Requests that the sender read the account''s numbers from Meta after COMMIT; whatsapp_sync shows the result.';

/*
 * How many things of a kind Meta lists; NULL until the list has been read.  An
 * empty one counts as not read: it more likely means a wrong account or a missing
 * permission than an account without anything.  A run that has failed leaves
 * finished_at as it was.
 */
CREATE FUNCTION @extschema@.wa_internal_listed(kind text) RETURNS integer
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.items FROM @extschema@.whatsapp_sync AS s
    WHERE s.kind = wa_internal_listed.kind AND s.finished_at IS NOT NULL AND s.items > 0
$$;

/* Whether Meta's list is known and this number, entered by hand, is not in it. */
CREATE FUNCTION @extschema@.wa_internal_unlisted(number text) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT @extschema@.wa_internal_listed('phone_numbers'::text) IS NOT NULL AND NOT EXISTS (
        SELECT FROM @extschema@.whatsapp_phone_numbers AS p
        WHERE p.phone_number_id = number AND p.synced_at IS NOT NULL)
$$;

CREATE FUNCTION @extschema@.wa_internal_quality_alert(number text, before text, now text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF now IN ('YELLOW', 'RED') AND now IS DISTINCT FROM before THEN
        PERFORM @extschema@.wa_internal_alert(
            CASE now WHEN 'RED' THEN 'error' ELSE 'warning' END, 'number_quality'::text, 'number'::text, number,
            format('The quality of phone number %s is %s: recipients block or report its messages.', number, now),
            jsonb_build_object('before', before, 'now', now));
    ELSIF now = 'GREEN' AND before IN ('YELLOW', 'RED') THEN
        PERFORM @extschema@.wa_internal_resolve_alert('number_quality'::text, 'number'::text, number);
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_status_alert(number text, before text, now text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF now = 'CONNECTED' AND before IS DISTINCT FROM now THEN
        PERFORM @extschema@.wa_internal_resolve_alert('number_status'::text, 'number'::text, number);
    ELSIF now IS DISTINCT FROM before AND now IS NOT NULL AND (before IS NOT NULL OR now <> 'PENDING') THEN
        PERFORM @extschema@.wa_internal_alert(
            CASE WHEN now IN ('BANNED', 'DELETED', 'DISCONNECTED', 'RESTRICTED') THEN 'error' ELSE 'warning' END,
            'number_status'::text, 'number'::text, number,
            format('The status of phone number %s is %s; only CONNECTED numbers can be relied on to send.',
                number, now),
            jsonb_build_object('before', before, 'now', now));
    END IF;
END
$$;

/* How many recipients a day a limit stands for; NULL: unlimited or unknown. */
CREATE FUNCTION @extschema@.wa_internal_limit_size(messaging_limit text) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT substring(messaging_limit FROM '^TIER_([0-9]{1,9})')::bigint
        * CASE substring(messaging_limit FROM '^TIER_[0-9]+(K|M)$') WHEN 'K' THEN 1000 WHEN 'M' THEN 1000000 ELSE 1 END
$$;

/* The same for comparing: unlimited is more than anything. */
CREATE FUNCTION @extschema@.wa_internal_limit_rank(messaging_limit text) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE messaging_limit WHEN 'TIER_UNLIMITED' THEN 9223372036854775807
                                ELSE @extschema@.wa_internal_limit_size(messaging_limit) END
$$;

CREATE FUNCTION @extschema@.wa_internal_limit_alert(number text, before text, now text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    was CONSTANT bigint := @extschema@.wa_internal_limit_rank(before);
    is_now CONSTANT bigint := @extschema@.wa_internal_limit_rank(now);
BEGIN
    IF is_now < was THEN
        PERFORM @extschema@.wa_internal_alert('warning'::text, 'messaging_limit'::text, 'account'::text, ''::text,
            format('Meta has lowered the account''s limit of recipients per day from %s to %s.', before, now),
            jsonb_build_object('before', before, 'now', now, 'phone_number_id', number));
    ELSIF is_now > was THEN
        PERFORM @extschema@.wa_internal_resolve_alert('messaging_limit'::text, 'account'::text, ''::text);
    END IF;
END
$$;

/* What somebody had entered for a number before Meta was asked. */
CREATE FUNCTION @extschema@.wa_internal_confirmation_alert(
    before @extschema@.whatsapp_phone_numbers, now @extschema@.whatsapp_phone_numbers) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_resolve_alert('number_unlisted'::text, 'number'::text, now.phone_number_id);
    IF NOT @extschema@.wa_internal_same_number(
            COALESCE(before.display_phone_number, now.display_phone_number), now.display_phone_number) THEN
        PERFORM @extschema@.wa_internal_alert('warning'::text, 'number_display'::text, 'number'::text,
            now.phone_number_id,
            format('Phone number %s is %s at Meta and was entered as %s; Meta''s is taken.',
                now.phone_number_id, now.display_phone_number, before.display_phone_number),
            jsonb_build_object('before', before.display_phone_number, 'now', now.display_phone_number));
    END IF;
END
$$;

/* One entry of the listing. */
CREATE FUNCTION @extschema@.wa_internal_apply_phone_number(entry jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    number CONSTANT text := entry ->> 'id';
    old @extschema@.whatsapp_phone_numbers;
    new @extschema@.whatsapp_phone_numbers;
BEGIN
    SELECT p.* INTO old FROM @extschema@.whatsapp_phone_numbers AS p
        WHERE p.phone_number_id = number FOR NO KEY UPDATE;
    INSERT INTO @extschema@.whatsapp_phone_numbers AS p (
            phone_number_id, display_phone_number, verified_name, status, quality_rating,
            code_verification_status, name_status, platform_type, account_mode, throughput_level,
            messaging_limit, source, synced_at)
        VALUES (number, entry ->> 'display_phone_number', entry ->> 'verified_name', entry ->> 'status',
            COALESCE(entry ->> 'quality_rating', entry #>> '{quality_score,score}'),
            entry ->> 'code_verification_status', entry ->> 'name_status', entry ->> 'platform_type',
            entry ->> 'account_mode', entry #>> '{throughput,level}',
            COALESCE(entry ->> 'whatsapp_business_manager_messaging_limit', entry ->> 'messaging_limit_tier'),
            'sync', clock_timestamp())
        ON CONFLICT ON CONSTRAINT whatsapp_phone_numbers_pkey DO UPDATE
        SET display_phone_number = COALESCE(EXCLUDED.display_phone_number, p.display_phone_number),
            verified_name = COALESCE(EXCLUDED.verified_name, p.verified_name),
            status = COALESCE(EXCLUDED.status, p.status),
            quality_rating = COALESCE(EXCLUDED.quality_rating, p.quality_rating),
            code_verification_status = COALESCE(EXCLUDED.code_verification_status, p.code_verification_status),
            name_status = COALESCE(EXCLUDED.name_status, p.name_status),
            platform_type = COALESCE(EXCLUDED.platform_type, p.platform_type),
            account_mode = COALESCE(EXCLUDED.account_mode, p.account_mode),
            throughput_level = COALESCE(EXCLUDED.throughput_level, p.throughput_level),
            messaging_limit = COALESCE(EXCLUDED.messaging_limit, p.messaging_limit),
            source = 'sync', synced_at = EXCLUDED.synced_at, missing_since = NULL
        RETURNING p.* INTO new;

    IF old.phone_number_id IS NULL AND new.quality_rating IN ('YELLOW', 'RED') THEN
        /* Damage control follows updates: a restore, too, makes rows that are new. */
        UPDATE @extschema@.whatsapp_phone_numbers AS p SET quality_rating = NULL WHERE p.phone_number_id = number;
        UPDATE @extschema@.whatsapp_phone_numbers AS p SET quality_rating = new.quality_rating
            WHERE p.phone_number_id = number;
    END IF;
    IF old.synced_at IS NULL AND old.phone_number_id IS NOT NULL THEN
        PERFORM @extschema@.wa_internal_confirmation_alert(old, new);
    END IF;
    PERFORM @extschema@.wa_internal_quality_alert(number, old.quality_rating, new.quality_rating);
    PERFORM @extschema@.wa_internal_status_alert(number, old.status, new.status);
    PERFORM @extschema@.wa_internal_limit_alert(number, old.messaging_limit, new.messaging_limit);
    IF old.missing_since IS NOT NULL THEN
        PERFORM @extschema@.wa_internal_resolve_alert('number_missing'::text, 'number'::text, number);
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_apply_phone_number_page(page jsonb) RETURNS integer
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entry jsonb;
    applied integer := 0;
BEGIN
    IF jsonb_typeof(page -> 'data') IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION 'page of phone numbers has no list "data"'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR entry IN
        SELECT e.value FROM jsonb_array_elements(page -> 'data') AS e
        ORDER BY e.value ->> 'id'
    LOOP
        IF entry ->> 'id' ~ '^[0-9]{5,20}$' THEN
            PERFORM @extschema@.wa_internal_apply_phone_number(entry);
            applied := applied + 1;
        ELSE
            RAISE WARNING 'skipped an entry without a phone_number_id';
        END IF;
    END LOOP;
    RETURN applied;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_apply_phone_number_page(jsonb) IS
'Applies one page of GET /{account}/phone_numbers. Called by the sender; returns how many numbers the page had.';

/*
 * After the last page.  A listing without any number more likely means a wrong
 * account or a missing permission than an account that has lost everything, so
 * it marks nothing.
 */
CREATE FUNCTION @extschema@.wa_internal_finish_phone_number_sync(started_at timestamptz) RETURNS integer
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    since CONSTANT timestamptz := wa_internal_finish_phone_number_sync.started_at;
    found_numbers integer;
    vanished record;
    gone integer := 0;
BEGIN
    SELECT count(*) INTO found_numbers
        FROM @extschema@.whatsapp_phone_numbers AS p WHERE p.synced_at >= since;
    UPDATE @extschema@.whatsapp_sync AS s SET items = found_numbers WHERE s.kind = 'phone_numbers';
    IF found_numbers = 0 THEN
        PERFORM @extschema@.wa_internal_alert('warning'::text, 'no_numbers'::text, 'account'::text, ''::text,
            'Meta lists no phone numbers for whatsapp_shared.business_account_id. '
            'Check the account ID and the token''s permissions.'::text);
        RETURN 0;
    END IF;
    PERFORM @extschema@.wa_internal_resolve_alert('no_numbers'::text, 'account'::text, ''::text);
    PERFORM @extschema@.wa_internal_resolve_alert('number_unlisted'::text, 'number'::text, o.key)
        FROM @extschema@.whatsapp_alerts AS o
        WHERE o.kind = 'number_unlisted' AND o.resolved_at IS NULL AND NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_phone_assignments AS a
            WHERE a.phone_number_id = o.key AND a.unassigned_at IS NULL);
    PERFORM @extschema@.wa_internal_alert('error'::text, 'number_unlisted'::text, 'number'::text, a.phone_number_id,
            format('Phone number %s of tenant "%s" is not among the %s that Meta lists; its messages will fail.',
                a.phone_number_id, a.tenant_id, found_numbers),
            jsonb_build_object('tenant_id', a.tenant_id))
        FROM @extschema@.whatsapp_phone_assignments AS a
            JOIN @extschema@.whatsapp_phone_numbers AS p ON p.phone_number_id = a.phone_number_id
        WHERE a.unassigned_at IS NULL AND p.synced_at IS NULL;

    FOR vanished IN
        UPDATE @extschema@.whatsapp_phone_numbers AS p
            SET missing_since = clock_timestamp()
            WHERE p.source = 'sync' AND p.synced_at < since AND p.missing_since IS NULL
            RETURNING p.phone_number_id, p.display_phone_number, (
                SELECT a.tenant_id FROM @extschema@.whatsapp_phone_assignments AS a
                WHERE a.phone_number_id = p.phone_number_id AND a.unassigned_at IS NULL) AS tenant_id
    LOOP
        gone := gone + 1;
        PERFORM @extschema@.wa_internal_alert(
            CASE WHEN vanished.tenant_id IS NULL THEN 'warning' ELSE 'error' END,
            'number_missing'::text, 'number'::text, vanished.phone_number_id,
            format('Phone number %s is no longer part of the WhatsApp Business account.',
                COALESCE(vanished.display_phone_number, vanished.phone_number_id)),
            jsonb_build_object('tenant_id', vanished.tenant_id));
    END LOOP;
    RETURN gone;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_finish_phone_number_sync(timestamptz) IS
'After the last page of a listing begun at that time: marks the numbers that were not in it as missing. Called by '
'the sender; returns how many.';

/* ---- the access token ----------------------------------------------------------- */

/*
 * What GET /debug_token says of the access token.
 * A token that will end soon, or is not valid any more, stops every tenant, so
 * people hear of it in time: 14, 7 and 1 days before.
 */
CREATE FUNCTION @extschema@.wa_internal_apply_token_state(page jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    data CONSTANT jsonb := page -> 'data';
    required CONSTANT text[] := '{whatsapp_business_messaging,whatsapp_business_management}';
    missing text[];
    ends timestamptz;
    days numeric;
BEGIN
    IF (data ->> 'is_valid')::boolean IS NOT TRUE THEN
        PERFORM @extschema@.wa_internal_alert('error'::text, 'token'::text, 'account'::text, ''::text,
            format('The access token is not valid: %s',
                COALESCE(data #>> '{error,message}', 'Meta gives no reason')));
        RETURN;
    END IF;

    /* 0 means never, for both; the earlier one counts. */
    SELECT min(to_timestamp(v.seconds)) INTO ends
        FROM (VALUES ((data ->> 'expires_at')::double precision),
                     ((data ->> 'data_access_expires_at')::double precision)) AS v (seconds)
        WHERE v.seconds > 0;
    days := EXTRACT(epoch FROM ends - clock_timestamp()) / 86400;
    missing := ARRAY(
        SELECT r.scope FROM unnest(required) AS r (scope)
        WHERE NOT COALESCE(data -> 'scopes', '[]') ? r.scope);

    IF jsonb_typeof(data -> 'scopes') = 'array' AND missing <> '{}' THEN
        PERFORM @extschema@.wa_internal_alert('error'::text, 'token'::text, 'account'::text, ''::text,
            format('The access token lacks the permission %s',
                array_to_string(missing, ' and ')));
    ELSIF days <= 14 THEN
        PERFORM @extschema@.wa_internal_alert(
            CASE WHEN days <= 7 THEN 'error' ELSE 'warning' END, 'token'::text, 'account'::text, ''::text,
            format('The access token expires in %s days, at %s: put a new one into the file named by '
                'whatsapp_shared.access_token_file and reload',
                GREATEST(floor(days), 0), ends));
    ELSE
        PERFORM @extschema@.wa_internal_resolve_alert('token'::text, 'account'::text, ''::text);
    END IF;
END
$$;
/*
 * Damage control: what happens by itself when the quality of a number falls,
 * Meta flags it, or lowers the account's limit; whoever finds out.
 */

CREATE TABLE @extschema@.whatsapp_damage_policies (
    event  text PRIMARY KEY
        CONSTRAINT whatsapp_damage_policies_event_check
        CHECK (event IN ('quality_yellow', 'quality_red', 'number_flagged', 'limit_lowered')),
    action text NOT NULL
        CONSTRAINT whatsapp_damage_policies_action_check CHECK (action IN ('alert', 'slow', 'pause')),
    factor real NOT NULL DEFAULT 0.5
        CONSTRAINT whatsapp_damage_policies_factor_check CHECK (factor > 0 AND factor <= 1)
);

INSERT INTO @extschema@.whatsapp_damage_policies (event, action) VALUES
    ('quality_yellow', 'slow'), ('quality_red', 'pause'), ('number_flagged', 'pause'), ('limit_lowered', 'slow');
COMMENT ON TABLE @extschema@.whatsapp_damage_policies IS
'What happens automatically when a number''s quality falls, or Meta flags it or lowers the messaging limit: alert '
'(nothing more), slow (its rate times factor), or pause (until the cause has gone, or wa_resume()). Each raises an '
'alert.';
COMMENT ON COLUMN @extschema@.whatsapp_damage_policies.event IS
'quality_yellow, quality_red, number_flagged or limit_lowered.';
COMMENT ON COLUMN @extschema@.whatsapp_damage_policies.action IS
'alert (nothing more), slow (the rate times factor) or pause.';
COMMENT ON COLUMN @extschema@.whatsapp_damage_policies.factor IS 'What slow multiplies the number''s rate by.';

/* The policies that are in force for a number. */
CREATE FUNCTION @extschema@.wa_internal_damage_of(n @extschema@.whatsapp_phone_numbers)
RETURNS SETOF @extschema@.whatsapp_damage_policies
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.* FROM @extschema@.whatsapp_damage_policies AS p
    WHERE p.event = 'quality_' || lower(n.quality_rating)
        OR p.event = 'number_flagged' AND n.flagged_at IS NOT NULL
        OR p.event = 'limit_lowered' AND n.limit_lowered_from IS NOT NULL
    ORDER BY array_position('{quality_red,number_flagged,limit_lowered,quality_yellow}'::text[], p.event)
$$;

/*
 * Something of this has changed, whoever found out: a webhook or the
 * synchronisation.  The rate goes with the row that is being written.
 */
CREATE FUNCTION @extschema@.wa_internal_number_rate_by_damage() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.messaging_limit IS DISTINCT FROM OLD.messaging_limit THEN
        IF @extschema@.wa_internal_limit_rank(NEW.messaging_limit)
           < @extschema@.wa_internal_limit_rank(OLD.messaging_limit) THEN
            NEW.limit_lowered_from := COALESCE(OLD.limit_lowered_from, OLD.messaging_limit);
        ELSIF @extschema@.wa_internal_limit_rank(NEW.messaging_limit)
              >= @extschema@.wa_internal_limit_rank(OLD.limit_lowered_from) THEN
            NEW.limit_lowered_from := NULL;
        END IF;
    END IF;
    SELECT d.factor, d.event INTO NEW.rate_factor, NEW.rate_reason
        FROM @extschema@.wa_internal_damage_of(NEW) AS d
        WHERE d.action = 'slow' ORDER BY d.factor LIMIT 1;
    NEW.rate_factor := COALESCE(NEW.rate_factor, 1);
    RETURN NEW;
END
$$;

CREATE TRIGGER whatsapp_phone_numbers_rate_by_damage
    BEFORE UPDATE OF quality_rating, messaging_limit, flagged_at ON @extschema@.whatsapp_phone_numbers
    FOR EACH ROW EXECUTE FUNCTION @extschema@.wa_internal_number_rate_by_damage();

CREATE FUNCTION @extschema@.wa_internal_number_pause_by_damage() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ours CONSTANT text := '^(quality_|number_flagged$|limit_lowered$)';
    why text;
    words text;
BEGIN
    SELECT d.event INTO why FROM @extschema@.wa_internal_damage_of(NEW) AS d WHERE d.action = 'pause' LIMIT 1;
    IF why IS NULL THEN
        PERFORM @extschema@.wa_internal_lift_pause_for('number'::text, NEW.phone_number_id, ours);
        RETURN NULL;
    END IF;
    words := CASE why
        WHEN 'number_flagged' THEN 'Meta has flagged it for its quality'
        WHEN 'limit_lowered' THEN format('Meta has lowered the messaging limit from %s to %s',
            NEW.limit_lowered_from, NEW.messaging_limit)
        ELSE format('Meta rates its quality %s: recipients block or report its messages', NEW.quality_rating) END;
    UPDATE @extschema@.whatsapp_pauses AS p SET reason = why, detail = words
        WHERE p.scope = 'number' AND p.key = NEW.phone_number_id AND p.automatic AND p.reason ~ ours;
    IF NOT FOUND THEN
        PERFORM @extschema@.wa_internal_pause('number'::text, NEW.phone_number_id, why, words, NULL::integer,
            NULL::timestamptz);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER whatsapp_phone_numbers_pause_by_damage
    AFTER UPDATE OF quality_rating, messaging_limit, flagged_at ON @extschema@.whatsapp_phone_numbers
    FOR EACH ROW
    WHEN ((NEW.quality_rating, NEW.messaging_limit, NEW.flagged_at, NEW.limit_lowered_from)
          IS DISTINCT FROM (OLD.quality_rating, OLD.messaging_limit, OLD.flagged_at, OLD.limit_lowered_from))
    EXECUTE FUNCTION @extschema@.wa_internal_number_pause_by_damage();
/*
 * The templates of the WhatsApp Business account, as read from Meta or entered
 * by hand.  Messages are checked against them before COMMIT.
 */

CREATE TABLE @extschema@.whatsapp_templates (
    name             text COLLATE "C" NOT NULL
        CONSTRAINT whatsapp_templates_name_check CHECK (name ~ '^[a-z0-9_]+$' AND pg_catalog.length(name) <= 512),
    language         text COLLATE "C" NOT NULL
        CONSTRAINT whatsapp_templates_language_check CHECK (language ~ '^[A-Za-z0-9_]{2,16}$'),
    template_id      text,
    category         text NOT NULL,
    status           text NOT NULL,
    quality          text,
    rejected_reason  text,
    parameter_format text NOT NULL DEFAULT 'POSITIONAL'
        CONSTRAINT whatsapp_templates_parameter_format_check
        CHECK (parameter_format IN ('POSITIONAL', 'NAMED')),
    components       jsonb NOT NULL
        CONSTRAINT whatsapp_templates_components_check
        CHECK (pg_catalog.jsonb_typeof(components) = 'array'),
    source           text NOT NULL
        CONSTRAINT whatsapp_templates_source_check CHECK (source IN ('sync', 'local')),
    synced_at        timestamptz,
    missing_since    timestamptz,
    updated_at       timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (name, language)
);
CREATE INDEX whatsapp_templates_id_idx ON @extschema@.whatsapp_templates (template_id);
COMMENT ON TABLE @extschema@.whatsapp_templates IS
'Message templates, read from Meta by wa_sync_templates() or entered with wa_register_template().';
COMMENT ON COLUMN @extschema@.whatsapp_templates.name IS 'The template''s name at Meta.';
COMMENT ON COLUMN @extschema@.whatsapp_templates.language IS 'Its language, as approved by Meta.';
COMMENT ON COLUMN @extschema@.whatsapp_templates.template_id IS 'Meta''s ID; NULL for one entered by hand.';
COMMENT ON COLUMN @extschema@.whatsapp_templates.category IS
'MARKETING, UTILITY or AUTHENTICATION; UNKNOWN if Meta does not say.';
COMMENT ON COLUMN @extschema@.whatsapp_templates.status IS
'APPROVED can be used. Others, in Meta''s words: PENDING, REJECTED, PAUSED, DISABLED, IN_APPEAL, ARCHIVED, '
'PENDING_DELETION …';
COMMENT ON COLUMN @extschema@.whatsapp_templates.quality IS 'Meta''s quality score: GREEN, YELLOW, RED or UNKNOWN.';
COMMENT ON COLUMN @extschema@.whatsapp_templates.rejected_reason IS 'Why Meta has rejected it.';
COMMENT ON COLUMN @extschema@.whatsapp_templates.parameter_format IS 'POSITIONAL ({{1}}) or NAMED ({{name}}).';
COMMENT ON COLUMN @extschema@.whatsapp_templates.components IS 'Header, body, footer and buttons as Meta lists them.';
COMMENT ON COLUMN @extschema@.whatsapp_templates.source IS
'sync: read from Meta; local: entered by hand, and left alone by the synchronisation unless Meta has a template of '
'this name and language.';
COMMENT ON COLUMN @extschema@.whatsapp_templates.synced_at IS 'When it was last read from Meta.';
COMMENT ON COLUMN @extschema@.whatsapp_templates.missing_since IS
'Since when Meta no longer lists it; it cannot be used then.';
COMMENT ON COLUMN @extschema@.whatsapp_templates.updated_at IS 'When this row last changed.';

CREATE FUNCTION @extschema@.wa_internal_unknown_template(name text, language text) RETURNS void
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_unknown_template';
COMMENT ON FUNCTION @extschema@.wa_internal_unknown_template(text, text) IS
'Raises the error about a template that does not exist, or not in this language (NULL: in any). Internal.';

/* ---- entering them by hand, and applying what Meta lists -------------------------- */

/* One template, new or changed. */
CREATE FUNCTION @extschema@.wa_internal_store_template(t @extschema@.whatsapp_templates) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO @extschema@.whatsapp_templates AS o SELECT t.*
    ON CONFLICT (name, language) DO UPDATE SET
        template_id = EXCLUDED.template_id,
        category = EXCLUDED.category,
        status = EXCLUDED.status,
        quality = EXCLUDED.quality,
        rejected_reason = CASE EXCLUDED.status
            WHEN 'REJECTED' THEN COALESCE(EXCLUDED.rejected_reason, o.rejected_reason) END,
        parameter_format = EXCLUDED.parameter_format,
        components = EXCLUDED.components,
        source = EXCLUDED.source,
        synced_at = EXCLUDED.synced_at,
        missing_since = NULL,
        updated_at = EXCLUDED.updated_at
$$;

CREATE FUNCTION @extschema@.wa_register_template(
    name             text,
    language         text,
    components       jsonb,
    category         text DEFAULT 'UTILITY',
    parameter_format text DEFAULT 'POSITIONAL',
    status           text DEFAULT 'APPROVED',
    template_id      text DEFAULT NULL)
RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    statuses CONSTANT text[] := '{APPROVED,PENDING,IN_APPEAL,REJECTED,PAUSED,DISABLED,LIMIT_EXCEEDED,ARCHIVED,
        PENDING_DELETION,DELETED,UNKNOWN}';
    t @extschema@.whatsapp_templates;
BEGIN
    IF name IS NULL OR language IS NULL OR components IS NULL THEN
        RAISE EXCEPTION 'name, language and components of a template must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    ELSIF name !~ '^[a-z0-9_]+$' OR length(name) > 512 THEN
        RAISE EXCEPTION 'invalid template name "%"', @extschema@.wa_internal_quote(name)
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'A name has up to 512 lower-case letters, digits and underscores.';
    ELSIF jsonb_typeof(components) <> 'array' THEN
        RAISE EXCEPTION 'components of a template must be an array'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give them as Meta lists them: [{"type": "BODY", "text": "Hola {{1}}"}].';
    ELSIF upper(category) NOT IN ('MARKETING', 'UTILITY', 'AUTHENTICATION') THEN
        RAISE EXCEPTION 'invalid template category "%"', @extschema@.wa_internal_quote(category)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Use MARKETING, UTILITY or AUTHENTICATION.';
    ELSIF upper(parameter_format) NOT IN ('POSITIONAL', 'NAMED') THEN
        RAISE EXCEPTION 'invalid parameter format "%"', @extschema@.wa_internal_quote(parameter_format)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Use POSITIONAL or NAMED.';
    ELSIF upper(status) <> ALL (statuses) THEN
        RAISE EXCEPTION 'invalid template status "%"', @extschema@.wa_internal_quote(status)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = format('Meta''s are %s.', array_to_string(statuses, ', '));
    END IF;
    t.name := name;
    t.language := @extschema@.wa_internal_check_language(language);
    t.template_id := template_id;
    t.category := COALESCE(upper(category), 'UTILITY');
    t.status := COALESCE(upper(status), 'APPROVED');
    t.parameter_format := COALESCE(upper(parameter_format), 'POSITIONAL');
    t.components := components;
    t.source := 'local';
    t.updated_at := now();
    PERFORM @extschema@.wa_internal_store_template(t);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_register_template(text, text, jsonb, text, text, text, text) IS
'Enters a template by hand, or replaces one: for tests, and for work without access to Meta. components: as Meta '
'lists them. The next synchronisation replaces it if Meta has a template of this name and language, and leaves it '
'alone otherwise. Errors: 22004, 22023.';

CREATE FUNCTION @extschema@.wa_unregister_template(name text, language text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_check_not_null('name'::text, name);
    PERFORM @extschema@.wa_internal_check_not_null('language'::text, language);
    DELETE FROM @extschema@.whatsapp_templates AS t
        WHERE t.name = wa_unregister_template.name
            AND t.language = wa_unregister_template.language
            AND t.source = 'local';
    IF NOT FOUND THEN
        RAISE NOTICE 'no template "%" (%) was entered by hand',
            @extschema@.wa_internal_quote(name), @extschema@.wa_internal_quote(language)
           
            USING HINT = 'whatsapp_templates shows which were: their source is local.';
        RETURN false;
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_unregister_template(text, text) IS
'Removes a template that was entered by hand. False, with a NOTICE: there is none. Error 22004.';

/*
 * One page of GET /{waba}/message_templates, as it came.  An element without a
 * name or a language is of no use and is passed over; everything else is stored
 * even if this version cannot make sense of it.
 */
CREATE FUNCTION @extschema@.wa_internal_apply_template_page(page jsonb) RETURNS integer
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    element jsonb;
    t @extschema@.whatsapp_templates;
    before text;
    applied integer := 0;
BEGIN
    IF jsonb_typeof(page -> 'data') IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION 'a page of templates must have an array "data"'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    /* In one order, so that two synchronisations cannot deadlock. */
    FOR element IN
        SELECT e FROM jsonb_array_elements(page -> 'data') AS e
        ORDER BY e ->> 'name', e ->> 'language'
    LOOP
        CONTINUE WHEN (element ->> 'name' ~ '^[a-z0-9_]+$' AND length(element ->> 'name') <= 512) IS NOT TRUE
            OR (element ->> 'language' ~ '^[A-Za-z0-9_]{2,16}$') IS NOT TRUE;
        t := NULL;
        t.name := element ->> 'name';
        t.language := element ->> 'language';
        t.template_id := element ->> 'id';
        t.category := COALESCE(upper(element ->> 'category'), 'UNKNOWN');
        t.status := COALESCE(upper(element ->> 'status'), 'UNKNOWN');
        t.quality := element -> 'quality_score' ->> 'score';
        t.rejected_reason := NULLIF(element ->> 'rejected_reason', 'NONE');
        t.parameter_format := CASE upper(element ->> 'parameter_format')
            WHEN 'NAMED' THEN 'NAMED' ELSE 'POSITIONAL' END;
        t.components := CASE jsonb_typeof(element -> 'components')
            WHEN 'array' THEN element -> 'components' ELSE '[]' END;
        t.source := 'sync';
        t.synced_at := clock_timestamp();
        t.updated_at := clock_timestamp();
        SELECT o.status INTO before FROM @extschema@.whatsapp_templates AS o
            WHERE o.name = t.name AND o.language = t.language;
        PERFORM @extschema@.wa_internal_store_template(t);
        IF before = 'APPROVED' AND t.status NOT IN ('APPROVED', 'PENDING', 'IN_APPEAL') THEN
            PERFORM @extschema@.wa_internal_alert(
                CASE t.status WHEN 'PAUSED' THEN 'warning' ELSE 'error' END,
                'template_status'::text, 'template'::text, t.name || '/' || t.language,
                format('Meta has set the template %s/%s to %s', t.name, t.language, t.status));
        END IF;
        applied := applied + 1;
    END LOOP;
    RETURN applied;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_apply_template_page(jsonb) IS
'Stores one page of Meta''s list of templates and returns how many it took. Called by the sender.';

/*
 * A listing without any template is taken for a mistake (another account, a
 * token that may not read them), and marks none as vanished.
 *
 * A template that was listed as approved is not paused: its automatic pause
 * ends, unless that began after the listing did.
 */
CREATE FUNCTION @extschema@.wa_internal_finish_template_sync(started_at timestamptz) RETURNS integer
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    since CONSTANT timestamptz := wa_internal_finish_template_sync.started_at;
    listed integer;
    vanished integer := 0;
    t record;
BEGIN
    SELECT count(*) INTO listed
        FROM @extschema@.whatsapp_templates AS o WHERE o.source = 'sync' AND o.synced_at >= since;
    UPDATE @extschema@.whatsapp_sync AS s SET items = listed WHERE s.kind = 'templates';
    IF listed = 0 THEN
        RETURN 0;
    END IF;

    FOR t IN
        SELECT o.name || '/' || o.language AS key,
               EXISTS (SELECT FROM @extschema@.whatsapp_pauses AS p
                       WHERE p.scope = 'template' AND p.key = o.name || '/' || o.language
                           AND p.automatic AND p.paused_at < since) AS is_paused
        FROM @extschema@.whatsapp_templates AS o
        WHERE o.synced_at >= since AND o.status = 'APPROVED'
        ORDER BY o.name, o.language
    LOOP
        IF t.is_paused THEN
            PERFORM @extschema@.wa_internal_lift_pause('template'::text, t.key, true);
        END IF;
        PERFORM @extschema@.wa_internal_resolve_alert('template_status'::text, 'template'::text, t.key);
    END LOOP;

    FOR t IN
        UPDATE @extschema@.whatsapp_templates AS o SET missing_since = clock_timestamp()
            WHERE o.source = 'sync' AND o.missing_since IS NULL AND o.synced_at < since
            RETURNING o.name || '/' || o.language AS key
    LOOP
        vanished := vanished + 1;
        PERFORM @extschema@.wa_internal_alert('warning'::text, 'template_status'::text, 'template'::text, t.key,
            format('Meta no longer lists the template %s', t.key));
    END LOOP;
    RETURN vanished;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_finish_template_sync(timestamptz) IS
'After the last page of a listing begun at that time: marks the templates that were not in it as missing, and ends '
'the pauses of those that are approved. Called by the sender; returns how many are missing.';

CREATE FUNCTION @extschema@.wa_sync_templates() RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE @extschema@.whatsapp_sync SET requested_at = clock_timestamp() WHERE kind = 'templates'
$$;
COMMENT ON FUNCTION @extschema@.wa_sync_templates() IS
'Requests that the sender read the account''s templates from Meta after COMMIT; whatsapp_sync shows the result.';
/*
 * Files that are uploaded to Meta before they are sent.
 *
 * The bytes stay here until Meta has them, and longer only while messages wait
 * that may outlive Meta's id, which is good for 30 days.
 */

CREATE TABLE @extschema@.whatsapp_media (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id       text COLLATE "C" NOT NULL,
    sha256          bytea NOT NULL,
    mime_type       text COLLATE "C" NOT NULL,
    filename        text,
    kind            text NOT NULL
        CONSTRAINT whatsapp_media_kind_check
        CHECK (kind IN ('image', 'video', 'audio', 'document', 'sticker')),
    size            integer NOT NULL,
    content         bytea,
    status          text NOT NULL DEFAULT 'waiting'
        CONSTRAINT whatsapp_media_status_check CHECK (status IN ('waiting', 'uploaded', 'failed')),
    phone_number_id text COLLATE "C",
    media_id        text,
    created_at      timestamptz NOT NULL DEFAULT pg_catalog.now(),
    uploaded_at     timestamptz,
    expires_at      timestamptz,
    attempts        smallint NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    error_code      integer,
    error           text,
    CONSTRAINT whatsapp_media_content_key UNIQUE (tenant_id, sha256, mime_type),
    CONSTRAINT whatsapp_media_uploaded_check
        CHECK (status <> 'uploaded' OR media_id IS NOT NULL AND phone_number_id IS NOT NULL
               AND expires_at IS NOT NULL),
    CONSTRAINT whatsapp_media_waiting_check CHECK (status <> 'waiting' OR content IS NOT NULL)
);
/* Photographs and PDFs are compressed already. */
ALTER TABLE @extschema@.whatsapp_media ALTER COLUMN content SET STORAGE EXTERNAL;
CREATE INDEX whatsapp_media_waiting_idx
    ON @extschema@.whatsapp_media (next_attempt_at) WHERE status = 'waiting';
CREATE INDEX whatsapp_media_uploaded_idx
    ON @extschema@.whatsapp_media (sha256, phone_number_id) WHERE status = 'uploaded';
CREATE INDEX whatsapp_media_kept_idx
    ON @extschema@.whatsapp_media (expires_at) WHERE status = 'uploaded' AND content IS NOT NULL;
COMMENT ON TABLE @extschema@.whatsapp_media IS
'Files passed to wa_upload_media(), and the state of their upload.';
COMMENT ON COLUMN @extschema@.whatsapp_media.id IS 'The ID that wa_upload_media() returns.';
COMMENT ON COLUMN @extschema@.whatsapp_media.tenant_id IS 'The tenant that it was uploaded for.';
COMMENT ON COLUMN @extschema@.whatsapp_media.sha256 IS 'SHA-256 of the bytes: the same file is uploaded once.';
COMMENT ON COLUMN @extschema@.whatsapp_media.mime_type IS 'Its media type, such as application/pdf.';
COMMENT ON COLUMN @extschema@.whatsapp_media.filename IS 'The file''s name, if one was given.';
COMMENT ON COLUMN @extschema@.whatsapp_media.kind IS
'The message type that can carry it: image, video, audio, document or sticker.';
COMMENT ON COLUMN @extschema@.whatsapp_media.size IS 'Size in bytes.';
COMMENT ON COLUMN @extschema@.whatsapp_media.content IS
'The file, until Meta has it and no waiting message could outlive Meta''s ID.';
COMMENT ON COLUMN @extschema@.whatsapp_media.status IS 'waiting, uploaded or failed.';
COMMENT ON COLUMN @extschema@.whatsapp_media.phone_number_id IS
'The number that it was uploaded for; Meta''s ID is valid for it only.';
COMMENT ON COLUMN @extschema@.whatsapp_media.media_id IS 'Meta''s ID of the file.';
COMMENT ON COLUMN @extschema@.whatsapp_media.created_at IS 'When it was first given to wa_upload_media().';
COMMENT ON COLUMN @extschema@.whatsapp_media.uploaded_at IS 'When Meta had it.';
COMMENT ON COLUMN @extschema@.whatsapp_media.expires_at IS 'When Meta''s ID expires.';
COMMENT ON COLUMN @extschema@.whatsapp_media.attempts IS 'Uploads begun for this file.';
COMMENT ON COLUMN @extschema@.whatsapp_media.next_attempt_at IS 'When the next upload is due.';
COMMENT ON COLUMN @extschema@.whatsapp_media.error_code IS 'Graph API error code of the last failure.';
COMMENT ON COLUMN @extschema@.whatsapp_media.error IS 'The error of the last upload.';

/* Which messages send it; kept as long as the message, for wa_retry_message(). */
CREATE TABLE @extschema@.whatsapp_media_uses (
    message_id bigint PRIMARY KEY,
    medium     bigint NOT NULL
);
CREATE INDEX whatsapp_media_uses_medium_idx ON @extschema@.whatsapp_media_uses (medium);
COMMENT ON TABLE @extschema@.whatsapp_media_uses IS
'Messages whose file is a row of whatsapp_media. Internal.';

/*
 * wa_upload_media() stores the bytes; sender 0 (src/sender/upload.c) uploads them and
 * calls the functions below.  A message of a file that Meta does not have yet
 * is held for the reason media_upload, without the id in its payload, and
 * released by the transaction that stores the id.
 *
 * Hold and upload may cross in concurrent transactions, so the sender also
 * looks at what is held whenever something has been (wa_internal_settle_media).
 */

/* ---- storing -------------------------------------------------------------- */

/*
 * What Meta takes, by the kind of message that can carry it (Cloud API, media
 * reference, "Supported media types").  Bytes; MB are powers of two there.
 */
CREATE FUNCTION @extschema@.wa_internal_media_types(OUT mime_type text, OUT kind text, OUT max_size integer)
RETURNS SETOF record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 20
    SET search_path = pg_catalog, pg_temp
AS $$
    VALUES
        ('image/jpeg', 'image', 5 * 1048576),
        ('image/png', 'image', 5 * 1048576),
        ('image/webp', 'sticker', 500 * 1024),
        ('audio/aac', 'audio', 16 * 1048576),
        ('audio/amr', 'audio', 16 * 1048576),
        ('audio/mpeg', 'audio', 16 * 1048576),
        ('audio/mp4', 'audio', 16 * 1048576),
        ('audio/ogg', 'audio', 16 * 1048576),
        ('video/mp4', 'video', 16 * 1048576),
        ('video/3gpp', 'video', 16 * 1048576),
        ('text/plain', 'document', 100 * 1048576),
        ('application/pdf', 'document', 100 * 1048576),
        ('application/msword', 'document', 100 * 1048576),
        ('application/vnd.ms-excel', 'document', 100 * 1048576),
        ('application/vnd.ms-powerpoint', 'document', 100 * 1048576),
        ('application/vnd.openxmlformats-officedocument.wordprocessingml.document', 'document', 100 * 1048576),
        ('application/vnd.openxmlformats-officedocument.spreadsheetml.sheet', 'document', 100 * 1048576),
        ('application/vnd.openxmlformats-officedocument.presentationml.presentation', 'document', 100 * 1048576)
$$;

/* A sticker that moves: the animation bit of the extended header (RFC 9649, 2.7). */
CREATE FUNCTION @extschema@.wa_internal_is_animated(content bytea) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT length(content) > 20 AND substr(content, 13, 4) = 'VP8X'::bytea AND get_byte(content, 20) & 2 = 2
$$;

/* The kind of message for a file of this type; an error if Meta would not take it. */
CREATE FUNCTION @extschema@.wa_internal_check_media(content bytea, mime_type text) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    rule record;
    size CONSTANT integer := length(content);
BEGIN
    SELECT t.* INTO rule FROM @extschema@.wa_internal_media_types() AS t
        WHERE t.mime_type = split_part(wa_internal_check_media.mime_type, ';', 1);
    /* The type stands in a header of the upload: one parameter, no other characters. */
    IF NOT FOUND OR wa_internal_check_media.mime_type !~ '^[a-z0-9/.+-]+(; ?[a-z]+=[A-Za-z0-9.-]+)?$' THEN
        RAISE EXCEPTION 'files of type "%" cannot be sent',
            @extschema@.wa_internal_quote(wa_internal_check_media.mime_type)
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'WhatsApp accepts ' || (SELECT string_agg(t.mime_type, ', ')
                                                 FROM @extschema@.wa_internal_media_types() AS t) || '.';
    ELSIF size = 0 THEN
        RAISE EXCEPTION 'argument "content" must not be empty' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF rule.kind = 'sticker' AND NOT @extschema@.wa_internal_is_animated(content) THEN
        rule.max_size := 100 * 1024;
    END IF;
    IF size > rule.max_size THEN
        RAISE EXCEPTION 'file is too large'
            USING ERRCODE = 'program_limit_exceeded',
                  DETAIL = format('It has %s bytes; at most %s are allowed for %s.', size, rule.max_size,
                      CASE WHEN rule.kind <> 'sticker' THEN 'the type ' || rule.mime_type
                           WHEN rule.max_size > 100 * 1024 THEN 'an animated sticker'
                           ELSE 'a static sticker' END);
    END IF;
    RETURN rule.kind;
END
$$;

/*
 * Whether messages of this number that are due by then can use Meta's id.  A
 * day is left for the way from the queue to Meta.
 */
CREATE FUNCTION @extschema@.wa_internal_media_usable(
    m @extschema@.whatsapp_media, number text, due_at timestamptz) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT m.status = 'uploaded' AND m.phone_number_id = number
        AND m.expires_at > GREATEST(due_at, clock_timestamp()) + interval '1 day'
$$;

CREATE FUNCTION @extschema@.wa_upload_media(
    tenant_id text,
    content   bytea,
    mime_type text,
    filename  text DEFAULT NULL)
RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    tenant CONSTANT text := wa_upload_media.tenant_id;
    bytes CONSTANT bytea := wa_upload_media.content;
    type CONSTANT text := wa_upload_media.mime_type;
    name CONSTANT text := wa_upload_media.filename;
    number text;
    kind text;
    medium bigint;
BEGIN
    IF tenant IS NULL OR bytes IS NULL OR type IS NULL THEN
        RAISE EXCEPTION 'tenant_id, content and mime_type must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    PERFORM @extschema@.wa_internal_check_own_tenant(tenant);
    PERFORM @extschema@.wa_internal_check_tenant_exists(tenant);
    IF length(name) > 240 THEN
        RAISE EXCEPTION 'filename is too long'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('It has %s characters; at most 240 are allowed.', length(name));
    END IF;
    kind := @extschema@.wa_internal_check_media(bytes, type);
    number := @extschema@.wa_internal_number_of(tenant);

    /* The same bytes again: as they are if they wait or Meta still has them, else from the start. */
    INSERT INTO @extschema@.whatsapp_media AS m (tenant_id, sha256, mime_type, filename, kind, size, content)
        VALUES (tenant, sha256(bytes), type, name, kind, length(bytes), bytes)
        ON CONFLICT (tenant_id, sha256, mime_type) DO UPDATE
            SET content = EXCLUDED.content, status = 'waiting', attempts = 0, next_attempt_at = now(),
                error_code = NULL, error = NULL
            WHERE m.status <> 'waiting' AND NOT @extschema@.wa_internal_media_usable(m, number, now())
        RETURNING m.id INTO medium;
    IF medium IS NULL THEN
        SELECT m.id INTO STRICT medium FROM @extschema@.whatsapp_media AS m
            WHERE m.tenant_id = tenant AND m.sha256 = sha256(bytes) AND m.mime_type = type;
    ELSE
        PERFORM @extschema@.wa_internal_wake_due(clock_timestamp());
    END IF;
    RETURN medium;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_upload_media(text, bytea, text, text) IS
'Has the sender upload a file for the tenant''s number after COMMIT, and returns its ID for wa_enqueue_media(…, '
'media => id) or the header of a template ({"header": {"document": {"media": id}}}). whatsapp_media shows the '
'result. The same bytes are uploaded once in the 30 days for which Meta keeps them. Limits: images 5 MB, audio and '
'video 16 MB, documents 100 MB, stickers 100 kB, animated ones 500 kB. Errors: 22004, 22023 type that cannot be '
'sent, 42704 unknown tenant, 54000 too large.';

/* ---- uploading --------------------------------------------------------------- */

/*
 * The next file to upload, for a number that is not busy; the attempt is
 * counted, and would be repeated at next_attempt_at if nobody heard of it
 * again.  A file that Meta already has from another tenant of the same number
 * needs no upload.
 */
CREATE FUNCTION @extschema@.wa_internal_next_media(busy text[], retry_ms bigint, max_retry_ms bigint)
RETURNS TABLE (id bigint, phone_number_id text, mime_type text, filename text, content bytea, attempts integer)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    m @extschema@.whatsapp_media;
    other @extschema@.whatsapp_media;
    number text;
BEGIN
    LOOP
        SELECT w.* INTO m
            FROM @extschema@.whatsapp_media AS w
                JOIN @extschema@.whatsapp_tenants AS t ON t.tenant_id = w.tenant_id AND t.enabled
                CROSS JOIN LATERAL @extschema@.wa_internal_number_of(w.tenant_id) AS n (number)
            WHERE w.status = 'waiting' AND w.next_attempt_at <= clock_timestamp()
                AND n.number IS NOT NULL AND n.number <> ALL (busy)
            ORDER BY w.next_attempt_at
            LIMIT 1
            FOR UPDATE OF w SKIP LOCKED;
        EXIT WHEN NOT FOUND;
        number := @extschema@.wa_internal_number_of(m.tenant_id);

        SELECT o.* INTO other FROM @extschema@.whatsapp_media AS o
            WHERE o.sha256 = m.sha256 AND o.phone_number_id = number AND o.status = 'uploaded'
                AND o.mime_type = m.mime_type AND o.id <> m.id
                AND @extschema@.wa_internal_media_usable(o, number, now())
            ORDER BY o.expires_at DESC LIMIT 1;
        IF FOUND THEN
            PERFORM @extschema@.wa_internal_media_uploaded(m.id, number, other.media_id, other.uploaded_at);
            CONTINUE;
        END IF;

        UPDATE @extschema@.whatsapp_media AS w
            SET attempts = w.attempts + 1,
                next_attempt_at = clock_timestamp() + make_interval(
                    secs => LEAST(retry_ms * 2 ^ LEAST(w.attempts, 30), max_retry_ms) / 1000)
            WHERE w.id = m.id;
        RETURN QUERY SELECT m.id, number, m.mime_type, m.filename, m.content, m.attempts + 1;
        RETURN;
    END LOOP;
END
$$;

/* When the next attempt is due that is not due yet. */
CREATE FUNCTION @extschema@.wa_internal_next_media_time() RETURNS timestamptz
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT m.next_attempt_at FROM @extschema@.whatsapp_media AS m
    WHERE m.status = 'waiting' AND m.next_attempt_at > clock_timestamp()
    ORDER BY m.next_attempt_at LIMIT 1
$$;

/* Meta has it: what waits for it goes on. */
CREATE FUNCTION @extschema@.wa_internal_media_uploaded(
    medium bigint, number text, meta_id text, at timestamptz DEFAULT pg_catalog.clock_timestamp()) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE @extschema@.whatsapp_media AS m
        SET status = 'uploaded', phone_number_id = number, media_id = meta_id, uploaded_at = at,
            expires_at = at + interval '30 days', error_code = NULL, error = NULL
        WHERE m.id = medium AND m.status = 'waiting';
    IF FOUND THEN
        PERFORM @extschema@.wa_internal_apply_media(medium);
    END IF;
END
$$;

/*
 * An upload did not succeed: again later, or given up.  An attempt for which
 * the file was not to blame does not count.
 */
CREATE FUNCTION @extschema@.wa_internal_media_failed(
    medium bigint, code integer, message text, for_good boolean, counts boolean, delay_ms bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE @extschema@.whatsapp_media AS m
        SET status = CASE WHEN for_good THEN 'failed' ELSE m.status END,
            content = CASE WHEN NOT for_good THEN m.content END,
            attempts = m.attempts - CASE WHEN counts THEN 0 ELSE 1 END,
            next_attempt_at = clock_timestamp() + make_interval(secs => delay_ms / 1000.0),
            error_code = code, error = message
        WHERE m.id = medium AND m.status = 'waiting';
    IF for_good THEN
        PERFORM @extschema@.wa_internal_settle_media();
    END IF;
END
$$;

/* ---- messages that wait ---------------------------------------------------------- */

/* Where in a message's payload Meta's id stands: in a template's header, or at the top. */
CREATE FUNCTION @extschema@.wa_internal_media_path(payload jsonb) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN payload ? 'components'
        THEN ARRAY['components', '0', 'parameters', '0', payload #>> '{components,0,parameters,0,type}', 'id']
        ELSE '{id}' END
$$;

/* Puts Meta's id into the messages that are still to be sent, and releases those held for it. */
CREATE FUNCTION @extschema@.wa_internal_apply_media(medium bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m @extschema@.whatsapp_media;
    ids bigint[];
    held bigint[];
BEGIN
    SELECT o.* INTO STRICT m FROM @extschema@.whatsapp_media AS o WHERE o.id = medium;
    SELECT COALESCE(array_agg(locked.message_id), '{}'),
           COALESCE(array_agg(locked.message_id)
               FILTER (WHERE locked.state = 'h' AND locked.hold_reason = 'media_upload'), '{}')
        INTO ids, held
        FROM (
            SELECT q.message_id, q.state, q.hold_reason
            FROM @extschema@.whatsapp_media_uses AS u
                JOIN @extschema@.whatsapp_queue AS q ON q.message_id = u.message_id
            WHERE u.medium = wa_internal_apply_media.medium AND q.state IN ('r', 'd', 'h')
                AND q.phone_number_id = m.phone_number_id
            ORDER BY q.message_id
            FOR UPDATE OF q SKIP LOCKED) AS locked;
    ids := @extschema@.wa_internal_subtract(ids, @extschema@.wa_internal_on_wire(ids));
    UPDATE @extschema@.whatsapp_messages AS o
        SET payload = jsonb_set(o.payload, @extschema@.wa_internal_media_path(o.payload), to_jsonb(m.media_id))
        WHERE o.id = ANY (ids)
            AND o.payload #>> @extschema@.wa_internal_media_path(o.payload) IS DISTINCT FROM m.media_id;
    PERFORM @extschema@.wa_internal_place_rows(held);
END
$$;

/*
 * Whether the message has to wait for its file: it has one, and what Meta has
 * of it is not for the number the message leaves from, or not for much longer.
 */
CREATE FUNCTION @extschema@.wa_internal_awaits_media(message bigint, number text) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM @extschema@.whatsapp_media_uses AS u
            JOIN @extschema@.whatsapp_messages AS o ON o.id = u.message_id
            LEFT JOIN @extschema@.whatsapp_media AS m ON m.id = u.medium
        WHERE u.message_id = message
            AND NOT COALESCE(m.status = 'uploaded' AND m.phone_number_id = number
                             AND m.expires_at > clock_timestamp()
                             AND o.payload #>> @extschema@.wa_internal_media_path(o.payload) = m.media_id, false))
$$;

/* Messages whose file will never arrive fail; their queue rows are locked. */
CREATE FUNCTION @extschema@.wa_internal_fail_for_media(ids bigint[]) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH gone AS (
        DELETE FROM @extschema@.whatsapp_queue AS q WHERE q.message_id = ANY (ids) RETURNING q.message_id)
    UPDATE @extschema@.whatsapp_messages AS o
        SET status = 'failed', status_reason = 'media_upload', failed_at = clock_timestamp(),
            finished_at = clock_timestamp(), error_code = m.error_code,
            error_message = CASE
                WHEN m.id IS NULL OR m.status <> 'failed'
                    THEN format('file %s is no longer stored; upload it again', u.medium)
                ELSE format('file %s could not be uploaded: %s', u.medium, m.error) END
        FROM gone
            JOIN @extschema@.whatsapp_media_uses AS u ON u.message_id = gone.message_id
            LEFT JOIN @extschema@.whatsapp_media AS m ON m.id = u.medium
        WHERE o.id = gone.message_id
$$;

/*
 * Looks at what is held for a file: goes on with what need not wait (any
 * more), fails what waits in vain, and has a file uploaded again whose id is
 * not good for the number, or will soon not be good at all.
 */
CREATE FUNCTION @extschema@.wa_internal_settle_media() RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    ready bigint;
    again bigint[];
    vain bigint[];
    ids bigint[];
BEGIN
    FOR ready IN
        SELECT DISTINCT m.id
        FROM @extschema@.whatsapp_queue AS q
            JOIN @extschema@.whatsapp_media_uses AS u ON u.message_id = q.message_id
            JOIN @extschema@.whatsapp_media AS m ON m.id = u.medium
        WHERE q.state = 'h' AND q.hold_reason = 'media_upload'
            AND @extschema@.wa_internal_media_usable(m, q.phone_number_id, now())
            AND (m.content IS NOT NULL OR @extschema@.wa_internal_media_usable(m, q.phone_number_id, q.due_at))
    LOOP
        PERFORM @extschema@.wa_internal_apply_media(ready);
    END LOOP;

    /* Of another number, or too old, and wanted. */
    SELECT COALESCE(array_agg(DISTINCT m.id), '{}') INTO again
        FROM @extschema@.whatsapp_queue AS q
            JOIN @extschema@.whatsapp_media_uses AS u ON u.message_id = q.message_id
            JOIN @extschema@.whatsapp_media AS m ON m.id = u.medium
        WHERE q.state = 'h' AND q.hold_reason = 'media_upload'
            AND m.status = 'uploaded' AND m.content IS NOT NULL
            AND NOT @extschema@.wa_internal_media_usable(m, q.phone_number_id, now());
    again := again || COALESCE((
        SELECT array_agg(m.id)
        FROM @extschema@.whatsapp_media AS m
        WHERE m.status = 'uploaded' AND m.content IS NOT NULL
            AND m.expires_at < clock_timestamp() + interval '1 day'
            AND @extschema@.wa_internal_media_wanted(m.id)), '{}');
    UPDATE @extschema@.whatsapp_media AS m
        SET status = 'waiting', attempts = 0, next_attempt_at = clock_timestamp()
        WHERE m.id = ANY (again) AND m.status = 'uploaded';

    /* An id that has run out already must not be sent. */
    SELECT COALESCE(array_agg(locked.message_id), '{}') INTO ids FROM (
        SELECT q.message_id
        FROM @extschema@.whatsapp_media AS m
            JOIN @extschema@.whatsapp_media_uses AS u ON u.medium = m.id
            JOIN @extschema@.whatsapp_queue AS q ON q.message_id = u.message_id
        WHERE m.id = ANY (again) AND m.expires_at <= clock_timestamp() AND q.state IN ('r', 'd')
        ORDER BY q.message_id
        FOR UPDATE OF q SKIP LOCKED) AS locked;
    ids := @extschema@.wa_internal_subtract(ids, @extschema@.wa_internal_on_wire(ids));
    PERFORM @extschema@.wa_internal_place_rows(ids);

    SELECT COALESCE(array_agg(locked.message_id), '{}') INTO vain FROM (
        SELECT q.message_id
        FROM @extschema@.whatsapp_queue AS q
            LEFT JOIN @extschema@.whatsapp_media_uses AS u ON u.message_id = q.message_id
            LEFT JOIN @extschema@.whatsapp_media AS m ON m.id = u.medium
        WHERE q.state = 'h' AND q.hold_reason = 'media_upload'
            AND (m.id IS NULL OR m.status = 'failed'
                 OR m.status = 'uploaded' AND m.content IS NULL
                    AND NOT @extschema@.wa_internal_media_usable(m, q.phone_number_id, q.due_at))
        ORDER BY q.message_id
        FOR UPDATE OF q SKIP LOCKED) AS locked;
    PERFORM @extschema@.wa_internal_fail_for_media(vain);
END
$$;

/* Whether a message may still have to send it. */
CREATE FUNCTION @extschema@.wa_internal_media_wanted(medium bigint) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM @extschema@.whatsapp_media_uses AS u
            JOIN @extschema@.whatsapp_queue AS q ON q.message_id = u.message_id
        WHERE u.medium = wa_internal_media_wanted.medium)
$$;

/*
 * For the sweep: lets go of bytes that Meta has and no message waits for (nor
 * one that is just being written), of files long out of use, and of notes on messages that retention has removed.
 */
CREATE FUNCTION @extschema@.wa_internal_clean_media(retention interval) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    UPDATE @extschema@.whatsapp_media AS m SET content = NULL
        WHERE m.status = 'uploaded' AND m.content IS NOT NULL
            AND m.uploaded_at < now() - interval '10 minutes'
            AND NOT @extschema@.wa_internal_media_wanted(m.id);
    IF retention > '0' THEN
        DELETE FROM @extschema@.whatsapp_media AS m
            WHERE m.status <> 'waiting'
                AND COALESCE(m.expires_at, m.next_attempt_at) < now() - retention
                AND NOT @extschema@.wa_internal_media_wanted(m.id);
        DELETE FROM @extschema@.whatsapp_media_uses AS u
            WHERE NOT EXISTS (SELECT FROM @extschema@.whatsapp_messages AS o WHERE o.id = u.message_id);
    END IF;
END
$$;
/*
 * Notifications that triggers on the application's tables send.
 *
 * Nothing here depends on those tables, nor on roles: a dump of this database,
 * whole or in part, can be restored in any order.  Which table a notification is
 * attached to is known from its trigger alone, which has the notification's id as
 * an argument.
 */

/* ---- whose rights registered code has; see src/base/registration.c --------------- */

/*
 * OIDs of another cluster mean nothing here, so whatever is written or restored,
 * they are found by name.  A role that is not there has none.
 */
CREATE FUNCTION @extschema@.wa_internal_find_registration_roles() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.registered_by_oid := (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = NEW.registered_by);
    NEW.owner_oid := (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = NEW.owner);
    RETURN NEW;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_registration_state(
    registered_by name, registered_by_oid oid, owner name, owner_oid oid, owner_now oid, definer boolean)
RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_registration_state';
COMMENT ON FUNCTION @extschema@.wa_internal_registration_state(name, oid, name, oid, oid, boolean) IS
'Why registered code is not run: role gone, role replaced, owner changed, role does not own the '
'table, or roles without common rights; NULL: it is run. '
'definer: whether it is a SECURITY DEFINER function; NULL: it is a notification. Internal.';

CREATE TABLE @extschema@.whatsapp_notifications (
    notification_id text COLLATE "C" PRIMARY KEY,
    relation        text NOT NULL,
    name            text NOT NULL
        CONSTRAINT whatsapp_notifications_name_check CHECK (name <> ''),
    events          text NOT NULL,
    template_name   text NOT NULL,
    tenant          text NOT NULL,
    recipient       text NOT NULL,
    parameters      jsonb NOT NULL,
    condition       text,
    language        text,
    reference       text,
    idempotency_key text,
    scheduled_at    text,
    expires_at      text,
    priority        integer NOT NULL,
    on_uncertain    text,
    strict          boolean NOT NULL,
    registered_by   name NOT NULL,
    registered_by_oid oid,
    owner           name NOT NULL,
    owner_oid       oid,
    search_path     text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE TRIGGER whatsapp_notifications_roles
    BEFORE INSERT ON @extschema@.whatsapp_notifications
    FOR EACH ROW EXECUTE FUNCTION @extschema@.wa_internal_find_registration_roles();
ALTER TABLE @extschema@.whatsapp_notifications ENABLE ALWAYS TRIGGER whatsapp_notifications_roles;
COMMENT ON TABLE @extschema@.whatsapp_notifications IS
'What the triggers made by wa_create_notification() send. Sessions cache a row: change it with '
'wa_drop_notification() and wa_create_notification(). Read wa_notifications instead.';
COMMENT ON COLUMN @extschema@.whatsapp_notifications.notification_id IS
'The trigger''s argument: random, so that a trigger that is restored without this row never sends another '
'notification''s message.';
COMMENT ON COLUMN @extschema@.whatsapp_notifications.relation IS
'The table''s name when the notification was made; part of its idempotency keys.';
COMMENT ON COLUMN @extschema@.whatsapp_notifications.name IS 'The notification''s name, unique for the table.';
COMMENT ON COLUMN @extschema@.whatsapp_notifications.events IS 'INSERT, UPDATE, or UPDATE OF columns.';
COMMENT ON COLUMN @extschema@.whatsapp_notifications.template_name IS 'The template that is sent.';
COMMENT ON COLUMN @extschema@.whatsapp_notifications.tenant IS 'Expression over NEW and OLD for the tenant.';
COMMENT ON COLUMN @extschema@.whatsapp_notifications.recipient IS 'Expression for the recipient.';
COMMENT ON COLUMN @extschema@.whatsapp_notifications.parameters IS 'The template''s parameters, with expressions.';
COMMENT ON COLUMN @extschema@.whatsapp_notifications.condition IS
'Expression that must be true for a message to be sent.';
COMMENT ON COLUMN @extschema@.whatsapp_notifications.language IS
'The template''s language; NULL: the tenant''s, then whatsapp_shared.default_language.';
COMMENT ON COLUMN @extschema@.whatsapp_notifications.reference IS 'Expression for the message''s reference.';
COMMENT ON COLUMN @extschema@.whatsapp_notifications.idempotency_key IS 'Expression for the idempotency key.';
COMMENT ON COLUMN @extschema@.whatsapp_notifications.scheduled_at IS
'Expression for the time before which it is not sent.';
COMMENT ON COLUMN @extschema@.whatsapp_notifications.expires_at IS
'Expression for the time after which it is not sent.';
COMMENT ON COLUMN @extschema@.whatsapp_notifications.priority IS 'The messages'' priority.';
COMMENT ON COLUMN @extschema@.whatsapp_notifications.on_uncertain IS 'The messages'' policy if they become uncertain.';
COMMENT ON COLUMN @extschema@.whatsapp_notifications.strict IS
'Whether a failure breaks the statement that fired the trigger.';
COMMENT ON COLUMN @extschema@.whatsapp_notifications.registered_by IS
'The role that made it. It must have the rights of the table''s owner, as whom the expressions run.';
COMMENT ON COLUMN @extschema@.whatsapp_notifications.registered_by_oid IS
'OID of that role; found anew when a dump is restored. NULL: there was no such role then, and nothing is sent.';
COMMENT ON COLUMN @extschema@.whatsapp_notifications.owner IS
'The role that owned the table when it was made. If another one does, nothing is sent.';
COMMENT ON COLUMN @extschema@.whatsapp_notifications.owner_oid IS 'OID of the owner, found like registered_by_oid.';
COMMENT ON COLUMN @extschema@.whatsapp_notifications.search_path IS
'The search_path of the session that made it; expressions run with the same.';
COMMENT ON COLUMN @extschema@.whatsapp_notifications.created_at IS 'When it was made.';

CREATE TABLE @extschema@.whatsapp_notification_failures (
    failure_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    notification_id text COLLATE "C" NOT NULL,
    notification    text NOT NULL,
    relation        text NOT NULL,
    table_owner     name NOT NULL,
    event           text NOT NULL,
    row_key         text,
    row_id          jsonb,
    old_row         jsonb,
    sqlstate        text NOT NULL,
    message         text NOT NULL,
    detail          text,
    hint            text,
    failed_at       timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX whatsapp_notification_failures_idx
    ON @extschema@.whatsapp_notification_failures (notification_id, failed_at);
COMMENT ON TABLE @extschema@.whatsapp_notification_failures IS
'Messages that notifications should have sent but could not, with the reason. wa_retry_notification() tries one '
'again. Kept for whatsapp_shared.retention. Roles other than administrators see the failures of tables that they own '
'or owned then.';
COMMENT ON COLUMN @extschema@.whatsapp_notification_failures.failure_id IS 'The argument of wa_retry_notification().';
COMMENT ON COLUMN @extschema@.whatsapp_notification_failures.notification_id IS 'The notification that failed.';
COMMENT ON COLUMN @extschema@.whatsapp_notification_failures.notification IS 'Its name.';
COMMENT ON COLUMN @extschema@.whatsapp_notification_failures.relation IS 'The table''s name at that time.';
COMMENT ON COLUMN @extschema@.whatsapp_notification_failures.table_owner IS
'The role that owned the table at that time, and may see the failure.';
COMMENT ON COLUMN @extschema@.whatsapp_notification_failures.event IS 'INSERT or UPDATE.';
COMMENT ON COLUMN @extschema@.whatsapp_notification_failures.row_key IS
'The primary key of the row, its columns in the order of the table and separated by commas; NULL if the table has '
'none.';
COMMENT ON COLUMN @extschema@.whatsapp_notification_failures.row_id IS
'The primary key by column, for wa_retry_notification().';
COMMENT ON COLUMN @extschema@.whatsapp_notification_failures.old_row IS
'The row before the update, for expressions over OLD; long values that are stored out of line are left out.';
COMMENT ON COLUMN @extschema@.whatsapp_notification_failures.sqlstate IS 'SQLSTATE of the error.';
COMMENT ON COLUMN @extschema@.whatsapp_notification_failures.message IS 'The error''s message.';
COMMENT ON COLUMN @extschema@.whatsapp_notification_failures.detail IS 'The error''s detail.';
COMMENT ON COLUMN @extschema@.whatsapp_notification_failures.hint IS 'The error''s hint: what to do about it.';
COMMENT ON COLUMN @extschema@.whatsapp_notification_failures.failed_at IS 'When it failed.';

/* ---- making, dropping and repeating them; see src/notify/trigger.c ---------------- */

CREATE FUNCTION @extschema@.wa_notify() RETURNS trigger
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_notify';
COMMENT ON FUNCTION @extschema@.wa_notify() IS
'The trigger function of notifications. An error does not break the statement that fired it: it becomes a WARNING '
'and a row of whatsapp_notification_failures, unless the notification is strict.';

CREATE FUNCTION @extschema@.wa_create_notification(
    relation         regclass,
    template         text,
    tenant_column    text,
    recipient_column text,
    parameters       jsonb DEFAULT '[]',
    events           text DEFAULT 'INSERT',
    condition        text DEFAULT NULL,
    language         text DEFAULT NULL,
    name             text DEFAULT NULL,
    reference        text DEFAULT NULL,
    idempotency_key  text DEFAULT NULL,
    scheduled_at     text DEFAULT NULL,
    expires_at       text DEFAULT NULL,
    priority         integer DEFAULT 0,
    on_uncertain     text DEFAULT NULL,
    strict           boolean DEFAULT false)
RETURNS text
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_create_notification';
COMMENT ON FUNCTION @extschema@.wa_create_notification(regclass, text, text, text, jsonb, text, text, text, text,
    text, text, text, text, integer, text, boolean) IS
'Has a template message sent for each row that is inserted into the table, or whose columns change (events: '
'''INSERT'', ''UPDATE OF status'', ''INSERT OR UPDATE OF status, total''). Returns the notification''s name, by '
'default the template''s. tenant_column, recipient_column, reference, idempotency_key, scheduled_at, expires_at and '
'condition are columns or SQL expressions over NEW and OLD; so are the strings in parameters, which has the forms '
'known from wa_enqueue_message(). A value can also be an object: {"column" or "expression": …, "format": number, '
'money, date, short_date, time or datetime, "currency": …, "digits": …, "default": …}, or {"value": …} for a '
'constant. For members of the role that owns the table who may call wa_enqueue_message(). Errors: 42501 not allowed; '
'22023, 42703, 42804 and others for an expression that is wrong, named in the message; 42710 the table has a '
'notification of this name.';

CREATE FUNCTION @extschema@.wa_drop_notification(relation regclass, name text) RETURNS boolean
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_drop_notification';
COMMENT ON FUNCTION @extschema@.wa_drop_notification(regclass, text) IS
'Removes a notification and its trigger. False: the table has no notification of this name.';

/*
 * The table of a qualified name, or NULL.  to_regclass() would ask whether our
 * owner may use the schema, which is the application's.
 */
CREATE FUNCTION @extschema@.wa_internal_relation(qualified_name text) RETURNS oid
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.oid
    FROM parse_ident(qualified_name) AS i (parts)
        JOIN pg_namespace AS n ON n.nspname = i.parts[1]
        JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = i.parts[2]
$$;

/*
 * The trigger of a failed notification: on the same table the one of that name,
 * for it may have been dropped and made again; else, if the table was renamed,
 * the one with the same id.
 */
CREATE FUNCTION @extschema@.wa_internal_notification_trigger(
    relation text, name text, notification_id text, OUT relid oid, OUT trigger_id oid)
RETURNS SETOF record
    LANGUAGE sql STABLE ROWS 1
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.tgrelid, t.oid
    FROM @extschema@.whatsapp_notifications AS n
        CROSS JOIN LATERAL (SELECT
            convert_to(n.name, getdatabaseencoding()) || '\x00'::bytea
                || convert_to(n.notification_id, getdatabaseencoding()) || '\x00'::bytea) AS a (args)
        JOIN pg_trigger AS t ON t.tgfoid = '@extschema@.wa_notify()'::regprocedure AND t.tgargs = a.args
    WHERE n.name = $2
        AND (t.tgrelid = @extschema@.wa_internal_relation($1) OR n.notification_id = $3 AND t.tgparentid = 0)
    ORDER BY t.tgrelid = @extschema@.wa_internal_relation($1) DESC NULLS LAST
    LIMIT 1
$$;

CREATE FUNCTION @extschema@.wa_retry_notification(failure_id bigint) RETURNS boolean
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_retry_notification';
COMMENT ON FUNCTION @extschema@.wa_retry_notification(bigint) IS
'Tries again to send what a notification could not (whatsapp_notification_failures), for the row as it is now. If it '
'is sent, or no longer wanted, the failure is removed. False: it failed again, and the failure has the new reason. '
'For administrators, and for members of the role that owns the table. Errors: 42501 not allowed; 42704 unknown '
'failure; 55000 the notification is gone, or its table had no primary key.';

/* ---- what is attached where ------------------------------------------------ */

/* In pg_trigger each argument of a trigger ends in a zero byte. */
CREATE VIEW @extschema@.wa_notifications AS
SELECT n.name,
       COALESCE(t.tgrelid::regclass::text, n.relation) AS relation,
       t.tgname AS trigger_name,
       CASE WHEN t.oid IS NULL THEN 'detached'
            WHEN t.tgenabled = 'D' THEN 'disabled'
            WHEN g.problem IS NOT NULL THEN g.problem
            WHEN NOT pg_catalog.has_function_privilege(n.registered_by_oid,
                '@extschema@.wa_enqueue_message(text, text, text, jsonb, text, timestamptz, timestamptz, '
                'integer, text, text, text)'::regprocedure,
                'EXECUTE') THEN 'role may not send'
            ELSE 'active' END AS state,
       n.events, n.template_name, n.tenant, n.recipient, n.parameters, n.condition, n.language,
       n.reference, n.idempotency_key, n.scheduled_at, n.expires_at, n.priority, n.on_uncertain,
       n.strict, n.registered_by,
       CASE WHEN g.problem IS NULL THEN pg_catalog.pg_get_userbyid(c.relowner) END AS runs_as,
       n.created_at, f.failures, f.last_failure_at, f.last_failure_sqlstate, f.last_failure
FROM @extschema@.whatsapp_notifications AS n
    LEFT JOIN pg_catalog.pg_trigger AS t
        ON t.tgfoid = '@extschema@.wa_notify()'::regprocedure AND t.tgparentid = 0
            AND t.tgargs = pg_catalog.convert_to(n.name, pg_catalog.getdatabaseencoding()) || '\x00'::bytea
                || pg_catalog.convert_to(n.notification_id, pg_catalog.getdatabaseencoding()) || '\x00'::bytea
    LEFT JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
    CROSS JOIN LATERAL (
        SELECT @extschema@.wa_internal_registration_state(
            n.registered_by, n.registered_by_oid, n.owner, n.owner_oid, c.relowner, NULL::boolean) AS problem) AS g
    LEFT JOIN LATERAL (
        SELECT pg_catalog.count(*) AS failures,
               pg_catalog.max(f.failed_at) AS last_failure_at,
               (pg_catalog.array_agg(f.sqlstate ORDER BY f.failed_at DESC))[1] AS last_failure_sqlstate,
               (pg_catalog.array_agg(pg_catalog.concat_ws(': ', f.message, f.detail) ORDER BY f.failed_at DESC))[1]
                   AS last_failure
        FROM @extschema@.whatsapp_notification_failures AS f
        WHERE f.notification_id = n.notification_id) AS f ON true
/* All of them for administrators; for others those on tables of their own. */
WHERE pg_catalog.has_table_privilege('@extschema@.whatsapp_notifications'::regclass, 'SELECT')
    OR pg_catalog.pg_has_role(c.relowner, 'USAGE');
COMMENT ON VIEW @extschema@.wa_notifications IS
'The notifications on the application''s tables: what each sends, its trigger, state and role, and how often and why '
'it has failed. Roles other than administrators see the notifications of tables that they own.';
COMMENT ON COLUMN @extschema@.wa_notifications.name IS 'The notification''s name, unique for the table.';
COMMENT ON COLUMN @extschema@.wa_notifications.relation IS 'The table.';
COMMENT ON COLUMN @extschema@.wa_notifications.trigger_name IS 'The trigger on the table; NULL if it is gone.';
COMMENT ON COLUMN @extschema@.wa_notifications.state IS
'active, disabled, detached (no trigger), role gone, role replaced (by another one of its name), role does not own '
'the table, owner changed (since it was made), or role may not send.';
COMMENT ON COLUMN @extschema@.wa_notifications.events IS 'INSERT, UPDATE, or UPDATE OF columns.';
COMMENT ON COLUMN @extschema@.wa_notifications.template_name IS 'The template that is sent.';
COMMENT ON COLUMN @extschema@.wa_notifications.tenant IS 'Expression for the tenant.';
COMMENT ON COLUMN @extschema@.wa_notifications.recipient IS 'Expression for the recipient.';
COMMENT ON COLUMN @extschema@.wa_notifications.parameters IS 'The template''s parameters, with expressions.';
COMMENT ON COLUMN @extschema@.wa_notifications.condition IS 'Expression that must be true for a message to be sent.';
COMMENT ON COLUMN @extschema@.wa_notifications.language IS
'The template''s language; NULL: the tenant''s, then whatsapp_shared.default_language.';
COMMENT ON COLUMN @extschema@.wa_notifications.reference IS 'Expression for the message''s reference.';
COMMENT ON COLUMN @extschema@.wa_notifications.idempotency_key IS 'Expression for the idempotency key.';
COMMENT ON COLUMN @extschema@.wa_notifications.scheduled_at IS 'Expression for the time before which it is not sent.';
COMMENT ON COLUMN @extschema@.wa_notifications.expires_at IS 'Expression for the time after which it is not sent.';
COMMENT ON COLUMN @extschema@.wa_notifications.priority IS 'The messages'' priority.';
COMMENT ON COLUMN @extschema@.wa_notifications.on_uncertain IS 'The messages'' policy if they become uncertain.';
COMMENT ON COLUMN @extschema@.wa_notifications.strict IS
'Whether a failure breaks the statement that fired the trigger.';
COMMENT ON COLUMN @extschema@.wa_notifications.registered_by IS 'The role that made it.';
COMMENT ON COLUMN @extschema@.wa_notifications.runs_as IS
'The role that its expressions run as: the table''s owner.';
COMMENT ON COLUMN @extschema@.wa_notifications.created_at IS 'When it was made.';
COMMENT ON COLUMN @extschema@.wa_notifications.failures IS 'How many failures are on record.';
COMMENT ON COLUMN @extschema@.wa_notifications.last_failure_at IS 'When it last failed.';
COMMENT ON COLUMN @extschema@.wa_notifications.last_failure_sqlstate IS 'SQLSTATE of the last failure.';
COMMENT ON COLUMN @extschema@.wa_notifications.last_failure IS 'Message and detail of the last failure.';

/* ---- who sees failures ------------------------------------------------------- */

/*
 * A failure shows what was in a row, so it is for whoever owned the table then,
 * and, if the notification is still there, for whoever owns it now.  That a
 * table has the name of that one proves nothing.
 */
ALTER TABLE @extschema@.whatsapp_notification_failures ENABLE ROW LEVEL SECURITY;

CREATE POLICY whatsapp_own_tables ON @extschema@.whatsapp_notification_failures USING (
    (SELECT pg_catalog.has_table_privilege('@extschema@.whatsapp_notifications'::pg_catalog.regclass, 'SELECT'))
    OR EXISTS (
        SELECT FROM pg_catalog.pg_roles AS r
        WHERE r.rolname OPERATOR(pg_catalog.=) whatsapp_notification_failures.table_owner
            AND pg_catalog.pg_has_role(r.oid, 'USAGE'))
    OR EXISTS (
        SELECT FROM pg_catalog.pg_trigger AS t
            JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) t.tgrelid
        WHERE t.tgfoid OPERATOR(pg_catalog.=) '@extschema@.wa_notify()'::pg_catalog.regprocedure
            AND t.tgargs OPERATOR(pg_catalog.=) (
                pg_catalog.convert_to(whatsapp_notification_failures.notification, pg_catalog.getdatabaseencoding())
                OPERATOR(pg_catalog.||) '\x00'::pg_catalog.bytea
                OPERATOR(pg_catalog.||) pg_catalog.convert_to(
                    whatsapp_notification_failures.notification_id, pg_catalog.getdatabaseencoding())
                OPERATOR(pg_catalog.||) '\x00'::pg_catalog.bytea)
            AND pg_catalog.pg_has_role(c.relowner, 'USAGE')));

/* ---- upkeep ------------------------------------------------------------------ */

/*
 * For a new notification: rows whose trigger has gone with its table, or was
 * dropped by hand from this one.
 */
CREATE FUNCTION @extschema@.wa_internal_forget_notifications(relation text) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM @extschema@.whatsapp_notifications AS n
    WHERE (n.relation = $1 OR @extschema@.wa_internal_relation(n.relation) IS NULL)
        AND NOT EXISTS (
            SELECT FROM pg_trigger AS t
            WHERE t.tgfoid = '@extschema@.wa_notify()'::regprocedure
                AND t.tgargs = convert_to(n.name, getdatabaseencoding()) || '\x00'::bytea
                || convert_to(n.notification_id, getdatabaseencoding()) || '\x00'::bytea)
$$;

CREATE FUNCTION @extschema@.wa_internal_retain_notification_failures(batch integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keep CONSTANT interval := current_setting('whatsapp_shared.retention')::interval;
    deleted bigint;
BEGIN
    IF keep = interval '0' THEN
        RETURN 0;
    END IF;
    /* The oldest come first, so no more than a batch is looked at. */
    DELETE FROM @extschema@.whatsapp_notification_failures AS d WHERE d.failure_id IN (
        SELECT o.failure_id FROM (
            SELECT f.failure_id, f.failed_at FROM @extschema@.whatsapp_notification_failures AS f
            ORDER BY f.failure_id LIMIT batch) AS o
        WHERE o.failed_at < now() - keep);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$$;
/*
 * What Meta sends, whole requests as they come.
 *
 * SECURITY DEFINER, because the role of the gateway may call these functions
 * and nothing else; the signature, or the verify token, is what is checked.
 */

/*
 * Items of webhooks that could not be used: malformed, of a kind unknown to
 * this version, or about a message that is not known yet.  The fingerprint
 * makes a repeated delivery of the same item one row.
 */
CREATE TABLE @extschema@.whatsapp_parked_events (
    parked_id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fingerprint         bytea NOT NULL
        CONSTRAINT whatsapp_parked_events_fingerprint_key UNIQUE,
    kind                text NOT NULL
        CONSTRAINT whatsapp_parked_events_kind_check
        CHECK (kind IN ('body', 'entry', 'change', 'status', 'message', 'event')),
    reason              text NOT NULL,
    phone_number_id     text COLLATE "C",
    whatsapp_message_id text COLLATE "C",
    message_id          bigint,
    event               jsonb,
    body                bytea,
    received_at         timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX whatsapp_parked_events_wamid_idx
    ON @extschema@.whatsapp_parked_events USING hash (whatsapp_message_id) WHERE kind = 'status';
CREATE INDEX whatsapp_parked_events_received_idx
    ON @extschema@.whatsapp_parked_events (received_at);
COMMENT ON TABLE @extschema@.whatsapp_parked_events IS
'Items of webhooks that could not be used, with the reason. Statuses are tried again when their message becomes '
'known. Kept for whatsapp_shared.retention.';
COMMENT ON COLUMN @extschema@.whatsapp_parked_events.parked_id IS 'Number of the item.';
COMMENT ON COLUMN @extschema@.whatsapp_parked_events.fingerprint IS
'Hash of the item, by which a repeated delivery is recognised.';
COMMENT ON COLUMN @extschema@.whatsapp_parked_events.kind IS
'body, entry, change, status, message or event: which part of the webhook it is.';
COMMENT ON COLUMN @extschema@.whatsapp_parked_events.reason IS 'Why it could not be used, such as unknown_message.';
COMMENT ON COLUMN @extschema@.whatsapp_parked_events.phone_number_id IS 'The number that it concerns, if it names one.';
COMMENT ON COLUMN @extschema@.whatsapp_parked_events.whatsapp_message_id IS
'The wamid that it concerns, if it names one.';
COMMENT ON COLUMN @extschema@.whatsapp_parked_events.message_id IS 'Our message that it concerns, if it names one.';
COMMENT ON COLUMN @extschema@.whatsapp_parked_events.event IS 'The item as Meta sent it.';
COMMENT ON COLUMN @extschema@.whatsapp_parked_events.body IS
'A whole request with a valid signature that is not JSON that can be stored.';
COMMENT ON COLUMN @extschema@.whatsapp_parked_events.received_at IS 'When it was received.';

/* When webhooks last came: what tells silence from an outage. */
CREATE TABLE @extschema@.whatsapp_webhook_traffic (
    phone_number_id text COLLATE "C" PRIMARY KEY,
    last_webhook_at timestamptz NOT NULL,
    last_status_at  timestamptz,
    last_inbound_at timestamptz
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE @extschema@.whatsapp_webhook_traffic IS
'When the last webhook, status and message were received for each number, to within a second.';
COMMENT ON COLUMN @extschema@.whatsapp_webhook_traffic.phone_number_id IS
'The number; empty for events of the account itself.';
COMMENT ON COLUMN @extschema@.whatsapp_webhook_traffic.last_webhook_at IS 'When the last webhook was received.';
COMMENT ON COLUMN @extschema@.whatsapp_webhook_traffic.last_status_at IS 'When the last status was received.';
COMMENT ON COLUMN @extschema@.whatsapp_webhook_traffic.last_inbound_at IS
'When the last message from a customer was received.';

CREATE FUNCTION @extschema@.wa_webhook_challenge(mode text, token text, challenge text) RETURNS text
    LANGUAGE C STABLE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'wa_webhook_challenge';
COMMENT ON FUNCTION @extschema@.wa_webhook_challenge(text, text, text) IS
'Meta''s verification request for a webhook address: returns the challenge if the token is '
'whatsapp_shared.webhook_verify_token.';

/* It becomes the owner by itself, after the caller's deferred triggers have fired as the caller. */
CREATE FUNCTION @extschema@.wa_webhook_ingest(body bytea, signature text) RETURNS jsonb
    LANGUAGE C VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'wa_webhook_ingest';
COMMENT ON FUNCTION @extschema@.wa_webhook_ingest(bytea, text) IS
'Processes one webhook: the bytes of its body and the header X-Hub-Signature-256. Respond to Meta with 200 once the '
'transaction has committed. Returns how many items were applied, duplicate, parked and foreign.';

/*
 * What follows from an error of Meta's, for whoever finds out: the sender from the
 * response to a request, or a webhook.  graph/error_class.c says which of these.
 */

/* The pause lasts so many seconds from then on; 0: until something lifts it. */
CREATE FUNCTION @extschema@.wa_internal_pause_for_error(
    scope text, key text, error_code integer, detail text, seconds integer, happened_at timestamptz)
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ends_at CONSTANT timestamptz := CASE WHEN seconds > 0 THEN happened_at + make_interval(secs => seconds) END;
BEGIN
    IF ends_at IS NULL OR ends_at > clock_timestamp() THEN
        PERFORM @extschema@.wa_internal_pause(scope, key, 'error_' || error_code,
            COALESCE(detail, 'Meta reports error ' || error_code), error_code, ends_at);
    END IF;
END
$$;

/* The recipients of these messages want no marketing, unless they have asked for it again since. */
CREATE FUNCTION @extschema@.wa_internal_opt_out_for_error(message_ids bigint[], happened_at timestamptz[])
RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO @extschema@.whatsapp_opt_outs (tenant_id, recipient, category, source, created_at)
        SELECT m.tenant_id, COALESCE(m.recipient_phone, m.recipient_user_id), 'marketing', 'error', min(x.at)
        FROM unnest(message_ids, happened_at) AS x (id, at)
            JOIN @extschema@.whatsapp_messages AS m ON m.id = x.id
        WHERE NOT @extschema@.wa_internal_resumed_later(
            m.phone_number_id, ARRAY[m.recipient_phone, m.recipient_user_id], x.at)
        GROUP BY m.tenant_id, COALESCE(m.recipient_phone, m.recipient_user_id)
        ORDER BY 1, 2
        ON CONFLICT DO NOTHING
$$;

CREATE FUNCTION @extschema@.wa_internal_alert_unknown_code(error_code integer, detail text, messages bigint)
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_alert('warning'::text, 'unknown_error_code'::text, ''::text, error_code::text,
        format('Meta reports an error that is not in wa_error_codes: %s', error_code),
        jsonb_build_object('text', detail, 'messages', messages));
END
$$;

/*
 * What statuses mean for more than their own message.  Pauses follow
 * only from news: what Meta kept for hours while we were unreachable says
 * nothing of today, and sending finds out by itself.
 */
CREATE FUNCTION @extschema@.wa_internal_draw_consequences(
    actions text[],
    message_ids bigint[],
    attempts integer[],
    error_codes integer[],
    texts text[],
    pause_seconds integer[],
    happened_at timestamptz[])
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c record;
BEGIN
    /* Of several arrays there is no unnest(); the path is pinned. */
    PERFORM @extschema@.wa_internal_opt_out_for_error(array_agg(x.id), array_agg(x.at))
        FROM unnest(actions, message_ids, happened_at) AS x (action, id, at)
        WHERE x.action = 'opt_out'
        HAVING count(*) > 0;

    INSERT INTO @extschema@.whatsapp_late_deliveries (message_id)
        SELECT DISTINCT x.id FROM unnest(actions, message_ids) AS x (action, id)
        WHERE x.action = 'late_delivery'
        ORDER BY x.id
        ON CONFLICT DO NOTHING;

    FOR c IN
        SELECT DISTINCT ON (w.scope, w.key)
            w.scope, w.key, x.code, x.text, x.seconds, x.at
        FROM unnest(actions, message_ids, error_codes, texts, pause_seconds, happened_at)
                AS x (action, id, code, text, seconds, at)
            JOIN @extschema@.whatsapp_messages AS m ON m.id = x.id
            CROSS JOIN LATERAL (
                SELECT substr(x.action, 7) AS scope,
                    CASE x.action
                        WHEN 'pause_account' THEN ''
                        WHEN 'pause_number' THEN m.phone_number_id
                        WHEN 'pause_template' THEN m.template_name || '/' || m.template_language
                    END AS key) AS w
        WHERE x.action LIKE 'pause\_%' AND w.key IS NOT NULL
            AND x.at > clock_timestamp() - interval '1 hour'
        ORDER BY w.scope, w.key, x.seconds = 0 DESC, x.at DESC
    LOOP
        PERFORM @extschema@.wa_internal_pause_for_error(c.scope, c.key, c.code, c.text, c.seconds, c.at);
    END LOOP;

    FOR c IN
        SELECT x.code, min(x.text) AS text, count(*) AS n
        FROM unnest(actions, error_codes, texts) AS x (action, code, text)
        WHERE x.action = 'unknown_code'
        GROUP BY x.code
        ORDER BY x.code
    LOOP
        PERFORM @extschema@.wa_internal_alert_unknown_code(c.code, c.text, c.n);
    END LOOP;

    /* An attempt that failed, and was followed by wa_retry_message(), is no second message. */
    FOR c IN
        SELECT x.id, m.tenant_id, array_agg(DISTINCT x.text) AS wamids
        FROM unnest(actions, message_ids, attempts, texts) AS x (action, id, attempt, text)
            JOIN @extschema@.whatsapp_messages AS m ON m.id = x.id
        WHERE x.action = 'duplicate_delivery'
            OR x.action = 'duplicate_send' AND NOT EXISTS (
                SELECT FROM @extschema@.whatsapp_attempts AS a
                WHERE a.message_id = x.id AND a.attempt = x.attempt AND a.outcome = 'failed')
        GROUP BY x.id, m.tenant_id
        ORDER BY x.id
    LOOP
        PERFORM @extschema@.wa_internal_alert('warning'::text, 'duplicate_send'::text, 'message'::text, c.id::text,
            format('Message %s has reached Meta more than once', c.id),
            jsonb_build_object('tenant_id', c.tenant_id, 'whatsapp_message_ids', c.wamids));
    END LOOP;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_rematch(max_rows integer DEFAULT 1000) RETURNS integer
    LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'wa_internal_rematch';
COMMENT ON FUNCTION @extschema@.wa_internal_rematch(integer) IS
'Tries parked statuses again whose message is known by now; returns how many. Internal.';

/* ---- reconciliation ------------------------------------------------------------------ */

/*
 * Do the webhooks tell of what was sent?  Messages get their first status
 * within seconds, so those of a quarter of an hour, half an hour ago, say it
 * for all: a bounded read however much is sent.
 */
CREATE FUNCTION @extschema@.wa_internal_check_confirmations() RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    n record;
BEGIN
    FOR n IN
        SELECT s.number, count(*) AS accepted,
            count(*) FILTER (WHERE s.silent) AS silent,
            min(s.accepted_at) FILTER (WHERE s.silent) AS since,
            (SELECT t.last_status_at FROM @extschema@.whatsapp_webhook_traffic AS t
             WHERE t.phone_number_id = s.number) AS last_status_at
        FROM (
            SELECT m.phone_number_id AS number, m.accepted_at,
                m.status = 'accepted' AND COALESCE(m.sent_at, m.delivered_at, m.read_at, m.failed_at) IS NULL AS silent
            FROM @extschema@.whatsapp_messages AS m
            WHERE (m.created_at BETWEEN now() - interval '45 minutes' AND now() - interval '30 minutes'
                    OR m.scheduled_at BETWEEN now() - interval '45 minutes' AND now() - interval '30 minutes'
                        AND m.scheduled_at > m.created_at)
                AND m.accepted_at < now() - interval '25 minutes'
                AND m.status_reason IS DISTINCT FROM 'held_for_quality_assessment'
            LIMIT 20000) AS s
        WHERE s.number IS NOT NULL
        GROUP BY s.number
        ORDER BY s.number
    LOOP
        IF n.silent > 0 AND COALESCE(n.last_status_at, '-infinity') < n.since THEN
            PERFORM @extschema@.wa_internal_alert('error'::text, 'webhook_silence'::text, 'number'::text, n.number,
                format('No webhook has reported on the messages of phone number %s since %s.',
                    n.number, n.since),
                jsonb_build_object('accepted', n.accepted, 'without_status', n.silent,
                    'last_status_at', n.last_status_at));
        ELSE
            PERFORM @extschema@.wa_internal_resolve_alert('webhook_silence'::text, 'number'::text, n.number);
            IF n.silent >= 5 AND n.silent * 10 > n.accepted THEN
                PERFORM @extschema@.wa_internal_alert('warning'::text, 'statuses_missing'::text, 'number'::text,
                    n.number,
                    format('%s of %s messages of phone number %s have no status after half an hour.',
                        n.silent, n.accepted, n.number),
                    jsonb_build_object('accepted', n.accepted, 'without_status', n.silent));
            ELSE
                PERFORM @extschema@.wa_internal_resolve_alert('statuses_missing'::text, 'number'::text, n.number);
            END IF;
        END IF;
    END LOOP;

    /* Numbers that have sent nothing since: webhooks that came in the meantime tell. */
    PERFORM @extschema@.wa_internal_resolve_alert('webhook_silence'::text, 'number'::text, a.key)
        FROM @extschema@.whatsapp_alerts AS a
            JOIN @extschema@.whatsapp_webhook_traffic AS t ON t.phone_number_id = a.key
        WHERE a.kind = 'webhook_silence' AND a.scope = 'number' AND a.resolved_at IS NULL
            AND t.last_status_at > a.last_seen_at;
END
$$;

/*
 * Webhooks that cannot be used are worth a look if they become many.  Another
 * program on the same account is the harmless cause.
 */
CREATE FUNCTION @extschema@.wa_internal_check_parked() RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parked bigint;
    reasons jsonb;
BEGIN
    SELECT sum(r.n), jsonb_object_agg(r.reason, r.n) INTO parked, reasons FROM (
        SELECT p.reason, count(*) AS n FROM (
            SELECT p.reason FROM @extschema@.whatsapp_parked_events AS p
            WHERE p.received_at > now() - interval '1 hour' LIMIT 10000) AS p
        GROUP BY p.reason) AS r;
    IF parked >= 100 THEN
        PERFORM @extschema@.wa_internal_alert('warning'::text, 'parked_events'::text, 'account'::text, ''::text,
            'Many webhook items could not be used in the last hour: see whatsapp_parked_events.'::text, reasons);
    ELSE
        PERFORM @extschema@.wa_internal_resolve_alert('parked_events'::text, 'account'::text, ''::text);
    END IF;
END
$$;

/* Retention of what webhooks brought, a batch of each table. */
CREATE FUNCTION @extschema@.wa_internal_retain_inbound(batch integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keep CONSTANT interval := current_setting('whatsapp_shared.retention')::interval;
    oldest CONSTANT timestamptz := now() - keep;
    n bigint;
    deleted bigint := 0;
BEGIN
    IF keep = interval '0' THEN
        RETURN 0;
    END IF;
    DELETE FROM @extschema@.whatsapp_inbound_messages AS d WHERE d.inbound_id IN (
        SELECT i.inbound_id FROM @extschema@.whatsapp_inbound_messages AS i
        WHERE i.received_at < oldest LIMIT batch);
    GET DIAGNOSTICS n = ROW_COUNT;
    deleted := deleted + n;
    DELETE FROM @extschema@.whatsapp_parked_events AS d WHERE d.parked_id IN (
        SELECT p.parked_id FROM @extschema@.whatsapp_parked_events AS p
        WHERE p.received_at < oldest LIMIT batch);
    GET DIAGNOSTICS n = ROW_COUNT;
    deleted := deleted + n;
    DELETE FROM @extschema@.whatsapp_account_events AS d WHERE d.event_id IN (
        SELECT e.event_id FROM @extschema@.whatsapp_account_events AS e
        WHERE e.received_at < oldest LIMIT batch);
    GET DIAGNOSTICS n = ROW_COUNT;
    deleted := deleted + n;
    DELETE FROM @extschema@.whatsapp_windows AS w
        WHERE (w.phone_number_id, w.recipient) IN (
            SELECT o.phone_number_id, o.recipient FROM @extschema@.whatsapp_windows AS o
            WHERE o.last_inbound_at < oldest LIMIT batch);
    GET DIAGNOSTICS n = ROW_COUNT;
    deleted := deleted + n;
    DELETE FROM @extschema@.whatsapp_contacts AS d WHERE d.contact_id IN (
        SELECT c.contact_id FROM @extschema@.whatsapp_contacts AS c
        WHERE c.last_seen_at < oldest LIMIT batch);
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN deleted + n;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_reconcile() RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_check_confirmations();
    PERFORM @extschema@.wa_internal_check_parked();
    PERFORM @extschema@.wa_internal_check_registrations();
    PERFORM @extschema@.wa_internal_close_usage_day();
    PERFORM @extschema@.wa_internal_retain_inbound(1000);
    PERFORM @extschema@.wa_internal_retain_notification_failures(1000);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_reconcile() IS
'For the upkeep of one sender, every few minutes: compares what was sent with what webhooks tell, and keeps the '
'tables of webhooks in order. Internal.';
/*
 * What Meta says about the account: into the registries, into alerts, and into
 * damage control.
 *
 * Events come late, twice and out of order.  Each is recorded once
 * (whatsapp_account_events); one that is older than what is known of the same
 * thing changes nothing.
 */

/*
 * What Meta has said about the account, in full: the record behind alerts and
 * pauses, and what makes a repeated delivery recognisable.
 */
CREATE TABLE @extschema@.whatsapp_account_events (
    event_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fingerprint bytea NOT NULL
        CONSTRAINT whatsapp_account_events_fingerprint_key UNIQUE,
    field       text NOT NULL,
    key         text NOT NULL DEFAULT '',
    value       jsonb NOT NULL,
    happened_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX whatsapp_account_events_key_idx
    ON @extschema@.whatsapp_account_events (field, key, happened_at);
CREATE INDEX whatsapp_account_events_received_idx
    ON @extschema@.whatsapp_account_events (received_at);
COMMENT ON TABLE @extschema@.whatsapp_account_events IS
'Webhooks about the account itself: templates, numbers, restrictions, limits. Kept for whatsapp_shared.retention.';
COMMENT ON COLUMN @extschema@.whatsapp_account_events.event_id IS 'Number of the event.';
COMMENT ON COLUMN @extschema@.whatsapp_account_events.fingerprint IS
'Hash of the event, by which a repeated delivery is recognised.';
COMMENT ON COLUMN @extschema@.whatsapp_account_events.field IS
'The webhook field, such as account_update or message_template_status_update.';
COMMENT ON COLUMN @extschema@.whatsapp_account_events.key IS
'What the event concerns, if known: a template, a phone number, a customer, a part of the account.';
COMMENT ON COLUMN @extschema@.whatsapp_account_events.value IS 'The event as Meta sent it.';
COMMENT ON COLUMN @extschema@.whatsapp_account_events.happened_at IS 'When it happened, by Meta''s clock.';
COMMENT ON COLUMN @extschema@.whatsapp_account_events.received_at IS
'When it was received; for errors of the field messages, which carry no time, when it last counted.';

/* ---- templates -------------------------------------------------------------------- */

CREATE FUNCTION @extschema@.wa_internal_event_template_status(value jsonb, at timestamptz) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    template_name CONSTANT text := value ->> 'message_template_name';
    template_language CONSTANT text := value ->> 'message_template_language';
    key CONSTANT text := template_name || '/' || template_language;
    event CONSTANT text := upper(value ->> 'event');
    title CONSTANT text := value #>> '{other_info,title}';
    why CONSTANT text := COALESCE(value #>> '{other_info,description}', value #>> '{rejection_info,reason}',
        NULLIF(value ->> 'reason', 'NONE'));
    usable CONSTANT boolean := event IN ('APPROVED', 'REINSTATED', 'UNARCHIVED') OR title = 'UNPAUSE';
BEGIN
    /* FLAGGED is a warning: the template can still be sent. */
    UPDATE @extschema@.whatsapp_templates AS t
        SET status = CASE WHEN usable THEN 'APPROVED' WHEN event = 'FLAGGED' THEN t.status ELSE event END,
            rejected_reason = CASE event WHEN 'REJECTED' THEN COALESCE(value ->> 'reason', why) END,
            updated_at = clock_timestamp()
        WHERE t.name = template_name AND t.language = template_language;
    IF NOT FOUND THEN
        UPDATE @extschema@.whatsapp_sync SET requested_at = clock_timestamp() WHERE kind = 'templates';
    END IF;

    IF usable THEN
        PERFORM @extschema@.wa_internal_lift_pause('template'::text, key, true);
        PERFORM @extschema@.wa_internal_resolve_alert('template_status'::text, 'template'::text, key);
        RETURN;
    END IF;
    IF event IN ('PAUSED', 'DISABLED', 'LOCKED', 'REJECTED', 'ARCHIVED', 'PENDING_DELETION', 'DELETED') THEN
        /* The first two pauses for quality end by themselves. */
        PERFORM @extschema@.wa_internal_pause('template'::text, key, 'template_' || lower(event),
            format('Meta has set it to %s%s', event, ' (' || COALESCE(why, title) || ')'), NULL::integer,
            CASE WHEN event = 'PAUSED' THEN at + CASE title
                WHEN 'FIRST_PAUSE' THEN interval '3 hours' WHEN 'SECOND_PAUSE' THEN interval '6 hours' END END);
    END IF;
    IF event NOT IN ('PENDING', 'IN_APPEAL') THEN
        PERFORM @extschema@.wa_internal_alert(
            CASE WHEN event IN ('DISABLED', 'REJECTED', 'LIMIT_EXCEEDED', 'LOCKED') THEN 'error' ELSE 'warning' END,
            'template_status'::text, 'template'::text, key,
            format('Meta has set the template %s to %s%s', key, event, ': ' || why), value);
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_event_template_quality(value jsonb, at timestamptz) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key CONSTANT text := concat_ws('/', value ->> 'message_template_name', value ->> 'message_template_language');
    score CONSTANT text := upper(value ->> 'new_quality_score');
BEGIN
    UPDATE @extschema@.whatsapp_templates AS t
        SET quality = score, updated_at = clock_timestamp()
        WHERE t.name = value ->> 'message_template_name' AND t.language = value ->> 'message_template_language';
    IF score IN ('YELLOW', 'RED') THEN
        PERFORM @extschema@.wa_internal_alert(CASE score WHEN 'RED' THEN 'error' ELSE 'warning' END,
            'template_quality'::text, 'template'::text, key,
            format('The quality of the template %s is %s: if it falls further, Meta pauses it.', key, score), value);
    ELSE
        PERFORM @extschema@.wa_internal_resolve_alert('template_quality'::text, 'template'::text, key);
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_event_template_category(value jsonb, at timestamptz) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key CONSTANT text := concat_ws('/', value ->> 'message_template_name', value ->> 'message_template_language');
BEGIN
    UPDATE @extschema@.whatsapp_templates AS t
        SET category = upper(value ->> 'new_category'), updated_at = clock_timestamp()
        WHERE t.name = value ->> 'message_template_name' AND t.language = value ->> 'message_template_language'
            AND value ->> 'new_category' IS NOT NULL;
    PERFORM @extschema@.wa_internal_alert('warning'::text, 'template_category'::text, 'template'::text, key,
        CASE WHEN value ->> 'new_category' IS NULL
             THEN format('Meta is going to change the category of the template %s to %s', key,
                 value ->> 'correct_category')
             ELSE format('Meta has changed the category of the template %s from %s to %s', key,
                 COALESCE(value ->> 'previous_category', 'another'), value ->> 'new_category') END
            || '; price and limits go with it.', value);
END
$$;

/* ---- numbers ------------------------------------------------------------------------ */

/* Webhooks of the account name a number as people write it. */
CREATE FUNCTION @extschema@.wa_internal_number_by_display(display text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT n.phone_number_id FROM @extschema@.whatsapp_phone_numbers AS n
    WHERE regexp_replace(n.display_phone_number, '[^0-9]', '', 'g') = regexp_replace(display, '[^0-9]', '', 'g')
    ORDER BY n.missing_since IS NOT NULL, n.phone_number_id LIMIT 1
$$;

/* TIER_2K, 2000 or -1, as they come; NULL for what is none of them. */
CREATE FUNCTION @extschema@.wa_internal_limit_name(value text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN value ~ '^TIER_[A-Z0-9_]{1,20}$' THEN value
        WHEN value = '-1' THEN 'TIER_UNLIMITED'
        WHEN value ~ '^[1-9][0-9]{0,2}$' THEN 'TIER_' || value
        WHEN value ~ '^[1-9][0-9]{0,5}000$' THEN 'TIER_' || left(value, -3) || 'K'
        WHEN value ~ '^[1-9][0-9]{0,8}$' THEN 'TIER_' || value
        END
$$;

/* The limit belongs to the whole portfolio and stands at each of its numbers. */
CREATE FUNCTION @extschema@.wa_internal_set_limit(limit_name text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    former text;
BEGIN
    IF limit_name IS NULL THEN
        RETURN;
    END IF;
    SELECT n.messaging_limit INTO former FROM @extschema@.whatsapp_phone_numbers AS n
        WHERE n.messaging_limit IS NOT NULL AND n.missing_since IS NULL
        ORDER BY n.synced_at DESC NULLS LAST LIMIT 1;
    UPDATE @extschema@.whatsapp_phone_numbers AS n
        SET messaging_limit = limit_name
        WHERE n.missing_since IS NULL AND n.messaging_limit IS DISTINCT FROM limit_name;
    PERFORM @extschema@.wa_internal_limit_alert(''::text, former, limit_name);
END
$$;

CREATE FUNCTION @extschema@.wa_internal_event_number_quality(value jsonb, at timestamptz) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    number CONSTANT text := @extschema@.wa_internal_number_by_display(value ->> 'display_phone_number');
    event CONSTANT text := upper(value ->> 'event');
BEGIN
    /* The event does not tell everything: the numbers are read anew as well. */
    UPDATE @extschema@.whatsapp_sync SET requested_at = clock_timestamp() WHERE kind = 'phone_numbers';
    PERFORM @extschema@.wa_internal_set_limit(@extschema@.wa_internal_limit_name(
        COALESCE(value ->> 'max_daily_conversations_per_business', value ->> 'current_limit')));
    IF number IS NULL THEN
        RETURN;
    END IF;

    IF event = 'THROUGHPUT_UPGRADE' THEN
        UPDATE @extschema@.whatsapp_phone_numbers AS n SET throughput_level = 'HIGH'
            WHERE n.phone_number_id = number;
    ELSIF event = 'FLAGGED' THEN
        PERFORM @extschema@.wa_internal_alert('error'::text, 'number_flagged'::text, 'number'::text, number,
            format('Meta has flagged the phone number %s for its quality.', number), value);
        UPDATE @extschema@.whatsapp_phone_numbers AS n SET flagged_at = at WHERE n.phone_number_id = number;
    ELSIF event = 'UNFLAGGED' THEN
        PERFORM @extschema@.wa_internal_resolve_alert('number_flagged'::text, 'number'::text, number);
        UPDATE @extschema@.whatsapp_phone_numbers AS n SET flagged_at = NULL WHERE n.phone_number_id = number;
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_event_number_name(value jsonb, at timestamptz) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    number CONSTANT text := @extschema@.wa_internal_number_by_display(value ->> 'display_phone_number');
    decision CONSTANT text := upper(value ->> 'decision');
BEGIN
    UPDATE @extschema@.whatsapp_phone_numbers AS n
        SET name_status = decision,
            verified_name = CASE decision
                WHEN 'APPROVED' THEN COALESCE(value ->> 'requested_verified_name', n.verified_name)
                                          ELSE n.verified_name END
        WHERE n.phone_number_id = number;
    IF decision = 'APPROVED' THEN
        PERFORM @extschema@.wa_internal_resolve_alert('number_name'::text, 'number'::text, number);
        PERFORM @extschema@.wa_internal_alert('info'::text, 'number_name_approved'::text, 'number'::text, number,
            format('Meta has approved the name "%s": it is shown once the number has been registered again.',
                value ->> 'requested_verified_name'), value);
    ELSIF decision = 'REJECTED' THEN
        PERFORM @extschema@.wa_internal_alert('warning'::text, 'number_name'::text, 'number'::text, number,
            format('Meta has rejected the name "%s"%s', value ->> 'requested_verified_name',
                ': ' || (value ->> 'rejection_reason')), value);
    END IF;
END
$$;

/* ---- the account -------------------------------------------------------------------- */

CREATE FUNCTION @extschema@.wa_internal_restrict_account(info jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kind CONSTANT text := info ->> 'restriction_type';
    until CONSTANT timestamptz := CASE WHEN info ->> 'expiration' ~ '^[0-9]{9,11}$'
        THEN to_timestamp((info ->> 'expiration')::bigint) END;
BEGIN
    PERFORM @extschema@.wa_internal_alert('error'::text, 'account_restriction'::text, 'account'::text, COALESCE(kind,
        ''),
        format('Meta restricts the account: %s%s', kind, ' until ' || until), info);
    IF kind IN ('RESTRICTED_BIZ_INITIATED_MESSAGING', 'RESTRICTED_CUSTOMER_INITIATED_MESSAGING')
       AND COALESCE(until, 'infinity') > clock_timestamp() THEN
        PERFORM @extschema@.wa_internal_pause('account'::text, NULL::text, 'account_restriction'::text,
            format('Meta restricts the account: %s', kind), NULL::integer, until);
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_event_account_update(value jsonb, at timestamptz) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    event CONSTANT text := upper(value ->> 'event');
    ban CONSTANT text := upper(value #>> '{ban_info,waba_ban_state}');
    gone CONSTANT boolean :=
        event IN ('ACCOUNT_DELETED', 'PARTNER_REMOVED', 'PARTNER_APP_UNINSTALLED', 'ACCOUNT_OFFBOARDED')
        OR event = 'DISABLED_UPDATE' AND ban = 'DISABLE';
    back CONSTANT boolean := event = 'ACCOUNT_RECONNECTED' OR event = 'DISABLED_UPDATE' AND ban = 'REINSTATE';
BEGIN
    IF event = 'ACCOUNT_RESTRICTION' THEN
        PERFORM @extschema@.wa_internal_restrict_account(r.info)
            FROM jsonb_array_elements(CASE jsonb_typeof(value -> 'restriction_info')
                WHEN 'array' THEN value -> 'restriction_info' ELSE '[]' END) AS r (info);
    ELSIF gone THEN
        PERFORM @extschema@.wa_internal_pause('account'::text, NULL::text, 'account_disabled'::text,
            format('Meta says %s', concat_ws(', ', event, ban)), NULL::integer, NULL::timestamptz);
        PERFORM @extschema@.wa_internal_alert('error'::text, 'account_disabled'::text, 'account'::text, ''::text,
            format('The account can no longer be used: Meta says %s.', concat_ws(', ', event, ban)), value);
    ELSIF back THEN
        PERFORM @extschema@.wa_internal_lift_pause_for('account'::text, NULL::text, '^account_'::text);
        PERFORM @extschema@.wa_internal_resolve_alert('account_disabled'::text, 'account'::text, ''::text);
    ELSIF event = 'DISABLED_UPDATE' THEN
        PERFORM @extschema@.wa_internal_alert('error'::text, 'account_disabled'::text, 'account'::text, ''::text,
            format('Meta is going to disable the account (%s%s).', ban,
                ', ' || (value #>> '{ban_info,waba_ban_date}')), value);
    ELSIF event = 'ACCOUNT_VIOLATION' THEN
        PERFORM @extschema@.wa_internal_alert('error'::text, 'account_violation'::text, 'account'::text, ''::text,
            format('Meta reports a violation of its policy: %s', value #>> '{violation_info,violation_type}'), value);
    ELSE
        PERFORM @extschema@.wa_internal_alert('info'::text, 'account_update'::text, 'account'::text, COALESCE(event,
            ''),
            format('Meta reports a change of the account: %s', event), value);
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_event_account_alert(value jsonb, at timestamptz) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    info CONSTANT jsonb := COALESCE(value -> 'alert_info', value);
    key CONSTANT text := concat_ws(' ', value ->> 'entity_type', value ->> 'entity_id', info ->> 'alert_type');
BEGIN
    IF upper(info ->> 'alert_status') IN ('RESOLVED', 'DISMISSED') THEN
        PERFORM @extschema@.wa_internal_resolve_alert('account_alert'::text, 'account'::text, key);
    ELSE
        PERFORM @extschema@.wa_internal_alert(
            CASE upper(info ->> 'alert_severity')
                WHEN 'CRITICAL' THEN 'error' WHEN 'WARNING' THEN 'warning' ELSE 'info' END,
            'account_alert'::text, 'account'::text, key,
            COALESCE(info ->> 'alert_description', info ->> 'alert_type', 'Meta raises an alert.'), value);
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_event_account_review(value jsonb, at timestamptz) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF upper(value ->> 'decision') = 'APPROVED' THEN
        PERFORM @extschema@.wa_internal_resolve_alert('account_review'::text, 'account'::text, ''::text);
    ELSE
        PERFORM @extschema@.wa_internal_alert(
            CASE upper(value ->> 'decision') WHEN 'REJECTED' THEN 'error' ELSE 'warning' END,
            'account_review'::text, 'account'::text, ''::text,
            format('Meta''s review of the account ended with %s.', value ->> 'decision'), value);
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_event_security(value jsonb, at timestamptz) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_alert('warning'::text, 'security'::text, 'number'::text,
        COALESCE(@extschema@.wa_internal_number_by_display(value ->> 'display_phone_number'), ''),
        format('Security event for a phone number: %s. If you did not cause it, change the PIN in WhatsApp Manager.',
            value ->> 'event'), value);
END
$$;

CREATE FUNCTION @extschema@.wa_internal_event_username(value jsonb, at timestamptz) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_alert(
        CASE value ->> 'status' WHEN 'approved' THEN 'info' ELSE 'warning' END, 'business_username'::text,
            'number'::text,
        COALESCE(@extschema@.wa_internal_number_by_display(value ->> 'display_phone_number'), ''),
        format('The user name "%s" is %s.', value ->> 'username', value ->> 'status'), value);
END
$$;

/*
 * Errors of a whole change: not a message's, but often the account's.  Each code is
 * an alert by itself, in order, for two webhooks must not lock them crosswise.
 */
CREATE FUNCTION @extschema@.wa_internal_event_errors(value jsonb, at timestamptz) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_alert('warning'::text, 'webhook_error'::text, 'number'::text,
            concat_ws('/', value #>> '{metadata,phone_number_id}', e.error ->> 'code'),
            format('Meta reports error %s: %s', e.error ->> 'code',
                COALESCE(e.error #>> '{error_data,details}', e.error ->> 'title')), e.error)
        FROM (SELECT a.error
              FROM jsonb_array_elements(CASE jsonb_typeof(value -> 'errors')
                  WHEN 'array' THEN value -> 'errors' ELSE '[]' END) AS a (error)
              ORDER BY a.error ->> 'code') AS e;
END
$$;

/* A template is known by name and language; without both, the event is about nothing. */
CREATE FUNCTION @extschema@.wa_internal_check_template_event(value jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF value ->> 'message_template_name' IS NULL OR value ->> 'message_template_language' IS NULL THEN
        RAISE EXCEPTION 'template not named' USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;

/* ---- all of them ----------------------------------------------------------------------- */

CREATE FUNCTION @extschema@.wa_internal_dispatch_event(field text, value jsonb, at timestamptz) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF field IN ('message_template_status_update', 'message_template_quality_update', 'template_category_update') THEN
        PERFORM @extschema@.wa_internal_check_template_event(value);
    END IF;
    CASE field
        WHEN 'message_template_status_update' THEN
            PERFORM @extschema@.wa_internal_event_template_status(value, at);
        WHEN 'message_template_quality_update' THEN
            PERFORM @extschema@.wa_internal_event_template_quality(value, at);
        WHEN 'template_category_update' THEN
            PERFORM @extschema@.wa_internal_event_template_category(value, at);
        WHEN 'message_template_components_update' THEN
            UPDATE @extschema@.whatsapp_sync SET requested_at = clock_timestamp() WHERE kind = 'templates';
        WHEN 'phone_number_quality_update' THEN
            PERFORM @extschema@.wa_internal_event_number_quality(value, at);
        WHEN 'phone_number_name_update' THEN
            PERFORM @extschema@.wa_internal_event_number_name(value, at);
        WHEN 'account_update' THEN
            PERFORM @extschema@.wa_internal_event_account_update(value, at);
        WHEN 'account_alerts' THEN
            PERFORM @extschema@.wa_internal_event_account_alert(value, at);
        WHEN 'account_review_update' THEN
            PERFORM @extschema@.wa_internal_event_account_review(value, at);
        WHEN 'business_capability_update' THEN
            PERFORM @extschema@.wa_internal_set_limit(
                @extschema@.wa_internal_limit_name(value ->> 'max_daily_conversations_per_business'));
        WHEN 'security' THEN
            PERFORM @extschema@.wa_internal_event_security(value, at);
        WHEN 'business_username_update' THEN
            PERFORM @extschema@.wa_internal_event_username(value, at);
        WHEN 'messages' THEN
            PERFORM @extschema@.wa_internal_event_errors(value, at);
        ELSE
            RETURN false;
    END CASE;
    RETURN true;
END
$$;

/*
 * What an event is about: later ones of the same field and key supersede earlier
 * ones.  Empty where each stands for itself.
 */
CREATE FUNCTION @extschema@.wa_internal_event_key(field text, value jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE field
        WHEN 'account_update' THEN CASE
            WHEN upper(value ->> 'event') IN ('ACCOUNT_DELETED', 'PARTNER_REMOVED', 'PARTNER_APP_UNINSTALLED',
                'ACCOUNT_OFFBOARDED', 'ACCOUNT_RECONNECTED') THEN 'connection'
            WHEN upper(value ->> 'event') IN ('DISABLED_UPDATE', 'VOLUME_BASED_PRICING_TIER_UPDATE')
                THEN lower(value ->> 'event')
            ELSE '' END
        WHEN 'account_alerts' THEN concat_ws(' ', value ->> 'entity_type', value ->> 'entity_id',
            value #>> '{alert_info,alert_type}')
        WHEN 'account_review_update' THEN 'account'
        WHEN 'business_capability_update' THEN 'account'
        WHEN 'security' THEN ''
        WHEN 'phone_number_quality_update' THEN concat_ws(' ', value ->> 'display_phone_number',
            CASE WHEN upper(value ->> 'event') IN ('FLAGGED', 'UNFLAGGED') THEN 'flag' ELSE 'limit' END)
        ELSE COALESCE(
            (value ->> 'message_template_name') || '/' || (value ->> 'message_template_language'),
            value ->> 'display_phone_number', '')
        END
$$;

/*
 * Takes one event: applied, duplicate, or the reason why it cannot be used.
 * One that goes wrong leaves nothing behind but that reason, unless the error
 * is one that ends by itself: then Meta may send it again.
 *
 * Errors in the field "messages" carry neither a time nor an id.  Nothing in
 * them, nor in the rest of their webhook, tells a webhook that Meta repeats
 * from the same error happening again; only the time between them does.  Meta
 * repeats at once what it got no answer for.  What comes again later than that
 * is news: an open alert is counted up, a resolved one opens anew.
 */
CREATE FUNCTION @extschema@.wa_internal_account_event(field text, value jsonb, happened_at timestamptz) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    mark CONSTANT bytea := substr(sha256(convert_to(
        concat_ws(E'\n', field, EXTRACT(epoch FROM happened_at), value), 'UTF8')), 1, 16);
    at CONSTANT timestamptz := COALESCE(happened_at, clock_timestamp());
    about CONSTANT text := @extschema@.wa_internal_event_key(field, value);
    repetition CONSTANT interval := '10 minutes';
    superseded boolean;
    problem text;
BEGIN
    BEGIN
        superseded := happened_at IS NOT NULL AND about <> '' AND EXISTS (
            SELECT FROM @extschema@.whatsapp_account_events AS e
            WHERE e.field = field AND e.key = about AND e.happened_at > at);
        INSERT INTO @extschema@.whatsapp_account_events AS e (fingerprint, field, key, value, happened_at)
            VALUES (mark, field, about, value, at)
            ON CONFLICT ON CONSTRAINT whatsapp_account_events_fingerprint_key DO UPDATE
            SET happened_at = EXCLUDED.happened_at, received_at = EXCLUDED.received_at
            WHERE e.field = 'messages' AND happened_at IS NULL AND e.received_at < at - repetition;
        IF NOT FOUND OR superseded THEN
            RETURN 'duplicate';
        ELSIF NOT @extschema@.wa_internal_dispatch_event(field, value, at) THEN
            RAISE EXCEPTION USING ERRCODE = 'WA001';
        END IF;
        RETURN 'applied';
    EXCEPTION
        WHEN SQLSTATE 'WA001' THEN
            RETURN 'unknown_field';
        WHEN transaction_rollback OR insufficient_resources OR operator_intervention THEN
            RAISE;
        WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT;
            RETURN 'failed: ' || left(problem, 200);
    END;
END
$$;
/*
 * Who wants no messages: as the tenant notes it, as the customer says it in a
 * word or by a switch of WhatsApp, and as Meta's errors tell.
 */

CREATE TABLE @extschema@.whatsapp_opt_outs (
    tenant_id  text COLLATE "C" NOT NULL,
    recipient  text COLLATE "C" NOT NULL,
    category   text NOT NULL DEFAULT 'marketing'
        CONSTRAINT whatsapp_opt_outs_category_check CHECK (category IN ('marketing', 'all')),
    source     text NOT NULL DEFAULT 'manual',
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (tenant_id, recipient, category)
);
COMMENT ON TABLE @extschema@.whatsapp_opt_outs IS
'Recipients who have opted out of a category of messages (marketing, or all) from a tenant. Messages to them are '
'stored as skipped. Written by wa_opt_out(), by opt-out words that arrive, by WhatsApp''s own switch, and by Meta''s '
'error 131050.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_outs.tenant_id IS 'The tenant that must not write.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_outs.recipient IS
'Phone number in international form with +, or business-scoped user ID.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_outs.category IS 'marketing, or all.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_outs.source IS
'Its origin: manual, inbound (a word such as BAJA), preferences (WhatsApp''s own switch), error (Meta''s error '
'131050).';
COMMENT ON COLUMN @extschema@.whatsapp_opt_outs.created_at IS 'When the recipient opted out.';

CREATE TABLE @extschema@.whatsapp_opt_words (
    language text NOT NULL,
    word     text NOT NULL
        CONSTRAINT whatsapp_opt_words_word_check CHECK (word <> ''),
    action   text NOT NULL
        CONSTRAINT whatsapp_opt_words_action_check CHECK (action IN ('out', 'in', 'none')),
    PRIMARY KEY (word, language)
);
COMMENT ON TABLE @extschema@.whatsapp_opt_words IS
'Words with which a customer opts out of messages or in again; action none disables a built-in word. A word counts '
'if it is the whole message; case, accents, and surrounding spaces and punctuation do not matter.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_words.language IS 'The language of the word; words of all languages count.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_words.word IS 'The word or phrase, in lower case without accents.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_words.action IS 'out (stop), in (resume) or none (switched off).';

/* ---- words that stop and resume messages ------------------------------------- */

/* Without case, accents, and whatever stands around the word. */
CREATE FUNCTION @extschema@.wa_internal_opt_word(message text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT regexp_replace(
        lower(regexp_replace(normalize(message, NFD), '[\u0300-\u036f]', '', 'g')),
        '^[[:space:][:punct:]¡¿]+|[[:space:][:punct:]¡¿]+$', '', 'g')
$$;

CREATE FUNCTION @extschema@.wa_internal_normalise_opt_word() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    /* In another encoding webhooks are refused anyway, and normalize() fails. */
    IF getdatabaseencoding() = 'UTF8' THEN
        NEW.word := @extschema@.wa_internal_opt_word(NEW.word);
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER whatsapp_opt_words_normalise
    BEFORE INSERT OR UPDATE ON @extschema@.whatsapp_opt_words
    FOR EACH ROW EXECUTE FUNCTION @extschema@.wa_internal_normalise_opt_word();

INSERT INTO @extschema@.whatsapp_opt_words (language, word, action) VALUES
    ('es', 'baja', 'out'), ('es', 'darme de baja', 'out'), ('es', 'dar de baja', 'out'),
    ('es', 'cancelar suscripcion', 'out'), ('es', 'no enviar mas', 'out'), ('es', 'parar', 'out'),
    ('es', 'alta', 'in'), ('es', 'reanudar', 'in'), ('es', 'darme de alta', 'in'),
    ('en', 'stop', 'out'), ('en', 'unsubscribe', 'out'), ('en', 'opt out', 'out'), ('en', 'stopall', 'out'),
    ('en', 'stop all', 'out'), ('en', 'start', 'in'), ('en', 'unstop', 'in'), ('en', 'subscribe', 'in'),
    ('en', 'opt in', 'in'),
    ('ca', 'donar de baixa', 'out'), ('ca', 'baixa', 'out'), ('ca', 'atura', 'out'),
    ('gl', 'cancelar subscricion', 'out'), ('eu', 'gelditu', 'out'), ('eu', 'baja eman', 'out'),
    ('pt', 'sair', 'out'), ('pt', 'parar', 'out'), ('pt', 'cancelar inscricao', 'out'), ('pt', 'voltar', 'in'),
    ('fr', 'arret', 'out'), ('fr', 'desabonner', 'out'), ('fr', 'reprendre', 'in'),
    ('it', 'ferma', 'out'), ('it', 'disiscriviti', 'out'), ('it', 'riprendi', 'in'),
    ('de', 'stopp', 'out'), ('de', 'abmelden', 'out'), ('de', 'anmelden', 'in');

/* ---- what a tenant notes ----------------------------------------------------------- */

/* The canonical form of a recipient, or an error; see src/common/recipient.c. */
CREATE FUNCTION @extschema@.wa_internal_recipient(recipient text) RETURNS text
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_recipient';
COMMENT ON FUNCTION @extschema@.wa_internal_recipient(text) IS
'The number in international form, or the business-scoped user id, that this text stands for. Internal.';

CREATE FUNCTION @extschema@.wa_internal_check_opt_out(tenant text, recipient text, category text) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF tenant IS NULL OR recipient IS NULL OR category IS NULL THEN
        RAISE EXCEPTION 'tenant_id, recipient and category must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    ELSIF category NOT IN ('marketing', 'all') THEN
        RAISE EXCEPTION 'invalid category "%"', @extschema@.wa_internal_quote(category)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Use marketing or all.';
    END IF;
    PERFORM @extschema@.wa_internal_check_own_tenant(tenant);
    PERFORM @extschema@.wa_internal_check_tenant_exists(tenant, recipient);
    RETURN @extschema@.wa_internal_recipient(recipient);
END
$$;

CREATE FUNCTION @extschema@.wa_opt_out(
    tenant_id text,
    recipient text,
    category  text DEFAULT 'marketing')
RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO @extschema@.whatsapp_opt_outs (tenant_id, recipient, category)
        VALUES (wa_opt_out.tenant_id,
                @extschema@.wa_internal_check_opt_out(wa_opt_out.tenant_id, wa_opt_out.recipient,
                                                      wa_opt_out.category),
                wa_opt_out.category)
        ON CONFLICT DO NOTHING;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_opt_out(text, text, text) IS
'Records that the recipient wants no marketing from this tenant (templates of that category or of an unknown one), '
'or, with category all, no messages at all. New messages are stored as skipped; those queued already are still sent. '
'False: it was recorded before. Errors: 22004, 22023, 42704 unknown tenant.';

CREATE FUNCTION @extschema@.wa_opt_in(
    tenant_id text,
    recipient text,
    category  text DEFAULT 'marketing')
RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    who text := @extschema@.wa_internal_check_opt_out(tenant_id, recipient, category);
BEGIN
    DELETE FROM @extschema@.whatsapp_opt_outs AS o
        WHERE o.tenant_id = wa_opt_in.tenant_id AND o.recipient = who
            AND wa_opt_in.category IN (o.category, 'all');
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_opt_in(text, text, text) IS
'Reverses wa_opt_out(): for marketing, or, with category all, for everything. False: nothing was recorded. Errors as '
'there.';

/* ---- what a customer decides ------------------------------------------------------ */

/*
 * Whose customer somebody is who writes to this number: its tenant, or, for a
 * number that no tenant has (the default number), every tenant that sends from
 * it because it has none of its own.
 */
CREATE FUNCTION @extschema@.wa_internal_tenants_of(tenant text, number text) RETURNS SETOF text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT tenant WHERE tenant IS NOT NULL
    UNION ALL
    SELECT t.tenant_id
    FROM @extschema@.whatsapp_tenants AS t
    WHERE tenant IS NULL AND number = current_setting('whatsapp_shared.phone_number_id', true)
        AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_phone_assignments AS a
                        WHERE a.tenant_id = t.tenant_id AND a.unassigned_at IS NULL)
$$;

/* Whether the customer has switched marketing on again after that time. */
CREATE FUNCTION @extschema@.wa_internal_resumed_later(number text, recipients text[], since timestamptz) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM unnest(recipients) AS r (recipient)
            JOIN @extschema@.whatsapp_account_events AS e
                ON e.field = 'user_preferences' AND e.key = number || ' ' || r.recipient AND e.happened_at > since
        WHERE e.value ->> 'value' IN ('resume', 'signup'))
$$;

/*
 * The same by a word.  Nearly always the message at hand is the latest of its
 * sender, which the window tells at once.
 */
CREATE FUNCTION @extschema@.wa_internal_opted_in_later(
    tenant text, number text, recipients text[], since timestamptz) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (
            SELECT FROM @extschema@.whatsapp_windows AS w
            WHERE w.phone_number_id = number AND w.recipient = ANY (recipients) AND w.last_inbound_at > since)
        AND EXISTS (
            SELECT FROM @extschema@.whatsapp_inbound_messages AS i
                JOIN @extschema@.whatsapp_opt_words AS w ON w.word = @extschema@.wa_internal_opt_word(i.text)
            WHERE (i.tenant_id = tenant OR tenant IS NULL AND i.tenant_id IS NULL) AND i.phone_number_id = number
                AND i.received_at > since - interval '1 day' AND i.sent_at > since
                AND (i.sender_phone = ANY (recipients) OR i.sender_user_id = ANY (recipients))
                AND i.message_type IN ('text', 'button', 'interactive') AND length(i.text) <= 60
                AND w.action = 'in' AND NOT i.too_old);
END
$$;

/*
 * A customer's own decision; one that comes late yields to a later one.  What
 * WhatsApp's switch has stopped, a word does not resume: Meta would go on
 * refusing.
 */
CREATE FUNCTION @extschema@.wa_internal_set_opt(
    tenant text,
    number text,
    recipients text[],
    category text,
    action text,
    source text,
    decided_at timestamptz)
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    IF action = 'out' THEN
        IF source = 'preferences' AND @extschema@.wa_internal_resumed_later(number, recipients, decided_at)
           OR source = 'inbound' AND @extschema@.wa_internal_opted_in_later(tenant, number, recipients, decided_at) THEN
            RETURN;
        END IF;
        INSERT INTO @extschema@.whatsapp_opt_outs AS o (tenant_id, recipient, category, source, created_at)
            SELECT t.tenant_id, r.recipient, category, source, decided_at
            FROM @extschema@.wa_internal_tenants_of(tenant, number) AS t (tenant_id)
                CROSS JOIN unnest(recipients) AS r (recipient)
            WHERE r.recipient IS NOT NULL
            ORDER BY t.tenant_id, r.recipient
            ON CONFLICT ON CONSTRAINT whatsapp_opt_outs_pkey DO UPDATE
            SET source = EXCLUDED.source, created_at = EXCLUDED.created_at
            WHERE o.created_at < EXCLUDED.created_at;
    ELSE
        DELETE FROM @extschema@.whatsapp_opt_outs AS o
            USING @extschema@.wa_internal_tenants_of(tenant, number) AS t (tenant_id)
            WHERE o.tenant_id = t.tenant_id AND o.recipient = ANY (recipients)
                AND o.created_at <= decided_at
                AND CASE source WHEN 'preferences' THEN o.category = category ELSE o.source <> 'preferences' END;
    END IF;
END
$$;

/* ---- switches of WhatsApp itself ------------------------------------------------- */

/*
 * "stop" is a customer's right, and the tenant's who had the number when it was
 * pressed.  Returns how many of these choices were new.
 */
CREATE FUNCTION @extschema@.wa_internal_store_preferences(
    numbers text[],
    phones text[],
    user_ids text[],
    choices text[],
    chosen_at timestamptz[],
    items text[])
RETURNS integer
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p record;
    fresh integer := 0;
BEGIN
    FOR p IN
        WITH v AS MATERIALIZED (
            SELECT x.*, COALESCE(x.user_id, x.phone) AS key, x.text::jsonb AS item,
                substr(sha256(convert_to(concat_ws(E'\n', 'user_preferences', x.number, x.text::jsonb), 'UTF8')), 1, 16)
                    AS mark
            FROM unnest(numbers, phones, user_ids, choices, chosen_at, items) WITH ORDINALITY
                AS x (number, phone, user_id, choice, at, text, n)
        ), stored AS (
            INSERT INTO @extschema@.whatsapp_account_events (fingerprint, field, key, value, happened_at)
                SELECT DISTINCT ON (v.mark) v.mark, 'user_preferences', v.number || ' ' || v.key, v.item, v.at
                FROM v ORDER BY v.mark, v.n
                ON CONFLICT ON CONSTRAINT whatsapp_account_events_fingerprint_key DO NOTHING
                RETURNING fingerprint)
        SELECT v.*, a.tenant_id
        FROM stored AS s
            CROSS JOIN LATERAL (SELECT v.* FROM v WHERE v.mark = s.fingerprint ORDER BY v.n LIMIT 1) AS v
            LEFT JOIN LATERAL (
                SELECT a.tenant_id FROM @extschema@.whatsapp_phone_assignments AS a
                WHERE a.phone_number_id = v.number AND a.assigned_at < v.at + interval '1 second'
                    AND (a.unassigned_at IS NULL OR a.unassigned_at > v.at)
                ORDER BY a.assigned_at DESC LIMIT 1) AS a ON true
        ORDER BY v.user_id, v.phone, v.at, v.n
    LOOP
        fresh := fresh + 1;
        PERFORM @extschema@.wa_internal_set_opt(p.tenant_id, p.number, ARRAY[p.phone, p.user_id],
            'marketing'::text, CASE p.choice WHEN 'stop' THEN 'out' ELSE 'in' END, 'preferences'::text, p.at);
    END LOOP;
    RETURN fresh;
END
$$;
/*
 * Who customers are.
 *
 * A customer is known by number, by business-scoped user id, or by both; which
 * of them Meta tells depends on the customer's settings.
 */

CREATE TABLE @extschema@.whatsapp_contacts (
    contact_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    wa_id          text COLLATE "C",
    user_id        text COLLATE "C",
    parent_user_id text COLLATE "C",
    name           text,
    username       text,
    first_seen_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
    last_seen_at   timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT whatsapp_contacts_identity_check CHECK (wa_id IS NOT NULL OR user_id IS NOT NULL)
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX whatsapp_contacts_wa_id_key
    ON @extschema@.whatsapp_contacts (wa_id) WHERE wa_id IS NOT NULL;
CREATE UNIQUE INDEX whatsapp_contacts_user_id_key
    ON @extschema@.whatsapp_contacts (user_id) WHERE user_id IS NOT NULL;
COMMENT ON TABLE @extschema@.whatsapp_contacts IS
'Customers who have written or were written to, as webhooks name them: by phone number, by business-scoped user ID, '
'or both. Kept for whatsapp_shared.retention after they were last seen.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.contact_id IS 'Number of the contact.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.wa_id IS 'The customer''s WhatsApp ID: the phone number, digits only.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.user_id IS 'The customer''s business-scoped user ID.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.parent_user_id IS
'The user ID in the parent portfolio, if Meta reports one.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.name IS 'The name in the customer''s WhatsApp profile.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.username IS 'The customer''s WhatsApp user name.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.first_seen_at IS 'When a webhook first named the customer.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.last_seen_at IS
'When a webhook last named them: to within an hour if they wrote, a month if they were only written to.';

/*
 * Adds what is known of a customer.  Two rows that turn out to be one person
 * become one, the older; what Meta says now wins over what it said before.
 *
 * The condition stands twice: once to find rows by index, and once for a row
 * that has changed while we waited for its lock.
 */
CREATE FUNCTION @extschema@.wa_internal_merge_contact(
    wa text, usr text, parent text, name text, username text, seen_at timestamptz)
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    found_ids bigint[];
    kept bigint;
BEGIN
    LOOP
        SELECT array_agg(l.contact_id ORDER BY l.contact_id) INTO found_ids FROM (
            SELECT c.contact_id FROM @extschema@.whatsapp_contacts AS c
            WHERE c.contact_id IN (
                    SELECT w.contact_id FROM @extschema@.whatsapp_contacts AS w WHERE w.wa_id = wa
                    UNION ALL
                    SELECT u.contact_id FROM @extschema@.whatsapp_contacts AS u WHERE u.user_id = usr)
                AND (c.wa_id = wa OR c.user_id = usr)
            ORDER BY c.contact_id FOR UPDATE) AS l;
        EXIT WHEN found_ids IS NOT NULL;
        INSERT INTO @extschema@.whatsapp_contacts (wa_id, user_id, parent_user_id, name, username,
                first_seen_at, last_seen_at)
            VALUES (wa, usr, parent, name, username, seen_at, seen_at)
            ON CONFLICT DO NOTHING;
        IF FOUND THEN
            RETURN;
        END IF;
        /* Somebody else has just inserted it: look again. */
    END LOOP;

    kept := found_ids[1];
    IF cardinality(found_ids) > 1 THEN
        SELECT COALESCE(wa, max(c.wa_id)), COALESCE(usr, max(c.user_id)),
                COALESCE(parent, max(c.parent_user_id)), COALESCE(name, max(c.name)),
                COALESCE(username, max(c.username))
            INTO wa, usr, parent, name, username
            FROM @extschema@.whatsapp_contacts AS c WHERE c.contact_id = ANY (found_ids);
        DELETE FROM @extschema@.whatsapp_contacts AS c
            WHERE c.contact_id = ANY (found_ids) AND c.contact_id <> kept;
    END IF;
    UPDATE @extschema@.whatsapp_contacts AS c
        SET wa_id = COALESCE(wa, c.wa_id), user_id = COALESCE(usr, c.user_id),
            parent_user_id = COALESCE(parent, c.parent_user_id), name = COALESCE(name, c.name),
            username = COALESCE(username, c.username),
            first_seen_at = LEAST(c.first_seen_at, seen_at),
            last_seen_at = GREATEST(c.last_seen_at, seen_at)
        WHERE c.contact_id = kept;
END
$$;

/*
 * The contacts of a webhook.  Nearly always they are known and unchanged, which
 * costs a look into an index for each.  New ones are inserted by the same
 * statement, in order of user id, which today every contact has, so that
 * webhooks meet in one direction; the rest one by one in the same order.
 *
 * wrote_at is NULL for customers who were only written to.  That somebody was
 * seen is noted once an hour, or for these once a month: each message would
 * write a row here otherwise.
 */
CREATE FUNCTION @extschema@.wa_internal_store_contacts(
    wa_ids text[], user_ids text[], parents text[], names text[], usernames text[], wrote_at timestamptz[])
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    seen_at CONSTANT timestamptz := clock_timestamp();
    changed record;
BEGIN
    FOR changed IN
        WITH news AS MATERIALIZED (
            SELECT u.*, c.contact_id IS NULL AND NOT EXISTS (
                SELECT FROM @extschema@.whatsapp_contacts AS o WHERE o.user_id = u.usr) AS fresh
            FROM unnest(wa_ids, user_ids, parents, names, usernames, wrote_at)
                    AS u (wa, usr, parent, name, username, at)
                LEFT JOIN LATERAL (
                    SELECT w.* FROM @extschema@.whatsapp_contacts AS w WHERE w.wa_id = u.wa
                    UNION ALL
                    SELECT o.* FROM @extschema@.whatsapp_contacts AS o
                    WHERE u.wa IS NULL AND o.user_id = u.usr) AS c ON true
            WHERE c.contact_id IS NULL OR u.usr IS NOT NULL AND u.usr IS DISTINCT FROM c.user_id
                OR u.parent IS NOT NULL AND u.parent IS DISTINCT FROM c.parent_user_id
                OR u.name IS NOT NULL AND u.name IS DISTINCT FROM c.name
                OR u.username IS NOT NULL AND u.username IS DISTINCT FROM c.username
                OR c.last_seen_at < COALESCE(u.at - interval '1 hour', seen_at - interval '30 days')
        ), added AS (
            INSERT INTO @extschema@.whatsapp_contacts (wa_id, user_id, parent_user_id, name, username,
                    first_seen_at, last_seen_at)
                SELECT n.wa, n.usr, n.parent, n.name, n.username, seen_at, seen_at
                FROM news AS n
                WHERE n.fresh
                ORDER BY n.usr, n.wa
                ON CONFLICT DO NOTHING
                RETURNING contact_id)
        /* If another session was faster, or somebody is named twice, all are looked at. */
        SELECT n.* FROM news AS n
        WHERE NOT n.fresh
            OR (SELECT count(*) FROM added) < (SELECT count(*) FROM news AS f WHERE f.fresh)
        ORDER BY n.usr, n.wa
    LOOP
        PERFORM @extschema@.wa_internal_merge_contact(changed.wa, changed.usr, changed.parent, changed.name,
            changed.username, seen_at);
    END LOOP;
END
$$;

/*
 * A customer has another number or another user id now.  The contact moves,
 * and so does the wish not to be written to.
 */
CREATE FUNCTION @extschema@.wa_internal_change_identity(
    old_wa text, old_user text, new_wa text, new_user text, changed_at timestamptz)
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF new_wa IS NULL AND new_user IS NULL THEN
        RETURN;
    END IF;
    /* If the new identity is there already, the two rows become one. */
    DELETE FROM @extschema@.whatsapp_contacts AS c
        WHERE (c.wa_id = new_wa OR c.user_id = new_user)
            AND c.wa_id IS DISTINCT FROM old_wa AND c.user_id IS DISTINCT FROM old_user
            AND EXISTS (SELECT FROM @extschema@.whatsapp_contacts AS o
                        WHERE (o.wa_id = old_wa OR o.user_id = old_user) AND o.contact_id <> c.contact_id);
    UPDATE @extschema@.whatsapp_contacts AS c
        SET wa_id = COALESCE(new_wa, c.wa_id), user_id = COALESCE(new_user, c.user_id),
            last_seen_at = GREATEST(c.last_seen_at, changed_at)
        WHERE c.contact_id = (
            SELECT o.contact_id FROM @extschema@.whatsapp_contacts AS o
            WHERE o.wa_id = old_wa OR o.user_id = old_user ORDER BY o.contact_id LIMIT 1);
    PERFORM @extschema@.wa_internal_merge_contact(new_wa, new_user, NULL::text, NULL::text, NULL::text, changed_at);

    INSERT INTO @extschema@.whatsapp_opt_outs (tenant_id, recipient, category, source, created_at)
        SELECT o.tenant_id, n.recipient, o.category, o.source, o.created_at
        FROM @extschema@.whatsapp_opt_outs AS o
            JOIN (VALUES ('+' || old_wa, '+' || new_wa), (old_user, new_user)) AS n (former, recipient)
                ON o.recipient = n.former
        WHERE n.recipient IS NOT NULL
        ORDER BY o.tenant_id, n.recipient
        ON CONFLICT DO NOTHING;
END
$$;
/*
 * Messages from customers: stored once, and what they set in motion: the
 * 24-hour window, opt-outs, changes of number.
 *
 * Everything here works on sets and raises nothing that the content of a
 * message could cause.
 */

CREATE TABLE @extschema@.whatsapp_inbound_messages (
    inbound_id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    whatsapp_message_id text COLLATE "C" NOT NULL
        CONSTRAINT whatsapp_inbound_messages_wamid_key UNIQUE,
    tenant_id           text COLLATE "C",
    phone_number_id     text COLLATE "C" NOT NULL,
    sender_phone        text COLLATE "C",
    sender_user_id      text COLLATE "C",
    message_type        text NOT NULL,
    text                text,
    payload             jsonb NOT NULL,
    context_whatsapp_message_id text COLLATE "C",
    message_id          bigint,
    reply_id            text,
    reply_title         text,
    sent_at             timestamptz NOT NULL,
    too_old             boolean NOT NULL DEFAULT false,
    received_at         timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    edited_at           timestamptz,
    revoked_at          timestamptz,
    handler             text,
    handled_at          timestamptz,
    handler_error       text
);
CREATE INDEX whatsapp_inbound_messages_tenant_idx
    ON @extschema@.whatsapp_inbound_messages (tenant_id, received_at);
CREATE INDEX whatsapp_inbound_messages_received_idx
    ON @extschema@.whatsapp_inbound_messages USING brin (received_at);
COMMENT ON TABLE @extschema@.whatsapp_inbound_messages IS
'Messages from customers, each once, with the tenant that had the number when it was sent.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.inbound_id IS
'Number of the message; the argument of wa_retry_reply().';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.whatsapp_message_id IS 'Meta''s ID of the message (wamid).';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.tenant_id IS
'The tenant that it belongs to; NULL: no tenant had the number.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.phone_number_id IS 'The number that the customer wrote to.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.sender_phone IS
'In international form with +; NULL for a customer who hides it behind a username.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.sender_user_id IS 'The customer''s business-scoped user ID.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.message_type IS
'The type of Meta''s API: text, image, button, interactive …';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.text IS
'The readable part: the text, the caption of media, the title of the button pressed.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.payload IS 'The message as Meta sent it.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.context_whatsapp_message_id IS
'The wamid of the message that it replies to.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.message_id IS 'Our message that this one replies to.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.reply_id IS
'The payload of the button, or the ID of the row, that was chosen.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.reply_title IS
'The text of the button, or row, that was chosen.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.sent_at IS 'When the customer sent it, by Meta''s clock.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.too_old IS
'It was older than the seven days for which Meta repeats a webhook: stored, but no handler was called, no service '
'window opened, and nobody opted in by it.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.received_at IS 'When its webhook was received.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.edited_at IS 'When the customer last edited it.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.revoked_at IS 'When the customer deleted it.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.handler IS
'The function that was called for the reply; NULL: none.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.handled_at IS 'When the handler was last called.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.handler_error IS
'Why the handler registered with wa_on_reply() failed; wa_retry_reply(inbound_id) calls it again.';

CREATE TABLE @extschema@.whatsapp_windows (
    phone_number_id text COLLATE "C" NOT NULL,
    recipient       text COLLATE "C" NOT NULL,
    last_inbound_at timestamptz NOT NULL,
    PRIMARY KEY (phone_number_id, recipient)
) WITH (fillfactor = 80);
COMMENT ON TABLE @extschema@.whatsapp_windows IS
'When each customer last wrote to each number. Within the service window, 24 hours from then, messages other than '
'templates can be sent.';
COMMENT ON COLUMN @extschema@.whatsapp_windows.phone_number_id IS 'The number.';
COMMENT ON COLUMN @extschema@.whatsapp_windows.recipient IS
'The customer: phone number with +, or business-scoped user ID.';
COMMENT ON COLUMN @extschema@.whatsapp_windows.last_inbound_at IS 'When the customer last wrote to the number.';

CREATE TABLE @extschema@.whatsapp_reply_handlers (
    prefix        text COLLATE "C" PRIMARY KEY
        CONSTRAINT whatsapp_reply_handlers_prefix_check CHECK (prefix <> ''),
    handler       text NOT NULL,
    registered_by name NOT NULL,
    registered_by_oid oid,
    owner         name NOT NULL,
    owner_oid     oid,
    search_path   text NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE TRIGGER whatsapp_reply_handlers_roles
    BEFORE INSERT ON @extschema@.whatsapp_reply_handlers
    FOR EACH ROW EXECUTE FUNCTION @extschema@.wa_internal_find_registration_roles();
ALTER TABLE @extschema@.whatsapp_reply_handlers ENABLE ALWAYS TRIGGER whatsapp_reply_handlers_roles;
COMMENT ON TABLE @extschema@.whatsapp_reply_handlers IS
'Functions that are called when a customer presses a button or chooses from a list. Made by wa_on_reply().';
COMMENT ON COLUMN @extschema@.whatsapp_reply_handlers.prefix IS 'What the payload of a reply must begin with.';
COMMENT ON COLUMN @extschema@.whatsapp_reply_handlers.handler IS 'The function, with its schema.';
COMMENT ON COLUMN @extschema@.whatsapp_reply_handlers.registered_by IS
'The role that registered the handler. It runs as this role or as its owner, whichever has fewer rights.';
COMMENT ON COLUMN @extschema@.whatsapp_reply_handlers.registered_by_oid IS
'OID of that role; found anew when a dump is restored. NULL: there was no such role then, and the handler is not '
'called.';
COMMENT ON COLUMN @extschema@.whatsapp_reply_handlers.owner IS
'The role that owned the function when it was registered. If another one does, it is not called.';
COMMENT ON COLUMN @extschema@.whatsapp_reply_handlers.owner_oid IS 'OID of the owner, found like registered_by_oid.';
COMMENT ON COLUMN @extschema@.whatsapp_reply_handlers.search_path IS
'The search_path of the session that registered the handler; it is called with the same.';
COMMENT ON COLUMN @extschema@.whatsapp_reply_handlers.registered_at IS 'When it was registered.';

/* ---- messages ------------------------------------------------------------------- */

/* What a person would read of it. */
CREATE FUNCTION @extschema@.wa_internal_inbound_text(type text, message jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE type
        WHEN 'text' THEN message #>> '{text,body}'
        WHEN 'button' THEN message #>> '{button,text}'
        WHEN 'interactive' THEN COALESCE(message #>> '{interactive,button_reply,title}',
            message #>> '{interactive,list_reply,title}', message #>> '{interactive,nfm_reply,body}')
        WHEN 'reaction' THEN message #>> '{reaction,emoji}'
        WHEN 'location' THEN concat_ws(', ', message #>> '{location,name}', message #>> '{location,address}')
        WHEN 'contacts' THEN message #>> '{contacts,0,name,formatted_name}'
        WHEN 'order' THEN message #>> '{order,text}'
        WHEN 'system' THEN message #>> '{system,body}'
        WHEN 'edit' THEN COALESCE(message #>> '{edit,message,text,body}', message #>> '{edit,text,body}')
        ELSE message #>> ARRAY[type, 'caption']
        END
$$;

/*
 * Stores messages, each once, and does what they ask for.  Arguments are
 * parallel arrays, one element for each message.  Returns the ids of those that
 * are new; "reply" where a button or a list row was chosen.
 *
 * A message belongs to the tenant that had the number when it was sent.  A
 * reply belongs to the tenant whose message it replies to, whoever has the
 * number by now.  Meta's times are whole seconds, hence the second of grace for
 * a number that has just been assigned.
 *
 * Rows are inserted in order of wamid, so that two webhooks with the same
 * messages wait for each other in one direction only; their ids follow the
 * order in which the webhook has them.
 */
CREATE FUNCTION @extschema@.wa_internal_store_inbound(
    numbers text[],
    wamids text[],
    types text[],
    sent_at timestamptz[],
    too_old boolean[],
    phones text[],
    user_ids text[],
    messages text[])
RETURNS TABLE (inbound_id bigint, reply boolean)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    sequence CONSTANT regclass := pg_get_serial_sequence(
        '@extschema@.whatsapp_inbound_messages', 'inbound_id');
    ids bigint[];
BEGIN
    WITH v AS MATERIALIZED (
        SELECT nextval(sequence) AS id, x.number, x.wamid, x.type, x.at, x.too_old, x.phone, x.user_id,
            x.message::jsonb AS message
        FROM unnest(numbers, wamids, types, sent_at, too_old, phones, user_ids, messages)
            AS x (number, wamid, type, at, too_old, phone, user_id, message)
    ), stored AS (
        INSERT INTO @extschema@.whatsapp_inbound_messages (inbound_id, whatsapp_message_id, tenant_id,
                phone_number_id, sender_phone, sender_user_id, message_type, text, payload,
                context_whatsapp_message_id, message_id, reply_id, reply_title, sent_at, too_old)
            OVERRIDING SYSTEM VALUE
            SELECT v.id, v.wamid, COALESCE(m.tenant_id, a.tenant_id), v.number, v.phone, v.user_id, v.type,
                NULLIF(@extschema@.wa_internal_inbound_text(v.type, v.message), ''), v.message,
                v.message #>> '{context,id}', m.id,
                COALESCE(v.message #>> '{button,payload}',
                    v.message #>> '{interactive,button_reply,id}', v.message #>> '{interactive,list_reply,id}'),
                COALESCE(v.message #>> '{button,text}',
                    v.message #>> '{interactive,button_reply,title}', v.message #>> '{interactive,list_reply,title}'),
                v.at, v.too_old
            FROM v
                LEFT JOIN LATERAL (
                    SELECT w.message_id FROM @extschema@.whatsapp_wamids AS w
                    WHERE w.whatsapp_message_id = v.message #>> '{context,id}' LIMIT 1) AS w ON true
                LEFT JOIN @extschema@.whatsapp_messages AS m ON m.id = w.message_id
                LEFT JOIN LATERAL (
                    SELECT a.tenant_id FROM @extschema@.whatsapp_phone_assignments AS a
                    WHERE a.phone_number_id = v.number AND a.assigned_at < v.at + interval '1 second'
                        AND (a.unassigned_at IS NULL OR a.unassigned_at > v.at)
                    ORDER BY a.assigned_at DESC LIMIT 1) AS a ON true
            ORDER BY v.wamid, v.id
            ON CONFLICT ON CONSTRAINT whatsapp_inbound_messages_wamid_key DO NOTHING
            RETURNING inbound_id)
    SELECT COALESCE(array_agg(s.inbound_id ORDER BY s.inbound_id), '{}') INTO ids FROM stored AS s;

    IF cardinality(ids) > 0 THEN
        PERFORM @extschema@.wa_internal_after_inbound(ids);
    END IF;
    RETURN QUERY
        SELECT i.inbound_id, i.reply_id IS NOT NULL AND NOT i.too_old
        FROM @extschema@.whatsapp_inbound_messages AS i
        WHERE i.inbound_id = ANY (ids)
        ORDER BY i.inbound_id;
END
$$;

/*
 * What follows from them.  Customer by customer, for the order of locks again;
 * what one customer writes stays in its own order.
 *
 * Of what is too old, only what errs on the right side: an opt-out, and that a message
 * was withdrawn.  Times ahead of the server's clock count as now.
 */
CREATE FUNCTION @extschema@.wa_internal_after_inbound(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    item record;
BEGIN
    INSERT INTO @extschema@.whatsapp_windows AS w (phone_number_id, recipient, last_inbound_at)
        SELECT i.phone_number_id, r.recipient, max(LEAST(i.sent_at, i.received_at))
        FROM @extschema@.whatsapp_inbound_messages AS i
            CROSS JOIN LATERAL (VALUES (i.sender_phone), (i.sender_user_id)) AS r (recipient)
        WHERE i.inbound_id = ANY (ids) AND r.recipient IS NOT NULL
            AND NOT i.too_old AND i.message_type NOT IN ('system', 'request_welcome', 'edit', 'revoke')
        GROUP BY i.phone_number_id, r.recipient
        ORDER BY i.phone_number_id, r.recipient
        ON CONFLICT ON CONSTRAINT whatsapp_windows_pkey DO UPDATE
        SET last_inbound_at = EXCLUDED.last_inbound_at
        WHERE w.last_inbound_at < EXCLUDED.last_inbound_at;

    FOR item IN
        SELECT i.*, w.action
        FROM @extschema@.whatsapp_inbound_messages AS i
            CROSS JOIN LATERAL (
                SELECT w.action FROM @extschema@.whatsapp_opt_words AS w
                WHERE length(i.text) <= 60 AND w.action <> 'none' AND w.word = @extschema@.wa_internal_opt_word(i.text)
                ORDER BY w.action DESC LIMIT 1) AS w
        WHERE i.inbound_id = ANY (ids) AND i.message_type IN ('text', 'button', 'interactive')
            AND (w.action = 'out' OR NOT i.too_old)
        ORDER BY i.sender_user_id, i.sender_phone, i.sent_at, i.inbound_id
    LOOP
        PERFORM @extschema@.wa_internal_set_opt(item.tenant_id, item.phone_number_id,
            ARRAY[item.sender_phone, item.sender_user_id], 'all'::text, item.action, 'inbound'::text,
            LEAST(item.sent_at, item.received_at));
    END LOOP;

    FOR item IN
        SELECT i.* FROM @extschema@.whatsapp_inbound_messages AS i
        WHERE i.inbound_id = ANY (ids) AND i.message_type IN ('edit', 'revoke', 'system')
        ORDER BY i.sender_user_id, i.sender_phone, i.sent_at, i.inbound_id
    LOOP
        IF item.message_type = 'system' THEN
            IF NOT item.too_old
               AND item.payload #>> '{system,type}' IN ('user_changed_number', 'user_changed_user_id') THEN
                PERFORM @extschema@.wa_internal_change_identity(
                    ltrim(item.sender_phone, '+'),
                    COALESCE(item.payload #>> '{system,previous_user_id}', item.sender_user_id),
                    item.payload #>> '{system,wa_id}',
                    COALESCE(item.payload #>> '{system,user_id}',
                        CASE WHEN item.payload #>> '{system,previous_user_id}' <> item.sender_user_id
                             THEN item.sender_user_id END), item.sent_at);
            END IF;
        ELSE
            UPDATE @extschema@.whatsapp_inbound_messages AS o
                SET edited_at = CASE item.message_type
                        WHEN 'edit' THEN GREATEST(o.edited_at, item.sent_at) ELSE o.edited_at END,
                    revoked_at = CASE item.message_type
                        WHEN 'revoke' THEN GREATEST(o.revoked_at, item.sent_at) ELSE o.revoked_at END
                WHERE o.whatsapp_message_id = COALESCE(
                    item.payload #>> ARRAY[item.message_type, 'original_message_id'],
                    item.payload ->> 'original_message_id')
                    AND o.phone_number_id = item.phone_number_id;
        END IF;
    END LOOP;
END
$$;

/* ---- replies ---------------------------------------------------------------------- */

/* Which handlers to call for these messages, with what. */
CREATE FUNCTION @extschema@.wa_internal_reply_calls(ids bigint[])
RETURNS TABLE (inbound_id bigint, prefix text, handler text, registered_by name, registered_by_oid oid, owner name,
    owner_oid oid, search_path text, argument jsonb)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT i.inbound_id, h.prefix, h.handler, h.registered_by, h.registered_by_oid, h.owner, h.owner_oid, h.search_path,
        jsonb_build_object(
            'inbound_id', i.inbound_id,
            'tenant_id', i.tenant_id,
            'phone_number_id', i.phone_number_id,
            'sender', i.sender_phone,
            'sender_user_id', i.sender_user_id,
            'payload', i.reply_id,
            'title', i.reply_title,
            'reference', m.reference,
            'sent_at', i.sent_at,
            'message', CASE WHEN m.id IS NOT NULL THEN jsonb_build_object(
                'id', m.id,
                'reference', m.reference,
                'message_type', m.message_type,
                'template_name', m.template_name,
                'template_language', m.template_language,
                'recipient_phone', m.recipient_phone,
                'recipient_user_id', m.recipient_user_id,
                'created_at', m.created_at) END)
    FROM @extschema@.whatsapp_inbound_messages AS i
        CROSS JOIN LATERAL (
            SELECT h.* FROM @extschema@.whatsapp_reply_handlers AS h
            WHERE starts_with(i.reply_id, h.prefix)
            ORDER BY length(h.prefix) DESC LIMIT 1) AS h
        LEFT JOIN @extschema@.whatsapp_messages AS m ON m.id = i.message_id
    WHERE i.inbound_id = ANY (ids)
    ORDER BY i.sent_at, i.inbound_id
$$;

/*
 * What became of them; "errors" has NULL where all went well.  Alerts are
 * raised when all handlers have been called, because whoever raises the same
 * one waits until this transaction has ended.
 */
CREATE FUNCTION @extschema@.wa_internal_record_replies(
    inbound_ids bigint[], prefixes text[], handlers text[], errors text[])
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    failed record;
BEGIN
    UPDATE @extschema@.whatsapp_inbound_messages AS i
        SET handler = c.handler, handled_at = clock_timestamp(), handler_error = c.error
        FROM unnest(inbound_ids, handlers, errors) AS c (inbound_id, handler, error)
        WHERE i.inbound_id = c.inbound_id;
    FOR failed IN
        SELECT c.prefix, max(c.handler) AS handler, count(*) AS n,
            max(c.inbound_id) AS inbound_id,
            (array_agg(c.error ORDER BY c.inbound_id DESC))[1] AS error
        FROM unnest(inbound_ids, prefixes, handlers, errors) AS c (inbound_id, prefix, handler, error)
        WHERE c.error IS NOT NULL
        GROUP BY c.prefix
        ORDER BY c.prefix
    LOOP
        PERFORM @extschema@.wa_internal_alert('warning'::text, 'reply_handler'::text, ''::text, failed.prefix,
            format('The handler %s failed for a reply', failed.handler),
            jsonb_build_object('inbound_id', failed.inbound_id, 'error', failed.error, 'replies', failed.n));
    END LOOP;
END
$$;

CREATE FUNCTION @extschema@.wa_on_reply(prefix text, handler regprocedure) RETURNS void
    LANGUAGE C VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'wa_on_reply';
COMMENT ON FUNCTION @extschema@.wa_on_reply(text, regprocedure) IS
'Has the function called, with one jsonb argument, for each reply by button or list whose payload begins with the '
'prefix; the longest prefix wins. It runs as the role that registers it or as the owner of the function, whichever has '
'fewer rights, with this session''s search_path. Errors: 42501 not allowed, or neither of the two roles has the rights '
'of the other; 42P13 not such a function.';

CREATE FUNCTION @extschema@.wa_off_reply(prefix text) RETURNS boolean
    LANGUAGE C VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'wa_off_reply';
COMMENT ON FUNCTION @extschema@.wa_off_reply(text) IS
'Removes the handler that wa_on_reply() registered for this prefix. False: there was none.';

/* As wa_webhook_ingest(), it becomes the owner by itself. */
CREATE FUNCTION @extschema@.wa_retry_reply(inbound_id bigint) RETURNS boolean
    LANGUAGE C VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'wa_retry_reply';
COMMENT ON FUNCTION @extschema@.wa_retry_reply(bigint) IS
'Calls the handler of a reply again, after it has been fixed (see whatsapp_inbound_messages.handler_error). False: '
'it failed again.';
/*
 * What messages cost.
 *
 * Meta charges each delivered message by category and by the market that the
 * recipient's calling code belongs to, and says in the statuses which category
 * it was and whether it was free.  The price itself it publishes as a table;
 * this one is the operator's to keep.  The result is an account of our own,
 * not an invoice: volume tiers, taxes and rounding are Meta's.
 */

CREATE TABLE @extschema@.whatsapp_markets (
    calling_code text COLLATE "C" PRIMARY KEY
        CONSTRAINT whatsapp_markets_calling_code_check CHECK (calling_code ~ '^[1-9][0-9]{0,6}$'),
    country      text COLLATE "C"
        CONSTRAINT whatsapp_markets_country_check CHECK (country ~ '^[A-Z]{2}$'),
    market       text NOT NULL
);

INSERT INTO @extschema@.whatsapp_markets (calling_code, country, market) VALUES ('34', 'ES', 'Spain');
COMMENT ON TABLE @extschema@.whatsapp_markets IS
'Which market of the price list a recipient belongs to: by the longest matching calling code, or by the country of a '
'business-scoped user ID.';
COMMENT ON COLUMN @extschema@.whatsapp_markets.calling_code IS
'Country calling code, or the beginning of a number, without +.';
COMMENT ON COLUMN @extschema@.whatsapp_markets.country IS 'ISO country code, for recipients known by user ID only.';
COMMENT ON COLUMN @extschema@.whatsapp_markets.market IS 'The market of the price list.';

CREATE TABLE @extschema@.whatsapp_prices (
    market     text NOT NULL,
    category   text NOT NULL,
    currency   text NOT NULL
        CONSTRAINT whatsapp_prices_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    price      numeric NOT NULL
        CONSTRAINT whatsapp_prices_price_check CHECK (price >= 0),
    valid_from date NOT NULL,
    free_per_number integer NOT NULL DEFAULT 0
        CONSTRAINT whatsapp_prices_free_check CHECK (free_per_number >= 0),
    estimated  boolean NOT NULL DEFAULT false,
    source     text,
    PRIMARY KEY (market, category, currency, valid_from)
);
COMMENT ON TABLE @extschema@.whatsapp_prices IS
'Price of one delivered message by market and category, from a day on until the next entry. Shipped with values for '
'Spain; replace them with Meta''s rate card for your account.';
COMMENT ON COLUMN @extschema@.whatsapp_prices.market IS 'The market, as in whatsapp_markets, or other.';
COMMENT ON COLUMN @extschema@.whatsapp_prices.category IS 'marketing, utility, authentication or service.';
COMMENT ON COLUMN @extschema@.whatsapp_prices.currency IS 'ISO currency code.';
COMMENT ON COLUMN @extschema@.whatsapp_prices.price IS 'Price of one delivered message.';
COMMENT ON COLUMN @extschema@.whatsapp_prices.valid_from IS 'First day on which the price applies.';
COMMENT ON COLUMN @extschema@.whatsapp_prices.free_per_number IS
'How many messages a calendar month are free for each phone number.';
COMMENT ON COLUMN @extschema@.whatsapp_prices.estimated IS
'True: converted from another currency, not from a rate card.';
COMMENT ON COLUMN @extschema@.whatsapp_prices.source IS 'Where the price is from.';

INSERT INTO @extschema@.whatsapp_prices
    (market, category, currency, price, valid_from, free_per_number, estimated, source) VALUES
    ('Spain', 'marketing', 'USD', 0.0615, '2025-07-01', 0, false, 'transcription of Meta''s rate card'),
    ('Spain', 'marketing', 'USD', 0.0707, '2026-07-01', 0, false, 'transcription of Meta''s rate card'),
    ('Spain', 'utility', 'USD', 0.0200, '2026-10-01', 0, false, 'transcription of Meta''s rate card, first tier'),
    ('Spain', 'authentication', 'USD', 0.0200, '2026-10-01', 0, false,
     'transcription of Meta''s rate card, first tier'),
    ('Spain', 'service', 'USD', 0, '2025-07-01', 0, false, 'free before October 2026'),
    ('Spain', 'service', 'USD', 0.0200, '2026-10-01', 1000, false, 'transcription of Meta''s rate card'),
    ('Spain', 'marketing', 'EUR', 0.0585, '2026-07-01', 0, true, 'converted from USD'),
    ('Spain', 'utility', 'EUR', 0.0166, '2026-10-01', 0, true, 'converted from USD, first tier'),
    ('Spain', 'authentication', 'EUR', 0.0166, '2026-10-01', 0, true, 'converted from USD, first tier'),
    ('Spain', 'service', 'EUR', 0, '2025-07-01', 0, false, 'free before October 2026'),
    ('Spain', 'service', 'EUR', 0.0166, '2026-10-01', 1000, true, 'converted from USD');

/*
 * Messages are deleted after some time, costs are asked for after years: so
 * what was delivered on a day is summed up once no webhook can change it.
 */
CREATE TABLE @extschema@.whatsapp_usage_days (
    day             date NOT NULL,
    tenant_id       text COLLATE "C" NOT NULL,
    phone_number_id text COLLATE "C" NOT NULL,
    market          text NOT NULL,
    category        text NOT NULL,
    free            boolean NOT NULL,
    messages        bigint NOT NULL,
    PRIMARY KEY (day, tenant_id, phone_number_id, market, category, free)
);
COMMENT ON TABLE @extschema@.whatsapp_usage_days IS
'Delivered messages by day, for the days that are closed. wa_costs adds the days that are still open.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_days.day IS 'The day, in the account''s time zone.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_days.tenant_id IS 'The tenant.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_days.phone_number_id IS 'The number that the messages were sent from.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_days.market IS 'The market of the recipients.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_days.category IS 'The category charged.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_days.free IS 'Whether Meta reported the messages as free.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_days.messages IS 'How many were delivered.';

CREATE TABLE @extschema@.whatsapp_usage_closed (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    through   date NOT NULL,
    time_zone text NOT NULL DEFAULT pg_catalog.current_setting('TimeZone')
        CONSTRAINT whatsapp_usage_closed_time_zone_check
        CHECK (('2000-01-01 00:00:00Z'::timestamptz AT TIME ZONE time_zone) IS NOT NULL)
);
COMMENT ON TABLE @extschema@.whatsapp_usage_closed IS
'One row: the last day that is summed up in whatsapp_usage_days, and the time zone of its days.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_closed.singleton IS 'Always true: the table has one row.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_closed.through IS 'The last day that is summed up.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_closed.time_zone IS
'The account''s time zone at Meta, in which wa_costs counts days and months. Initially that of the session that ran '
'CREATE EXTENSION.';

INSERT INTO @extschema@.whatsapp_usage_closed (through) VALUES (current_date - 9);

/*
 * The days that a message belongs to are looked for within a month of when it
 * was written or meant for.  What was held or paused for longer is noted here
 * when it is delivered, until its day is closed.
 */
CREATE TABLE @extschema@.whatsapp_late_deliveries (
    message_id bigint PRIMARY KEY,
    noted_at   timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE @extschema@.whatsapp_late_deliveries IS
'Messages delivered 30 days or more after they were due, for wa_costs. Internal.';

/* Delivered messages as the price list sees them. */
CREATE VIEW @extschema@.wa_delivered_messages AS
    SELECT m.id, m.created_at, m.scheduled_at,
        (COALESCE(m.delivered_at, m.read_at, m.played_at)
            AT TIME ZONE (SELECT c.time_zone FROM @extschema@.whatsapp_usage_closed AS c))::date AS day,
        m.tenant_id,
        COALESCE(m.phone_number_id, '') AS phone_number_id,
        COALESCE((
            SELECT k.market FROM @extschema@.whatsapp_markets AS k
            WHERE pg_catalog.starts_with(m.recipient_phone, '+' || k.calling_code)
                OR m.recipient_phone IS NULL AND k.country = pg_catalog.split_part(m.recipient_user_id, '.', 1)
            ORDER BY pg_catalog.length(k.calling_code) DESC LIMIT 1), 'other') AS market,
        COALESCE(m.pricing_category, 'unknown') AS category,
        COALESCE(m.billable = false OR m.pricing_type LIKE 'free%', false) AS free
    FROM @extschema@.whatsapp_messages AS m
    WHERE COALESCE(m.delivered_at, m.read_at, m.played_at) IS NOT NULL;
COMMENT ON VIEW @extschema@.wa_delivered_messages IS
'Each delivered message with the day, market and category it is charged under. Query it with a range of created_at, '
'the same range of scheduled_at, and the IDs in whatsapp_late_deliveries: only these are indexed.';
COMMENT ON COLUMN @extschema@.wa_delivered_messages.id IS 'The message.';
COMMENT ON COLUMN @extschema@.wa_delivered_messages.created_at IS 'When it was enqueued.';
COMMENT ON COLUMN @extschema@.wa_delivered_messages.scheduled_at IS 'When it was meant to be sent.';
COMMENT ON COLUMN @extschema@.wa_delivered_messages.day IS 'The day of delivery, in the account''s time zone.';
COMMENT ON COLUMN @extschema@.wa_delivered_messages.tenant_id IS 'The tenant.';
COMMENT ON COLUMN @extschema@.wa_delivered_messages.phone_number_id IS 'The number that it was sent from.';
COMMENT ON COLUMN @extschema@.wa_delivered_messages.market IS 'The recipient''s market.';
COMMENT ON COLUMN @extschema@.wa_delivered_messages.category IS 'The category charged.';
COMMENT ON COLUMN @extschema@.wa_delivered_messages.free IS 'Whether Meta reported it as free.';

/*
 * Closes the next day, if one is old enough: Meta repeats webhooks for seven
 * days.  It tries to deliver for 30, so that is how far back the time mostly lies
 * for which a message was meant; a day or two more, because days do not begin
 * alike.
 */
CREATE FUNCTION @extschema@.wa_internal_close_usage_day() RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    next date;
BEGIN
    SELECT c.through + 1 INTO next FROM @extschema@.whatsapp_usage_closed AS c
        WHERE c.through + 1 < (now() AT TIME ZONE c.time_zone)::date - 8 FOR UPDATE SKIP LOCKED;
    IF next IS NULL THEN
        RETURN false;
    END IF;
    INSERT INTO @extschema@.whatsapp_usage_days (day, tenant_id, phone_number_id, market, category, free, messages)
        SELECT d.day, d.tenant_id, d.phone_number_id, d.market, d.category, d.free, count(*)
        FROM @extschema@.wa_delivered_messages AS d
        WHERE d.day = next AND (d.created_at BETWEEN next - 32 AND next + 2
            OR d.scheduled_at BETWEEN next - 32 AND next + 2 AND d.scheduled_at > d.created_at
            OR d.id = ANY (ARRAY(SELECT l.message_id FROM @extschema@.whatsapp_late_deliveries AS l)))
        GROUP BY 1, 2, 3, 4, 5, 6
        ON CONFLICT DO NOTHING;
    DELETE FROM @extschema@.whatsapp_late_deliveries AS l WHERE l.noted_at < next - 3;
    UPDATE @extschema@.whatsapp_usage_closed SET through = next;
    RETURN true;
END
$$;

/*
 * The free part of a month is the number's, so tenants that share a number
 * share it in proportion.  Each day is priced by the list of that day.
 */
CREATE VIEW @extschema@.wa_costs AS
    WITH usage AS (
        SELECT u.day, u.tenant_id, u.phone_number_id, u.market, u.category, u.free, u.messages
        FROM @extschema@.whatsapp_usage_days AS u
        UNION ALL
        SELECT d.day, d.tenant_id, d.phone_number_id, d.market, d.category, d.free, pg_catalog.count(*)
        FROM @extschema@.wa_delivered_messages AS d
        WHERE d.day > (SELECT c.through FROM @extschema@.whatsapp_usage_closed AS c)
            AND (d.created_at >= (SELECT c.through - 32 FROM @extschema@.whatsapp_usage_closed AS c)
                OR d.scheduled_at >= (SELECT c.through - 32 FROM @extschema@.whatsapp_usage_closed AS c)
                    AND d.scheduled_at > d.created_at
                OR d.id = ANY (ARRAY(SELECT l.message_id FROM @extschema@.whatsapp_late_deliveries AS l)))
        GROUP BY 1, 2, 3, 4, 5, 6
    ), priced AS (
        SELECT u.*, pg_catalog.date_trunc('month', u.day::timestamp)::date AS month,
            p.currency, p.price, p.estimated, p.free_per_number,
            CASE WHEN u.free THEN 0 ELSE u.messages END AS regular
        FROM usage AS u
            LEFT JOIN LATERAL (
                SELECT DISTINCT ON (p.currency) p.*
                FROM @extschema@.whatsapp_prices AS p
                WHERE p.market = u.market AND p.category = u.category AND p.valid_from <= u.day
                ORDER BY p.currency, p.valid_from DESC) AS p ON true
    ), charged AS (
        SELECT p.*,
            /* Of what is not free by Meta's word: the part beyond the allowance. */
            p.regular * CASE WHEN p.free_per_number > 0 THEN
                GREATEST(0, pg_catalog.sum(p.messages) OVER w - p.free_per_number)
                / NULLIF(GREATEST(pg_catalog.sum(p.regular) OVER w, 1), 0) ELSE 1 END AS raw_charged
        FROM priced AS p
        WINDOW w AS (PARTITION BY p.phone_number_id, p.month, p.category, p.currency)
    )
    SELECT c.tenant_id, c.month, c.category, c.currency,
        pg_catalog.sum(c.messages)::bigint AS delivered,
        pg_catalog.round(pg_catalog.sum(LEAST(c.raw_charged, c.regular)), 2) AS charged,
        pg_catalog.round(pg_catalog.sum(LEAST(c.raw_charged, c.regular) * c.price), 4) AS cost,
        COALESCE(pg_catalog.bool_or(c.estimated), false) AS price_estimated,
        pg_catalog.round(pg_catalog.sum(LEAST(c.raw_charged, c.regular) * c.price)
            * CASE WHEN c.month = pg_catalog.date_trunc('month', t.today::timestamp)::date
                   THEN EXTRACT(day FROM c.month + interval '1 month' - interval '1 day')
                       / EXTRACT(day FROM t.today)
                   ELSE 1 END, 2) AS month_estimate
    FROM charged AS c
        CROSS JOIN (
            SELECT (pg_catalog.now() AT TIME ZONE z.time_zone)::date AS today
            FROM @extschema@.whatsapp_usage_closed AS z) AS t
    GROUP BY c.tenant_id, c.month, c.category, c.currency, t.today;
COMMENT ON VIEW @extschema@.wa_costs IS
'Delivered messages and their cost, by tenant, month, category and currency. There is one row for each currency of '
'the price list, so choose one. cost is NULL if whatsapp_prices has no price; month_estimate projects the current '
'month. Our own calculation, not Meta''s invoice.';
COMMENT ON COLUMN @extschema@.wa_costs.tenant_id IS 'The tenant.';
COMMENT ON COLUMN @extschema@.wa_costs.month IS 'First day of the month.';
COMMENT ON COLUMN @extschema@.wa_costs.category IS 'The category charged.';
COMMENT ON COLUMN @extschema@.wa_costs.currency IS 'Currency of the price; NULL: the list has no price.';
COMMENT ON COLUMN @extschema@.wa_costs.delivered IS 'Messages delivered.';
COMMENT ON COLUMN @extschema@.wa_costs.charged IS 'Messages that are charged, after free ones and the allowance.';
COMMENT ON COLUMN @extschema@.wa_costs.cost IS 'What they cost.';
COMMENT ON COLUMN @extschema@.wa_costs.price_estimated IS 'Whether a price was converted from another currency.';
COMMENT ON COLUMN @extschema@.wa_costs.month_estimate IS 'The cost projected to the whole month.';
/*
 * Views for people and for monitoring systems, and the checklists wa_health()
 * and wa_diagnose().  No view reads whatsapp_messages by status: history may be
 * large, and counting it is what makes a dashboard a burden.
 */

/* ---- numbers --------------------------------------------------------------- */

/*
 * One word for a number's health, the worst first:
 * missing, blocked, paused, at_risk, degraded, unknown, ok.
 */
CREATE FUNCTION @extschema@.wa_internal_number_health(
    status text, quality_rating text, missing boolean, paused boolean) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN missing THEN 'missing'
        WHEN status IN ('BANNED', 'DELETED', 'DISCONNECTED', 'MIGRATED', 'UNVERIFIED', 'PENDING', 'OFFLINE')
            THEN 'blocked'
        WHEN paused THEN 'paused'
        WHEN status IN ('FLAGGED', 'RESTRICTED') OR quality_rating = 'RED' THEN 'at_risk'
        WHEN status = 'RATE_LIMITED' OR quality_rating = 'YELLOW' THEN 'degraded'
        WHEN status IS NULL OR status <> 'CONNECTED' THEN 'unknown'
        ELSE 'ok' END
$$;

/* Messages per second at best: the operator's figure, Meta's level, or the setting, lowered by damage control. */
CREATE FUNCTION @extschema@.wa_internal_number_rate(own real, throughput_level text, factor real) RETURNS real
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(factor, 1) * COALESCE(own, CASE throughput_level WHEN 'HIGH' THEN 1000 END,
        current_setting('whatsapp_shared.messages_per_second', true)::real, 80)
$$;

CREATE VIEW @extschema@.wa_number_status AS
SELECT p.phone_number_id,
       p.display_phone_number,
       p.verified_name,
       a.tenant_id,
       a.assigned_at,
       @extschema@.wa_internal_number_health(p.status, p.quality_rating,
           p.missing_since IS NOT NULL, x.scope IS NOT NULL) AS health,
       p.status,
       p.quality_rating,
       p.name_status,
       p.throughput_level,
       p.messaging_limit,
       @extschema@.wa_internal_number_rate(p.messages_per_second, p.throughput_level, p.rate_factor)
           AS messages_per_second,
       p.rate_reason,
       x.reason AS pause_reason,
       x.until AS paused_until,
       w.last_webhook_at,
       p.synced_at,
       p.missing_since
FROM @extschema@.whatsapp_phone_numbers AS p
    LEFT JOIN @extschema@.whatsapp_phone_assignments AS a
        ON a.phone_number_id = p.phone_number_id AND a.unassigned_at IS NULL
    LEFT JOIN @extschema@.whatsapp_pauses AS x
        ON x.scope = 'number' AND x.key = p.phone_number_id
    LEFT JOIN @extschema@.whatsapp_webhook_traffic AS w
        ON w.phone_number_id = p.phone_number_id;
COMMENT ON VIEW @extschema@.wa_number_status IS
'Every number: its tenant, what Meta reports about it, and its health in one word: ok, unknown (not read from Meta '
'yet), degraded, at_risk, paused, blocked or missing.';
COMMENT ON COLUMN @extschema@.wa_number_status.phone_number_id IS 'Meta''s ID of the number.';
COMMENT ON COLUMN @extschema@.wa_number_status.display_phone_number IS 'The phone number as people write it.';
COMMENT ON COLUMN @extschema@.wa_number_status.verified_name IS 'The display name that recipients see.';
COMMENT ON COLUMN @extschema@.wa_number_status.tenant_id IS
'The tenant that has the number; NULL: it is free, or the default number.';
COMMENT ON COLUMN @extschema@.wa_number_status.assigned_at IS 'Since when the tenant has it.';
COMMENT ON COLUMN @extschema@.wa_number_status.health IS 'ok, unknown, degraded, at_risk, paused, blocked or missing.';
COMMENT ON COLUMN @extschema@.wa_number_status.status IS 'Meta''s status.';
COMMENT ON COLUMN @extschema@.wa_number_status.quality_rating IS 'Meta''s rating: GREEN, YELLOW, RED or UNKNOWN.';
COMMENT ON COLUMN @extschema@.wa_number_status.name_status IS 'Whether Meta has approved the display name.';
COMMENT ON COLUMN @extschema@.wa_number_status.throughput_level IS 'Meta''s throughput level: STANDARD or HIGH.';
COMMENT ON COLUMN @extschema@.wa_number_status.messaging_limit IS
'The portfolio''s limit of unique recipients in 24 hours, as Meta reports it.';
COMMENT ON COLUMN @extschema@.wa_number_status.messages_per_second IS
'The highest rate at which messages are sent from it now.';
COMMENT ON COLUMN @extschema@.wa_number_status.rate_reason IS 'Why the rate is lowered; NULL: it is not.';
COMMENT ON COLUMN @extschema@.wa_number_status.pause_reason IS 'Why the number is paused; NULL: it is not.';
COMMENT ON COLUMN @extschema@.wa_number_status.paused_until IS
'When the pause ends by itself; NULL: by wa_resume(), or when its cause has gone.';
COMMENT ON COLUMN @extschema@.wa_number_status.last_webhook_at IS 'When the last webhook about it was received.';
COMMENT ON COLUMN @extschema@.wa_number_status.synced_at IS 'When it was last read from Meta.';
COMMENT ON COLUMN @extschema@.wa_number_status.missing_since IS 'Since when Meta no longer lists it.';

/* ---- tenants ---------------------------------------------------------------- */

CREATE VIEW @extschema@.wa_tenant_status AS
SELECT t.tenant_id,
       t.enabled AS whatsapp_enabled,
       n.phone_number_id,
       n.display_phone_number,
       n.verified_name,
       n.assigned_at,
       CASE WHEN NOT t.enabled THEN 'disabled'
            WHEN x.scope IS NOT NULL THEN 'paused'
            WHEN n.phone_number_id IS NULL AND d.default_number IS NULL THEN 'no_number'
            WHEN n.health IN ('missing', 'blocked', 'paused') THEN 'number_' || n.health
            ELSE 'ready' END AS status,
       n.health AS number_health,
       n.quality_rating,
       COALESCE(t.language, pg_catalog.current_setting('whatsapp_shared.default_language', true)) AS language,
       t.messages_per_second,
       t.quiet_from,
       t.quiet_to,
       t.time_zone,
       COALESCE(x.reason, n.pause_reason) AS pause_reason,
       COALESCE(x.until, n.paused_until) AS paused_until,
       m.last_message_at,
       t.created_at
FROM @extschema@.whatsapp_tenants AS t
    LEFT JOIN @extschema@.wa_number_status AS n ON n.tenant_id = t.tenant_id
    LEFT JOIN @extschema@.whatsapp_pauses AS x ON x.scope = 'tenant' AND x.key = t.tenant_id
    LEFT JOIN LATERAL (
        SELECT m.created_at AS last_message_at FROM @extschema@.whatsapp_messages AS m
        WHERE m.tenant_id = t.tenant_id ORDER BY m.created_at DESC LIMIT 1) AS m ON true
    CROSS JOIN LATERAL (
        SELECT pg_catalog.max(s.number) AS default_number
        FROM pg_catalog.current_setting('whatsapp_shared.phone_number_id', true) AS s (number)
        WHERE s.number <> '' AND NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_phone_assignments AS a
            WHERE a.phone_number_id = s.number AND a.unassigned_at IS NULL)) AS d;
COMMENT ON VIEW @extschema@.wa_tenant_status IS
'Every tenant with its number. status: ready, disabled, paused, no_number, or number_ and the health of a number '
'that cannot send.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.tenant_id IS 'The tenant.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.whatsapp_enabled IS 'False: new messages are skipped.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.phone_number_id IS 'The tenant''s own number; NULL: it has none.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.display_phone_number IS 'The phone number as people write it.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.verified_name IS 'The display name that recipients see.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.assigned_at IS 'Since when the tenant has the number.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.status IS
'ready, disabled, paused, no_number, or number_ and the health of a number that cannot send.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.number_health IS 'The number''s health; see wa_number_status.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.quality_rating IS 'Meta''s rating of the number.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.language IS 'Template language for messages that name none.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.messages_per_second IS
'The tenant''s own rate limit; NULL: that of its number.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.quiet_from IS 'Local time at which quiet hours begin.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.quiet_to IS 'Local time at which quiet hours end.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.time_zone IS
'Time zone of the quiet hours; NULL: the server''s log_timezone.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.pause_reason IS 'Why the tenant, or its number, is paused.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.paused_until IS 'When the pause ends by itself.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.last_message_at IS 'When the tenant last enqueued a message.';
COMMENT ON COLUMN @extschema@.wa_tenant_status.created_at IS 'When the tenant was created.';

/* ---- the queue --------------------------------------------------------------- */

CREATE VIEW @extschema@.wa_queue_status AS
SELECT q.phone_number_id,
       CASE q.state WHEN 'r' THEN 'ready' WHEN 'd' THEN 'deferred' WHEN 'h' THEN 'held'
                    ELSE 'uncertain' END AS state,
       q.hold_reason AS reason,
       q.messages,
       (SELECT m.created_at FROM @extschema@.whatsapp_messages AS m WHERE m.id = q.oldest_id) AS oldest_created_at,
       NULLIF(q.next_due_at, 'infinity') AS next_due_at
FROM (SELECT o.phone_number_id, o.state, o.hold_reason,
             pg_catalog.count(*) AS messages,
             pg_catalog.min(o.message_id) AS oldest_id,
             pg_catalog.min(o.due_at) FILTER (WHERE o.state IN ('d', 'u')) AS next_due_at
      FROM @extschema@.whatsapp_queue AS o
      GROUP BY o.phone_number_id, o.state, o.hold_reason) AS q;
COMMENT ON VIEW @extschema@.wa_queue_status IS
'Waiting messages by number, state and reason: how many, since when the oldest waits, and when the next is due.';
COMMENT ON COLUMN @extschema@.wa_queue_status.phone_number_id IS 'The number; NULL: the tenants have none.';
COMMENT ON COLUMN @extschema@.wa_queue_status.state IS 'ready, deferred, held or uncertain.';
COMMENT ON COLUMN @extschema@.wa_queue_status.reason IS 'Reason code; see wa_reason_codes.';
COMMENT ON COLUMN @extschema@.wa_queue_status.messages IS 'How many messages wait.';
COMMENT ON COLUMN @extschema@.wa_queue_status.oldest_created_at IS 'When the oldest of them was enqueued.';
COMMENT ON COLUMN @extschema@.wa_queue_status.next_due_at IS 'When the next one becomes due.';

/* ---- the installation -------------------------------------------------------- */

/*
 * wa_health() and wa_diagnose(): every condition for sending, checked, one row
 * each: ok, warning or error, what was found, and what to do about it.
 */

/* While there is something wrong with this, nothing else may be asked: see src/base/ownership.c. */
CREATE FUNCTION @extschema@.wa_internal_health_ownership()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'sending', 'error', r.meaning, r.remedy
    FROM @extschema@.wa_internal_ownership_flaw() AS f, @extschema@.wa_reason_codes AS r
    WHERE f.problem IS NOT NULL AND r.reason = 'ownership'
    UNION ALL
    SELECT 'ownership', CASE WHEN f.problem IS NULL THEN 'ok' ELSE 'error' END,
           COALESCE(upper(left(f.problem, 1)) || substr(f.problem, 2) || '.',
               'Nobody else can change the extension''s objects.'), f.remedy
    FROM @extschema@.wa_internal_ownership_flaw() AS f
$$;

CREATE FUNCTION @extschema@.wa_internal_health_processes()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    obstacle CONSTANT text := @extschema@.wa_internal_global_obstacle();
BEGIN
    RETURN QUERY
        SELECT 'sending',
               CASE WHEN obstacle IS NULL THEN 'ok' WHEN obstacle = 'standby' THEN 'warning' ELSE 'error' END,
               CASE WHEN obstacle IS NULL THEN 'A sender serves this database.'
                    ELSE concat_ws(' ', r.meaning,
                        CASE obstacle WHEN 'clone_not_adopted' THEN @extschema@.wa_internal_home_doubt() END) END,
               r.remedy
        FROM (VALUES (obstacle)) AS o (reason)
            LEFT JOIN @extschema@.wa_reason_codes AS r ON r.reason = o.reason;
    RETURN QUERY
        SELECT 'version', 'error',
               format('The library is of version %s and does not serve the scripts of this database, '
                      'which are of version %s: nothing is sent.',
                   @extschema@.wa_internal_library_version(), @extschema@.wa_internal_quote(e.extversion)),
               'ALTER EXTENSION whatsapp_shared UPDATE; or install the library of that version and restart the server.'
        FROM pg_extension AS e
        WHERE e.extname = 'whatsapp_shared' AND NOT @extschema@.wa_internal_version_served(e.extversion);
    RETURN QUERY
        SELECT 'sender ' || s.sender,
               CASE WHEN s.pid IS NULL OR s.errors > 0 THEN 'warning' ELSE 'ok' END,
               CASE WHEN s.pid IS NULL THEN 'Not running at the moment.'
                    ELSE format('Process %s: %s accepted, %s failed, %s on the wire, %s cycles ended in an error.',
                        s.pid, s.accepted, s.failed, s.in_flight, s.errors) END,
               CASE WHEN s.pid IS NULL OR s.errors > 0 THEN 'See the server''s log.' END
        FROM @extschema@.wa_stats() AS s
        ORDER BY s.sender;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_health_settings()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    account CONSTANT text := NULLIF(current_setting('whatsapp_shared.business_account_id', true), '');
    taken CONSTANT text := @extschema@.wa_internal_default_number_taken();
BEGIN
    RETURN QUERY
        SELECT c.item,
               CASE WHEN NOT @extschema@.wa_internal_credentials_present(c.item) THEN c.without
                    WHEN p.problem IS NOT NULL THEN 'warning' ELSE 'ok' END,
               concat_ws(' ',
                   CASE WHEN @extschema@.wa_internal_credentials_present(c.item)
                        THEN 'Set.' ELSE c.consequence END,
                   p.problem,
                   CASE WHEN p.problem IS NOT NULL AND @extschema@.wa_internal_credentials_present(c.item)
                        THEN 'What was in force before stays in force.' END),
               CASE WHEN p.problem IS NOT NULL
                    THEN 'Fix the file: readable by the server''s operating-system user and nobody else. '
                         'It is read again by itself.'
                    WHEN NOT @extschema@.wa_internal_credentials_present(c.item)
                    THEN format('Write it into a file, name the file in whatsapp_shared.%s_file, and reload.',
                                c.item) END
        FROM (VALUES
            ('access_token', 'error', 'Not set: nothing can be sent.'),
            ('app_secret', 'warning', 'Not set: webhooks cannot be verified, so no delivery status is known.'),
            ('webhook_verify_token', 'warning', 'Not set: Meta cannot register the address for webhooks.'))
            AS c (item, without, consequence)
            CROSS JOIN LATERAL @extschema@.wa_internal_credential_problem(c.item) AS p (problem);
    RETURN QUERY
        SELECT 'business_account_id', CASE WHEN account IS NULL THEN 'warning' ELSE 'ok' END,
               COALESCE(account, 'Not set: numbers and templates cannot be read from Meta.'),
               CASE WHEN account IS NULL THEN 'Set whatsapp_shared.business_account_id and reload.' END;
    RETURN QUERY
        SELECT 'phone_number_id', 'warning',
               format('Unusable: %s and sends for that tenant only; messages of tenants without a number wait.', taken),
               'Set whatsapp_shared.phone_number_id to a number that no tenant has, and reload; '
               'or SELECT * FROM wa_assign_all();'
        WHERE taken IS NOT NULL;
END
$$;

/* Listed databases that are served by nobody, for want of a database or of the extension in it. */
CREATE FUNCTION @extschema@.wa_internal_health_databases()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT format('database %s', n.name), 'warning',
           'It is named in whatsapp_shared.databases and does not exist, or takes no connections.',
           concat_ws(' ', @extschema@.wa_internal_did_you_mean(n.name,
                   ARRAY(SELECT d.datname::text FROM pg_database AS d WHERE d.datallowconn)),
               'Correct whatsapp_shared.databases and reload, or create the database.')
    FROM (SELECT DISTINCT l.name FROM @extschema@.wa_internal_listed_databases() AS l (name)) AS n
    WHERE NOT EXISTS (SELECT FROM pg_database AS d WHERE d.datname = n.name AND d.datallowconn)
    UNION ALL
    SELECT format('database %s', u.name), 'warning',
           'It is named in whatsapp_shared.databases and does not have the extension.',
           'CREATE EXTENSION whatsapp_shared in it, or take it out of whatsapp_shared.databases and reload.'
    FROM @extschema@.wa_internal_unserved_databases() AS u (name)
    ORDER BY 1;
END
$$;

/*
 * What Meta says of the access token: that it is there proves nothing.  An
 * unreachable Meta has not refused it.
 */
CREATE FUNCTION @extschema@.wa_internal_health_token()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'token at Meta', v.state,
           CASE v.state
               WHEN 'error' THEN format('Meta refuses it: %s.', rtrim(v.refusal, '.'))
               WHEN 'ok' THEN format('Confirmed at %s.', date_trunc('second', s.finished_at))
               ELSE concat_ws(' ', 'Not confirmed by Meta yet.', 'The last try failed: ' || rtrim(s.error, '.') || '.')
               END,
           CASE v.state
               WHEN 'error' THEN 'Put a valid token of a system user with the permissions whatsapp_business_messaging '
                   'and whatsapp_business_management into the file named by whatsapp_shared.access_token_file, and '
                   'SELECT pg_reload_conf();'
               WHEN 'warning' THEN CASE
                   WHEN s.error IS NOT NULL THEN 'Check the connection to whatsapp_shared.graph_url; it is tried again.'
                   ELSE 'It is asked as soon as sending is switched on and a sender runs; '
                        'SELECT wa_sync_phone_numbers(); asks with it at once.' END END
    FROM @extschema@.whatsapp_sync AS s
        CROSS JOIN LATERAL (SELECT COALESCE(
            (SELECT p.detail FROM @extschema@.whatsapp_pauses AS p
             WHERE p.scope = 'account' AND p.automatic AND p.error_code IN (0, 190)),
            (SELECT a.message FROM @extschema@.whatsapp_alerts AS a
             WHERE a.kind = 'token' AND a.severity = 'error' AND a.resolved_at IS NULL
             ORDER BY a.alert_id LIMIT 1),
            (SELECT t.error FROM @extschema@.whatsapp_sync AS t
             WHERE t.error ~ '^HTTP status 40[013]' AND (t.kind = 'token' OR t.error ~* 'access token')
             ORDER BY t.kind = 'token' DESC LIMIT 1)) AS refusal) AS r
        CROSS JOIN LATERAL (SELECT r.refusal, CASE
            WHEN r.refusal IS NOT NULL THEN 'error'
            WHEN s.finished_at IS NULL OR s.error IS NOT NULL THEN 'warning' ELSE 'ok' END AS state) AS v
    WHERE s.kind = 'token' AND @extschema@.wa_internal_credentials_present('access_token'::text)
$$;

/* Assigned numbers, and the default number, that Meta has not confirmed. */
CREATE FUNCTION @extschema@.wa_internal_health_confirmation()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    listed CONSTANT integer := @extschema@.wa_internal_listed('phone_numbers'::text);
BEGIN
    IF listed IS NOT NULL THEN
        RETURN QUERY
            SELECT 'number ' || u.number, 'error',
                   format('It is not among the %s that Meta lists for %s; what is sent from it fails (%s).',
                       listed, @extschema@.wa_internal_account(), u.whose),
                   u.remedy || ' If it is new: SELECT wa_sync_phone_numbers();'
            FROM (SELECT a.phone_number_id, format('tenant %s', a.tenant_id),
                         format('SELECT wa_unassign_phone(%L); then wa_assign_phone() with one of wa_free_numbers.',
                             a.tenant_id)
                  FROM @extschema@.whatsapp_phone_assignments AS a WHERE a.unassigned_at IS NULL
                  UNION ALL
                  SELECT d.number, 'the default number',
                         'Set whatsapp_shared.phone_number_id to one of wa_free_numbers, and reload.'
                  FROM @extschema@.wa_internal_default_number() AS d (number) WHERE d.number IS NOT NULL)
                AS u (number, whose, remedy)
            WHERE @extschema@.wa_internal_unlisted(u.number)
            ORDER BY 1;
    ELSE
        RETURN QUERY
            SELECT 'numbers', 'warning',
                   format('%s of the tenants'' numbers are not confirmed by Meta yet.', count(*)),
                   'They are compared when the account''s numbers have been read: SELECT wa_sync_phone_numbers();'
            FROM @extschema@.whatsapp_phone_assignments AS a
                JOIN @extschema@.whatsapp_phone_numbers AS p ON p.phone_number_id = a.phone_number_id
            WHERE a.unassigned_at IS NULL AND p.synced_at IS NULL
            HAVING count(*) > 0;
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_health_account()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stale CONSTANT interval := 3 * current_setting('whatsapp_shared.sync_interval', true)::interval;
BEGIN
    RETURN QUERY
        SELECT 'sync ' || s.kind,
               CASE WHEN s.error IS NOT NULL OR s.finished_at IS NULL
                         OR stale > interval '0' AND s.finished_at < clock_timestamp() - stale
                    THEN 'warning' ELSE 'ok' END,
               CASE WHEN s.error IS NOT NULL THEN format('The last run failed: %s.', rtrim(s.error, '.'))
                    WHEN s.finished_at IS NULL THEN 'Never read from Meta.'
                    ELSE concat_ws(', ', 'Read at ' || date_trunc('second', s.finished_at)::text,
                                   s.items::text || ' found') || '.' END,
               CASE WHEN s.error IS NOT NULL
                    THEN format('Check whatsapp_shared.business_account_id (%s) and the permissions of the token. '
                         'Quality, limits and templates are unknown until it succeeds.',
                         COALESCE(NULLIF(current_setting('whatsapp_shared.business_account_id', true), ''), 'not set'))
                    WHEN s.finished_at IS NULL
                    THEN 'Sending works without it; quality, limits and templates are unknown until it succeeds.' END
        FROM @extschema@.whatsapp_sync AS s
        WHERE s.kind <> 'token'
        ORDER BY s.kind;
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_health_token();
    RETURN QUERY
        SELECT 'pause ' || concat_ws(' ', p.scope, NULLIF(p.key, '')),
               CASE p.scope WHEN 'account' THEN 'error' ELSE 'warning' END,
               concat_ws(', ', concat_ws(': ', p.reason, p.detail),
                   'since ' || date_trunc('second', p.paused_at)::text,
                   'until ' || date_trunc('second', p.until)::text) || '.',
               format('SELECT wa_resume(%s);',
                   concat_ws(', ', quote_literal(p.scope),
                       CASE WHEN p.key <> '' THEN quote_literal(p.key) END))
        FROM @extschema@.whatsapp_pauses AS p
        WHERE p.until IS NULL OR p.until > clock_timestamp()
        ORDER BY p.scope, p.key;
    RETURN QUERY
        SELECT 'number ' || n.phone_number_id,
               CASE WHEN n.health IN ('missing', 'blocked') AND n.tenant_id IS NOT NULL THEN 'error' ELSE 'warning' END,
               format('Its health is %s%s%s.', n.health,
                   CASE WHEN n.tenant_id IS NULL THEN '' ELSE format(' (tenant %s)', n.tenant_id) END,
                   '; its rate is lowered to ' || n.messages_per_second || ' a second because of ' || n.rate_reason),
               CASE n.health
                   WHEN 'missing' THEN 'It is no longer part of the account; assign the tenant another number.'
                   WHEN 'blocked' THEN 'See WhatsApp Manager; assign the tenant another number meanwhile.'
                   ELSE 'Recipients block or report its messages: send fewer, and only what they asked for. '
                        'The rate is restored with Meta''s rating or limit; see whatsapp_damage_policies.' END
        FROM @extschema@.wa_number_status AS n
        WHERE n.health NOT IN ('ok', 'unknown', 'paused') OR n.rate_reason IS NOT NULL
        ORDER BY n.phone_number_id;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_health_queue()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    total record;
    webhooks timestamptz;
    last_accepted timestamptz;
BEGIN
    SELECT COALESCE(sum(q.messages) FILTER (WHERE q.state = 'ready'), 0) AS ready,
           COALESCE(sum(q.messages) FILTER (WHERE q.state = 'deferred'), 0) AS deferred,
           COALESCE(sum(q.messages) FILTER (WHERE q.state = 'held'), 0) AS held,
           COALESCE(sum(q.messages) FILTER (WHERE q.reason = 'no_number'), 0) AS no_number,
           COALESCE(sum(q.messages) FILTER (WHERE q.state = 'uncertain'), 0) AS uncertain,
           COALESCE(sum(q.messages) FILTER (WHERE q.reason = 'parked'), 0) AS parked
        INTO total FROM @extschema@.wa_queue_status AS q;
    item := 'queue';
    state := CASE WHEN total.held > 0 THEN 'warning' ELSE 'ok' END;
    detail := format('%s ready, %s deferred, %s held (%s because the tenant has no number).',
        total.ready, total.deferred, total.held, total.no_number);
    remedy := CASE WHEN total.held > 0 THEN 'wa_queue_status names the reasons.' END;
    RETURN NEXT;

    item := 'uncertain messages';
    state := CASE WHEN total.parked > 0 THEN 'warning' ELSE 'ok' END;
    detail := format('%s, of which %s wait for an operator.', total.uncertain, total.parked);
    remedy := CASE WHEN total.parked > 0
        THEN 'SELECT id FROM whatsapp_messages WHERE status = ''uncertain''; then wa_resolve_message().' END;
    RETURN NEXT;

    /* By primary key and among the newest only: history may be large. */
    SELECT max(w.last_webhook_at) INTO webhooks FROM @extschema@.whatsapp_webhook_traffic AS w;
    SELECT max(m.accepted_at) INTO last_accepted FROM (
        SELECT o.accepted_at FROM @extschema@.whatsapp_messages AS o ORDER BY o.id DESC LIMIT 1000) AS m;
    item := 'webhooks';
    state := CASE WHEN last_accepted > COALESCE(webhooks, '-infinity') + interval '15 minutes'
                       AND last_accepted < clock_timestamp() - interval '5 minutes' THEN 'warning' ELSE 'ok' END;
    detail := CASE WHEN webhooks IS NULL THEN 'None has been received.'
                   ELSE format('The last one was received at %s.', date_trunc('second', webhooks)) END;
    remedy := CASE state WHEN 'warning'
        THEN 'Messages have been accepted since, without any status. Check that the webhook receiver is reachable '
             'from the internet and that the app is subscribed to the account.' END;
    RETURN NEXT;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_health_alerts()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'alert ' || a.alert_id, CASE a.severity WHEN 'info' THEN 'ok' ELSE a.severity END,
           format('%s (%s times, last at %s)', a.message, a.occurrences, date_trunc('second', a.last_seen_at)),
           format('SELECT wa_resolve_alert(%s); once it has been dealt with.', a.alert_id)
    FROM @extschema@.whatsapp_alerts AS a
    WHERE a.resolved_at IS NULL
    ORDER BY a.alert_id
$$;

/* Handlers of replies and notifications that are not run, because their roles are not what they were. */
CREATE FUNCTION @extschema@.wa_internal_refused_registrations(
    OUT kind text, OUT key text, OUT problem text, OUT remedy text)
RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'reply handler', h.prefix, r.problem, format('SELECT wa_on_reply(%L, %L);', h.prefix, h.handler)
    FROM @extschema@.whatsapp_reply_handlers AS h
        LEFT JOIN pg_proc AS p ON p.oid = to_regprocedure(h.handler)
        CROSS JOIN LATERAL (
            SELECT CASE WHEN p.oid IS NULL THEN 'function gone'
                ELSE @extschema@.wa_internal_registration_state(
                    h.registered_by, h.registered_by_oid, h.owner, h.owner_oid, p.proowner, p.prosecdef) END)
            AS r (problem)
    WHERE r.problem IS NOT NULL
    UNION ALL
    SELECT 'notification', n.relation || ' ' || n.name, n.state,
        CASE n.state WHEN 'role may not send' THEN format('SELECT wa_grant(%L, ''sender'');', n.registered_by)
            ELSE format('SELECT wa_drop_notification(%L, %L); then create it again with wa_create_notification().',
                n.relation, n.name) END
    FROM @extschema@.wa_notifications AS n
    WHERE n.state NOT IN ('active', 'disabled', 'detached')
$$;

CREATE FUNCTION @extschema@.wa_internal_health_registrations()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH refused AS MATERIALIZED (SELECT * FROM @extschema@.wa_internal_refused_registrations()),
    total AS (SELECT (SELECT count(*) FROM @extschema@.whatsapp_reply_handlers) AS handlers,
                     (SELECT count(*) FROM @extschema@.whatsapp_notifications) AS notifications,
                     (SELECT count(*) FROM refused) AS refused)
    SELECT 'registered code', CASE WHEN t.refused > 0 THEN 'error' ELSE 'ok' END,
           format('%s reply handlers and %s notifications, of which %s are not run.',
               t.handlers, t.notifications, t.refused),
           CASE WHEN t.refused > 0 THEN 'Its roles have changed since it was registered: see the rows below.' END
    FROM total AS t
    WHERE t.handlers + t.notifications > 0
    UNION ALL
    (SELECT concat_ws(' ', r.kind, r.key), 'error', format('Not run: %s.', r.problem), r.remedy
     FROM refused AS r
     ORDER BY r.kind, r.key LIMIT 20)
    UNION ALL
    (SELECT 'tenant role ' || b.role, 'warning',
            format('Bound to tenant %s, but not the role that was bound.', b.tenant_id),
            format('SELECT wa_revoke(%1$L, ''tenant''), wa_grant(%1$L, ''tenant'', %2$L); or DELETE the row of '
                'whatsapp_tenant_roles, if the role is gone.', b.role, b.tenant_id)
     FROM @extschema@.whatsapp_tenant_roles AS b
         LEFT JOIN pg_roles AS r ON r.rolname = b.role AND r.oid = b.role_oid
     WHERE r.oid IS NULL
     ORDER BY b.role LIMIT 20)
$$;

/*
 * An alert for each.  Not raised where one is refused: that may be in a transaction of
 * the application, and others that raise the same alert would wait for its end.
 */
CREATE FUNCTION @extschema@.wa_internal_check_registrations() RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r record;
BEGIN
    FOR r IN
        SELECT f.* FROM @extschema@.wa_internal_refused_registrations() AS f
        WHERE NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_alerts AS a
            WHERE a.kind = 'registration' AND a.scope = f.kind AND a.key = f.key AND a.resolved_at IS NULL
                AND a.detail ->> 'problem' = f.problem)
        ORDER BY f.kind, f.key
    LOOP
        PERFORM @extschema@.wa_internal_alert('error'::text, 'registration'::text, r.kind, r.key,
            format('The %s "%s" is not run: %s', r.kind, r.key, r.problem),
            jsonb_build_object('problem', r.problem, 'remedy', r.remedy));
    END LOOP;
    FOR r IN
        SELECT a.scope, a.key FROM @extschema@.whatsapp_alerts AS a
        WHERE a.kind = 'registration' AND a.resolved_at IS NULL AND NOT EXISTS (
            SELECT FROM @extschema@.wa_internal_refused_registrations() AS f WHERE f.kind = a.scope AND f.key = a.key)
        ORDER BY a.scope, a.key
    LOOP
        PERFORM @extschema@.wa_internal_resolve_alert('registration'::text, r.scope, r.key);
    END LOOP;
END
$$;

CREATE FUNCTION @extschema@.wa_health()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_health_ownership();
    IF (SELECT f.problem FROM @extschema@.wa_internal_ownership_flaw() AS f) IS NOT NULL THEN
        RETURN;
    END IF;
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_health_processes();
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_health_settings();
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_health_databases();
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_health_account();
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_health_shared_numbers();
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_health_confirmation();
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_health_queue();
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_health_registrations();
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_health_alerts();
END
$$;
COMMENT ON FUNCTION @extschema@.wa_health() IS
'Checks the whole installation: one row for each item with ok, warning or error, what was found, and what to do.';

/* ---- one tenant ---------------------------------------------------------------- */

CREATE FUNCTION @extschema@.wa_internal_diagnose_sender(t @extschema@.wa_tenant_status)
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fallback CONSTANT text := @extschema@.wa_internal_default_number();
    taken CONSTANT text := @extschema@.wa_internal_default_number_taken();
    pause record;
BEGIN
    item := 'enabled';
    state := CASE WHEN t.whatsapp_enabled THEN 'ok' ELSE 'error' END;
    detail := CASE WHEN t.whatsapp_enabled THEN 'WhatsApp is switched on.'
                   ELSE 'WhatsApp is switched off: new messages are skipped.' END;
    remedy := CASE WHEN NOT t.whatsapp_enabled
                   THEN format('SELECT wa_configure_tenant(%L, enabled => true);', t.tenant_id) END;
    RETURN NEXT;

    item := 'number';
    state := CASE WHEN t.phone_number_id IS NOT NULL THEN 'ok'
                  WHEN fallback IS NOT NULL THEN 'warning' ELSE 'error' END;
    detail := CASE WHEN t.phone_number_id IS NOT NULL
                   THEN format('%s since %s.', concat_ws(', ', t.phone_number_id, t.display_phone_number),
                       date_trunc('second', t.assigned_at))
                   WHEN fallback IS NOT NULL THEN format('None of its own; the default number %s is used.', fallback)
                   ELSE concat_ws('; ', 'None: messages wait', taken) || '.' END;
    remedy := CASE WHEN t.phone_number_id IS NULL THEN format('SELECT wa_assign_phone(%L);', t.tenant_id) END;
    RETURN NEXT;

    IF t.phone_number_id IS NOT NULL THEN
        item := 'number health';
        state := CASE WHEN t.number_health = 'ok' THEN 'ok'
                      WHEN t.number_health IN ('missing', 'blocked') THEN 'error' ELSE 'warning' END;
        detail := concat_ws(', quality ', t.number_health, t.quality_rating);
        remedy := CASE t.number_health
            WHEN 'ok' THEN NULL
            WHEN 'unknown' THEN 'SELECT wa_sync_phone_numbers();'
            ELSE 'See wa_number_status and WhatsApp Manager.' END;
        RETURN NEXT;
    END IF;

    FOR pause IN
        SELECT p.* FROM @extschema@.whatsapp_pauses AS p
        WHERE (p.until IS NULL OR p.until > clock_timestamp())
            AND (p.scope IN ('account', 'template') OR p.scope = 'tenant' AND p.key = t.tenant_id
                 OR p.scope = 'number' AND p.key = COALESCE(t.phone_number_id, fallback))
        ORDER BY p.scope, p.key
    LOOP
        item := 'pause ' || concat_ws(' ', pause.scope, NULLIF(pause.key, ''));
        state := CASE pause.scope WHEN 'template' THEN 'warning' ELSE 'error' END;
        detail := concat_ws(', ', concat_ws(': ', pause.reason, pause.detail),
            'until ' || date_trunc('second', pause.until)::text) || '.';
        remedy := format('SELECT wa_resume(%s);', concat_ws(', ', quote_literal(pause.scope),
            CASE WHEN pause.key <> '' THEN quote_literal(pause.key) END));
        RETURN NEXT;
    END LOOP;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_diagnose_templates()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'templates',
           CASE WHEN count(*) FILTER (WHERE p.status = 'APPROVED' AND p.missing_since IS NULL) = 0
                THEN 'warning' ELSE 'ok' END,
           format('%s approved, %s others.',
               count(*) FILTER (WHERE p.status = 'APPROVED' AND p.missing_since IS NULL),
               count(*) FILTER (WHERE p.status <> 'APPROVED' OR p.missing_since IS NOT NULL)),
           CASE WHEN count(*) FILTER (WHERE p.status = 'APPROVED' AND p.missing_since IS NULL) = 0
                THEN 'Have one approved by Meta, then SELECT wa_sync_templates();' END
    FROM @extschema@.whatsapp_templates AS p
$$;

/* Customers to whom more than templates may be sent. */
CREATE FUNCTION @extschema@.wa_internal_diagnose_windows(number text)
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'service windows', 'ok',
           format('%s customers have written within 24 hours; to all others only templates may be sent.', count(*)),
           NULL
    FROM @extschema@.whatsapp_windows AS w
    WHERE w.phone_number_id = number AND w.last_inbound_at > clock_timestamp() - interval '24 hours'
$$;

/* What the tenant's messages of the last day have come to; only the newest are looked at. */
CREATE FUNCTION @extschema@.wa_internal_diagnose_messages(tenant text)
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    look CONSTANT integer := 10000;
    since CONSTANT timestamptz := clock_timestamp() - interval '24 hours';
    waiting bigint;
BEGIN
    RETURN QUERY
        WITH recent AS MATERIALIZED (
            SELECT m.status, m.error_code FROM @extschema@.whatsapp_messages AS m
            WHERE m.tenant_id = tenant AND m.created_at > since
            ORDER BY m.created_at DESC LIMIT look),
        counted AS (SELECT r.status, count(*) AS n FROM recent AS r GROUP BY r.status),
        failed AS (SELECT r.error_code, count(*) AS n FROM recent AS r
                   WHERE r.status = 'failed' GROUP BY r.error_code)
        SELECT 'last 24 hours', CASE WHEN EXISTS (SELECT FROM failed) THEN 'warning' ELSE 'ok' END,
               COALESCE(string_agg(format('%s %s', c.n, c.status), ', ' ORDER BY c.n DESC, c.status) || '.',
                        'No messages.'), NULL
            FROM counted AS c
        UNION ALL
        (SELECT concat_ws(' ', 'failures with error', f.error_code::text), 'warning',
                format('%s: %s.', f.n, COALESCE(e.title, 'not in wa_error_codes')),
                COALESCE(e.remedy, 'See error_message in whatsapp_messages.')
            FROM failed AS f LEFT JOIN @extschema@.wa_error_codes AS e ON e.code = f.error_code
            ORDER BY f.n DESC, f.error_code);

    SELECT min(m.id) INTO waiting FROM (
        SELECT o.id, o.status FROM @extschema@.whatsapp_messages AS o
        WHERE o.tenant_id = tenant AND o.created_at > since
        ORDER BY o.created_at DESC LIMIT look) AS m
        WHERE m.status IN ('queued', 'sending', 'uncertain');
    RETURN QUERY
        SELECT 'oldest waiting message', CASE WHEN e.earliest IS NULL THEN 'warning' ELSE 'ok' END,
               format('Message %s: %s', e.message_id, e.explanation), e.remedy
        FROM @extschema@.wa_explain(waiting) AS e
        WHERE waiting IS NOT NULL;
END
$$;

CREATE FUNCTION @extschema@.wa_diagnose(tenant_id text)
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    t @extschema@.wa_tenant_status;
BEGIN
    PERFORM @extschema@.wa_internal_check_own_tenant(wa_diagnose.tenant_id);
    IF (SELECT f.problem FROM @extschema@.wa_internal_ownership_flaw() AS f) IS NOT NULL THEN
        RETURN QUERY SELECT * FROM @extschema@.wa_internal_health_ownership();
        RETURN;
    END IF;
    SELECT s.* INTO t FROM @extschema@.wa_tenant_status AS s WHERE s.tenant_id = wa_diagnose.tenant_id;
    IF NOT FOUND THEN
        PERFORM @extschema@.wa_internal_unknown_tenant(wa_diagnose.tenant_id);
    END IF;
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_diagnose_sender(t);
    RETURN QUERY SELECT h.* FROM @extschema@.wa_internal_health_processes() AS h WHERE h.item = 'sending';
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_diagnose_templates();
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_diagnose_windows(t.phone_number_id);
    RETURN QUERY SELECT * FROM @extschema@.wa_internal_diagnose_messages(t.tenant_id);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_diagnose(text) IS
'Checks everything that one tenant needs for sending: one row for each item with ok, warning or error, what was '
'found, and what to do.';
/*
 * Codes and their meanings, and wa_explain(): why a message has not been sent,
 * in one row.
 *
 * The text of each reason exists once, in wa_reason_codes; the functions below
 * find out which reason applies, the details of this message, and the earliest
 * time.  What only a person can mend comes before what time will.
 */

/*
 * What each error code of the Cloud API means for a message: the table of
 * error_class.c, by which answers and webhooks are judged, to be read in SQL.
 */
CREATE FUNCTION @extschema@.wa_internal_error_codes(
    OUT code        integer,
    OUT title       text,
    OUT class       text,
    OUT pause       interval,
    OUT max_retries integer,
    OUT opts_out    boolean,
    OUT remedy      text)
RETURNS SETOF record
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 300
AS 'MODULE_PATHNAME', 'wa_internal_error_codes';
COMMENT ON FUNCTION @extschema@.wa_internal_error_codes() IS
'The rows of the view wa_error_codes.';

CREATE VIEW @extschema@.wa_error_codes AS
    SELECT code, title, class, pause, max_retries, opts_out, remedy
    FROM @extschema@.wa_internal_error_codes();
COMMENT ON VIEW @extschema@.wa_error_codes IS
'The known error codes of the Cloud API: what each means, what happens to the message, and what to do.';
COMMENT ON COLUMN @extschema@.wa_error_codes.code IS 'Graph API error code.';
COMMENT ON COLUMN @extschema@.wa_error_codes.title IS 'What it means, in short.';
COMMENT ON COLUMN @extschema@.wa_error_codes.class IS
'permanent: the message fails. retry: again later. throttle_number, throttle_pair: slowed down. pause_account_short, '
'pause_account, pause_number, pause_template: what it names waits. not_applicable: not of sending.';
COMMENT ON COLUMN @extschema@.wa_error_codes.pause IS
'How long the throttle or pause lasts, or the minimum delay before a retry; NULL: until an event ends it, or as '
'configured.';
COMMENT ON COLUMN @extschema@.wa_error_codes.max_retries IS
'How often a message is retried after this code; NULL: whatsapp_shared.max_attempts decides.';
COMMENT ON COLUMN @extschema@.wa_error_codes.opts_out IS
'Whether the code records that the recipient wants no more marketing.';
COMMENT ON COLUMN @extschema@.wa_error_codes.remedy IS 'What to do.';

CREATE VIEW @extschema@.wa_reason_codes (reason, meaning, remedy) AS
VALUES
    /* the end, or on its way to it */
    ('accepted', 'Meta has accepted the message; no delivery status has come yet.',
     'Usually none: the recipient''s phone may be off. '
     'If no message gets a status, check that webhooks arrive (wa_health).'),
    ('held_for_quality_assessment', 'Meta has accepted the message and holds it while it assesses the template.',
     'None: Meta releases or rejects it, usually within an hour.'),
    ('sent', 'The message has left Meta''s servers and has not reached the recipient''s phone yet.',
     'None: the recipient''s phone is off or has no connection.'),
    ('delivered', 'The message has reached the recipient''s phone.', 'None.'),
    ('read', 'The recipient has read the message.', 'None.'),
    ('failed', 'The message could not be delivered.', 'Fix the cause, then wa_retry_message().'),
    ('cancelled', 'The message was cancelled before it was sent.', 'wa_retry_message() sends it after all.'),
    ('expired', 'The message was not sent before its expiry.',
     'wa_retry_message() sends it after all; a later expires_at leaves more time.'),
    ('opted_out', 'The recipient has opted out of messages of this kind from the tenant.',
     'None, unless the recipient has agreed again: wa_opt_in().'),

    /* in doubt */
    ('on_the_wire', 'The message is being sent now.', 'None: waiting for Meta''s response.'),
    ('uncertain', 'The message was sent but no response came back: it may or may not have been accepted.',
     'None: a webhook settles it, or the policy after the grace period. wa_resolve_message() decides at once.'),
    ('parked',
     'The message may or may not have been accepted, no webhook says so, and the policy is to wait for an operator.',
     'Ask the recipient or check WhatsApp Manager, then wa_resolve_message().'),
    ('not_queued', 'The message waits but is not in the queue.',
     'This should not happen: use wa_cancel_message() or wa_retry_message(), and please report it.'),

    /* nothing is sent at all */
    ('standby', 'This server is a standby; messages are sent from the primary.', 'None.'),
    ('not_preloaded', 'The server was started without the library.',
     'Add whatsapp_shared to shared_preload_libraries and restart the server.'),
    ('ownership', 'Others could put code of their own in the place of the extension''s, so none of it is run.',
     'wa_health() says who, and how to end it.'),
    ('clone_not_adopted', 'This database is a copy of another installation, and copies do not send.',
     'If messages are to be sent from here now, and not from the original: SELECT wa_adopt();'),
    ('sending_disabled', 'Sending is switched off on this server.',
     'ALTER SYSTEM SET whatsapp_shared.enabled = on; SELECT pg_reload_conf();'),
    ('credentials_missing', 'The server has no access token.',
     'Put a system-user token into whatsapp_shared.access_token_file and reload the server.'),
    ('database_not_listed', 'No sender serves this database.',
     'Add it to whatsapp_shared.databases and reload the server.'),
    ('sender_not_running', 'The sender of this database is not running.',
     'See the server''s log; it restarts by itself unless the server has run out of worker processes '
     '(max_worker_processes).'),

    /* stopped by a person or by an event */
    ('account_paused', 'Sending is paused for the whole account.', 'wa_resume(''account'') when the cause has gone.'),
    ('tenant_disabled', 'WhatsApp is switched off for the tenant.', 'wa_configure_tenant(…, enabled => true)'),
    ('no_number', 'The tenant has no phone number.', 'wa_assign_phone()'),
    ('media_upload', 'The message waits until its file is uploaded.',
     'See the file''s row in whatsapp_media; wa_upload_media() with the same bytes starts over.'),
    ('tenant_paused', 'Sending is paused for the tenant.', 'wa_resume(''tenant'', …) when the cause has gone.'),
    ('number_paused', 'Sending is paused for the number.', 'wa_resume(''number'', …) when the cause has gone.'),
    ('template_paused', 'Sending is paused for the template.', 'wa_resume(''template'', …) when the cause has gone.'),

    /* a matter of time */
    ('expiring', 'The message has passed its expiry and will be marked as expired.', 'None.'),
    ('scheduled', 'The message is not due yet.', 'None.'),
    ('quiet_hours', 'The tenant''s quiet hours are in effect.',
     'None; messages with priority 100 or more are sent in quiet hours too.'),
    ('retry', 'The last attempt failed with a temporary error; another one follows.', 'None.'),
    ('network', 'Meta could not be reached; another attempt follows.',
     'If it lasts, check the server''s connection to graph.facebook.com (name resolution, proxy, firewall).'),
    ('pair_rate', 'WhatsApp allows one message in 6 seconds to one recipient, after a burst of 45.', 'None.'),
    ('tenant_rate', 'The tenant''s own rate is used up for the moment.',
     'None, or wa_configure_tenant(…, messages_per_second => …).'),
    ('recipient_order', 'An earlier message to the same recipient is not settled yet; the order is kept.', 'None.'),
    ('budget', 'The tenant''s share of the account''s limit of recipients in 24 hours is used up.',
     'None: capacity frees up by itself. wa_configure_tenant(…, daily_share => …) guarantees a tenant its share.'),
    ('number_throttled', 'Meta has asked for a pause in the requests of the number.', 'None.'),
    ('number_rate', 'The number''s rate is used up for the moment.', 'None.'),
    ('concurrency_limit', 'As many requests are open as are allowed; the next response makes room.',
     'If it lasts, Meta''s responses are slow: whatsapp_shared.request_timeout bounds the wait, and '
     'whatsapp_shared.max_in_flight the number of open requests.'),
    ('next', 'Nothing holds the message back: it is about to be sent.', 'None.');
COMMENT ON VIEW @extschema@.wa_reason_codes IS
'Every reason code of wa_explain(), with its meaning and what to do.';
COMMENT ON COLUMN @extschema@.wa_reason_codes.reason IS 'The code.';
COMMENT ON COLUMN @extschema@.wa_reason_codes.meaning IS 'What it means.';
COMMENT ON COLUMN @extschema@.wa_reason_codes.remedy IS 'What to do.';

/* The name of the reason why nothing at all is sent; NULL if nothing is in the way. */
CREATE FUNCTION @extschema@.wa_internal_global_obstacle() RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE
        WHEN pg_is_in_recovery() THEN 'standby'
        WHEN NOT @extschema@.wa_internal_preloaded() THEN 'not_preloaded'
        WHEN NOT @extschema@.wa_internal_at_home() THEN 'clone_not_adopted'
        WHEN NOT current_setting('whatsapp_shared.enabled')::boolean THEN 'sending_disabled'
        WHEN NOT @extschema@.wa_internal_credentials_present() THEN 'credentials_missing'
        WHEN NOT @extschema@.wa_internal_database_listed() THEN 'database_not_listed'
        WHEN NOT @extschema@.wa_internal_sender_running() THEN 'sender_not_running'
        END;
END
$$;

/* As SplitIdentifierString reads the setting: lower case unless quoted. */
CREATE FUNCTION @extschema@.wa_internal_listed_databases() RETURNS SETOF text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN e.name LIKE '"%' THEN replace(substr(e.name, 2, length(e.name) - 2), '""', '"')
                ELSE lower(e.name) END
    FROM (SELECT btrim(s) FROM string_to_table(current_setting('whatsapp_shared.databases', true), ',') AS s)
        AS e (name)
    WHERE e.name <> ''
$$;

CREATE FUNCTION @extschema@.wa_internal_database_listed() RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT current_database() IN (SELECT l.name FROM @extschema@.wa_internal_listed_databases() AS l (name))
$$;

/* pg_stat_activity shows the senders to superusers only. */
CREATE FUNCTION @extschema@.wa_internal_sender_running() RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM @extschema@.wa_stats() AS s WHERE s.pid IS NOT NULL)
$$;

/*
 * The sender of this number, if it is not running; NULL if it is, or if that is
 * not known.  The numbers are shared out over the senders of a database.
 */
CREATE FUNCTION @extschema@.wa_internal_absent_sender(number text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('sender %s of %s, which sends from number %s', s.sender, s.senders, number)
    FROM @extschema@.wa_stats() AS s
    WHERE s.pid IS NULL AND s.sender = @extschema@.wa_internal_sender_of(number, s.senders)
$$;

/* ---- a message that is not in the queue --------------------------------------- */

CREATE FUNCTION @extschema@.wa_internal_explain_end(
    m @extschema@.whatsapp_messages,
    OUT reason text,
    OUT detail text,
    OUT remedy text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    reason := m.status;
    CASE m.status
        WHEN 'failed' THEN
            detail := concat_ws(': ', 'error ' || m.error_code::text, m.error_message);
            remedy := (SELECT e.remedy FROM @extschema@.wa_error_codes AS e WHERE e.code = m.error_code);
            IF m.status_reason = 'uncertain' THEN
                detail := 'it is unknown whether Meta had accepted it, and the policy was to give up';
            ELSIF m.attempts > 1 THEN
                detail := format('%s, after %s attempts', detail, m.attempts);
            END IF;
        WHEN 'skipped' THEN
            reason := COALESCE(m.status_reason, 'skipped');
            IF reason = 'tenant_disabled' THEN
                detail := 'so the message was not queued';
                remedy := 'wa_configure_tenant(…, enabled => true), then wa_retry_message() if it is still wanted.';
            END IF;
        WHEN 'accepted' THEN
            reason := COALESCE(m.status_reason, 'accepted');
            detail := format('accepted at %s', date_trunc('second', m.accepted_at));
        WHEN 'sent' THEN
            detail := format('sent at %s', date_trunc('second', m.sent_at));
        WHEN 'delivered' THEN
            detail := format('delivered at %s', date_trunc('second', m.delivered_at));
        WHEN 'read' THEN
            detail := format('read at %s', date_trunc('second', m.read_at));
        WHEN 'cancelled' THEN
            detail := format('cancelled at %s', date_trunc('second', m.finished_at));
        WHEN 'expired' THEN
            detail := format('it was to be sent by %s', date_trunc('second', m.expires_at));
        ELSE
            reason := 'not_queued';
    END CASE;
END
$$;

/* ---- a message in the queue --------------------------------------------------- */

/* The pause that concerns the message, the widest scope first. */
CREATE FUNCTION @extschema@.wa_internal_pause_of(
    m @extschema@.whatsapp_messages, number text) RETURNS @extschema@.whatsapp_pauses
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.* FROM @extschema@.whatsapp_pauses AS p
    WHERE (p.until IS NULL OR p.until > clock_timestamp())
        AND (p.scope = 'account'
            OR p.scope = 'tenant' AND p.key = m.tenant_id
            OR p.scope = 'number' AND p.key = number
            OR p.scope = 'template' AND p.key IN (m.template_name, m.template_name || '/' || m.template_language))
    ORDER BY array_position('{account,tenant,number,template}'::text[], p.scope), p.until DESC NULLS FIRST
    LIMIT 1
$$;

/*
 * A message of a tenant without a number, written for the default number, which
 * another tenant has got since: the sender will hold it, and may not have come
 * to it yet.
 */
CREATE FUNCTION @extschema@.wa_internal_loses_number(tenant text, number text) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM @extschema@.whatsapp_phone_assignments AS a
                   WHERE a.phone_number_id = number AND a.tenant_id <> tenant AND a.unassigned_at IS NULL)
        AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_phone_assignments AS a
                        WHERE a.tenant_id = tenant AND a.unassigned_at IS NULL)
$$;

/* What only a person or an event can remove; no row if nothing of the kind is in the way. */
CREATE FUNCTION @extschema@.wa_internal_explain_obstacle(
    m @extschema@.whatsapp_messages,
    q @extschema@.whatsapp_queue,
    OUT reason text,
    OUT detail text,
    OUT earliest timestamptz)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    pause @extschema@.whatsapp_pauses := @extschema@.wa_internal_pause_of(m, q.phone_number_id);
    enabled boolean := EXISTS (SELECT FROM @extschema@.whatsapp_tenants AS t
                               WHERE t.tenant_id = m.tenant_id AND t.enabled);
BEGIN
    reason := @extschema@.wa_internal_global_obstacle();
    IF reason IS NOT NULL THEN
        IF reason = 'clone_not_adopted' THEN
            detail := @extschema@.wa_internal_home_doubt();
            detail := lower(left(detail, 1)) || rtrim(substr(detail, 2), '.');
        END IF;
        RETURN;
    END IF;
    detail := @extschema@.wa_internal_absent_sender(q.phone_number_id);
    IF detail IS NOT NULL THEN
        reason := 'sender_not_running';
    ELSIF pause.scope IS DISTINCT FROM 'account' AND NOT enabled THEN
        reason := 'tenant_disabled';
    ELSIF pause.scope IS DISTINCT FROM 'account'
        AND (q.phone_number_id IS NULL OR @extschema@.wa_internal_loses_number(m.tenant_id, q.phone_number_id)) THEN
        reason := 'no_number';
        detail := concat_ws('; ', format('the messages of tenant "%s" wait until it has one', m.tenant_id),
                                       @extschema@.wa_internal_default_number_taken());
    ELSIF pause.scope IS NOT NULL THEN
        reason := pause.scope || '_paused';
        detail := concat_ws(', ', concat_ws(': ', pause.reason, pause.detail),
                                       'until ' || date_trunc('second', pause.until)::text);
        earliest := CASE WHEN pause.until IS NOT NULL THEN GREATEST(pause.until, q.due_at) END;
    END IF;
END
$$;

/* An uncertain message: until when a webhook is awaited, and what follows. */
CREATE FUNCTION @extschema@.wa_internal_explain_uncertain(
    m @extschema@.whatsapp_messages,
    q @extschema@.whatsapp_queue,
    OUT reason text,
    OUT detail text,
    OUT earliest timestamptz)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    policy CONSTANT text := COALESCE(m.on_uncertain,
        (SELECT t.on_uncertain FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = m.tenant_id),
        current_setting('whatsapp_shared.uncertain_policy', true));
BEGIN
    IF q.due_at = 'infinity' THEN
        reason := 'parked';
        RETURN;
    END IF;
    reason := 'uncertain';
    earliest := q.due_at;
    detail := format('if no webhook comes by %s, %s', date_trunc('second', q.due_at), CASE policy
        WHEN 'resend' THEN 'it is sent again'
        WHEN 'park' THEN 'it waits for an operator'
        WHEN 'fail' THEN 'it is given up'
        ELSE 'it is sent again if webhooks of other messages have come, and waits for an operator if not' END);
END
$$;

/* The last thing that went wrong with a message that is tried again. */
CREATE FUNCTION @extschema@.wa_internal_last_error(id bigint) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat_ws(': ', format('attempt %s', a.attempt), NULLIF(a.error_code, 0)::text, a.error_message)
    FROM @extschema@.whatsapp_attempts AS a
    WHERE a.message_id = id
    ORDER BY a.ended_at DESC
    LIMIT 1
$$;

/*
 * Until when Meta has asked for a pause in the requests of a number; NULL: it has
 * not.  What was refused with that is deferred to its end.
 */
CREATE FUNCTION @extschema@.wa_internal_throttled_until(number text) RETURNS timestamptz
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT max(q.due_at) FROM @extschema@.whatsapp_queue AS q
    WHERE q.phone_number_id = number AND q.state = 'd' AND q.hold_reason = 'number_rate'
        AND q.due_at > clock_timestamp()
$$;

/*
 * When the sender of this number tries next to reach Meta, if it cannot be reached;
 * NULL if it can.  What could not be sent is deferred to that.
 */
CREATE FUNCTION @extschema@.wa_internal_unreachable_until(number text) RETURNS timestamptz
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT min(q.due_at) FROM @extschema@.whatsapp_queue AS q
    WHERE q.phone_number_id = number AND q.state = 'd' AND q.hold_reason = 'network'
        AND q.due_at > clock_timestamp()
$$;

/*
 * How many requests the sender of this number has open, if it begins no other; NULL
 * if it may.  128 is where its limit begins, which follows the responses.
 */
CREATE FUNCTION @extschema@.wa_internal_requests_at_limit(number text) RETURNS integer
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.in_flight FROM @extschema@.wa_stats() AS s
    WHERE s.sender = @extschema@.wa_internal_sender_of(number, s.senders)
        AND s.in_flight >= LEAST(128, current_setting('whatsapp_shared.max_in_flight')::integer)
$$;

/* When a number has last sent something; among the newest messages only, for history may be large. */
CREATE FUNCTION @extschema@.wa_internal_last_sent(number text) RETURNS timestamptz
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT max(m.accepted_at) FROM (
        SELECT o.accepted_at, o.phone_number_id FROM @extschema@.whatsapp_messages AS o
        ORDER BY o.id DESC LIMIT 1000) AS m
    WHERE m.phone_number_id = number
$$;

/* A ready message: what the number waits for, how many come first, and how long they take. */
CREATE FUNCTION @extschema@.wa_internal_explain_ready(
    m @extschema@.whatsapp_messages,
    q @extschema@.whatsapp_queue,
    OUT reason text,
    OUT detail text,
    OUT earliest timestamptz)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    enough CONSTANT integer := 100000;
    throttled_until CONSTANT timestamptz := @extschema@.wa_internal_throttled_until(q.phone_number_id);
    unreachable_until CONSTANT timestamptz := @extschema@.wa_internal_unreachable_until(q.phone_number_id);
    open_requests CONSTANT integer := @extschema@.wa_internal_requests_at_limit(q.phone_number_id);
    ahead integer;
    rate real;
    lowered text;
    next_token timestamptz;
BEGIN
    IF EXISTS (
        SELECT FROM @extschema@.wa_internal_on_wire_requests AS w
            JOIN @extschema@.whatsapp_messages AS other ON other.id = w.message_id
        WHERE w.phone_number_id = q.phone_number_id
            AND COALESCE(other.recipient_phone, other.recipient_user_id)
                = COALESCE(m.recipient_phone, m.recipient_user_id)) THEN
        reason := 'recipient_order';
        RETURN;
    END IF;

    SELECT count(*) INTO ahead FROM (
        SELECT FROM @extschema@.whatsapp_queue AS o
        WHERE o.phone_number_id = q.phone_number_id AND o.state = 'r'
            AND (o.rank, o.message_id) < (q.rank, q.message_id)
        LIMIT enough) AS o;
    SELECT @extschema@.wa_internal_number_rate(p.messages_per_second, p.throughput_level, p.rate_factor),
            CASE WHEN p.rate_factor < 1 THEN format(', lowered to %s because of %s',
                trim_scale(p.rate_factor::numeric * 100) || '%', p.rate_reason) ELSE '' END
        INTO rate, lowered
        FROM (VALUES (q.phone_number_id)) AS n (id)
            LEFT JOIN @extschema@.whatsapp_phone_numbers AS p ON p.phone_number_id = n.id;
    /* At one a second or more, the last one is no obstacle that anybody could see. */
    next_token := CASE WHEN rate < 1
        THEN @extschema@.wa_internal_last_sent(q.phone_number_id) + make_interval(secs => 1 / rate) END;
    earliest := GREATEST(clock_timestamp(), next_token, throttled_until, unreachable_until)
        + make_interval(secs => ahead / rate);
    IF throttled_until IS NOT NULL THEN
        reason := 'number_throttled';
        detail := format('until %s', date_trunc('second', throttled_until));
    ELSIF unreachable_until IS NOT NULL THEN
        reason := 'network';
        detail := 'so it was with another message of the number';
    ELSIF open_requests IS NOT NULL THEN
        reason := 'concurrency_limit';
        detail := format('%s are open', open_requests);
    ELSIF ahead < rate AND COALESCE(next_token <= clock_timestamp(), true) THEN
        reason := 'next';
    ELSE
        reason := 'number_rate';
        detail := format('%s%s before it, at %s a second%s',
            CASE WHEN ahead = enough THEN 'at least ' END, ahead, rate, lowered);
    END IF;
END
$$;

/* What time alone will mend. */
CREATE FUNCTION @extschema@.wa_internal_explain_wait(
    m @extschema@.whatsapp_messages,
    q @extschema@.whatsapp_queue,
    OUT reason text,
    OUT detail text,
    OUT earliest timestamptz)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF q.expires_at <= clock_timestamp() THEN
        reason := 'expiring';
    ELSIF q.state = 'r' OR q.state = 'd' AND q.due_at <= clock_timestamp() THEN
        SELECT e.* INTO reason, detail, earliest FROM @extschema@.wa_internal_explain_ready(m, q) AS e;
    ELSIF q.state = 'h' AND q.hold_reason = 'media_upload' THEN
        reason := q.hold_reason;
        SELECT concat_ws(', ', format('file %s', f.id), 'last attempt: ' || f.error),
               CASE f.status WHEN 'waiting' THEN GREATEST(q.due_at, f.next_attempt_at) END
            INTO detail, earliest
            FROM @extschema@.whatsapp_media_uses AS u
                JOIN @extschema@.whatsapp_media AS f ON f.id = u.medium
            WHERE u.message_id = m.id;
    ELSIF q.state = 'h' THEN
        reason := q.hold_reason;
        detail := 'this has just changed, and the sender will see it within a minute';
    ELSE
        reason := COALESCE(q.hold_reason, 'scheduled');
        earliest := q.due_at;
        IF reason IN ('retry', 'network') THEN
            detail := @extschema@.wa_internal_last_error(q.message_id);
        END IF;
    END IF;
END
$$;

/* ---- all of it ------------------------------------------------------------------ */

CREATE FUNCTION @extschema@.wa_internal_explain(
    m @extschema@.whatsapp_messages,
    OUT reason text,
    OUT detail text,
    OUT earliest timestamptz,
    OUT remedy text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    q @extschema@.whatsapp_queue;
    sent_at timestamptz;
BEGIN
    SELECT o.* INTO q FROM @extschema@.whatsapp_queue AS o WHERE o.message_id = m.id;
    IF NOT FOUND THEN
        SELECT e.reason, e.detail, e.remedy INTO reason, detail, remedy
            FROM @extschema@.wa_internal_explain_end(m) AS e;
        RETURN;
    END IF;
    SELECT max(w.claimed_at) INTO sent_at
        FROM @extschema@.wa_internal_on_wire_requests AS w WHERE w.message_id = m.id;
    IF sent_at IS NOT NULL THEN
        reason := 'on_the_wire';
        detail := format('since %s', date_trunc('second', sent_at));
        earliest := sent_at;
    ELSIF q.state = 'u' THEN
        SELECT e.* INTO reason, detail, earliest FROM @extschema@.wa_internal_explain_uncertain(m, q) AS e;
    ELSE
        SELECT e.* INTO reason, detail, earliest FROM @extschema@.wa_internal_explain_obstacle(m, q) AS e;
        IF reason IS NULL THEN
            SELECT e.* INTO reason, detail, earliest FROM @extschema@.wa_internal_explain_wait(m, q) AS e;
        END IF;
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_explain(id bigint)
RETURNS TABLE (message_id bigint, status text, reason text, explanation text, earliest timestamptz, remedy text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m @extschema@.whatsapp_messages;
BEGIN
    PERFORM @extschema@.wa_internal_check_not_null('id'::text, id);
    SELECT o.* INTO m FROM @extschema@.whatsapp_messages AS o WHERE o.id = wa_explain.id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'message % does not exist', id
            USING ERRCODE = 'undefined_object',
                  HINT = 'Finished messages are removed after whatsapp_shared.retention.';
    END IF;
    PERFORM @extschema@.wa_internal_check_own_tenant(m.tenant_id);
    /* Before more is called that could be somebody else's. */
    IF m.status IN ('queued', 'sending')
        AND (SELECT f.problem FROM @extschema@.wa_internal_ownership_flaw() AS f) IS NOT NULL THEN
        RETURN QUERY
            SELECT m.id, m.status, r.reason, r.meaning, NULL::timestamptz, r.remedy
            FROM @extschema@.wa_reason_codes AS r WHERE r.reason = 'ownership';
        RETURN;
    END IF;
    RETURN QUERY
        SELECT m.id, m.status, e.reason,
               CASE WHEN e.detail IS NULL THEN r.meaning
                    ELSE format('%s (%s)', rtrim(r.meaning, '.'), e.detail) || '.' END,
               e.earliest,
               COALESCE(e.remedy, r.remedy)
        FROM @extschema@.wa_internal_explain(m) AS e
            LEFT JOIN @extschema@.wa_reason_codes AS r ON r.reason = e.reason;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_explain(bigint) IS
'Why the message has its status: a reason code (see wa_reason_codes), the reason in words, when it can be sent at '
'the earliest (NULL: unknown), and what to do.';
/*
 * Tenants' own roles: what they see of messages, and which are bound to one
 * tenant.  wa_grant() makes them; see 99-privileges.
 */

/*
 * Being allowed to execute this function is what marks a role as a tenant's
 * own.  A mark of that kind survives pg_dump, which takes along the rights to
 * an extension's objects, but not policies made after CREATE EXTENSION.
 */
CREATE FUNCTION @extschema@.wa_internal_tenant_role() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT true
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_tenant_role() IS
'Whoever may execute this sees only the messages of the tenant that the role is bound to, or that '
'whatsapp_shared.tenant names. Granted by wa_grant(role, ''tenant''). Internal.';

/* Which roles are bound to which tenant; see src/base/tenant_role.c. */
CREATE TABLE @extschema@.whatsapp_tenant_roles (
    role      text COLLATE "C" PRIMARY KEY,
    role_oid  oid,
    tenant_id text COLLATE "C" NOT NULL,
    bound_at  timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE @extschema@.whatsapp_tenant_roles IS
'Roles that are bound to a tenant by wa_grant(role, ''tenant'', tenant_id).';
COMMENT ON COLUMN @extschema@.whatsapp_tenant_roles.role IS 'The role.';
COMMENT ON COLUMN @extschema@.whatsapp_tenant_roles.role_oid IS
'Its OID; found anew when a dump is restored. The binding holds for the role of this name and for that of this OID.';
COMMENT ON COLUMN @extschema@.whatsapp_tenant_roles.tenant_id IS 'The tenant.';
COMMENT ON COLUMN @extschema@.whatsapp_tenant_roles.bound_at IS 'When it was bound.';

CREATE FUNCTION @extschema@.wa_internal_find_bound_role() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.role_oid := (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = NEW.role);
    RETURN NEW;
END
$$;
CREATE TRIGGER whatsapp_tenant_roles_oid
    BEFORE INSERT ON @extschema@.whatsapp_tenant_roles
    FOR EACH ROW EXECUTE FUNCTION @extschema@.wa_internal_find_bound_role();
ALTER TABLE @extschema@.whatsapp_tenant_roles ENABLE ALWAYS TRIGGER whatsapp_tenant_roles_oid;

/*
 * Public, since policies call them as whoever reads the table.  They tell of the
 * session's own roles and nothing else.
 */
CREATE FUNCTION @extschema@.wa_internal_own_tenant() RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_own_tenant';
COMMENT ON FUNCTION @extschema@.wa_internal_own_tenant() IS
'The tenant whose messages a role with the privilege tenant sees: the one that the session''s roles are bound to, else '
'the one that whatsapp_shared.tenant names. Internal.';

CREATE FUNCTION @extschema@.wa_internal_sees_every_tenant() RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_sees_every_tenant';
COMMENT ON FUNCTION @extschema@.wa_internal_sees_every_tenant() IS
'Whether no role of the session is bound, and the one in force has not the privilege tenant. Internal.';

/*
 * One policy leaves everybody as the rights to the table say; the restrictive
 * one confines tenants' own roles.  The sub-selects are evaluated once a query.
 */
ALTER TABLE @extschema@.whatsapp_messages ENABLE ROW LEVEL SECURITY;

CREATE POLICY whatsapp_everybody ON @extschema@.whatsapp_messages USING (true);

CREATE POLICY whatsapp_own_tenant ON @extschema@.whatsapp_messages AS RESTRICTIVE
    USING ((SELECT @extschema@.wa_internal_sees_every_tenant())
           OR tenant_id OPERATOR(pg_catalog.=) (SELECT @extschema@.wa_internal_own_tenant()));

ALTER TABLE @extschema@.whatsapp_inbound_messages ENABLE ROW LEVEL SECURITY;

CREATE POLICY whatsapp_everybody ON @extschema@.whatsapp_inbound_messages USING (true);

CREATE POLICY whatsapp_own_tenant ON @extschema@.whatsapp_inbound_messages AS RESTRICTIVE
    USING ((SELECT @extschema@.wa_internal_sees_every_tenant())
           OR tenant_id OPERATOR(pg_catalog.=) (SELECT @extschema@.wa_internal_own_tenant()));
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
/*
 * Who may call what.  Nothing is public; wa_grant() gives a role one of five
 * sets of rights.  Roles are the administrator's: none is made here.
 */

/* What belongs to this extension and can be granted; settled: see wa_internal_settle_privileges(). */
CREATE FUNCTION @extschema@.wa_internal_grantable(
    OUT object_name text, OUT object text, OUT kind text, OUT is_table boolean, OUT owner oid, OUT acl aclitem[],
    OUT settled boolean)
RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT o.object_name, o.object, o.kind, o.is_table, o.owner, o.acl,
           EXISTS (SELECT FROM pg_init_privs AS i
                   WHERE i.classoid = o.classid AND i.objoid = o.oid AND i.objsubid = 0)
    FROM (SELECT p.tableoid, p.oid, p.proname, p.oid::regprocedure::text, 'ROUTINE', false, p.proowner, p.proacl
          FROM pg_proc AS p
          UNION ALL
          SELECT c.tableoid, c.oid, c.relname, c.oid::regclass::text,
                 CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.relkind <> 'S', c.relowner,
                 c.relacl
          FROM pg_class AS c
          WHERE c.relkind IN ('r', 'p', 'v', 'S')) AS o (classid, oid, object_name, object, kind, is_table, owner, acl)
        JOIN pg_depend AS d ON d.classid = o.classid AND d.objid = o.oid AND d.deptype = 'e'
        JOIN pg_extension AS e ON d.refclassid = e.tableoid AND d.refobjid = e.oid AND e.extname = 'whatsapp_shared'
$$;

/* ---- what each privilege consists of --------------------------------------------- */

/*
 * Every public function (with all its variants), table and view stands here
 * once, under the privileges that include it; "{}": nobody's but the owner's,
 * "{public}": everybody's, since policies call it as whoever reads the table.
 * EXECUTE on functions, SELECT on tables and views.
 *
 * Internal functions that a view calls are here, too: they run with the rights
 * of whoever reads it.
 */
CREATE FUNCTION @extschema@.wa_internal_privilege_list(OUT object_name text, OUT privileges text[])
RETURNS SETOF record
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT unnest(l.names), l.privileges
    FROM (VALUES
        /* applications */
        ('{admin,sender}'::text[], '{
            wa_enqueue_message, wa_enqueue_payload, wa_enqueue_text, wa_enqueue_media, wa_enqueue_interactive,
            wa_enqueue_location, wa_enqueue_contacts, wa_enqueue_reaction, wa_enqueue_bulk, wa_upload_media,
            wa_cancel_message, wa_opt_out, wa_opt_in, wa_notification_settings,
            wa_create_notification, wa_drop_notification, wa_retry_notification, wa_notifications,
            wa_internal_registration_state,
            whatsapp_notification_failures}'::text[]),
        ('{admin,sender,monitor}', '{wa_explain}'),
        ('{admin,sender,monitor,tenant}', '{wa_reason_codes, wa_error_codes, wa_internal_error_codes}'),
        ('{admin,tenant}', '{whatsapp_messages, whatsapp_inbound_messages}'),
        ('{public}', '{wa_internal_own_tenant, wa_internal_sees_every_tenant}'),
        /* The mark of a tenant's own role: an administrator must not have it. */
        ('{tenant}', '{wa_internal_tenant_role}'),

        /* people and programs that watch */
        ('{admin,monitor}', '{
            wa_health, wa_diagnose, wa_stats, wa_costs,
            wa_tenant_status, wa_number_status, wa_internal_number_health, wa_internal_number_rate,
            wa_queue_status, wa_free_numbers, whatsapp_alerts, whatsapp_pauses, whatsapp_sync}'),

        /* the gateway */
        ('{webhook}', '{wa_webhook_ingest, wa_webhook_challenge}'),

        /* administrators */
        ('{admin}', '{
            wa_configure_tenant, wa_assign_phone, wa_assign_all, wa_unassign_phone,
            wa_set_notification_settings, wa_import_settings,
            wa_register_template, wa_unregister_template, wa_sync_templates, wa_sync_phone_numbers,
            wa_pause, wa_resume, wa_resolve_alert, wa_retry_message, wa_resolve_message,
            wa_on_reply, wa_off_reply, wa_retry_reply, wa_adopt, wa_worker_restart}'),
        ('{admin}', '{
            whatsapp_tenants, whatsapp_phone_numbers, whatsapp_phone_assignments, whatsapp_templates,
            whatsapp_queue, whatsapp_leases, whatsapp_attempts, whatsapp_wamids, whatsapp_reach,
            whatsapp_media, whatsapp_media_uses, whatsapp_notifications, whatsapp_damage_policies,
            whatsapp_opt_outs, whatsapp_opt_words, whatsapp_contacts, whatsapp_windows, whatsapp_reply_handlers,
            whatsapp_account_events, whatsapp_parked_events, whatsapp_webhook_traffic,
            whatsapp_markets, whatsapp_prices, whatsapp_usage_days, whatsapp_usage_closed,
            whatsapp_late_deliveries, wa_delivered_messages, whatsapp_home,
            whatsapp_tenant_roles, whatsapp_installation}'),

        /* Superusers grant; wa_create_notification() attaches triggers. */
        ('{}', '{wa_grant, wa_revoke, wa_notify}')) AS l (privileges, names)
$$;

CREATE FUNCTION @extschema@.wa_internal_privilege_objects(
    privilege text, OUT object text, OUT kind text, OUT rights text, OUT acl aclitem[])
RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT g.object, g.kind, CASE WHEN g.is_table THEN 'SELECT' ELSE 'EXECUTE' END, g.acl
    FROM @extschema@.wa_internal_privilege_list() AS l
        JOIN @extschema@.wa_internal_grantable() AS g USING (object_name)
    WHERE privilege = ANY (l.privileges)
$$;

/* Whether the role has been given all of it, by name. */
CREATE FUNCTION @extschema@.wa_internal_holds_privilege(role name, privilege text) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT bool_and(EXISTS (
        SELECT FROM aclexplode(o.acl) AS a JOIN pg_roles AS r ON r.oid = a.grantee
        WHERE r.rolname = role AND a.privilege_type = o.rights))
    FROM @extschema@.wa_internal_privilege_objects(privilege) AS o
$$;

CREATE FUNCTION @extschema@.wa_internal_change_privilege(verb text, role name, privilege text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    command text;
BEGIN
    FOR command IN
        SELECT format('%s %s ON %s %s %s %I', verb, o.rights, o.kind, o.object,
            CASE verb WHEN 'GRANT' THEN 'TO' ELSE 'FROM' END, role)
        FROM @extschema@.wa_internal_privilege_objects(privilege) AS o
    LOOP
        EXECUTE command;
    END LOOP;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_check_privilege(role name, privilege text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_check_not_null('role'::text, role);
    PERFORM @extschema@.wa_internal_check_not_null('privilege'::text, privilege);
    IF NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = role) THEN
        RAISE EXCEPTION 'role "%" does not exist', @extschema@.wa_internal_quote(role::text)
            USING ERRCODE = 'undefined_object',
                  HINT = CASE WHEN EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = privilege)
                      THEN 'The arguments seem to be swapped: the role comes first, then the privilege.'
                      ELSE COALESCE(@extschema@.wa_internal_did_you_mean(role::text,
                               ARRAY(SELECT r.rolname::text FROM pg_roles AS r)),
                           'Roles are made by CREATE ROLE.') END;
    ELSIF privilege NOT IN ('admin', 'sender', 'monitor', 'webhook', 'tenant') THEN
        RAISE EXCEPTION 'unknown privilege "%"', @extschema@.wa_internal_quote(privilege)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Use admin, sender, monitor, webhook or tenant.';
    END IF;
END
$$;

/* ---- granting ------------------------------------------------------------------------ */

/*
 * Binds the role; a tenant that is NULL leaves it as it is.  What the other privileges
 * include looks at all tenants, but for sender's functions, which check the tenant.
 */
CREATE FUNCTION @extschema@.wa_internal_bind_role(role name, privilege text, tenant text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bound CONSTANT text := (
        SELECT b.tenant_id FROM @extschema@.whatsapp_tenant_roles AS b
        WHERE b.role = wa_internal_bind_role.role::text
            AND b.role_oid = (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = wa_internal_bind_role.role));
    wide CONSTANT text := (
        SELECT min(p.name) FROM unnest('{admin,monitor,webhook}'::text[]) AS p (name)
        WHERE @extschema@.wa_internal_holds_privilege(wa_internal_bind_role.role, p.name));
BEGIN
    IF tenant IS NOT NULL AND privilege <> 'tenant' THEN
        RAISE EXCEPTION 'only the privilege tenant can be granted for one tenant'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Bind the role with wa_grant(role, ''tenant'', tenant_id); that confines sender, too.';
    ELSIF bound <> tenant THEN
        RAISE EXCEPTION 'role "%" is bound to another tenant', role
            USING ERRCODE = 'duplicate_object', DETAIL = format('It is bound to "%s".', bound),
                  HINT = format('SELECT wa_revoke(%L, ''tenant''); ends that.', role);
    ELSIF bound IS NOT NULL AND privilege IN ('admin', 'monitor', 'webhook')
          OR tenant IS NOT NULL AND wide IS NOT NULL THEN
        RAISE EXCEPTION 'a role that is bound to a tenant cannot have the privilege %', COALESCE(wide, privilege)
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'What that includes concerns all tenants.', HINT = 'Use another role.';
    ELSIF tenant IS NOT NULL AND bound IS NULL THEN
        IF NOT EXISTS (SELECT FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = tenant) THEN
            PERFORM @extschema@.wa_internal_unknown_tenant(tenant);
        ELSIF (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = wa_internal_bind_role.role) THEN
            RAISE EXCEPTION 'a superuser cannot be bound to a tenant'
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        PERFORM @extschema@.wa_internal_unbind_role(role);
        INSERT INTO @extschema@.whatsapp_tenant_roles (role, tenant_id) VALUES (role, tenant);
    END IF;
END
$$;

/* Also what is left of another role of this name, or of this one under another name. */
CREATE FUNCTION @extschema@.wa_internal_unbind_role(role name) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM @extschema@.whatsapp_tenant_roles AS b
    WHERE b.role = $1::text OR b.role_oid = (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = $1)
$$;

CREATE FUNCTION @extschema@.wa_grant(role name, privilege text, tenant_id text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_check_privilege(role, privilege);
    PERFORM @extschema@.wa_internal_bind_role(role, privilege, tenant_id);
    EXECUTE format('GRANT USAGE ON SCHEMA @extschema@ TO %I', role);
    PERFORM @extschema@.wa_internal_change_privilege('GRANT'::text, role, privilege);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_grant(name, text, text) IS
'Grants a role one of five privileges: admin (all functions and tables for operators), sender (enqueue, cancel and '
'explain messages), monitor (status views, health, alerts), webhook (process webhooks), tenant (read the messages of '
'one tenant, and no others: the given one, to which the role is then bound, or else the one that '
'whatsapp_shared.tenant names). For superusers. Errors: 42710 bound to another tenant; 55000 a bound role can have '
'sender besides, and nothing else.';

CREATE FUNCTION @extschema@.wa_revoke(role name, privilege text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    others text[];
    other text;
BEGIN
    PERFORM @extschema@.wa_internal_check_privilege(role, privilege);
    /* The sets overlap: what the role keeps of another one is given back. */
    SELECT array_agg(p.name) INTO others
        FROM unnest('{admin,sender,monitor,webhook,tenant}'::text[]) AS p (name)
        WHERE p.name <> privilege AND (privilege <> 'admin' OR p.name = 'tenant')
            AND @extschema@.wa_internal_holds_privilege(role, p.name);
    PERFORM @extschema@.wa_internal_change_privilege('REVOKE'::text, role, privilege);
    IF privilege = 'tenant' THEN
        PERFORM @extschema@.wa_internal_unbind_role(role);
    END IF;
    FOREACH other IN ARRAY COALESCE(others, '{}') LOOP
        PERFORM @extschema@.wa_internal_change_privilege('GRANT'::text, role, other);
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_revoke(name, text) IS
'Revokes what wa_grant() granted; rights that another of the role''s privileges includes stay. USAGE on the schema '
'is left to the administrator.';

/* ---- installing -------------------------------------------------------------------- */

/*
 * Gives the tables, the views and the functions to their owner; sequences follow
 * their tables.  What superusers alone call stays a superuser's, so that it cannot
 * be changed by the owner: in the hands of a superuser it would do the change.
 *
 * This comes before privileges are settled, because what counts as the
 * extension's own (pg_init_privs) names owners, too.
 */
CREATE FUNCTION @extschema@.wa_internal_settle_ownership() RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    superusers_own CONSTANT text[] := '{
        wa_grant, wa_revoke, wa_internal_grantable, wa_internal_privilege_list, wa_internal_privilege_objects,
        wa_internal_holds_privilege, wa_internal_change_privilege, wa_internal_check_privilege,
        wa_internal_check_ownership, wa_internal_settle_ownership, wa_internal_settle_privileges,
        wa_internal_create_twins, wa_internal_mark_for_dump}';
    heir CONSTANT regrole := @extschema@.wa_internal_owner_to_be();
    command text;
BEGIN
    FOR command IN
        SELECT format('ALTER %s %s OWNER TO %s', g.kind, g.object, heir)
        FROM @extschema@.wa_internal_grantable() AS g
        WHERE g.kind <> 'SEQUENCE' AND g.owner <> heir AND g.object_name <> ALL (superusers_own)
    LOOP
        EXECUTE command;
    END LOOP;
    IF NOT has_schema_privilege(heir, '@extschema@'::regnamespace, 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA @extschema@ TO %s', heir);
    END IF;
    IF (SELECT r.rolsuper FROM pg_roles AS r WHERE r.oid = heir) THEN
        RAISE WARNING 'the senders will have the rights of role %, a superuser', heir
            USING HINT = 'Before CREATE EXTENSION, CREATE ROLE whatsapp NOLOGIN: they have that role''s rights then.';
    END IF;
END
$$;

/*
 * The last act of this script, and of an update script that has made objects:
 * gives them to their owner, takes them from everybody else (PUBLIC, but for what
 * policies call, and those to whom default privileges have given them), and gives
 * pg_monitor what the privilege monitor includes.  New are objects without initial
 * privileges (pg_init_privs), which this writes for all of them.
 *
 * Objects of earlier versions are left alone, and no other role is given
 * anything: what a script grants counts as the extension's own, and pg_dump
 * would leave it out, together with all that was granted on the object by hand.
 * So after an update wa_grant() is called again for each role.
 */
CREATE FUNCTION @extschema@.wa_internal_settle_privileges() RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fresh text[];
    command text;
BEGIN
    PERFORM @extschema@.wa_internal_settle_ownership();
    fresh := ARRAY(SELECT g.object FROM @extschema@.wa_internal_grantable() AS g WHERE NOT g.settled);
    FOR command IN
        SELECT format('REVOKE ALL ON %s %s FROM %s CASCADE', g.kind, g.object, r.role)
        FROM @extschema@.wa_internal_grantable() AS g
            CROSS JOIN LATERAL (
                SELECT 'PUBLIC'
                UNION
                SELECT a.grantee::regrole::text FROM aclexplode(g.acl) AS a
                WHERE a.grantee NOT IN (0, g.owner)) AS r (role)
        WHERE g.object = ANY (fresh)
        UNION ALL
        SELECT format('GRANT %s ON %s %s TO pg_monitor', o.rights, o.kind, o.object)
        FROM @extschema@.wa_internal_privilege_objects('monitor'::text) AS o WHERE o.object = ANY (fresh)
        UNION ALL
        SELECT format('GRANT %s ON %s %s TO PUBLIC', o.rights, o.kind, o.object)
        FROM @extschema@.wa_internal_privilege_objects('public'::text) AS o WHERE o.object = ANY (fresh)
    LOOP
        EXECUTE command;
    END LOOP;
    PERFORM @extschema@.wa_internal_check_ownership();
END
$$;

/* wa_grant() stands behind the others. */
SELECT @extschema@.wa_internal_create_twins();
SELECT @extschema@.wa_internal_settle_privileges();
