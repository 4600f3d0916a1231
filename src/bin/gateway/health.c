/*
 * health.c
 *	  Is it alive, and can it work?
 *
 * Neither asks the database: the pool knows whether it is there, and a check
 * every second from each of several load balancers costs nothing.
 */
#include "bin/gateway/health.h"

#include "bin/gateway/database.h"
#include "bin/gateway/delivery.h"
#include "bin/gateway/problem.h"
#include "bin/gateway/secrets.h"

static bool stopping;

void
gw_health_stopping(void)
{
	stopping = true;
}

void
gw_health_live(GwExchange *exchange)
{
	httpd_reply_text(&exchange->http.reply, 200, "application/json", "{\"status\":\"pass\"}");
}

/* The reason is for the log and not for everybody: it names hosts and users. */
void
gw_health_ready(GwExchange *exchange)
{
	GwPoolStats stats;

	gw_pool_stats(gw_admin_pool, &stats);
	if (stopping)
		gw_problem(exchange, 503, "This gateway is being stopped.");
	else if (stats.connections == 0 || (gw_secrets_have_app_secret() && !gw_delivery_is_ready()))
		gw_problem(exchange, 503,
				   "The database is not reachable, or the extension is not installed in it.");
	else
		httpd_reply_text(&exchange->http.reply, 200, "application/json", "{\"status\":\"pass\"}");
}
