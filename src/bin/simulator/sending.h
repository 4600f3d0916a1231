/*
 * sending.h
 *	  Responses that are late, slow, cut, or never come.
 */
#ifndef SIM_SENDING_H
#define SIM_SENDING_H

#include "bin/simulator/request.h"

/* In on_request, after the reply was filled in: sends it as request->sending says. */
extern void sim_sending_start(SimRequest *request);

/* The request is over. */
extern void sim_sending_forget(SimRequest *request);

/* Ends the connection, and counts it. */
extern void sim_sending_cut(SimRequest *request, bool reset);

/* True if the client sees the status of the response. */
extern bool sim_sending_shows_status(const SimRequest *request);

/* Ends the connections that a rule left without a response.  Returns how many. */
extern int sim_sending_release(void);

#endif
