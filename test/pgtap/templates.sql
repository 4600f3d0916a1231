/*
 * Templates: the registry, what a template takes, and the object that Meta receives.
 */
\ir ../lib/begin.sql
SELECT plan(193);

SELECT wa_assign_phone('panaderia', '100000000000001') \g /dev/null

/* The components of the message that these parameters make, or the error. */
CREATE FUNCTION pg_temp.sent(template text, parameters jsonb DEFAULT '[]', language text DEFAULT NULL) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    written CONSTANT bigint := wa_enqueue_message('panaderia', '+34600112233', template, parameters, language);
BEGIN
    RETURN (SELECT m.payload -> 'components' FROM whatsapp_messages m WHERE m.id = written);
END
$$;
CREATE FUNCTION pg_temp.message(id bigint) RETURNS whatsapp_messages LANGUAGE sql AS
    'SELECT m FROM whatsapp_messages m WHERE m.id = $1';
/* As the sender notes that a reading of Meta's list has ended. */
CREATE FUNCTION pg_temp.synchronised(problem text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    UPDATE whatsapp_sync SET error = problem, finished_at = CASE WHEN problem IS NULL THEN clock_timestamp() ELSE finished_at END
    WHERE kind = 'templates'
$$;
/* The first line of the DETAIL with which these parameters are refused. */
CREATE FUNCTION pg_temp.refused(template text, parameters jsonb DEFAULT '[]') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    PERFORM wa_enqueue_message('panaderia', '+34600112233', template, parameters);
    RETURN 'not refused';
EXCEPTION WHEN invalid_parameter_value THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN split_part(detail, E'\n', 1);
END
$$;

/* The first line of the context of an error. */
CREATE FUNCTION pg_temp.context(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    context text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN invalid_parameter_value THEN
    GET STACKED DIAGNOSTICS context = PG_EXCEPTION_CONTEXT;
    RETURN split_part(context, E'\n', 1);
END
$$;

/* ---- before the first synchronisation ---- */

SELECT is(pg_temp.sent('cualquiera'), NULL, 'no template is known: any is accepted; without parameters there are no components');
SELECT is(pg_temp.sent('cualquiera', '{}'), NULL, 'an empty object is no parameters either');
SELECT is(pg_temp.sent('cualquiera', '["a", 1, true, 2.50]'),
    '[{"type": "body", "parameters": [{"type": "text", "text": "a"}, {"type": "text", "text": "1"}, {"type": "text", "text": "true"}, {"type": "text", "text": "2.50"}]}]',
    'an array is the body''s values, as text');
SELECT is(pg_temp.sent('cualquiera', '{"name": "Ana"}'),
    '[{"type": "body", "parameters": [{"type": "text", "parameter_name": "name", "text": "Ana"}]}]', 'an object is named values');
SELECT is(pg_temp.sent('cualquiera', '{"buttons": [{"flow_token": "t"}, {"thumbnail": "p"}, {"thumbnail": "p", "sections": [{"title": "s", "products": ["p"]}]}]}')
        #>> '{0,sub_type}', 'flow', 'a flow is known by its token');
SELECT is(pg_temp.sent('cualquiera', '{"carousel": [{"buttons": [{"text": "a"}]}, {"buttons": [{"text": "b"}]}]}') #>> '{0,cards,1,components,0,parameters,0,text}', 'b',
    'cards, without knowing what they take');
SELECT is(pg_temp.sent('cualquiera', '{"buttons": [null, {"text": "x"}, {"payload": "p"}, {"coupon_code": "C"}]}'),
    '[{"type": "button", "sub_type": "url", "index": "1", "parameters": [{"type": "text", "text": "x"}]},
      {"type": "button", "sub_type": "quick_reply", "index": "2", "parameters": [{"type": "payload", "payload": "p"}]},
      {"type": "button", "sub_type": "copy_code", "index": "3", "parameters": [{"type": "coupon_code", "coupon_code": "C"}]}]',
    'buttons tell their kind by the name of the value');
SELECT throws_ok($$SELECT wa_enqueue_message('panaderia', '+34600112233', 'x', '{"buttons": ["x"]}')$$, '22023', 'type of button 0 is unknown', 'a bare value does not');

SELECT throws_ok(format('SELECT wa_enqueue_message(%L, %L, %L)', 'panaderia', '+34600112233', bad), '22023', format('invalid template name "%s"', CASE WHEN length(bad) > 100 THEN left(bad, 100) || '...' ELSE bad END), 'a name that Meta does not allow')
    FROM unnest(ARRAY['Pedido', 'pedido listo', 'pedido-listo', 'año', repeat('x', 513)]) AS bad;

/* ---- by hand ---- */

SELECT wa_register_template('sencilla', 'es', '[{"type": "BODY", "text": "Gracias por su compra."}]') \g /dev/null
SELECT wa_register_template('pedido', 'es', '[{"type": "BODY", "text": "Hola {{1}}, su pedido {{2}} está listo."}]') \g /dev/null
SELECT wa_register_template('pedido', 'en_US', '[{"type": "BODY", "text": "Hello {{1}}, order {{2}} is ready."}]') \g /dev/null
SELECT wa_register_template('con_nombres', 'es', '[{"type": "HEADER", "format": "TEXT", "text": "{{tienda}}"},
    {"type": "BODY", "text": "Hola {{nombre}}, le escribe {{tienda}}. {{ nombre }}, gracias."}]', parameter_format => 'NAMED') \g /dev/null
SELECT wa_register_template('factura', 'es', '[{"type": "HEADER", "format": "DOCUMENT"}, {"type": "BODY", "text": "Su factura {{1}}."},
    {"type": "FOOTER", "text": "Panadería Ejemplo"},
    {"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Ver", "url": "https://example.es/{{1}}"},
        {"type": "QUICK_REPLY", "text": "Confirmar"}, {"type": "PHONE_NUMBER", "text": "Llamar", "phone_number": "+34600000001"}]}]') \g /dev/null
