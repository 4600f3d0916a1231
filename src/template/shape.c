/*
 * shape.c
 *	  What a template takes, derived from its components.
 *
 * Meta does not list the parameters of a template; they are the placeholders
 * in its texts and at the end of its button URLs, {{1}} or {{first_name}}.
 * What we cannot make sense of takes nothing: a template with a new kind of
 * component can still be sent, with parameters in Meta's own form.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "base/quote.h"
#include "template/template.h"

/* More than Meta allows in any text; what lies beyond is not looked at. */
#define MAX_PLACEHOLDERS 100

static void read_components(WaTemplateSpec *spec, const JsonbValue *components);

static const struct
{
	const char *word;
	WaHeaderKind kind;
} header_words[] = {{"TEXT", WA_HEADER_TEXT},		  {"IMAGE", WA_HEADER_IMAGE},
					{"VIDEO", WA_HEADER_VIDEO},		  {"GIF", WA_HEADER_GIF},
					{"DOCUMENT", WA_HEADER_DOCUMENT}, {"LOCATION", WA_HEADER_LOCATION},
					{"PRODUCT", WA_HEADER_PRODUCT}};

static const struct
{
	const char *type;
	const char *sub_type;
	WaButtonKind kind;
} button_words[] = {{"QUICK_REPLY", "quick_reply", WA_BUTTON_QUICK_REPLY},
					{"URL", "url", WA_BUTTON_URL},
					{"COPY_CODE", "copy_code", WA_BUTTON_COPY_CODE},
					{"OTP", "url", WA_BUTTON_OTP},
					{"FLOW", "flow", WA_BUTTON_FLOW},
					{"CATALOG", "catalog", WA_BUTTON_CATALOG},
					{"MPM", "mpm", WA_BUTTON_PRODUCTS},
					{"SPM", "spm", WA_BUTTON_PLAIN},
					{"PHONE_NUMBER", "phone_number", WA_BUTTON_PLAIN}};

/* The name of the kind in a message: "image", "text" … */
const char *
wa_header_kind_name(WaHeaderKind kind)
{
	switch (kind)
	{
		case WA_HEADER_NONE:
			break;
		case WA_HEADER_TEXT:
			return "text";
		case WA_HEADER_IMAGE:
			return "image";
		case WA_HEADER_VIDEO:
			return "video";
		case WA_HEADER_GIF:
			return "gif";
		case WA_HEADER_DOCUMENT:
			return "document";
		case WA_HEADER_LOCATION:
			return "location";
		case WA_HEADER_PRODUCT:
			return "product";
	}
	return "none";
}

static void
add_param(WaTemplateText *out, const char *name, size_t len)
{
	for (int i = 0; i < out->nparams; i++)
	{
		if (strlen(out->params[i]) == len && memcmp(out->params[i], name, len) == 0)
			return;
	}
	if (out->nparams < MAX_PLACEHOLDERS)
		out->params[out->nparams++] = pnstrdup(name, len);
}

/*
 * The distinct placeholders of a text.  Those of the positional format are put
 * in numerical order, and one that the text skips is taken all the same: values
 * are counted from 1.
 */
static void
read_text(WaTemplateText *out, const char *text, bool named)
{
	const char *p = text;
	int highest = 0;

	out->text = text;
	out->nparams = 0;
	out->params = palloc0(MAX_PLACEHOLDERS * sizeof(char *));
	while ((p = strstr(p, "{{")) != NULL)
	{
		const char *end = strstr(p + 2, "}}");
		const char *from = p + 2;
		const char *to = end;

		if (end == NULL)
			break;
		while (from < to && *from == ' ')
			from++;
		while (to > from && to[-1] == ' ')
			to--;
		if (named)
			add_param(out, from, to - from);
		else
			highest = Max(highest, atoi(from));
		p = end + 2;
	}
	for (int i = 1; i <= Min(highest, MAX_PLACEHOLDERS); i++)
		out->params[out->nparams++] = psprintf("%d", i);
}

