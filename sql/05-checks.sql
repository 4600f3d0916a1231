/*
 * What the constraints of the hot tables call; see src/enqueue/checks.c.
 */
CREATE FUNCTION @extschema@.wa_internal_is_status(word text) RETURNS boolean
    LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_is_status';
COMMENT ON FUNCTION @extschema@.wa_internal_is_status(text) IS
'Whether this is a status of a message: queued, sending, accepted, sent, delivered, read, failed, uncertain, cancelled, expired or skipped. Internal.';

CREATE FUNCTION @extschema@.wa_internal_is_uncertain_policy(word text) RETURNS boolean
    LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_is_uncertain_policy';
COMMENT ON FUNCTION @extschema@.wa_internal_is_uncertain_policy(text) IS
'Whether this is a policy for uncertain messages: auto, resend, park or fail. Internal.';

CREATE FUNCTION @extschema@.wa_internal_is_queue_state(state "char", has_number boolean) RETURNS boolean
    LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_is_queue_state';
COMMENT ON FUNCTION @extschema@.wa_internal_is_queue_state("char", boolean) IS
'Whether this is a state of a queue row: r (ready, which needs a number), d (deferred), h (held) or u (uncertain). Internal.';
