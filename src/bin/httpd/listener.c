/*
 * listener.c
 *	  The sockets on which a program serves HTTP, and libmicrohttpd behind them.
 *
 * libmicrohttpd gives us an epoll descriptor per listener and runs when we
 * tell it to, in our thread: no locks anywhere.
 */
#include "bin/httpd/listener.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bin/httpd/connection.h"
#include "bin/httpd/head.h"
#include "bin/httpd/lag.h"
#include "bin/httpd/loop.h"
#include "bin/httpd/request.h"
#include "bin/httpd/util.h"

/*
 * Room for a request's head and the read buffer.  The library clears it before
 * every request, so more would cost time.
 */
#define CONNECTION_MEMORY 12288

/*
 * Beyond 32 kB the library maps it, so that it takes no memory before it is used:
 * a connection on which nothing has come yet costs 0.6 instead of 4.6 kB.  One that
 * has served a request costs all of it.
 */
#define MAPPED_CONNECTION_MEMORY 36864

struct HttpdListener
{
	struct MHD_Daemon *daemon;
	bool ready; /* has something to read */
	char address[300];
	HttpdListener *next;
};

static HttpdListener *listeners;

static void (*drained)(void *arg);
static void *drained_arg;

/*
 * Sockets
 */

static int
bound_socket(const char *host, const char *port, const char *address)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	struct addrinfo *found;
	int one = 1;
	int error = getaddrinfo(host, port, &hints, &found);
	int fd;

	if (error != 0)
		httpd_die("cannot listen on \"%s\": %s", address, gai_strerror(error));
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		httpd_die("could not create a socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, 4096) != 0)
		httpd_die("could not listen on \"%s\": %s", address, strerror(errno));
	freeaddrinfo(found);
	return fd;
}

static int
listen_on(const char *address)
{
	const char *colon = strrchr(address, ':');
	char host[256];

	if (colon == NULL || (size_t) (colon - address) >= sizeof(host))
		httpd_die("\"%s\" is not HOST:PORT", address);
	snprintf(host, sizeof(host), "%.*s", (int) (colon - address), address);
	if (host[0] == '[' && host[strlen(host) - 1] == ']')
	{
		host[strlen(host) - 1] = '\0';
		memmove(host, host + 1, strlen(host));
	}
	return bound_socket(host, colon + 1, address);
}

static void
check_inherited(int fd)
{
	int listening = 0;
	socklen_t len = sizeof(listening);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) != 0)
		httpd_die("descriptor %d cannot be used to listen: %s", fd, strerror(errno));
	if (listening == 0)
		httpd_die("descriptor %d is not a listening socket", fd);
}

