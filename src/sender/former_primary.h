/*
 * former_primary.h
 *	  Asking the server that this one followed whether it still runs.
 */
#ifndef WA_SENDER_FORMER_PRIMARY_H
#define WA_SENDER_FORMER_PRIMARY_H

#include "access/xlogdefs.h"

/*
 * Outside of a transaction: whether the server at primary_conninfo is a primary
 * of this cluster on the timeline "before", or an earlier one.  False if it
 * cannot be reached within some seconds, which is as long as this may take.
 * Raises nothing.
 */
extern bool wa_former_primary_runs(TimeLineID before);

#endif
