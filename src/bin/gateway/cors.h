/*
 * cors.h
 *	  Pages of other sites that may call the API.
 */
#ifndef GW_CORS_H
#define GW_CORS_H

#include <stdbool.h>

#include "bin/gateway/exchange.h"

/* Ends the program if an --allow-origin or --frame-ancestors is no origin. */
extern void gw_cors_check_settings(void);

/* Whether the site is in --allow-origin. */
extern bool gw_cors_allows(const char *origin);

/* Adds the headers that let an allowed page read the response. */
extern void gw_cors_headers(GwExchange *exchange);

/* OPTIONS: what the address allows, and for a preflight what the page may send. */
extern void gw_cors_options(GwExchange *exchange, const char *methods);

#endif
