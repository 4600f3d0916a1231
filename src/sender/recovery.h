/*
 * recovery.h
 *	  What a predecessor left on the wire.
 */
#ifndef WA_SENDER_RECOVERY_H
#define WA_SENDER_RECOVERY_H

#include "sender/state/sender.h"

/*
 * Needs a transaction, and the advisory lock that makes this the only sender
 * of its index: whoever wrote these leases is dead.
 */
extern void wa_recovery_run(WaSender *sender);

#endif
