/*
 * pair.h
 *	  One recipient as seen from one number, and the pair limit.
 */
#ifndef WA_SENDER_PACE_PAIR_H
#define WA_SENDER_PACE_PAIR_H

#include "sender/state/sender.h"
#include "sender/store/pair_rows.h"

/*
 * The pair limit is kept as the virtual time at which its burst will be whole
 * again (GCRA).
 */
typedef struct WaPair
{
	uint64 key;
	int64 whole_at_us;		   /* monotonic clock */
	int64 next_deferral_us;	   /* last turn given to a new message */
	TimestampTz blocked_until; /* last due time given to one that had had its turn */
	int64 *deferred;		   /* messages not back from their deferral, ascending */
	int64 deferred_until_us;   /* the latest time to which one of those was deferred */
	int n_deferred;
	int max_deferred;
	int in_flight;
	int n_waiting;
	int throttles;		/* responses in a row that told of the pair limit */
	dlist_head waiting; /* WaWaiting: set aside until in_flight is 0 */
} WaPair;

extern WaPairs *wa_pairs_create(MemoryContext context);

/* Valid until wa_pair_rest or wa_pairs_rest. */
extern WaPair *wa_pair_get(WaSender *sender, uint64 key);
extern uint64 wa_pair_key(const WaNumber *number, const char *recipient);

/*
 * Keeps little of a pair, or of all, for which nothing is under way, or one deferred
 * message at most.
 */
extern void wa_pair_rest(WaSender *sender, WaPair *pair);
extern void wa_pairs_rest(WaSender *sender);

/*
 * NULL if nothing is under way for it; and all that do not rest, by hash_seq_search.
 * Those whose deferred message should have been back by then do not rest after
 * wa_pairs_wake_overdue.
 */
extern WaPair *wa_pair_find(WaSender *sender, uint64 key);
extern void wa_pairs_wake_overdue(WaSender *sender, int64 by_us);
extern void wa_pairs_scan(WaSender *sender, HASH_SEQ_STATUS *scan);

/* After a start: limits as these, oldest first, have used them. */
extern void wa_pairs_seed(WaSender *sender, const WaAcceptedRow *rows, int n);

/* A request to this recipient begins; and it has ended, or never begun: then it does not count. */
extern void wa_pair_take(WaPair *pair, int64 now);
extern void wa_pair_end(WaPair *pair, bool counts);

/* The sustained gap between messages of a pair. */
extern int64 wa_pair_interval_us(void);

#endif
