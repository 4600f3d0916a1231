/*
 * auth.h
 *	  Access tokens.
 */
#ifndef SIM_AUTH_H
#define SIM_AUTH_H

#include <stdbool.h>

#include "bin/simulator/request.h"

/*
 * True, with *code 0, if the request carries the valid token.  Otherwise fills
 * in the error response and sets *code to its error code.
 */
extern bool sim_auth_check(SimRequest *request, int *code);

/* The response of debug_token about the token in the argument input_token. */
extern void sim_auth_debug_token(SimRequest *request);

#endif
