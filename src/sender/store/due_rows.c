/*
 * due_rows.c
 *	  Rows of the queue whose time has come.
 *
 * A statement that locks a row and reads it through another name sees the latest
 * version here and that of its snapshot there; so what is locked is read by the
 * statement after.
 *
 * Rows come in the order of the index, after a cursor: what was deferred and has
 * been sent stays in the index, dead, until nobody could see it any more, and must
 * not be walked over again at each look.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/rows.h"
#include "base/statement.h"
#include "common/queue_state.h"
#include "sender/store/due_rows.h"
#include "sender/store/transaction.h"

/* Those deferred to the same moment come in their order, if not all fit. */
static WaStatement due_statement = {
	.sql = "SELECT message_id, state OPERATOR(pg_catalog.=) " WA_SQL_DEFERRED ", due_at, rank"
		   " FROM @extschema@.whatsapp_queue WHERE " WA_SQL_WAITS_FOR_TIME(
			   "state") " AND due_at OPERATOR(pg_catalog.<=) $2"
						" AND ROW(due_at, rank, message_id) OPERATOR(pg_catalog.>) ROW($3, $4, $5)"
						" ORDER BY due_at, rank, message_id LIMIT $1",
	.nargs = 5,
	.argtypes = {INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, INT8OID},
	.expected = SPI_OK_SELECT};

/*
 * Of these, those that nobody has locked, and whether they are still due.  That is no
 * condition, lest the planner look for it by the index that is full of dead rows.
 */
static WaStatement lock_due_statement = {
	.sql = "SELECT message_id, state OPERATOR(pg_catalog.=) " WA_SQL_DEFERRED
		   " AND due_at OPERATOR(pg_catalog.<=) $2"
		   " FROM @extschema@.whatsapp_queue WHERE message_id OPERATOR(pg_catalog.=) ANY ($1)"
		   " ORDER BY message_id FOR UPDATE SKIP LOCKED",
	.nargs = 2,
	.argtypes = {INT8ARRAYOID, TIMESTAMPTZOID},
	.expected = SPI_OK_SELECT};

static WaStatement promote_statement = {
	.sql = "UPDATE @extschema@.whatsapp_queue q SET"
		   " state = p.state, hold_reason = p.hold_reason, due_at = p.due_at"
		   " FROM @extschema@.wa_internal_placements($1, false) p"
		   " JOIN @extschema@.whatsapp_messages m ON m.id OPERATOR(pg_catalog.=) p.message_id"
		   " WHERE q.message_id OPERATOR(pg_catalog.=) ANY ($1) AND q.message_id "
		   "OPERATOR(pg_catalog.=) p.message_id"
		   " RETURNING q.message_id, CASE WHEN q.state OPERATOR(pg_catalog.=) " WA_SQL_READY
		   " THEN q.phone_number_id END, q.rank, COALESCE(m.recipient_phone, m.recipient_user_id)",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID},
	.expected = SPI_OK_UPDATE_RETURNING};

static WaStatement uncertain_statement = {
	.sql = "SELECT q.message_id, q.phone_number_id, q.rank, q.attempts,"
		   " COALESCE(m.on_uncertain, t.on_uncertain)"
		   " FROM @extschema@.whatsapp_queue q"
		   " JOIN @extschema@.whatsapp_messages m ON m.id OPERATOR(pg_catalog.=) q.message_id"
		   " LEFT JOIN @extschema@.whatsapp_tenants t ON t.tenant_id OPERATOR(pg_catalog.=) "
		   "m.tenant_id"
		   " WHERE " WA_SQL_WAITS_FOR_TIME(
			   "q.state") " AND q.state OPERATOR(pg_catalog.=) " WA_SQL_UNCERTAIN
						  " AND q.due_at OPERATOR(pg_catalog.<=) $2"
						  " ORDER BY q.due_at, q.rank, q.message_id LIMIT $1"
						  " FOR UPDATE OF q, m SKIP LOCKED",
	.nargs = 2,
	.argtypes = {INT4OID, TIMESTAMPTZOID},
	.expected = SPI_OK_SELECT};

