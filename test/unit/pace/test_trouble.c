/*
 * Whether a peer is answered, and what a number may send while it, or the host, is not.
 */
#include "backend.h"

#include "sender/state/wire.h"
#include "tap.h"

#define MS INT64_C(1000)

static WaNumbers numbers;

static WaNumber *
number_at(int i)
{
	char id[WA_NUMBER_SIZE];

	snprintf(id, sizeof(id), "1065403522%02d", i);
	return wa_number_get(&numbers, id);
}

static void
begin(void)
{
	at(0);
	wa_numbers_init(&numbers, NULL, 0, 1);
	numbers.wire.slots = 100;
	at(SECOND);
}

/* ---- one peer --------------------------------------------------------------------- */

static void
test_burst(void)
{
	WaTrouble t = {0};
	int64 now = SECOND;

	for (int i = 0; i < 20; i++)
		wa_trouble_begun(&t, now + i);
	for (int i = 0; i < 20; i++)
		wa_trouble_failed(&t, now + i, now + 50 * MS + i, false);
	is_int(t.failures, 1, "what fails together is one failure");
	ok(!wa_trouble_is(&t), "and no trouble yet");

	for (int i = 0; i < 2; i++)
	{
		now += SECOND;
		wa_trouble_begun(&t, now);
		wa_trouble_failed(&t, now, now + MS, false);
	}
	ok(wa_trouble_is(&t), "three, each begun after the one before, are trouble");
	is_int(t.probe_at_us, now + MS + WA_PROBE_US, "which is looked at again after half a second");

	wa_trouble_begun(&t, now);
	wa_trouble_begun(&t, now);
	wa_trouble_answered(&t, now + 2 * MS);
	ok(!wa_trouble_is(&t), "one answer ends it");
	wa_trouble_failed(&t, now, now + 3 * MS, false);
	is_int(t.failures, 0, "and what began before that says nothing any more");
}

static void
test_silence(void)
{
	WaTrouble t = {0};

	wa_trouble_begun(&t, SECOND);
	wa_trouble_listen(&t, 3 * SECOND);
	ok(!wa_trouble_is(&t), "two seconds without an answer are a slow one");
	wa_trouble_listen(&t, 4 * SECOND);
	ok(wa_trouble_is(&t), "three are trouble, long before the request has timed out");

	memset(&t, 0, sizeof(t));
	for (int i = 0; i < 100; i++)
	{
		wa_trouble_begun(&t, i * SECOND);
		if (i >= 3)
			wa_trouble_answered(&t, i * SECOND);
		wa_trouble_listen(&t, i * SECOND + SECOND / 2);
		if (wa_trouble_is(&t) && i >= 3)
			break;
	}
	ok(!wa_trouble_is(&t), "who answers every request after three seconds is not silent");

	wa_trouble_answered(&t, 200 * SECOND);
	wa_trouble_answered(&t, 200 * SECOND);
	wa_trouble_answered(&t, 200 * SECOND);
	wa_trouble_listen(&t, 300 * SECOND);
	ok(!wa_trouble_is(&t), "nor who was not asked");
}

/* How many probes there are in a minute of trouble, and how long the last wait was. */
static int
probes_of_a_minute(bool written, int64 *last_wait)
{
	WaTrouble t = {0};
	int64 now = SECOND;
	int n = 0;

	while (now < 61 * SECOND)
	{
		wa_trouble_begun(&t, now);
		wa_trouble_failed(&t, now, now + 1, written);
		if (wa_trouble_is(&t))
		{
			wa_trouble_probed(&t, now + 1);
			n++;
			*last_wait = t.probe_at_us - now;
		}
		now = Max(now + 2, t.probe_at_us);
	}
	return n;
}

static void
test_pace(void)
{
	int64 wait;
	int n = probes_of_a_minute(false, &wait);

	ok(n >= 115 && n <= 121, "where nothing can be lost there are two probes a second: %d", n);
	n = probes_of_a_minute(true, &wait);
	ok(n >= 15 && n <= 45, "where each may cost a message there are fewer and fewer: %d", n);
	ok(wait <= 10 * SECOND, "but the end is noticed after a part of the time: %d ms",
	   (int) (wait / 1000));
}

/* ---- numbers and the host ------------------------------------------------------------ */

/* A request of this number that begins and ends now. */
static bool
request(WaNumber *number, bool answered, int64 now)
{
	bool probe;

	at(now);
	probe = wa_wire_claimed(number, wa_now_us());
	wa_wire_begun(number, wa_now_us());
	at(now + MS);
	if (answered)
		wa_wire_answered(number, probe, wa_now_us());
	else
		wa_wire_failed(number, probe, wa_now_us() - MS, true, "what went wrong", wa_now_us());
	return probe;
}

static int
room(WaNumber *number)
{
	return wa_wire_room(number, wa_now_us());
}

static void
test_one_number(void)
{
	int64 now = 10 * SECOND;

	begin();
	(void) request(number_at(1), true, now);
	for (int i = 1; i <= 3; i++)
		(void) request(number_at(0), false, now + i * 10 * MS);
	is_int(room(number_at(0)), 0, "a number whose requests fail sends no more");
	is_int(room(number_at(1)), 50, "another goes on");
	ok(wa_wire_number_fails(number_at(0)), "the trouble is the number's");
	ok(!wa_wire_host_fails(&numbers), "and not the host's, which has just answered another");
	is_int(wa_wire_room_at(number_at(0), wa_now_us()) - wa_now_us(), WA_PROBE_US,
		   "it may try after half a second");
	at(now + SECOND);
	is_int(room(number_at(0)), 1, "one request");
	ok(request(number_at(0), false, now + SECOND), "which is a probe");
	is_int(room(number_at(0)), 0, "then it waits again");
	at(now + 2 * SECOND);
	ok(request(number_at(0), true, now + 2 * SECOND), "the next probe is answered");
	is_int(room(number_at(0)), 50, "and the number goes on");
	is_int(numbers.wire.stuck, 0, "nothing is counted apart");
	is_int(numbers.wire.used, 0, "nothing is on the wire");
}

