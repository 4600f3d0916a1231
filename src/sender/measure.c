/*
 * measure.c
 *	  What a sender counts of its requests for whoever watches it.
 *
 * wa_stats() and wa_metrics() show it.  Nothing here decides anything.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "common/clock.h"
#include "http/date.h"
#include "sender/measure.h"
#include "shared/shmem.h"

#define CLOCK_INTERVAL_US INT64_C(60000000)

/*
 * Of first attempts only: a later one waits for reasons of its own.  A message is due
 * when it was written, or when it was meant for; its COMMIT may be later.
 */
void
wa_measure_left(WaSender *sender, const WaJob *job, int64 begun_us)
{
	if (job->attempts_before == 0)
		wa_histogram_observe(&sender->slot->counters.commit_to_wire,
							 wa_wall_clock(begun_us) - job->due_at);
}

void
wa_measure_ended(WaSender *sender, int64 begun_us, int64 ended_us)
{
	if (begun_us != 0)
		wa_histogram_observe(&sender->slot->counters.request_duration, ended_us - begun_us);
}

/*
 * A Date header has whole seconds, and was written at some time between the first byte
 * of the request and the end of the response.  Only what cannot be explained by that
 * counts, so a slow response never looks like a wrong clock.
 */
void
wa_measure_clock(WaSender *sender, const WaHttpResult *result)
{
	static int64 next_us;
	WaSenderCounters *counters = &sender->slot->counters;
	int64 seconds;
	TimestampTz date;
	int64 ahead;
	int64 behind;

	if (result->finished_us < next_us || result->begun_us == 0 || result->date[0] == '\0')
		return;
	seconds = wa_http_date(result->date);
	if (seconds < 0)
		return;
	next_us = result->finished_us + CLOCK_INTERVAL_US;
	date = time_t_to_timestamptz((pg_time_t) seconds);
	ahead = wa_wall_clock(result->begun_us) - (date + USECS_PER_SEC);
	behind = date - wa_wall_clock(result->finished_us);
	pg_atomic_write_u64(&counters->clock_ahead,
						(uint64) (behind > 0 ? -behind : Max(ahead, INT64CONST(0))));
	pg_atomic_write_u64(&counters->clock_seen_at, (uint64) wa_wall_clock(result->finished_us));
}

static WaThrottle
throttle_of(const WaDisposition *disposition)
{
	if (disposition->reason != NULL && strcmp(disposition->reason, "number_rate") == 0)
		return WA_THROTTLE_NUMBER;
	if (disposition->reason != NULL && strcmp(disposition->reason, "pair_rate") == 0)
		return WA_THROTTLE_PAIR;
	return WA_THROTTLE_OTHER;
}

void
wa_measure_settled(WaSender *sender, const WaJob *job, const WaDisposition *disposition)
{
	WaSenderCounters *counters = &sender->slot->counters;

	if (disposition->state == 'a')
		pg_atomic_fetch_add_u64(&counters->accepted, 1);
	else if (disposition->state == 'u')
		pg_atomic_fetch_add_u64(&counters->uncertain, 1);
	else if (disposition->state == 0)
		pg_atomic_fetch_add_u64(&counters->failed, 1);
	else if (disposition->attempts == job->attempt)
		pg_atomic_fetch_add_u64(&counters->retried, 1);
	else if (!job->withdrawn)
		pg_atomic_fetch_add_u64(&counters->throttled[throttle_of(disposition)], 1);
}
