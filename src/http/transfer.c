/*
 * transfer.c
 *	  One request and what became of it: an easy handle and its callbacks.
 *
 * What the caller most needs to know of a failed request is whether the peer
 * may have acted on it: nobody can ask afterwards, and a message sent twice
 * reaches a human twice.  So the body is handed out by a callback of ours,
 * which counts.  libcurl cannot have sent what it has not taken, and without
 * its last byte a request is void.  libcurl's own counters would not do: over
 * HTTP/2 they may lag behind what is already on the wire.
 *
 * Over plain HTTP/1.1 they do not, since a connection carries one request and
 * what is counted is what the kernel took.  There libcurl is given the body as
 * a whole, and passes it on in one call together with the headers: a third
 * less work than two calls.
 *
 * libcurl repeats a request by itself when a connection that was used before
 * dies without a response, which is exactly when we must not.  about_to_send()
 * stops that; and where a callback hands out the body there is deliberately no
 * way to rewind it (no CURLOPT_SEEKFUNCTION), so that the repetition fails with
 * CURLE_SEND_FAIL_REWIND if anything had been sent.  A request that an HTTP/2 server
 * has refused ends in the same way: refusal.c tells the two apart.
 *
 * The callbacks, those of http/response.c among them, are called from within
 * libcurl.  They copy bytes and set fields; they allocate with malloc only, and
 * nothing in them can raise.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/now.h"
#include "http/poller.h"
#include "http/response.h"
#include "http/transfer.h"

#include "compat.h"

/*
 * Answers are a few hundred bytes and bodies a few hundred more: small
 * buffers save 60 kB for each request under way.
 */
#define RECEIVE_BUFFER 1024L
#define SEND_BUFFER 16384L

/* Bytes in a millisecond: a quarter of what a slow DSL line sends. */
#define SLOWEST_UPLOAD 32

#define KEEPALIVE_IDLE_S 60L
#define KEEPALIVE_INTERVAL_S 15L

/* Takes the action if the option cannot be set. */
#define CHECK_SETOPT(easy, option, value, action)                                                  \
	do                                                                                             \
	{                                                                                              \
		if (curl_easy_setopt((easy), (option), (value)) != CURLE_OK)                               \
			action;                                                                                \
	} while (0)

/* ---- callbacks -------------------------------------------------------------- */

static void
note_begun(WaTransfer *t)
{
	if (t->begun)
		return;
	t->begun = true;
	t->result.begun_us = wa_http_now_us();
	wa_begun_add(t->options->begun, &t->news);
}

/*
 * From the end of the request on http/refusal.c listens, or from the beginning of one
 * that has no body: until then there is nothing to be heard that matters, and libcurl says
 * most.  The option is a flag of the handle's, which may be set at any time; if it cannot,
 * the request stays in doubt.
 */
static void
listen_from_now_on(WaTransfer *t)
{
	if (!t->is_plain && !t->listening)
		t->listening = curl_easy_setopt(t->easy, CURLOPT_VERBOSE, 1L) == CURLE_OK;
}

/*
 * Hands out the body.
 */
static size_t
read_body(char *out, size_t size, size_t n, void *arg)
{
	WaTransfer *t = arg;
	size_t len = t->body.len - t->body_taken;

	note_begun(t);
	if (len > size * n)
		len = size * n;
	if (len > 0)
		memcpy(out, t->body.data + t->body_taken, len);
	t->body_taken += len;
	wa_stream_proved(&t->stream);
	if (t->body_taken == t->body.len)
		listen_from_now_on(t);
	return len;
}

#ifdef WA_CURL_HAS_PREREQ
static int
libcurl_says(CURL *easy, curl_infotype type, char *text, size_t len, void *arg)
{
	WaTransfer *t = arg;

	if (type == CURLINFO_TEXT && wa_stream_heard(&t->stream, text, len))
		t->options->notices->over = true;
	return 0;
}

