/*
 * pair_order.c
 *	  The order of a recipient's messages.
 *
 * Every message has its place in the queue by its rank, which does not change.
 * What could go wrong is that one is not there when its turn comes, because it
 * is deferred, and a later one is.  So the ids of those that are deferred are
 * known, eight bytes each, from the deferral until the row has been read again,
 * and nobody passes them.
 *
 * Not every one comes back: it may have been cancelled, or expire, or be held.
 * One that is not back some time after it was due is looked for in the queue.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "sender/pace/pair_order.h"
#include "shared/wake.h"

/*
 * A deferred message that is not back this long after its time may have been
 * cancelled, or has expired, or is locked by somebody: it is looked for.
 */
#define DEFERRED_GRACE_US INT64_C(1000000)

/* Of all recipients together. */
static int n_deferred;

/* Where this message stands among those that are deferred, or would. */
static int
place_of(const WaPair *pair, int64 message_id)
{
	int low = 0;
	int high = pair->n_deferred;

	while (low < high)
	{
		int middle = low + (high - low) / 2;

		if (pair->deferred[middle] < message_id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* False: it was among them. */
static bool
add(WaSender *sender, WaPair *pair, int64 message_id)
{
	int place = place_of(pair, message_id);

	if (place < pair->n_deferred && pair->deferred[place] == message_id)
		return false;
	if (pair->n_deferred == pair->max_deferred)
	{
		int max = Max(pair->max_deferred * 2, 2);

		pair->deferred = pair->deferred == NULL
							 ? MemoryContextAlloc(sender->state_context, sizeof(int64) * max)
							 : repalloc(pair->deferred, sizeof(int64) * max);
		pair->max_deferred = max;
	}
	memmove(pair->deferred + place + 1, pair->deferred + place,
			sizeof(int64) * (pair->n_deferred - place));
	pair->deferred[place] = message_id;
	pair->n_deferred++;
	return true;
}

void
wa_pair_deferred(WaSender *sender, WaPair *pair, int64 message_id, TimestampTz due)
{
	pair->deferred_until_us = Max(pair->deferred_until_us, wa_steady_clock(due));
	if (add(sender, pair, message_id))
		n_deferred++;
}

void
wa_pair_move_deferred(WaSender *sender, WaPair *from, WaPair *into)
{
	into->deferred_until_us = Max(into->deferred_until_us, from->deferred_until_us);
	for (int i = 0; i < from->n_deferred; i++)
		if (!add(sender, into, from->deferred[i]))
			n_deferred--;
	from->n_deferred = 0;
}

bool
wa_pair_returned(WaPair *pair, int64 message_id)
{
	int place = place_of(pair, message_id);

	if (place == pair->n_deferred || pair->deferred[place] != message_id)
		return false;
	pair->n_deferred--;
	n_deferred--;
	memmove(pair->deferred + place, pair->deferred + place + 1,
			sizeof(int64) * (pair->n_deferred - place));
	if (pair->n_deferred == 0)
		pair->deferred_until_us = 0;
	return true;
}

bool
wa_pairs_any_deferred(void)
{
	return n_deferred > 0;
}

bool
wa_pair_is_behind(const WaPair *pair, int64 message_id)
{
	return place_of(pair, message_id) > 0;
}

/* ---- those that do not come back ---------------------------------------------------- */

static bool
is_overdue(const WaPair *pair, int64 now)
{
	return pair->n_deferred > 0 && now >= pair->deferred_until_us + DEFERRED_GRACE_US;
}

bool
wa_pair_misses(const WaPair *pair, int64 message_id, int64 now)
{
	return wa_pair_is_behind(pair, message_id) && is_overdue(pair, now);
}

static int
gather(const WaPair *pair, WaMissing *missing)
{
	for (int i = 0; i < pair->n_deferred; i++)
		missing[i] = (WaMissing){.message_id = pair->deferred[i], .pair_key = pair->key};
	return pair->n_deferred;
}

int
wa_pair_missing(const WaPair *pair, WaMissing **missing)
{
	*missing = palloc(sizeof(WaMissing) * Max(pair->n_deferred, 1));
	return gather(pair, *missing);
}

static int
compare_missing(const void *a, const void *b)
{
	const WaMissing *x = a;
	const WaMissing *y = b;

	return (x->message_id > y->message_id) - (x->message_id < y->message_id);
}

int
wa_pairs_missing(WaSender *sender, WaMissing **missing)
{
	HASH_SEQ_STATUS scan;
	WaPair *pair;
	int64 now = wa_now_us();
	int max = 0;
	int n = 0;

	wa_pairs_wake_overdue(sender, now - DEFERRED_GRACE_US);
	wa_pairs_scan(sender, &scan);
	while ((pair = hash_seq_search(&scan)) != NULL)
		max += is_overdue(pair, now) ? pair->n_deferred : 0;
	*missing = palloc_extended(sizeof(WaMissing) * Max(max, 1), MCXT_ALLOC_HUGE);
	if (max == 0)
		return 0;
	wa_pairs_scan(sender, &scan);
	while ((pair = hash_seq_search(&scan)) != NULL)
		if (is_overdue(pair, now))
			n += gather(pair, *missing + n);
	qsort(*missing, n, sizeof(WaMissing), compare_missing);
	return n;
}

void
wa_pairs_found(WaSender *sender, WaMissing *missing, int n, const WaComingRow *coming, int n_coming)
{
	int64 now = wa_now_us();

	for (int i = 0; i < n_coming; i++)
	{
		WaMissing key = {.message_id = coming[i].message_id};
		WaMissing *found = bsearch(&key, missing, n, sizeof(WaMissing), compare_missing);
		WaNumber *number = wa_number_find(&sender->numbers, coming[i].phone_number_id);

		/* It may have come to another number, and with it to another pair. */
		if (number == NULL || wa_pairs_meant(sender, wa_pair_key(number, coming[i].recipient)) !=
								  wa_pairs_meant(sender, found->pair_key))
			continue;
		found->is_coming = true;
		wa_number_lower_cursor(number, coming[i].rank);
	}
	for (int i = 0; i < n; i++)
	{
		WaPair *pair = wa_pair_find(sender, missing[i].pair_key);

		if (missing[i].is_coming)
			pair->deferred_until_us = now;
		else
			wa_pair_returned(pair, missing[i].message_id);
	}
}
