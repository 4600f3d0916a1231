/*
 * firing.h
 *	  One call of the trigger.
 */
#ifndef WA_NOTIFY_FIRING_H
#define WA_NOTIFY_FIRING_H

#include "notify/plan.h"

typedef struct WaNotifyFiring
{
	FunctionCallInfo fcinfo;
	TriggerData *trigger;
	WaNotifyPlan *plan;
	bool is_update;
	WaNotifyRows rows; /* in the shape of the table, also if it is a partition's */
	int64 message_id;  /* what was sent; 0 if nothing was to be sent */
} WaNotifyFiring;

#endif
