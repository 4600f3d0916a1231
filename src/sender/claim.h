/*
 * claim.h
 *	  Which messages go out next.
 */
#ifndef WA_SENDER_CLAIM_H
#define WA_SENDER_CLAIM_H

#include "sender/state/sender.h"

extern bool wa_claim_due(WaSender *sender);

/*
 * Needs a transaction.  wa_claim_committed lets the jobs go, once their lease is
 * durable; wa_claim_aborted forgets them.
 */
extern void wa_claim_run(WaSender *sender);
extern void wa_claim_committed(WaSender *sender);
extern void wa_claim_aborted(WaSender *sender);

/* Milliseconds until a claim may be due without any event; -1: never. */
extern long wa_claim_wait_ms(WaSender *sender);

#endif
