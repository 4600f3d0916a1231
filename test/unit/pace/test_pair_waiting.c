/*
 * Ready rows that are claimed by their ids, and not by the cursor.
 */
#include "backend.h"

#include "sender/pace/pair_waiting.h"
#include "tap.h"

#define RECIPIENT "573001112233"

static WaSender *sender;
static WaNumber *number;

static void
begin(void)
{
	sender = new_sender();
	number = wa_number_get(&sender->numbers, NUMBER);
	number->cursor_rank = 1000;
}

/* The ids in the number's list, in order. */
static const char *
again(void)
{
	static char text[100];
	dlist_iter iter;

	text[0] = '\0';
	dlist_foreach (iter, &number->again)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%lld ",
				 (long long) dlist_container(WaWaiting, node, iter.cur)->message_id);
	return text;
}

static bool
is_tracked_as(int64 message_id, WaTrackedAs as)
{
	const WaTracked *tracked = wa_sender_tracked(sender, message_id);

	return tracked != NULL && tracked->as == as && tracked->waiting->number == number;
}

static void
test_came_due(void)
{
	begin();
	wa_pair_came_due(sender, number, RECIPIENT, 3, 30);
	wa_pair_came_due(sender, number, RECIPIENT, 5, 50);
	wa_pair_came_due(sender, number, RECIPIENT, 4, 30);
	wa_pair_came_due(sender, number, RECIPIENT, 1, 10);
	is_str(again(), "1 3 4 5 ", "what is back is claimed in its order");
	is_int(number->n_again, 4, "and counted");
	is_int(number->cursor_rank, 1000, "the cursor stays where it is");
	ok(is_tracked_as(3, WA_TRACKED_AGAIN), "nobody else claims it");
	wa_pair_came_due(sender, number, RECIPIENT, 3, 30);
	is_int(number->n_again, 4, "it is there once");
	is_int(number->cursor_rank, 30, "the cursor sees to whatever this was");

	begin();
	number->n_again = 10000;
	wa_pair_came_due(sender, number, RECIPIENT, 7, 70);
	is_int(number->cursor_rank, 70, "where too many are listed, the cursor comes by");
	ok(wa_sender_tracked(sender, 7) == NULL, "and claims it");

	begin();
	number->paused_until = DT_NOEND;
	wa_pair_came_due(sender, number, RECIPIENT, 7, 70);
	is_str(again(), "", "at a paused number nothing is listed");
	is_int(number->cursor_rank, 70, "it may go by another before the pause ends");
}

/* A pause has begun: its rows may go by another number before it ends. */
static void
test_forget_stopped(void)
{
	WaPair *pair;

	begin();
	pair = wa_pair_get(sender, wa_pair_key(number, RECIPIENT));
	wa_pair_set_aside(sender, pair, number, 2, 20);
	wa_pair_came_due(sender, number, RECIPIENT, 3, 30);
	wa_pairs_forget_stopped(sender);
	is_int(pair->n_waiting + number->n_again, 2, "without a pause nothing is forgotten");
	number->paused_until = DT_NOEND;
	wa_pairs_forget_stopped(sender);
	is_int(pair->n_waiting + number->n_again + sender->n_waiting, 0, "with one, everything is");
	ok(wa_sender_tracked(sender, 2) == NULL && wa_sender_tracked(sender, 3) == NULL,
	   "and left to the cursor");
	is_int(number->cursor_rank, PG_INT64_MIN, "which reads all again");
}

/* One that was put back was sent before others, and one of those has a higher priority. */
static void
test_forget_waiting(void)
{
	WaPair *pair;

	begin();
	pair = wa_pair_get(sender, wa_pair_key(number, RECIPIENT));
	wa_pair_set_aside(sender, pair, number, 8, 300);
	wa_pair_set_aside(sender, pair, number, 9, 30);
	wa_pair_forget_waiting(sender, pair);
	is_int(pair->n_waiting + sender->n_waiting, 0, "nothing waits any more");
	is_int(number->cursor_rank, 30, "and the cursor is before all that did");
}

