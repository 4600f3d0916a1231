/*
 * pair_waiting.c
 *	  Ready rows that are claimed by their ids, and not by the cursor.
 *
 * A row that was read while something to its recipient is on the wire is set
 * aside, in the recipient's list, and from there goes to its number's list of
 * those to be claimed again.  What is back from a deferral goes there at once:
 * its place lies far behind the cursor.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "sender/pace/pair_waiting.h"

/* In a number's list; further ones are left to the cursor. */
#define MAX_AGAIN 10000

static WaWaiting *
new_waiting(WaSender *sender, WaNumber *number, uint64 pair_key, int64 message_id, int64 rank)
{
	WaWaiting *waiting = MemoryContextAlloc(sender->state_context, sizeof(WaWaiting));

	waiting->message_id = message_id;
	waiting->rank = rank;
	waiting->pair_key = pair_key;
	waiting->number = number;
	return waiting;
}

static bool
is_before(const WaWaiting *one, const WaWaiting *other)
{
	return one->rank < other->rank ||
		   (one->rank == other->rank && one->message_id < other->message_id);
}

/* In their order, in which most come. */
static void
insert(dlist_head *list, WaWaiting *waiting)
{
	dlist_iter iter;

	dlist_reverse_foreach (iter, list)
	{
		if (is_before(waiting, dlist_container(WaWaiting, node, iter.cur)))
			continue;
		dlist_insert_after(iter.cur, &waiting->node);
		return;
	}
	dlist_push_head(list, &waiting->node);
}

/* Not all may be asked for at once. */
void
wa_waiting_again(WaSender *sender, WaWaiting *waiting)
{
	insert(&waiting->number->again, waiting);
	waiting->number->n_again++;
	wa_number_stand(waiting->number);
	wa_number_opened(waiting->number);
	wa_sender_track(sender, waiting->message_id, WA_TRACKED_AGAIN, waiting);
}

/*
 * Where a number may send few messages at a time, those that are asked for by id would
 * pass earlier ones of the same recipient that the cursor has yet to read: one that
 * was put back because it could not be sent, or any after a start.
 */
static bool
is_ahead(const WaWaiting *waiting)
{
	const WaNumber *number = waiting->number;

	return waiting->rank > number->cursor_rank ||
		   (waiting->rank == number->cursor_rank && waiting->message_id > number->cursor_id);
}

static void
leave_to_cursor(WaSender *sender, WaWaiting *waiting)
{
	waiting->number->may_have_ready = true;
	wa_sender_untrack(sender, waiting->message_id);
	pfree(waiting);
}

/* With all that waits for the same recipient.  What does so in spite of a lower rank has a higher
 * priority. */
static void
leave_pair_to_cursor(WaSender *sender, WaWaiting *waiting)
{
	WaPair *pair = wa_pair_find(sender, waiting->pair_key);

	leave_to_cursor(sender, waiting);
	if (pair == NULL)
		return;
	for (; pair->n_waiting > 0; pair->n_waiting--, sender->n_waiting--)
	{
		WaWaiting *other = dlist_container(WaWaiting, node, dlist_pop_head_node(&pair->waiting));

		if (is_ahead(other))
			leave_to_cursor(sender, other);
		else
			wa_waiting_again(sender, other);
	}
	wa_pair_rest(sender, pair);
}

int
wa_waiting_ask(WaSender *sender, WaNumber *number, int limit, dlist_head *asked, int64 *ids)
{
	int n = 0;

	while (n < limit && number->n_again > 0)
	{
		WaWaiting *waiting = dlist_container(WaWaiting, node, dlist_pop_head_node(&number->again));

		number->n_again--;
		if (is_ahead(waiting))
		{
			leave_pair_to_cursor(sender, waiting);
			continue;
		}
		dlist_push_tail(asked, &waiting->node);
		wa_sender_track(sender, waiting->message_id, WA_TRACKED_ASKED, waiting);
		ids[n++] = waiting->message_id;
	}
	return n;
}

