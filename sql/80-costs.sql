/*
 * What messages cost.
 *
 * Meta charges each delivered message by category and by the market that the
 * recipient's calling code belongs to, and says in the statuses which category
 * it was and whether it was free.  The price itself it publishes as a table;
 * this one is the operator's to keep.  The result is an account of our own,
 * not an invoice: volume tiers, taxes and rounding are Meta's.
 */

CREATE TABLE @extschema@.whatsapp_markets (
    calling_code text COLLATE "C" PRIMARY KEY
        CONSTRAINT whatsapp_markets_calling_code_check CHECK (calling_code ~ '^[1-9][0-9]{0,6}$'),
    country      text COLLATE "C"
        CONSTRAINT whatsapp_markets_country_check CHECK (country ~ '^[A-Z]{2}$'),
    market       text NOT NULL
);

INSERT INTO @extschema@.whatsapp_markets (calling_code, country, market) VALUES ('34', 'ES', 'Spain');
COMMENT ON TABLE @extschema@.whatsapp_markets IS
'Which market of the price list a recipient belongs to: by the longest matching calling code, or by the country of a '
'business-scoped user ID.';
COMMENT ON COLUMN @extschema@.whatsapp_markets.calling_code IS
'Country calling code, or the beginning of a number, without +.';
COMMENT ON COLUMN @extschema@.whatsapp_markets.country IS 'ISO country code, for recipients known by user ID only.';
COMMENT ON COLUMN @extschema@.whatsapp_markets.market IS 'The market of the price list.';

CREATE TABLE @extschema@.whatsapp_prices (
    market     text NOT NULL,
    category   text NOT NULL,
    currency   text NOT NULL
        CONSTRAINT whatsapp_prices_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    price      numeric NOT NULL
        CONSTRAINT whatsapp_prices_price_check CHECK (price >= 0 AND price < 'Infinity'),
    valid_from date NOT NULL,
    free_per_number integer NOT NULL DEFAULT 0
        CONSTRAINT whatsapp_prices_free_check CHECK (free_per_number >= 0),
    estimated  boolean NOT NULL DEFAULT false,
    source     text,
    PRIMARY KEY (market, category, currency, valid_from)
);
COMMENT ON TABLE @extschema@.whatsapp_prices IS
'Price of one delivered message by market and category, from a day on until the next entry. Shipped with values for '
'Spain; replace them with Meta''s rate card for your account.';
COMMENT ON COLUMN @extschema@.whatsapp_prices.market IS 'The market, as in whatsapp_markets, or other.';
COMMENT ON COLUMN @extschema@.whatsapp_prices.category IS
'As in Meta''s statuses: marketing, utility, authentication, authentication_international (also with a hyphen) or '
'service. marketing_lite costs what marketing does unless it has an entry of its own; referral_conversion is free.';
COMMENT ON COLUMN @extschema@.whatsapp_prices.currency IS 'ISO currency code.';
COMMENT ON COLUMN @extschema@.whatsapp_prices.price IS 'Price of one delivered message.';
COMMENT ON COLUMN @extschema@.whatsapp_prices.valid_from IS 'First day on which the price applies.';
COMMENT ON COLUMN @extschema@.whatsapp_prices.free_per_number IS
'How many messages a calendar month are free for each phone number.';
COMMENT ON COLUMN @extschema@.whatsapp_prices.estimated IS
'True: converted from another currency, not from a rate card.';
COMMENT ON COLUMN @extschema@.whatsapp_prices.source IS 'Where the price is from.';

INSERT INTO @extschema@.whatsapp_prices
    (market, category, currency, price, valid_from, free_per_number, estimated, source) VALUES
    ('Spain', 'marketing', 'USD', 0.0615, '2025-07-01', 0, false, 'transcription of Meta''s rate card'),
    ('Spain', 'marketing', 'USD', 0.0707, '2026-07-01', 0, false, 'transcription of Meta''s rate card'),
    ('Spain', 'utility', 'USD', 0.0200, '2026-10-01', 0, false, 'transcription of Meta''s rate card, first tier'),
    ('Spain', 'authentication', 'USD', 0.0200, '2026-10-01', 0, false,
     'transcription of Meta''s rate card, first tier'),
    ('Spain', 'service', 'USD', 0, '2025-07-01', 0, false, 'free before October 2026'),
    ('Spain', 'service', 'USD', 0.0200, '2026-10-01', 1000, false, 'transcription of Meta''s rate card'),
    ('Spain', 'marketing', 'EUR', 0.0585, '2026-07-01', 0, true, 'converted from USD'),
    ('Spain', 'utility', 'EUR', 0.0166, '2026-10-01', 0, true, 'converted from USD, first tier'),
    ('Spain', 'authentication', 'EUR', 0.0166, '2026-10-01', 0, true, 'converted from USD, first tier'),
    ('Spain', 'service', 'EUR', 0, '2025-07-01', 0, false, 'free before October 2026'),
    ('Spain', 'service', 'EUR', 0.0166, '2026-10-01', 1000, true, 'converted from USD');

/*
 * Messages are deleted after some time, and costs are asked for after years.  So what
 * was delivered is summed up by day.  A status that makes a message delivered, or
 * changes its day, category or being free, appends one row with +1, and one with -1 for
 * what was counted before; upkeep adds them to the days.  A sum is the same in any order, so
 * no day is ever closed, and what is corrected late is neither lost nor counted twice.
 */
