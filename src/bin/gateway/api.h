/*
 * api.h
 *	  A route that is one SQL function.
 */
#ifndef GW_API_H
#define GW_API_H

#include "bin/gateway/database.h"
#include "bin/gateway/exchange.h"

/* Calls wa_gateway_FUNCTION of the route, deferred; its result is the reply. */
extern void gw_api_handle(GwExchange *exchange);

/* The columns of such a result that others than api.c read; and with GW_HAS_PIECES. */
#define GW_API_STATUS 0
#define GW_API_BODY 1
#define GW_API_PIECE 3

/*
 * Only calls it, and done as gw_pool_query() does, with the exchange.  NULL: as
 * there; or the request cannot be one, and the reply says why.
 */
extern GwQuery *gw_api_query(GwExchange *exchange, GwDone done);

#endif
