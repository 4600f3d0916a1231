/*
 * messages.h
 *	  POST /{version}/{number}/messages: from the request to the answer.
 */
#ifndef SIM_MESSAGES_H
#define SIM_MESSAGES_H

#include "bin/simulator/path.h"
#include "bin/simulator/request.h"

extern void sim_messages_post(SimRequest *request, const SimPath *path);

/* A send request that never became whole: for the journal. */
extern void sim_messages_note_cut(SimRequest *request, const SimPath *path, const SimFault *fault);

#endif
