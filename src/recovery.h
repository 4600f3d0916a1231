/*
 * recovery.h
 *	  What a predecessor left on the wire.
 */
#ifndef WA_RECOVERY_H
#define WA_RECOVERY_H

#include "senderstate.h"

/*
 * Needs a transaction, and the advisory lock that makes this the only sender
 * of its index: whoever wrote these leases is dead.
 */
extern void wa_recovery_run(WaSender *sender);

#endif
