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

static void
test_came_due(void)
{
	WaTrackedAs as;

	begin();
	wa_pair_came_due(sender, number, RECIPIENT, 3, 30);
	wa_pair_came_due(sender, number, RECIPIENT, 5, 50);
	wa_pair_came_due(sender, number, RECIPIENT, 4, 30);
	wa_pair_came_due(sender, number, RECIPIENT, 1, 10);
	is_str(again(), "1 3 4 5 ", "what is back is claimed in its order");
	is_int(number->n_again, 4, "and counted");
	is_int(number->cursor_rank, 1000, "the cursor stays where it is");
	ok(wa_sender_is_tracked(sender, 3, &as) && as == WA_TRACKED_AGAIN, "nobody else claims it");
	wa_pair_came_due(sender, number, RECIPIENT, 3, 30);
	is_int(number->n_again, 4, "it is there once");
	is_int(number->cursor_rank, 30, "the cursor sees to whatever this was");

	begin();
	number->n_again = 10000;
	wa_pair_came_due(sender, number, RECIPIENT, 7, 70);
	is_int(number->cursor_rank, 70, "where too many are listed, the cursor comes by");
	ok(!wa_sender_is_tracked(sender, 7, &as), "and claims it");

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
	WaTrackedAs as;

	begin();
	pair = wa_pair_get(sender, wa_pair_key(number, RECIPIENT));
	wa_pair_set_aside(sender, pair, number, 2, 20);
	wa_pair_came_due(sender, number, RECIPIENT, 3, 30);
	wa_pairs_forget_stopped(sender);
	is_int(pair->n_waiting + number->n_again, 2, "without a pause nothing is forgotten");
	number->paused_until = DT_NOEND;
	wa_pairs_forget_stopped(sender);
	is_int(pair->n_waiting + number->n_again + sender->n_waiting, 0, "with one, everything is");
	ok(!wa_sender_is_tracked(sender, 2, &as) && !wa_sender_is_tracked(sender, 3, &as),
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

/* The cursor was set back before rows that are listed: it reads them in their order. */
static void
test_leave_to_cursor(void)
{
	WaPair *pair;
	WaWaiting *first;
	WaTrackedAs as;

	begin();
	number->cursor_rank = 100;
	number->may_have_ready = false;
	pair = wa_pair_get(sender, wa_pair_key(number, RECIPIENT));
	wa_pair_set_aside(sender, pair, number, 4, 10);
	wa_pair_set_aside(sender, pair, number, 3, 40);
	wa_pair_came_due(sender, number, RECIPIENT, 2, 30);
	first = dlist_head_element(WaWaiting, node, &number->again);
	ok(!wa_waiting_is_ahead(first), "what the cursor has passed is asked for by its id");
	wa_number_lower_cursor(number, 20);
	ok(wa_waiting_is_ahead(first), "what it has still to read is not");

	dlist_delete(&first->node);
	number->n_again--;
	number->may_have_ready = false;
	wa_waiting_leave_to_cursor(sender, first);
	ok(number->may_have_ready && !wa_sender_is_tracked(sender, 2, &as), "it is left to the cursor");
	ok(!wa_sender_is_tracked(sender, 3, &as), "with what waits behind it");
	is_str(again(), "4 ", "but one of higher priority, which the cursor has passed, is not");
	is_int(sender->n_waiting, 0, "and nothing waits any more");
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

int
main(void)
{
	test_came_due();
	test_set_aside();
	test_forget_waiting();
	test_forget_stopped();
	test_leave_to_cursor();
	return done_testing();
}
