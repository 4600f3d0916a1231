/*
 * histogram.c
 *	  Durations counted by size, in shared memory.
 *
 * The bounds reach from what a simulator on the same machine takes to the longest
 * that a request may: whoever watches wants to see which digit changes, not a third
 * decimal.
 */
#include "postgres.h"

#include "shared/histogram.h"

const int64 wa_histogram_bounds_us[WA_HISTOGRAM_BUCKETS - 1] = {
	2500,	5000,	 10000,	  25000,   50000,	 100000,  250000,
	500000, 1000000, 2500000, 5000000, 10000000, 30000000};

void
wa_histogram_init(WaHistogram *histogram)
{
	for (int i = 0; i < WA_HISTOGRAM_BUCKETS; i++)
		pg_atomic_init_u64(&histogram->counts[i], 0);
	pg_atomic_init_u64(&histogram->sum_us, 0);
}

/* Nobody else adds, so reading and writing need not be one step. */
static void
add(pg_atomic_uint64 *to, uint64 n)
{
	pg_atomic_write_u64(to, pg_atomic_read_u64(to) + n);
}

void
wa_histogram_observe(WaHistogram *histogram, int64 duration_us)
{
	int i = 0;

	while (i < WA_HISTOGRAM_BUCKETS - 1 && duration_us > wa_histogram_bounds_us[i])
		i++;
	add(&histogram->counts[i], 1);
	add(&histogram->sum_us, (uint64) Max(duration_us, 0));
}
