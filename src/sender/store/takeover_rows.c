/*
 * takeover_rows.c
 *	  What a promoted server holds back because the former primary may have sent it.
 *
 * The window stands in whatsapp_home until all of it has been looked through, so a
 * server that dies on the way goes on where it was.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/rows.h"
#include "base/statement.h"
#include "common/queue_state.h"
#include "sender/store/takeover_rows.h"
#include "sender/store/transaction.h"

#define OUR_HOME                                                                                   \
	" WHERE h.system_identifier OPERATOR(pg_catalog.=) $1"                                         \
	" AND h.database_oid OPERATOR(pg_catalog.=) $2"

/* The first two arguments of every statement about our home. */
static void
set_home(Datum *values)
{
	values[0] = Int64GetDatum((int64) GetSystemIdentifier());
	values[1] = ObjectIdGetDatum(MyDatabaseId);
}

bool
wa_store_read_takeover(WaTakeover *takeover)
{
	static WaStatement statement = {
		.sql = "SELECT h.synchronous, h.takeover_through, h.takeover_at, h.takeover_since"
			   " FROM @extschema@.whatsapp_home AS h" OUR_HOME,
		.nargs = 2,
		.argtypes = {INT8OID, OIDOID},
		.expected = SPI_OK_SELECT};
	Datum values[2];
	WaRows rows;

	memset(takeover, 0, sizeof(WaTakeover));
	set_home(values);
	rows = wa_store_run(&statement, values, NULL);
	if (rows.count == 0)
		return false;
	takeover->through = wa_rows_int(&rows, 0, 2, 0);
	takeover->at = wa_rows_time(&rows, 0, 3, 0);
	takeover->since = wa_rows_time(&rows, 0, 4, 0);
	return wa_rows_int(&rows, 0, 1, 0) != 0;
}

void
wa_store_note_synchronous(bool synchronous)
{
	static WaStatement statement = {
		.sql = "UPDATE @extschema@.whatsapp_home AS h SET synchronous = $3" OUR_HOME,
		.nargs = 3,
		.argtypes = {INT8OID, OIDOID, BOOLOID},
		.expected = SPI_OK_UPDATE};
	Datum values[3];

	set_home(values);
	values[2] = BoolGetDatum(synchronous);
	(void) wa_store_run(&statement, values, NULL);
}

/*
 * Ids only grow, so the newest message that came by replication bounds them all.
 * Its transaction is older than the first of our own; one so old that it seems to
 * lie in the future is, too.
 */
void
wa_store_begin_takeover(TimestampTz since, TransactionId first_own)
{
	static WaStatement statement = {
		.sql = "UPDATE @extschema@.whatsapp_home AS h SET"
			   " takeover_at = pg_catalog.clock_timestamp(), takeover_since = $3,"
			   " takeover_through = (SELECT m.id FROM @extschema@.whatsapp_messages AS m"
			   " WHERE $4 IS NULL OR pg_catalog.age(m.xmin) OPERATOR(pg_catalog.>) "
			   "pg_catalog.age($4) OR pg_catalog.age(m.xmin) OPERATOR(pg_catalog.<) 0"
			   " ORDER BY m.id DESC LIMIT 1)" OUR_HOME,
		.nargs = 4,
		.argtypes = {INT8OID, OIDOID, TIMESTAMPTZOID, XIDOID},
		.expected = SPI_OK_UPDATE};
	Datum values[4];
	char nulls[5] = "    ";

	set_home(values);
	values[2] = TimestampTzGetDatum(since);
	values[3] = TransactionIdGetDatum(first_own);
	if (since == 0)
		nulls[2] = 'n';
	if (!TransactionIdIsValid(first_own))
		nulls[3] = 'n';
	(void) wa_store_run(&statement, values, nulls);
}

void
wa_store_end_takeover(void)
{
	static WaStatement statement = {
		.sql = "UPDATE @extschema@.whatsapp_home AS h SET takeover_through = NULL" OUR_HOME,
		.nargs = 2,
		.argtypes = {INT8OID, OIDOID},
		.expected = SPI_OK_UPDATE};
	Datum values[2];

	set_home(values);
	(void) wa_store_run(&statement, values, NULL);
}

