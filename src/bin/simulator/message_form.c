/*
 * message_form.c
 *	  Whether a message gives a template, or a card of its carousel, exactly
 *	  the parameters that it takes.
 */
#include <string.h>
#include <strings.h>

#include "bin/httpd/util.h"
#include "bin/simulator/message_form.h"
#include "bin/simulator/text.h"

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

/* Where a button component belongs; -1 if it does not say. */
static int
button_index(const json_t *component)
{
	const json_t *index = json_object_get(component, "index");
	int64_t number = json_integer_value(index);

	if (json_is_string(index) && !httpd_parse_int(json_string_value(index), 0, 9, &number))
		return -1;
	return index == NULL || number < 0 || number >= SIM_MAX_BUTTONS ? -1 : (int) number;
}

bool
sim_form_gather(const json_t *component, const char *type, SimGiven *given, SimProblem *problem)
{
	const json_t *parameters = json_object_get(component, "parameters");
	const json_t **place;
	bool *there;

	if (parameters != NULL && !json_is_array(parameters))
		return sim_problem_parameter(problem, "Param template['components'][]['parameters'] must "
											  "be an array.");
	if (strcmp(type, "header") == 0)
	{
		place = &given->header;
		there = &given->has_header;
	}
	else if (strcmp(type, "body") == 0)
	{
		place = &given->body;
		there = &given->has_body;
	}
	else if (strcmp(type, "button") == 0)
	{
		const char *sub_type = json_string_value(json_object_get(component, "sub_type"));
		int index = button_index(component);

		if (index < 0 || sub_type == NULL)
			return sim_problem(problem, 131008,
							   "buttons: a button needs an \"index\" from 0 to 9 and a "
							   "\"sub_type\"");
		place = &given->buttons[index];
		there = &given->has_button[index];
		given->sub_types[index] = sub_type;
	}
	else
		return sim_problem_parameter(
			problem,
			"Param template['components'][]['type'] must be one of {HEADER, BODY, BUTTON, "
			"CAROUSEL, LIMITED_TIME_OFFER, TAP_TARGET_CONFIGURATION} - got \"%.40s\".",
			type);
	if (*there)
		return sim_problem(problem, 132000, "%s: given twice", type);
	*there = true;
	*place = parameters;
	return true;
}

static bool
check_header(const SimForm *form, const json_t *parameters, SimProblem *problem)
{
	static const char *const types[] = {"",	   "text",	   "image",	   "video",
										"gif", "document", "location", "product"};
	const json_t *parameter = json_array_get(parameters, 0);
	const char *wanted = types[form->header];
	const char *type = json_string_value(json_object_get(parameter, "type"));

	if ((int) json_array_size(parameters) != form->header_parameters)
		return sim_problem(problem, 132000,
						   "header: number of localizable_params (%zu) does not match the expected "
						   "number of params (%d)",
						   json_array_size(parameters), form->header_parameters);
	if (form->header_parameters == 0)
		return true;
	if (type == NULL || strcmp(type, wanted) != 0)
		return sim_problem(problem, 132012, "header: Format mismatch, expected %s, received %s",
						   wanted, type != NULL ? type : "nothing");
	if (form->header == SIM_HEADER_TEXT)
	{
		const char *text = shown_text(parameter);

		if (text == NULL || !is_clean_text(text))
			return sim_problem(problem, 132018,
							   "header: parameter is empty or has new-line/tab "
							   "characters or more than 4 consecutive spaces");
		return true;
	}
	if (form->header == SIM_HEADER_LOCATION)
	{
		const json_t *location = json_object_get(parameter, "location");

		if (json_object_get(location, "latitude") == NULL ||
			json_object_get(location, "longitude") == NULL)
			return sim_problem(problem, 132012, "header: location needs latitude and longitude");
		return true;
	}
	if (form->header == SIM_HEADER_PRODUCT)
		return sim_check_text(json_object_get(parameter, "product"), "product",
							  "product_retailer_id", 100, true, problem) &&
			   sim_check_text(json_object_get(parameter, "product"), "product", "catalog_id", 100,
							  true, problem);
	return sim_check_media(json_object_get(parameter, type), "template header", problem);
}

/* Each named parameter must be one of the template's, and none may be missing. */
static bool
check_names(const SimForm *form, const json_t *parameters, SimProblem *problem)
{
	for (int i = 0; i < form->body_parameters; i++)
	{
		size_t j;
		json_t *parameter;
		bool found = false;

		json_array_foreach((json_t *) parameters, j, parameter)
		{
			const char *name = json_string_value(json_object_get(parameter, "parameter_name"));

			if (name == NULL)
				return sim_problem_parameter(problem, "Parameter name is missing or empty.");
			found = found || strcmp(name, form->parameter_names[i]) == 0;
		}
		if (!found)
			return sim_problem_parameter(problem, "Parameter \"%.60s\" of the template is missing.",
										 form->parameter_names[i]);
	}
	return true;
}

