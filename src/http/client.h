/*
 * client.h
 *	  The HTTP client from within: its sessions and its transfers.
 *
 * Internal to the http files.
 */
#ifndef WA_HTTP_CLIENT_H
#define WA_HTTP_CLIENT_H

#include <signal.h>

#include "http/list.h"
#include "http/lookup.h"
#include "http/session.h"

struct WaHttp
{
	WaHttpConfig config;
	char *ca_file; /* config's copy */
	WaPoller *poller;
	WaHttpSockets sockets; /* the poller, and how sockets are opened */
	WaHttpUrls *urls;
	WaBegunList begun;
	WaConnections connections;
	WaLookups lookups;
	WaTransferNotices notices;
	WaTransferOptions options;				  /* of every transfer: all of the above */
	WaHttpHeaders *headers;					  /* for new requests */
	WaHttpSession *session;					  /* for new requests; NULL if it could not be made */
	WaHttpSession *retired;					  /* a list: each ends what it has under way */
	bool stuck;								  /* an HTTP/2 connection is of no further use */
	WaProtocol protocol;					  /* of the last response */
	WaTransferList lists[WA_TRANSFER_STATES]; /* of every transfer, by state */
	int draining;							  /* active ones, begun with other settings */
};

/* ---- how many connections and requests: capacity.c ---- */

/* To all hosts, and to one; 0: no limit. */
extern int wa_capacity_connections(const struct WaHttp *http);
extern int wa_capacity_host_connections(const struct WaHttp *http);

/* Whether libcurl can send one more request. */
extern int wa_capacity_active(const struct WaHttp *http);
extern bool wa_capacity_may_start(const struct WaHttp *http);

/* ---- sessions: client.c.  All of these let libcurl run: signals are blocked. ---- */

/* Around everything that lets libcurl run. */
extern void wa_client_block_signals(sigset_t *saved);
extern void wa_client_restore_signals(const sigset_t *saved);

/* A session for new requests; false: out of memory. */
extern bool wa_client_renew_session(struct WaHttp *http);
extern void wa_client_limit_connections(struct WaHttp *http);

/* New requests get a new session.  The old one ends what it has under way. */
extern void wa_client_retire_session(struct WaHttp *http);
extern int wa_client_count_retired(const struct WaHttp *http);

/* Takes a session from the client, and closes its connections. */
extern void wa_client_discard_session(struct WaHttp *http, WaHttpSession *session);

/* ... those that have ended. */
extern void wa_client_discard_idle(struct WaHttp *http);
extern void wa_client_destroy_sessions(struct WaHttp *http);

/*
 * What has not begun to leave waits again, for another session.  also_moved: even what
 * has done so before, whose time began anew then.
 */
extern void wa_client_call_back_unbegun(struct WaHttp *http, bool also_moved);

/* Takes an active transfer from libcurl. */
extern void wa_client_withdraw(struct WaHttp *http, WaTransfer *t);

/* Ends a waiting or active transfer.  reason, if not NULL, replaces libcurl's words. */
extern void wa_client_finish(struct WaHttp *http, WaTransfer *t, CURLcode code, const char *reason);

#endif
