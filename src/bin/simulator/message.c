/*
 * message.c
 *	  A send request, read and checked against Meta's rules: what all types
 *	  have in common, and the simple types.
 */
#include "bin/simulator/message.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bin/simulator/media.h"
#include "bin/simulator/settings.h"
#include "bin/simulator/text.h"

bool
sim_problem(SimProblem *problem, int code, const char *details, ...)
{
	va_list args;

	problem->code = code;
	problem->title[0] = '\0';
	va_start(args, details);
	vsnprintf(problem->details, sizeof(problem->details), details, args);
	va_end(args);
	return false;
}

bool
sim_problem_parameter(SimProblem *problem, const char *text, ...)
{
	va_list args;
	int n;

	problem->code = 100;
	problem->details[0] = '\0';
	n = snprintf(problem->title, sizeof(problem->title), "(#100) ");
	va_start(args, text);
	vsnprintf(problem->title + n, sizeof(problem->title) - (size_t) n, text, args);
	va_end(args);
	return false;
}

/*
 * Reading
 */

/*
 * Meta drops spaces, hyphens and parentheses.  A number without + is
 * used as it is if it begins with the sender's own calling code; otherwise that
 * code is prepended, which reaches a stranger.  The log shows whom.
 */
static void
read_phone(const char *text, const SimNumber *number, char *out)
{
	const char *code = sim_settings.calling_code;
	bool plus = false;
	size_t n = 0;

	out[0] = '\0';
	for (const char *p = text; *p != '\0'; p++)
	{
		if (*p == '+' && n == 0 && !plus)
			plus = true;
		else if (*p >= '0' && *p <= '9' && n < 30)
			out[n++] = *p;
		else if (strchr(" -()", *p) == NULL)
		{
			out[0] = '\0';
			return;
		}
	}
	out[n] = '\0';
	if (!plus && n > 0 && strncmp(out, code, strlen(code)) != 0 && strlen(code) <= 8)
	{
		memmove(out + strlen(code), out, n + 1);
		memcpy(out, code, strlen(code));
	}
}

/* CC.alphanumerics, or CC.ENT.alphanumerics */
static bool
is_user_id(const char *p)
{
	size_t len;

	if (strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 2 || p[2] != '.')
		return false;
	p += strncmp(p + 3, "ENT.", 4) == 0 ? 7 : 3;
	len = strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
	return len >= 1 && len <= 128 && p[len] == '\0';
}

void
sim_message_read(SimMessage *message, const json_t *root, const SimNumber *number)
{
	const char *to = json_string_value(json_object_get(root, "to"));
	const char *recipient = json_string_value(json_object_get(root, "recipient"));
	const json_t *type = json_object_get(root, "type");
	const char *status = json_string_value(json_object_get(root, "status"));
	const char *kind = json_string_value(json_object_get(root, "recipient_type"));

	message->root = root;
	message->read_receipt = status != NULL && strcmp(status, "read") == 0;

	/* "wins when both are present" */
	if (to != NULL)
	{
		message->input = to;
		message->to_group = kind != NULL && strcmp(kind, "group") == 0;
		message->dropped = !message->to_group && is_user_id(to);
		if (!message->to_group && !message->dropped)
			read_phone(to, number, message->to);
		else if (strlen(to) < SIM_TO_SIZE)
			snprintf(message->to, sizeof(message->to), "%s", to);
	}
	else if (recipient != NULL && strlen(recipient) < SIM_TO_SIZE)
	{
		message->input = recipient;
		message->by_user_id = true;
		snprintf(message->to, sizeof(message->to), "%s", recipient);
	}
	message->type = type == NULL ? "text" : json_string_value(type);
	if (message->type != NULL)
		message->object = json_object_get(root, message->type);
	message->opaque = json_string_value(json_object_get(root, "biz_opaque_callback_data"));
	message->context =
		json_string_value(json_object_get(json_object_get(root, "context"), "message_id"));
	if (message->type != NULL && strcmp(message->type, "template") == 0)
	{
		message->template_name = json_string_value(json_object_get(message->object, "name"));
		message->language = json_string_value(
			json_object_get(json_object_get(message->object, "language"), "code"));
	}
}

/*
 * Helpers
 */

bool
sim_check_text(const json_t *object, const char *where, const char *member, size_t max,
			   bool required, SimProblem *problem)
{
	const json_t *value = json_object_get(object, member);

	if (value == NULL)
		return !required ||
			   sim_problem_parameter(problem, "The parameter %s['%s'] is required.", where, member);
	if (!json_is_string(value))
		return sim_problem_parameter(problem, "Param %s['%s'] must be a string.", where, member);
	if (required && json_string_length(value) == 0)
		return sim_problem_parameter(problem, "Param %s['%s'] must not be empty.", where, member);
	if (sim_utf8_length(json_string_value(value)) > max)
		return sim_problem_parameter(problem, "Param %s['%s'] must be at most %zu characters long.",
									 where, member, max);
	return true;
}

