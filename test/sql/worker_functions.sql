/*
 * The SQL functions between the scripts and the processes, in a server whose
 * library is preloaded and that serves no database: what they take and refuse.
 */
\set SHOW_CONTEXT never
CREATE EXTENSION whatsapp_shared;

/* waking: nothing to see, nothing to fail, and NULL is nobody */
SELECT wa_internal_wake('100000000000001', 5);
SELECT wa_internal_wake(NULL, 5) IS NULL AS nobody;
SELECT wa_internal_wake_due('2031-01-01 00:00+00');
SELECT wa_internal_wake_due('infinity');
SELECT wa_internal_wake_launcher();
BEGIN;
SELECT wa_internal_wake(i::text, i) FROM generate_series(1, 3) AS i;
SAVEPOINT one;
SELECT wa_internal_wake('4', 4);
ROLLBACK TO one;
COMMIT;

/* what Meta has said is for a sender that writes it down */
SELECT wa_internal_accepted_attempt(1), wa_internal_accepted_at(1), wa_internal_accepted_text(1, 'm');

/* the trigger function is nothing else */
SELECT wa_internal_config_changed();
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) > 0 AS used, bool_and(tgtype & 1 = 0) AS for_each_statement
FROM pg_trigger WHERE tgfoid = 'wa_internal_config_changed'::regproc;

/* credentials: there (test/tools/server.conf) or not, and never more */
SELECT wa_internal_credentials_present();
SELECT c, wa_internal_credentials_present(c)
FROM unnest('{access_token,app_secret,webhook_verify_token}'::text[]) AS c;
SELECT wa_internal_credentials_present('access_token_file');
\echo :LAST_ERROR_SQLSTATE
SELECT wa_internal_credentials_present(NULL) IS NULL AS unknown;

/* no database is listed in this server's settings */
SELECT wa_internal_preloaded();
SELECT * FROM wa_stats();
SELECT wa_worker_restart();

/* who may do what */
CREATE ROLE regress_wa_stranger;
SET ROLE regress_wa_stranger;
SELECT wa_stats();
SELECT wa_worker_restart();
SELECT wa_internal_credentials_present();
SELECT wa_internal_wake('1', 1);
RESET ROLE;
DROP ROLE regress_wa_stranger;
DROP EXTENSION whatsapp_shared;
