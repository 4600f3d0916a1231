/*
 * limiter.h
 *	  Token buckets with adaptive rates.  Pure: the caller gives the time.
 *
 * Times are microseconds of any steady clock.
 */
#ifndef WA_COMMON_LIMITER_H
#define WA_COMMON_LIMITER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct WaBucket
{
	double rate;		   /* tokens per second now */
	double allowed;		   /* tokens per second at best */
	double burst;		   /* depth */
	double tokens;		   /* may go below zero through debits */
	int64_t updated_us;	   /* tokens is true for this time; in the future during a wait */
	int64_t grow_after_us; /* adaptive rate: no growth before */
	int64_t next_cut_us;   /* adaptive rate: no second cut before */
} WaBucket;

extern void wa_bucket_init(WaBucket *b, double rate, double burst, int64_t now_us);
extern void wa_bucket_set_allowed(WaBucket *b, double rate, double burst, int64_t now_us);

/* Whole tokens that can be taken now. */
extern int wa_bucket_available(WaBucket *b, int64_t now_us);
extern void wa_bucket_take(WaBucket *b, double n, int64_t now_us);
extern void wa_bucket_give_back(WaBucket *b, double n);

/* When n tokens will be there; now_us if they are. */
extern int64_t wa_bucket_ready_at(WaBucket *b, double n, int64_t now_us);

/* The peer said "too fast" (AIMD): cut the rate, empty the bucket, wait. */
extern void wa_bucket_throttled(WaBucket *b, int64_t wait_us, int64_t now_us);

/* Usage of the quota in per cent, from the peer's headers. */
extern void wa_bucket_usage(WaBucket *b, double percent, int64_t now_us);

/*
 * At most "limit" in any stretch of "length": the times of the last ones, oldest
 * first.  A bucket alone cannot promise that without giving away what it holds,
 * and one that holds little loses a token at every delay of the caller's.
 *
 * What counts is the time at which something leaves, and that may be later than
 * the decision that it shall, by a handshake or more.  So a place is reserved
 * first, and is nobody else's until it is taken or given back.
 * Start with all zero; limit 0 allows everything.
 */
typedef struct WaSlidingWindow
{
	int limit;
	int reserved;
	int oldest; /* index of the oldest time */
	int64_t length_us;
	int64_t *times; /* malloc'd */
} WaSlidingWindow;

/*
 * Sets limit and length; forgets the past if either changes, but not what is
 * reserved.  False: no memory.
 */
extern bool wa_sliding_window_init(WaSlidingWindow *w, int limit, int64_t length_us);

extern int wa_sliding_window_available(const WaSlidingWindow *w, int64_t now_us);
extern void wa_sliding_window_take(WaSlidingWindow *w, int n, int64_t now_us);

extern void wa_sliding_window_reserve(WaSlidingWindow *w, int n);
extern void wa_sliding_window_give_back(WaSlidingWindow *w, int n);

/* INT64_MAX while every place is reserved: nobody knows when they will be taken. */
extern int64_t wa_sliding_window_ready_at(const WaSlidingWindow *w, int64_t now_us);

#endif