void
wa_pair_set_aside(WaSender *sender, WaPair *pair, WaNumber *number, int64 message_id, int64 rank)
{
	WaWaiting *waiting = new_waiting(sender, number, pair->key, message_id, rank);

	insert(&pair->waiting, waiting);
	pair->n_waiting++;
	sender->n_waiting++;
	wa_sender_track(sender, message_id, WA_TRACKED_WAITING, waiting);
}

void
wa_waiting_leaves(WaSender *sender, WaWaiting *waiting)
{
	WaPair *pair = wa_pair_get(sender, waiting->pair_key);

	dlist_delete(&waiting->node);
	if (wa_sender_tracked(sender, waiting->message_id)->as == WA_TRACKED_WAITING)
	{
		pair->n_waiting--;
		sender->n_waiting--;
	}
	else
	{
		waiting->number->n_again--;
		/* Those behind it would wait for what becomes of it here. */
		if (pair->in_flight == 0)
			wa_pair_release_one(sender, pair);
	}
	wa_sender_untrack(sender, waiting->message_id);
	wa_pair_rest(sender, pair);
	pfree(waiting);
}

void
wa_pair_move_waiting(WaPair *from, WaPair *into)
{
	for (; from->n_waiting > 0; from->n_waiting--, into->n_waiting++)
	{
		WaWaiting *waiting = dlist_container(WaWaiting, node, dlist_pop_head_node(&from->waiting));

		waiting->pair_key = into->key;
		insert(&into->waiting, waiting);
	}
}

void
wa_pair_forget_waiting(WaSender *sender, WaPair *pair)
{
	while (pair->n_waiting > 0)
	{
		WaWaiting *waiting = dlist_container(WaWaiting, node, dlist_pop_head_node(&pair->waiting));

		pair->n_waiting--;
		sender->n_waiting--;
		wa_number_lower_cursor(waiting->number, waiting->rank);
		wa_sender_untrack(sender, waiting->message_id);
		pfree(waiting);
	}
}

bool
wa_pair_release_one(WaSender *sender, WaPair *pair)
{
	WaWaiting *waiting;

	if (pair->n_waiting == 0)
		return false;
	waiting = dlist_container(WaWaiting, node, dlist_pop_head_node(&pair->waiting));
	pair->n_waiting--;
	sender->n_waiting--;
	wa_waiting_again(sender, waiting);
	return true;
}

void
wa_pair_came_due(WaSender *sender, WaNumber *number, const char *recipient, int64 message_id,
				 int64 rank)
{
	if (wa_number_is_stopped(number) || number->n_again >= MAX_AGAIN ||
		wa_sender_tracked(sender, message_id) != NULL)
	{
		wa_number_lower_cursor(number, rank);
		return;
	}
	wa_waiting_again(sender,
					 new_waiting(sender, number, wa_pair_key(number, recipient), message_id, rank));
}

static void
forget(WaSender *sender, dlist_head *list)
{
	WaWaiting *waiting = dlist_container(WaWaiting, node, dlist_pop_head_node(list));

	wa_sender_untrack(sender, waiting->message_id);
	pfree(waiting);
}

void
wa_pairs_forget_stopped(WaSender *sender)
{
	HASH_SEQ_STATUS scan;
	WaNumber *number;
	WaPair *pair;

	wa_pairs_scan(sender, &scan);
	while ((pair = hash_seq_search(&scan)) != NULL)
	{
		if (pair->n_waiting == 0)
			continue;
		number = dlist_head_element(WaWaiting, node, &pair->waiting)->number;
		if (!wa_number_is_stopped(number))
			continue;
		wa_number_lower_cursor(number, PG_INT64_MIN);
		for (; pair->n_waiting > 0; pair->n_waiting--, sender->n_waiting--)
			forget(sender, &pair->waiting);
	}

	hash_seq_init(&scan, sender->numbers.table);
	while ((number = hash_seq_search(&scan)) != NULL)
	{
		if (!wa_number_is_stopped(number) || number->n_again == 0)
			continue;
		wa_number_lower_cursor(number, PG_INT64_MIN);
		for (; number->n_again > 0; number->n_again--)
			forget(sender, &number->again);
	}
}
