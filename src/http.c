/*
 * http.c
 *	  Many requests at once: libcurl's multi interface behind an epoll fd.
 *
 * The http files (http.c, http_transfer.c, http_headers.c) are the only ones
 * that know libcurl.  They include nothing of PostgreSQL, so nothing in them
 * can raise an error through libcurl's frames or allocate in a memory context.
 *
 * How many connections are opened depends on what the peer turns out to speak:
 * over HTTP/2 a hundred requests share one, and more connections only cost
 * latency; over HTTP/1.1 each request needs its own.  We begin as if it were
 * HTTP/2 and look at every answer.  Requests that would have to wait for a
 * connection wait in a list here and not inside libcurl, where their timeouts
 * would already run: a timeout counts from when a request can be sent.
 */
#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http.h"
#include "http_headers.h"
#include "http_transfer.h"
#include "poller.h"

/* The usual limit of servers, and libcurl's own. */
#define STREAMS_PER_CONNECTION 100

#define EVENTS_AT_ONCE 256

#define NO_DEADLINE INT64_MAX

typedef struct List
{
	WaTransfer *head;
	WaTransfer *tail;
	int count;
} List;

struct WaHttp
{
	WaHttpConfig config;
	char *ca_file; /* config's copy */
	CURLM *multi;
	WaPoller *poller;
	WaHttpHeaders *headers; /* for new requests */
	int64_t deadline_us;	/* when libcurl wants to be called */
	WaProtocol protocol;	/* of the last answer */
	int host_connections;	/* what libcurl was told */
	List lists[WA_TRANSFER_STATES];
};

static int64_t
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/*
 * libcurl resolves names on threads of its own, which inherit the signal mask
 * of the moment.  With signals open, our handlers would run on them.
 */
static void
block_signals(sigset_t *saved)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, saved);
}

static void
restore_signals(const sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

/* ---- lists ------------------------------------------------------------------ */

static void
list_remove(WaHttp *http, WaTransfer *t)
{
	List *list = &http->lists[t->state];

	if (t->prev != NULL)
		t->prev->next = t->next;
	else
		list->head = t->next;
	if (t->next != NULL)
		t->next->prev = t->prev;
	else
		list->tail = t->prev;
	list->count--;
	t->next = t->prev = NULL;
}

static void
list_append(WaHttp *http, WaTransfer *t, WaTransferState state)
{
	List *list = &http->lists[state];

	t->state = state;
	t->next = NULL;
	t->prev = list->tail;
	if (list->tail != NULL)
		list->tail->next = t;
	else
		list->head = t;
	list->tail = t;
	list->count++;
}

static void
set_state(WaHttp *http, WaTransfer *t, WaTransferState state)
{
	list_remove(http, t);
	list_append(http, t, state);
}

/* ---- how many connections ----------------------------------------------------- */

static int
connection_limit(const WaHttp *http)
{
	if (http->config.max_connections > 0)
		return http->config.max_connections;
	if (http->protocol == WA_PROTOCOL_HTTP1)
		return http->config.max_in_flight;
	return (http->config.max_in_flight + STREAMS_PER_CONNECTION - 1) / STREAMS_PER_CONNECTION;
}

/*
 * How many requests libcurl may have at once.  Until the protocol is known,
 * one for each connection: if it is HTTP/1.1, more could not be sent.
 */
static int
active_limit(const WaHttp *http)
{
	int limit = connection_limit(http);

	if (http->protocol == WA_PROTOCOL_HTTP2)
		limit = limit > http->config.max_in_flight / STREAMS_PER_CONNECTION
					? http->config.max_in_flight
					: limit * STREAMS_PER_CONNECTION;
	return limit < http->config.max_in_flight ? limit : http->config.max_in_flight;
}

/*
 * A refusal of libcurl leaves the old limit in force, which does no harm.
 */
static void
adjust_connections(WaHttp *http)
{
	int limit = connection_limit(http);

	if (limit != http->host_connections &&
		curl_multi_setopt(http->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long) limit) == CURLM_OK)
		http->host_connections = limit;
}

/* ---- callbacks of libcurl ----------------------------------------------------- */

/*
 * A network that swallows packets would otherwise keep a connection "open"
 * for a quarter of an hour, with all new HTTP/2 requests sent into it.
 */
static curl_socket_t
open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	WaHttp *http = arg;
	unsigned int unacknowledged_ms = (unsigned int) http->config.request_timeout_ms;
	int fd;

	fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	if (fd < 0)
		return CURL_SOCKET_BAD;
	if (!wa_poller_opened(http->poller, fd))
	{
		close(fd);
		return CURL_SOCKET_BAD;
	}
	(void) setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms,
					  sizeof(unacknowledged_ms));
	return fd;
}

static int
close_socket(void *arg, curl_socket_t fd)
{
	WaHttp *http = arg;

	wa_poller_closing(http->poller, fd);
	return close(fd);
}

static int
socket_changed(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	WaHttp *http = arg;
	int events = 0;

	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		events |= WA_POLL_IN;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		events |= WA_POLL_OUT;
	return wa_poller_want(http->poller, fd, events) ? 0 : -1;
}