CREATE TABLE @extschema@.whatsapp_usage_days (
    day             date NOT NULL,
    tenant_id       text COLLATE "C" NOT NULL,
    phone_number_id text COLLATE "C" NOT NULL,
    market          text NOT NULL,
    category        text NOT NULL,
    free            boolean NOT NULL,
    messages        bigint NOT NULL,
    month           date GENERATED ALWAYS AS ((pg_catalog.date_trunc('month', day::timestamp))::date) STORED,
    PRIMARY KEY (day, tenant_id, phone_number_id, market, category, free)
);
CREATE INDEX whatsapp_usage_days_tenant_idx ON @extschema@.whatsapp_usage_days (tenant_id, month);
CREATE INDEX whatsapp_usage_days_number_idx ON @extschema@.whatsapp_usage_days (phone_number_id, month);
COMMENT ON TABLE @extschema@.whatsapp_usage_days IS
'Delivered messages by day, without what is still in whatsapp_usage_changes.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_days.day IS 'The day, in the account''s time zone.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_days.tenant_id IS 'The tenant.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_days.phone_number_id IS 'The number that the messages were sent from.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_days.market IS 'The market of the recipients.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_days.category IS 'The category charged.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_days.free IS 'Whether Meta reported the messages as free.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_days.messages IS 'How many were delivered.';
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

CREATE TABLE @extschema@.whatsapp_usage_closed (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    through   date NOT NULL,
    time_zone text NOT NULL DEFAULT pg_catalog.current_setting('TimeZone')
);
COMMENT ON TABLE @extschema@.whatsapp_usage_closed IS
'One row: the time zone of the days in whatsapp_usage_days.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_closed.singleton IS 'Always true: the table has one row.';
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

INSERT INTO @extschema@.whatsapp_usage_closed (through) VALUES (current_date - 9);

/*
 * To count anew, the messages of a day are looked for within a month of when they
 * were written or meant for.  What was held or paused for longer is noted here
 * when it is delivered.
 */
CREATE TABLE @extschema@.whatsapp_late_deliveries (
    message_id bigint PRIMARY KEY,
    noted_at   timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE @extschema@.whatsapp_late_deliveries IS
'Messages delivered 30 days or more after they were due, for wa_costs. Internal.';

CREATE FUNCTION @extschema@.wa_internal_is_free(billable boolean, pricing_type text, category text) RETURNS boolean
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_is_free';
COMMENT ON FUNCTION @extschema@.wa_internal_is_free(boolean, text, text) IS
'Whether Meta does not charge a message, by what its statuses say. Internal.';

/* Delivered messages as the price list sees them. */
CREATE VIEW @extschema@.wa_delivered_messages AS
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
COMMENT ON VIEW @extschema@.wa_delivered_messages IS
'Each delivered message with the day, market and category it is charged under. Query it with a range of created_at, '
'the same range of scheduled_at, and the IDs in whatsapp_late_deliveries: only these are indexed.';
COMMENT ON COLUMN @extschema@.wa_delivered_messages.id IS 'The message.';
COMMENT ON COLUMN @extschema@.wa_delivered_messages.created_at IS 'When it was enqueued.';
COMMENT ON COLUMN @extschema@.wa_delivered_messages.scheduled_at IS 'When it was meant to be sent.';
COMMENT ON COLUMN @extschema@.wa_delivered_messages.day IS 'The day of delivery, in the account''s time zone.';
COMMENT ON COLUMN @extschema@.wa_delivered_messages.tenant_id IS 'The tenant.';
COMMENT ON COLUMN @extschema@.wa_delivered_messages.phone_number_id IS 'The number that it was sent from.';
COMMENT ON COLUMN @extschema@.wa_delivered_messages.market IS 'The recipient''s market.';
COMMENT ON COLUMN @extschema@.wa_delivered_messages.category IS 'The category charged.';
COMMENT ON COLUMN @extschema@.wa_delivered_messages.free IS 'Whether Meta reported it as free.';

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
CREATE VIEW @extschema@.wa_costs AS
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
COMMENT ON COLUMN @extschema@.wa_costs.tenant_id IS 'The tenant.';
COMMENT ON COLUMN @extschema@.wa_costs.month IS 'First day of the month.';
COMMENT ON COLUMN @extschema@.wa_costs.category IS 'The category charged.';
COMMENT ON COLUMN @extschema@.wa_costs.currency IS 'Currency of the price; NULL: the list has no price.';
COMMENT ON COLUMN @extschema@.wa_costs.delivered IS 'Messages delivered.';
COMMENT ON COLUMN @extschema@.wa_costs.charged IS 'Messages that are charged, after free ones and the allowance.';
COMMENT ON COLUMN @extschema@.wa_costs.cost IS 'What they cost.';
COMMENT ON COLUMN @extschema@.wa_costs.price_estimated IS
'Whether a price was converted from another currency, or is that of marketing for marketing_lite.';
COMMENT ON COLUMN @extschema@.wa_costs.month_estimate IS 'The cost projected to the whole month.';
COMMENT ON COLUMN @extschema@.wa_costs.unpriced IS 'Messages that are charged and have no price here.';
