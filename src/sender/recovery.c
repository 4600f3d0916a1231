/*
 * recovery.c
 *	  What a predecessor left on the wire, and what it knew.
 *
 * A lease that is still there when its sender starts anew belongs to a process
 * that died between the commit of its claim and that of its settlement.  Every
 * message in it whose queue row still counts fewer attempts may or may not have
 * reached Meta; nobody here can know, so it becomes uncertain and waits for the
 * proof that a webhook brings.
 *
 * What somebody has locked meanwhile must not keep everybody waiting.  It is left as it
 * is, its lease stands, and as long as it does nothing here claims the message: it is
 * looked at again until the lock is gone.
 *
 * If the number of senders was lowered, sender 0 also takes the leases of those
 * that are no more: a new set starts only when the old one has ended.
 *
 * A sender's memory of recipients can be rebuilt: their limits from what was
 * accepted lately, their order from what waits for a time in the queue.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/guc.h"
#include "sender/notice.h"
#include "sender/pace/pair_seed.h"
#include "sender/recovery.h"
#include "sender/store/lease.h"
#include "sender/store/pair_rows.h"
#include "sender/store/transaction.h"
#include "shared/shmem.h"
#include "shared/wake.h"

/* How much of the newest history is read to rebuild the pair limits. */
#define MAX_HISTORY 20000

/* How many of the messages that wait for a time are read, those due first. */
#define MAX_DEFERRED 100000

/* Delays before what is left is looked at again. */
#define FIRST_DELAY_US 50000
#define MAX_DELAY_US 1000000

/* A message that is on the wire for all that is known, and where it stands in the queue. */
typedef struct LeftOver
{
	int64 message_id;
	char phone_number_id[WA_NUMBER_SIZE];
	int64 rank;
} LeftOver;

/* What is left to be done, because somebody keeps rows locked. */
static struct
{
	int64 last_lease; /* of the dead; 0: none is left.  Later ones are our own */
	int64 again_us;
	int64 delay_us;
	LeftOver *messages; /* tracked, so that they are not claimed */
	int n_messages;
} left;

/* Of those up to this one; returns the last that is left. */
static int64
end_leases(WaSender *sender, int64 last)
{
	uint64 n =
		wa_store_end_dead_leases(sender->index, sender->nsenders, &last, wa_guc_uncertain_grace,
								 "the sender ended while the request was on the wire");

	if (n == 0)
		return last;
	ereport(LOG, (errmsg("%llu messages were on the wire when the previous sender ended",
						 (unsigned long long) n),
				  errdetail("They are uncertain until a webhook, or "
							"whatsapp_shared.uncertain_policy, decides.")));
	pg_atomic_fetch_add_u64(&sender->slot->counters.uncertain, n);
	wa_wake_due(TimestampTzPlusMilliseconds(wa_now(), wa_guc_uncertain_grace));
	return last;
}

/*
 * Leases that are still there name messages that must not be sent again before they
 * are ended, by us or by another sender that has just begun.  None is ours yet.
 */
static void
track_left_over(WaSender *sender)
{
	WaOnWireRow *rows;
	int n = wa_store_on_wire(&rows);

	if (n == 0)
		return;
	left.messages = MemoryContextAllocHuge(sender->state_context, sizeof(LeftOver) * n);
	left.n_messages = n;
	for (int i = 0; i < n; i++)
	{
		LeftOver *message = &left.messages[i];

		message->message_id = rows[i].message_id;
		message->rank = rows[i].rank;
		strlcpy(message->phone_number_id,
				rows[i].phone_number_id != NULL ? rows[i].phone_number_id : "", WA_NUMBER_SIZE);
		wa_sender_track(sender, message->message_id, WA_TRACKED_IN_FLIGHT, NULL);
	}
}

/* Messages that no lease names any more may be claimed, if they are still to be sent. */
static void
release(WaSender *sender, const int64 *on_wire, int n)
{
	int left_over = 0;

	for (int i = 0; i < left.n_messages; i++)
	{
		LeftOver message = left.messages[i];
		WaNumber *number;

		if (wa_ids_contain(message.message_id, on_wire, n))
		{
			left.messages[left_over++] = message;
			continue;
		}
		wa_sender_untrack(sender, message.message_id);
		number = wa_number_find(&sender->numbers, message.phone_number_id);
		if (number != NULL)
			wa_number_lower_cursor(number, message.rank);
	}
	left.n_messages = left_over;
	if (left_over == 0)
	{
		pfree(left.messages);
		left.messages = NULL;
	}
}

static void
put_off(void)
{
	left.delay_us = Min(Max(left.delay_us * 2, FIRST_DELAY_US), MAX_DELAY_US);
	left.again_us = wa_now_us() + left.delay_us;
}

void
wa_recovery_end_leases(WaSender *sender)
{
	wa_store_begin("recovering WhatsApp messages");
	left.last_lease = end_leases(sender, PG_INT64_MAX);
	wa_store_commit();
	wa_store_begin("recovering WhatsApp messages");
	track_left_over(sender);
	wa_store_commit();
	put_off();
}

static bool
is_done(void)
{
	return left.last_lease == 0 && left.n_messages == 0;
}

void
wa_recovery_run(WaSender *sender)
{
	int64 last = left.last_lease;
	WaOnWireRow *rows;
	int64 *on_wire;
	int n;

	if (is_done() || wa_now_us() < left.again_us)
		return;
	put_off();
	wa_store_begin("recovering WhatsApp messages");
	if (last != 0)
		last = end_leases(sender, last);
	n = wa_store_on_wire(&rows);
	on_wire = MemoryContextAlloc(sender->cycle_context, sizeof(int64) * Max(n, 1));
	for (int i = 0; i < n; i++)
		on_wire[i] = rows[i].message_id;
	wa_ids_sort(on_wire, n);
	wa_store_commit();
	left.last_lease = last;
	if (left.n_messages > 0)
		release(sender, on_wire, n);
}

long
wa_recovery_wait_ms(WaSender *sender)
{
	if (is_done())
		return -1;
	return (long) (Max(left.again_us - wa_now_us(), 0) + 999) / 1000;
}

void
wa_recovery_read_recipients(WaSender *sender)
{
	double seconds = wa_guc_pair_interval / 1000.0 * wa_guc_pair_burst;
	WaAcceptedRow *accepted;
	WaDeferredRow *deferred;
	WaDueCursor after = {DT_NOBEGIN, PG_INT64_MIN, PG_INT64_MIN};
	int n;

	wa_store_begin("reading recent WhatsApp history");
	n = wa_store_recently_accepted(seconds, MAX_HISTORY, &accepted);
	wa_pairs_seed(sender, accepted, n);
	wa_notice_read(sender);
	wa_store_commit();

	/* In pages, because memory that was once needed is not given back. */
	n = WA_DEFERRED_PAGE;
	for (int seen = 0; n == WA_DEFERRED_PAGE && seen < MAX_DEFERRED; seen += n)
	{
		wa_store_begin("reading deferred WhatsApp messages");
		n = wa_store_deferred(&after, &deferred);
		wa_pairs_seed_deferred(sender, deferred, n);
		wa_store_commit();
	}
}
