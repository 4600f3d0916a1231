/*
 * values.c
 *	  What a caller gives for a template, read from the argument "parameters".
 *
 * Three forms, from short to long:
 *
 *		["Ana", 8841]							body values by position
 *		{"first_name": "Ana", "order": 8841}	body values by name
 *		{"header": …, "body": …, "buttons": …,	any part
 *		 "limited_time_offer": …, "tap_target": …, "carousel": …}
 *
 * and {"components": […]}, which is sent as given.  Here only the form is
 * judged; whether it is what the template takes is template/check.c's concern.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "base/quote.h"
#include "compat.h"
#include "template/template.h"
#include "template/extras.h"
#include "template/text_limits.h"

/* Far more than any template has. */
#define MAX_BODY_VALUES 100

static void read_parts(WaTemplateValues *values, const JsonbValue *root);

void
wa_template_invalid(const char *fmt, ...)
{
	char *detail;
	va_list args;

	va_start(args, fmt);
	detail = wa_format(fmt, args);
	va_end(args);
	ereport(
		ERROR,
		(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid template parameters"),
		 errdetail_internal("%s", detail),
		 errhint("Give an array of the body's values, an object of its named values, or an "
				 "object with any of \"header\", \"body\", \"buttons\", \"limited_time_offer\", "
				 "\"tap_target\" and \"carousel\".")));
}

/*
 * Thousandths of the currency: a whole number.
 */
static bool
is_whole_number(const JsonbValue *value)
{
	char *text = wa_jsonb_scalar(value);

	return value != NULL && value->type == jbvNumeric &&
		   strspn(text, "-0123456789") == strlen(text);
}

static void
check_currency(const JsonbValue *typed)
{
	char *code = wa_jsonb_get_string(typed, "code");

	if (code == NULL || strlen(code) != 3 || strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 3)
		wa_template_invalid(
			"A \"currency\" value needs \"code\", three capital letters such as \"EUR\".");
	if (!is_whole_number(wa_jsonb_get(typed, "amount_1000")))
		wa_template_invalid(
			"A \"currency\" value needs \"amount_1000\", a whole number: 25.40 is 25400.");
}

/*
 * {"currency": {…}} or {"date_time": {…}}, with or without Meta's "type".
 */
static bool
read_typed(WaTemplateValue *out, JsonbValue *object, const char *word)
{
	JsonbValue *typed = wa_jsonb_get(object, word);

	if (typed == NULL)
		return false;
	out->typed_as = word;
	out->typed = typed;
	out->text = wa_jsonb_get_string(typed, "fallback_value");
	if (out->text == NULL)
		wa_template_invalid(
			"A \"%s\" value needs the text \"fallback_value\", which is what people see.", word);
	if (strcmp(word, "currency") == 0)
		check_currency(typed);
	return true;
}

/*
 * "place" names the value in messages, such as "body value 2".
 */
static void
read_value(WaTemplateValue *out, JsonbValue *value, const char *place)
{
	out->text = wa_jsonb_scalar(value);
	if (out->text != NULL)
		return;
	if (wa_jsonb_is_object(value))
	{
		char *name = wa_jsonb_get_string(value, "parameter_name");

		if (name != NULL)
			out->name = name;
		if (read_typed(out, value, "currency") || read_typed(out, value, "date_time"))
			return;
		out->text = wa_jsonb_scalar(wa_jsonb_get(value, "text"));
		if (out->text != NULL)
			return;
	}
	wa_template_invalid("The %s is %s; it must be a string, a number, a boolean, or an object with "
						"\"currency\" or \"date_time\".",
						place, wa_jsonb_kind(value));
}

static WaTemplateValue *
add_body_value(WaTemplateValues *values)
{
	if (values->body == NULL)
		values->body = palloc0(MAX_BODY_VALUES * sizeof(WaTemplateValue));
	if (values->nbody >= MAX_BODY_VALUES)
		wa_template_invalid("There are more than %d body values.", MAX_BODY_VALUES);
	return &values->body[values->nbody++];
}

static void
read_named_value(void *arg, char *name, JsonbValue *value)
{
	WaTemplateValues *values = arg;
	WaTemplateValue *out = add_body_value(values);

	out->name = name;
	read_value(out, value, psprintf("body value \"%s\"", wa_quote(name)));
}

