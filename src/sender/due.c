/*
 * due.c
 *	  Messages whose time has come: deferred, uncertain and expired ones.
 *
 * Sender 0 does this for the whole database.  Deferred rows become ready, and
 * reach the other senders through the commit hook like any other; what has
 * expired ends; of what is in doubt, and of which no webhook has told meanwhile,
 * the policy decides.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/guc.h"
#include "base/rows.h"
#include "base/statement.h"
#include "enqueue/enqueue.h"
#include "sender/due.h"
#include "sender/pace/pair_waiting.h"
#include "sender/store/fates.h"
#include "sender/store/transaction.h"
#include "shared/wake.h"

/* One short transaction's; if it was filled, the next comes soon. */
#define BATCH 1000

/* ---- deferred rows -------------------------------------------------------- */

/*
 * What came back from its deferral to a number of ours, until that is committed;
 * other senders hear of theirs through the commit hook.
 */
typedef struct Promoted
{
	WaNumber *number;
	int64 message_id;
	int64 rank;
	char *recipient;
} Promoted;

static Promoted *promoted; /* in the cycle's memory */
static int n_promoted;

/*
 * A retry may come due in quiet hours, and so may a message that was scheduled
 * before there were any.
 *
 * The time is an argument here and below: clock_timestamp() is volatile, so no
 * index could stop at it, and every message that is due some day would be read.
 */
static bool
promote_due(WaSender *sender)
{
	static WaStatement statement = {
		.sql = "WITH due AS (SELECT message_id FROM @extschema@.whatsapp_queue"
			   " WHERE state IN ('d', 'u') AND state = 'd'"
			   " AND due_at <= $2"
			   /* Those deferred to the same moment, in their order, if not all fit. */
			   " ORDER BY due_at, rank, message_id LIMIT $1 FOR UPDATE SKIP LOCKED),"
			   " judged AS (SELECT due.message_id,"
			   " COALESCE(m.recipient_phone, m.recipient_user_id) AS recipient, CASE WHEN "
			   "m.priority < $3 THEN"
			   " @extschema@.wa_internal_quiet_end(pg_catalog.clock_timestamp(),"
			   " t.quiet_from, t.quiet_to, t.time_zone) END AS quiet_until"
			   " FROM due JOIN @extschema@.whatsapp_messages m ON m.id = due.message_id"
			   " LEFT JOIN @extschema@.whatsapp_tenants t ON t.tenant_id = m.tenant_id)"
			   " UPDATE @extschema@.whatsapp_queue q SET"
			   " state = CASE WHEN j.quiet_until IS NOT NULL THEN 'd'::\"char\""
			   " WHEN q.phone_number_id IS NULL THEN 'h' ELSE 'r' END,"
			   " hold_reason = CASE WHEN j.quiet_until IS NOT NULL THEN 'quiet_hours'"
			   " WHEN q.phone_number_id IS NULL THEN 'no_number' END,"
			   " due_at = COALESCE(j.quiet_until, q.due_at)"
			   " FROM judged j WHERE q.message_id = j.message_id"
			   " RETURNING CASE WHEN j.quiet_until IS NULL THEN q.phone_number_id END, q.rank,"
			   " q.message_id, j.recipient",
		.nargs = 3,
		.argtypes = {INT4OID, TIMESTAMPTZOID, INT4OID},
		.expected = SPI_OK_UPDATE_RETURNING};
	WaRows rows;
	Datum values[3] = {Int32GetDatum(BATCH), TimestampTzGetDatum(GetCurrentTimestamp()),
					   Int32GetDatum(WA_PRIORITY_URGENT)};

	rows = wa_store_run(&statement, values, NULL);
	promoted = MemoryContextAlloc(sender->cycle_context, sizeof(Promoted) * BATCH);
	n_promoted = 0;
	for (uint64 i = 0; i < rows.count; i++)
	{
		const char *id = wa_rows_text(&rows, i, 1);
		WaNumber *number = id != NULL ? wa_sender_number(sender, id, true) : NULL;
		int64 rank = wa_rows_int(&rows, i, 2, 0);

		if (number != NULL && number->mine)
			promoted[n_promoted++] = (Promoted){
				.number = number,
				.message_id = wa_rows_int(&rows, i, 3, 0),
				.rank = rank,
				.recipient = MemoryContextStrdup(sender->cycle_context, wa_rows_text(&rows, i, 4))};
		else if (number != NULL)
			wa_wake_ready(id, rank);
	}
	return rows.count == BATCH;
}

/* They are ready for everybody to see. */
static void
promoted_committed(WaSender *sender)
{
	for (int i = 0; i < n_promoted; i++)
		wa_pair_came_due(sender, promoted[i].number, promoted[i].recipient, promoted[i].message_id,
						 promoted[i].rank);
	n_promoted = 0;
}

