/*
 * Who may call what.  Nothing is public; wa_grant() gives a role one of five
 * sets of rights.  Roles are the administrator's: none is made here.
 */

/* What belongs to this extension and can be granted. */
CREATE FUNCTION @extschema@.wa_internal_grantable(
    OUT object_name text, OUT object text, OUT kind text, OUT is_table boolean, OUT acl aclitem[])
RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT p.proname, p.oid::regprocedure::text, 'ROUTINE', false, p.proacl
    FROM pg_depend AS d
        JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'whatsapp_shared'
        JOIN pg_proc AS p ON p.oid = d.objid
    WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
    UNION ALL
    SELECT c.relname, c.oid::regclass::text, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
           c.relkind IN ('r', 'p', 'v'), c.relacl
    FROM pg_depend AS d
        JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'whatsapp_shared'
        JOIN pg_class AS c ON c.oid = d.objid
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
        AND c.relkind IN ('r', 'p', 'v', 'S')
$$;

/* ---- what each privilege consists of --------------------------------------------- */

/*
 * Names of functions (with all their variants), tables and views, beside those
 * that wa_internal_privilege_objects() finds by their form.  Functions called
 * by a view run with the rights of whoever reads it, hence some internal ones.
 */
CREATE FUNCTION @extschema@.wa_internal_privilege_names(privilege text) RETURNS text[]
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE privilege
        WHEN 'sender' THEN '{wa_create_notification,wa_drop_notification,wa_notifications,
            wa_retry_notification,whatsapp_notification_failures,
            wa_cancel_message,wa_upload_media,wa_explain,wa_notification_settings,wa_opt_out,wa_opt_in,
            wa_reason_codes,wa_error_codes,wa_error_codes_rows}'::text[]
        WHEN 'monitor' THEN '{wa_health,wa_diagnose,wa_explain,wa_stats,wa_costs,
            wa_tenant_status,wa_number_status,wa_queue_status,wa_free_numbers,
            wa_internal_number_health,wa_internal_number_rate,
            wa_reason_codes,wa_error_codes,wa_error_codes_rows,
            whatsapp_alerts,whatsapp_pauses,whatsapp_sync}'::text[]
        WHEN 'webhook' THEN '{wa_webhook_ingest,wa_webhook_challenge}'::text[]
        WHEN 'tenant' THEN '{wa_tenant_role,whatsapp_messages,whatsapp_inbound_messages,
            wa_reason_codes,wa_error_codes,wa_error_codes_rows}'::text[]
        END
$$;

CREATE FUNCTION @extschema@.wa_internal_privilege_objects(
    privilege text, OUT object text, OUT kind text, OUT rights text, OUT acl aclitem[])
RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT g.object, g.kind, CASE WHEN g.is_table THEN 'SELECT' ELSE 'EXECUTE' END, g.acl
    FROM @extschema@.wa_internal_grantable() AS g
    WHERE g.kind <> 'SEQUENCE'
        AND CASE privilege
            /*
             * All that people call and read; webhooks are the gateway's, grants the
             * superuser's, and triggers with wa_notify() wa_create_notification()'s.
             */
            WHEN 'admin' THEN g.is_table
                OR g.object_name NOT LIKE 'wa\_internal\_%'
                    AND g.object_name NOT LIKE 'wa\_webhook\_%'
                    AND g.object_name NOT IN ('wa_grant', 'wa_revoke', 'wa_tenant_role', 'wa_notify')
                OR g.object_name = ANY (@extschema@.wa_internal_privilege_names('monitor'))
            ELSE privilege = 'sender' AND g.object_name LIKE 'wa\_enqueue\_%'
                OR g.object_name = ANY (@extschema@.wa_internal_privilege_names(privilege)) END
$$;

/* Whether the role has been given all of it, by name. */
CREATE FUNCTION @extschema@.wa_internal_holds_privilege(role name, privilege text) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT bool_and(EXISTS (
        SELECT FROM aclexplode(o.acl) AS a JOIN pg_roles AS r ON r.oid = a.grantee
        WHERE r.rolname = role AND a.privilege_type = o.rights))
    FROM @extschema@.wa_internal_privilege_objects(privilege) AS o
$$;

