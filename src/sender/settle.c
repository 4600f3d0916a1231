/*
 * settle.c
 *	  Writes down what became of the requests that are finished.
 *
 * The answer is read by graph/response.c, and what follows from one that is no
 * acceptance is decided by sender/fate.c; this file says when to settle, and what, and
 * lets the sender's memory follow.  Settling comes before claiming: what has
 * left us is worth more than what has not.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/guc.h"
#include "base/statement.h"
#include "sender/fate.h"
#include "sender/pace/pair_order.h"
#include "sender/pace/pair_waiting.h"
#include "sender/settle.h"
#include "sender/store/transaction.h"
#include "shared/shmem.h"

/* Settle when half of what may be out is finished, or this many ... */
#define SETTLE_BATCH 256

/* ... or the oldest has waited this long. */
#define SETTLE_DELAY_US 8000

/* A request out for longer than this shows as "sending". */
#define SLOW_US 250000

/* This many requests in a row without an HTTP answer: the network is down. */
#define OUTAGE_FAILURES 5
#define OUTAGE_DELAY_US INT64_C(500000)
#define OUTAGE_MAX_DELAY_US INT64_C(30000000)

/*
 * A batch that fails as a whole, because somebody keeps one of its rows locked,
 * is tried again in halves; a job that fails alone is set aside for a while, so
 * that it holds up nobody else.
 */
#define SET_ASIDE_US 1000000

/* The oldest job that may be settled now, or NULL. */
static WaJob *
oldest_finished(WaSender *sender)
{
	int64 now = wa_now_us();
	dlist_iter iter;

	dlist_foreach (iter, &sender->finished)
	{
		WaJob *job = dlist_container(WaJob, node, iter.cur);

		if (job->settle_after_us <= now)
			return job;
	}
	return NULL;
}

/* The oldest job on the wire that does not show as sending yet, or NULL. */
static WaJob *
oldest_unmarked(WaSender *sender)
{
	dlist_iter iter;

	dlist_foreach (iter, &sender->in_flight)
	{
		WaJob *job = dlist_container(WaJob, node, iter.cur);

		if (!job->marked_sending)
			return job;
	}
	return NULL;
}

bool
wa_settle_due(WaSender *sender)
{
	WaJob *oldest = oldest_finished(sender);

	if (oldest == NULL)
		return false;
	if (sender->n_in_flight == 0 || sender->stopping ||
		sender->n_finished >= Min((sender->window + sender->ahead) / 2, SETTLE_BATCH))
		return true;
	return wa_now_us() - oldest->finished_us >= SETTLE_DELAY_US;
}

long
wa_settle_wait_ms(WaSender *sender)
{
	int64 wait_us = -1;

	if (sender->n_finished > 0)
	{
		WaJob *oldest = oldest_finished(sender);

		wait_us = oldest == NULL ? SET_ASIDE_US / 10
								 : Max(0, SETTLE_DELAY_US - (wa_now_us() - oldest->finished_us));
	}
	else
	{
		WaJob *job = oldest_unmarked(sender);

		if (job != NULL)
			wait_us = Max(0, SLOW_US - (wa_now_us() - job->started_us));
	}
	return wait_us < 0 ? -1 : (long) ((wait_us + 999) / 1000);
}

bool
wa_settle_slow_due(WaSender *sender)
{
	WaJob *job = oldest_unmarked(sender);

	return job != NULL && wa_now_us() - job->started_us >= SLOW_US;
}

/*
 * A hint for people only: if the transaction fails, or somebody has the message
 * locked, nobody is told again.
 */
void
wa_settle_mark_slow(WaSender *sender)
{
	int64 *ids = palloc(sizeof(int64) * (sender->n_in_flight + 1));
	int16 *attempts = palloc(sizeof(int16) * (sender->n_in_flight + 1));
	int64 now = wa_now_us();
	dlist_iter iter;
	int n = 0;

	dlist_foreach (iter, &sender->in_flight)
	{
		WaJob *job = dlist_container(WaJob, node, iter.cur);

		if (now - job->started_us < SLOW_US)
			break;
		if (job->marked_sending)
			continue;
		job->marked_sending = true;
		ids[n] = job->message_id;
		attempts[n++] = (int16) job->attempt;
	}
	wa_store_mark_sending(ids, attempts, n);
}

/* ---- alerts -------------------------------------------------------------- */

static void
outage_alert(const char *message)
{
	static WaStatement statement = {
		.sql = "SELECT @extschema@.wa_internal_alert('error', 'network', 'account', '', $1, NULL)",
		.nargs = 1,
		.argtypes = {TEXTOID},
		.expected = SPI_OK_SELECT};
	Datum values[1] = {CStringGetTextDatum(message)};

	wa_store_run(&statement, values, NULL);
}

static void
resolve_alert(const char *kind)
{
	static WaStatement statement = {
		.sql = "SELECT @extschema@.wa_internal_resolve_alert($1, 'account', '')",
		.nargs = 1,
		.argtypes = {TEXTOID},
		.expected = SPI_OK_SELECT};
	Datum values[1] = {CStringGetTextDatum(kind)};

	wa_store_run(&statement, values, NULL);
}

