/*
 * session.c
 *	  Requests under way together: a multi handle, its timer, its sockets.
 *
 * One of the http files: libcurl is known here, PostgreSQL is not.  The caller
 * blocks signals around everything here that lets libcurl run.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/now.h"
#include "http/session.h"

#include "compat.h"

struct WaHttpSession
{
	CURLM *multi;
	CURL *nobody; /* never sends anything */
	WaPoller *poller;
	int64_t deadline_us;
	int host_connections; /* what libcurl was told */
	int connections;
	int active;
	WaHttpSession *next;
};

/* ---- callbacks of libcurl ----------------------------------------------------- */

/*
 * libcurl 7.88.0 to 8.2.0 closes a socket that has not been connected without a call
 * of wa_http_close_socket (https://github.com/curl/curl/pull/11439).  After a network
 * that swallowed packets all that may be open would count as that, for ever.
 */
void
wa_http_forget_lost_sockets(const WaHttpSockets *sockets)
{
	for (int fd = -1; (fd = wa_poller_next_lost(sockets->poller, fd)) >= 0;)
		wa_connections_closing(sockets->connections, fd);
}

static bool
one_more_may_open(const WaHttpSockets *sockets)
{
	if (sockets->max <= 0 || wa_poller_open_sockets(sockets->poller) < sockets->max)
		return true;
	wa_http_forget_lost_sockets(sockets);
	return wa_poller_open_sockets(sockets->poller) < sockets->max;
}

/*
 * A network that swallows packets would otherwise keep a connection "open"
 * for a quarter of an hour, with all new HTTP/2 requests sent into it.
 */
curl_socket_t
wa_http_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	const WaHttpSockets *sockets = arg;
	int fd;

	if (!one_more_may_open(sockets))
		return CURL_SOCKET_BAD;
	fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	if (fd < 0)
		return CURL_SOCKET_BAD;
	if (!wa_poller_opened(sockets->poller, fd))
	{
		close(fd);
		return CURL_SOCKET_BAD;
	}
	if (!wa_connections_opened(sockets->connections, fd))
	{
		wa_poller_closing(sockets->poller, fd);
		close(fd);
		return CURL_SOCKET_BAD;
	}
	(void) setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &sockets->unacknowledged_ms,
					  sizeof(sockets->unacknowledged_ms));
	return fd;
}

int
wa_http_close_socket(void *arg, curl_socket_t fd)
{
	const WaHttpSockets *sockets = arg;

	wa_connections_closing(sockets->connections, fd);
	wa_poller_closing(sockets->poller, fd);
	return close(fd);
}

static int
socket_changed(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	WaHttpSession *session = arg;
	int events = 0;

	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		events |= WA_POLL_IN;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		events |= WA_POLL_OUT;
	return wa_poller_want(session->poller, fd, events, session) ? 0 : -1;
}

static int
timer_changed(CURLM *multi, long timeout_ms, void *arg)
{
	WaHttpSession *session = arg;

	session->deadline_us =
		timeout_ms < 0 ? WA_NO_DEADLINE : wa_http_now_us() + (int64_t) timeout_ms * 1000;
	return 0;
}

/* ---- sessions ------------------------------------------------------------------- */

WaHttpSession *
wa_http_session_create(WaPoller *poller, int keep)
{
	WaHttpSession *session = calloc(1, sizeof(WaHttpSession));
	CURLM *multi;

	if (session == NULL)
		return NULL;
	session->poller = poller;
	session->deadline_us = WA_NO_DEADLINE;
	session->multi = multi = curl_multi_init();
	session->nobody = curl_easy_init();
	if (multi == NULL || session->nobody == NULL ||
		curl_easy_setopt(session->nobody, CURLOPT_NOSIGNAL, 1L) != CURLE_OK ||
		curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, socket_changed) != CURLM_OK ||
		curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, session) != CURLM_OK ||
		curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, timer_changed) != CURLM_OK ||
		curl_multi_setopt(multi, CURLMOPT_TIMERDATA, session) != CURLM_OK ||
		curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX) != CURLM_OK ||
		curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) keep) != CURLM_OK ||
		WA_CURL_SET_MULTI_QUICK_EXIT(multi) != CURLM_OK)
	{
		wa_http_session_destroy(session);
		return NULL;
	}
	return session;
}