static void
begin_stream(WaTransfer *t, WaConnection *connection)
{
	wa_stream_begun(&t->stream, connection);
	if (connection == NULL || connection->begun == 1)
		t->options->notices->connected = true;
	if (t->body.len == 0)
		listen_from_now_on(t);
}

/*
 * Called each time a connection is ready for this request: once, and again if
 * libcurl starts over.  A POST of which anything was taken must not; of one that
 * goes out at once, or has no body, that is all that is known.  Nor must any
 * request go into a connection that is known to be closed.
 */
static int
about_to_send(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
	WaTransfer *t = arg;

	t->repeated = t->begun && (t->at_once || t->body.len == 0);
	if (t->repeated || t->body_taken > 0)
		return CURL_PREREQFUNC_ABORT;
	if (wa_poller_is_closed_port(t->options->poller, local_port))
	{
		t->stale = true;
		return CURL_PREREQFUNC_ABORT;
	}
	if (!t->is_plain)
		begin_stream(t, wa_connections_find(t->options->connections, local_port));
	note_begun(t);
	return CURL_PREREQFUNC_OK;
}
#endif

/*
 * Called before a name is looked up that libcurl does not know.
 */
static int
about_to_look_up(void *resolver, void *reserved, void *arg)
{
	WaTransfer *t = arg;

	t->looked_up = true;
	t->no_lookup = !wa_lookups_may_begin(t->options->lookups);
	return t->no_lookup ? 1 : 0;
}

/* ---- life -------------------------------------------------------------------- */

/*
 * Options that are the same for all requests.
 */
static bool
set_common_options(WaTransfer *t, const WaTransferOptions *options)
{
	const WaHttpConfig *config = options->config;
	CURL *easy = t->easy;

	CHECK_SETOPT(easy, CURLOPT_PRIVATE, t, return false);
	CHECK_SETOPT(easy, CURLOPT_ERRORBUFFER, t->error, return false);
	CHECK_SETOPT(easy, CURLOPT_NOSIGNAL, 1L, return false);
	CHECK_SETOPT(easy, CURLOPT_NOPROGRESS, 1L, return false);
	CHECK_SETOPT(easy, CURLOPT_USERAGENT, "whatsapp_shared", return false);

	/* where a request may go: nowhere but to the URL that was given */
	if (WA_CURL_SET_PROTOCOLS(easy) != CURLE_OK)
		return false;
	CHECK_SETOPT(easy, CURLOPT_FOLLOWLOCATION, 0L, return false);
	CHECK_SETOPT(easy, CURLOPT_HTTP09_ALLOWED, 0L, return false);

	/* to whom: the peer must prove its name */
	CHECK_SETOPT(easy, CURLOPT_SSL_VERIFYPEER, 1L, return false);
	CHECK_SETOPT(easy, CURLOPT_SSL_VERIFYHOST, 2L, return false);
	CHECK_SETOPT(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2, return false);
	if (config->ca_file != NULL)
		CHECK_SETOPT(easy, CURLOPT_CAINFO, config->ca_file, return false);

	/*
	 * With a directory of certificates libcurl keeps no parsed bundle and
	 * reads it anew for every connection (20 ms).  The file says the same.
	 */
	if (config->ca_file != NULL ||
		WA_CURL_DEFAULT_CA_FILE(curl_version_info(CURLVERSION_NOW)) != NULL)
		CHECK_SETOPT(easy, CURLOPT_CAPATH, NULL, return false);

	CHECK_SETOPT(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) config->connect_timeout_ms, return false);
	CHECK_SETOPT(easy, CURLOPT_TIMEOUT_MS, (long) config->request_timeout_ms, return false);
	if (config->slowest > 0)
	{
		CHECK_SETOPT(easy, CURLOPT_LOW_SPEED_LIMIT, (long) config->slowest, return false);
		CHECK_SETOPT(easy, CURLOPT_LOW_SPEED_TIME, ((long) config->slowest_for_ms + 999) / 1000,
					 return false);
	}
	CHECK_SETOPT(easy, CURLOPT_TCP_NODELAY, 1L, return false);
	CHECK_SETOPT(easy, CURLOPT_TCP_KEEPALIVE, 1L, return false);
	CHECK_SETOPT(easy, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_IDLE_S, return false);
	CHECK_SETOPT(easy, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S, return false);
	CHECK_SETOPT(easy, CURLOPT_BUFFERSIZE,
				 config->receive_buffer > 0 ? (long) config->receive_buffer : RECEIVE_BUFFER,
				 return false);
	CHECK_SETOPT(easy, CURLOPT_UPLOAD_BUFFERSIZE, SEND_BUFFER, return false);

	CHECK_SETOPT(easy, CURLOPT_RESOLVER_START_FUNCTION, about_to_look_up, return false);
	CHECK_SETOPT(easy, CURLOPT_RESOLVER_START_DATA, t, return false);
