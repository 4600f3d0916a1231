/*
 * routes.h
 *	  Which address is whose.
 */
#ifndef GW_ROUTES_H
#define GW_ROUTES_H

#include <stddef.h>

#include "bin/gateway/exchange.h"
#include "bin/httpd/buf.h"

/*
 * Finds the route for the method (GET for HEAD) and the split path, among those of
 * these sides, and fills in route and arguments.  False: there is none, and allowed
 * says which methods the path has ("GET, HEAD, OPTIONS"), or stays empty.
 */
extern bool gw_routes_find(GwExchange *exchange, unsigned sides, const char *method,
						   HttpdBuf *allowed);

/*
 * Appends the SQL functions of all routes, each once, as the text of an array of
 * names; returns how many there are.
 */
extern int gw_routes_functions(HttpdBuf *out);

/* Prints method, path and least role of each, a line each, for programs to read. */
extern void gw_routes_print(void);

#endif
