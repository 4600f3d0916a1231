/*
 * loop.c
 *	  The one wait of the program: descriptors, timers, signals.
 *
 * Everything that happens, happens in a callback from here, one at a time.
 */
#include "bin/httpd/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "bin/httpd/timer.h"
#include "bin/httpd/util.h"

typedef struct Watch
{
	HttpdWatcher watcher; /* NULL: not watched */
	void *arg;
} Watch;

typedef struct Handler
{
	HttpdSignalHandler handler;
	void *arg;
} Handler;

#define MAX_EVENTS 64

static int epoll_fd;
static bool stopped;
static HttpdTurn *turns;

/* By descriptor, so that an event of one just closed finds nobody. */
static Watch *watches;
static int nwatches;

static sigset_t signals;
static int signal_fd = -1;
static Handler handlers[NSIG];

/*
 * Descriptors
 */

/*
 * Libraries close descriptors without telling us, which takes them out of
 * epoll, and get the same number back: libpq when it connects again, say.  So
 * what we know of a descriptor is only the first guess.
 */
static bool
set_events(int fd, uint32_t events, bool known)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	if (epoll_ctl(epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) == 0)
		return true;
	if (known && errno == ENOENT)
		return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
	if (!known && errno == EEXIST)
		return epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0;
	return false;
}

void
httpd_loop_watch(int fd, uint32_t events, HttpdWatcher watcher, void *arg)
{
	bool known = fd < nwatches && watches[fd].watcher != NULL;

	if (fd >= nwatches)
	{
		int size = fd + 64;

		watches = httpd_realloc(watches, (size_t) size * sizeof(Watch));
		memset(watches + nwatches, 0, (size_t) (size - nwatches) * sizeof(Watch));
		nwatches = size;
	}
	watches[fd] = (Watch){watcher, arg};
	if (!set_events(fd, events, known))
		httpd_die("could not watch a descriptor: %s", strerror(errno));
}

void
httpd_loop_unwatch(int fd)
{
	if (fd >= nwatches || watches[fd].watcher == NULL)
		return;
	watches[fd].watcher = NULL;

	/* It may be closed already, which takes it out by itself. */
	(void) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

/*
 * Signals
 */

static void
signal_came(int fd, uint32_t events, void *arg)
{
	struct signalfd_siginfo info;

	while (read(fd, &info, sizeof(info)) == (ssize_t) sizeof(info))
	{
		const Handler *handler = &handlers[info.ssi_signo];

		handler->handler((int) info.ssi_signo, handler->arg);
	}
}

void
httpd_loop_on_signal(int signo, HttpdSignalHandler handler, void *arg)
{
	handlers[signo] = (Handler){handler, arg};
	sigaddset(&signals, signo);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal_fd = signalfd(signal_fd, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signal_fd < 0)
		httpd_die("could not watch for signals: %s", strerror(errno));
	httpd_loop_watch(signal_fd, EPOLLIN, signal_came, NULL);
}

/*
 * The loop
 */

void
httpd_loop_init(void)
{
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		httpd_die("could not create an epoll descriptor: %s", strerror(errno));
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
}

void
httpd_loop_add_turn(HttpdTurn *turn)
{
	HttpdTurn **end = &turns;

	while (*end != NULL)
		end = &(*end)->next;
	*end = turn;
}

/* The sooner of two times to wait, -1 being for ever. */
static int
sooner(int a, int b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

static int
time_to_wait_ms(void)
{
	int wait_ms = httpd_timer_wait_ms();

	for (HttpdTurn *turn = turns; turn != NULL; turn = turn->next)
	{
		if (turn->wait_ms != NULL)
			wait_ms = sooner(wait_ms, turn->wait_ms(turn->arg));
	}
	return wait_ms;
}

static void
dispatch(const struct epoll_event *events, int n)
{
	for (int i = 0; i < n; i++)
	{
		Watch *watch = &watches[events[i].data.fd];

		if (watch->watcher != NULL)
			watch->watcher(events[i].data.fd, events[i].events, watch->arg);
	}
}

void
httpd_loop_run(void)
{
	while (!stopped)
	{
		struct epoll_event events[MAX_EVENTS];
		int n = epoll_wait(epoll_fd, events, MAX_EVENTS, time_to_wait_ms());

		if (n < 0 && errno != EINTR)
			httpd_die("could not wait: %s", strerror(errno));
		dispatch(events, n);
		httpd_timer_run();
		for (HttpdTurn *turn = turns; turn != NULL; turn = turn->next)
		{
			if (turn->run != NULL)
				turn->run(turn->arg);
		}
	}
	free(watches);
	watches = NULL;
	nwatches = 0;
}

void
httpd_loop_stop(void)
{
	stopped = true;
}
