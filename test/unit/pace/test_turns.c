/*
 * Which numbers a claim reads from, and how much each may have.
 */
#include "backend.h"

#include <limits.h>

#include "sender/pace/turns.h"
#include "sender/state/wire.h"
#include "tap.h"

static WaNumbers numbers;

static WaNumber *
number_at(int i)
{
	char id[WA_NUMBER_SIZE];

	snprintf(id, sizeof(id), "1065403522%02d", i);
	return wa_number_get(&numbers, id);
}

/* So many numbers, each of which may send far more than any claim has room for. */
static void
begin(int n, bool ready)
{
	at(0);
	wa_numbers_init(&numbers, NULL, 0, 1);
	for (int i = 0; i < n; i++)
	{
		wa_number_set_rate(number_at(i), 800);
		wa_number_was_read(number_at(i), false);
		if (ready)
			wa_number_lower_cursor(number_at(i), 0);
	}
	at(10 * SECOND);
}

static int given[20];

/* One claim of a wire with so many slots; what each number gets is in given[], by its place. */
static int
claim(int slots, int n)
{
	WaClaimLimit *limits;
	WaNumber **chosen;
	int n_limits;
	int total = 0;

	numbers.wire.slots = slots;
	n_limits = wa_turns_take(&numbers, &limits, &chosen);
	memset(given, 0, sizeof(given));
	for (int i = 0; i < n_limits; i++)
		for (int j = 0; j < n; j++)
			if (chosen[i] == number_at(j))
			{
				given[j] += limits[i].limit;
				total += limits[i].limit;
			}
	return total;
}

static void
test_fairness(void)
{
	int sum[10] = {0};
	int least = INT_MAX;
	int most = 0;

	begin(1, true);
	is_int(claim(100, 1), 50, "one number leaves as many slots as it has");

	begin(10, true);
	for (int i = 0; i < 10; i++)
		wa_number_was_read(number_at(i), true);
	is_int(claim(110, 10), 100, "ten leave as many as each of them has");
	for (int i = 0; i < 10; i++)
		least = Min(least, given[i]);
	is_int(least, 10, "and share equally");

	for (int round = 0; round < 10; round++)
	{
		claim(16, 10);
		for (int i = 0; i < 10; i++)
			sum[i] += given[i];
	}
	least = INT_MAX;
	for (int i = 0; i < 10; i++)
	{
		least = Min(least, sum[i]);
		most = Max(most, sum[i]);
	}
	ok(least >= 14 && most <= 16,
	   "where there is not enough for all, they take turns: from %d to %d in ten claims", least,
	   most);
	claim(16, 10);
	most = 0;
	for (int i = 0; i < 10; i++)
		most = Max(most, given[i]);
	is_int(most, 8, "in pieces of eight: a smaller one is not worth an index descent");
}

/* A number of which nothing was known to wait does not queue behind backlogs. */
static void
test_new(void)
{
	int pieces = 0;

	begin(10, true);
	for (int i = 0; i < 9; i++)
		wa_number_was_read(number_at(i), true);
	claim(16, 10);
	is_int(given[9], 8, "half of the slots are for what is new");

	begin(2, true);
	wa_number_was_read(number_at(0), true);
	claim(1, 2);
	is_int(given[1], 1, "a single slot goes to the new one");
	claim(1, 2);
	is_int(given[0], 1, "and to the other by turns");

	begin(10, true);
	for (int i = 0; i < 2; i++)
		wa_number_was_read(number_at(i), true);
	claim(17, 10);
	for (int i = 2; i < 10; i++)
		pieces += given[i] == 2;
	is_int(pieces, 4, "new ones have two each of their half");
}

/* Requests of this number are leased. */
static void
claimed(WaNumber *number, int n)
{
	for (int i = 0; i < n; i++)
		wa_wire_claimed(number, wa_now_us());
}