static void
read_body(WaTemplateValues *values, JsonbValue *body)
{
	values->body_given = true;
	if (wa_jsonb_is_array(body))
	{
		int count = wa_jsonb_count(body);

		for (int i = 0; i < count; i++)
		{
			WaTemplateValue *out = add_body_value(values);

			read_value(out, wa_jsonb_element(body, i), psprintf("body value %d", i + 1));
			if (out->name != NULL)
				values->body_named = true;
		}
	}
	else if (wa_jsonb_is_object(body))
	{
		values->body_named = wa_jsonb_count(body) > 0;
		wa_jsonb_each(body, read_named_value, values);
	}
	else
		wa_template_invalid("The body is %s; it must be an array or an object.",
							wa_jsonb_kind(body));
}

static void
check_media_member(void *arg, char *name, JsonbValue *value)
{
	const char *kind = arg;

	if (strcmp(name, "link") == 0 || strcmp(name, "id") == 0 || strcmp(name, "media") == 0 ||
		(strcmp(name, "filename") == 0 && strcmp(kind, "document") == 0))
		return;
	wa_template_invalid("The header's \"%s\" has the unknown member \"%s\".", wa_quote(kind),
						wa_quote(name));
}

/*
 * The id that wa_upload_media() returned, as a number or a string of digits.
 */
static int64
read_file(const char *kind_name, const char *given)
{
	if (given[0] == '\0' || strlen(given) > 18 || strspn(given, "0123456789") != strlen(given))
		wa_template_invalid(
			"The \"media\" of the header's \"%s\" must be what wa_upload_media() returned.",
			kind_name);
	return strtoll(given, NULL, 10);
}

/*
 * A medium: an object with "link", "id" or "media", or just one of the first
 * two as a string.
 */
static JsonbValue *
read_media(WaTemplateValues *values, WaHeaderKind kind, JsonbValue *given)
{
	const char *kind_name = wa_header_kind_name(kind);
	WaJsonbWriter w = {0};
	char *link = NULL;
	char *id = NULL;
	char *file = NULL;
	char *filename = NULL;

	if (wa_jsonb_is_object(given))
	{
		wa_jsonb_each(given, check_media_member, unconstify(char *, kind_name));
		link = wa_jsonb_get_string(given, "link");
		id = wa_jsonb_scalar(wa_jsonb_get(given, "id"));
		file = wa_jsonb_scalar(wa_jsonb_get(given, "media"));
		filename = wa_jsonb_get_string(given, "filename");
	}
	else
	{
		char *text = wa_jsonb_scalar(given);

		if (text != NULL && strspn(text, "0123456789") == strlen(text))
			id = text;
		else
			link = text;
	}
	if ((link != NULL) + (id != NULL) + (file != NULL) != 1)
		wa_template_invalid("The header's \"%s\" needs one of \"link\", \"id\" and \"media\".",
							kind_name);
	if (link != NULL)
		wa_check_link("link of the header", link);
	if (file != NULL)
		values->header_file = read_file(kind_name, file);

	wa_jsonb_begin_object(&w, NULL);
	if (id != NULL)
		wa_jsonb_put_string(&w, "id", id);
	else if (link != NULL)
		wa_jsonb_put_string(&w, "link", link);
	if (filename != NULL)
		wa_jsonb_put_string(&w, "filename", filename);
	wa_jsonb_end_object(&w);
	return w.result;
}

