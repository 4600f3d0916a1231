/*
 * routes.c
 *	  Which address is whose.
 */
#include "bin/gateway/routes.h"

#include <stdio.h>
#include <string.h>

#include "bin/gateway/api.h"
#include "bin/gateway/assets.h"
#include "bin/gateway/auth.h"
#include "bin/gateway/health.h"
#include "bin/gateway/login.h"
#include "bin/gateway/media.h"
#include "bin/gateway/metrics.h"
#include "bin/gateway/owner_form.h"
#include "bin/gateway/route.h"
#include "bin/gateway/webhook.h"

#define ADMIN "/api/v1/admin/whatsapp"
#define TENANT "/api/v1/tenants/{tenant_id}"
#define OWNER_PAGE "/app/settings/notifications/{tenant_id}"

/* A route that is one SQL function: wa_gateway_FUNCTION. */
#define SQL(method, path, function, least, flags)                                                  \
	{                                                                                              \
		method, path, least, GW_SIDE_ADMIN, flags, gw_api_handle, function, NULL, NULL, NULL, NULL \
	}
#define READS(path, function) SQL("GET", path, function, GW_VIEWER, 0)
#define CHANGES(method, path, function) SQL(method, path, function, GW_ADMIN, GW_TAKES_BODY)
/* A file of a customer's message. */
#define MEDIA(path, least)                                                                         \
	{                                                                                              \
		"GET", path, least, GW_SIDE_ADMIN, GW_HAS_PIECES, gw_media_handle, "media", NULL, NULL,    \
			NULL, gw_media_fill                                                                    \
	}

#define PAGE(path, handle)                                                                         \
	{                                                                                              \
		"GET", path, GW_NOBODY, GW_SIDE_ADMIN, 0, handle, NULL, NULL, NULL, NULL, NULL             \
	}

#define SESSION(method, path, least, flags, handle)                                                \
	{                                                                                              \
		method, path, least, GW_SIDE_ADMIN, flags, handle, NULL, NULL, NULL, NULL, NULL            \
	}

