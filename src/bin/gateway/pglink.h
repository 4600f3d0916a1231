/*
 * pglink.h
 *	  One connection to PostgreSQL, in the loop.
 *
 * Connects, prepares the session, runs a statement at a time, and says when each
 * of these is over.  It knows nothing of pools.
 */
#ifndef GW_PGLINK_H
#define GW_PGLINK_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "bin/httpd/timer.h"

typedef enum GwLinkState
{
	GW_LINK_DOWN,
	GW_LINK_CONNECTING,
	GW_LINK_PREPARING, /* the session */
	GW_LINK_FREE,
	GW_LINK_BUSY
} GwLinkState;

struct GwLink;

/* Called from the loop, when the state has changed already; never from a gw_link_ call. */
typedef struct GwLinkEvents
{
	void (*opened)(struct GwLink *link);					 /* now FREE, for the first time */
	void (*finished)(struct GwLink *link, PGresult *result); /* now FREE again */

	/* Now DOWN; open says that it had been opened. */
	void (*lost)(struct GwLink *link, bool open, const char *reason);
} GwLinkEvents;

typedef struct GwLink
{
	const GwLinkEvents *events;
	void *owner;
	GwLinkState state;

	/* What the session found when it was prepared. */
	char *schema; /* of the extension, quoted */

	/* pglink.c's own */
	PGconn *conn;
	int fd;			  /* that is watched, or -1 */
	PGresult *result; /* so far */
	HttpdTimer timer; /* of an attempt to connect, or of a statement */
	int statement_timeout_ms;
	char reason[300];
} GwLink;

/* Begins to connect.  The outcome is an event, also where it fails at once. */
extern void gw_link_open(GwLink *link, const char *conninfo, const char *application_name,
						 int statement_timeout_ms);

/* Sends a statement on a FREE one; parameters as for PQsendQueryParams(). */
extern void gw_link_send(GwLink *link, const char *sql, int n, const Oid *types,
						 const char *const *values, const int *lengths, const int *formats);

/* Ends the connection, without an event. */
extern void gw_link_close(GwLink *link);

#endif
