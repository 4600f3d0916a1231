/*
 * turns.c
 *	  Which numbers a claim reads from, and how much each may have.
 */
#include "postgres.h"

#include "common/clock.h"
#include "sender/pace/turns.h"
#include "sender/state/wire.h"

/*
 * What a number may have at a time even if many others want something, too: of a
 * backlog, what is worth an index descent; of something new, one more than the
 * single message that it mostly is, so that the claim sees that it is.
 */
#define PIECE 8
#define NEW_PIECE 2

/* Rates grow while nobody looks: what was found out does not hold for longer. */
#define KNOWN_US INT64_C(1000000)

/* It is ours, and nobody has stopped it. */
static bool
takes_turns(const WaNumber *number)
{
	return number->mine && !wa_number_is_stopped(number);
}

static bool
has_something(const WaNumber *number)
{
	return number->may_have_ready || number->n_again > 0;
}

/* When this number may send what it has, by its rate and by what it may have on the wire. */
static int64
turn_of(WaNumber *number, int64 now)
{
	int64 at = wa_number_available(number, now) >= 1 ? now : wa_number_ready_at(number, now);
	int64 room_at = wa_wire_room_at(number, now);

	wa_wire_hold(number, room_at == PG_INT64_MAX);
	return Max(at, room_at);
}

/*
 * Looks through all numbers only if something has changed: this is asked in every
 * turn of the loop, and an account may have thousands.
 */
int64
wa_turns_next_us(WaNumbers *numbers)
{
	HASH_SEQ_STATUS scan;
	WaNumber *number;
	int64 now = wa_now_us();
	int64 earliest = PG_INT64_MAX;

	if (now < numbers->next_turn_known_us &&
		(numbers->next_turn_us == WA_TURN_IS_NOW || numbers->next_turn_us > now))
		return numbers->next_turn_us;

	hash_seq_init(&scan, numbers->table);
	while (earliest != WA_TURN_IS_NOW && (number = hash_seq_search(&scan)) != NULL)
	{
		if (!takes_turns(number))
			continue;
		wa_number_look_again(number, now);
		if (number->on_wire > 0)
			wa_wire_listen(number, now);
		if (has_something(number))
		{
			int64 turn = turn_of(number, now);

			earliest = turn <= now ? WA_TURN_IS_NOW : Min(earliest, turn);
		}
		else if (number->look_again_us != 0)
			earliest = Min(earliest, number->look_again_us);
	}
	if (earliest == WA_TURN_IS_NOW)
		hash_seq_term(&scan);
	numbers->next_turn_us = earliest;
	numbers->next_turn_known_us = now + KNOWN_US;
	return earliest;
}

bool
wa_turns_due(WaNumbers *numbers)
{
	return wa_turns_next_us(numbers) <= wa_now_us();
}

/* Numbers that were not known to have more than they got come first, then by turn. */
static int
compare_turns(const void *a, const void *b)
{
	const WaNumber *x = *(WaNumber *const *) a;
	const WaNumber *y = *(WaNumber *const *) b;

	if (x->backlogged != y->backlogged)
		return x->backlogged ? 1 : -1;
	return (x->last_turn > y->last_turn) - (x->last_turn < y->last_turn);
}

static void
choose(WaNumber *number, WaClaimLimit *limit, int n)
{
	number->claim_seen = 0;
	limit->phone_number_id = number->id;
	limit->rank = number->cursor_rank;
	limit->message_id = number->cursor_id;
	limit->limit = n;
}

/*
 * Gives the next of these numbers an equal part each of the slots, but a piece at
 * least, and never more than it may have on the wire.  Returns what is left.
 */
static int
share_among(WaNumber *const *ready, int n, int piece, int64 now, int slots, WaClaimLimit *limits,
			WaNumber **chosen, int *n_limits)
{
	int share = n > 0 ? Max(slots / n, piece) : 0;

	for (int i = 0; i < n && slots > 0; i++)
	{
		WaNumber *number = ready[i];
		int most = Min(wa_number_available(number, now), wa_wire_room(number, now));

		choose(number, &limits[*n_limits], Min(Min(share, most), slots));
		slots -= limits[*n_limits].limit;
		chosen[(*n_limits)++] = number;
	}
	return slots;
}