static void
describe(int fd, char *out, size_t size)
{
	struct sockaddr_storage bound;
	socklen_t len = sizeof(bound);
	char host[256];
	char port[16];

	if (getsockname(fd, (struct sockaddr *) &bound, &len) != 0 ||
		getnameinfo((struct sockaddr *) &bound, len, host, sizeof(host), port, sizeof(port),
					NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(out, size, "descriptor %d", fd);
	else
		snprintf(out, size, strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s", host, port);
}

/*
 * libmicrohttpd
 */

static void
discard_library_message(void *cls, const char *format, va_list args)
{
	/* It complains of every client that goes away. */
}

static struct MHD_Daemon *
start_daemon(int fd, const HttpdListenerSettings *settings)
{
	unsigned int flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
	struct MHD_OptionItem options[5] = {{MHD_OPTION_END, 0, NULL}};
	int n = 0;

	/* With a lag, it gets connections and not the socket. */
	if (settings->lag_us > 0)
		flags |= MHD_USE_NO_LISTEN_SOCKET;
	else
		options[n++] = (struct MHD_OptionItem){MHD_OPTION_LISTEN_SOCKET, fd, NULL};

#if HTTPD_LIBRARY_IS_STRICT
	options[n++] = (struct MHD_OptionItem){MHD_OPTION_CLIENT_DISCIPLINE_LVL, 1, NULL};
#endif

	if (settings->certificate != NULL)
	{
		flags |= MHD_USE_TLS;
		options[n++] =
			(struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, (void *) settings->certificate};
		options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, (void *) settings->key};
	}
	options[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
	return MHD_start_daemon(
		flags, 0, NULL, NULL, httpd_request_access, (void *) settings->service,
		MHD_OPTION_EXTERNAL_LOGGER, discard_library_message, NULL,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t) (settings->service->max_kept_open > 0 ? MAPPED_CONNECTION_MEMORY
													   : CONNECTION_MEMORY),
		MHD_OPTION_CONNECTION_LIMIT, settings->max_connections, MHD_OPTION_CONNECTION_TIMEOUT,
		settings->idle_timeout_s, MHD_OPTION_NOTIFY_COMPLETED, httpd_request_completed, NULL,
		MHD_OPTION_NOTIFY_CONNECTION, httpd_connection_notify, (void *) settings->service,
		MHD_OPTION_URI_LOG_CALLBACK, httpd_request_begun, NULL, MHD_OPTION_ARRAY, options,
		MHD_OPTION_END);
}

/* When the library wants its turn, in milliseconds; -1: when something comes. */
static int
daemon_wait_ms(struct MHD_Daemon *daemon)
{
	MHD_UNSIGNED_LONG_LONG timeout;

	if (MHD_get_timeout(daemon, &timeout) != MHD_YES)
		return -1;
	return timeout > 60000 ? 60000 : (int) timeout;
}

static void
run_all(void)
{
	for (HttpdListener *listener = listeners; listener != NULL; listener = listener->next)
		MHD_run(listener->daemon);
}

/*
 * The loop
 */

static void
listener_ready(int fd, uint32_t events, void *arg)
{
	HttpdListener *listener = arg;

	listener->ready = true;
}

static void
serve_late(void *arg, int fd, const struct sockaddr *peer, socklen_t len)
{
	HttpdListener *listener = arg;

	/* It closes what it does not take. */
	(void) MHD_add_connection(listener->daemon, fd, peer, len);
	listener->ready = true;
}

static int
wait_ms(void *arg)
{
	int least_ms = -1;

	for (HttpdListener *listener = listeners; listener != NULL; listener = listener->next)
	{
		int ms = daemon_wait_ms(listener->daemon);

		if (ms >= 0 && (least_ms < 0 || ms < least_ms))
			least_ms = ms;
	}
	return least_ms;
}

static void
check_drained(void)
{
	void (*callback)(void *arg) = drained;

	if (callback == NULL || httpd_request_count() > 0)
		return;
	drained = NULL;
	callback(drained_arg);
}

/* A turn for each listener where something has come, or a time is over. */
static void
run(void *arg)
{
	for (HttpdListener *listener = listeners; listener != NULL; listener = listener->next)
	{
		if (!listener->ready && daemon_wait_ms(listener->daemon) != 0)
			continue;
		listener->ready = false;
		MHD_run(listener->daemon);
	}
	while (httpd_request_take_resumed())
		run_all();
	check_drained();
}

/*
 * Listeners
 */

HttpdListener *
httpd_listener_open(const HttpdListenerSettings *settings)
{
	static HttpdTurn turn = {.wait_ms = wait_ms, .run = run};
	HttpdListener *listener = httpd_alloc0(sizeof(HttpdListener));
	const union MHD_DaemonInfo *info;
	int fd = settings->socket;

	assert(settings->service->request_size >= sizeof(HttpdRequest));
	assert(settings->service->on_request != NULL);
	if (settings->address != NULL)
		fd = listen_on(settings->address);
	else
		check_inherited(fd);
	describe(fd, listener->address, sizeof(listener->address));
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)
		httpd_die("could not set up a listening socket: %s", strerror(errno));
	listener->daemon = start_daemon(fd, settings);
	if (listener->daemon == NULL)
		httpd_die("could not start the HTTP server%s",
				  settings->certificate != NULL ? " (are certificate and key right?)" : "");
	info = MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (info == NULL || info->epoll_fd < 0)
		httpd_die("this libmicrohttpd cannot use epoll");
	httpd_loop_watch(info->epoll_fd, EPOLLIN, listener_ready, listener);
	if (settings->lag_us > 0)
		httpd_lag_watch(fd, settings->lag_us, serve_late, listener);

	if (listeners == NULL)
		httpd_loop_add_turn(&turn);
	listener->next = listeners;
	listeners = listener;
	return listener;
}

const char *
httpd_listener_address(const HttpdListener *listener)
{
	return listener->address;
}

void
httpd_listener_drain(void (*callback)(void *arg), void *arg)
{
	drained = callback;
	drained_arg = arg;
	httpd_request_close_connections();
	for (HttpdListener *listener = listeners; listener != NULL; listener = listener->next)
	{
		MHD_socket fd = MHD_quiesce_daemon(listener->daemon);

		/* The library leaves it to us, and a second time there is none. */
		if (fd != MHD_INVALID_SOCKET)
			close(fd);
	}
}

void
httpd_listener_stop(void)
{
	HttpdListener *next;

	httpd_lag_stop();
	/* The library demands that nothing is suspended when it stops. */
	httpd_request_abort_all();
	httpd_request_take_resumed();
	run_all();
	for (HttpdListener *listener = listeners; listener != NULL; listener = next)
	{
		next = listener->next;
		MHD_stop_daemon(listener->daemon);
		free(listener);
	}
	listeners = NULL;
}
