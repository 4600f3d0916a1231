/*
 * message_template.c
 *	  The rules for template messages: the template must exist, be approved,
 *	  and get exactly the parameters that it takes.
 */
#include <stdio.h>
#include <string.h>

#include "bin/httpd/util.h"
#include "bin/simulator/message.h"
#include "bin/simulator/settings.h"
#include "bin/simulator/text.h"

/* The parameters of the message, from its components. */
typedef struct Given
{
	const json_t *header;
	const json_t *body;
	const json_t *buttons[SIM_MAX_BUTTONS];
	const char *sub_types[SIM_MAX_BUTTONS];
} Given;

/* "must not be empty, contain new lines, tabs, or more than four spaces" */
static bool
is_clean_text(const char *text)
{
	int spaces = 0;

	if (text[0] == '\0')
		return false;
	for (; *text != '\0'; text++)
	{
		if (*text == '\n' || *text == '\r' || *text == '\t')
			return false;
		spaces = *text == ' ' ? spaces + 1 : 0;
		if (spaces > 4)
			return false;
	}
	return true;
}

/* The text a parameter will show, or NULL if it is not of a kind that shows one. */
static const char *
shown_text(const json_t *parameter)
{
	const char *type = json_string_value(json_object_get(parameter, "type"));

	if (type == NULL)
		return NULL;
	if (strcmp(type, "text") == 0)
		return json_string_value(json_object_get(parameter, "text"));
	if (strcmp(type, "currency") == 0 || strcmp(type, "date_time") == 0)
		return json_string_value(
			json_object_get(json_object_get(parameter, type), "fallback_value"));
	return NULL;
}

static bool
gather(const SimMessage *message, Given *given, SimProblem *problem)
{
	const json_t *components = json_object_get(message->object, "components");
	size_t i;
	json_t *component;

	if (components != NULL && !json_is_array(components))
		return sim_problem_parameter(problem, "Param template['components'] must be an array.");
	json_array_foreach((json_t *) components, i, component)
	{
		const char *type = json_string_value(json_object_get(component, "type"));
		const json_t *parameters = json_object_get(component, "parameters");
		const json_t **place = NULL;

		if (type == NULL)
			return sim_problem_parameter(
				problem, "The parameter template['components'][%zu]['type'] is required.", i);
		if (parameters != NULL && !json_is_array(parameters))
			return sim_problem_parameter(
				problem, "Param template['components'][%zu]['parameters'] must be an array.", i);
		if (strcmp(type, "header") == 0)
			place = &given->header;
		else if (strcmp(type, "body") == 0)
			place = &given->body;
		else if (strcmp(type, "button") == 0)
		{
			const json_t *index = json_object_get(component, "index");
			const char *sub_type = json_string_value(json_object_get(component, "sub_type"));
			int64_t number = json_integer_value(index);

			if (json_is_string(index) && !httpd_parse_int(json_string_value(index), 0, 9, &number))
				number = -1;
			if (index == NULL || number < 0 || number >= SIM_MAX_BUTTONS || sub_type == NULL)
				return sim_problem(problem, 131008,
								   "buttons: a button needs an \"index\" from 0 to 9 and a "
								   "\"sub_type\"");
			place = &given->buttons[number];
			given->sub_types[number] = sub_type;
		}
		else if (strcmp(type, "carousel") == 0 || strcmp(type, "limited_time_offer") == 0)
			continue;
		else
			return sim_problem_parameter(
				problem,
				"Param template['components'][%zu]['type'] must be one of {HEADER, BODY, "
				"BUTTON, CAROUSEL, LIMITED_TIME_OFFER} - got \"%.40s\".",
				i, type);
		if (*place != NULL)
			return sim_problem(problem, 132000, "%s: given twice", type);
		*place = parameters;
	}
	return true;
}

