/*
 * The pair limit, and what is remembered of recipients for whom nothing is under way.
 */
#include "backend.h"

#include "sender/pace/pair.h"
#include "tap.h"

#define RECIPIENT "573001112233"
#define INTERVAL (6 * SECOND)

static uint64
key_of(WaSender *sender, const char *recipient)
{
	return wa_pair_key(wa_number_get(&sender->numbers, NUMBER), recipient);
}

/* A message has been sent and accepted. */
static void
send_one(WaSender *sender, uint64 key)
{
	WaPair *pair = wa_pair_get(sender, key);

	wa_pair_take(pair, wa_now_us());
	wa_pair_end(pair, true);
	wa_pair_rest(sender, pair);
}

/* How long until the burst is whole, as far as anybody remembers. */
static int64
left(WaSender *sender, uint64 key)
{
	WaPair *pair = wa_pair_get(sender, key);
	int64 us = pair->whole_at_us - wa_now_us();

	wa_pair_rest(sender, pair);
	return Max(us, 0);
}

static void
test_taking(void)
{
	WaSender *sender = new_sender();
	WaPair *pair = wa_pair_get(sender, key_of(sender, RECIPIENT));

	wa_pair_take(pair, wa_now_us());
	wa_pair_take(pair, wa_now_us());
	is_int(pair->in_flight, 2, "two are on the wire");
	is_int(pair->whole_at_us - wa_now_us(), 2 * INTERVAL, "each message is worth six seconds");
	wa_pair_end(pair, true);
	wa_pair_end(pair, false);
	is_int(pair->in_flight, 0, "both have ended");
	is_int(pair->whole_at_us - wa_now_us(), INTERVAL, "one that was refused does not count");

	at(100 * SECOND);
	wa_pair_take(pair, wa_now_us());
	is_int(pair->whole_at_us - wa_now_us(), INTERVAL, "idle time is not saved up");
}

static void
test_resting(void)
{
	WaSender *sender = new_sender();
	uint64 key = key_of(sender, RECIPIENT);

	send_one(sender, key);
	send_one(sender, key);
	ok(wa_pair_find(sender, key) == NULL, "nothing is under way: it rests");
	at(4 * SECOND);
	is_int(left(sender, key), 8 * SECOND, "its limit is remembered");
	is_int(left(sender, key), 8 * SECOND, "however often somebody asks");
	ok(key_of(sender, RECIPIENT) != key_of(sender, "573001112234"),
	   "another recipient has his own");
	at(13 * SECOND);
	is_int(left(sender, key), 0, "until it is whole");

	/* A table that must forget, and one that must grow. */
	for (int i = 0; i < 20000; i++)
		send_one(sender, key + i * INT64_C(0x9E3779B97F4A7C15));
	for (int i = 0; i < 20000; i += 1000)
		if (left(sender, key + i * INT64_C(0x9E3779B97F4A7C15)) != INTERVAL)
		{
			ok(false, "recipient %d is forgotten", i);
			return;
		}
	ok(true, "of twenty thousand recipients none is forgotten before his time");

	at(60 * SECOND);
	send_one(sender, key);
	at(INT64_C(10) * 86400 * SECOND);
	wa_pairs_rest(sender);
	at(INT64_C(300) * 86400 * SECOND);
	is_int(left(sender, key), 0, "nor remembered for ever");
}

static void
test_busy(void)
{
	WaSender *sender = new_sender();
	uint64 key = key_of(sender, RECIPIENT);
	WaPair *pair = wa_pair_get(sender, key);

	wa_pair_take(pair, wa_now_us());
	wa_pair_rest(sender, pair);
	ok(wa_pair_find(sender, key) == pair, "one with a request on the wire does not rest");
	wa_pair_end(pair, true);
	pair->throttles = 1;
	wa_pair_rest(sender, pair);
	ok(wa_pair_find(sender, key) == pair, "nor one that Meta has refused lately");
	at(7 * SECOND);
	wa_pair_rest(sender, pair);
	ok(wa_pair_find(sender, key) == NULL, "until it has made up for that");

	pair = wa_pair_get(sender, key);
	pair->next_deferral_us = wa_now_us() + 1;
	wa_pairs_rest(sender);
	ok(wa_pair_find(sender, key) == pair, "nor one whose turns are given away");
}

int
main(void)
{
	test_taking();
	test_resting();
	test_busy();
	return done_testing();
}
