/*
 * reply.c
 *	  An answer in the making.
 */
#include "bin/simulator/reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/simulator/graph_error.h"
#include "bin/httpd/util.h"

void
sim_reply_header(SimReply *reply, const char *name, const char *value)
{
	if (reply->nheaders >= SIM_REPLY_HEADERS)
		sim_die("too many response headers");
	reply->headers[reply->nheaders].name = name;
	reply->headers[reply->nheaders].value = sim_strdup(value);
	reply->nheaders++;
}

void
sim_reply_clear(SimReply *reply)
{
	for (int i = 0; i < reply->nheaders; i++)
		free(reply->headers[i].value);
	sim_buf_free(&reply->body);
	memset(reply, 0, sizeof(*reply));
}

static int
append_dump(const char *text, size_t len, void *arg)
{
	sim_buf_add(arg, text, len);
	return 0;
}

void
sim_reply_json(SimReply *reply, int status, json_t *doc)
{
	if (doc == NULL)
	{
		sim_reply_error(
			reply, &(SimGraphFault){.code = 100, .title = "(#100) The request is not in UTF-8."});
		return;
	}
	reply->status = status;
	reply->content_type = "application/json; charset=UTF-8";
	reply->body.len = 0;
	if (json_dump_callback(doc, append_dump, &reply->body, JSON_COMPACT | JSON_ENCODE_ANY) != 0)
		sim_die("could not write JSON");
	json_decref(doc);
}

const char *
sim_reply_trace(SimReply *reply)
{
	static uint64_t state;
	uint64_t random[2];
	char text[28];
	char *out = reply->trace;

	if (out[0] != '\0')
		return out;
	if (state == 0)
		state = sim_seed_from_system();
	random[0] = sim_random_next(&state);
	random[1] = sim_random_next(&state);
	sim_base64(text, random, sizeof(random));
	out[0] = 'A';
	memcpy(out + 1, text, 22);
	out[23] = '\0';
	for (char *p = out; *p != '\0'; p++)
	{
		if (*p == '+')
			*p = '-';
		else if (*p == '/')
			*p = '_';
	}
	return out;
}

void
sim_reply_error(SimReply *reply, const SimGraphFault *fault)
{
	const SimGraphError *known = sim_graph_error_find(fault->code);
	const char *title = fault->title != NULL ? fault->title : known->title;
	const char *type = fault->type != NULL ? fault->type : known->type;
	SimBuf message = {0};

	/* Authentication errors and service-wide ones carry no "(#code)". */
	if (known->plain_message || fault->title != NULL)
		sim_buf_puts(&message, title);
	else
		sim_buf_printf(&message, "(#%d) %s", fault->code, title);

	reply->status = fault->status != 0 ? fault->status : known->status;
	reply->content_type = "application/json; charset=UTF-8";
	reply->body.len = 0;
	sim_buf_puts(&reply->body, "{\"error\":{\"message\":");
	sim_buf_json(&reply->body, message.data);
	sim_buf_puts(&reply->body, ",\"type\":");
	sim_buf_json(&reply->body, type);
	sim_buf_printf(&reply->body, ",\"code\":%d", fault->code);
	if (fault->details != NULL)
	{
		sim_buf_puts(&reply->body,
					 ",\"error_data\":{\"messaging_product\":\"whatsapp\",\"details\":");
		sim_buf_json(&reply->body, fault->details);
		sim_buf_puts(&reply->body, "}");
	}
	if (fault->subcode != 0)
		sim_buf_printf(&reply->body, ",\"error_subcode\":%d", fault->subcode);
	if (fault->transient)
		sim_buf_puts(&reply->body, ",\"is_transient\":true");
	sim_buf_printf(&reply->body, ",\"fbtrace_id\":\"%s\"}}", sim_reply_trace(reply));
	sim_buf_free(&message);
}

void
sim_reply_control_error(SimReply *reply, int status, const char *text)
{
	reply->status = status;
	reply->content_type = "application/json; charset=UTF-8";
	reply->body.len = 0;
	sim_buf_puts(&reply->body, "{\"error\":");
	sim_buf_json(&reply->body, text);
	sim_buf_puts(&reply->body, "}");
}
