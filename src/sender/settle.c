/*
 * settle.c
 *	  Writes down what became of the requests that are finished.
 *
 * The response is read by graph/response.c, and what follows from one that is no
 * acceptance is decided by sender/disposition.c; this file says when to settle, and what, and
 * lets the sender's memory follow.  Settling comes before claiming: what has
 * left us is worth more than what has not.
 */
#include "postgres.h"

#include "base/guc.h"
#include "sender/aside.h"
#include "sender/disposition.h"
#include "sender/measure.h"
#include "sender/pace/pair_order.h"
#include "sender/pace/pair_waiting.h"
#include "sender/settle.h"
#include "sender/state/wire.h"
#include "sender/store/alert.h"
#include "sender/store/consequence.h"
#include "sender/store/lease.h"
#include "sender/store/settled_rows.h"
#include "shared/shmem.h"

/* Settle when half of what may be out is finished, or this many ... */
#define SETTLE_BATCH 256

/* ... or the oldest has waited this long. */
#define SETTLE_DELAY_US 8000

/* A request out for longer than this shows as "sending". */
#define SLOW_US 250000

/* The job to be settled first, or NULL. */
static WaJob *
first_finished(WaSender *sender)
{
	if (dlist_is_empty(&sender->finished))
		return NULL;
	return dlist_container(WaJob, node, dlist_head_node(&sender->finished));
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
	WaJob *first;

	wa_aside_take_back(sender);
	first = first_finished(sender);
	if (first == NULL)
		return false;
	if (sender->n_in_flight == 0 || sender->stopping ||
		sender->n_finished >= Min((sender->concurrency + sender->ahead) / 2, SETTLE_BATCH))
		return true;
	return wa_now_us() - first->finished_us >= SETTLE_DELAY_US;
}

long
wa_settle_wait_ms(WaSender *sender)
{
	int64 now = wa_now_us();
	int64 at = wa_aside_next_us(sender);

	if (sender->n_finished > 0)
		at = Min(at, first_finished(sender)->finished_us + SETTLE_DELAY_US);
	else
	{
		WaJob *job = oldest_unmarked(sender);

		if (job != NULL)
			at = Min(at, job->started_us + SLOW_US);
	}
	return at == PG_INT64_MAX ? -1 : (long) ((Max(at - now, 0) + 999) / 1000);
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

/* ---- one settlement ------------------------------------------------------ */

/* What is being settled, until its transaction is committed; in the cycle's context. */
static struct
{
	WaJob **jobs;
	WaDisposition *dispositions; /* of those not accepted; state of the others is 'a' */
	int n;
} settling;

/* Jobs settled at a time after a failure that being careful has not prevented; 0: all. */
static int settle_limit;

/*
 * Whether that alert is open.  That of a predecessor is not known, and is over with
 * the first acceptance.
 */
typedef struct VersionAlert
{
	bool known;
	bool open;
} VersionAlert;

static VersionAlert version_alert;
static VersionAlert settling_alert; /* once the settlement is committed */

/*
 * Counts each lease's requests in this settlement.  A lease goes when its last
 * request is settled.
 */
static int
finished_leases(int64 *locked, int *n_locked, int64 *done)
{
	int n_done = 0;

	*n_locked = 0;
	for (int i = 0; i < settling.n; i++)
	{
		WaLease *lease = settling.jobs[i]->lease;

		if (lease->settling++ == 0)
			locked[(*n_locked)++] = lease->lease_id;
		if (lease->settling == lease->outstanding)
			done[n_done++] = lease->lease_id;
	}
	return n_done;
}

/*
 * A call that names a retired version of the API is served by another one
 * (Graph API, "Versioning"): responses and webhooks may then differ from what we
 * expect, and somebody should know.
 */
static void
write_version_alert(WaSender *sender, bool any_accepted)
{
	bool first = any_accepted && !version_alert.known;
	bool other_version = sender->api_version_seen[0] != '\0';
	WaAlert alert = {.severity = "warning", .kind = "api_version", .scope = "account", .key = ""};

	settling_alert = version_alert;
	if (other_version && !version_alert.open)
	{
		alert.message = psprintf("Meta responds with version %s of the API, not with %s:"
								 " set whatsapp_shared.api_version",
								 sender->api_version_seen, wa_guc_api_version);
		wa_store_alert(&alert);
	}
	else if (!other_version && (version_alert.open || first))
		wa_store_resolve_alert("api_version", "account", "");
	settling_alert.open = other_version;
	settling_alert.known |= any_accepted;
}

/*
 * The first of those that are to be settled, as many as the limit allows; or one
 * that is to be settled alone.
 */
static void
choose_jobs(WaSender *sender)
{
	int max = settle_limit > 0 ? Min(settle_limit, sender->n_finished) : sender->n_finished;
	dlist_iter iter;

	settling.jobs = MemoryContextAlloc(sender->cycle_context, sizeof(WaJob *) * max);
	settling.dispositions =
		MemoryContextAllocZero(sender->cycle_context, sizeof(WaDisposition) * max);
	settling.n = 0;
	dlist_foreach (iter, &sender->finished)
	{
		WaJob *job = dlist_container(WaJob, node, iter.cur);

		if (settling.n == max)
			break;
		if (job->alone && settling.n > 0)
			continue;
		settling.jobs[settling.n++] = job;
		if (job->alone)
			break;
	}
}

/* Locks what is about to be written, and sets aside what somebody else has locked. */
static void
set_aside_locked(WaSender *sender)
{
	int n = settling.n;
	int64 *leases = palloc(sizeof(int64) * n);
	int64 *messages = palloc(sizeof(int64) * n);
	bool *locked = palloc(sizeof(bool) * n);

	for (int i = 0; i < n; i++)
	{
		leases[i] = settling.jobs[i]->lease->lease_id;
		messages[i] = settling.jobs[i]->message_id;
	}
	wa_store_lock_settled(leases, messages, n, locked);
	settling.n = 0;
	for (int i = 0; i < n; i++)
		if (locked[i])
			wa_aside_locked(sender, settling.jobs[i]);
		else
			settling.jobs[settling.n++] = settling.jobs[i];
}

/*
 * The fence: our leases are still there, so nobody has settled these requests in
 * our place.  Those whose last request is settled go at the end.
 */
static int
pass_fence(WaSender *sender, int64 *done)
{
	int64 *leases = palloc(sizeof(int64) * settling.n);
	int n_leases;
	int n_done = finished_leases(leases, &n_leases, done);

	if (wa_store_lock_leases(leases, n_leases) != n_leases)
		ereport(FATAL, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("another sender has taken over the requests of this one"),
						errdetail("A lease of sender %d is no longer there.", sender->index)));
	return n_done;
}

