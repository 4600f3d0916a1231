/*
 * parameters.c
 *	  The parameters of a notification's template.
 *
 * The document has the forms that wa_enqueue_message() takes, except that its
 * strings are columns or expressions.  An object can stand for a value, too:
 *
 *		{"column": "total", "format": "money", "currency": "EUR"}
 *		{"expression": "NEW.total / 1.21", "format": "number", "digits": 2}
 *		{"value": "constant"}
 *
 * One walk serves both purposes: it lists what is to be computed, and later,
 * in the same order, puts the texts in their places.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/jsonb.h"
#include "base/quote.h"
#include "compat.h"
#include "notify/parameters.h"
#include "template/template.h"
#include "template/text_limits.h"

#define MAX_VALUES 100
#define MAX_DIGITS 10

typedef struct Walk
{
	/* listing */
	const WaNotifyScope *scope;
	List *values;

	/* filling */
	char **texts;
	int next;
	WaJsonbWriter w;
} Walk;

static void walk(Walk *state, const char *key, JsonbValue *node, const char *path, bool is_list);

pg_noreturn static void invalid(const char *path, const char *fmt, ...) pg_attribute_printf(2, 3);

static void
invalid(const char *path, const char *fmt, ...)
{
	char *detail;
	va_list args;

	va_start(args, fmt);
	detail = wa_format(fmt, args);
	va_end(args);
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid %s", path),
					errdetail_internal("%s", detail)));
}

/* ---- one value ---- */

static bool
is_value(const JsonbValue *node)
{
	return node->type == jbvString || wa_jsonb_get(node, "column") != NULL ||
		   wa_jsonb_get(node, "expression") != NULL || wa_jsonb_get(node, "value") != NULL;
}

static void
check_member(void *arg, char *name, JsonbValue *value)
{
	static const char *const names[] = {"column",	"expression", "value",	"format",
										"currency", "digits",	  "default"};

	for (int i = 0; i < lengthof(names); i++)
	{
		if (strcmp(name, names[i]) == 0)
			return;
	}
	invalid(arg, "The member \"%s\" is not known.", wa_quote(name));
}

static const char *
string_member(const JsonbValue *node, const char *name, const char *path)
{
	JsonbValue *value = wa_jsonb_get(node, name);

	if (value == NULL)
		return NULL;
	if (value->type != jbvString)
		invalid(path, "The member \"%s\" is %s; it must be a string.", name, wa_jsonb_kind(value));
	return wa_jsonb_string(value);
}