static void
read_header(WaTemplateSpec *spec, const JsonbValue *component)
{
	char *format = wa_jsonb_get_string(component, "format");
	char *text = wa_jsonb_get_string(component, "text");

	for (int i = 0; format != NULL && i < lengthof(header_words); i++)
	{
		if (pg_strcasecmp(format, header_words[i].word) == 0)
			spec->header_kind = header_words[i].kind;
	}
	if (spec->header_kind == WA_HEADER_TEXT && text != NULL)
		read_text(&spec->header, text, spec->named);
}

/*
 * Of an authentication template Meta may list a body without its text; it
 * takes the code.
 */
static void
read_body(WaTemplateSpec *spec, const JsonbValue *component)
{
	char *text = wa_jsonb_get_string(component, "text");

	if (text == NULL && pg_strcasecmp(spec->category, "AUTHENTICATION") == 0)
		text = "{{1}}";
	if (text != NULL)
		read_text(&spec->body, text, spec->named);
}

/* Meta's words are ASCII. */
static const char *
lower_case(const char *word)
{
	char *copy = pstrdup(word);

	for (char *p = copy; *p != '\0'; p++)
		*p = pg_ascii_tolower((unsigned char) *p);
	return copy;
}

/*
 * The button of a one-time password is listed as OTP, or as a URL that ends in
 * a placeholder; either way it takes the code.
 */
static void
read_button(WaTemplateSpec *spec, const JsonbValue *button)
{
	WaTemplateButton *out = &spec->buttons[spec->nbuttons];
	char *type = wa_jsonb_get_string(button, "type");

	out->type = type != NULL ? type : "?";
	out->kind = WA_BUTTON_OTHER;
	out->sub_type = lower_case(out->type);
	for (int i = 0; i < lengthof(button_words); i++)
	{
		if (pg_strcasecmp(out->type, button_words[i].type) == 0)
		{
			out->kind = button_words[i].kind;
			out->sub_type = button_words[i].sub_type;
		}
	}
	if (out->kind == WA_BUTTON_URL)
	{
		out->url = wa_jsonb_get_string(button, "url");
		out->wants_value = out->url != NULL && strstr(out->url, "{{") != NULL;
		if (out->wants_value && pg_strcasecmp(spec->category, "AUTHENTICATION") == 0)
			out->kind = WA_BUTTON_OTP;
	}
	else
		out->wants_value = out->kind == WA_BUTTON_COPY_CODE || out->kind == WA_BUTTON_OTP ||
						   out->kind == WA_BUTTON_CATALOG || out->kind == WA_BUTTON_PRODUCTS;
	spec->nbuttons++;
}

/*
 * Each card is a small template of its own.
 */
static void
read_cards(WaTemplateSpec *spec, const JsonbValue *cards)
{
	int count = wa_jsonb_is_array(cards) ? wa_jsonb_count(cards) : 0;

	spec->ncards = Min(count, WA_MAX_CARDS);
	spec->cards = palloc0(Max(spec->ncards, 1) * sizeof(WaTemplateSpec));
	for (int i = 0; i < spec->ncards; i++)
	{
		WaTemplateSpec *card = &spec->cards[i];

		card->name = spec->name;
		card->language = spec->language;
		card->category = spec->category;
		card->named = spec->named;
		card->card = psprintf("card %d", i);
		read_components(card, wa_jsonb_get(wa_jsonb_element(cards, i), "components"));
	}
}

static void
read_offer(WaTemplateSpec *spec, const JsonbValue *offer)
{
	const JsonbValue *ends = wa_jsonb_get(offer, "has_expiration");

	spec->has_offer = true;
	spec->offer_ends = ends != NULL && ends->type == jbvBool && ends->val.boolean;
}

static void
read_component(WaTemplateSpec *spec, const JsonbValue *component)
{
	char *type = wa_jsonb_get_string(component, "type");

	if (type == NULL)
		return;
	if (pg_strcasecmp(type, "HEADER") == 0)
		read_header(spec, component);
	else if (pg_strcasecmp(type, "BODY") == 0)
		read_body(spec, component);
	else if (pg_strcasecmp(type, "BUTTONS") == 0)
	{
		const JsonbValue *buttons = wa_jsonb_get(component, "buttons");
		int count = wa_jsonb_is_array(buttons) ? wa_jsonb_count(buttons) : 0;

		for (int i = 0; i < Min(count, WA_MAX_TEMPLATE_BUTTONS); i++)
			read_button(spec, wa_jsonb_element(buttons, i));
	}
	else if (pg_strcasecmp(type, "CAROUSEL") == 0)
		read_cards(spec, wa_jsonb_get(component, "cards"));
	else if (pg_strcasecmp(type, "LIMITED_TIME_OFFER") == 0)
		read_offer(spec, wa_jsonb_get(component, "limited_time_offer"));
}

