/*
 * For tests of webhooks: making their bodies, signing them, handing them in.
 * The server's app secrets are current-secret and previous-secret.
 */

/* HMAC as in RFC 2104, so that the tests need no other extension. */
CREATE FUNCTION pg_temp.hmac_sha256(message bytea, secret text) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    key bytea := decode(rpad(encode(convert_to(secret, 'UTF8'), 'hex'), 128, '0'), 'hex');
    inner_pad bytea := key;
    outer_pad bytea := key;
BEGIN
    FOR i IN 0 .. 63 LOOP
        inner_pad := set_byte(inner_pad, i, get_byte(key, i) # 54);
        outer_pad := set_byte(outer_pad, i, get_byte(key, i) # 92);
    END LOOP;
    RETURN sha256(outer_pad || sha256(inner_pad || message));
END
$$;
CREATE FUNCTION pg_temp.sign(body bytea, secret text DEFAULT 'current-secret') RETURNS text LANGUAGE sql AS $$
    SELECT 'sha256=' || encode(pg_temp.hmac_sha256(body, secret), 'hex')
$$;
/*
 * With "many" set, each webhook has two neighbours in its call: one whose signature is wrong, and one
 * of another installation, which changes nothing.
 */
\if :{?many}
CREATE FUNCTION pg_temp.post_as_it_is(body text, secret text DEFAULT 'current-secret') RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    bytes CONSTANT bytea := convert_to(body, 'UTF8');
    other CONSTANT bytea := convert_to(format('{"object": "whatsapp_business_account", "entry": [{"changes": [{"field": "messages",
        "value": {"statuses": [{"id": "wamid.other", "status": "sent", "timestamp": "%s", "biz_opaque_callback_data": "wa1:other:1:1"}]}}]}]}',
        floor(EXTRACT(epoch FROM now()))), 'UTF8');
    outcomes text[];
    own record;
BEGIN
    SELECT array_agg(m.outcome ORDER BY m.ordinal) INTO outcomes
        FROM wa_webhook_ingest_many(ARRAY[bytes], ARRAY['sha256=' || repeat('0', 64)]) AS m;
    IF outcomes <> '{invalid_signature}' THEN
        RAISE 'a wrong signature: %', outcomes;
    END IF;
    FOR own IN SELECT * FROM wa_webhook_ingest_many(ARRAY[other, bytes, bytes],
        ARRAY[pg_temp.sign(other), pg_temp.sign(bytes, secret), 'sha256=' || repeat('0', 64)]) AS m ORDER BY m.ordinal
    LOOP
        outcomes[own.ordinal] := own.outcome;
        IF own.ordinal = 1 AND own.result ->> 'foreign' <> '1' THEN
            RAISE 'the neighbour: %', own;
        ELSIF own.ordinal = 2 AND own.outcome = 'ingested' THEN
            RETURN own.result;
        ELSIF own.ordinal = 2 THEN
            RAISE EXCEPTION USING MESSAGE = COALESCE(own.message, 'invalid webhook signature'),
                ERRCODE = COALESCE(own.sqlstate, '28000');
        END IF;
    END LOOP;
END
$$;
\else
CREATE FUNCTION pg_temp.post_as_it_is(body text, secret text DEFAULT 'current-secret') RETURNS jsonb LANGUAGE sql AS $$
    SELECT wa_webhook_ingest(convert_to(body, 'UTF8'), pg_temp.sign(convert_to(body, 'UTF8'), secret))
$$;
\endif

/*
 * Times are written as seconds from 1764000000 on, which stands for a time two
 * days ago at most: what is older than a week is not acted upon.
 */
CREATE FUNCTION pg_temp.recent(body text) RETURNS text LANGUAGE sql AS $$
    SELECT regexp_replace(regexp_replace(body, '\m17640(\d{5})\M', now.hundred_thousands || '\1', 'g'),
        '\m1763999(\d{3})\M', now.hundred_thousands - 1 || '99\1', 'g')
    FROM (SELECT floor(EXTRACT(epoch FROM now()) / 100000)::bigint - 1) AS now (hundred_thousands)
$$;
CREATE FUNCTION pg_temp.at(seconds double precision) RETURNS timestamptz LANGUAGE sql AS $$
    SELECT to_timestamp(pg_temp.recent(floor(seconds)::bigint::text)::double precision + seconds - floor(seconds))
$$;
CREATE FUNCTION pg_temp.post(body text, secret text DEFAULT 'current-secret') RETURNS jsonb LANGUAGE sql AS $$
    SELECT pg_temp.post_as_it_is(pg_temp.recent(body), secret)
$$;

/* "applied/duplicate/parked/foreign" of everything, or of statuses, messages, events. */
CREATE FUNCTION pg_temp.counts(result jsonb, kind text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws('/', r ->> 'applied', r ->> 'duplicate', r ->> 'parked', r ->> 'foreign')
    FROM (SELECT CASE WHEN kind IS NULL THEN result ELSE result -> kind END) AS x (r)
$$;

/* The envelope around changes, and a change of one field. */
CREATE FUNCTION pg_temp.envelope(VARIADIC changes jsonb[]) RETURNS text LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'whatsapp_business_account', 'entry', jsonb_build_array(
        jsonb_build_object('id', '300000000000001', 'changes', to_jsonb(changes))))::text