CREATE FUNCTION @extschema@.wa_internal_change_privilege(verb text, role name, privilege text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    command text;
BEGIN
    FOR command IN
        SELECT pg_catalog.format('%s %s ON %s %s %s %I', verb, o.rights, o.kind, o.object,
            CASE verb WHEN 'GRANT' THEN 'TO' ELSE 'FROM' END, role)
        FROM @extschema@.wa_internal_privilege_objects(privilege) AS o
    LOOP
        EXECUTE command;
    END LOOP;
END
$$;

CREATE FUNCTION @extschema@.wa_internal_check_privilege(role name, privilege text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF role IS NULL OR NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname = role) THEN
        RAISE EXCEPTION 'role "%" does not exist', role USING ERRCODE = 'undefined_object';
    ELSIF privilege IS NULL OR privilege NOT IN ('admin', 'sender', 'monitor', 'webhook', 'tenant') THEN
        RAISE EXCEPTION 'unknown privilege "%"', privilege
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Use admin, sender, monitor, webhook or tenant.';
    END IF;
END
$$;

/* ---- row-level security for tenants' own roles ------------------------------------- */

/*
 * Being allowed to execute this function is what marks a role as a tenant's
 * own.  A mark of that kind survives pg_dump, which takes along the rights to
 * an extension's objects, but not policies made after CREATE EXTENSION.
 */
CREATE FUNCTION @extschema@.wa_tenant_role() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT true
$$;
COMMENT ON FUNCTION @extschema@.wa_tenant_role() IS
'Whoever may execute this sees only the messages of the tenant named by whatsapp_shared.tenant. Granted by wa_grant(role, ''tenant'').';

/*
 * One policy leaves everybody as the rights to the table say; the restrictive
 * one confines tenants' own roles.  The sub-select is evaluated once a query.
 */
ALTER TABLE @extschema@.whatsapp_messages ENABLE ROW LEVEL SECURITY;

CREATE POLICY whatsapp_everybody ON @extschema@.whatsapp_messages USING (true);

CREATE POLICY whatsapp_own_tenant ON @extschema@.whatsapp_messages AS RESTRICTIVE
    USING (tenant_id OPERATOR(pg_catalog.=) pg_catalog.current_setting('whatsapp_shared.tenant', true)
           OR (SELECT NOT pg_catalog.has_function_privilege('@extschema@.wa_tenant_role()'::pg_catalog.regprocedure, 'EXECUTE')));

ALTER TABLE @extschema@.whatsapp_inbound_messages ENABLE ROW LEVEL SECURITY;

CREATE POLICY whatsapp_everybody ON @extschema@.whatsapp_inbound_messages USING (true);

CREATE POLICY whatsapp_own_tenant ON @extschema@.whatsapp_inbound_messages AS RESTRICTIVE
    USING (tenant_id OPERATOR(pg_catalog.=) pg_catalog.current_setting('whatsapp_shared.tenant', true)
           OR (SELECT NOT pg_catalog.has_function_privilege('@extschema@.wa_tenant_role()'::pg_catalog.regprocedure, 'EXECUTE')));

/* ---- granting ------------------------------------------------------------------------ */

CREATE FUNCTION @extschema@.wa_grant(role name, privilege text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_check_privilege(role, privilege);
    EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA @extschema@ TO %I', role);
    PERFORM @extschema@.wa_internal_change_privilege('GRANT', role, privilege);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_grant(name, text) IS
'Gives a role one set of rights: admin (all functions and tables), sender (write, cancel and explain messages), monitor (views, health, alerts), webhook (take what Meta sends), tenant (read the messages of the tenant named by whatsapp_shared.tenant, and no others). For superusers.';

CREATE FUNCTION @extschema@.wa_revoke(role name, privilege text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    others text[];
    other text;
BEGIN
    PERFORM @extschema@.wa_internal_check_privilege(role, privilege);
    /* The sets overlap: what the role keeps of another one is given back. */
    SELECT pg_catalog.array_agg(p.name) INTO others
        FROM pg_catalog.unnest('{admin,sender,monitor,webhook,tenant}'::text[]) AS p (name)
        WHERE p.name <> privilege AND (privilege <> 'admin' OR p.name = 'tenant')
            AND @extschema@.wa_internal_holds_privilege(role, p.name);
    PERFORM @extschema@.wa_internal_change_privilege('REVOKE', role, privilege);
    FOREACH other IN ARRAY COALESCE(others, '{}') LOOP
        PERFORM @extschema@.wa_internal_change_privilege('GRANT', role, other);
    END LOOP;
END
$$;
COMMENT ON FUNCTION @extschema@.wa_revoke(name, text) IS
'Takes from a role what wa_grant() gave it; rights that another of its privileges includes stay. USAGE of the schema is left to the administrator.';

/* The functions of this file, too; then statistics for those who watch the server. */
DO $$
DECLARE
    command text;
BEGIN
    FOR command IN
        SELECT pg_catalog.format('REVOKE ALL ON %s %s FROM PUBLIC', g.kind, g.object)
        FROM @extschema@.wa_internal_grantable() AS g
    LOOP
        EXECUTE command;
    END LOOP;
    PERFORM @extschema@.wa_internal_change_privilege('GRANT', 'pg_monitor', 'monitor');
END
$$;
