/*
 * fate.h
 *	  From the outcome of a request to the fate of its message.
 */
#ifndef WA_FATE_H
#define WA_FATE_H

#include "senderstate.h"
#include "store_settle.h"

/*
 * The fate of a message whose request was not accepted.  Needs a transaction:
 * pauses and opt-outs that follow from the refusal are written at once.
 */
extern void wa_fate_decide(WaSender *sender, WaJob *job, WaFate *fate);

#endif
