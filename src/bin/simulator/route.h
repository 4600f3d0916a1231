/*
 * route.h
 *	  From a request to the code that handles it.
 */
#ifndef SIM_ROUTE_H
#define SIM_ROUTE_H

#include "bin/simulator/request.h"

/* True for a command of the control interface. */
extern bool sim_route_is_control(const char *path);

/* After the head of a request: a rule that cuts here or within the body, or NULL. */
extern SimFault *sim_route_headers_fault(const SimRequest *request);

/* After the whole request: fills in the response, or defers it. */
extern void sim_route(SimRequest *request);

/* Logs a request that was cut before it was complete. */
extern void sim_route_cut_early(SimRequest *request, const SimFault *fault);

#endif
