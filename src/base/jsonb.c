/*
 * jsonb.c
 *	  Reading and writing jsonb values in C.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "base/jsonb.h"
#include "compat.h"

static bool
has_flag(const JsonbValue *value, uint32 flag)
{
	return value != NULL && value->type == jbvBinary &&
		   (value->val.binary.data->header & flag) != 0;
}

bool
wa_jsonb_is_object(const JsonbValue *value)
{
	return has_flag(value, JB_FOBJECT);
}

bool
wa_jsonb_is_array(const JsonbValue *value)
{
	return has_flag(value, JB_FARRAY) && !has_flag(value, JB_FSCALAR);
}

bool
wa_jsonb_is_null(const JsonbValue *value)
{
	return value == NULL || value->type == jbvNull;
}

JsonbValue *
wa_jsonb_get(const JsonbValue *object, const char *key)
{
	if (!wa_jsonb_is_object(object))
		return NULL;
	return getKeyJsonValueFromContainer(object->val.binary.data, key, strlen(key), NULL);
}

int
wa_jsonb_count(const JsonbValue *container)
{
	if (container == NULL || container->type != jbvBinary)
		return 0;
	return JsonContainerSize(container->val.binary.data);
}

JsonbValue *
wa_jsonb_element(const JsonbValue *array, int i)
{
	if (!wa_jsonb_is_array(array))
		return NULL;
	return getIthJsonbValueFromContainer(array->val.binary.data, i);
}

/*
 * A scalar document is an array of one element with a flag of its own.
 */
JsonbValue *
wa_jsonb_root(Jsonb *document)
{
	JsonbValue *value;

	if (JB_ROOT_IS_SCALAR(document))
		return getIthJsonbValueFromContainer(&document->root, 0);
	value = palloc0(sizeof(JsonbValue));
	value->type = jbvBinary;
	value->val.binary.data = &document->root;
	value->val.binary.len = VARSIZE(document) - VARHDRSZ;
	return value;
}

char *
wa_jsonb_scalar(const JsonbValue *value)
{
	if (value == NULL)
		return NULL;
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(
				DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		default:
			return NULL;
	}
}

char *
wa_jsonb_string(const JsonbValue *value)
{
	if (value == NULL || value->type != jbvString)
		return NULL;
	return pnstrdup(value->val.string.val, value->val.string.len);
}

char *
wa_jsonb_get_string(const JsonbValue *object, const char *key)
{
	return wa_jsonb_string(wa_jsonb_get(object, key));
}

void
wa_jsonb_each(const JsonbValue *object, WaJsonbMember member, void *arg)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue value;
	char *name = NULL;

	Assert(wa_jsonb_is_object(object));
	it = JsonbIteratorInit(object->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE)
		{
			JsonbValue *copy = palloc(sizeof(JsonbValue));

			*copy = value;
			member(arg, name, copy);
		}
	}
}

const char *
wa_jsonb_kind(const JsonbValue *value)
{
	if (wa_jsonb_is_null(value))
		return "null";
	switch (value->type)
	{
		case jbvString:
			return "a string";
		case jbvNumeric:
			return "a number";
		case jbvBool:
			return "a boolean";
		default:
			return wa_jsonb_is_array(value) ? "an array" : "an object";
	}
}

static void
set_string(JsonbValue *out, const char *value)
{
	out->type = jbvString;
	out->val.string.len = strlen(value);
	out->val.string.val = unconstify(char *, value);
}

static void
put_key(WaJsonbWriter *w, const char *key)
{
	JsonbValue v;

	if (key == NULL)
		return;
	set_string(&v, key);
	pushJsonbValue(&w->state, WJB_KEY, &v);
}

void
wa_jsonb_begin_object(WaJsonbWriter *w, const char *key)
{
	put_key(w, key);
	pushJsonbValue(&w->state, WJB_BEGIN_OBJECT, NULL);
}

void
wa_jsonb_end_object(WaJsonbWriter *w)
{
	w->result = pushJsonbValue(&w->state, WJB_END_OBJECT, NULL);
}

void
wa_jsonb_begin_array(WaJsonbWriter *w, const char *key)
{
	put_key(w, key);
	pushJsonbValue(&w->state, WJB_BEGIN_ARRAY, NULL);
}

void
wa_jsonb_end_array(WaJsonbWriter *w)
{
	w->result = pushJsonbValue(&w->state, WJB_END_ARRAY, NULL);
}

void
wa_jsonb_put_value(WaJsonbWriter *w, const char *key, JsonbValue *value)
{
	put_key(w, key);
	pushJsonbValue(&w->state, key == NULL ? WJB_ELEM : WJB_VALUE, value);
}

void
wa_jsonb_put_string(WaJsonbWriter *w, const char *key, const char *value)
{
	JsonbValue v;

	set_string(&v, value);
	wa_jsonb_put_value(w, key, &v);
}

void
wa_jsonb_put_bool(WaJsonbWriter *w, const char *key, bool value)
{
	JsonbValue v;

	v.type = jbvBool;
	v.val.boolean = value;
	wa_jsonb_put_value(w, key, &v);
}

Jsonb *
wa_jsonb_finish(WaJsonbWriter *w)
{
	return JsonbValueToJsonb(w->result);
}
