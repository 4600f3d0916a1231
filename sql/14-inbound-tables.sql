/*
 * What Meta sends back: messages from customers, who they are, and whatever
 * could not be used at once.
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
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.sender_phone IS
'In international form with +; NULL for a customer who hides it behind a user name.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.text IS
'What a person would read: the text, the caption of media, the title of the button pressed.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.payload IS
'The message as Meta sent it.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.message_id IS
'Our message that this one replies to.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.reply_id IS
'The payload of the button, or the id of the row, that was chosen.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.handler_error IS
'Why the handler registered with wa_on_reply() failed; wa_retry_reply(inbound_id) calls it again.';

/*
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
'Customers who have written or were written to, as webhooks name them: number (wa_id, digits only), business-scoped user id, name. Either identity may be unknown. Kept for whatsapp_shared.retention after they were last seen.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.last_seen_at IS
'When a webhook last named them: to within an hour if they wrote, a month if they were only written to.';

CREATE TABLE @extschema@.whatsapp_opt_words (
    language text NOT NULL,
    word     text NOT NULL
        CONSTRAINT whatsapp_opt_words_word_check CHECK (word <> ''),
    action   text NOT NULL
        CONSTRAINT whatsapp_opt_words_action_check CHECK (action IN ('out', 'in', 'none')),
    PRIMARY KEY (word, language)
);
COMMENT ON TABLE @extschema@.whatsapp_opt_words IS
'Words by which a customer stops (out) or resumes (in) messages; none switches a word off that is shipped. They count if they are the whole message; case, accents, spaces around and punctuation behind do not matter.';

CREATE TABLE @extschema@.whatsapp_reply_handlers (
    prefix        text COLLATE "C" PRIMARY KEY
        CONSTRAINT whatsapp_reply_handlers_prefix_check CHECK (prefix <> ''),
    handler       text NOT NULL,
    registered_by name NOT NULL,
    search_path   text NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE @extschema@.whatsapp_reply_handlers IS
'Functions called when a customer presses a button or chooses from a list, by the beginning of the reply''s payload. Made by wa_on_reply().';
COMMENT ON COLUMN @extschema@.whatsapp_reply_handlers.search_path IS
'That of the session which registered the handler; it is called with the same.';

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
'Parts of webhooks that could not be used, with the reason. Statuses are tried again when their message becomes known. Kept for whatsapp_shared.retention.';
COMMENT ON COLUMN @extschema@.whatsapp_parked_events.body IS
'A whole request whose signature was right but which is no JSON that can be stored.';

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
COMMENT ON COLUMN @extschema@.whatsapp_account_events.received_at IS
'When it was received; for errors of the field messages, which carry no time, when it last counted.';
COMMENT ON COLUMN @extschema@.whatsapp_account_events.key IS
'What it is about, where that can be told: a template, a phone number, a customer, a part of the account.';

/* When webhooks last came: what tells silence from an outage. */
CREATE TABLE @extschema@.whatsapp_webhook_traffic (
    phone_number_id text COLLATE "C" PRIMARY KEY,
    last_webhook_at timestamptz NOT NULL,
    last_status_at  timestamptz,
    last_inbound_at timestamptz
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE @extschema@.whatsapp_webhook_traffic IS
'For each number, when the last webhook was received, to within a second, and when it last brought a status or a message. The empty number stands for the account''s own events.';
