/*
 * prepared.c
 *	  Messages of transactions that were prepared on a former primary.
 *
 * Such a transaction is there after a promotion, and nobody sees its messages until
 * somebody commits it.  If that has happened over there, too, and is lost, they have
 * been sent.  So the take-over notes their ids, claims hold what they meet of them,
 * and this holds the rest when the transaction has ended, however long that takes: it
 * asks every now and then which ones are still there.
 */
#include "postgres.h"

#include "base/arrays.h"
#include "sender/prepared.h"
#include "sender/store/prepared_rows.h"
#include "sender/store/takeover_rows.h"
#include "sender/store/transaction.h"
#include "sender/takeover.h"
#include "shared/shmem.h"

/* Messages held in one step: some milliseconds. */
#define STEP 100

/* Between two looks at the transactions; rows that somebody has locked wait as long. */
#define LOOK_AGAIN_US INT64_C(500000)

static struct
{
	char *transactions; /* that were there at the last look; NULL: there was none */
	int64 *unfinished;	/* their messages, sorted */
	int n_unfinished;
	int next;		 /* of all that is noted: what is before it has been looked at since */
	bool any_locked; /* of that */
	bool done;		 /* nothing is to be done until the transactions are others */
	int64 not_before_us;
} seen;

/* In a transaction: what is still prepared, read again if a transaction has ended. */
static void
look(WaSender *sender)
{
	const char *transactions = wa_store_prepared_transactions();
	int64 *ids;
	int n;

	if (seen.transactions != NULL && strcmp(seen.transactions, transactions) == 0)
		return;
	n = wa_store_prepared_messages(&ids);
	if (seen.transactions != NULL)
	{
		pfree(seen.transactions);
		seen.transactions = NULL;
		pfree(seen.unfinished);
	}
	seen.unfinished = MemoryContextAllocHuge(sender->state_context, sizeof(int64) * Max(n, 1));
	for (int i = 0; i < n; i++)
		seen.unfinished[i] = ids[i];
	seen.n_unfinished = n;
	seen.transactions = MemoryContextStrdup(sender->state_context, transactions);
	seen.next = 0;
	seen.any_locked = seen.done = false;
}

/* Of what is noted, from *next on, what has ended or, else, what has not. */
static int
pick(const int64 *noted, int n_noted, bool ended, int *next, int64 *ids, int limit)
{
	int n = 0;

	for (; *next < n_noted && n < limit; (*next)++)
		if (wa_ids_contain(noted[*next], seen.unfinished, seen.n_unfinished) != ended)
			ids[n++] = noted[*next];
	return n;
}

/* Those that have ended are forgotten. */
static void
forget_ended(const int64 *noted, int n_noted)
{
	int64 *ids = palloc_extended(sizeof(int64) * n_noted, MCXT_ALLOC_HUGE);
	int next = 0;
	int n = pick(noted, n_noted, false, &next, ids, n_noted);

	if (n < n_noted)
		wa_store_note_prepared(ids, n);
}

void
wa_prepared_run(WaSender *sender)
{
	const int64 *noted;
	int n_noted = wa_takeover_prepared(&noted);
	int64 ids[STEP];
	int next;
	int n;
	bool any_locked;
	bool last;

	if (n_noted == 0 || wa_now_us() < seen.not_before_us)
		return;
	seen.not_before_us = wa_now_us() + LOOK_AGAIN_US;
	wa_store_begin("holding what was prepared on the former primary");
	look(sender);
	if (seen.done)
	{
		wa_store_commit();
		return;
	}
	next = seen.next;
	n = pick(noted, n_noted, true, &next, ids, STEP);
	n = wa_takeover_hold_these(ids, n, &any_locked);
	any_locked |= seen.any_locked;
	last = next == n_noted;
	if (last && !any_locked)
		forget_ended(noted, n_noted);
	wa_store_commit();

	pg_atomic_fetch_add_u64(&sender->slot->counters.uncertain, n);
	seen.next = last ? 0 : next;
	seen.any_locked = any_locked && !last;
	seen.done = last && !any_locked;
	if (!last)
		seen.not_before_us = 0;
	if (n > 0)
		ereport(LOG, (errmsg("%d messages of database \"%s\" may have been sent by the former "
							 "primary, where their transactions were prepared",
							 n, sender->slot->dbname)));
}

long
wa_prepared_wait_ms(void)
{
	const int64 *noted;

	if (wa_takeover_prepared(&noted) == 0)
		return -1;
	return (long) (Max(seen.not_before_us - wa_now_us(), 0) + 999) / 1000;
}
