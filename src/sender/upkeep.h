/*
 * upkeep.h
 *	  What a sender does by the clock.
 */
#ifndef WA_SENDER_UPKEEP_H
#define WA_SENDER_UPKEEP_H

#include "sender/state/sender.h"

/* The configuration was read: what has become possible by that is to be done soon. */
extern void wa_upkeep_configured(WaSender *sender);

/* Runs, in transactions of its own, whatever is due. */
extern void wa_upkeep_run(WaSender *sender);

/* Milliseconds until something is due. */
extern long wa_upkeep_wait_ms(WaSender *sender);

#endif
