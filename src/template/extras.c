/*
 * extras.c
 *	  What only some templates take: a time at which an offer ends, what a tap opens,
 *	  flows, catalogues and products.
 *
 * Here is read what a caller gives for them, in short forms or with Meta's names.  What
 * a message needs beyond that, whichever template it is, is checked at once: Meta
 * responds with 131008 or 131009, too late for the author.
 */
#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "base/quote.h"
#include "template/extras.h"
#include "template/text_limits.h"

/* Meta's limits of multi-product messages. */
#define MAX_SECTIONS 10
#define MAX_SECTION_TITLE 24
#define MAX_PRODUCTS 30

/* Our own: Meta publishes none. */
#define MAX_PRODUCT_ID 100
#define MAX_FLOW_TOKEN 512
#define MAX_TAP_TITLE 256

/* What Meta takes for a flow without a token of its own. */
#define NO_FLOW_TOKEN "unused"

/* Longer than any time is written. */
#define MAX_TIME_TEXT 40

/* 1970-01-01 in PostgreSQL's microseconds. */
#define UNIX_EPOCH ((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

/* ---- the end of an offer ---- */

/*
 * A time as PostgreSQL reads it.  Words are left out, among them those without an end.
 */
static int64
read_time(const char *text)
{
	TimestampTz at;

	if (text[0] == '\0' || strlen(text) > MAX_TIME_TEXT ||
		strspn(text, "0123456789-+:.TZ ") != strlen(text))
		wa_template_invalid("The \"limited_time_offer\" must be a time such as \"2026-12-24 "
							"20:00:00+01\", or milliseconds since 1970.");
	at = DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(text),
												 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	return (at + UNIX_EPOCH) / 1000;
}

/* Milliseconds; seconds, which many clocks give, would be a time in 1970. */
static int64
read_milliseconds(const JsonbValue *given)
{
	char *digits = wa_jsonb_scalar(given);

	if (strspn(digits, "0123456789") != strlen(digits) || strlen(digits) > 15)
		wa_template_invalid("The \"limited_time_offer\" must be a whole number of milliseconds "
							"since 1970, or a time such as \"2026-12-24 20:00:00+01\".");
	return strtoll(digits, NULL, 10);
}

static void
read_offer(WaTemplateValues *values, const JsonbValue *given)
{
	if (wa_jsonb_is_object(given) && wa_jsonb_count(given) == 1)
		given = wa_jsonb_get(given, "expiration_time_ms");
	if (given != NULL && given->type == jbvNumeric)
		values->offer_ends_ms = read_milliseconds(given);
	else if (given != NULL && given->type == jbvString)
		values->offer_ends_ms = read_time(wa_jsonb_string(given));
	else
		wa_template_invalid(
			"The \"limited_time_offer\" is %s; it must be a time, or an object with "
			"\"expiration_time_ms\".",
			wa_jsonb_kind(given));
	if (values->offer_ends_ms <= (GetCurrentTimestamp() + UNIX_EPOCH) / 1000)
		wa_template_invalid("The \"limited_time_offer\" has ended already.");
	values->offer_given = true;
}

/* ---- what a tap opens ---- */

static void
check_tap_member(void *arg, char *name, JsonbValue *value)
{
	if (strcmp(name, "title") != 0 && strcmp(name, "url") != 0)
		wa_template_invalid("The \"tap_target\" has the unknown member \"%s\"; it takes \"title\" "
							"and \"url\".",
							wa_quote(name));
}

static void
read_tap_target(WaTemplateValues *values, const JsonbValue *given)
{
	if (!wa_jsonb_is_object(given))
		wa_template_invalid("The \"tap_target\" is %s; it must be an object with \"title\" and "
							"\"url\".",
							wa_jsonb_kind(given));
	wa_jsonb_each(given, check_tap_member, NULL);
	values->tap_title = wa_jsonb_get_string(given, "title");
	values->tap_url = wa_jsonb_get_string(given, "url");
	if (values->tap_title == NULL || values->tap_url == NULL)
		wa_template_invalid("The \"tap_target\" needs the text \"%s\".",
							values->tap_title == NULL ? "title" : "url");
	wa_check_text("title of the tap target", values->tap_title, MAX_TAP_TITLE);
	wa_check_link("URL of the tap target", values->tap_url);
}

