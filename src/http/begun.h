/*
 * begun.h
 *	  Requests that have begun to leave, until somebody asks.
 *
 * Internal to the http files.
 */
#ifndef WA_HTTP_BEGUN_H
#define WA_HTTP_BEGUN_H

#include <stdbool.h>

/* In each request; zeroed but for its owner: not in the list. */
typedef struct WaBegun
{
	struct WaBegun *next;
	struct WaBegun *prev;
	bool is_news;
	void *owner; /* the request */
} WaBegun;

typedef struct WaBegunList
{
	WaBegun *head; /* the first to begin */
	WaBegun *tail;
} WaBegunList;

/* From within libcurl's callbacks: cannot fail. */
extern void wa_begun_add(WaBegunList *list, WaBegun *begun);

/* No more news of this one; does nothing if there is none. */
extern void wa_begun_remove(WaBegunList *list, WaBegun *begun);

#endif
