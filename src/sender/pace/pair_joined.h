/*
 * pair_joined.h
 *	  Which keys are one recipient's.
 */
#ifndef WA_SENDER_PACE_PAIR_JOINED_H
#define WA_SENDER_PACE_PAIR_JOINED_H

typedef struct WaPairsJoined WaPairsJoined;

extern WaPairsJoined *wa_pairs_joined_create(MemoryContext context);

/* The key under which everything of this one is kept: itself, unless it was joined. */
extern uint64 wa_pair_joined_to(const WaPairsJoined *joined, uint64 key);

/* From now on this key means that one.  Both stand for themselves until then. */
extern void wa_pair_join(WaPairsJoined *joined, uint64 key, uint64 to);

/* Whether there are so many that some should be forgotten. */
extern bool wa_pairs_joined_are_many(const WaPairsJoined *joined);

/* Forgets those that mean a key of which nothing is known. */
extern void wa_pairs_joined_forget(WaPairsJoined *joined, bool (*is_known)(void *arg, uint64 key),
								   void *arg);

#endif
