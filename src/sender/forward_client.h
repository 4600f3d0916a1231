/*
 * forward_client.h
 *	  What webhooks go to other nodes through.
 */
#ifndef WA_SENDER_FORWARD_CLIENT_H
#define WA_SENDER_FORWARD_CLIENT_H

#include "sender/task_client.h"

/* As wa_internal_max_nodes() has it. */
#define WA_MAX_NODES 32

/* What waits for a node stands in two lines: sql/66-forwards.sql. */
#define WA_FORWARD_LINES 2

extern WaTaskClient wa_forward_client;

/* For so many nodes, if it is not open; raises. */
extern void wa_forward_client_open(int nodes);

#endif
