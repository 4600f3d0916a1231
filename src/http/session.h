/*
 * session.h
 *	  Requests under way together, and the connections that they share.
 *
 * Internal to the http files.
 */
#ifndef WA_HTTP_SESSION_H
#define WA_HTTP_SESSION_H

#include "http/poller.h"
#include "http/transfer.h"

typedef struct WaHttpSession WaHttpSession;

#define WA_NO_DEADLINE INT64_MAX

/* How sockets are opened and closed; outlives every session. */
typedef struct WaHttpSockets
{
	WaPoller *poller;
	WaConnections *connections;
	unsigned int unacknowledged_ms; /* a connection that gets no ACK for this long is dead */
	int max;						/* open at once; 0: no limit */
} WaHttpSockets;

extern curl_socket_t wa_http_open_socket(void *sockets, curlsocktype purpose,
										 struct curl_sockaddr *address);
extern int wa_http_close_socket(void *sockets, curl_socket_t fd);

/* Those that libcurl has closed without saying so do not count as open any more. */
extern void wa_http_forget_lost_sockets(const WaHttpSockets *sockets);

/* NULL if out of memory.  keep is the number of idle connections to keep. */
extern WaHttpSession *wa_http_session_create(WaPoller *poller, int keep);

/* Closes every connection; all transfers must have been removed.  Accepts NULL. */
extern void wa_http_session_destroy(WaHttpSession *session);

/* Connections to one host, and to all; 0 for no limit. */
extern void wa_http_session_limit(WaHttpSession *session, int host_connections, int connections);

/* A list of sessions; NULL ends it. */
extern WaHttpSession *wa_http_session_next(const WaHttpSession *session);
extern void wa_http_session_link(WaHttpSession *session, WaHttpSession *next);

/* Errors are libcurl's. */
extern CURLMcode wa_http_session_add(WaHttpSession *session, WaTransfer *t);
extern void wa_http_session_remove(WaHttpSession *session, WaTransfer *t);
extern int wa_http_session_active(const WaHttpSession *session);

/*
 * Reads and writes what can be done without waiting: for a socket that is
 * ready, and for the time that has passed.  After an error the session is of
 * no use any more.
 */
extern CURLMcode wa_http_session_socket(WaHttpSession *session, const WaPollEvent *event);
extern CURLMcode wa_http_session_timer(WaHttpSession *session, int64_t now_us);

/* Requests that wait for a connection look for one again. */
extern void wa_http_session_wake(WaHttpSession *session);

/* When wa_http_session_timer wants to be called, or WA_NO_DEADLINE. */
extern int64_t wa_http_session_deadline(const WaHttpSession *session);

/* The next transfer that has ended, still in the session; NULL if none. */
extern WaTransfer *wa_http_session_ended(WaHttpSession *session, CURLcode *code);

#endif
