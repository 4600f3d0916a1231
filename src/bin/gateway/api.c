/*
 * api.c
 *	  A route that is one SQL function.
 *
 * wa_gateway_NAME(request jsonb, OUT status integer, OUT body jsonb, OUT paging
 * jsonb) is called in a statement of its own, which is its transaction.  It
 * decides everything; here is only how its result becomes a response.
 */
#include "bin/gateway/api.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "bin/gateway/api_request.h"
#include "bin/gateway/auth.h"
#include "bin/gateway/complain.h"
#include "bin/gateway/database.h"
#include "bin/gateway/paging.h"
#include "bin/gateway/problem.h"
#include "bin/gateway/respond.h"
#include "bin/httpd/clock.h"
#include "bin/httpd/util.h"

#define ASK_AGAIN_US 100000

enum
{
	COLUMN_STATUS = GW_API_STATUS,
	COLUMN_BODY = GW_API_BODY,
	COLUMN_PAGING
};

/* What it refuses, it describes by the members of a problem document. */
static void
refuse(GwExchange *exchange, int status, const char *body)
{
	json_t *members = body != NULL ? json_loads(body, 0, NULL) : NULL;

	if (members != NULL && !json_is_object(members))
	{
		json_decref(members);
		members = NULL;
	}
	gw_problem_members(exchange, status, members);
}

static void
reply(GwExchange *exchange, PGresult *result)
{
	int status = atoi(PQgetvalue(result, 0, COLUMN_STATUS));
	const char *body =
		PQgetisnull(result, 0, COLUMN_BODY) ? NULL : PQgetvalue(result, 0, COLUMN_BODY);

	if (status < 200 || status > 599)
		gw_problem(exchange, 500, "The function for this has returned no status.");
	else if (status >= 400)
		refuse(exchange, status, body);
	else if (exchange->route->fill != NULL)
		exchange->route->fill(exchange, result);
	else if (body == NULL)
		httpd_reply_text(&exchange->http.reply, status == 200 ? 204 : status, NULL, "");
	else
	{
		httpd_reply_text(&exchange->http.reply, status, "application/json", body);
		if (!PQgetisnull(result, 0, COLUMN_PAGING))
			gw_paging_headers(exchange, PQgetvalue(result, 0, COLUMN_PAGING));
	}
	if (exchange->http.reply.status < 300 && exchange->route->succeeded != NULL)
		exchange->route->succeeded(exchange);
}

static void
report_loss(GwExchange *exchange)
{
	if (!gw_exchange_reads(exchange) && gw_query_was_sent(exchange->query))
		gw_problem(exchange, 503,
				   "The connection to the database was lost, so it is not known whether this was "
				   "done.");
	else
		gw_problem_from_result(exchange, NULL);
}

/* Without its details, which may quote anything. */
static void
log_error(const GwExchange *exchange, const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	if (state != NULL && message != NULL)
		gw_complain("request %s: ERROR %s: %s", exchange->request_id, state, message);
}

static void
reply_to(GwExchange *exchange, PGresult *result)
{
	if (result == NULL)
		report_loss(exchange);
	else if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
		reply(exchange, result);
	else
		gw_problem_from_result(exchange, result);
	if (exchange->http.reply.status == 500 && result != NULL)
		log_error(exchange, result);
	if (exchange->http.reply.status == 401)
		gw_auth_link_refused(exchange);
}

static bool ask(GwExchange *exchange);

static void
ask_now(HttpdRequest *http)
{
	GwExchange *exchange = (GwExchange *) http;

	if (ask(exchange))
		return;
	gw_problem_from_result(exchange, NULL);
	gw_respond_deferred(exchange);
}

/*
 * What only reads and lost its connection is asked once more: that is how a server
 * that has been started anew shows.  A moment later, because the other connections
 * may not have noticed yet.
 */
static bool
ask_again(GwExchange *exchange)
{
	if (exchange->repeated || !gw_exchange_reads(exchange) || !gw_query_was_sent(exchange->query))
		return false;
	exchange->repeated = true;
	exchange->query = NULL;
	httpd_request_expire(&exchange->http, httpd_now_us() + ASK_AGAIN_US, ask_now);
	return true;
}

static void
done(void *arg, PGresult *result)
{
	GwExchange *exchange = arg;

	if (result == NULL && ask_again(exchange))
		return;
	reply_to(exchange, result);
	exchange->query = NULL;
	if (exchange->route->present != NULL)
		exchange->route->present(exchange);
	gw_respond_deferred(exchange);
}

GwQuery *
gw_api_query(GwExchange *exchange, GwDone when_done)
{
	HttpdBuf sql = {0};
	HttpdBuf request = {0};
	GwQuery *query = NULL;

	if (gw_api_request(exchange, &request))
	{
		const char *values[] = {request.data};

		httpd_buf_printf(
			&sql, "SELECT status, body, paging%s FROM " GW_SCHEMA ".wa_gateway_%s($1::jsonb)",
			(exchange->route->flags & GW_HAS_PIECES) ? ", piece" : "", exchange->route->function);
		query = gw_pool_query(gw_admin_pool, sql.data, 1, NULL, values, NULL, NULL, when_done,
							  exchange);
		if (query != NULL)
			exchange->query = query;
	}
	httpd_buf_free(&sql);
	httpd_buf_free(&request);
	return query;
}

/* False: the request is none, and the reply says why; or the pool does not take it. */
static bool
ask(GwExchange *exchange)
{
	return gw_api_query(exchange, done) != NULL;
}

void
gw_api_handle(GwExchange *exchange)
{
	if (ask(exchange))
	{
		httpd_request_defer(&exchange->http);
		httpd_request_watch_client(&exchange->http);
	}
	else if (exchange->http.reply.status == 0)
		gw_problem_from_result(exchange, NULL);
}