#ifdef WA_CURL_HAS_QUICK_EXIT
	/* a request that is given up does not wait for its name: http/lookup.c */
	CHECK_SETOPT(easy, CURLOPT_QUICK_EXIT, 1L, return false);
#endif
	CHECK_SETOPT(easy, CURLOPT_OPENSOCKETFUNCTION, options->open_socket, return false);
	CHECK_SETOPT(easy, CURLOPT_OPENSOCKETDATA, options->socket_arg, return false);
	CHECK_SETOPT(easy, CURLOPT_CLOSESOCKETFUNCTION, options->close_socket, return false);
	CHECK_SETOPT(easy, CURLOPT_CLOSESOCKETDATA, options->socket_arg, return false);
	CHECK_SETOPT(easy, CURLOPT_READFUNCTION, read_body, return false);
	CHECK_SETOPT(easy, CURLOPT_READDATA, t, return false);
	CHECK_SETOPT(easy, CURLOPT_WRITEFUNCTION, wa_http_response_body, return false);
	CHECK_SETOPT(easy, CURLOPT_WRITEDATA, &t->response, return false);
	CHECK_SETOPT(easy, CURLOPT_HEADERFUNCTION, wa_http_response_header, return false);
	CHECK_SETOPT(easy, CURLOPT_HEADERDATA, &t->response, return false);
#ifdef WA_CURL_HAS_PREREQ
	CHECK_SETOPT(easy, CURLOPT_PREREQFUNCTION, about_to_send, return false);
	CHECK_SETOPT(easy, CURLOPT_PREREQDATA, t, return false);
	CHECK_SETOPT(easy, CURLOPT_DEBUGFUNCTION, libcurl_says, return false);
	CHECK_SETOPT(easy, CURLOPT_DEBUGDATA, t, return false);
#endif
	return true;
}

static bool
set_fresh(WaTransfer *t, bool fresh)
{
	if (fresh != t->told_fresh)
		CHECK_SETOPT(t->easy, CURLOPT_FRESH_CONNECT, fresh ? 1L : 0L, return false);
	t->told_fresh = fresh;
	return true;
}

/*
 * A file may take as long as its size asks for, 100 MB some 50 minutes, as long
 * as it moves: nothing for the time of a request, and it is given up, too.
 */
static bool
set_time_for_upload(WaTransfer *t)
{
	long request_ms = t->options->config->request_timeout_ms;

	if (t->upload_ms == t->told_upload_ms)
		return true;
	CHECK_SETOPT(t->easy, CURLOPT_TIMEOUT_MS, request_ms + t->upload_ms, return false);
	CHECK_SETOPT(t->easy, CURLOPT_LOW_SPEED_LIMIT, t->upload_ms > 0 ? 1L : 0L, return false);
	CHECK_SETOPT(t->easy, CURLOPT_LOW_SPEED_TIME, (request_ms + 999) / 1000, return false);
	t->told_upload_ms = t->upload_ms;
	return true;
}

