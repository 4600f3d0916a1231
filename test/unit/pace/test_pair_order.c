/*
 * The order of a recipient's messages: nobody passes one that is deferred.
 */
#include "backend.h"

#include "sender/pace/pair_order.h"
#include "tap.h"

#define RECIPIENT "573001112233"

static WaSender *sender;
static WaNumber *number;
static WaPair *pair;

static void
begin(void)
{
	sender = new_sender();
	number = wa_number_get(&sender->numbers, NUMBER);
	pair = wa_pair_get(sender, wa_pair_key(number, RECIPIENT));
}

static void
test_ids(void)
{
	static const int64 ids[] = {30, 10, 50, 20, 40};

	begin();
	ok(!wa_pairs_any_deferred(), "nothing is deferred");
	for (int i = 0; i < lengthof(ids); i++)
		wa_pair_deferred(sender, pair, ids[i], WALL + START + ids[i] * SECOND);
	wa_pair_deferred(sender, pair, 30, WALL + START + 30 * SECOND);
	ok(wa_pairs_any_deferred(), "now something is");
	is_int(pair->n_deferred, 5, "each message is known once");
	is_int(pair->deferred_until_us - START, 50 * SECOND,
		   "and the last time to which one was deferred");

	ok(!wa_pair_is_behind(pair, 10), "the first of them is behind nobody");
	ok(wa_pair_is_behind(pair, 11), "but whatever was written later is");
	ok(wa_pair_returned(pair, 10), "the first is back");
	ok(!wa_pair_returned(pair, 10), "once");
	ok(!wa_pair_returned(pair, 99), "one that was not deferred does not come back");
	ok(!wa_pair_is_behind(pair, 20), "the next is now the first");
	ok(wa_pair_returned(pair, 40) && wa_pair_is_behind(pair, 50),
	   "they may come back in any order");
	wa_pair_rest(sender, pair);
	ok(wa_pair_find(sender, pair->key) == pair, "a recipient with deferred messages does not rest");

	ok(wa_pair_returned(pair, 20) && wa_pair_returned(pair, 30) && wa_pair_returned(pair, 50),
	   "all are back");
	is_int(pair->deferred_until_us, 0, "nothing is awaited");
	ok(!wa_pairs_any_deferred(), "of nobody");
}

static void
test_missing(void)
{
	WaMissing *missing;
	WaComingRow coming = {
		.message_id = 20, .phone_number_id = NUMBER, .recipient = RECIPIENT, .rank = 77};
	int n;

	begin();
	wa_pair_deferred(sender, pair, 20, WALL + START + 10 * SECOND);
	wa_pair_deferred(sender, pair, 10, WALL + START + 5 * SECOND);
	at(11 * SECOND - 1);
	ok(!wa_pair_misses(pair, 30, wa_now_us()), "a second after their time nothing is overdue");
	is_int(wa_pairs_missing(sender, &missing), 0, "of nobody");
	at(11 * SECOND);
	ok(wa_pair_misses(pair, 30, wa_now_us()), "but then");
	ok(!wa_pair_misses(pair, 10, wa_now_us()), "for those who wait behind it");
	n = wa_pairs_missing(sender, &missing);
	is_int(n, 2, "both are looked for");
	ok(missing[0].message_id == 10 && missing[1].message_id == 20, "in order");

	number->cursor_rank = 100;
	wa_pairs_found(sender, missing, n, &coming, 1);
	is_int(pair->n_deferred, 1, "nobody waits for one that is not there any more");
	ok(wa_pair_is_behind(pair, 30), "but for the one that is");
	is_int(number->cursor_rank, 77, "and the cursor comes by it");
	ok(!wa_pair_misses(pair, 30, wa_now_us()), "it has a second to be read");

	/* It has come to another number meanwhile. */
	at(20 * SECOND);
	wa_number_get(&sender->numbers, "1");
	coming.phone_number_id = "1";
	n = wa_pair_missing(pair, &missing);
	wa_pairs_found(sender, missing, n, &coming, 1);
	is_int(pair->n_deferred, 0, "nobody waits for one that goes by another number");
}

static void
test_seed(void)
{
	WaDeferredRow rows[] = {{10, NUMBER, RECIPIENT, WALL + START + 8 * SECOND, true},
							{20, NUMBER, RECIPIENT, WALL + START + 4 * SECOND, false}};

	begin();
	wa_pairs_seed_deferred(sender, rows, 2);
	is_int(pair->n_deferred, 2, "a new sender knows what is deferred");
	ok(wa_pair_is_behind(pair, 11), "and lets nobody pass it");
	is_int(pair->next_deferral_us - START, 8 * SECOND, "which turns of the pair limit are given");
	is_int(pair->blocked_until - WALL - START, 4 * SECOND, "and for how long the others wait");
}

int
main(void)
{
	test_ids();
	test_missing();
	test_seed();
	return done_testing();
}
