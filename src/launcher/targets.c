/*
 * targets.c
 *	  Which databases should have senders: those in whatsapp_shared.databases
 *	  that exist.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/varlena.h"

#include "base/guc.h"
#include "launcher/targets.h"

/* How much of the setting is compared with what was told of last. */
#define WA_MAX_DATABASES_TOLD 1024

/*
 * The database of this row as a target, if it is in the list and takes
 * connections; else NULL.
 */
static WaTarget *
target_of(Form_pg_database database, List *names)
{
	ListCell *lc;

	if (!database->datallowconn)
		return NULL;
	foreach (lc, names)
	{
		if (strcmp(NameStr(database->datname), lfirst(lc)) == 0)
		{
			WaTarget *target = palloc0(sizeof(WaTarget));

			target->dboid = database->oid;
			strlcpy(target->dbname, NameStr(database->datname), NAMEDATALEN);
			return target;
		}
	}
	return NULL;
}

static bool
is_missing(const char *name, List *targets)
{
	ListCell *lc;

	foreach (lc, targets)
	{
		if (strcmp(((WaTarget *) lfirst(lc))->dbname, name) == 0)
			return false;
	}
	return true;
}

/*
 * Tells of listed databases that are not there, once for each value of the setting:
 * one may be made later, and one that was dropped is no mistake.
 */
static void
complain_of_missing(List *names, List *targets)
{
	static char told_for[WA_MAX_DATABASES_TOLD];
	ListCell *lc;

	if (strncmp(told_for, wa_guc_databases, sizeof(told_for) - 1) == 0)
		return;
	strlcpy(told_for, wa_guc_databases, sizeof(told_for));
	foreach (lc, names)
		if (is_missing(lfirst(lc), targets))
			ereport(WARNING,
					(errcode(ERRCODE_UNDEFINED_DATABASE),
					 errmsg("database \"%s\" in whatsapp_shared.databases does not exist or takes "
							"no connections",
							(char *) lfirst(lc)),
					 errhint("Correct the name and reload, or create the database.")));
}

/*
 * This scans all of pg_database, as autovacuum's launcher does, because a
 * process without a database cannot count on an index: in a fresh server there
 * is no file to read their descriptions from.
 */
List *
wa_targets_find(bool *missing)
{
	MemoryContext context = CurrentMemoryContext;
	List *names = NIL;
	List *targets = NIL;
	ListCell *lc;
	Relation rel;
	TableScanDesc scan;
	HeapTuple tuple;

	/* The check hook has parsed it before. */
	if (!SplitIdentifierString(pstrdup(wa_guc_databases), ',', &names))
		elog(ERROR, "invalid list of databases");

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		WaTarget *target = target_of((Form_pg_database) GETSTRUCT(tuple), names);

		if (target)
			targets = lappend(targets, target);
		MemoryContextSwitchTo(old);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);

	*missing = false;
	foreach (lc, names)
		*missing |= is_missing(lfirst(lc), targets);
	complain_of_missing(names, targets);
	return targets;
}