/*
 * What has used up no attempt counts as on the wire for as long as a lease names it.
 * Leases that stay, because others of their requests are still out, name it no more.
 */
static void
release_uncounted(void)
{
	int64 *leases = palloc(sizeof(int64) * settling.n);
	int64 *messages = palloc(sizeof(int64) * settling.n);
	int n = 0;

	for (int i = 0; i < settling.n; i++)
	{
		const WaJob *job = settling.jobs[i];
		const WaDisposition *disposition = &settling.dispositions[i];

		if (disposition->state == 'a' || disposition->attempts >= job->attempt ||
			job->lease->settling == job->lease->outstanding)
			continue;
		leases[n] = job->lease->lease_id;
		messages[n++] = job->message_id;
	}
	wa_store_shrink_leases(leases, messages, n);
}

static WaAccepted
acceptance_of(const WaJob *job)
{
	return (WaAccepted){.message_id = job->message_id,
						.queue_tid = job->queue_tid,
						.message_tid = job->message_tid,
						.attempt = job->attempt,
						.phone_number_id = job->number->id,
						.wamid = job->outcome->wamid,
						.input = job->outcome->input,
						.wa_id = job->outcome->wa_id,
						.user_id = job->outcome->user_id,
						.message_status = job->outcome->message_status,
						.at = job->finished_at};
}

static void
write_opt_outs(const WaDisposition *dispositions, int n)
{
	int64 *ids = palloc(sizeof(int64) * Max(n, 1));
	int n_ids = 0;

	for (int i = 0; i < n; i++)
		if (dispositions[i].opts_out)
			ids[n_ids++] = dispositions[i].message_id;
	wa_store_opt_outs(ids, n_ids);
}

