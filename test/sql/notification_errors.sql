--
-- What wa_create_notification() says to whoever made a mistake, and what
-- statements say whose notification fails.
--
SET client_min_messages = error;
CREATE EXTENSION whatsapp_shared;
SET client_min_messages = warning;
SELECT FROM wa_assign_phone('alba', '100000000000001');
SELECT wa_register_template('pedido', 'es', '[{"type": "BODY", "text": "Hola {{1}}, su pedido {{2}}."}]');
CREATE TABLE orders (order_id integer PRIMARY KEY, bakery text, whatsapp text, total numeric, placed_at timestamptz, "Order No" text);
CREATE VIEW order_view AS SELECT * FROM orders;
CREATE TEMP TABLE temporary_orders (LIKE orders);
\set VERBOSITY default
\set SHOW_CONTEXT never

-- the table
SELECT wa_create_notification(NULL, 'pedido', 'bakery', 'whatsapp');
SELECT wa_create_notification(0, 'pedido', 'bakery', 'whatsapp');
SELECT wa_create_notification('order_view', 'pedido', 'bakery', 'whatsapp');
SELECT wa_create_notification('temporary_orders', 'pedido', 'bakery', 'whatsapp');
SELECT wa_create_notification('pg_class', 'pedido', 'relname', 'relname');
SELECT wa_create_notification('whatsapp_messages', 'pedido', 'tenant_id', 'recipient_phone');

-- what is needed
SELECT wa_create_notification('orders', NULL, 'bakery', 'whatsapp');
SELECT wa_create_notification('orders', '', 'bakery', 'whatsapp');
SELECT wa_create_notification('orders', 'pedido', NULL, 'whatsapp');
SELECT wa_create_notification('orders', 'pedido', 'bakery', NULL);
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', NULL);
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', name => repeat('x', 60));
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', priority => 5000);
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', on_uncertain => 'maybe');

-- events
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', events => '');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', events => 'DELETE');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', events => 'INSERT OR TRUNCATE');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', events => 'INSERT ON orders EXECUTE FUNCTION f(); DROP TABLE orders; --');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', events => 'UPDATE OF status');

-- columns and expressions
SELECT wa_create_notification('orders', 'pedido', 'tenant', 'whatsapp');
SELECT wa_create_notification('orders', 'pedido', 'NEW.tenant', 'whatsapp');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'lower(NEW.whatsap)');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp || ');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp) FROM orders; DROP TABLE orders; --');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp, bakery');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp FROM orders');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp AS w');
SELECT wa_create_notification('orders', 'pedido', 'bakery', '*');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'NEW.*');
SELECT wa_create_notification('orders', 'pedido', 'bakery', '(NEW).*');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'max(whatsapp)');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'unnest(ARRAY[whatsapp])');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp /* unfinished');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'unknown_function(whatsapp)');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'OLD.whatsapp');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', condition => 'total');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', condition => 'total >');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', scheduled_at => '''tomorrow''');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', expires_at => 'interval ''1 day''');

-- parameters
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', '7');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', '["bakery", "totl"]');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', '{"body": ["bakery"], "buttons": [{"payload": "NEW.nothing"}]}');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', '{"nombre": {"column": "totl"}}');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', '[{"column": "lower(bakery)"}]');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', '[{"column": "bakery", "expression": "bakery"}]');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', '[{"value": "x", "format": "date"}]');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', '[{"value": ["x"]}]');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', '[{"column": 7}]');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', '[{"column": "total", "fromat": "money"}]');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', '[{"column": "total", "format": "cash"}]');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', '[{"column": "total", "format": "money"}]');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', '[{"column": "total", "format": "money", "currency": "euro"}]');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', '[{"column": "total", "currency": "EUR"}]');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', '[{"column": "total", "format": "number", "digits": 99}]');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', '[{"column": "total", "format": "number", "digits": "two"}]');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', '[{"column": "bakery", "format": "number"}]');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', '[{"column": "total", "format": "date"}]');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', '[{"column": "bakery", "format": "datetime"}]');

-- nothing of all that has left anything behind
SELECT count(*) FROM whatsapp_notifications;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'orders'::regclass;

-- twice
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp -- as they gave it', '["bakery", "Order No"]');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp');
SELECT wa_drop_notification('orders', NULL);
SELECT wa_drop_notification(NULL, 'pedido');

-- statements
INSERT INTO orders VALUES (1, 'alba', '+34600000001', 1, now(), 'A-1');
INSERT INTO orders VALUES (2, 'alba', '600000001', 1, now(), 'A-2');
INSERT INTO orders VALUES (3, 'alba', NULL, 1, now(), 'A-3');
INSERT INTO orders VALUES (4, NULL, '+34600000001', 1, now(), 'A-4');
INSERT INTO orders VALUES (5, 'nadie', '+34600000001', 1, now(), 'A-5');
INSERT INTO orders VALUES (6, 'alba', '+34600000001', 1, now(), NULL);
INSERT INTO orders VALUES (7, 'alba', '+34600000001', 1, now(), E'A\n7');
SELECT order_id FROM orders ORDER BY order_id;
SELECT count(*) FROM whatsapp_messages;
SELECT row_key, sqlstate, message, detail FROM whatsapp_notification_failures ORDER BY failure_id;
SELECT wa_drop_notification('orders', 'pedido');
SELECT wa_create_notification('orders', 'pedido', 'bakery', 'whatsapp', '["bakery", "Order No"]', strict => true);
INSERT INTO orders VALUES (8, 'alba', '600000001', 1, now(), 'A-2');
INSERT INTO orders VALUES (9, 'alba', '+34600000001', 1, now(), 'A-1');

-- not as anything else
CREATE TRIGGER own BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION wa_notify('pedido', '0');
INSERT INTO orders VALUES (10);
DROP TRIGGER own ON orders;
CREATE TRIGGER own AFTER DELETE ON orders FOR EACH ROW EXECUTE FUNCTION wa_notify('pedido', '0');
DELETE FROM orders;
DROP TABLE orders CASCADE;
SELECT name, state FROM wa_notifications;
SET client_min_messages = warning;
DROP EXTENSION whatsapp_shared CASCADE;
