/*
 * prepared_rows.c
 *	  Messages of transactions that are prepared, and have not ended.
 *
 * A prepared transaction comes to a standby like a committed one, and is there after
 * a promotion; all others that had not ended over there are gone.  Nobody sees what it
 * has written until somebody commits it, which may have happened over there, and be
 * lost.  So this looks at the rows themselves, as a unique index does.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/arrays.h"
#include "base/rows.h"
#include "base/statement.h"
#include "sender/store/prepared_rows.h"
#include "sender/store/transaction.h"
#include "shared/first_xid.h"

const char *
wa_store_prepared_transactions(void)
{
	static WaStatement statement = {
		.sql = "SELECT COALESCE(pg_catalog.string_agg(p.transaction::pg_catalog.text, ' '"
			   " ORDER BY p.gid), '') FROM pg_catalog.pg_prepared_xacts AS p"
			   " WHERE p.database OPERATOR(pg_catalog.=) pg_catalog.current_database()",
		.expected = SPI_OK_SELECT};
	WaRows rows = wa_store_run(&statement, NULL, NULL);

	return wa_rows_text(&rows, 0, 1);
}

/* A row of the queue that its transaction has not ended to write. */
typedef struct UnfinishedRow
{
	int64 message_id;
	TransactionId xid;
} UnfinishedRow;

static int
read_unfinished(Relation queue, UnfinishedRow **rows)
{
	AttrNumber id_column = get_attnum(RelationGetRelid(queue), "message_id");
	SnapshotData dirty;
	TableScanDesc scan;
	TupleTableSlot *slot = table_slot_create(queue, NULL);
	int max = 64;
	int n = 0;

	*rows = palloc(sizeof(UnfinishedRow) * max);
	InitDirtySnapshot(dirty);
	scan = table_beginscan(queue, &dirty, 0, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool isnull;

		CHECK_FOR_INTERRUPTS();
		if (!TransactionIdIsValid(dirty.xmin))
			continue;
		if (n == max)
			*rows = repalloc_huge(*rows, sizeof(UnfinishedRow) * (max *= 2));
		(*rows)[n++] = (UnfinishedRow){
			.message_id = DatumGetInt64(slot_getattr(slot, id_column, &isnull)), .xid = dirty.xmin};
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	return n;
}

/*
 * Sessions of our own write at the same time; they say so before they write, so the
 * first of them is known when all rows have been read.
 */
int
wa_store_prepared_messages(int64 **ids)
{
	UnfinishedRow *rows;
	TransactionId first;
	Relation queue;
	int n_rows;
	int n = 0;

	*ids = NULL;
	if (wa_store_prepared_transactions()[0] == '\0')
		return 0;
	queue = table_open(get_relname_relid("whatsapp_queue", wa_store_schema()), AccessShareLock);
	n_rows = read_unfinished(queue, &rows);
	table_close(queue, NoLock);
	first = wa_first_xid();
	*ids = palloc_extended(sizeof(int64) * Max(n_rows, 1), MCXT_ALLOC_HUGE);
	for (int i = 0; i < n_rows; i++)
		if (!TransactionIdIsValid(first) || TransactionIdPrecedes(rows[i].xid, first))
			(*ids)[n++] = rows[i].message_id;
	wa_ids_sort(*ids, n);
	return n;
}
