/*
 * capacity.c
 *	  How many connections and requests at once.
 *
 * How many connections are opened depends on what the peer turns out to speak:
 * over HTTP/2 a hundred requests share one, and more connections only cost
 * latency; over HTTP/1.1 each request needs its own.  We begin as if it were
 * HTTP/2 and look at every response.  Requests that would have to wait for a
 * connection wait in a list here and not inside libcurl, where their timeouts
 * would already run: a timeout counts from when a request can be sent.
 *
 * A process may open only so many descriptors (config.max_sockets).  A request
 * that needs one more would fail, and so would the next thing that opens a file.
 * So that bounds the connections, too.
 */
#include "http/client.h"

/* The usual limit of servers, and libcurl's own. */
#define STREAMS_PER_CONNECTION 100

static int
connections_wanted(const struct WaHttp *http)
{
	if (http->config.max_connections > 0)
		return http->config.max_connections;
	if (http->protocol == WA_PROTOCOL_HTTP1)
		return http->config.max_in_flight;
	return (http->config.max_in_flight + STREAMS_PER_CONNECTION - 1) / STREAMS_PER_CONNECTION;
}

/*
 * What there are sockets for, besides those of retired sessions; 0: as many as it
 * takes.  One is always possible: retired sessions end.
 */
int
wa_capacity_connections(const struct WaHttp *http)
{
	int sockets = http->config.max_sockets;

	if (sockets == 0)
		return 0;
	for (WaHttpSession *s = http->retired; s != NULL; s = wa_http_session_next(s))
		sockets -= wa_poller_sockets_of(http->poller, s);
	return sockets < 2 * WA_HTTP_SOCKETS_PER_CONNECTION ? 1
														: sockets / WA_HTTP_SOCKETS_PER_CONNECTION;
}

int
wa_capacity_host_connections(const struct WaHttp *http)
{
	int wanted = connections_wanted(http);
	int possible = wa_capacity_connections(http);

	return possible > 0 && possible < wanted ? possible : wanted;
}

/*
 * How many requests libcurl may have at once.  Until the protocol is known,
 * one for each connection: if it is HTTP/1.1, more could not be sent.
 */
int
wa_capacity_active(const struct WaHttp *http)
{
	int limit = wa_capacity_host_connections(http);

	if (http->protocol == WA_PROTOCOL_HTTP2)
		limit = limit > http->config.max_in_flight / STREAMS_PER_CONNECTION
					? http->config.max_in_flight
					: limit * STREAMS_PER_CONNECTION;
	return limit < http->config.max_in_flight ? limit : http->config.max_in_flight;
}

bool
wa_capacity_may_start(const struct WaHttp *http)
{
	return http->lists[WA_TRANSFER_ACTIVE].count - http->draining < wa_capacity_active(http);
}
