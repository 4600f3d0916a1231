/*
 * What Meta says about the account: registries, alerts, pauses.
 */
\ir ../lib/begin.sql
\ir ../lib/webhook.sql
SELECT plan(81);

INSERT INTO whatsapp_phone_numbers (phone_number_id, display_phone_number, quality_rating, messaging_limit, throughput_level)
    VALUES ('100000000000001', '+34 600 00 00 00', 'GREEN', 'TIER_2K', 'STANDARD'), ('100000000000002', '+34 600 00 00 02', 'GREEN', 'TIER_2K', 'STANDARD');
INSERT INTO whatsapp_templates (name, language, category, status, components, source) VALUES ('pedido_listo', 'es', 'UTILITY', 'APPROVED', '[]', 'sync');
SELECT EXTRACT(epoch FROM now())::bigint - 100 AS t \gset
CREATE FUNCTION pg_temp.send(field text, value jsonb, at bigint) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.counts(pg_temp.post(pg_temp.event(field, value, at)), 'events')
$$;
CREATE FUNCTION pg_temp.pauses() RETURNS text LANGUAGE sql AS $$
    SELECT COALESCE(string_agg(concat_ws(' ', scope, NULLIF(key, ''), reason, trim_scale(round(EXTRACT(epoch FROM until - now()) / 3600, 1)) || 'h'), ', ' ORDER BY scope, key), 'none') FROM whatsapp_pauses
$$;
CREATE FUNCTION pg_temp.alerts() RETURNS text LANGUAGE sql AS $$
    SELECT COALESCE(string_agg(concat_ws(' ', severity, kind, NULLIF(key, '')), ', ' ORDER BY kind, key), 'none') FROM whatsapp_alerts WHERE resolved_at IS NULL AND kind <> 'paused'
