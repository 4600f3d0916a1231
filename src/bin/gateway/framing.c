/*
 * framing.c
 *	  Requests whose end is a matter of opinion.
 *
 * libmicrohttpd 0.9.75 takes what other servers take differently, so a proxy in
 * front could be made to see one request where we see two.
 */
#include "bin/gateway/framing.h"

#include <string.h>
#include <strings.h>

#include "bin/gateway/problem.h"

typedef struct Seen
{
	int lengths;
	int encodings;
	bool strange;
} Seen;

static enum MHD_Result
look(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
	Seen *seen = cls;
	size_t length = strcspn(name, " \t");

	if (length == strlen("Content-Length") && strncasecmp(name, "Content-Length", length) == 0)
		seen->lengths++;
	if (length == strlen("Transfer-Encoding") &&
		strncasecmp(name, "Transfer-Encoding", length) == 0)
		seen->encodings++;
	if (name[length] != '\0')
		seen->strange = true;
	return MHD_YES;
}

bool
gw_framing_check(GwExchange *exchange)
{
	Seen seen = {0};

	MHD_get_connection_values(exchange->http.connection->mhd, MHD_HEADER_KIND, look, &seen);
	if (seen.strange || seen.lengths > 1 || seen.encodings > 1 ||
		(seen.lengths > 0 && seen.encodings > 0))
		gw_problem(exchange, 400, "The headers leave it open where the request ends.");
	else if (seen.encodings > 0)
		gw_problem(exchange, 411, "Send the length of the body with Content-Length.");
	return exchange->http.reply.status == 0;
}
