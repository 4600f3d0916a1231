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
 * CURLE_SEND_FAIL_REWIND if anything had been sent.  A request that HTTP/2 calls
 * refused (REFUSED_STREAM, GOAWAY) ends in the same way and counts as in
 * doubt, because libcurl does not tell the two apart.
 *
 * The callbacks, those of http/response.c among them, are called from within
 * libcurl.  They copy bytes and set fields; they allocate with malloc only, and
 * nothing in them can raise.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

/*
 * Hands out the body.
 */
static size_t
read_body(char *out, size_t size, size_t n, void *arg)
{
	WaTransfer *t = arg;
	size_t len = t->body.len - t->body_taken;

	t->begun = true;
	if (len > size * n)
		len = size * n;
	if (len > 0)
		memcpy(out, t->body.data + t->body_taken, len);
	t->body_taken += len;
	return len;
}

#ifdef WA_CURL_HAS_PREREQ
/*
 * Called each time a connection is ready for this request: once, and again if
 * libcurl starts over.  A POST of which anything was taken must not; of one that
 * goes out at once, that is all that is known.  Nor must any request go into a
 * connection that is known to be closed.
 */
static int
about_to_send(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
	WaTransfer *t = arg;

	t->repeated = t->at_once && t->begun;
	if (t->repeated || t->body_taken > 0)
		return CURL_PREREQFUNC_ABORT;
	if (wa_poller_is_closed_port(t->poller, local_port))
	{
		t->stale = true;
		return CURL_PREREQFUNC_ABORT;
	}
	t->begun = true;
	return CURL_PREREQFUNC_OK;
}
#endif

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
	CHECK_SETOPT(easy, CURLOPT_TIMEOUT_MS, t->request_timeout_ms, return false);
	CHECK_SETOPT(easy, CURLOPT_TCP_NODELAY, 1L, return false);
	CHECK_SETOPT(easy, CURLOPT_TCP_KEEPALIVE, 1L, return false);
	CHECK_SETOPT(easy, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_IDLE_S, return false);
	CHECK_SETOPT(easy, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S, return false);
	CHECK_SETOPT(easy, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER, return false);
	CHECK_SETOPT(easy, CURLOPT_UPLOAD_BUFFERSIZE, SEND_BUFFER, return false);

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
#endif
	return true;
}

static bool
set_fresh(WaTransfer *t, bool fresh)
{
	if (fresh != t->fresh)
		CHECK_SETOPT(t->easy, CURLOPT_FRESH_CONNECT, fresh ? 1L : 0L, return false);
	t->fresh = fresh;
	return true;
}

/*
 * A file may take as long as its size asks for, 100 MB some 50 minutes, as long
 * as it moves: nothing for the time of a request, and it is given up, too.
 */
static bool
set_time_for_upload(WaTransfer *t, size_t size)
{
	long upload_ms = (long) (size / SLOWEST_UPLOAD);

	if (upload_ms == t->upload_ms)
		return true;
	CHECK_SETOPT(t->easy, CURLOPT_TIMEOUT_MS, t->request_timeout_ms + upload_ms, return false);
	CHECK_SETOPT(t->easy, CURLOPT_LOW_SPEED_LIMIT, upload_ms > 0 ? 1L : 0L, return false);
	CHECK_SETOPT(t->easy, CURLOPT_LOW_SPEED_TIME, (t->request_timeout_ms + 999) / 1000,
				 return false);
	t->upload_ms = upload_ms;
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
	t->is_plain = is_plain;
	return true;
}

WaTransfer *
wa_transfer_create(const WaTransferOptions *options)
{
	WaTransfer *t = calloc(1, sizeof(WaTransfer));

	if (t == NULL)
		return NULL;
	t->state = WA_TRANSFER_FREE;
	t->response.max_size = options->config->max_response;
	t->request_timeout_ms = options->config->request_timeout_ms;
	t->poller = options->poller;
	t->urls = options->urls;
	t->easy = curl_easy_init();
	if (t->easy == NULL || !set_common_options(t, options) || !set_scheme(t, false))
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
	wa_http_headers_free_list(t->own_list);
	t->own_list = NULL;
	wa_buffer_reset(&t->body);
	wa_http_response_reset(&t->response);
	t->begun = false;
	t->stale = false;
	t->restarted = false;
	t->repeated = false;
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
set_url(WaTransfer *t, const char *url, bool often)
{
	t->url = often ? wa_http_urls_get(t->urls, url) : NULL;
	CHECK_SETOPT(t->easy, CURLOPT_CURLU, t->url != NULL ? t->url->parsed : NULL, return false);
	if (t->url == NULL)
		CHECK_SETOPT(t->easy, CURLOPT_URL, url, return false);
	return true;
}

static bool
set_body(WaTransfer *t, const char *body, size_t body_len)
{
	if (body == NULL)
	{
		CHECK_SETOPT(t->easy, CURLOPT_HTTPGET, 1L, return false);
		return true;
	}
	if (!wa_buffer_append(&t->body, body, body_len))
		return false;
	CHECK_SETOPT(t->easy, CURLOPT_POST, 1L, return false);
	CHECK_SETOPT(t->easy, CURLOPT_POSTFIELDS, t->at_once ? t->body.data : NULL, return false);
	CHECK_SETOPT(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) body_len, return false);
	return true;
}

