/*
 * upkeep.c
 *	  What a sender does by the clock.
 *
 * Every sender sweeps: it looks for ready rows that no commit hook told it of
 * (prepared transactions, logical replication, a restore, a lost note).  The
 * rest is done by sender 0 for the whole database: deferred rows that have
 * become due, messages that have expired, uncertain ones whose grace is over,
 * pauses that end, quiet hours that begin, retention.  What it makes ready
 * reaches the other senders through the commit hook like any other.
 *
 * Each step is a short transaction over a bounded batch; a step that filled its
 * batch is run again soon, after the messages have had their turn.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "enqueue.h"
#include "guc.h"
#include "pair.h"
#include "store.h"
#include "store_settle.h"
#include "upkeep.h"
#include "wake.h"

#define SWEEP_INTERVAL_US INT64_C(30000000)

/* A sweep may cost this share of the time at most. */
#define SWEEP_SHARE 50

#define BATCH 1000

/* What has failed is not tried again at once: else it would keep the rest from running. */
#define AFTER_FAILURE_US INT64_C(1000000)

/* Retention looks at the oldest messages this often once it has caught up. */
#define RETENTION_INTERVAL_US INT64_C(3600000000)
#define RETENTION_STEP_US INT64_C(200000)

#define RECONCILE_INTERVAL_US INT64_C(300000000)

static int64 next_retention_us;
static int64 retention_id;
static int64 next_reconcile_us;
static int64 next_run_due_us; /* not before, whatever is due */

/* When quiet hours begin for any tenant, as known with that configuration. */
static TimestampTz next_quiet;
static uint64 next_quiet_generation;

/*
 * Held rows are looked through page by page, each reason by itself: one page at
 * each sweep, and one after the other where what held them is over for many at
 * once: a pause has ended, or there is a default number.
 */
typedef struct HeldRows
{
	const char *reason;
	int64 after_id;
	bool is_over;
} HeldRows;

