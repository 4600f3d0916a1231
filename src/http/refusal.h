/*
 * refusal.h
 *	  Requests that an HTTP/2 server says it has not looked at.
 *
 * Internal to the http files.
 */
#ifndef WA_HTTP_REFUSAL_H
#define WA_HTTP_REFUSAL_H

#include <curl/curl.h>
#include <stdbool.h>

struct WaPoller;

/* Where a request was begun.  Zeroed: nowhere. */
typedef struct WaStream
{
	struct WaStream *next;
	struct WaStream *prev;
	struct WaStreams *streams; /* the list that it is in; NULL: none */
	char connection[128];	   /* both addresses and ports */
	int closings;			   /* sockets closed until then: wa_poller_closings() */
	unsigned int id;		   /* 0: not known */
	bool refused;			   /* the peer has said that it did not look at the request */
} WaStream;

/* Those that are open. */
typedef struct WaStreams
{
	WaStream *head;
	const struct WaPoller *poller;
} WaStreams;

/* In CURLOPT_PREREQFUNCTION, whose arguments the last four are. */
extern void wa_stream_begun(WaStreams *streams, WaStream *stream, const char *remote_ip,
							const char *local_ip, int remote_port, int local_port);

/* What was heard of it stays. */
extern void wa_stream_ended(WaStream *stream);

/*
 * For CURLOPT_DEBUGFUNCTION; arg is the WaStream.  libcurl calls it: it MUST NOT call
 * libcurl.
 */
extern int wa_stream_heard(CURL *easy, curl_infotype type, char *text, size_t len, void *arg);

#endif
