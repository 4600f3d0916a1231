/*
 * Messages that are no templates: what Meta receives for each type, and its limits.
 */
\ir ../lib/begin.sql
SELECT plan(93);

SELECT wa_assign_phone('panaderia', '100000000000001') \g /dev/null
INSERT INTO whatsapp_windows VALUES ('100000000000001', '+34600112233', now());

CREATE FUNCTION pg_temp.message(id bigint) RETURNS whatsapp_messages LANGUAGE sql AS
    'SELECT m FROM whatsapp_messages m WHERE m.id = $1';
CREATE FUNCTION pg_temp.is_sent(id bigint, type text, payload jsonb, description text) RETURNS text LANGUAGE sql AS
    'SELECT is((m.message_type, m.payload), ($2, $3), $4) FROM pg_temp.message($1) m';
/* Short for a statement that enqueues something for the same recipient. */
CREATE FUNCTION pg_temp.call(arguments text) RETURNS text LANGUAGE sql AS
    $$SELECT regexp_replace($1, '^(\w+)\(', '(SELECT \1(''panaderia'', ''+34600112233'', ') || ')'$$;
CREATE FUNCTION pg_temp.refused(arguments text, message text, description text, state text DEFAULT '22023') RETURNS text LANGUAGE sql AS
    $$SELECT throws_ok('SELECT ' || pg_temp.call($1), $4, $2, $3)$$;
CREATE FUNCTION pg_temp.taken(arguments text, description text) RETURNS text LANGUAGE sql AS
    $$SELECT lives_ok('SELECT ' || pg_temp.call($1), $2)$$;

/* ---- text ---- */

SELECT pg_temp.is_sent(wa_enqueue_text('panaderia', '+34600112233', 'Hola'), 'text', '{"body": "Hola"}', 'a text');
SELECT pg_temp.is_sent(wa_enqueue_text('panaderia', '+34600112233', 'https://example.es', true), 'text',
    '{"body": "https://example.es", "preview_url": true}', 'with a preview of its link');
SELECT is(context_message_id, 'wamid.X', 'as a reply') FROM pg_temp.message(wa_enqueue_text('panaderia', '+34600112233', 'Hola', context_message_id => 'wamid.X'));
SELECT pg_temp.taken($$wa_enqueue_text(repeat('ñ', 4096))$$, '4096 characters');
SELECT pg_temp.refused($$wa_enqueue_text(repeat('ñ', 4097))$$, 'body of the text is too long', 'and one more');
SELECT pg_temp.refused($$wa_enqueue_text('')$$, 'argument "body" must not be empty', 'an empty text');
SELECT pg_temp.refused($$wa_enqueue_text(NULL)$$, 'argument "body" must not be null', 'no text', '22004');

/* ---- media ---- */

SELECT pg_temp.is_sent(wa_enqueue_media('panaderia', '+34600112233', 'image', 'https://example.es/pan.jpg', caption => 'Pan'), 'image',
    '{"link": "https://example.es/pan.jpg", "caption": "Pan"}', 'an image by link');
SELECT pg_temp.is_sent(wa_enqueue_media('panaderia', '+34600112233', 'document', media_id => '900000000000001', caption => 'Factura', filename => 'F-17.pdf'), 'document',
    '{"id": "900000000000001", "caption": "Factura", "filename": "F-17.pdf"}', 'a document by id');
