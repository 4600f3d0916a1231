/*
 * counters.h
 *	  What this process has counted and measured since it started.
 */
#ifndef GW_COUNTERS_H
#define GW_COUNTERS_H

#include "bin/gateway/exchange.h"
#include "bin/gateway/exposition.h"

typedef enum GwWebhookResult
{
	GW_WEBHOOK_OK,
	GW_WEBHOOK_INVALID_SIGNATURE,
	GW_WEBHOOK_TOO_LARGE,
	GW_WEBHOOK_UNAVAILABLE, /* 503: Meta sends it again */
	GW_WEBHOOK_FAILED,		/* 503, too: it was given to the database, which could not */
	GW_WEBHOOK_RESULTS
} GwWebhookResult;

/* Its response has been given, or its client has left. */
extern void gw_count_exchange(const GwExchange *exchange);

/* A webhook is answered, duration_us after its whole body was there. */
extern void gw_count_webhook(GwWebhookResult result, int64_t duration_us);

extern void gw_counters_write(GwExposition *exposition);

#endif
