-- Calls that the extension and sql/outbox/application.sql must judge alike: prints, for each, "ok" or the error with
-- SQLSTATE, message, detail and hint.  The tenant "t1" exists, no template has been read.  Nothing stays written.
BEGIN;
CREATE FUNCTION pg_temp.judge(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    state text; message text; detail text; hint text;
BEGIN
    EXECUTE 'SELECT ' || call;
    RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
        hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', state, message, detail, hint);
END
$$;
SET client_min_messages = error;
CREATE TEMP TABLE calls (n integer GENERATED ALWAYS AS IDENTITY, call text);

-- tenants, recipients
INSERT INTO calls (call) SELECT format('wa_enqueue_message(%s, %s, ''aviso'')', tenant, recipient)
FROM (VALUES ('NULL', '''+34600112233'''), ('''''', '''+34600112233'''), ('NULL::uuid', '''+34600112233'''),
    ('''t1''', 'NULL'), ('''t1''', '''''')) AS v (tenant, recipient);
INSERT INTO calls (call) SELECT format('wa_enqueue_message(''t1'', %L, ''aviso'')', recipient)
FROM unnest(ARRAY['  ', '600112233', '0034600112233', '+34.600.112.233', '+346', '+34600112', '+0034600112233',
    ' +34 (600) 112-233 ', '+1234567890123456', '+123456789012345', '+', '++34600112233', '+34600112233x', '34+600112233',
    E'+34600112233\t', '6001122\u00e9', 'ES.1234567890', 'ES.ENT.abcDEF1', 'ES.ENT.', 'ES.', 'es.1234', 'ES.12-4', 'E5.1234',
    'ES.' || repeat('a', 128), 'ES.' || repeat('a', 129), 'ES.ENT.' || repeat('a', 129), '-', '()', '+34 (0) 600112233', '+39 (0) 6 1234567',
    '+39 (06) 1234567', '+49 (0171) 1234567', '+34 600 (0) 11223', '+44 ( 0 ) 7700900123', '+(0)34600112233']) AS r (recipient);
INSERT INTO calls (call) VALUES
    ('wa_enqueue_message(''+34600112233'', ''t1'', ''aviso'')'),
    ('wa_enqueue_message(''t1'', ''aviso'', ''+34600112233'')'),
    ('wa_enqueue_text(''t1'', ''aviso'', ''+34 600 112 233'')'),
    ('wa_enqueue_interactive(''t1'', ''600'', ''{}'')');

-- what all of them share
INSERT INTO calls (call) SELECT format('wa_enqueue_message(''t1'', ''+34600112233'', ''aviso'', ''["x"]'', %s)', options)
FROM unnest(ARRAY['scheduled_at => ''infinity''', 'scheduled_at => ''-infinity''', 'expires_at => ''-infinity''',
    'expires_at => ''infinity''', 'expires_at => now()', 'expires_at => now() + ''1 s''',
    'scheduled_at => ''2040-01-02'', expires_at => ''2040-01-01''', 'scheduled_at => ''2040-01-02'', expires_at => ''2040-01-02''',
    'scheduled_at => ''2020-01-02'', expires_at => ''2020-01-03''', 'scheduled_at => NULL, expires_at => now()',
    'priority => 1000', 'priority => 1001', 'priority => -1001', 'priority => NULL', 'idempotency_key => ''''',
    'idempotency_key => repeat(''k'', 512)', 'idempotency_key => repeat(''k'', 513)', 'idempotency_key => repeat(''ñ'', 257)',
    'reference => ''''', 'reference => repeat(''r'', 4096)', 'reference => repeat(''r'', 4097)', 'on_uncertain => ''maybe''',
    'on_uncertain => ''''', 'on_uncertain => ''park''', 'on_uncertain => E''a\nb\u202ec\u0085''', 'language => ''''', 'language => ''ES''',
    'language => ''es''', 'language => ''es_ES''', 'language => ''es_''', 'language => ''es_ES_x''', 'language => ''fil''',
    'language => ''engl''', 'priority => 5000, reference => ''''', 'language => ''es_419''']) AS o (options);

-- names of templates
INSERT INTO calls (call) SELECT format('wa_enqueue_message(''t1'', ''+34600112233'', %L)', name)
FROM unnest(ARRAY[NULL, '', 'Aviso', 'aviso/es', 'aviso es', repeat('a', 512), repeat('a', 513), repeat('ñ', 200),
    E'avi\nso', 'año_' || repeat('x', 95) || 'ñ']) AS t (name);

-- parameters
INSERT INTO calls (call) SELECT format('wa_enqueue_message(''t1'', ''+34600112233'', ''aviso'', %L)', parameters)
FROM unnest(ARRAY[NULL, '7', 'null', '"x"', 'true', '[]', '{}', '[1, true, "x"]', '[null]', '[[]]', '[{}]', '["a\nb"]', '["a\tb"]',
    '["a     b"]', '["\u200b"]', '["\u3164 \u00a0"]', '{"header": "\ufeff"}', '["a    b"]', '[""]', '["\t\n"]', '["     \t"]', '{"nombre": "Ana"}', '{"nombre": null}', '{"nombre": ["x"]}', '{"a": ""}',
    '{"body": "x"}', '{"body": 7}', '{"body": null}', '{"body": ["x"], "header": "y"}', '{"body": ["x"], "otro": "y"}',
    '{"header": null}', '{"header": {}}', '{"header": {"type": "x"}}', '{"header": ""}', '{"header": "x\ny"}', '{"header": []}',
    '{"header": {"text": "a", "image": "b"}}', '{"header": {"tienda": "x"}}', '{"header": {"tienda": {}}}',
    '{"header": {"image": "12345"}}', '{"header": {"image": "https://example.es/x.png"}}', '{"header": {"image": "x.png"}}',
    '{"header": {"image": {}}}', '{"header": {"image": {"link": "https://example.es/a b"}}}', '{"header": {"image": []}}',
    '{"header": {"image": {"link": "https:///x"}}}', '{"header": {"image": {"id": "1", "link": "https://e.es/x"}}}',
    '{"header": {"image": {"filename": "x"}}}', '{"header": {"image": {"caption": "x"}}}', '{"header": {"video": {"media": "x"}}}',
    '{"header": {"document": {"id": 7, "filename": "x.pdf"}}}', '{"header": {"location": "x"}}', '{"header": {"location": {}}}',
    '{"header": {"location": {"latitude": 91, "longitude": 0}}}', '{"header": {"location": {"latitude": "41.5", "longitude": "x"}}}',
    '{"header": {"location": {"latitude": 41.5, "longitude": -181}}}', '{"header": {"location": {"latitude": 41.5, "longitude": 2}}}',
    '{"header": {"location": {"latitude": true, "longitude": 2}}}', '{"header": {"location": {"latitude": "1e1", "longitude": " 2"}}}',
    '[{"currency": {}}]', '[{"currency": {"fallback_value": "1 €"}}]', '[{"currency": {"fallback_value": "1 €", "code": "eur"}}]',
    '[{"currency": {"fallback_value": "1 €", "code": "EUR"}}]', '[{"currency": {"fallback_value": "1 €", "code": "EUR", "amount_1000": "1000"}}]',
    '[{"currency": {"fallback_value": "1 €", "code": "EUR", "amount_1000": 10.5}}]',
    '[{"currency": {"fallback_value": "1 €", "code": "EUR", "amount_1000": 1000}}]', '[{"date_time": {"fallback_value": 7}}]',
    '[{"date_time": {"fallback_value": "hoy"}}]', '[{"date_time": {"fallback_value": "a\nb"}}]', '[{"text": "x"}]', '[{"text": []}]',
    '[{"parameter_name": "n", "text": "a\tb"}]', '[{"parameter_name": "n"}]', '{"components": []}', '{"components": {}}', '{"components": [], "x": 1}',
    '{"buttons": {}}', '{"buttons": [null]}', '{"buttons": [[]]}', '{"buttons": [{}]}', '{"buttons": [{"payload": "x"}]}',
    '{"buttons": [{"payload": "x", "text": "y"}]}', '{"buttons": [{"payload": ""}]}', '{"buttons": [{"coupon_code": "1234567890123456"}]}',
    '{"buttons": [{"index": "x", "payload": "x"}]}', '{"buttons": [{"index": 10, "payload": "x"}]}',
    '{"buttons": [{"index": 1, "payload": "x"}, {"payload": "y"}]}', '{"buttons": [{"parameters": {}}]}',
    '{"buttons": [{"sub_type": "flow", "parameters": []}]}', '{"buttons": [null, null, {"text": "x"}]}',
    '{"buttons": [{"payload":"1"},{"payload":"2"},{"payload":"3"},{"payload":"4"},{"payload":"5"},{"payload":"6"},{"payload":"7"},{"payload":"8"},{"payload":"9"},{"payload":"10"},{"payload":"11"}]}'])
    AS p (parameters);
INSERT INTO calls (call) VALUES
    ('wa_enqueue_message(''t1'', ''+34600112233'', ''aviso'', jsonb_build_array(repeat(''x'', 32769)))'),
    ('wa_enqueue_message(''t1'', ''+34600112233'', ''aviso'', jsonb_build_object(''a'', repeat(''x'', 32769)))'),
    ('wa_enqueue_message(''t1'', ''+34600112233'', ''aviso'', jsonb_build_object(''header'', repeat(''x'', 61)))'),
    ('wa_enqueue_message(''t1'', ''+34600112233'', ''aviso'', (SELECT jsonb_agg(i) FROM generate_series(1, 101) AS i))'),
    ('wa_enqueue_message(''t1'', ''+34600112233'', ''aviso'', jsonb_build_object(''buttons'', jsonb_build_array(jsonb_build_object(''payload'', repeat(''x'', 257)))))'),
    ('wa_enqueue_message(''t1'', ''+34600112233'', ''Aviso'', ''["a\nb"]'')'),
    ('wa_enqueue_message(''t1'', ''+34600112233'', ''Aviso'', ''[null]'')');

-- texts, files
INSERT INTO calls (call) SELECT format('wa_enqueue_text(''t1'', ''+34600112233'', %s)', rest)
FROM unnest(ARRAY['NULL', 'E''\u200b\u2800''', 'E''\U000e0041''', 'repeat('' '', 5000)', '''''', 'E'' \t\n''', 'repeat(''x'', 4097)', '''x'', context_message_id => ''abc''', '''x'', context_message_id => ''''',
    '''x'', context_message_id => ''wamid.'' || repeat(''x'', 510)', '''x'', fallback_parameters => ''[]''', '''x'', fallback_template => ''Aviso''',
    '''x'', fallback_template => ''aviso'', fallback_parameters => ''[""]''', '''x'', fallback_template => ''aviso'', fallback_parameters => ''7''',
    '''x'', fallback_template => ''''', '''x'', fallback_template => ''aviso'', fallback_parameters => ''["x"]''', ''' '', priority => 5000',
    '''x'', priority => 5000']) AS t (rest);
INSERT INTO calls (call) SELECT format('wa_enqueue_media(''t1'', ''+34600112233'', %s, fallback_template => ''aviso'')', rest)
FROM unnest(ARRAY['NULL', '''''', '''picture''', '''image''', '''image'', ''https://example.es/x''', '''image'', ''ftp://example.es/x''',
    '''image'', ''https://example.es/x'', ''123''', '''image'', NULL, ''123''', '''image'', NULL, ''12a''', '''image'', NULL, ''''', '''image'', ''''',
    '''image'', ''https://example.es/'' || repeat(''x'', 2000)', '''image'', ''https://example.es/x'', NULL, ''''',
    '''image'', ''https://example.es/x'', NULL, repeat(''x'', 1025)', '''audio'', ''https://example.es/x'', NULL, ''hola''',
    '''audio'', ''https://example.es/x'', voice => true', '''image'', ''https://example.es/x'', voice => true',
    '''sticker'', ''https://example.es/x'', filename => ''x''', '''document'', ''https://example.es/x'', filename => ''x.pdf''',
    '''document'', ''https://example.es/x'', filename => repeat(''x'', 241)', '''image'', ''https://example.es/x'', filename => ''x''',
    '''image'', ''https://example.es/x'', media => 1', '''image'', media => 0', '''image'', media => -1']) AS m (rest);

-- interactive
INSERT INTO calls (call) SELECT format('wa_enqueue_interactive(''t1'', ''+34600112233'', %L, fallback_template => ''aviso'')', interactive)
FROM unnest(ARRAY[NULL, '7', '[]', '{}', '{"type": "button"}', '{"type": "button", "action": {}}', '{"type": "button", "action": {"buttons": []}}',
    '{"type": "flow", "action": {}}', '{"type": "flow", "action": {}, "footer": null}', '{"type": "flow", "action": {}, "footer": {"text": ""}}',
    '{"type": "flow", "action": {}, "footer": {"text": "1234567890123456789012345678901234567890123456789012345678901"}}',
    '{"type": "button", "action": {"buttons": [{}]}}', '{"type": "button", "body": {"text": "x"}, "action": {"buttons": [{}]}}',
    '{"type": "button", "body": {"text": 7}, "action": {"buttons": [{}]}}',
    '{"type": "button", "body": {"text": "x"}, "action": {"buttons": [{"type": "reply"}]}}',
    '{"type": "button", "body": {"text": "x"}, "action": {"buttons": [{"type": "reply", "reply": {"title": "x"}}]}}',
    '{"type": "button", "body": {"text": "x"}, "action": {"buttons": [{"type": "reply", "reply": {"title": "x", "id": "1"}}]}}',
    '{"type": "button", "body": {"text": "x"}, "action": {"buttons": [{"type": "reply", "reply": {"title": "x", "id": "1"}}, {"type": "reply", "reply": {"title": "y", "id": "1"}}]}}',
    '{"type": "button", "body": {"text": "x"}, "action": {"buttons": [{"type": "reply", "reply": {"title": "123456789012345678901", "id": "1"}}]}}',
    '{"type": "button", "body": {"text": "x"}, "action": {"buttons": [{"type": "reply", "reply": {"title": "x", "id": "1"}}, {"type": "reply", "reply": {"title": "x", "id": "2"}}]}}',
    '{"type": "button", "header": {}, "body": {"text": "x"}, "action": {"buttons": [{"type": "reply", "reply": {"title": "x", "id": "1"}}]}}',
    '{"type": "button", "header": null, "body": {"text": "x"}, "action": {"buttons": [{"type": "reply", "reply": {"title": "x", "id": "1"}}]}}',
    '{"type": "button", "header": {"type": "text"}, "body": {"text": "x"}, "action": {"buttons": [{"type": "reply", "reply": {"title": "x", "id": "1"}}]}}',
    '{"type": "button", "header": {"type": "image", "image": {}}, "body": {"text": "x"}, "action": {"buttons": [{"type": "reply", "reply": {"title": "x", "id": "1"}}]}}',
    '{"type": "button", "header": {"type": "image", "image": {"link": "x"}}, "body": {"text": "x"}, "action": {"buttons": [{"type": "reply", "reply": {"title": "x", "id": "1"}}]}}',
    '{"type": "button", "header": {"type": "sticker"}, "body": {"text": "x"}, "action": {"buttons": [{"type": "reply", "reply": {"title": "x", "id": "1"}}]}}',
    '{"type": "list", "action": {"sections": []}}', '{"type": "list", "action": {"sections": [{}]}}',
    '{"type": "list", "body": {"text": "x"}, "action": {"sections": [{}]}}', '{"type": "list", "body": {"text": "x"}, "action": {"button": "b", "sections": [{}]}}',
    '{"type": "list", "header": {"type": "image"}, "body": {"text": "x"}, "action": {"button": "b", "sections": [{"rows": [{"title": "r", "id": "1"}]}]}}',
    '{"type": "list", "body": {"text": "x"}, "action": {"button": "b", "sections": [{"rows": [{"title": "r", "id": "1"}]}]}}',
    '{"type": "list", "body": {"text": "x"}, "action": {"button": "b", "sections": [{"rows": [{"title": "r", "id": "1"}]}, {"rows": [{"title": "r", "id": "2"}]}]}}',
    '{"type": "list", "body": {"text": "x"}, "action": {"button": "b", "sections": [{"rows": [{"title": "r", "id": "1"}, {"title": "s", "id": "1"}]}]}}',
    '{"type": "list", "body": {"text": "x"}, "action": {"button": "b", "sections": [{"rows": [{"title": "r", "id": "1", "description": 7}]}]}}',
    '{"type": "cta_url", "body": {"text": "x"}, "action": {}}', '{"type": "cta_url", "body": {"text": "x"}, "action": {"parameters": {"display_text": "x"}}}',
    '{"type": "cta_url", "body": {"text": "x"}, "action": {"parameters": {"display_text": "x", "url": "x"}}}',
    '{"type": "cta_url", "body": {"text": "x"}, "action": {"parameters": {"display_text": "x", "url": "https://example.es"}}}']) AS i (interactive);
INSERT INTO calls (call) SELECT format('wa_enqueue_interactive(''t1'', ''+34600112233'', %L, fallback_template => ''aviso'')',
    jsonb_build_object('type', 'list', 'body', '{"text": "x"}'::jsonb, 'action', jsonb_build_object('button', 'b', 'sections',
        (SELECT jsonb_agg(jsonb_build_object('title', 's', 'rows', jsonb_build_array(jsonb_build_object('title', 'a', 'id', i),
            jsonb_build_object('title', 'b', 'id', 'b' || i)))) FROM generate_series(1, 6) AS i))));
INSERT INTO calls (call) SELECT format('wa_enqueue_interactive(''t1'', ''+34600112233'', %L, fallback_template => ''aviso'')',
    jsonb_build_object('type', 'list', 'body', '{"text": "x"}'::jsonb, 'action', jsonb_build_object('button', 'b', 'sections',
        (SELECT jsonb_agg(jsonb_build_object('title', 's', 'rows', jsonb_build_array(jsonb_build_object('title', 'a', 'id', 'a' || i),
            jsonb_build_object('title', 'b', 'id', 'b' || i)))) FROM generate_series(1, 6) AS i))));

-- payloads
INSERT INTO calls (call) SELECT format('wa_enqueue_payload(''t1'', ''+34600112233'', %s)', rest)
FROM unnest(ARRAY['NULL, ''{}''', ''''', ''{}''', '''Foto'', ''{}''', '''to'', ''{}''', '''biz_opaque_callback_data'', ''{}''', '''texto'', ''{}''', '''imag'', ''{}''',
    '''imagen'', ''{}''', '''vídeo'', ''{}''', 'repeat(''a'', 65), ''{}''', '''text'', NULL', '''text'', ''"Hola"''', '''text'', ''{}''', '''text'', ''{"body": 7}''',
    '''text'', ''{"body": ""}''', '''image'', ''{"link": 7}''', '''image'', ''{"id": "1", "caption": 7}''', '''location'', ''{}''',
    '''location'', ''{"latitude": 1, "longitude": 2, "name": ""}''', '''location'', ''{"latitude": 1, "longitude": 2, "address": 7}''',
    '''reaction'', ''{}''', '''reaction'', ''{"message_id": "", "emoji": ""}''', '''reaction'', ''{"message_id": "x", "emoji": ""}''',
    '''reaction'', ''{"message_id": "wamid.x", "emoji": "ok"}''', '''reaction'', ''{"message_id": "wamid.x", "emoji": "1"}''',
    '''contacts'', ''{}''', '''contacts'', ''[]''', '''contacts'', ''[{}]''', '''contacts'', ''[{"name": {"formatted_name": "Ana"}}]''',
    '''contacts'', ''[{"name": {"formatted_name": "Ana", "first_name": ""}}]''', '''contacts'', ''[{"name": {"formatted_name": "", "first_name": "Ana"}}]''',
    '''contacts'', ''[{"name": {"formatted_name": "Ana", "first_name": "Ana"}, "birthday": "1.1.2000"}]''',
    '''template'', ''{}''', '''template'', ''{"name": 7}''', '''template'', ''{"name": "aviso"}''', '''template'', ''{"name": "aviso", "language": {"code": 7}}''',
    '''template'', ''{"name": "aviso", "language": {"code": "es"}, "components": {}}''', '''template'', ''{"name": "aviso", "language": {"code": "ES"}}''',
    '''template'', ''{"name": "aviso", "language": {"code": "es"}}''', '''template'', ''{"name": "aviso", "language": {"code": "es"}}'', fallback_template => ''x''',
    '''text'', jsonb_build_object(''body'', repeat(''x'', 140000))']) AS p (rest);

-- many
INSERT INTO calls (call) SELECT format('count(*) FROM wa_enqueue_bulk(''t1'', %s)', rest)
FROM unnest(ARRAY['NULL, ''[]''', ''''', ''[]''', '''aviso'', NULL', '''aviso'', ''{}''', '''aviso'', ''[]''', '''Aviso'', ''[]''', '''aviso'', ''[7]''', '''aviso'', ''[{}]''',
    '''aviso'', ''[{"to": 7}]''', '''aviso'', ''[{"number": "+34600112233"}]''', '''aviso'', ''["+34600112233", "600112233"]''',
    '''aviso'', ''["+34600112233", {"to": "+34600112234", "parameters": 7}]''', '''aviso'', ''["+34600112233"]'', ''7''',
    '''aviso'', ''[{"to": "+34600112234", "parameters": ["x"]}]'', ''7''', '''aviso'', ''["+34600112233"]'', priority => 5000',
    '''aviso'', ''["+34600112233"]'', idempotency_key => repeat(''k'', 505)', '''aviso'', ''[{"to": "+34600112233", "reference": ""}]''',
    '''aviso'', ''[{"recipient_phone": "+34600112233", "idempotency_key": 7, "reference": 8, "parameters": ["x"]}]''',
    '''Aviso'', ''["+34600112233"]''']) AS b (rest);

SELECT format('%s %s => %s', n, call, pg_temp.judge(call)) FROM calls ORDER BY n;
ROLLBACK;
