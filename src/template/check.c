/*
 * check.c
 *	  Whether what a caller gives is what a template takes.
 *
 * Meta checks the same when the message is sent, and responds with 132000, 132005,
 * 132012 or 132018: too late for the author of the mistake.  Here it is found
 * before COMMIT, and the error says what the template takes.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "base/quote.h"
#include "template/check.h"
#include "template/text_limits.h"

/* Meta refuses values with more spaces than that in a row (132018). */
#define MAX_SPACES 4

/*
 * What was given, in words; not the values themselves.
 */
static char *
describe_values(const WaTemplateValues *values)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfo(&out, "Given: header: %s; body:",
					 values->header_kind == WA_HEADER_NONE
						 ? "nothing"
						 : wa_header_kind_name(values->header_kind));
	if (values->nbody == 0)
		appendStringInfoString(&out, " nothing");
	else if (!values->body_named)
		appendStringInfo(&out, " %d by position", values->nbody);
	for (int i = 0; i < values->nbody && values->body_named; i++)
		appendStringInfo(&out, "%s %s", i > 0 ? "," : "",
						 values->body[i].name != NULL ? values->body[i].name : "(without name)");
	for (int i = 0; i < values->nbuttons; i++)
		appendStringInfo(&out, "%s %d", i > 0 ? "," : "; buttons:", values->buttons[i].index);
	appendStringInfoChar(&out, '.');
	return out.data;
}

void
wa_template_misfit(const WaTemplateSpec *spec, const WaTemplateValues *values, const char *fmt, ...)
{
	char *problem;
	va_list args;

	va_start(args, fmt);
	problem = wa_format(fmt, args);
	va_end(args);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("parameters do not fit template \"%s\" (%s)", wa_quote(spec->name),
					wa_quote(spec->language)),
			 errdetail_internal("%s%s%s\n%s\n%s",
								spec->card == NULL ? "" : psprintf("C%s", spec->card + 1),
								spec->card == NULL ? "" : ": ", problem,
								wa_template_spec_describe(spec), describe_values(values)),
			 errhint("Give body values as an array (or, if they have names, as an object); for "
					 "the rest, an object with \"header\", \"body\", \"buttons\", "
					 "\"limited_time_offer\", \"tap_target\" and \"carousel\".")));
}

/*
 * What Meta accepts as a value: not empty, one line, no runs of spaces.
 */
static void
check_value(const WaTemplateValue *value, const char *place)
{
	int spaces = 0;
	const char *problem = NULL;

	if (value->text[0] == '\0')
		problem = "It is empty.";
	else if (wa_shows_nothing(value->text))
		problem = "It consists of characters that nobody sees.";
	for (const char *p = value->text; *p != '\0' && problem == NULL; p++)
	{
		spaces = *p == ' ' ? spaces + 1 : 0;
		if (*p == '\n' || *p == '\r')
			problem = "It contains a line break.";
		else if (*p == '\t')
			problem = "It contains a tab.";
		else if (spaces > MAX_SPACES)
			problem = "It contains more than four spaces in a row.";
	}
	if (problem != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid template parameter: %s", place),
						errdetail_internal("%s", problem)));
}

static const char *
place_of(const WaTemplateValue *value, int i)
{
	return value->name != NULL ? psprintf("body value \"%s\"", wa_quote(value->name))
							   : psprintf("body value %d", i + 1);
}

static void
check_all_values(const WaTemplateValues *values)
{
	if (values->header_kind == WA_HEADER_TEXT)
		check_value(&values->header, "header value");
	for (int i = 0; i < values->nbody; i++)
		check_value(&values->body[i], place_of(&values->body[i], i));
}

static const WaTemplateValue *
find_value(const WaTemplateValue *list, int n, const char *name)
{
	for (int i = 0; i < n; i++)
	{
		if (list[i].name != NULL && strcmp(list[i].name, name) == 0)
			return &list[i];
	}
	return NULL;
}

static bool
has_param(const WaTemplateText *text, const char *name)
{
	for (int i = 0; i < text->nparams; i++)
	{
		if (strcmp(text->params[i], name) == 0)
			return true;
	}
	return false;
}

/*
 * The value that stands for the i-th parameter of the body.
 */
static const WaTemplateValue *
body_value(const WaTemplateSpec *spec, const WaTemplateValues *values, int i)
{
	if (spec->named)
		return find_value(values->body, values->nbody, spec->body.params[i]);
	return &values->body[i];
}

