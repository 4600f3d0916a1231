/*
 * What the gateway's routes read of tables that grow: never from end to end, and never
 * more than they say, whatever is known of the tables when the statement is planned.
 */
\ir ../lib/begin.sql
\ir ../lib/gateway.sql
SELECT no_plan();

SELECT wa_assign_phone('tenant' || n, (100000000000000 + n)::text) FROM generate_series(1, 20) AS n \g /dev/null

/* How many rows of a table this transaction has read so far. */
CREATE FUNCTION pg_temp.rows_read(a_table text, OUT walked bigint, OUT fetched bigint) LANGUAGE sql AS $$
    SELECT seq_tup_read, COALESCE(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables WHERE relname = a_table
$$;
CREATE TEMP TABLE readings (route text, walked bigint, fetched bigint, waiting_walked bigint);
CREATE FUNCTION pg_temp.measure(route text, request jsonb) RETURNS readings LANGUAGE plpgsql AS $$
DECLARE
    before record;
    later record;
    result readings;
    error text;
BEGIN
    SELECT * INTO before FROM pg_temp.rows_read('whatsapp_messages');
    SELECT c.error INTO error FROM pg_temp.call(route, request) AS c;
    IF error IS NOT NULL THEN
        RAISE EXCEPTION '%: %', route, error;
    END IF;
    SELECT * INTO later FROM pg_temp.rows_read('whatsapp_messages');
    result.route := route;
    result.walked := later.walked - before.walked;
    result.fetched := later.fetched - before.fetched;
    RETURN result;
END
$$;

/* 25,000 of yesterday, 5,000 of today; all indexes as they become, no statistics. */
SELECT setval(pg_get_serial_sequence('whatsapp_messages', 'id'), 1000) \g /dev/null
INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, message_type, payload, status, error_code, created_at, scheduled_at,
    accepted_at, failed_at, finished_at)
SELECT 'tenant' || n % 20 + 1, (100000000000001 + n % 20)::text, '+34600' || lpad(n::text, 6, '0'), 'text', '{"body": "hola"}',
    CASE WHEN n % 100 = 0 THEN 'failed' ELSE 'read' END, CASE WHEN n % 100 = 0 THEN 131026 END, at, at, at, CASE WHEN n % 100 = 0 THEN at END, at
FROM (SELECT n, CASE WHEN n <= 25000 THEN current_date - interval '20 hours' + n * interval '2 seconds'
                ELSE current_date + (now() - current_date) * ((n - 25000) / 5001.0) END AS at
      FROM generate_series(1, 30000) AS n) AS x;

