/*
 * due_rows.h
 *	  Rows of the queue whose time has come.
 *
 * Everything here runs inside a transaction of the sender, passes by what
 * somebody else has locked, locks queue rows before message rows, and returns
 * arrays in the current memory context.  "now" is an argument because an index
 * scan cannot stop at a volatile function.
 */
#ifndef WA_SENDER_STORE_DUE_ROWS_H
#define WA_SENDER_STORE_DUE_ROWS_H

#include "datatype/timestamp.h"

/* A row that was deferred, and has been placed anew. */
typedef struct WaPromotedRow
{
	int64 message_id;
	const char *phone_number_id; /* NULL: it is not ready, but waits for something else */
	int64 rank;
	const char *recipient;
} WaPromotedRow;

/* An uncertain row whose grace is over, locked with its message. */
typedef struct WaUncertainRow
{
	int64 message_id;
	const char *phone_number_id; /* NULL: none */
	int64 rank;
	int attempts;
	const char *policy;	 /* the message's, else the tenant's; NULL: neither has one */
	bool others_arrived; /* webhooks told of messages of the same number, accepted after this
						  * one was tried */
} WaUncertainRow;

/* The place that a row of the queue gets now. */
typedef struct WaPlacedRow
{
	char state;
	const char *hold_reason; /* or NULL */
	TimestampTz due_at;
} WaPlacedRow;

/* Places what is no longer deferred, at most so many rows; how many there were. */
extern int wa_store_promote_due(TimestampTz now, int limit, WaPromotedRow **rows);

extern int wa_store_uncertain_due(TimestampTz now, int limit, WaUncertainRow **rows);

/* Reads one place for each of these rows, which the caller has locked; changes nothing. */
extern WaPlacedRow *wa_store_placements(const int64 *ids, int n);

/*
 * Ends messages that have waited past their expiry, except those on the wire.
 * Returns how many.
 */
extern int wa_store_expire(TimestampTz now, int limit);

/* When the next row is due, and when the next expires; DT_NOEND: none will. */
extern void wa_store_next_due(TimestampTz *due, TimestampTz *expiry);

#endif
