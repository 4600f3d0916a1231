/*
 * The settings document of a tenant, and documents of the time before.
 */
\ir ../lib/begin.sql
\ir ../lib/traces.sql
SELECT plan(39);

SELECT wa_assign_phone('panaderia', '100000000000001', '+34 600 00 00 01') \g /dev/null

/* ---- reading ---- */

SELECT is(wa_notification_settings('panaderia'),
    '{"whatsapp_enabled": true, "whatsapp_phone_number_id": "100000000000001",
      "whatsapp_display_phone_number": "+34 600 00 00 01", "whatsapp_default_language": "es"}',
    'the document has four settings');
SELECT wa_configure_tenant(12, is_new => true) \g /dev/null
SELECT is(wa_notification_settings(12) -> 'whatsapp_phone_number_id', 'null', 'without a number it says so');
SELECT throws_ok($$SELECT wa_notification_settings('nadie')$$, '42704', 'tenant "nadie" does not exist', 'an unknown tenant is an error');

/* ---- writing ---- */

SELECT is(wa_set_notification_settings('panaderia', '{"whatsapp_enabled": false}') -> 'whatsapp_enabled', 'false',
    'the document is taken over, and returned as it is then');
SELECT ok(NOT enabled, 'and it counts') FROM whatsapp_tenants WHERE tenant_id = 'panaderia';
SELECT is(wa_set_notification_settings('panaderia', '{}') -> 'whatsapp_enabled', 'false', 'what is absent stays');
SELECT is(wa_set_notification_settings('panaderia', wa_notification_settings('panaderia')), wa_notification_settings('panaderia'),
    'a document can be written back as it was read');
SELECT is((SELECT language FROM whatsapp_tenants WHERE tenant_id = 'panaderia'), NULL,
    'which does not pin the installation''s default language');
SELECT is(wa_set_notification_settings('panaderia', '{"whatsapp_default_language": "en_US"}') ->> 'whatsapp_default_language',
    'en_US', 'another language is kept');
SELECT is(wa_set_notification_settings('panaderia', '{"whatsapp_default_language": null}') ->> 'whatsapp_default_language',
    'es', 'and null returns to the default');
SELECT throws_ok($$SELECT wa_set_notification_settings('nueva', '{"whatsapp_enabled": true}')$$, '42704', 'tenant "nueva" does not exist', 'of a tenant that there is');

/* ---- the number belongs to the platform ---- */

SELECT lives_ok($$SELECT wa_set_notification_settings('panaderia', '{"whatsapp_phone_number_id": "100000000000001",
    "whatsapp_display_phone_number": "+34600000001"}')$$, 'a document may repeat the number, however it is written');
SELECT lives_ok($$SELECT wa_set_notification_settings('panaderia', '{"whatsapp_phone_number_id": "", "whatsapp_display_phone_number": null}')$$,
    'or leave it empty');
SELECT is(wa_notification_settings('panaderia') ->> 'whatsapp_phone_number_id', '100000000000001', 'which takes nothing away');
SELECT throws_ok($$SELECT wa_set_notification_settings('panaderia', '{"whatsapp_phone_number_id": "100000000000002", "whatsapp_enabled": true}')$$,
    '42501', 'a tenant cannot choose its own phone number', 'but not choose another');
SELECT throws_ok($$SELECT wa_set_notification_settings('panaderia', '{"whatsapp_display_phone_number": "+34 600 00 00 02"}')$$,
    '42501', NULL, 'in either form');
SELECT is(wa_notification_settings('panaderia') -> 'whatsapp_enabled', 'false', 'a refused document changes nothing');

/* ---- documents of the time before ---- */

CREATE FUNCTION pg_temp.old_document() RETURNS jsonb LANGUAGE sql AS $$
    SELECT '{"whatsapp_enabled": true, "whatsapp_phone_number_id": "100000000000001", "whatsapp_access_token": "EAAG-secret-1",
        "whatsapp_business_account_id": "300000000000001", "whatsapp_app_secret": "secret-2", "email_enabled": true}'::jsonb
$$;
SELECT lives_ok('SELECT wa_set_notification_settings(''panaderia'', pg_temp.old_document())', 'a document with credentials is accepted');
SELECT is(wa_notification_settings('panaderia') -> 'whatsapp_enabled', 'true', 'and its settings count');
SELECT is((SELECT dropped FROM wa_internal_settings_keys(pg_temp.old_document())),
    '{whatsapp_access_token,whatsapp_app_secret,whatsapp_business_account_id}', 'its credentials are known by name');
