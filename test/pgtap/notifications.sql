/*
 * Notifications on the application's tables: what is sent for which row, and
 * that it is sent once.
 */
\ir ../lib/begin.sql
SELECT plan(64);

SELECT wa_assign_phone('alba', '100000000000001') \g /dev/null
SELECT wa_configure_tenant('alba', time_zone => 'Europe/Madrid', is_new => true) \g /dev/null
SELECT wa_configure_tenant('7', language => 'en', is_new => true) \g /dev/null
CREATE SCHEMA shop;
CREATE TABLE shop.suppliers (supplier_id integer PRIMARY KEY, name text NOT NULL, whatsapp text);
INSERT INTO shop.suppliers VALUES (1, 'Harinas Eclipse', '+34 600 000 125'), (2, 'Sin Prefijo', '600 000 131');
CREATE TABLE shop.orders (
    order_id bigint PRIMARY KEY,
    bakery text DEFAULT 'alba',
    supplier_id integer DEFAULT 1,
    status text DEFAULT 'placed',
    total numeric(10,2) DEFAULT 1234.5,
    delivery date DEFAULT '2030-12-03',
    note text,
    "Order No" text DEFAULT 'ALB-1');

/* What was sent since the last call: the body's texts, in the order of sending. */
CREATE TABLE shop.seen (id bigint);
CREATE FUNCTION pg_temp.sent() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    SELECT string_agg((SELECT string_agg(p ->> 'text', ' | ' ORDER BY o)
        FROM jsonb_array_elements(m.payload #> '{components,0,parameters}') WITH ORDINALITY AS x (p, o)), E'\n' ORDER BY m.id)
        INTO result FROM whatsapp_messages AS m WHERE m.id > COALESCE((SELECT max(id) FROM shop.seen), 0);
    INSERT INTO shop.seen SELECT max(id) FROM whatsapp_messages;
    RETURN COALESCE(result, 'nothing');
END
$$;
CREATE FUNCTION pg_temp.last() RETURNS whatsapp_messages LANGUAGE sql AS
    'SELECT m FROM whatsapp_messages AS m ORDER BY m.id DESC LIMIT 1';
CREATE FUNCTION pg_temp.last_failure() RETURNS whatsapp_notification_failures LANGUAGE sql AS
    'SELECT f FROM whatsapp_notification_failures AS f ORDER BY f.failure_id DESC LIMIT 1';
CREATE FUNCTION pg_temp.failures() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM whatsapp_notification_failures';

/* ---- columns and expressions ---- */

SELECT is(wa_create_notification('shop.orders', 'order_placed', 'bakery',
    '(SELECT s.whatsapp FROM shop.suppliers AS s WHERE s.supplier_id = NEW.supplier_id)',
    '["Order No", {"column": "total", "format": "money", "currency": "EUR"}, {"column": "delivery"},
      {"expression": "NEW.total / 2", "format": "number", "digits": 1}, {"value": "fijo"}, {"column": "note", "default": "-"}]',
    condition => 'status = ''placed''', reference => 'NEW."Order No" || ''/'' || order_id',
    expires_at => 'delivery + 1', scheduled_at => 'delivery::timestamp - interval ''2 h''', priority => 7, on_uncertain => 'park'),
    'order_placed', 'a notification has the name of its template');
INSERT INTO shop.orders VALUES (1);
SELECT is(pg_temp.sent(), 'ALB-1 | 1.234,50 € | 3 de diciembre de 2030 | 617,3 | fijo | -', 'a row that is inserted sends its message');
SELECT is((tenant_id, recipient_phone, template_name, template_language)::text, '(alba,+34600000125,order_placed,es)', 'for its tenant, to whom the expression says')
    FROM pg_temp.last();
SELECT is((reference, priority, on_uncertain)::text, '(ALB-1/1,7,park)', 'with reference, priority and policy') FROM pg_temp.last();
SELECT is((scheduled_at, expires_at), (timestamptz '2030-12-03 00:00 Europe/Madrid' - interval '2 h', timestamptz '2030-12-04 00:00 Europe/Madrid'),
    'times without a zone are those of the tenant') FROM pg_temp.last();
SELECT is(idempotency_key, 'shop.orders/order_placed:1', 'the key is made of the table, the notification and the primary key') FROM pg_temp.last();
INSERT INTO shop.orders (order_id, status) VALUES (2, 'draft'), (3, NULL);
SELECT is(pg_temp.sent(), 'nothing', 'a condition that is false or null sends nothing');
SELECT is(pg_temp.failures(), 0::bigint, 'and is no failure');
UPDATE shop.orders SET status = 'placed' WHERE order_id = 2;
SELECT is(pg_temp.sent(), 'nothing', 'nor does an event that it is not for');
DELETE FROM shop.orders;
INSERT INTO shop.orders VALUES (1);
SELECT is(pg_temp.sent(), 'nothing', 'a row that is deleted and inserted again sends nothing');
INSERT INTO shop.orders (order_id, bakery) VALUES (4, '7');
SELECT is((SELECT payload #>> '{components,0,parameters,1,text}' FROM pg_temp.last()), '€1,234.50', 'another tenant has another language');
SELECT is((SELECT payload #>> '{components,0,parameters,2,text}' FROM pg_temp.last()), 'December 3, 2030', 'in dates, too');
SELECT is(wa_drop_notification('shop.orders', 'order_placed'), true, 'a notification can be dropped');
SELECT is(wa_drop_notification('shop.orders', 'order_placed'), false, 'once');
SELECT is((SELECT count(*) FROM wa_notifications), 0::bigint, 'it is gone');
SELECT pg_temp.sent() \g /dev/null
INSERT INTO shop.orders VALUES (5);
SELECT is(pg_temp.sent(), 'nothing', 'and no trigger is left');

/* ---- what changes ---- */

SELECT wa_create_notification('shop.orders', 'order_changed', '''alba''', '''+34600000001''',
    '{"body": ["OLD.status", "NEW.status"], "buttons": [{"payload": "''OK:'' || order_id"}]}',
    events => 'UPDATE OF status, delivery', name => 'change') \g /dev/null
SELECT is((SELECT events FROM wa_notifications), 'UPDATE OF status, delivery', 'the events are kept');
UPDATE shop.orders SET status = 'confirmed' WHERE order_id = 5;
SELECT is(pg_temp.sent(), 'placed | confirmed', 'a change sends its message, with what was and what is');
SELECT is(payload #>> '{components,1,parameters,0,payload}', 'OK:5', 'and with its buttons') FROM pg_temp.last();
SELECT matches(idempotency_key, '^shop\.orders/change:5:[0-9a-f]{16}$', 'the key names the change') FROM pg_temp.last();
UPDATE shop.orders SET status = 'confirmed' WHERE order_id = 5;
SELECT is(pg_temp.sent(), 'nothing', 'the same update again sends nothing');
UPDATE shop.orders SET total = 1 WHERE order_id = 5;
SELECT is(pg_temp.sent(), 'nothing', 'nor does a change of another column');
UPDATE shop.orders SET total = 2, status = 'delivered' WHERE order_id = 5;
SELECT is(pg_temp.sent(), 'confirmed | delivered', 'the next change does');
UPDATE shop.orders SET status = 'confirmed' WHERE order_id = 5;
SELECT is(pg_temp.sent(), 'delivered | confirmed', 'and the way back');
UPDATE shop.orders SET status = 'delivered' WHERE order_id = 5;
SELECT is(pg_temp.sent(), 'nothing', 'but not the same change of the same row a second time');
UPDATE shop.orders SET delivery = delivery + 1 WHERE order_id = 5;
SELECT is(pg_temp.sent(), 'delivered | delivered', 'each watched column counts');
UPDATE shop.orders SET status = NULL WHERE order_id = 5;
SELECT is((pg_temp.last_failure()).message, 'the value for parameters.body[1] is null', 'a value that is null is a failure');
SELECT is((pg_temp.last_failure()).row_key || (pg_temp.last_failure()).event, '5UPDATE', 'recorded with the row and the event');
SELECT wa_drop_notification('shop.orders', 'change') \g /dev/null

SELECT wa_create_notification('shop.orders', 'any_change', '''alba''', '''+34600000001''', '["NEW.total::text", "(to_jsonb(NEW) - ''order_id'')::text"]',
    events => 'INSERT OR UPDATE', idempotency_key => '''order:'' || order_id') \g /dev/null
INSERT INTO shop.orders VALUES (6);
SELECT is(pg_temp.sent(), '1234.50 | {"note": null, "total": 1234.50, "bakery": "alba", "status": "placed", "Order No": "ALB-1", "delivery": "2030-12-03", "supplier_id": 1}',
    'NEW is a row');
UPDATE shop.orders SET note = 'x' WHERE order_id = 6;
SELECT is(pg_temp.sent(), 'nothing', 'a key of one''s own rules');
UPDATE shop.orders SET note = 'x', total = 1 WHERE order_id = 1;
SELECT is((SELECT idempotency_key FROM pg_temp.last()), 'order:1', 'and is taken as it is');
INSERT INTO shop.orders (order_id) VALUES (4) ON CONFLICT (order_id) DO UPDATE SET note = 'y';
SELECT is((SELECT idempotency_key FROM pg_temp.last()), 'order:4', 'ON CONFLICT DO UPDATE is an update');
MERGE INTO shop.orders AS o USING (VALUES (100), (5)) AS v (id) ON o.order_id = v.id
    WHEN MATCHED THEN UPDATE SET note = 'm' WHEN NOT MATCHED THEN INSERT (order_id) VALUES (v.id);
SELECT is((SELECT array_agg(idempotency_key ORDER BY idempotency_key) FROM whatsapp_messages WHERE idempotency_key IN ('order:5', 'order:100')),
    '{order:100,order:5}', 'MERGE does both');
SELECT pg_temp.sent() \g /dev/null
SELECT wa_drop_notification('shop.orders', 'any_change') \g /dev/null

/* a trigger of the application that changes the row before */
CREATE FUNCTION shop.stamp() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.note := 'stamped'; RETURN NEW; END$$;
CREATE TRIGGER stamp BEFORE INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.stamp();
SELECT wa_create_notification('shop.orders', 'stamped', '''alba''', '''+34600000001''', '["note"]', strict => true) \g /dev/null
INSERT INTO shop.orders VALUES (7);
SELECT is(pg_temp.sent(), 'stamped', 'the row is the one that was stored');
DROP TRIGGER stamp ON shop.orders;

/* ---- strict or not ---- */

SELECT throws_ok('INSERT INTO shop.orders (order_id) VALUES (8)', '22004', 'the value for parameters[0] is null', 'a strict notification breaks the statement');
SELECT is((SELECT count(*) FROM shop.orders WHERE order_id = 8), 0::bigint, 'and the row is not stored');
SELECT wa_drop_notification('shop.orders', 'stamped') \g /dev/null
SELECT wa_create_notification('shop.orders', 'order_placed', 'bakery',
    '(SELECT s.whatsapp FROM shop.suppliers AS s WHERE s.supplier_id = NEW.supplier_id)', '["order_id"]') \g /dev/null
INSERT INTO shop.orders (order_id, supplier_id) VALUES (8, 2), (9, 1), (10, 2);
SELECT is((SELECT count(*) FROM shop.orders WHERE order_id BETWEEN 8 AND 10), 3::bigint, 'another does not');
SELECT is(pg_temp.sent(), '9', 'and the messages of the other rows are sent');
SELECT is((notification, relation, event, row_key, sqlstate, message)::text,
    '(order_placed,shop.orders,INSERT,10,22023,"invalid recipient phone number")', 'each failure is a row') FROM pg_temp.last_failure();
SELECT matches((pg_temp.last_failure()).detail, 'country code', 'that says why');
SELECT is((state, failures, last_failure_sqlstate, trigger_name)::text, '(active,2,22023,whatsapp_order_placed)', 'the view shows the last one') FROM wa_notifications;
SAVEPOINT before;
INSERT INTO shop.orders (order_id, bakery) VALUES (11, 'nadie');
SELECT is((pg_temp.last_failure()).sqlstate, '42704', 'an unknown tenant is a failure');
ROLLBACK TO before;
SELECT is((pg_temp.last_failure()).row_key, '10', 'what is rolled back has not failed');

/* errors that are not about the message are the statement's */
CREATE FUNCTION shop.fail_with(code text) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE 'failed' USING ERRCODE = code; END$$;
CREATE TABLE shop.codes (code text PRIMARY KEY);
SELECT wa_create_notification('shop.codes', 'failing', '''alba''', '''+34600000001''', '["shop.fail_with(code)"]') \g /dev/null
CREATE FUNCTION pg_temp.state_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'none';
EXCEPTION WHEN OTHERS OR query_canceled THEN
    RETURN SQLSTATE;
END
$$;
SELECT is(pg_temp.state_of(format('INSERT INTO shop.codes VALUES (%L)', code)), code, 'SQLSTATE ' || code || ' is passed on')
    FROM unnest('{40001,40P01,57014}'::text[]) AS code;
SELECT lives_ok(format('INSERT INTO shop.codes VALUES (%L)', code), 'SQLSTATE ' || code || ' is not')
    FROM unnest('{22012,42P01,53100,P0001,XX000}'::text[]) AS code;

/* ---- the table changes ---- */

SELECT pg_temp.sent() \g /dev/null
ALTER TABLE shop.orders ALTER COLUMN order_id TYPE text, ADD COLUMN late text DEFAULT 'late', DROP COLUMN total;
INSERT INTO shop.orders (order_id) VALUES ('twelve');
SELECT is(pg_temp.sent(), 'twelve', 'columns may be added and dropped, and change their type');
ALTER TABLE shop.orders RENAME COLUMN order_id TO number;
INSERT INTO shop.orders (number) VALUES ('thirteen');
SELECT is(pg_temp.sent() || ': ' || (pg_temp.last_failure()).message, 'nothing: column "order_id" does not exist', 'what is renamed is not found any more');
ALTER TABLE shop.orders RENAME COLUMN number TO order_id;
INSERT INTO shop.orders (order_id) VALUES ('fourteen');
SELECT is(pg_temp.sent(), 'fourteen', 'until it has its name again');
ALTER TABLE shop.orders RENAME TO purchases;
ALTER TRIGGER whatsapp_order_placed ON shop.purchases RENAME TO tell_the_supplier;
INSERT INTO shop.purchases (order_id) VALUES ('fifteen');
SELECT is(pg_temp.sent(), 'fifteen', 'the table and the trigger may be renamed');
SELECT is((relation, trigger_name)::text, '(shop.purchases,tell_the_supplier)', 'and the view knows') FROM wa_notifications WHERE name = 'order_placed';
ALTER TABLE shop.purchases DISABLE TRIGGER tell_the_supplier;
INSERT INTO shop.purchases (order_id) VALUES ('sixteen');
SELECT is(pg_temp.sent(), 'nothing', 'a trigger can be disabled');
SELECT is(state, 'disabled', 'which the view says') FROM wa_notifications WHERE name = 'order_placed';
ALTER TABLE shop.purchases ENABLE TRIGGER tell_the_supplier;
SET LOCAL session_replication_role = replica;
INSERT INTO shop.purchases (order_id) VALUES ('seventeen');
SELECT is(pg_temp.sent(), 'nothing', 'a replica sends nothing');
SET LOCAL session_replication_role = origin;
DROP TRIGGER tell_the_supplier ON shop.purchases;
SELECT is(state, 'detached', 'and that it was dropped by hand') FROM wa_notifications WHERE name = 'order_placed';
DROP TABLE shop.codes;
SELECT is(state, 'detached', 'or with its table') FROM wa_notifications WHERE name = 'failing';
SELECT wa_create_notification('shop.suppliers', 'hello', '''alba''', 'whatsapp', '["name"]') \g /dev/null
SELECT is((SELECT string_agg(name, ',' ORDER BY name) FROM wa_notifications), 'hello', 'what is left of a table goes when the next one is made');

/* ---- an expression that fires the same trigger ---- */

CREATE TABLE shop.deep (n integer PRIMARY KEY);
CREATE FUNCTION shop.deeper(n integer) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF n < 5 THEN
        INSERT INTO shop.deep VALUES (n + 1);
    END IF;
    RETURN n;
END
$$;
SELECT wa_create_notification('shop.deep', 'deep', '''alba''', '''+34600000001''', '["shop.deeper(n)"]', strict => true) \g /dev/null
INSERT INTO shop.deep VALUES (1);
SELECT is(pg_temp.sent(), E'5\n4\n3\n2\n1', 'a notification may fire itself');
CREATE FUNCTION shop.altering(n integer) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    ANALYZE shop.deep;
    IF n < 12 THEN
        INSERT INTO shop.deep VALUES (n + 1);
    END IF;
    RETURN n;
END
$$;
SELECT wa_drop_notification('shop.deep', 'deep'), wa_create_notification('shop.deep', 'deep', '''alba''', '''+34600000001''', '["shop.altering(n)"]', strict => true) \g /dev/null
INSERT INTO shop.deep VALUES (10);
SELECT is(pg_temp.sent(), E'12\n11\n10', 'also when the table is invalidated on the way');

SELECT * FROM finish();
ROLLBACK;
