/*
 * lease.c
 *	  Leases: the durable intent to send.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/arrays.h"
#include "base/rows.h"
#include "base/statement.h"
#include "sender/store/lease.h"
#include "sender/store/orphans.h"
#include "sender/store/transaction.h"

/*
 * Durable also where somebody's trigger has turned synchronous_commit off: a lease
 * that a crash could undo after the first byte has left would let the message be
 * sent again.  That it is on the standby, too, is for sender/begin.c to see.
 */
int64
wa_store_lease(int sender, int64 generation, const int64 *ids, const int16 *attempts, int n)
{
	static WaStatement statement = {
		.sql = "INSERT INTO @extschema@.whatsapp_leases"
			   " (sender, pid, generation, message_ids, attempts)"
			   " VALUES ($1, $2, $3, $4, $5) RETURNING lease_id",
		.nargs = 5,
		.argtypes = {INT2OID, INT4OID, INT8OID, INT8ARRAYOID, INT2ARRAYOID},
		.expected = SPI_OK_INSERT_RETURNING};
	WaRows rows;
	Datum values[5];

	values[0] = Int16GetDatum(sender);
	values[1] = Int32GetDatum(MyProcPid);
	values[2] = Int64GetDatum(generation);
	values[3] = wa_array_of_int8(ids, n);
	values[4] = wa_array_of_int2(attempts, n);
	rows = wa_store_run(&statement, values, NULL);
	ForceSyncCommit();
	return wa_rows_int(&rows, 0, 1, 0);
}

int
wa_store_lock_leases(const int64 *leases, int n)
{
	static WaStatement statement = {
		.sql = "SELECT lease_id FROM @extschema@.whatsapp_leases"
			   " WHERE lease_id OPERATOR(pg_catalog.=) ANY ($1) FOR UPDATE",
		.nargs = 1,
		.argtypes = {INT8ARRAYOID},
		.expected = SPI_OK_SELECT};
	Datum values[1] = {wa_array_of_int8(leases, n)};

	return (int) wa_store_run(&statement, values, NULL).count;
}

void
wa_store_shrink_leases(const int64 *leases, const int64 *messages, int n)
{
	static WaStatement statement = {
		.sql = "UPDATE @extschema@.whatsapp_leases l SET (message_ids, attempts) ="
			   " (SELECT COALESCE(pg_catalog.array_agg(x.id ORDER BY x.ord), '{}'),"
			   " COALESCE(pg_catalog.array_agg(x.attempt ORDER BY x.ord), '{}')"
			   " FROM ROWS FROM (pg_catalog.unnest(l.message_ids), pg_catalog.unnest(l.attempts))"
			   " WITH ORDINALITY AS x(id, attempt, ord)"
			   " WHERE x.id OPERATOR(pg_catalog.<>) ALL ($2))"
			   " WHERE l.lease_id OPERATOR(pg_catalog.=) ANY ($1)",
		.nargs = 2,
		.argtypes = {INT8ARRAYOID, INT8ARRAYOID},
		.expected = SPI_OK_UPDATE};
	Datum values[2] = {wa_array_of_int8(leases, n), wa_array_of_int8(messages, n)};

	if (n > 0)
		wa_store_run(&statement, values, NULL);
}

void
wa_store_drop_leases(const int64 *leases, int n)
{
	static WaStatement statement = {.sql = "DELETE FROM @extschema@.whatsapp_leases WHERE lease_id "
										   "OPERATOR(pg_catalog.=) ANY ($1)",
									.nargs = 1,
									.argtypes = {INT8ARRAYOID},
									.expected = SPI_OK_DELETE};
	Datum values[1] = {wa_array_of_int8(leases, n)};

	if (n > 0)
		wa_store_run(&statement, values, NULL);
}

/* ---- those of a dead process ------------------------------------------------------ */

#define DEAD                                                                                       \
	"(sender OPERATOR(pg_catalog.=) $1 OR ($1 OPERATOR(pg_catalog.=) 0 AND sender "                \
	"OPERATOR(pg_catalog.>=) $2)) AND lease_id OPERATOR(pg_catalog.<=) $3"

/* What leases name, of which the queue counts fewer attempts. */
#define ON_THE_WIRE                                                                                \
	" @extschema@.whatsapp_leases l"                                                               \
	" CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(l.message_ids),"                             \
	" pg_catalog.unnest(l.attempts)) AS x(id, attempt)"                                            \
	" JOIN @extschema@.whatsapp_queue q ON q.message_id OPERATOR(pg_catalog.=) x.id"               \
	" AND q.attempts OPERATOR(pg_catalog.<) x.attempt"

static WaStatement lock_dead_statement = {
	.sql = "SELECT lease_id FROM @extschema@.whatsapp_leases WHERE " DEAD
		   " ORDER BY lease_id FOR UPDATE SKIP LOCKED",
	.nargs = 3,
	.argtypes = {INT2OID, INT4OID, INT8OID},
	.expected = SPI_OK_SELECT};

static WaStatement lock_queue_statement = {.sql =
											   "SELECT q.message_id FROM" ON_THE_WIRE
											   " WHERE l.lease_id OPERATOR(pg_catalog.=) ANY ($1)"
											   " ORDER BY q.message_id FOR UPDATE OF q SKIP LOCKED",
										   .nargs = 1,
										   .argtypes = {INT8ARRAYOID},
										   .expected = SPI_OK_SELECT};

static WaStatement lock_messages_statement = {.sql =
												  "SELECT m.id FROM @extschema@.whatsapp_messages m"
												  " WHERE m.id OPERATOR(pg_catalog.=) ANY ($1)"
												  " ORDER BY m.id FOR NO KEY UPDATE SKIP LOCKED",
											  .nargs = 1,
											  .argtypes = {INT8ARRAYOID},
											  .expected = SPI_OK_SELECT};

