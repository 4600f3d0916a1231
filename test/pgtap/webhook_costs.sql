/*
 * What messages cost, and whether webhooks tell of what was sent.
 */
\ir ../lib/begin.sql
\ir ../lib/webhook.sql
SELECT plan(64);

/* Meta says of these messages that they were delivered at noon of this day, and what they cost. */
CREATE FUNCTION pg_temp.told(day date, category text, free boolean, VARIADIC ids bigint[]) RETURNS void LANGUAGE sql AS $$
    SELECT pg_temp.post_statuses(VARIADIC array_agg(pg_temp.status('wamid.c' || id, 'delivered', EXTRACT(epoch FROM day + time '12:00')::bigint, pg_temp.data(id),
        CASE WHEN category IS NULL THEN '{}' ELSE jsonb_build_object('pricing', jsonb_build_object('category', category, 'billable', NOT free,
            'type', CASE WHEN free THEN 'free_customer_service' ELSE 'regular' END)) END) - 'recipient_id'))
    FROM unnest(ids) AS u (id)
$$;
/* Delivered messages of a day; the price list of these tests is their own. */
DELETE FROM whatsapp_prices;
DELETE FROM whatsapp_markets;
INSERT INTO whatsapp_markets VALUES ('34', 'ES', 'Spain'), ('351', 'PT', 'Portugal'), ('3', NULL, 'Rest');
INSERT INTO whatsapp_prices (market, category, currency, price, valid_from, free_per_number, estimated) VALUES
    ('Spain', 'utility', 'EUR', 0.01, '2020-01-01', 0, false), ('Spain', 'utility', 'EUR', 0.02, date_trunc('month', now()), 0, true),
    ('Spain', 'utility', 'USD', 0.03, '2020-01-01', 0, false), ('Portugal', 'utility', 'EUR', 0.5, '2020-01-01', 0, false),
    ('Spain', 'service', 'EUR', 1, '2020-01-01', 10, false);
CREATE FUNCTION pg_temp.deliver(n integer, day date, category text, phone text DEFAULT '+34600000001', tenant text DEFAULT 'panaderia', free boolean DEFAULT false,
    number text DEFAULT '100000000000001', usr text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    WITH m AS (
        INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, recipient_user_id, message_type, payload, status, attempts, created_at, accepted_at)
        SELECT tenant, number, phone, usr, 'text', '{}', 'accepted', 1, day, day FROM generate_series(1, n) RETURNING id)
    SELECT pg_temp.told(day, category, free, VARIADIC array_agg(id)) FROM m
$$;
/* The sums in the tables against the sum over the messages: what is counted and is not there, or the other way round. */
CREATE FUNCTION pg_temp.difference() RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM (
        SELECT day, tenant_id, phone_number_id, market, category, free, sum(messages) FROM (
            SELECT day, tenant_id, phone_number_id, market, category, free, messages FROM wa_internal_usage
            UNION ALL SELECT day, tenant_id, phone_number_id, market, category, free, -1 FROM wa_delivered_messages) AS v
        GROUP BY 1, 2, 3, 4, 5, 6 HAVING sum(messages) <> 0) AS d
$$;
CREATE FUNCTION pg_temp.costs(currency text DEFAULT 'EUR', tenant text DEFAULT 'panaderia') RETURNS text LANGUAGE sql AS $$
    SELECT COALESCE(string_agg(concat_ws(' ', CASE WHEN month = date_trunc('month', now()) THEN 'now' ELSE 'before' END, category, delivered, trim_scale(charged), trim_scale(cost), CASE WHEN price_estimated THEN '~' END), ', ' ORDER BY month, category), 'none')
    FROM wa_costs AS c WHERE (c.currency = $1 OR c.currency IS NULL) AND tenant_id = $2
$$;
SELECT date_trunc('month', now())::date AS month \gset
SELECT is(pg_temp.costs(), 'none', 'nothing was delivered');

/* ---- prices ---- */

