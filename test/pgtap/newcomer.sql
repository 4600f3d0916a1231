/*
 * What somebody meets who uses this for the first time: wrong input, one a
 * line, with the SQLSTATE, the message, and the hint that says how to go on.
 */
\ir ../lib/begin.sql
SELECT plan(113);

/* The answer to a call: SQLSTATE, message and hint; for a call that is accepted "00000" and its NOTICE. */
CREATE FUNCTION pg_temp.answer(call text, OUT state text, OUT message text, OUT hint text, OUT detail text)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE call;
    state := '00000';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT,
        detail = PG_EXCEPTION_DETAIL;
END
$$;
/* Patterns of LIKE; an empty hint means that the message says it all. */
CREATE FUNCTION pg_temp.wrong(call text, state text, message text, hint text) RETURNS text LANGUAGE sql AS $$
    SELECT CASE
        WHEN a.state = $2 AND a.message LIKE $3 AND COALESCE(a.hint, '') LIKE $4 THEN pass(call)
        ELSE fail(call) || E'\n' || diag(concat_ws(' | ', a.state, a.message, a.hint)) END
    FROM pg_temp.answer('SELECT ' || call) AS a
$$;

/* An account as it is once Meta has been asked. */
SELECT wa_assign_phone('trigal', '100000000000001', '+34 600 00 00 01'),
    wa_assign_phone('alba', '100000000000002') \g /dev/null
INSERT INTO whatsapp_phone_numbers (phone_number_id, display_phone_number) VALUES ('100000000000003', '+34 600 00 00 03');
UPDATE whatsapp_phone_numbers SET source = 'sync', synced_at = now(), status = 'CONNECTED';
UPDATE whatsapp_sync SET finished_at = now(), items = 3 WHERE kind IN ('phone_numbers', 'templates');
SELECT wa_register_template('pedido', 'es', '[{"type": "HEADER", "format": "TEXT", "text": "Hola {{1}}"}, {"type": "BODY", "text": "{{1}} de {{2}}"}]'),
    wa_register_template('aviso', 'es', '[{"type": "BODY", "text": "Hola {{1}}"}]'),
    wa_register_template('aviso', 'ca', '[{"type": "BODY", "text": "Hola {{1}}"}]') \g /dev/null

/* ---- a name that is misspelt ---- */

