/*
 * loop.h
 *	  The one wait of the program: descriptors, timers, signals.
 */
#ifndef HTTPD_LOOP_H
#define HTTPD_LOOP_H

#include <stdint.h>

/*
 * Called when fd has one of the events.  A descriptor that was closed and opened
 * again within a round may get an event of the old one, so read and write
 * without blocking, and expect EAGAIN.
 */
typedef void (*HttpdWatcher)(int fd, uint32_t events, void *arg);

/* Called for a signal, in the loop and not in a signal handler. */
typedef void (*HttpdSignalHandler)(int signo, void *arg);

/* Before any other call.  Ignores SIGPIPE. */
extern void httpd_loop_init(void);

/* Waits and calls, until httpd_loop_stop(), which may be called at any time. */
extern void httpd_loop_run(void);
extern void httpd_loop_stop(void);

/* Watches fd for these epoll events; a second call changes events and watcher. */
extern void httpd_loop_watch(int fd, uint32_t events, HttpdWatcher watcher, void *arg);

/* Allowed also after fd was closed, and for one that is not watched. */
extern void httpd_loop_unwatch(int fd);

/* Blocks the signal from now on and calls handler instead.  Before threads start. */
extern void httpd_loop_on_signal(int signo, HttpdSignalHandler handler, void *arg);

/*
 * Something that runs in every round of the loop, in the order of registration.
 * run is called after events and timers; wait_ms before the wait, and returns
 * its longest duration, -1 being for ever.  Either may be NULL.  The struct is
 * the caller's and must stay.
 */
typedef struct HttpdTurn
{
	int (*wait_ms)(void *arg);
	void (*run)(void *arg);
	void *arg;
	struct HttpdTurn *next;
} HttpdTurn;

extern void httpd_loop_add_turn(HttpdTurn *turn);

#endif
