/*
 * limiter.c
 *	  Token buckets whose rate follows what the peer bears.
 *
 * A bucket fills at "rate" up to "burst" and may be overdrawn by debits that
 * nobody could refuse (inbound traffic).  The rate is adaptive in the manner
 * of TCP: a refusal halves it, quiet time gives it back step by step, so that
 * several senders that share one limit find their share without talking.
 *
 * updated_us is the time for which "tokens" is true.  It lies in the future
 * while the peer has asked us to wait: until then nothing is added.
 */
#include "wa_c.h"

#include <limits.h>
#include <math.h>

#include "common/limiter.h"

#define US_PER_SECOND 1000000.0

/* A rate is never cut below this part of what is allowed. */
#define FLOOR_SHARE (1.0 / 16.0)

/* Growth per second after the quiet time, as a share of what is allowed. */
#define GROWTH_SHARE 0.1

/* No growth for this long after a refusal, counted from the end of its wait. */
#define QUIET_US INT64_C(3000000)

/*
 * Refusals come in groups, one for each request that was on the wire.  They
 * are one signal and cut the rate once.
 */
#define ONE_CUT_PER_US INT64_C(1000000)

/* Usage headers lag behind by minutes: their cuts last longer. */
#define USAGE_QUIET_US INT64_C(5000000)
#define USAGE_NEAR 98.0
#define USAGE_FULL 100.0

/* Tokens that rounding may have eaten. */
#define EPSILON 1e-6

/*
 * Brings tokens, and then the rate, up to now.
 *
 * The time since the last call is credited at the old rate although the rate
 * may have grown meanwhile: callers come often while it matters, and the
 * error is on the slow side.
 */
static void
refill(WaBucket *b, int64_t now_us)
{
	int64_t since = b->updated_us;

	if (now_us <= since)
		return;
	b->tokens = fmin(b->burst, b->tokens + b->rate * ((now_us - since) / US_PER_SECOND));
	b->updated_us = now_us;

	if (b->rate < b->allowed && now_us > b->grow_after_us)
	{
		int64_t from = since > b->grow_after_us ? since : b->grow_after_us;

		b->rate = fmin(b->allowed,
					   b->rate + b->allowed * GROWTH_SHARE * ((now_us - from) / US_PER_SECOND));
	}
}

static void
limit_rate(WaBucket *b, double rate)
{
	b->rate = fmin(b->rate, fmax(rate, b->allowed * FLOOR_SHARE));
}

static void
no_growth_before(WaBucket *b, int64_t time_us)
{
	if (b->grow_after_us < time_us)
		b->grow_after_us = time_us;
}

/*
 * A full bucket.  rate and burst are greater than zero.
 */
void
wa_bucket_init(WaBucket *b, double rate, double burst, int64_t now_us)
{
	memset(b, 0, sizeof(*b));
	b->rate = rate;
	b->allowed = rate;
	b->burst = burst;
	b->tokens = burst;
	b->updated_us = now_us;
	b->grow_after_us = now_us;
	b->next_cut_us = now_us;
}

/*
 * The operator or the synchronisation has learnt another limit.  A bucket
 * that was not slowed down takes it at once; one that was, grows towards it.
 */
void
wa_bucket_set_allowed(WaBucket *b, double rate, double burst, int64_t now_us)
{
	bool at_full_rate;

	if (rate == b->allowed && burst == b->burst)
		return;
	refill(b, now_us);
	at_full_rate = b->rate >= b->allowed;
	b->allowed = rate;
	b->rate = at_full_rate ? rate : fmax(fmin(b->rate, rate), rate * FLOOR_SHARE);
	b->burst = burst;
	b->tokens = fmin(b->tokens, burst);
}

int
wa_bucket_available(WaBucket *b, int64_t now_us)
{
	refill(b, now_us);
	if (now_us < b->updated_us || b->tokens < 1.0 - EPSILON)
		return 0;
	return (int) fmin(floor(b->tokens + EPSILON), (double) INT_MAX);
}

void
wa_bucket_take(WaBucket *b, double n, int64_t now_us)
{
	refill(b, now_us);
	b->tokens -= n;
}

