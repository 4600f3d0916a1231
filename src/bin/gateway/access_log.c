/*
 * access_log.c
 *	  A JSON line for every request.
 *
 * Lines are collected and written once in a turn of the loop.  A pipe whose reader
 * has stopped must not stop the gateway, so lines that it does not take are
 * dropped and counted.
 */
#include "bin/gateway/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bin/gateway/auth.h"
#include "bin/gateway/client.h"
#include "bin/gateway/framing_rules.h"
#include "bin/gateway/log_path.h"
#include "bin/gateway/settings.h"
#include "bin/httpd/clock.h"
#include "bin/httpd/util.h"

/* What the kernel takes in one piece from a pipe that is writable at all. */
#define PIECE 4096

static int log_fd = -1;
static bool is_file;
static HttpdBuf pending;
static unsigned long dropped;

void
gw_access_log_open(void)
{
	const char *name = gw_settings->access_log;
	int fd;

	if (strcmp(name, "stderr") == 0 || strcmp(name, "stdout") == 0)
	{
		log_fd = name[3] == 'e' ? STDERR_FILENO : STDOUT_FILENO;
		return;
	}
	if (name[0] == '\0')
		return;
	fd = open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	if (fd < 0 && log_fd < 0)
		httpd_die("could not open \"%s\": %s", name, strerror(errno));
	if (fd < 0)
		return; /* the old one is better than none */
	if (log_fd >= 0)
		close(log_fd);
	log_fd = fd;
	is_file = true;
}

/*
 * Writing
 */

/* The part of the lines that can be written now: whole lines, if any fits. */
static size_t
next_piece(size_t from)
{
	size_t left = pending.len - from;
	const char *last;

	if (is_file || left <= PIECE)
		return left;
	last = memrchr(pending.data + from, '\n', PIECE);
	return last != NULL ? (size_t) (last + 1 - (pending.data + from)) : PIECE;
}

static bool
takes_more(void)
{
	struct pollfd pollfd = {.fd = log_fd, .events = POLLOUT};

	return is_file || (poll(&pollfd, 1, 0) == 1 && (pollfd.revents & POLLOUT));
}

void
gw_access_log_flush(void *arg)
{
	size_t done = 0;

	while (done < pending.len && takes_more())
	{
		ssize_t n = write(log_fd, pending.data + done, next_piece(done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t) n;
	}
	for (; done < pending.len; done++)
		dropped += pending.data[done] == '\n';
	pending.len = 0;
}

/*
 * What stands in a line
 */

static void
add_time(HttpdBuf *out)
{
	int64_t now_us = httpd_wall_us();
	time_t seconds = (time_t) (now_us / 1000000);
	struct tm tm;
	char text[32];

	gmtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	httpd_buf_printf(out, "{\"time\":\"%s.%03dZ\"", text, (int) (now_us / 1000 % 1000));
}

static void
add_text(HttpdBuf *out, const char *name, const char *value)
{
	httpd_buf_printf(out, ",\"%s\":", name);
	httpd_buf_json(out, value);
}

/* A stranger may call a method what he likes, at any length. */
static void
add_method(HttpdBuf *out, const char *method)
{
	char text[GW_FRAMING_MAX_METHOD + 1];

	snprintf(text, sizeof(text), "%s", method);
	add_text(out, "method", text);
}

void
gw_access_log(const GwExchange *exchange, bool sent)
{
	const HttpdReply *reply = &exchange->http.reply;
	HttpdBuf path = {0};
	char address[64];
	GwAddress client;

	if (log_fd < 0 || exchange->quiet)
		return;
	if (dropped > 0 && takes_more())
	{
		add_time(&pending);
		httpd_buf_printf(&pending, ",\"dropped_lines\":%lu}\n", dropped);
		dropped = 0;
	}
	gw_log_path(exchange->route, exchange->arguments, exchange->http.target, &path);
	httpd_connection_address(exchange->http.connection, address, sizeof(address));
	client = gw_client_address(exchange);
	add_time(&pending);
	add_text(&pending, "request_id", exchange->request_id);
	add_text(&pending, "peer", address);
	gw_address_format(&client, address);
	add_text(&pending, "client", address);
	add_text(&pending, "role",
			 exchange->role != GW_NOBODY ? gw_auth_role_name(exchange->role) : NULL);
	add_text(&pending, "actor", exchange->actor);
	add_method(&pending, exchange->http.method);
	add_text(&pending, "path", path.data);
	httpd_buf_printf(&pending, ",\"status\":%d,\"sent\":%s,\"duration_ms\":%.3f}\n", reply->status,
					 sent ? "true" : "false",
					 (double) (httpd_now_us() - exchange->began_us) / 1000);
	httpd_buf_free(&path);
}
