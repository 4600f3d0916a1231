/*
 * lookup.h
 *	  Reading single rows of our own tables through a given index.
 */
#ifndef WA_BASE_LOOKUP_H
#define WA_BASE_LOOKUP_H

#include "access/attnum.h"
#include "nodes/pg_list.h"
#include "storage/itemptr.h"
#include "utils/snapshot.h"

#define WA_LOOKUP_MAX_KEYS 2
#define WA_LOOKUP_MAX_COLUMNS 12

/*
 * What is read, declared static.  The keys are the leading columns of the
 * index, text in collation "C".  Values appear in the order of "columns".
 */
typedef struct WaLookup
{
	const char *table;
	const char *index;
	int nkeys;
	int ncolumns;
	const char *columns[WA_LOOKUP_MAX_COLUMNS];

	/* private to base/lookup.c */
	uint64 generation;
	Oid schema;

	/* set by wa_lookup_resolve */
	Oid table_oid;
	Oid index_oid;
	AttrNumber attnums[WA_LOOKUP_MAX_COLUMNS];
} WaLookup;

/* A row, palloc'd. */
typedef struct WaLookupRow
{
	ItemPointerData tid;
	TransactionId xmin;
	CommandId cmin;
	Datum values[WA_LOOKUP_MAX_COLUMNS];
	bool nulls[WA_LOOKUP_MAX_COLUMNS];
} WaLookupRow;

/*
 * Returns the rows as a list of WaLookupRow, in the order of the index.  The
 * snapshot must be registered or active.
 */
extern List *wa_lookup_all(WaLookup *lookup, Oid schema, const Datum *keys, Snapshot snapshot);

/* The only or first row, or NULL. */
extern WaLookupRow *wa_lookup_one(WaLookup *lookup, Oid schema, const Datum *keys,
								  Snapshot snapshot);

/*
 * Many look-ups by one scan, in the current memory context: begin, then for each
 * key seek, and read while there is a next row; end.  The snapshot must outlive it.
 * A column's value is the row's own, and valid until the next one is read.
 */
typedef struct WaLookupScan WaLookupScan;

extern WaLookupScan *wa_lookup_begin(WaLookup *lookup, Oid schema, Snapshot snapshot);
extern void wa_lookup_seek(WaLookupScan *scan, const Datum *keys);
extern bool wa_lookup_next(WaLookupScan *scan);
extern Datum wa_lookup_column(const WaLookupScan *scan, int column, bool *isnull);
extern void wa_lookup_end(WaLookupScan *scan);

/* False: there is no row, nor was there since the last vacuum.  Costs next to nothing. */
extern bool wa_lookup_may_find(WaLookup *lookup, Oid schema);

/*
 * Finds table, index and columns, unless they are known, for a caller that scans
 * on its own.  Raises if one is missing.
 */
extern void wa_lookup_resolve(WaLookup *lookup, Oid schema);

#endif