/*
 * Sent may be what was ready, what has come due since, and what a pause has held
 * that is over; where a pause is not over, nothing.  What waits for an event has not been sent,
 * unless that happened over there and is not known here.
 */
int
wa_store_lock_taken_over(const WaTakeover *takeover, int limit, int64 *after, int64 *passed_by,
						 bool *more, WaTakeoverRow **locked)
{
	static WaStatement page_statement = {
		.sql = "SELECT q.message_id, CASE"
			   " WHEN q.state OPERATOR(pg_catalog.=) " WA_SQL_READY
			   " THEN NOT EXISTS (SELECT FROM @extschema@.wa_internal_stopped_numbers AS s"
			   " WHERE s.phone_number_id OPERATOR(pg_catalog.=) q.phone_number_id)"
			   " WHEN q.state OPERATOR(pg_catalog.=) " WA_SQL_DEFERRED
			   " THEN q.due_at OPERATOR(pg_catalog.<=) $3"
			   " WHEN q.state OPERATOR(pg_catalog.=) " WA_SQL_HELD
			   " THEN q.hold_reason OPERATOR(pg_catalog.=) ANY "
			   "('{tenant_paused,template_paused}'::pg_catalog.text[])"
			   " AND EXISTS (SELECT FROM @extschema@.whatsapp_messages AS m"
			   " WHERE m.id OPERATOR(pg_catalog.=) q.message_id"
			   " AND (@extschema@.wa_internal_pause_of(m, q.phone_number_id)).scope IS NULL)"
			   " ELSE false END"
			   " FROM @extschema@.whatsapp_queue AS q"
			   " WHERE q.message_id OPERATOR(pg_catalog.>) $1"
			   " AND q.message_id OPERATOR(pg_catalog.<=) $2"
			   " ORDER BY q.message_id LIMIT $4",
		.nargs = 4,
		.argtypes = {INT8OID, INT8OID, TIMESTAMPTZOID, INT4OID},
		.expected = SPI_OK_SELECT};
	static WaStatement lock_statement = {
		.sql = "SELECT q.message_id, q.phone_number_id, q.attempts"
			   " FROM @extschema@.whatsapp_queue AS q"
			   " WHERE q.message_id OPERATOR(pg_catalog.=) ANY ($1)"
			   " AND q.state OPERATOR(pg_catalog.<>) " WA_SQL_UNCERTAIN
			   " ORDER BY q.message_id FOR UPDATE SKIP LOCKED",
		.nargs = 1,
		.argtypes = {INT8ARRAYOID},
		.expected = SPI_OK_SELECT};
	Datum values[4];
	WaRows rows;
	int64 *ids;
	int n = 0;

	values[0] = Int64GetDatum(*after);
	values[1] = Int64GetDatum(takeover->through);
	values[2] = TimestampTzGetDatum(takeover->at);
	values[3] = Int32GetDatum(limit);
	rows = wa_store_run(&page_statement, values, NULL);
	*more = rows.count == limit;
	ids = palloc(sizeof(int64) * Max(rows.count, 1));
	for (uint64 i = 0; i < rows.count; i++)
	{
		*after = wa_rows_int(&rows, i, 1, 0);
		if (wa_rows_int(&rows, i, 2, 0) != 0)
			ids[n++] = *after;
	}

	values[0] = wa_array_of_int8(ids, n);
	rows = wa_store_run(&lock_statement, values, NULL);
	*locked = palloc(sizeof(WaTakeoverRow) * Max(rows.count, 1));
	*passed_by = 0;
	for (int i = 0, next = 0; i < n; i++)
	{
		if (next < (int) rows.count && wa_rows_int(&rows, next, 1, 0) == ids[i])
		{
			(*locked)[next] = (WaTakeoverRow){.message_id = ids[i],
											  .phone_number_id = wa_rows_text(&rows, next, 2),
											  .attempts = (int) wa_rows_int(&rows, next, 3, 0)};
			next++;
		}
		else if (*passed_by == 0)
			*passed_by = ids[i];
	}
	return (int) rows.count;
}
