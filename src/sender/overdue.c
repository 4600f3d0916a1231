/*
 * overdue.c
 *	  Looking in the queue for deferred messages that should have come back.
 *
 * Nobody passes a message that is deferred (sender/pace/pair_order.c).  Not every
 * one comes back: it may have been cancelled, have expired, or be held.  Nobody
 * waits for those once they have been looked for in vain.
 */
#include "postgres.h"

#include "sender/overdue.h"
#include "sender/pace/pair_order.h"
#include "sender/store/pair_rows.h"

static void
look_for(WaSender *sender, WaMissing *missing, int n)
{
	int64 *ids = palloc_extended(sizeof(int64) * Max(n, 1), MCXT_ALLOC_HUGE);
	WaComingRow *coming;
	int n_coming;

	if (n == 0)
		return;
	for (int i = 0; i < n; i++)
		ids[i] = missing[i].message_id;
	n_coming = wa_store_coming(ids, n, wa_now(), &coming);
	wa_pairs_found(sender, missing, n, coming, n_coming);
}

void
wa_overdue_look_for(WaSender *sender, const WaPair *pair)
{
	WaMissing *missing;
	int n = wa_pair_missing(pair, &missing);

	look_for(sender, missing, n);
}

void
wa_overdue_look_for_all(WaSender *sender)
{
	WaMissing *missing;
	int n = wa_pairs_missing(sender, &missing);

	look_for(sender, missing, n);
}