static void
read_header_member(void *arg, char *name, JsonbValue *value)
{
	WaTemplateValues *values = arg;
	WaHeaderKind kind = WA_HEADER_NONE;

	if (strcmp(name, "type") == 0 || strcmp(name, "parameter_name") == 0)
		return;
	if (values->header_kind != WA_HEADER_NONE)
		wa_template_invalid("The header has more than one value.");
	for (int i = WA_HEADER_IMAGE; i <= WA_HEADER_PRODUCT; i++)
	{
		if (strcmp(name, wa_header_kind_name(i)) == 0)
			kind = i;
	}
	if (kind == WA_HEADER_LOCATION)
	{
		if (!wa_jsonb_is_object(value))
			wa_template_invalid("The header's \"location\" is %s; it must be an object.",
								wa_jsonb_kind(value));
		wa_check_coordinates(wa_jsonb_get(value, "latitude"), wa_jsonb_get(value, "longitude"));
		values->header_media = value;
	}
	else if (kind == WA_HEADER_PRODUCT)
		values->header_media = wa_template_product_read(value);
	else if (kind != WA_HEADER_NONE)
		values->header_media = read_media(values, kind, value);
	else
	{
		/* {"text": …}, or the name of the header's own parameter */
		kind = WA_HEADER_TEXT;
		if (strcmp(name, "text") != 0)
			values->header.name = name;
		read_value(&values->header, value, "header value");
	}
	values->header_kind = kind;
}

static void
read_header(WaTemplateValues *values, JsonbValue *header)
{
	if (wa_jsonb_is_object(header) && wa_jsonb_get(header, "currency") == NULL &&
		wa_jsonb_get(header, "date_time") == NULL)
	{
		values->header.name = wa_jsonb_get_string(header, "parameter_name");
		wa_jsonb_each(header, read_header_member, values);
		if (values->header_kind == WA_HEADER_NONE)
			wa_template_invalid("The header is an empty object.");
		return;
	}
	read_value(&values->header, header, "header value");
	values->header_kind = WA_HEADER_TEXT;
}

static int
read_button_index(const JsonbValue *button, int position)
{
	char *given = wa_jsonb_scalar(wa_jsonb_get(button, "index"));

	if (given == NULL)
		return position;
	if (strlen(given) != 1 || given[0] < '0' || given[0] > '9')
		wa_template_invalid("The index of a button must be a number from 0 to 9.");
	return given[0] - '0';
}

/*
 * One button: null (nothing for the button in this place), its value, or an
 * object that says more.
 */
static void
read_button(WaTemplateValues *values, JsonbValue *given, int position)
{
	static const char *const keys[] = {"payload", "text", "coupon_code"};
	WaTemplateButtonValue *out = &values->buttons[values->nbuttons];

	if (wa_jsonb_is_null(given))
		return;
	out->index = position;
	if (wa_jsonb_is_object(given))
	{
		out->index = read_button_index(given, position);
		out->sub_type = wa_jsonb_get_string(given, "sub_type");
		out->parameters = wa_jsonb_get(given, "parameters");
		if (out->parameters != NULL && !wa_jsonb_is_array(out->parameters))
			wa_template_invalid("The \"parameters\" of button %d are %s; they must be an array.",
								out->index, wa_jsonb_kind(out->parameters));
		if (out->parameters == NULL)
			wa_template_action_read(out, given);
		for (int i = 0; i < lengthof(keys) && out->parameters == NULL; i++)
		{
			char *text = wa_jsonb_scalar(wa_jsonb_get(given, keys[i]));

			if (text == NULL)
				continue;
			if (out->text != NULL || out->action != NULL)
				wa_template_invalid("Button %d has more than one value.", out->index);
			out->key = keys[i];
			out->text = text;
		}
	}
	else
		out->text = wa_jsonb_scalar(given);
	if (out->text == NULL && out->action == NULL && out->parameters == NULL)
		wa_template_invalid(
			"Button %d has no value; give a string, or an object with \"payload\", \"text\", "
			"\"coupon_code\", \"flow_token\", \"thumbnail\", \"sections\" or \"parameters\".",
			out->index);
	for (int i = 0; i < values->nbuttons; i++)
	{
		if (values->buttons[i].index == out->index)
			wa_template_invalid("Button %d is given twice.", out->index);
	}
	values->nbuttons++;
}

static void
read_buttons(WaTemplateValues *values, JsonbValue *buttons)
{
	int count = wa_jsonb_count(buttons);

	if (!wa_jsonb_is_array(buttons))
		wa_template_invalid("The buttons are %s; they must be an array.", wa_jsonb_kind(buttons));
	if (count > WA_MAX_TEMPLATE_BUTTONS)
		wa_template_invalid("There are more than %d buttons.", WA_MAX_TEMPLATE_BUTTONS);
	values->buttons = palloc0((count + 1) * sizeof(WaTemplateButtonValue));
	for (int i = 0; i < count; i++)
		read_button(values, wa_jsonb_element(buttons, i), i);
}

