/*
 * Ownership: who could put code of his own in the place of the extension's, or hang
 * it on its tables, and what is said of it.
 */
\ir ../lib/begin.sql
SELECT plan(42);

CREATE ROLE t_owner;
CREATE ROLE t_bob;
CREATE SCHEMA t_app;
GRANT CREATE, USAGE ON SCHEMA t_app TO t_bob;

CREATE FUNCTION pg_temp.flaw() RETURNS text LANGUAGE sql AS 'SELECT problem FROM wa_internal_ownership_flaw()';
CREATE FUNCTION pg_temp.remedy() RETURNS text LANGUAGE sql AS 'SELECT remedy FROM wa_internal_ownership_flaw()';
CREATE FUNCTION pg_temp.tables_owner() RETURNS text LANGUAGE sql AS
    'SELECT relowner::regrole::text FROM pg_class WHERE oid = ''whatsapp_messages''::regclass';

/* The remedy, done, ends it. */
CREATE FUNCTION pg_temp.remedied() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE pg_temp.remedy();
    RETURN pg_temp.flaw() IS NULL;
END
$$;

SELECT wa_assign_phone('panaderia', '100000000000001') \g /dev/null
CREATE TEMP TABLE note AS SELECT wa_enqueue_payload('panaderia', '+34600000001', 'text', '{"body": "hola"}') AS id;

SELECT is(pg_temp.flaw(), NULL, 'as installed, all is well');
SELECT results_eq($$SELECT state, remedy FROM wa_health() WHERE item = 'ownership'$$, $$VALUES ('ok', NULL::text)$$, 'and health says so');

/* ---- the schema ---- */

ALTER SCHEMA public OWNER TO t_bob;
SELECT is(pg_temp.flaw(), 'schema public belongs to role t_bob', 'the schema is not another role''s');
SELECT is((SELECT reason FROM note, wa_explain(note.id)), 'ownership', 'nothing is sent');
SELECT results_eq('SELECT item, state, detail, remedy FROM wa_health()',
    $$SELECT 'sending', 'error', meaning, remedy FROM wa_reason_codes WHERE reason = 'ownership'
      UNION ALL VALUES ('ownership', 'error', 'Schema public belongs to role t_bob.', pg_temp.remedy())$$,
    'health says why, and asks nothing else');
SELECT results_eq($$SELECT * FROM wa_diagnose('nobody')$$, 'SELECT * FROM wa_health()', 'nor do tenants'' diagnoses');
SELECT ok(pg_temp.remedied(), 'its remedy helps');
ALTER SCHEMA public OWNER TO t_owner;
GRANT t_owner TO t_bob;
SELECT ok(pg_temp.flaw() LIKE '%t_owner', 'nor that of a role with members');
ALTER ROLE t_owner SUPERUSER;
SELECT is(pg_temp.flaw(), NULL, 'unless it is a superuser');
ALTER ROLE t_owner NOSUPERUSER;
ALTER SCHEMA public OWNER TO pg_database_owner;
SELECT is(pg_temp.flaw(), NULL, 'the database''s owner may have it, being a superuser');
SELECT format('ALTER DATABASE %I OWNER TO t_bob', current_database()) \gexec
SELECT is(pg_temp.flaw(), 'schema public belongs to role pg_database_owner', 'else not');
SELECT format('ALTER DATABASE %I OWNER TO postgres', current_database()) \gexec

GRANT CREATE ON SCHEMA public TO t_bob;
SELECT is(pg_temp.flaw(), 'role t_bob may create objects in schema public', 'no other role may create objects in it');
SELECT ok(pg_temp.remedied(), 'its remedy helps');
GRANT CREATE ON SCHEMA public TO PUBLIC;
SELECT is(pg_temp.flaw(), 'everybody may create objects in schema public', 'nor may everybody');
SELECT ok(pg_temp.remedied(), 'its remedy helps');
GRANT USAGE ON SCHEMA public TO t_bob;
SELECT is(pg_temp.flaw(), NULL, 'to use it is no harm');
SELECT format('GRANT CREATE ON SCHEMA public TO %s', pg_temp.tables_owner()) \gexec
SELECT is(pg_temp.flaw(), NULL, 'nor is what the owner of the tables may');

