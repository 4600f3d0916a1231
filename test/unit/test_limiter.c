/*
 * Token buckets under a clock of our own.
 */
#include "wa_c.h"

#include <math.h>

#include "common/limiter.h"
#include "tap.h"

#define SECOND INT64_C(1000000)

static bool
near(double a, double b)
{
	return fabs(a - b) < 1e-3;
}

/*
 * Takes whatever is there, each millisecond, and counts it.
 */
static int
drain(WaBucket *b, int64_t from_us, int64_t to_us)
{
	int taken = 0;

	for (int64_t now = from_us; now < to_us; now += 1000)
	{
		int n = wa_bucket_available(b, now);

		wa_bucket_take(b, n, now);
		taken += n;
	}
	return taken;
}

static void
test_basics(void)
{
	WaBucket b;
	int64_t ready;

	wa_bucket_init(&b, 80, 10, 5 * SECOND);
	is_int(wa_bucket_available(&b, 5 * SECOND), 10, "a new bucket is full");
	wa_bucket_take(&b, 10, 5 * SECOND);
	is_int(wa_bucket_available(&b, 5 * SECOND), 0, "and then empty");
	is_int(wa_bucket_available(&b, 5 * SECOND + 12499), 0, "a token takes 12.5 ms");
	is_int(wa_bucket_available(&b, 5 * SECOND + 12500), 1, "and no longer");
	is_int(wa_bucket_available(&b, 100 * SECOND), 10, "never fuller than its depth");

	wa_bucket_take(&b, 10, 100 * SECOND);
	ready = wa_bucket_ready_at(&b, 4, 100 * SECOND);
	is_int(ready, 100 * SECOND + 50000, "four tokens are ready in 50 ms");
	is_int(wa_bucket_available(&b, ready - 1), 3, "not before");
	is_int(wa_bucket_available(&b, ready), 4, "but then");
	is_int(wa_bucket_ready_at(&b, 4, ready), ready, "what is there is ready now");
	is_int(wa_bucket_ready_at(&b, 1e9, ready), wa_bucket_ready_at(&b, 10, ready),
		   "more than the depth is as good as the depth");

	wa_bucket_take(&b, 44, ready);
	is_int(wa_bucket_available(&b, ready), 0, "a debit may overdraw");
	is_int(wa_bucket_ready_at(&b, 1, ready), ready + 41 * SECOND / 80, "and is paid off first");

	wa_bucket_init(&b, 80, 10, 0);
	is_int(drain(&b, 0, 10 * SECOND), 10 + 800 - 1, "ten seconds give ten seconds' worth");
}

static void
test_pair(void)
{
	WaBucket b;

	/* the pair limit: one in six seconds, 45 at once */
	wa_bucket_init(&b, 1.0 / 6.0, 45, 0);
	is_int(wa_bucket_available(&b, 0), 45, "a burst of 45");
	wa_bucket_take(&b, 45, 0);
	is_int(wa_bucket_ready_at(&b, 1, 0), 6 * SECOND, "then one in six seconds");
	is_int(wa_bucket_available(&b, 120 * SECOND), 20, "twenty take two minutes");
	is_int(wa_bucket_available(&b, 6 * 45 * SECOND), 45, "all of them four and a half");
}

