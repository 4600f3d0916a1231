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
#include "compat.h"
#include "template/template.h"
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

pg_noreturn static void misfit(const WaTemplateSpec *spec, const WaTemplateValues *values,
							   const char *fmt, ...) pg_attribute_printf(3, 4);

static void
misfit(const WaTemplateSpec *spec, const WaTemplateValues *values, const char *fmt, ...)
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
			 errdetail_internal("%s\n%s\n%s", problem, wa_template_spec_describe(spec),
								describe_values(values)),
			 errhint("Give body values as an array (or, if they have names, as an object); for "
					 "a header or buttons, an object with \"header\", \"body\" and "
					 "\"buttons\".")));
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
			misfit(spec, values, "A header was given, and the template takes none.");
		if (values->header_kind == WA_HEADER_NONE)
			misfit(spec, values, "The header is missing.");
		misfit(spec, values, "The header given is of the kind \"%s\".",
			   wa_header_kind_name(values->header_kind));
	}
	if (wanted != WA_HEADER_TEXT)
		return;
	if (spec->named)
	{
		if (value->name == NULL)
			values->header.name = spec->header.params[0];
		else if (strcmp(value->name, spec->header.params[0]) != 0)
			misfit(spec, values, "The header has no parameter \"%s\".", wa_quote(value->name));
	}
	else if (value->name != NULL)
		misfit(spec, values, "The header's parameter has no name.");
	wa_check_text("header of the template with its value", substitute(&spec->header, &value),
				  WA_MAX_HEADER_TEXT);
}

static void
check_body_names(const WaTemplateSpec *spec, const WaTemplateValues *values)
{
	if (values->nbody > 0 && !values->body_named)
		misfit(spec, values, "%d body values were given without names.", values->nbody);
	for (int i = 0; i < values->nbody; i++)
	{
		const char *name = values->body[i].name;

		if (name == NULL)
			misfit(spec, values, "A body value was given without a name.");
		if (!has_param(&spec->body, name))
			misfit(spec, values, "The body has no parameter \"%s\".", wa_quote(name));
		if (find_value(values->body, i, name) != NULL)
			misfit(spec, values, "The body value \"%s\" was given twice.", wa_quote(name));
	}
	for (int i = 0; i < spec->body.nparams; i++)
	{
		if (body_value(spec, values, i) == NULL)
			misfit(spec, values, "The body value \"%s\" is missing.", spec->body.params[i]);
	}
}

static void
check_body(const WaTemplateSpec *spec, const WaTemplateValues *values)
{
	const WaTemplateValue **by_param;

	if (spec->named)
		check_body_names(spec, values);
	else if (values->body_named)
		misfit(spec, values, "Body values were given by name, and the template's have none.");
	else if (values->nbody != spec->body.nparams)
		misfit(spec, values, "The body takes %d %s, and %d %s given.", spec->body.nparams,
			   spec->body.nparams == 1 ? "value" : "values", values->nbody,
			   values->nbody == 1 ? "was" : "were");

	if (spec->body.text == NULL)
		return;
	by_param = palloc((spec->body.nparams + 1) * sizeof(*by_param));
	for (int i = 0; i < spec->body.nparams; i++)
		by_param[i] = body_value(spec, values, i);
	wa_check_text("body of the template with its values", substitute(&spec->body, by_param),
				  WA_MAX_BODY_TEXT);
}

static void
check_url_suffix(const WaTemplateSpec *spec, const WaTemplateValues *values,
				 const WaTemplateButton *button, const WaTemplateButtonValue *value)
{
	const char *mark = strstr(button->url, "{{");

	for (const char *p = value->text; *p != '\0'; p++)
	{
		if ((unsigned char) *p <= ' ' || *p == 0x7f)
			misfit(spec, values, "The value of button %d contains spaces or control characters.",
				   value->index);
	}
	wa_check_text("URL of the button",
				  psprintf("%.*s%s", (int) (mark - button->url), button->url, value->text),
				  WA_MAX_TEMPLATE_URL);
}

/*
 * The key under which a message gives the value of such a button.
 */
static const char *
key_of(WaButtonKind kind)
{
	switch (kind)
	{
		case WA_BUTTON_QUICK_REPLY:
			return "payload";
		case WA_BUTTON_COPY_CODE:
			return "coupon_code";
		case WA_BUTTON_URL:
		case WA_BUTTON_OTP:
			return "text";
		case WA_BUTTON_PLAIN:
		case WA_BUTTON_OTHER:
			break;
	}
	return NULL;
}

