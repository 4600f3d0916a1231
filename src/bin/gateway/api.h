/*
 * api.h
 *	  A route that is one SQL function.
 */
#ifndef GW_API_H
#define GW_API_H

#include "bin/gateway/exchange.h"

/* Calls wa_gateway_FUNCTION of the route, deferred; its result is the reply. */
extern void gw_api_handle(GwExchange *exchange);

#endif