SELECT pg_temp.wrong($$wa_configure_tenant('trigall', enabled => false)$$, '42704', 'tenant "trigall" does not exist', 'Did you mean "trigal"?');
SELECT pg_temp.wrong($$wa_configure_tenant('Trigal', enabled => false)$$, '42704', 'tenant "Trigal" does not exist', 'Did you mean "trigal"?');
SELECT pg_temp.wrong($$wa_configure_tenant('trigal ', enabled => false)$$, '42704', 'tenant "trigal " does not exist', 'Did you mean "trigal"?');
SELECT pg_temp.wrong($$wa_configure_tenant('molino', enabled => false)$$, '42704', 'tenant "molino" does not exist', '%wa_assign_phone()%is_new => true%');
SELECT pg_temp.wrong($$wa_configure_tenant('', enabled => false)$$, '22023', 'tenant_id must have 1 to 255 characters', '');
SELECT pg_temp.wrong($$wa_configure_tenant(repeat('x', 256), enabled => false)$$, '22023', 'tenant_id must have 1 to 255 characters', '');
SELECT pg_temp.wrong($$wa_configure_tenant(' nueva', is_new => true)$$, '22023', 'tenant_id must not begin or end with white space', '');
SELECT pg_temp.wrong($$wa_set_notification_settings('trigall', '{"whatsapp_enabled": false}')$$, '42704', 'tenant "trigall" does not exist', 'Did you mean "trigal"?');
SELECT pg_temp.wrong($$wa_notification_settings('trigall')$$, '42704', 'tenant "trigall" does not exist', 'Did you mean "trigal"?');
SELECT pg_temp.wrong($$wa_unassign_phone('trigall')$$, '42704', 'tenant "trigall" does not exist', 'Did you mean "trigal"?');
SELECT pg_temp.wrong($$wa_diagnose('trigall')$$, '42704', 'tenant "trigall" does not exist', 'Did you mean "trigal"?');
SELECT pg_temp.wrong($$wa_opt_out('trigall', '+34600000101')$$, '42704', 'tenant "trigall" does not exist', 'Did you mean "trigal"?');
SELECT pg_temp.wrong($$wa_opt_in('trigall', '+34600000101')$$, '42704', 'tenant "trigall" does not exist', 'Did you mean "trigal"?');
SELECT pg_temp.wrong($$wa_upload_media('trigall', '\x01', 'image/png')$$, '42704', 'tenant "trigall" does not exist', 'Did you mean "trigal"?');
SELECT pg_temp.wrong($$wa_pause('tenant', 'trigall')$$, '42704', 'tenant "trigall" does not exist', 'Did you mean "trigal"?');
SELECT pg_temp.wrong($$wa_resume('tenant', 'trigall')$$, '42704', 'tenant "trigall" does not exist', 'Did you mean "trigal"?');
SELECT pg_temp.wrong($$wa_enqueue_message('trigall', '+34600000101', 'aviso', '["x"]')$$, '42704', 'tenant "trigall" does not exist', 'Did you mean "trigal"?');
SELECT pg_temp.wrong($$wa_enqueue_bulk('trigall', 'aviso', '["+34600000101"]', '["x"]')$$, '42704', 'tenant "trigall" does not exist', 'Did you mean "trigal"?');
SELECT pg_temp.wrong($$wa_enqueue_message('trigal', '+34600000101', 'avisos', '["x"]')$$, '42704', 'template "avisos" does not exist', 'Did you mean "aviso"?%wa_sync_templates()%');
SELECT pg_temp.wrong($$wa_enqueue_message('trigal', '+34600000101', 'factura', '["x"]')$$, '42704', 'template "factura" does not exist', 'If it was created only now%');
SELECT pg_temp.wrong($$wa_enqueue_message('trigal', '+34600000101', 'aviso_ca', '["x"]')$$, '42704', 'template "aviso_ca" does not exist', 'Did you mean "aviso" in language "ca"?%');
SELECT pg_temp.wrong($$wa_enqueue_message('trigal', '+34600000101', 'aviso/ca', '["x"]')$$, '22023', 'invalid template name "aviso/ca"', 'The language is an argument of its own%');
SELECT pg_temp.wrong($$wa_enqueue_message('trigal', '+34600000101', 'Aviso', '["x"]')$$, '22023', 'invalid template name "Aviso"', '');
SELECT pg_temp.wrong($$wa_enqueue_message('trigal', '+34600000101', 'aviso', '["x"]', 'en')$$, '42704', 'template "aviso" does not exist in language "en"', 'Give one of these%');
SELECT pg_temp.wrong($$wa_enqueue_text('trigal', '+34600000101', 'x', fallback_template => 'avisos')$$, '42704', 'template "avisos" does not exist', 'Did you mean "aviso"?%');
SELECT pg_temp.wrong($$wa_enqueue_payload('trigal', '+34600000101', 'texto', '{"body": "x"}')$$, '22023', 'invalid message type "texto"', 'Did you mean "text"?');
SELECT pg_temp.wrong($$wa_pause('template', 'avisos')$$, '42704', 'template "avisos" does not exist', 'Did you mean "aviso"?%');
SELECT pg_temp.wrong($$wa_pause('template', 'aviso/en')$$, '42704', 'template "aviso" does not exist in language "en"', 'Give one of these%');
SELECT pg_temp.wrong($$wa_pause('number', '100000000000004')$$, '42704', 'phone number "100000000000004" does not exist', 'Did you mean "100000000000001" or %');
SELECT pg_temp.wrong($$wa_pause('Tenant', 'trigal')$$, '22023', 'unknown scope "Tenant"', 'Use account, number, tenant or template.');
SELECT pg_temp.wrong($$wa_register_template('nueva', 'es', '[]', status => 'OK')$$, '22023', 'invalid template status "OK"', '%APPROVED%');
SELECT pg_temp.wrong($$wa_grant('postgras', 'admin')$$, '42704', 'role "postgras" does not exist', 'Did you mean "postgres"?');

