/*
 * connections.c
 *	  Open connections, by their local port.
 *
 * All that libcurl says of the connection on which a request is about to begin are
 * its addresses.  These may be those of an earlier connection, so what is known of
 * one must not outlive its socket by them.
 *
 * A socket has no port when it is opened.  It has got one when the first request
 * asks for a connection after that: then those whose port is not known are looked at,
 * each once.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "http/connections.h"

static WaConnection **
place(WaConnections *connections, int port)
{
	return port == 0 ? &connections->unnamed
					 : &connections->by_port[port & (WA_CONNECTION_PLACES - 1)];
}

static void
link_into(WaConnection **list, WaConnection *connection)
{
	connection->next = *list;
	*list = connection;
}

/* Takes the socket's connection from this list, if it is there. */
static bool
close_in(WaConnection **list, int fd)
{
	for (; *list != NULL; list = &(*list)->next)
	{
		WaConnection *connection = *list;

		if (connection->fd == fd)
		{
			*list = connection->next;
			wa_connection_release(connection);
			return true;
		}
	}
	return false;
}

/* Seldom enough to look everywhere. */
void
wa_connections_closing(WaConnections *connections, int fd)
{
	bool found = close_in(&connections->unnamed, fd);

	for (int i = 0; i < WA_CONNECTION_PLACES && !found; i++)
		found = close_in(&connections->by_port[i], fd);
}

bool
wa_connections_opened(WaConnections *connections, int fd)
{
	WaConnection *connection = calloc(1, sizeof(WaConnection));

	if (connection == NULL)
		return false;
	connection->fd = fd;
	connection->users = 1;
	connection->uncounted = connections->uncounted;

	/* One that has the same number is closed, whether anybody has said so or not. */
	wa_connections_closing(connections, fd);
	link_into(&connections->unnamed, connection);
	return true;
}

static void
close_all(WaConnection **list)
{
	while (*list != NULL)
		close_in(list, (*list)->fd);
}

void
wa_connections_close(WaConnections *connections)
{
	close_all(&connections->unnamed);
	for (int i = 0; i < WA_CONNECTION_PLACES; i++)
		close_all(&connections->by_port[i]);
}

static int
local_port(int fd)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);

	if (getsockname(fd, (struct sockaddr *) &address, &len) < 0 ||
		(address.ss_family != AF_INET && address.ss_family != AF_INET6))
		return 0;
	/* both families have the port at the same place */
	return ntohs(((struct sockaddr_in *) &address)->sin_port);
}

static void
name_new_ones(WaConnections *connections)
{
	WaConnection *next;
	WaConnection *list = connections->unnamed;

	connections->unnamed = NULL;
	for (WaConnection *c = list; c != NULL; c = next)
	{
		next = c->next;
		c->port = local_port(c->fd);
		link_into(place(connections, c->port), c);
	}
}

WaConnection *
wa_connections_find(WaConnections *connections, int port)
{
	WaConnection *found = NULL;

	if (port <= 0)
		return NULL;
	if (connections->unnamed != NULL)
		name_new_ones(connections);
	for (WaConnection *c = *place(connections, port); c != NULL; c = c->next)
	{
		if (c->port != port)
			continue;
		if (found != NULL)
			return NULL;
		found = c;
	}
	return found;
}

void
wa_connection_hold(WaConnection *connection)
{
	connection->users++;
}

void
wa_connection_release(WaConnection *connection)
{
	if (--connection->users == 0)
		free(connection);
}
