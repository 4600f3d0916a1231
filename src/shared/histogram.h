/*
 * histogram.h
 *	  Durations counted by size, in shared memory.
 *
 * One process writes, anybody reads.  A reader may find the newest duration in the
 * counts and not in the sum, or the reverse.
 */
#ifndef WA_SHARED_HISTOGRAM_H
#define WA_SHARED_HISTOGRAM_H

#include "port/atomics.h"

#define WA_HISTOGRAM_BUCKETS 14 /* the last has no upper bound */

typedef struct WaHistogram
{
	pg_atomic_uint64 counts[WA_HISTOGRAM_BUCKETS]; /* each of its bucket alone */
	pg_atomic_uint64 sum_us;
} WaHistogram;

/* Upper bounds of the buckets, inclusive, but for the last. */
extern const int64 wa_histogram_bounds_us[WA_HISTOGRAM_BUCKETS - 1];

extern void wa_histogram_init(WaHistogram *histogram);

/* Less than nothing, as where a clock was set back, counts as nothing. */
extern void wa_histogram_observe(WaHistogram *histogram, int64 duration_us);

#endif
