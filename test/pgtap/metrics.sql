/*
 * wa_metrics(): what a monitoring system sees.  What the senders measure is in
 * test/t, and that Prometheus can read it.
 */
\ir ../lib/begin.sql
SELECT plan(24);

CREATE FUNCTION pg_temp.metric(wanted text, has jsonb DEFAULT '{}') RETURNS double precision LANGUAGE sql AS
    $$SELECT sum(m.value) FROM wa_metrics() AS m WHERE m.name = wanted AND m.labels @> has$$;

SELECT wa_assign_phone('trigal', '100000000000001'), wa_assign_phone('alba', '100000000000002') \g /dev/null
UPDATE whatsapp_phone_numbers SET status = 'CONNECTED', quality_rating = 'GREEN', messaging_limit = 'TIER_10K';

/* ---- form ---- */

SELECT is_empty($$SELECT name, labels FROM wa_metrics(true) GROUP BY 1, 2 HAVING count(*) > 1$$, 'each series is one row');
SELECT is_empty($$SELECT name FROM wa_metrics(true) WHERE value IS NULL OR help = '' OR labels IS NULL$$, 'with a value and its meaning');
SELECT is_empty($$SELECT name FROM wa_metrics(true) WHERE name !~ '^whatsapp_[a-z_]+$' OR type NOT IN ('counter', 'gauge', 'histogram')$$, 'named as Prometheus wants it');
SELECT is_empty($$SELECT name FROM wa_metrics(true) WHERE (type = 'counter') <> (name ~ '_total$')$$, 'counters, and they alone, end in _total');
SELECT is_empty($$SELECT name FROM wa_metrics(true) GROUP BY 1 HAVING count(DISTINCT type) > 1 OR count(DISTINCT help) > 1$$, 'a name means one thing');

/* ---- what waits ---- */

SELECT is(pg_temp.metric('whatsapp_queue_messages'), NULL, 'nothing waits');
SELECT is(pg_temp.metric('whatsapp_queue_oldest_age_seconds'), 0::double precision, 'so nothing is old');
SELECT wa_enqueue_payload('trigal', '+3460000000' || i, 'text', '{"body": "hola"}') FROM generate_series(1, 3) AS i \g /dev/null
UPDATE whatsapp_messages SET created_at = created_at - interval '100 seconds';
UPDATE whatsapp_queue SET state = 'u', hold_reason = 'uncertain' WHERE message_id = (SELECT min(message_id) FROM whatsapp_queue);
SELECT is(pg_temp.metric('whatsapp_queue_messages', '{"state": "ready"}'), 2::double precision, 'two are ready');
SELECT is(pg_temp.metric('whatsapp_queue_messages', '{"state": "uncertain", "reason": "uncertain"}'), 1::double precision, 'one is uncertain');
SELECT cmp_ok(pg_temp.metric('whatsapp_queue_oldest_age_seconds', '{"state": "ready"}'), '>=', 100::double precision, 'how old they are');
SELECT is(pg_temp.metric('whatsapp_queue_oldest_age_seconds', '{"state": "held"}'), 0::double precision, 'of what there is none, nothing is old');
SELECT wa_pause('tenant', 'trigal') \g /dev/null
SELECT is(pg_temp.metric('whatsapp_queue_messages', '{"state": "held", "reason": "tenant_paused"}'), 2::double precision, 'what a pause stops is held');
SELECT is(pg_temp.metric('whatsapp_pauses', '{"scope": "tenant"}'), 1::double precision, 'and the pause is one');
SELECT is(pg_temp.metric('whatsapp_pauses', '{"scope": "account"}'), 0::double precision, 'of others there is none');
SELECT is_empty($$SELECT name FROM wa_metrics() WHERE name ~ '^whatsapp_number_'$$, 'nothing about single numbers');
SELECT is((SELECT sum(value) FROM wa_metrics(true) WHERE name = 'whatsapp_number_queue_messages' AND labels ->> 'phone_number_id' = '100000000000001'), 3::double precision, 'unless somebody asks for it');

/* ---- the account ---- */

SELECT is(pg_temp.metric('whatsapp_phone_numbers', '{"health": "ok", "assigned": "true"}'), 2::double precision, 'numbers by health');
SELECT is(pg_temp.metric('whatsapp_messaging_limit'), 10000::double precision, 'the messaging limit');
INSERT INTO whatsapp_reach (recipient, tenant_id, reached_at, sender) VALUES
    ('+34600000001', 'trigal', now(), 0), ('+34600000002', 'trigal', now() - interval '25 hours', 0);
SELECT is(pg_temp.metric('whatsapp_messaging_limit_used'), 1::double precision, 'and how much of it is used');
SELECT is(pg_temp.metric('whatsapp_token_expiry_timestamp_seconds'), NULL, 'of a token that nobody has asked for no end is known');
SELECT wa_internal_apply_token_state('{"data": {"is_valid": true, "expires_at": 2000000000, "data_access_expires_at": 0}}') \g /dev/null
SELECT is(pg_temp.metric('whatsapp_token_expiry_timestamp_seconds'), 2000000000::double precision, 'the end that Meta tells');
SELECT wa_internal_apply_token_state('{"data": {"is_valid": true, "expires_at": 0}}') \g /dev/null
SELECT is(pg_temp.metric('whatsapp_token_expiry_timestamp_seconds'), NULL, 'never');
SELECT wa_internal_alert('warning', 'quality', 'number', '100000000000001', 'It is worse.') \g /dev/null
SELECT is(pg_temp.metric('whatsapp_alerts', '{"kind": "quality", "severity": "warning"}'), 1::double precision, 'alerts by kind');

/* ---- costs ---- */

INSERT INTO whatsapp_usage_days (day, tenant_id, phone_number_id, market, category, free, messages)
    VALUES (date_trunc('month', now())::date, 'trigal', '100000000000001', 'ES', 'utility', false, 10);
SELECT is((SELECT sum(value) FROM wa_metrics_costs() WHERE name = 'whatsapp_month_delivered_messages' AND labels ->> 'category' = 'utility'), 10::double precision, 'deliveries of the month');
SELECT * FROM finish();
ROLLBACK;