/* What a number leaves free is there for one that has nothing to send yet. */
static void
test_share(void)
{
	begin(3, false);
	wa_number_lower_cursor(number_at(0), 0);
	for (int round = 0; round < 20; round++)
	{
		claim(100, 3);
		claimed(number_at(0), given[0]);
	}
	is_int(number_at(0)->on_wire, 50, "a number whose requests never end has half of the wire");
	is_int(claim(100, 3), 0, "and gets no more");
	is_int(wa_turns_next_us(&numbers), PG_INT64_MAX, "it has no turn that comes by itself");
	is_int(numbers.wire.held, 1, "for it is held by its share");

	wa_number_lower_cursor(number_at(1), 0);
	wa_numbers_turns_changed(&numbers);
	ok(wa_turns_due(&numbers), "one that comes later has a turn at once");
	for (int round = 0; round < 20; round++)
	{
		claim(100, 3);
		claimed(number_at(1), given[1]);
	}
	ok(number_at(1)->on_wire >= 24, "and gets half of the rest: %d", number_at(1)->on_wire);
	ok(wa_wire_free(&numbers) >= 24, "which leaves some for a third: %d", wa_wire_free(&numbers));

	wa_number_was_read(number_at(1), false);
	(void) wa_turns_next_us(&numbers);
	for (int i = 0; i < 25; i++)
		wa_wire_left(number_at(0), false);
	ok(wa_turns_due(&numbers), "what ends makes room for the first again");
}

/* Answered, and their settlement waits for somebody's lock. */
static void
put_aside(WaNumber *number, int n)
{
	for (int i = 0; i < n; i++)
	{
		wa_wire_claimed(number, wa_now_us());
		wa_wire_answered(number, false, wa_now_us());
		wa_wire_put_aside(number);
	}
}

/* What cannot be settled is bounded, for each number and in all. */
static void
test_aside(void)
{
	begin(3, false);
	wa_wire_bound_aside(&numbers, 25);
	wa_number_lower_cursor(number_at(0), 0);
	put_aside(number_at(0), 49);
	ok(claim(100, 3) > 0, "a number sends while it leaves more than it has");
	put_aside(number_at(0), 1);
	is_int(claim(100, 3), 0, "and not when half of all are its");
	is_int(wa_turns_next_us(&numbers), PG_INT64_MAX, "no time will help it");
	is_int(numbers.wire.held, 0, "nor an answer");
	at(20 * SECOND);
	is_int(wa_wire_room_at(number_at(0), wa_now_us()), PG_INT64_MAX, "however long it takes");

	wa_number_lower_cursor(number_at(1), 0);
	wa_numbers_turns_changed(&numbers);
	is_int(claim(100, 3), 50, "others send");
	is_int(given[1], 50, "as ever");
	put_aside(number_at(1), 25);
	wa_number_lower_cursor(number_at(2), 0);
	claim(100, 3);
	is_int(given[1], 0, "until they have as many as is left");
	ok(given[2] > 0, "which still leaves some");

	wa_number_was_read(number_at(1), false);
	wa_number_was_read(number_at(2), false);
	ok(!wa_turns_due(&numbers), "nobody else has anything to send");
	for (int i = 0; i < 13; i++)
		wa_wire_settled(number_at(0));
	ok(wa_turns_due(&numbers), "what is written makes room for the first at once");
	claim(100, 3);
	ok(given[0] > 0, "and it sends");
	wa_number_lower_cursor(number_at(1), 0);
	wa_number_lower_cursor(number_at(2), 0);
	put_aside(number_at(2), 38);
	is_int(claim(100, 3), 0, "there are never more than there may be");

	for (int i = 0; i < 40; i++)
	{
		WaNumber *number = number_at(1 + i % 2);

		wa_wire_claimed(number, wa_now_us());
		wa_wire_failed(number, false, wa_now_us(), false, "nothing", wa_now_us());
		at((20 + i) * SECOND);
	}
	at(100 * SECOND);
	ok(wa_wire_is_down(&numbers), "when nobody is answered");
	is_int(claim(100, 3), 0, "it is no probe, either");
	wa_wire_forget_trouble(&numbers);

	wa_wire_bound_aside(&numbers, 1000000);
	ok(claim(100, 3) > 0, "a higher setting is a higher bound");
	put_aside(number_at(0), 2048);
	claim(100, 3);
	is_int(given[0], 0, "but not for ever");
}

static void
test_leftovers(void)
{
	begin(2, true);
	wa_number_set_rate(number_at(0), 4);
	wa_number_was_read(number_at(0), true);
	wa_number_was_read(number_at(1), true);
	at(20 * SECOND);
	is_int(claim(100, 2) - given[0], 50, "what one number may not have, the other gets");
	is_int(given[0], wa_number_available(number_at(0), wa_now_us()), "each within its rate");
}

