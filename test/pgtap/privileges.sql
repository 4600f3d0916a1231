/*
 * Privileges: what each of the five sets of rights allows, and what it does not.
 */
\ir ../lib/begin.sql
SELECT plan(46);

CREATE ROLE t_admin;
CREATE ROLE t_sender;
CREATE ROLE t_monitor;
CREATE ROLE t_webhook;
CREATE ROLE t_tenant;
CREATE ROLE t_reader;
SELECT wa_grant('t_' || p::text, p) FROM unnest('{admin,sender,monitor,webhook,tenant}'::text[]) AS p \g /dev/null
SELECT wa_assign_phone('panaderia', '100000000000001') \g /dev/null
SELECT wa_configure_tenant('horno', is_new => true) \g /dev/null
CREATE TEMP TABLE note AS
    SELECT wa_enqueue_payload(t, '+34600000001', 'text', '{"body": "hola"}') AS id, t AS tenant FROM unnest('{panaderia,horno}'::text[]) AS t;
GRANT SELECT ON note TO PUBLIC;

/* Whether a role may do something; whatever else goes wrong is an error. */
CREATE FUNCTION pg_temp.may(role name, statement text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', role);
    BEGIN
        EXECUTE statement;
        RESET ROLE;
        RETURN true;
    EXCEPTION WHEN insufficient_privilege THEN
        RESET ROLE;
        RETURN false;
    END;
END
$$;

/* ---- nothing is public ---- */

SELECT ok(NOT pg_temp.may('t_reader', 'SELECT FROM whatsapp_messages'), 'messages are not public');
SELECT ok(NOT pg_temp.may('t_reader', 'SELECT FROM wa_tenant_status'), 'nor are tenants');
SELECT ok(NOT pg_temp.may('t_reader', $$SELECT wa_assign_phone('x', '100000000000009')$$), 'nobody may assign');
SELECT ok(NOT pg_temp.may('t_reader', $$SELECT wa_enqueue_payload('panaderia', '+34600000001', 'text', '{"body": "x"}')$$), 'or send');
SELECT ok(NOT pg_temp.may('t_reader', $$SELECT wa_webhook_ingest('{}', '')$$), 'or pretend to be Meta');
SELECT is_empty($$SELECT object FROM wa_internal_grantable() AS g WHERE g.acl IS NULL OR EXISTS (SELECT FROM aclexplode(g.acl) WHERE grantee = 0)
        AND g.object_name NOT IN ('wa_internal_own_tenant', 'wa_internal_sees_every_tenant', 'wa_internal_is_restoring')$$,
    'nothing at all is public but what policies and triggers call');

/* ---- sender: the application ---- */

SELECT ok(pg_temp.may('t_sender', $$SELECT wa_enqueue_payload('panaderia', '+34600000001', 'text', '{"body": "x"}')$$), 'a sender sends');
SELECT ok(pg_temp.may('t_sender', 'SELECT wa_explain(id) FROM note'), 'asks why');
SELECT ok(pg_temp.may('t_sender', $$SELECT wa_notification_settings('panaderia')$$), 'reads the settings');
SELECT ok(pg_temp.may('t_sender', 'SELECT FROM wa_reason_codes, wa_error_codes'), 'and the codes');
SELECT ok(NOT pg_temp.may('t_sender', $$SELECT wa_set_notification_settings('panaderia', '{}')$$), 'but changes no settings');
SELECT ok(NOT pg_temp.may('t_sender', $$SELECT wa_assign_phone('horno')$$), 'assigns no numbers');
SELECT ok(NOT pg_temp.may('t_sender', 'SELECT FROM whatsapp_messages'), 'reads no messages');
SELECT ok(NOT pg_temp.may('t_sender', 'DELETE FROM whatsapp_queue'), 'and does not touch the queue');

/* ---- monitor ---- */

SELECT ok(pg_temp.may('t_monitor', 'SELECT wa_health()'), 'a monitor sees the health');
SELECT ok(pg_temp.may('t_monitor', $$SELECT wa_diagnose('panaderia')$$), 'diagnoses a tenant');
SELECT ok(pg_temp.may('t_monitor', 'SELECT * FROM wa_stats()'), 'reads the counters');
SELECT is_empty($$SELECT o.object FROM wa_internal_privilege_objects('monitor') AS o
    WHERE o.rights = 'SELECT' AND NOT pg_temp.may('t_monitor', 'SELECT count(t.*) FROM ' || o.object || ' AS t')$$, 'every view of its set');
SELECT ok(pg_temp.may('t_monitor', 'SELECT * FROM whatsapp_alerts, whatsapp_pauses'), 'alerts and pauses');
SELECT ok(NOT pg_temp.may('t_monitor', 'SELECT FROM whatsapp_messages'), 'but no messages');
SELECT is_empty($$SELECT a.attname FROM wa_internal_grantable() AS g
        JOIN wa_internal_privilege_list() AS l ON l.object_name = g.object_name AND 'monitor' = ANY (l.privileges)
        JOIN pg_attribute AS a ON a.attrelid = to_regclass(g.object) AND a.attnum > 0
    WHERE g.is_table AND a.attname ~ '^(recipient|sender|customer)|payload|^text$|content|wa_id'$$, 'nor a column of anything else that says who was written to, or what');
SELECT ok(NOT pg_temp.may('t_monitor', $$SELECT wa_pause('account')$$), 'and stops nothing');
SELECT ok(pg_has_role('pg_monitor', 'pg_monitor', 'member') AND pg_temp.may('pg_monitor', 'SELECT * FROM wa_queue_status'),
    'members of pg_monitor see it, too');

/* ---- webhook: the gateway ---- */

SELECT ok(NOT pg_temp.may('t_webhook', 'SELECT FROM whatsapp_messages'), 'the gateway reads no messages');
SELECT ok(NOT pg_temp.may('t_webhook', $$SELECT wa_enqueue_payload('panaderia', '+34600000001', 'text', '{"body": "x"}')$$), 'and sends none');
SELECT bag_eq($$SELECT g.object_name FROM wa_internal_grantable() AS g, aclexplode(g.acl) AS a WHERE a.grantee = 't_webhook'::regrole$$,
    $$VALUES ('wa_webhook_ingest'::name), ('wa_webhook_ingest_many'), ('wa_webhook_challenge')$$, 'it has three functions and nothing else');

/* ---- admin ---- */

SELECT ok(pg_temp.may('t_admin', $$SELECT wa_assign_phone('obrador', '100000000000008')$$), 'an administrator assigns numbers');
SELECT ok(pg_temp.may('t_admin', $$SELECT wa_configure_tenant('obrador', enabled => false)$$), 'configures tenants');
SELECT ok(pg_temp.may('t_admin', $$SELECT wa_pause('account'), wa_resume('account')$$), 'pauses and resumes');
SELECT ok(pg_temp.may('t_admin', $$SELECT wa_set_notification_settings('obrador', '{}')$$), 'writes settings');
SELECT is_empty($$SELECT o.object FROM wa_internal_privilege_objects('admin') AS o
    WHERE o.rights = 'SELECT' AND NOT pg_temp.may('t_admin', 'SELECT count(t.*) FROM ' || o.object || ' AS t')$$, 'reads every table and view');
SELECT ok(NOT pg_temp.may('t_admin', $$UPDATE whatsapp_messages SET status = 'sent'$$), 'but writes no tables');
SELECT ok(NOT pg_temp.may('t_admin', $$SELECT wa_grant('t_reader', 'admin')$$), 'and gives no rights');

/* ---- tenant ---- */

CREATE FUNCTION pg_temp.seen_by(role name) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    seen text;
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', role);
    SELECT string_agg(DISTINCT tenant_id, ',' ORDER BY tenant_id) INTO seen FROM whatsapp_messages;
    RESET ROLE;
    RETURN COALESCE(seen, 'nothing');
END
$$;
SELECT is(pg_temp.seen_by('t_tenant'), 'nothing', 'a tenant''s own role sees nothing at first');
SET LOCAL whatsapp_shared.tenant = 'horno';
SELECT is(pg_temp.seen_by('t_tenant'), 'horno', 'and then the messages of the tenant that is set');
SELECT is(pg_temp.seen_by('t_admin'), 'horno,panaderia', 'others are not confined by it');
GRANT SELECT ON whatsapp_messages TO t_reader;
SELECT is(pg_temp.seen_by('t_reader'), 'horno,panaderia', 'not even those who got their rights otherwise');
SELECT ok(NOT pg_temp.may('t_tenant', 'SELECT wa_explain(id) FROM note'), 'functions that look at all tenants are not for it');

/* ---- granting and revoking ---- */

SELECT throws_ok($$SELECT wa_grant('nobody_of_that_name', 'admin')$$, '42704', 'role "nobody_of_that_name" does not exist', 'a role must exist');
SELECT throws_ok($$SELECT wa_grant('t_reader', 'everything')$$, '22023', 'unknown privilege "everything"', 'so must a privilege');
SELECT wa_grant('t_sender', 'monitor') \g /dev/null
SELECT wa_revoke('t_sender', 'sender') \g /dev/null
SELECT ok(NOT pg_temp.may('t_sender', $$SELECT wa_enqueue_payload('panaderia', '+34600000001', 'text', '{"body": "x"}')$$), 'what is revoked is gone');
SELECT ok(pg_temp.may('t_sender', 'SELECT wa_explain(id) FROM note'), 'what another privilege includes stays');
SELECT wa_revoke('t_tenant', 'tenant') \g /dev/null
SELECT ok(NOT pg_temp.may('t_tenant', 'SELECT FROM whatsapp_messages'), 'a tenant''s role loses its view');
SELECT wa_revoke('t_admin', 'admin') \g /dev/null
SELECT is_empty($$SELECT g.object FROM wa_internal_grantable() AS g, aclexplode(g.acl) AS a WHERE a.grantee IN ('t_admin'::regrole, 't_tenant'::regrole)$$,
    'revoking leaves nothing behind');

CREATE ROLE "The Baker's";
SELECT lives_ok($$SELECT wa_grant('The Baker''s', 'tenant'), wa_revoke('The Baker''s', 'tenant')$$, 'a role may have any name');

SELECT is_empty($$SELECT l.object_name FROM wa_internal_privilege_list() AS l
    WHERE l.object_name NOT IN (SELECT g.object_name FROM wa_internal_grantable() AS g)$$,
    'the list of privileges names what exists');

SELECT * FROM finish();
ROLLBACK;
