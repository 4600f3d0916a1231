/*
 * Notifications: as whom expressions run, who may make them, and what whoever
 * fires them learns.
 */
\ir ../lib/begin.sql
SELECT plan(36);

CREATE ROLE t_shop;
CREATE ROLE t_clerk;
CREATE ROLE t_stranger;
CREATE ROLE t_boss SUPERUSER;
CREATE ROLE t_member IN ROLE t_shop;
SELECT wa_grant('t_shop', 'sender'), wa_grant('t_stranger', 'sender') \g /dev/null
SELECT wa_assign_phone('alba', '100000000000001') \g /dev/null
CREATE SCHEMA shop;
GRANT ALL ON SCHEMA shop TO t_shop;
GRANT USAGE ON SCHEMA shop TO t_clerk, t_stranger;

SET LOCAL ROLE t_shop;
CREATE TABLE shop.orders (order_id bigint PRIMARY KEY, note text DEFAULT 'x');
GRANT SELECT, INSERT, UPDATE ON shop.orders TO t_clerk;
CREATE TABLE shop.secrets (secret text);
INSERT INTO shop.secrets VALUES ('hunter2');
RESET ROLE;

CREATE FUNCTION pg_temp.text_sent() RETURNS text LANGUAGE sql AS
    'SELECT m.payload #>> ''{components,0,parameters,0,text}'' FROM whatsapp_messages AS m ORDER BY m.id DESC LIMIT 1';
CREATE FUNCTION pg_temp.last_failure() RETURNS text LANGUAGE sql AS
    'SELECT f.sqlstate || '' '' || f.message FROM whatsapp_notification_failures AS f ORDER BY f.failure_id DESC LIMIT 1';
