/*
 * pair.h
 *	  One recipient as seen from one number, and the pair limit.
 */
#ifndef WA_SENDER_PACE_PAIR_H
#define WA_SENDER_PACE_PAIR_H

#include "sender/state/sender.h"

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

/*
 * Valid until wa_pair_rest, wa_pairs_rest or wa_pair_of_person.  The key of a
 * recipient means what is known of the person, from the first wa_pair_of_person on
 * for as long as there is anything.
 */
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

/*
 * The key that this one means; whether anything at all is known under such a key; and
 * from now on, one of which nothing is known means the other (sender/pace/pair_person.c).
 */
extern uint64 wa_pairs_meant(const WaSender *sender, uint64 key);
extern bool wa_pair_is_known(const WaSender *sender, uint64 key);
extern void wa_pairs_join(WaSender *sender, uint64 key, uint64 to);

/* Nothing is known of it any more. */
extern void wa_pair_remove(WaSender *sender, WaPair *pair);

/* Between claims: sees to it that meanings do not pile up of which nothing is left. */
extern void wa_pairs_forget_joined(WaSender *sender);

/* A request to this recipient begins; and it has ended, or never begun: then it does not count. */
extern void wa_pair_take(WaPair *pair, int64 now);
extern void wa_pair_end(WaPair *pair, bool counts);

/* The sustained gap between messages of a pair. */
extern int64 wa_pair_interval_us(void);

#endif
