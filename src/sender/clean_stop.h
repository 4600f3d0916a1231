/*
 * clean_stop.h
 *	  Whether the primary that this server followed was shut down in good order.
 */
#ifndef WA_SENDER_CLEAN_STOP_H
#define WA_SENDER_CLEAN_STOP_H

#include "access/xlogdefs.h"

/*
 * In a transaction: whether the last that this server has replayed of timeline
 * "before" was the end of a clean shutdown, so that nothing is missing.  False
 * where that cannot be read.
 */
extern bool wa_stopped_cleanly(TimeLineID before);

#endif
