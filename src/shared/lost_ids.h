/*
 * lost_ids.h
 *	  Ids of messages that were lost with a former primary.
 */
#ifndef WA_SHARED_LOST_IDS_H
#define WA_SHARED_LOST_IDS_H

#include "c.h"

/*
 * In a transaction that is about to give an id to a message, as the owner of the tables:
 * sees to it that it is none of those.  Does something once after a promotion.
 */
extern void wa_lost_ids_leave_out(Oid schema);

/*
 * The first that was left out: all that came by replication have lower ids, and all that
 * were written here higher ones.  0: nobody knows.
 */
extern int64 wa_lost_ids_first(void);

#endif