CREATE FUNCTION pg_temp.do_as(role name, statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', role);
    EXECUTE statement;
    RESET ROLE;
END
$$;
/* A notification with this parameter, made by a role. */
CREATE FUNCTION pg_temp.notify(role name, expression text, options text DEFAULT '') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wa_drop_notification('shop.orders', 'note');
    PERFORM pg_temp.do_as(role, format($sql$SELECT wa_create_notification('shop.orders', 'note', '''alba''', '''+34600000001''', jsonb_build_array(%L)%s)$sql$,
        expression, options));
END
$$;
CREATE SEQUENCE pg_temp.ids;
GRANT ALL ON SEQUENCE pg_temp.ids TO PUBLIC;
CREATE FUNCTION pg_temp.order_by(role name, note text DEFAULT 'x') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_temp.do_as(role, format('INSERT INTO shop.orders VALUES (%s, %L)', nextval('pg_temp.ids'), note));
END
$$;

/* ---- as whom ---- */

SELECT pg_temp.notify('t_shop', 'current_user || ''/'' || session_user || ''/'' || (SELECT secret FROM shop.secrets)') \g /dev/null
SELECT pg_temp.order_by('t_clerk') \g /dev/null
SELECT is(pg_temp.text_sent(), 't_shop/' || session_user || '/hunter2', 'expressions run as the role that made the notification');
SELECT is((registered_by, runs_as, state)::text, '(t_shop,t_shop,active)', 'as the view says') FROM wa_notifications;
SELECT throws_ok($$SELECT pg_temp.do_as('t_clerk', 'SELECT FROM shop.secrets')$$, '42501', NULL, 'whoever writes to the table gains nothing');
SELECT throws_ok($$SELECT pg_temp.do_as('t_clerk', 'SELECT FROM whatsapp_messages')$$, '42501', NULL, 'and sees no messages');
SELECT is(current_user, session_user, 'the role is as before');

SELECT pg_temp.notify('t_member', 'current_user') \g /dev/null
SELECT pg_temp.order_by('t_clerk') \g /dev/null
SELECT is(pg_temp.text_sent(), 't_shop', 'a member of the owner can make one, and it has the rights of the owner');

SELECT pg_temp.notify('t_boss', 'current_user') \g /dev/null
SELECT pg_temp.order_by('t_clerk') \g /dev/null
SELECT is(pg_temp.text_sent(), 't_shop', 'for a superuser the owner of the table takes his place');
SELECT is((registered_by, runs_as)::text, '(t_boss,t_shop)', 'as the view says') FROM wa_notifications;

/* The owner of a table decides what the expressions of others meet. */
SET LOCAL ROLE t_shop;
CREATE FUNCTION shop.steal(text) RETURNS text LANGUAGE sql AS 'SELECT current_user::text';
CREATE DOMAIN shop.bait AS text;
CREATE FUNCTION shop.lower(shop.bait) RETURNS text LANGUAGE sql AS 'SELECT shop.steal($1)';
RESET ROLE;
SET LOCAL search_path = shop, public;
SELECT pg_temp.notify('t_boss', 'lower(note)') \g /dev/null
SELECT pg_temp.do_as('t_shop', 'ALTER TABLE shop.orders ALTER note TYPE shop.bait') \g /dev/null
SELECT pg_temp.order_by('t_clerk') \g /dev/null
SELECT is(pg_temp.text_sent(), 't_shop', 'the owner of a table does not become a superuser by that');
SELECT pg_temp.do_as('t_shop', 'ALTER TABLE shop.orders ALTER note TYPE text') \g /dev/null
RESET search_path;

/* ---- what they cannot do ---- */

SET LOCAL ROLE t_shop;
CREATE FUNCTION shop.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'done';
END
$$;
RESET ROLE;
SELECT pg_temp.notify('t_shop', 'shop.try(note)') \g /dev/null
SELECT pg_temp.order_by('t_shop', 'SET ROLE t_shop') \g /dev/null
SELECT matches(pg_temp.last_failure(), '^42501 cannot set parameter "role"', 'they cannot change the role');
SELECT pg_temp.order_by('t_shop', 'SET SESSION AUTHORIZATION DEFAULT') \g /dev/null
SELECT matches(pg_temp.last_failure(), '^42501 cannot set parameter "session_authorization"', 'nor become who is logged in');
SELECT pg_temp.order_by('t_shop', 'CREATE TEMP TABLE bait (a int)') \g /dev/null
SELECT matches(pg_temp.last_failure(), '^42501 cannot create temporary table', 'nor leave something in the session');
SELECT pg_temp.order_by('t_shop', 'SET work_mem = ''77MB''; SET search_path = shop') \g /dev/null
SELECT is(pg_temp.text_sent(), 'done', 'what they set');
SELECT isnt(current_setting('work_mem'), '77MB', 'is undone');
SELECT isnt(current_setting('search_path'), 'shop', 'the search_path, too');
SELECT pg_temp.order_by('t_shop', 'COMMIT') \g /dev/null
SELECT matches(pg_temp.last_failure(), '^(2D000|0A000) ', 'and they cannot end the transaction');

/* ---- search_path ---- */

SET LOCAL search_path = shop, public;
SELECT pg_temp.notify('t_shop', 'try(''SELECT 1'') || current_setting(''search_path'')') \g /dev/null
SET LOCAL search_path = public;
SELECT pg_temp.order_by('t_clerk') \g /dev/null
SELECT is(pg_temp.text_sent(), 'doneshop, public', 'names are looked up as where the notification was made');
SELECT is(current_setting('search_path'), 'public', 'and nowhere else');
RESET search_path;

/* ---- who may ---- */

SELECT throws_ok($$SELECT pg_temp.notify('t_stranger', '1')$$, '42501', 'must be owner of table orders', 'a notification is made by the owner');
SELECT throws_ok($$SELECT pg_temp.do_as('t_stranger', 'SELECT wa_drop_notification(''shop.orders'', ''note'')')$$, '42501', 'must be owner of table orders',
    'and dropped');
SELECT throws_ok($$SELECT pg_temp.notify('t_clerk', '1')$$, '42501', 'permission denied for function wa_create_notification', 'or nobody');
SELECT throws_ok($$SELECT pg_temp.notify('t_stranger', '1') FROM (SELECT pg_temp.do_as('t_shop', 'GRANT ALL ON shop.orders TO t_stranger')) AS x$$, '42501', NULL,
    'TRIGGER is not enough');
SELECT throws_ok($$SELECT pg_temp.do_as('t_shop', 'CREATE TRIGGER own AFTER INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION wa_notify(''note'', ''0'')')$$,
    '42501', 'permission denied for function wa_notify', 'nobody else makes a trigger with wa_notify()');
SELECT wa_grant('t_clerk', 'admin') \g /dev/null
SELECT is(has_function_privilege('t_clerk', 'wa_notify()', 'EXECUTE'), false, 'not even an administrator');
SELECT wa_revoke('t_clerk', 'admin') \g /dev/null
SELECT throws_ok($$SELECT pg_temp.notify('t_shop', '(SELECT rolpassword FROM pg_authid LIMIT 1)')$$, '42501',
    'invalid parameters[0]: permission denied for table pg_authid', 'what an expression may not read is said at once');
SELECT throws_ok($$SELECT pg_temp.notify('t_shop', 'pg_read_file(''/etc/passwd'')')$$, '42501',
    'invalid parameters[0]: permission denied for function pg_read_file', 'and what it may not call');

/* ---- and only as long as they may ---- */

SELECT pg_temp.notify('t_shop', '1') \g /dev/null
SELECT wa_revoke('t_shop', 'sender') \g /dev/null
SELECT pg_temp.order_by('t_clerk') \g /dev/null
SELECT is(pg_temp.last_failure(), '42501 role "t_shop" may not send messages', 'who loses the right to send, sends no more');
SELECT is(state, 'role may not send', 'which the view says') FROM wa_notifications;
SELECT wa_grant('t_shop', 'sender') \g /dev/null
ALTER TABLE shop.orders OWNER TO t_stranger;
SELECT pg_temp.order_by('t_clerk') \g /dev/null
SELECT is(pg_temp.last_failure(), '42501 role "t_shop" does not own table "orders"', 'so does who loses the table');
SELECT is(state, 'role does not own the table', 'which the view says') FROM wa_notifications;
ALTER TABLE shop.orders OWNER TO t_shop;
ALTER ROLE t_shop RENAME TO t_shop_2;
SELECT pg_temp.order_by('t_clerk') \g /dev/null
SELECT is(pg_temp.last_failure(), '42704 role "t_shop", which created this notification, does not exist', 'and who is gone');
ALTER ROLE t_shop_2 RENAME TO t_shop;
SELECT pg_temp.order_by('t_clerk') \g /dev/null
SELECT is(state, 'active', 'all is well again') FROM wa_notifications;

/* ---- who sees what ---- */

SET LOCAL ROLE t_shop;
SELECT is((SELECT count(*) FROM wa_notifications), 1::bigint, 'an owner sees the notifications of his tables');
RESET ROLE;
SET LOCAL ROLE t_stranger;
SELECT is((SELECT count(*) FROM wa_notifications), 0::bigint, 'and nobody else''s');
RESET ROLE;

/* A trigger whose row is gone, as in a dump without data. */
DELETE FROM whatsapp_notifications;
ALTER TABLE shop.orders ADD COLUMN another integer;
SELECT pg_temp.order_by('t_clerk') \g /dev/null
SELECT is(pg_temp.last_failure(), '42704 the notification of trigger "whatsapp_note" is not registered', 'a trigger without its row is harmless');
SELECT is(wa_drop_notification('shop.orders', 'note'), true, 'and can be dropped');

SELECT * FROM finish();
ROLLBACK;
