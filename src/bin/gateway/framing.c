/*
 * framing.c
 *	  Requests that mean the same to everybody, and those that do not.
 */
#include "bin/gateway/framing.h"

#include "bin/gateway/framing_rules.h"
#include "bin/gateway/problem.h"
#include "bin/gateway/target.h"
#include "bin/httpd/head.h"

static void
look_at_header(void *arg, const char *name, const char *value)
{
	gw_framing_header(arg, name, value);
}

bool
gw_framing_check(GwExchange *exchange)
{
	const HttpdRequest *http = &exchange->http;
	GwFraming framing;

	gw_framing_begin(&framing, http->method, http->version);
	if (framing.status == 0 && !httpd_head_is_exact(http))
	{
		framing.status = 400;
		framing.reason = "The head of the request is malformed.";
	}
	httpd_head_visit(http, look_at_header, &framing);
	gw_framing_end(&framing);
	if (framing.status == 0)
		framing.status = gw_target_check(http->target, framing.host, &framing.reason);
	if (framing.status != 0)
		gw_problem(exchange, framing.status, "%s", framing.reason);
	return framing.status == 0;
}
