/*
 * Who wants no messages, and to whom one may write freely.
 */
CREATE TABLE @extschema@.whatsapp_opt_outs (
    tenant_id  text COLLATE "C" NOT NULL,
    recipient  text COLLATE "C" NOT NULL,
    category   text NOT NULL DEFAULT 'marketing'
        CONSTRAINT whatsapp_opt_outs_category_check CHECK (category IN ('marketing', 'all')),
    source     text NOT NULL DEFAULT 'manual',
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (tenant_id, recipient, category)
);
COMMENT ON TABLE @extschema@.whatsapp_opt_outs IS
'Recipients who want no messages of a category (marketing, or all) from a tenant. Messages to them are stored as skipped. Written by wa_opt_out(), by opt-out words that arrive, and by Meta''s refusals.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_outs.recipient IS
'Number in international form with +, or business-scoped user id.';
COMMENT ON COLUMN @extschema@.whatsapp_opt_outs.source IS
'Where it came from: manual, inbound (a word such as BAJA), preferences (WhatsApp''s own switch), error (Meta refused with 131050).';

CREATE TABLE @extschema@.whatsapp_windows (
    phone_number_id text COLLATE "C" NOT NULL,
    recipient       text COLLATE "C" NOT NULL,
    last_inbound_at timestamptz NOT NULL,
    PRIMARY KEY (phone_number_id, recipient)
) WITH (fillfactor = 80);
COMMENT ON TABLE @extschema@.whatsapp_windows IS
'When each customer last wrote to each number. For 24 hours from then on messages without a template may be sent.';