SELECT pg_temp.deliver(5, :'month', 'utility') \g /dev/null
SELECT is(pg_temp.costs(), 'now utility 5 5 0.1 ~', 'five at the price of today, which is an estimate');
SELECT is(pg_temp.costs('USD'), 'now utility 5 5 0.15', 'the same in dollars');
SELECT pg_temp.deliver(2, :'month'::date - 3, 'utility') \g /dev/null
SELECT is(pg_temp.costs(), 'before utility 2 2 0.02, now utility 5 5 0.1 ~', 'two at the price of last month');
SELECT pg_temp.deliver(3, :'month', 'utility', free => true) \g /dev/null
SELECT is(pg_temp.costs(), 'before utility 2 2 0.02, now utility 8 5 0.1 ~', 'what Meta says is free is free');
SELECT pg_temp.deliver(1, :'month', 'utility', '+351900000001', 'pasteleria') \g /dev/null
SELECT is(pg_temp.costs('EUR', 'pasteleria'), 'now utility 1 1 0.5', 'the longest calling code decides on the market');
SELECT pg_temp.deliver(1, :'month', 'utility', NULL, 'obrador', usr => 'ES.7001234567890123') \g /dev/null
SELECT is(pg_temp.costs('EUR', 'obrador'), 'now utility 1 1 0.02 ~', 'or the country of the user id');
SELECT pg_temp.deliver(4, :'month', 'marketing', tenant => 'cafe') \g /dev/null
SELECT is(pg_temp.costs('EUR', 'cafe'), 'now marketing 4 4', 'no price, no cost, but counted');
SELECT pg_temp.deliver(1, :'month', NULL, tenant => 'bar') \g /dev/null
SELECT is(pg_temp.costs('EUR', 'bar'), 'now unknown 1 1', 'delivered without a word about the price');
INSERT INTO whatsapp_messages (tenant_id, recipient_phone, message_type, payload, status, pricing_category) VALUES ('fonda', '+34600000001', 'text', '{}', 'sent', 'utility');
SELECT is(pg_temp.costs('EUR', 'fonda'), 'none', 'what is not delivered costs nothing');

/* ---- the free part of a month ---- */

SELECT pg_temp.deliver(8, :'month', 'service', tenant => 'a', number => '9') \g /dev/null
SELECT is(pg_temp.costs('EUR', 'a'), 'now service 8 0 0', 'eight of ten free ones');
SELECT pg_temp.deliver(8, :'month', 'service', tenant => 'a', number => '8') \g /dev/null
SELECT is(pg_temp.costs('EUR', 'a'), 'now service 16 0 0', 'eight more from another number');
SELECT pg_temp.deliver(7, :'month', 'service', tenant => 'a', number => '9') \g /dev/null
SELECT is(pg_temp.costs('EUR', 'a'), 'now service 23 5 5', 'fifteen are five too many');
SELECT pg_temp.deliver(5, :'month', 'service', tenant => 'b', number => '9') \g /dev/null
SELECT is(pg_temp.costs('EUR', 'a') || '; ' || pg_temp.costs('EUR', 'b'), 'now service 23 7.5 7.5; now service 5 2.5 2.5', 'tenants of one number share the free ones');
SELECT pg_temp.deliver(9, :'month', 'service', tenant => 'c', number => '7', free => true) \g /dev/null
SELECT pg_temp.deliver(3, :'month', 'service', tenant => 'c', number => '7') \g /dev/null
SELECT is(pg_temp.costs('EUR', 'c'), 'now service 12 2 2', 'those that Meta says are free use it up');
SELECT is((SELECT month_estimate FROM wa_costs WHERE tenant_id = 'a'),
    round(7.5 * EXTRACT(day FROM :'month'::date + interval '1 month' - interval '1 day') / EXTRACT(day FROM current_date), 2), 'the running month is projected by its days');

/* ---- sums ---- */

SELECT is(pg_temp.difference(), 0::bigint, 'the sums are those of the messages');
SELECT string_agg(c::text, ' ' ORDER BY c) AS before FROM wa_costs AS c \gset
SELECT count(*) AS changes FROM whatsapp_usage_changes \gset
SELECT is(wa_internal_fold_usage(3), 3::bigint, 'some are added to the days');
SELECT is((SELECT string_agg(c::text, ' ' ORDER BY c) FROM wa_costs AS c), :'before', 'which changes no cost');
SELECT is(wa_internal_fold_usage(100000), :changes::bigint - 3, 'and then the rest');
SELECT is((SELECT string_agg(c::text, ' ' ORDER BY c) FROM wa_costs AS c), :'before', 'with the same costs');
SELECT is(wa_internal_fold_usage(100000), 0::bigint, 'once');
SELECT is(pg_temp.difference(), 0::bigint, 'the sums are still those of the messages');

