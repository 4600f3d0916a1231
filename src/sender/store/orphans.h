/*
 * orphans.h
 *	  Rows of the queue whose messages are gone.
 *
 * A DELETE on whatsapp_messages takes their queue rows along (sql/35-queue.sql); but
 * not where triggers are switched off, or somebody has the row locked.  Nothing can be
 * sent of what is left, and it would stand in the way of what can.
 *
 * All need a transaction begun with wa_store_begin, and raise on failure.  What
 * somebody else has locked is passed by.
 */
#ifndef WA_SENDER_STORE_ORPHANS_H
#define WA_SENDER_STORE_ORPHANS_H

#include "datatype/timestamp.h"

/* Removes those of these rows that have no message. */
extern void wa_store_remove_orphans(const int64 *ids, int n);

/* The same of rows, at most so many, that wait for a time that has come. */
extern void wa_store_remove_due_orphans(TimestampTz now, int max);

/*
 * The same of the next max rows after this id, whatever they wait for.  Returns the
 * id to go on after, or PG_INT64_MIN at the end.
 */
extern int64 wa_store_look_for_orphans(int64 after_id, int max);

/*
 * What was removed is to be told, apart from the removal: the alert may be locked,
 * and a claim must not fail for that.
 */
extern bool wa_store_orphans_to_report(void);
extern void wa_store_report_orphans(void);

#endif
