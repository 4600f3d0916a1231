/*
 * check_database.c
 *	  The part of --check that asks PostgreSQL.
 *
 * There is no loop here, and nobody waits for an answer but whoever called us: so
 * these are plain connections.
 */
#include "bin/gateway/check_database.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

#include "bin/gateway/finding.h"
#include "bin/gateway/routes.h"
#include "bin/gateway/settings.h"
#include "bin/httpd/buf.h"

#define CONNECT_TIMEOUT_S "5"

/* One of the two logins. */
typedef struct Login
{
	const char *privilege;
	const char *conninfo;
	PGconn *conn;
} Login;

static PGconn *
connect_to(const char *conninfo)
{
	const char *const keywords[] = {"connect_timeout", "fallback_application_name", "dbname", NULL};
	const char *const values[] = {CONNECT_TIMEOUT_S, "wa_gateway --check", conninfo, NULL};

	return PQconnectdbParams(keywords, values, 1);
}

/* The last line end of libpq's messages is one too many. */
static const char *
error_of(PGconn *conn)
{
	char *text = PQerrorMessage(conn);
	size_t len = strlen(text);

	while (len > 0 && text[len - 1] == '\n')
		text[--len] = '\0';
	return text;
}

/* NULL, after it was reported, if the statement fails. */
static PGresult *
ask(Login *login, const char *sql, const char *value)
{
	PGresult *result =
		PQexecParams(login->conn, sql, value != NULL ? 1 : 0, NULL, &value, NULL, NULL, 0);

	if (PQresultStatus(result) == PGRES_TUPLES_OK)
		return result;
	gw_found(GW_BROKEN, NULL, "%s login: %s", login->privilege, error_of(login->conn));
	PQclear(result);
	return NULL;
}

static bool
is_true(const PGresult *result, int column)
{
	return strcmp(PQgetvalue(result, 0, column), "t") == 0;
}

/*
 * Is it the right server?
 */

static bool
check_connection(Login *login)
{
	login->conn = connect_to(login->conninfo);
	if (PQstatus(login->conn) != CONNECTION_OK)
	{
		gw_found(GW_BROKEN, "try the same with psql, as the user of the service", "%s login: %s",
				 login->privilege, error_of(login->conn));
		return false;
	}
	PQclear(PQexec(login->conn, "SET search_path = pg_catalog, pg_temp"));
	gw_found(GW_FINE, NULL, "%s login: role %s, database %s, PostgreSQL %d", login->privilege,
			 PQuser(login->conn), PQdb(login->conn), PQserverVersion(login->conn) / 10000);
	return true;
}

static bool
check_extension(Login *login)
{
	PGresult *result = ask(login,
						   "SELECT extversion, has_schema_privilege(extnamespace, 'USAGE'::text) "
						   "FROM pg_extension WHERE extname = 'whatsapp_shared'",
						   NULL);
	bool usable = false;

	if (result == NULL)
		return false;
	if (PQntuples(result) == 0)
		gw_found(GW_BROKEN, "CREATE EXTENSION whatsapp_shared; or another dbname",
				 "%s login: database %s has no extension whatsapp_shared", login->privilege,
				 PQdb(login->conn));
	else if (!is_true(result, 1))
		gw_found(GW_BROKEN, "wa_grant() gives that, too", "%s login: no USAGE on the schema",
				 login->privilege);
	else
	{
		usable = true;
		if (strcmp(PQgetvalue(result, 0, 0), GW_VERSION) == 0)
			gw_found(GW_FINE, NULL, "%s login: whatsapp_shared " GW_VERSION, login->privilege);
		else
			gw_found(GW_DOUBTFUL, "ALTER EXTENSION whatsapp_shared UPDATE; or another wa_gateway",
					 "%s login: whatsapp_shared is %s, and this is wa_gateway " GW_VERSION,
					 login->privilege, PQgetvalue(result, 0, 0));
	}
	PQclear(result);
	return usable;
}

static void
check_writable(Login *login)
{
	PGresult *result = ask(login, "SELECT pg_is_in_recovery()", NULL);

	if (result != NULL && is_true(result, 0))
		gw_found(GW_DOUBTFUL, "name the primary, or all hosts: target_session_attrs=read-write",
				 "%s login: this server is a standby, where nothing can be changed",
				 login->privilege);
	PQclear(result);
}

