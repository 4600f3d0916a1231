/*
 * media.h
 *	  A file that a customer has sent: to whoever may see it, piece by piece.
 */
#ifndef GW_MEDIA_H
#define GW_MEDIA_H

#include "bin/gateway/exchange.h"

/* The handler of such a route (GW_HAS_PIECES), and what fills in its reply. */
extern void gw_media_handle(GwExchange *exchange);
extern void gw_media_fill(GwExchange *exchange, const struct pg_result *result);

/* The exchange is over. */
extern void gw_media_forget(GwExchange *exchange);

#endif
