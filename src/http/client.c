/*
 * client.c
 *	  The sessions of the HTTP client, one for new requests and those that retire.
 *
 * A session retires when what it has under way is to end as it began, while new
 * requests go another way: since its connection hangs, or since the settings have
 * changed.  It is destroyed when it has nothing left.
 */
#include <string.h>

#include "http/client.h"
#include "http/now.h"

/*
 * libcurl resolves names on threads of its own, which inherit the signal mask
 * of the moment.  With signals open, our handlers would run on them.
 */
void
wa_client_block_signals(sigset_t *saved)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, saved);
}

void
wa_client_restore_signals(const sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

void
wa_client_limit_connections(struct WaHttp *http)
{
	if (http->session != NULL)
		wa_http_session_limit(http->session, wa_capacity_host_connections(http),
							  wa_capacity_connections(http));
}

/* Idle connections are kept: all that there can be. */
bool
wa_client_renew_session(struct WaHttp *http)
{
	http->stuck = false;
	http->session = wa_http_session_create(http->poller, http->config.max_in_flight);
	wa_client_limit_connections(http);
	return http->session != NULL;
}

void
wa_client_retire_session(struct WaHttp *http)
{
	wa_http_session_link(http->session, http->retired);
	http->retired = http->session;
	http->session = NULL;
}

int
wa_client_count_retired(const struct WaHttp *http)
{
	int count = 0;

	for (WaHttpSession *s = http->retired; s != NULL; s = wa_http_session_next(s))
		count++;
	return count;
}

void
wa_client_discard_session(struct WaHttp *http, WaHttpSession *session)
{
	WaHttpSession *previous = NULL;

	if (session == http->session)
		http->session = NULL;
	else if (session == http->retired)
		http->retired = wa_http_session_next(session);
	else
	{
		for (previous = http->retired; wa_http_session_next(previous) != session;)
			previous = wa_http_session_next(previous);
		wa_http_session_link(previous, wa_http_session_next(session));
	}
	wa_http_session_destroy(session);
	wa_http_forget_lost_sockets(&http->sockets);
}

void
wa_client_discard_idle(struct WaHttp *http)
{
	WaHttpSession *next;

	for (WaHttpSession *s = http->retired; s != NULL; s = next)
	{
		next = wa_http_session_next(s);
		if (wa_http_session_active(s) == 0)
			wa_client_discard_session(http, s);
	}
}

void
wa_client_destroy_sessions(struct WaHttp *http)
{
	WaHttpSession *next;

	wa_http_session_destroy(http->session);
	for (WaHttpSession *s = http->retired; s != NULL; s = next)
	{
		next = wa_http_session_next(s);
		wa_http_session_destroy(s);
	}
}

void
wa_client_withdraw(struct WaHttp *http, WaTransfer *t)
{
	wa_http_session_remove(t->session, t);
	if (t->generation != http->options.generation)
		http->draining--;
}

void
wa_client_call_back_unbegun(struct WaHttp *http, bool also_moved)
{
	WaTransfer *next;

	for (WaTransfer *t = http->lists[WA_TRANSFER_ACTIVE].head; t != NULL; t = next)
	{
		next = t->next;
		if (t->begun || (t->moved && !also_moved))
			continue;
		t->moved = true;
		wa_client_withdraw(http, t);
		wa_transfer_note_lookup(t);
		wa_transfer_list_move(http->lists, t, WA_TRANSFER_WAITING);
	}
}

/*
 * New requests can have no share in the HTTP/2 connection that it is on: it does not
 * answer, or takes no more.  Nor could they have another one while it has requests, so
 * they need another session.
 */
static bool
is_stuck(const struct WaHttp *http, const WaTransfer *t, CURLcode code)
{
	return t->session == http->session && t->begun && !t->is_plain &&
		   http->protocol == WA_PROTOCOL_HTTP2 &&
		   (code == CURLE_OPERATION_TIMEDOUT || wa_transfer_is_over(t));
}

void
wa_client_finish(struct WaHttp *http, WaTransfer *t, CURLcode code, const char *reason)
{
	if (t->session != NULL)
	{
		http->stuck |= is_stuck(http, t, code);
		wa_client_withdraw(http, t);
	}
	wa_transfer_finish(t, code, reason);
	t->result.finished_us = wa_http_now_us();
	if (t->response.protocol != WA_PROTOCOL_UNKNOWN)
		http->protocol = t->response.protocol;
	wa_transfer_list_move(http->lists, t, WA_TRANSFER_DONE);
}
