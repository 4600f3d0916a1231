/*
 * Who may call what.  Nothing is public; wa_grant() gives a role one of five
 * sets of rights.  Roles are the administrator's: none is made here.
 */

/* What belongs to this extension and can be granted; settled: see wa_internal_settle_privileges(). */
CREATE FUNCTION @extschema@.wa_internal_grantable(
    OUT object_name text, OUT object text, OUT kind text, OUT is_table boolean, OUT owner oid, OUT acl aclitem[],
    OUT settled boolean)
RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT o.object_name, o.object, o.kind, o.is_table, o.owner, o.acl,
           EXISTS (SELECT FROM pg_init_privs AS i
                   WHERE i.classoid = o.classid AND i.objoid = o.oid AND i.objsubid = 0)
    FROM (SELECT p.tableoid, p.oid, p.proname, p.oid::regprocedure::text, 'ROUTINE', false, p.proowner, p.proacl
          FROM pg_proc AS p
          UNION ALL
          SELECT c.tableoid, c.oid, c.relname, c.oid::regclass::text,
                 CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.relkind <> 'S', c.relowner,
                 c.relacl
          FROM pg_class AS c
          WHERE c.relkind IN ('r', 'p', 'v', 'S')) AS o (classid, oid, object_name, object, kind, is_table, owner, acl)
        JOIN pg_depend AS d ON d.classid = o.classid AND d.objid = o.oid AND d.deptype = 'e'
        JOIN pg_extension AS e ON d.refclassid = e.tableoid AND d.refobjid = e.oid AND e.extname = 'whatsapp_shared'
$$;

/* ---- what each privilege consists of --------------------------------------------- */

/*
 * Every public function (with all its variants), table and view stands here
 * once, under the privileges that include it; "{}": nobody's but the owner's,
 * "{public}": everybody's, since policies and triggers call it as whoever reads or writes the table.
 * EXECUTE on functions, SELECT on tables and views.
 *
 * Internal functions that a view calls are here, too: they run with the rights
 * of whoever reads it.
 */