/* ---- the ID of something else, or no ID at all ---- */

SELECT pg_temp.wrong($$wa_assign_phone('miga', '100000000000009')$$, '42704', 'phone number "100000000000009" does not belong to the account', 'Did you mean %wa_sync_phone_numbers()%');
SELECT matches((pg_temp.answer($$SELECT wa_assign_phone('miga', '100000000000009')$$)).detail, '^Meta lists 3 numbers ', 'of which there are so many');
SELECT pg_temp.wrong($$wa_assign_phone('miga', '+34 600 00 00 03')$$, '22023', 'invalid phone_number_id "+34 600 00 00 03"', 'This is the phone number itself; its phone_number_id is "100000000000003".');
SELECT pg_temp.wrong($$wa_assign_phone('miga', '34600000003')$$, '22023', 'invalid phone_number_id "34600000003"', 'This is the phone number itself; its phone_number_id is "100000000000003".');
SELECT pg_temp.wrong($$wa_assign_phone('miga', '+34 600 00 00 09')$$, '22023', 'invalid phone_number_id "+34 600 00 00 09"', 'phone_number_id is the Meta ID of the number%');
SELECT pg_temp.wrong($$wa_assign_phone('miga', '0100000000000003')$$, '22023', 'invalid phone_number_id "0100000000000003"', 'phone_number_id is the Meta ID%');
SELECT pg_temp.wrong($$wa_assign_phone('miga', ' 100000000000003')$$, '22023', 'invalid phone_number_id " 100000000000003"', 'phone_number_id is the Meta ID%');
SELECT pg_temp.wrong($$wa_assign_phone('miga', '')$$, '22023', 'invalid phone_number_id ""', 'phone_number_id is the Meta ID%');
SELECT pg_temp.wrong($$wa_assign_phone('miga', '100000000000003', '+34 600 00 00 04')$$, '22023', 'display_phone_number "+34 600 00 00 04" is not that of phone number "100000000000003"', 'Leave it out%');
SELECT is((pg_temp.answer($$SELECT wa_assign_phone('miga', '100000000000003', '+34 600 00 00 04')$$)).detail, 'At Meta it is +34 600 00 00 03.', 'which is this');
SELECT pg_temp.wrong($$wa_assign_phone('100000000000003')$$, '22023', 'tenant_id "100000000000003" is the phone_number_id of a number', 'The tenant comes first%');
SELECT pg_temp.wrong($$wa_notification_settings('100000000000001')$$, '42704', 'tenant "100000000000001" does not exist', 'This is the number of tenant "trigal".');
SELECT pg_temp.wrong($$wa_enqueue_message('100000000000001', '+34600000101', 'aviso', '["x"]')$$, '42704', 'tenant "100000000000001" does not exist', 'This is the number of tenant "trigal".');
SELECT pg_temp.wrong($$wa_enqueue_message('trigal', '100000000000001', 'aviso', '["x"]')$$, '22023', 'invalid recipient phone number', 'Give the number in international form, % or the person''s business-scoped user ID, %');
SELECT pg_temp.wrong($$wa_enqueue_message('trigal', '0034600000101', 'aviso', '["x"]')$$, '22023', 'invalid recipient phone number', 'Give the number in international form, % or the person''s business-scoped user ID, %');
SELECT pg_temp.wrong($$wa_enqueue_message('trigal', '600000101', 'aviso', '["x"]')$$, '22023', 'invalid recipient phone number', 'Give the number in international form, % or the person''s business-scoped user ID, %');
SELECT pg_temp.wrong($$wa_pause('number', '+34600000003')$$, '42704', 'phone number "+34600000003" does not exist', 'Its phone_number_id is "100000000000003".');
SELECT pg_temp.wrong($$wa_enqueue_text('trigal', '+34600000101', 'x', context_message_id => '99')$$, '22023', 'argument "context_message_id" must be a message id of Meta''s%', '%whatsapp_message_id%');
SELECT pg_temp.wrong($$wa_enqueue_reaction('trigal', '+34600000101', '99', '👍')$$, '22023', 'message id of the reaction must be a message id of Meta''s%', '%whatsapp_message_id%');
SELECT pg_temp.wrong($$wa_enqueue_media('trigal', '+34600000101', 'image', media_id => 'foto.png')$$, '22023', 'media id must consist of digits', '');
SELECT pg_temp.wrong($$wa_explain(99)$$, '42704', 'message 99 does not exist', '%retention%');
SELECT pg_temp.wrong($$wa_cancel_message(-1)$$, '42704', 'message -1 does not exist', '');
SELECT pg_temp.wrong($$wa_retry_message(9223372036854775807)$$, '42704', 'message 9223372036854775807 does not exist', '');
SELECT pg_temp.wrong($$wa_resolve_alert(99)$$, '42704', 'alert 99 does not exist', '');
SELECT pg_temp.wrong($$wa_retry_reply(99)$$, '42704', 'there is no reply 99 with a handler', '');

