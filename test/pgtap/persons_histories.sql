/*
 * A property: what is told of a person, in whatever order, portions and
 * repetitions, leaves the same rows, and these are right.
 *
 * Each history is one person's: writing under a number, a user id or both, hiding
 * the number and showing it, changing number and user id in every shape, opting out and
 * in.  It is told to several people who differ in nothing but their names (tellings), all
 * at random among all others, some of it twice.  Then all forms must be one person's,
 * with the latest names; and the wish and the window be the latest, under every form.
 *
 * The histories follow from the seed, which is printed:
 *   psql -v seed=0.123 -v histories=1000 -f persons_histories.sql
 * make check-persons-long tells a million.
 */
\ir ../lib/begin.sql
\ir ../lib/webhook.sql
SELECT plan(6);

\if :{?seed}
\else
SELECT round(random()::numeric, 6) AS seed \gset
\endif
\if :{?histories}
\else
\set histories 60
\endif
\echo # seed :seed
SELECT setseed(:seed) \g /dev/null

SELECT wa_assign_phone('panaderia', '100000000000001') \g /dev/null
UPDATE whatsapp_phone_assignments SET assigned_at = now() - interval '30 days';
SELECT wa_register_template('oferta', 'es', '[{"type": "BODY", "text": "Oferta."}]', 'MARKETING') \g /dev/null

/*
 * What happens to one person, at times of its own.  "generation": how often the identity
 * has changed before.  In the first event number and user id stand beside each other.
 */
CREATE TEMP TABLE event AS
SELECT h, k, kind, at, shape, shown,
    count(*) FILTER (WHERE kind LIKE 'change%') OVER (PARTITION BY h ORDER BY k) AS generation
FROM (
    SELECT h, k,
        CASE WHEN k = 1 THEN 'write'
             ELSE (ARRAY['write', 'write', 'out', 'out', 'in', 'change user', 'change user', 'change both'])[1 + floor(random() * 8)::integer] END AS kind,
        floor(EXTRACT(epoch FROM now()))::bigint - 400000 + k * 20000 + floor(random() * 10000)::bigint AS at,
        floor(random() * 7)::integer AS shape,
        CASE WHEN k = 1 THEN 'both' ELSE (ARRAY['both', 'user', 'user', 'phone'])[1 + floor(random() * 4)::integer] END AS shown
    FROM generate_series(1, :histories) AS h, LATERAL (SELECT 2 + floor(random() * 7 + h * 0)::integer) AS n (events), generate_series(1, n.events) AS k) AS e;

/* Numbers change with "change both" only. */
CREATE TEMP TABLE step AS
SELECT e.*, count(*) FILTER (WHERE kind = 'change both') OVER (PARTITION BY h ORDER BY k) AS moves FROM event AS e;

