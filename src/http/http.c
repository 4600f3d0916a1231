/*
 * http.c
 *	  Many requests at once: libcurl's multi interface behind an epoll fd.
 *
 * The http files (http*.c) are the only ones that know libcurl.  They include
 * nothing of PostgreSQL, so nothing in them can raise an error through
 * libcurl's frames or allocate in a memory context.
 *
 * How many connections are opened depends on what the peer turns out to speak:
 * over HTTP/2 a hundred requests share one, and more connections only cost
 * latency; over HTTP/1.1 each request needs its own.  We begin as if it were
 * HTTP/2 and look at every response.  Requests that would have to wait for a
 * connection wait in a list here and not inside libcurl, where their timeouts
 * would already run: a timeout counts from when a request can be sent.
 */
#include <curl/curl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "http/headers.h"
#include "compat.h"
#include "http/http.h"
#include "http/list.h"
#include "http/poller.h"
#include "http/session.h"
#include "http/transfer.h"
#include "http/url.h"

/* The usual limit of servers, and libcurl's own. */
#define STREAMS_PER_CONNECTION 100

#define EVENTS_AT_ONCE 256

/*
 * Beginning a request costs up to a third of a millisecond (a TLS handshake),
 * and the caller wants to look at its signals now and then.
 */
#define STARTS_AT_ONCE 128

/* Until a session is tried again that could not be made. */
#define OUT_OF_MEMORY_WAIT_MS 1000

struct WaHttp
{
	WaHttpConfig config;
	char *ca_file; /* config's copy */
	WaPoller *poller;
	WaHttpSockets sockets; /* the poller, and how sockets are opened */
	WaHttpUrls *urls;
	WaHttpHeaders *headers;					  /* for new requests */
	WaHttpSession *session;					  /* for new requests; NULL if it could not be made */
	WaHttpSession *retired;					  /* ends what it has under way; usually NULL */
	bool stuck;								  /* an HTTP/2 connection is of no further use */
	WaProtocol protocol;					  /* of the last response */
	WaTransferList lists[WA_TRANSFER_STATES]; /* of every transfer, by state */
};

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

/* ---- life --------------------------------------------------------------------- */

const char *
wa_http_system_ca_file(void)
{
	return WA_CURL_DEFAULT_CA_FILE(curl_version_info(CURLVERSION_NOW));
}

/* Idle connections are kept: all that there can be. */
static bool
renew_session(WaHttp *http)
{
	http->session = wa_http_session_create(http->poller, http->config.max_in_flight);
	if (http->session != NULL)
		wa_http_session_limit(http->session, connection_limit(http));
	return http->session != NULL;
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
	http->sockets.poller = http->poller;
	http->sockets.unacknowledged_ms = (unsigned int) config->request_timeout_ms;
	http->urls = wa_http_urls_create();
	http->headers = wa_http_headers_create(NULL);
	if ((config->ca_file != NULL && config->ca_file[0] != '\0' && http->ca_file == NULL) ||
		http->poller == NULL || http->urls == NULL || http->headers == NULL || !renew_session(http))
	{
		wa_http_destroy(http);
		return NULL;
	}
	return http;
}

