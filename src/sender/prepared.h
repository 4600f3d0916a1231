/*
 * prepared.h
 *	  Messages of transactions that were prepared on a former primary.
 */
#ifndef WA_SENDER_PREPARED_H
#define WA_SENDER_PREPARED_H

#include "sender/state/sender.h"

/* One step of sender 0, in a transaction of its own; and when the next is due, -1: none. */
extern void wa_prepared_run(WaSender *sender);
extern long wa_prepared_wait_ms(void);

#endif