SELECT wa_register_template('cabecera', 'es', '[{"type": "HEADER", "format": "TEXT", "text": "Pedido {{1}}"}, {"type": "BODY", "text": "Listo."}]') \g /dev/null
SELECT wa_register_template('mapa', 'es', '[{"type": "HEADER", "format": "LOCATION"}, {"type": "BODY", "text": "Aquí."}]') \g /dev/null
SELECT wa_register_template('foto', 'es', '[{"type": "HEADER", "format": "IMAGE"}, {"type": "BODY", "text": "Mire."}]') \g /dev/null
SELECT wa_register_template('oferta', 'es', '[{"type": "BODY", "text": "Descuento."}, {"type": "BUTTONS", "buttons": [{"type": "COPY_CODE", "text": "Copiar"},
    {"type": "URL", "text": "Web", "url": "https://example.es"}]}]', category => 'MARKETING') \g /dev/null
SELECT wa_register_template('codigo', 'es', '[{"type": "BODY", "text": "*{{1}}* es su código."}, {"type": "BUTTONS", "buttons": [{"type": "OTP", "otp_type": "COPY_CODE"}]}]',
    category => 'AUTHENTICATION') \g /dev/null
SELECT wa_register_template('codigo_url', 'es', '[{"type": "BODY", "text": "*{{1}}* es su código."},
    {"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Copiar", "url": "https://www.whatsapp.com/otp/code/?otp_type=COPY_CODE&code=otp{{1}}"}]}]',
    category => 'AUTHENTICATION') \g /dev/null
SELECT wa_register_template('flujo', 'es', '[{"type": "BODY", "text": "Rellene."}, {"type": "BUTTONS", "buttons": [{"type": "FLOW", "text": "Abrir"}]}]') \g /dev/null
SELECT wa_register_template('carrusel', 'es', '[{"type": "BODY", "text": "Vea, {{1}}."}, {"type": "CAROUSEL", "cards": [
    {"components": [{"type": "HEADER", "format": "IMAGE"}, {"type": "BODY", "text": "Pan a {{1}}."},
        {"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Ver", "url": "https://example.es/{{1}}"}, {"type": "QUICK_REPLY", "text": "Pedir"}]}]},
    {"components": [{"type": "HEADER", "format": "IMAGE"}, {"type": "BODY", "text": "Pastas."},
        {"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Ver", "url": "https://example.es/{{1}}"}, {"type": "QUICK_REPLY", "text": "Pedir"}]}]}]}]',
    category => 'MARKETING') \g /dev/null
SELECT wa_register_template('carrusel_productos', 'es', '[{"type": "BODY", "text": "Vea."}, {"type": "CAROUSEL", "cards": [
    {"components": [{"type": "HEADER", "format": "PRODUCT"}, {"type": "BUTTONS", "buttons": [{"type": "SPM", "text": "Ver"}]}]},
    {"components": [{"type": "HEADER", "format": "PRODUCT"}, {"type": "BUTTONS", "buttons": [{"type": "SPM", "text": "Ver"}]}]}]}]', category => 'MARKETING') \g /dev/null
SELECT wa_register_template('producto', 'es', '[{"type": "HEADER", "format": "PRODUCT"}, {"type": "BODY", "text": "Hoy."},
    {"type": "BUTTONS", "buttons": [{"type": "SPM", "text": "Ver"}]}]', category => 'MARKETING') \g /dev/null
SELECT wa_register_template('catalogo', 'es', '[{"type": "BODY", "text": "Todo."}, {"type": "BUTTONS", "buttons": [{"type": "CATALOG", "text": "Ver"}]}]',
    category => 'MARKETING') \g /dev/null
SELECT wa_register_template('productos', 'es', '[{"type": "BODY", "text": "Hoy."}, {"type": "BUTTONS", "buttons": [{"type": "MPM", "text": "Ver"}]}]',
    category => 'MARKETING') \g /dev/null
SELECT wa_register_template('hasta_manana', 'es', '[{"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"text": "Roscones", "has_expiration": true}},
    {"type": "BODY", "text": "Hola, {{1}}."}, {"type": "BUTTONS", "buttons": [{"type": "COPY_CODE"}]}]', category => 'MARKETING') \g /dev/null
SELECT wa_register_template('codigo_sin_boton', 'es', '[{"type": "BODY", "text": "*{{1}}* es su código."}]', category => 'AUTHENTICATION') \g /dev/null
SELECT wa_register_template('larga', 'es', jsonb_build_array(jsonb_build_object('type', 'BODY', 'text', repeat('ñ', 1000) || '{{1}}'),
    '{"type": "FOOTER", "text": "Horno"}'::jsonb)) \g /dev/null
SELECT wa_register_template('solo_cuerpo', 'es', jsonb_build_array(jsonb_build_object('type', 'BODY', 'text', repeat('ñ', 2000) || '{{1}}'))) \g /dev/null

SELECT is(pg_temp.sent('sencilla'), NULL, 'a template without variables has no components');
SELECT is(pg_temp.sent('pedido', '["Ana", 8841]'),
    '[{"type": "body", "parameters": [{"type": "text", "text": "Ana"}, {"type": "text", "text": "8841"}]}]', 'values by position');
SELECT is(pg_temp.sent('pedido', '{"body": ["Ana", 8841]}'), pg_temp.sent('pedido', '["Ana", 8841]'), 'the long form says the same');
SELECT is(pg_temp.sent('pedido', '["Ana", {"currency": {"fallback_value": "25,40 €", "code": "EUR", "amount_1000": 25400}}]'),
    '[{"type": "body", "parameters": [{"type": "text", "text": "Ana"},
        {"type": "currency", "currency": {"fallback_value": "25,40 €", "code": "EUR", "amount_1000": 25400}}]}]', 'an amount of money');
SELECT is(pg_temp.sent('pedido', '["Ana", {"type": "date_time", "date_time": {"fallback_value": "3 de diciembre"}}]'),
    '[{"type": "body", "parameters": [{"type": "text", "text": "Ana"}, {"type": "date_time", "date_time": {"fallback_value": "3 de diciembre"}}]}]', 'a date');
SELECT is(pg_temp.sent('con_nombres', '{"nombre": "Ana", "tienda": "Pan"}'),
    '[{"type": "header", "parameters": [{"type": "text", "parameter_name": "tienda", "text": "Pan"}]},
      {"type": "body", "parameters": [{"type": "text", "parameter_name": "nombre", "text": "Ana"}, {"type": "text", "parameter_name": "tienda", "text": "Pan"}]}]',
    'named values, for the header, too');
