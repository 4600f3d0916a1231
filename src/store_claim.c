/*
 * store_claim.c
 *	  Statements of the claim: what is read, and the lease that it ends with.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
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
 *
 * SKIP LOCKED says nothing of what it skips, and the cursor would leave it
 * behind.  wa_internal_offered, evaluated where the index is read and below the
 * locking, hears of every row; those that are not in the result were locked.
 */
static WaStatement claim_statement = {
	.plan.sql =
		"WITH picked AS MATERIALIZED ("
		"SELECT q.message_id, q.rank, q.due_at, q.expires_at, q.attempts, q.phone_number_id"
		" FROM unnest($1, $2, $3, $4) WITH ORDINALITY AS n(number, rank, id, lim, turn)"
		" CROSS JOIN LATERAL ("
		"SELECT c.message_id, c.rank, c.due_at, c.expires_at, c.attempts, c.phone_number_id"
		" FROM @extschema@.whatsapp_queue c"
		" WHERE c.phone_number_id = n.number AND c.state = 'r'"
		" AND (c.rank, c.message_id) > (n.rank, n.id)"
		" AND @extschema@.wa_internal_offered(n.turn, c.message_id, c.rank)"
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
		" m.template_language, m.payload::text, m.context_message_id, p.by_id"
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

/* A row that the index has offered to the claim being made. */
typedef struct Offered
{
	int turn; /* which limit, from 1 */
	int64 message_id;
	int64 rank;
} Offered;

static Offered *offered; /* in the memory of the claim; NULL outside of it */
static int n_offered;
static int max_offered;

PG_FUNCTION_INFO_V1(wa_internal_offered);

/* True for every row; see the claim's statement. */
Datum
wa_internal_offered(PG_FUNCTION_ARGS)
{
	if (offered != NULL)
	{
		if (n_offered == max_offered)
		{
			max_offered *= 2;
			offered = repalloc_huge(offered, sizeof(Offered) * max_offered);
		}
		offered[n_offered].turn = (int) PG_GETARG_INT64(0);
		offered[n_offered].message_id = PG_GETARG_INT64(1);
		offered[n_offered++].rank = PG_GETARG_INT64(2);
	}
	PG_RETURN_BOOL(true);
}

/* Notes, for each limit, the first of the rows offered that are not among those read. */
static void
note_passed_by(WaClaimLimit *limits, const WaClaimRow *rows, int n, int n_read)
{
	int64 *read;
	int m = 0;

	if (n_offered == n_read)
		return;
	read = palloc(sizeof(int64) * Max(n_read, 1));
	for (int i = 0; i < n; i++)
		if (!rows[i].by_id)
			read[m++] = rows[i].message_id;
	wa_store_sort_ids(read, m);
	for (int i = 0; i < n_offered; i++)
	{
		WaClaimLimit *limit = &limits[offered[i].turn - 1];

		if (!wa_store_is_among(offered[i].message_id, read, m))
			limit->passed_by = Min(limit->passed_by, offered[i].rank);
	}
}

/*
 * Locks and returns ready rows: per number after its cursor, and those of ids
 * that are still there.  Rows locked by others are passed by.
 */
int
wa_store_claim(WaClaimLimit *limits, int nlimits, const int64 *ids, int nids, WaClaimRow **rows)
{
	const char **numbers = palloc(sizeof(char *) * Max(nlimits, 1));
	int64 *ranks = palloc(sizeof(int64) * Max(nlimits, 1));
	int64 *after = palloc(sizeof(int64) * Max(nlimits, 1));
	int32 *maxima = palloc(sizeof(int32) * Max(nlimits, 1));
	Datum values[5];
	int n_read = 0;
	int n;

	n_offered = 0;
	max_offered = 64;
	for (int i = 0; i < nlimits; i++)
	{
		limits[i].passed_by = PG_INT64_MAX;
		max_offered += limits[i].limit;
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
	offered = palloc(sizeof(Offered) * max_offered);
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
		row->by_id = wa_store_int(i, 15, 0) != 0;
		n_read += row->by_id ? 0 : 1;
	}
	note_passed_by(limits, *rows, n, n_read);
	offered = NULL;
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
