/*
 * loop.h
 *	  The one wait of the program: descriptors, timers, signals.
 */
#ifndef HTTPD_LOOP_H
#define HTTPD_LOOP_H

#include <stdint.h>

typedef void (*SimWatcher)(int fd, uint32_t events, void *arg);

/* Ends with sim_loop_run() when SIGTERM, SIGINT or SIGHUP comes. */
extern void sim_loop_init(void);
extern void sim_loop_run(void);

/* Calls watcher when fd has one of the epoll events; a second call changes them. */
extern void sim_loop_watch(int fd, uint32_t events, SimWatcher watcher, void *arg);
extern void sim_loop_unwatch(int fd);

#endif
