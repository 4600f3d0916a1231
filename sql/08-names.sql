/*
 * What the caller may have meant: hints of errors about names that do not exist.
 */

CREATE FUNCTION @extschema@.wa_internal_did_you_mean(given text, known text[]) RETURNS text
    LANGUAGE c STRICT STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_did_you_mean';
COMMENT ON FUNCTION @extschema@.wa_internal_did_you_mean(text, text[]) IS
'The sentence of a hint that names those of the known names for which the given one may be a slip of the pen; case '
'and spaces around a name do not count. NULL: there is none. Internal.';

/* Digits are what counts: the same number may be written in many ways. */
CREATE FUNCTION @extschema@.wa_internal_digits(written text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT regexp_replace(written, '[^0-9]', '', 'g')
$$;

CREATE FUNCTION @extschema@.wa_internal_same_number(a text, b text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT @extschema@.wa_internal_digits(a) IS NOT DISTINCT FROM @extschema@.wa_internal_digits(b)
$$;

/* What every ID that Meta gives looks like. */
CREATE FUNCTION @extschema@.wa_internal_is_meta_id(candidate text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT candidate ~ '^[1-9][0-9]{4,19}$'
$$;

/* For arguments that a function cannot do without. */
CREATE FUNCTION @extschema@.wa_internal_check_not_null(name text, given anyelement) RETURNS void
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF given IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null', name USING ERRCODE = 'null_value_not_allowed';
    END IF;
END
$$;
