/*
 * pair_order.h
 *	  The order of a recipient's messages.
 */
#ifndef WA_SENDER_PACE_PAIR_ORDER_H
#define WA_SENDER_PACE_PAIR_ORDER_H

#include "sender/pace/pair.h"
#include "sender/store/pair_rows.h"

/* A message was deferred, and later ones must not pass it. */
extern void wa_pair_deferred(WaSender *sender, WaPair *pair, int64 message_id, TimestampTz due);

/* All of one recipient's become the other's, who has turned out to be the same. */
extern void wa_pair_move_deferred(WaSender *sender, WaPair *from, WaPair *into);

/* It was read again.  False if it was not one of those. */
extern bool wa_pair_returned(WaPair *pair, int64 message_id);

/* Whether any recipient has one. */
extern bool wa_pairs_any_deferred(void);

/* Whether an earlier message than this is still to come back. */
extern bool wa_pair_is_behind(const WaPair *pair, int64 message_id);

/* The same, and it should have come back long since: it is to be looked for. */
extern bool wa_pair_misses(const WaPair *pair, int64 message_id, int64 now);

/* A message that is to be looked for, and the recipient whose others wait for it. */
typedef struct WaMissing
{
	int64 message_id;
	uint64 pair_key;
	bool is_coming; /* set by wa_pairs_found */
} WaMissing;

/*
 * What one recipient waits for; and what all of those wait for whose messages are
 * overdue.  In ascending order, in the current memory context; returns how many.
 */
extern int wa_pair_missing(const WaPair *pair, WaMissing **missing);
extern int wa_pairs_missing(WaSender *sender, WaMissing **missing);

/*
 * Of these, only the coming ones are there: nobody waits for the others any longer.
 * The cursors are lowered so that they come by them.
 */
extern void wa_pairs_found(WaSender *sender, WaMissing *missing, int n, const WaComingRow *coming,
						   int n_coming);

#endif