SELECT pg_temp.deliver(6, current_date - 20, 'utility', tenant => 'old') \g /dev/null
SELECT pg_temp.costs('EUR', 'old') AS old \gset
SELECT pg_temp.post_statuses(VARIADIC array_agg(pg_temp.status(whatsapp_message_id, 'read', EXTRACT(epoch FROM delivered_at)::bigint + 60))) FROM whatsapp_messages WHERE tenant_id = 'old' \g /dev/null
SELECT is(pg_temp.costs('EUR', 'old'), :'old', 'being read costs nothing more');
SELECT array_agg(id) AS ids FROM whatsapp_messages WHERE tenant_id = 'old' \gset
SELECT pg_temp.told(current_date - 20, 'service', true, VARIADIC :'ids') \g /dev/null
SELECT wa_internal_fold_usage(100000) \g /dev/null
SELECT is(pg_temp.difference(), 0::bigint, 'what Meta says later, of another category and free, is neither lost nor counted twice');
SELECT pg_temp.told(current_date - 21, 'service', true, VARIADIC :'ids') \g /dev/null
SELECT is(pg_temp.difference(), 0::bigint, 'nor an earlier time, of another day');
SELECT pg_temp.costs('EUR', 'old') AS old \gset
SELECT is(:'old' LIKE '%service 6 0 0', true, 'which is what it costs then');
DELETE FROM whatsapp_messages WHERE tenant_id = 'old';
SELECT is(pg_temp.costs('EUR', 'old'), :'old', 'costs outlive the messages');
SELECT throws_ok(format('SELECT wa_recount_costs(%L)', current_date - 400), '22023', NULL, 'so what may be gone cannot be counted anew');
SELECT throws_ok($$INSERT INTO whatsapp_prices VALUES ('Spain', 'MARKETING', 'EUR', 'NaN', current_date)$$, '23514', NULL, 'a price is a number');
SELECT throws_ok('SELECT wa_recount_costs(NULL)', '22004', '"since" must be a day', 'nor from no day');
INSERT INTO whatsapp_markets VALUES ('346', NULL, 'Mobile');
SELECT is(wa_recount_costs((SELECT min(created_at)::date FROM whatsapp_messages)) > 0, true, 'or of what is still there');
DELETE FROM whatsapp_markets WHERE calling_code = '346';
SELECT wa_recount_costs((SELECT min(created_at)::date FROM whatsapp_messages)) \g /dev/null
SELECT is(wa_recount_costs((SELECT min(created_at)::date FROM whatsapp_messages)), 0::bigint, 'twice is once');

/* ---- where days begin ---- */

INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, message_type, payload, status, created_at, reference)
    SELECT 'midnight', '6', '+34600000001', 'text', '{}', 'accepted', at, 'new'
    FROM (VALUES ((current_date - 9 + time '23:30') AT TIME ZONE 'UTC'), ((current_date - 8 + time '00:30') AT TIME ZONE 'UTC')) AS v (at);
UPDATE whatsapp_messages SET status = 'delivered', delivered_at = created_at, pricing_category = 'utility', reference = NULL WHERE reference = 'new';
CREATE FUNCTION pg_temp.days(zone text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    UPDATE whatsapp_usage_closed SET time_zone = zone;
    PERFORM wa_recount_costs((SELECT min(created_at)::date FROM whatsapp_messages));
    RETURN (SELECT string_agg(concat(current_date - day, ': ', n), ', ' ORDER BY day)
        FROM (SELECT day, sum(messages) AS n FROM wa_internal_usage WHERE tenant_id = 'midnight' GROUP BY 1 HAVING sum(messages) <> 0) AS d);
END
$$;
SELECT is(pg_temp.days('UTC'), '9: 1, 8: 1', 'days begin in the account''s time zone');
SELECT is(pg_temp.days('Europe/Madrid'), '8: 2', 'further east');
SELECT is(pg_temp.days('America/Lima'), '9: 2', 'and further west');
SELECT pg_temp.days('UTC') \g /dev/null
SELECT throws_ok($$UPDATE whatsapp_usage_closed SET time_zone = 'Europe/Nowhere'$$, '22023', 'unknown time zone "Europe/Nowhere"', 'days begin in a time zone that there is');

/* One that an upgrade of the system has taken away. */
ALTER TABLE whatsapp_usage_closed DISABLE TRIGGER whatsapp_usage_closed_time_zone;
UPDATE whatsapp_usage_closed SET time_zone = 'Europe/Gone';
SELECT lives_ok($$SELECT pg_temp.post(pg_temp.statuses_body(pg_temp.status('wamid.' || i, 'delivered', extract(epoch FROM now())::bigint, pg_temp.data(i))))
    FROM pg_temp.new_message('accepted') AS i$$, 'without it, what was delivered is taken in');
SELECT is((SELECT count(*) FROM whatsapp_parked_events WHERE reason <> 'unknown_message'), 0::bigint, 'and used');
SELECT lives_ok($$SELECT * FROM wa_costs, wa_top_tenants, wa_metrics_costs(), wa_internal_health_unpriced()$$, 'and counted');
UPDATE whatsapp_usage_closed SET time_zone = 'UTC';
ALTER TABLE whatsapp_usage_closed ENABLE TRIGGER whatsapp_usage_closed_time_zone;

/* Held or paused for months: no time of it leads to it. */
INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, message_type, payload, status, attempts, created_at, scheduled_at, whatsapp_message_id, accepted_at)
    VALUES ('held', '6', '+34600000001', 'text', '{}', 'accepted', 1, now() - interval '70 days', now() - interval '70 days', 'wamid.late', now() - interval '11 days') RETURNING id AS late \gset
