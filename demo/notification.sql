/*
 * The same without writing a trigger: one call attaches one.
 *
 * When an order that was already announced is moved to another day, the supplier
 * is told both days, written out in the bakery's language.
 */
SELECT wa_create_notification(
    'purchase_orders', 'entrega_cambiada',
    tenant_column    => 'bakery_id',
    recipient_column => '(SELECT s.whatsapp FROM suppliers s WHERE s.supplier_id = NEW.supplier_id)',
    parameters       => '["order_number", "OLD.delivery_date", "NEW.delivery_date"]',
    events           => 'UPDATE OF delivery_date',
    condition        => 'status IN (''placed'', ''confirmed'')',
    reference        => 'order_number');
