/*
 * media.c
 *	  A file that a customer has sent: to whoever may see it, piece by piece.
 *
 * The database gives a piece at a time, and the next one when the client has taken
 * this one: a file of 100 MB costs PIECE bytes here, and a slow client no connection
 * to the database.  Each piece is asked for as the first one was, by whoever asks: a
 * link that is revoked and a file that is erased end at the next piece.
 *
 * Type and name are SQL's, which knows whom to trust (89-gateway-media.sql).  Here is
 * what keeps a file from being anything but a file: it is not guessed at (nosniff, as
 * everything of ours), not embedded by other sites, and if a browser shows it as a
 * page, that page runs nothing and is in no site.
 */
#include "bin/gateway/media.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/gateway/api.h"
#include "bin/gateway/byte_range.h"
#include "bin/gateway/disposition.h"
#include "bin/gateway/negotiate.h"
#include "bin/gateway/problem.h"
#include "bin/httpd/util.h"

/* Text of twice its length comes from the database; 128 kB are sent in one go by a fast one. */
#define PIECE (128 * 1024)

/* What one call of produce may take. */
#define BLOCK (32 * 1024)

/* media-src and img-src: browsers show a film or a picture as a page that contains it. */
#define POLICY                                                                                     \
	"sandbox; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; "   \
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

struct GwMedia
{
	bool is_ranged;
	GwByteRange range;
	char *type; /* of the reply, which does not own it */
	char etag[70];
	int64_t from;		  /* in the file, where the body begins */
	int64_t length;		  /* of the body */
	unsigned char *piece; /* PQfreemem()'s */
	size_t piece_at;	  /* in the body */
	size_t piece_len;
};

/*
 * A piece
 */

/* False: the result has none. */
static bool
take_piece(GwMedia *media, const PGresult *result, size_t at)
{
	PQfreemem(media->piece);
	media->piece = NULL;
	media->piece_at = at;
	media->piece_len = 0;
	if (!PQgetisnull(result, 0, GW_API_PIECE))
		media->piece = PQunescapeBytea((const unsigned char *) PQgetvalue(result, 0, GW_API_PIECE),
									   &media->piece_len);
	return media->piece_len > 0;
}

/* As long as the status is 200, it is of the same file: a message's does not change. */
static bool
has_piece(const PGresult *result)
{
	return result != NULL && PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1 &&
		   atoi(PQgetvalue(result, 0, GW_API_STATUS)) == 200;
}

/*
 * If there is none, the client gets less than it was promised, and sees that: who
 * still may can ask for the rest by its range.
 */
static void
next_came(void *arg, PGresult *result)
{
	GwExchange *exchange = arg;
	GwMedia *media = exchange->media;

	exchange->query = NULL;
	if (has_piece(result) &&
		take_piece(media, result, (size_t) (exchange->piece_from - media->from)))
		httpd_request_go_on(&exchange->http);
	else
		httpd_request_abort(&exchange->http, false);
}

static void
ask_for(GwExchange *exchange, size_t pos)
{
	const GwMedia *media = exchange->media;
	int64_t rest = media->length - (int64_t) pos;

	exchange->piece_from = media->from + (int64_t) pos;
	exchange->piece_bytes = rest < PIECE ? (int) rest : PIECE;
	exchange->query = gw_api_query(exchange, next_came);
}

/* The time a client has is for each piece, not for a file of whatever size. */
static ssize_t
produce(HttpdRequest *http, size_t pos, char *out, size_t max)
{
	GwExchange *exchange = (GwExchange *) http;
	GwMedia *media = exchange->media;
	size_t at = pos - media->piece_at;

	if (pos >= media->piece_at && at < media->piece_len)
	{
		size_t len = media->piece_len - at;

		if (len > max)
			len = max;
		if ((int64_t) (pos + len) > media->length)
			len = (size_t) media->length - pos;
		memcpy(out, media->piece + at, len);
		return (ssize_t) len;
	}
	ask_for(exchange, pos);
	if (exchange->query == NULL)
	{
		httpd_request_abort(http, false);
		return -1;
	}
	httpd_connection_start_deadline(http->connection);
	httpd_request_hold(http);
	return 0;
}

/*
 * The reply
 */