$$;
CREATE FUNCTION pg_temp.envelope() RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.envelope(VARIADIC '{}')
$$;
CREATE FUNCTION pg_temp.change(field text, value jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('field', field, 'value', value)
$$;
CREATE FUNCTION pg_temp.messages_change(content jsonb, number text DEFAULT '100000000000001') RETURNS jsonb LANGUAGE sql AS $$
    SELECT pg_temp.change('messages', jsonb_build_object('messaging_product', 'whatsapp', 'metadata',
        jsonb_build_object('display_phone_number', '34600000000', 'phone_number_id', number)) || content)
$$;

/* Account events carry the time of their entry. */
CREATE FUNCTION pg_temp.event(field text, value jsonb, at bigint DEFAULT 1764000000) RETURNS text LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'whatsapp_business_account', 'entry', jsonb_build_array(
        jsonb_build_object('id', '300000000000001', 'time', at, 'changes', jsonb_build_array(pg_temp.change(field, value)))))::text
$$;

/* One status; data: installation, message and attempt as the sender writes them. */
CREATE FUNCTION pg_temp.data(id bigint, attempt integer DEFAULT 1) RETURNS text LANGUAGE sql AS $$
    SELECT format('wa1:%s:%s:%s', installation_id, id, attempt) FROM whatsapp_installation
$$;
CREATE FUNCTION pg_temp.status(wamid text, status text, at bigint, data text DEFAULT NULL, more jsonb DEFAULT '{}')
RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object('id', wamid, 'status', status, 'timestamp', at::text,
        'recipient_id', '34600000001', 'biz_opaque_callback_data', data)) || more
$$;
CREATE FUNCTION pg_temp.statuses_body(VARIADIC statuses jsonb[]) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.envelope(pg_temp.messages_change(jsonb_build_object('statuses', to_jsonb(statuses))))
$$;
CREATE FUNCTION pg_temp.post_statuses(VARIADIC statuses jsonb[]) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.counts(pg_temp.post(pg_temp.statuses_body(VARIADIC statuses)), 'statuses')
$$;

/* Several bodies in one call, with a row for each. */
CREATE FUNCTION pg_temp.post_many(given text[]) RETURNS TABLE (ordinal integer, outcome text, result jsonb, sqlstate text, message text)
LANGUAGE sql AS $$
    SELECT m.* FROM (
        SELECT array_agg(r.body ORDER BY r.n) AS bodies, array_agg(pg_temp.sign(r.body) ORDER BY r.n) AS signatures
        FROM (SELECT u.n, convert_to(pg_temp.recent(u.body), 'UTF8') FROM unnest(given) WITH ORDINALITY AS u (body, n)) AS r (n, body)) AS b,
        wa_webhook_ingest_many(b.bodies, b.signatures) AS m
$$;
CREATE FUNCTION pg_temp.error(code integer, title text DEFAULT 'title', details text DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('errors', jsonb_build_array(jsonb_build_object('code', code, 'title', title)
        || CASE WHEN details IS NULL THEN '{}' ELSE jsonb_build_object('error_data', jsonb_build_object('details', details)) END))
$$;

/* A message in a given state, as sender and enqueueing leave it. */
CREATE FUNCTION pg_temp.new_message(state text, tenant text DEFAULT 'panaderia', template text DEFAULT NULL) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    new_id bigint;
BEGIN
    INSERT INTO whatsapp_tenants (tenant_id) VALUES (tenant) ON CONFLICT DO NOTHING;
    INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, message_type, template_name, template_language,
            payload, status, attempts)
        VALUES (tenant, '100000000000001', '+34600000001', CASE WHEN template IS NULL THEN 'text' ELSE 'template' END,
            template, CASE WHEN template IS NOT NULL THEN 'es' END, '{}', state, CASE state WHEN 'queued' THEN 0 ELSE 1 END)
        RETURNING id INTO new_id;
    IF state IN ('queued', 'sending', 'uncertain') THEN
        INSERT INTO whatsapp_queue (message_id, phone_number_id, rank, due_at, attempts, state)
            VALUES (new_id, '100000000000001', new_id, now(), CASE state WHEN 'uncertain' THEN 1 ELSE 0 END,
                CASE state WHEN 'uncertain' THEN 'u' ELSE 'r' END);
    ELSIF state = 'accepted' THEN
        UPDATE whatsapp_messages SET whatsapp_message_id = 'wamid.' || new_id, accepted_at = '2026-01-01 00:00:00.123456Z',
                finished_at = '2026-01-01 00:00:00.123456Z' WHERE id = new_id;
        INSERT INTO whatsapp_wamids VALUES ('wamid.' || new_id, new_id);
    END IF;
    RETURN new_id;
END
$$;
