/*
 * takeover.h
 *	  What a promoted server does about messages that its former primary may have sent.
 */
#ifndef WA_SENDER_TAKEOVER_H
#define WA_SENDER_TAKEOVER_H

#include "sender/state/sender.h"
#include "sender/store/claim_rows.h"
#include "sender/store/dispositions.h"

/* In the transaction that takes over from a primary on timeline "before". */
extern void wa_takeover_begin(WaSender *sender, TimeLineID before, TimestampTz replayed_until);

/* In a transaction: what the tables say of a take-over, and whether standbys are waited for. */
extern void wa_takeover_read(WaSender *sender);

/*
 * In the transaction of a claim: which of these messages are to be held instead of claimed;
 * their ids, sorted.  Costs nothing when all is held.
 */
extern int wa_takeover_find(const WaClaimRow *rows, int n, int64 **held);
extern void wa_takeover_hold(int64 message_id, const char *number, int attempts,
							 WaDisposition *disposition);

/* One step of sender 0, in transactions of its own; and when the next is due, -1: none. */
extern void wa_takeover_run(WaSender *sender);
extern long wa_takeover_wait_ms(void);

/* Messages of transactions that were prepared over there, sorted. */
extern int wa_takeover_prepared(const int64 **ids);

/* In a transaction: holds what may have been sent of these; sorted.  Returns how many. */
extern int wa_takeover_hold_these(const int64 *ids, int n, bool *any_locked);

#endif