static WaStatement doubt_statement = {
	.sql = "WITH claimed AS (SELECT x.id, x.attempt, l.claimed_at"
		   " FROM @extschema@.whatsapp_leases l"
		   " CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(l.message_ids),"
		   " pg_catalog.unnest(l.attempts)) AS x(id, attempt)"
		   " WHERE l.lease_id OPERATOR(pg_catalog.=) ANY ($1)),"
		   " doubtful AS (UPDATE @extschema@.whatsapp_queue q"
		   " SET state = 'u', hold_reason = 'uncertain', attempts = c.attempt,"
		   " due_at = pg_catalog.clock_timestamp()"
		   " OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => $3)"
		   " FROM claimed c WHERE q.message_id OPERATOR(pg_catalog.=) c.id"
		   " AND q.message_id OPERATOR(pg_catalog.=) ANY ($2)"
		   " AND q.attempts OPERATOR(pg_catalog.<) c.attempt"
		   " RETURNING q.message_id, q.phone_number_id, c.attempt, c.claimed_at),"
		   " marked AS (UPDATE @extschema@.whatsapp_messages m"
		   " SET status = 'uncertain', attempts = d.attempt,"
		   " error_code = -1, error_message = $4"
		   " FROM doubtful d WHERE m.id OPERATOR(pg_catalog.=) d.message_id AND m.status "
		   "OPERATOR(pg_catalog.=) ANY ('{queued,sending}')"
		   " RETURNING m.id)"
		   " INSERT INTO @extschema@.whatsapp_attempts"
		   " (message_id, attempt, phone_number_id, outcome, error_code, error_message,"
		   " started_at)"
		   " SELECT d.message_id, d.attempt, d.phone_number_id, 'uncertain', -1, $4, d.claimed_at"
		   " FROM doubtful d",
	.nargs = 4,
	.argtypes = {INT8ARRAYOID, INT8ARRAYOID, FLOAT8OID, TEXTOID},
	.expected = SPI_OK_INSERT};

static WaStatement drop_dead_statement = {
	.sql = "DELETE FROM @extschema@.whatsapp_leases d"
		   " WHERE d.lease_id OPERATOR(pg_catalog.=) ANY ($1) AND NOT EXISTS ("
		   "SELECT FROM" ON_THE_WIRE " WHERE l.lease_id OPERATOR(pg_catalog.=) d.lease_id)",
	.nargs = 1,
	.argtypes = {INT8ARRAYOID},
	.expected = SPI_OK_DELETE};

static WaStatement last_dead_statement = {
	.sql = "SELECT pg_catalog.max(lease_id) FROM @extschema@.whatsapp_leases WHERE " DEAD,
	.nargs = 3,
	.argtypes = {INT2OID, INT4OID, INT8OID},
	.expected = SPI_OK_SELECT};

/* The ids in the first column, as an array of SQL and of C. */
static Datum
ids_of(const WaRows *rows, int64 **ids)
{
	int n = (int) rows->count;

	*ids = palloc(sizeof(int64) * Max(n, 1));
	for (int i = 0; i < n; i++)
		(*ids)[i] = wa_rows_int(rows, i, 1, 0);
	return wa_array_of_int8(*ids, n);
}

/*
 * In order: leases, queue rows, messages; each step sees what the one before has
 * locked.  A lease of which something is left stands as it is: what has become
 * uncertain is not on the wire any more by its count of attempts.
 */
uint64
wa_store_end_dead_leases(int sender, int nsenders, int64 *last, int grace_ms, const char *reason)
{
	Datum of_senders[3] = {Int16GetDatum(sender), Int32GetDatum(nsenders), Int64GetDatum(*last)};
	WaRows rows = wa_store_run(&lock_dead_statement, of_senders, NULL);
	int64 *ids;
	Datum leases = ids_of(&rows, &ids);
	Datum messages;
	Datum values[4];
	uint64 n = 0;

	rows = wa_store_run(&lock_queue_statement, &leases, NULL);
	messages = ids_of(&rows, &ids);
	wa_store_remove_orphans(ids, (int) rows.count);
	rows = wa_store_run(&lock_messages_statement, &messages, NULL);
	if (rows.count > 0)
	{
		values[0] = leases;
		values[1] = ids_of(&rows, &ids);
		values[2] = Float8GetDatum(grace_ms / 1000.0);
		values[3] = CStringGetTextDatum(reason);
		n = wa_store_run(&doubt_statement, values, NULL).count;
	}
	wa_store_run(&drop_dead_statement, &leases, NULL);
	rows = wa_store_run(&last_dead_statement, of_senders, NULL);
	*last = wa_rows_int(&rows, 0, 1, 0);
	return n;
}

int
wa_store_on_wire(WaOnWireRow **on_wire)
{
	static WaStatement statement = {.sql = "SELECT w.message_id, w.phone_number_id, q.rank"
										   " FROM @extschema@.wa_internal_on_wire_requests w"
										   " JOIN @extschema@.whatsapp_queue q"
										   " ON q.message_id OPERATOR(pg_catalog.=) w.message_id",
									.expected = SPI_OK_SELECT};
	WaRows rows = wa_store_run(&statement, NULL, NULL);
	int n = (int) rows.count;

	*on_wire = palloc(sizeof(WaOnWireRow) * Max(n, 1));
	for (int i = 0; i < n; i++)
		(*on_wire)[i] = (WaOnWireRow){.message_id = wa_rows_int(&rows, i, 1, 0),
									  .phone_number_id = wa_rows_text(&rows, i, 2),
									  .rank = wa_rows_int(&rows, i, 3, 0)};
	return n;
}
