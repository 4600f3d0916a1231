/*
 * messages.c
 *	  POST /{version}/{number}/messages: from the request to the response.
 *
 * The order is Meta's as far as it can be seen from outside: token, number,
 * form of the message, limits, acceptance.  Once accepted, the message counts
 * as sent, whatever a fault rule then does to the response.
 */
#include "bin/simulator/messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/httpd/buf.h"
#include "bin/simulator/auth.h"
#include "bin/simulator/fault_reply.h"
#include "bin/simulator/journal.h"
#include "bin/simulator/json.h"
#include "bin/simulator/message.h"
#include "bin/simulator/nodes.h"
#include "bin/simulator/number_setup.h"
#include "bin/simulator/pricing.h"
#include "bin/simulator/random.h"
#include "bin/simulator/registry.h"
#include "bin/simulator/reply.h"
#include "bin/simulator/send_limits.h"
#include "bin/simulator/sending.h"
#include "bin/simulator/settings.h"
#include "bin/simulator/text.h"
#include "bin/simulator/user.h"
#include "bin/simulator/webhook.h"

/*
 * Unique within a run and between runs: the counter, which starts at random,
 * goes through a bijection.  The rest looks like Meta's.
 */
void
sim_message_make_wamid(char *out, const char *to)
{
	static uint64_t start;
	static uint64_t counter;
	unsigned char raw[64];
	size_t len = strlen(to) < 20 ? strlen(to) : 20;
	char unique[17];
	size_t n = 0;

	if (start == 0)
		start = sim_seed_from_system();
	snprintf(unique, sizeof(unique), "%016llX", (unsigned long long) sim_mix64(start + ++counter));
	raw[n++] = 0x1c;
	raw[n++] = 0x18;
	raw[n++] = (unsigned char) len;
	memcpy(raw + n, to, len);
	n += len;
	raw[n++] = 0x15;
	raw[n++] = 0x02;
	raw[n++] = 0x00;
	raw[n++] = 0x11;
	raw[n++] = 0x18;
	raw[n++] = 0x10;
	memcpy(raw + n, unique, 16);
	n += 16;
	raw[n++] = 0x00;
	memcpy(out, "wamid.", 6);
	sim_base64(out + 6, raw, n);
}

/*
 * Written without jansson, for speed: this is the response of a benchmark.
 * wa_id is the number as WhatsApp has it, which may be another form of what
 * was written (52... for 521...).
 */
static void
accepted_reply(SimRequest *request, const SimMessage *message, const SimFace *face,
			   const char *wamid)
{
	HttpdBuf *out = sim_reply_start(request, 200);

	httpd_buf_puts(out, "{\"messaging_product\":\"whatsapp\",\"contacts\":[{\"input\":");
	httpd_buf_json(out, message->input);
	httpd_buf_puts(out, message->by_user_id ? ",\"user_id\":" : ",\"wa_id\":");
	httpd_buf_json(out, message->by_user_id || message->to_group || face->number == NULL
							? message->to
							: face->number);
	httpd_buf_printf(out, "}],\"messages\":[{\"id\":\"%s\"", wamid);
	if (message->to_group)
	{
		httpd_buf_puts(out, ",\"group_id\":");
		httpd_buf_json(out, message->to);
	}
	httpd_buf_puts(out,
				   message->template_name != NULL ? ",\"message_status\":\"accepted\"}]}" : "}]}");
}

static void
refuse(SimRequest *request, SimRecord *record, const SimProblem *problem)
{
	SimGraphFault fault = {.code = problem->code};

	if (problem->title[0] != '\0')
		fault.title = problem->title;
	if (problem->details[0] != '\0')
		fault.details = problem->details;
	sim_reply_error(request, &fault);
	record->code = problem->code;
}

static void
tell_webhooks(SimNumber *number, const SimMessage *message, const char *who, const char *wamid,
			  const SimFault *fault)
{
	SimPrice price;
	SimAccepted accepted = {
		.number = number,
		.to = message->to,
		.to_group = message->to_group,
		.wamid = wamid,
		.opaque = message->opaque,
		.price = &price,
		.reaction = strcmp(message->type, "reaction") == 0,
		.voice = json_is_true(json_object_get(message->object, "voice")),
		.fault = fault,
	};

	if (!sim_webhook_enabled())
		return;
	price = sim_pricing_of(number, message, who);
	sim_webhook_accepted(&accepted);
}

