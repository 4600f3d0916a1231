/*
 * Requests as a whole: the handshake, the signature, and what is no webhook.
 */
\ir ../lib/begin.sql
\ir ../lib/webhook.sql
SELECT plan(40);

/* ---- the handshake ---- */

SELECT is(wa_webhook_challenge('subscribe', 'verify-me', '1158201444'), '1158201444', 'the right token gets the challenge back');
SELECT throws_ok($$SELECT wa_webhook_challenge('subscribe', 'verify-m', '1')$$, '28000', 'invalid webhook verify token', 'a beginning of the token is not the token');
SELECT throws_ok($$SELECT wa_webhook_challenge('subscribe', 'verify-me2', '1')$$, '28000', NULL, 'nor is more than the token');
SELECT throws_ok($$SELECT wa_webhook_challenge('subscribe', 'verify-meverify-me', '1')$$, '28000', NULL, 'nor the token twice');
SELECT throws_ok($$SELECT wa_webhook_challenge('unsubscribe', 'verify-me', '1')$$, '22023', 'invalid mode in webhook handshake', 'there is one mode');
SELECT throws_ok($$SELECT wa_webhook_challenge('subscribe', NULL, '1')$$, '22004', NULL, 'no token is an error');
SELECT throws_ok($$SELECT wa_webhook_challenge('subscribe', 'verify-me', repeat('1', 1025))$$, '22023', NULL, 'a challenge has a size');

/* ---- the signature ---- */

CREATE FUNCTION pg_temp.ingest(body text, signature text) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.counts(wa_webhook_ingest(convert_to(body, 'UTF8'), signature))
$$;
SELECT is(pg_temp.hmac_sha256('what do ya want for nothing?', 'Jefe'),
    '\x5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843', 'the tests compute HMAC-SHA256 as RFC 4231 does');
SELECT is(pg_temp.counts(pg_temp.post(pg_temp.envelope())), '0/0/0/0', 'an empty webhook with the current secret');
SELECT is(pg_temp.counts(pg_temp.post(pg_temp.envelope(), 'previous-secret')), '0/0/0/0', 'with the previous one');
SELECT throws_ok($$SELECT pg_temp.post(pg_temp.envelope(), 'another-secret')$$, '28000', 'invalid webhook signature', 'with another one');
SELECT throws_ok($$SELECT pg_temp.ingest('{}', NULL)$$, '28000', NULL, 'without a signature');
SELECT throws_ok($$SELECT pg_temp.ingest('{}', substr(pg_temp.sign('{}'), 8))$$, '28000', NULL, 'without the name of the algorithm');
SELECT throws_ok($$SELECT pg_temp.ingest('{}', 'sha1=' || substr(pg_temp.sign('{}'), 8, 40))$$, '28000', NULL, 'with the older algorithm');
SELECT throws_ok($$SELECT pg_temp.ingest('{}', 'SHA256=' || substr(pg_temp.sign('{}'), 8))$$, '28000', NULL, 'with its name in capitals');
SELECT throws_ok($$SELECT pg_temp.ingest('{}', left(pg_temp.sign('{}'), -1))$$, '28000', NULL, 'with a digit too few');
SELECT throws_ok($$SELECT pg_temp.ingest('{}', pg_temp.sign('{}') || '0')$$, '28000', NULL, 'with a digit too many');
SELECT throws_ok($$SELECT pg_temp.ingest('{}', left(pg_temp.sign('{}'), -1) || 'g')$$, '28000', NULL, 'with what is no digit');
SELECT throws_ok($$SELECT pg_temp.ingest('{}', ' ' || pg_temp.sign('{}'))$$, '28000', NULL, 'with a space before it');
SELECT throws_ok($$SELECT pg_temp.ingest('{} ', pg_temp.sign('{}'))$$, '28000', NULL, 'one byte more');
SELECT lives_ok($$SELECT pg_temp.ingest('{}', 'sha256=' || upper(substr(pg_temp.sign('{}'), 8)))$$, 'digits may be capitals');
SELECT throws_ok($$SELECT wa_webhook_ingest(NULL, 'x')$$, '22004', NULL, 'no body');
SELECT throws_ok($$SELECT wa_webhook_ingest(decode(repeat('20', 4 * 1024 * 1024 + 1), 'hex'), 'x')$$, '54000', NULL, 'more than four megabytes, before anything is computed');
SELECT lives_ok($$SELECT pg_temp.post('{"object": "whatsapp_business_account", "entry": []' || repeat(' ', 3 * 1024 * 1024) || '}')$$, 'three megabytes');
DELETE FROM whatsapp_parked_events;

/* ---- not JSON, or not an envelope ---- */

CREATE FUNCTION pg_temp.parked(body text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    counts text := pg_temp.counts(pg_temp.post(body));
BEGIN
    RETURN counts || ' ' || (SELECT concat_ws(': ', kind, reason) FROM whatsapp_parked_events ORDER BY parked_id DESC LIMIT 1);
END
$$;
SELECT is(pg_temp.parked(''), '0/0/1/0 body: not JSON: invalid value at byte 0', 'nothing at all');
SELECT is(pg_temp.parked('<html>'), '0/0/1/0 body: not JSON: invalid value at byte 0', 'a page');
SELECT is(pg_temp.parked('{"object": "whatsapp_business_account", "entry": ['), '0/0/1/0 body: not JSON: invalid value at byte 50', 'cut off');
SELECT is(pg_temp.parked(repeat('[', 100000)), '0/0/1/0 body: not JSON: nested too deeply at byte 64', 'nested without end');
SELECT is(pg_temp.parked('{"object": "page", "entry": []}'), '0/0/1/0 body: wrong_object', 'another product of Meta''s');
SELECT is(pg_temp.parked('[1, 2]'), '0/0/1/0 body: wrong_object', 'no object');
SELECT is(pg_temp.parked('{"object": "whatsapp_business_account"}'), '0/0/1/0 body: entry_missing', 'no entry');
SELECT is(pg_temp.parked('{"object": "whatsapp_business_account", "entry": [{"id": "1"}]}'), '0/0/1/0 entry: changes_missing', 'no changes');
SELECT is(pg_temp.parked('{"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages"}]}]}'),
    '0/0/1/0 change: field_or_value_missing', 'no value');
SELECT is(pg_temp.parked(pg_temp.envelope(pg_temp.change('something_new', '{"a": 1}'))), '0/0/1/0 change: unknown_field', 'a field that is not known');
SELECT is(pg_temp.parked(pg_temp.envelope(pg_temp.messages_change('{"statuses": {}}'))), '0/0/1/0 change: statuses_not_an_array', 'statuses that are no array');
SELECT is(event, '{"field": "something_new", "value": {"a": 1}}', 'what was not understood is kept')
    FROM whatsapp_parked_events WHERE reason = 'unknown_field';
SELECT is(pg_temp.counts(pg_temp.post('<html>')), '0/1/0/0', 'and kept once');
SELECT is(pg_temp.counts(wa_webhook_ingest('\x7b22ff227d', pg_temp.sign('\x7b22ff227d'))), '0/0/1/0', 'not UTF-8');
SELECT is(body, '\x7b22ff227d', 'the bytes are kept') FROM whatsapp_parked_events WHERE reason = 'not UTF-8';
SELECT is((SELECT count(*) FROM whatsapp_webhook_traffic WHERE phone_number_id = '100000000000001'), 1::bigint, 'that something came is noted');

SELECT finish();
ROLLBACK;
