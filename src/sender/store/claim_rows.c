/*
 * claim_rows.c
 *	  What the claim reads and locks.
 *
 * The claim resumes each number's ready rows after its cursor, and reads again
 * rows that were set aside because their recipient was busy.  The lock on a row
 * is held until the lease is committed, so that a cancellation sees either no
 * claim or the lease.  Rows locked by others are passed by, as SKIP LOCKED would;
 * but SKIP LOCKED says nothing of what it skips, and the cursor would leave it
 * behind.
 *
 * All this is done by index scans and not by SQL: it is what the executor would
 * do, at two thirds of the cost.  Reading and locking rows fires no triggers, and
 * policies do not concern a sender, which acts as the tables' owner; so nobody can
 * tell the difference.  What writes to messages goes through SQL
 * (sender/store/dispositions.c).
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/arrays.h"
#include "base/lookup.h"
#include "compat.h"
#include "sender/store/claim_rows.h"
#include "sender/store/orphans.h"
#include "sender/store/transaction.h"

/* The columns of the queue and of the messages that are read, as they are listed below. */
enum
{
	QUEUE_MESSAGE_ID,
	QUEUE_PHONE_NUMBER_ID,
	QUEUE_RANK,
	QUEUE_DUE_AT,
	QUEUE_EXPIRES_AT,
	QUEUE_ATTEMPTS,
	QUEUE_STATE,
	QUEUE_COLUMNS
};
#define QUEUE_COLUMN_NAMES                                                                         \
	{                                                                                              \
		"message_id", "phone_number_id", "rank", "due_at", "expires_at", "attempts", "state"       \
	}

static WaLookup ready_lookup = {.table = "whatsapp_queue",
								.index = "whatsapp_queue_ready_idx",
								.ncolumns = QUEUE_COLUMNS,
								.columns = QUEUE_COLUMN_NAMES};

static WaLookup queue_lookup = {.table = "whatsapp_queue",
								.index = "whatsapp_queue_pkey",
								.ncolumns = QUEUE_COLUMNS,
								.columns = QUEUE_COLUMN_NAMES};

enum
{
	MESSAGE_ID,
	MESSAGE_TENANT_ID,
	MESSAGE_RECIPIENT_PHONE,
	MESSAGE_RECIPIENT_USER_ID,
	MESSAGE_TYPE,
	MESSAGE_TEMPLATE_NAME,
	MESSAGE_TEMPLATE_LANGUAGE,
	MESSAGE_PAYLOAD,
	MESSAGE_CONTEXT,
	MESSAGE_COLUMNS
};
static WaLookup message_lookup = {
	.table = "whatsapp_messages",
	.index = "whatsapp_messages_pkey",
	.ncolumns = MESSAGE_COLUMNS,
	.columns = {"id", "tenant_id", "recipient_phone", "recipient_user_id", "message_type",
				"template_name", "template_language", "payload", "context_message_id"}};

/* ---- index scans ---------------------------------------------------------------- */

typedef struct RowScan
{
	const AttrNumber *attnums;
	Relation table;
	Relation index;
	IndexScanDesc desc;
	TupleTableSlot *slot; /* the current row */
} RowScan;

static void
begin_scan(RowScan *scan, WaLookup *lookup, LOCKMODE lock, int nkeys)
{
	wa_lookup_resolve(lookup, wa_store_schema());
	scan->attnums = lookup->attnums;
	scan->table = table_open(lookup->table_oid, lock);
	scan->index = index_open(lookup->index_oid, AccessShareLock);
	scan->desc = wa_index_beginscan(scan->table, scan->index, GetActiveSnapshot(), nkeys);
	scan->slot = table_slot_create(scan->table, NULL);
}

/* The locks on the tables remain until the transaction ends. */
static void
end_scan(RowScan *scan)
{
	ExecDropSingleTupleTableSlot(scan->slot);
	index_endscan(scan->desc);
	index_close(scan->index, NoLock);
	table_close(scan->table, NoLock);
}

static bool
next_row(RowScan *scan)
{
	CHECK_FOR_INTERRUPTS();
	return index_getnext_slot(scan->desc, ForwardScanDirection, scan->slot);
}

/* Makes the scan one of the rows with these ids, in their order. */
static void
scan_ids(RowScan *scan, const int64 *ids, int n)
{
	ScanKeyData key;

	ScanKeyEntryInitialize(&key, SK_SEARCHARRAY, 1, BTEqualStrategyNumber, InvalidOid, InvalidOid,
						   F_INT8EQ, wa_array_of_int8(ids, n));
	index_rescan(scan->desc, &key, 1, NULL, 0);
}

