/*
 * A property: whatever a signed body contains, taking it in is no error.
 *
 * Good bodies of every kind are damaged at random: bytes, values, structure.
 * The damage follows from the seed, which is printed, and can be given:
 * psql -v seed=0.123 -f webhook_mutations.sql
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

SELECT pg_temp.new_message('accepted') AS a \gset
SELECT pg_temp.new_message('uncertain') AS u \gset
INSERT INTO whatsapp_phone_numbers (phone_number_id, display_phone_number) VALUES ('100000000000001', '+34 600 00 00 00');
INSERT INTO whatsapp_templates (name, language, category, status, components, source) VALUES ('pedido_listo', 'es', 'UTILITY', 'APPROVED', '[]', 'sync');

CREATE TEMP TABLE body (n serial, body jsonb);
INSERT INTO body (body) SELECT pg_temp.envelope(c.change)::jsonb FROM (VALUES
    (pg_temp.messages_change(jsonb_build_object('statuses', jsonb_build_array(
        pg_temp.status('wamid.' || :a, 'sent', 1764000000, pg_temp.data(:a), '{"pricing": {"billable": true, "type": "regular", "category": "utility"}}'),
        pg_temp.status('wamid.u', 'failed', 1764000001, pg_temp.data(:u), pg_temp.error(131026, 'title', 'details')))))),
    (pg_temp.messages_change('{"contacts": [{"profile": {"name": "Ana", "username": "ana"}, "wa_id": "34600000001", "user_id": "ES.1", "parent_user_id": "ES.ENT.1"}],
        "messages": [{"from": "34600000001", "from_user_id": "ES.1", "id": "wamid.1", "timestamp": "1764000000", "type": "text", "text": {"body": "baja"}},
        {"from": "34600000001", "id": "wamid.2", "timestamp": "1764000001", "type": "interactive", "context": {"id": "wamid.x"}, "interactive": {"type": "list_reply", "list_reply": {"id": "a", "title": "b"}}},
        {"from": "34600000001", "id": "wamid.3", "timestamp": "1764000002", "type": "system", "system": {"type": "user_changed_number", "wa_id": "34600000002", "user_id": "ES.2"}},
        {"from": "34600000001", "id": "wamid.4", "timestamp": "1764000003", "type": "edit", "edit": {"original_message_id": "wamid.1"}}]}')),
    (pg_temp.messages_change('{"errors": [{"code": 130429, "title": "a", "error_data": {"details": "b"}}]}')),
    (pg_temp.change('user_preferences', '{"metadata": {"phone_number_id": "100000000000001"}, "contacts": [{"profile": {"name": "Ana"}, "wa_id": "34600000001"}],
        "user_preferences": [{"wa_id": "34600000001", "category": "marketing_messages", "value": "stop", "timestamp": 1764000200}]}')),
    (pg_temp.change('message_template_status_update', '{"event": "PAUSED", "message_template_id": 2, "message_template_name": "pedido_listo", "message_template_language": "es",
        "reason": "NONE", "other_info": {"title": "FIRST_PAUSE", "description": "x"}}')),
    (pg_temp.change('message_template_quality_update', '{"new_quality_score": "RED", "message_template_name": "pedido_listo", "message_template_language": "es"}')),
    (pg_temp.change('template_category_update', '{"new_category": "MARKETING", "message_template_name": "pedido_listo", "message_template_language": "es"}')),
    (pg_temp.change('phone_number_quality_update', '{"display_phone_number": "34600000000", "event": "FLAGGED", "max_daily_conversations_per_business": "TIER_10K"}')),
    (pg_temp.change('phone_number_name_update', '{"display_phone_number": "34600000000", "decision": "REJECTED", "requested_verified_name": "x", "rejection_reason": null}')),
    (pg_temp.change('account_update', '{"event": "ACCOUNT_RESTRICTION", "restriction_info": [{"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": 1864600000}]}')),
    (pg_temp.change('account_alerts', '{"entity_type": "BUSINESS", "entity_id": "4", "alert_info": {"alert_severity": "WARNING", "alert_status": "NONE", "alert_type": "x", "alert_description": "y"}}')),
    (pg_temp.change('business_capability_update', '{"max_daily_conversations_per_business": 2000}')),
    (pg_temp.change('account_review_update', '{"decision": "REJECTED"}')),
    (pg_temp.change('security', '{"display_phone_number": "34600000000", "event": "PIN_CHANGED"}')),
    (pg_temp.change('business_username_update', '{"display_phone_number": "34600000000", "username": "x", "status": "approved"}'))) AS c (change);

/* Another value in place of one: of another type, of another size, or absurd. */
CREATE FUNCTION pg_temp.odd_value() RETURNS jsonb LANGUAGE sql AS $$
    SELECT (ARRAY['null', 'true', '0', '-1', '1e300', '0.5', '99999999999999999999', '""', '"x"', '[]', '{}', '[[]]', '[null]', '{"a": {"a": {}}}', '"-1"', '"999999999999999"',
        to_jsonb(repeat('ñ', 3000))::text, '"\ud83c\udf5e"', '"''; DROP TABLE x; --"', '"%s %n"', '["a", "a"]', '"34600000001"', '"sent"', '1764000000'])[1 + floor(random() * 24)]::jsonb
