/*
 * first_xid.h
 *	  The first transaction that changed something of ours since the server started.
 */
#ifndef WA_SHARED_FIRST_XID_H
#define WA_SHARED_FIRST_XID_H

#include "c.h"

/*
 * The current transaction is about to put a message into a queue, or has changed
 * something that decides which of them may leave.
 */
extern void wa_first_xid_note(void);

/* Invalid if there was none.  Every transaction that was replayed has an older one. */
extern TransactionId wa_first_xid(void);

#endif