CREATE FUNCTION pg_temp.bounds(what text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    r record;
    m readings;
BEGIN
    FOR r IN
        SELECT * FROM (VALUES
            ('summary', '{}', '{}', 8100), ('tenants', '{}', '{}', 5200), ('tenants', '{"q": "tenant1"}', '{}', 5200),
            ('phone_numbers', '{}', '{}', 5200), ('failures', '{}', '{}', 5200),
            ('messages', '{}', '{}', 200), ('messages', '{"status": "queued"}', '{}', 200),
            ('messages', '{"error_code": "1"}', '{}', 40200), ('messages', '{"tenant_id": "tenant3"}', '{}', 200),
            ('messages', '{"tenant_id": "tenant3", "status": "failed"}', '{}', 3200),
            ('messages', format('{"from": "%s", "status": "failed"}', current_date)::text, '{}', 5300),
            ('messages', '{"q": "1001"}', '{}', 40300), ('message', '{}', '{"id": "1001"}', 50), ('timeline', '{}', '{}', 0))
            AS v (route, query, path, most)
    LOOP
        m := pg_temp.measure(r.route, pg_temp.request(r.query::jsonb, path => r.path::jsonb));
        RETURN NEXT is(m.walked, 0::bigint, format('%s: %s %s walks through no table of messages', what, r.route, r.query));
        RETURN NEXT cmp_ok(m.fetched, '<=', r.most::bigint, format('%s: and reads %s at most', what, r.most));
    END LOOP;
END
$$;
SELECT pg_temp.bounds('nothing known');
ANALYZE whatsapp_messages;
SELECT pg_temp.bounds('all known');
/* What was known is no longer so: the table was small. */
UPDATE pg_class SET reltuples = 10, relpages = 1 WHERE oid = 'whatsapp_messages'::regclass;
SELECT pg_temp.bounds('known wrongly');

/* ---- and they are right ---- */

SELECT is((body -> 0 ->> 'sent_today')::integer, 250, 'a tenant''s messages of today') FROM pg_temp.call('tenants', pg_temp.request());
SELECT is((body -> 0 ->> 'failed_today')::integer, 0, 'of which none failed, as all with a round number are another''s')
    FROM pg_temp.call('tenants', pg_temp.request('{"q": "tenant10"}'));
SELECT is(sum((n ->> 'sent_today')::integer), 5000::bigint, 'of all numbers together')
    FROM pg_temp.call('phone_numbers', pg_temp.request()), jsonb_array_elements(body) AS n;
SELECT is(sum((n ->> 'failed_today')::integer), 50::bigint, 'and what failed')
    FROM pg_temp.call('phone_numbers', pg_temp.request()), jsonb_array_elements(body) AS n;
SELECT is(body -> 'today', jsonb_build_object('since', current_date::timestamptz, 'sent', 5000, 'delivered', 4950, 'read', 4950, 'failed', 50,
    'uncertain', 0), 'the summary counts the day') FROM pg_temp.call('summary', pg_temp.request());
SELECT is(concat_ws(' ', f ->> 'error_code', f ->> 'messages', f ->> 'tenants', jsonb_array_length(f -> 'tenant_ids')), '131026 50 1 1',
    'failures of today, by code') FROM pg_temp.call('failures', pg_temp.request()), jsonb_array_elements(body) AS f;
SELECT is(wa_internal_first_message_since(current_date), 26001::bigint, 'the first message of a day is found');
SELECT is(wa_internal_first_message_since(now() + interval '1 day'), 31001::bigint, 'after the last one')
    UNION ALL SELECT is(wa_internal_first_message_since('-infinity'), 0::bigint, 'and before the first');
SELECT is(w.first_id, 30001::bigint, 'a window of a thousand') FROM wa_internal_message_window(current_date, 1000) AS w;
SELECT is(w.since, m.created_at, 'says since when')
    FROM wa_internal_message_window(current_date, 1000) AS w JOIN whatsapp_messages AS m ON m.id = w.first_id;

/* ---- a search goes on where it has ended ---- */

CREATE TEMP TABLE found (page integer, id bigint);
CREATE FUNCTION pg_temp.pages(query jsonb) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    c record;
    n integer := 0;
BEGIN
    TRUNCATE found;
    LOOP
        n := n + 1;
        SELECT * INTO c FROM pg_temp.call('messages', pg_temp.request(query));
        INSERT INTO found SELECT n, (m ->> 'id')::bigint FROM jsonb_array_elements(c.body) AS m;
        EXIT WHEN c.paging IS NULL OR n > 400;
        query := query || jsonb_build_object('cursor', c.paging ->> 'next');
    END LOOP;
    RETURN n;
END
$$;
SELECT is(pg_temp.pages('{"limit": "100", "error_code": "131026"}'), 4, '300 failures on three pages, and one that ends the search');
SELECT is((SELECT count(DISTINCT id) FROM found), 300::bigint, 'each once');
SELECT ok(bool_and(id > following), 'in order') FROM (SELECT id, lead(id) OVER (ORDER BY page, id DESC) AS following FROM found) AS f WHERE following IS NOT NULL;
SELECT is(pg_temp.pages('{"limit": "500", "tenant_id": "tenant3"}'), 4, 'a tenant''s messages');
SELECT is((SELECT count(DISTINCT id) FROM found), 1500::bigint, 'are all found');
SELECT is(pg_temp.pages('{"limit": "500", "error_code": "7"}'), 2, 'where nothing is found, the search ends all the same');
UPDATE whatsapp_messages SET created_at = current_date WHERE tenant_id = 'tenant3';
SELECT is(pg_temp.pages('{"limit": "500", "tenant_id": "tenant3"}'), 4, 'if all were written in one moment');
SELECT is((SELECT count(DISTINCT id) FROM found), 1500::bigint, 'none is passed by');

INSERT INTO whatsapp_events (actor, kind, scope, key) SELECT 'Ana', 'retry_message', 'message', n::text FROM generate_series(1, 20000) AS n;
CREATE TEMP TABLE noted AS SELECT walked, fetched FROM pg_temp.rows_read('whatsapp_events');
SELECT is(jsonb_path_query_array(c.body, '$.history[*] ? (@.kind == "retry_message").details.actor'), '["Ana"]', 'what people did with one message')
    FROM pg_temp.call('message', pg_temp.request(path => '{"id": "1001"}')) AS c;
SELECT is(r.walked - n.walked, 0::bigint, 'is found without reading what they did with all') FROM pg_temp.rows_read('whatsapp_events') AS r, noted AS n;

SELECT * FROM finish();
ROLLBACK;
