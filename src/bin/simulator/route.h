/*
 * route.h
 *	  From a request to the code that answers it.
 */
#ifndef SIM_ROUTE_H
#define SIM_ROUTE_H

#include "bin/simulator/request.h"

/* Steering rather than playing. */
extern bool sim_route_is_control(const char *path);

/* The head of a request was read: a rule that cuts here or within the body. */
extern SimFault *sim_route_headers_fault(const SimRequest *request);

/* The whole request is there: fills request->http.reply. */
extern void sim_route(SimRequest *request);

/* A request was cut before it was whole. */
extern void sim_route_cut_early(SimRequest *request, const SimFault *fault);

#endif
