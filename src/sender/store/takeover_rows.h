/*
 * takeover_rows.h
 *	  What a promoted server holds back because the former primary may have sent it.
 *
 * All need a transaction begun with wa_store_begin, and raise on failure.
 */
#ifndef WA_SENDER_STORE_TAKEOVER_ROWS_H
#define WA_SENDER_STORE_TAKEOVER_ROWS_H

#include "datatype/timestamp.h"

/* Of the last promotion.  through is 0 when all of it has been looked through. */
typedef struct WaTakeover
{
	int64 through;	   /* messages up to this id came by replication */
	TimestampTz at;	   /* when this server took over */
	TimestampTz since; /* what the former primary did later is not known here; 0: nobody knows */
} WaTakeover;

typedef struct WaTakeoverRow
{
	int64 message_id;
	const char *phone_number_id; /* NULL: none */
	int attempts;
} WaTakeoverRow;

/* Does this home stand for an installation whose requests wait for a standby? */
extern bool wa_store_read_takeover(WaTakeover *takeover);

/* Notes that they do, or do not, from now on. */
extern void wa_store_note_synchronous(bool synchronous);

/* Everything that is older than this transaction came by replication; 0: all that is there. */
extern void wa_store_begin_takeover(TimestampTz since, TransactionId first_own);
extern void wa_store_end_takeover(void);

/*
 * Locks what may have been sent among the next "limit" messages after *after, which
 * moves on; rows that somebody else has locked are passed by, and *passed_by set to
 * the first of them.  *more: there are further messages to look at.
 */
extern int wa_store_lock_taken_over(const WaTakeover *takeover, int limit, int64 *after,
									int64 *passed_by, bool *more, WaTakeoverRow **rows);

#endif
