/*
 * lag.h
 *	  A listening socket whose connections wait before anybody serves them, as those
 *	  of a distant host do.
 */
#ifndef HTTPD_LAG_H
#define HTTPD_LAG_H

#include <stdint.h>
#include <sys/socket.h>

/* Serves a connection, whose descriptor becomes the callee's. */
typedef void (*HttpdLagServe)(void *arg, int fd, const struct sockaddr *peer, socklen_t len);

/* Accepts what comes to the listening socket, and gives each to serve lag_us later. */
extern void httpd_lag_watch(int listening, int64_t lag_us, HttpdLagServe serve, void *arg);

/* Closes all that still wait, and watches no more, after httpd_loop_run(). */
extern void httpd_lag_stop(void);

#endif