/* Makes it one of a number's ready rows after the cursor; row must live as long. */
static void
scan_ready(RowScan *scan, const WaClaimLimit *limit, ScanKeyData row[2])
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(limit->phone_number_id));

	/* (rank, message_id) > (limit->rank, limit->message_id) */
	ScanKeyInit(&row[0], 2, BTGreaterStrategyNumber, F_BTINT8CMP, Int64GetDatum(limit->rank));
	ScanKeyInit(&row[1], 3, BTGreaterStrategyNumber, F_BTINT8CMP, Int64GetDatum(limit->message_id));
	row[0].sk_flags = SK_ROW_MEMBER;
	row[1].sk_flags = SK_ROW_MEMBER | SK_ROW_END;
	memset(&keys[1], 0, sizeof(ScanKeyData));
	keys[1].sk_flags = SK_ROW_HEADER;
	keys[1].sk_attno = row[0].sk_attno;
	keys[1].sk_strategy = BTGreaterStrategyNumber;
	keys[1].sk_argument = PointerGetDatum(row);
	index_rescan(scan->desc, keys, 2, NULL, 0);
}

static int64
int8_column(const RowScan *scan, int column)
{
	bool isnull;
	Datum value = slot_getattr(scan->slot, scan->attnums[column], &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static const char *
text_column(const RowScan *scan, int column)
{
	bool isnull;
	Datum value = slot_getattr(scan->slot, scan->attnums[column], &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/*
 * Locks the current row, as FOR UPDATE SKIP LOCKED does: false if somebody else
 * has it locked, or it is gone.  What was changed since the snapshot was taken is
 * read again.
 */
static bool
lock_row(RowScan *scan, bool *changed)
{
	ItemPointerData tid = scan->slot->tts_tid;
	TM_FailureData failure;
	TM_Result result;

	result = table_tuple_lock(
		scan->table, &tid, GetActiveSnapshot(), scan->slot, GetCurrentCommandId(true),
		LockTupleExclusive, LockWaitSkip,
		TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS | TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);
	if (result != TM_Ok && result != TM_WouldBlock && result != TM_Deleted &&
		result != TM_SelfModified)
		elog(ERROR, "unexpected result of locking a row of the queue: %d", (int) result);
	*changed = result == TM_Ok && failure.traversed;
	return result == TM_Ok;
}

/* ---- the claim ---------------------------------------------------------------------- */

/* What a claim has read so far. */
typedef struct Claimed
{
	WaClaimRow *rows;
	int n;
	int max;
} Claimed;

static bool
is_ready(const RowScan *scan)
{
	bool isnull;
	Datum state = slot_getattr(scan->slot, scan->attnums[QUEUE_STATE], &isnull);

	return DatumGetChar(state) == 'r';
}

static bool
is_after(const RowScan *scan, const WaClaimLimit *limit)
{
	int64 rank = int8_column(scan, QUEUE_RANK);

	return rank > limit->rank ||
		   (rank == limit->rank && int8_column(scan, QUEUE_MESSAGE_ID) > limit->message_id);
}

static void
add_row(Claimed *claimed, const RowScan *scan, const char *number, bool by_id)
{
	WaClaimRow *row;
	bool isnull;

	if (claimed->n == claimed->max)
	{
		claimed->max *= 2;
		claimed->rows = repalloc_huge(claimed->rows, sizeof(WaClaimRow) * claimed->max);
	}
	row = &claimed->rows[claimed->n++];
	memset(row, 0, sizeof(WaClaimRow));
	row->message_id = int8_column(scan, QUEUE_MESSAGE_ID);
	row->queue_tid = scan->slot->tts_tid;
	row->rank = int8_column(scan, QUEUE_RANK);
	row->due_at = int8_column(scan, QUEUE_DUE_AT);
	row->expires_at = int8_column(scan, QUEUE_EXPIRES_AT);
	row->attempts = DatumGetInt16(slot_getattr(scan->slot, scan->attnums[QUEUE_ATTEMPTS], &isnull));
	row->phone_number_id = number;
	row->by_id = by_id;
}

/* Rows that were set aside, if they are still ready and nobody has them locked. */
static void
claim_again(Claimed *claimed, const int64 *ids, int n)
{
	RowScan scan;
	bool changed;

	if (n == 0)
		return;
	begin_scan(&scan, &queue_lookup, RowShareLock, 1);
	scan_ids(&scan, ids, n);
	while (next_row(&scan))
		if (is_ready(&scan) && lock_row(&scan, &changed) && (!changed || is_ready(&scan)))
			add_row(claimed, &scan, text_column(&scan, QUEUE_PHONE_NUMBER_ID), true);
	end_scan(&scan);
}

/*
 * Each number's ready rows after its cursor.  Those that are in the index, as this
 * snapshot sees it, and not in the result were locked, or changed just now.
 */
static void
claim_ready(Claimed *claimed, WaClaimLimit *limits, int n_limits)
{
	ScanKeyData keys[2];
	RowScan scan;

	begin_scan(&scan, &ready_lookup, RowShareLock, 2);
	for (int i = 0; i < n_limits; i++)
	{
		WaClaimLimit *limit = &limits[i];
		int left = limit->limit;

		limit->passed_by = PG_INT64_MAX;
		limit->more = false;
		if (left <= 0)
			continue;
		scan_ready(&scan, limit, keys);
		while (left > 0 && next_row(&scan))
		{
			int64 rank = int8_column(&scan, QUEUE_RANK);
			bool changed;

			if (lock_row(&scan, &changed) &&
				(!changed ||
				 (is_ready(&scan) && is_after(&scan, limit) &&
				  strcmp(text_column(&scan, QUEUE_PHONE_NUMBER_ID), limit->phone_number_id) == 0)))
			{
				add_row(claimed, &scan, limit->phone_number_id, false);
				left--;
			}
			else
				limit->passed_by = Min(limit->passed_by, rank);
		}
		/* Known here for one row more; else it would take a claim that may find nothing. */
		limit->more = left == 0 && next_row(&scan);
	}
	end_scan(&scan);
}

static int
compare_ids(const void *a, const void *b)
{
	int64 x = (*(WaClaimRow *const *) a)->message_id;
	int64 y = (*(WaClaimRow *const *) b)->message_id;

	return (x > y) - (x < y);
}

/* What the rows' messages say, read in the order of their ids: many share a page. */
static void
read_messages(Claimed *claimed)
{
	int n = claimed->n;
	WaClaimRow **by_id = palloc(sizeof(WaClaimRow *) * Max(n, 1));
	int64 *ids = palloc(sizeof(int64) * Max(n, 1));
	RowScan scan;
	int i = 0;

	if (n == 0)
		return;
	for (int j = 0; j < n; j++)
		by_id[j] = &claimed->rows[j];
	qsort(by_id, n, sizeof(WaClaimRow *), compare_ids);
	for (int j = 0; j < n; j++)
		ids[j] = by_id[j]->message_id;

	begin_scan(&scan, &message_lookup, AccessShareLock, 1);
	scan_ids(&scan, ids, n);
	while (next_row(&scan))
	{
		int64 id = int8_column(&scan, MESSAGE_ID);

		while (i < n && ids[i] < id)
			i++;
		/* read both ways, it is there twice */
		for (; i < n && ids[i] == id; i++)
		{
			WaClaimRow *row = by_id[i];
			bool isnull;
			Jsonb *payload;

			row->message_tid = scan.slot->tts_tid;
			row->tenant_id = text_column(&scan, MESSAGE_TENANT_ID);
			row->recipient_phone = text_column(&scan, MESSAGE_RECIPIENT_PHONE);
			row->recipient_user_id = text_column(&scan, MESSAGE_RECIPIENT_USER_ID);
			row->message_type = text_column(&scan, MESSAGE_TYPE);
			row->template_name = text_column(&scan, MESSAGE_TEMPLATE_NAME);
			row->template_language = text_column(&scan, MESSAGE_TEMPLATE_LANGUAGE);
			payload =
				DatumGetJsonbP(slot_getattr(scan.slot, scan.attnums[MESSAGE_PAYLOAD], &isnull));
			row->payload = JsonbToCString(NULL, &payload->root, VARSIZE(payload));
			row->context_message_id = text_column(&scan, MESSAGE_CONTEXT);
		}
	}
	end_scan(&scan);
}

/*
 * Keeps the rows that have a message; the others are in the way of everything behind
 * them, and go.
 */
static void
remove_orphans(Claimed *claimed)
{
	int64 *ids = palloc(sizeof(int64) * Max(claimed->n, 1));
	int n = 0;
	int left = 0;

	for (int i = 0; i < claimed->n; i++)
	{
		const WaClaimRow *row = &claimed->rows[i];

		if (row->tenant_id != NULL)
		{
			claimed->rows[left++] = *row;
			continue;
		}
		ids[n++] = row->message_id;
	}
	claimed->n = left;
	wa_store_remove_orphans(ids, n);
}

int
wa_store_claim(WaClaimLimit *limits, int nlimits, const int64 *ids, int nids, WaClaimRow **rows)
{
	Claimed claimed = {.max = 64 + nids};

	for (int i = 0; i < nlimits; i++)
		claimed.max += Max(limits[i].limit, 0);
	claimed.rows = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(WaClaimRow) * claimed.max);

	/* What a statement would see: all that is committed, and what this transaction has done. */
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	claim_again(&claimed, ids, nids);
	claim_ready(&claimed, limits, nlimits);
	read_messages(&claimed);
	PopActiveSnapshot();

	remove_orphans(&claimed);
	*rows = claimed.rows;
	return claimed.n;
}