static bool
check_header(const SimTemplate *template, const json_t *parameters, SimProblem *problem)
{
	static const char *const types[] = {"", "text", "image", "video", "document", "location"};
	const json_t *parameter = json_array_get(parameters, 0);
	const char *wanted = types[template->header];
	const char *type = json_string_value(json_object_get(parameter, "type"));

	if ((int) json_array_size(parameters) != template->header_parameters)
		return sim_problem(problem, 132000,
						   "header: number of localizable_params (%zu) does not match the expected "
						   "number of params (%d)",
						   json_array_size(parameters), template->header_parameters);
	if (template->header_parameters == 0)
		return true;
	if (type == NULL || strcmp(type, wanted) != 0)
		return sim_problem(problem, 132012, "header: Format mismatch, expected %s, received %s",
						   wanted, type != NULL ? type : "nothing");
	if (template->header == SIM_HEADER_TEXT)
	{
		const char *text = shown_text(parameter);

		if (text == NULL || !is_clean_text(text))
			return sim_problem(problem, 132018,
							   "header: parameter is empty or has new-line/tab "
							   "characters or more than 4 consecutive spaces");
		return true;
	}
	if (template->header == SIM_HEADER_LOCATION)
	{
		const json_t *location = json_object_get(parameter, "location");

		if (json_object_get(location, "latitude") == NULL ||
			json_object_get(location, "longitude") == NULL)
			return sim_problem(problem, 132012, "header: location needs latitude and longitude");
		return true;
	}
	return sim_check_media(json_object_get(parameter, type), "template header", problem);
}

/* Each named parameter must be one of the template's, and none may be missing. */
static bool
check_names(const SimTemplate *template, const json_t *parameters, SimProblem *problem)
{
	for (int i = 0; i < template->body_parameters; i++)
	{
		size_t j;
		json_t *parameter;
		bool found = false;

		json_array_foreach((json_t *) parameters, j, parameter)
		{
			const char *name = json_string_value(json_object_get(parameter, "parameter_name"));

			if (name == NULL)
				return sim_problem_parameter(problem, "Parameter name is missing or empty.");
			found = found || strcmp(name, template->parameter_names[i]) == 0;
		}
		if (!found)
			return sim_problem_parameter(problem, "Parameter \"%.60s\" of the template is missing.",
										 template->parameter_names[i]);
	}
	return true;
}

static bool
check_body(const SimMessage *message, const SimTemplate *template, const json_t *parameters,
		   SimProblem *problem)
{
	size_t length = 0;
	size_t i;
	json_t *parameter;

	if (template != NULL)
	{
		if ((int) json_array_size(parameters) != template->body_parameters)
			return sim_problem(problem, 132000,
							   "body: number of localizable_params (%zu) does not match the "
							   "expected number of params (%d)",
							   json_array_size(parameters), template->body_parameters);
		if (template->named && !check_names(template, parameters, problem))
			return false;
		length = sim_utf8_length(template->body_text);
	}
	json_array_foreach((json_t *) parameters, i, parameter)
	{
		const char *text = shown_text(parameter);
		const char *name = json_string_value(json_object_get(parameter, "parameter_name"));

		if (text == NULL)
			return sim_problem(problem, 132012,
							   "body: Parameter format does not match format in the created "
							   "template");
		if (name != NULL && template != NULL && !template->named)
			return sim_problem_parameter(problem, "The template has positional parameters.");
		if (!is_clean_text(text))
			return sim_problem(
				problem, message->version >= 23 ? 132018 : 132012,
				"body: parameter %zu is empty or has new-line/tab characters or more "
				"than 4 consecutive spaces",
				i + 1);

		/* The text replaces {{1}} or {{name}}. */
		length += sim_utf8_length(text);
		if (name != NULL)
			length -= strlen(name) + 4 < length ? strlen(name) + 4 : length;
		else
			length -= length > 5 ? 5 : length;
	}
	if (length > 1024)
		return sim_problem(problem, 132005,
						   "body: text is %zu characters long, at most 1024 are "
						   "allowed",
						   length);
	return true;
}