void
wa_http_destroy(WaHttp *http)
{
	sigset_t saved;

	if (http == NULL)
		return;
	wa_http_abort_all(http);
	for (int state = 0; state < WA_TRANSFER_STATES; state++)
	{
		WaTransfer *t;

		while ((t = http->lists[state].head) != NULL)
		{
			wa_transfer_list_remove(http->lists, t);
			wa_transfer_destroy(t);
		}
	}
	block_signals(&saved);
	wa_http_session_destroy(http->session);
	wa_http_session_destroy(http->retired);
	restore_signals(&saved);
	wa_poller_destroy(http->poller);
	wa_http_urls_destroy(http->urls);
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
	WaTransferOptions options = {.config = &http->config,
								 .poller = http->poller,
								 .urls = http->urls,
								 .open_socket = wa_http_open_socket,
								 .close_socket = wa_http_close_socket,
								 .socket_arg = &http->sockets};
	WaTransfer *t = http->lists[WA_TRANSFER_FREE].head;

	if (t == NULL)
	{
		t = wa_transfer_create(&options);
		if (t != NULL)
			wa_transfer_list_append(http->lists, t, WA_TRANSFER_FREE);
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
	t->result.started_us = wa_http_now_us();
	wa_transfer_list_move(http->lists, t, WA_TRANSFER_WAITING);
	return true;
}

/*
 * Ends a waiting or active transfer.
 */
static void
finish(WaHttp *http, WaTransfer *t, CURLcode code, const char *reason)
{
	if (t->session != NULL)
	{
		if (code == CURLE_OPERATION_TIMEDOUT && t->session == http->session && t->begun &&
			!t->is_plain && http->protocol == WA_PROTOCOL_HTTP2)
			http->stuck = true;
		wa_http_session_remove(t->session, t);
	}
	wa_transfer_finish(t, code, reason);
	t->result.finished_us = wa_http_now_us();
	if (t->response.protocol != WA_PROTOCOL_UNKNOWN)
		http->protocol = t->response.protocol;
	wa_transfer_list_move(http->lists, t, WA_TRANSFER_DONE);
}

/*
 * Gives waiting requests to libcurl, as many as it can send.
 */
static void
start_waiting(WaHttp *http)
{
	for (int i = 0; i < STARTS_AT_ONCE; i++)
	{
		WaTransfer *t = http->lists[WA_TRANSFER_WAITING].head;
		CURLMcode code;

		if (t == NULL)
			break;

		/* http needs no negotiation to be known as 1.1 */
		if (t->is_plain && http->protocol == WA_PROTOCOL_UNKNOWN)
		{
			http->protocol = WA_PROTOCOL_HTTP1;
			wa_http_session_limit(http->session, connection_limit(http));
		}
		if (http->lists[WA_TRANSFER_ACTIVE].count >= active_limit(http))
			break;
		code = wa_http_session_add(http->session, t);
		if (code != CURLM_OK)
			finish(http, t, CURLE_OUT_OF_MEMORY, curl_multi_strerror(code));
		else
			wa_transfer_list_move(http->lists, t, WA_TRANSFER_ACTIVE);
	}
}

/*
 * A session that reports an error is of no further use: libcurl has run out of
 * memory.  What it had under way ends here.
 */
static void
give_up_session(WaHttp *http, WaHttpSession *session, CURLMcode code)
{
	WaTransfer *next;

	for (WaTransfer *t = http->lists[WA_TRANSFER_ACTIVE].head; t != NULL; t = next)
	{
		next = t->next;
		if (t->session == session)
			finish(http, t, CURLE_OUT_OF_MEMORY, curl_multi_strerror(code));
	}
	wa_http_session_destroy(session);
	if (session == http->session)
		http->session = NULL;
	else
		http->retired = NULL;
}

/*
 * A request that was about to be sent into a connection that the peer has
 * closed.  Over HTTP/1.1 it gets a fresh one.  Over HTTP/2 many requests want
 * that connection, which libcurl would not give up at once: all go to a new
 * session, where they share a new one.
 */
static bool
begin_again(WaHttp *http, WaTransfer *t)
{
	bool shared = !t->is_plain && http->protocol == WA_PROTOCOL_HTTP2 &&
				  t->session == http->session && http->retired == NULL;

	if (!wa_transfer_again(t, !shared))
		return false;
	wa_http_session_remove(t->session, t);
	wa_transfer_list_move(http->lists, t, WA_TRANSFER_WAITING);
	http->stuck |= shared;
	return true;
}

/*
 * Lets libcurl read and write what it can without waiting.
 */
static void
run(WaHttp *http)
{
	WaHttpSession *sessions[2] = {http->session, http->retired};
	CURLMcode codes[2] = {CURLM_OK, CURLM_OK};
	WaPollEvent events[EVENTS_AT_ONCE];
	int count = wa_poller_ready(http->poller, events, EVENTS_AT_ONCE);

	for (int i = 0; i < 2; i++)
	{
		WaTransfer *t;
		CURLcode ended;

		if (sessions[i] == NULL)
			continue;
		for (int j = 0; j < count && codes[i] == CURLM_OK; j++)
		{
			if (events[j].owner == sessions[i])
				codes[i] = wa_http_session_socket(sessions[i], &events[j]);
		}
		/* libcurl may just have asked for it: other HTTP/2 streams have data, too */
		if (codes[i] == CURLM_OK)
			codes[i] = wa_http_session_timer(sessions[i], wa_http_now_us());
		while ((t = wa_http_session_ended(sessions[i], &ended)) != NULL)
		{
			if (!begin_again(http, t))
				finish(http, t, ended, NULL);
		}
		if (codes[i] != CURLM_OK)
			give_up_session(http, sessions[i], codes[i]);
	}
}

/*
 * A connection of HTTP/1.1 is closed when a response does not come in time.
 * One of HTTP/2 is not, for other requests share it; and if the machine at
 * its other end hangs, all new requests would hang with it, one after the
 * other, for ever.  So they get a new connection, and the old one is closed
 * when it has no request left.
 */
static void
retire_stuck_session(WaHttp *http)
{
	if (http->retired != NULL && wa_http_session_active(http->retired) == 0)
	{
		wa_http_session_destroy(http->retired);
		http->retired = NULL;
	}
	if (http->stuck && http->retired == NULL && http->session != NULL)
	{
		http->retired = http->session;
		(void) renew_session(http);
	}
	http->stuck = false;
}

/*
 * Does what can be done without waiting.
 */
void
wa_http_step(WaHttp *http)
{
	sigset_t saved;

	block_signals(&saved);
	if (http->session != NULL || renew_session(http))
		start_waiting(http);
	run(http);
	retire_stuck_session(http);
	if (http->session != NULL)
		wa_http_session_limit(http->session, connection_limit(http));
	restore_signals(&saved);
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
	int64_t deadline = WA_NO_DEADLINE;
	int64_t left;

	wa_poller_apply(http->poller);
	if (http->lists[WA_TRANSFER_DONE].count > 0)
		return 0;
	if (http->lists[WA_TRANSFER_WAITING].count > 0 &&
		http->lists[WA_TRANSFER_ACTIVE].count < active_limit(http))
		return http->session != NULL ? 0 : OUT_OF_MEMORY_WAIT_MS;
	if (http->session != NULL)
		deadline = wa_http_session_deadline(http->session);
	if (http->retired != NULL && wa_http_session_deadline(http->retired) < deadline)
		deadline = wa_http_session_deadline(http->retired);
	if (deadline == WA_NO_DEADLINE)
		return -1;
	left = deadline - wa_http_now_us();
	return left <= 0 ? 0 : (long) ((left + 999) / 1000);
}

WaHttpResult *
wa_http_next_result(WaHttp *http)
{
	WaTransfer *t = http->lists[WA_TRANSFER_DONE].head;

	if (t == NULL)
		return NULL;
	wa_transfer_list_move(http->lists, t, WA_TRANSFER_FETCHED);
	return &t->result;
}

/*
 * A handle that has failed is not used again: some versions of libcurl would
 * go on rewinding the body of the failed request, and fail for ever.
 */
void
wa_http_release(WaHttp *http, WaHttpResult *result)
{
	WaTransfer *t = (WaTransfer *) result;

	if (result->error_code != 0)
	{
		wa_transfer_list_remove(http->lists, t);
		wa_transfer_destroy(t);
		return;
	}
	wa_transfer_reset(t);
	wa_transfer_list_move(http->lists, t, WA_TRANSFER_FREE);
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