SELECT pg_temp.post_statuses(pg_temp.status('wamid.late', 'delivered', EXTRACT(epoch FROM now() - interval '11 days')::bigint, pg_temp.data(:late), '{"pricing": {"category": "utility", "type": "regular"}}')) \g /dev/null
SELECT is((SELECT sum(delivered) FROM wa_costs WHERE tenant_id = 'held' AND currency = 'EUR'), 1::numeric, 'what was held for months is counted when a webhook tells of it');
SELECT pg_temp.post_statuses(pg_temp.status('wamid.late', 'delivered', EXTRACT(epoch FROM now() - interval '11 days')::bigint, pg_temp.data(:late), '{"pricing": {"category": "utility", "type": "regular"}}')) \g /dev/null
SELECT pg_temp.post_statuses(pg_temp.status('wamid.late', 'read', EXTRACT(epoch FROM now() - interval '10 days')::bigint, pg_temp.data(:late), '{}')) \g /dev/null
SELECT is((SELECT sum(delivered) FROM wa_costs WHERE tenant_id = 'held' AND currency = 'EUR'), 1::numeric, 'once');
SELECT wa_recount_costs((now() - interval '30 days')::date) \g /dev/null
SELECT is((SELECT sum(delivered) FROM wa_costs WHERE tenant_id = 'held' AND currency = 'EUR'), 1::numeric, 'also when it is counted anew');

/* ---- Meta's categories ---- */

INSERT INTO whatsapp_prices (market, category, currency, price, valid_from) VALUES ('Spain', 'marketing', 'EUR', 0.06, '2020-01-01');
SELECT pg_temp.deliver(2, :'month', 'marketing_lite', tenant => 'lite') \g /dev/null
SELECT is(pg_temp.costs('EUR', 'lite'), 'now marketing_lite 2 2 0.12 ~', 'marketing by its own edge costs what marketing does, as an estimate');
INSERT INTO whatsapp_prices (market, category, currency, price, valid_from) VALUES ('Spain', 'marketing_lite', 'EUR', 0.05, '2020-01-01');
SELECT is(pg_temp.costs('EUR', 'lite'), 'now marketing_lite 2 2 0.1', 'unless it has a price of its own');
SELECT pg_temp.deliver(3, :'month', 'referral_conversion', tenant => 'ad') \g /dev/null
SELECT is(pg_temp.costs('EUR', 'ad'), 'now referral_conversion 3 0 0', 'free entry points need no price');
SELECT is((SELECT unpriced FROM wa_costs WHERE tenant_id = 'ad'), 0::bigint, 'and miss none');
SELECT pg_temp.deliver(4, :'month', 'authentication-international', tenant => 'abroad') \g /dev/null
SELECT is(pg_temp.costs('EUR', 'abroad'), 'now authentication_international 4 4', 'what has no price is a row without cost');
SELECT is((SELECT unpriced FROM wa_costs WHERE tenant_id = 'abroad'), 4::bigint, 'that says so');
SELECT matches((SELECT detail FROM wa_health() WHERE item = 'unpriced messages'), 'authentication_international in Spain', 'and wa_health() tells which');
INSERT INTO whatsapp_prices (market, category, currency, price, valid_from) VALUES ('Spain', 'authentication-international', 'EUR', 0.1, '2020-01-01');
SELECT is(pg_temp.costs('EUR', 'abroad'), 'now authentication_international 4 4 0.4', 'which may be spelt with a hyphen, as Meta does');
DELETE FROM whatsapp_prices;
INSERT INTO whatsapp_prices (market, category, currency, price, valid_from) SELECT DISTINCT market, category, 'EUR', 1, '2020-01-01'::date FROM wa_internal_usage;
SELECT is((SELECT count(*) FROM wa_health() WHERE item = 'unpriced messages'), 0::bigint, 'until all have one');

