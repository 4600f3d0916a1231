/*
 * http.c
 *	  Many requests at once: libcurl's multi interface behind an epoll fd.
 *
 * The files of this folder are the only ones that know libcurl.  They include
 * nothing of PostgreSQL, so nothing in them can raise an error through
 * libcurl's frames or allocate in a memory context.
 */
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "http/client.h"
#include "http/http.h"
#include "http/now.h"

#include "compat.h"

/* ---- life --------------------------------------------------------------------- */

const char *
wa_http_system_ca_file(void)
{
	return WA_CURL_DEFAULT_CA_FILE(curl_version_info(CURLVERSION_NOW));
}

/* Makes it the client's own.  False: out of memory, and nothing has changed. */
static bool
take_config(WaHttp *http, const WaHttpConfig *config)
{
	char *ca_file = NULL;

	if (config->ca_file != NULL && config->ca_file[0] != '\0')
	{
		ca_file = strdup(config->ca_file);
		if (ca_file == NULL)
			return false;
	}
	free(http->ca_file);
	http->ca_file = ca_file;
	http->config = *config;
	http->config.ca_file = ca_file;
	http->sockets.unacknowledged_ms = (unsigned int) config->request_timeout_ms;
	http->sockets.max = config->max_sockets;
	return true;
}

static bool
set_up(WaHttp *http, const WaHttpConfig *config)
{
	http->poller = wa_poller_create();
	http->sockets.poller = http->poller;
	http->sockets.connections = &http->connections;
	http->connections.uncounted = !wa_streams_can_be_counted();
	http->urls = wa_http_urls_create();
	http->headers = wa_http_headers_create(NULL);
	http->options = (WaTransferOptions){.config = &http->config,
										.poller = http->poller,
										.urls = http->urls,
										.begun = &http->begun,
										.connections = &http->connections,
										.lookups = &http->lookups,
										.notices = &http->notices,
										.open_socket = wa_http_open_socket,
										.close_socket = wa_http_close_socket,
										.socket_arg = &http->sockets};
	return http->poller != NULL && http->urls != NULL && http->headers != NULL &&
		   take_config(http, config) && wa_client_renew_session(http);
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
	if (!set_up(http, config))
	{
		wa_http_destroy(http);
		return NULL;
	}
	return http;
}

static void
destroy_transfers(WaHttp *http, WaTransferState state)
{
	WaTransfer *t;

	while ((t = http->lists[state].head) != NULL)
	{
		wa_transfer_list_remove(http->lists, t);
		wa_transfer_destroy(t);
	}
}

void
wa_http_destroy(WaHttp *http)
{
	sigset_t saved;

	if (http == NULL)
		return;
	wa_http_abort_all(http);
	for (int state = 0; state < WA_TRANSFER_STATES; state++)
		destroy_transfers(http, state);
	wa_client_block_signals(&saved);
	wa_client_destroy_sessions(http);
	wa_client_restore_signals(&saved);
	wa_connections_close(&http->connections);
	wa_poller_destroy(http->poller);
	wa_http_urls_destroy(http->urls);
	wa_http_headers_release(http->headers);
	free(http->ca_file);
	free(http);
	curl_global_cleanup();
}

bool
wa_http_reconfigure(WaHttp *http, const WaHttpConfig *config)
{
	sigset_t saved;

	if (!take_config(http, config))
		return false;
	wa_client_block_signals(&saved);
	wa_client_call_back_unbegun(http, true);
	destroy_transfers(http, WA_TRANSFER_FREE);
	http->options.generation++;
	http->draining = http->lists[WA_TRANSFER_ACTIVE].count;
	if (http->session != NULL)
		wa_client_retire_session(http);
	wa_client_discard_idle(http);
	(void) wa_client_renew_session(http); /* or else by wa_http_step */
	wa_client_restore_signals(&saved);
	return true;
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
	WaTransfer *t = http->lists[WA_TRANSFER_FREE].head;

	if (t == NULL)
	{
		t = wa_transfer_create(&http->options);
		if (t != NULL)
			wa_transfer_list_append(http->lists, t, WA_TRANSFER_FREE);
	}
	return t;
}

