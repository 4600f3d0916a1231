/*
 * template_create.c
 *	  A new template, which waits for approval: POST /_control/config gives it another
 *	  status, as Meta's review does after minutes or a day.
 *
 * Checked is what the request itself shows: members, their form, and the rules of
 * the body that people run into.
 */
#include "bin/simulator/template_create.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "bin/simulator/arguments.h"
#include "bin/simulator/registry.h"
#include "bin/simulator/reply.h"
#include "bin/simulator/text.h"

#define MAX_NAME 512
#define MAX_BODY 1024

/* Subcodes of Meta's, beside code 100. */
#define FIELD_MISSING 2388043
#define TOO_LONG 2388040
#define VARIABLE_AT_EDGE 2388299

static bool
refuse(SimRequest *request, int subcode, const char *title)
{
	sim_reply_error(request, &(SimGraphFault){.code = 100, .subcode = subcode, .title = title});
	return false;
}

static const json_t *
component_of(const json_t *arguments, const char *type)
{
	size_t i;
	json_t *component;

	json_array_foreach(json_object_get(arguments, "components"), i, component)
	{
		const char *given = json_string_value(json_object_get(component, "type"));

		if (given != NULL && strcmp(given, type) == 0)
			return component;
	}
	return NULL;
}

/* Meta takes types and the category in either case, and lists them in capitals. */
static void
capitalise(json_t *object, const char *name)
{
	char text[32];
	const char *given = json_string_value(json_object_get(object, name));
	size_t len = given != NULL ? strlen(given) : sizeof(text);

	if (len >= sizeof(text))
		return;
	for (size_t i = 0; i <= len; i++)
		text[i] = (char) toupper((unsigned char) given[i]);
	json_object_set_new(object, name, json_string(text));
}

static void
capitalise_all(json_t *arguments)
{
	size_t i;
	json_t *component;

	capitalise(arguments, "category");
	json_array_foreach(json_object_get(arguments, "components"), i, component)
		capitalise(component, "type");
}

static bool
is_name(const char *name)
{
	return name != NULL && name[0] != '\0' && strlen(name) <= MAX_NAME &&
		   strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name);
}

static bool
is_category(const char *category)
{
	return category != NULL &&
		   (strcmp(category, "MARKETING") == 0 || strcmp(category, "UTILITY") == 0 ||
			strcmp(category, "AUTHENTICATION") == 0);
}

static bool
begins_or_ends_with_variable(const char *text)
{
	size_t len = strlen(text);

	while (len > 0 && isspace((unsigned char) text[len - 1]))
		len--;
	while (isspace((unsigned char) *text))
		text++, len--;
	return strncmp(text, "{{", 2) == 0 || (len >= 2 && strncmp(text + len - 2, "}}", 2) == 0);
}

static bool
body_is_good(SimRequest *request, const json_t *body)
{
	const char *text = json_string_value(json_object_get(body, "text"));

	if (text == NULL)
		return refuse(request, FIELD_MISSING, "(#100) The BODY has no text.");
	if (sim_utf8_length(text) > MAX_BODY)
		return refuse(request, TOO_LONG, "(#100) The BODY is longer than 1024 characters.");
	if (begins_or_ends_with_variable(text))
		return refuse(request, VARIABLE_AT_EDGE,
					  "(#100) Variables can't be at the start or end of the BODY.");
	if (strstr(text, "{{") != NULL && json_object_get(body, "example") == NULL)
		return refuse(request, FIELD_MISSING, "(#100) The BODY has variables and no example.");
	return true;
}

static bool
is_good(SimRequest *request, const json_t *arguments)
{
	const char *name = sim_arguments_text(arguments, "name");
	const char *language = sim_arguments_text(arguments, "language");
	const json_t *body = component_of(arguments, "BODY");
	bool name_known;

	if (!is_name(name))
		return refuse(request, 0,
					  "(#100) Invalid parameter: name must be lower case, digits and _, 512 at "
					  "most.");
	if (language == NULL)
		return refuse(request, 0, "(#100) The parameter language is required.");
	if (!is_category(sim_arguments_text(arguments, "category")))
		return refuse(request, 0,
					  "(#100) Param category must be one of {UTILITY, MARKETING, AUTHENTICATION}");
	if (body == NULL)
		return refuse(request, FIELD_MISSING, "(#100) The template has no BODY.");
	if (sim_registry_template(name, language, &name_known) != NULL)
		return refuse(request, 0, "(#100) There is already content in this language.");
	/* The body of a one-time password is Meta's own. */
	return strcmp(sim_arguments_text(arguments, "category"), "AUTHENTICATION") == 0 ||
		   body_is_good(request, body);
}

void
sim_template_create(SimRequest *request)
{
	json_t *arguments = sim_arguments_read(request);
	json_t *doc;
	char error[256];

	if (arguments != NULL)
		capitalise_all(arguments);
	if (arguments != NULL && is_good(request, arguments))
	{
		json_object_del(arguments, "id"); /* it is Meta's to give */
		json_object_set_new(arguments, "status", json_string("PENDING"));
		doc = json_pack("{s:[O]}", "templates", arguments);
		if (!sim_registry_merge(doc, error, sizeof(error)))
			refuse(request, 0, error);
		else
		{
			bool name_known;
			const SimTemplate *made =
				sim_registry_template(sim_arguments_text(arguments, "name"),
									  sim_arguments_text(arguments, "language"), &name_known);

			sim_reply_json(request, 200,
						   json_pack("{s:O, s:O, s:O}", "id", json_object_get(made->node, "id"),
									 "status", json_object_get(made->node, "status"), "category",
									 json_object_get(made->node, "category")));
		}
		json_decref(doc);
	}
	json_decref(arguments);
}
