/*
 * check_buttons.c
 *	  Whether the values of buttons are what the template's buttons take.
 */
#include "postgres.h"

#include "base/quote.h"
#include "template/check.h"
#include "template/extras.h"
#include "template/text_limits.h"

static void
check_url_suffix(const WaTemplateSpec *spec, const WaTemplateValues *values,
				 const WaTemplateButton *button, const WaTemplateButtonValue *value)
{
	const char *mark = strstr(button->url, "{{");

	for (const char *p = value->text; *p != '\0'; p++)
	{
		if ((unsigned char) *p <= ' ' || *p == 0x7f)
			wa_template_misfit(spec, values,
							   "The value of button %d contains spaces or control characters.",
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
		case WA_BUTTON_FLOW:
			return "flow_token";
		case WA_BUTTON_CATALOG:
			return "thumbnail";
		case WA_BUTTON_PRODUCTS:
			return "sections";
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
		wa_template_misfit(spec, values,
						   "A value was given for button %d, and the template has %d.",
						   value->index, spec->nbuttons);
	button = &spec->buttons[value->index];
	key = key_of(button->kind);
	if (value->sub_type != NULL && strcmp(value->sub_type, button->sub_type) != 0)
		wa_template_misfit(spec, values, "Button %d is of the type %s and not \"%s\".",
						   value->index, button->type, wa_quote(value->sub_type));
	value->sub_type = button->sub_type;
	if (button->kind == WA_BUTTON_PLAIN || (button->kind == WA_BUTTON_URL && !button->wants_value))
		wa_template_misfit(spec, values, "Button %d takes no value.", value->index);
	if (value->parameters != NULL)
		return;
	if (key == NULL)
		wa_template_misfit(spec, values, "Button %d takes \"parameters\" as in Meta's API.",
						   value->index);
	if (value->key != NULL && strcmp(value->key, key) != 0)
		wa_template_misfit(spec, values, "Button %d takes \"%s\" and not \"%s\".", value->index,
						   key, wa_quote(value->key));
	value->key = key;
	if (button->kind == WA_BUTTON_PRODUCTS && value->action == NULL)
		wa_template_misfit(spec, values,
						   "Button %d takes an object with \"thumbnail\" and \"sections\".",
						   value->index);
	if (value->action == NULL &&
		(button->kind == WA_BUTTON_FLOW || button->kind == WA_BUTTON_CATALOG))
		value->action = wa_template_action_of_text(button->kind, value->text);
	if (button->kind == WA_BUTTON_URL)
		check_url_suffix(spec, values, button, value);
	if (button->kind == WA_BUTTON_OTP && values->nbody > 0 &&
		strcmp(value->text, values->body[0].text) != 0)
		wa_template_misfit(spec, values, "Button %d has another code than the body.", value->index);
}

/*
 * The rules that need no template.
 */
static void
check_button_value(const WaTemplateButtonValue *value)
{
	if (value->parameters != NULL || value->action != NULL)
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
 * A button for which nothing was given, and that must have its component all the same.
 * That of a one-time password repeats the code of the body; that of a flow (else 131009)
 * needs no text.
 */
static void
add_button(WaTemplateValues *values, int index, const char *text)
{
	WaTemplateButtonValue *all = palloc0((values->nbuttons + 1) * sizeof(WaTemplateButtonValue));
	WaTemplateButtonValue *added = &all[values->nbuttons];

	for (int i = 0; i < values->nbuttons; i++)
		all[i] = values->buttons[i];
	added->index = index;
	added->text = text;
	values->buttons = all;
	values->nbuttons++;
}

void
wa_template_check_buttons(const WaTemplateSpec *spec, WaTemplateValues *values)
{
	for (int i = 0; i < spec->nbuttons; i++)
	{
		const WaTemplateButton *button = &spec->buttons[i];

		if (button_given(values, i))
			continue;
		if (button->kind == WA_BUTTON_FLOW)
			add_button(values, i, NULL);
		else if (button->kind == WA_BUTTON_OTP && values->nbody > 0)
			add_button(values, i, values->body[0].text);
		else if (button->wants_value)
			wa_template_misfit(spec, values, "The value of button %d (%s) is missing.", i,
							   button->type);
	}
	for (int i = 0; i < values->nbuttons; i++)
	{
		check_button(spec, values, &values->buttons[i]);
		check_button_value(&values->buttons[i]);
	}
}

/*
 * The name of the value tells the kind of button.
 */
static const char *
sub_type_of(const char *key)
{
	static const struct
	{
		const char *key;
		const char *sub_type;
	} words[] = {{"payload", "quick_reply"}, {"coupon_code", "copy_code"}, {"text", "url"},
				 {"flow_token", "flow"},	 {"thumbnail", "catalog"},	   {"sections", "mpm"}};

	for (int i = 0; i < lengthof(words); i++)
	{
		if (strcmp(key, words[i].key) == 0)
			return words[i].sub_type;
	}
	return NULL;
}

void
wa_template_check_buttons_blind(WaTemplateValues *values)
{
	for (int i = 0; i < values->nbuttons; i++)
	{
		WaTemplateButtonValue *value = &values->buttons[i];

		if (value->sub_type == NULL && value->key != NULL)
			value->sub_type = sub_type_of(value->key);
		if (value->sub_type == NULL || (value->key == NULL && value->parameters == NULL))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("type of button %d is unknown", value->index),
							errhint("Give an object with \"payload\", \"text\", \"coupon_code\", "
									"\"flow_token\", \"thumbnail\" or \"sections\", or read the "
									"templates from Meta first: wa_sync_templates().")));
		check_button_value(value);
	}
}
