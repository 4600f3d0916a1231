/*
 * Whoever may be written to by a number may be written to by a user id, of this
 * portfolio or of its parent, and by every function.
 */
\ir ../lib/begin.sql
SELECT plan(14);

SELECT wa_assign_phone('panaderia', '100000000000001') \g /dev/null
SELECT wa_register_template('clave', 'es', '[{"type": "BODY", "text": "{{1}}"}]', category => 'AUTHENTICATION') \g /dev/null
INSERT INTO whatsapp_windows (phone_number_id, recipient, last_inbound_at)
    SELECT '100000000000001', r, now() FROM (VALUES ('CO.7001'), ('CO.ENT.7001')) AS v (r);

/* To whom a message goes that this call has written. */
CREATE FUNCTION pg_temp.addressed(call text, recipient text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    written bigint;
BEGIN
    EXECUTE 'SELECT ' || format(call, recipient) INTO written;
    RETURN (SELECT concat_ws('/', m.recipient_phone, m.recipient_user_id) FROM whatsapp_messages AS m WHERE m.id = written);
END $$;

SELECT is(array_agg(DISTINCT pg_temp.addressed(f.call, r)), ARRAY[r], format('%s by all functions', r))
FROM (VALUES
    ('wa_enqueue_message(''panaderia'', %L, ''aviso'', ''["a"]'')'),
    ('wa_enqueue_text(''panaderia'', %L, ''hola'')'),
    ('wa_enqueue_media(''panaderia'', %L, ''image'', link => ''https://example.com/a.png'')'),
    ('wa_enqueue_location(''panaderia'', %L, 4.6, -74.1)'),
    ('wa_enqueue_interactive(''panaderia'', %L, ''{"type": "button", "body": {"text": "a"}, "action": {"buttons": [{"type": "reply", "reply": {"id": "1", "title": "b"}}]}}'')'),
    ('wa_enqueue_contacts(''panaderia'', %L, ''[{"name": {"formatted_name": "Ana", "first_name": "Ana"}}]'')'),
    ('wa_enqueue_reaction(''panaderia'', %L, ''wamid.HBgL'', ''👍'')'),
    ('wa_enqueue_payload(''panaderia'', %L, ''text'', ''{"body": "hola"}'')'),
    ('wa_enqueue_bulk(''panaderia'', ''aviso'', jsonb_build_array(%L), ''["a"]'')'),
    ('wa_enqueue_bulk(''panaderia'', ''aviso'', jsonb_build_array(jsonb_build_object(''to'', %L)), ''["a"]'')')) AS f (call),
    (VALUES ('CO.7001'), ('CO.ENT.7001')) AS u (r)
GROUP BY r ORDER BY r;

SELECT throws_ok(format('SELECT wa_enqueue_message(''panaderia'', %L, ''clave'', ''["1234"]'')', r), '22023',
    'template "clave" can only be sent to a phone number', 'a login code does not go to ' || r)
FROM (VALUES ('CO.7001'), ('CO.ENT.7001')) AS u (r);
SELECT throws_ok(format('SELECT wa_enqueue_message(''panaderia'', %L, ''aviso'', ''["1"]'')', r), '22023', NULL, format('"%s" is no user id', r))
FROM (VALUES ('co.7001'), ('CO7001'), ('CO.'), ('CO.ENT.'), ('C.7001'), ('CO.70 01'), ('CO.' || repeat('7', 129))) AS u (r);

SELECT ok(wa_opt_out('panaderia', 'CO.7001', 'all'), 'one may opt out by it');
SELECT wa_enqueue_message('panaderia', 'CO.7001', 'aviso', '["a"]') \g /dev/null
SELECT is(status_reason, 'opted_out', 'and nothing is sent') FROM whatsapp_messages ORDER BY id DESC LIMIT 1;
SELECT is(wa_opt_in('panaderia', 'CO.7001', 'all'), true, 'and in');

SELECT * FROM finish();
ROLLBACK;