/* A handle may have been left to listen by the request before. */
static bool
set_not_listening(WaTransfer *t)
{
	if (t->listening)
		CHECK_SETOPT(t->easy, CURLOPT_VERBOSE, 0L, return false);
	t->listening = false;
	return true;
}

/*
 * HTTP/2 only where TLS negotiates it.  Over plain http there is nothing to
 * negotiate and so nothing to wait for, and as base/guc.c allows it for this host
 * only, no proxy of the environment has any business with it.
 */
static bool
set_scheme(WaTransfer *t, bool is_plain)
{
	CHECK_SETOPT(t->easy, CURLOPT_HTTP_VERSION,
				 is_plain ? (long) CURL_HTTP_VERSION_1_1 : (long) CURL_HTTP_VERSION_2TLS,
				 return false);
	CHECK_SETOPT(t->easy, CURLOPT_PIPEWAIT, is_plain ? 0L : 1L, return false);
	CHECK_SETOPT(t->easy, CURLOPT_NOPROXY, is_plain ? "*" : NULL, return false);
	t->told_plain = is_plain;
	return true;
}

/* In place of the one that it may have. */
static bool
make_handle(WaTransfer *t)
{
	if (t->easy != NULL)
		curl_easy_cleanup(t->easy);
	t->generation = t->options->generation;
	t->told_fresh = false;
	t->told_upload_ms = 0;
	t->listening = false;
	t->response.max_size = t->options->config->max_response;
	t->easy = curl_easy_init();
	return t->easy != NULL && set_common_options(t, t->options) && set_scheme(t, false);
}

WaTransfer *
wa_transfer_create(const WaTransferOptions *options)
{
	WaTransfer *t = calloc(1, sizeof(WaTransfer));

	if (t == NULL)
		return NULL;
	t->state = WA_TRANSFER_FREE;
	t->options = options;
	t->news.owner = t;
	if (!make_handle(t))
	{
		wa_transfer_destroy(t);
		return NULL;
	}
	return t;
}

void
wa_transfer_reset(WaTransfer *t)
{
	wa_http_headers_release(t->headers);
	t->headers = NULL;
	wa_http_url_release(t->url);
	t->url = NULL;
	free(t->own_url);
	t->own_url = NULL;
	t->list = NULL;
	wa_http_headers_free_list(t->own_list);
	t->own_list = NULL;
	wa_buffer_reset(&t->body);
	wa_http_response_reset(&t->response);
	wa_begun_remove(t->options->begun, &t->news);
	t->looked_up = false;
	t->no_lookup = false;
	t->begun = false;
	t->moved = false;
	t->stale = false;
	t->restarted = false;
	t->repeated = false;
	wa_stream_ended(&t->stream, false);
	memset(&t->stream, 0, sizeof(t->stream));
	t->body_taken = 0;
	t->error[0] = '\0';
	memset(&t->result, 0, sizeof(t->result));
}

void
wa_transfer_destroy(WaTransfer *t)
{
	if (t == NULL)
		return;
	if (t->easy != NULL)
		curl_easy_cleanup(t->easy);
	wa_transfer_reset(t);
	free(t->body.data);
	wa_http_response_free(&t->response);
	free(t);
}

/*
 * The address of a message is used again and again; of others, each once.
 */
static bool
keep_url(WaTransfer *t, const char *url, bool often)
{
	t->url = often ? wa_http_urls_get(t->options->urls, url) : NULL;
	if (t->url == NULL)
		t->own_url = strdup(url);
	return t->url != NULL || t->own_url != NULL;
}

static bool
keep_headers(WaTransfer *t, WaHttpHeaders *headers, const char *content_type, const char *line)
{
	t->headers = headers;
	headers->refcount++;
	if (!t->has_body)
		t->list = headers->get;
	else if (content_type == NULL && line == NULL)
		t->list = headers->json;
	else
		t->list = t->own_list = wa_http_headers_list(
			headers, content_type != NULL ? content_type : "application/json", line);
	return t->list != NULL;
}

