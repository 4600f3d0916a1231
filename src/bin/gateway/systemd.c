/*
 * systemd.c
 *	  What systemd and a service tell each other: sockets, readiness, the watchdog.
 */
#include "bin/gateway/systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "bin/httpd/clock.h"
#include "bin/httpd/timer.h"
#include "bin/httpd/util.h"

/* The first one that is passed; more than a gateway has listeners is a mistake. */
#define FIRST_FD 3
#define MAX_FDS 8

static struct
{
	int fd; /* -1: taken */
	char name[64];
} sockets[MAX_FDS];
static int nsockets = -1; /* not looked at yet */

/*
 * Sockets
 */

/* The environment is for this process only, so what it says is checked and then removed. */
static void
look_at_environment(void)
{
	const char *pid_text = getenv("LISTEN_PID");
	const char *fds_text = getenv("LISTEN_FDS");
	const char *name = getenv("LISTEN_FDNAMES");
	int64_t pid;
	int64_t fds;

	nsockets = 0;
	if (pid_text == NULL || fds_text == NULL || !httpd_parse_int(pid_text, 1, INT32_MAX, &pid) ||
		pid != getpid())
		return;
	if (!httpd_parse_int(fds_text, 0, MAX_FDS, &fds))
		httpd_die("LISTEN_FDS is \"%s\", not a number up to %d", fds_text, MAX_FDS);
	for (; nsockets < fds; nsockets++)
	{
		size_t len = name != NULL ? strcspn(name, ":") : 0;
		int fd = FIRST_FD + nsockets;

		if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
			httpd_die("descriptor %d, which LISTEN_FDS counts: %s", fd, strerror(errno));
		sockets[nsockets].fd = fd;
		snprintf(sockets[nsockets].name, sizeof(sockets[nsockets].name), "%.*s", (int) len,
				 name != NULL ? name : "");
		if (name != NULL)
			name += name[len] == ':' ? len + 1 : len;
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

/* name NULL: any. */
static int
take(const char *name, const char **taken)
{
	if (nsockets < 0)
		look_at_environment();
	for (int i = 0; i < nsockets; i++)
	{
		int fd = sockets[i].fd;

		if (fd < 0 || (name != NULL && strcmp(sockets[i].name, name) != 0))
			continue;
		sockets[i].fd = -1;
		*taken = sockets[i].name;
		return fd;
	}
	return -1;
}

int
gw_systemd_take_socket(const char *name)
{
	const char *taken;

	return take(name, &taken);
}

int
gw_systemd_take_any_socket(const char **name)
{
	return take(NULL, name);
}

/*
 * Messages
 */

/* Whether it arrives is systemd's matter: there is nothing to be done about it. */
static void
notify(const char *message)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t len = path != NULL ? strlen(path) : 0;
	int fd;

	if (len < 2 || len >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(address.sun_path, path, len);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	(void) sendto(fd, message, strlen(message), MSG_NOSIGNAL, (const struct sockaddr *) &address,
				  (socklen_t) (offsetof(struct sockaddr_un, sun_path) + len));
	close(fd);
}

static void
notify_status(const char *state, const char *status)
{
	char message[400];

	snprintf(message, sizeof(message), "%s\nSTATUS=%s", state, status);
	notify(message);
}

void
gw_systemd_ready(const char *status)
{
	notify_status("READY=1", status);
}

void
gw_systemd_stopping(const char *status)
{
	notify_status("STOPPING=1", status);
}

/* The time is what tells this reload from an earlier one (Type=notify-reload). */
void
gw_systemd_reloading(void)
{
	struct timespec now;
	char message[80];

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(message, sizeof(message), "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
			 (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000);
	notify(message);
}

/*
 * The watchdog
 */

static HttpdTimer timer;
static int64_t interval_us;

static void
ping(void *arg)
{
	notify("WATCHDOG=1");
	httpd_timer_set(&timer, httpd_now_us() + interval_us, ping, NULL);
}

void
gw_systemd_start_watchdog(void)
{
	const char *usec_text = getenv("WATCHDOG_USEC");
	const char *pid_text = getenv("WATCHDOG_PID");
	int64_t usec;
	int64_t pid;

	if (usec_text == NULL || !httpd_parse_int(usec_text, 1, INT64_MAX, &usec))
		return;
	if (pid_text != NULL && (!httpd_parse_int(pid_text, 1, INT32_MAX, &pid) || pid != getpid()))
		return;
	interval_us = usec / 2;
	ping(NULL);
}