/* ---- uncertain messages ---------------------------------------------------- */

static WaUncertainPolicy
policy_of(const char *name)
{
	if (name == NULL)
		return wa_guc_uncertain_policy;
	if (strcmp(name, "resend") == 0)
		return WA_UNCERTAIN_RESEND;
	if (strcmp(name, "park") == 0)
		return WA_UNCERTAIN_PARK;
	if (strcmp(name, "fail") == 0)
		return WA_UNCERTAIN_FAIL;
	return WA_UNCERTAIN_AUTO;
}

static void
alert_parked(const char *number, int64 message_id)
{
	static WaStatement statement = {
		.sql = "SELECT @extschema@.wa_internal_alert('warning', 'uncertain', 'number', $1, $2,"
			   " pg_catalog.jsonb_build_object('message_id', $3))",
		.nargs = 3,
		.argtypes = {TEXTOID, TEXTOID, INT8OID},
		.expected = SPI_OK_SELECT};
	Datum values[3];

	values[0] = CStringGetTextDatum(number ? number : "");
	values[1] = CStringGetTextDatum("A message may or may not have been sent and no webhook says "
									"so: decide with wa_resolve_message()");
	values[2] = Int64GetDatum(message_id);
	wa_store_run(&statement, values, NULL);
}

/*
 * The grace of these is over without a webhook.  Under the policy "auto" the
 * absence of one proves something only if webhooks for other messages of the
 * same number, accepted after this one was tried, did arrive.
 */
static bool
decide_uncertain(WaSender *sender)
{
	static WaStatement statement = {
		.sql =
			"SELECT q.message_id, q.phone_number_id, q.attempts, q.rank,"
			" COALESCE(m.on_uncertain, t.on_uncertain),"
			" EXISTS (SELECT FROM @extschema@.whatsapp_messages o"
			" WHERE o.tenant_id = m.tenant_id AND o.phone_number_id = m.phone_number_id"
			" AND o.created_at >= m.created_at - interval '1 day'"
			" AND o.accepted_at >= a.started_at"
			" AND (o.sent_at IS NOT NULL OR o.delivered_at IS NOT NULL OR o.read_at IS NOT NULL))"
			" FROM @extschema@.whatsapp_queue q"
			" JOIN @extschema@.whatsapp_messages m ON m.id = q.message_id"
			" LEFT JOIN @extschema@.whatsapp_tenants t ON t.tenant_id = m.tenant_id"
			" LEFT JOIN LATERAL (SELECT max(x.started_at) AS started_at"
			" FROM @extschema@.whatsapp_attempts x WHERE x.message_id = q.message_id) a ON true"
			" WHERE q.state IN ('d', 'u') AND q.state = 'u'"
			" AND q.due_at <= $2"
			" ORDER BY q.due_at LIMIT $1 FOR UPDATE OF q, m SKIP LOCKED",
		.nargs = 2,
		.argtypes = {INT4OID, TIMESTAMPTZOID},
		.expected = SPI_OK_SELECT};
	WaRows rows;
	Datum values[2] = {Int32GetDatum(BATCH), TimestampTzGetDatum(GetCurrentTimestamp())};
	WaFate *fates;
	bool *park;
	int64 *ranks;
	int n;

	rows = wa_store_run(&statement, values, NULL);
	n = (int) rows.count;
	fates = palloc0(sizeof(WaFate) * Max(n, 1));
	park = palloc0(sizeof(bool) * Max(n, 1));
	ranks = palloc0(sizeof(int64) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		WaFate *fate = &fates[i];
		WaUncertainPolicy policy = policy_of(wa_rows_text(&rows, i, 5));
		bool proof = wa_rows_int(&rows, i, 6, 0) != 0;

		fate->message_id = wa_rows_int(&rows, i, 1, 0);
		fate->phone_number_id = wa_rows_text(&rows, i, 2);
		fate->attempts = (int) wa_rows_int(&rows, i, 3, 0);
		ranks[i] = wa_rows_int(&rows, i, 4, 0);
		if (policy == WA_UNCERTAIN_AUTO)
			policy = proof ? WA_UNCERTAIN_RESEND : WA_UNCERTAIN_PARK;
		if (policy == WA_UNCERTAIN_RESEND && fate->attempts >= wa_guc_max_attempts)
			policy = WA_UNCERTAIN_FAIL;

		switch (policy)
		{
			case WA_UNCERTAIN_RESEND:
				fate->state = fate->phone_number_id != NULL ? 'r' : 'h';
				fate->status = "queued";
				fate->reason = fate->phone_number_id != NULL ? NULL : "no_number";
				break;
			case WA_UNCERTAIN_FAIL:
				fate->state = 0;
				fate->status = "failed";
				fate->reason = "uncertain";
				break;
			default:
				fate->state = 'u';
				fate->status = "uncertain";
				fate->reason = "parked";
				fate->due_at = DT_NOEND;
				park[i] = true;
				break;
		}
	}
	wa_store_fates(fates, n);
	for (int i = 0; i < n; i++)
	{
		if (fates[i].state == 'r')
			wa_wake_ready(fates[i].phone_number_id, ranks[i]);
		if (park[i])
			alert_parked(fates[i].phone_number_id, fates[i].message_id);
	}
	return n == BATCH;
}