static void
read_format(WaNotifyValue *out, const JsonbValue *node, const char *path)
{
	const char *format = string_member(node, "format", path);
	char *digits = wa_jsonb_scalar(wa_jsonb_get(node, "digits"));

	if (format != NULL && !wa_format_find(format, &out->format))
		invalid(path,
				"The format \"%s\" is not known: use \"number\", \"money\", \"date\", "
				"\"short_date\", \"time\" or \"datetime\".",
				wa_quote(format));
	out->currency = string_member(node, "currency", path);
	if (out->format == WA_FORMAT_MONEY && out->currency == NULL)
		invalid(path, "The format \"money\" needs a \"currency\", such as \"EUR\".");
	if (out->currency != NULL && (out->format != WA_FORMAT_MONEY || strlen(out->currency) != 3 ||
								  strspn(out->currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 3))
		invalid(path, "The \"currency\" belongs to the format \"money\" and has three capital "
					  "letters.");
	if (wa_jsonb_get(node, "digits") == NULL)
		return;
	out->digits =
		digits != NULL && strspn(digits, "0123456789") == strlen(digits) && strlen(digits) <= 2
			? atoi(digits)
			: -1;
	if (out->digits < 0 || out->digits > MAX_DIGITS ||
		(out->format != WA_FORMAT_NUMBER && out->format != WA_FORMAT_MONEY))
		invalid(path,
				"The \"digits\" belong to the formats \"number\" and \"money\" and are a "
				"number from 0 to %d.",
				MAX_DIGITS);
}

static void
list_value(Walk *state, JsonbValue *node, const char *path)
{
	WaNotifyValue *out = palloc0(sizeof(WaNotifyValue));
	const char *column = NULL;
	const char *expression;

	out->place = pstrdup(path);
	out->digits = -1;
	if (node->type == jbvString)
		expression = wa_jsonb_string(node);
	else
	{
		wa_jsonb_each(node, check_member, unconstify(char *, path));
		column = string_member(node, "column", path);
		expression = string_member(node, "expression", path);
		if ((column == NULL) == (expression == NULL) || wa_jsonb_get(node, "value") != NULL)
			invalid(path, "Give one of \"column\", \"expression\" and \"value\".");
		out->fallback = string_member(node, "default", path);
		read_format(out, node, path);
	}
	out->sql = wa_notify_expression(state->scope, path, column != NULL ? column : expression,
									column != NULL);
	if (list_length(state->values) >= MAX_VALUES)
		invalid(path, "There are more than %d values.", MAX_VALUES);
	state->values = lappend(state->values, out);
}

static void
check_constant(JsonbValue *node, const char *path)
{
	JsonbValue *value = wa_jsonb_get(node, "value");

	if (wa_jsonb_count(node) != 1 || wa_jsonb_scalar(value) == NULL)
		invalid(path, "A \"value\" stands alone, and is a string, a number or a boolean.");
}

static void
walk_value(Walk *state, const char *key, JsonbValue *node, const char *path)
{
	JsonbValue *constant = wa_jsonb_get(node, "value");
	bool computed = node->type == jbvString || constant == NULL ||
					wa_jsonb_get(node, "column") != NULL ||
					wa_jsonb_get(node, "expression") != NULL;

	if (state->scope != NULL)
	{
		if (computed)
			list_value(state, node, path);
		else
			check_constant(node, path);
	}
	else if (computed)
		wa_jsonb_put_string(&state->w, key, state->texts[state->next++]);
	else
		wa_jsonb_put_value(&state->w, key, constant);
}

/* ---- the document ---- */

typedef struct Members
{
	Walk *state;
	const char *path;
	bool of_parts; /* header, body, buttons …, and not values by name */
} Members;

static void
walk_member(void *arg, char *name, JsonbValue *value)
{
	Members *members = arg;

	/* In {"body": {…}} the names are those of parameters, whatever they are. */
	walk(members->state, name, value, psprintf("%s.%s", members->path, name),
		 members->of_parts && strcmp(name, "body") == 0 && wa_jsonb_is_object(value));
}

static void
check_part_name(void *arg, char *name, JsonbValue *value)
{
	if (!wa_template_is_part(name))
		*((bool *) arg) = false;
}

/*
 * "is_list": it is a list of values, and cannot be a value itself.
 */
static void
walk(Walk *state, const char *key, JsonbValue *node, const char *path, bool is_list)
{
	bool filling = state->scope == NULL;

	check_stack_depth();
	if (!is_list && is_value(node))
	{
		walk_value(state, key, node, path);
		return;
	}
	if (wa_jsonb_is_array(node))
	{
		int count = wa_jsonb_count(node);

		if (filling)
			wa_jsonb_begin_array(&state->w, key);
		for (int i = 0; i < count; i++)
			walk(state, NULL, wa_jsonb_element(node, i), psprintf("%s[%d]", path, i), false);
		if (filling)
			wa_jsonb_end_array(&state->w);
	}
	else if (wa_jsonb_is_object(node))
	{
		Members members = {state, path, key == NULL && is_list};

		if (members.of_parts)
			wa_jsonb_each(node, check_part_name, &members.of_parts);
		if (filling)
			wa_jsonb_begin_object(&state->w, key);
		wa_jsonb_each(node, walk_member, &members);
		if (filling)
			wa_jsonb_end_object(&state->w);
	}
	else if (filling)
		wa_jsonb_put_value(&state->w, key, node);
}

List *
wa_notify_parameters_read(Jsonb *parameters, const WaNotifyScope *scope)
{
	Walk state = {.scope = scope};
	JsonbValue *root = wa_jsonb_root(parameters);

	if (!wa_jsonb_is_array(root) && !wa_jsonb_is_object(root))
		invalid("parameters", "They are %s; they must be an array or an object.",
				wa_jsonb_kind(root));
	walk(&state, NULL, root, "parameters", true);
	return state.values;
}

Jsonb *
wa_notify_parameters_fill(Jsonb *parameters, char **texts)
{
	Walk state = {.texts = texts};

	walk(&state, NULL, wa_jsonb_root(parameters), "parameters", true);
	return wa_jsonb_finish(&state.w);
}
