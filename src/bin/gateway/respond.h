/*
 * respond.h
 *	  The last touch to a reply: what every response has in common.
 */
#ifndef GW_RESPOND_H
#define GW_RESPOND_H

#include "bin/gateway/exchange.h"

/*
 * Adds what is missing to a reply that was filled in: request id, safety headers,
 * Cache-Control; for a successful GET the entity tag, and 304 if the client has
 * that; compression where it pays.  server.c calls it for what is not deferred.
 */
extern void gw_respond(GwExchange *exchange);

/* For a deferred one: the same, and off it goes. */
extern void gw_respond_deferred(GwExchange *exchange);

/* A header that is there already stays as it is. */
extern void gw_respond_header(GwExchange *exchange, const char *name, const char *value);

/* Adds a name to the header Vary. */
extern void gw_respond_vary(GwExchange *exchange, const char *name);

/* A quoted, weak tag for these bytes; out has room for GW_ETAG_SIZE. */
#define GW_ETAG_SIZE 40
extern void gw_etag(const void *data, size_t len, char *out);

#endif
