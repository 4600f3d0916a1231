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
	int64 next_deferral_us;	   /* last turn given to a new message */
	TimestampTz blocked_until; /* last due time given to one that had had its turn */
	int64 *deferred;		   /* messages not back from their deferral, ascending */
	int64 deferred_until_us;   /* the latest time to which one of those was deferred */
	int n_deferred;
	int max_deferred;
	int in_flight;
	int n_waiting;
	int throttles;		/* pair refusals in a row */
	dlist_head waiting; /* WaWaiting: set aside until in_flight is 0 */
} WaPair;

/*
 * A ready row to be claimed by its id: it was read but has to wait for its
 * recipient, or it has come back from its deferral.
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
extern void wa_pair_deferred(WaSender *sender, WaPair *pair, int64 message_id, TimestampTz due);

/* It was read again.  False if it was not one of those. */
extern bool wa_pair_returned(WaPair *pair, int64 message_id);

/*
 * Inside a transaction: whether an earlier message than this is still to come back.
 * One that should have long since is looked for in the queue.
 */
extern bool wa_pair_is_behind(WaSender *sender, WaPair *pair, int64 message_id);

/* A message that is ready again, and will be claimed by its id. */
extern void wa_pair_came_due(WaSender *sender, WaNumber *number, const char *recipient,
							 int64 message_id, int64 rank);

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

/*
 * Keeps nothing but the pair limit of a pair, or of all, for which nothing is under
 * way; of all: inside a transaction, to see who will not come back.
 */
extern void wa_pair_rest(WaSender *sender, WaPair *pair);
extern void wa_pairs_rest(WaSender *sender);

/* Inside a transaction: limits as recent history has used them, and who waits for them. */
extern void wa_pairs_seed(WaSender *sender);

/* The sustained gap between messages of a pair. */
extern int64 wa_pair_interval_us(void);

#endif
