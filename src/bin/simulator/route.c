/*
 * route.c
 *	  From a request to the code that handles it.
 */
#include "bin/simulator/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bin/httpd/clock.h"
#include "bin/simulator/auth.h"
#include "bin/simulator/control.h"
#include "bin/simulator/fault_reply.h"
#include "bin/simulator/media.h"
#include "bin/simulator/messages.h"
#include "bin/simulator/nodes.h"
#include "bin/simulator/number_setup.h"
#include "bin/simulator/path.h"
#include "bin/simulator/random.h"
#include "bin/simulator/registry.h"
#include "bin/simulator/reply.h"
#include "bin/simulator/settings.h"
#include "bin/simulator/subscription.h"
#include "bin/simulator/template_create.h"

bool
sim_route_is_control(const char *path)
{
	return strncmp(path, SIM_CONTROL_PREFIX, strlen(SIM_CONTROL_PREFIX)) == 0;
}

SimFault *
sim_route_headers_fault(const SimRequest *request)
{
	SimPath path;

	if (request->control)
		return NULL;
	sim_path_parse(request->http.path, &path);
	return sim_fault_pick(SIM_AT_HEADERS,
						  &(SimFaultSubject){.edge = sim_path_edge_name(&path), .node = path.node});
}

void
sim_route_cut_early(SimRequest *request, const SimFault *fault)
{
	SimPath path;

	sim_path_parse(request->http.path, &path);
	if (sim_path_is_send(&path, request->http.method))
		sim_messages_note_cut(request, &path, fault);
}

/* Everything but sending, after the token was checked. */
static void
serve_other(SimRequest *request, const SimPath *path)
{
	bool get = strcmp(request->http.method, "GET") == 0;
	bool post = strcmp(request->http.method, "POST") == 0;
	bool of_account = strcmp(path->node, sim_settings.waba_id) == 0;

	if (get && strcmp(path->node, "debug_token") == 0 && path->edge[0] == '\0')
		sim_auth_debug_token(request);
	else if (post && strcmp(path->edge, "media") == 0 && sim_registry_number(path->node) != NULL)
		sim_media_upload(request, path);
	else if (post && of_account && strcmp(path->edge, "message_templates") == 0)
		sim_template_create(request);
	else if (of_account && strcmp(path->edge, "subscribed_apps") == 0 && sim_subscription(request))
		return;
	else if (post && sim_number_setup(request, path))
		return;
	else if (sim_media_node(request, path))
		return;
	else if (get)
		sim_nodes_get(request, path);
	else
		sim_nodes_unknown(request, path);
}

static void
route_other(SimRequest *request, const SimPath *path)
{
	SimFault *fault = sim_fault_pick(
		SIM_AT_REQUEST, &(SimFaultSubject){.edge = sim_path_edge_name(path), .node = path->node});
	int code;

	if (fault != NULL && sim_fault_before(request, fault))
		return;
	if (sim_auth_check(request, &code))
		serve_other(request, path);
	if (fault != NULL)
		sim_fault_after(request, fault);
}

/* By the simulator's clock, which may be moved; else libmicrohttpd would put the real time. */
static void
add_date(SimRequest *request)
{
	time_t now = (time_t) (httpd_wall_us() / 1000000);
	char text[40];
	struct tm tm;

	if (gmtime_r(&now, &tm) != NULL &&
		strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0)
		httpd_reply_header(&request->http.reply, "Date", text);
}

/* The version that serves the request: never one that has expired. */
static void
add_common_headers(SimRequest *request, const SimPath *path)
{
	const char *version = sim_settings.served_version;

	if (version[0] == '\0')
		version = atoi(path->version + 1) < 21 ? "v21.0" : path->version;
	httpd_reply_header(&request->http.reply, "facebook-api-version", version);
	httpd_reply_header(&request->http.reply, "x-fb-trace-id", sim_reply_trace(request));
	add_date(request);
}

static int64_t
general_delay_us(void)
{
	static uint64_t random;
	int64_t delay_us = sim_settings.delay_ms * 1000;

	if (sim_settings.delay_jitter_ms > 0)
	{
		if (random == 0)
			random = (uint64_t) sim_settings.seed;
		delay_us +=
			(int64_t) (sim_random_unit(&random) * (double) sim_settings.delay_jitter_ms * 1000);
	}
	return delay_us;
}

void
sim_route(SimRequest *request)
{
	SimPath path;

	if (request->control)
	{
		sim_control(request);
		return;
	}
	sim_path_parse(request->http.path, &path);
	request->delay_us = general_delay_us();
	if (request->http.too_large)
		sim_reply_error(request, &(SimGraphFault){.code = 100,
												  .status = 413,
												  .title = "(#100) The request is too large."});
	else if (!path.valid)
	{
		char title[300];

		snprintf(title, sizeof(title), "Unknown path components: %.200s", request->http.path);
		sim_reply_error(request, &(SimGraphFault){.code = 2500, .title = title});
	}
	else if (sim_path_is_send(&path, request->http.method))
		sim_messages_post(request, &path);
	else
		route_other(request, &path);
	if (path.valid)
		add_common_headers(request, &path);
}
