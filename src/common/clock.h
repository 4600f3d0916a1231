/*
 * clock.h
 *	  The two clocks that decisions rest on, and the way from one to the other.
 *
 * The steady clock counts microseconds from some moment and never jumps: rates,
 * delays and everything else that stays in this process.  The wall clock is a
 * TimestampTz: what is written into a table, or was read from one.
 *
 * A test sets both; nothing else does.
 */
#ifndef WA_COMMON_CLOCK_H
#define WA_COMMON_CLOCK_H

#include "datatype/timestamp.h"

/* Now, by the steady clock and by the wall clock. */
extern int64 wa_now_us(void);
extern TimestampTz wa_now(void);

/* The same moment by the other clock, as the two stand to each other now. */
extern TimestampTz wa_wall_clock(int64 us);
extern int64 wa_steady_clock(TimestampTz time);

/* For tests: from here on it is this moment, until the next call; us 0: the real one. */
extern void wa_clock_set(int64 us, TimestampTz time);

#endif
