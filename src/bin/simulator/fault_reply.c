/*
 * fault_reply.c
 *	  Turns a rule into what the client sees.
 */
#include "bin/simulator/fault_reply.h"

#include <stdio.h>
#include <string.h>

#include "bin/httpd/buf.h"
#include "bin/simulator/json.h"
#include "bin/simulator/reply.h"

static void
plain_body(SimRequest *request, int status, const char *type, const char *text)
{
	sim_reply_clear(request);
	httpd_reply_text(&request->http.reply, status, type, text);
}

/* A response with an unknown, enormous member in front: valid JSON, and too much. */
static void
inflate(HttpdReply *reply, size_t size)
{
	HttpdBuf bigger = {0};

	httpd_buf_reserve(&bigger, size + reply->body.len + 32);
	httpd_buf_puts(&bigger, "{\"padding\":\"");
	memset(bigger.data + bigger.len, 'x', size);
	bigger.len += size;
	bigger.data[bigger.len] = '\0';
	httpd_buf_puts(&bigger, "\",");
	httpd_buf_add(&bigger, reply->body.data + 1, reply->body.len - 1);
	httpd_buf_free(&reply->body);
	reply->body = bigger;
}

/* A response to everybody alike, but for the message's id. */
static void
name_stranger(HttpdReply *reply)
{
	json_t *answer = sim_json_read(&reply->body, NULL);

	json_object_set_new(answer, "contacts",
						json_pack("[{s:s,s:s}]", "input", "+16505551234", "wa_id", "16505551234"));
	reply->body.len = 0;
	sim_json_write(&reply->body, answer);
}

static void
error_reply(SimRequest *request, const SimFault *fault)
{
	sim_reply_clear(request);
	sim_reply_error(request, &(SimGraphFault){.code = fault->code,
											  .subcode = fault->subcode,
											  .status = fault->status,
											  .details = fault->details,
											  .transient = fault->transient});
}

static void
spoil_reply(SimRequest *request, const SimFault *fault)
{
	HttpdReply *reply = &request->http.reply;
	int status = fault->status;

	switch (fault->reply)
	{
		case SIM_REPLY_NORMAL:
			break;
		case SIM_REPLY_CODE:
			error_reply(request, fault);
			break;
		case SIM_REPLY_GARBAGE:
			plain_body(request, status != 0 ? status : 200, "application/json; charset=UTF-8",
					   "\x01\xff}{\"messages\":[{\"id\":\"wamid.");
			break;
		case SIM_REPLY_HTML:
			plain_body(request, status != 0 ? status : 502, "text/html; charset=utf-8",
					   "<!DOCTYPE html>\n<html><head><title>Error</title></head>\n"
					   "<body><h1>Sorry, something went wrong.</h1></body></html>\n");
			break;
		case SIM_REPLY_EMPTY:
			plain_body(request, status != 0 ? status : 503, NULL, "");
			break;
		case SIM_REPLY_TRUNCATED:
			/* A complete HTTP response with half a JSON document. */
			reply->body.len /= 2;
			reply->body.data[reply->body.len] = '\0';
			break;
		case SIM_REPLY_OVERSIZED:
			inflate(reply, (size_t) fault->bytes);
			break;
		case SIM_REPLY_CORRUPT:
			if (reply->body.len > 0)
				reply->body.data[reply->body.len / 2] ^= 1;
			break;
		case SIM_REPLY_STRANGER:
			name_stranger(reply);
			break;
		case SIM_REPLY_SLOW:
			request->sending = SIM_SEND_SLOW;
			request->piece = fault->bytes;
			request->interval_ms = fault->interval_ms;
			break;
		case SIM_REPLY_HANG:
			request->sending = SIM_SEND_NEVER;
			break;
	}
	if (fault->retry_after >= 0)
	{
		char text[24];

		snprintf(text, sizeof(text), "%lld", (long long) fault->retry_after);
		httpd_reply_header(reply, "Retry-After", text);
	}
}

static void
set_delay(SimRequest *request, const SimFault *fault)
{
	if (fault->delay_ms >= 0)
		request->delay_us = fault->delay_ms * 1000;
}

static void
set_cut(SimRequest *request, const SimFault *fault)
{
	request->sending = SIM_SEND_NOTHING;
	request->reset = fault->reset;
}

bool
sim_fault_before(SimRequest *request, const SimFault *fault)
{
	if (fault->accept)
		return false;
	set_delay(request, fault);
	if (fault->cut == SIM_CUT_RECEIVED)
		set_cut(request, fault);
	else if (fault->reply == SIM_REPLY_TRUNCATED)
	{
		/* There is no response to truncate; the beginning of one will do. */
		plain_body(request, 200, "application/json; charset=UTF-8",
				   "{\"messaging_product\":\"whatsapp\",\"contacts\":[{\"input\":\"+346000000011");
		spoil_reply(request, fault);
	}
	else
		spoil_reply(request, fault);
	return true;
}

void
sim_fault_after(SimRequest *request, const SimFault *fault)
{
	set_delay(request, fault);
	if (fault->cut == SIM_CUT_ACCEPTED)
		set_cut(request, fault);
	else if (fault->cut == SIM_CUT_ANSWER)
	{
		int64_t len = (int64_t) request->http.reply.body.len;

		request->sending = SIM_SEND_CUT;
		request->reset = fault->reset;
		request->piece = fault->bytes;
		if (request->piece <= 0 || request->piece >= len)
			request->piece = len / 2;
	}
	else
		spoil_reply(request, fault);
}