SELECT pg_temp.is_sent(wa_enqueue_media('panaderia', '+34600112233', 'video', 'https://example.es/v.mp4'), 'video', '{"link": "https://example.es/v.mp4"}', 'a video');
SELECT pg_temp.is_sent(wa_enqueue_media('panaderia', '+34600112233', 'audio', media_id => '9', voice => true), 'audio', '{"id": "9", "voice": true}', 'a voice note');
SELECT pg_temp.is_sent(wa_enqueue_media('panaderia', '+34600112233', 'sticker', media_id => '9'), 'sticker', '{"id": "9"}', 'a sticker');
SELECT pg_temp.refused($$wa_enqueue_media('gif', 'https://example.es/a.gif')$$, 'invalid media type "gif"', 'another type');
SELECT pg_temp.refused($$wa_enqueue_media('image')$$, 'a message of type "image" needs either a link or a media id', 'neither link nor id');
SELECT pg_temp.refused($$wa_enqueue_media('image', 'https://example.es/a', '9')$$, 'a message of type "image" needs either a link or a media id', 'both');
SELECT pg_temp.refused($$wa_enqueue_media('image', 'file:///etc/passwd')$$, 'link of the medium must be an http or https URL', 'a file');
SELECT pg_temp.refused($$wa_enqueue_media('image', 'https://')$$, 'link of the medium must be an http or https URL', 'a link to nothing');
SELECT pg_temp.refused($$wa_enqueue_media('image', 'https://example.es/a b')$$, 'link of the medium must not contain spaces or control characters', 'a space in a link');
SELECT pg_temp.refused($$wa_enqueue_media('image', 'https://example.es/' || repeat('a', 2000))$$, 'link of the medium is too long', 'a long link');
SELECT pg_temp.refused($$wa_enqueue_media('image', media_id => 'x9')$$, 'media id must consist of digits', 'a bad id');
SELECT pg_temp.refused($$wa_enqueue_media('image', media_id => '9', caption => repeat('x', 1025))$$, 'caption is too long', 'a long caption');
SELECT pg_temp.refused($$wa_enqueue_media('audio', media_id => '9', caption => 'x')$$, 'a message of type "audio" cannot have a caption', 'a caption for audio');
SELECT pg_temp.refused($$wa_enqueue_media('image', media_id => '9', filename => 'x')$$, 'a message of type "image" cannot have a filename', 'a name for an image');
SELECT pg_temp.refused($$wa_enqueue_media('video', media_id => '9', voice => true)$$, 'a message of type "video" cannot have a voice', 'a voice for a video');

/* ---- location, contacts, reaction ---- */

SELECT pg_temp.is_sent(wa_enqueue_location('panaderia', '+34600112233', 41.65, -4.72, 'Horno', 'Calle Mayor 1'), 'location',
    '{"latitude": 41.65, "longitude": -4.72, "name": "Horno", "address": "Calle Mayor 1"}', 'a location');
SELECT pg_temp.is_sent(wa_enqueue_location('panaderia', '+34600112233', 0, 180), 'location', '{"latitude": 0, "longitude": 180}', 'without a name');
SELECT pg_temp.refused('wa_enqueue_location(90.01, 0)', 'latitude of the location must be a number from -90 to 90', 'beyond the pole');
SELECT pg_temp.refused('wa_enqueue_location(0, -180.5)', 'longitude of the location must be a number from -180 to 180', 'beyond the date line');
SELECT pg_temp.refused($$wa_enqueue_location('NaN', 0)$$, 'latitude of the location must be a number from -90 to 90', 'not a number');
SELECT pg_temp.refused('wa_enqueue_location(NULL, 0)', 'argument "latitude" must not be null', 'no latitude', '22004');

SELECT pg_temp.is_sent(wa_enqueue_contacts('panaderia', '+34600112233', '[{"name": {"formatted_name": "Ana Pan", "first_name": "Ana"}, "phones": [{"phone": "+34600000001", "type": "WORK"}]}]'),
    'contacts', '[{"name": {"formatted_name": "Ana Pan", "first_name": "Ana"}, "phones": [{"phone": "+34600000001", "type": "WORK"}]}]', 'a contact');
SELECT pg_temp.refused($$wa_enqueue_contacts('{}')$$, 'contacts must be an array', 'an object');
SELECT pg_temp.refused($$wa_enqueue_contacts('[]')$$, 'a message must have 1 to 257 contacts', 'none');
SELECT pg_temp.refused($$wa_enqueue_contacts((SELECT jsonb_agg('{"name": {"formatted_name": "A", "first_name": "A"}}'::jsonb) FROM generate_series(1, 258)))$$,
    'a message must have 1 to 257 contacts', 'too many');
SELECT pg_temp.refused($$wa_enqueue_contacts('[{"name": {"first_name": "Ana"}}]')$$, 'contact 0 has no name.formatted_name', 'without a name');
SELECT pg_temp.refused($$wa_enqueue_contacts('[{"name": {"formatted_name": "Ana", "first_name": "Ana"}}, {"name": {"formatted_name": "Ana"}}]')$$,
    'contact 1 has no part of its name', 'without a part of it');