/*
 * The text that people will see, for its length.
 */
static char *
substitute(const WaTemplateText *text, const WaTemplateValue *const *by_param)
{
	StringInfoData out;
	const char *p = text->text;
	const char *open;

	initStringInfo(&out);
	while ((open = strstr(p, "{{")) != NULL)
	{
		const char *end = strstr(open, "}}");

		if (end == NULL)
			break;
		appendBinaryStringInfo(&out, p, open - p);
		for (int i = 0; i < text->nparams; i++)
		{
			const char *name = open + 2 + strspn(open + 2, " ");
			size_t len = strlen(text->params[i]);

			if (strncmp(name, text->params[i], len) == 0 &&
				name + len + strspn(name + len, " ") == end)
				appendStringInfoString(&out, by_param[i]->text);
		}
		p = end + 2;
	}
	appendStringInfoString(&out, p);
	return out.data;
}

/*
 * A named header parameter may also stand among the named body values.
 */
static void
take_header_from_body(const WaTemplateSpec *spec, WaTemplateValues *values)
{
	const WaTemplateValue *value;

	if (!spec->named || values->header_kind != WA_HEADER_NONE || spec->header.nparams != 1)
		return;
	value = find_value(values->body, values->nbody, spec->header.params[0]);
	if (value == NULL)
		return;
	values->header_kind = WA_HEADER_TEXT;
	values->header = *value;
	if (has_param(&spec->body, value->name))
		return;
	for (int i = value - values->body; i + 1 < values->nbody; i++)
		values->body[i] = values->body[i + 1];
	values->nbody--;
}

static void
check_header(const WaTemplateSpec *spec, WaTemplateValues *values)
{
	const WaTemplateValue *value = &values->header;
	WaHeaderKind wanted = spec->header_kind;

	if (wanted == WA_HEADER_TEXT && spec->header.nparams == 0)
		wanted = WA_HEADER_NONE;
	if (values->header_kind != wanted)
	{
		if (wanted == WA_HEADER_NONE)
			wa_template_misfit(spec, values, "A header was given, and the template takes none.");
		if (values->header_kind == WA_HEADER_NONE)
			wa_template_misfit(spec, values, "The header is missing.");
		wa_template_misfit(spec, values, "The header given is of the kind \"%s\".",
						   wa_header_kind_name(values->header_kind));
	}
	if (wanted != WA_HEADER_TEXT)
		return;
	if (spec->named)
	{
		if (value->name == NULL)
			values->header.name = spec->header.params[0];
		else if (strcmp(value->name, spec->header.params[0]) != 0)
			wa_template_misfit(spec, values, "The header has no parameter \"%s\".",
							   wa_quote(value->name));
	}
	else if (value->name != NULL)
		wa_template_misfit(spec, values, "The header's parameter has no name.");
	wa_check_text("header of the template with its value", substitute(&spec->header, &value),
				  WA_MAX_HEADER_TEXT);
}

static void
check_body_names(const WaTemplateSpec *spec, const WaTemplateValues *values)
{
	if (values->nbody > 0 && !values->body_named)
		wa_template_misfit(spec, values, "%d body values were given without names.", values->nbody);
	for (int i = 0; i < values->nbody; i++)
	{
		const char *name = values->body[i].name;

		if (name == NULL)
			wa_template_misfit(spec, values, "A body value was given without a name.");
		if (!has_param(&spec->body, name))
			wa_template_misfit(spec, values, "The body has no parameter \"%s\".", wa_quote(name));
		if (find_value(values->body, i, name) != NULL)
			wa_template_misfit(spec, values, "The body value \"%s\" was given twice.",
							   wa_quote(name));
	}
	for (int i = 0; i < spec->body.nparams; i++)
	{
		if (body_value(spec, values, i) == NULL)
			wa_template_misfit(spec, values, "The body value \"%s\" is missing.",
							   spec->body.params[i]);
	}
}

