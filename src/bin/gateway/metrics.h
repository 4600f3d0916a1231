/*
 * metrics.h
 *	  GET /metrics.
 */
#ifndef GW_METRICS_H
#define GW_METRICS_H

#include "bin/gateway/exchange.h"

extern void gw_metrics_handle(GwExchange *exchange);

#endif