static HeldRows held_rows[] = {
	{"no_number", PG_INT64_MIN, false},
	{"tenant_disabled", PG_INT64_MIN, false},
	{"tenant_paused", PG_INT64_MIN, false},
	{"template_paused", PG_INT64_MIN, false},
};

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
		.plan.sql = "WITH due AS (SELECT message_id FROM @extschema@.whatsapp_queue"
					" WHERE state IN ('d', 'u') AND state = 'd'"
					" AND due_at <= $2"
					/* Those deferred to the same moment, in their order, if not all fit. */
					" ORDER BY due_at, rank, message_id LIMIT $1 FOR UPDATE SKIP LOCKED),"
					" judged AS (SELECT due.message_id,"
					" COALESCE(m.recipient_phone, m.recipient_user_id) AS recipient, CASE WHEN m.priority < $3 THEN"
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
		.plan.nargs = 3,
		.plan.argtypes = {INT4OID, TIMESTAMPTZOID, INT4OID},
		.expected = SPI_OK_UPDATE_RETURNING};
	Datum values[3] = {Int32GetDatum(BATCH), TimestampTzGetDatum(GetCurrentTimestamp()),
					   Int32GetDatum(WA_PRIORITY_URGENT)};

	wa_store_run(&statement, values, NULL);
	promoted = MemoryContextAlloc(sender->cycle_context, sizeof(Promoted) * BATCH);
	n_promoted = 0;
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		const char *id = wa_store_text(i, 1);
		WaNumber *number = id != NULL ? wa_sender_number(sender, id, true) : NULL;
		int64 rank = wa_store_int(i, 2, 0);

		if (number != NULL && number->mine)
			promoted[n_promoted++] = (Promoted){
				.number = number,
				.message_id = wa_store_int(i, 3, 0),
				.rank = rank,
				.recipient = MemoryContextStrdup(sender->cycle_context, wa_store_text(i, 4))};
		else if (number != NULL)
			wa_wake_ready(id, rank);
	}
	return SPI_processed == BATCH;
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
		.plan.sql = "SELECT @extschema@.wa_internal_alert('warning', 'uncertain', 'number', $1, $2,"
					" pg_catalog.jsonb_build_object('message_id', $3))",
		.plan.nargs = 3,
		.plan.argtypes = {TEXTOID, TEXTOID, INT8OID},
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
		.plan.sql =
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
		.plan.nargs = 2,
		.plan.argtypes = {INT4OID, TIMESTAMPTZOID},
		.expected = SPI_OK_SELECT};
	Datum values[2] = {Int32GetDatum(BATCH), TimestampTzGetDatum(GetCurrentTimestamp())};
	WaFate *fates;
	bool *park;
	int64 *ranks;
	int n;

	wa_store_run(&statement, values, NULL);
	n = (int) SPI_processed;
	fates = palloc0(sizeof(WaFate) * Max(n, 1));
	park = palloc0(sizeof(bool) * Max(n, 1));
	ranks = palloc0(sizeof(int64) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		WaFate *fate = &fates[i];
		WaUncertainPolicy policy = policy_of(wa_store_text(i, 5));
		bool proof = wa_store_int(i, 6, 0) != 0;

		fate->message_id = wa_store_int(i, 1, 0);
		fate->phone_number_id = wa_store_text(i, 2);
		fate->attempts = (int) wa_store_int(i, 3, 0);
		ranks[i] = wa_store_int(i, 4, 0);
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
		.plan.sql = "SELECT q.message_id FROM @extschema@.whatsapp_queue q"
					" JOIN @extschema@.whatsapp_messages m ON m.id = q.message_id"
					" WHERE q.expires_at <= $2"
					" AND q.expires_at IS NOT NULL AND q.state <> 'u'"
					" ORDER BY q.expires_at LIMIT $1 FOR UPDATE OF q, m SKIP LOCKED",
		.plan.nargs = 2,
		.plan.argtypes = {INT4OID, TIMESTAMPTZOID},
		.expected = SPI_OK_SELECT};
	static WaStatement statement = {
		.plan.sql = "WITH gone AS (DELETE FROM @extschema@.whatsapp_queue q"
					" WHERE q.message_id = ANY ($1) AND NOT EXISTS ("
					"SELECT FROM @extschema@.whatsapp_leases l"
					" CROSS JOIN LATERAL unnest(l.message_ids, l.attempts) AS x(id, attempt)"
					" WHERE x.id = q.message_id AND x.attempt > q.attempts)"
					" RETURNING q.message_id)"
					" UPDATE @extschema@.whatsapp_messages m SET status = 'expired',"
					" status_reason = 'expired_before_sending',"
					" finished_at = pg_catalog.clock_timestamp()"
					" FROM gone WHERE m.id = gone.message_id AND m.status IN ('queued', 'sending')",
		.plan.nargs = 1,
		.plan.argtypes = {INT8ARRAYOID},
		.expected = SPI_OK_UPDATE};
	Datum values[2] = {Int32GetDatum(BATCH), TimestampTzGetDatum(GetCurrentTimestamp())};
	int64 *ids;
	int n;

	wa_store_run(&lock_statement, values, NULL);
	n = (int) SPI_processed;
	if (n == 0)
		return false;
	ids = palloc(sizeof(int64) * n);
	for (int i = 0; i < n; i++)
		ids[i] = wa_store_int(i, 1, 0);
	values[0] = wa_store_int8_array(ids, n);
	wa_store_run(&statement, values, NULL);
	return SPI_processed == BATCH;
}

/* ---- retention ------------------------------------------------------------- */

/*
 * Walks the messages from the oldest id on and deletes what is finished and
 * old enough, with everything that belongs to it.  Ids follow creation closely,
 * so the walk ends at the first message that is too young to matter.
 */
