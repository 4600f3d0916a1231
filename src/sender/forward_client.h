/*
 * forward_client.h
 *	  What webhooks go to other nodes through: an HTTP client of its own.
 */
#ifndef WA_SENDER_FORWARD_CLIENT_H
#define WA_SENDER_FORWARD_CLIENT_H

#include "sender/state/sender.h"

/* As wa_internal_max_nodes() has it. */
#define WA_MAX_NODES 32

/* What waits for a node stands in two lines: sql/66-forwards.sql. */
#define WA_FORWARD_LINES 2

/* NULL while there are no other nodes. */
extern struct WaHttp *wa_forward_client(void);

/* For so many nodes, if it is not open; raises. */
extern struct WaHttp *wa_forward_client_open(int nodes);

/* Ends what is under way, and waits for nothing. */
extern void wa_forward_client_close(void);

/* For the wait: the descriptor, -1 if there is none; another generation, another one. */
extern int wa_forward_client_epoll_fd(void);
extern uint32 wa_forward_client_generation(void);

#endif