/* ---- arguments that were swapped ---- */

SELECT pg_temp.wrong($$wa_assign_phone('100000000000003', 'miga')$$, '22023', 'invalid phone_number_id "miga"', 'The arguments seem to be swapped: wa_assign_phone(''miga'', ''100000000000003'').');
SELECT pg_temp.wrong($$wa_enqueue_message('trigal', 'aviso', '+34600000101', '["x"]')$$, '22023', 'invalid recipient phone number', 'The arguments seem to be swapped%');
SELECT pg_temp.wrong($$wa_enqueue_message('+34600000101', 'trigal', 'aviso', '["x"]')$$, '22023', 'invalid recipient phone number', 'The arguments seem to be swapped%');
SELECT pg_temp.wrong($$wa_enqueue_message('aviso', '+34600000101', 'trigal', '["x"]')$$, '42704', 'tenant "aviso" does not exist', 'The arguments seem to be swapped: "trigal" is a tenant.');
SELECT pg_temp.wrong($$wa_enqueue_text('trigal', 'hola', '+34600000101')$$, '22023', 'invalid recipient phone number', 'The arguments seem to be swapped%');
SELECT pg_temp.wrong($$wa_enqueue_text('hola', '+34600000101', 'trigal')$$, '42704', 'tenant "hola" does not exist', 'The arguments seem to be swapped: "trigal" is a tenant.');
SELECT pg_temp.wrong($$wa_enqueue_media('trigal', 'image', '+34600000101', 'https://example.com/x.png')$$, '22023', 'invalid recipient phone number', 'The arguments seem to be swapped%');
SELECT pg_temp.wrong($$wa_enqueue_payload('trigal', 'text', '+34600000101', '{"body": "x"}')$$, '22023', 'invalid recipient phone number', 'The arguments seem to be swapped%');
SELECT pg_temp.wrong($$wa_enqueue_bulk('aviso', 'trigal', '["+34600000101"]')$$, '42704', 'tenant "aviso" does not exist', 'The arguments seem to be swapped: "trigal" is a tenant.');
SELECT pg_temp.wrong($$wa_opt_out('+34600000101', 'trigal')$$, '42704', 'tenant "+34600000101" does not exist', 'The arguments seem to be swapped: "trigal" is a tenant.');
SELECT pg_temp.wrong($$wa_pause('trigal', 'tenant')$$, '22023', 'unknown scope "trigal"', 'The arguments seem to be swapped: the scope "tenant" comes first.');
SELECT pg_temp.wrong($$wa_resume('trigal', 'tenant')$$, '22023', 'unknown scope "trigal"', 'The arguments seem to be swapped%');
SELECT pg_temp.wrong($$wa_grant('admin', 'postgres')$$, '42704', 'role "admin" does not exist', 'The arguments seem to be swapped%');
SELECT pg_temp.wrong($$wa_enqueue_message('trigal', '600000101', 'aviso', '["x"]')$$, '22023', '%', 'Give%');

/* ---- nothing where something is needed ---- */

