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
 * It lies beyond what its number's cursor has read, which was set back; it is left to
 * the cursor, with all that waits for the same recipient.
 */
extern bool wa_waiting_is_ahead(const WaWaiting *waiting);
extern void wa_waiting_leave_to_cursor(WaSender *sender, WaWaiting *waiting);

/* The row waits in the pair's list; nobody claims it meanwhile. */
extern void wa_pair_set_aside(WaSender *sender, WaPair *pair, WaNumber *number, int64 message_id,
							  int64 rank);

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
