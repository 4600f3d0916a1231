/*
 * upkeep_rows.h
 *	  What upkeep asks of the tables, most of it through functions of ours.
 *
 * All need a transaction begun with wa_store_begin, and raise on failure.  They
 * lock the rows that they change, and pass by what somebody else has locked.
 */
#ifndef WA_SENDER_STORE_UPKEEP_ROWS_H
#define WA_SENDER_STORE_UPKEEP_ROWS_H

#include "datatype/timestamp.h"

/* The ids of the numbers that have ready rows, and how many there are. */
extern int wa_store_ready_numbers(const char ***ids);

/*
 * Deletes, of the max messages after this id, what is finished and older than
 * keep_minutes or its tenant's rule says, with everything that belongs to it.
 * Returns the id to go on after, or 0: the rest is too young.
 */
extern int64 wa_store_delete_old(int64 after_id, int keep_minutes, int max);

/* Does a step of an erasure, of so many rows.  False: there is nothing that can be done now. */
extern bool wa_store_erase(int max);

/*
 * Looks at max held rows with this reason after this id, and releases those that
 * nothing holds any more.  Returns the id to go on after, or PG_INT64_MIN at the end.
 */
extern int64 wa_store_release_stale_holds(const char *reason, int64 after_id, int max);

/* Both say whether they have done anything, and when something is next to be done. */
extern bool wa_store_end_pauses(TimestampTz *next_end);
extern bool wa_store_begin_quiet_hours(TimestampTz *next_begin);

/* Ends the account's pause, if an error response by Meta has set it. */
extern void wa_store_lift_account_pause(void);

/* Tries again what webhooks said of messages that were not known then. */
extern void wa_store_rematch(void);

/* Puts right what contradicts itself: see wa_internal_reconcile. */
extern void wa_store_reconcile(void);

#endif
