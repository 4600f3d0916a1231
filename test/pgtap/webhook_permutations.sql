/*
 * A property: what Meta tells of a message, in whatever order, however often
 * and in whatever portions, leaves the same rows.
 *
 * Each history is a random set of statuses (up to two attempts, times that
 * need not make sense, some without our own data).  It is told several times,
 * each time to another message that starts in the same state; all of these
 * must end alike.  The histories follow from the seed, which is printed, and
 * can be given:  psql -v seed=0.123 -f webhook_permutations.sql
 */
\ir ../lib/begin.sql
\ir ../lib/webhook.sql
SELECT plan(4);

\if :{?seed}
\else
SELECT round(random()::numeric, 6) AS seed \gset
\endif
\echo # seed :seed
SELECT setseed(:seed) \g /dev/null
SELECT set_config('webhook.seed', :'seed', true) \g /dev/null

CREATE TEMP TABLE history (n integer, state text, kind text, attempt integer, at bigint, own_data boolean, more jsonb);
CREATE TEMP TABLE told (n integer, telling integer, id bigint);

/*
 * A message put back by hand has an attempt that is over: its wamid is known
 * and its row cleared.  What is repeated of that attempt, short of proving
 * delivery, is no news.
 */
CREATE FUNCTION pg_temp.start(state text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    m bigint := pg_temp.new_message(CASE state WHEN 'given up' THEN 'failed' WHEN 'put back' THEN 'queued' ELSE state END);
BEGIN
    IF state = 'given up' THEN
        UPDATE whatsapp_messages SET failed_at = created_at, finished_at = NULL, error_code = -28 WHERE id = m;
    ELSIF state = 'put back' THEN
        UPDATE whatsapp_messages SET attempts = 1 WHERE id = m;
        UPDATE whatsapp_queue SET attempts = 1 WHERE message_id = m;
        INSERT INTO whatsapp_wamids VALUES (format('wamid.%s.1', m), m);
        INSERT INTO whatsapp_attempts (message_id, attempt, outcome) VALUES (m, 1, 'failed');
    ELSIF state = 'accepted' THEN
        UPDATE whatsapp_messages SET whatsapp_message_id = format('wamid.%s.1', m) WHERE id = m;
        UPDATE whatsapp_wamids SET whatsapp_message_id = format('wamid.%s.1', m) WHERE message_id = m;
    END IF;
    RETURN m;
END
$$;

CREATE FUNCTION pg_temp.invent(n integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    state text := (ARRAY['accepted', 'accepted', 'queued', 'sending', 'uncertain', 'given up', 'put back'])[1 + floor(random() * 7)];
    two boolean := random() < 0.3;
    k text;
BEGIN
    FOR i IN 1 .. 1 + floor(random() * 7) LOOP
        k := (ARRAY['sent', 'delivered', 'read', 'played', 'failed'])[1 + floor(random() * 5)];
        INSERT INTO history VALUES (n, state, k,
            CASE WHEN two AND random() < 0.5 OR state = 'put back' AND k IN ('delivered', 'read', 'played') THEN 2 ELSE 1 END,
            1764000000 + floor(random() * 3),
            two OR i = 1 OR state = 'put back' OR random() < 0.7,
            CASE WHEN k = 'failed' AND random() < 0.8 THEN pg_temp.error(131026 + floor(random() * 3)::integer, 'error ' || floor(random() * 3))
                 WHEN k IN ('sent', 'delivered') AND random() < 0.7 THEN
                     jsonb_build_object('pricing', jsonb_build_object('billable', random() < 0.5, 'type', 'regular',
                         'category', (ARRAY['utility', 'marketing', 'authentication-international'])[1 + floor(random() * 3)],
                         'pricing_model', (ARRAY['PMP', 'CBP'])[1 + floor(random() * 2)]))
                     || CASE WHEN random() < 0.5 THEN jsonb_build_object('conversation', jsonb_build_object('id', 'C' || floor(random() * 2),
                         'origin', jsonb_build_object('type', 'service'), 'expiration_timestamp', 1764000010 + floor(random() * 2)))
                         ELSE '{}' END
                 ELSE '{}' END);
    END LOOP;
END
$$;

/*
 * Tells all histories once: shuffled, some twice, in portions of random size.
 * Every other time what concerns one message stays closer together, and every
 * third time several webhooks are taken in together.
 */
CREATE FUNCTION pg_temp.tell(telling integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    items jsonb[];
    bodies text[] := '{}';
    size integer;
BEGIN
    INSERT INTO told SELECT n, telling, pg_temp.start(state) FROM (SELECT DISTINCT n, state FROM history ORDER BY n) AS h;
    SELECT array_agg(pg_temp.status(format('wamid.%s.%s', t.id, h.attempt), h.kind, h.at,
            CASE WHEN h.own_data THEN pg_temp.data(t.id, h.attempt) END, h.more)
            ORDER BY CASE tell.telling % 2 WHEN 0 THEN h.n / 8 END, random())
        INTO items
        FROM history AS h JOIN told AS t ON t.n = h.n AND t.telling = tell.telling
            CROSS JOIN LATERAL generate_series(1, 1 + floor(random() * 2)::integer);
    WHILE cardinality(items) > 0 LOOP
        size := 1 + floor(random() * random() * CASE telling % 3 WHEN 0 THEN 5 ELSE 80 END);
        IF telling % 3 = 0 THEN
            bodies := bodies || pg_temp.statuses_body(VARIADIC items[:size]);
            IF random() < 0.05 OR cardinality(items) <= size THEN
                PERFORM pg_temp.post_many(bodies);
                bodies := '{}';
            END IF;
        ELSE
            PERFORM pg_temp.post_statuses(VARIADIC items[:size]);
        END IF;
        items := items[size + 1:];
    END LOOP;
    PERFORM wa_internal_rematch(100000);
END
$$;

SELECT count(pg_temp.invent(n)) FROM generate_series(1, 400) AS n \g /dev/null
SELECT count(pg_temp.tell(i)) FROM generate_series(1, 6) AS i \g /dev/null

/* Everything but the identity, and the time of creation. */
CREATE TEMP TABLE ending AS
    SELECT t.n, t.telling,
        replace(((to_jsonb(m) - '{id,created_at,scheduled_at,failed_at}'::text[])
            || jsonb_build_object('failed_at', NULLIF(m.failed_at, m.created_at), 'queued', q.message_id IS NOT NULL,
                'wamids', (SELECT array_agg(DISTINCT w.whatsapp_message_id ORDER BY w.whatsapp_message_id)
                           FROM whatsapp_wamids AS w WHERE w.message_id = m.id)))::text, '.' || m.id || '.', '.id.') AS message
    FROM told AS t JOIN whatsapp_messages AS m ON m.id = t.id LEFT JOIN whatsapp_queue AS q ON q.message_id = t.id;

SELECT is((SELECT count(*) FROM ending), 2400::bigint, 'every history was told six times');
SELECT is_empty($$
    SELECT e.n, e.message, array_agg(e.telling) AS tellings, (SELECT string_agg(concat_ws(' ', h.state, h.kind, h.attempt, h.at - 1764000000, h.own_data, h.more), '; ') FROM history h WHERE h.n = e.n) AS history
    FROM ending AS e WHERE e.n IN (SELECT n FROM ending GROUP BY n HAVING count(DISTINCT message) > 1)
    GROUP BY e.n, e.message ORDER BY e.n LIMIT 6$$,
    format('all tellings of a history end alike (seed %s)', current_setting('webhook.seed')));

/* The property would hold for rows that nothing changes; so, the most important outcomes. */
SELECT is_empty($$
    SELECT h.n, e.message FROM history AS h JOIN ending AS e ON e.n = h.n AND e.telling = 1
    WHERE h.kind IN ('read', 'played') AND (e.message::jsonb ->> 'status' <> 'read' OR e.message::jsonb ->> 'queued' = 'true')$$,
    'what was read is read, and not in the queue');
SELECT is_empty($$
    SELECT h.n, e.message FROM history AS h JOIN ending AS e ON e.n = h.n AND e.telling = 1
    WHERE h.kind = 'sent' AND h.own_data AND h.state <> 'put back'
        AND e.message::jsonb ->> 'status' NOT IN ('sent', 'delivered', 'read', 'failed')$$,
    'what was sent is at least sent, or has failed');

SELECT finish();
ROLLBACK;
