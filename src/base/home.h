/*
 * home.h
 *	  What tells this data directory from its copies, and whether it has
 *	  followed another one by streaming replication.
 */
#ifndef WA_BASE_HOME_H
#define WA_BASE_HOME_H

#include "access/xlogdefs.h"

/* In recovery: notes that this server streams, and has replayed this timeline. */
extern void wa_home_note_streaming(TimeLineID timeline);

/*
 * After recovery: whether this server was promoted from a standby that has
 * streamed.  *before is the timeline that it has left.
 */
extern bool wa_home_was_promoted(TimeLineID *before);

#endif
