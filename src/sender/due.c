/*
 * due.c
 *	  Messages whose time has come: deferred, uncertain and expired ones.
 *
 * Sender 0 does this for the whole database.  What was deferred is placed anew:
 * it becomes ready, and reaches the other senders through the commit hook like
 * any other, or finds that it has to wait for something else.  What has expired
 * ends; of what is in doubt the policy decides (sender/uncertain.c).
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "sender/due.h"
#include "sender/pace/pair_waiting.h"
#include "sender/store/due_rows.h"
#include "sender/store/orphans.h"
#include "sender/store/transaction.h"
#include "sender/uncertain.h"
#include "shared/shmem.h"
#include "shared/wake.h"

/* One short transaction's; if it was filled, the next comes soon. */
#define BATCH 1000

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

static bool
promote_due(WaSender *sender, TimestampTz now)
{
	WaPromotedRow *rows;
	int n = wa_store_promote_due(now, BATCH, &rows);

	promoted = MemoryContextAlloc(sender->cycle_context, sizeof(Promoted) * BATCH);
	n_promoted = 0;
	for (int i = 0; i < n; i++)
	{
		const char *id = rows[i].phone_number_id;
		WaNumber *number = id != NULL ? wa_number_get(&sender->numbers, id) : NULL;

		if (number != NULL && number->mine)
			promoted[n_promoted++] = (Promoted){
				.number = number,
				.message_id = rows[i].message_id,
				.rank = rows[i].rank,
				.recipient = MemoryContextStrdup(sender->cycle_context, rows[i].recipient)};
		else if (number != NULL)
			wa_wake_ready(id, rows[i].rank);
	}
	return n == BATCH;
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

/* ---- all of them ----------------------------------------------------------- */

void
wa_due_read_next(WaSender *sender)
{
	wa_store_next_due(&sender->next_due, &sender->next_expiry);
}

/*
 * The deferred ones are everybody's daily business: nothing about the others must
 * hold them up.
 */
void
wa_due_run(WaSender *sender)
{
	TimestampTz now = GetCurrentTimestamp();
	bool more;

	wa_store_begin("looking after waiting WhatsApp messages");
	more = promote_due(sender, now);
	wa_store_commit();
	promoted_committed(sender);

	wa_store_begin("looking after waiting WhatsApp messages");
	more |=
		wa_uncertain_decide(now, (TimestampTz) pg_atomic_read_u64(&sender->slot->hearing_since));
	/* Those that are ready are also checked at the claim; here, those that nothing claims. */
	more |= wa_store_expire(now, BATCH) == BATCH;
	wa_due_read_next(sender);
	/* A row locked by somebody else stays due, or one without a message; do not spin on it. */
	if (!more)
	{
		TimestampTz soon = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), 100);

		if (Min(sender->next_due, sender->next_expiry) <= now)
			wa_store_remove_due_orphans(now, BATCH);
		sender->next_due = Max(sender->next_due, soon);
		sender->next_expiry = Max(sender->next_expiry, soon);
	}
	wa_store_commit();
}
