/*
 * What customers write, in columns: every type in the shapes that Meta sends, and
 * what is said about a message later, or before it.
 */
\ir ../lib/begin.sql
\ir ../lib/webhook.sql
SELECT plan(67);

INSERT INTO whatsapp_tenants (tenant_id) VALUES ('panaderia');
INSERT INTO whatsapp_phone_numbers (phone_number_id, display_phone_number) VALUES ('100000000000001', '+34 600 00 00 00');
INSERT INTO whatsapp_phone_assignments (tenant_id, phone_number_id, assigned_at) VALUES ('panaderia', '100000000000001', pg_temp.at(1763000000));

CREATE SEQUENCE pg_temp.wamids;
CREATE FUNCTION pg_temp.say(wamid text, at bigint, type text, content jsonb, sender text DEFAULT '34600000001') RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.counts(pg_temp.post(pg_temp.envelope(pg_temp.messages_change(jsonb_build_object('messages', jsonb_build_array(
        jsonb_build_object('from', sender, 'id', wamid, 'timestamp', at::text, 'type', type) || content))))), 'messages')
$$;
CREATE FUNCTION pg_temp.row_of(wamid text) RETURNS whatsapp_inbound_messages LANGUAGE sql AS $$
    SELECT i FROM whatsapp_inbound_messages AS i WHERE whatsapp_message_id = $1
$$;
/* What is stored of a message of this type and content: one at a time, so that one that raises is found. */
CREATE FUNCTION pg_temp.stored(type text, content jsonb) RETURNS whatsapp_inbound_messages LANGUAGE plpgsql AS $$
DECLARE
    wamid CONSTANT text := 'wamid.S' || nextval('pg_temp.wamids');
BEGIN
    IF pg_temp.say(wamid, 1764000000, type, content) <> '1/0/0/0' THEN
        RAISE EXCEPTION 'not stored: %', left(content::text, 100);
    END IF;
    RETURN pg_temp.row_of(wamid);
END
$$;

/* ---- text ---- */

SELECT is((pg_temp.stored(t, c::jsonb)).text, words, what) FROM (VALUES
    ('text', '{"text":{"body":"Hola"}}', 'Hola', 'a text'),
    ('image', '{"image":{"id":"1","caption":"10 barras"}}', '10 barras', 'the caption of an image'),
    ('video', '{"video":{"id":"1","caption":"vídeo"}}', 'vídeo', 'of a video'),
    ('document', '{"document":{"id":"1","caption":"la lista","filename":"lista.pdf"}}', 'la lista', 'of a document'),
    ('audio', '{"audio":{"id":"1","voice":true}}', NULL, 'a voice message has none'),
    ('button', '{"button":{"text":"Sí","payload":"OK"}}', 'Sí', 'a button of a template'),
    ('interactive', '{"interactive":{"type":"list_reply","list_reply":{"id":"a","title":"09:30","description":"x"}}}', '09:30', 'a row'),
    ('interactive', '{"interactive":{"type":"nfm_reply","nfm_reply":{"body":"Sent","name":"flow","response_json":"{}"}}}', 'Sent', 'a form'),
    ('interactive', '{"interactive":{"type":"call_permission_reply","call_permission_reply":{"response":"accept"}}}', 'accept', 'leave to call'),
    ('location', '{"location":{"latitude":41.65,"longitude":-4.72}}', '41.65, -4.72', 'a place without a name'),
    ('location', '{"location":{"latitude":41.65,"longitude":-4.72,"address":"Calle Mayor 1"}}', 'Calle Mayor 1', 'or with an address only'),
    ('contacts', '{"contacts":[{"name":{"formatted_name":"Ana"},"phones":[{"phone":"+34 600 00 00 05"},{"phone":"+34 6"}]},{"name":{"first_name":"Bea"}}]}',
        'Ana (+34 600 00 00 05, +34 6); Bea', 'all contacts, with their numbers'),
    ('contacts', '{"contacts":{}}', NULL, 'none'),
    ('order', '{"order":{"catalog_id":"77","text":"Para mañana","product_items":[{"product_retailer_id":"barra","quantity":10,"item_price":0.8,"currency":"EUR"},{"product_retailer_id":"torta","quantity":"2"}]}}',
        E'Para mañana\n10 × barra (0.8 EUR)\n2 × torta', 'an order, line by line'),
    ('order', '{"order":{"product_items":"?"}}', NULL, 'or none'),
    ('edit', '{"edit":{"original_message_id":"wamid.none","message":{"type":"image","image":{"id":"12","caption":"20 barras"}}}}', '20 barras', 'an edited caption'),
    ('edit', '{"edit":{"original_message_id":"wamid.none","message":{"text":{"body":"tres"}}}}', 'tres', 'an edit that does not say of what type it is'),
    ('edit', '{"edit":{"original_message_id":"wamid.none","message":{"type":"edit","edit":{"message":{"text":{"body":"x"}}}}}}', NULL, 'an edit of an edit is none')
    ) AS v (t, c, words, what);

