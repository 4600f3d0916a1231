/*
 * message_interactive.c
 *	  The rules for interactive messages: reply buttons, lists, links.
 */
#include <string.h>

#include "bin/simulator/message.h"

static bool
check_header(const json_t *object, bool text_only, SimProblem *problem)
{
	const json_t *header = json_object_get(object, "header");
	const char *type = json_string_value(json_object_get(header, "type"));

	if (header == NULL)
		return true;
	if (type == NULL)
		return sim_problem_parameter(problem,
									 "The parameter interactive['header']['type'] is required.");
	if (strcmp(type, "text") == 0)
		return sim_check_text(header, "interactive['header']", "text", 60, true, problem);
	if (text_only ||
		(strcmp(type, "image") != 0 && strcmp(type, "video") != 0 && strcmp(type, "document") != 0))
		return sim_problem(problem, 131009,
						   "interactive: a header of type \"%.40s\" is not allowed", type);
	return sim_check_media(json_object_get(header, type), "interactive['header']", problem);
}

static bool
check_frame(const json_t *object, size_t body_max, bool text_header, SimProblem *problem)
{
	const json_t *footer = json_object_get(object, "footer");

	return check_header(object, text_header, problem) &&
		   sim_check_text(json_object_get(object, "body"), "interactive['body']", "text", body_max,
						  true, problem) &&
		   (footer == NULL ||
			sim_check_text(footer, "interactive['footer']", "text", 60, true, problem));
}

/* IDs must be unique within a message. */
static bool
id_is_new(const json_t *seen, const json_t *object)
{
	const char *id = json_string_value(json_object_get(object, "id"));

	if (json_object_get(seen, id) != NULL)
		return false;
	json_object_set_new((json_t *) seen, id, json_true());
	return true;
}

static bool
check_reply_buttons(const json_t *object, json_t *seen, SimProblem *problem)
{
	const json_t *buttons = json_object_get(json_object_get(object, "action"), "buttons");
	size_t i;
	json_t *button;

	if (!check_frame(object, 1024, false, problem))
		return false;
	if (json_array_size(buttons) < 1 || json_array_size(buttons) > 3)
		return sim_problem(problem, 131009, "interactive: from 1 to 3 reply buttons are allowed");
	json_array_foreach((json_t *) buttons, i, button)
	{
		const char *type = json_string_value(json_object_get(button, "type"));
		const json_t *reply = json_object_get(button, "reply");

		if (type == NULL || strcmp(type, "reply") != 0)
			return sim_problem(problem, 131009, "interactive: button %zu is not of type reply", i);
		if (!sim_check_text(reply, "reply", "id", 256, true, problem) ||
			!sim_check_text(reply, "reply", "title", 20, true, problem))
			return false;
		if (!id_is_new(seen, reply))
			return sim_problem(problem, 131009, "interactive: two buttons have the same id");
	}
	return true;
}

static bool
check_list(const json_t *object, json_t *seen, SimProblem *problem)
{
	const json_t *action = json_object_get(object, "action");
	const json_t *sections = json_object_get(action, "sections");
	size_t nrows = 0;
	size_t i;
	json_t *section;

	if (!check_frame(object, 4096, true, problem) ||
		!sim_check_text(action, "interactive['action']", "button", 20, true, problem))
		return false;
	if (json_array_size(sections) < 1 || json_array_size(sections) > 10)
		return sim_problem(problem, 131009, "interactive: from 1 to 10 sections are allowed");
	json_array_foreach((json_t *) sections, i, section)
	{
		const json_t *rows = json_object_get(section, "rows");
		size_t j;
		json_t *row;

		if (!sim_check_text(section, "section", "title", 24, json_array_size(sections) > 1,
							problem))
			return false;
		if (json_array_size(rows) < 1)
			return sim_problem(problem, 131009, "interactive: section %zu has no rows", i);
		json_array_foreach((json_t *) rows, j, row)
		{
			if (!sim_check_text(row, "row", "id", 200, true, problem) ||
				!sim_check_text(row, "row", "title", 24, true, problem) ||
				!sim_check_text(row, "row", "description", 72, false, problem))
				return false;
			if (!id_is_new(seen, row))
				return sim_problem(problem, 131009, "interactive: two rows have the same id");
		}
		nrows += json_array_size(rows);
	}
	if (nrows > 10)
		return sim_problem(problem, 131009, "interactive: at most 10 rows in all are allowed");
	return true;
}

static bool
check_link(const json_t *object, json_t *seen, SimProblem *problem)
{
	const json_t *action = json_object_get(object, "action");
	const json_t *parameters = json_object_get(action, "parameters");
	const char *name = json_string_value(json_object_get(action, "name"));
	const char *url = json_string_value(json_object_get(parameters, "url"));

	if (!check_frame(object, 1024, false, problem))
		return false;
	if (name == NULL || strcmp(name, "cta_url") != 0)
		return sim_problem(problem, 131009, "interactive: action.name must be cta_url");
	if (url == NULL || (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0))
		return sim_problem(problem, 131009, "interactive: url is not an http or https address");
	return sim_check_text(parameters, "parameters", "display_text", 20, true, problem);
}

static bool
check_other(const json_t *object, json_t *seen, SimProblem *problem)
{
	if (!json_is_object(json_object_get(object, "action")))
		return sim_problem_parameter(problem, "The parameter interactive['action'] is required.");
	return check_header(object, false, problem);
}

static const struct
{
	const char *type;
	bool (*check)(const json_t *object, json_t *seen, SimProblem *problem);
} kinds[] = {
	{"button", check_reply_buttons},
	{"list", check_list},
	{"cta_url", check_link},
	{"location_request_message", check_other},
	{"flow", check_other},
	{"product", check_other},
	{"product_list", check_other},
	{"catalog_message", check_other},
	{"address_message", check_other},
	{"call_permission_request", check_other},
	{"voice_call", check_other},
};

bool
sim_check_interactive(const json_t *object, SimProblem *problem)
{
	const char *type = json_string_value(json_object_get(object, "type"));
	json_t *seen;
	bool good;

	if (type == NULL)
		return sim_problem_parameter(problem, "The parameter interactive['type'] is required.");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
	{
		if (strcmp(kinds[i].type, type) != 0)
			continue;
		seen = json_object();
		good = kinds[i].check(object, seen, problem);
		json_decref(seen);
		return good;
	}
	return sim_problem(problem, 131009, "interactive: type \"%.60s\" is not known", type);
}
