/*
 * template_create.h
 *	  A new template, which waits for approval.
 */
#ifndef SIM_TEMPLATE_CREATE_H
#define SIM_TEMPLATE_CREATE_H

#include "bin/simulator/request.h"

/* POST of the account's message_templates. */
extern void sim_template_create(SimRequest *request);

#endif