static void
test_throttled(void)
{
	WaBucket b;
	int64_t now = 0;

	wa_bucket_init(&b, 80, 80, now);
	wa_bucket_throttled(&b, 2 * SECOND, now);
	ok(near(b.rate, 40), "a refusal halves the rate");
	is_int(wa_bucket_available(&b, now), 0, "and empties the bucket");
	is_int(wa_bucket_available(&b, now + 2 * SECOND), 0, "nothing during the wait");
	is_int(wa_bucket_ready_at(&b, 1, now), now + 2 * SECOND + 25000, "then at half the rate");

	/* thirty more of the same burst: one signal, not thirty-one */
	for (int i = 0; i < 30; i++)
		wa_bucket_throttled(&b, 2 * SECOND, now + i * 1000);
	ok(near(b.rate, 40), "refusals that come together count once");
	ok(wa_bucket_ready_at(&b, 1, now) > now + 2 * SECOND + 25000, "but each prolongs the wait");

	now = 3 * SECOND;
	wa_bucket_throttled(&b, 0, now);
	ok(near(b.rate, 20), "a later one halves it again");
	for (int i = 0; i < 50; i++)
		wa_bucket_throttled(&b, 0, now += 2 * SECOND);
	ok(near(b.rate, 5), "never below a sixteenth");
	is_int(wa_bucket_ready_at(&b, 1, now), now + SECOND / 5, "which still moves");

	/* quiet: no growth for three seconds, then a tenth of 80 each second */
	wa_bucket_available(&b, now + 3 * SECOND);
	ok(near(b.rate, 5), "no growth during the quiet time");
	wa_bucket_available(&b, now + 4 * SECOND);
	ok(near(b.rate, 13), "then eight more each second");
	wa_bucket_available(&b, now + 60 * SECOND);
	ok(near(b.rate, 80), "up to what is allowed");
	wa_bucket_available(&b, now + 600 * SECOND);
	ok(near(b.rate, 80), "and no further");

	/* the growth depends on time only, not on how often somebody looks */
	for (int step = 1; step <= 1000; step *= 10)
	{
		wa_bucket_init(&b, 80, 80, 0);
		for (int i = 0; i < 4; i++)
			wa_bucket_throttled(&b, 0, i * 2 * SECOND);
		for (now = 6 * SECOND; now <= 12 * SECOND; now += step * 1000)
			wa_bucket_available(&b, now);
		ok(near(b.rate, 5 + 3 * 8), "the same growth when looked at every %d ms", step);
	}
}

static void
test_usage(void)
{
	WaBucket b;

	wa_bucket_init(&b, 80, 80, 0);
	wa_bucket_usage(&b, 99.9, 0);
	ok(near(b.rate, 80), "99.9 %%: nothing, keeping to the limit looks like that");
	wa_bucket_usage(&b, -1, 0);
	wa_bucket_usage(&b, NAN, 0);
	ok(near(b.rate, 80), "no sense: nothing");
	wa_bucket_usage(&b, 100, 0);
	ok(near(b.rate, 40), "100 %%: half");
	wa_bucket_usage(&b, 100, 0);
	ok(near(b.rate, 40), "the same again at once: still half");
	is_int(wa_bucket_available(&b, 0), 80, "what is in the bucket stays");
	wa_bucket_usage(&b, 98, 4 * SECOND);
	wa_bucket_available(&b, 8 * SECOND);
	ok(near(b.rate, 40), "no growth while the quota is almost full");
	wa_bucket_available(&b, 10 * SECOND);
	ok(near(b.rate, 48), "then as after a refusal");
}

static void
test_window(void)
{
	WaSlidingWindow w = {0};

	is_int(wa_sliding_window_available(&w, 0) > 1000000, 1, "no limit: everything");
	ok(wa_sliding_window_init(&w, 3, SECOND), "three a second");
	is_int(wa_sliding_window_available(&w, 0), 3, "all three at once");
	wa_sliding_window_take(&w, 2, 0);
	is_int(wa_sliding_window_available(&w, 0), 1, "one is left");
	wa_sliding_window_take(&w, 1, SECOND / 2);
	is_int(wa_sliding_window_available(&w, SECOND - 1), 0,
		   "none until the first two are a second old");
	is_int(wa_sliding_window_ready_at(&w, SECOND / 2), SECOND, "which is when it says");
	is_int(wa_sliding_window_available(&w, SECOND), 2, "then two");
	wa_sliding_window_take(&w, 2, SECOND);
	is_int(wa_sliding_window_available(&w, SECOND + SECOND / 2), 1, "and the third when it is");
	ok(wa_sliding_window_init(&w, 3, SECOND), "set to what it was");
	is_int(wa_sliding_window_available(&w, SECOND), 0, "it forgets nothing");
	ok(wa_sliding_window_init(&w, 0, SECOND), "and can be taken away");
}

