/*
 * plan.h
 *	  What a session knows of the notifications that have fired in it.
 */
#ifndef WA_NOTIFY_PLAN_H
#define WA_NOTIFY_PLAN_H

#include "access/tupconvert.h"
#include "commands/trigger.h"
#include "nodes/bitmapset.h"

#include "notify/notify.h"
#include "notify/scope.h"

extern const char *const wa_notify_part_names[WA_NOTIFY_PARTS];

typedef struct WaNotifyPlan
{
	const WaNotification *registered; /* NULL: there is no such row */

	/* the table */
	Oid relid;
	Oid owner;
	WaNotifyScope scope;
	Bitmapset *key_columns; /* of the primary key; NULL if there is none */

	/* what is computed */
	List *values; /* of WaNotifyValue */
	SPIPlanPtr plan;
	Oid enqueue_function;

	/* private to notify/plan.c */
	MemoryContext context;
	bool valid;
	bool abandoned; /* another one has taken its place */
	int users;
	Oid partition;
	TupleConversionMap *from_partition;
} WaNotifyPlan;

/*
 * The notification of the trigger that fires; valid until wa_notify_release().
 */
extern WaNotifyPlan *wa_notify_find(FunctionCallInfo fcinfo, TriggerData *trigger);
extern void wa_notify_release(WaNotifyPlan *plan);

/* Makes its expressions ready to be computed, as the role in force. */
extern void wa_notify_compile(WaNotifyPlan *plan);

/* A row of the table or a partition, in the shape of the table's rows. */
extern HeapTuple wa_notify_convert_row(WaNotifyPlan *plan, Relation rel, HeapTuple row);

#endif
