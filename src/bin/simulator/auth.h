/*
 * auth.h
 *	  Access tokens.
 */
#ifndef SIM_AUTH_H
#define SIM_AUTH_H

#include <stdbool.h>

#include "bin/simulator/request.h"

/* False, with the reply made, if the request's token is missing or wrong.  *code is then the error.
 */
extern bool sim_auth_check(SimRequest *request, int *code);

/* What debug_token says about the token in the argument input_token. */
extern void sim_auth_debug_token(SimRequest *request);

#endif
