/*
 * What happened in the installation, who did it, and from where.
 *
 * One table of events.  Everything that changes how messages are sent is written
 * down by triggers on the tables themselves, so it does not matter whether a
 * function, the gateway, the synchronisation or somebody with psql has changed
 * them; what leaves no trace in a table (calls that ask for something, processes
 * that start and end, settings) is written by wa_internal_note().  An event is part
 * of the transaction that it tells of, and gone with it if that is rolled back.
 *
 * Nobody changes an event, and nobody deletes one before it is older than the
 * retention: a trigger refuses both, whoever asks.  A superuser, or the owner of the
 * table, can take the trigger away, as they can take the table away.
 *
 * What Meta tells, and what alerts of single messages say, is in tables of their
 * own; wa_timeline() puts all of it in order.
 */

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

/*
 * A dump is loaded beside the first events of the database that it is loaded into,
 * and brings its own numbers: so those of each installation begin with the
 * milliseconds of its creation.
 */
SELECT pg_catalog.setval(pg_catalog.pg_get_serial_sequence('@extschema@.whatsapp_events', 'event_id'),
    (pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) OPERATOR(pg_catalog.*) 1000)::pg_catalog.int8);

/* ---- nothing is changed, and nothing goes before its time ------------------------ */

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

/* ---- writing ------------------------------------------------------------------------- */

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

/* ---- changes of tables ------------------------------------------------------------ */

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

/* ---- processes and settings -------------------------------------------------------- */

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

/* ---- reading ------------------------------------------------------------------------- */

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
