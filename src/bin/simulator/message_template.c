/*
 * message_template.c
 *	  The rules for template messages: the template must exist, be approved,
 *	  and get exactly the components that it takes.
 */
#include <string.h>

#include "bin/simulator/message_form.h"
#include "bin/simulator/settings.h"
#include "bin/simulator/text.h"

/* A template with anything beside a body, and one with a body alone. */
#define BODY_MAX 1024
#define BODY_ONLY_MAX 32768
#define CARD_BODY_MAX 160

#define PASSWORD_MAX 15

/* Components that a template has once, and a card never. */
typedef struct Special
{
	const json_t *carousel;
	const json_t *offer;
	const json_t *tap_target;
} Special;

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

static bool
gather_components(const json_t *components, SimGiven *given, Special *special, SimProblem *problem)
{
	size_t i;
	json_t *component;

	if (components != NULL && !json_is_array(components))
		return sim_problem_parameter(problem, "Param template['components'] must be an array.");
	json_array_foreach((json_t *) components, i, component)
	{
		const char *type = json_string_value(json_object_get(component, "type"));

		if (type == NULL)
			return sim_problem_parameter(
				problem, "The parameter template['components'][%zu]['type'] is required.", i);
		if (special != NULL && strcmp(type, "carousel") == 0)
			special->carousel = component;
		else if (special != NULL && strcmp(type, "limited_time_offer") == 0)
			special->offer = component;
		else if (special != NULL && strcmp(type, "tap_target_configuration") == 0)
			special->tap_target = component;
		else if (!sim_form_gather(component, type, given, problem))
			return false;
	}
	return true;
}

/* Each card of the template once, by its index. */
static bool
check_carousel(const SimMessage *message, const json_t *carousel, SimProblem *problem)
{
	const SimTemplate *template = message->template;
	const json_t *cards = json_object_get(carousel, "cards");
	bool seen[SIM_MAX_CARDS] = {false};
	size_t i;
	json_t *card;

	if (carousel == NULL)
		return template->ncards == 0 ||
			   sim_problem(problem, 131008, "carousel: the template has %d cards, none is given",
						   template->ncards);
	if ((int) json_array_size(cards) != template->ncards || template->ncards == 0)
		return sim_problem(problem, 132000,
						   "carousel: number of cards (%zu) does not match the "
						   "template's (%d)",
						   json_array_size(cards), template->ncards);
	json_array_foreach((json_t *) cards, i, card)
	{
		json_int_t index = json_integer_value(json_object_get(card, "card_index"));
		SimGiven given = {0};

		if (!json_is_integer(json_object_get(card, "card_index")) || index < 0 ||
			index >= template->ncards || seen[index])
			return sim_problem(problem, 131009,
							   "carousel: card_index must be from 0 to %d, each "
							   "once",
							   template->ncards - 1);
		seen[index] = true;
		if (!gather_components(json_object_get(card, "components"), &given, NULL, problem) ||
			!sim_form_check(message, &template->cards[index], &given, CARD_BODY_MAX, problem))
			return false;
	}
	return true;
}

/* {"limited_time_offer": {"expiration_time_ms": 1790000000000}} */
static bool
check_offer(const SimTemplate *template, const json_t *offer, SimProblem *problem)
{
	const json_t *parameter = json_array_get(json_object_get(offer, "parameters"), 0);
	const json_t *expires =
		json_object_get(json_object_get(parameter, "limited_time_offer"), "expiration_time_ms");

	if (offer == NULL)
		return !template->offer_expires ||
			   sim_problem(problem, 131008,
						   "limited_time_offer: the template's offer expires; when is not given");
	if (!json_is_integer(expires) || json_integer_value(expires) <= 0)
		return sim_problem(
			problem, 132012,
			"limited_time_offer: expiration_time_ms must be milliseconds since 1970");
	return true;
}

/* {"tap_target_configuration": [{"url": "https://...", "title": "..."}]} */
static bool
check_tap_target(const json_t *component, SimProblem *problem)
{
	const json_t *parameter = json_array_get(json_object_get(component, "parameters"), 0);
	const json_t *target =
		json_array_get(json_object_get(parameter, "tap_target_configuration"), 0);
	const char *url = json_string_value(json_object_get(target, "url"));

	if (component == NULL)
		return true;
	if (url == NULL || (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0))
		return sim_problem(problem, 131009,
						   "tap_target_configuration: url is not an http or https address");
	return sim_check_text(target, "tap_target_configuration", "title", 1024, true, problem);
}

/* An authentication template's code, in its body and its button. */
static bool
check_password(const SimGiven *given, SimProblem *problem)
{
	const json_t *lists[] = {given->body, given->buttons[0]};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
	{
		const char *code = json_string_value(json_object_get(json_array_get(lists[i], 0), "text"));

		if (code != NULL && sim_utf8_length(code) > PASSWORD_MAX)
			return sim_problem(problem, 131009, "a one-time password has at most %d characters",
							   PASSWORD_MAX);
	}
	return true;
}

/* Who may be sent it, and by which edge. */
static bool
check_category(const SimMessage *message, SimProblem *problem)
{
	const SimTemplate *template = message->template;
	bool marketing = strcmp(template->category, "MARKETING") == 0;

	if (message->marketing && !marketing)
		return sim_problem(problem, 134100, "template name (%.80s) is of category %s",
						   message->template_name, template->category);
	if (marketing && !message->marketing && sim_settings.marketing_by_its_edge)
		return sim_problem(problem, 131063, "send marketing templates to /marketing_messages");
	if (message->by_user_id && strcmp(template->category, "AUTHENTICATION") == 0)
		return sim_problem(problem, 131062, "authentication templates need a phone number");
	return true;
}

bool
sim_check_template(const SimMessage *message, SimProblem *problem)
{
	const SimTemplate *template = message->template;
	SimGiven given = {0};
	Special special = {0};

	if (message->template_name == NULL)
		return sim_problem_parameter(problem, "The parameter template['name'] is required.");
	if (message->language == NULL)
		return sim_problem_parameter(problem,
									 "The parameter template['language']['code'] is required.");
	if (template == NULL && !sim_settings.accept_any_template)
		return sim_problem(problem, 132001, "template name (%.80s) does not exist in %.16s",
						   message->template_name, message->language);
	if (template != NULL && (!check_status(template, problem) || !check_category(message, problem)))
		return false;
	if (!gather_components(json_object_get(message->object, "components"), &given, &special,
						   problem))
		return false;
	if (template == NULL)
		return sim_form_check(message, NULL, &given, BODY_ONLY_MAX, problem);
	if (strcmp(template->category, "AUTHENTICATION") == 0 && !check_password(&given, problem))
		return false;
	return sim_form_check(message, &template->form, &given,
						  template->body_only ? BODY_ONLY_MAX : BODY_MAX, problem) &&
		   check_carousel(message, special.carousel, problem) &&
		   check_offer(template, special.offer, problem) &&
		   check_tap_target(special.tap_target, problem);
}
