/*
 * What a tenant's own page shows of its messages: what they said, what became of
 * them, and what their recipients have answered, in words for people who do not run
 * the platform.
 */

/* ---- what messages said ----------------------------------------------------------- */

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

/* ---- what became of them ------------------------------------------------------------ */

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

/* ---- conversations -------------------------------------------------------------------- */

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