static void
check_body(const WaTemplateSpec *spec, const WaTemplateValues *values)
{
	const WaTemplateValue **by_param;

	if (spec->named)
		check_body_names(spec, values);
	else if (values->body_named)
		wa_template_misfit(spec, values,
						   "Body values were given by name, and the template's have none.");
	else if (values->nbody != spec->body.nparams)
		wa_template_misfit(spec, values, "The body takes %d %s, and %d %s given.",
						   spec->body.nparams, spec->body.nparams == 1 ? "value" : "values",
						   values->nbody, values->nbody == 1 ? "was" : "were");

	if (spec->body.text == NULL)
		return;
	by_param = palloc((spec->body.nparams + 1) * sizeof(*by_param));
	for (int i = 0; i < spec->body.nparams; i++)
		by_param[i] = body_value(spec, values, i);
	wa_check_text("body of the template with its values", substitute(&spec->body, by_param),
				  spec->body_only ? WA_MAX_ONLY_BODY_TEXT : WA_MAX_BODY_TEXT);
}

/*
 * A one-time password has at most 15 characters, with a button that copies it or without.
 */
static void
check_password(const WaTemplateSpec *spec, const WaTemplateValues *values)
{
	if (pg_strcasecmp(spec->category, "AUTHENTICATION") != 0)
		return;
	for (int i = 0; i < values->nbody; i++)
		wa_check_text("one-time password", values->body[i].text, WA_MAX_PASSWORD);
}

static void
check_offer(const WaTemplateSpec *spec, const WaTemplateValues *values)
{
	if (values->offer_given && !spec->has_offer)
		wa_template_misfit(spec, values,
						   "A \"limited_time_offer\" was given, and the template has none.");
	if (spec->offer_ends && !values->offer_given)
		wa_template_misfit(spec, values,
						   "The \"limited_time_offer\" is missing: the time at which it ends.");
}

/* Meta shows it in place of a picture or of nothing, and opens the page at a tap. */
static void
check_tap_target(const WaTemplateSpec *spec, const WaTemplateValues *values)
{
	if (values->tap_title != NULL && spec->header_kind != WA_HEADER_NONE &&
		spec->header_kind != WA_HEADER_TEXT && spec->header_kind != WA_HEADER_IMAGE)
		wa_template_misfit(
			spec, values,
			"A \"tap_target\" needs a template whose header is an image, a text or nothing.");
}

static void
check_parts(const WaTemplateSpec *spec, WaTemplateValues *values)
{
	check_all_values(values);
	take_header_from_body(spec, values);
	check_header(spec, values);
	check_body(spec, values);
	wa_template_check_buttons(spec, values);
}

/*
 * Cards that show products may be more or fewer than the template has, all alike; others
 * are as many.
 */
static void
check_carousel(const WaTemplateSpec *spec, WaTemplateValues *values)
{
	bool products = spec->ncards > 0 && spec->cards[0].header_kind == WA_HEADER_PRODUCT;

	if (values->cards_given && spec->ncards == 0)
		wa_template_misfit(spec, values, "A \"carousel\" was given, and the template has none.");
	if (!values->cards_given && spec->ncards > 0)
		wa_template_misfit(spec, values, "The \"carousel\" is missing: an array of %d cards.",
						   spec->ncards);
	if (values->ncards != spec->ncards && !products)
		wa_template_misfit(spec, values, "The \"carousel\" takes %d cards, and %d were given.",
						   spec->ncards, values->ncards);
	for (int i = 0; i < values->ncards; i++)
	{
		WaTemplateCardContext context;

		wa_template_card_begin(&context, i);
		check_parts(&spec->cards[Min(i, spec->ncards - 1)], &values->cards[i]);
		wa_template_card_end(&context);
	}
}

void
wa_template_check(const WaTemplateSpec *spec, WaTemplateValues *values)
{
	if (values->components != NULL)
		return;
	check_parts(spec, values);
	check_password(spec, values);
	check_offer(spec, values);
	check_tap_target(spec, values);
	check_carousel(spec, values);
}

/* A value alone must not be longer than the text that it is put into. */
static void
check_all_lengths(const WaTemplateValues *values)
{
	if (values->header_kind == WA_HEADER_TEXT)
		wa_check_text("header value", values->header.text, WA_MAX_HEADER_TEXT);
	for (int i = 0; i < values->nbody; i++)
		wa_check_text(place_of(&values->body[i], i), values->body[i].text, WA_MAX_ONLY_BODY_TEXT);
}

void
wa_template_check_blind(WaTemplateValues *values)
{
	if (values->components != NULL)
		return;
	check_all_values(values);
	check_all_lengths(values);
	wa_template_check_buttons_blind(values);
	for (int i = 0; i < values->ncards; i++)
	{
		WaTemplateCardContext context;

		wa_template_card_begin(&context, i);
		wa_template_check_blind(&values->cards[i]);
		wa_template_card_end(&context);
	}
}