/*
 * A call that names a retired version of the API is served by another one
 * (Graph API, "Versioning"): answers and webhooks may then differ from what we
 * expect, and somebody should know.
 */
static void
version_alert(const char *seen)
{
	static WaStatement statement = {
		.sql = "SELECT @extschema@.wa_internal_alert('warning', 'api_version', 'account', '',"
			   " pg_catalog.format('Meta answers with version %s of the API, not with %s:"
			   " set whatsapp_shared.api_version', $1, $2), NULL)",
		.nargs = 2,
		.argtypes = {TEXTOID, TEXTOID},
		.expected = SPI_OK_SELECT};
	Datum values[2];

	values[0] = CStringGetTextDatum(seen);
	values[1] = CStringGetTextDatum(wa_guc_api_version);
	wa_store_run(&statement, values, NULL);
}

/* ---- one settlement ------------------------------------------------------ */

/* What is being settled, until its transaction is committed; cycle's context. */
static WaJob **settling;
static WaFate *settling_fates; /* of those not accepted; state of the others is 'a' */
static int n_settling;

/* Which alerts are open once it is committed. */
static bool settling_outage_alerted;
static bool settling_version_alerted;

/* Those of a predecessor are over, too, with the first acceptance. */
static bool settling_alerts_known;
static bool alerts_known;

/*
 * Counts each lease's requests in this settlement.  A lease goes when its last
 * request is settled.
 */
static int
finished_leases(int64 *locked, int *n_locked, int64 *done)
{
	int n_done = 0;

	*n_locked = 0;
	for (int i = 0; i < n_settling; i++)
	{
		WaLease *lease = settling[i]->lease;

		if (lease->settling++ == 0)
			locked[(*n_locked)++] = lease->lease_id;
		if (lease->settling == lease->outstanding)
			done[n_done++] = lease->lease_id;
	}
	return n_done;
}

/*
 * What people should know, or need not worry about any more: any_accepted, and
 * what was said of a request that was not.
 */
static void
write_alerts(WaSender *sender, bool any_accepted, const char *message)
{
	bool outage = sender->failures_in_row >= OUTAGE_FAILURES;
	bool first = any_accepted && !alerts_known;
	bool other_version = sender->api_version_seen[0] != '\0';

	settling_outage_alerted = sender->outage_alerted;
	if (outage && !sender->outage_alerted && message != NULL)
	{
		outage_alert(message);
		settling_outage_alerted = true;
	}
	else if (sender->failures_in_row == 0 && (sender->outage_alerted || first))
	{
		resolve_alert("network");
		settling_outage_alerted = false;
	}

	settling_version_alerted = other_version;
	if (other_version && !sender->version_alerted)
		version_alert(sender->api_version_seen);
	else if (!other_version && (sender->version_alerted || first))
		resolve_alert("api_version");
	settling_alerts_known = alerts_known || any_accepted;
}

void
wa_settle_run(WaSender *sender)
{
	int max = sender->settle_limit > 0 ? Min(sender->settle_limit, sender->n_finished)
									   : sender->n_finished;
	int64 now = wa_now_us();
	WaAccepted *accepted = palloc0(sizeof(WaAccepted) * max);
	WaFate *fates = palloc0(sizeof(WaFate) * max);
	int64 *locked = palloc(sizeof(int64) * max);
	int64 *done = palloc(sizeof(int64) * max);
	int n_accepted = 0;
	int n_fates = 0;
	int n_locked;
	int n_done;
	dlist_iter iter;

	settling = MemoryContextAlloc(sender->cycle_context, sizeof(WaJob *) * max);
	settling_fates = MemoryContextAllocZero(sender->cycle_context, sizeof(WaFate) * max);
	n_settling = 0;
	dlist_foreach (iter, &sender->finished)
	{
		WaJob *job = dlist_container(WaJob, node, iter.cur);

		if (n_settling == max)
			break;
		if (job->settle_after_us <= now)
			settling[n_settling++] = job;
	}

	/*
	 * The fence: our leases are still there, so nobody has settled these
	 * requests in our place.
	 */
	n_done = finished_leases(locked, &n_locked, done);
	if (wa_store_lock_leases(locked, n_locked) != n_locked)
		ereport(FATAL, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("another sender has taken over the requests of this one"),
						errdetail("A lease of sender %d is no longer there.", sender->index)));

	for (int i = 0; i < n_settling; i++)
	{
		WaJob *job = settling[i];

		if (job->outcome->kind == WA_OUTCOME_ACCEPTED)
		{
			WaAccepted *a = &accepted[n_accepted++];

			a->message_id = job->message_id;
			a->queue_tid = job->queue_tid;
			a->message_tid = job->message_tid;
			a->attempt = job->attempt;
			a->phone_number_id = job->number->id;
			a->wamid = job->outcome->wamid;
			a->wa_id = job->outcome->wa_id;
			a->user_id = job->outcome->user_id;
			a->message_status = job->outcome->message_status;
			a->at = job->finished_at;
			settling_fates[i].state = 'a';
		}
		else
		{
			wa_fate_decide(sender, job, &settling_fates[i]);
			fates[n_fates++] = settling_fates[i];
		}
	}
	wa_store_accept(accepted, n_accepted);
	wa_store_fates(fates, n_fates);
	for (int i = 0, next = 0; i < n_settling; i++)
		if (settling_fates[i].state != 'a')
			settling_fates[i].superseded = fates[next++].superseded;
	wa_store_drop_leases(done, n_done);

	write_alerts(sender, n_accepted > 0, n_fates > 0 ? fates[n_fates - 1].message : NULL);
}

