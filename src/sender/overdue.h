/*
 * overdue.h
 *	  Looking in the queue for deferred messages that should have come back.
 *
 * Both need a transaction, and lock the queue rows that they find.
 */
#ifndef WA_SENDER_OVERDUE_H
#define WA_SENDER_OVERDUE_H

#include "sender/pace/pair.h"

/* What later messages to this recipient wait for; and the same for all that are overdue. */
extern void wa_overdue_look_for(WaSender *sender, const WaPair *pair);
extern void wa_overdue_look_for_all(WaSender *sender);

#endif
