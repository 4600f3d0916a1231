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

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/rows.h"
#include "base/statement.h"
#include "sender/pace/pair_order.h"
#include "sender/store/transaction.h"
#include "shared/wake.h"

/* How many of the messages that wait for a time a new sender reads, those due first. */
#define SEED_DEFERRED 100000

/*
 * A deferred message that is not back so long after its time may have been
 * cancelled, or has expired, or is locked by somebody: it is looked for.
 */
#define DEFERRED_GRACE_US INT64_C(1000000)

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

void
wa_pair_deferred(WaSender *sender, WaPair *pair, int64 message_id, TimestampTz due)
{
	int place = place_of(pair, message_id);

	pair->deferred_until_us = Max(pair->deferred_until_us, wa_steady_clock(due));
	if (place < pair->n_deferred && pair->deferred[place] == message_id)
		return;
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
}

bool
wa_pair_returned(WaPair *pair, int64 message_id)
{
	int place = place_of(pair, message_id);

	if (place == pair->n_deferred || pair->deferred[place] != message_id)
		return false;
	pair->n_deferred--;
	memmove(pair->deferred + place, pair->deferred + place + 1,
			sizeof(int64) * (pair->n_deferred - place));
	if (pair->n_deferred == 0)
		pair->deferred_until_us = 0;
	return true;
}

/* A message that is to be back, and the pair that waits for it. */
typedef struct Missing
{
	int64 message_id;
	uint64 pair_key;
	bool is_coming;
} Missing;

static int
compare_missing(const void *a, const void *b)
{
	const Missing *x = a;
	const Missing *y = b;

	return (x->message_id > y->message_id) - (x->message_id < y->message_id);
}

static bool
is_overdue(const WaPair *pair, int64 now)
{
	return pair->n_deferred > 0 && now >= pair->deferred_until_us + DEFERRED_GRACE_US;
}

/*
 * Looks for these in the queue, and sees to it that the cursor comes by those
 * that are ready there.  Nobody waits for a row that somebody else has locked.
 */
static void
look_for(WaSender *sender, Missing *missing, int n)
{
	static WaStatement statement = {
		.sql = "SELECT q.message_id, q.phone_number_id, q.rank,"
			   " COALESCE(m.recipient_phone, m.recipient_user_id)"
			   " FROM @extschema@.whatsapp_queue q"
			   " JOIN @extschema@.whatsapp_messages m ON m.id = q.message_id"
			   " WHERE q.message_id = ANY ($1) AND q.phone_number_id IS NOT NULL"
			   " AND (q.state = 'r' OR q.state = 'd' AND q.due_at <= $2)"
			   " FOR UPDATE OF q SKIP LOCKED",
		.nargs = 2,
		.argtypes = {INT8ARRAYOID, TIMESTAMPTZOID},
		.expected = SPI_OK_SELECT};
	WaRows rows;
	int64 *ids = palloc(sizeof(int64) * n);
	Datum values[2];

	qsort(missing, n, sizeof(Missing), compare_missing);
	for (int i = 0; i < n; i++)
		ids[i] = missing[i].message_id;
	values[0] = wa_array_of_int8(ids, n);
	values[1] = TimestampTzGetDatum(wa_now());
	rows = wa_store_run(&statement, values, NULL);
	for (uint64 i = 0; i < rows.count; i++)
	{
		Missing key = {.message_id = wa_rows_int(&rows, i, 1, 0)};
		Missing *found = bsearch(&key, missing, n, sizeof(Missing), compare_missing);
		WaNumber *number = wa_sender_number(sender, wa_rows_text(&rows, i, 2), false);

		/* It may have come to another number, and with it to another pair. */
		if (number == NULL || wa_pair_key(number, wa_rows_text(&rows, i, 4)) != found->pair_key)
			continue;
		found->is_coming = true;
		wa_number_lower_cursor(sender, number, wa_rows_int(&rows, i, 3, 0));
	}
}

static int
gather(const WaPair *pair, Missing *missing)
{
	for (int i = 0; i < pair->n_deferred; i++)
		missing[i] = (Missing){.message_id = pair->deferred[i], .pair_key = pair->key};
	return pair->n_deferred;
}

/* Nobody waits any longer for those of them that will not come back. */
static void
wait_for_coming(WaSender *sender, Missing *missing, int n)
{
	int64 now = wa_now_us();

	look_for(sender, missing, n);
	for (int i = 0; i < n; i++)
	{
		WaPair *pair = wa_pair_find(sender, missing[i].pair_key);

		if (missing[i].is_coming)
			pair->deferred_until_us = now;
		else
			wa_pair_returned(pair, missing[i].message_id);
	}
}

bool
wa_pair_is_behind(WaSender *sender, WaPair *pair, int64 message_id)
{
	if (place_of(pair, message_id) > 0 && is_overdue(pair, wa_now_us()))
	{
		Missing *missing = palloc(sizeof(Missing) * pair->n_deferred);

		wait_for_coming(sender, missing, gather(pair, missing));
	}
	return place_of(pair, message_id) > 0;
}

void
wa_pairs_look_for_overdue(WaSender *sender)
{
	HASH_SEQ_STATUS scan;
	WaPair *pair;
	int64 now = wa_now_us();
	int max = 0;
	int n = 0;
	Missing *missing;

	wa_pairs_scan(sender, &scan);
	while ((pair = hash_seq_search(&scan)) != NULL)
		max += is_overdue(pair, now) ? pair->n_deferred : 0;
	if (max == 0)
		return;
	missing = palloc_extended(sizeof(Missing) * max, MCXT_ALLOC_HUGE);
	wa_pairs_scan(sender, &scan);
	while ((pair = hash_seq_search(&scan)) != NULL)
		if (is_overdue(pair, now))
			n += gather(pair, missing + n);
	wait_for_coming(sender, missing, n);
}

void
wa_pairs_seed_deferred(WaSender *sender)
{
	static WaStatement statement = {
		.sql =
			"SELECT q.phone_number_id, COALESCE(m.recipient_phone, m.recipient_user_id),"
			" q.message_id, q.due_at, q.hold_reason = 'pair_rate'"
			" FROM (SELECT * FROM @extschema@.whatsapp_queue"
			" WHERE state IN ('d', 'u') ORDER BY due_at LIMIT $1) q"
			" JOIN @extschema@.whatsapp_messages m ON m.id = q.message_id"
			" WHERE q.state = 'd' AND q.phone_number_id IS NOT NULL AND q.hold_reason IN"
			" ('retry', 'network', 'number_rate', 'pair_rate', 'recipient_order', 'tenant_rate')",
		.nargs = 1,
		.argtypes = {INT4OID},
		.expected = SPI_OK_SELECT};
	WaRows rows;
	Datum values[1] = {Int32GetDatum(SEED_DEFERRED)};

	rows = wa_store_run(&statement, values, NULL);
	for (uint64 i = 0; i < rows.count; i++)
	{
		WaPair *pair = wa_pair_get(sender, wa_hash_text(wa_rows_text(&rows, i, 2),
														wa_number_key(wa_rows_text(&rows, i, 1))));
		TimestampTz due = wa_rows_time(&rows, i, 4, 0);

		wa_pair_deferred(sender, pair, wa_rows_int(&rows, i, 3, 0), due);
		if (wa_rows_int(&rows, i, 5, 0) != 0)
			pair->next_deferral_us = pair->deferred_until_us;
		else
			pair->blocked_until = Max(pair->blocked_until, due);
	}
}