/* The ids that are asked for with this limit. */
static const char *
asked(int limit)
{
	static char text[100];
	dlist_head list;
	int64 ids[10];
	int n;

	dlist_init(&list);
	n = wa_waiting_ask(sender, number, limit, &list, ids);
	text[0] = '\0';
	for (int i = 0; i < n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%lld ", (long long) ids[i]);
	return text;
}

static void
test_ask(void)
{
	begin();
	wa_pair_came_due(sender, number, RECIPIENT, 2, 30);
	wa_pair_came_due(sender, number, RECIPIENT, 3, 40);
	is_str(asked(1), "2 ",
		   "what the cursor has passed is asked for by its id, as far as the limit goes");
	ok(is_tracked_as(2, WA_TRACKED_ASKED), "by nobody else meanwhile");
	is_str(again(), "3 ", "the rest later");
}

/* The cursor was set back before rows that are listed: it reads them in their order. */
static void
test_leave_to_cursor(void)
{
	WaPair *pair;

	begin();
	number->cursor_rank = 20;
	pair = wa_pair_get(sender, wa_pair_key(number, RECIPIENT));
	wa_pair_set_aside(sender, pair, number, 4, 10);
	wa_pair_set_aside(sender, pair, number, 3, 40);
	wa_pair_came_due(sender, number, RECIPIENT, 2, 30);
	number->may_have_ready = false;
	is_str(asked(0), "", "without room for one nothing is asked for");
	is_str(again(), "2 ", "or left to anybody");
	is_str(asked(10), "4 ",
		   "what the cursor has still to read is left to it, but not one of higher priority");
	ok(number->may_have_ready && wa_sender_tracked(sender, 2) == NULL, "it will be read");
	ok(wa_sender_tracked(sender, 3) == NULL, "with what waits behind it");
	is_int(sender->n_waiting, 0, "and nothing waits any more");

	/* One comes back behind two that wait, and is beyond the cursor as they are not. */
	begin();
	pair = wa_pair_get(sender, wa_pair_key(number, RECIPIENT));
	wa_pair_set_aside(sender, pair, number, 5, 1000);
	wa_pair_set_aside(sender, pair, number, 6, 1000);
	number->cursor_id = 6;
	wa_pair_came_due(sender, number, RECIPIENT, 7, 1000);
	is_int(number->n_again, 1, "of a list of one");
	is_str(asked(10), "5 6 ", "more may be asked for than it had");
	pair = wa_pair_get(sender, wa_pair_key(number, RECIPIENT));
	wa_pair_came_due(sender, number, RECIPIENT, 8, 1000);
	wa_pair_set_aside(sender, pair, number, 5, 1000);
	wa_pair_set_aside(sender, pair, number, 6, 1000);
	is_str(asked(1), "5 ", "but no more than the limit");
	is_str(again(), "6 ", "the rest later");
}

/* Whoever is set aside later may have been written earlier: it was away meanwhile. */
static void
test_set_aside(void)
{
	WaPair *pair;

	begin();
	pair = wa_pair_get(sender, wa_pair_key(number, RECIPIENT));
	wa_pair_set_aside(sender, pair, number, 8, 30);
	wa_pair_set_aside(sender, pair, number, 9, 30);
	wa_pair_set_aside(sender, pair, number, 6, 30);
	wa_pair_set_aside(sender, pair, number, 7, 20);
	ok(wa_pair_release_one(sender, pair), "the first that waits is released");
	is_str(again(), "7 ", "which is the earliest");
	ok(wa_pair_release_one(sender, pair), "then the next");
	is_str(again(), "7 6 ", "in the order of the queue");
}

/* Its tenant has got another number, whose cursor has come to it. */
static void
test_leaves(void)
{
	WaPair *pair;

	begin();
	pair = wa_pair_get(sender, wa_pair_key(number, RECIPIENT));
	wa_pair_take(pair, wa_now_us());
	wa_pair_set_aside(sender, pair, number, 2, 20);
	wa_pair_set_aside(sender, pair, number, 3, 30);
	wa_waiting_leaves(sender, wa_sender_tracked(sender, 2)->waiting);
	ok(wa_sender_tracked(sender, 2) == NULL, "what leaves for another number may be claimed there");
	is_int(pair->n_waiting + sender->n_waiting, 2, "and does not wait here");
	is_str(again(), "", "nobody passes what is on the wire for that");
	ok(wa_pair_release_one(sender, pair), "the one behind it has its turn");
	is_str(again(), "3 ", "next");

	begin();
	pair = wa_pair_get(sender, wa_pair_key(number, RECIPIENT));
	wa_pair_set_aside(sender, pair, number, 2, 20);
	wa_pair_set_aside(sender, pair, number, 3, 30);
	wa_pair_release_one(sender, pair);
	wa_waiting_leaves(sender, wa_sender_tracked(sender, 2)->waiting);
	is_str(again(), "3 ", "of what nobody is on the wire before, the next goes in its place");
	is_int(number->n_again, 1, "alone");
	wa_waiting_leaves(sender, wa_sender_tracked(sender, 3)->waiting);
	is_int(number->n_again + sender->n_waiting, 0, "until nothing waits any more");
}

int
main(void)
{
	test_came_due();
	test_set_aside();
	test_forget_waiting();
	test_forget_stopped();
	test_ask();
	test_leave_to_cursor();
	test_leaves();
	return done_testing();
}