static bool
retain(WaSender *sender)
{
	static WaStatement statement = {
		.plan.sql =
			"WITH rule AS (SELECT pg_catalog.make_interval(mins => $2) AS std),"
			" span AS MATERIALIZED (SELECT m.id, m.tenant_id, m.created_at, m.finished_at"
			" FROM @extschema@.whatsapp_messages m WHERE m.id > $1 ORDER BY m.id LIMIT $3),"
			" old AS MATERIALIZED (SELECT s.id FROM span s CROSS JOIN rule r"
			" LEFT JOIN @extschema@.whatsapp_tenants t ON t.tenant_id = s.tenant_id"
			" WHERE s.finished_at < pg_catalog.now() - COALESCE(NULLIF(t.retention, '0'), r.std)"
			" AND COALESCE(t.retention, r.std) > '0'"
			" AND NOT EXISTS (SELECT FROM @extschema@.whatsapp_queue q WHERE q.message_id = s.id)),"
			" a AS (DELETE FROM @extschema@.whatsapp_attempts x USING old WHERE x.message_id = "
			"old.id),"
			" w AS (DELETE FROM @extschema@.whatsapp_wamids x USING old, "
			"@extschema@.whatsapp_messages m"
			" WHERE m.id = old.id AND x.whatsapp_message_id = m.whatsapp_message_id"
			" AND x.message_id = m.id),"
			" d AS (DELETE FROM @extschema@.whatsapp_messages x USING old WHERE x.id = old.id)"
			" SELECT count(*), max(id),"
			" max(created_at) < pg_catalog.now() - LEAST((SELECT std FROM rule WHERE std > '0'),"
			" (SELECT min(retention) FROM @extschema@.whatsapp_tenants WHERE retention > '0'))"
			" FROM span",
		.plan.nargs = 3,
		.plan.argtypes = {INT8OID, INT4OID, INT4OID},
		.expected = SPI_OK_SELECT};
	Datum values[3] = {Int64GetDatum(retention_id), Int32GetDatum(wa_guc_retention),
					   Int32GetDatum(BATCH)};
	bool more;

	wa_store_run(&statement, values, NULL);
	more = wa_store_int(0, 1, 0) == BATCH && wa_store_int(0, 3, 0) != 0;
	retention_id = more ? wa_store_int(0, 2, 0) : 0;
	return more;
}

/* ---- the sweep ------------------------------------------------------------- */

static void
call(WaStatement *statement)
{
	wa_store_run(statement, NULL, NULL);
}

/* When the next deferred or expiring row is due, as the table knows it. */
static void
read_next_times(WaSender *sender)
{
	static WaStatement statement = {
		.plan.sql = "SELECT (SELECT due_at FROM @extschema@.whatsapp_queue"
					" WHERE state IN ('d', 'u') ORDER BY due_at LIMIT 1),"
					" (SELECT expires_at FROM @extschema@.whatsapp_queue"
					" WHERE expires_at IS NOT NULL AND state <> 'u' ORDER BY expires_at LIMIT 1)",
		.expected = SPI_OK_SELECT};

	call(&statement);
	sender->next_due = wa_store_time(0, 1, DT_NOEND);
	sender->next_expiry = wa_store_time(0, 2, DT_NOEND);
}

/* Rows that are still held although what held them is over; one page of them. */
static void
release_stale_holds(HeldRows *held)
{
	static WaStatement statement = {
		.plan.sql = "SELECT @extschema@.wa_internal_release_stale_holds($1, $2, $3)",
		.plan.nargs = 3,
		.plan.argtypes = {TEXTOID, INT8OID, INT4OID},
		.expected = SPI_OK_SELECT};
	Datum values[3] = {CStringGetTextDatum(held->reason), Int64GetDatum(held->after_id),
					   Int32GetDatum(BATCH)};

	wa_store_run(&statement, values, NULL);
	held->after_id = wa_store_int(0, 1, PG_INT64_MIN);
	if (held->after_id == PG_INT64_MIN)
		held->is_over = false;
}

