/*
 * lag.c
 *	  A listening socket whose connections wait before anybody serves them.
 *
 * A process between client and server would do the same, but what passes through
 * it arrives when that process has its turn.  Here only the beginning waits: to
 * the client this is a long handshake, and what it sends afterwards is not touched.
 */
#include "bin/httpd/lag.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bin/httpd/clock.h"
#include "bin/httpd/list.h"
#include "bin/httpd/loop.h"
#include "bin/httpd/timer.h"
#include "bin/httpd/util.h"

typedef struct Lag
{
	HttpdLink link;
	int64_t us;
	HttpdLagServe serve;
	void *arg;
} Lag;

typedef struct Waiting
{
	HttpdLink link;
	HttpdTimer timer;
	const Lag *lag;
	int fd;
	struct sockaddr_storage peer;
	socklen_t len;
} Waiting;

static HttpdLink all_lags = HTTPD_LIST_EMPTY(all_lags);
static HttpdLink all_waiting = HTTPD_LIST_EMPTY(all_waiting);

static void
waited(void *arg)
{
	Waiting *waiting = arg;
	const Lag *lag = waiting->lag;

	lag->serve(lag->arg, waiting->fd, (const struct sockaddr *) &waiting->peer, waiting->len);
	httpd_list_remove(&waiting->link);
	free(waiting);
}

static void
accept_all(int listening, uint32_t events, void *arg)
{
	const Lag *lag = arg;
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	int fd;

	while ((fd = accept4(listening, (struct sockaddr *) &peer, &len,
						 SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
	{
		Waiting *waiting = httpd_alloc0(sizeof(Waiting));

		waiting->lag = lag;
		waiting->fd = fd;
		waiting->peer = peer;
		waiting->len = len;
		httpd_list_push(&all_waiting, &waiting->link);
		httpd_timer_set(&waiting->timer, httpd_now_us() + lag->us, waited, waiting);
		len = sizeof(peer);
	}
}

void
httpd_lag_watch(int listening, int64_t lag_us, HttpdLagServe serve, void *arg)
{
	Lag *lag = httpd_alloc0(sizeof(Lag));

	*lag = (Lag){.us = lag_us, .serve = serve, .arg = arg};
	httpd_list_push(&all_lags, &lag->link);
	httpd_loop_watch(listening, EPOLLIN, accept_all, lag);
}

void
httpd_lag_stop(void)
{
	while (!httpd_list_is_empty(&all_waiting))
	{
		Waiting *waiting = HTTPD_ELEMENT(Waiting, link, all_waiting.next);

		httpd_timer_cancel(&waiting->timer);
		close(waiting->fd);
		httpd_list_remove(&waiting->link);
		free(waiting);
	}
	while (!httpd_list_is_empty(&all_lags))
	{
		Lag *lag = HTTPD_ELEMENT(Lag, link, all_lags.next);

		httpd_list_remove(&lag->link);
		free(lag);
	}
}
