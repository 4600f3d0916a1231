/*
 * transaction.c
 *	  Running a sender's SQL: transactions, kept statements, columns and arrays.
 *
 * Statements of the hot path (sender/store/fates.c) take arrays and work on whole
 * batches: one lease and one settlement cost the same number of statements for
 * one message as for a thousand; the claim needs none.  All of them are
 * prepared once and run with a generic plan; the sender turns the planner's
 * other join methods off for its session, because every one of these statements
 * wants index look-ups whatever the statistics of a queue that is empty or full
 * by the minute may say.
 *
 * Lock order is the one of src/README.md: queue row, then message row.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "sender/store/transaction.h"

static Oid store_schema;

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

/* schema: the extension's; statements are prepared when first used. */
void
wa_store_init(Oid schema)
{
	store_schema = schema;
}

Oid
wa_store_schema(void)
{
	return store_schema;
}

/* Starts a short transaction; activity is fixed text for pg_stat_activity. */
void
wa_store_begin(const char *activity)
{
	caller_context = CurrentMemoryContext;
	set_committing(false); /* a commit that failed */
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	PushActiveSnapshot(GetTransactionSnapshot());
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
	set_committing(false);
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
	MemoryContextSwitchTo(caller_context);
}

void
wa_store_run(WaStatement *statement, Datum *values, const char *nulls)
{
	/* SPI takes a new snapshot for each statement, as READ COMMITTED wants. */
	wa_plan_execute(&statement->plan, store_schema, values, nulls, statement->expected);
}

char *
wa_store_text(int row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

int64
wa_store_int(int row, int column, int64 if_null)
{
	bool isnull;
	Datum value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);

	if (isnull)
		return if_null;
	switch (SPI_gettypeid(SPI_tuptable->tupdesc, column))
	{
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		case INT8OID:
			return DatumGetInt64(value);
		case BOOLOID:
			return DatumGetBool(value);
		default:
			elog(ERROR, "column %d is not an integer", column);
	}
	return 0; /* not reached */
}

TimestampTz
wa_store_time(int row, int column, TimestampTz if_null)
{
	bool isnull;
	Datum value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);

	return isnull ? if_null : DatumGetTimestampTz(value);
}

char *
wa_store_plain_text(int row, int column)
{
	bool isnull;
	Datum value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

Datum
wa_store_int8_array(const int64 *values, int n)
{
	Datum *datums = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		datums[i] = Int64GetDatum(values[i]);
	return PointerGetDatum(
		construct_array(datums, n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

Datum
wa_store_int2_array(const int16 *values, int n)
{
	Datum *datums = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		datums[i] = Int16GetDatum(values[i]);
	return PointerGetDatum(construct_array(datums, n, INT2OID, 2, true, TYPALIGN_SHORT));
}

Datum
wa_store_int4_array(const int32 *values, int n)
{
	Datum *datums = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		datums[i] = Int32GetDatum(values[i]);
	return PointerGetDatum(construct_array(datums, n, INT4OID, 4, true, TYPALIGN_INT));
}

Datum
wa_store_bool_array(const bool *values, int n)
{
	Datum *datums = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		datums[i] = BoolGetDatum(values[i]);
	return PointerGetDatum(construct_array(datums, n, BOOLOID, 1, true, TYPALIGN_CHAR));
}

Datum
wa_store_tid_array(const ItemPointerData *values, int n)
{
	Datum *datums = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		datums[i] = PointerGetDatum(&values[i]);
	return PointerGetDatum(
		construct_array(datums, n, TIDOID, sizeof(ItemPointerData), false, TYPALIGN_SHORT));
}

static Datum
nullable_array(Datum *datums, bool *nulls, int n, Oid type, int16 len, bool byval, char align)
{
	int lower = 1;

	if (n == 0)
		return PointerGetDatum(construct_empty_array(type));
	return PointerGetDatum(
		construct_md_array(datums, nulls, 1, &n, &lower, type, len, byval, align));
}

Datum
wa_store_text_array(const char *const *values, int n)
{
	Datum *datums = palloc(sizeof(Datum) * Max(n, 1));
	bool *nulls = palloc(sizeof(bool) * Max(n, 1));

	for (int i = 0; i < n; i++)
	{
		nulls[i] = values[i] == NULL;
		datums[i] = nulls[i] ? (Datum) 0 : CStringGetTextDatum(values[i]);
	}
	return nullable_array(datums, nulls, n, TEXTOID, -1, false, TYPALIGN_INT);
}

Datum
wa_store_time_array(const TimestampTz *values, int n)
{
	Datum *datums = palloc(sizeof(Datum) * Max(n, 1));
	bool *nulls = palloc(sizeof(bool) * Max(n, 1));

	for (int i = 0; i < n; i++)
	{
		nulls[i] = values[i] == 0;
		datums[i] = TimestampTzGetDatum(values[i]);
	}
	return nullable_array(datums, nulls, n, TIMESTAMPTZOID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE);
}

static int
compare_ids(const void *a, const void *b)
{
	int64 x = *(const int64 *) a;
	int64 y = *(const int64 *) b;

	return (x > y) - (x < y);
}

void
wa_store_sort_ids(int64 *ids, int n)
{
	qsort(ids, n, sizeof(int64), compare_ids);
}

bool
wa_store_is_among(int64 id, const int64 *sorted, int n)
{
	return n > 0 && bsearch(&id, sorted, n, sizeof(int64), compare_ids) != NULL;
}
