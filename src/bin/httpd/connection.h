/*
 * connection.h
 *	  A client's connection: its deadline, its end, its peer.
 */
#ifndef HTTPD_CONNECTION_H
#define HTTPD_CONNECTION_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>

#include "bin/httpd/service.h"
#include "bin/httpd/timer.h"

typedef struct HttpdConnection
{
	struct MHD_Connection *mhd;
	const HttpdService *service;
	HttpdTimer deadline;
	bool idle;		/* between a response and the next request */
	bool kept_open; /* counted among those that are */

	/* Of the request whose head is being read; see HttpdRequest. */
	char *target;
	const char *target_at;
} HttpdConnection;

/* What libmicrohttpd calls; cls is the service. */
extern void httpd_connection_notify(void *cls, struct MHD_Connection *mhd, void **socket_context,
									enum MHD_ConnectionNotificationCode code);

extern HttpdConnection *httpd_connection_of(struct MHD_Connection *mhd);

/* Starts the service's deadline anew; and ends it. */
extern void httpd_connection_start_deadline(HttpdConnection *connection);
extern void httpd_connection_end_deadline(HttpdConnection *connection);

/* A response was sent; and the line of a request is there. */
extern void httpd_connection_becomes_idle(HttpdConnection *connection);
extern void httpd_connection_is_used(HttpdConnection *connection);

/* Before a response: whether the connection may stay open after it. */
extern bool httpd_connection_keep_open(HttpdConnection *connection);

/*
 * Ends the connection below libmicrohttpd, which cleans up when it notices: by
 * RST, which drops what was not sent yet, or by FIN.  For a request that may be
 * suspended, use httpd_request_abort().
 */
extern void httpd_connection_abort(HttpdConnection *connection, bool reset);

/*
 * How long ago the last of the client's data arrived, to a few milliseconds: by the
 * kernel, however late this process is.  0 while the clock is stopped.
 */
extern int64_t httpd_connection_silent_us(const HttpdConnection *connection);

extern bool httpd_connection_client_has_left(const HttpdConnection *connection);

/* The client's address without its port, or "" if it has none. */
extern void httpd_connection_address(const HttpdConnection *connection, char *out, size_t size);

/* True if the client is on the loopback interface. */
extern bool httpd_connection_is_loopback(const HttpdConnection *connection);

#endif
