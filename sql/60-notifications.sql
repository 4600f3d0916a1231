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
            ORDER BY f.failure_id LIMIT batch FOR UPDATE SKIP LOCKED) AS o
        WHERE o.failed_at < now() - keep);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$$;
