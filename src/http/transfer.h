/*
 * transfer.h
 *	  One request and its response: an easy handle with its callbacks and buffers.
 *
 * Internal to the http files.
 */
#ifndef WA_HTTP_TRANSFER_H
#define WA_HTTP_TRANSFER_H

#include <curl/curl.h>

#include "http/begun.h"
#include "http/buffer.h"
#include "http/config.h"
#include "http/headers.h"
#include "http/lookup.h"
#include "http/refusal.h"
#include "http/response.h"
#include "http/result.h"
#include "http/url.h"

typedef enum WaTransferState
{
	WA_TRANSFER_FREE,	 /* in the pool; next: WAITING */
	WA_TRANSFER_WAITING, /* submitted, not yet given to libcurl; next: ACTIVE, DONE */
	WA_TRANSFER_ACTIVE,	 /* libcurl has it; next: DONE, WAITING if it is begun anew */
	WA_TRANSFER_DONE,	 /* finished; next: FETCHED */
	WA_TRANSFER_FETCHED	 /* the caller reads it; next: FREE */
} WaTransferState;

#define WA_TRANSFER_STATES 5

typedef struct WaTransferOptions WaTransferOptions;

typedef struct WaTransfer
{
	WaHttpResult result; /* first: the caller's view of a transfer */

	/* the list of its state: http/list.c */
	struct WaTransfer *next;
	struct WaTransfer *prev;
	WaTransferState state;
	struct WaHttpSession *session; /* while active */

	/* begun, and nobody has asked yet: http/begun.c */
	WaBegun news;

	/* the easy handle, and what it has been told */
	CURL *easy;
	unsigned int generation; /* of the options it was made with */
	bool told_plain;
	bool told_fresh;
	bool listening; /* libcurl is verbose: http/refusal.c */
	long told_upload_ms;

	/* the request */
	const WaTransferOptions *options;
	WaHttpHeaders *headers;
	WaHttpUrl *url;				 /* or NULL: an address that is used once */
	char *own_url;				 /* that one */
	struct curl_slist *list;	 /* its headers; belongs to "headers" or is own_list */
	struct curl_slist *own_list; /* for an unusual content type, or a line more */
	WaBuffer body;
	bool has_body;	/* a POST */
	bool is_plain;	/* http, not https */
	bool at_once;	/* the body goes out together with the headers */
	long upload_ms; /* that the body of an upload may take besides */

	/* how far it has come */
	bool looked_up;	   /* its name had to be looked up */
	bool no_lookup;	   /* ... and was not: too many lookups have no answer */
	bool begun;		   /* libcurl may have sent something */
	bool moved;		   /* from one session to another, before that */
	bool stale;		   /* it was about to, but the peer had closed the connection */
	bool restarted;	   /* because of that, once */
	bool repeated;	   /* libcurl wanted to begin it a second time */
	WaStream stream;   /* over HTTP/2 */
	size_t body_taken; /* if not at_once: by read_body */

	WaHttpResponse response;
	char error[CURL_ERROR_SIZE];
} WaTransfer;

/* What callbacks have noticed, until http/step.c has seen to it. */
typedef struct WaTransferNotices
{
	bool over;		/* some request may be over that libcurl keeps */
	bool connected; /* a connection has become ready */
} WaTransferNotices;

/* What every transfer of a WaHttp has in common; outlives them. */
struct WaTransferOptions
{
	const WaHttpConfig *config;
	unsigned int generation;	   /* another one: config has changed */
	const struct WaPoller *poller; /* knows connections that the peer has closed */
	WaHttpUrls *urls;
	WaBegunList *begun;
	WaConnections *connections;
	WaLookups *lookups;
	WaTransferNotices *notices;
	curl_opensocket_callback open_socket;
	curl_closesocket_callback close_socket;
	void *socket_arg;
};

/* NULL if out of memory. */
extern WaTransfer *wa_transfer_create(const WaTransferOptions *options);

/*
 * Gives a request that is prepared, and that libcurl does not have, a handle by the
 * options as they are now.  False: out of memory, and it can only be finished.
 */
extern bool wa_transfer_renew(WaTransfer *t);

/* libcurl must not have it any more.  Safe on NULL and on half-built ones. */
extern void wa_transfer_destroy(WaTransfer *t);

/* False if out of memory or if url, content_type or line cannot be sent. */
extern bool wa_transfer_prepare(WaTransfer *t, const char *url, const char *body, size_t body_len,
								const char *content_type, const char *line, WaHttpHeaders *headers);

/* Whether the peer has said that it did not look at the request: http/refusal.c. */
extern bool wa_transfer_is_refused(const WaTransfer *t);

/* Whether nothing can come of it any more, though libcurl still has it: http/refusal.c. */
extern bool wa_transfer_is_over(const WaTransfer *t);

/*
 * To be called when libcurl does not have it any more: the thread that looks up its
 * name may have been left to itself (http/lookup.c).
 */
extern void wa_transfer_note_lookup(const WaTransfer *t);

/*
 * Whether an ended request may be begun again: the peer has certainly not taken it.
 * And makes it ready for that; false: out of memory, and it can only be finished.
 */
extern bool wa_transfer_may_again(const WaTransfer *t);
extern bool wa_transfer_again(WaTransfer *t, bool fresh);

/* Fills in the result.  reason, if not NULL, replaces libcurl's words. */
extern void wa_transfer_finish(WaTransfer *t, CURLcode code, const char *reason);

/* Lets go of what only this request needed. */
extern void wa_transfer_reset(WaTransfer *t);

#endif
