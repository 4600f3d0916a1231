/*
 * body.c
 *	  How much of a request's body is kept, and whose.
 */
#include "bin/gateway/body.h"

#include "bin/gateway/problem.h"
#include "bin/httpd/list.h"
#include "bin/httpd/util.h"

/* The API's bodies are settings and filters; a longer one is a mistake. */
#define MAX_API_BODY ((size_t) 256 * 1024)

/*
 * Of all requests together.  Beyond it, one that is not done has to go, or whoever
 * begins bodies and does not finish them would be in the way of webhooks: of the large
 * ones the one that has sent most, and else the one that began first.  Webhooks are short
 * as a rule, and done in a moment.
 */
#define MAX_ALL_BODIES ((size_t) 12 * 1024 * 1024)
#define LARGE_BODY ((size_t) 64 * 1024)

/* Of a refused request: what longer ones lose is the text of the refusal. */
#define MAX_REFUSED_BODY (64 * 1024)

static size_t all_bodies;

/* Requests that have sent some of their body and not all of it, the oldest last. */
static HttpdLink unfinished = HTTPD_LIST_EMPTY(unfinished);
static HttpdLink large = HTTPD_LIST_EMPTY(large); /* those of them with a large one */

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

static void
take_from_lists(GwExchange *exchange)
{
	httpd_list_remove(&exchange->unfinished_body);
	httpd_list_remove(&exchange->large_body);
}

void
gw_body_forget(GwExchange *exchange)
{
	take_from_lists(exchange);
	all_bodies -= exchange->buffered;
	exchange->buffered = 0;
}

/* Whom to cut off; some body is unfinished. */
static GwExchange *
most_in_the_way(void)
{
	GwExchange *most = NULL;

	for (HttpdLink *link = large.next; link != &large; link = link->next)
	{
		GwExchange *other = HTTPD_ELEMENT(GwExchange, large_body, link);

		if (most == NULL || other->buffered > most->buffered)
			most = other;
	}
	return most != NULL ? most : HTTPD_ELEMENT(GwExchange, unfinished_body, unfinished.prev);
}

/* Its memory at once: it takes a while until it is over, and others come meanwhile. */
static void
cut_off(GwExchange *exchange)
{
	gw_body_forget(exchange);
	httpd_buf_free(&exchange->http.body);
	httpd_request_abort(&exchange->http, false);
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
	if (exchange->buffered == 0)
		httpd_list_push(&unfinished, &exchange->unfinished_body);
	exchange->buffered += len;
	all_bodies += len;
	if (exchange->buffered > LARGE_BODY && exchange->large_body.next == NULL)
		httpd_list_push(&large, &exchange->large_body);
	while (all_bodies > MAX_ALL_BODIES && !httpd_list_is_empty(&unfinished))
		cut_off(most_in_the_way());
}

void
gw_body_is_whole(GwExchange *exchange)
{
	take_from_lists(exchange);
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
