/*
 * reach_rows.h
 *	  Who was written to first in the last 24 hours: whatsapp_reach.
 *
 * A row is written once, when its recipient is reached, and deleted some time after
 * it has ceased to count; it never changes.  So the rows in the order of their time
 * are a list to which something is added at one end and taken away at the other.
 *
 * All need a transaction begun with wa_store_begin, and raise on failure.  Rows
 * and strings live until that transaction ends.
 */
#ifndef WA_SENDER_STORE_REACH_ROWS_H
#define WA_SENDER_STORE_REACH_ROWS_H

#include "datatype/timestamp.h"

/* No recipient is longer: base/args.c and Meta's user ids. */
#define WA_REACH_RECIPIENT_SIZE 160

/* A place in that list: behind this row. */
typedef struct WaReachPlace
{
	TimestampTz at;
	char recipient[WA_REACH_RECIPIENT_SIZE]; /* "": behind everything that is earlier */
} WaReachPlace;

typedef struct WaReachRow
{
	const char *tenant_id;
	const char *recipient;
	TimestampTz reached_at;
	int sender; /* which has written it */
} WaReachRow;

/* How many rows wa_store_reach returns at most. */
#define WA_REACH_PIECE 2000

/* The rows behind a place, up to and with that time, in their order.  Returns how many. */
extern int wa_store_reach(const WaReachPlace *place, TimestampTz until, WaReachRow **rows);

/* When the first row behind this place was reached; 0: there is none. */
extern TimestampTz wa_store_reach_next(const WaReachPlace *place);

/*
 * Deletes a piece of what is older than that.  *from: it has been told that nothing is
 * older than this; moves it on.  True if there is more.
 */
extern bool wa_store_prune_reach(TimestampTz *from, TimestampTz before);

/*
 * Which of these cost nothing: the person was reached already since that time, or wrote
 * to this number since then.  free has room for n.
 */
extern void wa_store_is_reached(const char *const *recipients, const char *const *persons,
								const char *const *numbers, int n, TimestampTz since, bool *free);

/* These are reached now, each by its tenant; so says this sender. */
extern void wa_store_add_reached(const char *const *persons, const char *const *tenants, int n,
								 TimestampTz now, int sender);

#endif
