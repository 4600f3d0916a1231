/*
 * Who wants no messages.
 */

/* The canonical form of a recipient, or an error; see src/common/recipient.c. */
CREATE FUNCTION @extschema@.wa_internal_recipient(recipient text) RETURNS text
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_recipient';
COMMENT ON FUNCTION @extschema@.wa_internal_recipient(text) IS
'The number in international form, or the business-scoped user id, that this text stands for. Internal.';

CREATE FUNCTION @extschema@.wa_internal_check_opt_out(tenant text, recipient text, category text) RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF tenant IS NULL OR recipient IS NULL OR category IS NULL THEN
        RAISE EXCEPTION 'tenant_id, recipient and category must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    ELSIF category NOT IN ('marketing', 'all') THEN
        RAISE EXCEPTION 'invalid category "%"', category
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Use marketing or all.';
    ELSIF NOT EXISTS (SELECT FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = tenant) THEN
        RAISE EXCEPTION 'tenant "%" does not exist', tenant
            USING ERRCODE = 'undefined_object',
                  HINT = 'Create it with wa_assign_phone() or wa_configure_tenant().';
    END IF;
    RETURN @extschema@.wa_internal_recipient(recipient);
END
$$;

CREATE FUNCTION @extschema@.wa_opt_out(
    tenant_id text,
    recipient text,
    category  text DEFAULT 'marketing')
RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO @extschema@.whatsapp_opt_outs (tenant_id, recipient, category)
        VALUES (wa_opt_out.tenant_id,
                @extschema@.wa_internal_check_opt_out(wa_opt_out.tenant_id, wa_opt_out.recipient,
                                                      wa_opt_out.category),
                wa_opt_out.category)
        ON CONFLICT DO NOTHING;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_opt_out(text, text, text) IS
'Notes that the recipient wants no messages from this tenant: none of marketing (templates of that category, and templates whose category is not known), or none at all (all). New ones are stored as skipped; what is queued already is still sent. False if it was noted before. Errors: 22004, 22023, 42704 unknown tenant.';

CREATE FUNCTION @extschema@.wa_opt_in(
    tenant_id text,
    recipient text,
    category  text DEFAULT 'marketing')
RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    who text := @extschema@.wa_internal_check_opt_out(tenant_id, recipient, category);
BEGIN
    DELETE FROM @extschema@.whatsapp_opt_outs AS o
        WHERE o.tenant_id = wa_opt_in.tenant_id AND o.recipient = who
            AND wa_opt_in.category IN (o.category, 'all');
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_opt_in(text, text, text) IS
'Takes back wa_opt_out(): for marketing, or (all) for everything. False if nothing was noted. Errors as there.';

CREATE FUNCTION @extschema@.wa_opt_out(
    tenant_id anyelement,
    recipient text,
    category  text DEFAULT 'marketing')
RETURNS boolean
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT @extschema@.wa_opt_out($1::text, $2, $3)
$$;
COMMENT ON FUNCTION @extschema@.wa_opt_out(anyelement, text, text) IS
'The same for a tenant key of another type, such as uuid or bigint.';

CREATE FUNCTION @extschema@.wa_opt_in(
    tenant_id anyelement,
    recipient text,
    category  text DEFAULT 'marketing')
RETURNS boolean
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT @extschema@.wa_opt_in($1::text, $2, $3)
$$;
COMMENT ON FUNCTION @extschema@.wa_opt_in(anyelement, text, text) IS
'The same for a tenant key of another type, such as uuid or bigint.';
