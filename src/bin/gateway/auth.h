/*
 * auth.h
 *	  Who asks, and may he?
 */
#ifndef GW_AUTH_H
#define GW_AUTH_H

#include <stdbool.h>

#include "bin/gateway/exchange.h"

/* Reads the token files; again after SIGHUP.  The first time, what is wrong ends the program. */
extern void gw_auth_load(void);

/*
 * Fills in role, actor and key, and holds them against what the route demands.
 * False: the reply (401, 403, 429) is filled in.  Never blocks.
 */
extern bool gw_authenticate(GwExchange *exchange);

#endif