SELECT pg_temp.wrong($$wa_pause('tenant', NULL)$$, '22004', 'argument "key" must not be null', '');
SELECT pg_temp.wrong($$wa_pause('number', NULL)$$, '22004', 'argument "key" must not be null', '');
SELECT pg_temp.wrong($$wa_pause(NULL)$$, '22004', 'argument "scope" must not be null', '');
SELECT pg_temp.wrong($$wa_resume(NULL)$$, '22004', 'argument "scope" must not be null', '');
SELECT pg_temp.wrong($$wa_pause('tenant', 'trigal', '  ')$$, '22023', 'a pause needs a reason', '%');
SELECT pg_temp.wrong($$wa_pause('tenant', 'trigal', until => '-infinity')$$, '22023', 'the end of a pause must be in the future', '');
SELECT pg_temp.wrong($$wa_explain(NULL)$$, '22004', 'argument "wanted" must not be null', '');
SELECT pg_temp.wrong($$wa_cancel_message(NULL)$$, '22004', 'argument "id" must not be null', '');
SELECT pg_temp.wrong($$wa_resolve_alert(NULL)$$, '22004', 'argument "alert_id" must not be null', '');
SELECT pg_temp.wrong($$wa_retry_notification(NULL)$$, '22004', 'argument "failure_id" must not be null', '');
SELECT pg_temp.wrong($$wa_retry_reply(NULL)$$, '22004', 'argument "inbound_id" must not be null', '');
SELECT pg_temp.wrong($$wa_unregister_template('aviso', NULL)$$, '22004', 'argument "language" must not be null', '');
SELECT pg_temp.wrong($$wa_grant(NULL, 'admin')$$, '22004', 'argument "role" must not be null', '');
SELECT pg_temp.wrong($$wa_grant('postgres', NULL)$$, '22004', 'argument "privilege" must not be null', '');
SELECT pg_temp.wrong($$wa_diagnose(NULL)$$, '22004', 'tenant_id must not be null', '');
SELECT pg_temp.wrong($$wa_notification_settings(NULL)$$, '22004', 'tenant_id must not be null', '');
SELECT pg_temp.wrong($$wa_enqueue_text('trigal', '+34600000101', E' \n')$$, '22023', 'body of the text must not be blank', '');

/* ---- more than fits ---- */

SELECT pg_temp.wrong($$wa_enqueue_message('trigal', '+34600000101', 'pedido', jsonb_build_object('header', repeat('x', 200000), 'body', '["a", "b"]'::jsonb))$$, '22023', 'header of the template with its value is too long', '');
SELECT pg_temp.wrong($$wa_enqueue_message('trigal', '+34600000101', 'aviso', jsonb_build_object('components', jsonb_build_array(repeat('x', 200000))))$$, '54000', 'content of the message is larger than 131072 bytes', '');
SELECT pg_temp.wrong($$wa_enqueue_message('trigal', '+34600000101', 'aviso', '["x"]', scheduled_at => 'infinity')$$, '22023', 'argument "scheduled_at" must be finite', '');
SELECT pg_temp.wrong($$wa_enqueue_location('trigal', '+34600000101', 'NaN', 0)$$, '22023', 'latitude of the location%', '');
SELECT pg_temp.wrong($$wa_configure_tenant('trigal', messages_per_second => 'Infinity')$$, '22023', 'messages_per_second must be between 0.01 and 10000', '%wa_pause()%');

/* ---- notifications ---- */

