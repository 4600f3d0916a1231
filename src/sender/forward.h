/*
 * forward.h
 *	  Passing on the webhooks of other nodes.
 */
#ifndef WA_SENDER_FORWARD_H
#define WA_SENDER_FORWARD_H

#include "sender/state/sender.h"

/* Moves the network along; no SQL. */
extern void wa_forward_network(void);

/* Sends what is due, and writes down what was taken. */
extern void wa_forward_run(WaSender *sender);

/* There may be something new: look. */
extern void wa_forward_requested(void);

/* An ERROR has ended what wa_forward_run was doing. */
extern void wa_forward_aborted(WaSender *sender);

/* Ends what is under way: the rows are still there, and are sent again. */
extern void wa_forward_abandon(void);

extern long wa_forward_wait_ms(WaSender *sender);

#endif
