/*
 * Random histories of persons, told in any order, portion and repetition, and an oracle
 * that says from the events alone what must hold after any of them.
 *
 *   CALL pg_temp.tell_histories(histories, tellings, most_events, commits)
 *
 * leaves what is wrong in pg_temp.wrong and counts in pg_temp.told; pg_temp.sweep() then does
 * with the queue what a sender does.  The seed is the
 * caller's (setseed).  With "commits" each portion is a transaction, else all of it is the
 * caller's.
 *
 * All persons of a call advance together: a portion is one webhook, or one call of
 * wa_webhook_ingest_many(), with events of hundreds of them.  Each history is told to
 * "tellings" persons who differ in nothing but their names: some scattered over the
 * whole time, some in one burst, such that several events share a webhook.
 *
 * The oracle knows nothing of the tables.  A form is a place in a bit mask: A's user ids 0-6
 * and numbers 10-16, the ID in the parent portfolio 20, a number that only responses
 * have told 21, and B, who gets A's first number when A has left it: user id 22,
 * number 23.  An event has the mask of what it tells.  Masks that overlap are
 * one person.  Of a person's events the latest times count.
 *
 * What has to come in an order, because nothing else can be known (src/README.md): the
 * API's calls among each other, which hold from now on; and of a number that is given to
 * somebody else, the change first ("phase").
 */

CREATE TEMP TABLE history (h integer, n integer, span integer, recycled boolean, message_slot integer, refused_slot integer, username boolean);
CREATE TEMP TABLE event (
    h integer, k integer, who text, kind text, at bigint, gen integer, mov integer, shape integer, shown text, spelling integer, tenant text,
    category text, grouped boolean, field text, named boolean, username text, api integer, phase integer, mask bigint, phone_slot integer,
    user_slot integer, parent boolean, old_slot integer, old_phone_slot integer, other_slot integer);
/* What is said about consent: words and the like, or WhatsApp's switch. */
CREATE TEMP TABLE wish (h integer, k integer, tenant text, category text, is_switch boolean, is_out boolean, is_word boolean, at bigint);
CREATE TEMP TABLE told_event (h integer, t integer, k integer, portion integer, change jsonb, kind text, tenant text, recipient text, category text, variant integer, at bigint);
CREATE TEMP TABLE checkpoint (h integer, t integer, portion integer);
CREATE TEMP TABLE probe (h integer, t integer, portion integer, tenant text, slot integer, recipient text, what text, expected text, answer text, message_id bigint);
CREATE TEMP TABLE wrong (property text, h integer, t integer, detail text);
CREATE TEMP TABLE told (histories bigint, tellings bigint, events bigint, webhooks bigint, probes bigint);
CREATE TEMP TABLE component (h integer, t integer, mask bigint);
CREATE TEMP TABLE holds (h integer, t integer, mask bigint, tenant text, category text, at bigint);
CREATE TEMP TABLE form_now (h integer, t integer, mask bigint, slot integer, form text);
CREATE INDEX ON form_now (form);
CREATE TEMP TABLE written (h integer, t integer, mask bigint, tenant text, at bigint);

/* ---- forms ------------------------------------------------------------------------------------ */

/* A number with "+": spelling 1 is the other one, where there is one. */
CREATE FUNCTION pg_temp.phone(h integer, t integer, slot integer, spelling integer) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT '+' || CASE h % 4
        WHEN 0 THEN CASE spelling WHEN 0 THEN '521' ELSE '52' END || '55' || n.digits
        WHEN 1 THEN '346' || n.digits
        WHEN 2 THEN '5561' || CASE spelling WHEN 0 THEN '9' ELSE '' END || '8' || right(n.digits, 7)
        ELSE CASE spelling WHEN 0 THEN '549' ELSE '54' END || '11' || n.digits END
    FROM (SELECT lpad((h * 100 + t * 10 + CASE slot WHEN 21 THEN 7 WHEN 23 THEN 0 ELSE slot - 10 END)::text, 8, '0')) AS n (digits)
$$;
CREATE FUNCTION pg_temp.form(h integer, t integer, slot integer, spelling integer) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN slot < 10 THEN 'ES.H' || h || 'T' || t || 'G' || slot WHEN slot = 20 THEN 'ES.ENT.H' || h || 'T' || t
        WHEN slot = 22 THEN 'ES.H' || h || 'T' || t || 'B' ELSE pg_temp.phone(h, t, slot, spelling) END
$$;
CREATE FUNCTION pg_temp.bit(slot integer) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$SELECT COALESCE(1::bigint << slot, 0)$$;

/* Masks that overlap, directly or not, united. */
CREATE FUNCTION pg_temp.united(masks bigint[]) RETURNS bigint[] LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    result bigint[] := '{}';
    rest bigint[];
    m bigint;
    r bigint;
BEGIN
    FOREACH m IN ARRAY masks LOOP
        rest := '{}';
        FOREACH r IN ARRAY result LOOP
            IF r & m <> 0 THEN
                m := m | r;
            ELSE
                rest := rest || r;
            END IF;
        END LOOP;
        result := rest || m;
    END LOOP;
    RETURN result;
END
$$;

/* ---- what happens ------------------------------------------------------------------------------- */

CREATE FUNCTION pg_temp.one_of(VARIADIC words text[]) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT words[1 + floor(random() * cardinality(words))::integer]
$$;

