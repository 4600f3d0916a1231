/*
 * Files that are uploaded to Meta before they are sent.
 *
 * The bytes stay here until Meta has them, and longer only while messages wait
 * that may outlive Meta's id, which is good for 30 days.
 */
CREATE TABLE @extschema@.whatsapp_media (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id       text COLLATE "C" NOT NULL,
    sha256          bytea NOT NULL,
    mime_type       text COLLATE "C" NOT NULL,
    filename        text,
    kind            text NOT NULL
        CONSTRAINT whatsapp_media_kind_check
        CHECK (kind IN ('image', 'video', 'audio', 'document', 'sticker')),
    size            integer NOT NULL,
    content         bytea,
    status          text NOT NULL DEFAULT 'waiting'
        CONSTRAINT whatsapp_media_status_check CHECK (status IN ('waiting', 'uploaded', 'failed')),
    phone_number_id text COLLATE "C",
    media_id        text,
    created_at      timestamptz NOT NULL DEFAULT pg_catalog.now(),
    uploaded_at     timestamptz,
    expires_at      timestamptz,
    attempts        smallint NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    error_code      integer,
    error           text,
    CONSTRAINT whatsapp_media_content_key UNIQUE (tenant_id, sha256, mime_type),
    CONSTRAINT whatsapp_media_uploaded_check
        CHECK (status <> 'uploaded' OR media_id IS NOT NULL AND phone_number_id IS NOT NULL
               AND expires_at IS NOT NULL),
    CONSTRAINT whatsapp_media_waiting_check CHECK (status <> 'waiting' OR content IS NOT NULL)
);
/* Photographs and PDFs are compressed already. */
ALTER TABLE @extschema@.whatsapp_media ALTER COLUMN content SET STORAGE EXTERNAL;
CREATE INDEX whatsapp_media_waiting_idx
    ON @extschema@.whatsapp_media (next_attempt_at) WHERE status = 'waiting';
CREATE INDEX whatsapp_media_uploaded_idx
    ON @extschema@.whatsapp_media (sha256, phone_number_id) WHERE status = 'uploaded';
CREATE INDEX whatsapp_media_kept_idx
    ON @extschema@.whatsapp_media (expires_at) WHERE status = 'uploaded' AND content IS NOT NULL;
COMMENT ON TABLE @extschema@.whatsapp_media IS
'Files given to wa_upload_media(), and what became of their upload.';
COMMENT ON COLUMN @extschema@.whatsapp_media.content IS
'The bytes, until Meta has them and no message waits that could outlive Meta''s id.';
COMMENT ON COLUMN @extschema@.whatsapp_media.phone_number_id IS
'The number that it was uploaded for; Meta''s id belongs to it.';
COMMENT ON COLUMN @extschema@.whatsapp_media.media_id IS 'Meta''s id of it.';
COMMENT ON COLUMN @extschema@.whatsapp_media.attempts IS 'Uploads that were begun for this id.';
COMMENT ON COLUMN @extschema@.whatsapp_media.error IS 'What went wrong at the last attempt.';

/* Which messages send it; kept as long as the message, for wa_retry_message(). */
CREATE TABLE @extschema@.whatsapp_media_uses (
    message_id bigint PRIMARY KEY,
    medium     bigint NOT NULL
);
CREATE INDEX whatsapp_media_uses_medium_idx ON @extschema@.whatsapp_media_uses (medium);
COMMENT ON TABLE @extschema@.whatsapp_media_uses IS
'Messages whose file is a row of whatsapp_media. Internal.';