bool
wa_template_is_part(const char *name)
{
	static const char *const parts[] = {"header",	  "body",	 "buttons", "limited_time_offer",
										"tap_target", "carousel"};

	for (int i = 0; i < lengthof(parts); i++)
	{
		if (strcmp(name, parts[i]) == 0)
			return true;
	}
	return false;
}

static void
check_part_name(void *arg, char *name, JsonbValue *value)
{
	if (!wa_template_is_part(name))
		*((bool *) arg) = false;
}

static void
check_card_member(void *arg, char *name, JsonbValue *value)
{
	if (strcmp(name, "header") != 0 && strcmp(name, "body") != 0 && strcmp(name, "buttons") != 0)
		wa_template_invalid(
			"A card has the unknown member \"%s\"; it takes \"header\", \"body\" and "
			"\"buttons\".",
			wa_quote(name));
}

/*
 * null is a card that takes nothing.  A message can have one file of whatsapp_media
 * only, for its own header.
 */
static void
read_card(WaTemplateValues *values, JsonbValue *given)
{
	if (wa_jsonb_is_null(given))
		return;
	if (!wa_jsonb_is_object(given))
		wa_template_invalid(
			"A card is %s; it must be an object with \"header\", \"body\" and \"buttons\".",
			wa_jsonb_kind(given));
	wa_jsonb_each(given, check_card_member, NULL);
	read_parts(values, given);
	if (values->header_file != 0)
		wa_template_invalid(
			"The header of a card needs \"link\" or \"id\", and cannot have \"media\".");
}

static void
read_carousel(WaTemplateValues *values, JsonbValue *cards)
{
	int count = wa_jsonb_count(cards);

	if (!wa_jsonb_is_array(cards))
		wa_template_invalid("The carousel is %s; it must be an array of cards.",
							wa_jsonb_kind(cards));
	if (count < WA_MIN_CARDS || count > WA_MAX_CARDS)
		wa_template_invalid("The carousel has %d cards; it must have %d to %d.", count,
							WA_MIN_CARDS, WA_MAX_CARDS);
	values->cards_given = true;
	values->ncards = count;
	values->cards = palloc0(count * sizeof(WaTemplateValues));
	for (int i = 0; i < count; i++)
	{
		WaTemplateCardContext context;

		wa_template_card_begin(&context, i);
		read_card(&values->cards[i], wa_jsonb_element(cards, i));
		wa_template_card_end(&context);
	}
}

static void
read_parts(WaTemplateValues *values, const JsonbValue *root)
{
	JsonbValue *header = wa_jsonb_get(root, "header");
	JsonbValue *body = wa_jsonb_get(root, "body");
	JsonbValue *buttons = wa_jsonb_get(root, "buttons");
	JsonbValue *carousel = wa_jsonb_get(root, "carousel");

	if (!wa_jsonb_is_null(header))
		read_header(values, header);
	if (!wa_jsonb_is_null(body))
		read_body(values, body);
	if (!wa_jsonb_is_null(buttons))
		read_buttons(values, buttons);
	wa_template_extras_read(values, root);
	if (!wa_jsonb_is_null(carousel))
		read_carousel(values, carousel);
}

void
wa_template_values_read(WaTemplateValues *values, Jsonb *parameters)
{
	JsonbValue *root;
	bool parts = true;

	memset(values, 0, sizeof(*values));
	if (parameters == NULL)
		return;
	root = wa_jsonb_root(parameters);
	if (!wa_jsonb_is_object(root))
	{
		if (!wa_jsonb_is_array(root))
			wa_template_invalid("They are %s.", wa_jsonb_kind(root));
		read_body(values, root);
		return;
	}
	if (wa_jsonb_count(root) == 0)
		return;
	values->components = wa_jsonb_get(root, "components");
	if (wa_jsonb_is_array(values->components) && wa_jsonb_count(root) == 1)
		return;
	values->components = NULL;
	wa_jsonb_each(root, check_part_name, &parts);
	if (parts)
		read_parts(values, root);
	else
		read_body(values, root);
}