static void
read_components(WaTemplateSpec *spec, const JsonbValue *components)
{
	int count = wa_jsonb_is_array(components) ? wa_jsonb_count(components) : 0;

	for (int i = 0; i < count; i++)
		read_component(spec, wa_jsonb_element(components, i));
	spec->body_only = count == 1 && spec->body.text != NULL;
}

void
wa_template_spec_read(WaTemplateSpec *spec, Jsonb *components)
{
	read_components(spec, wa_jsonb_root(components));
}

static void
describe_params(StringInfo out, const WaTemplateText *text)
{
	for (int i = 0; i < text->nparams; i++)
		appendStringInfo(out, "%s{{%s}}", i > 0 ? ", " : " ", text->params[i]);
}

static const char *
button_value_word(const WaTemplateButton *button)
{
	switch (button->kind)
	{
		case WA_BUTTON_QUICK_REPLY:
			return "a payload (optional)";
		case WA_BUTTON_URL:
			return button->wants_value ? "the end of its URL" : "nothing";
		case WA_BUTTON_COPY_CODE:
			return "a coupon code";
		case WA_BUTTON_OTP:
			return "the code (by default the first body value)";
		case WA_BUTTON_FLOW:
			return "{\"flow_token\": …, \"flow_action_data\": {…}} (optional)";
		case WA_BUTTON_CATALOG:
			return "{\"thumbnail\": the id of a product}";
		case WA_BUTTON_PRODUCTS:
			return "{\"thumbnail\": the id of a product, \"sections\": [{\"title\": …, "
				   "\"products\": [ids]}, …]}";
		case WA_BUTTON_PLAIN:
			return "nothing";
		case WA_BUTTON_OTHER:
			break;
	}
	return "parameters as in Meta's API (optional)";
}

/*
 * What a card takes can be seen in the description of the card itself.
 */
static void
describe_extras(StringInfo out, const WaTemplateSpec *spec)
{
	if (spec->has_offer)
		appendStringInfo(out, "; limited_time_offer: when it ends%s",
						 spec->offer_ends ? "" : " (optional)");
	if (spec->ncards > 0)
		appendStringInfo(out, "; carousel: an array of %d objects with header, body and buttons",
						 spec->ncards);
}

char *
wa_template_spec_describe(const WaTemplateSpec *spec)
{
	StringInfoData out;

	initStringInfo(&out);
	if (spec->card != NULL)
		appendStringInfo(&out, "C%s of template \"%s\" (%s) takes: header: ", spec->card + 1,
						 wa_quote(spec->name), wa_quote(spec->language));
	else
		appendStringInfo(&out, "Template \"%s\" (%s) takes: header: ", wa_quote(spec->name),
						 wa_quote(spec->language));
	if (spec->header_kind == WA_HEADER_TEXT && spec->header.nparams > 0)
	{
		appendStringInfoString(&out, "text");
		describe_params(&out, &spec->header);
	}
	else if (spec->header_kind == WA_HEADER_NONE || spec->header_kind == WA_HEADER_TEXT)
		appendStringInfoString(&out, "nothing");
	else
		appendStringInfo(&out, "{\"%s\": …}", wa_header_kind_name(spec->header_kind));

	appendStringInfoString(&out, "; body:");
	if (spec->body.nparams == 0)
		appendStringInfoString(&out, " nothing");
	describe_params(&out, &spec->body);

	for (int i = 0; i < spec->nbuttons; i++)
		appendStringInfo(&out, "; button %d (%s): %s", i, spec->buttons[i].type,
						 button_value_word(&spec->buttons[i]));
	describe_extras(&out, spec);
	appendStringInfoChar(&out, '.');
	return out.data;
}
