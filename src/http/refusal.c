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
 *	GOAWAY		7.88 and later
 *	RST_STREAM	8.20 and later; before, only if no other request had used the
 *				connection, since otherwise libcurl takes it for a dead one
 *
 * To be verbose costs a tenth of a request, most of it for its headers.  So libcurl
 * is asked to be only from the last byte of the body on: nothing that matters comes
 * before, as the peer cannot act on a request without it.
 *
 * Before 8.7 the number of the stream is said too early, then.  It is counted: the
 * streams of a client are 1, 3, 5 ... (RFC 9113, section 5.1.1) in the order of the
 * headers, and nothing comes between CURLOPT_PREREQFUNCTION and the headers of the same
 * request (MSTATE_DO of libcurl's multi.c).  An estimate that is too high would be a
 * message sent twice; so a request counts only if it has certainly opened a stream:
 * its body was asked for, which comes after its headers, or it was answered.  While
 * that is open for one, and for ever if it ends without, all others on its connection
 * are in doubt.  From 8.7 on the body comes first, so libcurl says the number in time.
 *
 * A GOAWAY is that of a request's own connection as long as libcurl has not given up
 * that connection and looks for another, of which it may hear the same.  It says so, in
 * words that may change: so after anything but a few harmless ones nothing is
 * believed any more that is heard through that request.
 *
 * To repeat a request libcurl first needs a connection.  Before 8.7 it sees at once that
 * the body cannot be had again, and the request ends.  Since then it finds out when the
 * connection is there; and while the old one has a stream left, there may be no other:
 * the request would wait in libcurl until its time is over.  So it is taken from libcurl
 * as soon as it says that it goes back, which it does in the same words in 7.88 to 8.22;
 * or as soon as a GOAWAY says that nobody will answer it.
 *
 * Nothing of what is heard is kept or passed on: among it are headers with tokens.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "http/refusal.h"

/* What libcurl may say of a request while it stays where it is. */
static const char *const harmless[] = {
	"We are completely uploaded and fine",
	"Request completely sent off",
	"upload completely sent off",
	"Connection state changed (MAX_CONCURRENT_STREAMS",
	"TLSv1.",
	"old SSL session ID is stale",
	"[HTTP/2] [",
};

/* What it says when it begins a request again by itself. */
static const char *const going_back[] = {
	"Connection died, retrying a fresh connect",
	"Downgrades to HTTP/1.1",
};

bool
wa_streams_can_be_counted(void)
{
	return curl_version_info(CURLVERSION_NOW)->version_num < 0x080700;
}

void
wa_stream_begun(WaStream *stream, WaConnection *connection)
{
	wa_stream_ended(stream, false);
	memset(stream, 0, sizeof(*stream));
	if (connection == NULL)
		return;
	wa_connection_hold(connection);
	stream->connection = connection;
	stream->id = 2 * connection->begun++ + 1;
	connection->unproved++;
}

void
wa_stream_proved(WaStream *stream)
{
	if (stream->connection == NULL || stream->proved)
		return;
	stream->proved = true;
	stream->connection->unproved--;
}

/*
 * Asked when it ends, and not when something is heard: those that were begun before,
 * and failed at once, have been noted by then.
 */
bool
wa_stream_is_refused(const WaStream *stream)
{
	const WaConnection *c = stream->connection;

	if (stream->refused || c == NULL)
		return stream->refused;
	return c->gone_away && stream->id > c->last &&
		   (stream->told || (!c->uncounted && c->unproved == 0));
}

bool
wa_stream_is_among_the_last(const WaStream *stream)
{
	return stream->connection != NULL && stream->connection->gone_away;
}

/*
 * Counted numbers do not suffice: that a request has not ended yet may be the reason why
 * another's number is certain.  libcurl before 8.7 ends these by itself.
 */
bool
wa_stream_is_over(const WaStream *stream)
{
	return stream->left || (stream->told && wa_stream_is_refused(stream));
}

void
wa_stream_ended(WaStream *stream, bool answered)
{
	WaConnection *connection = stream->connection;

	if (connection == NULL)
		return;
	stream->refused = wa_stream_is_refused(stream);
	if (!stream->proved && !answered)
		connection->uncounted = true;
	wa_stream_proved(stream);
	stream->connection = NULL;
	wa_connection_release(connection);
}

static bool
begins_with(const char *line, const char *text)
{
	return strncmp(line, text, strlen(text)) == 0;
}

static bool
is_one_of(const char *line, const char *const *texts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (begins_with(line, texts[i]))
			return true;
	return false;
}

#define IS_ONE_OF(line, texts) is_one_of((line), (texts), sizeof(texts) / sizeof((texts)[0]))

/* "[HTTP/2] [5] OPENED stream for ...": from 8.1 on. */
static void
note_number(WaStream *stream, const char *line)
{
	unsigned int number;
	int end = 0;

	if (sscanf(line, "[HTTP/2] [%u] OPENED stream for%n", &number, &end) != 1 || end == 0)
		return;
	stream->id = number;
	stream->told = true;
}

/* It will answer none above the last.  libcurl hears of it before it closes these. */
static bool
note_goaway(const WaStream *stream, const char *line)
{
	unsigned int last;

	if (stream->connection == NULL || stream->deaf)
		return false;
	if (sscanf(line, "received GOAWAY, error=%*u, last_stream=%u", &last) != 1 &&
		sscanf(line, "recveived GOAWAY, error=%*u, last_stream=%u", &last) != 1)
		return false;
	stream->connection->gone_away = true;
	stream->connection->last = last;
	return true;
}

/* Called several times for a request, hence the cheap tests first. */
bool
wa_stream_heard(WaStream *stream, const char *text, size_t len)
{
	char line[80]; /* what is looked for stands at the beginning */

	if (len > sizeof(line) - 1)
		len = sizeof(line) - 1;
	memcpy(line, text, len);
	line[len] = '\0';

	if (begins_with(line, "rec"))
		return note_goaway(stream, line);
	if (begins_with(line, "REFUSED_STREAM, retrying") ||
		(begins_with(line, "HTTP/2 stream ") && strstr(line, " refused by server") != NULL))
		stream->refused = true;
	else if (begins_with(line, "[HTTP/2] ["))
		note_number(stream, line);
	else if (!IS_ONE_OF(line, harmless))
	{
		stream->deaf = true;
		stream->left |= IS_ONE_OF(line, going_back);
	}
	return wa_stream_is_over(stream);
}
