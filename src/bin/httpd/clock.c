/*
 * clock.c
 *	  The time in microseconds, which a test can move and stop.
 */
#include "bin/httpd/clock.h"

#include <time.h>

static int64_t clock_offset_us;
static int64_t stopped_at_us; /* of the steady clock; 0: it runs */

static int64_t
clock_us(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
httpd_now_us(void)
{
	return (stopped_at_us != 0 ? stopped_at_us : clock_us(CLOCK_MONOTONIC)) + clock_offset_us;
}

int64_t
httpd_wall_us(void)
{
	int64_t lag_us = stopped_at_us != 0 ? clock_us(CLOCK_MONOTONIC) - stopped_at_us : 0;

	return clock_us(CLOCK_REALTIME) - lag_us + clock_offset_us;
}

void
httpd_clock_advance(int64_t us)
{
	clock_offset_us += us;
}

/* A clock that is started again continues from where it stopped. */
void
httpd_clock_stop(bool stop)
{
	if (stop && stopped_at_us == 0)
		stopped_at_us = clock_us(CLOCK_MONOTONIC);
	else if (!stop && stopped_at_us != 0)
	{
		clock_offset_us -= clock_us(CLOCK_MONOTONIC) - stopped_at_us;
		stopped_at_us = 0;
	}
}

bool
httpd_clock_is_stopped(void)
{
	return stopped_at_us != 0;
}
