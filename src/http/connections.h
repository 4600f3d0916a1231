/*
 * connections.h
 *	  Open connections, by their local port.
 *
 * Internal to the http files.  Allocates with malloc and raises nothing.
 */
#ifndef WA_HTTP_CONNECTIONS_H
#define WA_HTTP_CONNECTIONS_H

#include <stdbool.h>

/* A power of two. */
#define WA_CONNECTION_PLACES 256

typedef struct WaConnection
{
	struct WaConnection *next; /* in the list that it is in */
	int fd;
	int port;  /* ours; 0: not known yet */
	int users; /* those that hold it, and the open socket */

	/* HTTP/2: http/refusal.c */
	unsigned int begun; /* requests */
	int unproved;		/* ... of which it is not certain yet that they opened a stream */
	bool uncounted;		/* one may have opened none: the number of a stream is not known */
	bool gone_away;		/* the peer takes no more streams than those up to "last" */
	unsigned int last;
} WaConnection;

typedef struct WaConnections
{
	WaConnection *by_port[WA_CONNECTION_PLACES];
	WaConnection *unnamed; /* their port is not known yet */
	bool uncounted;		   /* of new ones */
} WaConnections;

/* False: out of memory.  What had this descriptor before is forgotten. */
extern bool wa_connections_opened(WaConnections *connections, int fd);

/* To be called while fd is still open; does nothing if it was not announced. */
extern void wa_connections_closing(WaConnections *connections, int fd);

/* All are closed. */
extern void wa_connections_close(WaConnections *connections);

/*
 * The one with this local port; NULL if there is none, or more than one (to different
 * peers, or one that the kernel holds for closed and we do not yet).
 */
extern WaConnection *wa_connections_find(WaConnections *connections, int port);

/* A connection that is held outlives its socket. */
extern void wa_connection_hold(WaConnection *connection);
extern void wa_connection_release(WaConnection *connection);

#endif
