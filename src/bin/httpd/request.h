/*
 * request.h
 *	  HTTP: from bytes to a whole request, and from a reply to bytes.
 *
 * One thread does everything.  A request that must wait is suspended and its
 * timer wakes it, so that thousands can wait without cost.
 */
#ifndef HTTPD_REQUEST_H
#define HTTPD_REQUEST_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

#include "bin/httpd/buf.h"
#include "bin/simulator/fault.h"
#include "bin/simulator/reply.h"
#include "bin/httpd/timer.h"

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
	bool control; /* not counted, no rule applies */
	SimStage stage;
	SimReply reply;

	/* set by the handler */
	bool deferred;	  /* the reply comes later, by sim_server_finish() */
	int64_t delay_us; /* before the reply, or the cut */
	bool cut;		  /* end the connection instead of replying */
	bool cut_reset;
	uint64_t record;							 /* in the journal, 0: none */
	void (*on_gone)(struct SimRequest *request); /* tells that it is over; or NULL */

	/* the server's own */
	SimFault *early_fault; /* cuts within the body */
	SimTimer timer;
	bool suspended;
	bool abandoned;			 /* drop it as soon as it is resumed */
	struct SimRequest *prev; /* of the suspended ones */
	struct SimRequest *next;
} SimRequest;

/* What libmicrohttpd calls; see there. */
extern enum MHD_Result sim_server_access(void *cls, struct MHD_Connection *connection,
										 const char *path, const char *method, const char *version,
										 const char *upload_data, size_t *upload_data_size,
										 void **con_cls);
extern void sim_server_completed(void *cls, struct MHD_Connection *connection, void **con_cls,
								 enum MHD_RequestTerminationCode reason);
extern void sim_server_connection(void *cls, struct MHD_Connection *connection,
								  void **socket_context, enum MHD_ConnectionNotificationCode code);

/* True, once, if connections were resumed: the library must then get its turn. */
extern bool sim_server_take_resumed(void);

/* Before the end: resumes all that wait, and refuses whatever still comes. */
extern void sim_server_drop_waiting(void);

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
