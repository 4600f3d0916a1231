/*
 * The application of the demo: a purchasing program used by ten bakeries.
 *
 * Nothing here knows about WhatsApp.  These are the tables such a program has
 * anyway; what it takes to tell the suppliers is in trigger.sql and
 * notification.sql, and what it takes to hear them in replies.sql.
 */

/* A bakery is a tenant: it sees its own suppliers and orders and nobody else's. */
CREATE TABLE bakeries (
    bakery_id text PRIMARY KEY,
    name      text NOT NULL,
    town      text NOT NULL
);

CREATE TABLE suppliers (
    supplier_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    bakery_id   text NOT NULL REFERENCES bakeries,
    name        text NOT NULL,
    supplies    text NOT NULL,
    whatsapp    text NOT NULL,          /* as the bakery typed it in */
    UNIQUE (bakery_id, supplier_id),
    UNIQUE (bakery_id, name)
);

CREATE TABLE products (
    product_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    bakery_id   text NOT NULL,
    supplier_id bigint NOT NULL,
    name        text NOT NULL,
    unit        text NOT NULL,
    unit_price  numeric(10,2) NOT NULL CHECK (unit_price >= 0),
    FOREIGN KEY (bakery_id, supplier_id) REFERENCES suppliers (bakery_id, supplier_id),
    UNIQUE (supplier_id, name)
);

CREATE TABLE purchase_orders (
    purchase_order_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    bakery_id     text NOT NULL,
    supplier_id   bigint NOT NULL,
    order_number  text NOT NULL,
    status        text NOT NULL DEFAULT 'draft'
        CHECK (status IN ('draft', 'placed', 'confirmed', 'declined')),
    delivery_date date NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (bakery_id, supplier_id) REFERENCES suppliers (bakery_id, supplier_id),
    UNIQUE (bakery_id, order_number)
);

CREATE TABLE purchase_order_lines (
    purchase_order_id bigint NOT NULL REFERENCES purchase_orders,
    product_id        bigint NOT NULL REFERENCES products,
    quantity          numeric(10,2) NOT NULL CHECK (quantity > 0),
    unit_price        numeric(10,2) NOT NULL,
    PRIMARY KEY (purchase_order_id, product_id)
);

/*
 * What the application runs when somebody presses "Hacer pedido": the order
 * as a draft, its lines at today's prices, and then the status "placed", all
 * in one transaction.  The lines come as {"product": quantity, ...}.
 */
CREATE FUNCTION place_order(bakery text, number text, supplier text, delivery date, lines jsonb)
RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    order_id bigint;
BEGIN
    INSERT INTO purchase_orders (bakery_id, supplier_id, order_number, delivery_date)
    SELECT s.bakery_id, s.supplier_id, number, delivery
    FROM suppliers s WHERE s.bakery_id = bakery AND s.name = supplier
    RETURNING purchase_order_id INTO STRICT order_id;

    /* a product that this supplier does not sell has no id, which is refused */
    INSERT INTO purchase_order_lines (purchase_order_id, product_id, quantity, unit_price)
    SELECT o.purchase_order_id, p.product_id, l.value::numeric, p.unit_price
    FROM jsonb_each_text(lines) l
    JOIN purchase_orders o ON o.purchase_order_id = order_id
    LEFT JOIN products p ON p.supplier_id = o.supplier_id AND p.name = l.key;

    UPDATE purchase_orders SET status = 'placed' WHERE purchase_order_id = order_id;
    RETURN order_id;
END
$$;
