/*
 * control.h
 *	  /_control/: how tests control the simulator and read from it.
 */
#ifndef SIM_CONTROL_H
#define SIM_CONTROL_H

#include "bin/simulator/request.h"

#define SIM_CONTROL_PREFIX "/_control/"

extern void sim_control(SimRequest *request);

/* The body as JSON; or NULL, with the error response filled in. */
extern json_t *sim_control_body(SimRequest *request);

/* {"ok": true} */
extern void sim_control_ok(SimRequest *request);

#endif
