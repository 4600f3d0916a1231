/*
 * reply.h
 *	  An answer in the making: status, headers, body, and how it is sent.
 */
#ifndef SIM_REPLY_H
#define SIM_REPLY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "bin/httpd/buf.h"

#define SIM_REPLY_HEADERS 6

/* "A" and 22 characters: how x-fb-trace-id and fbtrace_id look. */
#define SIM_TRACE_SIZE 24

/* How the body travels. */
typedef enum SimSending
{
	SIM_SEND_WHOLE, /* at once */
	SIM_SEND_SLOW,	/* piece by piece */
	SIM_SEND_CUT,	/* the first bytes, then the connection ends */
	SIM_SEND_NEVER	/* nothing, the connection stays open */
} SimSending;

typedef struct SimReply
{
	int status;
	const char *content_type;
	SimBuf body;
	char trace[SIM_TRACE_SIZE]; /* "": not asked for yet */

	struct
	{
		const char *name; /* constant */
		char *value;	  /* owned */
	} headers[SIM_REPLY_HEADERS];
	int nheaders;

	SimSending sending;
	bool reset;			 /* SIM_SEND_CUT: by RST rather than FIN */
	int64_t piece;		 /* SIM_SEND_SLOW: bytes a time; SIM_SEND_CUT: bytes in all */
	int64_t interval_ms; /* SIM_SEND_SLOW */
} SimReply;

/* Copies value; a header beyond SIM_REPLY_HEADERS ends the program. */
extern void sim_reply_header(SimReply *reply, const char *name, const char *value);

/*
 * Makes the reply this JSON document; takes over the reference.  NULL, which
 * jansson gives for text that is not UTF-8, makes it an error.
 */
extern void sim_reply_json(SimReply *reply, int status, json_t *doc);

/* Empties the body and the headers, for a new answer in place of the old one. */
extern void sim_reply_clear(SimReply *reply);

/*
 * A Graph error envelope.  status 0 and title NULL take the published ones of
 * the code; details may be NULL, subcode and retry_after_s 0.
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

extern void sim_reply_error(SimReply *reply, const SimGraphFault *fault);

/* {"error": text} for the control interface, which is not Meta's. */
extern void sim_reply_control_error(SimReply *reply, int status, const char *text);

/* The id of this exchange: the same in the body of an error and in the header. */
extern const char *sim_reply_trace(SimReply *reply);

#endif
