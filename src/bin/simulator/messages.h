/*
 * messages.h
 *	  POST /{version}/{number}/messages: from the request to the response.
 */
#ifndef SIM_MESSAGES_H
#define SIM_MESSAGES_H

#include "bin/simulator/path.h"
#include "bin/simulator/request.h"

extern void sim_messages_post(SimRequest *request, const SimPath *path);

/* Logs a send request that was cut before it was complete. */
extern void sim_messages_note_cut(SimRequest *request, const SimPath *path, const SimFault *fault);

#endif