/* ---- reconciliation ---- */

DELETE FROM whatsapp_messages;
DELETE FROM whatsapp_webhook_traffic;
CREATE FUNCTION pg_temp.accepted(n integer, minutes integer, confirmed boolean, number text DEFAULT '100000000000001') RETURNS void LANGUAGE sql AS $$
    INSERT INTO whatsapp_messages (tenant_id, phone_number_id, recipient_phone, message_type, payload, status, created_at, accepted_at, sent_at)
    SELECT 'panaderia', number, '+34600000001', 'text', '{}', CASE WHEN confirmed THEN 'sent' ELSE 'accepted' END,
        now() - make_interval(mins => minutes), now() - make_interval(mins => minutes), CASE WHEN confirmed THEN now() END FROM generate_series(1, n)
$$;
CREATE FUNCTION pg_temp.alerts() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wa_internal_reconcile();
    RETURN COALESCE((SELECT string_agg(concat_ws(' ', severity, kind, key), ', ' ORDER BY kind, key) FROM whatsapp_alerts WHERE resolved_at IS NULL), 'none');
END
$$;
SELECT is(pg_temp.alerts(), 'none', 'nothing was sent');
SELECT pg_temp.accepted(3, 5, false) \g /dev/null
SELECT is(pg_temp.alerts(), 'none', 'messages of five minutes ago may still be silent');
SELECT pg_temp.accepted(1, 35, false) \g /dev/null
SELECT is(pg_temp.alerts(), 'error webhook_silence 100000000000001', 'one of half an hour ago, and no webhook since');
UPDATE whatsapp_messages SET created_at = now() - interval '2 days', scheduled_at = now() - interval '35 minutes' WHERE created_at = now() - interval '35 minutes';
UPDATE whatsapp_alerts SET resolved_at = now();
SELECT is(pg_temp.alerts(), 'error webhook_silence 100000000000001', 'the same if it was scheduled long before');
UPDATE whatsapp_messages SET scheduled_at = created_at WHERE created_at = now() - interval '2 days';
INSERT INTO whatsapp_webhook_traffic VALUES ('100000000000001', clock_timestamp(), clock_timestamp());
SELECT is(pg_temp.alerts(), 'none', 'a webhook ends it, even if nothing more is sent');
UPDATE whatsapp_messages SET scheduled_at = now() - interval '35 minutes' WHERE created_at = now() - interval '2 days';
SELECT is(pg_temp.alerts(), 'none', 'with webhooks for others it is just a message');
SELECT pg_temp.accepted(50, 35, true) \g /dev/null
SELECT pg_temp.accepted(4, 35, false) \g /dev/null
SELECT is(pg_temp.alerts(), 'none', 'a few may be lost');
SELECT pg_temp.accepted(4, 35, false) \g /dev/null
SELECT is(pg_temp.alerts(), 'warning statuses_missing 100000000000001', 'but not many');
UPDATE whatsapp_messages SET sent_at = now(), status = 'sent';
SELECT is(pg_temp.alerts(), 'none', 'when they are told of after all, it is well');
INSERT INTO whatsapp_parked_events (fingerprint, kind, reason) SELECT convert_to(n::text, 'UTF8'), 'status', 'unknown_message' FROM generate_series(1, 100) n;
SELECT is(pg_temp.alerts(), 'warning parked_events ', 'many parked events are reported');

/* ---- retention of what webhooks brought ---- */

UPDATE whatsapp_parked_events SET received_at = now() - interval '91 days';
INSERT INTO whatsapp_inbound_messages (whatsapp_message_id, phone_number_id, message_type, payload, sent_at, received_at) VALUES
    ('old', '1', 'text', '{}', now(), now() - interval '91 days'), ('new', '1', 'text', '{}', now(), now() - interval '89 days');
INSERT INTO whatsapp_windows VALUES ('1', '+34600000001', now() - interval '91 days');
INSERT INTO whatsapp_contacts (wa_id, last_seen_at) VALUES ('34600000001', now() - interval '91 days'), ('34600000002', now() - interval '89 days');
SELECT count(*) AS parked FROM whatsapp_parked_events \gset
SELECT is(wa_internal_retain_inbound(1000), :parked::bigint + 3, 'what is older than whatsapp_shared.retention goes');
SELECT is((SELECT string_agg(whatsapp_message_id, ' ') FROM whatsapp_inbound_messages) || (SELECT string_agg(wa_id, ' ') FROM whatsapp_contacts), 'new34600000002', 'the rest stays');

SELECT finish();
ROLLBACK;
