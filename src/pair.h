/*
 * pair.h
 *	  One recipient as seen from one number: the pair limit, and the order of
 *	  messages.
 */
#ifndef WA_PAIR_H
#define WA_PAIR_H

#include "senderstate.h"

/*
 * The pair limit is kept as the virtual time at which its burst will be whole
 * again (GCRA).
 */
typedef struct WaPair
{
	uint64 key;
	int64 whole_at_us;		   /* monotonic clock */
	int64 next_deferral_us;	   /* last due time given to a deferred message */
	TimestampTz blocked_until; /* an earlier message is deferred until then */
	int64 deferred_id;		   /* the latest message deferred for the pair's sake */
	int64 deferred_until_us;   /* the latest time to which one was deferred */
	int n_deferred;			   /* how many have not come back yet */
	int in_flight;
	int n_waiting;
	int throttles;		/* pair refusals in a row */
	dlist_head waiting; /* WaWaiting: set aside until in_flight is 0 */
} WaPair;

/*
 * A ready row that was read but has to wait for its recipient, and then to be
 * claimed again by its id.
 */
typedef struct WaWaiting
{
	dlist_node node;
	int64 message_id;
	int64 rank;
	uint64 pair_key;
	WaNumber *number;
} WaWaiting;

extern WaPairs *wa_pairs_create(MemoryContext context);

/* Valid until wa_pair_rest or wa_pairs_rest. */
extern WaPair *wa_pair_get(WaSender *sender, uint64 key);
extern uint64 wa_pair_key(const WaNumber *number, const char *recipient);

/* A message was deferred, and later ones must not pass it. */
extern void wa_pair_deferred(WaPair *pair, int64 message_id, TimestampTz due);

/* Whether one of those is still to come back from its deferral. */
extern bool wa_pair_has_deferred(const WaPair *pair, int64 now);

/* The row waits in the pair's list; nobody claims it meanwhile. */
extern void wa_pair_set_aside(WaSender *sender, WaPair *pair, WaNumber *number, int64 message_id,
							  int64 rank);

/* The first message waiting there, if there is one, will be claimed by its id. */
extern bool wa_pair_release_one(WaSender *sender, WaPair *pair);

/*
 * Who has been set aside at paused numbers is left to the cursors: its row may go
 * by another number before the pause ends, and it often ends never.
 */
extern void wa_pairs_forget_paused(WaSender *sender);

/* Those rows are left to the cursor, which must go back before all of them. */
extern void wa_pair_forget_waiting(WaSender *sender, WaPair *pair);

/* Keeps nothing but the pair limit of a pair, or of all, for which nothing is under way. */
extern void wa_pair_rest(WaSender *sender, WaPair *pair);
extern void wa_pairs_rest(WaSender *sender);

/* Inside a transaction: limits as recent history has used them, and who waits for them. */
extern void wa_pairs_seed(WaSender *sender);

/* The sustained gap between messages of a pair. */
extern int64 wa_pair_interval_us(void);

#endif
