/*
 * cookie.c
 *	  Cookies that are set.
 */
#include "bin/gateway/cookie.h"

#include <stdio.h>
#include <string.h>

#include "bin/gateway/credentials.h"
#include "bin/gateway/origin.h"
#include "bin/gateway/settings.h"

/* Behind a proxy, what the browser uses is not known here, but it is TLS or a mistake. */
static bool
is_plain(const GwExchange *exchange)
{
	return gw_settings->tls_cert[0] == '\0' &&
		   httpd_connection_is_loopback(exchange->http.connection) &&
		   gw_host_is_loopback(httpd_request_header(&exchange->http, "Host"));
}

void
gw_cookie_set(GwExchange *exchange, const char *name, const char *value, int seconds)
{
	char text[GW_CREDENTIAL_MAX + 128];

	snprintf(text, sizeof(text), "%s=%s; Path=/; Max-Age=%d; HttpOnly; SameSite=Strict%s", name,
			 value, seconds, is_plain(exchange) ? "" : "; Secure");
	httpd_reply_header(&exchange->http.reply, "Set-Cookie", text);
	explicit_bzero(text, sizeof(text));
}

void
gw_cookie_clear(GwExchange *exchange, const char *name)
{
	gw_cookie_set(exchange, name, "", 0);
}
