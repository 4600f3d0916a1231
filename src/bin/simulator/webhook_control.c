/*
 * webhook_control.c
 *	  The control commands that make users press buttons and the account change,
 *	  and those that fetch what was reported.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/httpd/buf.h"
#include "bin/httpd/clock.h"
#include "bin/httpd/timer.h"
#include "bin/httpd/util.h"
#include "bin/simulator/control.h"
#include "bin/simulator/journal.h"
#include "bin/simulator/json.h"
#include "bin/simulator/message.h"
#include "bin/simulator/reply.h"
#include "bin/simulator/request.h"
#include "bin/simulator/send_limits.h"
#include "bin/simulator/settings.h"
#include "bin/simulator/template_form.h"
#include "bin/simulator/text.h"
#include "bin/simulator/webhook.h"

static const char *
text_member(const json_t *doc, const char *name)
{
	return json_string_value(json_object_get(doc, name));
}

/*
 * Pressing a button of a message that was accepted
 */

/* The button's text from the template, and its payload from the message. */
static json_t *
template_button(const SimRecord *record, const json_t *root, int index)
{
	const json_t *components = json_object_get(json_object_get(root, "template"), "components");
	bool name_known;
	const SimTemplate *template =
		sim_registry_template(record->template_name, record->language, &name_known);
	const char *text = NULL;
	const char *payload = NULL;
	size_t i;
	json_t *component;

	if (template != NULL)
		text = sim_template_button_text(template, index);
	json_array_foreach((json_t *) components, i, component)
	{
		const char *type = text_member(component, "type");
		const char *at = text_member(component, "index");

		if (type != NULL && strcmp(type, "button") == 0 && at != NULL && atoi(at) == index)
			payload =
				text_member(json_array_get(json_object_get(component, "parameters"), 0), "payload");
	}
	if (text == NULL)
		return NULL;

	/* Without a payload in the message, Meta uses the text. */
	return json_pack("{s:s, s:{s:s, s:s}}", "type", "button", "button", "payload",
					 payload != NULL ? payload : text, "text", text);
}

static json_t *
interactive_button(const json_t *root, int index)
{
	const json_t *action = json_object_get(json_object_get(root, "interactive"), "action");
	const json_t *sections = json_object_get(action, "sections");
	json_t *reply = json_object_get(
		json_array_get(json_object_get(action, "buttons"), (size_t) index), "reply");
	size_t i;
	json_t *section;

	if (reply != NULL)
		return json_pack("{s:s, s:{s:s, s:O}}", "type", "interactive", "interactive", "type",
						 "button_reply", "button_reply", reply);
	json_array_foreach((json_t *) sections, i, section)
	{
		const json_t *rows = json_object_get(section, "rows");

		if (index < (int) json_array_size(rows))
			return json_pack("{s:s, s:{s:s, s:O}}", "type", "interactive", "interactive", "type",
							 "list_reply", "list_reply", json_array_get(rows, (size_t) index));
		index -= (int) json_array_size(rows);
	}
	return NULL;
}

/* {"wamid":, "button": 0}: the recipient presses a button or chooses a row. */
void
sim_control_press(SimRequest *request)
{
	json_t *doc = sim_control_body(request);
	const char *wamid = text_member(doc, "wamid");
	int index = (int) json_integer_value(json_object_get(doc, "button"));
	const SimRecord *record = wamid != NULL ? sim_journal_find(wamid) : NULL;
	SimNumber *number;
	json_t *root;
	json_t *message = NULL;

	if (doc == NULL)
		return;
	if (record == NULL || record->body == NULL || !sim_webhook_enabled())
	{
		sim_reply_control_error(request, 400,
								sim_webhook_enabled()
									? "no message with this \"wamid\" is in the log"
									: "webhooks are off");
		json_decref(doc);
		return;
	}
	number = sim_registry_number(record->number);
	root = json_loadb(record->body, record->body_len, 0, NULL);
	if (record->template_name != NULL)
		message = template_button(record, root, index);
	else
		message = interactive_button(root, index);
	if (message == NULL || number == NULL)
	{
		json_decref(message);
		sim_reply_control_error(request, 400, "the message has no such button");
	}
	else
	{
		SimFace face;

		sim_user_face(record->to, &face);
		json_object_set_new(message, "context",
							json_pack("{s:s, s:s}", "from", number->digits, "id", wamid));
		sim_inbound_deliver(request, "messages", number, &face, message);
	}
	json_decref(root);
	json_decref(doc);
}

