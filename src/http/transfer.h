/*
 * transfer.h
 *	  One request and its response: an easy handle with its callbacks and buffers.
 *
 * Internal to the http files.
 */
#ifndef WA_HTTP_TRANSFER_H
#define WA_HTTP_TRANSFER_H

#include <curl/curl.h>

#include "http/buffer.h"
#include "http/config.h"
#include "http/headers.h"
#include "http/response.h"
#include "http/result.h"
#include "http/url.h"

typedef enum WaTransferState
{
	WA_TRANSFER_FREE,	 /* in the pool; next: WAITING */
	WA_TRANSFER_WAITING, /* submitted, not yet given to libcurl; next: ACTIVE, DONE */
	WA_TRANSFER_ACTIVE,	 /* libcurl has it; next: DONE */
	WA_TRANSFER_DONE,	 /* finished; next: FETCHED */
	WA_TRANSFER_FETCHED	 /* the caller reads it; next: FREE */
} WaTransferState;

#define WA_TRANSFER_STATES 5

typedef struct WaTransfer
{
	WaHttpResult result; /* first: the caller's view of a transfer */

	/* the list of its state: http/list.c */
	struct WaTransfer *next;
	struct WaTransfer *prev;
	WaTransferState state;
	struct WaHttpSession *session; /* while active */

	/* the request */
	CURL *easy;
	const struct WaPoller *poller; /* knows connections that the peer has closed */
	WaHttpUrls *urls;
	WaHttpHeaders *headers;
	WaHttpUrl *url;				 /* or NULL: libcurl has a copy of its own */
	struct curl_slist *own_list; /* for an unusual content type */
	bool is_plain;				 /* http, not https */
	bool begun;					 /* libcurl may have sent something */
	bool stale;					 /* it was about to, but the peer had closed the connection */
	bool restarted;				 /* because of that */
	bool fresh;					 /* wants a connection of its own */
	bool at_once;				 /* the body goes out together with the headers */
	bool repeated;				 /* libcurl wanted to begin it a second time */
	WaBuffer body;
	size_t body_taken; /* if not at_once: by read_body */
	long request_timeout_ms;
	long upload_ms; /* that the body of an upload may take besides */

	WaHttpResponse response;
	char error[CURL_ERROR_SIZE];
} WaTransfer;

/* What every transfer of a WaHttp has in common. */
typedef struct WaTransferOptions
{
	const WaHttpConfig *config;
	const struct WaPoller *poller;
	WaHttpUrls *urls;
	curl_opensocket_callback open_socket;
	curl_closesocket_callback close_socket;
	void *socket_arg;
} WaTransferOptions;

/* NULL if out of memory. */
extern WaTransfer *wa_transfer_create(const WaTransferOptions *options);

/* libcurl must not have it any more.  Safe on NULL and on half-built ones. */
extern void wa_transfer_destroy(WaTransfer *t);

/* False if out of memory or if url or content_type cannot be sent. */
extern bool wa_transfer_prepare(WaTransfer *t, const char *url, const char *body, size_t body_len,
								const char *content_type, WaHttpHeaders *headers);

/* Makes a stale request ready to be begun again; false if that is no use. */
extern bool wa_transfer_again(WaTransfer *t, bool fresh);

/* Fills in the result.  reason, if not NULL, replaces libcurl's words. */
extern void wa_transfer_finish(WaTransfer *t, CURLcode code, const char *reason);

/* Lets go of what only this request needed. */
extern void wa_transfer_reset(WaTransfer *t);

#endif
