/*
 * recovery.c
 *	  What a predecessor left on the wire.
 *
 * A lease that is still there when its sender starts anew belongs to a process
 * that died between the commit of its claim and that of its settlement.  Every
 * message in it whose queue row still counts fewer attempts may or may not have
 * reached Meta; nobody here can know, so it becomes uncertain and waits for the
 * proof that a webhook brings.
 *
 * If the number of senders was lowered, sender 0 also takes the leases of those
 * that are no more: a new set starts only when the old one has ended.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "base/rows.h"
#include "base/statement.h"
#include "sender/recovery.h"
#include "sender/store/transaction.h"
#include "shared/shmem.h"
#include "shared/wake.h"

void
wa_recovery_run(WaSender *sender)
{
	static WaStatement statement = {
		.sql =
			"WITH lease AS (DELETE FROM @extschema@.whatsapp_leases"
			" WHERE sender = $1 OR ($1 = 0 AND sender >= $2)"
			" RETURNING message_ids, attempts, claimed_at),"
			" claimed AS (SELECT x.id, x.attempt, l.claimed_at FROM lease l"
			" CROSS JOIN LATERAL unnest(l.message_ids, l.attempts) AS x(id, attempt)),"
			" doubtful AS (UPDATE @extschema@.whatsapp_queue q"
			" SET state = 'u', hold_reason = 'uncertain', attempts = c.attempt,"
			" due_at = pg_catalog.clock_timestamp()"
			" + pg_catalog.make_interval(secs => $3)"
			" FROM claimed c WHERE q.message_id = c.id AND q.attempts < c.attempt"
			" RETURNING q.message_id, q.phone_number_id, c.attempt, c.claimed_at),"
			" marked AS (UPDATE @extschema@.whatsapp_messages m"
			" SET status = 'uncertain', attempts = d.attempt,"
			" error_code = -1, error_message = $4"
			" FROM doubtful d WHERE m.id = d.message_id AND m.status IN ('queued', 'sending')"
			" RETURNING m.id)"
			" INSERT INTO @extschema@.whatsapp_attempts"
			" (message_id, attempt, phone_number_id, outcome, error_code, error_message, "
			"started_at)"
			" SELECT d.message_id, d.attempt, d.phone_number_id, 'uncertain', -1, $4, d.claimed_at"
			" FROM doubtful d",
		.nargs = 4,
		.argtypes = {INT2OID, INT4OID, FLOAT8OID, TEXTOID},
		.expected = SPI_OK_INSERT};
	WaRows rows;
	Datum values[4];

	values[0] = Int16GetDatum(sender->index);
	values[1] = Int32GetDatum(sender->nsenders);
	values[2] = Float8GetDatum(wa_guc_uncertain_grace / 1000.0);
	values[3] =
		PointerGetDatum(cstring_to_text("the sender ended while the request was on the wire"));
	rows = wa_store_run(&statement, values, NULL);
	if (rows.count > 0)
	{
		ereport(
			LOG,
			(errmsg("%llu messages were on the wire when the previous sender ended",
					(unsigned long long) rows.count),
			 errdetail("They are uncertain until a webhook, or whatsapp_shared.uncertain_policy, "
					   "decides.")));
		pg_atomic_fetch_add_u64(&sender->slot->counters.uncertain, rows.count);
		wa_wake_due(TimestampTzPlusMilliseconds(wa_now(), wa_guc_uncertain_grace));
	}
}
