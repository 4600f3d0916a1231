/*
 * api_request.h
 *	  A request as the jsonb that an SQL function takes.
 */
#ifndef GW_API_REQUEST_H
#define GW_API_REQUEST_H

#include "bin/gateway/exchange.h"

/* False: it cannot be one, and the reply says why. */
extern bool gw_api_request(GwExchange *exchange, HttpdBuf *out);

#endif
