/*
 * settled_rows.h
 *	  The rows that a settlement writes, locked beforehand.
 */
#ifndef WA_SENDER_STORE_SETTLED_ROWS_H
#define WA_SENDER_STORE_SETTLED_ROWS_H

/*
 * Locks the leases, the queue rows and the messages of these requests, as far as
 * nobody else has them, and sets locked[i] where somebody does.  Rows that do not
 * exist are nobody's.  Needs a transaction, and raises on failure.
 */
extern void wa_store_lock_settled(const int64 *leases, const int64 *messages, int n, bool *locked);

#endif
