/*
 * login.c
 *	  The routes by which a page gets its cookie, and loses it again.
 *
 * A script of another site may not log anybody in either: who works in a session
 * that is somebody else's writes into somebody else's account.
 */
#include "bin/gateway/login.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>

#include "bin/gateway/api.h"
#include "bin/gateway/auth.h"
#include "bin/gateway/cookie.h"
#include "bin/gateway/credentials.h"
#include "bin/gateway/keyring.h"
#include "bin/gateway/problem.h"
#include "bin/gateway/session.h"
#include "bin/gateway/webform.h"
#include "bin/httpd/clock.h"
#include "bin/httpd/util.h"

/* A link says itself until when it is valid, and is asked about with every request. */
#define LINK_SECONDS (365 * 86400)

#define FORM "application/x-www-form-urlencoded"

static bool
is_form(const GwExchange *exchange)
{
	const char *type = httpd_request_header(&exchange->http, "Content-Type");

	return type != NULL && strncasecmp(type, FORM, strlen(FORM)) == 0;
}

static json_t *
read_body(const GwExchange *exchange)
{
	const HttpdBuf *body = &exchange->http.body;
	HttpdBuf text = {0};
	json_t *document = NULL;

	if (!is_form(exchange))
		return json_loadb(body->len > 0 ? body->data : "", body->len, JSON_REJECT_DUPLICATES, NULL);
	if (gw_form_to_json(body->data, body->len, &text) == NULL)
		document = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, NULL);
	httpd_buf_free(&text);
	return document;
}

/*
 * The member of the body that is shown for the cookie, which must be the only one.
 * False, with a reply, unless it has the form of one.
 */
static bool
take_credential(GwExchange *exchange, const char *name, char *out, size_t size)
{
	json_t *body = read_body(exchange);
	const char *value = json_string_value(json_object_get(body, name));
	size_t len = value != NULL ? strlen(value) : 0;
	bool taken = json_object_size(body) == 1 && len < size && gw_is_token68(value, len);

	if (taken)
		memcpy(out, value, len + 1);
	else
		gw_problem_field(exchange, 400, name, "The body must be an object with \"%s\" alone.",
						 name);
	json_decref(body);
	return taken;
}

/* Clients that are no browsers say neither. */
static bool
may_begin(GwExchange *exchange, GwLogin login)
{
	const HttpdRequest *http = &exchange->http;

	if ((httpd_request_header(http, "Origin") != NULL ||
		 httpd_request_header(http, "Sec-Fetch-Site") != NULL) &&
		!gw_auth_is_our_page(exchange))
		return false;
	return gw_auth_may_try(exchange, login);
}

static void
show(GwExchange *exchange, int status, GwRole role, const char *name)
{
	HttpdBuf text = {0};

	httpd_buf_puts(&text, "{\"role\":");
	httpd_buf_json(&text, gw_auth_role_name(role));
	httpd_buf_puts(&text, ",\"name\":");
	httpd_buf_json(&text, name);
	httpd_buf_puts(&text, "}");
	httpd_reply_text(&exchange->http.reply, status, "application/json", text.data);
	httpd_buf_free(&text);
}

void
gw_login_show(GwExchange *exchange)
{
	show(exchange, 200, exchange->role, exchange->actor);
}

/*
 * The admin page
 */

static void
begin_session(GwExchange *exchange, GwRole role, const char *token)
{
	char value[GW_SESSION_MAX];

	gw_session_make(gw_tokens_find(gw_keyring_tokens(role), token), gw_auth_role_name(role),
					httpd_wall_us() / 1000000, value, sizeof(value));
	gw_cookie_set(exchange, GW_ADMIN_COOKIE, value, GW_SESSION_SECONDS);
	if (is_form(exchange))
	{
		httpd_reply_text(&exchange->http.reply, 303, NULL, "");
		httpd_reply_header(&exchange->http.reply, "Location", "/app/admin/whatsapp");
	}
	else
		show(exchange, 200, role, "session");
}

void
gw_login_admin(GwExchange *exchange)
{
	char token[GW_CREDENTIAL_MAX];
	GwRole role;

	if (!may_begin(exchange, GW_LOGIN_TOKEN) ||
		!take_credential(exchange, "token", token, sizeof(token)))
		return;
	role = gw_keyring_role_of(token);
	if (role != GW_NOBODY)
		begin_session(exchange, role, token);
	else
	{
		gw_auth_failed(exchange, GW_LOGIN_TOKEN);
		gw_auth_refuse_stranger(exchange, true);
	}
	explicit_bzero(token, sizeof(token));
}

static void
end_session(GwExchange *exchange, const char *cookie)
{
	if (!gw_auth_is_our_page(exchange))
		return;
	httpd_reply_text(&exchange->http.reply, 204, NULL, "");
	gw_cookie_clear(exchange, cookie);
}

void
gw_login_admin_end(GwExchange *exchange)
{
	end_session(exchange, GW_ADMIN_COOKIE);
}

/*
 * A tenant's page
 */

void
gw_login_link(GwExchange *exchange)
{
	char key[GW_CREDENTIAL_MAX];

	if (!may_begin(exchange, GW_LOGIN_LINK) || !take_credential(exchange, "key", key, sizeof(key)))
		return;
	exchange->key = httpd_strdup(key);
	explicit_bzero(key, sizeof(key));

	/* SQL gets its hash, and a server that logs parameters logs no key. */
	explicit_bzero(exchange->http.body.data, exchange->http.body.len);
	exchange->http.body.len = 0;
	gw_api_handle(exchange);
}

void
gw_login_link_succeeded(GwExchange *exchange)
{
	gw_cookie_set(exchange, GW_OWNER_COOKIE, exchange->key, LINK_SECONDS);
}

void
gw_login_link_end(GwExchange *exchange)
{
	end_session(exchange, GW_OWNER_COOKIE);
}
