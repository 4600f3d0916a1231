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
#include "sender/store/transaction.h"

/*
 * Durable also where synchronous_commit is off: a lease that a crash could undo
 * after the first byte has left would let the message be sent again.
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

uint64
wa_store_end_dead_leases(int sender, int nsenders, int grace_ms, const char *reason)
{
	static WaStatement statement = {
		.sql =
			"WITH lease AS (DELETE FROM @extschema@.whatsapp_leases"
			" WHERE sender OPERATOR(pg_catalog.=) $1 OR ($1 OPERATOR(pg_catalog.=) 0 AND sender "
			"OPERATOR(pg_catalog.>=) $2)"
			" RETURNING message_ids, attempts, claimed_at),"
			" claimed AS (SELECT x.id, x.attempt, l.claimed_at FROM lease l"
			" CROSS JOIN LATERAL unnest(l.message_ids, l.attempts) AS x(id, attempt)),"
			" doubtful AS (UPDATE @extschema@.whatsapp_queue q"
			" SET state = 'u', hold_reason = 'uncertain', attempts = c.attempt,"
			" due_at = pg_catalog.clock_timestamp()"
			" OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => $3)"
			" FROM claimed c WHERE q.message_id OPERATOR(pg_catalog.=) c.id AND q.attempts "
			"OPERATOR(pg_catalog.<) c.attempt"
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
		.argtypes = {INT2OID, INT4OID, FLOAT8OID, TEXTOID},
		.expected = SPI_OK_INSERT};
	Datum values[4];

	values[0] = Int16GetDatum(sender);
	values[1] = Int32GetDatum(nsenders);
	values[2] = Float8GetDatum(grace_ms / 1000.0);
	values[3] = CStringGetTextDatum(reason);
	return wa_store_run(&statement, values, NULL).count;
}
