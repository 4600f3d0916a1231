/*
 * Compares whatsapp_messages with the simulator's own log, which the psql
 * variable file names (as GET /_control/log gives it).
 */
\set log `cat :'file'`

CREATE TEMP TABLE arrived AS
SELECT r ->> 'wamid' AS whatsapp_message_id,
       r ->> 'number' AS phone_number_id,
       '+' || (r ->> 'to') AS recipient_phone,
       (r ->> 'body')::jsonb -> 'template' AS payload
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
    SELECT 1, 'orders placed and committed', count(*), 30
    FROM purchase_orders WHERE status <> 'draft'
    UNION ALL
    SELECT 2, 'messages skipped for the bakery that is switched off', count(*), 3
    FROM m WHERE status = 'skipped' AND tenant_id = 'artesa'
    UNION ALL
    SELECT 3, 'messages that Meta accepted, say the tables', count(*), 27
    FROM m WHERE whatsapp_message_id IS NOT NULL
    UNION ALL
    SELECT 4, 'messages read, say the tables', count(*), 26 FROM m WHERE status = 'read'
    UNION ALL
    SELECT 5, 'messages failed: not on WhatsApp (131026)', count(*), 1
    FROM m WHERE status = 'failed' AND error_code = 131026 AND reference = 'LUN-0122'
    UNION ALL
    SELECT 10, 'orders confirmed by their supplier', count(*), 1
    FROM purchase_orders WHERE status = 'confirmed' AND order_number = 'TRI-2041'
    UNION ALL
    SELECT 6, 'accepted ones in the log exactly once: number, recipient, text', count(*), 27
    FROM m WHERE arrivals = 1
    UNION ALL
    SELECT 7, 'messages in the log', count(*), 27 FROM arrived
    UNION ALL
    SELECT 8, 'log entries for the order that was rolled back', count(*), 0
    FROM arrived WHERE payload::text LIKE '%TRI-2044%'
    UNION ALL
    SELECT 9, 'log entries for the order that was refused', count(*), 0
    FROM arrived WHERE payload::text LIKE '%ROS-3303%'
)
SELECT no, what, found, wanted, found = wanted AS good FROM figures;

SELECT what AS "check", found, wanted, CASE WHEN good THEN 'ok' ELSE 'WRONG' END AS verdict
FROM checks ORDER BY no;

SELECT bool_and(good) AS all_good FROM checks \gset
\if :all_good
\else
    DO $$ BEGIN RAISE 'the tables and the log differ'; END $$;
\endif
