/*
 * number.c
 *	  The phone numbers of an account as a sender knows them.
 *
 * A number's ready rows are read in order of their rank, from a cursor on: what
 * lies before it has been looked at.  Whatever becomes ready there lowers the
 * cursor.  Nothing here reads a table.
 */
#include "postgres.h"

#include "base/guc.h"
#include "common/clock.h"
#include "sender/state/number.h"
#include "shared/wake.h"

/*
 * Meta counts what arrives in any second.  The sliding window keeps to that, a
 * little below the limit and over more than a second, for what the network and
 * the machines compress; the bucket spreads the messages over it, and may catch up
 * on what a busy machine has missed.  Together they give 95.9 % of the limit.
 */
#define RATE_SHARE 0.988
#define BURST_SHARE 0.25
#define SLIDING_WINDOW_US INT64_C(1030000)

/* Inbound traffic stops a number for no longer than this. */
#define MAX_DEBT_S 5.0

/* No level of the platform is higher: above it the operator knows better. */
#define MAX_COUNTED_RATE 1000

/*
 * Rows that somebody has locked are looked at again after this long, or after
 * this share of the time for which that has been so.
 */
#define LOOK_AGAIN_US INT64_C(500000)
#define LOOK_AGAIN_SHARE 8

void
wa_numbers_init(WaNumbers *numbers, MemoryContext context, int index, int nsenders)
{
	HASHCTL ctl = {0};

	memset(numbers, 0, sizeof(WaNumbers));
	numbers->index = index;
	numbers->nsenders = nsenders;
	numbers->notice_us = PG_INT64_MAX;
	numbers->wire.most_aside = PG_INT32_MAX;
	dlist_init(&numbers->fresh);
	dlist_init(&numbers->backlog);
	dlist_init(&numbers->stopped);
	dlist_init(&numbers->watched);
	dlist_init(&numbers->noticed);
	ctl.keysize = sizeof(uint64);
	ctl.entrysize = sizeof(WaNumber);
	ctl.hcxt = context;
	numbers->table =
		hash_create("whatsapp_shared numbers", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

WaNumber *
wa_number_find(WaNumbers *numbers, const char *phone_number_id)
{
	uint64 key = wa_number_key(phone_number_id);

	return hash_search(numbers->table, &key, HASH_FIND, NULL);
}

WaNumber *
wa_number_get(WaNumbers *numbers, const char *phone_number_id)
{
	uint64 key = wa_number_key(phone_number_id);
	bool found;
	WaNumber *number = hash_search(numbers->table, &key, HASH_ENTER, &found);

	if (found)
		return number;
	memset(number, 0, sizeof(WaNumber));
	number->key = key;
	strlcpy(number->id, phone_number_id, sizeof(number->id));
	number->numbers = numbers;
	number->mine = key % numbers->nsenders == numbers->index;
	number->cursor_rank = PG_INT64_MIN;
	number->may_have_ready = true;
	dlist_init(&number->again);
	wa_bucket_init(&number->bucket, wa_guc_messages_per_second, 1.0, wa_now_us());
	wa_number_stand(number);
	wa_numbers_turns_changed(numbers);
	return number;
}

/* ---- where it stands ------------------------------------------------------------- */

static dlist_head *
line_of(const WaNumber *number)
{
	WaNumbers *numbers = number->numbers;

	if (!number->mine || !wa_number_has_something(number))
		return NULL;
	if (wa_number_is_stopped(number))
		return &numbers->stopped;
	return number->backlogged ? &numbers->backlog : &numbers->fresh;
}

void
wa_number_stand(WaNumber *number)
{
	dlist_head *line = line_of(number);

	if (line == number->line)
		return;
	if (number->line != NULL)
		dlist_delete(&number->line_node);
	if (line != NULL)
		dlist_push_tail(line, &number->line_node);
	number->line = line;
}

void
wa_number_had_turn(WaNumber *number)
{
	dlist_delete(&number->line_node);
	dlist_push_tail(number->line, &number->line_node);
}

void
wa_number_was_read(WaNumber *number, bool more)
{
	number->may_have_ready = number->backlogged = more;
	wa_number_stand(number);
}

void
wa_numbers_stopped_changed(WaNumbers *numbers)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify (iter, &numbers->stopped)
		wa_number_stand(dlist_container(WaNumber, line_node, iter.cur));
	wa_numbers_turns_changed(numbers);
}

void
wa_number_watch(WaNumber *number)
{
	if (!number->watched)
		dlist_push_tail(&number->numbers->watched, &number->watched_node);
	number->watched = true;
}

/* ---- what it may send ------------------------------------------------------------ */

void
wa_number_set_rate(WaNumber *number, double rate)
{
	int per_second = rate <= MAX_COUNTED_RATE ? Max(1, (int) (rate * RATE_SHARE)) : 0;

	wa_bucket_set_allowed(&number->bucket, rate * RATE_SHARE, Max(1.0, rate * BURST_SHARE),
						  wa_now_us());
	if (!wa_sliding_window_init(&number->sent, per_second, SLIDING_WINDOW_US))
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
}

int
wa_number_available(WaNumber *number, int64 now)
{
	return Min(wa_bucket_available(&number->bucket, now),
			   wa_sliding_window_available(&number->sent, now));
}

int64
wa_number_ready_at(WaNumber *number, int64 now)
{
	return Max(wa_bucket_ready_at(&number->bucket, 1, now),
			   wa_sliding_window_ready_at(&number->sent, now));
}

/*
 * Webhooks may come in heaps, hours after their messages; then their number, however
 * large, must not be taken for what has arrived at Meta in this second.
 */
void
wa_number_came_in(WaNumber *number, int64 n, int64 now)
{
	double most = number->bucket.allowed * MAX_DEBT_S;
	double owed = Max(0.0, -number->bucket.tokens);

	int counted = (int) Min((double) n, Max(0.0, most - owed));

	wa_bucket_take(&number->bucket, counted, now);
	wa_sliding_window_take(&number->sent, counted, now);
}

void
wa_number_reserve(WaNumber *number, int64 now)
{
	wa_bucket_take(&number->bucket, 1, now);
	wa_sliding_window_reserve(&number->sent, 1);
}

/* While nothing more could be reserved, nobody knew when its turn would be. */
static void
give_back(WaNumber *number)
{
	bool unknown = wa_sliding_window_ready_at(&number->sent, 0) == PG_INT64_MAX;

	wa_sliding_window_give_back(&number->sent, 1);
	if (unknown)
		wa_numbers_turns_changed(number->numbers);
}

void
wa_number_left(WaNumber *number, int64 at)
{
	give_back(number);
	wa_sliding_window_take(&number->sent, 1, at);
}

void
wa_number_stays(WaNumber *number)
{
	wa_bucket_give_back(&number->bucket, 1);
	give_back(number);
}

void
wa_numbers_turns_changed(WaNumbers *numbers)
{
	numbers->next_turn_known_us = 0;
}

/* Most of what happens concerns one number; the others need not be looked at. */
void
wa_number_opened(WaNumber *number)
{
	WaNumbers *numbers = number->numbers;
	int64 now = wa_now_us();
	int64 turn = wa_number_ready_at(number, now);

	if (!number->mine || wa_number_is_stopped(number))
		return;
	if (number->held)
		return; /* an answer opens it again */
	if (numbers->wire.several)
	{
		wa_numbers_turns_changed(numbers); /* it may be nobody's turn */
		return;
	}
	if (number->limited)
		turn = Max(turn, number->trouble.probe_at_us);
	numbers->next_turn_us = turn <= now ? WA_TURN_IS_NOW : Min(numbers->next_turn_us, turn);
}

void
wa_number_lower_cursor(WaNumber *number, int64 rank)
{
	number->may_have_ready = true;
	wa_number_stand(number);
	if (rank <= number->cursor_rank)
	{
		/* just before the first row of that rank */
		number->cursor_rank = rank;
		number->cursor_id = PG_INT64_MIN;
	}
	wa_number_opened(number);
}

void
wa_numbers_rewind(WaNumbers *numbers)
{
	HASH_SEQ_STATUS scan;
	WaNumber *number;

	hash_seq_init(&scan, numbers->table);
	while ((number = hash_seq_search(&scan)) != NULL)
		wa_number_lower_cursor(number, PG_INT64_MIN);
}

void
wa_number_passed_by(WaNumber *number, int64 rank)
{
	WaNumbers *numbers = number->numbers;
	int64 now = wa_now_us();

	if (number->passed_since_us == 0)
		number->passed_since_us = now;
	if (number->look_again_us != 0)
		number->passed_rank = Min(number->passed_rank, rank);
	else
	{
		number->passed_rank = rank;
		number->look_again_us =
			now + Max(LOOK_AGAIN_US, (now - number->passed_since_us) / LOOK_AGAIN_SHARE);
	}
	wa_number_watch(number);
	numbers->next_turn_us = Min(numbers->next_turn_us, number->look_again_us);
}

void
wa_number_look_again(WaNumber *number, int64 now)
{
	if (number->look_again_us == 0 || now < number->look_again_us)
		return;
	number->look_again_us = 0;
	wa_number_lower_cursor(number, number->passed_rank);
}
