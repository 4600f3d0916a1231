/*
 * Fields of webhooks beside the common ones: what Meta documents is known, also where nothing depends on it.
 */
\ir ../lib/begin.sql
\ir ../lib/webhook.sql
SELECT plan(13);

INSERT INTO whatsapp_phone_numbers (phone_number_id, display_phone_number) VALUES ('100000000000001', '+34 600 00 00 01');
INSERT INTO whatsapp_templates (name, language, category, status, components, source) VALUES ('bienvenida', 'en_US', 'UTILITY', 'APPROVED', '[]', 'sync');
CREATE FUNCTION pg_temp.send(field text, value jsonb, at bigint DEFAULT 1764000000) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.counts(r) || '/' || (r ->> 'ignored') FROM (SELECT pg_temp.post(pg_temp.event(field, value, at))) AS x (r)
$$;

/* ---- languages with a hyphen ---- */

SELECT is(pg_temp.send('message_template_status_update', '{"event": "PAUSED", "message_template_id": 1, "message_template_name": "bienvenida",
    "message_template_language": "en-US", "reason": "NONE", "other_info": {"title": "FIRST_PAUSE"}}'), '1/0/0/0/0', 'an event about en-US');
SELECT is((SELECT status FROM whatsapp_templates), 'PAUSED', 'is about en_US');
SELECT is((SELECT string_agg(key, ' ') FROM whatsapp_pauses), 'bienvenida/en_US', 'which is paused');
SELECT is(pg_temp.send('message_template_status_update', '{"event": "APPROVED", "message_template_id": 1, "message_template_name": "bienvenida",
    "message_template_language": "en_US", "reason": "NONE"}', 1763999990), '0/1/0/0/0', 'an older event in the other spelling changes nothing');
SELECT is((SELECT value ->> 'message_template_language' FROM whatsapp_account_events WHERE value ->> 'event' = 'PAUSED'), 'en-US', 'the record has what Meta sent');
SELECT pg_temp.send('message_template_quality_update', '{"new_quality_score": "RED", "message_template_name": "bienvenida", "message_template_language": "en-US"}') \g /dev/null
SELECT pg_temp.send('template_category_update', '{"new_category": "MARKETING", "message_template_name": "bienvenida", "message_template_language": "en-US"}') \g /dev/null
SELECT is((SELECT concat_ws(' ', quality, category) FROM whatsapp_templates), 'RED MARKETING', 'so are its quality and its category');

/* ---- both spellings ---- */

SELECT is(pg_temp.send('business_username_updates', '{"display_phone_number": "34600000001", "username": "alba.pan", "status": "approved"}'), '1/0/0/0/0',
    'user names, in the plural');
SELECT is((SELECT key || ': ' || message FROM whatsapp_alerts WHERE kind = 'business_username'), '100000000000001: The user name "alba.pan" is approved.', 'are told as in the singular');

/* ---- known and ignored ---- */

SELECT is((SELECT string_agg(pg_temp.send(f, jsonb_build_object('for', f)), ' ') FROM unnest('{account_settings_update, calls, flows, group_lifecycle_update,
    group_participants_update, group_settings_update, group_status_update, partner_solutions, payment_configuration_update, tracking_events}'::text[]) AS f),
    repeat('0/0/0/0/1 ', 9) || '0/0/0/0/1', 'what is documented, and nothing depends on, is counted as such');
SELECT is((SELECT count(*) FROM whatsapp_parked_events), 0::bigint, 'and not parked');
SELECT is((SELECT count(*) FROM whatsapp_account_events WHERE field IN ('calls', 'flows')), 2::bigint, 'it is recorded');
SELECT is((SELECT count(*) FROM wa_timeline(now() - interval '1 day', now() + interval '1 day') WHERE subject ~ 'calls|flows'), 0::bigint, 'but is no part of what happened here');
SELECT is(pg_temp.send('calls', '{"for": "calls"}'), '0/1/0/0/0', 'once');

SELECT * FROM finish();
ROLLBACK;
