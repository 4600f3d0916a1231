/*
 * The listing of the account's numbers, as Meta sends it, and what changes in it mean.
 */
\ir ../lib/begin.sql
SELECT plan(33);

CREATE FUNCTION pg_temp.open_alerts() RETURNS text LANGUAGE sql AS $$
    SELECT COALESCE(string_agg(concat_ws(' ', severity, kind, NULLIF(key, '')), ', ' ORDER BY kind, key), 'none')
    FROM whatsapp_alerts WHERE resolved_at IS NULL
$$;
CREATE FUNCTION pg_temp.listing(status text, quality text, tier text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('data', jsonb_build_array(jsonb_build_object('id', '100000000000001', 'display_phone_number', '+34 600 00 00 01',
        'verified_name', 'Panadería Ejemplo', 'status', status, 'quality_rating', quality, 'code_verification_status', 'VERIFIED',
        'name_status', 'APPROVED', 'platform_type', 'CLOUD_API', 'account_mode', 'LIVE', 'throughput', '{"level": "STANDARD"}'::jsonb,
        'whatsapp_business_manager_messaging_limit', tier, 'last_onboarded_time', '2026-03-02T09:12:44+0000')))
$$;

/* What else happens by itself when quality falls is not the subject here. */
UPDATE whatsapp_damage_policies SET action = 'alert';

/* ---- taking over ---- */

SELECT wa_assign_phone('panaderia', '100000000000001', '+34600000001') \g /dev/null
SELECT is(wa_internal_apply_phone_number_page(pg_temp.listing('CONNECTED', 'GREEN', 'TIER_2K')), 1, 'a page of one number');
SELECT is(display_phone_number, '+34 600 00 00 01', 'Meta''s way of writing it counts') FROM whatsapp_phone_numbers;
SELECT is((verified_name, status, quality_rating, code_verification_status, name_status)::text,
    '("Panadería Ejemplo",CONNECTED,GREEN,VERIFIED,APPROVED)', 'all fields are taken over') FROM whatsapp_phone_numbers;
SELECT is((platform_type, account_mode, throughput_level, messaging_limit, source)::text,
    '(CLOUD_API,LIVE,STANDARD,TIER_2K,sync)', 'these, too') FROM whatsapp_phone_numbers;
SELECT is((SELECT count(*) FROM whatsapp_phone_numbers), 1::bigint, 'the number that was entered by hand is the same one');
SELECT is(wa_internal_finish_phone_number_sync(now() - interval '1 second'), 0, 'nothing has vanished');
SELECT is(items, 1, 'one number was found') FROM whatsapp_sync WHERE kind = 'phone_numbers';
SELECT is(pg_temp.open_alerts(), 'none', 'all is well');
SELECT wa_internal_apply_phone_number_page('{"data": [{"id": "100000000000001"}]}') \g /dev/null
SELECT is(status, 'CONNECTED', 'a field that is absent stays as it was') FROM whatsapp_phone_numbers;

/* ---- numbers that are also in the app ---- */

CREATE FUNCTION pg_temp.rate() RETURNS real LANGUAGE sql AS 'SELECT messages_per_second FROM wa_number_status';
SELECT wa_internal_apply_phone_number_page('{"data": [{"id": "100000000000001", "throughput": {"level": "HIGH"}, "is_on_biz_app": true}]}') \g /dev/null
SELECT is(pg_temp.rate(), 20::real, 'a number that is also in the app sends twenty a second at most');
UPDATE whatsapp_phone_numbers SET messages_per_second = 5;
SELECT is(pg_temp.rate(), 5::real, 'or less, if somebody says so');
UPDATE whatsapp_phone_numbers SET messages_per_second = 50;
SELECT is(pg_temp.rate(), 20::real, 'and not more');
UPDATE whatsapp_phone_numbers SET messages_per_second = NULL;
SELECT wa_internal_apply_phone_number_page('{"data": [{"id": "100000000000001", "throughput": {"level": "STANDARD"}, "is_on_biz_app": false}]}') \g /dev/null
SELECT is(pg_temp.rate(), 80::real, 'until it is there no longer');

/* ---- changes for the worse, and back ---- */

SELECT wa_internal_apply_phone_number_page(pg_temp.listing('CONNECTED', 'YELLOW', 'TIER_2K')) \g /dev/null
SELECT is(pg_temp.open_alerts(), 'warning number_quality 100000000000001', 'yellow is a warning');
SELECT wa_internal_apply_phone_number_page(pg_temp.listing('CONNECTED', 'RED', 'TIER_2K')) \g /dev/null
SELECT is(pg_temp.open_alerts(), 'error number_quality 100000000000001', 'red is worse');
SELECT wa_internal_apply_phone_number_page(pg_temp.listing('CONNECTED', 'RED', 'TIER_2K')) \g /dev/null
SELECT is(occurrences, 2, 'no news is not counted') FROM whatsapp_alerts;
SELECT wa_internal_apply_phone_number_page(pg_temp.listing('CONNECTED', 'GREEN', 'TIER_2K')) \g /dev/null
SELECT is(pg_temp.open_alerts(), 'none', 'green closes the alert');

SELECT wa_internal_apply_phone_number_page(pg_temp.listing('FLAGGED', 'GREEN', 'TIER_250')) \g /dev/null
SELECT is(pg_temp.open_alerts(), 'warning messaging_limit, warning number_status 100000000000001', 'status and limit have alerts of their own');
SELECT wa_internal_apply_phone_number_page(pg_temp.listing('BANNED', 'GREEN', 'TIER_UNLIMITED')) \g /dev/null
SELECT is(pg_temp.open_alerts(), 'error number_status 100000000000001', 'a higher limit closes the one, a ban makes the other worse');
SELECT wa_internal_apply_phone_number_page(pg_temp.listing('CONNECTED', 'GREEN', 'TIER_10K')) \g /dev/null
SELECT is(pg_temp.open_alerts(), 'warning messaging_limit', 'unlimited to anything is less');
SELECT wa_internal_apply_phone_number_page(pg_temp.listing('CONNECTED', 'GREEN', 'TIER_100K')) \g /dev/null

SELECT is(wa_internal_limit_size('TIER_250'), 250::bigint, 'limits are read: 250');
SELECT is(wa_internal_limit_size('TIER_100K'), 100000::bigint, '100K');
SELECT is(wa_internal_limit_size('TIER_UNLIMITED'), NULL, 'unlimited has no size');

/* ---- numbers that vanish ---- */

SELECT wa_internal_apply_phone_number_page('{"data": [{"id": "100000000000002", "status": "CONNECTED"}]}') \g /dev/null
CREATE TEMP TABLE run AS SELECT clock_timestamp() AS started;
SELECT wa_internal_apply_phone_number_page('{"data": [{"id": "100000000000002"}]}') \g /dev/null
SELECT is(wa_internal_finish_phone_number_sync(started), 1, 'a number that is not listed any more has vanished') FROM run;
SELECT is(health, 'missing', 'its tenant cannot send') FROM wa_number_status WHERE tenant_id = 'panaderia';
SELECT is(pg_temp.open_alerts(), 'error number_missing 100000000000001', 'which is an error, since it has a tenant');
SELECT is(wa_internal_finish_phone_number_sync(started), 0, 'it vanishes once') FROM run;
SELECT wa_internal_apply_phone_number_page(pg_temp.listing('CONNECTED', 'GREEN', 'TIER_100K')) \g /dev/null
SELECT is(pg_temp.open_alerts(), 'none', 'and may come back');

CREATE TEMP TABLE empty_run AS SELECT clock_timestamp() AS started;
SELECT is(wa_internal_finish_phone_number_sync(started), 0, 'if nothing at all is listed, nothing is believed to have vanished') FROM empty_run;
SELECT is(pg_temp.open_alerts(), 'warning no_numbers', 'but somebody should look');

/* ---- bad pages ---- */

SELECT throws_ok($$SELECT wa_internal_apply_phone_number_page('{"error": {}}')$$, '22023', 'page of phone numbers has no list "data"', 'a page has a list');
SELECT is(wa_internal_apply_phone_number_page('{"data": [{"id": "abc"}, {}, 3, {"id": "100000000000003", "status": 7}]}'), 1,
    'entries without an identifier are passed over');

/* ---- asking for it ---- */

SELECT wa_sync_phone_numbers() \g /dev/null
SELECT ok(requested_at IS NOT NULL, 'the sender is asked by a row') FROM whatsapp_sync WHERE kind = 'phone_numbers';

SELECT * FROM finish();
ROLLBACK;
