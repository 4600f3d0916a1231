/*
 * What each error code of the Cloud API means for a message: the table of
 * error_class.c, by which answers and webhooks are judged, to be read in SQL.
 */
CREATE FUNCTION @extschema@.wa_error_codes_rows(
    OUT code        integer,
    OUT title       text,
    OUT class       text,
    OUT pause       interval,
    OUT max_retries integer,
    OUT opts_out    boolean,
    OUT remedy      text)
RETURNS SETOF record
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 300
AS 'MODULE_PATHNAME', 'wa_error_codes_rows';
COMMENT ON FUNCTION @extschema@.wa_error_codes_rows() IS
'The rows of the view wa_error_codes.';

CREATE VIEW @extschema@.wa_error_codes AS
    SELECT code, title, class, pause, max_retries, opts_out, remedy
    FROM @extschema@.wa_error_codes_rows();
COMMENT ON VIEW @extschema@.wa_error_codes IS
'Every error code of the Cloud API that is known here: what it means, what happens to the message, and what a person should do.';
COMMENT ON COLUMN @extschema@.wa_error_codes.class IS
'permanent: the message fails. retry: again later. throttle_number, throttle_pair: slowed down. pause_account_short, pause_account, pause_number, pause_template: what it names waits. not_applicable: not of sending.';
COMMENT ON COLUMN @extschema@.wa_error_codes.pause IS
'How long the throttle or pause lasts, or the least delay before a retry; NULL: until something happens, or whatever the settings say.';
COMMENT ON COLUMN @extschema@.wa_error_codes.max_retries IS
'How often a message is retried after this code; NULL: whatsapp_shared.max_attempts decides.';
COMMENT ON COLUMN @extschema@.wa_error_codes.opts_out IS
'Whether the code records that the recipient wants no more marketing.';
