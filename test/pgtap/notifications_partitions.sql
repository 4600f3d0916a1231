/*
 * Notifications on partitioned tables, and through COPY.
 */
\ir ../lib/begin.sql
SELECT plan(20);

SELECT wa_assign_phone('alba', '100000000000001') \g /dev/null
CREATE SCHEMA shop;
CREATE TABLE shop.orders (
    region text, order_id integer, status text DEFAULT 'placed', note text DEFAULT 'n', PRIMARY KEY (region, order_id)) PARTITION BY LIST (region);
CREATE TABLE shop.orders_north PARTITION OF shop.orders FOR VALUES IN ('north');
/* the same columns in another order, and one that was dropped */
CREATE TABLE shop.orders_south (note text, gone integer, status text, order_id integer NOT NULL, region text NOT NULL);
ALTER TABLE shop.orders_south DROP COLUMN gone, ALTER note SET DEFAULT 'n', ALTER status SET DEFAULT 'placed';
ALTER TABLE shop.orders ATTACH PARTITION shop.orders_south FOR VALUES IN ('south');

CREATE TABLE shop.seen (id bigint);
CREATE FUNCTION pg_temp.sent() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    SELECT string_agg(m.idempotency_key || ' ' || (m.payload #>> '{components,0,parameters,0,text}'), E'\n' ORDER BY m.id)
        INTO result FROM whatsapp_messages AS m WHERE m.id > COALESCE((SELECT max(id) FROM shop.seen), 0);
    INSERT INTO shop.seen SELECT max(id) FROM whatsapp_messages;
    RETURN COALESCE(regexp_replace(result, '\m[0-9a-f]{16}\M', 'X', 'g'), 'nothing');
END
$$;

/* ---- rows of all partitions ---- */

SELECT wa_create_notification('shop.orders', 'o', '''alba''', '''+34600000001''',
    '["concat_ws(''/'', region, order_id, status, NEW.note, (NEW).status, (SELECT o.note FROM shop.orders AS o WHERE o = NEW))"]',
    events => 'INSERT OR UPDATE OF status') \g /dev/null
INSERT INTO shop.orders VALUES ('north', 1), ('south', 2);
SELECT is(pg_temp.sent(), E'shop.orders/o:north,1 north/1/placed/n/placed/n\nshop.orders/o:south,2 south/2/placed/n/placed/n',
    'rows of every partition send, whatever the order of its columns');
INSERT INTO shop.orders_south VALUES ('x', 's', 3, 'south');
SELECT is(pg_temp.sent(), 'shop.orders/o:south,3 south/3/s/x/s/x', 'also if they are inserted there');
UPDATE shop.orders SET status = 'confirmed' WHERE order_id <= 2;
SELECT is(pg_temp.sent(), E'shop.orders/o:north,1:X north/1/confirmed/n/confirmed/n\nshop.orders/o:south,2:X south/2/confirmed/n/confirmed/n', 'or changed');
UPDATE shop.orders SET status = 'confirmed';
SELECT is(pg_temp.sent(), 'shop.orders/o:south,3:X south/3/confirmed/x/confirmed/x', 'which counts once');
UPDATE shop.orders SET region = 'south', order_id = 4 WHERE region = 'north';
SELECT is(pg_temp.sent(), 'shop.orders/o:south,4 south/4/confirmed/n/confirmed/n', 'a row that moves is a new one there');
SELECT is((SELECT count(*) FROM wa_notifications), 1::bigint, 'it is one notification');

/* ---- partitions that come and go ---- */

CREATE TABLE shop.orders_west PARTITION OF shop.orders FOR VALUES IN ('west');
INSERT INTO shop.orders VALUES ('west', 5);
SELECT is(pg_temp.sent(), 'shop.orders/o:west,5 west/5/placed/n/placed/n', 'a new partition has the trigger');
ALTER TABLE shop.orders DETACH PARTITION shop.orders_west;
INSERT INTO shop.orders_west VALUES ('west', 6);
SELECT is(pg_temp.sent(), 'nothing', 'one that is detached has not');
ALTER TABLE shop.orders_west ADD COLUMN late text DEFAULT 'of the partition';
ALTER TABLE shop.orders ADD COLUMN late text DEFAULT 'of the table';
ALTER TABLE shop.orders ATTACH PARTITION shop.orders_west FOR VALUES IN ('west');
SELECT wa_drop_notification('shop.orders', 'o') \g /dev/null
SELECT wa_create_notification('shop.orders', 'o', '''alba''', '''+34600000001''', '["concat_ws(''/'', OLD.late, NEW.late)"]', events => 'UPDATE', strict => true) \g /dev/null
UPDATE shop.orders SET note = 'changed' WHERE order_id IN (4, 6);
SELECT is(pg_temp.sent(), E'shop.orders/o:south,4:X of the table/of the table\nshop.orders/o:west,6:X of the partition/of the partition',
    'rows older than a column have what their own table says');
SELECT throws_like($$SELECT wa_drop_notification('shop.orders_south', 'o')$$, '%cannot drop trigger whatsapp_o on table shop.orders_south%', 'a partition cannot be left out');
DROP TABLE shop.orders_west;
UPDATE shop.orders SET note = 'again' WHERE order_id = 4;
SELECT is(pg_temp.sent(), 'shop.orders/o:south,4:X of the table/of the table', 'a partition may go');
SELECT wa_drop_notification('shop.orders', 'o') \g /dev/null
SELECT is((SELECT count(*) FROM pg_trigger WHERE tgfoid = 'wa_notify()'::regprocedure), 0::bigint, 'with the notification all triggers go');

/* ---- a notification of one partition ---- */

SELECT wa_create_notification('shop.orders_south', 'south', '''alba''', '''+34600000001''', '["order_id"]') \g /dev/null
INSERT INTO shop.orders (region, order_id) VALUES ('north', 20), ('south', 21);
SELECT is(pg_temp.sent(), 'shop.orders_south/south:21,south 21', 'a partition can have one of its own');
SELECT wa_drop_notification('shop.orders_south', 'south') \g /dev/null

/* ---- partitions of partitions ---- */

CREATE TABLE shop.orders_east PARTITION OF shop.orders FOR VALUES IN ('east') PARTITION BY RANGE (order_id);
CREATE TABLE shop.orders_east_1 (late text, order_id integer NOT NULL, note text, region text NOT NULL, status text);
ALTER TABLE shop.orders_east ATTACH PARTITION shop.orders_east_1 FOR VALUES FROM (1) TO (100);
SELECT wa_create_notification('shop.orders', 'o', '''alba''', '''+34600000001''', '["concat_ws(''/'', order_id, note)"]') \g /dev/null
INSERT INTO shop.orders (region, order_id, note) VALUES ('east', 30, 'e'), ('north', 31, 'n'), ('east', 32, 'e');
SELECT is(pg_temp.sent(), E'shop.orders/o:east,30 30/e\nshop.orders/o:north,31 31/n\nshop.orders/o:east,32 32/e', 'at any depth');

/* ---- COPY ---- */

COPY shop.orders (region, order_id, note) FROM STDIN;
north	40	a
east	41	b
south	42	c
south	43	\N
\.
SELECT is(pg_temp.sent(), E'shop.orders/o:north,40 40/a\nshop.orders/o:east,41 41/b\nshop.orders/o:south,42 42/c\nshop.orders/o:south,43 43', 'COPY sends a message for each row');
CREATE TABLE shop.plain (id integer, recipient text);
SELECT wa_create_notification('shop.plain', 'p', '''alba''', 'recipient', '["id"]') \g /dev/null
COPY shop.plain FROM STDIN;
1	+34600000001
2	600000001
3	\N
4	+34600000004
\.
SELECT is((SELECT count(*) FROM shop.plain), 4::bigint, 'rows whose message fails are copied all the same');
SELECT is((SELECT string_agg(m.recipient_phone, ',' ORDER BY m.id) FROM whatsapp_messages AS m WHERE m.template_name = 'p'), '+34600000001,+34600000004', 'and do not hold up the others');
SELECT is((SELECT string_agg(f.sqlstate, ',' ORDER BY f.failure_id) FROM whatsapp_notification_failures AS f), '22023,22004', 'each has its reason');

/* a table without a primary key */
SELECT is((SELECT count(*) FROM whatsapp_messages AS m WHERE m.template_name = 'p' AND m.idempotency_key IS NULL), 2::bigint, 'without a primary key there is no key');
INSERT INTO shop.plain VALUES (1, '+34600000001');
SELECT is((SELECT count(*) FROM whatsapp_messages AS m WHERE m.template_name = 'p'), 3::bigint, 'and each row sends');

SELECT * FROM finish();
ROLLBACK;
