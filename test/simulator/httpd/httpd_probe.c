/*
 * httpd_probe.c
 *	  A small server that uses every call of src/bin/httpd, for ../httpd.t.
 *
 *	httpd_probe DEADLINE_MS LISTENER...
 *
 * A LISTENER is HOST:PORT, or the number of an inherited descriptor.  Prints
 * "listening on ADDRESS" for each, and "drained" before it ends by SIGTERM.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/httpd/clock.h"
#include "bin/httpd/head.h"
#include "bin/httpd/listener.h"
#include "bin/httpd/loop.h"
#include "bin/httpd/request.h"
#include "bin/httpd/util.h"
#include "peer.h"

#define MAX_BODY 1000
#define BIG 30000000

typedef struct Exchange
{
	HttpdRequest http;
	int pieces;
	HttpdLink link; /* of those that are held, or have asked the peer */
} Exchange;

static HttpdLink held = HTTPD_LIST_EMPTY(held);
static HttpdLink asked = HTTPD_LIST_EMPTY(asked);

static int connections;
static int sent_whole;
static int not_sent;
static int signals;
static int expired;

static void
reply(HttpdRequest *request, int status, const char *text)
{
	httpd_reply_text(&request->reply, status, "text/plain", text);
}

static int64_t
number(HttpdRequest *request, const char *name)
{
	const char *text = httpd_request_argument(request, name);
	int64_t value = 0;

	return text != NULL && httpd_parse_int(text, 0, 1000000, &value) ? value : 0;
}

static void
get_hello(HttpdRequest *request)
{
	const char *name = httpd_request_header(request, "X-Name");

	httpd_reply_header(&request->reply, "X-Loopback",
					   httpd_connection_is_loopback(request->connection) ? "yes" : "no");
	reply(request, 200, name != NULL ? name : "hello");
}

static void
post_echo(HttpdRequest *request)
{
	if (request->too_large)
		reply(request, 413, "too large");
	else
		reply(request, 200, request->body.len > 0 ? request->body.data : "");
}

static void
get_delay(HttpdRequest *request)
{
	reply(request, 200, "late");
	httpd_request_delay(request, number(request, "ms") * 1000);
}

static void
time_over(HttpdRequest *request)
{
	expired++;
	reply(request, 504, "too late");
	httpd_request_finish(request);
}

static void
limit(HttpdRequest *request, const char *name)
{
	int64_t ms = number(request, name);

	if (ms > 0)
		httpd_request_expire(request, httpd_now_us() + ms * 1000, time_over);
}

/* Waits for /release, with ms for so long at most, with watch for the client, too. */
static void
get_hold(HttpdRequest *request)
{
	Exchange *exchange = (Exchange *) request;

	httpd_request_defer(request);
	limit(request, "ms");
	if (number(request, "watch") > 0)
		httpd_request_watch_client(request);
	httpd_list_push(&held, &exchange->link);
}

/* More than the sockets hold: it is on its way until the client reads it. */
static void
get_big(HttpdRequest *request)
{
	reply(request, 200, "");
	httpd_buf_reserve(&request->reply.body, BIG);
	memset(request->reply.body.data, 'x', BIG);
	request->reply.body.len = BIG;
}

static void
add_header(void *arg, const char *name, const char *value)
{
	httpd_buf_printf(arg, " %s=%s", name, value);
}

/* The head as it came, as far as the library hands it over. */
static void
get_head(HttpdRequest *request)
{
	request->reply.status = 200;
	httpd_buf_printf(&request->reply.body,
					 "%s %s %s:", httpd_head_is_exact(request) ? "exact" : "mended",
					 request->method, request->target);
	httpd_head_visit(request, add_header, &request->reply.body);
}

static void
get_release(HttpdRequest *request)
{
	while (!httpd_list_is_empty(&held))
	{
		Exchange *exchange = HTTPD_ELEMENT(Exchange, link, held.next);

		httpd_list_remove(&exchange->link);

		/* However late we come: this one passes after the end of the wait. */
		limit(&exchange->http, "rest");
		if (number(&exchange->http, "big") > 0)
			get_big(&exchange->http);
		else
			reply(&exchange->http, 200, "released");
		httpd_request_finish(&exchange->http);
	}
	reply(request, 200, "done");
}

static void
get_ask(HttpdRequest *request)
{
	Exchange *exchange = (Exchange *) request;

	httpd_request_defer(request);
	httpd_list_push(&asked, &exchange->link);
	peer_ask();
}