/* The last request began at the latest when the claim of which it was a part did. */
static WaStatement silence_statement = {
	.sql = "SELECT s.wait_until, s.is_proof"
		   " FROM pg_catalog.unnest($1) WITH ORDINALITY AS v(id, ord)"
		   " LEFT JOIN LATERAL (SELECT pg_catalog.max(x.started_at) AS began_at,"
		   " pg_catalog.max(x.ended_at) AS ended_at FROM @extschema@.whatsapp_attempts x"
		   " WHERE x.message_id OPERATOR(pg_catalog.=) v.id) a ON true"
		   " LEFT JOIN LATERAL @extschema@.wa_internal_judge_silence(v.id, a.began_at, a.ended_at,"
		   " pg_catalog.make_interval(secs => $2),"
		   " (SELECT @extschema@.wa_internal_hearing_since($3)), $4) s ON true"
		   " ORDER BY v.ord",
	.nargs = 4,
	.argtypes = {INT8ARRAYOID, FLOAT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID},
	.expected = SPI_OK_SELECT};

static WaStatement placements_statement = {
	.sql = "SELECT p.state, p.hold_reason, p.due_at FROM pg_catalog.unnest($1) WITH ORDINALITY AS "
		   "v(id, ord)"
		   " JOIN @extschema@.wa_internal_placements($1, false) p ON p.message_id "
		   "OPERATOR(pg_catalog.=) v.id"
		   " ORDER BY v.ord",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID},
	.expected = SPI_OK_SELECT};

/*
 * A comparison says already that the time is not NULL, and so that the partial index has
 * it.  To say it again would cost: where no message expires, statistics then promise that
 * no row is left, and that it is as well to read them all.
 */
static WaStatement lock_expired_statement = {
	.sql = "SELECT q.message_id, q.expires_at FROM @extschema@.whatsapp_queue q"
		   " JOIN @extschema@.whatsapp_messages m ON m.id OPERATOR(pg_catalog.=) q.message_id"
		   " WHERE q.expires_at OPERATOR(pg_catalog.<=) $2"
		   " AND q.expires_at OPERATOR(pg_catalog.>=) $3"
		   " AND q.state OPERATOR(pg_catalog.<>) " WA_SQL_UNCERTAIN
		   " ORDER BY q.expires_at LIMIT $1 FOR UPDATE OF q, m SKIP LOCKED",
	.nargs = 3,
	.argtypes = {INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID},
	.expected = SPI_OK_SELECT};

/* The leases are read after the rows are locked. */
static WaStatement expire_statement = {
	.sql = "WITH gone AS (DELETE FROM @extschema@.whatsapp_queue q"
		   " WHERE q.message_id OPERATOR(pg_catalog.=) ANY ($1)"
		   " AND NOT EXISTS (SELECT FROM @extschema@.wa_internal_on_wire_requests w"
		   " WHERE w.message_id OPERATOR(pg_catalog.=) q.message_id)"
		   " RETURNING q.message_id)"
		   " UPDATE @extschema@.whatsapp_messages m SET status = 'expired',"
		   " status_reason = 'expired_before_sending',"
		   " finished_at = pg_catalog.clock_timestamp()"
		   " FROM gone WHERE m.id OPERATOR(pg_catalog.=) gone.message_id AND m.status "
		   "OPERATOR(pg_catalog.=) ANY ('{queued,sending}')",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID},
	.expected = SPI_OK_UPDATE};

