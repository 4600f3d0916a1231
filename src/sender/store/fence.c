/*
 * fence.c
 *	  Which queue rows belong to the attempt that is being settled.
 *
 * The lease is a fence against other senders (wa_store_lock_leases); it is none
 * against people.  While a request is open a webhook may end its attempt, and a
 * person may put the message back (wa_retry_message).  Its queue row is then the
 * next attempt's, and so is what the message says.
 *
 * So a settlement takes only queue rows that count fewer attempts than the one
 * being settled, which costs nothing.  Only if there are fewer of them than it
 * asked for does it look why: Meta's webhook was faster and the message is done,
 * or the message is in the queue again and this attempt is of no consequence any
 * more.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"

#include "base/arrays.h"
#include "base/rows.h"
#include "base/statement.h"
#include "sender/store/fence.h"
#include "sender/store/transaction.h"
#include "shared/wake.h"

/*
 * For one attempt number at a time: joined to an array of them, the queue might
 * be read from end to end by a planner that takes it for empty.
 */
static WaStatement dequeue_statement = {
	.sql = "DELETE FROM @extschema@.whatsapp_queue"
		   " WHERE message_id OPERATOR(pg_catalog.=) ANY ($1) AND attempts OPERATOR(pg_catalog.<) "
		   "$2 RETURNING message_id",
	.nargs = 2,
	.argtypes = {INT8ARRAYOID, INT4OID},
	.expected = SPI_OK_DELETE_RETURNING};

/*
 * The same for rows that are still where the claim has found and locked them, which
 * nearly all are: saves the way through the index.  What is at such a place by now
 * may be something else; "+ 0" keeps the planner from looking for the id first.
 */
static WaStatement dequeue_there_statement = {
	.sql = "DELETE FROM @extschema@.whatsapp_queue"
		   " WHERE ctid OPERATOR(pg_catalog.=) ANY ($1) AND message_id OPERATOR(pg_catalog.+) 0 "
		   "OPERATOR(pg_catalog.=) ANY ($2) AND attempts OPERATOR(pg_catalog.<) $3"
		   " RETURNING message_id",
	.nargs = 3,
	.argtypes = {TIDARRAYOID, INT8ARRAYOID, INT4OID},
	.expected = SPI_OK_DELETE_RETURNING};

/* Adds to missing those of the ids that a statement has not returned. */
void
wa_fence_add_missing(const WaRows *rows, const int64 *ids, int n, int64 *missing, int *n_missing)
{
	int n_returned = (int) rows->count;
	int64 *returned;

	if (n_returned == n)
		return;
	returned = palloc(sizeof(int64) * Max(n_returned, 1));
	for (int i = 0; i < n_returned; i++)
		returned[i] = wa_rows_int(rows, i, 1, 0);
	wa_ids_sort(returned, n_returned);
	for (int i = 0; i < n; i++)
		if (!wa_ids_contain(ids[i], returned, n_returned))
			missing[(*n_missing)++] = ids[i];
}

/*
 * Takes out of the queue what counts fewer attempts than below; the rest is missing.
 * tids: where the rows should be, or NULL.
 */
static void
dequeue(const int64 *ids, const ItemPointerData *tids, const int32 *below, int n, int64 *missing,
		int *n_missing)
{
	WaRows rows;
	int64 *some = palloc(sizeof(int64) * Max(n, 1));
	ItemPointerData *places = palloc(sizeof(ItemPointerData) * Max(n, 1));
	int32 done = PG_INT32_MIN;

	/* Nearly always all have the same, and this is one turn. */
	for (int left = n; left > 0;)
	{
		Datum values[3];
		int32 next = PG_INT32_MAX;
		int m = 0;

		for (int i = 0; i < n; i++)
			if (below[i] > done)
				next = Min(next, below[i]);
		for (int i = 0; i < n; i++)
		{
			if (below[i] != next)
				continue;
			if (tids != NULL)
				places[m] = tids[i];
			some[m++] = ids[i];
		}
		if (tids != NULL)
		{
			values[0] = wa_array_of_tid(places, m);
			values[1] = wa_array_of_int8(some, m);
			values[2] = Int32GetDatum(next);
			rows = wa_store_run(&dequeue_there_statement, values, NULL);
		}
		else
		{
			values[0] = wa_array_of_int8(some, m);
			values[1] = Int32GetDatum(next);
			rows = wa_store_run(&dequeue_statement, values, NULL);
		}
		wa_fence_add_missing(&rows, some, m, missing, n_missing);
		done = next;
		left -= m;
	}
}