void
wa_template_extras_read(WaTemplateValues *values, const JsonbValue *root)
{
	const JsonbValue *offer = wa_jsonb_get(root, "limited_time_offer");
	const JsonbValue *tap_target = wa_jsonb_get(root, "tap_target");

	if (!wa_jsonb_is_null(offer))
		read_offer(values, offer);
	if (!wa_jsonb_is_null(tap_target))
		read_tap_target(values, tap_target);
}

/* ---- products ---- */

static char *
product_id(const JsonbValue *given, const char *what)
{
	char *id = wa_jsonb_scalar(given);

	if (id == NULL)
		wa_template_invalid("The %s is %s; it must be the id of a product in the catalogue.", what,
							wa_jsonb_kind(given));
	wa_check_text(what, id, MAX_PRODUCT_ID);
	return id;
}

static void
check_product_member(void *arg, char *name, JsonbValue *value)
{
	if (strcmp(name, "catalog_id") != 0 && strcmp(name, "product_retailer_id") != 0)
		wa_template_invalid("The header's \"product\" has the unknown member \"%s\"; it takes "
							"\"product_retailer_id\" and \"catalog_id\".",
							wa_quote(name));
}

JsonbValue *
wa_template_product_read(JsonbValue *given)
{
	WaJsonbWriter w = {0};
	char *catalog;

	if (!wa_jsonb_is_object(given))
		wa_template_invalid("The header's \"product\" is %s; it must be an object with "
							"\"product_retailer_id\" and \"catalog_id\".",
							wa_jsonb_kind(given));
	wa_jsonb_each(given, check_product_member, NULL);
	catalog = wa_jsonb_scalar(wa_jsonb_get(given, "catalog_id"));
	if (catalog == NULL || catalog[0] == '\0' || strspn(catalog, "0123456789") != strlen(catalog))
		wa_template_invalid("The header's \"product\" needs \"catalog_id\", which consists of "
							"digits.");
	wa_jsonb_begin_object(&w, NULL);
	wa_jsonb_put_string(&w, "product_retailer_id",
						product_id(wa_jsonb_get(given, "product_retailer_id"),
								   "\"product_retailer_id\" of the header"));
	wa_jsonb_put_string(&w, "catalog_id", catalog);
	wa_jsonb_end_object(&w);
	return w.result;
}

static void
check_section_member(void *arg, char *name, JsonbValue *value)
{
	if (strcmp(name, "title") != 0 && strcmp(name, "products") != 0 &&
		strcmp(name, "product_items") != 0)
		wa_template_invalid("A section has the unknown member \"%s\"; it takes \"title\" and "
							"\"products\".",
							wa_quote(name));
}

/*
 * {"title": …, "products": ["id", …]}, or with Meta's "product_items".  Returns how many
 * products it has.
 */
static int
put_section(WaJsonbWriter *w, const JsonbValue *section, int i)
{
	char *title = wa_jsonb_get_string(section, "title");
	const JsonbValue *products = wa_jsonb_get(section, "products");
	int count;

	if (!wa_jsonb_is_object(section))
		wa_template_invalid("Section %d is %s; it must be an object with \"title\" and "
							"\"products\".",
							i, wa_jsonb_kind(section));
	wa_jsonb_each(section, check_section_member, NULL);
	if (title == NULL)
		wa_template_invalid("Section %d needs the text \"title\".", i);
	wa_check_text("title of the section", title, MAX_SECTION_TITLE);
	if (products == NULL)
		products = wa_jsonb_get(section, "product_items");
	count = wa_jsonb_count(products);
	if (!wa_jsonb_is_array(products) || count == 0)
		wa_template_invalid("Section %d needs \"products\", an array of ids of products.", i);

	wa_jsonb_begin_object(w, NULL);
	wa_jsonb_put_string(w, "title", title);
	wa_jsonb_begin_array(w, "product_items");
	for (int p = 0; p < count; p++)
	{
		const JsonbValue *item = wa_jsonb_element(products, p);

		if (wa_jsonb_is_object(item))
			item = wa_jsonb_get(item, "product_retailer_id");
		wa_jsonb_begin_object(w, NULL);
		wa_jsonb_put_string(w, "product_retailer_id",
							product_id(item, psprintf("product %d of section %d", p, i)));
		wa_jsonb_end_object(w);
	}
	wa_jsonb_end_array(w);
	wa_jsonb_end_object(w);
	return count;
}

