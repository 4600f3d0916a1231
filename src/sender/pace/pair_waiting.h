/*
 * pair_waiting.h
 *	  Ready rows that are claimed by their ids, and not by the cursor.
 */
#ifndef WA_SENDER_PACE_PAIR_WAITING_H
#define WA_SENDER_PACE_PAIR_WAITING_H

#include "sender/pace/pair.h"

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

/* A message that is ready again, and will be claimed by its id. */
extern void wa_pair_came_due(WaSender *sender, WaNumber *number, const char *recipient,
							 int64 message_id, int64 rank);

/* It will be claimed by its id. */
extern void wa_waiting_again(WaSender *sender, WaWaiting *waiting);

/*
 * Takes at most limit rows out of the number's list, to be claimed by their ids now:
 * they go to the end of asked, and their ids to ids, which has room for limit.
 * Returns how many, which may be more than the list had: what lies beyond the cursor
 * is left to that, and others that wait for the same recipient may come in its place.
 */
extern int wa_waiting_ask(WaSender *sender, WaNumber *number, int limit, dlist_head *asked,
						  int64 *ids);

/* The row waits in the pair's list; nobody claims it meanwhile. */
extern void wa_pair_set_aside(WaSender *sender, WaPair *pair, WaNumber *number, int64 message_id,
							  int64 rank);

/*
 * Its row goes by another number, whose cursor has come to it: it waits here no longer.
 * It is not being asked for.
 */
extern void wa_waiting_leaves(WaSender *sender, WaWaiting *waiting);

/* All that wait for one recipient wait for the other, who has turned out to be the same. */
extern void wa_pair_move_waiting(WaPair *from, WaPair *into);

/* The first message waiting there, if there is one, will be claimed by its id. */
extern bool wa_pair_release_one(WaSender *sender, WaPair *pair);

/*
 * Who has been set aside at stopped numbers is left to the cursors: its row may go
 * by another number before that is over, and it often is never over.
 */
extern void wa_pairs_forget_stopped(WaSender *sender);

/* Those rows are left to the cursor, which goes back before all of them. */
extern void wa_pair_forget_waiting(WaSender *sender, WaPair *pair);

#endif
