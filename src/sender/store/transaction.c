/*
 * transaction.c
 *	  Running a sender's SQL: short transactions and kept statements.
 *
 * Statements of the hot path (sender/store/dispositions.c) take arrays and work on whole
 * batches: one lease and one settlement cost the same number of statements for
 * one message as for a thousand; the claim needs none.  All of them are
 * prepared once and run with a generic plan, which is made for large tables,
 * however small they are at that moment (sender/store/plan_size.c).
 *
 * Each transaction runs as the owner of our tables, who need not be a superuser,
 * although the process is connected as one: nothing that a statement could be
 * made to do exceeds his rights.  It begins with making sure that our objects
 * are still ours (base/ownership.c), since it is about to call them by name.
 *
 * Lock order is the one of src/README.md: queue row, then message row.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/owner.h"
#include "base/ownership.h"
#include "base/rows.h"
#include "sender/store/plan_size.h"
#include "sender/store/transaction.h"

static Oid store_schema;
static Oid store_owner;

/* The context that was current before wa_store_begin. */
static MemoryContext caller_context;

volatile sig_atomic_t wa_store_committing;

/*
 * A commit may come to wait for a synchronous standby, for ever, and that wait
 * takes notice of "die" alone.  So the request to stop is turned into one for the
 * length of a commit, here if it was there before and by the signal's handler if
 * it comes meanwhile; without InterruptPending nothing else heeds it.
 */
static void
set_committing(bool committing)
{
	wa_store_committing = committing;
	if (ShutdownRequestPending)
		ProcDiePending = committing;
}

/*
 * If somebody else might meddle with our objects, or they were given to another
 * role, the process ends here, whatever is on the wire: its settlement would
 * already call what is not ours.  The leases stand.  Its successor says why
 * nothing is sent, or works as the new owner.
 */
static void
make_sure_of_objects(void)
{
	if (wa_ownership_flaw(store_schema) != NULL || wa_owner_of_tables(store_schema) != store_owner)
		proc_exit(1);
}

Oid
wa_store_schema(void)
{
	return store_schema;
}

/* From the next statement on. */
void
wa_store_set_patience(int ms)
{
	char value[16];

	snprintf(value, sizeof(value), "%dms", ms);
	SetConfigOption("lock_timeout", value, PGC_USERSET, PGC_S_OVERRIDE);
}

/* Statements are prepared when first used. */
void
wa_store_init(Oid schema, Oid owner)
{
	store_schema = schema;
	store_owner = owner;
	wa_plan_size_assume(schema);
	wa_store_set_patience(WA_STORE_LEAST_PATIENCE_MS);
}

/* Starts a short transaction; activity is fixed text for pg_stat_activity. */
void
wa_store_begin(const char *activity)
{
	caller_context = CurrentMemoryContext;
	set_committing(false); /* a commit that failed */
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	make_sure_of_objects();
	SetUserIdAndSecContext(store_owner, SECURITY_LOCAL_USERID_CHANGE);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	pgstat_report_activity(STATE_RUNNING, activity);
}

/* Ends it, and goes back to the caller's memory context. */
void
wa_store_commit(void)
{
	SPI_finish();
	PopActiveSnapshot();
	set_committing(true);
	CommitTransactionCommand();
	SetUserIdAndSecContext(GetSessionUserId(), 0); /* an abort does that by itself */
	set_committing(false);
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
	MemoryContextSwitchTo(caller_context);
}

/* SPI takes a new snapshot for each statement, as READ COMMITTED wants. */
WaRows
wa_store_run(WaStatement *statement, Datum *values, const char *nulls)
{
	return wa_statement_run(statement, store_schema, values, nulls);
}
