/*
 * Compares whatsapp_messages with the simulator's own log, which the psql
 * variable file names (as GET /_control/log gives it).
 */
\set log `cat :'file'`

CREATE TEMP TABLE arrived AS
SELECT r ->> 'wamid' AS whatsapp_message_id,
       r ->> 'number' AS phone_number_id,
       '+' || (r ->> 'to') AS recipient_phone,
       (r ->> 'body')::jsonb -> (r ->> 'type') AS payload
FROM jsonb_array_elements(:'log'::jsonb -> 'records') AS r
WHERE (r ->> 'accepted')::boolean;

CREATE TEMP TABLE checks AS
WITH m AS (
    SELECT *, (SELECT count(*) FROM arrived AS a
               WHERE a.whatsapp_message_id = m.whatsapp_message_id
                   AND a.phone_number_id = m.phone_number_id
                   AND a.recipient_phone = m.recipient_phone
                   AND a.payload = m.payload) AS arrivals
    FROM whatsapp_messages AS m
), figures (no, what, found, wanted) AS (
    SELECT 1, 'purchase orders placed and committed', count(*), 30
    FROM purchase_orders WHERE status <> 'draft'
    UNION ALL
    SELECT 2, 'messages skipped for the bakery that is switched off', count(*), 3
    FROM m WHERE status = 'skipped' AND tenant_id = 'artesa'
    UNION ALL
    SELECT 3, 'messages of template pedido_compra that Meta accepted', count(*), 27
    FROM m WHERE whatsapp_message_id IS NOT NULL AND template_name = 'pedido_compra'
    UNION ALL
    SELECT 4, 'message of template entrega_cambiada, by wa_create_notification', count(*), 1
    FROM m WHERE whatsapp_message_id IS NOT NULL AND template_name = 'entrega_cambiada'
        AND reference = 'COR-0388'
    UNION ALL
    SELECT 5, 'free text, inside the 24 hours', count(*), 1
    FROM m WHERE whatsapp_message_id IS NOT NULL AND message_type = 'text'
    UNION ALL
    SELECT 6, 'messages read, by Meta''s signed webhooks', count(*), 28 FROM m WHERE status = 'read'
    UNION ALL
    SELECT 7, 'message failed: not on WhatsApp (131026)', count(*), 1
    FROM m WHERE status = 'failed' AND error_code = 131026 AND reference = 'LUN-0122'
    UNION ALL
    SELECT 8, 'purchase order confirmed by its supplier', count(*), 1
    FROM purchase_orders WHERE status = 'confirmed' AND order_number = 'TRI-2041'
    UNION ALL
    SELECT 9, 'accepted messages in the log exactly once: number, recipient, content', count(*), 29
    FROM m WHERE arrivals = 1
    UNION ALL
    SELECT 10, 'messages in the log', count(*), 29 FROM arrived
    UNION ALL
    SELECT 11, 'in the log for the order that was rolled back', count(*), 0
    FROM arrived WHERE payload::text LIKE '%TRI-2044%'
    UNION ALL
    SELECT 12, 'in the log for the order that was refused', count(*), 0
    FROM arrived WHERE payload::text LIKE '%ROS-3303%'
)
SELECT no, what, found, wanted, found = wanted AS good FROM figures;

\pset format unaligned
\pset tuples_only on
SELECT format(CASE WHEN good THEN 'ok    %4s %s' ELSE 'WRONG %4s %s: %s expected' END, found, what, wanted)
FROM checks ORDER BY no;

SELECT bool_and(good) AS all_good FROM checks \gset
\if :all_good
\else
    DO $$ BEGIN RAISE 'the tables and the log differ'; END $$;
\endif
