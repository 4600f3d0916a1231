/*
 * listener.h
 *	  The ports: one to play on, and one for control that no rule disturbs.
 */
#ifndef HTTPD_LISTENER_H
#define HTTPD_LISTENER_H

/* Opens them and prints where they are: "listening on URL" comes last. */
extern void sim_listener_start(void);
extern void sim_listener_stop(void);

/* For the main loop: how long to wait at most, and a turn. */
extern int sim_listener_wait_ms(void);
extern void sim_listener_run(void);

#endif