static void
peer_answered(void)
{
	Exchange *exchange = HTTPD_ELEMENT(Exchange, link, asked.next);

	if (httpd_list_is_empty(&asked))
		return;
	httpd_list_remove(&exchange->link);
	reply(&exchange->http, 200, "answered");
	httpd_request_finish(&exchange->http);
}

static void
get_reconnect(HttpdRequest *request)
{
	peer_reconnect();
	reply(request, 200, "done");
}

static void
get_abort(HttpdRequest *request)
{
	httpd_request_abort(request, number(request, "reset") > 0);
}

/* Three bytes at a time with a pause after each; with cut, only so many times. */
static ssize_t
produce(HttpdRequest *request, size_t pos, char *out, size_t max)
{
	Exchange *exchange = (Exchange *) request;
	int64_t cut = number(request, "cut");

	if (cut > 0 && exchange->pieces / 2 == cut)
	{
		httpd_request_abort(request, true);
		return -1;
	}
	if (exchange->pieces++ % 2 == 1)
	{
		httpd_request_pause(request, 1000);
		return 0;
	}
	memcpy(out, request->reply.body.data + pos, max);
	return (ssize_t) max;
}

static void
get_slow(HttpdRequest *request)
{
	reply(request, 200, "abcdefghijkl");
	request->reply.produce = produce;
	request->reply.block = 3;
}

static void
get_stats(HttpdRequest *request)
{
	reply(request, 200, "");
	httpd_buf_printf(&request->reply.body,
					 "connections %d sent %d unsent %d signals %d expired %d "
					 "requests %d",
					 connections, sent_whole, not_sent, signals, expired, httpd_request_count());
}

static const struct
{
	const char *path;
	void (*serve)(HttpdRequest *request);
} routes[] = {
	{"/hello", get_hello},	   {"/echo", post_echo},
	{"/delay", get_delay},	   {"/hold", get_hold},
	{"/release", get_release}, {"/ask", get_ask},
	{"/abort", get_abort},	   {"/reconnect", get_reconnect},
	{"/slow", get_slow},	   {"/stats", get_stats},
	{"/big", get_big},
};

static void
on_request(HttpdRequest *request)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
	{
		if (strcmp(request->path, routes[i].path) == 0)
		{
			routes[i].serve(request);
			return;
		}
	}
	reply(request, 404, "no such path");
}

static void
on_head(HttpdRequest *request)
{
	if (httpd_request_header(request, "X-Refuse") != NULL)
		reply(request, 403, "refused");
	else if (strncmp(request->target, "/head", 5) == 0)
		get_head(request);
}

static void
on_body(HttpdRequest *request, size_t len)
{
	if (httpd_request_header(request, "X-Cut") != NULL && request->body.len + len > 5)
		httpd_request_abort(request, true);
}

static void
on_end(HttpdRequest *request, bool sent)
{
	Exchange *exchange = (Exchange *) request;

	httpd_list_remove(&exchange->link);
	if (sent)
		sent_whole++;
	else
		not_sent++;
}

static void
on_connect(HttpdConnection *connection)
{
	connections++;
}

static void
on_disconnect(HttpdConnection *connection)
{
	connections--;
}

static void
drained(void *arg)
{
	printf("drained\n");
	httpd_loop_stop();
}

static void
end(int signo, void *arg)
{
	httpd_listener_drain(drained, NULL);
}

static void
count_signal(int signo, void *arg)
{
	signals++;
}

int
main(int argc, char **argv)
{
	HttpdService service = {
		.request_size = sizeof(Exchange),
		.max_body = MAX_BODY,
		.deadline_us = atoi(argv[1]) * INT64_C(1000),
		.on_connect = on_connect,
		.on_disconnect = on_disconnect,
		.on_head = on_head,
		.on_body = on_body,
		.on_request = on_request,
		.on_end = on_end,
	};
	HttpdListenerSettings settings = {.max_connections = 100, .service = &service};

	setvbuf(stdout, NULL, _IOLBF, 0);
	httpd_loop_init();
	httpd_loop_on_signal(SIGTERM, end, NULL);
	httpd_loop_on_signal(SIGUSR1, count_signal, NULL);
	peer_start(peer_answered);
	for (int i = 2; i < argc; i++)
	{
		settings.address = strchr(argv[i], ':') != NULL ? argv[i] : NULL;
		settings.socket = atoi(argv[i]);
		printf("listening on %s\n", httpd_listener_address(httpd_listener_open(&settings)));
	}
	httpd_loop_run();
	httpd_listener_stop();
	return 0;
}
