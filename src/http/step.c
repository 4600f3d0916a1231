/*
 * step.c
 *	  What can be done without waiting: begin requests, move them along, end them.
 */
#include "http/client.h"
#include "http/http.h"
#include "http/now.h"

#define EVENTS_AT_ONCE 256

/*
 * Beginning a request costs up to a third of a millisecond (a TLS handshake),
 * and the caller wants to look at its signals now and then.
 */
#define STARTS_AT_ONCE 128

/* Sessions that end what they have, before another is added to them because it is stuck. */
#define MAX_RETIRED 4

/* Until a session is tried again that could not be made. */
#define OUT_OF_MEMORY_WAIT_MS 1000

/*
 * Gives a waiting request to libcurl.
 */
static void
start(WaHttp *http, WaTransfer *t)
{
	CURLMcode code = CURLM_OUT_OF_MEMORY;

	if (t->generation == http->options.generation || wa_transfer_renew(t))
		code = wa_http_session_add(http->session, t);
	if (code != CURLM_OK)
		wa_client_finish(http, t, CURLE_OUT_OF_MEMORY, curl_multi_strerror(code));
	else
		wa_transfer_list_move(http->lists, t, WA_TRANSFER_ACTIVE);
}

/*
 * As many as it can send.
 */
static void
start_waiting(WaHttp *http)
{
	for (int i = 0; i < STARTS_AT_ONCE; i++)
	{
		WaTransfer *t = http->lists[WA_TRANSFER_WAITING].head;

		if (t == NULL)
			break;

		/* http needs no negotiation to be known as 1.1 */
		if (t->is_plain && http->protocol == WA_PROTOCOL_UNKNOWN)
		{
			http->protocol = WA_PROTOCOL_HTTP1;
			wa_client_limit_connections(http);
		}
		if (!wa_capacity_may_start(http))
			break;
		start(http, t);
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
			wa_client_finish(http, t, CURLE_OUT_OF_MEMORY, curl_multi_strerror(code));
	}
	wa_client_discard_session(http, session);
}

/*
 * A request that was about to be sent into a connection that the peer has
 * closed, or that the peer has refused.  Over HTTP/1.1 it gets a fresh one.  Over HTTP/2 many
 * requests want that connection, which libcurl would not give up at once: all go to a new session,
 * where they share a new one.
 */
static bool
begin_again(WaHttp *http, WaTransfer *t)
{
	bool http2 = wa_transfer_is_refused(t) || (!t->is_plain && http->protocol == WA_PROTOCOL_HTTP2);
	bool shared =
		http2 && t->session == http->session && wa_client_count_retired(http) < MAX_RETIRED;

	if (!wa_transfer_may_again(t))
		return false;
	wa_client_withdraw(http, t);
	if (wa_transfer_again(t, t->stale && !shared))
		wa_transfer_list_move(http->lists, t, WA_TRANSFER_WAITING);
	else
		wa_client_finish(http, t, CURLE_OUT_OF_MEMORY, NULL);
	http->stuck |= shared;
	return true;
}

/*
 * What libcurl would begin again by itself ends here, or is begun again by us: it would
 * wait for a connection, which may not be to be had before the old one has ended.  The
 * same is in store for new requests, so they get another session.
 */
static void
end_those_over(WaHttp *http)
{
	WaTransfer *next;

	for (WaTransfer *t = http->lists[WA_TRANSFER_ACTIVE].head; t != NULL; t = next)
	{
		next = t->next;
		if (!wa_transfer_is_over(t))
			http->stuck |= t->session == http->session && wa_stream_is_among_the_last(&t->stream);
		else if (!begin_again(http, t))
			wa_client_finish(http, t, CURLE_SEND_FAIL_REWIND, NULL);
	}
}

static void
run_session(WaHttp *http, WaHttpSession *session, const WaPollEvent *events, int count)
{
	CURLMcode code = CURLM_OK;
	WaTransfer *t;
	CURLcode ended;

	for (int i = 0; i < count && code == CURLM_OK; i++)
	{
		if (events[i].owner == session)
			code = wa_http_session_socket(session, &events[i]);
	}
	/* libcurl may just have asked for it: other HTTP/2 streams have data, too */
	if (code == CURLM_OK)
		code = wa_http_session_timer(session, wa_http_now_us());
	while ((t = wa_http_session_ended(session, &ended)) != NULL)
	{
		if (!begin_again(http, t))
			wa_client_finish(http, t, ended, NULL);
	}
	if (code != CURLM_OK)
		give_up_session(http, session, code);
}

/*
 * Lets libcurl read and write what it can without waiting.
 */
static void
run(WaHttp *http)
{
	WaPollEvent events[EVENTS_AT_ONCE];
	int count = wa_poller_ready(http->poller, events, EVENTS_AT_ONCE);
	WaHttpSession *next;

	if (http->session != NULL)
		run_session(http, http->session, events, count);
	for (WaHttpSession *s = http->retired; s != NULL; s = next)
	{
		next = wa_http_session_next(s);
		run_session(http, s, events, count);
	}
	if (http->notices.over)
		end_those_over(http);
	http->notices.over = false;
	if (http->notices.connected && http->session != NULL)
		wa_http_session_wake(http->session);
	http->notices.connected = false;
}

/*
 * A connection of HTTP/1.1 is closed when a response does not come in time.
 * One of HTTP/2 is not, for other requests share it; and if the machine at
 * its other end hangs, all new requests would hang with it, one after the
 * other, for ever.  So they get a new connection, and the old one is closed
 * when it has no request left.  The same goes for one on which the machine at
 * its other end takes no more requests.
 */
static void
retire_stuck_session(WaHttp *http)
{
	if (!http->stuck || http->session == NULL || wa_client_count_retired(http) >= MAX_RETIRED)
		return;
	wa_client_call_back_unbegun(http, false);
	wa_client_retire_session(http);
	(void) wa_client_renew_session(http);
}

/*
 * Does what can be done without waiting.
 */
void
wa_http_step(WaHttp *http)
{
	sigset_t saved;

	wa_client_block_signals(&saved);
	if (http->session != NULL || wa_client_renew_session(http))
		start_waiting(http);
	run(http);
	wa_client_discard_idle(http);
	retire_stuck_session(http);
	wa_client_limit_connections(http);
	wa_client_restore_signals(&saved);
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
	if (http->lists[WA_TRANSFER_WAITING].count > 0 && wa_capacity_may_start(http))
		return http->session != NULL ? 0 : OUT_OF_MEMORY_WAIT_MS;
	if (http->session != NULL)
		deadline = wa_http_session_deadline(http->session);
	for (WaHttpSession *s = http->retired; s != NULL; s = wa_http_session_next(s))
	{
		if (wa_http_session_deadline(s) < deadline)
			deadline = wa_http_session_deadline(s);
	}
	if (deadline == WA_NO_DEADLINE)
		return -1;
	left = deadline - wa_http_now_us();
	return left <= 0 ? 0 : (long) ((left + 999) / 1000);
}
