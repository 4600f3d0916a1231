/*
 * request_id.h
 *	  A name for a request, by which it is found in every log.
 */
#ifndef GW_REQUEST_ID_H
#define GW_REQUEST_ID_H

#include "bin/gateway/exchange.h"

/* The client's X-Request-Id, if it is fit to be in a log, or a random one. */
extern void gw_request_id(GwExchange *exchange);

/* 8 to 36 (a UUID has that many) letters, digits, -, _, . and nothing else. */
extern bool gw_request_id_is_valid(const char *text);

#endif
