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

#include "bin/simulator/journal.h"
#include "bin/httpd/listener.h"
#include "bin/httpd/timer.h"
#include "bin/httpd/util.h"

typedef struct Watch
{
	SimWatcher watcher; /* NULL: not watched */
	void *arg;
} Watch;

#define MAX_EVENTS 64

static int epoll_fd;
static bool ended;

/* By descriptor, so that an event of one just closed finds nobody. */
static Watch *watches;
static int nwatches;

void
sim_loop_watch(int fd, uint32_t events, SimWatcher watcher, void *arg)
{
	struct epoll_event event = {.events = events, .data.fd = fd};
	bool known = fd < nwatches && watches[fd].watcher != NULL;

	if (fd >= nwatches)
	{
		int size = fd + 64;

		watches = sim_realloc(watches, (size_t) size * sizeof(Watch));
		memset(watches + nwatches, 0, (size_t) (size - nwatches) * sizeof(Watch));
		nwatches = size;
	}
	watches[fd] = (Watch){watcher, arg};
	if (epoll_ctl(epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0)
		sim_die("could not watch a descriptor: %s", strerror(errno));
}

void
sim_loop_unwatch(int fd)
{
	if (fd >= nwatches || watches[fd].watcher == NULL)
		return;
	watches[fd].watcher = NULL;

	/* It may be closed already, which takes it out by itself. */
	(void) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static void
signal_came(int fd, uint32_t events, void *arg)
{
	ended = true;
}

static void
watch_signals(void)
{
	sigset_t set;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0)
		sim_die("could not watch for signals: %s", strerror(errno));
	sim_loop_watch(fd, EPOLLIN, signal_came, NULL);
}

void
sim_loop_init(void)
{
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		sim_die("could not create an epoll descriptor: %s", strerror(errno));
	watch_signals();
}

/* The sooner of two times to wait, -1 being for ever. */
static int
sooner(int a, int b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

void
sim_loop_run(void)
{
	while (!ended)
	{
		struct epoll_event events[MAX_EVENTS];
		int n;

		sim_journal_flush();
		n = epoll_wait(epoll_fd, events, MAX_EVENTS,
					   sooner(sim_listener_wait_ms(), sim_timer_wait_ms()));
		if (n < 0 && errno != EINTR)
			sim_die("could not wait: %s", strerror(errno));
		for (int i = 0; i < n; i++)
		{
			Watch *watch = &watches[events[i].data.fd];

			if (watch->watcher != NULL)
				watch->watcher(events[i].data.fd, events[i].events, watch->arg);
		}
		sim_timer_run();
		sim_listener_run();
	}
	free(watches);
	watches = NULL;
	nwatches = 0;
}
