/*
 * begun.c
 *	  Requests that have begun to leave, until somebody asks.
 *
 * A request that is submitted may wait: for a name, a connection, a handshake.
 * Whoever has to know when it left (a rate limit counts from there) would learn
 * that from its result only, which may take as long as the request.
 *
 * Linked through the requests, like the lists of states, but apart from them: a
 * request begins in the midst of libcurl, when the list of those that it has is
 * being walked.
 */
#include <stddef.h>

#include "http/begun.h"

void
wa_begun_add(WaBegunList *list, WaBegun *begun)
{
	if (begun->is_news)
		return;
	begun->is_news = true;
	begun->next = NULL;
	begun->prev = list->tail;
	if (list->tail != NULL)
		list->tail->next = begun;
	else
		list->head = begun;
	list->tail = begun;
}

void
wa_begun_remove(WaBegunList *list, WaBegun *begun)
{
	if (!begun->is_news)
		return;
	begun->is_news = false;
	if (begun->prev != NULL)
		begun->prev->next = begun->next;
	else
		list->head = begun->next;
	if (begun->next != NULL)
		begun->next->prev = begun->prev;
	else
		list->tail = begun->prev;
	begun->next = begun->prev = NULL;
}
