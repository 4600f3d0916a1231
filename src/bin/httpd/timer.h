/*
 * timer.h
 *	  Timers in a heap; the owner embeds the struct, so nothing is allocated.
 */
#ifndef HTTPD_TIMER_H
#define HTTPD_TIMER_H

#include <stddef.h>
#include <stdint.h>

typedef struct HttpdTimer
{
	int64_t due_us; /* on the scale of httpd_now_us() */
	size_t slot;	/* position in the heap, from 1; 0: not set */
	void (*fire)(void *arg);
	void *arg;
} HttpdTimer;

/* Sets, or moves, a timer; it fires once.  Its struct must stay until then. */
extern void httpd_timer_set(HttpdTimer *timer, int64_t due_us, void (*fire)(void *arg), void *arg);
extern void httpd_timer_cancel(HttpdTimer *timer);

/* Milliseconds to the next one, rounded up; -1 if there is none. */
extern int httpd_timer_wait_ms(void);

/* Fires all that are due. */
extern void httpd_timer_run(void);

#endif