/* ---- columns ---- */

SELECT is(pg_temp.stored(t, c::jsonb)::whatsapp_inbound_messages::text IS NOT NULL, true, 'nonsense is stored: ' || c) FROM (VALUES
    ('location', '{"location":{"latitude":1e30,"longitude":"north"}}'), ('location', '{"location":{"latitude":91,"longitude":-181}}'),
    ('interactive', '{"interactive":{"type":"nfm_reply","nfm_reply":{"response_json":"{broken"}}}'),
    ('interactive', '{"interactive":{"type":"nfm_reply","nfm_reply":{"response_json":"{\"a\":\"\\u0000\"}"}}}'),
    ('interactive', '{"interactive":7}'), ('reaction', '{"reaction":[]}'), ('edit', '{"edit":"x"}'), ('order', '{"order":[1]}'), ('image', '{"image":"1"}')) AS v (t, c);
SELECT is((SELECT concat_ws('|', r.latitude, r.longitude, r.catalog_id) FROM pg_temp.stored('location', '{"location":{"latitude":41.652345678912,"longitude":"-4.72"}}') AS r),
    '41.6523457|-4.7200000', 'a location is two numbers');
SELECT is((SELECT concat_ws('|', r.latitude, r.longitude) FROM pg_temp.stored('location', '{"location":{"latitude":1e30,"longitude":-181}}') AS r), '', 'or none');
SELECT is((SELECT concat_ws('|', r.catalog_id, r.order_items #>> '{0,product_retailer_id}') FROM pg_temp.stored('order', '{"order":{"catalog_id":"77","product_items":[{"product_retailer_id":"barra"}]}}') AS r),
    '77|barra', 'an order has its catalog and its items');
SELECT is((SELECT concat_ws('|', r.catalog_id, r.product_retailer_id) FROM pg_temp.stored('text', '{"text":{"body":"¿Precio?"},"context":{"referred_product":{"catalog_id":"77","product_retailer_id":"barra"}}}') AS r),
    '77|barra', 'a question has the product that it is about');
SELECT is((SELECT concat_ws('|', r.referral_source_type, r.referral_source_id, r.referral_source_url, r.ctwa_clid)
    FROM pg_temp.stored('text', '{"text":{"body":"Hola"},"referral":{"source_type":"ad","source_id":"9","source_url":"https://fb.me/x","ctwa_clid":"clid","headline":"Pan"}}') AS r),
    'ad|9|https://fb.me/x|clid', 'whoever comes from an advertisement says from which');
SELECT is((SELECT array_agg((pg_temp.stored('text', jsonb_build_object('context', c::jsonb))).forwarded) FROM (VALUES ('{"forwarded":true}'), ('{"frequently_forwarded":true}'), ('{"forwarded":false}'), ('{}'), ('7')) AS v (c)),
    ARRAY[true, true, false, false, false], 'what is forwarded says so');
SELECT is((SELECT concat_ws('|', r.media_id, r.mime_type, r.filename) FROM pg_temp.stored('document', '{"document":{"id":"12","mime_type":"application/pdf","filename":"lista.pdf","sha256":"x"}}') AS r),
    '12|application/pdf|lista.pdf', 'a file has its id, type and name');

/* ---- forms ---- */

CREATE TABLE calls (argument jsonb);
CREATE FUNCTION filled_in(reply jsonb) RETURNS void LANGUAGE sql AS 'INSERT INTO public.calls VALUES (reply)';
SELECT wa_on_reply('ORD:', 'filled_in(jsonb)'), wa_on_reply('address_message', 'filled_in(jsonb)') \g /dev/null
SELECT pg_temp.new_message('accepted') AS m \gset
SELECT pg_temp.say('wamid.C6B', 1764000010, 'interactive', format('{"context":{"from":"34600000000","id":"wamid.%s"},"interactive":{"type":"nfm_reply","nfm_reply":{"name":"flow","body":"Sent","response_json":"{\"flow_token\":\"ORD:2\",\"qty\":\"4\"}"}}}', :m)::jsonb) \g /dev/null
SELECT is((SELECT argument #>> '{data,qty}' || ' ' || (argument ->> 'payload') || ' ' || (argument #>> '{message,id}') FROM calls), '4 ORD:2 ' || :m, 'a form reaches the handler of its token, with what was filled in');
SELECT pg_temp.say('wamid.ADR', 1764000011, 'interactive', '{"interactive":{"type":"nfm_reply","nfm_reply":{"name":"address_message","response_json":"{\"values\":{\"city\":\"León\"}}"}}}') \g /dev/null
SELECT is((SELECT argument #>> '{data,values,city}' FROM calls WHERE argument ->> 'payload' = 'address_message'), 'León', 'one without a token that of its name');
SELECT is((pg_temp.row_of('wamid.C6B')).handler, 'public.filled_in(pg_catalog.jsonb)', 'which is noted with it');

/* ---- edits and deletions, in any order ---- */

CREATE FUNCTION pg_temp.edit(wamid text, at bigint, original text, words text) RETURNS void LANGUAGE sql AS $$
    SELECT pg_temp.say(wamid, at, 'edit', jsonb_build_object('edit', jsonb_build_object('original_message_id', original,
        'message', jsonb_build_object('type', 'image', 'image', jsonb_strip_nulls(jsonb_build_object('id', '12', 'caption', words))))))
$$;
CREATE FUNCTION pg_temp.reads(wamid text) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws('|', text, extract(epoch FROM edited_at - pg_temp.at(1764000000))::integer, extract(epoch FROM revoked_at - pg_temp.at(1764000000))::integer) FROM pg_temp.row_of(wamid)
$$;
CREATE FUNCTION pg_temp.in_order(variant text, VARIADIC steps integer[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    step integer;
BEGIN
    FOREACH step IN ARRAY steps LOOP
        CASE step
            WHEN 0 THEN PERFORM pg_temp.say('wamid.' || variant, 1764000020, 'image', '{"image":{"id":"11","caption":"10 barras"}}');
            WHEN 1 THEN PERFORM pg_temp.edit('wamid.1' || variant, 1764000021, 'wamid.' || variant, '20 barras');
            WHEN 2 THEN PERFORM pg_temp.edit('wamid.2' || variant, 1764000022, 'wamid.' || variant, '30 barras');
            WHEN 3 THEN PERFORM pg_temp.say('wamid.3' || variant, 1764000023, 'revoke', jsonb_build_object('revoke', jsonb_build_object('original_message_id', 'wamid.' || variant)));
        END CASE;
    END LOOP;
    RETURN pg_temp.reads('wamid.' || variant);
END
$$;
SELECT is(pg_temp.in_order('a', 0, 1), '20 barras|21', 'a text follows its edit');
SELECT is((SELECT array_agg(DISTINCT pg_temp.in_order(variant, VARIADIC steps)) FROM (
    SELECT 'b' || row_number() OVER () AS variant, ARRAY[a, b, c, d] AS steps
    FROM generate_series(0, 3) AS a, generate_series(0, 3) AS b, generate_series(0, 3) AS c, generate_series(0, 3) AS d
    WHERE a <> b AND a <> c AND a <> d AND b <> c AND b <> d AND c <> d) AS p), ARRAY['30 barras|22|23'], 'the last one, and a deletion, in all 24 orders');
SELECT is(pg_temp.in_order('c', 1, 0, 1, 0), '20 barras|21', 'and repeated');
SELECT pg_temp.edit('wamid.9a', 1764000025, 'wamid.a', NULL) \g /dev/null
SELECT is(pg_temp.reads('wamid.a'), '25', 'a caption that was taken away is gone');
SELECT is((pg_temp.row_of('wamid.a')).payload #>> '{image,caption}', '10 barras', 'what was first written is kept');
SELECT is((SELECT count(*) FROM whatsapp_inbound_messages WHERE about_inbound_id = (pg_temp.row_of('wamid.b7')).inbound_id), 3::bigint, 'they know what they are about');
SELECT pg_temp.post(replace(pg_temp.envelope(pg_temp.messages_change(jsonb_build_object('messages', jsonb_build_array(jsonb_build_object('from', '34600000001', 'id', 'wamid.other', 'timestamp', '1764000030', 'type', 'revoke',
    'revoke', '{"original_message_id":"wamid.c"}'::jsonb)))))::text, '100000000000001', '100000000000002')) \g /dev/null
SELECT is(pg_temp.reads('wamid.c'), '20 barras|21', 'another number''s message is another''s');

/* ---- reactions ---- */

SELECT pg_temp.say('wamid.D7', 1764000040, 'reaction', format('{"reaction":{"message_id":"wamid.%s","emoji":"👍"}}', :m)::jsonb) \g /dev/null
SELECT is((SELECT concat_ws('|', message_id, text, about_inbound_id) FROM pg_temp.row_of('wamid.D7')), :m || '|👍', 'a reaction finds our message');
SELECT pg_temp.say('wamid.D8', 1764000041, 'reaction', '{"reaction":{"message_id":"wamid.later","emoji":"👍"}}') \g /dev/null
SELECT pg_temp.say('wamid.later', 1764000039, 'text', '{"text":{"body":"x"}}') \g /dev/null
SELECT is((pg_temp.row_of('wamid.D8')).about_inbound_id, (pg_temp.row_of('wamid.later')).inbound_id, 'or the customer''s, also one that comes later');
SELECT pg_temp.say('wamid.E9', 1764000050, 'reaction', format('{"reaction":{"message_id":"wamid.%s"}}', :m)::jsonb) \g /dev/null
SELECT is((SELECT concat_ws('|', message_id, text) FROM pg_temp.row_of('wamid.E9')), :m::text, 'so does its removal');
SELECT is(pg_temp.reads('wamid.D7'), '👍|50', 'which takes it back');
SELECT pg_temp.say('wamid.E7', 1764000045, 'reaction', format('{"reaction":{"message_id":"wamid.%s","emoji":"🙏"}}', :m)::jsonb) \g /dev/null
SELECT is(pg_temp.reads('wamid.D7') || ' ' || pg_temp.reads('wamid.E7'), '👍|45 🙏|50', 'one in between that comes late replaces it, and is taken back');
SELECT pg_temp.say('wamid.F1', 1764000046, 'reaction', format('{"reaction":{"message_id":"wamid.%s","emoji":"❤"}}', :m)::jsonb, '34600000002') \g /dev/null
SELECT is((SELECT string_agg(text, '') FROM whatsapp_inbound_messages WHERE message_id = :m AND message_type = 'reaction' AND revoked_at IS NULL AND text IS NOT NULL), '❤', 'another person has a reaction of his own');

/* ---- an edit that opts out ---- */

CREATE FUNCTION pg_temp.reword(wamid text, at bigint, original text, words text, sender text, more jsonb DEFAULT '{}') RETURNS void LANGUAGE sql AS $$
    SELECT pg_temp.say(wamid, at, 'edit', jsonb_build_object('edit', jsonb_build_object('original_message_id', original,
        'message', jsonb_build_object('type', 'text', 'text', jsonb_build_object('body', words)))) || more, sender)
$$;
CREATE FUNCTION pg_temp.says(wamid text, at bigint, words text, sender text) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.say(wamid, at, 'text', jsonb_build_object('text', jsonb_build_object('body', words)), sender)
$$;
/* The categories that somebody is out of, with the second of the word. */
CREATE FUNCTION pg_temp.out_of(sender text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(category || ' ' || extract(epoch FROM word_at - pg_temp.at(1764000000))::integer, ', ' ORDER BY category)
    FROM whatsapp_opt_outs WHERE recipient = '+' || sender
$$;
SELECT pg_temp.says('wamid.w1', 1764000100, 'Hola', '34600000011'), pg_temp.reword('wamid.w1e', 1764000110, 'wamid.w1', 'BAJA', '34600000011') \g /dev/null
SELECT is(pg_temp.out_of('34600000011'), 'marketing 110', 'a text that becomes BAJA opts out, when it is edited');
SELECT pg_temp.reword('wamid.w2e', 1764000110, 'wamid.w2', ' stop ', '34600000012'), pg_temp.says('wamid.w2', 1764000100, 'Hola', '34600000012') \g /dev/null
SELECT is(pg_temp.out_of('34600000012'), 'marketing 110', 'also if the edit comes before the text');
SELECT pg_temp.says('wamid.w3', 1764000100, 'BAJA', '34600000013'), pg_temp.says('wamid.w3i', 1764000105, 'ALTA', '34600000013'),
    pg_temp.reword('wamid.w3e', 1764000110, 'wamid.w3', 'Baja', '34600000013') \g /dev/null
SELECT is(pg_temp.out_of('34600000013'), NULL, 'a word that was one before says nothing new');
SELECT pg_temp.reword('wamid.w3f', 1764000111, 'wamid.w3', 'STOP ALL', '34600000013') \g /dev/null
SELECT is(pg_temp.out_of('34600000013'), 'all 111', 'unless it says more');
SELECT pg_temp.says('wamid.w4', 1764000100, 'BAJA', '34600000014'), pg_temp.reword('wamid.w4e', 1764000110, 'wamid.w4', 'Hola', '34600000014') \g /dev/null
SELECT is(pg_temp.out_of('34600000014'), 'marketing 100', 'to take the word back opts nobody in');
SELECT pg_temp.reword('wamid.w4f', 1764000111, 'wamid.w4', 'ALTA', '34600000014') \g /dev/null
SELECT is(pg_temp.out_of('34600000014'), 'marketing 100', 'nor does an edit to the word for that');
SELECT pg_temp.reword('wamid.w5e', 1764000110, 'wamid.w5', 'BAJA', '34600000015', '{"group_id": "G"}'), pg_temp.edit('wamid.w6e', 1764000110, 'wamid.w6', 'BAJA') \g /dev/null
SELECT is(pg_temp.out_of('34600000015'), NULL, 'what is edited in a group is not said to us');
SELECT is(pg_temp.out_of('34600000001'), NULL, 'and a caption is no word');

/* ---- before their message is known ---- */

DELETE FROM whatsapp_early_replies;
SELECT pg_temp.new_message('uncertain') AS u \gset
SELECT pg_temp.new_message('accepted') AS v \gset
DELETE FROM whatsapp_wamids WHERE message_id IN (:u, :v);
SELECT pg_temp.say('wamid.K1', 1764000120, 'reaction', '{"reaction":{"message_id":"wamid.lost","emoji":"👍"}}'),
    pg_temp.say('wamid.K2', 1764000121, 'text', '{"text":{"body":"sí"},"context":{"id":"wamid.slow"}}'),
    pg_temp.say('wamid.K3', 1764000122, 'text', '{"text":{"body":"sí"},"context":{"id":"wamid.never"}}') \g /dev/null
SELECT is((SELECT string_agg(whatsapp_message_id, ' ' ORDER BY inbound_id) FROM whatsapp_early_replies), 'wamid.lost wamid.slow wamid.never', 'what is about unknown messages waits for them');
SELECT is(wa_internal_match_early_replies(), 0::bigint, 'for a second at first');
CREATE FUNCTION pg_temp.wait_is_over() RETURNS void LANGUAGE sql AS $$ UPDATE whatsapp_early_replies SET next_look_at = '-infinity' $$;
SELECT pg_temp.wait_is_over() \g /dev/null
INSERT INTO whatsapp_wamids (whatsapp_message_id, message_id) VALUES ('wamid.slow', :v);
UPDATE whatsapp_inbound_messages SET tenant_id = NULL WHERE whatsapp_message_id = 'wamid.K2';
SELECT is(wa_internal_match_early_replies(), 1::bigint, 'one that a sender has recorded is found');
SELECT is((SELECT message_id || tenant_id FROM pg_temp.row_of('wamid.K2')), :v || 'panaderia', 'the reply knows it, and is its tenant''s');
SELECT ok((SELECT bool_and(next_look_at > clock_timestamp()) FROM whatsapp_early_replies), 'the others wait again');
SELECT pg_temp.post_statuses(pg_temp.status('wamid.lost', 'delivered', 1764000119, pg_temp.data(:u))) \g /dev/null
SELECT pg_temp.wait_is_over(), wa_internal_match_early_replies() \g /dev/null
SELECT is((pg_temp.row_of('wamid.K1')).message_id, :u::bigint, 'and so is one that a webhook tells of');
UPDATE whatsapp_early_replies SET received_at = now() - interval '8 days', next_look_at = '-infinity';
SELECT wa_internal_match_early_replies() \g /dev/null
SELECT is((SELECT count(*) FROM whatsapp_early_replies), 0::bigint, 'what nobody has sent is forgotten after a week');
SELECT pg_temp.say('wamid.K4', 1764000130, 'reaction', '{"reaction":{"message_id":"wamid.own","emoji":"👍"}}'), pg_temp.say('wamid.own', 1764000129, 'text', '{"text":{"body":"x"}}'),
    pg_temp.wait_is_over(), wa_internal_match_early_replies() \g /dev/null
SELECT is((SELECT count(*) FROM whatsapp_early_replies), 0::bigint, 'so is what is about the customer''s own message');
SELECT pg_temp.say('wamid.K5', 1764000131, 'reaction', '{"reaction":{"message_id":"wamid.x","emoji":"👍"}}') \g /dev/null
SELECT wa_internal_erase_inbound(ARRAY[(pg_temp.row_of('wamid.K5')).inbound_id]) \g /dev/null
SELECT is((SELECT count(*) FROM whatsapp_early_replies), 0::bigint, 'and what is erased');

SELECT finish();
ROLLBACK;
