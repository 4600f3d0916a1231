/*
 * How many requests are allowed on the wire: as many as are useful.
 */
#include "backend.h"

#include "sender/pace/concurrency.h"
#include "tap.h"

#define MS INT64_C(1000)
#define MOST 1000

static WaSender *sender;
static int64 now;

static void
begin(int most)
{
	sender = new_sender();
	now = SECOND;
	at(now);
	wa_concurrency_start(sender, most);
}

/* So many milliseconds go by, of which it has slept some, with this many requests out. */
static void
pass(int ms, int slept_ms, int out, int most)
{
	sender->n_in_flight = out;
	wa_concurrency_slept(sender, slept_ms * MS);
	at(now += ms * MS);
	wa_concurrency_adapt(sender, most);
}

static void
test_growth(void)
{
	begin(MOST);
	is_int(sender->concurrency, 128, "it begins with what is enough for most");
	pass(49, 49, 128, MOST);
	is_int(sender->concurrency, 128, "and is left alone for a moment");
	pass(1, 1, 128, MOST);
	is_int(sender->concurrency, 192, "who waits for responses with all of it used gets half more");
	pass(50, 50, 192, MOST);
	is_int(sender->concurrency, 288, "and again");
	pass(50, 50, 253, MOST);
	is_int(sender->concurrency, 432, "nearly all is all");
	pass(50, 4, 432, MOST);
	is_int(sender->concurrency, 432, "between the two shares of waiting it stays");
	for (int i = 0; i < 10; i++)
		pass(50, 50, sender->concurrency, MOST);
	is_int(sender->concurrency, MOST, "it never exceeds the setting");
}

static void
test_shrinking(void)
{
	begin(MOST);
	pass(50, 50, 128, MOST);
	pass(50, 50, 192, MOST);
	pass(50, 50, 100, MOST);
	is_int(sender->concurrency, 270, "sleep while little is out is no waiting: less is allowed");
	for (int i = 0; i < 50; i++)
		pass(50, 0, sender->concurrency, MOST);
	is_int(sender->concurrency, 128, "but never less than at first");

	begin(1);
	is_int(sender->concurrency, 1, "unless the setting allows no more");
	pass(50, 50, 1, 1);
	is_int(sender->concurrency, 1, "at any time");

	begin(MOST);
	wa_concurrency_configured(sender, 20);
	is_int(sender->concurrency, 20, "a lower setting holds at once");
	wa_concurrency_configured(sender, MOST);
	is_int(sender->concurrency, 20, "a higher one gives room to grow");
}

static void
test_held(void)
{
	begin(MOST);
	sender->numbers.wire.held = 1;
	pass(50, 50, 10, MOST);
	is_int(sender->concurrency, 192, "whoever is held by its share waits for responses, too");

	begin(MOST);
	sender->numbers.wire.stuck = 128;
	pass(50, 50, 128, MOST);
	is_int(sender->concurrency, 128, "what numbers in trouble have out is not what is waited for");
}

static void
test_ahead(void)
{
	begin(MOST);
	for (int i = 0; i < 500; i++)
		wa_concurrency_answered();
	pass(50, 0, 128, MOST);
	is_int(sender->ahead, 200, "what leaves within 20 ms is claimed ahead");
	pass(50, 0, 128, MOST);
	is_int(sender->ahead, 0, "nothing, when nothing leaves");
	for (int i = 0; i < 5000; i++)
		wa_concurrency_answered();
	pass(50, 0, 128, MOST);
	is_int(sender->ahead, 512, "and never more than fits a transaction");
}

static void
test_slots(void)
{
	WaNumbers *numbers;

	begin(MOST);
	numbers = &sender->numbers;
	wa_concurrency_set_slots(sender, MOST);
	is_int(numbers->wire.slots, 128, "there are as many slots as requests allowed");
	wa_concurrency_set_slots(sender, 50);
	is_int(numbers->wire.slots, 50, "but for what the client can have under way");
	sender->ahead = 30;
	sender->n_draining = 7;
	wa_concurrency_set_slots(sender, 50);
	is_int(numbers->wire.slots, 87, "leased ahead, or with the settings before, is beside that");
	numbers->wire.stuck = 12;
	wa_concurrency_set_slots(sender, MOST);
	is_int(numbers->wire.slots, 177, "so is what hangs");

	numbers->next_turn_known_us = now + SECOND;
	numbers->wire.stuck = 13;
	wa_concurrency_set_slots(sender, MOST);
	ok(numbers->next_turn_known_us > now, "more slots are no news while nobody waits for one");
	numbers->wire.held = 1;
	numbers->wire.stuck = 14;
	wa_concurrency_set_slots(sender, MOST);
	ok(numbers->next_turn_known_us <= now, "whoever does is looked at");

	begin(MOST);
	sender->n_in_flight = 127;
	ok(wa_concurrency_has_room(sender), "the last one may be begun");
	sender->n_in_flight = 128;
	ok(!wa_concurrency_has_room(sender), "and then none");
	sender->n_draining = 1;
	ok(wa_concurrency_has_room(sender), "what drains does not count");
	sender->n_draining = 0;
	sender->numbers.wire.stuck = 1;
	ok(wa_concurrency_has_room(sender), "nor does what hangs");
}

int
main(void)
{
	test_growth();
	test_shrinking();
	test_held();
	test_ahead();
	test_slots();
	return done_testing();
}
