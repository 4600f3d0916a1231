/* From 1.0.0 to 1.1.0: in the order of the fragments (sql/README.md, "A new version"). */

\echo Use "ALTER EXTENSION whatsapp_shared UPDATE" to load this file. \quit

/* ---- 05-processes ---------------------------------------------------------------- */

CREATE FUNCTION @extschema@.wa_internal_sender_room(
    OUT wanted integer,
    OUT room integer,
    OUT processes integer
)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_sender_room';
COMMENT ON FUNCTION @extschema@.wa_internal_sender_room() IS
'If this server cannot run all its senders: how many are wanted, how many there is room for, and the least value of '
'max_worker_processes that suffices (NULL: none does). Else all NULL. Internal.';

CREATE FUNCTION @extschema@.wa_internal_connections(OUT sender integer, OUT wanted integer, OUT possible integer)
RETURNS SETOF record
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_connections';
COMMENT ON FUNCTION @extschema@.wa_internal_connections() IS
'How many connections each running sender of this database would have to open over HTTP/1.1 by the settings, and how '
'many it can. Internal.';

CREATE FUNCTION @extschema@.wa_internal_histograms(
    OUT histogram text,
    OUT upper_bound double precision,
    OUT observations bigint,
    OUT sum double precision
) RETURNS SETOF record
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_histograms';
COMMENT ON FUNCTION @extschema@.wa_internal_histograms() IS
'Durations in seconds that the senders of this database have measured: for each histogram and bound how many were not '
'longer, and the sum of all. Internal.';

CREATE FUNCTION @extschema@.wa_internal_throttled(OUT reason text, OUT messages bigint)
RETURNS SETOF record
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_throttled';
COMMENT ON FUNCTION @extschema@.wa_internal_throttled() IS
'How often messages had to wait without losing an attempt, by reason, as wa_stats() counts it. Internal.';

CREATE FUNCTION @extschema@.wa_internal_clock(OUT ahead double precision, OUT seen_at timestamptz)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_clock';
COMMENT ON FUNCTION @extschema@.wa_internal_clock() IS
'By how many seconds this server''s clock is ahead of Meta''s (negative: behind), by the Date of a response to a '
'sender of this database, and when that was; NULL: there was none. Internal.';

CREATE FUNCTION @extschema@.wa_internal_snapshots(
    OUT pid integer,
    OUT is_standby boolean,
    OUT began_at timestamptz,
    OUT transactions bigint
) RETURNS SETOF record
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_snapshots';
COMMENT ON FUNCTION @extschema@.wa_internal_snapshots() IS
'The other processes whose transactions keep dead rows of this database: since when, and how many transactions have '
'begun since. is_standby: it speaks for a standby with hot_standby_feedback. Internal.';

CREATE FUNCTION @extschema@.wa_internal_disk_space(
    relation regclass, OUT place text, OUT size bigint, OUT free bigint
) RETURNS SETOF record
    LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_disk_space';
COMMENT ON FUNCTION @extschema@.wa_internal_disk_space(regclass) IS
'Size and free bytes of the file system of a table (data) and, if it is another one, of that of WAL (wal). Internal.';

/* ---- 08-names -------------------------------------------------------------------- */

/* Digits are what counts: the same number may be written in many ways. */
CREATE FUNCTION @extschema@.wa_internal_digits(written text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT regexp_replace(written, '[^0-9]', '', 'g')
$$;

CREATE OR REPLACE FUNCTION @extschema@.wa_internal_same_number(a text, b text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT @extschema@.wa_internal_digits(a) IS NOT DISTINCT FROM @extschema@.wa_internal_digits(b)
$$;

/* ---- 10-installation ------------------------------------------------------------- */

ALTER TABLE @extschema@.whatsapp_home
    ADD COLUMN synchronous boolean NOT NULL DEFAULT false,
    ADD COLUMN takeover_at timestamptz,
    ADD COLUMN takeover_since timestamptz,
    ADD COLUMN takeover_through bigint,
    ADD COLUMN takeover_first bigint,
    ADD COLUMN takeover_prepared bigint[];
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

CREATE OR REPLACE FUNCTION @extschema@.wa_adopt(new_identity boolean DEFAULT false) RETURNS boolean
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

/* ---- 12-alerts ------------------------------------------------------------------- */

DELETE FROM @extschema@.whatsapp_alerts AS a
    WHERE a.scope = 'message'
        AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_messages AS m WHERE m.id::pg_catalog.text = a.key);
/* They go with their message. */
CREATE INDEX whatsapp_alerts_message_idx ON @extschema@.whatsapp_alerts (key) WHERE scope = 'message';
COMMENT ON COLUMN @extschema@.whatsapp_alerts.scope IS
'What the alert concerns: account, number, tenant, template, message; recipient, in rows that only those see who may '
'read whatsapp_messages; empty for others.';

/* What each kind of alert is about and what to do, in words; the alert itself has the facts. */
CREATE FUNCTION @extschema@.wa_internal_alert_kinds(OUT kind text, OUT title text, OUT remedy text)
RETURNS SETOF record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    VALUES
    ('account_alert', 'Meta raises an alert about the account',
     'Read it in Business Manager, then resolve the alert.'),
    ('account_disabled', 'Meta disables the account',
     'Nothing can be sent from it: appeal in Business Manager, and tell your tenants.'),
    ('account_restriction', 'Meta restricts the account',
     'See the restriction and its end in Business Manager; request a review if it is wrong.'),
    ('account_review', 'Meta has reviewed the account', 'See Business Manager; a rejection can be appealed.'),
    ('account_update', 'Meta has changed the account', 'Read it, then resolve the alert.'),
    ('account_violation', 'Meta reports a violation of its policy',
     'See Business Manager for the message concerned, and stop sending its like.'),
    ('api_version', 'Meta answers with another version of its API',
     'Set whatsapp_shared.api_version to the version that Meta answers with, and reload.'),
    ('business_username', 'A user name has changed', 'Read it, then resolve the alert.'),
    ('duplicate_send', 'Messages have reached Meta more than once',
     'Tell the tenant that its recipient may have got the message twice, then resolve the alert.'),
    ('messaging_limit', 'Meta has lowered the limit of recipients per day',
     'Send less, and only what recipients asked for: the limit rises with quality.'),
    ('network', 'Meta does not answer',
     'It is tried again and again. If it lasts, check the server''s connection to graph.facebook.com.'),
    ('node_behind', 'Another node does not take its webhooks',
     'See its gateway, its server and its app secret; what waits is delivered by itself.'),
    ('node_expired', 'Webhooks for another node were given up',
     'Meta does not repeat them: tell the tenants of that node.'),
    ('node_full', 'Too many webhooks wait for another node',
     'Meta repeats those that are refused for seven days: have the node run before that.'),
    ('node_refuses', 'Another node refuses a webhook',
     'See the log of that node''s server for the reason; it is tried again by itself.'),
    ('no_numbers', 'Meta lists no phone numbers',
     'Check whatsapp_shared.business_account_id and the permissions of the access token.'),
    ('number_display', 'A number was entered differently than at Meta',
     'Check that the right number was assigned, then resolve the alert.'),
    ('number_flagged', 'Meta has flagged numbers for their quality',
     'Recipients block or report their messages: send fewer, and only what they asked for.'),
    ('number_missing', 'Numbers are no longer part of the account',
     'Assign their tenants other numbers, or restore them in WhatsApp Manager.'),
    ('number_name', 'Meta has rejected a display name', 'Choose another name in WhatsApp Manager.'),
    ('number_name_approved', 'Meta has approved a display name', 'Register the number again to show it.'),
    ('number_quality', 'The quality of numbers is low',
     'Recipients block or report their messages: send fewer, and only what they asked for.'),
    ('number_status', 'Numbers are not connected',
     'See WhatsApp Manager; assign their tenants other numbers meanwhile.'),
    ('number_unlisted', 'Assigned numbers are not the account''s',
     'What is sent from them fails: assign the tenants numbers of the account.'),
    ('opted_out_of_all', 'Recipients get no message at all', 'If they have agreed again, opt them in: wa_opt_in().'),
    ('parked_events', 'Many webhook items could not be used',
     'See whatsapp_parked_events for the reasons; after an update of the extension they may be usable.'),
    ('parked_messages', 'What customers wrote could not be used',
     'See whatsapp_parked_events; after an update of the extension, wa_reprocess_parked() takes it in.'),
    ('paused', 'Sending is paused', 'Resume when the cause has gone.'),
    ('registration', 'Registered code is not run',
     'The roles behind a handler or a notification have changed: register it again.'),
    ('reply_handler', 'A handler of replies fails', 'Fix the function, then wa_retry_reply() for what it has missed.'),
    ('security', 'Security events of phone numbers',
     'If you did not cause them, change the PIN in WhatsApp Manager and look who has access.'),
    ('statuses_missing', 'Many messages have no delivery status',
     'Check that the webhook receiver answers and that the app is subscribed to the account.'),
    ('sync', 'Meta''s lists cannot be read',
     'Check whatsapp_shared.business_account_id and the permissions of the access token.'),
    ('template_category', 'Meta changes the category of templates',
     'Price and limits go with it: word the template anew if the category is wrong.'),
    ('template_quality', 'The quality of templates is low', 'Word them anew before Meta pauses them.'),
    ('template_status', 'Templates cannot be used', 'See the reason in WhatsApp Manager; edit or replace them.'),
    ('token', 'The access token needs attention',
     'Put a new token into the file named by whatsapp_shared.access_token_file; it is read again by itself.'),
    ('uncertain', 'Messages may or may not have arrived',
     'Ask the recipient, then decide: arrived, failed, or send again.'),
    ('unknown_error_code', 'Meta reports an error that is not known here',
     'Look it up at Meta; a newer version of the extension may know it.'),
    ('webhook_error', 'Meta reports errors by webhook', 'Read them, then resolve the alert.'),
    ('webhook_silence', 'No webhook reports on messages',
     'Check that the webhook receiver is reachable from the internet and that the app is subscribed to the account.')
$$;

/* ---- 16-tenants ------------------------------------------------------------------ */

ALTER TABLE @extschema@.whatsapp_tenants ADD COLUMN marketing_api boolean NOT NULL DEFAULT false,
    ADD COLUMN read_receipts boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN @extschema@.whatsapp_tenants.marketing_api IS
'Whether its marketing templates go to Meta''s Marketing Messages API.';
COMMENT ON COLUMN @extschema@.whatsapp_tenants.read_receipts IS
'Whether customers are shown that what they wrote was read (blue ticks); see wa_mark_read().';
/* Subtracted from now, what is longer is no time. */
ALTER TABLE @extschema@.whatsapp_tenants DROP CONSTRAINT whatsapp_tenants_retention_check;
UPDATE @extschema@.whatsapp_tenants SET retention = '0' WHERE retention > '100 years';
ALTER TABLE @extschema@.whatsapp_tenants ADD CONSTRAINT whatsapp_tenants_retention_check
    CHECK (retention = interval '0' OR retention BETWEEN interval '1 day' AND interval '100 years');
ALTER TABLE @extschema@.whatsapp_tenants ADD COLUMN on_thread text NOT NULL DEFAULT 'hold'
    CONSTRAINT whatsapp_tenants_on_thread_check CHECK (on_thread IN ('hold', 'take_over'));
COMMENT ON COLUMN @extschema@.whatsapp_tenants.on_thread IS
'What its free-form messages do while another application has the conversation with the recipient: hold (they wait '
'until it is given back) or take_over (they are sent, which takes the conversation over).';

DROP FUNCTION @extschema@.wa_configure_tenant(text, boolean, text, real, time, time, text, text, real, interval,
    text[], boolean);
DROP FUNCTION @extschema@.wa_configure_tenant(anyelement, boolean, text, real, time, time, text, text, real, interval,
    text[], boolean);

/* What resembles a new one: see wa_internal_check_new_tenant. */
CREATE INDEX whatsapp_tenants_resembled_idx
    ON @extschema@.whatsapp_tenants (pg_catalog.lower(pg_catalog.btrim(tenant_id)));

CREATE FUNCTION @extschema@.wa_internal_known_zone(candidate text) RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_known_zone';
COMMENT ON FUNCTION @extschema@.wa_internal_known_zone(text) IS
'This time zone; the server''s own if it is null, or if the server knows it no more. Internal.';

CREATE FUNCTION @extschema@.wa_internal_check_on_thread(candidate text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF candidate NOT IN ('hold', 'take_over') THEN
        RAISE EXCEPTION 'invalid value of on_thread: "%"', @extschema@.wa_internal_quote(candidate)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Use hold or take_over.';
    END IF;
    RETURN candidate;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_may_be_tenant(tenant text) RETURNS boolean
    LANGUAGE c STRICT STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_may_be_tenant';
COMMENT ON FUNCTION @extschema@.wa_internal_may_be_tenant(text) IS
'Whether no role of the session is bound to another tenant. Internal.';

CREATE FUNCTION @extschema@.wa_internal_bound_tenant() RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_bound_tenant';
COMMENT ON FUNCTION @extschema@.wa_internal_bound_tenant() IS
'The tenant that a role of the session is bound to; NULL: none is. Internal.';

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
    is_new boolean DEFAULT false,
    marketing_api boolean DEFAULT NULL,
    read_receipts boolean DEFAULT NULL,
    on_thread text DEFAULT NULL)
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
    new.marketing_api := COALESCE(wa_configure_tenant.marketing_api, new.marketing_api);
    new.read_receipts := COALESCE(wa_configure_tenant.read_receipts, new.read_receipts);
    new.on_thread := COALESCE(@extschema@.wa_internal_check_on_thread(wa_configure_tenant.on_thread), new.on_thread);
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
            retention = new.retention, marketing_api = new.marketing_api, read_receipts = new.read_receipts,
            on_thread = new.on_thread, updated_at = new.updated_at
        WHERE t.tenant_id = new.tenant_id;

    /* What waited for the old settings looks at the new ones. */
    IF new.enabled AND NOT old.enabled THEN
        PERFORM @extschema@.wa_internal_release_holds('tenant_disabled'::text, tenant => new.tenant_id);
    END IF;
    IF new.on_thread = 'take_over' AND old.on_thread <> 'take_over' THEN
        PERFORM @extschema@.wa_internal_release_holds('thread_taken'::text, tenant => new.tenant_id);
    END IF;
    IF (new.quiet_from, new.quiet_to, new.time_zone) IS DISTINCT FROM (old.quiet_from, old.quiet_to, old.time_zone) THEN
        PERFORM @extschema@.wa_internal_release_holds('quiet_hours'::text, tenant => new.tenant_id);
        PERFORM @extschema@.wa_internal_begin_quiet_hours();
    END IF;
    RETURN new;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_configure_tenant(text, boolean, text, real, time, time, text, text, real,
    interval, text[], boolean, boolean, boolean, text) IS
'Changes the settings of a tenant. NULL leaves a setting as it is; naming it in reset returns it to the '
'installation''s default. is_new: the tenant is created if it does not exist, and has no number then '
'(wa_assign_phone() creates a tenant with one). marketing_api: its marketing templates go to Meta''s Marketing '
'Messages API, whose terms the account must have accepted. read_receipts: whether wa_mark_read() tells customers. '
'on_thread: hold or take_over, for free-form messages while another application has the conversation. Errors: 22004, '
'22023; 42704 no such tenant.';

/* The rules that the table's constraints state, in words a person can act on. */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_check_tenant(t @extschema@.whatsapp_tenants) RETURNS void
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
    ELSIF t.retention > interval '100 years' THEN
        RAISE EXCEPTION 'retention of % is more than 100 years', t.retention
            USING ERRCODE = 'invalid_parameter_value', HINT = '0 keeps all.';
    END IF;
END
$$;

/* ---- 18-nodes -------------------------------------------------------------------- */

CREATE FUNCTION @extschema@.wa_internal_address_problem(address text) RETURNS text
    LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_address_problem';
COMMENT ON FUNCTION @extschema@.wa_internal_address_problem(text) IS
'Why nothing may be sent to this address: it must be https, or http to this machine. NULL: it may. Internal.';

CREATE TABLE @extschema@.whatsapp_nodes (
    node              text COLLATE "C" PRIMARY KEY
        CONSTRAINT whatsapp_nodes_node_check CHECK (node ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    url               text NOT NULL
        CONSTRAINT whatsapp_nodes_url_check CHECK (@extschema@.wa_internal_address_problem(url) IS NULL),
    max_waiting       integer NOT NULL DEFAULT 1000000
        CONSTRAINT whatsapp_nodes_max_waiting_check CHECK (max_waiting > 0),
    created_at        timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    is_full           boolean NOT NULL DEFAULT false,
    delivered         bigint NOT NULL DEFAULT 0,
    errors            bigint NOT NULL DEFAULT 0,
    expired           bigint NOT NULL DEFAULT 0,
    last_delivered_at timestamptz,
    failing_since     timestamptz,
    last_error        text
) WITH (fillfactor = 50);
COMMENT ON TABLE @extschema@.whatsapp_nodes IS
'Other installations to which this one passes on the webhooks of their numbers: wa_register_node().';
COMMENT ON COLUMN @extschema@.whatsapp_nodes.node IS 'Name of the node: lower-case letters, digits, "-" and "_".';
COMMENT ON COLUMN @extschema@.whatsapp_nodes.url IS 'Where its gateway takes webhooks.';
COMMENT ON COLUMN @extschema@.whatsapp_nodes.max_waiting IS
'When more changes than this wait for it, webhooks for its numbers are refused, so that Meta keeps them.';
COMMENT ON COLUMN @extschema@.whatsapp_nodes.created_at IS 'When it was registered.';
COMMENT ON COLUMN @extschema@.whatsapp_nodes.is_full IS 'Whether more than max_waiting wait, to within ten seconds.';
COMMENT ON COLUMN @extschema@.whatsapp_nodes.delivered IS 'Changes that it has taken.';
COMMENT ON COLUMN @extschema@.whatsapp_nodes.errors IS 'Requests that it did not answer with 2xx.';
COMMENT ON COLUMN @extschema@.whatsapp_nodes.expired IS 'Changes that were given up after seven days.';
COMMENT ON COLUMN @extschema@.whatsapp_nodes.last_delivered_at IS 'When it last took something.';
COMMENT ON COLUMN @extschema@.whatsapp_nodes.failing_since IS
'When the first request failed since it last took something; NULL: none has.';
COMMENT ON COLUMN @extschema@.whatsapp_nodes.last_error IS 'Why the last request failed that did.';

CREATE TABLE @extschema@.whatsapp_node_numbers (
    phone_number_id text COLLATE "C" PRIMARY KEY
        CONSTRAINT whatsapp_node_numbers_id_check CHECK (phone_number_id ~ '^[0-9]{5,20}$'),
    node            text COLLATE "C"
        CONSTRAINT whatsapp_node_numbers_node_fkey REFERENCES @extschema@.whatsapp_nodes,
    former_nodes    text[] COLLATE "C" NOT NULL DEFAULT '{}',
    moved_at        timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX whatsapp_node_numbers_node_idx ON @extschema@.whatsapp_node_numbers (node);
COMMENT ON TABLE @extschema@.whatsapp_node_numbers IS
'Which node has which number: wa_assign_number_to_node(). What is not here is this database''s.';
COMMENT ON COLUMN @extschema@.whatsapp_node_numbers.phone_number_id IS 'Meta''s ID of the number.';
COMMENT ON COLUMN @extschema@.whatsapp_node_numbers.node IS 'The node that has it; NULL: this database, as of old.';
COMMENT ON COLUMN @extschema@.whatsapp_node_numbers.former_nodes IS
'Who had it before: for 30 days they get its statuses, too, which may be of messages that they have sent. Empty text: '
'this database.';
COMMENT ON COLUMN @extschema@.whatsapp_node_numbers.moved_at IS 'When it came to where it is now.';

/*
 * Whoever is about to assign one of these numbers has a lock that conflicts with this one, and has
 * it until he commits.  Reading, enqueueing and sending go on.
 */
CREATE FUNCTION @extschema@.wa_internal_node_number_is_free() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    holder text;
BEGIN
    LOCK TABLE @extschema@.whatsapp_phone_assignments IN SHARE ROW EXCLUSIVE MODE;
    SELECT a.tenant_id INTO holder FROM @extschema@.whatsapp_phone_assignments AS a
        WHERE a.phone_number_id = NEW.phone_number_id AND a.unassigned_at IS NULL;
    IF FOUND THEN
        RAISE EXCEPTION 'phone number "%" is assigned here', @extschema@.wa_internal_quote(NEW.phone_number_id)
            USING ERRCODE = 'unique_violation',
                  DETAIL = format('It is assigned to tenant "%s" of this database.', holder),
                  HINT = format('Release it first: SELECT wa_unassign_phone(%L);', holder),
                  CONSTRAINT = 'whatsapp_phone_assignments_number_key';
    ELSIF NEW.phone_number_id = current_setting('whatsapp_shared.phone_number_id', true) THEN
        RAISE EXCEPTION 'phone number "%" is the default number', @extschema@.wa_internal_quote(NEW.phone_number_id)
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'Tenants of this database that have no number of their own send from it.',
                  HINT = 'Set whatsapp_shared.phone_number_id to another number, or to none.';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER whatsapp_node_numbers_free
    BEFORE INSERT OR UPDATE ON @extschema@.whatsapp_node_numbers
    FOR EACH ROW WHEN (NEW.node IS NOT NULL)
    EXECUTE FUNCTION @extschema@.wa_internal_node_number_is_free();

CREATE FUNCTION @extschema@.wa_internal_number_is_no_node_s() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    holder text;
BEGIN
    SELECT n.node INTO holder FROM @extschema@.whatsapp_node_numbers AS n
        WHERE n.phone_number_id = NEW.phone_number_id AND n.node IS NOT NULL;
    IF FOUND THEN
        RAISE EXCEPTION 'phone number "%" belongs to node "%"', @extschema@.wa_internal_quote(NEW.phone_number_id),
                holder
            USING ERRCODE = 'unique_violation',
                  DETAIL = 'Its webhooks are passed on to that node.',
                  HINT = format('Take it back first, when no tenant of that node has it any more: '
                                'SELECT wa_unassign_number_from_node(%L);', NEW.phone_number_id),
                  CONSTRAINT = 'whatsapp_node_numbers_pkey';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_check_node_exists(node text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    PERFORM @extschema@.wa_internal_check_not_null('node'::text, node);
    IF NOT EXISTS (SELECT FROM @extschema@.whatsapp_nodes AS n WHERE n.node = node) THEN
        RAISE EXCEPTION 'node "%" does not exist', @extschema@.wa_internal_quote(node)
            USING ERRCODE = 'undefined_object',
                  HINT = concat_ws(' ',
                      @extschema@.wa_internal_did_you_mean(node,
                          ARRAY(SELECT n.node FROM @extschema@.whatsapp_nodes AS n)),
                      'Register it: SELECT wa_register_node(name, url);');
    END IF;
END
$$;

/* As many as a sender keeps connections for: src/sender/forward_client.h. */
CREATE FUNCTION @extschema@.wa_internal_max_nodes() RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 32
$$;

CREATE FUNCTION @extschema@.wa_register_node(node text, url text, max_waiting integer DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    PERFORM @extschema@.wa_internal_check_not_null('node'::text, node);
    PERFORM @extschema@.wa_internal_check_not_null('url'::text, url);
    IF node !~ '^[a-z0-9][a-z0-9_-]{0,62}$' THEN
        RAISE EXCEPTION 'invalid name of a node "%"', @extschema@.wa_internal_quote(node)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Use up to 63 lower-case letters, digits, "-" and "_", beginning with a letter or digit.';
    ELSIF @extschema@.wa_internal_address_problem(url) IS NOT NULL THEN
        RAISE EXCEPTION 'invalid URL of a node "%"', @extschema@.wa_internal_quote(url)
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = @extschema@.wa_internal_address_problem(url),
                  HINT = 'Give the address at which its gateway takes webhooks, such as '
                         'https://node-b.example/webhook.';
    ELSIF max_waiting <= 0 THEN
        RAISE EXCEPTION 'max_waiting must be greater than 0'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave it out for 1000000.';
    END IF;
    LOCK TABLE @extschema@.whatsapp_nodes IN SHARE ROW EXCLUSIVE MODE;
    IF NOT EXISTS (SELECT FROM @extschema@.whatsapp_nodes AS n WHERE n.node = node)
       AND (SELECT count(*) FROM @extschema@.whatsapp_nodes) >= @extschema@.wa_internal_max_nodes() THEN
        RAISE EXCEPTION 'too many nodes'
            USING ERRCODE = 'configuration_limit_exceeded',
                  DETAIL = format('There may be %s.', @extschema@.wa_internal_max_nodes()),
                  HINT = 'Remove those that are no longer there: SELECT wa_unregister_node(name);';
    END IF;
    INSERT INTO @extschema@.whatsapp_nodes AS n (node, url, max_waiting)
        VALUES (node, url, COALESCE(max_waiting, 1000000))
        ON CONFLICT ON CONSTRAINT whatsapp_nodes_pkey DO UPDATE
        SET url = EXCLUDED.url, max_waiting = COALESCE(wa_register_node.max_waiting, n.max_waiting);
    PERFORM @extschema@.wa_internal_wake_due(clock_timestamp());
END
$$;
COMMENT ON FUNCTION @extschema@.wa_register_node(text, text, integer) IS
'Enters another installation, to which webhooks of its numbers and those of the account are passed on, or gives a '
'known one another URL. url: where its gateway takes webhooks; https, or http to this machine. max_waiting: when more '
'changes wait for it, webhooks for its numbers are refused; 1000000 if left out. Errors: 22004, 22023; 53400 there '
'are 32 nodes.';

CREATE FUNCTION @extschema@.wa_assign_number_to_node(phone_number_id text, node text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    PERFORM @extschema@.wa_internal_check_number_id(phone_number_id, NULL::text);
    PERFORM @extschema@.wa_internal_check_node_exists(node);
    INSERT INTO @extschema@.whatsapp_node_numbers AS n (phone_number_id, node, former_nodes)
        VALUES (phone_number_id, node, CASE WHEN EXISTS (
            SELECT FROM @extschema@.whatsapp_phone_assignments AS a
            WHERE a.phone_number_id = wa_assign_number_to_node.phone_number_id) THEN ARRAY[''] ELSE '{}' END)
        ON CONFLICT ON CONSTRAINT whatsapp_node_numbers_pkey DO UPDATE
        SET node = EXCLUDED.node, moved_at = clock_timestamp(),
            former_nodes = @extschema@.wa_internal_former_nodes(n.former_nodes, n.node, n.moved_at, EXCLUDED.node)
        WHERE n.node IS DISTINCT FROM EXCLUDED.node;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_assign_number_to_node(text, text) IS
'Gives a number to a node, or moves it there from another one: webhooks of the number are passed on to it. For 30 days '
'statuses also go to where the number was, which may have sent the messages. Errors: 22004, 22023; 23505 a tenant of '
'this database has the number; 42704 unknown node; 55000 it is the default number.';

CREATE FUNCTION @extschema@.wa_unassign_number_from_node(phone_number_id text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    PERFORM @extschema@.wa_internal_check_not_null('phone_number_id'::text, phone_number_id);
    UPDATE @extschema@.whatsapp_node_numbers AS n
        SET node = NULL, moved_at = clock_timestamp(),
            former_nodes = @extschema@.wa_internal_former_nodes(n.former_nodes, n.node, n.moved_at, NULL::text)
        WHERE n.phone_number_id = phone_number_id AND n.node IS NOT NULL;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_unassign_number_from_node(text) IS
'Takes a number back: its webhooks are taken in here, and for 30 days its statuses are also passed on to the node that '
'had it. False: no node has it. Error 22004: phone_number_id is NULL.';

/* Where a number has been: what is longer ago than statuses come does not count. */
CREATE FUNCTION @extschema@.wa_internal_former_nodes(former text[], was text, since timestamptz, now_at text)
RETURNS text[]
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ARRAY(
        SELECT DISTINCT f.node
        FROM unnest(CASE WHEN since > clock_timestamp() - interval '30 days' THEN former ELSE '{}' END
                    || COALESCE(was, '')) AS f (node)
        WHERE f.node <> COALESCE(now_at, '')
        ORDER BY f.node)
$$;

CREATE FUNCTION @extschema@.wa_unregister_node(node text, discard boolean DEFAULT false) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    numbers bigint;
    waiting bigint;
BEGIN
    PERFORM @extschema@.wa_internal_check_node_exists(node);
    SELECT count(*) INTO numbers FROM @extschema@.whatsapp_node_numbers AS n WHERE n.node = node;
    IF numbers > 0 THEN
        RAISE EXCEPTION 'node "%" has numbers', node
            USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = format('It has %s.', numbers),
                  HINT = 'Give them to another node, or take them back with wa_unassign_number_from_node().';
    END IF;
    /* Nobody adds to what waits until this has ended, and then sees that the node is gone: webhook/forward.c. */
    LOCK TABLE @extschema@.whatsapp_forwards IN SHARE ROW EXCLUSIVE MODE;
    IF discard THEN
        DELETE FROM @extschema@.whatsapp_forwards AS f WHERE f.node = node;
        GET DIAGNOSTICS waiting = ROW_COUNT;
    ELSE
        SELECT count(*) INTO waiting FROM @extschema@.whatsapp_forwards AS f WHERE f.node = node;
        IF waiting > 0 THEN
            RAISE EXCEPTION 'webhooks wait for node "%"', node
                USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = format('%s changes wait.', waiting),
                      HINT = 'Wait until it has taken them (see wa_node_status), or throw them away: '
                             'SELECT wa_unregister_node(name, discard => true);';
        END IF;
    END IF;
    DELETE FROM @extschema@.whatsapp_nodes AS n WHERE n.node = node;
    UPDATE @extschema@.whatsapp_alerts AS a SET resolved_at = clock_timestamp()
        WHERE a.scope = 'node' AND a.key = node AND a.resolved_at IS NULL;
    RETURN waiting;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_unregister_node(text, boolean) IS
'Removes a node that has no numbers any more. discard: also throws away what waits for it, and returns how many '
'changes that was. Errors: 22004; 42704 unknown node; 55000 it has numbers, or something waits for it.';

/* ---- 20-numbers ------------------------------------------------------------------ */

ALTER TABLE @extschema@.whatsapp_phone_numbers ADD COLUMN is_on_biz_app boolean;
COMMENT ON COLUMN @extschema@.whatsapp_phone_numbers.is_on_biz_app IS
'Whether the number is also in the WhatsApp Business app on a phone, as Meta reports it: then 20 messages a second are '
'the most that it may send.';

/* Whose number is it?  See wa_internal_number_written. */
CREATE INDEX whatsapp_phone_numbers_written_idx
    ON @extschema@.whatsapp_phone_numbers (@extschema@.wa_internal_digits(display_phone_number));
CREATE INDEX whatsapp_phone_assignments_ended_idx
    ON @extschema@.whatsapp_phone_assignments (tenant_id, unassigned_at);

CREATE TRIGGER whatsapp_phone_assignments_here
    BEFORE INSERT ON @extschema@.whatsapp_phone_assignments
    FOR EACH ROW WHEN (NEW.unassigned_at IS NULL)
    EXECUTE FUNCTION @extschema@.wa_internal_number_is_no_node_s();

/* The ID of the number that is written like this; NULL if none is known. */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_number_written(written text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.phone_number_id FROM @extschema@.whatsapp_phone_numbers AS p
    WHERE @extschema@.wa_internal_digits(p.display_phone_number)
        = NULLIF(@extschema@.wa_internal_digits(written), '')
    ORDER BY p.phone_number_id LIMIT 1
$$;

/*
 * Refuses a number that Meta, once its list has been read, does not list; tells
 * that one could not be checked.
 */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_check_number_listed(number text) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    listed CONSTANT integer := @extschema@.wa_internal_listed('phone_numbers'::text);
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
              HINT = concat_ws(' ',
                  @extschema@.wa_internal_did_you_mean(number, ARRAY(
                      SELECT p.phone_number_id FROM @extschema@.whatsapp_phone_numbers AS p
                      WHERE p.synced_at IS NOT NULL)),
                  'See whatsapp_phone_numbers; if the number is new, read the list again: '
                  'SELECT wa_sync_phone_numbers();');
END
$$;

/* Inserts the assignment; false if the tenant or the number has one already. */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_try_assign(tenant text, number text) RETURNS boolean
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
        FROM (SELECT GREATEST(
                  (SELECT max(b.unassigned_at) FROM @extschema@.whatsapp_phone_assignments AS b
                   WHERE b.phone_number_id = number),
                  (SELECT max(b.unassigned_at) FROM @extschema@.whatsapp_phone_assignments AS b
                   WHERE b.tenant_id = tenant)) AS ended) AS before
        WHERE a.assignment_id = id AND a.assigned_at < before.ended;
    PERFORM @extschema@.wa_internal_queue_to_number(tenant, number);
    RETURN true;
END
$$;

CREATE OR REPLACE VIEW @extschema@.wa_free_numbers AS
SELECT p.phone_number_id, p.display_phone_number, p.verified_name, p.status, p.quality_rating,
       p.messaging_limit, p.created_at
FROM @extschema@.whatsapp_phone_numbers AS p
WHERE p.missing_since IS NULL
    AND (p.status IS NULL OR p.status = 'CONNECTED')
    AND p.phone_number_id IS DISTINCT FROM pg_catalog.current_setting('whatsapp_shared.phone_number_id', true)
    AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_phone_assignments AS a
                    WHERE a.phone_number_id = p.phone_number_id AND a.unassigned_at IS NULL)
    AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_pauses AS x
                    WHERE x.scope = 'number' AND x.key = p.phone_number_id)
    AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_node_numbers AS d
                    WHERE d.phone_number_id = p.phone_number_id AND d.node IS NOT NULL)
ORDER BY (p.status IS NULL),
         CASE p.quality_rating WHEN 'GREEN' THEN 0 WHEN 'YELLOW' THEN 2 WHEN 'RED' THEN 3 ELSE 1 END,
         p.created_at, p.phone_number_id;
COMMENT ON VIEW @extschema@.wa_free_numbers IS
'Numbers that can be assigned to a tenant, the best first: connected, of good quality, known longest. The default '
'number, numbers of other nodes, and those that are paused or missing are not among them.';

/*
 * Locks a free number so that concurrent calls choose different ones; NULL if
 * there is none.  The lock excludes the one that wa_internal_prepare_number
 * takes, so nobody can be half-way through assigning the same number by name:
 * without that the two could wait for each other.
 */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_free_number(wait boolean) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    /* Of all numbers at once: wa_internal_unlisted asks it of each. */
    any_listed CONSTANT boolean := @extschema@.wa_internal_listed('phone_numbers'::text) IS NOT NULL;
    /* What is locked may come free: an assignment can fail, a synchronisation ends. */
    passes CONSTANT boolean[] := CASE WHEN wait THEN ARRAY[false, true] ELSE ARRAY[false] END;
    waits boolean;
    number text;
BEGIN
    FOREACH waits IN ARRAY passes LOOP
        FOR number IN
            SELECT f.phone_number_id FROM @extschema@.wa_free_numbers AS f
            WHERE NOT any_listed OR EXISTS (
                SELECT FROM @extschema@.whatsapp_phone_numbers AS p
                WHERE p.phone_number_id = f.phone_number_id AND p.synced_at IS NOT NULL)
        LOOP
            IF waits THEN
                PERFORM FROM @extschema@.wa_free_numbers AS f WHERE f.phone_number_id = number FOR UPDATE;
            ELSE
                PERFORM FROM @extschema@.wa_free_numbers AS f WHERE f.phone_number_id = number
                    FOR UPDATE SKIP LOCKED;
            END IF;
            IF FOUND THEN
                RETURN number;
            END IF;
        END LOOP;
    END LOOP;
    RETURN NULL;
END
$$;

/* ---- 30-messages ----------------------------------------------------------------- */

CREATE FUNCTION @extschema@.wa_internal_may_be_retried(status text) RETURNS boolean
    LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_may_be_retried';
COMMENT ON FUNCTION @extschema@.wa_internal_may_be_retried(text) IS
'Whether wa_retry_message() may queue a message of this status again. Internal.';
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

ALTER TABLE @extschema@.whatsapp_messages
    ADD COLUMN errors jsonb,
    ADD COLUMN pricing_model text,
    ADD COLUMN conversation_id text,
    ADD COLUMN conversation_origin text,
    ADD COLUMN conversation_ends_at timestamptz,
    ADD COLUMN erased_at timestamptz;
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

COMMENT ON FUNCTION @extschema@.wa_enqueue_bulk(text, text, jsonb, jsonb, text, timestamptz, timestamptz, integer,
    text, text, text) IS
'Queues one template for many recipients and returns the IDs in their order. recipients: an array of phone numbers '
'or user IDs, '
'or of objects with to (or recipient_phone), parameters, reference and idempotency_key, which override the common '
'ones. With an idempotency_key for the whole call, each message''s key is that key, a colon and the recipient. One '
'bad entry rejects the whole call; the error names it. Otherwise as wa_enqueue_message().';

/* What retention has left of messages that are gone. */
DELETE FROM @extschema@.whatsapp_wamids AS w
    WHERE NOT EXISTS (SELECT FROM @extschema@.whatsapp_messages AS m WHERE m.id = w.message_id);

/* ---- 35-queue -------------------------------------------------------------------- */

/*
 * Whoever deletes a message takes it out of the queue, too: nothing can be sent of
 * it.  The order of locks is the wrong way round here, so a queue row that somebody
 * has locked is left; what meets it later removes it (src/sender/store/orphans.c).
 * SECURITY DEFINER: whoever may delete messages need not have rights on the queue.
 */
CREATE FUNCTION @extschema@.wa_internal_forget_deleted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM @extschema@.whatsapp_queue AS q WHERE q.message_id IN (
            SELECT l.message_id FROM @extschema@.whatsapp_queue AS l FOR UPDATE SKIP LOCKED);
    ELSE
        DELETE FROM @extschema@.whatsapp_queue AS q WHERE q.message_id IN (
            SELECT l.message_id FROM @extschema@.whatsapp_queue AS l
            WHERE l.message_id IN (SELECT d.id FROM deleted AS d)
            ORDER BY l.message_id
            FOR UPDATE SKIP LOCKED);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_forget_deleted() IS
'Trigger function: takes deleted messages out of the queue. Internal.';

CREATE TRIGGER whatsapp_messages_deleted AFTER DELETE ON @extschema@.whatsapp_messages
    REFERENCING OLD TABLE AS deleted
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_forget_deleted();
CREATE TRIGGER whatsapp_messages_truncated AFTER TRUNCATE ON @extschema@.whatsapp_messages
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_forget_deleted();

/*
 * The template that takes the place of a message which is none, if its service window
 * closes before its turn.  Kept as long as the message is in the queue.
 */
CREATE TABLE @extschema@.whatsapp_fallbacks (
    message_id        bigint PRIMARY KEY,
    template_name     text NOT NULL,
    template_language text NOT NULL,
    payload           jsonb NOT NULL
);
COMMENT ON TABLE @extschema@.whatsapp_fallbacks IS
'What fallback_template of waiting messages says. Internal.';

/*
 * For a sender, of messages whose queue rows it has locked: makes templates of those
 * that have a fallback.  payload is NULL of one that somebody has locked.  A file of
 * the message itself is not sent then.
 */
CREATE FUNCTION @extschema@.wa_internal_use_fallbacks(ids bigint[])
RETURNS TABLE (message_id bigint, template_name text, template_language text, payload jsonb)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    free bigint[];
BEGIN
    SELECT array_agg(locked.id) INTO free FROM (
        SELECT m.id
        FROM @extschema@.whatsapp_fallbacks AS f
            JOIN @extschema@.whatsapp_messages AS m ON m.id = f.message_id
        WHERE f.message_id = ANY (ids)
        FOR UPDATE OF m SKIP LOCKED) AS locked;
    UPDATE @extschema@.whatsapp_messages AS m
        SET message_type = 'template', template_name = f.template_name, template_language = f.template_language,
            payload = f.payload
        FROM @extschema@.whatsapp_fallbacks AS f
        WHERE m.id = ANY (free) AND f.message_id = m.id;
    DELETE FROM @extschema@.whatsapp_media_uses AS u WHERE u.message_id = ANY (free);
    RETURN QUERY
        SELECT f.message_id, f.template_name, f.template_language,
            CASE WHEN f.message_id = ANY (free) THEN f.payload END
        FROM @extschema@.whatsapp_fallbacks AS f
        WHERE f.message_id = ANY (ids);
END
$$;

/* Those of messages that have left the queue; at most so many. */
CREATE FUNCTION @extschema@.wa_internal_drop_fallbacks(batch integer) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM @extschema@.whatsapp_fallbacks AS d
    WHERE d.message_id IN (
        SELECT f.message_id FROM @extschema@.whatsapp_fallbacks AS f
        WHERE NOT EXISTS (SELECT FROM @extschema@.whatsapp_queue AS q WHERE q.message_id = f.message_id)
        LIMIT batch)
$$;
COMMENT ON COLUMN @extschema@.whatsapp_reach.recipient IS
'The person: the form under which the recipient was first known, or the recipient itself if nobody knows whose it is.';

ALTER TABLE @extschema@.whatsapp_reach DROP CONSTRAINT whatsapp_reach_pkey;

ALTER TABLE @extschema@.whatsapp_reach ADD COLUMN sender smallint NOT NULL DEFAULT 0;

ALTER TABLE @extschema@.whatsapp_reach ALTER COLUMN sender DROP DEFAULT;

ALTER TABLE @extschema@.whatsapp_reach ADD PRIMARY KEY (reached_at, recipient);

ALTER TABLE @extschema@.whatsapp_reach RESET (fillfactor);
COMMENT ON COLUMN @extschema@.whatsapp_reach.sender IS 'The sender that has claimed the message.';
CREATE INDEX whatsapp_reach_recipient_idx ON @extschema@.whatsapp_reach (recipient, reached_at);

/* Tells the senders about rows that this transaction has made ready or deferred. */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_wake_rows(ids bigint[]) RETURNS void
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
        /* OFFSET: the least of all due times is none of these, and not to be walked to. */
        FROM (SELECT min(q.due_at) AS due_at
              FROM (SELECT d.due_at FROM @extschema@.whatsapp_queue AS d
                    WHERE d.message_id = ANY (ids) AND d.state = 'd' OFFSET 0) AS q) AS w
        WHERE w.due_at IS NOT NULL;
    /* Whether the file is still on its way is for sender 0 to see. */
    PERFORM @extschema@.wa_internal_wake_due(clock_timestamp())
        WHERE EXISTS (SELECT FROM @extschema@.whatsapp_queue AS q
                      WHERE q.message_id = ANY (ids) AND q.state = 'h' AND q.hold_reason = 'media_upload');
END
$$;

/*
 * Puts the tenant's waiting messages on its new number: those that had none,
 * and those that would have left from the default number.
 */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_queue_to_number(tenant text, number text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fallback CONSTANT text := NULLIF(current_setting('whatsapp_shared.phone_number_id', true), '');
    ids bigint[];
    placed bigint[];
BEGIN
    SELECT COALESCE(array_agg(locked.message_id), '{}') INTO ids FROM (
        SELECT q.message_id
        FROM @extschema@.whatsapp_queue AS q
            JOIN @extschema@.whatsapp_messages AS m ON m.id = q.message_id
        WHERE m.tenant_id = tenant AND q.state IN ('r', 'd', 'h')
            AND (q.phone_number_id IS NULL OR q.phone_number_id = fallback AND fallback <> number)
            /* Known beforehand to be on the wire: its settlement need not wait for this lock. */
            AND q.message_id NOT IN (SELECT w.message_id FROM @extschema@.wa_internal_on_wire_requests AS w)
        ORDER BY q.message_id
        FOR UPDATE OF q) AS locked;
    /* Without a number nothing is on the wire; from the default number it may be. */
    IF fallback IS NOT NULL THEN
        ids := @extschema@.wa_internal_subtract(ids, @extschema@.wa_internal_on_wire(ids));
    END IF;
    PERFORM @extschema@.wa_internal_set_number(ids, number);
    SELECT COALESCE(array_agg(q.message_id), '{}') INTO placed
        FROM @extschema@.whatsapp_queue AS q
        WHERE q.message_id = ANY (ids)
            AND (q.state = 'h' AND q.hold_reason = 'no_number'
                 /* It has waited for a limit of the number before; later ones do not. */
                 OR q.state = 'd'
                 /* Meta's id of a file belongs to the number before. */
                 OR q.state = 'r'
                    AND EXISTS (SELECT FROM @extschema@.whatsapp_media_uses AS u WHERE u.message_id = q.message_id)
                    AND @extschema@.wa_internal_awaits_media(q.message_id, number));
    PERFORM @extschema@.wa_internal_place_rows(placed);
    PERFORM @extschema@.wa_internal_wake_rows(@extschema@.wa_internal_subtract(ids, placed));
END
$$;

/*
 * Takes the number from the tenant's waiting messages.  What is on the wire
 * settles first; what is uncertain keeps the number it went out from.
 */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_queue_without_number(tenant text, number text) RETURNS void
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
            /* Known beforehand to be on the wire: its settlement need not wait for this lock. */
            AND q.message_id NOT IN (SELECT w.message_id FROM @extschema@.wa_internal_on_wire_requests AS w)
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

/*
 * For a sender: messages held for this reason although the obstacle is gone,
 * because a pause has ended by its time, or hold and release crossed in
 * concurrent transactions.  Looks at one page of them after the given id and
 * returns where the next page begins; NULL: from the start again.  Rows that
 * somebody has locked are left for the next round.
 */

CREATE OR REPLACE FUNCTION @extschema@.wa_internal_release_stale_holds(reason text, after_id bigint, page integer)
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
        array_agg(h.message_id) FILTER (WHERE m.id IS NOT NULL AND CASE h.hold_reason
            WHEN 'no_number' THEN a.phone_number_id IS NOT NULL OR fallback IS NOT NULL
            WHEN 'tenant_disabled' THEN COALESCE(t.enabled, false)
            WHEN 'tenant_paused' THEN NOT EXISTS (
                SELECT FROM @extschema@.whatsapp_pauses AS p
                WHERE p.scope = 'tenant' AND p.key = m.tenant_id)
            WHEN 'thread_taken' THEN NOT @extschema@.wa_internal_thread_stops(m, h.phone_number_id)
            WHEN 'template_paused' THEN NOT EXISTS (
                SELECT FROM @extschema@.whatsapp_pauses AS p
                WHERE p.scope = 'template'
                    AND p.key IN (m.template_name, m.template_name || '/' || m.template_language))
            ELSE false END)
        INTO seen, last_id, stale
        FROM held AS h
            /* An orphan is not released, but must not end the walk either. */
            LEFT JOIN @extschema@.whatsapp_messages AS m ON m.id = h.message_id
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

/* ---- 45-synchronisation ---------------------------------------------------------- */

ALTER TABLE @extschema@.whatsapp_sync ADD COLUMN expires_at timestamptz;
COMMENT ON COLUMN @extschema@.whatsapp_sync.expires_at IS
'Of the token: when it ends, as Meta said last; NULL: never, or not known.';

CREATE OR REPLACE FUNCTION @extschema@.wa_sync_phone_numbers() RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE @extschema@.whatsapp_sync SET requested_at = clock_timestamp() WHERE kind = 'phone_numbers';
    SELECT @extschema@.wa_internal_note('sync_phone_numbers'::text, 'account'::text, NULL::text,
        jsonb_build_object('text', 'Asked Meta for the numbers'))
$$;

/* One entry of the listing. */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_apply_phone_number(entry jsonb) RETURNS void
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
            messaging_limit, is_on_biz_app, source, synced_at)
        VALUES (number, entry ->> 'display_phone_number', entry ->> 'verified_name', entry ->> 'status',
            COALESCE(entry ->> 'quality_rating', entry #>> '{quality_score,score}'),
            entry ->> 'code_verification_status', entry ->> 'name_status', entry ->> 'platform_type',
            entry ->> 'account_mode', entry #>> '{throughput,level}',
            COALESCE(entry ->> 'whatsapp_business_manager_messaging_limit', entry ->> 'messaging_limit_tier'),
            CASE jsonb_typeof(entry -> 'is_on_biz_app') WHEN 'boolean' THEN (entry ->> 'is_on_biz_app')::boolean END,
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
            is_on_biz_app = COALESCE(EXCLUDED.is_on_biz_app, p.is_on_biz_app),
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

/*
 * What GET /debug_token says of the access token.
 * A token that will end soon, or is not valid any more, stops every tenant, so
 * people hear of it in time: 14, 7 and 1 days before.
 */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_apply_token_state(page jsonb) RETURNS void
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

    /* 0 means never, for both; the earlier one counts. None is later than the year 2100. */
    SELECT min(to_timestamp(LEAST(v.seconds, 4102444800))) INTO ends
        FROM (VALUES ((data ->> 'expires_at')::double precision),
                     ((data ->> 'data_access_expires_at')::double precision)) AS v (seconds)
        WHERE v.seconds > 0;
    UPDATE @extschema@.whatsapp_sync AS s SET expires_at = ends
        WHERE s.kind = 'token' AND s.expires_at IS DISTINCT FROM ends;
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

/* ---- 50-templates ---------------------------------------------------------------- */

CREATE OR REPLACE FUNCTION @extschema@.wa_sync_templates() RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE @extschema@.whatsapp_sync SET requested_at = clock_timestamp() WHERE kind = 'templates';
    SELECT @extschema@.wa_internal_note('sync_templates'::text, 'account'::text, NULL::text,
        jsonb_build_object('text', 'Asked Meta for the templates'))
$$;

/* ---- 60-notifications ------------------------------------------------------------ */

CREATE OR REPLACE FUNCTION @extschema@.wa_internal_retain_notification_failures(batch integer) RETURNS bigint
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

/* ---- 65-webhooks ----------------------------------------------------------------- */

DELETE FROM @extschema@.whatsapp_parked_events AS p
    WHERE p.message_id <= (SELECT pg_catalog.max(m.id) FROM @extschema@.whatsapp_messages AS m)
        AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_messages AS m WHERE m.id = p.message_id);
CREATE INDEX whatsapp_parked_events_message_idx
    ON @extschema@.whatsapp_parked_events (message_id) WHERE message_id IS NOT NULL;
/* The unmatched statuses of other programs on the account are many, and say nothing to people. */
CREATE INDEX whatsapp_parked_events_other_idx
    ON @extschema@.whatsapp_parked_events (parked_id) WHERE reason NOT IN ('unknown_message', 'message_queued_again');
COMMENT ON TABLE @extschema@.whatsapp_parked_events IS
'Items of webhooks that could not be used, with the reason. Statuses are tried again when their message becomes '
'known. Kept for whatsapp_shared.retention, or as long as the message that they name.';

ALTER TABLE @extschema@.whatsapp_webhook_traffic ADD COLUMN last_late_at timestamptz;
COMMENT ON COLUMN @extschema@.whatsapp_webhook_traffic.last_late_at IS
'When the last report was received that took longer than half of whatsapp_shared.uncertain_grace: it could not be '
'delivered before, and others may follow.';

/* Notes that the message had another wamid, during the update of statuses, and returns this one: webhook/update.c. */
CREATE FUNCTION @extschema@.wa_internal_replacing_wamid(message_id bigint, wamid text) RETURNS text
    LANGUAGE c STRICT VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_replacing_wamid';
COMMENT ON FUNCTION @extschema@.wa_internal_replacing_wamid(bigint, text) IS
'The wamid of a second acceptance of the message. Internal.';

CREATE FUNCTION @extschema@.wa_internal_noting_delivery(
    message_id bigint, delivered_at timestamptz, category text, free boolean, played_at timestamptz)
RETURNS timestamptz
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_noting_delivery';
COMMENT ON FUNCTION @extschema@.wa_internal_noting_delivery(bigint, timestamptz, text, boolean, timestamptz) IS
'Its last argument; notes how the message counted for wa_costs before. Internal.';
COMMENT ON FUNCTION @extschema@.wa_webhook_ingest(bytea, text) IS
'Processes one webhook: the bytes of its body and the header X-Hub-Signature-256. Respond to Meta with 200 once the '
'transaction has committed. Returns how many items were applied, duplicate, parked, ignored and foreign.';

/* As wa_webhook_ingest(), for webhooks that arrive side by side. */
CREATE FUNCTION @extschema@.wa_webhook_ingest_many(bodies bytea[], signatures text[])
RETURNS TABLE (ordinal integer, outcome text, result jsonb, sqlstate text, message text)
    LANGUAGE C VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'wa_webhook_ingest_many';
COMMENT ON FUNCTION @extschema@.wa_webhook_ingest_many(bytea[], text[]) IS
'Processes several webhooks, each as a whole or not at all, and returns a row for each, in their order. The outcome is '
'ingested (result: as wa_webhook_ingest returns it), invalid_signature, too_large, or failed with the SQLSTATE and '
'message of the error. Respond to Meta with 200 to those that are ingested, once the transaction has committed.';

/* Whether a customer may say something in a parked item: an order, or that he wants no more marketing. */
CREATE FUNCTION @extschema@.wa_internal_may_be_words(kind text, reason text, event jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT reason NOT IN ('too_old', 'wrong_object')
        AND (kind IN ('message', 'event', 'entry', 'body')
             OR kind = 'change' AND (event IS NULL
                 OR event ->> 'field' IN ('messages', 'standby', 'user_preferences', 'user_id_update')))
$$;

/*
 * At once, for waiting for many of them would lose the one that was an order.  Counted
 * up once a minute, since the row is everybody's.
 */
CREATE FUNCTION @extschema@.wa_internal_alert_parked(items integer) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_alerts AS a
            WHERE a.kind = 'parked_messages' AND a.resolved_at IS NULL
                AND a.last_seen_at > clock_timestamp() - interval '1 minute') THEN
        PERFORM @extschema@.wa_internal_alert('error'::text, 'parked_messages'::text, 'account'::text, ''::text,
            'What customers wrote could not be used, and is kept: see whatsapp_parked_events.'::text,
            jsonb_build_object('items', items));
    END IF;
END
$$;

/* How many of them there are, of the latest thousand items, that nobody has dealt with; NULL since: none. */
CREATE FUNCTION @extschema@.wa_internal_parked_words(OUT items bigint, OUT since timestamptz)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT count(*), min(p.received_at)
    FROM (SELECT o.* FROM @extschema@.whatsapp_parked_events AS o
          WHERE o.reason NOT IN ('unknown_message', 'message_queued_again') ORDER BY o.parked_id DESC LIMIT 1000) AS p
    WHERE @extschema@.wa_internal_may_be_words(p.kind, p.reason, p.event)
        AND p.received_at > COALESCE((
            SELECT max(a.resolved_at) FROM @extschema@.whatsapp_alerts AS a WHERE a.kind = 'parked_messages'),
            '-infinity')
$$;

/* These have been used after all: webhook/reprocess.c. */
CREATE FUNCTION @extschema@.wa_internal_forget_reprocessed(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM @extschema@.whatsapp_parked_events AS p WHERE p.parked_id = ANY (ids);
    IF (SELECT w.items FROM @extschema@.wa_internal_parked_words() AS w) = 0 THEN
        PERFORM @extschema@.wa_internal_resolve_alert('parked_messages'::text, 'account'::text, ''::text);
    END IF;
END
$$;

/* As wa_webhook_ingest(), it becomes the owner by itself. */
CREATE FUNCTION @extschema@.wa_reprocess_parked(reason text DEFAULT NULL) RETURNS jsonb
    LANGUAGE C VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'wa_reprocess_parked';
COMMENT ON FUNCTION @extschema@.wa_reprocess_parked(text) IS
'Takes in again what webhooks brought and could not be used, in the order in which it came: after an update of the '
'extension. With a reason, only what was parked for it. What is used leaves whatsapp_parked_events; the rest stays. '
'Returns counts as wa_webhook_ingest() does.';

/* The recipients of these messages want no marketing, unless they have asked for it again since. */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_opt_out_for_error(message_ids bigint[], happened_at timestamptz[])
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    refused record;
BEGIN
    /* All of them at once, as everybody does who locks several persons. */
    PERFORM @extschema@.wa_internal_lock_persons(array_agg(COALESCE(m.recipient_phone, m.recipient_user_id)))
        FROM @extschema@.whatsapp_messages AS m
        WHERE m.id = ANY (message_ids) AND m.erased_at IS NULL;
    FOR refused IN
        SELECT m.tenant_id, w.recipient, max(x.at) AS at
        FROM unnest(message_ids, happened_at) AS x (id, at)
            JOIN @extschema@.whatsapp_messages AS m ON m.id = x.id AND m.erased_at IS NULL
            CROSS JOIN LATERAL (SELECT COALESCE(m.recipient_phone, m.recipient_user_id)) AS w (recipient)
        GROUP BY m.tenant_id, w.recipient
        ORDER BY w.recipient, m.tenant_id
    LOOP
        PERFORM @extschema@.wa_internal_opt(@extschema@.wa_internal_named(refused.recipient), refused.recipient,
            ARRAY[refused.tenant_id], 'marketing'::text, 'out'::text, 'error'::text, refused.at);
    END LOOP;
END
$$;

/* For whoever finds out, once the wamids are written: these messages were accepted more than once. */
CREATE FUNCTION @extschema@.wa_internal_alert_accepted_twice(message_ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m record;
BEGIN
    FOR m IN
        SELECT o.id, o.tenant_id, ARRAY(
            SELECT w.whatsapp_message_id FROM @extschema@.whatsapp_wamids AS w WHERE w.message_id = o.id
            UNION SELECT o.whatsapp_message_id WHERE o.whatsapp_message_id IS NOT NULL
            ORDER BY 1) AS wamids
        FROM @extschema@.whatsapp_messages AS o
        WHERE o.id = ANY (message_ids)
        ORDER BY o.id
    LOOP
        PERFORM @extschema@.wa_internal_alert('warning'::text, 'duplicate_send'::text, 'message'::text, m.id::text,
            format('Message %s has reached Meta more than once', m.id),
            jsonb_build_object('tenant_id', m.tenant_id, 'whatsapp_message_ids', m.wamids));
    END LOOP;
END
$$;

/*
 * What statuses mean for more than their own message.  Pauses follow
 * only from news: what Meta kept for hours while we were unreachable says
 * nothing of today, and sending finds out by itself.
 */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_draw_consequences(
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
    PERFORM @extschema@.wa_internal_alert_accepted_twice(array_agg(x.id))
        FROM unnest(actions, message_ids, attempts) AS x (action, id, attempt)
        WHERE x.action = 'duplicate_delivery'
            OR x.action = 'duplicate_send' AND NOT EXISTS (
                SELECT FROM @extschema@.whatsapp_attempts AS a
                WHERE a.message_id = x.id AND a.attempt = x.attempt AND a.outcome = 'failed')
        HAVING count(*) > 0;
END
$$;

/*
 * Since when reports can have been missed by nobody's fault but Meta's.  since is
 * what the server itself knows (shared/hearing.c).  A report that came late, of
 * whatever number, says that deliveries failed; until they have all been repeated,
 * absence means nothing.
 */
CREATE FUNCTION @extschema@.wa_internal_hearing_since(since timestamptz) RETURNS timestamptz
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT GREATEST(since, max(t.last_late_at)) FROM @extschema@.whatsapp_webhook_traffic AS t
$$;

/*
 * No report of this message has come, whose last request began and ended at these
 * times without a response.  Until when must one wait, and what does it mean then?
 * That Meta does not have it, if
 *
 * - reports can have been missed, from the request on, for no longer than the grace,
 *   and a whole grace has passed after that: what could not be delivered is
 *   delivered again, and the gaps between Meta's tries grow with the time for which
 *   they have failed;
 * - another message of the number was accepted in the first half of this grace, and
 *   has been reported;
 * - none that was accepted earlier than half a grace ago is without a report.  Those
 *   from a grace before the request on count, too.
 *
 * Looks at the messages next to it: by its time, of the same tenant; and by its id,
 * because what was written in one transaction has one time.  So it reads a few rows,
 * however many there are.  Tenant and time are compared as one: a planner without
 * statistics takes the messages of a tenant for few, and would sort them all.
 */
CREATE FUNCTION @extschema@.wa_internal_judge_silence(
    message_id    bigint,
    began_at      timestamptz,
    ended_at      timestamptz,
    grace         interval,
    hearing_since timestamptz,
    at            timestamptz,
    OUT wait_until timestamptz,
    OUT is_proof boolean)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN a.is_hearing THEN a.beginning + grace END,
        CASE WHEN a.is_hearing AND a.beginning + grace <= at THEN COALESCE((
            SELECT bool_or(n.is_reported AND n.accepted_at BETWEEN a.beginning AND a.beginning + grace / 2)
                AND bool_and(n.is_reported OR n.accepted_at > at - grace / 2)
            FROM (
                SELECT o.accepted_at,
                    COALESCE(o.sent_at, o.delivered_at, o.read_at, o.failed_at) IS NOT NULL AS is_reported
                FROM @extschema@.whatsapp_messages AS m
                    CROSS JOIN LATERAL (
                        (SELECT c.id, c.phone_number_id, c.status_reason,
                            c.accepted_at, c.sent_at, c.delivered_at, c.read_at, c.failed_at
                         FROM @extschema@.whatsapp_messages AS c
                         WHERE (c.tenant_id, c.created_at) >= (m.tenant_id, a.beginning)
                         ORDER BY c.tenant_id, c.created_at LIMIT 25)
                        UNION ALL
                        (SELECT c.id, c.phone_number_id, c.status_reason,
                            c.accepted_at, c.sent_at, c.delivered_at, c.read_at, c.failed_at
                         FROM @extschema@.whatsapp_messages AS c
                         WHERE (c.tenant_id, c.created_at) < (m.tenant_id, a.beginning)
                         ORDER BY c.tenant_id DESC, c.created_at DESC LIMIT 25)
                        UNION ALL
                        (SELECT c.id, c.phone_number_id, c.status_reason,
                            c.accepted_at, c.sent_at, c.delivered_at, c.read_at, c.failed_at
                         FROM @extschema@.whatsapp_messages AS c
                         WHERE c.id > m.id ORDER BY c.id LIMIT 25)
                        UNION ALL
                        (SELECT c.id, c.phone_number_id, c.status_reason,
                            c.accepted_at, c.sent_at, c.delivered_at, c.read_at, c.failed_at
                         FROM @extschema@.whatsapp_messages AS c
                         WHERE c.id < m.id ORDER BY c.id DESC LIMIT 25)) AS o
                WHERE m.id = message_id AND o.id <> m.id AND o.phone_number_id = m.phone_number_id
                    AND o.accepted_at >= began_at - grace
                    /* Meta holds it back on purpose. */
                    AND o.status_reason IS DISTINCT FROM 'held_for_quality_assessment') AS n), false)
        ELSE false END
    FROM (SELECT GREATEST(ended_at, hearing_since) AS beginning,
                 COALESCE(hearing_since <= began_at + grace, false) AS is_hearing) AS a
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_judge_silence(bigint, timestamptz, timestamptz, interval, timestamptz,
    timestamptz) IS
'Until when a report of this uncertain message is awaited (NULL: too many can have been missed), and whether its '
'absence at the given time proves that Meta does not have it. Internal.';

/*
 * Do the webhooks tell of what was sent?  Messages get their first status
 * within seconds, so those of a quarter of an hour, half an hour ago, say it
 * for all: a bounded read however much is sent.
 *
 * They are found by their ids, which follow the times: the BRIN index over created_at
 * knows nothing of what was written since the last VACUUM, and that may be a million
 * rows.  Where there are few, all are looked at.
 */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_check_confirmations() RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
AS $$
DECLARE
    few CONSTANT bigint := 20000;
    times CONSTANT timestamptz[] := ARRAY[now() - interval '45 minutes', now() - interval '30 minutes'];
    bounds bigint[] := (SELECT ARRAY[COALESCE(min(m.id), 1), COALESCE(max(m.id), 0) + 1]
                        FROM @extschema@.whatsapp_messages AS m);
    low bigint;
    high bigint;
    middle bigint;
    n record;
BEGIN
    IF bounds[2] - bounds[1] > few THEN
        FOR i IN REVERSE 2 .. 1 LOOP
            low := bounds[1];
            high := bounds[2];
            WHILE low < high LOOP
                middle := low + (high - low) / 2;
                IF (SELECT m.created_at FROM @extschema@.whatsapp_messages AS m
                    WHERE m.id >= middle ORDER BY m.id LIMIT 1) < times[i] THEN
                    low := middle + 1;
                ELSE
                    high := middle;
                END IF;
            END LOOP;
            bounds[i] := low;
        END LOOP;
    END IF;

    FOR n IN
        SELECT s.number, count(*) AS accepted,
            count(*) FILTER (WHERE s.silent) AS silent,
            min(s.accepted_at) FILTER (WHERE s.silent) AS since,
            (SELECT t.last_status_at FROM @extschema@.whatsapp_webhook_traffic AS t
             WHERE t.phone_number_id = s.number) AS last_status_at,
            EXISTS (SELECT FROM @extschema@.whatsapp_alerts AS a
                    WHERE a.kind IN ('webhook_silence', 'statuses_missing') AND a.scope = 'number'
                        AND a.key = s.number AND a.resolved_at IS NULL) AS is_alerted
        FROM (
            SELECT o.number, o.accepted_at, o.silent
            FROM (
                (SELECT m.phone_number_id AS number, m.accepted_at, m.status_reason,
                    m.status = 'accepted'
                        AND COALESCE(m.sent_at, m.delivered_at, m.read_at, m.failed_at) IS NULL AS silent
                FROM @extschema@.whatsapp_messages AS m
                WHERE m.id >= bounds[1] AND m.id < bounds[2]
                    /* not by the BRIN index */
                    AND m.created_at + interval '0' BETWEEN times[1] AND times[2]
                ORDER BY m.id LIMIT few)
                UNION ALL
                (SELECT m.phone_number_id, m.accepted_at, m.status_reason,
                    m.status = 'accepted'
                        AND COALESCE(m.sent_at, m.delivered_at, m.read_at, m.failed_at) IS NULL
                FROM @extschema@.whatsapp_messages AS m
                WHERE m.scheduled_at BETWEEN times[1] AND times[2] AND m.scheduled_at > m.created_at
                    AND m.created_at NOT BETWEEN times[1] AND times[2]
                ORDER BY m.scheduled_at LIMIT few)) AS o
            WHERE o.accepted_at < now() - interval '25 minutes'
                AND o.status_reason IS DISTINCT FROM 'held_for_quality_assessment') AS s
        WHERE s.number IS NOT NULL
        GROUP BY s.number
        ORDER BY s.number
    LOOP
        CONTINUE WHEN n.silent = 0 AND NOT n.is_alerted;
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
 * Retention of messages.  With them goes all that names them, or the wamid of any of
 * their attempts: it has the recipient's number in it.  What somebody has locked
 * stays until the next time, and what has meanwhile been put back into the queue,
 * for which it must be locked.
 */
CREATE FUNCTION @extschema@.wa_internal_forget_messages(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    old bigint[] := ARRAY(
        SELECT m.id FROM @extschema@.whatsapp_messages AS m
        WHERE m.id = ANY (ids)
        ORDER BY m.id
        FOR UPDATE SKIP LOCKED);
BEGIN
    old := ARRAY(
        SELECT i FROM unnest(old) AS i
        WHERE NOT EXISTS (SELECT FROM @extschema@.whatsapp_queue AS q WHERE q.message_id = i OFFSET 0));
    DELETE FROM @extschema@.whatsapp_parked_events AS p WHERE p.message_id = ANY (old);
    DELETE FROM @extschema@.whatsapp_parked_events AS p
        USING unnest(ARRAY(SELECT w.whatsapp_message_id FROM @extschema@.whatsapp_wamids AS w
                           WHERE w.message_id = ANY (old))) AS k (wamid)
        WHERE p.kind = 'status' AND p.whatsapp_message_id = k.wamid;
    DELETE FROM @extschema@.whatsapp_alerts AS a
        WHERE a.scope = 'message' AND a.key = ANY (ARRAY(SELECT i::text FROM unnest(old) AS i));
    DELETE FROM @extschema@.whatsapp_media_uses AS u WHERE u.message_id = ANY (old);
    DELETE FROM @extschema@.whatsapp_attempts AS t WHERE t.message_id = ANY (old);
    DELETE FROM @extschema@.whatsapp_wamids AS w WHERE w.message_id = ANY (old);
    DELETE FROM @extschema@.whatsapp_messages AS m WHERE m.id = ANY (old);
END
$$;

/*
 * Some pages of a table, others every five minutes, and all of them by and by: for what
 * is to be looked through without an index on what it is looked for, because that
 * changes with every message.
 */
CREATE FUNCTION @extschema@.wa_internal_pages_of_now(relation regclass, OUT low tid, OUT high tid)
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('(%s,0)', p.first)::tid, format('(%s,0)', p.first + 50)::tid
    FROM (SELECT floor(extract(epoch FROM clock_timestamp()) / 300)::bigint * 50
              % GREATEST(pg_relation_size(relation) / current_setting('block_size')::bigint, 1)) AS p (first)
$$;

/* Retention of what webhooks brought, a batch of each table; what somebody has locked stays for the next time. */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_retain_inbound(batch integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keep CONSTANT interval := current_setting('whatsapp_shared.retention')::interval;
    oldest CONSTANT timestamptz := now() - keep;
    n bigint;
    deleted bigint := 0;
    low tid;
    high tid;
BEGIN
    IF keep = interval '0' THEN
        RETURN 0;
    END IF;
    DELETE FROM @extschema@.whatsapp_inbound_messages AS d WHERE d.ctid = ANY (ARRAY(
        SELECT f.ctid FROM @extschema@.whatsapp_inbound_messages AS f
        WHERE f.inbound_id = ANY (ARRAY(
                SELECT i.inbound_id FROM @extschema@.whatsapp_inbound_messages AS i
                ORDER BY i.inbound_id LIMIT batch))
            AND f.received_at < oldest
        FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS n = ROW_COUNT;
    deleted := deleted + n;
    DELETE FROM @extschema@.whatsapp_app_messages AS d WHERE d.ctid = ANY (ARRAY(
        SELECT f.ctid FROM @extschema@.whatsapp_app_messages AS f
        WHERE f.app_message_id = ANY (ARRAY(
                SELECT i.app_message_id FROM @extschema@.whatsapp_app_messages AS i
                ORDER BY i.app_message_id LIMIT batch))
            AND f.received_at < oldest
        FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS n = ROW_COUNT;
    deleted := deleted + n;
    DELETE FROM @extschema@.whatsapp_parked_events AS d WHERE d.parked_id IN (
        SELECT p.parked_id FROM @extschema@.whatsapp_parked_events AS p
        WHERE p.received_at < oldest ORDER BY p.received_at LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS n = ROW_COUNT;
    deleted := deleted + n;
    DELETE FROM @extschema@.whatsapp_account_events AS d WHERE d.event_id IN (
        SELECT e.event_id FROM @extschema@.whatsapp_account_events AS e
        WHERE e.received_at < oldest ORDER BY e.received_at LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS n = ROW_COUNT;
    deleted := deleted + n;
    SELECT r.low, r.high INTO low, high
    FROM @extschema@.wa_internal_pages_of_now('@extschema@.whatsapp_windows'::regclass) AS r;
    DELETE FROM @extschema@.whatsapp_windows AS w
        WHERE w.ctid = ANY (ARRAY(
            SELECT o.ctid FROM @extschema@.whatsapp_windows AS o
            WHERE o.ctid >= low AND o.ctid < high
                AND GREATEST(o.last_inbound_at, o.taken_at, o.passed_at) < oldest LIMIT batch
            FOR UPDATE SKIP LOCKED))
            AND GREATEST(w.last_inbound_at, w.taken_at, w.passed_at) < oldest;
    GET DIAGNOSTICS n = ROW_COUNT;
    deleted := deleted + n;
    SELECT r.low, r.high INTO low, high
    FROM @extschema@.wa_internal_pages_of_now('@extschema@.whatsapp_contacts'::regclass) AS r;
    DELETE FROM @extschema@.whatsapp_contacts AS d
        WHERE d.ctid = ANY (ARRAY(
            SELECT c.ctid FROM @extschema@.whatsapp_contacts AS c
            WHERE c.ctid >= low AND c.ctid < high AND c.last_seen_at < oldest
                /* What they want holds for all their forms, as long as it is known which these are. */
                AND NOT EXISTS (
                    SELECT FROM @extschema@.whatsapp_contact_identities AS i
                    WHERE i.contact_id = c.contact_id
                        AND (EXISTS (SELECT FROM @extschema@.whatsapp_opt_outs AS x WHERE x.recipient = i.identity)
                             OR EXISTS (SELECT FROM @extschema@.whatsapp_opt_ins AS x WHERE x.recipient = i.identity)))
            LIMIT batch
            FOR UPDATE SKIP LOCKED))
            AND d.last_seen_at < oldest;
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN deleted + n;
END
$$;

CREATE OR REPLACE FUNCTION @extschema@.wa_internal_reconcile() RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_learn_identities(1000);
    PERFORM @extschema@.wa_internal_check_confirmations();
    PERFORM @extschema@.wa_internal_check_parked();
    PERFORM @extschema@.wa_internal_check_registrations();
    PERFORM @extschema@.wa_internal_fold_usage(100000);
    PERFORM @extschema@.wa_internal_retain_inbound(1000);
    PERFORM @extschema@.wa_internal_retain_notification_failures(1000);
    PERFORM @extschema@.wa_internal_retain_links(1000);
    PERFORM @extschema@.wa_internal_drop_fallbacks(10000);
    PERFORM @extschema@.wa_internal_note_size();
END
$$;

/* ---- 66-forwards ----------------------------------------------------------------- */

CREATE TABLE @extschema@.whatsapp_forwards (
    forward_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node        text COLLATE "C" NOT NULL,
    has_words   boolean NOT NULL,
    attempts    integer NOT NULL DEFAULT 0,
    parts       integer NOT NULL,
    size        integer NOT NULL,
    received_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    due_at      timestamptz,
    entry       text NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX whatsapp_forwards_node_idx ON @extschema@.whatsapp_forwards (node, has_words, forward_id);
COMMENT ON TABLE @extschema@.whatsapp_forwards IS
'Parts of webhooks that wait to be passed on to other nodes. What a node has taken is deleted; what it has not taken '
'for seven days is given up, as Meta does.';
COMMENT ON COLUMN @extschema@.whatsapp_forwards.forward_id IS 'Number of the part, in order of arrival.';
COMMENT ON COLUMN @extschema@.whatsapp_forwards.node IS 'The node that it is for.';
COMMENT ON COLUMN @extschema@.whatsapp_forwards.has_words IS
'Whether it is anything but statuses: these do not wait for it.';
COMMENT ON COLUMN @extschema@.whatsapp_forwards.attempts IS 'How often the node has refused it by itself.';
COMMENT ON COLUMN @extschema@.whatsapp_forwards.parts IS 'How many statuses and contacts it has. Internal.';
COMMENT ON COLUMN @extschema@.whatsapp_forwards.size IS 'Its length in bytes.';
COMMENT ON COLUMN @extschema@.whatsapp_forwards.received_at IS 'When it was received.';
COMMENT ON COLUMN @extschema@.whatsapp_forwards.due_at IS 'Not sent before this time; NULL: at once.';
COMMENT ON COLUMN @extschema@.whatsapp_forwards.entry IS 'The change as Meta sent it, in an entry of its own.';

/*
 * What goes together next: as many as fit, in order of arrival, beyond "after".  What was
 * refused before goes alone, so that it takes nobody else with it.
 */
CREATE FUNCTION @extschema@.wa_internal_next_forwards(
    node text, has_words boolean, after bigint, most integer, most_bytes bigint, most_parts bigint)
RETURNS TABLE (forward_id bigint, entry text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH next AS MATERIALIZED (
        SELECT f.forward_id, f.attempts, f.parts, f.size FROM @extschema@.whatsapp_forwards AS f
        WHERE f.node = $1 AND f.has_words = $2 AND f.forward_id > after
            AND (f.due_at IS NULL OR f.due_at <= clock_timestamp())
        ORDER BY f.forward_id LIMIT most),
    added AS (
        SELECT n.forward_id, row_number() OVER w AS place, sum(n.size) OVER w AS bytes, sum(n.parts) OVER w AS parts,
               bool_or(n.attempts > 0) OVER w AS refused
        FROM next AS n WINDOW w AS (ORDER BY n.forward_id))
    SELECT f.forward_id, f.entry
    FROM added AS a JOIN @extschema@.whatsapp_forwards AS f ON f.forward_id = a.forward_id
    WHERE a.place = 1 OR NOT a.refused AND a.bytes <= most_bytes AND a.parts <= most_parts
    ORDER BY f.forward_id
$$;

/* When the next one that was put off is due again. */
CREATE FUNCTION @extschema@.wa_internal_next_forward_time() RETURNS timestamptz
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT min(f.due_at) FROM @extschema@.whatsapp_forwards AS f WHERE f.due_at > clock_timestamp()
$$;
CREATE INDEX whatsapp_forwards_due_idx ON @extschema@.whatsapp_forwards (due_at) WHERE due_at IS NOT NULL;

CREATE FUNCTION @extschema@.wa_internal_forwarded(node text, ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    taken bigint;
BEGIN
    DELETE FROM @extschema@.whatsapp_forwards AS f WHERE f.forward_id = ANY (ids);
    GET DIAGNOSTICS taken = ROW_COUNT;
    UPDATE @extschema@.whatsapp_nodes AS n
        SET delivered = n.delivered + taken, last_delivered_at = clock_timestamp(), failing_since = NULL
        WHERE n.node = node;
END
$$;

/* refused: it was one alone, and the node may have seen it. */
CREATE FUNCTION @extschema@.wa_internal_forward_failed(node text, ids bigint[], refused boolean, problem text)
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    times integer;
BEGIN
    UPDATE @extschema@.whatsapp_nodes AS n
        SET errors = n.errors + 1, failing_since = COALESCE(n.failing_since, clock_timestamp()), last_error = problem
        WHERE n.node = node;
    IF NOT refused THEN
        RETURN;
    END IF;
    UPDATE @extschema@.whatsapp_forwards AS f
        SET attempts = f.attempts + 1,
            due_at = clock_timestamp() + make_interval(secs => LEAST(2 ^ LEAST(f.attempts, 20), 600))
        WHERE f.forward_id = ids[1]
        RETURNING f.attempts INTO times;
    IF times = 5 THEN
        PERFORM @extschema@.wa_internal_alert('error'::text, 'node_refuses'::text, 'node'::text, node,
            format('Node "%s" has refused a webhook five times: %s. It is tried again for seven days.', node, problem));
    END IF;
END
$$;

CREATE VIEW @extschema@.wa_node_status AS
SELECT n.node, n.url,
       (SELECT pg_catalog.count(*) FROM @extschema@.whatsapp_node_numbers AS p WHERE p.node = n.node) AS numbers,
       (SELECT pg_catalog.count(*) FROM (SELECT FROM @extschema@.whatsapp_forwards AS f WHERE f.node = n.node
                                         LIMIT 100000) AS w) AS waiting,
       (SELECT pg_catalog.min(o.received_at)
        FROM (VALUES (false), (true)) AS w (has_words)
            CROSS JOIN LATERAL (
                SELECT f.received_at FROM @extschema@.whatsapp_forwards AS f
                WHERE f.node = n.node AND f.has_words = w.has_words ORDER BY f.forward_id LIMIT 1) AS o) AS oldest_at,
       (SELECT pg_catalog.count(*) FROM @extschema@.whatsapp_forwards AS f
        WHERE f.node = n.node AND f.due_at IS NOT NULL) AS refused,
       n.is_full, n.delivered, n.errors, n.expired, n.last_delivered_at, n.failing_since, n.last_error
FROM @extschema@.whatsapp_nodes AS n;
COMMENT ON VIEW @extschema@.wa_node_status IS
'The other nodes: what waits for each, how long, and what became of the rest.';
COMMENT ON COLUMN @extschema@.wa_node_status.node IS 'Name of the node.';
COMMENT ON COLUMN @extschema@.wa_node_status.url IS 'Where its gateway takes webhooks.';
COMMENT ON COLUMN @extschema@.wa_node_status.numbers IS 'How many numbers it has.';
COMMENT ON COLUMN @extschema@.wa_node_status.waiting IS 'Changes that wait for it; counted up to 100,000.';
COMMENT ON COLUMN @extschema@.wa_node_status.oldest_at IS 'When the oldest of them came.';
COMMENT ON COLUMN @extschema@.wa_node_status.refused IS 'How many of them it has refused by themselves.';
COMMENT ON COLUMN @extschema@.wa_node_status.is_full IS 'Whether webhooks for its numbers are refused.';
COMMENT ON COLUMN @extschema@.wa_node_status.delivered IS 'Changes that it has taken.';
COMMENT ON COLUMN @extschema@.wa_node_status.errors IS 'Requests that it did not answer with 2xx.';
COMMENT ON COLUMN @extschema@.wa_node_status.expired IS 'Changes that were given up after seven days.';
COMMENT ON COLUMN @extschema@.wa_node_status.last_delivered_at IS 'When it last took something.';
COMMENT ON COLUMN @extschema@.wa_node_status.failing_since IS 'Since when requests fail; NULL: they do not.';
COMMENT ON COLUMN @extschema@.wa_node_status.last_error IS 'Why the last one failed that did.';

/*
 * For sender 0: what is too old goes, who has too much waiting is full, and people are told
 * of nodes that do not take what waits for them.
 */
CREATE FUNCTION @extschema@.wa_internal_keep_forwards() RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    n record;
    gone bigint;
    full_now boolean;
BEGIN
    FOR n IN
        SELECT d.node, d.max_waiting, d.is_full, d.last_error, s.oldest_at
        FROM @extschema@.whatsapp_nodes AS d JOIN @extschema@.wa_node_status AS s ON s.node = d.node
        ORDER BY d.node
    LOOP
        gone := 0;
        IF n.oldest_at < clock_timestamp() - interval '7 days' THEN
            DELETE FROM @extschema@.whatsapp_forwards AS f WHERE f.forward_id = ANY (ARRAY(
                SELECT o.forward_id FROM @extschema@.whatsapp_forwards AS o
                WHERE o.node = n.node AND o.received_at < clock_timestamp() - interval '7 days'
                ORDER BY o.forward_id LIMIT 10000 FOR UPDATE SKIP LOCKED));
            GET DIAGNOSTICS gone = ROW_COUNT;
            PERFORM @extschema@.wa_internal_alert('error'::text, 'node_expired'::text, 'node'::text, n.node,
                format('%s changes for node "%s" were given up after seven days.', gone, n.node));
        END IF;
        full_now := n.oldest_at < clock_timestamp() - interval '10 seconds' AND n.max_waiting < (
            SELECT count(*) FROM (SELECT FROM @extschema@.whatsapp_forwards AS f
                                  WHERE f.node = n.node LIMIT n.max_waiting + 1) AS c);
        IF gone > 0 OR COALESCE(full_now, false) <> n.is_full THEN
            UPDATE @extschema@.whatsapp_nodes AS u
                SET is_full = COALESCE(full_now, false), expired = u.expired + gone WHERE u.node = n.node;
        END IF;
        IF full_now THEN
            PERFORM @extschema@.wa_internal_alert('error'::text, 'node_full'::text, 'node'::text, n.node,
                format('More than %s changes wait for node "%s"; webhooks for its numbers are refused.',
                    n.max_waiting, n.node))
                WHERE NOT n.is_full;
        ELSIF n.is_full THEN
            PERFORM @extschema@.wa_internal_resolve_alert('node_full'::text, 'node'::text, n.node);
        END IF;
        IF n.oldest_at < clock_timestamp() - interval '5 minutes' THEN
            PERFORM @extschema@.wa_internal_alert('error'::text, 'node_behind'::text, 'node'::text, n.node,
                format('Node "%s" has not taken what has waited for it since %s: %s.', n.node,
                    date_trunc('second', n.oldest_at), COALESCE(n.last_error, 'no request has failed')))
                WHERE NOT EXISTS (SELECT FROM @extschema@.whatsapp_alerts AS a
                                  WHERE a.kind = 'node_behind' AND a.scope = 'node' AND a.key = n.node
                                      AND a.resolved_at IS NULL);
        ELSE
            PERFORM @extschema@.wa_internal_resolve_alert('node_behind'::text, 'node'::text, n.node);
        END IF;
        IF NOT EXISTS (SELECT FROM @extschema@.whatsapp_forwards AS f
                       WHERE f.node = n.node AND f.due_at IS NOT NULL AND f.attempts >= 5) THEN
            PERFORM @extschema@.wa_internal_resolve_alert('node_refuses'::text, 'node'::text, n.node);
        END IF;
    END LOOP;
END
$$;

/* ---- 67-account-events ----------------------------------------------------------- */

CREATE OR REPLACE FUNCTION @extschema@.wa_internal_dispatch_event(field text, value jsonb, at timestamptz) RETURNS boolean
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
        WHEN 'business_username_update', 'business_username_updates' THEN
            PERFORM @extschema@.wa_internal_event_username(value, at);
        /* What follows from it is done by then; see src/webhook/identity_change.c. */
        WHEN 'user_id_update', 'user_id_updates' THEN
        WHEN 'messages' THEN
            PERFORM @extschema@.wa_internal_event_errors(value, at);
        WHEN 'smb_message_echoes', 'history', 'standby', 'message_echoes' THEN
            PERFORM @extschema@.wa_internal_store_app_messages(field, value, at);
        ELSE
            RETURN false;
    END CASE;
    RETURN true;
END
$$;

/* What Meta documents (November 2026), and nothing here depends on: recorded, and no more. */
CREATE FUNCTION @extschema@.wa_internal_event_is_ignored(field text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT field = ANY ('{
        account_settings_update, automatic_events, business_status_update, calls, consumer_profile, flows,
        group_lifecycle_update, group_participants_update, group_settings_update, group_status_update,
        messaging_handovers, partner_solutions, payment_configuration_update,
        smb_app_state_sync, template_correct_category_detection, tracking_events}')
$$;

/*
 * What is kept of an event as such.  What people have written is kept once: in
 * whatsapp_app_messages, and in whatsapp_inbound_messages what came beside it.
 */
CREATE FUNCTION @extschema@.wa_internal_event_record(field text, value jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN field IN ('smb_message_echoes', 'history', 'standby', 'message_echoes')
        THEN value - '{message_echoes,history,standby,messages,statuses,contacts}'::text[] ELSE value END
$$;

/* As the registries spell it: Meta writes languages with an underscore, and in some webhooks with a hyphen. */
CREATE FUNCTION @extschema@.wa_internal_event_spelling(value jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN value ->> 'message_template_language' LIKE '%-%'
        THEN value || jsonb_build_object('message_template_language',
            replace(value ->> 'message_template_language', '-', '_'))
        ELSE value END
$$;

/*
 * What an event is about: later ones of the same field and key supersede earlier
 * ones.  Empty where each stands for itself.
 */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_event_key(field text, value jsonb) RETURNS text
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
        WHEN 'messaging_handovers' THEN concat_ws('/', value #>> '{recipient,phone_number_id}',
            COALESCE(NULLIF(regexp_replace(COALESCE(value #>> '{sender,phone_number}', value #>> '{sender,wa_id}'),
                '[^0-9]', '', 'g'), ''), value #>> '{sender,user_id}'))
        ELSE COALESCE(
            (value ->> 'message_template_name') || '/' || (value ->> 'message_template_language'),
            value ->> 'display_phone_number', '')
        END
$$;

/*
 * Takes one event: applied, duplicate, ignored, or the reason why it cannot be used.
 * One that goes wrong leaves nothing behind but that reason, unless the error
 * is one that ends by itself: then Meta may send it again.
 *
 * Errors in the field "messages" carry neither a time nor an id.  Nothing in
 * them, nor in the rest of their webhook, tells a webhook that Meta repeats
 * from the same error happening again; only the time between them does.  Meta
 * repeats at once what it got no answer for.  What comes again later than that
 * is news: an open alert is counted up, a resolved one opens anew.
 */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_account_event(field text, value jsonb, happened_at timestamptz) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    mark CONSTANT bytea := substr(sha256(convert_to(
        concat_ws(E'\n', field, EXTRACT(epoch FROM happened_at), value), 'UTF8')), 1, 16);
    /* What Meta dates into the future would supersede all that happens until then. */
    at CONSTANT timestamptz := LEAST(COALESCE(happened_at,
        CASE WHEN value ->> 'timestamp' ~ '^[0-9]{9,11}$' THEN to_timestamp((value ->> 'timestamp')::bigint) END),
        clock_timestamp());
    known CONSTANT jsonb := @extschema@.wa_internal_event_spelling(value);
    about CONSTANT text := @extschema@.wa_internal_event_key(field, known);
    repetition CONSTANT interval := '10 minutes';
    superseded boolean;
    problem text;
BEGIN
    BEGIN
        superseded := happened_at IS NOT NULL AND about <> '' AND EXISTS (
            SELECT FROM @extschema@.whatsapp_account_events AS e
            WHERE e.field = field AND e.key = about AND e.happened_at > at);
        INSERT INTO @extschema@.whatsapp_account_events AS e (fingerprint, field, key, value, happened_at)
            VALUES (mark, field, about, @extschema@.wa_internal_event_record(field, value), at)
            ON CONFLICT ON CONSTRAINT whatsapp_account_events_fingerprint_key DO UPDATE
            SET happened_at = EXCLUDED.happened_at, received_at = EXCLUDED.received_at
            WHERE e.field = 'messages' AND happened_at IS NULL AND e.received_at < at - repetition;
        IF NOT FOUND OR superseded THEN
            RETURN 'duplicate';
        ELSIF @extschema@.wa_internal_event_is_ignored(field) THEN
            RETURN 'ignored';
        ELSIF NOT @extschema@.wa_internal_dispatch_event(field, known, at) THEN
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

/* ---- 70-opt-outs ----------------------------------------------------------------- */

ALTER TABLE @extschema@.whatsapp_opt_outs
    ADD COLUMN alerted_at timestamptz,
    ADD COLUMN switch_at timestamptz,
    ADD COLUMN word_at timestamptz,
    ADD COLUMN word_source text,
    ALTER COLUMN created_at SET DEFAULT pg_catalog.clock_timestamp();
UPDATE @extschema@.whatsapp_opt_outs AS o
    SET switch_at = CASE WHEN o.source = 'preferences' THEN o.created_at END,
        word_at = CASE WHEN o.source <> 'preferences' THEN o.created_at END,
        word_source = CASE WHEN o.source <> 'preferences' THEN o.source END;

DROP FUNCTION @extschema@.wa_internal_set_opt(text, text, text[], text, text, text, timestamptz);

DROP FUNCTION @extschema@.wa_internal_resumed_later(text, text[], timestamptz);

DROP FUNCTION @extschema@.wa_internal_opted_in_later(text, text, text[], timestamptz);
/* For whoever turns out to be the same person. */
CREATE INDEX whatsapp_opt_outs_recipient_idx ON @extschema@.whatsapp_opt_outs (recipient);
COMMENT ON TABLE @extschema@.whatsapp_opt_outs IS
'Recipients who have opted out of a category of messages (marketing, or all) from a tenant, under every number and '
'user ID that is known of the person. Messages to them are skipped, also those that were queued before. Written by '
'wa_opt_out(), by opt-out words that arrive, by WhatsApp''s own switch, and by Meta''s error 131050; rows may also be '
'inserted and deleted directly: to delete one is an opt-in at that moment, of the whole person.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_outs.alerted_at IS
'When an alert told that a message other than marketing was skipped for it; there is one alert for each person.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_outs.switch_at IS
'When WhatsApp''s own switch was last turned off, if it is off: a word does not turn it on.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_outs.word_at IS
'When the person last opted out in any other way, if that is in force. source and created_at follow from these two.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_outs.word_source IS 'The origin of that: manual, inbound or error.';

CREATE TABLE @extschema@.whatsapp_opt_ins (
    tenant_id  text COLLATE "C" NOT NULL,
    recipient  text COLLATE "C" NOT NULL,
    category   text NOT NULL
        CONSTRAINT whatsapp_opt_ins_category_check CHECK (category IN ('marketing', 'all')),
    source     text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, recipient, category, source)
);
CREATE INDEX whatsapp_opt_ins_recipient_idx ON @extschema@.whatsapp_opt_ins (recipient);
COMMENT ON TABLE @extschema@.whatsapp_opt_ins IS
'Who has opted in, when, and how: the proof of consent, and what an opt-out yields to that is older but arrives later. '
'Recorded whether or not there was an opt-out; it holds for every form of the person. Written by wa_opt_in(), by words '
'and by WhatsApp''s own switch. Kept until it is deleted.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_ins.tenant_id IS 'The tenant that may write.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_ins.recipient IS
'The form under which the person opted in: phone number in international form with +, or business-scoped user ID.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_ins.category IS 'marketing, or all.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_ins.source IS
'manual (wa_opt_in(), or an opt-out was deleted), inbound (a word such as ALTA: does not turn WhatsApp''s own switch '
'on), or preferences (that switch).';
COMMENT ON COLUMN @extschema@.whatsapp_opt_ins.created_at IS 'When the person last opted in this way.';

/* What is leased already must not be begun: the senders look at it when this is committed. */
CREATE FUNCTION @extschema@.wa_internal_consent_changed() RETURNS trigger
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_consent_changed';
COMMENT ON FUNCTION @extschema@.wa_internal_consent_changed() IS
'Trigger function: tells the senders at COMMIT that somebody wants fewer messages than before. Internal.';

CREATE TRIGGER whatsapp_opt_outs_consent
    AFTER INSERT OR UPDATE OF tenant_id, recipient, category ON @extschema@.whatsapp_opt_outs
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_consent_changed();
CREATE TRIGGER whatsapp_templates_consent
    AFTER UPDATE ON @extschema@.whatsapp_templates
    FOR EACH ROW WHEN (OLD.category IS DISTINCT FROM NEW.category)
    EXECUTE FUNCTION @extschema@.wa_internal_consent_changed();

ALTER TABLE @extschema@.whatsapp_opt_words ADD COLUMN category text
    CONSTRAINT whatsapp_opt_words_category_check CHECK (category IN ('marketing', 'all'));

/* Over HTTP/2 a hundred requests share a connection, so this is no error. */
/* What the site has made of a word stays. */
INSERT INTO @extschema@.whatsapp_opt_words (language, word, action) VALUES
    ('es', 'dame de baja', 'out'), ('es', 'quiero darme de baja', 'out'), ('es', 'dadme de baja', 'out'),
    ('es', 'no quiero recibir mas mensajes', 'out'), ('en', 'quit', 'out'), ('en', 'revoke', 'out'),
    ('gl', 'darme de baixa', 'out'), ('ca', 'dona''m de baixa', 'out'), ('pt', 'descadastrar', 'out')
    ON CONFLICT DO NOTHING;

INSERT INTO @extschema@.whatsapp_opt_words (language, word, action, category) VALUES
    ('en', 'stop promotions', 'out', 'marketing'), ('es', 'detener promociones', 'out', 'marketing'),
    ('pt', 'parar promocoes', 'out', 'marketing'),
    ('es', 'baja total', 'out', 'all'), ('es', 'baja de todo', 'out', 'all'), ('es', 'parar todo', 'out', 'all'),
    ('en', 'stop everything', 'out', 'all'), ('en', 'stop all messages', 'out', 'all'),
    ('ca', 'baixa total', 'out', 'all'), ('pt', 'parar tudo', 'out', 'all'), ('fr', 'tout arreter', 'out', 'all'),
    ('it', 'ferma tutto', 'out', 'all'), ('de', 'alles stoppen', 'out', 'all')
    ON CONFLICT DO NOTHING;

UPDATE @extschema@.whatsapp_opt_words SET category = 'all'
    WHERE language = 'en' AND word IN ('stop all', 'stopall');
COMMENT ON TABLE @extschema@.whatsapp_opt_words IS
'Words with which a customer opts out of messages or in again; action none disables a built-in word. A word counts '
'if it is the whole message, greetings and thanks aside, and one that opts out also if it is a whole sentence of it; '
'case, accents, and surrounding spaces, punctuation and symbols do not matter.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_words.category IS
'What the word opts out of: marketing, or all; NULL: what whatsapp_shared.opt_out_scope says.';

/* Without case, accents, and whatever stands around the word; symbols and pictures, too. */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_opt_word(message text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT regexp_replace(regexp_replace(
        lower(regexp_replace(normalize(message, NFD), '[\u0300-\u036f]', '', 'g')),
        '^[[:space:][:punct:]¡¿\u2000-\u206f\u2600-\u27bf\ufe0f\U0001f000-\U0001faff]+'
        '|[[:space:][:punct:]¡¿\u2000-\u206f\u2600-\u27bf\ufe0f\U0001f000-\U0001faff]+$', '', 'g'),
        '[[:space:]]+', ' ', 'g')
$$;

/* Without the greeting before it and the thanks after it. */
CREATE FUNCTION @extschema@.wa_internal_without_courtesy(word text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT @extschema@.wa_internal_opt_word(regexp_replace(word,
        '^((hola|buenas|buenos dias|buenas tardes|hello|hi|ola|bom dia|bonjour|ciao|hallo|bon dia)'
        '[[:space:][:punct:]]+)+|([[:space:][:punct:]]+(por favor|porfa|gracias|muchas gracias|please|pls|thanks'
        '|thank you|obrigado|obrigada|merci|svp|s''il vous plait|per favore|grazie|bitte|danke|si us plau|gracies'
        '|mesedez|eskerrik asko))+$', '', 'g'))
$$;

/*
 * What a message says about further ones; no row: nothing.  Opting out counts in
 * any sentence that says nothing else, which errs on the right side; opting in must
 * be all that is said.
 */
CREATE FUNCTION @extschema@.wa_internal_opt_choice(message text)
RETURNS TABLE (action text, category text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH said AS (
        SELECT @extschema@.wa_internal_opt_word(message) AS words, true AS whole
        UNION ALL
        SELECT @extschema@.wa_internal_opt_word(s), false
        FROM regexp_split_to_table(message, '[.,;:!?¡¿\n\r]+') AS s
        WHERE message ~ '[.,;:!?¡¿\n\r]'
    /* Once for each, and not for each of our words. */
    ), meant AS MATERIALIZED (
        SELECT s.whole, c.word
        FROM said AS s
            CROSS JOIN LATERAL (
                VALUES (s.words), (@extschema@.wa_internal_without_courtesy(s.words))) AS c (word))
    SELECT w.action, COALESCE(w.category, current_setting('whatsapp_shared.opt_out_scope', true), 'marketing')
    FROM meant AS m
        JOIN @extschema@.whatsapp_opt_words AS w ON w.word = m.word
    WHERE w.action = 'out' OR w.action = 'in' AND m.whole
    ORDER BY m.whole DESC, w.action DESC, w.category NULLS LAST
    LIMIT 1
$$;

/* All forms under which these people are known: numbers and user ids, also those given. */
CREATE FUNCTION @extschema@.wa_internal_forms_of(recipients text[]) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    RETURN ARRAY(
        SELECT r.form FROM unnest(recipients) AS r (form) WHERE r.form IS NOT NULL
        UNION
        SELECT f.identity
        FROM @extschema@.whatsapp_contact_identities AS i
            JOIN @extschema@.whatsapp_contact_identities AS f ON f.contact_id = i.contact_id
        WHERE i.identity = ANY (recipients)
        ORDER BY 1);
END
$$;

/*
 * Until when somebody may have opted out, who did so at this time: Meta tells whole
 * seconds.  What errs, errs on the right side.
 */
CREATE FUNCTION @extschema@.wa_internal_opted_out_until(at timestamptz) RETURNS timestamptz
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN at + CASE WHEN date_trunc('second', at) = at THEN interval '999999 microseconds' ELSE interval '0' END;
END
$$;

/*
 * What a person wants, of all that was ever said under any form: of opting out and of
 * opting in the latest counts, by category; at the same time, opting out.  So neither the
 * order matters in which it is heard nor when forms turn out to be one person's.  Two
 * wishes are kept apart: WhatsApp's own switch, and all else, which also a word takes
 * back.  Writes what holds under every form, and leaves no row of what does not.
 *
 * The caller has locked the person.
 */
CREATE FUNCTION @extschema@.wa_internal_settle_consent(contact bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    forms CONSTANT text[] := ARRAY(
        SELECT i.identity FROM @extschema@.whatsapp_contact_identities AS i WHERE i.contact_id = contact);
BEGIN
    IF NOT EXISTS (SELECT FROM @extschema@.whatsapp_opt_outs AS o WHERE o.recipient = ANY (forms)) THEN
        RETURN;
    END IF;
    WITH told AS MATERIALIZED (
        SELECT o.tenant_id, o.category, max(o.switch_at) AS switch_at, max(o.word_at) AS word_at,
            (array_agg(o.word_source ORDER BY o.word_at DESC NULLS LAST, o.word_source))[1] AS word_source,
            max(o.alerted_at) AS alerted_at
        FROM @extschema@.whatsapp_opt_outs AS o
        WHERE o.recipient = ANY (forms) GROUP BY o.tenant_id, o.category
    ), left_over AS MATERIALIZED (
        SELECT t.tenant_id, t.category, t.word_source, t.alerted_at,
            CASE WHEN (@extschema@.wa_internal_opted_out_until(t.switch_at) < i.any_but_words) IS NOT TRUE
                 THEN t.switch_at END AS switch_at,
            CASE WHEN (@extschema@.wa_internal_opted_out_until(t.word_at) < i.any) IS NOT TRUE
                 THEN t.word_at END AS word_at
        FROM told AS t
            CROSS JOIN LATERAL (
                SELECT max(n.created_at) AS any,
                    max(n.created_at) FILTER (WHERE n.source <> 'inbound') AS any_but_words
                FROM unnest(forms) AS f (form)
                    JOIN @extschema@.whatsapp_opt_ins AS n
                        ON n.tenant_id = t.tenant_id AND n.recipient = f.form AND n.category = t.category) AS i
    ), ended AS (
        DELETE FROM @extschema@.whatsapp_opt_outs AS o
            USING left_over AS l
            WHERE o.recipient = ANY (forms) AND o.tenant_id = l.tenant_id AND o.category = l.category
                AND l.switch_at IS NULL AND l.word_at IS NULL)
    INSERT INTO @extschema@.whatsapp_opt_outs AS o (tenant_id, recipient, category, source, created_at, alerted_at,
            switch_at, word_at, word_source)
        SELECT l.tenant_id, f.form, l.category,
            CASE WHEN l.switch_at IS NOT NULL THEN 'preferences' ELSE l.word_source END,
            GREATEST(l.switch_at, l.word_at), l.alerted_at, l.switch_at, l.word_at,
            CASE WHEN l.word_at IS NOT NULL THEN l.word_source END
        FROM left_over AS l CROSS JOIN unnest(forms) AS f (form)
        WHERE l.switch_at IS NOT NULL OR l.word_at IS NOT NULL
        ORDER BY l.tenant_id, f.form, l.category
        ON CONFLICT ON CONSTRAINT whatsapp_opt_outs_pkey DO UPDATE
        SET source = EXCLUDED.source, created_at = EXCLUDED.created_at, alerted_at = EXCLUDED.alerted_at,
            switch_at = EXCLUDED.switch_at, word_at = EXCLUDED.word_at, word_source = EXCLUDED.word_source
        WHERE (o.source, o.created_at, o.alerted_at, o.switch_at, o.word_at, o.word_source) IS DISTINCT FROM
            (EXCLUDED.source, EXCLUDED.created_at, EXCLUDED.alerted_at, EXCLUDED.switch_at, EXCLUDED.word_at,
             EXCLUDED.word_source);
END
$$;

/*
 * Somebody opts out of a category, or in.  The person is locked; to have changed that row
 * makes those fail who look at it with an older snapshot.  Returns whether anything
 * is otherwise than before.
 */
CREATE FUNCTION @extschema@.wa_internal_opt(
    contact bigint, said_as text, tenants text[], category text, action text, source text, at timestamptz)
RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    forms CONSTANT text[] := ARRAY(
        SELECT i.identity FROM @extschema@.whatsapp_contact_identities AS i WHERE i.contact_id = contact);
    before CONSTANT text[] := ARRAY(
        SELECT o.tenant_id FROM @extschema@.whatsapp_opt_outs AS o
        WHERE o.recipient = ANY (forms) AND o.tenant_id = ANY (tenants) AND o.category = category
        GROUP BY o.tenant_id ORDER BY o.tenant_id);
BEGIN
    UPDATE @extschema@.whatsapp_contacts AS c SET last_seen_at = c.last_seen_at WHERE c.contact_id = contact;
    IF action = 'out' THEN
        INSERT INTO @extschema@.whatsapp_opt_outs AS o (tenant_id, recipient, category, source, created_at,
                switch_at, word_at, word_source)
            SELECT t.tenant_id, said_as, category, source, at,
                CASE WHEN source = 'preferences' THEN at END, CASE WHEN source <> 'preferences' THEN at END,
                CASE WHEN source <> 'preferences' THEN source END
            FROM unnest(tenants) AS t (tenant_id)
            /* Nothing is written that settling would take away again, for that would tell the senders. */
            WHERE NOT EXISTS (
                SELECT FROM @extschema@.whatsapp_opt_ins AS n
                WHERE n.tenant_id = t.tenant_id AND n.recipient = ANY (forms) AND n.category = category
                    AND n.created_at > @extschema@.wa_internal_opted_out_until(at)
                    AND (source <> 'preferences' OR n.source <> 'inbound'))
            ORDER BY t.tenant_id
            ON CONFLICT ON CONSTRAINT whatsapp_opt_outs_pkey DO UPDATE
            SET switch_at = GREATEST(o.switch_at, EXCLUDED.switch_at),
                word_source = CASE WHEN EXCLUDED.word_at > o.word_at OR o.word_at IS NULL
                                   THEN EXCLUDED.word_source ELSE o.word_source END,
                word_at = GREATEST(o.word_at, EXCLUDED.word_at);
    ELSE
        INSERT INTO @extschema@.whatsapp_opt_ins AS n (tenant_id, recipient, category, source, created_at)
            SELECT t.tenant_id, said_as, category, source, at FROM unnest(tenants) AS t (tenant_id)
            ORDER BY t.tenant_id
            ON CONFLICT ON CONSTRAINT whatsapp_opt_ins_pkey DO UPDATE
            SET created_at = EXCLUDED.created_at
            WHERE n.created_at < EXCLUDED.created_at;
    END IF;
    PERFORM @extschema@.wa_internal_settle_consent(contact);
    RETURN before <> ARRAY(
        SELECT o.tenant_id FROM @extschema@.whatsapp_opt_outs AS o
        WHERE o.recipient = ANY (forms) AND o.tenant_id = ANY (tenants) AND o.category = category
        GROUP BY o.tenant_id ORDER BY o.tenant_id);
END
$$;

/*
 * Decided by the tenant, now: it holds whatever was said before, by whichever clock.
 */
CREATE FUNCTION @extschema@.wa_internal_opt_now(recipient text, tenant text, category text, action text, source text)
RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    contact CONSTANT bigint := @extschema@.wa_internal_named(recipient);
    forms CONSTANT text[] := ARRAY(
        SELECT i.identity FROM @extschema@.whatsapp_contact_identities AS i WHERE i.contact_id = contact);
    said_last CONSTANT timestamptz := GREATEST(
        (SELECT max(@extschema@.wa_internal_opted_out_until(GREATEST(o.switch_at, o.word_at)))
         FROM @extschema@.whatsapp_opt_outs AS o
         WHERE o.tenant_id = tenant AND o.recipient = ANY (forms) AND o.category = category),
        (SELECT max(n.created_at) FROM @extschema@.whatsapp_opt_ins AS n
         WHERE n.tenant_id = tenant AND n.recipient = ANY (forms) AND n.category = category));
BEGIN
    RETURN @extschema@.wa_internal_opt(contact, recipient, ARRAY[tenant], category, action, source,
        GREATEST(clock_timestamp(), said_last + interval '1 microsecond'));
END
$$;

/* A row inserted by hand, or by a program that knows no better: the same as if it had been said. */
CREATE FUNCTION @extschema@.wa_internal_spread_opt_outs() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given record;
    contact bigint;
BEGIN
    /* What is ours, or comes from a dump, has one of these times. */
    FOR given IN
        SELECT f.* FROM fresh AS f WHERE f.switch_at IS NULL AND f.word_at IS NULL
        ORDER BY f.recipient, f.tenant_id, f.category
    LOOP
        contact := @extschema@.wa_internal_named(given.recipient);
        PERFORM @extschema@.wa_internal_opt(contact, given.recipient, ARRAY[given.tenant_id], given.category,
            'out'::text, given.source, CASE WHEN given.created_at >= transaction_timestamp()
                THEN GREATEST(given.created_at, clock_timestamp()) ELSE given.created_at END);
        /* It has yielded to an opt-in since. */
        DELETE FROM @extschema@.whatsapp_opt_outs AS o
            WHERE o.tenant_id = given.tenant_id AND o.recipient = given.recipient AND o.category = given.category
                AND o.switch_at IS NULL AND o.word_at IS NULL;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_spread_opt_outs() IS
'Trigger function: a row that was inserted directly holds for every form of the person. Internal.';

CREATE TRIGGER whatsapp_opt_outs_spread
    AFTER INSERT ON @extschema@.whatsapp_opt_outs REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_spread_opt_outs();

/*
 * Whoever deletes a row directly lets the person opt in.  What settling deletes has yielded to
 * an opt-in that is recorded already.
 */
CREATE FUNCTION @extschema@.wa_internal_spread_opt_ins() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    taken record;
BEGIN
    FOR taken IN
        SELECT DISTINCT ON (i.contact_id, g.tenant_id, g.category) g.tenant_id, g.category, g.recipient
        FROM gone AS g
            LEFT JOIN @extschema@.whatsapp_contact_identities AS i ON i.identity = g.recipient
            CROSS JOIN LATERAL (
                SELECT max(n.created_at) AS any,
                    max(n.created_at) FILTER (WHERE n.source <> 'inbound') AS any_but_words
                FROM unnest(@extschema@.wa_internal_forms_of(ARRAY[g.recipient])) AS f (form)
                    JOIN @extschema@.whatsapp_opt_ins AS n
                        ON n.tenant_id = g.tenant_id AND n.recipient = f.form AND n.category = g.category) AS n
        WHERE @extschema@.wa_internal_opted_out_until(g.switch_at) >= COALESCE(n.any_but_words, '-infinity')
            OR @extschema@.wa_internal_opted_out_until(g.word_at) >= COALESCE(n.any, '-infinity')
        ORDER BY i.contact_id, g.tenant_id, g.category, g.recipient
    LOOP
        PERFORM @extschema@.wa_internal_opt_now(taken.recipient, taken.tenant_id, taken.category, 'in'::text,
            'manual'::text);
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_spread_opt_ins() IS
'Trigger function: to delete an opt-out is an opt-in of the whole person. Internal.';

CREATE TRIGGER whatsapp_opt_outs_deleted
    AFTER DELETE ON @extschema@.whatsapp_opt_outs REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_spread_opt_ins();

CREATE FUNCTION @extschema@.wa_internal_is_marketing(category text) RETURNS boolean
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_is_marketing';
COMMENT ON FUNCTION @extschema@.wa_internal_is_marketing(text) IS
'Whether an opt-out of marketing concerns a template of this category; NULL: a template that is not known. Internal.';

/* Which of these messages their recipients do not want, as the categories of their templates are now. */
CREATE FUNCTION @extschema@.wa_internal_opted_out(ids bigint[])
RETURNS TABLE (message_id bigint, category text, is_marketing boolean)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT DISTINCT ON (w.id) w.id, w.category, w.is_marketing
    FROM (SELECT m.id, o.category,
                 m.message_type = 'template' AND @extschema@.wa_internal_is_marketing(t.category) AS is_marketing
          FROM @extschema@.whatsapp_messages AS m
              JOIN @extschema@.whatsapp_opt_outs AS o
                  ON o.tenant_id = m.tenant_id AND o.recipient = COALESCE(m.recipient_phone, m.recipient_user_id)
              LEFT JOIN @extschema@.whatsapp_templates AS t
                  ON t.name = m.template_name AND t.language = m.template_language
          WHERE m.id = ANY (ids)) AS w
    WHERE w.category = 'all' OR w.is_marketing
    ORDER BY w.id, w.category
$$;

/*
 * People should know when orders or login codes do not go out because somebody
 * wanted no advertising: once for each person who has opted out of all.  Whoever
 * is about to say so already is not waited for.
 */
CREATE FUNCTION @extschema@.wa_internal_alert_skipped(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    cause text;
    skipped record;
BEGIN
    FOR skipped IN
        SELECT DISTINCT ON (m.tenant_id, w.recipient) m.id, m.tenant_id, w.recipient, m.message_type, m.template_name
        FROM @extschema@.wa_internal_opted_out(ids) AS s
            JOIN @extschema@.whatsapp_messages AS m ON m.id = s.message_id
            CROSS JOIN LATERAL (SELECT COALESCE(m.recipient_phone, m.recipient_user_id)) AS w (recipient)
        WHERE s.category = 'all' AND NOT s.is_marketing AND m.status = 'skipped'
        ORDER BY m.tenant_id, w.recipient, m.id
    LOOP
        SELECT o.source INTO cause
            FROM @extschema@.whatsapp_opt_outs AS o
            WHERE o.tenant_id = skipped.tenant_id AND o.recipient = skipped.recipient AND o.category = 'all'
                AND o.alerted_at IS NULL
            FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        UPDATE @extschema@.whatsapp_opt_outs AS o SET alerted_at = clock_timestamp()
            WHERE o.tenant_id = skipped.tenant_id AND o.category = 'all'
                AND o.recipient = ANY (@extschema@.wa_internal_forms_of(ARRAY[skipped.recipient]));
        PERFORM @extschema@.wa_internal_alert('warning'::text, 'opted_out_of_all'::text, 'recipient'::text,
            skipped.tenant_id || ' ' || skipped.recipient,
            format('A recipient of tenant %s gets no message at all, not even one that is no marketing: '
                   'one was skipped', skipped.tenant_id),
            jsonb_build_object('tenant_id', skipped.tenant_id, 'recipient', skipped.recipient,
                'message_id', skipped.id, 'message_type', skipped.message_type,
                'template_name', skipped.template_name, 'source', cause));
    END LOOP;
END
$$;

/* Whoever has opted in again needs no attention any more. */
CREATE FUNCTION @extschema@.wa_internal_opted_in() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_resolve_alert('opted_out_of_all'::text, 'recipient'::text,
        OLD.tenant_id || ' ' || OLD.recipient);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_opted_in() IS
'Trigger function: closes the alert about messages that were skipped for an opt-out of all. Internal.';

CREATE TRIGGER whatsapp_opt_outs_alert
    AFTER DELETE ON @extschema@.whatsapp_opt_outs
    FOR EACH ROW WHEN (OLD.alerted_at IS NOT NULL)
    EXECUTE FUNCTION @extschema@.wa_internal_opted_in();

/*
 * For a sender: one page of the queue after this message, less what is not wanted
 * any more.  Returns where the next page begins; NULL: there is none.  What is on
 * the wire, or locked by somebody, is left to its turn.
 */
CREATE FUNCTION @extschema@.wa_internal_skip_opted_out(after_id bigint, page integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ids bigint[];
    last_id bigint;
    seen integer;
BEGIN
    IF NOT EXISTS (SELECT FROM @extschema@.whatsapp_opt_outs) THEN
        RETURN NULL;
    END IF;
    SELECT count(*), max(p.message_id), array_agg(p.message_id) INTO seen, last_id, ids FROM (
        SELECT q.message_id FROM @extschema@.whatsapp_queue AS q
        WHERE q.message_id > after_id
        ORDER BY q.message_id
        LIMIT page) AS p;
    SELECT array_agg(o.message_id) INTO ids FROM @extschema@.wa_internal_opted_out(ids) AS o;
    IF ids IS NOT NULL THEN
        SELECT array_agg(locked.message_id) INTO ids FROM (
            SELECT q.message_id
            FROM @extschema@.whatsapp_queue AS q
                JOIN @extschema@.whatsapp_messages AS m ON m.id = q.message_id
            WHERE q.message_id = ANY (ids) AND q.state <> 'u'
            ORDER BY q.message_id
            FOR UPDATE OF q, m SKIP LOCKED) AS locked;
        ids := @extschema@.wa_internal_subtract(ids, @extschema@.wa_internal_on_wire(ids));
        DELETE FROM @extschema@.whatsapp_queue AS q WHERE q.message_id = ANY (ids);
        UPDATE @extschema@.whatsapp_messages AS m
            SET status = 'skipped', status_reason = 'opted_out', finished_at = clock_timestamp()
            WHERE m.id = ANY (ids) AND m.status IN ('queued', 'sending');
        PERFORM @extschema@.wa_internal_alert_skipped(ids);
    END IF;
    RETURN CASE WHEN seen = page THEN last_id END;
END
$$;

CREATE OR REPLACE FUNCTION @extschema@.wa_opt_out(
    tenant_id text,
    recipient text,
    category  text DEFAULT 'marketing')
RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN @extschema@.wa_internal_opt_now(
        @extschema@.wa_internal_check_opt_out(wa_opt_out.tenant_id, wa_opt_out.recipient, wa_opt_out.category),
        wa_opt_out.tenant_id, wa_opt_out.category, 'out'::text, 'manual'::text);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_opt_out(text, text, text) IS
'Records that the recipient wants no marketing from this tenant (templates of that category or of an unknown one), '
'or, with category all, no messages at all. Such messages are skipped: new ones at once, and from COMMIT on those that '
'wait for whatever reason. It holds for every number and user ID that is known of the person. False: it was recorded '
'before. Errors: 22004, 22023, 42704 unknown tenant.';

CREATE OR REPLACE FUNCTION @extschema@.wa_opt_in(
    tenant_id text,
    recipient text,
    category  text DEFAULT 'marketing')
RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    who CONSTANT text := @extschema@.wa_internal_check_opt_out(tenant_id, recipient, category);
    ended boolean := @extschema@.wa_internal_opt_now(who, tenant_id, 'marketing'::text, 'in'::text, 'manual'::text);
BEGIN
    IF wa_opt_in.category = 'all' THEN
        ended := @extschema@.wa_internal_opt_now(who, tenant_id, 'all'::text, 'in'::text, 'manual'::text) OR ended;
    END IF;
    RETURN ended;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_opt_in(text, text, text) IS
'Reverses wa_opt_out(): for marketing, or, with category all, for everything; and records the consent in '
'whatsapp_opt_ins, whether or not there was an opt-out. Messages that were skipped stay so; wa_retry_message() sends '
'one after all. False: there was no opt-out. Errors as there.';

/*
 * Whose customer somebody is who writes to this number: its tenant, or, for a
 * number that no tenant has (the default number), every tenant that sends from
 * it because it has none of its own.
 */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_tenants_of(tenant text, number text) RETURNS SETOF text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF tenant IS NOT NULL THEN
        RETURN NEXT tenant;
        RETURN;
    END IF;
    RETURN QUERY SELECT t.tenant_id
    FROM @extschema@.whatsapp_tenants AS t
    WHERE number = current_setting('whatsapp_shared.phone_number_id', true)
        AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_phone_assignments AS a
                        WHERE a.tenant_id = t.tenant_id AND a.unassigned_at IS NULL);
END
$$;

/*
 * A customer's own decision.  What WhatsApp's switch has stopped, a word does not resume: Meta
 * would go on refusing.  A word that resumes does so for everything; the switch is
 * about marketing.
 */
CREATE FUNCTION @extschema@.wa_internal_set_opt(
    tenant text,
    number text,
    phone text,
    usr text,
    category text,
    action text,
    source text,
    decided_at timestamptz)
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    tenants CONSTANT text[] := ARRAY(
        SELECT t.tenant_id FROM @extschema@.wa_internal_tenants_of(tenant, number) AS t (tenant_id)
        ORDER BY t.tenant_id);
    contact CONSTANT bigint := @extschema@.wa_internal_met(phone, usr, decided_at);
    said_as CONSTANT text := (
        SELECT i.identity FROM @extschema@.whatsapp_contact_identities AS i
        WHERE i.contact_id = contact AND i.identity IN (phone, usr) ORDER BY i.kind LIMIT 1);
BEGIN
    PERFORM @extschema@.wa_internal_opt(contact, said_as, tenants, c.category, action, source, decided_at)
        FROM unnest(CASE WHEN action = 'in' AND source = 'inbound' THEN '{marketing,all}' ELSE ARRAY[category] END)
            AS c (category);
END
$$;

/*
 * "stop" is a customer's right, and the tenant's who had the number when it was
 * pressed.  Returns how many of these choices were new.
 */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_store_preferences(
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
        PERFORM @extschema@.wa_internal_set_opt(p.tenant_id, p.number, p.phone, p.user_id, 'marketing'::text,
            CASE p.choice WHEN 'stop' THEN 'out' ELSE 'in' END, 'preferences'::text, p.at);
    END LOOP;
    RETURN fresh;
END
$$;

/* ---- 72-contacts ----------------------------------------------------------------- */

/* Before windows are shared, below. */
ALTER TABLE @extschema@.whatsapp_windows ADD COLUMN taken_at timestamptz, ADD COLUMN passed_at timestamptz;

ALTER TABLE @extschema@.whatsapp_contacts
    ADD COLUMN name_at timestamptz,
    ADD COLUMN username_at timestamptz,
    DROP CONSTRAINT whatsapp_contacts_identity_check;

DROP INDEX @extschema@.whatsapp_contacts_wa_id_key;

DROP INDEX @extschema@.whatsapp_contacts_user_id_key;

DROP FUNCTION @extschema@.wa_internal_merge_contact(text, text, text, text, text, timestamptz);

DROP FUNCTION @extschema@.wa_internal_store_contacts(text[], text[], text[], text[], text[], timestamptz[]);

DROP FUNCTION @extschema@.wa_internal_change_identity(text, text, text, text, timestamptz);
/* Not unique: that is what whatsapp_contact_identities is for. */
CREATE INDEX whatsapp_contacts_wa_id_idx ON @extschema@.whatsapp_contacts (wa_id) WHERE wa_id IS NOT NULL;
CREATE INDEX whatsapp_contacts_user_id_idx ON @extschema@.whatsapp_contacts (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX whatsapp_contacts_username_idx ON @extschema@.whatsapp_contacts (username) WHERE username IS NOT NULL;
COMMENT ON TABLE @extschema@.whatsapp_contacts IS
'Customers who have written or were written to, or have opted out or in: one row for each person, with what is valid '
'now. All forms under which a person is or was known are in whatsapp_contact_identities. Kept for '
'whatsapp_shared.retention after they were last seen, or as long as a wish of theirs is recorded.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.wa_id IS
'The customer''s WhatsApp ID: the phone number, digits only; NULL if it is hidden.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.name_at IS 'When the name was told, by Meta''s clock.';
COMMENT ON COLUMN @extschema@.whatsapp_contacts.username_at IS 'When the user name was told, by Meta''s clock.';

/*
 * All forms of a person: numbers with "+", user ids, and ids in the parent portfolio, those
 * they had before included.  Here, and nowhere else, a form is one person's.
 */
CREATE TABLE @extschema@.whatsapp_contact_identities (
    identity      text COLLATE "C" PRIMARY KEY,
    contact_id    bigint NOT NULL
        CONSTRAINT whatsapp_contact_identities_contact_id_fkey
        REFERENCES @extschema@.whatsapp_contacts (contact_id) ON DELETE CASCADE,
    person        text COLLATE "C" NOT NULL,
    kind          text NOT NULL
        CONSTRAINT whatsapp_contact_identities_kind_check CHECK (kind IN ('phone', 'user', 'parent')),
    first_seen_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    seen_at       timestamptz,
    replaced_at   timestamptz,
    moved_at      timestamptz
) WITH (fillfactor = 80);
CREATE INDEX whatsapp_contact_identities_contact_idx ON @extschema@.whatsapp_contact_identities (contact_id);
COMMENT ON TABLE @extschema@.whatsapp_contact_identities IS
'Every form under which a customer is or was known: phone numbers, also those that are other spellings of the same one '
'(52 and 521 in Mexico, Brazil''s ninth digit, 54 and 549 in Argentina), business-scoped user IDs and their '
'predecessors, and IDs in the parent portfolio. Consent, service window, order and limits are the person''s, whichever '
'form a message is addressed to.';
COMMENT ON COLUMN @extschema@.whatsapp_contact_identities.identity IS
'Phone number in international form with +, or business-scoped user ID.';
COMMENT ON COLUMN @extschema@.whatsapp_contact_identities.contact_id IS 'The person, in whatsapp_contacts.';
COMMENT ON COLUMN @extschema@.whatsapp_contact_identities.person IS
'The form under which the person was first known: the same for all forms of a person, of no other person, and it '
'remains when others are added.';
COMMENT ON COLUMN @extschema@.whatsapp_contact_identities.kind IS
'phone, user (business-scoped user ID) or parent (ID in the parent portfolio).';
COMMENT ON COLUMN @extschema@.whatsapp_contact_identities.first_seen_at IS 'When it was first recorded.';
COMMENT ON COLUMN @extschema@.whatsapp_contact_identities.seen_at IS
'When Meta last said that it is the person''s, by Meta''s clock; -infinity: only a message or an opt-out named it; '
'NULL: it follows from another form.';
COMMENT ON COLUMN @extschema@.whatsapp_contact_identities.replaced_at IS
'When another took its place, by Meta''s clock.';
COMMENT ON COLUMN @extschema@.whatsapp_contact_identities.moved_at IS
'Since when it is this person''s, if it was somebody else''s before: numbers are given out again.';

/* Every other form of a number that is the same person's by rule; see src/common/recipient.c. */
CREATE FUNCTION @extschema@.wa_internal_spellings(recipient text) RETURNS text[]
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_spellings';
COMMENT ON FUNCTION @extschema@.wa_internal_spellings(text) IS
'The other spellings of a phone number (52 and 521 in Mexico, Brazil''s ninth digit, 54 and 549 in Argentina); empty '
'for all other numbers, and for user IDs. Internal.';

/*
 * What senders learn from responses, and webhooks from statuses: two forms of one person.  They
 * append and never wait; webhooks and the upkeep take it from here.
 */
CREATE TABLE @extschema@.whatsapp_learned_identities (
    learned_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recipient  text COLLATE "C" NOT NULL,
    identity   text COLLATE "C" NOT NULL,
    learned_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE @extschema@.whatsapp_learned_identities IS
'Forms of persons that Meta''s responses and statuses have told, until they are entered in '
'whatsapp_contact_identities.';
COMMENT ON COLUMN @extschema@.whatsapp_learned_identities.learned_id IS 'Number of the row.';
COMMENT ON COLUMN @extschema@.whatsapp_learned_identities.recipient IS 'What a message was addressed to.';
COMMENT ON COLUMN @extschema@.whatsapp_learned_identities.identity IS 'What Meta calls the same person.';
COMMENT ON COLUMN @extschema@.whatsapp_learned_identities.learned_at IS
'When the response came; or when the message was written of which a status told.';

/* What is valid now, of all that the person has had. */
CREATE FUNCTION @extschema@.wa_internal_refresh_contacts(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE @extschema@.whatsapp_contacts AS c
        SET (wa_id, user_id, parent_user_id) = (
            SELECT substr((array_agg(i.identity ORDER BY (i.replaced_at >= i.seen_at) IS TRUE,
                    i.seen_at DESC NULLS LAST, i.identity DESC) FILTER (WHERE i.kind = 'phone'))[1], 2),
                (array_agg(i.identity ORDER BY (i.replaced_at >= i.seen_at) IS TRUE,
                    i.seen_at DESC NULLS LAST, i.identity DESC) FILTER (WHERE i.kind = 'user'))[1],
                (array_agg(i.identity ORDER BY (i.replaced_at >= i.seen_at) IS TRUE,
                    i.seen_at DESC NULLS LAST, i.identity DESC) FILTER (WHERE i.kind = 'parent'))[1]
            FROM @extschema@.whatsapp_contact_identities AS i WHERE i.contact_id = c.contact_id)
        WHERE c.contact_id = ANY (ids);
END
$$;

/* Several rows turn out to be one person: the first stays, and nothing of the others is lost. */
CREATE FUNCTION @extschema@.wa_internal_merge_contacts(kept bigint, others bigint[], key text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    everybody CONSTANT bigint[] := kept || others;
BEGIN
    UPDATE @extschema@.whatsapp_contact_identities AS i SET contact_id = kept, person = key
        WHERE i.contact_id = ANY (others);
    UPDATE @extschema@.whatsapp_contacts AS c
        SET (name, name_at) = (
                SELECT o.name, o.name_at FROM @extschema@.whatsapp_contacts AS o
                WHERE o.contact_id = ANY (everybody) AND o.name IS NOT NULL
                ORDER BY o.name_at DESC NULLS LAST, o.name COLLATE "C" DESC LIMIT 1),
            (username, username_at) = (
                SELECT o.username, o.username_at FROM @extschema@.whatsapp_contacts AS o
                WHERE o.contact_id = ANY (everybody) AND (o.username IS NOT NULL OR o.username_at IS NOT NULL)
                ORDER BY o.username_at DESC NULLS LAST, o.username COLLATE "C" DESC NULLS LAST LIMIT 1),
            (first_seen_at, last_seen_at) = (
                SELECT min(o.first_seen_at), max(o.last_seen_at) FROM @extschema@.whatsapp_contacts AS o
                WHERE o.contact_id = ANY (everybody))
        WHERE c.contact_id = kept;
    DELETE FROM @extschema@.whatsapp_contacts AS c WHERE c.contact_id = ANY (others);
END
$$;

/*
 * Numbers that their former owners have left are somebody else's now.  What was said or
 * wanted under them stays with those who said it, short of opting out since.
 */
CREATE FUNCTION @extschema@.wa_internal_move_numbers(numbers text[], contact bigint, key text, at timestamptz)
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    losers bigint[];
BEGIN
    DELETE FROM @extschema@.whatsapp_windows AS w WHERE w.recipient = ANY (numbers);
    WITH kept AS (
        DELETE FROM @extschema@.whatsapp_opt_ins AS o
            USING @extschema@.whatsapp_contact_identities AS i
            WHERE o.recipient = ANY (numbers) AND i.identity = o.recipient
            RETURNING o.tenant_id, o.category, o.source, o.created_at, (
                SELECT f.identity FROM @extschema@.whatsapp_contact_identities AS f
                WHERE f.contact_id = i.contact_id AND f.identity <> ALL (numbers)
                ORDER BY f.identity LIMIT 1) AS recipient)
    INSERT INTO @extschema@.whatsapp_opt_ins AS o (tenant_id, recipient, category, source, created_at)
        SELECT k.tenant_id, k.recipient, k.category, k.source, max(k.created_at) FROM kept AS k
        WHERE k.recipient IS NOT NULL
        GROUP BY 1, 2, 3, 4
        ON CONFLICT ON CONSTRAINT whatsapp_opt_ins_pkey DO UPDATE
        SET created_at = GREATEST(o.created_at, EXCLUDED.created_at);
    /* Without these times, to delete them is no wish of anybody. */
    UPDATE @extschema@.whatsapp_opt_outs AS o SET switch_at = NULL, word_at = NULL
        FROM @extschema@.whatsapp_contact_identities AS i
        WHERE o.recipient = ANY (numbers) AND i.identity = o.recipient
            AND GREATEST(o.switch_at, o.word_at) <= i.replaced_at;
    DELETE FROM @extschema@.whatsapp_opt_outs AS o
        WHERE o.recipient = ANY (numbers) AND o.switch_at IS NULL AND o.word_at IS NULL;
    losers := ARRAY(SELECT DISTINCT i.contact_id FROM @extschema@.whatsapp_contact_identities AS i
                    WHERE i.identity = ANY (numbers));
    UPDATE @extschema@.whatsapp_contact_identities AS i
        SET contact_id = contact, person = key, moved_at = at, seen_at = at, replaced_at = NULL
        WHERE i.identity = ANY (numbers);
    PERFORM @extschema@.wa_internal_refresh_contacts(losers);
END
$$;

/*
 * These are forms of one person.  Standings are current (at that time), former (from then
 * on), or named: somebody has used it.  Returns the contact, whose lock is held.
 *
 * Locks are taken in the order of contact_id, and then it is looked again: whoever
 * we waited for may have united or moved them.  A form that nobody had is entered by whoever
 * is first; the primary key makes others wait, and begin again.
 *
 * A number that was left before (replaced_at) and now comes with the user id of somebody
 * else has been given out again.  Conversely what comes late, from before a number's
 * last change of hands (moved_at), says nothing of its present owner.
 */
CREATE FUNCTION @extschema@.wa_internal_unite(said text[], kinds text[], standings text[], at timestamptz)
RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    forms text[];
    moved text[];
    anchors bigint[];
    found_ids bigint[];
    kept bigint;
    key text;
    news boolean;
    n integer;
BEGIN
    LOOP
        forms := ARRAY(
            SELECT u.form FROM unnest(said) AS u (form)
            UNION SELECT s.form FROM unnest(said) AS u (form),
                unnest(@extschema@.wa_internal_spellings(u.form)) AS s (form));
        found_ids := ARRAY(
            SELECT DISTINCT i.contact_id FROM @extschema@.whatsapp_contact_identities AS i
            WHERE i.identity = ANY (forms) ORDER BY i.contact_id);
        PERFORM FROM @extschema@.whatsapp_contacts AS c
            WHERE c.contact_id = ANY (found_ids) ORDER BY c.contact_id FOR NO KEY UPDATE;
        GET DIAGNOSTICS n = ROW_COUNT;
        CONTINUE WHEN n < cardinality(found_ids) OR found_ids <> ARRAY(
            SELECT DISTINCT i.contact_id FROM @extschema@.whatsapp_contact_identities AS i
            WHERE i.identity = ANY (forms) ORDER BY i.contact_id);

        /* Whose is each number? */
        anchors := ARRAY(SELECT i.contact_id FROM @extschema@.whatsapp_contact_identities AS i
                         WHERE i.identity = ANY (said) AND i.kind <> 'phone');
        moved := '{}';
        IF cardinality(said) > 1 THEN
            forms := ARRAY(
                SELECT f.form FROM unnest(forms) AS f (form)
                    LEFT JOIN @extschema@.whatsapp_contact_identities AS i ON i.identity = f.form
                WHERE (i.kind = 'phone' AND i.moved_at > at AND i.contact_id <> ALL (anchors)) IS NOT TRUE);
            IF 'former' <> ALL (standings)
               AND EXISTS (SELECT FROM unnest(kinds) AS k (kind) WHERE k.kind <> 'phone') THEN
                moved := ARRAY(
                    SELECT i.identity FROM @extschema@.whatsapp_contact_identities AS i
                    WHERE i.identity = ANY (forms) AND i.kind = 'phone' AND i.replaced_at < at
                        AND i.contact_id <> ALL (anchors));
            END IF;
        END IF;
        found_ids := ARRAY(
            SELECT DISTINCT i.contact_id FROM @extschema@.whatsapp_contact_identities AS i
            WHERE i.identity = ANY (forms) AND i.identity <> ALL (moved) ORDER BY i.contact_id);

        kept := found_ids[1];
        IF kept IS NULL THEN
            INSERT INTO @extschema@.whatsapp_contacts (first_seen_at, last_seen_at)
                VALUES (clock_timestamp(), clock_timestamp()) RETURNING contact_id INTO kept;
            key := (SELECT u.form FROM unnest(said, kinds) WITH ORDINALITY AS u (form, kind, n)
                    WHERE u.form = ANY (forms) AND u.form <> ALL (moved)
                    ORDER BY u.kind <> 'phone', u.kind <> 'user', u.n LIMIT 1);
        ELSE
            key := (SELECT i.person FROM @extschema@.whatsapp_contact_identities AS i
                    WHERE i.contact_id = kept LIMIT 1);
        END IF;

        INSERT INTO @extschema@.whatsapp_contact_identities (identity, contact_id, person, kind, seen_at, replaced_at)
            SELECT f.form, kept, key, COALESCE(w.kind, 'phone'), w.seen_at, w.replaced_at
            FROM unnest(forms) AS f (form)
                LEFT JOIN @extschema@.wa_internal_standings(said, kinds, standings, at) AS w ON w.form = f.form
            WHERE NOT EXISTS (SELECT FROM @extschema@.whatsapp_contact_identities AS i WHERE i.identity = f.form)
            ORDER BY f.form
            ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS n = ROW_COUNT;
        news := n > 0;
        EXIT WHEN NOT EXISTS (
            SELECT FROM unnest(forms) AS f (form)
                LEFT JOIN @extschema@.whatsapp_contact_identities AS i ON i.identity = f.form
            WHERE (i.contact_id = kept OR i.contact_id = ANY (found_ids) OR f.form = ANY (moved)) IS NOT TRUE);
        /* Somebody else has just entered one of them. */
        IF cardinality(found_ids) = 0 THEN
            DELETE FROM @extschema@.whatsapp_contacts AS c WHERE c.contact_id = kept;
        END IF;
    END LOOP;

    IF cardinality(found_ids) > 1 THEN
        PERFORM @extschema@.wa_internal_merge_contacts(kept, found_ids[2:], key);
        news := true;
    END IF;
    IF cardinality(moved) > 0 THEN
        PERFORM @extschema@.wa_internal_move_numbers(moved, kept, key, at);
        news := true;
    END IF;
    UPDATE @extschema@.whatsapp_contact_identities AS i
        SET seen_at = GREATEST(i.seen_at, w.seen_at), replaced_at = GREATEST(i.replaced_at, w.replaced_at)
        FROM @extschema@.wa_internal_standings(said, kinds, standings, at) AS w
        WHERE i.identity = w.form AND i.contact_id = kept
            AND (w.seen_at > i.seen_at OR w.seen_at IS NOT NULL AND i.seen_at IS NULL
                 OR w.replaced_at > i.replaced_at OR w.replaced_at IS NOT NULL AND i.replaced_at IS NULL);
    IF FOUND OR news THEN
        PERFORM @extschema@.wa_internal_refresh_contacts(ARRAY[kept]);
    END IF;
    IF news THEN
        PERFORM @extschema@.wa_internal_settle_consent(kept);
        PERFORM @extschema@.wa_internal_share_windows(ARRAY[kept]);
    END IF;
    RETURN kept;
END
$$;

/* The times that follow from standings.  Who leaves a number leaves all spellings of it. */
CREATE FUNCTION @extschema@.wa_internal_standings(said text[], kinds text[], standings text[], at timestamptz,
    OUT form text, OUT kind text, OUT seen_at timestamptz, OUT replaced_at timestamptz)
RETURNS SETOF record
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT w.form, min(w.kind),
        max(CASE w.standing WHEN 'current' THEN at WHEN 'spelling' THEN NULL ELSE '-infinity' END),
        CASE WHEN bool_and(w.left_then) THEN at END
    FROM (
        SELECT u.form, u.kind, u.standing, u.standing = 'former' AS left_then
        FROM unnest(said, kinds, standings) AS u (form, kind, standing)
        UNION ALL
        SELECT s.form, 'phone', 'spelling', u.standing = 'former'
        FROM unnest(said, standings) AS u (form, standing),
            unnest(@extschema@.wa_internal_spellings(u.form)) AS s (form)) AS w
    GROUP BY w.form;
END
$$;

/*
 * What is known of one person at that time; any of the forms may be NULL.  Returns the
 * contact, locked.  A number alone does not say whose it is now.
 */
CREATE FUNCTION @extschema@.wa_internal_know(phone text, usr text, parent text, at timestamptz) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT @extschema@.wa_internal_unite(array_agg(f.form), array_agg(f.kind),
        array_agg(CASE WHEN usr IS NULL AND parent IS NULL THEN 'named' ELSE 'current' END), at)
    FROM (VALUES (phone, 'phone'), (usr, 'user'), (parent, 'parent')) AS f (form, kind)
    WHERE f.form IS NOT NULL
    HAVING count(*) > 0);
END
$$;

/* The same, of somebody who is locked already: nearly always there is nothing new to know. */
CREATE FUNCTION @extschema@.wa_internal_met(phone text, usr text, at timestamptz) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known record;
BEGIN
    SELECT count(*) AS n, min(i.contact_id) AS first, max(i.contact_id) AS last, max(i.replaced_at) AS replaced_at,
            max(i.moved_at) AS moved_at INTO known
        FROM @extschema@.whatsapp_contact_identities AS i
        WHERE i.identity IN (phone, usr);
    IF known.n = num_nonnulls(phone, usr) AND known.first = known.last AND known.replaced_at IS NULL
       AND known.moved_at IS NULL THEN
        RETURN known.first;
    END IF;
    RETURN @extschema@.wa_internal_know(phone, usr, NULL::text, at);
END
$$;

/* Whom somebody means by this address. */
CREATE FUNCTION @extschema@.wa_internal_named(recipient text) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN @extschema@.wa_internal_unite(ARRAY[recipient], ARRAY[CASE
        WHEN recipient LIKE '+%' THEN 'phone' WHEN recipient ~ '^[A-Z]{2}\.ENT\.' THEN 'parent' ELSE 'user' END],
        ARRAY['named'], NULL::timestamptz);
END
$$;

/*
 * A customer has another number or another user id now; any of these may be NULL.  All of
 * them are one person's.
 */
CREATE FUNCTION @extschema@.wa_internal_change_identity(
    old_phone text, old_user text, old_parent text, new_phone text, new_user text, new_parent text,
    changed_at timestamptz)
RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT @extschema@.wa_internal_unite(array_agg(f.form), array_agg(f.kind), array_agg(f.standing),
        changed_at)
    FROM (VALUES (new_phone, 'phone', 'current'), (new_user, 'user', 'current'), (new_parent, 'parent', 'current'),
                 (NULLIF(old_phone, new_phone), 'phone', 'former'), (NULLIF(old_user, new_user), 'user', 'former'),
                 (NULLIF(old_parent, new_parent), 'parent', 'former')) AS f (form, kind, standing)
    WHERE f.form IS NOT NULL
    HAVING count(*) > 0);
END
$$;

/* The changes of a webhook, with the names that were told beside them. */
CREATE FUNCTION @extschema@.wa_internal_change_identities(
    old_phones text[], old_users text[], old_parents text[], new_phones text[], new_users text[], new_parents text[],
    names text[], usernames text[], changed_at timestamptz[])
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    told record;
BEGIN
    FOR told IN
        SELECT * FROM unnest(old_phones, old_users, old_parents, new_phones, new_users, new_parents, names, usernames,
                             changed_at)
            AS u (old_phone, old_user, old_parent, new_phone, new_user, new_parent, name, username, at)
        ORDER BY u.at, u.new_user, u.old_user, u.new_phone, u.old_phone
    LOOP
        PERFORM @extschema@.wa_internal_note_names(
            @extschema@.wa_internal_change_identity(told.old_phone, told.old_user, told.old_parent, told.new_phone,
                told.new_user, told.new_parent, told.at),
            told.name, told.username, told.at, told.at);
    END LOOP;
END
$$;

/* Windows are open, or not, for all forms of a person, and so is a conversation somebody's. */
CREATE FUNCTION @extschema@.wa_internal_share_windows(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO @extschema@.whatsapp_windows AS w (phone_number_id, recipient, last_inbound_at, taken_at, passed_at)
        SELECT o.phone_number_id, f.identity, max(o.last_inbound_at), max(o.taken_at), max(o.passed_at)
        FROM unnest(ids) AS k (contact_id)
            JOIN @extschema@.whatsapp_contact_identities AS i ON i.contact_id = k.contact_id
            JOIN @extschema@.whatsapp_windows AS o ON o.recipient = i.identity
            JOIN @extschema@.whatsapp_contact_identities AS f ON f.contact_id = k.contact_id
        GROUP BY o.phone_number_id, f.identity
        ORDER BY o.phone_number_id, f.identity
        ON CONFLICT ON CONSTRAINT whatsapp_windows_pkey DO UPDATE
        SET last_inbound_at = EXCLUDED.last_inbound_at, taken_at = EXCLUDED.taken_at, passed_at = EXCLUDED.passed_at
        WHERE (w.last_inbound_at, w.taken_at, w.passed_at)
            IS DISTINCT FROM (EXCLUDED.last_inbound_at, EXCLUDED.taken_at, EXCLUDED.passed_at);
END
$$;

/* For each of these hashes one of 64 locks, until COMMIT, or until a handler is called (webhook/newcomer.c). */
CREATE FUNCTION @extschema@.wa_internal_lock_newcomers(hashes integer[]) RETURNS void
    LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'wa_internal_lock_newcomers';

/*
 * Locks all these people at once, so that webhooks meet in one direction.  Those of whom nobody
 * has heard have no row yet: for them stands a lock by the form's hash, so that
 * two who hear of the same ones go one after the other, and most others do not.
 */
CREATE FUNCTION @extschema@.wa_internal_lock_persons(identities text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_lock_newcomers(ARRAY(
        SELECT hashtext(LEAST(u.form, (@extschema@.wa_internal_spellings(u.form))[1]))
        FROM unnest(identities) AS u (form)
        WHERE u.form IS NOT NULL
            AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_contact_identities AS i WHERE i.identity = u.form)));
    PERFORM FROM @extschema@.whatsapp_contacts AS c
    WHERE c.contact_id = ANY (ARRAY(
        SELECT i.contact_id FROM @extschema@.whatsapp_contact_identities AS i WHERE i.identity = ANY (identities)))
    ORDER BY c.contact_id
    FOR NO KEY UPDATE;
END
$$;

/*
 * A name, by the latest who says it.  A user name is one person's: whoever takes it takes it
 * from the one who had it, and does not become that one.
 */
CREATE FUNCTION @extschema@.wa_internal_note_names(
    contact bigint, name text, username text, at timestamptz, seen_at timestamptz)
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    taken boolean := false;
BEGIN
    IF username IS NOT NULL THEN
        PERFORM FROM @extschema@.whatsapp_contacts AS o
            WHERE o.username = username AND o.contact_id <> contact AND o.username_at > at;
        taken := FOUND;
        UPDATE @extschema@.whatsapp_contacts AS o SET username = NULL
            WHERE o.username = username AND o.contact_id <> contact AND NOT taken;
    END IF;
    UPDATE @extschema@.whatsapp_contacts AS c
        SET (name, name_at) = (
                SELECT v.name, v.at FROM (VALUES (c.name, c.name_at), (name, at)) AS v (name, at)
                WHERE v.name IS NOT NULL ORDER BY v.at DESC NULLS LAST, v.name COLLATE "C" DESC LIMIT 1),
            (username, username_at) = (
                SELECT v.username, v.at
                FROM (VALUES (c.username, c.username_at, true),
                             (CASE WHEN NOT taken THEN username END, at, username IS NOT NULL))
                    AS v (username, at, told)
                WHERE v.told
                ORDER BY v.at DESC NULLS LAST, v.username COLLATE "C" DESC NULLS LAST LIMIT 1),
            first_seen_at = LEAST(c.first_seen_at, seen_at),
            last_seen_at = GREATEST(c.last_seen_at, seen_at)
        WHERE c.contact_id = contact;
END
$$;

/* The contacts of a webhook that are not known, or not as they are told now. */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_store_contacts(
    wa_ids text[], user_ids text[], parents text[], names text[], usernames text[], said_at timestamptz[])
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    seen_at CONSTANT timestamptz := clock_timestamp();
    told record;
BEGIN
    FOR told IN
        SELECT * FROM unnest(wa_ids, user_ids, parents, names, usernames, said_at)
            AS u (wa, usr, parent, name, username, at)
        ORDER BY u.usr, u.wa, u.at
    LOOP
        PERFORM @extschema@.wa_internal_note_names(
            @extschema@.wa_internal_know('+' || told.wa, told.usr, told.parent, told.at),
            told.name, told.username, told.at, seen_at);
    END LOOP;
END
$$;

/*
 * Those of whom nobody has heard, by one statement: there may be hundreds.  If another session
 * was faster with one of them, or somebody is named twice, it must be looked at who they are.
 */
CREATE FUNCTION @extschema@.wa_internal_add_contacts(
    wa_ids text[], user_ids text[], parents text[], names text[], usernames text[], said_at timestamptz[])
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    sequence CONSTANT regclass := pg_get_serial_sequence('@extschema@.whatsapp_contacts', 'contact_id');
    seen_at CONSTANT timestamptz := clock_timestamp();
    made bigint[];
    missing bigint;
    wished bigint;
BEGIN
    WITH v AS MATERIALIZED (
        SELECT nextval(sequence) AS id, u.*
        FROM unnest(wa_ids, user_ids, parents, names, usernames, said_at) AS u (wa, usr, parent, name, username, at)
    ), added AS (
        INSERT INTO @extschema@.whatsapp_contacts (contact_id, wa_id, user_id, parent_user_id, name, username,
                first_seen_at, last_seen_at, name_at, username_at)
            OVERRIDING SYSTEM VALUE
            SELECT v.id, v.wa, v.usr, v.parent, v.name, v.username, seen_at, seen_at,
                CASE WHEN v.name IS NOT NULL THEN v.at END, CASE WHEN v.username IS NOT NULL THEN v.at END
            FROM v ORDER BY v.id
    ), f AS MATERIALIZED (
        SELECT v.id, COALESCE('+' || v.wa, v.usr, v.parent) AS person, w.*
        FROM v CROSS JOIN LATERAL (
            SELECT '+' || v.wa, 'phone', v.at
            UNION ALL SELECT v.usr, 'user', v.at
            UNION ALL SELECT v.parent, 'parent', v.at
            UNION ALL SELECT s.form, 'phone', NULL
                FROM unnest(@extschema@.wa_internal_spellings('+' || v.wa)) AS s (form)) AS w (form, kind, at)
        WHERE w.form IS NOT NULL
    ), entered AS (
        INSERT INTO @extschema@.whatsapp_contact_identities (identity, contact_id, person, kind, seen_at)
            SELECT f.form, f.id, f.person, f.kind, f.at FROM f ORDER BY f.form
            ON CONFLICT DO NOTHING
            RETURNING contact_id)
    SELECT (SELECT count(*) FROM f) - (SELECT count(*) FROM entered),
           (SELECT count(*) FROM v WHERE v.username IS NOT NULL AND EXISTS (
                SELECT FROM @extschema@.whatsapp_contacts AS o WHERE o.username = v.username))
           + (SELECT count(v.username) - count(DISTINCT v.username) FROM v),
           (SELECT array_agg(v.id) FROM v)
        INTO missing, wished, made;
    IF missing > 0 OR wished > 0 THEN
        DELETE FROM @extschema@.whatsapp_contacts AS c WHERE c.contact_id = ANY (made);
        PERFORM @extschema@.wa_internal_store_contacts(wa_ids, user_ids, parents, names, usernames, said_at);
        RETURN;
    END IF;
    /* Somebody may have wanted something of them under one of these forms. */
    PERFORM @extschema@.wa_internal_settle_consent(k.contact_id) FROM (
        SELECT DISTINCT i.contact_id
        FROM unnest(made) AS m (contact_id)
            JOIN @extschema@.whatsapp_contact_identities AS i ON i.contact_id = m.contact_id
            JOIN @extschema@.whatsapp_opt_outs AS o ON o.recipient = i.identity) AS k;
    PERFORM @extschema@.wa_internal_share_windows(made);
END
$$;

/*
 * What was learned; a batch of it, or what was learned of these others alone.  What somebody else is
 * entering is left to him.  Everybody whom that is about is locked before, at once with those others, whom
 * the caller is about to need.
 */
CREATE FUNCTION @extschema@.wa_internal_learn_identities(
    batch integer, others text[] DEFAULT '{}', of_others_alone boolean DEFAULT false)
RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most_forms CONSTANT integer := 32;
    recipients text[];
    identities text[];
    times timestamptz[];
    learned record;
    n bigint := 0;
BEGIN
    WITH taken AS (
        DELETE FROM @extschema@.whatsapp_learned_identities AS l WHERE l.learned_id IN (
            SELECT o.learned_id FROM @extschema@.whatsapp_learned_identities AS o
            WHERE NOT of_others_alone OR o.recipient = ANY (others) OR o.identity = ANY (others)
            ORDER BY o.learned_id LIMIT batch FOR UPDATE SKIP LOCKED)
        RETURNING l.recipient, l.identity, l.learned_at)
    SELECT array_agg(t.recipient), array_agg(t.identity), array_agg(t.learned_at)
        INTO recipients, identities, times FROM taken AS t;
    PERFORM @extschema@.wa_internal_lock_persons(others || recipients || identities);
    FOR learned IN
        SELECT t.recipient, t.identity, min(t.at) AS at
        FROM unnest(recipients, identities, times) AS t (recipient, identity, at)
        GROUP BY t.recipient, t.identity
        ORDER BY t.recipient, t.identity
    LOOP
        /* Nobody has so many: whoever says so says the same of everybody. */
        CONTINUE WHEN (
            SELECT count(DISTINCT f.identity)
            FROM @extschema@.whatsapp_contact_identities AS i
                JOIN @extschema@.whatsapp_contact_identities AS f ON f.contact_id = i.contact_id
            WHERE i.identity IN (learned.recipient, learned.identity)) >= most_forms;
        PERFORM @extschema@.wa_internal_unite(array_agg(f.form), array_agg(CASE
                WHEN f.form LIKE '+%' THEN 'phone' WHEN f.form ~ '^[A-Z]{2}\.ENT\.' THEN 'parent' ELSE 'user' END),
                array_agg('named'::text), learned.at)
            FROM unnest(ARRAY[learned.recipient, learned.identity]) AS f (form);
        n := n + 1;
    END LOOP;
    RETURN n;
END
$$;

/* Before rows come in: a table that CREATE EXTENSION fills is marked otherwise. */
SELECT @extschema@.wa_internal_mark_for_dump();

/* What was known of customers.  A number is digits or nothing; some rows had what Meta put in its place. */
UPDATE @extschema@.whatsapp_contacts AS c
    SET wa_id = NULL,
        user_id = COALESCE(c.user_id, CASE WHEN c.wa_id OPERATOR(pg_catalog.~) '^[A-Z]{2}[.]' THEN c.wa_id END)
    WHERE c.wa_id OPERATOR(pg_catalog.!~) '^[0-9]{5,20}$';
INSERT INTO @extschema@.whatsapp_contact_identities (identity, contact_id, person, kind, first_seen_at, seen_at)
    SELECT f.form, c.contact_id, COALESCE('+' OPERATOR(pg_catalog.||) c.wa_id, c.user_id), f.kind, c.first_seen_at,
        c.first_seen_at
    FROM @extschema@.whatsapp_contacts AS c
        CROSS JOIN LATERAL (VALUES ('+' OPERATOR(pg_catalog.||) c.wa_id, 'phone'), (c.user_id, 'user'))
            AS f (form, kind)
    WHERE f.form IS NOT NULL
    ON CONFLICT DO NOTHING;

/* Whoever has a parent ID, another spelling of the number, or wants no messages, may be somebody else as well. */
DO $$
DECLARE
    c record;
BEGIN
    FOR c IN
        SELECT o.wa_id, o.user_id, o.parent_user_id, o.first_seen_at
        FROM @extschema@.whatsapp_contacts AS o
        WHERE o.parent_user_id IS NOT NULL
            OR @extschema@.wa_internal_spellings('+' OPERATOR(pg_catalog.||) o.wa_id) OPERATOR(pg_catalog.<>) '{}'
        ORDER BY o.contact_id
    LOOP
        PERFORM @extschema@.wa_internal_know('+' OPERATOR(pg_catalog.||) c.wa_id, c.user_id, c.parent_user_id,
            c.first_seen_at);
    END LOOP;
    FOR c IN
        SELECT DISTINCT o.recipient FROM @extschema@.whatsapp_opt_outs AS o ORDER BY o.recipient
    LOOP
        PERFORM @extschema@.wa_internal_settle_consent(@extschema@.wa_internal_named(c.recipient));
    END LOOP;
    PERFORM @extschema@.wa_internal_share_windows(pg_catalog.array_agg(DISTINCT i.contact_id))
        FROM @extschema@.whatsapp_windows AS w
            JOIN @extschema@.whatsapp_contact_identities AS i ON i.identity OPERATOR(pg_catalog.=) w.recipient
        WHERE w.last_inbound_at OPERATOR(pg_catalog.>)
            (pg_catalog.now() OPERATOR(pg_catalog.-) pg_catalog.interval '1 day');
END
$$;

/* Who has switched marketing on again: what an older opt-out yields to, if it comes late. */
INSERT INTO @extschema@.whatsapp_opt_ins (tenant_id, recipient, category, source, created_at)
    SELECT t.tenant_id, f.form, 'marketing', 'preferences', pg_catalog.max(e.happened_at)
    FROM @extschema@.whatsapp_account_events AS e
        CROSS JOIN LATERAL (SELECT pg_catalog.split_part(e.key, ' ', 1), pg_catalog.split_part(e.key, ' ', 2))
            AS f (number, form)
        JOIN @extschema@.whatsapp_phone_assignments AS t
            ON t.phone_number_id OPERATOR(pg_catalog.=) f.number
                AND t.assigned_at OPERATOR(pg_catalog.<=) e.happened_at
                AND (t.unassigned_at IS NULL OR t.unassigned_at OPERATOR(pg_catalog.>) e.happened_at)
    WHERE e.field OPERATOR(pg_catalog.=) 'user_preferences' AND f.form OPERATOR(pg_catalog.<>) ''
        AND (e.value OPERATOR(pg_catalog.->>) 'value') OPERATOR(pg_catalog.=) ANY ('{resume,signup}')
    GROUP BY t.tenant_id, f.form
    ON CONFLICT DO NOTHING;

/* ---- 75-inbound ------------------------------------------------------------------ */

/* What has this person answered? */
CREATE INDEX whatsapp_inbound_messages_phone_idx
    ON @extschema@.whatsapp_inbound_messages (sender_phone, sent_at) WHERE sender_phone IS NOT NULL;
CREATE INDEX whatsapp_inbound_messages_user_id_idx
    ON @extschema@.whatsapp_inbound_messages (sender_user_id, sent_at) WHERE sender_user_id IS NOT NULL;
/* What was said about a message later, or has come before it. */
CREATE INDEX whatsapp_inbound_messages_about_idx
    ON @extschema@.whatsapp_inbound_messages (context_whatsapp_message_id)
    WHERE message_type IN ('edit', 'revoke', 'reaction');
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.text IS
'The readable part, as the customer has last edited it: the text, the caption of media, the title of what was pressed '
'or chosen, the emoji, the name and address of a place, the names and numbers of contacts, the lines of an order.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.context_whatsapp_message_id IS
'The wamid of the message that it replies to, reacts to, edits or deletes.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.message_id IS
'Our message that this one replies or reacts to.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.reply_id IS
'The payload of the button, or the ID of the row, that was chosen; of a form (flow) its flow_token, or else its name.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.reply_title IS
'The text of the button, or row, that was chosen; of a form, what WhatsApp shows in its place.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.edited_at IS
'When the customer last edited it; text is what it says since.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.revoked_at IS
'When the customer deleted it; of a reaction, when it was taken back or replaced by another.';

ALTER TABLE @extschema@.whatsapp_inbound_messages ADD COLUMN thread_owner text,
    ADD COLUMN reply_data jsonb,
    ADD COLUMN forwarded boolean NOT NULL DEFAULT false,
    ADD COLUMN about_inbound_id bigint,
    ADD COLUMN media_id text COLLATE "C",
    ADD COLUMN mime_type text,
    ADD COLUMN filename text,
    ADD COLUMN latitude numeric,
    ADD COLUMN longitude numeric,
    ADD COLUMN catalog_id text,
    ADD COLUMN product_retailer_id text,
    ADD COLUMN order_items jsonb,
    ADD COLUMN referral_source_type text,
    ADD COLUMN referral_source_id text,
    ADD COLUMN referral_source_url text,
    ADD COLUMN ctwa_clid text,
    ADD COLUMN read_at timestamptz;
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.thread_owner IS
'Who had the conversation when it was not this application, and the message came in the field standby: the role that '
'Meta named when it was last taken over, or other. NULL: this application.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.reply_data IS
'What was filled in (response_json), of the answer to a form; NULL also if it is no JSON.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.forwarded IS 'Whether the customer forwarded it.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.about_inbound_id IS
'The message of the customer''s that it edits, deletes, reacts or replies to, if that is stored.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.media_id IS
'Meta''s ID of its file: image, video, audio, document or sticker.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.mime_type IS 'The media type of its file, as Meta names it.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.filename IS 'The name of its file, as the customer named it.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.latitude IS 'Of a location, in degrees north.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.longitude IS 'Of a location, in degrees east.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.catalog_id IS
'The catalog that was ordered from, or that the product asked about is in.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.product_retailer_id IS
'The product that the customer was looking at when asking.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.order_items IS
'What was ordered: an array of objects with product_retailer_id, quantity, item_price and currency.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.referral_source_type IS
'ad or post: the customer came by a click on it (click to WhatsApp).';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.referral_source_id IS 'Meta''s ID of that ad or post.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.referral_source_url IS 'Its address.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.ctwa_clid IS
'Meta''s ID of the click, for its Conversions API.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_messages.read_at IS
'When wa_mark_read() was first told that it has been read, whether or not the customer is shown that.';

/*
 * What customers say about a message of ours whose wamid is not recorded yet: the response
 * to its request is being settled, or got lost.  The wait doubles with each look, so that
 * what is never found, because another program has sent it, costs next to nothing.
 */
CREATE TABLE @extschema@.whatsapp_early_replies (
    inbound_id          bigint PRIMARY KEY,
    whatsapp_message_id text COLLATE "C" NOT NULL,
    received_at         timestamptz NOT NULL,
    next_look_at        timestamptz NOT NULL
);
CREATE INDEX whatsapp_early_replies_next_idx ON @extschema@.whatsapp_early_replies (next_look_at);
COMMENT ON TABLE @extschema@.whatsapp_early_replies IS
'Replies and reactions of customers to messages that are not known, looked for again for seven days. Internal.';
COMMENT ON COLUMN @extschema@.whatsapp_early_replies.inbound_id IS 'The reply, in whatsapp_inbound_messages.';
COMMENT ON COLUMN @extschema@.whatsapp_early_replies.whatsapp_message_id IS
'The wamid of the message that it replies or reacts to.';
COMMENT ON COLUMN @extschema@.whatsapp_early_replies.received_at IS 'When it was received.';
COMMENT ON COLUMN @extschema@.whatsapp_early_replies.next_look_at IS 'Not looked for before this time.';
/* For whoever turns out to be the same person. */
CREATE INDEX whatsapp_windows_recipient_idx ON @extschema@.whatsapp_windows (recipient);
COMMENT ON TABLE @extschema@.whatsapp_windows IS
'When each customer last wrote to each number, under every form of the person. Within the service window, 24 hours '
'from then, messages other than templates can be sent.';
COMMENT ON COLUMN @extschema@.whatsapp_windows.last_inbound_at IS
'When the customer last wrote to the number; -infinity: only that the conversation has another owner is known.';
COMMENT ON COLUMN @extschema@.whatsapp_windows.taken_at IS
'When another application last had the conversation: it was taken, or the customer wrote to that one. NULL: never.';
COMMENT ON COLUMN @extschema@.whatsapp_windows.passed_at IS
'When the conversation was last passed to this application; NULL: never. It is ours, too, as soon as the customer '
'writes to us.';

CREATE FUNCTION @extschema@.wa_internal_thread_is_taken(
    last_inbound_at timestamptz, taken_at timestamptz, passed_at timestamptz)
RETURNS boolean
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_thread_is_taken';
COMMENT ON FUNCTION @extschema@.wa_internal_thread_is_taken(timestamptz, timestamptz, timestamptz) IS
'Whether another application has the conversation of which a row of whatsapp_windows says this. Internal.';

/* Who had a customer's conversation then, if it was another one: Meta tells whom it is taken from, and by whom. */
CREATE FUNCTION @extschema@.wa_internal_thread_owner(number text, phone text, user_id text, at timestamptz) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE((
        SELECT e.value #>> '{control_taken,new_owner_role}'
        FROM @extschema@.whatsapp_account_events AS e
        WHERE e.field = 'messaging_handovers'
            AND e.key = ANY (ARRAY(
                SELECT number || '/' || ltrim(f.form, '+')
                FROM (VALUES (phone), (user_id)
                      UNION SELECT @extschema@.wa_internal_sender_forms(phone, user_id)) AS f (form)))
            AND e.happened_at < at + interval '1 second'
        ORDER BY e.happened_at DESC LIMIT 1), 'other')
$$;

/*
 * An edit and the message that it edits may be on their way in two webhooks at once, and
 * neither transaction would see the other's row.  So whoever stores something about a
 * message and whoever stores the message wait for each other, until COMMIT, and that may
 * be seconds away: a handler of the application comes before it.  So messages have a lock each,
 * by their hash; but where there are many of them, as nobody writes who presses a button, they
 * share 64, since the server's table of locks is everybody's.  An edit takes both, all in one order.
 */
CREATE FUNCTION @extschema@.wa_internal_lock_inbound(types text[], wamids text[], messages text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    classes CONSTANT integer[] := '{1463896392,1463896399}'; /* "WAIH", hashes; "WAIO", 64 places */
    most_hashes CONSTANT integer := 32;
    item record;
BEGIN
    FOR item IN
        SELECT k.class, k.key, bool_or(h.alone) AS alone
        FROM (
            SELECT hashtext(x.wamid) AS hash, false AS alone
            FROM unnest(wamids) AS x (wamid)
            UNION ALL
            SELECT hashtext(p.about_wamid), true
            FROM unnest(types, messages) AS x (type, message)
                CROSS JOIN LATERAL @extschema@.wa_internal_inbound_parts(x.type, x.message::jsonb) AS p
            WHERE x.type IN ('edit', 'revoke', 'reaction')) AS h
            CROSS JOIN LATERAL (VALUES (1, h.hash), (2, h.hash & 63)) AS k (class, key)
        WHERE h.hash IS NOT NULL
            AND (h.alone OR k.class = CASE WHEN cardinality(wamids) <= most_hashes THEN 1 ELSE 2 END)
        GROUP BY k.class, k.key
        ORDER BY k.class, k.key
    LOOP
        IF item.alone THEN
            PERFORM pg_advisory_xact_lock(classes[item.class], item.key);
        ELSE
            PERFORM pg_advisory_xact_lock_shared(classes[item.class], item.key);
        END IF;
    END LOOP;
END
$$;

/*
 * Brings together what is about a message and the message, whichever of them has just
 * come.  What holds is what was said last by Meta's clock, so the order of arrival does
 * not matter; in one second, what came last.
 */
CREATE FUNCTION @extschema@.wa_internal_join_inbound(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    about text[];
    known bigint[];
BEGIN
    /* messages that something is said about, old or new */
    SELECT array_agg(DISTINCT t.wamid) INTO about
        FROM @extschema@.whatsapp_inbound_messages AS i
            CROSS JOIN LATERAL (VALUES (i.whatsapp_message_id), (i.context_whatsapp_message_id)) AS t (wamid)
        WHERE i.inbound_id = ANY (ids) AND EXISTS (
            SELECT FROM @extschema@.whatsapp_inbound_messages AS e
            WHERE e.context_whatsapp_message_id = t.wamid AND e.message_type IN ('edit', 'revoke', 'reaction'));
    SELECT array_agg(l.inbound_id) INTO known FROM (
        SELECT o.inbound_id FROM @extschema@.whatsapp_inbound_messages AS o
        WHERE o.whatsapp_message_id = ANY (about)
        ORDER BY o.inbound_id FOR UPDATE) AS l;

    UPDATE @extschema@.whatsapp_inbound_messages AS o
        SET text = CASE WHEN e.sent_at IS NULL THEN o.text ELSE e.text END, edited_at = e.sent_at,
            revoked_at = r.sent_at
        FROM @extschema@.whatsapp_inbound_messages AS n
            LEFT JOIN LATERAL (
                SELECT e.sent_at, e.text FROM @extschema@.whatsapp_inbound_messages AS e
                WHERE e.context_whatsapp_message_id = n.whatsapp_message_id AND e.message_type = 'edit'
                    AND e.phone_number_id = n.phone_number_id
                ORDER BY e.sent_at DESC, e.inbound_id DESC LIMIT 1) AS e ON true
            LEFT JOIN LATERAL (
                SELECT max(r.sent_at) AS sent_at FROM @extschema@.whatsapp_inbound_messages AS r
                WHERE r.context_whatsapp_message_id = n.whatsapp_message_id AND r.message_type = 'revoke'
                    AND r.phone_number_id = n.phone_number_id) AS r ON true
        WHERE n.inbound_id = ANY (known) AND o.inbound_id = n.inbound_id AND n.message_type <> 'reaction'
            AND ((e.sent_at, r.sent_at) IS DISTINCT FROM (o.edited_at, o.revoked_at)
                 OR e.sent_at IS NOT NULL AND e.text IS DISTINCT FROM o.text);

    UPDATE @extschema@.whatsapp_inbound_messages AS i
        SET about_inbound_id = o.inbound_id
        FROM @extschema@.whatsapp_inbound_messages AS o
        WHERE o.phone_number_id = i.phone_number_id AND o.whatsapp_message_id = i.context_whatsapp_message_id
            AND i.about_inbound_id IS NULL AND i.inbound_id = ANY (ids);
    UPDATE @extschema@.whatsapp_inbound_messages AS i
        SET about_inbound_id = o.inbound_id
        FROM @extschema@.whatsapp_inbound_messages AS o
        WHERE o.inbound_id = ANY (known) AND o.phone_number_id = i.phone_number_id
            AND o.whatsapp_message_id = i.context_whatsapp_message_id AND i.about_inbound_id IS NULL
            AND i.message_type IN ('edit', 'revoke', 'reaction');

    /* A person has one reaction to a message: the next one, or none, takes the place of the one before. */
    UPDATE @extschema@.whatsapp_inbound_messages AS i
        SET revoked_at = s.next
        FROM (
            SELECT r.inbound_id, lead(r.sent_at) OVER (
                PARTITION BY r.context_whatsapp_message_id, r.phone_number_id,
                    COALESCE(r.sender_user_id, r.sender_phone)
                ORDER BY r.sent_at, r.inbound_id) AS next
            FROM @extschema@.whatsapp_inbound_messages AS r
            WHERE r.context_whatsapp_message_id = ANY (about) AND r.message_type = 'reaction') AS s
        WHERE i.inbound_id = s.inbound_id AND i.revoked_at IS DISTINCT FROM s.next;
END
$$;

/* Notes what is about a message that is not known, nor is the app's. */
CREATE FUNCTION @extschema@.wa_internal_note_early_replies(ids bigint[]) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO @extschema@.whatsapp_early_replies (inbound_id, whatsapp_message_id, received_at, next_look_at)
        SELECT i.inbound_id, i.context_whatsapp_message_id, i.received_at, i.received_at + interval '1 second'
        FROM @extschema@.whatsapp_inbound_messages AS i
        WHERE i.inbound_id = ANY (ids) AND i.context_whatsapp_message_id IS NOT NULL AND i.message_id IS NULL
            AND i.about_inbound_id IS NULL AND i.message_type NOT IN ('edit', 'revoke')
            AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_app_messages AS a
                            WHERE a.whatsapp_message_id = i.context_whatsapp_message_id)
$$;

/*
 * A batch of those whose time has come; webhooks and the upkeep of senders call it.  Returns
 * how many have found their message.  A reply is its tenant's, as one that comes in time.
 */
CREATE FUNCTION @extschema@.wa_internal_match_early_replies(batch integer DEFAULT 1000) RETURNS bigint
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH due AS MATERIALIZED (
        SELECT e.inbound_id, e.whatsapp_message_id, e.received_at
        FROM @extschema@.whatsapp_early_replies AS e
        WHERE e.next_look_at <= clock_timestamp()
        ORDER BY e.next_look_at LIMIT batch FOR UPDATE SKIP LOCKED
    ), found AS MATERIALIZED (
        SELECT d.inbound_id, w.message_id
        FROM due AS d
            CROSS JOIN LATERAL (
                SELECT o.message_id FROM @extschema@.whatsapp_wamids AS o
                WHERE o.whatsapp_message_id = d.whatsapp_message_id LIMIT 1) AS w
    ), told AS (
        UPDATE @extschema@.whatsapp_inbound_messages AS i
            SET message_id = m.id, tenant_id = m.tenant_id
            FROM found AS f JOIN @extschema@.whatsapp_messages AS m ON m.id = f.message_id
            WHERE i.inbound_id = f.inbound_id
            RETURNING i.inbound_id
    ), over AS MATERIALIZED (
        SELECT f.inbound_id FROM found AS f
        UNION
        SELECT d.inbound_id FROM due AS d
        WHERE d.received_at < clock_timestamp() - interval '7 days'
            /* It was about one of the customer's own, or is gone. */
            OR NOT EXISTS (SELECT FROM @extschema@.whatsapp_inbound_messages AS i
                           WHERE i.inbound_id = d.inbound_id AND i.about_inbound_id IS NULL)
    ), gone AS (
        DELETE FROM @extschema@.whatsapp_early_replies AS e WHERE e.inbound_id IN (SELECT o.inbound_id FROM over AS o)
    ), later AS (
        UPDATE @extschema@.whatsapp_early_replies AS e
            SET next_look_at = clock_timestamp() + GREATEST(clock_timestamp() - e.received_at, interval '1 second')
            WHERE e.inbound_id IN (SELECT d.inbound_id FROM due AS d EXCEPT SELECT o.inbound_id FROM over AS o))
    SELECT count(*) FROM told
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
    messages text[],
    standby boolean[] DEFAULT '{}')
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
    PERFORM @extschema@.wa_internal_lock_inbound(types, wamids, messages);
    WITH v AS MATERIALIZED (
        SELECT nextval(sequence) AS id, x.number, x.wamid, x.type, x.at, x.too_old, x.phone, x.user_id,
            x.message::jsonb AS message, x.standby
        FROM unnest(numbers, wamids, types, sent_at, too_old, phones, user_ids, messages, standby)
            AS x (number, wamid, type, at, too_old, phone, user_id, message, standby)
    ), stored AS (
        INSERT INTO @extschema@.whatsapp_inbound_messages (inbound_id, whatsapp_message_id, tenant_id,
                phone_number_id, sender_phone, sender_user_id, message_type, text, payload,
                context_whatsapp_message_id, message_id, reply_id, reply_title, sent_at, too_old,
                thread_owner, reply_data, forwarded, media_id, mime_type, filename, latitude, longitude, catalog_id,
                product_retailer_id, order_items, referral_source_type, referral_source_id, referral_source_url,
                ctwa_clid)
            OVERRIDING SYSTEM VALUE
            SELECT v.id, v.wamid, COALESCE(m.tenant_id, a.tenant_id), v.number, v.phone, v.user_id, v.type,
                NULLIF(@extschema@.wa_internal_inbound_text(v.type, v.message), ''), v.message,
                p.about_wamid, m.id, p.reply_id, p.reply_title, v.at, v.too_old,
                CASE WHEN v.standby
                     THEN @extschema@.wa_internal_thread_owner(v.number, v.phone, v.user_id, v.at) END,
                p.reply_data, p.forwarded, p.media_id, p.mime_type, p.filename, p.latitude, p.longitude, p.catalog_id,
                p.product_retailer_id, p.order_items, p.referral_source_type, p.referral_source_id,
                p.referral_source_url, p.ctwa_clid
            FROM v
                CROSS JOIN LATERAL @extschema@.wa_internal_inbound_parts(v.type, v.message) AS p
                LEFT JOIN LATERAL (
                    SELECT w.message_id FROM @extschema@.whatsapp_wamids AS w
                    WHERE w.whatsapp_message_id = p.about_wamid LIMIT 1) AS w ON true
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
        PERFORM @extschema@.wa_internal_join_inbound(ids);
        PERFORM @extschema@.wa_internal_note_early_replies(ids);
        IF current_setting('whatsapp_shared.fetch_media')::boolean THEN
            PERFORM @extschema@.wa_internal_want_media(ids, false);
        END IF;
    END IF;
    RETURN QUERY
        SELECT i.inbound_id, i.reply_id IS NOT NULL AND NOT i.too_old
        FROM @extschema@.whatsapp_inbound_messages AS i
        WHERE i.inbound_id = ANY (ids)
        ORDER BY i.inbound_id;
END
$$;

/*
 * Locks those who have written, each of whom is in whatsapp_contacts from now on: while we
 * write under the forms that are known of a person, nobody adds another one.
 */
CREATE FUNCTION @extschema@.wa_internal_meet_senders(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_lock_persons(array_agg(s.form))
        FROM @extschema@.whatsapp_inbound_messages AS i
            CROSS JOIN LATERAL (VALUES (i.sender_phone), (i.sender_user_id)) AS s (form)
        WHERE i.inbound_id = ANY (ids) AND i.message_type <> 'system';
    PERFORM @extschema@.wa_internal_know(w.phone, w.usr, NULL::text, w.at) FROM (
        SELECT i.sender_phone AS phone, i.sender_user_id AS usr, max(i.sent_at) AS at
        FROM @extschema@.whatsapp_inbound_messages AS i
            LEFT JOIN @extschema@.whatsapp_contact_identities AS p ON p.identity = i.sender_phone
            LEFT JOIN @extschema@.whatsapp_contact_identities AS u ON u.identity = i.sender_user_id
        WHERE i.inbound_id = ANY (ids) AND i.message_type <> 'system' AND NOT i.too_old
            AND (p.contact_id IS NULL AND i.sender_phone IS NOT NULL
                 OR u.contact_id IS NULL AND i.sender_user_id IS NOT NULL OR p.contact_id <> u.contact_id
                 /* Written from by somebody who has left it, or by somebody else. */
                 OR p.replaced_at < i.sent_at)
        GROUP BY i.sender_phone, i.sender_user_id
        ORDER BY i.sender_user_id, i.sender_phone) AS w;
END
$$;

/* Under which forms somebody is known who writes so; a number may have changed hands since. */
CREATE FUNCTION @extschema@.wa_internal_sender_forms(phone text, usr text) RETURNS SETOF text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT f.identity
    FROM @extschema@.whatsapp_contact_identities AS f
    WHERE f.contact_id = COALESCE(
        (SELECT i.contact_id FROM @extschema@.whatsapp_contact_identities AS i WHERE i.identity = usr),
        (SELECT i.contact_id FROM @extschema@.whatsapp_contact_identities AS i WHERE i.identity = phone))
$$;

/*
 * For a webhook: these conversations are ours again, so what was held because of them may
 * leave.  A row that somebody has locked is left for the senders' look at all that is
 * held, and so is what lies behind the newest 1,000 messages of somebody.
 */
CREATE FUNCTION @extschema@.wa_internal_release_threads(numbers text[], recipients text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ids bigint[];
BEGIN
    IF NOT EXISTS (SELECT FROM @extschema@.whatsapp_queue AS q
                   WHERE q.state = 'h' AND q.hold_reason = 'thread_taken') THEN
        RETURN;
    END IF;
    SELECT array_agg(l.message_id) INTO ids FROM (
        SELECT q.message_id FROM @extschema@.whatsapp_queue AS q
        WHERE q.state = 'h' AND q.hold_reason = 'thread_taken' AND q.message_id = ANY (ARRAY(
            SELECT m.id
            FROM unnest(recipients) AS r (recipient)
                CROSS JOIN LATERAL (
                    (SELECT o.id FROM @extschema@.whatsapp_messages AS o
                     WHERE o.recipient_phone = r.recipient ORDER BY o.id DESC LIMIT 1000)
                    UNION ALL
                    (SELECT o.id FROM @extschema@.whatsapp_messages AS o
                     WHERE o.recipient_user_id = r.recipient AND o.recipient_phone IS NULL
                     ORDER BY o.id DESC LIMIT 1000)) AS m))
            AND q.phone_number_id = ANY (numbers)
        ORDER BY q.message_id
        FOR UPDATE SKIP LOCKED) AS l;
    IF ids IS NOT NULL THEN
        PERFORM @extschema@.wa_internal_place_rows(ids);
    END IF;
END
$$;

/*
 * Who has conversations from then on: another application (taken), or this one.  Those are
 * facts of one second, and so may be what a customer writes in it.  The microseconds say
 * which counts: that it was taken, before that it was passed to us, before that a customer
 * wrote to another one, before that a customer wrote to us.
 */
CREATE FUNCTION @extschema@.wa_internal_note_handovers(
    numbers text[], phones text[], user_ids text[], happened_at timestamptz[], taken boolean[])
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ours record;
BEGIN
    PERFORM @extschema@.wa_internal_know(u.phone, u.usr, NULL::text, u.at)
        FROM unnest(phones, user_ids, happened_at) AS u (phone, usr, at);
    WITH noted AS (
        INSERT INTO @extschema@.whatsapp_windows AS w (phone_number_id, recipient, last_inbound_at, taken_at, passed_at)
            SELECT u.number, f.identity, '-infinity',
                max(u.at + interval '3 microseconds') FILTER (WHERE u.taken),
                max(u.at + interval '2 microseconds') FILTER (WHERE NOT u.taken)
            FROM unnest(numbers, phones, user_ids, happened_at, taken) AS u (number, phone, usr, at, taken)
                CROSS JOIN LATERAL @extschema@.wa_internal_sender_forms(u.phone, u.usr) AS f (identity)
            GROUP BY u.number, f.identity
            ORDER BY u.number, f.identity
            ON CONFLICT ON CONSTRAINT whatsapp_windows_pkey DO UPDATE
            SET taken_at = GREATEST(w.taken_at, EXCLUDED.taken_at),
                passed_at = GREATEST(w.passed_at, EXCLUDED.passed_at)
            RETURNING w.*)
    SELECT array_agg(n.phone_number_id) AS numbers, array_agg(n.recipient) AS recipients INTO ours
        FROM noted AS n
        WHERE NOT @extschema@.wa_internal_thread_is_taken(n.last_inbound_at, n.taken_at, n.passed_at);
    IF ours.numbers IS NOT NULL THEN
        PERFORM @extschema@.wa_internal_release_threads(ours.numbers, ours.recipients);
    END IF;
END
$$;

/*
 * Whether an edit, whose words opt out, says that for the first time: of what the message
 * said before, the words that it was sent with count.  An edit that takes such a word back
 * opts nobody in.
 */
CREATE FUNCTION @extschema@.wa_internal_edit_opts_out(i @extschema@.whatsapp_inbound_messages, category text)
RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (@extschema@.wa_internal_edited_message(i.message_type, i.payload)).type = 'text'
        AND NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_inbound_messages AS o
                CROSS JOIN LATERAL @extschema@.wa_internal_opt_choice(
                    @extschema@.wa_internal_inbound_text(o.message_type, o.payload)) AS w
            WHERE o.whatsapp_message_id = i.context_whatsapp_message_id AND o.phone_number_id = i.phone_number_id
                AND w.action = 'out' AND w.category IN (wa_internal_edit_opts_out.category, 'all'))
$$;

/*
 * What follows from them.  Customer by customer, for the order of locks again;
 * what one customer writes stays in its own order.
 *
 * Of what is too old, only what errs on the right side: an opt-out, and that a message
 * was withdrawn.  Times ahead of the server's clock count as now.
 *
 * What is written to a group is said to everybody in it: to us it opens no window with
 * the person who says it, and takes back no consent of theirs.
 */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_after_inbound(ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    item record;
    ours record;
BEGIN
    PERFORM @extschema@.wa_internal_meet_senders(ids);
    WITH opened AS (
        INSERT INTO @extschema@.whatsapp_windows AS w (phone_number_id, recipient, last_inbound_at, taken_at)
            SELECT i.phone_number_id, r.identity, max(LEAST(i.sent_at, i.received_at)),
                max(LEAST(i.sent_at, i.received_at) + interval '1 microsecond')
                    FILTER (WHERE i.thread_owner IS NOT NULL)
            FROM @extschema@.whatsapp_inbound_messages AS i
                CROSS JOIN LATERAL @extschema@.wa_internal_sender_forms(i.sender_phone, i.sender_user_id)
                    AS r (identity)
            WHERE i.inbound_id = ANY (ids)
                AND NOT i.too_old AND i.message_type NOT IN ('system', 'request_welcome', 'edit', 'revoke')
                AND i.payload ->> 'group_id' IS NULL
            GROUP BY i.phone_number_id, r.identity
            ORDER BY i.phone_number_id, r.identity
            ON CONFLICT ON CONSTRAINT whatsapp_windows_pkey DO UPDATE
            SET last_inbound_at = GREATEST(w.last_inbound_at, EXCLUDED.last_inbound_at),
                taken_at = GREATEST(w.taken_at, EXCLUDED.taken_at)
            WHERE w.last_inbound_at < EXCLUDED.last_inbound_at
                OR EXCLUDED.taken_at > COALESCE(w.taken_at, '-infinity')
            RETURNING w.*)
    SELECT array_agg(o.phone_number_id) AS numbers, array_agg(o.recipient) AS recipients INTO ours
        FROM opened AS o
        WHERE o.taken_at IS NOT NULL
            AND NOT @extschema@.wa_internal_thread_is_taken(o.last_inbound_at, o.taken_at, o.passed_at);
    IF ours.numbers IS NOT NULL THEN
        PERFORM @extschema@.wa_internal_release_threads(ours.numbers, ours.recipients);
    END IF;

    FOR item IN
        /* Of what one person says the latest counts, whatever its place. */
        SELECT i.tenant_id, i.phone_number_id, i.sender_phone, i.sender_user_id, w.action, w.category,
            max(LEAST(i.sent_at, i.received_at)) AS said_at
        FROM @extschema@.whatsapp_inbound_messages AS i
            CROSS JOIN LATERAL @extschema@.wa_internal_opt_choice(i.text) AS w
        WHERE i.inbound_id = ANY (ids) AND length(i.text) <= 60 AND i.payload ->> 'group_id' IS NULL
            AND (i.message_type IN ('text', 'button', 'interactive') AND (w.action = 'out' OR NOT i.too_old)
                 OR i.message_type = 'edit' AND w.action = 'out'
                    AND @extschema@.wa_internal_edit_opts_out(i, w.category))
        GROUP BY 1, 2, 3, 4, 5, 6
        ORDER BY i.sender_user_id, i.sender_phone, 1, 2, 5, 6
    LOOP
        PERFORM @extschema@.wa_internal_set_opt(item.tenant_id, item.phone_number_id,
            item.sender_phone, item.sender_user_id, item.category, item.action, 'inbound'::text,
            item.said_at);
    END LOOP;
END
$$;

DROP FUNCTION @extschema@.wa_internal_store_inbound(
    text[], text[], text[], timestamptz[], boolean[], text[], text[], text[]);

/* The elements of an array; none, if it is none. */
CREATE FUNCTION @extschema@.wa_internal_elements(list jsonb) RETURNS SETOF jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT e.value FROM jsonb_array_elements(CASE jsonb_typeof(list) WHEN 'array' THEN list ELSE '[]' END) AS e
$$;

/* JSON that stands in a string; NULL if it is none that can be stored. */
CREATE FUNCTION @extschema@.wa_internal_json_in_text(words text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN words::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL;
END
$$;

/* A coordinate, if it is one: Meta writes numbers, and others write them as strings. */
CREATE FUNCTION @extschema@.wa_internal_degrees(coordinate jsonb, most integer) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT round(d.degrees, 7)
    FROM (SELECT CASE WHEN coordinate #>> '{}' ~ '^-?[0-9]{1,3}(\.[0-9]{1,30})?$'
                      THEN (coordinate #>> '{}')::numeric END) AS d (degrees)
    WHERE abs(d.degrees) <= most
$$;

/* The message as it reads after an edit, and its type; any other message as it is. */
CREATE FUNCTION @extschema@.wa_internal_edited_message(INOUT type text, INOUT message jsonb)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN type IS DISTINCT FROM 'edit' THEN type
                ELSE COALESCE(message #>> '{edit,message,type}', message #>> '{edit,type}', (
                    SELECT t.type FROM unnest(ARRAY['text', 'image', 'video', 'document']) AS t (type)
                    WHERE COALESCE(message #> '{edit,message}', message -> 'edit') ? t.type LIMIT 1)) END,
           CASE WHEN type IS DISTINCT FROM 'edit' THEN message
                ELSE COALESCE(message #> '{edit,message}', message -> 'edit') END
$$;

/* What a person would read of it. */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_inbound_text(type text, message jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE e.type
        WHEN 'text' THEN e.message #>> '{text,body}'
        WHEN 'button' THEN e.message #>> '{button,text}'
        WHEN 'interactive' THEN COALESCE(e.message #>> '{interactive,button_reply,title}',
            e.message #>> '{interactive,list_reply,title}', e.message #>> '{interactive,nfm_reply,body}',
            e.message #>> '{interactive,call_permission_reply,response}')
        WHEN 'reaction' THEN e.message #>> '{reaction,emoji}'
        WHEN 'location' THEN COALESCE(
            NULLIF(concat_ws(', ', NULLIF(e.message #>> '{location,name}', ''),
                NULLIF(e.message #>> '{location,address}', '')), ''),
            e.message #>> '{location,latitude}' || ', ' || (e.message #>> '{location,longitude}'))
        WHEN 'contacts' THEN (
            SELECT string_agg(concat_ws(' ',
                    COALESCE(c.contact #>> '{name,formatted_name}', c.contact #>> '{name,first_name}'), (
                        SELECT '(' || string_agg(p.phone ->> 'phone', ', ') || ')'
                        FROM @extschema@.wa_internal_elements(c.contact -> 'phones') AS p (phone))), '; ')
            FROM @extschema@.wa_internal_elements(e.message -> 'contacts') AS c (contact))
        WHEN 'order' THEN concat_ws(E'\n', NULLIF(e.message #>> '{order,text}', ''), (
            SELECT string_agg(concat_ws(' ', i.item ->> 'quantity', '×', i.item ->> 'product_retailer_id',
                    '(' || (i.item ->> 'item_price') || COALESCE(' ' || (i.item ->> 'currency'), '') || ')'), E'\n')
            FROM @extschema@.wa_internal_elements(e.message #> '{order,product_items}') AS i (item)))
        WHEN 'system' THEN e.message #>> '{system,body}'
        ELSE e.message #>> ARRAY[e.type, 'caption']
        END
    FROM @extschema@.wa_internal_edited_message(type, message) AS e
$$;

/* What else there is in it, for the columns of the same names. */
CREATE FUNCTION @extschema@.wa_internal_inbound_parts(type text, message jsonb,
    OUT about_wamid text, OUT reply_id text, OUT reply_title text, OUT reply_data jsonb, OUT forwarded boolean,
    OUT media_id text, OUT mime_type text, OUT filename text, OUT latitude numeric, OUT longitude numeric,
    OUT catalog_id text, OUT product_retailer_id text, OUT order_items jsonb,
    OUT referral_source_type text, OUT referral_source_id text, OUT referral_source_url text, OUT ctwa_clid text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT
        CASE type WHEN 'reaction' THEN message #>> '{reaction,message_id}'
            WHEN 'edit' THEN COALESCE(message #>> '{edit,original_message_id}', message ->> 'original_message_id')
            WHEN 'revoke' THEN COALESCE(message #>> '{revoke,original_message_id}', message ->> 'original_message_id')
            ELSE message #>> '{context,id}' END,
        COALESCE(message #>> '{button,payload}', message #>> '{interactive,button_reply,id}',
            message #>> '{interactive,list_reply,id}', NULLIF(d.reply_data ->> 'flow_token', ''),
            NULLIF(message #>> '{interactive,nfm_reply,name}', '')),
        COALESCE(message #>> '{button,text}', message #>> '{interactive,button_reply,title}',
            message #>> '{interactive,list_reply,title}', message #>> '{interactive,nfm_reply,body}'),
        d.reply_data,
        'true' IN (COALESCE(message #>> '{context,forwarded}', ''),
            COALESCE(message #>> '{context,frequently_forwarded}', '')),
        m.medium ->> 'id', m.medium ->> 'mime_type', m.medium ->> 'filename',
        @extschema@.wa_internal_degrees(message #> '{location,latitude}', 90),
        @extschema@.wa_internal_degrees(message #> '{location,longitude}', 180),
        COALESCE(message #>> '{order,catalog_id}', message #>> '{context,referred_product,catalog_id}'),
        message #>> '{context,referred_product,product_retailer_id}',
        message #> '{order,product_items}',
        message #>> '{referral,source_type}', message #>> '{referral,source_id}', message #>> '{referral,source_url}',
        message #>> '{referral,ctwa_clid}'
    FROM (SELECT @extschema@.wa_internal_json_in_text(message #>> '{interactive,nfm_reply,response_json}'))
            AS d (reply_data),
        (SELECT CASE WHEN type IN ('image', 'video', 'audio', 'document', 'sticker') THEN message -> type END)
            AS m (medium)
$$;

/* What 1.0.0 left in the payload alone. */
UPDATE @extschema@.whatsapp_inbound_messages AS i
    SET text = NULLIF(@extschema@.wa_internal_inbound_text(i.message_type, i.payload), ''),
        context_whatsapp_message_id = p.about_wamid, reply_id = p.reply_id, reply_title = p.reply_title,
        message_id = COALESCE(i.message_id, (
            SELECT w.message_id FROM @extschema@.whatsapp_wamids AS w
            WHERE w.whatsapp_message_id OPERATOR(pg_catalog.=) p.about_wamid LIMIT 1)),
        reply_data = p.reply_data, forwarded = p.forwarded, media_id = p.media_id, mime_type = p.mime_type,
        filename = p.filename, latitude = p.latitude, longitude = p.longitude, catalog_id = p.catalog_id,
        product_retailer_id = p.product_retailer_id, order_items = p.order_items,
        referral_source_type = p.referral_source_type, referral_source_id = p.referral_source_id,
        referral_source_url = p.referral_source_url, ctwa_clid = p.ctwa_clid
    FROM @extschema@.whatsapp_inbound_messages AS o
        CROSS JOIN LATERAL @extschema@.wa_internal_inbound_parts(o.message_type, o.payload) AS p
    WHERE o.inbound_id OPERATOR(pg_catalog.=) i.inbound_id
        AND (i.message_type OPERATOR(pg_catalog.<>) ALL (ARRAY['text', 'button', 'system'])
             OR i.payload OPERATOR(pg_catalog.?) 'referral'
             OR (i.payload OPERATOR(pg_catalog.->) 'context')
                 OPERATOR(pg_catalog.?|) ARRAY['forwarded', 'frequently_forwarded', 'referred_product']);
SELECT @extschema@.wa_internal_join_inbound(pg_catalog.array_agg(i.inbound_id))
    FROM @extschema@.whatsapp_inbound_messages AS i
    WHERE i.message_type OPERATOR(pg_catalog.=) ANY (ARRAY['edit', 'revoke', 'reaction']);

/* ---- 76-app-messages ------------------------------------------------------------- */

CREATE TABLE @extschema@.whatsapp_app_messages (
    app_message_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    whatsapp_message_id text COLLATE "C" NOT NULL
        CONSTRAINT whatsapp_app_messages_wamid_key UNIQUE,
    tenant_id           text COLLATE "C",
    phone_number_id     text COLLATE "C" NOT NULL,
    from_customer       boolean NOT NULL,
    customer_phone      text COLLATE "C",
    customer_user_id    text COLLATE "C",
    message_type        text NOT NULL,
    text                text,
    payload             jsonb NOT NULL,
    source              text NOT NULL
        CONSTRAINT whatsapp_app_messages_source_check CHECK (source IN ('app', 'history', 'agent')),
    sent_at             timestamptz NOT NULL,
    received_at         timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    context_whatsapp_message_id text COLLATE "C",
    edited_at           timestamptz,
    revoked_at          timestamptz
);
CREATE INDEX whatsapp_app_messages_tenant_idx
    ON @extschema@.whatsapp_app_messages (tenant_id, sent_at);
CREATE INDEX whatsapp_app_messages_about_idx
    ON @extschema@.whatsapp_app_messages (context_whatsapp_message_id) WHERE message_type IN ('edit', 'revoke');
COMMENT ON TABLE @extschema@.whatsapp_app_messages IS
'Messages of our numbers that were not sent from here: written in the app on a phone, or by Meta''s agent, and what '
'the app had before. Kept for whatsapp_shared.retention.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.app_message_id IS 'Number of the message.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.whatsapp_message_id IS 'Meta''s ID of the message (wamid).';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.tenant_id IS
'The tenant that had the number when it was sent; NULL: none.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.phone_number_id IS 'Our number.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.from_customer IS
'Whether the customer wrote it; only in history.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.customer_phone IS
'The customer, in international form with +, if Meta tells it.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.customer_user_id IS 'The customer''s business-scoped user ID.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.message_type IS 'The type of Meta''s API: text, image …';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.text IS
'The readable part, as of inbound messages, and as it was last edited.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.payload IS 'The message as Meta sent it.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.source IS
'app: written in the app on a phone; history: what the app had when the number was connected; agent: by another '
'application, such as Meta''s agent.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.sent_at IS 'When it was sent, by Meta''s clock.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.received_at IS 'When its webhook was received.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.context_whatsapp_message_id IS
'The wamid of the message that it replies to, reacts to, edits or deletes.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.edited_at IS 'When it was last edited; text is what it says since.';
COMMENT ON COLUMN @extschema@.whatsapp_app_messages.revoked_at IS 'When it was deleted.';

/* The messages of such an event, with the customer whose conversation it is, if that is told beside them. */
CREATE FUNCTION @extschema@.wa_internal_app_messages(field text, value jsonb, OUT message jsonb, OUT customer text)
RETURNS SETOF record
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    /* An agent's are wrapped once more. */
    SELECT CASE WHEN jsonb_typeof(e -> 'message') = 'object' AND e ->> 'type' IS NULL
                THEN (e - 'message') || (e -> 'message') ELSE e END, NULL
        FROM (SELECT @extschema@.wa_internal_elements(value -> 'message_echoes')
              UNION ALL SELECT @extschema@.wa_internal_elements(value #> '{standby,message_echoes}')) AS x (e)
    UNION ALL
    SELECT m, t ->> 'id'
        FROM @extschema@.wa_internal_elements(CASE field WHEN 'history' THEN value -> 'history' END) AS h,
            @extschema@.wa_internal_elements(h -> 'threads') AS t,
            @extschema@.wa_internal_elements(t -> 'messages') AS m
    UNION ALL
    /* the file of a message that had a placeholder only */
    SELECT m, NULL
        FROM @extschema@.wa_internal_elements(CASE field WHEN 'history' THEN value -> 'messages' END) AS m
$$;

/*
 * Stores them, each once; those that were sent from here, or came as messages, are known already.
 * What was edited or deleted in the app says so, in whatever order that comes: events are
 * taken in by one session at a time (webhook/event.c).
 */
CREATE FUNCTION @extschema@.wa_internal_store_app_messages(field text, value jsonb, at timestamptz) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO @extschema@.whatsapp_app_messages (whatsapp_message_id, tenant_id, phone_number_id, from_customer,
            customer_phone, customer_user_id, message_type, text, payload, source, sent_at, context_whatsapp_message_id)
        SELECT i.wamid,
            (SELECT a.tenant_id FROM @extschema@.whatsapp_phone_assignments AS a
             WHERE a.phone_number_id = i.number AND a.assigned_at < i.sent_at + interval '1 second'
                 AND (a.unassigned_at IS NULL OR a.unassigned_at > i.sent_at)
             ORDER BY a.assigned_at DESC LIMIT 1),
            i.number, i.from_customer,
            '+' || substring(CASE WHEN i.from_customer THEN i.message ->> 'from'
                                  ELSE COALESCE(i.message ->> 'to', i.customer) END FROM '^[0-9]{5,20}$'),
            i.message ->> CASE WHEN i.from_customer THEN 'from_user_id' ELSE 'to_user_id' END,
            i.message ->> 'type',
            NULLIF(@extschema@.wa_internal_inbound_text(i.message ->> 'type', i.message), ''), i.message,
            CASE field WHEN 'smb_message_echoes' THEN 'app' WHEN 'history' THEN 'history' ELSE 'agent' END, i.sent_at,
            (@extschema@.wa_internal_inbound_parts(i.message ->> 'type', i.message)).about_wamid
        FROM (
            SELECT m.message, m.customer, m.message ->> 'id' AS wamid, value #>> '{metadata,phone_number_id}' AS number,
                field = 'history' AND m.message ->> 'from'
                    IS DISTINCT FROM regexp_replace(value #>> '{metadata,display_phone_number}', '[^0-9]', '', 'g')
                    AS from_customer,
                LEAST(CASE WHEN m.message ->> 'timestamp' ~ '^[0-9]{9,11}$'
                      THEN to_timestamp((m.message ->> 'timestamp')::bigint) ELSE at END, clock_timestamp()) AS sent_at
            FROM @extschema@.wa_internal_app_messages(field, value) AS m) AS i
        WHERE i.wamid IS NOT NULL AND i.number IS NOT NULL AND i.message ->> 'type' IS NOT NULL
            AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_wamids AS w WHERE w.whatsapp_message_id = i.wamid)
            AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_inbound_messages AS n
                            WHERE n.whatsapp_message_id = i.wamid)
            AND NOT EXISTS (SELECT FROM @extschema@.wa_internal_erased_wamids(ARRAY[i.wamid], ARRAY[NULL::bigint]))
        ORDER BY i.wamid
        ON CONFLICT ON CONSTRAINT whatsapp_app_messages_wamid_key DO NOTHING;

    UPDATE @extschema@.whatsapp_app_messages AS o
        SET text = CASE WHEN l.edited_at IS NULL THEN o.text ELSE l.text END, edited_at = l.edited_at,
            revoked_at = l.revoked_at
        FROM (
            SELECT t.wamid, e.text, e.sent_at AS edited_at, r.sent_at AS revoked_at
            FROM (
                SELECT DISTINCT x.wamid
                FROM @extschema@.wa_internal_app_messages(field, value) AS m
                    JOIN @extschema@.whatsapp_app_messages AS s ON s.whatsapp_message_id = m.message ->> 'id'
                    CROSS JOIN LATERAL (VALUES (s.whatsapp_message_id),
                        (CASE WHEN s.message_type IN ('edit', 'revoke') THEN s.context_whatsapp_message_id END))
                        AS x (wamid)) AS t
                LEFT JOIN LATERAL (
                    SELECT e.text, e.sent_at FROM @extschema@.whatsapp_app_messages AS e
                    WHERE e.context_whatsapp_message_id = t.wamid AND e.message_type = 'edit'
                    ORDER BY e.sent_at DESC, e.app_message_id DESC LIMIT 1) AS e ON true
                LEFT JOIN LATERAL (
                    SELECT max(r.sent_at) AS sent_at FROM @extschema@.whatsapp_app_messages AS r
                    WHERE r.context_whatsapp_message_id = t.wamid AND r.message_type = 'revoke') AS r ON true
            WHERE COALESCE(e.sent_at, r.sent_at) IS NOT NULL) AS l
        WHERE o.whatsapp_message_id = l.wamid
            AND ((l.edited_at, l.revoked_at) IS DISTINCT FROM (o.edited_at, o.revoked_at)
                 OR l.edited_at IS NOT NULL AND l.text IS DISTINCT FROM o.text)
$$;

/* ---- 76-replies ------------------------------------------------------------------ */

COMMENT ON TABLE @extschema@.whatsapp_reply_handlers IS
'Functions that are called when a customer presses a button, chooses from a list or fills in a form. Made by '
'wa_on_reply().';

/* Which handlers to call for these messages, with what. */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_reply_calls(ids bigint[])
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
            'data', i.reply_data,
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
COMMENT ON FUNCTION @extschema@.wa_on_reply(text, regprocedure) IS
'Has the function called, with one jsonb argument, for each reply by button, list or form whose payload begins with '
'the prefix; the longest prefix wins. It runs as the role that registers it or as the owner of the function, '
'whichever has fewer rights, with this session''s search_path. Errors: 42501 not allowed, or neither of the two roles '
'has the rights of the other; 42P13 not such a function.';

/* ---- 77-read-receipts ------------------------------------------------------------ */

CREATE TABLE @extschema@.whatsapp_read_receipts (
    receipt_id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    inbound_id          bigint NOT NULL,
    phone_number_id     text COLLATE "C" NOT NULL,
    conversation        text COLLATE "C" NOT NULL,
    whatsapp_message_id text COLLATE "C" NOT NULL,
    message_sent_at     timestamptz NOT NULL,
    typing              boolean NOT NULL,
    requested_at        timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    attempts            integer NOT NULL DEFAULT 0,
    next_attempt_at     timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX whatsapp_read_receipts_due_idx ON @extschema@.whatsapp_read_receipts (next_attempt_at);
CREATE INDEX whatsapp_read_receipts_conversation_idx
    ON @extschema@.whatsapp_read_receipts (phone_number_id, conversation);
COMMENT ON TABLE @extschema@.whatsapp_read_receipts IS
'Messages of customers that are to be marked as read at Meta; a row goes when that has been done. Written by '
'wa_mark_read().';
COMMENT ON COLUMN @extschema@.whatsapp_read_receipts.receipt_id IS 'Number of the request.';
COMMENT ON COLUMN @extschema@.whatsapp_read_receipts.inbound_id IS 'The message.';
COMMENT ON COLUMN @extschema@.whatsapp_read_receipts.phone_number_id IS 'The number that the customer wrote to.';
COMMENT ON COLUMN @extschema@.whatsapp_read_receipts.conversation IS
'With whom: the customer''s user ID or phone number, or the group.';
COMMENT ON COLUMN @extschema@.whatsapp_read_receipts.whatsapp_message_id IS 'Meta''s ID of the message (wamid).';
COMMENT ON COLUMN @extschema@.whatsapp_read_receipts.message_sent_at IS 'When the customer sent it.';
COMMENT ON COLUMN @extschema@.whatsapp_read_receipts.typing IS
'Whether the customer is to see that an answer is being written.';
COMMENT ON COLUMN @extschema@.whatsapp_read_receipts.requested_at IS 'When it was asked for.';
COMMENT ON COLUMN @extschema@.whatsapp_read_receipts.attempts IS 'Requests begun for it.';
COMMENT ON COLUMN @extschema@.whatsapp_read_receipts.next_attempt_at IS 'Not sent before this time.';

/* The same answer for what is not there and for what is another tenant's. */
CREATE FUNCTION @extschema@.wa_internal_own_inbound(inbound_id bigint) RETURNS @extschema@.whatsapp_inbound_messages
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    message @extschema@.whatsapp_inbound_messages;
BEGIN
    PERFORM @extschema@.wa_internal_check_not_null('inbound_id'::text, inbound_id);
    SELECT i.* INTO message FROM @extschema@.whatsapp_inbound_messages AS i
        WHERE i.inbound_id = wa_internal_own_inbound.inbound_id;
    IF NOT FOUND OR NOT @extschema@.wa_internal_may_be_tenant(COALESCE(message.tenant_id, '')) THEN
        RAISE EXCEPTION 'inbound message % does not exist', inbound_id
            USING ERRCODE = 'undefined_object',
                  HINT = 'Use inbound_id of whatsapp_inbound_messages.';
    END IF;
    RETURN message;
END
$$;

CREATE FUNCTION @extschema@.wa_mark_read(inbound_id bigint, typing boolean DEFAULT false) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m CONSTANT @extschema@.whatsapp_inbound_messages := @extschema@.wa_internal_own_inbound(inbound_id);
    wish CONSTANT boolean := COALESCE(typing, false);
    obstacle text;
BEGIN
    /* Whoever has read it has read it, whatever the customer gets to know of that. */
    UPDATE @extschema@.whatsapp_inbound_messages AS i SET read_at = clock_timestamp()
        WHERE i.inbound_id = m.inbound_id AND i.read_at IS NULL;
    IF m.message_type IN ('system', 'request_welcome', 'edit', 'revoke') THEN
        obstacle := format('it is of the type "%s"', @extschema@.wa_internal_quote(m.message_type));
    ELSIF m.sent_at < now() - interval '30 days' THEN
        obstacle := 'it is older than 30 days';
    ELSIF m.thread_owner IS NOT NULL THEN
        obstacle := 'another application has the conversation';
    ELSIF NOT COALESCE((SELECT t.read_receipts FROM @extschema@.whatsapp_tenants AS t
                        WHERE t.tenant_id = m.tenant_id), true) THEN
        obstacle := 'the tenant does not tell customers what it has read';
    END IF;
    IF obstacle IS NOT NULL THEN
        RAISE NOTICE 'inbound message % is not marked as read: %', inbound_id, obstacle;
        RETURN false;
    END IF;
    INSERT INTO @extschema@.whatsapp_read_receipts (inbound_id, phone_number_id, conversation, whatsapp_message_id,
            message_sent_at, typing)
        SELECT m.inbound_id, m.phone_number_id,
            COALESCE(m.payload ->> 'group_id', m.sender_user_id, m.sender_phone, m.whatsapp_message_id),
            m.whatsapp_message_id, m.sent_at, wish
        WHERE NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_read_receipts AS r
            WHERE r.phone_number_id = m.phone_number_id
                AND r.conversation = COALESCE(m.payload ->> 'group_id', m.sender_user_id, m.sender_phone,
                    m.whatsapp_message_id)
                AND r.inbound_id = m.inbound_id AND r.attempts = 0 AND (r.typing OR NOT wish));
    PERFORM @extschema@.wa_internal_wake_due(clock_timestamp());
    RETURN true;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_mark_read(bigint, boolean) IS
'Marks a customer''s message, and what the customer wrote before it, as read: after COMMIT the customer sees blue '
'ticks and, with typing, for 25 seconds or until the next message that an answer is being written. Meta is asked by '
'a sender, beside the messages and never before them; marking twice is harmless. False, with a NOTICE: it is no '
'message that can be marked, is older than 30 days, another application has the conversation, or the tenant wants '
'no receipts (read_receipts of wa_configure_tenant). When it was read is noted in any case, in read_at of '
'whatsapp_inbound_messages. Errors: 22004 inbound_id is NULL; 42704 unknown ID, or of another tenant.';

/*
 * The next request that is due, of a number other than these; none: no row.  With it goes
 * whatever waits in the same conversation up to "last_id".  The attempt is counted, and
 * not before its back-off has passed is it due again.  Nobody looks at the screen for
 * an answer that was being written 25 seconds ago.
 */
CREATE FUNCTION @extschema@.wa_internal_next_receipt(
    busy text[],
    OUT receipt_id bigint,
    OUT phone_number_id text,
    OUT whatsapp_message_id text,
    OUT typing boolean,
    OUT attempts integer,
    OUT last_id bigint)
RETURNS SETOF record
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    latest @extschema@.whatsapp_read_receipts;
    taken record;
BEGIN
    SELECT r.* INTO latest FROM @extschema@.whatsapp_read_receipts AS r
        WHERE r.next_attempt_at <= clock_timestamp() AND r.phone_number_id <> ALL (busy)
        ORDER BY r.next_attempt_at
        LIMIT 1
        FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    WITH rows AS (
        SELECT r.receipt_id FROM @extschema@.whatsapp_read_receipts AS r
        WHERE r.phone_number_id = latest.phone_number_id AND r.conversation = latest.conversation
        FOR UPDATE SKIP LOCKED
    ), updated AS (
        UPDATE @extschema@.whatsapp_read_receipts AS r
            SET attempts = r.attempts + 1,
                next_attempt_at = clock_timestamp() + interval '10 seconds' * 4 ^ LEAST(r.attempts, 6)
            FROM rows WHERE r.receipt_id = rows.receipt_id
            RETURNING r.*)
    SELECT max(u.receipt_id) AS last_id,
        bool_or(u.typing AND u.requested_at > clock_timestamp() - interval '25 seconds') AS typing,
        (array_agg(u.receipt_id ORDER BY u.message_sent_at DESC, u.receipt_id DESC))[1] AS receipt_id,
        (array_agg(u.whatsapp_message_id ORDER BY u.message_sent_at DESC, u.receipt_id DESC))[1] AS wamid,
        max(u.attempts) AS attempts
        INTO taken FROM updated AS u;
    RETURN QUERY SELECT taken.receipt_id, latest.phone_number_id, taken.wamid, taken.typing, taken.attempts,
        taken.last_id;
END
$$;

/* When the next attempt is due that is not due yet. */
CREATE FUNCTION @extschema@.wa_internal_next_receipt_time() RETURNS timestamptz
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.next_attempt_at FROM @extschema@.whatsapp_read_receipts AS r
    WHERE r.next_attempt_at > clock_timestamp()
    ORDER BY r.next_attempt_at LIMIT 1
$$;

/* Meta has answered for this one, or will not: it goes, and what it stood for. */
CREATE FUNCTION @extschema@.wa_internal_receipt_done(receipt_id bigint, last_id bigint) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM @extschema@.whatsapp_read_receipts AS r
    WHERE r.receipt_id = ANY (ARRAY(
        SELECT o.receipt_id
        FROM @extschema@.whatsapp_read_receipts AS d
            JOIN @extschema@.whatsapp_read_receipts AS o
                ON o.phone_number_id = d.phone_number_id AND o.conversation = d.conversation
        WHERE d.receipt_id = wa_internal_receipt_done.receipt_id AND o.receipt_id <= last_id
            AND o.message_sent_at <= d.message_sent_at
        FOR UPDATE OF o SKIP LOCKED))
$$;

/* What is a day late is not worth a request any more. */
CREATE FUNCTION @extschema@.wa_internal_clean_receipts() RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM @extschema@.whatsapp_read_receipts AS r WHERE r.requested_at < clock_timestamp() - interval '1 day'
$$;

/* ---- 78-erasure ------------------------------------------------------------------ */

CREATE TABLE @extschema@.whatsapp_erasures (
    erasure_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind         text NOT NULL
        CONSTRAINT whatsapp_erasures_kind_check CHECK (kind IN ('person', 'tenant')),
    subject      text COLLATE "C",
    forms        text[] NOT NULL DEFAULT '{}',
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    phase        integer NOT NULL DEFAULT 1,
    position     bigint,
    left_over    bigint NOT NULL DEFAULT 0,
    cancelled    bigint NOT NULL DEFAULT 0,
    messages     bigint NOT NULL DEFAULT 0,
    other_rows   bigint NOT NULL DEFAULT 0,
    worked_at    timestamptz,
    finished_at  timestamptz,
    CONSTRAINT whatsapp_erasures_subject_check
        CHECK (subject IS NOT NULL OR kind = 'person' AND finished_at IS NOT NULL)
);
CREATE UNIQUE INDEX whatsapp_erasures_open_key
    ON @extschema@.whatsapp_erasures (kind, subject) WHERE finished_at IS NULL;
CREATE INDEX whatsapp_erasures_tenant_idx ON @extschema@.whatsapp_erasures (subject) WHERE kind = 'tenant';
COMMENT ON TABLE @extschema@.whatsapp_erasures IS
'What wa_erase_person() and wa_delete_tenant() have been asked for, and how far it is. Who was erased is no longer '
'named once it is done; a deleted tenant is, so that its ID is not used again.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.erasure_id IS 'Number of the erasure.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.kind IS 'person or tenant.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.subject IS
'The tenant, or the recipient as given; of a person NULL when it is done.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.forms IS
'Every number and user ID of the person, while it is going on.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.requested_by IS 'The role that asked for it.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.requested_at IS
'When. Of a person, what is written later is not erased by it.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.phase IS 'Which tables are being worked on. Internal.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.position IS
'Rows from this key on are done in this phase; NULL: it has not begun. Internal.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.left_over IS
'Rows that this round has left because they were locked or on the wire; the next one returns to them.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.cancelled IS
'Messages that were waiting, and have been cancelled.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.messages IS 'Messages of ours whose contents are erased.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.other_rows IS 'Rows of other tables that are erased or deleted.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.worked_at IS 'When it was last worked on.';
COMMENT ON COLUMN @extschema@.whatsapp_erasures.finished_at IS 'When nothing was left; NULL: it is going on.';

/* What stands for a wamid that is erased; a mark stands for itself. */
CREATE FUNCTION @extschema@.wa_internal_erased_mark(wamid text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN wamid LIKE 'erased.%' THEN wamid
                ELSE 'erased.' || encode(substr(sha256(convert_to(wamid, 'UTF8')), 1, 16), 'hex') END
$$;

/* Of these wamids, those whose message is erased, with what stands for them.  message_ids: where we said so. */
CREATE FUNCTION @extschema@.wa_internal_erased_wamids(wamids text[], message_ids bigint[])
RETURNS TABLE (wamid text, mark text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.wamid, m.mark
    FROM unnest(wamids, message_ids) AS w (wamid, message_id)
        CROSS JOIN LATERAL (SELECT @extschema@.wa_internal_erased_mark(w.wamid)) AS m (mark)
    WHERE EXISTS (SELECT FROM @extschema@.whatsapp_wamids AS o WHERE o.whatsapp_message_id = m.mark)
        OR EXISTS (SELECT FROM @extschema@.whatsapp_inbound_messages AS i WHERE i.whatsapp_message_id = m.mark)
        OR EXISTS (SELECT FROM @extschema@.whatsapp_app_messages AS a WHERE a.whatsapp_message_id = m.mark)
        OR EXISTS (SELECT FROM @extschema@.whatsapp_messages AS s WHERE s.id = w.message_id AND s.erased_at IS NOT NULL)
$$;

/* The part of a number that decides the price, and says nothing of whose it is. */
CREATE FUNCTION @extschema@.wa_internal_erased_phone(phone text) RETURNS text
    LANGUAGE sql STABLE STRICT
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT '+' || COALESCE((
        SELECT k.calling_code FROM @extschema@.whatsapp_markets AS k
        WHERE starts_with(phone, '+' || k.calling_code)
        ORDER BY length(k.calling_code) DESC LIMIT 1), '')
$$;

/*
 * What a text must match to name one of these forms: a number also without "+", but not
 * as a part of a longer one.  NULL: nothing does.
 */
CREATE FUNCTION @extschema@.wa_internal_naming(forms text[]) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT '(^|[^0-9A-Za-z])(' || string_agg(replace(ltrim(f.form, '+'), '.', '[.]'), '|') || ')([^0-9A-Za-z]|$)'
    FROM unnest(forms) AS f (form)
$$;

/*
 * Of these messages, those that nobody has locked and no request is out for.  What waits
 * is cancelled first; what is uncertain is not sent again.  Queue rows are locked before
 * messages, as everywhere.
 */
CREATE FUNCTION @extschema@.wa_internal_erase_messages(ids bigint[], OUT cancelled bigint, OUT erased bigint)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    waiting bigint[] := ARRAY(
        SELECT q.message_id FROM @extschema@.whatsapp_queue AS q
        WHERE q.message_id = ANY (ids)
        ORDER BY q.message_id
        FOR UPDATE SKIP LOCKED);
    free bigint[];
    files bigint[];
BEGIN
    waiting := @extschema@.wa_internal_subtract(waiting, @extschema@.wa_internal_on_wire(waiting));
    free := ARRAY(
        SELECT m.id FROM @extschema@.whatsapp_messages AS m
        WHERE m.id = ANY (ids) AND m.erased_at IS NULL
        ORDER BY m.id
        FOR UPDATE SKIP LOCKED);
    /* What has a row in the queue that is not ours to take is left. */
    free := ARRAY(
        SELECT f.id FROM unnest(free) AS f (id)
        WHERE f.id = ANY (waiting)
            OR NOT EXISTS (SELECT FROM @extschema@.whatsapp_queue AS q WHERE q.message_id = f.id OFFSET 0));
    waiting := ARRAY(SELECT w FROM unnest(waiting) AS w WHERE w = ANY (free));

    DELETE FROM @extschema@.whatsapp_queue AS q WHERE q.message_id = ANY (waiting);
    DELETE FROM @extschema@.whatsapp_fallbacks AS f WHERE f.message_id = ANY (free);
    /* A file that nothing else sends goes along; Meta's own copy ends after 30 days. */
    WITH gone AS (
        DELETE FROM @extschema@.whatsapp_media_uses AS u WHERE u.message_id = ANY (free) RETURNING u.medium)
    SELECT array_agg(DISTINCT g.medium) INTO files FROM gone AS g;
    DELETE FROM @extschema@.whatsapp_media AS f WHERE f.id = ANY (ARRAY(
        SELECT o.id FROM @extschema@.whatsapp_media AS o
        WHERE o.id = ANY (files)
            AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_media_uses AS u WHERE u.medium = o.id)
        FOR UPDATE SKIP LOCKED));
    DELETE FROM @extschema@.whatsapp_parked_events AS p WHERE p.message_id = ANY (free);
    DELETE FROM @extschema@.whatsapp_parked_events AS p
        USING unnest(ARRAY(SELECT w.whatsapp_message_id FROM @extschema@.whatsapp_wamids AS w
                           WHERE w.message_id = ANY (free))) AS k (wamid)
        WHERE p.kind = 'status' AND p.whatsapp_message_id = k.wamid;
    DELETE FROM @extschema@.whatsapp_alerts AS a
        WHERE a.scope = 'message' AND a.key = ANY (ARRAY(SELECT i::text FROM unnest(free) AS i));
    UPDATE @extschema@.whatsapp_attempts AS t SET error_message = NULL, fbtrace_id = NULL
        WHERE t.message_id = ANY (free);
    UPDATE @extschema@.whatsapp_wamids AS w
        SET whatsapp_message_id = @extschema@.wa_internal_erased_mark(w.whatsapp_message_id)
        WHERE w.message_id = ANY (free);
    UPDATE @extschema@.whatsapp_messages AS m
        SET erased_at = clock_timestamp(), payload = '{}',
            recipient_phone = @extschema@.wa_internal_erased_phone(m.recipient_phone),
            recipient_user_id = split_part(m.recipient_user_id, '.', 1),
            recipient_wa_id = NULL, context_message_id = NULL, idempotency_key = NULL, reference = NULL,
            whatsapp_message_id = @extschema@.wa_internal_erased_mark(m.whatsapp_message_id),
            error_message = NULL, errors = NULL, conversation_id = NULL,
            status = CASE m.status WHEN 'queued' THEN 'cancelled' WHEN 'sending' THEN 'cancelled'
                                   WHEN 'uncertain' THEN 'failed' ELSE m.status END,
            failed_at = CASE m.status WHEN 'uncertain' THEN clock_timestamp() ELSE m.failed_at END,
            finished_at = COALESCE(m.finished_at, clock_timestamp())
        WHERE m.id = ANY (free);
    cancelled := cardinality(waiting);
    erased := cardinality(free);
END
$$;

/* Shells remain of these, too: a webhook that comes again finds its message known. */
CREATE FUNCTION @extschema@.wa_internal_erase_inbound(ids bigint[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    free CONSTANT bigint[] := ARRAY(
        SELECT i.inbound_id FROM @extschema@.whatsapp_inbound_messages AS i
        WHERE i.inbound_id = ANY (ids)
        ORDER BY i.inbound_id
        FOR UPDATE SKIP LOCKED);
BEGIN
    DELETE FROM @extschema@.whatsapp_read_receipts AS r WHERE r.inbound_id = ANY (free);
    DELETE FROM @extschema@.whatsapp_early_replies AS r WHERE r.inbound_id = ANY (free);
    DELETE FROM @extschema@.whatsapp_inbound_media AS f WHERE f.inbound_id = ANY (free);
    UPDATE @extschema@.whatsapp_inbound_messages AS i
        SET whatsapp_message_id = @extschema@.wa_internal_erased_mark(i.whatsapp_message_id),
            sender_phone = NULL, sender_user_id = NULL, text = NULL, payload = '{}',
            context_whatsapp_message_id = NULL, reply_id = NULL, reply_title = NULL, handler_error = NULL,
            reply_data = NULL, media_id = NULL, filename = NULL, latitude = NULL, longitude = NULL,
            catalog_id = NULL, product_retailer_id = NULL, order_items = NULL, referral_source_type = NULL,
            referral_source_id = NULL, referral_source_url = NULL, ctwa_clid = NULL
        WHERE i.inbound_id = ANY (free);
    RETURN cardinality(free);
END
$$;

CREATE FUNCTION @extschema@.wa_internal_erase_app_messages(ids bigint[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    free CONSTANT bigint[] := ARRAY(
        SELECT a.app_message_id FROM @extschema@.whatsapp_app_messages AS a
        WHERE a.app_message_id = ANY (ids)
        ORDER BY a.app_message_id
        FOR UPDATE SKIP LOCKED);
BEGIN
    UPDATE @extschema@.whatsapp_app_messages AS a
        SET whatsapp_message_id = @extschema@.wa_internal_erased_mark(a.whatsapp_message_id),
            customer_phone = NULL, customer_user_id = NULL, text = NULL, payload = '{}',
            context_whatsapp_message_id = NULL
        WHERE a.app_message_id = ANY (free);
    RETURN cardinality(free);
END
$$;

/*
 * What is kept under these forms themselves.  Whoever has opted out, or in, stays known by
 * number and user ID, without a name: a wish must hold whichever of them a message is
 * addressed to, and be proved.  Returns how many rows were left because of a lock.
 */
CREATE FUNCTION @extschema@.wa_internal_erase_identity(forms text[], OUT erased bigint, OUT left_over bigint)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    all_contacts CONSTANT bigint[] := ARRAY(
        SELECT DISTINCT i.contact_id FROM @extschema@.whatsapp_contact_identities AS i WHERE i.identity = ANY (forms));
    contacts CONSTANT bigint[] := ARRAY(
        SELECT c.contact_id FROM @extschema@.whatsapp_contacts AS c
        WHERE c.contact_id = ANY (all_contacts)
        ORDER BY c.contact_id
        FOR UPDATE SKIP LOCKED);
    n bigint;
BEGIN
    left_over := cardinality(all_contacts) - cardinality(contacts);
    DELETE FROM @extschema@.whatsapp_learned_identities AS l WHERE l.learned_id IN (
        SELECT o.learned_id FROM @extschema@.whatsapp_learned_identities AS o
        WHERE o.recipient = ANY (forms) OR o.identity = ANY (forms)
        FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS erased = ROW_COUNT;
    DELETE FROM @extschema@.whatsapp_windows AS w WHERE w.ctid = ANY (ARRAY(
        SELECT o.ctid FROM @extschema@.whatsapp_windows AS o WHERE o.recipient = ANY (forms)
        FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS n = ROW_COUNT;
    erased := erased + n;
    /* The limit goes on counting somebody. */
    UPDATE @extschema@.whatsapp_reach AS r SET recipient = @extschema@.wa_internal_erased_mark(r.recipient)
        WHERE r.ctid = ANY (ARRAY(
            SELECT o.ctid FROM @extschema@.whatsapp_reach AS o WHERE o.recipient = ANY (forms)
            FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS n = ROW_COUNT;
    erased := erased + n;
    UPDATE @extschema@.whatsapp_contacts AS c SET name = NULL, username = NULL, name_at = NULL, username_at = NULL
        WHERE c.contact_id = ANY (contacts) AND (c.name IS NOT NULL OR c.username IS NOT NULL);
    DELETE FROM @extschema@.whatsapp_contacts AS c
        WHERE c.contact_id = ANY (contacts) AND NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_contact_identities AS i
            WHERE i.contact_id = c.contact_id
                AND (EXISTS (SELECT FROM @extschema@.whatsapp_opt_outs AS o WHERE o.recipient = i.identity)
                     OR EXISTS (SELECT FROM @extschema@.whatsapp_opt_ins AS o WHERE o.recipient = i.identity)));
    GET DIAGNOSTICS n = ROW_COUNT;
    erased := erased + n;
    left_over := left_over
        + (SELECT count(*) FROM @extschema@.whatsapp_windows AS w WHERE w.recipient = ANY (forms))
        + (SELECT count(*) FROM @extschema@.whatsapp_reach AS r WHERE r.recipient = ANY (forms))
        + (SELECT count(*) FROM @extschema@.whatsapp_learned_identities AS l
           WHERE l.recipient = ANY (forms) OR l.identity = ANY (forms));
END
$$;

/* Of a tenant's customers, those whom no other tenant knows; what other tenants have of the rest stays. */
CREATE FUNCTION @extschema@.wa_internal_strangers(tenant text, recipients text[]) RETURNS text[]
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ARRAY(
        SELECT DISTINCT f.form
        FROM unnest(recipients) AS r (recipient)
            CROSS JOIN LATERAL (SELECT @extschema@.wa_internal_forms_of(ARRAY[r.recipient])) AS p (forms)
            CROSS JOIN LATERAL unnest(p.forms) AS f (form)
        WHERE NOT EXISTS (
                SELECT FROM unnest(p.forms) AS a (form)
                    CROSS JOIN LATERAL (
                        SELECT m.tenant_id FROM @extschema@.whatsapp_messages AS m
                        WHERE m.recipient_phone = a.form AND m.tenant_id <> tenant LIMIT 1) AS m)
            AND NOT EXISTS (
                SELECT FROM @extschema@.whatsapp_windows AS w
                WHERE w.recipient = ANY (p.forms) AND w.last_inbound_at > '-infinity' AND NOT EXISTS (
                    SELECT FROM @extschema@.whatsapp_phone_assignments AS s
                    WHERE s.phone_number_id = w.phone_number_id AND s.tenant_id = tenant
                        AND s.assigned_at < w.last_inbound_at + interval '1 second'
                        AND (s.unassigned_at IS NULL OR s.unassigned_at > w.last_inbound_at))))
$$;

/*
 * Of a tenant's customers, beside whose messages (ids) they stand, those who are nobody
 * else's.  If one of them is locked, the messages are left, too: they say whose it was.
 */
CREATE FUNCTION @extschema@.wa_internal_erase_customers(
    tenant text, people text[], INOUT ids bigint[], OUT held bigint)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    held := 0;
    IF cardinality(people) > 0 AND (
            SELECT i.left_over FROM @extschema@.wa_internal_erase_identity(
                @extschema@.wa_internal_strangers(tenant, people)) AS i) > 0 THEN
        held := cardinality(ids);
        ids := '{}';
    END IF;
END
$$;

/*
 * One step of an erasure, whose row is locked: so many rows of one table are looked at,
 * from the newest back.  False: the round is over and has left something.
 */
CREATE FUNCTION @extschema@.wa_internal_erase_step(e @extschema@.whatsapp_erasures, batch integer)
RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    last_phase CONSTANT integer := 12;
    is_person CONSTANT boolean := e.kind = 'person';
    before CONSTANT bigint := COALESCE(e.position, 9223372036854775807);
    known CONSTANT text[] := CASE WHEN is_person THEN @extschema@.wa_internal_forms_of(e.forms) ELSE '{}' END;
    naming CONSTANT text := CASE WHEN is_person THEN @extschema@.wa_internal_naming(known) END;
    mine bigint[] := '{}';  /* rows of this step that are to be erased */
    people text[];
    looked_at bigint := 0;  /* rows that it has looked at, ... */
    lowest bigint;          /* ... down to this one */
    done bigint := 0;       /* how many of them are erased, ... */
    n_cancelled bigint := 0;
    left_now bigint := 0;   /* ... and how many had to be left, ... */
    held bigint := 0;       /* ... or had to because of others */
    counts record;
BEGIN
    CASE e.phase
    WHEN 1, 9 THEN
        /* messages: by number, and a tenant's, twice: nothing can be added after the tenant is gone */
        IF is_person AND e.phase = 1 THEN
            SELECT COALESCE(array_agg(w.id), '{}'), count(*), min(w.id) INTO mine, looked_at, lowest
                FROM (SELECT m.id
                      FROM unnest(known) AS f (form)
                          CROSS JOIN LATERAL (
                              SELECT o.id FROM @extschema@.whatsapp_messages AS o
                              WHERE o.recipient_phone = f.form AND o.id < before
                                  AND o.created_at <= e.requested_at
                              ORDER BY o.id DESC LIMIT batch) AS m
                      WHERE f.form LIKE '+%'
                      ORDER BY m.id DESC LIMIT batch) AS w;
        ELSIF NOT is_person THEN
            SELECT COALESCE(array_agg(w.id) FILTER (WHERE w.tenant_id = e.subject AND w.erased_at IS NULL), '{}'),
                    count(*), min(w.id),
                    array_agg(DISTINCT w.recipient)
                        FILTER (WHERE w.tenant_id = e.subject AND w.erased_at IS NULL)
                INTO mine, looked_at, lowest, people
                FROM (SELECT m.id, m.tenant_id, m.erased_at,
                          COALESCE(m.recipient_phone, m.recipient_user_id) AS recipient
                      FROM @extschema@.whatsapp_messages AS m
                      WHERE m.id < before ORDER BY m.id DESC LIMIT batch) AS w;
        END IF;
    WHEN 2 THEN
        /* messages by user ID only: no index has those, but all that have no number stand together in one */
        IF is_person THEN
            SELECT COALESCE(array_agg(w.id) FILTER (WHERE w.recipient_user_id = ANY (known)
                                                    AND w.created_at <= e.requested_at), '{}'), count(*), min(w.id)
                INTO mine, looked_at, lowest
                FROM (SELECT m.id, m.recipient_user_id, m.created_at FROM @extschema@.whatsapp_messages AS m
                      WHERE m.recipient_phone IS NULL AND m.id < before ORDER BY m.id DESC LIMIT batch) AS w;
        END IF;
    WHEN 3 THEN
        SELECT COALESCE(array_agg(w.id) FILTER (WHERE w.is_mine), '{}'), count(*), min(w.id),
                array_agg(DISTINCT w.sender) FILTER (WHERE w.is_mine AND NOT is_person)
            INTO mine, looked_at, lowest, people
            FROM (SELECT i.inbound_id AS id, COALESCE(i.sender_phone, i.sender_user_id) AS sender,
                      i.whatsapp_message_id NOT LIKE 'erased.%'
                      AND CASE WHEN is_person
                               THEN (i.sender_phone = ANY (known) OR i.sender_user_id = ANY (known))
                                   AND i.received_at <= e.requested_at
                               ELSE i.tenant_id = e.subject END AS is_mine
                  FROM @extschema@.whatsapp_inbound_messages AS i
                  WHERE i.inbound_id < before ORDER BY i.inbound_id DESC LIMIT batch) AS w;
        SELECT c.ids, c.held INTO mine, held FROM @extschema@.wa_internal_erase_customers(e.subject, people, mine) AS c;
        done := @extschema@.wa_internal_erase_inbound(mine);
    WHEN 4 THEN
        SELECT COALESCE(array_agg(w.id) FILTER (WHERE w.is_mine), '{}'), count(*), min(w.id),
                array_agg(DISTINCT w.customer) FILTER (WHERE w.is_mine AND NOT is_person)
            INTO mine, looked_at, lowest, people
            FROM (SELECT a.app_message_id AS id, COALESCE(a.customer_phone, a.customer_user_id) AS customer,
                      a.whatsapp_message_id NOT LIKE 'erased.%'
                      AND CASE WHEN is_person
                               THEN (a.customer_phone = ANY (known) OR a.customer_user_id = ANY (known)
                                     OR a.payload::text ~ naming) AND a.received_at <= e.requested_at
                               ELSE a.tenant_id = e.subject END AS is_mine
                  FROM @extschema@.whatsapp_app_messages AS a
                  WHERE a.app_message_id < before ORDER BY a.app_message_id DESC LIMIT batch) AS w;
        SELECT c.ids, c.held INTO mine, held FROM @extschema@.wa_internal_erase_customers(e.subject, people, mine) AS c;
        done := @extschema@.wa_internal_erase_app_messages(mine);
    WHEN 5 THEN
        SELECT COALESCE(array_agg(w.id) FILTER (WHERE w.is_mine), '{}'), count(*), min(w.id)
            INTO mine, looked_at, lowest
            FROM (SELECT p.parked_id AS id,
                      CASE WHEN is_person
                           THEN p.event::text ~ naming OR encode(p.body, 'escape') ~ naming
                           ELSE EXISTS (
                               SELECT FROM @extschema@.whatsapp_phone_assignments AS s
                               WHERE s.phone_number_id = COALESCE(p.phone_number_id,
                                       p.event #>> '{value,metadata,phone_number_id}')
                                   AND s.tenant_id = e.subject AND s.assigned_at <= p.received_at
                                   AND (s.unassigned_at IS NULL OR s.unassigned_at >= p.received_at)) END AS is_mine
                  FROM @extschema@.whatsapp_parked_events AS p
                  WHERE p.parked_id < before ORDER BY p.parked_id DESC LIMIT batch) AS w;
        DELETE FROM @extschema@.whatsapp_parked_events AS d WHERE d.parked_id = ANY (ARRAY(
            SELECT p.parked_id FROM @extschema@.whatsapp_parked_events AS p
            WHERE p.parked_id = ANY (mine) FOR UPDATE SKIP LOCKED));
        GET DIAGNOSTICS done = ROW_COUNT;
    WHEN 6 THEN
        /* The row stays: by its fingerprint the same event is known when it comes again. */
        SELECT COALESCE(array_agg(w.id) FILTER (WHERE w.is_mine), '{}'), count(*), min(w.id)
            INTO mine, looked_at, lowest
            FROM (SELECT v.event_id AS id,
                      CASE WHEN is_person
                           THEN v.key ~ naming OR v.value::text ~ naming
                           ELSE v.value <> '{}' AND v.value #>> '{metadata,phone_number_id}' IS NOT NULL AND EXISTS (
                               SELECT FROM @extschema@.whatsapp_phone_assignments AS s
                               WHERE s.phone_number_id = v.value #>> '{metadata,phone_number_id}'
                                   AND s.tenant_id = e.subject AND s.assigned_at <= v.received_at
                                   AND (s.unassigned_at IS NULL OR s.unassigned_at >= v.received_at)) END AS is_mine
                  FROM @extschema@.whatsapp_account_events AS v
                  WHERE v.event_id < before ORDER BY v.event_id DESC LIMIT batch) AS w;
        UPDATE @extschema@.whatsapp_account_events AS v SET key = '', value = '{}'
            WHERE v.event_id = ANY (ARRAY(
                SELECT o.event_id FROM @extschema@.whatsapp_account_events AS o
                WHERE o.event_id = ANY (mine) FOR UPDATE SKIP LOCKED));
        GET DIAGNOSTICS done = ROW_COUNT;
    WHEN 7 THEN
        SELECT COALESCE(array_agg(w.id) FILTER (WHERE w.is_mine), '{}'), count(*), min(w.id)
            INTO mine, looked_at, lowest
            FROM (SELECT a.alert_id AS id,
                      CASE WHEN is_person
                           THEN a.key ~ naming OR a.message ~ naming OR a.detail::text ~ naming
                           ELSE a.scope = 'tenant' AND a.key = e.subject OR a.detail ->> 'tenant_id' = e.subject
                               OR starts_with(a.key, e.subject || ' ') AND a.scope = 'recipient' END AS is_mine
                  FROM @extschema@.whatsapp_alerts AS a
                  WHERE a.alert_id < before ORDER BY a.alert_id DESC LIMIT batch) AS w;
        DELETE FROM @extschema@.whatsapp_alerts AS d WHERE d.alert_id = ANY (ARRAY(
            SELECT a.alert_id FROM @extschema@.whatsapp_alerts AS a
            WHERE a.alert_id = ANY (mine) FOR UPDATE SKIP LOCKED));
        GET DIAGNOSTICS done = ROW_COUNT;
    WHEN 8 THEN
        IF is_person THEN
            SELECT COALESCE(array_agg(w.id) FILTER (WHERE w.is_mine), '{}'), count(*), min(w.id)
                INTO mine, looked_at, lowest
                FROM (SELECT f.failure_id AS id, concat_ws(' ', f.row_key, f.row_id, f.old_row, f.message, f.detail,
                          f.hint) ~ naming AS is_mine
                      FROM @extschema@.whatsapp_notification_failures AS f
                      WHERE f.failure_id < before ORDER BY f.failure_id DESC LIMIT batch) AS w;
            DELETE FROM @extschema@.whatsapp_notification_failures AS d WHERE d.failure_id = ANY (ARRAY(
                SELECT f.failure_id FROM @extschema@.whatsapp_notification_failures AS f
                WHERE f.failure_id = ANY (mine) FOR UPDATE SKIP LOCKED));
            GET DIAGNOSTICS done = ROW_COUNT;
            left_now := cardinality(mine) - done;
        ELSE
            /* Now it is nobody's any more: what names it has no place to come from. */
            SELECT t.removed, t.left_over INTO done, left_now
                FROM @extschema@.wa_internal_remove_tenant(e.subject, batch) AS t;
        END IF;
    WHEN 10 THEN
        SELECT COALESCE(array_agg(w.id) FILTER (WHERE w.is_mine), '{}'), count(*), min(w.id)
            INTO mine, looked_at, lowest
            FROM (SELECT a.event_id AS id,
                      CASE WHEN is_person THEN a.key ~ naming OR a.detail::text ~ naming
                           ELSE a.detail IS NOT NULL
                               AND (a.scope = 'tenant' AND a.key = e.subject OR a.detail ->> 'tenant_id' = e.subject)
                           END AS is_mine
                  FROM @extschema@.whatsapp_events AS a
                  WHERE a.event_id < before ORDER BY a.event_id DESC LIMIT batch) AS w;
        UPDATE @extschema@.whatsapp_events AS a
            SET detail = NULL, key = CASE WHEN is_person AND a.key ~ naming THEN '' ELSE a.key END
            WHERE a.event_id = ANY (ARRAY(
                SELECT o.event_id FROM @extschema@.whatsapp_events AS o
                WHERE o.event_id = ANY (mine) FOR UPDATE SKIP LOCKED));
        GET DIAGNOSTICS done = ROW_COUNT;
    WHEN 11 THEN
        IF is_person THEN
            SELECT i.* INTO counts FROM @extschema@.wa_internal_erase_identity(known) AS i;
            done := counts.erased;
            left_now := counts.left_over;
        END IF;
    WHEN 12 THEN
        /*
         * What waits for other nodes is theirs, and may be that he wants no more messages: it is not taken away, but
         * waited for, seven days at most.
         */
        IF is_person THEN
            SELECT COALESCE(array_agg(w.id) FILTER (WHERE w.is_mine), '{}'), count(*), min(w.id)
                INTO mine, looked_at, lowest
                FROM (SELECT f.forward_id AS id, f.received_at <= e.requested_at AND f.entry ~ naming AS is_mine
                      FROM @extschema@.whatsapp_forwards AS f
                      WHERE f.forward_id < before ORDER BY f.forward_id DESC LIMIT batch) AS w;
        END IF;
    END CASE;

    IF e.phase IN (1, 2, 9) THEN
        SELECT c.ids, c.held INTO mine, held FROM @extschema@.wa_internal_erase_customers(e.subject, people, mine) AS c;
        SELECT x.* INTO counts FROM @extschema@.wa_internal_erase_messages(mine) AS x;
        done := counts.erased;
        n_cancelled := counts.cancelled;
    END IF;
    IF e.phase NOT IN (8, 11) THEN
        left_now := GREATEST(cardinality(mine) - done, 0);
    END IF;
    left_now := left_now + held + e.left_over;

    UPDATE @extschema@.whatsapp_erasures AS u
        SET cancelled = u.cancelled + n_cancelled,
            messages = u.messages + CASE WHEN e.phase IN (1, 2, 9) THEN done ELSE 0 END,
            other_rows = u.other_rows + CASE WHEN e.phase IN (1, 2, 9) THEN 0 ELSE done END,
            forms = known,
            worked_at = clock_timestamp(),
            position = CASE WHEN looked_at >= batch THEN lowest END,
            phase = u.phase + (looked_at < batch AND left_now = 0 AND u.phase < last_phase)::integer,
            left_over = CASE WHEN looked_at >= batch THEN left_now ELSE 0 END
        WHERE u.erasure_id = e.erasure_id;
    IF looked_at < batch AND left_now = 0 AND e.phase = last_phase THEN
        UPDATE @extschema@.whatsapp_erasures AS u
            SET finished_at = clock_timestamp(), forms = '{}',
                subject = CASE WHEN is_person THEN NULL ELSE u.subject END
            WHERE u.erasure_id = e.erasure_id;
    END IF;
    RETURN looked_at >= batch OR left_now = 0;
END
$$;

/* For a sender, and for who calls again: one step of this erasure, or of the one that has waited longest. */
CREATE FUNCTION @extschema@.wa_internal_erase(erasure bigint DEFAULT NULL, batch integer DEFAULT 1000) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    e @extschema@.whatsapp_erasures;
BEGIN
    SELECT o.* INTO e FROM @extschema@.whatsapp_erasures AS o
        WHERE o.finished_at IS NULL AND (erasure IS NULL OR o.erasure_id = erasure)
        ORDER BY o.worked_at NULLS FIRST, o.erasure_id
        LIMIT 1
        FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    RETURN @extschema@.wa_internal_erase_step(e, batch);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_erase(bigint, integer) IS
'Does a step of an erasure. False: there is none, or what is left of it is locked or on the wire. Internal.';

/* Some steps at once, so that what is small is done when the call returns. */
CREATE FUNCTION @extschema@.wa_internal_erase_now(erasure bigint) RETURNS @extschema@.whatsapp_erasures
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    e @extschema@.whatsapp_erasures;
BEGIN
    FOR i IN 1 .. 20 LOOP
        EXIT WHEN NOT @extschema@.wa_internal_erase(erasure);
    END LOOP;
    SELECT o.* INTO STRICT e FROM @extschema@.whatsapp_erasures AS o WHERE o.erasure_id = erasure;
    RETURN e;
END
$$;

/* The erasure of this that is going on, begun if there is none. */
CREATE FUNCTION @extschema@.wa_internal_begin_erasure(kind text, subject text, forms text[]) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    found_id bigint;
BEGIN
    LOOP
        SELECT o.erasure_id INTO found_id FROM @extschema@.whatsapp_erasures AS o
            WHERE o.kind = kind AND o.finished_at IS NULL
                AND (o.subject = subject OR kind = 'person' AND o.forms && forms)
            ORDER BY o.erasure_id LIMIT 1;
        IF found_id IS NULL THEN
            INSERT INTO @extschema@.whatsapp_erasures AS i (kind, subject, forms, requested_by)
                VALUES (kind, subject, forms, session_user)
                ON CONFLICT DO NOTHING
                RETURNING i.erasure_id INTO found_id;
        END IF;
        EXIT WHEN found_id IS NOT NULL;
    END LOOP;
    RETURN found_id;
END
$$;

CREATE FUNCTION @extschema@.wa_erase_person(recipient text) RETURNS @extschema@.whatsapp_erasures
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    who text;
BEGIN
    PERFORM @extschema@.wa_internal_check_not_null('recipient'::text, recipient);
    IF @extschema@.wa_internal_bound_tenant() IS NOT NULL THEN
        RAISE EXCEPTION 'a role that is bound to a tenant cannot erase a person'
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = 'The person may be a customer of other tenants, too.';
    END IF;
    who := @extschema@.wa_internal_recipient(recipient);
    RETURN @extschema@.wa_internal_erase_now(@extschema@.wa_internal_begin_erasure('person'::text, who,
        @extschema@.wa_internal_forms_of(ARRAY[who] || @extschema@.wa_internal_spellings(who))));
END
$$;
COMMENT ON FUNCTION @extschema@.wa_erase_person(text) IS
'Erases a person, under every number and user ID that is known: contents and identity go from every table. Waiting '
'messages are cancelled; what is on the wire is settled first. Messages stay as shells that count, with status, times '
'and price, and of the recipient the calling code. Opt-outs and opt-ins stay under number and user ID, and hold. A few '
'thousand rows are done at once; the rest is done by a sender after COMMIT, or by calling again. What waits for '
'another node is not taken from it, and waited for. Returns the row of '
'whatsapp_erasures; finished_at is set when it is done. Errors: 22004, 22023 no recipient.';

/* Its row, and what hangs on it.  Sums of costs, opt-outs and opt-ins name it on. */
CREATE FUNCTION @extschema@.wa_internal_remove_tenant(
    tenant text, batch integer, OUT removed bigint, OUT left_over bigint)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM @extschema@.whatsapp_media AS f WHERE f.id = ANY (ARRAY(
        SELECT o.id FROM @extschema@.whatsapp_media AS o WHERE o.tenant_id = tenant
        ORDER BY o.id LIMIT batch FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS removed = ROW_COUNT;
    PERFORM FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = tenant FOR UPDATE SKIP LOCKED;
    IF NOT FOUND AND EXISTS (SELECT FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = tenant)
        OR EXISTS (SELECT FROM @extschema@.whatsapp_media AS f WHERE f.tenant_id = tenant) THEN
        left_over := 1;
        RETURN;
    END IF;
    DELETE FROM @extschema@.whatsapp_pauses AS p WHERE p.scope = 'tenant' AND p.key = tenant;
    DELETE FROM @extschema@.whatsapp_phone_assignments AS a WHERE a.tenant_id = tenant;
    DELETE FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = tenant;
    removed := removed + 1;
    left_over := 0;
END
$$;

/*
 * Whatever would bring a deleted tenant back: its opt-outs and costs would be the new
 * one's.  While it is being deleted it stays switched off; rows of a dump are.
 */
CREATE FUNCTION @extschema@.wa_internal_keep_deleted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM @extschema@.whatsapp_erasures AS e
               WHERE e.kind = 'tenant' AND e.subject = NEW.tenant_id
                   AND (NEW.enabled OR TG_OP = 'INSERT' AND e.finished_at IS NOT NULL)) THEN
        RAISE EXCEPTION 'tenant "%" has been deleted', @extschema@.wa_internal_quote(NEW.tenant_id)
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'Its costs and opt-outs are kept under this tenant_id.',
                  HINT = 'Use another tenant_id.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_keep_deleted() IS
'Trigger function: the tenant_id of a deleted tenant is not used again. Internal.';
CREATE TRIGGER whatsapp_tenants_deleted
    BEFORE INSERT OR UPDATE OF enabled ON @extschema@.whatsapp_tenants
    FOR EACH ROW EXECUTE FUNCTION @extschema@.wa_internal_keep_deleted();

CREATE FUNCTION @extschema@.wa_delete_tenant(
    tenant_id text,
    force     boolean DEFAULT false)
RETURNS @extschema@.whatsapp_erasures
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    tenant CONSTANT text := @extschema@.wa_internal_check_tenant_id(wa_delete_tenant.tenant_id);
    number text;
    going_on boolean;
BEGIN
    PERFORM @extschema@.wa_internal_check_not_null('force'::text, force);
    IF @extschema@.wa_internal_bound_tenant() IS NOT NULL THEN
        RAISE EXCEPTION 'a role that is bound to a tenant cannot delete one' USING ERRCODE = 'insufficient_privilege';
    END IF;
    going_on := EXISTS (SELECT FROM @extschema@.whatsapp_erasures AS e
                        WHERE e.kind = 'tenant' AND e.subject = tenant AND e.finished_at IS NULL);
    IF NOT going_on THEN
        PERFORM @extschema@.wa_internal_check_tenant_exists(tenant);
    END IF;
    SELECT a.phone_number_id INTO number FROM @extschema@.whatsapp_phone_assignments AS a
        WHERE a.tenant_id = tenant AND a.unassigned_at IS NULL;
    IF number IS NOT NULL AND NOT force AND NOT going_on THEN
        RAISE EXCEPTION 'tenant "%" has the phone number %', @extschema@.wa_internal_quote(tenant), number
            USING ERRCODE = 'object_in_use',
                  HINT = 'Take it back with wa_unassign_phone(), or pass force => true.';
    ELSIF number IS NOT NULL THEN
        PERFORM @extschema@.wa_unassign_phone(tenant);
    END IF;
    UPDATE @extschema@.whatsapp_tenants AS t
        SET enabled = false, daily_share = NULL, updated_at = clock_timestamp()
        WHERE t.tenant_id = tenant AND (t.enabled OR t.daily_share IS NOT NULL);
    RETURN @extschema@.wa_internal_erase_now(
        @extschema@.wa_internal_begin_erasure('tenant'::text, tenant, '{}'::text[]));
END
$$;
COMMENT ON FUNCTION @extschema@.wa_delete_tenant(text, boolean) IS
'Deletes a tenant: it is switched off at once, what waits is cancelled, and contents and identities go from every '
'table as wa_erase_person() does it, also the customers whom no other tenant knows. Messages stay as shells until '
'whatsapp_shared.retention; sums of costs, opt-outs and opt-ins stay, and the tenant_id cannot be used again. With a '
'number assigned it is refused, unless force takes the number back. The rest is done by a sender after COMMIT, or by '
'calling again. Returns the row of whatsapp_erasures. Errors: 22004, 22023; 42704 no such tenant; 55006 it has a '
'number.';

/* ---- 79-inbound-media ------------------------------------------------------------ */

CREATE TABLE @extschema@.whatsapp_inbound_media (
    inbound_id      bigint PRIMARY KEY
        CONSTRAINT whatsapp_inbound_media_inbound_id_fkey
        REFERENCES @extschema@.whatsapp_inbound_messages (inbound_id) ON DELETE CASCADE,
    tenant_id       text COLLATE "C",
    phone_number_id text COLLATE "C" NOT NULL,
    media_id        text COLLATE "C" NOT NULL,
    status          text NOT NULL DEFAULT 'wanted'
        CONSTRAINT whatsapp_inbound_media_status_check CHECK (status IN ('wanted', 'fetched', 'failed', 'skipped')),
    reason          text,
    requested_at    timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    attempts        integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    ended_at        timestamptz,
    mime_type       text,
    size            bigint,
    sha256          bytea,
    CONSTRAINT whatsapp_inbound_media_fetched_check
        CHECK ((status = 'fetched') = (sha256 IS NOT NULL) AND (status = 'wanted') = (ended_at IS NULL))
);
CREATE INDEX whatsapp_inbound_media_due_idx
    ON @extschema@.whatsapp_inbound_media (next_attempt_at) WHERE status = 'wanted';
CREATE INDEX whatsapp_inbound_media_number_idx
    ON @extschema@.whatsapp_inbound_media (phone_number_id, next_attempt_at) WHERE status = 'wanted';
CREATE INDEX whatsapp_inbound_media_failed_idx
    ON @extschema@.whatsapp_inbound_media (ended_at) WHERE status = 'failed';
COMMENT ON TABLE @extschema@.whatsapp_inbound_media IS
'Files of customers'' messages that are fetched from Meta, and what became of that; a row goes with its message. '
'Written as whatsapp_shared.fetch_media says, and by wa_fetch_media(); read by wa_media_content().';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media.inbound_id IS 'The message.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media.tenant_id IS 'The message''s tenant; NULL: none.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media.phone_number_id IS 'The number that the customer wrote to.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media.media_id IS 'Meta''s ID of the file, good for 7 days.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media.status IS
'wanted, fetched, failed (it will not be tried again) or skipped (by a setting).';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media.reason IS
'Why it failed or was skipped, or the last attempt failed.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media.requested_at IS 'When it was asked for.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media.attempts IS 'Attempts begun to fetch it.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media.next_attempt_at IS 'Not fetched before this time.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media.ended_at IS 'When it was fetched, failed or was skipped.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media.mime_type IS 'The media type that Meta gave with the file.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media.size IS 'Size in bytes, once Meta has told it.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media.sha256 IS
'SHA-256 of the bytes, as Meta announced it and it was found; NULL until it is fetched.';

CREATE TABLE @extschema@.whatsapp_inbound_media_pieces (
    inbound_id bigint
        CONSTRAINT whatsapp_inbound_media_pieces_inbound_id_fkey
        REFERENCES @extschema@.whatsapp_inbound_media (inbound_id) ON DELETE CASCADE,
    from_byte  bigint,
    bytes      bytea NOT NULL,
    PRIMARY KEY (inbound_id, from_byte)
);
ALTER TABLE @extschema@.whatsapp_inbound_media_pieces ALTER COLUMN bytes SET STORAGE EXTERNAL;
COMMENT ON TABLE @extschema@.whatsapp_inbound_media_pieces IS
'The bytes of fetched files, in pieces; wa_media_content() has them together. Those of a file whose status is wanted '
'are what has been stored so far.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media_pieces.inbound_id IS 'The message.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media_pieces.from_byte IS 'Where the piece begins; the first one at 0.';
COMMENT ON COLUMN @extschema@.whatsapp_inbound_media_pieces.bytes IS 'The bytes.';

/* Some of a file's bytes, as many as there are from there on, but no more than "most". */
CREATE FUNCTION @extschema@.wa_internal_media_bytes(inbound_id bigint, first bigint, most bigint) RETURNS bytea
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(string_agg(
        substr(p.bytes, GREATEST(first - p.from_byte, 0)::integer + 1,
               (first + most - GREATEST(first, p.from_byte))::integer), '' ORDER BY p.from_byte), '')
    FROM @extschema@.whatsapp_inbound_media_pieces AS p
    WHERE p.inbound_id = $1 AND p.from_byte < first + most AND p.from_byte >= COALESCE((
        SELECT max(b.from_byte) FROM @extschema@.whatsapp_inbound_media_pieces AS b
        WHERE b.inbound_id = $1 AND b.from_byte <= first), 0)
$$;

/* Whether a media type, with parameters or without, is one of whatsapp_shared.fetch_media_types. */
CREATE FUNCTION @extschema@.wa_internal_media_type_wanted(mime_type text, types text) RETURNS boolean
    LANGUAGE c IMMUTABLE PARALLEL SAFE STRICT AS 'MODULE_PATHNAME', 'wa_internal_media_type_wanted';
COMMENT ON FUNCTION @extschema@.wa_internal_media_type_wanted(text, text) IS
'Whether a media type is one of a list of them: src/common/media_types.c. Internal.';

/*
 * By the settings: what they exclude is noted as skipped, so that nobody looks for it in
 * vain.  For wa_fetch_media, "asked", the settings do not matter, and what had ended
 * begins anew.
 */
CREATE FUNCTION @extschema@.wa_internal_want_media(ids bigint[], asked boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    types CONSTANT text := current_setting('whatsapp_shared.fetch_media_types');
BEGIN
    INSERT INTO @extschema@.whatsapp_inbound_media AS o (inbound_id, tenant_id, phone_number_id, media_id, mime_type,
            status, reason, ended_at)
        SELECT i.inbound_id, i.tenant_id, i.phone_number_id, i.media_id, i.mime_type,
            CASE WHEN r.reason IS NULL THEN 'wanted' ELSE 'skipped' END, r.reason,
            CASE WHEN r.reason IS NOT NULL THEN clock_timestamp() END
        FROM @extschema@.whatsapp_inbound_messages AS i
            CROSS JOIN LATERAL (
                SELECT CASE
                    WHEN asked THEN NULL
                    WHEN i.sent_at < now() - interval '7 days' THEN 'Meta keeps a file for 7 days'
                    WHEN NOT @extschema@.wa_internal_media_type_wanted(COALESCE(i.mime_type, ''), types)
                    THEN format('%s is not among whatsapp_shared.fetch_media_types',
                        @extschema@.wa_internal_quote(COALESCE(i.mime_type, 'a file without a type')))
                    END) AS r (reason)
        WHERE i.inbound_id = ANY (ids) AND i.media_id IS NOT NULL
        ORDER BY i.inbound_id
        ON CONFLICT ON CONSTRAINT whatsapp_inbound_media_pkey DO UPDATE
        SET status = 'wanted', reason = NULL, ended_at = NULL, attempts = 0, requested_at = clock_timestamp(),
            next_attempt_at = clock_timestamp()
        WHERE asked AND o.status IN ('failed', 'skipped');
    IF FOUND THEN
        PERFORM @extschema@.wa_internal_wake_due(clock_timestamp());
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_fetch_media(inbound_id bigint) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m CONSTANT @extschema@.whatsapp_inbound_messages := @extschema@.wa_internal_own_inbound(inbound_id);
BEGIN
    IF m.media_id IS NULL THEN
        RAISE EXCEPTION 'inbound message % has no file', inbound_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('It is of the type "%s".', @extschema@.wa_internal_quote(m.message_type)),
                  HINT = 'Messages with a file have media_id in whatsapp_inbound_messages.';
    END IF;
    PERFORM @extschema@.wa_internal_want_media(ARRAY[m.inbound_id], true);
    RETURN (SELECT f.status FROM @extschema@.whatsapp_inbound_media AS f WHERE f.inbound_id = m.inbound_id);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_fetch_media(bigint) IS
'Has the file of a customer''s message fetched from Meta after COMMIT, whatever its type and whether or not '
'whatsapp_shared.fetch_media is on; whatsapp_shared.fetch_media_max_size holds. One that failed or was skipped is '
'tried anew. Returns wanted, or fetched if it is there already. Meta keeps a file for 7 days. Errors: 22004 '
'inbound_id is NULL; 42704 unknown ID, or of another tenant; 55000 the message has no file.';

/*
 * With the caller's own rights: the policies of both tables decide what a tenant's role
 * sees, so there is no second rule to keep like them.
 */
CREATE FUNCTION @extschema@.wa_media_content(
    inbound_id bigint,
    OUT status text,
    OUT reason text,
    OUT mime_type text,
    OUT filename text,
    OUT size bigint,
    OUT content bytea)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    media_id text;
BEGIN
    IF wa_media_content.inbound_id IS NULL THEN
        RAISE EXCEPTION 'argument "inbound_id" must not be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    SELECT i.media_id, f.status, f.reason, COALESCE(f.mime_type, i.mime_type), i.filename, f.size,
           CASE WHEN f.status = 'fetched' THEN @extschema@.wa_internal_media_bytes(f.inbound_id, 0::bigint, f.size) END
        INTO media_id, status, reason, mime_type, filename, size, content
        FROM @extschema@.whatsapp_inbound_messages AS i
            LEFT JOIN @extschema@.whatsapp_inbound_media AS f ON f.inbound_id = i.inbound_id
        WHERE i.inbound_id = wa_media_content.inbound_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'inbound message % does not exist', wa_media_content.inbound_id
            USING ERRCODE = 'undefined_object', HINT = 'Use inbound_id of whatsapp_inbound_messages.';
    ELSIF media_id IS NULL THEN
        RAISE EXCEPTION 'inbound message % has no file', wa_media_content.inbound_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Messages with a file have media_id in whatsapp_inbound_messages.';
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_media_content(bigint) IS
'The file of a customer''s message: status (wanted, fetched, failed or skipped; NULL: nobody has asked for it, see '
'wa_fetch_media), reason, media type, name, size in bytes, and once it is fetched the bytes. Type and name are what '
'the customer chose: trust neither. A tenant''s own role reads that tenant''s. Errors: 22004 inbound_id is NULL; '
'42704 unknown ID, or of another tenant; 55000 the message has no file.';

/*
 * The next file that is due, of a number other than these; none: no row.  Numbers take
 * turns: the one after "last" comes first, so that a number with a thousand files does
 * not keep the others waiting.  The attempt is counted, and until the back-off has passed
 * it is not due again.
 */
CREATE FUNCTION @extschema@.wa_internal_next_inbound_media(
    busy text[],
    last text,
    retry_ms bigint,
    max_retry_ms bigint,
    OUT inbound_id bigint,
    OUT phone_number_id text,
    OUT media_id text,
    OUT attempts integer)
RETURNS SETOF record
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    at text := last;
    around boolean := false;
    number text;
    due timestamptz;
    f @extschema@.whatsapp_inbound_media;
BEGIN
    IF NOT EXISTS (SELECT FROM @extschema@.whatsapp_inbound_media AS w
                   WHERE w.status = 'wanted' AND w.next_attempt_at <= clock_timestamp()) THEN
        RETURN;
    END IF;
    LOOP
        SELECT w.phone_number_id, w.next_attempt_at INTO number, due
            FROM @extschema@.whatsapp_inbound_media AS w
            WHERE w.status = 'wanted' AND w.phone_number_id > at COLLATE "C"
            ORDER BY w.phone_number_id, w.next_attempt_at
            LIMIT 1;
        IF NOT FOUND OR around AND number > last COLLATE "C" THEN
            EXIT WHEN around;
            around := true;
            at := '';
            CONTINUE;
        END IF;
        at := number;
        CONTINUE WHEN due > clock_timestamp() OR number = ANY (busy);
        SELECT w.* INTO f FROM @extschema@.whatsapp_inbound_media AS w
            WHERE w.status = 'wanted' AND w.phone_number_id = number AND w.next_attempt_at <= clock_timestamp()
            ORDER BY w.next_attempt_at
            LIMIT 1
            FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        UPDATE @extschema@.whatsapp_inbound_media AS w
            SET attempts = w.attempts + 1,
                next_attempt_at = clock_timestamp() + make_interval(
                    secs => LEAST(retry_ms * 2 ^ LEAST(w.attempts, 30), max_retry_ms) / 1000)
            WHERE w.inbound_id = f.inbound_id;
        RETURN QUERY SELECT f.inbound_id, f.phone_number_id, f.media_id, f.attempts + 1;
        RETURN;
    END LOOP;
END
$$;

/* When the next attempt is due that is not due yet. */
CREATE FUNCTION @extschema@.wa_internal_next_inbound_media_time() RETURNS timestamptz
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.next_attempt_at FROM @extschema@.whatsapp_inbound_media AS w
    WHERE w.status = 'wanted' AND w.next_attempt_at > clock_timestamp()
    ORDER BY w.next_attempt_at LIMIT 1
$$;

/*
 * A piece of what has come.  The first one takes the place of what an earlier attempt has left.  A
 * crash may lose the commit, which then need not wait for the disk: what is lost
 * is fetched again, and the messages of this sender go on meanwhile.
 */
CREATE FUNCTION @extschema@.wa_internal_store_inbound_media(inbound_id bigint, from_byte bigint, bytes bytea)
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    IF from_byte = 0 THEN
        DELETE FROM @extschema@.whatsapp_inbound_media_pieces AS p WHERE p.inbound_id = inbound_id;
    END IF;
    INSERT INTO @extschema@.whatsapp_inbound_media_pieces (inbound_id, from_byte, bytes)
        SELECT w.inbound_id, from_byte, bytes FROM @extschema@.whatsapp_inbound_media AS w
        WHERE w.inbound_id = inbound_id AND w.status = 'wanted';
END
$$;

/* All of it is there, and is what was announced. */
CREATE FUNCTION @extschema@.wa_internal_inbound_media_fetched(
    inbound_id bigint, size bigint, announced text, mime_type text)
RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE @extschema@.whatsapp_inbound_media AS w
        SET status = 'fetched', reason = NULL, ended_at = clock_timestamp(),
            size = wa_internal_inbound_media_fetched.size,
            sha256 = decode(announced, 'hex'),
            mime_type = COALESCE(NULLIF(wa_internal_inbound_media_fetched.mime_type, ''), w.mime_type)
        WHERE w.inbound_id = wa_internal_inbound_media_fetched.inbound_id AND w.status = 'wanted'
$$;

/*
 * They have not.  verdict: wanted (again after the delay), failed or skipped.  What was
 * no fault of the file does not count as an attempt.
 */
CREATE FUNCTION @extschema@.wa_internal_inbound_media_failed(
    inbound_id bigint, verdict text, why text, announced_size bigint, counts boolean, delay_ms bigint) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    /* Of one that is fetched already nothing is taken. */
    DELETE FROM @extschema@.whatsapp_inbound_media_pieces AS p
        USING @extschema@.whatsapp_inbound_media AS w
        WHERE p.inbound_id = wa_internal_inbound_media_failed.inbound_id AND w.inbound_id = p.inbound_id
            AND w.status = 'wanted';
    UPDATE @extschema@.whatsapp_inbound_media AS w
        SET status = verdict, reason = why, size = COALESCE(announced_size, w.size),
            attempts = CASE WHEN counts THEN w.attempts ELSE GREATEST(w.attempts - 1, 0) END,
            ended_at = CASE WHEN verdict <> 'wanted' THEN clock_timestamp() END,
            next_attempt_at = clock_timestamp() + make_interval(secs => delay_ms / 1000.0)
        WHERE w.inbound_id = wa_internal_inbound_media_failed.inbound_id AND w.status = 'wanted'
$$;

/* ---- 80-costs -------------------------------------------------------------------- */

DROP FUNCTION @extschema@.wa_internal_close_usage_day();

ALTER TABLE @extschema@.whatsapp_usage_days
    ADD COLUMN month date GENERATED ALWAYS AS ((pg_catalog.date_trunc('month', day::timestamp))::date) STORED;
ALTER TABLE @extschema@.whatsapp_usage_closed DROP CONSTRAINT whatsapp_usage_closed_time_zone_check;
/* NaN is larger than all else. */
DELETE FROM @extschema@.whatsapp_prices WHERE price >= 'Infinity';
ALTER TABLE @extschema@.whatsapp_prices DROP CONSTRAINT whatsapp_prices_price_check;
ALTER TABLE @extschema@.whatsapp_prices ADD CONSTRAINT whatsapp_prices_price_check
    CHECK (price >= 0 AND price < 'Infinity');
COMMENT ON COLUMN @extschema@.whatsapp_prices.category IS
'As in Meta''s statuses: marketing, utility, authentication, authentication_international (also with a hyphen) or '
'service. marketing_lite costs what marketing does unless it has an entry of its own; referral_conversion is free.';
CREATE INDEX whatsapp_usage_days_tenant_idx ON @extschema@.whatsapp_usage_days (tenant_id, month);
CREATE INDEX whatsapp_usage_days_number_idx ON @extschema@.whatsapp_usage_days (phone_number_id, month);
COMMENT ON TABLE @extschema@.whatsapp_usage_days IS
'Delivered messages by day, without what is still in whatsapp_usage_changes.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_days.month IS 'The first day of the month.';

CREATE TABLE @extschema@.whatsapp_usage_changes (
    change_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    day             date NOT NULL,
    tenant_id       text COLLATE "C" NOT NULL,
    phone_number_id text COLLATE "C" NOT NULL,
    market          text NOT NULL,
    category        text NOT NULL,
    free            boolean NOT NULL,
    messages        bigint NOT NULL
);
CREATE INDEX whatsapp_usage_changes_tenant_idx ON @extschema@.whatsapp_usage_changes (tenant_id);
CREATE INDEX whatsapp_usage_changes_number_idx ON @extschema@.whatsapp_usage_changes (phone_number_id);
COMMENT ON TABLE @extschema@.whatsapp_usage_changes IS
'What is to be added to whatsapp_usage_days: +1 for what was delivered, -1 for what had been counted otherwise. '
'Upkeep empties it every few minutes.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_changes.change_id IS 'In order of writing.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_changes.day IS 'The day, in the account''s time zone.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_changes.tenant_id IS 'The tenant.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_changes.phone_number_id IS 'The number that it was sent from.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_changes.market IS 'The recipient''s market.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_changes.category IS 'The category charged.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_changes.free IS 'Whether Meta reported it as free.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_changes.messages IS 'How many to add; negative: to take away.';
COMMENT ON TABLE @extschema@.whatsapp_usage_closed IS
'One row: the time zone of the days in whatsapp_usage_days.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_closed.through IS
'The last day that was summed up before version 1.1.0, which counts as it goes. Of no use since.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_closed.time_zone IS
'The account''s time zone at Meta, in which wa_costs counts days and months. Initially that of the session that ran '
'CREATE EXTENSION. After a change, wa_recount_costs() counts anew what is still there.';

/* Not a constraint: a dump is also loaded where the name is not known. */
CREATE FUNCTION @extschema@.wa_internal_check_account_zone() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_check_time_zone(NEW.time_zone);
    RETURN NEW;
END
$$;
CREATE TRIGGER whatsapp_usage_closed_time_zone BEFORE UPDATE OF time_zone ON @extschema@.whatsapp_usage_closed
    FOR EACH ROW EXECUTE FUNCTION @extschema@.wa_internal_check_account_zone();

CREATE FUNCTION @extschema@.wa_internal_is_free(billable boolean, pricing_type text, category text) RETURNS boolean
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_is_free';
COMMENT ON FUNCTION @extschema@.wa_internal_is_free(boolean, text, text) IS
'Whether Meta does not charge a message, by what its statuses say. Internal.';

/* Delivered messages as the price list sees them. */
CREATE OR REPLACE VIEW @extschema@.wa_delivered_messages AS
    SELECT m.id, m.created_at, m.scheduled_at,
        (COALESCE(m.delivered_at, m.read_at, m.played_at)
            AT TIME ZONE (SELECT @extschema@.wa_internal_known_zone(c.time_zone)
                FROM @extschema@.whatsapp_usage_closed AS c))::date AS day,
        m.tenant_id,
        COALESCE(m.phone_number_id, '') AS phone_number_id,
        COALESCE((
            SELECT k.market FROM @extschema@.whatsapp_markets AS k
            WHERE pg_catalog.starts_with(m.recipient_phone, '+' || k.calling_code)
                OR m.recipient_phone IS NULL AND k.country = pg_catalog.split_part(m.recipient_user_id, '.', 1)
            ORDER BY pg_catalog.length(k.calling_code) DESC LIMIT 1), 'other') AS market,
        COALESCE(m.pricing_category, 'unknown') AS category,
        @extschema@.wa_internal_is_free(m.billable, m.pricing_type, m.pricing_category) AS free
    FROM @extschema@.whatsapp_messages AS m
    WHERE COALESCE(m.delivered_at, m.read_at, m.played_at) IS NOT NULL;

/*
 * For webhooks: appends what their statuses change in the sums.  What was counted of
 * these messages before, each once or, without a time, not at all, is taken away, and
 * what is there now is added.  Nothing else makes a message delivered; rows that are
 * inserted as such come from a dump, which brings the sums along.
 */
CREATE FUNCTION @extschema@.wa_internal_count_deliveries(
    ids bigint[], delivered_at timestamptz[], categories text[], free boolean[]) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH d AS MATERIALIZED (
        SELECT v.*, b.at AS before_at, COALESCE(b.category, 'unknown') AS before_category, b.free AS before_free
        FROM unnest(ids, delivered_at, categories, free) AS b (id, at, category, free)
            JOIN @extschema@.wa_delivered_messages AS v ON v.id = b.id)
    INSERT INTO @extschema@.whatsapp_usage_changes
        (day, tenant_id, phone_number_id, market, category, free, messages)
        SELECT c.day, c.tenant_id, c.phone_number_id, c.market, c.category, c.free, sum(c.messages)
        FROM (
            SELECT d.day, d.tenant_id, d.phone_number_id, d.market, d.category, d.free, 1 AS messages FROM d
            UNION ALL
            SELECT (d.before_at AT TIME ZONE @extschema@.wa_internal_known_zone(z.time_zone))::date, d.tenant_id,
                d.phone_number_id, d.market, d.before_category, d.before_free, -1
            FROM d CROSS JOIN @extschema@.whatsapp_usage_closed AS z
            WHERE d.before_at IS NOT NULL) AS c
        GROUP BY 1, 2, 3, 4, 5, 6
        HAVING sum(c.messages) <> 0
$$;

/* Adds what was appended to the days, at most so many rows; returns how many. */
CREATE FUNCTION @extschema@.wa_internal_fold_usage(batch integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    folded bigint;
BEGIN
    WITH gone AS (
        DELETE FROM @extschema@.whatsapp_usage_changes AS g
        WHERE g.change_id IN (
            SELECT c.change_id FROM @extschema@.whatsapp_usage_changes AS c
            ORDER BY c.change_id LIMIT batch FOR UPDATE SKIP LOCKED)
        RETURNING g.day, g.tenant_id, g.phone_number_id, g.market, g.category, g.free, g.messages
    ), summed AS (
        INSERT INTO @extschema@.whatsapp_usage_days AS d
            (day, tenant_id, phone_number_id, market, category, free, messages)
            SELECT g.day, g.tenant_id, g.phone_number_id, g.market, g.category, g.free, sum(g.messages)
            FROM gone AS g
            GROUP BY 1, 2, 3, 4, 5, 6
            ORDER BY 1, 2, 3, 4, 5, 6
            ON CONFLICT (day, tenant_id, phone_number_id, market, category, free)
            DO UPDATE SET messages = d.messages + excluded.messages
    )
    SELECT count(*) INTO folded FROM gone;
    DELETE FROM @extschema@.whatsapp_late_deliveries AS l WHERE l.noted_at < now() - interval '400 days';
    RETURN folded;
END
$$;

/* All that is counted; some rows may be negative until they are added up. */
CREATE VIEW @extschema@.wa_internal_usage AS
    SELECT d.month, d.day, d.tenant_id, d.phone_number_id, d.market, d.category, d.free, d.messages
    FROM @extschema@.whatsapp_usage_days AS d
    UNION ALL
    SELECT (pg_catalog.date_trunc('month', c.day::timestamp))::date, c.day, c.tenant_id, c.phone_number_id, c.market,
        c.category, c.free, c.messages
    FROM @extschema@.whatsapp_usage_changes AS c;
COMMENT ON VIEW @extschema@.wa_internal_usage IS
'Delivered messages by day, with what is still to be added to the sums. Internal.';

/*
 * Appends the difference between what is counted and what is there.  Both are read by
 * one statement, so nothing that is delivered meanwhile is lost or counted twice; of
 * two that run at a time, the second waits.
 */
CREATE FUNCTION @extschema@.wa_recount_costs(since date) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    oldest date := (SELECT (min(m.created_at) AT TIME ZONE @extschema@.wa_internal_known_zone(z.time_zone))::date
        FROM @extschema@.whatsapp_messages AS m, @extschema@.whatsapp_usage_closed AS z GROUP BY z.time_zone);
    changed bigint;
BEGIN
    IF since IS NULL THEN
        RAISE EXCEPTION '"since" must be a day' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF since < COALESCE(oldest, since) OR oldest IS NULL THEN
        RAISE EXCEPTION 'days before % cannot be counted anew', COALESCE(oldest::text, 'today')
            USING ERRCODE = 'invalid_parameter_value',
                DETAIL = 'Messages delivered on them may have been deleted.',
                HINT = 'Give a day from which on all messages are still there.';
    END IF;
    LOCK TABLE @extschema@.whatsapp_usage_days IN SHARE ROW EXCLUSIVE MODE;
    INSERT INTO @extschema@.whatsapp_usage_changes
        (day, tenant_id, phone_number_id, market, category, free, messages)
        SELECT v.day, v.tenant_id, v.phone_number_id, v.market, v.category, v.free, sum(v.messages)
        FROM (
            SELECT d.day, d.tenant_id, d.phone_number_id, d.market, d.category, d.free, 1 AS messages
            FROM @extschema@.wa_delivered_messages AS d
            WHERE d.day >= since AND (d.created_at >= since - 32
                OR d.scheduled_at >= since - 32 AND d.scheduled_at > d.created_at
                OR d.id = ANY (ARRAY(SELECT l.message_id FROM @extschema@.whatsapp_late_deliveries AS l)))
            UNION ALL
            SELECT u.day, u.tenant_id, u.phone_number_id, u.market, u.category, u.free, - u.messages
            FROM @extschema@.wa_internal_usage AS u
            WHERE u.day >= since) AS v
        GROUP BY 1, 2, 3, 4, 5, 6
        HAVING sum(v.messages) <> 0;
    GET DIAGNOSTICS changed = ROW_COUNT;
    PERFORM @extschema@.wa_internal_note('recount_costs'::text, 'account'::text, NULL::text,
        jsonb_build_object('text', format('Counted anew since %s: %s sums have changed', since, changed)));
    RETURN changed;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_recount_costs(date) IS
'Counts the delivered messages from a day on anew, after a change of whatsapp_markets or of the time zone. Returns '
'how many sums have changed. It reads every message since. 22023: messages of that day may '
'have been deleted.';

/*
 * The free part of a month is the number's, so tenants that share a number
 * share it in proportion.  Each day is priced by the list of that day.
 *
 * A tenant and a month are looked for by index, and so is what others have used of the
 * free part: all is written so that the planner can do it.
 */
CREATE OR REPLACE VIEW @extschema@.wa_costs AS
    WITH charged AS (
        SELECT u.tenant_id, u.month, u.category, u.messages, p.currency, p.price,
            COALESCE(p.estimated OR p.category = 'marketing' AND u.category <> 'marketing', false) AS estimated,
            /* Of what is not free by Meta's word: the part beyond the allowance. */
            LEAST(u.regular, u.regular * CASE WHEN p.free_per_number > 0
                THEN GREATEST(0, a.messages - p.free_per_number) / GREATEST(a.regular, 1)
                ELSE 1 END) AS charged
        FROM (
            SELECT w.month, w.day, w.tenant_id, w.phone_number_id, w.market, w.category,
                pg_catalog.sum(w.messages) AS messages,
                COALESCE(pg_catalog.sum(w.messages) FILTER (WHERE NOT w.free), 0) AS regular
            FROM @extschema@.wa_internal_usage AS w
            GROUP BY w.month, w.day, w.tenant_id, w.phone_number_id, w.market, w.category
            HAVING pg_catalog.sum(w.messages) <> 0) AS u
            LEFT JOIN LATERAL (
                SELECT DISTINCT ON (l.currency) l.*
                FROM @extschema@.whatsapp_prices AS l
                WHERE l.market = u.market AND l.valid_from <= u.day
                    AND (pg_catalog.replace(l.category, '-', '_') = u.category
                         OR l.category = 'marketing' AND u.category = 'marketing_lite')
                ORDER BY l.currency, l.category <> 'marketing' DESC, l.valid_from DESC) AS p ON true
            LEFT JOIN LATERAL (
                SELECT pg_catalog.sum(w.messages) AS messages,
                    pg_catalog.sum(w.messages) FILTER (WHERE NOT w.free) AS regular
                FROM @extschema@.wa_internal_usage AS w
                WHERE w.phone_number_id = u.phone_number_id AND w.month = u.month AND w.category = u.category) AS a
                ON p.free_per_number > 0
    )
    SELECT c.tenant_id, c.month, c.category, c.currency,
        pg_catalog.sum(c.messages)::bigint AS delivered,
        pg_catalog.round(pg_catalog.sum(c.charged), 2) AS charged,
        pg_catalog.round(pg_catalog.sum(CASE WHEN c.charged = 0 THEN 0 ELSE c.charged * c.price END), 4) AS cost,
        pg_catalog.bool_or(c.estimated) AS price_estimated,
        pg_catalog.round(pg_catalog.sum(CASE WHEN c.charged = 0 THEN 0 ELSE c.charged * c.price END)
            * CASE WHEN c.month = pg_catalog.date_trunc('month', t.today::timestamp)::date
                   THEN EXTRACT(day FROM c.month + interval '1 month' - interval '1 day')
                       / EXTRACT(day FROM t.today)
                   ELSE 1 END, 2) AS month_estimate,
        COALESCE(pg_catalog.sum(c.charged) FILTER (WHERE c.price IS NULL), 0)::bigint AS unpriced
    FROM charged AS c
        CROSS JOIN (
            SELECT (pg_catalog.now() AT TIME ZONE @extschema@.wa_internal_known_zone(z.time_zone))::date AS today
            FROM @extschema@.whatsapp_usage_closed AS z) AS t
    GROUP BY c.tenant_id, c.month, c.category, c.currency, t.today;
COMMENT ON VIEW @extschema@.wa_costs IS
'Delivered messages and their cost, by tenant, month, category and currency. There is one row for each currency of '
'the price list, so choose one. What has no price in whatsapp_prices is a row without currency, and its cost is NULL '
'unless it is free; month_estimate projects the current month. Our own calculation, not Meta''s invoice.';
COMMENT ON COLUMN @extschema@.wa_costs.price_estimated IS
'Whether a price was converted from another currency, or is that of marketing for marketing_lite.';
COMMENT ON COLUMN @extschema@.wa_costs.unpriced IS 'Messages that are charged and have no price here.';

/* The days that 1.0.0 has not summed up.  CREATE TRIGGER has locked the messages, so nothing comes in between. */
INSERT INTO @extschema@.whatsapp_usage_days (day, tenant_id, phone_number_id, market, category, free, messages)
    SELECT d.day, d.tenant_id, d.phone_number_id, d.market, d.category, d.free, pg_catalog.count(*)
    FROM @extschema@.wa_delivered_messages AS d
    WHERE d.day > (SELECT c.through FROM @extschema@.whatsapp_usage_closed AS c)
        AND (d.created_at >= (SELECT c.through - 32 FROM @extschema@.whatsapp_usage_closed AS c)
            OR d.scheduled_at >= (SELECT c.through - 32 FROM @extschema@.whatsapp_usage_closed AS c)
                AND d.scheduled_at > d.created_at
            OR d.id = ANY (ARRAY(SELECT l.message_id FROM @extschema@.whatsapp_late_deliveries AS l)))
    GROUP BY 1, 2, 3, 4, 5, 6;

/* ---- 82-timeline ----------------------------------------------------------------- */

CREATE TABLE @extschema@.whatsapp_events (
    event_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at               timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    actor            text,
    kind             text NOT NULL,
    scope            text NOT NULL,
    key              text NOT NULL DEFAULT '',
    detail           jsonb,
    severity         text NOT NULL DEFAULT 'info'
        CONSTRAINT whatsapp_events_severity_check CHECK (severity IN ('info', 'warning', 'error')),
    tenant_id        text COLLATE "C",
    role             text COLLATE "C",
    session_role     text COLLATE "C",
    client_addr      inet,
    application_name text
);
CREATE INDEX whatsapp_events_at_idx ON @extschema@.whatsapp_events (at);
CREATE INDEX whatsapp_events_key_idx ON @extschema@.whatsapp_events (scope, key, at);
COMMENT ON TABLE @extschema@.whatsapp_events IS
'What was done and what happened: by whom, when, and from where. Rows are only added; they go when they are older than '
'whatsapp_shared.retention, or than that of their tenant. No contents, no numbers of customers, no secrets.';
COMMENT ON COLUMN @extschema@.whatsapp_events.event_id IS 'Number of the event; unique, but not always in order.';
COMMENT ON COLUMN @extschema@.whatsapp_events.at IS 'When it was done.';
COMMENT ON COLUMN @extschema@.whatsapp_events.actor IS
'Who did it: over the gateway the user that the trusted proxy named, or the role of the token; else the role of the '
'session. NULL: a process of the extension.';
COMMENT ON COLUMN @extschema@.whatsapp_events.kind IS
'What was done, such as pause, assigned, tenant_changed, settings_changed, retry_message or sender_start.';
COMMENT ON COLUMN @extschema@.whatsapp_events.scope IS
'What it was done to: account, number, tenant, template, message, alert, sender and others.';
COMMENT ON COLUMN @extschema@.whatsapp_events.key IS 'Which one of the scope; empty for the account.';
COMMENT ON COLUMN @extschema@.whatsapp_events.detail IS
'Further facts: text, a sentence; old and new, the columns that were changed.';
COMMENT ON COLUMN @extschema@.whatsapp_events.severity IS 'info, warning or error.';
COMMENT ON COLUMN @extschema@.whatsapp_events.tenant_id IS 'The tenant that it concerns; NULL: none, or all.';
COMMENT ON COLUMN @extschema@.whatsapp_events.role IS
'The session''s role at that moment (current_user outside of functions). NULL: a process of the extension.';
COMMENT ON COLUMN @extschema@.whatsapp_events.session_role IS 'The role that the session was opened with.';
COMMENT ON COLUMN @extschema@.whatsapp_events.client_addr IS 'Where the session came from; NULL: from this machine.';
COMMENT ON COLUMN @extschema@.whatsapp_events.application_name IS 'What the session called itself.';

CREATE FUNCTION @extschema@.wa_internal_event_is_old(at timestamptz, tenant text) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(at < clock_timestamp() - NULLIF(COALESCE(
        (SELECT t.retention FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = tenant),
        current_setting('whatsapp_shared.retention', true)::interval), interval '0'), false)
$$;

CREATE FUNCTION @extschema@.wa_internal_keep_events() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF @extschema@.wa_internal_event_is_old(OLD.at, OLD.tenant_id) THEN
            RETURN OLD;
        END IF;
    ELSIF TG_OP = 'UPDATE' THEN
        /* An erasure, while one is under way, takes out what names somebody. */
        IF NEW.detail IS NULL AND NEW.key IN (OLD.key, '')
           AND to_jsonb(NEW) - '{detail,key}'::text[] = to_jsonb(OLD) - '{detail,key}'::text[]
           AND EXISTS (SELECT FROM @extschema@.whatsapp_erasures AS e WHERE e.finished_at IS NULL) THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'what has been done is neither changed nor deleted'
        USING ERRCODE = 'object_not_in_prerequisite_state', TABLE = 'whatsapp_events',
              HINT = 'Rows of whatsapp_events go by themselves once they are older than whatsapp_shared.retention.';
END
$$;

/* As the script of the whole version does. */
SELECT pg_catalog.setval(pg_catalog.pg_get_serial_sequence('@extschema@.whatsapp_events', 'event_id'),
    (pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) OPERATOR(pg_catalog.*) 1000)::pg_catalog.int8);
CREATE TRIGGER whatsapp_events_kept
    BEFORE UPDATE OR DELETE ON @extschema@.whatsapp_events
    FOR EACH ROW EXECUTE FUNCTION @extschema@.wa_internal_keep_events();
CREATE TRIGGER whatsapp_events_kept_all
    BEFORE TRUNCATE ON @extschema@.whatsapp_events
    FOR EACH STATEMENT EXECUTE FUNCTION @extschema@.wa_internal_keep_events();

/*
 * For the sender: what is old goes, so many at a time.  The newest note of the
 * settings stays, because the next change is told by it.  Returns how many went.
 */
CREATE FUNCTION @extschema@.wa_internal_forget_events(most integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    done bigint;
BEGIN
    DELETE FROM @extschema@.whatsapp_events AS a WHERE a.event_id IN (
        SELECT o.event_id FROM @extschema@.whatsapp_events AS o
        WHERE o.at < clock_timestamp() - interval '1 day'
            AND @extschema@.wa_internal_event_is_old(o.at, o.tenant_id)
            AND (o.scope <> 'settings' OR o.at < (
                SELECT max(n.at) FROM @extschema@.whatsapp_events AS n WHERE n.scope = 'settings' AND n.key = ''))
        ORDER BY o.at LIMIT most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS done = ROW_COUNT;
    RETURN done;
END
$$;

/* Who is at the other end, past the functions that act for him: src/base/caller.c. */
CREATE FUNCTION @extschema@.wa_internal_caller(OUT actor text, OUT role text, OUT session_role text)
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_caller';
COMMENT ON FUNCTION @extschema@.wa_internal_caller() IS
'Who acts: the person that wa_internal_act_for() has named or else the role, the role outside of functions, and the '
'session''s. All NULL in a process of the extension. Internal.';

CREATE FUNCTION @extschema@.wa_internal_act_for(actor text, calls boolean DEFAULT true) RETURNS void
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_act_for';
COMMENT ON FUNCTION @extschema@.wa_internal_act_for(text, boolean) IS
'Names the person for whom the rest of this statement acts. calls: what it does with single messages is noted, each. '
'Internal.';

CREATE FUNCTION @extschema@.wa_internal_is_restoring() RETURNS boolean
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_is_restoring';
COMMENT ON FUNCTION @extschema@.wa_internal_is_restoring() IS
'Whether rows come from a dump: check_function_bodies is off, as in what pg_dump writes, and no function of ours is '
'writing them. Internal.';

CREATE FUNCTION @extschema@.wa_internal_log_event(word text, subject text, what text, actor text) RETURNS void
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_internal_log_event';
COMMENT ON FUNCTION @extschema@.wa_internal_log_event(text, text, text, text) IS
'Writes a line into the server''s log at COMMIT, if the word is one of those that docs/operating.md lists. Internal.';

/* What writes events, but for calls about one message: src/base/caller.c. */
CREATE FUNCTION @extschema@.wa_internal_note(
    a_kind text,
    a_scope text,
    a_key text,
    a_detail jsonb DEFAULT NULL,
    a_severity text DEFAULT 'info',
    a_tenant text DEFAULT NULL)
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    caller CONSTANT record := @extschema@.wa_internal_caller();
BEGIN
    INSERT INTO @extschema@.whatsapp_events (actor, kind, scope, key, detail, severity, tenant_id, role, session_role,
            client_addr, application_name)
        VALUES (left(caller.actor, 200), a_kind, a_scope, left(COALESCE(a_key, ''), 255), a_detail, a_severity,
            a_tenant, caller.role, caller.session_role, inet_client_addr(),
            NULLIF(current_setting('application_name'), ''));
    PERFORM @extschema@.wa_internal_log_event(a_kind, concat_ws(' ', a_scope, NULLIF(a_key, '')),
        a_detail ->> 'text', caller.actor);
END
$$;

/* The columns that differ, as they were and as they are; of long ones only that they differ. */
CREATE FUNCTION @extschema@.wa_internal_changes(was jsonb, now_is jsonb, OUT old jsonb, OUT new jsonb, OUT text text)
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_object_agg(c.key, c.was), jsonb_object_agg(c.key, c.now_is),
           string_agg(format('%s: %s → %s', c.key, COALESCE(c.was #>> '{}', 'none'),
               COALESCE(c.now_is #>> '{}', 'none')), ', ' ORDER BY c.key)
    FROM (SELECT n.key,
                 CASE WHEN l.is_long THEN '"…"' ELSE was -> n.key END AS was,
                 CASE WHEN l.is_long THEN '"…"' ELSE n.value END AS now_is
          FROM jsonb_each(now_is) AS n
              CROSS JOIN LATERAL (
                  SELECT GREATEST(length((was -> n.key)::text), length(n.value::text)) > 300) AS l (is_long)
          WHERE n.value IS DISTINCT FROM was -> n.key
              AND n.key <> ALL ('{updated_at,synced_at,created_at}'::text[])) AS c
$$;

/*
 * For each row that a trigger below lets through.  Its first argument is the scope,
 * the second the columns that make the key, the third the word for a new row, for a
 * changed one and for one that is gone.
 */
CREATE FUNCTION @extschema@.wa_internal_note_row() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    was CONSTANT jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) - 'key_hash'::text END;
    now_is CONSTANT jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) - 'key_hash'::text END;
    r CONSTANT jsonb := COALESCE(now_is, was);
    words CONSTANT text[] := string_to_array(TG_ARGV[2], ',');
    c CONSTANT record := @extschema@.wa_internal_changes(was, now_is);
    word text := CASE TG_OP WHEN 'INSERT' THEN words[1] WHEN 'UPDATE' THEN words[2] ELSE words[3] END;
    what text := (SELECT string_agg(r ->> k.name, '/' ORDER BY k.ordinality)
                  FROM unnest(string_to_array(TG_ARGV[1], ',')) WITH ORDINALITY AS k (name, ordinality));
    scope text := TG_ARGV[0];
    text text;
    severity text := 'info';
    facts jsonb := '{}';
BEGIN
    IF TG_OP = 'UPDATE' AND c.new IS NULL THEN
        RETURN NULL;
    END IF;
    text := CASE TG_OP WHEN 'INSERT' THEN 'New' WHEN 'UPDATE' THEN 'Changed ' || c.text ELSE 'Removed' END;
    IF TG_OP = 'UPDATE' THEN
        facts := jsonb_build_object('old', c.old, 'new', c.new);
    ELSIF TG_OP = 'DELETE' THEN
        facts := jsonb_build_object('old', jsonb_strip_nulls(was - '{components}'::text[]));
    END IF;
    CASE TG_TABLE_NAME
        WHEN 'whatsapp_pauses' THEN
            scope := r ->> 'scope';
            facts := facts || jsonb_strip_nulls(jsonb_build_object('reason', r -> 'reason', 'until', r -> 'until',
                'error_code', r -> 'error_code', 'automatic', r -> 'automatic'));
            IF TG_OP = 'DELETE' THEN
                text := 'Resumed';
            ELSE
                severity := CASE WHEN scope = 'account' THEN 'error' ELSE 'warning' END;
                text := concat_ws(', ', format('Paused: %s', concat_ws(': ', r ->> 'reason', r ->> 'detail')),
                    'until ' || date_trunc('second', (r ->> 'until')::timestamptz)::text);
            END IF;
        WHEN 'whatsapp_phone_assignments' THEN
            text := CASE WHEN word = 'assigned' THEN 'Got' ELSE 'Lost' END || format(' number %s', (
                SELECT concat_ws(', ', p.phone_number_id, p.display_phone_number)
                FROM @extschema@.whatsapp_phone_numbers AS p WHERE p.phone_number_id = r ->> 'phone_number_id'));
            facts := jsonb_build_object('phone_number_id', r -> 'phone_number_id');
        WHEN 'whatsapp_alerts' THEN
            scope := r ->> 'scope';
            severity := r ->> 'severity';
            facts := jsonb_build_object('kind', r -> 'kind', 'alert_id', r -> 'alert_id');
            text := r ->> 'message';
            /* The key is a customer's number, and the sentence may name it. */
            IF scope = 'recipient' THEN
                what := '';
                text := COALESCE((SELECT k.title FROM @extschema@.wa_internal_alert_kinds() AS k
                                  WHERE k.kind = r ->> 'kind'), r ->> 'kind');
            END IF;
            IF TG_OP = 'UPDATE' AND r ->> 'resolved_at' IS NOT NULL THEN
                word := 'alert_resolved';
                severity := 'info';
                text := 'Over: ' || text;
            ELSIF TG_OP = 'UPDATE' THEN
                facts := facts || jsonb_build_object('old', c.old, 'new', c.new);
            END IF;
            IF r ->> 'kind' = 'network' AND TG_OP <> 'DELETE' AND word <> 'alert_changed' THEN
                word := CASE word WHEN 'alert' THEN 'outage' ELSE 'outage_over' END;
            END IF;
        WHEN 'whatsapp_home' THEN
            severity := 'warning';
            facts := '{}';
            IF r ->> 'doubt' IS NOT NULL THEN
                word := 'doubt';
                text := r ->> 'doubt' || ' Nothing is sent.';
            ELSIF TG_OP = 'INSERT' THEN
                text := 'At home here';
            ELSE
                word := 'takeover';
                text := 'This server was promoted and has taken over';
            END IF;
        WHEN 'whatsapp_phone_numbers', 'whatsapp_templates' THEN
            IF TG_OP = 'UPDATE' AND c.new ? 'missing_since' THEN
                severity := CASE WHEN r ->> 'missing_since' IS NULL THEN 'info' ELSE 'warning' END;
                IF severity = 'warning' THEN
                    word := scope || '_missing';
                    text := format('Meta no longer lists the %s', scope);
                END IF;
            END IF;
        WHEN 'whatsapp_node_numbers' THEN
            text := CASE WHEN TG_OP = 'DELETE' THEN text WHEN r ->> 'node' IS NULL THEN 'Back in this database'
                         ELSE format('To node "%s"', r ->> 'node') END;
        WHEN 'whatsapp_tenants' THEN
            IF TG_OP = 'INSERT' THEN
                text := 'Created';
            END IF;
        WHEN 'whatsapp_tenant_links' THEN
            text := CASE TG_OP WHEN 'INSERT' THEN format('Made a link, valid until %s',
                        date_trunc('second', (r ->> 'expires_at')::timestamptz)) ELSE 'Revoked a link' END;
            facts := jsonb_build_object('page', r -> 'page');
        WHEN 'whatsapp_tenant_roles' THEN
            text := CASE TG_OP WHEN 'DELETE' THEN 'No longer bound: role ' ELSE 'Bound: role ' END || (r ->> 'role');
            facts := jsonb_build_object('role', r -> 'role');
        WHEN 'whatsapp_erasures' THEN
            /* Of a person it must not be known whom. */
            scope := r ->> 'kind';
            what := CASE scope WHEN 'tenant' THEN r ->> 'subject' ELSE '' END;
            text := format('Erasing a %s', scope);
            facts := jsonb_build_object('erasure_id', r -> 'erasure_id');
        ELSE
            NULL;
    END CASE;
    PERFORM @extschema@.wa_internal_note(word, scope, what,
        facts || jsonb_strip_nulls(jsonb_build_object('text', text)), severity,
        COALESCE(r ->> 'tenant_id', CASE scope WHEN 'tenant' THEN what END));
    RETURN NULL;
END
$$;

/*
 * What is worth an event, table by table.  A condition keeps out what changes with
 * every synchronisation, and costs a comparison for each row then.
 */
CREATE TRIGGER whatsapp_tenants_noted
    AFTER INSERT OR DELETE ON @extschema@.whatsapp_tenants
    FOR EACH ROW WHEN (NOT @extschema@.wa_internal_is_restoring())
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('tenant', 'tenant_id', 'tenant,,tenant_removed');
CREATE TRIGGER whatsapp_tenants_change_noted
    AFTER UPDATE ON @extschema@.whatsapp_tenants
    FOR EACH ROW WHEN (pg_catalog.to_jsonb(OLD) OPERATOR(pg_catalog.-) 'updated_at'::text
        IS DISTINCT FROM pg_catalog.to_jsonb(NEW) OPERATOR(pg_catalog.-) 'updated_at'::text)
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('tenant', 'tenant_id', ',tenant_changed,');

CREATE TRIGGER whatsapp_phone_numbers_noted
    AFTER INSERT OR DELETE ON @extschema@.whatsapp_phone_numbers
    FOR EACH ROW WHEN (NOT @extschema@.wa_internal_is_restoring())
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('number', 'phone_number_id', 'number,,number_removed');
CREATE TRIGGER whatsapp_phone_numbers_change_noted
    AFTER UPDATE ON @extschema@.whatsapp_phone_numbers
    FOR EACH ROW WHEN ((OLD.display_phone_number, OLD.verified_name, OLD.status, OLD.quality_rating,
            OLD.code_verification_status, OLD.name_status, OLD.platform_type, OLD.account_mode, OLD.throughput_level,
            OLD.messaging_limit, OLD.messages_per_second, OLD.rate_factor, OLD.rate_reason, OLD.flagged_at,
            OLD.limit_lowered_from, OLD.source, OLD.missing_since, OLD.is_on_biz_app)
        IS DISTINCT FROM (NEW.display_phone_number, NEW.verified_name, NEW.status, NEW.quality_rating,
            NEW.code_verification_status, NEW.name_status, NEW.platform_type, NEW.account_mode, NEW.throughput_level,
            NEW.messaging_limit, NEW.messages_per_second, NEW.rate_factor, NEW.rate_reason, NEW.flagged_at,
            NEW.limit_lowered_from, NEW.source, NEW.missing_since, NEW.is_on_biz_app))
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('number', 'phone_number_id', ',number_changed,');

CREATE TRIGGER whatsapp_phone_assignments_noted
    AFTER INSERT OR DELETE ON @extschema@.whatsapp_phone_assignments
    FOR EACH ROW WHEN (NOT @extschema@.wa_internal_is_restoring())
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('tenant', 'tenant_id', 'assigned,,assignment_removed');
CREATE TRIGGER whatsapp_phone_assignments_change_noted
    AFTER UPDATE ON @extschema@.whatsapp_phone_assignments
    FOR EACH ROW WHEN (OLD.unassigned_at IS NULL AND NEW.unassigned_at IS NOT NULL)
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('tenant', 'tenant_id', ',unassigned,');

/* An automatic pause that is prolonged is no news. */
CREATE TRIGGER whatsapp_pauses_noted
    AFTER INSERT OR DELETE ON @extschema@.whatsapp_pauses
    FOR EACH ROW WHEN (NOT @extschema@.wa_internal_is_restoring())
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('', 'key', 'pause,,resume');
CREATE TRIGGER whatsapp_pauses_change_noted
    AFTER UPDATE ON @extschema@.whatsapp_pauses
    FOR EACH ROW WHEN (OLD.reason IS DISTINCT FROM NEW.reason OR OLD.automatic IS DISTINCT FROM NEW.automatic
        OR NOT NEW.automatic AND OLD.until IS DISTINCT FROM NEW.until)
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('', 'key', ',pause_changed,');

/* A pause tells of itself; alerts about a message go with it; and repetitions are counted there. */
CREATE TRIGGER whatsapp_alerts_noted
    AFTER INSERT ON @extschema@.whatsapp_alerts
    FOR EACH ROW WHEN (NEW.kind IS DISTINCT FROM 'paused' AND NEW.scope IS DISTINCT FROM 'message'
        AND NOT @extschema@.wa_internal_is_restoring())
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('', 'key', 'alert,,');
CREATE TRIGGER whatsapp_alerts_change_noted
    AFTER UPDATE ON @extschema@.whatsapp_alerts
    FOR EACH ROW WHEN (NEW.kind IS DISTINCT FROM 'paused' AND NEW.scope IS DISTINCT FROM 'message'
        AND (OLD.severity IS DISTINCT FROM NEW.severity OR OLD.resolved_at IS DISTINCT FROM NEW.resolved_at))
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('', 'key', ',alert_changed,');

CREATE TRIGGER whatsapp_templates_noted
    AFTER INSERT OR DELETE ON @extschema@.whatsapp_templates
    FOR EACH ROW WHEN (NOT @extschema@.wa_internal_is_restoring())
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('template', 'name,language', 'template,,template_removed');
CREATE TRIGGER whatsapp_templates_change_noted
    AFTER UPDATE ON @extschema@.whatsapp_templates
    FOR EACH ROW WHEN ((OLD.template_id, OLD.category, OLD.status, OLD.quality, OLD.rejected_reason,
            OLD.parameter_format, OLD.components, OLD.source, OLD.missing_since)
        IS DISTINCT FROM (NEW.template_id, NEW.category, NEW.status, NEW.quality, NEW.rejected_reason,
            NEW.parameter_format, NEW.components, NEW.source, NEW.missing_since))
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('template', 'name,language', ',template_changed,');

CREATE TRIGGER whatsapp_home_noted
    AFTER INSERT ON @extschema@.whatsapp_home
    FOR EACH ROW WHEN (NOT @extschema@.wa_internal_is_restoring())
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('installation', 'installation_id', 'adopted,,');
CREATE TRIGGER whatsapp_home_change_noted
    AFTER UPDATE ON @extschema@.whatsapp_home
    FOR EACH ROW WHEN (OLD.adopted_at IS DISTINCT FROM NEW.adopted_at OR OLD.doubt IS DISTINCT FROM NEW.doubt)
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('installation', 'installation_id', ',takeover,');
ALTER TABLE @extschema@.whatsapp_home ENABLE ALWAYS TRIGGER whatsapp_home_change_noted;

CREATE TRIGGER whatsapp_erasures_noted
    AFTER INSERT ON @extschema@.whatsapp_erasures
    FOR EACH ROW WHEN (NOT @extschema@.wa_internal_is_restoring())
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('', 'kind', 'erase,,');

CREATE TRIGGER whatsapp_reply_handlers_noted
    AFTER INSERT OR UPDATE OR DELETE ON @extschema@.whatsapp_reply_handlers
    FOR EACH ROW WHEN (NOT @extschema@.wa_internal_is_restoring())
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('reply handler', 'prefix',
        'handler,handler_changed,handler_removed');

CREATE TRIGGER whatsapp_notifications_noted
    AFTER INSERT OR UPDATE OR DELETE ON @extschema@.whatsapp_notifications
    FOR EACH ROW WHEN (NOT @extschema@.wa_internal_is_restoring())
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('notification', 'relation,name',
        'notification,notification_changed,notification_removed');

CREATE TRIGGER whatsapp_nodes_noted
    AFTER INSERT OR DELETE ON @extschema@.whatsapp_nodes
    FOR EACH ROW WHEN (NOT @extschema@.wa_internal_is_restoring())
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('node', 'node', 'node,,node_removed');
CREATE TRIGGER whatsapp_nodes_change_noted
    AFTER UPDATE ON @extschema@.whatsapp_nodes
    FOR EACH ROW WHEN ((OLD.url, OLD.max_waiting) IS DISTINCT FROM (NEW.url, NEW.max_waiting))
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('node', 'node', ',node_changed,');

CREATE TRIGGER whatsapp_node_numbers_noted
    AFTER INSERT OR DELETE ON @extschema@.whatsapp_node_numbers
    FOR EACH ROW WHEN (NOT @extschema@.wa_internal_is_restoring())
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('number', 'phone_number_id', 'number_to_node,,number_removed');
CREATE TRIGGER whatsapp_node_numbers_change_noted
    AFTER UPDATE ON @extschema@.whatsapp_node_numbers
    FOR EACH ROW WHEN (OLD.node IS DISTINCT FROM NEW.node)
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('number', 'phone_number_id', ',number_moved,');

/* What the operator sets in tables. */
CREATE TRIGGER whatsapp_damage_policies_noted
    AFTER INSERT OR UPDATE OR DELETE ON @extschema@.whatsapp_damage_policies
    FOR EACH ROW WHEN (NOT @extschema@.wa_internal_is_restoring())
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('damage policy', 'event',
        'policy,policy_changed,policy_removed');
CREATE TRIGGER whatsapp_opt_words_noted
    AFTER INSERT OR UPDATE OR DELETE ON @extschema@.whatsapp_opt_words
    FOR EACH ROW WHEN (NOT @extschema@.wa_internal_is_restoring())
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('opt word', 'word,language', 'word,word_changed,word_removed');
CREATE TRIGGER whatsapp_prices_noted
    AFTER INSERT OR UPDATE OR DELETE ON @extschema@.whatsapp_prices
    FOR EACH ROW WHEN (NOT @extschema@.wa_internal_is_restoring())
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('price', 'market,category,currency,valid_from',
        'price,price_changed,price_removed');
CREATE TRIGGER whatsapp_markets_noted
    AFTER INSERT OR UPDATE OR DELETE ON @extschema@.whatsapp_markets
    FOR EACH ROW WHEN (NOT @extschema@.wa_internal_is_restoring())
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('market', 'calling_code',
        'market,market_changed,market_removed');

/*
 * A sender begins.  Its predecessor has said that it ended, or it did not end in good
 * order: it crashed, or the server did, or the machine.
 */
CREATE FUNCTION @extschema@.wa_internal_note_sender_start(
    sender integer, pid integer, server_started_at timestamptz, launcher_started_at timestamptz)
RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    former @extschema@.whatsapp_events;
    launcher timestamptz;
BEGIN
    SELECT a.* INTO former FROM @extschema@.whatsapp_events AS a
        WHERE a.scope = 'sender' AND a.key = sender::text ORDER BY a.at DESC, a.event_id DESC LIMIT 1;
    /* What was adopted since has another's past. */
    IF former.kind = 'sender_start' AND NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_events AS a
            WHERE a.scope = 'installation' AND a.kind = 'adopted' AND a.at > former.at) THEN
        PERFORM @extschema@.wa_internal_note('sender_crash'::text, 'sender'::text, sender::text, jsonb_build_object(
            'pid', former.detail -> 'pid', 'started_at', former.at, 'text', format(
                'The sender that began at %s (process %s) did not end in good order', date_trunc('second', former.at),
                former.detail ->> 'pid')), 'warning'::text);
    END IF;
    IF sender = 0 THEN
        SELECT (a.detail ->> 'started_at')::timestamptz INTO launcher FROM @extschema@.whatsapp_events AS a
            WHERE a.scope = 'launcher' AND a.key = '' ORDER BY a.at DESC, a.event_id DESC LIMIT 1;
        IF launcher IS DISTINCT FROM launcher_started_at THEN
            PERFORM @extschema@.wa_internal_note('launcher_start'::text, 'launcher'::text, NULL::text,
                jsonb_build_object('started_at', launcher_started_at, 'server_started_at', server_started_at, 'text',
                format('The launcher began at %s, the server at %s', date_trunc('second', launcher_started_at),
                    date_trunc('second', server_started_at))));
        END IF;
    END IF;
    PERFORM @extschema@.wa_internal_note('sender_start'::text, 'sender'::text, sender::text,
        jsonb_build_object('pid', pid, 'text', format('Started (process %s)', pid)));
END
$$;

CREATE FUNCTION @extschema@.wa_internal_note_sender_stop(sender integer, pid integer) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT @extschema@.wa_internal_note('sender_stop'::text, 'sender'::text, sender::text,
        jsonb_build_object('pid', pid, 'text', format('Ended in good order (process %s)', pid)))
$$;

/* The settings of this server as everybody may know them. */
CREATE FUNCTION @extschema@.wa_internal_settings() RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_object_agg(s.name, current_setting(s.name, true))
    FROM pg_settings AS s
    WHERE s.name LIKE 'whatsapp\_shared.%' AND s.name <> 'whatsapp_shared.tenant'
        AND s.name !~ '_file$|access_token|app_secret|verify_token'
$$;

/*
 * For sender 0, at its start and after a reload: what is not as it was when it was
 * last written down.  secrets: settings that have another value than before, of
 * which nobody is to know more.
 */
CREATE FUNCTION @extschema@.wa_internal_note_settings(secrets text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    now_is CONSTANT jsonb := @extschema@.wa_internal_settings();
    known CONSTANT jsonb := (
        SELECT a.detail -> 'settings' FROM @extschema@.whatsapp_events AS a
        WHERE a.scope = 'settings' AND a.key = '' ORDER BY a.at DESC, a.event_id DESC LIMIT 1);
    c CONSTANT record := @extschema@.wa_internal_changes(known, now_is);
BEGIN
    IF known IS NULL THEN
        PERFORM @extschema@.wa_internal_note('settings'::text, 'settings'::text, NULL::text,
            jsonb_build_object('text', 'First known', 'settings', now_is));
    ELSIF c.new IS NOT NULL THEN
        PERFORM @extschema@.wa_internal_note('settings_changed'::text, 'settings'::text, NULL::text,
            jsonb_build_object('text', c.text, 'old', c.old, 'new', c.new, 'settings', now_is));
    END IF;
    PERFORM @extschema@.wa_internal_note('secret_changed'::text, 'secret'::text, s.name,
            jsonb_build_object('text', 'Changed'))
        FROM unnest(secrets) AS s (name);
END
$$;

/* The ends of the time that is asked for: nothing must not look like "nothing has happened". */
CREATE FUNCTION @extschema@.wa_internal_check_span(began timestamptz, ended timestamptz) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_check_not_null('began'::text, began);
    PERFORM @extschema@.wa_internal_check_not_null('ended'::text, ended);
    IF ended < began THEN
        RAISE EXCEPTION 'the time from % to % ends before it begins', began, ended
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give the earlier end first.';
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_timeline(
    began timestamptz DEFAULT pg_catalog.now() - interval '7 days',
    ended timestamptz DEFAULT 'infinity')
RETURNS TABLE (at timestamptz, kind text, severity text, subject text, text text, actor text, role text,
    session_role text, client_addr inet, application_name text, tenant_id text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    ROWS 1000
AS $$
    SELECT @extschema@.wa_internal_check_span(began, ended);
    SELECT e.at, e.kind, e.severity, e.subject, e.text, e.actor, e.role, e.session_role, e.client_addr,
           e.application_name, e.tenant_id
    FROM (
        SELECT a.at, a.event_id AS place, a.kind, a.severity,
               concat_ws(' ', NULLIF(a.scope, ''), NULLIF(a.key, '')) AS subject, a.detail ->> 'text' AS text, a.actor,
               a.role, a.session_role, a.client_addr, a.application_name, a.tenant_id
            FROM @extschema@.whatsapp_events AS a WHERE a.at >= began AND a.at < ended
        UNION ALL
        /* alerts of single messages, and their ends */
        SELECT a.created_at, a.alert_id, 'alert', a.severity, concat_ws(' ', a.scope, a.key), a.message, NULL,
               NULL, NULL, NULL, NULL, NULL
            FROM @extschema@.whatsapp_alerts AS a
            WHERE a.scope = 'message' AND a.created_at >= began AND a.created_at < ended
        UNION ALL
        SELECT a.resolved_at, a.alert_id, 'alert_resolved', 'info', concat_ws(' ', a.scope, a.key),
               'Over: ' || a.message, NULL, NULL, NULL, NULL, NULL, NULL
            FROM @extschema@.whatsapp_alerts AS a
            WHERE a.scope = 'message' AND a.resolved_at >= began AND a.resolved_at < ended
        UNION ALL
        /* what Meta has said about the account: when it came, which has an index */
        SELECT v.received_at, v.event_id, 'event', 'info', concat_ws(' ', v.field, NULLIF(v.key, '')),
               concat_ws(' ', 'Meta reports', v.field, COALESCE(v.value ->> 'event', v.value ->> 'decision')), NULL,
               NULL, NULL, NULL, NULL, NULL
            FROM @extschema@.whatsapp_account_events AS v
            WHERE v.received_at >= began AND v.received_at < ended
                AND NOT @extschema@.wa_internal_event_is_ignored(v.field)
                AND v.field NOT IN ('smb_message_echoes', 'history', 'standby', 'message_echoes',
                    /* Their keys are customers. */
                    'messaging_handovers', 'user_preferences')
        UNION ALL
        SELECT s.finished_at, 0, 'sync', 'info', s.kind, format('Read from Meta: %s', s.items), NULL,
               NULL, NULL, NULL, NULL, NULL
            FROM @extschema@.whatsapp_sync AS s WHERE s.finished_at >= began AND s.finished_at < ended
        UNION ALL
        SELECT s.started_at, 0, 'sync', 'warning', s.kind, format('Could not be read from Meta: %s', s.error), NULL,
               NULL, NULL, NULL, NULL, NULL
            FROM @extschema@.whatsapp_sync AS s
            WHERE s.error IS NOT NULL AND s.started_at >= began AND s.started_at < ended) AS e
    ORDER BY e.at, e.place
$$;
COMMENT ON FUNCTION @extschema@.wa_timeline(timestamptz, timestamptz) IS
'What happened from one time to another, in order, and who did it from where: starts, ends and crashes of senders, '
'outages, pauses and their ends, alerts, changed settings, tenants, numbers, assignments and templates, what Meta has '
'said about the account, and calls that operators made. No contents, no numbers of customers, no secrets. 22004: an '
'end is null; 22023: the second lies before the first.';

/* ---- 84-find --------------------------------------------------------------------- */

/*
 * Everything that is known to be the address of whom the text may mean: a phone
 * number as people write it, a user ID, or a user name behind "@".
 */
CREATE FUNCTION @extschema@.wa_internal_find_people(q text) RETURNS text[]
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN q ~ '^\+?[0-9 ().-]{5,40}$' AND length(@extschema@.wa_internal_digits(q)) BETWEEN 5 AND 20 THEN
            @extschema@.wa_internal_forms_of(ARRAY['+' || @extschema@.wa_internal_digits(q)])
        WHEN q ~ '^[A-Z]{2}\.[A-Za-z0-9.]{1,132}$' THEN
            @extschema@.wa_internal_forms_of(ARRAY[q])
        WHEN q ~ '^@.{1,255}$' THEN
            @extschema@.wa_internal_forms_of(ARRAY(
                SELECT COALESCE(c.user_id, '+' || c.wa_id) FROM @extschema@.whatsapp_contacts AS c
                WHERE c.username IN (substr(q, 2), lower(substr(q, 2)))))
        ELSE '{}'
        END
$$;

/*
 * The newest messages under this name, at most so many of each kind.
 *
 * An idempotency key belongs to a tenant, so it is asked for with each of them:
 * 10,000 tenants are some 20 ms, which nobody pays at an enqueue.
 */
CREATE FUNCTION @extschema@.wa_internal_find(wanted text, most integer)
RETURNS TABLE (message_id bigint, found_by text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
    SET enable_seqscan = off
    SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
    q CONSTANT text := btrim(wanted, E' \t\r\n');
    people CONSTANT text[] := @extschema@.wa_internal_find_people(q);
BEGIN
    IF q ~ '^#?[0-9]{1,18}$' THEN
        RETURN QUERY
            SELECT m.id, 'id'::text FROM @extschema@.whatsapp_messages AS m WHERE m.id = ltrim(q, '#')::bigint;
    END IF;
    RETURN QUERY
        SELECT w.message_id, 'whatsapp_message_id'::text
        FROM @extschema@.whatsapp_wamids AS w WHERE w.whatsapp_message_id = q
        LIMIT most;
    RETURN QUERY
        SELECT i.message_id, 'answer'::text
        FROM @extschema@.whatsapp_inbound_messages AS i
        WHERE i.whatsapp_message_id = q AND i.message_id IS NOT NULL;
    RETURN QUERY
        SELECT m.id, 'reference'::text
        FROM @extschema@.whatsapp_messages AS m WHERE m.reference = q
        ORDER BY m.id DESC LIMIT most;
    RETURN QUERY
        SELECT m.id, 'idempotency_key'::text
        FROM @extschema@.whatsapp_tenants AS t
            CROSS JOIN LATERAL (
                SELECT o.id FROM @extschema@.whatsapp_messages AS o
                WHERE o.tenant_id = t.tenant_id AND o.idempotency_key = q) AS m
        LIMIT most;
    RETURN QUERY
        SELECT m.id, 'recipient'::text
        FROM unnest(people) AS p (form)
            CROSS JOIN LATERAL (
                SELECT o.id FROM @extschema@.whatsapp_messages AS o
                WHERE o.recipient_phone = p.form
                ORDER BY o.id DESC LIMIT most) AS m
        WHERE p.form LIKE '+%'
        UNION ALL
        SELECT m.id, 'recipient'::text
        FROM unnest(people) AS p (form)
            CROSS JOIN LATERAL (
                SELECT o.id FROM @extschema@.whatsapp_messages AS o
                WHERE o.recipient_user_id = p.form AND o.recipient_phone IS NULL
                ORDER BY o.id DESC LIMIT most) AS m
        WHERE p.form NOT LIKE '+%';
    /* What somebody has answered, in words: they are rare, and not old. */
    IF length(q) BETWEEN 3 AND 200 THEN
        RETURN QUERY
            SELECT a.message_id, 'answer'::text
            FROM (SELECT i.inbound_id, i.message_id, i.text FROM @extschema@.whatsapp_inbound_messages AS i
                  ORDER BY i.inbound_id DESC LIMIT 3000) AS a
            WHERE a.message_id IS NOT NULL AND strpos(lower(a.text), lower(q)) > 0
            ORDER BY a.inbound_id DESC LIMIT most;
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_find(text, integer) IS
'The newest messages that a name leads to, at most so many of each kind of name. Internal.';

CREATE FUNCTION @extschema@.wa_find(
    wanted text,
    most   integer DEFAULT 50)
RETURNS TABLE (id bigint, tenant_id text, phone_number_id text, recipient text, message_type text, template_name text,
    reference text, status text, status_reason text, error_code integer, created_at timestamptz, found_by text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    bound CONSTANT text := @extschema@.wa_internal_bound_tenant();
BEGIN
    PERFORM @extschema@.wa_internal_check_not_null('wanted'::text, wanted);
    PERFORM @extschema@.wa_internal_check_not_null('most'::text, most);
    IF btrim(wanted) = '' THEN
        RAISE EXCEPTION 'there is nothing to be found by an empty text'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give the ID, wamid, reference, idempotency key or recipient of a message, or words of an '
                      'answer.';
    ELSIF most NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION 'invalid value of most: %', most
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Use 1 to 1000.';
    END IF;
    RETURN QUERY
        SELECT m.id, m.tenant_id, m.phone_number_id, COALESCE(m.recipient_phone, m.recipient_user_id), m.message_type,
            m.template_name, m.reference, m.status, m.status_reason, m.error_code, m.created_at, f.found_by
        FROM (SELECT n.message_id, string_agg(DISTINCT n.found_by, ', ' ORDER BY n.found_by)
              FROM @extschema@.wa_internal_find(wanted, most) AS n
              GROUP BY n.message_id
              ORDER BY n.message_id DESC) AS f (message_id, found_by)
            JOIN @extschema@.whatsapp_messages AS m ON m.id = f.message_id
        WHERE bound IS NULL OR m.tenant_id = bound
        ORDER BY m.id DESC
        LIMIT most;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_find(text, integer) IS
'The newest messages that a text leads to: the ID of a message, a wamid (its own or that of an answer to it), a '
'reference, an idempotency key, a recipient (phone number in any form, business-scoped user ID, @username), or words '
'of one of the 3,000 newest answers. found_by: what it was found by. Errors: 22004, 22023.';

/* ---- 85-monitoring --------------------------------------------------------------- */

/*
 * One word for a number's health, the worst first:
 * missing, blocked, paused, unreachable, at_risk, degraded, unknown, ok.
 */
CREATE FUNCTION @extschema@.wa_internal_number_health(
    status text, quality_rating text, missing boolean, paused boolean, unreachable boolean) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    /* Parsed now, and part of the view's own plan: it is asked for each of 10,000 numbers. */
    RETURN CASE
        WHEN missing THEN 'missing'
        WHEN status IN ('BANNED', 'DELETED', 'DISCONNECTED', 'MIGRATED', 'UNVERIFIED', 'PENDING', 'OFFLINE')
            THEN 'blocked'
        WHEN paused THEN 'paused'
        WHEN unreachable THEN 'unreachable'
        WHEN status IN ('FLAGGED', 'RESTRICTED') OR quality_rating = 'RED' THEN 'at_risk'
        WHEN status = 'RATE_LIMITED' OR quality_rating = 'YELLOW' THEN 'degraded'
        WHEN status IS NULL OR status <> 'CONNECTED' THEN 'unknown'
        ELSE 'ok' END;

/*
 * Messages per second at best: the operator's figure, Meta's level, or the setting, within
 * what a number may send that is also in the app, lowered by damage control.
 */
CREATE FUNCTION @extschema@.wa_internal_number_rate(
    own real, throughput_level text, is_on_biz_app boolean, factor real) RETURNS real
    LANGUAGE sql STABLE
    RETURN COALESCE(factor, 1) * LEAST(COALESCE(own, CASE throughput_level WHEN 'HIGH' THEN 1000 END,
        pg_catalog.current_setting('whatsapp_shared.messages_per_second', true)::real, 80),
        CASE WHEN is_on_biz_app THEN 20 END);

CREATE OR REPLACE VIEW @extschema@.wa_number_status AS
SELECT p.phone_number_id,
       p.display_phone_number,
       p.verified_name,
       a.tenant_id,
       a.assigned_at,
       @extschema@.wa_internal_number_health(p.status, p.quality_rating,
           p.missing_since IS NOT NULL, x.scope IS NOT NULL, t.alert_id IS NOT NULL) AS health,
       p.status,
       p.quality_rating,
       p.name_status,
       p.throughput_level,
       p.messaging_limit,
       @extschema@.wa_internal_number_rate(
           p.messages_per_second, p.throughput_level, p.is_on_biz_app, p.rate_factor)
           AS messages_per_second,
       p.rate_reason,
       x.reason AS pause_reason,
       x.until AS paused_until,
       w.last_webhook_at,
       p.synced_at,
       p.missing_since,
       t.message AS trouble
FROM @extschema@.whatsapp_phone_numbers AS p
    LEFT JOIN @extschema@.whatsapp_phone_assignments AS a
        ON a.phone_number_id = p.phone_number_id AND a.unassigned_at IS NULL
    LEFT JOIN @extschema@.whatsapp_pauses AS x
        ON x.scope = 'number' AND x.key = p.phone_number_id
    LEFT JOIN @extschema@.whatsapp_webhook_traffic AS w
        ON w.phone_number_id = p.phone_number_id
    LEFT JOIN @extschema@.whatsapp_alerts AS t
        ON t.kind = 'network' AND t.scope = 'number' AND t.key = p.phone_number_id AND t.resolved_at IS NULL;
COMMENT ON VIEW @extschema@.wa_number_status IS
'Every number: its tenant, what Meta reports about it, and its health in one word: ok, unknown (not read from Meta '
'yet), degraded, at_risk, unreachable (its requests are not answered), paused, blocked or missing.';
COMMENT ON COLUMN @extschema@.wa_number_status.health IS
'ok, unknown, degraded, at_risk, unreachable, paused, blocked or missing.';
COMMENT ON COLUMN @extschema@.wa_number_status.trouble IS
'What happens to its requests while those of other numbers are answered; NULL: nothing of the kind.';

DROP FUNCTION @extschema@.wa_internal_number_health(text, text, boolean, boolean);

DROP FUNCTION @extschema@.wa_internal_number_rate(real, text, real);

CREATE OR REPLACE VIEW @extschema@.wa_tenant_status AS
SELECT t.tenant_id,
       t.enabled AS whatsapp_enabled,
       n.phone_number_id,
       n.display_phone_number,
       n.verified_name,
       n.assigned_at,
       CASE WHEN NOT t.enabled THEN 'disabled'
            WHEN x.scope IS NOT NULL THEN 'paused'
            WHEN n.phone_number_id IS NULL AND d.default_number IS NULL THEN 'no_number'
            WHEN n.health IN ('missing', 'blocked', 'paused', 'unreachable') THEN 'number_' || n.health
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
       t.created_at,
       m.last_message_status
FROM @extschema@.whatsapp_tenants AS t
    LEFT JOIN @extschema@.wa_number_status AS n ON n.tenant_id = t.tenant_id
    LEFT JOIN @extschema@.whatsapp_pauses AS x ON x.scope = 'tenant' AND x.key = t.tenant_id
    LEFT JOIN LATERAL (
        SELECT m.created_at AS last_message_at, m.status AS last_message_status FROM @extschema@.whatsapp_messages AS m
        WHERE m.tenant_id = t.tenant_id ORDER BY m.created_at DESC LIMIT 1) AS m ON true
    CROSS JOIN LATERAL (
        SELECT pg_catalog.max(s.number) AS default_number
        FROM pg_catalog.current_setting('whatsapp_shared.phone_number_id', true) AS s (number)
        WHERE s.number <> '' AND NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_phone_assignments AS a
            WHERE a.phone_number_id = s.number AND a.unassigned_at IS NULL)) AS d;
COMMENT ON COLUMN @extschema@.wa_tenant_status.last_message_status IS 'The status of its last message.';

/*
 * Numbers from which nothing may leave, with the reason code: that of their tenant, or
 * their own.  What the senders make of the same facts: sender/config.c.
 */
CREATE VIEW @extschema@.wa_internal_stopped_numbers AS
SELECT DISTINCT ON (s.phone_number_id) s.phone_number_id, s.reason
FROM (SELECT a.phone_number_id, 1 AS rank, 'tenant_disabled' AS reason
      FROM @extschema@.whatsapp_tenants AS t
          JOIN @extschema@.whatsapp_phone_assignments AS a ON a.tenant_id = t.tenant_id AND a.unassigned_at IS NULL
      WHERE NOT t.enabled
      UNION ALL
      SELECT a.phone_number_id, 2, 'tenant_paused'
      FROM @extschema@.whatsapp_pauses AS p
          JOIN @extschema@.whatsapp_phone_assignments AS a ON a.tenant_id = p.key AND a.unassigned_at IS NULL
      WHERE p.scope = 'tenant' AND (p.until IS NULL OR p.until > pg_catalog.clock_timestamp())
      UNION ALL
      SELECT n.phone_number_id, 3, 'number_paused'
      FROM @extschema@.whatsapp_pauses AS p
          JOIN @extschema@.whatsapp_phone_numbers AS n ON n.phone_number_id = p.key
      WHERE p.scope = 'number' AND (p.until IS NULL OR p.until > pg_catalog.clock_timestamp())) AS s
ORDER BY s.phone_number_id, s.rank;
COMMENT ON VIEW @extschema@.wa_internal_stopped_numbers IS
'Numbers from which nothing may leave, because they or their tenants are paused or switched off, with the reason code. '
'Internal.';

/*
 * A ready row of a number that is stopped is shown as what it is, held: nothing is
 * written to it for the sake of a pause, and no sender reads it.
 */
CREATE OR REPLACE VIEW @extschema@.wa_queue_status AS
SELECT q.phone_number_id,
       CASE q.state WHEN 'r' THEN 'ready' WHEN 'd' THEN 'deferred' WHEN 'h' THEN 'held'
                    ELSE 'uncertain' END AS state,
       q.hold_reason AS reason,
       q.messages,
       (SELECT m.created_at FROM @extschema@.whatsapp_messages AS m WHERE m.id = q.oldest_id) AS oldest_created_at,
       NULLIF(q.next_due_at, 'infinity') AS next_due_at
FROM (SELECT o.phone_number_id,
             CASE WHEN s.reason IS NULL THEN o.state ELSE 'h'::"char" END AS state,
             COALESCE(s.reason, o.hold_reason) AS hold_reason,
             pg_catalog.sum(o.messages)::bigint AS messages,
             pg_catalog.min(o.oldest_id) AS oldest_id,
             pg_catalog.min(o.next_due_at) AS next_due_at
      FROM (SELECT r.phone_number_id, r.state, r.hold_reason,
                   pg_catalog.count(*) AS messages,
                   pg_catalog.min(r.message_id) AS oldest_id,
                   pg_catalog.min(r.due_at) FILTER (WHERE r.state IN ('d', 'u')) AS next_due_at
            FROM @extschema@.whatsapp_queue AS r
            GROUP BY r.phone_number_id, r.state, r.hold_reason) AS o
          LEFT JOIN @extschema@.wa_internal_stopped_numbers AS s
              ON s.phone_number_id = o.phone_number_id AND o.state = 'r'
      GROUP BY 1, 2, 3) AS q;

CREATE OR REPLACE FUNCTION @extschema@.wa_internal_health_processes()
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
        SELECT 'version', CASE WHEN v.served THEN 'ok' ELSE 'error' END,
               CASE WHEN v.served
                    THEN format('The library is of version %s, the scripts of this database are of version %s.',
                        v.library, v.scripts)
                    ELSE format('The library is of version %s and does not serve the scripts of this database, '
                                'which are of version %s: nothing is sent.', v.library, v.scripts) END,
               CASE WHEN NOT v.served
                    THEN 'ALTER EXTENSION whatsapp_shared UPDATE; or install the library of that version and restart '
                         'the server.' END
        FROM (SELECT @extschema@.wa_internal_version_served(e.extversion) AS served,
                     @extschema@.wa_internal_library_version() AS library,
                     @extschema@.wa_internal_quote(e.extversion) AS scripts
              FROM pg_extension AS e WHERE e.extname = 'whatsapp_shared') AS v;
    RETURN QUERY
        SELECT 'sender ' || s.sender,
               CASE WHEN s.pid IS NULL OR s.errors > 0 THEN 'warning' ELSE 'ok' END,
               CASE WHEN s.pid IS NULL THEN 'Not running at the moment.'
                    ELSE format('Process %s: %s accepted, %s failed, %s on the wire, %s cycles ended in an error.',
                        s.pid, s.accepted, s.failed, s.in_flight, s.errors) END,
               CASE WHEN s.pid IS NULL OR s.errors > 0 THEN 'See the server''s log.' END
        FROM @extschema@.wa_stats() AS s
        ORDER BY s.sender;
    RETURN QUERY
        SELECT 'senders', 'error',
               format('There is room for %s of the %s senders of this server; the numbers are shared out over these.',
                   r.room, r.wanted),
               CASE WHEN r.processes IS NULL
                    THEN 'Lower whatsapp_shared.senders, or shorten whatsapp_shared.databases, and reload.'
                    ELSE format('Set max_worker_processes to %s at least and restart the server: %s for senders, 1 for '
                                'their launcher, %s that others had taken, PostgreSQL''s own among them. '
                                'Or lower whatsapp_shared.senders and reload.',
                        r.processes, r.wanted, r.processes - r.wanted - 1) END
        FROM @extschema@.wa_internal_sender_room() AS r
        WHERE r.wanted IS NOT NULL;
END
$$;

/* Over HTTP/2 a hundred requests share a connection, so this is no error. */
CREATE FUNCTION @extschema@.wa_internal_health_connections()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'connections of sender ' || c.sender, 'warning',
           format('At most %s at once, for want of file descriptors, though %s requests may be on the wire.',
               c.possible, c.wanted),
           'Raise the limit on open files for the server ("ulimit -n", or LimitNOFILE of its service) and restart it, '
           'or lower whatsapp_shared.max_in_flight.'
    FROM @extschema@.wa_internal_connections() AS c
    WHERE c.possible < c.wanted
    ORDER BY c.sender
$$;

/*
 * What Meta says of the access token: that it is there proves nothing.  An
 * unreachable Meta has not refused it.
 */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_health_token()
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
    UNION ALL
    /* The alert of the kind token has the same limits. */
    SELECT 'token end',
           CASE WHEN e.days <= 7 THEN 'error' WHEN e.days <= 14 OR s.finished_at IS NULL THEN 'warning' ELSE 'ok' END,
           CASE WHEN e.days <= 0 THEN format('It ended at %s.', e.ends)
                WHEN e.days IS NOT NULL THEN format('It ends at %s, in %s days.', e.ends, floor(e.days))
                WHEN s.finished_at IS NOT NULL THEN 'By what Meta says, never.'
                ELSE 'Not known: Meta has not told yet.' END,
           CASE WHEN e.days <= 14 THEN 'Put a new token into the file named by whatsapp_shared.access_token_file. '
                                       'Tokens of system users can be made without an end.'
                WHEN s.finished_at IS NULL THEN 'See the line "token at Meta".' END
    FROM @extschema@.whatsapp_sync AS s
        CROSS JOIN LATERAL (SELECT date_trunc('second', s.expires_at) AS ends,
                EXTRACT(epoch FROM s.expires_at - clock_timestamp()) / 86400 AS days) AS e
    WHERE s.kind = 'token' AND @extschema@.wa_internal_credentials_present('access_token'::text)
$$;

/* Assigned numbers, and the default number, that Meta has not confirmed. */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_health_confirmation()
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
            WHERE NOT EXISTS (
                SELECT FROM @extschema@.whatsapp_phone_numbers AS p
                WHERE p.phone_number_id = u.number AND p.synced_at IS NOT NULL)
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

CREATE OR REPLACE FUNCTION @extschema@.wa_internal_health_account()
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
                   WHEN 'unreachable' THEN 'It is tried again and again; if it lasts, ask Meta about the number.'
                   ELSE 'Recipients block or report its messages: send fewer, and only what they asked for. '
                        'The rate is restored with Meta''s rating or limit; see whatsapp_damage_policies.' END
        FROM @extschema@.wa_number_status AS n
        WHERE n.health NOT IN ('ok', 'unknown', 'paused') OR n.rate_reason IS NOT NULL
        ORDER BY n.phone_number_id;
END
$$;

CREATE OR REPLACE FUNCTION @extschema@.wa_internal_health_queue()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    total record;
    held bigint;
    webhooks timestamptz;
    last_accepted timestamptz;
    orphans bigint;
BEGIN
    SELECT q.* INTO total FROM @extschema@.wa_internal_queue_counts() AS q;
    held := total.held + total.stopped;
    item := 'queue';
    state := CASE WHEN held > 0 THEN 'warning' ELSE 'ok' END;
    detail := format('%s%s ready, %s deferred, %s held (%s because the tenant has no number).',
        CASE WHEN total.estimated THEN 'About ' ELSE '' END, total.ready, total.deferred + total.scheduled, held,
        total.no_number);
    remedy := CASE WHEN held > 0 THEN 'wa_queue_status names the reasons.' END;
    RETURN NEXT;

    item := 'uncertain messages';
    state := CASE WHEN total.parked > 0 THEN 'warning' ELSE 'ok' END;
    detail := format('%s, of which %s wait for an operator.', total.uncertain, total.parked);
    remedy := CASE WHEN total.parked > 0
        THEN 'SELECT id FROM whatsapp_messages WHERE status = ''uncertain''; then wa_resolve_message().' END;
    RETURN NEXT;

    /* Among the oldest only: a sender looks through all of them. */
    SELECT count(*) INTO orphans FROM (
        SELECT o.message_id FROM @extschema@.whatsapp_queue AS o ORDER BY o.message_id LIMIT 10000) AS q
        WHERE NOT EXISTS (SELECT FROM @extschema@.whatsapp_messages AS m WHERE m.id = q.message_id);
    IF orphans > 0 THEN
        item := 'deleted messages';
        state := 'warning';
        detail := format('%s rows of the queue belong to messages that were deleted.', orphans);
        remedy := 'None: a sender removes them, within minutes unless somebody has them locked. '
            'Use wa_cancel_message() for what is not to be sent.';
        RETURN NEXT;
    END IF;

    IF total.taken_over > 0 THEN
        item := 'take-over';
        state := 'warning';
        detail := format('%s messages are held, because the former primary may have sent them before this server was '
                         'promoted.', total.taken_over);
        remedy := 'None: webhooks settle them, or the policy after whatsapp_shared.takeover_grace.';
        RETURN NEXT;
    END IF;

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

/* What customers wrote and could not be used, until it is, or the alert about it has been resolved. */
CREATE FUNCTION @extschema@.wa_internal_health_parked()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'parked messages', 'error',
           format('%s webhook items in which customers may say something could not be used, the first at %s.',
               w.items, date_trunc('second', w.since)),
           'Read them in whatsapp_parked_events; after an update of the extension, SELECT wa_reprocess_parked(); '
           'takes them in. Resolving the alert parked_messages ends this.'
    FROM @extschema@.wa_internal_parked_words() AS w
    WHERE w.items > 0
$$;

/* Files of customers that did not come in the last day, or should have been fetched long ago. */
CREATE FUNCTION @extschema@.wa_internal_health_inbound_media()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'inbound media', 'warning',
           concat_ws(' ',
               CASE WHEN f.files > 0
                    THEN format('%s files of customers could not be fetched in the last day, the latest: %s.',
                        f.files, rtrim(f.reason, '.')) END,
               CASE WHEN o.since < clock_timestamp() - interval '1 hour'
                    THEN format('One is due since %s and has not been fetched.', date_trunc('second', o.since)) END),
           'Meta keeps a file for 7 days. See reason in whatsapp_inbound_media; wa_fetch_media(inbound_id) tries anew.'
    FROM (SELECT count(*) AS files, (array_agg(w.reason ORDER BY w.ended_at DESC))[1] AS reason
          FROM @extschema@.whatsapp_inbound_media AS w
          WHERE w.status = 'failed' AND w.ended_at > clock_timestamp() - interval '1 day') AS f,
        (SELECT min(w.next_attempt_at) AS since FROM @extschema@.whatsapp_inbound_media AS w
         WHERE w.status = 'wanted') AS o
    WHERE f.files > 0 OR o.since < clock_timestamp() - interval '1 hour'
$$;

/* Delivered this month, charged, and unknown to the price list: wa_costs has no cost for it. */
CREATE FUNCTION @extschema@.wa_internal_health_unpriced()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'unpriced messages', 'warning',
           format('%s messages of this month have no price: %s.', sum(v.messages),
               string_agg(format('%s in %s', v.category, v.market), ', '
                   ORDER BY v.messages DESC, v.category, v.market)),
           'Add prices to whatsapp_prices, from Meta''s rate card, and missing calling codes to whatsapp_markets '
           '(then wa_recount_costs()); until then wa_costs shows these messages in rows without currency.'
    FROM (
        SELECT u.category, u.market, sum(u.messages) AS messages
        FROM (
            SELECT w.category, w.market, sum(w.messages) AS messages
            FROM @extschema@.wa_internal_usage AS w, @extschema@.whatsapp_usage_closed AS z
            WHERE w.month = date_trunc('month',
                    now() AT TIME ZONE @extschema@.wa_internal_known_zone(z.time_zone))::date
                AND NOT w.free
            GROUP BY w.category, w.market) AS u
        WHERE u.messages > 0 AND NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_prices AS p
            WHERE p.market = u.market AND p.valid_from <= current_date
                AND (p.category = u.category OR p.category = 'marketing' AND u.category = 'marketing_lite'))
        GROUP BY u.category, u.market) AS v
    HAVING count(*) > 0
$$;

CREATE OR REPLACE FUNCTION @extschema@.wa_internal_diagnose_sender(t @extschema@.wa_tenant_status)
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

    IF t.time_zone <> @extschema@.wa_internal_known_zone(t.time_zone) THEN
        item := 'time zone';
        state := 'error';
        detail := format('"%s" is not known to this server: quiet hours go by its own, %s, and messages with times '
            'of day in them cannot be written.', @extschema@.wa_internal_quote(t.time_zone),
            current_setting('log_timezone'));
        remedy := format('SELECT wa_configure_tenant(%L, time_zone => …); or install the system''s older names '
            '(Debian: the package tzdata-legacy).', t.tenant_id);
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

CREATE OR REPLACE FUNCTION @extschema@.wa_health()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT h.item, h.state, h.detail, h.remedy FROM @extschema@.wa_internal_health() AS h
$$;

/* ---- 85-reports ------------------------------------------------------------------ */

/*
 * A day is read when it is asked for: the condition on "day" is applied before the
 * messages of that day are, by the index of created_at, or by that of a tenant.
 */
CREATE VIEW @extschema@.wa_delivery_times AS
SELECT d.day::date AS day,
       t.tenant_id,
       t.messages,
       t.accepted,
       t.delivered,
       t.within_a_minute,
       pg_catalog.round(100.0 * t.within_a_minute / NULLIF(t.accepted, 0), 1) AS percent_within_a_minute,
       pg_catalog.round(t.seconds[1]::numeric, 1) AS median_seconds,
       pg_catalog.round(t.seconds[2]::numeric, 1) AS p95_seconds,
       t.failed
FROM pg_catalog.generate_series(
         pg_catalog.date_trunc('day', pg_catalog.now()) - '30 days'::interval,
         pg_catalog.date_trunc('day', pg_catalog.now()), '1 day'::interval) AS d (day)
    CROSS JOIN LATERAL (
        SELECT m.tenant_id,
               pg_catalog.count(*) AS messages,
               pg_catalog.count(*) FILTER (WHERE COALESCE(m.accepted_at, a.arrived_at) IS NOT NULL) AS accepted,
               pg_catalog.count(a.arrived_at) AS delivered,
               pg_catalog.count(*) FILTER (
                   WHERE a.arrived_at <= GREATEST(m.created_at, m.scheduled_at) + '1 minute'::interval)
                   AS within_a_minute,
               pg_catalog.percentile_cont('{0.5,0.95}'::double precision[]) WITHIN GROUP (ORDER BY
                   GREATEST(0, EXTRACT(epoch FROM a.arrived_at - GREATEST(m.created_at, m.scheduled_at)))
                       ::double precision)
                   FILTER (WHERE a.arrived_at IS NOT NULL) AS seconds,
               pg_catalog.count(*) FILTER (WHERE m.status = 'failed') AS failed
        FROM @extschema@.whatsapp_messages AS m
            CROSS JOIN LATERAL (SELECT COALESCE(m.delivered_at, m.read_at, m.played_at)) AS a (arrived_at)
        WHERE m.created_at >= d.day AND m.created_at < d.day + '1 day'::interval
        GROUP BY m.tenant_id) AS t;
COMMENT ON VIEW @extschema@.wa_delivery_times IS
'How fast messages reach their recipients, by day and tenant, for the last 31 days: how many were delivered within a '
'minute of when they were enqueued or, if later, scheduled for. A day is that of created_at in the session''s time '
'zone, and is read only when it is asked for: WHERE day = current_date.';
COMMENT ON COLUMN @extschema@.wa_delivery_times.day IS 'The day they were enqueued.';
COMMENT ON COLUMN @extschema@.wa_delivery_times.tenant_id IS 'The tenant.';
COMMENT ON COLUMN @extschema@.wa_delivery_times.messages IS 'Messages enqueued.';
COMMENT ON COLUMN @extschema@.wa_delivery_times.accepted IS 'Of these, accepted by Meta.';
COMMENT ON COLUMN @extschema@.wa_delivery_times.delivered IS 'Of these, known to have reached a phone.';
COMMENT ON COLUMN @extschema@.wa_delivery_times.within_a_minute IS
'Delivered within a minute. What quiet hours, a pause or a phone that was off have held is late as well.';
COMMENT ON COLUMN @extschema@.wa_delivery_times.percent_within_a_minute IS
'These in percent of what was accepted; NULL: nothing was.';
COMMENT ON COLUMN @extschema@.wa_delivery_times.median_seconds IS
'Half of what was delivered took at most so long. Meta''s times are whole seconds.';
COMMENT ON COLUMN @extschema@.wa_delivery_times.p95_seconds IS '95 percent of what was delivered took at most so long.';
COMMENT ON COLUMN @extschema@.wa_delivery_times.failed IS 'Messages that have failed.';

/* The last day is counted in the messages themselves, what is before in the sums of wa_costs. */
CREATE VIEW @extschema@.wa_top_tenants AS
SELECT COALESCE(r.tenant_id, u.tenant_id) AS tenant_id,
       n.phone_number_id,
       COALESCE(r.last_hour, 0) AS messages_last_hour,
       COALESCE(r.last_day, 0) AS messages_last_day,
       COALESCE(u.last_week, 0) AS delivered_last_7_days,
       COALESCE(u.last_month, 0) AS delivered_last_30_days,
       pg_catalog.round(100.0 * u.last_month / NULLIF(pg_catalog.sum(u.last_month) OVER (), 0), 1)
           AS percent_last_30_days
FROM (SELECT m.tenant_id,
             pg_catalog.count(*) FILTER (WHERE m.created_at > pg_catalog.now() - '1 hour'::interval) AS last_hour,
             pg_catalog.count(*) AS last_day
      FROM @extschema@.whatsapp_messages AS m
      WHERE m.created_at > pg_catalog.now() - '1 day'::interval
      GROUP BY m.tenant_id) AS r
    FULL JOIN (
      SELECT w.tenant_id,
             pg_catalog.sum(w.messages) FILTER (WHERE w.day > z.today - 7)::bigint AS last_week,
             pg_catalog.sum(w.messages)::bigint AS last_month
      FROM (SELECT (pg_catalog.now() AT TIME ZONE @extschema@.wa_internal_known_zone(c.time_zone))::date AS today
            FROM @extschema@.whatsapp_usage_closed AS c) AS z
          JOIN @extschema@.wa_internal_usage AS w ON w.day > z.today - 30
      GROUP BY w.tenant_id) AS u ON u.tenant_id = r.tenant_id
    LEFT JOIN @extschema@.whatsapp_phone_assignments AS n
        ON n.tenant_id = COALESCE(r.tenant_id, u.tenant_id) AND n.unassigned_at IS NULL
ORDER BY COALESCE(u.last_month, 0) DESC, COALESCE(r.last_day, 0) DESC, 1;
COMMENT ON VIEW @extschema@.wa_top_tenants IS
'Who sends most, the first first: messages enqueued within the last hour and day, and delivered within 7 and 30 days. '
'The days of what was delivered are those of wa_costs, in the account''s time zone.';
COMMENT ON COLUMN @extschema@.wa_top_tenants.tenant_id IS 'The tenant.';
COMMENT ON COLUMN @extschema@.wa_top_tenants.phone_number_id IS 'The number that it has now; NULL: none of its own.';
COMMENT ON COLUMN @extschema@.wa_top_tenants.messages_last_hour IS 'Messages enqueued within the last hour.';
COMMENT ON COLUMN @extschema@.wa_top_tenants.messages_last_day IS 'Messages enqueued within the last 24 hours.';
COMMENT ON COLUMN @extschema@.wa_top_tenants.delivered_last_7_days IS 'Messages delivered within 7 days, with today.';
COMMENT ON COLUMN @extschema@.wa_top_tenants.delivered_last_30_days IS 'Messages delivered within 30 days, with today.';
COMMENT ON COLUMN @extschema@.wa_top_tenants.percent_last_30_days IS
'These in percent of those of all tenants; NULL: nothing was delivered.';

/* For whoever may not read what was written, nor to whom. */
CREATE VIEW @extschema@.wa_message_status AS
SELECT m.id, m.tenant_id, m.phone_number_id, m.message_type, m.template_name, m.template_language, m.reference,
       m.whatsapp_message_id, m.status, m.status_reason, m.error_code, m.attempts, m.priority,
       m.created_at, m.scheduled_at, m.expires_at, m.accepted_at, m.sent_at, m.delivered_at, m.read_at, m.failed_at,
       m.finished_at
FROM @extschema@.whatsapp_messages AS m;
COMMENT ON VIEW @extschema@.wa_message_status IS
'Every message without its content and its recipient. Indexed are id, reference, tenant_id with created_at, and '
'created_at: give one of them. A message by whatever is at hand: wa_find(); why it was not sent: wa_explain(id).';
COMMENT ON COLUMN @extschema@.wa_message_status.id IS 'The ID that the enqueue functions return.';
COMMENT ON COLUMN @extschema@.wa_message_status.tenant_id IS 'The tenant that it is sent for.';
COMMENT ON COLUMN @extschema@.wa_message_status.phone_number_id IS 'The number it was, or will be, sent from.';
COMMENT ON COLUMN @extschema@.wa_message_status.message_type IS 'template, text, image, interactive …';
COMMENT ON COLUMN @extschema@.wa_message_status.template_name IS 'The template''s name, for type template.';
COMMENT ON COLUMN @extschema@.wa_message_status.template_language IS 'The template''s language, for type template.';
COMMENT ON COLUMN @extschema@.wa_message_status.reference IS 'The application''s own name for the occasion.';
COMMENT ON COLUMN @extschema@.wa_message_status.whatsapp_message_id IS 'Meta''s ID of the message (wamid).';
COMMENT ON COLUMN @extschema@.wa_message_status.status IS
'queued, sending, accepted, sent, delivered, read; or failed, uncertain, cancelled, expired, skipped.';
COMMENT ON COLUMN @extschema@.wa_message_status.status_reason IS 'Reason code; see wa_reason_codes.';
COMMENT ON COLUMN @extschema@.wa_message_status.error_code IS
'Code of the last failure; its meaning is in wa_error_codes.';
COMMENT ON COLUMN @extschema@.wa_message_status.attempts IS 'Requests begun for it.';
COMMENT ON COLUMN @extschema@.wa_message_status.priority IS '-1000 to 1000.';
COMMENT ON COLUMN @extschema@.wa_message_status.created_at IS 'When it was enqueued.';
COMMENT ON COLUMN @extschema@.wa_message_status.scheduled_at IS 'Not sent before this time.';
COMMENT ON COLUMN @extschema@.wa_message_status.expires_at IS 'Not sent after this time; NULL: it does not expire.';
COMMENT ON COLUMN @extschema@.wa_message_status.accepted_at IS 'When Meta accepted it.';
COMMENT ON COLUMN @extschema@.wa_message_status.sent_at IS 'When it left Meta''s servers.';
COMMENT ON COLUMN @extschema@.wa_message_status.delivered_at IS 'When it reached the recipient''s phone.';
COMMENT ON COLUMN @extschema@.wa_message_status.read_at IS 'When the recipient read it.';
COMMENT ON COLUMN @extschema@.wa_message_status.failed_at IS 'When it failed.';
COMMENT ON COLUMN @extschema@.wa_message_status.finished_at IS 'When it was finished; retention counts from here.';

ALTER TABLE @extschema@.whatsapp_alerts ENABLE ROW LEVEL SECURITY;

CREATE POLICY whatsapp_recipients_hidden ON @extschema@.whatsapp_alerts USING (
    scope OPERATOR(pg_catalog.<>) 'recipient'
    OR (SELECT pg_catalog.has_table_privilege('@extschema@.whatsapp_messages'::pg_catalog.regclass, 'SELECT')));

/*
 * What customers and suppliers have answered.  It reads with the rights of whoever asks,
 * so that a tenant's own role sees what is its own, here as in the tables.  Who replies
 * to no message in particular means the last one from us, as people do.
 */
CREATE VIEW @extschema@.wa_replies WITH (security_invoker = true) AS
SELECT i.inbound_id,
       i.tenant_id,
       i.phone_number_id,
       i.sender_phone,
       i.sender_user_id,
       i.sent_at AS replied_at,
       i.message_type,
       CASE WHEN i.revoked_at IS NULL THEN i.text END AS reply,
       i.reply_id,
       i.revoked_at,
       i.message_id IS NOT NULL AS quotes_message,
       m.id AS message_id,
       m.reference,
       m.template_name,
       m.created_at AS message_created_at,
       m.status AS message_status
FROM @extschema@.whatsapp_inbound_messages AS i
    LEFT JOIN LATERAL (
        SELECT o.id, o.reference, o.template_name, o.created_at, o.status
        FROM @extschema@.whatsapp_messages AS o
        WHERE o.id = COALESCE(i.message_id, (
            SELECT l.id FROM (
                (SELECT p.id FROM @extschema@.whatsapp_messages AS p
                 WHERE p.recipient_phone = i.sender_phone AND p.tenant_id = i.tenant_id
                     AND p.created_at < i.sent_at + '1 second'::interval
                 ORDER BY p.id DESC LIMIT 1)
                UNION ALL
                (SELECT p.id FROM @extschema@.whatsapp_messages AS p
                 WHERE p.recipient_user_id = i.sender_user_id AND p.recipient_phone IS NULL
                     AND p.tenant_id = i.tenant_id AND p.created_at < i.sent_at + '1 second'::interval
                 ORDER BY p.id DESC LIMIT 1)) AS l
            ORDER BY l.id DESC LIMIT 1))) AS m ON true
WHERE i.message_type NOT IN ('system', 'revoke', 'request_welcome')
    AND NOT (i.message_type = 'edit' AND i.about_inbound_id IS NOT NULL);
COMMENT ON VIEW @extschema@.wa_replies IS
'What people have answered, and to which of our messages: the one they replied to, or else the last one that the '
'tenant had sent them. Edits are shown in what they change. Give sender_phone, sender_user_id, or tenant_id with '
'replied_at; a tenant''s own role sees its own.';
COMMENT ON COLUMN @extschema@.wa_replies.inbound_id IS 'The reply in whatsapp_inbound_messages.';
COMMENT ON COLUMN @extschema@.wa_replies.tenant_id IS 'The tenant that it belongs to.';
COMMENT ON COLUMN @extschema@.wa_replies.phone_number_id IS 'The number that it came to.';
COMMENT ON COLUMN @extschema@.wa_replies.sender_phone IS 'Who replied, in international form with +; NULL: hidden.';
COMMENT ON COLUMN @extschema@.wa_replies.sender_user_id IS 'The business-scoped user ID of who replied.';
COMMENT ON COLUMN @extschema@.wa_replies.replied_at IS 'When it was sent, by Meta''s clock.';
COMMENT ON COLUMN @extschema@.wa_replies.message_type IS 'text, button, interactive, image, reaction …';
COMMENT ON COLUMN @extschema@.wa_replies.reply IS
'What it says: text, caption, the title of what was pressed or chosen, the emoji; NULL if it was deleted.';
COMMENT ON COLUMN @extschema@.wa_replies.reply_id IS
'The payload of the button, or the ID of the row, that was chosen.';
COMMENT ON COLUMN @extschema@.wa_replies.revoked_at IS 'When it was deleted, or a reaction taken back.';
COMMENT ON COLUMN @extschema@.wa_replies.quotes_message IS
'Whether it replied to that message itself; false: message_id is the last one before it.';
COMMENT ON COLUMN @extschema@.wa_replies.message_id IS 'Our message; NULL: there was none, or it is no longer kept.';
COMMENT ON COLUMN @extschema@.wa_replies.reference IS 'That message''s reference, such as an order number.';
COMMENT ON COLUMN @extschema@.wa_replies.template_name IS 'That message''s template.';
COMMENT ON COLUMN @extschema@.wa_replies.message_created_at IS 'When that message was enqueued.';
COMMENT ON COLUMN @extschema@.wa_replies.message_status IS 'What has become of it.';

/* ---- 86-health-checks ------------------------------------------------------------ */

COMMENT ON FUNCTION @extschema@.wa_health() IS
'Checks the whole installation: one row for each item with ok, warning or error, what was found, and what to do. It '
'reads no large table as a whole, and never fails: a check that cannot be made is a row that says so.';

/* At most so many IDs from low up to, and without, high: all, or one at random of each part. */
CREATE FUNCTION @extschema@.wa_internal_some_ids(low bigint, high bigint, most integer) RETURNS bigint[]
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ARRAY(
        SELECT low + floor((k + random()) * GREATEST((high - low)::double precision / most, 1))::bigint
        FROM generate_series(0, LEAST(high - low, most::bigint) - 1) AS k)
$$;

/*
 * The messages whose turn came in this time, as far as they are settled: how many, how
 * many of them have failed, and with which error most; in a sample if there are more
 * than most.  What was scheduled ahead was written before.
 */
CREATE FUNCTION @extschema@.wa_internal_failure_share(
    began timestamptz,
    ended timestamptz,
    most integer,
    OUT messages bigint,
    OUT failed bigint,
    OUT error_code integer,
    OUT sampled boolean)
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_sort = off
    SET jit = off
AS $$
DECLARE
    place CONSTANT bigint := @extschema@.wa_internal_first_message_since(began);
    /* After deletions that may be before the first that is there. */
    low CONSTANT bigint := (SELECT min(m.id) FROM @extschema@.whatsapp_messages AS m WHERE m.id >= place);
    high CONSTANT bigint := @extschema@.wa_internal_first_message_since(ended);
    ids CONSTANT bigint[] := @extschema@.wa_internal_some_ids(low, high, most);
    ahead bigint;
BEGIN
    WITH turn AS MATERIALIZED (
        SELECT m.status, m.error_code, 0 AS ahead FROM @extschema@.whatsapp_messages AS m
        WHERE m.id = ANY (ids) AND m.created_at >= began AND m.scheduled_at <= m.created_at
        UNION ALL
        (SELECT m.status, m.error_code, 1 FROM @extschema@.whatsapp_messages AS m
         WHERE m.scheduled_at > m.created_at AND m.scheduled_at >= began AND m.scheduled_at < ended
         ORDER BY m.scheduled_at DESC LIMIT most))
    SELECT count(*) FILTER (WHERE t.status IN ('accepted', 'sent', 'delivered', 'read', 'failed')),
           count(*) FILTER (WHERE t.status = 'failed'),
           mode() WITHIN GROUP (ORDER BY t.error_code) FILTER (WHERE t.status = 'failed'),
           sum(t.ahead)
        INTO messages, failed, error_code, ahead FROM turn AS t;
    sampled := high - low > most OR COALESCE(ahead, 0) >= most;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_health_messages()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH counted AS MATERIALIZED (
        SELECT h.messages, h.failed, h.error_code, b.messages AS messages_before, b.failed AS failed_before,
               h.sampled OR b.sampled AS sampled,
               h.failed::numeric / NULLIF(h.messages, 0) AS share,
               COALESCE(b.failed::numeric / NULLIF(b.messages, 0), 0) AS share_before
        FROM clock_timestamp() AS c (now),
            @extschema@.wa_internal_failure_share(c.now - interval '1 hour', c.now, 400) AS h,
            @extschema@.wa_internal_failure_share(
                c.now - interval '25 hours', c.now - interval '1 hour', 400) AS b),
    judged AS (
        SELECT c.*, CASE WHEN c.failed >= 10 AND c.share >= 0.5 THEN 'error'
                         WHEN c.failed >= 3 AND c.share > 2 * c.share_before + 0.01 THEN 'warning'
                         ELSE 'ok' END AS state
        FROM counted AS c)
    SELECT 'failed messages', j.state,
           format('Of %s messages of the last hour %s have failed (%s %%), of %s of the day before %s (%s %%)%s.',
               j.messages, j.failed, round(100 * COALESCE(j.share, 0), 1),
               j.messages_before, j.failed_before, round(100 * j.share_before, 1),
               CASE WHEN j.sampled THEN ', in samples' ELSE '' END),
           CASE WHEN j.state <> 'ok'
                THEN format('Most with the error %s: %s %s', j.error_code,
                    COALESCE(e.title || '.', 'not in wa_error_codes.'),
                    COALESCE(e.remedy, 'See error_message in whatsapp_messages.')) END
    FROM judged AS j
        LEFT JOIN @extschema@.wa_error_codes AS e ON e.code = j.error_code
$$;

/* Among the newest only: failures are kept for long. */
CREATE FUNCTION @extschema@.wa_internal_health_notifications()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH newest AS MATERIALIZED (
        SELECT f.failed_at, format('%s on %s', f.notification, f.relation) AS what, f.sqlstate
        FROM @extschema@.whatsapp_notification_failures AS f ORDER BY f.failure_id DESC LIMIT 5000),
    counted AS (
        SELECT count(*) FILTER (WHERE n.failed_at > clock_timestamp() - interval '1 hour') AS failures,
               count(*) FILTER (WHERE n.failed_at > clock_timestamp() - interval '25 hours'
                                AND n.failed_at <= clock_timestamp() - interval '1 hour') AS before,
               count(*) = 5000 AS more,
               (array_agg(format('%s (%s)', n.what, n.sqlstate) ORDER BY n.failed_at DESC))[1] AS last
        FROM newest AS n)
    SELECT 'failing notifications',
           CASE WHEN c.failures >= 10 AND c.failures > 2 * c.before / 24.0 THEN 'error'
                WHEN c.failures > 0 THEN 'warning' ELSE 'ok' END,
           format('%s%s in the last hour, %s in the day before%s.', CASE WHEN c.more THEN 'At least ' ELSE '' END,
               c.failures, c.before, CASE WHEN c.failures > 0 THEN ', the last of ' || c.last ELSE '' END),
           CASE WHEN c.failures > 0
                THEN 'Read why in whatsapp_notification_failures; when the cause is gone, '
                     'SELECT wa_retry_notification(failure_id); sends what is missing.' END
    FROM counted AS c
$$;

/* Both are used by Meta only; a webhook with a valid signature proves the one, and that the address is registered. */
CREATE FUNCTION @extschema@.wa_internal_health_webhook_credentials()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.item, CASE WHEN w.last_at IS NULL THEN 'warning' ELSE 'ok' END,
           CASE WHEN w.last_at IS NULL THEN c.without
                ELSE format('%s at %s.', c.confirmed, date_trunc('second', w.last_at)) END,
           CASE WHEN w.last_at IS NULL THEN c.remedy END
    FROM (SELECT max(t.last_webhook_at) FROM @extschema@.whatsapp_webhook_traffic AS t) AS w (last_at),
        (VALUES
            ('app secret at Meta', 'app_secret', 'It has verified a webhook of Meta''s',
             'No webhook has come yet whose signature it verifies.',
             'Have Meta send one (a message to one of the numbers). If webhooks are refused, compare it with '
             '"App secret" in the app''s basic settings.'),
            ('verify token at Meta', 'webhook_verify_token', 'The address is registered, since a webhook has come',
             'No webhook has come yet, so the address may not be registered.',
             'Register the address with this token in the app''s settings for webhooks, and subscribe the account.'))
            AS c (item, credential, confirmed, without, remedy)
    WHERE @extschema@.wa_internal_credentials_present(c.credential)
$$;

/* Messages that should have been deleted a day ago: among the oldest, and in a sample of the rest. */
CREATE FUNCTION @extschema@.wa_internal_health_retention()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_sort = off
    SET jit = off
AS $$
DECLARE
    standard CONSTANT interval := NULLIF(current_setting('whatsapp_shared.retention', true)::interval, interval '0');
    shortest CONSTANT interval := LEAST(standard, (
        SELECT min(t.retention) FROM @extschema@.whatsapp_tenants AS t WHERE t.retention > interval '0'));
    low CONSTANT bigint := (SELECT min(m.id) FROM @extschema@.whatsapp_messages AS m);
    high CONSTANT bigint := @extschema@.wa_internal_first_message_since(
        clock_timestamp() - shortest - interval '1 day');
    ids CONSTANT bigint[] := @extschema@.wa_internal_some_ids(low, high, 500);
    late record;
BEGIN
    WITH looked_at AS MATERIALIZED (
        (SELECT m.id, m.tenant_id, m.finished_at FROM @extschema@.whatsapp_messages AS m
         WHERE m.id < high ORDER BY m.id LIMIT 500)
        UNION
        SELECT m.id, m.tenant_id, m.finished_at FROM @extschema@.whatsapp_messages AS m WHERE m.id = ANY (ids))
    SELECT count(*) AS messages, min(l.finished_at) AS since INTO late
        FROM looked_at AS l
            LEFT JOIN @extschema@.whatsapp_tenants AS t ON t.tenant_id = l.tenant_id
        WHERE l.finished_at < clock_timestamp() - interval '1 day'
            - NULLIF(COALESCE(t.retention, standard), interval '0');
    item := 'retention';
    state := CASE WHEN late.messages > 0 THEN 'warning' ELSE 'ok' END;
    detail := CASE WHEN late.messages > 0
                   THEN format('%s messages at least should have been deleted a day ago or earlier, the oldest '
                               'finished at %s.', late.messages, date_trunc('second', late.since))
                   WHEN shortest IS NULL THEN 'Messages are kept for ever.'
                   ELSE 'No message is kept for longer than it should be.' END;
    remedy := CASE WHEN late.messages > 0
                   THEN 'Sender 0 deletes them, at least every hour: see that it runs, what the server''s log says of '
                        'it, and who keeps these rows locked (pg_locks).' END;
    RETURN NEXT;
END
$$;

/*
 * Rows that have lost what they belong to, among the oldest or newest of each table.
 * Where a foreign key forbids them, nobody need look.
 */
CREATE FUNCTION @extschema@.wa_internal_orphans(OUT what text, OUT rows bigint, OUT grave boolean)
RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    SET jit = off
AS $$
    SELECT 'messages that are to be sent, without a row of whatsapp_queue', count(*), true
    FROM (SELECT m.id, m.status FROM @extschema@.whatsapp_messages AS m ORDER BY m.id DESC LIMIT 2000) AS m
    WHERE m.status IN ('queued', 'sending', 'uncertain')
        AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_queue AS q WHERE q.message_id = m.id)
    UNION ALL
    SELECT 'leases of more than an hour whose messages have left the queue', count(*), false
    FROM (SELECT l.message_ids FROM @extschema@.whatsapp_leases AS l
          WHERE l.claimed_at < clock_timestamp() - interval '1 hour' ORDER BY l.lease_id LIMIT 100) AS l
    WHERE NOT EXISTS (SELECT FROM @extschema@.whatsapp_queue AS q WHERE q.message_id = ANY (l.message_ids))
    UNION ALL
    SELECT 'rows of whatsapp_wamids without their messages', count(*), false
    FROM (SELECT w.message_id FROM @extschema@.whatsapp_wamids AS w ORDER BY w.message_id LIMIT 500) AS w
    WHERE NOT EXISTS (SELECT FROM @extschema@.whatsapp_messages AS m WHERE m.id = w.message_id)
    UNION ALL
    SELECT 'rows of whatsapp_attempts without their messages', count(*), false
    FROM (SELECT a.message_id FROM @extschema@.whatsapp_attempts AS a ORDER BY a.entry_id LIMIT 500) AS a
    WHERE NOT EXISTS (SELECT FROM @extschema@.whatsapp_messages AS m WHERE m.id = a.message_id)
    UNION ALL
    SELECT 'rows of whatsapp_media_uses without their messages', count(*), false
    FROM (SELECT u.message_id FROM @extschema@.whatsapp_media_uses AS u ORDER BY u.message_id LIMIT 500) AS u
    WHERE NOT EXISTS (SELECT FROM @extschema@.whatsapp_messages AS m WHERE m.id = u.message_id)
    UNION ALL
    SELECT 'pauses of numbers or tenants that do not exist', count(*), false
    FROM @extschema@.whatsapp_pauses AS p
    WHERE p.scope = 'number' AND NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_phone_numbers AS n WHERE n.phone_number_id = p.key)
        OR p.scope = 'tenant' AND NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = p.key)
    UNION ALL
    SELECT 'roles bound to tenants that do not exist', count(*), false
    FROM @extschema@.whatsapp_tenant_roles AS b
    WHERE NOT EXISTS (SELECT FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = b.tenant_id)
    UNION ALL
    SELECT 'notifications without their triggers', count(*), false
    FROM @extschema@.wa_notifications AS n
    WHERE n.state = 'detached'
$$;

CREATE FUNCTION @extschema@.wa_internal_health_orphans()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'orphans',
           CASE WHEN bool_or(o.grave) THEN 'error' WHEN count(*) > 0 THEN 'warning' ELSE 'ok' END,
           COALESCE(string_agg(format('%s %s', o.rows, o.what), '; ' ORDER BY o.grave DESC, o.what) || '.', 'None.'),
           CASE WHEN bool_or(o.grave)
                THEN 'Somebody has changed rows behind the extension''s back: these messages are not sent. '
                     'SELECT wa_explain(id); then set their status to failed, and wa_retry_message(id).'
                WHEN count(*) > 0 THEN 'They do no harm but take room; the operating guide says how each goes.' END
    FROM @extschema@.wa_internal_orphans() AS o
    WHERE o.rows > 0
$$;

/*
 * Whoever keeps an old snapshot keeps every row that has died since, and each claim reads
 * what has died of the queue.  Logical slots keep rows of catalogs only.
 */
CREATE FUNCTION @extschema@.wa_internal_health_snapshots(
    long interval DEFAULT '1 hour',
    very_long interval DEFAULT '1 day',
    many bigint DEFAULT 10000000)
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH holders AS (
        SELECT CASE WHEN s.is_standby THEN format('The standby of process %s (hot_standby_feedback)', s.pid)
                    ELSE format('Process %s', s.pid) END AS who,
               s.began_at, s.transactions,
               CASE WHEN s.is_standby
                    THEN 'End the long query on that standby, or switch hot_standby_feedback off there.'
                    ELSE format('See what it does in pg_stat_activity; SELECT pg_terminate_backend(%s); ends it. '
                        'idle_in_transaction_session_timeout ends such transactions by itself.', s.pid) END AS remedy
        FROM @extschema@.wa_internal_snapshots() AS s
        WHERE s.pid NOT IN (SELECT v.pid FROM pg_stat_progress_vacuum AS v)
        UNION ALL
        SELECT format('The prepared transaction "%s"', @extschema@.wa_internal_quote(x.gid)), x.prepared,
               age(x.transaction), 'COMMIT PREPARED or ROLLBACK PREPARED, whatever its transaction manager says.'
        FROM pg_prepared_xacts AS x WHERE x.database = current_database()
        UNION ALL
        SELECT format('The replication slot "%s"', r.slot_name), NULL, age(r.xmin),
               format('Start its standby, or SELECT pg_drop_replication_slot(%L);', r.slot_name)
        FROM pg_replication_slots AS r WHERE r.xmin IS NOT NULL),
    judged AS (
        SELECT h.*, CASE WHEN h.began_at < clock_timestamp() - very_long OR h.transactions > 10 * many THEN 2
                         WHEN h.began_at < clock_timestamp() - long OR h.transactions > many THEN 1 ELSE 0 END AS level
        FROM holders AS h),
    worst AS (SELECT j.* FROM judged AS j ORDER BY j.level DESC, j.transactions DESC, j.began_at LIMIT 1)
    SELECT 'oldest snapshot', (ARRAY['ok', 'warning', 'error'])[COALESCE(w.level, 0) + 1],
           CASE WHEN w.who IS NULL THEN 'Nothing keeps dead rows from being removed.'
                ELSE format('%s keeps what has died since%s %s transactions ago.', w.who,
                    ' ' || date_trunc('second', w.began_at)::text || ',', w.transactions) END,
           CASE WHEN w.level > 0 THEN w.remedy END
    FROM (VALUES (0)) AS always (row) LEFT JOIN worst AS w ON true
$$;

/*
 * A slot keeps WAL until its reader has taken it: without max_slot_wal_keep_size until the
 * disk is full, and then the server stops.
 */
CREATE FUNCTION @extschema@.wa_internal_health_slots()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH slots AS MATERIALIZED (
        SELECT s.slot_name, s.active, s.wal_status,
               GREATEST(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                                             ELSE pg_current_wal_lsn() END, s.restart_lsn), 0) AS held,
               pg_size_bytes(current_setting('max_wal_size')) AS usual,
               current_setting('max_slot_wal_keep_size') = '-1' AS unlimited
        FROM pg_replication_slots AS s),
    judged AS (
        SELECT s.*, CASE WHEN s.wal_status IN ('lost', 'unreserved') THEN 'error'
                         WHEN s.held > s.usual THEN 'warning' ELSE 'ok' END AS state
        FROM slots AS s)
    SELECT 'replication slots', CASE WHEN bool_or(j.state = 'error') THEN 'error'
                                     WHEN bool_or(j.state = 'warning') THEN 'warning' ELSE 'ok' END,
           format('%s, of which %s inactive; the most WAL that one keeps is %s.', count(*),
               count(*) FILTER (WHERE NOT j.active), pg_size_pretty(COALESCE(max(j.held), 0))),
           CASE WHEN bool_or(j.state <> 'ok') THEN 'See the rows below.' END
    FROM judged AS j
    UNION ALL
    (SELECT format('replication slot %s', j.slot_name), j.state,
            CASE j.wal_status
                WHEN 'lost' THEN 'WAL that it needs has been removed: its standby or subscriber cannot go on.'
                ELSE format('It keeps %s of WAL, more than max_wal_size, %s; %s.', pg_size_pretty(j.held),
                    CASE WHEN j.active THEN 'since its reader is behind' ELSE 'and nobody reads it' END,
                    CASE WHEN j.wal_status = 'unreserved' THEN 'it will be lost at the next checkpoint'
                         WHEN j.unlimited THEN 'nothing limits it, and a full disk stops the server'
                         ELSE 'max_slot_wal_keep_size limits it' END) END,
            CASE WHEN j.wal_status = 'lost' THEN format('Drop it (SELECT pg_drop_replication_slot(%L);) and make its '
                     'standby or subscriber anew.', j.slot_name)
                 WHEN j.active THEN 'See what its reader waits for: pg_stat_replication, and the log at the other end.'
                 ELSE format('Start its reader, or SELECT pg_drop_replication_slot(%L);', j.slot_name) END
     FROM judged AS j
     WHERE j.state <> 'ok'
     ORDER BY j.held DESC, j.slot_name LIMIT 20)
$$;

/*
 * Publications of our tables.  One that publishes changes which cannot be told apart makes
 * UPDATE and DELETE fail here, in the senders, too.
 */
CREATE FUNCTION @extschema@.wa_internal_health_publications()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH ours AS MATERIALIZED (
        SELECT c.oid, c.relname, c.relnamespace, c.relreplident,
               (SELECT array_agg(k.attnum) FROM pg_index AS i, unnest(i.indkey::smallint[]) AS k (attnum)
                WHERE i.indrelid = c.oid
                    AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident END) AS key
        FROM pg_extension AS e
            JOIN pg_depend AS d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
                AND d.classid = 'pg_class'::regclass
            JOIN pg_class AS c ON c.oid = d.objid AND c.relkind = 'r' AND c.relpersistence = 'p'
        WHERE e.extname = 'whatsapp_shared' AND EXISTS (SELECT FROM pg_publication)),
    published AS (
        SELECT p.pubname, o.relname, CASE
            WHEN NOT (p.pubupdate OR p.pubdelete) THEN NULL
            WHEN o.relreplident = 'n' OR o.relreplident <> 'f' AND o.key IS NULL THEN 'has no replica identity'
            WHEN r.prattrs IS NOT NULL AND (o.relreplident = 'f' OR NOT o.key <@ r.prattrs::smallint[])
            THEN 'has a column list without its replica identity'
            WHEN o.relreplident <> 'f' AND EXISTS (
                SELECT FROM regexp_matches(r.prqual::text, ':varattno ([0-9]+)', 'g') AS v (found)
                WHERE v.found[1]::smallint <> ALL (o.key))
            THEN 'has a row filter on columns that are not its replica identity' END AS problem
        FROM pg_publication AS p
            CROSS JOIN ours AS o
            LEFT JOIN pg_publication_rel AS r ON r.prpubid = p.oid AND r.prrelid = o.oid
        WHERE p.puballtables OR r.oid IS NOT NULL OR EXISTS (
            SELECT FROM pg_publication_namespace AS n WHERE n.pnpubid = p.oid AND n.pnnspid = o.relnamespace)),
    judged AS (
        SELECT p.pubname, count(*) AS tables, count(p.problem) AS problems,
               min(format('%s %s', p.relname, p.problem)) FILTER (WHERE p.problem IS NOT NULL) AS first_problem,
               min(p.relname::text) FILTER (WHERE p.problem IS NOT NULL) AS first_table
        FROM published AS p
        GROUP BY p.pubname)
    SELECT format('publication %s', j.pubname), CASE WHEN j.problems > 0 THEN 'error' ELSE 'ok' END,
           CASE WHEN j.problems > 0
                THEN format('%s tables of the extension cannot be changed because of it: %s …', j.problems,
                    j.first_problem)
                ELSE format('It publishes %s tables of the extension: whoever subscribes reads what is in them, '
                            'messages and customers among it.', j.tables) END,
           CASE WHEN j.problems > 0
                THEN format('ALTER TABLE %s REPLICA IDENTITY DEFAULT; and no column lists or row filters in '
                    'publication %I, or leave the table out.', j.first_table, j.pubname) END
    FROM judged AS j
    ORDER BY j.problems DESC, j.pubname LIMIT 20
$$;

/* How much room is too little; for tests and people to ask with any figures. */
CREATE FUNCTION @extschema@.wa_internal_judge_room(size bigint, free bigint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN free < 0.05 * size THEN 'error' WHEN free < 0.1 * size THEN 'warning' ELSE 'ok' END
$$;

/* What our tables took on the disk, hour by hour. */
CREATE TABLE @extschema@.whatsapp_sizes (
    taken_at timestamptz PRIMARY KEY,
    bytes    bigint NOT NULL
);
COMMENT ON TABLE @extschema@.whatsapp_sizes IS
'How many bytes the extension''s tables took on the disk, with indexes and dead rows: noted by a sender every hour, '
'kept for 31 days.';
COMMENT ON COLUMN @extschema@.whatsapp_sizes.taken_at IS 'When.';
COMMENT ON COLUMN @extschema@.whatsapp_sizes.bytes IS 'How many bytes.';

CREATE FUNCTION @extschema@.wa_internal_size() RETURNS bigint
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT sum(pg_total_relation_size(c.oid))::bigint
    FROM pg_extension AS e
        JOIN pg_depend AS d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
            AND d.classid = 'pg_class'::regclass
        JOIN pg_class AS c ON c.oid = d.objid AND c.relkind = 'r'
    WHERE e.extname = 'whatsapp_shared'
$$;

/* For the upkeep of one sender.  If a table is locked, another time: the rest of the upkeep goes on. */
CREATE FUNCTION @extschema@.wa_internal_note_size() RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM @extschema@.whatsapp_sizes AS s
               WHERE s.taken_at > clock_timestamp() - interval '1 hour') THEN
        RETURN;
    END IF;
    INSERT INTO @extschema@.whatsapp_sizes (taken_at, bytes)
        SELECT clock_timestamp(), @extschema@.wa_internal_size();
    DELETE FROM @extschema@.whatsapp_sizes AS s WHERE s.taken_at < clock_timestamp() - interval '31 days';
EXCEPTION WHEN lock_not_available THEN
    NULL;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_health_disk()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE plpgsql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bytes CONSTANT bigint := @extschema@.wa_internal_size();
    place record;
    free bigint;
    earlier record;
    a_day double precision;
    days double precision;
BEGIN
    FOR place IN
        SELECT d.* FROM @extschema@.wa_internal_disk_space('@extschema@.whatsapp_messages'::regclass) AS d
    LOOP
        item := CASE place.place WHEN 'wal' THEN 'disk space for WAL' ELSE 'disk space' END;
        state := @extschema@.wa_internal_judge_room(place.size, place.free);
        detail := format('%s of %s are free (%s %%).', pg_size_pretty(place.free), pg_size_pretty(place.size),
            round(100.0 * place.free / GREATEST(place.size, 1), 1));
        remedy := CASE WHEN state <> 'ok'
            THEN 'Make room, or a larger disk: when it is full, the server stops. See the lines "disk growth", '
                 '"replication slots" and "oldest snapshot".' END;
        free := COALESCE(free, place.free);
        RETURN NEXT;
    END LOOP;

    SELECT s.taken_at, s.bytes INTO earlier FROM @extschema@.whatsapp_sizes AS s
        WHERE s.taken_at > clock_timestamp() - interval '7 days'
            AND s.taken_at < clock_timestamp() - interval '12 hours'
        ORDER BY s.taken_at LIMIT 1;
    a_day := (bytes - earlier.bytes) / EXTRACT(epoch FROM clock_timestamp() - earlier.taken_at) * 86400;
    days := CASE WHEN a_day > 0 THEN free / a_day END;
    item := 'disk growth';
    state := CASE WHEN days < 1 THEN 'error' WHEN days < 7 THEN 'warning' ELSE 'ok' END;
    detail := concat_ws(' ', format('The extension''s tables take %s.', pg_size_pretty(bytes)),
        CASE WHEN earlier.taken_at IS NULL THEN 'How they grow is known after twelve hours.'
             ELSE format('They grow by %s a day since %s%s.', pg_size_pretty(GREATEST(a_day, 0)::bigint),
                 date_trunc('second', earlier.taken_at),
                 CASE WHEN days < 36500 THEN format('; what is free is enough for %s days', floor(days)) ELSE '' END)
             END);
    remedy := CASE WHEN state <> 'ok'
        THEN 'A larger disk, or a shorter whatsapp_shared.retention. If more is written than is kept, see the lines '
             '"oldest snapshot" and "retention", and whether autovacuum comes by.' END;
    RETURN NEXT;
END
$$;

/* Of quiet hours, service windows, what is too old, and tokens, the server decides by its own clock. */
CREATE FUNCTION @extschema@.wa_internal_health_clock()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'clock',
           CASE WHEN abs(c.ahead) >= 300 THEN 'error' WHEN abs(c.ahead) >= 5 THEN 'warning' ELSE 'ok' END,
           CASE WHEN c.seen_at IS NULL THEN 'Not compared yet: no response of Meta''s since the server started.'
                WHEN abs(c.ahead) < 1 THEN format('It agrees with Meta''s, as of %s.', date_trunc('second', c.seen_at))
                ELSE format('It is %s seconds %s Meta''s, as of %s.', round(abs(c.ahead)::numeric),
                    CASE WHEN c.ahead > 0 THEN 'ahead of' ELSE 'behind' END, date_trunc('second', c.seen_at)) END,
           CASE WHEN abs(c.ahead) >= 5 THEN 'Set it by NTP (chrony, systemd-timesyncd).' END
    FROM @extschema@.wa_internal_clock() AS c
$$;

/*
 * What does not arrive there; and webhooks for numbers that neither a tenant of this
 * database nor another node has, of the last day.
 */
CREATE FUNCTION @extschema@.wa_internal_health_nodes()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'node ' || n.node, j.state,
           concat_ws(' ',
               format('%s changes wait%s.', n.waiting,
                   COALESCE(', the oldest since ' || date_trunc('second', n.oldest_at), '')),
               CASE WHEN n.is_full THEN 'Webhooks for its numbers are refused.' END,
               CASE WHEN n.refused > 0 THEN format('It has refused %s of them.', n.refused) END,
               CASE WHEN n.expired > 0 THEN format('%s were given up.', n.expired) END,
               CASE WHEN j.state <> 'ok' THEN 'Last error: ' || n.last_error || '.' END),
           CASE WHEN j.state <> 'ok'
                THEN 'See the gateway and the server of that node, and that it has the same app secret. What waits is '
                     'delivered by itself.' END
    FROM @extschema@.wa_node_status AS n
        CROSS JOIN LATERAL (
            SELECT CASE WHEN n.is_full OR n.oldest_at < clock_timestamp() - interval '5 minutes' THEN 'error'
                        WHEN n.refused > 0 OR n.failing_since < clock_timestamp() - interval '1 minute' THEN 'warning'
                        ELSE 'ok' END) AS j (state)
    UNION ALL
    SELECT 'numbers of nobody', 'warning',
           format('Webhooks have come for %s: no tenant of this database has it, and no other node.',
               string_agg(w.phone_number_id, ', ' ORDER BY w.phone_number_id)),
           'Give it to a tenant, or to the node that has it: wa_assign_number_to_node().'
    FROM (SELECT t.phone_number_id FROM @extschema@.whatsapp_webhook_traffic AS t
          WHERE t.phone_number_id <> '' AND t.last_webhook_at > clock_timestamp() - interval '1 day'
              AND t.phone_number_id <> COALESCE(current_setting('whatsapp_shared.phone_number_id', true), '')
              AND EXISTS (SELECT FROM @extschema@.whatsapp_nodes)
              AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_phone_assignments AS a
                              WHERE a.phone_number_id = t.phone_number_id)
              AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_node_numbers AS d
                              WHERE d.phone_number_id = t.phone_number_id)
          ORDER BY t.phone_number_id LIMIT 20) AS w
    HAVING count(*) > 0
$$;

CREATE FUNCTION @extschema@.wa_internal_health_time_zones()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'time zones', CASE WHEN count(*) > 0 THEN 'error' ELSE 'ok' END,
           COALESCE(string_agg(format('"%s", of %s, is not known to this server.',
                @extschema@.wa_internal_quote(u.zone),
                CASE WHEN u.tenants = 0 THEN 'whatsapp_usage_closed'
                     WHEN u.tenants = 1 THEN format('tenant "%s"', u.one)
                     ELSE format('%s tenants, "%s" among them', u.tenants, u.one) END), ' ' ORDER BY u.zone, u.tenants)
                || ' The server''s own, ' || current_setting('log_timezone') || ', holds.', 'All are known.'),
           CASE WHEN count(*) > 0 THEN
               'Install the time zone names that the system has lost (Debian: the package tzdata-legacy), or name '
               'others: wa_configure_tenant(…, time_zone => …).' END
    FROM (SELECT o.zone, o.tenants, o.one
          FROM (SELECT t.time_zone, count(*), min(t.tenant_id) FROM @extschema@.whatsapp_tenants AS t GROUP BY 1
                UNION ALL
                SELECT z.time_zone, 0, NULL FROM @extschema@.whatsapp_usage_closed AS z) AS o (zone, tenants, one)
          WHERE o.zone <> @extschema@.wa_internal_known_zone(o.zone)) AS u
$$;

/*
 * Which checks there are, in order, and the items that each can give; words in capitals
 * stand for names.  The operating guide has them with their levels and remedies.
 */
CREATE FUNCTION @extschema@.wa_internal_health_checks(OUT topic text, OUT items text[])
RETURNS SETOF record
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    VALUES
        ('ownership', '{ownership, sending}'::text[]),
        ('processes', '{sending, version, sender N, senders}'),
        ('connections', '{connections of sender N}'),
        ('settings', '{access_token, app_secret, webhook_verify_token, business_account_id, phone_number_id}'),
        ('databases', '{database NAME}'),
        ('account', '{sync KIND, token at Meta, token end, pause SCOPE, number NUMBER}'),
        ('shared_numbers', '{number NUMBER}'),
        ('confirmation', '{number NUMBER, numbers}'),
        ('webhook_credentials', '{app secret at Meta, verify token at Meta}'),
        ('clock', '{clock}'),
        ('time_zones', '{time zones}'),
        ('queue', '{queue, uncertain messages, deleted messages, take-over, webhooks}'),
        ('messages', '{failed messages}'),
        ('notifications', '{failing notifications}'),
        ('registrations', '{registered code, reply handler PREFIX, notification NAME, tenant role ROLE}'),
        ('parked', '{parked messages}'),
        ('inbound_media', '{inbound media}'),
        ('nodes', '{node NAME, numbers of nobody}'),
        ('unpriced', '{unpriced messages}'),
        ('retention', '{retention}'),
        ('orphans', '{orphans}'),
        ('snapshots', '{oldest snapshot}'),
        ('slots', '{replication slots, replication slot NAME}'),
        ('publications', '{publication NAME}'),
        ('disk', '{disk space, disk space for WAL, disk growth}'),
        ('alerts', '{alert ID}')
$$;

/*
 * All checks, with the one that each row comes from.  Locks of others are waited for
 * briefly.  While somebody could have changed what is called here, nothing is.
 */
CREATE FUNCTION @extschema@.wa_internal_health()
RETURNS TABLE (topic text, item text, state text, detail text, remedy text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '200ms'
    SET jit = off
AS $$
DECLARE
    safe boolean;
    code text;
    words text;
BEGIN
    FOR topic IN SELECT c.topic FROM @extschema@.wa_internal_health_checks() AS c LOOP
        BEGIN
            RETURN QUERY EXECUTE format('SELECT $1, h.* FROM @extschema@.%I() AS h', 'wa_internal_health_' || topic)
                USING topic;
            safe := COALESCE(safe, (SELECT f.problem IS NULL FROM @extschema@.wa_internal_ownership_flaw() AS f));
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, words = MESSAGE_TEXT;
            item := 'check ' || topic;
            state := 'warning';
            detail := format('It could not be made: %s (%s).', @extschema@.wa_internal_quote(words), code);
            remedy := 'The other lines hold. If it was a lock, ask again; else see the server''s log.';
            RETURN NEXT;
        END;
        EXIT WHEN safe IS NOT TRUE;
    END LOOP;
END
$$;

/* ---- 86-tenant-links ------------------------------------------------------------- */

CREATE TABLE @extschema@.whatsapp_tenant_links (
    key_hash     bytea PRIMARY KEY,
    tenant_id    text COLLATE "C" NOT NULL
        REFERENCES @extschema@.whatsapp_tenants ON DELETE CASCADE,
    page         text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    created_by   text NOT NULL,
    expires_at   timestamptz NOT NULL,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
CREATE INDEX whatsapp_tenant_links_tenant_idx ON @extschema@.whatsapp_tenant_links (tenant_id);
COMMENT ON TABLE @extschema@.whatsapp_tenant_links IS
'Links to tenants'' own pages, made by wa_tenant_link(). Kept for whatsapp_shared.retention after their end.';
COMMENT ON COLUMN @extschema@.whatsapp_tenant_links.key_hash IS 'SHA-256 of the link''s key, which is not kept.';
COMMENT ON COLUMN @extschema@.whatsapp_tenant_links.tenant_id IS 'The tenant whose page it opens.';
COMMENT ON COLUMN @extschema@.whatsapp_tenant_links.page IS 'The page: notifications.';
COMMENT ON COLUMN @extschema@.whatsapp_tenant_links.created_at IS 'When it was made.';
COMMENT ON COLUMN @extschema@.whatsapp_tenant_links.created_by IS
'The role that made it; by way of the gateway, its role and whom it had identified.';
COMMENT ON COLUMN @extschema@.whatsapp_tenant_links.expires_at IS 'Until when it opens the page.';
COMMENT ON COLUMN @extschema@.whatsapp_tenant_links.revoked_at IS 'When it was revoked; NULL: it was not.';
COMMENT ON COLUMN @extschema@.whatsapp_tenant_links.last_used_at IS
'When it was last used, to within a minute; NULL: never.';

/* As a segment of a URL's path (RFC 3986, section 3.3): what is not unreserved is escaped. */
CREATE FUNCTION @extschema@.wa_internal_url_segment(segment text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(CASE WHEN o.octet >= 128 THEN '%' || upper(to_hex(o.octet))
                           WHEN chr(o.octet) ~ '[A-Za-z0-9._~-]' THEN chr(o.octet)
                           ELSE '%' || upper(lpad(to_hex(o.octet), 2, '0')) END, '' ORDER BY o.i)
    FROM (SELECT i, get_byte(convert_to(segment, 'UTF8'::name), i)
          FROM generate_series(0, length(convert_to(segment, 'UTF8'::name)) - 1) AS i) AS o (i, octet)
$$;

/* What a link's key is found by. */
CREATE FUNCTION @extschema@.wa_internal_link_hash(key text) RETURNS bytea
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT sha256(convert_to(key, 'UTF8'::name))
$$;

/*
 * The key has the entropy of three random UUIDs, 366 bits of the server's strong
 * random source, condensed to 32 bytes.
 */
CREATE FUNCTION @extschema@.wa_internal_make_link(
    tenant text, valid_for interval, page text, created_by text, OUT url text, OUT expires_at timestamptz)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    key CONSTANT text := 'wal_' || translate(encode(sha256(uuid_send(gen_random_uuid())
        || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'base64'), '+/=', '-_');
BEGIN
    PERFORM @extschema@.wa_internal_check_not_null('valid_for'::text, valid_for);
    PERFORM @extschema@.wa_internal_check_not_null('page'::text, page);
    PERFORM @extschema@.wa_internal_check_tenant_exists(tenant);
    IF page <> 'notifications' THEN
        RAISE EXCEPTION 'unknown page "%"', @extschema@.wa_internal_quote(page)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Use notifications.', COLUMN = 'page';
    ELSIF valid_for < interval '1 minute' OR valid_for > interval '1 year' THEN
        RAISE EXCEPTION 'a link can be valid for a minute to a year'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'valid_for';
    END IF;
    expires_at := clock_timestamp() + valid_for;
    INSERT INTO @extschema@.whatsapp_tenant_links (key_hash, tenant_id, page, created_by, expires_at)
        VALUES (@extschema@.wa_internal_link_hash(key), tenant, page, created_by, expires_at);
    url := format('%s/app/settings/%s/%s#key=%s', current_setting('whatsapp_shared.gateway_url', true), page,
        @extschema@.wa_internal_url_segment(tenant), key);
END
$$;

CREATE FUNCTION @extschema@.wa_tenant_link(
    tenant_id text,
    valid_for interval DEFAULT '30 days',
    page      text DEFAULT 'notifications')
RETURNS text
    LANGUAGE sql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT l.url FROM @extschema@.wa_internal_make_link($1, $2, $3, session_user::text) AS l
$$;
COMMENT ON FUNCTION @extschema@.wa_tenant_link(text, interval, text) IS
'Makes a link to the tenant''s own page of the gateway and returns it, to be handed to the tenant: whoever has it can '
'change the tenant''s settings, read its last messages and answer. It begins with whatsapp_shared.gateway_url, is '
'valid for a minute to a year, and cannot be shown again. page: notifications. Errors: 42704 no such tenant; 22023 '
'no such page, or no such time.';

CREATE FUNCTION @extschema@.wa_revoke_links(tenant_id text) RETURNS integer
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    revoked integer;
BEGIN
    PERFORM @extschema@.wa_internal_check_tenant_exists(wa_revoke_links.tenant_id);
    UPDATE @extschema@.whatsapp_tenant_links AS l SET revoked_at = clock_timestamp()
        WHERE l.tenant_id = wa_revoke_links.tenant_id AND l.revoked_at IS NULL AND l.expires_at > clock_timestamp();
    GET DIAGNOSTICS revoked = ROW_COUNT;
    RETURN revoked;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_revoke_links(text) IS
'Ends all links that wa_tenant_link() has made for the tenant, from COMMIT on, and returns how many there were. Error '
'42704: no such tenant.';

CREATE TRIGGER whatsapp_tenant_links_noted
    AFTER INSERT ON @extschema@.whatsapp_tenant_links
    FOR EACH ROW WHEN (NOT @extschema@.wa_internal_is_restoring())
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('tenant', 'tenant_id', 'create_link,,');
CREATE TRIGGER whatsapp_tenant_links_change_noted
    AFTER UPDATE ON @extschema@.whatsapp_tenant_links
    FOR EACH ROW WHEN (OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL)
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('tenant', 'tenant_id', ',revoke_link,');

/*
 * Refuses a key that is not that of a live link of this tenant.  It is the gateway
 * that hashes it: a server may log the parameters of statements.  The errors are
 * read by whoever followed the link, so they say what to do and not whose it was.
 *
 * When it was last used is noted once a minute and by one of those who use it at
 * once; nobody waits for that, and a standby, which cannot, answers all the same.
 */
CREATE FUNCTION @extschema@.wa_internal_check_link(tenant text, key_sha256 text)
RETURNS @extschema@.whatsapp_tenant_links
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    link @extschema@.whatsapp_tenant_links;
    problem text;
BEGIN
    SELECT l.* INTO link FROM @extschema@.whatsapp_tenant_links AS l
        WHERE l.key_hash = decode(key_sha256, 'hex');
    problem := CASE WHEN link.key_hash IS NULL THEN 'this link is not known'
                    WHEN link.revoked_at IS NOT NULL THEN 'this link has been withdrawn'
                    WHEN link.expires_at <= clock_timestamp() THEN 'this link has expired' END;
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION '%', problem
            USING ERRCODE = 'invalid_authorization_specification', HINT = 'Ask your platform for a new link.';
    ELSIF link.tenant_id IS DISTINCT FROM tenant THEN
        RAISE EXCEPTION 'this link is for another page'
            USING ERRCODE = 'insufficient_privilege', HINT = 'Open the link that your platform gave you.';
    END IF;
    IF COALESCE(link.last_used_at < clock_timestamp() - interval '1 minute', true)
       AND NOT current_setting('transaction_read_only')::boolean THEN
        UPDATE @extschema@.whatsapp_tenant_links AS l SET last_used_at = clock_timestamp()
            WHERE l.key_hash IN (
                SELECT o.key_hash FROM @extschema@.whatsapp_tenant_links AS o
                WHERE o.key_hash = link.key_hash FOR NO KEY UPDATE SKIP LOCKED);
    END IF;
    RETURN link;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_retain_links(batch integer) RETURNS bigint
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
    DELETE FROM @extschema@.whatsapp_tenant_links AS d WHERE d.key_hash IN (
        SELECT l.key_hash FROM @extschema@.whatsapp_tenant_links AS l
        WHERE LEAST(l.revoked_at, l.expires_at) < now() - keep
        LIMIT batch FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END
$$;

/* ---- 87-explain ------------------------------------------------------------------ */

CREATE OR REPLACE VIEW @extschema@.wa_reason_codes (reason, meaning, remedy) AS
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
    ('takeover',
     'This server was promoted, and its former primary may have sent the message without this server knowing it.',
     'None: a webhook settles it, or the policy after whatsapp_shared.takeover_grace. wa_resolve_message() decides at '
     'once.'),
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
    ('thread_taken', 'Another application has the conversation with the recipient.',
     'None: it is sent when the conversation is given back, or the recipient writes to this application. '
     'wa_configure_tenant(…, on_thread => ''take_over'') sends it, and takes the conversation over.'),
    ('template_paused', 'Sending is paused for the template.', 'wa_resume(''template'', …) when the cause has gone.'),

    /* a matter of time */
    ('window_closed',
     'The recipient last wrote to the number more than 24 hours ago, and only templates may be sent now.',
     'None, or send a template with wa_enqueue_message(). fallback_template names one for the next time.'),
    ('expiring', 'The message has passed its expiry and will be marked as expired.', 'None.'),
    ('scheduled', 'The message is not due yet.', 'None.'),
    ('quiet_hours', 'The tenant''s quiet hours are in effect.',
     'None; messages with priority 100 or more are sent in quiet hours too.'),
    ('retry', 'The last attempt failed with a temporary error; another one follows.', 'None.'),
    ('network', 'Meta does not answer; it is tried again and again.',
     'None, if it is one number. If it is all, and lasts, check the server''s connection to graph.facebook.com '
     '(name resolution, certificates, proxy, firewall).'),
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

/*
 * The sender of this number, if it is not running; NULL if it is, or if that is
 * not known.  The numbers are shared out over the senders of a database.
 */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_absent_sender(number text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('sender %s of %s, which sends from number %s', o.sender, o.senders, number)
    FROM (SELECT @extschema@.wa_internal_sender_of(number, max(s.senders)), max(s.senders),
                 array_agg(s.sender) FILTER (WHERE s.pid IS NOT NULL)
          FROM @extschema@.wa_stats() AS s) AS o (sender, senders, running)
    WHERE o.senders IS NOT NULL AND o.sender <> ALL (COALESCE(o.running, '{}'))
$$;

/* If that is why a database has no sender: the server has no process for one. */
CREATE FUNCTION @extschema@.wa_internal_no_room() RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('the server has room for %s of %s senders', r.room, r.wanted)
        || COALESCE(format('; max_worker_processes must be %s at least', r.processes), '')
    FROM @extschema@.wa_internal_sender_room() AS r
    WHERE r.wanted IS NOT NULL
$$;

CREATE OR REPLACE FUNCTION @extschema@.wa_internal_explain_end(
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
            ELSIF m.status_reason = 'too_many_attempts' THEN
                detail := format('%s attempts were made, and a message cannot have more', m.attempts);
                remedy := 'Enqueue it as a new message.';
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

/* What only a person or an event can remove; no row if nothing of the kind is in the way. */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_explain_obstacle(
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
        ELSIF reason = 'sender_not_running' THEN
            detail := @extschema@.wa_internal_no_room();
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
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_explain_uncertain(
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
    reason := CASE WHEN q.hold_reason = 'takeover' THEN 'takeover' ELSE 'uncertain' END;
    earliest := q.due_at;
    detail := format('if no webhook comes by %s, %s', date_trunc('second', q.due_at), CASE policy
        WHEN 'resend' THEN 'it is sent again'
        WHEN 'park' THEN 'it waits for an operator'
        WHEN 'fail' THEN 'it is given up'
        ELSE 'it is sent again if the reports of other messages show that Meta does not have it, and waits for an '
            'operator if not' END);
END
$$;

/*
 * What is wrong with the requests of a number, or with those of all; NULL: they are
 * answered.  The sender says so by an alert once it has lasted for two seconds.
 */
CREATE FUNCTION @extschema@.wa_internal_trouble_of(number text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('since %s: %s', date_trunc('second', a.created_at), lower(left(a.message, 1)) || substr(a.message, 2))
    FROM @extschema@.whatsapp_alerts AS a
    WHERE a.kind = 'network' AND a.resolved_at IS NULL
        AND (a.scope = 'account' OR a.scope = 'number' AND a.key = number)
    ORDER BY a.scope
    LIMIT 1
$$;

/* A ready message: what the number waits for, how many come first, and how long they take. */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_explain_ready(
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
    forms CONSTANT text[] := @extschema@.wa_internal_addresses(m);
    throttled_until CONSTANT timestamptz := @extschema@.wa_internal_throttled_until(q.phone_number_id);
    trouble CONSTANT text := @extschema@.wa_internal_trouble_of(q.phone_number_id);
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
            AND COALESCE(other.recipient_phone, other.recipient_user_id) = ANY (forms)) THEN
        reason := 'recipient_order';
        RETURN;
    END IF;

    SELECT count(*) INTO ahead FROM (
        SELECT FROM @extschema@.whatsapp_queue AS o
        WHERE o.phone_number_id = q.phone_number_id AND o.state = 'r'
            AND (o.rank, o.message_id) < (q.rank, q.message_id)
        LIMIT enough) AS o;
    SELECT @extschema@.wa_internal_number_rate(
                p.messages_per_second, p.throughput_level, p.is_on_biz_app, p.rate_factor),
            CASE WHEN p.rate_factor < 1 THEN format(', lowered to %s because of %s',
                trim_scale(p.rate_factor::numeric * 100) || '%', p.rate_reason) ELSE '' END
        INTO rate, lowered
        FROM (VALUES (q.phone_number_id)) AS n (id)
            LEFT JOIN @extschema@.whatsapp_phone_numbers AS p ON p.phone_number_id = n.id;
    /* At one a second or more, the last one is no obstacle that anybody could see. */
    next_token := CASE WHEN rate < 1
        THEN @extschema@.wa_internal_last_sent(q.phone_number_id) + make_interval(secs => 1 / rate) END;
    earliest := GREATEST(clock_timestamp(), next_token, throttled_until)
        + make_interval(secs => ahead / rate);
    IF throttled_until IS NOT NULL THEN
        reason := 'number_throttled';
        detail := format('until %s', date_trunc('second', throttled_until));
    ELSIF trouble IS NOT NULL THEN
        reason := 'network';
        detail := trouble;
        earliest := NULL;
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

DROP FUNCTION @extschema@.wa_internal_unreachable_until(text);

/*
 * Whether the service window of a message that needs one has closed while it waited:
 * see src/sender/store/consent_rows.c.
 */
CREATE FUNCTION @extschema@.wa_internal_window_has_closed(
    m @extschema@.whatsapp_messages, number text) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT m.message_type <> 'template' AND number IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM @extschema@.whatsapp_windows AS w
            WHERE w.phone_number_id = number AND w.recipient = COALESCE(m.recipient_phone, m.recipient_user_id)
                AND w.last_inbound_at > clock_timestamp() - interval '24 hours')
        AND EXISTS (SELECT FROM @extschema@.whatsapp_windows)
$$;

/*
 * Whether a message waits because another application has the conversation: see
 * src/sender/store/consent_rows.c and src/sender/pace/gate.c.
 */
CREATE FUNCTION @extschema@.wa_internal_thread_stops(m @extschema@.whatsapp_messages, number text) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT m.message_type <> 'template'
        AND EXISTS (
            SELECT FROM @extschema@.whatsapp_windows AS w
            WHERE w.phone_number_id = number AND w.recipient = COALESCE(m.recipient_phone, m.recipient_user_id)
                AND w.last_inbound_at > clock_timestamp() - interval '24 hours'
                AND @extschema@.wa_internal_thread_is_taken(w.last_inbound_at, w.taken_at, w.passed_at))
        AND EXISTS (
            SELECT FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = m.tenant_id AND t.on_thread = 'hold')
$$;

/* What time alone will mend. */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_explain_wait(
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
    ELSIF @extschema@.wa_internal_window_has_closed(m, q.phone_number_id) THEN
        reason := 'window_closed';
        earliest := GREATEST(q.due_at, clock_timestamp());
        detail := COALESCE(
            (SELECT format('it will be sent as template %s', f.template_name)
             FROM @extschema@.whatsapp_fallbacks AS f WHERE f.message_id = m.id),
            'it will fail at its turn, unless the recipient writes before');
    ELSIF @extschema@.wa_internal_thread_stops(m, q.phone_number_id) THEN
        reason := 'thread_taken';
        SELECT 'it has the role ' || NULLIF(@extschema@.wa_internal_thread_owner(q.phone_number_id, m.recipient_phone,
            m.recipient_user_id, clock_timestamp()), 'other') INTO detail;
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

CREATE OR REPLACE FUNCTION @extschema@.wa_internal_explain(
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
    ELSIF EXISTS (SELECT FROM @extschema@.wa_internal_opted_out(ARRAY[m.id])) THEN
        reason := 'opted_out';
        detail := 'it will be skipped';
    ELSE
        SELECT e.* INTO reason, detail, earliest FROM @extschema@.wa_internal_explain_obstacle(m, q) AS e;
        IF reason IS NULL THEN
            SELECT e.* INTO reason, detail, earliest FROM @extschema@.wa_internal_explain_wait(m, q) AS e;
        END IF;
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION @extschema@.wa_explain(id bigint)
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
                    ELSE format('%s (%s)', rtrim(r.meaning, '.'), e.detail) || '.' END
                   || CASE WHEN m.erased_at IS NULL THEN ''
                           ELSE ' Its content and its recipient have been erased.' END,
               e.earliest,
               CASE WHEN m.erased_at IS NULL THEN COALESCE(e.remedy, r.remedy)
                    ELSE 'None: it cannot be sent again.' END
        FROM @extschema@.wa_internal_explain(m) AS e
            LEFT JOIN @extschema@.wa_reason_codes AS r ON r.reason = e.reason;
END
$$;

/* By whatever wa_find() takes. */
CREATE FUNCTION @extschema@.wa_explain(wanted text)
RETURNS TABLE (message_id bigint, status text, reason text, explanation text, earliest timestamptz, remedy text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
        SELECT e.* FROM @extschema@.wa_find(wanted, 20) AS f
            CROSS JOIN LATERAL @extschema@.wa_explain(f.id) AS e
        ORDER BY f.id DESC;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no message is known by "%"', @extschema@.wa_internal_quote(wanted)
            USING ERRCODE = 'undefined_object',
                  HINT = 'Finished messages are removed after whatsapp_shared.retention; wa_find() says what can be '
                      'given.';
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_explain(text) IS
'As wa_explain(bigint), for the newest 20 messages that wa_find() finds by this text. Errors: 22004, 22023, 42704 '
'nothing found.';

/* ---- 88-gateway ------------------------------------------------------------------ */

/* Viewers see everything and change nothing. */
CREATE FUNCTION @extschema@.wa_internal_gateway_require(request jsonb, role text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    has CONSTANT text := request #>> '{actor,role}';
BEGIN
    IF has = 'admin' OR has = 'viewer' AND role = 'viewer' THEN
        RETURN;
    END IF;
    RAISE EXCEPTION 'this needs the role %', role
        USING ERRCODE = 'insufficient_privilege',
              HINT = CASE has WHEN 'viewer' THEN 'A viewer''s token reads and changes nothing.'
                  ELSE 'Use the token of an administrator.' END;
END
$$;

/* For whom the rest of the statement acts: sql/82-timeline. */
CREATE FUNCTION @extschema@.wa_internal_gateway_act(request jsonb, calls boolean DEFAULT true) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT @extschema@.wa_internal_act_for(COALESCE(request #>> '{actor,name}', request #>> '{actor,role}'), calls)
$$;

/* Refuses what the route does not know: a name that is misspelt must not be taken for none. */
CREATE FUNCTION @extschema@.wa_internal_gateway_accept(
    request jsonb,
    arguments text[] DEFAULT '{}',
    members text[] DEFAULT '{}')
RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    unknown text;
BEGIN
    SELECT min(a.name) INTO unknown
        FROM jsonb_object_keys(COALESCE(NULLIF(request -> 'query', 'null'), '{}')) AS a (name)
        WHERE a.name <> ALL (arguments);
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION 'unknown query argument "%"', @extschema@.wa_internal_quote(unknown)
            USING ERRCODE = 'invalid_parameter_value', COLUMN = @extschema@.wa_internal_quote(unknown),
                  HINT = CASE WHEN arguments = '{}' THEN 'There are none here.'
                      ELSE COALESCE(@extschema@.wa_internal_did_you_mean(unknown, arguments),
                          format('Known: %s.', array_to_string(arguments, ', '))) END;
    ELSIF jsonb_typeof(request -> 'body') NOT IN ('object', 'null') THEN
        RAISE EXCEPTION 'the body must be a JSON object'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT min(m.name) INTO unknown
        FROM jsonb_object_keys(COALESCE(NULLIF(request -> 'body', 'null'), '{}')) AS m (name)
        WHERE m.name <> ALL (members);
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION 'unknown member "%"', @extschema@.wa_internal_quote(unknown)
            USING ERRCODE = 'invalid_parameter_value', COLUMN = @extschema@.wa_internal_quote(unknown),
                  HINT = CASE WHEN members = '{}' THEN 'The body has none here.'
                      ELSE COALESCE(@extschema@.wa_internal_did_you_mean(unknown, members),
                          format('Known: %s.', array_to_string(members, ', '))) END;
    END IF;
END
$$;

/* What every route of the administration begins with. */
CREATE FUNCTION @extschema@.wa_internal_gateway_begin(
    request jsonb,
    role text,
    arguments text[] DEFAULT '{}',
    members text[] DEFAULT '{}')
RETURNS void
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT @extschema@.wa_internal_gateway_require(request, role);
    SELECT @extschema@.wa_internal_gateway_act(request);
    SELECT @extschema@.wa_internal_gateway_accept(request, arguments, members)
$$;

/* A query argument; NULL: it is not there, or empty as forms send it. */
CREATE FUNCTION @extschema@.wa_internal_gateway_argument(request jsonb, name text) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT NULLIF(request #>> ARRAY['query', name], '')
$$;

CREATE FUNCTION @extschema@.wa_internal_gateway_integer(
    request jsonb,
    name text,
    lowest bigint,
    highest bigint,
    fallback bigint DEFAULT NULL)
RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given CONSTANT text := @extschema@.wa_internal_gateway_argument(request, name);
BEGIN
    IF given IS NULL THEN
        RETURN fallback;
    ELSIF given ~ '^-?[0-9]{1,18}$' THEN
        IF given::bigint BETWEEN lowest AND highest THEN
            RETURN given::bigint;
        END IF;
    END IF;
    RAISE EXCEPTION '"%" must be a whole number from % to %', name, lowest, highest
        USING ERRCODE = 'invalid_parameter_value', COLUMN = name;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_gateway_boolean(request jsonb, name text, fallback boolean DEFAULT NULL)
RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given CONSTANT text := @extschema@.wa_internal_gateway_argument(request, name);
BEGIN
    IF given IS NULL THEN
        RETURN fallback;
    ELSIF given IN ('true', 'false') THEN
        RETURN given::boolean;
    END IF;
    RAISE EXCEPTION '"%" must be true or false', name
        USING ERRCODE = 'invalid_parameter_value', COLUMN = name;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_gateway_time(request jsonb, name text, fallback timestamptz DEFAULT NULL)
RETURNS timestamptz
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given CONSTANT text := @extschema@.wa_internal_gateway_argument(request, name);
BEGIN
    IF given IS NULL THEN
        RETURN fallback;
    ELSIF given ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}' THEN
        BEGIN
            RETURN given::timestamptz;
        EXCEPTION WHEN data_exception THEN
            NULL;
        END;
    END IF;
    RAISE EXCEPTION '"%" must be a time', name
        USING ERRCODE = 'invalid_parameter_value', COLUMN = name,
              HINT = 'Write it as in 2026-11-29 or 2026-11-29T10:30:00Z; a plus sign is %2B in an address.';
END
$$;

/* A member of the body, of this JSON type; NULL: it is not there, or null. */
CREATE FUNCTION @extschema@.wa_internal_gateway_member(
    request jsonb,
    name text,
    type text DEFAULT 'string',
    required boolean DEFAULT false)
RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given CONSTANT jsonb := NULLIF(request #> ARRAY['body', name], 'null');
BEGIN
    IF given IS NULL AND required THEN
        RAISE EXCEPTION '"%" is missing', name
            USING ERRCODE = 'null_value_not_allowed', COLUMN = name;
    ELSIF jsonb_typeof(given) <> type THEN
        RAISE EXCEPTION '"%" must be of type %', name, type
            USING ERRCODE = 'invalid_parameter_value', COLUMN = name,
                  DETAIL = format('It is of type %s.', jsonb_typeof(given));
    END IF;
    RETURN given;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_gateway_string(request jsonb, name text, required boolean DEFAULT false)
RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT NULLIF(@extschema@.wa_internal_gateway_member(request, name, 'string'::text, required) #>> '{}', '')
$$;

/* A time in the body: not "tomorrow", which is another one each time that it is sent. */
CREATE FUNCTION @extschema@.wa_internal_gateway_body_time(request jsonb, name text) RETURNS timestamptz
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given CONSTANT text := @extschema@.wa_internal_gateway_string(request, name);
BEGIN
    IF given IS NULL THEN
        RETURN NULL;
    ELSIF given ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}' THEN
        BEGIN
            RETURN given::timestamptz;
        EXCEPTION WHEN data_exception THEN
            NULL;
        END;
    END IF;
    RAISE EXCEPTION '"%" must be a time', name
        USING ERRCODE = 'invalid_parameter_value', COLUMN = name, HINT = 'Write it as in 2026-11-29T10:30:00Z.';
END
$$;

/* A whole number in the body. */
CREATE FUNCTION @extschema@.wa_internal_gateway_body_integer(request jsonb, name text, lowest bigint, highest bigint)
RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given CONSTANT numeric := @extschema@.wa_internal_gateway_member(request, name, 'number'::text);
BEGIN
    IF given NOT BETWEEN lowest AND highest OR given <> trunc(given) THEN
        RAISE EXCEPTION '"%" must be a whole number from % to %', name, lowest, highest
            USING ERRCODE = 'invalid_parameter_value', COLUMN = name;
    END IF;
    RETURN given;
END
$$;

/* The number in the path, of a message or an alert. */
CREATE FUNCTION @extschema@.wa_internal_gateway_id(request jsonb, what text) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given CONSTANT text := request #>> '{path,id}';
BEGIN
    IF given ~ '^[0-9]{1,18}$' THEN
        RETURN given::bigint;
    END IF;
    RAISE EXCEPTION '% "%" does not exist', what, @extschema@.wa_internal_quote(given) USING ERRCODE = 'no_data_found';
END
$$;

/* The tenant in the path, who must exist. */
CREATE FUNCTION @extschema@.wa_internal_gateway_tenant(request jsonb) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given CONSTANT text := request #>> '{path,tenant_id}';
BEGIN
    IF NOT EXISTS (SELECT FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = given) THEN
        RAISE EXCEPTION 'tenant "%" does not exist', @extschema@.wa_internal_quote(given)
            USING ERRCODE = 'no_data_found', HINT = @extschema@.wa_internal_tenant_hint(given, NULL::text);
    END IF;
    RETURN given;
END
$$;

/*
 * A cursor says where a list goes on: its name and a position, base64url, so that
 * nobody takes it for something to be written by hand.
 */
CREATE FUNCTION @extschema@.wa_internal_gateway_cursor(list text, place anyelement) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT translate(encode(convert_to(json_build_array(list, place)::text, 'UTF8'), 'base64'), E'+/=\n', '-_')
    WHERE place IS NOT NULL
$$;

/* The position in the cursor that was sent; NULL: from the beginning. */
CREATE FUNCTION @extschema@.wa_internal_gateway_place(request jsonb, list text) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given CONSTANT text := @extschema@.wa_internal_gateway_argument(request, 'cursor'::text);
    parts jsonb;
BEGIN
    IF given IS NULL THEN
        RETURN NULL;
    END IF;
    BEGIN
        parts := convert_from(decode(rpad(translate(given, '-_', '+/'), (length(given) + 3) / 4 * 4, '='), 'base64'),
            'UTF8')::jsonb;
    EXCEPTION WHEN data_exception THEN
        NULL;
    END;
    IF parts ->> 0 IS DISTINCT FROM list THEN
        RAISE EXCEPTION 'this cursor is not of this list'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'cursor',
                  HINT = 'Take the one of the Link header of the page before, or leave it out.';
    END IF;
    RETURN parts -> 1;
END
$$;

/* A position that is a number. */
CREATE FUNCTION @extschema@.wa_internal_gateway_place_id(request jsonb, list text) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    place CONSTANT jsonb := @extschema@.wa_internal_gateway_place(request, list);
BEGIN
    IF jsonb_typeof(place) <> 'number' THEN
        RAISE EXCEPTION 'this cursor is not of this list' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'cursor';
    END IF;
    RETURN (place #>> '{}')::bigint;
END
$$;

/* OUT paging: next is left out on the last page. */
CREATE FUNCTION @extschema@.wa_internal_gateway_paging(next text, total bigint DEFAULT NULL) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT NULLIF(jsonb_strip_nulls(jsonb_build_object('next', next, 'total', total)), '{}')
$$;

/*
 * The first message that was written at this time or later: ids follow creation
 * closely, so it is found by halving, with a few looks at the primary key.  (The
 * BRIN index on created_at would do only as long as no page is used again after
 * retention.)  Who wants exactness compares created_at as well.
 */
CREATE FUNCTION @extschema@.wa_internal_first_message_since(since timestamptz) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_sort = off
    SET jit = off
AS $$
DECLARE
    low bigint := 0;
    high bigint := (SELECT max(m.id) + 1 FROM @extschema@.whatsapp_messages AS m);
    middle bigint;
    probe record;
BEGIN
    WHILE low < high LOOP
        middle := (low + high) / 2;
        SELECT m.id, m.created_at INTO probe FROM @extschema@.whatsapp_messages AS m
            WHERE m.id >= middle ORDER BY m.id LIMIT 1;
        IF probe.created_at < since THEN
            low := probe.id + 1;
        ELSE
            high := middle;
        END IF;
    END LOOP;
    RETURN COALESCE(low, 0);
END
$$;

/*
 * A window of messages that ends now: from this time on, but not more than so
 * many.  Gives its first id, and since when it counts in truth.
 */
CREATE FUNCTION @extschema@.wa_internal_message_window(
    INOUT since timestamptz,
    most bigint,
    OUT first_id bigint)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_sort = off
    SET jit = off
AS $$
DECLARE
    oldest CONSTANT bigint := (SELECT max(m.id) - most + 1 FROM @extschema@.whatsapp_messages AS m);
BEGIN
    first_id := @extschema@.wa_internal_first_message_since(since);
    IF first_id < oldest THEN
        SELECT m.id, m.created_at INTO first_id, since
            FROM @extschema@.whatsapp_messages AS m WHERE m.id >= oldest ORDER BY m.id LIMIT 1;
    END IF;
END
$$;

/*
 * What has become of the messages of a window, by tenant and number; of a few
 * tenants, if they are given, by the index on theirs.
 *
 * Here, and wherever messages are read by a range of ids, the planner is not asked:
 * just after a restore it knows nothing of the table, and would read all of it.
 * (What is switched off costs a great deal on paper, for which JIT would compile it.)
 */
CREATE FUNCTION @extschema@.wa_internal_message_tallies(
    first_id bigint,
    since timestamptz,
    tenants text[] DEFAULT NULL)
RETURNS TABLE (tenant_id text, phone_number_id text, sent bigint, failed bigint)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_sort = off
    SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    IF tenants IS NULL THEN
        RETURN QUERY
            SELECT m.tenant_id, m.phone_number_id, count(m.accepted_at), count(*) FILTER (WHERE m.status = 'failed')
            FROM @extschema@.whatsapp_messages AS m
            WHERE m.id >= wa_internal_message_tallies.first_id AND m.created_at >= wa_internal_message_tallies.since
            GROUP BY m.tenant_id, m.phone_number_id;
    ELSE
        RETURN QUERY
            SELECT t.id, NULL::text, c.sent, c.failed
            FROM unnest(tenants) AS t (id)
                CROSS JOIN LATERAL (
                    SELECT count(m.accepted_at) AS sent, count(*) FILTER (WHERE m.status = 'failed') AS failed
                    FROM @extschema@.whatsapp_messages AS m
                    WHERE m.tenant_id = t.id AND m.created_at >= wa_internal_message_tallies.since OFFSET 0) AS c;
    END IF;
END
$$;

/*
 * How many messages of each tenant wait.  Those of a number that a tenant has are
 * the tenant's; of the others, which have none or the default number, the oldest
 * are looked up.
 */
CREATE FUNCTION @extschema@.wa_internal_waiting_by_tenant(most integer DEFAULT 20000)
RETURNS TABLE (tenant_id text, waiting bigint)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH counted AS MATERIALIZED (
        SELECT q.phone_number_id, count(*) AS n FROM @extschema@.whatsapp_queue AS q
        WHERE q.phone_number_id IS NOT NULL GROUP BY q.phone_number_id),
    owned AS MATERIALIZED (
        SELECT c.phone_number_id, c.n, a.tenant_id FROM counted AS c
            LEFT JOIN @extschema@.whatsapp_phone_assignments AS a
                ON a.phone_number_id = c.phone_number_id AND a.unassigned_at IS NULL),
    rest AS (
        SELECT q.message_id FROM @extschema@.whatsapp_queue AS q
        WHERE q.phone_number_id IS NULL
            OR q.phone_number_id = ANY (ARRAY(SELECT o.phone_number_id FROM owned AS o WHERE o.tenant_id IS NULL))
        LIMIT most)
    SELECT w.tenant_id, sum(w.n)::bigint
    FROM (SELECT o.tenant_id, o.n FROM owned AS o WHERE o.tenant_id IS NOT NULL
          UNION ALL
          SELECT m.tenant_id, count(*) FROM rest AS r JOIN @extschema@.whatsapp_messages AS m ON m.id = r.message_id
          GROUP BY m.tenant_id) AS w
    GROUP BY w.tenant_id
$$;

/* Of one tenant. */
CREATE FUNCTION @extschema@.wa_internal_waiting_of(tenant text) RETURNS bigint
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT count(*) FROM (
        SELECT FROM @extschema@.whatsapp_queue AS q
            JOIN @extschema@.whatsapp_messages AS m ON m.id = q.message_id
        WHERE m.tenant_id = tenant
            AND (q.phone_number_id IS NULL
                 OR q.phone_number_id IN (SELECT a.phone_number_id FROM @extschema@.whatsapp_phone_assignments AS a
                                          WHERE a.tenant_id = tenant AND a.unassigned_at IS NULL)
                 OR q.phone_number_id = current_setting('whatsapp_shared.phone_number_id', true))
        LIMIT 100000) AS w
$$;

CREATE FUNCTION @extschema@.wa_gateway_health(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text);
    status := 200;
    SELECT COALESCE(jsonb_agg(to_jsonb(h)), '[]') INTO body FROM @extschema@.wa_health() AS h;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_health(jsonb) IS
'GET /api/v1/admin/whatsapp/health: the rows of wa_health().';

CREATE FUNCTION @extschema@.wa_gateway_diagnose(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text);
    status := 200;
    SELECT COALESCE(jsonb_agg(to_jsonb(d)), '[]') INTO body
        FROM @extschema@.wa_diagnose(@extschema@.wa_internal_gateway_tenant(request)) AS d;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_diagnose(jsonb) IS
'GET /api/v1/admin/whatsapp/tenants/{tenant_id}/diagnose: the rows of wa_diagnose().';

CREATE FUNCTION @extschema@.wa_gateway_queue(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text);
    status := 200;
    SELECT COALESCE(jsonb_agg(to_jsonb(q) ORDER BY q.messages DESC, q.phone_number_id, q.state, q.reason), '[]')
        INTO body FROM @extschema@.wa_queue_status AS q;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_queue(jsonb) IS
'GET /api/v1/admin/whatsapp/queue: the rows of wa_queue_status.';

CREATE FUNCTION @extschema@.wa_gateway_pauses(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text);
    status := 200;
    SELECT COALESCE(jsonb_agg(to_jsonb(p) ORDER BY p.paused_at DESC, p.scope, p.key), '[]') INTO body
        FROM (SELECT o.* FROM @extschema@.whatsapp_pauses AS o ORDER BY o.paused_at DESC LIMIT 5000) AS p;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_pauses(jsonb) IS
'GET /api/v1/admin/whatsapp/pauses: the rows of whatsapp_pauses, the newest first.';

CREATE FUNCTION @extschema@.wa_gateway_pause(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    a_scope text;
    a_key text;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text,
        members => '{scope,key,reason,until}'::text[]);
    a_scope := @extschema@.wa_internal_gateway_string(request, 'scope'::text, true);
    a_key := @extschema@.wa_internal_gateway_string(request, 'key'::text);
    PERFORM @extschema@.wa_pause(a_scope, a_key,
        reason => COALESCE(@extschema@.wa_internal_gateway_string(request, 'reason'::text), 'paused by an operator'),
        until => @extschema@.wa_internal_gateway_body_time(request, 'until'::text));
    SELECT 200, to_jsonb(p) INTO status, body
        FROM @extschema@.whatsapp_pauses AS p WHERE p.scope = a_scope AND p.key = COALESCE(a_key, '');
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_pause(jsonb) IS
'POST /api/v1/admin/whatsapp/pauses {scope, key, reason, until}: wa_pause(). Answers with the pause.';

CREATE FUNCTION @extschema@.wa_gateway_resume(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = warning
AS $$
DECLARE
    a_scope text;
    a_key text;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text, '{scope,key}'::text[]);
    a_scope := @extschema@.wa_internal_gateway_argument(request, 'scope'::text);
    a_key := @extschema@.wa_internal_gateway_argument(request, 'key'::text);
    IF a_scope IS NULL THEN
        RAISE EXCEPTION '"scope" is missing' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'scope';
    ELSIF NOT @extschema@.wa_resume(a_scope, a_key) THEN
        status := 404;
        body := jsonb_build_object('detail', format('%s is not paused', concat_ws(' ', a_scope, a_key)));
        RETURN;
    END IF;
    status := 204;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_resume(jsonb) IS
'DELETE /api/v1/admin/whatsapp/pauses?scope=&key=: wa_resume(). 404: it is not paused.';

CREATE FUNCTION @extschema@.wa_gateway_alerts(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    list CONSTANT text := 'alerts';
    only_resolved boolean;
    only_kind text;
    before bigint;
    most bigint;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text, '{resolved,kind,limit,cursor}'::text[]);
    only_resolved := @extschema@.wa_internal_gateway_boolean(request, 'resolved'::text, false);
    only_kind := @extschema@.wa_internal_gateway_argument(request, 'kind'::text);
    before := COALESCE(@extschema@.wa_internal_gateway_place_id(request, list), 9223372036854775807);
    most := @extschema@.wa_internal_gateway_integer(request, 'limit'::text, 1, 500, 50);
    status := 200;
    /* Two branches: what is open has an index of its own. */
    SELECT COALESCE(jsonb_agg(to_jsonb(a) || jsonb_build_object('remedy', k.remedy) ORDER BY a.alert_id DESC), '[]'),
           @extschema@.wa_internal_gateway_paging(@extschema@.wa_internal_gateway_cursor(list,
               CASE WHEN count(*) = most THEN min(a.alert_id) END))
        INTO body, paging
        FROM (
            (SELECT o.* FROM @extschema@.whatsapp_alerts AS o
             WHERE NOT only_resolved AND o.resolved_at IS NULL AND o.alert_id < before
                 AND (only_kind IS NULL OR o.kind = only_kind)
             ORDER BY o.alert_id DESC LIMIT most)
            UNION ALL
            (SELECT o.* FROM @extschema@.whatsapp_alerts AS o
             WHERE only_resolved AND o.resolved_at IS NOT NULL AND o.alert_id < before
                 AND (only_kind IS NULL OR o.kind = only_kind)
             ORDER BY o.alert_id DESC LIMIT most)) AS a
        LEFT JOIN @extschema@.wa_internal_alert_kinds() AS k ON k.kind = a.kind;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_alerts(jsonb) IS
'GET /api/v1/admin/whatsapp/alerts?resolved=false&kind=: rows of whatsapp_alerts with remedy, the newest first.';

CREATE FUNCTION @extschema@.wa_gateway_resolve_alert(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    id bigint;
    a @extschema@.whatsapp_alerts;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text);
    id := @extschema@.wa_internal_gateway_id(request, 'alert'::text);
    IF NOT EXISTS (SELECT FROM @extschema@.whatsapp_alerts AS o WHERE o.alert_id = id) THEN
        RAISE EXCEPTION 'alert % does not exist', id USING ERRCODE = 'no_data_found';
    END IF;
    PERFORM @extschema@.wa_resolve_alert(id);
    SELECT o.* INTO a FROM @extschema@.whatsapp_alerts AS o WHERE o.alert_id = id;
    status := 200;
    body := to_jsonb(a);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_resolve_alert(jsonb) IS
'POST /api/v1/admin/whatsapp/alerts/{id}/resolve: wa_resolve_alert(). Answers with the alert, closed now or before.';

CREATE FUNCTION @extschema@.wa_gateway_templates(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    list CONSTANT text := 'templates';
    only_status text;
    q text;
    after jsonb;
    most bigint;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text, '{status,q,limit,cursor}'::text[]);
    only_status := @extschema@.wa_internal_gateway_argument(request, 'status'::text);
    q := lower(@extschema@.wa_internal_gateway_argument(request, 'q'::text));
    after := @extschema@.wa_internal_gateway_place(request, list);
    most := @extschema@.wa_internal_gateway_integer(request, 'limit'::text, 1, 500, 50);
    status := 200;
    SELECT COALESCE(jsonb_agg(to_jsonb(t) || jsonb_build_object('pause_reason', p.reason) ORDER BY t.name, t.language),
               '[]'),
           @extschema@.wa_internal_gateway_paging(@extschema@.wa_internal_gateway_cursor(list,
               CASE WHEN count(*) = most THEN max(ARRAY[t.name, t.language]) END))
        INTO body, paging
        FROM (SELECT o.* FROM @extschema@.whatsapp_templates AS o
              WHERE (only_status IS NULL OR o.status = only_status)
                  AND (q IS NULL OR strpos(o.name, q) > 0)
                  AND (after IS NULL OR (o.name, o.language) > (after ->> 0, after ->> 1))
              ORDER BY o.name, o.language LIMIT most) AS t
        LEFT JOIN LATERAL (
            SELECT x.reason FROM @extschema@.whatsapp_pauses AS x
            WHERE x.scope = 'template' AND x.key IN (t.name, t.name || '/' || t.language)
            ORDER BY x.key LIMIT 1) AS p ON true;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_templates(jsonb) IS
'GET /api/v1/admin/whatsapp/templates?status=&q=: rows of whatsapp_templates with pause_reason, by name.';

CREATE FUNCTION @extschema@.wa_gateway_sync_phone_numbers(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text);
    PERFORM @extschema@.wa_sync_phone_numbers();
    SELECT 202, to_jsonb(s) INTO status, body FROM @extschema@.whatsapp_sync AS s WHERE s.kind = 'phone_numbers';
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_sync_phone_numbers(jsonb) IS
'POST /api/v1/admin/whatsapp/phone-numbers/sync: wa_sync_phone_numbers(). Answers with the row of whatsapp_sync.';

CREATE FUNCTION @extschema@.wa_gateway_sync_templates(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text);
    PERFORM @extschema@.wa_sync_templates();
    SELECT 202, to_jsonb(s) INTO status, body FROM @extschema@.whatsapp_sync AS s WHERE s.kind = 'templates';
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_sync_templates(jsonb) IS
'POST /api/v1/admin/whatsapp/templates/sync: wa_sync_templates(). Answers with the row of whatsapp_sync.';

CREATE FUNCTION @extschema@.wa_gateway_costs(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given text;
    first_day date;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text, '{month,currency}'::text[]);
    given := COALESCE(@extschema@.wa_internal_gateway_argument(request, 'month'::text),
        (SELECT to_char(now() AT TIME ZONE @extschema@.wa_internal_known_zone(z.time_zone), 'YYYY-MM')
         FROM @extschema@.whatsapp_usage_closed AS z));
    IF given !~ '^[0-9]{4}-(0[1-9]|1[0-2])$' OR given < '2000' THEN
        RAISE EXCEPTION '"month" must be a month'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'month', HINT = 'Write it as in 2026-11.';
    END IF;
    first_day := (given || '-01')::date;
    status := 200;
    SELECT COALESCE(jsonb_agg(to_jsonb(c) ORDER BY c.cost DESC NULLS LAST, c.tenant_id, c.category, c.currency), '[]')
        INTO body
        FROM @extschema@.wa_costs AS c
        WHERE c.month = first_day AND (@extschema@.wa_internal_gateway_argument(request, 'currency'::text) IS NULL
            OR c.currency = @extschema@.wa_internal_gateway_argument(request, 'currency'::text));
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_costs(jsonb) IS
'GET /api/v1/admin/whatsapp/costs?month=YYYY-MM&currency=: the rows of wa_costs for the month, this one by default.';

CREATE FUNCTION @extschema@.wa_gateway_timeline(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    began timestamptz;
    ended timestamptz;
    most bigint;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text, '{from,to,limit}'::text[]);
    began := @extschema@.wa_internal_gateway_time(request, 'from'::text, now() - interval '7 days');
    ended := @extschema@.wa_internal_gateway_time(request, 'to'::text, 'infinity'::timestamptz);
    most := @extschema@.wa_internal_gateway_integer(request, 'limit'::text, 1, 500, 200);
    status := 200;
    SELECT COALESCE(jsonb_agg(to_jsonb(t) ORDER BY t.at DESC), '[]') INTO body
        FROM (SELECT o.* FROM @extschema@.wa_timeline(began, ended) AS o ORDER BY o.at DESC LIMIT most) AS t;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_timeline(jsonb) IS
'GET /api/v1/admin/whatsapp/timeline?from=&to=: the rows of wa_timeline(), the newest first; the last seven days by '
'default.';

/* ---- 89-gateway-actions ---------------------------------------------------------- */

/* After an action: the message's state, or why nothing was done. */
CREATE FUNCTION @extschema@.wa_internal_gateway_acted(
    request jsonb,
    id bigint,
    action text,
    done boolean,
    what text,
    OUT status integer,
    OUT body jsonb)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    e record;
BEGIN
    SELECT x.* INTO e FROM @extschema@.wa_explain(id) AS x;
    IF done THEN
        status := 200;
        body := jsonb_build_object('id', id, 'status', e.status, 'reason', e.reason, 'explanation', e.explanation);
    ELSE
        status := 409;
        body := jsonb_build_object('detail', format('message %s was not %s: its status is %s', id, what, e.status),
            'message_status', e.status, 'reason', e.reason, 'explanation', e.explanation, 'hint', e.remedy);
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_gateway_retry_message(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = warning
AS $$
DECLARE
    m @extschema@.whatsapp_messages;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text);
    m := @extschema@.wa_internal_gateway_named(request);
    SELECT a.status, a.body INTO status, body
        FROM @extschema@.wa_internal_gateway_acted(request, m.id, 'retry_message'::text,
            @extschema@.wa_retry_message(m.id), 'queued again'::text) AS a;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_retry_message(jsonb) IS
'POST /api/v1/admin/whatsapp/messages/{id}/retry: wa_retry_message(). 409 with the reason if it was not queued again.';

CREATE FUNCTION @extschema@.wa_gateway_cancel_message(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = warning
AS $$
DECLARE
    m @extschema@.whatsapp_messages;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text);
    m := @extschema@.wa_internal_gateway_named(request);
    SELECT a.status, a.body INTO status, body
        FROM @extschema@.wa_internal_gateway_acted(request, m.id, 'cancel_message'::text,
            @extschema@.wa_cancel_message(m.id), 'cancelled'::text) AS a;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_cancel_message(jsonb) IS
'POST /api/v1/admin/whatsapp/messages/{id}/cancel: wa_cancel_message(). 409 with the reason if it was not cancelled.';

CREATE FUNCTION @extschema@.wa_gateway_resolve_message(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = warning
AS $$
DECLARE
    m @extschema@.whatsapp_messages;
    outcome text;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text, members => '{outcome}'::text[]);
    m := @extschema@.wa_internal_gateway_named(request);
    outcome := @extschema@.wa_internal_gateway_string(request, 'outcome'::text, true);
    SELECT a.status, a.body INTO status, body
        FROM @extschema@.wa_internal_gateway_acted(request, m.id, 'resolve_message'::text,
            @extschema@.wa_resolve_message(m.id, outcome), 'decided'::text) AS a;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_resolve_message(jsonb) IS
'POST /api/v1/admin/whatsapp/messages/{id}/resolve {outcome}: wa_resolve_message() with accepted, sent, failed or '
'resend. 409 with the reason if it is not uncertain any more.';

/*
 * Does one thing to messages that the caller has found, to each by its own rule.
 * Those that somebody else has locked now are passed by.
 *
 * A message that is none of a template may raise an error, because its service
 * window is closed, and one with a file, because that is not kept any longer; each of
 * these has a subtransaction.  More than 64 of them in one transaction cost every
 * other session its speed, so it stops before.  last_id: how far it came.
 */
CREATE FUNCTION @extschema@.wa_internal_retry_each(
    ids bigint[],
    OUT done integer,
    OUT refused integer,
    OUT last_id bigint)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m record;
    guarded integer := 0;
BEGIN
    done := 0;
    refused := 0;
    FOR m IN
        SELECT i.id, l.id IS NOT NULL AS is_mine,
            l.message_type <> 'template'
                OR EXISTS (SELECT FROM @extschema@.whatsapp_media_uses AS u WHERE u.message_id = l.id) AS may_raise
        FROM unnest(ids) WITH ORDINALITY AS i (id, n)
            LEFT JOIN (SELECT o.id, o.message_type FROM @extschema@.whatsapp_messages AS o
                       WHERE o.id = ANY (ids) ORDER BY o.id FOR UPDATE SKIP LOCKED) AS l ON l.id = i.id
        ORDER BY i.n
    LOOP
        IF m.may_raise THEN
            EXIT WHEN guarded = 50;
            guarded := guarded + 1;
            BEGIN
                m.is_mine := @extschema@.wa_retry_message(m.id);
            EXCEPTION WHEN object_not_in_prerequisite_state OR undefined_object THEN
                m.is_mine := false;
            END;
        ELSIF m.is_mine THEN
            m.is_mine := @extschema@.wa_retry_message(m.id);
        END IF;
        done := done + m.is_mine::integer;
        refused := refused + (NOT m.is_mine)::integer;
        last_id := m.id;
    END LOOP;
END
$$;

/* The locks are taken in the order of all: of the queue, and not of what is on the wire. */
CREATE FUNCTION @extschema@.wa_internal_cancel_each(
    ids bigint[],
    OUT done integer,
    OUT refused integer,
    OUT last_id bigint)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    mine bigint[];
BEGIN
    SELECT COALESCE(array_agg(l.message_id), '{}') INTO mine FROM (
        SELECT q.message_id FROM @extschema@.whatsapp_queue AS q
        WHERE q.message_id = ANY (ids) AND q.state <> 'u'
            AND q.message_id NOT IN (SELECT w.message_id FROM @extschema@.wa_internal_on_wire_requests AS w)
        ORDER BY q.message_id FOR UPDATE SKIP LOCKED) AS l;
    SELECT count(*) FILTER (WHERE @extschema@.wa_cancel_message(i)) INTO done FROM unnest(mine) AS i;
    refused := cardinality(ids) - done;
    last_id := ids[cardinality(ids)];
END
$$;

/*
 * One call does at most 500, so that nobody waits long for their locks; whoever wants
 * all of them calls again with the cursor until remaining is 0, and stops whenever
 * he likes.  What was refused is behind the cursor, and not met again.
 */
CREATE FUNCTION @extschema@.wa_internal_gateway_many(request jsonb, what text, OUT status integer, OUT body jsonb)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most CONSTANT integer := 500;
    at_once CONSTANT integer := 10000;
    arguments jsonb;
    filter jsonb;
    place jsonb;
    found record;
    left_over bigint := 0;
    further jsonb;
    acted record;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text, members => '{filter,dry_run,cursor}'::text[]);
    SELECT jsonb_build_object('query', COALESCE(jsonb_object_agg(f.key, f.value #>> '{}'), '{}'))
        INTO arguments
        FROM jsonb_each(@extschema@.wa_internal_gateway_member(request, 'filter'::text, 'object'::text, true)) AS f;
    PERFORM @extschema@.wa_internal_gateway_accept(arguments,
        '{q,tenant_id,phone_number_id,status,error_code,reason,from,to}'::text[]);
    filter := @extschema@.wa_internal_gateway_filter(arguments);
    place := @extschema@.wa_internal_gateway_place(jsonb_build_object('query',
        jsonb_build_object('cursor', @extschema@.wa_internal_gateway_string(request, 'cursor'::text))), what);
    /* Everything at once is nobody's wish. */
    IF NOT filter ? 'status' AND NOT filter ? 'reason' THEN
        RAISE EXCEPTION 'the filter must name a status or a reason'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'filter';
    END IF;

    status := 200;
    /* One event tells of all. */
    PERFORM @extschema@.wa_internal_gateway_act(request, calls => false);
    SELECT f.ids, f.next INTO found FROM @extschema@.wa_internal_find_messages(filter, place, most, 50000) AS f;
    IF @extschema@.wa_internal_gateway_member(request, 'dry_run'::text, 'boolean'::text) = 'true' THEN
        SELECT cardinality(f.ids), f.next INTO left_over, further
            FROM @extschema@.wa_internal_find_messages(filter, place, at_once, 200000) AS f;
        body := jsonb_build_object('matched', left_over, 'done', 0, 'refused', 0, 'remaining', left_over,
            'more', further IS NOT NULL);
        RETURN;
    END IF;
    IF what = 'retry' THEN
        SELECT e.* INTO acted FROM @extschema@.wa_internal_retry_each(found.ids) AS e;
    ELSE
        SELECT e.* INTO acted FROM @extschema@.wa_internal_cancel_each(found.ids) AS e;
    END IF;
    IF acted.done + acted.refused < cardinality(found.ids) THEN
        found.next := jsonb_build_array(acted.last_id,
            (SELECT m.created_at FROM @extschema@.whatsapp_messages AS m WHERE m.id = acted.last_id));
    END IF;
    IF found.next IS NOT NULL THEN
        SELECT cardinality(f.ids), f.next INTO left_over, further
            FROM @extschema@.wa_internal_find_messages(filter, found.next, at_once, 200000) AS f;
        /* Not 0 as long as there is more to be searched. */
        left_over := GREATEST(left_over, (further IS NOT NULL)::integer);
    END IF;
    IF acted.done > 0 THEN
        /* What was searched for may be a customer. */
        PERFORM @extschema@.wa_internal_note(what || '_messages', 'account'::text, NULL::text,
            jsonb_build_object('filter', filter - 'q'::text,
                'text', format('%s of %s messages', initcap(what), acted.done)),
            'info'::text, filter ->> 'tenant_id');
    END IF;
    body := jsonb_strip_nulls(jsonb_build_object(
        'matched', acted.done + acted.refused + left_over, 'done', acted.done, 'refused', acted.refused,
        'remaining', left_over, 'cursor', @extschema@.wa_internal_gateway_cursor(what, found.next)));
END
$$;

CREATE FUNCTION @extschema@.wa_gateway_retry_messages(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = warning
AS $$
BEGIN
    SELECT m.status, m.body INTO status, body FROM @extschema@.wa_internal_gateway_many(request, 'retry'::text) AS m;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_retry_messages(jsonb) IS
'POST /api/v1/admin/whatsapp/messages/retry {filter, dry_run, cursor}: wa_retry_message() for up to 500 that match the '
'filter, which must name a status or a reason. Answers with matched, done, refused, remaining (10,000 are counted at '
'most) and cursor, which is sent again until remaining is 0.';

CREATE FUNCTION @extschema@.wa_gateway_cancel_messages(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = warning
AS $$
BEGIN
    SELECT m.status, m.body INTO status, body FROM @extschema@.wa_internal_gateway_many(request, 'cancel'::text) AS m;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_cancel_messages(jsonb) IS
'POST /api/v1/admin/whatsapp/messages/cancel {filter, dry_run, cursor}: wa_cancel_message(), as for retry.';

/* ---- 89-gateway-conversations ---------------------------------------------------- */

/* A template's text with its values in the places of {{1}} or {{name}}. */
CREATE FUNCTION @extschema@.wa_internal_fill_in(template text, given jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(s.literal || CASE WHEN p.name IS NULL THEN '' ELSE COALESCE(given ->> p.name[1], '…') END, ''
                      ORDER BY s.i)
    FROM regexp_split_to_table(template, '\{\{\s*[A-Za-z0-9_]+\s*\}\}') WITH ORDINALITY AS s (literal, i)
        LEFT JOIN regexp_matches(template, '\{\{\s*([A-Za-z0-9_]+)\s*\}\}', 'g') WITH ORDINALITY AS p (name, i)
            ON p.i = s.i
$$;

/* The values that a payload gives to a component, by place or name. */
CREATE FUNCTION @extschema@.wa_internal_payload_values(payload jsonb, component text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(jsonb_object_agg(COALESCE(v.value ->> 'parameter_name', v.i::text),
            COALESCE(v.value ->> 'text', v.value #>> '{currency,fallback_value}',
                     v.value #>> '{date_time,fallback_value}', '…')), '{}')
    FROM jsonb_array_elements(CASE jsonb_typeof(payload -> 'components')
            WHEN 'array' THEN payload -> 'components' ELSE '[]' END) AS c (value)
        CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(c.value -> 'parameters')
            WHEN 'array' THEN c.value -> 'parameters' ELSE '[]' END) WITH ORDINALITY AS v (value, i)
    WHERE lower(c.value ->> 'type') = component
$$;

/* What the recipient of a template reads: header and body; of one that is not known, its values. */
CREATE FUNCTION @extschema@.wa_internal_template_words(name text, language text, payload jsonb) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(
        (SELECT string_agg(@extschema@.wa_internal_fill_in(c.value ->> 'text',
                    @extschema@.wa_internal_payload_values(payload, lower(c.value ->> 'type'))), E'\n' ORDER BY c.i)
         FROM @extschema@.whatsapp_templates AS t
             CROSS JOIN LATERAL jsonb_array_elements(t.components) WITH ORDINALITY AS c (value, i)
         WHERE t.name = wa_internal_template_words.name AND t.language = wa_internal_template_words.language
             AND upper(c.value ->> 'type') IN ('HEADER', 'BODY') AND c.value ->> 'text' <> ''),
        (SELECT string_agg(v.value, ' · ')
         FROM jsonb_each_text(@extschema@.wa_internal_payload_values(payload, 'body'::text)) AS v (name, value)))
$$;

CREATE FUNCTION @extschema@.wa_internal_message_words(m @extschema@.whatsapp_messages) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT left(CASE m.message_type
        WHEN 'template' THEN @extschema@.wa_internal_template_words(m.template_name, m.template_language, m.payload)
        WHEN 'text' THEN m.payload ->> 'body'
        WHEN 'interactive' THEN m.payload #>> '{body,text}'
        WHEN 'reaction' THEN m.payload ->> 'emoji'
        WHEN 'location' THEN concat_ws(', ', m.payload ->> 'name', m.payload ->> 'address')
        WHEN 'contacts' THEN m.payload #>> '{0,name,formatted_name}'
        ELSE COALESCE(m.payload ->> 'caption', m.payload ->> 'filename') END, 4096)
$$;

/*
 * Why it was not delivered, in the few cases in which its sender can do something
 * about it or must know; for everything else the platform is asked ("platform").
 */
CREATE FUNCTION @extschema@.wa_internal_plain_failure(m @extschema@.whatsapp_messages) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN m.status = 'expired' THEN 'too_late'
        WHEN m.status = 'skipped' THEN CASE m.status_reason WHEN 'tenant_disabled' THEN 'switched_off'
                                                            ELSE 'opted_out' END
        WHEN m.status_reason = 'uncertain' THEN 'perhaps'
        WHEN m.error_code = 131026 THEN 'no_whatsapp'
        WHEN m.error_code = 131021 THEN 'own_number'
        WHEN m.error_code = 131047 THEN 'window_closed'
        WHEN m.error_code IN (131050, 130403) THEN 'opted_out'
        WHEN m.error_code IN (130472, 131049) THEN 'withheld'
        WHEN m.error_code IN (131052, 131053) THEN 'file'
        WHEN m.error_code < 0 OR m.error_code IN (131000, 131016, 2, 1) THEN 'network'
        ELSE 'platform' END
$$;

/* The words of one message; obstacle: that of its tenant now. */
CREATE FUNCTION @extschema@.wa_internal_plain_state(
    m @extschema@.whatsapp_messages,
    obstacle text,
    OUT state text,
    OUT reason text,
    OUT retry_at timestamptz,
    OUT updated_at timestamptz)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    q @extschema@.whatsapp_queue;
BEGIN
    state := CASE m.status
        WHEN 'accepted' THEN 'sent' WHEN 'uncertain' THEN 'unknown'
        WHEN 'queued' THEN 'waiting' WHEN 'sending' THEN 'waiting'
        WHEN 'expired' THEN 'failed' WHEN 'skipped' THEN 'failed'
        ELSE m.status END;
    updated_at := GREATEST(m.created_at, m.accepted_at, m.sent_at, m.delivered_at, m.read_at, m.failed_at,
        m.finished_at);
    IF state = 'failed' THEN
        reason := @extschema@.wa_internal_plain_failure(m);
    ELSIF state = 'waiting' THEN
        SELECT o.* INTO q FROM @extschema@.whatsapp_queue AS o WHERE o.message_id = m.id;
        IF q.state = 'u' THEN
            state := 'unknown';
        ELSIF q.state = 'd' AND q.due_at > clock_timestamp() THEN
            reason := CASE q.hold_reason WHEN 'quiet_hours' THEN 'quiet_hours'
                WHEN 'retry' THEN 'again' WHEN 'network' THEN 'again' WHEN 'budget' THEN 'again'
                ELSE CASE WHEN m.scheduled_at > clock_timestamp() THEN 'scheduled' ELSE 'soon' END END;
            retry_at := q.due_at;
        ELSE
            reason := COALESCE(obstacle, CASE q.hold_reason WHEN 'media_upload' THEN 'file_upload'
                WHEN 'thread_taken' THEN 'elsewhere' ELSE 'soon' END);
        END IF;
    END IF;
END
$$;

/*
 * An answer written on the page is a message like any other.  Its idempotency key
 * says beneath which message it stands, and is unique for each time that somebody
 * pressed the button, however often the request had to be repeated.
 */
CREATE FUNCTION @extschema@.wa_internal_answer_prefix(beneath text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'gateway-answer:' || beneath || ':'
$$;

/*
 * All forms of the address of a message's recipient: those of now before those that
 * another has taken the place of, and the message's own first.
 */
CREATE FUNCTION @extschema@.wa_internal_addresses(m @extschema@.whatsapp_messages) RETURNS text[]
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ARRAY(
        SELECT a.address
        FROM (SELECT o.address, o.place
              FROM unnest(ARRAY[m.recipient_phone, m.recipient_user_id, '+' || m.recipient_wa_id])
                  WITH ORDINALITY AS o (address, place)
              WHERE o.address IS NOT NULL
              UNION ALL
              SELECT f.identity, 9
              FROM @extschema@.whatsapp_contact_identities AS i
                  JOIN @extschema@.whatsapp_contact_identities AS f ON f.contact_id = i.contact_id
              WHERE i.identity = COALESCE(m.recipient_phone, m.recipient_user_id)) AS a (address, place)
            LEFT JOIN @extschema@.whatsapp_contact_identities AS k ON k.identity = a.address
        GROUP BY a.address
        ORDER BY bool_or(k.replaced_at IS NOT NULL), min(a.place), a.address)
$$;

/* Until when one may write freely to a person, and under which address; no row: he has never written. */
CREATE FUNCTION @extschema@.wa_internal_answer_window(
    number text, addresses text[], OUT recipient text, OUT until timestamptz)
RETURNS SETOF record
    LANGUAGE sql STABLE ROWS 1
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.recipient, w.last_inbound_at + interval '24 hours'
    FROM @extschema@.whatsapp_windows AS w
    WHERE w.phone_number_id = number AND w.recipient = ANY (addresses) AND w.last_inbound_at > '-infinity'
    ORDER BY w.last_inbound_at DESC, array_position(addresses, w.recipient) LIMIT 1
$$;

/* The address of now of whoever has written under one of these: the same for all of a person's. */
CREATE FUNCTION @extschema@.wa_internal_person_address(phone text, usr text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE((
        SELECT COALESCE('+' || c.wa_id, c.user_id)
        FROM @extschema@.whatsapp_contact_identities AS i
            JOIN @extschema@.whatsapp_contacts AS c ON c.contact_id = i.contact_id
        WHERE i.identity IN (phone, usr)
        ORDER BY i.identity = usr DESC NULLS LAST LIMIT 1), phone, usr)
$$;

/*
 * The newest messages from customers, each with that of the given messages beneath
 * which it stands: the one that it replies to, or whose answer it replies to; if it
 * replies to none, the last one that was sent to whoever wrote it.  Bounded: 500, and
 * for messages before "before" those of a week.  Meta's times are whole seconds.
 *
 * Compiling it would take a second and save none: what is rarely done (NOT EXISTS)
 * makes it look costly.
 */
CREATE FUNCTION @extschema@.wa_internal_heard(tenant text, messages bigint[], before timestamptz)
RETURNS TABLE (parent bigint, inbound_id bigint, person text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
    SET jit = off
AS $$
    WITH places AS MATERIALIZED (
        SELECT a.address, m.id, m.created_at
        FROM @extschema@.whatsapp_messages AS m
            CROSS JOIN LATERAL unnest(@extschema@.wa_internal_addresses(m)) AS a (address)
        WHERE m.id = ANY (messages)
    ), heard AS MATERIALIZED (
        SELECT i.inbound_id, i.message_id, i.sent_at, i.sender_phone, i.sender_user_id
        FROM @extschema@.whatsapp_inbound_messages AS i
        WHERE i.tenant_id = tenant
            AND i.received_at >= LEAST((SELECT min(p.created_at) FROM places AS p),
                CASE WHEN before IS NULL THEN now() - interval '7 days' END)
            AND i.received_at < COALESCE(before + interval '7 days', 'infinity')
            AND i.message_type NOT IN ('system', 'revoke', 'request_welcome')
            /* What it edits reads as it says; a reaction that was taken back, or replaced, is none. */
            AND NOT (i.message_type = 'edit' AND i.about_inbound_id IS NOT NULL)
            AND NOT (i.message_type = 'reaction' AND (i.text IS NULL OR i.revoked_at IS NOT NULL))
        ORDER BY i.received_at DESC LIMIT 500
    ), direct AS MATERIALIZED (
        SELECT h.inbound_id, CASE WHEN starts_with(o.idempotency_key, 'gateway-answer:')
                                  THEN split_part(o.idempotency_key, ':', 2) ELSE o.id::text END AS parent
        FROM heard AS h JOIN @extschema@.whatsapp_messages AS o ON o.id = h.message_id
    ), latest AS MATERIALIZED (
        SELECT DISTINCT ON (h.inbound_id) h.inbound_id, p.id
        FROM heard AS h
            CROSS JOIN LATERAL (VALUES (h.sender_phone), (h.sender_user_id)) AS a (address)
            JOIN places AS p ON p.address = a.address
        WHERE h.message_id IS NULL AND p.created_at < h.sent_at + interval '1 second'
            AND (before IS NULL OR NOT EXISTS (
                SELECT FROM @extschema@.whatsapp_messages AS n
                WHERE n.tenant_id = tenant AND n.created_at >= before
                    AND n.created_at < h.sent_at + interval '1 second'
                    AND COALESCE(n.recipient_phone, n.recipient_user_id) IN (
                        SELECT f.address FROM places AS f WHERE f.id = p.id)))
        ORDER BY h.inbound_id, p.created_at DESC, p.id DESC)
    SELECT COALESCE(p.id, l.id), h.inbound_id, @extschema@.wa_internal_person_address(h.sender_phone, h.sender_user_id)
    FROM heard AS h
        LEFT JOIN direct AS d ON d.inbound_id = h.inbound_id
        LEFT JOIN unnest(messages) AS p (id) ON p.id::text = d.parent
        LEFT JOIN latest AS l ON l.inbound_id = h.inbound_id
$$;

/*
 * One of them as the page shows it; what was deleted is not shown.  read: it was before
 * somebody's eyes; media: its file, or null.
 */
CREATE FUNCTION @extschema@.wa_internal_heard_words(i @extschema@.whatsapp_inbound_messages) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object('id', 'i' || i.inbound_id, 'at', i.sent_at,
        'kind', CASE WHEN i.revoked_at IS NOT NULL THEN 'deleted'
                     WHEN i.message_type IN ('button', 'interactive') THEN 'text' ELSE i.message_type END,
        'text', CASE WHEN i.revoked_at IS NULL THEN left(i.text, 4096) END,
        'read', i.read_at IS NOT NULL,
        'media', @extschema@.wa_internal_media_words(i))
$$;

CREATE FUNCTION @extschema@.wa_internal_answer_words(m @extschema@.whatsapp_messages, obstacle text) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object('id', m.id::text, 'at', m.created_at, 'kind', 'own', 'text', m.payload ->> 'body',
        'state', s.state, 'reason', s.reason)
    FROM @extschema@.wa_internal_plain_state(m, obstacle) AS s
$$;

/* The name that a person has given himself in WhatsApp, or else his user name there. */
CREATE FUNCTION @extschema@.wa_internal_contact_name(addresses text[]) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(c.name, '@' || c.username) FROM @extschema@.whatsapp_contacts AS c
    WHERE c.wa_id = ANY (ARRAY(SELECT ltrim(a.address, '+') FROM unnest(addresses) AS a (address)))
        OR c.user_id = ANY (addresses)
    ORDER BY c.name IS NULL, c.username IS NULL LIMIT 1
$$;

/*
 * Messages with what was answered, and who else has written (others, at most 20):
 * each an object, the newest first.  before: NULL for the first page, which alone
 * has others.  Of what one person has written beneath one message the last 20 are
 * shown.
 */
CREATE FUNCTION @extschema@.wa_internal_gateway_conversations(
    tenant text, number text, ids bigint[], before timestamptz, obstacle text, OUT messages jsonb, OUT others jsonb)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
    SET jit = off
AS $$
    WITH heard AS MATERIALIZED (
        SELECT h.*, COALESCE(h.parent::text, h.person) AS beneath, row_number() OVER (
            PARTITION BY COALESCE(h.parent::text, h.person) ORDER BY h.inbound_id DESC) AS place
        FROM @extschema@.wa_internal_heard(tenant, ids, before) AS h
    ), others AS MATERIALIZED (
        SELECT h.beneath, max(h.inbound_id) AS inbound_id, array_agg('i' || h.inbound_id) AS answered
        FROM heard AS h WHERE h.parent IS NULL AND before IS NULL AND h.place <= 20
        GROUP BY h.beneath ORDER BY max(h.inbound_id) DESC LIMIT 20
    ), answered AS MATERIALIZED (
        SELECT i.id::text AS key, i.id::text AS beneath FROM unnest(ids) AS i (id)
        UNION ALL
        SELECT k.key, o.beneath FROM others AS o CROSS JOIN LATERAL unnest(o.answered) AS k (key)
    ), said AS MATERIALIZED (
        /* Meta's times are cut to seconds; what answers comes after what was said in the same one. */
        SELECT h.beneath, i.sent_at + interval '999 ms' AS at, @extschema@.wa_internal_heard_words(i) AS item
        FROM heard AS h
            JOIN @extschema@.whatsapp_inbound_messages AS i ON i.inbound_id = h.inbound_id
        WHERE h.place <= 20 AND (h.parent IS NOT NULL OR h.beneath IN (SELECT o.beneath FROM others AS o))
        UNION ALL
        SELECT k.beneath, a.created_at, @extschema@.wa_internal_answer_words(a, obstacle)
        FROM answered AS k
            CROSS JOIN LATERAL (
                SELECT o.* FROM @extschema@.whatsapp_messages AS o
                WHERE o.tenant_id = tenant AND o.idempotency_key >= 'gateway-answer:' || k.key || ':'
                    AND o.idempotency_key < 'gateway-answer:' || k.key || ';'
                /* In the order of the index, so that no other one looks cheaper. */
                ORDER BY o.tenant_id, o.idempotency_key LIMIT 50) AS n
            JOIN @extschema@.whatsapp_messages AS a ON a.id = n.id
    ), replies AS MATERIALIZED (
        SELECT s.beneath, jsonb_agg(s.item ORDER BY s.at, s.item ->> 'id') AS list
        FROM said AS s GROUP BY s.beneath)
    SELECT
        (SELECT COALESCE(jsonb_agg(jsonb_build_object(
                'id', m.id,
                'recipient', COALESCE(m.recipient_phone, m.recipient_user_id),
                /* Not of those who have only told it to another tenant. */
                'recipient_name', CASE WHEN w.until IS NOT NULL OR r.list IS NOT NULL THEN
                    @extschema@.wa_internal_contact_name(@extschema@.wa_internal_addresses(m)) END,
                'reference', m.reference,
                'test', COALESCE(starts_with(m.idempotency_key, 'gateway-test:'), false),
                'kind', m.message_type,
                'text', @extschema@.wa_internal_message_words(m),
                'state', s.state, 'reason', s.reason, 'retry_at', s.retry_at,
                'created_at', m.created_at, 'updated_at', s.updated_at,
                'replies', COALESCE(r.list, '[]'),
                'can_answer_until', w.until,
                'may_answer', COALESCE(w.until > clock_timestamp(), false))
            ORDER BY m.created_at DESC, m.id DESC), '[]')
         FROM @extschema@.whatsapp_messages AS m
             CROSS JOIN LATERAL @extschema@.wa_internal_plain_state(m, obstacle) AS s
             LEFT JOIN LATERAL @extschema@.wa_internal_answer_window(number,
                 @extschema@.wa_internal_addresses(m)) AS w ON true
             LEFT JOIN replies AS r ON r.beneath = m.id::text
         WHERE m.id = ANY (ids)),
        (SELECT COALESCE(jsonb_agg(jsonb_build_object(
                'inbound_id', o.inbound_id,
                'sender', o.beneath,
                'sender_name', @extschema@.wa_internal_contact_name(ARRAY[o.beneath]),
                'replies', r.list,
                'can_answer_until', w.until,
                'may_answer', COALESCE(w.until > clock_timestamp(), false))
            ORDER BY o.inbound_id DESC), '[]')
         FROM others AS o
             JOIN replies AS r ON r.beneath = o.beneath
             LEFT JOIN LATERAL @extschema@.wa_internal_answer_window(number, ARRAY[o.beneath]) AS w ON true)
$$;

/* A page's messages, the newest first, without the answers, which stand beneath others. */
CREATE FUNCTION @extschema@.wa_internal_gateway_page_ids(tenant text, place jsonb, n bigint) RETURNS bigint[]
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ARRAY(
        SELECT m.id FROM @extschema@.whatsapp_messages AS m
        WHERE m.tenant_id = tenant
            AND m.created_at <= COALESCE((place ->> 0)::timestamptz, 'infinity')
            AND (m.created_at, m.id) < (COALESCE((place ->> 0)::timestamptz, 'infinity'),
                                        COALESCE((place ->> 1)::bigint, 0))
            AND NOT COALESCE(starts_with(m.idempotency_key, 'gateway-answer:'), false)
        ORDER BY m.created_at DESC, m.id DESC LIMIT n)
$$;

CREATE FUNCTION @extschema@.wa_gateway_tenant_messages(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenant CONSTANT text := @extschema@.wa_internal_gateway_own_tenant(request, false, '{limit,cursor}'::text[]);
    n CONSTANT bigint := @extschema@.wa_internal_gateway_integer(request, 'limit'::text, 1, 100, 20);
    place CONSTANT jsonb := @extschema@.wa_internal_gateway_place(request, 'tenant_messages'::text);
    number CONSTANT text := @extschema@.wa_internal_number_of(tenant);
    obstacle CONSTANT text := @extschema@.wa_internal_tenant_obstacle(tenant);
    ids bigint[] := @extschema@.wa_internal_gateway_page_ids(tenant, place, n + 1);
BEGIN
    IF cardinality(ids) > n THEN
        ids := trim_array(ids, 1);
        paging := @extschema@.wa_internal_gateway_paging(@extschema@.wa_internal_gateway_cursor('tenant_messages'::text,
            (SELECT jsonb_build_array(m.created_at, m.id) FROM @extschema@.whatsapp_messages AS m
             WHERE m.id = ids[n])));
    END IF;
    status := 200;
    SELECT jsonb_build_object(
            'tenant_id', tenant,
            'whatsapp_enabled', t.enabled,
            'display_phone_number', p.display_phone_number,
            'verified_name', p.verified_name,
            'obstacle', obstacle,
            'messages', c.messages, 'others', c.others)
        INTO body
        FROM @extschema@.whatsapp_tenants AS t
            CROSS JOIN @extschema@.wa_internal_gateway_conversations(
                tenant, number, ids, (place ->> 0)::timestamptz, obstacle) AS c
            LEFT JOIN @extschema@.whatsapp_phone_numbers AS p ON p.phone_number_id = number
        WHERE t.tenant_id = tenant;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_tenant_messages(jsonb) IS
'GET /api/v1/tenants/{tenant_id}/messages (limit, cursor): the tenant''s last messages in plain words, with what their '
'recipients have answered and until when one may write to them; others: who has written without one of these; '
'obstacle: why nothing would be sent now (switched_off, no_number, paused, stopped).';

/* ---- 89-gateway-enqueue ---------------------------------------------------------- */

/* Which members a message of a type has, besides those of all. */
CREATE FUNCTION @extschema@.wa_internal_gateway_members(type text) RETURNS text[]
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT '{tenant_id,recipient_phone,type,scheduled_at,expires_at,priority,reference,on_uncertain}'::text[]
        || CASE WHEN type = 'template' THEN '{template_name,parameters,language}'::text[]
                ELSE '{context_message_id,fallback_template,fallback_parameters}'::text[]
                    || CASE WHEN type = 'text' THEN '{body,preview_url}'::text[]
                            WHEN type IN ('image', 'video', 'audio', 'document', 'sticker')
                                THEN '{link,media_id,media,caption,filename,voice}'::text[]
                            WHEN type = 'interactive' THEN '{interactive}'::text[]
                            ELSE '{payload}'::text[] END END
$$;

/* Enqueues what the body says, by the function of its type. */
CREATE FUNCTION @extschema@.wa_internal_gateway_enqueue(request jsonb, key text) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    type CONSTANT text := COALESCE(@extschema@.wa_internal_gateway_string(request, 'type'::text), 'template');
    document CONSTANT jsonb := request -> 'body';
    tenant CONSTANT text := document ->> 'tenant_id';
    recipient CONSTANT text := @extschema@.wa_internal_gateway_string(request, 'recipient_phone'::text, true);
    schedule CONSTANT timestamptz :=
        COALESCE(@extschema@.wa_internal_gateway_body_time(request, 'scheduled_at'::text), now());
    expiry CONSTANT timestamptz := @extschema@.wa_internal_gateway_body_time(request, 'expires_at'::text);
    rank CONSTANT integer := COALESCE(
        @extschema@.wa_internal_gateway_body_integer(request, 'priority'::text, -1000, 1000), 0);
    occasion CONSTANT text := @extschema@.wa_internal_gateway_string(request, 'reference'::text);
    policy CONSTANT text := @extschema@.wa_internal_gateway_string(request, 'on_uncertain'::text);
    context CONSTANT text := @extschema@.wa_internal_gateway_string(request, 'context_message_id'::text);
    fallback CONSTANT text := @extschema@.wa_internal_gateway_string(request, 'fallback_template'::text);
    fallback_values CONSTANT jsonb := NULLIF(document -> 'fallback_parameters', 'null');
BEGIN
    IF jsonb_typeof(document -> 'tenant_id') NOT IN ('string', 'number') OR tenant IS NULL THEN
        RAISE EXCEPTION '"tenant_id" is missing' USING ERRCODE = 'null_value_not_allowed', COLUMN = 'tenant_id';
    ELSIF type = 'template' THEN
        RETURN @extschema@.wa_enqueue_message(tenant, recipient,
            @extschema@.wa_internal_gateway_string(request, 'template_name'::text, true),
            parameters => COALESCE(NULLIF(document -> 'parameters', 'null'), '[]'),
            language => @extschema@.wa_internal_gateway_string(request, 'language'::text),
            scheduled_at => schedule, expires_at => expiry, priority => rank, idempotency_key => key,
            reference => occasion, on_uncertain => policy);
    ELSIF type = 'text' THEN
        RETURN @extschema@.wa_enqueue_text(tenant, recipient,
            @extschema@.wa_internal_gateway_string(request, 'body'::text, true),
            preview_url => COALESCE(
                @extschema@.wa_internal_gateway_member(request, 'preview_url'::text, 'boolean'::text)::boolean, false),
            scheduled_at => schedule, expires_at => expiry, priority => rank, idempotency_key => key,
            reference => occasion, on_uncertain => policy, context_message_id => context,
            fallback_template => fallback, fallback_parameters => fallback_values);
    ELSIF type IN ('image', 'video', 'audio', 'document', 'sticker') THEN
        RETURN @extschema@.wa_enqueue_media(tenant, recipient, type,
            link => @extschema@.wa_internal_gateway_string(request, 'link'::text),
            media_id => @extschema@.wa_internal_gateway_string(request, 'media_id'::text),
            caption => @extschema@.wa_internal_gateway_string(request, 'caption'::text),
            filename => @extschema@.wa_internal_gateway_string(request, 'filename'::text),
            voice => @extschema@.wa_internal_gateway_member(request, 'voice'::text, 'boolean'::text)::boolean,
            media => @extschema@.wa_internal_gateway_body_integer(request, 'media'::text, 1, 9007199254740991),
            scheduled_at => schedule, expires_at => expiry, priority => rank, idempotency_key => key,
            reference => occasion, on_uncertain => policy, context_message_id => context,
            fallback_template => fallback, fallback_parameters => fallback_values);
    ELSIF type = 'interactive' THEN
        RETURN @extschema@.wa_enqueue_interactive(tenant, recipient,
            @extschema@.wa_internal_gateway_member(request, 'interactive'::text, 'object'::text, true),
            scheduled_at => schedule, expires_at => expiry, priority => rank, idempotency_key => key,
            reference => occasion, on_uncertain => policy, context_message_id => context,
            fallback_template => fallback, fallback_parameters => fallback_values);
    END IF;
    RETURN @extschema@.wa_enqueue_payload(tenant, recipient, type,
        COALESCE(NULLIF(document -> 'payload', 'null'),
            @extschema@.wa_internal_gateway_member(request, 'payload'::text, 'object'::text, true)),
        scheduled_at => schedule, expires_at => expiry, priority => rank, idempotency_key => key,
        reference => occasion, on_uncertain => policy, context_message_id => context,
        fallback_template => fallback, fallback_parameters => fallback_values);
END
$$;

/*
 * Whether the request says what a message says that is there already under its key:
 * it is written once more without the key, compared, and taken back.  Where that is
 * refused now, because things have changed since, it is taken for the same: the
 * message is there, and will not be written twice.  So it is for whoever asks again
 * after the message would have expired.
 */
CREATE FUNCTION @extschema@.wa_internal_gateway_says(request jsonb, m @extschema@.whatsapp_messages) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    again @extschema@.whatsapp_messages;
    trial bigint;
    same boolean := true;
BEGIN
    BEGIN
        trial := @extschema@.wa_internal_gateway_enqueue(request #- '{body,expires_at}', NULL::text);
        SELECT o.* INTO again FROM @extschema@.whatsapp_messages AS o WHERE o.id = trial;
        same := (again.recipient_phone, again.recipient_user_id, again.priority, again.reference, again.on_uncertain,
                 again.context_message_id)
            IS NOT DISTINCT FROM
                (m.recipient_phone, m.recipient_user_id, m.priority, m.reference, m.on_uncertain, m.context_message_id)
            AND (again.scheduled_at = m.scheduled_at
                 OR @extschema@.wa_internal_gateway_string(request, 'scheduled_at'::text) IS NULL)
            /* A fallback may have taken the message's place. */
            AND (again.message_type = m.message_type AND again.template_name IS NOT DISTINCT FROM m.template_name
                     AND again.payload - 'language' = m.payload - 'language'
                 OR COALESCE(m.template_name = request #>> '{body,fallback_template}', false));
        RAISE EXCEPTION USING ERRCODE = 'WA001', MESSAGE = 'compared';
    EXCEPTION
        WHEN SQLSTATE 'WA001' OR undefined_object OR object_not_in_prerequisite_state THEN
            RETURN same;
    END;
END
$$;

CREATE FUNCTION @extschema@.wa_gateway_enqueue(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = warning
AS $$
DECLARE
    key CONSTANT text := NULLIF(request ->> 'idempotency_key', '');
    tenant CONSTANT text := request #>> '{body,tenant_id}';
    m @extschema@.whatsapp_messages;
    mine boolean;
    written bigint;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_require(request, 'admin'::text);
    PERFORM @extschema@.wa_internal_gateway_act(request);
    PERFORM @extschema@.wa_internal_gateway_accept(request, members =>
        @extschema@.wa_internal_gateway_members(COALESCE(request #>> '{body,type}', 'template')));
    IF key IS NULL THEN
        RAISE EXCEPTION 'the header Idempotency-Key is missing'
            USING ERRCODE = 'null_value_not_allowed', COLUMN = 'Idempotency-Key',
                  HINT = 'Send a name of the occasion, such as the order''s; with the same key nothing is sent twice.';
    END IF;
    SELECT o.* INTO m FROM @extschema@.whatsapp_messages AS o WHERE o.tenant_id = tenant AND o.idempotency_key = key;
    IF NOT FOUND THEN
        written := @extschema@.wa_internal_gateway_enqueue(request, key);
        SELECT o.* INTO STRICT m FROM @extschema@.whatsapp_messages AS o WHERE o.id = written;
        /* Somebody else may have been first by a moment. */
        mine := m.created_at = now();
    END IF;
    status := CASE WHEN mine THEN 201 ELSE 200 END;
    IF mine IS NOT TRUE AND NOT @extschema@.wa_internal_gateway_says(request, m) THEN
        status := 422;
        body := jsonb_build_object('detail', 'the Idempotency-Key was used for another message',
            'field', 'Idempotency-Key', 'id', m.id, 'hint', 'Send another key, or the same body.');
        RETURN;
    END IF;
    body := jsonb_build_object('id', m.id, 'status', m.status, 'status_reason', m.status_reason);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_enqueue(jsonb) IS
'POST /api/v1/messages {tenant_id, recipient_phone, type, …}, with the header Idempotency-Key: writes a message. '
'type: template (template_name, parameters, language), text (body, preview_url), image, video, audio, document or '
'sticker (link, media_id or media, caption, filename, voice), interactive, or another of Meta''s API (payload). 201 '
'with id and status; 200 with those of the first one under the same key; 422 if that said something else.';

/* ---- 89-gateway-media ------------------------------------------------------------ */

/*
 * Types that run nothing, with the endings of their names and what the page makes of
 * them.  HTML, SVG and XML are not among them and must not be.
 */
CREATE FUNCTION @extschema@.wa_internal_harmless_media()
RETURNS TABLE (mime_type text, endings text[], shown_as text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT l.mime_type, l.endings::text[], l.shown_as
    FROM (VALUES
        ('image/jpeg', '{jpg,jpeg}', 'image'),
        ('image/png', '{png}', 'image'),
        ('image/webp', '{webp}', 'image'),
        ('image/gif', '{gif}', 'image'),
        ('audio/aac', '{aac}', 'audio'),
        ('audio/mp4', '{m4a,mp4}', 'audio'),
        ('audio/mpeg', '{mp3}', 'audio'),
        ('audio/ogg', '{ogg,oga,opus}', 'audio'),
        ('audio/amr', '{amr}', 'file'),
        ('video/mp4', '{mp4}', 'video'),
        ('video/3gpp', '{3gp,3gpp}', 'file'),
        ('application/pdf', '{pdf}', 'file'),
        ('text/plain', '{txt}', 'file'),
        ('text/csv', '{csv}', 'file'),
        ('application/msword', '{doc}', 'file'),
        ('application/vnd.ms-excel', '{xls}', 'file'),
        ('application/vnd.ms-powerpoint', '{ppt}', 'file'),
        ('application/vnd.openxmlformats-officedocument.wordprocessingml.document', '{docx}', 'file'),
        ('application/vnd.openxmlformats-officedocument.spreadsheetml.sheet', '{xlsx}', 'file'),
        ('application/vnd.openxmlformats-officedocument.presentationml.presentation', '{pptx}', 'file'),
        ('application/octet-stream', '{bin}', 'file')) AS l (mime_type, endings, shown_as)
$$;

/* The one that a file goes by; parameters of its type (audio/ogg; codecs=opus) do not matter. */
CREATE FUNCTION @extschema@.wa_internal_media_as(
    given text, OUT mime_type text, OUT endings text[], OUT shown_as text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT h.mime_type, h.endings, h.shown_as
    FROM @extschema@.wa_internal_harmless_media() AS h
    WHERE h.mime_type IN (lower(btrim(split_part(given, ';', 1))), 'application/octet-stream')
    ORDER BY h.mime_type = 'application/octet-stream' LIMIT 1
$$;

/*
 * A name under which it can be saved anywhere: the last part of a path, without
 * characters that steer a terminal, a shell, a file system or the direction of
 * writing (gpj.exe), neither hidden nor ending in a dot, and with an ending of its type.
 */
CREATE FUNCTION @extschema@.wa_internal_media_filename(given text, endings text[], id bigint) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stem text := regexp_replace(COALESCE(given, ''), '^.*[/\\]', '');
    ending text;
BEGIN
    SELECT COALESCE(string_agg(
            CASE WHEN c.letter IN ('<', '>', ':', '"', '|', '?', '*', '''', '`', '$', '%', ';', '&') THEN '_'
                 ELSE c.letter END, '' ORDER BY c.place), '')
        INTO stem
        FROM string_to_table(stem, NULL) WITH ORDINALITY AS c (letter, place)
        WHERE ascii(c.letter) NOT BETWEEN 0 AND 31 AND ascii(c.letter) NOT BETWEEN 127 AND 159
            AND ascii(c.letter) NOT IN (173, 1564, 6158, 65279)
            AND ascii(c.letter) NOT BETWEEN 8203 AND 8207 AND ascii(c.letter) NOT BETWEEN 8232 AND 8238
            AND ascii(c.letter) NOT BETWEEN 8288 AND 8303 AND ascii(c.letter) NOT BETWEEN 917504 AND 917631;
    stem := btrim(stem, ' .');
    ending := lower(substring(stem FROM '\.([^.]*)$'));
    IF ending = ANY (endings) THEN
        stem := left(stem, -1 - length(ending));
    ELSE
        ending := endings[1];
    END IF;
    stem := btrim(left(stem, 80), ' .');
    IF stem = '' OR stem ~* '^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)' THEN
        stem := concat_ws('-', 'whatsapp', id, NULLIF(stem, ''));
    END IF;
    RETURN stem || '.' || ending;
END
$$;

/*
 * The customer's message in the path, for whoever may see it, with changes for whoever
 * may change it: of the tenant in the path, or without one for the platform's
 * administration.  What is another tenant's does not exist.
 */
CREATE FUNCTION @extschema@.wa_internal_gateway_inbound(request jsonb, changes boolean)
RETURNS @extschema@.whatsapp_inbound_messages
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_tenants CONSTANT boolean := (request -> 'path') ? 'tenant_id';
    tenant text;
    id bigint;
    m @extschema@.whatsapp_inbound_messages;
BEGIN
    IF is_tenants THEN
        tenant := @extschema@.wa_internal_gateway_own_tenant(request, changes);
    ELSE
        PERFORM @extschema@.wa_internal_gateway_begin(request, CASE WHEN changes THEN 'admin' ELSE 'viewer' END);
    END IF;
    id := @extschema@.wa_internal_gateway_id(request, 'message'::text);
    SELECT i.* INTO m FROM @extschema@.whatsapp_inbound_messages AS i
        WHERE i.inbound_id = id AND (NOT is_tenants OR i.tenant_id = tenant);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'message % does not exist', id USING ERRCODE = 'no_data_found';
    END IF;
    RETURN m;
END
$$;

/*
 * Why there is no file to be sent, as a status and a reason; NULL: there is one.  404 is
 * for a message that never had one, 409 for what may still come, 410 for what will not.
 */
CREATE FUNCTION @extschema@.wa_internal_media_obstacle(
    m @extschema@.whatsapp_inbound_messages, media_status text, OUT status integer, OUT reason text)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN o.reason = 'no_file' THEN 404
                WHEN o.reason IN ('erased', 'deleted', 'expired') THEN 410
                WHEN o.reason IS NOT NULL THEN 409 END, o.reason
    FROM (SELECT CASE
            WHEN m.whatsapp_message_id LIKE 'erased.%' THEN 'erased'
            WHEN m.media_id IS NULL THEN 'no_file'
            WHEN m.revoked_at IS NOT NULL THEN 'deleted'
            WHEN media_status = 'fetched' THEN NULL
            WHEN media_status = 'wanted' THEN 'wanted'
            WHEN m.sent_at < now() - interval '7 days' THEN 'expired'
            ELSE COALESCE(media_status, 'not_fetched') END) AS o (reason)
$$;

CREATE FUNCTION @extschema@.wa_internal_media_refusal(reason text, why text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object('reason', reason, 'detail', CASE reason
        WHEN 'no_file' THEN 'this message has no file'
        WHEN 'erased' THEN 'this message was erased'
        WHEN 'deleted' THEN 'the customer has deleted this message'
        WHEN 'expired' THEN 'Meta keeps a file for 7 days, and this one was not fetched in them'
        WHEN 'wanted' THEN 'the file is being fetched'
        WHEN 'failed' THEN concat_ws(': ', 'the file could not be fetched', why)
        WHEN 'skipped' THEN concat_ws(': ', 'the file was not fetched', why)
        ELSE 'the file was not fetched' END,
        'hint', CASE WHEN reason IN ('failed', 'skipped', 'not_fetched')
            THEN 'POST to this address asks for it.' END))
$$;

/* What the pages are told of a message's file; NULL: it has none that could be shown. */
CREATE FUNCTION @extschema@.wa_internal_media_words(m @extschema@.whatsapp_inbound_messages) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object('status', COALESCE(o.reason, 'fetched'), 'shown_as', t.shown_as,
        'mime_type', t.mime_type, 'size', f.size,
        'filename', @extschema@.wa_internal_media_filename(m.filename, t.endings, m.inbound_id))
    FROM (SELECT m.inbound_id) AS i (inbound_id)
        LEFT JOIN (SELECT w.inbound_id, w.status, w.mime_type, w.size FROM @extschema@.whatsapp_inbound_media AS w) AS f
            ON f.inbound_id = i.inbound_id
        CROSS JOIN LATERAL @extschema@.wa_internal_media_as(COALESCE(f.mime_type, m.mime_type)) AS t
        CROSS JOIN LATERAL @extschema@.wa_internal_media_obstacle(m, f.status) AS o
    WHERE m.media_id IS NOT NULL AND m.revoked_at IS NULL
$$;

/*
 * Unlike the other routes it has a column more, piece: bytes of the file from
 * request's from_byte on (from the end, if that is negative), as many as its bytes
 * says.  A file has up to 100 MB, and neither the gateway nor this server needs more
 * of it at a time.
 */
CREATE FUNCTION @extschema@.wa_gateway_media(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb, OUT piece bytea)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m CONSTANT @extschema@.whatsapp_inbound_messages := @extschema@.wa_internal_gateway_inbound(request, false);
    first CONSTANT bigint := COALESCE((request ->> 'from_byte')::bigint, 0);
    most CONSTANT integer := LEAST(GREATEST(COALESCE((request ->> 'bytes')::integer, 0), 0), 1048576);
    reason text;
    why text;
    begins bigint;
BEGIN
    SELECT o.status, o.reason, f.reason INTO status, reason, why
        FROM (SELECT) AS one
            LEFT JOIN @extschema@.whatsapp_inbound_media AS f ON f.inbound_id = m.inbound_id
            CROSS JOIN LATERAL @extschema@.wa_internal_media_obstacle(m, f.status) AS o;
    IF status IS NOT NULL THEN
        body := @extschema@.wa_internal_media_refusal(reason, why);
        RETURN;
    END IF;
    status := 200;
    SELECT CASE WHEN first < 0 THEN GREATEST(f.size + first, 0) ELSE first END INTO begins
        FROM @extschema@.whatsapp_inbound_media AS f WHERE f.inbound_id = m.inbound_id;
    SELECT jsonb_build_object('mime_type', t.mime_type, 'shown_as', t.shown_as, 'size', f.size,
            'sha256', encode(f.sha256, 'hex'), 'from_byte', begins,
            'filename', @extschema@.wa_internal_media_filename(m.filename, t.endings, m.inbound_id)),
           CASE WHEN begins < f.size AND most > 0
                THEN @extschema@.wa_internal_media_bytes(f.inbound_id, begins, most) END
        INTO body, piece
        FROM @extschema@.whatsapp_inbound_media AS f
            CROSS JOIN LATERAL @extschema@.wa_internal_media_as(COALESCE(f.mime_type, m.mime_type)) AS t
        WHERE f.inbound_id = m.inbound_id;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_media(jsonb) IS
'GET /api/v1/tenants/{tenant_id}/inbound/{id}/media, and /api/v1/admin/whatsapp/inbound/{id}/media: the file of a '
'customer''s message, in pieces. 404: it has none; 409: it was not fetched (yet); 410: there is none any more.';

CREATE FUNCTION @extschema@.wa_gateway_fetch_media(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m CONSTANT @extschema@.whatsapp_inbound_messages := @extschema@.wa_internal_gateway_inbound(request, true);
    reason text;
BEGIN
    SELECT o.status, o.reason INTO status, reason
        FROM (SELECT) AS one
            LEFT JOIN @extschema@.whatsapp_inbound_media AS f ON f.inbound_id = m.inbound_id
            CROSS JOIN LATERAL @extschema@.wa_internal_media_obstacle(m, f.status) AS o;
    IF status IN (404, 410) THEN
        body := @extschema@.wa_internal_media_refusal(reason, NULL::text);
        RETURN;
    END IF;
    PERFORM @extschema@.wa_fetch_media(m.inbound_id);
    status := CASE WHEN reason IS NULL THEN 200 ELSE 202 END;
    body := jsonb_build_object('inbound_id', m.inbound_id, 'media', @extschema@.wa_internal_media_words(m));
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_fetch_media(jsonb) IS
'POST to the same addresses: wa_fetch_media(). 202: it is being fetched; 200: it is there; 404 and 410 as for GET.';

CREATE FUNCTION @extschema@.wa_gateway_tenant_read(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = warning
AS $$
DECLARE
    m CONSTANT @extschema@.whatsapp_inbound_messages := @extschema@.wa_internal_gateway_inbound(request, true);
    told boolean := false;
BEGIN
    /* Once: who looks again tells nobody again. */
    IF m.read_at IS NULL THEN
        told := @extschema@.wa_mark_read(m.inbound_id);
    END IF;
    status := 200;
    SELECT jsonb_build_object('inbound_id', i.inbound_id, 'read_at', i.read_at, 'told', told) INTO body
        FROM @extschema@.whatsapp_inbound_messages AS i WHERE i.inbound_id = m.inbound_id;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_tenant_read(jsonb) IS
'POST /api/v1/tenants/{tenant_id}/inbound/{id}/read: somebody has this message before his eyes: wa_mark_read(), the '
'first time. told: Meta is asked to show that to the customer.';

/* ---- 89-gateway-messages --------------------------------------------------------- */

/* The filter in the query, or in the body of an action on many, checked. */
CREATE FUNCTION @extschema@.wa_internal_gateway_filter(request jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    a_status CONSTANT text := @extschema@.wa_internal_gateway_argument(request, 'status'::text);
    code CONSTANT text := @extschema@.wa_internal_gateway_argument(request, 'error_code'::text);
BEGIN
    IF NOT @extschema@.wa_internal_is_status(a_status) THEN
        RAISE EXCEPTION 'unknown status "%"', @extschema@.wa_internal_quote(a_status)
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'status',
                  HINT = 'Use queued, sending, accepted, sent, delivered, read, failed, uncertain, cancelled, expired '
                         'or skipped.';
    ELSIF code !~ '^-?[0-9]{1,9}$' THEN
        RAISE EXCEPTION '"error_code" must be a number'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'error_code';
    END IF;
    RETURN jsonb_strip_nulls(jsonb_build_object(
        'q', btrim(@extschema@.wa_internal_gateway_argument(request, 'q'::text)),
        'tenant_id', @extschema@.wa_internal_gateway_argument(request, 'tenant_id'::text),
        'phone_number_id', @extschema@.wa_internal_gateway_argument(request, 'phone_number_id'::text),
        'status', a_status,
        'error_code', code::integer,
        'reason', @extschema@.wa_internal_gateway_argument(request, 'reason'::text),
        'from', @extschema@.wa_internal_gateway_time(request, 'from'::text),
        'to', @extschema@.wa_internal_gateway_time(request, 'to'::text)));
END
$$;

/* What waits and may be what the filter asks for: its place in the queue, where an index leads to it. */
CREATE FUNCTION @extschema@.wa_internal_waiting_candidates(reason text, first_id bigint, last_id bigint, look integer)
RETURNS bigint[]
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_sort = off
    SET jit = off
AS $$
DECLARE
    stopped CONSTANT text[] := ARRAY(
        SELECT s.phone_number_id FROM @extschema@.wa_internal_stopped_numbers AS s
        WHERE s.reason = wa_internal_waiting_candidates.reason);
BEGIN
    IF reason = 'parked' THEN
        RETURN ARRAY(
            SELECT q.message_id FROM @extschema@.whatsapp_queue AS q
            WHERE q.state IN ('d', 'u') AND q.due_at = 'infinity' AND q.hold_reason = 'parked'
                AND q.message_id BETWEEN first_id AND last_id
            ORDER BY q.message_id DESC LIMIT look);
    ELSIF EXISTS (SELECT FROM @extschema@.whatsapp_queue AS q
                  WHERE q.state = 'h' AND q.hold_reason = wa_internal_waiting_candidates.reason) THEN
        RETURN ARRAY(
            SELECT q.message_id FROM @extschema@.whatsapp_queue AS q
            WHERE q.state = 'h' AND q.hold_reason = wa_internal_waiting_candidates.reason
                AND q.message_id BETWEEN first_id AND last_id
            ORDER BY q.message_id DESC LIMIT look);
    ELSIF reason IS NULL THEN
        RETURN ARRAY(
            SELECT q.message_id FROM @extschema@.whatsapp_queue AS q
            WHERE q.message_id BETWEEN first_id AND last_id
            ORDER BY q.message_id DESC LIMIT look);
    END IF;
    RETURN ARRAY(
        SELECT w.message_id FROM (
            SELECT q.* FROM @extschema@.whatsapp_queue AS q
            WHERE q.message_id BETWEEN first_id AND last_id
            ORDER BY q.message_id DESC LIMIT 10 * look) AS w
        WHERE w.hold_reason = wa_internal_waiting_candidates.reason
            OR w.state = 'r' AND w.phone_number_id = ANY (stopped)
        ORDER BY w.message_id DESC LIMIT look);
END
$$;

/*
 * The messages of a filter, the newest first, at most so many, after the place
 * where the page before has ended: [id, created_at].  next: where the next one
 * begins, which is also given when so many have been looked at as are allowed
 * (look) before enough were found.
 */
CREATE FUNCTION @extschema@.wa_internal_find_messages(
    filter jsonb,
    place jsonb,
    most integer,
    look integer,
    OUT ids bigint[],
    OUT next jsonb)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_sort = off
    SET jit = off
AS $$
DECLARE
    q CONSTANT text := lower(filter ->> 'q');
    digits CONSTANT text := CASE WHEN q ~ '^[+0-9 ().-]+$' THEN NULLIF(regexp_replace(q, '[^0-9]', '', 'g'), '') END;
    tenant CONSTANT text := filter ->> 'tenant_id';
    number CONSTANT text := filter ->> 'phone_number_id';
    a_status CONSTANT text := filter ->> 'status';
    code CONSTANT integer := filter ->> 'error_code';
    a_reason CONSTANT text := filter ->> 'reason';
    began CONSTANT timestamptz := COALESCE((filter ->> 'from')::timestamptz, '-infinity');
    ended CONSTANT timestamptz := COALESCE((filter ->> 'to')::timestamptz, 'infinity');
    before_at CONSTANT timestamptz := COALESCE((place ->> 1)::timestamptz, 'infinity');
    before_id CONSTANT bigint := COALESCE((place ->> 0)::bigint, 9223372036854775807);
    first_id bigint := 0;
    last_id bigint := before_id - 1;
    looked bigint[];
BEGIN
    IF filter ? 'from' THEN
        first_id := @extschema@.wa_internal_first_message_since(began);
    END IF;
    IF filter ? 'to' THEN
        last_id := LEAST(last_id, @extschema@.wa_internal_first_message_since(ended));
    END IF;

    IF a_status IN ('queued', 'sending', 'uncertain') OR a_status IS NULL AND a_reason IS NOT NULL THEN
        looked := @extschema@.wa_internal_waiting_candidates(a_reason, first_id, last_id, look / 4);
        SELECT array_agg(f.id ORDER BY f.id DESC) INTO ids FROM (
            SELECT m.id FROM @extschema@.whatsapp_messages AS m
            WHERE m.id = ANY (looked) AND (a_status IS NULL OR m.status = a_status)
                AND (tenant IS NULL OR m.tenant_id = tenant) AND (number IS NULL OR m.phone_number_id = number)
                AND (code IS NULL OR m.error_code = code) AND m.created_at >= began AND m.created_at < ended
                AND (q IS NULL OR strpos(m.recipient_phone, digits) > 0 OR strpos(lower(m.reference), q) > 0
                     OR strpos(lower(m.recipient_user_id), q) > 0)
            ORDER BY m.id DESC LIMIT most) AS f;
        next := jsonb_build_array(CASE WHEN cardinality(ids) = most THEN ids[most]
            WHEN cardinality(looked) = look / 4 THEN looked[look / 4] END, NULL);
    ELSIF tenant IS NOT NULL THEN
        WITH seen AS (
            SELECT m.id, m.created_at, m.status, m.status_reason, m.phone_number_id, m.error_code, m.recipient_phone,
                m.recipient_user_id, m.reference
            FROM @extschema@.whatsapp_messages AS m
            WHERE m.tenant_id = tenant AND m.created_at >= began AND m.created_at < ended
                AND m.created_at <= before_at AND (m.created_at, m.id) < (before_at, before_id)
            ORDER BY m.created_at DESC, m.id DESC LIMIT look)
        SELECT array_agg(f.id ORDER BY f.created_at DESC, f.id DESC),
               CASE WHEN count(*) = most THEN jsonb_build_array(
                   (array_agg(f.id ORDER BY f.created_at, f.id))[1], min(f.created_at)) END
            INTO ids, next
            FROM (SELECT s.id, s.created_at FROM seen AS s
                  WHERE (a_status IS NULL OR s.status = a_status) AND (a_reason IS NULL OR s.status_reason = a_reason)
                      AND (number IS NULL OR s.phone_number_id = number) AND (code IS NULL OR s.error_code = code)
                      AND (q IS NULL OR strpos(s.recipient_phone, digits) > 0 OR strpos(lower(s.reference), q) > 0
                           OR strpos(lower(s.recipient_user_id), q) > 0)
                  ORDER BY s.created_at DESC, s.id DESC LIMIT most) AS f;
        IF next IS NULL THEN
            SELECT jsonb_build_array(m.id, m.created_at) INTO next
                FROM @extschema@.whatsapp_messages AS m
                WHERE m.tenant_id = tenant AND m.created_at >= began AND m.created_at < ended
                    AND m.created_at <= before_at AND (m.created_at, m.id) < (before_at, before_id)
                ORDER BY m.created_at DESC, m.id DESC OFFSET look - 1 LIMIT 1;
        END IF;
    ELSE
        WITH seen AS (
            SELECT m.id, m.created_at, m.status, m.status_reason, m.phone_number_id, m.error_code, m.recipient_phone,
                m.recipient_user_id, m.reference
            FROM @extschema@.whatsapp_messages AS m
            WHERE m.id BETWEEN first_id AND last_id
            ORDER BY m.id DESC LIMIT look)
        SELECT array_agg(f.id ORDER BY f.id DESC) INTO ids
            FROM (SELECT s.id FROM seen AS s
                  WHERE (a_status IS NULL OR s.status = a_status) AND (a_reason IS NULL OR s.status_reason = a_reason)
                      AND (number IS NULL OR s.phone_number_id = number) AND (code IS NULL OR s.error_code = code)
                      AND s.created_at >= began AND s.created_at < ended
                      AND (q IS NULL OR strpos(s.recipient_phone, digits) > 0 OR strpos(lower(s.reference), q) > 0
                           OR strpos(lower(s.recipient_user_id), q) > 0)
                  ORDER BY s.id DESC LIMIT most) AS f;
        next := jsonb_build_array(CASE WHEN cardinality(ids) = most THEN ids[most] ELSE (
            SELECT m.id FROM @extschema@.whatsapp_messages AS m
            WHERE m.id BETWEEN first_id AND last_id ORDER BY m.id DESC OFFSET look - 1 LIMIT 1) END, NULL);
    END IF;
    ids := COALESCE(ids, '{}');
    IF next ->> 0 IS NULL THEN
        next := NULL;
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_gateway_messages(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    list CONSTANT text := 'messages';
    filter jsonb;
    place jsonb;
    most integer;
    ids bigint[];
    next jsonb;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text,
        '{q,tenant_id,phone_number_id,status,error_code,reason,from,to,limit,cursor}'::text[]);
    filter := @extschema@.wa_internal_gateway_filter(request);
    place := @extschema@.wa_internal_gateway_place(request, list);
    most := @extschema@.wa_internal_gateway_integer(request, 'limit'::text, 1, 500, 50);
    SELECT f.ids, f.next INTO ids, next
        FROM @extschema@.wa_internal_find_messages(filter, place, most, 20000) AS f;
    IF place IS NULL AND filter ? 'q' AND filter - 'q' = '{}' THEN
        ids := ARRAY(SELECT f.id FROM @extschema@.wa_find(filter ->> 'q', most) AS f) || ids;
    END IF;
    status := 200;
    SELECT COALESCE(jsonb_agg(to_jsonb(r) ORDER BY r.created_at DESC, r.id DESC), '[]') INTO body
        FROM (SELECT m.id, m.tenant_id, m.phone_number_id, m.recipient_phone, m.recipient_user_id, m.message_type,
                     m.template_name, m.template_language, m.status, m.status_reason, m.error_code, m.error_message,
                     m.reference, m.created_at, m.scheduled_at, m.expires_at, m.accepted_at, m.sent_at, m.delivered_at,
                     m.read_at, m.failed_at, m.attempts
              FROM @extschema@.whatsapp_messages AS m WHERE m.id = ANY (ids)) AS r;
    paging := @extschema@.wa_internal_gateway_paging(@extschema@.wa_internal_gateway_cursor(list, next));
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_messages(jsonb) IS
'GET /api/v1/admin/whatsapp/messages?q=&tenant_id=&phone_number_id=&status=&error_code=&reason=&from=&to=&limit=&'
'cursor=: messages, the newest first. q: what wa_find() takes, or a part of the recipient or the reference of a '
'newer message. A page with a next one may have fewer than limit, or none: so far has been searched.';

/* What the customer has answered: looked for among what came for the tenant since it was sent. */
CREATE FUNCTION @extschema@.wa_internal_message_replies(m @extschema@.whatsapp_messages) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(jsonb_agg(jsonb_build_object('id', i.inbound_id, 'at', i.sent_at, 'received_at', i.received_at,
            'kind', i.message_type, 'text', i.text, 'reply_id', i.reply_id, 'handler', i.handler,
            'handled_at', i.handled_at, 'handler_error', i.handler_error) ORDER BY i.inbound_id), '[]')
    FROM (SELECT n.* FROM @extschema@.whatsapp_inbound_messages AS n
          WHERE n.tenant_id = m.tenant_id AND n.received_at >= m.created_at AND m.whatsapp_message_id IS NOT NULL
          ORDER BY n.received_at LIMIT 2000) AS i
    WHERE i.message_id = m.id
$$;

/* What happened to it, in order. */
CREATE FUNCTION @extschema@.wa_internal_message_history(m @extschema@.whatsapp_messages, replies jsonb) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('at', h.at, 'kind', h.kind, 'text', h.text,
            'details', h.details)) ORDER BY h.at, h.place)
    FROM (
        SELECT m.created_at, 1, 'created', 'Written into the queue', NULL::jsonb
        UNION ALL SELECT m.scheduled_at, 2, 'scheduled', 'Not to be sent before', NULL
            WHERE m.scheduled_at > m.created_at
        UNION ALL
        SELECT COALESCE(a.started_at, a.ended_at), 3, 'attempt',
               concat_ws(': ', format('Attempt %s ended as %s', a.attempt, a.outcome), a.error_message),
               jsonb_strip_nulls(jsonb_build_object('attempt', a.attempt, 'outcome', a.outcome, 'ended_at', a.ended_at,
                   'http_status', a.http_status, 'error_code', a.error_code, 'title', e.title, 'remedy', e.remedy,
                   'fbtrace_id', a.fbtrace_id, 'phone_number_id', a.phone_number_id))
            FROM @extschema@.whatsapp_attempts AS a
                LEFT JOIN @extschema@.wa_error_codes AS e ON e.code = a.error_code
            WHERE a.message_id = m.id
        UNION ALL
        SELECT w.claimed_at, 4, 'sending', 'A request is on the wire', NULL
            FROM @extschema@.wa_internal_on_wire_requests AS w WHERE w.message_id = m.id
        UNION ALL
        SELECT m.accepted_at, 5, 'accepted', 'Meta has accepted it',
               jsonb_build_object('whatsapp_message_id', m.whatsapp_message_id) WHERE m.accepted_at IS NOT NULL
        UNION ALL SELECT m.sent_at, 6, 'sent', 'It has left Meta''s servers', NULL WHERE m.sent_at IS NOT NULL
        UNION ALL SELECT m.delivered_at, 7, 'delivered', 'It has reached the recipient''s phone', NULL
            WHERE m.delivered_at IS NOT NULL
        UNION ALL SELECT m.read_at, 8, 'read', 'The recipient has read it', NULL WHERE m.read_at IS NOT NULL
        UNION ALL SELECT m.played_at, 9, 'played', 'The recipient has played it', NULL WHERE m.played_at IS NOT NULL
        UNION ALL
        SELECT m.failed_at, 10, 'failed', concat_ws(': ', 'It has failed', m.error_message),
               jsonb_strip_nulls(jsonb_build_object('error_code', m.error_code, 'reason', m.status_reason))
            WHERE m.failed_at IS NOT NULL
        UNION ALL
        SELECT m.finished_at, 11, m.status, format('It was %s', m.status),
               jsonb_strip_nulls(jsonb_build_object('reason', m.status_reason))
            WHERE m.status IN ('cancelled', 'expired', 'skipped') AND m.finished_at IS NOT NULL
        UNION ALL
        SELECT a.created_at, 12, 'alert', a.message, a.detail
            FROM @extschema@.whatsapp_alerts AS a WHERE a.scope = 'message' AND a.key = m.id::text
        UNION ALL
        SELECT p.received_at, 13, 'parked', format('A %s about it could not be used: %s', p.kind, p.reason), NULL
            FROM @extschema@.whatsapp_parked_events AS p WHERE p.message_id = m.id
        UNION ALL
        SELECT (r.value ->> 'at')::timestamptz, 14, 'reply', r.value ->> 'text',
               jsonb_strip_nulls(r.value - 'at' - 'text')
            FROM jsonb_array_elements(replies) AS r
        UNION ALL
        SELECT o.at, 15, o.kind, o.detail ->> 'text', jsonb_build_object('actor', o.actor)
            FROM @extschema@.whatsapp_events AS o WHERE o.scope = 'message' AND o.key = m.id::text)
        AS h (at, place, kind, text, details)
$$;

/* What a person may do with it now; whoever does it may still come too late. */
CREATE FUNCTION @extschema@.wa_internal_message_choices(m @extschema@.whatsapp_messages) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(jsonb_agg(c.choice ORDER BY c.choice), '[]')
    FROM (SELECT 'retry' WHERE @extschema@.wa_internal_may_be_retried(m.status) AND m.erased_at IS NULL
          UNION ALL
          SELECT CASE q.state WHEN 'u' THEN 'resolve' ELSE 'cancel' END FROM @extschema@.whatsapp_queue AS q
          WHERE q.message_id = m.id AND NOT EXISTS (
              SELECT FROM @extschema@.wa_internal_on_wire_requests AS w WHERE w.message_id = m.id)) AS c (choice)
$$;

CREATE FUNCTION @extschema@.wa_gateway_message(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    m @extschema@.whatsapp_messages;
    replies jsonb;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text);
    m := @extschema@.wa_internal_gateway_named(request);
    replies := @extschema@.wa_internal_message_replies(m);
    status := 200;
    body := to_jsonb(m) || jsonb_build_object(
        'explanation', (SELECT to_jsonb(e) FROM @extschema@.wa_explain(m.id) AS e),
        'history', @extschema@.wa_internal_message_history(m, replies),
        'replies', replies,
        'may', @extschema@.wa_internal_message_choices(m));
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_message(jsonb) IS
'GET /api/v1/admin/whatsapp/messages/{id}: everything about one message: its row, wa_explain(), what happened in '
'order, the replies, and what may be done with it.';

/* The message in the path. */
CREATE FUNCTION @extschema@.wa_internal_gateway_named(request jsonb) RETURNS @extschema@.whatsapp_messages
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given CONSTANT bigint := @extschema@.wa_internal_gateway_id(request, 'message'::text);
    m @extschema@.whatsapp_messages;
BEGIN
    SELECT o.* INTO m FROM @extschema@.whatsapp_messages AS o WHERE o.id = given;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'message % does not exist', given
            USING ERRCODE = 'no_data_found', HINT = 'Finished messages are removed after whatsapp_shared.retention.';
    END IF;
    RETURN m;
END
$$;

CREATE FUNCTION @extschema@.wa_gateway_failures(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_sort = off
    SET jit = off
AS $$
DECLARE
    span record;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text, '{from}'::text[]);
    SELECT w.since, w.first_id INTO span FROM @extschema@.wa_internal_message_window(
        @extschema@.wa_internal_gateway_time(request, 'from'::text, current_date::timestamptz), 200000) AS w;
    status := 200;
    WITH failed AS (
        SELECT m.error_code, CASE WHEN m.error_code IS NULL THEN m.status_reason END AS reason,
            count(*) AS messages, max(m.id) AS sample_id, array_agg(DISTINCT m.tenant_id) AS tenants
        FROM @extschema@.whatsapp_messages AS m
        WHERE m.id >= span.first_id AND m.created_at >= span.since AND m.status = 'failed'
        GROUP BY 1, 2)
    SELECT COALESCE(jsonb_agg(jsonb_build_object(
            'error_code', f.error_code, 'reason', f.reason,
            'title', COALESCE(e.title, r.meaning, s.error_message, 'Failed'),
            'remedy', COALESCE(e.remedy, r.remedy, 'See error_message of the messages.'),
            'messages', f.messages, 'tenants', cardinality(f.tenants), 'tenant_ids', to_jsonb(f.tenants[1:5]),
            'sample_id', f.sample_id, 'may_retry', @extschema@.wa_internal_may_be_retried('failed'::text),
            'counted_since', span.since) ORDER BY f.messages DESC, f.error_code, f.reason), '[]')
        INTO body
        FROM failed AS f
            LEFT JOIN @extschema@.wa_error_codes AS e ON e.code = f.error_code
            LEFT JOIN @extschema@.wa_reason_codes AS r ON r.reason = f.reason
            LEFT JOIN @extschema@.whatsapp_messages AS s ON s.id = f.sample_id;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_failures(jsonb) IS
'GET /api/v1/admin/whatsapp/failures?from=: failed messages written since then (today by default), by error code or '
'reason, with title and remedy. counted_since is later than from if there are more than 200,000 messages.';

/* ---- 89-gateway-numbers ---------------------------------------------------------- */

CREATE FUNCTION @extschema@.wa_gateway_phone_numbers(
    request jsonb, OUT status integer, OUT body json, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET jit = off
AS $$
DECLARE
    list CONSTANT text := 'phone-numbers';
    q text;
    only_assigned boolean;
    after text;
    most bigint;
    used bigint;
    day record;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text, '{q,assigned,limit,cursor}'::text[]);
    q := lower(@extschema@.wa_internal_gateway_argument(request, 'q'::text));
    only_assigned := @extschema@.wa_internal_gateway_boolean(request, 'assigned'::text);
    after := @extschema@.wa_internal_gateway_place(request, list) #>> '{}';
    most := @extschema@.wa_internal_gateway_integer(request, 'limit'::text, 1, 5000, 5000);
    /* The limit is the portfolio's, and so is how much of it is used. */
    SELECT count(*) INTO used FROM (
        SELECT FROM @extschema@.whatsapp_reach AS r
        WHERE r.reached_at > clock_timestamp() - interval '24 hours' LIMIT 100001) AS r;
    SELECT w.since, w.first_id INTO day
        FROM @extschema@.wa_internal_message_window(current_date::timestamptz, 50000) AS w;
    status := 200;
    WITH page AS MATERIALIZED (
        SELECT n.* FROM @extschema@.wa_number_status AS n
        WHERE (after IS NULL OR n.phone_number_id > after)
            AND (only_assigned IS NULL OR (n.tenant_id IS NOT NULL) = only_assigned)
            AND (q IS NULL OR strpos(lower(concat_ws(' ', n.phone_number_id, n.display_phone_number, n.verified_name,
                     n.tenant_id)), q) > 0
                 OR q ~ '[0-9]{3}' AND strpos(regexp_replace(n.display_phone_number, '[^0-9]', '', 'g'),
                     regexp_replace(q, '[^0-9]', '', 'g')) > 0)
        ORDER BY n.phone_number_id LIMIT most),
    today AS MATERIALIZED (
        SELECT t.phone_number_id, sum(t.sent) AS sent, sum(t.failed) AS failed
        FROM @extschema@.wa_internal_message_tallies(day.first_id, day.since) AS t GROUP BY t.phone_number_id),
    queue AS MATERIALIZED (
        SELECT c.phone_number_id, count(*) AS waiting FROM @extschema@.whatsapp_queue AS c GROUP BY c.phone_number_id),
    free AS MATERIALIZED (SELECT f.phone_number_id FROM @extschema@.wa_free_numbers AS f),
    /* There are few of them. */
    limits AS MATERIALIZED (
        SELECT d.name, @extschema@.wa_internal_limit_size(d.name) AS size
        FROM (SELECT DISTINCT p.messaging_limit AS name FROM page AS p) AS d)
    SELECT COALESCE(json_agg(r ORDER BY r.phone_number_id), '[]'),
           @extschema@.wa_internal_gateway_paging(@extschema@.wa_internal_gateway_cursor(list,
               CASE WHEN count(*) = most THEN max(r.phone_number_id) END))
        INTO body, paging
        FROM (SELECT p.phone_number_id, p.display_phone_number, p.verified_name, p.quality_rating, p.status, p.health,
                     l.size AS messaging_limit, CASE WHEN p.messaging_limit IS NOT NULL THEN used END
                         AS messaging_limit_used,
                     p.messages_per_second AS throughput, p.rate_reason, p.tenant_id, p.assigned_at,
                     f.phone_number_id IS NOT NULL AS free,
                     p.pause_reason IS NOT NULL AS paused, p.pause_reason, p.paused_until,
                     COALESCE(t.sent, 0) AS sent_today, COALESCE(t.failed, 0) AS failed_today,
                     day.since AS counted_since, COALESCE(w.waiting, 0) AS waiting, p.last_webhook_at, p.synced_at,
                     p.missing_since, p.trouble
              FROM page AS p
                  LEFT JOIN today AS t ON t.phone_number_id = p.phone_number_id
                  LEFT JOIN queue AS w ON w.phone_number_id = p.phone_number_id
                  LEFT JOIN free AS f ON f.phone_number_id = p.phone_number_id
                  LEFT JOIN limits AS l ON l.name = p.messaging_limit) AS r;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_phone_numbers(jsonb) IS
'GET /api/v1/admin/whatsapp/phone-numbers?q=&assigned=&limit=&cursor=: numbers with who has them, by phone_number_id.';

/* The tenants of a page as the list shows them. */
CREATE FUNCTION @extschema@.wa_internal_gateway_tenant_rows(tenants text[]) RETURNS json
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET jit = off
AS $$
DECLARE
    rows json;
    day record;
BEGIN
    SELECT w.since, w.first_id INTO day
        FROM @extschema@.wa_internal_message_window(current_date::timestamptz, 50000) AS w;
    WITH today AS MATERIALIZED (
        SELECT t.tenant_id, sum(t.sent) AS sent, sum(t.failed) AS failed
        FROM @extschema@.wa_internal_message_tallies(day.first_id, day.since,
            CASE WHEN cardinality(tenants) <= 200 THEN tenants END) AS t
        GROUP BY t.tenant_id)
    SELECT json_agg(r ORDER BY r.tenant_id) INTO rows
        FROM (SELECT s.tenant_id, s.phone_number_id, s.display_phone_number, s.verified_name, s.assigned_at,
                     s.whatsapp_enabled, s.status, s.language, s.quality_rating, s.number_health,
                     COALESCE(t.sent, 0) AS sent_today, COALESCE(t.failed, 0) AS failed_today,
                     day.since AS counted_since, COALESCE(w.waiting, 0) AS waiting,
                     s.last_message_at, s.last_message_status,
                     s.pause_reason IS NOT NULL AS paused, s.pause_reason, s.paused_until, s.created_at
              FROM @extschema@.wa_tenant_status AS s
                  LEFT JOIN today AS t ON t.tenant_id = s.tenant_id
                  LEFT JOIN @extschema@.wa_internal_waiting_by_tenant() AS w ON w.tenant_id = s.tenant_id
              WHERE s.tenant_id = ANY (tenants)) AS r;
    RETURN COALESCE(rows, '[]');
END
$$;

CREATE FUNCTION @extschema@.wa_gateway_tenants(
    request jsonb, OUT status integer, OUT body json, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET jit = off
AS $$
DECLARE
    list CONSTANT text := 'tenants';
    q text;
    only_enabled boolean;
    only_assigned boolean;
    after text;
    most bigint;
    tenants text[];
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text, '{q,enabled,assigned,limit,cursor}'::text[]);
    q := lower(@extschema@.wa_internal_gateway_argument(request, 'q'::text));
    only_enabled := @extschema@.wa_internal_gateway_boolean(request, 'enabled'::text);
    only_assigned := @extschema@.wa_internal_gateway_boolean(request, 'assigned'::text);
    after := @extschema@.wa_internal_gateway_place(request, list) #>> '{}';
    most := @extschema@.wa_internal_gateway_integer(request, 'limit'::text, 1, 5000, 5000);
    tenants := ARRAY(
        SELECT t.tenant_id
        FROM @extschema@.whatsapp_tenants AS t
            LEFT JOIN @extschema@.whatsapp_phone_assignments AS a
                ON a.tenant_id = t.tenant_id AND a.unassigned_at IS NULL
            LEFT JOIN @extschema@.whatsapp_phone_numbers AS p ON p.phone_number_id = a.phone_number_id
        WHERE (after IS NULL OR t.tenant_id > after)
            AND (only_enabled IS NULL OR t.enabled = only_enabled)
            AND (only_assigned IS NULL OR (a.tenant_id IS NOT NULL) = only_assigned)
            AND (q IS NULL OR strpos(lower(concat_ws(' ', t.tenant_id, p.phone_number_id, p.display_phone_number,
                     p.verified_name)), q) > 0
                 OR q ~ '[0-9]{3}' AND strpos(regexp_replace(p.display_phone_number, '[^0-9]', '', 'g'),
                     regexp_replace(q, '[^0-9]', '', 'g')) > 0)
        ORDER BY t.tenant_id LIMIT most);
    status := 200;
    body := @extschema@.wa_internal_gateway_tenant_rows(tenants);
    IF cardinality(tenants) = most THEN
        paging := @extschema@.wa_internal_gateway_paging(
            @extschema@.wa_internal_gateway_cursor(list, tenants[cardinality(tenants)]));
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_tenants(jsonb) IS
'GET /api/v1/admin/whatsapp/tenants?q=&enabled=&assigned=&limit=&cursor=: tenants with their state, by tenant_id.';

/* Who is in the way: the tenant that has the number, or the number that the tenant has. */
CREATE FUNCTION @extschema@.wa_internal_gateway_holder(number text, tenant text) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object('tenant_id', a.tenant_id, 'phone_number_id', p.phone_number_id,
        'display_phone_number', p.display_phone_number, 'assigned_at', a.assigned_at,
        'waiting', @extschema@.wa_internal_waiting_of(a.tenant_id))
    FROM @extschema@.whatsapp_phone_assignments AS a
        JOIN @extschema@.whatsapp_phone_numbers AS p ON p.phone_number_id = a.phone_number_id
    WHERE a.unassigned_at IS NULL AND (a.phone_number_id = number OR a.tenant_id = tenant)
$$;

CREATE FUNCTION @extschema@.wa_gateway_assign_phone(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = error
AS $$
DECLARE
    tenant CONSTANT text := request #>> '{path,tenant_id}';
    number text;
    display text;
    loser text;
    problem text;
    detail text;
    broken text;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text,
        members => '{phone_number_id,display_phone_number,take_from}'::text[]);
    /* Older programs write IDs as numbers. */
    number := NULLIF(request #>> '{body,phone_number_id}', '');
    display := @extschema@.wa_internal_gateway_string(request, 'display_phone_number'::text);
    loser := @extschema@.wa_internal_gateway_string(request, 'take_from'::text);
    IF number IS NULL AND display IS NOT NULL THEN
        number := @extschema@.wa_internal_number_written(display);
        IF number IS NULL THEN
            RAISE EXCEPTION 'no number is written "%"', @extschema@.wa_internal_quote(display)
                USING ERRCODE = 'undefined_object', COLUMN = 'display_phone_number',
                      HINT = 'Give its phone_number_id; if it is new, read the list from Meta again.';
        END IF;
        display := NULL;
    END IF;
    IF number IS NULL AND loser IS NOT NULL THEN
        RAISE EXCEPTION '"take_from" needs the number that is to be taken'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'phone_number_id';
    END IF;

    BEGIN
        /* Only from whom the page has shown: somebody else may have got it meanwhile. */
        IF loser <> tenant AND EXISTS (
                SELECT FROM @extschema@.whatsapp_phone_assignments AS a
                WHERE a.phone_number_id = number AND a.tenant_id = loser AND a.unassigned_at IS NULL) THEN
            PERFORM @extschema@.wa_unassign_phone(loser);
        END IF;
        IF number IS NULL THEN
            PERFORM @extschema@.wa_assign_phone(tenant);
        ELSE
            PERFORM @extschema@.wa_assign_phone(tenant, number, display);
        END IF;
    EXCEPTION
        WHEN unique_violation OR configuration_limit_exceeded THEN
            GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, broken = CONSTRAINT_NAME;
            status := 409;
            body := jsonb_strip_nulls(jsonb_build_object(
                'detail', concat_ws('. ', problem, NULLIF(detail, '')),
                'holder', CASE broken
                    WHEN 'whatsapp_phone_assignments_number_key'
                        THEN @extschema@.wa_internal_gateway_holder(number, NULL::text)
                    WHEN 'whatsapp_phone_assignments_tenant_key'
                        THEN @extschema@.wa_internal_gateway_holder(NULL::text, tenant) END,
                'hint', CASE SQLSTATE WHEN '23505' THEN 'Unassign it first; take_from takes the number from its holder.'
                    ELSE 'Add a number to the account in WhatsApp Manager, then read the list again.' END));
            RETURN;
    END;
    status := 200;
    body := @extschema@.wa_internal_gateway_tenant_rows(ARRAY[tenant]) -> 0;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_assign_phone(jsonb) IS
'POST /api/v1/admin/whatsapp/tenants/{tenant_id}/assign-phone {phone_number_id, display_phone_number, take_from}: '
'wa_assign_phone(), with the best free number if none is named. take_from: the tenant from whom the number is taken in '
'the same transaction. Answers with the tenant; 409 with the holder, or if no number is free.';

CREATE FUNCTION @extschema@.wa_gateway_unassign_phone(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = error
AS $$
DECLARE
    tenant text;
    number text;
    display text;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text);
    tenant := @extschema@.wa_internal_gateway_tenant(request);
    SELECT p.phone_number_id, p.display_phone_number INTO number, display
        FROM @extschema@.whatsapp_phone_assignments AS a
            JOIN @extschema@.whatsapp_phone_numbers AS p ON p.phone_number_id = a.phone_number_id
        WHERE a.tenant_id = tenant AND a.unassigned_at IS NULL FOR NO KEY UPDATE OF a;
    IF NOT FOUND OR NOT @extschema@.wa_unassign_phone(tenant) THEN
        RAISE EXCEPTION 'tenant "%" has no phone number', @extschema@.wa_internal_quote(tenant)
            USING ERRCODE = 'no_data_found';
    END IF;
    status := 200;
    body := jsonb_build_object('tenant_id', tenant, 'phone_number_id', number, 'display_phone_number', display,
        'waiting', @extschema@.wa_internal_waiting_of(tenant));
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_unassign_phone(jsonb) IS
'DELETE /api/v1/admin/whatsapp/tenants/{tenant_id}/unassign-phone: wa_unassign_phone(). Answers with the number that '
'it had, and how many messages wait now. 404: it has none.';

CREATE FUNCTION @extschema@.wa_gateway_assign_phones(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = error
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text);
    SELECT 200, jsonb_build_object(
            'assigned', COALESCE(jsonb_agg(to_jsonb(a)) FILTER (WHERE a.phone_number_id IS NOT NULL), '[]'),
            'without', COALESCE(jsonb_agg(a.tenant_id) FILTER (WHERE a.phone_number_id IS NULL), '[]'))
        INTO status, body FROM @extschema@.wa_assign_all() AS a;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_assign_phones(jsonb) IS
'POST /api/v1/admin/whatsapp/assign-phones: wa_assign_all(). Answers with what was assigned, and the tenants left '
'without a number.';

/* ---- 89-gateway-summary ---------------------------------------------------------- */

/*
 * What waits, by state and reason.  Up to 40,000 rows the queue is counted; beyond
 * that a sample of its pages is, and the result multiplied: estimated.  Each time
 * planned anew: only an array that is known then is searched by hash.
 */
CREATE FUNCTION @extschema@.wa_internal_queue_counts(
    OUT ready bigint,
    OUT deferred bigint,
    OUT scheduled bigint,
    OUT held bigint,
    OUT uncertain bigint,
    OUT parked bigint,
    OUT no_number bigint,
    OUT stopped bigint,
    OUT taken_over bigint,
    OUT oldest_id bigint,
    OUT estimated boolean)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    pages CONSTANT bigint := pg_relation_size('@extschema@.whatsapp_queue'::regclass)
        / current_setting('block_size')::bigint;
    most CONSTANT integer := 400;
    percent CONSTANT double precision := LEAST(100, 100.0 * most / GREATEST(pages, 1));
    numbers CONSTANT text[] := ARRAY(SELECT s.phone_number_id FROM @extschema@.wa_internal_stopped_numbers AS s);
    everything CONSTANT boolean := EXISTS (
        SELECT FROM @extschema@.whatsapp_pauses AS p
        WHERE p.scope = 'account' AND (p.until IS NULL OR p.until > clock_timestamp()));
    factor CONSTANT double precision := 100 / percent;
BEGIN
    estimated := percent < 100;
    SELECT count(*) FILTER (WHERE q.state = 'r'),
           count(*) FILTER (WHERE q.state = 'd' AND q.hold_reason IS NOT NULL),
           count(*) FILTER (WHERE q.state = 'd' AND q.hold_reason IS NULL),
           count(*) FILTER (WHERE q.state = 'h'),
           count(*) FILTER (WHERE q.state = 'u'),
           count(*) FILTER (WHERE q.state = 'u' AND q.hold_reason = 'parked'),
           count(*) FILTER (WHERE q.state = 'h' AND q.hold_reason = 'no_number'),
           count(*) FILTER (WHERE q.state = 'r' AND (everything OR q.phone_number_id = ANY (numbers))),
           count(*) FILTER (WHERE q.state = 'u' AND q.hold_reason = 'takeover'),
           min(q.message_id) FILTER (WHERE q.state IN ('r', 'h'))
        INTO ready, deferred, scheduled, held, uncertain, parked, no_number, stopped, taken_over,
            oldest_id
        FROM @extschema@.whatsapp_queue AS q TABLESAMPLE SYSTEM (percent) REPEATABLE (1);
    IF estimated THEN
        ready := ready * factor;
        deferred := deferred * factor;
        scheduled := scheduled * factor;
        held := held * factor;
        uncertain := uncertain * factor;
        parked := parked * factor;
        no_number := no_number * factor;
        stopped := stopped * factor;
        taken_over := taken_over * factor;
        /* The oldest ones lie at the beginning of the key. */
        SELECT LEAST(oldest_id, min(o.message_id)) INTO oldest_id
            FROM (SELECT q.message_id, q.state FROM @extschema@.whatsapp_queue AS q
                  ORDER BY q.message_id LIMIT 1000) AS o
            WHERE o.state IN ('r', 'h');
    END IF;
    ready := ready - stopped;
END
$$;

/*
 * What a person should do something about, the worst first.  English; a page says
 * the same in the reader's language, by kind.
 */
CREATE FUNCTION @extschema@.wa_internal_needs_attention(parked bigint, without_number bigint)
RETURNS TABLE (kind text, severity text, count bigint, title text, remedy text, section text, filter jsonb)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT n.kind, n.severity, n.count, n.title, n.remedy, n.section, n.filter
    FROM (
        /* What wa_health() finds; the rest of it is in alerts, pauses and the queue. */
        SELECT 'health', h.state, 1::bigint, format('%s: %s', h.item, h.detail), h.remedy, 'health',
               jsonb_build_object('item', h.item)
            FROM (SELECT o.* FROM @extschema@.wa_internal_health_ownership() AS o
                  UNION ALL SELECT o.* FROM @extschema@.wa_internal_health_processes() AS o
                  WHERE o.item NOT LIKE 'sender %'
                  UNION ALL SELECT o.* FROM @extschema@.wa_internal_health_settings() AS o
                  UNION ALL SELECT o.* FROM @extschema@.wa_internal_health_token() AS o) AS h
            WHERE h.state IN ('error', 'warning')
        UNION ALL
        SELECT 'stopped_senders', 'error', count(*),
               format('%s of %s senders are not running', count(*), max(s.senders)),
               'See the server''s log; they restart by themselves unless worker processes have run out.', 'health', NULL
            FROM @extschema@.wa_stats() AS s WHERE s.pid IS NULL HAVING count(*) > 0
        UNION ALL
        SELECT 'uncertain', 'warning', parked, format('%s messages may or may not have arrived', parked),
               'Ask the recipient, then decide: arrived, failed, or send again.', 'messages',
               '{"status": "uncertain", "reason": "parked"}'
            WHERE parked > 0
        UNION ALL
        SELECT 'no_number', 'error', without_number,
               format('%s messages wait because their tenants have no number', without_number),
               'Assign them a number.', 'tenants', '{"assigned": "false"}'
            WHERE without_number > 0
        UNION ALL
        SELECT 'paused', CASE WHEN bool_or(p.scope = 'account') THEN 'error' ELSE 'warning' END, count(*),
               format('%s pauses last until somebody ends them', count(*)),
               'Resume when the cause has gone.', 'queue', '{"paused": "true"}'
            FROM @extschema@.whatsapp_pauses AS p WHERE p.until IS NULL HAVING count(*) > 0
        UNION ALL
        SELECT 'parked_inbound', 'warning', count(*), format('%s webhook items of a day could not be used', count(*)),
               'See whatsapp_parked_events for the reasons.', 'health', NULL
            FROM (SELECT FROM @extschema@.whatsapp_parked_events AS e
                  WHERE e.received_at > clock_timestamp() - interval '24 hours' AND e.reason <> 'unknown_message'
                  LIMIT 1000) AS e
            HAVING count(*) > 0
        UNION ALL
        SELECT 'alert_' || a.kind, CASE WHEN bool_or(a.severity = 'error') THEN 'error' ELSE 'warning' END, count(*),
               COALESCE(k.title, max(a.message)),
               COALESCE(k.remedy, 'See the alert, then resolve it.'), 'alerts', jsonb_build_object('kind', a.kind)
            FROM (SELECT o.kind, o.severity, o.message FROM @extschema@.whatsapp_alerts AS o
                  WHERE o.resolved_at IS NULL AND o.severity <> 'info'
                      AND o.kind NOT IN ('paused', 'uncertain', 'parked_events') LIMIT 5000) AS a
                LEFT JOIN @extschema@.wa_internal_alert_kinds() AS k ON k.kind = a.kind
            GROUP BY a.kind, k.title, k.remedy) AS n (kind, severity, count, title, remedy, section, filter)
    ORDER BY n.severity, n.count DESC, n.kind
$$;

/*
 * What was sent in each of the last 60 minutes, and today's figures, in one pass over
 * the newest messages of the last day.  What was accepted within the hour but written
 * before these is not seen.
 */
CREATE FUNCTION @extschema@.wa_internal_recent_figures(most bigint, OUT rate jsonb, OUT today jsonb)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
    SET plan_cache_mode = force_custom_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
    SET enable_sort = off
    SET jit = off
AS $$
DECLARE
    midnight CONSTANT timestamptz := current_date;
    this_minute CONSTANT timestamptz := date_trunc('minute', clock_timestamp());
    hour_ago CONSTANT timestamptz := this_minute - interval '59 minutes';
    span record;
BEGIN
    SELECT w.since, w.first_id INTO span
        FROM @extschema@.wa_internal_message_window(LEAST(midnight, hour_ago), most) AS w;
    /* Grouped so that few rows are left: the statuses of today by minute, of the last hour only. */
    WITH grouped AS MATERIALIZED (
        SELECT m.created_at >= midnight AS is_today, m.status,
            CASE WHEN m.accepted_at >= hour_ago THEN date_bin('1 minute', m.accepted_at, hour_ago) END AS accepted,
            CASE WHEN m.failed_at >= hour_ago THEN date_bin('1 minute', m.failed_at, hour_ago) END AS failed,
            m.accepted_at IS NOT NULL AS is_sent, count(*) AS n
        FROM @extschema@.whatsapp_messages AS m
        WHERE m.id >= span.first_id AND m.created_at >= span.since
        GROUP BY 1, 2, 3, 4, 5)
    SELECT (SELECT jsonb_agg(jsonb_build_object(
                'minute', c.minute, 'sent', COALESCE(a.n, 0), 'failed', COALESCE(f.n, 0)) ORDER BY c.minute)
            FROM generate_series(hour_ago, this_minute, interval '1 minute') AS c (minute)
                LEFT JOIN (SELECT g.accepted, sum(g.n) AS n FROM grouped AS g GROUP BY g.accepted) AS a
                    ON a.accepted = c.minute
                LEFT JOIN (SELECT g.failed, sum(g.n) AS n FROM grouped AS g GROUP BY g.failed) AS f
                    ON f.failed = c.minute),
           (SELECT jsonb_build_object('since', GREATEST(midnight, span.since),
                'sent', COALESCE(sum(g.n) FILTER (WHERE g.is_sent), 0),
                'delivered', COALESCE(sum(g.n) FILTER (WHERE g.status IN ('delivered', 'read')), 0),
                'read', COALESCE(sum(g.n) FILTER (WHERE g.status = 'read'), 0),
                'failed', COALESCE(sum(g.n) FILTER (WHERE g.status = 'failed'), 0),
                'uncertain', COALESCE(sum(g.n) FILTER (WHERE g.status = 'uncertain'), 0))
            FROM grouped AS g WHERE g.is_today)
        INTO rate, today;
END
$$;

CREATE FUNCTION @extschema@.wa_gateway_summary(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET jit = off
AS $$
DECLARE
    q record;
    figures record;
    leased bigint;
    running record;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'viewer'::text);
    SELECT c.* INTO q FROM @extschema@.wa_internal_queue_counts() AS c;
    SELECT f.* INTO figures FROM @extschema@.wa_internal_recent_figures(8000) AS f;
    SELECT COALESCE(sum(cardinality(l.message_ids)), 0) INTO leased FROM @extschema@.whatsapp_leases AS l;
    SELECT count(s.pid) AS running, COALESCE(max(s.senders), 0) AS expected, COALESCE(sum(s.in_flight), 0) AS in_flight
        INTO running FROM @extschema@.wa_stats() AS s;
    status := 200;
    body := jsonb_build_object(
        'as_of', clock_timestamp(),
        'needs_attention', (SELECT COALESCE(jsonb_agg(to_jsonb(n)), '[]')
            FROM @extschema@.wa_internal_needs_attention(q.parked, q.no_number) AS n),
        'queue', jsonb_build_object('ready', GREATEST(q.ready - leased, 0), 'leased', leased, 'deferred', q.deferred,
            'scheduled', q.scheduled, 'held', q.held, 'uncertain', q.uncertain, 'paused', q.stopped,
            'estimated', q.estimated, 'oldest_seconds', (
                SELECT floor(extract(epoch FROM clock_timestamp() - m.created_at))
                FROM @extschema@.whatsapp_messages AS m WHERE m.id = q.oldest_id)),
        'rate', figures.rate,
        'today', figures.today,
        'senders', jsonb_build_object('running', running.running, 'expected', running.expected,
            'in_flight', running.in_flight),
        'enabled', current_setting('whatsapp_shared.enabled')::boolean);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_summary(jsonb) IS
'GET /api/v1/admin/whatsapp/summary: what needs a person, the queue, what was sent in the last 60 minutes and today '
'(among the newest 8,000 messages: since), and the senders.';

/* ---- 89-gateway-tenant ----------------------------------------------------------- */

/*
 * The tenant in the path, for whoever may see it: the holder of a link of that
 * tenant, an administrator, and for reading a viewer.  Every route below begins
 * here.  A wrong key is found out before anything is said about the tenant.
 */
CREATE FUNCTION @extschema@.wa_internal_gateway_own_tenant(
    request jsonb,
    changes boolean,
    arguments text[] DEFAULT '{}',
    members text[] DEFAULT '{}')
RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF request #>> '{actor,role}' = 'tenant' THEN
        PERFORM @extschema@.wa_internal_check_link(request #>> '{path,tenant_id}', request #>> '{actor,key_sha256}');
    ELSE
        PERFORM @extschema@.wa_internal_gateway_require(request, CASE WHEN changes THEN 'admin' ELSE 'viewer' END);
    END IF;
    PERFORM @extschema@.wa_internal_gateway_act(request);
    PERFORM @extschema@.wa_internal_gateway_accept(request, arguments, members);
    RETURN @extschema@.wa_internal_gateway_tenant(request);
END
$$;

/*
 * Why a message of the tenant would not leave now; NULL: it would.  switched_off is
 * the tenant's own doing; the platform has to give it a number (no_number), to end a
 * pause (paused), or to see to the installation (stopped).
 */
CREATE FUNCTION @extschema@.wa_internal_tenant_obstacle(tenant text) RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN NOT t.enabled THEN 'switched_off'
        WHEN n.number IS NULL THEN 'no_number'
        WHEN EXISTS (
            SELECT FROM @extschema@.whatsapp_pauses AS p
            WHERE (p.until IS NULL OR p.until > clock_timestamp())
                AND (p.scope = 'account' OR p.scope = 'tenant' AND p.key = tenant
                     OR p.scope = 'number' AND p.key = n.number)) THEN 'paused'
        WHEN @extschema@.wa_internal_global_obstacle() IS NOT NULL THEN 'stopped' END
    FROM @extschema@.whatsapp_tenants AS t
        CROSS JOIN LATERAL (SELECT @extschema@.wa_internal_number_of(t.tenant_id) AS number) AS n
    WHERE t.tenant_id = tenant
$$;

CREATE FUNCTION @extschema@.wa_gateway_create_link(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenant text;
    link record;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text,
        members => '{valid_for_seconds,page}'::text[]);
    tenant := @extschema@.wa_internal_gateway_tenant(request);
    SELECT l.* INTO link FROM @extschema@.wa_internal_make_link(tenant,
        make_interval(secs => COALESCE(@extschema@.wa_internal_gateway_body_integer(request,
            'valid_for_seconds'::text, 60, 365 * 86400), 30 * 86400)),
        COALESCE(@extschema@.wa_internal_gateway_string(request, 'page'::text), 'notifications'),
        concat_ws(' ', request #>> '{actor,role}', request #>> '{actor,name}')) AS l;
    status := 201;
    body := jsonb_build_object('tenant_id', tenant, 'url', link.url, 'expires_at', link.expires_at);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_create_link(jsonb) IS
'POST /api/v1/admin/whatsapp/tenants/{tenant_id}/links {valid_for_seconds, page}: wa_tenant_link(). The address is in '
'this answer only.';

CREATE FUNCTION @extschema@.wa_gateway_revoke_links(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tenant text;
    revoked integer;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_begin(request, 'admin'::text);
    tenant := @extschema@.wa_internal_gateway_tenant(request);
    revoked := @extschema@.wa_revoke_links(tenant);
    status := 200;
    body := jsonb_build_object('tenant_id', tenant, 'revoked', revoked);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_revoke_links(jsonb) IS
'DELETE /api/v1/admin/whatsapp/tenants/{tenant_id}/links: wa_revoke_links().';

/* Nobody is signed in yet, but has shown a key. */
CREATE FUNCTION @extschema@.wa_gateway_link_session(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    link @extschema@.whatsapp_tenant_links;
BEGIN
    PERFORM @extschema@.wa_internal_gateway_accept(request, '{lang}'::text[]);
    SELECT l.* INTO link FROM @extschema@.wa_internal_check_link(request #>> '{path,tenant_id}',
        request #>> '{actor,key_sha256}') AS l;
    status := 200;
    body := jsonb_build_object('tenant_id', link.tenant_id, 'page', link.page, 'expires_at', link.expires_at);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_link_session(jsonb) IS
'POST /app/settings/notifications/{tenant_id}/session {key}: whether the key is that of a link of this tenant, and '
'until when.';

/* The languages that templates can be sent in. */
CREATE FUNCTION @extschema@.wa_internal_template_languages() RETURNS text[]
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT COALESCE(array_agg(DISTINCT t.language ORDER BY t.language), '{}')
    FROM @extschema@.whatsapp_templates AS t
    WHERE t.status = 'APPROVED' AND t.missing_since IS NULL AND t.name <> 'hello_world'
$$;

/* The settings document of 25-settings, with what else a tenant sets. */
CREATE FUNCTION @extschema@.wa_internal_gateway_settings(tenant text) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT @extschema@.wa_notification_settings(t.tenant_id)
        || jsonb_build_object(
            'tenant_id', t.tenant_id,
            'quiet_from', to_char(t.quiet_from, 'HH24:MI'),
            'quiet_to', to_char(t.quiet_to, 'HH24:MI'),
            'time_zone', COALESCE(t.time_zone, current_setting('log_timezone')),
            'read_receipts', t.read_receipts,
            'languages', @extschema@.wa_internal_template_languages())
    FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = tenant
$$;

CREATE FUNCTION @extschema@.wa_gateway_notification_settings(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    status := 200;
    body := @extschema@.wa_internal_gateway_settings(@extschema@.wa_internal_gateway_own_tenant(request, false));
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_notification_settings(jsonb) IS
'GET /api/v1/tenants/{tenant_id}/notification-settings: the document of wa_notification_settings(), with the quiet '
'hours, the time zone and the languages that templates are approved in.';

/* A time of day in the body, as a form sends it. */
CREATE FUNCTION @extschema@.wa_internal_gateway_body_clock(request jsonb, name text) RETURNS time
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    given CONSTANT text := @extschema@.wa_internal_gateway_string(request, name);
BEGIN
    IF given !~ '^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$' THEN
        RAISE EXCEPTION '"%" must be a time of day', name
            USING ERRCODE = 'invalid_parameter_value', COLUMN = name, HINT = 'Write it as in 21:30.';
    END IF;
    RETURN given::time;
END
$$;

/*
 * What a tenant must not change is refused only if it is changed: a document can
 * be sent back as it was read.
 */
CREATE FUNCTION @extschema@.wa_internal_gateway_check_settings(request jsonb, before jsonb) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name text;
    languages CONSTANT jsonb := before -> 'languages';
    wanted CONSTANT jsonb := NULLIF(request #> '{body,whatsapp_default_language}', 'null');
BEGIN
    FOREACH name IN ARRAY CASE WHEN request #>> '{actor,role}' = 'tenant'
        THEN '{tenant_id,languages,time_zone,messages_per_second,daily_share,on_uncertain}'::text[]
        ELSE '{tenant_id,languages}'::text[] END
    LOOP
        IF (request -> 'body') ? name AND request #> ARRAY['body', name] IS DISTINCT FROM before -> name THEN
            RAISE EXCEPTION '"%" cannot be changed here', name
                USING ERRCODE = 'insufficient_privilege', COLUMN = name,
                      HINT = 'This is for the platform to set.';
        END IF;
    END LOOP;
    IF request #>> '{actor,role}' = 'tenant' AND jsonb_array_length(languages) > 0
       AND NOT languages @> wanted AND wanted <> before -> 'whatsapp_default_language' THEN
        RAISE EXCEPTION 'there are no messages in this language'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'whatsapp_default_language',
                  HINT = format('There are in: %s.',
                      (SELECT string_agg(l.tag, ', ') FROM jsonb_array_elements_text(languages) AS l (tag)));
    END IF;
END
$$;

CREATE FUNCTION @extschema@.wa_gateway_set_notification_settings(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = warning
AS $$
DECLARE
    document CONSTANT jsonb := CASE jsonb_typeof(request -> 'body') WHEN 'object' THEN request -> 'body' ELSE '{}' END;
    credentials CONSTANT text[] := (SELECT k.dropped FROM @extschema@.wa_internal_settings_keys(document) AS k);
    tenant text;
    before jsonb;
BEGIN
    tenant := @extschema@.wa_internal_gateway_own_tenant(request, true, members => credentials || '{tenant_id,
        whatsapp_enabled,whatsapp_default_language,whatsapp_phone_number_id,whatsapp_display_phone_number,quiet_from,
        quiet_to,read_receipts,time_zone,languages,messages_per_second,daily_share,on_uncertain}'::text[]);
    before := @extschema@.wa_internal_gateway_settings(tenant);
    PERFORM @extschema@.wa_internal_gateway_check_settings(request, before);
    PERFORM @extschema@.wa_set_notification_settings(tenant,
        document - '{quiet_from,quiet_to,read_receipts,time_zone,languages,messages_per_second,daily_share,
            on_uncertain}'::text[]);
    PERFORM @extschema@.wa_configure_tenant(tenant,
        quiet_from => @extschema@.wa_internal_gateway_body_clock(request, 'quiet_from'::text),
        quiet_to => @extschema@.wa_internal_gateway_body_clock(request, 'quiet_to'::text),
        /* The server's, sent back as it was read, is not made the tenant's own. */
        time_zone => CASE WHEN request #>> '{actor,role}' = 'admin' THEN NULLIF(
            @extschema@.wa_internal_gateway_string(request, 'time_zone'::text), before ->> 'time_zone') END,
        messages_per_second => (@extschema@.wa_internal_gateway_member(request, 'messages_per_second'::text,
            'number'::text) #>> '{}')::real,
        daily_share => (@extschema@.wa_internal_gateway_member(request, 'daily_share'::text,
            'number'::text) #>> '{}')::real,
        on_uncertain => @extschema@.wa_internal_gateway_string(request, 'on_uncertain'::text),
        read_receipts => (@extschema@.wa_internal_gateway_member(request, 'read_receipts'::text,
            'boolean'::text) #>> '{}')::boolean,
        reset => CASE WHEN document ? 'quiet_from' AND document ? 'quiet_to'
                           AND COALESCE(document ->> 'quiet_from', '') = ''
                           AND COALESCE(document ->> 'quiet_to', '') = ''
                      THEN '{quiet_hours}'::text[] ELSE '{}' END);
    body := @extschema@.wa_internal_gateway_settings(tenant);
    status := 200;
    IF cardinality(credentials) > 0 THEN
        body := body || jsonb_build_object('dropped', credentials);
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_set_notification_settings(jsonb) IS
'PUT /api/v1/tenants/{tenant_id}/notification-settings: wa_set_notification_settings(), quiet_from and quiet_to (both '
'null: none), read_receipts, and for an administrator time_zone, messages_per_second, daily_share and on_uncertain. '
'Absent members stay; credentials of older documents are dropped, and the answer names them in dropped.';

/*
 * The switch alone, for a page without scripts: what its form sends is text.  The
 * gateway makes a page of the answer (owner_form.c).
 */
CREATE FUNCTION @extschema@.wa_gateway_tenant_form(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_sent CONSTANT boolean := COALESCE(request -> 'body', 'null') <> 'null';
    tenant CONSTANT text := @extschema@.wa_internal_gateway_own_tenant(request, is_sent, '{plain,lang}'::text[],
        '{whatsapp_enabled}'::text[]);
    wanted text;
BEGIN
    IF is_sent THEN
        wanted := @extschema@.wa_internal_gateway_string(request, 'whatsapp_enabled'::text, true);
        IF wanted NOT IN ('true', 'false') THEN
            RAISE EXCEPTION '"whatsapp_enabled" must be true or false'
                USING ERRCODE = 'invalid_parameter_value', COLUMN = 'whatsapp_enabled';
        END IF;
        PERFORM @extschema@.wa_gateway_set_notification_settings(request
            || jsonb_build_object('query', '{}'::jsonb,
                'body', jsonb_build_object('whatsapp_enabled', wanted::boolean)));
    END IF;
    status := 200;
    body := @extschema@.wa_internal_gateway_settings(tenant)
        || jsonb_build_object('obstacle', @extschema@.wa_internal_tenant_obstacle(tenant));
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_tenant_form(jsonb) IS
'GET and POST /app/settings/notifications/{tenant_id}, of a page without scripts: the settings document with the '
'obstacle of the tenant''s messages, after the switch was set if the form was sent.';

/* What a tenant is told if it cannot be; reason is for the page, which has words of its own. */
CREATE FUNCTION @extschema@.wa_internal_gateway_refusal(reason text, more jsonb DEFAULT '{}') RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT jsonb_build_object('reason', reason, 'detail', CASE reason
        WHEN 'switched_off' THEN 'WhatsApp is switched off for this tenant'
        WHEN 'no_number' THEN 'the platform has not given this tenant a number yet'
        WHEN 'paused' THEN 'sending is paused by the platform'
        WHEN 'stopped' THEN 'the platform is not sending at the moment'
        WHEN 'opted_out' THEN 'this person has asked not to get messages'
        WHEN 'window_closed' THEN 'one may write freely for 24 hours after somebody has written, and they are over'
        WHEN 'no_template' THEN 'there is no approved template that could be sent as a test'
        WHEN 'too_many' THEN 'that is enough test messages for this hour' END) || more
$$;

/* The key that makes one message of one press of a button; without one, each request is a press. */
CREATE FUNCTION @extschema@.wa_internal_gateway_press(request jsonb) RETURNS text
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT encode(sha256(convert_to(
        COALESCE(request ->> 'idempotency_key', gen_random_uuid()::text), 'UTF8'::name)), 'hex')
$$;

/* A number that somebody has typed. */
CREATE FUNCTION @extschema@.wa_internal_gateway_body_recipient(request jsonb, name text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    message text;
    hint text;
BEGIN
    RETURN @extschema@.wa_internal_recipient(@extschema@.wa_internal_gateway_string(request, name, true));
EXCEPTION WHEN invalid_parameter_value THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RAISE EXCEPTION '%', message
        USING ERRCODE = 'invalid_parameter_value', COLUMN = name, HINT = hint;
END
$$;

/* Values for a template: those that Meta was shown as examples, else a word. */
CREATE FUNCTION @extschema@.wa_internal_template_samples(components jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH parts AS (
        SELECT upper(c.value ->> 'type') AS type, c.value AS part, c.value -> 'example' AS example
        FROM jsonb_array_elements(components) AS c (value)
    ), places AS (
        SELECT DISTINCT ON (p.type, m.name[1]) p.type, m.name[1] AS name, m.i, COALESCE(
            (SELECT e.value ->> 'example'
             FROM jsonb_path_query(p.example, 'strict $.*[*] ? (@.type() == "object")', silent => true) AS e (value)
             WHERE e.value ->> 'param_name' = m.name[1]),
            CASE WHEN m.name[1] ~ '^[0-9]{1,3}$' THEN COALESCE(
                p.example #>> ARRAY['body_text', '0', (m.name[1]::integer - 1)::text],
                p.example #>> ARRAY['header_text', (m.name[1]::integer - 1)::text]) END,
            'ejemplo') AS sample
        FROM parts AS p
            CROSS JOIN LATERAL regexp_matches(p.part ->> 'text', '\{\{\s*([A-Za-z0-9_]+)\s*\}\}', 'g')
                WITH ORDINALITY AS m (name, i)
        WHERE p.type IN ('HEADER', 'BODY')
        ORDER BY p.type, m.name[1], m.i
    )
    SELECT COALESCE(NULLIF(jsonb_strip_nulls(jsonb_build_object(
        'header', (SELECT h.sample FROM places AS h WHERE h.type = 'HEADER' LIMIT 1),
        'body', (SELECT CASE WHEN bool_and(b.name ~ '^[0-9]{1,3}$')
                     THEN jsonb_agg(b.sample ORDER BY CASE WHEN b.name ~ '^[0-9]{1,3}$' THEN b.name::integer END)
                     ELSE jsonb_object_agg(b.name, b.sample) END
                 FROM places AS b WHERE b.type = 'BODY'),
        'buttons', (SELECT CASE WHEN bool_or(v.sample IS NOT NULL) THEN jsonb_agg(v.sample ORDER BY v.i) END
                    FROM parts AS p
                        CROSS JOIN LATERAL jsonb_array_elements(p.part -> 'buttons') WITH ORDINALITY AS b (value, i)
                        CROSS JOIN LATERAL (SELECT b.i, CASE
                            WHEN upper(b.value ->> 'type') = 'URL' AND b.value ->> 'url' LIKE '%{{%' THEN 'ejemplo'
                            WHEN upper(b.value ->> 'type') = 'COPY_CODE' THEN 'EJEMPLO' END) AS v (i, sample)
                    WHERE p.type = 'BUTTONS'))), '{}'), '[]')
$$;

/*
 * What a test message of the tenant may be made of, the best first: the templates of
 * notifications and of what it has sent lately, in its language rather than another;
 * Meta's own sample at last.
 */
CREATE FUNCTION @extschema@.wa_internal_test_templates(tenant text)
RETURNS SETOF @extschema@.whatsapp_templates
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.*
    FROM @extschema@.whatsapp_templates AS t
        JOIN @extschema@.whatsapp_tenants AS o ON o.tenant_id = tenant
    WHERE t.status = 'APPROVED' AND t.missing_since IS NULL AND t.category <> 'AUTHENTICATION'
        AND (t.name = 'hello_world'
             OR EXISTS (SELECT FROM @extschema@.whatsapp_notifications AS n WHERE n.template_name = t.name)
             OR t.name IN (
                SELECT m.template_name
                FROM (SELECT l.template_name FROM @extschema@.whatsapp_messages AS l
                      WHERE l.tenant_id = tenant ORDER BY l.created_at DESC LIMIT 50) AS m))
    ORDER BY t.name = 'hello_world', t.category <> 'UTILITY',
        t.language <> COALESCE(o.language, current_setting('whatsapp_shared.default_language', true)),
        t.name, t.language
    LIMIT 20
$$;

/*
 * Sends a test.  Who has written within 24 hours gets a sentence that says what it
 * is; all others a template, for nothing else reaches them.  NULL: there is none that
 * can be filled in.
 */
CREATE FUNCTION @extschema@.wa_internal_send_test(tenant text, recipient text, key text) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    number CONSTANT text := @extschema@.wa_internal_number_of(tenant);
    sender CONSTANT text := COALESCE(
        (SELECT NULLIF(p.verified_name, '') FROM @extschema@.whatsapp_phone_numbers AS p
         WHERE p.phone_number_id = number), tenant);
    t @extschema@.whatsapp_templates;
BEGIN
    IF clock_timestamp()
       < (SELECT w.until FROM @extschema@.wa_internal_answer_window(number, ARRAY[recipient]) AS w) THEN
        RETURN @extschema@.wa_enqueue_text(tenant, recipient,
            CASE WHEN @extschema@.wa_notification_settings(tenant) ->> 'whatsapp_default_language' LIKE 'en%'
                 THEN format('Test message of %s: if you can read this, messages by WhatsApp work.', sender)
                 ELSE format('Mensaje de prueba de %s: si lo lees, los avisos por WhatsApp funcionan.', sender) END,
            priority => 100, idempotency_key => key);
    END IF;
    FOR t IN SELECT o.* FROM @extschema@.wa_internal_test_templates(tenant) AS o LOOP
        BEGIN
            RETURN @extschema@.wa_enqueue_message(tenant, recipient, t.name,
                @extschema@.wa_internal_template_samples(t.components), language => t.language, priority => 100,
                idempotency_key => key);
        EXCEPTION WHEN invalid_parameter_value OR object_not_in_prerequisite_state OR undefined_object THEN
            NULL; /* It needs a file, or what is said of it is not enough. */
        END;
    END LOOP;
    RETURN NULL;
END
$$;

CREATE FUNCTION @extschema@.wa_gateway_tenant_test_message(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = warning
AS $$
DECLARE
    an_hour CONSTANT integer := 5;
    tenant text;
    recipient text;
    hour timestamptz := date_trunc('hour', clock_timestamp());
    press text;
    sent bigint;
    message @extschema@.whatsapp_messages;
    reason text;
BEGIN
    tenant := @extschema@.wa_internal_gateway_own_tenant(request, true, members => '{recipient_phone}'::text[]);
    recipient := @extschema@.wa_internal_gateway_body_recipient(request, 'recipient_phone'::text);
    /* One at a time: the next one counts this one. */
    PERFORM FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = tenant FOR NO KEY UPDATE;
    press := @extschema@.wa_internal_gateway_press(request);
    SELECT m.* INTO message FROM @extschema@.whatsapp_messages AS m
        WHERE m.tenant_id = tenant AND m.idempotency_key IN (
            SELECT format('gateway-test:%s:%s', extract(epoch FROM h.hour)::bigint, press)
            FROM (VALUES (hour), (hour - interval '1 hour')) AS h (hour));
    IF FOUND THEN
        status := 200;
    ELSE
        reason := @extschema@.wa_internal_tenant_obstacle(tenant);
        IF reason IS NULL AND an_hour <= (
            SELECT count(*) FROM @extschema@.whatsapp_messages AS m
            WHERE m.tenant_id = tenant
                AND m.idempotency_key >= format('gateway-test:%s:', extract(epoch FROM hour)::bigint)
                AND m.idempotency_key < format('gateway-test:%s;', extract(epoch FROM hour)::bigint)) THEN
            status := 429;
            body := @extschema@.wa_internal_gateway_refusal('too_many'::text, jsonb_build_object('retry_after_seconds',
                ceil(extract(epoch FROM hour + interval '1 hour' - clock_timestamp()))::integer));
            RETURN;
        END IF;
        IF reason IS NULL THEN
            BEGIN
                sent := @extschema@.wa_internal_send_test(tenant, recipient,
                    format('gateway-test:%s:%s', extract(epoch FROM hour)::bigint, press));
                SELECT m.* INTO message FROM @extschema@.whatsapp_messages AS m WHERE m.id = sent;
                reason := CASE WHEN message.id IS NULL THEN 'no_template'
                               WHEN message.status = 'skipped' THEN 'opted_out' END;
                IF reason IS NOT NULL THEN
                    RAISE EXCEPTION 'it is not kept' USING ERRCODE = 'WA001';
                END IF;
            EXCEPTION WHEN SQLSTATE 'WA001' THEN
                NULL;
            END;
        END IF;
        IF reason IS NOT NULL THEN
            status := 409;
            body := @extschema@.wa_internal_gateway_refusal(reason);
            RETURN;
        END IF;
        status := 201;
    END IF;
    body := jsonb_build_object('id', message.id,
        'recipient', COALESCE(message.recipient_phone, message.recipient_user_id),
        'text', @extschema@.wa_internal_message_words(message));
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_tenant_test_message(jsonb) IS
'POST /api/v1/tenants/{tenant_id}/test-message {recipient_phone}: a sentence if the recipient has written within 24 '
'hours, else a template of the tenant''s with sample values, or hello_world. At most five in an hour (429); 409 with a '
'reason if none can be sent. Answers with what was sent.';

/* Whom an answer is for, and beneath what it stands. */
CREATE FUNCTION @extschema@.wa_internal_answer_target(
    tenant text, message_id bigint, inbound_id bigint,
    OUT beneath text, OUT addresses text[], OUT reference text, OUT context text)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    message @extschema@.whatsapp_messages;
    heard @extschema@.whatsapp_inbound_messages;
BEGIN
    IF (message_id IS NULL) = (inbound_id IS NULL) THEN
        RAISE EXCEPTION 'an answer needs either message_id or inbound_id'
            USING ERRCODE = 'invalid_parameter_value', COLUMN = 'message_id';
    ELSIF message_id IS NOT NULL THEN
        SELECT m.* INTO message FROM @extschema@.whatsapp_messages AS m
            WHERE m.id = message_id AND m.tenant_id = tenant;
        addresses := @extschema@.wa_internal_addresses(message);
        SELECT i.* INTO heard FROM @extschema@.whatsapp_inbound_messages AS i
            WHERE i.tenant_id = tenant AND i.received_at >= message.created_at AND i.message_id = message.id
            ORDER BY i.received_at DESC LIMIT 1;
    ELSE
        SELECT i.* INTO heard FROM @extschema@.whatsapp_inbound_messages AS i
            WHERE i.inbound_id = wa_internal_answer_target.inbound_id AND i.tenant_id = tenant;
        addresses := array_remove(ARRAY[heard.sender_phone, heard.sender_user_id], NULL);
    END IF;
    IF COALESCE(message.id, heard.inbound_id) IS NULL THEN
        RAISE EXCEPTION 'there is no such message' USING ERRCODE = 'no_data_found';
    END IF;
    beneath := COALESCE(message.id::text, 'i' || heard.inbound_id);
    reference := message.reference;
    context := heard.whatsapp_message_id;
END
$$;

CREATE FUNCTION @extschema@.wa_gateway_tenant_reply(
    request jsonb, OUT status integer, OUT body jsonb, OUT paging jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET client_min_messages = warning
AS $$
DECLARE
    tenant text;
    words text;
    target record;
    opening record;
    key text;
    sent bigint;
    message @extschema@.whatsapp_messages;
    obstacle text;
    reason text;
BEGIN
    tenant := @extschema@.wa_internal_gateway_own_tenant(request, true,
        members => '{message_id,inbound_id,text}'::text[]);
    words := btrim(@extschema@.wa_internal_gateway_string(request, 'text'::text, true), E' \t\r\n');
    IF COALESCE(words, '') = '' OR length(words) > 4096 THEN
        RAISE EXCEPTION 'an answer has 1 to 4096 characters' USING ERRCODE = 'invalid_parameter_value', COLUMN = 'text';
    END IF;
    SELECT a.* INTO target FROM @extschema@.wa_internal_answer_target(tenant,
        @extschema@.wa_internal_gateway_body_integer(request, 'message_id'::text, 1, 9223372036854775807),
        @extschema@.wa_internal_gateway_body_integer(request, 'inbound_id'::text, 1, 9223372036854775807)) AS a;
    SELECT w.* INTO opening FROM @extschema@.wa_internal_answer_window(
        @extschema@.wa_internal_number_of(tenant), target.addresses) AS w;
    key := @extschema@.wa_internal_answer_prefix(target.beneath) || @extschema@.wa_internal_gateway_press(request);
    obstacle := @extschema@.wa_internal_tenant_obstacle(tenant);
    SELECT m.* INTO message FROM @extschema@.whatsapp_messages AS m
        WHERE m.tenant_id = tenant AND m.idempotency_key = key;
    status := CASE WHEN FOUND THEN 200 ELSE 201 END;
    IF status = 201 THEN
        reason := CASE WHEN obstacle IN ('switched_off', 'no_number') THEN obstacle
                       WHEN opening.until > clock_timestamp() THEN NULL
                       ELSE 'window_closed' END;
        IF reason IS NULL THEN
            BEGIN
                sent := @extschema@.wa_enqueue_text(tenant, opening.recipient, words, priority => 100,
                    idempotency_key => key, reference => target.reference, context_message_id => target.context);
                SELECT m.* INTO STRICT message FROM @extschema@.whatsapp_messages AS m WHERE m.id = sent;
                IF message.status = 'skipped' THEN
                    reason := 'opted_out';
                    RAISE EXCEPTION 'it is not kept' USING ERRCODE = 'WA001';
                END IF;
            EXCEPTION WHEN SQLSTATE 'WA001' THEN
                NULL;
            END;
        END IF;
        IF reason IS NOT NULL THEN
            status := 409;
            body := @extschema@.wa_internal_gateway_refusal(reason,
                jsonb_build_object('can_answer_until', opening.until));
            RETURN;
        END IF;
        /* Who answers has read it. */
        PERFORM @extschema@.wa_mark_read(i.inbound_id) FROM @extschema@.whatsapp_inbound_messages AS i
            WHERE i.whatsapp_message_id = target.context;
    END IF;
    body := @extschema@.wa_internal_answer_words(message, obstacle)
        || jsonb_build_object('can_answer_until', opening.until);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_gateway_tenant_reply(jsonb) IS
'POST /api/v1/tenants/{tenant_id}/replies {message_id or inbound_id, text}: an answer in free words, beneath a message '
'of the tenant or to somebody who wrote by himself, whose message is marked as read with it. Outside of the 24 hours '
'409, with until when it was possible. Quiet hours do not hold it.';

/* ---- 90-tenant-roles ------------------------------------------------------------- */

CREATE TRIGGER whatsapp_tenant_roles_noted
    AFTER INSERT OR DELETE ON @extschema@.whatsapp_tenant_roles
    FOR EACH ROW WHEN (NOT @extschema@.wa_internal_is_restoring())
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('tenant', 'tenant_id', 'bind_role,,unbind_role');

ALTER TABLE @extschema@.whatsapp_inbound_media ENABLE ROW LEVEL SECURITY;

CREATE POLICY whatsapp_everybody ON @extschema@.whatsapp_inbound_media USING (true);

CREATE POLICY whatsapp_own_tenant ON @extschema@.whatsapp_inbound_media AS RESTRICTIVE
    USING ((SELECT @extschema@.wa_internal_sees_every_tenant())
           OR tenant_id OPERATOR(pg_catalog.=) (SELECT @extschema@.wa_internal_own_tenant()));

ALTER TABLE @extschema@.whatsapp_inbound_media_pieces ENABLE ROW LEVEL SECURITY;

CREATE POLICY whatsapp_everybody ON @extschema@.whatsapp_inbound_media_pieces USING (true);

CREATE POLICY whatsapp_own_tenant ON @extschema@.whatsapp_inbound_media_pieces AS RESTRICTIVE
    USING ((SELECT @extschema@.wa_internal_sees_every_tenant())
           OR EXISTS (SELECT FROM @extschema@.whatsapp_inbound_media AS f
                      WHERE f.inbound_id OPERATOR(pg_catalog.=) whatsapp_inbound_media_pieces.inbound_id));

/* ---- 91-metrics ------------------------------------------------------------------ */

CREATE FUNCTION @extschema@.wa_internal_metrics_queue()
RETURNS TABLE (name text, type text, help text, labels jsonb, value double precision)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH waiting AS MATERIALIZED (
        SELECT s.state, COALESCE(s.reason, '') AS reason, sum(s.messages) AS messages,
               min(s.oldest_created_at) AS oldest
        FROM @extschema@.wa_queue_status AS s
        GROUP BY 1, 2
    )
    SELECT 'whatsapp_queue_messages', 'gauge', 'Messages that wait to be sent, by state and reason.',
           jsonb_build_object('state', w.state, 'reason', w.reason), w.messages::double precision
    FROM waiting AS w
    UNION ALL
    SELECT 'whatsapp_queue_oldest_age_seconds', 'gauge',
           'Seconds since the oldest waiting message was enqueued, by state; 0: none waits.',
           jsonb_build_object('state', s.state),
           COALESCE(EXTRACT(epoch FROM clock_timestamp() - min(w.oldest)), 0)::double precision
    FROM unnest('{ready,deferred,held,uncertain}'::text[]) AS s (state)
        LEFT JOIN waiting AS w ON w.state = s.state
    GROUP BY s.state
    UNION ALL
    SELECT 'whatsapp_leased_messages', 'gauge', 'Messages that a sender has leased: on the wire, or about to be.',
           '{}', COALESCE(sum(cardinality(l.message_ids)), 0)::double precision
    FROM @extschema@.whatsapp_leases AS l
$$;

CREATE FUNCTION @extschema@.wa_internal_metrics_senders()
RETURNS TABLE (name text, type text, help text, labels jsonb, value double precision)
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH senders AS MATERIALIZED (SELECT s.* FROM @extschema@.wa_stats() AS s),
    sums AS (
        SELECT COALESCE(sum(s.requests), 0) AS requests, COALESCE(sum(s.accepted), 0) AS accepted,
               COALESCE(sum(s.failed), 0) AS failed, COALESCE(sum(s.retried), 0) AS retried,
               COALESCE(sum(s.uncertain), 0) AS uncertain, COALESCE(sum(s.in_flight), 0) AS in_flight,
               COALESCE(sum(s.connections), 0) AS connections
        FROM senders AS s
    )
    SELECT m.name, m.type, m.help, '{}'::jsonb, m.value::double precision
    FROM sums AS s
        CROSS JOIN LATERAL (VALUES
            ('whatsapp_requests_total', 'counter', 'Requests for messages handed to the network.', s.requests),
            ('whatsapp_messages_accepted_total', 'counter', 'Messages that Meta has accepted.', s.accepted),
            ('whatsapp_messages_failed_total', 'counter', 'Messages that have failed for good while being sent.',
             s.failed),
            ('whatsapp_messages_retried_total', 'counter', 'Attempts that failed and will be repeated.', s.retried),
            ('whatsapp_messages_uncertain_total', 'counter',
             'Attempts of which it was not known whether Meta had received them.', s.uncertain),
            ('whatsapp_requests_in_flight', 'gauge', 'Requests for messages on the wire.', s.in_flight),
            ('whatsapp_connections', 'gauge', 'Connections to the Graph API that are open.', s.connections))
            AS m (name, type, help, value)
    UNION ALL
    SELECT 'whatsapp_throttled_total', 'counter',
           'How often a message had to wait without losing an attempt, by reason.',
           jsonb_build_object('reason', t.reason), t.messages::double precision
    FROM @extschema@.wa_internal_throttled() AS t
    UNION ALL
    SELECT 'whatsapp_sender_up', 'gauge', '1 if this sender of the database runs.',
           jsonb_build_object('sender', s.sender::text), (s.pid IS NOT NULL)::integer::double precision
    FROM senders AS s
    UNION ALL
    SELECT 'whatsapp_sender_last_cycle_timestamp_seconds', 'gauge', 'When this sender last completed a cycle.',
           jsonb_build_object('sender', s.sender::text), EXTRACT(epoch FROM s.last_cycle_at)::double precision
    FROM senders AS s
    WHERE s.last_cycle_at IS NOT NULL
    UNION ALL
    SELECT 'whatsapp_sender_errors_total', 'counter', 'Cycles of this sender that ended in an error.',
           jsonb_build_object('sender', s.sender::text), s.errors::double precision
    FROM senders AS s
    UNION ALL
    SELECT 'whatsapp_senders_running', 'gauge', 'Senders of this database that run.', '{}',
           count(s.pid)::double precision
    FROM senders AS s
    UNION ALL
    SELECT 'whatsapp_sending_enabled', 'gauge', '1 if whatsapp_shared.enabled is on.', '{}',
           current_setting('whatsapp_shared.enabled')::boolean::integer::double precision
$$;

/* A histogram is written as Prometheus has it: the name with _bucket, _sum and _count. */
CREATE FUNCTION @extschema@.wa_internal_metrics_durations()
RETURNS TABLE (name text, type text, help text, labels jsonb, value double precision)
    LANGUAGE sql VOLATILE
    SET search_path = pg_catalog, pg_temp
AS $$
    WITH measured AS MATERIALIZED (
        SELECT CASE h.histogram WHEN 'request_duration' THEN 'whatsapp_request_duration_seconds'
                                ELSE 'whatsapp_commit_to_wire_seconds' END AS name,
               CASE h.histogram WHEN 'request_duration'
                    THEN 'From the first byte of a request to the end of its response.'
                    ELSE 'From when a message was due to the first byte of its first request.' END AS help,
               h.upper_bound, h.observations, h.sum
        FROM @extschema@.wa_internal_histograms() AS h
    )
    SELECT m.name || p.suffix, 'histogram', m.help, p.labels, p.value
    FROM measured AS m
        CROSS JOIN LATERAL (
            SELECT '_bucket', jsonb_build_object('le',
                       CASE WHEN m.upper_bound = 'Infinity' THEN '+Inf' ELSE m.upper_bound::text END),
                   m.observations::double precision
            UNION ALL
            SELECT '_sum', '{}'::jsonb, m.sum WHERE m.upper_bound = 'Infinity'
            UNION ALL
            SELECT '_count', '{}'::jsonb, m.observations::double precision WHERE m.upper_bound = 'Infinity')
            AS p (suffix, labels, value)
    ORDER BY m.name, m.upper_bound, p.suffix
$$;

CREATE FUNCTION @extschema@.wa_internal_metrics_account()
RETURNS TABLE (name text, type text, help text, labels jsonb, value double precision)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'whatsapp_pauses', 'gauge', 'Pauses that are in force, by scope.', jsonb_build_object('scope', s.scope),
           count(p.scope)::double precision
    FROM unnest('{account,number,tenant,template}'::text[]) AS s (scope)
        LEFT JOIN @extschema@.whatsapp_pauses AS p
            ON p.scope = s.scope AND (p.until IS NULL OR p.until > clock_timestamp())
    GROUP BY s.scope
    UNION ALL
    SELECT 'whatsapp_alerts', 'gauge', 'Unresolved alerts, by severity and kind.',
           jsonb_build_object('severity', a.severity, 'kind', a.kind), count(*)::double precision
    FROM @extschema@.whatsapp_alerts AS a
    WHERE a.resolved_at IS NULL
    GROUP BY a.severity, a.kind
    UNION ALL
    SELECT 'whatsapp_phone_numbers', 'gauge', 'Numbers of the account, by health and whether a tenant has them.',
           jsonb_build_object('health', n.health, 'assigned', (n.tenant_id IS NOT NULL)::text),
           count(*)::double precision
    FROM @extschema@.wa_number_status AS n
    GROUP BY n.health, n.tenant_id IS NOT NULL
    UNION ALL
    SELECT 'whatsapp_tenants', 'gauge', 'Tenants, by whether WhatsApp is switched on for them.',
           jsonb_build_object('enabled', t.enabled::text), count(*)::double precision
    FROM @extschema@.whatsapp_tenants AS t
    GROUP BY t.enabled
    UNION ALL
    SELECT 'whatsapp_token_expiry_timestamp_seconds', 'gauge',
           'When the access token ends, as Meta said last; absent: never, or not known.', '{}',
           EXTRACT(epoch FROM s.expires_at)::double precision
    FROM @extschema@.whatsapp_sync AS s
    WHERE s.kind = 'token' AND s.expires_at IS NOT NULL
    UNION ALL
    SELECT 'whatsapp_sync_last_success_timestamp_seconds', 'gauge', 'When this was last read from Meta.',
           jsonb_build_object('kind', s.kind), EXTRACT(epoch FROM s.finished_at)::double precision
    FROM @extschema@.whatsapp_sync AS s
    WHERE s.finished_at IS NOT NULL
    UNION ALL
    SELECT 'whatsapp_webhook_last_timestamp_seconds', 'gauge', 'When the last webhook of this kind was received.',
           jsonb_build_object('kind', k.kind), EXTRACT(epoch FROM max(k.at))::double precision
    FROM @extschema@.whatsapp_webhook_traffic AS w
        CROSS JOIN LATERAL (VALUES ('any', w.last_webhook_at), ('status', w.last_status_at),
                                   ('inbound', w.last_inbound_at), ('late', w.last_late_at)) AS k (kind, at)
    WHERE k.at IS NOT NULL
    GROUP BY k.kind
    UNION ALL
    SELECT 'whatsapp_parked_events', 'gauge', 'Items of webhooks that could not be used, by kind.',
           jsonb_build_object('kind', p.kind), count(*)::double precision
    FROM (SELECT e.kind FROM @extschema@.whatsapp_parked_events AS e LIMIT 100000) AS p
    GROUP BY p.kind
    UNION ALL
    SELECT 'whatsapp_messaging_limit_used', 'gauge',
           'Recipients of the last 24 hours that count for the account''s messaging limit.', '{}',
           count(*)::double precision
    FROM @extschema@.whatsapp_reach AS r
    WHERE r.reached_at > clock_timestamp() - interval '24 hours'
    UNION ALL
    SELECT 'whatsapp_messaging_limit', 'gauge',
           'Recipients that Meta allows the account in 24 hours; absent: no limit, or not known.', '{}',
           max(@extschema@.wa_internal_limit_size(p.messaging_limit))::double precision
    FROM @extschema@.whatsapp_phone_numbers AS p
    HAVING max(@extschema@.wa_internal_limit_size(p.messaging_limit)) IS NOT NULL
    UNION ALL
    SELECT 'whatsapp_clock_ahead_seconds', 'gauge',
           'Seconds by which the server''s clock is ahead of Meta''s; negative: behind; absent: not known.', '{}',
           c.ahead
    FROM @extschema@.wa_internal_clock() AS c
    WHERE c.seen_at IS NOT NULL
    UNION ALL
    SELECT 'whatsapp_shared_info', 'gauge', 'The version of the library, as a label; always 1.',
           jsonb_build_object('version', @extschema@.wa_internal_library_version()), 1::double precision
$$;

/* Of other nodes, of which there are few. */
CREATE FUNCTION @extschema@.wa_internal_metrics_nodes()
RETURNS TABLE (name text, type text, help text, labels jsonb, value double precision)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT m.name, m.type, m.help, jsonb_build_object('node', n.node), m.value::double precision
    FROM @extschema@.wa_node_status AS n
        CROSS JOIN LATERAL (VALUES
            ('whatsapp_node_waiting_changes', 'gauge',
             'Parts of webhooks that wait for another node, counted up to 100,000.', n.waiting),
            ('whatsapp_node_oldest_age_seconds', 'gauge',
             'Seconds since the oldest of them came; 0: nothing waits.',
             COALESCE(EXTRACT(epoch FROM clock_timestamp() - n.oldest_at), 0)),
            ('whatsapp_node_delivered_changes_total', 'counter', 'Parts of webhooks that another node has taken.',
             n.delivered),
            ('whatsapp_node_expired_changes_total', 'counter',
             'Parts of webhooks for another node that were given up after seven days.', n.expired),
            ('whatsapp_node_errors_total', 'counter', 'Requests that another node did not answer with 2xx.', n.errors))
            AS m (name, type, help, value)
$$;

/* Only where somebody has asked for it: there may be ten thousand of them. */
CREATE FUNCTION @extschema@.wa_internal_metrics_numbers()
RETURNS TABLE (name text, type text, help text, labels jsonb, value double precision)
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'whatsapp_number_queue_messages', 'gauge', 'Messages that wait, by number and state.',
           jsonb_build_object('phone_number_id', COALESCE(q.phone_number_id, ''), 'state', q.state),
           sum(q.messages)::double precision
    FROM @extschema@.wa_queue_status AS q
    GROUP BY q.phone_number_id, q.state
    UNION ALL
    SELECT 'whatsapp_number_usable', 'gauge', '1 if messages can be sent from this number.',
           jsonb_build_object('phone_number_id', n.phone_number_id, 'tenant_id', COALESCE(n.tenant_id, '')),
           (n.health IN ('ok', 'unknown', 'at_risk', 'degraded'))::integer::double precision
    FROM @extschema@.wa_number_status AS n
$$;

CREATE FUNCTION @extschema@.wa_metrics(per_number boolean DEFAULT false)
RETURNS TABLE (name text, type text, help text, labels jsonb, value double precision)
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT m.* FROM @extschema@.wa_internal_metrics_queue() AS m ORDER BY m.name, m.labels;
    RETURN QUERY SELECT m.* FROM @extschema@.wa_internal_metrics_senders() AS m ORDER BY m.name, m.labels;
    RETURN QUERY SELECT m.* FROM @extschema@.wa_internal_metrics_durations() AS m;
    RETURN QUERY SELECT m.* FROM @extschema@.wa_internal_metrics_account() AS m ORDER BY m.name, m.labels;
    RETURN QUERY SELECT m.* FROM @extschema@.wa_internal_metrics_nodes() AS m ORDER BY m.name, m.labels;
    IF per_number THEN
        RETURN QUERY SELECT m.* FROM @extschema@.wa_internal_metrics_numbers() AS m ORDER BY m.name, m.labels;
    END IF;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_metrics(boolean) IS
'Everything that a monitoring system should see every few seconds, named as Prometheus names it: the name, counter, '
'gauge or histogram, what it means, its labels, and the value. per_number adds two metrics for each number.';

CREATE FUNCTION @extschema@.wa_metrics_costs()
RETURNS TABLE (name text, type text, help text, labels jsonb, value double precision)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'whatsapp_month_cost', 'gauge',
           'Cost of this month''s delivered messages so far, by currency and category; not Meta''s invoice.',
           jsonb_build_object('currency', c.currency, 'category', c.category),
           COALESCE(sum(c.cost), 0)::double precision
    FROM @extschema@.wa_costs AS c
    WHERE c.month = date_trunc('month', now() AT TIME ZONE
            (SELECT @extschema@.wa_internal_known_zone(z.time_zone) FROM @extschema@.whatsapp_usage_closed AS z))::date
        AND c.currency IS NOT NULL
    GROUP BY c.currency, c.category
    UNION ALL
    SELECT 'whatsapp_month_delivered_messages', 'gauge', 'Messages delivered this month, by category.',
           jsonb_build_object('category', d.category), sum(d.delivered)::double precision
    FROM (SELECT DISTINCT c.tenant_id, c.category, c.delivered
          FROM @extschema@.wa_costs AS c
          WHERE c.month = date_trunc('month', now() AT TIME ZONE
                  (SELECT @extschema@.wa_internal_known_zone(z.time_zone)
                   FROM @extschema@.whatsapp_usage_closed AS z))::date) AS d
    GROUP BY d.category
    ORDER BY 1, 4
$$;
COMMENT ON FUNCTION @extschema@.wa_metrics_costs() IS
'The costs of the current month as wa_metrics() shows the rest. It adds up every tenant''s month: ask for it every '
'few minutes, not every few seconds.';

CREATE FUNCTION @extschema@.wa_metrics_health()
RETURNS TABLE (name text, type text, help text, labels jsonb, value double precision)
    LANGUAGE sql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'whatsapp_health', 'gauge',
           'What a check of wa_health() finds, by its worst line: 0 ok, 1 warning, 2 error.',
           jsonb_build_object('check', c.topic),
           max(CASE h.state WHEN 'error' THEN 2 WHEN 'warning' THEN 1 ELSE 0 END)::double precision
    FROM @extschema@.wa_internal_health_checks() AS c
        LEFT JOIN @extschema@.wa_internal_health() AS h ON h.topic = c.topic
    GROUP BY c.topic
    ORDER BY c.topic
$$;
COMMENT ON FUNCTION @extschema@.wa_metrics_health() IS
'The checks of wa_health() in the same form: 0 ok, 1 warning, 2 error. It takes some milliseconds: ask for it every '
'minute.';

/*
 * Every public function (with all its variants), table and view stands here
 * once, under the privileges that include it; "{}": nobody's but the owner's,
 * "{public}": everybody's, since policies and triggers call it as whoever reads or writes the table.
 * EXECUTE on functions, SELECT on tables and views.
 *
 * Internal functions that a view calls are here, too: they run with the rights
 * of whoever reads it.
 */
CREATE OR REPLACE FUNCTION @extschema@.wa_internal_privilege_list(OUT object_name text, OUT privileges text[])
RETURNS SETOF record
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT unnest(l.names), l.privileges
    FROM (VALUES
        /* applications */
        ('{admin,sender}'::text[], '{
            wa_enqueue_message, wa_enqueue_reply, wa_enqueue_payload, wa_enqueue_text, wa_enqueue_media,
            wa_enqueue_interactive,
            wa_enqueue_location, wa_enqueue_contacts, wa_enqueue_reaction, wa_enqueue_bulk, wa_upload_media,
            wa_cancel_message, wa_opt_out, wa_opt_in, wa_notification_settings, wa_mark_read,
            wa_fetch_media,
            wa_create_notification, wa_drop_notification, wa_retry_notification, wa_notifications,
            wa_internal_registration_state,
            whatsapp_notification_failures}'::text[]),
        ('{admin,sender,monitor}', '{wa_explain}'),
        ('{admin,sender,monitor,tenant}', '{wa_reason_codes, wa_error_codes, wa_internal_error_codes}'),
        ('{admin,tenant}', '{
            whatsapp_messages, whatsapp_inbound_messages, whatsapp_inbound_media, whatsapp_inbound_media_pieces,
            wa_media_content, wa_internal_media_bytes, wa_replies}'),
        ('{public}', '{wa_internal_own_tenant, wa_internal_sees_every_tenant, wa_internal_is_restoring}'),
        /* The mark of a tenant's own role: an administrator must not have it. */
        ('{tenant}', '{wa_internal_tenant_role}'),

        /* people and programs that watch */
        ('{admin,monitor}', '{
            wa_health, wa_diagnose, wa_find, wa_stats, wa_metrics, wa_metrics_costs, wa_metrics_health, wa_costs,
            wa_tenant_status, wa_number_status, wa_internal_number_health, wa_internal_number_rate,
            wa_internal_known_zone,
            wa_queue_status, wa_message_status, wa_delivery_times, wa_top_tenants, wa_node_status, wa_free_numbers,
            wa_timeline, whatsapp_alerts, whatsapp_pauses, whatsapp_sync, whatsapp_events, whatsapp_sizes}'),
        /* ... and how it is set up: nothing of customers. */
        ('{admin,monitor}', '{
            whatsapp_tenants, whatsapp_phone_numbers, whatsapp_phone_assignments, whatsapp_templates,
            whatsapp_nodes, whatsapp_node_numbers,
            whatsapp_damage_policies, whatsapp_opt_words, whatsapp_webhook_traffic, whatsapp_markets, whatsapp_prices,
            whatsapp_usage_days, whatsapp_usage_changes, whatsapp_usage_closed}'),

        /* the gateway */
        ('{webhook}', '{wa_webhook_ingest, wa_webhook_ingest_many, wa_webhook_challenge}'),
        ('{admin}', '{
            wa_gateway_alerts, wa_gateway_assign_phone, wa_gateway_assign_phones,
            wa_gateway_cancel_message, wa_gateway_cancel_messages, wa_gateway_costs, wa_gateway_diagnose,
            wa_gateway_enqueue, wa_gateway_failures, wa_gateway_health, wa_gateway_message,
            wa_gateway_messages, wa_gateway_pause, wa_gateway_pauses, wa_gateway_phone_numbers,
            wa_gateway_queue, wa_gateway_resolve_alert, wa_gateway_resolve_message, wa_gateway_resume,
            wa_gateway_retry_message, wa_gateway_retry_messages, wa_gateway_summary,
            wa_gateway_sync_phone_numbers, wa_gateway_sync_templates, wa_gateway_templates,
            wa_gateway_tenants, wa_gateway_timeline, wa_gateway_unassign_phone}'),
        ('{admin}', '{
            wa_gateway_create_link, wa_gateway_revoke_links, wa_gateway_link_session,
            wa_gateway_notification_settings, wa_gateway_set_notification_settings, wa_gateway_tenant_messages,
            wa_gateway_tenant_form, wa_gateway_tenant_test_message, wa_gateway_tenant_reply, wa_gateway_tenant_read,
            wa_gateway_media, wa_gateway_fetch_media}'),

        /* administrators */
        ('{admin}', '{
            wa_configure_tenant, wa_assign_phone, wa_assign_all, wa_unassign_phone,
            wa_register_node, wa_unregister_node, wa_assign_number_to_node, wa_unassign_number_from_node,
            wa_tenant_link, wa_revoke_links,
            wa_set_notification_settings, wa_import_settings,
            wa_register_template, wa_unregister_template, wa_sync_templates, wa_sync_phone_numbers,
            wa_pause, wa_resume, wa_resolve_alert, wa_retry_message, wa_resolve_message,
            wa_on_reply, wa_off_reply, wa_retry_reply, wa_reprocess_parked, wa_erase_person, wa_delete_tenant,
            wa_adopt, wa_worker_restart}'),
        ('{admin}', '{
            whatsapp_forwards,
            whatsapp_queue, whatsapp_leases, whatsapp_fallbacks, whatsapp_attempts, whatsapp_wamids, whatsapp_reach,
            whatsapp_media, whatsapp_media_uses, whatsapp_read_receipts, whatsapp_early_replies, whatsapp_notifications,
            whatsapp_opt_outs, whatsapp_opt_ins, whatsapp_learned_identities,
            whatsapp_contacts, whatsapp_contact_identities, whatsapp_windows,
            whatsapp_reply_handlers,
            whatsapp_account_events, whatsapp_parked_events, whatsapp_app_messages,
            whatsapp_late_deliveries, wa_delivered_messages, wa_internal_is_free, wa_recount_costs, whatsapp_home,
            whatsapp_tenant_roles, whatsapp_tenant_links, whatsapp_erasures, whatsapp_installation}'),

        /* Superusers grant; wa_create_notification() attaches triggers. */
        ('{}', '{wa_grant, wa_revoke, wa_notify}')) AS l (privileges, names)
$$;

DO $$
BEGIN
    PERFORM @extschema@.wa_internal_create_twins();
    PERFORM @extschema@.wa_internal_mark_for_dump();
    PERFORM @extschema@.wa_internal_settle_privileges();
END
$$;

/* ---- 99-privileges --------------------------------------------------------------- */

/* monitor, and so pg_monitor, also reads how it is set up. */
GRANT SELECT ON TABLE @extschema@.whatsapp_tenants, @extschema@.whatsapp_phone_numbers,
    @extschema@.whatsapp_phone_assignments, @extschema@.whatsapp_templates, @extschema@.whatsapp_damage_policies,
    @extschema@.whatsapp_opt_words, @extschema@.whatsapp_webhook_traffic, @extschema@.whatsapp_markets,
    @extschema@.whatsapp_prices, @extschema@.whatsapp_usage_days, @extschema@.whatsapp_usage_closed TO pg_monitor;

CREATE OR REPLACE FUNCTION @extschema@.wa_grant(role name, privilege text, tenant_id text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_check_privilege(role, privilege);
    PERFORM @extschema@.wa_internal_bind_role(role, privilege, tenant_id);
    EXECUTE format('GRANT USAGE ON SCHEMA @extschema@ TO %I', role);
    PERFORM @extschema@.wa_internal_change_privilege('GRANT'::text, role, privilege);
    PERFORM @extschema@.wa_internal_note('grant'::text, 'role'::text, role::text,
        jsonb_build_object('privilege', privilege, 'text', 'Granted ' || privilege), 'warning'::text, tenant_id);
END
$$;

CREATE OR REPLACE FUNCTION @extschema@.wa_revoke(role name, privilege text) RETURNS void
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
    PERFORM @extschema@.wa_internal_note('revoke'::text, 'role'::text, role::text,
        jsonb_build_object('privilege', privilege, 'text', 'Revoked ' || privilege), 'warning'::text);
END
$$;