void
wa_http_session_destroy(WaHttpSession *session)
{
	if (session == NULL)
		return;
	if (session->nobody != NULL)
		curl_easy_cleanup(session->nobody);
	if (session->multi != NULL)
		curl_multi_cleanup(session->multi);
	free(session);
}

/*
 * An error of libcurl's leaves the old limit in force, which does no harm.
 */
void
wa_http_session_limit(WaHttpSession *session, int host_connections, int connections)
{
	if (host_connections != session->host_connections &&
		curl_multi_setopt(session->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long) host_connections) ==
			CURLM_OK)
		session->host_connections = host_connections;
	if (connections != session->connections &&
		curl_multi_setopt(session->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long) connections) ==
			CURLM_OK)
		session->connections = connections;
}

WaHttpSession *
wa_http_session_next(const WaHttpSession *session)
{
	return session->next;
}

void
wa_http_session_link(WaHttpSession *session, WaHttpSession *next)
{
	session->next = next;
}

CURLMcode
wa_http_session_add(WaHttpSession *session, WaTransfer *t)
{
	CURLMcode code = curl_multi_add_handle(session->multi, t->easy);

	if (code == CURLM_OK)
	{
		t->session = session;
		session->active++;
	}
	return code;
}

void
wa_http_session_remove(WaHttpSession *session, WaTransfer *t)
{
	(void) curl_multi_remove_handle(session->multi, t->easy);
	t->session = NULL;
	session->active--;
}

int
wa_http_session_active(const WaHttpSession *session)
{
	return session->active;
}

CURLMcode
wa_http_session_socket(WaHttpSession *session, const WaPollEvent *event)
{
	int mask = 0;
	int running;

	if (event->events & WA_POLL_IN)
		mask |= CURL_CSELECT_IN;
	if (event->events & WA_POLL_OUT)
		mask |= CURL_CSELECT_OUT;
	if (event->events & WA_POLL_ERROR)
		mask |= CURL_CSELECT_ERR;
	return curl_multi_socket_action(session->multi, event->fd, mask, &running);
}

/*
 * The deadline is cleared first: libcurl sets it again if it wants another
 * call, but says nothing if it does not.  Left set, the caller would never
 * sleep again.
 */
CURLMcode
wa_http_session_timer(WaHttpSession *session, int64_t now_us)
{
	int running;

	if (session->deadline_us > now_us)
		return CURLM_OK;
	session->deadline_us = WA_NO_DEADLINE;
	return curl_multi_socket_action(session->multi, CURL_SOCKET_TIMEOUT, 0, &running);
}

/*
 * Requests wait for a connection that is being opened, since it may turn out to be one
 * of HTTP/2, which they could share (CURLOPT_PIPEWAIT).  If it is one of HTTP/1.1 libcurl
 * before 8.10 lets them go on.  Since then it forgets them until some request has ended;
 * but they look again whenever one is taken out, even if that has never begun.
 */
void
wa_http_session_wake(WaHttpSession *session)
{
	if (curl_multi_add_handle(session->multi, session->nobody) == CURLM_OK)
		(void) curl_multi_remove_handle(session->multi, session->nobody);
}

int64_t
wa_http_session_deadline(const WaHttpSession *session)
{
	return session->deadline_us;
}

WaTransfer *
wa_http_session_ended(WaHttpSession *session, CURLcode *code)
{
	CURLMsg *message;
	char *transfer = NULL;
	int left;

	do
	{
		message = curl_multi_info_read(session->multi, &left);
		if (message == NULL)
			return NULL;
	} while (message->msg != CURLMSG_DONE);

	*code = message->data.result;
	curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
	return (WaTransfer *) transfer;
}
