/*
 * list.c
 *	  Transfers by state: each is in the list of its own.
 *
 * Linked through the transfers themselves, so that a change of state cannot
 * fail and takes no time, however many are under way.
 */
#include "http/list.h"

/*
 * Puts a transfer that is in no list at the end of one.
 */
void
wa_transfer_list_append(WaTransferList *lists, WaTransfer *t, WaTransferState state)
{
	WaTransferList *list = &lists[state];

	t->state = state;
	t->next = NULL;
	t->prev = list->tail;
	if (list->tail != NULL)
		list->tail->next = t;
	else
		list->head = t;
	list->tail = t;
	list->count++;
}

void
wa_transfer_list_remove(WaTransferList *lists, WaTransfer *t)
{
	WaTransferList *list = &lists[t->state];

	if (t->prev != NULL)
		t->prev->next = t->next;
	else
		list->head = t->next;
	if (t->next != NULL)
		t->next->prev = t->prev;
	else
		list->tail = t->prev;
	list->count--;
	t->next = t->prev = NULL;
}

void
wa_transfer_list_move(WaTransferList *lists, WaTransfer *t, WaTransferState state)
{
	wa_transfer_list_remove(lists, t);
	wa_transfer_list_append(lists, t, state);
}