bool
sim_check_media(const json_t *object, const char *where, SimProblem *problem)
{
	const char *id = json_string_value(json_object_get(object, "id"));
	const char *link = json_string_value(json_object_get(object, "link"));

	if ((id == NULL) == (link == NULL))
		return sim_problem_parameter(problem, "Param %s must have either an id or a link.", where);
	if (link != NULL && strncmp(link, "http://", 7) != 0 && strncmp(link, "https://", 8) != 0)
		return sim_problem(problem, 131009, "%s: \"link\" is not an http or https address", where);
	if (id != NULL && (id[0] == '\0' || strspn(id, "0123456789") != strlen(id)))
		return sim_problem_parameter(problem, "Param %s['id'] is not a valid media id.", where);
	if (id != NULL && sim_settings.check_media && !sim_media_exists(id))
		return sim_problem(problem, 131009, "%s: there is no media with this id", where);
	return sim_check_text(object, where, "caption", 1024, false, problem) &&
		   sim_check_text(object, where, "filename", 240, false, problem);
}

/*
 * The types
 */

static bool
check_body_text(const SimMessage *message, SimProblem *problem)
{
	const json_t *preview = json_object_get(message->object, "preview_url");

	if (preview != NULL && !json_is_boolean(preview))
		return sim_problem_parameter(problem, "Param text['preview_url'] must be a boolean.");
	return sim_check_text(message->object, "text", "body", 4096, true, problem);
}

static bool
check_media_type(const SimMessage *message, SimProblem *problem)
{
	bool captioned = strcmp(message->type, "audio") != 0 && strcmp(message->type, "sticker") != 0;

	if (!captioned && json_object_get(message->object, "caption") != NULL)
		return sim_problem_parameter(problem, "Unexpected key \"caption\" on param \"%s\".",
									 message->type);
	return sim_check_media(message->object, message->type, problem);
}

/* Numbers, although Meta's own specification says strings; both are accepted. */
static bool
is_coordinate(const json_t *value, double limit)
{
	double number;

	if (json_is_string(value))
	{
		char *end;

		number = strtod(json_string_value(value), &end);
		if (end == json_string_value(value) || *end != '\0')
			return false;
	}
	else if (json_is_number(value))
		number = json_number_value(value);
	else
		return false;
	return number >= -limit && number <= limit;
}

static bool
check_location(const SimMessage *message, SimProblem *problem)
{
	if (!is_coordinate(json_object_get(message->object, "latitude"), 90) ||
		!is_coordinate(json_object_get(message->object, "longitude"), 180))
		return sim_problem(problem, 131009, "location: latitude and longitude are not coordinates");
	return sim_check_text(message->object, "location", "name", 1000, false, problem) &&
		   sim_check_text(message->object, "location", "address", 1000, false, problem);
}

static bool
check_contacts(const SimMessage *message, SimProblem *problem)
{
	size_t i;
	json_t *contact;

	if (!json_is_array(message->object) || json_array_size(message->object) == 0 ||
		json_array_size(message->object) > 257)
		return sim_problem_parameter(problem,
									 "Param contacts must be an array of 1 to 257 contacts.");
	json_array_foreach((json_t *) message->object, i, contact)
	{
		const json_t *name = json_object_get(contact, "name");

		if (!sim_check_text(name, "contacts[].name", "formatted_name", 1000, true, problem))
			return false;
		if (json_object_size(name) < 2)
			return sim_problem_parameter(
				problem, "Param contacts[%zu]['name'] needs one more part beside formatted_name.",
				i);
	}
	return true;
}

static bool
check_reaction(const SimMessage *message, SimProblem *problem)
{
	return sim_check_text(message->object, "reaction", "message_id", 512, true, problem) &&
		   (json_object_get(message->object, "emoji") != NULL ||
			sim_problem_parameter(problem, "The parameter reaction['emoji'] is required.")) &&
		   sim_check_text(message->object, "reaction", "emoji", 16, false, problem);
}

static bool
check_interactive(const SimMessage *message, SimProblem *problem)
{
	return sim_check_interactive(message->object, problem);
}

static const struct
{
	const char *type;
	bool (*check)(const SimMessage *message, SimProblem *problem);
	bool array; /* the object is a list */
} types[] = {
	{"audio", check_media_type, false},		   {"contacts", check_contacts, true},
	{"document", check_media_type, false},	   {"image", check_media_type, false},
	{"interactive", check_interactive, false}, {"location", check_location, false},
	{"reaction", check_reaction, false},	   {"sticker", check_media_type, false},
	{"template", sim_check_template, false},   {"text", check_body_text, false},
	{"video", check_media_type, false},
};

#define NTYPES (sizeof(types) / sizeof(types[0]))

/*
 * What all have in common
 */

