/*
 * Tenants' own roles: what they see of messages, and which are bound to one
 * tenant.  wa_grant() makes them; see 99-privileges.
 */

/*
 * Being allowed to execute this function is what marks a role as a tenant's
 * own.  A mark of that kind survives pg_dump, which takes along the rights to
 * an extension's objects, but not policies made after CREATE EXTENSION.
 */
CREATE FUNCTION @extschema@.wa_internal_tenant_role() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT true
$$;
COMMENT ON FUNCTION @extschema@.wa_internal_tenant_role() IS
'Whoever may execute this sees only the messages of the tenant that the role is bound to, or that '
'whatsapp_shared.tenant names. Granted by wa_grant(role, ''tenant''). Internal.';

/* Which roles are bound to which tenant; see src/base/tenant_role.c. */
CREATE TABLE @extschema@.whatsapp_tenant_roles (
    role      text COLLATE "C" PRIMARY KEY,
    role_oid  oid,
    tenant_id text COLLATE "C" NOT NULL,
    bound_at  timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE @extschema@.whatsapp_tenant_roles IS
'Roles that are bound to a tenant by wa_grant(role, ''tenant'', tenant_id).';
COMMENT ON COLUMN @extschema@.whatsapp_tenant_roles.role IS 'The role.';
COMMENT ON COLUMN @extschema@.whatsapp_tenant_roles.role_oid IS
'Its OID; found anew when a dump is restored. The binding holds for the role of this name and for that of this OID.';
COMMENT ON COLUMN @extschema@.whatsapp_tenant_roles.tenant_id IS 'The tenant.';
COMMENT ON COLUMN @extschema@.whatsapp_tenant_roles.bound_at IS 'When it was bound.';

CREATE FUNCTION @extschema@.wa_internal_find_bound_role() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.role_oid := (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = NEW.role);
    RETURN NEW;
END
$$;
CREATE TRIGGER whatsapp_tenant_roles_oid
    BEFORE INSERT ON @extschema@.whatsapp_tenant_roles
    FOR EACH ROW EXECUTE FUNCTION @extschema@.wa_internal_find_bound_role();
ALTER TABLE @extschema@.whatsapp_tenant_roles ENABLE ALWAYS TRIGGER whatsapp_tenant_roles_oid;

CREATE TRIGGER whatsapp_tenant_roles_noted
    AFTER INSERT OR DELETE ON @extschema@.whatsapp_tenant_roles
    FOR EACH ROW WHEN (NOT @extschema@.wa_internal_is_restoring())
    EXECUTE FUNCTION @extschema@.wa_internal_note_row('tenant', 'tenant_id', 'bind_role,,unbind_role');

/*
 * Public, since policies call them as whoever reads the table.  They tell of the
 * session's own roles and nothing else.
 */
CREATE FUNCTION @extschema@.wa_internal_own_tenant() RETURNS text
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_own_tenant';
COMMENT ON FUNCTION @extschema@.wa_internal_own_tenant() IS
'The tenant whose messages a role with the privilege tenant sees: the one that the session''s roles are bound to, else '
'the one that whatsapp_shared.tenant names. Internal.';

CREATE FUNCTION @extschema@.wa_internal_sees_every_tenant() RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'wa_internal_sees_every_tenant';
COMMENT ON FUNCTION @extschema@.wa_internal_sees_every_tenant() IS
'Whether no role of the session is bound, and the one in force has not the privilege tenant. Internal.';

/*
 * One policy leaves everybody as the rights to the table say; the restrictive
 * one confines tenants' own roles.  The sub-selects are evaluated once a query.
 */
ALTER TABLE @extschema@.whatsapp_messages ENABLE ROW LEVEL SECURITY;

CREATE POLICY whatsapp_everybody ON @extschema@.whatsapp_messages USING (true);

CREATE POLICY whatsapp_own_tenant ON @extschema@.whatsapp_messages AS RESTRICTIVE
    USING ((SELECT @extschema@.wa_internal_sees_every_tenant())
           OR tenant_id OPERATOR(pg_catalog.=) (SELECT @extschema@.wa_internal_own_tenant()));

ALTER TABLE @extschema@.whatsapp_inbound_messages ENABLE ROW LEVEL SECURITY;

CREATE POLICY whatsapp_everybody ON @extschema@.whatsapp_inbound_messages USING (true);

CREATE POLICY whatsapp_own_tenant ON @extschema@.whatsapp_inbound_messages AS RESTRICTIVE
    USING ((SELECT @extschema@.wa_internal_sees_every_tenant())
           OR tenant_id OPERATOR(pg_catalog.=) (SELECT @extschema@.wa_internal_own_tenant()));

ALTER TABLE @extschema@.whatsapp_inbound_media ENABLE ROW LEVEL SECURITY;

CREATE POLICY whatsapp_everybody ON @extschema@.whatsapp_inbound_media USING (true);

CREATE POLICY whatsapp_own_tenant ON @extschema@.whatsapp_inbound_media AS RESTRICTIVE
    USING ((SELECT @extschema@.wa_internal_sees_every_tenant())
           OR tenant_id OPERATOR(pg_catalog.=) (SELECT @extschema@.wa_internal_own_tenant()));

/* Whoever sees the file. */
ALTER TABLE @extschema@.whatsapp_inbound_media_pieces ENABLE ROW LEVEL SECURITY;

CREATE POLICY whatsapp_everybody ON @extschema@.whatsapp_inbound_media_pieces USING (true);

CREATE POLICY whatsapp_own_tenant ON @extschema@.whatsapp_inbound_media_pieces AS RESTRICTIVE
    USING ((SELECT @extschema@.wa_internal_sees_every_tenant())
           OR EXISTS (SELECT FROM @extschema@.whatsapp_inbound_media AS f
                      WHERE f.inbound_id OPERATOR(pg_catalog.=) whatsapp_inbound_media_pieces.inbound_id));