void
wa_fence_dequeue(const int64 *ids, const int32 *below, int n, int64 *missing, int *n_missing)
{
	dequeue(ids, NULL, below, n, missing, n_missing);
}

/*
 * Whoever locks several rows of the queue does so in the order of their ids.  Rows
 * are deleted in the order of their places; where that is another one they are not
 * deleted by place.
 */
static bool
are_ascending(ItemPointerData *tids, int n)
{
	for (int i = 1; i < n; i++)
		if (ItemPointerCompare(&tids[i - 1], &tids[i]) >= 0)
			return false;
	return true;
}

void
wa_fence_dequeue_there(const int64 *ids, ItemPointerData *tids, const int32 *below, int n,
					   int64 *missing, int *n_missing)
{
	int64 *elsewhere = palloc(sizeof(int64) * Max(n, 1));
	int64 *their_ids = palloc(sizeof(int64) * Max(n, 1));
	int32 *their_below = palloc(sizeof(int32) * Max(n, 1));
	int n_elsewhere = 0;
	int m = 0;

	if (!are_ascending(tids, n))
	{
		dequeue(ids, NULL, below, n, missing, n_missing);
		return;
	}
	dequeue(ids, tids, below, n, elsewhere, &n_elsewhere);
	if (n_elsewhere == 0)
		return;
	wa_ids_sort(elsewhere, n_elsewhere);
	for (int i = 0; i < n; i++)
		if (wa_ids_contain(ids[i], elsewhere, n_elsewhere))
		{
			their_ids[m] = ids[i];
			their_below[m++] = below[i];
		}
	dequeue(their_ids, NULL, their_below, m, missing, n_missing);
}

/*
 * Of messages that had no queue row of theirs any more, those that have another
 * one by now; sorted, in the same array.  Returns how many there are.
 *
 * The messages are locked first, so that nobody puts one back after this look.
 * The sender has passed by the new rows as long as their old requests were open;
 * it is to look at them again.
 */
int
wa_fence_superseded(int64 *missing, int n)
{
	static WaStatement lock_statement = {
		.sql = "SELECT FROM @extschema@.whatsapp_messages WHERE id OPERATOR(pg_catalog.=) ANY ($1)"
			   " FOR NO KEY UPDATE",
		.nargs = 1,
		.argtypes = {INT8ARRAYOID},
		.expected = SPI_OK_SELECT};
	static WaStatement look_statement = {
		.sql = "SELECT message_id, CASE WHEN state OPERATOR(pg_catalog.=) 'r' THEN phone_number_id "
			   "END, rank"
			   " FROM @extschema@.whatsapp_queue WHERE message_id OPERATOR(pg_catalog.=) ANY ($1)"
			   " ORDER BY message_id",
		.nargs = 1,
		.argtypes = {INT8ARRAYOID},
		.expected = SPI_OK_SELECT};
	WaRows rows;
	Datum values[1] = {wa_array_of_int8(missing, n)};

	if (n == 0)
		return 0;
	wa_store_run(&lock_statement, values, NULL);
	rows = wa_store_run(&look_statement, values, NULL);
	n = (int) rows.count;
	for (int i = 0; i < n; i++)
	{
		const char *number = wa_rows_text(&rows, i, 2);

		missing[i] = wa_rows_int(&rows, i, 1, 0);
		if (number != NULL)
			wa_wake_ready(number, wa_rows_int(&rows, i, 3, 0));
	}
	return n;
}