static void
check_button(const WaTemplateSpec *spec, const WaTemplateValues *values,
			 WaTemplateButtonValue *value)
{
	const WaTemplateButton *button;
	const char *key;

	if (value->index >= spec->nbuttons)
		misfit(spec, values, "A value was given for button %d, and the template has %d.",
			   value->index, spec->nbuttons);
	button = &spec->buttons[value->index];
	key = key_of(button->kind);
	if (value->sub_type != NULL && strcmp(value->sub_type, button->sub_type) != 0)
		misfit(spec, values, "Button %d is of the type %s and not \"%s\".", value->index,
			   button->type, wa_quote(value->sub_type));
	value->sub_type = button->sub_type;
	if (button->kind == WA_BUTTON_PLAIN || (button->kind == WA_BUTTON_URL && !button->wants_value))
		misfit(spec, values, "Button %d takes no value.", value->index);
	if (value->parameters != NULL)
		return;
	if (key == NULL)
		misfit(spec, values, "Button %d takes \"parameters\" as in Meta's API.", value->index);
	if (value->key != NULL && strcmp(value->key, key) != 0)
		misfit(spec, values, "Button %d takes \"%s\" and not \"%s\".", value->index, key,
			   wa_quote(value->key));
	value->key = key;
	if (button->kind == WA_BUTTON_URL)
		check_url_suffix(spec, values, button, value);
	if (button->kind == WA_BUTTON_OTP && values->nbody > 0 &&
		strcmp(value->text, values->body[0].text) != 0)
		misfit(spec, values, "Button %d has another code than the body.", value->index);
}

/*
 * The rules that need no template.
 */
static void
check_button_value(const WaTemplateButtonValue *value)
{
	if (value->parameters != NULL)
		return;
	if (strcmp(value->key, "payload") == 0)
		wa_check_text("payload of the button", value->text, WA_MAX_BUTTON_PAYLOAD);
	else if (strcmp(value->key, "coupon_code") == 0)
		wa_check_text("coupon code of the button", value->text, WA_MAX_COUPON_CODE);
	else
		wa_check_text("text of the button", value->text, WA_MAX_TEMPLATE_URL);
}

static bool
button_given(const WaTemplateValues *values, int index)
{
	for (int i = 0; i < values->nbuttons; i++)
	{
		if (values->buttons[i].index == index)
			return true;
	}
	return false;
}

/*
 * The button of a one-time password repeats the code of the body.
 */
static void
add_otp_button(WaTemplateValues *values, int index)
{
	WaTemplateButtonValue *all = palloc0((values->nbuttons + 1) * sizeof(WaTemplateButtonValue));
	WaTemplateButtonValue *added = &all[values->nbuttons];

	for (int i = 0; i < values->nbuttons; i++)
		all[i] = values->buttons[i];
	added->index = index;
	added->text = values->body[0].text;
	values->buttons = all;
	values->nbuttons++;
}

static void
check_buttons(const WaTemplateSpec *spec, WaTemplateValues *values)
{
	for (int i = 0; i < spec->nbuttons; i++)
	{
		const WaTemplateButton *button = &spec->buttons[i];

		if (!button->wants_value || button_given(values, i))
			continue;
		if (button->kind != WA_BUTTON_OTP || values->nbody == 0)
			misfit(spec, values, "The value of button %d (%s) is missing.", i, button->type);
		add_otp_button(values, i);
	}
	for (int i = 0; i < values->nbuttons; i++)
	{
		check_button(spec, values, &values->buttons[i]);
		check_button_value(&values->buttons[i]);
	}
}

void
wa_template_check(const WaTemplateSpec *spec, WaTemplateValues *values)
{
	if (values->components != NULL)
		return;
	if (spec->special)
		misfit(spec, values,
			   "It has a carousel or a limited-time offer; give {\"components\": [...]} as "
			   "in Meta's API.");
	check_all_values(values);
	take_header_from_body(spec, values);
	check_header(spec, values);
	check_body(spec, values);
	check_buttons(spec, values);
}

/* A value alone must not be longer than the text that it is put into. */
static void
check_all_lengths(const WaTemplateValues *values)
{
	if (values->header_kind == WA_HEADER_TEXT)
		wa_check_text("header value", values->header.text, WA_MAX_HEADER_TEXT);
	for (int i = 0; i < values->nbody; i++)
		wa_check_text(place_of(&values->body[i], i), values->body[i].text, WA_MAX_BODY_TEXT);
}

void
wa_template_check_blind(WaTemplateValues *values)
{
	if (values->components != NULL)
		return;
	check_all_values(values);
	check_all_lengths(values);
	for (int i = 0; i < values->nbuttons; i++)
	{
		WaTemplateButtonValue *value = &values->buttons[i];

		if (value->sub_type == NULL && value->key != NULL)
			value->sub_type = strcmp(value->key, "payload") == 0	   ? "quick_reply"
							  : strcmp(value->key, "coupon_code") == 0 ? "copy_code"
																	   : "url";
		if (value->sub_type == NULL || (value->key == NULL && value->parameters == NULL))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("type of button %d is unknown", value->index),
							errhint("Give an object with \"payload\", \"text\" or "
									"\"coupon_code\", or read the templates from Meta first: "
									"wa_sync_templates().")));
		check_button_value(value);
	}
}
