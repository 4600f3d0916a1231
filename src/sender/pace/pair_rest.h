/*
 * pair_rest.h
 *	  What is remembered of recipients that have little to be remembered.
 */
#ifndef WA_SENDER_PACE_PAIR_REST_H
#define WA_SENDER_PACE_PAIR_REST_H

typedef struct WaPairsAtRest WaPairsAtRest;

/* Times are of the steady clock, and may come back up to a hundredth of a second later. */
typedef struct WaPairAtRest
{
	uint64 key;
	int64 whole_at_us; /* when its burst is whole */
	int64 deferred_id; /* the only message that is deferred; 0: none */
	int64 until_us;	   /* to which time */
	bool for_turn;	   /* that is the last turn given to a new message */
	bool for_return;   /* ... to one that had had its turn */
} WaPairAtRest;

extern WaPairsAtRest *wa_pairs_at_rest_create(MemoryContext context);

/* False if its times lie too far ahead to be remembered like this. */
extern bool wa_pair_lay_to_rest(WaPairsAtRest *pairs, const WaPairAtRest *pair);

/* Takes it out again.  False if nothing is known of it. */
extern bool wa_pair_wake_up(WaPairsAtRest *pairs, uint64 key, WaPairAtRest *pair);

/* Whether it rests; and whether with a message that is deferred. */
extern bool wa_pair_rests(WaPairsAtRest *pairs, uint64 key);
extern bool wa_pair_rests_deferred(WaPairsAtRest *pairs, uint64 key);

/* Those whose message should have been back by then, in the current memory context. */
extern int wa_pairs_at_rest_overdue(WaPairsAtRest *pairs, int64 by_us, uint64 **keys);

/* Forgets those of which there is nothing left to be known: ticks do not tell for ever. */
extern void wa_pairs_at_rest_forget_whole(WaPairsAtRest *pairs);

#endif
