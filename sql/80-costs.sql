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
        CONSTRAINT whatsapp_prices_price_check CHECK (price >= 0),
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
COMMENT ON COLUMN @extschema@.whatsapp_prices.category IS 'marketing, utility, authentication or service.';
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
 * Messages are deleted after some time, costs are asked for after years: so
 * what was delivered on a day is summed up once no webhook can change it.
 */
CREATE TABLE @extschema@.whatsapp_usage_days (
    day             date NOT NULL,
    tenant_id       text COLLATE "C" NOT NULL,
    phone_number_id text COLLATE "C" NOT NULL,
    market          text NOT NULL,
    category        text NOT NULL,
    free            boolean NOT NULL,
    messages        bigint NOT NULL,
    PRIMARY KEY (day, tenant_id, phone_number_id, market, category, free)
);
COMMENT ON TABLE @extschema@.whatsapp_usage_days IS
'Delivered messages by day, for the days that are closed. wa_costs adds the days that are still open.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_days.day IS 'The day, in the account''s time zone.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_days.tenant_id IS 'The tenant.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_days.phone_number_id IS 'The number that the messages were sent from.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_days.market IS 'The market of the recipients.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_days.category IS 'The category charged.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_days.free IS 'Whether Meta reported the messages as free.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_days.messages IS 'How many were delivered.';

CREATE TABLE @extschema@.whatsapp_usage_closed (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    through   date NOT NULL,
    time_zone text NOT NULL DEFAULT pg_catalog.current_setting('TimeZone')
        CONSTRAINT whatsapp_usage_closed_time_zone_check
        CHECK (('2000-01-01 00:00:00Z'::timestamptz AT TIME ZONE time_zone) IS NOT NULL)
);
COMMENT ON TABLE @extschema@.whatsapp_usage_closed IS
'One row: the last day that is summed up in whatsapp_usage_days, and the time zone of its days.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_closed.singleton IS 'Always true: the table has one row.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_closed.through IS 'The last day that is summed up.';
COMMENT ON COLUMN @extschema@.whatsapp_usage_closed.time_zone IS
'The account''s time zone at Meta, in which wa_costs counts days and months. Initially that of the session that ran '
'CREATE EXTENSION.';

INSERT INTO @extschema@.whatsapp_usage_closed (through) VALUES (current_date - 9);

/*
 * The days that a message belongs to are looked for within a month of when it
 * was written or meant for.  What was held or paused for longer is noted here
 * when it is delivered, until its day is closed.
 */
