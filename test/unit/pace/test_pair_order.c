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
	ok(wa_pair_find(sender, pair->key) == pair,
	   "a recipient with several deferred messages does not rest");

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

/* One message is deferred, as the pair limit does it, or as an earlier message does. */
static void
test_rest(void)
{
	uint64 key;
	HASH_SEQ_STATUS scan;
	WaMissing *missing;
	int n = 0;

	begin();
	key = pair->key;
	wa_pair_take(pair, wa_now_us());
	wa_pair_end(pair, true);
	pair->next_deferral_us = wa_now_us() + 60 * SECOND;
	wa_pair_deferred(sender, pair, 10, WALL + START + 60 * SECOND);
	wa_pair_rest(sender, pair);
	wa_pairs_scan(sender, &scan);
	while (hash_seq_search(&scan) != NULL)
		n++;
	is_int(n, 0, "a recipient of whose messages one is deferred rests");
	ok(wa_pairs_any_deferred(), "and it is known that one is");
	wa_pairs_rest(sender);

	at(4 * SECOND);
	pair = wa_pair_find(sender, key);
	ok(pair != NULL && wa_pair_is_behind(pair, 11), "whoever asks learns that it is behind");
	is_int(pair->deferred_until_us - START, 60 * SECOND, "until when");
	is_int(pair->next_deferral_us - START, 60 * SECOND, "that this is the last turn given away");
	is_int(pair->whole_at_us - START, 6 * SECOND, "and when the burst is whole");
	is_int(pair->blocked_until, 0, "nothing else is in the way");

	wa_pair_rest(sender, pair);
	is_int(wa_pairs_missing(sender, &missing), 0, "one at rest is not overdue before its time");
	at(61 * SECOND);
	is_int(wa_pairs_missing(sender, &missing), 1, "but a second after it");
	is_int(missing[0].message_id, 10, "and is looked for");
	pair = wa_pair_find(sender, key);
	ok(wa_pair_returned(pair, 10), "it comes back");
	wa_pair_rest(sender, pair);
	ok(wa_pair_find(sender, key) == NULL, "and nothing is under way");

	/* Two times that are not one are more than a rest remembers. */
	pair = wa_pair_get(sender, key);
	pair->next_deferral_us = wa_now_us() + 9 * SECOND;
	wa_pair_deferred(sender, pair, 20, wa_now() + 5 * SECOND);
	wa_pair_rest(sender, pair);
	ok(wa_pair_find(sender, key) == pair, "one with turns given to others does not rest");
	pair->next_deferral_us = 0;
	pair->blocked_until = wa_now() + 5 * SECOND;
	wa_pair_rest(sender, pair);
	pair = wa_pair_find(sender, key);
	is_int(pair->blocked_until - wa_now(), 5 * SECOND, "one that has had its turn does");
	is_int(pair->next_deferral_us, 0, "and gives no turn away");
}

int
main(void)
{
	test_ids();
	test_missing();
	test_rest();
	return done_testing();
}
