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
 *
 * Messages of transactions that were prepared over there come later (sender/prepared.c).
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/guc.h"
#include "base/life_cycle.h"
#include "common/queue_state.h"
#include "sender/clean_stop.h"
#include "sender/store/alert.h"
#include "sender/store/prepared_rows.h"
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

static WaTakeover takeover; /* prepared is in the sender's memory */

/* How far sender 0 has come with it. */
static struct
{
	int64 after;	 /* everything up to this message is done ... */
	int64 passed_by; /* ... but for this one and others behind it, which were locked; 0: none */
	int64 not_before_us;
	uint64 held;
} done;

/*
 * What is prepared is read first: if it is committed after that, it is known, and if it
 * was before, it is visible to the rest.
 */
static void
begin(TimestampTz replayed_until)
{
	WaTakeover new = {.since = replayed_until};

	(void) GetTopTransactionId();
	wa_first_xid_note();
	new.n_prepared = wa_store_prepared_messages(&new.prepared);
	new.first = wa_first_xid();
	wa_store_begin_takeover(&new, wa_lost_ids_first());
}

/*
 * Operators hear of every promotion, also of one that went well: somebody has lost a
 * server.  One that somebody has asked for is no trouble.
 */
static void
tell_operators(TimeLineID before, bool clean, const char *consequence)
{
	WaAlert alert = {.severity = clean ? "info" : "warning", .kind = "takeover", .scope = ""};

	alert.key = psprintf("timeline %u", before);
	alert.message = psprintf("This server was promoted, and sends messages in place of its former "
							 "primary (timeline %u). %s",
							 before, consequence);
	wa_store_alert(&alert);
}

void
wa_takeover_begin(WaSender *sender, TimeLineID before, TimestampTz replayed_until)
{
	bool clean = wa_stopped_cleanly(before);
	const char *consequence;
	WaTakeover known;

	wa_lost_ids_leave_out(wa_store_schema());
	if (clean)
		consequence = "The former primary was shut down in good order: nothing is held.";
	else if (wa_store_read_takeover(&known))
		consequence = "Its requests waited for synchronous standbys: nothing is held.";
	else
	{
		consequence = "What the former primary may have sent is uncertain until a webhook, or the "
					  "policy, decides.";
		begin(replayed_until);
	}
	tell_operators(before, clean, consequence);
	ereport(LOG,
			(errmsg(WA_LIFE_CYCLE(
						"takeover") "database \"%s\" takes over the sending of WhatsApp messages",
					sender->slot->dbname),
			 errdetail("This server was promoted. %s", consequence)));
}

void
wa_takeover_read(WaSender *sender)
{
	bool synchronous = wa_replication_is_synchronous();
	int64 *before = takeover.prepared;
	WaTakeover now;
	bool noted = wa_store_read_takeover(&now);

	if (now.n_prepared > 0)
		now.prepared =
			memcpy(MemoryContextAllocHuge(sender->state_context, sizeof(int64) * now.n_prepared),
				   now.prepared, sizeof(int64) * now.n_prepared);
	takeover = now;
	if (before != NULL)
		pfree(before);
	if (noted != synchronous && sender->index == 0)
		wa_store_note_synchronous(synchronous);
}

int
wa_takeover_prepared(const int64 **ids)
{
	*ids = takeover.prepared;
	return takeover.n_prepared;
}

static bool
concerns(int64 message_id)
{
	return message_id <= takeover.through ||
		   wa_ids_contain(message_id, takeover.prepared, takeover.n_prepared);
}

int
wa_takeover_find(const WaClaimRow *rows, int n, int64 **held)
{
	int64 *concerned;
	int m = 0;

	*held = NULL;
	if (takeover.through == 0 && takeover.n_prepared == 0)
		return 0;
	concerned = palloc(sizeof(int64) * Max(n, 1));
	for (int i = 0; i < n; i++)
		if (concerns(rows[i].message_id))
			concerned[m++] = rows[i].message_id;
	return m == 0 ? 0 : wa_store_taken_over(&takeover, concerned, m, held);
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

/* In a transaction.  Returns how many were held; *passed_by: the first that was locked. */
static int
hold(const WaTakeoverRow *rows, int n, int64 *passed_by)
{
	WaDisposition *dispositions = palloc(sizeof(WaDisposition) * Max(n, 1));
	int n_unlocked;

	for (int i = 0; i < n; i++)
		wa_takeover_hold(rows[i].message_id, rows[i].phone_number_id, rows[i].attempts,
						 &dispositions[i]);
	n_unlocked = wa_store_lock_messages(dispositions, n);
	for (int i = n_unlocked; i < n; i++)
		if (*passed_by == 0 || dispositions[i].message_id < *passed_by)
			*passed_by = dispositions[i].message_id;
	wa_store_dispositions(dispositions, n_unlocked);
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
	int64 passed_by;
	WaTakeoverRow *rows;
	bool more;
	int n;

	if (takeover.through == 0 || wa_now_us() < done.not_before_us)
		return;
	done.not_before_us = wa_now_us() + TRY_AGAIN_US;
	wa_store_begin("holding what the former primary may have sent");
	n = wa_store_lock_taken_over(&takeover, STEP, &after, &passed_by, &more, &rows);
	n = hold(rows, n, &passed_by);
	wa_store_commit();
	pg_atomic_fetch_add_u64(&sender->slot->counters.uncertain, n);
	done.held += n;
	done.after = after;
	if (done.passed_by == 0)
		done.passed_by = passed_by;
	if (more)
		done.not_before_us = 0;
	else if (done.passed_by == 0)
		finish(sender);
	else
	{
		done.after = done.passed_by - 1;
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

int
wa_takeover_hold_these(const int64 *ids, int n, bool *any_locked)
{
	WaTakeoverRow *rows;
	int64 passed_by;

	n = wa_store_lock_these_taken_over(&takeover, ids, n, &passed_by, &rows);
	n = hold(rows, n, &passed_by);
	*any_locked = passed_by != 0;
	return n;
}
