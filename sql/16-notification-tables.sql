/*
 * Notifications that triggers on the application's tables send.
 *
 * Nothing here refers to those tables by OID, nor to roles: a dump of this
 * database, whole or in part, can be restored in any order.  Which table a
 * notification is attached to is known from its trigger alone, which has the
 * notification's id as an argument.
 */

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
    search_path     text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE @extschema@.whatsapp_notifications IS
'What the triggers made by wa_create_notification() send. A session reads a row once: change it with wa_drop_notification() and wa_create_notification(). Read wa_notifications instead.';
COMMENT ON COLUMN @extschema@.whatsapp_notifications.notification_id IS
'What the trigger knows it by: random, so that a trigger restored without this row never sends what another notification says.';
COMMENT ON COLUMN @extschema@.whatsapp_notifications.relation IS
'The table''s name when the notification was made; part of its idempotency keys.';
COMMENT ON COLUMN @extschema@.whatsapp_notifications.registered_by IS
'The role that made it. Its expressions run as this role, or as the table''s owner if the role is a superuser.';

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
    failed_at       timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX whatsapp_notification_failures_idx
    ON @extschema@.whatsapp_notification_failures (notification_id, failed_at);
COMMENT ON TABLE @extschema@.whatsapp_notification_failures IS
'Messages that notifications should have sent and could not, each with the reason. wa_retry_notification() tries one again. Kept for whatsapp_shared.retention. Those who are no administrators see the failures of tables that they own, or owned then.';
COMMENT ON COLUMN @extschema@.whatsapp_notification_failures.table_owner IS
'The role that owned the table then: what the row says was its own.';
COMMENT ON COLUMN @extschema@.whatsapp_notification_failures.row_key IS
'The primary key of the row, its columns in the order of the table and separated by commas; NULL if the table has none.';
COMMENT ON COLUMN @extschema@.whatsapp_notification_failures.row_id IS
'The same by column, for wa_retry_notification().';
COMMENT ON COLUMN @extschema@.whatsapp_notification_failures.old_row IS
'What the row was before the update, for expressions over OLD; long values that are stored out of line are left out.';
