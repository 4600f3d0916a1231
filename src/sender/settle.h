/*
 * settle.h
 *	  Writes down what became of the requests that are finished.
 */
#ifndef WA_SENDER_SETTLE_H
#define WA_SENDER_SETTLE_H

#include "sender/state/sender.h"

/* Whether enough is finished, or has waited long enough, to be written. */
extern bool wa_settle_due(WaSender *sender);

/*
 * Needs a transaction.  The sender's memory follows in wa_settle_committed; after
 * wa_settle_aborted the same requests are still to be settled.
 */
extern void wa_settle_run(WaSender *sender);
extern void wa_settle_committed(WaSender *sender);
extern void wa_settle_aborted(WaSender *sender);

/* Marks requests that have been out for more than a moment, if there are any. */
extern bool wa_settle_slow_due(WaSender *sender);
extern void wa_settle_mark_slow(WaSender *sender);

extern long wa_settle_wait_ms(WaSender *sender);

#endif
