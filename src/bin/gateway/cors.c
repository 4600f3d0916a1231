/*
 * cors.c
 *	  Pages of other sites that may call the API.
 *
 * They bring their token themselves: cookies are never allowed, so being logged
 * in here gives another site nothing.
 */
#include "bin/gateway/cors.h"

#include <string.h>

#include "bin/gateway/respond.h"
#include "bin/gateway/settings.h"
#include "bin/httpd/util.h"

#define HOST_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:[]"

/* scheme://host[:port], as a browser sends it in Origin. */
static bool
is_origin(const char *text)
{
	const char *host = strstr(text, "://");

	if (host == NULL || (strncmp(text, "https:", 6) != 0 && strncmp(text, "http:", 5) != 0))
		return false;
	host += strlen("://");
	return *host != '\0' && host[strspn(host, HOST_CHARACTERS)] == '\0';
}

static void
check_list(const char *option, const GwTextList *list)
{
	for (int i = 0; i < list->n; i++)
	{
		if (!is_origin(list->items[i]))
			httpd_die("%s: \"%s\" is not an origin, http[s]://host[:port]", option, list->items[i]);
	}
}

void
gw_cors_check_settings(void)
{
	check_list("--allow-origin", &gw_settings->allow_origin);
	check_list("--frame-ancestors", &gw_settings->frame_ancestors);
}

bool
gw_cors_allows(const char *origin)
{
	const GwTextList *list = &gw_settings->allow_origin;

	for (int i = 0; i < list->n; i++)
	{
		if (strcmp(list->items[i], origin) == 0)
			return true;
	}
	return false;
}

void
gw_cors_headers(GwExchange *exchange)
{
	const char *origin = httpd_request_header(&exchange->http, "Origin");

	if (gw_settings->allow_origin.n == 0)
		return;
	gw_respond_vary(exchange, "Origin");
	if (origin == NULL || !gw_cors_allows(origin))
		return;
	httpd_reply_header(&exchange->http.reply, "Access-Control-Allow-Origin", origin);
	httpd_reply_header(&exchange->http.reply, "Access-Control-Expose-Headers",
					   "Content-Disposition, Content-Range, ETag, Link, Retry-After, "
					   "X-Request-Id, X-Total-Count");
}

void
gw_cors_options(GwExchange *exchange, const char *methods)
{
	HttpdReply *reply = &exchange->http.reply;
	const char *origin = httpd_request_header(&exchange->http, "Origin");

	httpd_reply_text(reply, 204, NULL, "");
	httpd_reply_header(reply, "Allow", methods);
	if (origin == NULL || !gw_cors_allows(origin) ||
		httpd_request_header(&exchange->http, "Access-Control-Request-Method") == NULL)
		return;
	httpd_reply_header(reply, "Access-Control-Allow-Methods", methods);
	httpd_reply_header(reply, "Access-Control-Allow-Headers",
					   "Authorization, Content-Type, Idempotency-Key, If-None-Match, X-Request-Id");
	httpd_reply_header(reply, "Access-Control-Max-Age", "600");
}
