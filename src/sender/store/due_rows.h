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

/* A place in the order in which rows become due. */
typedef struct WaDueCursor
{
	TimestampTz due_at;
	int64 rank;
	int64 message_id;
} WaDueCursor;

/* A row whose time has come: deferred, or uncertain. */
typedef struct WaDueRow
{
	WaDueCursor at;
	bool is_deferred;
} WaDueRow;

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

/* The next rows after this place that are due by now, in their order, and unlocked. */
extern int wa_store_due(const WaDueCursor *after, TimestampTz now, int limit, WaDueRow **due);

/* Of these, the deferred ones that could be locked. */
extern int wa_store_lock_due(const int64 *ids, int n, TimestampTz now, int64 **locked);

/* Places what is no longer deferred, and locked. */
extern int wa_store_promote(const int64 *locked, int n_locked, WaPromotedRow **promoted);

extern int wa_store_uncertain_due(TimestampTz now, int limit, WaUncertainRow **uncertain);

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
 * Ends messages whose expiry lies between then and now, except those on the wire, and
 * moves *from behind what it has looked at.  True if there may be more.
 */
extern bool wa_store_expire(TimestampTz *from, TimestampTz now, int limit);

/*
 * When the next row after this place is due, and when the next expires from then on;
 * DT_NOEND: none will.
 */
extern void wa_store_next_due(const WaDueCursor *after, TimestampTz from, TimestampTz *due,
							  TimestampTz *expiry);

#endif
