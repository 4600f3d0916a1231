/*
 * reply.h
 *	  Responses as Meta makes them, and those of the control interface.
 */
#ifndef SIM_REPLY_H
#define SIM_REPLY_H

#include <jansson.h>

#include "bin/httpd/buf.h"
#include "bin/simulator/request.h"

/*
 * Begins a JSON response with an empty body, and returns that to be filled:
 * faster than a document where a benchmark waits for it.
 */
extern HttpdBuf *sim_reply_start(SimRequest *request, int status);

/*
 * Makes the response this JSON document; takes over the reference.  NULL, which
 * jansson gives for text that is not UTF-8, makes it an error.
 */
extern void sim_reply_json(SimRequest *request, int status, json_t *doc);

/* Discards the response, for another one in its place. */
extern void sim_reply_clear(SimRequest *request);

/*
 * A Graph error envelope.  status 0 and type and title NULL take the published
 * ones of the code; details may be NULL, subcode 0.
 */
typedef struct SimGraphFault
{
	int code;
	int subcode;
	int status;
	const char *type;
	const char *title;
	const char *details;
	bool transient;
} SimGraphFault;

extern void sim_reply_error(SimRequest *request, const SimGraphFault *fault);

/* {"error": text} for the control interface, which is not Meta's. */
extern void sim_reply_control_error(SimRequest *request, int status, const char *text);

/* The ID of this exchange: the same in the body of an error and in the header. */
extern const char *sim_reply_trace(SimRequest *request);

#endif
