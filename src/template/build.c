/*
 * build.c
 *	  The object that Meta receives under the key "template".
 *
 * Cloud API, POST /{phone_number_id}/messages, template messages.  The
 * values have been checked; a part without values does not appear.
 */
#include "postgres.h"

#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "template/template.h"

static void
put_value(WaJsonbWriter *w, const WaTemplateValue *value)
{
	wa_jsonb_begin_object(w, NULL);
	if (value->name != NULL)
		wa_jsonb_put_string(w, "parameter_name", value->name);
	if (value->typed_as != NULL)
	{
		wa_jsonb_put_string(w, "type", value->typed_as);
		wa_jsonb_put_value(w, value->typed_as, value->typed);
	}
	else
	{
		wa_jsonb_put_string(w, "type", "text");
		wa_jsonb_put_string(w, "text", value->text);
	}
	wa_jsonb_end_object(w);
}

static void
begin_component(WaJsonbWriter *w, const char *type)
{
	wa_jsonb_begin_object(w, NULL);
	wa_jsonb_put_string(w, "type", type);
}

static void
put_header(WaJsonbWriter *w, const WaTemplateValues *values)
{
	const char *kind = wa_header_kind_name(values->header_kind);

	begin_component(w, "header");
	wa_jsonb_begin_array(w, "parameters");
	if (values->header_kind == WA_HEADER_TEXT)
		put_value(w, &values->header);
	else
	{
		wa_jsonb_begin_object(w, NULL);
		wa_jsonb_put_string(w, "type", kind);
		wa_jsonb_put_value(w, kind, values->header_media);
		wa_jsonb_end_object(w);
	}
	wa_jsonb_end_array(w);
	wa_jsonb_end_object(w);
}

static void
put_body(WaJsonbWriter *w, const WaTemplateValues *values)
{
	begin_component(w, "body");
	wa_jsonb_begin_array(w, "parameters");
	for (int i = 0; i < values->nbody; i++)
		put_value(w, &values->body[i]);
	wa_jsonb_end_array(w);
	wa_jsonb_end_object(w);
}

/*
 * The type of a button's parameter is the key of its value.
 */
static void
put_button(WaJsonbWriter *w, const WaTemplateButtonValue *button)
{
	begin_component(w, "button");
	wa_jsonb_put_string(w, "sub_type", button->sub_type);
	wa_jsonb_put_string(w, "index", psprintf("%d", button->index));
	if (button->parameters != NULL)
		wa_jsonb_put_value(w, "parameters", button->parameters);
	else if (button->action != NULL)
	{
		wa_jsonb_begin_array(w, "parameters");
		wa_jsonb_begin_object(w, NULL);
		wa_jsonb_put_string(w, "type", "action");
		wa_jsonb_put_value(w, "action", button->action);
		wa_jsonb_end_object(w);
		wa_jsonb_end_array(w);
	}
	else
	{
		wa_jsonb_begin_array(w, "parameters");
		wa_jsonb_begin_object(w, NULL);
		wa_jsonb_put_string(w, "type", button->key);
		wa_jsonb_put_string(w, button->key, button->text);
		wa_jsonb_end_object(w);
		wa_jsonb_end_array(w);
	}
	wa_jsonb_end_object(w);
}

static void
put_number(WaJsonbWriter *w, const char *key, int64 number)
{
	JsonbValue value;

	value.type = jbvNumeric;
	value.val.numeric = DatumGetNumeric(DirectFunctionCall1(int8_numeric, Int64GetDatum(number)));
	wa_jsonb_put_value(w, key, &value);
}

/*
 * A component with one parameter, whose type is named like it.
 */
static void
begin_extra(WaJsonbWriter *w, const char *type)
{
	begin_component(w, type);
	wa_jsonb_begin_array(w, "parameters");
	wa_jsonb_begin_object(w, NULL);
	wa_jsonb_put_string(w, "type", type);
}

static void
end_extra(WaJsonbWriter *w)
{
	wa_jsonb_end_object(w);
	wa_jsonb_end_array(w);
	wa_jsonb_end_object(w);
}

static void
put_offer(WaJsonbWriter *w, const WaTemplateValues *values)
{
	begin_extra(w, "limited_time_offer");
	wa_jsonb_begin_object(w, "limited_time_offer");
	put_number(w, "expiration_time_ms", values->offer_ends_ms);
	wa_jsonb_end_object(w);
	end_extra(w);
}

static void
put_tap_target(WaJsonbWriter *w, const WaTemplateValues *values)
{
	begin_extra(w, "tap_target_configuration");
	wa_jsonb_begin_array(w, "tap_target_configuration");
	wa_jsonb_begin_object(w, NULL);
	wa_jsonb_put_string(w, "url", values->tap_url);
	wa_jsonb_put_string(w, "title", values->tap_title);
	wa_jsonb_end_object(w);
	wa_jsonb_end_array(w);
	end_extra(w);
}

/* What templates and cards have alike. */
static void
put_parts(WaJsonbWriter *w, const WaTemplateValues *values)
{
	wa_jsonb_begin_array(w, "components");
	if (values->header_kind != WA_HEADER_NONE)
		put_header(w, values);
	if (values->nbody > 0)
		put_body(w, values);
	if (values->offer_given)
		put_offer(w, values);
	for (int i = 0; i < values->nbuttons; i++)
		put_button(w, &values->buttons[i]);
}

static void
put_carousel(WaJsonbWriter *w, const WaTemplateValues *values)
{
	begin_component(w, "carousel");
	wa_jsonb_begin_array(w, "cards");
	for (int i = 0; i < values->ncards; i++)
	{
		wa_jsonb_begin_object(w, NULL);
		put_number(w, "card_index", i);
		put_parts(w, &values->cards[i]);
		wa_jsonb_end_array(w);
		wa_jsonb_end_object(w);
	}
	wa_jsonb_end_array(w);
	wa_jsonb_end_object(w);
}

static void
put_components(WaJsonbWriter *w, const WaTemplateValues *values)
{
	if (values->components != NULL)
	{
		if (wa_jsonb_count(values->components) > 0)
			wa_jsonb_put_value(w, "components", values->components);
		return;
	}
	if (values->header_kind == WA_HEADER_NONE && values->nbody == 0 && values->nbuttons == 0 &&
		!values->offer_given && values->tap_title == NULL && !values->cards_given)
		return;
	put_parts(w, values);
	if (values->cards_given)
		put_carousel(w, values);
	if (values->tap_title != NULL)
		put_tap_target(w, values);
	wa_jsonb_end_array(w);
}

Jsonb *
wa_template_build(const char *name, const char *language, const WaTemplateValues *values)
{
	WaJsonbWriter w = {0};

	wa_jsonb_begin_object(&w, NULL);
	wa_jsonb_put_string(&w, "name", name);
	wa_jsonb_begin_object(&w, "language");
	wa_jsonb_put_string(&w, "code", language);
	wa_jsonb_end_object(&w);
	put_components(&w, values);
	wa_jsonb_end_object(&w);
	return wa_jsonb_finish(&w);
}