static bool
check_buttons(const SimTemplate *template, const Given *given, SimProblem *problem)
{
	for (int i = 0; i < SIM_MAX_BUTTONS; i++)
	{
		const json_t *parameter = json_array_get(given->buttons[i], 0);
		const char *sub_type = given->sub_types[i];
		const char *code;

		if (sub_type == NULL)
		{
			if (i < template->nbuttons && template->buttons[i].needs_parameter)
				return sim_problem(problem, 131008,
								   "buttons: Button at index %d requires a parameter", i);
			continue;
		}
		if (i >= template->nbuttons)
			return sim_problem(problem, 132000, "buttons: the template has no button at index %d",
							   i);
		switch (template->buttons[i].kind)
		{
			case SIM_BUTTON_QUICK_REPLY:
				if (strcmp(sub_type, "quick_reply") != 0 ||
					!json_is_string(json_object_get(parameter, "payload")))
					return sim_problem(
						problem, 132012,
						"buttons: Button at index %d is a quick_reply with a payload", i);
				if (sim_utf8_length(json_string_value(json_object_get(parameter, "payload"))) > 256)
					return sim_problem(problem, 132012, "buttons: payload at index %d is too long",
									   i);
				break;
			case SIM_BUTTON_URL:
				if (strcmp(sub_type, "url") != 0 || shown_text(parameter) == NULL ||
					shown_text(parameter)[0] == '\0')
					return sim_problem(problem, 132012,
									   "buttons: Button at index %d is a url with a text", i);
				if (!template->buttons[i].needs_parameter)
					return sim_problem(problem, 132000,
									   "buttons: Button at index %d takes no parameter", i);
				break;
			case SIM_BUTTON_COPY_CODE:
				code = json_string_value(json_object_get(parameter, "coupon_code"));
				if (strcmp(sub_type, "copy_code") != 0 || code == NULL || code[0] == '\0' ||
					sim_utf8_length(code) > 15)
					return sim_problem(problem, 132012,
									   "buttons: Button at index %d is a copy_code with a "
									   "coupon_code of at most 15 characters",
									   i);
				break;
			case SIM_BUTTON_OTHER:
				break;
		}
	}
	return true;
}

static bool
check_status(const SimTemplate *template, SimProblem *problem)
{
	if (strcmp(template->status, "APPROVED") == 0)
		return true;
	if (strcmp(template->status, "PAUSED") == 0)
		return sim_problem(problem, 132015, "template name (%.80s) is paused", template->name);
	if (strcmp(template->status, "DISABLED") == 0)
		return sim_problem(problem, 132016, "template name (%.80s) is disabled", template->name);
	return sim_problem(problem, 132001, "template name (%.80s) is not approved in %s",
					   template->name, template->language);
}

bool
sim_check_template(const SimMessage *message, SimProblem *problem)
{
	const SimTemplate *template = message->template;
	Given given = {0};

	if (message->template_name == NULL)
		return sim_problem_parameter(problem, "The parameter template['name'] is required.");
	if (message->language == NULL)
		return sim_problem_parameter(problem,
									 "The parameter template['language']['code'] is required.");
	if (template == NULL && !sim_settings.accept_any_template)
		return sim_problem(problem, 132001, "template name (%.80s) does not exist in %.16s",
						   message->template_name, message->language);
	if (template != NULL && !check_status(template, problem))
		return false;
	if (message->marketing && template != NULL && strcmp(template->category, "MARKETING") != 0)
		return sim_problem(problem, 134100, "template name (%.80s) is of category %s",
						   message->template_name, template->category);
	if (message->by_user_id && template != NULL &&
		strcmp(template->category, "AUTHENTICATION") == 0)
		return sim_problem(problem, 131062, "authentication templates need a phone number");
	if (!gather(message, &given, problem) || !check_body(message, template, given.body, problem))
		return false;
	return template == NULL || (check_header(template, given.header, problem) &&
								check_buttons(template, &given, problem));
}