SELECT is(pg_temp.sent('con_nombres', '{"header": "Horno", "body": {"nombre": "Ana", "tienda": "Pan"}}') -> 0,
    '{"type": "header", "parameters": [{"type": "text", "parameter_name": "tienda", "text": "Horno"}]}', 'or each for itself');
SELECT is(pg_temp.sent('factura', '{"header": {"document": {"link": "https://example.es/f.pdf", "filename": "F-17.pdf"}}, "body": [17],
        "buttons": ["f/17", "CONFIRM:17"]}'),
    '[{"type": "header", "parameters": [{"type": "document", "document": {"link": "https://example.es/f.pdf", "filename": "F-17.pdf"}}]},
      {"type": "body", "parameters": [{"type": "text", "text": "17"}]},
      {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "f/17"}]},
      {"type": "button", "sub_type": "quick_reply", "index": "1", "parameters": [{"type": "payload", "payload": "CONFIRM:17"}]}]',
    'a document, a link and a reply');
SELECT is(pg_temp.sent('factura', '{"header": {"document": {"id": "900000000000001"}}, "body": [17], "buttons": [{"index": "0", "sub_type": "url", "text": "f/17"}]}'),
    '[{"type": "header", "parameters": [{"type": "document", "document": {"id": "900000000000001"}}]},
      {"type": "body", "parameters": [{"type": "text", "text": "17"}]},
      {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "f/17"}]}]',
    'a medium by its id; the payload of a reply may be left out');
SELECT is(pg_temp.sent('factura', '{"header": {"type": "document", "document": "900000000000001"}, "body": [17], "buttons": [{"parameters": [{"type": "text", "text": "f/17"}]}]}'),
    pg_temp.sent('factura', '{"header": {"document": {"id": 900000000000001}}, "body": [17], "buttons": ["f/17"]}'), 'short forms of all these');
SELECT is(pg_temp.sent('cabecera', '{"header": 17}'), '[{"type": "header", "parameters": [{"type": "text", "text": "17"}]}]', 'a header with a text');
SELECT is(pg_temp.sent('mapa', '{"header": {"location": {"latitude": 41.65, "longitude": -4.72, "name": "Horno", "address": "Calle Mayor 1"}}}'),
    '[{"type": "header", "parameters": [{"type": "location", "location": {"latitude": 41.65, "longitude": -4.72, "name": "Horno", "address": "Calle Mayor 1"}}]}]',
    'a header with a location');
SELECT is(pg_temp.sent('foto', '{"header": {"image": "https://example.es/pan.jpg"}}'),
    '[{"type": "header", "parameters": [{"type": "image", "image": {"link": "https://example.es/pan.jpg"}}]}]', 'a header with an image');
SELECT is(pg_temp.sent('oferta', '{"buttons": ["PAN20"]}'),
    '[{"type": "button", "sub_type": "copy_code", "index": "0", "parameters": [{"type": "coupon_code", "coupon_code": "PAN20"}]}]', 'a coupon code');
SELECT is(pg_temp.sent('codigo', '["123456"]'),
    '[{"type": "body", "parameters": [{"type": "text", "text": "123456"}]},
      {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "123456"}]}]', 'a one-time password stands in its button, too');
SELECT is(pg_temp.sent('codigo_url', '["123456"]'), pg_temp.sent('codigo', '["123456"]'), 'also where Meta lists that button as a URL');
SELECT is(pg_temp.sent('flujo', '{"buttons": [{"sub_type": "flow", "parameters": [{"type": "action", "action": {"flow_token": "t"}}]}]}'),
    '[{"type": "button", "sub_type": "flow", "index": "0", "parameters": [{"type": "action", "action": {"flow_token": "t"}}]}]', 'other buttons take Meta''s own parameters');
SELECT is(pg_temp.sent('carrusel', '{"components": [{"type": "carousel", "cards": []}]}'), '[{"type": "carousel", "cards": []}]', 'and so can the whole');
SELECT is((pg_temp.message(wa_enqueue_message('panaderia', '+34600112233', 'pedido', '["Ann", 1]', 'en_US'))).payload,
    '{"name": "pedido", "language": {"code": "en_US"}, "components": [{"type": "body", "parameters": [{"type": "text", "text": "Ann"}, {"type": "text", "text": "1"}]}]}',
    'in another language');

/* ---- what does not fit ---- */

SELECT is(pg_temp.refused('pedido', '["Ana"]'), 'The body takes 2 values, and 1 was given.', 'a value too few');
SELECT is(pg_temp.refused('pedido', '["Ana", 1, 2]'), 'The body takes 2 values, and 3 were given.', 'a value too many');
SELECT is(pg_temp.refused('sencilla', '["Ana"]'), 'The body takes 0 values, and 1 was given.', 'a value for nothing');
SELECT is(pg_temp.refused('pedido', '{"a": "Ana", "b": "1"}'), 'Body values were given by name, and the template''s have none.', 'names for a template without');
SELECT is(pg_temp.refused('con_nombres', '["Ana", "Pan"]'), 'The header is missing.', 'no header');
SELECT is(pg_temp.refused('con_nombres', '{"header": "Pan", "body": ["Ana", "Pan"]}'), '2 body values were given without names.', 'values that need names');
SELECT is(pg_temp.refused('con_nombres', '{"nombre": "Ana"}'), 'The header is missing.', 'a name missing, which the header needs, too');
SELECT is(pg_temp.refused('con_nombres', '{"header": "Pan", "body": {"nombre": "Ana"}}'), 'The body value "tienda" is missing.', 'a name missing');
SELECT is(pg_temp.refused('con_nombres', '{"nombre": "Ana", "tienda": "Pan", "otro": "x"}'), 'The body has no parameter "otro".', 'a name too many');
SELECT is(pg_temp.refused('con_nombres', '{"header": {"otro": "Pan"}, "body": {"nombre": "Ana", "tienda": "Pan"}}'), 'The header has no parameter "otro".', 'a wrong name in the header');
SELECT is(pg_temp.refused('sencilla', '{"header": "x"}'), 'A header was given, and the template takes none.', 'a header for nothing');
SELECT is(pg_temp.refused('foto', '{"header": {"video": "https://example.es/v.mp4"}}'), 'The header given is of the kind "video".', 'a header of another kind');
SELECT is(pg_temp.refused('foto', '{"header": "texto"}'), 'The header given is of the kind "text".', 'or a text');
SELECT is(pg_temp.refused('foto', '{"header": {"image": {"link": "https://x.es/a", "id": "1"}}}'), 'The header''s "image" needs one of "link", "id" and "media".', 'a medium with link and id');
SELECT is(pg_temp.refused('foto', '{"header": {"image": {}}}'), 'The header''s "image" needs one of "link", "id" and "media".', 'or neither');
SELECT is(pg_temp.refused('foto', '{"header": {"image": {"link": "https://x.es/a", "filename": "a"}}}'), 'The header''s "image" has the unknown member "filename".', 'a name for an image');
SELECT throws_ok($$SELECT pg_temp.sent('foto', '{"header": {"image": {"link": "ftp://x.es/a"}}}')$$, '22023', 'link of the header must be an http or https URL', 'a link of another kind');
SELECT throws_ok($$SELECT pg_temp.sent('mapa', '{"header": {"location": {"latitude": 91, "longitude": 0}}}')$$, '22023',
    'latitude of the location must be a number from -90 to 90', 'a place beyond the pole');
