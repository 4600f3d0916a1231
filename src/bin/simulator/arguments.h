/*
 * arguments.h
 *	  The arguments of a call that changes the account: of its query, of a form or of
 *	  a JSON object, all of which Meta takes.
 */
#ifndef SIM_ARGUMENTS_H
#define SIM_ARGUMENTS_H

#include <jansson.h>

#include "bin/simulator/request.h"

/*
 * An object, of which the caller owns the reference; those of the body go before those
 * of the query.  NULL, with the error as the response, if the body is neither empty
 * nor one of the two forms.
 */
extern json_t *sim_arguments_read(SimRequest *request);

/* NULL if it is absent or no text. */
extern const char *sim_arguments_text(const json_t *arguments, const char *name);

#endif
