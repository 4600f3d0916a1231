/*
 * message_interactive.c
 *	  The rules for interactive messages: reply buttons, lists, links, cards,
 *	  products, orders.
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

/* Remembers a text, and says whether it is the first of its kind in a message. */
static bool
is_new(json_t *seen, const char *kind, const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));
	json_t *texts = json_object_get(seen, kind);

	if (texts == NULL)
	{
		texts = json_object();
		json_object_set_new(seen, kind, texts);
	}
	if (json_object_get(texts, text) != NULL)
		return false;
	json_object_set_new(texts, text, json_true());
	return true;
}

/* Titles must differ within a set of buttons, IDs within the message. */
static bool
check_buttons(const json_t *action, json_t *seen, const char *titles, SimProblem *problem)
{
	const json_t *buttons = json_object_get(action, "buttons");
	size_t i;
	json_t *button;

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
		if (!is_new(seen, "id", reply, "id"))
			return sim_problem(problem, 131009, "interactive: two buttons have the same id");
		if (!is_new(seen, titles, reply, "title"))
			return sim_problem(problem, 131009, "interactive: two buttons have the same title");
	}
	return true;
}

static bool
check_reply_buttons(const json_t *object, json_t *seen, SimProblem *problem)
{
	return check_frame(object, 1024, false, problem) &&
		   check_buttons(json_object_get(object, "action"), seen, "title", problem);
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
			if (!is_new(seen, "id", row, "id"))
				return sim_problem(problem, 131009, "interactive: two rows have the same id");
		}
		nrows += json_array_size(rows);
	}
	if (nrows > 10)
		return sim_problem(problem, 131009, "interactive: at most 10 rows in all are allowed");
	return true;
}

/* The action of a link button. */
static bool
check_url(const json_t *action, SimProblem *problem)
{
	const json_t *parameters = json_object_get(action, "parameters");
	const char *name = json_string_value(json_object_get(action, "name"));
	const char *url = json_string_value(json_object_get(parameters, "url"));

	if (name == NULL || strcmp(name, "cta_url") != 0)
		return sim_problem(problem, 131009, "interactive: action.name must be cta_url");
	if (url == NULL || (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0))
		return sim_problem(problem, 131009, "interactive: url is not an http or https address");
	return sim_check_text(parameters, "parameters", "display_text", 20, true, problem);
}

static bool
check_link(const json_t *object, json_t *seen, SimProblem *problem)
{
	return check_frame(object, 1024, false, problem) &&
		   check_url(json_object_get(object, "action"), problem);
}

/* A card: an image or a video, perhaps a text, and a link or reply buttons. */
static bool
check_card(const json_t *card, size_t number, json_t *seen, SimProblem *problem)
{
	const json_t *action = json_object_get(card, "action");
	const json_t *header = json_object_get(card, "header");
	const char *media = json_string_value(json_object_get(header, "type"));
	char titles[32] = {'c', (char) ('0' + number)};

	if (media == NULL || (strcmp(media, "image") != 0 && strcmp(media, "video") != 0))
		return sim_problem(problem, 131009, "interactive: card %zu needs an image or a video",
						   number);
	if (!sim_check_media(json_object_get(header, media), "card['header']", problem) ||
		!sim_check_text(json_object_get(card, "body"), "card['body']", "text", 160, false, problem))
		return false;
	return json_object_get(action, "buttons") != NULL ? check_buttons(action, seen, titles, problem)
													  : check_url(action, problem);
}

/* All cards have the same kind of header and the same buttons. */
static bool
cards_are_alike(const json_t *a, const json_t *b)
{
	return json_equal(json_object_get(json_object_get(a, "header"), "type"),
					  json_object_get(json_object_get(b, "header"), "type")) &&
		   json_array_size(json_object_get(json_object_get(a, "action"), "buttons")) ==
			   json_array_size(json_object_get(json_object_get(b, "action"), "buttons"));
}