CREATE TABLE @extschema@.whatsapp_late_deliveries (
    message_id bigint PRIMARY KEY,
    noted_at   timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE @extschema@.whatsapp_late_deliveries IS
'Messages delivered 30 days or more after they were due, for wa_costs. Internal.';

/* Delivered messages as the price list sees them. */
CREATE VIEW @extschema@.wa_delivered_messages AS
    SELECT m.id, m.created_at, m.scheduled_at,
        (COALESCE(m.delivered_at, m.read_at, m.played_at)
            AT TIME ZONE (SELECT c.time_zone FROM @extschema@.whatsapp_usage_closed AS c))::date AS day,
        m.tenant_id,
        COALESCE(m.phone_number_id, '') AS phone_number_id,
        COALESCE((
            SELECT k.market FROM @extschema@.whatsapp_markets AS k
            WHERE pg_catalog.starts_with(m.recipient_phone, '+' || k.calling_code)
                OR m.recipient_phone IS NULL AND k.country = pg_catalog.split_part(m.recipient_user_id, '.', 1)
            ORDER BY pg_catalog.length(k.calling_code) DESC LIMIT 1), 'other') AS market,
        COALESCE(m.pricing_category, 'unknown') AS category,
        COALESCE(m.billable = false OR m.pricing_type LIKE 'free%', false) AS free
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
 * Closes the next day, if one is old enough: Meta repeats webhooks for seven
 * days.  It tries to deliver for 30, so that is how far back the time mostly lies
 * for which a message was meant; a day or two more, because days do not begin
 * alike.
 */
CREATE FUNCTION @extschema@.wa_internal_close_usage_day() RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    next date;
BEGIN
    SELECT c.through + 1 INTO next FROM @extschema@.whatsapp_usage_closed AS c
        WHERE c.through + 1 < (now() AT TIME ZONE c.time_zone)::date - 8 FOR UPDATE SKIP LOCKED;
    IF next IS NULL THEN
        RETURN false;
    END IF;
    INSERT INTO @extschema@.whatsapp_usage_days (day, tenant_id, phone_number_id, market, category, free, messages)
        SELECT d.day, d.tenant_id, d.phone_number_id, d.market, d.category, d.free, count(*)
        FROM @extschema@.wa_delivered_messages AS d
        WHERE d.day = next AND (d.created_at BETWEEN next - 32 AND next + 2
            OR d.scheduled_at BETWEEN next - 32 AND next + 2 AND d.scheduled_at > d.created_at
            OR d.id = ANY (ARRAY(SELECT l.message_id FROM @extschema@.whatsapp_late_deliveries AS l)))
        GROUP BY 1, 2, 3, 4, 5, 6
        ON CONFLICT DO NOTHING;
    DELETE FROM @extschema@.whatsapp_late_deliveries AS l WHERE l.noted_at < next - 3;
    UPDATE @extschema@.whatsapp_usage_closed SET through = next;
    RETURN true;
END
$$;

/*
 * The free part of a month is the number's, so tenants that share a number
 * share it in proportion.  Each day is priced by the list of that day.
 */
CREATE VIEW @extschema@.wa_costs AS
    WITH usage AS (
        SELECT u.day, u.tenant_id, u.phone_number_id, u.market, u.category, u.free, u.messages
        FROM @extschema@.whatsapp_usage_days AS u
        UNION ALL
        SELECT d.day, d.tenant_id, d.phone_number_id, d.market, d.category, d.free, pg_catalog.count(*)
        FROM @extschema@.wa_delivered_messages AS d
        WHERE d.day > (SELECT c.through FROM @extschema@.whatsapp_usage_closed AS c)
            AND (d.created_at >= (SELECT c.through - 32 FROM @extschema@.whatsapp_usage_closed AS c)
                OR d.scheduled_at >= (SELECT c.through - 32 FROM @extschema@.whatsapp_usage_closed AS c)
                    AND d.scheduled_at > d.created_at
                OR d.id = ANY (ARRAY(SELECT l.message_id FROM @extschema@.whatsapp_late_deliveries AS l)))
        GROUP BY 1, 2, 3, 4, 5, 6
    ), priced AS (
        SELECT u.*, pg_catalog.date_trunc('month', u.day::timestamp)::date AS month,
            p.currency, p.price, p.estimated, p.free_per_number,
            CASE WHEN u.free THEN 0 ELSE u.messages END AS regular
        FROM usage AS u
            LEFT JOIN LATERAL (
                SELECT DISTINCT ON (p.currency) p.*
                FROM @extschema@.whatsapp_prices AS p
                WHERE p.market = u.market AND p.category = u.category AND p.valid_from <= u.day
                ORDER BY p.currency, p.valid_from DESC) AS p ON true
    ), charged AS (
        SELECT p.*,
            /* Of what is not free by Meta's word: the part beyond the allowance. */
            p.regular * CASE WHEN p.free_per_number > 0 THEN
                GREATEST(0, pg_catalog.sum(p.messages) OVER w - p.free_per_number)
                / NULLIF(GREATEST(pg_catalog.sum(p.regular) OVER w, 1), 0) ELSE 1 END AS raw_charged
        FROM priced AS p
        WINDOW w AS (PARTITION BY p.phone_number_id, p.month, p.category, p.currency)
    )
    SELECT c.tenant_id, c.month, c.category, c.currency,
        pg_catalog.sum(c.messages)::bigint AS delivered,
        pg_catalog.round(pg_catalog.sum(LEAST(c.raw_charged, c.regular)), 2) AS charged,
        pg_catalog.round(pg_catalog.sum(LEAST(c.raw_charged, c.regular) * c.price), 4) AS cost,
        COALESCE(pg_catalog.bool_or(c.estimated), false) AS price_estimated,
        pg_catalog.round(pg_catalog.sum(LEAST(c.raw_charged, c.regular) * c.price)
            * CASE WHEN c.month = pg_catalog.date_trunc('month', t.today::timestamp)::date
                   THEN EXTRACT(day FROM c.month + interval '1 month' - interval '1 day')
                       / EXTRACT(day FROM t.today)
                   ELSE 1 END, 2) AS month_estimate
    FROM charged AS c
        CROSS JOIN (
            SELECT (pg_catalog.now() AT TIME ZONE z.time_zone)::date AS today
            FROM @extschema@.whatsapp_usage_closed AS z) AS t
    GROUP BY c.tenant_id, c.month, c.category, c.currency, t.today;
COMMENT ON VIEW @extschema@.wa_costs IS
'Delivered messages and their cost, by tenant, month, category and currency. There is one row for each currency of '
'the price list, so choose one. cost is NULL if whatsapp_prices has no price; month_estimate projects the current '
'month. Our own calculation, not Meta''s invoice.';
COMMENT ON COLUMN @extschema@.wa_costs.tenant_id IS 'The tenant.';
COMMENT ON COLUMN @extschema@.wa_costs.month IS 'First day of the month.';
COMMENT ON COLUMN @extschema@.wa_costs.category IS 'The category charged.';
COMMENT ON COLUMN @extschema@.wa_costs.currency IS 'Currency of the price; NULL: the list has no price.';
COMMENT ON COLUMN @extschema@.wa_costs.delivered IS 'Messages delivered.';
COMMENT ON COLUMN @extschema@.wa_costs.charged IS 'Messages that are charged, after free ones and the allowance.';
COMMENT ON COLUMN @extschema@.wa_costs.cost IS 'What they cost.';
COMMENT ON COLUMN @extschema@.wa_costs.price_estimated IS 'Whether a price was converted from another currency.';
COMMENT ON COLUMN @extschema@.wa_costs.month_estimate IS 'The cost projected to the whole month.';
