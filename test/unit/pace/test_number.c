/*
 * What a number may send, and how far its ready rows have been read.
 */
#include "backend.h"

#include "tap.h"

/* So many leave at once: their connections are there. */
static void
leave(WaNumber *number, int n, int64 now)
{
	for (int i = 0; i < n; i++)
	{
		wa_number_reserve(number, now);
		wa_number_left(number, now);
	}
}

/* Takes whatever may leave, each millisecond of this stretch; returns how many did. */
static int
send_all(WaNumber *number, int64 from, int64 to)
{
	int sent = 0;

	for (int64 now = from; now < to; now += 1000)
	{
		int n = wa_number_available(number, now);

		leave(number, n, now);
		sent += n;
	}
	return sent;
}

static void
test_rate(void)
{
	WaSender *sender = new_sender();
	WaNumber *number = wa_number_get(&sender->numbers, NUMBER);
	int64 now = START + 100 * SECOND;
	int worst = 0;
	int sent[300] = {0};

	for (int i = 0; i < 300; i++)
		sent[i] = send_all(number, now + i * 10000, now + (i + 1) * 10000);
	for (int i = 0; i < 200; i++)
	{
		int in_a_second = 0;

		for (int j = i; j < i + 100; j++)
			in_a_second += sent[j];
		worst = Max(worst, in_a_second);
	}
	ok(worst <= 80, "no second has more than 80 messages: %d", worst);
	ok(worst >= 77, "but hardly fewer: %d", worst);
	ok(send_all(number, now + 10 * SECOND, now + 40 * SECOND) >= 30 * 80 * 0.95,
	   "in the long run 95 of 100 are used");

	now += 100 * SECOND;
	ok(send_all(number, now, now + 1000) <= 20,
	   "a quarter of a second's messages at once, no more");
	now += 100 * SECOND;
	leave(number, wa_number_available(number, now), now);
	ok(wa_number_ready_at(number, now) > now, "then the next has to wait");
	is_int(wa_number_available(number, wa_number_ready_at(number, now)), 1, "until it may leave");
}

/* What has to wait for its connection is counted when it arrives, with what comes then. */
static void
test_slow_connections(void)
{
	WaSender *sender = new_sender();
	WaNumber *number = wa_number_get(&sender->numbers, NUMBER);
	int64 now = START + 100 * SECOND;
	int waiting = wa_number_available(number, now);
	int sent;

	for (int i = 0; i < waiting; i++)
		wa_number_reserve(number, now);
	now += 400000;
	for (int i = 0; i < waiting; i++)
		wa_number_left(number, now);
	sent = send_all(number, now, now + SECOND);
	ok(waiting > 0 && waiting + sent <= 80, "%d late ones, and %d in the second after", waiting,
	   sent);

	now += 100 * SECOND;
	waiting = wa_number_available(number, now);
	for (int i = 0; i < waiting; i++)
		wa_number_reserve(number, now);
	is_int(wa_number_available(number, now), 0, "all that may leave is reserved");
	for (int i = 0; i < waiting; i++)
		wa_number_stays(number);
	is_int(wa_number_available(number, now), waiting, "and given back if it does not leave");
}

static void
test_fast(void)
{
	WaSender *sender = new_sender();
	WaNumber *number = wa_number_get(&sender->numbers, NUMBER);
	int64 now = START + 100 * SECOND;

	wa_number_set_rate(number, 5000);
	ok(send_all(number, now, now + SECOND) > 6000,
	   "no level of the platform's holds up what is faster");
}

/* What comes in counts, too; but webhooks may come by the thousand, long after. */
static void
test_inbound(void)
{
	WaSender *sender = new_sender();
	WaNumber *number = wa_number_get(&sender->numbers, NUMBER);
	int64 now = START + 100 * SECOND;
	int64 wait;

	wa_number_set_rate(number, 80);
	wa_number_came_in(number, 240, now);
	wait = wa_number_ready_at(number, now) - now;
	ok(wait > 2 * SECOND && wait < 4 * SECOND, "240 that come in are those of three seconds: %d ms",
	   (int) (wait / 1000));
	for (int i = 0; i < 100; i++)
		wa_number_came_in(number, INT64_C(100000000), now);
	wait = wa_number_ready_at(number, now) - now;
	ok(wait < 6 * SECOND, "however many do, they stop it for a few seconds: %d ms",
	   (int) (wait / 1000));
}

static void
test_ownership(void)
{
	WaNumbers all[3];
	int owners;

	for (int i = 0; i < 3; i++)
		wa_numbers_init(&all[i], NULL, i, 3);
	for (int number = 0; number < 20; number++)
	{
		char id[WA_NUMBER_SIZE];

		snprintf(id, sizeof(id), "1065403522%02d", number);
		owners = 0;
		for (int i = 0; i < 3; i++)
			owners += wa_number_get(&all[i], id)->mine;
		if (owners != 1)
			break;
	}
	is_int(owners, 1, "each number has one sender");
	ok(wa_number_find(&all[0], "1") == NULL, "a number never heard of is not there");
	ok(wa_number_get(&all[0], "1") == wa_number_find(&all[0], "1"), "but then it is");
}

static void
test_cursor(void)
{
	WaSender *sender = new_sender();
	WaNumber *number = wa_number_get(&sender->numbers, NUMBER);

	ok(number->may_have_ready && number->cursor_rank == PG_INT64_MIN,
	   "of a new number everything is still to be read");
	number->cursor_rank = 100;
	number->cursor_id = 7;
	number->may_have_ready = false;
	wa_number_lower_cursor(number, 200);
	ok(number->may_have_ready && number->cursor_rank == 100 && number->cursor_id == 7,
	   "what comes after the cursor leaves it where it is");
	wa_number_lower_cursor(number, 100);
	ok(number->cursor_rank == 100 && number->cursor_id == PG_INT64_MIN,
	   "the same rank may have any id");
	wa_number_lower_cursor(number, 50);
	is_int(number->cursor_rank, 50, "an earlier one is read again");
	wa_numbers_rewind(&sender->numbers);
	is_int(number->cursor_rank, PG_INT64_MIN, "and everything, after a failure");
}

/* Rows that somebody else has locked. */
static void
test_look_again(void)
{
	WaSender *sender = new_sender();
	WaNumber *number = wa_number_get(&sender->numbers, NUMBER);
	int64 again;

	number->cursor_rank = 100;
	wa_number_passed_by(number, 40);
	wa_number_passed_by(number, 30);
	wa_number_passed_by(number, 60);
	wa_number_look_again(number, wa_now_us() + SECOND / 2 - 1);
	is_int(number->cursor_rank, 100, "they are left alone for half a second");
	wa_number_look_again(number, wa_now_us() + SECOND / 2);
	is_int(number->cursor_rank, 30, "then the first of them is read again");
	is_int(number->look_again_us, 0, "once");

	at(80 * SECOND);
	wa_number_passed_by(number, 30);
	again = number->look_again_us - wa_now_us();
	is_int(again, 10 * SECOND, "what has been locked for long is looked at less often");
}

int
main(void)
{
	test_rate();
	test_slow_connections();
	test_fast();
	test_inbound();
	test_ownership();
	test_cursor();
	test_look_again();
	return done_testing();
}
