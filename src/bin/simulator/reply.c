/*
 * reply.c
 *	  Responses as Meta makes them, and those of the control interface.
 */
#include "bin/simulator/reply.h"

#include <stdio.h>
#include <string.h>

#include "bin/httpd/buf.h"
#include "bin/httpd/util.h"
#include "bin/simulator/graph_error.h"
#include "bin/simulator/json.h"
#include "bin/simulator/random.h"
#include "bin/simulator/text.h"

HttpdBuf *
sim_reply_start(SimRequest *request, int status)
{
	httpd_reply_text(&request->http.reply, status, "application/json; charset=UTF-8", "");
	return &request->http.reply.body;
}

void
sim_reply_clear(SimRequest *request)
{
	httpd_reply_clear(&request->http.reply);
	request->trace[0] = '\0';
}

void
sim_reply_json(SimRequest *request, int status, json_t *doc)
{
	if (doc == NULL)
	{
		sim_reply_error(
			request, &(SimGraphFault){.code = 100, .title = "(#100) The request is not in UTF-8."});
		return;
	}
	sim_json_write(sim_reply_start(request, status), doc);
}

const char *
sim_reply_trace(SimRequest *request)
{
	static uint64_t state;
	uint64_t random[2];
	char text[28];
	char *out = request->trace;

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
sim_reply_error(SimRequest *request, const SimGraphFault *fault)
{
	const SimGraphError *known = sim_graph_error_find(fault->code);
	const char *title = fault->title != NULL ? fault->title : known->title;
	const char *type = fault->type != NULL ? fault->type : known->type;
	HttpdBuf message = {0};
	HttpdBuf *out;

	/* Authentication errors and service-wide ones carry no "(#code)". */
	if (known->plain_message || fault->title != NULL)
		httpd_buf_puts(&message, title);
	else
		httpd_buf_printf(&message, "(#%d) %s", fault->code, title);

	out = sim_reply_start(request, fault->status != 0 ? fault->status : known->status);
	httpd_buf_puts(out, "{\"error\":{\"message\":");
	httpd_buf_json(out, message.data);
	httpd_buf_puts(out, ",\"type\":");
	httpd_buf_json(out, type);
	httpd_buf_printf(out, ",\"code\":%d", fault->code);
	if (fault->details != NULL)
	{
		httpd_buf_puts(out, ",\"error_data\":{\"messaging_product\":\"whatsapp\",\"details\":");
		httpd_buf_json(out, fault->details);
		httpd_buf_puts(out, "}");
	}
	if (fault->subcode != 0)
		httpd_buf_printf(out, ",\"error_subcode\":%d", fault->subcode);
	if (fault->transient)
		httpd_buf_puts(out, ",\"is_transient\":true");
	httpd_buf_printf(out, ",\"fbtrace_id\":\"%s\"}}", sim_reply_trace(request));
	httpd_buf_free(&message);
}

void
sim_reply_control_error(SimRequest *request, int status, const char *text)
{
	HttpdBuf *out = sim_reply_start(request, status);

	httpd_buf_puts(out, "{\"error\":");
	httpd_buf_json(out, text);
	httpd_buf_puts(out, "}");
}
