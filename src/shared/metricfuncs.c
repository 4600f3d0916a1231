/*
 * metricfuncs.c
 *	  SQL functions through which wa_metrics() and wa_health() read what the senders have counted
 *and measured, all senders of the current database together.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/timestamp.h"

#include "shared/shmem.h"

PG_FUNCTION_INFO_V1(wa_internal_histograms);
PG_FUNCTION_INFO_V1(wa_internal_throttled);
PG_FUNCTION_INFO_V1(wa_internal_clock);

typedef struct Durations
{
	uint64 counts[WA_HISTOGRAM_BUCKETS];
	uint64 sum_us;
} Durations;

typedef struct Totals
{
	Durations request_duration;
	Durations commit_to_wire;
	uint64 throttled[WA_THROTTLES];
} Totals;

static void
add_durations(Durations *total, WaHistogram *histogram)
{
	for (int i = 0; i < WA_HISTOGRAM_BUCKETS; i++)
		total->counts[i] += pg_atomic_read_u64(&histogram->counts[i]);
	total->sum_us += pg_atomic_read_u64(&histogram->sum_us);
}

/* False where the library is not preloaded: there is nothing to read. */
static bool
add_up(Totals *totals)
{
	memset(totals, 0, sizeof(Totals));
	if (wa_shared == NULL)
		return false;
	LWLockAcquire(wa_shared->lock, LW_SHARED);
	for (int i = 0; i < WA_MAX_SENDERS; i++)
	{
		WaSenderSlot *slot = &wa_shared->slots[i];

		if (!slot->in_use || slot->dboid != MyDatabaseId)
			continue;
		add_durations(&totals->request_duration, &slot->counters.request_duration);
		add_durations(&totals->commit_to_wire, &slot->counters.commit_to_wire);
		for (int reason = 0; reason < WA_THROTTLES; reason++)
			totals->throttled[reason] += pg_atomic_read_u64(&slot->counters.throttled[reason]);
	}
	LWLockRelease(wa_shared->lock);
	return true;
}

/* One row for each bucket: how many durations there were up to its bound. */
static void
put(ReturnSetInfo *rsinfo, const char *name, const Durations *durations)
{
	uint64 so_far = 0;

	for (int i = 0; i < WA_HISTOGRAM_BUCKETS; i++)
	{
		double bound =
			i < WA_HISTOGRAM_BUCKETS - 1 ? wa_histogram_bounds_us[i] / 1e6 : get_float8_infinity();
		bool nulls[4] = {false};
		Datum values[4];

		so_far += durations->counts[i];
		values[0] = CStringGetTextDatum(name);
		values[1] = Float8GetDatum(bound);
		values[2] = Int64GetDatum((int64) so_far);
		values[3] = Float8GetDatum(durations->sum_us / 1e6);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

Datum
wa_internal_histograms(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Totals totals;

	InitMaterializedSRF(fcinfo, 0);
	if (!add_up(&totals))
		return (Datum) 0;
	put(rsinfo, "request_duration", &totals.request_duration);
	put(rsinfo, "commit_to_wire", &totals.commit_to_wire);
	return (Datum) 0;
}

Datum
wa_internal_throttled(PG_FUNCTION_ARGS)
{
	static const char *const reasons[WA_THROTTLES] = {[WA_THROTTLE_NUMBER] = "number_rate",
													  [WA_THROTTLE_PAIR] = "pair_rate",
													  [WA_THROTTLE_OTHER] = "other"};
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Totals totals;

	InitMaterializedSRF(fcinfo, 0);
	if (!add_up(&totals))
		return (Datum) 0;
	for (int reason = 0; reason < WA_THROTTLES; reason++)
	{
		Datum values[] = {CStringGetTextDatum(reasons[reason]),
						  Int64GetDatum((int64) totals.throttled[reason])};
		bool nulls[] = {false, false};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * How far this server's clock is ahead of Meta's, in seconds (negative: behind), by the
 * response that a sender has looked at last, and when that was; NULLs: by none yet.
 */
Datum
wa_internal_clock(PG_FUNCTION_ARGS)
{
	uint64 seen_at = 0;
	int64 ahead = 0;
	TupleDesc desc;
	Datum values[2];
	bool nulls[2];

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (wa_shared != NULL)
	{
		LWLockAcquire(wa_shared->lock, LW_SHARED);
		for (int i = 0; i < WA_MAX_SENDERS; i++)
		{
			WaSenderSlot *slot = &wa_shared->slots[i];
			uint64 at;

			if (!slot->in_use || slot->dboid != MyDatabaseId)
				continue;
			at = pg_atomic_read_u64(&slot->counters.clock_seen_at);
			if (at <= seen_at)
				continue;
			seen_at = at;
			ahead = (int64) pg_atomic_read_u64(&slot->counters.clock_ahead);
		}
		LWLockRelease(wa_shared->lock);
	}
	nulls[0] = nulls[1] = seen_at == 0;
	values[0] = Float8GetDatum(ahead / 1e6);
	values[1] = TimestampTzGetDatum((TimestampTz) seen_at);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}
