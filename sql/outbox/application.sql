/*
 * whatsapp_shared where the server loads no foreign library: the part that lives in the application's database.
 *
 * Plain SQL for PostgreSQL 14 and later, run by the owner of the database; no superuser, no extension:
 *
 *     psql -f application.sql "service=app"
 *
 * Enqueueing writes a row of an outbox, in the caller's transaction.  A small PostgreSQL beside it (sidecar.sql) has
 * the extension: it receives the rows by logical replication, sends, and returns what became of them.  The guide is
 * docs/managed.md.
 *
 * Three schemas: "whatsapp" is what the application sees; "whatsapp_outbox" has what travels between the two servers
 * and is the same on both; "whatsapp_sidecar" has copies of the extension's tables.
 *
 * Run again it brings the functions up to date and leaves the data alone.
 */

BEGIN;

/* Somebody else's schema could contain functions that ours would call. */
DO $$
DECLARE
    foreign_schema name;
BEGIN
    SELECT nspname INTO foreign_schema FROM pg_catalog.pg_namespace
    WHERE nspname IN ('whatsapp', 'whatsapp_outbox', 'whatsapp_sidecar')
        AND NOT pg_catalog.pg_has_role(current_user, nspowner, 'MEMBER');
    IF foreign_schema IS NOT NULL THEN
        RAISE EXCEPTION 'schema "%" belongs to another role', foreign_schema USING ERRCODE = 'insufficient_privilege',
            HINT = 'Run this as its owner, or drop it.';
    END IF;
    IF pg_catalog.current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'the encoding of the database is %, and must be UTF8',
            pg_catalog.current_setting('server_encoding')
            USING ERRCODE = 'feature_not_supported';
    END IF;
    IF EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'whatsapp_shared') THEN
        RAISE EXCEPTION 'this database has the extension whatsapp_shared itself'
            USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'This file is for databases that cannot have it.';
    END IF;
END
$$;

CREATE SCHEMA IF NOT EXISTS whatsapp;
CREATE SCHEMA IF NOT EXISTS whatsapp_outbox;
CREATE SCHEMA IF NOT EXISTS whatsapp_sidecar;
REVOKE ALL ON SCHEMA whatsapp, whatsapp_outbox, whatsapp_sidecar FROM PUBLIC;
COMMENT ON SCHEMA whatsapp IS 'WhatsApp messages: what the application calls and reads.';
COMMENT ON SCHEMA whatsapp_outbox IS 'What travels between the application''s database and the sidecar.';
COMMENT ON SCHEMA whatsapp_sidecar IS 'Copies of the sidecar''s tables.';

/* ---- tables: what goes out --------------------------------------------------------------------------------- */

