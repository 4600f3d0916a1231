/*
 * route.h
 *	  The address of a route, /a/{b}/c, against a path.
 */
#ifndef GW_ROUTE_H
#define GW_ROUTE_H

#include "bin/gateway/exchange.h"

/* Whether the path is of this form; if so, arguments has what stood for the names. */
extern bool gw_route_matches(const GwRoute *route, const GwPath *path,
							 char *arguments[GW_MAX_ARGUMENTS]);

/* The name of a route's argument, counted from 0; out is cut to size. */
extern void gw_route_argument_name(const GwRoute *route, int number, char *out, size_t size);

#endif
