/*
 * reach.c
 *	  Keeping count of the recipients that the account's messaging limit is about.
 *
 * What a count means is said in sender/pace/messaging_limit.c.  There may be a
 * million recipients of a day, so they are read once, when the sender starts; from
 * then on what is added at one end of the list and what becomes a day old at the
 * other are followed in pieces, between claims.  The rows never change
 * (sender/store/reach_rows.h), so whatever has been added is taken away again.
 *
 * This sender counts its own as it claims them.  Those of other senders are read
 * when they are some seconds old: by then they are committed.  One whose commit
 * has taken longer, because it waited for a standby, is not seen; its sender waits,
 * too, so that it is one claim's.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "sender/pace/messaging_limit.h"
#include "sender/reach.h"
#include "sender/store/reach_rows.h"
#include "sender/store/transaction.h"

#define REFRESH_US INT64_C(5000000)

/* While nobody is written to: no oftener than there is something else to do. */
#define IDLE_REFRESH_US INT64_C(30000000)

/* Rows of other senders are read when they are this old. */
#define COMMITTED_AFTER_US INT64_C(10000000)

#define DAY_US (24 * USECS_PER_HOUR)

/*
 * Rows are deleted this long after they have ceased to count.  A sender that has
 * not looked for half of it counts anew: some that it does count may be gone.
 */
#define KEEP_US USECS_PER_HOUR
#define MAX_BEHIND_US (KEEP_US / 2)
#define PRUNE_US INT64_C(600000000)

static struct
{
	bool begun;
	bool known;				 /* all that count are counted */
	TimestampTz known_since; /* our own rows are counted from here on */
	WaReachPlace head;		 /* up to here they are counted ... */
	WaReachPlace tail;		 /* ... and up to here they have ceased to count */
	int64 looked_us;		 /* when that was last up to date */
	bool in_use;			 /* by a claim since then */
	int64 pruned_us;
	TimestampTz pruned; /* nothing is older */
} reach;

static void
set_place(WaReachPlace *place, TimestampTz at, const char *recipient)
{
	place->at = at;
	strlcpy(place->recipient, recipient, sizeof(place->recipient));
}

static void
begin(WaSender *sender)
{
	wa_messaging_limit_forget(sender);
	memset(&reach, 0, sizeof(reach));
	reach.begun = true;
	set_place(&reach.tail, wa_now() - DAY_US, "");
	reach.head = reach.tail;
}

/*
 * Counts a piece of the rows behind a place as n each, and moves it on.  True if that
 * was the last of them.
 */
static bool
count_piece(WaSender *sender, WaReachPlace *place, TimestampTz until, int n)
{
	WaReachRow *rows;
	int n_rows = wa_store_reach(place, until, &rows);

	for (int i = 0; i < n_rows; i++)
		if (n < 0 || rows[i].sender != sender->index || !reach.known ||
			rows[i].reached_at < reach.known_since)
			wa_messaging_limit_count(wa_sender_tenant_get(sender, rows[i].tenant_id), n);
	if (n_rows == WA_REACH_PIECE)
		set_place(place, rows[n_rows - 1].reached_at, rows[n_rows - 1].recipient);
	else
		set_place(place, until, "\177");
	return n_rows < WA_REACH_PIECE;
}

/* If nobody else writes, all behind this place is our own. */
static bool
all_is_ours(const WaSender *sender)
{
	return sender->nsenders == 1 && reach.known && reach.head.at > reach.known_since;
}

/* A piece of what there is to count.  True if nothing is left. */
static bool
catch_up(WaSender *sender)
{
	TimestampTz now = wa_now();
	TimestampTz committed = now - COMMITTED_AFTER_US;

	if (reach.tail.at < now - DAY_US && !count_piece(sender, &reach.tail, now - DAY_US, -1))
		return false;
	if (all_is_ours(sender))
		set_place(&reach.head, Max(committed, reach.head.at), "");
	else if (reach.head.at < committed && !count_piece(sender, &reach.head, committed, 1))
		return false;
	wa_messaging_limit_oldest(wa_store_reach_next(&reach.tail));
	if (!reach.known)
		reach.known_since = now;
	reach.known = true;
	return true;
}

/* True if it is to be gone on with soon. */
static bool
prune(const WaSender *sender)
{
	if (sender->index != 0 || !sender->at_home || wa_now_us() - reach.pruned_us < PRUNE_US)
		return false;
	if (wa_store_prune_reach(&reach.pruned, wa_now() - DAY_US - KEEP_US))
		return true;
	reach.pruned_us = wa_now_us();
	return false;
}

/* When it is time for the next piece; PG_INT64_MIN: at once. */
static int64
due_us(const WaSender *sender)
{
	if (sender->reach_limit == 0 || sender->stopping)
		return PG_INT64_MAX;
	if (!reach.known)
		return PG_INT64_MIN;
	return reach.looked_us + (reach.in_use ? REFRESH_US : IDLE_REFRESH_US);
}

void
wa_reach_run(WaSender *sender)
{
	bool more;

	if (sender->reach_limit == 0)
		reach.begun = reach.known = false;
	if (wa_now_us() < due_us(sender))
		return;
	if (!reach.begun || reach.tail.at < wa_now() - DAY_US - MAX_BEHIND_US)
		begin(sender);
	wa_store_begin("counting the recipients of WhatsApp messages");
	more = !catch_up(sender) || prune(sender);
	wa_store_commit();
	if (more)
		return;
	reach.looked_us = wa_now_us();
	reach.in_use = false;
}

long
wa_reach_wait_ms(WaSender *sender)
{
	int64 due = due_us(sender);

	if (due == PG_INT64_MAX || (reach.known && !reach.in_use))
		return -1;
	return due == PG_INT64_MIN ? 0 : (long) (Max(0, due - wa_now_us()) / 1000 + 1);
}

bool
wa_reach_is_known(const WaSender *sender)
{
	return sender->reach_limit == 0 || reach.known;
}

/* ---- the claim ------------------------------------------------------------------- */

void
wa_reach_prepare(WaSender *sender, const WaClaimRow *rows, int n, bool *free)
{
	const char **recipients;
	const char **persons;
	const char **numbers;

	memset(free, true, sizeof(bool) * n);
	if (sender->reach_limit == 0 || n == 0)
		return;
	reach.in_use = true;

	recipients = palloc(sizeof(char *) * n);
	persons = palloc(sizeof(char *) * n);
	numbers = palloc(sizeof(char *) * n);
	for (int i = 0; i < n; i++)
	{
		recipients[i] = wa_claim_row_recipient(&rows[i]);
		persons[i] = wa_claim_row_person(&rows[i]);
		numbers[i] = rows[i].phone_number_id;
	}
	wa_store_is_reached(recipients, persons, numbers, n, wa_now() - DAY_US, free);
	for (int i = 0; i < n; i++)
		free[i] |= rows[i].template_name == NULL;
}

void
wa_reach_add(WaSender *sender, const WaClaimRow *const *rows, int n)
{
	const char **persons = palloc(sizeof(char *) * Max(n, 1));
	const char **tenants = palloc(sizeof(char *) * Max(n, 1));

	if (n == 0)
		return;
	for (int i = 0; i < n; i++)
	{
		persons[i] = wa_claim_row_person(rows[i]);
		tenants[i] = rows[i]->tenant_id;
	}
	wa_store_add_reached(persons, tenants, n, wa_now(), sender->index);
}
