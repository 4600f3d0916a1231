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

/* When this number may send what it has, by its rate and by what it may have on the wire. */
static int64
turn_of(WaNumber *number, int64 now)
{
	int64 at = wa_number_available(number, now) >= 1 ? now : wa_number_ready_at(number, now);
	int64 room_at = wa_wire_room_at(number, now);

	wa_wire_hold(number, room_at == PG_INT64_MAX && !wa_wire_is_behind(number));
	return Max(at, room_at);
}

/*
 * Numbers of which something is to be noticed: rows that were locked, and requests that
 * are not answered.  Returns when the next of those rows are to be looked at.
 */
static int64
look_at_watched(WaNumbers *numbers, int64 now)
{
	int64 earliest = PG_INT64_MAX;
	dlist_mutable_iter iter;

	dlist_foreach_modify (iter, &numbers->watched)
	{
		WaNumber *number = dlist_container(WaNumber, watched_node, iter.cur);

		if (wa_number_is_stopped(number))
			continue;
		wa_number_look_again(number, now);
		if (number->on_wire > 0)
			wa_wire_listen(number, now);
		if (number->look_again_us != 0)
			earliest = Min(earliest, number->look_again_us);
		else if (number->on_wire == 0)
		{
			dlist_delete(&number->watched_node);
			number->watched = false;
		}
	}
	return earliest;
}

/* When the first of those that stand in this line may send; none is looked at in vain. */
static int64
first_turn(dlist_head *line, int64 now)
{
	int64 earliest = PG_INT64_MAX;
	dlist_mutable_iter iter;

	dlist_foreach_modify (iter, line)
	{
		WaNumber *number = dlist_container(WaNumber, line_node, iter.cur);
		int64 turn;

		wa_number_stand(number);
		if (number->line != line)
			continue;
		turn = turn_of(number, now);
		if (turn <= now)
			return WA_TURN_IS_NOW;
		earliest = Min(earliest, turn);
	}
	return earliest;
}

/*
 * Looks at those that have something only if something has changed: this is asked in
 * every turn of the loop, and there may be thousands.
 */
int64
wa_turns_next_us(WaNumbers *numbers)
{
	int64 now = wa_now_us();
	int64 earliest;

	if (now < numbers->next_turn_known_us &&
		(numbers->next_turn_us == WA_TURN_IS_NOW || numbers->next_turn_us > now))
		return numbers->next_turn_us;

	earliest = look_at_watched(numbers, now);
	earliest = Min(earliest, first_turn(&numbers->fresh, now));
	if (earliest != WA_TURN_IS_NOW)
		earliest = Min(earliest, first_turn(&numbers->backlog, now));
	numbers->next_turn_us = earliest;
	numbers->next_turn_known_us = now + KNOWN_US;
	return earliest;
}

bool
wa_turns_due(WaNumbers *numbers)
{
	return wa_turns_next_us(numbers) <= wa_now_us();
}

static void
choose(WaNumber *number, WaClaimLimit *limit, int n)
{
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

/* Those of a line whose turn it is, in its order, at most so many; returns how many. */
static int
gather(dlist_head *line, int64 now, WaNumber **ready, int most)
{
	dlist_mutable_iter iter;
	int n = 0;

	dlist_foreach_modify (iter, line)
	{
		WaNumber *number = dlist_container(WaNumber, line_node, iter.cur);

		if (n == most)
			break;
		wa_number_stand(number);
		if (number->line == line && turn_of(number, now) <= now)
			ready[n++] = number;
	}
	return n;
}

/*
 * No more can have a turn than there are slots, so no more are gathered of each line.
 * But while nobody is answered, those that have not failed yet may stand anywhere.
 */
static int
most_of_a_line(const WaNumbers *numbers)
{
	int most = hash_get_num_entries(numbers->table);

	return wa_wire_is_down(numbers) ? most : Min(most, Max(numbers->wire.slots, 0) + 1);
}

int
wa_turns_take(WaNumbers *numbers, WaClaimLimit **limits, WaNumber ***chosen)
{
	int64 now = wa_now_us();
	int most;
	int n_new;
	int n;
	int n_limits;
	WaNumber **ready;

	(void) look_at_watched(numbers, now);
	most = most_of_a_line(numbers);
	ready = palloc(sizeof(WaNumber *) * Max(2 * most, 1));
	n_new = gather(&numbers->fresh, now, ready, most);
	n = n_new + gather(&numbers->backlog, now, ready + n_new, most);
	*limits = palloc0(sizeof(WaClaimLimit) * Max(n, 1));
	*chosen = palloc0(sizeof(WaNumber *) * Max(n, 1));

	n_limits = wa_wire_is_down(numbers)
				   ? share_probes(numbers, ready, n, now, *limits, *chosen)
				   : share_slots(numbers, ready, n, n_new, now, *limits, *chosen);
	for (int i = 0; i < n_limits; i++)
		wa_number_had_turn((*chosen)[i]);
	numbers->turn++;
	numbers->contenders = n;
	wa_numbers_turns_changed(numbers);
	return n_limits;
}