$$;
CREATE FUNCTION pg_temp.template() RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', status, category, quality, rejected_reason) FROM whatsapp_templates
$$;
CREATE FUNCTION pg_temp.requested(kind text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    was boolean := (SELECT requested_at IS NOT NULL FROM whatsapp_sync AS s WHERE s.kind = requested.kind);
BEGIN
    UPDATE whatsapp_sync AS s SET requested_at = NULL WHERE s.kind = requested.kind;
    RETURN was;
END
$$;

/* ---- templates: status ---- */

CREATE FUNCTION pg_temp.template_event(event text, at bigint, more jsonb DEFAULT '{}', name text DEFAULT 'pedido_listo') RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.send('message_template_status_update', jsonb_build_object('event', event, 'message_template_id', 200000000000001,
        'message_template_name', name, 'message_template_language', 'es', 'reason', 'NONE', 'message_template_category', 'UTILITY') || more, at)
$$;
SELECT is(pg_temp.template_event('PAUSED', :t, '{"other_info": {"title": "FIRST_PAUSE", "description": "low quality"}}'), '1/0/0/0', 'a template is paused');
SELECT is(pg_temp.template(), 'PAUSED UTILITY', 'the registry knows');
SELECT is(pg_temp.pauses(), 'template pedido_listo/es template_paused 3h', 'it is paused for the three hours of a first pause');
SELECT is(detail, 'Meta has set it to PAUSED (low quality)', 'with the reason in words') FROM whatsapp_pauses;
SELECT is(pg_temp.alerts(), 'warning template_status pedido_listo/es', 'an alert is raised');
SELECT is(pg_temp.template_event('PAUSED', :t, '{"other_info": {"title": "FIRST_PAUSE", "description": "low quality"}}'), '0/1/0/0', 'the same event again is a duplicate');
SELECT is(pg_temp.template_event('APPROVED', :t - 50), '0/1/0/0', 'an older event that comes late');
SELECT is(pg_temp.template(), 'PAUSED UTILITY', 'changes nothing');
SELECT is(pg_temp.template_event('APPROVED', :t + 1, '{"other_info": {"title": "UNPAUSE"}}'), '1/0/0/0', 'it is released');
SELECT is(pg_temp.template() || '; ' || pg_temp.pauses() || '; ' || pg_temp.alerts(), 'APPROVED UTILITY; none; none', 'everywhere');
SELECT pg_temp.template_event('PAUSED', :t + 2, '{"other_info": {"title": "SECOND_PAUSE"}}') \g /dev/null
SELECT is(pg_temp.pauses(), 'template pedido_listo/es template_paused 6h', 'the second pause');
SELECT pg_temp.template_event('DISABLED', :t + 3, '{"disable_info": {"disable_date": "…"}}') \g /dev/null
SELECT is(pg_temp.pauses() || '; ' || pg_temp.alerts(), 'template pedido_listo/es template_disabled; error template_status pedido_listo/es', 'and the end');
SELECT pg_temp.template_event('REINSTATED', :t + 4) \g /dev/null
SELECT is(pg_temp.template() || '; ' || pg_temp.pauses(), 'APPROVED UTILITY; none', 'reinstated');
SELECT pg_temp.template_event('FLAGGED', :t + 5) \g /dev/null
SELECT is(pg_temp.template() || '; ' || pg_temp.pauses() || '; ' || pg_temp.alerts(), 'APPROVED UTILITY; none; warning template_status pedido_listo/es', 'flagged is a warning');
SELECT pg_temp.template_event('REJECTED', :t + 6, '{"reason": "INVALID_FORMAT"}') \g /dev/null
SELECT is(pg_temp.template(), 'REJECTED UTILITY INVALID_FORMAT', 'rejected, and why');
SELECT pg_temp.template_event('APPROVED', :t + 7) \g /dev/null
SELECT pg_temp.requested('templates') \g /dev/null
SELECT pg_temp.template_event('APPROVED', :t + 8, '{}', 'brand_new') \g /dev/null
SELECT ok(pg_temp.requested('templates'), 'a template that is not known yet is read from Meta');
SELECT wa_pause('template', 'pedido_listo/es', 'by hand') \g /dev/null
SELECT pg_temp.template_event('REINSTATED', :t + 9) \g /dev/null
SELECT is(pg_temp.pauses(), 'template pedido_listo/es by hand', 'what a person has paused stays paused');
SELECT wa_resume('template', 'pedido_listo/es') \g /dev/null

/* ---- templates: the rest ---- */

SELECT is(pg_temp.send('message_template_quality_update', '{"previous_quality_score":"GREEN","new_quality_score":"YELLOW","message_template_id":200000000000001,"message_template_name":"pedido_listo","message_template_language":"es"}', :t), '1/0/0/0', 'quality');
SELECT is(pg_temp.template() || '; ' || pg_temp.alerts(), 'APPROVED UTILITY YELLOW; warning template_quality pedido_listo/es', 'is noted, with a warning');
SELECT pg_temp.send('message_template_quality_update', '{"previous_quality_score":"YELLOW","new_quality_score":"GREEN","message_template_name":"pedido_listo","message_template_language":"es"}', :t + 1) \g /dev/null
SELECT is(pg_temp.template() || '; ' || pg_temp.alerts(), 'APPROVED UTILITY GREEN; none', 'until it is good again');
SELECT is(pg_temp.send('template_category_update', '{"message_template_id":200000000000001,"message_template_name":"pedido_listo","message_template_language":"es","correct_category":"MARKETING"}', :t), '1/0/0/0', 'a change of category is announced');
SELECT is(pg_temp.template() || '; ' || pg_temp.alerts(), 'APPROVED UTILITY GREEN; warning template_category pedido_listo/es', 'and reported');
SELECT pg_temp.send('template_category_update', '{"message_template_id":200000000000001,"message_template_name":"pedido_listo","message_template_language":"es","previous_category":"UTILITY","new_category":"MARKETING"}', :t + 1) \g /dev/null
SELECT is(pg_temp.template(), 'APPROVED MARKETING GREEN', 'then it happens');
SELECT pg_temp.requested('templates') \g /dev/null
SELECT is(pg_temp.send('message_template_components_update', '{"message_template_name":"pedido_listo","message_template_language":"es","message_template_element":"…"}', :t), '1/0/0/0', 'changed components');
SELECT ok(pg_temp.requested('templates'), 'are read from Meta');
DELETE FROM whatsapp_alerts;

/* ---- numbers ---- */

CREATE FUNCTION pg_temp.number() RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', messaging_limit, throughput_level, rate_factor, verified_name, name_status) FROM whatsapp_phone_numbers WHERE phone_number_id = '100000000000001'
$$;
SELECT is(pg_temp.send('phone_number_quality_update', '{"display_phone_number":"34600000000","event":"THROUGHPUT_UPGRADE","max_daily_conversations_per_business":"TIER_10K"}', :t), '1/0/0/0', 'more throughput');
SELECT is(pg_temp.number(), 'TIER_10K HIGH 1', 'and a higher limit');
SELECT is((SELECT messaging_limit FROM whatsapp_phone_numbers WHERE phone_number_id = '100000000000002'), 'TIER_10K', 'for all numbers');
SELECT ok(pg_temp.requested('phone_numbers'), 'the numbers are read anew');
SELECT pg_temp.send('phone_number_quality_update', '{"display_phone_number":"34600000000","event":"FLAGGED"}', :t + 1) \g /dev/null
SELECT is(pg_temp.pauses() || '; ' || pg_temp.alerts(), 'number 100000000000001 number_flagged; error number_flagged 100000000000001', 'a flagged number pauses');
SELECT pg_temp.send('phone_number_quality_update', '{"display_phone_number":"34600000000","event":"UNFLAGGED"}', :t + 2) \g /dev/null
SELECT is(pg_temp.pauses() || '; ' || pg_temp.alerts(), 'none; none', 'until it is unflagged');
UPDATE whatsapp_damage_policies SET action = 'slow', factor = 0.25 WHERE event = 'number_flagged';
SELECT pg_temp.send('phone_number_quality_update', '{"display_phone_number":"34600000000","event":"FLAGGED"}', :t + 3) \g /dev/null
SELECT is(pg_temp.pauses() || '; ' || pg_temp.number(), 'none; TIER_10K HIGH 0.25', 'by policy it is slowed down instead');
SELECT pg_temp.send('phone_number_quality_update', '{"display_phone_number":"34600000000","event":"UNFLAGGED"}', :t + 4) \g /dev/null
SELECT is(pg_temp.number(), 'TIER_10K HIGH 1', 'and fast again');
SELECT pg_temp.send('phone_number_quality_update', '{"display_phone_number":"34600000000","event":"THROUGHPUT_UPGRADE"}', :t + 7) \g /dev/null
SELECT pg_temp.send('phone_number_quality_update', '{"display_phone_number":"34600000000","event":"FLAGGED"}', :t + 6) \g /dev/null
SELECT is(pg_temp.number(), 'TIER_10K HIGH 0.25', 'news of another kind does not make it old');
SELECT pg_temp.send('phone_number_quality_update', '{"display_phone_number":"34600000000","event":"UNFLAGGED"}', :t + 8) \g /dev/null
SELECT is(pg_temp.send('phone_number_quality_update', '{"display_phone_number":"99","event":"FLAGGED"}', :t), '1/0/0/0', 'a number that is not known changes nothing');
SELECT is(pg_temp.send('phone_number_name_update', '{"display_phone_number":"34600000000","decision":"REJECTED","requested_verified_name":"Clínica Ejemplo","rejection_reason":"…"}', :t), '1/0/0/0', 'a name is refused');
SELECT is(pg_temp.number() || '; ' || pg_temp.alerts(), 'TIER_10K HIGH 1 REJECTED; warning number_name 100000000000001', 'which is reported');
SELECT pg_temp.send('phone_number_name_update', '{"display_phone_number":"34600000000","decision":"APPROVED","requested_verified_name":"Clínica Ejemplo","rejection_reason":null}', :t + 1) \g /dev/null
SELECT is(pg_temp.number() || '; ' || pg_temp.alerts(), 'TIER_10K HIGH 1 Clínica Ejemplo APPROVED; info number_name_approved 100000000000001', 'or approved, with what is to be done');
DELETE FROM whatsapp_alerts;

/* ---- numbers: quality, whoever finds out ---- */

UPDATE whatsapp_phone_numbers SET quality_rating = 'YELLOW' WHERE phone_number_id = '100000000000001';
SELECT is(pg_temp.number() || '; ' || pg_temp.pauses(), 'TIER_10K HIGH 0.5 Clínica Ejemplo APPROVED; none', 'YELLOW halves the rate');
UPDATE whatsapp_phone_numbers SET quality_rating = 'RED' WHERE phone_number_id = '100000000000001';
SELECT is(pg_temp.pauses(), 'number 100000000000001 quality_red', 'RED pauses');
UPDATE whatsapp_phone_numbers SET quality_rating = 'GREEN' WHERE phone_number_id = '100000000000001';
SELECT is(pg_temp.number() || '; ' || pg_temp.pauses(), 'TIER_10K HIGH 1 Clínica Ejemplo APPROVED; none', 'GREEN restores');
UPDATE whatsapp_damage_policies SET action = 'alert' WHERE event LIKE 'quality%';
UPDATE whatsapp_phone_numbers SET quality_rating = 'RED' WHERE phone_number_id = '100000000000001';
SELECT is(pg_temp.number() || '; ' || pg_temp.pauses(), 'TIER_10K HIGH 1 Clínica Ejemplo APPROVED; none', 'the policy may be to do nothing');

/* ---- limits ---- */

SELECT is(pg_temp.send('business_capability_update', '{"max_daily_conversations_per_business":2000,"max_phone_numbers_per_business":20}', :t), '1/0/0/0', 'a lower limit, as a number');
SELECT is(pg_temp.number() || '; ' || pg_temp.alerts(), 'TIER_2K HIGH 0.5 Clínica Ejemplo APPROVED; warning messaging_limit', 'is taken over and reported, and the rate goes with it');
SELECT is((SELECT concat_ws(': ', state, detail) FROM wa_health() WHERE item = 'number 100000000000002'),
    'warning: Its health is unknown; its rate is lowered to 40 a second because of limit_lowered.', 'wa_health() says why');
SELECT pg_temp.new_message('queued') AS m \gset
INSERT INTO whatsapp_messages (id, tenant_id, phone_number_id, recipient_phone, message_type, payload) OVERRIDING SYSTEM VALUE
    SELECT -n, 'panaderia', '100000000000001', '+34600000002', 'text', '{}' FROM generate_series(1, 600) AS n;
INSERT INTO whatsapp_queue (message_id, phone_number_id, rank, due_at, attempts, state) SELECT -n, '100000000000001', -n, now(), 0, 'r' FROM generate_series(1, 600) AS n;
SELECT is((SELECT detail FROM whatsapp_queue AS q, whatsapp_messages AS w, wa_internal_explain_ready(w, q) WHERE q.message_id = :m AND w.id = :m),
    '600 before it, at 500 a second, lowered to 50% because of limit_lowered', 'so does wa_explain()');
SELECT pg_temp.send('business_capability_update', '{"max_daily_conversations_per_business":"TIER_100K","max_phone_numbers_per_waba":25}', :t + 1) \g /dev/null
SELECT is(pg_temp.number() || '; ' || pg_temp.alerts(), 'TIER_100K HIGH 1 Clínica Ejemplo APPROVED; none', 'a higher one, as a word');
SELECT pg_temp.send('business_capability_update', '{"max_daily_conversations_per_business":-1}', :t + 2) \g /dev/null
SELECT is(pg_temp.number(), 'TIER_UNLIMITED HIGH 1 Clínica Ejemplo APPROVED', 'none at all');
UPDATE whatsapp_damage_policies SET action = 'pause' WHERE event = 'limit_lowered';
SELECT pg_temp.send('business_capability_update', '{"max_daily_conversations_per_business":"TIER_2K"}', :t + 3) \g /dev/null
SELECT pg_temp.send('business_capability_update', '{"max_daily_conversations_per_business":"TIER_10K"}', :t + 4) \g /dev/null
SELECT is(pg_temp.pauses(), 'number 100000000000001 limit_lowered, number 100000000000002 limit_lowered', 'by policy a lower limit pauses, and half the way back is not enough');
UPDATE whatsapp_damage_policies SET action = 'pause' WHERE event = 'number_flagged';
SELECT pg_temp.send('phone_number_quality_update', '{"display_phone_number":"34600000000","event":"FLAGGED"}', :t + 9) \g /dev/null
SELECT pg_temp.send('business_capability_update', '{"max_daily_conversations_per_business":-1}', :t + 5) \g /dev/null
SELECT is(pg_temp.pauses(), 'number 100000000000001 number_flagged', 'it ends when the limit is back, but for what has another cause');
SELECT pg_temp.send('phone_number_quality_update', '{"display_phone_number":"34600000000","event":"UNFLAGGED"}', :t + 10) \g /dev/null
SELECT is(pg_temp.pauses(), 'none', 'until that is over, too');
SELECT is(pg_temp.send('business_capability_update', '{"max_daily_conversations_per_business":250}', :t + 1), '0/1/0/0', 'an older limit that comes late');
SELECT is(pg_temp.number(), 'TIER_UNLIMITED HIGH 1 Clínica Ejemplo APPROVED', 'changes nothing');
SELECT is((SELECT string_agg(COALESCE(wa_internal_limit_name(x), 'null'), ' ' ORDER BY n) FROM unnest('{250,1000,100000,1234,0,x,TIER_2K}'::text[]) WITH ORDINALITY AS u (x, n)),
    'TIER_250 TIER_1K TIER_100K TIER_1234 null null TIER_2K', 'limits as they come');

/* ---- the account ---- */

SELECT is(pg_temp.send('account_update', jsonb_build_object('event', 'ACCOUNT_RESTRICTION', 'restriction_info', jsonb_build_array(
    jsonb_build_object('restriction_type', 'RESTRICTED_BIZ_INITIATED_MESSAGING', 'expiration', :t + 7200, 'remediation', '…'),
    jsonb_build_object('restriction_type', 'RESTRICTED_ADD_PHONE_NUMBER_ACTION', 'expiration', :t + 7200))), :t), '1/0/0/0', 'restrictions');
SELECT is(pg_temp.pauses(), 'account account_restriction 2h', 'the one that forbids sending pauses the account');
SELECT is(pg_temp.alerts(), 'error account_restriction RESTRICTED_ADD_PHONE_NUMBER_ACTION, error account_restriction RESTRICTED_BIZ_INITIATED_MESSAGING', 'both are reported');
DELETE FROM whatsapp_pauses;
DELETE FROM whatsapp_alerts;
SELECT pg_temp.send('account_update', '{"event":"DISABLED_UPDATE","ban_info":{"waba_ban_state":"SCHEDULE_FOR_DISABLE","waba_ban_date":"December 1, 2026"}}', :t + 1) \g /dev/null
SELECT is(pg_temp.pauses() || '; ' || pg_temp.alerts(), 'none; error account_disabled', 'an announcement pauses nothing');
SELECT pg_temp.send('account_update', '{"event":"DISABLED_UPDATE","ban_info":{"waba_ban_state":"DISABLE"}}', :t + 2) \g /dev/null
SELECT is(pg_temp.pauses(), 'account account_disabled', 'the ban does');
SELECT pg_temp.send('account_update', '{"event":"DISABLED_UPDATE","ban_info":{"waba_ban_state":"REINSTATE"}}', :t + 3) \g /dev/null
SELECT is(pg_temp.pauses() || '; ' || pg_temp.alerts(), 'none; none', 'until its end');
SELECT is(pg_temp.send('account_update', '{"event":"DISABLED_UPDATE","ban_info":{"waba_ban_state":"DISABLE"}}', :t + 1), '0/1/0/0', 'a ban that comes after its end');
SELECT is(pg_temp.pauses() || '; ' || pg_temp.alerts(), 'none; none', 'is over');
SELECT pg_temp.send('account_update', '{"event":"PARTNER_REMOVED"}', :t + 5) \g /dev/null
SELECT pg_temp.send('account_update', '{"event":"DISABLED_UPDATE","ban_info":{"waba_ban_state":"REINSTATE"}}', :t + 2) \g /dev/null
SELECT is(pg_temp.pauses(), 'account account_disabled', 'and ends nothing else');
SELECT pg_temp.send('account_update', '{"event":"ACCOUNT_RECONNECTED"}', :t + 6) \g /dev/null
SELECT pg_temp.send('account_update', '{"event":"ACCOUNT_VIOLATION","violation_info":{"violation_type":"SCAM"}}', :t + 4) \g /dev/null
SELECT pg_temp.send('account_update', '{"event":"VOLUME_BASED_PRICING_TIER_UPDATE","volume_tier_info":{"tier":"0:250000"}}', :t + 5) \g /dev/null
SELECT is(pg_temp.alerts(), 'info account_update VOLUME_BASED_PRICING_TIER_UPDATE, error account_violation', 'other news of the account');
DELETE FROM whatsapp_alerts;
SELECT pg_temp.send('account_alerts', '{"entity_type":"BUSINESS","entity_id":"400000000000001","alert_info":{"alert_severity":"WARNING","alert_status":"NONE","alert_type":"OBA","alert_description":"…"}}', :t) \g /dev/null
SELECT pg_temp.send('account_review_update', '{"decision":"REJECTED"}', :t) \g /dev/null
SELECT pg_temp.send('security', '{"display_phone_number":"34600000000","event":"PIN_CHANGED","requester":"1"}', :t) \g /dev/null
SELECT pg_temp.send('business_username_update', '{"display_phone_number":"34600000000","username":"clinica.ejemplo","status":"approved"}', :t) \g /dev/null
SELECT is(pg_temp.alerts(), 'warning account_alert BUSINESS 400000000000001 OBA, error account_review, info business_username 100000000000001, warning security 100000000000001', 'alerts, review, security, user name');
SELECT pg_temp.send('account_review_update', '{"decision":"APPROVED"}', :t + 1) \g /dev/null
SELECT pg_temp.send('account_alerts', '{"entity_type":"BUSINESS","entity_id":"400000000000001","alert_info":{"alert_severity":"WARNING","alert_status":"RESOLVED","alert_type":"OBA"}}', :t + 1) \g /dev/null
SELECT is(pg_temp.alerts(), 'info business_username 100000000000001, warning security 100000000000001', 'and what is over');
DELETE FROM whatsapp_alerts;
SELECT is(pg_temp.counts(pg_temp.post(pg_temp.envelope(pg_temp.messages_change('{"errors": [{"code": 130429, "title": "Rate limit hit", "error_data": {"details": "Too many"}}]}')))), '1/0/0/0', 'errors of a whole change');
SELECT is(pg_temp.alerts(), 'warning webhook_error 100000000000001/130429', 'are reported');

/* They carry no time. */
CREATE FUNCTION pg_temp.error_again(minutes integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    counts text;
BEGIN
    UPDATE whatsapp_account_events SET happened_at = happened_at - make_interval(mins => minutes), received_at = received_at - make_interval(mins => minutes);
    UPDATE whatsapp_alerts SET last_seen_at = last_seen_at - make_interval(mins => minutes);
    counts := pg_temp.counts(pg_temp.post(pg_temp.envelope(pg_temp.messages_change('{"errors": [{"code": 130429, "title": "Rate limit hit", "error_data": {"details": "Too many"}}]}'))));
    RETURN counts || (SELECT string_agg(format(' %s%s', a.occurrences, CASE WHEN a.resolved_at IS NOT NULL THEN ' resolved' END), ',' ORDER BY a.alert_id) FROM whatsapp_alerts AS a WHERE a.kind = 'webhook_error');
END
$$;
SELECT is(pg_temp.error_again(0), '0/1/0/0 1', 'a webhook that Meta repeats at once counts once');
SELECT is(pg_temp.error_again(9), '0/1/0/0 1', 'and some minutes later');
SELECT is(pg_temp.error_again(2), '1/0/0/0 2', 'the same error later than that is one more');
SELECT ok(last_seen_at > now(), 'of which the open alert tells when') FROM whatsapp_alerts WHERE kind = 'webhook_error';
SELECT is(pg_temp.error_again(5), '0/1/0/0 2', 'whose repetitions do not count either');
SELECT wa_resolve_alert(alert_id) FROM whatsapp_alerts WHERE kind = 'webhook_error' \g /dev/null
SELECT is(pg_temp.error_again(1), '0/1/0/0 2 resolved', 'nor open an alert that was resolved meanwhile');
SELECT is(pg_temp.error_again(11), '1/0/0/0 2 resolved, 1', 'but the error does when it happens again');
SELECT is(pg_temp.send('security', '{"display_phone_number":"34600000000","event":"PIN_CHANGED","requester":"1"}', :t), '0/1/0/0', 'what carries a time is known for good');

DELETE FROM whatsapp_alerts;
SELECT pg_temp.post(pg_temp.envelope(pg_temp.messages_change('{"errors": [{"code": 131057, "title": "Maintenance"}, {"code": 131005, "title": "Access denied"}]}'))) \g /dev/null
SELECT is(pg_temp.alerts(), 'warning webhook_error 100000000000001/131005, warning webhook_error 100000000000001/131057', 'two errors of one number are two alerts');

/* ---- what cannot be used ---- */

SELECT is(pg_temp.send('message_template_status_update', '{"event":"PAUSED"}', :t + 20), '0/0/1/0', 'an event that makes its function fail');
SELECT is((SELECT count(*) FROM whatsapp_account_events WHERE value = '{"event":"PAUSED"}'), 0::bigint, 'leaves nothing of it');
SELECT is((SELECT reason FROM whatsapp_parked_events WHERE event #>> '{value,event}' = 'PAUSED'), 'failed: template not named', 'but its text and the reason');
SELECT is(pg_temp.counts(pg_temp.post(jsonb_build_object('object', 'whatsapp_business_account', 'entry', jsonb_build_array(jsonb_build_object('time', :t + 9, 'changes', jsonb_build_array(
    pg_temp.change('security', '{"event":"PIN_RESET_REQUEST"}'), pg_temp.change('user_preferences', '{"user_preferences":[{"value":"stop","timestamp":"x"}]}'), pg_temp.change('account_review_update', '{"decision":"APPROVED"}')))))::text)), '2/0/1/0',
    'and does not spoil its neighbours');

SELECT finish();
ROLLBACK;
