/*
 * concurrency.h
 *	  How many requests are allowed on the wire.
 */
#ifndef WA_SENDER_PACE_CONCURRENCY_H
#define WA_SENDER_PACE_CONCURRENCY_H

#include "sender/state/sender.h"

/* From the least there is, and never more than this. */
extern void wa_concurrency_start(WaSender *sender, int most);

/* There may be fewer, or more, than before. */
extern void wa_concurrency_configured(WaSender *sender, int most);

/* The sender has slept this long; one of its requests was answered. */
extern void wa_concurrency_slept(WaSender *sender, int64 us);
extern void wa_concurrency_answered(void);

/* Adapts the limit, and what is claimed ahead, if it was measured for long enough. */
extern void wa_concurrency_adapt(WaSender *sender, int most);

/* Whether one more message may be begun. */
extern bool wa_concurrency_has_room(const WaSender *sender);

/*
 * How many requests there may be from now on, leased ones among them; the HTTP client
 * can have this many under way.
 */
extern void wa_concurrency_set_slots(WaSender *sender, int capacity);

#endif
