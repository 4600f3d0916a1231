/*
 * wa_health(): all its checks in order, and those of them that look at more than
 * sending: what has failed, what piles up, and what of the server endangers it.
 *
 * It is asked by people in a hurry and by machines every minute, so no check reads a
 * large table as a whole: samples and limits keep each to some milliseconds.  And no
 * check takes the others with it: one that fails is a line that says so.  They read
 * catalogs that everybody may read, so that the owner need not be a superuser.
 */

/* ---- samples -------------------------------------------------------------------- */

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

/* ---- what has failed ---------------------------------------------------------------- */

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

/* ---- what Meta has never confirmed --------------------------------------------------- */

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

/* ---- what piles up ------------------------------------------------------------------- */

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

/* ---- the server --------------------------------------------------------------------- */

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

/* ---- other nodes ---------------------------------------------------------------------- */

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

/* ---- names that an upgrade of the system may have taken away ------------------------- */

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

/* ---- all of it ------------------------------------------------------------------------ */

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

CREATE FUNCTION @extschema@.wa_health()
RETURNS TABLE (item text, state text, detail text, remedy text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT h.item, h.state, h.detail, h.remedy FROM @extschema@.wa_internal_health() AS h
$$;
COMMENT ON FUNCTION @extschema@.wa_health() IS
'Checks the whole installation: one row for each item with ok, warning or error, what was found, and what to do. It '
'reads no large table as a whole, and never fails: a check that cannot be made is a row that says so.';
