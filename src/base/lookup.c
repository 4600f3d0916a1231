/*
 * lookup.c
 *	  Reading single rows of our own tables through a given index.
 *
 * The look-ups of every enqueued message do not go through SQL, for two
 * reasons.  They cost a fifth of what the same statement costs, most of which
 * is starting and ending the executor.  And they cannot be planned badly: a
 * kept plan made while a table was small reads the whole of it, and goes on
 * doing so until ANALYZE has noticed that it has grown, which during a first
 * large import makes every call slower than the one before.
 *
 * Privileges are not checked: callers decide what their caller may learn.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/skey.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_collation.h"
#include "executor/tuptable.h"
#include "storage/bufmgr.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/lookup.h"
#include "compat.h"

/*
 * Counts invalidations of relations and schemas.  Finding the names again
 * costs three microseconds, so it is not worth telling whose they were.
 */
static uint64 catalog_generation = 1;

static void
relation_changed(Datum arg, Oid relid)
{
	catalog_generation++;
}

static void
namespace_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	catalog_generation++;
}

static void
watch_catalog(void)
{
	static bool watching = false;

	if (watching)
		return;
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, namespace_changed, (Datum) 0);
	watching = true;
}

static Oid
find_relation(const char *name, Oid schema)
{
	Oid relid = get_relname_relid(name, schema);

	if (!OidIsValid(relid))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("relation \"%s\" of whatsapp_shared is missing", name),
						errhint("Drop the extension and create it again.")));
	return relid;
}

void
wa_lookup_resolve(WaLookup *lookup, Oid schema)
{
	uint64 generation;

	watch_catalog();
	if (lookup->generation == catalog_generation && lookup->schema == schema)
		return;

	/* The look-ups may themselves receive invalidations: note the state before. */
	generation = catalog_generation;
	lookup->table_oid = find_relation(lookup->table, schema);
	lookup->index_oid = find_relation(lookup->index, schema);
	for (int i = 0; i < lookup->ncolumns; i++)
	{
		lookup->attnums[i] = get_attnum(lookup->table_oid, lookup->columns[i]);
		if (lookup->attnums[i] == InvalidAttrNumber)
			elog(ERROR, "column \"%s\" of relation \"%s\" is missing", lookup->columns[i],
				 lookup->table);
	}
	lookup->schema = schema;
	lookup->generation = generation;
}

struct WaLookupScan
{
	WaLookup *lookup;
	Relation table;
	Relation index;
	IndexScanDesc desc;
	TupleTableSlot *slot; /* the current row */
};

WaLookupScan *
wa_lookup_begin(WaLookup *lookup, Oid schema, Snapshot snapshot)
{
	WaLookupScan *scan = palloc(sizeof(WaLookupScan));

	wa_lookup_resolve(lookup, schema);
	scan->lookup = lookup;
	scan->table = table_open(lookup->table_oid, AccessShareLock);
	scan->index = index_open(lookup->index_oid, AccessShareLock);
	scan->slot = table_slot_create(scan->table, NULL);
	scan->desc = wa_index_beginscan(scan->table, scan->index, snapshot, lookup->nkeys);
	return scan;
}

void
wa_lookup_seek(WaLookupScan *scan, const Datum *keys)
{
	ScanKeyData scankeys[WA_LOOKUP_MAX_KEYS];
	int nkeys = scan->lookup->nkeys;

	for (int i = 0; i < nkeys; i++)
		ScanKeyInit(&scankeys[i], i + 1, BTEqualStrategyNumber, F_TEXTEQ, keys[i]);
	index_rescan(scan->desc, scankeys, nkeys, NULL, 0);
}

bool
wa_lookup_next(WaLookupScan *scan)
{
	return index_getnext_slot(scan->desc, ForwardScanDirection, scan->slot);
}

Datum
wa_lookup_column(const WaLookupScan *scan, int column, bool *isnull)
{
	return slot_getattr(scan->slot, scan->lookup->attnums[column], isnull);
}

void
wa_lookup_end(WaLookupScan *scan)
{
	index_endscan(scan->desc);
	ExecDropSingleTupleTableSlot(scan->slot);
	index_close(scan->index, AccessShareLock);
	table_close(scan->table, AccessShareLock);
	pfree(scan);
}

bool
wa_lookup_may_find(WaLookup *lookup, Oid schema)
{
	Relation table;
	bool may;

	wa_lookup_resolve(lookup, schema);
	table = table_open(lookup->table_oid, AccessShareLock);
	may = RelationGetNumberOfBlocks(table) > 0;
	table_close(table, AccessShareLock);
	return may;
}

static WaLookupRow *
copy_row(const WaLookup *lookup, TupleTableSlot *slot)
{
	WaLookupRow *row = palloc0(sizeof(WaLookupRow));
	bool isnull;

	row->tid = slot->tts_tid;
	row->xmin =
		DatumGetTransactionId(slot_getsysattr(slot, MinTransactionIdAttributeNumber, &isnull));
	row->cmin = DatumGetCommandId(slot_getsysattr(slot, MinCommandIdAttributeNumber, &isnull));
	for (int i = 0; i < lookup->ncolumns; i++)
	{
		Form_pg_attribute att = TupleDescAttr(slot->tts_tupleDescriptor, lookup->attnums[i] - 1);
		Datum value = slot_getattr(slot, lookup->attnums[i], &row->nulls[i]);

		if (!row->nulls[i])
			row->values[i] = datumCopy(value, att->attbyval, att->attlen);
	}
	return row;
}

static List *
scan(WaLookup *lookup, Oid schema, const Datum *keys, Snapshot snapshot, bool only_first)
{
	WaLookupScan *scan = wa_lookup_begin(lookup, schema, snapshot);
	List *rows = NIL;

	wa_lookup_seek(scan, keys);
	while (wa_lookup_next(scan))
	{
		rows = lappend(rows, copy_row(lookup, scan->slot));
		if (only_first)
			break;
	}
	wa_lookup_end(scan);
	return rows;
}

List *
wa_lookup_all(WaLookup *lookup, Oid schema, const Datum *keys, Snapshot snapshot)
{
	return scan(lookup, schema, keys, snapshot, false);
}

WaLookupRow *
wa_lookup_one(WaLookup *lookup, Oid schema, const Datum *keys, Snapshot snapshot)
{
	List *rows = scan(lookup, schema, keys, snapshot, true);

	return rows == NIL ? NULL : (WaLookupRow *) linitial(rows);
}
