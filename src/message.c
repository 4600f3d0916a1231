/*
 * message.c
 *	  The SQL functions that write one message each.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "args.h"
#include "enqueue.h"
#include "guc.h"

PG_FUNCTION_INFO_V1(wa_enqueue_message);
PG_FUNCTION_INFO_V1(wa_enqueue_payload);

static JsonbValue *
json_string(JsonbValue *out, const char *value)
{
	out->type = jbvString;
	out->val.string.len = strlen(value);
	out->val.string.val = unconstify(char *, value);
	return out;
}

static void
push_pair(JsonbParseState **state, const char *key, const char *value)
{
	JsonbValue v;

	pushJsonbValue(state, WJB_KEY, json_string(&v, key));
	pushJsonbValue(state, WJB_VALUE, json_string(&v, value));
}

static void
push_body(JsonbParseState **state, Jsonb *parameters)
{
	JsonbIterator *it = JsonbIteratorInit(&parameters->root);
	JsonbValue v;
	JsonbIteratorToken token;

	pushJsonbValue(state, WJB_KEY, json_string(&v, "components"));
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	push_pair(state, "type", "body");
	pushJsonbValue(state, WJB_KEY, json_string(&v, "parameters"));
	pushJsonbValue(state, WJB_BEGIN_ARRAY, NULL);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		char *text;

		if (token != WJB_ELEM)
			continue;
		if (v.type == jbvString)
			text = pnstrdup(v.val.string.val, v.val.string.len);
		else if (v.type == jbvNumeric)
			text =
				DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(v.val.numeric)));
		else
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("template parameters must be strings or numbers")));
		pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
		push_pair(state, "type", "text");
		push_pair(state, "text", text);
		pushJsonbValue(state, WJB_END_OBJECT, NULL);
	}
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
	pushJsonbValue(state, WJB_END_ARRAY, NULL);
}

static Jsonb *
build_template(const WaEnqueue *e, Jsonb *parameters)
{
	JsonbParseState *state = NULL;
	JsonbValue v;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_pair(&state, "name", text_to_cstring(e->template_name));
	pushJsonbValue(&state, WJB_KEY, json_string(&v, "language"));
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_pair(&state, "code", text_to_cstring(e->template_language));
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	if (parameters != NULL && !JB_ROOT_IS_ARRAY(parameters))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("parameters other than an array are not supported yet")));
	if (parameters != NULL && JB_ROOT_COUNT(parameters) > 0)
		push_body(&state, parameters);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

/*
 * wa_enqueue_message(tenant_id, recipient_phone, template_name, parameters,
 * language, ...)
 */
Datum
wa_enqueue_message(PG_FUNCTION_ARGS)
{
	WaEnqueue e = {0};
	Jsonb *parameters;
	int64 id;

	e.tenant_id = wa_arg_tenant_id(fcinfo, 0);
	wa_enqueue_recipient(&e, wa_arg_text(fcinfo, 1, "recipient_phone"));
	e.message_type = cstring_to_text("template");
	e.template_name = wa_arg_text(fcinfo, 2, "template_name");
	parameters = wa_arg_jsonb_or_null(fcinfo, 3);
	e.template_language = wa_arg_text_or_null(fcinfo, 4);
	e.is_marketing = true;
	wa_options_read(&e.options, fcinfo, 5);

	wa_enqueue_open(&e, fcinfo);
	wa_enqueue_look_up(&e);
	id = e.existing_id;
	if (id == 0)
	{
		if (e.template_language == NULL)
			e.template_language = e.tenant_language;
		if (e.template_language == NULL)
			e.template_language = cstring_to_text(wa_guc_default_language);
		e.payload = build_template(&e, parameters);
		id = wa_enqueue_write(&e);
	}
	wa_enqueue_close(&e);
	PG_RETURN_INT64(id);
}

/*
 * wa_enqueue_payload(tenant_id, recipient_phone, type, payload, ...)
 */
Datum
wa_enqueue_payload(PG_FUNCTION_ARGS)
{
	WaEnqueue e = {0};
	int64 id;

	e.tenant_id = wa_arg_tenant_id(fcinfo, 0);
	wa_enqueue_recipient(&e, wa_arg_text(fcinfo, 1, "recipient_phone"));
	e.message_type = wa_arg_text(fcinfo, 2, "type");
	e.payload = wa_arg_jsonb_or_null(fcinfo, 3);
	if (e.payload == NULL)
		wa_raise_null_argument("payload");
	if (!JB_ROOT_IS_OBJECT(e.payload) && !JB_ROOT_IS_ARRAY(e.payload))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("payload must be a JSON object"),
				 errdetail("It is what stands under the key \"type\" in Meta's API; for "
						   "contacts, an array.")));
	wa_options_read(&e.options, fcinfo, 4);

	wa_enqueue_open(&e, fcinfo);
	wa_enqueue_look_up(&e);
	id = e.existing_id != 0 ? e.existing_id : wa_enqueue_write(&e);
	wa_enqueue_close(&e);
	PG_RETURN_INT64(id);
}