static void
test_hanging_number(void)
{
	WaNumber *bad;
	int probes = 0;

	begin();
	bad = number_at(0);
	(void) request(number_at(1), true, SECOND);
	for (int i = 0; i < 50; i++)
	{
		(void) wa_wire_claimed(bad, wa_now_us());
		wa_wire_begun(bad, wa_now_us());
	}
	is_int(room(bad), 0, "a number may have half of the wire");
	is_int(room(number_at(1)), 25, "there is room beside it");
	at(5 * SECOND);
	is_int(room(bad), 0, "three seconds later it is in trouble");
	is_int(numbers.wire.stuck, 50, "and what it has there does not count");
	for (int i = 0; i < 100; i++)
	{
		at(5 * SECOND + i * 100 * MS);
		if (room(bad) == 0)
			continue;
		ok(wa_wire_claimed(bad, wa_now_us()), "a probe");
		wa_wire_begun(bad, wa_now_us());
		probes++;
	}
	is_int(probes, 4, "probes that hang hold up the next, but not the first few");
	is_int(room(number_at(1)), (100 - 54 + 1) / 2, "the other is not concerned");
}

static void
test_host(void)
{
	int64 now = 10 * SECOND;
	int tried = 0;

	begin();
	(void) request(number_at(0), true, now);
	for (int i = 1; i <= 3; i++)
		(void) request(number_at(i % 2), false, now + i * 10 * MS);
	ok(wa_wire_is_down(&numbers), "several numbers fail and none is answered: it is the host");
	ok(wa_wire_host_fails(&numbers), "people hear of it once");
	ok(!wa_wire_number_fails(number_at(1)), "and not for each number");
	is_int(room(number_at(0)), 0, "nobody who has failed sends");
	for (int i = 2; i < 30; i++)
		if (room(number_at(i)) > 0)
		{
			ok(!request(number_at(i), false, now + 100 * MS + i * 2 * MS),
			   "who has not failed may try");
			tried++;
		}
	is_int(tried, 8, "but not everybody at once");

	for (int i = 0; i < 6; i++)
	{
		at(now + 600 * MS + i * WA_PROBE_US);
		is_int(room(number_at(i % 2)), 1, "there is a probe each half second");
		ok(wa_wire_claimed(number_at(i % 2), wa_now_us()), "while those before it hang");
		wa_wire_begun(number_at(i % 2), wa_now_us());
		is_int(room(number_at((i + 1) % 2)), 0, "one for all");
	}
	wa_wire_answered(number_at(1), true, wa_now_us());
	ok(!wa_wire_is_down(&numbers), "the first answer to anybody ends it");
	ok(room(number_at(0)) > 1, "for all");
	ok(wa_wire_is_back(&numbers), "what hangs without a connection is to be begun anew");
	ok(!wa_wire_is_back(&numbers), "once");
}

/* A network that swallows everything: nothing fails for a long time. */
static void
test_host_silent(void)
{
	begin();
	for (int i = 0; i < 4; i++)
	{
		(void) wa_wire_claimed(number_at(i), wa_now_us());
		wa_wire_begun(number_at(i), wa_now_us());
	}
	at(5 * SECOND);
	for (int i = 0; i < 4; i++)
		(void) room(number_at(i));
	ok(wa_wire_is_down(&numbers), "nobody hears anything: it is the host");
	at(6 * SECOND);
	is_int(room(number_at(3)), 1, "which is tried");
	(void) wa_wire_claimed(number_at(3), wa_now_us());
	is_int(room(number_at(2)), 0, "by one");
}

static void
test_two_bad_numbers(void)
{
	int64 now = 10 * SECOND;
	int failed = 0;

	begin();
	for (int i = 0; i < 100; i++)
	{
		(void) request(number_at(0), i < 1, now + i * 100 * MS);
		(void) request(number_at(1), i < 1, now + i * 100 * MS + 10 * MS);
		(void) request(number_at(2), true, now + i * 100 * MS + 20 * MS);
		failed += wa_wire_is_down(&numbers);
	}
	is_int(failed, 0, "two numbers in trouble are not the host's");
	for (int i = 0; i < 20; i++)
	{
		(void) request(number_at(0), false, now + 20 * SECOND + i * SECOND);
		(void) request(number_at(1), false, now + 20 * SECOND + i * SECOND + 10 * MS);
	}
	ok(!wa_wire_is_down(&numbers), "not even while nobody else sends");
	is_int(room(number_at(2)), 50, "so a third one leaves at once when it comes");
}

static void
test_forget(void)
{
	int64 now = 10 * SECOND;

	begin();
	for (int i = 1; i <= 6; i++)
		(void) request(number_at(i % 2), false, now + i * 10 * MS);
	ok(wa_wire_is_down(&numbers), "nobody is answered");
	wa_wire_forget_trouble(&numbers);
	ok(room(number_at(0)) > 1 && room(number_at(1)) > 1,
	   "after a reload everything is tried at once");
}

int
main(void)
{
	test_burst();
	test_silence();
	test_pace();
	test_one_number();
	test_hanging_number();
	test_host();
	test_host_silent();
	test_two_bad_numbers();
	test_forget();
	return done_testing();
}
