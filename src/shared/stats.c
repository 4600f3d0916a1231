/*
 * stats.c
 *	  wa_stats(): the senders' counters, read from shared memory.
 *
 * The senders count with atomics and never wait for a reader, so the columns
 * of a row may be a moment apart.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "shared/shmem.h"

#define STATS_COLUMNS 16

PG_FUNCTION_INFO_V1(wa_stats);

/* What is guarded by the lock, copied while it is held. */
typedef struct SenderView
{
	int slotno;
	int index;
	int nsenders;
	pid_t pid;
	TimestampTz attached_at;
	NameData dbname;
} SenderView;

static int
copy_views(SenderView *views)
{
	int count = 0;

	LWLockAcquire(wa_shared->lock, LW_SHARED);
	for (int i = 0; i < WA_MAX_SENDERS; i++)
	{
		WaSenderSlot *slot = &wa_shared->slots[i];

		if (!slot->in_use || slot->dboid != MyDatabaseId)
			continue;
		views[count].slotno = i;
		views[count].index = slot->index;
		views[count].nsenders = slot->nsenders;
		views[count].pid = slot->pid;
		views[count].attached_at = slot->attached_at;
		namestrcpy(&views[count].dbname, slot->dbname);
		count++;
	}
	LWLockRelease(wa_shared->lock);
	return count;
}

static Datum
counter(pg_atomic_uint64 *value)
{
	return Int64GetDatum((int64) pg_atomic_read_u64(value));
}

/*
 * One row for each sender of the current database, also for one that is not
 * running just now.  No row if the library is not preloaded.
 */
Datum
wa_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	SenderView views[WA_MAX_SENDERS];
	int count;

	InitMaterializedSRF(fcinfo, 0);
	count = wa_shared ? copy_views(views) : 0;

	for (int i = 0; i < count; i++)
	{
		WaSenderCounters *c = &wa_shared->slots[views[i].slotno].counters;
		TimestampTz last_cycle_at = (TimestampTz) pg_atomic_read_u64(&c->last_cycle_at);
		Datum values[STATS_COLUMNS];
		bool nulls[STATS_COLUMNS] = {false};
		int n = 0;

		values[n++] = NameGetDatum(&views[i].dbname);
		values[n++] = Int32GetDatum(views[i].index);
		values[n++] = Int32GetDatum(views[i].nsenders);
		nulls[n] = views[i].pid == 0;
		values[n++] = Int32GetDatum(views[i].pid);
		nulls[n] = views[i].pid == 0;
		values[n++] = TimestampTzGetDatum(views[i].attached_at);
		values[n++] = counter(&c->requests);
		values[n++] = counter(&c->accepted);
		values[n++] = counter(&c->failed);
		values[n++] = counter(&c->retried);
		values[n++] = counter(&c->throttled);
		values[n++] = counter(&c->uncertain);
		values[n++] = counter(&c->cycles);
		values[n++] = counter(&c->errors);
		values[n++] = Int32GetDatum((int32) pg_atomic_read_u32(&c->in_flight));
		values[n++] = Int32GetDatum((int32) pg_atomic_read_u32(&c->connections));
		nulls[n] = last_cycle_at == 0;
		values[n++] = TimestampTzGetDatum(last_cycle_at);
		Assert(n == STATS_COLUMNS);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