static int
timer_changed(CURLM *multi, long timeout_ms, void *arg)
{
	WaHttp *http = arg;

	http->deadline_us = timeout_ms < 0 ? NO_DEADLINE : now_us() + (int64_t) timeout_ms * 1000;
	return 0;
}

/* ---- life --------------------------------------------------------------------- */

static bool
multi_create(WaHttp *http)
{
	http->deadline_us = NO_DEADLINE;
	http->host_connections = -1;
	http->multi = curl_multi_init();
	if (http->multi == NULL)
		return false;

	if (curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, socket_changed) != CURLM_OK ||
		curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http) != CURLM_OK ||
		curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, timer_changed) != CURLM_OK ||
		curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http) != CURLM_OK ||
		curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX) != CURLM_OK ||
		/* idle connections to keep: all that there can be */
		curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long) http->config.max_in_flight) !=
			CURLM_OK)
		return false;
	adjust_connections(http);
	return true;
}

/*
 * All transfers must have been taken out.  Closes every connection.
 */
static void
multi_destroy(WaHttp *http)
{
	sigset_t saved;

	if (http->multi == NULL)
		return;
	block_signals(&saved);
	curl_multi_cleanup(http->multi);
	restore_signals(&saved);
	http->multi = NULL;
}

/*
 * NULL if out of memory or of descriptors.  To be called after a fork, not
 * before: libcurl's state must not be shared by processes.
 */
WaHttp *
wa_http_create(const WaHttpConfig *config)
{
	WaHttp *http;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return NULL;
	http = calloc(1, sizeof(WaHttp));
	if (http == NULL)
	{
		curl_global_cleanup();
		return NULL;
	}

	http->config = *config;
	http->config.ca_file = NULL;
	if (config->ca_file != NULL && config->ca_file[0] != '\0')
	{
		http->ca_file = strdup(config->ca_file);
		http->config.ca_file = http->ca_file;
	}
	http->poller = wa_poller_create();
	http->headers = wa_http_headers_create(NULL);
	if ((config->ca_file != NULL && config->ca_file[0] != '\0' && http->ca_file == NULL) ||
		http->poller == NULL || http->headers == NULL || !multi_create(http))
	{
		wa_http_destroy(http);
		return NULL;
	}
	return http;
}

void
wa_http_destroy(WaHttp *http)
{
	if (http == NULL)
		return;
	if (http->multi != NULL)
		wa_http_abort_all(http);
	for (int state = 0; state < WA_TRANSFER_STATES; state++)
	{
		WaTransfer *t;

		while ((t = http->lists[state].head) != NULL)
		{
			list_remove(http, t);
			wa_transfer_destroy(t);
		}
	}
	multi_destroy(http);
	wa_poller_destroy(http->poller);
	wa_http_headers_release(http->headers);
	free(http->ca_file);
	free(http);
	curl_global_cleanup();
}

bool
wa_http_set_token(WaHttp *http, const char *token)
{
	WaHttpHeaders *headers = wa_http_headers_create(token);

	if (headers == NULL)
		return false;
	wa_http_headers_release(http->headers);
	http->headers = headers;
	return true;
}

/* ---- requests ------------------------------------------------------------------- */

static WaTransfer *
free_transfer(WaHttp *http)
{
	WaTransferOptions options = {&http->config, open_socket, close_socket, http};
	WaTransfer *t = http->lists[WA_TRANSFER_FREE].head;

	if (t == NULL)
	{
		t = wa_transfer_create(&options);
		if (t != NULL)
			list_append(http, t, WA_TRANSFER_FREE);
	}
	return t;
}

/*
 * The request leaves at the next wa_http_step.
 */
bool
wa_http_submit(WaHttp *http, const char *url, const char *body, size_t body_len,
			   const char *content_type, void *tag)
{
	WaTransfer *t;

	if (wa_http_in_flight(http) >= http->config.max_in_flight)
		return false;
	t = free_transfer(http);
	if (t == NULL)
		return false;
	if (!wa_transfer_prepare(t, url, body, body_len, content_type, http->headers))
	{
		wa_transfer_reset(t);
		return false;
	}
	t->result.tag = tag;
	t->result.started_us = now_us();
	set_state(http, t, WA_TRANSFER_WAITING);
	return true;
}

/*
 * Ends a waiting or active transfer.
 */
static void
finish(WaHttp *http, WaTransfer *t, CURLcode code, const char *reason)
{
	if (t->state == WA_TRANSFER_ACTIVE)
		(void) curl_multi_remove_handle(http->multi, t->easy);
	wa_transfer_finish(t, code, reason);
	t->result.finished_us = now_us();
	if (t->protocol != WA_PROTOCOL_UNKNOWN)
		http->protocol = t->protocol;
	set_state(http, t, WA_TRANSFER_DONE);
}

/*
 * Gives waiting requests to libcurl, as many as it can send.
 */
