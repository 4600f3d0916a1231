/*
 * The tables of the core: who sends (tenants, numbers, assignments), what is
 * sent (messages, queue) and what stands in the way (pauses, alerts).
 *
 * Two rules shape them.  No index covers a column of whatsapp_messages that
 * changes after the insert, not even in a predicate, so that every status
 * change is a HOT update.  And a message that still has to be sent is a thin
 * row of whatsapp_queue, so that the claim never reads finished history.
 */

/* ---- installation ------------------------------------------------------ */

CREATE TABLE @extschema@.whatsapp_installation (
    singleton         boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    installation_id   text NOT NULL,
    system_identifier bigint NOT NULL,
    database_oid      oid NOT NULL,
    adopted_at        timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE @extschema@.whatsapp_installation IS
'One row: the cluster and database this data belongs to. A copy restored elsewhere differs from it and does not send until wa_adopt() is called.';
COMMENT ON COLUMN @extschema@.whatsapp_installation.installation_id IS
'Eight hexadecimal digits that travel in biz_opaque_callback_data, so that webhooks of another installation on the same WhatsApp Business account are recognised as foreign.';

/* ---- tenants, numbers, assignments ------------------------------------- */

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
        CHECK (on_uncertain IN ('auto', 'resend', 'park', 'fail')),
    retention           interval
        CONSTRAINT whatsapp_tenants_retention_check CHECK (retention >= interval '0'),
    created_at          timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at          timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT whatsapp_tenants_quiet_hours_check CHECK ((quiet_from IS NULL) = (quiet_to IS NULL))
);
COMMENT ON TABLE @extschema@.whatsapp_tenants IS
'The tenants that may send, with their own settings; NULL means the installation''s default.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.daily_share IS
'Guaranteed share (0 to 1) of the portfolio''s limit of unique recipients per moving 24 hours.';

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
'The phone numbers of the WhatsApp Business account, as entered by hand or read from Meta.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.messages_per_second IS
'The operator''s own rate for this number; NULL follows throughput_level, else the setting whatsapp_shared.messages_per_second.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.rate_factor IS
'What the rate is multiplied with, below 1 while rate_reason holds; see whatsapp_damage_policies.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.rate_reason IS
'Why the rate is lowered: quality_yellow, quality_red, number_flagged or limit_lowered; NULL if it is not.';
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.limit_lowered_from IS
'The messaging limit from which Meta has lowered it, until it is reached again.';

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
'Who had which number, and when. The current assignment has no unassigned_at; two unique indexes make it exclusive both ways.';

/* ---- messages and the queue -------------------------------------------- */

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
'Every message, its content and what became of it. Kept for whatsapp_shared.retention after it is finished.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.phone_number_id IS
'The number it was, or is to be, sent from; NULL while the tenant has none.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.payload IS
'The Graph API object that stands under the key named by message_type, as Meta receives it.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.status IS
'queued, sending (on the wire for longer than a moment), accepted by Meta, sent, delivered, read; or failed, uncertain, cancelled, expired, skipped. wa_explain(id) says why.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.status_reason IS
'A reason code where the status alone does not say it, such as tenant_disabled for a skipped message.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.attempts IS
'Requests that were begun for this message. Waiting for a rate limit or a pause is not an attempt.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.reference IS
'The application''s own name for the occasion, such as a purchase order number; returned with replies.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.whatsapp_message_id IS
'Meta''s id of the message (wamid), known from its acceptance on.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.error_code IS
'Graph API error code of the last failure; meaning and remedy in wa_error_codes. Negative for failures of our own connection.';
COMMENT ON COLUMN @extschema@.whatsapp_messages.finished_at IS
'When no further sending can follow; retention counts from here.';

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
'One thin row for each message that may still have to be sent. Internal: read wa_queue_status and wa_explain() instead.';

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

/* Where a reply (context.id) or a status without our own data is looked up. */
CREATE TABLE @extschema@.whatsapp_wamids (
    whatsapp_message_id text COLLATE "C" NOT NULL,
    message_id          bigint NOT NULL
);
CREATE INDEX whatsapp_wamids_idx ON @extschema@.whatsapp_wamids USING hash (whatsapp_message_id);
CREATE INDEX whatsapp_wamids_message_idx ON @extschema@.whatsapp_wamids USING brin (message_id);
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
    ended_at      timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX whatsapp_attempts_message_idx ON @extschema@.whatsapp_attempts (message_id);
CREATE INDEX whatsapp_attempts_ended_idx ON @extschema@.whatsapp_attempts USING brin (ended_at);
COMMENT ON TABLE @extschema@.whatsapp_attempts IS
'Attempts that did not end in acceptance: what was tried and what came back.';

/* ---- what stands in the way --------------------------------------------- */

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
'What is paused now, why and until when (NULL: until wa_resume, or until the event that lifts it). The key is empty for the account, else a phone_number_id, a tenant_id, or template name/language.';

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
'What an operator should look at. An open alert is counted up instead of repeated; each new one is also sent as NOTIFY whatsapp_alerts.';

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
'The state of each synchronisation with Meta: when it was asked for, when it last ran, what it found.';