SELECT is(pg_temp.refused('factura', '{"header": {"document": "1"}, "body": [1]}'), 'The value of button 0 (URL) is missing.', 'no end for the URL');
SELECT is(pg_temp.refused('factura', '{"header": {"document": "1"}, "body": [1], "buttons": ["a", "b", "c"]}'), 'Button 2 takes no value.', 'a value for the telephone');
SELECT is(pg_temp.refused('factura', '{"header": {"document": "1"}, "body": [1], "buttons": ["a", "b", null, "c"]}'), 'A value was given for button 3, and the template has 3.', 'a button that is not there');
SELECT is(pg_temp.refused('factura', '{"header": {"document": "1"}, "body": [1], "buttons": [{"payload": "x"}]}'), 'Button 0 takes "text" and not "payload".', 'a payload for a link');
SELECT is(pg_temp.refused('factura', '{"header": {"document": "1"}, "body": [1], "buttons": [{"sub_type": "quick_reply", "text": "x"}]}'),
    'Button 0 is of the type URL and not "quick_reply".', 'another kind of button');
SELECT is(pg_temp.refused('factura', '{"header": {"document": "1"}, "body": [1], "buttons": ["a", {"index": 0, "text": "b"}]}'), 'Button 0 is given twice.', 'a button given twice');
SELECT is(pg_temp.refused('factura', '{"header": {"document": "1"}, "body": [1], "buttons": ["a b"]}'), 'The value of button 0 contains spaces or control characters.', 'a space in a URL');
SELECT is(pg_temp.refused('factura', '{"header": {"document": "1"}, "body": [1], "buttons": [{"index": 12, "text": "b"}]}'), 'The index of a button must be a number from 0 to 9.', 'an index too high');
SELECT is(pg_temp.refused('factura', '{"header": {"document": "1"}, "body": [1], "buttons": {"0": "a"}}'), 'The buttons are an object; they must be an array.', 'buttons as an object');
SELECT is(pg_temp.refused('oferta', '{"buttons": ["PAN20", "x"]}'), 'Button 1 takes no value.', 'a value for a fixed URL');
SELECT throws_ok($$SELECT pg_temp.sent('oferta', '{"buttons": ["1234567890123456"]}')$$, '22023', 'coupon code of the button is too long', 'a coupon code too long');
SELECT is(pg_temp.refused('pedido', '["Ana", null]'),
    'The body value 2 is null; it must be a string, a number, a boolean, or an object with "currency" or "date_time".', 'null is no value');
SELECT is(pg_temp.refused('pedido', '["Ana", ["x"]]'),
    'The body value 2 is an array; it must be a string, a number, a boolean, or an object with "currency" or "date_time".', 'an array is none');
SELECT is(pg_temp.refused('pedido', '["Ana", {"currency": {"code": "EUR", "amount_1000": 1}}]'),
    'A "currency" value needs the text "fallback_value", which is what people see.', 'money without words');
SELECT is(pg_temp.refused('pedido', format('["Ana", {"currency": {"fallback_value": "1", "code": %s, "amount_1000": %s}}]', code, amount)::jsonb), message, what)
FROM (VALUES ('"euros"', '1', 'A "currency" value needs "code", three capital letters such as "EUR".', 'a currency that is none'),
             ('"eur"', '1', 'A "currency" value needs "code", three capital letters such as "EUR".', 'nor this'),
             ('"EUR"', '"1"', 'A "currency" value needs "amount_1000", a whole number: 25.40 is 25400.', 'an amount that is a text'),
             ('"EUR"', '25.40', 'A "currency" value needs "amount_1000", a whole number: 25.40 is 25400.', 'one with a fraction'),
             ('"EUR"', 'null', 'A "currency" value needs "amount_1000", a whole number: 25.40 is 25400.', 'none')) AS t (code, amount, message, what);
SELECT matches(pg_temp.refused('codigo', '{"body": ["123456"], "buttons": ["654321"]}'), '^Button 0 has another code than the body\.', 'one code in the text and another behind the button');
SELECT is(pg_temp.refused('pedido', '"Ana"'), 'They are a string.', 'a bare string is no parameters');

/* ---- values that Meta refuses ---- */

SELECT is(pg_temp.refused('pedido', jsonb_build_array('Ana', bad)), problem, 'refused: ' || problem)
    FROM (VALUES ('', 'It is empty.'), (E'a\nb', 'It contains a line break.'), (E'a\rb', 'It contains a line break.'), (E'a\tb', 'It contains a tab.'),
                 ('a     b', 'It contains more than four spaces in a row.'), (' ', 'It consists of characters that nobody sees.'),
                 (U&'\200B\2060', 'It consists of characters that nobody sees.'), (U&'\3164', 'It consists of characters that nobody sees.'),
                 (U&'\2800\200F', 'It consists of characters that nobody sees.')) AS v (bad, problem);
