/*
 * now.h
 *	  The clock of the http files: monotonic, in microseconds.
 */
#ifndef WA_HTTP_NOW_H
#define WA_HTTP_NOW_H

#include <stdint.h>
#include <time.h>

static inline int64_t
wa_http_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

#endif
