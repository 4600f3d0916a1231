/*
 * server.c
 *	  What the gateway does at each point of an exchange.
 *
 * Everything that can be refused by the head alone is refused by the head: a
 * stranger's body is read past and not kept.
 */
#include "bin/gateway/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/gateway/access_log.h"
#include "bin/gateway/auth.h"
#include "bin/gateway/body.h"
#include "bin/gateway/counters.h"
#include "bin/gateway/cors.h"
#include "bin/gateway/database.h"
#include "bin/gateway/delivery.h"
#include "bin/gateway/exchange.h"
#include "bin/gateway/framing.h"
#include "bin/gateway/media.h"
#include "bin/gateway/problem.h"
#include "bin/gateway/request_id.h"
#include "bin/gateway/respond.h"
#include "bin/gateway/routes.h"
#include "bin/gateway/settings.h"
#include "bin/gateway/systemd.h"
#include "bin/httpd/clock.h"
#include "bin/httpd/listener.h"
#include "bin/httpd/util.h"

/*
 * Proxies and Meta keep some dozens of connections open between requests; of the
 * thousands that may be there, most have nothing to say.
 */
#define MAX_KEPT_OPEN 256

/* A listener's service: what it serves, besides the hooks that all have. */
typedef struct Service
{
	HttpdService http; /* first */
	unsigned sides;
	bool own; /* an address for one side alone */
} Service;

static const Service *
service_of(const GwExchange *exchange)
{
	return (const Service *) exchange->http.connection->service;
}

/*
 * The head
 */

static void
find_route(GwExchange *exchange)
{
	const char *method = exchange->http.method;
	HttpdBuf allowed = {0};

	exchange->head = strcmp(method, "HEAD") == 0;
	if (gw_routes_find(exchange, service_of(exchange)->sides, exchange->head ? "GET" : method,
					   &allowed))
		;
	else if (allowed.len == 0)
		gw_problem(exchange, 404, "There is nothing at this address.");
	else if (strcmp(method, "OPTIONS") == 0)
		gw_cors_options(exchange, allowed.data);
	else
	{
		gw_problem(exchange, 405, "This address takes %s.", allowed.data);
		httpd_reply_header(&exchange->http.reply, "Allow", allowed.data);
	}
	httpd_buf_free(&allowed);
}

/* If the route says so, nobody is asked who he is at an address for its side alone. */
static bool
is_admitted(GwExchange *exchange)
{
	const GwRoute *route = exchange->route;

	if ((route->flags & GW_OWN_LISTENER) && service_of(exchange)->own)
		return true;
	return gw_authenticate(exchange);
}

static bool
is_acceptable(GwExchange *exchange)
{
	const char *problem;

	problem = gw_path_split(exchange->http.target, &exchange->path);
	if (problem != NULL)
	{
		gw_problem(exchange, 400, "%s", problem);
		return false;
	}
	find_route(exchange);
	if (exchange->http.reply.status != 0 || !is_admitted(exchange) ||
		!gw_body_check_length(exchange))
		return false;
	if (exchange->route->head != NULL)
		exchange->route->head(exchange);
	return exchange->http.reply.status == 0;
}

static void
on_head(HttpdRequest *http)
{
	GwExchange *exchange = (GwExchange *) http;

	exchange->began_us = httpd_now_us();
	gw_request_id(exchange);
	if (!gw_framing_check(exchange))
	{
		gw_respond(exchange); /* at once: where its body ends is the question */
		return;
	}
	gw_cors_headers(exchange);
	if (is_acceptable(exchange))
		return;
	gw_respond(exchange);
	gw_body_hold_refusal(exchange);
}

static void
on_body(HttpdRequest *http, size_t len)
{
	gw_body_count((GwExchange *) http, len);
}

static void
on_request(HttpdRequest *http)
{
	GwExchange *exchange = (GwExchange *) http;

	gw_body_is_whole(exchange);
	if (gw_body_take_refusal(exchange))
		return;
	if (http->too_large)
		gw_body_too_large(exchange);
	else
		exchange->route->handle(exchange);
	if (!http->deferred)
		gw_respond(exchange);
}

static void
on_end(HttpdRequest *http, bool sent)
{
	GwExchange *exchange = (GwExchange *) http;

	if (exchange->query != NULL)
		gw_query_forget(exchange->query);
	if (exchange->delivery != NULL)
		gw_delivery_forget(exchange->delivery);
	gw_media_forget(exchange);
	gw_count_exchange(exchange);
	gw_access_log(exchange, sent);
	gw_body_forget(exchange);
	gw_path_free(&exchange->path);
	if (exchange->key != NULL)
		explicit_bzero(exchange->key, strlen(exchange->key));
	free(exchange->key);
	free(exchange->actor);
}

