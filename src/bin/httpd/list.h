/*
 * list.h
 *	  A doubly linked list whose links are members of its elements.
 *
 * Nothing is allocated, and an element is taken out without its list at hand.
 */
#ifndef HTTPD_LIST_H
#define HTTPD_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* An element's link, all zeroes while it is in no list; or a list's head. */
typedef struct HttpdLink
{
	struct HttpdLink *prev;
	struct HttpdLink *next;
} HttpdLink;

/* static HttpdLink waiting = HTTPD_LIST_EMPTY(waiting); */
#define HTTPD_LIST_EMPTY(head)                                                                     \
	{                                                                                              \
		&(head), &(head)                                                                           \
	}

/* The element of this type that has link as the member of this name. */
#define HTTPD_ELEMENT(type, member, link) ((type *) ((char *) (link) -offsetof(type, member)))

static inline bool
httpd_list_is_empty(const HttpdLink *head)
{
	return head->next == head;
}

/* Puts an element, which must be in no list, in front. */
static inline void
httpd_list_push(HttpdLink *head, HttpdLink *link)
{
	link->prev = head;
	link->next = head->next;
	head->next->prev = link;
	head->next = link;
}

/* Does nothing to an element that is in no list. */
static inline void
httpd_list_remove(HttpdLink *link)
{
	if (link->next == NULL)
		return;
	link->prev->next = link->next;
	link->next->prev = link->prev;
	link->prev = link->next = NULL;
}

#endif