/*
 * The request leaves at the next wa_http_step.
 */
static bool
submit(WaHttp *http, const char *url, const char *body, size_t body_len, const char *content_type,
	   const char *line, void *tag)
{
	WaTransfer *t;

	if (wa_http_in_flight(http) - http->draining >= http->config.max_in_flight)
		return false;
	t = free_transfer(http);
	if (t == NULL)
		return false;
	if (!wa_transfer_prepare(t, url, body, body_len, content_type, line, http->headers))
	{
		wa_transfer_reset(t);
		return false;
	}
	t->result.tag = tag;
	t->result.started_us = wa_http_now_us();
	wa_transfer_list_move(http->lists, t, WA_TRANSFER_WAITING);
	return true;
}

bool
wa_http_submit(WaHttp *http, const char *url, const char *body, size_t body_len,
			   const char *content_type, void *tag)
{
	return submit(http, url, body, body_len, content_type, NULL, tag);
}

bool
wa_http_submit_json(WaHttp *http, const char *url, const char *body, size_t body_len,
					const char *line, void *tag)
{
	return submit(http, url, body, body_len, NULL, line, tag);
}

bool
wa_http_next_begun(WaHttp *http, void **tag, int64_t *begun_us)
{
	WaBegun *begun = http->begun.head;
	const WaTransfer *t;

	if (begun == NULL)
		return false;
	t = begun->owner;
	wa_begun_remove(&http->begun, begun);
	*tag = t->result.tag;
	*begun_us = t->result.begun_us;
	return true;
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

	if (result->error_code != 0 || t->generation != http->options.generation)
	{
		wa_transfer_list_remove(http->lists, t);
		wa_transfer_destroy(t);
		return;
	}
	wa_transfer_reset(t);
	wa_transfer_list_move(http->lists, t, WA_TRANSFER_FREE);
}

/* Ends what is not finished: all, or what has not begun; of these, if asked, what may not. */
static void
end_transfers(WaHttp *http, bool also_begun, bool (*may_begin)(void *tag, void *arg), void *arg)
{
	static const WaTransferState unfinished[] = {WA_TRANSFER_WAITING, WA_TRANSFER_ACTIVE};
	sigset_t saved;

	wa_client_block_signals(&saved);
	for (int i = 0; i < 2; i++)
	{
		WaTransfer *next;

		for (WaTransfer *t = http->lists[unfinished[i]].head; t != NULL; t = next)
		{
			next = t->next;
			if ((also_begun || !t->begun) && (may_begin == NULL || !may_begin(t->result.tag, arg)))
				wa_client_finish(http, t, CURLE_ABORTED_BY_CALLBACK, "the request was given up");
		}
	}
	wa_client_restore_signals(&saved);
}

/* ---- looking at it --------------------------------------------------------------- */

int
wa_http_epoll_fd(const WaHttp *http)
{
	return wa_poller_fd(http->poller);
}

void
wa_http_abort_all(WaHttp *http)
{
	end_transfers(http, true, NULL, NULL);
}

void
wa_http_abort_unbegun(WaHttp *http)
{
	end_transfers(http, false, NULL, NULL);
}

void
wa_http_ask_unbegun(WaHttp *http, bool (*may_begin)(void *tag, void *arg), void *arg)
{
	end_transfers(http, false, may_begin, arg);
}

int
wa_http_in_flight(const WaHttp *http)
{
	return http->lists[WA_TRANSFER_WAITING].count + http->lists[WA_TRANSFER_ACTIVE].count;
}

int
wa_http_draining(const WaHttp *http)
{
	return http->draining;
}

int
wa_http_capacity(const WaHttp *http)
{
	return wa_capacity_active(http);
}

int
wa_http_connections(const WaHttp *http)
{
	return wa_poller_open_sockets(http->poller);
}