CREATE TABLE orders (id bigint PRIMARY KEY, bakery text, phone text, what text);
SELECT pg_temp.wrong($$wa_create_notification('orders', 'avisos', 'bakery', 'phone', '["what"]')$$, '42704', 'template "avisos" does not exist', 'Did you mean "aviso"?%');
SELECT pg_temp.wrong($$wa_create_notification('orders', 'aviso', 'bakery', 'phone', '["what"]', language => 'en')$$, '42704', 'template "aviso" does not exist in language "en"', 'Give one of these%');
SELECT pg_temp.wrong($$wa_create_notification('orders', 'aviso', 'bakery', 'phone', '["what"]', language => 'Spanish')$$, '22023', 'invalid language code "Spanish"', '%');
SELECT pg_temp.wrong($$wa_create_notification('orders', 'aviso', 'bakery', 'phone')$$, '22023', 'parameters do not fit template "aviso" (es)', '%');
SELECT pg_temp.wrong($$wa_create_notification('orders', 'aviso', 'bakery', 'phone', '["what", "what"]')$$, '22023', 'parameters do not fit template "aviso" (es)', '%');
SELECT pg_temp.wrong($$wa_create_notification('orders', 'aviso', 'bakery', 'phone', '{"what": "what"}')$$, '22023', 'parameters do not fit template "aviso" (es)', '%');
SELECT pg_temp.wrong($$wa_create_notification('orders', 'pedido', 'bakery', 'phone', '["what", "what"]')$$, '22023', 'parameters do not fit template "pedido" (es)', '%');
SELECT is((SELECT count(*) FROM wa_notifications), 0::bigint, 'none of these was made');
SELECT is(wa_create_notification('orders', 'pedido', 'bakery', 'phone', '{"header": "what", "body": ["what", {"value": "x"}]}'), 'pedido', 'one that fits is');
SELECT is(wa_create_notification('orders', 'aviso', 'bakery', 'phone', '["what"]', language => 'ca'), 'aviso', 'also in another language');

/* ---- before Meta has been asked nothing can be checked against its lists ---- */

UPDATE whatsapp_sync SET finished_at = NULL;
SELECT lives_ok($$SELECT wa_assign_phone('miga', '100000000000009', '+34 600 00 00 09')$$, 'an unknown number is accepted then');
SELECT lives_ok($$SELECT wa_pause('template', 'factura'), wa_resume('template', 'factura')$$, 'and an unknown template');
SELECT lives_ok($$SELECT wa_create_notification('orders', 'factura', 'bakery', 'phone', '["what"]')$$, 'also for a notification');
SELECT is((SELECT state FROM wa_health() WHERE item = 'numbers'), 'warning', 'wa_health() says that the number is not confirmed');
SELECT pg_temp.wrong($$wa_enqueue_message('trigal', '+34600000101', 'factura', jsonb_build_object('header', repeat('x', 200000)))$$, '22023', 'header value is too long', '');

/* ---- and then it has: its list comes, without that number, and says what another one is ---- */

UPDATE whatsapp_phone_numbers SET synced_at = synced_at - interval '1 day';
SELECT wa_internal_apply_phone_number_page('{"data": [{"id": "100000000000001", "display_phone_number": "+34 600 00 00 01"},
    {"id": "100000000000007", "display_phone_number": "+34 600 00 00 07"}]}') \g /dev/null
SELECT wa_internal_finish_phone_number_sync(now()) \g /dev/null
UPDATE whatsapp_sync SET finished_at = now() WHERE kind = 'phone_numbers';
SELECT is((SELECT state FROM wa_health() WHERE item = 'number 100000000000009'), 'error', 'wa_health() says that Meta does not list it');
SELECT matches(message, '^Phone number 100000000000009 of tenant "miga" is not among the 2 ', 'so does an alert')
    FROM whatsapp_alerts WHERE kind = 'number_unlisted' AND resolved_at IS NULL;
SELECT pg_temp.wrong($$wa_assign_phone('miga', '100000000000009')$$, '42704', 'phone number "100000000000009" does not belong to the account', '%');
SELECT wa_internal_apply_phone_number_page('{"data": [{"id": "100000000000009", "display_phone_number": "+34 600 00 00 90"}]}') \g /dev/null
SELECT is((SELECT count(*) FROM whatsapp_alerts WHERE kind = 'number_unlisted' AND resolved_at IS NULL), 0::bigint, 'until Meta lists it');
SELECT matches(message, 'is \+34 600 00 00 90 at Meta and was entered as \+34 600 00 00 09', 'what was entered wrongly is corrected, and told')
    FROM whatsapp_alerts WHERE kind = 'number_display';

SELECT * FROM finish();
ROLLBACK;
