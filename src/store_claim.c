/*
 * store_claim.c
 *	  Statements of the claim: what is read, and the lease that it ends with.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"

#include "store.h"
#include "store_claim.h"

/*
 * The claim.  The first branch resumes each number's ready rows after its
 * cursor; the second re-reads rows that were set aside because their recipient
 * was busy; it does not say state = 'r', because to a planner that takes the
 * queue for empty the ready index would then look as good as the primary key.
 * FOR UPDATE is held until the lease is committed, so that a
 * cancellation sees either no claim or the lease.
 */
static WaStatement claim_statement = {
	.plan.sql =
		"WITH picked AS MATERIALIZED ("
		"SELECT q.message_id, q.rank, q.due_at, q.expires_at, q.attempts, q.phone_number_id"
		" FROM unnest($1, $2, $3, $4) AS n(number, rank, id, lim)"
		" CROSS JOIN LATERAL ("
		"SELECT c.message_id, c.rank, c.due_at, c.expires_at, c.attempts, c.phone_number_id"
		" FROM @extschema@.whatsapp_queue c"
		" WHERE c.phone_number_id = n.number AND c.state = 'r'"
		" AND (c.rank, c.message_id) > (n.rank, n.id)"
		" ORDER BY c.rank, c.message_id LIMIT n.lim FOR UPDATE SKIP LOCKED) q"
		"), again AS MATERIALIZED ("
		"SELECT c.message_id, c.rank, c.due_at, c.expires_at, c.attempts, c.phone_number_id"
		" FROM unnest($5) AS a(id)"
		" CROSS JOIN LATERAL (SELECT * FROM @extschema@.whatsapp_queue x"
		" WHERE x.message_id = a.id AND x.state NOT IN ('d', 'h', 'u')"
		" FOR UPDATE SKIP LOCKED) c"
		"), p AS (SELECT *, true AS by_id FROM again UNION ALL SELECT *, false FROM picked)"
		" SELECT p.message_id, p.rank, p.due_at, p.expires_at, p.attempts, p.phone_number_id,"
		" m.tenant_id, m.recipient_phone, m.recipient_user_id, m.message_type, m.template_name,"
		" m.template_language, m.payload::text, m.context_message_id, m.on_uncertain, p.by_id"
		" FROM p JOIN @extschema@.whatsapp_messages m ON m.id = p.message_id",
	.plan.nargs = 5,
	.plan.argtypes = {TEXTARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT4ARRAYOID, INT8ARRAYOID},
	.expected = SPI_OK_SELECT};

static WaStatement lease_statement = {
	.plan.sql = "INSERT INTO @extschema@.whatsapp_leases"
				" (sender, pid, generation, message_ids, attempts)"
				" VALUES ($1, $2, $3, $4, $5) RETURNING lease_id",
	.plan.nargs = 5,
	.plan.argtypes = {INT2OID, INT4OID, INT8OID, INT8ARRAYOID, INT2ARRAYOID},
	.expected = SPI_OK_INSERT_RETURNING};

/*
 * Locks and returns ready rows: per number after its cursor, and those of ids
 * that are still there.  Rows locked by others are passed over.
 */
int
wa_store_claim(const WaClaimLimit *limits, int nlimits, const int64 *ids, int nids,
			   WaClaimRow **rows)
{
	const char **numbers = palloc(sizeof(char *) * Max(nlimits, 1));
	int64 *ranks = palloc(sizeof(int64) * Max(nlimits, 1));
	int64 *after = palloc(sizeof(int64) * Max(nlimits, 1));
	int32 *maxima = palloc(sizeof(int32) * Max(nlimits, 1));
	Datum values[5];
	int n;

	for (int i = 0; i < nlimits; i++)
	{
		numbers[i] = limits[i].phone_number_id;
		ranks[i] = limits[i].rank;
		after[i] = limits[i].message_id;
		maxima[i] = limits[i].limit;
	}
	values[0] = wa_store_text_array(numbers, nlimits);
	values[1] = wa_store_int8_array(ranks, nlimits);
	values[2] = wa_store_int8_array(after, nlimits);
	values[3] = wa_store_int4_array(maxima, nlimits);
	values[4] = wa_store_int8_array(ids, nids);
	wa_store_run(&claim_statement, values, NULL);

	n = (int) SPI_processed;
	*rows = palloc0(sizeof(WaClaimRow) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		WaClaimRow *row = &(*rows)[i];

		row->message_id = wa_store_int(i, 1, 0);
		row->rank = wa_store_int(i, 2, 0);
		row->due_at = wa_store_time(i, 3, 0);
		row->expires_at = wa_store_time(i, 4, 0);
		row->attempts = (int) wa_store_int(i, 5, 0);
		row->phone_number_id = wa_store_plain_text(i, 6);
		row->tenant_id = wa_store_plain_text(i, 7);
		row->recipient_phone = wa_store_plain_text(i, 8);
		row->recipient_user_id = wa_store_plain_text(i, 9);
		row->message_type = wa_store_plain_text(i, 10);
		row->template_name = wa_store_plain_text(i, 11);
		row->template_language = wa_store_plain_text(i, 12);
		row->payload = wa_store_plain_text(i, 13);
		row->context_message_id = wa_store_plain_text(i, 14);
		row->on_uncertain = wa_store_plain_text(i, 15);
		row->by_id = wa_store_int(i, 16, 0) != 0;
	}
	return n;
}

/*
 * Writes the durable intent to send these attempts; returns the lease's id.
 * Durable also where synchronous_commit is off: a lease that a crash could undo
 * after the first byte has left would let the message be sent again.
 */
int64
wa_store_lease(int sender, int64 generation, const int64 *ids, const int16 *attempts, int n)
{
	Datum values[5];

	values[0] = Int16GetDatum(sender);
	values[1] = Int32GetDatum(MyProcPid);
	values[2] = Int64GetDatum(generation);
	values[3] = wa_store_int8_array(ids, n);
	values[4] = wa_store_int2_array(attempts, n);
	wa_store_run(&lease_statement, values, NULL);
	ForceSyncCommit();
	return wa_store_int(0, 1, 0);
}