/* What one may have beyond its part goes to whoever can use it. */
static void
share_rest(int slots, int64 now, WaClaimLimit *limits, WaNumber *const *chosen, int n_limits)
{
	for (int i = 0; i < n_limits && slots > 0; i++)
	{
		int most = Min(wa_number_available(chosen[i], now), wa_wire_room(chosen[i], now));
		int more = Max(0, Min(slots, most - limits[i].limit));

		limits[i].limit += more;
		slots -= more;
	}
}

/*
 * While nobody is answered: one message of each number that has not failed yet, as
 * far as those may try, and one of whoever is next as a probe.
 */
static int
share_probes(WaNumbers *numbers, WaNumber *const *ready, int n, int64 now, WaClaimLimit *limits,
			 WaNumber **chosen)
{
	int probes = now >= numbers->wire.host.probe_at_us ? 1 : 0;
	int untried = numbers->wire.untried;
	int n_limits = 0;

	for (int i = 0; i < n; i++)
	{
		int *left = probes > 0 ? &probes : &untried;

		if (*left == 0 || (left == &untried && !wa_wire_is_untried(ready[i])))
			continue;
		(*left)--;
		choose(ready[i], &limits[n_limits], 1);
		chosen[n_limits++] = ready[i];
	}
	return n_limits;
}

/*
 * Shares the free slots among the numbers that have something to send.
 *
 * Some stay free for whoever comes next: as many as a number gets.  A number with
 * a backlog takes turns with others of its kind.  One of which nothing was known to
 * wait, and now something does, need not wait for such a turn: half of the slots
 * are for those, as far as they want them.  What is left over goes to whoever can
 * use it.
 */
static int
share_slots(WaNumbers *numbers, WaNumber **ready, int n, int n_new, int64 now, WaClaimLimit *limits,
			WaNumber **chosen)
{
	int slots = wa_wire_free(numbers);
	int n_limits = 0;
	int reserved;

	slots -= slots / (n + 1);

	/* A single slot goes to one kind and to the other by turns. */
	reserved = n_new < n ? (slots + (int) (numbers->turn % 2)) / 2 : 0;
	slots = share_among(ready, n_new, NEW_PIECE, now, slots - reserved, limits, chosen, &n_limits);
	slots = share_among(ready + n_new, n - n_new, PIECE, now, slots + reserved, limits, chosen,
						&n_limits);
	share_rest(slots, now, limits, chosen, n_limits);
	return n_limits;
}

int
wa_turns_take(WaNumbers *numbers, WaClaimLimit **limits, WaNumber ***chosen)
{
	HASH_SEQ_STATUS scan;
	WaNumber *number;
	int64 now = wa_now_us();
	long n_numbers = hash_get_num_entries(numbers->table);
	WaNumber **ready = palloc(sizeof(WaNumber *) * Max(n_numbers, 1));
	int n = 0;
	int n_new = 0;
	int n_limits;

	*limits = palloc0(sizeof(WaClaimLimit) * Max(n_numbers, 1));
	*chosen = palloc0(sizeof(WaNumber *) * Max(n_numbers, 1));
	hash_seq_init(&scan, numbers->table);
	while ((number = hash_seq_search(&scan)) != NULL)
	{
		if (!takes_turns(number))
			continue;
		wa_number_look_again(number, now);
		if (number->on_wire > 0)
			wa_wire_listen(number, now);
		if (has_something(number) && turn_of(number, now) <= now)
		{
			ready[n++] = number;
			n_new += number->backlogged ? 0 : 1;
		}
	}
	qsort(ready, n, sizeof(WaNumber *), compare_turns);

	n_limits = wa_wire_is_down(numbers)
				   ? share_probes(numbers, ready, n, now, *limits, *chosen)
				   : share_slots(numbers, ready, n, n_new, now, *limits, *chosen);
	for (int i = 0; i < n_limits; i++)
		(*chosen)[i]->last_turn = numbers->turn;
	numbers->turn++;
	numbers->contenders = n;
	wa_numbers_turns_changed(numbers);
	return n_limits;
}