CREATE TABLE IF NOT EXISTS whatsapp_outbox.outbox (
    key             uuid DEFAULT pg_catalog.gen_random_uuid()
        CONSTRAINT outbox_pkey PRIMARY KEY,
    id              bigint GENERATED ALWAYS AS IDENTITY,
    kind            text NOT NULL,
    tenant_id       text COLLATE "C" NOT NULL,
    idempotency_key text COLLATE "C",
    args            jsonb NOT NULL,
    bulk            boolean NOT NULL DEFAULT false,
    created_at      timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE UNIQUE INDEX IF NOT EXISTS outbox_idempotency_key
    ON whatsapp_outbox.outbox (tenant_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS outbox_id_idx ON whatsapp_outbox.outbox (id);
CREATE INDEX IF NOT EXISTS outbox_created_idx ON whatsapp_outbox.outbox (created_at, key);
COMMENT ON TABLE whatsapp_outbox.outbox IS
'Messages that were enqueued here, one a row, written by the functions wa_enqueue_…() of the schema whatsapp. The '
'sidecar deletes rows that have a result, a week after they were written.';
COMMENT ON COLUMN whatsapp_outbox.outbox.key IS
'What the sidecar knows the message by. Random, because numbers are used again after a failover.';
COMMENT ON COLUMN whatsapp_outbox.outbox.id IS 'What the enqueue functions return.';
COMMENT ON COLUMN whatsapp_outbox.outbox.kind IS 'The function that wrote it: message for wa_enqueue_message() …';
COMMENT ON COLUMN whatsapp_outbox.outbox.tenant_id IS 'The tenant that the message is sent for.';
COMMENT ON COLUMN whatsapp_outbox.outbox.idempotency_key IS 'The caller''s key; unique for the tenant.';
COMMENT ON COLUMN whatsapp_outbox.outbox.args IS 'The function''s other arguments, by name; what was left out is '
'left out.';
COMMENT ON COLUMN whatsapp_outbox.outbox.bulk IS
'Written by wa_enqueue_bulk(): such rows have a stream of their own, so that a mailing does not hold up the others.';
COMMENT ON COLUMN whatsapp_outbox.outbox.created_at IS 'When it was written.';

/* ---- tables: what comes back ---------------------------------------------------------------------------------- */

CREATE TABLE IF NOT EXISTS whatsapp_outbox.result (
    key             uuid CONSTRAINT result_pkey PRIMARY KEY,
    outbox_id       bigint NOT NULL,
    tenant_id       text COLLATE "C" NOT NULL,
    idempotency_key text COLLATE "C",
    outcome         text NOT NULL
        CONSTRAINT result_outcome_check CHECK (outcome IN ('enqueued', 'rejected', 'expired')),
    message_id      bigint,
    sqlstate        text,
    message         text,
    detail          text,
    hint            text,
    source          text NOT NULL,
    taken_at        timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS result_message_idx ON whatsapp_outbox.result (message_id);
CREATE INDEX IF NOT EXISTS result_idempotency_idx
    ON whatsapp_outbox.result (tenant_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS result_taken_idx ON whatsapp_outbox.result (taken_at);
COMMENT ON TABLE whatsapp_outbox.result IS
'What the sidecar did with each row of the outbox. It is written there; here is a copy.';
COMMENT ON COLUMN whatsapp_outbox.result.key IS 'The key of the outbox''s row.';
COMMENT ON COLUMN whatsapp_outbox.result.outbox_id IS 'Its ID. After a failover an ID may have been used twice; a '
'key is not.';
COMMENT ON COLUMN whatsapp_outbox.result.tenant_id IS 'Its tenant.';
COMMENT ON COLUMN whatsapp_outbox.result.idempotency_key IS 'The caller''s idempotency key.';
COMMENT ON COLUMN whatsapp_outbox.result.outcome IS
'enqueued: it is a message now; rejected: the call was wrong, and why; expired: expires_at had passed when it arrived.';
COMMENT ON COLUMN whatsapp_outbox.result.message_id IS 'The message at the sidecar; NULL: it became none.';
COMMENT ON COLUMN whatsapp_outbox.result.sqlstate IS 'The error, as the extension''s function would have raised it.';
COMMENT ON COLUMN whatsapp_outbox.result.message IS 'Its text.';
COMMENT ON COLUMN whatsapp_outbox.result.detail IS 'Its DETAIL.';
COMMENT ON COLUMN whatsapp_outbox.result.hint IS 'Its HINT.';
COMMENT ON COLUMN whatsapp_outbox.result.source IS 'How it came to the sidecar: stream (replication) or '
'reconciliation.';
COMMENT ON COLUMN whatsapp_outbox.result.taken_at IS 'When, by the sidecar''s clock.';

/* The columns of the extension's tables that are of use here; sidecar.sql publishes the same ones. */
CREATE TABLE IF NOT EXISTS whatsapp_sidecar.whatsapp_messages (
    id                  bigint CONSTRAINT whatsapp_messages_pkey PRIMARY KEY,
    tenant_id           text COLLATE "C" NOT NULL,
    phone_number_id     text,
    recipient_phone     text,
    recipient_user_id   text,
    recipient_wa_id     text,
    message_type        text NOT NULL,
    template_name       text,
    template_language   text,
    status              text NOT NULL,
    status_reason       text,
    attempts            smallint NOT NULL,
    priority            smallint NOT NULL,
    reference           text,
    whatsapp_message_id text COLLATE "C",
    error_code          integer,
    error_message       text,
    pricing_category    text,
    billable            boolean,
    created_at          timestamptz NOT NULL,
    scheduled_at        timestamptz NOT NULL,
    expires_at          timestamptz,
    accepted_at         timestamptz,
    sent_at             timestamptz,
    delivered_at        timestamptz,
    read_at             timestamptz,
    played_at           timestamptz,
    failed_at           timestamptz,
    finished_at         timestamptz
) WITH (fillfactor = 60);
CREATE INDEX IF NOT EXISTS whatsapp_messages_created_idx ON whatsapp_sidecar.whatsapp_messages USING brin (created_at)
    WITH (pages_per_range = 32);
CREATE INDEX IF NOT EXISTS whatsapp_messages_tenant_idx ON whatsapp_sidecar.whatsapp_messages (tenant_id, created_at);
COMMENT ON TABLE whatsapp_sidecar.whatsapp_messages IS
'Copy of the sidecar''s whatsapp_messages without contents. The view whatsapp.whatsapp_messages shows it together with '
'what has not arrived there yet.';

CREATE TABLE IF NOT EXISTS whatsapp_sidecar.whatsapp_inbound_messages (
    inbound_id          bigint CONSTRAINT whatsapp_inbound_messages_pkey PRIMARY KEY,
    whatsapp_message_id text COLLATE "C" NOT NULL,
    tenant_id           text COLLATE "C",
    phone_number_id     text NOT NULL,
    sender_phone        text,
    sender_user_id      text,
    message_type        text NOT NULL,
    text                text,
    context_whatsapp_message_id text,
    message_id          bigint,
    reply_id            text,
    reply_title         text,
    sent_at             timestamptz NOT NULL,
    too_old             boolean NOT NULL,
    received_at         timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS whatsapp_inbound_messages_tenant_idx
    ON whatsapp_sidecar.whatsapp_inbound_messages (tenant_id, received_at);
COMMENT ON TABLE whatsapp_sidecar.whatsapp_inbound_messages IS
'Copy of the sidecar''s whatsapp_inbound_messages: what customers wrote and which buttons they pressed. A trigger of '
'the application must be enabled with ALTER TABLE … ENABLE ALWAYS TRIGGER, since a subscription writes here.';

CREATE TABLE IF NOT EXISTS whatsapp_sidecar.whatsapp_opt_outs (
    tenant_id  text COLLATE "C" NOT NULL,
    recipient  text COLLATE "C" NOT NULL,
    category   text NOT NULL,
    source     text NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT whatsapp_opt_outs_pkey PRIMARY KEY (tenant_id, recipient, category)
);
COMMENT ON TABLE whatsapp_sidecar.whatsapp_opt_outs IS
'Copy of the sidecar''s whatsapp_opt_outs: who wants no messages.';

CREATE TABLE IF NOT EXISTS whatsapp_sidecar.whatsapp_templates (
    name             text COLLATE "C" NOT NULL,
    language         text COLLATE "C" NOT NULL,
    category         text NOT NULL,
    status           text NOT NULL,
    quality          text,
    rejected_reason  text,
    parameter_format text NOT NULL,
    components       jsonb NOT NULL,
    missing_since    timestamptz,
    updated_at       timestamptz NOT NULL,
    CONSTRAINT whatsapp_templates_pkey PRIMARY KEY (name, language)
);
COMMENT ON TABLE whatsapp_sidecar.whatsapp_templates IS 'Copy of the sidecar''s whatsapp_templates.';

/*
 * A row that is here already is replaced: a subscription stops at the first duplicate, and there are some after the
 * sidecar or this database was restored, or when both the subscription and the reconciliation bring a row.
 */
CREATE OR REPLACE FUNCTION whatsapp_outbox.replace_row() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('DELETE FROM %s AS o WHERE (%s) = (%s)', TG_RELID::regclass,
        'o.' || array_to_string(TG_ARGV, ', o.'), '($1).' || array_to_string(TG_ARGV, ', ($1).')) USING NEW;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION whatsapp_outbox.replace_row() IS
'Trigger function: removes the row that has the key of the new one; arguments are the key''s columns.';

DO $$
DECLARE
    t record;
BEGIN
    FOR t IN SELECT * FROM (VALUES ('whatsapp_outbox.result', 'key'), ('whatsapp_sidecar.whatsapp_messages', 'id'),
            ('whatsapp_sidecar.whatsapp_inbound_messages', 'inbound_id'),
            ('whatsapp_sidecar.whatsapp_opt_outs', 'tenant_id, recipient, category'),
            ('whatsapp_sidecar.whatsapp_templates', 'name, language')) AS l (name, key)
    LOOP
        EXECUTE pg_catalog.format('CREATE OR REPLACE TRIGGER replace_row BEFORE INSERT ON %s FOR EACH ROW '
            'EXECUTE FUNCTION whatsapp_outbox.replace_row(%s)', t.name, t.key);
        EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE ALWAYS TRIGGER replace_row', t.name);
    END LOOP;
END
$$;

/* ---- rules: errors and values ------------------------------------------------------------------------------ */

/*
 * The rules are those of the extension, whose texts are repeated here word for word (src/enqueue, src/template); a
 * test gives the same calls to both.  What depends on tables (tenants, templates, the service window) is decided at
 * the sidecar and comes back as a result.
 */

CREATE OR REPLACE FUNCTION whatsapp.wa_internal_fail(message text, detail text DEFAULT NULL, hint text DEFAULT NULL,
    state text DEFAULT '22023') RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF detail IS NULL AND hint IS NULL THEN
        RAISE EXCEPTION USING MESSAGE = message, ERRCODE = state;
    ELSIF detail IS NULL THEN
        RAISE EXCEPTION USING MESSAGE = message, ERRCODE = state, HINT = hint;
    ELSIF hint IS NULL THEN
        RAISE EXCEPTION USING MESSAGE = message, ERRCODE = state, DETAIL = detail;
    END IF;
    RAISE EXCEPTION USING MESSAGE = message, ERRCODE = state, DETAIL = detail, HINT = hint;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_fail(text, text, text, text) IS 'Raises an error. Internal.';

/* A value as it may appear in an error: short, and without characters that do not show as what they are. */
CREATE OR REPLACE FUNCTION whatsapp.wa_internal_quote(value text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    odd CONSTANT text := '[\u0001-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]';
    clipped text := left(value, 100);
    quoted text := '';
    c text;
BEGIN
    WHILE octet_length(clipped) > 100 LOOP
        clipped := left(clipped, -1);
    END LOOP;
    IF clipped ~ odd THEN
        FOREACH c IN ARRAY regexp_split_to_array(clipped, '') LOOP
            quoted := quoted || CASE WHEN c ~ odd
                THEN regexp_replace(encode(convert_to(c, 'UTF8'), 'hex'), '(..)', '\\x\1', 'g') ELSE c END;
        END LOOP;
    ELSE
        quoted := clipped;
    END IF;
    RETURN CASE WHEN clipped = value THEN quoted ELSE quoted || '...' END;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_quote(text) IS 'A value as it may appear in an error. Internal.';

CREATE OR REPLACE FUNCTION whatsapp.wa_internal_kind(value jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE COALESCE(jsonb_typeof(value), 'null') WHEN 'null' THEN 'null' WHEN 'string' THEN 'a string'
        WHEN 'number' THEN 'a number' WHEN 'boolean' THEN 'a boolean' WHEN 'array' THEN 'an array' ELSE 'an object' END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_kind(jsonb) IS 'What kind of JSON it is, in words. Internal.';

/* NULL if it is no string. */
CREATE OR REPLACE FUNCTION whatsapp.wa_internal_string(value jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN jsonb_typeof(value) = 'string' THEN value #>> '{}' END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_string(jsonb) IS 'A JSON string as text. Internal.';

/* NULL if it is null, an array or an object. */
CREATE OR REPLACE FUNCTION whatsapp.wa_internal_scalar(value jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN jsonb_typeof(value) IN ('string', 'number', 'boolean') THEN value #>> '{}' END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_scalar(jsonb) IS 'A JSON string, number or boolean as text. Internal.';

CREATE OR REPLACE FUNCTION whatsapp.wa_internal_check_given(name text, value text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF value IS NULL THEN
        PERFORM whatsapp.wa_internal_fail(format('argument "%s" must not be null', name), state => '22004');
    ELSIF value = '' THEN
        PERFORM whatsapp.wa_internal_fail(format('argument "%s" must not be empty', name));
    END IF;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_check_given(text, text) IS 'A required argument. Internal.';

/* White space, what a display ignores, and signs whose picture is empty: src/common/blank_text.c. */
CREATE OR REPLACE FUNCTION whatsapp.wa_internal_is_blank(value text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT value ~ ('^[\u0001-\u0020\u007f-\u00a0\u00ad\u034f\u061c\u115f-\u1160\u1680\u17b4-\u17b5\u180b-\u180f'
        '\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U00016fe4'
        '\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff]*$')
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_is_blank(text) IS 'Whether nobody sees anything in it. Internal.';

CREATE OR REPLACE FUNCTION whatsapp.wa_internal_check_text(what text, value text, longest integer) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF value = '' THEN
        PERFORM whatsapp.wa_internal_fail(what || ' must not be empty');
    ELSIF whatsapp.wa_internal_is_blank(value) THEN
        PERFORM whatsapp.wa_internal_fail(what || ' must not be blank', 'It consists of characters that nobody sees.');
    ELSIF length(value) > longest THEN
        PERFORM whatsapp.wa_internal_fail(what || ' is too long',
            format('It has %s characters; at most %s are allowed.', length(value), longest));
    END IF;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_check_text(text, text, integer) IS
'Not empty, and at most so many characters. Internal.';

CREATE OR REPLACE FUNCTION whatsapp.wa_internal_check_link(what text, link text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF link !~* '^https?://[^/]' THEN
        PERFORM whatsapp.wa_internal_fail(what || ' must be an http or https URL');
    ELSIF link ~ '[\u0001-\u0020\u007f]' THEN
        PERFORM whatsapp.wa_internal_fail(what || ' must not contain spaces or control characters');
    END IF;
    PERFORM whatsapp.wa_internal_check_text(what, link, 2000);
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_check_link(text, text) IS 'An http or https URL. Internal.';

/* A zero in parentheses behind the calling code, except where numbers keep theirs: src/common/recipient.c. */
CREATE OR REPLACE FUNCTION whatsapp.wa_internal_has_trunk_zero(recipient text) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before text;
    behind text;
BEGIN
    FOR i IN 1 .. length(recipient) LOOP
        CONTINUE WHEN substr(recipient, i, 1) <> '(';
        before := translate(left(recipient, i), ' -()+', '');
        behind := ltrim(substr(recipient, i + 1), ' ');
        IF length(before) BETWEEN 1 AND 3 AND starts_with(behind, '0') AND (ltrim(substr(behind, 2), ' ') !~ '^[0-9]'
                OR before NOT IN ('39', '378', '225', '241', '242')) THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_has_trunk_zero(text) IS
'Whether a number has the zero that is dialled within a country only. Internal.';

/* The canonical form, or NULL and what is wrong. */
CREATE OR REPLACE FUNCTION whatsapp.wa_internal_normalise(recipient text, OUT canonical text, OUT problem text)
    LANGUAGE plpgsql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    trimmed text := btrim(recipient, ' ');
BEGIN
    IF trimmed ~ '^[A-Z]{2}\.(?:ENT\.(?=.))?[0-9A-Za-z]{1,128}$' THEN
        canonical := trimmed;
        RETURN;
    END IF;
    canonical := translate(trimmed, ' -()', '');
    problem := CASE
        WHEN canonical = '' THEN 'It is empty.'
        WHEN canonical !~ '^\+?[0-9]*$' THEN
            'It contains a character other than digits, spaces, hyphens and parentheses.'
        WHEN canonical !~ '^\+' THEN
            'It does not begin with "+" and a country code; Meta would put the country code of the sending number '
            'before it and reach a stranger.'
        WHEN canonical ~ '^\+0' THEN 'A country code does not begin with 0.'
        WHEN whatsapp.wa_internal_has_trunk_zero(trimmed) THEN
            'A zero in parentheses, as in +34 (0) 600, is dialled within the country only; write the number without it.'
        WHEN canonical !~ '^\+[0-9]{7,15}$' THEN 'A number has 7 to 15 digits, country code included.' END;
    IF problem IS NOT NULL THEN
        canonical := NULL;
    END IF;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_normalise(text) IS
'A phone number in international form, or a business-scoped user ID; or what is wrong with it. Internal.';

/* beside: the argument after the recipient, if it is a text; place: which of several recipients. */
CREATE OR REPLACE FUNCTION whatsapp.wa_internal_recipient(tenant text, recipient text, beside text DEFAULT NULL,
    place text DEFAULT '') RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    n record := whatsapp.wa_internal_normalise(recipient);
    hint text := 'Give the number in international form, such as +34600000001, or the person''s business-scoped user ID, '
        'such as CO.7001234567890123.';
BEGIN
    IF n.canonical IS NOT NULL THEN
        RETURN n.canonical;
    END IF;
    IF place = '' AND ((whatsapp.wa_internal_normalise(beside)).canonical LIKE '+%'
            OR (whatsapp.wa_internal_normalise(tenant)).canonical LIKE '+%') THEN
        hint := 'The arguments seem to be swapped: the tenant comes first, then the recipient.';
    END IF;
    PERFORM whatsapp.wa_internal_fail('invalid recipient phone number' || place, n.problem, hint);
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_recipient(text, text, text, text) IS
'The recipient''s canonical form, or an error that does not contain it. Internal.';

/* ---- rules: the arguments that all functions share ------------------------------------------------------------ */

CREATE OR REPLACE FUNCTION whatsapp.wa_internal_check_length(name text, value text, longest integer) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF value = '' THEN
        PERFORM whatsapp.wa_internal_fail(format('argument "%s" must not be empty', name),
            hint => 'Leave it out, or give NULL.');
    ELSIF octet_length(value) > longest THEN
        PERFORM whatsapp.wa_internal_fail(format('argument "%s" is longer than %s bytes', name, longest));
    END IF;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_check_length(text, text, integer) IS 'An optional argument. Internal.';

/*
 * Checks them, and returns them as they go into the outbox: without what was left out.  Whoever leaves scheduled_at
 * out gets the time of the transaction; it is not passed on, because the sidecar's clock is another.
 */
CREATE OR REPLACE FUNCTION whatsapp.wa_internal_options(scheduled_at timestamptz, expires_at timestamptz,
    priority integer, idempotency_key text, reference text, on_uncertain text, context_message_id text DEFAULT NULL,
    fallback_template text DEFAULT NULL, fallback_parameters jsonb DEFAULT NULL) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT isfinite(scheduled_at) THEN
        PERFORM whatsapp.wa_internal_fail('argument "scheduled_at" must be finite');
    ELSIF scheduled_at >= '10000-01-01Z' THEN
        PERFORM whatsapp.wa_internal_fail('argument "scheduled_at" lies after the year 9999');
    ELSIF expires_at <= COALESCE(scheduled_at, now()) THEN
        PERFORM whatsapp.wa_internal_fail('message would expire before it is due',
            'expires_at must be later than scheduled_at.');
    ELSIF priority NOT BETWEEN -1000 AND 1000 THEN
        PERFORM whatsapp.wa_internal_fail(format('priority %s is outside the range -1000 to 1000', priority));
    END IF;
    PERFORM whatsapp.wa_internal_check_length('idempotency_key', idempotency_key, 512),
        whatsapp.wa_internal_check_length('reference', reference, 4096);
    IF on_uncertain NOT IN ('auto', 'resend', 'park', 'fail') THEN
        PERFORM whatsapp.wa_internal_fail(format('invalid value for argument "on_uncertain": "%s"',
            whatsapp.wa_internal_quote(on_uncertain)), hint => 'Use "auto", "resend", "park" or "fail".');
    END IF;
    IF context_message_id IS NOT NULL THEN
        PERFORM whatsapp.wa_internal_check_length('context_message_id', context_message_id, 512),
            whatsapp.wa_internal_check_wamid('argument "context_message_id"', context_message_id);
    END IF;
    IF fallback_template IS NULL AND fallback_parameters IS NOT NULL THEN
        PERFORM whatsapp.wa_internal_fail('fallback_parameters is given without fallback_template');
    END IF;
    RETURN jsonb_strip_nulls(jsonb_build_object(
            'scheduled_at', CASE WHEN scheduled_at > now() THEN scheduled_at END,
            'expires_at', CASE WHEN isfinite(expires_at) THEN expires_at END,
            'priority', NULLIF(priority, 0), 'reference', reference, 'on_uncertain', on_uncertain,
            'context_message_id', context_message_id, 'fallback_template', fallback_template))
        || CASE WHEN fallback_parameters IS NULL THEN '{}'
            ELSE jsonb_build_object('fallback_parameters', fallback_parameters) END;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_options(timestamptz, timestamptz, integer, text, text, text, text, text,
    jsonb) IS 'The arguments that all functions share, checked. Internal.';

CREATE OR REPLACE FUNCTION whatsapp.wa_internal_check_wamid(what text, id text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT starts_with(id, 'wamid.') THEN
        PERFORM whatsapp.wa_internal_fail(what || ' must be a message id of Meta''s, which begins with "wamid."',
            hint => 'It is whatsapp_message_id in whatsapp_messages and whatsapp_inbound_messages.');
    END IF;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_check_wamid(text, text) IS 'An ID of Meta''s. Internal.';

/* ---- rules: the parameters of templates ---------------------------------------------------------------------- */

CREATE OR REPLACE FUNCTION whatsapp.wa_internal_fail_parameters(detail text) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT whatsapp.wa_internal_fail('invalid template parameters', detail, 'Give an array of the body''s values, an '
        'object of its named values, or an object with any of "header", "body", "buttons", "limited_time_offer", '
        '"tap_target" and "carousel".')
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_fail_parameters(text) IS 'Raises an error. Internal.';

/* The text of a value. */
CREATE OR REPLACE FUNCTION whatsapp.wa_internal_parameter(value jsonb, place text) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    word text;
    typed jsonb;
    result text := whatsapp.wa_internal_scalar(value);
BEGIN
    IF result IS NOT NULL THEN
        RETURN result;
    END IF;
    IF jsonb_typeof(value) = 'object' THEN
        FOREACH word IN ARRAY ARRAY['currency', 'date_time'] LOOP
            CONTINUE WHEN NOT value ? word;
            typed := value -> word;
            result := whatsapp.wa_internal_string(typed -> 'fallback_value');
            IF result IS NULL THEN
                PERFORM whatsapp.wa_internal_fail_parameters(format(
                    'A "%s" value needs the text "fallback_value", which is what people see.', word));
            ELSIF word = 'currency' AND whatsapp.wa_internal_string(typed -> 'code') ~ '^[A-Z]{3}$' IS NOT TRUE THEN
                PERFORM whatsapp.wa_internal_fail_parameters(
                    'A "currency" value needs "code", three capital letters such as "EUR".');
            ELSIF word = 'currency' AND (jsonb_typeof(typed -> 'amount_1000') = 'number'
                    AND typed ->> 'amount_1000' ~ '^[-0-9]*$') IS NOT TRUE THEN
                PERFORM whatsapp.wa_internal_fail_parameters(
                    'A "currency" value needs "amount_1000", a whole number: 25.40 is 25400.');
            END IF;
            RETURN result;
        END LOOP;
        result := whatsapp.wa_internal_scalar(value -> 'text');
        IF result IS NOT NULL THEN
            RETURN result;
        END IF;
    END IF;
    PERFORM whatsapp.wa_internal_fail_parameters(format('The %s is %s; it must be a string, a number, a boolean, or an '
        'object with "currency" or "date_time".', place, whatsapp.wa_internal_kind(value)));
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_parameter(jsonb, text) IS 'The text of a template''s value. Internal.';

CREATE OR REPLACE FUNCTION whatsapp.wa_internal_check_degrees(what text, value jsonb, most integer) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    degrees text := whatsapp.wa_internal_scalar(value);
    good boolean;
BEGIN
    IF degrees IS NULL OR jsonb_typeof(value) = 'boolean' THEN
        PERFORM whatsapp.wa_internal_fail(what || ' of the location is missing or not a number');
    END IF;
    good := degrees ~* '^[ \t\n\v\f\r]*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]{1,4})?$';
    IF good THEN
        good := abs(btrim(degrees, E' \t\n\v\f\r')::numeric) <= most;
    END IF;
    IF NOT good THEN
        PERFORM whatsapp.wa_internal_fail(format('%s of the location must be a number from -%s to %s', what, most,
            most));
    END IF;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_check_degrees(text, jsonb, integer) IS 'Degrees. Internal.';

/* A header that is a file: {"link": …}, {"id": …}, {"media": …}, or one of the first two as a string. */
CREATE OR REPLACE FUNCTION whatsapp.wa_internal_check_header_file(kind text, given jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    member text;
    link text;
    id text;
    file text;
BEGIN
    IF jsonb_typeof(given) = 'object' THEN
        FOR member IN SELECT * FROM jsonb_object_keys(given) LOOP
            CONTINUE WHEN member IN ('link', 'id', 'media') OR (member = 'filename' AND kind = 'document');
            PERFORM whatsapp.wa_internal_fail_parameters(format('The header''s "%s" has the unknown member "%s".', kind,
                whatsapp.wa_internal_quote(member)));
        END LOOP;
        link := whatsapp.wa_internal_string(given -> 'link');
        id := whatsapp.wa_internal_scalar(given -> 'id');
        file := whatsapp.wa_internal_scalar(given -> 'media');
    ELSIF whatsapp.wa_internal_scalar(given) ~ '^[0-9]*$' THEN
        id := whatsapp.wa_internal_scalar(given);
    ELSE
        link := whatsapp.wa_internal_scalar(given);
    END IF;
    IF num_nonnulls(link, id, file) <> 1 THEN
        PERFORM whatsapp.wa_internal_fail_parameters(format(
            'The header''s "%s" needs one of "link", "id" and "media".', kind));
    ELSIF link IS NOT NULL THEN
        PERFORM whatsapp.wa_internal_check_link('link of the header', link);
    ELSIF file !~ '^[0-9]{1,18}$' THEN
        PERFORM whatsapp.wa_internal_fail_parameters(format(
            'The "media" of the header''s "%s" must be what wa_upload_media() returned.', kind));
    END IF;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_check_header_file(text, jsonb) IS 'The file of a header. Internal.';

/* The text of the header, if it is one. */
CREATE OR REPLACE FUNCTION whatsapp.wa_internal_header(header jsonb) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m record;
    kind text;
    result text;
BEGIN
    IF jsonb_typeof(header) <> 'object' OR header ?| ARRAY['currency', 'date_time'] THEN
        RETURN whatsapp.wa_internal_parameter(header, 'header value');
    END IF;
    FOR m IN SELECT * FROM jsonb_each(header) LOOP
        CONTINUE WHEN m.key IN ('type', 'parameter_name');
        IF kind IS NOT NULL THEN
            PERFORM whatsapp.wa_internal_fail_parameters('The header has more than one value.');
        END IF;
        kind := m.key;
        IF kind = 'location' THEN
            IF jsonb_typeof(m.value) <> 'object' THEN
                PERFORM whatsapp.wa_internal_fail_parameters(format(
                    'The header''s "location" is %s; it must be an object.', whatsapp.wa_internal_kind(m.value)));
            END IF;
            PERFORM whatsapp.wa_internal_check_degrees('latitude', m.value -> 'latitude', 90),
                whatsapp.wa_internal_check_degrees('longitude', m.value -> 'longitude', 180);
        ELSIF kind = 'product' THEN
            /* Products, flows, offers and cards are looked at by the sidecar. */
            NULL;
        ELSIF kind IN ('image', 'video', 'gif', 'document') THEN
            PERFORM whatsapp.wa_internal_check_header_file(kind, m.value);
        ELSE
            result := whatsapp.wa_internal_parameter(m.value, 'header value');
        END IF;
    END LOOP;
    IF kind IS NULL THEN
        PERFORM whatsapp.wa_internal_fail_parameters('The header is an empty object.');
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_header(jsonb) IS 'The header''s value, checked. Internal.';

/* The values of the body with their places, in two arrays. */
CREATE OR REPLACE FUNCTION whatsapp.wa_internal_body(body jsonb, OUT texts text[], OUT places text[])
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v record;
    place text;
    name text;
BEGIN
    IF jsonb_typeof(body) NOT IN ('array', 'object') THEN
        PERFORM whatsapp.wa_internal_fail_parameters(format('The body is %s; it must be an array or an object.',
            whatsapp.wa_internal_kind(body)));
    END IF;
    FOR v IN SELECT e.value, NULL AS key, e.n FROM jsonb_array_elements(CASE jsonb_typeof(body) WHEN 'array' THEN body
                ELSE '[]' END) WITH ORDINALITY AS e (value, n)
            UNION ALL SELECT o.value, o.key, o.n FROM jsonb_each(CASE jsonb_typeof(body) WHEN 'object' THEN body
                ELSE '{}' END) WITH ORDINALITY AS o (key, value, n) ORDER BY n
    LOOP
        IF v.n > 100 THEN
            PERFORM whatsapp.wa_internal_fail_parameters('There are more than 100 body values.');
        END IF;
        place := COALESCE('body value "' || whatsapp.wa_internal_quote(v.key) || '"', 'body value ' || v.n);
        texts := texts || whatsapp.wa_internal_parameter(v.value, place);
        name := COALESCE(CASE WHEN jsonb_typeof(v.value) = 'object'
            THEN whatsapp.wa_internal_string(v.value -> 'parameter_name') END, v.key);
        places := places || COALESCE('body value "' || whatsapp.wa_internal_quote(name) || '"', 'body value ' || v.n);
    END LOOP;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_body(jsonb) IS 'The body''s values, checked. Internal.';

/* Which members of an object give a button its value, with the name and the limit of each. */
CREATE OR REPLACE FUNCTION whatsapp.wa_internal_check_buttons(buttons jsonb, OUT whats text[], OUT texts text[],
    OUT longest integer[])
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    b record;
    index integer;
    given text;
    used integer[] := '{}';
    k record;
BEGIN
    IF jsonb_typeof(buttons) <> 'array' THEN
        PERFORM whatsapp.wa_internal_fail_parameters(format('The buttons are %s; they must be an array.',
            whatsapp.wa_internal_kind(buttons)));
    ELSIF jsonb_array_length(buttons) > 10 THEN
        PERFORM whatsapp.wa_internal_fail_parameters('There are more than 10 buttons.');
    END IF;
    FOR b IN SELECT e.value, e.n - 1 AS n FROM jsonb_array_elements(buttons) WITH ORDINALITY AS e (value, n) LOOP
        CONTINUE WHEN jsonb_typeof(b.value) = 'null';
        index := b.n;
        given := whatsapp.wa_internal_scalar(b.value);
        IF jsonb_typeof(b.value) = 'object' THEN
            IF whatsapp.wa_internal_scalar(b.value -> 'index') !~ '^[0-9]$' THEN
                PERFORM whatsapp.wa_internal_fail_parameters('The index of a button must be a number from 0 to 9.');
            END IF;
            index := COALESCE(whatsapp.wa_internal_scalar(b.value -> 'index')::integer, b.n);
            IF b.value ? 'parameters' THEN
                IF jsonb_typeof(b.value -> 'parameters') <> 'array' THEN
                    PERFORM whatsapp.wa_internal_fail_parameters(format(
                        'The "parameters" of button %s are %s; they must be an array.', index,
                        whatsapp.wa_internal_kind(b.value -> 'parameters')));
                END IF;
                given := '';
            ELSIF b.value ?| '{flow_token,flow_action_data,sections,thumbnail,thumbnail_product_retailer_id}'::text[]
                THEN
                given := '';
            ELSE
                FOR k IN SELECT * FROM (VALUES ('payload', 'payload of the button', 256),
                    ('text', 'text of the button', 2000), ('coupon_code', 'coupon code of the button', 15))
                    AS l (key, what, longest)
                LOOP
                    CONTINUE WHEN whatsapp.wa_internal_scalar(b.value -> k.key) IS NULL;
                    IF given IS NOT NULL THEN
                        PERFORM whatsapp.wa_internal_fail_parameters(format('Button %s has more than one value.',
                            index));
                    END IF;
                    given := whatsapp.wa_internal_scalar(b.value -> k.key);
                    whats := whats || k.what;
                    texts := texts || given;
                    longest := longest || k.longest;
                END LOOP;
            END IF;
        END IF;
        IF given IS NULL THEN
            PERFORM whatsapp.wa_internal_fail_parameters(format('Button %s has no value; give a string, or an object '
                'with "payload", "text", "coupon_code", "flow_token", "thumbnail", "sections" or "parameters".',
                    index));
        ELSIF index = ANY (used) THEN
            PERFORM whatsapp.wa_internal_fail_parameters(format('Button %s is given twice.', index));
        END IF;
        used := used || index;
    END LOOP;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_check_buttons(jsonb) IS
'The buttons'' values: names, texts and limits of those whose kind is known. Internal.';

/* What Meta accepts as a value: not empty, one line, no runs of spaces. */
CREATE OR REPLACE FUNCTION whatsapp.wa_internal_check_value(value text, place text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    /* Which of them comes first decides, as in the extension. */
    odd text := substring(value FROM E'[\\n\\r\\t]|     ');
BEGIN
    IF value = '' OR odd IS NOT NULL OR whatsapp.wa_internal_is_blank(value) THEN
        PERFORM whatsapp.wa_internal_fail('invalid template parameter: ' || place, CASE
            WHEN value = '' THEN 'It is empty.'
            WHEN whatsapp.wa_internal_is_blank(value) THEN 'It consists of characters that nobody sees.'
            WHEN odd IN (E'\n', E'\r') THEN 'It contains a line break.'
            WHEN odd = E'\t' THEN 'It contains a tab.'
            ELSE 'It contains more than four spaces in a row.' END);
    END IF;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_check_value(text, text) IS 'The text of a value. Internal.';

/*
 * What can be said of a template's name, language and parameters without the template.  A NULL language is the
 * tenant's, which the sidecar knows.
 */
CREATE OR REPLACE FUNCTION whatsapp.wa_internal_check_template(name text, language text, parameters jsonb)
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parts jsonb := '{}';
    header text;
    texts text[];
    places text[];
    button_whats text[];
    button_texts text[];
    button_limits integer[];
    blind boolean := jsonb_typeof(parameters) = 'object' AND parameters - 'components' = '{}'
        AND jsonb_typeof(parameters -> 'components') = 'array';
BEGIN
    IF NOT COALESCE(blind, true) THEN
        IF jsonb_typeof(parameters) NOT IN ('array', 'object') THEN
            PERFORM whatsapp.wa_internal_fail_parameters(format('They are %s.', whatsapp.wa_internal_kind(parameters)));
        END IF;
        parts := CASE WHEN jsonb_typeof(parameters) = 'object'
            AND parameters - '{header,body,buttons,limited_time_offer,tap_target,carousel}'::text[] = '{}'
            THEN parameters ELSE jsonb_build_object('body', parameters) END;
        IF jsonb_typeof(parts -> 'header') <> 'null' THEN
            header := whatsapp.wa_internal_header(parts -> 'header');
        END IF;
        IF jsonb_typeof(parts -> 'body') <> 'null' THEN
            SELECT * INTO texts, places FROM whatsapp.wa_internal_body(parts -> 'body');
        END IF;
        IF jsonb_typeof(parts -> 'buttons') <> 'null' THEN
            SELECT * INTO button_whats, button_texts, button_limits
            FROM whatsapp.wa_internal_check_buttons(parts -> 'buttons');
        END IF;
    END IF;
    IF name !~ '^[a-z0-9_]+$' OR length(name) > 512 THEN
        PERFORM whatsapp.wa_internal_fail(format('invalid template name "%s"', whatsapp.wa_internal_quote(name)),
            'A name has up to 512 lower-case letters, digits and underscores.',
            CASE WHEN name LIKE '%/%' THEN 'The language is an argument of its own, "language".' END);
    ELSIF language !~ '^[a-z]{2,3}(_[A-Z0-9]{2,3})?$' THEN
        PERFORM whatsapp.wa_internal_fail(format('invalid language code "%s"', whatsapp.wa_internal_quote(language)),
            hint => 'Use the codes of WhatsApp templates, such as "es", "es_ES" or "en_US".');
    END IF;
    PERFORM whatsapp.wa_internal_check_value(header, 'header value');
    PERFORM whatsapp.wa_internal_check_value(v.value, v.place) FROM unnest(texts, places) AS v (value, place);
    PERFORM whatsapp.wa_internal_check_text('header value', header, 60);
    PERFORM whatsapp.wa_internal_check_text(v.place, v.value, 32768) FROM unnest(texts, places) AS v (value, place);
    PERFORM whatsapp.wa_internal_check_text(v.what, v.value, v.longest)
    FROM unnest(button_whats, button_texts, button_limits) AS v (what, value, longest);
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_check_template(text, text, jsonb) IS
'A template''s name, language and parameters, as far as they can be checked without it. Internal.';

/* ---- rules: content other than templates ----------------------------------------------------------------------- */

CREATE OR REPLACE FUNCTION whatsapp.wa_internal_required_string(value jsonb, what text) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF COALESCE(jsonb_typeof(value), 'null') = 'null' THEN
        PERFORM whatsapp.wa_internal_fail(what || ' is missing');
    ELSIF jsonb_typeof(value) <> 'string' THEN
        PERFORM whatsapp.wa_internal_fail(what || ' must be a string');
    END IF;
    RETURN value #>> '{}';
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_required_string(jsonb, text) IS 'A member that must be a string. Internal.';

CREATE OR REPLACE FUNCTION whatsapp.wa_internal_check_optional(value jsonb, what text, longest integer) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(value) <> 'string' THEN
        PERFORM whatsapp.wa_internal_fail(what || ' must be a string');
    END IF;
    PERFORM whatsapp.wa_internal_check_text(what, value #>> '{}', longest);
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_check_optional(jsonb, text, integer) IS
'A member that may be absent. Internal.';

CREATE OR REPLACE FUNCTION whatsapp.wa_internal_check_medium(type text, medium jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    link text := whatsapp.wa_internal_string(medium -> 'link');
    id text := whatsapp.wa_internal_string(medium -> 'id');
    member text;
BEGIN
    IF num_nonnulls(link, id) <> 1 THEN
        PERFORM whatsapp.wa_internal_fail(format('a message of type "%s" needs either a link or a media id', type));
    ELSIF link IS NOT NULL THEN
        PERFORM whatsapp.wa_internal_check_link('link of the medium', link);
    ELSIF id !~ '^[0-9]+$' THEN
        PERFORM whatsapp.wa_internal_fail('media id must consist of digits');
    END IF;
    IF type NOT IN ('audio', 'sticker') THEN
        PERFORM whatsapp.wa_internal_check_optional(medium -> 'caption', 'caption', 1024);
    END IF;
    IF type = 'document' THEN
        PERFORM whatsapp.wa_internal_check_optional(medium -> 'filename', 'filename', 240);
    END IF;
    FOREACH member IN ARRAY CASE type WHEN 'audio' THEN '{caption,filename}' WHEN 'sticker'
        THEN '{caption,filename,voice}'
        WHEN 'document' THEN '{voice}' ELSE '{filename,voice}' END::text[]
    LOOP
        IF medium ? member THEN
            PERFORM whatsapp.wa_internal_fail(format('a message of type "%s" cannot have a %s', type, member));
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_check_medium(text, jsonb) IS 'An image, video, audio … Internal.';

CREATE OR REPLACE FUNCTION whatsapp.wa_internal_check_contacts(contacts jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c record;
    name text;
BEGIN
    IF jsonb_typeof(contacts) <> 'array' THEN
        PERFORM whatsapp.wa_internal_fail('contacts must be an array');
    ELSIF jsonb_array_length(contacts) NOT BETWEEN 1 AND 257 THEN
        PERFORM whatsapp.wa_internal_fail('a message must have 1 to 257 contacts');
    END IF;
    FOR c IN SELECT e.value, e.n - 1 AS n FROM jsonb_array_elements(contacts) WITH ORDINALITY AS e (value, n) LOOP
        name := whatsapp.wa_internal_string(c.value -> 'name' -> 'formatted_name');
        IF name IS NULL THEN
            PERFORM whatsapp.wa_internal_fail(format('contact %s has no name.formatted_name', c.n));
        END IF;
        PERFORM whatsapp.wa_internal_check_text('name of the contact', name, 1024);
        IF c.value -> 'birthday' IS NOT NULL
            AND whatsapp.wa_internal_string(c.value -> 'birthday') ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$' IS NOT TRUE
        THEN
            PERFORM whatsapp.wa_internal_fail(format('birthday of contact %s must have the form YYYY-MM-DD', c.n));
        END IF;
        IF NOT EXISTS (SELECT FROM unnest('{first_name,last_name,middle_name,prefix,suffix}'::text[]) AS p (part)
                WHERE whatsapp.wa_internal_string(c.value -> 'name' -> part) <> '')
        THEN
            PERFORM whatsapp.wa_internal_fail(format('contact %s has no part of its name', c.n),
                hint => 'Give first_name, last_name, middle_name, prefix or suffix beside formatted_name.');
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_check_contacts(jsonb) IS 'Contact cards. Internal.';

/* ---- rules: interactive messages ------------------------------------------------------------------------------- */

CREATE OR REPLACE FUNCTION whatsapp.wa_internal_fail_interactive(detail text) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT whatsapp.wa_internal_fail('invalid interactive message', detail)
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_fail_interactive(text) IS 'Raises an error. Internal.';

CREATE OR REPLACE FUNCTION whatsapp.wa_internal_text_member(value jsonb, what text, longest integer, required boolean)
RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(value) = 'string' THEN
        PERFORM whatsapp.wa_internal_check_text(what, value #>> '{}', longest);
        RETURN value #>> '{}';
    ELSIF required OR COALESCE(jsonb_typeof(value), 'null') <> 'null' THEN
        PERFORM whatsapp.wa_internal_fail_interactive(format('The %s is missing or not a string.', what));
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_text_member(jsonb, text, integer, boolean) IS
'A text in an interactive message. Internal.';

CREATE OR REPLACE FUNCTION whatsapp.wa_internal_check_array(value jsonb, what text, most integer) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(value) = 'array' AND jsonb_array_length(value) BETWEEN 1 AND most THEN
        RETURN;
    END IF;
    PERFORM whatsapp.wa_internal_fail_interactive(format('There must be 1 to %s %s.', most, what));
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_check_array(jsonb, text, integer) IS
'A list in an interactive message. Internal.';

CREATE OR REPLACE FUNCTION whatsapp.wa_internal_check_interactive_header(header jsonb, text_only boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    type text := whatsapp.wa_internal_string(header -> 'type');
    link text;
BEGIN
    IF header IS NULL THEN
        RETURN;
    ELSIF type IS NULL THEN
        PERFORM whatsapp.wa_internal_fail_interactive('The header has no "type".');
    ELSIF type = 'text' THEN
        PERFORM whatsapp.wa_internal_text_member(header -> 'text', 'text of the header', 60, true);
    ELSIF NOT text_only AND type IN ('image', 'video', 'document') THEN
        link := whatsapp.wa_internal_string(header -> type -> 'link');
        IF num_nonnulls(link, whatsapp.wa_internal_string(header -> type -> 'id')) <> 1 THEN
            PERFORM whatsapp.wa_internal_fail_interactive('The header needs either a link or a media id.');
        ELSIF link IS NOT NULL THEN
            PERFORM whatsapp.wa_internal_check_link('link of the header', link);
        END IF;
    ELSE
        PERFORM whatsapp.wa_internal_fail_interactive(format('The header cannot be of the type "%s".',
            whatsapp.wa_internal_quote(type)));
    END IF;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_check_interactive_header(jsonb, boolean) IS
'The header of an interactive message. Internal.';

/* Adds a word to those that were seen, unless it is one of them. */
CREATE OR REPLACE FUNCTION whatsapp.wa_internal_add_word(seen text[], what text, word text) RETURNS text[]
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF word = ANY (seen) THEN
        PERFORM whatsapp.wa_internal_fail_interactive(format('The %s "%s" is used twice.', what,
            whatsapp.wa_internal_quote(word)));
    END IF;
    RETURN seen || word;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_add_word(text[], text, text) IS
'IDs come back in replies, and titles are what people see: they must differ. Internal.';

CREATE OR REPLACE FUNCTION whatsapp.wa_internal_check_reply_buttons(interactive jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    buttons jsonb := interactive -> 'action' -> 'buttons';
    b record;
    ids text[] := '{}';
    titles text[] := '{}';
BEGIN
    PERFORM whatsapp.wa_internal_check_array(buttons, 'reply buttons', 3);
    PERFORM whatsapp.wa_internal_check_interactive_header(interactive -> 'header', false);
    PERFORM whatsapp.wa_internal_text_member(interactive -> 'body' -> 'text', 'text of the body', 1024, true);
    FOR b IN SELECT e.value, e.n - 1 AS n FROM jsonb_array_elements(buttons) WITH ORDINALITY AS e (value, n) LOOP
        IF whatsapp.wa_internal_string(b.value -> 'type') IS DISTINCT FROM 'reply' THEN
            PERFORM whatsapp.wa_internal_fail_interactive(format('Button %s is not of the type "reply".', b.n));
        END IF;
        titles := whatsapp.wa_internal_add_word(titles, 'title',
            whatsapp.wa_internal_text_member(b.value -> 'reply' -> 'title', 'title of the button', 20, true));
        ids := whatsapp.wa_internal_add_word(ids, 'id',
            whatsapp.wa_internal_text_member(b.value -> 'reply' -> 'id', 'id of the button', 256, true));
    END LOOP;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_check_reply_buttons(jsonb) IS 'Reply buttons. Internal.';

CREATE OR REPLACE FUNCTION whatsapp.wa_internal_check_list(interactive jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    sections jsonb := interactive -> 'action' -> 'sections';
    section jsonb;
    r jsonb;
    ids text[] := '{}';
BEGIN
    PERFORM whatsapp.wa_internal_check_array(sections, 'sections', 10);
    PERFORM whatsapp.wa_internal_check_interactive_header(interactive -> 'header', true);
    PERFORM whatsapp.wa_internal_text_member(interactive -> 'body' -> 'text', 'text of the body', 4096, true);
    PERFORM whatsapp.wa_internal_text_member(interactive -> 'action' -> 'button', 'button that opens the list', 20,
        true);
    FOR section IN SELECT * FROM jsonb_array_elements(sections) LOOP
        PERFORM whatsapp.wa_internal_check_array(section -> 'rows', 'rows in a section', 10);
        PERFORM whatsapp.wa_internal_text_member(section -> 'title', 'title of the section', 24,
            jsonb_array_length(sections) > 1);
        FOR r IN SELECT * FROM jsonb_array_elements(section -> 'rows') LOOP
            PERFORM whatsapp.wa_internal_text_member(r -> 'title', 'title of the row', 24, true);
            PERFORM whatsapp.wa_internal_text_member(r -> 'description', 'description of the row', 72, false);
            ids := whatsapp.wa_internal_add_word(ids, 'id',
                whatsapp.wa_internal_text_member(r -> 'id', 'id of the row', 200, true));
        END LOOP;
    END LOOP;
    IF cardinality(ids) > 10 THEN
        PERFORM whatsapp.wa_internal_fail_interactive(format(
            'The sections have %s rows together; at most 10 are allowed.', cardinality(ids)));
    END IF;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_check_list(jsonb) IS 'A list. Internal.';

CREATE OR REPLACE FUNCTION whatsapp.wa_internal_check_interactive(interactive jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    type text := whatsapp.wa_internal_string(interactive -> 'type');
    parameters jsonb := interactive -> 'action' -> 'parameters';
BEGIN
    IF type IS NULL THEN
        PERFORM whatsapp.wa_internal_fail_interactive('It has no "type".');
    ELSIF jsonb_typeof(interactive -> 'action') IS DISTINCT FROM 'object' THEN
        PERFORM whatsapp.wa_internal_fail_interactive('It has no "action".');
    END IF;
    IF interactive ? 'footer' THEN
        PERFORM whatsapp.wa_internal_text_member(interactive -> 'footer' -> 'text', 'text of the footer', 60, true);
    END IF;
    CASE type
        WHEN 'button' THEN
            PERFORM whatsapp.wa_internal_check_reply_buttons(interactive);
        WHEN 'list' THEN
            PERFORM whatsapp.wa_internal_check_list(interactive);
        WHEN 'cta_url' THEN
            PERFORM whatsapp.wa_internal_check_interactive_header(interactive -> 'header', false);
            PERFORM whatsapp.wa_internal_text_member(interactive -> 'body' -> 'text', 'text of the body', 1024, true);
            PERFORM whatsapp.wa_internal_text_member(parameters -> 'display_text', 'text of the button', 20, true);
            PERFORM whatsapp.wa_internal_check_link('URL of the button',
                whatsapp.wa_internal_text_member(parameters -> 'url', 'URL of the button', 2000, true));
        ELSE
            NULL;
    END CASE;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_check_interactive(jsonb) IS 'An interactive message. Internal.';

/* ---- rules: which type it is ------------------------------------------------------------------------------------ */

/* Whether one letter more, less or another makes one of the other. */
CREATE OR REPLACE FUNCTION whatsapp.wa_internal_is_slip(a text, b text) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    shorter integer := least(length(a), length(b));
    same integer := 0;
BEGIN
    IF a = b OR abs(length(a) - length(b)) > 1 THEN
        RETURN false;
    END IF;
    WHILE same < shorter AND substr(a, same + 1, 1) = substr(b, same + 1, 1) LOOP
        same := same + 1;
    END LOOP;
    RETURN CASE WHEN length(a) = length(b) THEN substr(a, same + 2) = substr(b, same + 2)
        WHEN length(a) > length(b) THEN substr(a, same + 2) = substr(b, same + 1)
        ELSE substr(a, same + 1) = substr(b, same + 2) END;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_is_slip(text, text) IS 'Whether two words differ in one letter. Internal.';

CREATE OR REPLACE FUNCTION whatsapp.wa_internal_check_type(type text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hint CONSTANT text := 'Use the words of Meta''s API: text, image, interactive …';
    known text;
BEGIN
    IF type IN ('messaging_product', 'recipient_type', 'to', 'recipient', 'type', 'context', 'status', 'category',
            'biz_opaque_callback_data', 'recipient_identity_key_hash', 'message_send_ttl_seconds', 'typing_indicator')
    THEN
        PERFORM whatsapp.wa_internal_fail(format('invalid message type "%s"', whatsapp.wa_internal_quote(type)),
            'This is another member of every message.', hint);
    ELSIF type !~ '^[a-z_]+$' OR length(type) > 64 THEN
        PERFORM whatsapp.wa_internal_fail(format('invalid message type "%s"', whatsapp.wa_internal_quote(type)),
            hint => hint);
    END IF;
    FOREACH known IN ARRAY '{text,image,video,audio,document,sticker,location,reaction,interactive,template,contacts}'
        ::text[]
    LOOP
        IF whatsapp.wa_internal_is_slip(type, known) THEN
            PERFORM whatsapp.wa_internal_fail(format('invalid message type "%s"', type),
                hint => format('Did you mean "%s"?', known));
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_check_type(text) IS 'The name of a type of messages. Internal.';

CREATE OR REPLACE FUNCTION whatsapp.wa_internal_check_content(type text, payload jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    value text;
BEGIN
    PERFORM whatsapp.wa_internal_check_type(type);
    IF pg_column_size(payload) > 128 * 1024 THEN
        PERFORM whatsapp.wa_internal_fail('content of the message is larger than 131072 bytes', state => '54000');
    END IF;
    IF type = 'contacts' THEN
        PERFORM whatsapp.wa_internal_check_contacts(payload);
        RETURN;
    ELSIF jsonb_typeof(payload) <> 'object' THEN
        PERFORM whatsapp.wa_internal_fail(format('content of the message is %s; it must be an object',
            whatsapp.wa_internal_kind(payload)), format('It is what stands under the key "%s" in Meta''s API.', type));
    END IF;
    CASE
        WHEN type = 'text' THEN
            value := whatsapp.wa_internal_required_string(payload -> 'body', 'body of the text');
            PERFORM whatsapp.wa_internal_check_text('body of the text', value, 4096);
        WHEN type IN ('image', 'video', 'audio', 'document', 'sticker') THEN
            PERFORM whatsapp.wa_internal_check_medium(type, payload);
        WHEN type = 'location' THEN
            PERFORM whatsapp.wa_internal_check_degrees('latitude', payload -> 'latitude', 90);
            PERFORM whatsapp.wa_internal_check_degrees('longitude', payload -> 'longitude', 180);
            PERFORM whatsapp.wa_internal_check_optional(payload -> 'name', 'name of the location', 1024);
            PERFORM whatsapp.wa_internal_check_optional(payload -> 'address', 'address of the location', 1024);
        WHEN type = 'reaction' THEN
            value := whatsapp.wa_internal_required_string(payload -> 'message_id', 'message id of the reaction');
            PERFORM whatsapp.wa_internal_required_string(payload -> 'emoji', 'emoji of the reaction');
            IF value = '' THEN
                PERFORM whatsapp.wa_internal_fail('message id of the reaction must not be empty');
            END IF;
            PERFORM whatsapp.wa_internal_check_wamid('message id of the reaction', value);
            value := payload ->> 'emoji';
            IF value <> '' AND (value ~ '[A-Za-z \t\n\v\f\r]' OR value !~ '[^\u0001-\u007f]' OR octet_length(value) > 64
                    OR whatsapp.wa_internal_is_blank(value))
            THEN
                PERFORM whatsapp.wa_internal_fail('emoji of the reaction must be a single emoji');
            END IF;
        WHEN type = 'interactive' THEN
            PERFORM whatsapp.wa_internal_check_interactive(payload);
        WHEN type = 'template' THEN
            PERFORM whatsapp.wa_internal_required_string(payload -> 'name', 'name of the template');
            PERFORM whatsapp.wa_internal_required_string(payload -> 'language' -> 'code',
                'language.code of the template');
            IF jsonb_typeof(payload -> 'components') <> 'array' THEN
                PERFORM whatsapp.wa_internal_fail('components of the template must be an array');
            END IF;
        ELSE
            NULL;
    END CASE;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_check_content(text, jsonb) IS
'Content, as it stands under its type in Meta''s API. Internal.';

/* ---- writing ---------------------------------------------------------------------------------------------------- */

/*
 * The ID of the message that was written under this key before; NULL: none.  One that the sidecar has rejected gives
 * its key back, as a call that fails does.
 */
CREATE OR REPLACE FUNCTION whatsapp.wa_internal_find_key(tenant text, key text) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result bigint;
    outcome text;
BEGIN
    IF key IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT o.id, r.outcome INTO result, outcome
    FROM whatsapp_outbox.outbox AS o LEFT JOIN whatsapp_outbox.result AS r ON r.key = o.key
    WHERE o.tenant_id = tenant AND o.idempotency_key = wa_internal_find_key.key;
    IF outcome = 'rejected' THEN
        UPDATE whatsapp_outbox.outbox AS o SET idempotency_key = NULL
        WHERE o.tenant_id = tenant AND o.idempotency_key = wa_internal_find_key.key;
        RETURN NULL;
    ELSIF result IS NULL THEN
        SELECT r.outbox_id INTO result FROM whatsapp_outbox.result AS r
        WHERE r.tenant_id = tenant AND r.idempotency_key = wa_internal_find_key.key AND r.outcome <> 'rejected';
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_find_key(text, text) IS
'The ID of the message with this idempotency key. Internal.';

/*
 * The row is this transaction's: it is gone if that rolls back, and the sidecar sees it after COMMIT.  Somebody else
 * may be writing the same key: then this waits for him.
 */
CREATE OR REPLACE FUNCTION whatsapp.wa_internal_write(kind text, tenant text, key text, args jsonb,
    bulk boolean DEFAULT false) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result bigint;
BEGIN
    INSERT INTO whatsapp_outbox.outbox (kind, tenant_id, idempotency_key, args, bulk)
    VALUES (kind, tenant, key, args, bulk)
    ON CONFLICT (tenant_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
    RETURNING id INTO result;
    IF result IS NULL THEN
        result := whatsapp.wa_internal_find_key(tenant, key);
    END IF;
    IF result IS NULL THEN
        PERFORM whatsapp.wa_internal_fail('another transaction has just written a message with this idempotency key',
            hint => 'Repeat the transaction.', state => '40001');
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_write(text, text, text, jsonb, boolean) IS
'Writes a row of the outbox, unless there is one with its idempotency key. Internal.';

/* What all kinds but templates have in common; the row repeats the call. */
CREATE OR REPLACE FUNCTION whatsapp.wa_internal_enqueue(kind text, tenant text, recipient text, type text,
    payload jsonb, given jsonb, key text, options jsonb) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    id bigint := whatsapp.wa_internal_find_key(tenant, key);
BEGIN
    IF id IS NOT NULL THEN
        RETURN id;
    END IF;
    IF type = 'template' THEN
        PERFORM whatsapp.wa_internal_check_template(payload ->> 'name', payload -> 'language' ->> 'code', NULL);
    ELSIF options ? 'fallback_template' THEN
        PERFORM whatsapp.wa_internal_check_template(options ->> 'fallback_template', NULL,
            options -> 'fallback_parameters');
    END IF;
    RETURN whatsapp.wa_internal_write(kind, tenant, key,
        jsonb_build_object('recipient_phone', recipient) || given || options);
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_enqueue(text, text, text, text, jsonb, jsonb, text, jsonb) IS
'Writes a message other than a template''s. Internal.';

/* ---- the functions ----------------------------------------------------------------------------------------------- */

/*
 * Names, arguments and errors are the extension's.  SECURITY DEFINER: whoever may call them need not be able to write
 * to the outbox in any other way.
 */

CREATE OR REPLACE FUNCTION whatsapp.wa_enqueue_message(
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
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    recipient text;
    options jsonb;
    id bigint;
BEGIN
    PERFORM whatsapp.wa_internal_check_given('tenant_id', tenant_id),
        whatsapp.wa_internal_check_given('recipient_phone', recipient_phone);
    recipient := whatsapp.wa_internal_recipient(tenant_id, recipient_phone, template_name);
    PERFORM whatsapp.wa_internal_check_given('template_name', template_name);
    options := whatsapp.wa_internal_options(scheduled_at, expires_at, priority, idempotency_key, reference,
        on_uncertain);
    id := whatsapp.wa_internal_find_key(tenant_id, idempotency_key);
    IF id IS NOT NULL THEN
        RETURN id;
    END IF;
    PERFORM whatsapp.wa_internal_check_template(template_name, language, parameters);
    RETURN whatsapp.wa_internal_write('message', tenant_id, idempotency_key, jsonb_build_object('recipient_phone',
        recipient, 'template_name', template_name, 'parameters', COALESCE(parameters, '[]'), 'language', language)
        || options);
END
$$;
COMMENT ON FUNCTION whatsapp.wa_enqueue_message(text, text, text, jsonb, text, timestamptz, timestamptz, integer,
    text, text, text) IS
'Writes a template message into the outbox, in this transaction, and returns the row''s ID; it goes to the sidecar '
'after COMMIT. Arguments as in the extension. Errors at once: 22004 a required argument is NULL; 22023 bad recipient, '
'time, priority, key, name, or parameters that no template takes. What the sidecar finds wrong (an unknown tenant or '
'template, parameters that do not fit it) becomes the message''s status failed with sqlstate and error_message.';

CREATE OR REPLACE FUNCTION whatsapp.wa_enqueue_payload(
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
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    recipient text;
    options jsonb;
BEGIN
    PERFORM whatsapp.wa_internal_check_given('tenant_id', tenant_id),
        whatsapp.wa_internal_check_given('recipient_phone', recipient_phone);
    recipient := whatsapp.wa_internal_recipient(tenant_id, recipient_phone, type);
    PERFORM whatsapp.wa_internal_check_given('type', type);
    IF payload IS NULL THEN
        PERFORM whatsapp.wa_internal_check_given('payload', NULL);
    END IF;
    PERFORM whatsapp.wa_internal_check_content(type, payload);
    options := whatsapp.wa_internal_options(scheduled_at, expires_at, priority, idempotency_key, reference,
        on_uncertain, context_message_id, fallback_template, fallback_parameters);
    IF type = 'template' AND fallback_template IS NOT NULL THEN
        PERFORM whatsapp.wa_internal_fail('a template needs no fallback_template');
    END IF;
    RETURN whatsapp.wa_internal_enqueue('payload', tenant_id, recipient, type, payload,
        jsonb_build_object('type', type, 'payload', payload), idempotency_key, options);
END
$$;
COMMENT ON FUNCTION whatsapp.wa_enqueue_payload(text, text, text, jsonb, timestamptz, timestamptz, integer, text,
    text, text, text, text, jsonb) IS
'Writes a message of any type of Meta''s API into the outbox. Arguments as in the extension, results as in '
'wa_enqueue_message(). Whether the service window is open is decided at the sidecar: without fallback_template the '
'message''s status is failed with sqlstate 55000 if it is not.';

CREATE OR REPLACE FUNCTION whatsapp.wa_enqueue_text(
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
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    recipient text;
    content jsonb;
BEGIN
    PERFORM whatsapp.wa_internal_check_given('tenant_id', tenant_id),
        whatsapp.wa_internal_check_given('recipient_phone', recipient_phone);
    recipient := whatsapp.wa_internal_recipient(tenant_id, recipient_phone, body);
    PERFORM whatsapp.wa_internal_check_given('body', body);
    content := jsonb_build_object('body', body);
    PERFORM whatsapp.wa_internal_check_content('text', content);
    RETURN whatsapp.wa_internal_enqueue('text', tenant_id, recipient, 'text', content,
        content || CASE WHEN preview_url THEN '{"preview_url": true}' ELSE '{}' END::jsonb, idempotency_key,
        whatsapp.wa_internal_options(scheduled_at, expires_at, priority, idempotency_key, reference, on_uncertain,
            context_message_id, fallback_template, fallback_parameters));
END
$$;
COMMENT ON FUNCTION whatsapp.wa_enqueue_text(text, text, text, boolean, timestamptz, timestamptz, integer, text,
    text, text, text, text, jsonb) IS
'Writes a text of up to 4096 characters into the outbox. Otherwise as wa_enqueue_payload().';

CREATE OR REPLACE FUNCTION whatsapp.wa_enqueue_media(
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
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    recipient text;
    content jsonb;
    given jsonb;
BEGIN
    PERFORM whatsapp.wa_internal_check_given('tenant_id', tenant_id),
        whatsapp.wa_internal_check_given('recipient_phone', recipient_phone);
    recipient := whatsapp.wa_internal_recipient(tenant_id, recipient_phone, media_type);
    PERFORM whatsapp.wa_internal_check_given('media_type', media_type);
    IF media_type NOT IN ('image', 'video', 'audio', 'document', 'sticker') THEN
        PERFORM whatsapp.wa_internal_fail(format('invalid media type "%s"', whatsapp.wa_internal_quote(media_type)),
            hint => 'Use "image", "video", "audio", "document" or "sticker".');
    ELSIF media IS NOT NULL AND (link IS NOT NULL OR media_id IS NOT NULL) THEN
        PERFORM whatsapp.wa_internal_fail(format(
            'a message of type "%s" needs a link, a media id or a file, and only one of them', media_type));
    ELSIF media <= 0 THEN
        PERFORM whatsapp.wa_internal_fail('argument "media" must be what wa_upload_media() returned');
    END IF;
    content := jsonb_strip_nulls(jsonb_build_object('link', link, 'id', COALESCE(media_id, media::text), 'caption',
        caption, 'filename', filename, 'voice', voice));
    PERFORM whatsapp.wa_internal_check_content(media_type, content);
    given := jsonb_strip_nulls(jsonb_build_object('media_type', media_type, 'link', link, 'media_id',
        media_id, 'caption', caption, 'filename', filename, 'voice', voice, 'media', media));
    RETURN whatsapp.wa_internal_enqueue('media', tenant_id, recipient, media_type, content, given, idempotency_key,
        whatsapp.wa_internal_options(scheduled_at, expires_at, priority, idempotency_key, reference, on_uncertain,
            context_message_id, fallback_template, fallback_parameters));
END
$$;
COMMENT ON FUNCTION whatsapp.wa_enqueue_media(text, text, text, text, text, text, text, boolean, bigint, timestamptz,
    timestamptz, integer, text, text, text, text, text, jsonb) IS
'Writes an image, video, audio, document or sticker into the outbox, by link, by Meta''s media ID, or by the ID that '
'wa_upload_media() returned at the sidecar (media). Otherwise as wa_enqueue_payload().';

CREATE OR REPLACE FUNCTION whatsapp.wa_enqueue_interactive(
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
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    recipient text;
BEGIN
    PERFORM whatsapp.wa_internal_check_given('tenant_id', tenant_id),
        whatsapp.wa_internal_check_given('recipient_phone', recipient_phone);
    recipient := whatsapp.wa_internal_recipient(tenant_id, recipient_phone);
    IF interactive IS NULL THEN
        PERFORM whatsapp.wa_internal_check_given('interactive', NULL);
    END IF;
    PERFORM whatsapp.wa_internal_check_content('interactive', interactive);
    RETURN whatsapp.wa_internal_enqueue('interactive', tenant_id, recipient, 'interactive', interactive,
        jsonb_build_object('interactive', interactive), idempotency_key,
        whatsapp.wa_internal_options(scheduled_at, expires_at, priority, idempotency_key, reference, on_uncertain,
            context_message_id, fallback_template, fallback_parameters));
END
$$;
COMMENT ON FUNCTION whatsapp.wa_enqueue_interactive(text, text, jsonb, timestamptz, timestamptz, integer, text, text,
    text, text, text, jsonb) IS
'Writes an interactive message into the outbox: reply buttons, a list, a link button … Otherwise as '
'wa_enqueue_payload().';

CREATE OR REPLACE FUNCTION whatsapp.wa_internal_parameters_of(entry jsonb, common jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN jsonb_typeof(entry -> 'parameters') <> 'null' THEN entry -> 'parameters' ELSE common END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_parameters_of(jsonb, jsonb) IS
'The parameters of one recipient of many. Internal.';

CREATE OR REPLACE FUNCTION whatsapp.wa_internal_bulk_address(entry jsonb, n bigint) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    member text;
    address text := whatsapp.wa_internal_string(entry);
BEGIN
    IF jsonb_typeof(entry) = 'object' THEN
        FOR member IN SELECT * FROM jsonb_object_keys(entry) LOOP
            CONTINUE WHEN member IN ('to', 'recipient_phone', 'parameters', 'reference', 'idempotency_key');
            PERFORM whatsapp.wa_internal_fail(format('unknown member "%s" in recipients[%s]',
                whatsapp.wa_internal_quote(member), n),
                hint => 'Known are "to" (or "recipient_phone"), "parameters", "reference" and "idempotency_key".');
        END LOOP;
        address := COALESCE(whatsapp.wa_internal_string(entry -> 'to'),
            whatsapp.wa_internal_string(entry -> 'recipient_phone'));
    END IF;
    IF address IS NULL THEN
        PERFORM whatsapp.wa_internal_fail(format('recipients[%s] has no recipient', n),
            hint => 'Each entry is a phone number as a string, or an object with "to".');
    END IF;
    RETURN address;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_internal_bulk_address(jsonb, bigint) IS 'The recipient of one entry. Internal.';

CREATE OR REPLACE FUNCTION whatsapp.wa_enqueue_bulk(
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
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    options jsonb;
    e record;
    recipient text;
    key text;
    own_reference text;
    id bigint;
    common_checked boolean := false;
BEGIN
    PERFORM whatsapp.wa_internal_check_given('tenant_id', tenant_id),
        whatsapp.wa_internal_check_given('template_name', template_name);
    IF recipients IS NULL THEN
        PERFORM whatsapp.wa_internal_check_given('recipients', NULL);
    END IF;
    options := whatsapp.wa_internal_options(scheduled_at, expires_at, priority, idempotency_key, reference,
        on_uncertain);
    IF jsonb_typeof(recipients) <> 'array' THEN
        PERFORM whatsapp.wa_internal_fail('argument "recipients" must be a JSON array');
    ELSIF jsonb_array_length(recipients) > 100000 THEN
        PERFORM whatsapp.wa_internal_fail('more than 100000 recipients in one call', state => '54000');
    END IF;
    FOR e IN SELECT l.value, l.n - 1 AS n FROM jsonb_array_elements(recipients) WITH ORDINALITY AS l (value, n) LOOP
        recipient := whatsapp.wa_internal_recipient(tenant_id, whatsapp.wa_internal_bulk_address(e.value, e.n),
            place => format(' in recipients[%s]', e.n));
        key := COALESCE(whatsapp.wa_internal_scalar(e.value -> 'idempotency_key'), idempotency_key || ':' || recipient);
        own_reference := whatsapp.wa_internal_scalar(e.value -> 'reference');
        PERFORM whatsapp.wa_internal_check_length('idempotency_key', key, 512),
            whatsapp.wa_internal_check_length('reference', own_reference, 4096);
        id := whatsapp.wa_internal_find_key(tenant_id, key);
        IF id IS NULL THEN
            IF NOT common_checked OR jsonb_typeof(e.value -> 'parameters') <> 'null' THEN
                PERFORM whatsapp.wa_internal_check_template(template_name, language,
                    whatsapp.wa_internal_parameters_of(e.value, parameters));
                common_checked := common_checked OR COALESCE(jsonb_typeof(e.value -> 'parameters'), 'null') = 'null';
            END IF;
            id := whatsapp.wa_internal_write('message', tenant_id, key, jsonb_build_object('recipient_phone', recipient,
                'template_name', template_name, 'parameters',
                COALESCE(whatsapp.wa_internal_parameters_of(e.value, parameters), '[]'), 'language',
                    language) || options
                || CASE WHEN own_reference IS NULL THEN '{}' ELSE jsonb_build_object('reference', own_reference) END,
                    true);
        END IF;
        RETURN NEXT id;
    END LOOP;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_enqueue_bulk(text, text, jsonb, jsonb, text, timestamptz, timestamptz, integer, text,
    text, text) IS
'Writes one template for many recipients into the outbox and returns the IDs in their order. Arguments as in the '
'extension. Rows written here have a stream of their own: they do not hold up other messages, and have no order with '
'them. Otherwise as wa_enqueue_message().';

/* Tenant IDs of any type, as in the extension. */
DO $$
DECLARE
    f record;
BEGIN
    FOR f IN
        SELECT p.proname, p.oid, p.proretset, p.pronargs,
            (SELECT pg_catalog.string_agg(pg_catalog.format('$%s', i), ', ' ORDER BY i)
             FROM pg_catalog.generate_series(2, p.pronargs) AS i) AS inputs
        FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = 'whatsapp'::regnamespace AND p.proname LIKE 'wa\_enqueue\_%'
            AND p.proargtypes[0] = 'text'::regtype
    LOOP
        EXECUTE pg_catalog.format('CREATE OR REPLACE FUNCTION whatsapp.%I(%s) RETURNS %s LANGUAGE sql SECURITY DEFINER '
            'SET search_path = pg_catalog, pg_temp AS %L', f.proname,
            pg_catalog.regexp_replace(pg_catalog.pg_get_function_arguments(f.oid), '^tenant_id text',
                'tenant_id anyelement'),
            pg_catalog.pg_get_function_result(f.oid),
            pg_catalog.format('SELECT %s whatsapp.%I($1::text, %s)', '', f.proname, f.inputs));
        EXECUTE pg_catalog.format('COMMENT ON FUNCTION whatsapp.%I(%s) IS %L', f.proname,
            pg_catalog.regexp_replace(pg_catalog.pg_get_function_identity_arguments(f.oid), '^tenant_id text',
                'tenant_id anyelement'),
            'The same for a tenant ID of any type, such as uuid or bigint.');
    END LOOP;
END
$$;

/* ---- what became of them ---------------------------------------------------------------------------------------- */

/* Rows of the outbox of which nothing has come back; the sidecar reads them, too. */
CREATE OR REPLACE VIEW whatsapp_outbox.unanswered AS
    SELECT o.key, o.id, o.kind, o.tenant_id, o.idempotency_key, o.args, o.bulk, o.created_at
    FROM whatsapp_outbox.outbox AS o
    WHERE NOT EXISTS (SELECT FROM whatsapp_outbox.result AS r WHERE r.key = o.key);
COMMENT ON VIEW whatsapp_outbox.unanswered IS
'Rows of the outbox of which nothing has come back from the sidecar yet.';

/*
 * As the extension's table of this name, for the messages that were enqueued here.  Until the sidecar has taken a
 * message it is queued with the reason outbox; what it refused is failed.
 */
CREATE OR REPLACE VIEW whatsapp.whatsapp_messages AS
    SELECT r.outbox_id AS id, m.tenant_id, m.phone_number_id, m.recipient_phone, m.recipient_user_id, m.message_type,
        m.template_name, m.template_language, m.status, m.status_reason, m.attempts, m.priority, r.idempotency_key,
        m.reference, m.whatsapp_message_id, m.error_code, m.error_message, m.pricing_category, m.billable, m.created_at,
        m.scheduled_at, m.expires_at, m.accepted_at, m.sent_at, m.delivered_at, m.read_at, m.played_at, m.failed_at,
        m.finished_at, NULL::text AS sqlstate, r.key, m.id AS sidecar_id
    FROM whatsapp_sidecar.whatsapp_messages AS m LEFT JOIN whatsapp_outbox.result AS r ON r.message_id = m.id
    UNION ALL
    SELECT o.id, o.tenant_id, NULL,
        CASE WHEN o.args ->> 'recipient_phone' LIKE '+%' THEN o.args ->> 'recipient_phone' END,
        CASE WHEN o.args ->> 'recipient_phone' NOT LIKE '+%' THEN o.args ->> 'recipient_phone' END,
        CASE o.kind WHEN 'message' THEN 'template' WHEN 'media' THEN o.args ->> 'media_type'
            WHEN 'payload' THEN o.args ->> 'type' ELSE o.kind END,
        o.args ->> 'template_name', o.args ->> 'language',
        CASE r.outcome WHEN 'rejected' THEN 'failed' WHEN 'expired' THEN 'expired' ELSE 'queued' END,
        CASE WHEN r.outcome IS NULL THEN 'outbox' WHEN r.outcome = 'rejected' THEN 'rejected' END,
        0::smallint, COALESCE((o.args ->> 'priority')::smallint, 0::smallint), o.idempotency_key,
            o.args ->> 'reference',
        NULL, NULL, NULLIF(pg_catalog.concat_ws(E'\n', r.message, r.detail, r.hint), ''), NULL, NULL, o.created_at,
        COALESCE((o.args ->> 'scheduled_at')::timestamptz, o.created_at), (o.args ->> 'expires_at')::timestamptz, NULL,
        NULL, NULL, NULL, NULL, CASE r.outcome WHEN 'rejected' THEN r.taken_at END,
        CASE WHEN r.outcome <> 'enqueued' THEN r.taken_at END, r.sqlstate, o.key, r.message_id
    FROM whatsapp_outbox.outbox AS o LEFT JOIN whatsapp_outbox.result AS r ON r.key = o.key
    WHERE r.outcome IS DISTINCT FROM 'enqueued';
COMMENT ON VIEW whatsapp.whatsapp_messages IS
'Every message and its status, as in the extension. id is what the enqueue function returned. queued with the reason '
'outbox: the sidecar has not taken it yet. failed with the reason rejected: the call was wrong, and sqlstate and '
'error_message say why.';

CREATE OR REPLACE VIEW whatsapp.whatsapp_inbound_messages AS
    SELECT i.inbound_id, i.whatsapp_message_id, i.tenant_id, i.phone_number_id, i.sender_phone, i.sender_user_id,
        i.message_type, i.text, i.context_whatsapp_message_id, r.outbox_id AS message_id, i.reply_id, i.reply_title,
        i.sent_at, i.too_old, i.received_at
    FROM whatsapp_sidecar.whatsapp_inbound_messages AS i LEFT JOIN whatsapp_outbox.result AS r USING (message_id);
COMMENT ON VIEW whatsapp.whatsapp_inbound_messages IS
'What customers wrote and which buttons they pressed; message_id is the ID, here, of the message they replied to.';

CREATE OR REPLACE VIEW whatsapp.whatsapp_opt_outs AS SELECT * FROM whatsapp_sidecar.whatsapp_opt_outs;
COMMENT ON VIEW whatsapp.whatsapp_opt_outs IS 'Who wants no messages. They are skipped at the sidecar.';

CREATE OR REPLACE VIEW whatsapp.whatsapp_templates AS SELECT * FROM whatsapp_sidecar.whatsapp_templates;
COMMENT ON VIEW whatsapp.whatsapp_templates IS 'The account''s templates, as the sidecar has read them from Meta.';

/* ---- does it work? ---------------------------------------------------------------------------------------------- */

/*
 * The application's side of it; the sidecar has a function of its own.  A slot of which nobody reads keeps WAL until
 * the disk is full, or until the server gives it up and its messages wait for the reconciliation.
 */
CREATE OR REPLACE FUNCTION whatsapp.wa_outbox_health() RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    slots integer := 0;
    s record;
    behind bigint;
    n bigint;
    oldest timestamptz;
BEGIN
    FOR s IN SELECT * FROM pg_replication_slots
        WHERE plugin = 'pgoutput' AND database = current_database() AND starts_with(slot_name, 'whatsapp_outbox')
        ORDER BY slot_name
    LOOP
        slots := slots + 1;
        behind := CASE WHEN NOT pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_current_wal_lsn(),
            s.confirmed_flush_lsn) END;
        item := 'slot ' || s.slot_name;
        detail := concat_ws(', ', CASE WHEN s.active THEN 'active' ELSE 'nobody reads' END,
            pg_size_pretty(behind) || ' behind', 'wal_status ' || COALESCE(s.wal_status, 'unknown'),
            pg_size_pretty(s.safe_wal_size) || ' until it is given up');
        remedy := NULL;
        IF s.wal_status = 'lost' THEN
            state := 'error';
            remedy := 'The server has given it up. SELECT pg_drop_replication_slot and create it again '
                '(docs/managed.md); messages wait for the reconciliation meanwhile.';
        ELSIF NOT s.active OR s.wal_status = 'unreserved' OR s.safe_wal_size < 256 * 1024 * 1024 THEN
            state := CASE WHEN s.wal_status = 'unreserved' OR s.safe_wal_size < 256 * 1024 * 1024 OR behind > 1073741824
                THEN 'error' ELSE 'warning' END;
            remedy := 'Start the sidecar and look at its log. WAL is kept for it; if it is gone for good, drop the '
                'slot.';
        ELSE
            state := CASE WHEN behind > 1073741824 THEN 'warning' ELSE 'ok' END;
        END IF;
        RETURN NEXT;
    END LOOP;
    IF slots = 0 THEN
        item := 'slot whatsapp_outbox';
        state := 'error';
        detail := 'There is none: nothing leaves by replication.';
        remedy := 'CREATE SUBSCRIPTION at the sidecar makes it. After a failover without it: '
            'SELECT pg_create_logical_replication_slot(''whatsapp_outbox'', ''pgoutput'').';
        RETURN NEXT;
    END IF;

    SELECT count(*), min(u.created_at) INTO n, oldest
    FROM (SELECT v.created_at FROM whatsapp_outbox.unanswered AS v WHERE v.created_at < now() - interval '1 minute'
          LIMIT 10000) AS u;
    item := 'unanswered';
    state := CASE WHEN n = 0 THEN 'ok' WHEN oldest > now() - interval '5 minutes' THEN 'warning' ELSE 'error' END;
    detail := format('%s rows of the outbox have had no result for a minute%s', CASE n WHEN 10000 THEN '10000 or more'
        ELSE n::text END, ', the oldest since ' || oldest);
    remedy := CASE WHEN n > 0 THEN 'See the slots above, then the sidecar: whatsapp_outbox.health() there.' END;
    RETURN NEXT;

    SELECT count(*) INTO n FROM whatsapp_outbox.result AS r
    WHERE r.outcome = 'rejected' AND r.taken_at > now() - interval '1 hour';
    item := 'rejected';
    state := CASE WHEN n = 0 THEN 'ok' ELSE 'warning' END;
    detail := n || ' messages of the last hour were wrong';
    remedy := CASE WHEN n > 0 THEN 'SELECT * FROM whatsapp.whatsapp_messages WHERE status_reason = ''rejected''' END;
    RETURN NEXT;

    FOR s IN SELECT b.subname, b.subenabled, t.pid, t.latest_end_time FROM pg_subscription AS b
            LEFT JOIN pg_stat_subscription AS t ON t.subid = b.oid AND t.relid IS NULL
        WHERE b.subdbid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
            AND EXISTS (SELECT FROM pg_subscription_rel AS l
                WHERE l.srsubid = b.oid AND l.srrelid = 'whatsapp_outbox.result'::regclass)
    LOOP
        item := 'subscription ' || s.subname;
        state := CASE WHEN s.pid IS NULL THEN 'error' ELSE 'ok' END;
        detail := CASE WHEN NOT s.subenabled THEN 'disabled' WHEN s.pid IS NULL THEN 'not running'
            ELSE 'last heard of at ' || COALESCE(s.latest_end_time::text, 'no time yet') END;
        remedy := CASE WHEN s.pid IS NULL THEN 'Results are late. Look at this server''s log; ALTER SUBSCRIPTION … '
            'ENABLE.' END;
        RETURN NEXT;
    END LOOP;

    SELECT count(*), min(o.created_at) INTO n, oldest
    FROM (SELECT x.created_at FROM whatsapp_outbox.outbox AS x WHERE x.created_at < now() - interval '8 days'
          LIMIT 10000) AS o;
    item := 'retention';
    state := CASE WHEN n = 0 THEN 'ok' ELSE 'warning' END;
    detail := n || ' rows of the outbox are older than 8 days';
    remedy := CASE WHEN n > 0 THEN 'The sidecar''s whatsapp_outbox.work() deletes what has a result after 7 days; what '
        'has none is not sent any more, and yours to delete.' END;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_outbox_health() IS
'One row per check of this side: replication slots, rows without a result for a minute, rejected messages, the '
'subscription that brings results, retention. state: ok, warning or error.';

/* ---- what is published, and who may do what --------------------------------------------------------------------- */

/*
 * Inserts only: that a row is deleted is nobody's business.  The columns are named, so that one which is added here
 * does not stop a sidecar that lacks it.  PostgreSQL 14 knows neither lists of columns nor conditions: there the
 * second publication is empty, and bulk has no stream of its own.
 */
DO $$
DECLARE
    columns CONSTANT text := '(key, id, kind, tenant_id, idempotency_key, args, bulk, created_at)';
    old CONSTANT boolean := pg_catalog.current_setting('server_version_num')::integer < 150000;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_publication WHERE pubname = 'whatsapp_outbox') THEN
        EXECUTE 'CREATE PUBLICATION whatsapp_outbox FOR TABLE whatsapp_outbox.outbox '
            || CASE WHEN old THEN '' ELSE columns || ' WHERE (NOT bulk)' END || ' WITH (publish = ''insert'')';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_publication WHERE pubname = 'whatsapp_outbox_bulk') THEN
        EXECUTE 'CREATE PUBLICATION whatsapp_outbox_bulk '
            || CASE WHEN old THEN '' ELSE 'FOR TABLE whatsapp_outbox.outbox ' || columns || ' WHERE (bulk)' END
            || ' WITH (publish = ''insert'')';
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION whatsapp.wa_grant(role name, privilege text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    f regprocedure;
BEGIN
    CASE privilege
        WHEN 'sender' THEN
            EXECUTE format('GRANT USAGE ON SCHEMA whatsapp TO %I', role);
            FOR f IN SELECT p.oid FROM pg_proc AS p
                WHERE p.pronamespace = 'whatsapp'::regnamespace AND p.proname LIKE 'wa\_enqueue\_%'
            LOOP
                EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', f, role);
            END LOOP;
        WHEN 'monitor' THEN
            EXECUTE format('GRANT USAGE ON SCHEMA whatsapp TO %I', role);
            EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA whatsapp TO %I', role);
            EXECUTE format('GRANT EXECUTE ON FUNCTION whatsapp.wa_outbox_health() TO %I', role);
        WHEN 'sidecar' THEN
            EXECUTE format('GRANT USAGE ON SCHEMA whatsapp_outbox, whatsapp_sidecar TO %I', role);
            EXECUTE format('GRANT SELECT ON whatsapp_outbox.unanswered TO %I', role);
            EXECUTE format('GRANT SELECT, DELETE ON whatsapp_outbox.outbox TO %I', role);
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON whatsapp_outbox.result, '
                'whatsapp_sidecar.whatsapp_messages TO %I', role);
        ELSE
            RAISE EXCEPTION 'invalid privilege "%"', privilege USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Use "sender", "monitor" or "sidecar".';
    END CASE;
END
$$;
COMMENT ON FUNCTION whatsapp.wa_grant(name, text) IS
'Grants a role sender (enqueue), monitor (read messages, replies, templates and the health) or sidecar (what the '
'sidecar''s login needs besides REPLICATION). REVOKE takes it back.';

DO $$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN SELECT oid FROM pg_catalog.pg_proc
        WHERE pronamespace IN ('whatsapp'::regnamespace, 'whatsapp_outbox'::regnamespace)
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
    END LOOP;
END
$$;
REVOKE ALL ON ALL TABLES IN SCHEMA whatsapp, whatsapp_outbox, whatsapp_sidecar FROM PUBLIC;

COMMIT;