static void
put_sections(WaJsonbWriter *w, const JsonbValue *sections)
{
	int count = wa_jsonb_count(sections);
	int products = 0;

	if (!wa_jsonb_is_array(sections) || count < 1 || count > MAX_SECTIONS)
		wa_template_invalid("The \"sections\" must be an array of 1 to %d objects.", MAX_SECTIONS);
	wa_jsonb_begin_array(w, "sections");
	for (int i = 0; i < count; i++)
		products += put_section(w, wa_jsonb_element(sections, i), i);
	wa_jsonb_end_array(w);
	if (products > MAX_PRODUCTS)
		wa_template_invalid("The \"sections\" have %d products together; at most %d are allowed.",
							products, MAX_PRODUCTS);
}

/* ---- buttons that open something ---- */

static void
put_flow(WaJsonbWriter *w, const JsonbValue *token, JsonbValue *data)
{
	char *text = token == NULL ? pstrdup(NO_FLOW_TOKEN) : wa_jsonb_scalar(token);

	if (text == NULL)
		wa_template_invalid("The \"flow_token\" is %s; it must be a string.", wa_jsonb_kind(token));
	wa_check_text("\"flow_token\" of the button", text, MAX_FLOW_TOKEN);
	wa_jsonb_put_string(w, "flow_token", text);
	if (data == NULL)
		return;
	if (!wa_jsonb_is_object(data))
		wa_template_invalid("The \"flow_action_data\" is %s; it must be an object.",
							wa_jsonb_kind(data));
	wa_jsonb_put_value(w, "flow_action_data", data);
}

static void
put_products(WaJsonbWriter *w, const JsonbValue *thumbnail, const JsonbValue *sections)
{
	if (thumbnail == NULL)
		wa_template_invalid("A button with \"sections\" needs \"thumbnail\", too: the id of the "
							"product whose picture is shown.");
	wa_jsonb_put_string(w, "thumbnail_product_retailer_id",
						product_id(thumbnail, "\"thumbnail\" of the button"));
	if (sections != NULL)
		put_sections(w, sections);
}

void
wa_template_action_read(WaTemplateButtonValue *out, JsonbValue *given)
{
	const JsonbValue *token = wa_jsonb_get(given, "flow_token");
	JsonbValue *data = wa_jsonb_get(given, "flow_action_data");
	const JsonbValue *sections = wa_jsonb_get(given, "sections");
	const JsonbValue *thumbnail = wa_jsonb_get(given, "thumbnail");
	WaJsonbWriter w = {0};

	if (thumbnail == NULL)
		thumbnail = wa_jsonb_get(given, "thumbnail_product_retailer_id");
	if (token == NULL && data == NULL && sections == NULL && thumbnail == NULL)
		return;
	wa_jsonb_begin_object(&w, NULL);
	if (token != NULL || data != NULL)
	{
		if (sections != NULL || thumbnail != NULL)
			wa_template_invalid("Button %d has values of a flow and of products.", out->index);
		out->key = "flow_token";
		put_flow(&w, token, data);
	}
	else
	{
		out->key = sections != NULL ? "sections" : "thumbnail";
		put_products(&w, thumbnail, sections);
	}
	wa_jsonb_end_object(&w);
	out->action = w.result;
}

JsonbValue *
wa_template_action_of_text(WaButtonKind kind, const char *text)
{
	WaJsonbWriter w = {0};
	JsonbValue value;

	if (text != NULL)
	{
		value.type = jbvString;
		value.val.string.len = strlen(text);
		value.val.string.val = pstrdup(text);
	}
	wa_jsonb_begin_object(&w, NULL);
	if (kind == WA_BUTTON_FLOW)
		put_flow(&w, text == NULL ? NULL : &value, NULL);
	else
		put_products(&w, &value, NULL);
	wa_jsonb_end_object(&w);
	return w.result;
}

/* ---- which card ---- */

static void
name_card(void *arg)
{
	errcontext("card %d of the carousel", ((WaTemplateCardContext *) arg)->card);
}

void
wa_template_card_begin(WaTemplateCardContext *context, int card)
{
	context->card = card;
	context->callback.callback = name_card;
	context->callback.arg = context;
	context->callback.previous = error_context_stack;
	error_context_stack = &context->callback;
}

void
wa_template_card_end(WaTemplateCardContext *context)
{
	error_context_stack = context->callback.previous;
}