CREATE FUNCTION @extschema@.wa_internal_privilege_list(OUT object_name text, OUT privileges text[])
RETURNS SETOF record
    LANGUAGE sql IMMUTABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT unnest(l.names), l.privileges
    FROM (VALUES
        /* applications */
        ('{admin,sender}'::text[], '{
            wa_enqueue_message, wa_enqueue_reply, wa_enqueue_payload, wa_enqueue_text, wa_enqueue_media,
            wa_enqueue_interactive,
            wa_enqueue_location, wa_enqueue_contacts, wa_enqueue_reaction, wa_enqueue_bulk, wa_upload_media,
            wa_cancel_message, wa_opt_out, wa_opt_in, wa_notification_settings, wa_mark_read,
            wa_fetch_media,
            wa_create_notification, wa_drop_notification, wa_retry_notification, wa_notifications,
            wa_internal_registration_state,
            whatsapp_notification_failures}'::text[]),
        ('{admin,sender,monitor}', '{wa_explain}'),
        ('{admin,sender,monitor,tenant}', '{wa_reason_codes, wa_error_codes, wa_internal_error_codes}'),
        ('{admin,tenant}', '{
            whatsapp_messages, whatsapp_inbound_messages, whatsapp_inbound_media, whatsapp_inbound_media_pieces,
            wa_media_content, wa_internal_media_bytes, wa_replies}'),
        ('{public}', '{wa_internal_own_tenant, wa_internal_sees_every_tenant, wa_internal_is_restoring}'),
        /* The mark of a tenant's own role: an administrator must not have it. */
        ('{tenant}', '{wa_internal_tenant_role}'),

        /* people and programs that watch */
        ('{admin,monitor}', '{
            wa_health, wa_diagnose, wa_find, wa_stats, wa_metrics, wa_metrics_costs, wa_metrics_health, wa_costs,
            wa_tenant_status, wa_number_status, wa_internal_number_health, wa_internal_number_rate,
            wa_internal_known_zone,
            wa_queue_status, wa_message_status, wa_delivery_times, wa_top_tenants, wa_node_status, wa_free_numbers,
            wa_timeline, whatsapp_alerts, whatsapp_pauses, whatsapp_sync, whatsapp_events, whatsapp_sizes}'),
        /* ... and how it is set up: nothing of customers. */
        ('{admin,monitor}', '{
            whatsapp_tenants, whatsapp_phone_numbers, whatsapp_phone_assignments, whatsapp_templates,
            whatsapp_nodes, whatsapp_node_numbers,
            whatsapp_damage_policies, whatsapp_opt_words, whatsapp_webhook_traffic, whatsapp_markets, whatsapp_prices,
            whatsapp_usage_days, whatsapp_usage_changes, whatsapp_usage_closed}'),

        /* the gateway */
        ('{webhook}', '{wa_webhook_ingest, wa_webhook_ingest_many, wa_webhook_challenge}'),
        ('{admin}', '{
            wa_gateway_alerts, wa_gateway_assign_phone, wa_gateway_assign_phones,
            wa_gateway_cancel_message, wa_gateway_cancel_messages, wa_gateway_costs, wa_gateway_diagnose,
            wa_gateway_enqueue, wa_gateway_failures, wa_gateway_health, wa_gateway_message,
            wa_gateway_messages, wa_gateway_pause, wa_gateway_pauses, wa_gateway_phone_numbers,
            wa_gateway_queue, wa_gateway_resolve_alert, wa_gateway_resolve_message, wa_gateway_resume,
            wa_gateway_retry_message, wa_gateway_retry_messages, wa_gateway_summary,
            wa_gateway_sync_phone_numbers, wa_gateway_sync_templates, wa_gateway_templates,
            wa_gateway_tenants, wa_gateway_timeline, wa_gateway_unassign_phone}'),
        ('{admin}', '{
            wa_gateway_create_link, wa_gateway_revoke_links, wa_gateway_link_session,
            wa_gateway_notification_settings, wa_gateway_set_notification_settings, wa_gateway_tenant_messages,
            wa_gateway_tenant_form, wa_gateway_tenant_test_message, wa_gateway_tenant_reply, wa_gateway_tenant_read,
            wa_gateway_media, wa_gateway_fetch_media}'),

        /* administrators */
        ('{admin}', '{
            wa_configure_tenant, wa_assign_phone, wa_assign_all, wa_unassign_phone,
            wa_register_node, wa_unregister_node, wa_assign_number_to_node, wa_unassign_number_from_node,
            wa_tenant_link, wa_revoke_links,
            wa_set_notification_settings, wa_import_settings,
            wa_register_template, wa_unregister_template, wa_sync_templates, wa_sync_phone_numbers,
            wa_pause, wa_resume, wa_resolve_alert, wa_retry_message, wa_resolve_message,
            wa_on_reply, wa_off_reply, wa_retry_reply, wa_reprocess_parked, wa_erase_person, wa_delete_tenant,
            wa_adopt, wa_worker_restart}'),
        ('{admin}', '{
            whatsapp_forwards,
            whatsapp_queue, whatsapp_leases, whatsapp_fallbacks, whatsapp_attempts, whatsapp_wamids, whatsapp_reach,
            whatsapp_media, whatsapp_media_uses, whatsapp_read_receipts, whatsapp_early_replies, whatsapp_notifications,
            whatsapp_opt_outs, whatsapp_opt_ins, whatsapp_learned_identities,
            whatsapp_contacts, whatsapp_contact_identities, whatsapp_windows,
            whatsapp_reply_handlers,
            whatsapp_account_events, whatsapp_parked_events, whatsapp_app_messages,
            whatsapp_late_deliveries, wa_delivered_messages, wa_internal_is_free, wa_recount_costs, whatsapp_home,
            whatsapp_tenant_roles, whatsapp_tenant_links, whatsapp_erasures, whatsapp_installation}'),

        /* Superusers grant; wa_create_notification() attaches triggers. */
        ('{}', '{wa_grant, wa_revoke, wa_notify}')) AS l (privileges, names)
$$;

CREATE FUNCTION @extschema@.wa_internal_privilege_objects(
    privilege text, OUT object text, OUT kind text, OUT rights text, OUT acl aclitem[])
RETURNS SETOF record
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT g.object, g.kind, CASE WHEN g.is_table THEN 'SELECT' ELSE 'EXECUTE' END, g.acl
    FROM @extschema@.wa_internal_privilege_list() AS l
        JOIN @extschema@.wa_internal_grantable() AS g USING (object_name)
    WHERE privilege = ANY (l.privileges)
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
        SELECT format('%s %s ON %s %s %s %I', verb, o.rights, o.kind, o.object,
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
    PERFORM @extschema@.wa_internal_check_not_null('role'::text, role);
    PERFORM @extschema@.wa_internal_check_not_null('privilege'::text, privilege);
    IF NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = role) THEN
        RAISE EXCEPTION 'role "%" does not exist', @extschema@.wa_internal_quote(role::text)
            USING ERRCODE = 'undefined_object',
                  HINT = CASE WHEN EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = privilege)
                      THEN 'The arguments seem to be swapped: the role comes first, then the privilege.'
                      ELSE COALESCE(@extschema@.wa_internal_did_you_mean(role::text,
                               ARRAY(SELECT r.rolname::text FROM pg_roles AS r)),
                           'Roles are made by CREATE ROLE.') END;
    ELSIF privilege NOT IN ('admin', 'sender', 'monitor', 'webhook', 'tenant') THEN
        RAISE EXCEPTION 'unknown privilege "%"', @extschema@.wa_internal_quote(privilege)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Use admin, sender, monitor, webhook or tenant.';
    END IF;
