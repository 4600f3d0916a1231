/*
 * pair_rows.h
 *	  What the tables know of recipients, for a sender's memory of them.
 *
 * All need a transaction begun with wa_store_begin, and raise on failure.  Rows
 * and strings live until that transaction ends.  Each returns how many there are.
 */
#ifndef WA_SENDER_STORE_PAIR_ROWS_H
#define WA_SENDER_STORE_PAIR_ROWS_H

#include "datatype/timestamp.h"

#include "sender/store/due_rows.h"

/* A message that Meta has accepted lately. */
typedef struct WaAcceptedRow
{
	const char *phone_number_id;
	const char *recipient;
	const char *person; /* whose that is; NULL: nobody knows */
	int64 age_us;		/* since then */
} WaAcceptedRow;

/* A message that waits for a time, and that later ones must not pass. */
typedef struct WaDeferredRow
{
	int64 message_id;
	const char *phone_number_id;
	const char *recipient;
	const char *person; /* as above */
	TimestampTz due_at;
	bool for_pair_rate; /* deferred by the pair limit */
	bool counts;		/* later ones to its recipient stay behind it; else the rest is not set */
} WaDeferredRow;

/* A message that is, or is about to be, ready. */
typedef struct WaComingRow
{
	int64 message_id;
	const char *phone_number_id;
	const char *recipient;
	int64 rank;
} WaComingRow;

/* Accepted in the last seconds, oldest first; of the newest messages, max are looked at. */
extern int wa_store_recently_accepted(double seconds, int max, WaAcceptedRow **rows);

/* How many rows wa_store_deferred returns at most. */
#define WA_DEFERRED_PAGE 1000

/* The next rows after this place, which moves behind them, of all that wait for a time. */
extern int wa_store_deferred(WaDueCursor *after, WaDeferredRow **rows);

/*
 * Those of these messages that are ready, or deferred to a time before now.  Locks
 * their queue rows; what somebody else has locked is left out.
 */
extern int wa_store_coming(const int64 *ids, int n, TimestampTz now, WaComingRow **rows);

#endif