static bool
set_url(WaTransfer *t)
{
	CHECK_SETOPT(t->easy, CURLOPT_CURLU, t->url != NULL ? t->url->parsed : NULL, return false);
	if (t->url == NULL)
		CHECK_SETOPT(t->easy, CURLOPT_URL, t->own_url, return false);
	return true;
}

static bool
set_body(WaTransfer *t)
{
	if (!t->has_body)
	{
		CHECK_SETOPT(t->easy, CURLOPT_HTTPGET, 1L, return false);
		return true;
	}
	CHECK_SETOPT(t->easy, CURLOPT_POST, 1L, return false);
	CHECK_SETOPT(t->easy, CURLOPT_POSTFIELDS, t->at_once ? t->body.data : NULL, return false);
	CHECK_SETOPT(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) t->body.len, return false);
	return true;
}

void
wa_transfer_note_lookup(const WaTransfer *t)
{
	double found = 0;

	if (t->looked_up && !t->begun &&
		curl_easy_getinfo(t->easy, CURLINFO_NAMELOOKUP_TIME, &found) == CURLE_OK && found == 0)
		t->options->lookups->left_behind = true;
}

/* Tells the handle what is kept of the request. */
static bool
set_request(WaTransfer *t)
{
	if (!set_fresh(t, false) || !set_not_listening(t) ||
		(t->is_plain != t->told_plain && !set_scheme(t, t->is_plain)) || !set_time_for_upload(t))
		return false;
	CHECK_SETOPT(t->easy, CURLOPT_HTTPHEADER, t->list, return false);
	return set_url(t) && set_body(t);
}

bool
wa_transfer_prepare(WaTransfer *t, const char *url, const char *body, size_t body_len,
					const char *content_type, const char *line, WaHttpHeaders *headers)
{
	wa_transfer_reset(t);
	t->has_body = body != NULL;
	t->is_plain = strncasecmp(url, "http:", 5) == 0;
#ifdef WA_CURL_HAS_PREREQ
	t->at_once = t->is_plain;
#else
	/* unknown for a GET, then; a POST begins when its body is read */
	t->begun = body == NULL || body_len == 0;
#endif
	t->upload_ms = content_type == NULL ? 0 : (long) (body_len / SLOWEST_UPLOAD);
	return keep_headers(t, headers, content_type, line) &&
		   keep_url(t, url, t->list == headers->json) &&
		   (body == NULL || wa_buffer_append(&t->body, body, body_len)) && set_request(t);
}

bool
wa_transfer_renew(WaTransfer *t)
{
	wa_transfer_note_lookup(t);
	t->looked_up = t->no_lookup = false;
	return make_handle(t) && set_request(t);
}

/*
 * Once is enough: whoever closes even a fresh connection at once, or refuses the
 * first stream of one, will not be won over by a third.
 */
bool
wa_transfer_may_again(const WaTransfer *t)
{
	return !t->restarted && (t->stale || wa_transfer_is_refused(t));
}

/* A handle of which a stream was refused remembers that: it gets another one. */
bool
wa_transfer_again(WaTransfer *t, bool fresh)
{
	bool was_refused = wa_transfer_is_refused(t);

	wa_begun_remove(t->options->begun, &t->news);
	wa_http_response_reset(&t->response);
	t->stale = false;
	t->begun = false;
	wa_stream_ended(&t->stream, false);
	memset(&t->stream, 0, sizeof(t->stream));
	t->body_taken = 0;
	t->result.begun_us = 0;
	t->restarted = true;
	t->error[0] = '\0';
	return (!was_refused || wa_transfer_renew(t)) && set_not_listening(t) && set_fresh(t, fresh);
}
