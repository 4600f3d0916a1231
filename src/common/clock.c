/*
 * clock.c
 *	  The two clocks that decisions rest on, and the way from one to the other.
 *
 * The wall clock is PostgreSQL's GetCurrentTimestamp(), which is not to be had
 * without a server.
 */
#include "wa_c.h"

#include <sys/time.h>
#include <time.h>

#include "common/clock.h"

/* Between the epochs of Unix and of PostgreSQL. */
#define EPOCH_SECONDS ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)

static int64 set_us; /* 0: not set */
static TimestampTz set_time;

void
wa_clock_set(int64 us, TimestampTz time)
{
	set_us = us;
	set_time = time;
}

int64
wa_now_us(void)
{
	struct timespec now;

	if (set_us != 0)
		return set_us;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * USECS_PER_SEC + now.tv_nsec / 1000;
}

TimestampTz
wa_now(void)
{
	struct timeval now;

	if (set_us != 0)
		return set_time;
	gettimeofday(&now, NULL);
	return ((int64) now.tv_sec - EPOCH_SECONDS) * USECS_PER_SEC + now.tv_usec;
}

TimestampTz
wa_wall_clock(int64 us)
{
	return wa_now() + (us - wa_now_us());
}

int64
wa_steady_clock(TimestampTz time)
{
	return wa_now_us() + (time - wa_now());
}
