/*
 * task_client.h
 *	  An HTTP client of a task's own.
 *
 * Not that of the messages: what is large, or may hang, must have no connection that a
 * message waits for.  It is open only while there is something for it, so nobody has
 * sockets for what he does not use.
 */
#ifndef WA_SENDER_TASK_CLIENT_H
#define WA_SENDER_TASK_CLIENT_H

#include "http/http.h"

typedef struct WaTaskClient
{
	WaHttp *http;	   /* NULL: it is not open */
	int borrowed;	   /* descriptors */
	uint32 generation; /* another one: another descriptor to wait for, or none */
} WaTaskClient;

/* Unless it is open; raises.  Whom to trust is added to the configuration. */
extern void wa_task_client_open(WaTaskClient *client, WaHttpConfig *config);

/* Ends what is under way, and waits for nothing. */
extern void wa_task_client_close(WaTaskClient *client);

/* Milliseconds until the network has something to do by the clock; -1: never. */
extern long wa_task_client_wait_ms(const WaTaskClient *client);

#endif