static bool
check_recipient(const SimMessage *message, const SimNumber *number, SimProblem *problem)
{
	const json_t *kind = json_object_get(message->root, "recipient_type");
	size_t len = strlen(message->to);

	if (kind != NULL &&
		(!json_is_string(kind) || (strcmp(json_string_value(kind), "individual") != 0 &&
								   strcmp(json_string_value(kind), "group") != 0)))
		return sim_problem_parameter(problem,
									 "Param recipient_type must be one of {INDIVIDUAL, GROUP}.");
	if (message->input == NULL)
		return sim_problem_parameter(problem, "The parameter to is required.");
	if (message->by_user_id)
		return is_user_id(message->to) ||
			   sim_problem(problem, 131009, "recipient is not a business-scoped user id");
	if (message->to_group)
	{
		/* An opaque id, base64-like; one of digits only is a person's number. */
		if (len < 8 || strspn(message->to, "+0123456789") == len ||
			strspn(message->to,
				   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/=_-") != len)
			return sim_problem(problem, 131009, "to is not the id of a group");
		return true;
	}
	if (message->dropped)
		return true;
	if (len < 7 || len > 15 || message->to[0] == '0')
		return sim_problem(problem, 131009, "to is not a valid phone number");
	if (strcmp(message->to, number->digits) == 0)
		return sim_problem(problem, 131021, "Message sender and recipient are the same number");
	return true;
}

/* A misspelt member must not go unnoticed in a test. */
static bool
check_members(const SimMessage *message, SimProblem *problem)
{
	static const char *const known[] = {"messaging_product",
										"recipient_type",
										"to",
										"recipient",
										"type",
										"context",
										"biz_opaque_callback_data",
										"recipient_identity_key_hash",
										"category",
										"message_send_ttl_seconds",
										"product_policy",
										"message_activity_sharing"};
	const char *name;
	json_t *value;

	json_object_foreach((json_t *) message->root, name, value)
	{
		bool found = strcmp(name, message->type) == 0;

		for (size_t i = 0; !found && i < sizeof(known) / sizeof(known[0]); i++)
			found = strcmp(name, known[i]) == 0;
		if (!found)
			return sim_problem_parameter(problem, "Unexpected key \"%s\" on the request.", name);
	}
	return true;
}

static bool
check_receipt(const SimMessage *message, SimProblem *problem)
{
	const json_t *typing = json_object_get(message->root, "typing_indicator");
	const char *type = json_string_value(json_object_get(typing, "type"));

	if (typing != NULL && (type == NULL || strcmp(type, "text") != 0))
		return sim_problem_parameter(problem, "Param typing_indicator['type'] must be \"text\".");
	return sim_check_text(message->root, "message", "message_id", 512, true, problem);
}

bool
sim_message_check(const SimMessage *message, const SimNumber *number, SimProblem *problem)
{
	const char *product = json_string_value(json_object_get(message->root, "messaging_product"));
	const json_t *opaque = json_object_get(message->root, "biz_opaque_callback_data");
	const json_t *context = json_object_get(message->root, "context");
	size_t i;

	if (product == NULL)
		return sim_problem_parameter(problem, "The parameter messaging_product is required.");
	if (strcmp(product, "whatsapp") != 0)
		return sim_problem_parameter(problem,
									 "Param messaging_product must be one of {WHATSAPP} - "
									 "got \"%.60s\".",
									 product);
	if (message->read_receipt)
		return check_receipt(message, problem);

	for (i = 0; i < NTYPES && message->type != NULL; i++)
	{
		if (strcmp(types[i].type, message->type) == 0)
			break;
	}
	if (i == NTYPES || message->type == NULL)
		return sim_problem_parameter(problem,
									 "Param type must be one of {AUDIO, CONTACTS, DOCUMENT, IMAGE, "
									 "INTERACTIVE, LOCATION, REACTION, STICKER, TEMPLATE, TEXT, "
									 "VIDEO} - got \"%.60s\".",
									 message->type != NULL ? message->type : "");
	if (!check_recipient(message, number, problem) || !check_members(message, problem))
		return false;
	if (opaque != NULL && !json_is_string(opaque))
		return sim_problem_parameter(problem, "Param biz_opaque_callback_data must be a string.");
	if (message->opaque != NULL && sim_utf8_length(message->opaque) > 512)
		return sim_problem_parameter(
			problem, "Param biz_opaque_callback_data must be at most 512 characters long.");
	if (context != NULL && (message->context == NULL || message->context[0] == '\0'))
		return sim_problem_parameter(problem, "The parameter context['message_id'] is required.");
	if (message->object == NULL)
		return sim_problem(problem, 131008, "Parameter '%s' is mandatory for type '%s'",
						   message->type, message->type);
	if (types[i].array ? !json_is_array(message->object) : !json_is_object(message->object))
		return sim_problem_parameter(problem, "Param %s must be a JSON %s.", message->type,
									 types[i].array ? "array" : "object");
	if (message->marketing && strcmp(message->type, "template") != 0)
		return sim_problem(problem, 134100, "only template messages of category MARKETING");
	return types[i].check(message, problem);
}
