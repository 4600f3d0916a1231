/*
 * pair_order.h
 *	  The order of a recipient's messages.
 */
#ifndef WA_SENDER_PACE_PAIR_ORDER_H
#define WA_SENDER_PACE_PAIR_ORDER_H

#include "sender/pace/pair.h"

/* A message was deferred, and later ones must not pass it. */
extern void wa_pair_deferred(WaSender *sender, WaPair *pair, int64 message_id, TimestampTz due);

/* It was read again.  False if it was not one of those. */
extern bool wa_pair_returned(WaPair *pair, int64 message_id);

/*
 * Inside a transaction: whether an earlier message than this is still to come back.
 * Those that should have long since are looked for in the queue.
 */
extern bool wa_pair_is_behind(WaSender *sender, WaPair *pair, int64 message_id);

/* Inside a transaction: the same for all recipients. */
extern void wa_pairs_look_for_overdue(WaSender *sender);

/* Inside a transaction, after a start: what a predecessor knew of those. */
extern void wa_pairs_seed_deferred(WaSender *sender);

#endif
