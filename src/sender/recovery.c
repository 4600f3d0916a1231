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
 * If the number of senders was lowered, sender 0 also takes the leases of those
 * that are no more: a new set starts only when the old one has ended.
 *
 * A sender's memory of recipients can be rebuilt: their limits from what was
 * accepted lately, their order from what waits for a time in the queue.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "base/guc.h"
#include "sender/pace/pair_order.h"
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

void
wa_recovery_end_leases(WaSender *sender)
{
	uint64 n;

	wa_store_begin("recovering WhatsApp messages");
	n = wa_store_end_dead_leases(sender->index, sender->nsenders, wa_guc_uncertain_grace,
								 "the sender ended while the request was on the wire");
	if (n > 0)
	{
		ereport(
			LOG,
			(errmsg("%llu messages were on the wire when the previous sender ended",
					(unsigned long long) n),
			 errdetail("They are uncertain until a webhook, or whatsapp_shared.uncertain_policy, "
					   "decides.")));
		pg_atomic_fetch_add_u64(&sender->slot->counters.uncertain, n);
		wa_wake_due(TimestampTzPlusMilliseconds(wa_now(), wa_guc_uncertain_grace));
	}
	wa_store_commit();
}

void
wa_recovery_read_recipients(WaSender *sender)
{
	double seconds = wa_guc_pair_interval / 1000.0 * wa_guc_pair_burst;
	WaAcceptedRow *accepted;
	WaDeferredRow *deferred;
	int n;

	wa_store_begin("reading recent WhatsApp history");
	n = wa_store_recently_accepted(seconds, MAX_HISTORY, &accepted);
	wa_pairs_seed(sender, accepted, n);
	n = wa_store_deferred(MAX_DEFERRED, &deferred);
	wa_pairs_seed_deferred(sender, deferred, n);
	wa_store_commit();
}
