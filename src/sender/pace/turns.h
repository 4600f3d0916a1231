/*
 * turns.h
 *	  Which numbers a claim reads from, and how much each may have.
 */
#ifndef WA_SENDER_PACE_TURNS_H
#define WA_SENDER_PACE_TURNS_H

#include "sender/state/number.h"
#include "sender/store/claim_rows.h"

/* Whether some number has something to send, and may. */
extern bool wa_turns_due(WaNumbers *numbers);

/* When that will be so without any event: the steady clock, or PG_INT64_MAX. */
extern int64 wa_turns_next_us(WaNumbers *numbers);

/*
 * Shares the free slots of the wire among the numbers whose turn it is.  Returns how
 * many those are; limits and chosen are in the current memory context.
 */
extern int wa_turns_take(WaNumbers *numbers, WaClaimLimit **limits, WaNumber ***chosen);

#endif
