/*
 * queue_state.h
 *	  The words that a row of whatsapp_queue is described with. Pure.
 *
 * state is one letter, for the rows are many and thin.  Each has its name here,
 * as C writes it and as the text of a statement does; sql/35-queue.sql names
 * them for SQL.
 */
#ifndef WA_COMMON_QUEUE_STATE_H
#define WA_COMMON_QUEUE_STATE_H

#define WA_QUEUE_READY 'r'	   /* a claim may take it */
#define WA_QUEUE_DEFERRED 'd'  /* waits until due_at */
#define WA_QUEUE_HELD 'h'	   /* waits for an event */
#define WA_QUEUE_UNCERTAIN 'u' /* may have been sent; the policy decides at due_at */

/* Not in the table: where a disposition has this for a state, the row goes. */
#define WA_QUEUE_GONE '\0'

#define WA_SQL_READY "'r'::pg_catalog.\"char\""
#define WA_SQL_DEFERRED "'d'::pg_catalog.\"char\""
#define WA_SQL_HELD "'h'::pg_catalog.\"char\""
#define WA_SQL_UNCERTAIN "'u'::pg_catalog.\"char\""

/* What waits for its due_at: the predicate of whatsapp_queue_due_idx. */
#define WA_SQL_WAITS_FOR_TIME(column)                                                              \
	column " OPERATOR(pg_catalog.=) ANY (ARRAY[" WA_SQL_DEFERRED ", " WA_SQL_UNCERTAIN "])"

/* Priorities from here on are sent in quiet hours, too. */
#define WA_PRIORITY_URGENT 100

#endif
