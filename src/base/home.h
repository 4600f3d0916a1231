/*
 * home.h
 *	  What tells this data directory from its copies, and whether it has
 *	  followed another one by streaming replication.
 */
#ifndef WA_BASE_HOME_H
#define WA_BASE_HOME_H

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"

typedef struct WaPromotion
{
	TimeLineID before;			/* the timeline that it has left */
	TimestampTz replayed_until; /* by the clock of the primary that it followed; 0: not known */
} WaPromotion;

/*
 * Notes that this server streams, and has replayed this timeline; after recovery,
 * up to which time: the server itself does not know that any more when it has been
 * restarted.
 */
extern void wa_home_note_streaming(TimeLineID timeline, TimestampTz replayed_until);

/* After recovery: whether this server was promoted from a standby that has streamed. */
extern bool wa_home_was_promoted(WaPromotion *promotion);

#endif