static const GwRoute routes[] = {
	/* The platform's administrators */
	READS(ADMIN "/summary", "summary"),
	READS(ADMIN "/phone-numbers", "phone_numbers"),
	CHANGES("POST", ADMIN "/phone-numbers/sync", "sync_phone_numbers"),
	READS(ADMIN "/tenants", "tenants"),
	CHANGES("POST", ADMIN "/tenants/{tenant_id}/assign-phone", "assign_phone"),
	CHANGES("DELETE", ADMIN "/tenants/{tenant_id}/unassign-phone", "unassign_phone"),
	CHANGES("POST", ADMIN "/assign-phones", "assign_phones"),
	READS(ADMIN "/tenants/{tenant_id}/diagnose", "diagnose"),
	CHANGES("POST", ADMIN "/tenants/{tenant_id}/links", "create_link"),
	CHANGES("DELETE", ADMIN "/tenants/{tenant_id}/links", "revoke_links"),
	READS(ADMIN "/messages", "messages"),
	CHANGES("POST", ADMIN "/messages/retry", "retry_messages"),
	CHANGES("POST", ADMIN "/messages/cancel", "cancel_messages"),
	READS(ADMIN "/messages/{id}", "message"),
	CHANGES("POST", ADMIN "/messages/{id}/retry", "retry_message"),
	CHANGES("POST", ADMIN "/messages/{id}/cancel", "cancel_message"),
	CHANGES("POST", ADMIN "/messages/{id}/resolve", "resolve_message"),
	MEDIA(ADMIN "/inbound/{id}/media", GW_VIEWER),
	SQL("POST", ADMIN "/inbound/{id}/media", "fetch_media", GW_ADMIN, 0),
	READS(ADMIN "/failures", "failures"),
	READS(ADMIN "/queue", "queue"),
	READS(ADMIN "/alerts", "alerts"),
	CHANGES("POST", ADMIN "/alerts/{id}/resolve", "resolve_alert"),
	READS(ADMIN "/pauses", "pauses"),
	CHANGES("POST", ADMIN "/pauses", "pause"),
	CHANGES("DELETE", ADMIN "/pauses", "resume"),
	READS(ADMIN "/templates", "templates"),
	CHANGES("POST", ADMIN "/templates/sync", "sync_templates"),
	READS(ADMIN "/costs", "costs"),
	READS(ADMIN "/health", "health"),
	READS(ADMIN "/timeline", "timeline"),

	/* Tenants, with their link; and administrators */
	SQL("GET", TENANT "/notification-settings", "notification_settings", GW_TENANT, 0),
	SQL("PUT", TENANT "/notification-settings", "set_notification_settings", GW_TENANT,
		GW_TAKES_BODY),
	SQL("GET", TENANT "/messages", "tenant_messages", GW_TENANT, 0),
	SQL("POST", TENANT "/test-message", "tenant_test_message", GW_TENANT, GW_TAKES_BODY),
	SQL("POST", TENANT "/replies", "tenant_reply", GW_TENANT, GW_TAKES_BODY),
	SQL("POST", TENANT "/inbound/{id}/read", "tenant_read", GW_TENANT, 0),
	MEDIA(TENANT "/inbound/{id}/media", GW_TENANT),
	SQL("POST", TENANT "/inbound/{id}/media", "fetch_media", GW_TENANT, 0),

	/* Applications that cannot reach the database */
	SQL("POST", "/api/v1/messages", "enqueue", GW_ADMIN, GW_TAKES_BODY | GW_NEEDS_KEY),

	/* Pages: they ask for a token or a link themselves */
	PAGE("/app/admin/whatsapp", gw_assets_admin_page),
	{"GET", OWNER_PAGE, GW_NOBODY, GW_SIDE_ADMIN, GW_TAKES_LINK, gw_owner_page, "tenant_form", NULL,
	 NULL, gw_owner_form_present, NULL},
	{"POST", OWNER_PAGE, GW_NOBODY, GW_SIDE_ADMIN, GW_TAKES_FORM | GW_TAKES_LINK, gw_owner_form,
	 "tenant_form", NULL, NULL, gw_owner_form_present, NULL},
	PAGE("/app/assets/{folder}/{file}", gw_assets_file),
	PAGE("/app/assets/theme.css", gw_assets_theme),

	/* What the pages are told it by, they exchange for a cookie */
	SESSION("GET", "/api/v1/session", GW_VIEWER, 0, gw_login_show),
	SESSION("POST", "/app/admin/whatsapp/session", GW_NOBODY, GW_TAKES_BODY | GW_TAKES_FORM,
			gw_login_admin),
	SESSION("DELETE", "/app/admin/whatsapp/session", GW_NOBODY, 0, gw_login_admin_end),
	{"POST", OWNER_PAGE "/session", GW_NOBODY, GW_SIDE_ADMIN, GW_TAKES_BODY | GW_TAKES_FORM,
	 gw_owner_session, "link_session", NULL, gw_login_link_succeeded, gw_owner_session_present,
	 NULL},
	SESSION("DELETE", OWNER_PAGE "/session", GW_NOBODY, 0, gw_login_link_end),

	{"GET", "/metrics", GW_VIEWER, GW_SIDE_METRICS, GW_OWN_LISTENER, gw_metrics_handle, NULL, NULL,
	 NULL, NULL, NULL},

	/* Meta, whose credential is the signature or the verify token */
	{"GET", "/webhook", GW_NOBODY, GW_SIDE_WEBHOOK, 0, gw_webhook_handshake, NULL, NULL, NULL, NULL,
	 NULL},
	{"POST", "/webhook", GW_NOBODY, GW_SIDE_WEBHOOK, GW_TAKES_RAW_BODY, gw_webhook_receive, NULL,
	 gw_webhook_head, NULL, NULL, NULL},

	{"GET", "/healthz", GW_NOBODY, GW_SIDE_HEALTH, 0, gw_health_live, NULL, NULL, NULL, NULL, NULL},
	{"GET", "/readyz", GW_NOBODY, GW_SIDE_HEALTH, 0, gw_health_ready, NULL, NULL, NULL, NULL, NULL},
};

/* Each method once, though an address may have several routes. */
static void
allow(HttpdBuf *allowed, const char *method)
{
	if (allowed->len > 0)
		httpd_buf_puts(allowed, ", ");
	httpd_buf_puts(allowed, method);
	if (strcmp(method, "GET") == 0)
		httpd_buf_puts(allowed, ", HEAD");
}

/* The first that matches: /messages/retry stands before /messages/{id}. */
bool
gw_routes_find(GwExchange *exchange, unsigned sides, const char *method, HttpdBuf *allowed)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
	{
		const GwRoute *route = &routes[i];

		if (!(route->side & sides) ||
			!gw_route_matches(route, &exchange->path, exchange->arguments))
			continue;
		if (strcmp(route->method, method) == 0)
		{
			exchange->route = route;
			return true;
		}
		allow(allowed, route->method);
	}
	memset(exchange->arguments, 0, sizeof(exchange->arguments));
	if (allowed->len > 0)
		httpd_buf_puts(allowed, ", OPTIONS");
	return false;
}

/* Some routes share one. */
static bool
is_first(size_t route)
{
	for (size_t i = 0; i < route; i++)
	{
		if (routes[i].function != NULL && strcmp(routes[i].function, routes[route].function) == 0)
			return false;
	}
	return true;
}

int
gw_routes_functions(HttpdBuf *out)
{
	int n = 0;

	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
	{
		if (routes[i].function != NULL && is_first(i))
			httpd_buf_printf(out, "%swa_gateway_%s", n++ > 0 ? "," : "{", routes[i].function);
	}
	httpd_buf_puts(out, "}");
	return n;
}

void
gw_routes_print(void)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		printf("%s %s %s\n", routes[i].method, routes[i].path, gw_auth_role_name(routes[i].least));
}
