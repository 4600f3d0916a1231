--
-- Settings documents: what is said about credentials and other keys, and every
-- error with its code, detail and hint.  No value of a credential may appear.
--
SET client_min_messages = error;
CREATE EXTENSION whatsapp_shared;
RESET client_min_messages;
\set SHOW_CONTEXT never

CREATE FUNCTION refusal(statement text, OUT state text, OUT message text, OUT detail text, OUT hint text)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    message := 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
END
$$;
\x on

SELECT FROM wa_assign_phone('panaderia', '100000000000001', '+34 600 00 00 01');
SELECT wa_notification_settings('panaderia');

-- a document of the time before
SELECT wa_set_notification_settings('panaderia', '{
    "whatsapp_enabled": true,
    "whatsapp_phone_number_id": "100000000000001",
    "whatsapp_access_token": "EAAG-secret-1",
    "whatsapp_app_secret": "secret-2",
    "whatsapp_business_account_id": "300000000000001",
    "email_enabled": true}');

SELECT * FROM refusal($$SELECT wa_set_notification_settings('panaderia', '{"whatsapp_phone_number_id": "100000000000002", "whatsapp_access_token": "EAAG-secret-1"}')$$);
SELECT FROM wa_configure_tenant('horno', is_new => true);
SELECT * FROM refusal($$SELECT wa_set_notification_settings('horno', '{"whatsapp_display_phone_number": "+34 600 00 00 02"}')$$);
SELECT * FROM refusal($$SELECT wa_set_notification_settings('panaderia', '{"whatsapp_enable": true}')$$);
SELECT * FROM refusal($$SELECT wa_set_notification_settings('panaderia', '{"whatsapp_enabled": "true"}')$$);
SELECT * FROM refusal($$SELECT wa_set_notification_settings('panaderia', '{"whatsapp_default_language": ["es"]}')$$);
SELECT * FROM refusal($$SELECT wa_set_notification_settings('panaderia', '{"whatsapp_default_language": "Spanish"}')$$);
SELECT * FROM refusal($$SELECT wa_set_notification_settings('panaderia', '"on"')$$);
SELECT * FROM refusal($$SELECT wa_notification_settings('nadie')$$);
SELECT * FROM refusal($$SELECT wa_import_settings('true')$$);
SELECT * FROM refusal($$SELECT wa_import_settings(NULL)$$);

-- a whole platform
\x off
SELECT * FROM wa_import_settings('[
    {"tenant_id": "panaderia", "whatsapp_enabled": false, "whatsapp_phone_number_id": "100000000000001"},
    {"tenant_id": "horno", "whatsapp_phone_number_id": "100000000000001", "whatsapp_access_token": "EAAG-secret-1"},
    {"tenant_id": "tahona", "whatsapp_phone_number_id": "100000000000004", "whatsapp_default_language": "en_US"},
    {"whatsapp_enabled": true},
    7]');

DROP FUNCTION refusal;
DROP EXTENSION whatsapp_shared;
