/*
 * conninfo.h
 *	  Where the database is, and how a connection to it begins.
 */
#ifndef GW_CONNINFO_H
#define GW_CONNINFO_H

#include <libpq-fe.h>

/*
 * Begins to connect, for PQconnectPoll(), to a server that can be written to unless
 * conninfo says otherwise.
 */
extern PGconn *gw_conninfo_start(const char *conninfo, const char *application_name);

/* How many hosts there are to be tried. */
extern int gw_conninfo_hosts(PGconn *conn);

#endif
