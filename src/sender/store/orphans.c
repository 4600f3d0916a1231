/*
 * orphans.c
 *	  Rows of the queue whose messages are gone.
 *
 * Whether a row is one is asked with a snapshot that is taken after its lock: a queue
 * row is written by the transaction that writes its message, so whoever sees the one
 * sees the other, if it is there.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/rows.h"
#include "base/statement.h"
#include "common/queue_state.h"
#include "sender/store/alert.h"
#include "sender/store/orphans.h"
#include "sender/store/transaction.h"

#define NO_MESSAGE                                                                                 \
	"(SELECT m.id FROM @extschema@.whatsapp_messages m"                                            \
	" WHERE m.id OPERATOR(pg_catalog.=) q.message_id) IS NULL"

static WaStatement lock_statement = {
	.sql = "SELECT q.message_id FROM @extschema@.whatsapp_queue q"
		   " WHERE q.message_id OPERATOR(pg_catalog.=) ANY ($1) AND " NO_MESSAGE
		   " ORDER BY q.message_id FOR UPDATE OF q SKIP LOCKED",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID},
	.expected = SPI_OK_SELECT};

static WaStatement remove_statement = {
	.sql = "DELETE FROM @extschema@.whatsapp_queue q"
		   " WHERE q.message_id OPERATOR(pg_catalog.=) ANY ($1) AND " NO_MESSAGE,
	.nargs = 1,
	.argtypes = {INT8ARRAYOID},
	.expected = SPI_OK_DELETE};

/* Of the first that are due: behind them may be a great many that are no orphans. */
static WaStatement due_statement = {
	.sql = "SELECT q.message_id FROM ("
		   "(SELECT d.message_id FROM @extschema@.whatsapp_queue d"
		   " WHERE " WA_SQL_WAITS_FOR_TIME(
			   "d.state") " AND d.due_at OPERATOR(pg_catalog.<=) $1"
						  " ORDER BY d.due_at LIMIT $2)"
						  " UNION (SELECT e.message_id FROM @extschema@.whatsapp_queue e"
						  " WHERE e.state OPERATOR(pg_catalog.<>) " WA_SQL_UNCERTAIN
						  " AND e.expires_at OPERATOR(pg_catalog.<=) $1"
						  " ORDER BY e.expires_at LIMIT $2)) q WHERE " NO_MESSAGE,
	.nargs = 2,
	.argtypes = {TIMESTAMPTZOID, INT4OID},
	.expected = SPI_OK_SELECT};

static WaStatement page_statement = {
	.sql = "WITH page AS MATERIALIZED (SELECT q.message_id FROM @extschema@.whatsapp_queue q"
		   " WHERE q.message_id OPERATOR(pg_catalog.>) $1 ORDER BY q.message_id LIMIT $2)"
		   " SELECT (SELECT CASE WHEN pg_catalog.count(*) OPERATOR(pg_catalog.=) $2"
		   " THEN pg_catalog.max(message_id) END FROM page), q.message_id"
		   " FROM (SELECT) AS one LEFT JOIN page q ON " NO_MESSAGE,
	.nargs = 2,
	.argtypes = {INT8OID, INT4OID},
	.expected = SPI_OK_SELECT};

/* Removed, and not told of yet. */
static int64 removed;
static int64 removed_id; /* one of them */

void
wa_store_remove_orphans(const int64 *ids, int n)
{
	Datum values[1];
	WaRows rows;
	int64 *orphans;
	int n_orphans;

	if (n == 0)
		return;
	values[0] = wa_array_of_int8(ids, n);
	rows = wa_store_run(&lock_statement, values, NULL);
	n_orphans = (int) rows.count;
	if (n_orphans == 0)
		return;
	orphans = palloc(sizeof(int64) * n_orphans);
	for (int i = 0; i < n_orphans; i++)
		orphans[i] = wa_rows_int(&rows, i, 1, 0);
	values[0] = wa_array_of_int8(orphans, n_orphans);
	removed += wa_store_run(&remove_statement, values, NULL).count;
	removed_id = orphans[0];
}

/* Those in this column of what a statement has returned. */
static void
remove_returned(const WaRows *rows, int column)
{
	int64 *ids = palloc(sizeof(int64) * Max(rows->count, 1));
	int n = 0;

	for (uint64 i = 0; i < rows->count; i++)
	{
		bool isnull;
		Datum id = wa_rows_datum(rows, i, column, &isnull);

		if (!isnull)
			ids[n++] = DatumGetInt64(id);
	}
	wa_store_remove_orphans(ids, n);
}

void
wa_store_remove_due_orphans(TimestampTz now, int max)
{
	Datum values[2] = {TimestampTzGetDatum(now), Int32GetDatum(max)};
	WaRows rows = wa_store_run(&due_statement, values, NULL);

	remove_returned(&rows, 1);
}

int64
wa_store_look_for_orphans(int64 after_id, int max)
{
	Datum values[2] = {Int64GetDatum(after_id), Int32GetDatum(max)};
	WaRows rows = wa_store_run(&page_statement, values, NULL);

	remove_returned(&rows, 2);
	return wa_rows_int(&rows, 0, 1, PG_INT64_MIN);
}

bool
wa_store_orphans_to_report(void)
{
	return removed > 0;
}

void
wa_store_report_orphans(void)
{
	WaAlert alert = {.severity = "warning",
					 .kind = "orphan",
					 .scope = "account",
					 .key = "",
					 .message_id = removed_id};

	alert.message = psprintf("%lld messages that were still to be sent have been deleted by "
							 "somebody: what was left of them in the queue was removed",
							 (long long) removed);
	wa_store_alert(&alert);
	removed = 0;
}