CREATE FUNCTION pg_temp.usr(h bigint, telling integer, generation bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$SELECT format('ES.H%sT%sG%s', h, telling, generation)$$;
CREATE FUNCTION pg_temp.phone(h bigint, telling integer, moves bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$SELECT (CASE h % 3 WHEN 0 THEN 521000000000 WHEN 1 THEN 34600000000 ELSE 556160000000 END + h * 100 + telling * 10 + moves)::text$$;

/* One event as a change of a webhook, as it is told to one of them. */
CREATE FUNCTION pg_temp.told(s step, telling integer) RETURNS jsonb LANGUAGE sql STABLE AS $$
    WITH id AS (
        SELECT pg_temp.usr(s.h, telling, s.generation) AS usr, pg_temp.usr(s.h, telling, s.generation - 1) AS old_usr,
            pg_temp.phone(s.h, telling, s.moves) AS phone,
            pg_temp.phone(s.h, telling, s.moves - CASE s.kind WHEN 'change both' THEN 1 ELSE 0 END) AS old_phone),
    parts AS (
        SELECT format('wamid.H%sT%sK%s', s.h, telling, s.k) AS wamid, id.*,
            CASE WHEN s.kind LIKE 'change%' THEN jsonb_strip_nulls(jsonb_build_object(
                'type', CASE s.kind WHEN 'change both' THEN 'user_changed_number' ELSE 'user_changed_user_id' END,
                'wa_id', CASE WHEN s.kind = 'change both' THEN id.phone WHEN s.shape = 5 THEN '' WHEN s.shape = 6 THEN id.usr END,
                'previous_user_id', CASE WHEN s.shape NOT IN (0, 1) THEN id.old_usr END,
                'user_id', CASE WHEN s.shape NOT IN (3, 6) OR s.kind = 'change both' THEN id.usr END,
                'body', CASE WHEN s.shape = 0 THEN format('User U changed from %s to %s', id.old_usr, id.usr) ELSE 'x' END)) END AS system,
            /* The sender is missing, the person as before, or the person as of now. */
            CASE WHEN s.kind NOT LIKE 'change%' THEN CASE WHEN s.shown IN ('phone', 'both') THEN id.phone END
                 WHEN s.kind = 'change both' AND s.shape = 4 THEN id.old_phone END AS sender,
            CASE WHEN s.kind NOT LIKE 'change%' THEN CASE WHEN s.shown IN ('user', 'both') THEN id.usr END
                 WHEN s.shape = 1 THEN id.old_usr WHEN s.shape = 3 THEN id.usr END AS sender_user
        FROM id)
    SELECT pg_temp.messages_change(jsonb_strip_nulls(jsonb_build_object(
        'contacts', CASE WHEN s.kind NOT LIKE 'change%' AND p.sender_user IS NOT NULL THEN jsonb_build_array(jsonb_build_object(
            'wa_id', p.sender, 'user_id', p.sender_user, 'profile', jsonb_build_object('name', 'N' || s.k))) END,
        'messages', jsonb_build_array(jsonb_build_object('id', p.wamid, 'from', p.sender, 'from_user_id', p.sender_user, 'timestamp', s.at::text,
            'type', CASE WHEN p.system IS NULL THEN 'text' ELSE 'system' END, 'system', p.system,
            'text', CASE s.kind WHEN 'out' THEN '{"body":"BAJA"}' WHEN 'in' THEN '{"body":"ALTA"}' WHEN 'write' THEN '{"body":"hola"}' END::jsonb)))))
    FROM parts AS p
$$;

/* All of it, in any order, in portions of any size, a tenth twice. */
DO $$
DECLARE
    portion jsonb[];
BEGIN
    FOR portion IN
        SELECT array_agg(o.change ORDER BY o.n) FROM (
            SELECT t.*, row_number() OVER (ORDER BY t.place) AS n, sum(CASE WHEN random() < 0.02 THEN 1 ELSE 0 END) OVER (ORDER BY t.place) AS portion
            FROM (
                SELECT pg_temp.told(s, telling) AS change, random() AS place
                FROM step AS s, generate_series(1, 3) AS telling, generate_series(1, 2) AS repetition
                WHERE repetition = 1 OR random() < 0.1) AS t) AS o
        GROUP BY o.portion ORDER BY o.portion
    LOOP
        PERFORM pg_temp.post_as_it_is(pg_temp.envelope(VARIADIC portion));
    END LOOP;
END
$$;

/* ---- what must be there now ---- */

CREATE TEMP TABLE form AS
SELECT DISTINCT s.h, telling, f.form
FROM step AS s, generate_series(1, 3) AS telling,
    LATERAL (SELECT pg_temp.usr(s.h, telling, s.generation)
        UNION ALL SELECT '+' || pg_temp.phone(s.h, telling, s.moves)
        UNION ALL SELECT unnest(wa_internal_spellings('+' || pg_temp.phone(s.h, telling, s.moves)))) AS f (form);
CREATE INDEX ON form (form);
ANALYZE form;
ANALYZE whatsapp_contact_identities;
CREATE TEMP TABLE wish AS
SELECT h, max(at) FILTER (WHERE kind NOT LIKE 'change%') AS written, max(k) FILTER (WHERE kind NOT LIKE 'change%' AND shown <> 'phone') AS named,
    max(generation) AS generation, max(moves) AS moves,
    COALESCE(max(at) FILTER (WHERE kind = 'out'), 0) AS out_at, COALESCE(max(at) FILTER (WHERE kind = 'in'), 0) AS in_at
FROM step GROUP BY h;

SELECT is((SELECT count(*) FROM whatsapp_parked_events), 0::bigint, 'all of it can be used');
SELECT is_empty($$SELECT f.h, f.telling FROM form AS f LEFT JOIN whatsapp_contact_identities AS i ON i.identity = f.form
    GROUP BY f.h, f.telling HAVING count(DISTINCT i.contact_id) <> 1 OR count(DISTINCT i.person) <> 1 OR count(*) <> count(i.identity) LIMIT 5$$,
    'each is one person, under every form, with one key');
SELECT is((SELECT count(*) || ' ' || (SELECT count(*) FROM whatsapp_contact_identities) FROM whatsapp_contacts), (SELECT count(DISTINCT (h, telling)) || ' ' || count(*) FROM form),
    'and nobody is there besides');
SELECT is_empty($$SELECT w.h, telling, c.* FROM wish AS w, generate_series(1, 3) AS telling
        JOIN LATERAL (SELECT c.* FROM whatsapp_contacts AS c JOIN whatsapp_contact_identities AS i USING (contact_id) WHERE i.identity = pg_temp.usr(w.h, telling, 0)) AS c ON true
    WHERE (c.wa_id, c.user_id, c.name) IS DISTINCT FROM (pg_temp.phone(w.h, telling, w.moves), pg_temp.usr(w.h, telling, w.generation), 'N' || w.named) LIMIT 5$$,
    'with the latest number, user ID and name');
SELECT is_empty($$SELECT f.*, w.*, o.* FROM form AS f JOIN wish AS w USING (h)
        LEFT JOIN whatsapp_opt_outs AS o ON o.recipient = f.form
    WHERE (o.recipient IS NOT NULL) <> (w.out_at > 0 AND w.out_at >= w.in_at) OR o.created_at <> to_timestamp(w.out_at) LIMIT 5$$,
    'who has opted out last has opted out, under every form, and nobody else');
SELECT is_empty($$SELECT f.*, w.* FROM form AS f JOIN wish AS w USING (h)
        LEFT JOIN whatsapp_windows AS o ON o.recipient = f.form
    WHERE o.last_inbound_at IS DISTINCT FROM to_timestamp(w.written) LIMIT 5$$,
    'the window is that of the latest message, under every form');

SELECT * FROM finish();
ROLLBACK;