/* What was taken and not used. */
void
wa_bucket_give_back(WaBucket *b, double n)
{
	b->tokens = fmin(b->burst, b->tokens + n);
}

/*
 * Rounded up to the next microsecond, so that whoever wakes then finds them.
 * More than the bucket's depth is never there: n is cut to it.
 */
int64_t
wa_bucket_ready_at(WaBucket *b, double n, int64_t now_us)
{
	double missing;

	refill(b, now_us);
	missing = fmin(n, b->burst) - b->tokens;
	if (missing <= EPSILON)
		return now_us > b->updated_us ? now_us : b->updated_us;
	return b->updated_us + (int64_t) ceil(missing / b->rate * US_PER_SECOND);
}

void
wa_bucket_throttled(WaBucket *b, int64_t wait_us, int64_t now_us)
{
	refill(b, now_us);
	if (now_us >= b->next_cut_us)
	{
		limit_rate(b, b->rate / 2.0);
		b->next_cut_us = now_us + (wait_us > ONE_CUT_PER_US ? wait_us : ONE_CUT_PER_US);
	}
	b->tokens = fmin(b->tokens, 0.0);
	if (wait_us > 0 && b->updated_us < now_us + wait_us)
		b->updated_us = now_us + wait_us;
	no_growth_before(b, b->updated_us + QUIET_US);
}

/*
 * The peer's own count.  A sender that keeps to the rate it is allowed stands
 * just below 100 all the time, so only a full quota slows it down (somebody else
 * uses it too), and an almost full one keeps it from growing.
 */
void
wa_bucket_usage(WaBucket *b, double percent, int64_t now_us)
{
	if (!(percent >= USAGE_NEAR))
		return;
	refill(b, now_us);
	if (percent >= USAGE_FULL && now_us >= b->next_cut_us)
	{
		limit_rate(b, b->rate / 2.0);
		b->next_cut_us = now_us + ONE_CUT_PER_US;
	}
	no_growth_before(b, now_us + USAGE_QUIET_US);
}

bool
wa_sliding_window_init(WaSlidingWindow *w, int limit, int64_t length_us)
{
	int64_t *times = NULL;

	if (limit == w->limit && length_us == w->length_us)
		return true;
	if (limit > 0)
	{
		times = malloc(sizeof(int64_t) * limit);
		if (times == NULL)
			return false;
		for (int i = 0; i < limit; i++)
			times[i] = INT64_MIN / 2;
	}
	free(w->times);
	w->times = times;
	w->limit = limit;
	w->length_us = length_us;
	w->oldest = 0;
	return true;
}

int
wa_sliding_window_available(const WaSlidingWindow *w, int64_t now_us)
{
	int n = 0;

	while (n < w->limit && w->times[(w->oldest + n) % w->limit] <= now_us - w->length_us)
		n++;
	if (w->limit == 0)
		return INT_MAX;
	return n > w->reserved ? n - w->reserved : 0;
}

void
wa_sliding_window_take(WaSlidingWindow *w, int n, int64_t now_us)
{
	int64_t newest;

	if (w->limit == 0)
		return;
	/* They stay in order, also where one is told of late. */
	newest = w->times[(w->oldest + w->limit - 1) % w->limit];
	if (now_us < newest)
		now_us = newest;
	for (int i = 0; i < n; i++)
	{
		w->times[w->oldest] = now_us;
		w->oldest = (w->oldest + 1) % w->limit;
	}
}

void
wa_sliding_window_reserve(WaSlidingWindow *w, int n)
{
	w->reserved += n;
}

void
wa_sliding_window_give_back(WaSlidingWindow *w, int n)
{
	w->reserved -= n;
}

int64_t
wa_sliding_window_ready_at(const WaSlidingWindow *w, int64_t now_us)
{
	int64_t at;

	if (w->limit == 0)
		return now_us;
	if (w->reserved >= w->limit)
		return INT64_MAX;
	at = w->times[(w->oldest + w->reserved) % w->limit] + w->length_us;
	return at > now_us ? at : now_us;
}
