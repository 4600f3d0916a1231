/*
 * outcome.c
 *	  What became of a request, and what is certain of it.
 *
 * See transfer.c for what it rests on.
 */
#include "http/transfer.h"

/* Whatever the peer has said before that, it contradicts. */
bool
wa_transfer_is_refused(const WaTransfer *t)
{
	return t->response.protocol == WA_PROTOCOL_UNKNOWN && wa_stream_is_refused(&t->stream);
}

bool
wa_transfer_is_over(const WaTransfer *t)
{
	return t->begun && t->response.protocol == WA_PROTOCOL_UNKNOWN && wa_stream_is_over(&t->stream);
}

/*
 * Whether libcurl's counters are those of the one attempt to send this.  A
 * connection that was used before may die without a response: then libcurl goes
 * back to opening one, with new counters, and may fail there.  about_to_send()
 * sees it only if it gets further.  But none of these errors can come from there
 * over plain http: until a connection is open nothing is sent or received.
 */
static bool
is_of_first_attempt(const WaTransfer *t, CURLcode code)
{
	return !t->repeated &&
		   (code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING);
}

static WaHttpPhase
phase_of(const WaTransfer *t, CURLcode code)
{
	if (code == CURLE_OK)
		return WA_HTTP_ANSWERED;
	if (!t->begun || wa_transfer_is_refused(t))
		return WA_HTTP_NOT_WRITTEN;
	if (t->at_once)
	{
		curl_off_t sent = 0;

		if (!is_of_first_attempt(t, code) ||
			curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &sent) != CURLE_OK)
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
	if (t->no_lookup)
		return "too many lookups of names are without an answer";
	if (wa_transfer_is_refused(t))
		return "the server has refused the request before it looked at it";
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

	wa_stream_ended(&t->stream, t->response.protocol != WA_PROTOCOL_UNKNOWN);
	wa_begun_remove(t->options->begun, &t->news);
	if (t->begun && r->begun_us == 0)
		r->begun_us = r->started_us;
	wa_transfer_note_lookup(t);
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
	r->date = t->response.date;
	r->content_type = t->response.content_type;
	r->retry_after_s = t->response.retry_after_s;
}
