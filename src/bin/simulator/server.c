/*
 * server.c
 *	  What the simulator does at each point of an exchange: it counts, applies
 *	  the rules that end it early, and has the request routed.
 */
#include "bin/simulator/server.h"

#include "bin/simulator/fault.h"
#include "bin/simulator/journal.h"
#include "bin/simulator/request.h"
#include "bin/simulator/route.h"
#include "bin/simulator/sending.h"

/* Webhook bodies have up to 3 MB, media up to 100 MB; nothing here needs more. */
#define MAX_BODY ((size_t) 101 * 1024 * 1024)

static void
on_connect(HttpdConnection *connection)
{
	const SimFault *fault = sim_fault_pick(SIM_AT_CONNECT, NULL);

	sim_counters.connections++;
	if (++sim_counters.open_connections > sim_counters.max_open_connections)
		sim_counters.max_open_connections = sim_counters.open_connections;
	if (fault != NULL)
	{
		sim_counters.cut_connections++;
		httpd_connection_abort(connection, fault->reset);
	}
}

static void
on_disconnect(HttpdConnection *connection)
{
	sim_counters.open_connections--;
}

static void
cut_early(SimRequest *request, const SimFault *fault)
{
	sim_route_cut_early(request, fault);
	sim_sending_cut(request, fault->reset);
}

static void
on_head(HttpdRequest *http)
{
	SimRequest *request = (SimRequest *) http;
	const SimFault *fault;

	request->control = sim_route_is_control(http->path);
	if (request->control)
		return;
	sim_counters.requests++;
	if (++sim_counters.concurrent > sim_counters.max_concurrent)
		sim_counters.max_concurrent = sim_counters.concurrent;
	fault = sim_route_headers_fault(request);
	if (fault != NULL && fault->cut == SIM_CUT_HEADERS)
		cut_early(request, fault);
	else
		request->early_fault = fault;
}

static void
on_body(HttpdRequest *http, size_t len)
{
	SimRequest *request = (SimRequest *) http;
	const SimFault *fault = request->early_fault;

	if (fault != NULL && http->body.len + len >= (size_t) fault->bytes)
		cut_early(request, fault);
}

static void
on_request(HttpdRequest *http)
{
	SimRequest *request = (SimRequest *) http;

	request->waited_us = httpd_connection_silent_us(http->connection);
	if (request->early_fault != NULL)
	{
		cut_early(request, request->early_fault);
		return;
	}
	sim_route(request);
	if (!http->deferred)
		sim_sending_start(request);
}

static void
on_end(HttpdRequest *http, bool sent)
{
	SimRequest *request = (SimRequest *) http;

	if (request->on_gone != NULL)
		request->on_gone(request);
	sim_sending_forget(request);
	if (!request->control)
		sim_counters.concurrent--;
	if (sent && request->record != 0)
		sim_journal_answered(request->record);
}

#define EVERY_PORT                                                                                 \
	.request_size = sizeof(SimRequest), .max_body = MAX_BODY, .on_head = on_head,                  \
	.on_body = on_body, .on_request = on_request, .on_end = on_end

const HttpdService sim_server_service = {
	EVERY_PORT,
	.on_connect = on_connect,
	.on_disconnect = on_disconnect,
};

const HttpdService sim_server_control_service = {EVERY_PORT};
