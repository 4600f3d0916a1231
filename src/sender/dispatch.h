/*
 * dispatch.h
 *	  One cycle of a sender: collect, settle, claim, submit.
 */
#ifndef WA_SENDER_DISPATCH_H
#define WA_SENDER_DISPATCH_H

#include "sender/state/sender.h"

/* Opens what the requests go through, and changes its settings while it is in use. */
extern void wa_dispatch_open(WaSender *sender);
extern void wa_dispatch_reopen(WaSender *sender);
extern void wa_dispatch_close(WaSender *sender);
extern void wa_dispatch_check_settings(WaSender *sender);

/* Moves the network along and takes in what has finished. */
extern void wa_dispatch_network(WaSender *sender);

/* Settles and claims, as far as either is due, in one short transaction. */
extern void wa_dispatch_cycle(WaSender *sender);
extern void wa_dispatch_aborted(WaSender *sender);

/* Claims and begins nothing more; what was leased only, is to be settled as never begun. */
extern void wa_dispatch_stop(WaSender *sender);

/* Gives up on what is on the wire; the outcomes are then to be settled. */
extern void wa_dispatch_abandon(WaSender *sender);

/* Milliseconds until there may be something to do without any event; -1: never. */
extern long wa_dispatch_wait_ms(WaSender *sender);

#endif