/*
 * Events of the account
 */

/* {"field":, "value": {...}}; fields other than messages get a time, as Meta's do. */
void
sim_control_event(SimRequest *request)
{
	json_t *doc = sim_control_body(request);
	const char *field = text_member(doc, "field");
	json_t *value = json_object_get(doc, "value");
	HttpdBuf text = {0};

	if (doc == NULL)
		return;
	if (!sim_webhook_enabled())
		sim_reply_control_error(request, 400, "webhooks are off");
	else if (field == NULL || !json_is_object(value))
		sim_reply_control_error(request, 400, "\"field\" and an object \"value\" are required");
	else
	{
		sim_json_write(&text, json_incref(value));
		sim_outbox_add_value(
			field, strcmp(field, "messages") != 0 && strcmp(field, "user_preferences") != 0, &text);
		sim_control_ok(request);
	}
	json_decref(doc);
}

/*
 * Pull mode
 */

static SimRequest *puller;
static HttpdTimer pull_timer;

static void
serve_pull(SimRequest *request)
{
	const char *text = httpd_request_argument(&request->http, "max");
	HttpdBuf *out;
	int64_t max = 100;
	SimPost *post;

	if (text != NULL && !httpd_parse_int(text, 1, 1000000, &max))
	{
		sim_reply_control_error(request, 400, "\"max\" is not a positive integer");
		return;
	}
	out = sim_reply_start(request, 200);
	httpd_buf_puts(out, "{\"posts\":[");
	for (int64_t i = 0; i < max && (post = sim_outbox_pull()) != NULL; i++)
	{
		char *body = httpd_alloc((post->len + 2) / 3 * 4 + 1);

		sim_base64(body, post->body, post->len);
		httpd_buf_printf(out, "%s{\"signature\":\"%s\",\"items\":%d,\"body\":\"", i > 0 ? "," : "",
						 post->signature, post->items);
		httpd_buf_puts(out, body);
		httpd_buf_puts(out, "\"}");
		free(body);
		sim_post_free(post);
	}
	httpd_buf_printf(out, "],\"pending\":%lld}",
					 (long long) (sim_webhook_planned() + sim_outbox_waiting()));
}

static void
pull_ready(void *arg)
{
	SimRequest *request = puller;

	if (request == NULL)
		return;
	puller = NULL;
	httpd_timer_cancel(&pull_timer);
	sim_outbox_notify(NULL, NULL);
	serve_pull(request);
	httpd_request_finish(&request->http);
}

/* The client that waits for a body has left. */
static void
puller_gone(SimRequest *request)
{
	if (puller != request)
		return;
	puller = NULL;
	httpd_timer_cancel(&pull_timer);
	sim_outbox_notify(NULL, NULL);
}

/* With wait_ms, waits at most that long for the first body. */
void
sim_control_webhooks(SimRequest *request)
{
	const char *text = httpd_request_argument(&request->http, "wait_ms");
	int64_t wait_ms = 0;

	if (!sim_settings.webhook_pull)
	{
		sim_reply_control_error(request, 400, "webhook_pull is off");
		return;
	}
	if (text != NULL && !httpd_parse_int(text, 0, 3600000, &wait_ms))
	{
		sim_reply_control_error(request, 400, "\"wait_ms\" is not a non-negative integer");
		return;
	}
	if (wait_ms == 0 || sim_outbox_has_post())
	{
		serve_pull(request);
		return;
	}
	if (puller != NULL)
	{
		sim_reply_control_error(request, 409, "another client is already waiting");
		return;
	}
	puller = request;
	httpd_request_defer(&request->http);
	request->on_gone = puller_gone;
	sim_outbox_notify(pull_ready, NULL);
	httpd_timer_set(&pull_timer, httpd_now_us() + wait_ms * 1000, pull_ready, NULL);
}

void
sim_control_handshake(SimRequest *request)
{
	if (sim_settings.webhook_url[0] == '\0')
		sim_reply_control_error(request, 400, "webhook_url is not set");
	else
		sim_push_handshake(request);
}
