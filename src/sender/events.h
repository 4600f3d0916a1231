/*
 * events.h
 *	  What a sender writes down of itself and of the settings, for wa_timeline().
 *
 * A copy, which leaves the tables as they are, says it in the log alone.
 */
#ifndef WA_SENDER_EVENTS_H
#define WA_SENDER_EVENTS_H

#include "sender/state/sender.h"

/* At its start, in a transaction of its own; raises on failure. */
extern void wa_events_started(WaSender *sender);

/*
 * Once, when it ends in good order; later calls do nothing, whatever became of the
 * first.  Raises on failure.
 */
extern void wa_events_stopped(WaSender *sender);

/*
 * Sender 0: looks whether settings or credentials have changed, at once after a
 * reload (reloaded) and else now and then.
 */
extern void wa_events_look_at_settings(WaSender *sender, bool reloaded);

#endif
