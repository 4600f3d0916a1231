/*
 * sending.c
 *	  Responses that are late, slow, cut, or never come.
 */
#include "bin/simulator/sending.h"

#include <string.h>

#include "bin/httpd/buf.h"
#include "bin/httpd/clock.h"
#include "bin/httpd/list.h"
#include "bin/simulator/journal.h"

/* Bytes given to libmicrohttpd at a time before a cut. */
#define CUT_BLOCK 1024

static HttpdLink hanging = HTTPD_LIST_EMPTY(hanging);

void
sim_sending_cut(SimRequest *request, bool reset)
{
	sim_counters.cut_connections++;
	httpd_request_abort(&request->http, reset);
}

static void
cut_instead(HttpdRequest *http)
{
	SimRequest *request = (SimRequest *) http;

	sim_sending_cut(request, request->reset);
}

static void
hang(SimRequest *request)
{
	httpd_request_defer(&request->http);
	httpd_request_watch_client(&request->http);
	httpd_list_push(&hanging, &request->hanging);
}

static ssize_t
copy_piece(const HttpdBuf *body, size_t pos, char *out, size_t max, size_t piece)
{
	if (piece > body->len - pos)
		piece = body->len - pos;
	if (piece > max)
		piece = max;
	memcpy(out, body->data + pos, piece);
	return (ssize_t) piece;
}

static ssize_t
produce_cut(HttpdRequest *http, size_t pos, char *out, size_t max)
{
	SimRequest *request = (SimRequest *) http;

	if (pos >= (size_t) request->piece)
	{
		sim_sending_cut(request, request->reset);
		return -1;
	}
	return copy_piece(&http->reply.body, pos, out, max, (size_t) request->piece - pos);
}

/* A piece, a rest, a piece. */
static ssize_t
produce_slowly(HttpdRequest *http, size_t pos, char *out, size_t max)
{
	SimRequest *request = (SimRequest *) http;
	int64_t now_us = httpd_now_us();

	if (now_us < request->next_piece_us)
	{
		httpd_request_pause(http, request->next_piece_us - now_us);
		return 0;
	}
	request->next_piece_us = now_us + request->interval_ms * 1000;
	return copy_piece(&http->reply.body, pos, out, max, (size_t) request->piece);
}

void
sim_sending_start(SimRequest *request)
{
	HttpdRequest *http = &request->http;

	switch (request->sending)
	{
		case SIM_SEND_NEVER:
			hang(request);
			return;
		case SIM_SEND_NOTHING:
			if (request->delay_us <= 0)
				cut_instead(http);
			else
			{
				httpd_request_defer(http);
				httpd_request_expire(http, httpd_now_us() + request->delay_us, cut_instead);
			}
			return;
		case SIM_SEND_CUT:
			http->reply.produce = produce_cut;
			http->reply.block = CUT_BLOCK;
			break;
		case SIM_SEND_SLOW:
			http->reply.produce = produce_slowly;
			http->reply.block = (size_t) request->piece;
			break;
		case SIM_SEND_WHOLE:
			break;
	}
	if (request->delay_us > 0)
		httpd_request_delay(http, request->delay_us);
}

void
sim_sending_forget(SimRequest *request)
{
	httpd_list_remove(&request->hanging);
}

bool
sim_sending_shows_status(const SimRequest *request)
{
	return request->sending != SIM_SEND_NOTHING && request->sending != SIM_SEND_NEVER;
}

int
sim_sending_release(void)
{
	int count = 0;

	for (; !httpd_list_is_empty(&hanging); count++)
	{
		SimRequest *request = HTTPD_ELEMENT(SimRequest, hanging, hanging.next);

		httpd_list_remove(&request->hanging);
		sim_sending_cut(request, true);
	}
	return count;
}
