/*
 * refusal.h
 *	  Requests that an HTTP/2 server says it has not looked at.
 *
 * Internal to the http files.
 */
#ifndef WA_HTTP_REFUSAL_H
#define WA_HTTP_REFUSAL_H

#include <stdbool.h>
#include <stddef.h>

#include "http/connections.h"

/* Where a request was begun.  Zeroed: nowhere. */
typedef struct WaStream
{
	WaConnection *connection; /* held; NULL: not known which */
	unsigned int id;
	bool told;	  /* the id, by libcurl */
	bool proved;  /* it has certainly been opened */
	bool deaf;	  /* what libcurl says may be about another connection */
	bool left;	  /* libcurl has given the connection up, and looks for another */
	bool refused; /* the peer has said that it did not look at the request */
} WaStream;

/* Whether this libcurl numbers streams in a way that can be counted. */
extern bool wa_streams_can_be_counted(void);

/*
 * A request is about to begin on this connection (NULL: it is not known which); and
 * libcurl has asked for its body.  From within callbacks.
 */
extern void wa_stream_begun(WaStream *stream, WaConnection *connection);
extern void wa_stream_proved(WaStream *stream);

/* The request has ended, with a response or without.  What was heard of it stays. */
extern void wa_stream_ended(WaStream *stream, bool answered);

extern bool wa_stream_is_refused(const WaStream *stream);

/* Whether the server takes no more requests on the connection that it is on. */
extern bool wa_stream_is_among_the_last(const WaStream *stream);

/*
 * Whether nothing can come of a request any more that has not ended: libcurl has given
 * it up and would begin it again, or nobody will answer it.
 */
extern bool wa_stream_is_over(const WaStream *stream);

/*
 * What libcurl says of the request, once the last byte of its body has been handed out.
 * True: some request may be over now, this one or another.
 */
extern bool wa_stream_heard(WaStream *stream, const char *text, size_t len);

#endif