/* ---- its objects ---- */

SELECT pg_temp.tables_owner() AS owner \gset
ALTER FUNCTION wa_internal_place_rows(bigint[]) OWNER TO t_bob;
SELECT is(pg_temp.flaw(), 'function public.wa_internal_place_rows(bigint[]) belongs to role t_bob', 'a function is not another role''s');
ALTER FUNCTION wa_internal_place_rows(bigint[]) OWNER TO postgres;
SELECT is(pg_temp.flaw(), NULL, 'but may be a superuser''s');
ALTER TABLE whatsapp_pauses OWNER TO t_bob;
SELECT ok(pg_temp.flaw() LIKE 'table public.whatsapp_pauses belongs to role t_bob', 'nor a table');
SELECT format('ALTER TABLE whatsapp_pauses OWNER TO %s', :'owner') \gexec
ALTER VIEW wa_number_status OWNER TO t_bob;
SELECT is(pg_temp.flaw(), 'view public.wa_number_status belongs to role t_bob', 'nor a view');
SELECT format('ALTER VIEW wa_number_status OWNER TO %s', :'owner') \gexec

CREATE FUNCTION wa_internal_accepted_text(bigint, text) RETURNS text LANGUAGE sql AS 'SELECT NULL::text';
SELECT is(pg_temp.flaw(), 'function public.wa_internal_accepted_text(bigint,text) has the name of one of the extension''s', 'no function is called like ours');
SELECT ok(pg_temp.remedied(), 'its remedy helps');
CREATE FUNCTION wa_cancel_message(text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
SELECT is(pg_temp.flaw(), NULL, 'a superuser may give a public function a variant');
ALTER FUNCTION wa_cancel_message(text) OWNER TO t_bob;
SELECT is(pg_temp.flaw(), 'function public.wa_cancel_message(text) has the name of one of the extension''s', 'nobody else');
DROP FUNCTION wa_cancel_message(text);

/* ---- what hangs on its tables ---- */

GRANT SELECT, INSERT, UPDATE, DELETE, REFERENCES ON whatsapp_queue TO t_bob;
SELECT is(pg_temp.flaw(), NULL, 'most rights on a table run nothing');
GRANT TRIGGER ON whatsapp_queue TO t_bob;
SELECT is(pg_temp.flaw(), 'role t_bob may create triggers on table public.whatsapp_queue', 'nobody else may create triggers');
SELECT ok(pg_temp.remedied(), 'its remedy helps');

CREATE FUNCTION t_app.fired() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER left_behind AFTER UPDATE ON whatsapp_queue FOR EACH ROW EXECUTE FUNCTION t_app.fired();
SELECT is(pg_temp.flaw(), NULL, 'a superuser''s trigger is allowed');
ALTER FUNCTION t_app.fired() OWNER TO t_bob;
SELECT is(pg_temp.flaw(), 'trigger left_behind on table public.whatsapp_queue calls function t_app.fired(), which belongs to role t_bob',
    'none that calls what others can change');
ALTER FUNCTION t_app.fired() SECURITY DEFINER;
SELECT is(pg_temp.flaw(), NULL, 'unless it runs as them');
DROP TRIGGER left_behind ON whatsapp_queue;

CREATE FUNCTION t_app.test(bigint) RETURNS boolean LANGUAGE sql IMMUTABLE SECURITY DEFINER AS 'SELECT true';
CREATE FUNCTION t_app.quiet() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER left_behind AFTER UPDATE ON whatsapp_queue FOR EACH ROW WHEN (t_app.test(NEW.message_id)) EXECUTE FUNCTION t_app.quiet();
ALTER FUNCTION t_app.test(bigint) OWNER TO t_bob;
SELECT ok(pg_temp.flaw() LIKE 'trigger left_behind%calls function t_app.test(bigint), which belongs to role t_bob', 'nor in its condition');
DROP TRIGGER left_behind ON whatsapp_queue;
CREATE OPERATOR t_app.=== (FUNCTION = int8eq, LEFTARG = bigint, RIGHTARG = bigint);
ALTER OPERATOR t_app.=== (bigint, bigint) OWNER TO t_bob;
CREATE TRIGGER left_behind AFTER UPDATE ON whatsapp_queue FOR EACH ROW WHEN (NEW.message_id OPERATOR(t_app.===) 1) EXECUTE FUNCTION t_app.quiet();
SELECT ok(pg_temp.flaw() LIKE 'trigger left_behind%calls operator t_app.===(bigint,bigint)%', 'nor by an operator');
DROP TRIGGER left_behind ON whatsapp_queue;

ALTER TABLE whatsapp_pauses ADD CONSTRAINT left_check CHECK (t_app.test(length(key)::bigint));
SELECT ok(pg_temp.flaw() LIKE 'constraint left_check on table public.whatsapp_pauses calls%', 'no constraint');
ALTER TABLE whatsapp_pauses DROP CONSTRAINT left_check;
CREATE INDEX left_index ON whatsapp_pauses (t_app.test(length(key)::bigint));
SELECT ok(pg_temp.flaw() LIKE 'index public.left_index calls%', 'no index');
DROP INDEX left_index;
CREATE POLICY left_policy ON whatsapp_pauses USING (t_app.test(1));
SELECT ok(pg_temp.flaw() LIKE 'policy left_policy on table public.whatsapp_pauses calls%', 'no policy');
DROP POLICY left_policy ON whatsapp_pauses;
CREATE RULE left_rule AS ON UPDATE TO whatsapp_pauses DO ALSO SELECT t_app.test(1);
SELECT ok(pg_temp.flaw() LIKE 'rule left_rule on table public.whatsapp_pauses calls%', 'no rule');
DROP RULE left_rule ON whatsapp_pauses;
ALTER TABLE whatsapp_pauses ALTER COLUMN reason SET DEFAULT t_app.test(1)::text;
SELECT ok(pg_temp.flaw() LIKE 'default value for column reason of table public.whatsapp_pauses calls%', 'no default');
ALTER TABLE whatsapp_pauses ALTER COLUMN reason DROP DEFAULT;
SELECT is(pg_temp.flaw(), NULL, 'that is all');

/* ---- who asks ---- */

/* The answer does not depend on what is first on the search_path. */
CREATE SCHEMA t_evil;
CREATE TABLE t_evil.pg_depend (LIKE pg_depend);
CREATE TABLE t_evil.pg_roles (LIKE pg_roles);
GRANT CREATE ON SCHEMA public TO t_bob;
SET LOCAL search_path = t_evil, pg_catalog, public;
SELECT public.is((SELECT problem FROM public.wa_internal_ownership_flaw()), 'role t_bob may create objects in schema public', 'nor on the search_path');
SET LOCAL search_path = public;
SELECT is((SELECT count(*) FROM pg_proc AS p WHERE p.proname IN ('wa_grant', 'wa_revoke') AND p.proowner <> 10), 0::bigint,
    'what superusers alone call is a superuser''s');
SELECT is((SELECT count(DISTINCT c.relowner) FROM pg_class AS c JOIN pg_depend AS d ON d.classid = c.tableoid AND d.objid = c.oid
    JOIN pg_extension AS e ON d.refobjid = e.oid AND e.extname = 'whatsapp_shared'), 1::bigint, 'all tables and views have one owner');

SELECT * FROM finish();
ROLLBACK;
