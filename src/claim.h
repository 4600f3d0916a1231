/*
 * claim.h
 *	  Which messages go out next.
 */
#ifndef WA_CLAIM_H
#define WA_CLAIM_H

#include "senderstate.h"

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