END
$$;

/* ---- granting ------------------------------------------------------------------------ */

/*
 * Binds the role; a tenant that is NULL leaves it as it is.  What the other privileges
 * include looks at all tenants, but for sender's functions, which check the tenant.
 */
CREATE FUNCTION @extschema@.wa_internal_bind_role(role name, privilege text, tenant text) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bound CONSTANT text := (
        SELECT b.tenant_id FROM @extschema@.whatsapp_tenant_roles AS b
        WHERE b.role = wa_internal_bind_role.role::text
            AND b.role_oid = (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = wa_internal_bind_role.role));
    wide CONSTANT text := (
        SELECT min(p.name) FROM unnest('{admin,monitor,webhook}'::text[]) AS p (name)
        WHERE @extschema@.wa_internal_holds_privilege(wa_internal_bind_role.role, p.name));
BEGIN
    IF tenant IS NOT NULL AND privilege <> 'tenant' THEN
        RAISE EXCEPTION 'only the privilege tenant can be granted for one tenant'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Bind the role with wa_grant(role, ''tenant'', tenant_id); that confines sender, too.';
    ELSIF bound <> tenant THEN
        RAISE EXCEPTION 'role "%" is bound to another tenant', role
            USING ERRCODE = 'duplicate_object', DETAIL = format('It is bound to "%s".', bound),
                  HINT = format('SELECT wa_revoke(%L, ''tenant''); ends that.', role);
    ELSIF bound IS NOT NULL AND privilege IN ('admin', 'monitor', 'webhook')
          OR tenant IS NOT NULL AND wide IS NOT NULL THEN
        RAISE EXCEPTION 'a role that is bound to a tenant cannot have the privilege %', COALESCE(wide, privilege)
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'What that includes concerns all tenants.', HINT = 'Use another role.';
    ELSIF tenant IS NOT NULL AND bound IS NULL THEN
        IF NOT EXISTS (SELECT FROM @extschema@.whatsapp_tenants AS t WHERE t.tenant_id = tenant) THEN
            PERFORM @extschema@.wa_internal_unknown_tenant(tenant);
        ELSIF (SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = wa_internal_bind_role.role) THEN
            RAISE EXCEPTION 'a superuser cannot be bound to a tenant'
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        PERFORM @extschema@.wa_internal_unbind_role(role);
        INSERT INTO @extschema@.whatsapp_tenant_roles (role, tenant_id) VALUES (role, tenant);
    END IF;
END
$$;

/* Also what is left of another role of this name, or of this one under another name. */
CREATE FUNCTION @extschema@.wa_internal_unbind_role(role name) RETURNS void
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM @extschema@.whatsapp_tenant_roles AS b
    WHERE b.role = $1::text OR b.role_oid = (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = $1)
$$;

