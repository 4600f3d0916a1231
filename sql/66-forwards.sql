/*
 * Webhooks of other nodes' numbers, on their way there: 18-nodes says who has what.
 *
 * A webhook that has something for another node leaves a row for each change here, in
 * the transaction that takes in the rest (webhook/forward.c); so Meta's 200 covers it.
 * Sender 0 delivers them (sender/forward.c): what is taken is deleted.  A node gets its
 * rows in the order in which they came, in two lines of which neither waits for the
 * other: statuses, and everything else, which may call handlers over there.  What a
 * node refuses again and again is put off by itself, and the others pass it.
 *
 * Nobody but the owner and administrators reads what waits: it is what customers wrote.
 */
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

/* ---- for the sender ------------------------------------------------------------------- */

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

/* ---- for people ------------------------------------------------------------------------ */

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

/* ---- by the clock --------------------------------------------------------------------- */

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
