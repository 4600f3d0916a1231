/*
 * framing_rules.h
 *	  Is it certain where this request ends?  Else it is refused.
 *
 * A proxy and a gateway that disagree about the length of a request let a client
 * hide a second one in its body: that is request smuggling.  So what RFC 9112
 * lets a server mend is refused here, and the connection closes.
 *
 * Chunked bodies are refused, too, with 411, as RFC 9112 allows (6.3): libmicrohttpd
 * 0.9.75 takes LF alone for the end of a chunk's line, and tells nobody.  Nobody who
 * calls us needs them: Meta and browsers send a length, nginx adds one, and so does
 * every proxy that reads bodies before it passes them on.
 *
 * What the library answers by itself is not seen here: 400, 413, 414, 431 or 505
 * for what is not a request at all, or has more of a head than the library has
 * memory for a connection.  It closes the connection, too.
 */
#ifndef GW_FRAMING_RULES_H
#define GW_FRAMING_RULES_H

#include <stdbool.h>
#include <stddef.h>

#define GW_FRAMING_MAX_METHOD 24 /* no method of HTTP is longer */
#define GW_FRAMING_MAX_HEADERS 100
#define GW_FRAMING_MAX_BYTES 16384 /* of their names and values */

typedef struct GwFraming
{
	int status;			/* to refuse it with; 0: nothing is wrong so far */
	const char *reason; /* why; constant */
	const char *host;	/* the caller's text, or NULL */
	bool http_1_0;
	bool coded; /* has Transfer-Encoding */
	bool has_length;
	int headers;
	size_t bytes;
	unsigned int seen; /* of the headers that may come once */
} GwFraming;

/*
 * First the request line, then each header, then the end.  The first thing that
 * is wrong is the one that is reported.
 */
extern void gw_framing_begin(GwFraming *framing, const char *method, const char *version);
extern void gw_framing_header(GwFraming *framing, const char *name, const char *value);
extern void gw_framing_end(GwFraming *framing);

#endif
