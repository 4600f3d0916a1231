/*
 * control.c
 *	  /_control/: how tests control the simulator and read from it.
 */
#include "bin/simulator/control.h"

#include <stdio.h>
#include <string.h>

#include "bin/httpd/clock.h"
#include "bin/httpd/util.h"
#include "bin/simulator/fault.h"
#include "bin/simulator/journal.h"
#include "bin/simulator/json.h"
#include "bin/simulator/media.h"
#include "bin/simulator/registry.h"
#include "bin/simulator/reply.h"
#include "bin/simulator/send_limits.h"
#include "bin/simulator/sending.h"
#include "bin/simulator/settings.h"
#include "bin/simulator/user.h"
#include "bin/simulator/webhook.h"

void
sim_control_ok(SimRequest *request)
{
	sim_reply_json(request, 200, json_pack("{s:b}", "ok", 1));
}

static void
reply_bad(SimRequest *request, const char *text)
{
	sim_reply_control_error(request, 400, text);
}

json_t *
sim_control_body(SimRequest *request)
{
	json_error_t error;
	json_t *doc = sim_json_read(&request->http.body, &error);

	if (doc == NULL)
		reply_bad(request, request->http.body.len > 0 ? error.text : "a JSON body is required");
	return doc;
}

static bool
number_argument(SimRequest *request, const char *name, int64_t *value)
{
	const char *text = httpd_request_argument(&request->http, name);

	if (text == NULL || httpd_parse_int(text, 0, INT64_MAX, value))
		return true;
	reply_bad(request, "an argument is not a non-negative integer");
	return false;
}

static void
get_log(SimRequest *request)
{
	int64_t since = 0;
	int64_t limit = 10000;
	int64_t all = 0;

	if (!number_argument(request, "since", &since) || !number_argument(request, "limit", &limit) ||
		!number_argument(request, "all", &all))
		return;
	sim_journal_write_log(sim_reply_start(request, 200), (uint64_t) since, (uint64_t) limit,
						  all != 0);
}

static void
get_stats(SimRequest *request)
{
	json_t *stats = sim_journal_stats();

	json_object_set_new(stats, "webhooks", sim_webhook_stats());
	sim_reply_json(request, 200, stats);
}

static void
post_reset(SimRequest *request)
{
	sim_sending_release();
	sim_fault_clear();
	sim_limits_reset();
	sim_journal_reset();
	sim_webhook_reset();
	sim_media_reset();
	sim_control_ok(request);
}

static void
get_faults(SimRequest *request)
{
	sim_reply_json(request, 200, sim_fault_to_json());
}

/* An array of rules, or a single one. */
static void
post_faults(SimRequest *request)
{
	json_t *doc = sim_control_body(request);
	char error[256];

	if (doc == NULL)
		return;
	if (json_is_object(doc))
	{
		json_t *list = json_array();

		json_array_append_new(list, doc);
		doc = list;
	}
	if (!json_is_array(doc))
		reply_bad(request, "fault rules must be an array");
	else if (!sim_fault_load(doc, error, sizeof(error)))
		reply_bad(request, error);
	else
		sim_control_ok(request);
	json_decref(doc);
}

static void
delete_faults(SimRequest *request)
{
	sim_fault_clear();
	sim_control_ok(request);
}

static void
get_config(SimRequest *request)
{
	json_t *doc = sim_settings_to_json();
	json_t *numbers = json_array();
	json_t *templates = json_array();

	for (int i = 0; i < sim_registry_number_count(); i++)
		json_array_append(numbers, sim_registry_number_at(i)->node);
	for (int i = 0; i < sim_registry_template_count(); i++)
		json_array_append(templates, sim_registry_template_at(i)->node);
	json_object_set_new(doc, "numbers", numbers);
	json_object_set_new(doc, "templates", templates);
	json_object_set_new(doc, "users", sim_user_list());
	sim_reply_json(request, 200, doc);
}

static void
post_config(SimRequest *request)
{
	json_t *doc = sim_control_body(request);
	char error[256] = "a configuration must be an object";

	if (doc == NULL)
		return;
	if (!json_is_object(doc) || !sim_settings_from_json(doc, true, error, sizeof(error)) ||
		!sim_registry_merge(doc, error, sizeof(error)))
		reply_bad(request, error);
	else
		sim_control_ok(request);
	json_decref(doc);
}

/* {"advance_ms": N}, {"stopped": true}, or both. */
static void
post_clock(SimRequest *request)
{
	json_t *doc = sim_control_body(request);
	const json_t *advance = json_object_get(doc, "advance_ms");
	const json_t *stopped = json_object_get(doc, "stopped");
	json_int_t ms = json_integer_value(advance);

	if (doc == NULL)
		return;
	if ((advance == NULL && stopped == NULL) || (stopped != NULL && !json_is_boolean(stopped)) ||
		(advance != NULL && (ms <= 0 || ms > INT64_C(100000000000))))
		reply_bad(request, "\"advance_ms\" must be a positive number of milliseconds, \"stopped\" "
						   "true or false");
	else
	{
		if (stopped != NULL)
			httpd_clock_stop(json_is_true(stopped));
		if (advance != NULL)
			httpd_clock_advance(ms * 1000);
		sim_control_ok(request);
	}
	json_decref(doc);
}

static void
post_release(SimRequest *request)
{
	sim_reply_json(request, 200, json_pack("{s:i}", "released", sim_sending_release()));
}

static const struct
{
	const char *method;
	const char *name;
	void (*handle)(SimRequest *request);
} commands[] = {
	/* clang-format off */
	{"GET", "log", get_log},
	{"GET", "stats", get_stats},
	{"POST", "reset", post_reset},
	{"GET", "faults", get_faults},
	{"POST", "faults", post_faults},
	{"DELETE", "faults", delete_faults},
	{"GET", "config", get_config},
	{"POST", "config", post_config},
	{"POST", "clock", post_clock},
	{"POST", "release", post_release},
	{"POST", "inbound", sim_control_inbound},
	{"POST", "press", sim_control_press},
	{"POST", "identity", sim_control_identity},
	{"POST", "preference", sim_control_preference},
	{"POST", "handover", sim_control_handover},
	{"POST", "echo", sim_control_echo},
	{"POST", "event", sim_control_event},
	{"GET", "webhooks", sim_control_webhooks},
	{"POST", "handshake", sim_control_handshake},
	/* clang-format on */
};

void
sim_control(SimRequest *request)
{
	const char *name = request->http.path + strlen(SIM_CONTROL_PREFIX);
	bool name_known = false;

	if (!httpd_connection_is_loopback(request->http.connection))
	{
		sim_reply_control_error(request, 403, "loopback clients only");
		return;
	}
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
	{
		if (strcmp(commands[i].name, name) != 0)
			continue;
		name_known = true;
		if (strcmp(commands[i].method, request->http.method) == 0)
		{
			commands[i].handle(request);
			return;
		}
	}
	sim_reply_control_error(request, name_known ? 405 : 404,
							name_known ? "method not allowed" : "no such command (see --help)");
}
