/*
 * hearing.c
 *	  Since when this server has missed no webhook that was brought to it.
 *
 * Whether the absence of a report proves anything depends on whether it could have
 * been taken in.  The server knows of two times at which it could not: before it
 * ran, or while it was a standby; and when a transaction that took a webhook in, or
 * the part of one that did, was rolled back.  Both are kept in shared memory, because
 * a transaction that fails can write nothing else: with the sender's slot, which the
 * launcher makes when recovery has ended, for each database by itself.
 *
 * Webhooks with a bad signature do not count, because anybody can send them.  If
 * they are Meta's, and the secret is wrong, reports are missing or come late, which
 * is seen in the tables.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "shared/hearing.h"
#include "shared/shmem.h"

/* The level of the (sub)transaction that takes a webhook in; 0: none does. */
static int watched_level = 0;

void
wa_hearing_missed(void)
{
	uint64 now = (uint64) GetCurrentTimestamp();

	if (wa_shared == NULL)
		return;
	LWLockAcquire(wa_shared->lock, LW_SHARED);
	for (int i = 0; i < wa_shared->slots_end; i++)
	{
		WaSenderSlot *slot = &wa_shared->slots[i];

		if (slot->in_use && slot->dboid == MyDatabaseId)
			pg_atomic_write_u64(&slot->hearing_since, now);
	}
	LWLockRelease(wa_shared->lock);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_ABORT && event != XACT_EVENT_COMMIT && event != XACT_EVENT_PREPARE)
		return;
	if (event == XACT_EVENT_ABORT && watched_level > 0)
		wa_hearing_missed();
	watched_level = 0;
}

/*
 * The caller's savepoints count, the subtransactions inside of the call do not: a
 * handler of the application may fail there, and the webhook is taken in all the same.
 */
static void
at_subtransaction_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int level = GetCurrentTransactionNestLevel();

	if (level > watched_level)
		return;
	if (event == SUBXACT_EVENT_ABORT_SUB)
		wa_hearing_missed();
	if (event == SUBXACT_EVENT_ABORT_SUB || event == SUBXACT_EVENT_COMMIT_SUB)
		watched_level = level - 1;
}

void
wa_hearing_watch(void)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		RegisterSubXactCallback(at_subtransaction_end, NULL);
		registered = true;
	}
	watched_level = Max(watched_level, GetCurrentTransactionNestLevel());
}