/* form NULL: the template is not known, and only what every one forbids is looked at. */
static bool
check_body(const SimMessage *message, const SimForm *form, const json_t *parameters, size_t max,
		   SimProblem *problem)
{
	bool named = message->template != NULL && message->template->named;
	size_t length = 0;
	size_t i;
	json_t *parameter;

	if (form != NULL)
	{
		if ((int) json_array_size(parameters) != form->body_parameters)
			return sim_problem(problem, 132000,
							   "body: number of localizable_params (%zu) does not match the "
							   "expected number of params (%d)",
							   json_array_size(parameters), form->body_parameters);
		if (named && !check_names(form, parameters, problem))
			return false;
		length = form->body_text != NULL ? sim_utf8_length(form->body_text) : 0;
	}
	json_array_foreach((json_t *) parameters, i, parameter)
	{
		const char *text = shown_text(parameter);
		const char *name = json_string_value(json_object_get(parameter, "parameter_name"));

		if (text == NULL)
			return sim_problem(problem, 132012,
							   "body: Parameter format does not match format in the created "
							   "template");
		if (name != NULL && form != NULL && !named)
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
	if (length > max)
		return sim_problem(problem, 132005,
						   "body: text is %zu characters long, at most %zu are "
						   "allowed",
						   length, max);
	return true;
}

/* [{"product_items": [{"product_retailer_id": "..."}]}]: at least one product, 30 at most. */
static bool
check_sections(const json_t *sections, int index, SimProblem *problem)
{
	size_t nproducts = 0;
	size_t i;
	json_t *section;

	json_array_foreach((json_t *) sections, i, section)
	{
		size_t k;
		json_t *item;

		json_array_foreach(json_object_get(section, "product_items"), k, item)
		{
			if (!sim_check_text(item, "product_items[]", "product_retailer_id", 100, true, problem))
				return false;
			nproducts++;
		}
	}
	if (nproducts < 1 || nproducts > 30)
		return sim_problem(problem, 131009,
						   "buttons: Button at index %d needs from 1 to 30 products in sections",
						   index);
	return true;
}

/* The buttons whose parameter is {"type": "action", "action": {...}}. */
static bool
check_action(SimButtonKind kind, const char *sub_type, const json_t *parameter, int index,
			 SimProblem *problem)
{
	static const struct
	{
		SimButtonKind kind;
		const char *sub_type;
	} names[] = {{SIM_BUTTON_FLOW, "flow"},
				 {SIM_BUTTON_CATALOG, "catalog"},
				 {SIM_BUTTON_PRODUCTS, "mpm"},
				 {SIM_BUTTON_ORDER, "order_details"}};
	const json_t *action = json_object_get(parameter, "action");
	size_t i = 0;

	while (names[i].kind != kind)
		i++;

	/* Meta's own samples write CATALOG as well as catalog. */
	if (strcasecmp(sub_type, names[i].sub_type) != 0 ||
		(parameter != NULL && !json_is_object(action)))
		return sim_problem(problem, 132012, "buttons: Button at index %d is a %s with an action",
						   index, names[i].sub_type);
	if (kind == SIM_BUTTON_PRODUCTS)
		return sim_check_text(action, "action", "thumbnail_product_retailer_id", 100, true,
							  problem) &&
			   check_sections(json_object_get(action, "sections"), index, problem);
	if (kind == SIM_BUTTON_ORDER && !json_is_object(json_object_get(action, "order_details")))
		return sim_problem(problem, 131008, "buttons: Button at index %d needs order_details",
						   index);
	return true;
}

static bool
check_buttons(const SimForm *form, const SimGiven *given, SimProblem *problem)
{
	for (int i = 0; i < SIM_MAX_BUTTONS; i++)
	{
		const json_t *parameter = json_array_get(given->buttons[i], 0);
		const char *sub_type = given->sub_types[i];
		const char *code;

		if (sub_type == NULL)
		{
			if (i < form->nbuttons && form->buttons[i].needs_parameter)
				return sim_problem(problem,
								   form->buttons[i].kind == SIM_BUTTON_FLOW ? 131009 : 131008,
								   "buttons: Button at index %d requires a parameter", i);
			continue;
		}
		if (i >= form->nbuttons)
			return sim_problem(problem, 132000, "buttons: the template has no button at index %d",
							   i);
		switch (form->buttons[i].kind)
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
				if (!form->buttons[i].needs_parameter)
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
			case SIM_BUTTON_FLOW:
			case SIM_BUTTON_CATALOG:
			case SIM_BUTTON_PRODUCTS:
			case SIM_BUTTON_ORDER:
				if (!check_action(form->buttons[i].kind, sub_type, parameter, i, problem))
					return false;
				break;
			case SIM_BUTTON_OTHER:
				break;
		}
	}
	return true;
}

bool
sim_form_check(const SimMessage *message, const SimForm *form, const SimGiven *given,
			   size_t body_max, SimProblem *problem)
{
	if (!check_body(message, form, given->body, body_max, problem))
		return false;
	return form == NULL ||
		   (check_header(form, given->header, problem) && check_buttons(form, given, problem));
}
