/*
 * limiter.h
 *	  Token buckets with adaptive rates.  Pure: the caller gives the time.
 *
 * Times are microseconds of any steady clock.
 */
#ifndef WA_LIMITER_H
#define WA_LIMITER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct WaBucket
{
	double rate;	/* tokens per second now */
	double allowed; /* tokens per second at best */
	double burst;	/* depth */
	double tokens;	/* may go below zero through debits */
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

#endif
