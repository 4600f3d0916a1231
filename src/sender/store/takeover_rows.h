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
	int64 through;		 /* messages up to this id came by replication */
	TimestampTz at;		 /* when this server took over */
	TimestampTz since;	 /* what the former primary did later is not known here; 0: nobody knows */
	TransactionId first; /* everything that is older than this transaction came by replication */
	int64 *prepared;	 /* sorted: what transactions have written that were prepared there */
	int n_prepared;
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

/*
 * Notes since, first and prepared; and through, by the first id of our own, if that is
 * known (else 0).
 */
extern void wa_store_begin_takeover(const WaTakeover *takeover, int64 first_own_id);

/* All that was visible is held.  What was prepared has its own end. */
extern void wa_store_end_takeover(void);
extern void wa_store_note_prepared(const int64 *ids, int n);

/* Of these messages those that the former primary may have sent; sorted. */
extern int wa_store_taken_over(const WaTakeover *takeover, const int64 *ids, int n, int64 **held);

/*
 * Locks what may have been sent of a page; rows that somebody else has locked are passed
 * by, and *passed_by set to the first of them.  *after: the last that was looked at.
 * *more: there are further messages to look at.
 */
extern int wa_store_lock_taken_over(const WaTakeover *takeover, int limit, int64 *after,
									int64 *passed_by, bool *more, WaTakeoverRow **rows);

/* The same for those of these messages, sorted, which are all looked at. */
extern int wa_store_lock_these_taken_over(const WaTakeover *takeover, const int64 *ids, int n,
										  int64 *passed_by, WaTakeoverRow **rows);

#endif