SELECT lives_ok($$SELECT pg_temp.sent('pedido', '["Ana", "a    b"]')$$, 'four spaces are allowed');
SELECT is(pg_temp.refused('cabecera', '{"header": "a\nb"}'), 'It contains a line break.', 'the same in a header');
SELECT lives_ok($$SELECT pg_temp.sent('larga', jsonb_build_array(repeat('x', 24)))$$, 'a body of 1024 characters, not bytes');
SELECT throws_ok($$SELECT pg_temp.sent('larga', jsonb_build_array(repeat('x', 25)))$$, '22023', 'body of the template with its values is too long', 'and one more');
SELECT lives_ok($$SELECT pg_temp.sent('solo_cuerpo', jsonb_build_array(repeat('x', 32768 - 2000)))$$, 'one without any other component has 32,768');
SELECT throws_ok($$SELECT pg_temp.sent('solo_cuerpo', jsonb_build_array(repeat('x', 32769 - 2000)))$$, '22023',
    'body of the template with its values is too long', 'and not one more');
SELECT is(pg_temp.refused('cabecera', jsonb_build_object('header', U&'\200B')), 'It consists of characters that nobody sees.', 'a header in which nothing is seen');

/* ---- one-time passwords ---- */

SELECT lives_ok($$SELECT pg_temp.sent('codigo', '["123456789012345"]')$$, 'fifteen characters');
SELECT throws_ok(format('SELECT pg_temp.sent(%L, %L)', name, '["1234567890123456"]'), '22023', 'one-time password is too long', 'and not sixteen: ' || name)
    FROM unnest(ARRAY['codigo', 'codigo_url', 'codigo_sin_boton']) AS name;

/* ---- flows, the catalogue and products ---- */

SELECT is(pg_temp.sent('flujo'), '[{"type": "button", "sub_type": "flow", "index": "0", "parameters": [{"type": "action", "action": {"flow_token": "unused"}}]}]',
    'the button of a flow gets its component by itself');
SELECT is(pg_temp.sent('flujo', '{"buttons": ["T-17"]}') -> 0 -> 'parameters', '[{"type": "action", "action": {"flow_token": "T-17"}}]', 'with the token that was given');
SELECT is(pg_temp.sent('flujo', '{"buttons": [{"flow_token": "T-17", "flow_action_data": {"pedido": 17}}]}') -> 0 -> 'parameters',
    '[{"type": "action", "action": {"flow_token": "T-17", "flow_action_data": {"pedido": 17}}}]', 'and with data');
SELECT is(pg_temp.refused('flujo', '{"buttons": [{"flow_action_data": "x"}]}'), 'The "flow_action_data" is a string; it must be an object.', 'data that are none');
SELECT is(pg_temp.refused('flujo', '{"buttons": [{"thumbnail": "x"}]}'), 'Button 0 takes "flow_token" and not "thumbnail".', 'a product for a flow');
SELECT is(pg_temp.sent('catalogo', '{"buttons": ["pan-1"]}'),
    '[{"type": "button", "sub_type": "catalog", "index": "0", "parameters": [{"type": "action", "action": {"thumbnail_product_retailer_id": "pan-1"}}]}]',
    'a catalogue, with the product that it shows');
SELECT is(pg_temp.sent('catalogo', '{"buttons": [{"thumbnail": "pan-1"}]}'), pg_temp.sent('catalogo', '{"buttons": [{"thumbnail_product_retailer_id": "pan-1"}]}'), 'by either name');
SELECT is(pg_temp.refused('catalogo'), 'The value of button 0 (CATALOG) is missing.', 'without it Meta would refuse the message');
SELECT is(pg_temp.sent('productos', '{"buttons": [{"thumbnail": "pan-1", "sections": [{"title": "Pan", "products": ["pan-1", "pan-2"]}]}]}'),
    '[{"type": "button", "sub_type": "mpm", "index": "0", "parameters": [{"type": "action", "action": {"thumbnail_product_retailer_id": "pan-1",
        "sections": [{"title": "Pan", "product_items": [{"product_retailer_id": "pan-1"}, {"product_retailer_id": "pan-2"}]}]}}]}]', 'products in sections');
SELECT is(pg_temp.sent('productos', '{"buttons": [{"thumbnail": "pan-1", "sections": [{"title": "Pan", "product_items": [{"product_retailer_id": "pan-1"}]}]}]}'),
    pg_temp.sent('productos', '{"buttons": [{"thumbnail": "pan-1", "sections": [{"title": "Pan", "products": ["pan-1"]}]}]}'), 'with Meta''s names, too');
SELECT is(pg_temp.refused('productos', format('{"buttons": [%s]}', given)::jsonb), problem, 'products: ' || problem)
    FROM (VALUES ('null', 'The value of button 0 (MPM) is missing.'),
                 ('"pan-1"', 'Button 0 takes an object with "thumbnail" and "sections".'),
                 ('{"thumbnail": "pan-1"}', 'Button 0 takes "sections" and not "thumbnail".'),
                 ('{"sections": [{"title": "Pan", "products": ["a"]}]}', 'A button with "sections" needs "thumbnail", too: the id of the product whose picture is shown.'),
                 ('{"thumbnail": "a", "sections": []}', 'The "sections" must be an array of 1 to 10 objects.'),
                 ('{"thumbnail": "a", "sections": [{"title": "Pan"}]}', 'Section 0 needs "products", an array of ids of products.'),
                 ('{"thumbnail": "a", "sections": [{"products": ["a"]}]}', 'Section 0 needs the text "title".'),
                 ('{"thumbnail": "a", "sections": [{"title": "Pan", "items": ["a"]}]}', 'A section has the unknown member "items"; it takes "title" and "products".'),
                 ('{"thumbnail": "a", "sections": [{"title": "Pan", "products": [null]}]}', 'The product 0 of section 0 is null; it must be the id of a product in the catalogue.'))
        AS t (given, problem);
