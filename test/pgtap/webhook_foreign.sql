/*
 * What Meta says of other accounts, to the same address: nothing of it is about ours.
 * The server's account is 300000000000001.
 */
\ir ../lib/begin.sql
\ir ../lib/webhook.sql
SELECT plan(20);

INSERT INTO whatsapp_phone_numbers (phone_number_id, display_phone_number, messaging_limit)
    VALUES ('100000000000001', '+34 600 00 00 01', 'TIER_2K');
INSERT INTO whatsapp_tenants (tenant_id) VALUES ('panaderia');
INSERT INTO whatsapp_phone_assignments (tenant_id, phone_number_id, assigned_at)
    VALUES ('panaderia', '100000000000001', now() - interval '10 days');
INSERT INTO whatsapp_templates (name, language, category, status, components, source)
    VALUES ('saludo', 'es', 'UTILITY', 'APPROVED', '[]', 'sync');

CREATE FUNCTION pg_temp.entry(id text, field text, value jsonb, at bigint DEFAULT 1764000000) RETURNS text LANGUAGE sql AS $$
    SELECT jsonb_build_object('object', 'whatsapp_business_account', 'entry', jsonb_build_array(jsonb_strip_nulls(
        jsonb_build_object('id', id, 'time', at, 'changes', jsonb_build_array(pg_temp.change(field, value))))))::text
$$;
CREATE FUNCTION pg_temp.send(id text, field text, value jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.counts(pg_temp.post(pg_temp.entry(id, field, value)))
$$;
CREATE FUNCTION pg_temp.state() RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws('; ', (SELECT status FROM whatsapp_templates), (SELECT messaging_limit FROM whatsapp_phone_numbers),
        (SELECT count(*) FROM whatsapp_pauses) || ' pauses', (SELECT count(*) FROM whatsapp_alerts) || ' alerts',
        (SELECT count(*) FROM whatsapp_account_events) || ' events', (SELECT count(*) FROM whatsapp_parked_events) || ' parked',
        (SELECT count(*) FROM whatsapp_inbound_messages) || ' inbound', (SELECT count(*) FROM whatsapp_opt_outs) || ' opt-outs',
        (SELECT count(*) FROM whatsapp_contacts) || ' contacts')
$$;
CREATE FUNCTION pg_temp.message(wamid text, number text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('metadata', jsonb_build_object('phone_number_id', number),
        'contacts', '[{"profile": {"name": "Ana"}, "wa_id": "34600000009"}]'::jsonb,
        'messages', jsonb_build_array(jsonb_build_object('from', '34600000009', 'id', wamid, 'timestamp', '1764000000',
            'type', 'text', 'text', '{"body": "BAJA"}'::jsonb)))
$$;
SELECT pg_temp.state() AS before \gset

/* ---- the account's events ---- */

SELECT is(pg_temp.send('888000000000001', 'message_template_status_update', '{"event": "DISABLED", "message_template_id": 1,
    "message_template_name": "saludo", "message_template_language": "es", "reason": "ABUSIVE_CONTENT"}'), '0/0/0/1', 'a template of another account');
SELECT is(pg_temp.send('888000000000001', 'account_update', '{"event": "ACCOUNT_DELETED"}'), '0/0/0/1', 'the end of another account');
SELECT is(pg_temp.send('888000000000001', 'business_capability_update', '{"max_daily_conversations_per_business": 250}'), '0/0/0/1',
    'the limit of another account');
SELECT is(pg_temp.send('888000000000001', 'no_such_field', '{}'), '0/0/0/1', 'what nobody knows of another account');
SELECT is(pg_temp.send('300000000000001', 'account_update', '{"event": "ACCOUNT_DELETED", "waba_info": {"waba_id": "888000000000001"}}'), '0/0/0/1',
    'the account that the event names counts more than that of its entry');
SELECT is(pg_temp.send('888000000000001', 'messages', '{"errors": [{"code": 130429, "title": "Rate limit hit"}]}'), '0/0/0/1', 'errors of another account');
SELECT is(pg_temp.counts(pg_temp.post(replace(pg_temp.entry('X', 'account_update', '{"event": "ACCOUNT_DELETED"}'), '"X"', '888000000000001'))), '0/0/0/1',
    'an account whose id is a number');
SELECT is(pg_temp.state(), :'before', 'all of it changes nothing');

/* ---- messages and statuses ---- */

SELECT is(pg_temp.counts(pg_temp.post(pg_temp.entry('888000000000001', 'messages', pg_temp.message('wamid.F1', '100000000000888'))), 'messages'),
    '0/0/0/1', 'a message to a number of another account');
SELECT is(pg_temp.send('888000000000001', 'messages', '{"metadata": {"phone_number_id": "100000000000888"}, "statuses": [
    {"id": "wamid.F2", "status": "sent", "timestamp": "1764000000"}, {"id": "wamid.F3", "status": "sent", "timestamp": "1764000000"}]}'), '0/0/0/2',
    'two statuses of another account are two');
SELECT is(pg_temp.send('888000000000001', 'user_preferences', '{"metadata": {"phone_number_id": "100000000000888"}, "user_preferences": [
    {"wa_id": "34600000009", "category": "marketing_messages", "value": "stop", "timestamp": 1764000000}]}'), '0/0/0/1', 'a preference of another account');
SELECT is(pg_temp.state(), :'before', 'they change nothing either');

/* ---- ours ---- */

SELECT is(pg_temp.counts(pg_temp.post(pg_temp.entry('888000000000001', 'messages', pg_temp.message('wamid.O1', '100000000000001'))), 'messages'),
    '1/0/0/0', 'a message to a number of ours is ours, whatever the entry says');
SELECT is(tenant_id, 'panaderia', 'and its tenant''s') FROM whatsapp_inbound_messages;
SELECT is((SELECT count(*) FROM whatsapp_opt_outs WHERE tenant_id = 'panaderia'), 1::bigint, 'and opts out');
SELECT is(pg_temp.send('888000000000001', 'messages', '{"metadata": {"phone_number_id": "100000000000001"}, "statuses": [
    {"id": "wamid.O2", "status": "sent", "timestamp": "1764000000"}]}'), '0/0/1/0', 'a status for it waits for its message');
SELECT is(pg_temp.counts(pg_temp.post(pg_temp.entry('300000000000001', 'messages', pg_temp.message('wamid.O3', '100000000000002'))), 'messages'),
    '1/0/0/0', 'so is a number of our account that we do not know yet');
SELECT is(pg_temp.send('400000000000009', 'account_update', '{"event": "ACCOUNT_DELETED", "waba_info": {"waba_id": "300000000000001"}}'), '1/0/0/0',
    'an event of the portfolio about our account');
SELECT is((SELECT reason FROM whatsapp_pauses), 'account_disabled', 'has its effect');
SELECT is(pg_temp.counts(pg_temp.post(pg_temp.entry('300000000000001', 'account_update', '{"event": "ACCOUNT_RECONNECTED"}', 1764000009))), '1/0/0/0',
    'and so has what our own entry says');

SELECT * FROM finish();
ROLLBACK;
