/*
 * first_xid.h
 *	  The first transaction that put a message into a queue since the server started.
 */
#ifndef WA_SHARED_FIRST_XID_H
#define WA_SHARED_FIRST_XID_H

#include "c.h"

/* The current transaction, which has an id, is putting one there. */
extern void wa_first_xid_note(void);

/* Invalid if there was none.  Every transaction that was replayed has an older one. */
extern TransactionId wa_first_xid(void);

#endif