/*
 * Listeners
 */

static char *certificate;
static char *key;

static const HttpdService *
set_up_service(Service *service, unsigned sides, bool own)
{
	service->http = (HttpdService){
		.request_size = sizeof(GwExchange),
		.max_body = GW_MAX_BODY,
		.max_kept_open = MAX_KEPT_OPEN,
		.deadline_us = gw_settings->request_timeout_s * 1000000,
		.idle_us = gw_settings->idle_timeout_s * 1000000,
		.on_head = on_head,
		.on_body = on_body,
		.on_request = on_request,
		.on_end = on_end,
	};
	service->sides = sides | GW_SIDE_HEALTH;
	service->own = own;
	return &service->http;
}

#define NPLACES 4

/* Where something is served: at an address, or on a socket of systemd's. */
typedef struct Place
{
	const char *name; /* what systemd calls the socket */
	unsigned sides;
	const char *address;
	int socket; /* -1: none */
} Place;

static bool
is_open(const Place *place)
{
	return place->socket >= 0 || place->address[0] != '\0';
}

static void
open_listener(const Place *place, Service *service, bool own)
{
	HttpdListener *listener;

	if (!is_open(place))
		return;
	listener = httpd_listener_open(&(HttpdListenerSettings){
		.address = place->socket < 0 ? place->address : NULL,
		.socket = place->socket,
		.certificate = certificate,
		.key = key,
		.max_connections = (unsigned int) gw_settings->max_connections,
		.idle_timeout_s = (unsigned int) gw_settings->idle_timeout_s,
		.service = set_up_service(service, place->sides, own),
	});
	printf("listening on %s://%s\n", certificate != NULL ? "https" : "http",
		   httpd_listener_address(listener));
}

/*
 * Systemd that passes a socket passes all of them: no address counts then.  One
 * without a name of ours is for everything, as wa_gateway.socket is.
 */
static void
take_sockets(Place *places, int n)
{
	const char *name;
	bool any = false;
	int fd;

	for (int i = 0; i < n; i++)
	{
		places[i].socket = gw_systemd_take_socket(places[i].name);
		any |= places[i].socket >= 0;
	}
	while ((fd = gw_systemd_take_any_socket(&name)) >= 0)
	{
		if (places[0].socket >= 0)
			httpd_die("systemd passes two sockets for everything, the second is \"%s\"", name);
		places[0].socket = fd;
		any = true;
	}
	for (int i = 0; i < n && any; i++)
		places[i].address = "";
}

static char *
read_pem(const char *path)
{
	HttpdBuf text = {0};
	char piece[4096];
	FILE *file = fopen(path, "r");
	size_t n;

	if (file == NULL)
		httpd_die("could not open \"%s\": %s", path, strerror(errno));
	while ((n = fread(piece, 1, sizeof(piece), file)) > 0)
		httpd_buf_add(&text, piece, n);
	fclose(file);
	return text.data;
}

/*
 * What has an address of its own is served there and nowhere else; but metrics,
 * with a token, are also where everything is.
 */
void
gw_server_open(void)
{
	Place places[] = {
		{"http", GW_SIDE_WEBHOOK | GW_SIDE_ADMIN | GW_SIDE_METRICS, gw_settings->listen, -1},
		{"webhook", GW_SIDE_WEBHOOK, gw_settings->webhook_listen, -1},
		{"admin", GW_SIDE_ADMIN, gw_settings->admin_listen, -1},
		{"metrics", GW_SIDE_METRICS, gw_settings->metrics_listen, -1},
	};
	static Service services[NPLACES];
	bool any = false;

	if ((gw_settings->tls_cert[0] != '\0') != (gw_settings->tls_key[0] != '\0'))
		httpd_die("--tls-cert and --tls-key belong together");
	if (gw_settings->tls_cert[0] != '\0')
	{
		certificate = read_pem(gw_settings->tls_cert);
		key = read_pem(gw_settings->tls_key);
	}
	take_sockets(places, NPLACES);
	for (int i = 1; i < NPLACES; i++)
	{
		if (is_open(&places[i]) && places[i].sides != GW_SIDE_METRICS)
			places[0].sides &= ~places[i].sides;
	}
	for (int i = 0; i < NPLACES; i++)
	{
		any |= is_open(&places[i]);
		open_listener(&places[i], &services[i], i > 0);
	}
	if (!any)
		httpd_die("there is no address to listen on (see --help)");
	fflush(stdout);
}
