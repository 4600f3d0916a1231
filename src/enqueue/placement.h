/*
 * placement.h
 *	  The state, hold reason and due time of a row of the queue.
 */
#ifndef WA_ENQUEUE_PLACEMENT_H
#define WA_ENQUEUE_PLACEMENT_H

#include "datatype/timestamp.h"
#include "utils/date.h"

/* What decides about a message that is to wait, or may go. */
typedef struct WaPlacementFacts
{
	bool has_number;	/* it has a number to leave from */
	bool awaits_upload; /* it sends a file that Meta does not have yet */
	bool attempted;		/* it has been tried before */
	int priority;
	TimestampTz due_at; /* scheduled, or meant for its next attempt */

	/* the quiet hours of its tenant */
	bool has_quiet_hours;
	TimeADT quiet_from;
	TimeADT quiet_to;
	const text *time_zone; /* NULL: log_timezone */
} WaPlacementFacts;

typedef struct WaPlacement
{
	char state;				 /* WA_QUEUE_READY, WA_QUEUE_DEFERRED or WA_QUEUE_HELD */
	const char *hold_reason; /* NULL if it is ready; static */
	TimestampTz due_at;		 /* not before the due time of the facts */
} WaPlacement;

/* Reads the clock, and nothing else beside the facts.  Never fails. */
extern WaPlacement wa_placement_decide(const WaPlacementFacts *facts);

#endif