/* Meta's rules, in their order. */
static void
process(SimRequest *request, const SimPath *path, SimNumber *number, SimMessage *message,
		SimRecord *record, char *wamid, const SimFault *fault)
{
	SimProblem problem = {0};
	SimFace face;
	const char *who;

	if (!sim_auth_check(request, &record->code))
		return;
	if (number == NULL)
	{
		sim_nodes_unknown(request, path);
		record->code = 100;
		return;
	}
	if (message->root == NULL)
	{
		sim_problem_parameter(&problem, "The request body is not a JSON object.");
		refuse(request, record, &problem);
		return;
	}
	if (!sim_number_is_registered(number))
	{
		problem.code = 133010;
		refuse(request, record, &problem);
		return;
	}
	if (!sim_message_check(message, number, &problem))
	{
		refuse(request, record, &problem);
		return;
	}
	if (message->read_receipt)
	{
		httpd_buf_puts(sim_reply_start(request, 200), "{\"success\":true}");
		return;
	}
	sim_user_face(message->to, &face);
	who = message->to_group ? message->to : face.user_id;
	if (!sim_limits_allow(number, message, who, request->waited_us, &problem))
	{
		refuse(request, record, &problem);
		return;
	}
	sim_message_make_wamid(wamid, message->to);
	record->wamid = wamid;
	if (!message->dropped)
	{
		record->accepted = true;
		tell_webhooks(number, message, who, wamid, fault);
	}
	accepted_reply(request, message, &face, wamid);
}

static void
add_headers(SimRequest *request, const SimNumber *number)
{
	char usage[256];

	if (number != NULL && sim_limits_usage(number, usage, sizeof(usage)))
		httpd_reply_header(&request->http.reply, "x-business-use-case-usage", usage);
}

void
sim_messages_post(SimRequest *request, const SimPath *path)
{
	json_t *root = sim_json_read(&request->http.body, NULL);
	SimNumber *number = sim_registry_number(path->node);
	SimMessage message = {0};
	SimRecord record = {.waited_us = request->waited_us};
	char wamid[SIM_WAMID_SIZE];
	SimFault *fault;
	bool settled;

	message.marketing = strcmp(path->edge, "marketing_messages") == 0;
	message.version = atoi(path->version + 1);
	if (json_is_object(root))
	{
		bool name_known;

		sim_message_read(&message, root, number);
		if (message.template_name != NULL && message.language != NULL)
			message.template =
				sim_registry_template(message.template_name, message.language, &name_known);
	}
	record.number = path->node;
	record.to = message.to[0] != '\0' ? message.to : message.input;
	record.type = message.read_receipt ? "read_receipt" : message.type;
	record.template_name = message.template_name;
	record.language = message.language;
	record.opaque = message.opaque;
	record.context = message.context;
	record.body = request->http.body.data;
	record.body_len = request->http.body.len;

	fault =
		sim_fault_pick(SIM_AT_REQUEST, &(SimFaultSubject){.edge = path->edge,
														  .node = path->node,
														  .template_name = message.template_name,
														  .recipient = message.to});
	record.fault = fault != NULL ? fault->name : NULL;
	settled = fault != NULL && sim_fault_before(request, fault);
	if (settled)
		record.code = fault->code;
	else
		process(request, path, number, &message, &record, wamid, fault);
	add_headers(request, number);
	if (fault != NULL && !settled)
		sim_fault_after(request, fault);
	if (sim_sending_shows_status(request))
		record.status = request->http.reply.status;
	request->record = sim_journal_add(&record);
	json_decref(root);
}

void
sim_messages_note_cut(SimRequest *request, const SimPath *path, const SimFault *fault)
{
	SimRecord record = {
		.number = path->node,
		.fault = fault->name,
		.body = request->http.body.data,
		.body_len = request->http.body.len,
	};

	request->record = sim_journal_add(&record);
}
