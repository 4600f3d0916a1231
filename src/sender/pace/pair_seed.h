/*
 * pair_seed.h
 *	  After a start: what a predecessor remembered of recipients.
 */
#ifndef WA_SENDER_PACE_PAIR_SEED_H
#define WA_SENDER_PACE_PAIR_SEED_H

#include "sender/pace/pair.h"
#include "sender/store/pair_rows.h"

/* Limits as these, oldest first, have used them. */
extern void wa_pairs_seed(WaSender *sender, const WaAcceptedRow *rows, int n);

/* Messages that are deferred, whom nobody passes. */
extern void wa_pairs_seed_deferred(WaSender *sender, const WaDeferredRow *rows, int n);

#endif
