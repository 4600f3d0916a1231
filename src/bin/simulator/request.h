/*
 * request.h
 *	  A request as the simulator sees it: the server's, and what goes wrong.
 */
#ifndef SIM_REQUEST_H
#define SIM_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "bin/httpd/list.h"
#include "bin/httpd/request.h"
#include "bin/simulator/fault.h"

/* "A" and 22 characters: how x-fb-trace-id and fbtrace_id look. */
#define SIM_TRACE_SIZE 24

/* How the response travels, if at all. */
typedef enum SimSending
{
	SIM_SEND_WHOLE,	  /* at once */
	SIM_SEND_SLOW,	  /* piece by piece */
	SIM_SEND_CUT,	  /* the first bytes, then the connection ends */
	SIM_SEND_NOTHING, /* the connection ends instead */
	SIM_SEND_NEVER	  /* nothing, and the connection stays open */
} SimSending;

typedef struct SimRequest
{
	HttpdRequest http; /* first, as the server demands */

	bool control;								 /* not counted, and no rule applies */
	int64_t waited_us;							 /* from its arrival to its turn here */
	const SimFault *early_fault;				 /* ends the connection within the body */
	char trace[SIM_TRACE_SIZE];					 /* "": not asked for yet */
	uint64_t record;							 /* in the journal; 0: none */
	void (*on_gone)(struct SimRequest *request); /* it is over; or NULL */

	int64_t delay_us; /* before the response, or the end of the connection */
	SimSending sending;
	bool reset;			 /* the connection ends by RST rather than FIN */
	int64_t piece;		 /* SIM_SEND_SLOW: bytes a time; SIM_SEND_CUT: bytes in all */
	int64_t interval_ms; /* SIM_SEND_SLOW */

	/* sending.c's own */
	int64_t next_piece_us; /* when the next piece is due */
	HttpdLink hanging;
} SimRequest;

#endif
