/*
 * route.h
 *	  From a request to the code that answers it.
 */
#ifndef SIM_ROUTE_H
#define SIM_ROUTE_H

#include "bin/httpd/request.h"

/* /{version}/{node}[/{edge}], taken apart; the parts are "" where absent. */
typedef struct SimPath
{
	char version[16];
	char node[128];
	char edge[64];
	bool valid; /* this shape, with a version that looks like one */
} SimPath;

extern void sim_route_parse(const char *path, SimPath *out);

/* Steering rather than playing. */
extern bool sim_route_is_control(const char *path);

/* The head of a request was read: a rule that cuts here or within the body. */
extern SimFault *sim_route_headers_fault(const SimRequest *request);

/* The whole request is there: fills request->reply. */
extern void sim_route(SimRequest *request);

/* A request was cut before it was whole. */
extern void sim_route_cut_early(SimRequest *request, const SimFault *fault);

#endif