static void
test_who(void)
{
	begin(5, true);
	number_at(0)->paused_until = DT_NOEND;
	number_at(1)->mine = false;
	wa_number_was_read(number_at(2), false);
	number_at(4)->tenant_stopped = true;
	is_int(claim(100, 5), 50, "there is somebody to send");
	is_int(given[3], 50, "and he gets it");
	is_int(given[0], 0, "not one that is paused");
	is_int(given[1], 0, "not one of another sender");
	is_int(given[2], 0, "not one that has nothing");
	is_int(given[4], 0, "not one whose tenant is stopped");
	wa_number_was_read(number_at(3), false);
	wa_number_lower_cursor(number_at(4), 5);
	is_int(wa_turns_next_us(&numbers), PG_INT64_MAX, "nor does a message of that one bring a turn");
}

static int
length(dlist_head *line)
{
	dlist_iter iter;
	int n = 0;

	dlist_foreach (iter, line)
		n++;
	return n;
}

/* Nobody is looked at who has nothing to send, or must not. */
static void
test_lines(void)
{
	int seen = 0;
	int sum[20] = {0};

	begin(20, false);
	is_int(length(&numbers.fresh), 0, "numbers without a message stand nowhere");
	wa_number_lower_cursor(number_at(7), 5);
	wa_number_lower_cursor(number_at(7), 6);
	is_int(length(&numbers.fresh), 1, "one that has one stands in line once");
	claim(100, 20);
	wa_number_was_read(number_at(7), true);
	is_int(length(&numbers.fresh) * 10 + length(&numbers.backlog), 1, "with a backlog in another");

	number_at(7)->paused_until = DT_NOEND;
	is_int(claim(100, 20), 0, "a pause takes effect where it stands");
	is_int(length(&numbers.backlog), 0, "and it stands there no longer");
	number_at(7)->paused_until = 0;
	wa_numbers_stopped_changed(&numbers);
	ok(wa_turns_due(&numbers) && claim(100, 20) == 50, "but does again when that is over");
	wa_number_was_read(number_at(7), false);
	claim(100, 20);
	is_int(length(&numbers.backlog), 0, "who has nothing left goes");

	begin(20, true);
	for (int round = 0; round < 10; round++)
	{
		claim(4, 20);
		for (int i = 0; i < 20; i++)
			sum[i] += given[i];
	}
	for (int i = 0; i < 20; i++)
		seen += sum[i] == 2;
	is_int(seen, 20, "where there are more of them than slots, each has its turn");
}

static void
test_when(void)
{
	WaNumber *number;
	int64 next;

	begin(3, false);
	numbers.wire.slots = 100;
	is_int(wa_turns_next_us(&numbers), PG_INT64_MAX,
		   "nobody has anything: no turn comes by itself");
	number = number_at(1);
	wa_number_lower_cursor(number, 5);
	ok(wa_turns_due(&numbers), "something has become ready: it is known at once");

	wa_numbers_turns_changed(&numbers);
	for (int n = wa_number_available(number, wa_now_us()); n > 0; n--)
	{
		wa_number_reserve(number, wa_now_us());
		wa_number_left(number, wa_now_us());
	}
	next = wa_turns_next_us(&numbers);
	is_int(next, wa_number_ready_at(number, wa_now_us()), "the turn is when the rate allows it");
	wa_clock_set(next, WALL + next);
	ok(wa_turns_due(&numbers), "and then it is");

	begin(3, false);
	numbers.wire.slots = 100;
	number = number_at(1);
	number->cursor_rank = 100;
	wa_number_passed_by(number, 50);
	wa_numbers_turns_changed(&numbers);
	is_int(wa_turns_next_us(&numbers) - wa_now_us(), SECOND / 2,
		   "a row that was passed by is looked at again");
	at(10 * SECOND + SECOND / 2);
	ok(wa_turns_due(&numbers), "when its time has come");
	is_int(number->cursor_rank, 50, "from there on");
}

int
main(void)
{
	test_fairness();
	test_new();
	test_share();
	test_aside();
	test_leftovers();
	test_who();
	test_lines();
	test_when();
	return done_testing();
}
