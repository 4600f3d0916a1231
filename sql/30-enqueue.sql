/*
 * Writing messages.
 *
 * The functions run their statements as the owner of the tables (src/base/owner.c);
 * who may call them is decided by wa_grant().  Each exists twice, for a tenant
 * id of type text and for one of any other type.
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
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_enqueue_message';
COMMENT ON FUNCTION @extschema@.wa_enqueue_message(text, text, text, jsonb, text, timestamptz, timestamptz, integer, text, text, text) IS
'Queues a template message in this transaction and returns its id; it is sent after COMMIT. parameters: an array of the body''s values, an object of its named values, or an object with any of header, body and buttons. language: as approved by Meta; NULL takes the tenant''s, then whatsapp_shared.default_language. scheduled_at: not before; expires_at: not after. priority (-1000 to 1000): each point is a head start of ten minutes; from 100 on it also passes quiet hours. idempotency_key: a second message of the tenant with the same key is not written, the first one''s id is returned. reference: the application''s own name for the occasion. on_uncertain: auto, resend, park or fail. Errors: 22004 a needed argument is NULL; 22023 bad recipient, time, priority, key, or parameters that do not fit the template; 42704 unknown tenant, template or language; 55000 template not approved. Without a number the message waits; if the tenant is switched off or the recipient has opted out it is stored as skipped.';
COMMENT ON FUNCTION @extschema@.wa_enqueue_message(anyelement, text, text, jsonb, text, timestamptz, timestamptz, integer, text, text, text) IS
'The same for a tenant id of another type than text.';

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

CREATE FUNCTION @extschema@.wa_enqueue_payload(
    tenant_id           anyelement,
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
COMMENT ON FUNCTION @extschema@.wa_enqueue_payload(text, text, text, jsonb, timestamptz, timestamptz, integer, text, text, text, text, text, jsonb) IS
'Queues a message of any type of Meta''s API: payload is the object that stands under the key type there. Types with known limits are checked against them. Outside the 24-hour window (not checked as long as no customer''s message has ever arrived by webhook) only type template is possible; fallback_template and fallback_parameters name what to send instead. context_message_id: the wamid of the message replied to. The other arguments, and errors, as in wa_enqueue_message(); 54000 for a payload above 128 kB, 55000 if the window is closed.';
COMMENT ON FUNCTION @extschema@.wa_enqueue_payload(anyelement, text, text, jsonb, timestamptz, timestamptz, integer, text, text, text, text, text, jsonb) IS
'The same for a tenant id of another type than text.';

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

CREATE FUNCTION @extschema@.wa_enqueue_text(
    tenant_id           anyelement,
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
COMMENT ON FUNCTION @extschema@.wa_enqueue_text(text, text, text, boolean, timestamptz, timestamptz, integer, text, text, text, text, text, jsonb) IS
'Queues a text of up to 4096 characters. Possible for 24 hours after the recipient has written to the tenant''s number; otherwise error 55000, unless fallback_template names a template to send instead. The other arguments as in wa_enqueue_message() and wa_enqueue_payload().';
COMMENT ON FUNCTION @extschema@.wa_enqueue_text(anyelement, text, text, boolean, timestamptz, timestamptz, integer, text, text, text, text, text, jsonb) IS
'The same for a tenant id of another type than text.';

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

CREATE FUNCTION @extschema@.wa_enqueue_media(
    tenant_id           anyelement,
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
COMMENT ON FUNCTION @extschema@.wa_enqueue_media(text, text, text, text, text, text, text, boolean, bigint, timestamptz, timestamptz, integer, text, text, text, text, text, jsonb) IS
'Queues an image, video, audio, document or sticker, by link, by Meta''s media id, or by the id that wa_upload_media() gave it (media); then the message waits until the file is uploaded, for the reason media_upload, and fails if that fails. caption (up to 1024 characters): not for audio and stickers; filename: documents only; voice: audio only, makes it a voice note. Otherwise as wa_enqueue_text().';
COMMENT ON FUNCTION @extschema@.wa_enqueue_media(anyelement, text, text, text, text, text, text, boolean, bigint, timestamptz, timestamptz, integer, text, text, text, text, text, jsonb) IS
'The same for a tenant id of another type than text.';

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

CREATE FUNCTION @extschema@.wa_enqueue_interactive(
    tenant_id           anyelement,
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
COMMENT ON FUNCTION @extschema@.wa_enqueue_interactive(text, text, jsonb, timestamptz, timestamptz, integer, text, text, text, text, text, jsonb) IS
'Queues an interactive message: the object that stands under "interactive" in Meta''s API. Reply buttons, lists and cta_url are checked against Meta''s limits, other kinds are passed on. Otherwise as wa_enqueue_text().';
COMMENT ON FUNCTION @extschema@.wa_enqueue_interactive(anyelement, text, jsonb, timestamptz, timestamptz, integer, text, text, text, text, text, jsonb) IS
'The same for a tenant id of another type than text.';

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

CREATE FUNCTION @extschema@.wa_enqueue_location(
    tenant_id           anyelement,
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
COMMENT ON FUNCTION @extschema@.wa_enqueue_location(text, text, double precision, double precision, text, text, timestamptz, timestamptz, integer, text, text, text, text, text, jsonb) IS
'Queues a location. Otherwise as wa_enqueue_text().';
COMMENT ON FUNCTION @extschema@.wa_enqueue_location(anyelement, text, double precision, double precision, text, text, timestamptz, timestamptz, integer, text, text, text, text, text, jsonb) IS
'The same for a tenant id of another type than text.';

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

CREATE FUNCTION @extschema@.wa_enqueue_contacts(
    tenant_id           anyelement,
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
COMMENT ON FUNCTION @extschema@.wa_enqueue_contacts(text, text, jsonb, timestamptz, timestamptz, integer, text, text, text, text, text, jsonb) IS
'Queues contact cards: an array of 1 to 257 objects as in Meta''s API, each with name.formatted_name and at least one part of the name. Otherwise as wa_enqueue_text().';
COMMENT ON FUNCTION @extschema@.wa_enqueue_contacts(anyelement, text, jsonb, timestamptz, timestamptz, integer, text, text, text, text, text, jsonb) IS
'The same for a tenant id of another type than text.';

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

CREATE FUNCTION @extschema@.wa_enqueue_reaction(
    tenant_id           anyelement,
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
COMMENT ON FUNCTION @extschema@.wa_enqueue_reaction(text, text, text, text, timestamptz, timestamptz, integer, text, text, text, text, text, jsonb) IS
'Queues a reaction to the message with this wamid; an empty emoji takes it back. Otherwise as wa_enqueue_text().';
COMMENT ON FUNCTION @extschema@.wa_enqueue_reaction(anyelement, text, text, text, timestamptz, timestamptz, integer, text, text, text, text, text, jsonb) IS
'The same for a tenant id of another type than text.';

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

CREATE FUNCTION @extschema@.wa_enqueue_bulk(
    tenant_id       anyelement,
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
COMMENT ON FUNCTION @extschema@.wa_enqueue_bulk(text, text, jsonb, jsonb, text, timestamptz, timestamptz, integer, text, text, text) IS
'Queues one template for many recipients and returns the ids in their order. recipients: an array of phone numbers, or of objects with to (or recipient_phone), parameters, reference and idempotency_key, which override the common ones. With an idempotency_key for the whole call, each message''s key is that, a colon and the recipient. One bad entry refuses all; the error names it. Otherwise as wa_enqueue_message().';
COMMENT ON FUNCTION @extschema@.wa_enqueue_bulk(anyelement, text, jsonb, jsonb, text, timestamptz, timestamptz, integer, text, text, text) IS
'The same for a tenant id of another type than text.';

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
