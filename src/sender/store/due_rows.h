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
	const char *policy; /* the message's, else the tenant's; NULL: neither has one */
} WaUncertainRow;

/* What it means that no report of a message has come. */
typedef struct WaSilence
{
	TimestampTz wait_until; /* a report may come until then; 0: too many can have been missed */
	bool is_proof;			/* Meta does not have the message */
} WaSilence;

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

/*
 * One for each of these messages, whose last requests had no response.  Reports are
 * awaited for the grace; hearing_since is what the server knows itself of the time
 * since which it has missed none.
 */
extern WaSilence *wa_store_judge_silence(const int64 *ids, int n, int grace_ms,
										 TimestampTz hearing_since, TimestampTz now);

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