$$;
CREATE FUNCTION pg_temp.random_path(value jsonb) RETURNS text[] LANGUAGE sql AS $$
    WITH RECURSIVE w (path, value) AS (
        SELECT '{}'::text[], value
        UNION ALL
        SELECT w.path || e.key, e.value FROM w CROSS JOIN LATERAL (
            SELECT o.key, o.value FROM jsonb_each(CASE jsonb_typeof(w.value) WHEN 'object' THEN w.value ELSE '{}' END) AS o
            UNION ALL
            SELECT (a.n - 1)::text, a.value FROM jsonb_array_elements(CASE jsonb_typeof(w.value) WHEN 'array' THEN w.value ELSE '[]' END) WITH ORDINALITY AS a (value, n)) AS e)
    SELECT path FROM w WHERE path <> '{}' ORDER BY random() LIMIT 1
$$;
CREATE FUNCTION pg_temp.damage(body jsonb) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    bytes bytea;
    kind integer := floor(random() * 10);
BEGIN
    FOR i IN 0 .. floor(random() * 3) LOOP
        IF kind < 5 THEN
            body := jsonb_set(body, pg_temp.random_path(body), pg_temp.odd_value());
        ELSIF kind < 7 THEN
            body := body #- pg_temp.random_path(body);
        END IF;
        EXIT WHEN pg_temp.random_path(body) IS NULL;
    END LOOP;
    bytes := convert_to(body::text, 'UTF8');
    IF kind = 7 THEN
        bytes := set_byte(bytes, floor(random() * length(bytes))::integer, floor(random() * 256)::integer);
    ELSIF kind = 8 THEN
        bytes := substr(bytes, 1, floor(random() * length(bytes))::integer);
    ELSIF kind = 9 THEN
        bytes := convert_to(regexp_replace(body::text, '(wamid|1764|34600|es|stop|event)', (ARRAY['\\u0000', '\\ud800', '\\u0022', ''])[1 + floor(random() * 4)], 'g'), 'UTF8');
    END IF;
    RETURN bytes;
END
$$;

CREATE TEMP TABLE mishap (body bytea, error text);
CREATE TEMP TABLE outcome (what text, n bigint);
DO $$
DECLARE
    bytes bytea;
    result jsonb;
BEGIN
    FOR i IN 1 .. 1500 LOOP
        SELECT pg_temp.damage(b.body) INTO bytes FROM body AS b ORDER BY random() LIMIT 1;
        BEGIN
            result := wa_webhook_ingest(bytes, pg_temp.sign(bytes));
            INSERT INTO outcome SELECT k.key, k.value::bigint FROM jsonb_each_text(result) AS k WHERE k.key IN ('applied', 'duplicate', 'parked', 'ignored', 'foreign') AND k.value <> '0';
        EXCEPTION WHEN OTHERS THEN
            INSERT INTO mishap VALUES (bytes, SQLSTATE || ' ' || SQLERRM);
        END;
    END LOOP;
END
$$;
SELECT is_empty($$SELECT DISTINCT ON (error) error, encode(body, 'escape') FROM mishap ORDER BY error LIMIT 5$$, 'no body makes taking it in an error');
SELECT cmp_ok((SELECT sum(n) FROM outcome WHERE what = 'applied'), '>', 50::numeric, 'much of the damage is harmless');
SELECT cmp_ok((SELECT sum(n) FROM outcome WHERE what = 'parked'), '>', 300::numeric, 'the rest is parked');
SELECT is((SELECT count(*) FROM whatsapp_queue), 0::bigint, 'and what was good among it has counted');

SELECT finish();
ROLLBACK;
