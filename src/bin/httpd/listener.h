/*
 * listener.h
 *	  The sockets on which a program serves HTTP, as many as it likes.
 */
#ifndef HTTPD_LISTENER_H
#define HTTPD_LISTENER_H

#include "bin/httpd/service.h"

typedef struct HttpdListener HttpdListener;

typedef struct HttpdListenerSettings
{
	const char *address; /* HOST:PORT, port 0 being a free one; NULL: socket */
	int socket;			 /* one that listens already, of a service manager say */

	/* PEM, to stay until httpd_listener_stop(); NULL for plain HTTP. */
	const char *certificate;
	const char *key;

	unsigned int max_connections;
	unsigned int idle_timeout_s; /* without a byte either way; 0: none */
	int64_t lag_us;				 /* before a new connection is served; cannot be drained */
	const HttpdService *service;
} HttpdListenerSettings;

/*
 * Serves from the next round of the loop on.  Ends the program if it cannot.
 * httpd_loop_init() must have been called.
 */
extern HttpdListener *httpd_listener_open(const HttpdListenerSettings *settings);

/* HOST:PORT with the port that it became; lives as long as the listener. */
extern const char *httpd_listener_address(const HttpdListener *listener);

/*
 * The graceful end: accepts no more connections, lets each connection finish
 * the request it is about, and calls drained once there is none.  How long
 * that takes is up to the clients and the program: set a timer.
 */
extern void httpd_listener_drain(void (*drained)(void *arg), void *arg);

/* Ends everything at once, after httpd_loop_run(). */
extern void httpd_listener_stop(void);

#endif
