/*
 * Writing messages.  The functions run their statements as the owner of the
 * tables, see src/enqueue.c; who may call them is decided by wa_grant().
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
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wa_enqueue_message';

CREATE FUNCTION @extschema@.wa_enqueue_message(
    tenant_id       anyelement,
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
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wa_enqueue_message';

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
    on_uncertain        text DEFAULT NULL)
RETURNS bigint
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'wa_enqueue_payload';
