/*
 * respond.c
 *	  The last touch to a reply: what every response has in common.
 */
#include "bin/gateway/respond.h"

#include <gnutls/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bin/gateway/gzip.h"
#include "bin/gateway/negotiate.h"
#include "bin/httpd/util.h"

/*
 * Headers
 */

static char **
find_header(HttpdReply *reply, const char *name)
{
	for (int i = 0; i < reply->nheaders; i++)
	{
		if (strcasecmp(reply->headers[i].name, name) == 0)
			return &reply->headers[i].value;
	}
	return NULL;
}

void
gw_respond_header(GwExchange *exchange, const char *name, const char *value)
{
	if (find_header(&exchange->http.reply, name) == NULL)
		httpd_reply_header(&exchange->http.reply, name, value);
}

void
gw_respond_vary(GwExchange *exchange, const char *name)
{
	char **vary = find_header(&exchange->http.reply, "Vary");
	HttpdBuf both = {0};

	if (vary == NULL)
	{
		httpd_reply_header(&exchange->http.reply, "Vary", name);
		return;
	}
	httpd_buf_printf(&both, "%s, %s", *vary, name);
	free(*vary);
	*vary = both.data;
}

/*
 * Nothing that we send is to be guessed at, framed, kept, or told on.  A page has
 * said otherwise, as far as it needs to, before this.
 */
static void
add_common_headers(GwExchange *exchange)
{
	gw_respond_header(exchange, "X-Request-Id", exchange->request_id);
	gw_respond_header(exchange, "X-Content-Type-Options", "nosniff");
	gw_respond_header(exchange, "Referrer-Policy", "no-referrer");
	gw_respond_header(exchange, "Cache-Control", "no-store");
	gw_respond_header(exchange, "Content-Security-Policy",
					  "default-src 'none'; frame-ancestors 'none'");
}

/*
 * Entity tags
 */

void
gw_etag(const void *data, size_t len, char *out)
{
	unsigned char digest[32];
	char *p = out;

	if (gnutls_hash_fast(GNUTLS_DIG_SHA256, data, len, digest) != 0)
		httpd_die("could not compute a hash");
	p += snprintf(p, 4, "W/\"");
	for (int i = 0; i < 16; i++)
		p += snprintf(p, 3, "%02x", digest[i]);
	snprintf(p, 2, "\"");
}

/* A weak one, so that it is the same for the compressed body. */
static void
add_etag(GwExchange *exchange)
{
	HttpdReply *reply = &exchange->http.reply;
	char etag[GW_ETAG_SIZE];
	char **present = find_header(reply, "ETag");

	if (present == NULL)
	{
		gw_etag(reply->body.data != NULL ? reply->body.data : "", reply->body.len, etag);
		httpd_reply_header(reply, "ETag", etag);
		present = find_header(reply, "ETag");
	}
	if (!gw_etag_matches(httpd_request_header(&exchange->http, "If-None-Match"), *present))
		return;
	reply->status = 304;
	reply->content_type = NULL;
	reply->produce = NULL;
	httpd_buf_free(&reply->body);
}

/*
 * Compression
 */

static void
compress_body(GwExchange *exchange)
{
	HttpdReply *reply = &exchange->http.reply;
	HttpdBuf compressed = {0};

	if (reply->body.len == 0 || reply->produce != NULL ||
		find_header(reply, "Content-Encoding") != NULL)
		return;
	if (gw_accepts_gzip(httpd_request_header(&exchange->http, "Accept-Encoding")) &&
		gw_gzip(reply->body.data, reply->body.len, GW_QUICKLY, &compressed))
	{
		httpd_buf_free(&reply->body);
		reply->body = compressed;
		httpd_reply_header(reply, "Content-Encoding", "gzip");
	}
	gw_respond_vary(exchange, "Accept-Encoding");
}

void
gw_respond(GwExchange *exchange)
{
	HttpdReply *reply = &exchange->http.reply;

	if (reply->status == 200 && gw_exchange_reads(exchange) &&
		exchange->route->side == GW_SIDE_ADMIN)
		add_etag(exchange);
	if (exchange->route == NULL || exchange->route->side != GW_SIDE_WEBHOOK)
		compress_body(exchange);
	add_common_headers(exchange);
}

void
gw_respond_deferred(GwExchange *exchange)
{
	gw_respond(exchange);
	httpd_request_finish(&exchange->http);
}
