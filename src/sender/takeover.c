/*
 * takeover.c
 *	  What a promoted server does about messages that its former primary may have sent.
 *
 * With asynchronous replication the primary that is gone has sent messages, and
 * maybe has written down that it did, and nothing of that is here: they look as if
 * nobody had touched them.  Every message that came by replication and was free to
 * leave is such a one.  It becomes uncertain, for the attempt that the former
 * primary would have made: so the report of that attempt settles it, and what no
 * report settles is for the policy to decide, after a grace of its own.
 *
 * Two kinds of take-over leave nothing to hold.  Where commits waited for standbys,
 * no request has begun whose lease is not here (sender/begin.c); the primary has
 * written down whether they did, so that its standbys know.  And a primary that was
 * shut down in good order had sent its standby everything (sender/clean_stop.c).
 *
 * There may be very many, so they are held in small steps, between which the
 * messages of this server go their way.  Until that is done claims hold what they
 * meet of them, instead of sending it.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/guc.h"
#include "common/queue_state.h"
#include "sender/clean_stop.h"
#include "sender/store/replication.h"
#include "sender/store/takeover_rows.h"
#include "sender/store/transaction.h"
#include "sender/takeover.h"
#include "shared/first_xid.h"
#include "shared/lost_ids.h"
#include "shared/shmem.h"
#include "shared/wake.h"

/* Messages looked at in one step: some milliseconds. */
#define STEP 100

/* Before rows that somebody had locked, or that a step failed at, are tried again. */
#define TRY_AGAIN_US INT64_C(500000)

static WaTakeover takeover;

/* How far sender 0 has come with it. */
static struct
{
	int64 after;	 /* everything up to this message is done ... */
	int64 passed_by; /* ... but for this one and others behind it, which were locked; 0: none */
	int64 not_before_us;
	uint64 held;
} done;

void
wa_takeover_begin(WaSender *sender, TimeLineID before, TimestampTz replayed_until)
{
	const char *why = NULL;

	if (wa_store_read_takeover(&takeover))
		why = "Its requests waited for synchronous standbys: nothing is held.";
	else if (wa_stopped_cleanly(before))
		why = "The former primary was shut down in good order: nothing is held.";
	else
		wa_store_begin_takeover(replayed_until, wa_first_xid());
	wa_lost_ids_leave_out(wa_store_schema());
	ereport(LOG,
			(errmsg("database \"%s\" takes over the sending of WhatsApp messages",
					sender->slot->dbname),
			 errdetail("This server was promoted. %s",
					   why != NULL ? why
								   : "What the former primary may have sent is uncertain until a "
									 "webhook, or the policy, decides.")));
}

void
wa_takeover_read(WaSender *sender)
{
	bool synchronous = wa_replication_is_synchronous();

	if (wa_store_read_takeover(&takeover) != synchronous && sender->index == 0)
		wa_store_note_synchronous(synchronous);
}

bool
wa_takeover_concerns(int64 message_id)
{
	return message_id <= takeover.through;
}

void
wa_takeover_hold(int64 message_id, const char *number, int attempts, WaDisposition *disposition)
{
	memset(disposition, 0, sizeof(WaDisposition));
	disposition->message_id = message_id;
	disposition->state = WA_QUEUE_UNCERTAIN;
	disposition->status = "uncertain";
	disposition->reason = "takeover";
	disposition->phone_number_id = number;
	disposition->due_at = TimestampTzPlusMilliseconds(wa_now(), wa_guc_takeover_grace);
	disposition->attempts = attempts + 1;
	disposition->failed_attempt = true;
	disposition->attempt = attempts + 1;
	disposition->outcome = "uncertain";
	disposition->started_at = takeover.since != 0 ? takeover.since : takeover.at;
	disposition->code = -1;
	disposition->message = "the former primary may have sent it before this server took over";
	disposition->fbtrace_id = "";
	wa_wake_due(disposition->due_at);
}

/*
 * In a transaction: one step.  Returns how many were held; *missed is set to the first
 * that was locked, if there was none before.
 */
static int
hold_some(int64 *after, int64 *missed, bool *more)
{
	WaTakeoverRow *rows;
	WaDisposition *dispositions;
	int64 passed_by;
	int n = wa_store_lock_taken_over(&takeover, STEP, after, &passed_by, more, &rows);
	int n_unlocked;

	dispositions = palloc(sizeof(WaDisposition) * Max(n, 1));
	for (int i = 0; i < n; i++)
		wa_takeover_hold(rows[i].message_id, rows[i].phone_number_id, rows[i].attempts,
						 &dispositions[i]);
	n_unlocked = wa_store_lock_messages(dispositions, n);
	for (int i = n_unlocked; i < n; i++)
		if (passed_by == 0 || dispositions[i].message_id < passed_by)
			passed_by = dispositions[i].message_id;
	wa_store_dispositions(dispositions, n_unlocked);
	if (*missed == 0)
		*missed = passed_by;
	return n_unlocked;
}

static void
finish(WaSender *sender)
{
	wa_store_begin("ending the take-over");
	wa_store_end_takeover();
	wa_store_commit();
	takeover.through = 0;
	ereport(LOG,
			(errmsg("%llu messages of database \"%s\" may have been sent by the former primary",
					(unsigned long long) done.held, sender->slot->dbname)));
	memset(&done, 0, sizeof(done));
}

void
wa_takeover_run(WaSender *sender)
{
	int64 after = done.after;
	int64 missed = done.passed_by;
	bool more;
	int n;

	if (takeover.through == 0 || wa_now_us() < done.not_before_us)
		return;
	done.not_before_us = wa_now_us() + TRY_AGAIN_US;
	wa_store_begin("holding what the former primary may have sent");
	n = hold_some(&after, &missed, &more);
	wa_store_commit();
	pg_atomic_fetch_add_u64(&sender->slot->counters.uncertain, n);
	done.held += n;
	done.after = after;
	done.passed_by = missed;
	if (more)
		done.not_before_us = 0;
	else if (missed == 0)
		finish(sender);
	else
	{
		done.after = missed - 1;
		done.passed_by = 0;
	}
}

long
wa_takeover_wait_ms(void)
{
	if (takeover.through == 0)
		return -1;
	return (long) Max(0, (done.not_before_us - wa_now_us() + 999) / 1000);
}
