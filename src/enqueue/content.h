/*
 * content.h
 *	  The content of messages other than templates, held against Meta's limits.
 */
#ifndef WA_ENQUEUE_CONTENT_H
#define WA_ENQUEUE_CONTENT_H

#include "utils/jsonb.h"

/*
 * Checks the object that is to stand under the key "type".  Types that this
 * version does not know are only limited in size.
 */
extern void wa_content_check(const char *type, Jsonb *payload);

/* The size alone, of any content. */
extern void wa_content_check_size(const Jsonb *payload);

/* enqueue/interactive.c */
extern void wa_interactive_check(const JsonbValue *interactive);

#endif
