/*
 * gate.h
 *	  Whether one message may leave now, and what becomes of it if not.
 */
#ifndef WA_SENDER_PACE_GATE_H
#define WA_SENDER_PACE_GATE_H

#include "sender/pace/pair.h"
#include "sender/store/claim_rows.h"
#include "sender/store/dispositions.h"

/* What became of the messages that were stopped; with room for all of a claim. */
typedef struct WaDispositions
{
	WaDisposition *dispositions;
	int n;
} WaDispositions;

/*
 * The pair of this key (wa_pair_of_person) if the message may go from this number; NULL
 * if it was stopped, or set aside for its recipient.  by_id: it was set aside before, and
 * is the next one.  is_free: it reaches nobody anew.
 */
extern WaPair *wa_gate_pass(WaSender *sender, WaNumber *number, const WaClaimRow *row,
							uint64 pair_key, bool by_id, bool is_free, WaDispositions *stopped);

#endif
