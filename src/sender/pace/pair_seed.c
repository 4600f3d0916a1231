/*
 * pair_seed.c
 *	  After a start: what a predecessor remembered of recipients.
 */
#include "postgres.h"

#include "sender/pace/pair_order.h"
#include "sender/pace/pair_person.h"
#include "sender/pace/pair_seed.h"
#include "shared/wake.h"

void
wa_pairs_seed(WaSender *sender, const WaAcceptedRow *rows, int n)
{
	int64 now = wa_now_us();

	for (int i = 0; i < n; i++)
	{
		uint64 key = wa_pair_of_person(sender, wa_number_key(rows[i].phone_number_id),
									   rows[i].recipient, rows[i].person);
		WaPair *pair = wa_pair_get(sender, key);

		pair->whole_at_us = Max(pair->whole_at_us, now - rows[i].age_us) + wa_pair_interval_us();
	}
	wa_pairs_rest(sender);
}

void
wa_pairs_seed_deferred(WaSender *sender, const WaDeferredRow *rows, int n)
{
	for (int i = 0; i < n; i++)
	{
		WaPair *pair;

		if (!rows[i].counts)
			continue;
		pair = wa_pair_get(sender, wa_pair_of_person(sender, wa_number_key(rows[i].phone_number_id),
													 rows[i].recipient, rows[i].person));
		wa_pair_deferred(sender, pair, rows[i].message_id, rows[i].due_at);
		if (rows[i].for_pair_rate)
			pair->next_deferral_us = pair->deferred_until_us;
		else
			pair->blocked_until = Max(pair->blocked_until, rows[i].due_at);
		wa_pair_rest(sender, pair);
	}
}
