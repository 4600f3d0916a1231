/*
 * disposition.h
 *	  From the outcome of a request to the disposition of its message.
 */
#ifndef WA_SENDER_FATE_H
#define WA_SENDER_FATE_H

#include "sender/state/sender.h"
#include "sender/store/dispositions.h"

/*
 * The disposition of a message whose request was not accepted.  Needs a transaction:
 * pauses that follow from the refusal are written at once, and an opt-out is noted in it.
 */
extern void wa_disposition_decide(WaSender *sender, WaJob *job, WaDisposition *disposition);

#endif