/* Where what held rows is over, one may be waiting on any page. */
static HeldRows *
held_in_vain(void)
{
	for (int i = 0; i < lengthof(held_rows); i++)
		if (held_rows[i].is_over)
			return &held_rows[i];
	return NULL;
}

static void
look_through(const char *reason)
{
	for (int i = 0; i < lengthof(held_rows); i++)
		if (strcmp(held_rows[i].reason, reason) == 0)
		{
			held_rows[i].after_id = PG_INT64_MIN;
			held_rows[i].is_over = true;
		}
}

/* Removes the pauses whose time has come, and learns when the next one ends. */
static void
end_pauses(WaSender *sender)
{
	static WaStatement statement = {
		.plan.sql = "SELECT next_end, lifted FROM @extschema@.wa_internal_resume_due()",
		.expected = SPI_OK_SELECT};

	call(&statement);
	sender->next_pause_end = wa_store_time(0, 1, DT_NOEND);
	if (wa_store_int(0, 2, 0) == 0)
		return;
	look_through("tenant_paused");
	look_through("template_paused");
}

/*
 * The default number may have been set, changed, or given back by its tenant:
 * then it is there for every message that waits for want of a number.
 */
void
wa_upkeep_configured(WaSender *sender)
{
	static char before[WA_NUMBER_SIZE];
	const char *now = sender->default_number_taken ? "" : wa_guc_phone_number_id;

	if (now[0] != '\0' && strcmp(now, before) != 0)
		look_through("no_number");
	strlcpy(before, now, sizeof(before));
}

/*
 * Defers what is ready where it is quiet, and learns when it will be elsewhere.
 * One batch; what another sender was claiming comes with the next.
 */
static void
begin_quiet_hours(WaSender *sender)
{
	static WaStatement statement = {
		.plan.sql = "SELECT next_begin, deferred FROM @extschema@.wa_internal_begin_quiet_hours()",
		.expected = SPI_OK_SELECT};

	call(&statement);
	next_quiet = wa_store_time(0, 1, DT_NOEND);
	if (wa_store_int(0, 2, 0) > 0)
		next_quiet = GetCurrentTimestamp();
	next_quiet_generation = sender->config_generation;
}

static void
sweep_database(WaSender *sender)
{
	static WaStatement parked = {.plan.sql = "SELECT @extschema@.wa_internal_rematch()",
								 .expected = SPI_OK_SELECT};

	end_pauses(sender);
	begin_quiet_hours(sender);
	for (int i = 0; i < lengthof(held_rows); i++)
		release_stale_holds(&held_rows[i]);
	call(&parked);
	read_next_times(sender);
}

static void
sweep(WaSender *sender)
{
	int64 started = wa_now_us();
	int64 cost;

	sender->next_sweep_us = started + AFTER_FAILURE_US;
	wa_store_begin("sweeping the WhatsApp queue");
	wa_sender_discover(sender);
	if (sender->index == 0)
		sweep_database(sender);
	wa_pairs_rest(sender);
	wa_store_commit();

	cost = wa_now_us() - started;
	sender->next_sweep_us = wa_now_us() + Max(SWEEP_INTERVAL_US, cost * SWEEP_SHARE);
}

static void
reconcile(WaSender *sender)
{
	static WaStatement statement = {.plan.sql = "SELECT @extschema@.wa_internal_reconcile()",
									.expected = SPI_OK_SELECT};

	next_reconcile_us = wa_now_us() + AFTER_FAILURE_US;
	wa_store_begin("reconciling WhatsApp messages");
	call(&statement);
	wa_store_commit();
	next_reconcile_us = wa_now_us() + RECONCILE_INTERVAL_US;
}

/*
 * Deferred, uncertain and expired rows whose time has come.  The deferred ones
 * are everybody's daily business: nothing about the others must hold them up.
 */
