/*
 * Notifications that have failed, tried again by hand.
 */
\ir ../lib/begin.sql
SELECT plan(48);

SELECT wa_assign_phone('alba', '100000000000001') \g /dev/null
SELECT wa_register_template('cambio', 'es', '[{"type": "BODY", "text": "De {{1}} a {{2}}."}]') \g /dev/null
CREATE SCHEMA shop;
CREATE TABLE shop.orders (
    gone         text,
    order_id     bigint,
    place        text,
    phone        text,
    day          date,
    note         text,
    PRIMARY KEY (place, order_id));
ALTER TABLE shop.orders DROP COLUMN gone;
CREATE FUNCTION pg_temp.notify(options text DEFAULT '') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wa_drop_notification('shop.orders', 'cambio');
    EXECUTE $sql$SELECT wa_create_notification('shop.orders', 'cambio', '''alba''', 'phone', '["OLD.day", "day"]',
        events => 'INSERT OR UPDATE OF day', condition => 'OLD.day IS NOT NULL', reference => 'note'$sql$ || options || ')';
END
$$;
CREATE FUNCTION pg_temp.last_failure() RETURNS bigint LANGUAGE sql AS
    'SELECT max(f.failure_id) FROM whatsapp_notification_failures AS f';
CREATE FUNCTION pg_temp.retry() RETURNS boolean LANGUAGE sql AS 'SELECT wa_retry_notification(pg_temp.last_failure())';
CREATE FUNCTION pg_temp.failures() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM whatsapp_notification_failures';
CREATE FUNCTION pg_temp.last_sent() RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', m.recipient_phone, m.reference, m.payload #>> '{components,0,parameters,0,text}', 'a',
                     m.payload #>> '{components,0,parameters,1,text}')
    FROM whatsapp_messages AS m ORDER BY m.id DESC LIMIT 1
$$;

/* ---- an update, whose row is mended ---- */

SELECT pg_temp.notify() \g /dev/null
INSERT INTO shop.orders VALUES (1, 'calle A, 1', '600 000 001', '2026-12-03', 'uno');
UPDATE shop.orders SET day = '2026-12-04';
SELECT is(pg_temp.failures(), 1::bigint, 'a telephone number without its country code is a failure');
SELECT is(pg_temp.retry(), false, 'tried again, it fails again');
SELECT is(pg_temp.failures(), 1::bigint, 'and stays');
UPDATE shop.orders SET phone = '+34 600 000 001';
SELECT ok(pg_temp.retry(), 'with the number mended it succeeds');
SELECT is(pg_temp.failures(), 0::bigint, 'and is no failure any more');
SELECT is(pg_temp.last_sent(), '+34600000001 uno 3 de diciembre de 2026 a 4 de diciembre de 2026',
    'the message tells both what the row was and what it is');
SELECT is((SELECT idempotency_key FROM whatsapp_messages ORDER BY id DESC LIMIT 1) ~ '^shop\.orders/cambio:1,calle A, 1:[0-9a-f]{16}$'
    OR (SELECT idempotency_key FROM whatsapp_messages ORDER BY id DESC LIMIT 1) ~ '^shop\.orders/cambio:calle A, 1,1:[0-9a-f]{16}$', true,
    'it has the idempotency key that it would have had at once');
UPDATE shop.orders SET day = '2026-12-03';
SELECT count(*) AS before FROM whatsapp_messages \gset
UPDATE shop.orders SET day = '2026-12-04';
SELECT is((SELECT count(*) FROM whatsapp_messages), :before::bigint, 'so the same change sends nothing more');

/* ---- what is not wanted any longer ---- */

UPDATE shop.orders SET day = '2026-12-05', phone = 'x';
UPDATE shop.orders SET day = NULL, phone = '+34600000002';
UPDATE shop.orders SET day = '2026-12-04';
SELECT count(*) AS before FROM whatsapp_messages \gset
SELECT is(pg_temp.failures(), 2::bigint, 'two more failures');
SELECT ok(wa_retry_notification(min(failure_id)), 'a day that was changed back is done with') FROM whatsapp_notification_failures;
SELECT is((SELECT count(*) FROM whatsapp_messages), :before::bigint, 'without a message');
SELECT is(pg_temp.failures(), 1::bigint, 'and without a failure');
DELETE FROM shop.orders;
SELECT ok(pg_temp.retry(), 'so is a row that has gone');
SELECT is((SELECT count(*) FROM whatsapp_messages), :before::bigint, 'without a message, too');
SELECT is(pg_temp.failures(), 0::bigint, 'nothing is left');

/* ---- the notification is mended ---- */

SELECT pg_temp.notify($$, expires_at => 'day + 1 / (length(place) - 1)'$$) \g /dev/null
INSERT INTO shop.orders VALUES (2, 'B', '+34600000003', '2026-12-07', 'dos');
UPDATE shop.orders SET day = '2026-12-08';
SELECT is(last_failure, 'division by zero', 'an expression fails') FROM wa_notifications WHERE name = 'cambio';
SELECT wa_drop_notification('shop.orders', 'cambio') \g /dev/null
SELECT throws_ok('SELECT pg_temp.retry()', '55000', 'table shop.orders has no notification "cambio"', 'without the notification there is nothing to try');
SELECT pg_temp.notify() \g /dev/null
SELECT ok(pg_temp.retry(), 'made again under its name it is tried');
SELECT is(pg_temp.last_sent(), '+34600000003 dos 7 de diciembre de 2026 a 8 de diciembre de 2026', 'and says the same');

/* ---- the table changes ---- */

UPDATE shop.orders SET day = '2026-12-09', phone = 'x';
ALTER TABLE shop.orders ADD COLUMN more int DEFAULT 1;
ALTER TABLE shop.orders RENAME TO purchases;
UPDATE shop.purchases SET phone = '+34600000004';
SELECT ok(pg_temp.retry(), 'a table may get columns and another name');
SELECT is(pg_temp.last_sent(), '+34600000004 dos 8 de diciembre de 2026 a 9 de diciembre de 2026', 'and the message is right');
ALTER TABLE shop.purchases RENAME TO orders;

/* Long values are not kept. */
UPDATE shop.orders SET note = (SELECT string_agg(md5(g::text), '') FROM generate_series(1, 500) g);
UPDATE shop.orders SET day = '2026-12-10', phone = 'x';
SELECT ok(NOT old_row ? 'note' AND old_row ? 'day', 'a long value is left out of the note') FROM whatsapp_notification_failures;
SELECT is(row_id, '{"place": "B", "order_id": "2"}', 'the row is known by its key') FROM whatsapp_notification_failures;
DELETE FROM whatsapp_notification_failures;

/* ---- without a primary key ---- */

CREATE TABLE shop.notes (phone text);
SELECT wa_create_notification('shop.notes', 'cambio', '''alba''', 'phone', '["phone", "phone"]') \g /dev/null
INSERT INTO shop.notes VALUES ('x');
SELECT throws_like('SELECT pg_temp.retry()', 'the row of failure % is not known', 'a row without a key cannot be found again');
SELECT throws_ok('SELECT wa_retry_notification(0)', '42704', 'failure 0 of a notification does not exist', 'an unknown failure');
SELECT throws_ok('SELECT wa_retry_notification(NULL)', '22004', 'argument "failure_id" must not be null', 'no failure');
DELETE FROM whatsapp_notification_failures;

/* ---- partitions ---- */

CREATE TABLE shop.parted (place text, order_id bigint, phone text, day date, PRIMARY KEY (place, order_id)) PARTITION BY LIST (place);
CREATE TABLE shop.parted_a (day date, phone text, order_id bigint NOT NULL, place text NOT NULL);
ALTER TABLE shop.parted ATTACH PARTITION shop.parted_a FOR VALUES IN ('a');
SELECT wa_create_notification('shop.parted', 'cambio', '''alba''', 'phone', '["OLD.day", "day"]', events => 'UPDATE') \g /dev/null
INSERT INTO shop.parted VALUES ('a', 1, 'x', '2026-12-11');
UPDATE shop.parted SET day = '2026-12-12';
SELECT is(relation, 'shop.parted_a', 'a failure in a partition') FROM whatsapp_notification_failures;
UPDATE shop.parted SET phone = '+34600000005';
SELECT is(pg_temp.failures(), 1::bigint, 'the update that mends the number sends for itself');
SELECT ok(wa_retry_notification(min(failure_id)), 'and the failure is tried again') FROM whatsapp_notification_failures;
SELECT is(pg_temp.last_sent(), '+34600000005 11 de diciembre de 2026 a 12 de diciembre de 2026', 'with the columns in their places');

/* ---- as whom ---- */

CREATE ROLE t_shop;
CREATE ROLE t_other;
CREATE ROLE t_admin;
SELECT wa_grant('t_shop', 'sender'), wa_grant('t_other', 'sender'), wa_grant('t_admin', 'admin') \g /dev/null
GRANT ALL ON SCHEMA shop TO t_shop, t_other;
INSERT INTO shop.notes VALUES ('x');
SET LOCAL ROLE t_shop;
CREATE TABLE shop.own (id int PRIMARY KEY, phone text);
CREATE FUNCTION shop.who() RETURNS text LANGUAGE sql AS 'SELECT current_user::text';
SELECT wa_create_notification('shop.own', 'cambio', '''alba''', 'phone', '["shop.who()", "phone"]') \g /dev/null
INSERT INTO shop.own VALUES (1, 'x'), (2, 'x'), (3, 'x');
UPDATE shop.own SET phone = '+34600000006';
SELECT is(pg_temp.failures(), 3::bigint, 'the owner of a table sees what its notifications could not send, and nothing else');
SELECT ok(pg_temp.retry(), 'and tries it again');
SELECT throws_ok('UPDATE whatsapp_notification_failures SET message = NULL', '42501', NULL, 'but may change nothing');
RESET ROLE;
SELECT is(pg_temp.last_sent(), '+34600000006 t_shop a +34600000006', 'the expressions run as the role that made it');
SELECT min(failure_id) AS first, max(failure_id) AS last FROM whatsapp_notification_failures WHERE table_owner = 't_shop' \gset
SET LOCAL ROLE t_other;
SELECT is(pg_temp.failures(), 0::bigint, 'others do not see it');
SELECT throws_ok(format('SELECT wa_retry_notification(%s)', :last), '42704', NULL, 'nor try it again');
RESET ROLE;
SET LOCAL ROLE t_admin;
SELECT is(pg_temp.failures(), 3::bigint, 'an administrator sees all');
SELECT ok(pg_temp.retry(), 'and may try again, also without a right to the table');
RESET ROLE;
SELECT is(pg_temp.last_sent(), '+34600000006 t_shop a +34600000006', 'which changes nothing about the role');

/* The notification made again, which is how one is mended. */
SET LOCAL ROLE t_shop;
SELECT wa_drop_notification('shop.own', 'cambio') \g /dev/null
SELECT is(pg_temp.failures(), 1::bigint, 'its owner sees a failure also when the notification is gone');
SELECT wa_create_notification('shop.own', 'cambio', '''alba''', 'phone', '["shop.who()", "phone"]') \g /dev/null
RESET ROLE;

/* Another owner. */
ALTER TABLE shop.own OWNER TO t_other;
SET LOCAL ROLE t_shop;
SELECT throws_ok('SELECT pg_temp.retry()', '42501', 'must be owner of table own', 'who has lost the table sends nothing for it');
RESET ROLE;
INSERT INTO shop.own VALUES (4, 'x');
SET LOCAL ROLE t_other;
SELECT is(pg_temp.failures(), 1::bigint, 'its new owner sees what fails from then on');
RESET ROLE;
ALTER TABLE shop.own OWNER TO t_shop;
SET LOCAL ROLE t_shop;
SELECT is(pg_temp.failures(), 2::bigint, 'and whoever gets it back, that, too: the notification is the same');

/* Another table of the same name. */
ALTER TABLE shop.own RENAME TO own_before;
RESET ROLE;
SET LOCAL ROLE t_other;
CREATE TABLE shop.own (id int PRIMARY KEY, phone text);
SELECT wa_create_notification('shop.own', 'cambio', '''alba''', 'phone', '["phone", "phone"]') \g /dev/null
SELECT is(pg_temp.failures(), 1::bigint, 'who makes a table of that name learns nothing of the other');
RESET ROLE;
SET LOCAL ROLE t_shop;
SELECT throws_ok(format('SELECT wa_retry_notification(%s)', :first), '42501', 'must be owner of table own', 'and nobody sends for it but its owner');
SELECT wa_drop_notification('shop.own_before', 'cambio') \g /dev/null
RESET ROLE;
SET LOCAL ROLE t_other;
SELECT wa_drop_notification('shop.own', 'cambio') \g /dev/null
RESET ROLE;
DELETE FROM whatsapp_notification_failures;

/* ---- by whom the rows are read: a type of the owner's runs as he ---- */

GRANT CREATE ON SCHEMA shop TO t_shop;
SET LOCAL ROLE t_shop;
CREATE FUNCTION shop.spy(v text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF current_user <> 't_shop' THEN RAISE EXCEPTION 'run as %', current_user; END IF;
    RETURN true;
END $$;
CREATE DOMAIN shop.watched AS text CHECK (shop.spy(VALUE));
CREATE TABLE shop.trap (id int PRIMARY KEY, phone text, w shop.watched);
SELECT wa_create_notification('shop.trap', 'cambio', '''alba''', 'phone', '["w", "OLD.w"]', events => 'UPDATE OF w') \g /dev/null
INSERT INTO shop.trap VALUES (1, 'x', 'a');
UPDATE shop.trap SET w = 'b';
UPDATE shop.trap SET phone = '+34600000007';
RESET ROLE;
SET LOCAL ROLE t_admin;
SELECT ok(pg_temp.retry(), 'a domain is checked as the owner');
RESET ROLE;
SELECT is(pg_temp.last_sent(), '+34600000007 b a a', 'and the message is right');
SELECT is(pg_temp.failures(), 0::bigint, 'all failures are dealt with');

SELECT * FROM finish();
ROLLBACK;