static void
start_waiting(WaHttp *http)
{
	int limit = active_limit(http);
	WaTransfer *t;

	while ((t = http->lists[WA_TRANSFER_WAITING].head) != NULL &&
		   http->lists[WA_TRANSFER_ACTIVE].count < limit)
	{
		CURLMcode code;

		/* http needs no negotiation to be known as 1.1 */
		if (t->is_plain && http->protocol == WA_PROTOCOL_UNKNOWN)
		{
			http->protocol = WA_PROTOCOL_HTTP1;
			adjust_connections(http);
			limit = active_limit(http);
		}
		code = curl_multi_add_handle(http->multi, t->easy);
		if (code != CURLM_OK)
			finish(http, t, CURLE_OUT_OF_MEMORY, curl_multi_strerror(code));
		else
			set_state(http, t, WA_TRANSFER_ACTIVE);
	}
}

/*
 * A multi handle that reports an error is of no further use (it has run out
 * of memory).  What it had under way ends, and a new one takes its place.
 */
static void
replace_multi(WaHttp *http, CURLMcode code)
{
	const char *reason = curl_multi_strerror(code);

	while (http->lists[WA_TRANSFER_ACTIVE].head != NULL)
		finish(http, http->lists[WA_TRANSFER_ACTIVE].head, CURLE_OUT_OF_MEMORY, reason);
	multi_destroy(http);
	if (!multi_create(http))
		multi_destroy(http);
}

/*
 * Lets libcurl read and write what it can without waiting.
 */
static CURLMcode
run_sockets(WaHttp *http)
{
	WaPollEvent events[EVENTS_AT_ONCE];
	int count = wa_poller_ready(http->poller, events, EVENTS_AT_ONCE);
	int running;
	CURLMcode code = CURLM_OK;

	for (int i = 0; i < count && code == CURLM_OK; i++)
	{
		int mask = 0;

		if (events[i].events & WA_POLL_IN)
			mask |= CURL_CSELECT_IN;
		if (events[i].events & WA_POLL_OUT)
			mask |= CURL_CSELECT_OUT;
		if (events[i].events & WA_POLL_ERROR)
			mask |= CURL_CSELECT_ERR;
		code = curl_multi_socket_action(http->multi, events[i].fd, mask, &running);
	}

	/* cleared first: libcurl sets it again only if it wants another call */
	if (code == CURLM_OK && http->deadline_us <= now_us())
	{
		http->deadline_us = NO_DEADLINE;
		code = curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
	return code;
}

static void
collect_finished(WaHttp *http)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(http->multi, &left)) != NULL)
	{
		/* the message is gone once its handle is removed */
		CURLcode code = message->data.result;
		char *transfer = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
		finish(http, (WaTransfer *) transfer, code, NULL);
	}
}

/*
 * Does what can be done without waiting.
 */
void
wa_http_step(WaHttp *http)
{
	sigset_t saved;
	CURLMcode code;

	if (http->multi == NULL && !multi_create(http))
	{
		multi_destroy(http);
		return;
	}
	block_signals(&saved);
	start_waiting(http);
	code = run_sockets(http);
	collect_finished(http);
	restore_signals(&saved);

	if (code != CURLM_OK)
		replace_multi(http, code);
	if (http->multi != NULL)
		adjust_connections(http);
}

int
wa_http_epoll_fd(const WaHttp *http)
{
	return wa_poller_fd(http->poller);
}

/*
 * How long the caller may wait for wa_http_epoll_fd.  To be called before each
 * wait: it tells the kernel which sockets matter.
 */
long
wa_http_timeout_ms(WaHttp *http)
{
	int64_t left;

	wa_poller_apply(http->poller);
	if (http->lists[WA_TRANSFER_WAITING].count > 0 &&
		http->lists[WA_TRANSFER_ACTIVE].count < active_limit(http))
		return 0;
	if (http->deadline_us == NO_DEADLINE)
		return -1;
	left = http->deadline_us - now_us();
	return left <= 0 ? 0 : (long) ((left + 999) / 1000);
}

WaHttpResult *
wa_http_next_result(WaHttp *http)
{
	WaTransfer *t = http->lists[WA_TRANSFER_DONE].head;

	if (t == NULL)
		return NULL;
	set_state(http, t, WA_TRANSFER_FETCHED);
	return &t->result;
}

void
wa_http_release(WaHttp *http, WaHttpResult *result)
{
	WaTransfer *t = (WaTransfer *) result;

	wa_transfer_reset(t);
	set_state(http, t, WA_TRANSFER_FREE);
}

void
wa_http_abort_all(WaHttp *http)
{
	static const WaTransferState unfinished[] = {WA_TRANSFER_WAITING, WA_TRANSFER_ACTIVE};
	sigset_t saved;

	block_signals(&saved);
	for (int i = 0; i < 2; i++)
	{
		WaTransfer *t;

		while ((t = http->lists[unfinished[i]].head) != NULL)
			finish(http, t, CURLE_ABORTED_BY_CALLBACK, "the request was given up");
	}
	restore_signals(&saved);
}

/*
 * Submitted and not finished.
 */
int
wa_http_in_flight(const WaHttp *http)
{
	return http->lists[WA_TRANSFER_WAITING].count + http->lists[WA_TRANSFER_ACTIVE].count;
}

int
wa_http_connections(const WaHttp *http)
{
	return wa_poller_open_sockets(http->poller);
}
