/*
 * pair_rows.c
 *	  What the tables know of recipients, for a sender's memory of them.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/rows.h"
#include "base/statement.h"
#include "common/queue_state.h"
#include "sender/store/pair_rows.h"
#include "sender/store/transaction.h"

/* A look-up for each row: a join could read all identities, of which there may be millions. */
#define RECIPIENT "COALESCE(m.recipient_phone, m.recipient_user_id)"
#define PERSON                                                                                     \
	"(SELECT i.person FROM @extschema@.whatsapp_contact_identities i"                              \
	" WHERE i.identity OPERATOR(pg_catalog.=) " RECIPIENT ")"

int
wa_store_recently_accepted(double seconds, int max, WaAcceptedRow **accepted)
{
	static WaStatement statement = {
		.sql = "SELECT m.phone_number_id, " RECIPIENT ", " PERSON ","
			   " (EXTRACT(epoch FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) "
			   "m.accepted_at) OPERATOR(pg_catalog.*) 1000000)::bigint"
			   " FROM (SELECT * FROM @extschema@.whatsapp_messages ORDER BY id DESC LIMIT $1) m"
			   " WHERE m.accepted_at OPERATOR(pg_catalog.>) (pg_catalog.now() "
			   "OPERATOR(pg_catalog.-) pg_catalog.make_interval(secs => $2))"
			   /* Its tenant may have lost the number before a webhook said that it had arrived. */
			   " AND m.phone_number_id IS NOT NULL"
			   " ORDER BY m.accepted_at",
		.nargs = 2,
		.argtypes = {INT4OID, FLOAT8OID},
		.expected = SPI_OK_SELECT};
	Datum values[2] = {Int32GetDatum(max), Float8GetDatum(seconds)};
	WaRows rows = wa_store_run(&statement, values, NULL);
	int n = (int) rows.count;

	*accepted = palloc(sizeof(WaAcceptedRow) * Max(n, 1));
	for (int i = 0; i < n; i++)
		(*accepted)[i] = (WaAcceptedRow){.phone_number_id = wa_rows_text(&rows, i, 1),
										 .recipient = wa_rows_text(&rows, i, 2),
										 .person = wa_rows_text(&rows, i, 3),
										 .age_us = wa_rows_int(&rows, i, 4, 0)};
	return n;
}

/*
 * How many are wanted stands in the statement: a limit that the planner does not know
 * is a tenth of the table to it, for which it reads all messages.
 */
int
wa_store_deferred(WaDueCursor *after, WaDeferredRow **deferred)
{
	static WaStatement statement = {
		.sql =
			"SELECT q.message_id, q.phone_number_id, " RECIPIENT ", " PERSON ", q.due_at,"
			" q.hold_reason OPERATOR(pg_catalog.=) 'pair_rate',"
			" q.rank, q.phone_number_id IS NOT NULL AND m.id IS NOT NULL AND q.state "
			"OPERATOR(pg_catalog.=) 'd'"
			" AND q.hold_reason OPERATOR(pg_catalog.=) ANY "
			"('{retry,network,number_rate,pair_rate,recipient_order,tenant_rate}')"
			" FROM (SELECT * FROM @extschema@.whatsapp_queue"
			" WHERE " WA_SQL_WAITS_FOR_TIME(
				"state") " AND ROW(due_at, rank, message_id) OPERATOR(pg_catalog.>) ROW($1, $2, "
						 "$3)"
						 " ORDER BY due_at, rank, message_id LIMIT " CppAsString2(
							 WA_DEFERRED_PAGE) ") q"
											   " LEFT JOIN @extschema@.whatsapp_messages m ON m.id "
											   "OPERATOR(pg_catalog.=) q.message_id"
											   " ORDER BY q.due_at, q.rank, q.message_id",
		.nargs = 3,
		.argtypes = {TIMESTAMPTZOID, INT8OID, INT8OID},
		.expected = SPI_OK_SELECT};
	Datum values[3] = {TimestampTzGetDatum(after->due_at), Int64GetDatum(after->rank),
					   Int64GetDatum(after->message_id)};
	WaRows rows = wa_store_run(&statement, values, NULL);
	int n = (int) rows.count;

	*deferred = palloc(sizeof(WaDeferredRow) * Max(n, 1));
	for (int i = 0; i < n; i++)
		(*deferred)[i] = (WaDeferredRow){.message_id = wa_rows_int(&rows, i, 1, 0),
										 .phone_number_id = wa_rows_text(&rows, i, 2),
										 .recipient = wa_rows_text(&rows, i, 3),
										 .person = wa_rows_text(&rows, i, 4),
										 .due_at = wa_rows_time(&rows, i, 5, 0),
										 .for_pair_rate = wa_rows_int(&rows, i, 6, 0) != 0,
										 .counts = wa_rows_int(&rows, i, 8, 0) != 0};
	if (n > 0)
		*after = (WaDueCursor){.due_at = (*deferred)[n - 1].due_at,
							   .rank = wa_rows_int(&rows, n - 1, 7, 0),
							   .message_id = (*deferred)[n - 1].message_id};
	return n;
}

int
wa_store_coming(const int64 *ids, int n, TimestampTz now, WaComingRow **coming)
{
	static WaStatement statement = {
		.sql =
			"SELECT q.message_id, q.phone_number_id,"
			" COALESCE(m.recipient_phone, m.recipient_user_id), q.rank"
			" FROM @extschema@.whatsapp_queue q"
			" JOIN @extschema@.whatsapp_messages m ON m.id OPERATOR(pg_catalog.=) q.message_id"
			" WHERE q.message_id OPERATOR(pg_catalog.=) ANY ($1) AND q.phone_number_id IS NOT NULL"
			" AND (q.state OPERATOR(pg_catalog.=) 'r' OR q.state OPERATOR(pg_catalog.=) 'd' AND "
			"q.due_at OPERATOR(pg_catalog.<=) $2)"
			" FOR UPDATE OF q SKIP LOCKED",
		.nargs = 2,
		.argtypes = {INT8ARRAYOID, TIMESTAMPTZOID},
		.expected = SPI_OK_SELECT};
	Datum values[2] = {wa_array_of_int8(ids, n), TimestampTzGetDatum(now)};
	WaRows rows = wa_store_run(&statement, values, NULL);

	n = (int) rows.count;
	*coming = palloc(sizeof(WaComingRow) * Max(n, 1));
	for (int i = 0; i < n; i++)
		(*coming)[i] = (WaComingRow){.message_id = wa_rows_int(&rows, i, 1, 0),
									 .phone_number_id = wa_rows_text(&rows, i, 2),
									 .recipient = wa_rows_text(&rows, i, 3),
									 .rank = wa_rows_int(&rows, i, 4, 0)};
	return n;
}