static WaStatement next_due_statement = {
	.sql = "SELECT (SELECT due_at FROM @extschema@.whatsapp_queue"
		   " WHERE " WA_SQL_WAITS_FOR_TIME(
			   "state") " AND ROW(due_at, rank, message_id) OPERATOR(pg_catalog.>) ROW($1, $2, $3)"
						" ORDER BY due_at, rank, message_id LIMIT 1),"
						" (SELECT expires_at FROM @extschema@.whatsapp_queue"
						" WHERE state OPERATOR(pg_catalog.<>) " WA_SQL_UNCERTAIN
						" AND expires_at OPERATOR(pg_catalog.>=) $4 ORDER BY expires_at LIMIT 1)",
	.nargs = 4,
	.argtypes = {TIMESTAMPTZOID, INT8OID, INT8OID, TIMESTAMPTZOID},
	.expected = SPI_OK_SELECT};

/* Runs a statement that locks what is due from then to now, at most so many rows. */
static WaRows
lock(WaStatement *statement, TimestampTz from, TimestampTz now, int limit)
{
	Datum values[3] = {Int32GetDatum(limit), TimestampTzGetDatum(now), TimestampTzGetDatum(from)};

	return wa_store_run(statement, values, NULL);
}

/* The ids in the first column of these rows. */
static Datum
ids_of(const WaRows *rows)
{
	int n = (int) rows->count;
	int64 *ids = palloc(sizeof(int64) * Max(n, 1));

	for (int i = 0; i < n; i++)
		ids[i] = wa_rows_int(rows, i, 1, 0);
	return wa_array_of_int8(ids, n);
}

int
wa_store_due(const WaDueCursor *after, TimestampTz now, int limit, WaDueRow **due)
{
	Datum values[5] = {Int32GetDatum(limit), TimestampTzGetDatum(now),
					   TimestampTzGetDatum(after->due_at), Int64GetDatum(after->rank),
					   Int64GetDatum(after->message_id)};
	WaRows rows = wa_store_run(&due_statement, values, NULL);
	int n = (int) rows.count;

	*due = palloc(sizeof(WaDueRow) * Max(n, 1));
	for (int i = 0; i < n; i++)
		(*due)[i] = (WaDueRow){.at = {.due_at = wa_rows_time(&rows, i, 3, 0),
									  .rank = wa_rows_int(&rows, i, 4, 0),
									  .message_id = wa_rows_int(&rows, i, 1, 0)},
							   .is_deferred = wa_rows_int(&rows, i, 2, 0) != 0};
	return n;
}

int
wa_store_lock_due(const int64 *ids, int n, TimestampTz now, int64 **locked)
{
	Datum values[2] = {wa_array_of_int8(ids, n), TimestampTzGetDatum(now)};
	WaRows rows;
	int n_locked = 0;

	*locked = NULL;
	if (n == 0)
		return 0;
	rows = wa_store_run(&lock_due_statement, values, NULL);
	*locked = palloc(sizeof(int64) * Max(rows.count, 1));
	for (uint64 i = 0; i < rows.count; i++)
		if (wa_rows_int(&rows, i, 2, 0) != 0)
			(*locked)[n_locked++] = wa_rows_int(&rows, i, 1, 0);
	return n_locked;
}

int
wa_store_promote(const int64 *locked, int n_locked, WaPromotedRow **promoted)
{
	Datum ids = wa_array_of_int8(locked, n_locked);
	WaRows rows;
	int n;

	*promoted = NULL;
	if (n_locked == 0)
		return 0;
	rows = wa_store_run(&promote_statement, &ids, NULL);
	n = (int) rows.count;
	*promoted = palloc(sizeof(WaPromotedRow) * Max(n, 1));
	for (int i = 0; i < n; i++)
		(*promoted)[i] = (WaPromotedRow){.message_id = wa_rows_int(&rows, i, 1, 0),
										 .phone_number_id = wa_rows_text(&rows, i, 2),
										 .rank = wa_rows_int(&rows, i, 3, 0),
										 .recipient = wa_rows_text(&rows, i, 4)};
	return n;
}