bool
wa_transfer_prepare(WaTransfer *t, const char *url, const char *body, size_t body_len,
					const char *content_type, WaHttpHeaders *headers)
{
	bool is_plain = strncasecmp(url, "http:", 5) == 0;
	struct curl_slist *list;

	wa_transfer_reset(t);
	t->headers = headers;
	headers->refcount++;
#ifdef WA_CURL_HAS_PREREQ
	t->at_once = is_plain;
#endif

	if (body == NULL)
		list = headers->get;
	else if (content_type == NULL)
		list = headers->json;
	else
	{
		list = t->own_list = wa_http_headers_list(headers, content_type);
		if (list == NULL)
			return false;
	}

	if (!set_fresh(t, false) || (is_plain != t->is_plain && !set_scheme(t, is_plain)) ||
		!set_time_for_upload(t, content_type == NULL ? 0 : body_len))
		return false;
	CHECK_SETOPT(t->easy, CURLOPT_HTTPHEADER, list, return false);
	if (!set_url(t, url, list == headers->json) || !set_body(t, body, body_len))
		return false;
#ifndef WA_CURL_HAS_PREREQ
	/* unknown for a GET, then; a POST begins when its body is read */
	t->begun = body == NULL || body_len == 0;
#endif
	return true;
}

/*
 * Nothing of it was taken.  Once is enough: whoever closes even a fresh
 * connection at once will not be won over by a third one.
 */
bool
wa_transfer_again(WaTransfer *t, bool fresh)
{
	if (!t->stale || t->restarted || !set_fresh(t, fresh))
		return false;
	t->stale = false;
	t->begun = false;
	t->restarted = true;
	t->error[0] = '\0';
	return true;
}

static WaHttpPhase
phase_of(const WaTransfer *t, CURLcode code)
{
	if (code == CURLE_OK)
		return WA_HTTP_ANSWERED;
	if (!t->begun)
		return WA_HTTP_NOT_WRITTEN;
	if (t->at_once)
	{
		curl_off_t sent = 0;

		/* a repetition begins with new counters */
		if (t->repeated || curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &sent) != CURLE_OK)
			return WA_HTTP_NO_ANSWER;
		return sent < (curl_off_t) t->body.len ? WA_HTTP_NOT_WRITTEN : WA_HTTP_NO_ANSWER;
	}
	return t->body_taken < t->body.len ? WA_HTTP_NOT_WRITTEN : WA_HTTP_NO_ANSWER;
}

static const char *
error_words(const WaTransfer *t, CURLcode code)
{
	if (code == CURLE_OK)
		return "";
	if (t->response.too_large)
		return "the response is too large";
	if (t->stale)
		return "the connection was closed before the request";
	if (code == CURLE_SEND_FAIL_REWIND || code == CURLE_ABORTED_BY_CALLBACK)
		return "the connection was closed before the response";
	return t->error[0] != '\0' ? t->error : curl_easy_strerror(code);
}

void
wa_transfer_finish(WaTransfer *t, CURLcode code, const char *reason)
{
	WaHttpResult *r = &t->result;

	r->phase = phase_of(t, code);
	r->error_code = (int) code;
	r->error = reason != NULL ? reason : error_words(t, code);
	r->status = 0;
	if (t->response.protocol != WA_PROTOCOL_UNKNOWN)
		curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &r->status);
	r->body = wa_buffer_text(&t->response.body);
	r->body_len = t->response.body.len;
	r->usage = wa_buffer_text(&t->response.usage);
	r->api_version = t->response.api_version;
	r->content_type = t->response.content_type;
	r->retry_after_s = t->response.retry_after_s;
}
