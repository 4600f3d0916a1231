/*
 * reach.h
 *	  Keeping count of the recipients that the account's messaging limit is about.
 */
#ifndef WA_SENDER_REACH_H
#define WA_SENDER_REACH_H

#include "sender/state/sender.h"
#include "sender/store/claim_rows.h"

/*
 * Between claims, in a transaction of its own: a piece of the counting, if it is time;
 * and how many milliseconds until then, -1 if that does not matter.
 */
extern void wa_reach_run(WaSender *sender);
extern long wa_reach_wait_ms(WaSender *sender);

/* Until all that count are counted, nothing may be claimed. */
extern bool wa_reach_is_known(const WaSender *sender);

/*
 * Within the transaction of a claim.  First: which of these rows cost nothing of
 * the limit (no template, recipient already reached, or inside its service window);
 * free has room for n.  Then, for those that leave, which the gate has counted: their
 * recipients are reached.
 */
extern void wa_reach_prepare(WaSender *sender, const WaClaimRow *rows, int n, bool *free);
extern void wa_reach_add(WaSender *sender, const WaClaimRow *const *rows, int n);

#endif
