/*
 * health.h
 *	  Is it alive, and can it work?
 */
#ifndef GW_HEALTH_H
#define GW_HEALTH_H

#include "bin/gateway/exchange.h"

/* 200 as long as the program runs its loop; and only while the database can be used. */
extern void gw_health_live(GwExchange *exchange);
extern void gw_health_ready(GwExchange *exchange);

/* From now on it is not ready, so that a load balancer sends nobody more. */
extern void gw_health_stopping(void);

#endif
