/*
 * delivery.h
 *	  A webhook on its way into the database.
 */
#ifndef GW_DELIVERY_H
#define GW_DELIVERY_H

#include <stdbool.h>

#include "bin/gateway/database.h"
#include "bin/gateway/exchange.h"

typedef struct GwDelivery GwDelivery;

/* At start, after the settings: begins to connect. */
extern void gw_delivery_open(void);
extern void gw_delivery_close(void);

/*
 * Takes in the body, whose signature has been verified.  Defers the request, and
 * replies when it is committed (200) or is not known to be (503).
 */
extern void gw_delivery_begin(GwExchange *exchange, const char *signature);

/* The exchange is over: what has not been sent is not sent any more. */
extern void gw_delivery_forget(GwDelivery *delivery);

/* Its connections: to statuses, and to what has handlers; NULL while no webhooks are taken. */
typedef struct GwDeliveryPools
{
	const GwPool *statuses;
	const GwPool *replies;
} GwDeliveryPools;

extern GwDeliveryPools gw_delivery_pools(void);

/* A connection for statuses is there. */
extern bool gw_delivery_is_ready(void);

#endif
