/*
 * interactive.c
 *	  The limits of interactive messages: reply buttons, lists, a link button.
 *
 * Other kinds (flows, catalogues, requests for a location …) are passed on as
 * they are; Meta adds new ones more often than we release.
 */
#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/builtins.h"

#include "base/jsonb.h"
#include "base/quote.h"
#include "compat.h"
#include "enqueue/content.h"
#include "template/text_limits.h"

#define MAX_BODY 1024
#define MAX_LIST_BODY 4096
#define MAX_FOOTER 60
#define MAX_HEADER 60
#define MAX_REPLY_BUTTONS 3
#define MAX_BUTTON_TITLE 20
#define MAX_BUTTON_ID 256
#define MAX_SECTIONS 10
#define MAX_ROWS 10
#define MAX_SECTION_TITLE 24
#define MAX_ROW_TITLE 24
#define MAX_ROW_DESCRIPTION 72
#define MAX_ROW_ID 200

pg_noreturn static void fail(const char *fmt, ...) pg_attribute_printf(1, 2);

static void
fail(const char *fmt, ...)
{
	char *detail;
	va_list args;

	va_start(args, fmt);
	detail = wa_format(fmt, args);
	va_end(args);
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid interactive message"),
					errdetail_internal("%s", detail)));
}

/*
 * A text member of an object.  "what" is its name in messages.
 */
static char *
text_member(const JsonbValue *object, const char *key, const char *what, int max, bool required)
{
	char *text = wa_jsonb_get_string(object, key);

	if (text != NULL)
		wa_check_text(what, text, max);
	else if (required || !wa_jsonb_is_null(wa_jsonb_get(object, key)))
		fail("The %s is missing or not a string.", what);
	return text;
}

static JsonbValue *
array_member(const JsonbValue *object, const char *key, const char *what, int max)
{
	JsonbValue *array = wa_jsonb_get(object, key);
	int count = wa_jsonb_count(array);

	if (!wa_jsonb_is_array(array) || count < 1 || count > max)
		fail("There must be 1 to %d %s.", max, what);
	return array;
}

static void
check_part(const JsonbValue *interactive, const char *part, int max, bool required)
{
	const JsonbValue *object = wa_jsonb_get(interactive, part);

	if (object != NULL || required)
		(void) text_member(object, "text", psprintf("text of the %s", part), max, true);
}

static void
check_header(const JsonbValue *interactive, bool text_only)
{
	static const char *const media[] = {"image", "video", "document"};
	const JsonbValue *header = wa_jsonb_get(interactive, "header");
	char *type = wa_jsonb_get_string(header, "type");

	if (header == NULL)
		return;
	if (type == NULL)
		fail("The header has no \"type\".");
	if (strcmp(type, "text") == 0)
	{
		(void) text_member(header, "text", "text of the header", MAX_HEADER, true);
		return;
	}
	for (int i = 0; i < lengthof(media) && !text_only; i++)
	{
		const JsonbValue *medium = wa_jsonb_get(header, media[i]);
		char *link = wa_jsonb_get_string(medium, "link");

		if (strcmp(type, media[i]) != 0)
			continue;
		if ((link == NULL) == (wa_jsonb_get_string(medium, "id") == NULL))
			fail("The header needs either a link or a media id.");
		if (link != NULL)
			wa_check_link("link of the header", link);
		return;
	}
	fail("The header cannot be of the type \"%s\".", wa_quote(type));
}

/*
 * Ids come back in the reply, and titles are all that people see: two that are equal
 * could not be told apart.  Meta refuses them (131009).
 */
static void
check_unique(List **seen, const char *what, char *word)
{
	ListCell *lc;

	foreach (lc, *seen)
	{
		if (strcmp(lfirst(lc), word) == 0)
			fail("The %s \"%s\" is used twice.", what, wa_quote(word));
	}
	*seen = lappend(*seen, word);
}

static void
check_buttons(const JsonbValue *interactive)
{
	JsonbValue *buttons = array_member(wa_jsonb_get(interactive, "action"), "buttons",
									   "reply buttons", MAX_REPLY_BUTTONS);
	List *ids = NIL;
	List *titles = NIL;

	check_header(interactive, false);
	check_part(interactive, "body", MAX_BODY, true);
	for (int i = 0; i < wa_jsonb_count(buttons); i++)
	{
		JsonbValue *button = wa_jsonb_element(buttons, i);
		char *type = wa_jsonb_get_string(button, "type");
		JsonbValue *reply = wa_jsonb_get(button, "reply");

		if (type == NULL || strcmp(type, "reply") != 0)
			fail("Button %d is not of the type \"reply\".", i);
		check_unique(&titles, "title",
					 text_member(reply, "title", "title of the button", MAX_BUTTON_TITLE, true));
		check_unique(&ids, "id", text_member(reply, "id", "id of the button", MAX_BUTTON_ID, true));
	}
}

static int
check_section(const JsonbValue *section, bool title_required, List **ids)
{
	JsonbValue *rows = array_member(section, "rows", "rows in a section", MAX_ROWS);
	int count = wa_jsonb_count(rows);

	(void) text_member(section, "title", "title of the section", MAX_SECTION_TITLE, title_required);
	for (int i = 0; i < count; i++)
	{
		JsonbValue *row = wa_jsonb_element(rows, i);

		(void) text_member(row, "title", "title of the row", MAX_ROW_TITLE, true);
		(void) text_member(row, "description", "description of the row", MAX_ROW_DESCRIPTION,
						   false);
		check_unique(ids, "id", text_member(row, "id", "id of the row", MAX_ROW_ID, true));
	}
	return count;
}

static void
check_list(const JsonbValue *interactive)
{
	const JsonbValue *action = wa_jsonb_get(interactive, "action");
	JsonbValue *sections = array_member(action, "sections", "sections", MAX_SECTIONS);
	int count = wa_jsonb_count(sections);
	List *ids = NIL;
	int rows = 0;

	check_header(interactive, true);
	check_part(interactive, "body", MAX_LIST_BODY, true);
	(void) text_member(action, "button", "button that opens the list", MAX_BUTTON_TITLE, true);
	for (int i = 0; i < count; i++)
		rows += check_section(wa_jsonb_element(sections, i), count > 1, &ids);
	if (rows > MAX_ROWS)
		fail("The sections have %d rows together; at most %d are allowed.", rows, MAX_ROWS);
}

static void
check_cta_url(const JsonbValue *interactive)
{
	const JsonbValue *parameters = wa_jsonb_get(wa_jsonb_get(interactive, "action"), "parameters");

	check_header(interactive, false);
	check_part(interactive, "body", MAX_BODY, true);
	(void) text_member(parameters, "display_text", "text of the button", MAX_BUTTON_TITLE, true);
	wa_check_link("URL of the button",
				  text_member(parameters, "url", "URL of the button", WA_MAX_LINK, true));
}

void
wa_interactive_check(const JsonbValue *interactive)
{
	char *type = wa_jsonb_get_string(interactive, "type");

	if (type == NULL)
		fail("It has no \"type\".");
	if (!wa_jsonb_is_object(wa_jsonb_get(interactive, "action")))
		fail("It has no \"action\".");
	check_part(interactive, "footer", MAX_FOOTER, false);
	if (strcmp(type, "button") == 0)
		check_buttons(interactive);
	else if (strcmp(type, "list") == 0)
		check_list(interactive);
	else if (strcmp(type, "cta_url") == 0)
		check_cta_url(interactive);
}
