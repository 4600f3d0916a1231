/*
 * due.c
 *	  Messages whose time has come: deferred, uncertain and expired ones.
 *
 * Sender 0 does this for the whole database.  What was deferred is placed anew:
 * it becomes ready, and reaches the other senders through the commit hook like
 * any other, or finds that it has to wait for something else.  What has expired
 * ends; of what is in doubt the policy decides (sender/uncertain.c).
 *
 * Rows are read in the order of their times, from a cursor on: what lies before it
 * has been looked at, or was locked by somebody else and is looked at again after a
 * while.  A commit that tells of an earlier time sets the cursor back to that; the
 * slow sweep sets it to the beginning, for what nobody has told of.
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

/*
 * A row that somebody has locked is looked at again after this long, or after this
 * share of the time for which that has been so, as ready rows are (state/number.c).
 */
#define LOOK_AGAIN_US INT64_C(500000)
#define LOOK_AGAIN_SHARE 8

/* How far the rows have been looked at. */
static struct
{
	WaDueCursor cursor;
	TimestampTz expiry_from; /* what expires before this has been looked at */

	TimestampTz uncertain_from; /* the first that is not decided is due then; DT_NOEND: none */

	/* what was passed by, because it was locked */
	TimestampTz passed_due;	  /* the first of it is due then; DT_NOEND: there is none */
	TimestampTz passed_since; /* for how long there has been such a row; 0: there is none */
	TimestampTz look_again;	  /* when to look at it again; DT_NOEND: not */
} walk = {.cursor = {DT_NOBEGIN, PG_INT64_MIN, PG_INT64_MIN},
		  .expiry_from = DT_NOBEGIN,
		  .uncertain_from = DT_NOEND,
		  .passed_due = DT_NOEND,
		  .look_again = DT_NOEND};

/* Everything due from then on is to be looked at. */
static void
set_back(TimestampTz due)
{
	if (due <= walk.cursor.due_at)
		walk.cursor = (WaDueCursor){due, PG_INT64_MIN, PG_INT64_MIN};
}

static void
passed_by(TimestampTz due)
{
	walk.passed_due = Min(walk.passed_due, due);
}

static void
look_again_later(TimestampTz now)
{
	if (walk.passed_due == DT_NOEND)
	{
		walk.passed_since = 0;
		return;
	}
	if (walk.passed_since == 0)
		walk.passed_since = now;
	if (walk.look_again == DT_NOEND)
		walk.look_again = now + Max(LOOK_AGAIN_US, (now - walk.passed_since) / LOOK_AGAIN_SHARE);
}

/* Takes what has become known since the last look. */
static void
begin_walk(WaSender *sender, TimestampTz now)
{
	set_back(sender->told_due);
	sender->told_due = DT_NOEND;
	if (walk.look_again > now)
		return;
	set_back(walk.passed_due);
	walk.passed_due = walk.look_again = DT_NOEND;
}

static int
compare_ids(const void *a, const void *b)
{
	int64 x = *(const int64 *) a;
	int64 y = *(const int64 *) b;

	return (x > y) - (x < y);
}

/* Locks the deferred ones of these; what cannot be locked is passed by. */
static int
lock_deferred(const WaDueRow *due, int n, TimestampTz now, int64 **locked)
{
	int64 *ids = palloc(sizeof(int64) * Max(n, 1));
	int n_ids = 0;
	int n_locked;

	for (int i = 0; i < n; i++)
		if (due[i].is_deferred)
			ids[n_ids++] = due[i].at.message_id;
	n_locked = wa_store_lock_due(ids, n_ids, now, locked);
	for (int i = 0; i < n && n_locked < n_ids; i++)
		if (due[i].is_deferred &&
			bsearch(&due[i].at.message_id, *locked, n_locked, sizeof(int64), compare_ids) == NULL)
			passed_by(due[i].at.due_at);
	return n_locked;
}

static void
promote(WaSender *sender, const int64 *locked, int n_locked)
{
	WaPromotedRow *rows;
	int n = wa_store_promote(locked, n_locked, &rows);

	if (n < n_locked)
		wa_store_remove_orphans(locked, n_locked);
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

/*
 * The next batch of rows: the deferred ones are placed anew, the others are noted.
 * Returns where to go on when that is committed.
 */
static WaDueCursor
run_due(WaSender *sender, TimestampTz now)
{
	WaDueRow *due;
	int64 *locked;
	int n = wa_store_due(&walk.cursor, now, BATCH, &due);
	int n_locked = lock_deferred(due, n, now, &locked);

	promote(sender, locked, n_locked);
	for (int i = 0; i < n; i++)
		if (!due[i].is_deferred)
			walk.uncertain_from = Min(walk.uncertain_from, due[i].at.due_at);
	if (n == BATCH)
		return due[n - 1].at;
	return (WaDueCursor){now, PG_INT64_MAX, PG_INT64_MAX};
}

/*
 * The uncertain rows have been decided, unless there are more.  Some may have been
 * locked, which is seen when they are read once more.
 */
static void
decided(bool more)
{
	if (more || walk.uncertain_from == DT_NOEND)
		return;
	passed_by(walk.uncertain_from);
	walk.uncertain_from = DT_NOEND;
}

/* ---- all of them ----------------------------------------------------------- */

/* What has been read, and waits for something, comes before what has not. */
static void
count_what_waits(WaSender *sender)
{
	sender->next_due = Min(sender->next_due, Min(walk.look_again, walk.uncertain_from));
}

void
wa_due_rewind(WaSender *sender)
{
	set_back(DT_NOBEGIN);
	walk.expiry_from = DT_NOBEGIN;
	wa_store_next_due(&walk.cursor, walk.expiry_from, &sender->next_due, &sender->next_expiry);
	count_what_waits(sender);
}

/*
 * The deferred ones are everybody's daily business: nothing about the others must
 * hold them up.  What is remembered of the walk follows the commit.
 */
void
wa_due_run(WaSender *sender)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz expiry_from = walk.expiry_from;
	WaDueCursor cursor;
	bool more = false;

	begin_walk(sender, now);
	wa_store_begin("looking after waiting WhatsApp messages");
	cursor = run_due(sender, now);
	wa_store_commit();
	walk.cursor = cursor;
	promoted_committed(sender);

	wa_store_begin("looking after waiting WhatsApp messages");
	if (walk.uncertain_from != DT_NOEND)
		more = wa_uncertain_decide(now,
								   (TimestampTz) pg_atomic_read_u64(&sender->slot->hearing_since));
	if (walk.passed_since != 0)
		wa_store_remove_due_orphans(now, BATCH);
	/* Those that are ready are also checked at the claim; here, those that nothing claims. */
	wa_store_expire(&expiry_from, now, BATCH);
	wa_store_next_due(&walk.cursor, expiry_from, &sender->next_due, &sender->next_expiry);
	wa_store_commit();
	walk.expiry_from = expiry_from;
	decided(more);
	look_again_later(now);
	count_what_waits(sender);
}
