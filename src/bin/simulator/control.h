/*
 * control.h
 *	  /_control/: how tests steer and read the simulator.
 */
#ifndef SIM_CONTROL_H
#define SIM_CONTROL_H

#include "bin/simulator/request.h"

#define SIM_CONTROL_PREFIX "/_control/"

extern void sim_control(SimRequest *request);

/* The body as JSON, or NULL with the reply made. */
extern json_t *sim_control_body(SimRequest *request);

/* {"ok": true} */
extern void sim_control_ok(SimRequest *request);

#endif
