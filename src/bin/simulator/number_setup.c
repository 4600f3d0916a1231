/*
 * number_setup.c
 *	  From a number to one that can send: request_code, verify_code, register; and
 *	  back by deregister.
 *
 * A configured number has these behind it, unless its configuration says otherwise:
 * "code_verification_status" other than VERIFIED, "status" PENDING or DISCONNECTED.
 */
#include "bin/simulator/number_setup.h"

#include <string.h>

#include "bin/httpd/clock.h"
#include "bin/simulator/arguments.h"
#include "bin/simulator/reply.h"
#include "bin/simulator/settings.h"

#define CODE_DIGITS 6

/* Registering and deregistering together, of one number. */
#define CHANGES_PERIOD_US (INT64_C(72) * 3600 * 1000000)

static bool
text_is(const json_t *node, const char *name, const char *value)
{
	const char *text = json_string_value(json_object_get(node, name));

	return text != NULL && strcmp(text, value) == 0;
}

bool
sim_number_is_registered(const SimNumber *number)
{
	return !text_is(number->node, "status", "PENDING") &&
		   !text_is(number->node, "status", "DISCONNECTED");
}

static void
refuse(SimRequest *request, int code, const char *title)
{
	sim_reply_error(request, &(SimGraphFault){.code = code, .title = title});
}

static void
succeed(SimRequest *request)
{
	sim_reply_json(request, 200, json_pack("{s:b}", "success", 1));
}

static bool
is_code(const char *text)
{
	return text != NULL && strlen(text) == CODE_DIGITS && strspn(text, "0123456789") == CODE_DIGITS;
}

static bool
is_for_whatsapp(SimRequest *request, const json_t *arguments)
{
	if (text_is(arguments, "messaging_product", "whatsapp"))
		return true;
	refuse(request, 100, "(#100) The parameter messaging_product must be \"whatsapp\".");
	return false;
}

/* "es" or "es_ES". */
static bool
is_language(const char *text)
{
	static const char lower[] = "abcdefghijklmnopqrstuvwxyz";
	static const char upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

	if (text == NULL || strspn(text, lower) != 2)
		return false;
	return text[2] == '\0' || (text[2] == '_' && strspn(text + 3, upper) == 2 && text[5] == '\0');
}

static void
request_code(SimRequest *request, SimNumber *number, const json_t *arguments)
{
	if (!text_is(arguments, "code_method", "SMS") && !text_is(arguments, "code_method", "VOICE"))
		refuse(request, 100, "Invalid parameter: code_method must be SMS or VOICE");
	else if (!is_language(sim_arguments_text(arguments, "language")))
		refuse(request, 100, "Invalid parameter: language must be a valid locale identifier");
	else if (text_is(number->node, "code_verification_status", "VERIFIED"))
		refuse(request, 136024, NULL);
	else
	{
		number->code_requested = true;
		succeed(request);
	}
}

static void
verify_code(SimRequest *request, SimNumber *number, const json_t *arguments)
{
	const char *code = sim_arguments_text(arguments, "code");

	if (!is_code(code))
		refuse(request, 100, "Invalid verification code format");
	else if (!number->code_requested || strcmp(code, sim_settings.verification_code) != 0)
		sim_reply_error(
			request, &(SimGraphFault){.code = 100,
									  .status = 422,
									  .type = "GraphMethodException",
									  .title = "The verification code is invalid or has expired"});
	else
	{
		number->code_requested = false;
		json_object_set_new(number->node, "code_verification_status", json_string("VERIFIED"));
		sim_reply_json(request, 200, json_pack("{s:b, s:s}", "success", 1, "id", number->id));
	}
}

/* Notes the change; false, with the error as the response, if there were too many. */
static bool
may_change(SimRequest *request, SimNumber *number)
{
	int64_t now = httpd_now_us();
	int place = number->n_changes % SIM_MAX_CHANGES;

	if (number->n_changes >= SIM_MAX_CHANGES && now - number->changes[place] < CHANGES_PERIOD_US)
	{
		refuse(request, 133016, NULL);
		return false;
	}
	number->changes[place] = now;
	number->n_changes++;
	return true;
}

static void
register_number(SimRequest *request, SimNumber *number, const json_t *arguments)
{
	const char *pin = sim_arguments_text(arguments, "pin");

	if (!is_for_whatsapp(request, arguments))
		return;
	if (!is_code(pin))
		refuse(request, 100, "Invalid PIN format. PIN must be exactly 6 digits");
	else if (!text_is(number->node, "code_verification_status", "VERIFIED"))
		refuse(request, 133006, NULL);
	else if (number->pin[0] != '\0' && strcmp(pin, number->pin) != 0)
		refuse(request, 133005, NULL);
	else if (may_change(request, number))
	{
		memcpy(number->pin, pin, sizeof(number->pin));
		json_object_set_new(number->node, "status", json_string("CONNECTED"));
		json_object_set_new(number->node, "is_pin_enabled", json_true());
		succeed(request);
	}
}

static void
deregister_number(SimRequest *request, SimNumber *number, const json_t *arguments)
{
	if (!is_for_whatsapp(request, arguments))
		return;
	if (json_is_true(json_object_get(number->node, "is_on_biz_app")))
		refuse(request, 100, "(#100) A number that is in the app, too, cannot be deregistered.");
	else if (may_change(request, number))
	{
		json_object_set_new(number->node, "status", json_string("DISCONNECTED"));
		succeed(request);
	}
}

bool
sim_number_setup(SimRequest *request, const SimPath *path)
{
	static const struct
	{
		const char *edge;
		void (*serve)(SimRequest *request, SimNumber *number, const json_t *arguments);
	} edges[] = {{"request_code", request_code},
				 {"verify_code", verify_code},
				 {"register", register_number},
				 {"deregister", deregister_number}};
	SimNumber *number = sim_registry_number(path->node);

	for (size_t i = 0; number != NULL && i < sizeof(edges) / sizeof(edges[0]); i++)
	{
		json_t *arguments;

		if (strcmp(path->edge, edges[i].edge) != 0)
			continue;
		arguments = sim_arguments_read(request);
		if (arguments != NULL)
			edges[i].serve(request, number, arguments);
		json_decref(arguments);
		return true;
	}
	return false;
}