CREATE FUNCTION @extschema@.wa_grant(role name, privilege text, tenant_id text DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM @extschema@.wa_internal_check_privilege(role, privilege);
    PERFORM @extschema@.wa_internal_bind_role(role, privilege, tenant_id);
    EXECUTE format('GRANT USAGE ON SCHEMA @extschema@ TO %I', role);
    PERFORM @extschema@.wa_internal_change_privilege('GRANT'::text, role, privilege);
    PERFORM @extschema@.wa_internal_note('grant'::text, 'role'::text, role::text,
        jsonb_build_object('privilege', privilege, 'text', 'Granted ' || privilege), 'warning'::text, tenant_id);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_grant(name, text, text) IS
'Grants a role one of five privileges: admin (all functions and tables for operators), sender (enqueue, cancel and '
'explain messages), monitor (status views, health, alerts), webhook (process webhooks), tenant (read the messages of '
'one tenant, and no others: the given one, to which the role is then bound, or else the one that '
'whatsapp_shared.tenant names). For superusers. Errors: 42710 bound to another tenant; 55000 a bound role can have '
'sender besides, and nothing else.';

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
    SELECT array_agg(p.name) INTO others
        FROM unnest('{admin,sender,monitor,webhook,tenant}'::text[]) AS p (name)
        WHERE p.name <> privilege AND (privilege <> 'admin' OR p.name = 'tenant')
            AND @extschema@.wa_internal_holds_privilege(role, p.name);
    PERFORM @extschema@.wa_internal_change_privilege('REVOKE'::text, role, privilege);
    IF privilege = 'tenant' THEN
        PERFORM @extschema@.wa_internal_unbind_role(role);
    END IF;
    FOREACH other IN ARRAY COALESCE(others, '{}') LOOP
        PERFORM @extschema@.wa_internal_change_privilege('GRANT'::text, role, other);
    END LOOP;
    PERFORM @extschema@.wa_internal_note('revoke'::text, 'role'::text, role::text,
        jsonb_build_object('privilege', privilege, 'text', 'Revoked ' || privilege), 'warning'::text);
END
$$;
COMMENT ON FUNCTION @extschema@.wa_revoke(name, text) IS
'Revokes what wa_grant() granted; rights that another of the role''s privileges includes stay. USAGE on the schema '
'is left to the administrator.';

/* ---- installing -------------------------------------------------------------------- */

/*
 * Gives the tables, the views and the functions to their owner; sequences follow
 * their tables.  What superusers alone call stays a superuser's, so that it cannot
 * be changed by the owner: in the hands of a superuser it would do the change.
 *
 * This comes before privileges are settled, because what counts as the
 * extension's own (pg_init_privs) names owners, too.
 */
CREATE FUNCTION @extschema@.wa_internal_settle_ownership() RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    superusers_own CONSTANT text[] := '{
        wa_grant, wa_revoke, wa_internal_grantable, wa_internal_privilege_list, wa_internal_privilege_objects,
        wa_internal_holds_privilege, wa_internal_change_privilege, wa_internal_check_privilege,
        wa_internal_check_ownership, wa_internal_settle_ownership, wa_internal_settle_privileges,
        wa_internal_create_twins, wa_internal_mark_for_dump}';
    heir CONSTANT regrole := @extschema@.wa_internal_owner_to_be();
    command text;
BEGIN
    FOR command IN
        SELECT format('ALTER %s %s OWNER TO %s', g.kind, g.object, heir)
        FROM @extschema@.wa_internal_grantable() AS g
        WHERE g.kind <> 'SEQUENCE' AND g.owner <> heir AND g.object_name <> ALL (superusers_own)
    LOOP
        EXECUTE command;
    END LOOP;
    IF NOT has_schema_privilege(heir, '@extschema@'::regnamespace, 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA @extschema@ TO %s', heir);
    END IF;
    IF (SELECT r.rolsuper FROM pg_roles AS r WHERE r.oid = heir) THEN
        RAISE WARNING 'the senders will have the rights of role %, a superuser', heir
            USING HINT = 'Before CREATE EXTENSION, CREATE ROLE whatsapp NOLOGIN: they have that role''s rights then.';
    END IF;
END
$$;

/*
 * The last act of this script, and of an update script that has made objects:
 * gives them to their owner, takes them from everybody else (PUBLIC, but for what
 * policies call, and those to whom default privileges have given them), and gives
 * pg_monitor what the privilege monitor includes.  New are objects without initial
 * privileges (pg_init_privs), which this writes for all of them.
 *
 * Objects of earlier versions are left alone, and no other role is given
 * anything: what a script grants counts as the extension's own, and pg_dump
 * would leave it out, together with all that was granted on the object by hand.
 * So after an update wa_grant() is called again for each role.
 */
CREATE FUNCTION @extschema@.wa_internal_settle_privileges() RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fresh text[];
    command text;
BEGIN
    PERFORM @extschema@.wa_internal_settle_ownership();
    fresh := ARRAY(SELECT g.object FROM @extschema@.wa_internal_grantable() AS g WHERE NOT g.settled);
    FOR command IN
        SELECT format('REVOKE ALL ON %s %s FROM %s CASCADE', g.kind, g.object, r.role)
        FROM @extschema@.wa_internal_grantable() AS g
            CROSS JOIN LATERAL (
                SELECT 'PUBLIC'
                UNION
                SELECT a.grantee::regrole::text FROM aclexplode(g.acl) AS a
                WHERE a.grantee NOT IN (0, g.owner)) AS r (role)
        WHERE g.object = ANY (fresh)
        UNION ALL
        SELECT format('GRANT %s ON %s %s TO pg_monitor', o.rights, o.kind, o.object)
        FROM @extschema@.wa_internal_privilege_objects('monitor'::text) AS o WHERE o.object = ANY (fresh)
        UNION ALL
        SELECT format('GRANT %s ON %s %s TO PUBLIC', o.rights, o.kind, o.object)
        FROM @extschema@.wa_internal_privilege_objects('public'::text) AS o WHERE o.object = ANY (fresh)
    LOOP
        EXECUTE command;
    END LOOP;
    PERFORM @extschema@.wa_internal_check_ownership();
END
$$;

/* wa_grant() stands behind the others. */
SELECT @extschema@.wa_internal_create_twins();
SELECT @extschema@.wa_internal_settle_privileges();
