/*
 * recovery.h
 *	  What a predecessor left on the wire, and what it knew.
 */
#ifndef WA_SENDER_RECOVERY_H
#define WA_SENDER_RECOVERY_H

#include "sender/state/sender.h"

/*
 * All run transactions of their own and need the advisory lock that makes this
 * the only sender of its index: whoever wrote the leases is dead.  The second
 * wants the configuration to be loaded.
 */
extern void wa_recovery_end_leases(WaSender *sender);
extern void wa_recovery_read_recipients(WaSender *sender);

/* Goes on with what the first has left, because somebody had it locked. */
extern void wa_recovery_run(WaSender *sender);
extern long wa_recovery_wait_ms(WaSender *sender);

#endif
