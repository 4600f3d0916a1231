/*
 * server.h
 *	  HTTP: from bytes to a whole request, and from a reply to bytes.
 *
 * One thread does everything.  A request that must wait is suspended and its
 * timer wakes it, so that thousands can wait without cost.
 */
#ifndef SIM_SERVER_H
#define SIM_SERVER_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "fault.h"
#include "reply.h"
#include "timer.h"

typedef enum SimStage
{
	SIM_STAGE_READING,
	SIM_STAGE_WAITING, /* for the delay, or for sim_server_finish() */
	SIM_STAGE_READY,
	SIM_STAGE_SENDING
} SimStage;

typedef struct SimRequest
{
	struct MHD_Connection *connection;
	char *method;
	char *path;
	SimBuf body;
	bool too_large;
	SimStage stage;
	SimReply reply;

	/* set by the handler */
	bool deferred;	  /* the reply comes later, by sim_server_finish() */
	int64_t delay_us; /* before the reply, or the cut */
	bool cut;		  /* end the connection instead of replying */
	bool cut_reset;
	uint64_t record; /* in the journal, 0: none */

	/* the server's own */
	SimFault *early_fault; /* cuts within the body */
	SimTimer timer;
	bool suspended;
	bool abandoned;			 /* drop it as soon as it is resumed */
	struct SimRequest *prev; /* of the suspended ones */
	struct SimRequest *next;
} SimRequest;

/* Starts to listen.  Prints where, and with TLS which CA to trust. */
extern void sim_server_start(void);
extern void sim_server_stop(void);

/* For the main loop: the descriptor to wait on, how long at most, and a turn. */
extern int sim_server_fd(void);
extern int sim_server_wait_ms(void);
extern void sim_server_run(void);

/* A deferred reply is there. */
extern void sim_server_finish(SimRequest *request);

/* Ends the connections that a rule left without an answer.  How many. */
extern int sim_server_release(void);

/* A query argument or a header of the request, or NULL. */
extern const char *sim_server_argument(const SimRequest *request, const char *name);
extern const char *sim_server_header(const SimRequest *request, const char *name);

/* True if the client is on this machine's loopback interface. */
extern bool sim_server_from_loopback(const SimRequest *request);

#endif
