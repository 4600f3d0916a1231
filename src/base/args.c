/*
 * args.c
 *	  Arguments of the SQL-callable functions.
 *
 * The functions are not STRICT: a NULL where a value is needed is a mistake of
 * the caller that must not end as a message silently not written.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/args.h"
#include "compat.h"

void
wa_raise_null_argument(const char *name)
{
	ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					errmsg("argument \"%s\" must not be null", name)));
}

static void
check_not_empty(const text *value, const char *name)
{
	if (VARSIZE_ANY_EXHDR(value) == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("argument \"%s\" must not be empty", name)));
}

text *
wa_arg_text(FunctionCallInfo fcinfo, int argno, const char *name)
{
	text *value;

	if (PG_ARGISNULL(argno))
		wa_raise_null_argument(name);
	value = PG_GETARG_TEXT_PP(argno);
	check_not_empty(value, name);
	return value;
}

Jsonb *
wa_arg_jsonb(FunctionCallInfo fcinfo, int argno, const char *name)
{
	if (PG_ARGISNULL(argno))
		wa_raise_null_argument(name);
	return PG_GETARG_JSONB_P(argno);
}

text *
wa_arg_text_or_null(FunctionCallInfo fcinfo, int argno)
{
	return PG_ARGISNULL(argno) ? NULL : PG_GETARG_TEXT_PP(argno);
}

Jsonb *
wa_arg_jsonb_or_null(FunctionCallInfo fcinfo, int argno)
{
	return PG_ARGISNULL(argno) ? NULL : PG_GETARG_JSONB_P(argno);
}

text *
wa_arg_tenant_id(FunctionCallInfo fcinfo, int argno)
{
	Oid type = get_fn_expr_argtype(fcinfo->flinfo, argno);
	Oid output;
	bool is_varlena;
	text *value;

	if (PG_ARGISNULL(argno))
		wa_raise_null_argument("tenant_id");
	if (!OidIsValid(type) || type == TEXTOID)
		value = PG_GETARG_TEXT_PP(argno);
	else
	{
		getTypeOutputInfo(type, &output, &is_varlena);
		value = cstring_to_text(OidOutputFunctionCall(output, PG_GETARG_DATUM(argno)));
	}
	check_not_empty(value, "tenant_id");
	return value;
}
