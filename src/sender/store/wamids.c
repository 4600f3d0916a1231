/*
 * wamids.c
 *	  Meta's ids of accepted messages, by which replies and statuses find them.
 *
 * The rows go into the table and its indexes without SQL, as COPY writes them: one
 * entry of the log for each page of new rows instead of one for each row.  The
 * table is internal and has no triggers, policies or constraints but its key, for
 * which its own sequence gives the values; nothing but this can be written like that.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "commands/sequence.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/lookup.h"
#include "compat.h"
#include "sender/store/transaction.h"
#include "sender/store/wamids.h"

/* Rows that are written together. */
#define ROWS_AT_ONCE 64

enum
{
	WHATSAPP_MESSAGE_ID,
	MESSAGE_ID,
	ENTRY_ID,
	COLUMNS
};

static WaLookup wamid_lookup = {.table = "whatsapp_wamids",
								.index = "whatsapp_wamids_idx",
								.ncolumns = COLUMNS,
								.columns = {"whatsapp_message_id", "message_id", "entry_id"}};

static void
fill_slot(TupleTableSlot *slot, const WaAccepted *accepted, Oid sequence)
{
	const AttrNumber *attnums = wamid_lookup.attnums;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, slot->tts_tupleDescriptor->natts);
	slot->tts_values[attnums[WHATSAPP_MESSAGE_ID] - 1] = CStringGetTextDatum(accepted->wamid);
	slot->tts_isnull[attnums[WHATSAPP_MESSAGE_ID] - 1] = false;
	slot->tts_values[attnums[MESSAGE_ID] - 1] = Int64GetDatum(accepted->message_id);
	slot->tts_isnull[attnums[MESSAGE_ID] - 1] = false;
	slot->tts_values[attnums[ENTRY_ID] - 1] = Int64GetDatum(nextval_internal(sequence, false));
	slot->tts_isnull[attnums[ENTRY_ID] - 1] = false;
	ExecStoreVirtualTuple(slot);
}

void
wa_store_wamids(const WaAccepted *accepted, int n)
{
	EState *estate = CreateExecutorState();
	ResultRelInfo *target = makeNode(ResultRelInfo);
	TupleTableSlot *slots[ROWS_AT_ONCE];
	Oid sequence = get_relname_relid("whatsapp_wamids_entry_id_seq", wa_store_schema());
	Relation table;
	int n_slots = Min(n, ROWS_AT_ONCE);

	wa_lookup_resolve(&wamid_lookup, wa_store_schema());
	table = table_open(wamid_lookup.table_oid, RowExclusiveLock);
	InitResultRelInfo(target, table, 0, NULL, 0);
	ExecOpenIndices(target, false);
	for (int i = 0; i < n_slots; i++)
		slots[i] = MakeSingleTupleTableSlot(RelationGetDescr(table), &TTSOpsVirtual);

	for (int from = 0; from < n; from += ROWS_AT_ONCE)
	{
		int m = Min(n - from, ROWS_AT_ONCE);

		for (int i = 0; i < m; i++)
			fill_slot(slots[i], &accepted[from + i], sequence);
		table_multi_insert(table, slots, m, GetCurrentCommandId(true), 0, NULL);
		for (int i = 0; i < m; i++)
		{
			ResetPerTupleExprContext(estate);
			(void) wa_insert_index_tuples(target, slots[i], estate);
		}
	}

	for (int i = 0; i < n_slots; i++)
		ExecDropSingleTupleTableSlot(slots[i]);
	ExecCloseIndices(target);
	table_close(table, NoLock);
	FreeExecutorState(estate);
}
