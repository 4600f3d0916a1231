/*
 * fence.h
 *	  Which queue rows belong to the attempt that is being settled.
 *
 * Ids that a statement did not find are collected in missing, which has room for
 * all that were asked for.
 */
#ifndef WA_SENDER_STORE_FENCE_H
#define WA_SENDER_STORE_FENCE_H

#include "storage/itemptr.h"

#include "base/rows.h"

/* Takes out of the queue what counts fewer attempts than below. */
extern void wa_fence_dequeue(const int64 *ids, const int32 *below, int n, int64 *missing,
							 int *n_missing);

/* The same, sooner, for rows that should still be at these places; ids ascending. */
extern void wa_fence_dequeue_there(const int64 *ids, ItemPointerData *tids, const int32 *below,
								   int n, int64 *missing, int *n_missing);

/* For other statements that return the ids they have found, in their first column. */
extern void wa_fence_add_missing(const WaRows *returned, const int64 *ids, int n, int64 *missing,
								 int *n_missing);

/*
 * Keeps in missing, sorted, the messages that are in the queue for a later
 * attempt, and returns how many there are.
 */
extern int wa_fence_superseded(int64 *missing, int n);

#endif
