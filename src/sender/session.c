/*
 * session.c
 *	  The database session of a sender: its settings, its lock, its extension.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

#include "base/schema.h"
#include "sender/session.h"
#include "shared/shmem.h"

/* The classes of our advisory locks: one for each sender of a database. */
#define LOCK_CLASS 0x57415348 /* "WASH" */

/*
 * The session's settings: names resolve to nothing of a user's, waiting for a
 * lock ends, and the planner uses the indexes our statements are written for.
 */
void
wa_session_set(void)
{
	static const char *const settings[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"lock_timeout", "200ms"},
		{"statement_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"plan_cache_mode", "force_generic_plan"},
		{"enable_seqscan", "off"},
		{"enable_bitmapscan", "off"},
		{"enable_hashjoin", "off"},
		{"enable_mergejoin", "off"},
		{"enable_material", "off"},
		{"jit", "off"},
		{"max_parallel_workers_per_gather", "0"},
		{"row_security", "off"},
	};

	for (int i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_OVERRIDE);
	pgstat_report_appname(WA_SENDER_TYPE);
}

bool
wa_session_lock_index(int index)
{
	LOCKTAG tag;
	bool locked;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, LOCK_CLASS, (uint32) index, 2);
	StartTransactionCommand();
	locked = LockAcquire(&tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL;
	CommitTransactionCommand();
	return locked;
}

Oid
wa_session_find_extension(void)
{
	Oid schema;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	schema = wa_schema_of_extension();
	PopActiveSnapshot();
	CommitTransactionCommand();
	return schema;
}
