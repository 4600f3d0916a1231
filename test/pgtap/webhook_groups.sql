/*
 * What is written to a group is said to everybody in it, and not to us alone.
 */
\ir ../lib/begin.sql
\ir ../lib/webhook.sql
SELECT plan(7);

INSERT INTO whatsapp_phone_numbers (phone_number_id, display_phone_number) VALUES ('100000000000001', '+34 600 00 00 01');
INSERT INTO whatsapp_tenants (tenant_id) VALUES ('panaderia');
INSERT INTO whatsapp_phone_assignments (tenant_id, phone_number_id, assigned_at)
    VALUES ('panaderia', '100000000000001', now() - interval '10 days');

CREATE FUNCTION pg_temp.say(wamid text, words text, more jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.counts(pg_temp.post(pg_temp.envelope(pg_temp.messages_change(jsonb_build_object(
        'contacts', '[{"profile": {"name": "Tres"}, "wa_id": "34600000301", "user_id": "ES.301"}]'::jsonb,
        'messages', jsonb_build_array(jsonb_build_object('from', '34600000301', 'from_user_id', 'ES.301', 'id', wamid,
            'timestamp', '1764000000', 'type', 'text', 'text', jsonb_build_object('body', words)) || more))))), 'messages')
$$;
CREATE FUNCTION pg_temp.state() RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(', ', (SELECT count(*) FROM whatsapp_windows) || ' windows', (SELECT count(*) FROM whatsapp_opt_outs) || ' opt-outs')
$$;

SELECT is(pg_temp.say('wamid.G1', 'Buenos días a todos', '{"group_id": "Y2FwaV9ncm91cDox"}'), '1/0/0/0', 'a message to a group');
SELECT is(concat_ws('|', tenant_id, sender_phone, text, payload ->> 'group_id'), 'panaderia|+34600000301|Buenos días a todos|Y2FwaV9ncm91cDox',
    'is stored for the tenant, with the group') FROM whatsapp_inbound_messages;
SELECT is(pg_temp.say('wamid.G2', 'BAJA', '{"group_id": "Y2FwaV9ncm91cDox"}'), '1/0/0/0', 'so is a word that opts out, said to a group');
SELECT is(pg_temp.state(), '0 windows, 0 opt-outs', 'neither opens a window with who says it, nor takes back his consent');

SELECT is(pg_temp.say('wamid.G3', 'BAJA', '{}'), '1/0/0/0', 'the same to us alone');
SELECT is(pg_temp.state(), '2 windows, 2 opt-outs', 'does both, for his number and his user id');
SELECT pg_temp.say('wamid.G4', 'ALTA', '{"group_id": "Y2FwaV9ncm91cDox"}') \g /dev/null
SELECT is(pg_temp.state(), '2 windows, 2 opt-outs', 'and what he says to a group later opts him in no more');

SELECT * FROM finish();
ROLLBACK;
