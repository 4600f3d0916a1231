--
-- What enqueueing says to whoever made a mistake: message, DETAIL and HINT.  No
-- number of a recipient and no content may appear.
--
SET client_min_messages = error;
CREATE EXTENSION whatsapp_shared;
SELECT FROM wa_assign_phone('panaderia', '100000000000001');
RESET client_min_messages;
\set VERBOSITY default
\set SHOW_CONTEXT never

-- before the first synchronisation
SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso');
SELECT count(*) FROM wa_enqueue_bulk('panaderia', 'aviso', '["+34600112233", "+34600112234"]');
SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso', '{"buttons": ["x"]}');
SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso', language => '');
SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso', language => 'ES');
SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso', language => 'es_');
SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso', language => 'es_ES_x');

-- recipients
SELECT wa_enqueue_message('panaderia', '', 'aviso');
SELECT wa_enqueue_message('panaderia', '  ', 'aviso');
SELECT wa_enqueue_message('panaderia', '600112233', 'aviso');
SELECT wa_enqueue_message('panaderia', '+34600.112.233', 'aviso');
SELECT wa_enqueue_message('panaderia', '+346', 'aviso');
SELECT wa_enqueue_message('panaderia', '+0034600112233', 'aviso');
SELECT wa_enqueue_message('panaderia', NULL, 'aviso');

-- tenants
SELECT wa_enqueue_message('nadie', '+34600112233', 'aviso');
SELECT wa_enqueue_message(7, '+34600112233', 'aviso');
SELECT wa_enqueue_message(NULL::uuid, '+34600112233', 'aviso');

-- the shared arguments
SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso', scheduled_at => '-infinity');
SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso', scheduled_at => '2040-01-02', expires_at => '2040-01-01');
SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso', priority => 5000);
SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso', on_uncertain => 'maybe');
SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso', idempotency_key => '');
SELECT wa_enqueue_message('panaderia', '+34600112233', 'aviso', reference => repeat('x', 5000));

-- templates
SELECT FROM wa_register_template('pedido', 'es', '[{"type": "HEADER", "format": "DOCUMENT"}, {"type": "BODY", "text": "Hola {{1}}, su pedido {{2}}."},
    {"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Ver", "url": "https://example.es/{{1}}"}, {"type": "QUICK_REPLY", "text": "Confirmar"},
        {"type": "COPY_CODE", "text": "Copiar"}, {"type": "PHONE_NUMBER", "text": "Llamar"}, {"type": "FLOW", "text": "Abrir"}]}]');
SELECT FROM wa_register_template('pedido', 'en_US', '[{"type": "BODY", "text": "Hello"}]');
SELECT FROM wa_register_template('saludo', 'es', '[{"type": "HEADER", "format": "TEXT", "text": "{{tienda}}"}, {"type": "BODY", "text": "Hola {{nombre}}"}]',
    parameter_format => 'NAMED', status => 'PENDING');
SELECT FROM wa_enqueue_message('panaderia', '+34600112233', 'otra');
UPDATE whatsapp_sync SET finished_at = now() WHERE kind = 'templates';
SELECT wa_enqueue_message('panaderia', '+34600112233', 'otra');
SELECT wa_enqueue_message('panaderia', '+34600112233', 'pedido', language => 'fr');
SELECT wa_enqueue_message('panaderia', '+34600112233', 'pedido', '["Ana"]');
SELECT wa_enqueue_message('panaderia', '+34600112233', 'pedido', '{"header": {"document": "1"}, "body": ["Ana"]}');
SELECT wa_enqueue_message('panaderia', '+34600112233', 'pedido', '{"header": {"document": "1"}, "body": ["Ana", "secreto\n"]}');
SELECT wa_enqueue_message('panaderia', '+34600112233', 'pedido', '7');
SELECT wa_enqueue_message('panaderia', '+34600112233', 'saludo', '{"nombre": "Ana", "tienda": "Pan"}');
UPDATE whatsapp_templates SET status = 'APPROVED' WHERE name = 'saludo';
SELECT wa_enqueue_message('panaderia', '+34600112233', 'saludo', '{"nombre": "Ana", "tienda": "Pan", "otro": "x"}');
SELECT wa_enqueue_message('panaderia', '+34600112233', 'saludo', jsonb_build_object('nombre', repeat('x', 1020), 'tienda', 'Pan'));
UPDATE whatsapp_templates SET status = 'PAUSED' WHERE name = 'saludo';
SELECT FROM wa_enqueue_message('panaderia', '+34600112233', 'saludo', '{"nombre": "Ana", "tienda": "Pan"}');
SELECT wa_enqueue_payload('panaderia', '+34600112233', 'template', '{"language": {"code": "es"}}');

