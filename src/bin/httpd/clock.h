/*
 * clock.h
 *	  The time in microseconds, which a test can move and stop.
 */
#ifndef HTTPD_CLOCK_H
#define HTTPD_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* The monotonic clock, and the time of day since the epoch. */
extern int64_t httpd_now_us(void);
extern int64_t httpd_wall_us(void);

/*
 * Both clocks can be moved forward, by tests of what happens a day later, and
 * stopped, by tests that must not depend on the speed of the machine.
 */
extern void httpd_clock_advance(int64_t us);
extern void httpd_clock_stop(bool stop);
extern bool httpd_clock_is_stopped(void);

#endif
