/*
 * Cancelling, repeating and deciding messages by hand; see src/enqueue/lifecycle.c.
 */
CREATE FUNCTION @extschema@.wa_cancel_message(id bigint) RETURNS boolean
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_cancel_message';
COMMENT ON FUNCTION @extschema@.wa_cancel_message(bigint) IS
'Takes a message that still waits out of the queue. True: it will not be sent. False, with a NOTICE that names its status: it is being sent, was sent, or has ended. Error 42704 for an unknown id.';

CREATE FUNCTION @extschema@.wa_retry_message(id bigint) RETURNS boolean
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_retry_message';
COMMENT ON FUNCTION @extschema@.wa_retry_message(bigint) IS
'Queues a failed, expired, cancelled or skipped message again, from the number that its tenant has now and without an expiry that has passed. False, with a NOTICE: its status is another, or it would be skipped again. What went wrong before stays in whatsapp_attempts. Errors: 42704 unknown id; 55000 if it is no template and the 24-hour window is closed.';

CREATE FUNCTION @extschema@.wa_resolve_message(id bigint, outcome text) RETURNS boolean
    LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'wa_resolve_message';
COMMENT ON FUNCTION @extschema@.wa_resolve_message(bigint, text) IS
'Says what became of an uncertain message: accepted or sent (it arrived), failed, or resend (send it again, at the risk of a second copy). False, with a NOTICE: it is not uncertain (any more). Errors: 42704 unknown id, 22023 unknown outcome.';