SELECT is(pg_temp.refused('productos', jsonb_build_object('buttons', jsonb_build_array(jsonb_build_object('thumbnail', 'a', 'sections',
        jsonb_build_array(jsonb_build_object('title', 'Pan', 'products', (SELECT jsonb_agg('p' || n) FROM generate_series(1, 31) AS n))))))),
    'The "sections" have 31 products together; at most 30 are allowed.', 'products: too many');
SELECT is(pg_temp.sent('producto', '{"header": {"product": {"product_retailer_id": "pan-1", "catalog_id": "900000000000002"}}}'),
    '[{"type": "header", "parameters": [{"type": "product", "product": {"product_retailer_id": "pan-1", "catalog_id": "900000000000002"}}]}]', 'a product stands in the header');
SELECT is(pg_temp.refused('producto'), 'The header is missing.', 'and must be named');
SELECT is(pg_temp.refused('producto', '{"header": {"product": "pan-1"}}'), 'The header''s "product" is a string; it must be an object with "product_retailer_id" and "catalog_id".', 'whole');
SELECT is(pg_temp.refused('producto', '{"header": {"product": {"product_retailer_id": "pan-1"}}}'), 'The header''s "product" needs "catalog_id", which consists of digits.', 'with its catalogue');

/* ---- limited-time offers ---- */

SELECT is(pg_temp.sent('hasta_manana', '{"body": ["Ana"], "buttons": ["PAN20"], "limited_time_offer": "2100-01-01 00:00:00+00"}'),
    '[{"type": "body", "parameters": [{"type": "text", "text": "Ana"}]},
      {"type": "limited_time_offer", "parameters": [{"type": "limited_time_offer", "limited_time_offer": {"expiration_time_ms": 4102444800000}}]},
      {"type": "button", "sub_type": "copy_code", "index": "0", "parameters": [{"type": "coupon_code", "coupon_code": "PAN20"}]}]', 'an offer, with the time at which it ends');
SELECT is(pg_temp.sent('hasta_manana', format('{"body": ["Ana"], "buttons": ["PAN20"], "limited_time_offer": %s}', given)::jsonb),
        pg_temp.sent('hasta_manana', '{"body": ["Ana"], "buttons": ["PAN20"], "limited_time_offer": "2100-01-01 00:00:00+00"}'), 'or ' || given)
    FROM unnest(ARRAY['4102444800000', '{"expiration_time_ms": 4102444800000}', '"2099-12-31T23:00:00-01:00"']) AS given;
SELECT is(pg_temp.refused('hasta_manana', format('{"body": ["Ana"], "buttons": ["PAN20"], "limited_time_offer": %s}', given)::jsonb), problem, 'offers: ' || problem)
    FROM (VALUES ('null', 'The "limited_time_offer" is missing: the time at which it ends.'),
                 ('"mañana"', 'The "limited_time_offer" must be a time such as "2026-12-24 20:00:00+01", or milliseconds since 1970.'),
                 ('4102444800', 'The "limited_time_offer" has ended already.'),
                 ('1.5', 'The "limited_time_offer" must be a whole number of milliseconds since 1970, or a time such as "2026-12-24 20:00:00+01".'),
                 ('{"ends": 1}', 'The "limited_time_offer" is null; it must be a time, or an object with "expiration_time_ms".'),
                 ('[]', 'The "limited_time_offer" is an array; it must be a time, or an object with "expiration_time_ms".')) AS t (given, problem);
SELECT is(pg_temp.refused('pedido', '{"body": ["Ana", 1], "limited_time_offer": 4102444800000}'), 'A "limited_time_offer" was given, and the template has none.', 'offers: none to be made');

/* ---- what a tap opens ---- */

SELECT is(pg_temp.sent('pedido', '{"body": ["Ana", 1], "tap_target": {"title": "Ver", "url": "https://example.es/o"}}') -> 1,
    '{"type": "tap_target_configuration", "parameters": [{"type": "tap_target_configuration",
        "tap_target_configuration": [{"url": "https://example.es/o", "title": "Ver"}]}]}', 'a page that a tap opens');
SELECT is(pg_temp.refused('pedido', format('{"body": ["Ana", 1], "tap_target": %s}', given)::jsonb), problem, 'taps: ' || problem)
    FROM (VALUES ('"https://example.es"', 'The "tap_target" is a string; it must be an object with "title" and "url".'),
                 ('{"url": "https://example.es"}', 'The "tap_target" needs the text "title".'), ('{"title": "Ver"}', 'The "tap_target" needs the text "url".'),
                 ('{"title": "Ver", "link": "x"}', 'The "tap_target" has the unknown member "link"; it takes "title" and "url".')) AS t (given, problem);
SELECT is(pg_temp.refused('mapa', '{"header": {"location": {"latitude": 1, "longitude": 1}}, "tap_target": {"title": "Ver", "url": "https://example.es/o"}}'),
    'A "tap_target" needs a template whose header is an image, a text or nothing.', 'taps: no place for it');

/* ---- carousels ---- */

SELECT is(pg_temp.sent('carrusel', '{"body": ["Ana"], "carousel": [
        {"header": {"image": {"id": "900000000000001"}}, "body": ["2 €"], "buttons": ["pan", "PEDIR:pan"]},
        {"header": {"image": "https://example.es/p.jpg"}, "buttons": ["pastas"]}]}'),
    '[{"type": "body", "parameters": [{"type": "text", "text": "Ana"}]}, {"type": "carousel", "cards": [
        {"card_index": 0, "components": [{"type": "header", "parameters": [{"type": "image", "image": {"id": "900000000000001"}}]},
            {"type": "body", "parameters": [{"type": "text", "text": "2 €"}]},
            {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "pan"}]},
            {"type": "button", "sub_type": "quick_reply", "index": "1", "parameters": [{"type": "payload", "payload": "PEDIR:pan"}]}]},
        {"card_index": 1, "components": [{"type": "header", "parameters": [{"type": "image", "image": {"link": "https://example.es/p.jpg"}}]},
            {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "pastas"}]}]}]}]', 'a carousel, card by card');
