/*
 * listener.c
 *	  The ports, and libmicrohttpd behind them.
 *
 * libmicrohttpd gives us an epoll descriptor per port and runs when we tell it
 * to, in our thread: no locks anywhere.
 */
#include "bin/httpd/listener.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bin/httpd/loop.h"
#include "bin/httpd/request.h"
#include "bin/simulator/settings.h"
#include "bin/httpd/tls.h"
#include "bin/httpd/util.h"

#define SIM_LISTENERS 2

/*
 * Room for a request's head and the read buffer.  The library clears it before
 * every request, so more would cost time.
 */
#define CONNECTION_MEMORY 12288

static struct MHD_Daemon *daemons[SIM_LISTENERS];
static bool ready[SIM_LISTENERS]; /* has something to read */

static int
bound_socket(const char *host, const char *port, const char *address)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	struct addrinfo *found;
	int one = 1;
	int error = getaddrinfo(host, port, &hints, &found);
	int fd;

	if (error != 0)
		sim_die("cannot listen on \"%s\": %s", address, gai_strerror(error));
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		sim_die("could not create a socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, 4096) != 0)
		sim_die("could not listen on \"%s\": %s", address, strerror(errno));
	freeaddrinfo(found);
	return fd;
}

/* Listens on HOST:PORT; shown gets the same with the port that it became. */
static int
listen_on(const char *address, char *shown, size_t size)
{
	const char *colon = strrchr(address, ':');
	char host[256];
	char port[16];
	struct sockaddr_storage bound;
	socklen_t len = sizeof(bound);
	int fd;

	if (colon == NULL || (size_t) (colon - address) >= sizeof(host))
		sim_die("\"%s\" is not HOST:PORT", address);
	snprintf(host, sizeof(host), "%.*s", (int) (colon - address), address);
	if (host[0] == '[' && host[strlen(host) - 1] == ']')
	{
		host[strlen(host) - 1] = '\0';
		memmove(host, host + 1, strlen(host));
	}
	fd = bound_socket(host, colon + 1, address);
	getsockname(fd, (struct sockaddr *) &bound, &len);
	getnameinfo((struct sockaddr *) &bound, len, host, sizeof(host), port, sizeof(port),
				NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(shown, size, strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s", host, port);
	return fd;
}

static void
log_library_message(void *cls, const char *format, va_list args)
{
	/* Cut connections make it complain; that is what they are for. */
}

/* The connection callback's argument: rules apply to the connections of which. */
static struct MHD_Daemon *
start_daemon(int fd, bool tls, bool with_rules)
{
	unsigned int flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
	struct MHD_OptionItem options[3] = {{MHD_OPTION_END, 0, NULL}};

	if (tls)
	{
		flags |= MHD_USE_TLS;
		options[0] =
			(struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, (void *) sim_tls_certificate()};
		options[1] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, (void *) sim_tls_key()};
		options[2] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
	}
	return MHD_start_daemon(
		flags, 0, NULL, NULL, sim_server_access, NULL, MHD_OPTION_EXTERNAL_LOGGER,
		log_library_message, NULL, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) CONNECTION_MEMORY,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned int) sim_settings.max_connections, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned int) sim_settings.idle_timeout_s, MHD_OPTION_NOTIFY_COMPLETED,
		sim_server_completed, NULL, MHD_OPTION_NOTIFY_CONNECTION, sim_server_connection,
		with_rules ? &sim_settings : NULL, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}

static void
port_ready(int fd, uint32_t events, void *arg)
{
	*(bool *) arg = true;
}

static void
open_port(int which, const char *address, bool tls, bool with_rules, char *shown, size_t size)
{
	int fd = listen_on(address, shown, size);
	const union MHD_DaemonInfo *info;

	daemons[which] = start_daemon(fd, tls, with_rules);
	if (daemons[which] == NULL)
		sim_die("could not start the HTTP server%s",
				tls ? " (are certificate and key right?)" : "");
	info = MHD_get_daemon_info(daemons[which], MHD_DAEMON_INFO_EPOLL_FD);
	if (info == NULL || info->epoll_fd < 0)
		sim_die("this libmicrohttpd cannot use epoll");
	sim_loop_watch(info->epoll_fd, EPOLLIN, port_ready, &ready[which]);
}

void
sim_listener_start(void)
{
	char shown[300];
	char control[300];

	if (sim_settings.tls)
		sim_tls_prepare();
	open_port(0, sim_settings.listen, sim_settings.tls, true, shown, sizeof(shown));
	open_port(1, sim_settings.control, false, false, control, sizeof(control));
	if (sim_settings.tls)
		printf("ca file %s\n", sim_tls_ca_file());
	printf("control on http://%s\n", control);
	printf("listening on %s://%s\n", sim_settings.tls ? "https" : "http", shown);
	fflush(stdout);
}

int
sim_listener_wait_ms(void)
{
	int wait_ms = -1;

	for (int i = 0; i < SIM_LISTENERS; i++)
	{
		MHD_UNSIGNED_LONG_LONG timeout;

		if (MHD_get_timeout(daemons[i], &timeout) != MHD_YES)
			continue;
		if (timeout > 60000)
			timeout = 60000;
		if (wait_ms < 0 || (int) timeout < wait_ms)
			wait_ms = (int) timeout;
	}
	return wait_ms;
}

/* A turn for each port where something has come, or a time is over. */
static void
run_ready(void)
{
	for (int i = 0; i < SIM_LISTENERS; i++)
	{
		MHD_UNSIGNED_LONG_LONG timeout;

		if (!ready[i] && (MHD_get_timeout(daemons[i], &timeout) != MHD_YES || timeout > 0))
			continue;
		ready[i] = false;
		MHD_run(daemons[i]);
	}
}

void
sim_listener_run(void)
{
	run_ready();
	while (sim_server_take_resumed())
	{
		for (int i = 0; i < SIM_LISTENERS; i++)
			MHD_run(daemons[i]);
	}
}

void
sim_listener_stop(void)
{
	/* The library demands that nothing is suspended when it stops. */
	sim_server_drop_waiting();
	sim_server_take_resumed();
	for (int i = 0; i < SIM_LISTENERS; i++)
		MHD_run(daemons[i]);
	for (int i = 0; i < SIM_LISTENERS; i++)
		MHD_stop_daemon(daemons[i]);
	sim_tls_cleanup();
}