SELECT is((SELECT ignored FROM wa_internal_settings_keys(pg_temp.old_document())), '{email_enabled}', 'so is what does not concern us');
SELECT is((SELECT dropped FROM wa_internal_settings_keys('{"whatsapp_token": 1, "whatsapp_webhook_verify_token": 1, "whatsapp_api_key": 1,
    "whatsapp_phone_pin": 1, "WHATSAPP_ACCESS_TOKEN": 1, "access_token": 1, "whatsapp_waba_id": 1}')),
    '{WHATSAPP_ACCESS_TOKEN,access_token,whatsapp_api_key,whatsapp_phone_pin,whatsapp_token,whatsapp_waba_id,whatsapp_webhook_verify_token}',
    'credentials are recognised under many names');

/* No value of a credential has reached a table. */
SELECT is(pg_temp.tables_with('EAAG-secret-1'), '', 'no table has kept the token');
SELECT is(pg_temp.tables_with('secret-2'), '', 'or the secret');
SELECT isnt(pg_temp.tables_with('100000000000001'), '', 'while the number is found, so the search works');

/* ---- bad documents ---- */

SELECT throws_ok($$SELECT wa_set_notification_settings('panaderia', '{"whatsapp_enable": true}')$$, '22023',
    'unknown setting "whatsapp_enable"', 'a misspelt setting is an error');
SELECT throws_ok($$SELECT wa_set_notification_settings('panaderia', '{"whatsap_enabled": true}')$$, '22023', NULL, 'so is this one');
SELECT throws_ok($$SELECT wa_set_notification_settings('panaderia', '{"whatsapp_enabled": "yes"}')$$, '22023',
    '"whatsapp_enabled" must be true or false', 'a switch is a boolean');
SELECT throws_ok($$SELECT wa_set_notification_settings('panaderia', '{"whatsapp_default_language": 3}')$$, '22023',
    '"whatsapp_default_language" must be a string', 'a language is a string');
SELECT throws_ok($$SELECT wa_set_notification_settings('panaderia', '[]')$$, '22023', 'settings must be a JSON object', 'a document is an object');
SELECT throws_ok($$SELECT wa_set_notification_settings('panaderia', NULL)$$, '22023', 'settings must be a JSON object', 'and not null');

/* ---- a whole platform ---- */

CREATE TEMP TABLE imported AS SELECT * FROM wa_import_settings('{
    "horno":     {"whatsapp_enabled": true, "whatsapp_phone_number_id": "100000000000005", "whatsapp_display_phone_number": "+34 600 00 00 05",
                  "whatsapp_access_token": "EAAG-secret-1"},
    "tahona":    {"whatsapp_enabled": true, "whatsapp_phone_number_id": "100000000000001"},
    "obrador":   {"whatsapp_default_language": "nonsense"},
    "pasteleria": {"whatsapp_enabled": false, "newsletter": 1}}');
SELECT bag_eq('SELECT tenant_id, taken, dropped, ignored FROM imported WHERE refused IS NULL',
    $$VALUES ('horno', '{whatsapp_display_phone_number,whatsapp_enabled,whatsapp_phone_number_id}'::text[], '{whatsapp_access_token}'::text[], '{}'::text[]),
             ('pasteleria', '{whatsapp_enabled}', '{}', '{newsletter}')$$,
    'each tenant''s document is taken over, number included');
SELECT bag_eq('SELECT tenant_id, refused FROM imported WHERE refused IS NOT NULL',
    $$VALUES ('tahona', 'phone number "100000000000001" is already assigned. It is assigned to tenant "panaderia".'),
             ('obrador', 'invalid language code "nonsense"')$$,
    'or refused with the reason, without spoiling the others');
SELECT ok(NOT EXISTS (SELECT FROM whatsapp_tenants WHERE tenant_id IN ('tahona', 'obrador')), 'a refused document leaves nothing behind');
SELECT is((SELECT tenant_id FROM wa_import_settings('[{"tenant_id": "molino", "whatsapp_enabled": true}]')), 'molino',
    'documents may also come as an array');
SELECT is(taken, '{whatsapp_phone_number_id}', 'an id may be a number')
FROM wa_import_settings('{"molino": {"whatsapp_phone_number_id": 100000000000007}}');
SELECT bag_eq($$SELECT tenant_id, refused FROM wa_import_settings('[{"tenant_id": {"x": 1}}, {"tenant_id": null}, 3, {"tenant_id": 17}]')$$,
    $$VALUES (NULL, 'tenant_id must not be null'), (NULL, 'tenant_id must not be null'), (NULL, 'tenant_id must not be null'), ('17', NULL)$$,
    'an object is no name for a tenant');
SELECT cmp_ok(length(refused), '<=', 500, 'reasons are no longer than a person reads')
FROM wa_import_settings(jsonb_build_object('x', jsonb_build_object('whatsapp_default_language', repeat('es', 5000))));
SELECT throws_ok($$SELECT wa_import_settings('3')$$, '22023', NULL, 'but not as something else');

SELECT * FROM finish();
ROLLBACK;