CREATE FUNCTION pg_temp.invent(histories integer, most_events integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    now_s CONSTANT bigint := floor(EXTRACT(epoch FROM clock_timestamp()));
BEGIN
    TRUNCATE history, event, wish;
    INSERT INTO history
        SELECT h, CASE WHEN x.recycled THEN GREATEST(x.n, 2) ELSE x.n END, x.span, x.recycled, x.message_slot, x.refused_slot, x.username
        FROM generate_series(1, histories) AS h,
            LATERAL (SELECT 1 + floor(random() * most_events + h * 0)::integer AS n, (ARRAY[60, 3000, 12000, 40000])[1 + floor(random() * 4)::integer] AS span,
                random() < 0.15 AS recycled, (ARRAY[0, 10])[1 + floor(random() * 2)::integer] AS message_slot,
                (ARRAY[0, 10])[1 + floor(random() * 2)::integer] AS refused_slot, random() < 0.3 AS username) AS x;
    INSERT INTO event (h, k, who, kind, at, gen, mov, shape, shown, spelling, tenant, category, grouped, field, named, phase)
    WITH raw AS (
        SELECT y.h, e.k, y.recycled, y.n, CASE WHEN e.k > y.n THEN 'B' ELSE 'A' END AS who,
            CASE WHEN e.k = 1 AND random() < 0.5 THEN 'write'
                 WHEN y.recycled AND e.k = 1 THEN pg_temp.one_of('write', 'out', 'in')
                 WHEN y.recycled AND e.k = 2 THEN 'change both'
                 WHEN e.k > y.n THEN pg_temp.one_of('write', 'write', 'out', 'in', 'stop', 'resume')
                 WHEN e.k = 1 THEN pg_temp.one_of('write', 'out', 'out', 'in', 'stop', 'status', 'refused', 'learned', 'api out', 'api in')
                 ELSE pg_temp.one_of('write', 'write', 'write', 'out', 'out', 'out', 'in', 'in', 'stop', 'stop', 'resume', 'change user', 'change user',
                     'change both', 'change number', 'status', 'status', 'refused', 'learned', 'api out', 'api in') END AS kind,
            now_s - (y.n + y.b - e.k + 1) * y.span + floor(random() * y.span * 0.9)::bigint AS at,
            floor(random() * 10)::integer AS shape, pg_temp.one_of('both', 'both', 'user', 'user', 'phone', 'phone', 'all') AS shown,
            CASE WHEN random() < 0.3 THEN 1 ELSE 0 END AS spelling, pg_temp.one_of('panaderia', 'panaderia', 'horno') AS tenant,
            CASE WHEN random() < 0.25 THEN 'all' ELSE 'marketing' END AS category, random() < 0.08 AS grouped,
            CASE WHEN random() < 0.1 THEN 'standby' ELSE 'messages' END AS field, random() < 0.6 AS named, random() < 0.12 AS tied
        FROM (SELECT *, CASE WHEN recycled THEN 1 + floor(random() * 3)::integer ELSE 0 END AS b FROM history) AS y,
            LATERAL generate_series(1, y.n + y.b) AS e (k))
    SELECT h, k, who, kind,
        CASE WHEN tied AND kind IN ('write', 'out', 'in', 'stop', 'resume') AND who = 'A' AND k > 1
                  AND lag(kind) OVER w IN ('write', 'out', 'in', 'stop', 'resume') THEN lag(at) OVER w ELSE at END,
        count(*) FILTER (WHERE kind IN ('change user', 'change both')) OVER w, count(*) FILTER (WHERE kind IN ('change number', 'change both')) OVER w,
        CASE WHEN recycled AND k = 2 THEN 4 ELSE shape END,
        /* B's first words are under number and user id. */
        CASE WHEN k = n + 1 THEN 'both' ELSE shown END, spelling,
        CASE WHEN kind LIKE 'api%' AND shape < 2 THEN 'kiosko' ELSE tenant END, CASE WHEN kind IN ('stop', 'resume', 'refused') THEN 'marketing' ELSE category END,
        grouped AND kind IN ('write', 'out', 'in'), field, named AND NOT tied, 1
    FROM raw WINDOW w AS (PARTITION BY h ORDER BY k);

    /*
     * What somebody wants no more after leaving a number holds for the next owner, too: it may have been
     * said under that number (src/README.md).  So that is left out.
     */
    UPDATE event AS e SET kind = 'write', tenant = 'panaderia' FROM history AS y
        WHERE y.h = e.h AND y.recycled AND e.who = 'A' AND e.k > 2 AND e.kind IN ('out', 'stop', 'refused', 'api out');

    /* What each tells. */
    UPDATE event AS e SET
        phone_slot = CASE
            WHEN e.kind LIKE 'change%' THEN CASE WHEN e.kind <> 'change user' OR e.shape = 8 THEN 10 + e.mov END
            WHEN e.kind = 'learned' THEN CASE WHEN e.shape < 7 THEN 10 + e.mov END
            WHEN e.kind LIKE 'api%' THEN CASE WHEN e.shown = 'phone' AND NOT y.recycled THEN 10 + e.mov END
            WHEN e.shown IN ('phone', 'both', 'all') THEN CASE e.who WHEN 'A' THEN 10 + e.mov ELSE 23 END END,
        user_slot = CASE
            WHEN e.kind = 'change number' THEN NULL
            WHEN e.kind LIKE 'change%' THEN e.gen
            WHEN e.kind = 'learned' THEN CASE WHEN e.shape > 3 THEN e.gen END
            WHEN e.kind LIKE 'api%' THEN CASE WHEN e.shown <> 'phone' OR y.recycled THEN e.gen END
            WHEN e.shown IN ('user', 'both', 'all') THEN CASE e.who WHEN 'A' THEN e.gen ELSE 22 END END,
        parent = e.who = 'A' AND (e.kind = 'change user' AND e.shape = 9
            OR e.kind IN ('write', 'out', 'in') AND e.shown = 'all' AND e.named),
        old_slot = CASE WHEN e.kind IN ('change user', 'change both') THEN e.gen - 1 END,
        old_phone_slot = CASE WHEN e.kind = 'change number' OR e.kind = 'change both' AND e.shape = 4 THEN 9 + e.mov END,
        other_slot = CASE WHEN e.kind = 'learned' AND (e.shape <= 3 OR e.shape >= 7) THEN 21 WHEN e.kind = 'status' THEN y.message_slot
            WHEN e.kind = 'refused' THEN y.refused_slot END,
        api = CASE WHEN e.kind LIKE 'api%' THEN e.k END,
        username = CASE WHEN y.username AND e.named AND e.kind IN ('write', 'out', 'in') THEN format('u%sk%s', e.h, e.k) END
        FROM history AS y WHERE y.h = e.h;
    UPDATE event AS e SET parent = false WHERE e.parent AND e.user_slot IS NULL;
    UPDATE event AS e SET mask = pg_temp.bit(phone_slot) | pg_temp.bit(user_slot) | CASE WHEN parent THEN pg_temp.bit(20) ELSE 0 END
        | pg_temp.bit(old_slot) | pg_temp.bit(old_phone_slot) | pg_temp.bit(other_slot);
    /* That a message went where it was sent tells nothing. */
    UPDATE event AS e SET mask = 0 WHERE e.kind = 'status' AND e.user_slot IS NULL AND e.phone_slot = e.other_slot AND (e.spelling = 0 OR e.h % 4 = 1);
    /* B takes the user name that A had last. */
    UPDATE event AS b SET username = (SELECT a.username FROM event AS a WHERE a.h = b.h AND a.who = 'A' AND a.username IS NOT NULL ORDER BY a.at DESC LIMIT 1)
        FROM history AS y WHERE y.h = b.h AND b.who = 'B' AND b.username IS NOT NULL;
    /* Before a number is somebody else's: that it was left, and all that was said under it without a user id. */
    UPDATE event AS e SET phase = CASE
            WHEN e.who = 'B' THEN CASE e.k WHEN y.n + 1 THEN 2 ELSE 3 END
            WHEN e.old_phone_slot = 10 OR e.kind IN ('status', 'refused', 'learned') THEN 0
            WHEN e.phone_slot = 10 AND e.user_slot IS NULL THEN 0 ELSE 1 END
        FROM history AS y WHERE y.h = e.h AND y.recycled;

    INSERT INTO wish
        SELECT e.h, e.k, e.tenant, c.category, e.kind IN ('stop', 'resume'), e.kind IN ('out', 'stop', 'refused', 'api out'), e.kind = 'in',
            CASE WHEN e.api IS NULL THEN e.at ELSE 4000000000 + 10 * e.k END
        FROM event AS e, LATERAL (SELECT unnest(CASE WHEN e.kind = 'in' OR e.kind = 'api in' AND e.category = 'all' THEN '{marketing,all}' ELSE ARRAY[e.category] END)) AS c (category)
        WHERE e.kind IN ('out', 'in', 'stop', 'resume', 'refused', 'api out', 'api in') AND NOT e.grouped;
END
$$;

/* ---- how it is told --------------------------------------------------------------------------------- */

CREATE FUNCTION pg_temp.bare(phone text) RETURNS text LANGUAGE sql STABLE AS $$SELECT substr(phone, 2)$$;

CREATE FUNCTION pg_temp.number_of(tenant text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE tenant WHEN 'horno' THEN '100000000000002' ELSE '100000000000001' END
$$;

/* One message has all statuses of a tenant; what is refused is refused once. */
CREATE FUNCTION pg_temp.wamid(h integer, t integer, kind text, tenant text, k integer) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT format('wamid.H%sT%s%s%s', h, t, tenant, CASE kind WHEN 'refused' THEN k END)
$$;

/*
 * Every event of every telling with its place.  Events of one person share a webhook more often
 * where they come in a burst.  Then the API's calls are put into their order.
 */
CREATE FUNCTION pg_temp.arrange(tellings integer, portions integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    second CONSTANT double precision := floor(0.4 * portions) + 1;
BEGIN
    TRUNCATE told_event, checkpoint, probe;
    INSERT INTO told_event (h, t, k, portion, change, kind, tenant, recipient, category, variant, at)
    WITH placed AS (
        SELECT e.*, t.t, y.message_slot, y.refused_slot, y.recycled, r.r,
            CASE WHEN y.burst THEN y.start + (1 - y.start) * 0.05 * p.p ELSE p.p END AS place0
        FROM (SELECT h.*, t, random() < 0.4 AS burst, random() AS start FROM history AS h, generate_series(1, tellings) AS t) AS y
            JOIN event AS e ON e.h = y.h, LATERAL (SELECT y.t) AS t (t), generate_series(1, 2) AS r (r),
            LATERAL (SELECT random() + e.k * 0 + r.r * 0 AS p) AS p
        WHERE r.r = 1 OR e.api IS NULL AND e.kind <> 'learned' AND random() < 0.08),
    phased AS (
        /* Each phase in portions of its own. */
        SELECT p.*, CASE WHEN p.recycled THEN CASE p.phase WHEN 0 THEN p.place0 * 0.4 WHEN 2 THEN (second + 0.5) / portions
                WHEN 3 THEN (second + 1 + (portions - second - 1) * p.place0) / portions ELSE p.place0 END
            ELSE p.place0 END AS place1 FROM placed AS p),
    /* The API's calls of one person take their places in order. */
    api AS (
        SELECT a.h, a.t, a.k, b.place1
        FROM (SELECT h, t, k, row_number() OVER (PARTITION BY h, t ORDER BY k) AS i FROM phased WHERE api IS NOT NULL) AS a
            JOIN (SELECT h, t, place1, row_number() OVER (PARTITION BY h, t ORDER BY place1) AS i FROM phased WHERE api IS NOT NULL) AS b USING (h, t, i)),
    /* What is repeated has been told when it is told first. */
    forms AS (
        SELECT p.*, 1 + floor(COALESCE(a.place1, p.place1) * portions)::integer AS portion,
            pg_temp.form(p.h, p.t, p.phone_slot, p.spelling) AS phone, pg_temp.form(p.h, p.t, p.user_slot, 0) AS usr,
            CASE WHEN p.parent THEN pg_temp.form(p.h, p.t, 20, 0) END AS par, pg_temp.form(p.h, p.t, p.old_slot, 0) AS old_usr,
            pg_temp.form(p.h, p.t, p.old_phone_slot, p.spelling) AS old_phone, pg_temp.form(p.h, p.t, p.other_slot, 0) AS other,
            format('wamid.H%sT%sK%s', p.h, p.t, p.k) AS wamid,
            jsonb_build_object('messaging_product', 'whatsapp', 'metadata', jsonb_build_object('phone_number_id', pg_temp.number_of(p.tenant))) AS head
        FROM phased AS p LEFT JOIN api AS a USING (h, t, k))
    SELECT f.h, f.t, f.k, f.portion,
        CASE
        WHEN f.kind IN ('write', 'out', 'in') THEN jsonb_build_object('field', f.field, 'value', f.head || jsonb_strip_nulls(jsonb_build_object(
            'contacts', CASE WHEN f.named THEN jsonb_build_array(jsonb_build_object('wa_id', pg_temp.bare(f.phone), 'user_id', f.usr, 'parent_user_id', f.par,
                'profile', jsonb_build_object('name', f.who || f.k, 'username', f.username || 't' || f.t))) END,
            'messages', jsonb_build_array(jsonb_build_object('id', f.wamid, 'from', pg_temp.bare(f.phone), 'from_user_id', f.usr, 'timestamp', f.at::text,
                'type', 'text', 'group_id', CASE WHEN f.grouped THEN 'G' || f.h END, 'text', jsonb_build_object('body', CASE f.kind WHEN 'write' THEN 'hola'
                    WHEN 'in' THEN 'ALTA' ELSE CASE f.category WHEN 'all' THEN 'Baja total' ELSE 'BAJA' END END))))))
        WHEN f.kind IN ('stop', 'resume') THEN jsonb_build_object('field', 'user_preferences', 'value', f.head || jsonb_build_object('user_preferences', jsonb_build_array(
            jsonb_strip_nulls(jsonb_build_object('wa_id', pg_temp.bare(f.phone), 'user_id', f.usr, 'detail', f.wamid, 'category', 'marketing_messages', 'value', f.kind,
                'timestamp', f.at)))))
        WHEN f.kind IN ('status', 'refused') THEN jsonb_build_object('field', 'messages', 'value', f.head || jsonb_build_object('statuses', jsonb_build_array(
            jsonb_strip_nulls(jsonb_build_object('id', pg_temp.wamid(f.h, f.t, f.kind, f.tenant, f.k),
                'status', CASE f.kind WHEN 'refused' THEN 'failed'
                ELSE (ARRAY['sent', 'delivered', 'read'])[1 + f.shape % 3] END, 'timestamp', f.at::text, 'recipient_id', pg_temp.bare(f.phone), 'recipient_user_id', f.usr,
                'errors', CASE f.kind WHEN 'refused' THEN '[{"code":131050,"title":"Unable to deliver"}]'::jsonb END)))))
        WHEN f.kind = 'change user' AND f.shape = 7 THEN jsonb_build_object('field', 'user_id_update', 'value', f.head || jsonb_build_object('user_id_update', jsonb_build_array(
            jsonb_build_object('user_id', jsonb_build_object('previous', f.old_usr, 'current', f.usr), 'detail', '…', 'timestamp', f.at::text))))
        WHEN f.kind LIKE 'change%' THEN jsonb_build_object('field', 'messages', 'value', f.head || jsonb_strip_nulls(jsonb_build_object(
            'contacts', CASE WHEN f.shape = 9 AND f.parent THEN jsonb_build_array(jsonb_build_object('user_id', f.usr, 'parent_user_id', f.par)) END,
            'messages', jsonb_build_array(jsonb_build_object('id', f.wamid, 'timestamp', f.at::text, 'type', 'system',
                /* The sender is missing, the person as before, or the person as of now. */
                'from', pg_temp.bare(COALESCE(f.old_phone, CASE WHEN f.shape = 8 AND f.kind = 'change user' THEN f.phone END)),
                'from_user_id', CASE WHEN f.old_usr IS NULL THEN NULL WHEN f.shape = 1 THEN f.old_usr WHEN f.shape = 3 THEN f.usr END,
                'system', jsonb_build_object(
                    'type', CASE f.kind WHEN 'change user' THEN 'user_changed_user_id' ELSE 'user_changed_number' END,
                    'wa_id', CASE WHEN f.kind <> 'change user' THEN pg_temp.bare(f.phone) WHEN f.shape = 5 THEN '' WHEN f.shape = 6 THEN f.usr END,
                    'previous_user_id', CASE WHEN f.shape NOT IN (0, 1) THEN f.old_usr END,
                    'user_id', CASE WHEN f.shape NOT IN (3, 6) OR f.kind = 'change both' THEN f.usr END,
                    'body', CASE WHEN f.shape = 0 AND f.old_usr IS NOT NULL THEN format('User U changed from %s to %s', f.old_usr, f.usr) ELSE 'x' END))))))
        END,
        f.kind, f.tenant, COALESCE(CASE WHEN f.kind = 'learned' THEN COALESCE(f.phone, f.usr) END, f.usr, f.phone), f.category,
        f.shape, f.at
    FROM forms AS f;
    UPDATE told_event AS e SET change = NULL, recipient = pg_temp.form(e.h, e.t, COALESCE(v.phone_slot, v.user_slot), v.spelling)
            || ' ' || pg_temp.form(e.h, e.t, COALESCE(v.other_slot, v.user_slot), 0)
        FROM event AS v WHERE e.kind = 'learned' AND v.h = e.h AND v.k = e.k;
    INSERT INTO checkpoint SELECT h, t, floor(random() * portions)::integer FROM history, generate_series(1, tellings) AS t;
    CREATE INDEX IF NOT EXISTS told_event_portion ON told_event (portion);
    ANALYZE told_event;

    /* The messages that statuses are about, as they are when Meta has accepted them. */
    WITH about AS (
        SELECT DISTINCT e.h, t, e.kind, e.tenant, pg_temp.form(e.h, t, e.other_slot, 0) AS recipient,
            pg_temp.wamid(e.h, t, e.kind, e.tenant, e.k) AS wamid
        FROM event AS e, generate_series(1, tellings) AS t WHERE e.kind IN ('status', 'refused')),
    one AS (SELECT DISTINCT ON (wamid) * FROM about ORDER BY wamid, tenant),
    made AS (
        INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, recipient_user_id, message_type, template_name, template_language, payload,
                status, attempts, whatsapp_message_id, accepted_at, finished_at, created_at)
            SELECT o.tenant, pg_temp.number_of(o.tenant), CASE WHEN o.recipient LIKE '+%' THEN o.recipient END, CASE WHEN o.recipient NOT LIKE '+%' THEN o.recipient END,
                'template', 'aviso', 'es', '{}', 'accepted', 1, o.wamid, now() - interval '6 days', now() - interval '6 days', now() - interval '6 days' FROM one AS o
            RETURNING id, whatsapp_message_id)
    INSERT INTO whatsapp_wamids (whatsapp_message_id, message_id) SELECT whatsapp_message_id, id FROM made;
END
$$;

/* What the API's functions are called with, in order; and what responses have told. */
CREATE FUNCTION pg_temp.call_api(n integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    e record;
BEGIN
    FOR e IN SELECT * FROM told_event AS o WHERE o.portion = n AND o.kind LIKE 'api%' ORDER BY o.h, o.t, o.k LOOP
        IF e.kind = 'api out' AND e.variant % 3 = 0 THEN
            INSERT INTO whatsapp_opt_outs (tenant_id, recipient, category) VALUES (e.tenant, e.recipient, e.category) ON CONFLICT DO NOTHING;
            IF NOT FOUND THEN
                PERFORM wa_opt_out(e.tenant, e.recipient, e.category);
            END IF;
        ELSIF e.kind = 'api out' THEN
            PERFORM wa_opt_out(e.tenant, e.recipient, e.category);
        ELSE
            PERFORM wa_opt_in(e.tenant, e.recipient, e.category);
        END IF;
    END LOOP;
END
$$;

CREATE FUNCTION pg_temp.learn(n integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO whatsapp_learned_identities (recipient, identity, learned_at)
        SELECT split_part(e.recipient, ' ', 1), split_part(e.recipient, ' ', 2), to_timestamp(e.at) FROM told_event AS e WHERE e.portion = n AND e.kind = 'learned'
$$;

/* One webhook; every fifth time several, in one call. */
CREATE FUNCTION pg_temp.post_portion(n integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    failed text;
BEGIN
    IF random() < 0.2 THEN
        SELECT string_agg(DISTINCT m.outcome || COALESCE(' ' || m.message, ''), ', ') INTO failed FROM (
            SELECT array_agg(b.body) AS bodies, array_agg(pg_temp.sign(b.body)) AS signatures FROM (
                SELECT convert_to(pg_temp.envelope(VARIADIC array_agg(o.change ORDER BY o.place)), 'UTF8') AS body
                FROM (SELECT e.change, random() AS place, floor(random() * 8) AS part FROM told_event AS e WHERE e.portion = n AND e.change IS NOT NULL) AS o
                GROUP BY o.part) AS b) AS c, wa_webhook_ingest_many(c.bodies, c.signatures) AS m
            WHERE m.outcome <> 'ingested' AND c.bodies IS NOT NULL;
        IF failed IS NOT NULL THEN
            INSERT INTO wrong VALUES ('all of it can be used', 0, 0, failed);
        END IF;
    ELSE
        PERFORM pg_temp.post_as_it_is(pg_temp.envelope(VARIADIC array_agg(o.change ORDER BY o.place)))
            FROM (SELECT e.change, random() AS place FROM told_event AS e WHERE e.portion = n AND e.change IS NOT NULL) AS o
            HAVING count(*) > 0;
    END IF;
END
$$;

/* ---- what must be so ----------------------------------------------------------------------------------- */

/*
 * The oracle: for these persons, who is who, who has opted out, who has last written when,
 * of the events told up to their portions.
 */
CREATE FUNCTION pg_temp.deduce(n integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    TRUNCATE component, holds, written;
    DROP TABLE IF EXISTS heard;
    CREATE TEMP TABLE heard AS
        SELECT DISTINCT e.h, e.t, e.k, v.mask, v.kind, v.grouped, v.tenant, v.at
        FROM told_event AS e JOIN checkpoint AS c ON c.h = e.h AND c.t = e.t AND c.portion = n JOIN event AS v ON v.h = e.h AND v.k = e.k
        WHERE e.portion <= n;
    INSERT INTO component
        SELECT m.h, m.t, unnest(pg_temp.united(array_agg(m.mask))) FROM heard AS m WHERE m.mask <> 0 GROUP BY m.h, m.t;
    ANALYZE heard;
    ANALYZE component;
    INSERT INTO holds
        SELECT s.h, s.t, s.mask, s.tenant, s.category, GREATEST(
                CASE WHEN (s.switch_out < s.any_but_words) IS NOT TRUE THEN s.switch_out END, CASE WHEN (s.out < s.any_in) IS NOT TRUE THEN s.out END)
        FROM (
            SELECT c.h, c.t, c.mask, w.tenant, w.category, max(w.at) FILTER (WHERE w.is_out AND w.is_switch) AS switch_out,
                max(w.at) FILTER (WHERE w.is_out AND NOT w.is_switch) AS out, max(w.at) FILTER (WHERE NOT w.is_out) AS any_in,
                max(w.at) FILTER (WHERE NOT w.is_out AND NOT w.is_word) AS any_but_words
            FROM component AS c JOIN heard AS e ON e.h = c.h AND e.t = c.t AND e.mask & c.mask <> 0 JOIN wish AS w ON w.h = e.h AND w.k = e.k
            GROUP BY 1, 2, 3, 4, 5) AS s
        WHERE (s.switch_out < s.any_but_words) IS NOT TRUE AND s.switch_out IS NOT NULL OR (s.out < s.any_in) IS NOT TRUE AND s.out IS NOT NULL;
    INSERT INTO written
        SELECT c.h, c.t, c.mask, e.tenant, max(e.at)
        FROM component AS c JOIN heard AS e ON e.h = c.h AND e.t = c.t AND e.mask & c.mask <> 0
        WHERE e.kind IN ('write', 'out', 'in') AND NOT e.grouped
        GROUP BY 1, 2, 3, 4;
    ANALYZE holds;
    ANALYZE written;
END
$$;

/* ---- what enqueueing answers ---------------------------------------------------------------------------- */

CREATE FUNCTION pg_temp.try(tenant text, recipient text, what text, OUT answer text, OUT id bigint) LANGUAGE plpgsql AS $$
BEGIN
    id := CASE what
        WHEN 'text' THEN wa_enqueue_text(tenant, recipient, 'hola')
        WHEN 'fallback' THEN wa_enqueue_text(tenant, recipient, 'hola', fallback_template => 'oferta')
        ELSE wa_enqueue_message(tenant, recipient, what) END;
    SELECT m.status || COALESCE(' ' || q.state::text, '') || CASE what WHEN 'fallback' THEN ' ' || m.message_type ELSE '' END INTO answer
        FROM whatsapp_messages AS m LEFT JOIN whatsapp_queue AS q ON q.message_id = m.id WHERE m.id = try.id;
EXCEPTION WHEN OTHERS THEN
    answer := SQLSTATE;
END
$$;

/*
 * Somebody writes to each of those whose turn it is, under any form: one that was told, or
 * one of which nobody has heard.
 */
CREATE FUNCTION pg_temp.ask(upto integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_temp.deduce(upto);
    WITH chosen AS (
        SELECT c.h, c.t, r.slot, CASE WHEN random() < 0.3 THEN 1 ELSE 0 END AS spelling, pg_temp.one_of('panaderia', 'panaderia', 'horno', 'kiosko') AS tenant,
            pg_temp.one_of('oferta', 'oferta', 'aviso', 'desconocida', 'text', 'text', 'fallback') AS what
        FROM checkpoint AS c JOIN history AS y USING (h),
            LATERAL (
                SELECT s.slot FROM (
                    SELECT DISTINCT x.slot FROM event AS e, LATERAL (VALUES (e.phone_slot), (e.user_slot), (e.old_slot), (e.old_phone_slot), (e.other_slot)) AS x (slot)
                    WHERE e.h = c.h AND x.slot IS NOT NULL AND (NOT y.recycled OR x.slot NOT IN (10, 23)
                        /* A number has one owner at a time. */
                        OR (x.slot = 23) = EXISTS (SELECT FROM heard AS b WHERE b.h = c.h AND b.t = c.t AND b.mask & (1 << 22) <> 0))) AS s
                ORDER BY random() LIMIT 1) AS r
        WHERE c.portion = upto)
    INSERT INTO probe
        SELECT x.h, x.t, upto, x.tenant, x.slot, pg_temp.form(x.h, x.t, x.slot, x.spelling), x.what,
            CASE WHEN x.is_out_of_all AND NOT (x.what = 'text' AND x.is_closed) THEN 'skipped'
                 WHEN x.is_out AND (x.what IN ('oferta', 'desconocida') OR x.what = 'fallback' AND x.is_closed) THEN 'skipped'
                 WHEN x.what = 'text' AND x.tenant <> 'kiosko' AND x.is_closed THEN '55000'
                 ELSE CASE x.tenant WHEN 'kiosko' THEN 'queued h' ELSE 'queued r' END END
                || CASE WHEN x.what = 'fallback' THEN CASE WHEN x.is_closed THEN ' template' ELSE ' text' END ELSE '' END,
            NULL, NULL
        FROM (
            SELECT s.*, (NOT now_s - COALESCE(w.at, 0) < 86400 OR s.tenant = 'kiosko') AND NOT (s.tenant = 'kiosko' AND s.what = 'text') AS is_closed,
                EXISTS (SELECT FROM holds AS o WHERE o.h = s.h AND o.t = s.t AND o.tenant = s.tenant AND o.category = 'all' AND o.mask & pg_temp.bit(s.slot) <> 0) AS is_out_of_all,
                EXISTS (SELECT FROM holds AS o WHERE o.h = s.h AND o.t = s.t AND o.tenant = s.tenant AND o.category = 'marketing' AND o.mask & pg_temp.bit(s.slot) <> 0) AS is_out
            FROM chosen AS s
                CROSS JOIN (SELECT floor(EXTRACT(epoch FROM now()))::bigint) AS clock (now_s)
                LEFT JOIN written AS w ON w.h = s.h AND w.t = s.t AND w.tenant = s.tenant AND w.mask & pg_temp.bit(s.slot) <> 0
            /* Not of windows that close at this moment. */
            WHERE abs(now_s - COALESCE(w.at, 0) - 86400) > 600) AS x;
    UPDATE probe AS p SET answer = a.answer, message_id = a.id
        FROM (SELECT p.h, p.t, (pg_temp.try(p.tenant, p.recipient, p.what)).* FROM probe AS p WHERE p.portion = upto OFFSET 0) AS a
        WHERE p.portion = upto AND a.h = p.h AND a.t = p.t;
    INSERT INTO wrong
        SELECT 'a message is accepted, held, skipped or refused as the person wants', p.h, p.t,
            format('portion %s: %s %s to slot %s: %s, not %s', upto, p.tenant, p.what, p.slot, p.answer, p.expected)
        FROM probe AS p WHERE p.portion = upto AND p.answer IS DISTINCT FROM p.expected;
END
$$;

/* ---- in the end ------------------------------------------------------------------------------------------ */

CREATE FUNCTION pg_temp.judge(tellings integer, portions integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wa_internal_learn_identities(1000000);
    UPDATE checkpoint SET portion = portions;
    PERFORM pg_temp.deduce(portions);
    INSERT INTO wrong
        SELECT 'all of it can be used', 0, 0, p.reason || ' ' || left(p.event::text, 300) FROM whatsapp_parked_events AS p;

    TRUNCATE form_now;
    DROP TABLE IF EXISTS told_now;
    /* Every form that was told, and the other spelling of each; A's first number is B's, if B has come. */
    INSERT INTO form_now
        SELECT DISTINCT c.h, c.t, c.mask, s.slot, pg_temp.form(c.h, c.t, s.slot, spelling) AS form
        FROM component AS c JOIN history AS y USING (h), generate_series(0, 23) AS s (slot), generate_series(0, 1) AS spelling
        WHERE c.mask & pg_temp.bit(s.slot) <> 0 AND NOT (y.recycled AND s.slot = 10);
    ANALYZE form_now;
    ANALYZE whatsapp_contact_identities;
    ANALYZE whatsapp_contacts;
    ANALYZE whatsapp_opt_outs;
    ANALYZE whatsapp_windows;
    CREATE TEMP TABLE told_now AS
        SELECT f.h, f.t, f.mask, count(i.identity) = count(*) AS is_known, count(DISTINCT i.contact_id) AS contacts, count(DISTINCT i.person) AS persons,
            min(i.contact_id) AS contact_id, min(i.person) AS person
        FROM form_now AS f LEFT JOIN whatsapp_contact_identities AS i ON i.identity = f.form GROUP BY f.h, f.t, f.mask;
    INSERT INTO wrong
        SELECT 'each person is one, under every form, with one key', f.h, f.t, f::text FROM told_now AS f WHERE NOT is_known OR contacts <> 1 OR persons <> 1;
    INSERT INTO wrong
        SELECT 'different persons are different', min(f.h), min(f.t), string_agg(f::text, ' ') FROM told_now AS f GROUP BY f.contact_id HAVING count(*) > 1
        UNION ALL SELECT 'different persons are different', min(f.h), min(f.t), string_agg(f::text, ' ') FROM told_now AS f GROUP BY f.person HAVING count(*) > 1;
    INSERT INTO wrong
        SELECT 'nobody is there besides', 0, 0, c::text FROM whatsapp_contacts AS c WHERE NOT EXISTS (SELECT FROM told_now AS f WHERE f.contact_id = c.contact_id)
        UNION ALL SELECT 'nobody is there besides', 0, 0, i::text FROM whatsapp_contact_identities AS i WHERE NOT EXISTS (SELECT FROM form_now AS f WHERE f.form = i.identity);

    /* The latest of what was told with certainty: beside a user id, or as a change. */
    INSERT INTO wrong
        SELECT 'the latest number, user ID, name and user name are shown', v.h, v.t, v::text FROM (
            SELECT f.h, f.t, f.mask, c.wa_id, c.user_id, c.parent_user_id, c.name, c.username,
                max(e.phone_slot) FILTER (WHERE e.phone_slot <> 21 AND (e.kind LIKE 'change%' OR e.user_slot IS NOT NULL AND e.named AND e.kind IN ('write', 'out', 'in'))) AS phone_slot,
                max(e.user_slot) FILTER (WHERE e.kind LIKE 'change%' OR e.named AND e.kind IN ('write', 'out', 'in')) AS user_slot,
                bool_or(e.parent) AS has_parent,
                (array_agg(e.who || e.k ORDER BY e.at DESC, e.k DESC) FILTER (WHERE e.named AND e.kind IN ('write', 'out', 'in')))[1] AS said_name,
                (array_agg(e.username ORDER BY e.at DESC, e.k DESC) FILTER (WHERE e.username IS NOT NULL))[1] AS said_username,
                max(e.at) FILTER (WHERE e.username IS NOT NULL) AS said_username_at
            FROM told_now AS f JOIN whatsapp_contacts AS c USING (contact_id) JOIN event AS e ON e.h = f.h AND e.mask & f.mask <> 0
            GROUP BY f.h, f.t, f.mask, c.contact_id) AS v JOIN history AS y USING (h)
        WHERE v.phone_slot IS NOT NULL AND ('+' || v.wa_id IN (pg_temp.phone(v.h, v.t, v.phone_slot, 0), pg_temp.phone(v.h, v.t, v.phone_slot, 1))) IS NOT TRUE
            OR v.user_slot IS NOT NULL AND v.user_id IS DISTINCT FROM pg_temp.form(v.h, v.t, v.user_slot, 0)
            OR v.parent_user_id IS DISTINCT FROM CASE WHEN v.has_parent THEN pg_temp.form(v.h, v.t, 20, 0) END
            OR v.said_name IS DISTINCT FROM v.name
            OR v.username IS DISTINCT FROM CASE WHEN NOT EXISTS (
                SELECT FROM event AS o WHERE o.h = v.h AND o.mask & v.mask = 0 AND o.username = v.said_username AND o.at > v.said_username_at)
                THEN v.said_username || 't' || v.t END;

    INSERT INTO wrong
        SELECT 'who has opted out last has opted out, under every form, and nobody else', COALESCE(a.h, 0), COALESCE(a.t, 0), concat_ws(' ', a::text, b::text)
        FROM (SELECT f.h, f.t, f.slot, f.form, o.tenant, o.category, o.at FROM form_now AS f JOIN holds AS o USING (h, t, mask)) AS a
            FULL JOIN whatsapp_opt_outs AS b ON b.recipient = a.form AND b.tenant_id = a.tenant AND b.category = a.category
        WHERE a.form IS NULL OR b.recipient IS NULL OR a.at < 4000000000 AND b.created_at <> to_timestamp(a.at);
    INSERT INTO wrong
        SELECT 'the window is that of the latest message, under every form', COALESCE(a.h, 0), COALESCE(a.t, 0), concat_ws(' ', a::text, b::text)
        FROM (SELECT f.h, f.t, f.slot, f.form, pg_temp.number_of(o.tenant) AS number, o.at FROM form_now AS f JOIN written AS o USING (h, t, mask)) AS a
            FULL JOIN whatsapp_windows AS b ON b.recipient = a.form AND b.phone_number_id = a.number
        WHERE b.last_inbound_at IS DISTINCT FROM to_timestamp(a.at);
END
$$;

/*
 * What becomes of the messages that were accepted on the way, if they are to leave now: skipped,
 * failed (the window has closed), held, or sent.
 */
CREATE FUNCTION pg_temp.becomes() RETURNS TABLE (h integer, t integer, message_id bigint, what text, outcome text) LANGUAGE sql AS $$
    SELECT p.h, p.t, p.message_id, p.what,
        CASE WHEN p.answer LIKE 'skipped%' OR x.out_of_all OR x.out AND (p.what IN ('oferta', 'desconocida')
                  OR p.what = 'fallback' AND (p.answer LIKE '%template' OR NOT x.is_open)) THEN 'skipped'
             WHEN p.tenant = 'kiosko' THEN 'held'
             WHEN p.what = 'text' AND NOT x.is_open THEN 'failed' ELSE 'sent' END
    FROM probe AS p
        CROSS JOIN LATERAL (
            SELECT COALESCE(bool_or(o.category = 'all'), false) AS out_of_all, COALESCE(bool_or(o.category = 'marketing'), false) AS out,
                COALESCE((SELECT EXTRACT(epoch FROM now()) - max(w.at) < 86400 FROM form_now AS f JOIN written AS w USING (h, t, mask)
                          WHERE f.form = p.recipient AND w.tenant = p.tenant), false) AS is_open
            FROM form_now AS f JOIN holds AS o USING (h, t, mask) WHERE f.form = p.recipient AND o.tenant = p.tenant) AS x
    WHERE p.message_id IS NOT NULL AND p.answer = p.expected
$$;

/* What a sender takes out of the queue when somebody has opted out. */
CREATE FUNCTION pg_temp.sweep() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    place bigint := 0;
BEGIN
    LOOP
        place := wa_internal_skip_opted_out(place, 1000);
        EXIT WHEN place IS NULL;
    END LOOP;
    /* It does not look at windows: what waits with a fallback is a text to it. */
    INSERT INTO wrong
        SELECT 'no message begins for a person after an opt-out, and none is lost', b.h, b.t, b::text || ' ' || m.status
        FROM pg_temp.becomes() AS b JOIN whatsapp_messages AS m ON m.id = b.message_id
        WHERE (m.status = 'skipped') <> (b.outcome = 'skipped') AND (b.what <> 'fallback' OR m.status = 'skipped');
END
$$;

/* ---- all of it ---------------------------------------------------------------------------------------------- */

CREATE FUNCTION pg_temp.prepare() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wa_assign_phone('panaderia', '100000000000001'), wa_assign_phone('horno', '100000000000002');
    INSERT INTO whatsapp_tenants (tenant_id) VALUES ('kiosko');
    /* Whether another application has the conversation is a matter of webhook_standby.sql. */
    PERFORM wa_configure_tenant(t.tenant_id, on_thread => 'take_over') FROM whatsapp_tenants AS t;
    UPDATE whatsapp_phone_assignments SET assigned_at = now() - interval '30 days';
    PERFORM wa_register_template('oferta', 'es', '[{"type": "BODY", "text": "Oferta."}]', 'MARKETING'),
        wa_register_template('aviso', 'es', '[{"type": "BODY", "text": "Aviso."}]', 'UTILITY'),
        wa_register_template('desconocida', 'es', '[{"type": "BODY", "text": "?"}]', 'UTILITY');
    UPDATE whatsapp_templates SET category = 'UNKNOWN' WHERE name = 'desconocida';
    /* Texts are taken for granted as long as nobody has ever written. */
    INSERT INTO whatsapp_windows VALUES ('100000000000001', '+34999999999', now());
END
$$;

CREATE PROCEDURE pg_temp.tell_histories(histories integer, tellings integer, most_events integer, commits boolean) LANGUAGE plpgsql AS $$
DECLARE
    portions integer;
BEGIN
    PERFORM pg_temp.invent(histories, most_events);
    portions := GREATEST(4, (SELECT count(*) FROM event) * tellings / 250);
    PERFORM pg_temp.arrange(tellings, portions);
    FOR n IN 0 .. portions LOOP
        IF commits THEN
            COMMIT;
        END IF;
        PERFORM pg_temp.learn(n);
        PERFORM pg_temp.post_portion(n);
        PERFORM pg_temp.call_api(n);
        PERFORM wa_internal_learn_identities(1000000);
        PERFORM pg_temp.ask(n);
    END LOOP;
    DELETE FROM whatsapp_windows WHERE recipient = '+34999999999';
    PERFORM pg_temp.judge(tellings, portions);
    INSERT INTO told SELECT histories, histories * tellings, (SELECT count(*) FROM told_event), portions, (SELECT count(*) FROM probe);
END
$$;
