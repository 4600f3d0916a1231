/*
 * auth.c
 *	  Who asks, and may he?
 */
#include "bin/gateway/auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bin/gateway/client.h"
#include "bin/gateway/credentials.h"
#include "bin/gateway/keyring.h"
#include "bin/gateway/origin.h"
#include "bin/gateway/problem.h"
#include "bin/gateway/session.h"
#include "bin/gateway/settings.h"
#include "bin/gateway/utf8.h"
#include "bin/httpd/clock.h"
#include "bin/httpd/head.h"
#include "bin/httpd/util.h"

#define MAX_USER 100

static GwRole trusted_role;

const char *
gw_auth_role_name(GwRole role)
{
	static const char *const names[] = {"nobody", "tenant", "viewer", "admin"};

	return names[role];
}

void
gw_auth_check_settings(void)
{
	const char *role = gw_settings->trusted_user_role;

	gw_client_open();
	if (strcmp(role, "admin") == 0)
		trusted_role = GW_ADMIN;
	else if (strcmp(role, "viewer") == 0)
		trusted_role = GW_VIEWER;
	else
		httpd_die("--trusted-user-role must be admin or viewer");
}

void
gw_auth_open(void)
{
	gw_login_limit_init();
	gw_keyring_open();
}

/*
 * The limit
 */

bool
gw_auth_may_try(GwExchange *exchange, GwLogin login)
{
	GwAddress client = gw_client_address(exchange);
	int wait = gw_login_limit_wait(&client, login, httpd_now_us());
	char text[16];

	if (wait == 0)
		return true;
	gw_problem(exchange, 429, "Too many attempts with what is not valid.");
	snprintf(text, sizeof(text), "%d", wait);
	httpd_reply_header(&exchange->http.reply, "Retry-After", text);
	return false;
}

void
gw_auth_failed(const GwExchange *exchange, GwLogin login)
{
	GwAddress client = gw_client_address(exchange);

	gw_login_limit_failed(&client, login, httpd_now_us());
}

static void
add_challenge(GwExchange *exchange, bool tried)
{
	httpd_reply_header(&exchange->http.reply, "WWW-Authenticate",
					   tried ? "Bearer realm=\"whatsapp_shared\", error=\"invalid_token\""
							 : "Bearer realm=\"whatsapp_shared\"");
}

void
gw_auth_link_refused(GwExchange *exchange)
{
	gw_auth_failed(exchange, GW_LOGIN_LINK);
	add_challenge(exchange, true);
}

bool
gw_auth_is_our_page(GwExchange *exchange)
{
	const HttpdRequest *http = &exchange->http;

	if (gw_origin_is_ours(httpd_request_header(http, "Origin"),
						  httpd_request_header(http, "Sec-Fetch-Site"),
						  httpd_request_header(http, "Host")))
		return true;
	gw_problem(exchange, 403, "This change does not come from a page of this gateway.");
	return false;
}

/*
 * Who it is.  Each returns false if the reply is filled in.
 */

static void
set(GwExchange *exchange, GwRole role, const char *actor)
{
	exchange->role = role;
	exchange->actor = httpd_strdup(actor);
}

static void
set_link(GwExchange *exchange, const char *key)
{
	set(exchange, GW_TENANT, "link");
	exchange->key = httpd_strdup(key);
}

static bool
takes_link(const GwRoute *route)
{
	return route->least == GW_TENANT || (route->flags & GW_TAKES_LINK) != 0;
}

/* A token that is valid is never held up.  Of a link only SQL knows whether it is. */
static bool
identify_by_token(GwExchange *exchange, const char *header)
{
	char token[GW_CREDENTIAL_MAX] = "";
	bool is_link = gw_bearer_token(header, token, sizeof(token)) &&
				   strncmp(token, GW_LINK_PREFIX, strlen(GW_LINK_PREFIX)) == 0;
	bool may = true;
	GwRole role;

	role = is_link ? GW_NOBODY : gw_keyring_role_of(token);
	if (role != GW_NOBODY)
		set(exchange, role, "token");
	else if (!gw_auth_may_try(exchange, is_link ? GW_LOGIN_LINK : GW_LOGIN_TOKEN))
		may = false;
	else if (is_link && takes_link(exchange->route))
		set_link(exchange, token);
	else
		gw_auth_failed(exchange, is_link ? GW_LOGIN_LINK : GW_LOGIN_TOKEN);
	explicit_bzero(token, sizeof(token));
	return may;
}

