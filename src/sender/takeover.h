/*
 * takeover.h
 *	  What a promoted server does about messages that its former primary may have sent.
 */
#ifndef WA_SENDER_TAKEOVER_H
#define WA_SENDER_TAKEOVER_H

#include "sender/state/sender.h"
#include "sender/store/dispositions.h"

/* In the transaction that takes over from a primary on timeline "before". */
extern void wa_takeover_begin(WaSender *sender, TimeLineID before, TimestampTz replayed_until);

/* In a transaction: what the tables say of a take-over, and whether standbys are waited for. */
extern void wa_takeover_read(WaSender *sender);

/* Whether this message is to be held instead of claimed. */
extern bool wa_takeover_concerns(int64 message_id);
extern void wa_takeover_hold(int64 message_id, const char *number, int attempts,
							 WaDisposition *disposition);

/* One step of sender 0, in transactions of its own; and when the next is due, -1: none. */
extern void wa_takeover_run(WaSender *sender);
extern long wa_takeover_wait_ms(void);

#endif
