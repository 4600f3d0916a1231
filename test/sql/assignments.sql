--
-- Assigning and releasing numbers: every error with its code, detail and hint,
-- and every notice and warning.
--
SET client_min_messages = error;
CREATE EXTENSION whatsapp_shared;
RESET client_min_messages;
\set SHOW_CONTEXT never

CREATE FUNCTION refusal(statement text, OUT state text, OUT message text, OUT detail text, OUT hint text, OUT violated text)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    message := 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
        hint = PG_EXCEPTION_HINT, violated = CONSTRAINT_NAME;
END
$$;
\x on

-- bad arguments
SELECT * FROM refusal($$SELECT wa_assign_phone(NULL, '100000000000001')$$);
SELECT * FROM refusal($$SELECT wa_assign_phone('', '100000000000001')$$);
SELECT * FROM refusal($$SELECT wa_assign_phone(repeat('x', 256), '100000000000001')$$);
SELECT * FROM refusal($$SELECT wa_assign_phone('panaderia', NULL)$$);
SELECT * FROM refusal($$SELECT wa_assign_phone('panaderia', '+34600000001')$$);
SELECT * FROM refusal($$SELECT wa_assign_phone('panaderia', '100000000000001', 'none')$$);
SELECT * FROM refusal($$SELECT wa_assign_phone('panaderia')$$);
SELECT * FROM refusal($$SELECT wa_unassign_phone('nadie')$$);
SELECT * FROM refusal($$SELECT wa_unassign_phone(NULL::text)$$);

-- both sides are exclusive
SELECT tenant_id, phone_number_id, display_phone_number FROM wa_assign_phone('panaderia', '100000000000001', '+34 600 00 00 01');
SELECT * FROM refusal($$SELECT wa_assign_phone('horno', '100000000000001')$$);
SELECT * FROM refusal($$SELECT wa_assign_phone('panaderia', '100000000000002')$$);
-- names that need quoting
SELECT tenant_id FROM wa_assign_phone('Pan''s "best"', '100000000000003');
SELECT * FROM refusal($$SELECT wa_assign_phone('horno', '100000000000003')$$);

-- numbers that cannot send, or may not
INSERT INTO whatsapp_phone_numbers (phone_number_id, status, missing_since) VALUES
    ('100000000000010', 'BANNED', NULL), ('100000000000011', 'CONNECTED', '2026-01-02 03:04:05+00'), ('100000000000012', 'PENDING', NULL);
SET timezone = 'UTC';
SELECT * FROM refusal($$SELECT wa_assign_phone('horno', '100000000000010')$$);
SELECT * FROM refusal($$SELECT wa_assign_phone('horno', '100000000000011')$$);
SELECT phone_number_id FROM wa_assign_phone('horno', '100000000000012');
-- a number that Meta does not list, once the list has been read
UPDATE whatsapp_sync SET finished_at = now(), items = 12 WHERE kind = 'phone_numbers';
SELECT * FROM refusal($$SELECT wa_assign_phone('tahona', '100000000000013')$$);
UPDATE whatsapp_sync SET finished_at = NULL WHERE kind = 'phone_numbers';
SELECT phone_number_id FROM wa_assign_phone('tahona', '100000000000013');
-- too few numbers for all
SELECT FROM wa_configure_tenant('molino', is_new => true);
SELECT * FROM wa_assign_all();

-- nothing to release
SELECT wa_unassign_phone('molino');

-- a transaction with one snapshot cannot see what is being sent
SET client_min_messages = warning;
SELECT FROM wa_enqueue_payload('panaderia', '+34600000001', 'text', '{"body": "hola"}');
RESET client_min_messages;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM refusal($$SELECT wa_unassign_phone('panaderia')$$);
ROLLBACK;
-- but may release a tenant that has nothing waiting
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT wa_unassign_phone('tahona');
ROLLBACK;

DROP FUNCTION refusal;
DROP EXTENSION whatsapp_shared;