SELECT pg_temp.is_sent(wa_enqueue_reaction('panaderia', '+34600112233', 'wamid.X', '👍'), 'reaction', '{"message_id": "wamid.X", "emoji": "👍"}', 'a reaction');
SELECT pg_temp.is_sent(wa_enqueue_reaction('panaderia', '+34600112233', 'wamid.X', ''), 'reaction', '{"message_id": "wamid.X", "emoji": ""}', 'taken back');
SELECT pg_temp.refused($$wa_enqueue_reaction('', '👍')$$, 'argument "whatsapp_message_id" must not be empty', 'to nothing');
SELECT pg_temp.refused($$wa_enqueue_reaction('wamid.X', NULL)$$, 'argument "emoji" must not be null', 'with nothing', '22004');
SELECT pg_temp.refused($$wa_enqueue_reaction('wamid.X', 'ok')$$, 'emoji of the reaction must be a single emoji', 'with a word');
SELECT pg_temp.refused($$wa_enqueue_reaction('wamid.X', '1')$$, 'emoji of the reaction must be a single emoji', 'with a digit');
SELECT pg_temp.taken($$wa_enqueue_reaction('wamid.X', '1️⃣')$$, 'a keycap is an emoji');
SELECT pg_temp.refused($$wa_enqueue_reaction('wamid.X', repeat('👍', 17))$$, 'emoji of the reaction must be a single emoji', 'with a text');

/* ---- interactive ---- */

SELECT pg_temp.is_sent(wa_enqueue_interactive('panaderia', '+34600112233', v), 'interactive', v, d) FROM (VALUES
    ('{"type": "button", "header": {"type": "text", "text": "Cita"}, "body": {"text": "¿Confirma?"}, "footer": {"text": "Horno"}, "action": {"buttons":
        [{"type": "reply", "reply": {"id": "ok", "title": "Sí"}}, {"type": "reply", "reply": {"id": "no", "title": "No"}}]}}'::jsonb, 'reply buttons'),
    ('{"type": "list", "body": {"text": "Elija hora"}, "action": {"button": "Ver horas", "sections":
        [{"title": "Mañana", "rows": [{"id": "h0930", "title": "09:30", "description": "Ruiz"}]}, {"title": "Tarde", "rows": [{"id": "h1730", "title": "17:30"}]}]}}', 'a list'),
    ('{"type": "cta_url", "header": {"type": "image", "image": {"link": "https://example.es/a.jpg"}}, "body": {"text": "Su factura"},
        "action": {"name": "cta_url", "parameters": {"display_text": "Abrir", "url": "https://example.es/f/17"}}}', 'a link button'),
    ('{"type": "location_request_message", "body": {"text": "¿Dónde?"}, "action": {"name": "send_location"}}', 'another kind')) AS t (v, d);

/* A message with reply buttons, with one thing changed. */
CREATE FUNCTION pg_temp.bad(path text[], value jsonb, message text, detail text, description text, kind text DEFAULT 'button') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    good jsonb := CASE kind
        WHEN 'button' THEN '{"type": "button", "body": {"text": "b"}, "footer": {"text": "f"}, "action": {"buttons": [{"type": "reply", "reply": {"id": "1", "title": "t"}}]}}'
        WHEN 'list' THEN '{"type": "list", "body": {"text": "b"}, "action": {"button": "o", "sections": [{"title": "s", "rows": [{"id": "1", "title": "t"}]}]}}'
        ELSE '{"type": "cta_url", "body": {"text": "b"}, "action": {"name": "cta_url", "parameters": {"display_text": "t", "url": "https://example.es"}}}' END;
    got text;