void
wa_settle_run(WaSender *sender)
{
	WaAccepted *accepted;
	WaDisposition *dispositions;
	int64 *done;
	int n_accepted = 0;
	int n_dispositions = 0;
	int n_done;

	choose_jobs(sender);
	if (wa_aside_is_careful())
		set_aside_locked(sender);
	if (settling.n == 0)
		return;
	accepted = palloc(sizeof(WaAccepted) * settling.n);
	dispositions = palloc(sizeof(WaDisposition) * settling.n);
	done = palloc(sizeof(int64) * settling.n);
	n_done = pass_fence(sender, done);
	for (int i = 0; i < settling.n; i++)
	{
		WaJob *job = settling.jobs[i];

		if (job->outcome->kind == WA_OUTCOME_ACCEPTED)
		{
			accepted[n_accepted++] = acceptance_of(job);
			settling.dispositions[i].state = 'a';
		}
		else
		{
			wa_disposition_decide(sender, job, &settling.dispositions[i]);
			dispositions[n_dispositions++] = settling.dispositions[i];
		}
	}
	wa_store_accept(accepted, n_accepted);
	wa_store_dispositions(dispositions, n_dispositions);
	for (int i = 0, next = 0; i < settling.n; i++)
		if (settling.dispositions[i].state != 'a')
			settling.dispositions[i].superseded = dispositions[next++].superseded;
	write_opt_outs(dispositions, n_dispositions);
	wa_store_drop_leases(done, n_done);
	release_uncounted();

	write_version_alert(sender, n_accepted > 0);
}

/*
 * Pauses that it has put into force are written down nowhere: the reading of the
 * configuration lifts them, and the next settlement sets them again.
 */
void
wa_settle_aborted(WaSender *sender)
{
	for (int i = 0; i < settling.n; i++)
		settling.jobs[i]->lease->settling = 0;
	if (settling.n > 0)
		sender->config_generation = 0;
	if (settling.n > 0 && !wa_aside_is_careful())
		wa_aside_be_careful();
	else if (settling.n == 1)
		wa_aside_failed(sender, settling.jobs[0]);
	else if (settling.n > 1)
		settle_limit = settling.n / 2;
	settling.n = 0;
}

/* The next message to this recipient may go; or all must wait with the deferred one. */
static void
release_recipient(WaSender *sender, WaJob *job, const WaDisposition *disposition)
{
	WaPair *pair = wa_pair_get(sender, job->pair_key);
	bool deferred = disposition->state == 'd' && !disposition->superseded;

	wa_pair_end(pair, disposition->state == 'a' || disposition->state == 'u');
	if (job->outcome->kind == WA_OUTCOME_REFUSED &&
		job->outcome->error->error_class == WA_CLASS_THROTTLE_PAIR)
		pair->throttles++;
	else if (job->outcome->kind == WA_OUTCOME_ACCEPTED)
		pair->throttles = 0;

	if (deferred)
	{
		pair->blocked_until = Max(pair->blocked_until, disposition->due_at);
		wa_pair_deferred(sender, pair, job->message_id, disposition->due_at);
	}

	/* What is ready again is claimed again before those, from the cursor on. */
	if (disposition->state == 'r' && !disposition->superseded)
		wa_pair_forget_waiting(sender, pair);
	else if (deferred)
		while (wa_pair_release_one(sender, pair))
			;
	else if (pair->in_flight == 0)
		wa_pair_release_one(sender, pair);
	wa_pair_rest(sender, pair);
}

/* Does nothing if the transaction was not a settlement, or not of anything. */
void
wa_settle_committed(WaSender *sender)
{
	if (settling.n == 0)
		return;
	for (int i = 0; i < settling.n; i++)
	{
		WaJob *job = settling.jobs[i];
		WaDisposition *disposition = &settling.dispositions[i];
		WaLease *lease = job->lease;

		wa_measure_settled(sender, job, disposition);
		release_recipient(sender, job, disposition);
		wa_sender_untrack(sender, job->message_id);
		if (disposition->state == 'r')
			wa_number_lower_cursor(job->number, job->rank);
		if (job->aside_us != 0)
			wa_wire_settled(job->number);
		lease->settling--;
		if (--lease->outstanding == 0)
			pfree(lease);
		dlist_delete(&job->node);
		sender->n_finished--;
		pfree(job->outcome);
		pfree(job);
	}
	settling.n = 0;
	wa_aside_settled();
	if (settle_limit > 0 && (settle_limit *= 2) > wa_guc_max_in_flight)
		settle_limit = 0;
	version_alert = settling_alert;
}