/*
 * Pauses that it has put into force are written down nowhere: the reading of the
 * configuration lifts them, and the next settlement sets them again.
 */
void
wa_settle_aborted(WaSender *sender)
{
	for (int i = 0; i < n_settling; i++)
		settling[i]->lease->settling = 0;
	if (n_settling > 0)
		sender->config_generation = 0;
	if (n_settling == 1)
	{
		settling[0]->settle_after_us = wa_now_us() + SET_ASIDE_US;
		dlist_delete(&settling[0]->node);
		dlist_push_tail(&sender->finished, &settling[0]->node);
	}
	else if (n_settling > 1)
		sender->settle_limit = n_settling / 2;
	n_settling = 0;
}

/* The next message to this recipient may go; or all must wait with the deferred one. */
static void
release_recipient(WaSender *sender, WaJob *job, const WaFate *fate)
{
	WaPair *pair = wa_pair_get(sender, job->pair_key);
	bool deferred = fate->state == 'd' && !fate->superseded;

	pair->in_flight--;
	if (job->outcome->kind == WA_OUTCOME_REFUSED &&
		job->outcome->error->error_class == WA_CLASS_THROTTLE_PAIR)
		pair->throttles++;
	else if (job->outcome->kind == WA_OUTCOME_ACCEPTED)
		pair->throttles = 0;

	if (deferred)
	{
		pair->blocked_until = Max(pair->blocked_until, fate->due_at);
		wa_pair_deferred(sender, pair, job->message_id, fate->due_at);
	}
	if (fate->state != 'a' && fate->state != 'u')
		pair->whole_at_us -= wa_pair_interval_us();

	/* What is ready again is claimed again before those, from the cursor on. */
	if (fate->state == 'r' && !fate->superseded)
		wa_pair_forget_waiting(sender, pair);
	else if (deferred)
		while (wa_pair_release_one(sender, pair))
			;
	else if (pair->in_flight == 0)
		wa_pair_release_one(sender, pair);
	wa_pair_rest(sender, pair);
}

static void
count(WaSender *sender, const WaJob *job, const WaFate *fate)
{
	WaSenderCounters *counters = &sender->slot->counters;

	if (fate->state == 'a')
		pg_atomic_fetch_add_u64(&counters->accepted, 1);
	else if (fate->state == 'u')
		pg_atomic_fetch_add_u64(&counters->uncertain, 1);
	else if (fate->state == 0)
		pg_atomic_fetch_add_u64(&counters->failed, 1);
	else if (fate->attempts == job->attempt)
		pg_atomic_fetch_add_u64(&counters->retried, 1);
	else if (!job->withdrawn)
		pg_atomic_fetch_add_u64(&counters->throttled, 1);
}

/* Does nothing if the transaction was not a settlement, or not of anything. */
void
wa_settle_committed(WaSender *sender)
{
	if (n_settling == 0)
		return;
	for (int i = 0; i < n_settling; i++)
	{
		WaJob *job = settling[i];
		WaFate *fate = &settling_fates[i];
		WaLease *lease = job->lease;

		count(sender, job, fate);
		release_recipient(sender, job, fate);
		wa_sender_untrack(sender, job->message_id);
		if (fate->state == 'r')
			wa_number_lower_cursor(sender, job->number, job->rank);
		lease->settling--;
		if (--lease->outstanding == 0)
			pfree(lease);
		dlist_delete(&job->node);
		sender->n_finished--;
		pfree(job->outcome);
		pfree(job);
	}
	n_settling = 0;
	if (sender->settle_limit > 0 && (sender->settle_limit *= 2) > wa_guc_max_in_flight)
		sender->settle_limit = 0;
	sender->version_alerted = settling_version_alerted;
	sender->outage_alerted = settling_outage_alerted;
	alerts_known = settling_alerts_known;

	if (sender->failures_in_row >= OUTAGE_FAILURES)
	{
		int doublings = Min(sender->failures_in_row - OUTAGE_FAILURES, 6);

		sender->probe_at_us = wa_now_us() + Min(OUTAGE_DELAY_US << doublings, OUTAGE_MAX_DELAY_US);
	}
	else if (sender->failures_in_row == 0)
		sender->probe_at_us = 0;
}