/* What has been let through, but has not left yet, counts from when it leaves. */
static void
test_reserved(void)
{
	WaSlidingWindow w = {0};

	ok(wa_sliding_window_init(&w, 3, SECOND), "three a second");
	wa_sliding_window_reserve(&w, 2);
	is_int(wa_sliding_window_available(&w, 10 * SECOND), 1, "what is reserved is nobody else's");
	wa_sliding_window_give_back(&w, 2);
	wa_sliding_window_take(&w, 2, 10 * SECOND);
	is_int(wa_sliding_window_available(&w, 11 * SECOND - 1), 1, "once it has left it counts");
	is_int(wa_sliding_window_available(&w, 11 * SECOND), 3, "for a second from then on");

	wa_sliding_window_reserve(&w, 1);
	wa_sliding_window_give_back(&w, 1);
	is_int(wa_sliding_window_available(&w, 11 * SECOND), 3, "what does not leave counts nothing");

	wa_sliding_window_take(&w, 1, 11 * SECOND);
	wa_sliding_window_reserve(&w, 2);
	is_int(wa_sliding_window_ready_at(&w, 11 * SECOND), 12 * SECOND,
		   "the next one is behind all that is reserved");
	wa_sliding_window_reserve(&w, 1);
	ok(wa_sliding_window_ready_at(&w, 11 * SECOND) == INT64_MAX,
	   "and nobody knows when, if everything is");
	ok(wa_sliding_window_init(&w, 5, SECOND), "another limit");
	is_int(wa_sliding_window_available(&w, 20 * SECOND), 2, "does not forget what is reserved");
	ok(wa_sliding_window_init(&w, 0, SECOND), "and no limit");
	is_int(wa_sliding_window_ready_at(&w, 20 * SECOND), 20 * SECOND, "waits for nothing");
}

static void
test_given_back(void)
{
	WaBucket b;

	wa_bucket_init(&b, 80, 2, 0);
	wa_bucket_take(&b, 2, 0);
	wa_bucket_give_back(&b, 1);
	is_int(wa_bucket_available(&b, 0), 1, "a token that was not used is there again");
	wa_bucket_give_back(&b, 5);
	is_int(wa_bucket_available(&b, 0), 2, "within the depth");
}

static void
test_allowed(void)
{
	WaBucket b;

	wa_bucket_init(&b, 80, 80, 0);
	wa_bucket_set_allowed(&b, 1000, 1000, 0);
	ok(near(b.rate, 1000), "an upgrade counts at once");
	is_int(wa_bucket_available(&b, 0), 80, "but fills nothing");
	wa_bucket_set_allowed(&b, 20, 20, SECOND);
	ok(near(b.rate, 20), "so does the opposite");
	is_int(wa_bucket_available(&b, SECOND), 20, "with the smaller depth");

	wa_bucket_init(&b, 80, 80, 0);
	wa_bucket_throttled(&b, 0, 0);
	wa_bucket_set_allowed(&b, 100, 100, 0);
	ok(near(b.rate, 40), "a slowed bucket grows towards a new limit");
	wa_bucket_set_allowed(&b, 30, 30, 0);
	ok(near(b.rate, 30), "and never exceeds it");
	wa_bucket_throttled(&b, 0, 5 * SECOND);
	wa_bucket_set_allowed(&b, 4800, 4800, 5 * SECOND);
	ok(near(b.rate, 300), "nor stays below its floor");
}

int
main(void)
{
	test_basics();
	test_pair();
	test_throttled();
	test_usage();
	test_window();
	test_reserved();
	test_given_back();
	test_allowed();
	return done_testing();
}