/* Whoever gets at the gateway has what its roles have. */
static void
check_attributes(Login *login)
{
	PGresult *result = ask(login,
						   "SELECT rolsuper, rolcreaterole OR rolcreatedb OR rolreplication OR "
						   "rolbypassrls FROM pg_roles WHERE rolname = current_user",
						   NULL);

	if (result == NULL || PQntuples(result) == 0)
		;
	else if (is_true(result, 0))
		gw_found(GW_DOUBTFUL, "CREATE ROLE one LOGIN, and SELECT wa_grant() it its privilege",
				 "%s login: role %s is a superuser, which is far more than it needs",
				 login->privilege, PQuser(login->conn));
	else if (is_true(result, 1))
		gw_found(GW_DOUBTFUL, "ALTER ROLE … NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS",
				 "%s login: role %s has attributes that it does not need", login->privilege,
				 PQuser(login->conn));
	PQclear(result);
}

/*
 * What may it do?
 */

/* The names, as an array's text, of those that are missing or must not be called. */
static void
check_functions(Login *login, const char *names, int wanted)
{
	static const char todo[] = "SELECT wa_grant('ROLE', 'PRIVILEGE') after each new version";
	PGresult *result =
		ask(login,
			"SELECT count(p.oid), count(*) FILTER (WHERE has_function_privilege(p.oid, "
			"'EXECUTE'::text)), (array_agg(n.name ORDER BY n.name) FILTER (WHERE p.oid IS NULL OR "
			"NOT has_function_privilege(p.oid, 'EXECUTE'::text)))[1] "
			"FROM unnest($1::text[]) AS n (name) CROSS JOIN pg_extension AS e "
			"LEFT JOIN pg_proc AS p ON p.proname = n.name AND p.pronamespace = e.extnamespace "
			"WHERE e.extname = 'whatsapp_shared'",
			names);
	int there;
	int allowed;

	if (result == NULL)
		return;
	there = atoi(PQgetvalue(result, 0, 0));
	allowed = atoi(PQgetvalue(result, 0, 1));
	if (there < wanted)
		gw_found(GW_BROKEN, "ALTER EXTENSION whatsapp_shared UPDATE",
				 "%s login: %d of %d functions are not there, one is %s", login->privilege,
				 wanted - there, wanted, PQgetvalue(result, 0, 2));
	else if (allowed < wanted)
		gw_found(GW_BROKEN, todo, "%s login: role %s lacks the privilege %s, or part of it: %s()",
				 login->privilege, PQuser(login->conn), login->privilege, PQgetvalue(result, 0, 2));
	else
		gw_found(GW_FINE, NULL, "%s login: may call all %d functions", login->privilege, wanted);
	PQclear(result);
}

/* The internet reaches the webhook's role: it has no use for anybody's messages. */
static void
check_excess(Login *login)
{
	PGresult *result =
		ask(login,
			"SELECT has_table_privilege(c.oid, 'SELECT'::text) FROM pg_class AS c "
			"JOIN pg_extension AS e ON e.extnamespace = c.relnamespace "
			"WHERE e.extname = 'whatsapp_shared' AND c.relname = 'whatsapp_messages' AND NOT "
			"(SELECT rolsuper FROM pg_roles WHERE rolname = current_user)",
			NULL);

	if (result != NULL && PQntuples(result) == 1 && is_true(result, 0))
		gw_found(GW_DOUBTFUL, "use a role of its own, with the privilege webhook alone",
				 "%s login: role %s can read messages", login->privilege, PQuser(login->conn));
	PQclear(result);
}

static bool
begin(Login *login)
{
	if (!check_connection(login) || !check_extension(login))
		return false;
	check_writable(login);
	check_attributes(login);
	return true;
}

void
gw_check_admin_database(void)
{
	Login login = {.privilege = "admin", .conninfo = gw_settings->database};
	HttpdBuf names = {0};
	int n = gw_routes_functions(&names);

	if (begin(&login))
		check_functions(&login, names.data, n);
	PQfinish(login.conn);
	httpd_buf_free(&names);
}

void
gw_check_webhook_database(void)
{
	Login login = {.privilege = "webhook", .conninfo = gw_settings->webhook_database};

	if (login.conninfo[0] == '\0')
	{
		gw_found(GW_DOUBTFUL, "set --webhook-database to a role with the privilege webhook alone",
				 "webhook login: that of --database, which may do all that an admin may");
		login.conninfo = gw_settings->database;
	}
	if (begin(&login))
	{
		check_functions(&login, "{wa_webhook_ingest_many}", 1);
		if (gw_settings->webhook_database[0] != '\0')
			check_excess(&login);
	}
	PQfinish(login.conn);
}
