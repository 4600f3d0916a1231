/*
 * body.c
 *	  How much of a request's body is kept, and whose.
 */
#include "bin/gateway/body.h"

#include "bin/gateway/problem.h"
#include "bin/httpd/util.h"

/* The API's bodies are settings and filters; a longer one is a mistake. */
#define MAX_API_BODY ((size_t) 256 * 1024)

/* Of all requests together: beyond it the one that wants more has to go. */
#define MAX_ALL_BODIES ((size_t) 12 * 1024 * 1024)

/* Of a refused request: what longer ones lose is the text of the refusal. */
#define MAX_REFUSED_BODY (64 * 1024)

static size_t all_bodies;

/* -1: the header is not there. */
static int64_t
content_length(const GwExchange *exchange)
{
	const char *text = httpd_request_header(&exchange->http, "Content-Length");
	int64_t length = -1;

	if (text != NULL)
		httpd_parse_int(text, 0, INT64_MAX, &length);
	return length;
}

static size_t
longest(const GwExchange *exchange)
{
	return (exchange->route->flags & GW_TAKES_RAW_BODY) ? GW_MAX_BODY : MAX_API_BODY;
}

void
gw_body_too_large(GwExchange *exchange)
{
	gw_problem(exchange, 413, "The body may have %zu bytes.", longest(exchange));
}

bool
gw_body_check_length(GwExchange *exchange)
{
	if (content_length(exchange) <= (int64_t) longest(exchange))
		return true;
	gw_body_too_large(exchange);
	return false;
}

void
gw_body_count(GwExchange *exchange, size_t len)
{
	HttpdBuf *body = &exchange->http.body;

	if (exchange->held_status != 0)
	{
		body->len = 0;
		return;
	}
	exchange->buffered += len;
	all_bodies += len;
	if (all_bodies > MAX_ALL_BODIES)
		httpd_request_abort(&exchange->http, false);
}

void
gw_body_forget(GwExchange *exchange)
{
	all_bodies -= exchange->buffered;
	exchange->buffered = 0;
}

void
gw_body_hold_refusal(GwExchange *exchange)
{
	HttpdReply *reply = &exchange->http.reply;
	int64_t length = content_length(exchange);

	/* A client that waits for 100 Continue sends nothing if it is refused. */
	if (length > MAX_REFUSED_BODY || httpd_request_header(&exchange->http, "Expect") != NULL)
		return;
	exchange->held_status = reply->status;
	reply->status = 0;
}

bool
gw_body_take_refusal(GwExchange *exchange)
{
	if (exchange->held_status == 0)
		return false;
	exchange->http.reply.status = exchange->held_status;
	return true;
}