static void
add_headers(GwExchange *exchange, json_t *body)
{
	HttpdReply *reply = &exchange->http.reply;
	const char *shown_as = json_string_value(json_object_get(body, "shown_as"));
	const char *filename = json_string_value(json_object_get(body, "filename"));
	HttpdBuf disposition = {0};

	gw_disposition(&disposition, shown_as != NULL && strcmp(shown_as, "file") != 0,
				   filename != NULL ? filename : "whatsapp");
	httpd_reply_header(reply, "Content-Disposition", disposition.data);
	httpd_buf_free(&disposition);
	httpd_reply_header(reply, "ETag", exchange->media->etag);
	httpd_reply_header(reply, "Accept-Ranges", "bytes");
	/* Kept by the browser alone, which asks each time whether it may still show it. */
	httpd_reply_header(reply, "Cache-Control", "private, no-cache");
	httpd_reply_header(reply, "Content-Security-Policy", POLICY);
	httpd_reply_header(reply, "Cross-Origin-Resource-Policy", "same-origin");
}

/* A part of what the client has of another version would be of no use to it. */
static bool
is_part_wanted(const GwExchange *exchange)
{
	const char *if_range = httpd_request_header(&exchange->http, "If-Range");

	return exchange->media->is_ranged &&
		   (if_range == NULL || strcmp(if_range, exchange->media->etag) == 0);
}

static void
add_content_range(GwExchange *exchange, int64_t size)
{
	const GwMedia *media = exchange->media;
	char text[80];

	if (media->length > 0)
		snprintf(text, sizeof(text), "bytes %lld-%lld/%lld", (long long) media->from,
				 (long long) (media->from + media->length - 1), (long long) size);
	else
		snprintf(text, sizeof(text), "bytes */%lld", (long long) size);
	httpd_reply_header(&exchange->http.reply, "Content-Range", text);
}

/* The status; a part that is not there is 416. */
static int
choose_part(GwExchange *exchange, int64_t size)
{
	GwMedia *media = exchange->media;

	media->length = size;
	if (gw_etag_matches(httpd_request_header(&exchange->http, "If-None-Match"), media->etag) ||
		!is_part_wanted(exchange))
		return 200;
	if (gw_byte_range_apply(&media->range, size, &media->from, &media->length))
		return 206;
	media->length = 0;
	return 416;
}

static void
send_file(GwExchange *exchange, int status)
{
	HttpdReply *reply = &exchange->http.reply;

	httpd_reply_text(reply, status, exchange->media->type, "");
	if (exchange->media->length == 0)
		return;
	reply->length = (size_t) exchange->media->length;
	reply->block = BLOCK;
	reply->produce = produce;
}

void
gw_media_fill(GwExchange *exchange, const PGresult *result)
{
	GwMedia *media = exchange->media;
	json_t *body = json_loads(PQgetvalue(result, 0, GW_API_BODY), 0, NULL);
	const char *type = json_string_value(json_object_get(body, "mime_type"));
	const char *hash = json_string_value(json_object_get(body, "sha256"));
	int64_t size = json_integer_value(json_object_get(body, "size"));
	int64_t came_from = json_integer_value(json_object_get(body, "from_byte"));
	int status;

	snprintf(media->etag, sizeof(media->etag), "\"%s\"", hash != NULL ? hash : "");
	media->type = httpd_strdup(type != NULL ? type : "application/octet-stream");
	status = choose_part(exchange, size);
	/* What was read ahead is of use if the body begins there. */
	if (came_from == media->from)
		take_piece(media, result, 0);
	if (status == 416)
		gw_problem_field(exchange, status, "Range", "The file has %lld bytes.", (long long) size);
	else
	{
		send_file(exchange, status);
		add_headers(exchange, body);
	}
	if (status != 200)
		add_content_range(exchange, size);
	json_decref(body);
}

/* HEAD knows no ranges, and wants no bytes. */
void
gw_media_handle(GwExchange *exchange)
{
	GwMedia *media = httpd_alloc0(sizeof(GwMedia));

	exchange->media = media;
	if (!exchange->head)
	{
		media->is_ranged =
			gw_byte_range_read(httpd_request_header(&exchange->http, "Range"), &media->range);
		exchange->piece_from = media->is_ranged ? media->range.first : 0;
		exchange->piece_bytes = PIECE;
	}
	gw_api_handle(exchange);
}

void
gw_media_forget(GwExchange *exchange)
{
	if (exchange->media == NULL)
		return;
	PQfreemem(exchange->media->piece);
	free(exchange->media->type);
	free(exchange->media);
}