int
wa_store_uncertain_due(TimestampTz now, int limit, WaUncertainRow **uncertain)
{
	WaRows rows = lock(&uncertain_statement, DT_NOBEGIN, now, limit);
	int n = (int) rows.count;

	*uncertain = palloc(sizeof(WaUncertainRow) * Max(n, 1));
	for (int i = 0; i < n; i++)
		(*uncertain)[i] = (WaUncertainRow){.message_id = wa_rows_int(&rows, i, 1, 0),
										   .phone_number_id = wa_rows_text(&rows, i, 2),
										   .rank = wa_rows_int(&rows, i, 3, 0),
										   .attempts = (int) wa_rows_int(&rows, i, 4, 0),
										   .policy = wa_rows_text(&rows, i, 5)};
	return n;
}

/*
 * Planned anew each time, which is seldom: a plan for a table that was small may read
 * one from end to end that has grown.
 */
WaSilence *
wa_store_judge_silence(const int64 *ids, int n, int grace_ms, TimestampTz hearing_since,
					   TimestampTz now)
{
	WaSilence *silences = palloc(sizeof(WaSilence) * Max(n, 1));
	Datum values[4];
	WaRows rows;

	if (n == 0)
		return silences;
	values[0] = wa_array_of_int8(ids, n);
	values[1] = Float8GetDatum(grace_ms / 1000.0);
	values[2] = TimestampTzGetDatum(hearing_since);
	values[3] = TimestampTzGetDatum(now);
	wa_statement_forget(&silence_statement);
	rows = wa_store_run(&silence_statement, values, NULL);
	if (rows.count != n)
		elog(ERROR, "%d messages have %d judgements", n, (int) rows.count);
	for (int i = 0; i < n; i++)
		silences[i] = (WaSilence){.wait_until = wa_rows_time(&rows, i, 1, 0),
								  .is_proof = wa_rows_int(&rows, i, 2, false)};
	return silences;
}

WaPlacedRow *
wa_store_placements(const int64 *ids, int n)
{
	WaPlacedRow *placed = palloc(sizeof(WaPlacedRow) * Max(n, 1));
	Datum values[1] = {wa_array_of_int8(ids, n)};
	WaRows rows;
	bool isnull;

	if (n == 0)
		return placed;
	rows = wa_store_run(&placements_statement, values, NULL);
	if (rows.count != n)
		elog(ERROR, "%d rows of the queue have %d places", n, (int) rows.count);
	for (int i = 0; i < n; i++)
		placed[i] = (WaPlacedRow){.state = DatumGetChar(wa_rows_datum(&rows, i, 1, &isnull)),
								  .hold_reason = wa_rows_text(&rows, i, 2),
								  .due_at = wa_rows_time(&rows, i, 3, 0)};
	return placed;
}

bool
wa_store_expire(TimestampTz *from, TimestampTz now, int limit)
{
	WaRows rows = lock(&lock_expired_statement, *from, now, limit);
	bool more = rows.count == limit;
	TimestampTz last = more ? wa_rows_time(&rows, limit - 1, 2, now) : now;
	Datum ids = ids_of(&rows);

	/* A whole batch that is on the wire is left for the sweep. */
	if (rows.count > 0)
		more &= wa_store_run(&expire_statement, &ids, NULL).count > 0;
	*from = more ? last : now;
	return more;
}

void
wa_store_next_due(const WaDueCursor *after, TimestampTz from, TimestampTz *due, TimestampTz *expiry)
{
	Datum values[4] = {TimestampTzGetDatum(after->due_at), Int64GetDatum(after->rank),
					   Int64GetDatum(after->message_id), TimestampTzGetDatum(from)};
	WaRows rows = wa_store_run(&next_due_statement, values, NULL);

	*due = wa_rows_time(&rows, 0, 1, DT_NOEND);
	*expiry = wa_rows_time(&rows, 0, 2, DT_NOEND);
}