BEGIN
    PERFORM wa_enqueue_interactive('panaderia', '+34600112233', good);
    PERFORM wa_enqueue_interactive('panaderia', '+34600112233', CASE WHEN value IS NULL THEN good #- path ELSE jsonb_set(good, path, value) END);
    RETURN is('not refused', message, description);
EXCEPTION WHEN invalid_parameter_value THEN
    GET STACKED DIAGNOSTICS got = PG_EXCEPTION_DETAIL;
    RETURN is((SQLERRM, got), (message, detail), description);
END
$$;
SELECT pg_temp.bad('{type}', NULL, 'invalid interactive message', 'It has no "type".', 'no type');
SELECT pg_temp.bad('{action}', NULL, 'invalid interactive message', 'It has no "action".', 'no action');
SELECT pg_temp.bad('{body}', NULL, 'invalid interactive message', 'The text of the body is missing or not a string.', 'no body');
SELECT pg_temp.bad('{body,text}', to_jsonb(repeat('x', 1025)), 'text of the body is too long', 'It has 1025 characters; at most 1024 are allowed.', 'a long body');
SELECT pg_temp.bad('{footer,text}', to_jsonb(repeat('x', 61)), 'text of the footer is too long', 'It has 61 characters; at most 60 are allowed.', 'a long footer');
SELECT pg_temp.bad('{header}', jsonb_build_object('type', 'text', 'text', repeat('x', 61)), 'text of the header is too long', 'It has 61 characters; at most 60 are allowed.', 'a long header');
SELECT pg_temp.bad('{header}', '{"type": "sticker"}', 'invalid interactive message', 'The header cannot be of the type "sticker".', 'a sticker as header');
SELECT pg_temp.bad('{header}', '{"type": "image", "image": {}}', 'invalid interactive message', 'The header needs either a link or a media id.', 'a header without its image');
SELECT pg_temp.bad('{action,buttons}', '[]', 'invalid interactive message', 'There must be 1 to 3 reply buttons.', 'no button');
SELECT pg_temp.bad('{action,buttons}', (SELECT jsonb_agg(jsonb_build_object('type', 'reply', 'reply', jsonb_build_object('id', i::text, 'title', 't'))) FROM generate_series(1, 4) i),
    'invalid interactive message', 'There must be 1 to 3 reply buttons.', 'four buttons');
SELECT pg_temp.bad('{action,buttons,0,type}', '"url"', 'invalid interactive message', 'Button 0 is not of the type "reply".', 'another kind of button');
SELECT pg_temp.bad('{action,buttons,0,reply,title}', to_jsonb(repeat('x', 21)), 'title of the button is too long', 'It has 21 characters; at most 20 are allowed.', 'a long title');
SELECT pg_temp.bad('{action,buttons,0,reply,id}', to_jsonb(repeat('x', 257)), 'id of the button is too long', 'It has 257 characters; at most 256 are allowed.', 'a long id');
SELECT pg_temp.bad('{action,buttons,1}', '{"type": "reply", "reply": {"id": "1", "title": "u"}}', 'invalid interactive message', 'The id "1" is used twice.', 'an id twice');
SELECT pg_temp.bad('{action,buttons,1}', '{"type": "reply", "reply": {"id": "2", "title": "t"}}', 'invalid interactive message', 'The title "t" is used twice.', 'a title twice');
SELECT pg_temp.bad('{action,buttons,1}', '{"type": "reply", "reply": {"id": "2", "title": "\u3164"}}', 'title of the button must not be blank',
    'It consists of characters that nobody sees.', 'a title that nobody sees');

SELECT pg_temp.bad('{header}', '{"type": "image", "image": {"id": "9"}}', 'invalid interactive message', 'The header cannot be of the type "image".', 'an image above a list', 'list');
SELECT pg_temp.bad('{body,text}', to_jsonb(repeat('x', 4097)), 'text of the body is too long', 'It has 4097 characters; at most 4096 are allowed.', 'a long body', 'list');
SELECT pg_temp.bad('{action,button}', to_jsonb(repeat('x', 21)), 'button that opens the list is too long', 'It has 21 characters; at most 20 are allowed.', 'a long opener', 'list');
SELECT pg_temp.bad('{action,sections,1}', '{"rows": [{"id": "2", "title": "t"}]}', 'invalid interactive message', 'The title of the section is missing or not a string.', 'two sections and no title', 'list');
SELECT pg_temp.bad('{action,sections,1}', jsonb_build_object('title', 's', 'rows', (SELECT jsonb_agg(jsonb_build_object('id', 'r' || i, 'title', 't')) FROM generate_series(1, 10) i)),
    'invalid interactive message', 'The sections have 11 rows together; at most 10 are allowed.', 'eleven rows', 'list');
SELECT pg_temp.bad('{action,sections,0,rows,0,title}', to_jsonb(repeat('x', 25)), 'title of the row is too long', 'It has 25 characters; at most 24 are allowed.', 'a long row', 'list');
SELECT pg_temp.bad('{action,sections,0,rows,0,description}', to_jsonb(repeat('x', 73)), 'description of the row is too long', 'It has 73 characters; at most 72 are allowed.', 'a long description', 'list');
SELECT pg_temp.bad('{action,sections,0,rows,0,id}', to_jsonb(repeat('x', 201)), 'id of the row is too long', 'It has 201 characters; at most 200 are allowed.', 'a long row id', 'list');
SELECT pg_temp.bad('{action,sections,0,title}', to_jsonb(repeat('x', 25)), 'title of the section is too long', 'It has 25 characters; at most 24 are allowed.', 'a long section', 'list');

SELECT pg_temp.bad('{action,parameters,display_text}', to_jsonb(repeat('x', 21)), 'text of the button is too long', 'It has 21 characters; at most 20 are allowed.', 'a long label', 'cta_url');
SELECT pg_temp.bad('{action,parameters,url}', NULL, 'invalid interactive message', 'The URL of the button is missing or not a string.', 'no URL', 'cta_url');

/* ---- any payload ---- */

SELECT pg_temp.is_sent(wa_enqueue_payload('panaderia', '+34600112233', 'order_details', '{"a": [1, {"b": null}]}'), 'order_details', '{"a": [1, {"b": null}]}', 'a type that is not known is passed on');
SELECT pg_temp.refused($$wa_enqueue_payload('text', '{"body": 1}')$$, 'body of the text must be a string', 'a known one is checked');
SELECT pg_temp.refused($$wa_enqueue_payload('text', '{}')$$, 'body of the text is missing', 'for what it needs');
SELECT pg_temp.refused($$wa_enqueue_payload('image', '{"link": "https://x.es", "voice": true}')$$, 'a message of type "image" cannot have a voice', 'and for what it cannot have');
SELECT pg_temp.refused($$wa_enqueue_payload('Text', '{"body": "x"}')$$, 'invalid message type "Text"', 'a type in capitals');
SELECT pg_temp.refused($$wa_enqueue_payload('to', '{"body": "x"}')$$, 'invalid message type "to"', 'another member of a message');
SELECT pg_temp.refused($$wa_enqueue_payload('order', '[1]')$$, 'content of the message is an array; it must be an object', 'no object');
SELECT pg_temp.refused($$wa_enqueue_payload('other', jsonb_build_object('x', repeat('x', 131073)))$$, 'content of the message is larger than 131072 bytes', 'far too large', '54000');
SELECT pg_temp.refused($$wa_enqueue_payload('text', NULL)$$, 'argument "payload" must not be null', 'nothing', '22004');
SELECT pg_temp.refused($$wa_enqueue_payload('template', '{"name": "x"}')$$, 'language.code of the template is missing', 'a template without its language');

/* What would take the place of another part of the request. */
SELECT pg_temp.refused(format('wa_enqueue_payload(%L, ''{}'')', t), format('invalid message type "%s"', t), t || ' is no type')
FROM unnest('{messaging_product,recipient_type,to,type,biz_opaque_callback_data}'::text[]) AS t;
SELECT pg_temp.refused($$wa_enqueue_contacts('[{"name": {"formatted_name": "Ana", "first_name": "Ana"}, "birthday": "3/4/2000"}]')$$,
    'birthday of contact 0 must have the form YYYY-MM-DD', 'a birthday as people write it');
SELECT pg_temp.refused($$wa_enqueue_contacts('[{"name": {"formatted_name": "Ana", "first_name": "Ana"}, "birthday": 2000}]')$$,
    'birthday of contact 0 must have the form YYYY-MM-DD', 'a year');
SELECT pg_temp.taken($$wa_enqueue_contacts('[{"name": {"formatted_name": "Ana", "first_name": "Ana"}, "birthday": "2000-04-03"}]')$$, 'a birthday as Meta wants it');

SELECT * FROM finish();
ROLLBACK;