typedef struct TrustedUser
{
	const char *value;
	int n;
} TrustedUser;

static void
look_for_user(void *arg, const char *name, const char *value)
{
	TrustedUser *user = arg;

	if (strcasecmp(name, gw_settings->trusted_user_header) != 0)
		return;
	user->value = value;
	user->n++;
}

/* A second header of the name is one that the proxy has let through. */
static const char *
trusted_user(const GwExchange *exchange)
{
	TrustedUser user = {.n = 0};

	if (gw_settings->trusted_user_header[0] == '\0' ||
		!httpd_connection_is_loopback(exchange->http.connection))
		return NULL;
	httpd_head_visit(&exchange->http, look_for_user, &user);
	if (user.n != 1 || user.value[0] == '\0' || strlen(user.value) > MAX_USER ||
		!gw_utf8_is_text(user.value, strlen(user.value)))
		return NULL;
	return user.value;
}

static bool
identify_by_session(GwExchange *exchange, const char *cookies)
{
	char value[GW_CREDENTIAL_MAX];
	int64_t now_s = httpd_wall_us() / 1000000;

	if (!gw_cookie_value(cookies, GW_ADMIN_COOKIE, value, sizeof(value)))
		return false;
	if (gw_session_is_valid(gw_keyring_tokens(GW_ADMIN), "admin", value, now_s))
		set(exchange, GW_ADMIN, "session");
	else if (gw_session_is_valid(gw_keyring_tokens(GW_VIEWER), "viewer", value, now_s))
		set(exchange, GW_VIEWER, "session");
	return exchange->role != GW_NOBODY;
}

/* False, with 429 filled in, if this address has tried too many. */
static bool
identify_by_link_cookie(GwExchange *exchange, const char *cookies)
{
	char key[GW_CREDENTIAL_MAX];

	if (!takes_link(exchange->route) ||
		!gw_cookie_value(cookies, GW_OWNER_COOKIE, key, sizeof(key)))
		return true;
	if (!gw_auth_may_try(exchange, GW_LOGIN_LINK))
		return false;
	set_link(exchange, key);
	explicit_bzero(key, sizeof(key));
	return true;
}

/* By what a browser sends without being asked. */
static bool
identify_by_browser(GwExchange *exchange)
{
	const char *user = trusted_user(exchange);
	const char *cookies = httpd_request_header(&exchange->http, "Cookie");

	if (user != NULL)
		set(exchange, trusted_role, user);
	else if (!identify_by_session(exchange, cookies) && !identify_by_link_cookie(exchange, cookies))
		return false;
	return exchange->role == GW_NOBODY || gw_exchange_reads(exchange) ||
		   gw_auth_is_our_page(exchange);
}

/*
 * May he?
 */

bool
gw_auth_refuse_stranger(GwExchange *exchange, bool tried)
{
	gw_problem(exchange, 401, tried ? "This token is not valid." : "This needs a valid token.");
	add_challenge(exchange, tried);
	return false;
}

bool
gw_auth_identify(GwExchange *exchange)
{
	const char *header = httpd_request_header(&exchange->http, "Authorization");

	return header != NULL ? identify_by_token(exchange, header) : identify_by_browser(exchange);
}

bool
gw_authenticate(GwExchange *exchange)
{
	const GwRoute *route = exchange->route;

	if (route->least == GW_NOBODY)
		return true;
	if (!gw_auth_identify(exchange))
		return false;
	if (exchange->role == GW_NOBODY)
		return gw_auth_refuse_stranger(
			exchange, httpd_request_header(&exchange->http, "Authorization") != NULL);
	if (exchange->role < route->least ||
		(exchange->role == GW_VIEWER && !gw_exchange_reads(exchange)))
	{
		gw_problem(exchange, 403, "The role %s does not allow this.",
				   gw_auth_role_name(exchange->role));
		return false;
	}
	return true;
}