SELECT is(pg_temp.refused('carrusel', '["Ana"]'), 'The "carousel" is missing: an array of 2 cards.', 'cards: none');
SELECT is(pg_temp.refused('carrusel', format('{"body": ["Ana"], "carousel": [{"header": {"image": "1"}, "body": ["2 €"], "buttons": ["pan"]}%s]}', second)::jsonb), problem, 'cards: ' || problem)
    FROM (VALUES ('', 'The carousel has 1 cards; it must have 2 to 10.'),
                 (', null', 'Card 1: The header is missing.'),
                 (', {"header": {"video": "1"}}', 'Card 1: The header given is of the kind "video".'),
                 (', {"header": {"image": "1"}}', 'Card 1: The value of button 0 (URL) is missing.'),
                 (', {"header": {"image": "1"}, "body": ["x"], "buttons": ["p"]}', 'Card 1: The body takes 0 values, and 1 was given.'),
                 (', {"header": {"image": "1"}, "buttons": ["p", "q", "r"]}', 'Card 1: A value was given for button 2, and the template has 2.'),
                 (', {"image": "1"}', 'A card has the unknown member "image"; it takes "header", "body" and "buttons".'),
                 (', {"header": {"image": {"media": 1}}}', 'The header of a card needs "link" or "id", and cannot have "media".'),
                 (', "x"', 'A card is a string; it must be an object with "header", "body" and "buttons".'),
                 (', null, null', 'The "carousel" takes 2 cards, and 3 were given.')) AS t (second, problem);
SELECT is(pg_temp.context($$SELECT pg_temp.sent('carrusel', '{"body": ["Ana"], "carousel": [{"header": {"image": "1"}, "body": ["2 €"], "buttons": ["pan"]}, {"header": {"image": "ftp://x"}}]}')$$),
    'card 1 of the carousel', 'an error that has no detail says so, too');
