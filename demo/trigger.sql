/*
 * All that the application needs in order to tell its suppliers of an order:
 * one trigger.  (Where no sum over the lines is needed, notification.sql shows
 * that a single call does.)
 *
 * It runs inside the transaction that places the order.  If that transaction
 * commits, the message is in the queue and will be sent; if it rolls back, no
 * message has ever existed.
 */

/* 1234.5 → '1.234,50 €', whatever the server's lc_numeric says. */
CREATE FUNCTION spanish_amount(amount numeric) RETURNS text
LANGUAGE sql IMMUTABLE STRICT
RETURN translate(to_char(amount, 'FM999,999,990.00'), ',.', '.,') || ' €';

/* 2026-12-03 → '3 de diciembre', whatever the server's lc_time says. */
CREATE FUNCTION spanish_date(day date) RETURNS text
LANGUAGE sql IMMUTABLE STRICT
RETURN extract(day FROM day)::text || ' de ' ||
    (ARRAY['enero', 'febrero', 'marzo', 'abril', 'mayo', 'junio', 'julio', 'agosto',
           'septiembre', 'octubre', 'noviembre', 'diciembre'])[extract(month FROM day)::int];

CREATE FUNCTION notify_supplier() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    supplier suppliers;
    total    numeric;
BEGIN
    SELECT * INTO STRICT supplier
    FROM suppliers WHERE supplier_id = NEW.supplier_id;

    SELECT coalesce(sum(quantity * unit_price), 0) INTO total
    FROM purchase_order_lines WHERE purchase_order_id = NEW.purchase_order_id;

    PERFORM wa_enqueue_message(
        tenant_id       => NEW.bakery_id,
        recipient_phone => supplier.whatsapp,
        template_name   => 'pedido_compra',
        parameters      => jsonb_build_object(
            'body', jsonb_build_array(
                supplier.name,
                NEW.order_number,
                spanish_amount(total),
                spanish_date(NEW.delivery_date)),
            /* what comes back when a button is pressed, see replies.sql */
            'buttons', jsonb_build_array(
                jsonb_build_object('payload', 'CONFIRM:' || NEW.order_number),
                jsonb_build_object('payload', 'DECLINE:' || NEW.order_number))),
        /* no use in asking for bread flour after the day it was needed */
        expires_at      => (NEW.delivery_date + 1)::timestamptz,
        /* the order is announced once, however often its status is set */
        idempotency_key => 'purchase_order:' || NEW.purchase_order_id,
        /* comes back with the supplier's reply */
        reference       => NEW.order_number);
    RETURN NULL;
END
$$;

CREATE TRIGGER purchase_order_whatsapp
    AFTER INSERT OR UPDATE OF status ON purchase_orders
    FOR EACH ROW WHEN (NEW.status = 'placed')
    EXECUTE FUNCTION notify_supplier();
