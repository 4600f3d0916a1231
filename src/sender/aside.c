/*
 * aside.c
 *	  Settlements that have to wait for somebody's lock.
 *
 * Anybody may keep rows locked that a settlement writes: a cancellation or a SELECT
 * FOR UPDATE whose transaction goes on, webhooks whose COMMIT waits for a standby.
 * Nobody else's messages may wait for that.
 *
 * Looking for locks first would cost every message a second write of both its rows,
 * so a settlement goes ahead and waits for a lock as briefly as lock_timeout lets it.
 * Once that has happened, settlements are careful for a while: they lock their rows
 * first and pass by those that somebody else has (sender/store/settled_rows.c).  Those
 * jobs are set aside, each for twice as long as the time before, and take up no place
 * among the requests that may be out.  A transaction with a thousand locked rows costs
 * everybody else one such wait.  How many there may be is bounded, for each number and
 * in all: then nothing more is sent (state/wire.c).
 *
 * What cannot be seen beforehand, such as a trigger of the application that waits
 * for a row of the application's own, makes a careful settlement fail, too.  It is
 * then tried in halves (sender/settle.c) until one job is left, and that is tried
 * alone from then on, at long intervals.  The wait may be too brief for everybody:
 * where each COMMIT queues up behind many others that NOTIFY, say.  So it is doubled
 * when jobs by themselves fail, and halved again when settlements succeed.
 */
#include "postgres.h"

#include "sender/aside.h"
#include "sender/state/wire.h"
#include "sender/store/transaction.h"

/* The delays of one whose rows are locked: nearly all locks are gone after the first. */
#define FIRST_DELAY_US 10000
#define MAX_DELAY_US 1000000

/* ... and of one that makes its settlement fail. */
#define MAX_ALONE_DELAY_US 10000000

/* Jobs taken back together: as many as one settlement is meant for. */
#define BATCH 256

/* Tries of single jobs may cost this share of the time at most. */
#define ALONE_SHARE 20

/* Careful for so long after the last lock that was met; longer than any MAX_DELAY_US. */
#define CAREFUL_US 2000000

/* That nothing more is sent because of them is logged as often. */
#define REPORT_US INT64_C(60000000)

static int64 careful_until_us;
static int64 alone_after_us; /* no single job before */
static int64 next_us = PG_INT64_MAX;
static int patience_ms = WA_STORE_LEAST_PATIENCE_MS;

/* For the first time: it counts until it is written. */
static void
count(WaNumber *number)
{
	static int64 report_after_us = 0;
	int64 now = wa_now_us();
	bool before = wa_wire_is_behind(number);

	wa_wire_put_aside(number);
	if (before || !wa_wire_is_behind(number) || now < report_after_us)
		return;
	report_after_us = now + REPORT_US;
	ereport(LOG, (errmsg("nothing is sent from a number while %d of its settlements wait for locks",
						 number->aside),
				  errdetail("Somebody keeps rows of messages locked that were answered."),
				  errhint("Look for the transaction in pg_stat_activity and pg_locks.")));
}

static void
put(WaSender *sender, WaJob *job, int64 first_us, int64 max_us)
{
	if (job->aside_us == 0)
		count(job->number);
	job->aside_us = job->aside_us == 0 ? first_us : Min(job->aside_us * 2, max_us);
	job->settle_after_us = wa_now_us() + job->aside_us;
	next_us = Min(next_us, job->settle_after_us);
	dlist_delete(&job->node);
	sender->n_finished--;
	dlist_push_tail(&sender->aside, &job->node);
	sender->n_aside++;
}

void
wa_aside_locked(WaSender *sender, WaJob *job)
{
	wa_aside_be_careful();
	put(sender, job, FIRST_DELAY_US, MAX_DELAY_US);
}

void
wa_aside_failed(WaSender *sender, WaJob *job)
{
	if (!job->alone)
		ereport(LOG, (errmsg("the settlement of message %lld fails and is put off",
							 (long long) job->message_id),
					  errdetail("Meanwhile others are settled. If its rows are not locked, a "
								"trigger on them may wait for something.")));
	job->alone = true;
	put(sender, job, MAX_DELAY_US, MAX_ALONE_DELAY_US);
	patience_ms = Min(patience_ms * 2, WA_STORE_MOST_PATIENCE_MS);
	wa_store_set_patience(patience_ms);
	alone_after_us = wa_now_us() + (int64) patience_ms * 1000 * ALONE_SHARE;
}

static void
take_back(WaSender *sender, WaJob *job)
{
	dlist_delete(&job->node);
	sender->n_aside--;
	dlist_push_head(&sender->finished, &job->node);
	sender->n_finished++;
}

void
wa_aside_take_back(WaSender *sender)
{
	int64 now = wa_now_us();
	dlist_mutable_iter iter;
	bool any_alone = now < alone_after_us;
	int n = 0;

	if (now < next_us)
		return;
	next_us = PG_INT64_MAX;
	dlist_foreach_modify (iter, &sender->aside)
	{
		WaJob *job = dlist_container(WaJob, node, iter.cur);
		int64 after = job->settle_after_us;

		if (job->alone)
			after = Max(after, any_alone ? Max(alone_after_us, now + FIRST_DELAY_US) : 0);
		if (after > now)
			next_us = Min(next_us, after);
		else if (n == BATCH)
			next_us = now;
		else
		{
			any_alone |= job->alone;
			take_back(sender, job);
			n++;
		}
	}
}

void
wa_aside_take_back_all(WaSender *sender)
{
	while (!dlist_is_empty(&sender->aside))
		take_back(sender, dlist_container(WaJob, node, dlist_head_node(&sender->aside)));
}

int64
wa_aside_next_us(const WaSender *sender)
{
	return sender->n_aside == 0 ? PG_INT64_MAX : next_us;
}

bool
wa_aside_is_careful(void)
{
	return wa_now_us() < careful_until_us;
}

void
wa_aside_be_careful(void)
{
	careful_until_us = wa_now_us() + CAREFUL_US;
}

void
wa_aside_settled(void)
{
	if (patience_ms == WA_STORE_LEAST_PATIENCE_MS)
		return;
	patience_ms = Max(patience_ms / 2, WA_STORE_LEAST_PATIENCE_MS);
	wa_store_set_patience(patience_ms);
}
