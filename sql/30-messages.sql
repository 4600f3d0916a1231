/*
 * Messages: what is sent, what became of it, and the functions that write,
 * cancel and repeat them.
 *
 * Two rules shape the tables.  No index covers a column of whatsapp_messages
 * that changes after the insert, not even in a predicate, so that every status
 * change is a HOT update.  (Erasing changes some, which is rare and no part of
 * sending.)  And a message that still has to be sent is a thin
 * row of whatsapp_queue (35-queue.sql), so that the claim never reads finished
 * history.
 */

/* What a constraint of a hot table calls instead of comparing words; see src/enqueue/checks.c. */
CREATE FUNCTION @extschema@.wa_internal_is_status(word text) RETURNS boolean
    LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_is_status';
COMMENT ON FUNCTION @extschema@.wa_internal_is_status(text) IS
'Whether this is a status of a message: queued, sending, accepted, sent, delivered, read, failed, uncertain, '
'cancelled, expired or skipped. Internal.';

CREATE FUNCTION @extschema@.wa_internal_may_be_retried(status text) RETURNS boolean
    LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_may_be_retried';
COMMENT ON FUNCTION @extschema@.wa_internal_may_be_retried(text) IS
'Whether wa_retry_message() may queue a message of this status again. Internal.';

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
    errors              jsonb,
    pricing_model       text,
    conversation_id     text,
    conversation_origin text,
    conversation_ends_at timestamptz,
    erased_at           timestamptz,
    CONSTRAINT whatsapp_messages_recipient_check
        CHECK (recipient_phone IS NOT NULL OR recipient_user_id IS NOT NULL)
) WITH (fillfactor = 45,
        autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1,
        autovacuum_analyze_scale_factor = 0.05);
CREATE UNIQUE INDEX whatsapp_messages_idempotency_key
    ON @extschema@.whatsapp_messages (tenant_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX whatsapp_messages_tenant_idx ON @extschema@.whatsapp_messages (tenant_id, created_at);
/*
 * For wa_find().  By bytes, which no other version of a collation can change, and
 * with the ID, so that the newest of 100,000 to one recipient are found at once.
 */
CREATE INDEX whatsapp_messages_reference_idx
    ON @extschema@.whatsapp_messages (reference pg_catalog.text_pattern_ops, id) WHERE reference IS NOT NULL;
CREATE INDEX whatsapp_messages_recipient_idx ON @extschema@.whatsapp_messages (recipient_phone, id);
/* Neither column changes once a message is written, so updates of it remain HOT. */
CREATE INDEX whatsapp_messages_user_id_idx ON @extschema@.whatsapp_messages (recipient_user_id, id)
    WHERE recipient_phone IS NULL;
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
COMMENT ON COLUMN @extschema@.whatsapp_messages.errors IS
'All errors of the status that says it failed, as Meta sent them.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.pricing_model IS
'Meta''s pricing model, from the status webhook: PMP (by message) or CBP (by conversation).';
COMMENT ON COLUMN @extschema@.whatsapp_messages.conversation_id IS
'Meta''s ID of the conversation that it belongs to; in webhooks up to v23.0, and after an advertisement.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.conversation_origin IS
'What opened that conversation: utility, service, referral_conversion …';
COMMENT ON COLUMN @extschema@.whatsapp_messages.conversation_ends_at IS 'When that conversation ends.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.erased_at IS
'When its content and its recipient were erased: see wa_erase_person(). Of the recipient the calling code is left, or '
'the country of the user ID.';

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
'Queues a template message in this transaction and returns its ID; it is sent after COMMIT. recipient_phone: a phone '
'number with + and country code, or a business-scoped user ID, also one of the parent portfolio; authentication '
'templates (22023) need a number. parameters: an array of '
'the body''s values, an object of its named values, or an object with any of header, body and buttons. language: as '
'approved by Meta; NULL takes the tenant''s, then whatsapp_shared.default_language. scheduled_at: not sent before; '
'expires_at: not sent after. priority (-1000 to 1000): each point is a head start of ten minutes; from 100 on quiet '
'hours do not hold the message. idempotency_key: a second message of the tenant with the same key is not written, '
'and the first one''s ID is returned. reference: the application''s own name for the occasion. on_uncertain: auto, '
'resend, park or fail. Without a number the message waits; if the tenant is switched off or the recipient has opted '
'out, it is stored as skipped. Errors: 22004 a required argument is NULL; 22023 bad recipient, time, priority, key, '
'or parameters that do not fit the template; 42704 unknown tenant, template or language; 55000 template not '
'approved.';

CREATE FUNCTION @extschema@.wa_enqueue_reply(
    inbound_id      bigint,
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
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_enqueue_reply';

COMMENT ON FUNCTION @extschema@.wa_enqueue_reply(bigint, text, jsonb, text, timestamptz, timestamptz, integer, text,
    text, text) IS
'Queues a template message as a reply to a customer''s message, which the customer sees quoted: from its tenant to '
'its sender. Also when the service window has closed, unlike the free-form functions with context_message_id. Other '
'arguments and errors as in wa_enqueue_message(); also 42704 unknown inbound_id, or of another tenant; 55000 no '
'tenant had the number.';

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
'Queues one template for many recipients and returns the IDs in their order. recipients: an array of phone numbers '
'or user IDs, '
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
