/*
 * owner_form.c
 *	  A tenant's page without scripts: its switch, as a plain form.
 *
 * The page itself is a file that asks the API.  Where scripts are off, it leads here
 * (?plain=1), and what the API replies to the browser's cookie is made into a page:
 * the switch, or a field for the code of the link, or what is wrong, in words.
 * Addresses are relative, because a proxy may have put a prefix before ours.
 */
#include "bin/gateway/owner_form.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "bin/gateway/api.h"
#include "bin/gateway/assets.h"
#include "bin/gateway/auth.h"
#include "bin/gateway/login.h"
#include "bin/gateway/page_template.h"
#include "bin/gateway/respond.h"
#include "bin/httpd/util.h"

#define FORM "application/x-www-form-urlencoded"
#define LONGEST_SEGMENT 800 /* of the 256 bytes of a tenant's id, each may be escaped */
#define MAX_VALUES 16

typedef struct Page
{
	GwTemplateValue values[MAX_VALUES];
	int n;
	char tenant[LONGEST_SEGMENT];
} Page;

/* The first of the browser's languages that we speak. */
static const char *
language_of(const GwExchange *exchange)
{
	const char *list = httpd_request_argument(&exchange->http, "lang");

	if (list == NULL)
		list = httpd_request_header(&exchange->http, "Accept-Language");
	for (const char *tag = list; tag != NULL; tag = strchr(tag, ','))
	{
		tag += strspn(tag, ", ");
		if (strncasecmp(tag, "es", 2) == 0)
			return "es";
		if (strncasecmp(tag, "en", 2) == 0)
			return "en";
	}
	return "es";
}

/* The tenant in the address, as it is escaped there. */
static void
copy_segment(const GwExchange *exchange, char *out, size_t size)
{
	const char *target = exchange->http.target;
	size_t len = strcspn(target, "?");
	const char *end = target + len;
	const char *start;

	if (len > strlen("/session") && memcmp(end - strlen("/session"), "/session", 8) == 0)
		end -= strlen("/session");
	start = end;
	while (start > target && start[-1] != '/')
		start--;
	snprintf(out, size, "%.*s", (int) (end - start), start);
}

static void
set_value(Page *page, const char *name, const char *value)
{
	if (page->n < MAX_VALUES)
		page->values[page->n++] = (GwTemplateValue){name, value};
}

/* The page takes the place of what was filled in; its headers but for the type stay. */
static void
show(GwExchange *exchange, Page *page, int status)
{
	const char *language = language_of(exchange);
	char catalogue[32];
	HttpdBuf html = {0};

	snprintf(catalogue, sizeof(catalogue), "owner/%s.json", language);
	copy_segment(exchange, page->tenant, sizeof(page->tenant));
	set_value(page, "lang", language);
	set_value(page, "tongue", strcmp(language, "es") == 0 ? "en" : "es");
	set_value(page, "tenant", page->tenant);
	/* A form is sent to an address below this one from the page, and beside it from there. */
	set_value(page, "up", strstr(exchange->route->path, "/session") != NULL ? "../" : "");
	gw_page_template("owner/plain.html", catalogue, page->values, page->n, &html);
	httpd_reply_text(&exchange->http.reply, status, "text/html; charset=utf-8", html.data);
	httpd_buf_free(&html);
	gw_assets_page_headers(exchange, &gw_settings->frame_ancestors);
	gw_respond_header(exchange, "Cache-Control", "no-store");
	gw_respond_vary(exchange, "Accept-Language");
	gw_respond_vary(exchange, "Cookie");
}

/* problem: NULL, gone, or other, as in the catalogue. */
static void
show_door(GwExchange *exchange, int status, const char *problem)
{
	Page page = {.n = 0};

	set_value(&page, "door", "");
	set_value(&page, problem != NULL ? problem : "first", "");
	show(exchange, &page, status);
}

/* Nothing that a link would mend. */
static void
show_broken(GwExchange *exchange)
{
	Page page = {.n = 0};

	set_value(&page, "broken", "");
	show(exchange, &page, exchange->http.reply.status);
}

/* What was refused, in words. */
static void
show_refusal(GwExchange *exchange)
{
	int status = exchange->http.reply.status;

	if (status == 401)
		show_door(exchange, status, "gone");
	else if (status == 403)
		show_door(exchange, status, "other");
	else
		show_broken(exchange);
}

static const char *
text_of(const json_t *document, const char *name)
{
	return json_string_value(json_object_get(document, name));
}

static void
show_switch(GwExchange *exchange)
{
	const HttpdBuf *body = &exchange->http.reply.body;
	json_t *settings = json_loadb(body->data, body->len, 0, NULL);
	const char *obstacle = text_of(settings, "obstacle");
	bool on = json_is_true(json_object_get(settings, "whatsapp_enabled"));
	Page page = {.n = 0};

	set_value(&page, on ? "on" : "off", "");
	if (on)
	{
		set_value(&page, "number", text_of(settings, "whatsapp_display_phone_number"));
		set_value(&page, obstacle != NULL ? obstacle : "clear", "");
	}
	show(exchange, &page, 200);
	json_decref(settings);
}

/* After a change the browser asks again, so that loading again repeats nothing. */
static void
lead_to(GwExchange *exchange, const char *address)
{
	HttpdBuf location = {0};

	httpd_buf_printf(&location, "%s?plain=1", address);
	if (httpd_request_argument(&exchange->http, "lang") != NULL)
		httpd_buf_printf(&location, "&lang=%s", language_of(exchange));
	httpd_reply_text(&exchange->http.reply, 303, NULL, "");
	httpd_reply_header(&exchange->http.reply, "Location", location.data);
	httpd_buf_free(&location);
}

void
gw_owner_form_present(GwExchange *exchange)
{
	if (exchange->http.reply.status >= 300)
		show_refusal(exchange);
	else if (gw_exchange_reads(exchange))
		show_switch(exchange);
	else
		lead_to(exchange, "");
}

static void
ask(GwExchange *exchange)
{
	if (!gw_auth_identify(exchange))
		show_broken(exchange);
	else if (exchange->role == GW_NOBODY)
		show_door(exchange, gw_exchange_reads(exchange) ? 200 : 401, NULL);
	else
	{
		gw_api_handle(exchange);
		if (!exchange->http.deferred)
			gw_owner_form_present(exchange);
	}
}

void
gw_owner_page(GwExchange *exchange)
{
	if (httpd_request_argument(&exchange->http, "plain") != NULL)
		ask(exchange);
	else
		gw_assets_owner_page(exchange);
}

void
gw_owner_form(GwExchange *exchange)
{
	ask(exchange);
}

/* Scripts send JSON, and get it. */
void
gw_owner_session_present(GwExchange *exchange)
{
	const char *type = httpd_request_header(&exchange->http, "Content-Type");
	char up[LONGEST_SEGMENT + 4] = "../";

	if (type == NULL || strncasecmp(type, FORM, strlen(FORM)) != 0)
		return;
	if (exchange->http.reply.status < 300)
	{
		copy_segment(exchange, up + 3, sizeof(up) - 3);
		lead_to(exchange, up);
	}
	else if (exchange->http.reply.status == 400)
		show_door(exchange, 400, "gone");
	else
		show_refusal(exchange);
}

void
gw_owner_session(GwExchange *exchange)
{
	gw_login_link(exchange);
	if (!exchange->http.deferred)
		gw_owner_session_present(exchange);
}