SELECT is(pg_temp.refused('pedido', '{"body": ["Ana", 1], "carousel": [null, null]}'), 'A "carousel" was given, and the template has none.', 'cards: nowhere');
SELECT is(jsonb_array_length(pg_temp.sent('carrusel_productos', jsonb_build_object('carousel', (
        SELECT jsonb_agg(jsonb_build_object('header', jsonb_build_object('product', jsonb_build_object('product_retailer_id', 'p' || n, 'catalog_id', '9')))) FROM generate_series(1, 3) AS n)))
    #> '{0,cards}'), 3, 'products may be more than the template has cards');
SELECT lives_ok($$SELECT pg_temp.sent('cabecera', jsonb_build_object('header', repeat('x', 53)))$$, 'a header of 60 characters');
SELECT throws_ok($$SELECT pg_temp.sent('cabecera', jsonb_build_object('header', repeat('x', 54)))$$, '22023', 'header of the template with its value is too long', 'and one more');

/* ---- what can be used ---- */

SELECT is(pg_temp.sent('desconocida', '["Ana"]'), '[{"type": "body", "parameters": [{"type": "text", "text": "Ana"}]}]',
    'one entered by hand does not make the others unknown');
SELECT lives_ok($$SELECT pg_temp.sent('pedido', '["a", "b"]', 'fr')$$, 'nor its other languages');
SELECT pg_temp.synchronised('HTTP status 500') \g /dev/null
SELECT lives_ok($$SELECT pg_temp.sent('desconocida')$$, 'nor does a synchronisation that has failed');
SELECT pg_temp.synchronised(), pg_temp.synchronised('HTTP status 500') \g /dev/null
SELECT throws_ok($$SELECT pg_temp.sent('desconocida')$$, '42704', 'template "desconocida" does not exist',
    'after one that succeeded, also if the last one failed, a template that is not listed is unknown');
SELECT pg_temp.synchronised() \g /dev/null
SELECT throws_ok($$SELECT pg_temp.sent('desconocida')$$, '42704', 'template "desconocida" does not exist', 'as it is if it did not');
SELECT throws_ok($$SELECT pg_temp.sent('pedido', '["a", "b"]', 'fr')$$, '42704', 'template "pedido" does not exist in language "fr"', 'an unknown language');
SELECT throws_ok($$SELECT wa_enqueue_message('panaderia', 'ES.7001234567890123', 'codigo', '["1"]')$$, '22023',
    'template "codigo" can only be sent to a phone number', 'authentication needs a phone number');
SELECT throws_ok($$SELECT wa_enqueue_payload('panaderia', '+34600112233', 'template', '{"name": "desconocida", "language": {"code": "es"}}')$$, '42704',
    'template "desconocida" does not exist', 'a template given whole must exist, too');
SELECT is((m.message_type, m.template_name, m.template_language, m.payload)::text,
    '(template,pedido,es,"{""name"": ""pedido"", ""language"": {""code"": ""es"", ""policy"": ""deterministic""}}")', 'and is sent as given')
    FROM pg_temp.message(wa_enqueue_payload('panaderia', '+34600112233', 'template', '{"name": "pedido", "language": {"code": "es", "policy": "deterministic"}}')) AS m;

UPDATE whatsapp_templates SET status = 'REJECTED' WHERE name = 'sencilla';
SELECT throws_ok($$SELECT pg_temp.sent('sencilla')$$, '55000', 'template "sencilla" (es) is not approved', 'a rejected template, at once');
UPDATE whatsapp_templates SET status = 'PAUSED' WHERE name = 'sencilla';
SELECT lives_ok($$SELECT pg_temp.sent('sencilla')$$, 'for a pause a message can wait');
UPDATE whatsapp_templates SET status = 'APPROVED', components = '[{"type": "BODY", "text": "Hola {{1}}"}]' WHERE name = 'sencilla';
SELECT is(pg_temp.refused('sencilla'), 'The body takes 1 value, and 0 were given.', 'a changed template is known at once');

/* ---- as Meta lists them ---- */

CREATE FUNCTION pg_temp.page(VARIADIC templates jsonb[]) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('data', to_jsonb(templates), 'paging', '{"cursors": {"before": "MA", "after": "Mg"}}'::jsonb)
$$;
CREATE FUNCTION pg_temp.listed(name text, status text DEFAULT 'APPROVED') RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_object('id', '200000000000001', 'name', name, 'language', 'es', 'status', status, 'category', 'UTILITY', 'parameter_format', 'POSITIONAL',
        'quality_score', '{"score": "GREEN", "date": 1764000000}'::jsonb, 'message_send_ttl_seconds', 43200,
        'components', '[{"type": "BODY", "text": "Hola {{1}}", "example": {"body_text": [["Ana"]]}}]'::jsonb)
$$;
SELECT is(wa_internal_apply_template_page(pg_temp.page(pg_temp.listed('listada'), pg_temp.listed('pedido'), '{"id": "1"}', '{"name": "Mala!", "language": "es"}')), 2,
    'a page of two templates, and two elements of no use');
SELECT is((template_id, category, status, quality, parameter_format, source)::text, '(200000000000001,UTILITY,APPROVED,GREEN,POSITIONAL,sync)', 'what Meta says is kept')
    FROM whatsapp_templates WHERE name = 'listada';
SELECT is(source, 'sync', 'Meta''s word replaces ours') FROM whatsapp_templates WHERE name = 'pedido' AND language = 'es';
SELECT is(source, 'local', 'where it has one of that language') FROM whatsapp_templates WHERE name = 'pedido' AND language = 'en_US';
SELECT is(wa_internal_finish_template_sync(now() - interval '1 minute'), 0, 'nothing has vanished');
SELECT is(items, 2, 'two were listed') FROM whatsapp_sync WHERE kind = 'templates';
SELECT is(pg_temp.sent('listada', '["Ana"]') -> 0 -> 'parameters' -> 0 ->> 'text', 'Ana', 'it can be used');

UPDATE whatsapp_templates SET synced_at = now() - interval '1 hour' WHERE source = 'sync';
SELECT is(wa_internal_finish_template_sync(now()), 0, 'an empty listing is taken for a mistake');
SELECT is((SELECT count(*) FROM whatsapp_templates WHERE missing_since IS NOT NULL), 0::bigint, 'and marks nothing');
SELECT wa_internal_apply_template_page(pg_temp.page(pg_temp.listed('pedido'))) \g /dev/null
SELECT is(wa_internal_finish_template_sync(now()), 1, 'one has vanished');
SELECT throws_ok($$SELECT pg_temp.sent('listada', '["Ana"]')$$, '42704', 'template "listada" (es) no longer exists at Meta', 'and cannot be used');
SELECT is((SELECT count(*) FROM whatsapp_templates WHERE source = 'local' AND missing_since IS NOT NULL), 0::bigint, 'what was entered by hand is left alone');
SELECT is((SELECT string_agg(concat_ws(' ', severity, kind, key), ', ') FROM whatsapp_alerts WHERE resolved_at IS NULL), 'warning template_status listada/es', 'the operator hears of it');
SELECT wa_internal_apply_template_page(pg_temp.page(pg_temp.listed('pedido'), pg_temp.listed('listada'))) \g /dev/null
SELECT wa_internal_finish_template_sync(now()) \g /dev/null
SELECT lives_ok($$SELECT pg_temp.sent('listada', '["Ana"]')$$, 'it is back');
SELECT is((SELECT count(*) FROM whatsapp_alerts WHERE resolved_at IS NULL), 0::bigint, 'and so is the quiet');

SELECT wa_internal_apply_template_page(pg_temp.page(pg_temp.listed('listada', 'DISABLED'))) \g /dev/null
SELECT throws_ok($$SELECT pg_temp.sent('listada', '["Ana"]')$$, '55000', 'template "listada" (es) is not approved', 'one that Meta has disabled');
SELECT is((SELECT string_agg(concat_ws(' ', severity, kind, key), ', ') FROM whatsapp_alerts WHERE resolved_at IS NULL), 'error template_status listada/es', 'is an alert');
INSERT INTO whatsapp_pauses (scope, key, reason, automatic, paused_at) VALUES ('template', 'listada/es', 'template_paused', true, now() - interval '1 hour'),
    ('template', 'pedido/es', 'by hand', false, now() - interval '1 hour');
SELECT wa_internal_apply_template_page(pg_temp.page(pg_temp.listed('listada'), pg_temp.listed('pedido'))) \g /dev/null
SELECT wa_internal_finish_template_sync(now() - interval '1 minute') \g /dev/null
SELECT is((SELECT string_agg(key, ', ') FROM whatsapp_pauses), 'pedido/es', 'approved again, its automatic pause ends; one set by hand stays');
SELECT throws_ok($$SELECT wa_internal_apply_template_page('{"error": {}}')$$, '22023', 'a page of templates must have an array "data"', 'no page');

/* ---- registering ---- */

SELECT throws_ok($$SELECT wa_register_template('Mala', 'es', '[]')$$, '22023', 'invalid template name "Mala"', 'a bad name');
SELECT throws_ok($$SELECT wa_register_template('x', 'español', '[]')$$, '22023', 'invalid language code "español"', 'a bad language');
SELECT throws_ok($$SELECT wa_register_template('x', 'ES', '[]')$$, '22023', 'invalid language code "ES"', 'one that no message can be written in');
SELECT throws_ok($$SELECT wa_register_template('x', 'es', '{}')$$, '22023', 'components of a template must be an array', 'bad components');
SELECT throws_ok($$SELECT wa_register_template('x', 'es', '[]', 'OTHER')$$, '22023', 'invalid template category "OTHER"', 'a bad category');
SELECT throws_ok($$SELECT wa_register_template('x', 'es', '[]', parameter_format => 'x')$$, '22023', 'invalid parameter format "x"', 'a bad format');
SELECT throws_ok($$SELECT wa_register_template(NULL, 'es', '[]')$$, '22004', NULL, 'no name');
SELECT lives_ok($$SELECT wa_register_template('regional', 'es_419', '[]'), pg_temp.sent('regional', language => 'es_419')$$, 'a region that is a number');
SELECT lives_ok($$SELECT wa_pause('template', 'regional/es_419')$$, 'can be paused');
SELECT is(wa_unregister_template('oferta', 'es'), true, 'what was entered can be removed');
SELECT is(wa_unregister_template('listada', 'es'), false, 'what Meta lists cannot');
SELECT lives_ok($$SELECT wa_sync_templates()$$, 'a synchronisation can be asked for');
SELECT isnt(requested_at, NULL, 'and that is noted') FROM whatsapp_sync WHERE kind = 'templates';

SELECT * FROM finish();
ROLLBACK;