static bool
check_carousel(const json_t *object, json_t *seen, SimProblem *problem)
{
	const json_t *cards = json_object_get(json_object_get(object, "action"), "cards");
	size_t i;
	json_t *card;

	if (json_object_get(object, "header") != NULL || json_object_get(object, "footer") != NULL)
		return sim_problem(problem, 131009, "interactive: a carousel has no header and no footer");
	if (!check_frame(object, 1024, false, problem))
		return false;
	if (json_array_size(cards) < 2 || json_array_size(cards) > 10)
		return sim_problem(problem, 131009, "interactive: from 2 to 10 cards are allowed");
	json_array_foreach((json_t *) cards, i, card)
	{
		const json_t *index = json_object_get(card, "card_index");

		if (!json_is_integer(index) || json_integer_value(index) != (json_int_t) i)
			return sim_problem(problem, 131009, "interactive: card %zu needs its card_index", i);
		if (!check_card(card, i, seen, problem))
			return false;
		if (!cards_are_alike(card, json_array_get(cards, 0)))
			return sim_problem(problem, 131009,
							   "interactive: all cards need the same kind of header and as many "
							   "buttons");
	}
	return true;
}

static bool
check_contact_request(const json_t *object, json_t *seen, SimProblem *problem)
{
	const char *name =
		json_string_value(json_object_get(json_object_get(object, "action"), "name"));

	if (name == NULL || strcmp(name, "request_contact_info") != 0)
		return sim_problem(problem, 131009,
						   "interactive: action.name must be request_contact_info");
	return check_frame(object, 1024, false, problem);
}

/* An order to pay, or what has become of it. */
static bool
check_order(const json_t *object, json_t *seen, SimProblem *problem)
{
	const json_t *action = json_object_get(object, "action");
	const json_t *parameters = json_object_get(action, "parameters");
	const char *type = json_string_value(json_object_get(object, "type"));
	const char *name = json_string_value(json_object_get(action, "name"));
	bool details = strcmp(type, "order_details") == 0;
	const char *wanted = details ? "review_and_pay" : "review_order";

	if (name == NULL || strcmp(name, wanted) != 0)
		return sim_problem(problem, 131009, "interactive: action.name must be %s", wanted);
	if (details && !json_is_object(json_object_get(parameters, "total_amount")))
		return sim_problem(problem, 131008, "interactive: an order needs a total_amount");
	if (!json_is_object(json_object_get(parameters, "order")))
		return sim_problem(problem, 131008, "interactive: an order is required");
	return sim_check_text(parameters, "parameters", "reference_id", 60, true, problem) &&
		   check_frame(object, 1024, false, problem);
}

static bool
check_product(const json_t *object, json_t *seen, SimProblem *problem)
{
	const json_t *action = json_object_get(object, "action");

	return sim_check_text(action, "action", "catalog_id", 100, true, problem) &&
		   sim_check_text(action, "action", "product_retailer_id", 100, true, problem);
}

/* Several products need a header, and each section products. */
static bool
check_product_list(const json_t *object, json_t *seen, SimProblem *problem)
{
	const json_t *action = json_object_get(object, "action");
	size_t nproducts = 0;
	size_t i;
	json_t *section;

	if (!check_frame(object, 1024, true, problem) ||
		!sim_check_text(action, "action", "catalog_id", 100, true, problem))
		return false;
	if (json_object_get(object, "header") == NULL)
		return sim_problem(problem, 131008, "interactive: a product list needs a text header");
	json_array_foreach(json_object_get(action, "sections"), i, section) nproducts +=
		json_array_size(json_object_get(section, "product_items"));
	if (nproducts < 1 || nproducts > 30)
		return sim_problem(problem, 131009, "interactive: from 1 to 30 products are allowed");
	return true;
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
	{"product", check_product},
	{"product_list", check_product_list},
	{"carousel", check_carousel},
	{"request_contact_info", check_contact_request},
	{"order_details", check_order},
	{"order_status", check_order},
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
