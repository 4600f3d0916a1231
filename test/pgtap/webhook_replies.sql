/*
 * wa_on_reply(): functions of the application that are called for replies.
 */
\ir ../lib/begin.sql
\ir ../lib/webhook.sql
SELECT plan(54);

/* An application with a role and a schema of its own, and another role. */
CREATE ROLE reply_app;
CREATE ROLE reply_other;
CREATE SCHEMA reply_app AUTHORIZATION reply_app;
GRANT EXECUTE ON FUNCTION wa_on_reply, wa_off_reply TO reply_app, reply_other;
SELECT wa_grant('reply_app', 'sender') \g /dev/null
SET ROLE reply_app;
SET search_path = reply_app, public;
CREATE TABLE purchase_orders (number text PRIMARY KEY, status text NOT NULL);
CREATE TABLE calls (n serial, who name, path text, argument jsonb);
CREATE TABLE lines (number text REFERENCES purchase_orders DEFERRABLE INITIALLY DEFERRED);
INSERT INTO purchase_orders VALUES ('PO-7', 'sent');
CREATE FUNCTION confirm_order(reply jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO calls (who, path, argument) VALUES (current_user, current_setting('search_path'), reply);
    UPDATE purchase_orders SET status = 'confirmed' WHERE number = reply #>> '{message,reference}';
END
$$;
CREATE FUNCTION misbehave(reply jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE purchase_orders SET status = 'half done';
    CASE reply ->> 'title'
        WHEN 'raise' THEN RAISE EXCEPTION 'no such order' USING ERRCODE = 'P0002';
        WHEN 'conflict' THEN
            RAISE EXCEPTION 'could not serialize' USING ERRCODE = '40001';
        WHEN 'answer' THEN PERFORM public.wa_enqueue_text('panaderia', reply ->> 'sender', 'Gracias', reference => 'answer');
        WHEN 'memory' THEN RAISE EXCEPTION 'out of memory' USING ERRCODE = '53200';
        WHEN 'catch' THEN
            BEGIN
                RAISE EXCEPTION 'a' USING ERRCODE = '40P01';
            EXCEPTION WHEN deadlock_detected THEN
                INSERT INTO calls (who) VALUES ('caught');
            END;
        WHEN 'sleep' THEN PERFORM pg_sleep(60);
        WHEN 'sleep on' THEN
            BEGIN
                PERFORM pg_sleep(60);
            EXCEPTION WHEN query_canceled THEN
                PERFORM pg_sleep(60);
            END;
        WHEN 'reset role' THEN RESET ROLE;
        WHEN 'set role' THEN SET ROLE postgres;
        WHEN 'session' THEN SET SESSION AUTHORIZATION DEFAULT;
        WHEN 'read' THEN PERFORM count(*) FROM public.whatsapp_messages;
        WHEN 'set' THEN SET work_mem = '77MB';
        WHEN 'deferred' THEN INSERT INTO lines VALUES ('no such order');
        WHEN 'temp' THEN CREATE TEMP TABLE t (a int);
    END CASE;
    INSERT INTO calls (who) VALUES (current_user);
END
$$;
CREATE FUNCTION two_arguments(a jsonb, b jsonb) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION of_text(a text) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION many(a jsonb) RETURNS SETOF integer LANGUAGE sql AS 'SELECT 1';
CREATE PROCEDURE procedure(a jsonb) LANGUAGE sql AS '';
REVOKE EXECUTE ON FUNCTION confirm_order FROM PUBLIC;

/* ---- registering ---- */

SELECT lives_ok($$SELECT wa_on_reply('CONFIRM:', 'confirm_order(jsonb)')$$, 'a handler is registered');
SELECT lives_ok($$SELECT wa_on_reply('CONFIRM:bad:', 'misbehave(jsonb)')$$, 'another one for a longer prefix');
SELECT throws_ok($$SELECT wa_on_reply('X', 'two_arguments(jsonb, jsonb)')$$, '42P13', 'function two_arguments(jsonb,jsonb) cannot handle replies', 'it has one argument');
SELECT throws_ok($$SELECT wa_on_reply('X', 'of_text(text)')$$, '42P13', NULL, 'of type jsonb');
SELECT throws_ok($$SELECT wa_on_reply('X', 'many(jsonb)')$$, '42P13', NULL, 'and returns no set');
SELECT throws_ok($$SELECT wa_on_reply('X', 'procedure(jsonb)')$$, '42P13', NULL, 'and is no procedure');
SELECT throws_ok($$SELECT wa_on_reply('', 'confirm_order(jsonb)')$$, '22023', NULL, 'a prefix is not empty');
SELECT throws_ok($$SELECT wa_on_reply(repeat('x', 257), 'confirm_order(jsonb)')$$, '22023', NULL, 'nor longer than a payload');
SELECT throws_ok($$SELECT wa_on_reply(NULL, 'confirm_order(jsonb)')$$, '22004', NULL, 'nor null');
SELECT throws_ok($$SELECT wa_on_reply('X', NULL)$$, '22004', NULL, 'nor is the handler');
SET ROLE reply_other;
SELECT throws_ok($$SELECT wa_on_reply('X', 'reply_app.confirm_order(jsonb)')$$, '42501', NULL, 'one registers what one may call oneself');
SELECT throws_ok($$SELECT wa_on_reply('CONFIRM:', 'jsonb_typeof(jsonb)')$$, '42501', 'replies that begin with "CONFIRM:" belong to another role', 'and takes no prefix from others');
SELECT throws_ok($$SELECT wa_off_reply('CONFIRM:')$$, '42501', NULL, 'nor ends it');
RESET ROLE;
RESET search_path;
SELECT is((SELECT string_agg(concat_ws(' ', prefix, handler, registered_by, search_path), ', ' ORDER BY prefix) FROM whatsapp_reply_handlers),
    'CONFIRM: reply_app.confirm_order(pg_catalog.jsonb) reply_app reply_app, public, pg_temp, CONFIRM:bad: reply_app.misbehave(pg_catalog.jsonb) reply_app reply_app, public, pg_temp', 'what is known of them');

/* ---- being called ---- */

INSERT INTO whatsapp_tenants (tenant_id) VALUES ('panaderia');
SELECT pg_temp.new_message('accepted', 'panaderia', 'pedido') AS m \gset
UPDATE whatsapp_messages SET reference = 'PO-7' WHERE id = :m;
CREATE FUNCTION pg_temp.press(id text, payload text, title text, context text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.counts(pg_temp.post(pg_temp.envelope(pg_temp.messages_change(jsonb_build_object('messages', jsonb_build_array(jsonb_strip_nulls(jsonb_build_object(
        'from', '34600000001', 'from_user_id', 'ES.1', 'id', id, 'timestamp', '1764000000', 'type', 'button', 'button', jsonb_build_object('payload', payload, 'text', title),
        'context', CASE WHEN context IS NOT NULL THEN jsonb_build_object('id', context) END))))))), 'messages')
$$;
CREATE FUNCTION pg_temp.outcome(wamid text) RETURNS text LANGUAGE sql AS $$
    SELECT COALESCE(split_part(handler_error, E'\n', 1), CASE WHEN handled_at IS NULL THEN 'not called' ELSE 'ok' END) FROM whatsapp_inbound_messages WHERE whatsapp_message_id = $1
$$;
SELECT is(pg_temp.press('wamid.P1', 'CONFIRM:7', 'Confirmar pedido', 'wamid.' || :m), '1/0/0/0', 'a supplier presses "Confirmar pedido"');
SELECT is((SELECT status FROM reply_app.purchase_orders), 'confirmed', 'and the purchase order is confirmed');
SELECT is((SELECT concat_ws(' ', who, path) FROM reply_app.calls), 'reply_app reply_app, public, pg_temp', 'by the role, and with the path, of whoever registered the handler');
SELECT is((SELECT argument - 'inbound_id' - 'sent_at' #- '{message,created_at}' FROM reply_app.calls), jsonb_build_object('tenant_id', 'panaderia', 'phone_number_id', '100000000000001',
    'sender', '+34600000001', 'sender_user_id', 'ES.1', 'payload', 'CONFIRM:7', 'title', 'Confirmar pedido', 'data', NULL, 'reference', 'PO-7', 'message', jsonb_build_object('id', :m, 'reference', 'PO-7',
    'message_type', 'template', 'template_name', 'pedido', 'template_language', 'es', 'recipient_phone', '+34600000001', 'recipient_user_id', NULL)), 'it is told everything');
SELECT is((SELECT (argument ->> 'inbound_id')::bigint FROM reply_app.calls), inbound_id, 'with the id of the inbound message') FROM whatsapp_inbound_messages;
SELECT is(pg_temp.outcome('wamid.P1'), 'ok', 'that it was called is noted');
SELECT is(pg_temp.press('wamid.P1', 'CONFIRM:7', 'Confirmar pedido', 'wamid.' || :m), '0/1/0/0', 'the same again');
SELECT is((SELECT count(*) FROM reply_app.calls), 1::bigint, 'calls nobody');
SELECT pg_temp.press('wamid.P2', 'DENY:7', 'No') \g /dev/null
SELECT is(pg_temp.outcome('wamid.P2'), 'not called', 'a payload without a handler');
SELECT pg_temp.press('wamid.P3', 'CONFIRM:8', 'Confirmar') \g /dev/null
SELECT is((SELECT argument -> 'message' FROM reply_app.calls ORDER BY n DESC LIMIT 1), 'null', 'a reply to nothing of ours has no message');

/* A table of the session that hands the webhook in is not taken for the application's. */
CREATE TEMP TABLE purchase_orders (number text, status text);
INSERT INTO pg_temp.purchase_orders VALUES ('PO-7', 'sent');
GRANT ALL ON pg_temp.purchase_orders TO PUBLIC;
SELECT pg_temp.press('wamid.P4', 'CONFIRM:7', 'Confirmar pedido', 'wamid.' || :m) \g /dev/null
SELECT is((SELECT status FROM pg_temp.purchase_orders), 'sent', 'temporary tables do not stand in for others');
DROP TABLE pg_temp.purchase_orders;

/* ---- misbehaving ---- */

UPDATE reply_app.purchase_orders SET status = 'sent';
CREATE FUNCTION pg_temp.misbehave(title text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    counts text := pg_temp.press('wamid.' || title, 'CONFIRM:bad:1', title);
BEGIN
    RETURN counts || ' ' || pg_temp.outcome('wamid.' || title);
END
$$;
SELECT is(pg_temp.misbehave('raise'), '1/0/0/0 P0002: no such order', 'an error is recorded, and the message is not lost');
SELECT is((SELECT status FROM reply_app.purchase_orders), 'sent', 'what the handler did is undone');
SELECT is((SELECT key FROM whatsapp_alerts WHERE kind = 'reply_handler'), 'CONFIRM:bad:', 'and an alert raised');
SELECT alike(pg_temp.misbehave('reset role'), '%42501: cannot set parameter "role" within security-%', 'it cannot leave its role');
SELECT alike(pg_temp.misbehave('set role'), '%42501: cannot set parameter "role" within security-%', 'nor take another');
SELECT alike(pg_temp.misbehave('session'), '%42501: cannot set parameter "session_authorization" within security-%', 'nor another session''s');
SELECT is(pg_temp.misbehave('read'), '1/0/0/0 42501: permission denied for table whatsapp_messages', 'it has the rights of its role');
SELECT alike(pg_temp.misbehave('deferred'), '%23503: insert or update on table "lines" violates foreign key constraint "lines_number_fkey"%', 'deferred constraints are checked at once');
SELECT alike(pg_temp.misbehave('temp'), '%42501: cannot create temporary table within security-restricted operation', 'nothing of it outlives the call');
SELECT is(pg_temp.misbehave('set'), '1/0/0/0 ok', 'a setting');
SELECT isnt(current_setting('work_mem'), '77MB', 'is not left behind');
SELECT is(current_user::text, session_user::text, 'nor is the role');
SELECT is(pg_temp.misbehave('answer'), '1/0/0/0 ok', 'it may write back');
SELECT is((SELECT concat_ws(' ', status, recipient_phone, payload ->> 'body') FROM whatsapp_messages WHERE reference = 'answer'), 'queued +34600000001 Gracias', 'within the window that the reply has opened');
SELECT is(pg_temp.misbehave('memory'), '1/0/0/0 53200: out of memory', 'not even that loses the webhook');
SELECT is(pg_temp.misbehave('catch'), '1/0/0/0 ok', 'it may have errors of its own');
SELECT is((SELECT count(*) FROM reply_app.calls WHERE who = 'caught'), 1::bigint, 'and handle them');
SELECT is(pg_temp.misbehave('sleep'), '1/0/0/0 57014: the handler took too long and was cancelled', 'and it does not take for ever');
SELECT is(pg_temp.misbehave('sleep on'), '1/0/0/0 57014: the handler took too long and was cancelled', 'nor does one that does not want to hear of it');

/* ---- again ---- */

UPDATE whatsapp_inbound_messages SET reply_title = 'conflict' WHERE whatsapp_message_id = 'wamid.raise';
SELECT is((SELECT wa_retry_reply(inbound_id) FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'wamid.raise'), false, 'a handler that calls its error a conflict');
SELECT is(pg_temp.outcome('wamid.raise'), '40001: could not serialize', 'is not believed');
UPDATE whatsapp_inbound_messages SET reply_title = 'set' WHERE whatsapp_message_id = 'wamid.raise';
SELECT is(wa_retry_reply((SELECT inbound_id FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'wamid.temp')), false, 'a second call may fail again');
SELECT is(wa_retry_reply((SELECT inbound_id FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'wamid.raise')), true, 'or not');
SELECT is(pg_temp.outcome('wamid.raise'), 'ok', 'which clears the error');
SELECT throws_ok('SELECT wa_retry_reply(0)', '42704', 'there is no reply 0 with a handler', 'a reply that is not there');
SELECT throws_ok($$SELECT wa_retry_reply(inbound_id) FROM whatsapp_inbound_messages WHERE whatsapp_message_id = 'wamid.P2'$$, '42704', NULL, 'or that nobody handles');
SELECT is(wa_off_reply('CONFIRM:bad:'), true, 'a handler is taken away');
SELECT is(wa_off_reply('CONFIRM:bad:'), false, 'once');
SELECT pg_temp.press('wamid.P9', 'CONFIRM:bad:1', 'raise') \g /dev/null
SELECT is(pg_temp.outcome('wamid.P9'), 'ok', 'then the shorter prefix has it');

SELECT finish();
ROLLBACK;