/* ---- expiry ---------------------------------------------------------------- */

/*
 * Messages that wait past their expiry.  Ready ones are also checked at the
 * claim; here are those that nothing claims.  What is on the wire is left
 * alone: the leases are read after the rows are locked.
 */
static bool
expire(WaSender *sender)
{
	static WaStatement lock_statement = {
		.sql = "SELECT q.message_id FROM @extschema@.whatsapp_queue q"
			   " JOIN @extschema@.whatsapp_messages m ON m.id = q.message_id"
			   " WHERE q.expires_at <= $2"
			   " AND q.expires_at IS NOT NULL AND q.state <> 'u'"
			   " ORDER BY q.expires_at LIMIT $1 FOR UPDATE OF q, m SKIP LOCKED",
		.nargs = 2,
		.argtypes = {INT4OID, TIMESTAMPTZOID},
		.expected = SPI_OK_SELECT};
	static WaStatement statement = {
		.sql = "WITH gone AS (DELETE FROM @extschema@.whatsapp_queue q"
			   " WHERE q.message_id = ANY ($1) AND NOT EXISTS ("
			   "SELECT FROM @extschema@.whatsapp_leases l"
			   " CROSS JOIN LATERAL unnest(l.message_ids, l.attempts) AS x(id, attempt)"
			   " WHERE x.id = q.message_id AND x.attempt > q.attempts)"
			   " RETURNING q.message_id)"
			   " UPDATE @extschema@.whatsapp_messages m SET status = 'expired',"
			   " status_reason = 'expired_before_sending',"
			   " finished_at = pg_catalog.clock_timestamp()"
			   " FROM gone WHERE m.id = gone.message_id AND m.status IN ('queued', 'sending')",
		.nargs = 1,
		.argtypes = {INT8ARRAYOID},
		.expected = SPI_OK_UPDATE};
	WaRows rows;
	Datum values[2] = {Int32GetDatum(BATCH), TimestampTzGetDatum(GetCurrentTimestamp())};
	int64 *ids;
	int n;

	rows = wa_store_run(&lock_statement, values, NULL);
	n = (int) rows.count;
	if (n == 0)
		return false;
	ids = palloc(sizeof(int64) * n);
	for (int i = 0; i < n; i++)
		ids[i] = wa_rows_int(&rows, i, 1, 0);
	values[0] = wa_array_of_int8(ids, n);
	rows = wa_store_run(&statement, values, NULL);
	return rows.count == BATCH;
}

/* ---- all of them ----------------------------------------------------------- */

void
wa_due_read_next(WaSender *sender)
{
	static WaStatement statement = {
		.sql = "SELECT (SELECT due_at FROM @extschema@.whatsapp_queue"
			   " WHERE state IN ('d', 'u') ORDER BY due_at LIMIT 1),"
			   " (SELECT expires_at FROM @extschema@.whatsapp_queue"
			   " WHERE expires_at IS NOT NULL AND state <> 'u' ORDER BY expires_at LIMIT 1)",
		.expected = SPI_OK_SELECT};
	WaRows rows;

	rows = wa_store_run(&statement, NULL, NULL);
	sender->next_due = wa_rows_time(&rows, 0, 1, DT_NOEND);
	sender->next_expiry = wa_rows_time(&rows, 0, 2, DT_NOEND);
}

/*
 * The deferred ones are everybody's daily business: nothing about the others must
 * hold them up.
 */
void
wa_due_run(WaSender *sender)
{
	bool more;

	wa_store_begin("looking after waiting WhatsApp messages");
	more = promote_due(sender);
	wa_store_commit();
	promoted_committed(sender);

	wa_store_begin("looking after waiting WhatsApp messages");
	more |= decide_uncertain(sender);
	more |= expire(sender);
	wa_due_read_next(sender);
	/* A row locked by somebody else stays due; do not spin on it. */
	if (!more)
	{
		TimestampTz soon = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), 100);

		sender->next_due = Max(sender->next_due, soon);
		sender->next_expiry = Max(sender->next_expiry, soon);
	}
	wa_store_commit();
}
