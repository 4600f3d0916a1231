/*
 * refusal.c
 *	  Requests that an HTTP/2 server says it has not looked at.
 *
 * A server that ends a connection in good order says which stream was the last that
 * it took (GOAWAY; RFC 9113, section 6.8).  Those above it were sent, and certainly
 * not processed: they may be sent again.  nginx does this every thousand requests.
 * The same holds for a stream that is reset with REFUSED_STREAM (section 8.7).
 *
 * libcurl has no function that tells, and its error codes do not: it repeats such a
 * request by itself, as it repeats one whose connection has died, and fails for the
 * same reason (transfer.c says why it must).  But it mentions the frames in what it
 * says when it is asked to be verbose.  Only that is taken for proof, so whatever
 * version says it in other words leaves a request in doubt:
 *
 *	GOAWAY		7.88 and later, in connection with the number of the stream
 *	RST_STREAM	8.20 and later; before, only if no other request had used the
 *				connection, since otherwise libcurl takes it for a dead one
 *
 * Nothing of what is heard is kept or passed on: among it are headers with tokens.
 */
#include <stdio.h>
#include <string.h>

#include "http/poller.h"
#include "http/refusal.h"

void
wa_stream_begun(WaStreams *streams, WaStream *stream, const char *remote_ip, const char *local_ip,
				int remote_port, int local_port)
{
	wa_stream_ended(stream);
	snprintf(stream->connection, sizeof(stream->connection), "%s %d %s %d", local_ip, local_port,
			 remote_ip, remote_port);
	stream->closings = wa_poller_closings(streams->poller);
	stream->id = 0;
	stream->refused = false;

	stream->streams = streams;
	stream->prev = NULL;
	stream->next = streams->head;
	if (streams->head != NULL)
		streams->head->prev = stream;
	streams->head = stream;
}

void
wa_stream_ended(WaStream *stream)
{
	if (stream->streams == NULL)
		return;
	if (stream->prev != NULL)
		stream->prev->next = stream->next;
	else
		stream->streams->head = stream->next;
	if (stream->next != NULL)
		stream->next->prev = stream->prev;
	stream->streams = NULL;
	stream->next = stream->prev = NULL;
}

/*
 * Whether its connection is certainly the one that it was begun on: the addresses of
 * one that was closed since may be those of another.
 */
static bool
is_where_it_began(const WaStream *stream)
{
	return stream->streams != NULL &&
		   stream->closings == wa_poller_closings(stream->streams->poller);
}

/*
 * The connection of this stream will answer none above "last".  libcurl hears of it
 * before it closes these.
 */
static void
note_goaway(WaStream *stream, unsigned int last)
{
	if (!is_where_it_began(stream))
		return;
	for (WaStream *other = stream->streams->head; other != NULL; other = other->next)
	{
		if (other->id > last && is_where_it_began(other) &&
			strcmp(other->connection, stream->connection) == 0)
			other->refused = true;
	}
}

static bool
begins_with(const char *line, const char *text)
{
	return strncmp(line, text, strlen(text)) == 0;
}

int
wa_stream_heard(CURL *easy, curl_infotype type, char *text, size_t len, void *arg)
{
	WaStream *stream = arg;
	char line[80]; /* what is looked for stands at the beginning */
	unsigned int number;

	if (type != CURLINFO_TEXT)
		return 0;
	if (len > sizeof(line) - 1)
		len = sizeof(line) - 1;
	memcpy(line, text, len);
	line[len] = '\0';

	if (sscanf(line, "Using Stream ID: %u", &number) == 1 ||
		(strstr(line, "] OPENED stream for ") != NULL &&
		 sscanf(line, "[HTTP/2] [%u]", &number) == 1))
		stream->id = number;
	else if (sscanf(line, "received GOAWAY, error=%*u, last_stream=%u", &number) == 1 ||
			 sscanf(line, "recveived GOAWAY, error=%*u, last_stream=%u", &number) == 1)
		note_goaway(stream, number);
	else if (begins_with(line, "REFUSED_STREAM, retrying") ||
			 (begins_with(line, "HTTP/2 stream ") && strstr(line, " refused by server") != NULL))
		stream->refused = true;
	return 0;
}
