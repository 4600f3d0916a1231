/*
 * What happens when a supplier presses a button under the message: the order
 * is confirmed or declined.
 *
 * The payload of the buttons was given by the trigger; "message" is the message of
 * ours that the supplier replies to, so its reference names the order.
 */
CREATE FUNCTION answer_order(reply jsonb) RETURNS void
LANGUAGE sql
BEGIN ATOMIC
    UPDATE purchase_orders
    SET status = CASE WHEN starts_with(reply ->> 'payload', 'CONFIRM:') THEN 'confirmed' ELSE 'declined' END
    WHERE bakery_id = reply ->> 'tenant_id'
        AND order_number = reply #>> '{message,reference}'
        AND status = 'placed';
END;

SELECT wa_on_reply('CONFIRM:', 'answer_order(jsonb)');
SELECT wa_on_reply('DECLINE:', 'answer_order(jsonb)');