-- other types
SELECT wa_enqueue_text('panaderia', '+34600112233', 'Hola');
SELECT wa_enqueue_text('panaderia', '+34600112233', repeat('x', 5000));
SELECT wa_enqueue_media('panaderia', '+34600112233', 'picture', 'https://example.es/x');
SELECT wa_enqueue_media('panaderia', '+34600112233', 'image');
SELECT wa_enqueue_location('panaderia', '+34600112233', 100, 0);
SELECT wa_enqueue_contacts('panaderia', '+34600112233', '[{"name": {"formatted_name": "Ana"}}]');
SELECT wa_enqueue_interactive('panaderia', '+34600112233', '{"type": "button", "body": {"text": "¿?"}, "action": {"buttons": []}}');
SELECT wa_enqueue_payload('panaderia', '+34600112233', 'Foto', '{}');
SELECT wa_enqueue_payload('panaderia', '+34600112233', 'to', '{"body": "x"}');
SELECT wa_enqueue_payload('panaderia', '+34600112233', 'biz_opaque_callback_data', '{"body": "x"}');
SELECT wa_enqueue_payload('panaderia', '+34600112233', 'text', '"Hola"');

-- many
SELECT wa_enqueue_bulk('panaderia', 'pedido', '["+34600112233", "600112233"]', language => 'en_US');
SELECT wa_enqueue_bulk('panaderia', 'pedido', '[{"number": "+34600112233"}]', language => 'en_US');
SELECT wa_enqueue_bulk('panaderia', 'pedido', '[7]', language => 'en_US');
\set SHOW_CONTEXT errors
SELECT wa_enqueue_bulk('panaderia', 'pedido', '["+34600112233", {"to": "+34600112234", "parameters": ["x"]}]', language => 'en_US');
\set SHOW_CONTEXT never

-- nothing of all this was written, but for the five that only got a NOTICE
SELECT count(*) FROM whatsapp_messages;

-- life-cycle
SELECT wa_cancel_message(1000);
SELECT wa_cancel_message(1);
SELECT wa_cancel_message(1);
SELECT wa_resolve_message(1, 'sent');
SELECT wa_resolve_message(1, 'unknown');
SELECT wa_retry_message(1);
SELECT wa_retry_message(1);
SELECT FROM wa_configure_tenant('panaderia', enabled => false);
SELECT wa_cancel_message(1);
SELECT wa_retry_message(1);

-- the extension gone, and somewhere else
DROP EXTENSION whatsapp_shared;
CREATE SCHEMA "Otro Esquema";
CREATE EXTENSION whatsapp_shared SCHEMA "Otro Esquema";
SET search_path = "Otro Esquema", public;
SELECT FROM wa_assign_phone('panaderia', '100000000000001');
SELECT FROM wa_register_template('pedido', 'es', '[{"type": "BODY", "text": "Hola {{1}}"}]');
UPDATE whatsapp_sync SET finished_at = now() WHERE kind = 'templates';
SELECT wa_enqueue_message('panaderia', '+34600112233', 'pedido', '["Ana"]');
RESET search_path;
ALTER SCHEMA "Otro Esquema" RENAME TO otro;
SET search_path = otro, public;
SELECT wa_enqueue_message('panaderia', '+34600112233', 'pedido', '["Ana"]', idempotency_key => 'k');
SELECT wa_enqueue_message('panaderia', '+34600112233', 'pedido', '["Ana"]', idempotency_key => 'k');
SELECT wa_cancel_message(1);
SELECT wa_enqueue_message('panaderia', '+34600112233', 'otra');
RESET search_path;
DROP EXTENSION whatsapp_shared;
DROP SCHEMA otro;
