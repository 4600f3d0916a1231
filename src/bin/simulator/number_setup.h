/*
 * number_setup.h
 *	  From a number to one that can send: request_code, verify_code, register; and
 *	  back by deregister.
 */
#ifndef SIM_NUMBER_SETUP_H
#define SIM_NUMBER_SETUP_H

#include "bin/simulator/path.h"
#include "bin/simulator/registry.h"
#include "bin/simulator/request.h"

/* Serves a POST to one of these edges of a number; false: it is none of them. */
extern bool sim_number_setup(SimRequest *request, const SimPath *path);

/* Whether it has been registered, as numbers are that nothing is said about. */
extern bool sim_number_is_registered(const SimNumber *number);

#endif
