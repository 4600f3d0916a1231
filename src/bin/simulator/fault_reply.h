/*
 * fault_reply.h
 *	  Turns a rule into what the client sees.
 */
#ifndef SIM_FAULT_REPLY_H
#define SIM_FAULT_REPLY_H

#include "bin/simulator/request.h"

/*
 * Before the request is processed.  True if the rule alone decides the outcome:
 * the request is then neither accepted nor refused by Meta's rules.
 */
extern bool sim_fault_before(SimRequest *request, const SimFault *fault);

/* After the normal response was made: spoils it. */
extern void sim_fault_after(SimRequest *request, const SimFault *fault);

#endif
