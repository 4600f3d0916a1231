/*
 * The templates of the WhatsApp Business account, as read from Meta or entered
 * by hand.  Messages are checked against them before COMMIT.
 */
CREATE TABLE @extschema@.whatsapp_templates (
    name             text COLLATE "C" NOT NULL
        CONSTRAINT whatsapp_templates_name_check CHECK (name ~ '^[a-z0-9_]+$' AND pg_catalog.length(name) <= 512),
    language         text COLLATE "C" NOT NULL
        CONSTRAINT whatsapp_templates_language_check CHECK (language ~ '^[A-Za-z0-9_]{2,16}$'),
    template_id      text,
    category         text NOT NULL,
    status           text NOT NULL,
    quality          text,
    rejected_reason  text,
    parameter_format text NOT NULL DEFAULT 'POSITIONAL'
        CONSTRAINT whatsapp_templates_parameter_format_check
        CHECK (parameter_format IN ('POSITIONAL', 'NAMED')),
    components       jsonb NOT NULL
        CONSTRAINT whatsapp_templates_components_check
        CHECK (pg_catalog.jsonb_typeof(components) = 'array'),
    source           text NOT NULL
        CONSTRAINT whatsapp_templates_source_check CHECK (source IN ('sync', 'local')),
    synced_at        timestamptz,
    missing_since    timestamptz,
    updated_at       timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (name, language)
);
CREATE INDEX whatsapp_templates_id_idx ON @extschema@.whatsapp_templates (template_id);
COMMENT ON TABLE @extschema@.whatsapp_templates IS
'The message templates that can be used: read from Meta by wa_sync_templates(), or entered with wa_register_template().';
COMMENT ON COLUMN @extschema@.whatsapp_templates.status IS
'APPROVED can be used. Others, in Meta''s words: PENDING, REJECTED, PAUSED, DISABLED, IN_APPEAL, ARCHIVED, PENDING_DELETION …';
COMMENT ON COLUMN @extschema@.whatsapp_templates.components IS
'Header, body, footer and buttons as Meta lists them.';
COMMENT ON COLUMN @extschema@.whatsapp_templates.source IS
'sync: read from Meta; local: entered by hand, and left alone by the synchronisation as long as Meta has none of that name and language.';
COMMENT ON COLUMN @extschema@.whatsapp_templates.missing_since IS
'Since when Meta no longer lists it; it cannot be used then.';
