/*
 * connection.c
 *	  A client's connection: its deadline, its end, its peer.
 *
 * A connection must be able to end at an exact point of an exchange, for which
 * libmicrohttpd has no call.  So the socket is disconnected beneath it (connect
 * to AF_UNSPEC makes Linux send RST at once and drop what was not yet sent);
 * the library then notices an ended connection and cleans up.
 */
#include "bin/httpd/connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "bin/httpd/clock.h"
#include "bin/httpd/util.h"

static int kept_open; /* of all services together */

static int
socket_of(const HttpdConnection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection->mhd, MHD_CONNECTION_INFO_CONNECTION_FD);

	return info != NULL ? info->connect_fd : -1;
}

void
httpd_connection_abort(HttpdConnection *connection, bool reset)
{
	int fd = socket_of(connection);
	struct sockaddr unspecified = {.sa_family = AF_UNSPEC};

	if (reset)
		(void) connect(fd, &unspecified, sizeof(unspecified));
	else
		(void) shutdown(fd, SHUT_RDWR);
}

int64_t
httpd_connection_silent_us(const HttpdConnection *connection)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	if (httpd_clock_is_stopped() ||
		getsockopt(socket_of(connection), IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
		return 0;
	return (int64_t) info.tcpi_last_data_recv * 1000;
}

bool
httpd_connection_client_has_left(const HttpdConnection *connection)
{
	char byte;
	ssize_t n = recv(socket_of(connection), &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

static const struct sockaddr *
peer_of(const HttpdConnection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

	return info != NULL ? info->client_addr : NULL;
}

void
httpd_connection_address(const HttpdConnection *connection, char *out, size_t size)
{
	const struct sockaddr *address = peer_of(connection);
	const char *text = NULL;

	if (address != NULL && address->sa_family == AF_INET)
		text = inet_ntop(AF_INET, &((const struct sockaddr_in *) address)->sin_addr, out,
						 (socklen_t) size);
	else if (address != NULL && address->sa_family == AF_INET6)
		text = inet_ntop(AF_INET6, &((const struct sockaddr_in6 *) address)->sin6_addr, out,
						 (socklen_t) size);
	if (text == NULL && size > 0)
		out[0] = '\0';
}

bool
httpd_connection_is_loopback(const HttpdConnection *connection)
{
	const struct sockaddr *address = peer_of(connection);

	if (address != NULL && address->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *) address)->sin_addr.s_addr) >> 24 == 127;
	if (address != NULL && address->sa_family == AF_INET6)
	{
		const struct in6_addr *in6 = &((const struct sockaddr_in6 *) address)->sin6_addr;

		return IN6_IS_ADDR_LOOPBACK(in6) || (IN6_IS_ADDR_V4MAPPED(in6) && in6->s6_addr[12] == 127);
	}
	return false;
}

bool
httpd_connection_keep_open(HttpdConnection *connection)
{
	int most = connection->service->max_kept_open;

	if (!connection->kept_open && (most == 0 || kept_open < most))
	{
		connection->kept_open = true;
		kept_open++;
	}
	return connection->kept_open;
}

static void
deadline_passed(void *arg)
{
	httpd_connection_abort(arg, false);
}

static void
start_deadline(HttpdConnection *connection, int64_t more_us)
{
	int64_t deadline_us = connection->service->deadline_us;

	if (deadline_us > 0)
		httpd_timer_set(&connection->deadline, httpd_now_us() + deadline_us + more_us,
						deadline_passed, connection);
}

void
httpd_connection_start_deadline(HttpdConnection *connection)
{
	start_deadline(connection, 0);
}

void
httpd_connection_becomes_idle(HttpdConnection *connection)
{
	if (connection->service->idle_us == 0)
		return;
	connection->idle = true;
	start_deadline(connection, connection->service->idle_us);
}

void
httpd_connection_is_used(HttpdConnection *connection)
{
	if (connection->idle)
		start_deadline(connection, 0);
	connection->idle = false;
}

void
httpd_connection_end_deadline(HttpdConnection *connection)
{
	httpd_timer_cancel(&connection->deadline);
}

HttpdConnection *
httpd_connection_of(struct MHD_Connection *mhd)
{
	return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

static HttpdConnection *
create_connection(struct MHD_Connection *mhd, const HttpdService *service)
{
	HttpdConnection *connection = httpd_alloc0(sizeof(HttpdConnection));

	connection->mhd = mhd;
	connection->service = service;
	return connection;
}

void
httpd_connection_notify(void *cls, struct MHD_Connection *mhd, void **socket_context,
						enum MHD_ConnectionNotificationCode code)
{
	const HttpdService *service = cls;
	HttpdConnection *connection = *socket_context;

	if (code == MHD_CONNECTION_NOTIFY_STARTED)
	{
		*socket_context = connection = create_connection(mhd, service);
		httpd_connection_start_deadline(connection);
		if (service->on_connect != NULL)
			service->on_connect(connection);
		return;
	}
	if (service->on_disconnect != NULL)
		service->on_disconnect(connection);
	httpd_connection_end_deadline(connection);
	if (connection->kept_open)
		kept_open--;
	free(connection->target);
	free(connection);
	*socket_context = NULL;
}
