/*
 * conninfo.c
 *	  Where the database is, and how a connection to it begins.
 */
#include "bin/gateway/conninfo.h"

#include <string.h>

/* For a host that takes no notice: then it is the next one's turn. */
#define TCP_USER_TIMEOUT_MS "4000"

/* A comma in the value of host or hostaddr separates hosts. */
int
gw_conninfo_hosts(PGconn *conn)
{
	PQconninfoOption *options = PQconninfo(conn);
	int hosts = 1;

	for (PQconninfoOption *option = options; option != NULL && option->keyword != NULL; option++)
	{
		int commas = 0;

		if (option->val == NULL || strncmp(option->keyword, "host", 4) != 0)
			continue;
		for (const char *p = option->val; *p != '\0'; p++)
			commas += *p == ',';
		if (commas >= hosts)
			hosts = commas + 1;
	}
	PQconninfoFree(options);
	return hosts;
}

/* What conninfo says comes last, so it overrides what stands before it. */
PGconn *
gw_conninfo_start(const char *conninfo, const char *application_name)
{
	const char *const keywords[] = {
		"fallback_application_name", "target_session_attrs", "tcp_user_timeout", "keepalives_idle",
		"keepalives_interval",		 "keepalives_count",	 "dbname",			 NULL};
	const char *const values[] = {
		application_name, "read-write", TCP_USER_TIMEOUT_MS, "30", "10", "3", conninfo, NULL};

	return PQconnectStartParams(keywords, values, 1);
}