static void
run_due(WaSender *sender)
{
	bool more;

	wa_store_begin("looking after waiting WhatsApp messages");
	more = promote_due(sender);
	wa_store_commit();
	promoted_committed(sender);

	wa_store_begin("looking after waiting WhatsApp messages");
	more |= decide_uncertain(sender);
	more |= expire(sender);
	read_next_times(sender);
	/* A row locked by somebody else stays due; do not spin on it. */
	if (!more)
	{
		TimestampTz soon = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), 100);

		sender->next_due = Max(sender->next_due, soon);
		sender->next_expiry = Max(sender->next_expiry, soon);
	}
	wa_store_commit();
}

/*
 * A new token ends an account pause that a refusal has set, whatever it was: if
 * the reason is still there, the next refusal sets it again.
 */
static void
try_new_token(WaSender *sender)
{
	static WaStatement statement = {
		.plan.sql = "SELECT @extschema@.wa_internal_lift_pause('account', '', true)",
		.expected = SPI_OK_SELECT};

	wa_store_begin("trying the new access token");
	call(&statement);
	wa_store_commit();
	sender->token_rotated = false;
}

void
wa_upkeep_run(WaSender *sender)
{
	int64 now = wa_now_us();
	TimestampTz clock = GetCurrentTimestamp();
	bool whole_database = sender->index == 0 && sender->at_home;
	HeldRows *held;

	if (sender->stopping)
		return;
	if (whole_database && now >= next_run_due_us &&
		(sender->next_due <= clock || sender->next_expiry <= clock))
	{
		next_run_due_us = now + AFTER_FAILURE_US;
		run_due(sender);
		next_run_due_us = 0;
	}
	if (now >= sender->next_sweep_us)
		sweep(sender);
	if (!whole_database)
		return;

	if (sender->token_rotated && sender->has_token)
		try_new_token(sender);
	if (sender->next_pause_end <= clock)
	{
		sender->next_pause_end = clock + AFTER_FAILURE_US;
		wa_store_begin("ending WhatsApp pauses");
		end_pauses(sender);
		wa_store_commit();
	}
	if (next_quiet <= clock || next_quiet_generation != sender->config_generation)
	{
		next_quiet = clock + AFTER_FAILURE_US;
		next_quiet_generation = sender->config_generation;
		wa_store_begin("beginning the quiet hours of WhatsApp tenants");
		begin_quiet_hours(sender);
		wa_store_commit();
	}
	if ((held = held_in_vain()) != NULL)
	{
		wa_store_begin("releasing WhatsApp messages");
		release_stale_holds(held);
		wa_store_commit();
	}
	if (now >= next_reconcile_us)
		reconcile(sender);
	if (now >= next_retention_us)
	{
		bool more;

		next_retention_us = now + AFTER_FAILURE_US;
		wa_store_begin("deleting old WhatsApp messages");
		more = retain(sender);
		wa_store_commit();
		next_retention_us = wa_now_us() + (more ? RETENTION_STEP_US : RETENTION_INTERVAL_US);
	}
}

long
wa_upkeep_wait_ms(WaSender *sender)
{
	int64 now = wa_now_us();
	TimestampTz clock = GetCurrentTimestamp();
	int64 wait = sender->next_sweep_us - now;

	if (sender->index == 0 && sender->at_home)
	{
		TimestampTz next = Min(sender->next_due, sender->next_expiry);

		if ((sender->token_rotated && sender->has_token) || held_in_vain() != NULL)
			return 0;
		if (next != DT_NOEND)
			wait = Min(wait, Max(next - clock, next_run_due_us - now));
		if (sender->next_pause_end != DT_NOEND)
			wait = Min(wait, sender->next_pause_end - clock);
		if (next_quiet != DT_NOEND)
			wait = Min(wait, next_quiet - clock);
		wait = Min(wait, Min(next_reconcile_us, next_retention_us) - now);
	}
	return (long) Max(0, (wait + 999) / 1000);
}
